// SPDX-License-Identifier: BSL-1.0
/*
 * Commands that make, change and end regions
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "access.hpp"
#include "command.hpp"
#include "errors.hpp"
#include "escape.hpp"
#include "fill.hpp"
#include "output.hpp"
#include "show.hpp"
#include "sizes.hpp"
#include "target.hpp"

namespace shmtool {
namespace {

using shm_kernel::access_mode;
using shm_kernel::create_options;
using shm_kernel::errc;
using shm_kernel::region;
using shm_kernel::region_info;
using shm_kernel::seal;

volatile sig_atomic_t child;

extern "C" void pass_on(int signal)
{
	if (child > 0)
		::kill(child, signal);
}

/*
 * Runs @command and waits for it. The terminal sends its signals to both, so
 * they are the command's; what others send to shmtool is passed on.
 */
int run_command(const std::vector<std::string> &command)
{
	std::vector<char *> argv;
	int report_pipe[2];
	sigset_t passed, before;
	struct sigaction action
	{
	};
	int error = 0;

	for (const std::string &word : command)
		argv.push_back(const_cast<char *>(word.c_str()));
	argv.push_back(nullptr);

	if (::pipe2(report_pipe, O_CLOEXEC) != 0)
		fail_errno("run '" + printable(command[0]) + "'", errno);

	/* a signal that comes before there is a child must not be lost */
	sigemptyset(&passed);
	sigaddset(&passed, SIGTERM);
	sigaddset(&passed, SIGHUP);
	::sigprocmask(SIG_BLOCK, &passed, &before);

	const pid_t pid = ::fork();
	if (pid < 0)
		fail_errno("run '" + printable(command[0]) + "'", errno);
	if (pid == 0) {
		::sigprocmask(SIG_SETMASK, &before, nullptr);
		::execvp(argv[0], argv.data());
		error = errno;
		if (::write(report_pipe[1], &error, sizeof(error)) < 0)
			error = 0;
		::_exit(127);
	}

	action.sa_handler = SIG_IGN;
	::sigaction(SIGINT, &action, nullptr);
	::sigaction(SIGQUIT, &action, nullptr);
	action.sa_handler = pass_on;
	::sigaction(SIGTERM, &action, nullptr);
	::sigaction(SIGHUP, &action, nullptr);
	child = pid;
	::sigprocmask(SIG_SETMASK, &before, nullptr);

	::close(report_pipe[1]);
	ssize_t told;
	do {
		told = ::read(report_pipe[0], &error, sizeof(error));
	} while (told < 0 && errno == EINTR);
	::close(report_pipe[0]);

	int status = 0;
	while (::waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (told > 0)
		fail_errno("run '" + printable(command[0]) + "'", error);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

std::uint64_t size_operand(const arguments &args, const std::string &text)
{
	std::string why;
	const auto size = parse_size(text, &why);

	if (!size)
		args.reject("'" + printable(text) + "'", why);
	return *size;
}

create_options options_of(const arguments &args)
{
	create_options options;

	options.set_persistent(args.tail().empty() || args.has("persist"));
	options.set_contiguous(args.has("contig"));
	options.set_small_pages(args.has("small"));

	if (args.has("mode")) {
		std::string why;
		const auto mode =
			parse_mode(args.value("mode"), options.mode(), &why);

		if (!mode)
			args.reject("--mode",
				    "'" + printable(args.value("mode")) +
					    "': " + why);
		options.set_mode(*mode);
	}
	if (args.has("node")) {
		const std::string &text = args.value("node");

		if (text.empty() || text.size() > 4 ||
		    text.find_first_not_of("0123456789") != std::string::npos)
			args.reject("--node",
				    "'" + printable(text) +
					    "' is not a node's number");
		options.set_numa_node(std::stoi(text));
	}
	if (args.has("tag")) {
		const std::string &tag = args.value("tag");

		if (tag.size() > shm_kernel::tag_size)
			args.reject(
				"--tag",
				std::to_string(tag.size()) + " bytes where " +
					std::to_string(shm_kernel::tag_size) +
					" are the most");
		options.set_tag(tag);
	}
	return options;
}

[[noreturn]] void fail_create(const arguments &args, const std::string &name,
			      std::error_code error)
{
	if (error == errc::no_memory && args.has("contig"))
		throw failure(
			"create " + shown(name),
			"there are not so many consecutive free pages",
			"try again later or with less, leave --contig out, or "
			"let the driver make it when it is loaded: module "
			"parameter regions=");
	fail_region("create", name, error);
}

/* A name that is taken is told before a long copy, not after it. */
void check_free(const std::string &name)
{
	std::error_code error;
	const region existing =
		region::open(name, access_mode::read_only, error);

	if (!error || error == errc::permission_denied)
		fail_region("create", name, errc::name_exists);
}

region create_from(const arguments &args, create_options options,
		   const std::string &name, std::optional<std::uint64_t> size)
{
	std::error_code error;
	source from = source::of_file(args.value("from"));

	if (!size && !from.size())
		args.reject(
			"SIZE",
			"the size of '" + printable(args.value("from")) +
				"' is not known before it is read: give SIZE");
	if (!size)
		size = from.size();
	check_free(name);

	options.set_size(*size);
	region made = region::create(options, error);
	if (error)
		fail_create(args, name, error);
	fill("create", name, made, 0, *size, from);
	made.bind(name, error);
	if (error)
		fail_region("create", name, error);
	return made;
}

int run_create(const arguments &args)
{
	const std::string &name = args.operands()[0];
	std::optional<std::uint64_t> size;
	std::error_code error;
	region made;

	check_name(name);
	if (args.operands().size() > 1)
		size = size_operand(args, args.operands()[1]);
	else if (!args.has("from"))
		args.reject("SIZE", "it is missing");
	if (args.has("json") && !args.tail().empty())
		args.reject("--json", "not together with a COMMAND, whose "
				      "output it would mix with");

	create_options options = options_of(args);
	if (args.has("from")) {
		made = create_from(args, options, name, size);
	} else {
		made = region::create(options.set_name(name).set_size(*size),
				      error);
		if (error)
			fail_create(args, name, error);
	}

	if (!args.tail().empty())
		return run_command(args.tail());

	const auto info = made.info();
	made.close();
	if (args.has("json")) {
		/* as others see it, without the file that was open here */
		const auto seen = find_region(name);
		print_json(region_json(seen ? *seen : info));
	} else {
		print(printable(name) + ": " + format_size_exact(info.size()) +
		      ", stays until it is removed (shmtool remove " +
		      shell_word(name) + ") or the driver is unloaded\n");
	}
	return exit_ok;
}

/* One that fails does not keep the others from their turn. */
int for_each(const std::vector<std::string> &operands,
	     const std::function<void(const std::string &)> &act)
{
	int status = exit_ok;

	for (const std::string &operand : operands) {
		try {
			act(operand);
		} catch (const failure &e) {
			report(e);
			status = e.status();
		}
	}
	return status;
}

int run_remove(const arguments &args)
{
	return for_each(args.operands(), [](const std::string &operand) {
		std::error_code error;

		if (is_path(operand))
			throw failure(
				"remove " + shown(operand),
				"a boot region goes with the driver",
				"give the name of a region: 'shmtool list'");
		check_name(operand);
		region::remove(operand, error);
		if (error)
			fail_region("remove", operand, error);
	});
}

/* What @act does to each region of the command line, opened with @mode. */
int change_each(const char *verb, const std::vector<std::string> &operands,
		access_mode mode,
		const std::function<void(region &, std::error_code &)> &act)
{
	return for_each(operands, [&](const std::string &operand) {
		target opened = open_target(verb, operand, mode);
		std::error_code error;

		act(opened.handle, error);
		if (error)
			fail_region(verb, operand, error);
	});
}

int run_clear(const arguments &args)
{
	return change_each(
		"clear", args.operands(), access_mode::read_write,
		[](region &r, std::error_code &error) { r.clear(error); });
}

int run_reset(const arguments &args)
{
	return change_each(
		"reset", args.operands(), access_mode::read_write,
		[](region &r, std::error_code &error) { r.reset(error); });
}

int run_revoke(const arguments &args)
{
	return change_each(
		"revoke", args.operands(), access_mode::read_only,
		[](region &r, std::error_code &error) { r.revoke(error); });
}

int run_resize(const arguments &args)
{
	const std::uint64_t size = size_operand(args, args.operands()[1]);

	return change_each("resize", {args.operands()[0]},
			   access_mode::read_write,
			   [&](region &r, std::error_code &error) {
				   r.resize(size, error);
			   });
}

seal seals_operand(const arguments &args)
{
	seal seals = seal::none;

	for (std::size_t i = 1; i < args.operands().size(); i++) {
		const std::string &word = args.operands()[i];
		const auto *known = std::find_if(
			std::begin(seal_table), std::end(seal_table),
			[&](const seal_word &s) { return word == s.word; });

		if (known == std::end(seal_table))
			args.reject("'" + printable(word) + "'",
				    "there is no such seal (the seals are "
				    "shrink, grow, write, future-write and "
				    "seal)");
		seals |= known->value;
	}
	return seals;
}

int run_seal(const arguments &args)
{
	const std::string &operand = args.operands()[0];
	const seal seals = seals_operand(args);

	if (seals != seal::none) {
		target opened =
			open_target("seal", operand, access_mode::read_write);
		std::error_code error;

		opened.handle.add_seals(seals, error);
		if (error)
			fail_region("seal", operand, error);
	}

	const region_info info = look_at("seal", operand);
	if (args.has("json")) {
		json object;

		put_bytes(object, "region", operand);
		object["seals"] = seals_json(info);
		print_json(object);
	} else {
		print(seals_text(info));
	}
	return exit_ok;
}

int run_chmod(const arguments &args)
{
	const std::string &text = args.operands()[0];
	std::string why;

	if (!parse_mode(text, 0, &why))
		args.reject("'" + printable(text) + "'", why);

	return change_each(
		"chmod", {args.operands().begin() + 1, args.operands().end()},
		access_mode::read_only, [&](region &r, std::error_code &error) {
			mode_t current = 0;

			if (mode_is_symbolic(text)) {
				current = r.info(error).mode();
				if (error)
					return;
			}
			r.chmod(*parse_mode(text, current), error);
		});
}

int run_chown(const arguments &args)
{
	const std::string &text = args.operands()[0];
	std::string why;
	const auto owner = parse_owner(text, &why);

	if (!owner)
		args.reject("'" + printable(text) + "'", why);
	return change_each(
		"chown", {args.operands().begin() + 1, args.operands().end()},
		access_mode::read_only, [&](region &r, std::error_code &error) {
			r.chown(owner->uid, owner->gid, error);
		});
}

} // namespace

std::vector<command> manage_commands()
{
	command create{};
	create.name = "create";
	create.operands = "NAME [SIZE] [-- COMMAND [ARG...]]";
	create.summary = "create a region";
	create.details = "Creates a region of SIZE bytes, all of its memory "
			 "allocated and zero. NAME has 1 to "
			 "255 bytes, any but '/' and NUL.\n\n"
			 "The name of a region ends with its last user. As "
			 "shmtool itself ends at once, the "
			 "region that it makes is persistent: it stays until "
			 "it is removed or the driver is "
			 "unloaded. With a COMMAND it is not: shmtool holds "
			 "the region open while COMMAND "
			 "runs, and what other programs do not use then is "
			 "gone, even after a crash.\n\n"
			 "With a COMMAND the exit status is that of COMMAND, "
			 "or 128 and the signal that "
			 "killed it.";
	create.options = {
		{"mode", 'm', "MODE",
		 "who may read and write it, as for chmod; default 0600"},
		{"persist", 'p', nullptr,
		 "let the name stay after COMMAND, too"},
		{"contig", 'c', nullptr,
		 "consecutive page frames; the size is then fixed"},
		{"small", 's', nullptr,
		 "single pages only: no memory lost to rounding"},
		{"node", 'N', "NODE",
		 "memory of this NUMA node, as far as it has any"},
		{"tag", 't', "TEXT",
		 "a note of up to 32 bytes that goes with the region"},
		{"from", 'f', "FILE",
		 "fill it from FILE before anybody can see it; '-' is standard "
		 "input. Without SIZE it gets the size of FILE"},
		{"json", 'j', nullptr, "print JSON, as 'info --json'"},
	};
	create.examples = {
		{"shmtool create frames 64M --mode 0660 --tag v1",
		 "a region that the group may use"},
		{"shmtool create frames 64M -- ./capture --region frames",
		 "a region that lives as long as a program"},
		{"shmtool create model --from weights.bin",
		 "publish a file, complete or not at all"},
	};
	create.least = 1;
	create.most = 2;
	create.takes_command = true;
	create.run = run_create;

	command remove{};
	remove.name = "remove";
	remove.operands = "NAME...";
	remove.summary = "take a region's name away";
	remove.details = "The name is free at once. Who has the region open or "
			 "mapped keeps it; its memory goes with the last of "
			 "them. Only its owner or root may.";
	remove.least = 1;
	remove.most = any_number;
	remove.run = run_remove;

	command resize{};
	resize.name = "resize";
	resize.operands = "REGION SIZE";
	resize.summary = "change the size of a region";
	resize.details = "New bytes are zero. A program that has mapped more "
			 "than what remains gets SIGBUS where it touches that. "
			 "Boot regions and contiguous regions have a fixed "
			 "size.";
	resize.examples = {{"shmtool resize frames 96M", "make room"}};
	resize.least = 2;
	resize.most = 2;
	resize.run = run_resize;

	command clear{};
	clear.name = "clear";
	clear.operands = "REGION...";
	clear.summary = "fill a region with zeros";
	clear.details = "Everybody who has it mapped sees the zeros.";
	clear.least = 1;
	clear.most = any_number;
	clear.run = run_clear;

	command reset{};
	reset.name = "reset";
	reset.operands = "REGION...";
	reset.summary = "bring a region's first content back";
	reset.details = "That is zeros, but for region 0, which has 0x1111 as "
			"a 32-bit word at offset 0 and 0x2222 at offset 0x100.";
	reset.least = 1;
	reset.most = any_number;
	reset.run = run_reset;

	command chmod{};
	chmod.name = "chmod";
	chmod.operands = "MODE REGION...";
	chmod.summary = "change who may read and write a region";
	chmod.details = "MODE is octal or symbolic as for chmod(1): 0640, g+r, "
			"u=rw,go=. Who has the region open keeps what he may "
			"do with it.";
	chmod.examples = {
		{"shmtool chmod g+rw frames", "let the group use it"}};
	chmod.least = 2;
	chmod.most = any_number;
	chmod.run = run_chmod;

	command chown{};
	chown.name = "chown";
	chown.operands = "OWNER[:GROUP] REGION...";
	chown.summary = "change the owner or the group of a region";
	chown.details = "Names or numbers as for chown(1): OWNER, OWNER:GROUP, "
			"OWNER: for the owner's own group, or :GROUP alone.";
	chown.least = 2;
	chown.most = any_number;
	chown.run = run_chown;

	command seal{};
	seal.name = "seal";
	seal.operands = "REGION [SEAL...]";
	seal.summary = "give up ways to change a region, or show which are";
	seal.details =
		"Adds the seals to those that the region has, for everybody "
		"and for good, and shows what it has then: shrink (the size "
		"cannot become smaller, so that who has it mapped is safe from "
		"SIGBUS), grow (nor larger), write (nobody can change the "
		"content; fails while anybody has it mapped for that), "
		"future-write (only who has it mapped by then can), seal (no "
		"further seals). Without SEAL it only shows them.";
	seal.options = {{"json", 'j', nullptr, "print JSON: the seals"}};
	seal.examples = {
		{"shmtool seal frames shrink", "promise that it stays"},
		{"shmtool seal frames", "which seals it has"},
	};
	seal.least = 1;
	seal.most = 6;
	seal.run = run_seal;

	command revoke{};
	revoke.name = "revoke";
	revoke.operands = "REGION...";
	revoke.summary = "end a region for all who use it (root)";
	revoke.details = "The name goes, the size becomes 0, and every access "
			 "fails: calls with ENODEV, mappings with SIGBUS, "
			 "which ends programs that do not expect it. Boot "
			 "regions cannot be revoked.";
	revoke.least = 1;
	revoke.most = any_number;
	revoke.run = run_revoke;

	return {create, remove, resize, clear, reset,
		chmod,  chown,  seal,   revoke};
}

} // namespace shmtool
