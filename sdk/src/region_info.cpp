/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What is known about a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/region_info.hpp>

#include "internal.hpp"

#include <algorithm>
#include <cstring>
#include <ostream>
#include <utility>

namespace shm_kernel {

static_assert(tag_size == SHM_KERNEL_TAG_SIZE);
static_assert(static_cast<__u32>(seal::seal) == SHM_KERNEL_SEAL_SEAL);
static_assert(static_cast<__u32>(seal::shrink) == SHM_KERNEL_SEAL_SHRINK);
static_assert(static_cast<__u32>(seal::grow) == SHM_KERNEL_SEAL_GROW);
static_assert(static_cast<__u32>(seal::write) == SHM_KERNEL_SEAL_WRITE);
static_assert(static_cast<__u32>(seal::future_write) ==
	      SHM_KERNEL_SEAL_FUTURE_WRITE);

region_info::impl::impl(const struct ::shm_kernel_info &kernel)
	: raw(kernel),
	  name(kernel.name,
	       std::min<std::size_t>(kernel.name_len, SHM_KERNEL_NAME_MAX))
{
	std::memcpy(tag.data(), kernel.tag, tag.size());
}

region_info::region_info() noexcept
{
	/* Not an allocation each: the constructor must not throw. */
	static const impl nothing;

	m_impl = std::shared_ptr<const impl>(std::shared_ptr<const impl>(),
					     &nothing);
}

region_info::region_info(const region_info &other) noexcept = default;
region_info &
region_info::operator=(const region_info &other) noexcept = default;
region_info::~region_info() = default;

region_info::region_info(std::shared_ptr<const impl> state) noexcept
	: m_impl(std::move(state))
{
}

std::uint64_t region_info::id() const noexcept
{
	return m_impl->raw.id;
}

std::uint64_t region_info::size() const noexcept
{
	return m_impl->raw.length;
}

std::uint64_t region_info::allocated() const noexcept
{
	return m_impl->raw.allocated;
}

mode_t region_info::mode() const noexcept
{
	return m_impl->raw.mode;
}

uid_t region_info::uid() const noexcept
{
	return m_impl->raw.uid;
}

gid_t region_info::gid() const noexcept
{
	return m_impl->raw.gid;
}

unsigned int region_info::files() const noexcept
{
	return m_impl->raw.files;
}

unsigned int region_info::mappings() const noexcept
{
	return m_impl->raw.mappings;
}

unsigned int region_info::peers() const noexcept
{
	return m_impl->raw.peers;
}

unsigned int region_info::clients() const noexcept
{
	return m_impl->raw.clients;
}

std::uint64_t region_info::rings() const noexcept
{
	return m_impl->raw.rings;
}

std::optional<int> region_info::numa_node() const noexcept
{
	if (!(m_impl->raw.flags & SHM_KERNEL_INFO_NODE))
		return std::nullopt;
	return m_impl->raw.numa_node;
}

bool region_info::named() const noexcept
{
	return !m_impl->name.empty();
}

const std::string &region_info::name() const noexcept
{
	return m_impl->name;
}

std::string region_info::printable_name() const
{
	return detail::printable(m_impl->name);
}

const std::array<std::byte, tag_size> &region_info::tag() const noexcept
{
	return m_impl->tag;
}

bool region_info::persistent() const noexcept
{
	return m_impl->raw.flags & SHM_KERNEL_INFO_PERSIST;
}

bool region_info::contiguous() const noexcept
{
	return m_impl->raw.flags & SHM_KERNEL_INFO_CONTIG;
}

bool region_info::small_pages() const noexcept
{
	return m_impl->raw.flags & SHM_KERNEL_INFO_SMALL;
}

bool region_info::boot() const noexcept
{
	return m_impl->raw.flags & SHM_KERNEL_INFO_BOOT;
}

bool region_info::removed() const noexcept
{
	return m_impl->raw.flags & SHM_KERNEL_INFO_REMOVED;
}

bool region_info::revoked() const noexcept
{
	return m_impl->raw.flags & SHM_KERNEL_INFO_REVOKED;
}

bool region_info::has(capability what) const noexcept
{
	switch (what) {
	case capability::futex:
		return m_impl->raw.capabilities & SHM_KERNEL_CAP_FUTEX;
	case capability::pin:
		return m_impl->raw.capabilities & SHM_KERNEL_CAP_GUP;
	case capability::huge_map:
		return m_impl->raw.capabilities & SHM_KERNEL_CAP_PMD;
	case capability::contiguous:
		return m_impl->raw.capabilities & SHM_KERNEL_CAP_CONTIG;
	case capability::resize:
		return m_impl->raw.capabilities & SHM_KERNEL_CAP_RESIZE;
	case capability::kernel_mapped:
		return m_impl->raw.capabilities & SHM_KERNEL_CAP_KERNEL_MAPPED;
	}
	return false;
}

seal region_info::seals() const noexcept
{
	return static_cast<seal>(m_impl->raw.seals);
}

bool region_info::has(seal what) const noexcept
{
	return (seals() & what) == what;
}

std::ostream &operator<<(std::ostream &out, const region_info &info)
{
	/* One piece: what the stream is set to (hex, width) is for others. */
	std::string text = "region " + std::to_string(info.id());

	if (info.named())
		text += " \"" + info.printable_name() + '"';
	text += ": " + std::to_string(info.size()) + " bytes, " +
		std::to_string(info.files()) + " files, " +
		std::to_string(info.mappings()) + " mappings";
	if (info.peers())
		text += ", " + std::to_string(info.peers()) + " peers";
	if (info.persistent())
		text += ", persistent";
	if (info.contiguous())
		text += ", contiguous";
	if (info.boot())
		text += ", boot";
	if (info.has(capability::kernel_mapped))
		text += ", mapped by the kernel";
	if (info.has(seal::shrink))
		text += ", shrink sealed";
	if (info.has(seal::grow))
		text += ", grow sealed";
	if (info.has(seal::write))
		text += ", write sealed";
	if (info.has(seal::future_write))
		text += ", future_write sealed";
	if (info.has(seal::seal))
		text += ", seals sealed";
	if (info.removed())
		text += ", removed";
	if (info.revoked())
		text += ", revoked";
	return out << text;
}

} // namespace shm_kernel
