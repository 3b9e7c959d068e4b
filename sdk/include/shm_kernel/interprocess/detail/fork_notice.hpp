/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Objects that have to know when they are the copy in a child process
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_FORK_NOTICE_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_FORK_NOTICE_HPP

#include <mutex>
#include <system_error>

#include <pthread.h>

namespace shm_kernel {
namespace detail {

/**
 * fork() copies descriptors and what a process knows of its threads. A lock
 * that belongs to an open file description would then belong to parent and
 * child, and stay locked while either lives. Who has such a lock has this as
 * its last member, which calls a function in the child before fork() returns
 * there.
 *
 * Neither copyable nor movable. clone() and vfork() call nobody.
 */
class fork_notice final
{
public:
	/**
	 * @a call runs in the child, whose only thread is the one that called
	 * fork(), and may do what is allowed there: no memory, no locks.
	 */
	fork_notice(void (*call)(void *) noexcept, void *argument)
		: m_call(call), m_argument(argument)
	{
		registry &all = the_registry();
		const std::lock_guard<std::mutex> guard(all.mutex);

		m_next = all.first;
		if (m_next)
			m_next->m_previous = this;
		all.first = this;
	}

	fork_notice(const fork_notice &) = delete;
	fork_notice &operator=(const fork_notice &) = delete;

	~fork_notice()
	{
		registry &all = the_registry();
		const std::lock_guard<std::mutex> guard(all.mutex);

		if (m_next)
			m_next->m_previous = m_previous;
		(m_previous ? m_previous->m_next : all.first) = m_next;
	}

private:
	struct registry
	{
		registry()
		{
			const int error = ::pthread_atfork(before, after_parent,
							   after_child);

			if (error)
				throw std::system_error(error,
							std::system_category(),
							"pthread_atfork");
		}

		std::mutex mutex;
		fork_notice *first = nullptr;
	};

	/* Never destroyed: static objects may go after it. */
	static registry &the_registry()
	{
		static registry &all = *new registry;

		return all;
	}

	static void before() { the_registry().mutex.lock(); }
	static void after_parent() { the_registry().mutex.unlock(); }

	static void after_child()
	{
		registry &all = the_registry();

		for (fork_notice *each = all.first; each; each = each->m_next)
			each->m_call(each->m_argument);
		all.mutex.unlock();
	}

	void (*m_call)(void *) noexcept;
	void *m_argument;
	fork_notice *m_next = nullptr;
	fork_notice *m_previous = nullptr;
};

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_FORK_NOTICE_HPP */
