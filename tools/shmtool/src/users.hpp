// SPDX-License-Identifier: BSL-1.0
/*
 * Which processes use a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_USERS_HPP
#define SHMTOOL_USERS_HPP

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <shm_kernel/shm_kernel.hpp>

namespace shmtool {

struct region_user
{
	pid_t pid = 0;
	uid_t uid = 0;
	std::string command;
	std::vector<int> descriptors;
	std::vector<int> event_descriptors;
	std::uint64_t mapped = 0; /* bytes of its address space */
};

struct region_users
{
	std::vector<region_user> list;
	/* false: there are processes that the caller may not look at */
	bool complete = true;
};

/*
 * Looks through /proc for all but this process. A region has several inodes,
 * its own and that of a node: @handle is an open file of it, and may be empty.
 */
region_users find_users(const shm_kernel::region_info &info,
			const shm_kernel::region &handle);

/* A line of /proc/PID/maps: what is mapped, and how much of it. */
struct map_line
{
	dev_t device = 0;
	ino_t inode = 0;
	std::uint64_t bytes = 0;
};

/* False if @line is none, or a mapping of no file. */
bool parse_map_line(const std::string &line, map_line &result);

} // namespace shmtool

#endif
