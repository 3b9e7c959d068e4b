/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The doorbell of a region in coroutines of C++20
 *
 * Coroutines that co_await the events of their peers, and a loop of epoll that
 * resumes them, all in one thread. A server adds up what its clients write into
 * their places in the region; the clients are in another process.
 *
 *	events_coroutine
 *
 * Prints what happens and exits with 0; 1 if something failed. Build:
 *	c++ -std=c++20 events_coroutine.cpp \
 *		$(pkg-config --cflags --libs shm_kernel)
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/shm_kernel.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <iostream>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using shm_kernel::event_counts;
using shm_kernel::events;

int check(int result, const char *what)
{
	if (result < 0)
		throw std::system_error(errno, std::system_category(), what);
	return result;
}

/* Resumes the coroutines that wait. */
class loop final
{
public:
	loop() : m_fd(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {}
	loop(const loop &) = delete;
	loop &operator=(const loop &) = delete;
	~loop() { ::close(m_fd); }

	/* What has happened at a peer, for co_await: at once, or later. */
	auto next(events &peer)
	{
		struct awaiter
		{
			bool await_ready()
			{
				counts = peer.try_read();
				return counts.has_value();
			}
			void await_suspend(std::coroutine_handle<> waiting)
			{
				owner.watch(peer, waiting);
			}
			event_counts await_resume()
			{
				/* The loop saw that there is something. */
				return counts ? *counts : peer.read();
			}

			loop &owner;
			events &peer;
			std::optional<event_counts> counts;
		};

		return awaiter{*this, peer, std::nullopt};
	}

	/* Until nobody waits any more. */
	void run()
	{
		while (m_waiting) {
			struct epoll_event event;

			if (::epoll_wait(m_fd, &event, 1, -1) != 1)
				continue;
			--m_waiting;
			std::coroutine_handle<>::from_address(event.data.ptr)
				.resume();
		}
	}

private:
	void watch(const events &peer, std::coroutine_handle<> waiting)
	{
		struct epoll_event event = {};
		const int fd = peer.native_handle();

		/* Once: who waits again says so again. */
		event.events = EPOLLIN | EPOLLONESHOT;
		event.data.ptr = waiting.address();
		if (::epoll_ctl(m_fd, EPOLL_CTL_MOD, fd, &event))
			check(::epoll_ctl(m_fd, EPOLL_CTL_ADD, fd, &event),
			      "epoll_ctl");
		++m_waiting;
	}

	int m_fd;
	unsigned int m_waiting = 0;
};

/* A coroutine that runs on its own, and ends the program if it fails. */
struct task
{
	struct promise_type
	{
		task get_return_object() { return {}; }
		std::suspend_never initial_suspend() noexcept { return {}; }
		std::suspend_never final_suspend() noexcept { return {}; }
		void return_void() {}
		void unhandled_exception() { std::terminate(); }
	};
};

constexpr std::size_t clients = 3;
constexpr std::uint32_t rounds = 100;

/* What is in the region: a question of each client, and the answer. */
struct place
{
	std::atomic<std::uint32_t> question, answer;
};

using places = std::array<place, clients>;

/* Answers every question, until the last client has gone. */
task serve(loop &owner, events &peer, places &shared, std::uint64_t &answered)
{
	for (;;) {
		const event_counts counts = co_await owner.next(peer);

		for (place &each : shared) {
			const std::uint32_t question = each.question;

			if (each.answer == question * 2)
				continue;
			each.answer = question * 2;
			++answered;
		}
		if (counts.rings)
			peer.ring();
		if (counts.peers_gone && !counts.peers)
			co_return;
	}
}

/* Asks one question after the other. */
task ask(loop &owner, events peer, place &mine, std::uint32_t &right)
{
	for (std::uint32_t i = 1; i <= rounds; ++i) {
		mine.question = i;
		peer.ring();
		/* Others ring, too: what counts is what is in the region. */
		while (mine.answer != i * 2)
			co_await owner.next(peer);
		++right;
	}
}

using peers = std::array<events, clients>;

int run_clients(peers mine, places &shared)
{
	loop owner;
	std::array<std::uint32_t, clients> right = {};

	for (std::size_t i = 0; i < clients; ++i)
		ask(owner, std::move(mine[i]), shared[i], right[i]);
	owner.run();
	for (const std::uint32_t each : right)
		if (each != rounds)
			return 1;
	return 0;
}

int run()
{
	const auto region = shm_kernel::region::create(
		shm_kernel::create_options{}.set_size(sizeof(places)));
	const shm_kernel::mapping mapping(region);
	places &shared = *new (mapping.data()) places();
	peers theirs;

	/* Here, so that they go with the child, whatever becomes of it. */
	for (events &each : theirs)
		each = events(region);

	events peer(region);
	const pid_t child = check(::fork(), "fork");

	if (!child) {
		peer.close();
		::_exit(run_clients(std::move(theirs), shared));
	}
	theirs = peers();

	loop owner;
	std::uint64_t answered = 0;
	int status = 1;

	serve(owner, peer, shared, answered);
	owner.run();
	::waitpid(child, &status, 0);
	std::cout << answered << " questions of " << clients
		  << " clients were answered\n";
	return answered == clients * rounds && !status ? 0 : 1;
}

} // namespace

int main()
{
	try {
		return run();
	} catch (const std::exception &error) {
		std::cerr << "events_coroutine: " << error.what() << '\n';
		return 1;
	}
}
