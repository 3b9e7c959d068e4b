/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The waiting functions of named conditions
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_NAMED_WAIT_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_NAMED_WAIT_HPP

#include <shm_kernel/interprocess/detail/cv_status.hpp>

#include <boost/interprocess/exceptions.hpp>

#include <condition_variable>
#include <type_traits>
#include <utility>

namespace shm_kernel {
namespace detail {

/**
 * Those of robust_condition, which see, with the check of Boost before: a lock
 * that can say so and is not held is a lock_exception. @a Derived has a
 * condition().
 */
template <typename Derived>
class named_wait
{
public:
	/** Gives @a lock back, waits for a notification, and locks again. */
	template <typename Lock>
	void wait(Lock &lock)
	{
		require(lock);
		self().condition().wait(lock);
	}

	/** Waits until @a predicate says so. */
	template <typename Lock, typename Predicate>
	void wait(Lock &lock, Predicate predicate)
	{
		require(lock);
		self().condition().wait(lock, std::move(predicate));
	}

	/**
	 * Waits until a boost::posix_time::ptime (UTC) or a time point of
	 * std::chrono at most; false if that has come.
	 */
	template <typename Lock, typename TimePoint>
	bool timed_wait(Lock &lock, const TimePoint &abs_time)
	{
		require(lock);
		return self().condition().timed_wait(lock, abs_time);
	}

	/** The same; what @a predicate says in the end. */
	template <typename Lock, typename TimePoint, typename Predicate>
	bool timed_wait(Lock &lock, const TimePoint &abs_time,
			Predicate predicate)
	{
		require(lock);
		return self().condition().timed_wait(lock, abs_time,
						     std::move(predicate));
	}

	template <typename Lock, typename TimePoint>
	cv_status wait_until(Lock &lock, const TimePoint &abs_time)
	{
		return timed_wait(lock, abs_time) ? cv_status::no_timeout
						  : cv_status::timeout;
	}

	template <typename Lock, typename TimePoint, typename Predicate>
	bool wait_until(Lock &lock, const TimePoint &abs_time,
			Predicate predicate)
	{
		return timed_wait(lock, abs_time, std::move(predicate));
	}

	template <typename Lock, typename Duration>
	cv_status wait_for(Lock &lock, const Duration &duration)
	{
		require(lock);
		return self().condition().wait_for(lock, duration) ==
				       std::cv_status::no_timeout
			       ? cv_status::no_timeout
			       : cv_status::timeout;
	}

	template <typename Lock, typename Duration, typename Predicate>
	bool wait_for(Lock &lock, const Duration &duration, Predicate predicate)
	{
		require(lock);
		return self().condition().wait_for(lock, duration,
						   std::move(predicate));
	}

protected:
	named_wait() = default;
	~named_wait() = default;

private:
	Derived &self() noexcept { return static_cast<Derived &>(*this); }

	template <typename Lock>
	static void require(const Lock &lock)
	{
		if constexpr (std::is_constructible_v<bool, const Lock &>)
			if (!lock)
				throw boost::interprocess::lock_exception();
	}
};

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_NAMED_WAIT_HPP */
