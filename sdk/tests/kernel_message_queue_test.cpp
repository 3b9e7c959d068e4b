/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Tests of the message queue, with peers that die
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/kernel_message_queue.hpp>

#include "support.hpp"

#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/ipc/message_queue.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

namespace {

namespace bip = boost::interprocess;

using namespace std::chrono_literals;
using shm_kernel::errc;
using shm_kernel::kernel_memory_exception;
using shm_kernel::kernel_message_queue;
using shm_kernel::persistent_kernel_message_queue;
using test::child;
using test::fresh_name;
using test::gate;

using queue = kernel_message_queue;

static_assert(std::is_nothrow_move_constructible_v<queue>);
static_assert(std::is_nothrow_move_assignable_v<queue>);
static_assert(std::is_nothrow_default_constructible_v<queue>);
static_assert(!std::is_copy_constructible_v<queue>);
static_assert(std::is_same_v<queue::size_type, bip::message_queue::size_type>);

class KernelMessageQueue : public test::device_test
{
protected:
	void SetUp() override
	{
		device_test::SetUp();
		::alarm(2 * test::patience);
	}

	void TearDown() override
	{
		::alarm(0);
		device_test::TearDown();
	}

	const std::string m_text = fresh_name();
	const char *const m_name = m_text.c_str();
};

void put(queue &to, std::uint32_t value, unsigned int priority = 0)
{
	to.send(&value, sizeof(value), priority);
}

bool try_put(queue &to, std::uint32_t value, unsigned int priority = 0)
{
	return to.try_send(&value, sizeof(value), priority);
}

/* The number that is next, and what there was in vain. */
constexpr std::uint32_t nothing = UINT32_MAX;

std::uint32_t get(queue &from)
{
	std::array<unsigned char, 4096> buffer;
	queue::size_type size = 0;
	unsigned int priority = 0;
	std::uint32_t value = nothing;

	from.receive(buffer.data(), buffer.size(), size, priority);
	std::memcpy(&value, buffer.data(), sizeof(value));
	return value;
}

std::uint32_t try_get(queue &from)
{
	std::array<unsigned char, 4096> buffer;
	queue::size_type size = 0;
	unsigned int priority = 0;
	std::uint32_t value = nothing;

	if (from.try_receive(buffer.data(), buffer.size(), size, priority))
		std::memcpy(&value, buffer.data(), sizeof(value));
	return value;
}

/* The code of the exception that @call throws. */
template <typename Call>
std::error_code thrown_by(Call call)
{
	try {
		call();
	} catch (const kernel_memory_exception &error) {
		return error.code();
	}
	return {};
}

template <typename Call>
bip::error_code_t boost_code_of(Call call)
{
	try {
		call();
	} catch (const bip::interprocess_exception &error) {
		return error.get_error_code();
	}
	return bip::no_error;
}

bool readable(int fd, int timeout = 0)
{
	struct pollfd waiting = {};

	waiting.fd = fd;
	waiting.events = POLLIN;
	return ::poll(&waiting, 1, timeout) == 1;
}

/* Whether all of the capacity is to be had, and is, as it should be, empty. */
void expect_whole(queue &all)
{
	const auto max = static_cast<std::uint32_t>(all.get_max_msg());

	EXPECT_EQ(all.get_num_msg(), 0u);
	for (std::uint32_t i = 0; i < max; ++i)
		ASSERT_TRUE(try_put(all, i, i % 3)) << i << " of " << max;
	EXPECT_FALSE(try_put(all, 0));
	EXPECT_EQ(all.get_num_msg(), max);

	std::set<std::uint32_t> seen;

	for (std::uint32_t i = 0; i < max; ++i)
		seen.insert(try_get(all));
	EXPECT_EQ(seen.size(), max);
	EXPECT_FALSE(seen.count(nothing));
	EXPECT_EQ(try_get(all), nothing);
	EXPECT_EQ(all.get_num_msg(), 0u);
}

TEST_F(KernelMessageQueue, HasNoQueueByDefault)
{
	queue none;
	char byte = 0;
	queue::size_type size;
	unsigned int priority;

	EXPECT_FALSE(none);
	EXPECT_EQ(none.get_max_msg(), 0u);
	EXPECT_EQ(none.get_max_msg_size(), 0u);
	EXPECT_EQ(none.get_num_msg(), 0u);
	EXPECT_EQ(thrown_by([&] { none.send(&byte, 1, 0); }),
		  errc::empty_handle);
	EXPECT_EQ(thrown_by([&] { none.receive(&byte, 1, size, priority); }),
		  errc::empty_handle);
	EXPECT_EQ(thrown_by([&] { none.native_handle(); }), errc::empty_handle);
	EXPECT_EQ(thrown_by([&] { none.report_deaths(false); }),
		  errc::empty_handle);
}

TEST_F(KernelMessageQueue, TellsItsSizes)
{
	queue one(bip::create_only, m_name, 17, 100);

	EXPECT_TRUE(one);
	EXPECT_EQ(one.get_max_msg(), 17u);
	EXPECT_EQ(one.get_max_msg_size(), 100u);
	EXPECT_EQ(one.get_num_msg(), 0u);

	queue other(bip::open_only, m_name);

	EXPECT_EQ(other.get_max_msg(), 17u);
	EXPECT_EQ(other.get_max_msg_size(), 100u);
	put(other, 1);
	EXPECT_EQ(one.get_num_msg(), 1u);

	/* Sizes are those of the creator, as in Boost. */
	queue third(bip::open_or_create, m_name, 3, 5);

	EXPECT_EQ(third.get_max_msg(), 17u);
	EXPECT_EQ(third.get_max_msg_size(), 100u);
	EXPECT_EQ(get(third), 1u);
}

TEST_F(KernelMessageQueue, MovesAndSwaps)
{
	const std::string second = fresh_name();
	queue a(bip::create_only, m_name, 1, 4);
	queue b(bip::create_only, second.c_str(), 2, 4);

	a.swap(b);
	EXPECT_EQ(a.get_max_msg(), 2u);
	swap(a, b);
	EXPECT_EQ(a.get_max_msg(), 1u);
	put(a, 5);

	queue c(std::move(a));

	EXPECT_FALSE(a);
	EXPECT_EQ(c.get_num_msg(), 1u);
	b = std::move(c);
	EXPECT_EQ(get(b), 5u);
	/* What b was had no other user. */
	EXPECT_EQ(thrown_by([&] { queue(bip::open_only, second.c_str()); }),
		  errc::not_found);
}

TEST_F(KernelMessageQueue, NamesAreExclusive)
{
	EXPECT_EQ(thrown_by([&] { queue(bip::open_only, m_name); }),
		  errc::not_found);

	queue first(bip::create_only, m_name, 1, 1);
	const auto again = [&] { queue(bip::create_only, m_name, 1, 1); };

	EXPECT_EQ(thrown_by(again), errc::name_exists);
	EXPECT_EQ(boost_code_of(again), bip::already_exists_error);
	EXPECT_EQ(boost_code_of([&] { queue(bip::open_only, "no such"); }),
		  bip::not_found_error);
	EXPECT_TRUE(queue::remove(m_name));
	EXPECT_FALSE(queue::remove(m_name));
	/* The old one works on; the name is free. */
	queue second(bip::create_only, m_name, 1, 1);

	EXPECT_TRUE(first.try_send("a", 1, 0));
	EXPECT_EQ(second.get_num_msg(), 0u);
}

TEST_F(KernelMessageQueue, NameGoesWithTheLastUser)
{
	{
		queue one(bip::create_only, m_name, 1, 1);
		queue two(bip::open_only, m_name);
	}
	EXPECT_FALSE(queue::remove(m_name));
}

TEST_F(KernelMessageQueue, PersistentStaysUntilRemoved)
{
	{
		persistent_kernel_message_queue one(bip::create_only, m_name, 4,
						    4);

		one.send("abc", 3, 0);
	}
	{
		char buffer[4];
		queue::size_type size;
		unsigned int priority;
		persistent_kernel_message_queue again(bip::open_only, m_name);

		EXPECT_EQ(again.get_num_msg(), 1u);
		again.receive(buffer, sizeof(buffer), size, priority);
		EXPECT_EQ(std::string(buffer, size), "abc");
	}
	EXPECT_TRUE(persistent_kernel_message_queue::remove(m_name));
	EXPECT_EQ(thrown_by([&] {
			  persistent_kernel_message_queue(bip::open_only,
							  m_name);
		  }),
		  errc::not_found);
}

/* All that had it open died with it; the next one finds it whole. */
TEST_F(KernelMessageQueue, PersistentSurvivesTheDeathOfAll)
{
	EXPECT_EQ(child([&] {
			  persistent_kernel_message_queue one(bip::create_only,
							      m_name, 4, 4);

			  one.send("abc", 3, 0);
			  ::kill(::getpid(), SIGKILL);
			  return 0;
		  }).wait(),
		  child::killed);
	{
		persistent_kernel_message_queue again(bip::open_only, m_name);

		EXPECT_EQ(again.get_num_msg(), 1u);
		/* They died before this one came. */
		EXPECT_EQ(again.deaths(), 0u);
	}
	EXPECT_TRUE(queue::remove(m_name));
}

TEST_F(KernelMessageQueue, ChecksSizes)
{
	queue one(bip::create_only, m_name, 2, 8);
	char buffer[16] = {};
	queue::size_type size = 0;
	unsigned int priority = 0;

	EXPECT_EQ(boost_code_of([&] { one.send(buffer, 9, 0); }),
		  bip::size_error);
	EXPECT_EQ(boost_code_of([&] { one.try_send(buffer, 9, 0); }),
		  bip::size_error);
	EXPECT_EQ(boost_code_of(
			  [&] { one.try_receive(buffer, 7, size, priority); }),
		  bip::size_error);
	EXPECT_EQ(
		boost_code_of([&] { one.receive(buffer, 7, size, priority); }),
		bip::size_error);
	EXPECT_EQ(one.get_num_msg(), 0u);
	EXPECT_TRUE(one.try_send(buffer, 0, 7));
	EXPECT_TRUE(one.try_receive(buffer, 8, size, priority));
	EXPECT_EQ(size, 0u);
	EXPECT_EQ(priority, 7u);
	EXPECT_EQ(boost_code_of([&] {
			  queue(bip::create_only, "huge", SIZE_MAX, 8);
		  }),
		  bip::out_of_memory_error);
	EXPECT_EQ(boost_code_of([&] {
			  queue(bip::create_only, "huge", 8, SIZE_MAX);
		  }),
		  bip::out_of_memory_error);
}

TEST_F(KernelMessageQueue, OfNoRoomOrNoBytes)
{
	queue none(bip::create_only, m_name, 0, 8);
	queue signals(4, 0);
	queue::size_type size = 1;
	unsigned int priority = 0;

	EXPECT_FALSE(none.try_send("", 0, 0));
	EXPECT_EQ(none.get_max_msg(), 0u);
	EXPECT_TRUE(signals.try_send(nullptr, 0, 5));
	EXPECT_TRUE(signals.try_receive(nullptr, 0, size, priority));
	EXPECT_EQ(size, 0u);
	EXPECT_EQ(priority, 5u);
}

TEST_F(KernelMessageQueue, HighestPriorityFirstThenFirstIn)
{
	queue one(bip::create_only, m_name, 16, 4);
	const std::array<unsigned int, 10> priorities = {
		3, 0, UINT32_MAX, 3, 7, 0, UINT32_MAX, 7, 3, 1};
	std::vector<std::uint32_t> order;

	for (std::uint32_t i = 0; i < priorities.size(); ++i)
		put(one, i, priorities[i]);
	for (std::size_t i = 0; i < priorities.size(); ++i)
		order.push_back(try_get(one));
	EXPECT_EQ(order,
		  (std::vector<std::uint32_t>{2, 6, 4, 7, 0, 3, 8, 9, 1, 5}));

	/* One that comes while others are sorted already. */
	put(one, 1, 1);
	put(one, 2, 1);
	EXPECT_EQ(get(one), 1u);
	put(one, 3, 2);
	put(one, 4, 0);
	EXPECT_EQ(get(one), 3u);
	EXPECT_EQ(get(one), 2u);
	EXPECT_EQ(get(one), 4u);
}

/* The same calls on both must have the same results, whatever they are. */
void compare_with_boost(queue &ours, bip::message_queue &theirs,
			unsigned int seed, unsigned int priorities, int calls)
{
	std::mt19937 random(seed);
	const std::size_t max = ours.get_max_msg_size();
	std::vector<unsigned char> sent(max), a(max), b(max);
	unsigned int fill = 0;

	for (int i = 0; i < calls; ++i) {
		/* Now rather full, then rather empty. */
		if (random() % 64 == 0)
			fill = static_cast<unsigned int>(1 + random() % 9);
		if (random() % 10 < fill) {
			const std::size_t size = random() % (max + 1);
			const auto priority = static_cast<unsigned int>(
				random() % priorities);

			for (std::size_t k = 0; k < size; ++k)
				sent[k] = static_cast<unsigned char>(random());
			ASSERT_EQ(ours.try_send(sent.data(), size, priority),
				  theirs.try_send(sent.data(), size, priority))
				<< "call " << i;
		} else {
			queue::size_type size_a = 0, size_b = 0;
			unsigned int priority_a = 0, priority_b = 0;

			ASSERT_EQ(ours.try_receive(a.data(), max, size_a,
						   priority_a),
				  theirs.try_receive(b.data(), max, size_b,
						     priority_b))
				<< "call " << i;
			ASSERT_EQ(size_a, size_b) << "call " << i;
			ASSERT_EQ(priority_a, priority_b) << "call " << i;
			ASSERT_TRUE(std::equal(
				a.begin(),
				a.begin() + static_cast<long>(size_a),
				b.begin()))
				<< "call " << i;
		}
		ASSERT_EQ(ours.get_num_msg(), theirs.get_num_msg())
			<< "call " << i;
	}
}

TEST_F(KernelMessageQueue, DoesWhatBoostDoes)
{
	const struct
	{
		std::size_t num, size;
		unsigned int priorities;
	} shapes[] = {{1, 1, 2},    {2, 64, 1},    {7, 130, 3},
		      {64, 9, 100}, {100, 300, 5}, {33, 16, UINT32_MAX}};
	unsigned int seed = 1;

	for (const auto &shape : shapes) {
		SCOPED_TRACE(seed);
		bip::message_queue::remove(m_name);
		{
			queue ours(bip::create_only, m_name, shape.num,
				   shape.size);
			bip::message_queue theirs(bip::create_only, m_name,
						  shape.num, shape.size);

			compare_with_boost(ours, theirs, seed++,
					   shape.priorities, 10000);
		}
		bip::message_queue::remove(m_name);
	}
}

TEST_F(KernelMessageQueue, TimedCallsEnd)
{
	using boost::posix_time::microsec_clock;
	using boost::posix_time::milliseconds;
	using steady = std::chrono::steady_clock;
	queue one(bip::create_only, m_name, 1, 4);
	char buffer[4] = {};
	queue::size_type size;
	unsigned int priority;
	const auto start = steady::now();

	EXPECT_FALSE(one.timed_receive(buffer, 4, size, priority,
				       microsec_clock::universal_time() +
					       milliseconds(30)));
	EXPECT_GE(steady::now() - start, 29ms);
	EXPECT_FALSE(one.timed_receive(buffer, 4, size, priority,
				       steady::now() + 30ms));
	EXPECT_GE(steady::now() - start, 59ms);
	EXPECT_FALSE(
		one.timed_receive(buffer, 4, size, priority,
				  std::chrono::system_clock::now() + 30ms));
	/* What is past is tried once. */
	EXPECT_FALSE(one.timed_receive(buffer, 4, size, priority,
				       microsec_clock::universal_time() -
					       milliseconds(1)));
	EXPECT_TRUE(one.timed_send(buffer, 4, 0,
				   microsec_clock::universal_time() -
					   milliseconds(1)));
	EXPECT_FALSE(one.timed_send(buffer, 4, 0, steady::now() + 30ms));
	EXPECT_GE(steady::now() - start, 118ms);
	EXPECT_TRUE(one.timed_receive(
		buffer, 4, size, priority,
		boost::posix_time::ptime(boost::posix_time::pos_infin)));
	EXPECT_LT(steady::now() - start, 10s);
}

TEST_F(KernelMessageQueue, SleepersWakeUp)
{
	queue one(bip::create_only, m_name, 1, 4);
	queue two(bip::open_only, m_name);
	std::thread receiver([&] {
		EXPECT_EQ(get(two), 1u);
		std::this_thread::sleep_for(20ms);
		EXPECT_EQ(get(two), 2u);
	});

	std::this_thread::sleep_for(20ms);
	put(one, 1);
	put(one, 2);
	/* Full until the receiver has slept. */
	put(one, 3);
	receiver.join();
	EXPECT_EQ(get(two), 3u);
}

/* Each message is one sleep of the receiver, and each second one of the sender. */
TEST_F(KernelMessageQueue, NoWakeUpIsLost)
{
	constexpr std::uint32_t rounds = 2000;
	const std::string back_name = fresh_name();
	queue there(bip::create_only, m_name, 1, 4);
	queue back(bip::create_only, back_name.c_str(), 1, 4);
	child echo([&] {
		queue in(bip::open_only, m_name);
		queue out(bip::open_only, back_name.c_str());

		for (std::uint32_t i = 0; i < rounds; ++i) {
			if (get(in) != i)
				return 1;
			if (i % 64 == 0)
				std::this_thread::sleep_for(200us);
			put(out, i);
		}
		return 0;
	});

	for (std::uint32_t i = 0; i < rounds; ++i) {
		if (i % 61 == 0)
			std::this_thread::sleep_for(200us);
		put(there, i);
		ASSERT_EQ(get(back), i);
	}
	EXPECT_EQ(echo.wait(), 0);
}

struct numbered
{
	std::uint32_t sender;
	std::uint32_t number;
	std::uint32_t fill[10];
	std::uint32_t sum;

	std::uint32_t expected() const
	{
		std::uint32_t result = sender * 31 + number;

		for (const std::uint32_t each : fill)
			result = result * 33 + each;
		return result;
	}
};

/* Several of both, none of them at the same speed: nothing is lost or doubled. */
void many_to_many(const char *name, std::size_t depth, std::uint32_t senders,
		  std::uint32_t receivers, std::uint32_t each)
{
	constexpr std::uint32_t last = nothing;
	queue all(bip::create_only, name, depth, sizeof(numbered) + 200);
	const std::string results_name = fresh_name();
	queue results(bip::create_only, results_name.c_str(),
		      std::size_t{senders} * each + receivers, 8);
	std::vector<child> children;

	for (std::uint32_t r = 0; r < receivers; ++r)
		children.emplace_back([&] {
			queue in(bip::open_only, name);
			queue out(bip::open_only, results_name.c_str());
			unsigned char buffer[sizeof(numbered) + 200];
			queue::size_type size;
			unsigned int priority;
			numbered message;

			for (;;) {
				in.receive(buffer, sizeof(buffer), size,
					   priority);
				std::memcpy(&message, buffer, sizeof(message));
				if (message.sum != message.expected())
					return 2;
				if (message.sender == last)
					return 0;
				if (size !=
				    sizeof(message) + message.number % 200)
					return 3;
				out.send(&message, 8, 0);
			}
		});
	for (std::uint32_t s = 0; s < senders; ++s)
		children.emplace_back([&, s] {
			queue out(bip::open_only, name);
			unsigned char buffer[sizeof(numbered) + 200] = {};
			numbered message = {};

			message.sender = s;
			for (std::uint32_t i = 0; i < each; ++i) {
				message.number = i;
				for (std::uint32_t &word : message.fill)
					word = i * 2654435761u;
				message.sum = message.expected();
				std::memcpy(buffer, &message, sizeof(message));
				out.send(buffer, sizeof(message) + i % 200,
					 1 + i % 4);
			}
			return 0;
		});
	for (std::uint32_t i = receivers; i < receivers + senders; ++i)
		EXPECT_EQ(children[i].wait(), 0);

	numbered end = {};

	end.sender = last;
	end.sum = end.expected();
	all.report_deaths(false);
	for (std::uint32_t r = 0; r < receivers; ++r)
		all.send(&end, sizeof(end), 0);
	for (std::uint32_t r = 0; r < receivers; ++r)
		EXPECT_EQ(children[r].wait(), 0);
	EXPECT_EQ(all.get_num_msg(), 0u);

	std::set<std::pair<std::uint32_t, std::uint32_t>> seen;
	std::uint32_t pair[2];
	queue::size_type size;
	unsigned int priority;

	while (results.try_receive(pair, sizeof(pair), size, priority))
		EXPECT_TRUE(seen.emplace(pair[0], pair[1]).second);
	EXPECT_EQ(seen.size(), std::size_t{senders} * each);
}

TEST_F(KernelMessageQueue, ManySendersAndReceivers)
{
	many_to_many(m_name, 16, 3, 3, 1000);
}

TEST_F(KernelMessageQueue, ManySendersAndReceiversOfOneSlot)
{
	many_to_many(m_name, 1, 2, 3, 400);
}

/* One receiver sees what each sender sent in that order, for each priority. */
TEST_F(KernelMessageQueue, OrderOfEachSenderIsKept)
{
	constexpr std::uint32_t each = 3000;
	queue in(bip::create_only, m_name, 64, 8);
	std::vector<child> senders;
	std::uint32_t next[3][4] = {};

	in.report_deaths(false);
	for (std::uint32_t s = 0; s < 3; ++s)
		senders.emplace_back([&, s] {
			queue out(bip::open_only, m_name);

			for (std::uint32_t i = 0; i < each; ++i) {
				const std::uint32_t pair[2] = {s, i};

				out.send(pair, sizeof(pair), i % 4);
			}
			return 0;
		});
	for (std::uint32_t i = 0; i < 3 * each; ++i) {
		std::uint32_t pair[2];
		queue::size_type size;
		unsigned int priority;

		in.receive(pair, sizeof(pair), size, priority);
		ASSERT_EQ(pair[1] % 4, priority);
		ASSERT_EQ(pair[1] / 4, next[pair[0]][priority]++);
	}
	for (child &sender : senders)
		EXPECT_EQ(sender.wait(), 0);
}

TEST_F(KernelMessageQueue, ThreadsShareAnObject)
{
	constexpr std::uint32_t each = 600;
	queue one(bip::create_only, m_name, 4, 4);
	std::atomic<std::uint64_t> sum{0};
	std::vector<std::thread> threads;

	for (std::uint32_t t = 0; t < 3; ++t) {
		threads.emplace_back([&] {
			for (std::uint32_t i = 1; i <= each; ++i)
				put(one, i, i % 2);
		});
		threads.emplace_back([&] {
			for (std::uint32_t i = 1; i <= each; ++i)
				sum += get(one);
		});
	}
	for (std::thread &thread : threads)
		thread.join();
	EXPECT_EQ(sum, 3u * (each * (each + 1) / 2));
	expect_whole(one);
}

TEST_F(KernelMessageQueue, ChildBecomesAPeerOfItsOwn)
{
	queue one(bip::create_only, m_name, 8, 4);
	gate ready;
	gate taken;
	child second([&] {
		/* The parent's object, and its name of no use any more. */
		put(one, 1);
		ready.open();
		taken.wait();
		if (get(one) != 2)
			return 1;
		put(one, 3);
		return 0;
	});

	EXPECT_TRUE(queue::remove(m_name));
	ready.wait();
	EXPECT_EQ(get(one), 1u);
	put(one, 2);
	taken.open();
	EXPECT_EQ(second.wait(), 0);
	/* It ended without the destructor: it was itself that died, not this. */
	EXPECT_EQ(get(one), 3u);
	EXPECT_EQ(thrown_by([&] { get(one); }), errc::peer_died);
	EXPECT_EQ(one.deaths(), 1u);
	expect_whole(one);
}

/* The parent's death is heard of though a child has what it inherited. */
TEST_F(KernelMessageQueue, ChildDoesNotHideTheDeathOfItsParent)
{
	queue one(bip::create_only, m_name, 1, 4);
	gate gone;
	gate heard;
	child parent([&] {
		queue mine(bip::open_only, m_name);
		const pid_t idle = ::fork();

		if (!idle) {
			/* Has the memory, and never uses it. */
			gone.open();
			heard.wait();
			::_exit(0);
		}
		::kill(::getpid(), SIGKILL);
		return 0;
	});

	EXPECT_EQ(parent.wait(), child::killed);
	gone.wait();
	EXPECT_EQ(thrown_by([&] { get(one); }), errc::peer_died);
	heard.open();
	std::this_thread::sleep_for(50ms);
}

TEST_F(KernelMessageQueue, UnnamedIsForChildren)
{
	queue one(4, 4);
	child second([&] {
		put(one, 7);
		return 0;
	});

	EXPECT_EQ(get(one), 7u);
	EXPECT_EQ(second.wait(), 0);
	EXPECT_FALSE(one.get_region().info().named());
}

TEST_F(KernelMessageQueue, DeathEndsAWaitToReceive)
{
	queue one(bip::create_only, m_name, 2, 4);
	queue other(bip::open_only, m_name);
	gate ready;
	child peer([&] {
		queue mine(bip::open_only, m_name);

		ready.open();
		return test::until_killed();
	});

	ready.wait();
	std::thread killer([&] {
		std::this_thread::sleep_for(30ms);
		peer.kill();
	});
	const auto start = std::chrono::steady_clock::now();

	EXPECT_EQ(thrown_by([&] { get(one); }), errc::peer_died);
	EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
	killer.join();
	EXPECT_EQ(one.deaths(), 1u);
	/* Told once to each. */
	char buffer[4];
	queue::size_type size;
	unsigned int priority;

	EXPECT_FALSE(
		one.timed_receive(buffer, 4, size, priority,
				  std::chrono::steady_clock::now() + 20ms));
	EXPECT_EQ(thrown_by([&] { get(other); }), errc::peer_died);
	EXPECT_FALSE(
		other.timed_receive(buffer, 4, size, priority,
				    std::chrono::steady_clock::now() + 20ms));
	expect_whole(one);
}

TEST_F(KernelMessageQueue, DeathEndsAWaitToSend)
{
	queue one(bip::create_only, m_name, 1, 4);
	gate ready;
	child peer([&] {
		queue mine(bip::open_only, m_name);

		ready.open();
		return test::until_killed();
	});

	put(one, 1);
	ready.wait();
	std::thread killer([&] {
		std::this_thread::sleep_for(30ms);
		peer.kill();
	});

	EXPECT_EQ(thrown_by([&] { put(one, 2); }), errc::peer_died);
	EXPECT_EQ(boost_code_of([&] {
			  throw kernel_memory_exception(errc::peer_died);
		  }),
		  bip::system_error);
	killer.join();
	/* What need not wait does not tell. */
	EXPECT_EQ(get(one), 1u);
	put(one, 2);
	EXPECT_EQ(get(one), 2u);
}

TEST_F(KernelMessageQueue, CallsThatNeedNotWaitTellNoDeath)
{
	queue one(bip::create_only, m_name, 2, 4);

	EXPECT_EQ(child([&] {
			  put(one, 5);
			  ::kill(::getpid(), SIGKILL);
			  return 0;
		  }).wait(),
		  child::killed);
	EXPECT_EQ(get(one), 5u);
	put(one, 6);
	EXPECT_EQ(get(one), 6u);
	EXPECT_EQ(try_get(one), nothing);
	EXPECT_EQ(thrown_by([&] { get(one); }), errc::peer_died);
}

TEST_F(KernelMessageQueue, LeavingInOrderIsNoDeath)
{
	queue one(bip::create_only, m_name, 1, 4);
	char buffer[4];
	queue::size_type size;
	unsigned int priority;

	EXPECT_EQ(child([&] {
			  queue mine(bip::open_only, m_name);

			  return try_get(mine) == nothing ? 0 : 1;
		  }).wait(),
		  0);
	EXPECT_FALSE(
		one.timed_receive(buffer, 4, size, priority,
				  std::chrono::steady_clock::now() + 50ms));
	EXPECT_EQ(one.deaths(), 0u);
}

TEST_F(KernelMessageQueue, DeathsNeedNotBeReported)
{
	queue one(bip::create_only, m_name, 1, 4);
	gate ready;
	child peer([&] {
		queue mine(bip::open_only, m_name);

		ready.open();
		return test::until_killed();
	});

	one.report_deaths(false);
	ready.wait();
	std::thread other([&] {
		queue mine(bip::open_only, m_name);

		std::this_thread::sleep_for(20ms);
		peer.kill();
		std::this_thread::sleep_for(50ms);
		put(mine, 9);
	});

	EXPECT_EQ(get(one), 9u);
	other.join();
	EXPECT_EQ(one.deaths(), 1u);
	one.report_deaths();
	char buffer[4];
	queue::size_type size;
	unsigned int priority;

	EXPECT_FALSE(
		one.timed_receive(buffer, 4, size, priority,
				  std::chrono::steady_clock::now() + 20ms));
}

TEST_F(KernelMessageQueue, CanBePolled)
{
	queue one(bip::create_only, m_name, 2, 4);
	queue other(bip::open_only, m_name);
	const int fd = one.native_handle();

	EXPECT_EQ(fd, one.native_handle());
	EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_EQ(try_get(one), nothing);
	EXPECT_FALSE(readable(fd));
	put(other, 1);
	EXPECT_TRUE(readable(fd));
	/* It stays so as long as there is something. */
	put(other, 2);
	EXPECT_EQ(try_get(one), 1u);
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(try_get(one), 2u);
	EXPECT_EQ(try_get(one), nothing);
	EXPECT_FALSE(readable(fd));

	/* Room, once it was missed. */
	put(other, 3);
	put(other, 4);
	EXPECT_FALSE(try_put(one, 5));
	EXPECT_EQ(get(other), 3u);
	EXPECT_TRUE(readable(fd));
	EXPECT_TRUE(try_put(one, 5));

	/* What was there before it was asked for. */
	EXPECT_TRUE(readable(other.native_handle()));
	EXPECT_EQ(try_get(other), 4u);
	EXPECT_TRUE(readable(other.native_handle()));
}

/* A failed try_send() must not eat the news of a message, nor turn in circles. */
TEST_F(KernelMessageQueue, PollTellsOfBothDirections)
{
	queue one(bip::create_only, m_name, 1, 4);
	queue other(bip::open_only, m_name);
	const int fd = one.native_handle();

	EXPECT_EQ(try_get(one), nothing);
	put(other, 1);
	EXPECT_FALSE(try_put(one, 2));
	EXPECT_TRUE(readable(fd));
	/* Told once: who does not want it is not told for ever. */
	EXPECT_FALSE(try_put(one, 2));
	EXPECT_FALSE(readable(fd));
	EXPECT_EQ(get(other), 1u);
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(try_get(one), nothing);
	/* There is room, which was wanted. */
	EXPECT_TRUE(readable(fd));
	EXPECT_TRUE(try_put(one, 3));
}

TEST_F(KernelMessageQueue, PollTellsOfADeath)
{
	queue one(bip::create_only, m_name, 1, 4);
	const int fd = one.native_handle();
	gate ready;
	child peer([&] {
		queue mine(bip::open_only, m_name);

		ready.open();
		return test::until_killed();
	});

	ready.wait();
	EXPECT_EQ(try_get(one), nothing);
	EXPECT_FALSE(readable(fd));
	peer.kill();
	EXPECT_TRUE(readable(fd, 5000));
	EXPECT_EQ(try_get(one), nothing);
	EXPECT_EQ(one.deaths(), 1u);
	/* Who has taken back what the dead had rings for all. */
	EXPECT_EQ(try_get(one), nothing);
	EXPECT_FALSE(readable(fd));
}

TEST_F(KernelMessageQueue, EpollLoopGetsEverything)
{
	constexpr std::uint32_t count = 3000;
	queue in(bip::create_only, m_name, 8, 4);
	child sender([&] {
		queue out(bip::open_only, m_name);

		for (std::uint32_t i = 0; i < count; ++i) {
			if (i % 97 == 0)
				std::this_thread::sleep_for(100us);
			put(out, i);
		}
		return 0;
	});

	for (const std::uint32_t flags : {0u, std::uint32_t{EPOLLET}}) {
		const int loop = ::epoll_create1(EPOLL_CLOEXEC);
		struct epoll_event event = {};
		const std::uint32_t end = flags ? count : count / 2;
		static std::uint32_t expected;

		event.events = EPOLLIN | flags;
		ASSERT_EQ(::epoll_ctl(loop, EPOLL_CTL_ADD, in.native_handle(),
				      &event),
			  0);
		/* Of what is there already no edge will tell. */
		while (expected < end) {
			while (expected < end) {
				const std::uint32_t value = try_get(in);

				if (value == nothing)
					break;
				ASSERT_EQ(value, expected++);
			}
			if (expected == end)
				break;
			ASSERT_EQ(::epoll_wait(loop, &event, 1, 10000), 1)
				<< expected;
		}
		::close(loop);
	}
	EXPECT_EQ(sender.wait(), 0);
}

/* One thread sleeps in receive(), another one in poll(), on the same object. */
TEST_F(KernelMessageQueue, PollBesideAThreadThatWaits)
{
	queue one(bip::create_only, m_name, 4, 4);
	queue other(bip::open_only, m_name);
	const int fd = one.native_handle();
	std::atomic<unsigned int> received{0};
	const auto count = [&] {
		for (std::uint32_t value; (value = get(one)) != 1000;)
			++received;
	};
	std::thread waits(count);
	std::thread polls([&] {
		for (;;) {
			const std::uint32_t value = try_get(one);

			if (value == 1000)
				return;
			if (value != nothing)
				++received;
			else
				EXPECT_TRUE(readable(fd, 10000));
		}
	});

	for (std::uint32_t i = 0; i < 500; ++i) {
		put(other, i);
		if (i % 16 == 0)
			std::this_thread::sleep_for(300us);
	}
	while (one.get_num_msg())
		std::this_thread::sleep_for(1ms);
	put(other, 1000);
	put(other, 1000);
	waits.join();
	polls.join();
	EXPECT_EQ(received, 500u);
}

TEST_F(KernelMessageQueue, PermissionsAreTheRegions)
{
	if (!root())
		GTEST_SKIP() << "needs root";

	const test::open_for_all nodes;
	queue one(bip::create_only, m_name, 1, 4, bip::permissions(0640));

	EXPECT_EQ(one.get_region().info().mode(), 0640u);
	EXPECT_EQ(child([&] {
			  test::become(12345);
			  const auto open = [&] {
				  queue(bip::open_only, m_name);
			  };

			  if (thrown_by(open) != errc::permission_denied)
				  return 1;
			  return boost_code_of(open) == bip::security_error ? 0
									    : 2;
		  }).wait(),
		  0);

	const std::string second = fresh_name();
	bip::permissions all;

	all.set_unrestricted();
	queue shared(bip::create_only, second.c_str(), 1, 4, all);

	EXPECT_EQ(child([&] {
			  test::become(12345);
			  queue mine(bip::open_only, second.c_str());

			  put(mine, 3);
			  return 0;
		  }).wait(),
		  0);
	EXPECT_EQ(get(shared), 3u);
}

TEST_F(KernelMessageQueue, MissingDevice)
{
	EXPECT_EQ(test::with_empty_dev([&] {
			  const auto make = [&] {
				  queue(bip::open_or_create, m_name, 1, 1);
			  };

			  return thrown_by(make) == errc::device_missing ? 0
									 : 1;
		  }),
		  0);
}

TEST_F(KernelMessageQueue, RefusesOtherRegions)
{
	using shm_kernel::create_options;
	using shm_kernel::region;
	const auto open = [&] { queue(bip::open_only, m_name); };
	queue real(bip::create_only, "real", 4, 4);
	const auto info = real.get_region().info();
	const auto tag = info.tag();

	{
		const auto plain = region::create(m_name, info.size());

		EXPECT_EQ(thrown_by(open), errc::layout_mismatch);
		EXPECT_EQ(thrown_by([&] {
				  queue(bip::open_or_create, m_name, 4, 4);
			  }),
			  errc::layout_mismatch);
	}
	{
		/* Right, but somebody could cut it off. */
		const auto unsealed = region::create(
			create_options{}
				.set_name(m_name)
				.set_size(info.size())
				.set_tag(tag.data(), tag.size()));

		EXPECT_EQ(thrown_by(open), errc::may_shrink);
	}
	for (const std::uint64_t size : {std::uint64_t{100}, info.size()}) {
		auto empty = region::create(
			create_options{}
				.set_name(m_name)
				.set_size(size)
				.set_tag(tag.data(), tag.size()));

		empty.add_seals(shm_kernel::seal::shrink);
		EXPECT_EQ(thrown_by(open), errc::layout_mismatch);
	}
	{
		/* Begins like a queue that is longer than the region. */
		auto cut = region::create(
			create_options{}
				.set_name(m_name)
				.set_size(info.size())
				.set_tag(tag.data(), tag.size()));
		std::vector<unsigned char> content(info.size());
		shm_kernel::detail::queue_header *header;

		real.get_region().read(0, content.data(), content.size());
		header = reinterpret_cast<shm_kernel::detail::queue_header *>(
			content.data());
		header->max_num = 1000;
		cut.write(0, content.data(), content.size());
		cut.add_seals(shm_kernel::seal::shrink);
		EXPECT_EQ(thrown_by(open), errc::layout_mismatch);
	}
	{
		auto other_revision = tag;

		other_revision[4] = std::byte{99};
		const auto newer =
			region::create(create_options{}
					       .set_name(m_name)
					       .set_size(info.size())
					       .set_tag(other_revision.data(),
							other_revision.size()));

		EXPECT_EQ(thrown_by(open), errc::layout_mismatch);
	}
	EXPECT_TRUE(info.has(shm_kernel::seal::shrink));
}

TEST_F(KernelMessageQueue, OneCreatorInAStorm)
{
	for (int round = 0; round < 10; ++round) {
		constexpr int racers = 6;
		const std::string name = fresh_name();
		gate start;
		gate have;
		gate stay;
		std::vector<child> children;

		/* The depth of the queue tells who has made it. */
		for (int i = 0; i < racers; ++i)
			children.emplace_back([&, i] {
				start.wait();
				queue mine(bip::open_or_create, name.c_str(),
					   static_cast<std::size_t>(10 + i), 4);
				const std::size_t depth = mine.get_max_msg();

				have.open();
				stay.wait();
				return static_cast<int>(depth);
			});
		start.open(racers);
		have.wait(racers);
		stay.open(racers);

		std::set<int> depths;

		for (child &each : children)
			depths.insert(each.wait());
		EXPECT_EQ(depths.size(), 1u);
		EXPECT_GE(*depths.begin(), 10);
		EXPECT_LT(*depths.begin(), 10 + racers);
	}
}

/* Kills its creator and its users at any time: the name is whole or not there. */
TEST_F(KernelMessageQueue, NobodySeesAHalfMadeQueue)
{
	std::mt19937 random(7);

	for (int i = 0; i < 60; ++i) {
		child maker([&] {
			for (;;) {
				queue mine(bip::open_or_create, m_name, 8, 16);

				try_put(mine, 1);
			}
			return 0;
		});

		std::this_thread::sleep_for(
			std::chrono::microseconds(random() % 3000));
		maker.kill();
		EXPECT_FALSE(queue::remove(m_name));
	}
}

TEST_F(KernelMessageQueue, HasAnEndOfPeers)
{
	queue one(bip::create_only, m_name, 1, 4);
	const auto all = shm_kernel::region::open(m_name);
	shm_kernel::mapping memory(all);
	auto *const header =
		static_cast<shm_kernel::detail::queue_header *>(memory.data());

	/* This is 1023 peers in one. */
	for (auto &peer : header->peer)
		peer.state = 1;
	header->common.peer_end = shm_kernel::detail::queue_peers;
	const auto begin = reinterpret_cast<char *>(header->peer) -
			   static_cast<char *>(memory.data());

	ASSERT_EQ(shm_kernel::detail::ofd_call(
			  all.native_handle(), F_OFD_SETLK,
			  shm_kernel::detail::ofd_lock_type::write, begin + 8,
			  sizeof(header->peer) - 8),
		  0);
	EXPECT_EQ(thrown_by([&] { queue(bip::open_only, m_name); }),
		  errc::limit_reached);
	shm_kernel::detail::ofd_unlock(all.native_handle(), begin + 8,
				       sizeof(header->peer) - 8);
	/* They have all died now. */
	queue other(bip::open_only, m_name);

	EXPECT_EQ(one.deaths(), 1023u);
	expect_whole(other);
}

/* Whoever is killed at random while all work as hard as they can. */
TEST_F(KernelMessageQueue, KilledAtRandom)
{
	queue all(bip::create_only, m_name, 8, 300);
	std::mt19937 random(3);
	gate begun;
	const auto work = [&](bool sends, unsigned int seed) {
		return std::make_unique<child>([&, sends, seed] {
			queue mine(bip::open_only, m_name);
			std::mt19937 own(seed);
			std::array<unsigned char, 300> buffer;
			queue::size_type size;
			unsigned int priority;

			mine.report_deaths(false);
			begun.open();
			for (;;) {
				if (sends) {
					size = 1 + own() % 300;
					buffer.fill(static_cast<unsigned char>(
						size));
					mine.send(buffer.data(), size,
						  static_cast<unsigned int>(
							  own() % 4));
					continue;
				}
				mine.receive(buffer.data(), buffer.size(), size,
					     priority);
				for (std::size_t i = 0; i < size; ++i)
					if (buffer[i] !=
					    static_cast<unsigned char>(size))
						::_exit(1);
			}
			return 0;
		});
	};
	std::vector<std::unique_ptr<child>> workers;
	unsigned int seed = 0;

	for (unsigned int i = 0; i < 4; ++i)
		workers.push_back(work(i % 2, ++seed));
	begun.wait(4);
	for (int round = 0; round < 100; ++round) {
		const std::size_t which = random() % workers.size();

		std::this_thread::sleep_for(
			std::chrono::microseconds(random() % 4000));
		EXPECT_EQ(workers[which]->kill(), child::killed);
		workers[which] = work(round % 2, ++seed);
		begun.wait();
	}
	for (const auto &worker : workers)
		EXPECT_EQ(worker->kill(), child::killed);

	std::array<unsigned char, 300> buffer;
	queue::size_type size;
	unsigned int priority;

	std::this_thread::sleep_for(10ms);
	all.report_deaths(false);
	/* Until the last of the dead has been found. */
	EXPECT_TRUE(test::eventually([&] {
		while (all.try_receive(buffer.data(), buffer.size(), size,
				       priority))
			;
		return all.deaths() == 104;
	})) << all.deaths();
	expect_whole(all);
}

} // namespace
