/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A condition of any lock that processes share by its name
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_CONDITION_ANY_HPP
#define SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_CONDITION_ANY_HPP

#include <shm_kernel/interprocess/detail/named_wait.hpp>
#include <shm_kernel/interprocess/kernel_named.hpp>
#include <shm_kernel/interprocess/name_lifetime.hpp>
#include <shm_kernel/interprocess/robust_condition.hpp>
#include <shm_kernel/region.hpp>

#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/permissions.hpp>

namespace shm_kernel {

namespace detail {

struct named_condition_any_content
{
	static constexpr named_content content = named_content::condition_any;

	robust_condition condition;
};

} // namespace detail

/**
 * Drop-in for boost::interprocess::named_condition_any, as kernel_named says: a
 * robust_condition, so one that is killed while it waits disturbs nobody. For
 * locks of any type with lock() and unlock().
 */
template <name_lifetime Lifetime = name_lifetime::users>
class basic_kernel_named_condition_any
	: public detail::named_wait<basic_kernel_named_condition_any<Lifetime>>
{
	using object =
		kernel_named<detail::named_condition_any_content, Lifetime>;
	friend class detail::named_wait<basic_kernel_named_condition_any>;

public:
	/** Creates one; already_exists_error if the name is taken. */
	basic_kernel_named_condition_any(
		boost::interprocess::create_only_t, const char *name,
		const boost::interprocess::permissions &perm =
			boost::interprocess::permissions())
		: m_object(boost::interprocess::create_only, name, perm)
	{
	}

	/** Opens the one of that name, or creates it. */
	basic_kernel_named_condition_any(
		boost::interprocess::open_or_create_t, const char *name,
		const boost::interprocess::permissions &perm =
			boost::interprocess::permissions())
		: m_object(boost::interprocess::open_or_create, name, perm)
	{
	}

	/** Opens one; not_found_error if there is none. */
	basic_kernel_named_condition_any(boost::interprocess::open_only_t,
					 const char *name)
		: m_object(boost::interprocess::open_only, name)
	{
	}

	basic_kernel_named_condition_any(
		const basic_kernel_named_condition_any &) = delete;
	basic_kernel_named_condition_any &
	operator=(const basic_kernel_named_condition_any &) = delete;

	/** Nobody may wait through this object any more. */
	~basic_kernel_named_condition_any() = default;

	/**
	 * Takes the name away; who has it open keeps it. False if that failed;
	 * never throws.
	 */
	static bool remove(const char *name) noexcept
	{
		return object::remove(name);
	}

	/** Wakes one who waits. */
	void notify_one() { condition().notify_one(); }

	/** Wakes all who wait. */
	void notify_all() { condition().notify_all(); }

	/** The region it lies in: its information, its mode and owner. */
	const region &get_region() const noexcept
	{
		return m_object.get_region();
	}
	region &get_region() noexcept { return m_object.get_region(); }

private:
	robust_condition &condition() const noexcept
	{
		return m_object->condition;
	}

	object m_object;
};

/** A named condition of any lock that is gone with its last user. */
using kernel_named_condition_any = basic_kernel_named_condition_any<>;

/** A named condition of any lock that stays until it is removed. */
using persistent_kernel_named_condition_any =
	basic_kernel_named_condition_any<name_lifetime::removal>;

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_CONDITION_ANY_HPP */
