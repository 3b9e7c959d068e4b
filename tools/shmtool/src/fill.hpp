// SPDX-License-Identifier: BSL-1.0
/*
 * Bytes from somewhere into a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_FILL_HPP
#define SHMTOOL_FILL_HPP

#include <cstdint>
#include <optional>
#include <string>

#include <shm_kernel/shm_kernel.hpp>

namespace shmtool {

/* Where the bytes come from: a string, a file, or standard input. */
class source
{
public:
	static source of_bytes(std::string bytes);
	/* "-" is standard input. Throws failure. */
	static source of_file(const std::string &path);

	source(source &&other) noexcept;
	source &operator=(source &&other) = delete;
	source(const source &) = delete;
	source &operator=(const source &) = delete;
	~source();

	/* Bytes to come, where that is known before they are read. */
	std::optional<std::uint64_t> size() const { return m_size; }

	/*
	 * Up to @size bytes; 0 at the end; -1 if a signal came first. Throws
	 * failure.
	 */
	long read(void *buffer, std::size_t size);

private:
	source() = default;

	std::string m_bytes;
	std::size_t m_used = 0;
	std::string m_shown;
	int m_fd = -1;
	bool m_close = false;
	std::optional<std::uint64_t> m_size;
};

/*
 * Copies all of @from to @region at @offset, where @room bytes are, and returns
 * how many they were. What does not fit is a failure: before anything is
 * written if the size is known, otherwise after the part that fits.
 */
std::uint64_t fill(const char *verb, const std::string &operand,
		   shm_kernel::region &region, std::uint64_t offset,
		   std::uint64_t room, source &from);

} // namespace shmtool

#endif
