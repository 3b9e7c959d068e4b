/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A lock for one writer or many readers that processes share by its name
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_SHARABLE_MUTEX_HPP
#define SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_SHARABLE_MUTEX_HPP

#include <shm_kernel/interprocess/detail/deadline.hpp>
#include <shm_kernel/interprocess/detail/upgradable_region_lock.hpp>
#include <shm_kernel/interprocess/kernel_named.hpp>
#include <shm_kernel/interprocess/name_lifetime.hpp>
#include <shm_kernel/region.hpp>

#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/permissions.hpp>

#include <atomic>
#include <cstdint>

namespace shm_kernel {

namespace detail {

struct named_sharable_mutex_content
{
	static constexpr named_content content = named_content::sharable_mutex;

	/* The rest is for the kernel to know: see upgradable_region_lock. */
	std::atomic<std::uint32_t> writer_waits{0};
};

} // namespace detail

/**
 * Drop-in for boost::interprocess::named_sharable_mutex, as kernel_named says:
 * exclusive ownership for one or sharable ownership for many.
 *
 * The lock is the open file's that each object has of its own, so the kernel
 * gives back at once what a process held that was killed, readers included;
 * nobody is told that it happened. It takes a system call or two to lock and
 * one to unlock; readers who share one object share its lock in the kernel.
 * Timed functions look every 2 ms while another process has it. A writer who
 * waits keeps later readers out, so nobody may lock again as a reader what he
 * has locked as one: as with Boost's.
 *
 * Several threads may use one object. After fork() the child's copy is
 * unlocked and excludes the parent's like any other object; it throws
 * errc::empty_handle if the child was not allowed to open the region again.
 * What is not locked must not be unlocked: lock_exception.
 */
template <name_lifetime Lifetime = name_lifetime::users>
class basic_kernel_named_sharable_mutex
{
	using object =
		kernel_named<detail::named_sharable_mutex_content, Lifetime>;

public:
	/** Creates one; already_exists_error if the name is taken. */
	basic_kernel_named_sharable_mutex(
		boost::interprocess::create_only_t, const char *name,
		const boost::interprocess::permissions &perm =
			boost::interprocess::permissions())
		: m_object(boost::interprocess::create_only, name, perm),
		  m_lock(m_object.get_region(), m_object.get_mapping(),
			 m_object->writer_waits)
	{
	}

	/** Opens the one of that name, or creates it. */
	basic_kernel_named_sharable_mutex(
		boost::interprocess::open_or_create_t, const char *name,
		const boost::interprocess::permissions &perm =
			boost::interprocess::permissions())
		: m_object(boost::interprocess::open_or_create, name, perm),
		  m_lock(m_object.get_region(), m_object.get_mapping(),
			 m_object->writer_waits)
	{
	}

	/** Opens one; not_found_error if there is none. */
	basic_kernel_named_sharable_mutex(boost::interprocess::open_only_t,
					  const char *name)
		: m_object(boost::interprocess::open_only, name),
		  m_lock(m_object.get_region(), m_object.get_mapping(),
			 m_object->writer_waits)
	{
	}

	basic_kernel_named_sharable_mutex(
		const basic_kernel_named_sharable_mutex &) = delete;
	basic_kernel_named_sharable_mutex &
	operator=(const basic_kernel_named_sharable_mutex &) = delete;

	/** Gives back whatever was locked through this object. */
	~basic_kernel_named_sharable_mutex() = default;

	/**
	 * Takes the name away; who has it open keeps it. False if that failed;
	 * never throws.
	 */
	static bool remove(const char *name) noexcept
	{
		return object::remove(name);
	}

	/** @name Exclusive ownership */
	/** @{ */

	/** Waits until nobody else has any ownership. */
	void lock() { m_lock.lock(detail::deadline::never()); }

	/** False if it would have to wait. */
	bool try_lock() { return m_lock.lock(detail::deadline::now()); }

	/** Waits until @a abs_time at most; false if it has come. */
	template <class TimePoint>
	bool timed_lock(const TimePoint &abs_time)
	{
		return m_lock.lock(detail::deadline::at(abs_time));
	}

	void unlock() { m_lock.unlock(); }

	template <class TimePoint>
	bool try_lock_until(const TimePoint &abs_time)
	{
		return timed_lock(abs_time);
	}

	template <class Duration>
	bool try_lock_for(const Duration &duration)
	{
		return m_lock.lock(detail::deadline::in(duration));
	}

	/** @} */

	/** @name Sharable ownership */
	/** @{ */

	/** Waits until nobody has, or waits for, exclusive ownership. */
	void lock_sharable()
	{
		m_lock.lock_sharable(detail::deadline::never());
	}

	/** False if it would have to wait. */
	bool try_lock_sharable()
	{
		return m_lock.lock_sharable(detail::deadline::now());
	}

	/** Waits until @a abs_time at most; false if it has come. */
	template <class TimePoint>
	bool timed_lock_sharable(const TimePoint &abs_time)
	{
		return m_lock.lock_sharable(detail::deadline::at(abs_time));
	}

	void unlock_sharable() { m_lock.unlock_sharable(); }

	/* As std::shared_lock wants them. */

	void lock_shared() { lock_sharable(); }
	bool try_lock_shared() { return try_lock_sharable(); }
	void unlock_shared() { unlock_sharable(); }

	template <class TimePoint>
	bool try_lock_shared_until(const TimePoint &abs_time)
	{
		return timed_lock_sharable(abs_time);
	}

	template <class Duration>
	bool try_lock_shared_for(const Duration &duration)
	{
		return m_lock.lock_sharable(detail::deadline::in(duration));
	}

	/** @} */

	/** The region it lies in: its information, its mode and owner. */
	const region &get_region() const noexcept
	{
		return m_object.get_region();
	}
	region &get_region() noexcept { return m_object.get_region(); }

private:
	object m_object;
	detail::upgradable_region_lock m_lock;
};

/** A named sharable mutex that is gone with its last user. */
using kernel_named_sharable_mutex = basic_kernel_named_sharable_mutex<>;

/** A named sharable mutex that stays until it is removed. */
using persistent_kernel_named_sharable_mutex =
	basic_kernel_named_sharable_mutex<name_lifetime::removal>;

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_SHARABLE_MUTEX_HPP */
