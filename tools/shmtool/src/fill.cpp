// SPDX-License-Identifier: BSL-1.0
/*
 * Bytes from somewhere into a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "fill.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "escape.hpp"
#include "progress.hpp"
#include "sizes.hpp"
#include "target.hpp"

namespace shmtool {
namespace {

constexpr std::size_t chunk = 1 << 20;

[[noreturn]] void fail_too_much(const char *verb, const std::string &operand,
				std::uint64_t room, std::uint64_t offset,
				std::optional<std::uint64_t> need)
{
	const std::string what = std::string(verb) + " " + shown(operand);
	const bool creating = std::string_view(verb) == "create";
	const std::string mend = creating ? "give a larger SIZE"
				 : need   ? "make it larger: shmtool resize " +
						  shell_word(operand) + " " +
						  std::to_string(offset + *need)
					: "make it larger: shmtool resize";

	if (need)
		throw failure(what,
			      format_size_exact(*need) +
				      " do not fit into the " +
				      format_size_exact(room) +
				      (offset ? " from there to its end"
					      : " that it has"),
			      mend);
	throw failure(what,
		      "it is full after " + format_size_exact(room) +
			      ", and there is more to write",
		      mend);
}

} // namespace

source source::of_bytes(std::string bytes)
{
	source result;

	result.m_size = bytes.size();
	result.m_bytes = std::move(bytes);
	return result;
}

source source::of_file(const std::string &path)
{
	source result;

	if (path == "-") {
		result.m_fd = STDIN_FILENO;
		result.m_shown = "standard input";
	} else {
		result.m_shown = "'" + printable(path) + "'";
		result.m_fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
		if (result.m_fd < 0)
			fail_errno(result.m_shown, errno);
		result.m_close = true;
	}

	struct stat status
	{
	};
	if (::fstat(result.m_fd, &status) != 0)
		fail_errno(result.m_shown, errno);
	if (S_ISDIR(status.st_mode))
		fail_errno(result.m_shown, EISDIR);

	/* files of /proc and /sys have a size of 0 and something to read */
	if (S_ISREG(status.st_mode) && status.st_size > 0) {
		const off_t position = ::lseek(result.m_fd, 0, SEEK_CUR);

		if (position >= 0)
			result.m_size = static_cast<std::uint64_t>(
				std::max<off_t>(status.st_size - position, 0));
	}
	return result;
}

source::source(source &&other) noexcept
	: m_bytes(std::move(other.m_bytes)), m_used(other.m_used),
	  m_shown(std::move(other.m_shown)),
	  m_fd(std::exchange(other.m_fd, -1)),
	  m_close(std::exchange(other.m_close, false)), m_size(other.m_size)
{
}

source::~source()
{
	if (m_close)
		::close(m_fd);
}

long source::read(void *buffer, std::size_t size)
{
	if (m_fd < 0) {
		const std::size_t n = std::min(size, m_bytes.size() - m_used);

		std::memcpy(buffer, m_bytes.data() + m_used, n);
		m_used += n;
		return static_cast<long>(n);
	}

	const ssize_t n = ::read(m_fd, buffer, size);
	if (n < 0 && errno != EINTR)
		fail_errno(m_shown, errno);
	return n;
}

std::uint64_t fill(const char *verb, const std::string &operand,
		   shm_kernel::region &region, std::uint64_t offset,
		   std::uint64_t room, source &from)
{
	std::vector<char> buffer(chunk);
	std::uint64_t done = 0;

	if (from.size() && *from.size() > room)
		fail_too_much(verb, operand, room, offset, from.size());

	progress bar(std::string(verb) + " " + shown(operand), from.size());
	while (true) {
		/* one byte more than fits tells whether there is more */
		const std::uint64_t left = room - done;
		const std::size_t want =
			static_cast<std::size_t>(std::min<std::uint64_t>(
				chunk, std::max<std::uint64_t>(left, 1)));
		const long n = from.read(buffer.data(), want);

		if (n == 0)
			break;
		if (n > 0 && !left)
			fail_too_much(verb, operand, room, offset,
				      std::nullopt);
		if (n > 0) {
			std::error_code error;

			done += region.write(offset + done, buffer.data(),
					     static_cast<std::size_t>(n),
					     error);
			if (error)
				fail_region(verb, operand, error);
		}
		bar.update(done);
	}
	bar.finish();
	return done;
}

} // namespace shmtool
