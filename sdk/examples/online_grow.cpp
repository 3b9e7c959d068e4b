/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A managed segment that grows while another process uses it
 *
 * Everybody reserves the address space for the final size when it opens the
 * segment; grow_online() adds the memory. Nobody maps anew, no pointer moves.
 *
 *	online_grow
 *
 * Prints what happens and exits with 0; 1 if something failed. Build:
 *	c++ -std=c++17 online_grow.cpp \
 *		$(pkg-config --cflags --libs shm_kernel-interprocess) -pthread
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/managed_kernel_memory.hpp>

#include <boost/container/vector.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>

#include <cstdio>
#include <exception>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

namespace bip = boost::interprocess;

namespace {

using segment_type = shm_kernel::managed_kernel_memory;
using numbers = boost::container::vector<
	int, bip::allocator<int, segment_type::segment_manager>>;

constexpr int count = 1000000;

/* Attached before the segment grows, done when all numbers are there. */
int peer(const std::string &name)
{
	segment_type segment(bip::open_only, name.c_str());
	auto &attached =
		*segment.find<bip::interprocess_semaphore>("attached").first;
	auto &filled =
		*segment.find<bip::interprocess_semaphore>("filled").first;

	std::printf("peer: attached to %zu KiB\n", segment.get_size() >> 10);
	attached.post();
	filled.wait();

	const numbers &all = *segment.find<numbers>("numbers").first;

	std::printf("peer: sees %zu KiB and %zu numbers, the last is %d\n",
		    segment.get_size() >> 10, all.size(), all.back());
	return all.size() == count && all.back() == count - 1 ? 0 : 1;
}

int run()
{
	const std::string name = "online_grow-" + std::to_string(::getpid());
	segment_type segment(bip::create_only, shm_kernel::segment_options{}
						       .set_name(name)
						       .set_size(64 << 10)
						       .set_max_size(64 << 20));
	auto &attached =
		*segment.construct<bip::interprocess_semaphore>("attached")(0);
	auto &filled =
		*segment.construct<bip::interprocess_semaphore>("filled")(0);
	numbers &all = *segment.construct<numbers>("numbers")(
		segment.get_allocator<int>());
	int grown = 0;

	std::fflush(stdout);

	const pid_t pid = ::fork();

	if (!pid)
		::_exit(peer(name));
	attached.wait();
	for (int i = 0; i < count;)
		try {
			all.push_back(i);
			++i;
		} catch (const bip::bad_alloc &) {
			segment.grow_online(1 << 20);
			++grown;
		}
	std::printf("creator: grew %d times, %zu of %zu KiB\n", grown,
		    segment.get_size() >> 10, segment.max_size() >> 10);
	filled.post();

	int status = 0;

	::waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

} // namespace

int main()
{
	try {
		/* Lines of both processes in order, also into a pipe. */
		std::setvbuf(stdout, nullptr, _IOLBF, 0);
		return run();
	} catch (const std::exception &error) {
		std::fprintf(stderr, "online_grow: %s\n", error.what());
		return 1;
	}
}
