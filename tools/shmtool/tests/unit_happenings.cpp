// SPDX-License-Identifier: BSL-1.0
/*
 * What happened on a region, in words and in JSON
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "happenings.hpp"

#include <string>

#include <gtest/gtest.h>

using shm_kernel::event_counts;
using shm_kernel::region_info;
using namespace shmtool;

namespace {

std::string text_of(event_counts counts)
{
	return events_text(counts, region_info());
}

} // namespace

TEST(ParseKinds, Words)
{
	std::string why;

	auto kinds = parse_kinds("rings", &why);
	ASSERT_TRUE(kinds);
	EXPECT_TRUE(kinds->rings && !kinds->peers && !kinds->revoked);

	kinds = parse_kinds("peers,resized,sealed,revoked", &why);
	ASSERT_TRUE(kinds);
	EXPECT_TRUE(!kinds->rings && kinds->peers && kinds->resized &&
		    kinds->sealed && kinds->revoked);
}

TEST(ParseKinds, Rubbish)
{
	for (const char *text :
	     {"", ",", "ring", "rings,", ",rings", "rings peers", "RINGS"}) {
		std::string why;

		EXPECT_FALSE(parse_kinds(text, &why)) << text;
		EXPECT_NE(why.find("no kind of event"), std::string::npos);
	}

	std::string why;
	parse_kinds("a\033b", &why);
	EXPECT_NE(why.find("a\\x1bb"), std::string::npos) << why;
}

TEST(Happenings, Contained)
{
	event_counts counts;
	event_kinds rings, peers;

	rings.rings = true;
	peers.peers = true;
	EXPECT_FALSE(contains(counts, rings));
	counts.peers = 3;
	EXPECT_FALSE(contains(counts, peers));
	counts.peers_gone = 1;
	EXPECT_TRUE(contains(counts, peers));
	EXPECT_FALSE(contains(counts, rings));
	counts.rings = 1;
	EXPECT_TRUE(contains(counts, rings));
}

TEST(Happenings, Sum)
{
	event_counts a, b;

	a.rings = 1ULL << 40;
	a.peers_come = 2;
	a.peers = 7;
	a.revoked = true;
	b.rings = 2;
	b.peers_gone = 1;
	b.resized = 1;
	b.peers = 1;

	const event_counts both = sum(a, b);
	EXPECT_EQ(both.rings, (1ULL << 40) + 2);
	EXPECT_EQ(both.peers_come, 2u);
	EXPECT_EQ(both.peers_gone, 1u);
	EXPECT_EQ(both.resized, 1u);
	EXPECT_EQ(both.peers, 1u);
	EXPECT_TRUE(both.revoked);
}

TEST(Happenings, Text)
{
	event_counts counts;

	EXPECT_EQ(text_of(counts), "watching, no other peer");
	counts.peers = 2;
	EXPECT_EQ(text_of(counts), "watching, 2 other peers");
	counts.rings = 1;
	EXPECT_EQ(text_of(counts), "rang");
	counts.rings = 3;
	EXPECT_EQ(text_of(counts), "rang 3 times");
	counts.peers_come = 1;
	EXPECT_EQ(text_of(counts), "rang 3 times, 1 peer came (2 others now)");
	counts.peers_gone = 2;
	counts.peers = 0;
	EXPECT_EQ(text_of(counts), "rang 3 times, 1 peer came, 2 peers went "
				   "(no others now)");

	counts = event_counts();
	counts.resized = 2;
	counts.revoked = true;
	EXPECT_EQ(text_of(counts), "resized to 0 bytes, revoked");
}

TEST(Happenings, Json)
{
	event_counts counts;
	json object;

	counts.rings = UINT64_MAX;
	counts.peers = 1;
	put_events(object, counts, region_info());
	EXPECT_EQ(object.dump(),
		  "{\"rings\":18446744073709551615,\"peers_come\":0,"
		  "\"peers_gone\":0,\"resized\":0,\"sealed\":0,"
		  "\"revoked\":false,\"peers\":1,\"size\":0,\"seals\":[]}");
}
