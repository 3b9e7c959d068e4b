// SPDX-License-Identifier: BSL-1.0
/*
 * Tables and wrapped text
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "output.hpp"

#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "errors.hpp"
#include "escape.hpp"

using shmtool::table;

namespace {

table example()
{
	table t({{"NAME", table::align::left, 0, true},
		 {"SIZE", table::align::right, 0, false},
		 {"OWNER", table::align::left, 1, false}});

	t.add({{"a"}, {"4 KiB"}, {"root"}});
	t.add({{"a-rather-long-name-it-is"}, {"64 MiB"}, {"somebody"}});
	return t;
}

} // namespace

TEST(Table, Aligned)
{
	EXPECT_EQ(example().format(0),
		  "NAME                        SIZE  OWNER\n"
		  "a                          4 KiB  root\n"
		  "a-rather-long-name-it-is  64 MiB  somebody\n");
}

TEST(Table, NoBlanksAtTheEndOfLines)
{
	std::istringstream lines(example().format(0));

	for (std::string line; std::getline(lines, line);)
		EXPECT_NE(line.back(), ' ') << line;
}

TEST(Table, FitsEveryWidth)
{
	for (std::size_t width = 20; width < 60; width++) {
		std::istringstream lines(example().format(width));

		for (std::string line; std::getline(lines, line);)
			EXPECT_LE(shmtool::display_width(line), width) << line;
	}
}

TEST(Table, NamesAreShortenedBeforeColumnsGo)
{
	EXPECT_NE(example().format(35).find("OWNER"), std::string::npos);
	EXPECT_EQ(example().format(25).find("OWNER"), std::string::npos);
	EXPECT_NE(example().format(25).find("SIZE"), std::string::npos);
}

TEST(Wrap, Lines)
{
	EXPECT_EQ(shmtool::wrap("one two three", 8, 0), "one two\nthree");
	EXPECT_EQ(shmtool::wrap("one two three", 9, 2), "  one two\n  three");
	EXPECT_EQ(shmtool::wrap("averylongwordindeed yes", 8, 0),
		  "averylongwordindeed\nyes");
	EXPECT_EQ(shmtool::wrap("", 8, 0), "");
}

TEST(Failure, Text)
{
	EXPECT_STREQ(shmtool::failure("what", "why", "mend").what(),
		     "what: why (mend)");
	EXPECT_STREQ(shmtool::failure("what", "why").what(), "what: why");
	EXPECT_EQ(shmtool::failure("a", "b").status(), 1);
	EXPECT_EQ(shmtool::usage_error("a", "b").status(), 2);
	EXPECT_EQ(shmtool::error_text(2), "no such file or directory");
}

TEST(Nearest, Typing)
{
	using shmtool::nearest;
	const std::vector<std::string> words = {
		"list", "info", "create", "remove", "read", "reset", "resize"};

	EXPECT_EQ(nearest("lsit", words), "list");
	EXPECT_EQ(nearest("crate", words), "create");
	EXPECT_EQ(nearest("remvoe", words), "remove");
	EXPECT_EQ(nearest("resiez", words), "resize");
	EXPECT_EQ(nearest("frobnicate", words), "");
	EXPECT_EQ(nearest("x", words), "");
	EXPECT_EQ(nearest("", words), "");
}
