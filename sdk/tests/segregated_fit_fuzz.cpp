/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The memory algorithm over memory that something scribbles in
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * Anything in the segment is overwritten, its own words as well as those of the
 * blocks. check_sanity() has to come to an end whatever it finds, and all that
 * is done after it, or after a single bad word, to stay inside of the memory,
 * which lies between guards. Meant to be built with the sanitizers.
 *
 * usage: segregated_fit_fuzz [SECONDS [SEED]]
 */

#include "segregated_fit_support.hpp"

namespace bip = boost::interprocess;

using test::counted_fit;
using test::dice;

namespace {

unsigned seed = 1;

[[noreturn]] void fail(const char *what)
{
	std::fprintf(stderr, "segregated_fit_fuzz: %s (seed %u)\n", what, seed);
	std::abort();
}

/* Ends where a page begins that nobody may touch. */
class guarded
{
public:
	static constexpr std::size_t most = 32 << 10;

	guarded()
	{
		m_start = static_cast<char *>(
			::mmap(nullptr, most + 2 * page, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		if (m_start == MAP_FAILED ||
		    ::mprotect(m_start + page, most, PROT_READ | PROT_WRITE))
			fail("no memory");
	}
	guarded(const guarded &) = delete;
	guarded &operator=(const guarded &) = delete;
	~guarded() { ::munmap(m_start, most + 2 * page); }

	char *end() const { return m_start + page + most; }

private:
	static constexpr std::size_t page = 4096;

	char *m_start;
};

class round_of_scribbling
{
public:
	round_of_scribbling(const guarded &memory, unsigned number)
		: m_random(number)
	{
		m_size = 1024 + m_random() % (guarded::most - 1023);
		m_size &= ~std::size_t{15};
		m_base = memory.end() - m_size;
		std::memset(m_base, static_cast<int>(m_random() % 256), m_size);
		/* Some is for grow(). */
		m_fit = new (m_base)
			counted_fit(m_size - m_random() % (m_size / 4), 0);
	}

	void run()
	{
		work(m_random() % 200);
		if (m_random() % 2) {
			/* Much, which is looked at first. */
			for (auto i = 1 + m_random() % 40; i; --i)
				scribble();
			sane();
		} else {
			/* One word, of which nobody knows. */
			scribble();
		}
		work(m_random() % 60);
		sane();
		work(m_random() % 60);
	}

private:
	/* Wherever it is, it is not said to be whole for two looks. */
	void sane()
	{
		m_fit->check_sanity();
		if (m_fit->check_sanity() != m_fit->check_sanity())
			fail("two opinions");
		if (m_fit->get_free_memory() > m_size)
			fail("more is free than there is");
	}

	void *word_at(std::size_t at) { return m_base + at; }

	void scribble()
	{
		std::size_t at = m_random() % (m_size / 8) * 8;
		std::uint64_t value;

		/* Often in the algorithm itself, or where a header may be. */
		if (m_random() % 3 == 0)
			at = m_random() % (sizeof(counted_fit) / 8) * 8;
		else if (m_random() % 2)
			at |= 8;
		if (at + 8 > m_size)
			at = m_size - 8;
		std::memcpy(&value, word_at(at), 8);
		switch (m_random() % 7) {
		case 0:
			value ^= std::uint64_t{1} << m_random() % 64;
			break;
		case 1:
			value = m_random();
			break;
		case 2:
			value = std::uint64_t{m_random()} << 32 | m_random();
			break;
		case 3:
			/* Something that is right elsewhere. */
			std::memcpy(&value,
				    word_at(m_random() % (m_size / 8) * 8), 8);
			break;
		case 4:
			/* A size, or a link. */
			value = (m_random() % m_size & ~std::uint64_t{15}) |
				(m_random() % 16);
			break;
		case 5:
			value ^= std::uint64_t{m_random() % 256}
				 << 8 * (m_random() % 8);
			break;
		default:
			value = m_random() % 2 ? 0 : ~std::uint64_t{0};
		}
		std::memcpy(word_at(at), &value, 8);
	}

	void add(void *ptr)
	{
		if (!ptr)
			return;

		auto *const begin = static_cast<char *>(ptr);
		const auto size = m_fit->size(ptr);

		if (begin < m_base + sizeof(counted_fit) ||
		    begin > m_base + m_size ||
		    size > static_cast<std::size_t>(m_base + m_size - begin))
			fail("a block is outside");
		std::memset(begin, static_cast<int>(m_random() % 256), size);
		m_blocks.push_back(begin);
	}

	void work(unsigned count)
	{
		while (count--)
			step();
	}

	void step()
	{
		counted_fit::multiallocation_chain made;
		char *reuse = m_blocks.empty()
				      ? nullptr
				      : m_blocks[m_random() % m_blocks.size()];
		std::size_t received = m_random() % 900;
		const auto limit = m_random() % 900;
		const bip::allocation_type commands[] = {
			bip::expand_fwd, bip::shrink_in_place,
			bip::allocate_new | bip::expand_fwd | bip::expand_bwd};

		switch (m_random() % 16) {
		case 0:
			/* Not with a size that is not known any more. */
			if (m_fit->get_size() <= m_size)
				m_fit->grow(m_random() %
					    (m_size - m_fit->get_size() + 1));
			break;
		case 1:
			m_fit->shrink_to_fit();
			break;
		case 2:
			m_fit->zero_free_memory();
			m_fit->all_memory_deallocated();
			break;
		case 3:
			add(m_fit->allocate_aligned(received,
						    1U << m_random() % 13));
			break;
		case 4:
			m_fit->allocate_many(received / 4, 1 + m_random() % 9,
					     made);
			while (!made.empty())
				add(made.pop_front());
			break;
		case 5:
		case 6: {
			char *const old = reuse;
			char *const ptr = m_fit->allocation_command<char>(
				commands[m_random() % 3], limit, received,
				reuse);

			if (ptr && ptr != old)
				add(ptr);
			break;
		}
		case 7:
			++*reinterpret_cast<std::uint32_t *>(m_base);
			break;
		case 8:
		case 9:
		case 10:
		case 11:
			add(m_fit->allocate(received));
			break;
		default:
			/* Now and then what is no block, or not any more. */
			if (m_random() % 10 == 0) {
				m_fit->deallocate(m_base + m_random() % m_size);
			} else if (reuse) {
				m_fit->deallocate(reuse);
				if (m_random() % 8)
					std::swap(*std::find(m_blocks.begin(),
							     m_blocks.end(),
							     reuse),
						  m_blocks.back());
				if (m_blocks.back() == reuse)
					m_blocks.pop_back();
			}
		}
	}

	dice m_random;
	std::size_t m_size;
	char *m_base;
	counted_fit *m_fit;
	std::vector<char *> m_blocks;
};

} // namespace

int main(int argc, char **argv)
{
	using clock = std::chrono::steady_clock;
	const int seconds = argc > 1 ? std::atoi(argv[1]) : 5;
	const auto until = clock::now() + std::chrono::seconds(seconds);
	const guarded memory;
	unsigned rounds = 0;

	if (argc > 2)
		seed = static_cast<unsigned>(std::atoi(argv[2]));
	do {
		::alarm(60);
		round_of_scribbling(memory, seed).run();
		++seed;
		++rounds;
	} while (clock::now() < until);
	std::printf("%u rounds\n", rounds);
	return 0;
}
