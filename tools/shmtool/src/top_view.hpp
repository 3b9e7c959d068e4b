// SPDX-License-Identifier: BSL-1.0
/*
 * The picture that `shmtool top` shows
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_TOP_VIEW_HPP
#define SHMTOOL_TOP_VIEW_HPP

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "output.hpp"

namespace shmtool {

/* A ring at the beginning of a region. */
struct ring_sample
{
	bool corrupted = false;
	bool overwrite = false;
	std::uint32_t cells = 0; /* of each lane */
	std::uint64_t dropped = 0;
	std::vector<std::uint32_t> used;      /* cells, of each lane */
	std::vector<std::uint32_t> positions; /* of the next record, likewise */
};

/* A region at one moment. */
struct region_sample
{
	std::uint64_t id = 0;
	std::optional<std::string> name;
	std::uint64_t size = 0;
	unsigned int files = 0;
	unsigned int mappings = 0;
	unsigned int peers = 0;
	unsigned int clients = 0;
	std::uint64_t rings = 0;
	std::optional<ring_sample> ring;
};

/* All regions at one moment. */
struct sample
{
	std::chrono::system_clock::time_point date;
	std::chrono::steady_clock::time_point time;
	std::vector<region_sample> regions;
};

/* A region, and what it did since the sample before. */
struct top_row
{
	region_sample now;
	/* per second; nothing for a region that was not there before */
	std::optional<double> rings;
	std::optional<double> bytes; /* through its ring */
};

/* The busiest first, and otherwise as they were made. */
std::vector<top_row> top_rows(const sample *before, const sample &now);

/* "0", "0.5", "12", "1.2k", "3.4M" */
std::string format_rate(double per_second);

/* @width 0 is no limit. */
std::string top_text(const sample *before, const sample &now,
		     std::size_t width);

json top_json(const sample *before, const sample &now);

} // namespace shmtool

#endif
