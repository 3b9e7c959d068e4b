// SPDX-License-Identifier: BSL-1.0
/*
 * What happened on a region, in words and in JSON
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_HAPPENINGS_HPP
#define SHMTOOL_HAPPENINGS_HPP

#include <optional>
#include <string>

#include <shm_kernel/shm_kernel.hpp>

#include "output.hpp"

namespace shmtool {

/* Which kinds of events somebody waits for. */
struct event_kinds
{
	bool rings = false;
	bool peers = false;
	bool resized = false;
	bool sealed = false;
	bool revoked = false;
};

/* "rings" or "peers,resized". On failure *why gets the reason. */
std::optional<event_kinds> parse_kinds(const std::string &text,
				       std::string *why);

/* Whether one of @kinds is in @counts. */
bool contains(const shm_kernel::event_counts &counts, event_kinds kinds);

/* Both, the later of which knows how many peers there are. */
shm_kernel::event_counts sum(const shm_kernel::event_counts &earlier,
			     const shm_kernel::event_counts &later);

/* "2 other peers" */
std::string others(unsigned int peers);

/*
 * "rang 3 times, 1 peer came (2 others now), resized to 8 KiB". @now is the
 * region after it. If nothing happened, it says how it is at the beginning.
 */
std::string events_text(const shm_kernel::event_counts &counts,
			const shm_kernel::region_info &now);

/* Puts the counts and what they refer to into @object. */
void put_events(json &object, const shm_kernel::event_counts &counts,
		const shm_kernel::region_info &now);

} // namespace shmtool

#endif
