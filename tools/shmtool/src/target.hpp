// SPDX-License-Identifier: BSL-1.0
/*
 * From an operand of the command line to a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_TARGET_HPP
#define SHMTOOL_TARGET_HPP

#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <shm_kernel/shm_kernel.hpp>

namespace shmtool {

/* The device nodes of the boot regions other than region 0. */
inline constexpr const char *node_directory = "/dev/shm_kernel/";

struct target
{
	shm_kernel::region handle;
	std::string shown; /* for messages: 'name', escaped, or the node */
};

/*
 * "-" is region 0, whatever has a '/' is the path of a node (or of a region
 * file below /proc/PID/fd), everything else is a name.
 */
bool is_path(const std::string &operand);

/* How messages call it. */
std::string shown(const std::string &operand);

/* The same at the beginning of a line, where it needs no quotes. */
std::string label(const std::string &operand);

/* Throws usage_error unless @name can be the name of a region. */
void check_name(const std::string &name);

/* @verb is for the message: "read", "resize". */
target open_target(const char *verb, const std::string &operand,
		   shm_kernel::access_mode mode);

/* All regions that the caller may see. */
std::vector<shm_kernel::region_info> list_regions();

/* The region of that name, if the caller may see it; it is not opened. */
std::optional<shm_kernel::region_info> find_region(const std::string &name);

/*
 * What is known about a region. One that is given by its name is not opened for
 * that: the list tells all of it.
 */
shm_kernel::region_info look_at(const char *verb, const std::string &operand);

/* Whether somebody would miss it: nobody keeps a persistent region by name. */
bool in_use(const shm_kernel::region_info &info);

/* Throws the failure that says why @verb did not work on @operand. */
[[noreturn]] void fail_region(const char *verb, const std::string &operand,
			      std::error_code error);

} // namespace shmtool

#endif
