// SPDX-License-Identifier: BSL-1.0
/*
 * The picture that `shmtool top` shows
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "top_view.hpp"

#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "escape.hpp"
#include "screen.hpp"

using namespace shmtool;
using namespace std::chrono_literals;

namespace {

region_sample region(std::uint64_t id, const char *name, std::uint64_t rings)
{
	region_sample one;

	one.id = id;
	one.name = name;
	one.size = 65536;
	one.rings = rings;
	return one;
}

ring_sample ring(std::vector<std::uint32_t> used,
		 std::vector<std::uint32_t> positions)
{
	ring_sample one;

	one.cells = 64;
	one.used = std::move(used);
	one.positions = std::move(positions);
	return one;
}

sample at(std::chrono::seconds when, std::vector<region_sample> regions)
{
	sample one;

	one.date += when;
	one.time += when;
	one.regions = std::move(regions);
	return one;
}

} // namespace

TEST(Top, Rates)
{
	const sample before = at(10s, {region(1, "a", 5), region(2, "b", 7)});
	const sample now = at(12s, {region(1, "a", 5), region(2, "b", 107),
				    region(3, "c", 9)});
	const auto rows = top_rows(&before, now);

	ASSERT_EQ(rows.size(), 3u);
	EXPECT_EQ(rows[0].now.name, "b");
	EXPECT_EQ(rows[0].rings, 50);
	EXPECT_EQ(rows[1].now.name, "a");
	EXPECT_EQ(rows[1].rings, 0);
	EXPECT_EQ(rows[2].now.name, "c");
	EXPECT_EQ(rows[2].rings, std::nullopt);
	EXPECT_EQ(top_rows(nullptr, now)[0].rings, std::nullopt);
}

TEST(Top, FlowBeyondTheOverflow)
{
	sample before = at(0s, {region(1, "a", 0)});
	sample now = at(1s, {region(1, "a", 0)});

	before.regions[0].ring = ring({0, 0}, {0xffffffff, 10});
	now.regions[0].ring = ring({0, 0}, {3, 10});
	EXPECT_EQ(top_rows(&before, now)[0].bytes, 4 * 64);

	/* the ring has begun anew: nobody knows how much that was */
	now.regions[0].ring = ring({0, 0}, {3, 0});
	EXPECT_EQ(top_rows(&before, now)[0].bytes, std::nullopt);

	/* another ring was made meanwhile */
	now.regions[0].ring = ring({0}, {3});
	EXPECT_EQ(top_rows(&before, now)[0].bytes, std::nullopt);
	now.regions[0].ring.reset();
	EXPECT_EQ(top_rows(&before, now)[0].bytes, std::nullopt);
}

TEST(Top, BusiestFirst)
{
	sample before = at(0s, {region(1, "idle", 0), region(2, "rung", 0),
				region(3, "flows", 0)});
	sample now = at(1s, {region(1, "idle", 0), region(2, "rung", 9),
			     region(3, "flows", 0)});

	before.regions[2].ring = ring({0}, {0});
	now.regions[2].ring = ring({0}, {1});
	const auto rows = top_rows(&before, now);
	EXPECT_EQ(rows[0].now.name, "flows");
	EXPECT_EQ(rows[1].now.name, "rung");
	EXPECT_EQ(rows[2].now.name, "idle");
}

TEST(Top, FormatRate)
{
	EXPECT_EQ(format_rate(0), "0");
	EXPECT_EQ(format_rate(0.01), "0");
	EXPECT_EQ(format_rate(0.5), "0.5");
	EXPECT_EQ(format_rate(12), "12");
	EXPECT_EQ(format_rate(12.34), "12.3");
	EXPECT_EQ(format_rate(123.4), "123");
	EXPECT_EQ(format_rate(9999), "9999");
	EXPECT_EQ(format_rate(10000), "10k");
	EXPECT_EQ(format_rate(12345678), "12.3M");
}

TEST(Top, Text)
{
	sample before = at(0s, {region(1, "a\nb", 0), region(2, "r", 0)});
	sample now = at(2s, {region(1, "a\nb", 0), region(2, "r", 3)});

	now.regions[0].name = "a\nb";
	now.regions[0].ring = ring({}, {});
	now.regions[0].ring->corrupted = true;
	before.regions[1].ring = ring({0, 0}, {0, 0});
	now.regions[1].ring = ring({1, 64}, {1, 64});
	now.regions[1].ring->dropped = 7;
	now.regions[1].peers = 2;
	now.regions[1].clients = 1;

	const std::string text = top_text(&before, now, 0);
	EXPECT_NE(
		text.find("2 regions, 128 KiB, 2 peers, 1.5 rings/s\n\nNAME "),
		std::string::npos)
		<< text;
	EXPECT_NE(
		text.find("\nr     64 KiB      0     0      2        1      1.5"
			  "  2 x 4 KiB     100%  2080 B/s        7\n"
			  "a\\nb  64 KiB      0     0      0        0        0"
			  "             corrupt\n"),
		std::string::npos)
		<< text;
}

TEST(Top, FitsEveryWidth)
{
	sample now = at(0s, {region(1, "a-rather-long-name-it-is", 0)});

	now.regions[0].ring = ring({1, 2}, {1, 2});
	for (std::size_t width = 40; width < 120; width++) {
		std::istringstream lines(top_text(nullptr, now, width));

		for (std::string line; std::getline(lines, line);)
			EXPECT_LE(display_width(line), width) << line;
	}
}

TEST(Top, Json)
{
	sample now = at(0s, {region(1, "\xff", 3)});

	now.regions[0].ring = ring({1}, {9});
	EXPECT_EQ(top_json(nullptr, now)["regions"].dump(),
		  "[{\"name\":\"\\\\xff\",\"name_hex\":\"ff\",\"id\":1,"
		  "\"size\":65536,\"files\":0,\"mappings\":0,\"peers\":0,"
		  "\"clients\":0,\"rings\":3,\"rings_per_second\":null,"
		  "\"ring\":{\"corrupted\":false,\"lanes\":1,\"cells\":64,"
		  "\"overwrite\":false,\"used\":[1],"
		  "\"bytes_per_second\":null,\"dropped\":0}}]");
}

TEST(Screen, FitsTheHeight)
{
	EXPECT_EQ(fit_lines("a\nb\nc\n", 3), "a\nb\nc\n");
	EXPECT_EQ(fit_lines("a\nb\nc\n", 4), "a\nb\nc\n");
	EXPECT_EQ(fit_lines("a\nb\nc\nd\n", 3), "a\nb\n... 2 more lines\n");
	EXPECT_EQ(fit_lines("a\nb\n", 1), "... 2 more lines\n");
	EXPECT_EQ(fit_lines("", 5), "");
}
