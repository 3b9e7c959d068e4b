// SPDX-License-Identifier: BSL-1.0
/*
 * From an operand of the command line to a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "target.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <string_view>

#include "access.hpp"
#include "errors.hpp"
#include "escape.hpp"

namespace shmtool {
namespace {

using shm_kernel::access_mode;
using shm_kernel::errc;
using shm_kernel::region;
using shm_kernel::region_info;

constexpr const char *load_driver =
	"load the driver: modprobe shm_kernel_driver; 'shmtool doctor' tells "
	"more";
constexpr const char *open_node =
	"use sudo, or let your group open it: 'shmtool doctor' tells how";

std::string node_of(const std::string &operand)
{
	return operand == "-" ? shm_kernel::control_node : operand;
}

std::string quoted(const std::string &text)
{
	return "'" + printable(text) + "'";
}

/* What the caller may know about @operand without opening it. */
std::optional<region_info> look(const std::string &operand)
{
	std::error_code error;
	const bool by_name = !is_path(operand);
	const std::string node = node_of(operand);
	std::string name = operand;

	if (node == shm_kernel::control_node)
		name = "region0";
	else if (node.compare(0, std::string_view(node_directory).size(),
			      node_directory) == 0)
		name = node.substr(std::string_view(node_directory).size());
	else if (!by_name)
		return std::nullopt;

	for (const region_info &info : region::list(error))
		if (info.named() && info.name() == name)
			return info;
	return std::nullopt;
}

std::string similar_name(const std::string &name)
{
	std::error_code error;
	std::vector<std::string> names;

	for (const region_info &info : region::list(error))
		if (info.named())
			names.push_back(info.name());
	return nearest(name, names);
}

/* What failed, and on what, as the start of a message. */
std::string subject(const char *verb, const std::string &operand)
{
	return std::string(verb) + " " + shown(operand);
}

[[noreturn]] void fail_denied(const char *verb, const std::string &operand)
{
	const std::string_view word = verb;

	if (word == "remove")
		throw failure(subject(verb, operand), "you do not own it",
			      "its owner or root may");
	if (is_path(operand))
		throw failure(subject(verb, operand), "permission denied",
			      open_node);

	const bool changing = word == "chmod" || word == "chown";
	const char *mend =
		changing ? "its owner or root may"
			 : "its owner or root may let you: shmtool chmod";
	const auto info = look(operand);
	if (!info)
		throw failure(subject(verb, operand), "permission denied",
			      mend);
	throw failure(subject(verb, operand),
		      "its mode " + format_mode_octal(info->mode()) +
			      " does not let you: it belongs to " +
			      show_user(info->uid()) + ":" +
			      show_group(info->gid()),
		      mend);
}

[[noreturn]] void fail_forbidden(const char *verb, const std::string &operand)
{
	const std::string_view word = verb;
	const auto info = look(operand);
	const bool boot = info && info->boot();

	if (boot && word == "remove")
		throw failure(subject(verb, operand),
			      "a boot region keeps its name",
			      "it goes with the module");
	if (boot && word == "revoke")
		throw failure(subject(verb, operand),
			      "a boot region cannot be revoked",
			      "it goes with the module");
	if (word == "revoke")
		throw failure(subject(verb, operand), "only root may",
			      "use sudo");
	if (word == "chmod" || word == "chown")
		throw failure(subject(verb, operand),
			      "you may not change its mode or owner",
			      word == "chmod" ? "its owner or root may"
					      : "root may; an owner may change "
						"the group to one of its own");
	throw failure(subject(verb, operand), "not permitted");
}

[[noreturn]] void fail_fixed_size(const char *verb, const std::string &operand)
{
	const auto info = look(operand);

	if (info && info->boot())
		throw failure(subject(verb, operand),
			      "the size of a boot region is fixed",
			      "module parameters set it when the driver is "
			      "loaded: size= for region 0, regions= for the "
			      "others");
	throw failure(subject(verb, operand),
		      "its size is fixed, as it is contiguous",
		      "create another one and copy: shmtool create NEW SIZE "
		      "--contig --from FILE");
}

} // namespace

bool is_path(const std::string &operand)
{
	return operand == "-" || operand.find('/') != std::string::npos;
}

std::string shown(const std::string &operand)
{
	return operand == "-" ? std::string("region 0") : quoted(operand);
}

std::string label(const std::string &operand)
{
	return operand == "-" ? std::string("region 0") : printable(operand);
}

void check_name(const std::string &name)
{
	if (name.empty())
		throw usage_error("a region's name", "it is empty",
				  "it has 1 to 255 bytes");
	if (name.size() > 255)
		throw usage_error(quoted(name.substr(0, 20) + "..."),
				  "a name of " + std::to_string(name.size()) +
					  " bytes",
				  "it has 1 to 255 bytes");
	if (name.find('/') != std::string::npos)
		throw usage_error(quoted(name),
				  "a region's name has no '/' in it");
	if (name == "." || name == "..")
		throw usage_error(quoted(name), "no region can have this name");
	if (name == "-")
		throw usage_error(
			"-", "stands for region 0 and is the name of no other",
			"choose a different name");
}

target open_target(const char *verb, const std::string &operand,
		   access_mode mode)
{
	std::error_code error;
	target result;

	result.shown = shown(operand);
	if (!is_path(operand)) {
		check_name(operand);
		result.handle = region::open(operand, mode, error);
		if (error)
			fail_region(verb, operand, error);
		return result;
	}

	const std::string node = node_of(operand);
	struct stat status
	{
	};
	if (::stat(node.c_str(), &status) != 0) {
		const int why = errno;

		if (node == shm_kernel::control_node && why == ENOENT)
			fail_region(verb, operand, errc::device_missing);
		if (why == ENOENT)
			throw failure(subject(verb, operand),
				      "there is no such node",
				      "'shmtool list' shows the regions");
		fail_errno(subject(verb, operand), why);
	}
	/* opening a pipe may wait for ever, and a disk has other ioctls */
	if (!S_ISCHR(status.st_mode) && !S_ISREG(status.st_mode))
		fail_region(verb, operand, errc::not_a_region);

	result.handle = region::open_node(node, mode, error);
	if (error)
		fail_region(verb, operand, error);
	return result;
}

std::vector<region_info> list_regions()
{
	std::error_code error;
	std::vector<region_info> regions = region::list(error);

	if (error)
		fail_region("list", shm_kernel::control_node, error);
	return regions;
}

std::optional<region_info> find_region(const std::string &name)
{
	for (const region_info &info : list_regions())
		if (info.named() && info.name() == name)
			return info;
	return std::nullopt;
}

region_info look_at(const char *verb, const std::string &operand)
{
	if (!is_path(operand)) {
		check_name(operand);
		if (const auto info = find_region(operand))
			return *info;
	}

	const target opened =
		open_target(verb, operand, access_mode::read_only);
	std::error_code error;
	region_info info = opened.handle.info(error);

	if (error)
		fail_region(verb, operand, error);
	return info;
}

bool in_use(const region_info &info)
{
	return info.boot() || info.files() || info.mappings() || info.peers();
}

void fail_region(const char *verb, const std::string &operand,
		 std::error_code error)
{
	const std::string what = subject(verb, operand);

	if (error.category() != shm_kernel::error_category())
		throw failure(what, error_text(error.value()));

	switch (static_cast<errc>(error.value())) {
	case errc::name_exists:
		throw failure(what, "there is a region of that name already",
			      "look at it: shmtool info " +
				      shell_word(operand) +
				      "; or free the name: shmtool remove " +
				      shell_word(operand));
	case errc::not_found: {
		const std::string similar = similar_name(operand);

		throw failure(what, "there is no region of that name",
			      similar.empty()
				      ? "'shmtool list' shows what there is"
				      : "did you mean " + quoted(similar) +
						"?");
	}
	case errc::permission_denied:
		fail_denied(verb, operand);
	case errc::not_permitted:
		fail_forbidden(verb, operand);
	case errc::fixed_size:
		fail_fixed_size(verb, operand);
	case errc::limit_reached:
		throw failure(what, "a limit of the driver is reached",
			      "remove what is not needed, or raise the module "
			      "parameters max_total and max_user: 'shmtool "
			      "doctor' shows them");
	case errc::no_memory:
		throw failure(
			what, "there is not enough memory",
			"'shmtool list --sort allocated' shows which regions "
			"hold how much; a memory cgroup may allow less than "
			"the machine has");
	case errc::revoked:
		throw failure(what, "the region was revoked", "create it anew");
	case errc::busy:
		if (std::string_view(verb) == "seal")
			throw failure(what,
				      "somebody has it mapped who can write",
				      "end what uses it first: shmtool info " +
					      shell_word(operand) + " --users");
		throw failure(what, "a kernel client has it mapped",
			      "stop that client first");
	case errc::device_missing:
		throw failure(shm_kernel::control_node,
			      "there is no such device", load_driver);
	case errc::device_denied:
		throw failure(is_path(operand) ? printable(node_of(operand))
					       : shm_kernel::control_node,
			      "you may not open it", open_node);
	case errc::not_a_region:
		throw failure(what, "it is no region of shm_kernel",
			      "'shmtool list' shows the regions");
	case errc::sealed:
		throw failure(what,
			      std::string_view(verb) == "seal"
				      ? "no seal can be added: it is sealed"
				      : "a seal forbids it",
			      "'shmtool seal " + shell_word(operand) +
				      "' shows its seals, which are for good");
	case errc::driver_too_old:
		throw failure(what,
			      "the driver is older than this shmtool and "
			      "cannot do that",
			      "install the driver and the tool of one version");
	case errc::invalid_name:
	case errc::name_too_long:
		throw failure(what, "no region can have this name",
			      "1 to 255 bytes, no '/', not '.' or '..'");
	case errc::already_named:
		throw failure(what, "the region has, or once had, a name");
	case errc::past_end:
		throw failure(what, "the region ends there",
			      "make it larger: shmtool resize");
	case errc::not_a_ring:
		throw failure(what, "there is no ring",
			      "make one: shmtool ring " + shell_word(operand) +
				      " --create CELLS; or say where it is: "
				      "--offset");
	case errc::ring_corrupted:
		throw failure(what,
			      "the ring is corrupt: another program wrote "
			      "there what makes no sense",
			      "make it anew: shmtool clear, shmtool ring "
			      "--create");
	case errc::lane_busy:
		throw failure(what, "another program has that lane",
			      "take another one with --lane, or end that "
			      "program: shmtool info " +
				      shell_word(operand) + " --users");
	case errc::lane_in_kernel:
		throw failure(what, "the kernel has that lane",
			      "take another one with --lane");
	case errc::record_too_long:
		throw failure(what, "no record of the ring can be that long",
			      "make a ring with more cells");
	case errc::may_shrink:
		throw failure(
			what,
			"others could make the region smaller under the ring",
			"seal it: shmtool seal " + shell_word(operand) +
				" shrink; or trust them: --trust");
	case errc::not_an_event_file:
	case errc::empty_handle:
	/* Of locks and queues, which are of no concern here. */
	case errc::owner_dead:
	case errc::peer_died:
	case errc::layout_mismatch:
		break;
	}
	throw failure(what, error.message());
}

} // namespace shmtool
