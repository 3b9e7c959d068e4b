/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A driver that is wrong in one way, as far as a program can tell
 *
 * To be loaded in front of the C library (LD_PRELOAD). SHM_KERNEL_BROKEN names
 * the defect; without one everything is as it is. Tests that pass all the same
 * do not test that.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <linux/shm_kernel.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace {

constexpr off_t page_size = 4096;

const char *const defects[] = {
	"round-size",        "ignore-shrink",      "ignore-grow",
	"dirty-growth",      "lose-create-eexist", "lose-bind-eexist",
	"enoent-for-eacces", "writable-map",       "writable-mprotect",
	"always-writable",   "keep-names",         "ignore-remove",
	"lose-tag",          "ignore-seals",       "inherit",
	"no-fsync",
};

/* Whether it has the defect @name. */
bool broken(const char *name)
{
	static const char *const defect = std::getenv("SHM_KERNEL_BROKEN");

	return defect && !std::strcmp(defect, name);
}

/* The function of the C library that has the @name. */
template <typename Function>
Function next(const char *name)
{
	return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

int real_ioctl(int fd, unsigned long request, void *argument)
{
	static const auto call =
		next<int (*)(int, unsigned long, ...)>("ioctl");

	return call(fd, request, argument);
}

bool is_region(int fd)
{
	shm_kernel_info info = {};
	const int before = errno;

	info.size = sizeof(info);
	const bool result = !real_ioctl(fd, SHM_KERNEL_IOC_GET_INFO, &info);

	errno = before;
	return result;
}

off_t size_of(int fd)
{
	return ::lseek(fd, 0, SEEK_END);
}

/* A descriptor that CREATE or OPEN has returned. */
int handed_out(int fd)
{
	if (fd >= 0 && broken("inherit"))
		::fcntl(fd, F_SETFD, 0);
	return fd;
}

int create(int fd, unsigned long request, shm_kernel_create *argument)
{
	shm_kernel_create wanted = *argument;

	if (broken("lose-tag"))
		std::memset(wanted.tag, 0, sizeof(wanted.tag));
	if (broken("keep-names"))
		wanted.flags |= SHM_KERNEL_CREATE_PERSIST;

	int result = real_ioctl(fd, request, &wanted);

	if (result < 0 && errno == EEXIST && broken("lose-create-eexist")) {
		wanted.name = 0;
		wanted.name_len = 0;
		result = real_ioctl(fd, request, &wanted);
	}
	return handed_out(result);
}

int open(int fd, unsigned long request, shm_kernel_open *argument)
{
	shm_kernel_open wanted = *argument;

	if (broken("always-writable"))
		wanted.flags =
			(wanted.flags & ~static_cast<unsigned int>(O_ACCMODE)) |
			O_RDWR;

	const int result = real_ioctl(fd, request, &wanted);

	if (result < 0 && errno == EACCES && broken("enoent-for-eacces"))
		errno = ENOENT;
	return handed_out(result);
}

template <typename Call>
int truncate(int fd, off_t size, Call real)
{
	if (!is_region(fd))
		return real(fd, size);

	const off_t before = size_of(fd);

	if (size < before && broken("ignore-shrink"))
		return 0;
	if (size > before && broken("ignore-grow"))
		return 0;

	const int result = real(fd, size);

	if (!result && broken("dirty-growth"))
		for (off_t at = before; at < size; ++at)
			if (::pwrite(fd, "x", 1, at) != 1)
				break;
	return result;
}

template <typename Status>
void change(int fd, Status *status)
{
	if (broken("round-size") && is_region(fd))
		status->st_size = (status->st_size + page_size - 1) /
				  page_size * page_size;
}

/* Where regions are mapped; the last of them, in case of many. */
struct range
{
	const char *start;
	std::size_t size;
} mapped[256];
unsigned int mappings;

bool maps_region(const void *address)
{
	for (const range &one : mapped)
		if (address >= one.start && address < one.start + one.size)
			return true;
	return false;
}

template <typename Call>
void *map(void *address, std::size_t size, int protection, int flags, int fd,
	  off_t offset, Call real)
{
	void *const result = real(address, size, protection, flags, fd, offset);

	if (result != MAP_FAILED && fd >= 0 && broken("no-fsync") &&
	    is_region(fd))
		mapped[mappings++ % 256] = {static_cast<char *>(result), size};
	if (result == MAP_FAILED && errno == EACCES && broken("writable-map") &&
	    is_region(fd))
		return real(address, size, protection,
			    (flags & ~(MAP_SHARED | MAP_SHARED_VALIDATE)) |
				    MAP_PRIVATE,
			    fd, offset);
	return result;
}

/* So that a misspelt name is no defect that nothing notices. */
__attribute__((constructor)) void check_name()
{
	const char *const defect = std::getenv("SHM_KERNEL_BROKEN");

	if (!defect)
		return;
	for (const char *const known : defects)
		if (!std::strcmp(defect, known))
			return;
	std::fprintf(stderr, "SHM_KERNEL_BROKEN: no defect %s\n", defect);
	::_exit(2);
}

} // namespace

extern "C" {

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;

	va_start(arguments, request);
	void *const argument = va_arg(arguments, void *);

	va_end(arguments);
	switch (request) {
	case SHM_KERNEL_IOC_CREATE:
		return create(fd, request,
			      static_cast<shm_kernel_create *>(argument));
	case SHM_KERNEL_IOC_OPEN:
		return open(fd, request,
			    static_cast<shm_kernel_open *>(argument));
	case SHM_KERNEL_IOC_BIND: {
		const int result = real_ioctl(fd, request, argument);

		if (result < 0 && errno == EEXIST && broken("lose-bind-eexist"))
			return 0;
		return result;
	}
	case SHM_KERNEL_IOC_REMOVE:
		if (broken("ignore-remove"))
			return 0;
		break;
	case SHM_KERNEL_IOC_ADD_SEALS:
		if (broken("ignore-seals"))
			return 0;
		break;
	}
	return real_ioctl(fd, request, argument);
}

int ftruncate(int fd, off_t size) noexcept
{
	return truncate(fd, size, next<int (*)(int, off_t)>("ftruncate"));
}

int ftruncate64(int fd, off64_t size) noexcept
{
	return truncate(fd, size, next<int (*)(int, off64_t)>("ftruncate64"));
}

int fstat(int fd, struct stat *status) noexcept
{
	const int result =
		next<int (*)(int, struct stat *)>("fstat")(fd, status);

	if (!result)
		change(fd, status);
	return result;
}

int fstat64(int fd, struct stat64 *status) noexcept
{
	const int result =
		next<int (*)(int, struct stat64 *)>("fstat64")(fd, status);

	if (!result)
		change(fd, status);
	return result;
}

void *mmap(void *address, std::size_t size, int protection, int flags, int fd,
	   off_t offset) noexcept
{
	return map(address, size, protection, flags, fd, offset,
		   next<void *(*)(void *, std::size_t, int, int, int, off_t)>(
			   "mmap"));
}

void *mmap64(void *address, std::size_t size, int protection, int flags, int fd,
	     off64_t offset) noexcept
{
	return map(address, size, protection, flags, fd, offset,
		   next<void *(*)(void *, std::size_t, int, int, int, off64_t)>(
			   "mmap64"));
}

int mprotect(void *address, std::size_t size, int protection) noexcept
{
	const int result = next<int (*)(void *, std::size_t, int)>("mprotect")(
		address, size, protection);

	if (result && errno == EACCES && broken("writable-mprotect"))
		return 0;
	return result;
}

int msync(void *address, std::size_t size, int flags)
{
	if (broken("no-fsync") && maps_region(address)) {
		errno = EINVAL;
		return -1;
	}
	return next<int (*)(void *, std::size_t, int)>("msync")(address, size,
								flags);
}
}
