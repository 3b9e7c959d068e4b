/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What a new region shall be like
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_CREATE_OPTIONS_HPP
#define SHM_KERNEL_CREATE_OPTIONS_HPP

#include <shm_kernel/export.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace shm_kernel {

/** Bytes of a region's tag. */
inline constexpr std::size_t tag_size = 32;

/**
 * Describes a region for region::create().
 *
 *	auto options = shm_kernel::create_options{}
 *			       .set_name("frames")
 *			       .set_size(16 << 20)
 *			       .set_mode(0660);
 *
 * A value: it can be copied, kept and used for many regions. Nothing is
 * checked here but the length of the tag; the rest is told by create().
 */
class SHM_KERNEL_API create_options final
{
public:
	/** An unnamed region of 0 bytes with mode 0600. */
	create_options();
	create_options(const create_options &other);
	create_options &operator=(const create_options &other);
	~create_options();

	/**
	 * The name; empty for none. 1 to 255 bytes, any but '/' and NUL, not
	 * "." or ".."; one leading '/' is dropped, as for shm_open().
	 */
	create_options &set_name(std::string_view name);
	/** Size in bytes, exact to the byte; 0 is allowed. */
	create_options &set_size(std::uint64_t size);
	/** Permission bits, 0 to 0777. The umask is not applied. */
	create_options &set_mode(mode_t mode);
	/** Once named, the region stays until it is removed by name. */
	create_options &set_persistent(bool value = true);
	/** Physically consecutive memory; the size is then fixed. */
	create_options &set_contiguous(bool value = true);
	/** Nothing larger than single pages: no memory lost to rounding. */
	create_options &set_small_pages(bool value = true);
	/** Prefer the memory of one NUMA node. */
	create_options &set_numa_node(std::optional<int> node);
	/**
	 * Up to tag_size bytes for the creator's use, which everybody who sees
	 * the region can read; zero-filled. Throws std::length_error.
	 */
	create_options &set_tag(const void *bytes, std::size_t size);
	create_options &set_tag(std::string_view text);

	const std::string &name() const noexcept;
	std::uint64_t size() const noexcept;
	mode_t mode() const noexcept;
	bool persistent() const noexcept;
	bool contiguous() const noexcept;
	bool small_pages() const noexcept;
	std::optional<int> numa_node() const noexcept;
	/** The tag without its zero fill. */
	const std::string &tag() const noexcept;

private:
	struct impl;

	std::unique_ptr<impl> m_impl;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_CREATE_OPTIONS_HPP */
