/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What is known about a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_REGION_INFO_HPP
#define SHM_KERNEL_REGION_INFO_HPP

#include <shm_kernel/create_options.hpp>
#include <shm_kernel/export.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>

#include <sys/types.h>

namespace shm_kernel {

/** What works on the memory of a region. */
enum class capability {
	/** Process-shared mutexes, conditions, semaphores, futexes. */
	futex,
	/** O_DIRECT, io_uring fixed buffers, process_vm_readv(). */
	pin,
	/** Some of it can be mapped by huge pages. */
	huge_map,
	/** The page frames are consecutive. */
	contiguous,
	/** region::resize() may change the size. */
	resize,
	/** The kernel has it mapped just now, and it keeps its size. */
	kernel_mapped,
};

/**
 * What nobody can do to a region any more: a set, with the operators of one.
 * Seals are added by region::add_seals() and never go.
 */
enum class seal : std::uint32_t {
	none = 0,
	/** Add further seals. */
	seal = 1,
	/** Make it smaller. */
	shrink = 2,
	/** Make it larger. */
	grow = 4,
	/** Change what is in it; nobody can who could before. */
	write = 8,
	/** Change what is in it, but for those who have it mapped. */
	future_write = 16,
};

constexpr seal operator|(seal a, seal b) noexcept
{
	return static_cast<seal>(static_cast<std::uint32_t>(a) |
				 static_cast<std::uint32_t>(b));
}

constexpr seal operator&(seal a, seal b) noexcept
{
	return static_cast<seal>(static_cast<std::uint32_t>(a) &
				 static_cast<std::uint32_t>(b));
}

constexpr seal &operator|=(seal &a, seal b) noexcept
{
	return a = a | b;
}

constexpr seal &operator&=(seal &a, seal b) noexcept
{
	return a = a & b;
}

/**
 * A snapshot of a region at one moment, from region::info() or
 * region::list(). It keeps nothing alive and does not change afterwards;
 * copies share it.
 */
class SHM_KERNEL_API region_info final
{
public:
	/** A snapshot of nothing: id 0, size 0, no name. */
	region_info() noexcept;
	region_info(const region_info &other) noexcept;
	region_info &operator=(const region_info &other) noexcept;
	~region_info();

	/** Identifies the region; never used again while the driver lives. */
	std::uint64_t id() const noexcept;
	/** Size in bytes. */
	std::uint64_t size() const noexcept;
	/** Bytes of memory that it holds: the size, rounded up to pages. */
	std::uint64_t allocated() const noexcept;
	/** Permission bits, 0 to 0777. */
	mode_t mode() const noexcept;
	/** Owner and group, as seen from the caller's user namespace. */
	uid_t uid() const noexcept;
	gid_t gid() const noexcept;
	/** Open files of the region, and memory mappings of it. */
	unsigned int files() const noexcept;
	unsigned int mappings() const noexcept;
	/** Open event files and attached kernel clients; the latter alone. */
	unsigned int peers() const noexcept;
	unsigned int clients() const noexcept;
	/** How often its doorbell was rung. */
	std::uint64_t rings() const noexcept;
	/** The NUMA node asked for at creation. */
	std::optional<int> numa_node() const noexcept;

	bool named() const noexcept;
	/** The exact bytes of the name; empty for an unnamed region. */
	const std::string &name() const noexcept;
	/** The name with what is not printable ASCII, and '\\', as \xNN. */
	std::string printable_name() const;
	const std::array<std::byte, tag_size> &tag() const noexcept;

	/** The name stays until it is removed. */
	bool persistent() const noexcept;
	bool contiguous() const noexcept;
	bool small_pages() const noexcept;
	/** Made with the driver: fixed size and name, has a device node. */
	bool boot() const noexcept;
	/** It had a name, which is gone. */
	bool removed() const noexcept;
	bool revoked() const noexcept;
	bool has(capability what) const noexcept;

	seal seals() const noexcept;
	/** Whether it has all of these. */
	bool has(seal what) const noexcept;

private:
	friend class region;
	struct impl;

	explicit region_info(std::shared_ptr<const impl> state) noexcept;

	std::shared_ptr<const impl> m_impl;
};

/** One line for logs, names escaped. */
SHM_KERNEL_API std::ostream &operator<<(std::ostream &out,
					const region_info &info);

} // namespace shm_kernel

#endif /* SHM_KERNEL_REGION_INFO_HPP */
