/* SPDX-License-Identifier: BSL-1.0 */
/*
 * One object in a region of its own, found by name
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_HPP
#define SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_HPP

#include <shm_kernel/create_options.hpp>
#include <shm_kernel/errors.hpp>
#include <shm_kernel/interprocess/detail/layout_stamp.hpp>
#include <shm_kernel/interprocess/exceptions.hpp>
#include <shm_kernel/interprocess/name_lifetime.hpp>
#include <shm_kernel/mapping.hpp>
#include <shm_kernel/region.hpp>
#include <shm_kernel/region_info.hpp>

#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/permissions.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include <sys/types.h>

namespace shm_kernel {

namespace detail {

/** Of the SDK's own objects, to say what it is that one has opened. */
enum class named_content : std::uint64_t {
	other = 0,
	mutex,
	recursive_mutex,
	semaphore,
	condition,
	condition_any,
	sharable_mutex,
	upgradable_mutex,
};

inline const char *describe(named_content what) noexcept
{
	switch (what) {
	case named_content::mutex:
		return "a named mutex";
	case named_content::recursive_mutex:
		return "a named recursive mutex";
	case named_content::semaphore:
		return "a named semaphore";
	case named_content::condition:
		return "a named condition";
	case named_content::condition_any:
		return "a named condition of any lock";
	case named_content::sharable_mutex:
		return "a named sharable mutex";
	case named_content::upgradable_mutex:
		return "a named upgradable mutex";
	case named_content::other:
		break;
	}
	return "a named object";
}

/** Which of them a type is: T::content, or other. */
template <typename T, typename = void>
struct named_content_of
	: std::integral_constant<named_content, named_content::other>
{
};

template <typename T>
struct named_content_of<T, std::void_t<decltype(T::content)>>
	: std::integral_constant<named_content, T::content>
{
};

} // namespace detail

/**
 * An object of type T that processes share by its name: what the kernel_named_*
 * classes are made of, and a place for an object of one's own that is robust by
 * itself.
 *
 * The object lies in a small region (one page) that cannot be made smaller by
 * anybody. It is constructed before the region gets its name: nobody ever sees
 * a half-made one, and a creator that is killed leaves nothing. With
 * name_lifetime::users, name and object are gone with the last that has it;
 * with name_lifetime::removal they stay until remove(). That is the creator's
 * choice: who opens an object takes it as it is. No destructor of T ever runs.
 *
 * T must not hold pointers, as the object is at another address in each
 * process. Types of the same name and size are taken for the same.
 *
 * Neither copyable nor movable, as Boost's named objects. Constructors throw
 * kernel_memory_exception: not_found_error, already_exists_error, security_error
 * for a missing permission (read and write are needed), errc::layout_mismatch
 * for what is not such an object, errc::may_shrink for a region that its
 * creator did not seal, errc::device_missing without the driver.
 */
template <typename T, name_lifetime Lifetime = name_lifetime::users>
class kernel_named
{
	static_assert(alignof(T) <= 4096, "regions are aligned to a page");

public:
	using value_type = T;

	/** Creates one; already_exists_error if the name is taken. */
	template <typename... Args>
	kernel_named(boost::interprocess::create_only_t, const char *name,
		     const boost::interprocess::permissions &perm,
		     Args &&...args)
	{
		std::error_code error;

		throw_if(!try_create(name, perm, error, args...), error);
	}

	/**
	 * Opens the one of that name, or creates it: @a perm and @a args are
	 * for that case. Of any number that do so at once, one creates.
	 */
	template <typename... Args>
	kernel_named(boost::interprocess::open_or_create_t, const char *name,
		     const boost::interprocess::permissions &perm,
		     Args &&...args)
	{
		std::error_code error;

		/*
		 * Each step is atomic. It starts over only when an object of
		 * that name came or went between the two.
		 */
		for (;;) {
			if (try_open(name, error))
				return;
			throw_if(error != errc::not_found, error);
			if (try_create(name, perm, error, args...))
				return;
			throw_if(error != errc::name_exists, error);
		}
	}

	/** Opens one; not_found_error if there is none. */
	kernel_named(boost::interprocess::open_only_t, const char *name)
	{
		std::error_code error;

		throw_if(!try_open(name, error), error);
	}

	kernel_named(const kernel_named &) = delete;
	kernel_named &operator=(const kernel_named &) = delete;

	/** This one's part in it ends; see name_lifetime. */
	~kernel_named()
	{
		if (!m_stays_mapped)
			m_mapping.~mapping();
	}

	/**
	 * The destructor shall leave the memory mapped until the process ends:
	 * the kernel has to find a lock there that a thread of this process
	 * holds.
	 */
	void stay_mapped() noexcept { m_stays_mapped = true; }

	/**
	 * Takes the name away; who has the object keeps it. False if that
	 * failed; never throws.
	 */
	static bool remove(const char *name) noexcept
	{
		std::error_code error;

		region::remove(name, error);
		return !error;
	}

	T &get() const noexcept
	{
		return *std::launder(static_cast<T *>(m_mapping.data()));
	}

	T &operator*() const noexcept { return get(); }
	T *operator->() const noexcept { return &get(); }

	/** Where it lies: for its information, and for its mode and owner. */
	const region &get_region() const noexcept { return m_region; }
	region &get_region() noexcept { return m_region; }

	/** The object's memory. */
	const mapping &get_mapping() const noexcept { return m_mapping; }

private:
	using content = detail::named_content_of<T>;

	static void throw_if(bool bad, const std::error_code &error)
	{
		if (bad)
			throw kernel_memory_exception(error);
	}

	static detail::layout_stamp stamp() noexcept
	{
		detail::layout_stamp result(detail::content::named_object);

		result.types = detail::hash_of_types<T>();
		result.extra = static_cast<std::uint64_t>(content::value);
		return result;
	}

	/* Until it is bound to its name, the region is nobody else's. */
	template <typename... Args>
	bool try_create(const char *name,
			const boost::interprocess::permissions &perm,
			std::error_code &error, Args &...args)
	{
		const detail::layout_stamp mine = stamp();
		region fresh = region::create(
			create_options()
				.set_size(sizeof(T))
				.set_mode(static_cast<::mode_t>(
					perm.get_permissions()))
				.set_persistent(Lifetime ==
						name_lifetime::removal)
				.set_tag(&mine, sizeof(mine)),
			error);

		if (error)
			return false;

		mapping memory(fresh, map_mode::read_write, 0, 0, error);

		if (error)
			return false;
		::new (memory.data()) T(args...);
		fresh.add_seals(seal::shrink, error);
		if (!error)
			fresh.bind(name, error);
		if (error)
			return false;
		m_region = std::move(fresh);
		m_mapping = std::move(memory);
		return true;
	}

	bool try_open(const char *name, std::error_code &error)
	{
		region found =
			region::open(name, access_mode::read_write, error);

		if (error)
			return false;

		const region_info info = found.info(error);

		if (error)
			return false;
		check(info);

		mapping memory(found, map_mode::read_write, 0, sizeof(T),
			       error);

		if (error)
			return false;
		m_region = std::move(found);
		m_mapping = std::move(memory);
		return true;
	}

	static void check(const region_info &info)
	{
		const detail::layout_stamp mine = stamp();
		detail::layout_stamp theirs;

		std::memcpy(static_cast<void *>(&theirs), info.tag().data(),
			    sizeof(theirs));
		if (!std::memcmp(theirs.magic, mine.magic,
				 sizeof(mine.magic)) &&
		    theirs.kind == mine.kind && theirs.extra != mine.extra)
			throw kernel_memory_exception(
				errc::layout_mismatch,
				quoted(info) + " is " +
					describe(static_cast<
						 detail::named_content>(
						theirs.extra)) +
					", not " + describe(content::value));
		detail::require_layout(info, mine);
		if ((info.seals() & seal::shrink) == seal::none)
			throw kernel_memory_exception(errc::may_shrink,
						      quoted(info));
		if (info.size() < sizeof(T))
			throw kernel_memory_exception(
				errc::layout_mismatch,
				quoted(info) + " is smaller than " +
					describe(content::value));
	}

	static std::string quoted(const region_info &info)
	{
		return "region \"" + info.printable_name() + '"';
	}

	region m_region;
	/* So that nothing destroys it but the destructor. */
	union {
		mapping m_mapping{};
	};
	bool m_stays_mapped = false;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_KERNEL_NAMED_HPP */
