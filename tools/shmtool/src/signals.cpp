// SPDX-License-Identifier: BSL-1.0
/*
 * Signals that ask shmtool to stop, and waiting for what comes first
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "signals.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "errors.hpp"

namespace shmtool {
namespace {

volatile sig_atomic_t stopped_by;
volatile sig_atomic_t came[NSIG];

/* Between a look at what came and poll() a signal would otherwise be lost. */
int wake_pipe[2] = {-1, -1};

void wake()
{
	const int error = errno;

	/* a pipe that is full wakes as well */
	[[maybe_unused]] const ssize_t n = ::write(wake_pipe[1], "", 1);
	errno = error;
}

extern "C" void remember_stop(int signal)
{
	stopped_by = signal;
	wake();
}

extern "C" void remember(int signal)
{
	came[signal] = 1;
	wake();
}

void install(int signal, void (*handler)(int), int flags)
{
	struct sigaction action
	{
	};

	if (wake_pipe[0] < 0 && ::pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		fail_errno("pipe", errno);
	action.sa_handler = handler;
	action.sa_flags = flags;
	sigemptyset(&action.sa_mask);
	::sigaction(signal, &action, nullptr);
}

} // namespace

void catch_signals()
{
	for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
		struct sigaction old
		{
		};

		/* who started shmtool may have said that it shall not end */
		if (::sigaction(signal, nullptr, &old) == 0 &&
		    old.sa_handler != SIG_IGN)
			install(signal, remember_stop, 0);
	}
}

int stop_signal()
{
	return stopped_by;
}

void catch_signal(int signal)
{
	/* poll() returns all the same, and a write() shall not */
	install(signal, remember, SA_RESTART);
}

bool take_signal(int signal)
{
	const bool result = came[signal];

	came[signal] = 0;
	return result;
}

void wait_for(std::vector<struct pollfd> &files,
	      std::chrono::milliseconds timeout)
{
	const auto most = std::min<std::chrono::milliseconds::rep>(
		timeout.count(), INT_MAX);
	char drained[64];

	files.push_back({wake_pipe[0], POLLIN, 0});
	const int ready =
		::poll(files.data(), files.size(), static_cast<int>(most));
	const int error = errno;
	const bool woken = files.back().revents;

	files.pop_back();
	if (ready < 0 && error != EINTR)
		fail_errno("poll", error);
	if (ready < 0)
		for (struct pollfd &file : files)
			file.revents = 0;
	if (woken)
		while (::read(wake_pipe[0], drained, sizeof(drained)) > 0)
			;
}

} // namespace shmtool
