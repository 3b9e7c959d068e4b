// SPDX-License-Identifier: BSL-1.0
/*
 * A region's properties in words and in JSON
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHMTOOL_SHOW_HPP
#define SHMTOOL_SHOW_HPP

#include <string>
#include <string_view>

#include <shm_kernel/shm_kernel.hpp>

#include "output.hpp"

namespace shmtool {

/* "persist contig"; empty if nothing is special about it. */
std::string flag_words(const shm_kernel::region_info &info);

/* The tag as text: without the zeros that fill it. */
std::string tag_text(const shm_kernel::region_info &info);

/*
 * Puts @key: @bytes into @object. Bytes that are no UTF-8 go in escaped, with
 * the exact ones in hexadecimal as "<key>_hex" beside them.
 */
void put_bytes(json &object, const std::string &key, std::string_view bytes);

/* The node of a boot region; empty for others. */
std::string node_path(const shm_kernel::region_info &info);

json region_json(const shm_kernel::region_info &info);

/* The lines of `shmtool info`. */
std::string region_text(const shm_kernel::region_info &info);

} // namespace shmtool

#endif
