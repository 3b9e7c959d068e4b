/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A keyed hash for names that others choose
 *
 * SipHash by Jean-Philippe Aumasson and Daniel J. Bernstein, "SipHash: a fast
 * short-input PRF" (INDOCRYPT 2012), https://www.aumasson.jp/siphash/siphash.pdf.
 * Who does not know the key cannot make texts collide on purpose.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_SIPHASH_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_SIPHASH_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>

#include <sys/random.h>

namespace shm_kernel {
namespace detail {

/** The 128 bits that make one hash function out of many. */
struct siphash_key
{
	std::uint64_t low;
	std::uint64_t high;
};

/**
 * A key that nobody can guess; early in the boot of a machine, when the kernel
 * has no random numbers yet, one that is merely not the same each time.
 */
inline siphash_key make_siphash_key() noexcept
{
	siphash_key key;
	timespec now{};

	if (::getrandom(&key, sizeof(key), GRND_NONBLOCK) ==
	    static_cast<ssize_t>(sizeof(key)))
		return key;
	::clock_gettime(CLOCK_MONOTONIC, &now);
	key.low = static_cast<std::uint64_t>(now.tv_sec) * 1000000000 +
		  static_cast<std::uint64_t>(now.tv_nsec);
	key.high = reinterpret_cast<std::uintptr_t>(&key);
	return key;
}

/**
 * SipHash-C-D of @size bytes. The paper's own choice is 2-4; 1-3 is what hash
 * tables use (Rust's HashMap, the kernel's hsiphash). Words are read in the
 * machine's byte order.
 */
template <int C, int D>
inline std::uint64_t siphash(const void *text, std::size_t size,
			     const siphash_key &key) noexcept
{
	const auto *byte = static_cast<const unsigned char *>(text);
	std::uint64_t v0 = key.low ^ 0x736f6d6570736575u;
	std::uint64_t v1 = key.high ^ 0x646f72616e646f6du;
	std::uint64_t v2 = key.low ^ 0x6c7967656e657261u;
	std::uint64_t v3 = key.high ^ 0x7465646279746573u;
	std::uint64_t last = static_cast<std::uint64_t>(size) << 56;

	const auto rotate = [](std::uint64_t word, int by) {
		return word << by | word >> (64 - by);
	};
	const auto round = [&] {
		v0 += v1;
		v2 += v3;
		v1 = rotate(v1, 13) ^ v0;
		v3 = rotate(v3, 16) ^ v2;
		v0 = rotate(v0, 32);
		v2 += v1;
		v0 += v3;
		v1 = rotate(v1, 17) ^ v2;
		v3 = rotate(v3, 21) ^ v0;
		v2 = rotate(v2, 32);
	};
	const auto take = [&](std::uint64_t word) {
		v3 ^= word;
		for (int i = 0; i < C; ++i)
			round();
		v0 ^= word;
	};

	for (; size >= 8; size -= 8, byte += 8) {
		std::uint64_t word;

		std::memcpy(&word, byte, sizeof(word));
		take(word);
	}
	for (std::size_t i = 0; i < size; ++i)
		last |= static_cast<std::uint64_t>(byte[i]) << (8 * i);
	take(last);

	v2 ^= 0xff;
	for (int i = 0; i < D; ++i)
		round();
	return v0 ^ v1 ^ v2 ^ v3;
}

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_SIPHASH_HPP */
