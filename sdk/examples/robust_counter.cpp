/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Two processes and a lock whose owner dies
 *
 * A worker counts in shared memory under a robust mutex and is killed with the
 * mutex locked. The other process finds that out, repairs what was left half
 * done, and goes on.
 *
 *	robust_counter			in a region that this program creates
 *	robust_counter --node /dev/shm_kernel_driver
 *					in region 0, after a look at the words
 *					that the kernel has put there
 *
 * Prints what happens and exits with 0; 1 if something failed. Build:
 *	c++ -std=c++17 robust_counter.cpp \
 *		$(pkg-config --cflags --libs shm_kernel) -pthread
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/shm_kernel.hpp>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

/*
 * What the processes share. No pointers: the region is at another address in
 * each of them.
 */
struct counter
{
	pthread_mutex_t mutex;
	/* Equal, unless somebody died between the two. */
	std::uint64_t begun;
	std::uint64_t done;
};

void check(int error, const char *what)
{
	if (error)
		throw std::system_error(error, std::generic_category(), what);
}

void init(counter &shared)
{
	pthread_mutexattr_t attributes;

	new (&shared) counter{};
	pthread_mutexattr_init(&attributes);
	/* Between processes, and told about it when an owner dies. */
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	check(pthread_mutex_init(&shared.mutex, &attributes),
	      "pthread_mutex_init");
	pthread_mutexattr_destroy(&attributes);
}

/* Locks, and repairs what a dead owner has left. */
void lock(counter &shared)
{
	const int result = pthread_mutex_lock(&shared.mutex);

	if (result == EOWNERDEAD) {
		std::printf("%d: the owner of the lock has died: begun %llu, "
			    "done %llu\n",
			    static_cast<int>(::getpid()),
			    static_cast<unsigned long long>(shared.begun),
			    static_cast<unsigned long long>(shared.done));
		shared.begun = shared.done;
		check(pthread_mutex_consistent(&shared.mutex),
		      "pthread_mutex_consistent");
	} else {
		check(result, "pthread_mutex_lock");
	}
}

void unlock(counter &shared)
{
	check(pthread_mutex_unlock(&shared.mutex), "pthread_mutex_unlock");
}

/* Counts to 1000, begins once more, and dies with the lock. */
[[noreturn]] void work_and_die(counter &shared)
{
	for (int i = 0; i < 1000; ++i) {
		lock(shared);
		++shared.begun;
		++shared.done;
		unlock(shared);
	}
	lock(shared);
	++shared.begun;
	std::printf("%d: dies with the lock\n", static_cast<int>(::getpid()));
	std::fflush(stdout);
	::kill(::getpid(), SIGKILL);
	for (;;)
		::pause();
}

int run(shm_kernel::region &region)
{
	/* The mapping keeps the region, whatever becomes of the handle. */
	const shm_kernel::mapping mapping(region);

	if (mapping.size() < sizeof(counter))
		throw std::runtime_error("the region is too small");

	counter &shared = *static_cast<counter *>(mapping.data());

	init(shared);

	const pid_t worker = ::fork();

	if (worker < 0)
		check(errno, "fork");
	if (!worker)
		work_and_die(shared);
	::waitpid(worker, nullptr, 0);

	lock(shared);
	++shared.begun;
	++shared.done;
	unlock(shared);
	std::printf("%d: repaired, and counted on to %llu\n",
		    static_cast<int>(::getpid()),
		    static_cast<unsigned long long>(shared.done));
	return shared.begun == 1001 && shared.done == 1001 ? 0 : 1;
}

int in_node(const char *path)
{
	auto region = shm_kernel::region::open_node(path);
	std::uint32_t words[2] = {};

	region.read(0, &words[0], sizeof(words[0]));
	region.read(0x100, &words[1], sizeof(words[1]));
	std::printf("%s: %llu bytes, the kernel has put 0x%x at 0 and 0x%x at "
		    "0x100\n",
		    path, static_cast<unsigned long long>(region.size()),
		    words[0], words[1]);

	const int result = run(region);

	region.reset();
	return result;
}

} // namespace

int main(int argc, char **argv)
{
	try {
		/* Lines of both processes in order, also into a pipe. */
		std::setvbuf(stdout, nullptr, _IOLBF, 0);
		if (argc == 3 && !std::strcmp(argv[1], "--node"))
			return in_node(argv[2]);
		if (argc != 1) {
			std::fprintf(stderr,
				     "usage: robust_counter [--node PATH]\n");
			return 2;
		}

		auto region = shm_kernel::region::create("robust_counter",
							 sizeof(counter));

		return run(region);
	} catch (const std::exception &error) {
		std::fprintf(stderr, "robust_counter: %s\n", error.what());
		return 1;
	}
}
