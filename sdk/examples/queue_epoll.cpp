/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A message queue in a loop of epoll
 *
 * A server waits in one thread for messages, for a timer, and for whatever else
 * has a descriptor. Its clients send jobs with and without haste; one of them
 * is killed while it sends, which stops nobody.
 *
 *	queue_epoll
 *
 * Prints what happens and exits with 0; 1 if something failed. Build:
 *	c++ -std=c++17 queue_epoll.cpp \
 *		$(pkg-config --cflags --libs shm_kernel-interprocess)
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/kernel_message_queue.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <iostream>
#include <string>
#include <system_error>
#include <thread>

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bip = boost::interprocess;

using shm_kernel::kernel_message_queue;

namespace {

struct job
{
	std::uint32_t client;
	std::uint32_t number;
};

constexpr std::uint32_t jobs = 100;
constexpr unsigned int usual = 0;
constexpr unsigned int urgent = 1;

int check(int result, const char *what)
{
	if (result < 0)
		throw std::system_error(errno, std::system_category(), what);
	return result;
}

void add(int loop, int fd)
{
	struct epoll_event event = {};

	event.events = EPOLLIN;
	event.data.fd = fd;
	check(::epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

int open_timer(std::chrono::seconds seconds)
{
	struct itimerspec time = {};
	const int timer = check(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
				"timerfd_create");

	time.it_value.tv_sec = static_cast<std::time_t>(seconds.count());
	check(::timerfd_settime(timer, 0, &time, nullptr), "timerfd_settime");
	return timer;
}

/* Sends its jobs; each tenth is urgent. */
int be_client(const char *name, std::uint32_t client)
{
	kernel_message_queue out(bip::open_only, name);

	/* That another client died is no reason not to wait for room. */
	out.report_deaths(false);
	for (std::uint32_t i = 0; i < jobs; ++i) {
		const job next = {client, i};

		out.send(&next, sizeof(next), i % 10 ? usual : urgent);
	}
	return 0;
}

/* Takes jobs until both clients are done, and a third one is dead. */
int serve(kernel_message_queue &queue)
{
	const int loop = check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	const int timer = open_timer(std::chrono::seconds(30));
	std::array<std::uint32_t, 2> done = {};

	add(loop, queue.native_handle());
	add(loop, timer);
	while (done[0] + done[1] < 2 * jobs || !queue.deaths()) {
		std::array<struct epoll_event, 4> ready;
		const int count = ::epoll_wait(
			loop, ready.data(), static_cast<int>(ready.size()), -1);

		if (count < 0 && errno != EINTR)
			check(count, "epoll_wait");
		for (int i = 0; i < count; ++i) {
			job next;
			kernel_message_queue::size_type size;
			unsigned int priority;

			if (ready[static_cast<std::size_t>(i)].data.fd == timer)
				throw std::runtime_error("too slow");
			/* All that there is: false makes it unreadable. */
			while (queue.try_receive(&next, sizeof(next), size,
						 priority))
				++done[next.client];
		}
	}
	::close(timer);
	::close(loop);
	std::cout << done[0] << " and " << done[1] << " jobs, "
		  << queue.deaths() << " client killed" << std::endl;
	return 0;
}

int run()
{
	const std::string name = "queue_epoll-" + std::to_string(::getpid());
	kernel_message_queue queue(bip::create_only, name.c_str(), 16,
				   sizeof(job));
	std::array<pid_t, 3> clients;
	int result = 0;

	for (std::uint32_t i = 0; i < clients.size(); ++i) {
		clients[i] = check(::fork(), "fork");
		if (clients[i])
			continue;
		try {
			if (i < 2)
				::_exit(be_client(name.c_str(), i));
			kernel_message_queue out(bip::open_only, name.c_str());

			::kill(::getpid(), SIGKILL);
		} catch (const std::exception &error) {
			std::cerr << "client: " << error.what() << std::endl;
		}
		::_exit(1);
	}
	result = serve(queue);
	for (const pid_t client : clients) {
		int status = 0;

		::waitpid(client, &status, 0);
		if (client != clients[2] && status)
			result = 1;
	}
	return result;
}

} // namespace

int main()
{
	try {
		return run();
	} catch (const std::exception &error) {
		std::cerr << "queue_epoll: " << error.what() << std::endl;
		return 1;
	}
}
