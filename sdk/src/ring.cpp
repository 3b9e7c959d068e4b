/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Rings of records: making them, looking at them
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/ring.hpp>

#include "ring_internal.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <ostream>
#include <stdexcept>

#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

namespace shm_kernel {

static_assert(ring_cell_size == SHM_KERNEL_RING_CELL);
static_assert(ring_cell_size == SHM_KERNEL_RING_ALIGN);
static_assert(ring_min_cells == SHM_KERNEL_RING_MIN_CELLS);
static_assert(ring_max_cells == SHM_KERNEL_RING_MAX_CELLS);
static_assert(ring_max_lanes == SHM_KERNEL_RING_MAX_LANES);
static_assert(ring_tag_size == SHM_KERNEL_RING_TAG_SIZE);
static_assert(sizeof(struct shm_kernel_ring) == 128);

#define SAME_FIELD(ours, theirs, field)                                        \
	static_assert(offsetof(ours, field) == offsetof(theirs, field) &&      \
		      sizeof(ours::field) == sizeof(theirs::field))
static_assert(sizeof(detail::ring_lane) == sizeof(struct shm_kernel_ring_lane));
SAME_FIELD(detail::ring_lane, shm_kernel_ring_lane, head);
SAME_FIELD(detail::ring_lane, shm_kernel_ring_lane, oldest);
SAME_FIELD(detail::ring_lane, shm_kernel_ring_lane, dropped);
SAME_FIELD(detail::ring_lane, shm_kernel_ring_lane, producer);
SAME_FIELD(detail::ring_lane, shm_kernel_ring_lane, waiting);
SAME_FIELD(detail::ring_lane, shm_kernel_ring_lane, tail);
SAME_FIELD(detail::ring_lane, shm_kernel_ring_lane, consumer);
SAME_FIELD(detail::ring_lane, shm_kernel_ring_lane, blocked);
static_assert(sizeof(detail::ring_record) ==
	      sizeof(struct shm_kernel_ring_record));
SAME_FIELD(detail::ring_record, shm_kernel_ring_record, sequence);
SAME_FIELD(detail::ring_record, shm_kernel_ring_record, len);
#undef SAME_FIELD

namespace {

bool shape_makes_sense(std::uint32_t lanes, std::uint32_t cells) noexcept
{
	return lanes && lanes <= ring_max_lanes && cells >= ring_min_cells &&
	       cells <= ring_max_cells && !(cells & (cells - 1));
}

bool aligned(std::uintptr_t value) noexcept
{
	return !(value & (ring_cell_size - 1));
}

bool aligned(const void *memory) noexcept
{
	return aligned(reinterpret_cast<std::uintptr_t>(memory));
}

std::error_code invalid() noexcept
{
	return std::make_error_code(std::errc::invalid_argument);
}

/* Copies words that a peer may write meanwhile, each read once. */
void copy_words(void *to, const void *from, std::size_t size) noexcept
{
	auto *out = static_cast<std::uint32_t *>(to);
	const auto *in = static_cast<const std::uint32_t *>(from);

	for (; size >= sizeof(*out); size -= sizeof(*out))
		*out++ = detail::load(*in++);
}

bool may_shrink(const region_info &info) noexcept
{
	return info.has(capability::resize) && !info.has(seal::shrink);
}

/* What is locked is one byte, whose offset is that of a word of the lane. */
struct flock one_byte(std::uint64_t offset) noexcept
{
	struct flock byte = {};

	byte.l_type = F_WRLCK;
	byte.l_whence = SEEK_SET;
	byte.l_start = static_cast<off_t>(offset);
	byte.l_len = 1;
	return byte;
}

/*
 * A file description of our own for the locks of a region. All have to lock the
 * same file, so it is not that of a node.
 */
region lock_file(const region &source, access_mode mode, std::error_code &error)
{
	struct stat status;

	if (::fstat(source.native_handle(), &status)) {
		error = {errno, std::system_category()};
		return region();
	}
	if (!S_ISCHR(status.st_mode))
		return source.reopen(mode, error);

	const region_info info = source.info(error);

	return error ? region() : region::open(info.name(), mode, error);
}

long membarrier(int command) noexcept
{
	return ::syscall(SYS_membarrier, command, 0, 0);
}

} // namespace

namespace detail {

ring_shape checked_shape(const struct shm_kernel_ring &head, std::uint64_t size,
			 std::error_code &error) noexcept
{
	ring_shape shape;

	if (head.magic != SHM_KERNEL_RING_MAGIC ||
	    head.version != SHM_KERNEL_RING_VERSION ||
	    head.flags & ~SHM_KERNEL_RING_OVERWRITE ||
	    !shape_makes_sense(head.lanes, head.cells) ||
	    ring_size(head.lanes, head.cells) > size) {
		error = errc::not_a_ring;
		return shape;
	}
	shape.lanes = head.lanes;
	shape.cells = head.cells;
	shape.overwrite = head.flags & SHM_KERNEL_RING_OVERWRITE;
	return shape;
}

ring_shape shape_in(const void *memory, std::size_t size,
		    std::error_code &error) noexcept
{
	struct shm_kernel_ring head;

	if (!memory || !aligned(memory)) {
		error = invalid();
		return ring_shape();
	}
	if (size < sizeof(head)) {
		error = errc::not_a_ring;
		return ring_shape();
	}
	/* Who sees the magic sees the rest. */
	load_acquire(
		static_cast<const struct shm_kernel_ring *>(memory)->magic);
	copy_words(&head, memory, sizeof(head));
	return checked_shape(head, size, error);
}

ring_shape ring_in_region::open(const region &source, const ring_access &access,
				end which, std::error_code &error)
{
	struct shm_kernel_ring head = {};

	if (!aligned(access.offset())) {
		error = invalid();
		return ring_shape();
	}

	const region_info info = source.info(error);

	if (error)
		return ring_shape();
	if (!access.trusted() && may_shrink(info)) {
		error = errc::may_shrink;
		return ring_shape();
	}
	if (access.offset() >= info.size() ||
	    source.read(access.offset(), &head, sizeof(head), error) <
		    sizeof(head)) {
		if (!error)
			error = errc::not_a_ring;
		return ring_shape();
	}

	const ring_shape shape =
		checked_shape(head, info.size() - access.offset(), error);

	if (error)
		return shape;
	m_offset = access.offset();
	m_cells = shape.cells;
	m_end = which;

	const bool only_looks = which == end::consumer && shape.overwrite;
	const std::uint64_t size = ring_size(shape.lanes, shape.cells);

	if (size > std::numeric_limits<std::size_t>::max()) {
		error = errc::no_memory;
		return shape;
	}
	mapping(source, only_looks ? map_mode::read_only : map_mode::read_write,
		m_offset, static_cast<std::size_t>(size), error)
		.swap(m_mapping);
	if (error || only_looks)
		return shape;

	m_file = lock_file(source, access_mode::read_write, error);
	return shape;
}

bool ring_in_region::lock_byte(std::uint32_t lane, short type) noexcept
{
	struct flock byte =
		one_byte(m_offset + ring_size(lane, m_cells) +
			 (m_end == end::producer ? offsetof(ring_lane, head)
						 : offsetof(ring_lane, tail)));

	byte.l_type = type;
	return !retry([&] {
		return ::fcntl(m_file.native_handle(), F_OFD_SETLK, &byte);
	});
}

void ring_in_region::lock(std::uint32_t lane, std::error_code &error) noexcept
{
	if (lock_byte(lane, F_WRLCK))
		return;
	if (errno == EAGAIN || errno == EACCES)
		error = errc::lane_busy;
	else
		error = region_error(errno);
}

void ring_in_region::unlock(std::uint32_t lane) noexcept
{
	lock_byte(lane, F_UNLCK);
}

doorbell::~doorbell()
{
	if (m_fd >= 0)
		::close(m_fd);
}

void doorbell::set(int descriptor, std::error_code &error) noexcept
{
	error = check(descriptor);
	if (error)
		return;

	const int fd = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);

	if (fd < 0) {
		error = {errno, std::system_category()};
		return;
	}
	if (m_fd >= 0)
		::close(m_fd);
	m_fd = fd;
}

void doorbell::ring(std::error_code &error) noexcept
{
	const std::uint64_t once = 1;

	/* EAGAIN is of something that has been rung often enough. */
	if (retry([&] { return ::write(m_fd, &once, sizeof(once)); }) < 0 &&
	    errno != EAGAIN)
		error = errno == EBADF
				? make_error_code(errc::permission_denied)
				: region_error(errno);
}

bool doorbell::wait(std::chrono::nanoseconds left,
		    std::error_code &error) noexcept
{
	const auto seconds =
		std::chrono::duration_cast<std::chrono::seconds>(left);
	struct shm_kernel_events counts;
	struct iovec buffer = {&counts, sizeof(counts)};
	struct timespec timeout = {};
	struct pollfd waiting = {};

	timeout.tv_sec = static_cast<time_t>(seconds.count());
	timeout.tv_nsec = static_cast<long>((left - seconds).count());
	waiting.fd = m_fd;
	waiting.events = POLLIN;

	const int result = ::ppoll(
		&waiting, 1, left.count() < 0 ? nullptr : &timeout, nullptr);

	if (result < 0 && errno != EINTR) {
		error = {errno, std::system_category()};
		return false;
	}
	if (result <= 0)
		return result < 0;

	/* Another thread may have read it meanwhile: do not wait for more. */
	ssize_t count = retry(
		[&] { return ::preadv2(m_fd, &buffer, 1, -1, RWF_NOWAIT); });

	if (count < 0 && errno == EOPNOTSUPP)
		count = retry(
			[&] { return ::read(m_fd, &counts, sizeof(counts)); });
	if (!count)
		error = std::make_error_code(std::errc::broken_pipe);
	else if (count < 0 && errno != EAGAIN)
		error = region_error(errno);
	return !error;
}

time_left::time_left(std::chrono::nanoseconds timeout) noexcept
	: m_begin(std::chrono::steady_clock::now()), m_timeout(timeout)
{
}

std::chrono::nanoseconds time_left::get() const noexcept
{
	using std::chrono::nanoseconds;

	if (m_timeout.count() < 0)
		return nanoseconds(-1);

	const auto gone = std::chrono::steady_clock::now() - m_begin;

	return gone < m_timeout ? nanoseconds(m_timeout - gone)
				: nanoseconds(0);
}

bool register_for_membarrier() noexcept
{
	return !membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
}

void membarrier_everywhere(std::error_code &error) noexcept
{
	if (!membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) ||
	    !membarrier(MEMBARRIER_CMD_GLOBAL))
		return;
	error = {errno, std::system_category()};
}

} // namespace detail

ring_options &ring_options::set_lanes(std::uint32_t lanes) noexcept
{
	m_lanes = lanes;
	return *this;
}

ring_options &ring_options::set_cells(std::uint32_t cells) noexcept
{
	m_cells = cells;
	return *this;
}

ring_options &ring_options::set_cells_to_fit(std::uint64_t size) noexcept
{
	m_cells = ring_max_cells;
	while (m_cells > ring_min_cells && this->size() > size)
		m_cells /= 2;
	return *this;
}

ring_options &ring_options::set_overwrite(bool value) noexcept
{
	m_overwrite = value;
	return *this;
}

ring_options &ring_options::set_tag(std::string_view tag)
{
	if (tag.size() > ring_tag_size)
		throw std::length_error("the tag of a ring is too long");
	m_tag = tag;
	return *this;
}

std::uint64_t ring_options::size() const noexcept
{
	return detail::ring_size(m_lanes, m_cells);
}

ring_access &ring_access::set_offset(std::uint64_t offset) noexcept
{
	m_offset = offset;
	return *this;
}

ring_access &ring_access::set_lane(std::optional<std::uint32_t> lane) noexcept
{
	m_lane = lane;
	return *this;
}

ring_access &ring_access::set_trusted(bool value) noexcept
{
	m_trusted = value;
	return *this;
}

ring_access &ring_access::set_fences(bool value) noexcept
{
	m_fences = value;
	return *this;
}

std::string ring_info::printable_tag() const
{
	return detail::printable(m_tag);
}

std::uint64_t ring_info::size() const noexcept
{
	if (m_lanes.empty())
		return 0;
	return detail::ring_size(static_cast<std::uint32_t>(m_lanes.size()),
				 m_cells);
}

std::size_t ring_info::max_record() const noexcept
{
	return m_lanes.empty() ? 0 : detail::max_record(m_cells);
}

std::uint64_t ring_info::dropped() const noexcept
{
	std::uint64_t sum = 0;

	for (const lane &each : m_lanes)
		sum += each.dropped;
	return sum;
}

std::ostream &operator<<(std::ostream &out, const ring_info &info)
{
	/* One piece: what the stream is set to (hex, width) is for others. */
	std::string text = "ring";

	if (!info.tag().empty())
		text += " \"" + info.printable_tag() + '"';
	text += ": " + std::to_string(info.lanes().size()) + " lanes of " +
		std::to_string(info.cells()) + " cells, " +
		std::to_string(info.dropped()) + " dropped";
	if (info.overwrite())
		text += ", overwrites";
	return out << text;
}

/* Where a snapshot comes from. */
class ring_info::source
{
public:
	virtual ~source() = default;

	virtual void read(std::uint64_t offset, void *to, std::size_t size,
			  std::error_code &error) const noexcept = 0;
	virtual std::uint64_t size(std::error_code &error) const noexcept = 0;
	/* Whether somebody has locked the word at @offset. */
	virtual bool locked(std::uint64_t) const noexcept { return false; }
};

ring_info ring_info::take(const source &from, std::error_code &error)
{
	struct shm_kernel_ring head;
	ring_info result;

	error.clear();

	const std::uint64_t size = from.size(error);

	if (error)
		return result;
	if (size < sizeof(head)) {
		error = errc::not_a_ring;
		return result;
	}
	from.read(0, &head, sizeof(head), error);
	if (error)
		return result;

	const detail::ring_shape shape =
		detail::checked_shape(head, size, error);

	if (error)
		return result;
	result.m_cells = shape.cells;
	result.m_overwrite = shape.overwrite;
	result.m_tag.assign(reinterpret_cast<const char *>(head.tag),
			    ring_tag_size);
	result.m_tag.resize(result.m_tag.find_last_not_of('\0') + 1);
	for (std::uint32_t i = 0; i < shape.lanes; ++i) {
		detail::ring_lane words;
		lane each;

		from.read(detail::ring_size(i, shape.cells), &words,
			  sizeof(words), error);
		if (error)
			return ring_info();
		each.head = words.head;
		each.oldest = words.oldest;
		each.tail = words.tail;

		/*
		 * The writer says where it is after it has published a record,
		 * so a reader that is quick is ahead of that: with nothing left.
		 */
		const std::uint32_t first =
			shape.overwrite ? words.oldest : words.tail;

		if (!detail::ring_after(first, words.head))
			each.used = std::min(words.head - first, shape.cells);
		each.dropped = words.dropped;
		each.producer_in_kernel =
			words.producer & SHM_KERNEL_RING_IN_KERNEL;
		each.consumer_in_kernel =
			words.consumer & SHM_KERNEL_RING_IN_KERNEL;
		each.producer_locked =
			from.locked(detail::ring_size(i, shape.cells) +
				    offsetof(detail::ring_lane, head));
		each.consumer_locked =
			from.locked(detail::ring_size(i, shape.cells) +
				    offsetof(detail::ring_lane, tail));
		each.waiting = words.waiting != 0;
		each.blocked = words.blocked != 0;
		result.m_lanes.push_back(each);
	}
	return result;
}

ring_info get_ring_info(const void *memory, std::size_t size,
			std::error_code &error)
{
	class in_memory final : public ring_info::source
	{
	public:
		in_memory(const void *memory, std::size_t size) noexcept
			: m_memory(static_cast<const char *>(memory)),
			  m_size(size)
		{
		}

		void read(std::uint64_t offset, void *to, std::size_t size,
			  std::error_code &) const noexcept override
		{
			copy_words(to, m_memory + offset, size);
		}

		std::uint64_t size(std::error_code &) const noexcept override
		{
			return m_size;
		}

	private:
		const char *m_memory;
		std::size_t m_size;
	};

	if (!memory || !aligned(memory)) {
		error = invalid();
		return ring_info();
	}
	return ring_info::take(in_memory(memory, size), error);
}

ring_info get_ring_info(const void *memory, std::size_t size)
{
	std::error_code error;
	ring_info result = get_ring_info(memory, size, error);

	detail::throw_if(error, "look at ring");
	return result;
}

ring_info get_ring_info(const region &where, std::uint64_t offset,
			std::error_code &error)
{
	/* By read(), which a region that shrinks cannot make fatal. */
	class in_region final : public ring_info::source
	{
	public:
		in_region(const region &where, std::uint64_t offset)
			: m_region(where), m_offset(offset)
		{
			std::error_code ignored;

			m_locks = lock_file(where, access_mode::read_only,
					    ignored);
		}

		void read(std::uint64_t offset, void *to, std::size_t size,
			  std::error_code &error) const noexcept override
		{
			if (m_region.read(m_offset + offset, to, size, error) <
				    size &&
			    !error)
				error = errc::not_a_ring;
		}

		std::uint64_t
		size(std::error_code &error) const noexcept override
		{
			const std::uint64_t all = m_region.size(error);

			return all > m_offset ? all - m_offset : 0;
		}

		bool locked(std::uint64_t offset) const noexcept override
		{
			struct flock byte = one_byte(m_offset + offset);

			return !::fcntl(m_locks.native_handle(), F_OFD_GETLK,
					&byte) &&
			       byte.l_type != F_UNLCK;
		}

	private:
		const region &m_region;
		region m_locks;
		std::uint64_t m_offset;
	};

	if (!aligned(offset)) {
		error = invalid();
		return ring_info();
	}
	return ring_info::take(in_region(where, offset), error);
}

ring_info get_ring_info(const region &where, std::uint64_t offset)
{
	std::error_code error;
	ring_info result = get_ring_info(where, offset, error);

	detail::throw_if(error, "look at ring");
	return result;
}

void create_ring(void *memory, std::size_t size, const ring_options &options,
		 std::error_code &error) noexcept
{
	auto *const head = static_cast<struct shm_kernel_ring *>(memory);

	error.clear();
	if (!memory || !aligned(memory) ||
	    !shape_makes_sense(options.lanes(), options.cells())) {
		error = invalid();
		return;
	}
	if (options.size() > size) {
		error = errc::past_end;
		return;
	}
	std::memset(memory, 0, static_cast<std::size_t>(options.size()));
	head->version = SHM_KERNEL_RING_VERSION;
	head->flags = options.overwrite() ? SHM_KERNEL_RING_OVERWRITE : 0;
	head->lanes = options.lanes();
	head->cells = options.cells();
	std::memcpy(head->tag, options.tag().data(), options.tag().size());
	/* Who sees the magic sees the rest. */
	detail::store_release(head->magic, __u32{SHM_KERNEL_RING_MAGIC});
}

void create_ring(void *memory, std::size_t size, const ring_options &options)
{
	std::error_code error;

	create_ring(memory, size, options, error);
	detail::throw_if(error, "create ring");
}

void create_ring(region &where, const ring_options &options,
		 std::uint64_t offset, std::error_code &error)
{
	error.clear();
	if (!aligned(offset) ||
	    !shape_makes_sense(options.lanes(), options.cells())) {
		error = invalid();
		return;
	}

	if (may_shrink(where.info(error)))
		where.add_seals(seal::shrink, error);
	if (error)
		return;

	/* From here on it is no less. */
	const std::uint64_t size = where.size(error);

	if (error)
		return;
	if (offset > size || options.size() > size - offset) {
		error = errc::past_end;
		return;
	}

	const mapping memory(where, map_mode::read_write, offset,
			     static_cast<std::size_t>(options.size()), error);

	if (!error)
		create_ring(memory.data(), memory.size(), options, error);
}

void create_ring(region &where, const ring_options &options,
		 std::uint64_t offset)
{
	std::error_code error;

	create_ring(where, options, offset, error);
	detail::throw_if(error, "create ring");
}

} // namespace shm_kernel
