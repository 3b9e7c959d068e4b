// SPDX-License-Identifier: BSL-1.0
/*
 * Bytes in the form of hexdump -C
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "hexdump.hpp"

#include <algorithm>
#include <cstdio>

namespace shmtool {
namespace {

std::string offset_text(std::uint64_t offset)
{
	char text[24];

	std::snprintf(text, sizeof(text), "%08llx",
		      static_cast<unsigned long long>(offset));
	return text;
}

} // namespace

hexdump::hexdump(std::uint64_t offset, bool squeeze)
	: m_offset(offset), m_squeeze(squeeze)
{
}

void hexdump::add_line(std::string &out, std::string_view bytes)
{
	static constexpr char digits[] = "0123456789abcdef";

	/* a short line is the last one, and always shown */
	if (m_squeeze && m_any && bytes.size() == line_bytes &&
	    bytes == m_last) {
		if (!m_starred)
			out += "*\n";
		m_starred = true;
		m_offset += bytes.size();
		return;
	}

	out += offset_text(m_offset);
	out += ' ';
	for (std::size_t i = 0; i < line_bytes; i++) {
		if (i == line_bytes / 2)
			out += ' ';
		if (i < bytes.size()) {
			const auto byte = static_cast<unsigned char>(bytes[i]);

			out += ' ';
			out += digits[byte >> 4];
			out += digits[byte & 15];
		} else {
			out += "   ";
		}
	}
	out += "  |";
	for (const char c : bytes)
		out += c >= 0x20 && c < 0x7f ? c : '.';
	out += "|\n";

	m_last.assign(bytes);
	m_any = true;
	m_starred = false;
	m_offset += bytes.size();
}

std::string hexdump::feed(std::string_view bytes)
{
	std::string out;

	if (!m_partial.empty()) {
		const std::size_t n =
			std::min(line_bytes - m_partial.size(), bytes.size());

		m_partial.append(bytes.substr(0, n));
		bytes.remove_prefix(n);
		if (m_partial.size() < line_bytes)
			return out;
		add_line(out, m_partial);
		m_partial.clear();
	}
	for (; bytes.size() >= line_bytes; bytes.remove_prefix(line_bytes))
		add_line(out, bytes.substr(0, line_bytes));
	m_partial.assign(bytes);
	return out;
}

std::string hexdump::finish()
{
	std::string out;

	if (!m_partial.empty())
		add_line(out, m_partial);
	m_partial.clear();
	if (m_any)
		out += offset_text(m_offset) + "\n";
	return out;
}

} // namespace shmtool
