/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the tests of the memory algorithm share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_TESTS_SEGREGATED_FIT_SUPPORT_HPP
#define SHM_KERNEL_TESTS_SEGREGATED_FIT_SUPPORT_HPP

#include "support.hpp"

#include <shm_kernel/interprocess/segregated_fit.hpp>

#include <boost/interprocess/containers/allocation_type.hpp>
#include <boost/interprocess/offset_ptr.hpp>
#include <boost/interprocess/sync/interprocess_recursive_mutex.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include <sys/mman.h>

namespace test {

/* Random numbers that are the same each time. */
class dice
{
public:
	explicit dice(unsigned seed) : m_engine(seed) {}

	unsigned operator()() { return static_cast<unsigned>(m_engine()); }

private:
	std::mt19937 m_engine;
};

/* Locks nothing, and has as many dead owners as somebody says. */
struct counted_mutex
{
	void lock() {}
	bool try_lock() { return true; }
	void unlock() {}
	std::uint32_t recoveries() const { return deaths; }

	std::uint32_t deaths = 0;
};

struct counted_family
{
	using mutex_type = counted_mutex;
	using recursive_mutex_type =
		boost::interprocess::interprocess_recursive_mutex;
};

using counted_fit = shm_kernel::segregated_fit<counted_family>;
using narrow_fit = shm_kernel::segregated_fit<
	counted_family,
	boost::interprocess::offset_ptr<void, std::int32_t, std::uint64_t, 8>>;

/* Pages that children share, from the start of one to its end. */
class shared_memory
{
public:
	explicit shared_memory(std::size_t size)
		: m_size((size + 4095) & ~std::size_t{4095})
	{
		m_data = ::mmap(nullptr, m_size, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (m_data == MAP_FAILED)
			throw std::bad_alloc();
	}
	shared_memory(const shared_memory &) = delete;
	shared_memory &operator=(const shared_memory &) = delete;
	~shared_memory() { ::munmap(m_data, m_size); }

	void *data() const { return m_data; }
	std::size_t size() const { return m_size; }

private:
	std::size_t m_size;
	void *m_data;
};

/* An algorithm at the beginning of memory of its own. */
template <typename Fit>
class heap
{
public:
	/* With @a used of the @a bytes to begin with; more comes by grow(). */
	explicit heap(std::size_t bytes, std::size_t used = 0)
		: m_memory(bytes), m_bytes(bytes)
	{
		/* Nothing may rest upon fresh memory being zero. */
		std::memset(m_memory.data(), 0xdb, m_memory.size());
		new (m_memory.data()) Fit(static_cast<typename Fit::size_type>(
						  used ? used : bytes),
					  0);
	}

	Fit &fit() const { return *static_cast<Fit *>(m_memory.data()); }
	std::size_t bytes() const { return m_bytes; }

	/* What the mutex of counted_family says: it is all of it. */
	std::uint32_t &deaths() const
	{
		return *static_cast<std::uint32_t *>(m_memory.data());
	}

	void take(const std::vector<char> &state)
	{
		std::memcpy(m_memory.data(), state.data(), state.size());
	}

	void take(const heap &other)
	{
		std::memcpy(m_memory.data(), other.m_memory.data(), m_bytes);
	}

	/*
	 * Overwrites all but the mutex, the bytes left alone, the size and the
	 * headers of the blocks, that is the second half of the algorithm.
	 */
	void spoil_derived()
	{
		std::memset(static_cast<char *>(m_memory.data()) +
				    sizeof(Fit) / 2,
			    0xc7, sizeof(Fit) - sizeof(Fit) / 2);
	}

	/* Whether that would be given; looked up in a copy. */
	bool could(std::size_t bytes) const
	{
		heap copy(m_bytes);

		copy.take(*this);
		return copy.fit().allocate(bytes);
	}

	bool shrinks() const
	{
		heap copy(m_bytes);

		copy.take(*this);
		copy.fit().shrink_to_fit();
		return copy.fit().get_size() != fit().get_size();
	}

	bool expands(char *ptr) const
	{
		heap copy(m_bytes);
		char *reuse = reinterpret_cast<char *>(&copy.fit()) +
			      (ptr - reinterpret_cast<char *>(&fit()));
		auto received = fit().size(ptr) + 100;

		copy.take(*this);
		return copy.fit().template allocation_command<char>(
			boost::interprocess::expand_fwd |
				boost::interprocess::nothrow_allocation,
			fit().size(ptr) + 1, received, reuse);
	}

private:
	shared_memory m_memory;
	std::size_t m_bytes;
};

/*
 * Does any operation at random, and knows what should be where: each block is
 * full of a byte of its own.
 */
template <typename Fit>
class fit_model
{
public:
	using size_type = typename Fit::size_type;

	fit_model(heap<Fit> &memory, unsigned seed)
		: m_heap(memory), m_random(seed),
		  m_free(memory.fit().get_free_memory())
	{
	}

	void step()
	{
		auto &fit = m_heap.fit();

		switch (m_random() % 16) {
		case 0:
			expand();
			break;
		case 1:
			shrink();
			break;
		case 2:
			add(fit.allocate_aligned(
				    size(), size_type{1} << m_random() % 11),
			    0);
			break;
		case 3:
			if (m_random() % 8 == 0)
				resize();
			break;
		case 4:
			if (m_random() % 16 == 0)
				fit.zero_free_memory();
			break;
		case 5:
			many();
			break;
		case 6:
		case 7:
		case 8:
		case 9:
		case 10: {
			const auto bytes = size();

			add(fit.allocate(bytes), bytes);
			break;
		}
		default:
			free(m_random() % 3 ? 1 : m_random() % 6);
		}
		balance();
	}

	/* Each block is where and what it was, and all that is used is known. */
	void check() const
	{
		check_in(m_heap);
		balance();
	}

	/* The same in another heap, a copy of this one. */
	void check_in(const heap<Fit> &other) const
	{
		auto *const base = reinterpret_cast<char *>(&other.fit());
		size_type last = 0;

		for (const auto &one : sorted()) {
			const auto *const ptr = base + one.at;

			ASSERT_GE(one.at, last);
			last = one.at + one.size;
			ASSERT_EQ(other.fit().size(ptr), one.size);
			ASSERT_EQ(std::count(ptr, ptr + one.size, one.fill),
				  static_cast<long>(one.size));
		}
	}

	/* Some block, or nullptr. */
	char *any()
	{
		return m_blocks.empty() ? nullptr
					: pointer(m_blocks[m_random() %
							   m_blocks.size()]);
	}

	/* The first one for which @a suits, or nullptr. */
	template <typename Suits>
	char *first(Suits suits) const
	{
		for (const auto &one : m_blocks) {
			if (suits(pointer(one)))
				return pointer(one);
		}
		return nullptr;
	}

	/* Something happens to that one: nothing is known of it any more. */
	void forget(void *ptr)
	{
		m_forgotten = 0;
		for (auto &one : m_blocks) {
			if (pointer(one) != ptr)
				continue;
			m_forgotten = one.size;
			one = m_blocks.back();
			m_blocks.pop_back();
			break;
		}
		m_lossy = true;
	}
	size_type forgotten() const { return m_forgotten; }

	/* Bytes that are neither free nor in a block that is known. */
	size_type lost() const
	{
		return m_free - m_heap.fit().get_free_memory() - known();
	}

	size_type known() const
	{
		size_type sum = 0;

		for (const auto &one : m_blocks)
			sum += one.size + Fit::PayloadPerAllocation;
		return sum;
	}

	void free_all()
	{
		while (!m_blocks.empty())
			free(1);
	}

private:
	struct block
	{
		size_type at;
		size_type size;
		char fill;
	};

	char *pointer(const block &one) const
	{
		return reinterpret_cast<char *>(&m_heap.fit()) + one.at;
	}

	std::vector<block> sorted() const
	{
		auto result = m_blocks;

		std::sort(result.begin(), result.end(),
			  [](const block &a, const block &b) {
				  return a.at < b.at;
			  });
		return result;
	}

	size_type size()
	{
		switch (m_random() % 8) {
		case 0:
			return static_cast<size_type>(m_random() % 4000);
		case 1:
		case 2:
			return static_cast<size_type>(m_random() % 800);
		default:
			return static_cast<size_type>(m_random() % 260);
		}
	}

	void add(void *ptr, size_type bytes)
	{
		if (!ptr)
			return;

		block one = {static_cast<size_type>(
				     static_cast<char *>(ptr) -
				     reinterpret_cast<char *>(&m_heap.fit())),
			     m_heap.fit().size(ptr),
			     static_cast<char>(m_random())};

		ASSERT_GE(one.size, bytes);
		ASSERT_LE(one.at + one.size, m_heap.fit().get_size());
		std::memset(ptr, one.fill, one.size);
		m_blocks.push_back(one);
	}

	void free(unsigned count)
	{
		for (; count && !m_blocks.empty(); --count) {
			auto &one = m_blocks[m_random() % m_blocks.size()];

			verify(one, one.size);
			m_heap.fit().deallocate(pointer(one));
			one = m_blocks.back();
			m_blocks.pop_back();
		}
	}

	void verify(const block &one, size_type bytes) const
	{
		ASSERT_EQ(std::count(pointer(one), pointer(one) + bytes,
				     one.fill),
			  static_cast<long>(bytes));
	}

	void expand()
	{
		if (m_blocks.empty())
			return;

		auto &one = m_blocks[m_random() % m_blocks.size()];
		char *reuse = pointer(one);
		size_type received = one.size + 1 + size();
		const auto least =
			one.size + static_cast<size_type>(m_random()) %
					   (received - one.size);
		char *const result =
			m_heap.fit().template allocation_command<char>(
				boost::interprocess::expand_fwd |
					boost::interprocess::expand_bwd |
					boost::interprocess::nothrow_allocation,
				least, received, reuse);

		verify(one, one.size);
		if (result) {
			ASSERT_EQ(result, pointer(one));
			ASSERT_GE(received, least);
		}
		ASSERT_TRUE(!result ||
			    received == m_heap.fit().size(pointer(one)));
		one.size = m_heap.fit().size(pointer(one));
		std::memset(pointer(one), one.fill, one.size);
	}

	void shrink()
	{
		if (m_blocks.empty())
			return;

		auto &one = m_blocks[m_random() % m_blocks.size()];
		char *reuse = pointer(one);
		size_type received =
			static_cast<size_type>(m_random()) % (one.size + 1);
		const auto wanted = received;
		const bool done =
			m_heap.fit().template allocation_command<char>(
				boost::interprocess::shrink_in_place |
					boost::interprocess::nothrow_allocation,
				one.size, received, reuse);

		if (done) {
			ASSERT_GE(received, wanted);
			ASSERT_LE(received, one.size);
			ASSERT_EQ(received, m_heap.fit().size(pointer(one)));
		}
		one.size = m_heap.fit().size(pointer(one));
		verify(one, one.size);
	}

	void resize()
	{
		auto &fit = m_heap.fit();
		const auto free = fit.get_free_memory();
		const auto room =
			static_cast<size_type>(m_heap.bytes()) - fit.get_size();

		if (m_random() % 2)
			fit.shrink_to_fit();
		else
			fit.grow(static_cast<size_type>(m_random() %
							(room + 1)));
		m_free += fit.get_free_memory() - free;
	}

	void many()
	{
		typename Fit::multiallocation_chain made;
		std::vector<size_type> sizes(1 + m_random() % 12);
		const auto count = static_cast<size_type>(sizes.size());
		auto &fit = m_heap.fit();

		for (auto &one : sizes)
			one = size() / 2;
		if (m_random() % 2) {
			fit.allocate_many(sizes.data(), count, 2, made);
		} else {
			std::fill(sizes.begin(), sizes.end(), sizes[0]);
			fit.allocate_many(2 * sizes[0], count,
					  size_type{1} << m_random() % 8, made);
		}
		if (made.empty())
			return;
		ASSERT_EQ(made.size(), sizes.size());
		if (m_random() % 4 == 0)
			return fit.deallocate_many(made);
		for (const auto one : sizes)
			add(made.pop_front(), 2 * one);
	}

	void balance() const
	{
		if (m_lossy)
			return;
		ASSERT_EQ(m_free - m_heap.fit().get_free_memory(), known());
	}

	heap<Fit> &m_heap;
	dice m_random;
	std::vector<block> m_blocks;
	size_type m_free;
	size_type m_forgotten = 0;
	bool m_lossy = false;
};

} // namespace test

#endif /* SHM_KERNEL_TESTS_SEGREGATED_FIT_SUPPORT_HPP */
