/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Message queues: within a process, and between two
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "bench.hpp"

#include "../../tests/queue_memfd.hpp"

#include <shm_kernel/interprocess/kernel_message_queue.hpp>

#include <boost/interprocess/ipc/message_queue.hpp>

#include <array>
#include <cstring>
#include <stdexcept>

#include <unistd.h>

namespace bip = boost::interprocess;

namespace bench {

namespace {

constexpr std::size_t sizes[] = {64, 1024};
constexpr std::size_t depth = 1024;
/* Sent in one go, and waited for: what is on its way at the end counts. */
constexpr std::size_t batch = 8192;

using message = std::array<char, 1024>;

/* What only goes by remove() goes by that, as early as it can. */
class boost_queue final
{
public:
	explicit boost_queue(std::size_t bytes, std::size_t messages = depth)
		: m_queue(bip::create_only, m_name.c_str(), messages, bytes)
	{
	}
	~boost_queue() { bip::message_queue::remove(m_name.c_str()); }

	bip::message_queue &get() { return m_queue; }

private:
	std::string m_name = fresh_name();
	bip::message_queue m_queue;
};

class kernel_queue final
{
public:
	explicit kernel_queue(std::size_t bytes, std::size_t messages = depth)
		: m_queue(bip::create_only, fresh_name().c_str(), messages,
			  bytes)
	{
	}

	shm_kernel::kernel_message_queue &get() { return m_queue; }

private:
	shm_kernel::kernel_message_queue m_queue;
};

/* The same queue where no driver is loaded, as the tests have it. */
class memfd_queue final
{
public:
	using size_type = std::size_t;

	explicit memfd_queue(std::size_t bytes, std::size_t messages = depth)
		: m_memory(messages, bytes),
		  m_queue(test::queue_files(m_memory), m_memory.shape())
	{
	}

	memfd_queue &get() { return *this; }

	void send(const void *data, std::size_t bytes, unsigned int priority)
	{
		m_queue.send(data, bytes, priority, deadline::never());
	}

	void receive(void *data, std::size_t, std::size_t &got,
		     unsigned int &priority)
	{
		m_queue.receive(data, got, priority, deadline::never());
	}

private:
	using deadline = shm_kernel::detail::deadline;

	test::queue_memory m_memory;
	test::memory_queue m_queue;
};

template <typename Queue>
void receive(Queue &queue, message &into, std::size_t bytes)
{
	typename Queue::size_type got;
	unsigned int priority;

	queue.receive(into.data(), bytes, got, priority);
}

/* Uses each slot once: first touches of memory are no part of any row. */
template <typename Queue>
void warm_up(Queue &queue, message &text, std::size_t bytes)
{
	for (std::size_t i = 0; i < depth; ++i)
		queue.send(text.data(), bytes, 0);
	for (std::size_t i = 0; i < depth; ++i)
		receive(queue, text, bytes);
}

template <typename Maker>
void one_thread(benchmark::State &state, std::size_t bytes)
{
	Maker made(bytes);
	auto &queue = made.get();
	message text = {};

	warm_up(queue, text, bytes);
	for (auto _ : state) {
		queue.send(text.data(), bytes, 0);
		receive(queue, text, bytes);
	}
}

/* Messages of four priorities in a queue that is half full. */
template <typename Maker>
void one_thread_priorities(benchmark::State &state, std::size_t bytes)
{
	Maker made(bytes);
	auto &queue = made.get();
	message text = {};
	random_numbers random;

	warm_up(queue, text, bytes);
	for (std::size_t i = 0; i < depth / 2; ++i)
		queue.send(text.data(), bytes, random() % 4);
	for (auto _ : state) {
		queue.send(text.data(), bytes, random() % 4);
		receive(queue, text, bytes);
	}
}

template <typename Maker>
void throughput(benchmark::State &state, std::size_t bytes)
{
	Maker made(bytes);
	auto &queue = made.get();
	int done[2];

	if (::pipe(done))
		return state.SkipWithError("pipe");
	{
		const other_process receiver([&] {
			message text;

			for (;;) {
				for (std::size_t i = 0; i < batch; ++i)
					receive(queue, text, bytes);
				if (::write(done[1], "", 1) != 1)
					return;
			}
		});
		message text = {};
		const auto send_batch = [&] {
			char byte;

			for (std::size_t i = 0; i < batch; ++i)
				queue.send(text.data(), bytes, 0);
			if (::read(done[0], &byte, 1) != 1)
				throw std::runtime_error("no receiver");
		};

		send_batch();
		for (auto _ : state)
			send_batch();
	}
	::close(done[0]);
	::close(done[1]);
	state.SetItemsProcessed(static_cast<std::int64_t>(batch) *
				state.iterations());
}

template <typename Maker>
void round_trip(benchmark::State &state, std::size_t bytes)
{
	/* No more than one is on its way; each slot has its turn. */
	constexpr std::size_t few = 64;
	Maker made_there(bytes, few), made_back(bytes, few);
	auto &there = made_there.get();
	auto &back = made_back.get();
	const other_process answers([&] {
		message text;

		for (;;) {
			receive(there, text, bytes);
			back.send(text.data(), bytes, 0);
		}
	});
	message text = {};
	const auto ask = [&] {
		there.send(text.data(), bytes, 0);
		receive(back, text, bytes);
	};

	for (std::size_t i = 0; i < few; ++i)
		ask();
	for (auto _ : state)
		ask();
}

template <typename Maker>
void add_peer(const char *who)
{
	for (const std::size_t bytes : sizes) {
		const std::string size = std::to_string(bytes);

		add("queue_" + size, who, [=](benchmark::State &state) {
			one_thread<Maker>(state, bytes);
		});
		add("queue_priorities_" + size, who,
		    [=](benchmark::State &state) {
			    one_thread_priorities<Maker>(state, bytes);
		    });
		add("queue_throughput_" + size, who,
		    [=](benchmark::State &state) {
			    throughput<Maker>(state, bytes);
		    });
		add("queue_round_trip_" + size, who,
		    [=](benchmark::State &state) {
			    round_trip<Maker>(state, bytes);
		    });
	}
}

} // namespace

void add_queue_rows()
{
	if (have_driver())
		add_peer<kernel_queue>(peer::ours);
	else
		add_peer<memfd_queue>(peer::ours);
	add_peer<boost_queue>(peer::boost);
}

} // namespace bench
