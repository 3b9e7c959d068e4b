// SPDX-License-Identifier: BSL-1.0
/*
 * Sizes and offsets as people write and read them
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "sizes.hpp"

#include <array>
#include <cstdio>

namespace shmtool {
namespace {

constexpr std::uint64_t largest = INT64_MAX;
constexpr std::string_view letters = "KMGTPE";

bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

char upper(char c)
{
	return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/* The factor of a suffix; 0 if it is none. */
std::uint64_t suffix_factor(std::string_view suffix)
{
	if (suffix.empty() || suffix == "B" || suffix == "b")
		return 1;

	const auto power = letters.find(upper(suffix[0]));
	if (power == std::string_view::npos)
		return 0;

	const std::string_view rest = suffix.substr(1);
	std::uint64_t base;
	if (rest.empty() || rest == "iB" || rest == "ib" || rest == "i")
		base = 1024;
	else if (rest == "B" || rest == "b")
		base = 1000;
	else
		return 0;

	std::uint64_t factor = 1;
	for (std::size_t i = 0; i <= power; i++)
		factor *= base;
	return factor;
}

std::optional<std::uint64_t> bad(std::string *why, const char *reason)
{
	if (why)
		*why = reason;
	return std::nullopt;
}

} // namespace

std::optional<std::uint64_t> parse_size(std::string_view text, std::string *why)
{
	static constexpr const char *not_a_size =
		"not a size (write bytes as 4096 or 0x1000, or with a suffix: "
		"64K, 1.5M, 2GiB, 10MB)";
	static constexpr const char *too_large =
		"too large: a size has at most 63 bits";
	std::size_t pos = 0;
	std::uint64_t whole = 0;
	std::uint64_t fraction = 0;
	std::uint64_t fraction_scale = 1;

	if (text.empty())
		return bad(why, not_a_size);
	if (text[0] == '-')
		return bad(why, "negative");

	if (text.size() > 2 && text[0] == '0' &&
	    (text[1] == 'x' || text[1] == 'X')) {
		pos = 2;
		if (hex_digit(text[pos]) < 0)
			return bad(why, not_a_size);
		for (; pos < text.size() && hex_digit(text[pos]) >= 0; pos++) {
			if (whole > largest >> 4)
				return bad(why, too_large);
			whole = whole << 4 |
				static_cast<unsigned>(hex_digit(text[pos]));
		}
	} else {
		if (!is_digit(text[0]))
			return bad(why, not_a_size);
		for (; pos < text.size() && is_digit(text[pos]); pos++) {
			const auto digit =
				static_cast<std::uint64_t>(text[pos] - '0');

			if (whole > (largest - digit) / 10)
				return bad(why, too_large);
			whole = whole * 10 + digit;
		}
		if (pos < text.size() && text[pos] == '.') {
			if (++pos == text.size() || !is_digit(text[pos]))
				return bad(why, not_a_size);
			for (; pos < text.size() && is_digit(text[pos]);
			     pos++) {
				const auto digit = static_cast<std::uint64_t>(
					text[pos] - '0');

				if (fraction_scale >= 1000000000)
					return bad(why, "more than nine digits "
							"after the point");
				fraction_scale *= 10;
				fraction = fraction * 10 + digit;
			}
		}
	}

	const std::uint64_t factor = suffix_factor(text.substr(pos));
	if (!factor)
		return bad(why, not_a_size);
	if (whole > largest / factor)
		return bad(why, too_large);

	/* the product of fraction and factor may not fit into 64 bits at once
	 */
	const std::uint64_t part = fraction * (factor % fraction_scale);
	if (part % fraction_scale)
		return bad(why, "not a whole number of bytes");

	const std::uint64_t bytes = whole * factor;
	const std::uint64_t extra =
		fraction * (factor / fraction_scale) + part / fraction_scale;
	if (extra > largest - bytes)
		return bad(why, too_large);
	return bytes + extra;
}

std::string format_size(std::uint64_t bytes)
{
	static constexpr std::array<const char *, 7> units = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	std::size_t unit = 0;
	std::uint64_t factor = 1;
	char text[32];

	while (unit + 1 < units.size() && bytes / factor >= 1024) {
		factor *= 1024;
		unit++;
	}

	if (bytes % factor == 0) {
		std::snprintf(text, sizeof(text), "%llu %s",
			      static_cast<unsigned long long>(bytes / factor),
			      units[unit]);
		return text;
	}
	if (bytes < 10000) {
		std::snprintf(text, sizeof(text), "%llu B",
			      static_cast<unsigned long long>(bytes));
		return text;
	}

	const double value =
		static_cast<double>(bytes) / static_cast<double>(factor);

	/* "1024 KiB" would be the next unit's 1; one digit is enough from 100
	 * on */
	if (value >= 1023.5 && unit + 1 < units.size())
		std::snprintf(text, sizeof(text), "1.0 %s", units[unit + 1]);
	else
		std::snprintf(text, sizeof(text),
			      value < 99.95 ? "%.1f %s" : "%.0f %s", value,
			      units[unit]);
	return text;
}

std::string format_size_exact(std::uint64_t bytes)
{
	const std::string plain =
		std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
	const std::string human = format_size(bytes);

	if (human.size() >= 2 && human.compare(human.size() - 2, 2, " B") == 0)
		return plain;
	return human + " (" + plain + ")";
}

std::string format_part(std::uint64_t part, std::uint64_t whole)
{
	const auto percent = whole ? static_cast<std::uint64_t>(
					     static_cast<double>(part) * 100 /
					     static_cast<double>(whole))
				   : 0;

	return part && !percent ? "<1%" : std::to_string(percent) + "%";
}

} // namespace shmtool
