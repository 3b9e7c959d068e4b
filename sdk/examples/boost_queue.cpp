/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A small queue between two processes, with Boost.Interprocess
 *
 * A producer puts numbers into a queue of eight places, a consumer takes them
 * out; each sleeps when it has to wait for the other. The queue is what one
 * would write over boost::interprocess::shared_memory_object: only the class
 * that the memory comes from is another.
 *
 *	boost_queue			both, in two processes
 *	boost_queue produce NAME	makes the queue NAME and fills it
 *	boost_queue consume NAME	empties it, from another terminal
 *
 * Prints what happens and exits with 0; 1 if something failed. Build:
 *	c++ -std=c++17 boost_queue.cpp \
 *		$(pkg-config --cflags --libs shm_kernel-interprocess)
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/kernel_shared_memory.hpp>

#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

namespace bip = boost::interprocess;

using shm_kernel::kernel_shared_memory;

namespace {

constexpr int last = 100;

class queue
{
public:
	void put(int value)
	{
		bip::scoped_lock<bip::interprocess_mutex> lock(m_mutex);

		m_has_room.wait(lock, [this] { return m_count < places; });
		m_value[(m_first + m_count++) % places] = value;
		m_has_value.notify_one();
	}

	int take()
	{
		bip::scoped_lock<bip::interprocess_mutex> lock(m_mutex);

		m_has_value.wait(lock, [this] { return m_count > 0; });

		const int value = m_value[m_first];

		m_first = (m_first + 1) % places;
		--m_count;
		m_has_room.notify_one();
		return value;
	}

private:
	static constexpr unsigned int places = 8;

	bip::interprocess_mutex m_mutex;
	bip::interprocess_condition m_has_room;
	bip::interprocess_condition m_has_value;
	unsigned int m_first = 0;
	unsigned int m_count = 0;
	int m_value[places] = {};
};

/*
 * Makes the queue and only then gives it its name, so that nobody can open one
 * that is not ready.
 */
bip::mapped_region make(const char *name)
{
	auto region = shm_kernel::region::create(
		shm_kernel::create_options{}.set_size(sizeof(queue)));
	kernel_shared_memory memory(std::move(region));
	bip::mapped_region view(memory, bip::read_write);

	new (view.get_address()) queue;
	memory.get_region().bind(name);
	return view;
}

bip::mapped_region find(const char *name)
{
	const kernel_shared_memory memory(bip::open_only, name,
					  bip::read_write);

	return bip::mapped_region(memory, bip::read_write);
}

int produce(const bip::mapped_region &view)
{
	queue &shared = *static_cast<queue *>(view.get_address());

	for (int i = 1; i <= last; ++i)
		shared.put(i);
	shared.put(0);
	std::printf("producer: has put in 1 to %d\n", last);
	return 0;
}

int consume(const bip::mapped_region &view)
{
	queue &shared = *static_cast<queue *>(view.get_address());
	int sum = 0;

	while (const int value = shared.take())
		sum += value;
	std::printf("consumer: the sum of what came out is %d\n", sum);
	return sum == last * (last + 1) / 2 ? 0 : 1;
}

int both()
{
	const std::string name = "boost_queue-" + std::to_string(::getpid());
	const bip::mapped_region view = make(name.c_str());
	const pid_t child = ::fork();
	int status = 0;

	if (child < 0)
		throw std::system_error(errno, std::generic_category(), "fork");
	if (!child) {
		const int result = consume(find(name.c_str()));

		std::fflush(stdout);
		::_exit(result);
	}
	produce(view);
	::waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

} // namespace

int main(int argc, char **argv)
{
	try {
		std::setvbuf(stdout, nullptr, _IOLBF, 0);
		if (argc == 1)
			return both();
		if (argc == 3 && !std::strcmp(argv[1], "produce")) {
			const bip::mapped_region view = make(argv[2]);

			produce(view);
			/* The mapping keeps the name until all is taken. */
			std::printf("producer: press enter to end\n");
			std::getchar();
			return 0;
		}
		if (argc == 3 && !std::strcmp(argv[1], "consume"))
			return consume(find(argv[2]));
		std::fprintf(stderr,
			     "usage: boost_queue [produce|consume NAME]\n");
		return 2;
	} catch (const std::exception &error) {
		std::fprintf(stderr, "boost_queue: %s\n", error.what());
		return 1;
	}
}
