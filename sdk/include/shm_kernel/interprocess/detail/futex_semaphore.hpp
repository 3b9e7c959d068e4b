/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A semaphore between processes that may die at any time
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_FUTEX_SEMAPHORE_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_FUTEX_SEMAPHORE_HPP

#include <shm_kernel/interprocess/detail/deadline.hpp>
#include <shm_kernel/interprocess/detail/futex.hpp>
#include <shm_kernel/interprocess/exceptions.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <system_error>

namespace shm_kernel {
namespace detail {

/**
 * A count and one bit in one word: the count is the truth, and the bit says that
 * somebody may sleep. There is no count of waiters, which one that is killed
 * would leave too high for ever: the bit is dropped when nobody is found
 * sleeping, and set anew by each who has slept.
 *
 * What a death can cost is a wake-up that was meant for another, when the
 * kernel has chosen the one that is being killed. So nobody sleeps longer than
 * a second without a look.
 */
class futex_semaphore final
{
public:
	static constexpr std::uint32_t max_count = 0x7fffffff;

	/** EINVAL for more than max_count. */
	explicit futex_semaphore(std::uint32_t count) : m_word(count)
	{
		if (count > max_count)
			throw kernel_memory_exception(std::make_error_code(
				std::errc::invalid_argument));
	}

	futex_semaphore(const futex_semaphore &) = delete;
	futex_semaphore &operator=(const futex_semaphore &) = delete;

	/** EOVERFLOW at max_count, and the count stays. */
	void post()
	{
		std::uint32_t seen = m_word.load(std::memory_order_relaxed);

		do {
			if ((seen & max_count) == max_count)
				throw kernel_memory_exception(
					std::make_error_code(
						std::errc::value_too_large));
		} while (!m_word.compare_exchange_weak(
			seen, seen + 1, std::memory_order_release,
			std::memory_order_relaxed));
		if (!(seen & sleepers) || futex_wake(m_word, 1))
			return;
		++seen;
		m_word.compare_exchange_strong(seen, seen & max_count,
					       std::memory_order_relaxed);
	}

	/** False if there was nothing to be had until @a limit. */
	bool wait(const deadline &limit)
	{
		std::uint32_t seen = m_word.load(std::memory_order_relaxed);
		/* Others may have gone to sleep beside us: keep the bit. */
		std::uint32_t bit = 0;

		for (;;) {
			if (seen & max_count) {
				if (!m_word.compare_exchange_weak(
					    seen, (seen - 1) | bit,
					    std::memory_order_acquire,
					    std::memory_order_relaxed))
					continue;
				/* In place of one who was woken and died. */
				if ((seen & sleepers) && (seen & max_count) > 1)
					futex_wake(m_word, 1);
				return true;
			}

			const std::chrono::nanoseconds left = limit.left();

			if (left == std::chrono::nanoseconds(0)) {
				if (bit)
					m_word.fetch_or(
						bit, std::memory_order_relaxed);
				return false;
			}
			bit = sleepers;
			if (!(seen & bit) &&
			    !m_word.compare_exchange_weak(
				    seen, bit, std::memory_order_relaxed))
				continue;
			futex_wait(m_word, bit,
				   std::min<std::chrono::nanoseconds>(
					   left, std::chrono::seconds(1)));
			seen = m_word.load(std::memory_order_relaxed);
		}
	}

	/** The count just now. */
	std::uint32_t count() const noexcept
	{
		return m_word.load(std::memory_order_relaxed) & max_count;
	}

private:
	static constexpr std::uint32_t sleepers = ~max_count;

	futex_word m_word;
};

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_FUTEX_SEMAPHORE_HPP */
