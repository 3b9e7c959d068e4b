/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The consumer of a ring
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_RING_READER_HPP
#define SHM_KERNEL_RING_READER_HPP

#include <shm_kernel/errors.hpp>
#include <shm_kernel/events.hpp>
#include <shm_kernel/export.hpp>
#include <shm_kernel/region.hpp>
#include <shm_kernel/ring.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>

namespace shm_kernel {

/** A record where it lies: memory of the ring, at a multiple of 8. */
class ring_view final
{
public:
	/** No record. */
	ring_view() noexcept = default;
	ring_view(const void *data, std::size_t size,
		  std::uint32_t lane) noexcept
		: m_data(data), m_size(static_cast<std::uint32_t>(size)),
		  m_lane(lane)
	{
	}

	const void *data() const noexcept { return m_data; }
	std::size_t size() const noexcept { return m_size; }
	/** Number of the lane that it came through. */
	std::uint32_t lane() const noexcept { return m_lane; }

	explicit operator bool() const noexcept { return m_data != nullptr; }

private:
	const void *m_data = nullptr;
	/* Enough for any record, and two registers hold a view. */
	std::uint32_t m_size = 0;
	std::uint32_t m_lane = 0;
};

namespace detail {

/* A reader's own knowledge of a lane, out of reach of the writer. */
struct ring_reader_lane
{
	/* The record that is expected next. */
	const ring_record *next = nullptr;
	/* A record that does not end before it is for the slow path. */
	std::uintptr_t end = 0;
	/* What the address of a record, in cells, is short of its sequence. */
	std::uint32_t bias = 0;
	std::uint32_t index = 0;
	std::uint32_t mask = 0;
	/* There is housekeeping to do @stride cells after @mark. */
	std::uint32_t mark = 0;
	std::uint32_t stride = 0;
	/* What the writer was told last. */
	std::uint32_t tail = 0;
	const unsigned char *cells = nullptr;
	const ring_lane *head = nullptr;
	std::uint64_t lost = 0;

	/* What @next has once it is published. */
	std::uint32_t sequence() const noexcept
	{
		return static_cast<std::uint32_t>(
			       reinterpret_cast<std::uintptr_t>(next) /
			       ring_cell_size) +
		       bias;
	}

	std::uint32_t position() const noexcept { return sequence() - 1; }
};

} // namespace detail

/**
 * Reads the records of a ring, or of one lane of it. Move-only.
 *
 *	shm_kernel::events events(region);
 *	shm_kernel::ring_reader reader(region);
 *
 *	reader.set_doorbell(events);
 *	do
 *		while (auto record = reader.try_read())
 *			use(record.data(), record.size());
 *	while (reader.wait());
 *
 * Records of one lane come in the order in which they were written; lanes take
 * turns. What was read is given back to the writer in pieces, and what had not
 * been given back when a reader goes is read again by the next one.
 *
 * One reader at a time has a lane, see ring_writer for how that is seen to. Of
 * a ring that overwrites there may be any number of readers, which need a
 * handle for reading only, and read by try_copy().
 *
 * The writer may be hostile: it can spoil the ring, which is
 * errc::ring_corrupted, and it can change a record while it is looked at, so
 * copy what is to be checked before it is used.
 *
 * Functions throw std::system_error, or with a std::error_code as the last
 * argument set that instead. An object is for one thread at a time.
 */
class SHM_KERNEL_API ring_reader final
{
public:
	/** Reads nowhere. */
	ring_reader() noexcept;

	/**
	 * Becomes the consumer of a ring in a region, which has to be open for
	 * writing unless the ring overwrites. The handle is needed only for
	 * that; the ring stays mapped as long as the object lives.
	 */
	explicit ring_reader(const region &source,
			     const ring_access &access = ring_access());
	ring_reader(const region &source, const ring_access &access,
		    std::error_code &error);

	/** The same in memory at a multiple of 64, which the caller keeps. */
	ring_reader(void *memory, std::size_t size,
		    const ring_access &access = ring_access());
	ring_reader(void *memory, std::size_t size, const ring_access &access,
		    std::error_code &error);

	ring_reader(ring_reader &&other) noexcept;
	ring_reader &operator=(ring_reader &&other) noexcept;
	ring_reader(const ring_reader &) = delete;
	ring_reader &operator=(const ring_reader &) = delete;
	~ring_reader();

	/** @name Records */
	/** @{ */

	/**
	 * The next record, if there is one. It can be looked at until the next
	 * call of a function of the reader; with set_hold(), until release().
	 * After errc::ring_corrupted the reader goes on with the other lanes.
	 * If it could not ring for a writer that waits for room, it says so
	 * before it takes a record: the next call returns that.
	 */
	ring_view try_read()
	{
		if (const ring_view record = read_fast())
			return record;
		return read_slow();
	}
	ring_view try_read(std::error_code &error) noexcept
	{
		error.clear();
		if (const ring_view record = read_fast())
			return record;
		return read_slow(error);
	}

	/**
	 * Copies the next record and returns its length. One that is longer
	 * than @a size stays, and is std::errc::message_size.
	 */
	std::optional<std::size_t> try_copy(void *buffer, std::size_t size);
	std::optional<std::size_t> try_copy(void *buffer, std::size_t size,
					    std::error_code &error) noexcept;

	/**
	 * Keeps all records that are read from now on until release(), so that
	 * several can be looked at at the same time.
	 */
	void set_hold(bool value = true) noexcept;

	/** Gives back to the writer what was read so far. */
	void release();
	void release(std::error_code &error) noexcept;

	/** Of a ring that overwrites: goes on behind the newest record. */
	void skip_to_newest() noexcept;

	/** @} */
	/** @name Waiting for records */
	/** @{ */

	/**
	 * Rings by this descriptor when a writer waits for room, and waits on
	 * it for writers to ring: an event file of the region. The reader has a
	 * duplicate of its own, so that the peer stays as long as the reader
	 * does. What the file has counted is lost to others when the reader
	 * waits.
	 */
	void set_doorbell(const events &doorbell);
	void set_doorbell(const events &doorbell,
			  std::error_code &error) noexcept;
	/** The same with anything that is rung by writing 8 bytes. */
	void set_doorbell(int descriptor);
	void set_doorbell(int descriptor, std::error_code &error) noexcept;

	/**
	 * Asks the writers to ring when there is a record. Returns whether
	 * there is one already; if not, wait until the event file is readable,
	 * read it, and try again.
	 */
	bool arm();
	bool arm(std::error_code &error) noexcept;

	/**
	 * Waits for a record. Returns false after @a timeout; 0 only looks, and
	 * less than 0 is for ever. Needs a doorbell.
	 */
	bool
	wait(std::chrono::nanoseconds timeout = std::chrono::nanoseconds(-1));
	bool wait(std::chrono::nanoseconds timeout,
		  std::error_code &error) noexcept;

	/**
	 * Whether a writer waited for room that it has now and there was no
	 * doorbell to ring; once.
	 */
	bool take_room_wanted() noexcept;

	/** @} */

	/** Lanes that are read. */
	std::uint32_t lanes() const noexcept;
	/** Whether old records make room for new ones. */
	bool overwrites() const noexcept;
	/** Bytes of the longest record. */
	std::size_t max_record() const noexcept;
	/** Number of the lane that the last record came through. */
	std::uint32_t last_lane() const noexcept;
	/** Bytes that were overwritten before they were read, in whole cells. */
	std::uint64_t lost() const noexcept;
	/**
	 * How often a lane was found to have begun anew, as after a RESET of
	 * the region: what had not been read was lost.
	 */
	std::uint64_t restarts() const noexcept;

	/** Gives the lanes up. */
	void close() noexcept;

	explicit operator bool() const noexcept { return m_impl != nullptr; }

	void swap(ring_reader &other) noexcept;
	friend void swap(ring_reader &a, ring_reader &b) noexcept { a.swap(b); }

private:
	struct impl;

	/* What is common: the record is there, and of a length that can be. */
	ring_view read_fast() noexcept
	{
		detail::ring_reader_lane &lane = *m_lane;
		const detail::ring_record *const record = lane.next;

		/* The sequence before the record; pairs with the commit. */
		if (detail::load_acquire(record->sequence) != lane.sequence())
			return {};

		/* Whatever the length is, what it spans lies before the end. */
		const std::uint32_t len = detail::load(record->len);
		const std::uint64_t next =
			reinterpret_cast<std::uintptr_t>(record) +
			detail::ring_bytes(len);

		if (__builtin_expect(next >= lane.end, 0))
			return {};
		lane.next = reinterpret_cast<const detail::ring_record *>(
			static_cast<std::uintptr_t>(next));
		return {record + 1, len, lane.index};
	}

	ring_view read_slow();
	ring_view read_slow(std::error_code &error) noexcept;
	std::optional<std::size_t> copy_newest(void *buffer, std::size_t size,
					       std::error_code &error) noexcept;

	void begin(void *memory, const detail::ring_shape &shape,
		   std::uint32_t lane);

	/* The lane whose turn it is. */
	detail::ring_reader_lane *m_lane;
	std::unique_ptr<impl> m_impl;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_RING_READER_HPP */
