/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A map of strings in a managed segment, one that writes, one that only reads,
 * and one that is killed in the middle
 *
 * As with boost::interprocess::managed_shared_memory, but for the type's name.
 * What that does not have: no clean-up of names before and after, no deadlock
 * after the kill, and a reader that takes no lock.
 *
 *	managed_segment
 *
 * Prints what happens and exits with 0; 1 if something failed. Build:
 *	c++ -std=c++17 managed_segment.cpp \
 *		$(pkg-config --cflags --libs shm_kernel-interprocess) -pthread
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/managed_kernel_memory.hpp>

#include <boost/container/map.hpp>
#include <boost/container/string.hpp>
#include <boost/interprocess/allocators/allocator.hpp>

#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

namespace bip = boost::interprocess;

namespace {

using segment_type = shm_kernel::managed_kernel_memory;

template <typename T>
using in_segment = bip::allocator<T, segment_type::segment_manager>;

using text = boost::container::basic_string<char, std::char_traits<char>,
					    in_segment<char>>;
using entry = std::pair<const text, int>;
using table =
	boost::container::map<text, int, std::less<text>, in_segment<entry>>;

/* Runs @run in a process of its own; its exit status, or -1 if it was killed. */
int in_process(const std::function<int()> &run)
{
	const pid_t pid = ::fork();
	int status = 0;

	if (!pid)
		::_exit(run());
	::waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int read(const std::string &name)
{
	segment_type view(bip::open_read_only, name.c_str());
	const auto [counts, number] = view.find_shared<table>("counts");

	if (!counts)
		return 1;
	for (const auto &[key, value] : *counts)
		std::printf("%d: %s = %d\n", static_cast<int>(::getpid()),
			    key.c_str(), value);
	return counts->size() == 3 ? 0 : 1;
}

int die_in_the_middle(const std::string &name)
{
	segment_type segment(bip::open_only, name.c_str());
	auto suicide = [] {
		std::printf("%d: dies with the lock of the segment\n",
			    static_cast<int>(::getpid()));
		std::fflush(stdout);
		::kill(::getpid(), SIGKILL);
	};

	segment.atomic_func(suicide);
	return 0;
}

int run()
{
	const std::string name =
		"managed_segment-" + std::to_string(::getpid());
	segment_type segment(bip::create_only, name.c_str(), 65536);
	table &counts = *segment.construct<table>("counts")(
		std::less<text>(), segment.get_allocator<entry>());

	for (const char *key : {"apples", "oranges", "pears"})
		counts.emplace(text(key, segment.get_allocator<char>()), 7);
	if (in_process([&] { return read(name); }))
		return 1;
	if (in_process([&] { return die_in_the_middle(name); }) != -1)
		return 1;

	/* Any operation finds out, and goes on. */
	if (!segment.find<table>("counts").first || !segment.recovered())
		return 1;
	std::printf("%d: recovered %u time, the segment is %s\n",
		    static_cast<int>(::getpid()), segment.recoveries(),
		    segment.check_sanity() ? "in order" : "damaged");
	segment.mark_consistent();
	return in_process([&] { return read(name); });
}

} // namespace

int main()
{
	try {
		/* Lines of all processes in order, also into a pipe. */
		std::setvbuf(stdout, nullptr, _IOLBF, 0);
		return run();
	} catch (const std::exception &error) {
		std::fprintf(stderr, "managed_segment: %s\n", error.what());
		return 1;
	}
}
