// SPDX-License-Identifier: BSL-1.0
/*
 * What is wrong with the head of a ring
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "ring_head.hpp"

#include <system_error>

#include "sizes.hpp"

namespace shmtool {

std::string head_fault(const struct shm_kernel_ring &head, std::uint64_t room)
{
	const std::string lanes = std::to_string(head.lanes);
	const std::string cells = std::to_string(head.cells);

	if (head.version != SHM_KERNEL_RING_VERSION)
		return "it is of version " + std::to_string(head.version) +
		       ", and shmtool knows version " +
		       std::to_string(SHM_KERNEL_RING_VERSION);
	if (head.flags & ~SHM_KERNEL_RING_OVERWRITE)
		return "it has unknown flags";
	if (!head.lanes || head.lanes > SHM_KERNEL_RING_MAX_LANES)
		return "it says that it has " + lanes + " lanes";
	if (head.cells < SHM_KERNEL_RING_MIN_CELLS ||
	    head.cells > SHM_KERNEL_RING_MAX_CELLS ||
	    head.cells & (head.cells - 1))
		return "it says that a lane has " + cells + " cells";

	const std::uint64_t size = shm_kernel::ring_options()
					   .set_lanes(head.lanes)
					   .set_cells(head.cells)
					   .size();
	if (size > room)
		return lanes + " lanes of " + cells + " cells take " +
		       format_size_exact(size) + ", and there are " +
		       format_size_exact(room);
	return "";
}

std::optional<std::string> find_head_fault(const shm_kernel::region &handle,
					   std::uint64_t offset)
{
	struct shm_kernel_ring head;
	std::error_code error;

	const std::uint64_t size = handle.size(error);
	if (error || offset > size || size - offset < sizeof(head) ||
	    handle.read(offset, &head, sizeof(head), error) < sizeof(head) ||
	    error || head.magic != SHM_KERNEL_RING_MAGIC)
		return std::nullopt;
	return head_fault(head, size - offset);
}

} // namespace shmtool
