/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the files of the core library share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERNAL_HPP
#define SHM_KERNEL_INTERNAL_HPP

#include <shm_kernel/errors.hpp>
#include <shm_kernel/region.hpp>
#include <shm_kernel/region_info.hpp>

#include <linux/shm_kernel.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

namespace shm_kernel {

/* What a region_info is a snapshot of. */
struct region_info::impl
{
	impl() = default;
	explicit impl(const struct ::shm_kernel_info &kernel);

	struct ::shm_kernel_info raw = {};
	std::string name;
	std::array<std::byte, tag_size> tag = {};
};

namespace detail {

/* Calls @call again as long as a signal gets in the way. */
template <typename Call>
auto retry(Call call) noexcept
{
	auto result = call();

	while (result < 0 && errno == EINTR)
		result = call();
	return result;
}

/* Whether there is a descriptor at all. */
inline std::error_code check(int fd) noexcept
{
	return fd < 0 ? make_error_code(errc::empty_handle) : std::error_code();
}

/* The meaning of an errno of a region or of the control node. */
std::error_code region_error(int number) noexcept;

/* The same of an ioctl that the first version of the driver did not have. */
std::error_code request_error(int number) noexcept;

/* What the descriptor of a region file or of an event file may do. */
access_mode access_of(int fd, std::error_code &error) noexcept;

/* The name as the kernel wants it, or the reason why it cannot be one. */
std::string_view checked_name(std::string_view name,
			      std::error_code &error) noexcept;

/* Hostile bytes as \xNN. */
std::string printable(std::string_view bytes);

/* For messages: <what> "<name>". */
std::string about(const char *what, std::string_view name);

void throw_if(const std::error_code &error, const char *what);
void throw_if(const std::error_code &error, const char *what,
	      std::string_view name);

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERNAL_HPP */
