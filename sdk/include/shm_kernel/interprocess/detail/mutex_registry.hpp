/* SPDX-License-Identifier: BSL-1.0 */
/*
 * How a segment finds its own parts
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_MUTEX_REGISTRY_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_MUTEX_REGISTRY_HPP

namespace shm_kernel {
namespace detail {

/**
 * Boost's segment manager has mutexes and indexes inside, and does not tell
 * where. So while one of these lives in a thread, the robust mutexes and the
 * indexes that the thread constructs note their addresses here. The first of
 * each kind is the segment's own: a segment manager constructs the allocator
 * with its mutex, then what the indexes need.
 */
class mutex_registry final
{
public:
	mutex_registry() noexcept : m_previous(slot()) { slot() = this; }
	mutex_registry(const mutex_registry &) = delete;
	mutex_registry &operator=(const mutex_registry &) = delete;
	~mutex_registry() { slot() = m_previous; }

	/** The innermost of this thread; nullptr without one. */
	static mutex_registry *current() noexcept { return slot(); }

	/** Stores @a address in @a field of the current one if it is the first. */
	static void note(void *mutex_registry::*field, void *address) noexcept
	{
		mutex_registry *const registry = slot();

		if (registry && !(registry->*field))
			registry->*field = address;
	}

	/** The allocator's, a basic_robust_mutex. */
	void *mutex = nullptr;
	/** That of the indexes, a basic_robust_recursive_mutex. */
	void *recursive_mutex = nullptr;
	/** The indexes, if they are hash_index. */
	void *named_index = nullptr;
	void *unique_index = nullptr;

private:
	static mutex_registry *&slot() noexcept
	{
		static thread_local mutex_registry *registry;

		return registry;
	}

	mutex_registry *const m_previous;
};

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_MUTEX_REGISTRY_HPP */
