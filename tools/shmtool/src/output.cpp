// SPDX-License-Identifier: BSL-1.0
/*
 * Standard output: text, tables, colours, JSON
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "output.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "errors.hpp"
#include "escape.hpp"
#include "signals.hpp"

namespace shmtool {
namespace {

constexpr std::size_t gap = 2;
constexpr std::size_t narrowest = 12;

int output_error;

bool colours_wanted()
{
	const char *no_color = std::getenv("NO_COLOR");
	const char *term = std::getenv("TERM");

	return stdout_is_terminal() && !(no_color && *no_color) && term &&
	       std::string_view(term) != "dumb";
}

} // namespace

void print(std::string_view text)
{
	if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() &&
	    !output_error)
		output_error = errno;
}

void print_json(const json &value)
{
	print(value.dump(stdout_is_terminal() ? 2 : -1, ' ', true) + "\n");
}

void print_json_line(const json &value)
{
	print(value.dump(-1, ' ', true) + "\n");
}

void finish_output()
{
	if (std::fflush(stdout) != 0 && !output_error)
		output_error = errno;
	/* a caught signal gets in the way of a pipe that nobody empties */
	if (output_error == EINTR && stop_signal())
		throw stopped{stop_signal()};
	if (output_error)
		fail_errno("standard output", output_error);
}

bool stdout_is_terminal()
{
	static const bool terminal = ::isatty(STDOUT_FILENO) == 1;

	return terminal;
}

std::size_t terminal_width(int fd)
{
	if (::isatty(fd) != 1)
		return 0;

	const char *columns = std::getenv("COLUMNS");
	if (columns) {
		const long value = std::strtol(columns, nullptr, 10);

		if (value > 0 && value < 10000)
			return static_cast<std::size_t>(value);
	}

	struct winsize size
	{
	};
	if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return 80;
}

std::string paint(colour c, std::string_view text)
{
	static const bool wanted = colours_wanted();
	const char *code = "";

	switch (c) {
	case colour::none:
		break;
	case colour::bold:
		code = "1";
		break;
	case colour::dim:
		code = "2";
		break;
	case colour::red:
		code = "31";
		break;
	case colour::green:
		code = "32";
		break;
	case colour::yellow:
		code = "33";
		break;
	case colour::cyan:
		code = "36";
		break;
	}
	if (!wanted || !*code || text.empty())
		return std::string(text);
	return std::string("\033[")
		.append(code)
		.append("m")
		.append(text)
		.append("\033[0m");
}

std::string wrap(std::string_view text, std::size_t width, std::size_t indent)
{
	std::string out;
	std::size_t column = 0;

	while (!text.empty()) {
		const std::size_t word_end =
			std::min(text.find(' '), text.size());
		const std::string_view word = text.substr(0, word_end);

		text.remove_prefix(std::min(word_end + 1, text.size()));
		if (word.empty())
			continue;
		if (column && column + 1 + word.size() > width) {
			out += '\n';
			column = 0;
		}
		if (column) {
			out += ' ';
			column++;
		} else {
			out.append(indent, ' ');
			column = indent;
		}
		out += word;
		column += word.size();
	}
	return out;
}

table::table(std::vector<column> columns) : m_columns(std::move(columns))
{
}

void table::add(std::vector<cell> row)
{
	row.resize(m_columns.size());
	m_rows.push_back(std::move(row));
}

std::string table::format(std::size_t width) const
{
	std::vector<std::size_t> widths;
	std::vector<bool> shown(m_columns.size(), true);

	for (std::size_t i = 0; i < m_columns.size(); i++) {
		std::size_t widest = display_width(m_columns[i].title);

		for (const auto &row : m_rows)
			widest = std::max(widest, display_width(row[i].text));
		widths.push_back(widest);
	}

	const auto total = [&] {
		std::size_t sum = 0;

		for (std::size_t i = 0; i < m_columns.size(); i++)
			if (shown[i])
				sum += widths[i] + (sum ? gap : 0);
		return sum;
	};

	/* shorten what can be shortened, then leave out what can be left out */
	for (int order = 0; width && total() > width; order++) {
		for (std::size_t i = 0; i < m_columns.size() && total() > width;
		     i++) {
			if (m_columns[i].shrinks && widths[i] > narrowest)
				widths[i] -= std::min(total() - width,
						      widths[i] - narrowest);
		}
		for (std::size_t i = 0; i < m_columns.size() && total() > width;
		     i++) {
			if (order && m_columns[i].drop_order == order)
				shown[i] = false;
		}
		if (order > static_cast<int>(m_columns.size()))
			break;
	}
	/* a column that went may have left more room than was needed */
	for (std::size_t i = 0; width && i < m_columns.size(); i++) {
		if (!m_columns[i].shrinks || total() >= width)
			continue;

		std::size_t widest = display_width(m_columns[i].title);
		for (const auto &row : m_rows)
			widest = std::max(widest, display_width(row[i].text));
		widths[i] = std::min(widest, widths[i] + width - total());
	}

	std::string out;
	const auto add_line = [&](const auto &text_of) {
		std::size_t pad = 0;
		bool first = true;

		for (std::size_t i = 0; i < m_columns.size(); i++) {
			if (!shown[i])
				continue;

			const cell c = text_of(i);
			const std::string text = shorten(c.text, widths[i]);
			const std::size_t taken =
				std::min(display_width(text), widths[i]);
			const std::size_t fill = widths[i] - taken;
			const bool right = m_columns[i].side == align::right;

			out.append(first ? 0 : pad + gap + (right ? fill : 0),
				   ' ');
			if (first && right)
				out.append(fill, ' ');
			out += paint(c.ink, text);
			pad = right ? 0 : fill;
			first = false;
		}
		out.erase(out.find_last_not_of(' ') + 1);
		out += '\n';
	};

	add_line([&](std::size_t i) {
		return cell{m_columns[i].title, colour::bold};
	});
	for (const auto &row : m_rows)
		add_line([&](std::size_t i) { return row[i]; });
	return out;
}

} // namespace shmtool
