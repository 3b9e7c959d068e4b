// SPDX-License-Identifier: BSL-1.0
/*
 * The help in its forms, all made from the tables of commands
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "help.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "errors.hpp"
#include "output.hpp"

namespace shmtool {
namespace {

constexpr const char *purpose = "Looks at, makes, fills and mends regions of "
				"shm_kernel: memory that the kernel and user "
				"space share, and in which locks work.";

/* Words that mean the same in every command. */
struct term
{
	const char *word;
	const char *meaning;
};

constexpr term terms[] = {
	{"REGION",
	 "The name of a region; '-' for region 0; or, if it has a '/' in it, "
	 "the path of a node (/dev/shm_kernel_driver is region 0, too, and "
	 "/dev/shm_kernel/NAME another boot region) or of a region that a "
	 "process has open (/proc/PID/fd/N). A name that starts with a dash "
	 "comes after '--'."},
	{"SIZE, OFFSET, LENGTH",
	 "Bytes: 4096, 0x1000, or with a suffix: 64K, 1.5M, 2GiB, 10MB. K, M, "
	 "G, T, P, E and KiB, MiB, ... are powers of 1024; KB, MB, ... are "
	 "powers of 1000."},
	{"TIME", "Seconds: 2, 1.5, or with a suffix: 250ms, 2s, 5m, 1h."},
	{"Names in the output",
	 "A name is any bytes. What is no printable character is shown as \\n, "
	 "\\t or \\xHH, which a "
	 "shell reads back in $'...'. JSON has the exact name; if it is no "
	 "UTF-8, its bytes are in "
	 "name_hex, in hexadecimal."},
};

constexpr term statuses[] = {
	{"0", "It worked."},
	{"1", "It failed: standard error says what, why, and how to mend it."},
	{"2", "The command line is wrong."},
};

constexpr term variables[] = {
	{"NO_COLOR", "If it is set and not empty, the output has no colours. "
		     "It has none either where it does not go to a terminal."},
	{"COLUMNS",
	 "The width for tables and help, instead of the terminal's own."},
};

constexpr term files[] = {
	{"/dev/shm_kernel_driver",
	 "The driver's node, and region 0. Who may open it may use shmtool."},
	{"/dev/shm_kernel/NAME", "The nodes of the other boot regions."},
	{"/sys/module/shm_kernel_driver/parameters",
	 "The limits that the driver was loaded with."},
};

std::size_t sane(std::size_t width)
{
	return std::clamp<std::size_t>(width ? width : 80, 50, 100);
}

std::string option_head(const option &opt)
{
	std::string text = opt.letter ? std::string("-") + opt.letter + ", "
				      : std::string("    ");

	text += std::string("--") + opt.name;
	if (opt.argument)
		text += std::string(" ") + opt.argument;
	return text;
}

/* Two columns: @heads as given, texts wrapped beside or below them. */
std::string
two_columns(const std::vector<std::pair<std::string, std::string>> &rows,
	    std::size_t width)
{
	std::size_t widest = 0;
	std::string out;

	for (const auto &row : rows)
		widest = std::max(widest, row.first.size());
	widest = std::min<std::size_t>(widest, 24);

	for (const auto &[head, text] : rows) {
		const std::string block = wrap(text, width, widest + 4);

		if (head.size() > widest) {
			out += "  " + head + "\n" + block + "\n";
			continue;
		}
		std::string first = "  " + head;
		first.resize(widest + 4, ' ');
		out += first + block.substr(widest + 4) + "\n";
	}
	return out;
}

std::vector<std::string> paragraphs(std::string_view text)
{
	std::vector<std::string> list;

	while (!text.empty()) {
		const std::size_t end =
			std::min(text.find("\n\n"), text.size());

		list.emplace_back(text.substr(0, end));
		text.remove_prefix(std::min(end + 2, text.size()));
	}
	return list;
}

/* Text for a roff line: no requests, no escapes, dashes that can be copied. */
std::string roff(std::string_view text)
{
	std::string out;

	if (!text.empty() && (text[0] == '.' || text[0] == '\''))
		out += "\\&";
	for (const char c : text) {
		if (c == '\\')
			out += "\\e";
		else if (c == '-')
			out += "\\-";
		else if (c == '\'')
			out += "\\(aq";
		else
			out += c;
	}
	return out;
}

template <std::size_t N>
std::string roff_terms(const term (&list)[N])
{
	std::string out;

	for (const term &t : list)
		out += ".TP\n.B " + roff(t.word) + "\n" + roff(t.meaning) +
		       "\n";
	return out;
}

/* Operands in italics but for what is literal in them. */
std::string roff_usage(const command &cmd)
{
	std::string out = ".B shmtool " + roff(cmd.name) + "\n";

	if (!cmd.options.empty())
		out += ".RI [ OPTION ...]\n";
	if (*cmd.operands)
		out += ".I " + roff(cmd.operands) + "\n";
	return out;
}

} // namespace

std::string general_help(std::size_t width)
{
	std::vector<std::pair<std::string, std::string>> rows;
	std::string out;

	width = sane(width);
	out += "Usage: shmtool COMMAND [OPTION...] [ARGUMENT...]\n\n";
	out += wrap(purpose, width, 0) + "\n\n";
	out += paint(colour::bold, "Commands") + "\n";
	for (const command &cmd : commands())
		rows.emplace_back(cmd.name, cmd.summary);
	out += two_columns(rows, width);

	for (const term &t : terms)
		out += "\n" + paint(colour::bold, t.word) + "\n" +
		       wrap(t.meaning, width, 2) + "\n";

	out += "\n" + paint(colour::bold, "Exit status") + "\n";
	rows.clear();
	for (const term &t : statuses)
		rows.emplace_back(t.word, t.meaning);
	out += two_columns(rows, width);
	out += "\n" +
	       wrap("'shmtool help COMMAND' or 'shmtool COMMAND --help' tells "
		    "about one command, 'man shmtool' about all.",
		    width, 0) +
	       "\n";
	return out;
}

std::string command_help(const command &cmd, std::size_t width)
{
	std::vector<std::pair<std::string, std::string>> rows;
	std::string out = std::string("Usage: shmtool ") + cmd.name +
			  (cmd.options.empty() ? "" : " [OPTION...]") +
			  (*cmd.operands ? " " : "") + cmd.operands + "\n\n";

	width = sane(width);
	std::string summary = cmd.summary;
	summary[0] = static_cast<char>(summary[0] - 'a' + 'A');
	out += wrap(summary + ".", width, 0) + "\n";

	if (!cmd.options.empty())
		out += "\n" + paint(colour::bold, "Options") + "\n";
	for (const option &opt : cmd.options)
		rows.emplace_back(option_head(opt), opt.help);
	out += two_columns(rows, width);

	for (const std::string &paragraph : paragraphs(cmd.details))
		out += "\n" + wrap(paragraph, width, 0) + "\n";

	if (!cmd.examples.empty())
		out += "\n" + paint(colour::bold, "Examples") + "\n";
	for (const example &e : cmd.examples)
		out += std::string("  ") + e.line + "\n" +
		       wrap(e.meaning, width, 6) + "\n";
	return out;
}

std::string manual_page()
{
	std::string out = ".\\\" SPDX-License-Identifier: BSL-1.0\n"
			  ".\\\" Made by \"shmtool help --man\": change the "
			  "tables in the source.\n"
			  ".TH SHMTOOL 1 \"\" shm_kernel \"User Commands\"\n"
			  ".SH NAME\n"
			  "shmtool \\- look at, make, fill and mend regions of "
			  "shm_kernel\n"
			  ".SH SYNOPSIS\n"
			  ".B shmtool\n"
			  ".I COMMAND\n"
			  ".RI [ OPTION ...]\n"
			  ".RI [ ARGUMENT ...]\n"
			  ".SH DESCRIPTION\n";

	out += roff(purpose) + "\n";
	out += roff_terms(terms);
	out += ".SH COMMANDS\n";
	for (const command &cmd : commands()) {
		out += ".SS " + roff(cmd.name) + "\n";
		out += roff_usage(cmd);
		std::string summary = cmd.summary;
		summary[0] = static_cast<char>(summary[0] - 'a' + 'A');
		out += ".PP\n" + roff(summary) + ".\n";
		for (const std::string &paragraph : paragraphs(cmd.details))
			out += ".PP\n" + roff(paragraph) + "\n";
		for (const option &opt : cmd.options) {
			out += ".TP\n";
			if (opt.letter)
				out += ".BR \\-" + std::string(1, opt.letter) +
				       " \", \" \\-\\-" + roff(opt.name);
			else
				out += ".BR \\-\\-" + roff(opt.name);
			if (opt.argument)
				out += std::string(" \" \\fI") + opt.argument +
				       "\\fP\"";
			out += "\n" + roff(opt.help) + "\n";
		}
		for (const example &e : cmd.examples)
			out += ".PP\n" + roff(e.meaning) +
			       ":\n.PP\n.nf\n.RS\n" + roff(e.line) +
			       "\n.RE\n.fi\n";
	}
	out += ".SH EXIT STATUS\n" + roff_terms(statuses);
	out += ".PP\nA read or write that a signal interrupts ends by that "
	       "signal.\n";
	out += ".SH ENVIRONMENT\n" + roff_terms(variables);
	out += ".SH FILES\n" + roff_terms(files);
	out += ".SH SEE ALSO\n.BR hexdump (1),\n.BR memfd_create (2),\n.BR "
	       "shm_overview (7)\n";
	return out;
}

std::string command_words()
{
	std::string out;

	for (const command &cmd : commands())
		out += std::string(cmd.name) + "\n";
	return out + "--help\n--version\n";
}

std::string option_words(const command &cmd)
{
	std::string out;

	for (const option &opt : cmd.options)
		out += std::string("--") + opt.name +
		       (opt.argument ? "=" : "") + "\n";
	return out + "--help\n";
}

std::string suggest_command(const std::string &word)
{
	/* what other tools call these things */
	static constexpr term synonyms[] = {
		{"ls", "list"},         {"rm", "remove"},
		{"delete", "remove"},   {"cat", "read"},
		{"show", "info"},       {"stat", "info"},
		{"new", "create"},      {"mk", "create"},
		{"truncate", "resize"}, {"hexdump", "dump"},
		{"zero", "clear"},      {"check", "doctor"},
		{"kick", "notify"},     {"signal", "notify"},
		{"monitor", "watch"},   {"follow", "watch"},
		{"subscribe", "watch"},
	};
	std::vector<std::string> names;

	for (const term &synonym : synonyms)
		if (word == synonym.word)
			return synonym.meaning;
	for (const command &cmd : commands())
		names.push_back(cmd.name);
	return nearest(word, names);
}

} // namespace shmtool
