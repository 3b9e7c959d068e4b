// SPDX-License-Identifier: BSL-1.0
/*
 * How far a long read or write has come, for whoever sits at the terminal
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "errors.hpp"
#include "escape.hpp"
#include "output.hpp"
#include "signals.hpp"
#include "sizes.hpp"

namespace shmtool {
namespace {

constexpr std::chrono::milliseconds patience{500};
constexpr std::chrono::milliseconds interval{100};

/* Steady widths keep the line from dancing: always one digit after the point.
 */
std::string rounded(double bytes)
{
	static constexpr const char *units[] = {"B",   "KiB", "MiB", "GiB",
						"TiB", "PiB", "EiB"};
	std::size_t unit = 0;
	char text[32];

	while (bytes >= 1023.95 && unit + 1 < std::size(units)) {
		bytes /= 1024;
		unit++;
	}
	std::snprintf(text, sizeof(text), unit ? "%.1f %s" : "%.0f %s", bytes,
		      units[unit]);
	return text;
}

std::string minutes(std::uint64_t seconds)
{
	char text[32];

	if (seconds >= 3600)
		std::snprintf(
			text, sizeof(text), "%llu:%02llu:%02llu",
			static_cast<unsigned long long>(seconds / 3600),
			static_cast<unsigned long long>(seconds / 60 % 60),
			static_cast<unsigned long long>(seconds % 60));
	else
		std::snprintf(text, sizeof(text), "%llu:%02llu",
			      static_cast<unsigned long long>(seconds / 60),
			      static_cast<unsigned long long>(seconds % 60));
	return text;
}

} // namespace

std::string progress_line(const std::string &label, std::uint64_t done,
			  std::optional<std::uint64_t> total,
			  std::chrono::milliseconds spent, std::size_t width)
{
	const double seconds =
		std::max(static_cast<double>(spent.count()) / 1000, 0.001);
	const double rate = static_cast<double>(done) / seconds;
	std::string rest;

	if (total && *total) {
		char percent[16];
		const double share =
			static_cast<double>(done) / static_cast<double>(*total);

		/* 100% is said when it is true */
		std::snprintf(
			percent, sizeof(percent), "  %3d%%",
			done >= *total
				? 100
				: std::min(99, static_cast<int>(share * 100)));
		rest = percent;
		rest += "  " + rounded(static_cast<double>(done)) + " of " +
			format_size(*total);
	} else {
		rest = "  " + rounded(static_cast<double>(done));
	}
	rest += "  " + rounded(rate) + "/s";

	if (total && done >= *total)
		rest += "  " +
			minutes(static_cast<std::uint64_t>(seconds + 0.5));
	else if (total && rate > 0)
		rest += "  " +
			minutes(static_cast<std::uint64_t>(
				static_cast<double>(*total - done) / rate +
				0.5)) +
			" left";

	/* the last column stays free: some terminals wrap when it is written */
	if (width > rest.size() + 4)
		return shorten(label, width - 1 - rest.size()) + rest;
	return rest.substr(0, width ? width - 1 : rest.size());
}

progress::progress(std::string label, std::optional<std::uint64_t> total,
		   bool quiet)
	: m_label(std::move(label)), m_total(total), m_start(clock::now()),
	  m_next(m_start + patience),
	  m_enabled(!quiet && ::isatty(STDERR_FILENO) == 1)
{
	catch_signals();
}

progress::~progress()
{
	if (m_shown)
		erase();
}

void progress::update(std::uint64_t done)
{
	m_done = done;

	const int signal = stop_signal();
	if (signal) {
		if (m_shown)
			erase();
		m_shown = false;

		std::string how_far = "interrupted after " + format_size(done);
		if (m_total)
			how_far += " of " + format_size(*m_total);
		throw interrupted(m_label, how_far, signal);
	}

	if (!m_enabled)
		return;

	const auto now = clock::now();
	if (now < m_next)
		return;
	m_next = now + interval;
	show(false);
}

void progress::finish()
{
	if (!m_shown)
		return;
	m_total = m_done;
	show(true);
	m_shown = false;
}

void progress::show(bool last)
{
	const auto spent =
		std::chrono::duration_cast<std::chrono::milliseconds>(
			clock::now() - m_start);
	const std::string line = "\r" +
				 progress_line(m_label, m_done, m_total, spent,
					       terminal_width(STDERR_FILENO)) +
				 "\033[K" + (last ? "\n" : "");

	m_shown = true;
	std::fputs(line.c_str(), stderr);
	std::fflush(stderr);
}

void progress::erase()
{
	std::fputs("\r\033[K", stderr);
	std::fflush(stderr);
}

} // namespace shmtool
