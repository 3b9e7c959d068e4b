/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Robust mutexes for the segments of Boost.Interprocess
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_ROBUST_MUTEX_FAMILY_HPP
#define SHM_KERNEL_INTERPROCESS_ROBUST_MUTEX_FAMILY_HPP

#include <shm_kernel/interprocess/robust_mutex.hpp>
#include <shm_kernel/interprocess/robust_recursive_mutex.hpp>

namespace shm_kernel {

/**
 * In place of boost::interprocess::mutex_family, as the argument of a memory
 * algorithm: boost::interprocess::rbtree_best_fit<robust_mutex_family>. A
 * process that dies in the middle of an operation on the segment then does not
 * block the others. Whether the segment is whole is another question: the
 * algorithms of Boost do not promise that, segregated_fit does.
 */
struct robust_mutex_family
{
	using mutex_type = robust_mutex;
	using recursive_mutex_type = robust_recursive_mutex;
};

/** Every operation throws after a death until both are marked consistent. */
struct strict_robust_mutex_family
{
	using mutex_type = strict_robust_mutex;
	using recursive_mutex_type = strict_robust_recursive_mutex;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_ROBUST_MUTEX_FAMILY_HPP */
