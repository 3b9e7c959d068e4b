// SPDX-License-Identifier: BSL-1.0
/*
 * Modes and owners as people write and read them
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "access.hpp"

#include <grp.h>
#include <pwd.h>

#include <cstdint>
#include <cstdio>
#include <map>

#include "escape.hpp"

namespace shmtool {
namespace {

constexpr mode_t all_bits = 0777;

template <typename T>
std::optional<T> bad(std::string *why, std::string reason)
{
	if (why)
		*why = std::move(reason);
	return std::nullopt;
}

/* The largest id is no id: it means "leave it" to chown(). */
std::optional<std::uint32_t> parse_id(const std::string &text)
{
	std::uint64_t value = 0;

	if (text.empty() || text.size() > 10)
		return std::nullopt;
	for (const char c : text) {
		if (c < '0' || c > '9')
			return std::nullopt;
		value = value * 10 + static_cast<std::uint64_t>(c - '0');
	}
	if (value >= UINT32_MAX)
		return std::nullopt;
	return static_cast<std::uint32_t>(value);
}

} // namespace

bool mode_is_symbolic(std::string_view text)
{
	return text.find_first_not_of("0123456789") != std::string_view::npos;
}

std::optional<mode_t> parse_mode(std::string_view text, mode_t current,
				 std::string *why)
{
	static constexpr const char *not_a_mode =
		"not a mode (write it as 0640 or as u=rw,g+r,o-rwx)";

	if (text.empty())
		return bad<mode_t>(why, not_a_mode);

	if (!mode_is_symbolic(text)) {
		mode_t mode = 0;

		for (const char c : text) {
			if (c > '7')
				return bad<mode_t>(why, not_a_mode);
			mode = mode << 3 | static_cast<mode_t>(c - '0');
			if (mode > all_bits)
				return bad<mode_t>(
					why, "a region's mode is 0 to 0777");
		}
		return mode;
	}

	mode_t mode = current & all_bits;
	std::size_t pos = 0;
	while (true) {
		mode_t who = 0;
		bool acted = false;

		for (; pos < text.size(); pos++) {
			if (text[pos] == 'u')
				who |= 0700;
			else if (text[pos] == 'g')
				who |= 0070;
			else if (text[pos] == 'o')
				who |= 0007;
			else if (text[pos] == 'a')
				who |= 0777;
			else
				break;
		}
		if (!who)
			who = all_bits;

		while (pos < text.size() &&
		       (text[pos] == '+' || text[pos] == '-' ||
			text[pos] == '=')) {
			const char action = text[pos++];
			mode_t what = 0;

			for (; pos < text.size(); pos++) {
				if (text[pos] == 'r')
					what |= 0444;
				else if (text[pos] == 'w')
					what |= 0222;
				else if (text[pos] == 'x')
					what |= 0111;
				else
					break;
			}
			if (action == '+')
				mode |= what & who;
			else if (action == '-')
				mode &= ~(what & who);
			else
				mode = (mode & ~who) | (what & who);
			acted = true;
		}

		if (!acted)
			return bad<mode_t>(why, not_a_mode);
		if (pos == text.size())
			return mode;
		if (text[pos++] != ',')
			return bad<mode_t>(why, not_a_mode);
	}
}

std::string format_mode_octal(mode_t mode)
{
	char text[16];

	std::snprintf(text, sizeof(text), "%04o",
		      static_cast<unsigned>(mode & all_bits));
	return text;
}

std::string format_mode(mode_t mode)
{
	std::string text;

	for (int bit = 8; bit >= 0; bit--)
		text += mode & (1U << bit) ? "xwr"[bit % 3] : '-';
	return text;
}

std::optional<owner> parse_owner(const std::string &text, std::string *why)
{
	const std::size_t colon = text.find(':');
	const std::string user = text.substr(0, colon);
	const bool with_group = colon != std::string::npos;
	const std::string group =
		with_group ? text.substr(colon + 1) : std::string();
	owner result;

	if (user.empty() && group.empty())
		return bad<owner>(why, "not an owner (write it as OWNER, "
				       "OWNER:GROUP or :GROUP)");

	if (!user.empty()) {
		const struct passwd *entry = ::getpwnam(user.c_str());

		if (entry) {
			result.uid = entry->pw_uid;
			if (with_group && group.empty())
				result.gid = entry->pw_gid;
		} else if (const auto id = parse_id(user)) {
			result.uid = *id;
			if (with_group && group.empty())
				return bad<owner>(
					why,
					"user " + user +
						" has no group of its own");
		} else {
			return bad<owner>(why, "there is no user '" +
						       printable(user) + "'");
		}
	}

	if (!group.empty()) {
		const struct group *entry = ::getgrnam(group.c_str());

		if (entry)
			result.gid = entry->gr_gid;
		else if (const auto id = parse_id(group))
			result.gid = *id;
		else
			return bad<owner>(why, "there is no group '" +
						       printable(group) + "'");
	}
	return result;
}

std::optional<std::string> user_name(uid_t uid)
{
	/* a list shows the same few owners again and again */
	static std::map<uid_t, std::optional<std::string>> known;
	const auto found = known.find(uid);

	if (found != known.end())
		return found->second;

	const struct passwd *entry = ::getpwuid(uid);
	return known[uid] = entry ? std::optional<std::string>(entry->pw_name)
				  : std::nullopt;
}

std::optional<std::string> group_name(gid_t gid)
{
	static std::map<gid_t, std::optional<std::string>> known;
	const auto found = known.find(gid);

	if (found != known.end())
		return found->second;

	const struct group *entry = ::getgrgid(gid);
	return known[gid] = entry ? std::optional<std::string>(entry->gr_name)
				  : std::nullopt;
}

std::string show_user(uid_t uid)
{
	const auto name = user_name(uid);

	return name ? printable(*name) : std::to_string(uid);
}

std::string show_group(gid_t gid)
{
	const auto name = group_name(gid);

	return name ? printable(*name) : std::to_string(gid);
}

} // namespace shmtool
