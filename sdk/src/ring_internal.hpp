/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the files about rings share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_RING_INTERNAL_HPP
#define SHM_KERNEL_RING_INTERNAL_HPP

#include <shm_kernel/mapping.hpp>
#include <shm_kernel/ring.hpp>

#include "internal.hpp"

#include <linux/shm_kernel_ring.h>

#include <chrono>

namespace shm_kernel {
namespace detail {

/* What the head of a ring says, once it was found to make sense. */
struct ring_shape
{
	std::uint32_t lanes = 0;
	std::uint32_t cells = 0;
	bool overwrite = false;
};

/* Looks at a head that nobody can change any more. */
ring_shape checked_shape(const struct ::shm_kernel_ring &head,
			 std::uint64_t size, std::error_code &error) noexcept;

/* The same of a ring in memory. */
ring_shape shape_in(const void *memory, std::size_t size,
		    std::error_code &error) noexcept;

/* Bytes of a ring; also where lane number @lanes begins. */
constexpr std::uint64_t ring_size(std::uint32_t lanes,
				  std::uint32_t cells) noexcept
{
	return sizeof(struct ::shm_kernel_ring) +
	       lanes * (sizeof(ring_lane) +
			std::uint64_t{cells} * ring_cell_size);
}

constexpr std::uint32_t max_record(std::uint32_t cells) noexcept
{
	return cells / 2 * std::uint32_t{ring_cell_size} -
	       std::uint32_t{sizeof(ring_record)};
}

/* Cells of a record that a peer wrote, or 0 if its length makes no sense. */
inline std::uint32_t cells_of(std::uint32_t len, std::uint32_t position,
			      std::uint32_t mask) noexcept
{
	len &= ~SHM_KERNEL_RING_SKIP;
	if (len > max_record(mask + 1))
		return 0;

	const std::uint32_t cells = ring_cells(len);

	return (position & mask) + cells - 1 <= mask ? cells : 0;
}

inline ring_lane *lane_in(void *memory, std::uint32_t lane,
			  std::uint32_t cells) noexcept
{
	return reinterpret_cast<ring_lane *>(static_cast<char *>(memory) +
					     ring_size(lane, cells));
}

/*
 * A ring in a region: mapped, and locked by lanes on a file description of our
 * own, so that others of this process are kept out like those of others.
 */
class ring_in_region final
{
public:
	enum class end { producer, consumer };

	/*
	 * Finds out what ring there is and gets ready to lock its lanes; that
	 * is not done for a reader of a ring that overwrites.
	 */
	ring_shape open(const region &source, const ring_access &access,
			end which, std::error_code &error);

	/* errc::lane_busy if somebody else has it. */
	void lock(std::uint32_t lane, std::error_code &error) noexcept;
	void unlock(std::uint32_t lane) noexcept;

	void *data() const noexcept { return m_mapping.data(); }
	std::size_t size() const noexcept { return m_mapping.size(); }

private:
	bool lock_byte(std::uint32_t lane, short type) noexcept;

	mapping m_mapping;
	region m_file;
	std::uint64_t m_offset = 0;
	std::uint32_t m_cells = 0;
	end m_end = end::producer;
};

/* A descriptor to ring by and to wait on, a duplicate of the user's. */
class doorbell final
{
public:
	doorbell() noexcept = default;
	doorbell(const doorbell &) = delete;
	doorbell &operator=(const doorbell &) = delete;
	~doorbell();

	void set(int descriptor, std::error_code &error) noexcept;
	void ring(std::error_code &error) noexcept;

	/* Waits until somebody rings; false at the deadline. */
	bool wait(std::chrono::nanoseconds left,
		  std::error_code &error) noexcept;

	explicit operator bool() const noexcept { return m_fd >= 0; }

private:
	int m_fd = -1;
};

/* How long there is still to wait, of a time that began with the object. */
class time_left final
{
public:
	explicit time_left(std::chrono::nanoseconds timeout) noexcept;

	/* Less than 0 for ever. */
	std::chrono::nanoseconds get() const noexcept;

private:
	std::chrono::steady_clock::time_point m_begin;
	std::chrono::nanoseconds m_timeout;
};

/* Lets readers of other processes do without a barrier in this one. */
bool register_for_membarrier() noexcept;

/* A full barrier in all processes that have registered. */
void membarrier_everywhere(std::error_code &error) noexcept;

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_RING_INTERNAL_HPP */
