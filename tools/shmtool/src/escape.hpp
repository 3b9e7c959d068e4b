// SPDX-License-Identifier: BSL-1.0
/*
 * Hostile text made printable
 *
 * A region's name and tag are bytes that somebody else chose. Whatever shmtool
 * prints of them must neither move a cursor nor pretend to be another line.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_ESCAPE_HPP
#define SHMTOOL_ESCAPE_HPP

#include <cstddef>
#include <string>
#include <string_view>

namespace shmtool {

/* Well-formed UTF-8: no surrogates, no overlong forms, nothing past U+10FFFF.
 */
bool is_utf8(std::string_view text);

/*
 * C-style escapes, the ones that $'...' of a shell reads back: \n, \t, \\, \'
 * and \xHH, which always has two digits. Printable ASCII stays; other printable
 * characters stay if @unicode says that the reader's terminal has them.
 * A blank at either end is escaped as well, where it could not be seen.
 */
std::string escape(std::string_view text, bool unicode);

/* escape() for the terminal or pipe that this process writes to. */
std::string printable(std::string_view text);

/* A word for a shell: plain where that is safe, otherwise $'...'. */
std::string shell_word(std::string_view text);

/* Columns that @text, the result of escape(), takes on a terminal. */
std::size_t display_width(std::string_view text);

/* @text shortened to @width columns, the middle replaced by an ellipsis. */
std::string shorten(std::string_view text, std::size_t width);

/* Whether the locale's character set is UTF-8. */
bool locale_is_utf8();

std::string to_hex(std::string_view bytes);
std::string to_base64(std::string_view bytes);

} // namespace shmtool

#endif
