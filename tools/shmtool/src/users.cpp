// SPDX-License-Identifier: BSL-1.0
/*
 * Which processes use a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "users.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "show.hpp"
#include "target.hpp"

namespace shmtool {
namespace {

using shm_kernel::region;
using shm_kernel::region_info;

using file_id = std::pair<dev_t, ino_t>;

std::optional<unsigned int> number(const char *text)
{
	unsigned int value = 0;

	if (!*text)
		return std::nullopt;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > 100000000)
			return std::nullopt;
		value = value * 10 + static_cast<unsigned int>(*text - '0');
	}
	return value;
}

/* The entries of @path that are numbers; nothing if it may not be read. */
std::optional<std::vector<unsigned int>> numbers_in(const std::string &path)
{
	const std::unique_ptr<DIR, int (*)(DIR *)> directory(
		::opendir(path.c_str()), ::closedir);
	std::vector<unsigned int> found;

	if (!directory) {
		/* a process that ended meanwhile uses nothing */
		if (errno == ENOENT || errno == ESRCH)
			return found;
		return std::nullopt;
	}
	while (const struct dirent *entry = ::readdir(directory.get()))
		if (const auto value = number(entry->d_name))
			found.push_back(*value);
	std::sort(found.begin(), found.end());
	return found;
}

/* The id of the region that is open there, from the driver's lines. */
std::optional<std::uint64_t> open_region_id(const std::string &fdinfo)
{
	static constexpr std::string_view key = "shm_kernel-id:\t";
	std::ifstream file(fdinfo);

	for (std::string line; std::getline(file, line);)
		if (line.compare(0, key.size(), key) == 0)
			return std::strtoull(line.c_str() + key.size(), nullptr,
					     10);
	return std::nullopt;
}

enum class file_kind { other, region, events };

/* Most descriptors are told by their link not to be worth a closer look. */
file_kind kind_of(const std::string &link)
{
	char text[64];
	const ssize_t n = ::readlink(link.c_str(), text, sizeof(text));
	const std::string_view target(text,
				      n > 0 ? static_cast<std::size_t>(n) : 0);

	if (target == "anon_inode:[shm_kernel_events]")
		return file_kind::events;
	return target.find("shm_kernel") != std::string_view::npos
		       ? file_kind::region
		       : file_kind::other;
}

void add_file(std::set<file_id> &files, int error, const struct stat &status)
{
	if (!error)
		files.emplace(status.st_dev, status.st_ino);
}

} // namespace

bool parse_map_line(const std::string &line, map_line &result)
{
	unsigned long long start, end, inode;
	unsigned int major_number, minor_number;

	if (std::sscanf(line.c_str(), "%llx-%llx %*s %*x %x:%x %llu", &start,
			&end, &major_number, &minor_number, &inode) != 5 ||
	    !inode || end <= start)
		return false;
	result.device = makedev(major_number, minor_number);
	result.inode = inode;
	result.bytes = end - start;
	return true;
}

region_users find_users(const region_info &info, const region &handle)
{
	std::vector<region_user> candidates;
	std::set<file_id> files;
	struct stat status
	{
	};
	region_users result;

	if (handle)
		add_file(files, ::fstat(handle.native_handle(), &status),
			 status);
	const std::string node = node_path(info);
	if (!node.empty())
		add_file(files, ::stat(node.c_str(), &status), status);

	for (const unsigned int pid :
	     numbers_in("/proc").value_or(std::vector<unsigned int>())) {
		const std::string process = "/proc/" + std::to_string(pid);
		region_user user;

		user.pid = static_cast<pid_t>(pid);
		if (user.pid == ::getpid() ||
		    ::stat(process.c_str(), &status) != 0)
			continue;
		user.uid = status.st_uid;

		const auto descriptors = numbers_in(process + "/fd");
		if (!descriptors) {
			result.complete = false;
			continue;
		}
		for (const unsigned int fd : *descriptors) {
			const std::string link =
				process + "/fd/" + std::to_string(fd);

			const file_kind kind = kind_of(link);

			if (kind == file_kind::other ||
			    open_region_id(process + "/fdinfo/" +
					   std::to_string(fd)) != info.id())
				continue;
			/* all event files, and other things, have one inode */
			if (kind == file_kind::events) {
				user.event_descriptors.push_back(
					static_cast<int>(fd));
				continue;
			}
			user.descriptors.push_back(static_cast<int>(fd));
			add_file(files, ::stat(link.c_str(), &status), status);
		}
		std::ifstream comm(process + "/comm");
		std::getline(comm, user.command);
		candidates.push_back(std::move(user));
	}

	/* only now all inodes that can be known are known */
	for (region_user &user : candidates) {
		std::ifstream maps("/proc/" + std::to_string(user.pid) +
				   "/maps");

		for (std::string line; std::getline(maps, line);) {
			map_line map;

			if (parse_map_line(line, map) &&
			    files.count({map.device, map.inode}))
				user.mapped += map.bytes;
		}
		if (!user.descriptors.empty() ||
		    !user.event_descriptors.empty() || user.mapped)
			result.list.push_back(std::move(user));
	}
	return result;
}

} // namespace shmtool
