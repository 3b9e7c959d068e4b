// SPDX-License-Identifier: BSL-1.0
/*
 * Times as people write and read them
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "durations.hpp"

#include <string>

#include <gtest/gtest.h>

using namespace std::chrono_literals;
using shmtool::format_duration;
using shmtool::parse_duration;

TEST(ParseDuration, Units)
{
	EXPECT_EQ(parse_duration("0"), 0ms);
	EXPECT_EQ(parse_duration("2"), 2000ms);
	EXPECT_EQ(parse_duration("2s"), 2000ms);
	EXPECT_EQ(parse_duration("1.5"), 1500ms);
	EXPECT_EQ(parse_duration("0.001s"), 1ms);
	EXPECT_EQ(parse_duration("250ms"), 250ms);
	EXPECT_EQ(parse_duration("5m"), 5min);
	EXPECT_EQ(parse_duration("0.5min"), 30s);
	EXPECT_EQ(parse_duration("87600h"), 87600h);
}

TEST(ParseDuration, Rubbish)
{
	for (const char *text : {"",
				 "s",
				 "-1",
				 "+1",
				 " 1",
				 "1 ",
				 "1 s",
				 "1x",
				 "1sec",
				 ".5",
				 "1.",
				 "1.s",
				 "0x10",
				 "1e3",
				 "1.0001",
				 "0.5ms",
				 "1.0000000",
				 "87601h",
				 "99999999999999999999",
				 "999999999999h"}) {
		std::string why;

		EXPECT_EQ(parse_duration(text, &why), std::nullopt) << text;
		EXPECT_FALSE(why.empty()) << text;
	}
}

TEST(FormatDuration, Short)
{
	EXPECT_EQ(format_duration(0ms), "0 ms");
	EXPECT_EQ(format_duration(250ms), "250 ms");
	EXPECT_EQ(format_duration(2s), "2 s");
	EXPECT_EQ(format_duration(1500ms), "1.5 s");
	EXPECT_EQ(format_duration(60001ms), "60.001 s");
}

TEST(FormatTime, ForPrograms)
{
	using std::chrono::system_clock;
	const auto when = system_clock::from_time_t(1795262645);

	EXPECT_EQ(shmtool::format_utc_time(when),
		  "2026-11-21T12:04:05.000000Z");
	EXPECT_EQ(shmtool::format_utc_time(when + 42us),
		  "2026-11-21T12:04:05.000042Z");
	EXPECT_EQ(shmtool::format_utc_time(system_clock::from_time_t(0) - 1us),
		  "1969-12-31T23:59:59.999999Z");
}
