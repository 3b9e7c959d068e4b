// SPDX-License-Identifier: BSL-1.0
/*
 * How far a long read or write has come, for whoever sits at the terminal
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_PROGRESS_HPP
#define SHMTOOL_PROGRESS_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace shmtool {

/*
 * One line, without its end: "write buf  45%  460 MiB of 1 GiB  1.2 GiB/s  0:01
 * left". @label may be shortened to fit @width; the rest is complete.
 */
std::string progress_line(const std::string &label, std::uint64_t done,
			  std::optional<std::uint64_t> total,
			  std::chrono::milliseconds spent, std::size_t width);

/*
 * Nothing is shown for what is done within half a second, nor when standard
 * error is no terminal, nor when @quiet says that the work itself writes to
 * that terminal.
 */
class progress
{
public:
	progress(std::string label, std::optional<std::uint64_t> total,
		 bool quiet = false);
	~progress();
	progress(const progress &) = delete;
	progress &operator=(const progress &) = delete;

	/* @done bytes so far. Throws interrupted if a signal asked to stop. */
	void update(std::uint64_t done);

	/* The work is complete: leaves a last line if any was shown. */
	void finish();

private:
	using clock = std::chrono::steady_clock;

	void show(bool last);
	void erase();

	std::string m_label;
	std::optional<std::uint64_t> m_total;
	std::uint64_t m_done = 0;
	clock::time_point m_start;
	clock::time_point m_next;
	bool m_enabled;
	bool m_shown = false;
};

} // namespace shmtool

#endif
