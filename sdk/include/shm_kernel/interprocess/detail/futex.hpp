/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Waiting for a word of shared memory to change
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_FUTEX_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_FUTEX_HPP

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace shm_kernel {
namespace detail {

/** A word that futex(2) works on, also between processes. */
using futex_word = std::atomic<std::uint32_t>;

static_assert(futex_word::is_always_lock_free &&
	      sizeof(futex_word) == sizeof(std::uint32_t));

/**
 * Sleeps while @a word is @a expected, at most @a longest (nanoseconds::max():
 * without end). Returns for any reason, so the caller has to look at the word.
 * False if the time was over.
 */
inline bool futex_wait(futex_word &word, std::uint32_t expected,
		       std::chrono::nanoseconds longest) noexcept
{
	/* What the kernel calls timespec where long has 32 bits. */
	struct
	{
		std::int64_t seconds;
		std::int64_t nanoseconds;
	} wide;
	struct
	{
		long seconds;
		long nanoseconds;
	} narrow;
	const auto seconds =
		std::chrono::duration_cast<std::chrono::seconds>(longest);
	const bool timed = longest != std::chrono::nanoseconds::max();
#ifdef SYS_futex_time64
	constexpr long number = SYS_futex_time64;
	constexpr bool is_wide = true;
#else
	constexpr long number = SYS_futex;
	constexpr bool is_wide = sizeof(long) == 8;
#endif
	const void *limit = is_wide ? static_cast<const void *>(&wide)
				    : static_cast<const void *>(&narrow);

	wide.seconds = seconds.count();
	wide.nanoseconds = (longest - seconds).count();
	narrow.seconds = static_cast<long>(wide.seconds);
	narrow.nanoseconds = static_cast<long>(wide.nanoseconds);
	return !::syscall(number, &word, FUTEX_WAIT, expected,
			  timed ? limit : nullptr, nullptr, 0) ||
	       errno != ETIMEDOUT;
}

/** Wakes up to @a count that sleep on @a word. Returns how many those were. */
inline int futex_wake(futex_word &word, int count) noexcept
{
#ifdef SYS_futex
	constexpr long number = SYS_futex;
#else
	constexpr long number = SYS_futex_time64;
#endif
	const long woken = ::syscall(number, &word, FUTEX_WAKE, count, nullptr,
				     nullptr, 0);

	return woken < 0 ? 0 : static_cast<int>(woken);
}

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_FUTEX_HPP */
