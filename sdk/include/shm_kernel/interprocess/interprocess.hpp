/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The whole layer over Boost.Interprocess
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_INTERPROCESS_HPP
#define SHM_KERNEL_INTERPROCESS_INTERPROCESS_HPP

#include <shm_kernel/interprocess/exceptions.hpp>
#include <shm_kernel/interprocess/hash_index.hpp>
#include <shm_kernel/interprocess/kernel_message_queue.hpp>
#include <shm_kernel/interprocess/kernel_named_condition.hpp>
#include <shm_kernel/interprocess/kernel_named_condition_any.hpp>
#include <shm_kernel/interprocess/kernel_named_mutex.hpp>
#include <shm_kernel/interprocess/kernel_named_recursive_mutex.hpp>
#include <shm_kernel/interprocess/kernel_named_semaphore.hpp>
#include <shm_kernel/interprocess/kernel_named_sharable_mutex.hpp>
#include <shm_kernel/interprocess/kernel_named_upgradable_mutex.hpp>
#include <shm_kernel/interprocess/kernel_shared_memory.hpp>
#include <shm_kernel/interprocess/managed_kernel_memory.hpp>
#include <shm_kernel/interprocess/name_lifetime.hpp>
#include <shm_kernel/interprocess/region_lock.hpp>
#include <shm_kernel/interprocess/remove_kernel_shared_memory_on_destroy.hpp>
#include <shm_kernel/interprocess/robust_condition.hpp>
#include <shm_kernel/interprocess/robust_mutex.hpp>
#include <shm_kernel/interprocess/robust_mutex_family.hpp>
#include <shm_kernel/interprocess/robust_recursive_mutex.hpp>
#include <shm_kernel/interprocess/segment_options.hpp>
#include <shm_kernel/interprocess/segregated_fit.hpp>

#endif /* SHM_KERNEL_INTERPROCESS_INTERPROCESS_HPP */
