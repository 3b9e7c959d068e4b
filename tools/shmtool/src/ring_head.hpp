// SPDX-License-Identifier: BSL-1.0
/*
 * What is wrong with the head of a ring
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_RING_HEAD_HPP
#define SHMTOOL_RING_HEAD_HPP

#include <cstdint>
#include <optional>
#include <string>

#include <linux/shm_kernel_ring.h>
#include <shm_kernel/shm_kernel.hpp>

namespace shmtool {

/* Why @head is no head of a ring in @room bytes; empty if it is one. */
std::string head_fault(const struct shm_kernel_ring &head, std::uint64_t room);

/*
 * The same for what is at @offset of a region; nothing if it does not even
 * begin as a ring does.
 */
std::optional<std::string> find_head_fault(const shm_kernel::region &handle,
					   std::uint64_t offset);

} // namespace shmtool

#endif
