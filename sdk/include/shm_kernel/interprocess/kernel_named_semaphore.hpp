/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A semaphore that processes share by its name
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_SEMAPHORE_HPP
#define SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_SEMAPHORE_HPP

#include <shm_kernel/interprocess/detail/deadline.hpp>
#include <shm_kernel/interprocess/detail/futex_semaphore.hpp>
#include <shm_kernel/interprocess/kernel_named.hpp>
#include <shm_kernel/interprocess/name_lifetime.hpp>
#include <shm_kernel/region.hpp>

#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/permissions.hpp>

namespace shm_kernel {

namespace detail {

struct named_semaphore_content
{
	static constexpr named_content content = named_content::semaphore;

	explicit named_semaphore_content(unsigned int count) : semaphore(count)
	{
	}

	futex_semaphore semaphore;
};

} // namespace detail

/**
 * Drop-in for boost::interprocess::named_semaphore, as kernel_named says. A
 * count from 0 to 2^31 - 1. A process that is killed while it waits changes
 * nothing; one that has taken something and is killed has taken it. One that is
 * killed at the moment it is woken may make the next waiter a second late.
 *
 * post() and wait() are one atomic instruction when nobody sleeps.
 */
template <name_lifetime Lifetime = name_lifetime::users>
class basic_kernel_named_semaphore
{
	using object = kernel_named<detail::named_semaphore_content, Lifetime>;

public:
	/**
	 * Creates one with that count, EINVAL if that is too large;
	 * already_exists_error if the name is taken.
	 */
	basic_kernel_named_semaphore(
		boost::interprocess::create_only_t, const char *name,
		unsigned int initial_count,
		const boost::interprocess::permissions &perm =
			boost::interprocess::permissions())
		: m_object(boost::interprocess::create_only, name, perm,
			   initial_count)
	{
	}

	/** Opens the one of that name, or creates it. */
	basic_kernel_named_semaphore(
		boost::interprocess::open_or_create_t, const char *name,
		unsigned int initial_count,
		const boost::interprocess::permissions &perm =
			boost::interprocess::permissions())
		: m_object(boost::interprocess::open_or_create, name, perm,
			   initial_count)
	{
	}

	/** Opens one; not_found_error if there is none. */
	basic_kernel_named_semaphore(boost::interprocess::open_only_t,
				     const char *name)
		: m_object(boost::interprocess::open_only, name)
	{
	}

	basic_kernel_named_semaphore(const basic_kernel_named_semaphore &) =
		delete;
	basic_kernel_named_semaphore &
	operator=(const basic_kernel_named_semaphore &) = delete;

	/** Ends this one's part in it; the count stays. */
	~basic_kernel_named_semaphore() = default;

	/**
	 * Takes the name away; who has it open keeps it. False if that failed;
	 * never throws.
	 */
	static bool remove(const char *name) noexcept
	{
		return object::remove(name);
	}

	/** Adds one to the count, and wakes one who waits. EOVERFLOW. */
	void post() { m_object->semaphore.post(); }

	/** Waits until the count is not 0, and takes one off. */
	void wait() { m_object->semaphore.wait(detail::deadline::never()); }

	/** The same if that can be done without waiting. */
	bool try_wait()
	{
		return m_object->semaphore.wait(detail::deadline::now());
	}

	/**
	 * The same until a boost::posix_time::ptime (UTC) or a time point of
	 * std::chrono; false if it has come.
	 */
	template <class TimePoint>
	bool timed_wait(const TimePoint &abs_time)
	{
		return m_object->semaphore.wait(detail::deadline::at(abs_time));
	}

	/** The region it lies in: its information, its mode and owner. */
	const region &get_region() const noexcept
	{
		return m_object.get_region();
	}
	region &get_region() noexcept { return m_object.get_region(); }

private:
	object m_object;
};

/** A named semaphore that is gone with its last user. */
using kernel_named_semaphore = basic_kernel_named_semaphore<>;

/** A named semaphore that stays until it is removed. */
using persistent_kernel_named_semaphore =
	basic_kernel_named_semaphore<name_lifetime::removal>;

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_SEMAPHORE_HPP */
