// SPDX-License-Identifier: BSL-1.0
/*
 * The help command
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <unistd.h>

#include "command.hpp"
#include "errors.hpp"
#include "escape.hpp"
#include "help.hpp"
#include "output.hpp"

namespace shmtool {
namespace {

int run_help(const arguments &args)
{
	const bool about_one = !args.operands().empty();
	const command *cmd =
		about_one ? find_command(args.operands()[0]) : nullptr;

	if (about_one && !cmd) {
		const std::string meant = suggest_command(args.operands()[0]);

		throw usage_error("help",
				  "there is no command '" +
					  printable(args.operands()[0]) + "'",
				  meant.empty()
					  ? "'shmtool help' shows all"
					  : "did you mean '" + meant + "'?");
	}

	if (args.has("man"))
		print(manual_page());
	else if (args.has("words"))
		print(cmd ? option_words(*cmd) : command_words());
	else if (cmd)
		print(command_help(*cmd, terminal_width(STDOUT_FILENO)));
	else
		print(general_help(terminal_width(STDOUT_FILENO)));
	return exit_ok;
}

} // namespace

std::vector<command> help_commands()
{
	command help{};
	help.name = "help";
	help.operands = "[COMMAND]";
	help.summary = "tell about shmtool or one of its commands";
	help.details = "";
	help.options = {
		{"man", 0, nullptr, "print the manual page, as roff"},
		{"words", 0, nullptr,
		 "print the commands, or COMMAND's options, for completion"},
	};
	help.most = 1;
	help.run = run_help;
	return {help};
}

} // namespace shmtool
