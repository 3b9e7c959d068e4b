// SPDX-License-Identifier: BSL-1.0
/*
 * A whole terminal for one picture that changes
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_SCREEN_HPP
#define SHMTOOL_SCREEN_HPP

#include <termios.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace shmtool {

/* @text cut to so many lines, the last of which says how many are missing. */
std::string fit_lines(const std::string &text, std::size_t lines);

/*
 * Takes standard output, which is a terminal, as long as it lives: the other
 * screen, no cursor, and keys without Enter if standard input is a terminal,
 * too. The destructor gives it back as it was.
 */
class screen
{
public:
	screen();
	~screen();
	screen(const screen &) = delete;
	screen &operator=(const screen &) = delete;

	/* Replaces the picture, cut to the height. */
	void show(const std::string &text);

	/* A key that was pressed meanwhile. */
	std::optional<char> key();

	/* Standard input if keys come from there, otherwise -1. */
	int key_descriptor() const { return m_keys ? 0 : -1; }

	/* Gives the terminal back, stops as ^Z does, takes it again. */
	void suspend();

private:
	void enter();
	void leave();

	bool m_keys = false;
	struct termios m_before;
};

} // namespace shmtool

#endif
