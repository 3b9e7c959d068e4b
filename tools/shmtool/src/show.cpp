// SPDX-License-Identifier: BSL-1.0
/*
 * A region's properties in words and in JSON
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "show.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "access.hpp"
#include "escape.hpp"
#include "sizes.hpp"
#include "target.hpp"

namespace shmtool {
namespace {

using shm_kernel::capability;
using shm_kernel::region_info;

struct property
{
	const char *word;
	const char *meaning;
};

struct capability_word
{
	capability value;
	property words;
};

constexpr capability_word capability_words[] = {
	{capability::futex, {"futex", "locks between processes"}},
	{capability::pin,
	 {"gup", "O_DIRECT, io_uring buffers, process_vm_readv"}},
	{capability::huge_map, {"pmd", "huge pages in mappings"}},
	{capability::contiguous, {"contig", "consecutive page frames"}},
	{capability::resize, {"resize", "the size may change"}},
	{capability::kernel_mapped,
	 {"kernel", "the kernel has it mapped and holds its size"}},
};

std::vector<property> flags_of(const region_info &info)
{
	std::vector<property> flags;

	if (info.boot())
		flags.push_back({"boot", "made with the driver, goes with it"});
	if (info.persistent())
		flags.push_back(
			{"persist", "its name stays until it is removed"});
	if (info.contiguous())
		flags.push_back(
			{"contig", "consecutive page frames, fixed size"});
	if (info.small_pages())
		flags.push_back({"small", "single pages only"});
	if (info.numa_node())
		flags.push_back({"node", "memory of one NUMA node"});
	if (info.removed())
		flags.push_back({"removed", "its name was taken away"});
	if (info.revoked())
		flags.push_back({"revoked", "no longer usable"});
	return flags;
}

std::vector<property> seals_of(const region_info &info)
{
	std::vector<property> seals;

	for (const seal_word &s : seal_table)
		if (info.has(s.value))
			seals.push_back({s.word, s.meaning});
	return seals;
}

std::string joined(const std::vector<property> &list)
{
	std::string words;

	for (const property &p : list)
		words.append(words.empty() ? "" : " ").append(p.word);
	return words;
}

std::string with_id(const std::optional<std::string> &name, unsigned id)
{
	if (!name)
		return std::to_string(id);
	return printable(*name) + " (" + std::to_string(id) + ")";
}

std::string peers_text(const region_info &info)
{
	std::string text = std::to_string(info.peers());

	if (info.clients())
		text += " (" + std::to_string(info.clients()) +
			(info.clients() == 1 ? " kernel client)"
					     : " kernel clients)");
	return text;
}

} // namespace

std::string node_path(const region_info &info)
{
	if (!info.boot())
		return {};
	if (info.name() == "region0")
		return shm_kernel::control_node;
	return node_directory + info.name();
}

std::string flag_words(const region_info &info)
{
	return joined(flags_of(info));
}

std::string seal_words(const region_info &info)
{
	return joined(seals_of(info));
}

std::string seals_text(const region_info &info)
{
	const auto seals = seals_of(info);
	std::size_t width = 0;
	std::string out;

	for (const property &seal : seals)
		width = std::max(width, std::strlen(seal.word));
	for (const property &seal : seals) {
		std::string word = seal.word;

		word.resize(width + 3, ' ');
		out += word + seal.meaning + "\n";
	}
	return out.empty() ? "no seals\n" : out;
}

json seals_json(const region_info &info)
{
	json words = json::array();

	for (const property &seal : seals_of(info))
		words.push_back(seal.word);
	return words;
}

std::string tag_text(const region_info &info)
{
	const auto &tag = info.tag();
	std::string text(reinterpret_cast<const char *>(tag.data()),
			 tag.size());

	text.erase(text.find_last_not_of('\0') + 1);
	return text;
}

void put_bytes(json &object, const std::string &key, std::string_view bytes)
{
	if (is_utf8(bytes)) {
		object[key] = bytes;
		return;
	}
	object[key] = escape(bytes, false);
	object[key + "_hex"] = to_hex(bytes);
}

json region_json(const region_info &info)
{
	json object;

	if (info.named())
		put_bytes(object, "name", info.name());
	else
		object["name"] = nullptr;
	object["id"] = info.id();
	object["size"] = info.size();
	object["allocated"] = info.allocated();
	object["mode"] = format_mode_octal(info.mode());
	object["uid"] = info.uid();
	object["gid"] = info.gid();

	const auto owner = user_name(info.uid());
	const auto group = group_name(info.gid());
	object["owner"] = nullptr;
	object["group"] = nullptr;
	if (owner)
		put_bytes(object, "owner", *owner);
	if (group)
		put_bytes(object, "group", *group);

	object["files"] = info.files();
	object["mappings"] = info.mappings();
	object["peers"] = info.peers();
	object["clients"] = info.clients();
	object["rings"] = info.rings();

	object["flags"] = json::array();
	for (const property &flag : flags_of(info))
		object["flags"].push_back(flag.word);
	object["capabilities"] = json::array();
	for (const capability_word &word : capability_words)
		if (info.has(word.value))
			object["capabilities"].push_back(word.words.word);
	object["seals"] = seals_json(info);

	object["numa_node"] =
		info.numa_node() ? json(*info.numa_node()) : json(nullptr);
	put_bytes(object, "tag", tag_text(info));

	const std::string node = node_path(info);
	object["node"] = node.empty() ? json(nullptr) : json(node);
	return object;
}

std::string region_text(const region_info &info)
{
	std::string out;
	const auto line = [&](const char *title, const std::string &value) {
		std::string label = std::string(title) + ":";

		label.resize(13, ' ');
		out += paint(colour::bold, label) + value + "\n";
	};
	const auto properties = [&](const char *title,
				    const std::vector<property> &list,
				    const char *none) {
		const char *label = title;

		if (list.empty())
			line(title, none);
		for (const property &p : list) {
			std::string word = p.word;

			word.resize(9, ' ');
			if (*label) {
				line(label, word + p.meaning);
				label = "";
			} else {
				out += std::string(13, ' ') + word + p.meaning +
				       "\n";
			}
		}
	};

	line("Name",
	     info.named() ? printable(info.name()) : std::string("(none)"));
	line("Id", std::to_string(info.id()));
	line("Size", format_size_exact(info.size()));
	line("Allocated", format_size_exact(info.allocated()));
	line("Owner", with_id(user_name(info.uid()), info.uid()));
	line("Group", with_id(group_name(info.gid()), info.gid()));
	line("Mode", format_mode_octal(info.mode()) + " (" +
			     format_mode(info.mode()) + ")");
	line("Open files", std::to_string(info.files()));
	line("Mappings", std::to_string(info.mappings()));
	line("Peers", peers_text(info));
	line("Rings", std::to_string(info.rings()));
	properties("Flags", flags_of(info), "none");

	std::vector<property> works;
	for (const capability_word &word : capability_words)
		if (info.has(word.value))
			works.push_back(word.words);
	properties("Works", works, "nothing");

	properties("Seals", seals_of(info), "none");

	if (info.numa_node())
		line("NUMA node", std::to_string(*info.numa_node()));

	const std::string tag = tag_text(info);
	line("Tag", tag.empty() ? std::string("(none)") : printable(tag));

	const std::string node = node_path(info);
	if (!node.empty())
		line("Node", printable(node));
	return out;
}

} // namespace shmtool
