/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A lock for one writer or many readers that comes with every region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_REGION_LOCK_HPP
#define SHM_KERNEL_INTERPROCESS_REGION_LOCK_HPP

#include <shm_kernel/interprocess/detail/deadline.hpp>
#include <shm_kernel/interprocess/detail/fork_notice.hpp>
#include <shm_kernel/interprocess/detail/ofd_lock.hpp>
#include <shm_kernel/interprocess/exceptions.hpp>
#include <shm_kernel/region.hpp>

#include <condition_variable>
#include <cstdint>
#include <limits>
#include <mutex>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

#include <sys/types.h>

namespace shm_kernel {

/**
 * In place of boost::interprocess::file_lock and _sharable_mutex: a lock of the
 * kernel on bytes of a region (an open file description lock, fcntl_locking(2)).
 *
 * Nothing of it is in the memory. So who may only read the region can take it,
 * too, as one of many (sharable); a region's content cannot break it; and the
 * kernel takes it back when its owner ends, however that happens. It is advisory:
 * it keeps out who asks for it, and nobody else.
 *
 * Each object has an open file of its own, and is an owner of its own: two
 * objects exclude each other in one process as in two. The threads of a process
 * may use one object together, as a std::shared_mutex: it keeps them apart, and
 * a thread that waits to write goes before those that come to read after it.
 * Between objects the kernel does not keep an order. fork() leaves the locks to
 * the parent; the child's objects are unlocked and open the region again.
 *
 * The object keeps the region and its name alive, as every handle of it does.
 * Meets Boost's SharableLockable and the SharedTimedLockable of the standard
 * library; neither copyable nor movable. Functions throw
 * kernel_memory_exception.
 */
class region_lock final
{
public:
	/**
	 * A lock on @a length bytes from @a offset on; 0 is all that follow,
	 * also beyond the end of the region. Locks exclude each other where
	 * their bytes meet. Rings, queues and named objects have locks on bytes
	 * of their own regions, so take others there.
	 *
	 * Opens @a file again with its access, so errc::permission_denied if
	 * the region's mode does not allow this process that, whatever a handle
	 * that it was given can do. Needs /proc.
	 */
	explicit region_lock(const region &file, std::uint64_t offset = 0,
			     std::uint64_t length = 0)
		: region_lock(open_again(file), offset, length)
	{
	}

	/**
	 * The same by the name of the region. With access_mode::read_only it can
	 * only be shared.
	 */
	explicit region_lock(std::string_view name,
			     access_mode mode = access_mode::read_write,
			     std::uint64_t offset = 0, std::uint64_t length = 0)
		: region_lock(open(name, mode), offset, length)
	{
	}

	region_lock(const region_lock &) = delete;
	region_lock &operator=(const region_lock &) = delete;
	~region_lock() = default;

	/** @name Exclusive: errc::permission_denied with a read-only handle */
	/** @{ */

	void lock() { take(detail::deadline::never()); }
	bool try_lock() { return take(detail::deadline::now()); }

	/**
	 * Until a moment: boost::posix_time::ptime (UTC) or a time point of
	 * std::chrono or boost::chrono. Where another object has the lock this
	 * looks again, after 50 us first and then ever more seldom, down to
	 * each 2 ms: the kernel has no timed wait for such locks. So it may come
	 * 2 ms late, and lose to those who wait without a limit.
	 */
	template <class TimePoint>
	bool timed_lock(const TimePoint &until)
	{
		return take(detail::deadline::at(until));
	}

	template <class TimePoint>
	bool try_lock_until(const TimePoint &until)
	{
		return take(detail::deadline::at(until));
	}

	template <class Duration>
	bool try_lock_for(const Duration &duration)
	{
		return take(detail::deadline::in(duration));
	}

	/** Does nothing in the child of a fork() of the owner. */
	void unlock() noexcept
	{
		const guard state(m_mutex);

		if (!m_exclusive)
			return;
		release();
		m_exclusive = false;
		m_changed.notify_all();
	}

	/** Keeps the lock, and lets others share it. */
	void unlock_and_lock_sharable()
	{
		const guard state(m_mutex);

		if (!m_exclusive)
			return;
		/* Cannot fail: an owner's own lock is no obstacle. */
		detail::ofd_lock(m_file.native_handle(),
				 detail::ofd_lock_type::read, m_start,
				 m_length);
		m_exclusive = false;
		m_readers = 1;
		m_changed.notify_all();
	}

	/** @} */
	/** @name Sharable */
	/** @{ */

	void lock_sharable() { share(detail::deadline::never()); }
	bool try_lock_sharable() { return share(detail::deadline::now()); }

	template <class TimePoint>
	bool timed_lock_sharable(const TimePoint &until)
	{
		return share(detail::deadline::at(until));
	}

	void unlock_sharable() noexcept
	{
		const guard state(m_mutex);

		if (!m_readers || --m_readers)
			return;
		release();
		m_changed.notify_all();
	}

	void lock_shared() { lock_sharable(); }
	bool try_lock_shared() { return try_lock_sharable(); }
	void unlock_shared() noexcept { unlock_sharable(); }

	template <class TimePoint>
	bool try_lock_shared_until(const TimePoint &until)
	{
		return share(detail::deadline::at(until));
	}

	template <class Duration>
	bool try_lock_shared_for(const Duration &duration)
	{
		return share(detail::deadline::in(duration));
	}

	/** @} */

	/** The region, by the handle of this object alone. */
	const region &get_region() const noexcept { return m_file; }

private:
	using guard = std::unique_lock<std::mutex>;

	/* An open file that nobody else has. */
	struct own_file
	{
		region file;
		access_mode mode;
	};

	region_lock(own_file own, std::uint64_t offset, std::uint64_t length)
		: m_file(std::move(own.file)), m_mode(own.mode),
		  m_start(static_cast<off_t>(offset)),
		  m_length(static_cast<off_t>(length)),
		  m_notice(
			  [](void *lock) noexcept {
				  static_cast<region_lock *>(lock)->in_child();
			  },
			  this)
	{
		constexpr auto most = static_cast<std::uint64_t>(
			std::numeric_limits<off_t>::max());

		if (offset > most || length > most - offset)
			throw kernel_memory_exception(
				std::make_error_code(
					std::errc::invalid_argument),
				"bytes to lock");
	}

	static own_file open_again(const region &file)
	{
		std::error_code error;
		const access_mode mode = file.access(error);
		region result;

		if (!error)
			result = file.reopen(mode, error);
		if (error)
			throw kernel_memory_exception(error);
		return {std::move(result), mode};
	}

	static own_file open(std::string_view name, access_mode mode)
	{
		std::error_code error;
		region result = region::open(name, mode, error);

		if (error)
			throw kernel_memory_exception(error);
		return {std::move(result), mode};
	}

	bool kernel_lock(detail::ofd_lock_type type,
			 const detail::deadline &limit)
	{
		return detail::ofd_lock_until(m_file.native_handle(), type,
					      m_start, m_length, limit);
	}

	void release() noexcept
	{
		detail::ofd_unlock(m_file.native_handle(), m_start, m_length);
	}

	template <class Condition>
	bool wait(guard &state, const detail::deadline &limit,
		  Condition condition)
	{
		if (limit.endless()) {
			m_changed.wait(state, condition);
			return true;
		}
		while (!condition()) {
			const auto left = limit.left();

			if (left == std::chrono::nanoseconds(0))
				return false;
			m_changed.wait_for(state, left);
		}
		return true;
	}

	/*
	 * Asks the kernel without keeping the state locked: other threads must
	 * be able to try, and to give up in time.
	 */
	bool ask(guard &state, detail::ofd_lock_type type,
		 const detail::deadline &limit)
	{
		bool have = false;

		m_asking = true;
		state.unlock();
		try {
			have = kernel_lock(type, limit);
		} catch (...) {
			state.lock();
			m_asking = false;
			m_changed.notify_all();
			throw;
		}
		state.lock();
		m_asking = false;
		m_changed.notify_all();
		return have;
	}

	bool take(const detail::deadline &limit)
	{
		guard state(m_mutex);

		++m_writers;

		const waiting_writer leave{m_writers, m_changed};

		if (!wait(state, limit, [this] {
			    return !m_exclusive && !m_asking && !m_readers;
		    }))
			return false;
		m_exclusive = ask(state, detail::ofd_lock_type::write, limit);
		return m_exclusive;
	}

	bool share(const detail::deadline &limit)
	{
		guard state(m_mutex);

		if (!wait(state, limit, [this] {
			    return !m_exclusive && !m_asking && !m_writers;
		    }))
			return false;
		if (!m_readers &&
		    !ask(state, detail::ofd_lock_type::read, limit))
			return false;
		++m_readers;
		return true;
	}

	/* Lets the readers in again that came after a writer. */
	struct waiting_writer
	{
		unsigned int &count;
		std::condition_variable &changed;

		~waiting_writer()
		{
			--count;
			changed.notify_all();
		}
	};

	/*
	 * Nothing is locked by the child; whoever waited or held a lock was a
	 * thread of its parent.
	 */
	void in_child() noexcept
	{
		detail::ofd_part(m_file, m_mode);
		::new (static_cast<void *>(&m_mutex)) std::mutex;
		::new (static_cast<void *>(&m_changed)) std::condition_variable;
		m_exclusive = m_asking = false;
		m_readers = m_writers = 0;
	}

	region m_file;
	const access_mode m_mode;
	const off_t m_start;
	const off_t m_length;

	/* All below is for the threads of this process. */
	std::mutex m_mutex;
	std::condition_variable m_changed;
	bool m_exclusive = false;
	/* A thread waits for the kernel. */
	bool m_asking = false;
	/* Threads that share the one lock that the kernel knows of. */
	unsigned int m_readers = 0;
	/* Threads that wait to write. */
	unsigned int m_writers = 0;
	detail::fork_notice m_notice;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_REGION_LOCK_HPP */
