// SPDX-License-Identifier: BSL-1.0
/*
 * Modes and owners as people write and read them
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_ACCESS_HPP
#define SHMTOOL_ACCESS_HPP

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace shmtool {

/*
 * "0640", "640" or symbolic as for chmod(1): "u=rw,g+r,o-rwx", applied to
 * @current. The umask plays no part. On failure *why gets the reason.
 */
std::optional<mode_t> parse_mode(std::string_view text, mode_t current,
				 std::string *why = nullptr);

/* Whether the mode depends on the current one. */
bool mode_is_symbolic(std::string_view text);

/* "0640" */
std::string format_mode_octal(mode_t mode);

/* "rw-r-----" */
std::string format_mode(mode_t mode);

struct owner
{
	uid_t uid = static_cast<uid_t>(-1);
	gid_t gid = static_cast<gid_t>(-1);
};

/* As for chown(1): "OWNER", "OWNER:GROUP", ":GROUP", "OWNER:" (its group). */
std::optional<owner> parse_owner(const std::string &text,
				 std::string *why = nullptr);

/* Their names, or nothing for an id that has none. */
std::optional<std::string> user_name(uid_t uid);
std::optional<std::string> group_name(gid_t gid);

/* The name if there is one, otherwise the number. */
std::string show_user(uid_t uid);
std::string show_group(gid_t gid);

} // namespace shmtool

#endif
