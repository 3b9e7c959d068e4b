/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What a new managed segment shall be like
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_SEGMENT_OPTIONS_HPP
#define SHM_KERNEL_INTERPROCESS_SEGMENT_OPTIONS_HPP

#include <shm_kernel/create_options.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace shm_kernel {

/**
 * Describes a segment for basic_managed_kernel_memory, beyond the arguments
 * that Boost has for it.
 *
 *	shm_kernel::managed_kernel_memory segment(
 *		bip::create_only, shm_kernel::segment_options{}
 *					  .set_name("frames")
 *					  .set_size(1 << 20)
 *					  .set_max_size(1 << 30));
 *
 * A value: it can be copied, kept and used for many segments. Nothing is
 * checked here; the constructor of the segment tells.
 */
class segment_options final
{
public:
	/** An unnamed segment of 0 bytes, which is too small, mode 0600. */
	segment_options() = default;

	/** The name, as in create_options::set_name(); empty for none. */
	segment_options &set_name(std::string_view name)
	{
		m_region.set_name(name);
		return *this;
	}

	/** Bytes of the region, bookkeeping included. */
	segment_options &set_size(std::uint64_t size)
	{
		m_region.set_size(size);
		return *this;
	}

	/**
	 * Bytes of address space that everybody reserves, for grow_online();
	 * costs no memory. The size if it is less than that.
	 */
	segment_options &set_max_size(std::uint64_t size)
	{
		m_max_size = size;
		return *this;
	}

	/** Permission bits, 0 to 0777. The umask is not applied. */
	segment_options &set_mode(mode_t mode)
	{
		m_region.set_mode(mode);
		return *this;
	}

	/** Once named, it stays until removed; else as the class has it. */
	segment_options &set_persistent(bool value = true)
	{
		m_persistent = value;
		return *this;
	}

	/** Physically consecutive memory; the size is then fixed. */
	segment_options &set_contiguous(bool value = true)
	{
		m_region.set_contiguous(value);
		return *this;
	}

	/** Nothing larger than single pages: no memory lost to rounding. */
	segment_options &set_small_pages(bool value = true)
	{
		m_region.set_small_pages(value);
		return *this;
	}

	/** Prefer the memory of one NUMA node. */
	segment_options &set_numa_node(std::optional<int> node)
	{
		m_region.set_numa_node(node);
		return *this;
	}

	/** Where to map it in the creator; nullptr for anywhere. */
	segment_options &set_address(const void *address)
	{
		m_address = address;
		return *this;
	}

	/**
	 * Fill the creator's page table at once, so that no first access is
	 * slower than the next. (The memory itself always is there.)
	 */
	segment_options &set_populate(bool value = true)
	{
		m_populate = value;
		return *this;
	}

	const std::string &name() const noexcept { return m_region.name(); }
	std::uint64_t size() const noexcept { return m_region.size(); }
	std::uint64_t max_size() const noexcept
	{
		return m_max_size < size() ? size() : m_max_size;
	}
	mode_t mode() const noexcept { return m_region.mode(); }
	/** Nothing where the class decides. */
	std::optional<bool> persistent() const noexcept { return m_persistent; }
	bool contiguous() const noexcept { return m_region.contiguous(); }
	bool small_pages() const noexcept { return m_region.small_pages(); }
	std::optional<int> numa_node() const noexcept
	{
		return m_region.numa_node();
	}
	const void *address() const noexcept { return m_address; }
	bool populate() const noexcept { return m_populate; }

	/** What concerns the region alone, persistence excepted. */
	const create_options &region_options() const noexcept
	{
		return m_region;
	}

private:
	create_options m_region;
	std::uint64_t m_max_size = 0;
	const void *m_address = nullptr;
	std::optional<bool> m_persistent;
	bool m_populate = false;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_SEGMENT_OPTIONS_HPP */
