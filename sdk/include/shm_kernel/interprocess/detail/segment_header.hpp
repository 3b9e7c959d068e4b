/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What precedes Boost's segment manager in the region of a segment
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_SEGMENT_HEADER_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_SEGMENT_HEADER_HPP

#include <shm_kernel/interprocess/detail/layout_stamp.hpp>

#include <boost/interprocess/segment_manager.hpp>
#include <boost/version.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace shm_kernel {
namespace detail {

/** Written before the segment is published, and never again. */
struct segment_facts
{
	static constexpr std::uint64_t expected_magic = 0x746e656d676573;

	/** Tells a segment from one whose region was cleared. */
	std::uint64_t magic = 0;
	/** Where its creator has it mapped; means something for raw pointers. */
	std::uint64_t address = 0;
	/** Bytes from the region's start to robust mutexes; 0: there is none. */
	std::uint32_t allocator_mutex = 0;
	std::uint32_t index_mutex = 0;
	/** The same for indexes that can be read without a lock. */
	std::uint32_t named_index = 0;
	std::uint32_t unique_index = 0;
};

static_assert(std::is_trivially_copyable_v<segment_facts>);

/** At the start of the region. */
struct segment_header
{
	segment_facts facts;
	/** Recoveries up to the last mark_consistent(). */
	std::atomic<std::uint32_t> forgiven{0};
};

/** Bytes of the region before the segment manager: a cache line. */
inline constexpr std::size_t segment_offset = 64;

static_assert(sizeof(segment_header) <= segment_offset);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

/*
 * Boost 1.87 has changed the layout of what construct() makes, and has a macro
 * to choose, which older versions do not look at.
 */
#if BOOST_VERSION < 108700
inline constexpr std::uint8_t segment_abi = 1;
#else
inline constexpr std::uint8_t segment_abi =
	BOOST_INTERPROCESS_SEGMENT_MANAGER_ABI;
#endif

/** The tag of a segment; @a max_size is what everybody reserves. */
template <class SegmentManager>
layout_stamp segment_stamp(std::uint64_t max_size = 0) noexcept
{
	using family = typename SegmentManager::mutex_family;
	layout_stamp stamp(content::managed_segment);

	stamp.char_size = sizeof(typename SegmentManager::char_type);
	stamp.segment_abi = segment_abi;
	stamp.types = hash_of_types<SegmentManager, typename family::mutex_type,
				    typename family::recursive_mutex_type>();
	stamp.extra = max_size;
	return stamp;
}

/** Whether a mutex counts the owners that died with it. */
template <class Mutex, class = void>
struct tells_recoveries : std::false_type
{
};

template <class Mutex>
struct tells_recoveries<
	Mutex,
	std::void_t<decltype(std::declval<const Mutex &>().recoveries())>>
	: std::true_type
{
};

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_SEGMENT_HEADER_HPP */
