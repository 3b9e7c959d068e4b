// SPDX-License-Identifier: BSL-1.0
/*
 * top: what the regions are doing
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "command.hpp"
#include "errors.hpp"
#include "output.hpp"
#include "ring_head.hpp"
#include "screen.hpp"
#include "signals.hpp"
#include "target.hpp"
#include "top_view.hpp"

namespace shmtool {
namespace {

using shm_kernel::access_mode;
using shm_kernel::region;
using shm_kernel::region_info;
using shm_kernel::ring_info;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

/* The region is open only for the look at the heads of its ring. */
std::optional<ring_sample> look_at_ring(const region_info &info)
{
	std::error_code error;
	ring_sample ring;

	if (!info.named() || !info.size())
		return std::nullopt;

	const region opened =
		region::open(info.name(), access_mode::read_only, error);
	if (error)
		return std::nullopt;

	const ring_info found = shm_kernel::get_ring_info(opened, 0, error);
	if (error && !find_head_fault(opened, 0))
		return std::nullopt;

	ring.corrupted = bool(error);
	ring.overwrite = found.overwrite();
	ring.cells = found.cells();
	ring.dropped = found.dropped();
	for (const ring_info::lane &lane : found.lanes()) {
		ring.used.push_back(lane.used);
		ring.positions.push_back(lane.head);
	}
	return ring;
}

sample look()
{
	sample now;

	/* all of the list before any is opened: that would be seen in it */
	const std::vector<region_info> regions = list_regions();

	now.date = std::chrono::system_clock::now();
	now.time = steady_clock::now();
	for (const region_info &info : regions) {
		region_sample one;

		one.id = info.id();
		if (info.named())
			one.name = info.name();
		one.size = info.size();
		one.files = info.files();
		one.mappings = info.mappings();
		one.peers = info.peers();
		one.clients = info.clients();
		one.rings = info.rings();
		one.ring = look_at_ring(info);
		now.regions.push_back(std::move(one));
	}
	return now;
}

int run_batch(bool as_json, milliseconds interval, std::uint64_t count)
{
	sample before = look();

	for (std::uint64_t i = 0; i < count; i++) {
		const auto next = before.time + interval;
		/* a pipe or socket that nobody reads any more ends it, too */
		std::vector<struct pollfd> reader = {{STDOUT_FILENO, 0, 0}};

		/* a look or the reader can take longer: then it is time now */
		wait_for(reader, std::max(std::chrono::ceil<milliseconds>(
						  next - steady_clock::now()),
					  milliseconds(0)));
		if (reader[0].revents)
			throw stopped{SIGPIPE};

		sample now = look();
		if (as_json)
			print_json_line(top_json(&before, now));
		else
			print((i ? "\n" : "") + top_text(&before, now, 0));
		finish_output();
		before = std::move(now);
	}
	return exit_ok;
}

enum class wish { none, refresh, quit };

/* What came first: a key, a signal, or the time of the next picture. */
wish wait_for_wish(screen &terminal, steady_clock::time_point next)
{
	const auto left = std::max(
		std::chrono::ceil<milliseconds>(next - steady_clock::now()),
		milliseconds(0));
	std::vector<struct pollfd> keys = {
		{terminal.key_descriptor(), POLLIN, 0}};

	wait_for(keys, left);
	if (stop_signal())
		throw stopped{stop_signal()};
	if (take_signal(SIGTSTP))
		terminal.suspend();
	if (keys[0].revents) {
		const auto key = terminal.key();

		if (!key || *key == 'q' || *key == 'Q')
			return wish::quit;
		if (*key == ' ' || *key == '\n')
			return wish::refresh;
	}
	return steady_clock::now() < next ? wish::none : wish::refresh;
}

/* Returns the last picture. */
std::string run_screen(milliseconds interval, std::uint64_t count)
{
	std::optional<sample> before;
	sample now = look();
	const auto picture = [&] {
		return top_text(before ? &*before : nullptr, now,
				terminal_width(STDOUT_FILENO));
	};
	screen terminal;

	/* the first picture knows no rates, and does not count */
	for (std::uint64_t shown = 0;; shown++) {
		wish what = wish::none;

		while (what == wish::none && shown < count) {
			terminal.show(picture());
			what = wait_for_wish(terminal, now.time + interval);
		}
		if (what != wish::refresh)
			return picture();
		before = std::move(now);
		now = look();
	}
}

int run_top(const arguments &args)
{
	const milliseconds interval =
		args.duration("interval").value_or(milliseconds(1000));
	const std::uint64_t count =
		args.number("count", 1, UINT64_MAX).value_or(UINT64_MAX);

	if (interval < milliseconds(10))
		args.reject("--interval", "10ms is the least");
	if (args.has("json") || !stdout_is_terminal())
		return run_batch(args.has("json"), interval, count);

	catch_signals();
	for (const int signal : {SIGWINCH, SIGTSTP, SIGCONT})
		catch_signal(signal);
	print(run_screen(interval, count));
	return exit_ok;
}

} // namespace

std::vector<command> top_commands()
{
	command top{};
	top.name = "top";
	top.operands = "";
	top.summary = "show what the regions are doing, all the time";
	top.details =
		"Shows the regions that you may see, the busiest first: PEERS, "
		"of whom CLIENTS are modules of the kernel; RINGS/S, how often "
		"the doorbell rings in a second; and of a region that begins "
		"with a ring that you may read the size of its lanes (RING), "
		"how full the fullest of them is (FILL), how much is written "
		"in a second (FLOW), and the records that there was no room "
		"for (DROPPED).\n\n"
		"On a terminal q ends it, and the space bar looks again at "
		"once. Elsewhere, and with --json, it prints one table or "
		"object after the other, the first after one interval.\n\n"
		"It only looks: it is no peer of any region, and has one open "
		"only for the look at its ring.";
	top.options = {
		{"interval", 'i', "TIME",
		 "look so often: 1, 0.5s, 250ms; default 1s"},
		{"count", 'n', "N", "end after N looks"},
		{"json", 'j', nullptr, "print JSON, an object on each line"},
	};
	top.examples = {
		{"shmtool top", "who is busy"},
		{"shmtool top -n 1 -i 10s | head",
		 "the mean of ten seconds, for a report"},
	};
	top.run = run_top;
	return {top};
}

} // namespace shmtool
