/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A region in the address space of this process
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/mapping.hpp>

#include "internal.hpp"

#include <cerrno>
#include <limits>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

namespace shm_kernel {

namespace {

/* Bytes from the page's start to @value. */
std::size_t in_page(std::uintptr_t value) noexcept
{
	static const auto page =
		static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));

	return value & (page - 1);
}

} // namespace

mapping::mapping(const region &source, map_mode mode, std::uint64_t offset,
		 std::size_t size, std::error_code &error) noexcept
{
	error.clear();
	if (!size) {
		const std::uint64_t end = source.size(error);

		if (error)
			return;
		if (offset >= end) {
			error = errc::past_end;
			return;
		}
		if (end - offset > std::numeric_limits<std::size_t>::max()) {
			error = errc::no_memory;
			return;
		}
		size = static_cast<std::size_t>(end - offset);
	} else if (!source) {
		error = errc::empty_handle;
		return;
	}

	const std::size_t skip = in_page(static_cast<std::uintptr_t>(offset));
	const int protection = mode == map_mode::read_only
				       ? PROT_READ
				       : PROT_READ | PROT_WRITE;
	const int flags =
		mode == map_mode::copy_on_write ? MAP_PRIVATE : MAP_SHARED;

	if (size > std::numeric_limits<std::size_t>::max() - skip) {
		error = errc::no_memory;
		return;
	}

	void *const start = ::mmap(nullptr, size + skip, protection, flags,
				   source.native_handle(),
				   static_cast<off_t>(offset - skip));

	if (start == MAP_FAILED) {
		/* Nothing else forbids a mapping without PROT_EXEC. */
		if (errno == EPERM)
			error = errc::sealed;
		else
			error = detail::region_error(errno);
		return;
	}
	m_data = static_cast<char *>(start) + skip;
	m_size = size;
}

mapping::mapping(const region &source, map_mode mode, std::uint64_t offset,
		 std::size_t size)
{
	std::error_code error;

	mapping(source, mode, offset, size, error).swap(*this);
	detail::throw_if(error, "map region");
}

mapping::mapping(mapping &&other) noexcept
{
	swap(other);
}

mapping &mapping::operator=(mapping &&other) noexcept
{
	mapping(std::move(other)).swap(*this);
	return *this;
}

mapping::~mapping()
{
	unmap();
}

void mapping::unmap() noexcept
{
	if (m_data) {
		const std::size_t skip =
			in_page(reinterpret_cast<std::uintptr_t>(m_data));

		::munmap(static_cast<char *>(m_data) - skip, m_size + skip);
	}
	m_data = nullptr;
	m_size = 0;
}

void mapping::swap(mapping &other) noexcept
{
	std::swap(m_data, other.m_data);
	std::swap(m_size, other.m_size);
}

} // namespace shm_kernel
