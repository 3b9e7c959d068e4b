/* SPDX-License-Identifier: BSL-1.0 */
/*
 * boost::interprocess::shared_memory_object on a region of the kernel
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_KERNEL_SHARED_MEMORY_HPP
#define SHM_KERNEL_INTERPROCESS_KERNEL_SHARED_MEMORY_HPP

#include <shm_kernel/interprocess/exceptions.hpp>
#include <shm_kernel/region.hpp>

#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/interprocess_fwd.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/permissions.hpp>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include <sys/types.h>

namespace shm_kernel {

/**
 * Drop-in for boost::interprocess::shared_memory_object: the same functions,
 * and it goes into boost::interprocess::mapped_region unchanged.
 *
 * What differs is what the memory is: the name ends with its last user, crashes
 * included, and the memory is there once truncate() has returned, so that
 * nobody gets SIGBUS inside it later. For options that Boost has no words for
 * (persistent, contiguous, ...) make a region and move it in.
 *
 * Functions throw kernel_memory_exception unless they say otherwise.
 */
class kernel_shared_memory final
{
public:
	/** Holds no region. */
	kernel_shared_memory() noexcept = default;

	/** Creates an empty region; already_exists_error if there is one. */
	kernel_shared_memory(boost::interprocess::create_only_t,
			     const char *name, boost::interprocess::mode_t mode,
			     const boost::interprocess::permissions &perm =
				     boost::interprocess::permissions())
	{
		std::error_code error;

		check_mode(mode);
		throw_unless(try_create(name, mode, perm, error), error);
		keep(name, mode);
	}

	/** Creates an empty region, or opens the one that has the name. */
	kernel_shared_memory(boost::interprocess::open_or_create_t,
			     const char *name, boost::interprocess::mode_t mode,
			     const boost::interprocess::permissions &perm =
				     boost::interprocess::permissions())
	{
		std::error_code error;

		check_mode(mode);
		/*
		 * Each step is atomic. It starts over only when a region of
		 * that name came and went between the two.
		 */
		do {
			if (!try_create(name, mode, perm, error) &&
			    error == errc::name_exists)
				m_region = region::open(name, access_for(mode),
							error);
		} while (error == errc::not_found);
		throw_unless(static_cast<bool>(m_region), error);
		keep(name, mode);
	}

	/** Opens a region; not_found_error if there is none. */
	kernel_shared_memory(boost::interprocess::open_only_t, const char *name,
			     boost::interprocess::mode_t mode)
	{
		std::error_code error;

		check_mode(mode);
		m_region = region::open(name, access_for(mode), error);
		throw_unless(static_cast<bool>(m_region), error);
		keep(name, mode);
	}

	/**
	 * Takes a region over: an unnamed one, one that came over a socket, a
	 * device node, one with options of its own.
	 */
	explicit kernel_shared_memory(region &&source)
	{
		std::error_code error;
		const access_mode access = source.access(error);

		throw_unless(!error, error);
		const region_info info = source.info(error);

		throw_unless(!error, error);
		m_name = info.name();
		m_mode = access == access_mode::read_write
				 ? boost::interprocess::read_write
				 : boost::interprocess::read_only;
		m_region = std::move(source);
	}

	kernel_shared_memory(kernel_shared_memory &&other) noexcept
	{
		swap(other);
	}

	kernel_shared_memory &operator=(kernel_shared_memory &&other) noexcept
	{
		kernel_shared_memory(std::move(other)).swap(*this);
		return *this;
	}

	kernel_shared_memory(const kernel_shared_memory &) = delete;
	kernel_shared_memory &operator=(const kernel_shared_memory &) = delete;

	/** Closes the handle; mapped_regions of it stay valid. */
	~kernel_shared_memory() = default;

	void swap(kernel_shared_memory &other) noexcept
	{
		m_region.swap(other.m_region);
		m_name.swap(other.m_name);
		std::swap(m_mode, other.m_mode);
	}

	friend void swap(kernel_shared_memory &a,
			 kernel_shared_memory &b) noexcept
	{
		a.swap(b);
	}

	/** Takes the name away. False if that failed; never throws. */
	static bool remove(const char *name) noexcept
	{
		std::error_code error;

		region::remove(name, error);
		return !error;
	}

	/** Sets the size in bytes; new bytes are zero. */
	void truncate(boost::interprocess::offset_t length)
	{
		std::error_code error;

		if (length < 0)
			error = std::make_error_code(
				std::errc::invalid_argument);
		else
			m_region.resize(static_cast<std::uint64_t>(length),
					error);
		throw_unless(!error, error);
	}

	/** The size in bytes. False if there is none; never throws. */
	bool get_size(boost::interprocess::offset_t &size) const noexcept
	{
		using limits =
			std::numeric_limits<boost::interprocess::offset_t>;
		std::error_code error;
		const std::uint64_t value = m_region.size(error);

		if (error || value > static_cast<std::uint64_t>(limits::max()))
			return false;
		size = static_cast<boost::interprocess::offset_t>(value);
		return true;
	}

	/** The name as it was given. */
	const char *get_name() const noexcept { return m_name.c_str(); }

	boost::interprocess::mode_t get_mode() const noexcept { return m_mode; }

	/** For mapped_region; stays the object's. */
	boost::interprocess::mapping_handle_t
	get_mapping_handle() const noexcept
	{
		boost::interprocess::mapping_handle_t handle = {};

		handle.handle = m_region.native_handle();
		handle.is_xsi = false;
		return handle;
	}

	/** The region behind it: its information, its descriptor. */
	const region &get_region() const noexcept { return m_region; }
	region &get_region() noexcept { return m_region; }

private:
	static void check_mode(boost::interprocess::mode_t mode)
	{
		namespace bip = boost::interprocess;

		if (mode != bip::read_only && mode != bip::read_write)
			throw bip::interprocess_exception(
				bip::error_info(bip::mode_error));
	}

	static access_mode access_for(boost::interprocess::mode_t mode) noexcept
	{
		return mode == boost::interprocess::read_write
			       ? access_mode::read_write
			       : access_mode::read_only;
	}

	static void throw_unless(bool good, const std::error_code &error)
	{
		if (!good)
			throw kernel_memory_exception(error);
	}

	bool try_create(const char *name, boost::interprocess::mode_t mode,
			const boost::interprocess::permissions &perm,
			std::error_code &error)
	{
		const auto bits = static_cast<::mode_t>(perm.get_permissions());
		create_options options;

		if (mode == boost::interprocess::read_write) {
			/* Without a name it would be an unnamed one. */
			m_region = region::create(
				options.set_name(*name ? name : "/")
					.set_mode(bits),
				error);
			return static_cast<bool>(m_region);
		}

		/*
		 * CREATE returns a handle for writing. So that a read-only one
		 * cannot be had under a name before it is complete, and that
		 * the mode does not stand in the way of its own creator, the
		 * name comes last.
		 */
		region writable = region::create(options, error);
		region readable;

		if (!error)
			readable =
				writable.reopen(access_mode::read_only, error);
		if (!error)
			writable.chmod(bits, error);
		if (!error)
			writable.bind(name, error);
		if (!error)
			m_region = std::move(readable);
		return !error;
	}

	void keep(const char *name, boost::interprocess::mode_t mode)
	{
		m_name = name;
		m_mode = mode;
	}

	region m_region;
	std::string m_name;
	boost::interprocess::mode_t m_mode = boost::interprocess::read_only;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_KERNEL_SHARED_MEMORY_HPP */
