/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A condition variable between processes that no death can block
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_ROBUST_CONDITION_HPP
#define SHM_KERNEL_INTERPROCESS_ROBUST_CONDITION_HPP

#include <shm_kernel/interprocess/detail/deadline.hpp>
#include <shm_kernel/interprocess/detail/futex.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <cstdint>

namespace shm_kernel {

/**
 * In place of boost::interprocess::interprocess_condition and _condition_any,
 * for robust_mutex and every other mutex in shared memory. A @a Lock is
 * anything with lock() and unlock(): boost::interprocess::scoped_lock,
 * std::unique_lock, a mutex.
 *
 * The waiters of a pthread condition are counted in its memory, and one that is
 * killed can block the notifier for ever (glibc bug 21422). This one has a
 * single word that counts notifications, on which waiters sleep in the kernel
 * (FUTEX_WAIT and FUTEX_WAKE between processes): nothing in it belongs to a
 * waiter. What a notifier or a waiter that is killed at the moment of
 * a notification takes with it, the others find out within a second.
 *
 * Waits may end without a notification, so look at what is waited for in a
 * loop, or leave that to the variants with a predicate. Notify with the lock
 * held, or after what is waited for was changed with the lock held. Four bytes;
 * notifying costs no system call while nobody waits.
 *
 * Functions throw only what the lock and the predicate throw. When locking
 * again throws (errc::owner_dead), the lock is not held.
 */
class robust_condition
{
public:
	robust_condition() noexcept = default;
	robust_condition(const robust_condition &) = delete;
	robust_condition &operator=(const robust_condition &) = delete;

	/** Wakes one of those who wait, if there is one. */
	void notify_one() noexcept
	{
		std::uint32_t before = m_word.load(std::memory_order_relaxed);

		do {
			if (!(before & sleepers))
				return;
		} while (!m_word.compare_exchange_weak(
			before, before + step, std::memory_order_release,
			std::memory_order_relaxed));

		if (detail::futex_wake(m_word, 1))
			return;

		/*
		 * The mark is from waiters that are gone. One that was on its
		 * way to sleep sees that the word has changed, or sleeps now.
		 */
		before += step;
		if (m_word.compare_exchange_strong(before, before & ~sleepers,
						   std::memory_order_relaxed))
			detail::futex_wake(m_word, INT_MAX);
	}

	/** Wakes all who wait. */
	void notify_all() noexcept
	{
		std::uint32_t before = m_word.load(std::memory_order_relaxed);

		do {
			if (!(before & sleepers))
				return;
		} while (!m_word.compare_exchange_weak(
			before, (before + step) & ~sleepers,
			std::memory_order_release, std::memory_order_relaxed));
		detail::futex_wake(m_word, INT_MAX);
	}

	/** Gives @a lock back, waits for a notification, and locks again. */
	template <class Lock>
	void wait(Lock &lock)
	{
		sleep(lock, detail::deadline::never());
	}

	template <class Lock, class Predicate>
	void wait(Lock &lock, Predicate predicate)
	{
		while (!predicate())
			wait(lock);
	}

	/**
	 * Waits no longer than until @a when (see
	 * basic_robust_mutex::timed_lock()). False if that has passed.
	 */
	template <class Lock, class TimePoint>
	bool timed_wait(Lock &lock, const TimePoint &when)
	{
		return sleep(lock, detail::deadline::at(when));
	}

	/** What @a predicate says in the end. */
	template <class Lock, class TimePoint, class Predicate>
	bool timed_wait(Lock &lock, const TimePoint &when, Predicate predicate)
	{
		return sleep(lock, detail::deadline::at(when), predicate);
	}

	template <class Lock, class TimePoint>
	std::cv_status wait_until(Lock &lock, const TimePoint &when)
	{
		return status(timed_wait(lock, when));
	}

	template <class Lock, class TimePoint, class Predicate>
	bool wait_until(Lock &lock, const TimePoint &when, Predicate predicate)
	{
		return timed_wait(lock, when, predicate);
	}

	template <class Lock, class Duration>
	std::cv_status wait_for(Lock &lock, const Duration &duration)
	{
		return status(sleep(lock, detail::deadline::in(duration)));
	}

	template <class Lock, class Duration, class Predicate>
	bool wait_for(Lock &lock, const Duration &duration, Predicate predicate)
	{
		return sleep(lock, detail::deadline::in(duration), predicate);
	}

private:
	/* The lowest bit says that somebody may sleep, the rest counts. */
	static constexpr std::uint32_t sleepers = 1;
	static constexpr std::uint32_t step = 2;

	static std::cv_status status(bool in_time) noexcept
	{
		return in_time ? std::cv_status::no_timeout
			       : std::cv_status::timeout;
	}

	template <class Lock>
	bool sleep(Lock &lock, const detail::deadline &limit)
	{
		/* With the lock held: who changes things after us sees it. */
		const std::uint32_t seen =
			m_word.fetch_or(sleepers, std::memory_order_relaxed) |
			sleepers;

		lock.unlock();

		const bool in_time = doze(seen, limit);

		lock.lock();
		return in_time;
	}

	template <class Lock, class Predicate>
	bool sleep(Lock &lock, const detail::deadline &limit,
		   Predicate &predicate)
	{
		while (!predicate())
			if (!sleep(lock, limit))
				return predicate();
		return true;
	}

	/*
	 * The kernel compares when it goes to sleep, so a look once a second
	 * finds a notification whose receiver, or sender, has died over it.
	 */
	bool doze(std::uint32_t seen, const detail::deadline &limit) noexcept
	{
		constexpr std::chrono::nanoseconds longest =
			std::chrono::seconds(1);

		while (m_word.load(std::memory_order_relaxed) == seen) {
			const std::chrono::nanoseconds left = limit.left();

			if (left == std::chrono::nanoseconds(0))
				return false;
			if (detail::futex_wait(m_word, seen,
					       std::min(left, longest)))
				break;
		}
		return true;
	}

	detail::futex_word m_word{0};
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_ROBUST_CONDITION_HPP */
