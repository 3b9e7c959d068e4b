/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A fast keyed hash for names
 *
 * wyhash, final version 4, by Wang Yi (public domain),
 * https://github.com/wangyi-fudan/wyhash. It works with products of 128 bits
 * whose halves are folded into each other.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_WYHASH_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_WYHASH_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>

#include <sys/random.h>

namespace shm_kernel {
namespace detail {

/** The product of both, its upper half in @b, the lower one in @a. */
inline void wyhash_multiply(std::uint64_t &a, std::uint64_t &b) noexcept
{
#ifdef __SIZEOF_INT128__
	__extension__ using wide = unsigned __int128;
	const wide product = static_cast<wide>(a) * b;

	a = static_cast<std::uint64_t>(product);
	b = static_cast<std::uint64_t>(product >> 64);
#else
	const std::uint64_t low = 0xffffffffu;
	const std::uint64_t ll = (a & low) * (b & low);
	const std::uint64_t lh = (a & low) * (b >> 32);
	const std::uint64_t hl = (a >> 32) * (b & low);
	const std::uint64_t hh = (a >> 32) * (b >> 32);
	const std::uint64_t middle = (ll >> 32) + (lh & low) + (hl & low);

	a = middle << 32 | (ll & low);
	b = hh + (lh >> 32) + (hl >> 32) + (middle >> 32);
#endif
}

inline std::uint64_t wyhash_mix(std::uint64_t a, std::uint64_t b) noexcept
{
	wyhash_multiply(a, b);
	return a ^ b;
}

template <typename Word>
inline std::uint64_t wyhash_read(const unsigned char *from) noexcept
{
	Word word;

	std::memcpy(&word, from, sizeof(word));
	return word;
}

/** What makes one hash function out of many. */
struct wyhash_key
{
	/** The seed, mixed with the secret. */
	std::uint64_t start;
	std::uint64_t secret[4];

	/** The author's own secret, which everybody knows. */
	static wyhash_key known(std::uint64_t seed) noexcept
	{
		wyhash_key key{seed,
			       {0x2d358dccaa6c78a5u, 0x8bb84b93962eacc9u,
				0x4b33a62ed433d4a3u, 0x4d5a2da51de1aa47u}};

		key.start ^= wyhash_mix(seed ^ key.secret[0], key.secret[1]);
		return key;
	}

	/**
	 * One that nobody can guess; early in the boot of a machine, when the
	 * kernel has no random numbers yet, one that is merely not the same
	 * each time.
	 */
	static wyhash_key random() noexcept
	{
		wyhash_key key;
		timespec now{};

		if (::getrandom(&key, sizeof(key), GRND_NONBLOCK) ==
		    static_cast<ssize_t>(sizeof(key)))
			return key;
		::clock_gettime(CLOCK_MONOTONIC, &now);
		key = known(static_cast<std::uint64_t>(now.tv_nsec) << 32 ^
			    static_cast<std::uint64_t>(now.tv_sec));
		key.secret[1] ^= reinterpret_cast<std::uintptr_t>(&key);
		return key;
	}
};

/** What more than 16 bytes do before the last 16, which are left. */
[[gnu::noinline]] inline std::uint64_t
wyhash_long(const unsigned char *&byte, std::size_t left,
	    const wyhash_key &key) noexcept
{
	constexpr auto read8 = wyhash_read<std::uint64_t>;
	const std::uint64_t *secret = key.secret;
	std::uint64_t seed = key.start;

	if (left >= 48) {
		std::uint64_t seed1 = seed;
		std::uint64_t seed2 = seed;

		for (; left >= 48; left -= 48, byte += 48) {
			seed = wyhash_mix(read8(byte) ^ secret[1],
					  read8(byte + 8) ^ seed);
			seed1 = wyhash_mix(read8(byte + 16) ^ secret[2],
					   read8(byte + 24) ^ seed1);
			seed2 = wyhash_mix(read8(byte + 32) ^ secret[3],
					   read8(byte + 40) ^ seed2);
		}
		seed ^= seed1 ^ seed2;
	}
	for (; left > 16; left -= 16, byte += 16)
		seed = wyhash_mix(read8(byte) ^ secret[1],
				  read8(byte + 8) ^ seed);
	byte += left;
	return seed;
}

/** The hash of @size bytes; words are in the machine's byte order. */
[[gnu::always_inline]] inline std::uint64_t
wyhash(const void *text, std::size_t size, const wyhash_key &key) noexcept
{
	constexpr auto read4 = wyhash_read<std::uint32_t>;
	constexpr auto read8 = wyhash_read<std::uint64_t>;
	const auto *byte = static_cast<const unsigned char *>(text);
	const std::uint64_t *secret = key.secret;
	std::uint64_t seed = key.start;
	std::uint64_t a = 0;
	std::uint64_t b = 0;

	if (size > 16) {
		seed = wyhash_long(byte, size, key);
		a = read8(byte - 16);
		b = read8(byte - 8);
	} else if (size >= 4) {
		const std::size_t inner = size >> 3 << 2;
		const unsigned char *last = byte + size - 4;

		a = read4(byte) << 32 | read4(byte + inner);
		b = read4(last) << 32 | read4(last - inner);
	} else if (size) {
		a = static_cast<std::uint64_t>(byte[0]) << 16 |
		    static_cast<std::uint64_t>(byte[size >> 1]) << 8 |
		    byte[size - 1];
	}
	a ^= secret[1];
	b ^= seed;
	wyhash_multiply(a, b);
	return wyhash_mix(a ^ secret[0] ^ size, b ^ secret[1]);
}

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_WYHASH_HPP */
