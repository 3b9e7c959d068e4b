// SPDX-License-Identifier: BSL-1.0
/*
 * A ring and its records in words and in JSON
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "ring_text.hpp"

#include "escape.hpp"
#include "hexdump.hpp"
#include "show.hpp"
#include "sizes.hpp"

namespace shmtool {
namespace {

using shm_kernel::ring_info;

const char *producer_word(const ring_info::lane &lane)
{
	return lane.producer_in_kernel ? "kernel"
	       : lane.producer_locked  ? "program"
				       : "none";
}

const char *consumer_word(const ring_info &ring, const ring_info::lane &lane)
{
	/* of those nobody keeps a list */
	return ring.overwrite()          ? "any"
	       : lane.consumer_in_kernel ? "kernel"
	       : lane.consumer_locked    ? "program"
					 : "none";
}

std::uint32_t oldest(const ring_info &ring, const ring_info::lane &lane)
{
	return ring.overwrite() ? lane.oldest : lane.tail;
}

} // namespace

std::string ring_text(const ring_info &ring, std::uint64_t offset,
		      std::size_t width)
{
	using align = table::align;
	const std::uint64_t lane_size =
		std::uint64_t{ring.cells()} * shm_kernel::ring_cell_size;
	std::string out;
	const auto line = [&](const char *title, const std::string &value) {
		std::string label = std::string(title) + ":";

		label.resize(13, ' ');
		out += paint(colour::bold, label) + value + "\n";
	};

	line("Tag", ring.tag().empty() ? std::string("(none)")
				       : printable(ring.tag()));
	line("Size", format_size_exact(ring.size()) + " from offset " +
			     std::to_string(offset) + " on");
	line("Lanes", std::to_string(ring.lanes().size()) + " of " +
			      std::to_string(ring.cells()) + " cells, " +
			      format_size(lane_size));
	line("When full", ring.overwrite()
				  ? "the oldest records are overwritten"
				  : "new records are dropped");
	line("Longest",
	     "records of " + std::to_string(ring.max_record()) + " bytes");

	table lanes({
		{"LANE", align::right, 0, false},
		{"FILL", align::right, 0, false},
		{"USED", align::right, 1, false},
		{"HEAD", align::right, 2, false},
		{ring.overwrite() ? "OLDEST" : "TAIL", align::right, 2, false},
		{"DROPPED", align::right, 0, false},
		{"PRODUCER", align::left, 3, false},
		{"CONSUMER", align::left, 3, false},
	});
	for (std::size_t i = 0; i < ring.lanes().size(); i++) {
		const ring_info::lane &lane = ring.lanes()[i];
		lanes.add({{std::to_string(i)},
			   {format_part(lane.used, ring.cells())},
			   {std::to_string(lane.used)},
			   {std::to_string(lane.head)},
			   {std::to_string(oldest(ring, lane))},
			   {std::to_string(lane.dropped),
			    lane.dropped ? colour::yellow : colour::none},
			   {std::string(producer_word(lane)) +
			    (lane.blocked ? ", waits" : "")},
			   {std::string(consumer_word(ring, lane)) +
			    (lane.waiting ? ", waits" : "")}});
	}
	return out + "\n" + lanes.format(width);
}

json ring_json(const ring_info &ring, std::uint64_t offset)
{
	json object;

	put_bytes(object, "tag", ring.tag());
	object["offset"] = offset;
	object["size"] = ring.size();
	object["cells"] = ring.cells();
	object["overwrite"] = ring.overwrite();
	object["max_record"] = ring.max_record();
	object["dropped"] = ring.dropped();
	object["lanes"] = json::array();
	for (std::size_t i = 0; i < ring.lanes().size(); i++) {
		const ring_info::lane &lane = ring.lanes()[i];
		json entry;

		entry["used"] = lane.used;
		entry["head"] = lane.head;
		entry[ring.overwrite() ? "oldest" : "tail"] =
			oldest(ring, lane);
		entry["dropped"] = lane.dropped;
		entry["producer"] = producer_word(lane);
		entry["producer_waits"] = lane.blocked;
		entry["consumer"] = consumer_word(ring, lane);
		entry["consumer_waits"] = lane.waiting;
		object["lanes"].push_back(std::move(entry));
	}
	return object;
}

std::optional<record_format> parse_format(const std::string &word)
{
	if (word == "text")
		return record_format::text;
	if (word == "hex")
		return record_format::hex;
	if (word == "raw")
		return record_format::raw;
	return std::nullopt;
}

std::string record_text(record_format format, std::optional<std::uint32_t> lane,
			std::string_view payload)
{
	switch (format) {
	case record_format::raw:
		return std::string(payload);
	case record_format::text:
		return (lane ? std::to_string(*lane) + ": " : "") +
		       printable(payload) + "\n";
	case record_format::hex: {
		hexdump dump(0);
		std::string text =
			(lane ? "lane " + std::to_string(*lane) + ", " : "") +
			std::to_string(payload.size()) +
			(payload.size() == 1 ? " byte\n" : " bytes\n");

		text += dump.feed(payload);
		text += dump.finish();
		return text;
	}
	case record_format::object:
		break;
	}

	json object;

	object["lane"] = lane ? json(*lane) : json(nullptr);
	object["size"] = payload.size();
	put_bytes(object, "data", payload);
	return object.dump(-1, ' ', true) + "\n";
}

} // namespace shmtool
