// SPDX-License-Identifier: BSL-1.0
/*
 * A ring and its records in words and in JSON
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_RING_TEXT_HPP
#define SHMTOOL_RING_TEXT_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <shm_kernel/shm_kernel.hpp>

#include "output.hpp"

namespace shmtool {

/* What `shmtool ring REGION` shows. */
std::string ring_text(const shm_kernel::ring_info &ring, std::uint64_t offset,
		      std::size_t width);

json ring_json(const shm_kernel::ring_info &ring, std::uint64_t offset);

enum class record_format { text, hex, raw, object };

/* Nothing if @word is no format. */
std::optional<record_format> parse_format(const std::string &word);

/* A record as it is printed; @lane is nothing where that is not to be said. */
std::string record_text(record_format format, std::optional<std::uint32_t> lane,
			std::string_view payload);

} // namespace shmtool

#endif
