/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Runs a command while it has a lock that is found by its name
 *
 *	named_lock [--shared] [--timeout SECONDS] NAME COMMAND [ARGUMENT...]
 *
 * Of all commands that are run so with the same NAME on this machine, one runs
 * at a time, or many with --shared. It is flock(1) without a file: nothing has
 * to be made before or cleaned up after, and who is killed with the lock, with
 * SIGKILL as well, does not have it any more.
 *
 * Exits with the status of the command, 75 if the lock was not to be had in
 * time, 1 if something failed, 2 for wrong usage. Build:
 *	c++ -std=c++17 named_lock.cpp \
 *		$(pkg-config --cflags --libs shm_kernel-interprocess) -pthread
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/kernel_named_sharable_mutex.hpp>

#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/permissions.hpp>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <shared_mutex>
#include <system_error>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using lock_type = shm_kernel::kernel_named_sharable_mutex;

constexpr int no_lock = 75;

int run(char **command)
{
	int status = 0;
	pid_t pid = 0;
	/* The lock's descriptor is closed in the command. */
	const int error = ::posix_spawnp(&pid, *command, nullptr, nullptr,
					 command, environ);

	if (error)
		throw std::system_error(error, std::generic_category(),
					*command);
	while (::waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			throw std::system_error(errno, std::generic_category(),
						"waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

template <typename Lock>
int run_with(lock_type &mutex, double timeout, char **command)
{
	Lock lock(mutex, std::defer_lock);

	if (timeout < 0)
		lock.lock();
	else if (!lock.try_lock_for(std::chrono::duration<double>(timeout)))
		return no_lock;
	return run(command);
}

} // namespace

int main(int argc, char **argv)
{
	double timeout = -1;
	bool shared = false;
	int next = 1;

	for (; next < argc && argv[next][0] == '-'; ++next) {
		if (!std::strcmp(argv[next], "--shared"))
			shared = true;
		else if (!std::strcmp(argv[next], "--timeout") &&
			 next + 1 < argc)
			timeout = std::atof(argv[++next]);
		else
			break;
	}
	if (argc - next < 2 || argv[next][0] == '-') {
		std::fprintf(stderr, "usage: named_lock [--shared] [--timeout "
				     "SECONDS] NAME COMMAND [ARGUMENT...]\n");
		return 2;
	}
	try {
		boost::interprocess::permissions everybody;

		everybody.set_unrestricted();
		lock_type mutex(boost::interprocess::open_or_create, argv[next],
				everybody);
		char **const command = argv + next + 1;

		if (shared)
			return run_with<std::shared_lock<lock_type>>(
				mutex, timeout, command);
		return run_with<std::unique_lock<lock_type>>(mutex, timeout,
							     command);
	} catch (const std::exception &error) {
		std::fprintf(stderr, "named_lock: %s\n", error.what());
		return 1;
	}
}
