/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The memory of a message queue, and what is done to it without waiting
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_QUEUE_CORE_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_QUEUE_CORE_HPP

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

namespace shm_kernel {
namespace detail {

/*
 * The truth about a queue is one word in each of its slots, and each change of
 * it is one store:
 *
 *	free -> claimed -> ready -> taken -> free
 *	        (by p)             (by p)
 *
 * A sender claims a free slot under the senders' lock, copies its message in
 * without it, and takes it again to make the slot ready and to put its number
 * into the inbox. A receiver moves what is in the inbox to lists, one for each
 * priority, under the receivers' lock, takes the first of the highest, and
 * copies it out without the lock. Senders and receivers share no lock.
 *
 * Inbox, lists, the ring of free slots and all counters follow from the slots.
 * Whoever dies, at whatever instruction, is named in the locks that it held and
 * in the slots that it was working on; rebuild() makes everything else anew
 * while nobody has either lock. What is claimed by the dead was never sent.
 * What is taken by the dead was not received, for receive() had not returned:
 * it is ready once more, in its old place.
 */

/** A lock is a word: 0, or who has it. */
using queue_lock = std::atomic<std::uint32_t>;

/** Holds a lock while it repairs; proved by the lock on the repair byte. */
inline constexpr std::uint32_t queue_repairer = 0xffffffff;

/** Peers that a queue can have at the same time. */
inline constexpr std::uint32_t queue_peers = 1024;

/** Cache lines are fetched in pairs; what different sides write lies apart. */
inline constexpr std::size_t queue_line = 128;

/** Somebody that has the queue open; owns the byte here by a file lock. */
struct queue_peer
{
	static constexpr std::uint32_t absent = 0;
	static constexpr std::uint32_t here = 1;

	std::atomic<std::uint32_t> state;
	/** For people: in the peer's own namespace. */
	std::atomic<std::uint32_t> pid;
};

struct queue_header
{
	static constexpr std::uint64_t expected_magic = 0x6575657571206d68;

	std::uint64_t magic;
	std::uint64_t max_num;
	std::uint64_t max_size;
	/** Its first byte is locked by whoever repairs. */
	std::uint64_t repair;

	/** What senders write. */
	struct alignas(queue_line)
	{
		queue_lock lock;
		/** End of what is claimed; what receive.avail was. */
		std::atomic<std::uint32_t> claimed;
		std::atomic<std::uint32_t> avail_seen;
		/** Messages sent; the low half is the end of the inbox. */
		std::atomic<std::uint64_t> sequence;
	} send;

	/** What receivers write. */
	struct alignas(queue_line)
	{
		queue_lock lock;
		/** Beginning of the inbox; lists in use. */
		std::atomic<std::uint32_t> drained;
		std::atomic<std::uint32_t> lists;
		/** End of the ring of slots that are, or soon will be, free. */
		std::atomic<std::uint32_t> avail;
	} receive;

	/** What all read and few write. */
	struct alignas(queue_line)
	{
		std::atomic<std::uint32_t> receiver_sleeps;
		std::atomic<std::uint32_t> sender_sleeps;
		/** Peers that died, in all. */
		std::atomic<std::uint32_t> deaths;
		/** No peer was ever here or behind. */
		std::atomic<std::uint32_t> peer_end;
		/**
		 * No message in the inbox has a higher priority than this - 1,
		 * once its send() has returned.
		 */
		std::atomic<std::uint64_t> inbox_max;
	} common;

	alignas(queue_line) queue_peer peer[queue_peers];
};

struct queue_slot
{
	static constexpr std::uint32_t free = 0;
	static constexpr std::uint32_t ready = 1;
	/** The rest of the word is the peer. */
	static constexpr std::uint32_t claimed = 1U << 30;
	static constexpr std::uint32_t taken = 2U << 30;
	static constexpr std::uint32_t peer_mask = claimed - 1;

	std::atomic<std::uint32_t> state;
	std::uint32_t priority;
	std::uint64_t sequence;
	std::uint32_t size;
	std::uint32_t pad;
};

/** Messages of one priority, first come, first out. */
struct queue_list
{
	std::uint32_t priority;
	std::uint32_t head;
	std::uint32_t tail;
};

static_assert(queue_lock::is_always_lock_free &&
	      std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(queue_header) ==
	      4 * queue_line + sizeof(queue_peer) * queue_peers);

/** Where things are in a queue of a certain size; bytes from its start. */
class queue_shape final
{
public:
	/** What is too large for 32-bit numbers, or for the machine, is not valid. */
	queue_shape(std::uint64_t max_num, std::uint64_t max_bytes) noexcept
	{
		if (max_num > (1U << 30) || max_bytes > UINT32_MAX - 256)
			return;
		num = static_cast<std::uint32_t>(max_num);
		max_size = static_cast<std::uint32_t>(max_bytes);
		while (mask + 1 < num)
			mask = 2 * mask + 1;
		stride = (sizeof(queue_slot) + max_size + 63) &
			 ~std::uint64_t{63};
		inbox = sizeof(queue_header);
		ring = after(inbox, 8 * (std::uint64_t{mask} + 1));
		next = after(ring, 4 * (std::uint64_t{mask} + 1));
		order = after(next, 4 * std::uint64_t{num});
		lists = after(order, 4 * std::uint64_t{num});
		slots = after(lists, sizeof(queue_list) * std::uint64_t{num});
		if (num > (UINT64_MAX / 2 - slots) / stride)
			return;
		size = slots + num * stride;
		valid = size <= SIZE_MAX / 2;
	}

	bool valid = false;
	std::uint32_t num = 0;
	std::uint32_t max_size = 0;
	/** Of inbox and ring. */
	std::uint32_t mask = 0;
	std::uint64_t stride = 0;
	std::uint64_t inbox = 0;
	std::uint64_t ring = 0;
	std::uint64_t next = 0;
	std::uint64_t order = 0;
	std::uint64_t lists = 0;
	std::uint64_t slots = 0;
	std::uint64_t size = 0;

private:
	static std::uint64_t after(std::uint64_t offset,
				   std::uint64_t size) noexcept
	{
		return (offset + size + queue_line - 1) &
		       ~std::uint64_t{queue_line - 1};
	}
};

/* std::atomic_thread_fence(seq_cst), which some compilers make of mfence. */
inline void queue_barrier() noexcept
{
#if defined(__x86_64__)
	__asm__ __volatile__("lock; orl $0, (%%rsp)" ::: "memory", "cc");
#else
	std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/* A release store with a barrier behind it; one locked instruction, if possible. */
inline void queue_store_barrier(std::atomic<std::uint32_t> &word,
				std::uint32_t value) noexcept
{
#if defined(__x86_64__) || defined(__i386__)
	word.exchange(value);
#else
	word.store(value, std::memory_order_release);
	std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

inline void queue_pause() noexcept
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

/* Asks for lines that are about to be written. */
inline void queue_prefetch_write(const unsigned char *line) noexcept
{
#if defined(__x86_64__)
	__asm__ __volatile__("prefetchw %0" ::"m"(*line));
#else
	__builtin_prefetch(line, 1);
#endif
}

/**
 * A queue in memory. What comes from there is checked or clamped before it is
 * used as an index or a size: a peer that spoils the memory spoils messages,
 * and nothing outside of the queue.
 */
class queue_core final
{
public:
	enum class result {
		done,
		/** Full, or empty. */
		nothing,
	};

	queue_core(void *memory, const queue_shape &shape) noexcept
		: m_shape(shape), m_base(static_cast<unsigned char *>(memory))
	{
	}

	/** Makes an empty queue out of zeroes. */
	void construct() noexcept
	{
		auto *const header = new (m_base) queue_header();

		header->max_num = m_shape.num;
		header->max_size = m_shape.max_size;
		for (std::uint32_t i = 0; i < m_shape.num; ++i)
			store(*ring(i), i);
		store(header->receive.avail, m_shape.num);
		header->magic = queue_header::expected_magic;
	}

	const queue_shape &shape() const noexcept { return m_shape; }

	queue_header &header() const noexcept
	{
		return *reinterpret_cast<queue_header *>(m_base);
	}

	/** Who acts; changes only while nothing is done. */
	void set_peer(std::uint32_t peer) noexcept { m_peer = peer; }
	std::uint32_t peer() const noexcept { return m_peer; }

	/** @name Locks */
	/** @{ */

	bool try_lock(queue_lock &lock) const noexcept
	{
		std::uint32_t nobody = 0;

		return lock.compare_exchange_strong(nobody, m_peer + 1,
						    std::memory_order_acquire,
						    std::memory_order_relaxed);
	}

	static void unlock(queue_lock &lock) noexcept
	{
		lock.store(0, std::memory_order_release);
	}

	/** @} */
	/** @name Sending; @a contended gets a lock that is not free */
	/** @{ */

	template <class Contended>
	result try_send(const void *data, std::size_t size,
			std::uint32_t priority, Contended contended) noexcept
	{
		auto &send = header().send;

		lock_for_sending(contended);

		const std::uint32_t number = claim();

		if (number == none) {
			unlock(send.lock);
			return result::nothing;
		}

		queue_slot *const slot = slot_at(number);

		/*
		 * To copy takes less time than to lock once more if it is little,
		 * or if there is no other sender whom it keeps waiting.
		 */
		const bool outside =
			size > small && (size > medium || load(m_company));

		if (outside) {
			unlock(send.lock);
			if (load(m_company))
				store(m_company, load(m_company) - 1);
		}
		slot->priority = priority;
		slot->size = static_cast<std::uint32_t>(size);
		std::memcpy(payload(slot), data, size);
		if (outside)
			lock_for_sending(contended);
		publish(slot, number, priority);
		/*
		 * The message before the looks at what receivers write. Pairs
		 * with the barriers in drain_for_order() and in those who go to
		 * sleep.
		 */
		queue_store_barrier(send.lock, 0);
		while (load(header().common.inbox_max) <= priority) {
			lock_for_sending(contended);
			raise_inbox_max(priority);
			queue_store_barrier(send.lock, 0);
		}
		return result::done;
	}

	/** @} */
	/** @name Receiving into a buffer of max_size bytes */
	/** @{ */

	template <class Contended>
	result try_receive(void *data, std::size_t &size,
			   std::uint32_t &priority,
			   Contended contended) noexcept
	{
		auto &receive = header().receive;

		if (!try_lock(receive.lock))
			contended(receive.lock);

		const std::uint32_t number = take();

		unlock(receive.lock);
		if (number == none)
			return result::nothing;

		queue_slot *const slot = slot_at(number);
		const std::size_t bytes =
			std::min<std::size_t>(slot->size, m_shape.max_size);

		priority = slot->priority;
		std::memcpy(data, payload(slot), bytes);
		size = bytes;
		/* The room before the look at who waits for it. */
		queue_store_barrier(slot->state, queue_slot::free);
		return result::done;
	}

	/** @} */
	/** @name Glances without a lock: what they say may be over already */
	/** @{ */

	bool may_have_message() const noexcept
	{
		const auto &receive = header().receive;

		return load(receive.lists) ||
		       load(*inbox(load(receive.drained)));
	}

	bool may_have_room() const noexcept
	{
		return load(header().send.claimed) !=
		       load(header().receive.avail);
	}

	std::uint32_t messages() const noexcept
	{
		const std::uint32_t taken =
			load(header().receive.avail) - m_shape.num;
		const std::uint32_t count = static_cast<std::uint32_t>(load(
						    header().send.sequence)) -
					    taken;

		/* Taken before it was counted here: negative. */
		if (count > m_shape.num)
			return count >> 31 ? 0 : m_shape.num;
		return count;
	}

	/** @} */

	/**
	 * Makes everything anew from the slots; the caller has both locks.
	 * @a dead tells whether a peer is.
	 */
	template <class Dead>
	void rebuild(Dead dead) noexcept
	{
		queue_header &all = header();
		std::uint64_t sequence = load(all.send.sequence);
		std::uint32_t ready = 0;
		std::uint32_t unused = 0;

		for (std::uint32_t i = 0; i < m_shape.num; ++i) {
			queue_slot *const slot = slot_at(i);
			const std::uint32_t state =
				slot->state.load(std::memory_order_acquire);
			const std::uint32_t what =
				state & ~queue_slot::peer_mask;

			if (what && dead(state & queue_slot::peer_mask)) {
				store(slot->state, what == queue_slot::taken
							   ? queue_slot::ready
							   : queue_slot::free);
			} else if (what == queue_slot::claimed) {
				continue;
			}
			if (load(slot->state) == queue_slot::ready) {
				order(ready++) = i;
				sequence = std::max(sequence, slot->sequence);
			} else {
				store(*ring(unused++), i);
			}
		}

		/*
		 * The end of the ring tells how many messages there are, so it
		 * has its place; the ring was filled from 0 on.
		 */
		const auto published = static_cast<std::uint32_t>(sequence);
		const std::uint32_t avail = published - ready + m_shape.num;

		move_ring(unused, avail - unused);
		store(all.send.sequence, sequence);
		store(all.send.claimed, avail - unused);
		store(all.send.avail_seen, avail);
		store(all.receive.avail, avail);
		store(all.receive.drained, published);
		store(all.common.inbox_max, std::uint64_t{0});
		for (std::uint32_t i = 0; i <= m_shape.mask; ++i)
			store(*inbox(i), std::uint64_t{0});

		std::sort(&order(0), &order(0) + ready,
			  [this](std::uint32_t a, std::uint32_t b) {
				  const queue_slot *const x = slot_at(a);
				  const queue_slot *const y = slot_at(b);

				  return x->priority != y->priority
						 ? x->priority < y->priority
						 : x->sequence < y->sequence;
			  });
		store(all.receive.lists, 0U);
		for (std::uint32_t i = 0; i < ready; ++i)
			append(order(i), slot_at(order(i))->priority);
	}

private:
	static constexpr std::uint32_t none = UINT32_MAX;

	template <class T>
	static T load(const std::atomic<T> &word) noexcept
	{
		return word.load(std::memory_order_relaxed);
	}

	template <class T>
	static void store(std::atomic<T> &word, T value) noexcept
	{
		word.store(value, std::memory_order_relaxed);
	}

	template <class T>
	T *at(std::uint64_t offset, std::uint64_t index) const noexcept
	{
		return reinterpret_cast<T *>(m_base + offset) + index;
	}

	/** Messages in the order of their sending: priority, number + 1. */
	std::atomic<std::uint64_t> *inbox(std::uint32_t position) const noexcept
	{
		return at<std::atomic<std::uint64_t>>(m_shape.inbox,
						      position & m_shape.mask);
	}

	/** Slots in the order in which they became free. */
	std::atomic<std::uint32_t> *ring(std::uint32_t position) const noexcept
	{
		return at<std::atomic<std::uint32_t>>(m_shape.ring,
						      position & m_shape.mask);
	}

	/** The slot behind one in its list. */
	std::uint32_t &next(std::uint32_t number) const noexcept
	{
		return *at<std::uint32_t>(m_shape.next, number);
	}

	/** Room for sorting. */
	std::uint32_t &order(std::uint32_t index) const noexcept
	{
		return *at<std::uint32_t>(m_shape.order, index);
	}

	queue_list *lists() const noexcept
	{
		return at<queue_list>(m_shape.lists, 0);
	}

	std::uint32_t valid(std::uint32_t number) const noexcept
	{
		return number < m_shape.num ? number : 0;
	}

	unsigned char *bytes_of(std::uint32_t number) const noexcept
	{
		return m_base + m_shape.slots +
		       std::uint64_t{number} * m_shape.stride;
	}

	queue_slot *slot_at(std::uint32_t number) const noexcept
	{
		return reinterpret_cast<queue_slot *>(bytes_of(number));
	}

	static void *payload(queue_slot *slot) noexcept { return slot + 1; }

	template <class Contended>
	void lock_for_sending(Contended &contended) noexcept
	{
		if (try_lock(header().send.lock))
			return;
		store(m_company, 100U);
		contended(header().send.lock);
	}

	/** A free slot, claimed, or none. */
	std::uint32_t claim() noexcept
	{
		auto &send = header().send;
		const std::uint32_t claimed = load(send.claimed);
		std::uint32_t avail = load(send.avail_seen);

		if (avail == claimed) {
			avail = header().receive.avail.load(
				std::memory_order_acquire);
			if (avail == claimed)
				return none;
			store(send.avail_seen, avail);
		}

		std::uint32_t number = valid(load(*ring(claimed)));
		queue_slot *slot = slot_at(number);

		if (slot->state.load(std::memory_order_acquire) !=
		    queue_slot::free) {
			/* Its receiver is slow; take what comes behind it. */
			number = find_free(claimed);
			if (number == none)
				return none;
			slot = slot_at(number);
		}
		store(slot->state, queue_slot::claimed | m_peer);
		store(send.claimed, claimed + 1);
		if (claimed + 1 != avail)
			prefetch_for_write(valid(load(*ring(claimed + 1))));
		return number;
	}

	std::uint32_t find_free(std::uint32_t claimed) noexcept
	{
		const std::uint32_t avail =
			header().receive.avail.load(std::memory_order_acquire);

		store(header().send.avail_seen, avail);
		for (std::uint32_t i = 1;
		     i <= m_shape.mask && claimed + i != avail; ++i) {
			const std::uint32_t number =
				valid(load(*ring(claimed + i)));

			if (slot_at(number)->state.load(
				    std::memory_order_acquire) !=
			    queue_slot::free)
				continue;
			store(*ring(claimed + i), load(*ring(claimed)));
			store(*ring(claimed), number);
			return number;
		}
		return none;
	}

	void publish(queue_slot *slot, std::uint32_t number,
		     std::uint32_t priority) noexcept
	{
		auto &send = header().send;
		const std::uint64_t sequence = load(send.sequence) + 1;

		slot->sequence = sequence;
		/* From this store on the message is sent. */
		slot->state.store(queue_slot::ready, std::memory_order_release);
		inbox(static_cast<std::uint32_t>(sequence) - 1)
			->store(std::uint64_t{priority} << 32 | (number + 1),
				std::memory_order_release);
		store(send.sequence, sequence);
		raise_inbox_max(priority);
	}

	void raise_inbox_max(std::uint32_t priority) noexcept
	{
		auto &inbox_max = header().common.inbox_max;

		if (load(inbox_max) <= priority)
			store(inbox_max, std::uint64_t{priority} + 1);
	}

	/** The first message of the highest priority, taken, or none. */
	std::uint32_t take() noexcept
	{
		auto &receive = header().receive;
		const std::uint32_t count = load(receive.lists);

		/*
		 * What is in the inbox need not be looked at as long as none of
		 * it is of a higher priority than what is in the lists.
		 */
		if (!count)
			drain();
		else if (count > m_shape.num ||
			 load(header().common.inbox_max) >
				 std::uint64_t{lists()[count - 1].priority} + 1)
			drain_for_order();

		const std::uint32_t lists_now = load(receive.lists);

		if (!lists_now || lists_now > m_shape.num)
			return none;

		queue_list &list = lists()[lists_now - 1];
		const std::uint32_t number = valid(list.head);
		const std::uint32_t avail = load(receive.avail);

		store(slot_at(number)->state, queue_slot::taken | m_peer);
		if (number == list.tail) {
			store(receive.lists, lists_now - 1);
		} else {
			list.head = valid(next(number));
			prefetch_for_read(list.head);
		}
		store(*ring(avail), number);
		receive.avail.store(avail + 1, std::memory_order_release);
		return number;
	}

	void drain_for_order() noexcept
	{
		/*
		 * A sender whose message is not seen here sees this, and says
		 * anew how high the inbox is.
		 */
		store(header().common.inbox_max, std::uint64_t{0});
		queue_barrier();
		drain();
	}

	void drain() noexcept
	{
		auto &receive = header().receive;
		std::uint32_t drained = load(receive.drained);

		for (std::uint32_t i = 0; i <= m_shape.mask; ++i) {
			const std::uint64_t entry =
				inbox(drained)->load(std::memory_order_acquire);

			if (!entry)
				break;
			store(*inbox(drained), std::uint64_t{0});
			append(valid(static_cast<std::uint32_t>(entry) - 1),
			       static_cast<std::uint32_t>(entry >> 32));
			++drained;
		}
		store(receive.drained, drained);
	}

	void append(std::uint32_t number, std::uint32_t priority) noexcept
	{
		const std::uint32_t count =
			std::min(load(header().receive.lists), m_shape.num);
		queue_list *const first = lists();
		queue_list *list = first + count;

		if (count && list[-1].priority >= priority)
			list = std::lower_bound(first, list - 1, priority,
						[](const queue_list &each,
						   std::uint32_t value) {
							return each.priority <
							       value;
						});
		if (list != first + count && list->priority == priority) {
			next(valid(list->tail)) = number;
			list->tail = number;
			return;
		}
		if (count == m_shape.num)
			return;
		if (list != first + count)
			std::copy_backward(list, first + count,
					   first + count + 1);
		*list = {priority, number, number};
		store(header().receive.lists, count + 1);
	}

	/* Moves the first @count of the ring so that they begin at @begin. */
	void move_ring(std::uint32_t count, std::uint32_t begin) noexcept
	{
		for (std::uint32_t i = 0; i < count; ++i)
			next(i) = load(*ring(i));
		for (std::uint32_t i = 0; i < count; ++i)
			store(*ring(begin + i), next(i));
	}

	void prefetch_for_write(std::uint32_t number) const noexcept
	{
		const unsigned char *const line = bytes_of(number);

		for (std::uint64_t i = 0;
		     i < std::min<std::uint64_t>(m_shape.stride, ahead);
		     i += 64)
			queue_prefetch_write(line + i);
	}

	void prefetch_for_read(std::uint32_t number) const noexcept
	{
		const unsigned char *const line = bytes_of(number);

		for (std::uint64_t i = 0;
		     i < std::min<std::uint64_t>(m_shape.stride, ahead);
		     i += 64)
			__builtin_prefetch(line + i);
	}

	/** Bytes that a sender copies under the lock: always, and if alone. */
	static constexpr std::size_t small = 128;
	static constexpr std::size_t medium = 1024;

	/** Bytes of the next slot that are asked for in advance. */
	static constexpr std::uint64_t ahead = 1088;

	queue_shape m_shape;
	unsigned char *m_base = nullptr;
	std::uint32_t m_peer = 0;
	/** Messages for which another sender is still to be expected. */
	std::atomic<std::uint32_t> m_company{0};
};

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_QUEUE_CORE_HPP */
