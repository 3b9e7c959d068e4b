// SPDX-License-Identifier: BSL-1.0
/*
 * Hostile text made printable
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "escape.hpp"

#include <langinfo.h>
#include <wchar.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace shmtool {
namespace {

constexpr char hex_digits[] = "0123456789abcdef";

/*
 * The length of the well-formed UTF-8 sequence at the start of @text, with its
 * code point in *code; 0 if there is none.
 */
std::size_t decode(std::string_view text, std::uint32_t *code)
{
	const auto byte = [&](std::size_t i) {
		return static_cast<unsigned char>(text[i]);
	};
	const unsigned char first = byte(0);
	std::size_t length;
	std::uint32_t value;
	std::uint32_t lowest;

	if (first < 0x80) {
		*code = first;
		return 1;
	}
	if (first >= 0xc2 && first <= 0xdf) {
		length = 2;
		value = first & 0x1fU;
		lowest = 0x80;
	} else if (first >= 0xe0 && first <= 0xef) {
		length = 3;
		value = first & 0x0fU;
		lowest = 0x800;
	} else if (first >= 0xf0 && first <= 0xf4) {
		length = 4;
		value = first & 0x07U;
		lowest = 0x10000;
	} else {
		return 0;
	}

	if (text.size() < length)
		return 0;
	for (std::size_t i = 1; i < length; i++) {
		if ((byte(i) & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (byte(i) & 0x3fU);
	}
	if (value < lowest || value > 0x10ffff ||
	    (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*code = value;
	return length;
}

/*
 * What changes the text around it or cannot be seen: C1 controls, joiners and
 * direction marks, line separators, the byte order mark, variation selectors,
 * tags, private use and noncharacters.
 */
bool deceptive(std::uint32_t code)
{
	return (code >= 0x80 && code <= 0xa0) || code == 0xad ||
	       code == 0x61c || code == 0x115f || code == 0x1160 ||
	       code == 0x17b4 || code == 0x17b5 ||
	       (code >= 0x180b && code <= 0x180f) ||
	       (code >= 0x2000 && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202f) ||
	       (code >= 0x205f && code <= 0x206f) || code == 0x2800 ||
	       code == 0x3000 || code == 0x3164 || code == 0xffa0 ||
	       (code >= 0xe000 && code <= 0xf8ff) ||
	       (code >= 0xfdd0 && code <= 0xfdef) ||
	       (code >= 0xfe00 && code <= 0xfe0f) || code == 0xfeff ||
	       (code >= 0xfff0 && code <= 0xfffb) ||
	       (code & 0xfffe) == 0xfffe || code >= 0xe0000;
}

void append_hex_escape(std::string &out, unsigned char byte)
{
	out += "\\x";
	out += hex_digits[byte >> 4];
	out += hex_digits[byte & 15];
}

bool escape_ascii(std::string &out, char c)
{
	switch (c) {
	case '\\':
		out += "\\\\";
		return true;
	case '\'':
		out += "\\'";
		return true;
	case '\n':
		out += "\\n";
		return true;
	case '\t':
		out += "\\t";
		return true;
	case '\r':
		out += "\\r";
		return true;
	default:
		if (c >= 0x20 && c < 0x7f)
			return false;
		append_hex_escape(out, static_cast<unsigned char>(c));
		return true;
	}
}

struct glyph
{
	std::size_t start;
	std::size_t length;
	std::size_t width;
};

std::vector<glyph> split_glyphs(std::string_view text)
{
	std::vector<glyph> glyphs;
	std::size_t pos = 0;

	while (pos < text.size()) {
		std::uint32_t code = 0;
		std::size_t length = decode(text.substr(pos), &code);
		int width = 1;

		if (!length)
			length = 1;
		else if (code >= 0x80)
			width = ::wcwidth(static_cast<wchar_t>(code));
		glyphs.push_back(
			{pos, length,
			 width < 0 ? 1 : static_cast<std::size_t>(width)});
		pos += length;
	}
	return glyphs;
}

} // namespace

bool is_utf8(std::string_view text)
{
	while (!text.empty()) {
		std::uint32_t code;
		const std::size_t length = decode(text, &code);

		if (!length)
			return false;
		text.remove_prefix(length);
	}
	return true;
}

std::string escape(std::string_view text, bool unicode)
{
	std::string out;
	std::size_t pos = 0;

	while (pos < text.size()) {
		const char c = text[pos];
		std::uint32_t code = 0;

		if (static_cast<unsigned char>(c) < 0x80) {
			const bool at_an_end =
				pos == 0 || pos + 1 == text.size();

			if (c == ' ' && at_an_end)
				append_hex_escape(out, ' ');
			else if (!escape_ascii(out, c))
				out += c;
			pos++;
			continue;
		}

		const std::size_t length = decode(text.substr(pos), &code);
		if (length && unicode && !deceptive(code) &&
		    ::wcwidth(static_cast<wchar_t>(code)) > 0) {
			out += text.substr(pos, length);
			pos += length;
			continue;
		}
		append_hex_escape(out, static_cast<unsigned char>(c));
		pos++;
	}
	return out;
}

bool locale_is_utf8()
{
	return std::string_view(::nl_langinfo(CODESET)) == "UTF-8";
}

std::string printable(std::string_view text)
{
	return escape(text, locale_is_utf8());
}

std::string shell_word(std::string_view text)
{
	static constexpr std::string_view plain =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"_./:,+@%-";
	const std::string shown = printable(text);
	const auto safe = [](char c) {
		return static_cast<unsigned char>(c) >= 0x80 ||
		       plain.find(c) != std::string_view::npos;
	};

	if (!text.empty() && std::all_of(shown.begin(), shown.end(), safe))
		return shown;
	return "$'" + shown + "'";
}

std::size_t display_width(std::string_view text)
{
	std::size_t width = 0;

	for (const glyph &g : split_glyphs(text))
		width += g.width;
	return width;
}

std::string shorten(std::string_view text, std::size_t width)
{
	const bool utf8 = locale_is_utf8();
	const std::string_view ellipsis = utf8 ? "\u2026" : "~";
	const std::vector<glyph> glyphs = split_glyphs(text);
	std::size_t total = 0;

	for (const glyph &g : glyphs)
		total += g.width;
	if (total <= width || width < 3)
		return std::string(text);

	/* names of one family differ at their ends: keep both */
	const std::size_t tail_room = (width - 1) / 3;
	const std::size_t head_room = width - 1 - tail_room;
	std::size_t head = 0;
	std::size_t tail = text.size();
	std::size_t used = 0;

	for (const glyph &g : glyphs) {
		if (used + g.width > head_room)
			break;
		used += g.width;
		head = g.start + g.length;
	}
	used = 0;
	for (auto g = glyphs.rbegin(); g != glyphs.rend(); ++g) {
		if (used + g->width > tail_room)
			break;
		used += g->width;
		tail = g->start;
	}
	return std::string(text.substr(0, head))
		.append(ellipsis)
		.append(text.substr(tail));
}

std::string to_hex(std::string_view bytes)
{
	std::string out;

	out.reserve(bytes.size() * 2);
	for (const char c : bytes) {
		out += hex_digits[static_cast<unsigned char>(c) >> 4];
		out += hex_digits[static_cast<unsigned char>(c) & 15];
	}
	return out;
}

std::string to_base64(std::string_view bytes)
{
	static constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghi"
					   "jklmnopqrstuvwxyz0123456789+/";
	std::string out;

	out.reserve((bytes.size() + 2) / 3 * 4);
	for (std::size_t i = 0; i < bytes.size(); i += 3) {
		const std::size_t n =
			bytes.size() - i < 3 ? bytes.size() - i : 3;
		std::uint32_t group = 0;

		for (std::size_t j = 0; j < 3; j++)
			group = group << 8 |
				(j < n ? static_cast<unsigned char>(
						 bytes[i + j])
				       : 0U);
		for (std::size_t j = 0; j < 4; j++)
			out += j <= n ? alphabet[group >> (18 - 6 * j) & 63]
				      : '=';
	}
	return out;
}

} // namespace shmtool
