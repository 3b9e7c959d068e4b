// SPDX-License-Identifier: BSL-1.0
/*
 * The command line
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "command.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <system_error>

#include <boost/program_options.hpp>

#include "durations.hpp"
#include "errors.hpp"
#include "escape.hpp"
#include "sizes.hpp"

namespace shmtool {
namespace {

namespace po = boost::program_options;

/* As Boost.Program_options wants it: "offset,o". */
std::string boost_name(const option &opt)
{
	std::string name = opt.name;

	if (opt.letter)
		name.append(1, ',').append(1, opt.letter);
	return name;
}

std::string suggest_option(const command &cmd, const std::string &word)
{
	std::vector<std::string> names;

	for (const option &opt : cmd.options)
		names.push_back(opt.name);
	names.push_back("help");

	const std::string best = nearest(word.substr(0, word.find('=')), names);
	return best.empty() ? best : "did you mean --" + best + "? ";
}

std::string see_help(const command &cmd)
{
	return std::string("see 'shmtool help ") + cmd.name + "'";
}

std::string plural(std::size_t n, const char *noun)
{
	return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
}

void check_operands(const command &cmd,
		    const std::vector<std::string> &operands)
{
	if (operands.size() >= cmd.least && operands.size() <= cmd.most)
		return;

	const std::string usage =
		std::string("usage: shmtool ") + cmd.name + " " + cmd.operands;
	if (operands.size() > cmd.most)
		throw usage_error(cmd.name,
				  "unexpected argument '" +
					  printable(operands[cmd.most]) + "'",
				  usage);
	throw usage_error(
		cmd.name,
		operands.empty()
			? "an argument is missing"
			: plural(operands.size(), "argument") + " where " +
				  std::to_string(cmd.least) + " are needed",
		usage);
}

} // namespace

std::optional<std::uint64_t> arguments::size(const std::string &option) const
{
	if (!has(option))
		return std::nullopt;

	std::string why;
	const auto bytes = parse_size(value(option), &why);
	if (!bytes)
		reject("--" + option,
		       "'" + printable(value(option)) + "': " + why);
	return bytes;
}

std::optional<std::uint64_t> arguments::number(const std::string &option,
					       std::uint64_t least,
					       std::uint64_t most) const
{
	if (!has(option))
		return std::nullopt;

	const std::string &text = value(option);
	const char *end = text.data() + text.size();
	std::uint64_t result = 0;
	const auto parsed = std::from_chars(text.data(), end, result);

	if (parsed.ptr != end || parsed.ec != std::errc() || result < least ||
	    result > most)
		reject("--" + option, "'" + printable(text) +
					      "' is not a number from " +
					      std::to_string(least) + " to " +
					      std::to_string(most));
	return result;
}

std::optional<std::chrono::milliseconds>
arguments::duration(const std::string &option) const
{
	if (!has(option))
		return std::nullopt;

	std::string why;
	const auto result = parse_duration(value(option), &why);
	if (!result)
		reject("--" + option,
		       "'" + printable(value(option)) + "': " + why);
	return result;
}

void arguments::reject(const std::string &what, const std::string &why) const
{
	/* a reason that already says how to mend it needs no second hint */
	const bool mended = !why.empty() && why.back() == ')';

	throw usage_error(std::string(m_command->name) + ": " + what, why,
			  mended ? std::string() : see_help(*m_command));
}

arguments parse(const command &cmd, const std::vector<std::string> &words)
{
	arguments result;
	std::vector<std::string> own = words;

	result.m_command = &cmd;

	/*
	 * The first "--" after an operand starts the command. One before any
	 * operand only ends the options, so that a name may start with a dash.
	 */
	std::vector<std::string> dashed;
	po::options_description description;
	for (const option &opt : cmd.options) {
		if (opt.argument)
			description.add_options()(boost_name(opt).c_str(),
						  po::value<std::string>());
		else
			description.add_options()(boost_name(opt).c_str(),
						  po::bool_switch());
	}
	description.add_options()("help,h", po::bool_switch());

	const auto terminator = std::find(own.begin(), own.end(), "--");
	if (terminator != own.end()) {
		dashed.assign(std::next(terminator), own.end());
		own.erase(terminator, own.end());
	}

	/* Boost.Program_options takes "--string=" for an argument forgotten */
	for (std::size_t i = 0; i < own.size(); i++) {
		for (const option &opt : cmd.options) {
			if (!opt.argument ||
			    own[i] != std::string("--") + opt.name + "=")
				continue;
			own[i].pop_back();
			own.insert(own.begin() +
					   static_cast<std::ptrdiff_t>(++i),
				   "");
			break;
		}
	}

	try {
		using namespace po::command_line_style;
		const int style = allow_long | long_allow_adjacent |
				  long_allow_next | allow_short |
				  allow_dash_for_short | short_allow_adjacent |
				  short_allow_next | allow_sticky;
		const auto parsed = po::command_line_parser(own)
					    .options(description)
					    .style(style)
					    .run();

		for (const auto &opt : parsed.options) {
			if (opt.position_key >= 0 || opt.string_key.empty()) {
				result.m_operands.insert(
					result.m_operands.end(),
					opt.value.begin(), opt.value.end());
				continue;
			}
			if (result.has(opt.string_key))
				throw usage_error(cmd.name,
						  "--" + opt.string_key +
							  " is given twice",
						  see_help(cmd));
			result.m_values[opt.string_key] =
				opt.value.empty() ? std::string()
						  : opt.value.front();
		}
	} catch (const po::unknown_option &e) {
		std::string name = e.get_option_name();
		const std::size_t dashes =
			std::min(name.find_first_not_of('-'), name.size());

		throw usage_error(cmd.name,
				  "unknown option '" + printable(name) + "'",
				  suggest_option(cmd, name.substr(dashes)) +
					  see_help(cmd));
	} catch (const po::error_with_option_name &e) {
		const auto *syntax =
			dynamic_cast<const po::invalid_command_line_syntax *>(
				&e);
		const bool extra =
			syntax &&
			(syntax->kind() ==
				 po::invalid_syntax::extra_parameter ||
			 syntax->kind() ==
				 po::invalid_syntax::long_adjacent_not_allowed);

		throw usage_error(cmd.name,
				  printable(e.get_option_name()) +
					  (extra ? " takes no argument"
						 : " needs an argument"),
				  see_help(cmd));
	} catch (const po::error &e) {
		throw usage_error(cmd.name, printable(e.what()), see_help(cmd));
	}

	if (cmd.takes_command && result.m_operands.empty()) {
		const auto second =
			std::find(dashed.begin(), dashed.end(), "--");

		result.m_operands.assign(dashed.begin(), second);
		if (second != dashed.end())
			result.m_tail.assign(std::next(second), dashed.end());
	} else if (cmd.takes_command) {
		result.m_tail = dashed;
	} else {
		result.m_operands.insert(result.m_operands.end(),
					 dashed.begin(), dashed.end());
	}

	if (!result.has("help"))
		check_operands(cmd, result.m_operands);
	return result;
}

const std::vector<command> &commands()
{
	static const std::vector<command> all = [] {
		std::vector<command> list;

		for (const auto group :
		     {look_commands, top_commands, manage_commands,
		      data_commands, event_commands, ring_commands,
		      doctor_commands, help_commands}) {
			std::vector<command> some = group();

			std::move(some.begin(), some.end(),
				  std::back_inserter(list));
		}
		return list;
	}();

	return all;
}

const command *find_command(const std::string &name)
{
	for (const command &cmd : commands())
		if (name == cmd.name)
			return &cmd;
	return nullptr;
}

} // namespace shmtool
