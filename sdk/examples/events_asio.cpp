/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The doorbell of a region in a program of Boost.Asio
 *
 * A number in a region goes to and fro between two processes: who is rung adds
 * one to it and rings back.
 *
 *	events_asio [ROUNDS]
 *
 * Prints the last number and exits with 0; 1 if something failed. Build:
 *	c++ -std=c++17 events_asio.cpp \
 *		$(pkg-config --cflags --libs shm_kernel) -pthread
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/shm_kernel.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

namespace asio = boost::asio;

namespace {

/*
 * Events as asio has them: a handler that is called with each count until it
 * says that it has had enough. Asio waits and nothing more, so the descriptor
 * stays that of the events object.
 */
class async_events final
{
public:
	using handler =
		std::function<bool(const shm_kernel::event_counts &counts)>;

	async_events(asio::io_context &context,
		     const shm_kernel::region &region)
		: m_events(region),
		  m_descriptor(context, m_events.native_handle())
	{
	}
	async_events(const async_events &) = delete;
	async_events &operator=(const async_events &) = delete;
	~async_events() { m_descriptor.release(); }

	void ring() { m_events.ring(); }

	void start(handler on_event)
	{
		m_handler = std::move(on_event);
		wait();
	}

	void cancel() { m_descriptor.cancel(); }

private:
	void wait()
	{
		m_descriptor.async_wait(
			asio::posix::stream_descriptor::wait_read,
			[this](const boost::system::error_code &error) {
				if (error)
					return;

				const auto counts = m_events.try_read();

				if (!counts || m_handler(*counts))
					wait();
			});
	}

	shm_kernel::events m_events;
	asio::posix::stream_descriptor m_descriptor;
	handler m_handler;
};

using number = std::atomic<std::uint32_t>;

static_assert(number::is_always_lock_free);

/*
 * Plays until the number is @end: whose turn it is depends on whether it is odd.
 * Returns what it is then.
 */
std::uint32_t play(const shm_kernel::region &region, std::uint32_t end,
		   std::uint32_t odd)
{
	using namespace std::chrono_literals;
	const shm_kernel::mapping mapping(region);
	auto &shared = *static_cast<number *>(mapping.data());
	asio::io_context context;
	async_events peer(context, region);
	asio::steady_timer patience(context, 30s);
	const auto go_on = [&] {
		if (shared < end && shared % 2 == odd) {
			++shared;
			peer.ring();
		}
		return shared < end;
	};

	patience.async_wait([&](const boost::system::error_code &error) {
		if (!error)
			peer.cancel();
	});
	peer.start([&](const shm_kernel::event_counts &counts) {
		if (go_on() && !counts.peers_gone)
			return true;
		patience.cancel();
		return false;
	});
	/*
	 * A ring says no more than that there is something to look at. So the
	 * first look is after the coming as a peer: from then on none is missed.
	 */
	if (!go_on())
		return shared;
	context.run();
	return shared;
}

int run(std::uint32_t rounds)
{
	const auto region = shm_kernel::region::create(
		shm_kernel::create_options{}.set_size(sizeof(number)));
	const pid_t child = ::fork();

	if (child < 0)
		throw std::system_error(errno, std::system_category(), "fork");
	if (!child) {
		std::uint32_t last = 0;

		try {
			last = play(region, rounds, 1);
		} catch (const std::exception &error) {
			std::cerr << "events_asio: " << error.what() << '\n';
		}
		::_exit(last == rounds ? 0 : 1);
	}

	const std::uint32_t last = play(region, rounds, 0);
	int status = 1;

	::waitpid(child, &status, 0);
	std::cout << "the number has come to " << last << " of " << rounds
		  << '\n';
	return last == rounds && !status ? 0 : 1;
}

} // namespace

int main(int argc, char **argv)
{
	try {
		const unsigned long rounds =
			argc == 2 ? std::strtoul(argv[1], nullptr, 10) : 1000;

		if (argc > 2 || !rounds || rounds > UINT32_MAX) {
			std::cerr << "usage: events_asio [ROUNDS]\n";
			return 2;
		}
		return run(static_cast<std::uint32_t>(rounds));
	} catch (const std::exception &error) {
		std::cerr << "events_asio: " << error.what() << '\n';
		return 1;
	}
}
