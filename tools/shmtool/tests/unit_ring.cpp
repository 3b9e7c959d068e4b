// SPDX-License-Identifier: BSL-1.0
/*
 * A ring and its records in words and in JSON, and heads that are none
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "ring_text.hpp"

#include <cstdint>
#include <string>
#include <system_error>

#include <gtest/gtest.h>

#include "ring_head.hpp"

using namespace shmtool;

namespace {

/* A ring in memory of our own, which no driver is needed for. */
struct memory
{
	alignas(64) unsigned char bytes[16384] = {};

	explicit memory(const shm_kernel::ring_options &options)
	{
		shm_kernel::create_ring(bytes, sizeof(bytes), options);
	}

	shm_kernel::ring_info info() const
	{
		return shm_kernel::get_ring_info(bytes, sizeof(bytes));
	}

	struct shm_kernel_ring &head()
	{
		return *reinterpret_cast<struct shm_kernel_ring *>(bytes);
	}
};

std::string fault_of(const struct shm_kernel_ring &head)
{
	return head_fault(head, sizeof(memory::bytes));
}

} // namespace

TEST(RingHead, Faults)
{
	memory ring(shm_kernel::ring_options().set_cells(64).set_lanes(2));
	struct shm_kernel_ring head = ring.head();

	EXPECT_EQ(fault_of(head), "");
	EXPECT_NE(head_fault(head, 8000).find("2 lanes of 64 cells take"),
		  std::string::npos);
	head.version = 2;
	EXPECT_NE(fault_of(head).find("version 2"), std::string::npos);
	head = ring.head();
	head.flags = 2;
	EXPECT_NE(fault_of(head).find("flags"), std::string::npos);
	for (const std::uint32_t lanes : {0U, 1025U, UINT32_MAX}) {
		head = ring.head();
		head.lanes = lanes;
		EXPECT_NE(fault_of(head).find("lanes"), std::string::npos);
	}
	for (const std::uint32_t cells : {0U, 32U, 65U, 1U << 25, UINT32_MAX}) {
		head = ring.head();
		head.cells = cells;
		EXPECT_NE(fault_of(head).find("cells"), std::string::npos);
	}
	/* the largest of all does not overflow */
	head = ring.head();
	head.lanes = 1024;
	head.cells = 1U << 24;
	EXPECT_NE(fault_of(head).find("1.0 TiB"), std::string::npos)
		<< fault_of(head);
}

TEST(RingText, Info)
{
	memory ring(shm_kernel::ring_options().set_cells(64).set_tag("a\nb"));
	shm_kernel::ring_writer writer(ring.bytes, sizeof(ring.bytes));

	writer.try_write("x", 1);
	const std::string text = ring_text(ring.info(), 128, 0);
	EXPECT_NE(text.find("Tag:         a\\nb\n"), std::string::npos) << text;
	EXPECT_NE(text.find("4480 bytes from offset 128 on\n"),
		  std::string::npos)
		<< text;
	EXPECT_NE(text.find("new records are dropped\n"), std::string::npos);
	EXPECT_NE(text.find("LANE  FILL  USED  HEAD  TAIL  DROPPED  PRODUCER  "
			    "CONSUMER\n"
			    "   0    1%     1     1     0        0  none      "
			    "none\n"),
		  std::string::npos)
		<< text;
}

TEST(RingText, Json)
{
	memory ring(shm_kernel::ring_options()
			    .set_cells(64)
			    .set_lanes(2)
			    .set_overwrite());
	const json object = ring_json(ring.info(), 0);

	EXPECT_EQ(object["overwrite"], true);
	EXPECT_EQ(object["cells"], 64);
	EXPECT_EQ(object["lanes"].size(), 2u);
	EXPECT_EQ(object["lanes"][0].dump(),
		  "{\"used\":0,\"head\":0,\"oldest\":0,\"dropped\":0,"
		  "\"producer\":\"none\",\"producer_waits\":false,"
		  "\"consumer\":\"any\",\"consumer_waits\":false}");
}

TEST(RecordText, Formats)
{
	const std::string hostile("\033[2J\0x", 6);

	EXPECT_EQ(record_text(record_format::raw, 3, hostile), hostile);
	EXPECT_EQ(record_text(record_format::text, std::nullopt, hostile),
		  "\\x1b[2J\\x00x\n");
	EXPECT_EQ(record_text(record_format::text, 3, "two\nlines"),
		  "3: two\\nlines\n");
	EXPECT_EQ(record_text(record_format::text, std::nullopt, ""), "\n");
	EXPECT_EQ(record_text(record_format::hex, 1, "AB"),
		  "lane 1, 2 bytes\n"
		  "00000000  41 42                                            "
		  " |AB|\n"
		  "00000002\n");
	EXPECT_EQ(record_text(record_format::hex, std::nullopt, ""),
		  "0 bytes\n");
	EXPECT_EQ(record_text(record_format::object, 1, "\xff"),
		  "{\"lane\":1,\"size\":1,\"data\":\"\\\\xff\",\"data_hex\":"
		  "\"ff\"}\n");
	EXPECT_EQ(record_text(record_format::object, std::nullopt, "a\nb"),
		  "{\"lane\":null,\"size\":3,\"data\":\"a\\nb\"}\n");
}

TEST(RecordText, FormatWords)
{
	EXPECT_EQ(parse_format("hex"), record_format::hex);
	EXPECT_EQ(parse_format("text"), record_format::text);
	EXPECT_EQ(parse_format("raw"), record_format::raw);
	EXPECT_EQ(parse_format("object"), std::nullopt);
	EXPECT_EQ(parse_format(""), std::nullopt);
}
