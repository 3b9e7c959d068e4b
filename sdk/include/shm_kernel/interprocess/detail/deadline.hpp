/* SPDX-License-Identifier: BSL-1.0 */
/*
 * One type for all the times that one can wait until
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_DEADLINE_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_DEADLINE_HPP

#include <boost/date_time/posix_time/posix_time_types.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace shm_kernel {
namespace detail {

/**
 * A moment from which on a call does not wait any longer. It keeps to the clock
 * that it was made for: one of the system's time comes earlier when that time
 * is set forward.
 *
 * It is made from everything that any version of Boost.Interprocess takes:
 * boost::posix_time::ptime (UTC), time points of std::chrono and boost::chrono
 * clocks, and boost::interprocess::ustime.
 */
class deadline final
{
public:
	using nanoseconds = std::chrono::nanoseconds;

	/** Never comes. */
	static deadline never() noexcept { return deadline(); }

	/** Has come: for calls that try, and do not wait. */
	static deadline now() noexcept
	{
		deadline result;

		result.m_clock = clock::past;
		return result;
	}

	/** For a duration: of std::chrono, boost::chrono, posix_time, ustime. */
	template <class Duration>
	static deadline in(const Duration &duration)
	{
		return of(clock::steady, from_now<std::chrono::steady_clock>(),
			  seconds_of(duration));
	}

	/** For a time point. */
	template <class TimePoint>
	static deadline at(const TimePoint &when)
	{
		if constexpr (std::is_convertible_v<const TimePoint &,
						    boost::posix_time::ptime>)
			return at_ptime(when);
		else if constexpr (has_microseconds<TimePoint>::value)
			return of(clock::system, nanoseconds(0),
				  seconds_of(when));
		else
			return at_chrono(when);
	}

	bool endless() const noexcept { return m_clock == clock::none; }

	/** What is left, at least 0; nanoseconds::max() of one that never comes. */
	nanoseconds left() const noexcept
	{
		nanoseconds present{};

		switch (m_clock) {
		case clock::none:
			return nanoseconds::max();
		case clock::past:
			return nanoseconds(0);
		case clock::steady:
			present = from_now<std::chrono::steady_clock>();
			break;
		case clock::system:
			present = from_now<std::chrono::system_clock>();
			break;
		}
		return std::max(m_when - present, nanoseconds(0));
	}

	bool passed() const noexcept { return left() == nanoseconds(0); }

private:
	enum class clock {
		none,
		past,
		steady,
		system,
	};

	template <class T, class = void>
	struct has_microseconds : std::false_type
	{
	};

	template <class T>
	struct has_microseconds<T,
				std::void_t<decltype(std::declval<const T &>()
							     .get_microsecs())>>
		: std::true_type
	{
	};

	template <class T, class = void>
	struct has_total_microseconds : std::false_type
	{
	};

	template <class T>
	struct has_total_microseconds<
		T, std::void_t<decltype(std::declval<const T &>()
						.total_microseconds())>>
		: std::true_type
	{
	};

	/* Whole seconds, and nanoseconds of less than a second. */
	struct seconds
	{
		double estimate;
		std::int64_t nanoseconds;
	};

	deadline() noexcept = default;

	template <class Clock>
	static nanoseconds from_now() noexcept
	{
		return std::chrono::duration_cast<nanoseconds>(
			Clock::now().time_since_epoch());
	}

	/* Bits that do not fit are for nobody: see of(). */
	static seconds microseconds(double estimate, std::uint64_t count)
	{
		return {estimate / 1e6,
			static_cast<std::int64_t>(count * 1000)};
	}

	template <class Duration>
	static seconds seconds_of(const Duration &duration)
	{
		if constexpr (has_microseconds<Duration>::value) {
			const auto count = duration.get_microsecs();

			return microseconds(static_cast<double>(count),
					    static_cast<std::uint64_t>(count));
		} else if constexpr (has_total_microseconds<Duration>::value) {
			if (duration.is_special())
				return {duration.is_pos_infinity() ? 1e300 : 0,
					0};

			const auto count = duration.total_microseconds();

			return microseconds(static_cast<double>(count),
					    static_cast<std::uint64_t>(count));
		} else {
			using period = typename Duration::period;
			constexpr double unit =
				static_cast<double>(period::num) /
				static_cast<double>(period::den);
			const double estimate =
				static_cast<double>(duration.count()) * unit;

			if (!(estimate < limit) || !(estimate > -limit) ||
			    std::is_floating_point_v<typename Duration::rep>)
				return {estimate,
					estimate < limit && estimate > -limit
						? static_cast<std::int64_t>(
							  estimate * 1e9)
						: 0};
			/* The period of std and of Boost are unlike types. */
			using same = std::chrono::duration<
				typename Duration::rep,
				std::ratio<period::num, period::den>>;

			return {estimate,
				std::chrono::duration_cast<nanoseconds>(
					same(duration.count()))
					.count()};
		}
	}

	/* What nobody lives to see never comes, and does not overflow. */
	static deadline of(clock which, nanoseconds base,
			   const seconds &distance) noexcept
	{
		deadline result;

		if (distance.estimate > limit)
			return never();
		if (distance.estimate < -limit)
			return now();
		result.m_clock = which;
		result.m_when = base + nanoseconds(distance.nanoseconds);
		return result;
	}

	static deadline at_ptime(const boost::posix_time::ptime &when)
	{
		if (when.is_pos_infinity())
			return never();
		if (when.is_special())
			return now();

		const boost::posix_time::ptime epoch(
			boost::gregorian::date(1970, 1, 1));

		return of(clock::system, nanoseconds(0),
			  seconds_of(when - epoch));
	}

	template <class TimePoint>
	static deadline at_chrono(const TimePoint &when)
	{
		using its_clock = typename TimePoint::clock;

		if constexpr (std::is_same_v<its_clock,
					     std::chrono::system_clock>)
			return of(clock::system, nanoseconds(0),
				  seconds_of(when.time_since_epoch()));
		else if constexpr (std::is_same_v<its_clock,
						  std::chrono::steady_clock>)
			return of(clock::steady, nanoseconds(0),
				  seconds_of(when.time_since_epoch()));
		else
			return in(when - its_clock::now());
	}

	/* Seconds; what 64 bits of nanoseconds hold is 9.22e9 of them. */
	static constexpr double limit = 4e9;

	clock m_clock = clock::none;
	nanoseconds m_when{};
};

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_DEADLINE_HPP */
