/* SPDX-License-Identifier: BSL-1.0 */
/*
 * ring_reader and ring_writer in plain memory
 */

#include "ring_support.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using shm_kernel::create_ring;
using shm_kernel::errc;
using shm_kernel::get_ring_info;
using shm_kernel::ring_access;
using shm_kernel::ring_options;
using shm_kernel::ring_reader;
using shm_kernel::ring_writer;
using shm_kernel::when_full;
using test::error_of;
using test::ring_memory;

namespace {

std::string text_of(const shm_kernel::ring_view &view)
{
	return {static_cast<const char *>(view.data()), view.size()};
}

std::string read_text(ring_reader &reader)
{
	const auto view = reader.try_read();

	return view ? text_of(view) : "(none)";
}

} // namespace

TEST(ring, is_move_only)
{
	static_assert(!std::is_copy_constructible_v<ring_writer>);
	static_assert(!std::is_copy_constructible_v<ring_reader>);
	static_assert(std::is_nothrow_move_constructible_v<ring_writer>);
	static_assert(std::is_nothrow_move_constructible_v<ring_reader>);
	static_assert(std::is_nothrow_move_assignable_v<ring_writer>);
	static_assert(std::is_nothrow_move_assignable_v<ring_reader>);

	ring_memory memory(ring_options().set_cells(64));
	ring_writer writer = memory.writer();
	ring_reader reader = memory.reader();
	ring_writer other_writer = std::move(writer);
	ring_reader other_reader = std::move(reader);

	EXPECT_FALSE(writer);
	EXPECT_FALSE(reader);
	EXPECT_TRUE(other_writer.try_write("a", 1));
	writer = std::move(other_writer);
	reader = std::move(other_reader);
	EXPECT_TRUE(writer.try_write("b", 1));
	EXPECT_EQ(read_text(reader), "a");
	EXPECT_EQ(read_text(reader), "b");
}

TEST(ring, empty_objects_say_so)
{
	ring_writer writer;
	ring_reader reader;
	char byte;

	const auto empty = [](auto call) {
		EXPECT_EQ(error_of(call), errc::empty_handle);
	};

	empty([&](auto &e) { writer.try_reserve(1, when_full::drop, e); });
	empty([&](auto &e) { writer.try_write("a", 1, when_full::drop, e); });
	empty([&](auto &e) { writer.arm(1, e); });
	empty([&](auto &e) { writer.set_doorbell(0, e); });
	empty([&](auto &e) { reader.try_read(e); });
	empty([&](auto &e) { reader.try_copy(&byte, 1, e); });
	empty([&](auto &e) { reader.arm(e); });
	empty([&](auto &e) { reader.release(e); });
	empty([&](auto &e) { reader.set_doorbell(0, e); });
	EXPECT_THROW(reader.try_read(), std::system_error);
	EXPECT_THROW(writer.try_reserve(1), std::system_error);
	EXPECT_THROW(writer.commit(), std::system_error);
	EXPECT_EQ(reader.lanes(), 0U);
	EXPECT_EQ(reader.lost(), 0U);
	EXPECT_EQ(writer.dropped(), 0U);
	reader.set_hold();
	reader.skip_to_newest();
	EXPECT_FALSE(reader.take_room_wanted());
}

TEST(ring, is_made_as_asked_for)
{
	const auto options = ring_options()
				     .set_lanes(3)
				     .set_cells(128)
				     .set_overwrite()
				     .set_tag("sensor\x01 v1");
	test::guarded_memory memory(options.size());

	EXPECT_EQ(options.size(), 128U + 3 * (256 + 128 * 64));
	std::memset(memory.data(), 0xee, memory.size());
	create_ring(memory.data(), memory.size(), options);

	const auto info = get_ring_info(memory.data(), memory.size());

	EXPECT_EQ(info.lanes().size(), 3U);
	EXPECT_EQ(info.cells(), 128U);
	EXPECT_TRUE(info.overwrite());
	EXPECT_EQ(info.tag(), "sensor\x01 v1");
	EXPECT_EQ(info.printable_tag(), "sensor\\x01 v1");
	EXPECT_EQ(info.size(), options.size());
	EXPECT_EQ(info.max_record(), 128U / 2 * 64 - 8);
	EXPECT_EQ(info.dropped(), 0U);
	for (const auto &lane : info.lanes()) {
		EXPECT_EQ(lane.head, 0U);
		EXPECT_EQ(lane.used, 0U);
		EXPECT_FALSE(lane.producer_in_kernel);
	}

	std::ostringstream text;

	text << info;
	EXPECT_EQ(text.str(), "ring \"sensor\\x01 v1\": 3 lanes of 128 cells, "
			      "0 dropped, overwrites");
}

TEST(ring, options_that_make_no_sense)
{
	test::guarded_memory memory(1 << 20);
	const auto error = [&](const ring_options &options) {
		return error_of([&](auto &e) {
			create_ring(memory.data(), memory.size(), options, e);
		});
	};

	EXPECT_FALSE(error(ring_options()));
	EXPECT_FALSE(error(ring_options().set_cells(64)));
	EXPECT_EQ(error(ring_options().set_cells(32)),
		  std::errc::invalid_argument);
	EXPECT_EQ(error(ring_options().set_cells(0)),
		  std::errc::invalid_argument);
	EXPECT_EQ(error(ring_options().set_cells(100)),
		  std::errc::invalid_argument);
	EXPECT_EQ(error(ring_options().set_cells(1U << 25)),
		  std::errc::invalid_argument);
	EXPECT_EQ(error(ring_options().set_lanes(0)),
		  std::errc::invalid_argument);
	EXPECT_EQ(error(ring_options().set_lanes(1025)),
		  std::errc::invalid_argument);
	EXPECT_EQ(error(ring_options().set_cells(1U << 24)), errc::past_end);
	EXPECT_EQ(error(ring_options().set_lanes(1024)), errc::past_end);
	EXPECT_EQ(error_of([&](auto &e) {
			  create_ring(static_cast<char *>(memory.data()) + 8,
				      100000, ring_options(), e);
		  }),
		  std::errc::invalid_argument);
	EXPECT_THROW(ring_options().set_tag(std::string(33, 'x')),
		     std::length_error);
	EXPECT_EQ(ring_options().set_cells_to_fit(1 << 20).cells(), 8192U);
	EXPECT_EQ(ring_options().set_lanes(4).set_cells_to_fit(1 << 20).cells(),
		  2048U);
	EXPECT_EQ(ring_options().set_cells_to_fit(10).cells(), 64U);
}

TEST(ring, what_is_no_ring)
{
	ring_memory memory{ring_options()};
	auto *const words = static_cast<std::uint32_t *>(memory.data());
	const auto refused = [&](std::size_t size) {
		const auto check = [&](auto call) {
			EXPECT_EQ(error_of(call), errc::not_a_ring);
		};

		check([&](auto &e) { get_ring_info(memory.data(), size, e); });
		check([&](auto &e) {
			ring_reader(memory.data(), size, ring_access(), e);
		});
		check([&](auto &e) {
			ring_writer(memory.data(), size, ring_access(), e);
		});
	};

	refused(0);
	refused(127);
	refused(memory.size() - 1);
	for (int i = 0; i < 5; ++i) {
		const std::uint32_t before = words[i];

		for (const std::uint32_t value :
		     {0x12345678U, 0xffffffffU, 0xcccccccdU}) {
			words[i] = value;
			refused(memory.size());
		}
		words[i] = before;
	}
	EXPECT_NO_THROW(get_ring_info(memory.data(), memory.size()));
	EXPECT_EQ(error_of([&](auto &e) {
			  ring_writer(memory.data(), memory.size(),
				      ring_access().set_lane(1), e);
		  }),
		  std::errc::invalid_argument);
	EXPECT_EQ(error_of([&](auto &e) {
			  ring_reader(memory.data(), memory.size(),
				      ring_access().set_lane(1), e);
		  }),
		  std::errc::invalid_argument);
	EXPECT_EQ(error_of([&](auto &e) {
			  ring_reader(nullptr, 100, ring_access(), e);
		  }),
		  std::errc::invalid_argument);
	EXPECT_THROW(ring_reader(nullptr, 100), std::system_error);
	EXPECT_THROW(ring_writer(nullptr, 100), std::system_error);
}

TEST(ring, lanes_of_the_kernel_are_left_alone)
{
	ring_memory memory(ring_options().set_lanes(2).set_cells(64));

	memory.lane(0)->producer = 2;
	memory.lane(1)->consumer = 2;
	EXPECT_EQ(error_of([&](auto &e) {
			  ring_writer(memory.data(), memory.size(),
				      ring_access().set_lane(0), e);
		  }),
		  errc::lane_in_kernel);
	EXPECT_EQ(error_of([&](auto &e) {
			  ring_reader(memory.data(), memory.size(),
				      ring_access().set_lane(1), e);
		  }),
		  errc::lane_in_kernel);
	EXPECT_EQ(memory.reader().lanes(), 1U);
	EXPECT_EQ(memory.writer(1).lane(), 1U);
	EXPECT_TRUE(get_ring_info(memory.data(), memory.size())
			    .lanes()[0]
			    .producer_in_kernel);
}

TEST(ring, record_in_place)
{
	ring_memory memory(ring_options().set_cells(64));
	ring_writer writer = memory.writer();
	ring_reader reader = memory.reader();
	const auto slot = writer.try_reserve(100);

	ASSERT_TRUE(slot);
	EXPECT_EQ(slot.size(), 100U);
	EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slot.data()) % 8, 0U);
	EXPECT_GE(slot.data(), memory.data());
	EXPECT_EQ(read_text(reader), "(none)");
	std::memcpy(slot.data(), "hello", 5);
	EXPECT_FALSE(writer.commit(5));

	const auto view = reader.try_read();

	EXPECT_EQ(text_of(view), "hello");
	EXPECT_EQ(view.data(), slot.data());
	EXPECT_EQ(read_text(reader), "(none)");
	EXPECT_EQ(memory.lane()->head, 1U) << "took what was reserved";
}

TEST(ring, only_what_is_reserved_can_be_committed)
{
	ring_memory memory(ring_options().set_cells(64));
	ring_writer writer = memory.writer();
	const auto refused = [&](std::size_t size) {
		EXPECT_EQ(error_of([&](auto &e) { writer.commit(size, e); }),
			  std::errc::invalid_argument);
		EXPECT_THROW(writer.commit(size), std::system_error);
	};

	refused(0);
	EXPECT_THROW(writer.commit(), std::system_error);
	writer.try_reserve(10);
	refused(11);
	refused(~std::size_t{0});
	writer.discard();
	refused(10);
	writer.try_reserve(0);
	refused(1);
	writer.commit();
	refused(0);
	/* A second reservation takes the place of the first. */
	const void *const first = writer.try_reserve(500).data();

	EXPECT_EQ(writer.try_reserve(9).data(), first);
	refused(10);
	writer.commit();
	EXPECT_EQ(memory.lane()->head, 2U);
}

TEST(ring, records_that_are_too_long)
{
	ring_memory memory(ring_options().set_cells(64));
	ring_writer writer = memory.writer();
	ring_reader reader = memory.reader();
	std::string longest(writer.max_record(), 'x');
	char byte;

	EXPECT_EQ(writer.max_record(), 2040U);
	for (const std::size_t size :
	     {writer.max_record() + 1, std::size_t{0xffffffff},
	      std::size_t{0x100000000}, ~std::size_t{0}}) {
		EXPECT_EQ(error_of([&](auto &e) {
				  writer.try_reserve(size, when_full::drop, e);
			  }),
			  errc::record_too_long);
		EXPECT_EQ(error_of([&](auto &e) { writer.arm(size, e); }),
			  errc::record_too_long);
	}
	EXPECT_EQ(writer.dropped(), 0U);
	ASSERT_TRUE(writer.try_write(longest.data(), longest.size()));
	EXPECT_EQ(error_of([&](auto &e) { reader.try_copy(&byte, 1, e); }),
		  std::errc::message_size);
	EXPECT_EQ(error_of([&](auto &e) { reader.try_copy(&byte, 1, e); }),
		  std::errc::message_size);
	EXPECT_EQ(read_text(reader), longest);
}

TEST(ring, what_is_dropped_and_what_is_kept)
{
	ring_memory memory(ring_options().set_cells(64));
	ring_writer writer = memory.writer();
	ring_reader reader = memory.reader();

	while (writer.try_write("x", 1, when_full::keep))
		;
	EXPECT_EQ(writer.dropped(), 0U);
	EXPECT_FALSE(writer.try_write("x", 1));
	EXPECT_FALSE(writer.try_reserve(1));
	EXPECT_EQ(writer.dropped(), 2U);

	const auto info = get_ring_info(memory.data(), memory.size());

	EXPECT_EQ(info.dropped(), 2U);
	EXPECT_EQ(info.lanes()[0].used, 63U);

	/* The reader may be ahead of what the writer has said. */
	const std::uint32_t tail = memory.lane()->tail;

	memory.lane()->tail = memory.lane()->head + 1;
	EXPECT_EQ(get_ring_info(memory.data(), memory.size()).lanes()[0].used,
		  0U);
	memory.lane()->tail = tail;
	EXPECT_EQ(memory.writer().dropped(), 2U) << "a successor forgot them";
	EXPECT_EQ(error_of([&](auto &e) {
			  writer.reserve(1, std::chrono::seconds(1), e);
		  }),
		  std::errc::not_connected);
	EXPECT_EQ(error_of([&](auto &e) {
			  while (reader.try_read())
				  ;
			  reader.wait(std::chrono::seconds(1), e);
		  }),
		  std::errc::not_connected);
}

TEST(ring, hold_keeps_many_records)
{
	ring_memory memory(ring_options().set_cells(64));
	ring_writer writer = memory.writer();
	ring_reader reader = memory.reader();
	std::vector<shm_kernel::ring_view> views;

	reader.set_hold();
	for (char c = '!'; c < '!' + 63; ++c)
		ASSERT_TRUE(writer.try_write(&c, 1));
	while (const auto view = reader.try_read())
		views.push_back(view);
	ASSERT_EQ(views.size(), 63U);
	EXPECT_FALSE(writer.try_write("x", 1));
	EXPECT_FALSE(reader.arm());
	EXPECT_FALSE(writer.try_write("x", 1));
	for (std::size_t i = 0; i < views.size(); ++i)
		EXPECT_EQ(text_of(views[i]),
			  std::string(1, static_cast<char>('!' + i)));
	reader.release();
	EXPECT_TRUE(writer.try_write("x", 1));
	reader.set_hold(false);
	EXPECT_EQ(read_text(reader), "x");
	EXPECT_EQ(memory.lane()->tail, 63U);
	EXPECT_EQ(read_text(reader), "(none)");
	EXPECT_EQ(memory.lane()->tail, 64U);
}

TEST(ring, lanes_take_turns)
{
	ring_memory memory(ring_options().set_cells(256).set_lanes(3));
	std::vector<ring_writer> writers;
	ring_reader reader = memory.reader();
	ring_reader second = memory.reader(1);
	std::array<unsigned int, 3> seen = {};
	unsigned int longest = 0;
	unsigned int row = 0;
	std::uint32_t last = 9;

	for (std::uint32_t i = 0; i < 3; ++i)
		writers.push_back(memory.writer(i));
	for (int i = 0; i < 200; ++i)
		for (ring_writer &writer : writers)
			ASSERT_TRUE(writer.try_write(&i, sizeof(i)));
	while (const auto view = reader.try_read()) {
		ASSERT_LT(view.lane(), 3U);
		row = view.lane() == last ? row + 1 : 1;
		longest = std::max(longest, row);
		last = view.lane();
		int number;

		std::memcpy(&number, view.data(), sizeof(number));
		ASSERT_EQ(number, static_cast<int>(seen[last]++));
	}
	EXPECT_EQ(seen, (std::array<unsigned int, 3>{200, 200, 200}));
	EXPECT_LE(longest, 64U) << "one lane starves the others";

	/* Spoiling one does not stop the others. */
	memory.record(0, 200)->sequence = 201;
	memory.record(0, 200)->len = 0x7fffffff;
	writers[1].try_write("b", 1);
	writers[2].try_write("c", 1);

	std::string all;
	unsigned int errors = 0;

	for (int i = 0; i < 10; ++i) {
		std::error_code error;
		const auto view = reader.try_read(error);

		if (view)
			all += text_of(view);
		errors += error == errc::ring_corrupted;
	}
	std::sort(all.begin(), all.end());
	EXPECT_EQ(all, "bc");
	EXPECT_GT(errors, 1U);
	EXPECT_EQ(second.lanes(), 1U);
}

TEST(ring, overwriting_needs_copies)
{
	ring_memory memory(ring_options().set_cells(64).set_overwrite());
	ring_writer writer = memory.writer();
	ring_reader reader = memory.reader();
	std::array<char, 8> buffer;

	EXPECT_TRUE(writer.overwrites());
	EXPECT_TRUE(reader.overwrites());
	EXPECT_EQ(error_of([&](auto &e) { reader.try_read(e); }),
		  std::errc::operation_not_supported);
	EXPECT_FALSE(reader.arm());
	writer.try_write("abcdefghij", 10);
	EXPECT_TRUE(reader.arm());
	EXPECT_EQ(error_of([&](auto &e) {
			  reader.try_copy(buffer.data(), buffer.size(), e);
		  }),
		  std::errc::message_size);
	reader.skip_to_newest();
	EXPECT_FALSE(reader.arm());
	EXPECT_EQ(memory.lane()->waiting, 0U) << "wrote to a ring of others";
	for (int i = 0; i < 200; ++i)
		EXPECT_TRUE(writer.try_write("ab", 2));
	EXPECT_EQ(writer.dropped(), 0U);
	EXPECT_TRUE(reader.arm());
	EXPECT_EQ(reader.try_copy(buffer.data(), buffer.size()), 2U);
	EXPECT_GT(reader.lost(), 0U);
	EXPECT_TRUE(writer.arm(1000));
	EXPECT_EQ(memory.lane()->blocked, 0U);
}

TEST(ring, next_writer_rings_for_the_one_before)
{
	ring_memory memory(ring_options().set_cells(64));
	ring_reader reader = memory.reader();
	EXPECT_FALSE(reader.arm());
	/* As if it had died after publishing and before looking. */
	memory.record(0, 0)->len = 1;
	memory.record(0, 0)->sequence = 1;
	EXPECT_EQ(memory.lane()->waiting, 1U);

	ring_writer writer = memory.writer();
	int ends[2];

	ASSERT_EQ(::pipe(ends), 0);
	writer.set_doorbell(ends[1]);
	::close(ends[1]);
	EXPECT_EQ(memory.lane()->waiting, 0U);

	std::uint64_t rung = 0;

	EXPECT_EQ(::read(ends[0], &rung, sizeof(rung)), 8);
	EXPECT_EQ(rung, 1U);
	::close(ends[0]);
	EXPECT_TRUE(reader.try_read());
}

TEST(ring, sees_what_is_wrong_with_the_doorbell)
{
	ring_memory memory(ring_options().set_cells(64).set_overwrite());
	ring_writer writer = memory.writer();
	int ends[2];

	EXPECT_EQ(error_of([&](auto &e) { writer.set_doorbell(-1, e); }),
		  errc::empty_handle);
	EXPECT_EQ(error_of([&](auto &e) { writer.set_doorbell(9999, e); }),
		  std::errc::bad_file_descriptor);
	ASSERT_EQ(::pipe(ends), 0);
	/* Not one to write to; the record is there nevertheless. */
	writer.set_doorbell(ends[0]);
	EXPECT_EQ(error_of([&](auto &e) {
			  EXPECT_TRUE(
				  writer.try_write("a", 1, when_full::drop, e));
		  }),
		  errc::permission_denied);
	EXPECT_TRUE(memory.reader().arm());
	::close(ends[0]);
	::close(ends[1]);
}

TEST(ring, no_record_is_lost_if_the_doorbell_fails)
{
	/* It rings amid the records of a lane, or behind the last of one. */
	for (const unsigned int in_first : {63U, 3U}) {
		ring_memory memory(ring_options().set_cells(64).set_lanes(2));
		ring_writer writer = memory.writer();
		ring_reader reader = memory.reader();
		unsigned int seen = 0;
		unsigned int failed = 0;
		int ends[2];

		ASSERT_EQ(::pipe(ends), 0);
		/* Not one to write to. */
		reader.set_doorbell(ends[0]);
		::close(ends[0]);
		::close(ends[1]);
		for (unsigned int i = 0; i < in_first; ++i)
			ASSERT_TRUE(writer.try_write("a", 1));
		ASSERT_TRUE(memory.writer(1).try_write("b", 1));
		memory.lane()->blocked = 1;
		for (;;) {
			std::error_code error;
			const bool found{reader.try_read(error)};

			EXPECT_FALSE(found && error);
			seen += found;
			failed += error == errc::permission_denied;
			if (!found && !error)
				break;
		}
		EXPECT_EQ(failed, 1U);
		EXPECT_EQ(seen, in_first + 1);
	}
}
