// SPDX-License-Identifier: BSL-1.0
/*
 * Sizes and offsets as people write and read them
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_SIZES_HPP
#define SHMTOOL_SIZES_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shmtool {

/*
 * A count of bytes: "4096", "0x1000", "64K" = "64KiB" = 65536, "64KB" = 64000,
 * "1.5M". The value must be a whole number of bytes and fit into 63 bits, as
 * an off_t does. On failure *why gets the reason.
 */
std::optional<std::uint64_t> parse_size(std::string_view text,
					std::string *why = nullptr);

/*
 * For people: "4 KiB" is exactly that, "1.2 MiB" is rounded, and small sizes
 * that are no multiple of a unit stay in bytes, because the last byte matters.
 */
std::string format_size(std::uint64_t bytes);

/* "1 MiB (1048576 bytes)", or only "100 bytes" where there is no other form. */
std::string format_size_exact(std::uint64_t bytes);

/* "0%", "<1%", "42%", "100%": the ends are said only when they are true. */
std::string format_part(std::uint64_t part, std::uint64_t whole);

} // namespace shmtool

#endif
