/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A mutex that processes share by its name
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_MUTEX_HPP
#define SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_MUTEX_HPP

#include <shm_kernel/interprocess/detail/mutex_holder.hpp>
#include <shm_kernel/interprocess/kernel_named.hpp>
#include <shm_kernel/interprocess/name_lifetime.hpp>
#include <shm_kernel/interprocess/robust_mutex.hpp>
#include <shm_kernel/region.hpp>

#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/permissions.hpp>

#include <cstdint>

namespace shm_kernel {

namespace detail {

template <owner_death Policy>
struct named_mutex_content
{
	static constexpr named_content content = named_content::mutex;

	basic_robust_mutex<Policy> mutex;
};

} // namespace detail

/**
 * Drop-in for boost::interprocess::named_mutex, as kernel_named says: a
 * basic_robust_mutex, which see for what it throws and for what @a Policy does
 * when an owner dies. Processes with different policies must not share one:
 * errc::layout_mismatch.
 *
 * To lock and unlock takes no system call when nobody waits.
 */
template <name_lifetime Lifetime = name_lifetime::users,
	  owner_death Policy = owner_death::recover>
class basic_kernel_named_mutex
{
	using object =
		kernel_named<detail::named_mutex_content<Policy>, Lifetime>;

public:
	/** Creates one; already_exists_error if the name is taken. */
	basic_kernel_named_mutex(boost::interprocess::create_only_t,
				 const char *name,
				 const boost::interprocess::permissions &perm =
					 boost::interprocess::permissions())
		: m_object(boost::interprocess::create_only, name, perm)
	{
	}

	/** Opens the one of that name, or creates it. */
	basic_kernel_named_mutex(boost::interprocess::open_or_create_t,
				 const char *name,
				 const boost::interprocess::permissions &perm =
					 boost::interprocess::permissions())
		: m_object(boost::interprocess::open_or_create, name, perm)
	{
	}

	/** Opens one; not_found_error if there is none. */
	basic_kernel_named_mutex(boost::interprocess::open_only_t,
				 const char *name)
		: m_object(boost::interprocess::open_only, name)
	{
	}

	basic_kernel_named_mutex(const basic_kernel_named_mutex &) = delete;
	basic_kernel_named_mutex &
	operator=(const basic_kernel_named_mutex &) = delete;

	/**
	 * Does not unlock. If a thread of this process holds the lock, the
	 * next owner gets it when that thread ends.
	 */
	~basic_kernel_named_mutex()
	{
		if (detail::held_here(m_object->mutex))
			m_object.stay_mapped();
	}

	/**
	 * Takes the name away; who has it open keeps it. False if that failed;
	 * never throws.
	 */
	static bool remove(const char *name) noexcept
	{
		return object::remove(name);
	}

	/** Waits for the lock. */
	void lock() { m_object->mutex.lock(); }

	/** False if somebody has the lock. */
	bool try_lock() { return m_object->mutex.try_lock(); }

	/**
	 * Waits until a boost::posix_time::ptime (UTC) or a time point of
	 * std::chrono; false if it has come.
	 */
	template <class TimePoint>
	bool timed_lock(const TimePoint &abs_time)
	{
		return m_object->mutex.timed_lock(abs_time);
	}

	template <class TimePoint>
	bool try_lock_until(const TimePoint &abs_time)
	{
		return m_object->mutex.timed_lock(abs_time);
	}

	template <class Duration>
	bool try_lock_for(const Duration &duration)
	{
		return m_object->mutex.try_lock_for(duration);
	}

	/** Only the thread that has the lock may give it back. */
	void unlock() { m_object->mutex.unlock(); }

	/** How many owners died with the lock, as far as that was noticed. */
	std::uint32_t recoveries() const noexcept
	{
		return m_object->mutex.recoveries();
	}

	/** False from the death of an owner until mark_consistent(). */
	bool consistent() const noexcept
	{
		return m_object->mutex.consistent();
	}

	/** What the lock protects is in order again. */
	void mark_consistent() { m_object->mutex.mark_consistent(); }

	/** The region it lies in: its information, its mode and owner. */
	const region &get_region() const noexcept
	{
		return m_object.get_region();
	}
	region &get_region() noexcept { return m_object.get_region(); }

private:
	object m_object;
};

/** A named mutex that is gone with its last user. */
using kernel_named_mutex = basic_kernel_named_mutex<>;

/** A named mutex that stays until it is removed. */
using persistent_kernel_named_mutex =
	basic_kernel_named_mutex<name_lifetime::removal>;

/** A named mutex that throws after the death of an owner. */
using strict_kernel_named_mutex =
	basic_kernel_named_mutex<name_lifetime::users, owner_death::report>;

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_MUTEX_HPP */
