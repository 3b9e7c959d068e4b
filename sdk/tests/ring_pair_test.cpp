/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The protocol of rings, between each kind of producer and each of consumer:
 * the SDK's, and the kernel's own code
 */

#include "ring_sides.hpp"

#include <algorithm>
#include <deque>
#include <random>
#include <tuple>

using shm_kernel::errc;
using shm_kernel::ring_options;
using test::make_consumer;
using test::make_producer;
using test::put_result;
using test::ring_memory;
using test::side;

namespace {

constexpr std::uint32_t cells = 64;
constexpr std::uint32_t max_record = cells / 2 * 64 - 8;

std::uint32_t cells_of(std::size_t size)
{
	return static_cast<std::uint32_t>((size + 8 + 63) / 64);
}

/* A record of its own for each number and size. */
std::string text(std::size_t size, unsigned int number)
{
	std::string result(size, '\0');

	for (std::size_t i = 0; i < size; ++i)
		result[i] = static_cast<char>(number + i * 7 + i / 251);
	return result;
}

} // namespace

class ring_pair
	: public ::testing::TestWithParam<std::tuple<side, side, std::uint32_t>>
{
protected:
	static side writes() { return std::get<0>(GetParam()); }
	static side reads() { return std::get<1>(GetParam()); }
	static std::uint32_t start() { return std::get<2>(GetParam()); }
};

static std::string
name_of(const ::testing::TestParamInfo<ring_pair::ParamType> &parameters)
{
	static const char *const names[] = {"sdk", "kernel"};

	return std::string(
		       names[static_cast<int>(std::get<0>(parameters.param))]) +
	       "_to_" + names[static_cast<int>(std::get<1>(parameters.param))] +
	       "_from_" + std::to_string(std::get<2>(parameters.param));
}

// What only writers of the SDK do, and what only its readers do.
class ring_written_by_sdk : public ring_pair
{
};
class ring_read_by_sdk : public ring_pair
{
};

static const auto either = ::testing::Values(side::sdk, side::kernel);
static const auto starts =
	::testing::Values(0U, 0x7fffffe5U, 0xffffffd3U, 0xffffffffU);

INSTANTIATE_TEST_SUITE_P(, ring_pair,
			 ::testing::Combine(either, either, starts), name_of);
INSTANTIATE_TEST_SUITE_P(, ring_written_by_sdk,
			 ::testing::Combine(::testing::Values(side::sdk),
					    either, starts),
			 name_of);
INSTANTIATE_TEST_SUITE_P(, ring_read_by_sdk,
			 ::testing::Combine(either,
					    ::testing::Values(side::sdk),
					    starts),
			 name_of);

TEST_P(ring_pair, every_size_at_every_offset)
{
	ring_memory memory(ring_options().set_cells(cells), start());
	const auto writer = make_producer(writes(), memory);
	const auto reader = make_consumer(reads(), memory);
	unsigned int number = 0;

	for (std::uint32_t offset = 0; offset < cells; ++offset) {
		for (std::size_t size = 0; size <= max_record; ++size) {
			/* All lengths in one cell, the edges in more. */
			if (size > 128 && (size + 8) % 64 > 1 &&
			    size != max_record)
				continue;
			while (memory.lane()->head % cells != offset) {
				ASSERT_EQ(writer->put("x"), put_result::done);
				ASSERT_EQ(reader->get(), "x");
				ASSERT_EQ(reader->get(), std::nullopt);
			}

			const std::string record = text(size, ++number);

			ASSERT_EQ(writer->put(record), put_result::done);
			ASSERT_EQ(reader->get(), record);
			ASSERT_EQ(reader->get(), std::nullopt);
		}
	}
	EXPECT_EQ(memory.lane()->dropped, 0U);
	EXPECT_EQ(memory.lane()->tail, memory.lane()->head);
}

TEST_P(ring_pair, fills_up_and_drops)
{
	ring_memory memory(ring_options().set_cells(cells), start());
	const auto writer = make_producer(writes(), memory);
	const auto reader = make_consumer(reads(), memory);

	/* The cell behind the last record has to be free, too. */
	for (unsigned int i = 0; i < cells - 1; ++i)
		ASSERT_EQ(writer->put(text(10, i)), put_result::done);
	for (unsigned int i = 0; i < 3; ++i)
		EXPECT_EQ(writer->put("no"), put_result::full);
	EXPECT_EQ(memory.lane()->dropped, 3U);
	for (unsigned int i = 0; i < cells - 1; ++i)
		ASSERT_EQ(reader->get(), text(10, i));
	EXPECT_EQ(reader->get(), std::nullopt);
	EXPECT_EQ(writer->put("yes"), put_result::done);
	EXPECT_EQ(reader->get(), "yes");
}

TEST_P(ring_pair, gives_back_a_quarter_at_a_time)
{
	ring_memory memory(ring_options().set_cells(cells), start());
	const auto writer = make_producer(writes(), memory);
	const auto reader = make_consumer(reads(), memory);

	for (unsigned int i = 0; i < cells - 1; ++i)
		ASSERT_EQ(writer->put("x"), put_result::done);
	for (unsigned int i = 1; i < cells; ++i) {
		ASSERT_EQ(reader->get(), "x");
		/* Whether with the record or with the next one is free. */
		EXPECT_LE(memory.lane()->tail - start(), i);
		EXPECT_EQ((memory.lane()->tail - start()) % (cells / 4), 0U);
		EXPECT_LE(i - (memory.lane()->tail - start()), cells / 4);
	}
}

TEST_P(ring_pair, behaves_as_a_queue)
{
	std::mt19937 random(start());

	for (unsigned int round = 0; round < 20; ++round) {
		ring_memory memory(ring_options().set_cells(cells << round % 4),
				   start());
		const auto writer =
			make_producer(writes(), memory, 0, round % 2);
		const auto reader = make_consumer(reads(), memory);
		std::deque<std::string> expected;
		std::uint32_t dropped = 0;

		for (unsigned int i = 0; i < 3000; ++i) {
			if (random() % 9 < 5) {
				const std::size_t size =
					random() % 4 ? random() % 130
						     : random() % max_record;
				const std::string record = text(size, i);

				if (writer->put(record) == put_result::done)
					expected.push_back(record);
				else
					++dropped;
			} else if (expected.empty()) {
				ASSERT_EQ(reader->get(), std::nullopt);
			} else {
				ASSERT_EQ(reader->get(), expected.front());
				expected.pop_front();
			}
		}
		EXPECT_EQ(memory.lane()->dropped, dropped);
		for (const std::string &record : expected)
			ASSERT_EQ(reader->get(), record);
		EXPECT_EQ(reader->get(), std::nullopt);
	}
}

/*
 * Each cell of each record begins with what the sequence of that cell will be
 * in the next lap, and in those after it: all that a stale payload could be
 * taken for.
 */
TEST_P(ring_pair, payload_that_looks_like_a_record)
{
	ring_memory memory(ring_options().set_cells(cells), start());
	const auto writer = make_producer(writes(), memory);
	const auto reader = make_consumer(reads(), memory);
	std::mt19937 random(1);
	std::uint32_t position = start();

	for (unsigned int i = 0; i < 20000; ++i) {
		/* From whole laps of long records to short ones between them. */
		const std::size_t size = i % 50 < 25
						 ? max_record - random() % 99
						 : random() % 200;
		void *data;

		ASSERT_EQ(reader->get(), std::nullopt) << "a ghost";
		ASSERT_EQ(writer->reserve(static_cast<std::uint32_t>(size),
					  &data),
			  put_result::done);

		const auto cell = static_cast<std::uint32_t>(
			(static_cast<char *>(data) - 8 -
			 reinterpret_cast<char *>(memory.record(0, 0))) /
			64);

		position += (cell - position) % cells;
		for (std::uint32_t j = 1; j < cells_of(size); ++j) {
			const std::uint32_t ghost[2] = {
				position + j + cells + 1, 16};

			if (j * 64 + sizeof(ghost) <= size + 8)
				std::memcpy(static_cast<char *>(data) - 8 +
						    j * 64,
					    ghost, sizeof(ghost));
		}
		ASSERT_EQ(reader->get(), std::nullopt) << "not yet committed";
		writer->commit();
		position += cells_of(size);

		const auto record = reader->get();

		ASSERT_TRUE(record);
		ASSERT_EQ(record->size(), size);
	}
}

TEST_P(ring_pair, steps_over_discarded_records)
{
	ring_memory memory(ring_options().set_cells(cells), start());
	const auto writer = make_producer(writes(), memory);
	const auto reader = make_consumer(reads(), memory);
	void *data;

	for (unsigned int i = 0; i < 500; ++i) {
		ASSERT_EQ(writer->reserve(i, &data), put_result::done);
		writer->discard();
		ASSERT_EQ(reader->get(), std::nullopt);
		ASSERT_EQ(writer->put(text(i, i)), put_result::done);
		ASSERT_EQ(writer->reserve(i, &data), put_result::done);
		writer->discard();
		ASSERT_EQ(reader->get(), text(i, i));
		ASSERT_EQ(reader->get(), std::nullopt);
	}
}

TEST_P(ring_pair, rings_for_who_waits)
{
	ring_memory memory(ring_options().set_cells(cells), start());
	const auto writer = make_producer(writes(), memory, 0, start() % 2);
	const auto reader = make_consumer(reads(), memory);

	writer->put("a");
	EXPECT_FALSE(writer->rings);
	EXPECT_TRUE(reader->ask());
	EXPECT_EQ(reader->get(), "a");
	/* At every offset, so also behind a record that is to be skipped. */
	for (unsigned int i = 0; i < 200; ++i) {
		ASSERT_EQ(reader->get(), std::nullopt);
		ASSERT_FALSE(reader->ask());
		ASSERT_EQ(writer->put(text(900 + i, i)), put_result::done);
		ASSERT_TRUE(writer->rings) << i;
		ASSERT_TRUE(reader->ask());
		ASSERT_EQ(reader->get(), text(900 + i, i));
		ASSERT_EQ(reader->get(), std::nullopt);
		memory.lane()->waiting = 0;
		ASSERT_EQ(writer->put("b"), put_result::done);
		ASSERT_FALSE(writer->rings);
		ASSERT_EQ(reader->get(), "b");
	}
}

TEST_P(ring_written_by_sdk, rings_for_who_wants_room)
{
	ring_memory memory(ring_options().set_cells(cells), start());
	test::sdk_producer writer(memory, 0, false);
	const auto reader = make_consumer(reads(), memory);

	EXPECT_TRUE(writer.writer().arm(max_record));
	while (writer.put("x") == put_result::done)
		;
	EXPECT_FALSE(writer.writer().arm(1));
	EXPECT_EQ(memory.lane()->blocked, 1U);
	while (!reader->take_room_wanted())
		ASSERT_EQ(reader->get(), "x");
	EXPECT_EQ(memory.lane()->blocked, 0U);
	EXPECT_TRUE(writer.writer().arm(1));
	EXPECT_FALSE(writer.writer().arm(max_record));
	/* That may need all there is, which the reader gives back at the end. */
	for (unsigned int i = 0; !writer.writer().arm(max_record); ++i) {
		ASSERT_LT(i, cells);
		reader->get();
	}
	EXPECT_EQ(memory.lane()->blocked, 0U);
}

TEST_P(ring_pair, overwrites_the_oldest)
{
	std::mt19937 random(3);

	for (unsigned int round = 0; round < 40; ++round) {
		const std::uint32_t size = cells << round % 3;
		ring_memory memory(
			ring_options().set_cells(size).set_overwrite(),
			start());
		const auto writer = make_producer(writes(), memory);
		const auto reader = make_consumer(reads(), memory);
		std::vector<std::string> written;
		std::size_t next = 0;

		for (unsigned int i = 0; i < 50; ++i) {
			const std::size_t burst =
				random() % (i % 5 ? 20 : 4 * size);

			for (std::size_t j = 0; j < burst; ++j) {
				written.push_back(
					std::to_string(written.size()) + ' ' +
					text(random() % 150, i));
				ASSERT_EQ(writer->put(written.back()),
					  put_result::done);
				ASSERT_TRUE(writer->rings);
			}

			const std::uint64_t lost = reader->lost();
			bool first = true;

			while (const auto record = reader->get()) {
				const std::size_t number = std::stoul(*record);

				ASSERT_LT(number, written.size());
				ASSERT_EQ(*record, written[number]);
				if (!first || lost == reader->lost())
					ASSERT_EQ(number, next);
				else
					ASSERT_GT(number, next);
				next = number + 1;
				first = false;
			}
			ASSERT_EQ(next, written.size());

			/* Little enough is given up for a new record. */
			const auto *const lane = memory.lane();

			ASSERT_LT(lane->head - lane->oldest, size);
			if (lane->head - start() > size) {
				ASSERT_GT(lane->head - lane->oldest,
					  size - size / 16 - 6);
			}
		}
	}
}

TEST_P(ring_pair, lost_bytes_are_counted)
{
	ring_memory memory(ring_options().set_cells(cells).set_overwrite(),
			   start());
	const auto writer = make_producer(writes(), memory);
	const auto reader = make_consumer(reads(), memory);
	std::uint64_t got = 0;

	for (unsigned int i = 0; i < 1000; ++i) {
		ASSERT_EQ(writer->put(text(56, i)), put_result::done);
		if (i % 300 == 299)
			while (reader->get())
				got += 64;
	}
	while (reader->get())
		got += 64;
	EXPECT_GT(reader->lost(), 0U);
	EXPECT_EQ(got + reader->lost(), 1000U * 64);
}

TEST_P(ring_pair, reader_reports_what_was_spoiled)
{
	for (const std::uint32_t len :
	     {max_record + 1, 0x7fffffffU, 0xffffffffU, 0x80000000U | 5000U}) {
		ring_memory memory(ring_options().set_cells(cells), start());
		const auto writer = make_producer(writes(), memory);
		const auto reader = make_consumer(reads(), memory);

		writer->put("a");
		writer->put("b");
		memory.record(0, start() + 1)->len = len;
		ASSERT_EQ(reader->get(), "a");
		for (unsigned int i = 0; i < 3; ++i) {
			try {
				reader->get();
				FAIL() << "read a record of " << len;
			} catch (const std::system_error &error) {
				EXPECT_EQ(error.code(), errc::ring_corrupted);
			}
		}
	}
	/* A length that is fine but for the end of the lane. */
	ring_memory memory(ring_options().set_cells(cells), 60);
	const auto writer = make_producer(writes(), memory);
	const auto reader = make_consumer(reads(), memory);

	writer->put("a");
	memory.record(0, 60)->len = 64 * 5 - 8;
	EXPECT_THROW(reader->get(), std::system_error);
	memory.record(0, 60)->len = 64 * 4 - 8;
	EXPECT_NO_THROW(reader->get());
}

TEST_P(ring_pair, writer_reports_what_was_spoiled)
{
	ring_memory memory(ring_options().set_cells(cells), start());
	const auto writer = make_producer(writes(), memory);

	for (unsigned int i = 0; i < cells - 1; ++i)
		ASSERT_EQ(writer->put("x"), put_result::done);
	for (const std::uint32_t tail :
	     {start() - 2, start() + cells, start() + 0x80000000U}) {
		memory.lane()->tail = tail;
		EXPECT_EQ(writer->put("y"), put_result::corrupted);
	}
	memory.lane()->tail = start() + cells / 2;
	EXPECT_EQ(writer->put("y"), put_result::done);
}

TEST_P(ring_pair, next_writer_goes_on)
{
	ring_memory memory(ring_options().set_cells(cells), start());
	const auto reader = make_consumer(reads(), memory);
	unsigned int number = 0;

	for (unsigned int i = 0; i < 300; ++i) {
		const std::uint32_t head = memory.lane()->head;
		void *data;

		{
			const auto writer = make_producer(writes(), memory);

			ASSERT_EQ(writer->put(text(100 + i, number)),
				  put_result::done);
			/* It died before it could say that it had published. */
			if (writes() == side::sdk && i % 3)
				memory.lane()->head = head;
			/* Or in the middle of another record. */
			if (writes() == side::sdk && i % 2 && !(i % 3)) {
				ASSERT_EQ(writer->reserve(500, &data),
					  put_result::done);
				std::memset(data, 0x11, 500);
			}
			memory.lane()->producer = 0;
		}
		ASSERT_EQ(reader->get(), text(100 + i, number));
		ASSERT_EQ(reader->get(), std::nullopt);
		++number;
	}
}

TEST_P(ring_written_by_sdk, next_writer_keeps_the_history)
{
	std::mt19937 random(4);
	ring_memory memory(ring_options().set_cells(cells).set_overwrite(),
			   start());
	std::size_t number = 0;

	for (unsigned int i = 0; i < 300; ++i) {
		const auto writer = make_producer(writes(), memory);

		for (std::size_t j = random() % 40; j > 0; --j)
			ASSERT_EQ(writer->put(std::to_string(number++) + ' ' +
					      text(random() % 300, 0)),
				  put_result::done);

		/* A reader of now finds the end of it, without a gap. */
		const auto reader = make_consumer(reads(), memory);
		std::size_t next = 0;
		std::size_t count = 0;

		for (; const auto record = reader->get(); ++count) {
			const std::size_t found = std::stoul(*record);

			if (count) {
				ASSERT_EQ(found, next);
			}
			next = found + 1;
		}
		ASSERT_EQ(next, number);
		if (number > cells) {
			ASSERT_GT(count, 8U);
		}
		EXPECT_EQ(reader->lost(), 0U);
	}
	/* One that cannot be believed is not kept. */
	memory.record(0, memory.lane()->oldest)->len = 0x12345678;

	const auto writer = make_producer(writes(), memory);

	EXPECT_EQ(memory.lane()->oldest, memory.lane()->head);
	for (unsigned int i = 0; i < 1000; ++i)
		ASSERT_EQ(writer->put(text(i % 500, i)), put_result::done);
}

TEST_P(ring_pair, next_reader_goes_on)
{
	ring_memory memory(ring_options().set_cells(cells), start());
	const auto writer = make_producer(writes(), memory);
	unsigned int read = 0;
	unsigned int number = 0;

	for (unsigned int i = 0; i < 300; ++i) {
		for (; number - read < 20; ++number)
			ASSERT_EQ(writer->put(text(number % 50, number)),
				  put_result::done);

		memory.lane()->consumer = 0;

		const auto reader = make_consumer(reads(), memory);
		unsigned int at = memory.lane()->tail - start();

		/* From what was not given back, again, and in order. */
		ASSERT_LE(at, read);
		for (unsigned int j = i % 21; j > 0 && at < number; --j, ++at)
			ASSERT_EQ(reader->get(), text(at % 50, at));
		read = std::max(read, at);
	}
}

/* RESET zeroes a ring, and the writer begins anew at position 0. */
TEST_P(ring_read_by_sdk, reader_goes_on_after_a_reset)
{
	for (const bool overwrite : {false, true}) {
		for (unsigned int read = 1; read < 200; ++read) {
			const ring_options options =
				ring_options().set_cells(cells).set_overwrite(
					overwrite);
			ring_memory memory(options, 0);
			auto writer = make_producer(writes(), memory);
			test::sdk_consumer reader(memory, 0);
			unsigned int got = 0;

			for (unsigned int i = 0; i < read; ++i) {
				writer->put(text(50, i));
				if (i % 50 < 40 || i < 2) {
					ASSERT_NE(reader.get(), std::nullopt);
				}
				/* What it has given back is not 0, then. */
				if (i == 1) {
					ASSERT_EQ(reader.get(), std::nullopt);
				}
			}
			if (!overwrite && read < 2)
				continue;
			shm_kernel::create_ring(memory.data(), memory.size(),
						options);
			writer = make_producer(writes(), memory);
			/* Where records begin is known again after a lap. */
			for (unsigned int i = 0; i < 2 * cells; ++i) {
				writer->put(text(60, i));
				while (const auto record = reader.get()) {
					ASSERT_EQ(record->size(), 60U);
					++got;
				}
			}
			EXPECT_GE(got, overwrite ? cells : 2 * cells) << read;
			EXPECT_LE(reader.lost(), (read + cells) * 64);
			if (!overwrite) {
				EXPECT_EQ(reader.reader().restarts(), 1U);
			}
		}
	}
}
