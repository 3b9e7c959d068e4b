/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Rings of records: making them, looking at them
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_RING_HPP
#define SHM_KERNEL_RING_HPP

#include <shm_kernel/errors.hpp>
#include <shm_kernel/export.hpp>
#include <shm_kernel/region.hpp>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace shm_kernel {

/** A ring lies at a multiple of this, and so does each record in it. */
inline constexpr std::size_t ring_cell_size = 64;
/** Cells of a lane: a power of two from the one to the other. */
inline constexpr std::uint32_t ring_min_cells = 64;
inline constexpr std::uint32_t ring_max_cells = 1U << 24;
inline constexpr std::uint32_t ring_max_lanes = 1024;
/** Bytes of a ring's tag. */
inline constexpr std::size_t ring_tag_size = 32;

/**
 * Describes a ring for create_ring(). A value; nothing is checked here but the
 * length of the tag, the rest is told by create_ring().
 */
class SHM_KERNEL_API ring_options final
{
public:
	/** Producers that can write at the same time: one for each lane. */
	ring_options &set_lanes(std::uint32_t lanes) noexcept;
	/**
	 * Cells of 64 bytes in each lane, a power of two. A record takes its
	 * size and 8 bytes, rounded up to cells; the longest takes half of the
	 * lane.
	 */
	ring_options &set_cells(std::uint32_t cells) noexcept;
	/** As many cells as fit into so much memory, for the lanes set. */
	ring_options &set_cells_to_fit(std::uint64_t size) noexcept;
	/**
	 * New records take the place of the oldest ones when the ring is full;
	 * otherwise there is no room for new ones until the old ones are read.
	 */
	ring_options &set_overwrite(bool value = true) noexcept;
	/**
	 * What the records are, for who reads them: up to ring_tag_size bytes,
	 * zero-filled. Throws std::length_error.
	 */
	ring_options &set_tag(std::string_view tag);

	std::uint32_t lanes() const noexcept { return m_lanes; }
	std::uint32_t cells() const noexcept { return m_cells; }
	bool overwrite() const noexcept { return m_overwrite; }
	const std::string &tag() const noexcept { return m_tag; }

	/** Bytes that such a ring takes. */
	std::uint64_t size() const noexcept;

private:
	std::string m_tag;
	std::uint32_t m_lanes = 1;
	std::uint32_t m_cells = 1024;
	bool m_overwrite = false;
};

/**
 * Says which ring, and how to become a reader or writer of it. A value.
 */
class SHM_KERNEL_API ring_access final
{
public:
	/** Where in the region the ring begins, a multiple of 64. */
	ring_access &set_offset(std::uint64_t offset) noexcept;
	/**
	 * The lane. Without, a reader reads all lanes that the kernel does not
	 * read, and a writer takes the first that nobody else writes; in plain
	 * memory, where nobody can tell, lane 0.
	 */
	ring_access &set_lane(std::optional<std::uint32_t> lane) noexcept;
	/**
	 * Accepts a region that others can make smaller, in which they can
	 * raise SIGBUS here.
	 */
	ring_access &set_trusted(bool value = true) noexcept;
	/**
	 * A writer shall have a full barrier after each record instead of
	 * letting the reader that falls asleep call membarrier(2).
	 */
	ring_access &set_fences(bool value = true) noexcept;

	std::uint64_t offset() const noexcept { return m_offset; }
	std::optional<std::uint32_t> lane() const noexcept { return m_lane; }
	bool trusted() const noexcept { return m_trusted; }
	bool fences() const noexcept { return m_fences; }

private:
	std::uint64_t m_offset = 0;
	std::optional<std::uint32_t> m_lane;
	bool m_trusted = false;
	bool m_fences = false;
};

/**
 * A snapshot of a ring, each word of it read once. Neither keeps anything alive
 * nor changes; what a peer has spoiled shows as it is.
 */
class SHM_KERNEL_API ring_info final
{
public:
	struct lane
	{
		/** Position of the next record, in cells since the beginning. */
		std::uint32_t head = 0;
		/** Position of the oldest record, in a ring that overwrites. */
		std::uint32_t oldest = 0;
		/** Position of the first cell that the reader still needs. */
		std::uint32_t tail = 0;
		/** Cells in use, at most all of them. */
		std::uint32_t used = 0;
		/** Records that there was no room for. */
		std::uint32_t dropped = 0;
		/** The kernel writes or reads this lane. */
		bool producer_in_kernel = false;
		bool consumer_in_kernel = false;
		/** A program writes or reads it; known of regions only. */
		bool producer_locked = false;
		bool consumer_locked = false;
		/** The reader asked to be rung for a record, the writer for room. */
		bool waiting = false;
		bool blocked = false;
	};

	/** A snapshot of nothing: no lanes. */
	ring_info() = default;

	const std::vector<lane> &lanes() const noexcept { return m_lanes; }
	/** Cells of each lane. */
	std::uint32_t cells() const noexcept { return m_cells; }
	bool overwrite() const noexcept { return m_overwrite; }
	/** The tag without its zero fill; any bytes may be in it. */
	const std::string &tag() const noexcept { return m_tag; }
	/** The tag with what is not printable ASCII, and '\\', as \xNN. */
	std::string printable_tag() const;
	/** Bytes that the ring takes. */
	std::uint64_t size() const noexcept;
	/** Bytes of the longest record. */
	std::size_t max_record() const noexcept;
	/** Records that there was no room for, in all lanes. */
	std::uint64_t dropped() const noexcept;

private:
	friend SHM_KERNEL_API ring_info get_ring_info(const void *memory,
						      std::size_t size,
						      std::error_code &error);
	friend SHM_KERNEL_API ring_info get_ring_info(const region &where,
						      std::uint64_t offset,
						      std::error_code &error);
	class source;

	static ring_info take(const source &from, std::error_code &error);

	std::vector<lane> m_lanes;
	std::string m_tag;
	std::uint32_t m_cells = 0;
	bool m_overwrite = false;
};

/** One line for logs, the tag escaped. */
SHM_KERNEL_API std::ostream &operator<<(std::ostream &out,
					const ring_info &info);

/**
 * Makes a ring in @a size bytes of memory at a multiple of 64, which nobody
 * uses yet. What it takes of them is zeroed.
 */
SHM_KERNEL_API void create_ring(void *memory, std::size_t size,
				const ring_options &options);
SHM_KERNEL_API void create_ring(void *memory, std::size_t size,
				const ring_options &options,
				std::error_code &error) noexcept;

/**
 * Makes a ring in a region, after it has sealed the region against shrinking
 * for good. Needs a handle for writing. The best moment is before the region
 * has a name.
 */
SHM_KERNEL_API void create_ring(region &where, const ring_options &options,
				std::uint64_t offset = 0);
SHM_KERNEL_API void create_ring(region &where, const ring_options &options,
				std::uint64_t offset, std::error_code &error);

/** Looks at a ring. A handle for reading will do, and nothing is mapped. */
SHM_KERNEL_API ring_info get_ring_info(const region &where,
				       std::uint64_t offset = 0);
SHM_KERNEL_API ring_info get_ring_info(const region &where,
				       std::uint64_t offset,
				       std::error_code &error);
SHM_KERNEL_API ring_info get_ring_info(const void *memory, std::size_t size);
SHM_KERNEL_API ring_info get_ring_info(const void *memory, std::size_t size,
				       std::error_code &error);

namespace detail {

struct ring_shape;

/*
 * The layout of <linux/shm_kernel_ring.h>, which is compared with it where the
 * library is compiled: programs shall not need a kernel header for what is
 * inline in ours.
 */
struct ring_record
{
	std::uint32_t sequence;
	std::uint32_t len;
};

struct ring_lane
{
	std::uint32_t head;
	std::uint32_t oldest;
	std::uint32_t dropped;
	std::uint32_t producer;
	std::uint32_t waiting;
	std::uint32_t producer_pad[27];
	std::uint32_t tail;
	std::uint32_t consumer;
	std::uint32_t blocked;
	std::uint32_t consumer_pad[29];
};

/*
 * A peer writes these words at any time: each access is one access, of the
 * order that the protocol asks for. (std::atomic_ref is C++20.)
 */
template <typename T>
T load(const T &word) noexcept
{
	return __atomic_load_n(&word, __ATOMIC_RELAXED);
}

template <typename T>
T load_acquire(const T &word) noexcept
{
	return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}

template <typename T>
void store(T &word, T value) noexcept
{
	__atomic_store_n(&word, value, __ATOMIC_RELAXED);
}

template <typename T>
void store_release(T &word, T value) noexcept
{
	__atomic_store_n(&word, value, __ATOMIC_RELEASE);
}

/* Bytes of the cells of a record with a payload of so many bytes. */
constexpr std::uint64_t ring_bytes(std::uint32_t len) noexcept
{
	return (len + std::uint64_t{sizeof(ring_record) + ring_cell_size - 1}) &
	       ~std::uint64_t{ring_cell_size - 1};
}

/* Cells of a record with a payload of so many bytes. */
constexpr std::uint32_t ring_cells(std::uint32_t len) noexcept
{
	return (len + std::uint32_t{sizeof(ring_record)} + 63) / 64;
}

/* Whether position @a is behind @b; they are less than half of all apart. */
constexpr bool ring_after(std::uint32_t a, std::uint32_t b) noexcept
{
	return static_cast<std::int32_t>(a - b) > 0;
}

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_RING_HPP */
