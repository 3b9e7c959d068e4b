/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The producer of a lane of a ring
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_RING_WRITER_HPP
#define SHM_KERNEL_RING_WRITER_HPP

#include <shm_kernel/errors.hpp>
#include <shm_kernel/events.hpp>
#include <shm_kernel/export.hpp>
#include <shm_kernel/region.hpp>
#include <shm_kernel/ring.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>

namespace shm_kernel {

/** What becomes of a record that there is no room for. */
enum class when_full {
	/** It is lost, and counted for the reader to see. */
	drop,
	/** The caller keeps it and tries again. */
	keep,
};

/** Room for a record: memory of the ring, at a multiple of 8. */
class ring_slot final
{
public:
	/** No room. */
	ring_slot() noexcept = default;
	ring_slot(void *data, std::size_t size) noexcept
		: m_data(data), m_size(size)
	{
	}

	void *data() const noexcept { return m_data; }
	std::size_t size() const noexcept { return m_size; }

	explicit operator bool() const noexcept { return m_data != nullptr; }

private:
	void *m_data = nullptr;
	std::size_t m_size = 0;
};

/**
 * Writes records into one lane of a ring. Move-only.
 *
 *	shm_kernel::ring_writer writer(region);
 *
 *	if (auto slot = writer.try_reserve(size)) {
 *		fill(slot.data());
 *		writer.commit();
 *	}
 *
 * One writer at a time has a lane. In a region that is seen to by a lock on
 * the region's file, which goes with the object or the process, kill -9
 * included; a child of fork() shares it. In plain memory it is for the program
 * to see to. The next writer goes on behind the records that are there; a
 * record that was not committed has never been.
 *
 * Functions throw std::system_error, or with a std::error_code as the last
 * argument set that instead. An object is for one thread at a time.
 */
class SHM_KERNEL_API ring_writer final
{
public:
	/** Writes nowhere. */
	ring_writer() noexcept;

	/**
	 * Becomes the producer of a lane of a ring in a region, which has to be
	 * open for writing. The handle is needed only for that; the ring stays
	 * mapped as long as the object lives.
	 */
	explicit ring_writer(const region &source,
			     const ring_access &access = ring_access());
	ring_writer(const region &source, const ring_access &access,
		    std::error_code &error);

	/** The same in memory at a multiple of 64, which the caller keeps. */
	ring_writer(void *memory, std::size_t size,
		    const ring_access &access = ring_access());
	ring_writer(void *memory, std::size_t size, const ring_access &access,
		    std::error_code &error);

	ring_writer(ring_writer &&other) noexcept;
	ring_writer &operator=(ring_writer &&other) noexcept;
	ring_writer(const ring_writer &) = delete;
	ring_writer &operator=(const ring_writer &) = delete;
	~ring_writer();

	/** @name Records */
	/** @{ */

	/**
	 * Room for a record of @a size bytes, which a reader sees after
	 * commit(); none if the ring is full. Nothing has happened until then:
	 * another reservation takes the place of this one.
	 */
	ring_slot try_reserve(std::size_t size,
			      when_full full = when_full::drop)
	{
		if (const ring_slot slot = reserve_fast(size))
			return slot;
		return reserve_slow(size, full);
	}
	ring_slot try_reserve(std::size_t size, when_full full,
			      std::error_code &error) noexcept
	{
		error.clear();
		if (const ring_slot slot = reserve_fast(size))
			return slot;
		return reserve_slow(size, full, error);
	}

	/**
	 * The same, after waiting for room; none after @a timeout, less than 0
	 * being for ever. Needs a doorbell.
	 */
	ring_slot reserve(std::size_t size,
			  std::chrono::nanoseconds timeout =
				  std::chrono::nanoseconds(-1));
	ring_slot reserve(std::size_t size, std::chrono::nanoseconds timeout,
			  std::error_code &error) noexcept;

	/**
	 * Publishes the record that was reserved, or its first @a size bytes.
	 *
	 * Returns whether the doorbell is to be rung: a reader waits, or the
	 * ring is one that overwrites, where that is not known. If the writer
	 * has a doorbell, it has been rung then; an error is about that, and
	 * the record is published nevertheless.
	 */
	bool commit(std::size_t size)
	{
		return publish(size) && (!m_rings || ring_doorbell());
	}
	bool commit() { return commit(m_room - std::size_t{1}); }
	bool commit(std::size_t size, std::error_code &error) noexcept
	{
		error.clear();
		if (size >= m_room) {
			error = std::make_error_code(
				std::errc::invalid_argument);
			return false;
		}
		return publish(size) && (!m_rings || ring_doorbell(error));
	}

	/** Gives a reservation up; the reader will not know of it. */
	void discard() noexcept { m_room = 0; }

	/**
	 * Reserves, copies and commits. Returns false if the ring is full. An
	 * error of the doorbell comes after the record was published, as with
	 * commit(): to write it again would send it twice.
	 */
	bool try_write(const void *data, std::size_t size,
		       when_full full = when_full::drop);
	bool try_write(const void *data, std::size_t size, when_full full,
		       std::error_code &error) noexcept;

	/** The same, after waiting for room; false after @a timeout. */
	bool
	write(const void *data, std::size_t size,
	      std::chrono::nanoseconds timeout = std::chrono::nanoseconds(-1));
	bool write(const void *data, std::size_t size,
		   std::chrono::nanoseconds timeout,
		   std::error_code &error) noexcept;

	/** @} */
	/** @name Waiting for room */
	/** @{ */

	/**
	 * Rings by this descriptor, and waits on it for readers to ring: an
	 * event file of the region. The writer has a duplicate of its own, so
	 * that the peer stays as long as the writer does. What the file has
	 * counted is lost to others when the writer waits.
	 */
	void set_doorbell(const events &doorbell);
	void set_doorbell(const events &doorbell,
			  std::error_code &error) noexcept;
	/** The same with anything that is rung by writing 8 bytes. */
	void set_doorbell(int descriptor);
	void set_doorbell(int descriptor, std::error_code &error) noexcept;

	/**
	 * Asks the reader to ring when there is room for a record of @a size
	 * bytes. Returns whether there is already; if not, wait until the event
	 * file is readable, read it, and try again.
	 */
	bool arm(std::size_t size);
	bool arm(std::size_t size, std::error_code &error) noexcept;

	/** @} */

	/** Number of the lane. */
	std::uint32_t lane() const noexcept;
	/** Bytes of the longest record. */
	std::size_t max_record() const noexcept { return m_max_len; }
	/** Whether old records make room for new ones. */
	bool overwrites() const noexcept { return m_overwrite; }
	/** Records that there was no room for, those of former writers too. */
	std::uint32_t dropped() const noexcept;

	/** Gives the lane up. A child that fork() made keeps it as well. */
	void close() noexcept;

	explicit operator bool() const noexcept { return m_lane != nullptr; }

	void swap(ring_writer &other) noexcept;
	friend void swap(ring_writer &a, ring_writer &b) noexcept { a.swap(b); }

private:
	struct impl;

	detail::ring_record *at(std::uint32_t position) const noexcept
	{
		return reinterpret_cast<detail::ring_record *>(
			m_cells +
			std::size_t{position & m_mask} * ring_cell_size);
	}

	ring_slot take(std::uint32_t len) noexcept
	{
		m_room = len + 1;
		return {at(m_head) + 1, len};
	}

	/* What is common: there is room, as far as we know, before the end. */
	ring_slot reserve_fast(std::size_t size) noexcept
	{
		if (size > m_max_len)
			return {};

		const auto len = static_cast<std::uint32_t>(size);
		const std::uint32_t cells = detail::ring_cells(len);

		if (!detail::ring_after(m_limit, m_head + cells) ||
		    (m_head & m_mask) + cells - 1 > m_mask)
			return {};
		return take(len);
	}

	/* Publishes what is at the head, and says whether to ring. */
	bool publish(std::size_t size)
	{
		if (size >= m_room)
			bad_commit();

		const auto len = static_cast<std::uint32_t>(size);
		const std::uint32_t next = m_head + detail::ring_cells(len);

		publish_record(len, next);
		m_room = 0;
		if (m_overwrite) {
			if (!detail::ring_after(m_piece_end, next))
				note_pieces(next);
			return true;
		}
		/*
		 * The sequence before the look at @waiting; pairs with the
		 * barrier in ring_reader::arm(). Where that is membarrier(2),
		 * it is a barrier on this processor, too, so that only the
		 * compiler has to be kept from mixing the two.
		 */
		if (m_fences)
			std::atomic_thread_fence(std::memory_order_seq_cst);
		else
			std::atomic_signal_fence(std::memory_order_seq_cst);
		if (__builtin_expect(!detail::load(m_lane->waiting), 1))
			return false;
		detail::store(m_lane->waiting, 0U);
		return true;
	}

	void publish_record(std::uint32_t len, std::uint32_t next) noexcept
	{
		detail::ring_record *record = at(next);

		/* What is behind the record must not look like the next one. */
		if (__builtin_expect(detail::load(record->sequence) == next + 1,
				     0))
			detail::store(record->sequence, next);

		record = at(m_head);
		detail::store(record->len, len);
		/* The record before its sequence; pairs with try_read(). */
		detail::store_release(record->sequence, m_head + 1);
		m_head = next;
		/* Only now: who goes on here steps over what is published. */
		detail::store(m_lane->head, next);
	}

	[[noreturn]] static void bad_commit();
	ring_slot reserve_slow(std::size_t size, when_full full);
	ring_slot reserve_slow(std::size_t size, when_full full,
			       std::error_code &error) noexcept;
	void note_pieces(std::uint32_t next) noexcept;
	bool ring_doorbell();
	bool ring_doorbell(std::error_code &error) noexcept;

	void begin(void *memory, const detail::ring_shape &shape,
		   std::uint32_t lane, bool fences) noexcept;
	void recover_history(std::uint32_t oldest) noexcept;
	void make_room(std::uint32_t next) noexcept;
	bool find_room(std::uint32_t next, std::error_code &error) noexcept;
	ring_slot wait_for_room(std::size_t size,
				std::chrono::nanoseconds timeout,
				std::error_code &error) noexcept;

	/* What a record costs first; the rest is in m_impl. */
	unsigned char *m_cells = nullptr;
	detail::ring_lane *m_lane = nullptr;
	std::uint32_t m_mask = 0;
	std::uint32_t m_max_len = 0;
	/* Position of the next record. */
	std::uint32_t m_head = 0;
	/* A record that ends before it needs no second thought. */
	std::uint32_t m_limit = 0;
	/* Size of the reservation + 1, or 0. */
	std::uint32_t m_room = 0;
	/* Where the piece of the lane that m_head is in ends. */
	std::uint32_t m_piece_end = 0;
	bool m_overwrite = false;
	bool m_fences = false;
	bool m_rings = false;
	std::unique_ptr<impl> m_impl;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_RING_WRITER_HPP */
