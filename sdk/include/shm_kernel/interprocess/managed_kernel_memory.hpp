/* SPDX-License-Identifier: BSL-1.0 */
/*
 * boost::interprocess::managed_shared_memory on a region of the kernel
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_MANAGED_KERNEL_MEMORY_HPP
#define SHM_KERNEL_INTERPROCESS_MANAGED_KERNEL_MEMORY_HPP

#include <shm_kernel/interprocess/detail/mutex_registry.hpp>
#include <shm_kernel/interprocess/detail/segment_header.hpp>
#include <shm_kernel/interprocess/exceptions.hpp>
#include <shm_kernel/interprocess/hash_index.hpp>
#include <shm_kernel/interprocess/kernel_shared_memory.hpp>
#include <shm_kernel/interprocess/name_lifetime.hpp>
#include <shm_kernel/interprocess/robust_mutex_family.hpp>
#include <shm_kernel/interprocess/segment_options.hpp>
#include <shm_kernel/interprocess/segregated_fit.hpp>
#include <shm_kernel/region.hpp>

#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/permissions.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <sys/mman.h>
#include <sys/types.h>

namespace shm_kernel {
namespace detail {

/** A region as mapped_region wants it: Boost's MemoryMappable. */
struct mappable_region
{
	int descriptor;

	boost::interprocess::mapping_handle_t
	get_mapping_handle() const noexcept
	{
		boost::interprocess::mapping_handle_t handle = {};

		handle.handle = descriptor;
		handle.is_xsi = false;
		return handle;
	}
};

/**
 * Maps with the errors of this library. @a options are flags of mmap() in
 * addition to those of the mode.
 */
inline boost::interprocess::mapped_region
map_region(const region &source, boost::interprocess::mode_t mode,
	   std::size_t size, const void *address, int options)
{
	namespace bip = boost::interprocess;

	try {
		return bip::mapped_region(
			mappable_region{source.native_handle()}, mode, 0, size,
			address, options);
	} catch (const bip::interprocess_exception &error) {
		const int number = error.get_native_error();

		/* MAP_FIXED_NOREPLACE says that something else is there. */
		if (number == EEXIST ||
		    error.get_error_code() == bip::busy_error)
			throw kernel_memory_exception(
				std::make_error_code(
					std::errc::device_or_resource_busy),
				"the address of the segment is taken here");
		switch (number) {
		case 0:
			throw;
		case EACCES:
			throw kernel_memory_exception(errc::permission_denied);
		case ENOMEM:
			throw kernel_memory_exception(errc::no_memory);
		case ENODEV:
			throw kernel_memory_exception(errc::revoked);
		default:
			throw kernel_memory_exception(
				{number, std::system_category()});
		}
	}
}

/** Steps back longer and longer, 1 ms at most. */
class backoff final
{
public:
	void operator()()
	{
		constexpr unsigned int yields = 16;
		constexpr unsigned int sleeps = 48;

		if (m_round < yields) {
			/* A holder on another processor is done at once. */
			std::atomic_signal_fence(std::memory_order_seq_cst);
		} else if (m_round < sleeps) {
			std::this_thread::yield();
		} else {
			std::this_thread::sleep_for(m_pause);
			if (m_pause < std::chrono::milliseconds(1))
				m_pause *= 2;
		}
		++m_round;
	}

private:
	unsigned int m_round = 0;
	std::chrono::microseconds m_pause{50};
};

/** Whether an index may be read while others change it. */
template <template <class> class IndexType>
struct readable_without_lock : std::false_type
{
};

template <>
struct readable_without_lock<hash_index> : std::true_type
{
};

} // namespace detail

/**
 * Drop-in for boost::interprocess::basic_managed_shared_memory: named and
 * anonymous objects in memory that processes share. All that
 * basic_managed_external_buffer and its bases document is inherited.
 *
 * What differs from Boost's class:
 *
 * - The name, and the memory, go with the last process that has the segment
 *   open or mapped, killed ones included; with name_lifetime::removal when
 *   kernel_shared_memory::remove() is called.
 * - A segment appears under its name complete or not at all: nobody waits for
 *   its creator, and one that is killed leaves nothing.
 * - With a robust mutex family the death of a process in the middle of an
 *   operation blocks nobody; see recovered().
 * - Who opens it with other types, another Boost layout or another pointer size
 *   gets errc::layout_mismatch before a byte of it is read.
 * - It can grow while others use it; see grow_online().
 *
 * Sizes are bytes. Functions throw kernel_memory_exception for what the kernel
 * refuses, and what Boost's throw otherwise. Distinct objects may be used by
 * distinct threads, and one by several as the class of Boost: all but moving,
 * swapping and destroying it is safe.
 *
 * @tparam MemoryAlgorithm segregated_fit, or one of Boost's. With raw pointers
 *	(void * as its pointer) everybody has the segment at the same address.
 * @tparam IndexType hash_index, or one of Boost's.
 */
template <class CharT, class MemoryAlgorithm, template <class> class IndexType,
	  name_lifetime Lifetime = name_lifetime::users>
class basic_managed_kernel_memory
	: public boost::interprocess::basic_managed_external_buffer<
		  CharT, MemoryAlgorithm, IndexType>
{
	using base_type = boost::interprocess::basic_managed_external_buffer<
		CharT, MemoryAlgorithm, IndexType>;
	using mutex_type = typename MemoryAlgorithm::mutex_family::mutex_type;
	using recursive_mutex_type =
		typename MemoryAlgorithm::mutex_family::recursive_mutex_type;
	/* There is no documented name for what lies in a segment manager. */
	using named_index_type =
		typename base_type::segment_manager::named_index_t;
	using unique_index_type =
		typename base_type::segment_manager::unique_index_t;

public:
	using device_type = kernel_shared_memory;
	/* What Boost's functions take for a name; not to be named otherwise. */
	using typename base_type::char_ptr_holder_t;
	using typename base_type::handle_t;
	using typename base_type::segment_manager;
	using typename base_type::size_type;

	/** @name Creating and opening, as in Boost */
	/** @{ */

	/** Has no segment; to be moved or swapped into. */
	basic_managed_kernel_memory() = default;

	/**
	 * Creates a segment in a region of @a size bytes, mapped at @a address
	 * unless that is null. already_exists_error, size_error if there is no
	 * room for the bookkeeping, busy_error if the address is taken.
	 */
	basic_managed_kernel_memory(
		boost::interprocess::create_only_t, const char *name,
		size_type size, const void *address = nullptr,
		const boost::interprocess::permissions &perm =
			boost::interprocess::permissions())
	{
		create(positional(name, size, address, perm)).swap(*this);
	}

	/** Creates a segment, or opens the one that has the name. */
	basic_managed_kernel_memory(
		boost::interprocess::open_or_create_t, const char *name,
		size_type size, const void *address = nullptr,
		const boost::interprocess::permissions &perm =
			boost::interprocess::permissions())
	{
		open_or_create(positional(name, size, address, perm))
			.swap(*this);
	}

	/** Opens a segment; not_found_error, security_error. */
	basic_managed_kernel_memory(boost::interprocess::open_only_t,
				    const char *name,
				    const void *address = nullptr)
	{
		open(name, boost::interprocess::read_write, address)
			.swap(*this);
	}

	/**
	 * Opens a segment for find(), find_shared() and what else does not
	 * write. The memory cannot be written through it, not even by
	 * mprotect(); functions that lock raise SIGSEGV, as in Boost.
	 */
	basic_managed_kernel_memory(boost::interprocess::open_read_only_t,
				    const char *name,
				    const void *address = nullptr)
	{
		open(name, boost::interprocess::read_only, address).swap(*this);
	}

	/**
	 * Opens a segment whose changes stay in this process. Its locks are
	 * this process's own (with a robust mutex family), so that it waits
	 * for nobody.
	 *
	 * It is no snapshot: a page becomes private when it is first written
	 * here, and others are seen to change until then. While somebody
	 * writes to the segment, pages of before and after come together, and
	 * what is found may be torn. A faithful copy needs writers that pause
	 * while it is opened and every page of it is touched.
	 */
	basic_managed_kernel_memory(boost::interprocess::open_copy_on_write_t,
				    const char *name,
				    const void *address = nullptr)
	{
		open(name, boost::interprocess::copy_on_write, address)
			.swap(*this);
	}

	/** @} */
	/** @name Creating and opening, beyond Boost */
	/** @{ */

	/**
	 * Creates a segment. One without a name is reached by its descriptor
	 * alone (native_handle()), or named later by get_region().bind().
	 */
	basic_managed_kernel_memory(boost::interprocess::create_only_t,
				    const segment_options &options)
	{
		create(options).swap(*this);
	}

	/** Creates a segment, or opens the one that has the name. */
	basic_managed_kernel_memory(boost::interprocess::open_or_create_t,
				    const segment_options &options)
	{
		open_or_create(options).swap(*this);
	}

	/**
	 * Opens the segment in a region, for instance one that came over a
	 * socket. The region is taken over if that succeeds.
	 */
	basic_managed_kernel_memory(boost::interprocess::open_only_t,
				    region &&source,
				    const void *address = nullptr)
	{
		attach(source, boost::interprocess::read_write, address)
			.swap(*this);
	}

	basic_managed_kernel_memory(boost::interprocess::open_read_only_t,
				    region &&source,
				    const void *address = nullptr)
	{
		attach(source, boost::interprocess::read_only, address)
			.swap(*this);
	}

	basic_managed_kernel_memory(boost::interprocess::open_copy_on_write_t,
				    region &&source,
				    const void *address = nullptr)
	{
		attach(source, boost::interprocess::copy_on_write, address)
			.swap(*this);
	}

	/** @} */
	/** @name The object */
	/** @{ */

	/** Unmaps; the segment stays for those who use it. */
	~basic_managed_kernel_memory() = default;

	basic_managed_kernel_memory(
		basic_managed_kernel_memory &&other) noexcept
		: base_type()
	{
		swap(other);
	}

	basic_managed_kernel_memory &
	operator=(basic_managed_kernel_memory &&other) noexcept
	{
		basic_managed_kernel_memory(std::move(other)).swap(*this);
		return *this;
	}

	basic_managed_kernel_memory(const basic_managed_kernel_memory &) =
		delete;
	basic_managed_kernel_memory &
	operator=(const basic_managed_kernel_memory &) = delete;

	/** Segment, mapping and region of both change places. */
	void swap(basic_managed_kernel_memory &other) noexcept
	{
		base_type::swap(other);
		m_mapping.swap(other.m_mapping);
		m_region.swap(other.m_region);
		std::swap(m_facts, other.m_facts);
		std::swap(m_opened_existing, other.m_opened_existing);
	}

	friend void swap(basic_managed_kernel_memory &a,
			 basic_managed_kernel_memory &b) noexcept
	{
		a.swap(b);
	}

	/** The handle of the region; its name is given by bind(). */
	region &get_region() noexcept { return m_region; }
	const region &get_region() const noexcept { return m_region; }

	/** Its descriptor, which stays the object's; -1 when it has none. */
	int native_handle() const noexcept { return m_region.native_handle(); }

	/** max_size() bytes of address space, get_size() of them memory. */
	const boost::interprocess::mapped_region &
	get_mapped_region() const noexcept
	{
		return m_mapping;
	}

	/** Whether the constructor found the segment made by another. */
	bool opened_existing() const noexcept { return m_opened_existing; }

	/** @} */
	/** @name Memory */
	/** @{ */

	/** Where the region is mapped; handles are relative to that. */
	void *get_address() const noexcept { return m_mapping.get_address(); }

	/** Bytes of the segment, bookkeeping included. */
	size_type get_size() const noexcept
	{
		const segment_manager *const manager =
			this->get_segment_manager();

		return manager ? manager->get_size() + segment_start : 0;
	}

	/** Bytes that the segment can have without anybody mapping anew. */
	size_type max_size() const noexcept { return m_mapping.get_size(); }

	handle_t get_handle_from_address(const void *pointer) const noexcept
	{
		return static_cast<const char *>(pointer) - start();
	}

	void *get_address_from_handle(handle_t handle) const noexcept
	{
		return start() + handle;
	}

	bool belongs_to_segment(const void *pointer) const noexcept
	{
		const auto *const byte = static_cast<const char *>(pointer);

		return byte >= start() && byte < start() + get_size();
	}

	/** Returns when the kernel has the changes; there is no file. */
	bool flush() { return m_mapping.flush(0, get_size()); }

	/** @} */
	/** @name Finding */
	/** @{ */

	/**
	 * As in Boost: the object and its length, nullptr if there is none. On
	 * a read-only mapping it does not lock, and may miss or misread what
	 * is being changed; find_shared() does not.
	 */
	template <class T>
	std::pair<T *, size_type> find(char_ptr_holder_t name)
	{
		if (m_mapping.get_mode() != boost::interprocess::read_only)
			return base_type::template find<T>(name);
		if constexpr (lock_free_index)
			return look<T>(name);
		else
			return this->get_segment_manager()
				->template find_no_lock<T>(name);
	}

	/**
	 * Finds as if it locked, also on a read-only mapping: it looks again
	 * when somebody changed the index meanwhile, and waits for whoever
	 * does. Needs hash_index and a robust mutex family. The object itself
	 * may be changed and destroyed by others at any time, as always.
	 *
	 * A process that died while it changed the index is not waited for:
	 * what it had not completed is not there. With
	 * strict_robust_mutex_family that is errc::owner_dead instead, until
	 * mark_consistent().
	 */
	template <class T>
	std::pair<T *, size_type> find_shared(char_ptr_holder_t name)
	{
		static_assert(lock_free_index,
			      "only hash_index can be read without its lock");
		static_assert(
			detail::tells_recoveries<recursive_mutex_type>::value,
			"find_shared() needs a robust mutex family");

		if (m_mapping.get_mode() != boost::interprocess::read_only)
			return base_type::template find<T>(name);

		const recursive_mutex_type &mutex =
			*part_at<const recursive_mutex_type>(
				&detail::segment_facts::index_mutex);
		detail::backoff wait;

		for (;; wait()) {
			const std::uint32_t generation = mutex.generation();
			const bool held = generation & 1;

			/* Odd: somebody changes the index, or died with it. */
			if (held && !mutex.owner_died())
				continue;

			const std::pair<T *, size_type> found = look<T>(name);

			std::atomic_thread_fence(std::memory_order_acquire);
			if (mutex.generation() != generation ||
			    (held && !mutex.owner_died()))
				continue;
			if (reports_deaths && !mutex.consistent())
				throw kernel_memory_exception(errc::owner_dead,
							      "find_shared");
			return found;
		}
	}

	/** @} */
	/** @name Growing and shrinking */
	/** @{ */

	/**
	 * Adds @a extra bytes while others use the segment, who can use them at
	 * once; up to max_size(), size_error beyond. errc::limit_reached and
	 * errc::no_memory leave it as it was. A process that dies in the middle
	 * of this does no harm. Needs a robust mutex family.
	 */
	void grow_online(size_type extra)
	{
		require_shared("grow_online");

		mutex_type *const mutex = allocator_mutex();

		if (!mutex)
			throw kernel_memory_exception(
				std::make_error_code(
					std::errc::operation_not_supported),
				"grow_online needs a robust mutex family");

		const boost::interprocess::scoped_lock<mutex_type> lock(*mutex);

		if (extra > max_size() - get_size())
			throw boost::interprocess::interprocess_exception(
				boost::interprocess::error_info(
					boost::interprocess::size_error),
				"shm_kernel: grow_online beyond max_size()");
		resize_and_grow(extra);
	}

	/**
	 * Adds @a extra bytes to a segment by its name; false if that failed.
	 * Beyond its max_size() nobody else may have it open.
	 */
	static bool grow(const char *name, size_type extra)
	{
		try {
			basic_managed_kernel_memory segment(
				boost::interprocess::open_only, name);

			segment.grow_offline(extra);
		} catch (...) {
			return false;
		}
		return true;
	}

	/**
	 * Gives free memory at the end of a segment back; false if that failed.
	 * Nobody else may have it open.
	 */
	static bool shrink_to_fit(const char *name)
	{
		try {
			basic_managed_kernel_memory segment(
				boost::interprocess::open_only, name);
			const auto lock = segment.lock_allocator();

			segment.get_segment_manager()->shrink_to_fit();
			segment.resize(segment.get_size());
		} catch (...) {
			return false;
		}
		return true;
	}

	/** @} */
	/** @name Dead owners */
	/** @{ */

	/**
	 * How often the segment went on after a process had died in the middle
	 * of an operation, since its creation. At most the block of memory in
	 * hand is lost by that, and the object under construction; what
	 * the process was doing in objects of its own is for the program to
	 * judge. Always 0 without a robust mutex family.
	 */
	std::uint32_t recoveries() const noexcept
	{
		return recoveries_of(allocator_mutex()) +
		       recoveries_of(index_mutex());
	}

	/** Whether there were any since the last mark_consistent(). */
	bool recovered() const noexcept
	{
		return m_mapping.get_address() &&
		       recoveries() != header()->forgiven.load(
					       std::memory_order_acquire);
	}

	/**
	 * Declares the content good. With strict_robust_mutex_family nothing
	 * works after a death, but throws errc::owner_dead, until this is
	 * called.
	 */
	void mark_consistent()
	{
		require_shared("mark_consistent");

		/* What comes after this look is not what was judged. */
		const std::uint32_t seen = recoveries();

		mark(allocator_mutex());
		mark(index_mutex());
		header()->forgiven.store(seen, std::memory_order_release);
	}

	/**
	 * Whether allocator and indexes are in order, as far as a look at all
	 * of it tells. True without a segment.
	 */
	bool check_sanity()
	{
		if (!this->get_segment_manager())
			return true;
		if (m_mapping.get_mode() == boost::interprocess::read_only)
			throw kernel_memory_exception(errc::permission_denied,
						      "check_sanity");

		bool good = base_type::check_sanity();
		auto walk = [this, &good] {
			good = good && indexes_in_order();
		};

		this->atomic_func(walk);
		return good;
	}

	/** @} */

private:
	static constexpr size_type segment_start = detail::segment_offset;
	static constexpr bool reports_deaths =
		std::is_same_v<recursive_mutex_type,
			       strict_robust_recursive_mutex>;
	static constexpr bool lock_free_index =
		detail::readable_without_lock<IndexType>::value;
	/* Raw pointers in the segment hold at one address only. */
	static constexpr bool fixed_address =
		std::is_pointer_v<typename MemoryAlgorithm::void_pointer>;

	static_assert(detail::segment_offset % alignof(segment_manager) == 0,
		      "the segment manager wants a larger alignment");
	static_assert(detail::segment_offset % MemoryAlgorithm::Alignment == 0,
		      "the memory algorithm wants a larger alignment");

	[[noreturn]] static void fail(const std::error_code &error,
				      const char *what, const std::string &name)
	{
		throw kernel_memory_exception(error, std::string(what) + " \"" +
							     name + '"');
	}

	[[noreturn]] static void wrong_size(const char *text)
	{
		throw boost::interprocess::interprocess_exception(
			boost::interprocess::error_info(
				boost::interprocess::size_error),
			text);
	}

	static segment_options
	positional(const char *name, size_type size, const void *address,
		   const boost::interprocess::permissions &perm)
	{
		return segment_options{}
			/* Without a name it would be an unnamed one. */
			.set_name(*name ? name : "/")
			.set_size(size)
			.set_address(address)
			.set_mode(
				static_cast<::mode_t>(perm.get_permissions()));
	}

	/* The address has to be got exactly only if pointers depend on it. */
	static int map_flags(const void *address) noexcept
	{
		return fixed_address && address ? MAP_FIXED_NOREPLACE : 0;
	}

	/* As in Boost, before a look at whether the segment is there. */
	static void check(const segment_options &options)
	{
		if (options.size() <
		    segment_start + segment_manager::get_min_size())
			wrong_size("shm_kernel: the size is too small for a "
				   "segment");
		if (options.max_size() >
		    std::numeric_limits<std::size_t>::max() / 2)
			wrong_size("shm_kernel: the size is more than there is "
				   "of address space");
		if (options.contiguous() &&
		    options.max_size() != options.size())
			throw kernel_memory_exception(
				std::make_error_code(
					std::errc::invalid_argument),
				"a contiguous segment cannot grow");
	}

	/*
	 * A segment in an unnamed region, complete. Sets @error, and is empty,
	 * if the region could not be had.
	 */
	static basic_managed_kernel_memory make(const segment_options &options,
						std::error_code &error)
	{
		basic_managed_kernel_memory result;
		create_options wanted = options.region_options();
		const detail::layout_stamp stamp =
			detail::segment_stamp<segment_manager>(
				options.max_size());

		result.m_region = region::create(
			wanted.set_name({})
				.set_persistent(options.persistent().value_or(
					Lifetime == name_lifetime::removal))
				.set_tag(&stamp, sizeof(stamp)),
			error);
		if (error)
			return result;
		result.m_mapping = detail::map_region(
			result.m_region, boost::interprocess::read_write,
			static_cast<std::size_t>(options.max_size()),
			options.address(),
			map_flags(options.address()) |
				(options.populate() ? MAP_POPULATE : 0));
		result.construct_segment(
			static_cast<size_type>(options.size()));
		return result;
	}

	void construct_segment(size_type size)
	{
		auto *const header =
			::new (m_mapping.get_address()) detail::segment_header;
		detail::mutex_registry registry;

		base_type(boost::interprocess::create_only,
			  start() + segment_start, size - segment_start)
			.swap(*this);
		m_facts.magic = detail::segment_facts::expected_magic;
		m_facts.address = reinterpret_cast<std::uintptr_t>(start());
		m_facts.allocator_mutex = offset_of(registry.mutex);
		m_facts.index_mutex = offset_of(registry.recursive_mutex);
		m_facts.named_index = offset_of(registry.named_index);
		m_facts.unique_index = offset_of(registry.unique_index);
		header->facts = m_facts;
	}

	static basic_managed_kernel_memory
	create(const segment_options &options)
	{
		const std::string &name = options.name();
		std::error_code error;

		check(options);
		if (!name.empty()) {
			/* Before memory is asked for that cannot be used. */
			region::open(name, access_mode::read_only, error);
			if (!error || error == errc::permission_denied)
				error = errc::name_exists;
			if (error != errc::not_found)
				fail(error, "create segment", name);
		}

		basic_managed_kernel_memory result = make(options, error);

		if (!error && !name.empty())
			result.m_region.bind(name, error);
		if (error)
			fail(error, "create segment", name);
		return result;
	}

	static basic_managed_kernel_memory
	open_or_create(const segment_options &options)
	{
		const std::string &name = options.name();
		std::error_code failed;

		check(options);
		for (;;) {
			std::error_code error;
			region found = region::open(
				name, access_mode::read_write, error);

			if (!error)
				return attach(found,
					      boost::interprocess::read_write,
					      options.address());
			if (error != errc::not_found)
				fail(error, "open or create segment", name);
			/*
			 * What could not be had while another was making the
			 * same is no error once that one has its name.
			 */
			if (failed)
				fail(failed, "open or create segment", name);

			basic_managed_kernel_memory result =
				make(options, failed);

			if (failed)
				continue;
			result.m_region.bind(name, error);
			if (!error)
				return result;
			if (error != errc::name_exists)
				fail(error, "open or create segment", name);
		}
	}

	static basic_managed_kernel_memory
	open(const char *name, boost::interprocess::mode_t mode,
	     const void *address)
	{
		std::error_code error;
		region source =
			region::open(*name ? name : "/",
				     mode == boost::interprocess::read_write
					     ? access_mode::read_write
					     : access_mode::read_only,
				     error);

		if (error)
			fail(error, "open segment", name);
		return attach(source, mode, address);
	}

	/* Takes @source over, after all else has succeeded. */
	static basic_managed_kernel_memory
	attach(region &source, boost::interprocess::mode_t mode,
	       const void *address)
	{
		std::error_code error;
		const region_info info = source.info(error);

		if (error)
			throw kernel_memory_exception(error, "open segment");

		const detail::layout_stamp stamp = detail::require_layout(
			info, detail::segment_stamp<segment_manager>());
		const detail::segment_facts facts = facts_of(source, info);
		const std::uint64_t length =
			stamp.extra > info.size() ? stamp.extra : info.size();
		basic_managed_kernel_memory result;

		if (length > std::numeric_limits<std::size_t>::max() / 2)
			wrong_size("shm_kernel: the segment is larger than the "
				   "address space");
		if constexpr (fixed_address) {
			auto *const there = reinterpret_cast<const void *>(
				static_cast<std::uintptr_t>(facts.address));

			if (address && address != there)
				throw kernel_memory_exception(
					std::make_error_code(
						std::errc::invalid_argument),
					"the segment has pointers for another "
					"address");
			address = there;
		}
		result.m_mapping = detail::map_region(
			source, mode, static_cast<std::size_t>(length), address,
			map_flags(address) |
				/* Not for what may never be written. */
				(mode == boost::interprocess::copy_on_write
					 ? MAP_NORESERVE
					 : 0));
		base_type(boost::interprocess::open_only,
			  result.start() + segment_start,
			  static_cast<size_type>(length) - segment_start)
			.swap(result);
		result.m_facts = facts;
		if (mode == boost::interprocess::copy_on_write) {
			renew(result.allocator_mutex());
			renew(result.index_mutex());
		}
		result.m_region = std::move(source);
		result.m_opened_existing = true;
		return result;
	}

	/* Reads what has to be known before the segment is mapped. */
	static detail::segment_facts facts_of(const region &source,
					      const region_info &info)
	{
		detail::segment_facts facts;
		std::error_code error;

		source.read(0, &facts, sizeof(facts), error);
		if (error)
			throw kernel_memory_exception(error, "open segment");
		if (info.size() <
			    segment_start + segment_manager::get_min_size() ||
		    facts.magic != detail::segment_facts::expected_magic ||
		    !good_offset<mutex_type>(
			    facts.allocator_mutex,
			    detail::tells_recoveries<mutex_type>::value) ||
		    !good_offset<recursive_mutex_type>(
			    facts.index_mutex,
			    detail::tells_recoveries<
				    recursive_mutex_type>::value) ||
		    !good_offset<named_index_type>(facts.named_index,
						   lock_free_index) ||
		    !good_offset<unique_index_type>(facts.unique_index,
						    lock_free_index))
			throw kernel_memory_exception(
				errc::layout_mismatch,
				"region \"" + info.printable_name() +
					"\" was a segment once, and was "
					"cleared or cut off");
		return facts;
	}

	/* Of a part of the segment manager, or 0 if it is not @known. */
	template <class Part>
	static bool good_offset(std::uint32_t offset, bool known) noexcept
	{
		return known ? offset >= segment_start &&
				       offset <=
					       segment_start +
						       sizeof(segment_manager) -
						       sizeof(Part) &&
				       offset % alignof(Part) == 0
			     : !offset;
	}

	std::uint32_t offset_of(const void *part) const noexcept
	{
		return part ? static_cast<std::uint32_t>(
				      static_cast<const char *>(part) - start())
			    : 0;
	}

	char *start() const noexcept
	{
		return static_cast<char *>(m_mapping.get_address());
	}

	detail::segment_header *header() const noexcept
	{
		return static_cast<detail::segment_header *>(
			m_mapping.get_address());
	}

	/* Of a segment that has it. */
	template <class Part>
	Part *
	part_at(std::uint32_t detail::segment_facts::*offset) const noexcept
	{
		return reinterpret_cast<Part *>(start() + m_facts.*offset);
	}

	/* nullptr without a segment, or if its part is not known. */
	template <class Part>
	Part *
	part_if(std::uint32_t detail::segment_facts::*offset) const noexcept
	{
		return m_facts.*offset ? part_at<Part>(offset) : nullptr;
	}

	mutex_type *allocator_mutex() const noexcept
	{
		return part_if<mutex_type>(
			&detail::segment_facts::allocator_mutex);
	}

	recursive_mutex_type *index_mutex() const noexcept
	{
		return part_if<recursive_mutex_type>(
			&detail::segment_facts::index_mutex);
	}

	/* For an index that can be read without a lock; nullptr, 0 if none. */
	template <class T>
	std::pair<T *, size_type> look(char_ptr_holder_t name) const noexcept
	{
		if (name.is_unique())
			return look_in<T>(
				part_at<const unique_index_type>(
					&detail::segment_facts::unique_index),
				typeid(T).name());
		return look_in<T>(part_at<const named_index_type>(
					  &detail::segment_facts::named_index),
				  name.get());
	}

	template <class T, class Index, class Char>
	static std::pair<T *, size_type> look_in(const Index *index,
						 const Char *name) noexcept
	{
		const auto found = index->find_shared(
			name, std::char_traits<Char>::length(name));

		return {static_cast<T *>(const_cast<void *>(found.address)),
			static_cast<size_type>(found.size / sizeof(T))};
	}

	template <class Mutex>
	static std::uint32_t recoveries_of(const Mutex *mutex) noexcept
	{
		if constexpr (detail::tells_recoveries<Mutex>::value)
			return mutex ? mutex->recoveries() : 0;
		else
			return 0;
	}

	template <class Mutex>
	static void mark(Mutex *mutex)
	{
		if constexpr (detail::tells_recoveries<Mutex>::value) {
			if (mutex)
				mutex->mark_consistent();
		}
	}

	/* In the private copy, where it may be held, by somebody elsewhere. */
	template <class Mutex>
	static void renew(Mutex *mutex) noexcept
	{
		if constexpr (detail::tells_recoveries<Mutex>::value) {
			if (mutex)
				mutex->renew();
		}
	}

	void require_shared(const char *what) const
	{
		if (!m_mapping.get_address())
			throw kernel_memory_exception(errc::empty_handle, what);
		if (m_mapping.get_mode() != boost::interprocess::read_write)
			throw kernel_memory_exception(errc::permission_denied,
						      what);
	}

	boost::interprocess::scoped_lock<mutex_type> lock_allocator()
	{
		mutex_type *const mutex = allocator_mutex();

		return mutex ? boost::interprocess::scoped_lock<mutex_type>(
				       *mutex)
			     : boost::interprocess::scoped_lock<mutex_type>();
	}

	void resize(size_type size)
	{
		std::error_code error;

		m_region.resize(size, error);
		if (error)
			throw kernel_memory_exception(error, "resize segment");
	}

	/*
	 * With the lock of the allocator. The region may be larger than the
	 * segment already: somebody died between the two steps.
	 */
	void resize_and_grow(size_type extra)
	{
		const size_type size = get_size() + extra;
		std::error_code error;
		const std::uint64_t present = m_region.size(error);

		if (error)
			throw kernel_memory_exception(error, "grow segment");
		if (present < size)
			resize(size);
		/*
		 * Newer versions of Boost do not let raw pointers grow, for
		 * their own grow() may map elsewhere. Here the address stays.
		 * The cast is the one way to a private base.
		 */
		if constexpr (fixed_address)
			((MemoryAlgorithm *)this->get_segment_manager())
				->grow(extra);
		else
			this->get_segment_manager()->grow(extra);
	}

	void grow_offline(size_type extra)
	{
		const size_type size = get_size();

		if (extra > std::numeric_limits<size_type>::max() / 2 - size)
			wrong_size("shm_kernel: the segment would be larger "
				   "than the address space");
		if (size + extra > max_size()) {
			/* The size first, then a mapping that has it all. */
			resize(size + extra);

			region source = std::move(m_region);

			m_mapping = boost::interprocess::mapped_region();
			base_type().swap(*this);
			try {
				attach(source, boost::interprocess::read_write,
				       nullptr)
					.swap(*this);
			} catch (...) {
				std::error_code ignored;

				/* Raw pointers need the room at their place. */
				source.resize(size, ignored);
				throw;
			}
		}

		const auto lock = lock_allocator();

		resize_and_grow(extra);
	}

	/* With the lock. */
	bool indexes_in_order()
	{
		if constexpr (lock_free_index) {
			const auto *const named =
				part_at<const named_index_type>(
					&detail::segment_facts::named_index);
			const auto *const unique =
				part_at<const unique_index_type>(
					&detail::segment_facts::unique_index);

			if (!named->check_sanity() || !unique->check_sanity())
				return false;
		}
		return in_order(this->named_begin(), this->named_end(),
				this->get_num_named_objects()) &&
		       in_order(this->unique_begin(), this->unique_end(),
				this->get_num_unique_objects());
	}

	/* Whether the names of an index and what they lead to are inside. */
	template <class Iterator>
	bool in_order(Iterator from, Iterator to, size_type count) const
	{
		for (; from != to; ++from, --count) {
			if (!count)
				return false;

			const auto each = *from;
			const auto *const name = each.name();
			const size_type length = each.name_length();

			if (!belongs_to_segment(name) ||
			    !belongs_to_segment(name + length) ||
			    name[length] || !belongs_to_segment(each.value()))
				return false;
		}
		return !count;
	}

	region m_region;
	boost::interprocess::mapped_region m_mapping;
	/* As they were when they were found good. */
	detail::segment_facts m_facts;
	bool m_opened_existing = false;
};

/** managed_shared_memory, on a region. */
using managed_kernel_memory =
	basic_managed_kernel_memory<char, segregated_fit<robust_mutex_family>,
				    hash_index>;

/** With names of wide characters. */
using wmanaged_kernel_memory = basic_managed_kernel_memory<
	wchar_t, segregated_fit<robust_mutex_family>, hash_index>;

/** With raw pointers: everybody has it at the same address. */
using fixed_managed_kernel_memory = basic_managed_kernel_memory<
	char, segregated_fit<robust_mutex_family, void *>, hash_index>;

using wfixed_managed_kernel_memory = basic_managed_kernel_memory<
	wchar_t, segregated_fit<robust_mutex_family, void *>, hash_index>;

/** Those whose names stay until they are removed, as in Boost. */
using persistent_managed_kernel_memory =
	basic_managed_kernel_memory<char, segregated_fit<robust_mutex_family>,
				    hash_index, name_lifetime::removal>;

using wpersistent_managed_kernel_memory =
	basic_managed_kernel_memory<wchar_t,
				    segregated_fit<robust_mutex_family>,
				    hash_index, name_lifetime::removal>;

using fixed_persistent_managed_kernel_memory =
	basic_managed_kernel_memory<char,
				    segregated_fit<robust_mutex_family, void *>,
				    hash_index, name_lifetime::removal>;

using wfixed_persistent_managed_kernel_memory =
	basic_managed_kernel_memory<wchar_t,
				    segregated_fit<robust_mutex_family, void *>,
				    hash_index, name_lifetime::removal>;

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_MANAGED_KERNEL_MEMORY_HPP */
