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
