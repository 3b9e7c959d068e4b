/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A message queue in a program of Boost.Asio
 *
 * Each message that comes is answered in a second queue by its square.
 *
 *	queue_asio [QUESTIONS]
 *
 * Prints the sum of the answers and exits with 0; 1 if something failed. Build:
 *	c++ -std=c++17 queue_asio.cpp \
 *		$(pkg-config --cflags --libs shm_kernel-interprocess) -pthread
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/kernel_message_queue.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <system_error>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

namespace asio = boost::asio;

using shm_kernel::kernel_message_queue;

namespace {

using number = std::uint64_t;

/*
 * Calls a handler with each number of a queue until it says that it has had
 * enough. Asio waits and nothing more: the descriptor stays the queue's.
 */
class async_queue final
{
public:
	using handler = std::function<bool(number)>;

	async_queue(asio::io_context &context, kernel_message_queue &queue)
		: m_queue(queue), m_descriptor(context, queue.native_handle())
	{
	}
	async_queue(const async_queue &) = delete;
	async_queue &operator=(const async_queue &) = delete;
	~async_queue() { m_descriptor.release(); }

	void start(handler on_number)
	{
		m_handler = std::move(on_number);
		wait();
	}

private:
	void wait()
	{
		m_descriptor.async_wait(
			asio::posix::stream_descriptor::wait_read,
			[this](const boost::system::error_code &error) {
				if (!error && take_all())
					wait();
			});
	}

	/* By edge, as asio waits: until there is no more. */
	bool take_all()
	{
		number value;
		kernel_message_queue::size_type size;
		unsigned int priority;

		while (m_queue.try_receive(&value, sizeof(value), size,
					   priority))
			if (!m_handler(value))
				return false;
		return true;
	}

	kernel_message_queue &m_queue;
	asio::posix::stream_descriptor m_descriptor;
	handler m_handler;
};

/* Answers until it is asked for the square of 0. */
void answer(kernel_message_queue &questions, kernel_message_queue &answers)
{
	asio::io_context context;
	async_queue in(context, questions);

	in.start([&](number value) {
		value *= value;
		answers.send(&value, sizeof(value), 0);
		return value != 0;
	});
	context.run();
}

int run(number count)
{
	/* For this process and its child: they need no names. */
	kernel_message_queue questions(64, sizeof(number));
	kernel_message_queue answers(64, sizeof(number));
	const pid_t child = ::fork();

	if (child < 0)
		throw std::system_error(errno, std::generic_category(), "fork");
	if (!child) {
		try {
			answer(questions, answers);
			::_exit(0);
		} catch (const std::exception &error) {
			std::cerr << "queue_asio: " << error.what() << '\n';
		}
		::_exit(1);
	}

	number sum = 0;
	number sent = 0;
	int status = 1;

	for (number received = 0; received <= count;) {
		number value = sent < count ? sent + 1 : 0;
		kernel_message_queue::size_type size;
		unsigned int priority;

		if (sent <= count &&
		    questions.try_send(&value, sizeof(value), 0)) {
			++sent;
			continue;
		}
		answers.receive(&value, sizeof(value), size, priority);
		sum += value;
		++received;
	}
	::waitpid(child, &status, 0);
	std::cout << "the squares up to " << count << " make " << sum << '\n';
	return !status && sum == count * (count + 1) * (2 * count + 1) / 6 ? 0
									   : 1;
}

} // namespace

int main(int argc, char **argv)
{
	try {
		const unsigned long count =
			argc == 2 ? std::strtoul(argv[1], nullptr, 10) : 1000;

		if (argc > 2 || !count || count > 1000000) {
			std::cerr << "usage: queue_asio [QUESTIONS]\n";
			return 2;
		}
		return run(count);
	} catch (const std::exception &error) {
		std::cerr << "queue_asio: " << error.what() << '\n';
		return 1;
	}
}
