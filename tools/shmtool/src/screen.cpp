// SPDX-License-Identifier: BSL-1.0
/*
 * A whole terminal for one picture that changes
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "screen.hpp"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "output.hpp"
#include "signals.hpp"

namespace shmtool {
namespace {

std::size_t terminal_height()
{
	struct winsize size
	{
	};

	if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
		return size.ws_row;
	return 24;
}

} // namespace

std::string fit_lines(const std::string &text, std::size_t lines)
{
	const auto total = static_cast<std::size_t>(
		std::count(text.begin(), text.end(), '\n'));
	std::size_t end = 0;

	if (total <= lines || !lines)
		return text;
	for (std::size_t i = 0; i + 1 < lines; i++)
		end = text.find('\n', end) + 1;
	return text.substr(0, end) + "... " +
	       std::to_string(total - lines + 1) + " more lines\n";
}

screen::screen() : m_before()
{
	m_keys = ::tcgetattr(STDIN_FILENO, &m_before) == 0;
	enter();
}

screen::~screen()
{
	leave();
}

void screen::enter()
{
	if (m_keys) {
		struct termios keys = m_before;

		keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
		keys.c_cc[VMIN] = 0;
		keys.c_cc[VTIME] = 0;
		::tcsetattr(STDIN_FILENO, TCSADRAIN, &keys);
	}
	print("\033[?1049h\033[?25l");
}

void screen::leave()
{
	print("\033[?25h\033[?1049l");
	std::fflush(stdout);
	if (m_keys)
		::tcsetattr(STDIN_FILENO, TCSADRAIN, &m_before);
}

void screen::show(const std::string &text)
{
	std::string picture = "\033[H";

	/* each line wipes what the last picture left behind it */
	for (const char c : fit_lines(text, terminal_height() - 1))
		picture +=
			c == '\n' ? std::string("\033[K\n") : std::string(1, c);
	print(picture + "\033[J");
	finish_output();
}

std::optional<char> screen::key()
{
	char pressed;
	const ssize_t n = ::read(STDIN_FILENO, &pressed, 1);

	if (n == 1)
		return pressed;
	return std::nullopt;
}

void screen::suspend()
{
	leave();
	::raise(SIGSTOP);
	enter();
}

} // namespace shmtool
