// SPDX-License-Identifier: BSL-1.0
/*
 * shmtool: see, make, fill and mend regions of shm_kernel
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "command.hpp"
#include "errors.hpp"
#include "escape.hpp"
#include "help.hpp"
#include "output.hpp"

namespace {

using namespace shmtool;

int run(const std::vector<std::string> &words)
{
	if (words.empty())
		throw usage_error("no command", "nothing to do",
				  "'shmtool help' shows what there is");

	const std::string &first = words[0];
	if (first == "--help" || first == "-h") {
		print(general_help(terminal_width(STDOUT_FILENO)));
		return exit_ok;
	}
	if (first == "--version" || first == "-V") {
		print("shmtool " SHMTOOL_VERSION "\n");
		return exit_ok;
	}

	const command *cmd = find_command(first);
	if (!cmd) {
		const bool is_option = first.size() > 1 && first[0] == '-';
		const std::string meant =
			is_option ? std::string() : suggest_command(first);

		throw usage_error(std::string(is_option ? "unknown option '"
							: "unknown command '") +
					  printable(first) + "'",
				  is_option ? "options come after the command"
					    : "shmtool has none of that name",
				  meant.empty()
					  ? "'shmtool help' shows what there is"
					  : "did you mean '" + meant + "'?");
	}

	const arguments args = parse(*cmd, {words.begin() + 1, words.end()});
	if (args.has("help")) {
		print(command_help(*cmd, terminal_width(STDOUT_FILENO)));
		return exit_ok;
	}
	return cmd->run(args);
}

/* The caller sees that it was the signal, as if it had not been caught. */
[[noreturn]] void end_by(int signal)
{
	::signal(signal, SIG_DFL);
	::raise(signal);
	::_exit(128 + signal);
}

/*
 * What is opened shall not become standard input or output because the caller
 * has closed that: the region itself would be what is read. What is open in the
 * wrong direction fails as what is closed does.
 */
void occupy_standard_files()
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (::fcntl(fd, F_GETFD) < 0 &&
		    ::open("/dev/null",
			   fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			::_exit(exit_failed);
}

} // namespace

int main(int argc, char **argv)
{
	/* characters and messages follow the user, numbers stay as scripts read
	 * them */
	std::setlocale(LC_CTYPE, "");
	occupy_standard_files();

	try {
		const int status = run({argv + 1, argv + argc});

		finish_output();
		return status;
	} catch (const interrupted &e) {
		report(e);
		end_by(e.signal());
	} catch (const stopped &e) {
		std::fflush(stdout);
		end_by(e.signal);
	} catch (const failure &e) {
		report(e);
		return e.status();
	} catch (const std::bad_alloc &) {
		report(failure("shmtool", "there is not enough memory"));
	} catch (const std::exception &e) {
		report(failure("unexpected", e.what()));
	}
	return exit_failed;
}
