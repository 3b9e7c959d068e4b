// SPDX-License-Identifier: BSL-1.0
/*
 * The picture that `shmtool top` shows
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "top_view.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <utility>

#include "durations.hpp"
#include "escape.hpp"
#include "show.hpp"
#include "sizes.hpp"

namespace shmtool {
namespace {

constexpr std::uint64_t cell_size = 64;

/* Cells in use of the fullest lane. */
std::uint32_t fullest(const ring_sample &ring)
{
	const auto lane = std::max_element(ring.used.begin(), ring.used.end());

	return lane == ring.used.end() ? 0 : *lane;
}

std::optional<double> flow(const region_sample &before,
			   const region_sample &now, double seconds)
{
	std::uint64_t cells = 0;

	if (!before.ring || !now.ring || now.ring->corrupted ||
	    before.ring->positions.size() != now.ring->positions.size())
		return std::nullopt;
	/* positions run free: the difference is right beyond the overflow */
	for (std::size_t i = 0; i < now.ring->positions.size(); i++) {
		const auto more = static_cast<std::int32_t>(
			now.ring->positions[i] - before.ring->positions[i]);

		/* back is where a RESET leads, and no record */
		if (more < 0)
			return std::nullopt;
		cells += static_cast<std::uint32_t>(more);
	}
	return static_cast<double>(cells * cell_size) / seconds;
}

std::string size_rate(double bytes)
{
	return bytes < 1
		       ? "0"
		       : format_size(static_cast<std::uint64_t>(bytes)) + "/s";
}

template <typename T>
json number_or_null(const std::optional<T> &number)
{
	return number ? json(*number) : json(nullptr);
}

std::string ring_shape(const ring_sample &ring)
{
	const std::string lane = format_size(ring.cells * cell_size);

	if (ring.used.size() == 1)
		return lane;
	return std::to_string(ring.used.size()) + " x " + lane;
}

table::cell fill_cell(const ring_sample &ring)
{
	const std::uint32_t used = fullest(ring);

	if (ring.corrupted)
		return {"corrupt", colour::red};
	/* one that overwrites is always full, and that is as it should be */
	return {format_part(used, ring.cells), ring.overwrite ? colour::dim
					       : used > ring.cells / 10 * 9
						       ? colour::yellow
						       : colour::none};
}

std::string summary(const std::vector<top_row> &rows, const sample &now)
{
	std::uint64_t bytes = 0;
	std::uint64_t peers = 0;
	double rings = 0;

	for (const top_row &row : rows) {
		bytes += row.now.size;
		peers += row.now.peers;
		rings += row.rings.value_or(0);
	}
	return format_local_time(now.date).substr(0, 19) + "  " +
	       std::to_string(rows.size()) +
	       (rows.size() == 1 ? " region, " : " regions, ") +
	       format_size(bytes) + ", " + std::to_string(peers) +
	       (peers == 1 ? " peer, " : " peers, ") + format_rate(rings) +
	       " rings/s";
}

} // namespace

std::vector<top_row> top_rows(const sample *before, const sample &now)
{
	std::map<std::uint64_t, const region_sample *> old;
	std::vector<top_row> rows;
	double seconds = 0;

	if (before) {
		seconds = std::chrono::duration<double>(now.time - before->time)
				  .count();
		for (const region_sample &region : before->regions)
			old[region.id] = &region;
	}
	for (const region_sample &region : now.regions) {
		const auto earlier = old.find(region.id);
		top_row row;

		row.now = region;
		if (earlier != old.end() && seconds > 0) {
			row.rings =
				static_cast<double>(region.rings -
						    earlier->second->rings) /
				seconds;
			row.bytes = flow(*earlier->second, region, seconds);
		}
		rows.push_back(std::move(row));
	}
	std::stable_sort(rows.begin(), rows.end(),
			 [](const top_row &a, const top_row &b) {
				 const auto busy = [](const top_row &row) {
					 return std::pair(
						 row.bytes.value_or(0),
						 row.rings.value_or(0));
				 };
				 return busy(a) > busy(b);
			 });
	return rows;
}

std::string format_rate(double per_second)
{
	static constexpr const char *units[] = {"", "k", "M", "G", "T"};
	std::size_t unit = 0;
	char text[32];

	if (per_second < 0.05)
		return "0";
	while (per_second >= 9999.5 && unit + 1 < std::size(units)) {
		per_second /= 1000;
		unit++;
	}
	/* what is whole, or large enough, needs no digit after the point */
	std::snprintf(text, sizeof(text),
		      per_second < 99.95 && per_second != std::floor(per_second)
			      ? "%.1f%s"
			      : "%.0f%s",
		      per_second, units[unit]);
	return text;
}

std::string top_text(const sample *before, const sample &now, std::size_t width)
{
	using align = table::align;
	const std::vector<top_row> rows = top_rows(before, now);
	table list({
		{"NAME", align::left, 0, true},
		{"SIZE", align::right, 2, false},
		{"FILES", align::right, 1, false},
		{"MAPS", align::right, 1, false},
		{"PEERS", align::right, 0, false},
		{"CLIENTS", align::right, 3, false},
		{"RINGS/S", align::right, 0, false},
		{"RING", align::right, 5, false},
		{"FILL", align::right, 6, false},
		{"FLOW", align::right, 6, false},
		{"DROPPED", align::right, 4, false},
	});

	for (const top_row &row : rows) {
		const region_sample &region = row.now;
		std::vector<table::cell> cells;

		cells.push_back(
			{region.name ? printable(*region.name) : "(none)",
			 region.name ? colour::none : colour::dim});
		cells.push_back({format_size(region.size)});
		cells.push_back({std::to_string(region.files)});
		cells.push_back({std::to_string(region.mappings)});
		cells.push_back({std::to_string(region.peers)});
		cells.push_back({std::to_string(region.clients)});
		cells.push_back({row.rings ? format_rate(*row.rings) : "",
				 row.rings.value_or(0) > 0 ? colour::green
							   : colour::none});
		if (region.ring) {
			const ring_sample &ring = *region.ring;

			cells.push_back(
				{ring.corrupted ? "" : ring_shape(ring)});
			cells.push_back(fill_cell(ring));
			cells.push_back(
				{row.bytes ? size_rate(*row.bytes) : ""});
			cells.push_back(
				{ring.corrupted ? ""
						: std::to_string(ring.dropped),
				 ring.dropped ? colour::yellow : colour::none});
		}
		list.add(std::move(cells));
	}

	const std::string head = summary(rows, now);
	return head.substr(0, width ? width : head.size()) + "\n\n" +
	       list.format(width);
}

json top_json(const sample *before, const sample &now)
{
	json object;

	object["time"] = format_utc_time(now.date);
	object["regions"] = json::array();
	for (const top_row &row : top_rows(before, now)) {
		const region_sample &region = row.now;
		json entry;

		if (region.name)
			put_bytes(entry, "name", *region.name);
		else
			entry["name"] = nullptr;
		entry["id"] = region.id;
		entry["size"] = region.size;
		entry["files"] = region.files;
		entry["mappings"] = region.mappings;
		entry["peers"] = region.peers;
		entry["clients"] = region.clients;
		entry["rings"] = region.rings;
		entry["rings_per_second"] = number_or_null(row.rings);
		entry["ring"] = nullptr;
		if (region.ring) {
			json ring;

			ring["corrupted"] = region.ring->corrupted;
			ring["lanes"] = region.ring->used.size();
			ring["cells"] = region.ring->cells;
			ring["overwrite"] = region.ring->overwrite;
			ring["used"] = region.ring->used;
			ring["bytes_per_second"] = number_or_null(row.bytes);
			ring["dropped"] = region.ring->dropped;
			entry["ring"] = std::move(ring);
		}
		object["regions"].push_back(std::move(entry));
	}
	return object;
}

} // namespace shmtool
