/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Names of a managed segment in a hash table that outlives its writers
 *
 * An index for Boost.Interprocess: the last template argument of its managed
 * segments.
 *
 * The table is an array of 64-bit words in the segment, searched by linear
 * probing (Knuth, The Art of Computer Programming, volume 3, 6.4, algorithm L):
 *
 *   0                         nobody, ever: a search ends here
 *   1                         somebody was here: a search goes on
 *   hash << 37 | offset / 8   the upper 27 bits of the name's hash, and where in
 *                             the segment the object's node is
 *
 * These words, and the one that says where the table is, are the truth. Each
 * change of it is one aligned store, so there is no moment in which a process
 * that is killed leaves it half changed. The numbers of entries and the like are
 * derived, and counted anew once the index sees that an owner of its lock died.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_HASH_INDEX_HPP
#define SHM_KERNEL_INTERPROCESS_HASH_INDEX_HPP

#include <shm_kernel/interprocess/detail/mutex_registry.hpp>
#include <shm_kernel/interprocess/detail/wyhash.hpp>
#include <shm_kernel/interprocess/exceptions.hpp>

#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/interprocess_fwd.hpp>
#include <boost/interprocess/segment_manager.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

namespace shm_kernel {

namespace detail {

/**
 * What the index keeps in front of each named object. Boost's own header says
 * the same, but a reader without the lock cannot ask it: it divides by what it
 * finds there. So this is one word, which is read once:
 *
 *   name offset << 24 | value offset / 8 << 19 | gap << 16 | length of the name
 *
 * Offsets are from the node and in bytes, as is the gap between the end of the
 * value and the name.
 */
struct hash_index_hook
{
	std::atomic<std::uint64_t> layout{0};
	/*
	 * Boost before 1.87 does not look at where the object comes to lie: if
	 * it is aligned to 16 bytes, so must be the size of what is in front.
	 */
#if !defined(BOOST_INTERPROCESS_SEGMENT_MANAGER_ABI) ||                        \
	BOOST_INTERPROCESS_SEGMENT_MANAGER_ABI < 2
	std::uint64_t reserved = 0;
#endif
};

/* The type of the key has one name before Boost 1.87, and another one since. */
template <typename Config, typename = void>
struct hash_index_key
{
	using type = typename Config::intrusive_compare_key_type;
};

template <typename Config>
struct hash_index_key<Config, std::void_t<typename Config::compare_key_type>>
{
	using type = typename Config::compare_key_type;
};

template <typename Mutex, typename = void>
struct counts_recoveries : std::false_type
{
};

template <typename Mutex>
struct counts_recoveries<
	Mutex,
	std::void_t<decltype(std::declval<const Mutex &>().recoveries()),
		    decltype(std::declval<const Mutex &>().owner_died())>>
	: std::true_type
{
};

} // namespace detail

/**
 * Index of the names of a managed segment, for example
 *
 *   basic_managed_external_buffer<char, rbtree_best_fit<mutex_family>, hash_index>
 *
 * It works with every memory algorithm, mutex family and type of character or
 * pointer that Boost has. Boost takes the segment's recursive mutex around each
 * call but the const ones; that is the "lock" below.
 *
 * With a mutex that tells when an owner died (robust_mutex_family), a process
 * may be killed at any instruction: the index then is as it was before the
 * operation, or as after it; an object whose constructor had not returned is not
 * there, nor is one around it that was still being constructed; at most one
 * table and the memory of the objects in hand stay allocated. For this
 * the mutex has to be found while the segment is constructed, which
 * managed_kernel_memory takes care of. With other mutexes it is just an index.
 *
 * Names have at most 65535 characters, what Boost's header has room for; a
 * segment has at most 1 TiB and 125 million names of each kind. The order of the
 * iterators means nothing.
 *
 * Names are hashed with wyhash, with random words of the index's own in place of
 * its well-known ones: who cannot read them in the segment has no known way to
 * make up names that collide. Who can read them can, and then a search takes as
 * many steps as there are such names.
 
 */
template <typename MapConfig>
class hash_index
{
	using segment_manager_base = typename MapConfig::segment_manager_base;
	using mutex_type = typename segment_manager_base::mutex_family::
		recursive_mutex_type;
	using char_type = typename MapConfig::char_type;
	using word = std::atomic<std::uint64_t>;

	static_assert(word::is_always_lock_free && sizeof(word) == 8);

public:
	using size_type = typename segment_manager_base::size_type;
	using value_type = typename MapConfig::template intrusive_value_type<
		detail::hash_index_hook>::type;
	using compare_key_type =
		typename detail::hash_index_key<MapConfig>::type;
	/* What Boost from 1.87 on constructs in front of the object. */
	using index_data_t = value_type;

	/**
	 * Forward iterator. Without the lock it is safe, in that it ends and
	 * does not leave the segment, but what it shows may be out of date.
	 */
	template <bool Const>
	class basic_iterator
	{
	public:
		using iterator_category = std::forward_iterator_tag;
		using value_type = typename hash_index::value_type;
		using difference_type = std::ptrdiff_t;
		using reference = std::conditional_t<Const, const value_type &,
						     value_type &>;
		using pointer = std::conditional_t<Const, const value_type *,
						   value_type *>;

		basic_iterator() noexcept = default;

		template <bool Other,
			  typename = std::enable_if_t<Const && !Other>>
		basic_iterator(const basic_iterator<Other> &other) noexcept
			: m_index(other.m_index), m_slot(other.m_slot),
			  m_node(other.m_node)
		{
		}

		reference operator*() const noexcept { return *m_node; }
		pointer operator->() const noexcept { return m_node; }

		basic_iterator &operator++() noexcept
		{
			*this = m_index->template seek<basic_iterator>(m_slot +
								       1);
			return *this;
		}

		basic_iterator operator++(int) noexcept
		{
			const basic_iterator old = *this;

			++*this;
			return old;
		}

		friend bool operator==(const basic_iterator &a,
				       const basic_iterator &b) noexcept
		{
			return a.m_node == b.m_node;
		}

		friend bool operator!=(const basic_iterator &a,
				       const basic_iterator &b) noexcept
		{
			return a.m_node != b.m_node;
		}

	private:
		friend hash_index;
		template <bool>
		friend class basic_iterator;

		basic_iterator(const hash_index *index, std::uint64_t slot,
			       const value_type *node) noexcept
			: m_index(index), m_slot(slot),
			  m_node(const_cast<value_type *>(node))
		{
		}

		const hash_index *m_index = nullptr;
		std::uint64_t m_slot = 0;
		pointer m_node = nullptr;
	};

	using iterator = basic_iterator<false>;
	using const_iterator = basic_iterator<true>;

	/**
	 * What insert_check() has found out. Boost keeps it until the object is
	 * constructed, or has failed to be, and still holds the lock when it
	 * goes: so its end tells the index that the object is whole.
	 */
	class insert_commit_data
	{
	public:
		insert_commit_data() noexcept = default;
		insert_commit_data(const insert_commit_data &) = delete;
		insert_commit_data &
		operator=(const insert_commit_data &) = delete;

		~insert_commit_data()
		{
			if (m_index)
				m_index->m_making.store(
					m_depth, std::memory_order_release);
		}

	private:
		friend hash_index;

		hash_index *m_index = nullptr;
		std::uint32_t m_depth = 0;
		std::uint64_t m_hash = 0;
		std::uint64_t m_slot = 0;
	};

	/** What find_shared() says. */
	struct shared_value
	{
		/** nullptr: there is no such name. */
		const void *address;
		/** Size of all its elements; it ends inside the segment. */
		std::uint64_t size;
	};

	/** Takes no memory before there is a name. */
	explicit hash_index(segment_manager_base *segment) noexcept
		: m_base(static_cast<std::uint64_t>(
			  reinterpret_cast<char *>(this) -
			  reinterpret_cast<char *>(segment))),
		  m_key(detail::wyhash_key::random())
	{
		using registry = detail::mutex_registry;

		const registry *const found = registry::current();

		if (!found)
			return;
		registry::note(found->named_index ? &registry::unique_index
						  : &registry::named_index,
			       this);
		if constexpr (recovers) {
			if (!found->recursive_mutex)
				return;
			m_mutex = static_cast<char *>(found->recursive_mutex) -
				  reinterpret_cast<char *>(this);
			m_seen.store(mutex()->recoveries(),
				     std::memory_order_relaxed);
		}
	}

	hash_index(const hash_index &) = delete;
	hash_index &operator=(const hash_index &) = delete;

	~hash_index() { retire(view{}, table()); }

	/** First of all objects, in no order; O(capacity) for all. */
	iterator begin() noexcept { return seek<iterator>(0); }
	const_iterator begin() const noexcept
	{
		return seek<const_iterator>(0);
	}

	iterator end() noexcept { return iterator(); }
	const_iterator end() const noexcept { return const_iterator(); }

	/** Number of names. */
	size_type size() const noexcept
	{
		return static_cast<size_type>(
			stale() ? entries(table())
				: m_count.load(std::memory_order_relaxed));
	}

	/** end() if the name is not there. */
	iterator find(const compare_key_type &key) noexcept
	{
		return find_as<iterator>(key);
	}

	const_iterator find(const compare_key_type &key) const noexcept
	{
		return find_as<const_iterator>(key);
	}

	/**
	 * Looks a name up for whoever cannot take the lock, and may map the
	 * segment for reading only. It stores nothing, takes a number of steps
	 * that is bounded by the size of the table, and never reads outside the
	 * segment, whatever others do meanwhile: they may insert, erase, free
	 * the table and use its memory for something else. What it says means
	 * something only if the lock was not taken meanwhile, which the caller
	 * has to find out (robust_recursive_mutex::generation()).
	 */
	shared_value find_shared(const char_type *name,
				 std::size_t length) const noexcept
	{
		const view all = table();
		const probe at = search(all, name, length, hash(name, length));

		if (!at.node)
			return {nullptr, 0};

		const parts node(*at.node);
		const std::uint64_t room = all.size - offset_of(at.node);

		if (node.value > room || node.value_size > room - node.value)
			return {nullptr, 0};
		return {reinterpret_cast<const char *>(at.node) + node.value,
			node.value_size};
	}

	/**
	 * Looks for a name and makes sure that there is room for it, so that
	 * insert_commit() cannot fail. The bool is false if the name is there.
	 *
	 * Throws kernel_memory_exception (ENAMETOOLONG) for a name of more than
	 * 65535 characters, and boost::interprocess::bad_alloc: then all is as
	 * before.
	 */
	std::pair<iterator, bool> insert_check(const compare_key_type &key,
					       insert_commit_data &data)
	{
		settle();
		if (key.m_len > name_length_max)
			throw kernel_memory_exception(std::make_error_code(
				std::errc::filename_too_long));
		data.m_hash = hash(key.mp_str, key.m_len);

		const view all = table();
		const probe at =
			search(all, key.mp_str, key.m_len, data.m_hash);

		if (at.node)
			return {iterator(this, at.slot, at.node), false};
		if (all.size > segment_size_max)
			throw boost::interprocess::bad_alloc();
		data.m_slot = make_room(all, at, data.m_hash);
		return {iterator(), true};
	}

	/** Boost before 1.87. */
	iterator insert_commit(value_type &value,
			       insert_commit_data &data) noexcept
	{
		return insert(value, *value.get_block_header(), data);
	}

	/** Boost 1.87 and later. */
	template <typename Block>
	iterator insert_commit(const compare_key_type &, Block *block,
			       value_type &value,
			       insert_commit_data &data) noexcept
	{
		return insert(value, *block, data);
	}

	/** Takes an object out; an iterator that is out of date is no harm. */
	void erase(const_iterator position)
	{
		settle();

		const view all = table();
		const value_type &node = *position;
		std::uint64_t slot = position.m_slot;

		if (slot > all.mask || node_of(all, all.load(slot)) != &node) {
			const probe at =
				search(all, node.name(), node.name_length(),
				       hash(node.name(), node.name_length()));

			if (at.node != &node)
				return;
			slot = at.slot;
		}
		erase_slot(all, slot);
		subtract(m_count, 1);
	}

	/**
	 * Makes room for @count names in all, so that the table need not grow
	 * before there are more. Throws boost::interprocess::bad_alloc.
	 */
	void reserve(size_type count)
	{
		settle();

		const std::uint64_t number = count;
		const int bits = bits_for(number);

		if (!number || (table().slots && bits <= table().bits))
			return;
		if (number > limit(std::uint64_t(1) << bits) || !rebuild(bits))
			throw boost::interprocess::bad_alloc();
	}

	/** Gives back memory that the present names do not need. */
	void shrink_to_fit()
	{
		settle();

		const view all = table();
		const std::uint64_t count = entries(all);

		if (!all.slots)
			return;
		if (!count) {
			retire(view{}, all);
			m_used.store(0, std::memory_order_relaxed);
		} else if (bits_for(count) < all.bits) {
			rebuild(bits_for(count));
		}
	}

	/**
	 * Looks at everything: entries, their names and where they are found,
	 * and what is derived from them. Safe on garbage; under the lock false
	 * means that somebody wrote where he should not.
	 */
	bool check_sanity() const noexcept
	{
		const std::uint64_t where =
			m_table.load(std::memory_order_acquire);
		const view all = table();
		std::uint64_t count = 0;
		std::uint64_t used = 0;

		if (!all.slots)
			return !where && (stale() || !size());
		for (std::uint64_t slot = 0; slot <= all.mask; ++slot) {
			const std::uint64_t entry = all.load(slot);
			const value_type *node = node_of(all, entry);
			std::size_t length;

			used += entry != empty;
			if (entry <= tombstone)
				continue;
			++count;
			if (!node)
				return false;

			const char_type *name = name_of(all, *node, length);

			if (!name ||
			    probe_for(all, name, length, hash(name, length))
					    .node != node)
				return false;
		}
		return stale() ||
		       (count == m_count.load(std::memory_order_relaxed) &&
			used == m_used.load(std::memory_order_relaxed));
	}

private:
	static constexpr bool recovers =
		detail::counts_recoveries<mutex_type>::value;

	static constexpr std::uint64_t empty = 0;
	static constexpr std::uint64_t tombstone = 1;
	static constexpr int tag_bits = 27;
	static constexpr std::uint64_t offset_mask =
		(std::uint64_t(1) << (64 - tag_bits)) - 1;
	static constexpr std::uint64_t segment_size_max = (offset_mask + 1) * 8;
	static constexpr std::size_t name_length_max = 0xffff;
	static constexpr int bits_min = 4;
	/* So the upper bits of an entry tell where it goes in any table. */
	static constexpr int bits_max = tag_bits;
	/* Constructors that construct named objects, that deep at once. */
	static constexpr std::uint32_t making_max = 8;

	/** A table as one word describes it. */
	struct view
	{
		word *slots = nullptr;
		int bits = 0;
		std::uint64_t mask = 0;
		/* Of the segment, read once. */
		std::uint64_t size = 0;

		void *address() const noexcept { return slots; }

		/* Slots beside each other are filled in order of the hash. */
		std::uint64_t home(std::uint64_t hash) const noexcept
		{
			return hash >> (64 - bits);
		}

		std::uint64_t load(std::uint64_t slot) const noexcept
		{
			return slots[slot].load(std::memory_order_acquire);
		}

		void store(std::uint64_t slot,
			   std::uint64_t entry) const noexcept
		{
			slots[slot].store(entry, std::memory_order_release);
		}
	};

	/** What a node says of itself. */
	struct parts
	{
		std::uint64_t name;
		std::uint64_t value;
		std::uint64_t value_size;
		std::size_t length;

		explicit parts(const detail::hash_index_hook &hook) noexcept
		{
			const std::uint64_t layout =
				hook.layout.load(std::memory_order_acquire);
			const std::uint64_t gap = layout >> 16 & 7;

			name = layout >> 24;
			value = (layout >> 19 & 31) << 3;
			length = layout & name_length_max;
			/* Garbage: more than any segment has. */
			value_size = name - value - gap;
		}

		static std::uint64_t describe(std::uint64_t name,
					      std::uint64_t value,
					      std::uint64_t value_size,
					      std::uint64_t length) noexcept
		{
			return name << 24 | value << 16 |
			       (name - value - value_size) << 16 | length;
		}
	};

	/** An entry, or the first slot that a new one can have. */
	struct probe
	{
		std::uint64_t slot;
		const value_type *node;
		/* Whether there is one. */
		bool free;
	};

	/* Share of a table that is filled before there is a new one ... */
	static std::uint64_t limit(std::uint64_t capacity) noexcept
	{
		return capacity - capacity / 8 - capacity / 16;
	}

	/* ... and if there is no memory for one. */
	static std::uint64_t hard_limit(std::uint64_t capacity) noexcept
	{
		return capacity - capacity / 16;
	}

	static int bits_for(std::uint64_t count) noexcept
	{
		int bits = bits_min;

		while (bits < bits_max &&
		       limit(std::uint64_t(1) << bits) < count)
			++bits;
		return bits;
	}

	static void subtract(word &from, std::uint64_t by) noexcept
	{
		from.store(from.load(std::memory_order_relaxed) - by,
			   std::memory_order_relaxed);
	}

	char *base() const noexcept
	{
		return const_cast<char *>(
			       reinterpret_cast<const char *>(this)) -
		       m_base;
	}

	segment_manager_base &segment() const noexcept
	{
		return *reinterpret_cast<segment_manager_base *>(base());
	}

	std::uint64_t offset_of(const void *address) const noexcept
	{
		return static_cast<std::uint64_t>(
			static_cast<const char *>(address) - base());
	}

	const mutex_type *mutex() const noexcept
	{
		if (!m_mutex)
			return nullptr;
		return reinterpret_cast<const mutex_type *>(
			reinterpret_cast<const char *>(this) + m_mutex);
	}

	std::uint64_t hash(const char_type *name,
			   std::size_t length) const noexcept
	{
		return detail::wyhash(name, length * sizeof(char_type), m_key);
	}

	/** The table, nowhere if it is not inside the segment. */
	view table() const noexcept
	{
		const std::uint64_t where =
			m_table.load(std::memory_order_acquire);
		const std::uint64_t offset = where >> 8 << 3;
		const int bits = static_cast<int>(where & 0xff);
		view all;

		all.size = segment().get_size();
		if (static_cast<unsigned>(bits - bits_min) >
			    bits_max - bits_min ||
		    offset > all.size ||
		    (std::uint64_t(8) << bits) > all.size - offset)
			return all;
		all.slots = reinterpret_cast<word *>(base() + offset);
		all.bits = bits;
		all.mask = (std::uint64_t(1) << bits) - 1;
		return all;
	}

	std::uint64_t describe(const view &all) const noexcept
	{
		return all.slots ? offset_of(all.slots) >> 3 << 8 |
					   static_cast<std::uint64_t>(all.bits)
				 : 0;
	}

	/** The node of an entry, nullptr if it is not inside the segment. */
	value_type *node_of(const view &all, std::uint64_t entry) const noexcept
	{
		const std::uint64_t offset = (entry & offset_mask) << 3;

		/* The segment of a table is larger than a node. */
		if (entry <= tombstone ||
		    offset > all.size - sizeof(value_type))
			return nullptr;
		return reinterpret_cast<value_type *>(base() + offset);
	}

	/** The name of a node, nullptr if it is not inside the segment. */
	const char_type *name_of(const view &all, const value_type &node,
				 std::size_t &length) const noexcept
	{
		const parts all_of(node);
		const std::uint64_t room = all.size - offset_of(&node);

		length = all_of.length;
		if (all_of.name > room ||
		    length * sizeof(char_type) > room - all_of.name)
			return nullptr;
		return reinterpret_cast<const char_type *>(
			reinterpret_cast<const char *>(&node) + all_of.name);
	}

	/* ---- recovery ---- */

	bool stale() const noexcept
	{
		if constexpr (recovers)
			return m_mutex &&
			       mutex()->recoveries() !=
				       m_seen.load(std::memory_order_relaxed);
		else
			return false;
	}

	bool owner_gone() const noexcept
	{
		if constexpr (recovers)
			return stale() || (m_mutex && mutex()->owner_died());
		else
			return false;
	}

	/** Whether the object was being made by a process that is no more. */
	bool abandoned(std::uint64_t offset) const noexcept
	{
		std::uint32_t depth = m_making.load(std::memory_order_acquire);

		if (depth > making_max)
			depth = making_max;
		for (std::uint32_t i = 0; i < depth; ++i)
			if (m_made[i].load(std::memory_order_relaxed) == offset)
				return owner_gone();
		return false;
	}

	std::uint64_t entries(const view &all) const noexcept
	{
		std::uint64_t count = 0;

		for (std::uint64_t slot = 0; all.slots && slot <= all.mask;
		     ++slot) {
			const std::uint64_t entry = all.load(slot);

			count += entry > tombstone &&
				 !abandoned((entry & offset_mask) << 3);
		}
		return count;
	}

	/** First thing of each change: derived data as the truth is. */
	void settle()
	{
		if constexpr (recovers) {
			if (!stale())
				return;

			const std::uint32_t seen = mutex()->recoveries();

			repair();
			m_seen.store(seen, std::memory_order_release);
		}
	}

	/* Whoever dies in here has it done again by the next one. */
	void repair()
	{
		const view all = table();
		std::uint64_t count = 0;
		std::uint64_t used = 0;

		for (std::uint64_t slot = 0; all.slots && slot <= all.mask;
		     ++slot) {
			const std::uint64_t entry = all.load(slot);

			if (entry > tombstone &&
			    abandoned((entry & offset_mask) << 3))
				erase_slot(all, slot);
		}
		m_making.store(0, std::memory_order_release);

		for (std::uint64_t slot = 0; all.slots && slot <= all.mask;
		     ++slot) {
			const std::uint64_t entry = all.load(slot);

			count += entry > tombstone;
			used += entry != empty;
		}
		m_count.store(count, std::memory_order_relaxed);
		m_used.store(used, std::memory_order_relaxed);

		/* Either the table that was to be, or the one that had been. */
		const std::uint64_t spare =
			m_spare.load(std::memory_order_relaxed);

		if (spare && spare != describe(all))
			release(base() + (spare >> 8 << 3));
		else
			m_spare.store(0, std::memory_order_relaxed);
	}

	/** Forgets the spare table first: rather lost than freed twice. */
	void release(void *address)
	{
		m_spare.store(0, std::memory_order_release);
		std::atomic_signal_fence(std::memory_order_seq_cst);
		if (address)
			segment().deallocate(address);
	}

	/* ---- search ---- */

	/** The slot of a name, with what is needed to insert it. */
	probe probe_for(const view &all, const char_type *name,
			std::size_t length, std::uint64_t hash) const noexcept
	{
		probe at{0, nullptr, false};

		if (!all.slots)
			return at;

		std::uint64_t slot = all.home(hash);

		for (std::uint64_t n = 0; n <= all.mask;
		     ++n, slot = (slot + 1) & all.mask) {
			const std::uint64_t entry = all.load(slot);

			if (entry <= tombstone) {
				if (!at.free)
					at = {slot, nullptr, true};
				if (entry == empty)
					break;
				continue;
			}
			if ((entry ^ hash) >> (64 - tag_bits))
				continue;

			const value_type *node = node_of(all, entry);
			std::size_t found;

			if (!node)
				continue;
			/* Where the name is says the node, in another line. */
			__builtin_prefetch(
				reinterpret_cast<const char *>(node) + 48);

			const char_type *text = name_of(all, *node, found);

			if (text && found == length &&
			    !std::memcmp(text, name,
					 length * sizeof(char_type)))
				return {slot, node, false};
		}
		return at;
	}

	/** As probe_for(), but blind for what a dead process left undone. */
	probe search(const view &all, const char_type *name, std::size_t length,
		     std::uint64_t hash) const noexcept
	{
		probe at = probe_for(all, name, length, hash);

		if (at.node && m_making.load(std::memory_order_acquire) &&
		    abandoned(offset_of(at.node)))
			at.node = nullptr;
		return at;
	}

	template <typename Iterator>
	Iterator find_as(const compare_key_type &key) const noexcept
	{
		const probe at = search(table(), key.mp_str, key.m_len,
					hash(key.mp_str, key.m_len));

		return at.node ? Iterator(this, at.slot, at.node) : Iterator();
	}

	/** The first entry from a slot on. */
	template <typename Iterator>
	Iterator seek(std::uint64_t slot) const noexcept
	{
		const view all = table();

		for (; all.slots && slot <= all.mask; ++slot) {
			const value_type *node = node_of(all, all.load(slot));

			if (node && !abandoned(offset_of(node)))
				return Iterator(this, slot, node);
		}
		return Iterator();
	}

	/* ---- change ---- */

	void erase_slot(const view &all, std::uint64_t slot) noexcept
	{
		if (all.load((slot + 1) & all.mask) != empty) {
			all.store(slot, tombstone);
			return;
		}
		/* Before one where every search ends nobody has to go on. */
		do {
			all.store(slot, empty);
			subtract(m_used, 1);
			slot = (slot - 1) & all.mask;
		} while (all.load(slot) == tombstone);
	}

	template <typename Block>
	iterator insert(value_type &value, const Block &block,
			insert_commit_data &data) noexcept
	{
		const view all = table();
		const std::uint64_t offset = offset_of(&value);
		const char *node = reinterpret_cast<const char *>(&value);
		const char *name = reinterpret_cast<const char *>(value.name());
		const char *object = static_cast<const char *>(block.value());
		detail::hash_index_hook &hook = value;

		hook.layout.store(
			parts::describe(
				static_cast<std::uint64_t>(name - node),
				static_cast<std::uint64_t>(object - node),
				block.value_bytes(), value.name_length()),
			std::memory_order_relaxed);
		if constexpr (recovers) {
			const std::uint32_t depth =
				m_making.load(std::memory_order_relaxed);

			if (m_mutex && depth < making_max) {
				data.m_index = this;
				data.m_depth = depth;
				m_made[depth].store(offset,
						    std::memory_order_relaxed);
				m_making.store(depth + 1,
					       std::memory_order_release);
			}
		}
		if (all.load(data.m_slot) == empty)
			subtract(m_used, ~std::uint64_t(0));
		all.store(data.m_slot,
			  (data.m_hash & ~offset_mask) | offset >> 3);
		subtract(m_count, ~std::uint64_t(0));
		return iterator(this, data.m_slot, &value);
	}

	/** A free slot for a hash, in a new table if this one is full. */
	std::uint64_t make_room(const view &all, const probe &at,
				std::uint64_t hash)
	{
		const std::uint64_t count =
			m_count.load(std::memory_order_relaxed);
		const std::uint64_t used =
			m_used.load(std::memory_order_relaxed);
		const std::uint64_t capacity = all.slots ? all.mask + 1 : 0;

		if (at.free && used < limit(capacity))
			return at.slot;

		/* Half a table of entries at least, or it is full too soon. */
		int bits = bits_for(2 * (count + 1));

		if (bits > all.bits + 1)
			bits = all.bits + 1;
		if (bits < all.bits)
			bits = all.bits;
		if (bits < bits_min)
			bits = bits_min;
		if ((bits > all.bits || used > count) && rebuild(bits))
			return vacant(table(), hash);
		/* There may be memory for one of the same size. */
		if (used >= hard_limit(capacity) && bits > all.bits &&
		    used > count && rebuild(all.bits))
			return vacant(table(), hash);
		if (at.free && count < hard_limit(capacity))
			return at.slot;
		throw boost::interprocess::bad_alloc();
	}

	static std::uint64_t vacant(const view &all,
				    std::uint64_t hash) noexcept
	{
		std::uint64_t slot = all.home(hash);

		while (all.load(slot) != empty)
			slot = (slot + 1) & all.mask;
		return slot;
	}

	/** Puts all entries into a table of 2^bits slots; false: no memory. */
	bool rebuild(int bits)
	{
		const view old = table();
		const std::uint64_t size = std::uint64_t(8) << bits;
		view fresh;
		std::uint64_t count = 0;

		if (bits > bits_max || bits < bits_min ||
		    size > size_type(-1) || entries(old) >= size / 8)
			return false;

		void *memory = segment().allocate_aligned(
			static_cast<size_type>(size), 64, std::nothrow);

		if (!memory)
			return false;
		fresh.slots = static_cast<word *>(memory);
		fresh.bits = bits;
		fresh.mask = (std::uint64_t(1) << bits) - 1;
		m_spare.store(describe(fresh), std::memory_order_release);
		std::memset(memory, 0, static_cast<std::size_t>(size));

		for (std::uint64_t slot = 0; old.slots && slot <= old.mask;
		     ++slot) {
			const std::uint64_t entry = old.load(slot);

			if (entry <= tombstone)
				continue;
			++count;
			fresh.slots[vacant(fresh, entry)].store(
				entry, std::memory_order_relaxed);
		}
		retire(fresh, old);
		m_count.store(count, std::memory_order_relaxed);
		m_used.store(count, std::memory_order_relaxed);
		return true;
	}

	/** The one store that makes another table the table. */
	void retire(const view &fresh, const view &old)
	{
		m_table.store(describe(fresh), std::memory_order_release);
		m_spare.store(describe(old), std::memory_order_release);
		release(old.address());
	}

	/** From the segment manager to here. */
	std::uint64_t m_base;
	detail::wyhash_key m_key;
	/** The truth: offset of the table in 8 bytes << 8 | log2 of its size. */
	word m_table{0};
	/** How many objects are being made, one inside the other ... */
	std::atomic<std::uint32_t> m_making{0};
	/** Recoveries of the mutex that the derived data has taken in. */
	std::atomic<std::uint32_t> m_seen{0};
	/** Derived: entries, and slots that are not empty. */
	word m_count{0};
	word m_used{0};
	/** A table that is allocated and not, or no longer, the table. */
	word m_spare{0};
	/** From here to the lock, 0 if that does not tell of deaths. */
	std::ptrdiff_t m_mutex = 0;
	/** ... and their offsets. */
	word m_made[making_max] = {};
};

} // namespace shm_kernel

namespace boost {
namespace interprocess {

/* Tells the segment manager to keep our node in front of the object. */
template <typename MapConfig>
struct is_intrusive_index<shm_kernel::hash_index<MapConfig>>
{
	static const bool value = true;
};

} // namespace interprocess
} // namespace boost

#endif /* SHM_KERNEL_INTERPROCESS_HASH_INDEX_HPP */
