// SPDX-License-Identifier: BSL-1.0
/*
 * What a command is: its words, its options, its function
 *
 * The parser, `shmtool help`, the manual page and the completion are all made
 * from these tables, so that none of them can tell another story.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_COMMAND_HPP
#define SHMTOOL_COMMAND_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace shmtool {

struct option
{
	const char *name;     /* without the dashes */
	char letter;          /* its short form, 0 if there is none */
	const char *argument; /* how the help calls its argument, nullptr for a
				 switch */
	const char *help;
};

struct example
{
	const char *line;
	const char *meaning;
};

class arguments;

struct command
{
	const char *name;
	const char *operands; /* as in "NAME SIZE [-- COMMAND [ARG...]]" */
	const char *summary;
	const char *details; /* paragraphs, separated by an empty line */
	std::vector<option> options;
	std::vector<example> examples;
	std::size_t least; /* operands */
	std::size_t most;
	bool takes_command; /* what follows "--" is a command of its own */
	int (*run)(const arguments &args);
};

constexpr std::size_t any_number = SIZE_MAX;

/* A parsed command line. */
class arguments
{
public:
	bool has(const std::string &option) const
	{
		return m_values.count(option) != 0;
	}

	/* The option's argument; only if has(). */
	const std::string &value(const std::string &option) const
	{
		return m_values.at(option);
	}

	/* An option that is a size; throws usage_error if it is none. */
	std::optional<std::uint64_t> size(const std::string &option) const;

	/* An option that is a number, from @least to @most. */
	std::optional<std::uint64_t> number(const std::string &option,
					    std::uint64_t least,
					    std::uint64_t most) const;

	/* An option that is a time. */
	std::optional<std::chrono::milliseconds>
	duration(const std::string &option) const;

	const std::vector<std::string> &operands() const { return m_operands; }
	const std::vector<std::string> &tail() const { return m_tail; }
	const command &of() const { return *m_command; }

	/* A usage error of this command, with the way to its help. */
	[[noreturn]] void reject(const std::string &what,
				 const std::string &why) const;

private:
	friend arguments parse(const command &cmd,
			       const std::vector<std::string> &words);

	const command *m_command = nullptr;
	std::map<std::string, std::string> m_values;
	std::vector<std::string> m_operands;
	std::vector<std::string> m_tail;
};

/* @words are what follows the command's name. Throws usage_error. */
arguments parse(const command &cmd, const std::vector<std::string> &words);

/* All commands, in the order in which the help shows them. */
const std::vector<command> &commands();

/* nullptr if there is none of that name. */
const command *find_command(const std::string &name);

/* The groups of commands, one for each source file cmd_*.cpp. */
std::vector<command> look_commands();
std::vector<command> top_commands();
std::vector<command> manage_commands();
std::vector<command> data_commands();
std::vector<command> event_commands();
std::vector<command> ring_commands();
std::vector<command> doctor_commands();
std::vector<command> help_commands();

} // namespace shmtool

#endif
