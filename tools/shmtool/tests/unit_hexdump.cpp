// SPDX-License-Identifier: BSL-1.0
/*
 * The dump, line by line
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "hexdump.hpp"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

using shmtool::hexdump;

namespace {

std::string dump(const std::string &bytes, std::uint64_t offset = 0,
		 bool squeeze = true, std::size_t piece = SIZE_MAX)
{
	hexdump lines(offset, squeeze);
	std::string out;

	for (std::size_t i = 0; i < bytes.size();
	     i += std::min(piece, bytes.size() - i))
		out += lines.feed(std::string_view(bytes).substr(i, piece));
	return out + lines.finish();
}

} // namespace

TEST(Hexdump, Empty)
{
	EXPECT_EQ(dump(""), "");
}

TEST(Hexdump, OneLine)
{
	EXPECT_EQ(dump("0123456789abcdef"),
		  "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  "
		  "|0123456789abcdef|\n"
		  "00000010\n");
}

TEST(Hexdump, ShortLine)
{
	EXPECT_EQ(dump("a\n\xff", 0x1234), "00001234  61 0a ff                 "
					   "                         |a..|\n"
					   "00001237\n");
}

TEST(Hexdump, Squeezes)
{
	EXPECT_EQ(dump(std::string(64, '\0')),
		  "00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  "
		  "|................|\n"
		  "*\n"
		  "00000040\n");
}

TEST(Hexdump, AShortLastLineIsShown)
{
	EXPECT_EQ(dump(std::string(40, '\0')),
		  "00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  "
		  "|................|\n"
		  "*\n"
		  "00000020  00 00 00 00 00 00 00 00                           "
		  "|........|\n"
		  "00000028\n");
}

TEST(Hexdump, EveryLineIfAsked)
{
	const std::string text = dump(std::string(64, '\0'), 0, false);

	EXPECT_EQ(text.find('*'), std::string::npos);
	EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5);
}

TEST(Hexdump, ThePiecesDoNotShow)
{
	std::string bytes;

	for (int i = 0; i < 1000; i++)
		bytes += static_cast<char>(i < 300 ? i * 7 : i < 800 ? 0 : i);
	for (const std::size_t piece : {1u, 3u, 15u, 16u, 17u, 100u, 999u})
		EXPECT_EQ(dump(bytes, 5, true, piece), dump(bytes, 5)) << piece;
}

TEST(Hexdump, LargeOffsets)
{
	EXPECT_EQ(dump("a", 0x123456789aull).substr(0, 14), "123456789a  61");
}
