// SPDX-License-Identifier: BSL-1.0
/*
 * Signals that ask shmtool to stop, and waiting for what comes first
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_SIGNALS_HPP
#define SHMTOOL_SIGNALS_HPP

#include <poll.h>

#include <chrono>
#include <vector>

namespace shmtool {

/*
 * From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT are kept until somebody asks
 * for them, and interrupt blocking calls.
 */
void catch_signals();

/* The signal that asked shmtool to stop, 0 if none did. */
int stop_signal();

/* From now on it wakes wait_for(), and take_signal() tells whether it came. */
void catch_signal(int signal);

/* Whether it came since the last call. */
bool take_signal(int signal);

/*
 * Waits for one of @files, less than 0 for ever. Returns early, with nothing
 * in revents, when a caught signal comes or had come before.
 */
void wait_for(std::vector<struct pollfd> &files,
	      std::chrono::milliseconds timeout);

} // namespace shmtool

#endif
