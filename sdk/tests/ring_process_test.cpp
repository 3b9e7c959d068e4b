/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Rings between processes, which die at any moment
 */

#include "ring_support.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <random>

#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/time.h>

using shm_kernel::ring_options;
using shm_kernel::ring_reader;
using shm_kernel::ring_writer;
using shm_kernel::when_full;
using test::child;
using test::guarded_memory;
using test::ring_memory;

namespace {

/* What a process has said, and another one may rely on. */
struct notice
{
	std::atomic<std::uint32_t> generation{0};
	std::atomic<std::uint32_t> number{0};
	std::atomic<std::uint32_t> started{0};
};

/* A record: who wrote it, which of his it is, and a rest that tells more. */
struct numbered
{
	std::uint32_t generation;
	std::uint32_t number;
};

std::size_t size_of(std::uint32_t number)
{
	return sizeof(numbered) + number * 37 % 400;
}

bool write_numbered(ring_writer &writer, std::uint32_t generation,
		    std::uint32_t number)
{
	const auto slot = writer.try_reserve(size_of(number), when_full::keep);
	const numbered head = {generation, number};

	if (!slot)
		return false;
	std::memset(slot.data(), static_cast<int>(number), slot.size());
	std::memcpy(slot.data(), &head, sizeof(head));
	writer.commit();
	return true;
}

/* Returns whether it is as it was written. */
bool check_numbered(const shm_kernel::ring_view &view, numbered &head)
{
	const auto *const bytes =
		static_cast<const unsigned char *>(view.data());

	if (view.size() < sizeof(head))
		return false;
	std::memcpy(&head, bytes, sizeof(head));
	return view.size() == size_of(head.number) &&
	       std::all_of(bytes + sizeof(head), bytes + view.size(),
			   [&](unsigned char byte) {
				   return byte == (head.number & 0xff);
			   });
}

/* Waits for up to @most us, without being sure how long it was. */
void some_time(std::mt19937 &random, unsigned int most)
{
	::usleep(static_cast<useconds_t>(random() % most));
}

template <typename T>
class shared final
{
public:
	shared() : m_memory(sizeof(T)) { new (m_memory.data()) T; }

	T *operator->() { return static_cast<T *>(m_memory.data()); }

private:
	guarded_memory m_memory;
};

constexpr std::uint32_t near_the_end = 0xffff0000U;

} // namespace

TEST(ring_process, one_writes_and_one_reads)
{
	constexpr std::uint32_t all = 200000;
	ring_memory memory(ring_options().set_cells(256), 0xffffff00U);
	child writes([&] {
		ring_writer writer = memory.writer();

		for (std::uint32_t i = 0; i < all;)
			if (write_numbered(writer, 0, i))
				++i;
			else
				::sched_yield();
		return 0;
	});
	ring_reader reader = memory.reader();

	for (std::uint32_t i = 0; i < all;) {
		const auto view = reader.try_read();
		numbered head;

		if (!view) {
			::sched_yield();
			continue;
		}
		ASSERT_TRUE(check_numbered(view, head));
		ASSERT_EQ(head.number, i);
		++i;
	}
	EXPECT_EQ(writes.wait(), 0);
	EXPECT_FALSE(reader.try_read());
}

/* Each waits for the other all the time; neither may sleep for ever. */
TEST(ring_process, both_sleep_and_are_rung_for)
{
	constexpr std::uint32_t all = 20000;

	for (const bool fences : {false, true}) {
		ring_memory memory(ring_options().set_cells(64));
		int ends[2];

		ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
		child writes([&] {
			ring_writer writer = memory.writer(0, fences);
			std::mt19937 random(1);

			writer.set_doorbell(ends[0]);
			for (std::uint32_t i = 0; i < all; ++i) {
				const auto slot = writer.reserve(
					size_of(i), std::chrono::seconds(20));
				const numbered head = {0, i};

				if (!slot)
					return 1;
				std::memset(slot.data(), static_cast<int>(i),
					    slot.size());
				std::memcpy(slot.data(), &head, sizeof(head));
				writer.commit();
				if (random() % 64 == 0)
					some_time(random, 100);
			}
			return 0;
		});
		ring_reader reader = memory.reader();
		std::mt19937 random(2);

		reader.set_doorbell(ends[1]);
		for (std::uint32_t i = 0; i < all; ++i) {
			shm_kernel::ring_view view = reader.try_read();
			numbered head;

			while (!view) {
				ASSERT_TRUE(
					reader.wait(std::chrono::seconds(20)))
					<< i;
				view = reader.try_read();
			}
			ASSERT_TRUE(check_numbered(view, head));
			ASSERT_EQ(head.number, i);
			if (random() % 64 == 0)
				some_time(random, 100);
		}
		EXPECT_EQ(writes.wait(), 0);
		EXPECT_FALSE(reader.wait(std::chrono::milliseconds(1)));
		::close(ends[0]);
		::close(ends[1]);
	}
}

TEST(ring_process, killed_writers)
{
	constexpr std::uint32_t rounds = 1500;
	ring_memory memory(ring_options().set_cells(128), near_the_end);
	shared<notice> noticed;
	ring_reader reader = memory.reader();
	std::mt19937 random(5);
	/* Where the reader is in what each writer has written. */
	std::uint32_t generation = 0;
	std::uint32_t next = 0;
	std::vector<std::uint32_t> least(rounds + 1);
	std::uint64_t all = 0;

	const auto drain = [&](unsigned int most) {
		for (; most > 0; --most) {
			const auto view = reader.try_read();
			numbered head;

			if (!view)
				return;
			ASSERT_TRUE(check_numbered(view, head));
			while (head.generation != generation) {
				/* All that it gave notice of has come. */
				ASSERT_LT(generation, head.generation);
				ASSERT_GE(next, least[generation]);
				++generation;
				next = 0;
			}
			ASSERT_EQ(head.number, next);
			++next;
			++all;
		}
	};

	for (std::uint32_t round = 0; round < rounds; ++round) {
		noticed->number = 0;
		noticed->started = 0;

		child writes([&] {
			ring_writer writer = memory.writer();

			for (std::uint32_t i = 0;; ++i) {
				while (!write_numbered(writer, round, i))
					::sched_yield();
				noticed->number = i + 1;
				noticed->started = 1;
			}
			return 0;
		});

		/* Some of them before they have begun. */
		for (int i = 0; i < 3 || (round % 8 && !noticed->started);
		     ++i) {
			drain(100);
			if (HasFatalFailure())
				return;
			some_time(random, 60);
		}
		ASSERT_EQ(writes.kill(), child::killed);
		least[round] = noticed->number;
	}
	drain(~0U);
	while (!HasFatalFailure() && generation < rounds) {
		ASSERT_GE(next, least[generation]);
		++generation;
		next = 0;
	}
	EXPECT_GT(all, rounds);
}

TEST(ring_process, killed_readers)
{
	constexpr std::uint32_t rounds = 1500;
	ring_memory memory(ring_options().set_cells(128), near_the_end);
	shared<notice> noticed;
	ring_writer writer = memory.writer();
	std::mt19937 random(6);
	std::uint32_t written = 0;

	for (std::uint32_t round = 0; round < rounds; ++round) {
		const std::uint32_t before = noticed->number;

		noticed->started = 0;

		child reads([&] {
			ring_reader reader = memory.reader();
			std::optional<std::uint32_t> expected;

			for (;;) {
				const auto view = reader.try_read();
				numbered head;

				if (!view) {
					::sched_yield();
					continue;
				}
				if (!check_numbered(view, head))
					return 1;
				/* The first again, what follows in order. */
				if (!expected && head.number > before)
					return 2;
				if (expected && head.number != *expected)
					return 3;
				expected = head.number + 1;
				if (*expected > noticed->number)
					noticed->number = *expected;
				noticed->started = 1;
			}
		});

		for (int i = 0; i < 20; ++i) {
			for (int j = 0; j < 20; ++j)
				if (write_numbered(writer, 0, written))
					++written;
			if (round % 8 && noticed->started)
				break;
			some_time(random, 100);
		}
		ASSERT_EQ(reads.kill(), child::killed);
	}

	ring_reader reader = memory.reader();
	std::uint32_t last = 0;

	while (const auto view = reader.try_read()) {
		numbered head;

		ASSERT_TRUE(check_numbered(view, head));
		last = head.number + 1;
	}
	EXPECT_EQ(last, written);
	EXPECT_GT(written, rounds);
}

TEST(ring_process, killed_writers_of_a_ring_that_overwrites)
{
	constexpr std::uint32_t rounds = 700;
	ring_memory memory(ring_options().set_cells(128).set_overwrite(),
			   near_the_end);
	shared<notice> noticed;
	std::mt19937 random(7);
	ring_reader reader = memory.reader();
	std::array<char, 1000> buffer;
	std::uint32_t generation = 0;
	std::uint32_t next = 0;

	for (std::uint32_t round = 0; round < rounds; ++round) {
		noticed->number = 0;
		noticed->started = 0;

		child writes([&] {
			ring_writer writer = memory.writer();

			for (std::uint32_t i = 0;; ++i) {
				write_numbered(writer, round, i);
				noticed->number = i + 1;
				noticed->started = 1;
				if (i % 16 == 0)
					::sched_yield();
			}
			return 0;
		});
		std::size_t count = 0;

		while (!noticed->started)
			::sched_yield();
		some_time(random, 100);
		ASSERT_EQ(writes.kill(), child::killed);

		/* What is there is whole, in order, and to the end. */
		while (const auto size =
			       reader.try_copy(buffer.data(), buffer.size())) {
			numbered head;

			ASSERT_TRUE(check_numbered({buffer.data(), *size, 0},
						   head));
			ASSERT_TRUE(head.generation > generation ||
				    (head.generation == generation &&
				     head.number >= next));
			generation = head.generation;
			next = head.number + 1;
			++count;
		}
		ASSERT_EQ(generation, round);
		ASSERT_GE(next, noticed->number);
		ASSERT_GT(count, 0U);
	}
	EXPECT_GT(reader.lost(), 0U);
}

/* What a reader gets was not overwritten while it was copied. */
TEST(ring_process, no_copy_is_torn)
{
	ring_memory memory(ring_options().set_cells(64).set_overwrite(),
			   near_the_end);
	child writes([&] {
		ring_writer writer = memory.writer();

		for (std::uint32_t i = 0;; ++i) {
			write_numbered(writer, 0, i);
			/* Let the reader catch up now and then. */
			if (i % 8192 == 0)
				::usleep(100);
		}
		return 0;
	});
	ring_reader reader = memory.reader();
	std::array<char, 1000> buffer;
	std::uint32_t next = 0;
	std::uint32_t count = 0;
	const auto end =
		std::chrono::steady_clock::now() + std::chrono::seconds(1);

	while (std::chrono::steady_clock::now() < end) {
		const auto size = reader.try_copy(buffer.data(), buffer.size());
		numbered head;

		if (!size)
			continue;
		ASSERT_TRUE(check_numbered({buffer.data(), *size, 0}, head))
			<< "torn after " << count;
		ASSERT_GE(head.number, next);
		next = head.number + 1;
		++count;
	}
	EXPECT_GT(count, 100U);
	EXPECT_GT(reader.lost(), 0U);
}

/* Killed after each single instruction of a write and of what goes before it. */
TEST(ring_process, writer_killed_at_each_instruction)
{
	for (const bool overwrite : {false, true}) {
		/* So that the second record is preceded by one to be skipped. */
		ring_memory memory(
			ring_options().set_cells(64).set_overwrite(overwrite),
			near_the_end);
		guarded_memory copy(memory.size());
		shared<notice> noticed;
		/* Instructions of it, once it has been run to its end. */
		unsigned int all = 0;

		{
			ring_writer writer = memory.writer();
			ring_reader reader = memory.reader();
			std::array<char, 1000> bytes;

			write_numbered(writer, 0, 0);
			for (std::uint32_t i = 0; i < 60 + 64; ++i) {
				writer.try_write("x", 1);
				while (reader.try_copy(bytes.data(),
						       bytes.size()))
					;
			}
		}
		std::memcpy(copy.data(), memory.data(), memory.size());
		const auto end = std::chrono::steady_clock::now() +
				 std::chrono::seconds(10);

		/*
		 * After each of them, in an order that has been everywhere
		 * before it is at its end: sanitizers make it too slow for that.
		 */
		for (unsigned int round = 0;
		     round <= all && std::chrono::steady_clock::now() < end;
		     ++round) {
			const unsigned int steps =
				all ? round * 7919U % (all + 1) : 0;

			std::memcpy(memory.data(), copy.data(), memory.size());
			noticed->number = 0;

			child writes([&] {
				ring_writer writer = memory.writer();

				::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
				::raise(SIGSTOP);
				for (std::uint32_t i = 0; i < 2; ++i) {
					write_numbered(writer, 0, i + 9);
					noticed->number = i + 1;
				}
				return 0;
			});
			int status;

			if (::waitpid(writes.pid(), &status, 0) < 0 ||
			    !WIFSTOPPED(status))
				GTEST_SKIP() << "ptrace is not allowed";

			unsigned int done = 0;

			for (; (!all || done < steps) && noticed->number < 2;
			     ++done) {
				ASSERT_EQ(::ptrace(PTRACE_SINGLESTEP,
						   writes.pid(), nullptr,
						   nullptr),
					  0);
				::waitpid(writes.pid(), &status, 0);
			}
			writes.kill();
			if (!all) {
				all = done;
				RecordProperty("instructions",
					       static_cast<int>(all));
			}

			/* The next one goes on, and nothing is out of order. */
			ring_writer writer = memory.writer();
			ring_reader reader = memory.reader();
			std::array<char, 1000> buffer;
			std::vector<std::uint32_t> numbers;

			ASSERT_TRUE(write_numbered(writer, 1, 100));
			while (const auto size = reader.try_copy(
				       buffer.data(), buffer.size())) {
				numbered head;

				if (*size == 1)
					continue;
				ASSERT_TRUE(check_numbered(
					{buffer.data(), *size, 0}, head));
				numbers.push_back(head.number);
			}
			ASSERT_FALSE(numbers.empty());
			ASSERT_EQ(numbers.back(), 100U);
			numbers.pop_back();
			ASSERT_GE(numbers.size(), noticed->number) << steps;
			ASSERT_LE(numbers.size(), noticed->number + 1U);
			for (std::size_t i = 0; i < numbers.size(); ++i)
				ASSERT_EQ(numbers[i], i + 9);
		}
	}
}

TEST(ring_process, lanes_of_several_writers)
{
	constexpr std::uint32_t writers = 4;
	constexpr std::uint32_t each = 20000;
	ring_memory memory(ring_options().set_cells(128).set_lanes(writers),
			   near_the_end);
	std::vector<child> running;

	for (std::uint32_t i = 0; i < writers; ++i)
		running.emplace_back([&, i] {
			ring_writer writer = memory.writer(i, i % 2);

			for (std::uint32_t j = 0; j < each;)
				if (write_numbered(writer, i, j))
					++j;
				else
					::sched_yield();
			return 0;
		});

	ring_reader reader = memory.reader();
	std::array<std::uint32_t, writers> next = {};

	EXPECT_EQ(reader.lanes(), writers);
	for (std::uint32_t i = 0; i < writers * each;) {
		const auto view = reader.try_read();
		numbered head;

		if (!view) {
			::sched_yield();
			continue;
		}
		ASSERT_TRUE(check_numbered(view, head));
		ASSERT_EQ(head.generation, view.lane());
		ASSERT_EQ(head.number, next[view.lane()]++);
		++i;
	}
	for (child &one : running)
		EXPECT_EQ(one.wait(), 0);
}
