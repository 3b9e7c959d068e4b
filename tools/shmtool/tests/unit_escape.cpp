// SPDX-License-Identifier: BSL-1.0
/*
 * Hostile text
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "escape.hpp"

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

using namespace std::string_literals;
using shmtool::escape;
using shmtool::is_utf8;

namespace {

class Escape : public testing::Test
{
protected:
	void SetUp() override
	{
		if (!std::setlocale(LC_CTYPE, "C.UTF-8"))
			GTEST_SKIP() << "no locale C.UTF-8";
	}
};

} // namespace

TEST_F(Escape, Plain)
{
	EXPECT_EQ(escape("frames-01.left", true), "frames-01.left");
	EXPECT_EQ(escape("", true), "");
}

TEST_F(Escape, Controls)
{
	EXPECT_EQ(escape("a\nb\tc\rd", true), "a\\nb\\tc\\rd");
	EXPECT_EQ(escape("\033[2J", true), "\\x1b[2J");
	EXPECT_EQ(escape("a\0b"s, true), "a\\x00b");
	EXPECT_EQ(escape("\x7f", true), "\\x7f");
	EXPECT_EQ(escape("it's \\n", true), "it\\'s \\\\n");
}

TEST_F(Escape, BlanksAtTheEnds)
{
	EXPECT_EQ(escape(" a b ", true), "\\x20a b\\x20");
	EXPECT_EQ(escape(" ", true), "\\x20");
}

TEST_F(Escape, PrintableUnicodeStays)
{
	EXPECT_EQ(escape("größe", true), "größe");
	EXPECT_EQ(escape("画像", true), "画像");
	EXPECT_EQ(escape("größe", false), "gr\\xc3\\xb6\\xc3\\x9fe");
}

TEST_F(Escape, DeceptiveUnicodeGoes)
{
	EXPECT_EQ(escape("a\u202eb", true), "a\\xe2\\x80\\xaeb");
	EXPECT_EQ(escape("a\u200bb", true), "a\\xe2\\x80\\x8bb");
	EXPECT_EQ(escape("a\u00a0b", true), "a\\xc2\\xa0b");
	EXPECT_EQ(escape("\u0085", true), "\\xc2\\x85");
	EXPECT_EQ(escape("\ufeff", true), "\\xef\\xbb\\xbf");
	EXPECT_EQ(escape("e\u0301", true), "e\\xcc\\x81");
}

TEST_F(Escape, NoUtf8)
{
	EXPECT_EQ(escape("a\xff", true), "a\\xff");
	EXPECT_EQ(escape("\xc3", true), "\\xc3");
	EXPECT_EQ(escape("\xc0\xaf", true), "\\xc0\\xaf");
	EXPECT_EQ(escape("\xed\xa0\x80", true), "\\xed\\xa0\\x80");
}

TEST_F(Escape, EveryByteIsPrintable)
{
	for (int byte = 0; byte < 256; byte++) {
		const std::string text =
			escape(std::string(1, static_cast<char>(byte)), true);

		for (const char c : text)
			EXPECT_TRUE(c >= 0x20 && c < 0x7f) << byte;
	}
}

TEST_F(Escape, AShellReadsItBack)
{
	std::string all;
	for (int byte = 1; byte < 256; byte++)
		all += static_cast<char>(byte);

	for (const bool unicode : {false, true}) {
		::setenv("WORD", escape(all, unicode).c_str(), 1);

		FILE *pipe = ::popen("LC_ALL=C bash -c 'eval \"printf %s "
				     "\\$'\"'\"'$WORD'\"'\"'\"'",
				     "re");
		std::string back;
		char buffer[512];
		std::size_t n;

		ASSERT_NE(pipe, nullptr);
		while ((n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0)
			back.append(buffer, n);
		::pclose(pipe);
		EXPECT_EQ(back, all);
	}
}

TEST(Utf8, WellFormed)
{
	EXPECT_TRUE(is_utf8(""));
	EXPECT_TRUE(is_utf8("abc"));
	EXPECT_TRUE(is_utf8("\u00e9\u20ac\U0001f600"));
	EXPECT_TRUE(is_utf8("\xf4\x8f\xbf\xbf"));
}

TEST(Utf8, Malformed)
{
	for (const char *text :
	     {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(",
	      "\xe0\x80\x80", "\xe2\x82", "\xed\xa0\x80", "\xed\xbf\xbf",
	      "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
	      "\xff", "ok\xfe"})
		EXPECT_FALSE(is_utf8(text)) << escape(text, false);
}

TEST_F(Escape, WidthAndShorten)
{
	using shmtool::display_width;
	using shmtool::shorten;

	EXPECT_EQ(display_width("abc"), 3u);
	EXPECT_EQ(display_width("größe"), 5u);
	EXPECT_EQ(display_width("画像"), 4u);

	EXPECT_EQ(shorten("abc", 3), "abc");
	EXPECT_EQ(shorten("abcdefghijklm", 10), "abcdef…klm");
	EXPECT_EQ(display_width(shorten("画像画像画像画像", 10)), 9u);
}

TEST_F(Escape, AWordForAShellIsQuotedOnlyIfNeeded)
{
	EXPECT_EQ(shmtool::shell_word("größe"), "größe");
	EXPECT_EQ(shmtool::shell_word("frames-1"), "frames-1");
	EXPECT_EQ(shmtool::shell_word("a b"), "$'a b'");
	EXPECT_EQ(shmtool::shell_word("a;rm"), "$'a;rm'");
	EXPECT_EQ(shmtool::shell_word("it's"), "$'it\\'s'");
	EXPECT_EQ(shmtool::shell_word(""), "$''");
}

TEST(Encoding, Hexadecimal)
{
	EXPECT_EQ(shmtool::to_hex("\0\xffz"s), "00ff7a");
	EXPECT_EQ(shmtool::to_hex(""), "");
}

TEST(Encoding, Base64)
{
	/* RFC 4648, section 10 */
	EXPECT_EQ(shmtool::to_base64(""), "");
	EXPECT_EQ(shmtool::to_base64("f"), "Zg==");
	EXPECT_EQ(shmtool::to_base64("fo"), "Zm8=");
	EXPECT_EQ(shmtool::to_base64("foo"), "Zm9v");
	EXPECT_EQ(shmtool::to_base64("foob"), "Zm9vYg==");
	EXPECT_EQ(shmtool::to_base64("fooba"), "Zm9vYmE=");
	EXPECT_EQ(shmtool::to_base64("foobar"), "Zm9vYmFy");
	EXPECT_EQ(shmtool::to_base64("\xff\xfe\xfd"), "//79");
}
