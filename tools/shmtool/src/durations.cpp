// SPDX-License-Identifier: BSL-1.0
/*
 * Times as people write and read them
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "durations.hpp"

#include <cstdint>
#include <cstdio>
#include <ctime>

namespace shmtool {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr std::uint64_t longest = 10ULL * 365 * 24 * 3600 * 1000;

/* Milliseconds of a suffix; 0 if it is none. */
std::uint64_t suffix_factor(std::string_view suffix)
{
	if (suffix.empty() || suffix == "s")
		return 1000;
	if (suffix == "ms")
		return 1;
	if (suffix == "m" || suffix == "min")
		return 60 * 1000;
	if (suffix == "h")
		return 3600 * 1000;
	return 0;
}

bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

std::optional<milliseconds> bad(std::string *why, const char *reason)
{
	if (why)
		*why = reason;
	return std::nullopt;
}

std::string format_time(system_clock::time_point when, bool utc,
			const char *format, const char *end)
{
	const auto since = std::chrono::duration_cast<microseconds>(
		when.time_since_epoch());
	const auto seconds = static_cast<std::time_t>(
		std::chrono::floor<std::chrono::seconds>(since).count());
	const auto fraction = since - std::chrono::seconds(seconds);
	std::tm parts{};
	char date[64];
	char micro[16];

	if (utc)
		::gmtime_r(&seconds, &parts);
	else
		::localtime_r(&seconds, &parts);
	std::strftime(date, sizeof(date), format, &parts);
	std::snprintf(micro, sizeof(micro), ".%06d",
		      static_cast<int>(fraction.count()));
	return std::string(date) + micro + end;
}

} // namespace

std::optional<milliseconds> parse_duration(std::string_view text,
					   std::string *why)
{
	static constexpr const char *not_a_time =
		"not a time (write seconds as 2 or 1.5, or with a suffix: "
		"250ms, 2s, 5m, 1h)";
	static constexpr const char *too_long = "too long: ten years at most";
	std::uint64_t whole = 0;
	std::uint64_t fraction = 0;
	std::uint64_t scale = 1;
	std::size_t pos = 0;

	if (!text.empty() && text[0] == '-')
		return bad(why, "negative");
	if (text.empty() || !is_digit(text[0]))
		return bad(why, not_a_time);
	for (; pos < text.size() && is_digit(text[pos]); pos++) {
		whole = whole * 10 + static_cast<unsigned>(text[pos] - '0');
		if (whole > longest)
			return bad(why, too_long);
	}
	if (pos < text.size() && text[pos] == '.') {
		if (++pos == text.size() || !is_digit(text[pos]))
			return bad(why, not_a_time);
		for (; pos < text.size() && is_digit(text[pos]); pos++) {
			if (scale >= 1000000)
				return bad(why, "more than six digits after "
						"the point");
			scale *= 10;
			fraction = fraction * 10 +
				   static_cast<unsigned>(text[pos] - '0');
		}
	}

	const std::uint64_t factor = suffix_factor(text.substr(pos));
	if (!factor)
		return bad(why, not_a_time);
	if (fraction * factor % scale)
		return bad(why, "not a whole number of milliseconds");

	/* neither product exceeds longest * factor, which 64 bits hold */
	const std::uint64_t total = whole * factor + fraction * factor / scale;
	if (total > longest)
		return bad(why, too_long);
	return milliseconds(total);
}

std::string format_duration(milliseconds duration)
{
	const auto count = static_cast<long long>(duration.count());
	char text[32];

	if (count < 1000)
		return std::to_string(count) + " ms";
	if (count % 1000 == 0)
		return std::to_string(count / 1000) + " s";
	std::snprintf(text, sizeof(text), "%.3f",
		      static_cast<double>(count) / 1000);

	std::string shorter = text;
	shorter.erase(shorter.find_last_not_of('0') + 1);
	return shorter + " s";
}

std::string format_local_time(system_clock::time_point when)
{
	return format_time(when, false, "%Y-%m-%d %H:%M:%S", "");
}

std::string format_utc_time(system_clock::time_point when)
{
	return format_time(when, true, "%Y-%m-%dT%H:%M:%S", "Z");
}

} // namespace shmtool
