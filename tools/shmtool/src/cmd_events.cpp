// SPDX-License-Identifier: BSL-1.0
/*
 * Commands about the doorbell: notify, wait, watch
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "command.hpp"
#include "durations.hpp"
#include "errors.hpp"
#include "happenings.hpp"
#include "output.hpp"
#include "show.hpp"
#include "target.hpp"

namespace shmtool {
namespace {

using shm_kernel::access_mode;
using shm_kernel::event_counts;
using shm_kernel::event_mode;
using shm_kernel::events;
using shm_kernel::region_info;
using std::chrono::steady_clock;
using std::chrono::system_clock;

/* A region, and ourselves as a peer of it. */
struct listener
{
	std::string operand;
	target opened;
	events bell;
};

events subscribe(const char *verb, const std::string &operand,
		 const target &opened)
{
	std::error_code error;
	events bell(opened.handle, event_mode::blocking, error);

	if (error)
		fail_region(verb, operand, error);
	return bell;
}

listener listen(const char *verb, const std::string &operand)
{
	target opened = open_target(verb, operand, access_mode::read_only);
	events bell = subscribe(verb, operand, opened);

	return {operand, std::move(opened), std::move(bell)};
}

region_info info_of(const char *verb, const std::string &operand,
		    const target &opened)
{
	std::error_code error;
	region_info info = opened.handle.info(error);

	if (error)
		fail_region(verb, operand, error);
	return info;
}

int run_notify(const arguments &args)
{
	const std::string &operand = args.operands()[0];
	const std::uint64_t times =
		args.number("times", 1, UINT32_MAX).value_or(1);
	const target opened =
		open_target("notify", operand, access_mode::read_write);
	/* who is there before we come: some go when they have heard it */
	const unsigned int heard = info_of("notify", operand, opened).peers();
	events bell = subscribe("notify", operand, opened);
	std::error_code error;

	bell.ring(times, error);
	if (error)
		fail_region("notify", operand, error);

	if (args.has("json")) {
		json object;

		put_bytes(object, "region", operand);
		object["times"] = times;
		object["peers"] = heard;
		print_json(object);
	} else {
		print(label(operand) + ": rang " +
		      (times == 1 ? std::string("once")
				  : std::to_string(times) + " times") +
		      ", " + others(heard) + "\n");
	}
	return exit_ok;
}

/* One line, and out it goes: whoever reads it may wait for just this one. */
void print_events(const arguments &args, const listener &peer,
		  const event_counts &counts, const std::string &text_before)
{
	const region_info now =
		info_of(args.of().name, peer.operand, peer.opened);

	if (args.has("json")) {
		json object;

		object["time"] = format_utc_time(system_clock::now());
		put_bytes(object, "region", peer.operand);
		put_events(object, counts, now);
		print_json_line(object);
	} else {
		print(text_before + label(peer.operand) + ": " +
		      events_text(counts, now) + "\n");
	}
	finish_output();
}

/* --for, or all kinds. */
event_kinds kinds_of(const arguments &args)
{
	if (!args.has("for"))
		return {true, true, true, true, true};

	std::string why;
	const auto kinds = parse_kinds(args.value("for"), &why);
	if (!kinds)
		args.reject("--for", why);
	return *kinds;
}

int run_wait(const arguments &args)
{
	const std::string &operand = args.operands()[0];
	const auto timeout = args.duration("timeout");
	const event_kinds kinds = kinds_of(args);
	/* the time of getting there counts, too */
	const auto deadline = timeout ? steady_clock::now() + *timeout
				      : steady_clock::time_point::max();
	listener self = listen("wait", operand);
	event_counts counts;

	while (!contains(counts, kinds)) {
		std::error_code error;

		if (counts.revoked)
			throw failure("wait " + self.opened.shown,
				      "the region was revoked");
		if (!self.bell.wait_until(deadline, error) && !error)
			throw failure("wait " + self.opened.shown,
				      "nothing happened within " +
					      format_duration(*timeout));
		const auto more =
			error ? std::nullopt : self.bell.try_read(error);
		if (error)
			fail_region("wait", operand, error);
		if (more)
			counts = sum(counts, *more);
	}
	print_events(args, self, counts, "");
	return exit_ok;
}

/* Returns false once nothing can happen there any more. */
bool follow(const arguments &args, event_kinds kinds, listener &peer,
	    std::uint64_t &left)
{
	std::error_code error;
	const auto counts = peer.bell.try_read(error);

	if (error)
		fail_region("watch", peer.operand, error);
	if (!counts)
		return true;
	if (contains(*counts, kinds)) {
		print_events(args, peer, *counts,
			     format_local_time(system_clock::now()) + "  ");
		left--;
	}
	return !counts->revoked;
}

int run_watch(const arguments &args)
{
	std::uint64_t left =
		args.number("count", 1, UINT64_MAX).value_or(UINT64_MAX);
	const event_kinds kinds = kinds_of(args);
	std::vector<listener> peers;

	for (const std::string &operand : args.operands())
		peers.push_back(listen("watch", operand));
	for (const listener &peer : peers) {
		event_counts beginning;

		beginning.peers =
			info_of("watch", peer.operand, peer.opened).peers() - 1;
		print_events(args, peer, beginning,
			     format_local_time(system_clock::now()) + "  ");
	}

	while (left && !peers.empty()) {
		/* a pipe or socket that nobody reads any more ends it, too */
		std::vector<struct pollfd> waiting = {{STDOUT_FILENO, 0, 0}};

		for (const listener &peer : peers)
			waiting.push_back(
				{peer.bell.native_handle(), POLLIN, 0});
		if (::poll(waiting.data(), waiting.size(), -1) < 0) {
			if (errno == EINTR)
				continue;
			fail_errno("watch", errno);
		}
		if (waiting[0].revents)
			throw stopped{SIGPIPE};
		for (std::size_t i = peers.size(); left && i-- > 0;)
			if (waiting[i + 1].revents &&
			    !follow(args, kinds, peers[i], left))
				peers.erase(peers.begin() +
					    static_cast<std::ptrdiff_t>(i));
	}
	return exit_ok;
}

constexpr option for_option = {
	"for", 'f', "KINDS",
	"only rings, peers, resized, sealed or revoked; several with commas"};

} // namespace

std::vector<command> event_commands()
{
	command notify{};
	notify.name = "notify";
	notify.operands = "REGION";
	notify.summary = "ring the doorbell of a region";
	notify.details =
		"All who wait for it hear it: programs that have an event file "
		"of the region open, and modules of the kernel that are "
		"attached to it. It says how many those are. Needs write "
		"permission.\n\n"
		"Nothing is kept for those who come later: a script starts "
		"'shmtool wait' first, then what rings.";
	notify.options = {
		{"times", 't', "N", "ring N times, as one event; default 1"},
		{"json", 'j', nullptr,
		 "print JSON: the region, how often, for how many"},
	};
	notify.examples = {{"shmtool notify frames", "wake who waits"}};
	notify.least = 1;
	notify.most = 1;
	notify.run = run_notify;

	command wait{};
	wait.name = "wait";
	wait.operands = "REGION";
	wait.summary = "wait until something happens on a region";
	wait.details =
		"Ends when the doorbell rings, another peer comes or goes, the "
		"size changes, a seal is added or the region is revoked, and "
		"says what it was. A peer is a program that has an event file "
		"of the region open, as this one meanwhile, or a module of the "
		"kernel that is attached to it. One that is killed is reported "
		"as gone.\n\n"
		"With --for it goes on until one of these kinds of events has "
		"happened, and then says all that has.\n\n"
		"The exit status is 0 if it happened, 1 if the time was over "
		"or it can no longer happen.";
	wait.options = {
		for_option,
		{"timeout", 't', "TIME",
		 "give up after so long: 2, 1.5s, 250ms, 5m"},
		{"json", 'j', nullptr, "print JSON: what happened, and when"},
	};
	wait.examples = {
		{"shmtool wait frames --for rings --timeout 10s && ./next",
		 "go on when somebody rings"},
		{"shmtool wait frames --for peers",
		 "until a peer comes or goes, or is killed"},
	};
	wait.least = 1;
	wait.most = 1;
	wait.run = run_wait;

	command watch{};
	watch.name = "watch";
	watch.operands = "REGION...";
	watch.summary = "follow what happens on regions, with the times";
	watch.details =
		"Prints a line for what happens, at once, until it is "
		"interrupted or no region is left that is not revoked. The "
		"first line of each region says how it is at the beginning: "
		"from there on nothing is missed. What happens faster than it "
		"is printed comes together in one line, with all the counts. "
		"What shmtool sees of itself is that others see a peer come "
		"and go.\n\n"
		"In JSON rings, peers_come, peers_gone, resized and sealed are "
		"counts since the line before; peers, size and seals are how "
		"it is then.";
	watch.options = {
		for_option,
		{"count", 'c', "N", "end after N events"},
		{"json", 'j', nullptr, "print JSON, an object on each line"},
	};
	watch.examples = {
		{"shmtool watch frames", "see who comes, rings and goes"},
		{"shmtool watch --json frames | jq --unbuffered .rings",
		 "for a script"},
	};
	watch.least = 1;
	watch.most = any_number;
	watch.run = run_watch;

	return {notify, wait, watch};
}

} // namespace shmtool
