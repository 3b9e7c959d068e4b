/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Locks on bytes of a region that belong to an open file description
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_OFD_LOCK_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_OFD_LOCK_HPP

#include <shm_kernel/interprocess/detail/deadline.hpp>
#include <shm_kernel/interprocess/exceptions.hpp>
#include <shm_kernel/region.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

namespace shm_kernel {
namespace detail {

/*
 * Open file description locks (fcntl_locking(2)): the kernel takes them back
 * when the last descriptor and mapping of the open file is gone, however its
 * process ends. A lock of the same open file on the same byte is replaced, in one step,
 * and stays as it was when the new one cannot be had. Readers need a descriptor
 * that can read, writers one that can write.
 */
enum class ofd_lock_type : short {
	read = F_RDLCK,
	write = F_WRLCK,
	none = F_UNLCK,
};

inline int ofd_call(int fd, int command, ofd_lock_type type, off_t start,
		    off_t length) noexcept
{
	struct ::flock lock = {};

	lock.l_type = static_cast<short>(type);
	lock.l_whence = SEEK_SET;
	lock.l_start = start;
	lock.l_len = length;
	for (;;) {
		if (!::fcntl(fd, command, &lock))
			return 0;
		if (errno != EINTR)
			return errno;
	}
}

[[noreturn]] inline void throw_ofd_error(int fd, int error)
{
	if (error == EBADF && ::fcntl(fd, F_GETFD) >= 0)
		throw kernel_memory_exception(errc::permission_denied);
	if (error == EBADF)
		throw kernel_memory_exception(errc::empty_handle);
	throw kernel_memory_exception({error, std::system_category()});
}

/** False if somebody else has a lock there that excludes this one. */
inline bool ofd_try_lock(int fd, ofd_lock_type type, off_t start,
			 off_t length = 1)
{
	const int error = ofd_call(fd, F_OFD_SETLK, type, start, length);

	if (error && error != EAGAIN && error != EACCES)
		throw_ofd_error(fd, error);
	return !error;
}

/** Sleeps until it has the lock. */
inline void ofd_lock(int fd, ofd_lock_type type, off_t start, off_t length = 1)
{
	const int error = ofd_call(fd, F_OFD_SETLKW, type, start, length);

	if (error)
		throw_ofd_error(fd, error);
}

/**
 * Waits for the lock until @a limit; false if it could not be had. The kernel
 * has no timed wait for these locks but for signals, which belong to the
 * program: one that ends looks again after 50 us, and then ever more seldom
 * down to each 2 ms.
 */
inline bool ofd_lock_until(int fd, ofd_lock_type type, off_t start,
			   off_t length, const deadline &limit)
{
	std::chrono::nanoseconds pause = std::chrono::microseconds(50);

	if (limit.endless()) {
		ofd_lock(fd, type, start, length);
		return true;
	}
	while (!ofd_try_lock(fd, type, start, length)) {
		const std::chrono::nanoseconds left = limit.left();

		if (left == std::chrono::nanoseconds(0))
			return false;
		std::this_thread::sleep_for(std::min(left, pause));
		pause = std::min<std::chrono::nanoseconds>(
			pause * 2, std::chrono::milliseconds(2));
	}
	return true;
}

/** Gives locks back; there need not be one. */
inline void ofd_unlock(int fd, off_t start, off_t length = 1) noexcept
{
	ofd_call(fd, F_OFD_SETLK, ofd_lock_type::none, start, length);
}

/**
 * For the child after fork(): gives @a file an open file of its own under the
 * same descriptor, so that the child neither has locks of its parent nor keeps
 * them when that dies. A mapping is a reference to the open file that it was
 * made of, so @a pages (page aligned, or nullptr), which is one of @a file, is
 * made anew at the same place.
 *
 * Closes @a file where that is refused, because /proc is missing or the region's
 * mode does not allow it any more; there are zeroes at @a pages then.
 */
inline void ofd_part(region &file, access_mode mode, void *pages = nullptr,
		     std::size_t size = 0) noexcept
{
	const int protection = mode == access_mode::read_write
				       ? PROT_READ | PROT_WRITE
				       : PROT_READ;
	std::error_code error;

	if (!file)
		return;

	const region own = file.reopen(mode, error);

	if (!error &&
	    ::dup3(own.native_handle(), file.native_handle(), O_CLOEXEC) >= 0) {
		if (!pages ||
		    ::mmap(pages, size, protection, MAP_SHARED | MAP_FIXED,
			   file.native_handle(), 0) != MAP_FAILED)
			return;
	}
	file.close();
	if (pages)
		::mmap(pages, size, protection,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_OFD_LOCK_HPP */
