/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The doorbell of a region in a loop of epoll
 *
 * Waits for everything at once in one thread: for the region's other peers, for
 * a signal that ends the program, and for whatever else has a descriptor.
 *
 *	events_epoll		in a region that this program creates, with a
 *				child that rings and is killed
 *	events_epoll NAME	in the region of that name, until it is revoked
 *				or SIGINT; ring it by "shmtool notify NAME"
 *
 * Prints what happens and exits with 0; 1 if something failed. Build:
 *	c++ -std=c++17 events_epoll.cpp \
 *		$(pkg-config --cflags --libs shm_kernel)
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/shm_kernel.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string_view>
#include <system_error>
#include <thread>

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

int check(int result, const char *what)
{
	if (result < 0)
		throw std::system_error(errno, std::system_category(), what);
	return result;
}

void add(int loop, int fd)
{
	struct epoll_event event = {};

	/*
	 * By level: what is left unread is told again. By edge (EPOLLET) works
	 * as well, for try_read() takes all that there is.
	 */
	event.events = EPOLLIN;
	event.data.fd = fd;
	check(::epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

/* SIGINT and SIGTERM as a descriptor. */
int open_signals()
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	check(::sigprocmask(SIG_BLOCK, &signals, nullptr), "sigprocmask");
	return check(::signalfd(-1, &signals, SFD_CLOEXEC), "signalfd");
}

/*
 * Prints what happens on the region, until a signal comes, the region is
 * revoked, or, with @alone, the last other peer has gone.
 */
std::uint64_t watch(shm_kernel::events &peer, bool alone)
{
	const int loop = check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	const int signals = open_signals();
	std::uint64_t rings = 0;

	add(loop, peer.native_handle());
	add(loop, signals);
	for (bool more = true; more;) {
		std::array<struct epoll_event, 8> ready;
		const int count = ::epoll_wait(
			loop, ready.data(), static_cast<int>(ready.size()), -1);

		if (count < 0 && errno != EINTR)
			check(count, "epoll_wait");
		for (int i = 0; i < count; ++i) {
			if (ready[static_cast<std::size_t>(i)].data.fd ==
			    signals) {
				more = false;
				continue;
			}
			/*
			 * Nothing is there if a process that shares the peer
			 * was faster: that is why it is not read().
			 */
			const auto counts = peer.try_read();

			if (!counts)
				continue;
			std::cout << *counts << std::endl;
			rings += counts->rings;
			if (counts->revoked ||
			    (alone && counts->peers_gone && !counts->peers))
				more = false;
		}
	}
	::close(signals);
	::close(loop);
	return rings;
}

/* Rings, and dies without a word. */
[[noreturn]] void ring_and_die(const shm_kernel::region &region)
{
	using namespace std::chrono_literals;
	/* Not its parent's peer, which it would only share. */
	shm_kernel::events own(region);

	for (unsigned int i = 1; i <= 3; ++i) {
		std::this_thread::sleep_for(10ms);
		own.ring(i);
	}
	::kill(::getpid(), SIGKILL);
	for (;;)
		::pause();
}

int demonstrate()
{
	const auto region = shm_kernel::region::create(
		shm_kernel::create_options{}.set_size(4096));
	shm_kernel::events peer(region);
	const pid_t child = check(::fork(), "fork");

	if (!child) {
		peer.close();
		ring_and_die(region);
	}

	const std::uint64_t rings = watch(peer, true);

	::waitpid(child, nullptr, 0);
	std::cout << "in all " << rings << " rings" << std::endl;
	return rings == 6 ? 0 : 1;
}

} // namespace

int main(int argc, char **argv)
{
	try {
		if (argc == 1)
			return demonstrate();
		if (argc != 2 || argv[1][0] == '-') {
			std::cerr << "usage: events_epoll [NAME]\n";
			return 2;
		}

		shm_kernel::events peer(shm_kernel::region::open(
			argv[1], shm_kernel::access_mode::read_only));

		watch(peer, false);
		return 0;
	} catch (const std::exception &error) {
		std::cerr << "events_epoll: " << error.what() << '\n';
		return 1;
	}
}
