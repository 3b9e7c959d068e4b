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

struct seal_word
{
	shm_kernel::seal value;
	const char *word;
	const char *meaning;
};

inline constexpr seal_word seal_table[] = {
	{shm_kernel::seal::shrink, "shrink", "the size cannot become smaller"},
	{shm_kernel::seal::grow, "grow", "the size cannot become larger"},
	{shm_kernel::seal::write, "write", "nobody can change the content"},
	{shm_kernel::seal::future_write, "future-write",
	 "only who has it mapped can change the content"},
	{shm_kernel::seal::seal, "seal", "no further seals"},
};

/* "shrink grow"; empty if it has none. */
std::string seal_words(const shm_kernel::region_info &info);
/* A line for each: the word and what it means. */
std::string seals_text(const shm_kernel::region_info &info);
json seals_json(const shm_kernel::region_info &info);

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
