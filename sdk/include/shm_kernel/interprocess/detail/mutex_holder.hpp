/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Whether a thread of this process holds a robust mutex
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_MUTEX_HOLDER_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_MUTEX_HOLDER_HPP

#include <shm_kernel/interprocess/detail/robust_lock.hpp>

#include <cerrno>
#include <cstdint>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace shm_kernel {
namespace detail {

/**
 * A thread keeps a list of the robust mutexes that it holds, which the kernel
 * follows when the thread ends. One that is not mapped any more would end the
 * list early, and would never be given back.
 *
 * False where the C library does not let one see.
 */
template <typename Mutex>
bool held_here(Mutex &mutex) noexcept
{
	const std::uint32_t owner =
		futex_word_of(*mutex.native_handle()) & FUTEX_TID_MASK;

	if (!owner || !futex_word_is_known())
		return false;

	const int saved = errno;
	const bool ours = !::syscall(SYS_tgkill, ::getpid(),
				     static_cast<pid_t>(owner), 0);

	errno = saved;
	return ours;
}

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_MUTEX_HOLDER_HPP */
