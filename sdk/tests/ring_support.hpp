/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the tests of rings share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_TESTS_RING_SUPPORT_HPP
#define SHM_KERNEL_TESTS_RING_SUPPORT_HPP

#include "support.hpp"

#include <cstring>
#include <new>

#include <sys/mman.h>

namespace test {

/*
 * Memory for a ring that children share, with a page on either side that
 * nobody may touch.
 */
class guarded_memory
{
public:
	explicit guarded_memory(std::size_t size)
		: m_size(size), m_pages((size + 4095) & ~std::size_t{4095})
	{
		m_start = static_cast<char *>(
			::mmap(nullptr, m_pages + 8192, PROT_NONE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0));
		if (m_start == MAP_FAILED ||
		    ::mprotect(m_start + 4096, m_pages, PROT_READ | PROT_WRITE))
			throw std::bad_alloc();
	}
	guarded_memory(const guarded_memory &) = delete;
	guarded_memory &operator=(const guarded_memory &) = delete;
	~guarded_memory() { ::munmap(m_start, m_pages + 8192); }

	/* Ends where the guard begins, as far as the alignment lets it. */
	void *data() const
	{
		return m_start + 4096 + ((m_pages - m_size) & ~std::size_t{63});
	}
	std::size_t size() const { return m_size; }

private:
	std::size_t m_size;
	std::size_t m_pages;
	char *m_start;
};

/* A ring in such memory, whose positions may begin anywhere. */
class ring_memory : public guarded_memory
{
public:
	explicit ring_memory(const shm_kernel::ring_options &options,
			     std::uint32_t start = 0)
		: guarded_memory(options.size()), m_cells(options.cells())
	{
		shm_kernel::create_ring(data(), size(), options);
		for (std::uint32_t i = 0; i < options.lanes(); ++i) {
			lane(i)->head = start;
			lane(i)->tail = start;
			lane(i)->oldest = start;
			/* Zero is no sequence but that of the last position. */
			for (std::uint32_t j = 0; j < m_cells; ++j)
				record(i, start + j)->sequence = start + j;
		}
	}

	shm_kernel::detail::ring_lane *lane(std::uint32_t number = 0) const
	{
		return reinterpret_cast<shm_kernel::detail::ring_lane *>(
			static_cast<char *>(data()) + 128 +
			number * (256 + std::size_t{m_cells} * 64));
	}

	shm_kernel::detail::ring_record *record(std::uint32_t number,
						std::uint32_t position) const
	{
		return reinterpret_cast<shm_kernel::detail::ring_record *>(
			reinterpret_cast<char *>(lane(number) + 1) +
			std::size_t{position % m_cells} * 64);
	}

	shm_kernel::ring_writer writer(std::uint32_t number = 0,
				       bool fences = false) const
	{
		return shm_kernel::ring_writer(
			data(), size(),
			shm_kernel::ring_access().set_lane(number).set_fences(
				fences));
	}

	shm_kernel::ring_reader
	reader(std::optional<std::uint32_t> number = std::nullopt) const
	{
		return shm_kernel::ring_reader(
			data(), size(),
			shm_kernel::ring_access().set_lane(number));
	}

private:
	std::uint32_t m_cells;
};

} // namespace test

#endif /* SHM_KERNEL_TESTS_RING_SUPPORT_HPP */
