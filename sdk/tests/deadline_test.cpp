/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Times that one can wait until
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define BOOST_CHRONO_HEADER_ONLY
#define BOOST_ERROR_CODE_HEADER_ONLY

#include <shm_kernel/interprocess/detail/deadline.hpp>

#include <boost/chrono/duration.hpp>
#include <boost/chrono/system_clocks.hpp>
#include <boost/date_time/posix_time/posix_time_types.hpp>

#if __has_include(<boost/interprocess/timed_utils.hpp>)
#include <boost/interprocess/timed_utils.hpp>
#define SHM_KERNEL_TEST_USTIME 1
#endif

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>

namespace {

using shm_kernel::detail::deadline;
using namespace std::chrono_literals;
namespace pt = boost::posix_time;

constexpr std::chrono::nanoseconds forever = std::chrono::nanoseconds::max();

/* Within what a slow machine may take to get here. */
void expect_about(const deadline &limit, std::chrono::nanoseconds left)
{
	EXPECT_LE(limit.left(), left + 1ms);
	EXPECT_GT(limit.left(), left - 10s);
	EXPECT_FALSE(limit.passed());
	EXPECT_FALSE(limit.endless());
}

pt::ptime now()
{
	return pt::microsec_clock::universal_time();
}

TEST(deadline, is_made_from_all_time_points)
{
	expect_about(deadline::at(std::chrono::steady_clock::now() + 60s), 60s);
	expect_about(deadline::at(std::chrono::system_clock::now() + 60s), 60s);
	expect_about(
		deadline::at(std::chrono::time_point_cast<std::chrono::seconds>(
			std::chrono::system_clock::now() + 60s)),
		60s);
	expect_about(deadline::at(now() + pt::seconds(60)), 60s);
	expect_about(deadline::at(boost::chrono::steady_clock::now() +
				  boost::chrono::seconds(60)),
		     60s);
	expect_about(deadline::at(boost::chrono::system_clock::now() +
				  boost::chrono::minutes(1)),
		     60s);
#ifdef SHM_KERNEL_TEST_USTIME
	expect_about(
		deadline::at(
			boost::interprocess::ustime_delay_milliseconds(60000)),
		60s);
#endif
}

TEST(deadline, is_made_from_all_durations)
{
	expect_about(deadline::in(60s), 60s);
	expect_about(deadline::in(1h), 1h);
	expect_about(deadline::in(std::chrono::duration<double>(60.0)), 60s);
	expect_about(deadline::in(pt::milliseconds(60000)), 60s);
	expect_about(deadline::in(boost::chrono::seconds(60)), 60s);
#ifdef SHM_KERNEL_TEST_USTIME
	expect_about(
		deadline::in(boost::interprocess::usduration_from_seconds(60)),
		60s);
#endif
}

TEST(deadline, has_passed)
{
	const auto expect_passed = [](const deadline &limit) {
		EXPECT_TRUE(limit.passed());
		EXPECT_EQ(limit.left(), 0ns);
		EXPECT_FALSE(limit.endless());
	};

	expect_passed(deadline::now());
	expect_passed(deadline::in(0s));
	expect_passed(deadline::in(-1s));
	expect_passed(deadline::in(std::chrono::hours::min()));
	expect_passed(deadline::at(std::chrono::steady_clock::now() - 1s));
	expect_passed(deadline::at(std::chrono::system_clock::time_point()));
	expect_passed(
		deadline::at(std::chrono::steady_clock::time_point::min()));
	expect_passed(deadline::at(now() - pt::seconds(1)));
	expect_passed(deadline::at(pt::ptime(pt::neg_infin)));
	expect_passed(deadline::at(pt::ptime()));
}

TEST(deadline, never_comes)
{
	const auto expect_endless = [](const deadline &limit) {
		EXPECT_TRUE(limit.endless());
		EXPECT_EQ(limit.left(), forever);
		EXPECT_FALSE(limit.passed());
	};

	expect_endless(deadline::never());
	expect_endless(deadline::at(pt::ptime(pt::pos_infin)));
	expect_endless(deadline::at(pt::ptime(pt::max_date_time)));
	expect_endless(deadline::in(pt::time_duration(pt::pos_infin)));
	expect_endless(deadline::in(std::chrono::hours::max()));
	expect_endless(deadline::in(std::chrono::nanoseconds::max()));
	expect_endless(deadline::in(std::chrono::duration<double>(
		std::numeric_limits<double>::infinity())));
	expect_endless(
		deadline::at(std::chrono::steady_clock::time_point::max()));
	expect_endless(deadline::at(
		std::chrono::time_point<std::chrono::system_clock,
					std::chrono::hours>::max()));
}

} // namespace
