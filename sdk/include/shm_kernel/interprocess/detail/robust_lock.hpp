/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the robust mutexes have in common: the pthread part
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_ROBUST_LOCK_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_ROBUST_LOCK_HPP

#include <shm_kernel/interprocess/detail/deadline.hpp>
#include <shm_kernel/interprocess/exceptions.hpp>

#include <boost/assert.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <system_error>

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace shm_kernel {

/** What a robust mutex does when an owner died while he held it. */
enum class owner_death {
	/** The next owner gets the lock and goes on; recoveries() tells. */
	recover,
	/** Every lock throws errc::owner_dead until mark_consistent(). */
	report,
};

namespace detail {

[[noreturn, gnu::cold, gnu::noinline]] inline void throw_mutex_error(int error)
{
	if (error == EOWNERDEAD)
		throw kernel_memory_exception(errc::owner_dead);
	throw kernel_memory_exception({error, std::generic_category()}, "lock");
}

/**
 * The futex word of a mutex: thread id of the owner and flags of the kernel.
 * POSIX has no way to ask whether the owner died without taking the lock, which
 * one who may only read cannot do.
 */
inline std::uint32_t futex_word_of(const pthread_mutex_t &mutex) noexcept
{
#ifdef __GLIBC__
	return static_cast<std::uint32_t>(
		__atomic_load_n(&mutex.__data.__lock, __ATOMIC_ACQUIRE));
#else
	static_cast<void>(mutex);
	return 0;
#endif
}

/** Whether the word above is what it is taken for; seen once in a process. */
inline bool futex_word_is_known() noexcept
{
	static const bool known = [] {
		const auto self =
			static_cast<std::uint32_t>(::syscall(SYS_gettid));
		pthread_mutexattr_t attributes;
		pthread_mutex_t mutex;
		bool result = false;

		if (::pthread_mutexattr_init(&attributes))
			return false;
		::pthread_mutexattr_setrobust(&attributes,
					      PTHREAD_MUTEX_ROBUST);
		if (!::pthread_mutex_init(&mutex, &attributes)) {
			if (!::pthread_mutex_lock(&mutex)) {
				result = futex_word_of(mutex) == self;
				::pthread_mutex_unlock(&mutex);
				result = result && !futex_word_of(mutex);
			}
			::pthread_mutex_destroy(&mutex);
		}
		::pthread_mutexattr_destroy(&attributes);
		return result;
	}();

	return known;
}

/**
 * A robust, process-shared pthread mutex and what is known of its dead owners.
 *
 * @a Derived has three functions, called by who has the lock: outermost() tells
 * whether a lock just taken is the first of this hold, hold() and let_go() are
 * called after each lock and before each unlock, and abandoned() when the owner
 * has died. The one who finds that out may die himself at any point: the next
 * owner is told then, too, and does all of it again.
 */
template <class Derived, owner_death Policy>
class robust_lock
{
public:
	robust_lock(const robust_lock &) = delete;
	robust_lock &operator=(const robust_lock &) = delete;

	/** Waits for the lock. */
	void lock() { finish(::pthread_mutex_lock(&m_mutex)); }

	/** False if somebody has the lock. */
	bool try_lock()
	{
		const int error = ::pthread_mutex_trylock(&m_mutex);

		if (error == EBUSY || error == EDEADLK)
			return false;
		finish(error);
		return true;
	}

	/**
	 * Waits for the lock until a moment: boost::posix_time::ptime (UTC;
	 * infinite ones as well) or a time point of any clock of std::chrono or
	 * boost::chrono. False if it was not to be had by then; a moment that
	 * has passed is a try_lock().
	 */
	template <class TimePoint>
	bool timed_lock(const TimePoint &until)
	{
		return try_lock() || wait(deadline::at(until));
	}

	template <class TimePoint>
	bool try_lock_until(const TimePoint &until)
	{
		return timed_lock(until);
	}

	template <class Duration>
	bool try_lock_for(const Duration &duration)
	{
		return try_lock() || wait(deadline::in(duration));
	}

	/** Only the thread that has the lock may give it back. */
	void unlock() noexcept
	{
		self().let_go();
		release();
	}

	/**
	 * Takes the lock as it is, consistent or not: for who mends what it
	 * protects and then calls mark_consistent().
	 */
	void lock_for_repair() { finish<true>(::pthread_mutex_lock(&m_mutex)); }

	/**
	 * How many owners died while they held the lock and were found out by
	 * the next. Never goes back; wraps around.
	 */
	std::uint32_t recoveries() const noexcept
	{
		return m_recoveries.load(std::memory_order_acquire);
	}

	/** False from the death of an owner until mark_consistent(). */
	bool consistent() const noexcept
	{
		return !m_inconsistent.load(std::memory_order_acquire) &&
		       !word_says_dead();
	}

	/**
	 * What the lock protects is in order. May be called with the lock held
	 * and without; then it waits for who has it.
	 */
	void mark_consistent()
	{
		const int error = ::pthread_mutex_lock(&m_mutex);

		if (error == EOWNERDEAD)
			recover();
		else if (error && error != EDEADLK)
			throw_mutex_error(error);
		if (!error || error == EOWNERDEAD)
			self().settle();
		m_inconsistent.store(0, std::memory_order_release);
		if (error != EDEADLK)
			release();
	}

	/**
	 * Whether the owner died and nobody has taken the lock since. Works in
	 * memory that is mapped for reading only. False where the C library
	 * does not let one see.
	 *
	 * With owner_death::report it stays true until mark_consistent().
	 */
	bool owner_died() const noexcept
	{
		return (Policy == owner_death::report &&
			m_inconsistent.load(std::memory_order_acquire)) ||
		       word_says_dead();
	}

	/**
	 * For the private copy of somebody else's memory: a free lock, whoever
	 * had the original, that has recovered once more than that.
	 */
	void renew() noexcept
	{
		initialize();
		self().abandoned();
		self().settle();
		m_inconsistent.store(0, std::memory_order_relaxed);
		m_recoveries.fetch_add(1, std::memory_order_release);
	}

	pthread_mutex_t *native_handle() noexcept { return &m_mutex; }

protected:
	explicit robust_lock()
	{
		const int error = initialize();

		if (error)
			throw_mutex_error(error);
	}

	~robust_lock() { ::pthread_mutex_destroy(&m_mutex); }

private:
	Derived &self() noexcept { return static_cast<Derived &>(*this); }

	int initialize() noexcept
	{
		pthread_mutexattr_t attributes;
		int error = ::pthread_mutexattr_init(&attributes);

		if (error)
			return error;
		::pthread_mutexattr_settype(&attributes, Derived::type);
		::pthread_mutexattr_setpshared(&attributes,
					       PTHREAD_PROCESS_SHARED);
		::pthread_mutexattr_setrobust(&attributes,
					      PTHREAD_MUTEX_ROBUST);
		error = ::pthread_mutex_init(&m_mutex, &attributes);
		::pthread_mutexattr_destroy(&attributes);
		return error;
	}

	void release() noexcept
	{
		const int error = ::pthread_mutex_unlock(&m_mutex);

		BOOST_ASSERT(!error);
		static_cast<void>(error);
	}

	bool word_says_dead() const noexcept
	{
		return (futex_word_of(m_mutex) & FUTEX_OWNER_DIED) &&
		       futex_word_is_known();
	}

	/* After a pthread call that takes the lock has returned @error. */
	template <bool Repair = false>
	void finish(int error)
	{
		if (__builtin_expect(error != 0, false))
			finish_slowly(error);
		if constexpr (Policy == owner_death::report && !Repair) {
			if (__builtin_expect(
				    m_inconsistent.load(
					    std::memory_order_relaxed) != 0,
				    false) &&
			    self().outermost())
				refuse();
		}
		self().hold();
	}

	[[gnu::cold, gnu::noinline]] void finish_slowly(int error)
	{
		if (error != EOWNERDEAD)
			throw_mutex_error(error);
		recover();
	}

	[[noreturn, gnu::cold, gnu::noinline]] void refuse()
	{
		release();
		throw_mutex_error(EOWNERDEAD);
	}

	void recover() noexcept
	{
		self().abandoned();
		m_inconsistent.store(1, std::memory_order_relaxed);
		m_recoveries.fetch_add(1, std::memory_order_release);
		::pthread_mutex_consistent(&m_mutex);
	}

	/*
	 * The wait is in pieces, so that a moment of a clock that is set
	 * forward does not come much too late.
	 */
	[[gnu::noinline]] bool wait(const deadline &limit)
	{
		constexpr std::chrono::nanoseconds piece =
			std::chrono::seconds(1);
		constexpr long billion = 1000000000;

		if (limit.endless()) {
			lock();
			return true;
		}
		for (;;) {
			const auto left = limit.left();
			struct timespec until = {};

			if (left == std::chrono::nanoseconds(0))
				return false;
			::clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_nsec += static_cast<long>(
				std::min(left, piece).count() % billion);
			until.tv_sec += until.tv_nsec / billion +
					static_cast<long>(left >= piece);
			until.tv_nsec %= billion;

			const int error = ::pthread_mutex_clocklock(
				&m_mutex, CLOCK_MONOTONIC, &until);

			if (error == ETIMEDOUT)
				continue;
			finish(error);
			return true;
		}
	}

	pthread_mutex_t m_mutex;
	std::atomic<std::uint32_t> m_recoveries{0};
	std::atomic<std::uint32_t> m_inconsistent{0};
};

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_ROBUST_LOCK_HPP */
