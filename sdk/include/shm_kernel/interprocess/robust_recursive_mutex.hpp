/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A recursive mutex between processes whose owner may die
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_ROBUST_RECURSIVE_MUTEX_HPP
#define SHM_KERNEL_INTERPROCESS_ROBUST_RECURSIVE_MUTEX_HPP

#include <shm_kernel/interprocess/detail/mutex_registry.hpp>
#include <shm_kernel/interprocess/detail/robust_lock.hpp>

#include <atomic>
#include <cstdint>

#include <pthread.h>

namespace shm_kernel {

/**
 * In place of boost::interprocess::interprocess_recursive_mutex: as
 * basic_robust_mutex, and its owner may lock it again, and has to unlock it as
 * often. An owner's death ends all of his locks.
 *
 * It counts its holds in a way that lets those who may only read the memory
 * look at what it protects; see generation().
 */
template <owner_death Policy>
class basic_robust_recursive_mutex
	: public detail::robust_lock<basic_robust_recursive_mutex<Policy>,
				     Policy>
{
	friend class detail::robust_lock<basic_robust_recursive_mutex, Policy>;

public:
	static constexpr owner_death policy = Policy;

	basic_robust_recursive_mutex()
	{
		detail::mutex_registry::note(
			&detail::mutex_registry::recursive_mutex, this);
	}

	/**
	 * Odd while somebody has the lock, or died with it, and another number
	 * in each hold: a sequence lock (Hans-J. Boehm, "Can seqlocks get along
	 * with programming language memory models?", 2012). Who read data
	 * between two calls that returned the same even number, with
	 * std::atomic_thread_fence(std::memory_order_acquire) before the second
	 * one, has seen what no owner was changing meanwhile. Wraps around after
	 * 2^31 holds, which must not happen between the two.
	 */
	std::uint32_t generation() const noexcept
	{
		return m_generation.load(std::memory_order_acquire);
	}

private:
	static constexpr int type = PTHREAD_MUTEX_RECURSIVE;

	bool outermost() const noexcept { return !m_depth; }

	void hold() noexcept
	{
		if (m_depth++)
			return;
		/* The owner before may have died and left an odd one. */
		m_generation.store((generation() + 1) | 1,
				   std::memory_order_relaxed);
		std::atomic_thread_fence(std::memory_order_release);
	}

	void let_go() noexcept
	{
		if (--m_depth)
			return;
		m_generation.store(
			m_generation.load(std::memory_order_relaxed) + 1,
			std::memory_order_release);
	}

	/* Depth counts from here: that of the dead is gone. */
	void abandoned() noexcept { m_depth = 0; }

	/* Nobody is going to change what was left under an odd number. */
	void settle() noexcept
	{
		const std::uint32_t now =
			m_generation.load(std::memory_order_relaxed);

		if (!m_depth && (now & 1))
			m_generation.store(now + 1, std::memory_order_release);
	}

	std::atomic<std::uint32_t> m_generation{0};
	/* Of the owner, who alone touches it. */
	std::uint32_t m_depth = 0;
};

/** Goes on after the death of an owner. */
using robust_recursive_mutex =
	basic_robust_recursive_mutex<owner_death::recover>;

/** Throws after the death of an owner. */
using strict_robust_recursive_mutex =
	basic_robust_recursive_mutex<owner_death::report>;

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_ROBUST_RECURSIVE_MUTEX_HPP */
