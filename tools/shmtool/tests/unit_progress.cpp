// SPDX-License-Identifier: BSL-1.0
/*
 * The progress line
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "progress.hpp"

#include <gtest/gtest.h>

using namespace std::chrono_literals;
using shmtool::progress_line;

TEST(Progress, Complete)
{
	EXPECT_EQ(
		progress_line("write 'buf'", 32 << 20, 64 << 20, 2s, 80),
		"write 'buf'   50%  32.0 MiB of 64 MiB  16.0 MiB/s  0:02 left");
}

TEST(Progress, AtTheEnd)
{
	EXPECT_EQ(progress_line("read 'buf'", 64 << 20, 64 << 20, 65s, 80),
		  "read 'buf'  100%  64.0 MiB of 64 MiB  1008.2 KiB/s  1:05");
}

TEST(Progress, HundredPercentOnlyAtTheEnd)
{
	const std::string line =
		progress_line("x", (1ull << 40) - 1, 1ull << 40, 1s, 80);

	EXPECT_NE(line.find(" 99%"), std::string::npos) << line;
}

TEST(Progress, UnknownTotal)
{
	EXPECT_EQ(
		progress_line("write 'buf'", 3 << 20, std::nullopt, 1500ms, 80),
		"write 'buf'  3.0 MiB  2.0 MiB/s");
}

TEST(Progress, NothingYet)
{
	EXPECT_EQ(progress_line("write 'buf'", 0, 64 << 20, 0s, 80),
		  "write 'buf'    0%  0 B of 64 MiB  0 B/s");
	EXPECT_EQ(progress_line("write 'buf'", 0, std::nullopt, 0s, 80),
		  "write 'buf'  0 B  0 B/s");
}

TEST(Progress, FitsTheTerminal)
{
	const std::string label = "write '" + std::string(200, 'x') + "'";

	for (const std::size_t width : {20u, 40u, 60u, 80u, 120u})
		EXPECT_LT(progress_line(label, 1 << 30, 3ull << 30, 100s, width)
				  .size(),
			  width + 3);
}
