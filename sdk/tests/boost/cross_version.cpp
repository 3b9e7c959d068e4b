/* SPDX-License-Identifier: BSL-1.0 */
/*
 * One side of two programs that were built with different versions of Boost
 *
 * cross_version.py runs them. One makes a segment, a queue and a mutex and does
 * what it is told on standard input; the other one attaches and says what comes
 * of it.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/detail/segment_header.hpp>
#include <shm_kernel/interprocess/kernel_message_queue.hpp>
#include <shm_kernel/interprocess/kernel_named_mutex.hpp>
#include <shm_kernel/interprocess/managed_kernel_memory.hpp>

#include <boost/container/vector.hpp>
#include <boost/interprocess/allocators/allocator.hpp>

#include <boost/interprocess/offset_ptr.hpp>
#include <boost/version.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>

namespace bip = boost::interprocess;

namespace {

constexpr std::size_t segment_size = 256 * 1024;
constexpr int numbers = 1000;
constexpr std::uint64_t guarded_value = 0x0123456789abcdef;

using segment = shm_kernel::managed_kernel_memory;
using queue = shm_kernel::kernel_message_queue;
using named_mutex = shm_kernel::kernel_named_mutex;

using vector =
	boost::container::vector<int,
				 bip::allocator<int, segment::segment_manager>>;

struct node
{
	int value;
	bip::offset_ptr<node> next;
};

void require(bool good, const char *what)
{
	if (!good)
		throw std::runtime_error(what);
}

/* What one side puts there under names that end with @suffix. */
void fill(segment &memory, const std::string &suffix)
{
	auto *const all = memory.construct<vector>(("vector" + suffix).c_str())(
		memory.get_segment_manager());
	auto *const first = memory.construct<node>(("list" + suffix).c_str())();

	for (int i = 0; i < numbers; ++i)
		all->push_back(i);
	first->value = 1;
	first->next = memory.construct<node>(bip::anonymous_instance)();
	first->next->value = 2;
	auto guarded = [&] {
		*memory.find_or_construct<std::uint64_t>(
			("word" + suffix).c_str())() = guarded_value;
	};

	memory.atomic_func(guarded);
}

/* What the other side finds of it. */
void verify(segment &memory, const std::string &suffix)
{
	const auto all = memory.find<vector>(("vector" + suffix).c_str());
	const auto first = memory.find<node>(("list" + suffix).c_str());
	const auto word = memory.find<std::uint64_t>(("word" + suffix).c_str());

	require(all.first && all.second == 1, "the vector is not found");
	require(all.first->size() == numbers, "the vector's size is wrong");
	for (int i = 0; i < numbers; ++i)
		require((*all.first)[static_cast<std::size_t>(i)] == i,
			"the vector's contents are wrong");
	require(first.first && first.first->next, "the list is not found");
	require(first.first->value == 1 && first.first->next->value == 2,
		"the list's contents are wrong");
	require(word.first && *word.first == guarded_value,
		"the word is not found");
	require(memory.check_sanity(), "the segment is not sane");
	/* Grows, and so allocates and frees, what the other one made. */
	all.first->push_back(numbers);
	all.first->shrink_to_fit();
	require(memory.destroy<vector>(("vector" + suffix).c_str()),
		"the vector cannot be destroyed");
	require(memory.check_sanity(), "the segment is not sane any more");
}

void send(queue &messages, std::uint64_t value, unsigned int priority)
{
	require(messages.try_send(&value, sizeof(value), priority),
		"the queue is full");
}

void receive(queue &messages, std::uint64_t value, unsigned int priority)
{
	std::uint64_t found = 0;
	queue::size_type size = 0;
	unsigned int of = 0;

	require(messages.try_receive(&found, sizeof(found), size, of),
		"no message is there");
	require(size == sizeof(found) && found == value && of == priority,
		"another message is there");
}

/* Says in a line what has come of something. */
void report(const std::string &what, const std::function<void()> &run)
{
	std::cout << what << ' ';
	try {
		run();
		std::cout << "works";
	} catch (const shm_kernel::kernel_memory_exception &error) {
		if (error.code() == shm_kernel::errc::layout_mismatch)
			std::cout << "layout_mismatch";
		else
			std::cout << "fails: " << error.what();
	} catch (const std::exception &error) {
		std::cout << "fails: " << error.what();
	}
	std::cout << std::endl;
}

int make(const std::string &name)
{
	segment memory(bip::create_only, (name + "-segment").c_str(),
		       segment_size);
	queue messages(bip::create_only, (name + "-queue").c_str(), 4,
		       sizeof(std::uint64_t));
	named_mutex mutex(bip::create_only, (name + "-mutex").c_str());
	std::string word;

	fill(memory, "-maker");
	send(messages, 7, 1);
	send(messages, 8, 2);
	mutex.lock();
	std::cout << "ready" << std::endl;
	while (std::cin >> word) {
		if (word == "unlock")
			report("unlock", [&] { mutex.unlock(); });
		else if (word == "segment")
			report(word, [&] { verify(memory, "-guest"); });
		else if (word == "queue")
			report(word, [&] { receive(messages, 9, 3); });
		else if (word == "mutex")
			report(word, [&] {
				require(mutex.try_lock(),
					"the mutex was not unlocked");
			});
	}
	return 0;
}

int attach(const std::string &name)
{
	std::string word;

	report("segment", [&] {
		segment memory(bip::open_only, (name + "-segment").c_str());

		verify(memory, "-maker");
		fill(memory, "-guest");
	});
	report("queue", [&] {
		queue messages(bip::open_only, (name + "-queue").c_str());

		receive(messages, 8, 2);
		receive(messages, 7, 1);
		send(messages, 9, 3);
	});
	report("mutex", [&] {
		named_mutex mutex(bip::open_only, (name + "-mutex").c_str());

		require(!mutex.try_lock(), "the mutex is not locked");
		std::cout << "locked " << std::flush;
		/* Until the maker has unlocked. */
		std::cin >> word;
		require(mutex.try_lock(), "the mutex is not free");
		mutex.unlock();
	});
	return 0;
}

} // namespace

int main(int argc, char **argv)
{
	const std::string what = argc > 1 ? argv[1] : "";

	if (what == "layout" && argc == 2) {
		std::cout << BOOST_VERSION / 100000 << '.'
			  << BOOST_VERSION / 100 % 1000 << ' '
			  << static_cast<int>(shm_kernel::detail::segment_abi)
			  << std::endl;
		return 0;
	}
	if (what == "make" && argc == 3)
		return make(argv[2]);
	if (what == "attach" && argc == 3)
		return attach(argv[2]);
	std::cerr << "usage: cross_version layout|make NAME|attach NAME\n";
	return 2;
}
