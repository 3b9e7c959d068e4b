// SPDX-License-Identifier: BSL-1.0
/*
 * Lines of /proc/PID/maps
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "users.hpp"

#include <sys/sysmacros.h>

#include <gtest/gtest.h>

using shmtool::map_line;
using shmtool::parse_map_line;

TEST(MapLine, OfAFile)
{
	map_line map;

	ASSERT_TRUE(parse_map_line("40635000-40637000 rw-s 00001000 00:18 57 "
				   "                                /a b",
				   map));
	EXPECT_EQ(map.device, makedev(0, 24));
	EXPECT_EQ(map.inode, 57u);
	EXPECT_EQ(map.bytes, 8192u);
}

TEST(MapLine, HighAddresses)
{
	map_line map;

	ASSERT_TRUE(parse_map_line("7ffff7fc5000-7ffff7fc6000 r--p 7fffffff000 "
				   "103:02 18446744073709551615 /x",
				   map));
	EXPECT_EQ(map.device, makedev(0x103, 2));
	EXPECT_EQ(map.inode, 18446744073709551615u);
	EXPECT_EQ(map.bytes, 4096u);
}

TEST(MapLine, OfNoFile)
{
	map_line map;

	EXPECT_FALSE(parse_map_line("", map));
	EXPECT_FALSE(parse_map_line("rubbish", map));
	EXPECT_FALSE(parse_map_line("7ffc0000-7ffd0000 rw-p 00000000 00:00 0 "
				    "[stack]",
				    map));
	EXPECT_FALSE(parse_map_line("2000-1000 rw-p 00000000 00:18 5 /x", map));
}
