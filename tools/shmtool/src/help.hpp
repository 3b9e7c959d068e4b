// SPDX-License-Identifier: BSL-1.0
/*
 * The help in its forms, all made from the tables of commands
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_HELP_HPP
#define SHMTOOL_HELP_HPP

#include <cstddef>
#include <string>

#include "command.hpp"

namespace shmtool {

std::string general_help(std::size_t width);
std::string command_help(const command &cmd, std::size_t width);

/* shmtool(1) as roff. */
std::string manual_page();

/* What the completion needs: the commands, or one command's options. */
std::string command_words();
std::string option_words(const command &cmd);

/* "did you mean ...?" for a word that is no command, or an empty string. */
std::string suggest_command(const std::string &word);

} // namespace shmtool

#endif
