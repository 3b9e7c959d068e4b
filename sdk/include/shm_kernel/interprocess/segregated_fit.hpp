/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A memory algorithm that a killed process cannot spoil
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_SEGREGATED_FIT_HPP
#define SHM_KERNEL_INTERPROCESS_SEGREGATED_FIT_HPP

#include <boost/interprocess/containers/allocation_type.hpp>
#include <boost/interprocess/interprocess_fwd.hpp>
#include <boost/interprocess/mem_algo/detail/mem_algo_common.hpp>
#include <boost/interprocess/offset_ptr.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace shm_kernel {

/**
 * Memory algorithm of a managed segment, as bip::rbtree_best_fit: the second
 * template argument of basic_managed_kernel_memory and of Boost's own managed
 * classes. Programs use it through the segment.
 *
 * The memory is a chain of blocks. Each begins with a word that holds its size
 * and whether it is used; the next block follows where it ends. These words and
 * the size of the segment are the truth, and each operation changes the truth
 * with one store. All else, the lists and tries of free blocks, the sizes at
 * their ends, the sums, is derived from it and can be made anew by a walk along
 * the chain. So a process may be killed at any instruction: whoever takes the
 * lock next and sees that an owner of it has died, as the mutex counts in
 * recoveries(), makes it anew before anything else. The block that the dead one
 * was about to be given or to free may stay used for good; all others are as
 * they were. With mutexes that have no recoveries() only check_sanity() does so.
 *
 * Free blocks of the 16 smallest sizes are kept in quick lists as they are, up
 * to 8 of each; all others are merged with their neighbours at once (boundary
 * tags, D. Knuth, The Art of Computer Programming vol. 1, 2.5) and are kept by
 * size: in a list for each of the smallest sizes, in bitwise tries, one for each
 * two powers of two, above (D. Lea, A Memory Allocator, dlmalloc 2.8), which
 * find the smallest that is big enough. Nothing takes longer for more blocks: a
 * search has at most as many steps as a size has bits; the quick lists, at most
 * 128 blocks, are merged before a block that is too large for them is sought,
 * and when there is no room without.
 *
 * Blocks are aligned to 16 bytes; each takes its size, one word for the header,
 * and what it needs to be a multiple of 16: at least 4 words.
 *
 * Memory that something scribbled over is told as far as that is cheap: links
 * that lead where no free block is are not followed, then the lists are made
 * anew; when the chain itself is broken, nothing is allocated any more, frees
 * are ignored and check_sanity() is false.
 */
template <typename MutexFamily,
	  typename VoidPointer = boost::interprocess::offset_ptr<void>>
class segregated_fit
{
public:
	using mutex_family = MutexFamily;
	using void_pointer = VoidPointer;
	using difference_type =
		typename std::pointer_traits<VoidPointer>::difference_type;
	using size_type = std::make_unsigned_t<difference_type>;
	/*
	 * There is no documented name of it, but segment_manager and all of
	 * Boost's allocators take it from the algorithm.
	 */
	using multiallocation_chain =
		boost::interprocess::ipcdetail::basic_multiallocation_chain<
			VoidPointer>;

	/** Of each block, in bytes. */
	static constexpr size_type Alignment = 16;
	/** Bytes that a block takes beyond those that can be used. */
	static constexpr size_type PayloadPerAllocation = sizeof(size_type);

	/**
	 * Manages the memory from this object on: @a size bytes, of which
	 * those of the object and @a extra_hdr_bytes behind it are left alone.
	 */
	segregated_fit(size_type size, size_type extra_hdr_bytes) noexcept
	{
		m_control.first = first_block(extra_hdr_bytes);
		resize(size);
		m_control.end = m_control.first;
		forget();
		if (size >= m_control.first + word) {
			const auto room =
				truncate(size - word - m_control.first);

			if (room >= min_block) {
				m_control.end += room;
				store(m_control.first, room);
			}
			store(m_control.end, end_mark);
			if (room >= min_block)
				insert(m_control.first, room);
		}
		m_control.repaired = recoveries();
	}

	segregated_fit(const segregated_fit &) = delete;
	segregated_fit &operator=(const segregated_fit &) = delete;

	/** The smallest @a size that the constructor can do with. */
	static size_type get_min_size(size_type extra_hdr_bytes) noexcept
	{
		return truncate(sizeof(segregated_fit) + extra_hdr_bytes +
				word + Alignment - 1) +
		       min_block;
	}

	/** Bytes of the whole segment; 0 if nobody knows any more. No lock. */
	size_type get_size() const noexcept { return limit(); }

	/**
	 * Bytes of all free blocks, their headers with them; what one can have
	 * of that is less, in several pieces. No lock; after the death of an
	 * owner it may be wrong by the operation of that until the next one.
	 */
	size_type get_free_memory() const noexcept
	{
		return __atomic_load_n(&m_control.end, __ATOMIC_RELAXED) -
		       __atomic_load_n(&m_control.first, __ATOMIC_RELAXED) -
		       __atomic_load_n(&m_control.used, __ATOMIC_RELAXED);
	}

	/** Bytes that can be used of the block at @a ptr. No lock. */
	size_type size(const void *ptr) const noexcept
	{
		return size_of(load(offset_of(ptr))) - word;
	}

	/** At least @a nbytes, or nullptr if there is no such block. */
	void *allocate(size_type nbytes)
	{
		const guard locked(*this);

		return allocate_block(nbytes);
	}

	/**
	 * The same at a multiple of @a alignment, a power of two; what is left
	 * in front of it stays free.
	 */
	void *allocate_aligned(size_type nbytes, size_type alignment)
	{
		const guard locked(*this);

		return allocate_block(nbytes, alignment);
	}

	/**
	 * Frees what any of these functions has given. A pointer that cannot
	 * be such a one, or that is free already, is ignored.
	 */
	void deallocate(void *addr)
	{
		if (!addr)
			return;

		const guard locked(*this);

		free_block(addr);
	}

	/**
	 * Appends @a count blocks of at least @a bytes to @a chain, or none if
	 * there is no room for all.
	 */
	void allocate_many(size_type bytes, size_type count,
			   multiallocation_chain &chain)
	{
		allocate_many(bytes, count, Alignment, chain);
	}

	/** The form of Boost since 1.91, with an alignment. */
	void allocate_many(size_type bytes, size_type count,
			   size_type alignment, multiallocation_chain &chain)
	{
		const guard locked(*this);
		const auto one = block_size(bytes);
		size_type all;

		if (one != too_much &&
		    !__builtin_mul_overflow(one, count, &all))
			allocate_chain(
				all, count,
				[bytes](size_type) { return bytes; }, alignment,
				chain);
	}

	/** Blocks of sizes[i] * sizeof_element bytes. */
	void allocate_many(const size_type *sizes, size_type count,
			   size_type sizeof_element,
			   multiallocation_chain &chain)
	{
		allocate_many(sizes, count, sizeof_element, Alignment, chain);
	}

	/** The form of Boost since 1.91, with an alignment. */
	void allocate_many(const size_type *sizes, size_type count,
			   size_type sizeof_element, size_type alignment,
			   multiallocation_chain &chain)
	{
		const guard locked(*this);
		const auto bytes = [sizes, sizeof_element](size_type i) {
			return sizes[i] * sizeof_element;
		};
		size_type all = 0;

		for (size_type i = 0; i < count; ++i) {
			size_type one;

			if (__builtin_mul_overflow(sizes[i], sizeof_element,
						   &one) ||
			    block_size(one) == too_much ||
			    __builtin_add_overflow(all, block_size(one), &all))
				return;
		}
		allocate_chain(all, count, bytes, alignment, chain);
	}

	/** Frees all of @a chain, and empties it. */
	void deallocate_many(multiallocation_chain &chain)
	{
		const guard locked(*this);

		free_chain(chain);
	}

	/**
	 * Boost's allocation_command: to allocate, expand and shrink. In
	 * objects of T, aligned for T. A block expands forward only: if its
	 * beginning moved, the pointer that a killed process leaves behind
	 * would lead into the middle of a block.
	 */
	template <typename T>
	T *allocation_command(boost::interprocess::allocation_type what,
			      size_type limit, size_type &received, T *&reuse)
	{
		void *raw = reuse;
		void *const result = allocation_command(
			what, limit, received, raw, sizeof(T), alignof(T));

		reuse = static_cast<T *>(raw);
		return static_cast<T *>(result);
	}

	/** The form of Boost since 1.91. */
	void *allocation_command(boost::interprocess::allocation_type what,
				 size_type limit, size_type &received,
				 void *&reuse, size_type sizeof_object,
				 size_type alignof_object)
	{
		void *result = nullptr;

		if (!sizeof_object) {
			reuse = nullptr;
			return nullptr;
		}

		const guard locked(*this);
		const auto most = m_control.end / sizeof_object;
		const auto shrinks =
			what & (boost::interprocess::shrink_in_place |
				boost::interprocess::try_shrink_in_place);

		if (limit > most && !shrinks) {
			received = 0;
			return nullptr;
		}

		size_type bytes = std::min(received, most) * sizeof_object;

		limit = std::min(limit, most) * sizeof_object;
		if (shrinks) {
			if (reuse && shrink(reuse, limit, bytes, what))
				result = reuse;
		} else if (limit <= bytes) {
			result = allocate_or_expand(what, limit, bytes, reuse,
						    alignof_object);
		} else {
			bytes = 0;
		}
		received = bytes / sizeof_object;
		return result;
	}

	/** The form of Boost before 1.91 for objects of any type. */
	void *raw_allocation_command(boost::interprocess::allocation_type what,
				     size_type limit, size_type &received,
				     void *&reuse, size_type sizeof_object = 1)
	{
		return allocation_command(what, limit, received, reuse,
					  sizeof_object, 1);
	}

	/** Zeroes what is free, but for what the blocks themselves need. */
	void zero_free_memory()
	{
		const guard locked(*this);

		if (!prepare())
			return;
		flush();
		for (auto at = m_control.first; at != m_control.end;) {
			const auto header = load(at);
			const auto bytes = size_of(header);
			const auto kept = links_of(bytes);

			if (!proper(at, header))
				return;
			if (!(header & used_flag))
				std::memset(memory(at + kept), 0,
					    bytes - kept - word);
			at += bytes;
		}
	}

	/** Whether nothing is allocated. */
	bool all_memory_deallocated()
	{
		const guard locked(*this);

		return m_control.first != m_control.end && !m_control.used;
	}

	/**
	 * Whether all is as it should be. Bounded by the size of the segment,
	 * whatever lies in it. If the chain of blocks is whole and what is
	 * derived from it is not, the latter is made anew, so that all is well
	 * afterwards, but false is returned once.
	 */
	bool check_sanity()
	{
		const guard locked(*this);

		if (m_control.broken && !rebuild())
			return false;
		if (sane())
			return true;
		rebuild();
		return false;
	}

	/**
	 * The segment is @a extra_size bytes longer now. As in Boost it does
	 * not lock: the caller has the segment for itself or holds the lock.
	 */
	void grow(size_type extra_size)
	{
		size_type size, end;

		if (!prepare() ||
		    __builtin_add_overflow(limit(), extra_size, &size))
			return;
		end = m_control.end + truncate(size - word - m_control.end);
		if (end - m_control.end < min_block) {
			resize(size);
			return;
		}
		/*
		 * Whoever dies behind this leaves a size that is larger than
		 * the chain: rebuild() then does the last step.
		 */
		publish(end, end_mark);
		resize(size);

		auto start = m_control.end;

		if (const auto before = free_before(start)) {
			remove(before);
			start = before;
		}
		publish(start, end - start);
		set(m_control.end, end);
		insert(start, end - start);
		settle();
	}

	/**
	 * Makes the segment as small as the last used block lets it; with
	 * none, get_min_size() is left. Does not lock, as grow().
	 */
	void shrink_to_fit()
	{
		if (!prepare())
			return;
		flush();

		const auto last = free_before(m_control.end);

		if (!last)
			return settle();

		const auto bytes = size_of(load(last));
		const auto kept = last == m_control.first ? min_block : 0;

		if (bytes == kept)
			return;
		remove(last);
		if (kept)
			store(last + kept, end_mark);
		publish(last, kept ? kept : end_mark);
		set(m_control.end, last + kept);
		resize(last + kept + word);
		if (kept)
			insert(last, kept);
		settle();
	}

private:
	static_assert(__atomic_always_lock_free(sizeof(size_type), nullptr),
		      "the truth is changed by one store");

	static constexpr size_type word = sizeof(size_type);
	static constexpr unsigned bits = std::numeric_limits<size_type>::digits;
	static constexpr size_type too_much =
		std::numeric_limits<size_type>::max();

	/*
	 * The header: a size, a multiple of 16, and flags. used_flag is part of
	 * the truth. The others are derived: the block before is free and in a
	 * bin, with its size in its last word; this block is free and in a
	 * quick list.
	 */
	static constexpr size_type used_flag = 1;
	static constexpr size_type free_before_flag = 2;
	static constexpr size_type quick_flag = 4;
	static constexpr size_type end_flag = 8;
	static constexpr size_type flags = 15;
	/* Behind the last block. No size looks like that. */
	static constexpr size_type end_mark =
		(static_cast<size_type>(0xa5c3965ae1d2b487U) & ~flags) |
		end_flag | used_flag;

	/* The words of a free block behind its header. */
	static constexpr size_type next = word;
	static constexpr size_type previous = 2 * word;
	static constexpr size_type child = 3 * word;
	static constexpr size_type parent = 5 * word;
	/* What the root of a trie has for a parent; no block is there. */
	static constexpr size_type root = 1;

	static constexpr size_type min_block = 4 * word;
	/* Header, five links, and the size at the end. */
	static constexpr size_type min_trie_block = 8 * word;
	static constexpr unsigned list_bins =
		(min_trie_block - min_block) / Alignment;
	/* The last has all that is larger, too. */
	static constexpr unsigned trie_bins = 7;
	static constexpr unsigned bins = list_bins + trie_bins;

	static constexpr unsigned quick_lists = 16;
	static constexpr unsigned quick_length = 8;
	static constexpr size_type quick_end =
		min_block + quick_lists * Alignment;

	using mutex_type = typename MutexFamily::mutex_type;

	/* A size that says whether it is whole. */
	struct extent
	{
		size_type size;
		size_type seal;
	};

	/* Offsets are from this object on; there is never a block at 0. */
	struct control : mutex_type
	{
		/* The first block, whose place does not change. */
		size_type first;
		/* One of them is whole at any time: the first, if both are. */
		extent extents[2];

		/* All below is derived. */

		/* The value of recoveries() that all this is good for. */
		std::uint32_t repaired;
		/* Which bins are not empty. */
		std::uint16_t filled;
		/* A link was found that cannot be one. */
		std::uint8_t suspect;
		/* The chain is; then first == end, and nothing is accepted. */
		std::uint8_t broken;
		/* The mark behind the last block, and bytes in use. */
		size_type end;
		size_type used;
		/* Offsets of the first with how many there are, see below. */
		size_type quick[quick_lists];
		size_type bin[bins];
	};

	control m_control;

	template <typename Mutex, typename = void>
	struct counts_deaths : std::false_type
	{
	};

	template <typename Mutex>
	struct counts_deaths<Mutex,
			     std::void_t<decltype(std::declval<const Mutex &>()
							  .recoveries())>>
		: std::true_type
	{
	};

	/* Nobody is inside, and what the last owner has left is in order. */
	class guard
	{
	public:
		explicit guard(segregated_fit &fit) : m_lock(fit.m_control)
		{
			if (__builtin_expect(fit.stale(), 0))
				fit.rebuild();
		}

	private:
		boost::interprocess::scoped_lock<mutex_type> m_lock;
	};

	std::uint32_t recoveries() const noexcept
	{
		if constexpr (counts_deaths<mutex_type>::value)
			return static_cast<std::uint32_t>(
				m_control.recoveries());
		else
			return 0;
	}

	bool stale() const noexcept
	{
		if constexpr (counts_deaths<mutex_type>::value)
			return recoveries() != m_control.repaired;
		else
			return false;
	}

	/* Words in the segment. */

	char *memory(size_type at) noexcept
	{
		return reinterpret_cast<char *>(this) + at;
	}

	const char *memory(size_type at) const noexcept
	{
		return reinterpret_cast<const char *>(this) + at;
	}

	size_type load(size_type at) const noexcept
	{
		return __atomic_load_n(
			reinterpret_cast<const size_type *>(memory(at)),
			__ATOMIC_RELAXED);
	}

	/* What is derived, or not part of the chain yet. */
	void store(size_type at, size_type value) noexcept
	{
		__atomic_store_n(reinterpret_cast<size_type *>(memory(at)),
				 value, __ATOMIC_RELAXED);
	}

	/*
	 * The truth. All that was stored before, here and by the caller, is in
	 * memory before it, all that is stored after it, after: a process that
	 * is killed has done its stores up to some point in the order of the
	 * program that the compiler has made of this.
	 */
	void publish(size_type at, size_type value) noexcept
	{
		std::atomic_signal_fence(std::memory_order_seq_cst);
		__atomic_store_n(reinterpret_cast<size_type *>(memory(at)),
				 value, __ATOMIC_RELEASE);
		std::atomic_signal_fence(std::memory_order_seq_cst);
	}

	/* A word of the header that others read without the lock. */
	static void set(size_type &member, size_type value) noexcept
	{
		__atomic_store_n(&member, value, __ATOMIC_RELAXED);
	}

	static constexpr size_type truncate(size_type bytes) noexcept
	{
		return bytes & ~flags;
	}

	static constexpr size_type size_of(size_type header) noexcept
	{
		return header & ~flags;
	}

	static unsigned top_bit(size_type value) noexcept
	{
		return 63 - static_cast<unsigned>(__builtin_clzll(value));
	}

	static unsigned low_bit(size_type value) noexcept
	{
		return static_cast<unsigned>(__builtin_ctzll(value));
	}

	/* Bytes of a block of which @a nbytes are used, or too_much. */
	size_type block_size(size_type nbytes) const noexcept
	{
		if (nbytes >= m_control.end)
			return too_much;
		return std::max(truncate(nbytes + word + Alignment - 1),
				min_block);
	}

	/* Bytes at the beginning of a free block that are in use by us. */
	static size_type links_of(size_type bytes) noexcept
	{
		return bytes < min_trie_block ? 3 * word : 6 * word;
	}

	size_type offset_of(const void *ptr) const noexcept
	{
		return static_cast<size_type>(
			static_cast<const char *>(ptr) -
			reinterpret_cast<const char *>(this) -
			static_cast<std::ptrdiff_t>(word));
	}

	void *pointer_to(size_type at) noexcept { return memory(at + word); }

	/* The extent of the segment. */

	size_type first_block(size_type extra) const noexcept
	{
		const auto here = reinterpret_cast<std::uintptr_t>(this);
		const auto behind = here + sizeof(*this) + extra;

		return static_cast<size_type>(((behind + word + Alignment - 1) &
					       ~std::uintptr_t{Alignment - 1}) -
					      word - here);
	}

	size_type seal(size_type size) const noexcept
	{
		return (size ^ static_cast<size_type>(0x9e3779b97f4a7c15U)) *
			       static_cast<size_type>(0xd6e8feb86659fd93U) +
		       m_control.first;
	}

	/* The size in one of them, or 0 if it is not whole. */
	size_type size_in(const extent &one) const noexcept
	{
		const auto size = __atomic_load_n(&one.size, __ATOMIC_RELAXED);

		return __atomic_load_n(&one.seal, __ATOMIC_RELAXED) ==
				       seal(size)
			       ? size
			       : 0;
	}

	/* Bytes of the segment; 0 if that is not known. */
	size_type limit() const noexcept
	{
		const auto size = size_in(m_control.extents[0]);

		return size ? size : size_in(m_control.extents[1]);
	}

	void resize(size_type size) noexcept
	{
		for (auto *one :
		     {&m_control.extents[1], &m_control.extents[0]}) {
			std::atomic_signal_fence(std::memory_order_seq_cst);
			set(one->size, size);
			std::atomic_signal_fence(std::memory_order_seq_cst);
			set(one->seal, seal(size));
		}
		std::atomic_signal_fence(std::memory_order_seq_cst);
	}

	/* Whether first and end can be believed, and there is a chain. */
	bool bounded() const noexcept
	{
		const auto size = size_in(m_control.extents[0]);

		return size &&
		       m_control.end - m_control.first <
			       size - m_control.first &&
		       size - m_control.end - word < min_block &&
		       !((m_control.end ^ m_control.first) & flags) &&
		       (load(m_control.end) & ~free_before_flag) == end_mark;
	}

	bool prepare() noexcept
	{
		if (stale() || m_control.suspect || !bounded())
			return rebuild();
		return true;
	}

	/* After something that may have met what cannot be. */
	void settle() noexcept
	{
		if (__builtin_expect(m_control.suspect, 0))
			rebuild();
	}

	/* Blocks. */

	bool inside(size_type at) const noexcept
	{
		const auto from_first = at - m_control.first;

		return from_first < m_control.end - m_control.first &&
		       !(from_first & flags);
	}

	/* Whether a block at @a at, inside, can have this header. */
	bool proper(size_type at, size_type header) const noexcept
	{
		return size_of(header) >= min_block &&
		       size_of(header) <= m_control.end - at &&
		       !(header & end_flag);
	}

	bool in_bin(size_type at) const noexcept
	{
		if (!inside(at))
			return false;

		const auto header = load(at);

		return proper(at, header) &&
		       !(header & (used_flag | quick_flag));
	}

	/* The same and what is at its end: all that can be told at once. */
	bool free_block_at(size_type at) noexcept
	{
		if (in_bin(at)) {
			const auto bytes = size_of(load(at));

			if (load(at + bytes - word) == bytes &&
			    (load(at + bytes) & free_before_flag))
				return true;
		}
		m_control.suspect = 1;
		return false;
	}

	/* The free block that ends at @a at, or 0. */
	size_type free_before(size_type at) noexcept
	{
		if (!(load(at) & free_before_flag))
			return 0;

		const auto bytes = load(at - word);

		if (at == m_control.first || bytes > at - m_control.first ||
		    !free_block_at(at - bytes) ||
		    size_of(load(at - bytes)) != bytes) {
			m_control.suspect = 1;
			return 0;
		}
		return at - bytes;
	}

	/* A link between free blocks, or 0. */
	size_type follow(size_type at) noexcept
	{
		if (!at || __builtin_expect(in_bin(at), 1))
			return at;
		m_control.suspect = 1;
		return 0;
	}

	void forget() noexcept
	{
		m_control.suspect = 0;
		m_control.broken = 0;
		m_control.filled = 0;
		set(m_control.used, 0);
		std::fill_n(m_control.quick, quick_lists, size_type{0});
		std::fill_n(m_control.bin, bins, size_type{0});
	}

	/* Bins of free blocks. */

	static unsigned bin_of(size_type bytes) noexcept
	{
		if (bytes < min_trie_block)
			return static_cast<unsigned>((bytes - min_block) /
						     Alignment);
		return list_bins +
		       std::min((top_bit(bytes) - low_bit(min_trie_block)) / 2,
				trie_bins - 1);
	}

	/*
	 * The bits by which a trie goes down, from the top on, without those
	 * that are 0 in all of it.
	 */
	static size_type path_of(size_type bytes, unsigned bin) noexcept
	{
		if (bin == bins - 1)
			return bytes;
		return bytes << (bits - 2 - 2 * (bin - list_bins) -
				 low_bit(min_trie_block));
	}

	static size_type child_slot(size_type at, size_type path) noexcept
	{
		return at + child + (path >> (bits - 1)) * word;
	}

	/* Blocks of the same size are a ring. */

	void ring_alone(size_type at) noexcept
	{
		store(at + next, at);
		store(at + previous, at);
	}

	void ring_add(size_type to, size_type at) noexcept
	{
		auto after = follow(load(to + next));

		if (!after)
			after = to;
		store(at + next, after);
		store(at + previous, to);
		store(to + next, at);
		store(after + previous, at);
	}

	void fill(unsigned bin) noexcept
	{
		m_control.filled = static_cast<std::uint16_t>(m_control.filled |
							      1U << bin);
	}

	/* Makes @a at, free by its header, known as such. */
	void insert(size_type at, size_type bytes) noexcept
	{
		const auto behind = at + bytes;
		const auto bin = bin_of(bytes);
		auto to = follow(m_control.bin[bin]);

		store(behind - word, bytes);
		store(behind, load(behind) | free_before_flag);

		if (bin < list_bins) {
			if (to)
				ring_add(to, at);
			else
				ring_alone(at);
			m_control.bin[bin] = at;
			fill(bin);
			return;
		}
		store(at + child, 0);
		store(at + child + word, 0);
		ring_alone(at);
		if (!to) {
			store(at + parent, root);
			m_control.bin[bin] = at;
			fill(bin);
			return;
		}

		auto path = path_of(bytes, bin);

		for (unsigned depth = 0; depth <= bits; ++depth) {
			if (size_of(load(to)) == bytes) {
				ring_add(to, at);
				store(at + parent, 0);
				return;
			}

			const auto slot = child_slot(to, path);
			const auto below = follow(load(slot));

			if (!below) {
				store(slot, at);
				store(at + parent, to);
				return;
			}
			to = below;
			path <<= 1;
		}
		m_control.suspect = 1;
	}

	void clear_bin(unsigned bin, size_type heir) noexcept
	{
		m_control.bin[bin] = heir;
		if (!heir)
			m_control.filled = static_cast<std::uint16_t>(
				m_control.filled & ~(1U << bin));
	}

	/* The opposite; @a at is in a bin. Its header is not changed. */
	void remove(size_type at) noexcept
	{
		const auto bin = bin_of(size_of(load(at)));
		const auto after = follow(load(at + next));
		const auto before = follow(load(at + previous));

		if (!after || !before || load(after + previous) != at ||
		    load(before + next) != at) {
			m_control.suspect = 1;
			return;
		}
		store(before + next, after);
		store(after + previous, before);
		if (bin < list_bins) {
			if (m_control.bin[bin] == at)
				clear_bin(bin, after == at ? 0 : after);
			return;
		}

		const auto above = load(at + parent);

		if (above)
			replace(at, bin, above, after == at ? leaf(at) : after);
	}

	/* Takes some block without children from below @a at. */
	size_type leaf(size_type at) noexcept
	{
		size_type from = 0, slot = 0;

		for (unsigned depth = 0; depth <= bits; ++depth) {
			auto side = at + child + word;
			auto below = follow(load(side));

			if (!below) {
				side = at + child;
				below = follow(load(side));
			}
			if (!below) {
				if (slot)
					store(slot, 0);
				return from;
			}
			slot = side;
			from = at = below;
		}
		m_control.suspect = 1;
		return 0;
	}

	/* Puts @a heir, or nothing, to the place of @a at in the trie. */
	void replace(size_type at, unsigned bin, size_type above,
		     size_type heir) noexcept
	{
		if (above == root) {
			if (m_control.bin[bin] != at)
				m_control.suspect = 1;
			clear_bin(bin, heir);
		} else if (!follow(above)) {
			return;
		} else if (load(above + child) == at) {
			store(above + child, heir);
		} else if (load(above + child + word) == at) {
			store(above + child + word, heir);
		} else {
			m_control.suspect = 1;
		}
		if (!heir)
			return;
		store(heir + parent, above);
		for (const auto side : {child, child + word}) {
			const auto below = follow(load(at + side));

			store(heir + side, below);
			if (below)
				store(below + parent, heir);
		}
	}

	/* The smallest block of a bin that is not empty. */
	size_type smallest(unsigned bin) noexcept
	{
		auto at = follow(m_control.bin[bin]);
		auto best = at;

		if (!at)
			m_control.suspect = 1;
		if (bin < list_bins)
			return at;
		for (unsigned depth = 0; at && depth <= bits; ++depth) {
			if (size_of(load(at)) < size_of(load(best)))
				best = at;

			const auto below = follow(load(at + child));

			at = below ? below : follow(load(at + child + word));
		}
		return spare(best);
	}

	/* The largest block in any bin, or 0. */
	size_type largest() noexcept
	{
		if (!m_control.filled)
			return 0;

		const auto bin = top_bit(m_control.filled);

		if (bin >= bins) {
			m_control.suspect = 1;
			return 0;
		}

		auto at = follow(m_control.bin[bin]);
		auto best = at;

		if (bin < list_bins)
			return at;
		for (unsigned depth = 0; at && depth <= bits; ++depth) {
			if (size_of(load(at)) > size_of(load(best)))
				best = at;

			const auto below = follow(load(at + child + word));

			at = below ? below : follow(load(at + child));
		}
		return spare(best);
	}

	/* One of the same size that is not part of the trie, if there is. */
	size_type spare(size_type at) noexcept
	{
		return at ? follow(load(at + next)) : 0;
	}

	/* The smallest block in a bin of at least @a bytes, or 0. */
	size_type find(size_type bytes) noexcept
	{
		if (bytes > m_control.end)
			return 0;

		const auto bin = bin_of(bytes);

		if (bin >= list_bins && (m_control.filled >> bin & 1)) {
			if (const auto at = find_in_trie(bytes, bin))
				return spare(at);
		}

		const unsigned above = unsigned{m_control.filled} >> bin >>
				       (bin >= list_bins ? 1 : 0);

		if (!above)
			return 0;

		const auto from =
			low_bit(above) + bin + (bin >= list_bins ? 1 : 0);

		if (from >= bins) {
			m_control.suspect = 1;
			return 0;
		}
		return smallest(from);
	}

	/* In the trie that has such blocks, but may have smaller ones, too. */
	size_type find_in_trie(size_type bytes, unsigned bin) noexcept
	{
		auto path = path_of(bytes, bin);
		auto at = follow(m_control.bin[bin]);
		size_type best = 0, least = too_much, larger = 0;

		/* Along the bits, which leaves all larger ones on one side. */
		for (unsigned depth = 0; at && depth <= bits; ++depth) {
			const auto has = size_of(load(at));

			if (has >= bytes && has - bytes < least) {
				best = at;
				least = has - bytes;
				if (!least)
					return best;
			}

			const auto right = follow(load(at + child + word));

			at = path >> (bits - 1) ? right
						: follow(load(at + child));
			if (right && right != at)
				larger = right;
			path <<= 1;
		}
		/* Then the smallest of the lowest of these. */
		at = larger;
		for (unsigned depth = 0; at && depth <= bits; ++depth) {
			const auto has = size_of(load(at));

			if (has >= bytes && has - bytes < least) {
				best = at;
				least = has - bytes;
			}

			const auto below = follow(load(at + child));

			at = below ? below : follow(load(at + child + word));
		}
		return best;
	}

	/*
	 * Quick lists. The word that leads to a block has in its lower bits,
	 * which are the same in all offsets, how many blocks come there.
	 */

	size_type quick_block(size_type link) const noexcept
	{
		return size_of(link) | (m_control.first & flags);
	}

	static size_type quick_link(size_type at, size_type behind) noexcept
	{
		return size_of(at) | ((behind + 1) & flags);
	}

	/*
	 * A block of exactly so many bytes from its quick list, or 0. Header
	 * and link are only believed if they are what was left there.
	 */
	size_type take_quick(size_type bytes) noexcept
	{
		auto &link = m_control.quick[(bytes - min_block) / Alignment];

		if (!link)
			return 0;

		const auto at = quick_block(link);
		const auto header = inside(at) ? load(at) : 0;

		if (__builtin_expect((header & ~free_before_flag) !=
					     (bytes | quick_flag),
				     0)) {
			m_control.suspect = 1;
			return 0;
		}
		link = load(at + next);
		store(at + next, 0);
		publish(at, (header & free_before_flag) | bytes | used_flag);
		set(m_control.used, m_control.used + bytes);
		return at;
	}

	void flush(unsigned list) noexcept
	{
		const auto bytes = min_block + list * Alignment;
		auto link = m_control.quick[list];

		m_control.quick[list] = 0;
		for (unsigned count = 0; link && count < quick_length;
		     ++count) {
			const auto at = quick_block(link);
			const auto header = inside(at) ? load(at) : 0;

			if ((header & ~free_before_flag) !=
			    (bytes | quick_flag)) {
				m_control.suspect = 1;
				return;
			}
			link = load(at + next);
			store(at + next, 0);
			merge(at, header);
		}
	}

	void flush() noexcept
	{
		size_type any = 0;

		for (const auto link : m_control.quick)
			any |= link;
		for (unsigned list = 0; any && list < quick_lists; ++list)
			flush(list);
	}

	/*
	 * Makes blocks of so many bytes from the beginning of a large one in a
	 * bin: one that is used, and as many as a quick list, empty before,
	 * takes. Again one store makes all of them.
	 */
	size_type take_some(size_type at, size_type bytes) noexcept
	{
		const auto all = size_of(load(at));
		const auto behind = at + (quick_length + 1) * bytes;
		size_type link = 0;

		remove(at);
		std::memset(memory(at + word), 0, links_of(all) - word);
		store(behind, all - (behind - at));
		for (auto one = behind - bytes; one != at; one -= bytes) {
			store(one, bytes | quick_flag);
			store(one + next, link);
			link = quick_link(one, link);
		}
		publish(at, bytes | used_flag);
		m_control.quick[(bytes - min_block) / Alignment] = link;
		insert(behind, all - (behind - at));
		set(m_control.used, m_control.used + bytes);
		settle();
		return at;
	}

	/* Allocation. */

	/* As find(), but what it gives is sure to be free; does all it can. */
	size_type search(size_type bytes) noexcept
	{
		/* Small ones are merged before they make holes for good. */
		if (bytes >= quick_end)
			flush();

		auto at = find(bytes);

		if (!at && !m_control.suspect) {
			flush();
			at = find(bytes);
		}
		if (__builtin_expect(m_control.suspect ||
					     (at && !free_block_at(at)),
				     0)) {
			if (!rebuild())
				return 0;
			at = find(bytes);
		}
		return at;
	}

	/*
	 * Turns the block at @a at, in a bin, into a free one of @a gap bytes,
	 * if that is not 0, a used one of @a bytes and a free one of the rest.
	 * The one store to its header does all three.
	 */
	size_type take(size_type at, size_type bytes,
		       size_type gap = 0) noexcept
	{
		const auto all = size_of(load(at));
		const auto behind = at + all;
		const auto block = at + gap;
		auto rest = all - gap - bytes;

		if (rest < min_block) {
			bytes += rest;
			rest = 0;
		}
		remove(at);
		/* What zero_free_memory() left, all of which the caller gets. */
		std::memset(memory(at + word), 0,
			    std::min(links_of(all), all) - word);
		if (rest) {
			store(block + bytes, rest);
		} else {
			store(behind - word, 0);
			store(behind, load(behind) & ~free_before_flag);
		}
		if (gap)
			store(block, bytes | used_flag);
		publish(at, gap ? gap : bytes | used_flag);
		if (gap)
			insert(at, gap);
		if (rest)
			insert(block + bytes, rest);
		set(m_control.used, m_control.used + bytes);
		settle();
		return block;
	}

	void *allocate_block(size_type nbytes) noexcept
	{
		const auto bytes = block_size(nbytes);

		if (__builtin_expect(bytes < quick_end, 1)) {
			if (const auto at = take_quick(bytes))
				return pointer_to(at);
		}
		if (bytes == too_much)
			return nullptr;

		const auto at = search(bytes);

		if (!at)
			return nullptr;
		/* The next ones of this size will lie side by side. */
		if (bytes < quick_end && size_of(load(at)) >= 64 * bytes)
			return pointer_to(take_some(at, bytes));
		return pointer_to(take(at, bytes));
	}

	/* What has to stay free in front of such an address in a block. */
	size_type gap_for(size_type at, size_type alignment) noexcept
	{
		const auto here =
			reinterpret_cast<std::uintptr_t>(pointer_to(at));
		const auto mask = static_cast<std::uintptr_t>(alignment) - 1;
		const auto gap = static_cast<size_type>(-here & mask);

		if (!gap || gap >= min_block)
			return gap;
		return static_cast<size_type>(-(here + min_block) & mask) +
		       min_block;
	}

	void *allocate_block(size_type nbytes, size_type alignment) noexcept
	{
		if (alignment <= Alignment)
			return allocate_block(nbytes);

		const auto bytes = block_size(nbytes);

		if (bytes == too_much || alignment & (alignment - 1) ||
		    alignment >= m_control.end)
			return nullptr;

		/* Wherever that lies, there is room in it; maybe in less. */
		const auto enough = bytes + min_block + alignment - Alignment;
		auto at = find(enough);

		if (!at || !free_block_at(at)) {
			at = search(bytes);
			if (at && !fits(at, bytes, alignment))
				at = search(enough);
		}
		if (!at)
			return nullptr;
		return pointer_to(take(at, bytes, gap_for(at, alignment)));
	}

	bool fits(size_type at, size_type bytes, size_type alignment) noexcept
	{
		const auto gap = gap_for(at, alignment);

		return gap <= size_of(load(at)) &&
		       bytes <= size_of(load(at)) - gap;
	}

	/* Frees. */

	/*
	 * Makes a block that counts as free one in a bin, with its neighbours.
	 * Nothing of ours is left inside of it: whoever frees a neighbour again
	 * finds no block there, and what was zeroed stays so.
	 */
	void merge(size_type at, size_type header) noexcept
	{
		const auto before = free_before(at);
		auto start = at;
		auto behind = at + size_of(header);

		if (before) {
			remove(before);
			start = before;
		}

		const auto after = behind;
		size_type stale = 0;

		if (!(load(behind) & (used_flag | quick_flag)) &&
		    free_block_at(behind)) {
			remove(behind);
			behind += size_of(load(behind));
			stale = links_of(behind - after);
		}
		publish(start, behind - start);
		if (before) {
			store(at - word, 0);
			store(at, 0);
		}
		if (stale)
			std::memset(memory(after), 0, stale);
		insert(start, behind - start);
	}

	void free_block(void *addr) noexcept
	{
		const auto at = offset_of(addr);

		if (!inside(at))
			return;

		const auto header = load(at);
		const auto bytes = size_of(header);

		if ((header & (used_flag | quick_flag)) != used_flag ||
		    !proper(at, header))
			return;
		set(m_control.used, m_control.used - bytes);
		if (bytes < quick_end) {
			auto &link =
				m_control
					.quick[(bytes - min_block) / Alignment];

			if ((link & flags) < quick_length) {
				publish(at, (header & free_before_flag) |
						    bytes | quick_flag);
				store(at + next, link);
				link = quick_link(at, link);
				return;
			}
		}
		merge(at, header);
		settle();
	}

	/* Chains. */

	void append(multiallocation_chain &chain, size_type at)
	{
		chain.push_back(void_pointer(::new (pointer_to(at))
						     void_pointer(nullptr)));
	}

	void free_chain(multiallocation_chain &chain)
	{
		while (!chain.empty())
			free_block(chain.pop_front());
	}

	/* Blocks of bytes(0), bytes(1), ... that take @a all bytes together. */
	template <typename Bytes>
	void allocate_chain(size_type all, size_type count, const Bytes &bytes,
			    size_type alignment, multiallocation_chain &chain)
	{
		multiallocation_chain made;
		/* What was too much for the largest block still is. */
		auto most = count;

		if (all > get_free_memory())
			return;
		for (size_type i = 0; i < count;) {
			const auto one = block_size(bytes(i));
			size_type at = 0;

			if (alignment > Alignment) {
				void *const ptr =
					allocate_block(bytes(i), alignment);

				at = ptr ? offset_of(ptr) : 0;
			} else if (one < quick_end) {
				at = take_quick(one);
			}
			if (at) {
				append(made, at);
				++i;
				continue;
			}
			if (alignment <= Alignment)
				most = take_many(i, std::min(most, count - i),
						 bytes, made);
			if (alignment > Alignment || !most) {
				free_chain(made);
				return;
			}
			i += most;
		}
		chain.splice_after(chain.last(), made);
	}

	/*
	 * Takes as many as it can of the @a count blocks from number @a i on
	 * out of one free block, appends them and returns how many.
	 */
	template <typename Bytes>
	size_type take_many(size_type i, size_type count, const Bytes &bytes,
			    multiallocation_chain &made)
	{
		for (;; count = (count + 1) / 2) {
			size_type all = 0;

			for (auto j = i; j != i + count; ++j)
				all += block_size(bytes(j));

			const auto at = count == 1 ? search(all) : find(all);

			if (at && free_block_at(at)) {
				split(at, i, count, bytes, made);
				return count;
			}
			if (count == 1)
				return 0;
		}
	}

	/* Again it is the one store to the header that makes all of them. */
	template <typename Bytes>
	void split(size_type at, size_type i, size_type count,
		   const Bytes &bytes, multiallocation_chain &made)
	{
		const auto all = size_of(load(at));
		const auto behind = at + all;
		const auto first = block_size(bytes(i));
		auto block = at;
		auto last = at;
		size_type last_size = 0;

		remove(at);
		std::memset(memory(at + word), 0, links_of(all) - word);
		for (size_type j = i; j < i + count; ++j) {
			last = block;
			last_size = block_size(bytes(j));
			if (j != i)
				store(block, last_size | used_flag);
			block += last_size;
		}

		auto rest = behind - block;

		if (rest < min_block) {
			last_size += rest;
			block = behind;
			rest = 0;
			if (last != at)
				store(last, last_size | used_flag);
			store(behind, load(behind) & ~free_before_flag);
		} else {
			store(block, rest);
		}
		publish(at, (last == at ? last_size : first) | used_flag);
		if (rest)
			insert(block, rest);
		set(m_control.used, m_control.used + block - at);
		for (auto each = at; each != block;) {
			const auto size = size_of(load(each));

			append(made, each);
			each += size;
		}
		settle();
	}

	/* Commands. */

	void *allocate_or_expand(boost::interprocess::allocation_type what,
				 size_type least, size_type &bytes,
				 void *&reuse, size_type alignment) noexcept
	{
		const auto preferred = bytes;
		size_type possible = 0;

		if (reuse && (what & (boost::interprocess::expand_fwd |
				      boost::interprocess::expand_bwd))) {
			const bool forward =
				what & boost::interprocess::expand_fwd;

			if (expand(reuse, least, preferred, forward, bytes))
				return reuse;
			possible = bytes;
		}
		if (what & boost::interprocess::allocate_new) {
			void *ptr = allocate_block(preferred, alignment);

			if (!ptr)
				ptr = allocate_largest(least, alignment);
			if (ptr) {
				reuse = nullptr;
				bytes = size(ptr);
				return ptr;
			}
			if (const auto at = largest())
				possible = std::max(possible,
						    size_of(load(at)) - word);
		}
		bytes = possible;
		return nullptr;
	}

	/* After there was no block of the preferred size. */
	void *allocate_largest(size_type least, size_type alignment) noexcept
	{
		flush();

		const auto bytes = block_size(least);
		const auto at = largest();

		if (bytes == too_much || !at)
			return nullptr;
		if (alignment > Alignment)
			return allocate_block(least, alignment);
		if (!free_block_at(at) || size_of(load(at)) < bytes)
			return nullptr;
		return pointer_to(take(at, size_of(load(at))));
	}

	/* Whether @a ptr is a used block. */
	bool used_block(size_type at) const noexcept
	{
		return inside(at) && proper(at, load(at)) &&
		       (load(at) & (used_flag | quick_flag)) == used_flag;
	}

	bool expand(void *ptr, size_type least, size_type preferred,
		    bool forward, size_type &bytes) noexcept
	{
		const auto at = offset_of(ptr);

		if (!used_block(at)) {
			bytes = 0;
			return false;
		}

		const auto old = size_of(load(at));
		const auto behind = at + old;
		auto wanted = block_size(preferred);

		bytes = old - word;
		if (bytes >= preferred || !forward || wanted == too_much)
			return bytes >= least;
		/* A neighbour in a quick list is as good as any. */
		if (load(behind) & quick_flag && inside(behind) &&
		    size_of(load(behind)) >= min_block &&
		    size_of(load(behind)) < quick_end)
			flush(static_cast<unsigned>(
				(size_of(load(behind)) - min_block) /
				Alignment));
		if (load(behind) & (used_flag | quick_flag) ||
		    !free_block_at(behind)) {
			settle();
			return bytes >= least;
		}

		const auto all = old + size_of(load(behind));

		if (all - word < least) {
			bytes = all - word;
			return false;
		}
		wanted = std::min(wanted, all);

		auto rest = all - wanted;

		if (rest < min_block) {
			wanted = all;
			rest = 0;
		}
		remove(behind);
		if (rest)
			store(at + wanted, rest);
		else
			store(at + all, load(at + all) & ~free_before_flag);
		publish(at, (load(at) & free_before_flag) | wanted | used_flag);
		if (rest)
			insert(at + wanted, rest);
		set(m_control.used, m_control.used + wanted - old);
		settle();
		bytes = wanted - word;
		return true;
	}

	/*
	 * To @a bytes, which may become any size up to @a most; try_shrink says
	 * only what would be.
	 */
	bool shrink(void *ptr, size_type most, size_type &bytes,
		    boost::interprocess::allocation_type what) noexcept
	{
		const auto at = offset_of(ptr);

		if (!used_block(at)) {
			bytes = 0;
			return false;
		}

		const auto old = size_of(load(at));
		const auto wanted = block_size(bytes);
		const auto preferred = bytes;

		bytes = old - word;
		if (wanted > old || preferred > most)
			return false;
		if (wanted == old)
			return true;
		if (wanted - word > most)
			return false;

		auto behind = at + old;
		const bool joined =
			!(load(behind) & (used_flag | quick_flag)) &&
			free_block_at(behind);

		if (!joined && old - wanted < min_block)
			return false;
		bytes = wanted - word;
		if (what & boost::interprocess::try_shrink_in_place)
			return true;
		if (joined) {
			remove(behind);
			behind += size_of(load(behind));
		}
		store(at + wanted, behind - at - wanted);
		publish(at, (load(at) & free_before_flag) | wanted | used_flag);
		insert(at + wanted, behind - at - wanted);
		set(m_control.used, m_control.used - (old - wanted));
		settle();
		return true;
	}

	/* Repair. */

	/*
	 * The mark behind the last block, found by going from block to block
	 * without a look at anything derived, or 0 if that leads nowhere.
	 */
	size_type walk(size_type first, size_type size) const noexcept
	{
		auto at = first;

		while (at <= size - word) {
			const auto header = load(at);
			const auto bytes = size_of(header);

			if ((header & ~free_before_flag) == end_mark)
				return at;
			if (bytes < min_block || header & end_flag ||
			    bytes > size - word - at)
				return 0;
			at += bytes;
		}
		return 0;
	}

	/*
	 * Makes anew all that is derived. Whoever is killed in it leaves what
	 * the next one needs to do the same.
	 */
	bool rebuild() noexcept
	{
		const auto now = recoveries();
		const auto size = limit();
		const auto first = m_control.first;
		size_type end = 0;

		if (size >= word && first <= size - word)
			end = walk(first, size);
		forget();
		if (!end) {
			set(m_control.end, first);
			m_control.broken = 1;
			m_control.repaired = now;
			return false;
		}
		resize(size);
		/* Room for all blocks that are inserted below. */
		set(m_control.end, end);

		const auto spare_bytes = truncate(size - word - end);
		const bool grown = spare_bytes >= min_block;

		if (grown) {
			/* Killed in grow(), before its last step. */
			set(m_control.end, end + spare_bytes);
			publish(m_control.end, end_mark);
		} else {
			store(end, end_mark);
		}

		size_type run = 0;

		for (auto at = first; at != end;) {
			const auto header = load(at);
			const auto bytes = size_of(header);

			if (header & used_flag) {
				store(at, bytes | used_flag);
				finish(run, at);
				run = 0;
				set(m_control.used, m_control.used + bytes);
			} else if (!run) {
				run = at;
			}
			at += bytes;
		}
		if (grown && !run)
			run = end;
		finish(run, m_control.end);
		m_control.repaired = now;
		return true;
	}

	/* Makes one free block of those from @a run up to @a at. */
	void finish(size_type run, size_type at) noexcept
	{
		if (!run)
			return;
		publish(run, at - run);
		insert(run, at - run);
	}

	struct census
	{
		size_type blocks = 0;
		size_type bytes = 0;
	};

	bool sane() noexcept
	{
		census binned, quick, listed;
		size_type used = 0;
		bool before = false;

		if (m_control.suspect || m_control.broken || !bounded() ||
		    size_in(m_control.extents[1]) != limit())
			return false;
		for (auto at = m_control.first; at != m_control.end;) {
			const auto header = load(at);
			const auto bytes = size_of(header);

			if (!inside(at) || !proper(at, header) ||
			    before != bool(header & free_before_flag))
				return false;
			before = false;
			if (header & used_flag) {
				if (header & quick_flag)
					return false;
				used += bytes;
			} else if (header & quick_flag) {
				++quick.blocks;
				quick.bytes += bytes;
			} else {
				/* Two in a row should have been merged. */
				if (header & free_before_flag ||
				    load(at + bytes - word) != bytes)
					return false;
				++binned.blocks;
				binned.bytes += bytes;
				before = true;
			}
			at += bytes;
		}
		if (before != bool(load(m_control.end) & free_before_flag) ||
		    used != m_control.used || !quick_sane(quick))
			return false;
		for (unsigned bin = 0; bin < bins; ++bin) {
			const auto at = m_control.bin[bin];

			if (bool(at) != bool(m_control.filled >> bin & 1))
				return false;
			if (at && !bin_sane(bin, at, binned.blocks, listed))
				return false;
		}
		return !(m_control.filled >> bins) &&
		       listed.blocks == binned.blocks &&
		       listed.bytes == binned.bytes;
	}

	bool quick_sane(const census &expected) const noexcept
	{
		census found;

		for (unsigned list = 0; list < quick_lists; ++list) {
			const auto bytes = min_block + list * Alignment;
			auto link = m_control.quick[list];
			const auto count = link & flags;

			if (count > quick_length)
				return false;
			for (auto left = count; left; --left) {
				const auto at = quick_block(link);

				if ((link & flags) != left || !inside(at) ||
				    (load(at) & ~free_before_flag) !=
					    (bytes | quick_flag))
					return false;
				link = load(at + next);
			}
			if (link)
				return false;
			found.blocks += count;
			found.bytes += count * bytes;
		}
		return found.blocks == expected.blocks &&
		       found.bytes == expected.bytes;
	}

	bool bin_sane(unsigned bin, size_type at, size_type most,
		      census &found) const noexcept
	{
		if (bin < list_bins)
			return ring_sane(bin, at, most, found);
		return in_bin(at) && load(at + parent) == root &&
		       trie_sane(bin, at, 0, most, found);
	}

	/* All of one size; not more than @a most in all rings together. */
	bool ring_sane(unsigned bin, size_type from, size_type most,
		       census &found) const noexcept
	{
		if (!in_bin(from))
			return false;

		const auto bytes = size_of(load(from));
		auto at = from;

		if (bin_of(bytes) != bin)
			return false;
		do {
			const auto after = load(at + next);

			if (!in_bin(after) || size_of(load(after)) != bytes ||
			    load(after + previous) != at ||
			    ++found.blocks > most ||
			    (bin >= list_bins && after != from &&
			     load(after + parent)))
				return false;
			found.bytes += bytes;
			at = after;
		} while (at != from);
		return true;
	}

	bool trie_sane(unsigned bin, size_type at, unsigned depth,
		       size_type most, census &found) const noexcept
	{
		if (!ring_sane(bin, at, most, found))
			return false;

		const auto path = path_of(size_of(load(at)), bin);

		for (size_type side = 0; side < 2; ++side) {
			const auto below = load(at + child + side * word);

			if (!below)
				continue;
			if (depth >= bits || !in_bin(below) ||
			    bin_of(size_of(load(below))) != bin ||
			    load(below + parent) != at)
				return false;

			const auto other = path_of(size_of(load(below)), bin);

			/* The bits above are the same, this one is the side. */
			if ((other >> (bits - 1 - depth) & 1) != side ||
			    (depth && (other ^ path) >> (bits - depth)) ||
			    !trie_sane(bin, below, depth + 1, most, found))
				return false;
		}
		return true;
	}
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_SEGREGATED_FIT_HPP */
