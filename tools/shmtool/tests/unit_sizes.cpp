// SPDX-License-Identifier: BSL-1.0
/*
 * Sizes in both directions
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "sizes.hpp"

#include <gtest/gtest.h>

using shmtool::format_size;
using shmtool::format_size_exact;
using shmtool::parse_size;

TEST(ParseSize, Plain)
{
	EXPECT_EQ(parse_size("0"), 0u);
	EXPECT_EQ(parse_size("4096"), 4096u);
	EXPECT_EQ(parse_size("010"), 10u);
	EXPECT_EQ(parse_size("1B"), 1u);
}

TEST(ParseSize, Hexadecimal)
{
	EXPECT_EQ(parse_size("0x100"), 256u);
	EXPECT_EQ(parse_size("0XfF"), 255u);
	EXPECT_EQ(parse_size("0x10K"), 16384u);
	/* B and E are digits there */
	EXPECT_EQ(parse_size("0x1B"), 0x1bu);
	EXPECT_EQ(parse_size("0x1E"), 0x1eu);
}

TEST(ParseSize, Suffixes)
{
	EXPECT_EQ(parse_size("1K"), 1024u);
	EXPECT_EQ(parse_size("1k"), 1024u);
	EXPECT_EQ(parse_size("1KiB"), 1024u);
	EXPECT_EQ(parse_size("1Ki"), 1024u);
	EXPECT_EQ(parse_size("1KB"), 1000u);
	EXPECT_EQ(parse_size("1kB"), 1000u);
	EXPECT_EQ(parse_size("3M"), 3u << 20);
	EXPECT_EQ(parse_size("3MB"), 3000000u);
	EXPECT_EQ(parse_size("2g"), 2ull << 30);
	EXPECT_EQ(parse_size("1T"), 1ull << 40);
	EXPECT_EQ(parse_size("1P"), 1ull << 50);
	EXPECT_EQ(parse_size("1E"), 1ull << 60);
}

TEST(ParseSize, Fractions)
{
	EXPECT_EQ(parse_size("1.5K"), 1536u);
	EXPECT_EQ(parse_size("0.5MiB"), 1u << 19);
	EXPECT_EQ(parse_size("1.0"), 1u);
	EXPECT_EQ(parse_size("7.5E"), 15ull << 59);
	EXPECT_EQ(parse_size("0.001KB"), 1u);
	EXPECT_EQ(parse_size("0.1K"), std::nullopt);
	EXPECT_EQ(parse_size("1.5"), std::nullopt);
	EXPECT_EQ(parse_size("1.0000000001G"), std::nullopt);
}

TEST(ParseSize, Limits)
{
	EXPECT_EQ(parse_size("9223372036854775807"), 9223372036854775807ull);
	EXPECT_EQ(parse_size("0x7fffffffffffffff"), 9223372036854775807ull);
	EXPECT_EQ(parse_size("9223372036854775808"), std::nullopt);
	EXPECT_EQ(parse_size("0x8000000000000000"), std::nullopt);
	EXPECT_EQ(parse_size("0xffffffffffffffffff"), std::nullopt);
	EXPECT_EQ(parse_size("99999999999999999999999"), std::nullopt);
	EXPECT_EQ(parse_size("8E"), std::nullopt);
	EXPECT_EQ(parse_size("7.999999999E"), std::nullopt);
	EXPECT_EQ(parse_size("18014398509481984K"), std::nullopt);
}

TEST(ParseSize, Rubbish)
{
	for (const char *text :
	     {"",    " 1",    "1 ",   "1 K", "-1",    "+1",    "K",
	      "1KK", "1KiBs", "1,5K", "0x",  "0xg",   "1.",    ".5K",
	      "1.K", "1e3",   "ten",  "1Z",  "1_000", "1.5.5K"}) {
		std::string why;

		EXPECT_EQ(parse_size(text, &why), std::nullopt) << text;
		EXPECT_FALSE(why.empty()) << text;
	}
}

TEST(FormatSize, ExactWhereItSaysSo)
{
	EXPECT_EQ(format_size(0), "0 B");
	EXPECT_EQ(format_size(1), "1 B");
	EXPECT_EQ(format_size(1023), "1023 B");
	EXPECT_EQ(format_size(1024), "1 KiB");
	EXPECT_EQ(format_size(4097), "4097 B");
	EXPECT_EQ(format_size(64 << 20), "64 MiB");
	EXPECT_EQ(format_size(3ull << 39), "1.5 TiB");
	EXPECT_EQ(format_size(1ull << 60), "1 EiB");
}

TEST(FormatSize, Rounded)
{
	EXPECT_EQ(format_size(10001), "9.8 KiB");
	EXPECT_EQ(format_size((1 << 20) + 1), "1.0 MiB");
	EXPECT_EQ(format_size((1 << 20) - 1), "1.0 MiB");
	EXPECT_EQ(format_size(150 * 1024 + 1), "150 KiB");
	EXPECT_EQ(format_size(UINT64_MAX), "16.0 EiB");
}

TEST(FormatSize, ExactForm)
{
	EXPECT_EQ(format_size_exact(1), "1 byte");
	EXPECT_EQ(format_size_exact(0), "0 bytes");
	EXPECT_EQ(format_size_exact(100), "100 bytes");
	EXPECT_EQ(format_size_exact(1 << 20), "1 MiB (1048576 bytes)");
}

TEST(FormatSize, WhatItPrintsExactlyIsReadBack)
{
	for (std::uint64_t unit = 1; unit <= 1ull << 50; unit *= 1024) {
		for (const std::uint64_t n : {1u, 7u, 512u, 1023u}) {
			std::string text = format_size(n * unit);

			text.erase(text.find(' '), 1);
			EXPECT_EQ(parse_size(text), n * unit) << text;
		}
	}
}

TEST(FormatPart, EndsOnlyWhenTheyAreTrue)
{
	using shmtool::format_part;

	EXPECT_EQ(format_part(0, 0), "0%");
	EXPECT_EQ(format_part(0, 1024), "0%");
	EXPECT_EQ(format_part(1, 1024), "<1%");
	EXPECT_EQ(format_part(512, 1024), "50%");
	EXPECT_EQ(format_part(1023, 1024), "99%");
	EXPECT_EQ(format_part(1024, 1024), "100%");
}
