/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A mutex between processes whose owner may die
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_ROBUST_MUTEX_HPP
#define SHM_KERNEL_INTERPROCESS_ROBUST_MUTEX_HPP

#include <shm_kernel/interprocess/detail/mutex_registry.hpp>
#include <shm_kernel/interprocess/detail/robust_lock.hpp>

#include <pthread.h>

namespace shm_kernel {

/**
 * In place of boost::interprocess::interprocess_mutex, in memory of processes
 * that may be killed: a robust, process-shared pthread mutex. Meets Boost's
 * Lockable and TimedLockable and those of the standard library. Lives at the
 * same place from construction to destruction; 48 bytes on x86-64.
 *
 * When a thread ends, is killed or calls exec() while it holds the lock, the
 * next owner is told, and does what @a Policy says (owner_death). Whoever can
 * write to the memory can break the lock: it is for processes that trust each
 * other, and are in one pid namespace. A thread must not unmap what it has
 * locked.
 *
 * Functions throw kernel_memory_exception: errc::owner_dead (owner_death::report
 * only, without the lock), resource_deadlock_would_occur where the thread has
 * the lock already. They allocate nothing otherwise.
 */
template <owner_death Policy>
class basic_robust_mutex
	: public detail::robust_lock<basic_robust_mutex<Policy>, Policy>
{
	friend class detail::robust_lock<basic_robust_mutex, Policy>;

public:
	static constexpr owner_death policy = Policy;

	basic_robust_mutex()
	{
		detail::mutex_registry::note(&detail::mutex_registry::mutex,
					     this);
	}

private:
	/* For robust mutexes the check costs glibc nothing more. */
	static constexpr int type = PTHREAD_MUTEX_ERRORCHECK;

	static constexpr bool outermost() noexcept { return true; }
	void hold() noexcept {}
	void let_go() noexcept {}
	void abandoned() noexcept {}
	void settle() noexcept {}
};

/** Goes on after the death of an owner. */
using robust_mutex = basic_robust_mutex<owner_death::recover>;

/** Throws after the death of an owner. */
using strict_robust_mutex = basic_robust_mutex<owner_death::report>;

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_ROBUST_MUTEX_HPP */
