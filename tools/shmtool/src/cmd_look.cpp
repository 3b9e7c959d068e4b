// SPDX-License-Identifier: BSL-1.0
/*
 * Commands that only look: list, info
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "access.hpp"
#include "command.hpp"
#include "errors.hpp"
#include "escape.hpp"
#include "output.hpp"
#include "show.hpp"
#include "sizes.hpp"
#include "target.hpp"
#include "users.hpp"

namespace shmtool {
namespace {

using shm_kernel::region;
using shm_kernel::region_info;

struct sort_key
{
	const char *name;
	bool (*before)(const region_info &a, const region_info &b);
};

/* Numbers put the largest first, where people look for it. */
constexpr sort_key sort_keys[] = {
	{"id", [](const region_info &a,
		  const region_info &b) { return a.id() < b.id(); }},
	{"name", [](const region_info &a,
		    const region_info &b) { return a.name() < b.name(); }},
	{"size", [](const region_info &a,
		    const region_info &b) { return a.size() > b.size(); }},
	{"allocated",
	 [](const region_info &a, const region_info &b) {
		 return a.allocated() > b.allocated();
	 }},
	{"owner", [](const region_info &a,
		     const region_info &b) { return a.uid() < b.uid(); }},
	{"files", [](const region_info &a,
		     const region_info &b) { return a.files() > b.files(); }},
	{"mappings",
	 [](const region_info &a, const region_info &b) {
		 return a.mappings() > b.mappings();
	 }},
	{"peers", [](const region_info &a,
		     const region_info &b) { return a.peers() > b.peers(); }},
	{"rings", [](const region_info &a,
		     const region_info &b) { return a.rings() > b.rings(); }},
};

void sort_regions(std::vector<region_info> &regions, const arguments &args)
{
	if (args.has("sort")) {
		const std::string &wanted = args.value("sort");
		const auto *key = std::find_if(
			std::begin(sort_keys), std::end(sort_keys),
			[&](const sort_key &k) { return wanted == k.name; });

		if (key == std::end(sort_keys)) {
			std::string all;
			for (const sort_key &k : sort_keys)
				all.append(all.empty() ? "" : ", ")
					.append(k.name);
			args.reject("--sort",
				    "'" + printable(wanted) +
					    "' is no key (the keys are " + all +
					    ")");
		}
		std::stable_sort(regions.begin(), regions.end(), key->before);
	}
	if (args.has("reverse"))
		std::reverse(regions.begin(), regions.end());
}

bool matches(const region_info &info, const arguments &args)
{
	if (args.has("unused") && in_use(info))
		return false;
	if (args.has("mine") && info.uid() != ::geteuid())
		return false;
	if (args.operands().empty())
		return true;
	if (!info.named())
		return false;
	return std::any_of(args.operands().begin(), args.operands().end(),
			   [&](const std::string &pattern) {
				   return pattern == info.name() ||
					  ::fnmatch(pattern.c_str(),
						    info.name().c_str(),
						    0) == 0;
			   });
}

std::string list_table(const std::vector<region_info> &regions,
		       const arguments &args)
{
	using align = table::align;
	const bool bytes = args.has("bytes");
	const bool more = args.has("long");
	std::vector<table::column> columns;

	if (more)
		columns.push_back({"ID", align::right, 4, false});
	columns.push_back({"NAME", align::left, 0, true});
	columns.push_back({"SIZE", align::right, 0, false});
	columns.push_back({"ALLOCATED", align::right, 2, false});
	columns.push_back({"OWNER", align::left, 5, false});
	if (more)
		columns.push_back({"GROUP", align::left, 2, false});
	columns.push_back({"MODE", align::left, 6, false});
	columns.push_back({"FILES", align::right, 7, false});
	columns.push_back({"MAPS", align::right, 7, false});
	columns.push_back({"PEERS", align::right, 7, false});
	if (more) {
		columns.push_back({"CLIENTS", align::right, 1, false});
		columns.push_back({"RINGS", align::right, 1, false});
		columns.push_back({"SEALS", align::left, 1, false});
	}
	columns.push_back({"FLAGS", align::left, 3, false});
	if (more)
		columns.push_back({"TAG", align::left, 1, true});

	table list(columns);
	for (const region_info &info : regions) {
		const auto size = [&](std::uint64_t n) {
			return bytes ? std::to_string(n) : format_size(n);
		};
		const colour name_ink = info.revoked() || !info.named()
						? colour::dim
					: info.boot() ? colour::cyan
						      : colour::none;
		std::vector<table::cell> row;

		if (more)
			row.push_back({std::to_string(info.id())});
		row.push_back({info.named() ? printable(info.name())
					    : std::string("(none)"),
			       name_ink});
		row.push_back({size(info.size())});
		row.push_back({size(info.allocated())});
		row.push_back({show_user(info.uid())});
		if (more)
			row.push_back({show_group(info.gid())});
		row.push_back({format_mode(info.mode())});
		row.push_back({std::to_string(info.files())});
		row.push_back({std::to_string(info.mappings())});
		row.push_back({std::to_string(info.peers())});
		if (more) {
			row.push_back({std::to_string(info.clients())});
			row.push_back({std::to_string(info.rings())});
			row.push_back({seal_words(info), colour::dim});
		}
		row.push_back({flag_words(info),
			       info.revoked() ? colour::red : colour::dim});
		if (more)
			row.push_back({printable(tag_text(info))});
		list.add(std::move(row));
	}
	return list.format(terminal_width(STDOUT_FILENO));
}

int run_list(const arguments &args)
{
	std::vector<region_info> regions = list_regions();

	regions.erase(std::remove_if(regions.begin(), regions.end(),
				     [&](const region_info &info) {
					     return !matches(info, args);
				     }),
		      regions.end());
	sort_regions(regions, args);

	if (args.has("json")) {
		json list = json::array();

		for (const region_info &info : regions)
			list.push_back(region_json(info));
		print_json(list);
	} else if (args.has("names") || args.has("null")) {
		for (const region_info &info : regions) {
			if (!info.named())
				continue;
			if (args.has("null"))
				print(info.name() + '\0');
			else
				print(printable(info.name()) + "\n");
		}
	} else {
		print(list_table(regions, args));
	}
	return exit_ok;
}

region_info info_by_id(const arguments &args)
{
	const std::string &text = args.value("id");
	const bool number =
		!text.empty() &&
		text.find_first_not_of("0123456789") == std::string::npos;

	if (!number)
		args.reject("--id",
			    "'" + printable(text) + "' is not a number");
	for (const region_info &info : list_regions())
		if (std::to_string(info.id()) == text)
			return info;
	throw failure("info", "no region that you may see has the id " + text,
		      "'shmtool list --long' shows the ids");
}

/* An open file of the region, if there is a way to have one. */
region open_quietly(const region_info &info, const std::string &operand)
{
	std::error_code error;

	if (info.named())
		return region::open(info.name(),
				    shm_kernel::access_mode::read_only, error);
	if (operand.empty())
		return {};
	return region::open_node(operand, shm_kernel::access_mode::read_only,
				 error);
}

json users_json(const region_users &users)
{
	json list = json::array();

	for (const region_user &user : users.list) {
		json entry;

		entry["pid"] = user.pid;
		put_bytes(entry, "command", user.command);
		entry["uid"] = user.uid;
		entry["descriptors"] = user.descriptors;
		entry["event_descriptors"] = user.event_descriptors;
		entry["mapped"] = user.mapped;
		list.push_back(std::move(entry));
	}
	return list;
}

std::string numbers(const std::vector<int> &list)
{
	std::string text;

	for (const int number : list)
		text += (text.empty() ? "" : ", ") + std::to_string(number);
	return text;
}

std::string users_text(const region_users &users)
{
	std::string out;
	std::string label = "Used by:";

	for (const region_user &user : users.list) {
		std::string how;
		const auto add = [&](const std::string &part) {
			how += (how.empty() ? "" : "; ") + part;
		};

		if (!user.descriptors.empty())
			add("fd " + numbers(user.descriptors));
		if (!user.event_descriptors.empty())
			add("events fd " + numbers(user.event_descriptors));
		if (user.mapped)
			add(format_size(user.mapped) + " mapped");
		label.resize(13, ' ');
		out += paint(colour::bold, label) + std::to_string(user.pid) +
		       " " + printable(user.command) + " (" +
		       show_user(user.uid) + "): " + how + "\n";
		label.clear();
	}
	if (!users.complete)
		out += wrap("There are processes that you may not look at; "
			    "root may.",
			    80, 0) +
		       "\n";
	else if (users.list.empty())
		out += paint(colour::bold, "Used by:     ") + "no process\n";
	return out;
}

int run_info(const arguments &args)
{
	if (args.has("id") != args.operands().empty())
		args.reject("info", "give either a region or --id");

	const std::string operand =
		args.has("id") ? std::string() : args.operands()[0];
	const region_info info =
		args.has("id") ? info_by_id(args) : look_at("info", operand);
	region_users users;

	if (args.has("users"))
		users = find_users(info, open_quietly(info, operand));

	if (args.has("json")) {
		json object = region_json(info);

		if (args.has("users")) {
			object["users"] = users_json(users);
			object["users_complete"] = users.complete;
		}
		print_json(object);
	} else {
		print(region_text(info));
		if (args.has("users"))
			print(users_text(users));
	}
	return exit_ok;
}

} // namespace

std::vector<command> look_commands()
{
	command list{};
	list.name = "list";
	list.operands = "[PATTERN...]";
	list.summary = "show the regions";
	list.details = "Shows the regions that you may read or own, root all "
		       "of them, oldest first. With "
		       "patterns as of a shell (*, ?, [...]) only those whose "
		       "name matches one. Looking "
		       "opens no region and keeps none alive; only the control "
		       "node is open meanwhile, "
		       "which counts as an open file of region 0.\n\n"
		       "FILES and MAPS are the open files and the memory "
		       "mappings of a region, PEERS those who hear its "
		       "doorbell: open event files and kernel clients; RINGS "
		       "is how often it rang. FLAGS: boot "
		       "(made with the driver), persist (stays until it is "
		       "removed), contig (consecutive "
		       "page frames), small (single pages), node (memory of "
		       "one NUMA node), removed (its "
		       "name was taken away), revoked.\n\n"
		       "On a terminal the table fits the width: names are "
		       "shortened, then columns left "
		       "out. Elsewhere it is complete.";
	list.options = {
		{"long", 'l', nullptr,
		 "also show id, group, kernel clients, rings, seals and tag"},
		{"bytes", 'b', nullptr, "show sizes in bytes"},
		{"sort", 's', "KEY",
		 "sort by id, name, size, allocated, owner, files, mappings, "
		 "peers or rings"},
		{"reverse", 'r', nullptr, "reverse the order"},
		{"unused", 'u', nullptr,
		 "only regions that nobody has open or mapped, nor is attached "
		 "to"},
		{"mine", 'm', nullptr, "only regions that you own"},
		{"names", 'n', nullptr,
		 "only the names, one on a line, escaped"},
		{"null", '0', nullptr,
		 "only the names, exact, each ended by a NUL, for xargs -0"},
		{"json", 'j', nullptr,
		 "print JSON: an array of what 'info --json' prints"},
	};
	list.examples = {
		{"shmtool list --sort size 'cam*'",
		 "the regions of a family, largest first"},
		{"shmtool list --unused --null | xargs -0 -r shmtool remove",
		 "remove the persistent regions that nobody uses"},
	};
	list.most = any_number;
	list.run = run_list;

	command info{};
	info.name = "info";
	info.operands = "REGION";
	info.summary = "show all that is known about a region";
	info.details =
		"A region that is given by its name is looked up and not "
		"opened, so that it is seen as it is without shmtool. --users "
		"opens it for a moment; a region that is sent over a socket, "
		"or registered with io_uring, has users that no process shows.";
	info.options = {
		{"users", 'u', nullptr,
		 "also show which processes have it open or mapped"},
		{"id", 'i', "ID",
		 "look up a region by its id, instead of REGION"},
		{"json", 'j', nullptr, "print JSON"},
	};
	info.examples = {
		{"shmtool info -", "region 0"},
		{"shmtool info frames --users", "and who uses it"},
		{"shmtool info /proc/4711/fd/5",
		 "the region that a process has open, named or not"},
		{"shmtool info frames --json | jq .size",
		 "the size for a script"},
	};
	info.most = 1;
	info.run = run_info;

	return {list, info};
}

} // namespace shmtool
