/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The consumer of a ring
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/ring_reader.hpp>

#include "ring_internal.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

namespace shm_kernel {

using detail::load;
using detail::load_acquire;
using detail::ring_reader_lane;
using detail::store;
using detail::store_release;

namespace {

/* A lane that always has more is left for another one after so many cells. */
constexpr std::uint32_t turn = 64;

/* What an empty reader looks at: nothing is ever there. */
ring_reader_lane *no_lane() noexcept
{
	static const detail::ring_record nothing = {};
	static ring_reader_lane none = [] {
		ring_reader_lane lane;

		lane.next = &nothing;
		lane.bias = 1 - lane.sequence();
		return lane;
	}();

	return &none;
}

/* Goes on at a position: until there is housekeeping, and not to the very end. */
void go_to(ring_reader_lane &lane, std::uint32_t position) noexcept
{
	const std::uint32_t in_lane = position & lane.mask;
	const std::uint32_t done = position - lane.mark;
	const std::uint32_t room =
		done < lane.stride
			? std::min(lane.stride - done, lane.mask + 1 - in_lane)
			: 0;

	lane.next = reinterpret_cast<const detail::ring_record *>(
		lane.cells + std::size_t{in_lane} * ring_cell_size);
	lane.end = reinterpret_cast<std::uintptr_t>(lane.next) +
		   std::uintptr_t{room} * ring_cell_size;
	lane.bias += position - lane.position();
}

/* Housekeeping is done. */
void mark(ring_reader_lane &lane) noexcept
{
	lane.mark = lane.position();
	go_to(lane, lane.mark);
}

bool has_record(const ring_reader_lane &lane) noexcept
{
	return load_acquire(lane.next->sequence) == lane.sequence();
}

/*
 * Whether a lane without a record has begun anew: RESET has zeroed it, or the
 * kernel. Then we are where a record will be in the end or never. A program says
 * where its head is after it has published a record, so that we may know more
 * than it has said.
 */
bool has_restarted(const ring_reader_lane &lane) noexcept
{
	const std::uint32_t ahead = lane.position() - load(lane.head->head);

	return static_cast<std::int32_t>(ahead) > 0 &&
	       (ahead > lane.mask / 2 + 1 ||
		load(lane.head->producer) & SHM_KERNEL_RING_IN_KERNEL);
}

/* Whether the writer has overwritten what was about to be read. */
bool was_lapped(const ring_reader_lane &lane, std::uint32_t &oldest) noexcept
{
	/* What was read before @oldest; pairs with ring_writer::make_room(). */
	std::atomic_thread_fence(std::memory_order_acquire);
	oldest = load(lane.head->oldest);
	return lane.position() - oldest > lane.mask + 1;
}

bool catch_up(ring_reader_lane &lane) noexcept
{
	std::uint32_t oldest;

	if (!was_lapped(lane, oldest))
		return false;
	if (detail::ring_after(oldest, lane.position()))
		lane.lost += std::uint64_t{oldest - lane.position()} *
			     ring_cell_size;
	go_to(lane, oldest);
	return true;
}

} // namespace

struct ring_reader::impl
{
	detail::ring_in_region ring;
	detail::doorbell bell;
	std::vector<ring_reader_lane> lanes;
	bool overwrite = false;
	bool hold = false;
	bool room_wanted = false;
	std::uint64_t restarts = 0;

	/* The same lane as the writers' side of it may be written. */
	static detail::ring_lane &shared(const ring_reader_lane &lane) noexcept
	{
		return const_cast<detail::ring_lane &>(*lane.head);
	}

	/* Goes on at the beginning of a lane that has begun anew. */
	bool restart(ring_reader_lane &lane) noexcept
	{
		const std::uint32_t begin = overwrite ? load(lane.head->oldest)
						      : load(lane.head->tail);

		if (!has_restarted(lane) && (overwrite || begin == lane.tail))
			return false;
		lane.tail = begin;
		lane.mark = begin;
		go_to(lane, begin);
		++restarts;
		return true;
	}

	/* Gives back what was read of a lane if it is so much, in cells. */
	void give_back(ring_reader_lane &lane, std::uint32_t least,
		       std::error_code &error) noexcept
	{
		if (overwrite || lane.position() - lane.tail < least)
			return;
		/* Nobody else stores there, but who begins the ring anew. */
		if (load(lane.head->tail) != lane.tail) {
			restart(lane);
			return;
		}
		lane.tail = lane.position();
		/* After what was read there; pairs with find_room(). */
		store_release(shared(lane).tail, lane.tail);
		/*
		 * @tail before the look at @blocked. Pairs with the barrier in
		 * ring_writer::arm().
		 */
		std::atomic_thread_fence(std::memory_order_seq_cst);
		if (!load(lane.head->blocked))
			return;
		store(shared(lane).blocked, 0U);
		if (bell)
			bell.ring(error);
		else
			room_wanted = true;
	}

	void give_back_all(std::error_code &error) noexcept
	{
		for (ring_reader_lane &lane : lanes)
			give_back(lane, 1, error);
	}

	ring_reader_lane *after(ring_reader_lane *lane) noexcept
	{
		return ++lane == lanes.data() + lanes.size() ? lanes.data()
							     : lane;
	}
};

ring_reader::ring_reader() noexcept : m_lane(no_lane())
{
}

ring_reader::ring_reader(void *memory, std::size_t size,
			 const ring_access &access, std::error_code &error)
	: ring_reader()
{
	error.clear();

	const detail::ring_shape shape = detail::shape_in(memory, size, error);

	if (error)
		return;
	if (access.lane() && *access.lane() >= shape.lanes) {
		error = std::make_error_code(std::errc::invalid_argument);
		return;
	}

	const std::uint32_t first = access.lane().value_or(0);
	const std::uint32_t end = access.lane() ? first + 1 : shape.lanes;

	m_impl = std::make_unique<impl>();
	m_impl->overwrite = shape.overwrite;
	for (std::uint32_t i = first; i < end; ++i)
		begin(memory, shape, i);
	if (m_impl->lanes.empty()) {
		error = errc::lane_in_kernel;
		m_impl.reset();
		return;
	}
	m_lane = m_impl->lanes.data();
}

ring_reader::ring_reader(void *memory, std::size_t size,
			 const ring_access &access)
	: ring_reader()
{
	std::error_code error;

	ring_reader(memory, size, access, error).swap(*this);
	detail::throw_if(error, "read from ring");
}

ring_reader::ring_reader(const region &source, const ring_access &access,
			 std::error_code &error)
	: ring_reader()
{
	auto state = std::make_unique<impl>();
	const detail::ring_shape shape = state->ring.open(
		source, access, detail::ring_in_region::end::consumer, error);
	const std::uint32_t first = access.lane().value_or(0);
	const std::uint32_t end = access.lane() ? first + 1 : shape.lanes;

	if (error)
		return;
	if (first >= shape.lanes) {
		error = std::make_error_code(std::errc::invalid_argument);
		return;
	}
	for (std::uint32_t i = first; i < end && !shape.overwrite; ++i) {
		state->ring.lock(i, error);
		if (error)
			return;
	}
	m_impl = std::move(state);
	m_impl->overwrite = shape.overwrite;
	for (std::uint32_t i = first; i < end; ++i)
		begin(m_impl->ring.data(), shape, i);
	if (m_impl->lanes.empty()) {
		error = errc::lane_in_kernel;
		m_impl.reset();
		return;
	}
	m_lane = m_impl->lanes.data();
}

ring_reader::ring_reader(const region &source, const ring_access &access)
	: ring_reader()
{
	std::error_code error;

	ring_reader(source, access, error).swap(*this);
	detail::throw_if(error, "read from ring");
}

ring_reader::ring_reader(ring_reader &&other) noexcept : ring_reader()
{
	swap(other);
}

ring_reader &ring_reader::operator=(ring_reader &&other) noexcept
{
	ring_reader(std::move(other)).swap(*this);
	return *this;
}

ring_reader::~ring_reader() = default;

void ring_reader::close() noexcept
{
	ring_reader().swap(*this);
}

void ring_reader::swap(ring_reader &other) noexcept
{
	std::swap(m_lane, other.m_lane);
	m_impl.swap(other.m_impl);
}

/* Adds a lane to those that are read, unless the kernel reads it. */
void ring_reader::begin(void *memory, const detail::ring_shape &shape,
			std::uint32_t lane)
{
	detail::ring_lane *const head =
		detail::lane_in(memory, lane, shape.cells);
	ring_reader_lane state;

	state.head = head;
	state.cells = reinterpret_cast<const unsigned char *>(head + 1);
	state.mask = shape.cells - 1;
	state.index = lane;
	if (shape.overwrite) {
		/* Without a stride every record is copy_newest()'s. */
		state.tail = load(head->oldest);
	} else {
		if (load(head->consumer) & SHM_KERNEL_RING_IN_KERNEL)
			return;
		state.tail = load(head->tail);
		state.stride = shape.cells / 4;
		if (shape.lanes > 1)
			state.stride = std::min(state.stride, turn);
	}
	state.mark = state.tail;
	go_to(state, state.tail);
	m_impl->lanes.push_back(state);
}

/*
 * What is not common: housekeeping, another lane, a record to be skipped, one
 * that makes no sense, or none.
 */
ring_view ring_reader::read_slow(std::error_code &error) noexcept
{
	error.clear();
	if (!m_impl) {
		error = errc::empty_handle;
		return {};
	}
	if (m_impl->overwrite) {
		error = std::make_error_code(
			std::errc::operation_not_supported);
		return {};
	}
	if (m_lane->position() - m_lane->mark >= m_lane->stride) {
		mark(*m_lane);
		if (!m_impl->hold)
			m_impl->give_back(*m_lane, (m_lane->mask + 1) / 4,
					  error);
		m_lane = m_impl->after(m_lane);
		/* Before a record is taken that the caller would not see. */
		if (error)
			return {};
	}

	/* Records to be skipped could come for ever: a lap of them at most. */
	std::size_t empty = 0;
	std::uint32_t skipped = 0;

	while (empty < m_impl->lanes.size() && skipped <= m_lane->mask) {
		ring_reader_lane &lane = *m_lane;

		if (!has_record(lane)) {
			if (m_impl->restart(lane)) {
				++skipped;
				continue;
			}
			if (!m_impl->hold)
				m_impl->give_back(lane, 1, error);
			m_lane = m_impl->after(m_lane);
			if (error)
				return {};
			++empty;
			continue;
		}

		const detail::ring_record *const record = lane.next;
		const std::uint32_t len = load(record->len);
		const std::uint32_t cells =
			detail::cells_of(len, lane.position(), lane.mask);

		if (!cells) {
			m_lane = m_impl->after(m_lane);
			error = errc::ring_corrupted;
			return {};
		}
		go_to(lane, lane.position() + cells);
		if (!(len & SHM_KERNEL_RING_SKIP))
			return {record + 1, len, lane.index};
		empty = 0;
		skipped += cells;
	}
	return {};
}

ring_view ring_reader::read_slow()
{
	std::error_code error;
	const ring_view record = read_slow(error);

	detail::throw_if(error, "read record");
	return record;
}

std::optional<std::size_t>
ring_reader::try_copy(void *buffer, std::size_t size,
		      std::error_code &error) noexcept
{
	if (overwrites())
		return copy_newest(buffer, size, error);

	const ring_view record = try_read(error);

	if (!record)
		return std::nullopt;
	if (record.size() > size) {
		const auto len = static_cast<std::uint32_t>(record.size());

		go_to(*m_lane, m_lane->position() - detail::ring_cells(len));
		error = std::make_error_code(std::errc::message_size);
		return std::nullopt;
	}
	if (record.size())
		std::memcpy(buffer, record.data(), record.size());
	return record.size();
}

std::optional<std::size_t> ring_reader::try_copy(void *buffer, std::size_t size)
{
	std::error_code error;
	const auto result = try_copy(buffer, size, error);

	detail::throw_if(error, "read record");
	return result;
}

/* Of a ring that overwrites: what was copied counts if it was still there. */
std::optional<std::size_t>
ring_reader::copy_newest(void *buffer, std::size_t size,
			 std::error_code &error) noexcept
{
	std::size_t empty = 0;
	std::uint32_t skipped = 0;

	error.clear();
	while (empty < m_impl->lanes.size() && skipped <= m_lane->mask) {
		ring_reader_lane &lane = *m_lane;

		if (lane.position() - lane.mark >= turn) {
			mark(lane);
			m_lane = m_impl->after(m_lane);
			continue;
		}
		if (!has_record(lane)) {
			if (catch_up(lane) || m_impl->restart(lane)) {
				++skipped;
				continue;
			}
			m_lane = m_impl->after(m_lane);
			++empty;
			continue;
		}

		const detail::ring_record *const record = lane.next;
		const std::uint32_t len = load(record->len);
		const std::uint32_t cells =
			detail::cells_of(len, lane.position(), lane.mask);
		const bool skip = len & SHM_KERNEL_RING_SKIP;

		if (cells && !skip && len && len <= size)
			std::memcpy(buffer, record + 1, len);
		if (catch_up(lane)) {
			++skipped;
			continue;
		}
		if (!cells) {
			m_lane = m_impl->after(m_lane);
			error = errc::ring_corrupted;
			return std::nullopt;
		}
		if (!skip && len > size) {
			error = std::make_error_code(std::errc::message_size);
			return std::nullopt;
		}
		go_to(lane, lane.position() + cells);
		if (!skip)
			return len;
		empty = 0;
		skipped += cells;
	}
	return std::nullopt;
}

void ring_reader::set_hold(bool value) noexcept
{
	if (m_impl)
		m_impl->hold = value;
}

void ring_reader::release(std::error_code &error) noexcept
{
	error.clear();
	if (m_impl)
		m_impl->give_back_all(error);
	else
		error = errc::empty_handle;
}

void ring_reader::release()
{
	std::error_code error;

	release(error);
	detail::throw_if(error, "give records back");
}

void ring_reader::skip_to_newest() noexcept
{
	if (overwrites())
		for (ring_reader_lane &lane : m_impl->lanes)
			go_to(lane, load(lane.head->head));
}

void ring_reader::set_doorbell(int descriptor, std::error_code &error) noexcept
{
	error.clear();
	if (m_impl)
		m_impl->bell.set(descriptor, error);
	else
		error = errc::empty_handle;
}

void ring_reader::set_doorbell(int descriptor)
{
	std::error_code error;

	set_doorbell(descriptor, error);
	detail::throw_if(error, "set doorbell");
}

void ring_reader::set_doorbell(const events &doorbell,
			       std::error_code &error) noexcept
{
	set_doorbell(doorbell.native_handle(), error);
}

void ring_reader::set_doorbell(const events &doorbell)
{
	set_doorbell(doorbell.native_handle());
}

bool ring_reader::arm(std::error_code &error) noexcept
{
	error.clear();
	if (!m_impl) {
		error = errc::empty_handle;
		return false;
	}
	if (m_impl->overwrite) {
		/* The writer rings for each record, asked or not. */
		return std::any_of(m_impl->lanes.begin(), m_impl->lanes.end(),
				   [](const ring_reader_lane &lane) {
					   std::uint32_t oldest;

					   return has_record(lane) ||
						  was_lapped(lane, oldest) ||
						  has_restarted(lane);
				   });
	}
	for (ring_reader_lane &lane : m_impl->lanes)
		if (!has_record(lane))
			m_impl->restart(lane);
	if (!m_impl->hold)
		m_impl->give_back_all(error);
	for (const ring_reader_lane &lane : m_impl->lanes)
		store(impl::shared(lane).waiting, 1U);
	/*
	 * @waiting before the last look. Pairs with the barrier between a
	 * writer's publishing a record and its look at @waiting: one of us sees
	 * what the other has done. A writer that has no barrier there gets one
	 * by membarrier(2). One that takes its place meanwhile has a barrier
	 * after it has said which kind it is.
	 */
	std::atomic_thread_fence(std::memory_order_seq_cst);
	if (!std::all_of(m_impl->lanes.begin(), m_impl->lanes.end(),
			 [](const ring_reader_lane &lane) {
				 return load(lane.head->producer) &
					SHM_KERNEL_RING_FENCES;
			 }))
		detail::membarrier_everywhere(error);
	if (!error && std::none_of(m_impl->lanes.begin(), m_impl->lanes.end(),
				   has_record))
		return false;
	/* Nobody is going to sleep: spare the writers the ringing. */
	for (const ring_reader_lane &lane : m_impl->lanes)
		store(impl::shared(lane).waiting, 0U);
	return !error;
}

bool ring_reader::arm()
{
	std::error_code error;
	const bool result = arm(error);

	detail::throw_if(error, "ask for records");
	return result;
}

bool ring_reader::wait(std::chrono::nanoseconds timeout,
		       std::error_code &error) noexcept
{
	const detail::time_left time(timeout);

	for (;;) {
		if (arm(error) || error)
			return !error;
		if (!m_impl->bell) {
			error = std::make_error_code(std::errc::not_connected);
			return false;
		}

		const std::chrono::nanoseconds left = time.get();

		if (!left.count())
			return false;
		m_impl->bell.wait(left, error);
		if (error)
			return false;
	}
}

bool ring_reader::wait(std::chrono::nanoseconds timeout)
{
	std::error_code error;
	const bool result = wait(timeout, error);

	detail::throw_if(error, "wait for records");
	return result;
}

bool ring_reader::take_room_wanted() noexcept
{
	return m_impl && std::exchange(m_impl->room_wanted, false);
}

std::uint32_t ring_reader::lanes() const noexcept
{
	return m_impl ? static_cast<std::uint32_t>(m_impl->lanes.size()) : 0;
}

bool ring_reader::overwrites() const noexcept
{
	return m_impl && m_impl->overwrite;
}

std::size_t ring_reader::max_record() const noexcept
{
	return m_impl ? detail::max_record(m_lane->mask + 1) : 0;
}

std::uint32_t ring_reader::last_lane() const noexcept
{
	return m_lane->index;
}

std::uint64_t ring_reader::restarts() const noexcept
{
	return m_impl ? m_impl->restarts : 0;
}

std::uint64_t ring_reader::lost() const noexcept
{
	std::uint64_t sum = 0;

	if (m_impl)
		for (const ring_reader_lane &lane : m_impl->lanes)
			sum += lane.lost;
	return sum;
}

} // namespace shm_kernel
