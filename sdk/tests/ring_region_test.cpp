/* SPDX-License-Identifier: BSL-1.0 */
/*
 * ring_reader and ring_writer in regions
 */

#include "support.hpp"

#include <cstring>
#include <string>
#include <vector>

#include <poll.h>

using shm_kernel::access_mode;
using shm_kernel::create_options;
using shm_kernel::create_ring;
using shm_kernel::errc;
using shm_kernel::events;
using shm_kernel::get_ring_info;
using shm_kernel::region;
using shm_kernel::ring_access;
using shm_kernel::ring_options;
using shm_kernel::ring_reader;
using shm_kernel::ring_writer;
using shm_kernel::seal;
using shm_kernel::when_full;
using test::child;
using test::error_of;

class ring_region_test : public test::device_test
{
};

namespace {

region make_ring(const ring_options &options, std::uint64_t offset = 0)
{
	region made = region::create(
		create_options{}.set_size(offset + options.size()));

	create_ring(made, options, offset);
	return made;
}

std::string read_text(ring_reader &reader)
{
	const auto view = reader.try_read();

	return view ? std::string(static_cast<const char *>(view.data()),
				  view.size())
		    : "(none)";
}

std::error_code writer_error(const region &where,
			     const ring_access &access = ring_access())
{
	return error_of([&](auto &e) { ring_writer(where, access, e); });
}

std::error_code reader_error(const region &where,
			     const ring_access &access = ring_access())
{
	return error_of([&](auto &e) { ring_reader(where, access, e); });
}

} // namespace

TEST_F(ring_region_test, carries_records)
{
	for (const std::uint64_t offset : {0U, 64U, 4096U, 70016U}) {
		const region made = make_ring(ring_options(), offset);
		const auto access = ring_access().set_offset(offset);
		ring_writer writer(made, access);
		ring_reader reader(made, access);

		EXPECT_TRUE(writer.try_write("hello", 5));
		EXPECT_EQ(read_text(reader), "hello");
		EXPECT_EQ(read_text(reader), "(none)");
		if (offset) {
			EXPECT_EQ(writer_error(made), errc::not_a_ring);
		}
	}
}

TEST_F(ring_region_test, needs_the_handle_only_to_begin)
{
	const std::string name = test::fresh_name();
	region made = region::create(name, ring_options().size());

	create_ring(made, ring_options());

	ring_writer writer(made);
	ring_reader reader(made);

	made.close();
	EXPECT_TRUE(writer.try_write("a", 1));
	EXPECT_EQ(read_text(reader), "a");
	EXPECT_NO_THROW(region::open(name)) << "the ring keeps it alive";
	writer.close();
	reader.close();
	EXPECT_TRUE(test::eventually([&] {
		return error_of([&](auto &e) {
			       region::open(name, access_mode::read_write, e);
		       }) == errc::not_found;
	}));
}

TEST_F(ring_region_test, seals_what_it_makes)
{
	region made = region::create(
		create_options{}.set_size(ring_options().size()));

	EXPECT_FALSE(made.info().has(seal::shrink));
	create_ring(made, ring_options());
	EXPECT_TRUE(made.info().has(seal::shrink));
	EXPECT_EQ(error_of([&](auto &e) { made.resize(4096, e); }),
		  errc::sealed);
	made.resize(1 << 20);
	EXPECT_EQ(get_ring_info(made).cells(), 1024U);
}

TEST_F(ring_region_test, refuses_what_may_shrink)
{
	const ring_options options = ring_options().set_cells(64);
	region made = region::create(create_options{}.set_size(options.size()));
	std::vector<char> ring(options.size() + 64);
	void *const aligned = reinterpret_cast<void *>(
		(reinterpret_cast<std::uintptr_t>(ring.data()) + 63) &
		~std::uintptr_t{63});

	create_ring(aligned, options.size(), options);
	made.write(0, aligned, options.size());
	EXPECT_EQ(writer_error(made), errc::may_shrink);
	EXPECT_EQ(reader_error(made), errc::may_shrink);
	/* Nothing is mapped for that. */
	EXPECT_EQ(get_ring_info(made).cells(), 64U);

	const auto trusted = ring_access().set_trusted();

	EXPECT_FALSE(writer_error(made, trusted));
	EXPECT_FALSE(reader_error(made, trusted));
	made.add_seals(seal::shrink);
	EXPECT_FALSE(writer_error(made));
	EXPECT_FALSE(reader_error(made));

	region sealed =
		region::create(create_options{}.set_size(options.size()));

	sealed.add_seals(seal::seal);
	EXPECT_EQ(
		error_of([&](auto &e) { create_ring(sealed, options, 0, e); }),
		errc::sealed);
	/* One that cannot shrink anyway needs no seal. */
	region contiguous = region::create(
		create_options{}.set_size(options.size()).set_contiguous());

	create_ring(contiguous, options);
	EXPECT_FALSE(contiguous.info().has(seal::shrink));
	EXPECT_FALSE(writer_error(contiguous));
}

TEST_F(ring_region_test, what_does_not_fit)
{
	region made = region::create(create_options{}.set_size(10000));
	const auto error = [&](std::uint64_t offset) {
		return error_of([&](auto &e) {
			create_ring(made, ring_options().set_cells(64), offset,
				    e);
		});
	};

	EXPECT_EQ(error(10048), errc::past_end);
	EXPECT_EQ(error(~std::uint64_t{63}), errc::past_end);
	EXPECT_EQ(error(6400), errc::past_end);
	EXPECT_EQ(error(32), std::errc::invalid_argument);
	EXPECT_FALSE(error(5504));
	EXPECT_EQ(writer_error(made, ring_access().set_offset(5505)),
		  std::errc::invalid_argument);
	EXPECT_EQ(writer_error(made, ring_access().set_offset(1 << 20)),
		  errc::not_a_ring);
	EXPECT_EQ(writer_error(made, ring_access().set_offset(9984)),
		  errc::not_a_ring);
	EXPECT_EQ(error_of([&](auto &e) { get_ring_info(made, 9984, e); }),
		  errc::not_a_ring);
	EXPECT_EQ(error_of([&](auto &e) { get_ring_info(made, 1 << 20, e); }),
		  errc::not_a_ring);
	EXPECT_EQ(writer_error(region()), errc::empty_handle);
	EXPECT_EQ(reader_error(region()), errc::empty_handle);
}

TEST_F(ring_region_test, one_writer_and_one_reader_for_a_lane)
{
	const region made = make_ring(ring_options().set_lanes(2));
	ring_writer first(made);
	ring_writer second(made);
	ring_reader reader(made, ring_access().set_lane(1));

	EXPECT_EQ(first.lane(), 0U);
	EXPECT_EQ(second.lane(), 1U);
	/* Of this process, by this handle and by another one, and of others. */
	EXPECT_EQ(writer_error(made), errc::lane_busy);
	EXPECT_EQ(writer_error(made.reopen(access_mode::read_write)),
		  errc::lane_busy);
	EXPECT_EQ(writer_error(made, ring_access().set_lane(0)),
		  errc::lane_busy);
	EXPECT_EQ(child([&] {
			  return writer_error(made) == errc::lane_busy &&
						 reader_error(made) ==
							 errc::lane_busy
					 ? 0
					 : 1;
		  }).wait(),
		  0);
	EXPECT_EQ(reader_error(made), errc::lane_busy);

	const auto lanes = get_ring_info(made).lanes();

	EXPECT_TRUE(lanes[0].producer_locked);
	EXPECT_TRUE(lanes[1].producer_locked);
	EXPECT_FALSE(lanes[0].consumer_locked);
	EXPECT_TRUE(lanes[1].consumer_locked);
	EXPECT_FALSE(reader_error(made, ring_access().set_lane(0)));
	reader.close();
	EXPECT_FALSE(reader_error(made));
	second.close();
	EXPECT_EQ(ring_writer(made).lane(), 1U);
	EXPECT_EQ(writer_error(made, ring_access().set_lane(2)),
		  std::errc::invalid_argument);
}

TEST_F(ring_region_test, killing_frees_the_lane)
{
	const region made = make_ring(ring_options());

	for (int i = 0; i < 20; ++i) {
		test::gate ready;
		child holds([&] {
			ring_writer writer(made);
			ring_reader reader(made);

			writer.try_write("x", 1);
			ready.open();
			return test::until_killed();
		});

		ready.wait();
		EXPECT_EQ(writer_error(made), errc::lane_busy);
		EXPECT_EQ(reader_error(made), errc::lane_busy);
		EXPECT_EQ(holds.kill(), child::killed);
		EXPECT_FALSE(writer_error(made));
		EXPECT_FALSE(reader_error(made));
	}

	ring_reader reader(made);

	for (int i = 0; i < 20; ++i)
		EXPECT_EQ(read_text(reader), "x");
	EXPECT_EQ(read_text(reader), "(none)");
}

TEST_F(ring_region_test, rings_of_a_node_are_locked_like_those_of_the_region)
{
	region node = region::open_node(shm_kernel::control_node);
	const ring_options options = ring_options().set_cells(64);

	if (node.size() < options.size() + 4096)
		GTEST_SKIP() << "region 0 is too small";
	create_ring(node, options, 4096);

	const auto access = ring_access().set_offset(4096);
	const region file = region::open(node.info().name());
	ring_writer writer(node, access);
	ring_reader reader(file, access);

	EXPECT_EQ(writer_error(file, access), errc::lane_busy);
	EXPECT_EQ(writer_error(node, access), errc::lane_busy);
	EXPECT_EQ(reader_error(node, access), errc::lane_busy);
	EXPECT_TRUE(get_ring_info(node, 4096).lanes()[0].producer_locked);
	writer.try_write("a", 1);
	EXPECT_EQ(read_text(reader), "a");
	node.reset();
}

TEST_F(ring_region_test, handles_for_reading)
{
	const region made = make_ring(ring_options());
	const region looks = made.reopen(access_mode::read_only);

	EXPECT_EQ(get_ring_info(looks).cells(), 1024U);
	EXPECT_EQ(writer_error(looks), errc::permission_denied);
	EXPECT_EQ(reader_error(looks), errc::permission_denied);

	const region all = make_ring(ring_options().set_overwrite());
	ring_writer writer(all);
	ring_reader first(all.reopen(access_mode::read_only));
	ring_reader second(all.reopen(access_mode::read_only));
	ring_reader third(all);
	char byte = 0;

	writer.try_write("a", 1);
	for (ring_reader *reader : {&first, &second, &third}) {
		EXPECT_TRUE(reader->arm());
		EXPECT_EQ(reader->try_copy(&byte, 1), 1U);
		EXPECT_EQ(byte, 'a');
		EXPECT_FALSE(reader->arm());
	}
}

TEST_F(ring_region_test, readers_sleep_until_they_are_rung_for)
{
	constexpr int all = 3000;
	const region made = make_ring(ring_options().set_cells(64));
	test::gate ready;
	child writes([&] {
		const region mine = made.reopen(access_mode::read_write);
		events doorbell(mine);
		ring_writer writer(mine);

		writer.set_doorbell(doorbell);
		ready.open();
		for (int i = 0; i < all; ++i) {
			if (!writer.write(&i, sizeof(i),
					  std::chrono::seconds(20)))
				return 1;
			if (i % 100 == 0)
				::usleep(1000);
		}
		return 0;
	});
	events doorbell(made);
	ring_reader reader(made);

	reader.set_doorbell(doorbell);
	for (int i = 0; i < all; ++i) {
		auto view = reader.try_read();
		int number;

		while (!view) {
			ASSERT_TRUE(reader.wait(std::chrono::seconds(20)));
			view = reader.try_read();
		}
		std::memcpy(&number, view.data(), sizeof(number));
		ASSERT_EQ(number, i);
	}
	EXPECT_EQ(writes.wait(), 0);
	EXPECT_FALSE(reader.wait(std::chrono::milliseconds(10)));
}

TEST_F(ring_region_test, the_event_file_is_one_to_poll)
{
	const region made = make_ring(ring_options().set_cells(64));
	events reads(made);
	events writes(made);
	ring_writer writer(made);
	ring_reader reader(made);
	struct pollfd descriptor = {};

	writer.set_doorbell(writes);
	reader.set_doorbell(reads);
	descriptor.fd = reads.native_handle();
	descriptor.events = POLLIN;
	reads.try_read();
	EXPECT_EQ(::poll(&descriptor, 1, 0), 0);
	/* Nobody waits: nobody is rung for. */
	EXPECT_FALSE(writer.try_write("a", 1) && ::poll(&descriptor, 1, 0));
	EXPECT_TRUE(reader.arm());
	EXPECT_EQ(read_text(reader), "a");
	EXPECT_FALSE(reader.arm());
	EXPECT_EQ(::poll(&descriptor, 1, 0), 0);
	writer.try_write("b", 1);
	EXPECT_EQ(::poll(&descriptor, 1, 10000), 1);
	EXPECT_EQ(reads.read().rings, 1U);
	EXPECT_EQ(read_text(reader), "b");
	/* The same for room. */
	descriptor.fd = writes.native_handle();
	writes.try_read();
	while (writer.try_write("c", 1, when_full::keep))
		;
	EXPECT_FALSE(writer.arm(1));
	EXPECT_EQ(::poll(&descriptor, 1, 0), 0);
	while (reader.try_read())
		;
	EXPECT_EQ(::poll(&descriptor, 1, 10000), 1);
	EXPECT_TRUE(writer.arm(1));
}

TEST_F(ring_region_test, the_peer_stays_as_long_as_the_reader)
{
	const region made = make_ring(ring_options().set_cells(64));
	ring_reader reader(made);

	reader.set_doorbell(events(made));
	EXPECT_EQ(made.info().peers(), 1U);
	EXPECT_FALSE(reader.wait(std::chrono::milliseconds(1)));
	reader.close();
	EXPECT_TRUE(test::eventually([&] { return made.info().peers() == 0; }));
}

TEST_F(ring_region_test, revoking_ends_the_wait)
{
	if (!root())
		GTEST_SKIP() << "only root can revoke";

	region made = make_ring(ring_options().set_cells(64));
	test::gate ready;
	child reads([&] {
		ring_reader reader(made);

		reader.set_doorbell(events(made));
		ready.open();
		/* The memory is gone: who looks at it again gets SIGBUS. */
		reader.wait();
		return 0;
	});

	ready.wait();
	::usleep(20000);
	made.revoke();
	EXPECT_EQ(reads.wait(), -SIGBUS);
}

TEST_F(ring_region_test, locks_need_proc)
{
	const region made = make_ring(ring_options().set_cells(64));
	const int status =
		child([&] {
			if (::unshare(CLONE_NEWNS) ||
			    ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE,
				    nullptr) ||
			    ::mount("none", "/proc", "tmpfs", 0, nullptr))
				return 2;
			return writer_error(made) ==
					       std::errc::
						       no_such_file_or_directory
				       ? 0
				       : 1;
		}).wait();

	if (status == 2)
		GTEST_SKIP() << "may not mount";
	EXPECT_EQ(status, 0);
}
