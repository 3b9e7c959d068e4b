// SPDX-License-Identifier: BSL-1.0
/*
 * Times as people write and read them
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_DURATIONS_HPP
#define SHMTOOL_DURATIONS_HPP

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace shmtool {

/*
 * "2" = "2s", "1.5", "250ms", "5m" = "5min", "1h"; exact to the millisecond and
 * at most ten years. On failure *why gets the reason.
 */
std::optional<std::chrono::milliseconds>
parse_duration(std::string_view text, std::string *why = nullptr);

/* "250 ms", "2 s", "1.5 s", "90 s" */
std::string format_duration(std::chrono::milliseconds duration);

/* "2026-11-21 12:04:05.123456", as the clock on the wall shows it. */
std::string format_local_time(std::chrono::system_clock::time_point when);

/* "2026-11-21T12:04:05.123456Z", for programs. */
std::string format_utc_time(std::chrono::system_clock::time_point when);

} // namespace shmtool

#endif
