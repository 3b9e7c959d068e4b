// SPDX-License-Identifier: BSL-1.0
/*
 * Errors that say what failed, why, and how to mend it
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_ERRORS_HPP
#define SHMTOOL_ERRORS_HPP

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace shmtool {

enum exit_status {
	exit_ok = 0,
	exit_failed = 1,
	exit_usage = 2,
};

/* Printed as "shmtool: what: why (how to mend it)"; the parts are printable. */
class failure : public std::runtime_error
{
public:
	failure(const std::string &what, const std::string &why,
		const std::string &mend = {});

	virtual exit_status status() const noexcept { return exit_failed; }
};

/* The command line means nothing. */
class usage_error : public failure
{
public:
	using failure::failure;

	exit_status status() const noexcept override { return exit_usage; }
};

/* A signal asked shmtool to stop: it ends by that signal, after its message. */
class interrupted : public failure
{
public:
	interrupted(const std::string &what, const std::string &why, int signal)
		: failure(what, why), m_signal(signal)
	{
	}

	int signal() const noexcept { return m_signal; }

private:
	int m_signal;
};

/* A signal ended what ends in no other way: there is nothing to say about it. */
struct stopped
{
	int signal;
};

/* strerror() in lower case, as it stands in the middle of a line. */
std::string error_text(int error);

/* A system call failed on something that is no region: a file, a pipe. */
[[noreturn]] void fail_errno(const std::string &what, int error,
			     const std::string &mend = {});

/* Prints the error on standard error, on a line of its own. */
void report(const std::exception &error);

/*
 * The candidate that @word most likely meant, or an empty string: at most one
 * edit for every three letters, a swap of neighbours counting as one.
 */
std::string nearest(std::string_view word,
		    const std::vector<std::string> &candidates);

} // namespace shmtool

#endif
