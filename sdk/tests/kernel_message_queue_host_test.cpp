/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Tests of the message queue whose peers are killed at chosen instructions
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "queue_memfd.hpp"
#include "support.hpp"

#include <cstdint>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include <sys/ptrace.h>

namespace {

using shm_kernel::detail::deadline;
using shm_kernel::detail::queue_slot;
using test::child;
using test::memory_queue;
using test::queue_files;
using test::queue_memory;

constexpr std::uint32_t nothing = UINT32_MAX;

std::unique_ptr<memory_queue> open(queue_memory &memory)
{
	return std::make_unique<memory_queue>(queue_files(memory),
					      memory.shape());
}

/* A message of @size bytes that can be told from others. */
std::vector<unsigned char> message(std::size_t size, std::uint32_t number)
{
	std::vector<unsigned char> result(size);

	for (std::size_t i = 0; i < size; ++i)
		result[i] = static_cast<unsigned char>(number + i * 7);
	return result;
}

bool try_send(memory_queue &queue, const std::vector<unsigned char> &what,
	      std::uint32_t priority)
{
	return queue.send(what.data(), what.size(), priority, deadline::now());
}

std::vector<unsigned char> try_receive(memory_queue &queue,
				       std::uint32_t &priority)
{
	std::vector<unsigned char> result(queue.core().shape().max_size);
	std::size_t size = 0;

	if (!queue.receive(result.data(), size, priority, deadline::now())) {
		priority = nothing;
		size = 0;
	}
	result.resize(size);
	return result;
}

void expect_whole(memory_queue &queue)
{
	const std::uint32_t num = queue.core().shape().num;
	std::uint32_t priority;

	EXPECT_EQ(queue.core().messages(), 0u);
	for (std::uint32_t i = 0; i < num; ++i)
		ASSERT_TRUE(try_send(queue, message(8, i), i % 3)) << i;
	EXPECT_FALSE(try_send(queue, message(8, 0), 0));
	EXPECT_EQ(queue.core().messages(), num);

	std::set<std::vector<unsigned char>> seen;

	for (std::uint32_t i = 0; i < num; ++i)
		seen.insert(try_receive(queue, priority));
	EXPECT_EQ(seen.size(), num);
	EXPECT_FALSE(seen.count({}));
	EXPECT_TRUE(try_receive(queue, priority).empty());
	EXPECT_EQ(queue.core().messages(), 0u);
}

/* A child that waits to be led through what it does, instruction by instruction. */
template <typename Work>
child led(queue_memory &memory, Work work)
{
	child result([&] {
		const auto mine = open(memory);

		::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
		::raise(SIGSTOP);
		work(*mine);
		::raise(SIGSTOP);
		return 0;
	});
	int status = 0;

	if (::waitpid(result.pid(), &status, 0) != result.pid() ||
	    !WIFSTOPPED(status))
		ADD_FAILURE() << "cannot trace";
	return result;
}

/* Lets it do some instructions; false if there are no more. */
bool step(const child &whom, int count)
{
	for (int i = 0; i < count; ++i) {
		int status = 0;

		if (::ptrace(PTRACE_SINGLESTEP, whom.pid(), nullptr, nullptr) ||
		    ::waitpid(whom.pid(), &status, 0) != whom.pid() ||
		    !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			return false;
	}
	return true;
}

/* How many slots are in that state, by whomever. */
unsigned int count_slots(const queue_memory &memory, std::uint32_t what)
{
	const auto &shape = memory.shape();
	const auto *at =
		static_cast<const unsigned char *>(memory.data()) + shape.slots;
	unsigned int result = 0;

	for (std::uint32_t i = 0; i < shape.num; ++i, at += shape.stride) {
		const std::uint32_t state =
			reinterpret_cast<const queue_slot *>(at)->state;

		result += (state & ~queue_slot::peer_mask) == what;
	}
	return result;
}

/* Lets it do the rest. */
void finish(const child &whom)
{
	int status = 0;

	EXPECT_EQ(::ptrace(PTRACE_CONT, whom.pid(), nullptr, nullptr), 0);
	EXPECT_EQ(::waitpid(whom.pid(), &status, 0), whom.pid());
	EXPECT_TRUE(WIFSTOPPED(status)) << "it has found something wrong";
}

class KernelMessageQueueSteps : public ::testing::TestWithParam<std::size_t>
{
};

/* With and without a copy under the lock. */
INSTANTIATE_TEST_SUITE_P(Sizes, KernelMessageQueueSteps,
			 ::testing::Values(16, 200));

TEST_P(KernelMessageQueueSteps, SenderKilledAnywhere)
{
	const auto its = message(GetParam(), 99);
	queue_memory memory(3, 256);
	const auto rest = open(memory);
	unsigned int kills = 0;
	unsigned int arrived = 0;

	for (int steps = 0;; steps += 5) {
		child victim = led(memory, [&](memory_queue &mine) {
			try_send(mine, its, 2);
		});
		const bool inside = step(victim, steps);
		std::uint32_t priority = 0;

		victim.kill();
		/* Without being told: what is in the way is cleared away. */
		ASSERT_TRUE(try_send(*rest, message(1, 3), 3));
		ASSERT_TRUE(try_send(*rest, message(2, 1), 1));
		ASSERT_EQ(try_receive(*rest, priority), message(1, 3));
		auto next = try_receive(*rest, priority);

		if (priority == 2) {
			++arrived;
			ASSERT_EQ(next, its);
			next = try_receive(*rest, priority);
		}
		ASSERT_EQ(next, message(2, 1));
		ASSERT_EQ(priority, 1u);
		memory.ring();
		rest->poll_fd();
		expect_whole(*rest);
		++kills;
		ASSERT_EQ(rest->deaths(), kills);
		if (!inside || HasFailure())
			break;
	}
	EXPECT_GT(kills, 30u);
	EXPECT_GT(arrived, 4u);
	EXPECT_LT(arrived, kills - 10);
}

TEST_P(KernelMessageQueueSteps, ReceiverKilledAnywhere)
{
	const auto its = message(GetParam(), 99);
	queue_memory memory(3, 256);
	const auto rest = open(memory);
	unsigned int kills = 0;
	unsigned int again = 0;
	unsigned int killed_with_it = 0;

	rest->poll_fd();
	for (int steps = 0;; steps += 5) {
		ASSERT_TRUE(try_send(*rest, its, 2));
		child victim = led(memory, [&](memory_queue &mine) {
			std::uint32_t priority;

			try_receive(mine, priority);
		});
		const bool inside = step(victim, steps);
		const bool had = count_slots(memory, queue_slot::taken);
		std::uint32_t priority = 0;

		victim.kill();
		ASSERT_TRUE(try_send(*rest, message(1, 1), 1));
		memory.ring();

		/*
		 * What was not received is received again, in its old place
		 * once the death is known, which a call that finds something
		 * need not know.
		 */
		std::multiset<std::vector<unsigned char>> got;

		for (;;) {
			auto next = try_receive(*rest, priority);

			if (priority == nothing)
				break;
			got.insert(next);
		}
		again += static_cast<unsigned int>(got.count(its));
		killed_with_it += had;
		ASSERT_TRUE(got.count(its) || !had);
		ASSERT_LE(got.count(its), 1u);
		ASSERT_EQ(got.count(message(1, 1)), 1u);
		ASSERT_EQ(got.size(), 1 + got.count(its));
		expect_whole(*rest);
		++kills;
		ASSERT_EQ(rest->deaths(), kills);
		if (!inside || HasFailure())
			break;
	}
	EXPECT_GT(kills, 30u);
	EXPECT_GT(again, 10u);
	EXPECT_GT(killed_with_it, 4u);
	EXPECT_LT(again, kills - 4);
}

/* Several messages: the taken one goes back between the others. */
TEST_P(KernelMessageQueueSteps, OrderSurvives)
{
	queue_memory memory(8, 256);
	const auto rest = open(memory);
	std::uint32_t priority = 0;

	rest->poll_fd();
	for (int steps = 10; steps < 400; steps += 13) {
		for (std::uint32_t i = 0; i < 6; ++i)
			ASSERT_TRUE(
				try_send(*rest, message(GetParam(), i), i % 2));
		child victim = led(memory, [&](memory_queue &mine) {
			std::uint32_t ignored;

			try_receive(mine, ignored);
		});

		step(victim, steps);

		const bool had = count_slots(memory, queue_slot::taken);

		victim.kill();
		memory.ring();
		/* Finds the death, for the queue is full. */
		while (try_send(*rest, message(3, 77), 0))
			;

		std::vector<std::vector<unsigned char>> order;

		for (;;) {
			auto next = try_receive(*rest, priority);

			if (priority == nothing)
				break;
			if (next.size() == GetParam())
				order.push_back(next);
		}
		/* The first one is there, or was received. */
		std::vector<std::vector<unsigned char>> expected;

		for (const std::uint32_t i : {1u, 3u, 5u, 0u, 2u, 4u})
			expected.push_back(message(GetParam(), i));
		if (order.size() == 5 && !had)
			expected.erase(expected.begin());
		ASSERT_EQ(order, expected) << steps;
		expect_whole(*rest);
	}
}

/* One that is slow with its message keeps nobody else from the other slots. */
TEST(KernelMessageQueueSlow, ReceiverStopped)
{
	constexpr std::size_t size = 2000;
	queue_memory memory(3, size);
	const auto rest = open(memory);
	const auto taken = [&] {
		return count_slots(memory, queue_slot::taken);
	};
	std::uint32_t priority = 0;

	for (std::uint32_t i = 0; i < 3; ++i)
		ASSERT_TRUE(try_send(*rest, message(size, i), 0));

	child slow = led(memory, [&](memory_queue &mine) {
		std::uint32_t its;

		if (try_receive(mine, its) != message(size, 0))
			::_exit(1);
	});

	while (!taken())
		ASSERT_TRUE(step(slow, 1));
	while (rest->core().header().receive.lock)
		ASSERT_TRUE(step(slow, 1));
	/* In the middle of the copy. */
	ASSERT_TRUE(step(slow, 40));
	ASSERT_TRUE(taken());
	EXPECT_EQ(try_receive(*rest, priority), message(size, 1));
	EXPECT_EQ(rest->core().messages(), 1u);
	EXPECT_TRUE(try_send(*rest, message(size, 3), 0));
	EXPECT_FALSE(try_send(*rest, message(size, 4), 0));
	EXPECT_EQ(try_receive(*rest, priority), message(size, 2));
	EXPECT_TRUE(try_send(*rest, message(size, 5), 0));
	EXPECT_EQ(try_receive(*rest, priority), message(size, 3));
	EXPECT_EQ(try_receive(*rest, priority), message(size, 5));
	finish(slow);
	expect_whole(*rest);
}

/* What the living have in their hands stays theirs when another one dies. */
TEST(KernelMessageQueueSlow, AnotherOneDies)
{
	constexpr std::size_t size = 2000;
	queue_memory memory(4, size);
	const auto rest = open(memory);
	std::uint32_t priority = 0;

	rest->poll_fd();
	for (std::uint32_t i = 0; i < 2; ++i)
		ASSERT_TRUE(try_send(*rest, message(size, i), 0));

	child receiver = led(memory, [&](memory_queue &mine) {
		std::uint32_t its;

		if (try_receive(mine, its) != message(size, 0))
			::_exit(1);
	});
	child sender = led(memory, [&](memory_queue &mine) {
		if (!try_send(mine, message(size, 9), 1))
			::_exit(1);
	});
	child victim = led(memory, [&](memory_queue &) {});

	while (!count_slots(memory, queue_slot::taken))
		ASSERT_TRUE(step(receiver, 1));
	while (rest->core().header().receive.lock)
		ASSERT_TRUE(step(receiver, 1));
	while (!count_slots(memory, queue_slot::claimed))
		ASSERT_TRUE(step(sender, 1));
	while (rest->core().header().send.lock)
		ASSERT_TRUE(step(sender, 1));
	victim.kill();
	memory.ring();
	/* Full, so that it looks why. */
	EXPECT_TRUE(try_send(*rest, message(size, 2), 0));
	EXPECT_FALSE(try_send(*rest, message(size, 3), 0));
	EXPECT_EQ(rest->deaths(), 1u);
	EXPECT_EQ(count_slots(memory, queue_slot::taken), 1u);
	EXPECT_EQ(count_slots(memory, queue_slot::claimed), 1u);
	finish(receiver);
	finish(sender);
	EXPECT_EQ(try_receive(*rest, priority), message(size, 9));
	EXPECT_EQ(try_receive(*rest, priority), message(size, 1));
	EXPECT_EQ(try_receive(*rest, priority), message(size, 2));
	expect_whole(*rest);
}

/*
 * What one waits for comes after each so many of the instructions that lead it
 * to sleep. It has to find it, or to be woken up: no other one will come.
 */
template <typename Wait, typename Come>
void come_at_each_step(queue_memory &memory, Wait wait, Come come)
{
	const auto &common =
		static_cast<const shm_kernel::detail::queue_header *>(
			memory.data())
			->common;
	bool armed = false;

	for (int steps = 0; !armed && steps < 20000; steps += 7) {
		child waits = led(memory, wait);
		int status = 0;

		ASSERT_TRUE(step(waits, steps));
		armed = common.receiver_sleeps || common.sender_sleeps;
		come();
		ASSERT_EQ(::ptrace(PTRACE_CONT, waits.pid(), nullptr, nullptr),
			  0);
		ASSERT_TRUE(test::eventually([&] {
			return ::waitpid(waits.pid(), &status, WNOHANG) != 0;
		})) << "sleeps since step "
		    << steps;
		ASSERT_TRUE(WIFSTOPPED(status));
		/* In order: after a death, sleepers look now and then. */
		ASSERT_EQ(::ptrace(PTRACE_CONT, waits.pid(), nullptr, nullptr),
			  0);
		ASSERT_EQ(waits.wait(), 0);
	}
	EXPECT_TRUE(armed);
}

TEST(KernelMessageQueueSleep, MessageComesAnyTime)
{
	queue_memory memory(1, 8);
	const auto rest = open(memory);

	come_at_each_step(
		memory,
		[](memory_queue &mine) {
			unsigned char buffer[8];
			std::size_t size;
			std::uint32_t priority;

			mine.receive(buffer, size, priority, deadline::never());
		},
		[&] { ASSERT_TRUE(try_send(*rest, message(8, 1), 0)); });
}

TEST(KernelMessageQueueSleep, RoomComesAnyTime)
{
	queue_memory memory(1, 8);
	const auto rest = open(memory);
	std::uint32_t priority = 0;

	ASSERT_TRUE(try_send(*rest, message(8, 1), 0));
	come_at_each_step(
		memory,
		[](memory_queue &mine) {
			const auto its = message(8, 1);

			mine.send(its.data(), 8, 0, deadline::never());
		},
		[&] {
			ASSERT_EQ(try_receive(*rest, priority), message(8, 1));
		});
}

/* Killed with its message sent and nothing noted of it yet. */
TEST(KernelMessageQueueRepair, OrderAfterALastMessage)
{
	queue_memory memory(3, 200);
	const auto rest = open(memory);
	std::uint32_t priority = 0;

	rest->poll_fd();
	/* So that the next slots are the last one and the first one. */
	for (std::uint32_t i = 0; i < 2; ++i) {
		ASSERT_TRUE(try_send(*rest, message(8, i), 0));
		ASSERT_EQ(try_receive(*rest, priority), message(8, i));
	}

	child sender = led(memory, [&](memory_queue &mine) {
		try_send(mine, message(9, 9), 0);
	});

	while (!count_slots(memory, queue_slot::claimed))
		ASSERT_TRUE(step(sender, 1));
	while (count_slots(memory, queue_slot::claimed))
		ASSERT_TRUE(step(sender, 1));
	sender.kill();
	/* Finds the lock of a dead one, and comes behind it. */
	ASSERT_TRUE(try_send(*rest, message(8, 2), 0));
	ASSERT_EQ(rest->deaths(), 1u);

	child another = led(memory, [](memory_queue &) {});

	another.kill();
	memory.ring();
	while (try_send(*rest, message(8, 3), 0))
		;
	ASSERT_EQ(rest->deaths(), 2u);
	EXPECT_EQ(try_receive(*rest, priority), message(9, 9));
	EXPECT_EQ(try_receive(*rest, priority), message(8, 2));
	EXPECT_EQ(try_receive(*rest, priority), message(8, 3));
	expect_whole(*rest);
}

/* One that is no peer yet, and so does not count as dead, has the locks. */
TEST(KernelMessageQueueRepair, RepairerKilledAsItComes)
{
	queue_memory memory(3, 200);
	const auto rest = open(memory);
	auto &header = rest->core().header();
	child victim = led(memory, [](memory_queue &) {});

	victim.kill();

	child comes([&] {
		::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
		::raise(SIGSTOP);
		const auto mine = open(memory);

		return 0;
	});
	int status = 0;

	ASSERT_EQ(::waitpid(comes.pid(), &status, 0), comes.pid());
	while (header.peer[1].state == shm_kernel::detail::queue_peer::here)
		ASSERT_TRUE(step(comes, 1));
	ASSERT_EQ(header.send.lock, shm_kernel::detail::queue_repairer);
	comes.kill();
	expect_whole(*rest);
	EXPECT_EQ(rest->deaths(), 1u);
}

/* And those who take back what others had are killed themselves. */
TEST(KernelMessageQueueRepair, RepairerKilledAnywhere)
{
	constexpr std::size_t size = 200;
	queue_memory memory(5, size);
	const auto rest = open(memory);
	unsigned int kills = 0;
	unsigned int unfinished = 0;

	rest->poll_fd();
	for (int steps = 0;; steps += 61 + steps / 16) {
		for (std::uint32_t i = 0; i < 3; ++i)
			ASSERT_TRUE(try_send(*rest, message(size, i), i % 2));

		/* One dies as it sends, and one as it receives. */
		child sender = led(memory, [&](memory_queue &mine) {
			try_send(mine, message(7, 7), 0);
		});
		child receiver = led(memory, [&](memory_queue &mine) {
			std::uint32_t priority;

			try_receive(mine, priority);
		});

		step(sender, 180);
		step(receiver, 180);

		child repairer = led(memory, [&](memory_queue &mine) {
			/* Full, then, and looks for the reason. */
			while (try_send(mine, message(3, 3), 0))
				;
		});

		sender.kill();
		receiver.kill();
		memory.ring();
		const bool inside = step(repairer, steps);

		unfinished += memory.shape().num &&
			      rest->core().header().send.lock ==
				      shm_kernel::detail::queue_repairer;
		repairer.kill();
		memory.ring();

		std::vector<std::vector<unsigned char>> order;
		std::uint32_t priority = 0;

		while (try_send(*rest, message(3, 3), 0))
			;
		for (;;) {
			auto next = try_receive(*rest, priority);

			if (priority == nothing)
				break;
			if (next.size() == size)
				order.push_back(next);
		}
		/* Nobody has come so far as to have received it. */
		const std::vector<std::vector<unsigned char>> expected = {
			message(size, 1), message(size, 0), message(size, 2)};

		ASSERT_EQ(order, expected) << steps;
		expect_whole(*rest);
		kills += 3;
		/* A death in the middle of being counted is counted twice. */
		ASSERT_GE(rest->deaths(), kills);
		if (!inside || HasFailure())
			break;
	}
	EXPECT_GT(kills, 45u);
	EXPECT_GT(unfinished, 1u);
}

} // namespace
