/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The producer of a lane of a ring
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/ring_writer.hpp>

#include "ring_internal.hpp"

#include <cstring>
#include <utility>

namespace shm_kernel {

using detail::load;
using detail::load_acquire;
using detail::ring_after;
using detail::ring_cells;
using detail::store;

namespace {

/* Pieces of a lane that are overwritten at a time. */
constexpr std::uint32_t pieces = 16;

} // namespace

struct ring_writer::impl
{
	detail::ring_in_region ring;
	detail::doorbell bell;
	std::uint32_t lane = 0;
	std::uint32_t dropped = 0;
	/* Of a ring that overwrites: position of the oldest record. */
	std::uint32_t oldest = 0;
	/* Where in each of the last pieces of the lane the first record begins. */
	std::uint32_t first[pieces] = {};

	/* Where the one that begins at @end, and at a multiple of it, is noted. */
	std::uint32_t &first_in(std::uint32_t end, std::uint32_t piece) noexcept
	{
		return first[end / piece % pieces];
	}
};

ring_writer::ring_writer() noexcept = default;

ring_writer::ring_writer(void *memory, std::size_t size,
			 const ring_access &access, std::error_code &error)
{
	error.clear();

	const detail::ring_shape shape = detail::shape_in(memory, size, error);
	const std::uint32_t lane = access.lane().value_or(0);

	if (error)
		return;
	if (lane >= shape.lanes) {
		error = std::make_error_code(std::errc::invalid_argument);
		return;
	}
	if (load(detail::lane_in(memory, lane, shape.cells)->producer) &
	    SHM_KERNEL_RING_IN_KERNEL) {
		error = errc::lane_in_kernel;
		return;
	}
	m_impl = std::make_unique<impl>();
	begin(memory, shape, lane, access.fences());
}

ring_writer::ring_writer(void *memory, std::size_t size,
			 const ring_access &access)
{
	std::error_code error;

	ring_writer(memory, size, access, error).swap(*this);
	detail::throw_if(error, "write to ring");
}

ring_writer::ring_writer(const region &source, const ring_access &access,
			 std::error_code &error)
{
	auto state = std::make_unique<impl>();
	const detail::ring_shape shape = state->ring.open(
		source, access, detail::ring_in_region::end::producer, error);
	const std::uint32_t first = access.lane().value_or(0);
	const std::uint32_t end = access.lane() ? first + 1 : shape.lanes;

	if (error)
		return;
	if (first >= shape.lanes) {
		error = std::make_error_code(std::errc::invalid_argument);
		return;
	}
	for (std::uint32_t i = first; i < end; ++i) {
		std::error_code failed;

		state->ring.lock(i, failed);
		if (failed) {
			/* A lane that will be free is more than one that not. */
			error = failed;
			if (failed == errc::lane_busy)
				continue;
			return;
		}
		if (!(load(detail::lane_in(state->ring.data(), i, shape.cells)
				   ->producer) &
		      SHM_KERNEL_RING_IN_KERNEL)) {
			error.clear();
			m_impl = std::move(state);
			begin(m_impl->ring.data(), shape, i, access.fences());
			return;
		}
		state->ring.unlock(i);
		if (!error)
			error = errc::lane_in_kernel;
	}
}

ring_writer::ring_writer(const region &source, const ring_access &access)
{
	std::error_code error;

	ring_writer(source, access, error).swap(*this);
	detail::throw_if(error, "write to ring");
}

ring_writer::ring_writer(ring_writer &&other) noexcept
{
	swap(other);
}

ring_writer &ring_writer::operator=(ring_writer &&other) noexcept
{
	ring_writer(std::move(other)).swap(*this);
	return *this;
}

ring_writer::~ring_writer() = default;

void ring_writer::close() noexcept
{
	ring_writer().swap(*this);
}

void ring_writer::swap(ring_writer &other) noexcept
{
	std::swap(m_cells, other.m_cells);
	std::swap(m_lane, other.m_lane);
	std::swap(m_mask, other.m_mask);
	std::swap(m_max_len, other.m_max_len);
	std::swap(m_head, other.m_head);
	std::swap(m_limit, other.m_limit);
	std::swap(m_room, other.m_room);
	std::swap(m_piece_end, other.m_piece_end);
	std::swap(m_overwrite, other.m_overwrite);
	std::swap(m_fences, other.m_fences);
	std::swap(m_rings, other.m_rings);
	m_impl.swap(other.m_impl);
}

/* Goes on where the one before ended, at whatever instruction that was. */
void ring_writer::begin(void *memory, const detail::ring_shape &shape,
			std::uint32_t lane, bool fences) noexcept
{
	m_lane = detail::lane_in(memory, lane, shape.cells);
	m_cells = reinterpret_cast<unsigned char *>(m_lane + 1);
	m_mask = shape.cells - 1;
	m_max_len = detail::max_record(shape.cells);
	m_overwrite = shape.overwrite;
	m_head = load(m_lane->head);
	m_impl->lane = lane;
	m_impl->dropped = load(m_lane->dropped);

	/* It may have died between publishing a record and saying so. */
	for (std::uint32_t done = 0; done <= m_mask;) {
		const detail::ring_record *const record = at(m_head);

		if (load_acquire(record->sequence) != m_head + 1)
			break;

		const std::uint32_t cells =
			detail::cells_of(load(record->len), m_head, m_mask);

		if (!cells)
			break;
		m_head += cells;
		done += cells;
	}
	store(m_lane->head, m_head);

	if (m_overwrite) {
		recover_history(load(m_lane->oldest));
		store(m_lane->oldest, m_impl->oldest);
		/* Before anything is written there; see make_room(). */
		std::atomic_thread_fence(std::memory_order_release);
		m_limit = m_impl->oldest + m_mask + 1;
	} else {
		/* Whatever @tail is, the first record looks at it. */
		m_limit = m_head;
	}

	m_fences = fences || !detail::register_for_membarrier();
	store(m_lane->producer,
	      m_fences ? std::uint32_t{SHM_KERNEL_RING_FENCES} : 0U);
	/*
	 * @producer before the look at @waiting. Pairs with the barrier in
	 * ring_reader::arm(): a reader that takes us for the writer before has
	 * set @waiting early enough for us to see it.
	 */
	std::atomic_thread_fence(std::memory_order_seq_cst);
}

/* Finds the records again that the writer before has left, to spare them. */
void ring_writer::recover_history(std::uint32_t oldest) noexcept
{
	const std::uint32_t piece = (m_mask + 1) / pieces;
	std::uint32_t position = oldest;

	m_piece_end = (oldest & ~(piece - 1)) + piece;
	while (position != m_head) {
		const detail::ring_record *const record = at(position);
		const std::uint32_t cells =
			detail::cells_of(load(record->len), position, m_mask);

		if (m_head - position > m_mask || !cells ||
		    cells > m_head - position ||
		    load(record->sequence) != position + 1) {
			/* Not believable: begin anew. */
			m_impl->oldest = m_head;
			m_piece_end = (m_head & ~(piece - 1)) + piece;
			return;
		}
		position += cells;
		note_pieces(position);
	}
	m_impl->oldest = oldest;
}

/* A record ends at @next: the one behind is the first in the pieces passed. */
void ring_writer::note_pieces(std::uint32_t next) noexcept
{
	const std::uint32_t piece = (m_mask + 1) / pieces;

	for (; !ring_after(m_piece_end, next); m_piece_end += piece)
		m_impl->first_in(m_piece_end, piece) = next;
}

/*
 * Sees to it that the cells up to and including @next are free, by giving up
 * the oldest records, a piece of the lane at a time.
 */
void ring_writer::make_room(std::uint32_t next) noexcept
{
	const std::uint32_t piece = (m_mask + 1) / pieces;
	const std::uint32_t need = next - m_mask;

	if (!ring_after(need, m_impl->oldest))
		return;
	/*
	 * Go on with the first record of the piece that begins at @need or
	 * after it. We know where that is without looking at what others may
	 * have written there.
	 */
	m_impl->oldest =
		m_impl->first_in((need + piece - 1) & ~(piece - 1), piece);
	store(m_lane->oldest, m_impl->oldest);
	/*
	 * Before anything is written there. Pairs with the barrier between a
	 * reader's copying a record and its look at @oldest.
	 */
	std::atomic_thread_fence(std::memory_order_release);
	m_limit = m_impl->oldest + m_mask + 1;
}

/* Returns whether the cells up to and including @next are free. */
bool ring_writer::find_room(std::uint32_t next, std::error_code &error) noexcept
{
	if (ring_after(m_limit, next))
		return true;
	/* What we write there comes after what the reader has read. */
	const std::uint32_t tail = load_acquire(m_lane->tail);

	if (m_head - tail > m_mask + 1) {
		error = errc::ring_corrupted;
		return false;
	}
	m_limit = tail + m_mask + 1;
	return ring_after(m_limit, next);
}

/* What is not common: no room as far as we know, or the end of the lane. */
ring_slot ring_writer::reserve_slow(std::size_t size, when_full full,
				    std::error_code &error) noexcept
{
	error.clear();
	m_room = 0;
	if (!m_lane)
		error = errc::empty_handle;
	else if (size > m_max_len)
		error = errc::record_too_long;
	if (error)
		return {};

	const auto len = static_cast<std::uint32_t>(size);
	const std::uint32_t cells = ring_cells(len);
	const std::uint32_t to_end = m_mask + 1 - (m_head & m_mask);
	const std::uint32_t skip = cells > to_end ? to_end : 0;

	/* For both or none, or the rest of the lane would be wasted. */
	if (!m_overwrite && !find_room(m_head + skip + cells, error)) {
		if (full == when_full::drop)
			store(m_lane->dropped, ++m_impl->dropped);
		return {};
	}
	if (skip) {
		const std::uint32_t next = m_head + skip;

		if (m_overwrite)
			make_room(next);
		/* Who waits is rung for with the record behind it. */
		publish_record((skip * std::uint32_t{ring_cell_size} -
				std::uint32_t{sizeof(detail::ring_record)}) |
				       SHM_KERNEL_RING_SKIP,
			       next);
		if (m_overwrite)
			note_pieces(next);
	}
	if (m_overwrite)
		make_room(m_head + cells);
	return take(len);
}

ring_slot ring_writer::reserve_slow(std::size_t size, when_full full)
{
	std::error_code error;
	const ring_slot slot = reserve_slow(size, full, error);

	detail::throw_if(error, "reserve record");
	return slot;
}

ring_slot ring_writer::reserve(std::size_t size,
			       std::chrono::nanoseconds timeout,
			       std::error_code &error) noexcept
{
	if (const ring_slot slot = try_reserve(size, when_full::keep, error))
		return slot;
	return error ? ring_slot() : wait_for_room(size, timeout, error);
}

ring_slot ring_writer::reserve(std::size_t size,
			       std::chrono::nanoseconds timeout)
{
	std::error_code error;
	const ring_slot slot = reserve(size, timeout, error);

	detail::throw_if(error, "wait for room in ring");
	return slot;
}

ring_slot ring_writer::wait_for_room(std::size_t size,
				     std::chrono::nanoseconds timeout,
				     std::error_code &error) noexcept
{
	const detail::time_left time(timeout);

	if (!m_impl->bell) {
		error = std::make_error_code(std::errc::not_connected);
		return {};
	}
	for (;;) {
		if (arm(size, error))
			return try_reserve(size, when_full::keep, error);
		if (error)
			return {};

		const std::chrono::nanoseconds left = time.get();

		if (!left.count())
			return {};
		m_impl->bell.wait(left, error);
		if (error)
			return {};
	}
}

bool ring_writer::arm(std::size_t size, std::error_code &error) noexcept
{
	error.clear();
	if (!m_lane)
		error = errc::empty_handle;
	else if (size > m_max_len)
		error = errc::record_too_long;
	if (error || m_overwrite)
		return !error;

	const std::uint32_t cells =
		ring_cells(static_cast<std::uint32_t>(size));
	const std::uint32_t to_end = m_mask + 1 - (m_head & m_mask);
	const std::uint32_t next =
		m_head + (cells > to_end ? to_end : 0) + cells;

	store(m_lane->blocked, 1U);
	/*
	 * @blocked before the last look at @tail. Pairs with the barrier
	 * between the reader's storing @tail and its look at @blocked: one of
	 * us sees what the other has done.
	 */
	std::atomic_thread_fence(std::memory_order_seq_cst);
	if (!find_room(next, error))
		return false;
	store(m_lane->blocked, 0U);
	return true;
}

bool ring_writer::arm(std::size_t size)
{
	std::error_code error;
	const bool result = arm(size, error);

	detail::throw_if(error, "ask for room in ring");
	return result;
}

void ring_writer::bad_commit()
{
	throw std::system_error(
		std::make_error_code(std::errc::invalid_argument),
		"commit record");
}

bool ring_writer::ring_doorbell(std::error_code &error) noexcept
{
	m_impl->bell.ring(error);
	return true;
}

bool ring_writer::ring_doorbell()
{
	std::error_code error;

	ring_doorbell(error);
	detail::throw_if(error, "ring doorbell");
	return true;
}

bool ring_writer::try_write(const void *data, std::size_t size, when_full full,
			    std::error_code &error) noexcept
{
	const ring_slot slot = try_reserve(size, full, error);

	if (!slot)
		return false;
	if (size)
		std::memcpy(slot.data(), data, size);
	commit(size, error);
	return true;
}

bool ring_writer::try_write(const void *data, std::size_t size, when_full full)
{
	std::error_code error;
	const bool result = try_write(data, size, full, error);

	detail::throw_if(error, "write record");
	return result;
}

bool ring_writer::write(const void *data, std::size_t size,
			std::chrono::nanoseconds timeout,
			std::error_code &error) noexcept
{
	const ring_slot slot = reserve(size, timeout, error);

	if (!slot)
		return false;
	if (size)
		std::memcpy(slot.data(), data, size);
	commit(size, error);
	return true;
}

bool ring_writer::write(const void *data, std::size_t size,
			std::chrono::nanoseconds timeout)
{
	std::error_code error;
	const bool result = write(data, size, timeout, error);

	detail::throw_if(error, "write record");
	return result;
}

void ring_writer::set_doorbell(int descriptor, std::error_code &error) noexcept
{
	error.clear();
	if (!m_lane) {
		error = errc::empty_handle;
		return;
	}
	m_impl->bell.set(descriptor, error);
	if (error)
		return;
	m_rings = true;
	/*
	 * The writer before may have died between publishing a record and
	 * ringing for it. Others, who wait in vain, will wait again.
	 */
	if (!m_overwrite && load(m_lane->waiting)) {
		store(m_lane->waiting, 0U);
		m_impl->bell.ring(error);
	}
}

void ring_writer::set_doorbell(int descriptor)
{
	std::error_code error;

	set_doorbell(descriptor, error);
	detail::throw_if(error, "set doorbell");
}

void ring_writer::set_doorbell(const events &doorbell,
			       std::error_code &error) noexcept
{
	set_doorbell(doorbell.native_handle(), error);
}

void ring_writer::set_doorbell(const events &doorbell)
{
	set_doorbell(doorbell.native_handle());
}

std::uint32_t ring_writer::lane() const noexcept
{
	return m_impl ? m_impl->lane : 0;
}

std::uint32_t ring_writer::dropped() const noexcept
{
	return m_impl ? m_impl->dropped : 0;
}

} // namespace shm_kernel
