// SPDX-License-Identifier: BSL-1.0
/*
 * Standard output: text, tables, colours, JSON
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_OUTPUT_HPP
#define SHMTOOL_OUTPUT_HPP

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace shmtool {

/* Keys stay in the order in which they were put in. */
using json = nlohmann::ordered_json;

/* To standard output; what cannot be written is told by finish_output(). */
void print(std::string_view text);

/*
 * One line of ASCII for a pipe, indented for a terminal. Every other character
 * is a \u escape, so that no name reaches the terminal as it is.
 */
void print_json(const json &value);

/* The same for one of many: a line of its own on a terminal, too. */
void print_json_line(const json &value);

/* Flushes standard output; throws failure if something was lost. */
void finish_output();

bool stdout_is_terminal();

/* Columns of the terminal; COLUMNS counts more; 0 without a terminal. */
std::size_t terminal_width(int fd);

enum class colour { none, bold, dim, red, green, yellow, cyan };

/* @text in a colour, if standard output is a terminal and NO_COLOR is unset. */
std::string paint(colour c, std::string_view text);

/* Text broken at blanks into lines of @width columns, each indented. */
std::string wrap(std::string_view text, std::size_t width, std::size_t indent);

class table
{
public:
	enum class align { left, right };

	struct column
	{
		const char *title;
		align side;
		/* when lines are too long, columns go in this order; 0 stays */
		int drop_order;
		/* may be shortened before any column goes */
		bool shrinks;
	};

	struct cell
	{
		std::string text;
		colour ink = colour::none;
	};

	explicit table(std::vector<column> columns);

	void add(std::vector<cell> row);

	/* @width 0 is no limit. */
	std::string format(std::size_t width) const;

private:
	std::vector<column> m_columns;
	std::vector<std::vector<cell>> m_rows;
};

} // namespace shmtool

#endif
