/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A handle of a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/region.hpp>

#include "internal.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace shm_kernel {

namespace {

/* Longest single transfer: pread() and pwrite() stop there by themselves. */
constexpr std::size_t max_transfer = INT_MAX & ~std::size_t{0xfff};

using detail::check;
using detail::retry;

std::uint64_t pointer(const void *address) noexcept
{
	return reinterpret_cast<std::uintptr_t>(address);
}

/*
 * A node that is not there, or has no driver behind it, must not look like a
 * region that is not there.
 */
std::error_code node_error(int number) noexcept
{
	switch (number) {
	case ENOENT:
	case ENOTDIR:
	case ENXIO:
	case ENODEV:
		return errc::device_missing;
	case EACCES:
	case EPERM:
		return errc::device_denied;
	default:
		return {number, std::system_category()};
	}
}

/* Closes what it holds; a descriptor of the control node or of a region. */
class unique_fd final
{
public:
	explicit unique_fd(int fd) noexcept : m_fd(fd) {}
	unique_fd(const unique_fd &) = delete;
	unique_fd &operator=(const unique_fd &) = delete;
	~unique_fd()
	{
		if (m_fd >= 0)
			::close(m_fd);
	}

	int get() const noexcept { return m_fd; }

private:
	int m_fd;
};

int node_open(const char *path, int flags, std::error_code &error) noexcept
{
	const int fd = retry([&] { return ::open(path, flags | O_CLOEXEC); });

	if (fd < 0)
		error = node_error(errno);
	else
		error.clear();
	return fd;
}

/*
 * One request to the control node. It is not kept open: that would hold the
 * module, and survive in programs that fork.
 */
int control(unsigned long request, void *argument,
	    std::error_code &error) noexcept
{
	const unique_fd node(node_open(control_node, O_RDONLY, error));

	if (node.get() < 0)
		return -1;

	const int result =
		retry([&] { return ::ioctl(node.get(), request, argument); });

	if (result < 0)
		error = detail::region_error(errno);
	return result;
}

void simple(int fd, unsigned long request, std::error_code &error) noexcept
{
	struct shm_kernel_simple argument = {};

	error = check(fd);
	if (error)
		return;
	argument.size = sizeof(argument);
	if (retry([&] { return ::ioctl(fd, request, &argument); }) < 0)
		error = detail::region_error(errno);
}

/* CLEAR and RESET know one EPERM. */
void rewrite(int fd, unsigned long request, std::error_code &error) noexcept
{
	simple(fd, request, error);
	if (error == errc::not_permitted)
		error = errc::sealed;
}

void get_info(int fd, struct shm_kernel_info &raw,
	      std::error_code &error) noexcept
{
	error = check(fd);
	if (error)
		return;
	raw = {};
	raw.size = sizeof(raw);
	if (retry([&] { return ::ioctl(fd, SHM_KERNEL_IOC_GET_INFO, &raw); }) <
	    0)
		error = detail::region_error(errno);
}

/* EBADF on a descriptor that is open: it is not open for that. */
std::error_code transfer_error(int fd, int number) noexcept
{
	if (number == EBADF && ::fcntl(fd, F_GETFD) >= 0)
		return errc::permission_denied;
	if (number == ENOSPC)
		return errc::past_end;
	if (number == EPERM)
		return errc::sealed;
	return detail::region_error(number);
}

/* Whether the region was made with a size for good, and not sealed later. */
bool is_fixed(int fd) noexcept
{
	struct shm_kernel_info raw;
	std::error_code error;

	get_info(fd, raw, error);
	return error ||
	       raw.flags & (SHM_KERNEL_INFO_BOOT | SHM_KERNEL_INFO_CONTIG);
}

int open_flags(access_mode mode) noexcept
{
	return mode == access_mode::read_write ? O_RDWR : O_RDONLY;
}

} // namespace

access_mode detail::access_of(int fd, std::error_code &error) noexcept
{
	error = check(fd);
	if (error)
		return access_mode::read_only;

	const int flags = ::fcntl(fd, F_GETFL);

	if (flags < 0)
		error = region_error(errno);
	return flags >= 0 && (flags & O_ACCMODE) == O_RDWR
		       ? access_mode::read_write
		       : access_mode::read_only;
}

region::region(region &&other) noexcept : m_fd(other.release())
{
}

region &region::operator=(region &&other) noexcept
{
	region(std::move(other)).swap(*this);
	return *this;
}

region::~region()
{
	close();
}

region region::create(const create_options &options,
		      std::error_code &error) noexcept
{
	struct shm_kernel_create argument = {};

	argument.size = sizeof(argument);
	argument.length = options.size();
	argument.mode = options.mode();
	if (!options.name().empty()) {
		const std::string_view name =
			detail::checked_name(options.name(), error);

		if (error)
			return region();
		argument.name = pointer(name.data());
		argument.name_len = static_cast<__u32>(name.size());
	}
	if (options.persistent())
		argument.flags |= SHM_KERNEL_CREATE_PERSIST;
	if (options.contiguous())
		argument.flags |= SHM_KERNEL_CREATE_CONTIG;
	if (options.small_pages())
		argument.flags |= SHM_KERNEL_CREATE_SMALL;
	if (options.numa_node()) {
		argument.flags |= SHM_KERNEL_CREATE_NODE;
		argument.numa_node = *options.numa_node();
	}
	std::memcpy(argument.tag, options.tag().data(), options.tag().size());
	return region(control(SHM_KERNEL_IOC_CREATE, &argument, error));
}

region region::create(const create_options &options)
{
	std::error_code error;
	region result = create(options, error);

	detail::throw_if(error, "create region", options.name());
	return result;
}

region region::create(std::string_view name, std::uint64_t size)
{
	std::error_code error;
	region result = create(name, size, error);

	detail::throw_if(error, "create region", name);
	return result;
}

region region::create(std::string_view name, std::uint64_t size,
		      std::error_code &error)
{
	/* The one way to an unnamed region is not to speak of a name. */
	if (name.empty()) {
		error = errc::invalid_name;
		return region();
	}
	return create(create_options().set_name(name).set_size(size), error);
}

region region::open(std::string_view name, access_mode mode,
		    std::error_code &error) noexcept
{
	struct shm_kernel_open argument = {};

	name = detail::checked_name(name, error);
	if (error)
		return region();
	argument.size = sizeof(argument);
	argument.flags = static_cast<__u32>(open_flags(mode));
	argument.name = pointer(name.data());
	argument.name_len = static_cast<__u32>(name.size());
	return region(control(SHM_KERNEL_IOC_OPEN, &argument, error));
}

region region::open(std::string_view name, access_mode mode)
{
	std::error_code error;
	region result = open(name, mode, error);

	detail::throw_if(error, "open region", name);
	return result;
}

region region::open_node(const std::string &path, access_mode mode,
			 std::error_code &error) noexcept
{
	struct shm_kernel_info raw;
	region result(node_open(path.c_str(), open_flags(mode), error));

	if (!error)
		get_info(result.m_fd, raw, error);
	if (error)
		result.close();
	return result;
}

region region::open_node(const std::string &path, access_mode mode)
{
	std::error_code error;
	region result = open_node(path, mode, error);

	detail::throw_if(error, "open node", path);
	return result;
}

region region::adopt(int descriptor, std::error_code &error) noexcept
{
	struct shm_kernel_info raw;

	get_info(descriptor, raw, error);
	return region(error ? -1 : descriptor);
}

region region::adopt(int descriptor)
{
	std::error_code error;
	region result = adopt(descriptor, error);

	detail::throw_if(error, "adopt descriptor");
	return result;
}

void region::remove(std::string_view name, std::error_code &error) noexcept
{
	struct shm_kernel_name argument = {};

	name = detail::checked_name(name, error);
	if (error)
		return;
	argument.size = sizeof(argument);
	argument.name = pointer(name.data());
	argument.name_len = static_cast<__u32>(name.size());
	control(SHM_KERNEL_IOC_REMOVE, &argument, error);
}

void region::remove(std::string_view name)
{
	std::error_code error;

	remove(name, error);
	detail::throw_if(error, "remove region", name);
}

std::vector<region_info> region::list(std::error_code &error)
{
	constexpr std::size_t page = 64;
	std::vector<struct shm_kernel_info> entries(page);
	std::vector<region_info> result;
	struct shm_kernel_list argument = {};
	const unique_fd node(node_open(control_node, O_RDONLY, error));

	if (error)
		return result;
	argument.size = sizeof(argument);
	argument.entries = pointer(entries.data());
	argument.entry_size = sizeof(struct shm_kernel_info);
	do {
		argument.count = page;
		if (retry([&] {
			    return ::ioctl(node.get(), SHM_KERNEL_IOC_LIST,
					   &argument);
		    }) < 0) {
			error = detail::region_error(errno);
			return {};
		}
		for (std::size_t i = 0;
		     i < std::min<std::size_t>(argument.count, page); ++i)
			result.push_back(region_info(
				std::make_shared<const region_info::impl>(
					entries[i])));
	} while (argument.count);
	return result;
}

std::vector<region_info> region::list()
{
	std::error_code error;
	std::vector<region_info> result = list(error);

	detail::throw_if(error, "list regions");
	return result;
}

void region::bind(std::string_view name, std::error_code &error) noexcept
{
	struct shm_kernel_name argument = {};

	name = detail::checked_name(name, error);
	if (error)
		return;
	error = check(m_fd);
	if (error)
		return;
	argument.size = sizeof(argument);
	argument.name = pointer(name.data());
	argument.name_len = static_cast<__u32>(name.size());
	if (retry([&] {
		    return ::ioctl(m_fd, SHM_KERNEL_IOC_BIND, &argument);
	    }) >= 0)
		return;
	/* The name itself was found good above. */
	error = errno == EINVAL ? make_error_code(errc::already_named)
				: detail::region_error(errno);
}

void region::bind(std::string_view name)
{
	std::error_code error;

	bind(name, error);
	detail::throw_if(error, "name region", name);
}

std::uint64_t region::size(std::error_code &error) const noexcept
{
	struct shm_kernel_info raw;
	struct stat status;

	error = check(m_fd);
	if (error)
		return 0;
	if (::fstat(m_fd, &status)) {
		error = detail::region_error(errno);
		return 0;
	}
	if (S_ISREG(status.st_mode))
		return static_cast<std::uint64_t>(status.st_size);
	/* Device nodes have no st_size. */
	get_info(m_fd, raw, error);
	return error ? 0 : raw.length;
}

std::uint64_t region::size() const
{
	std::error_code error;
	const std::uint64_t result = size(error);

	detail::throw_if(error, "get size of region");
	return result;
}

void region::resize(std::uint64_t size, std::error_code &error) noexcept
{
	error = check(m_fd);
	if (error)
		return;
	if (size >
	    static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
		error = std::make_error_code(std::errc::file_too_large);
		return;
	}
	if (!retry([&] { return ::ftruncate(m_fd, static_cast<off_t>(size)); }))
		return;

	const int number = errno;
	std::error_code ignored;

	if (number == EPERM) {
		error = is_fixed(m_fd) ? errc::fixed_size : errc::sealed;
	} else if (number == EINVAL &&
		   access(ignored) == access_mode::read_only && !ignored) {
		/* The VFS finds that invalid which is not open for writing. */
		error = errc::permission_denied;
	} else if (number == EINVAL) {
		/* And that which is no file at all: a device node. */
		struct stat status;

		if (!::fstat(m_fd, &status) && !S_ISREG(status.st_mode))
			error = errc::fixed_size;
		else
			error = detail::region_error(number);
	} else {
		error = detail::region_error(number);
	}
}

void region::resize(std::uint64_t size)
{
	std::error_code error;

	resize(size, error);
	detail::throw_if(error, "resize region");
}

region_info region::info(std::error_code &error) const
{
	struct shm_kernel_info raw;

	get_info(m_fd, raw, error);
	if (error)
		return region_info();
	return region_info(std::make_shared<const region_info::impl>(raw));
}

region_info region::info() const
{
	std::error_code error;
	region_info result = info(error);

	detail::throw_if(error, "get information of region");
	return result;
}

void region::clear(std::error_code &error) noexcept
{
	rewrite(m_fd, SHM_KERNEL_IOC_CLEAR, error);
}

void region::clear()
{
	std::error_code error;

	clear(error);
	detail::throw_if(error, "clear region");
}

void region::reset(std::error_code &error) noexcept
{
	rewrite(m_fd, SHM_KERNEL_IOC_RESET, error);
}

void region::reset()
{
	std::error_code error;

	reset(error);
	detail::throw_if(error, "reset region");
}

void region::add_seals(seal seals, std::error_code &error) noexcept
{
	struct shm_kernel_seals argument = {};
	std::error_code ignored;

	error = check(m_fd);
	if (error)
		return;
	argument.size = sizeof(argument);
	argument.seals = static_cast<__u32>(seals);
	if (retry([&] {
		    return ::ioctl(m_fd, SHM_KERNEL_IOC_ADD_SEALS, &argument);
	    }) >= 0)
		return;
	error = detail::request_error(errno);
	if (error != errc::not_permitted)
		return;

	struct shm_kernel_info raw;

	if (access(ignored) == access_mode::read_only && !ignored) {
		error = errc::permission_denied;
	} else {
		get_info(m_fd, raw, ignored);
		if (!ignored && raw.seals & SHM_KERNEL_SEAL_SEAL)
			error = errc::sealed;
	}
}

void region::add_seals(seal seals)
{
	std::error_code error;

	add_seals(seals, error);
	detail::throw_if(error, "seal region");
}

void region::revoke(std::error_code &error) noexcept
{
	simple(m_fd, SHM_KERNEL_IOC_REVOKE, error);
}

void region::revoke()
{
	std::error_code error;

	revoke(error);
	detail::throw_if(error, "revoke region");
}

std::size_t region::read(std::uint64_t offset, void *buffer, std::size_t size,
			 std::error_code &error) const noexcept
{
	char *const to = static_cast<char *>(buffer);
	std::size_t done = 0;

	error = check(m_fd);
	while (!error && done < size) {
		const ssize_t count = retry([&] {
			return ::pread(m_fd, to + done,
				       std::min(size - done, max_transfer),
				       static_cast<off_t>(offset + done));
		});

		if (count < 0)
			error = transfer_error(m_fd, errno);
		else if (!count)
			break;
		else
			done += static_cast<std::size_t>(count);
	}
	return done;
}

std::size_t region::read(std::uint64_t offset, void *buffer,
			 std::size_t size) const
{
	std::error_code error;
	const std::size_t result = read(offset, buffer, size, error);

	detail::throw_if(error, "read region");
	return result;
}

std::size_t region::write(std::uint64_t offset, const void *buffer,
			  std::size_t size, std::error_code &error) noexcept
{
	const char *const from = static_cast<const char *>(buffer);
	std::size_t done = 0;

	error = check(m_fd);
	while (!error && done < size) {
		const ssize_t count = retry([&] {
			return ::pwrite(m_fd, from + done,
					std::min(size - done, max_transfer),
					static_cast<off_t>(offset + done));
		});

		if (count < 0)
			error = transfer_error(m_fd, errno);
		else if (!count)
			error = errc::past_end;
		else
			done += static_cast<std::size_t>(count);
	}
	return done;
}

std::size_t region::write(std::uint64_t offset, const void *buffer,
			  std::size_t size)
{
	std::error_code error;
	const std::size_t result = write(offset, buffer, size, error);

	detail::throw_if(error, "write region");
	return result;
}

void region::chmod(mode_t mode, std::error_code &error) noexcept
{
	error = check(m_fd);
	if (!error && ::fchmod(m_fd, mode))
		error = detail::region_error(errno);
}

void region::chmod(mode_t mode)
{
	std::error_code error;

	chmod(mode, error);
	detail::throw_if(error, "change mode of region");
}

void region::chown(uid_t uid, gid_t gid, std::error_code &error) noexcept
{
	error = check(m_fd);
	if (!error && ::fchown(m_fd, uid, gid))
		error = detail::region_error(errno);
}

void region::chown(uid_t uid, gid_t gid)
{
	std::error_code error;

	chown(uid, gid, error);
	detail::throw_if(error, "change owner of region");
}

access_mode region::access(std::error_code &error) const noexcept
{
	return detail::access_of(m_fd, error);
}

access_mode region::access() const
{
	std::error_code error;
	const access_mode result = access(error);

	detail::throw_if(error, "get access of region");
	return result;
}

region region::reopen(access_mode mode, std::error_code &error) const noexcept
{
	char path[sizeof("/proc/self/fd/-2147483648")];

	error = check(m_fd);
	if (error)
		return region();
	std::snprintf(path, sizeof(path), "/proc/self/fd/%d", m_fd);

	const int fd = retry(
		[&] { return ::open(path, open_flags(mode) | O_CLOEXEC); });

	/* ENOENT is then a missing /proc, and no name of a region. */
	if (fd < 0 && errno == ENOENT)
		error = {ENOENT, std::system_category()};
	else if (fd < 0)
		error = detail::region_error(errno);
	return region(fd);
}

region region::reopen(access_mode mode) const
{
	std::error_code error;
	region result = reopen(mode, error);

	detail::throw_if(error, "open region again");
	return result;
}

int region::release() noexcept
{
	return std::exchange(m_fd, -1);
}

void region::close() noexcept
{
	const int fd = release();

	/* Closed in any case on Linux, EINTR included: never twice. */
	if (fd >= 0)
		::close(fd);
}

void region::swap(region &other) noexcept
{
	std::swap(m_fd, other.m_fd);
}

} // namespace shm_kernel
