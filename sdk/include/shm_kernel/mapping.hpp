/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A region in the address space of this process
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_MAPPING_HPP
#define SHM_KERNEL_MAPPING_HPP

#include <shm_kernel/errors.hpp>
#include <shm_kernel/export.hpp>
#include <shm_kernel/region.hpp>

#include <cstddef>
#include <cstdint>
#include <system_error>

namespace shm_kernel {

enum class map_mode {
	/** Sees the region; a store is SIGSEGV. */
	read_only,
	/** Shares the region; needs a read_write handle. */
	read_write,
	/** Stores are for this process alone; a read_only handle will do. */
	copy_on_write,
};

/**
 * Memory of a region, mapped. Move-only; the destructor unmaps.
 *
 * A mapping needs the region's handle only while it is made, and keeps the
 * region, its name and its content alive afterwards.
 */
class SHM_KERNEL_API mapping final
{
public:
	/** Maps nothing. */
	mapping() noexcept = default;

	/**
	 * Maps @a size bytes from @a offset on, which need not be aligned. Size
	 * 0 is the rest of the region. It may reach past the end of a region
	 * whose size can change: room to grow into, SIGBUS until then.
	 */
	explicit mapping(const region &source,
			 map_mode mode = map_mode::read_write,
			 std::uint64_t offset = 0, std::size_t size = 0);
	mapping(const region &source, map_mode mode, std::uint64_t offset,
		std::size_t size, std::error_code &error) noexcept;

	mapping(mapping &&other) noexcept;
	mapping &operator=(mapping &&other) noexcept;
	mapping(const mapping &) = delete;
	mapping &operator=(const mapping &) = delete;
	~mapping();

	/** First byte, nullptr when nothing is mapped. */
	void *data() const noexcept { return m_data; }
	/** Bytes, as asked for. */
	std::size_t size() const noexcept { return m_size; }

	/** Ends the mapping. */
	void unmap() noexcept;

	explicit operator bool() const noexcept { return m_data != nullptr; }

	void swap(mapping &other) noexcept;
	friend void swap(mapping &a, mapping &b) noexcept { a.swap(b); }

private:
	void *m_data = nullptr;
	std::size_t m_size = 0;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_MAPPING_HPP */
