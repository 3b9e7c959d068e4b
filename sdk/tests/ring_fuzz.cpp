/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A hostile peer of a ring
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * Every byte of the ring is scribbled over, between the steps of the side under
 * test in a way that can be repeated, and while it works by a thread. That side
 * has to stay inside of the memory, which lies between guards, to end, and to
 * say what is wrong. Meant to be built with the sanitizers.
 *
 * usage: ring_fuzz [SECONDS [SEED]]
 */

#include "ring_sides.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

using shm_kernel::errc;
using shm_kernel::ring_options;
using shm_kernel::when_full;
using test::ring_memory;
using test::side;

namespace {

/* Behind it there is a guard. */
constexpr std::uint32_t last_lane = 1;

unsigned long seed = 1;

[[noreturn]] void fail(const char *what)
{
	std::fprintf(stderr, "ring_fuzz: %s (seed %lu)\n", what, seed);
	std::abort();
}

/* Scribbles, now and then at random, mostly where it might hurt. */
class scribbler final
{
public:
	scribbler(const ring_memory &memory, std::uint32_t lanes,
		  std::uint32_t cells, unsigned long from)
		: m_memory(memory), m_lanes(lanes), m_cells(cells),
		  m_random(from)
	{
	}

	void operator()()
	{
		using shm_kernel::detail::store;

		const auto lane = below(m_lanes);
		auto &head = *m_memory.lane(lane);
		auto &record = *m_memory.record(
			lane,
			below(4) ? head.tail + below(m_cells) : below(m_cells));
		auto *const bytes =
			static_cast<unsigned char *>(m_memory.data());

		switch (below(10)) {
		case 0:
			__atomic_store_n(bytes + below(m_memory.size()),
					 static_cast<unsigned char>(m_random()),
					 __ATOMIC_RELAXED);
			break;
		case 1:
			store(head.head, near(head.head));
			break;
		case 2:
			store(head.tail, near(head.tail));
			break;
		case 3:
			store(head.oldest, near(head.oldest));
			break;
		case 4:
			store(head.waiting, below(2));
			store(head.blocked, below(2));
			break;
		case 5:
			store(head.producer, below(2));
			store(head.dropped, any());
			break;
		case 6:
		case 7:
			store(record.len, length());
			break;
		default:
			/* Of this lap, of another one, of none. */
			store(record.sequence,
			      head.tail + below(2 * m_cells) - below(m_cells));
			break;
		}
	}

private:
	std::uint32_t any() { return static_cast<std::uint32_t>(m_random()); }
	std::uint32_t below(std::size_t end)
	{
		return static_cast<std::uint32_t>(m_random() % end);
	}
	std::uint32_t near(std::uint32_t value)
	{
		return below(8) ? value + below(2 * m_cells) - m_cells : any();
	}
	std::uint32_t length()
	{
		const std::uint32_t skip = below(3) ? 0 : 0x80000000U;

		switch (below(5)) {
		case 0:
			return any();
		case 1:
			return (m_cells / 2 * 64 - 8 + below(3) - 1) | skip;
		case 2:
			return (0x7fffffffU - below(80)) | skip;
		default:
			return below(m_cells * 64) | skip;
		}
	}

	const ring_memory &m_memory;
	std::uint32_t m_lanes;
	std::uint32_t m_cells;
	std::mt19937 m_random;
};

/* What may be said of a ring that was spoiled. */
void check(const std::error_code &error)
{
	if (error && error != errc::ring_corrupted)
		fail(error.message().c_str());
}

/* Touches all of a record: the guards and the sanitizers see where it is. */
std::uint64_t touch(const ring_memory &memory, const void *data,
		    std::size_t size)
{
	const auto *const bytes =
		static_cast<const volatile unsigned char *>(data);
	const auto *const begin =
		static_cast<const unsigned char *>(memory.data());
	const auto *const from = static_cast<const unsigned char *>(data);
	std::uint64_t sum = 0;

	if (from < begin || from + size > begin + memory.size())
		fail("a record outside of the ring");
	for (std::size_t i = 0; i < size; i += 64)
		sum += bytes[i];
	return size ? sum + bytes[size - 1] : sum;
}

std::uint64_t total;

/* The side under test, one step at a time. */
class victim
{
public:
	virtual ~victim() = default;
	virtual void step(std::mt19937 &random) = 0;
};

class reading_victim final : public victim
{
public:
	explicit reading_victim(const ring_memory &memory)
		: m_memory(memory), m_reader(memory.reader()),
		  m_buffer(m_reader.max_record())
	{
	}

	void step(std::mt19937 &random) override
	{
		std::error_code error;

		switch (random() % 16) {
		case 0:
			m_reader.arm(error);
			check(error);
			break;
		case 1:
			m_reader.release(error);
			check(error);
			break;
		case 2:
			m_reader.set_hold(random() % 4 == 0);
			break;
		case 3:
			m_reader.take_room_wanted();
			m_reader.skip_to_newest();
			break;
		case 4:
			copy(random() % m_buffer.size());
			break;
		default:
			if (m_reader.overwrites()) {
				copy(m_buffer.size());
				break;
			}

			const auto view = m_reader.try_read(error);

			check(error);
			if (view)
				total += touch(m_memory, view.data(),
					       view.size());
		}
	}

private:
	void copy(std::size_t size)
	{
		std::error_code error;
		const auto got =
			m_reader.try_copy(m_buffer.data(), size, error);

		if (error != std::errc::message_size)
			check(error);
		if (got && *got > size)
			fail("copied more than there is room for");
	}

	const ring_memory &m_memory;
	shm_kernel::ring_reader m_reader;
	std::vector<char> m_buffer;
};

class writing_victim final : public victim
{
public:
	explicit writing_victim(const ring_memory &memory)
		: m_memory(memory), m_writer(memory.writer(last_lane))
	{
	}

	void step(std::mt19937 &random) override
	{
		const std::size_t size =
			random() % 4 ? random() % 200
				     : random() % (m_writer.max_record() + 1);
		std::error_code error;

		if (random() % 16 == 0) {
			m_writer.arm(size, error);
			check(error);
			return;
		}

		const auto slot = m_writer.try_reserve(
			size, random() % 2 ? when_full::drop : when_full::keep,
			error);

		check(error);
		if (!slot)
			return;
		total += touch(m_memory, slot.data(), slot.size());
		std::memset(slot.data(), static_cast<int>(random()), size);
		if (random() % 8) {
			m_writer.commit(random() % 2 ? size
						     : random() % (size + 1),
					error);
			check(error);
		}
	}

private:
	const ring_memory &m_memory;
	shm_kernel::ring_writer m_writer;
};

class kernel_reading_victim final : public victim
{
public:
	explicit kernel_reading_victim(const ring_memory &memory)
		: m_buffer(memory.size())
	{
		int error;

		m_reader = kernel_reader_new(memory.data(), memory.size(),
					     last_lane, &error);
		if (error)
			fail("kernel_reader_new");
	}
	~kernel_reading_victim() override { kernel_reader_free(m_reader); }

	void step(std::mt19937 &random) override
	{
		if (random() % 16 == 0) {
			kernel_reader_ask(m_reader);
			kernel_reader_take_room_wanted(m_reader);
			return;
		}

		/* On the heap and of that size, so that a byte more is seen. */
		const std::size_t size =
			random() % 4 ? m_buffer.size() : random() % 500;
		std::vector<char> small(random() % 4 ? 0 : size);
		char *const to = small.empty() ? m_buffer.data() : small.data();
		const ssize_t got = kernel_reader_read(m_reader, to, size);

		if (got < 0 && got != -EAGAIN && got != -EBADMSG &&
		    got != -EMSGSIZE)
			fail("the kernel's reader has another error");
		if (got > static_cast<ssize_t>(size))
			fail("copied more than there is room for");
	}

private:
	kernel_reader *m_reader;
	std::vector<char> m_buffer;
};

class kernel_writing_victim final : public victim
{
public:
	explicit kernel_writing_victim(const ring_memory &memory)
		: m_memory(memory)
	{
		int error;

		m_writer = kernel_writer_new(memory.data(), memory.size(),
					     last_lane, &error);
		if (error)
			fail("kernel_writer_new");
	}
	~kernel_writing_victim() override { kernel_writer_free(m_writer); }

	void step(std::mt19937 &random) override
	{
		std::uint32_t size = static_cast<std::uint32_t>(
			random() % 4 ? random() % 200 : random() % 2041);
		kernel_slot slots[3];
		unsigned int count = 0;

		if (random() % 64 == 0)
			size = ~0U - static_cast<std::uint32_t>(random() % 99);
		/* Several of them before the first is committed. */
		for (unsigned long i = random() % 3 + 1; i > 0; --i) {
			const int error =
				random() % 2
					? kernel_writer_reserve(m_writer, size,
								&slots[count])
					: kernel_writer_reserve_shared(
						  m_writer, size, random() % 2,
						  &slots[count]);

			if (!error)
				++count;
			else if (error != -ENOSPC && error != -EBADMSG &&
				 error != -EMSGSIZE)
				fail("the kernel's writer has another error");
		}
		for (unsigned int i = 0; i < count; ++i) {
			total += touch(m_memory, slots[i].data, slots[i].len);
			std::memset(slots[i].data, static_cast<int>(random()),
				    slots[i].len);
			if (random() % 8)
				kernel_writer_commit(m_writer, &slots[i]);
			else
				kernel_writer_discard(m_writer, &slots[i]);
		}
	}

private:
	const ring_memory &m_memory;
	kernel_writer *m_writer;
};

std::unique_ptr<victim> make_victim(unsigned int which,
				    const ring_memory &memory)
{
	switch (which) {
	case 0:
		return std::make_unique<reading_victim>(memory);
	case 1:
		return std::make_unique<writing_victim>(memory);
	case 2:
		return std::make_unique<kernel_reading_victim>(memory);
	default:
		return std::make_unique<kernel_writing_victim>(memory);
	}
}

/* An honest peer as well, or there would be little to read. */
void help(const ring_memory &memory, unsigned int which, std::mt19937 &random)
{
	char bytes[300] = {};

	if (which % 2)
		return;
	/* Each time a new one, which believes what it finds. */
	try {
		auto writer = memory.writer(
			static_cast<std::uint32_t>(random() % 2), true);

		for (int i = 0; i < 8; ++i)
			writer.try_write(bytes, random() % sizeof(bytes));
	} catch (const std::system_error &) {
		/* What it finds may make no sense. */
	}
}

/* A ring, or what is left of it, that may be looked at and joined. */
void join(const ring_memory &memory)
{
	using shm_kernel::ring_access;

	std::error_code error;
	const auto info =
		shm_kernel::get_ring_info(memory.data(), memory.size(), error);

	if (error && error != errc::not_a_ring)
		check(error);
	total += info.dropped();
	shm_kernel::ring_reader(memory.data(), memory.size(), ring_access(),
				error);
	shm_kernel::ring_writer(memory.data(), memory.size(), ring_access(),
				error);
}

void repeatable(unsigned int which, bool overwrite, std::mt19937 &random)
{
	constexpr std::uint32_t cells = 64;
	ring_memory memory(
		ring_options().set_cells(cells).set_lanes(2).set_overwrite(
			overwrite),
		random() % 2 ? 0 : 0xffffff00U);
	const auto side = make_victim(which, memory);
	scribbler scribble(memory, 2, cells, random());

	for (int i = 0; i < 2000; ++i) {
		if (random() % 4 == 0)
			scribble();
		if (random() % 8 == 0)
			help(memory, which, random);
		side->step(random);
	}
	join(memory);
}

void concurrent(unsigned int which, bool overwrite, std::mt19937 &random)
{
	constexpr std::uint32_t cells = 64;
	ring_memory memory(
		ring_options().set_cells(cells).set_lanes(2).set_overwrite(
			overwrite),
		0xffffff00U);
	const auto side = make_victim(which, memory);
	const unsigned long from = random();
	std::atomic<bool> done{false};
	std::thread hostile([&] {
		scribbler scribble(memory, 2, cells, from);

		while (!done.load(std::memory_order_relaxed))
			scribble();
	});

	for (int i = 0; i < 5000; ++i) {
		if (random() % 8 == 0)
			help(memory, which, random);
		side->step(random);
	}
	join(memory);
	done = true;
	hostile.join();
}

} // namespace

int main(int argc, char **argv)
{
	const auto seconds =
		std::chrono::seconds(argc > 1 ? std::atoi(argv[1]) : 5);
	const auto end = std::chrono::steady_clock::now() + seconds;
	unsigned long rounds = 0;

	if (argc > 2)
		seed = std::strtoul(argv[2], nullptr, 10);
	/* Whoever does not end is ended. */
	::alarm(static_cast<unsigned int>(seconds.count()) + 60);
	for (; !rounds || std::chrono::steady_clock::now() < end; ++seed) {
		std::mt19937 random(seed);

		for (unsigned int which = 0; which < 4; ++which)
			for (const bool overwrite : {false, true}) {
				repeatable(which, overwrite, random);
				concurrent(which, overwrite, random);
				rounds += 2;
			}
	}
	std::printf("ring_fuzz: %lu rounds, up to seed %lu\n", rounds,
		    seed - 1);
	return total == 0;
}
