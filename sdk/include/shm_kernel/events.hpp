/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The doorbell of a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_EVENTS_HPP
#define SHM_KERNEL_EVENTS_HPP

#include <shm_kernel/errors.hpp>
#include <shm_kernel/export.hpp>
#include <shm_kernel/region.hpp>

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <system_error>

namespace shm_kernel {

/**
 * What happened on a region since the peer last read, or since it came. All
 * but @ref peers are such counts: nothing is lost, however late one reads.
 */
struct event_counts
{
	/** How often others rang. */
	std::uint64_t rings = 0;
	/** Other peers that came. */
	std::uint32_t peers_come = 0;
	/** Other peers that went, also by being killed. */
	std::uint32_t peers_gone = 0;
	/** Changes of the region's size. */
	std::uint32_t resized = 0;
	/** Calls that added seals. */
	std::uint32_t sealed = 0;
	/** The region was revoked: nothing will come after this. */
	bool revoked = false;
	/** Other peers that there are now. */
	std::uint32_t peers = 0;

	friend bool operator==(const event_counts &a,
			       const event_counts &b) noexcept
	{
		return a.rings == b.rings && a.peers_come == b.peers_come &&
		       a.peers_gone == b.peers_gone && a.resized == b.resized &&
		       a.sealed == b.sealed && a.revoked == b.revoked &&
		       a.peers == b.peers;
	}
	friend bool operator!=(const event_counts &a,
			       const event_counts &b) noexcept
	{
		return !(a == b);
	}
};

/** One line for logs. */
SHM_KERNEL_API std::ostream &operator<<(std::ostream &out,
					const event_counts &counts);

/** What events::read() does when nothing has happened. */
enum class event_mode {
	/** It waits. */
	blocking,
	/** It says std::errc::resource_unavailable_try_again. */
	non_blocking,
};

/**
 * A peer of a region: an event file, on which one rings the other peers and
 * waits for them. Move-only; the destructor closes it, which ends the peer.
 *
 * It needs the region's handle only while it is made, and keeps the region and
 * its name alive afterwards. What fork() and dup() make of the descriptor is
 * the same peer: each event goes to one of those who read, a ring of one does
 * not reach the others, and the peer goes with the last of them. A process
 * that wants to hear everything makes an object of its own.
 *
 * The descriptor is one to wait on with poll(), epoll, io_uring or asio:
 * readable when read() would not wait, writable if the peer may ring, and hung
 * up once the region was revoked.
 *
 * Functions throw std::system_error, or with a std::error_code as the last
 * argument set that instead. Signals do not end them. One object may be used
 * by several threads as long as none of them moves, closes or assigns it.
 */
class SHM_KERNEL_API events final
{
public:
	/** Is no peer. */
	events() noexcept = default;

	/**
	 * Comes as a peer of @a source. With a handle for reading it can wait
	 * but not ring.
	 */
	explicit events(const region &source,
			event_mode mode = event_mode::blocking);
	events(const region &source, event_mode mode,
	       std::error_code &error) noexcept;

	events(events &&other) noexcept;
	events &operator=(events &&other) noexcept;
	events(const events &) = delete;
	events &operator=(const events &) = delete;
	~events();

	/**
	 * Takes over a descriptor, for instance one that came over a socket,
	 * after a check that it can be an event file. On failure it stays the
	 * caller's.
	 */
	static events adopt(int descriptor);
	static events adopt(int descriptor, std::error_code &error) noexcept;

	/** @name The doorbell */
	/** @{ */

	/**
	 * Rings for every other peer, kernel clients included. @a times is what
	 * is added to their counts, at most 2^32 - 1: more is as many, but for 0
	 * and the largest number of all, which are invalid. Never waits.
	 * Whoever is told of it sees what was stored in the region before.
	 */
	void ring(std::uint64_t times = 1);
	void ring(std::uint64_t times, std::error_code &error) noexcept;

	/**
	 * Takes what has happened, after waiting for something to happen. Once
	 * the last events of a revoked region were taken, it is errc::revoked.
	 */
	event_counts read();
	event_counts read(std::error_code &error) noexcept;

	/** The same without waiting, in either mode: nothing if nothing was. */
	std::optional<event_counts> try_read();
	std::optional<event_counts> try_read(std::error_code &error) noexcept;

	/**
	 * Waits, in either mode, until there is something to read, and takes
	 * nothing. Returns whether there is: false after @a timeout. 0 only
	 * looks, and less than 0 is for ever.
	 */
	bool wait(std::chrono::nanoseconds timeout =
			  std::chrono::nanoseconds(-1)) const;
	bool wait(std::chrono::nanoseconds timeout,
		  std::error_code &error) const noexcept;
	bool wait_until(std::chrono::steady_clock::time_point deadline) const;
	bool wait_until(std::chrono::steady_clock::time_point deadline,
			std::error_code &error) const noexcept;

	/** @} */
	/** @name The handle */
	/** @{ */

	/** read_write if the peer may ring. */
	access_mode access() const;
	access_mode access(std::error_code &error) const noexcept;

	/** The mode, which fork() and dup() share, too. */
	event_mode mode() const;
	event_mode mode(std::error_code &error) const noexcept;
	void set_mode(event_mode mode);
	void set_mode(event_mode mode, std::error_code &error) noexcept;

	/** The descriptor, which stays the object's; -1 when it has none. */
	int native_handle() const noexcept { return m_fd; }

	/** Gives the descriptor away. */
	[[nodiscard]] int release() noexcept;

	/** Goes as a peer. */
	void close() noexcept;

	explicit operator bool() const noexcept { return m_fd >= 0; }

	void swap(events &other) noexcept;
	friend void swap(events &a, events &b) noexcept { a.swap(b); }

	/** @} */

private:
	explicit events(int descriptor) noexcept : m_fd(descriptor) {}

	int m_fd = -1;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_EVENTS_HPP */
