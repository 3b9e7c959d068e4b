// SPDX-License-Identifier: BSL-1.0
/*
 * Bytes in the form of hexdump -C
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_HEXDUMP_HPP
#define SHMTOOL_HEXDUMP_HPP

#include <cstdint>
#include <string>
#include <string_view>

namespace shmtool {

/*
 * Takes bytes in pieces of any size and gives lines back. Lines that repeat
 * the one before become one "*"; the last line is the end's offset.
 */
class hexdump
{
public:
	explicit hexdump(std::uint64_t offset, bool squeeze = true);

	/* The lines that @bytes complete. */
	std::string feed(std::string_view bytes);

	/* What is left, and the offset of the end; empty if there was nothing.
	 */
	std::string finish();

private:
	static constexpr std::size_t line_bytes = 16;

	void add_line(std::string &out, std::string_view bytes);

	std::uint64_t m_offset;
	bool m_squeeze;
	bool m_any = false;
	bool m_starred = false;
	std::string m_partial;
	std::string m_last;
};

} // namespace shmtool

#endif
