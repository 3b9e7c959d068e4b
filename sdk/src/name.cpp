/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Names of regions: any bytes, so nobody may trust them
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "internal.hpp"

#include <string>
#include <string_view>

namespace shm_kernel::detail {

std::string_view checked_name(std::string_view name,
			      std::error_code &error) noexcept
{
	using namespace std::string_view_literals;

	if (!name.empty() && name.front() == '/')
		name.remove_prefix(1);
	if (name.size() > SHM_KERNEL_NAME_MAX)
		error = errc::name_too_long;
	else if (name.empty() || name == "."sv || name == ".."sv ||
		 name.find_first_of("/\0"sv) != name.npos)
		error = errc::invalid_name;
	else
		error.clear();
	return name;
}

std::string printable(std::string_view bytes)
{
	constexpr char digits[] = "0123456789abcdef";
	std::string text;

	text.reserve(bytes.size());
	for (const char byte : bytes) {
		const auto value = static_cast<unsigned char>(byte);

		if (value >= 0x20 && value < 0x7f && value != '\\') {
			text += byte;
		} else {
			text += "\\x";
			text += digits[value >> 4];
			text += digits[value & 15];
		}
	}
	return text;
}

} // namespace shm_kernel::detail
