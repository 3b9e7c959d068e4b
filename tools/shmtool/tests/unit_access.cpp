// SPDX-License-Identifier: BSL-1.0
/*
 * Modes and owners
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "access.hpp"

#include <gtest/gtest.h>

using shmtool::parse_mode;
using shmtool::parse_owner;

TEST(Mode, Octal)
{
	EXPECT_EQ(parse_mode("0640", 0), 0640u);
	EXPECT_EQ(parse_mode("640", 0777), 0640u);
	EXPECT_EQ(parse_mode("0", 0777), 0u);
	EXPECT_EQ(parse_mode("0777", 0), 0777u);
	EXPECT_EQ(parse_mode("1777", 0), std::nullopt);
	EXPECT_EQ(parse_mode("0688", 0), std::nullopt);
	EXPECT_EQ(parse_mode("77777777777777777777", 0), std::nullopt);
}

TEST(Mode, Symbolic)
{
	EXPECT_EQ(parse_mode("g+r", 0600), 0640u);
	EXPECT_EQ(parse_mode("g+rw,o=r", 0600), 0664u);
	EXPECT_EQ(parse_mode("u=rw,go=", 0777), 0600u);
	EXPECT_EQ(parse_mode("a=r", 0777), 0444u);
	EXPECT_EQ(parse_mode("+r", 0600), 0644u);
	EXPECT_EQ(parse_mode("o-rwx", 0667), 0660u);
	EXPECT_EQ(parse_mode("u+x-w", 0600), 0500u);
	EXPECT_EQ(parse_mode("ug=rw", 0), 0660u);
}

TEST(Mode, Rubbish)
{
	for (const char *text :
	     {"", "u", "g+r,", ",g+r", "g+q", "u+s", "+t", "rw", "-1", "0x1ff",
	      "u=g", "g +r", "u+r;o+r"}) {
		std::string why;

		EXPECT_EQ(parse_mode(text, 0600, &why), std::nullopt) << text;
		EXPECT_FALSE(why.empty());
	}
}

TEST(Mode, Shown)
{
	EXPECT_EQ(shmtool::format_mode(0640), "rw-r-----");
	EXPECT_EQ(shmtool::format_mode(0777), "rwxrwxrwx");
	EXPECT_EQ(shmtool::format_mode(0), "---------");
	EXPECT_EQ(shmtool::format_mode_octal(0100640), "0640");
}

TEST(Owner, NumbersAndNames)
{
	const auto leave = static_cast<uid_t>(-1);

	auto o = parse_owner("root");
	ASSERT_TRUE(o);
	EXPECT_EQ(o->uid, 0u);
	EXPECT_EQ(o->gid, leave);

	o = parse_owner("root:");
	ASSERT_TRUE(o);
	EXPECT_EQ(o->gid, 0u);

	o = parse_owner(":0");
	ASSERT_TRUE(o);
	EXPECT_EQ(o->uid, leave);
	EXPECT_EQ(o->gid, 0u);

	o = parse_owner("12345:54321");
	ASSERT_TRUE(o);
	EXPECT_EQ(o->uid, 12345u);
	EXPECT_EQ(o->gid, 54321u);
}

TEST(Owner, Rubbish)
{
	for (const char *text :
	     {"", ":", "nosuchuser-at-all", "root:nosuchgroup-at-all",
	      "4294967295", "4294967296", "-1", "1.5", "99999999999"}) {
		std::string why;

		EXPECT_FALSE(parse_owner(text, &why)) << text;
		EXPECT_FALSE(why.empty());
	}
}

TEST(Owner, Shown)
{
	EXPECT_EQ(shmtool::show_user(0), "root");
	EXPECT_EQ(shmtool::show_user(3999999999u), "3999999999");
	EXPECT_EQ(shmtool::show_group(3999999999u), "3999999999");
}
