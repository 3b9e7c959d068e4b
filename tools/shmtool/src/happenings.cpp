// SPDX-License-Identifier: BSL-1.0
/*
 * What happened on a region, in words and in JSON
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "happenings.hpp"

#include <algorithm>
#include <cstdint>

#include "escape.hpp"
#include "show.hpp"
#include "sizes.hpp"

namespace shmtool {
namespace {

using shm_kernel::event_counts;
using shm_kernel::region_info;

struct kind_word
{
	const char *word;
	bool event_kinds::*member;
};

constexpr kind_word kind_words[] = {
	{"rings", &event_kinds::rings},     {"peers", &event_kinds::peers},
	{"resized", &event_kinds::resized}, {"sealed", &event_kinds::sealed},
	{"revoked", &event_kinds::revoked},
};

std::string peers(std::uint64_t n)
{
	return std::to_string(n) + (n == 1 ? " peer" : " peers");
}

} // namespace

std::optional<event_kinds> parse_kinds(const std::string &text,
				       std::string *why)
{
	event_kinds kinds;
	std::size_t start = 0;

	while (start <= text.size()) {
		const std::size_t comma =
			std::min(text.find(',', start), text.size());
		const std::string word = text.substr(start, comma - start);
		bool known = false;

		for (const kind_word &k : kind_words) {
			if (word != k.word)
				continue;
			kinds.*k.member = true;
			known = true;
		}
		if (!known) {
			*why = "'" + printable(word) +
			       "' is no kind of event (write rings, peers, "
			       "resized, sealed or revoked, or several with "
			       "commas)";
			return std::nullopt;
		}
		start = comma + 1;
	}
	return kinds;
}

bool contains(const event_counts &counts, event_kinds kinds)
{
	return (kinds.rings && counts.rings) ||
	       (kinds.peers && (counts.peers_come || counts.peers_gone)) ||
	       (kinds.resized && counts.resized) ||
	       (kinds.sealed && counts.sealed) ||
	       (kinds.revoked && counts.revoked);
}

event_counts sum(const event_counts &earlier, const event_counts &later)
{
	event_counts both = later;

	both.rings += earlier.rings;
	both.peers_come += earlier.peers_come;
	both.peers_gone += earlier.peers_gone;
	both.resized += earlier.resized;
	both.sealed += earlier.sealed;
	both.revoked |= earlier.revoked;
	return both;
}

std::string others(unsigned int peers)
{
	if (!peers)
		return "no other peer";
	return std::to_string(peers) +
	       (peers == 1 ? " other peer" : " other peers");
}

std::string events_text(const event_counts &counts, const region_info &now)
{
	std::string text;
	const auto add = [&](const std::string &what) {
		text += (text.empty() ? "" : ", ") + what;
	};

	if (counts.rings)
		add(counts.rings == 1 ? std::string("rang")
				      : "rang " + std::to_string(counts.rings) +
						" times");
	if (counts.peers_come)
		add(peers(counts.peers_come) + " came");
	if (counts.peers_gone)
		add(peers(counts.peers_gone) + " went");
	if (counts.peers_come || counts.peers_gone)
		text += " (" +
			(counts.peers ? std::to_string(counts.peers)
				      : std::string("no")) +
			(counts.peers == 1 ? " other now)" : " others now)");
	if (counts.resized)
		add("resized to " + format_size_exact(now.size()));
	if (counts.sealed)
		add("sealed: " + seal_words(now));
	if (counts.revoked)
		add("revoked");
	if (text.empty())
		text = "watching, " + others(counts.peers);
	return text;
}

void put_events(json &object, const event_counts &counts,
		const region_info &now)
{
	object["rings"] = counts.rings;
	object["peers_come"] = counts.peers_come;
	object["peers_gone"] = counts.peers_gone;
	object["resized"] = counts.resized;
	object["sealed"] = counts.sealed;
	object["revoked"] = counts.revoked;
	object["peers"] = counts.peers;
	object["size"] = now.size();
	object["seals"] = seals_json(now);
}

} // namespace shmtool
