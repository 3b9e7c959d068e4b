/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A message queue without the driver, for what has to run natively
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_TESTS_QUEUE_MEMFD_HPP
#define SHM_KERNEL_TESTS_QUEUE_MEMFD_HPP

#include <shm_kernel/interprocess/detail/queue_object.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

namespace test {

inline int check(int result, const char *what)
{
	if (result < 0)
		throw std::system_error(errno, std::system_category(), what);
	return result;
}

/*
 * Memory and doorbells of a queue; made before fork(), and for as long as the
 * queue. Each peer has an eventfd, and a ring writes to all: no kernel tells of
 * a death here, so who has killed one rings.
 */
class queue_memory final
{
public:
	static constexpr std::size_t most = 8;

	queue_memory(std::uint64_t num, std::uint64_t size)
		: m_shape(num, size),
		  m_fd(check(::memfd_create("queue", MFD_CLOEXEC), "memfd"))
	{
		const std::size_t shared = sizeof(std::atomic<unsigned int>);

		check(::ftruncate(m_fd, static_cast<off_t>(m_shape.size)),
		      "ftruncate");
		m_data = map(m_fd, m_shape.size);
		m_peers = new (map(-1, shared)) std::atomic<unsigned int>(0);
		for (int &bell : m_bell)
			bell = check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				     "eventfd");
		shm_kernel::detail::queue_core(m_data, m_shape).construct();
	}
	queue_memory(const queue_memory &) = delete;
	queue_memory &operator=(const queue_memory &) = delete;
	~queue_memory()
	{
		for (const int bell : m_bell)
			::close(bell);
		::munmap(m_peers, sizeof(*m_peers));
		::munmap(m_data, m_shape.size);
		::close(m_fd);
	}

	const shm_kernel::detail::queue_shape &shape() const { return m_shape; }
	void *data() const { return m_data; }
	int fd() const { return m_fd; }

	/* Those who come late share the last. */
	int next_bell()
	{
		return m_bell[std::min<std::size_t>(m_peers->fetch_add(1),
						    most - 1)];
	}

	void ring() noexcept
	{
		const std::uint64_t one = 1;
		const std::size_t count =
			std::min<std::size_t>(m_peers->load(), most);

		for (std::size_t i = 0; i < count; ++i)
			if (::write(m_bell[i], &one, sizeof(one)) < 0)
				continue;
	}

private:
	static void *map(int fd, std::size_t size)
	{
		void *const result = ::mmap(
			nullptr, size, PROT_READ | PROT_WRITE,
			MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

		if (result == MAP_FAILED)
			throw std::system_error(errno, std::system_category(),
						"mmap");
		return result;
	}

	shm_kernel::detail::queue_shape m_shape;
	int m_fd;
	void *m_data = nullptr;
	std::atomic<unsigned int> *m_peers = nullptr;
	std::array<int, most> m_bell{};
};

class queue_files final
{
public:
	explicit queue_files(queue_memory &memory) : m_memory(&memory) {}

	void *data() const noexcept { return m_memory->data(); }
	int lock_fd() const noexcept { return m_locks; }
	int wait_fd() const noexcept { return m_bell; }

	void open()
	{
		const std::string self =
			"/proc/self/fd/" + std::to_string(m_memory->fd());

		m_locks =
			check(::open(self.c_str(), O_RDWR | O_CLOEXEC), "open");
		m_bell = m_memory->next_bell();
	}

	void close() noexcept
	{
		if (m_locks >= 0)
			::close(std::exchange(m_locks, -1));
	}

	void open_poll() { m_poll_bell = m_memory->next_bell(); }
	int poll_fd() const noexcept { return m_poll_bell; }

	shm_kernel::detail::queue_news read() noexcept { return read(m_bell); }
	shm_kernel::detail::queue_news read_poll() noexcept
	{
		return read(m_poll_bell);
	}

	void ring() noexcept { m_memory->ring(); }

private:
	/* Whoever rings may have done it for one that was killed. */
	static shm_kernel::detail::queue_news read(int bell) noexcept
	{
		std::uint64_t count;

		return ::read(bell, &count, sizeof(count)) < 0
			       ? shm_kernel::detail::queue_news::nothing
			       : shm_kernel::detail::queue_news::gone;
	}

	queue_memory *m_memory;
	int m_locks = -1;
	int m_bell = -1;
	int m_poll_bell = -1;
};

using memory_queue = shm_kernel::detail::queue_object<queue_files>;

} // namespace test

#endif /* SHM_KERNEL_TESTS_QUEUE_MEMFD_HPP */
