/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A lock for one writer or many readers that the kernel takes back from the dead
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_UPGRADABLE_REGION_LOCK_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_UPGRADABLE_REGION_LOCK_HPP

#include <shm_kernel/interprocess/detail/deadline.hpp>
#include <shm_kernel/interprocess/detail/fork_notice.hpp>
#include <shm_kernel/interprocess/detail/ofd_lock.hpp>
#include <shm_kernel/mapping.hpp>
#include <shm_kernel/region.hpp>

#include <boost/interprocess/exceptions.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>

namespace shm_kernel {
namespace detail {

/**
 * Exclusive, sharable and upgradable ownership, as of Boost's
 * interprocess_upgradable_mutex. All functions that wait return false when
 * @a limit has come; unlocking what is not locked throws lock_exception.
 *
 * Between processes it is made of open file description locks on three bytes of
 * the region:
 *
 *	right	who may write, now or later: held by the upgradable owner
 *		and by the exclusive one
 *	data	read-locked by those who read, the upgradable owner
 *		included, write-locked by the exclusive one
 *	gate	held by a writer while it waits for the readers to leave:
 *		readers who come later go through it, and so wait for him
 *
 * Only who has the right asks for more than he has of data, so two of them
 * never wait for each other. The word in memory says that somebody may be at
 * the gate, and saves readers the way through it; one who dies there leaves it
 * set, and the next reader drops it.
 *
 * An open file has each lock once, so the threads that use one object are
 * kept apart before, by the two gates of Howard Hinnant's upgrade mutex (which
 * Boost has, too): a writer first keeps new owners out, then waits until the
 * readers are gone. All its readers share one lock in the kernel.
 */
class upgradable_region_lock final
{
public:
	/**
	 * What is given stays the caller's. @a file is open for reading and
	 * writing; @a memory is the whole of it and at most a page.
	 */
	upgradable_region_lock(region &file, const mapping &memory,
			       std::atomic<std::uint32_t> &somebody_waits)
		: m_file(file), m_memory(memory), m_gate_used(somebody_waits),
		  m_notice(
			  [](void *lock) noexcept {
				  static_cast<upgradable_region_lock *>(lock)
					  ->in_child();
			  },
			  this)
	{
	}

	upgradable_region_lock(const upgradable_region_lock &) = delete;
	upgradable_region_lock &
	operator=(const upgradable_region_lock &) = delete;

	/** The open file may have other users, who could keep a lock. */
	~upgradable_region_lock()
	{
		if (m_right != right_of::nobody || m_sharing)
			ofd_unlock(fd(), right, 2);
	}

	bool lock(const deadline &limit)
	{
		guard state(m_mutex);

		if (!wait(state, limit,
			  [this] { return !m_exclusive && !m_upgradable; }))
			return false;
		m_exclusive = true;

		const bool done = attempt(
			state,
			[&] {
				if (!wait(state, limit,
					  [this] { return !m_readers; }))
					return false;
				state.unlock();
				return claim_all(limit);
			},
			[this] { m_exclusive = false; });

		if (done)
			m_right = right_of::exclusive_owner;
		return done;
	}

	void unlock()
	{
		const guard state(m_mutex);

		require(m_right == right_of::exclusive_owner);
		ofd_unlock(fd(), right, 2);
		m_right = right_of::nobody;
		m_exclusive = false;
		m_changed.notify_all();
	}

	bool lock_sharable(const deadline &limit)
	{
		guard state(m_mutex);

		if (!wait(state, limit, [this] { return !m_exclusive; }))
			return false;
		++m_readers;
		return attempt(
			state,
			[&] {
				return pass_gate(state, limit) &&
				       share_data(state, limit);
			},
			[this] { --m_readers; });
	}

	void unlock_sharable()
	{
		const guard state(m_mutex);

		require(readers_share());
		if (!--m_sharing)
			ofd_unlock(fd(), data);
		--m_readers;
		m_changed.notify_all();
	}

	bool lock_upgradable(const deadline &limit)
	{
		guard state(m_mutex);

		if (!wait(state, limit,
			  [this] { return !m_exclusive && !m_upgradable; }))
			return false;
		m_upgradable = true;
		++m_readers;

		const bool done = attempt(
			state,
			[&] {
				state.unlock();
				if (!ofd_lock_until(fd(), ofd_lock_type::write,
						    right, 1, limit))
					return false;
				state.lock();
				return share_data(state, limit);
			},
			[this] {
				ofd_unlock(fd(), right);
				m_upgradable = false;
				--m_readers;
			});

		if (done)
			m_right = right_of::upgradable_owner;
		return done;
	}

	void unlock_upgradable()
	{
		const guard state(m_mutex);

		require(m_right == right_of::upgradable_owner);
		if (--m_sharing)
			ofd_unlock(fd(), right);
		else
			ofd_unlock(fd(), right, 2);
		--m_readers;
		m_right = right_of::nobody;
		m_upgradable = false;
		m_changed.notify_all();
	}

	/** @name To less; never waits */
	/** @{ */

	void unlock_and_lock_upgradable()
	{
		const guard state(m_mutex);

		require(m_right == right_of::exclusive_owner);
		ofd_lock(fd(), ofd_lock_type::read, data);
		m_right = right_of::upgradable_owner;
		m_exclusive = false;
		m_upgradable = true;
		m_readers = m_sharing = 1;
		m_changed.notify_all();
	}

	void unlock_and_lock_sharable()
	{
		const guard state(m_mutex);

		require(m_right == right_of::exclusive_owner);
		ofd_lock(fd(), ofd_lock_type::read, data);
		ofd_unlock(fd(), right);
		m_right = right_of::nobody;
		m_exclusive = false;
		m_readers = m_sharing = 1;
		m_changed.notify_all();
	}

	void unlock_upgradable_and_lock_sharable()
	{
		const guard state(m_mutex);

		require(m_right == right_of::upgradable_owner);
		ofd_unlock(fd(), right);
		m_right = right_of::nobody;
		m_upgradable = false;
		m_changed.notify_all();
	}

	/** @} */
	/** @name To more; what one has stays when more cannot be had */
	/** @{ */

	bool unlock_upgradable_and_lock(const deadline &limit)
	{
		guard state(m_mutex);

		require(m_right == right_of::upgradable_owner);
		m_upgradable = false;
		m_exclusive = true;
		--m_readers;

		const bool done = attempt(
			state,
			[&] {
				if (!wait(state, limit,
					  [this] { return !m_readers; }))
					return false;
				state.unlock();
				return claim_data(limit);
			},
			[this] {
				m_upgradable = true;
				m_exclusive = false;
				++m_readers;
			});

		if (done) {
			m_right = right_of::exclusive_owner;
			m_sharing = 0;
		}
		return done;
	}

	bool try_unlock_sharable_and_lock()
	{
		const guard state(m_mutex);

		require(readers_share());
		if (m_exclusive || m_upgradable || m_readers != 1 ||
		    !ofd_try_lock(fd(), ofd_lock_type::write, right, 2))
			return false;
		m_right = right_of::exclusive_owner;
		m_exclusive = true;
		m_readers = m_sharing = 0;
		return true;
	}

	bool try_unlock_sharable_and_lock_upgradable()
	{
		const guard state(m_mutex);

		require(readers_share());
		if (m_exclusive || m_upgradable ||
		    !ofd_try_lock(fd(), ofd_lock_type::write, right))
			return false;
		m_right = right_of::upgradable_owner;
		m_upgradable = true;
		return true;
	}

	/** @} */

private:
	using guard = std::unique_lock<std::mutex>;

	enum class right_of {
		nobody,
		upgradable_owner,
		exclusive_owner,
	};

	/* Next to each other, so that one call takes or gives both. */
	static constexpr off_t right = 0;
	static constexpr off_t data = 1;
	static constexpr off_t gate = 2;

	static void require(bool owned)
	{
		if (!owned)
			throw boost::interprocess::lock_exception();
	}

	/* Whether somebody has it who is not the upgradable owner. */
	bool readers_share() const noexcept
	{
		return m_sharing >
		       (m_right == right_of::upgradable_owner ? 1U : 0U);
	}

	int fd() const noexcept { return m_file.native_handle(); }

	template <typename Condition>
	bool wait(guard &state, const deadline &limit, Condition come)
	{
		while (!come()) {
			if (limit.endless()) {
				m_changed.wait(state);
				continue;
			}

			const std::chrono::nanoseconds left = limit.left();

			if (left == std::chrono::nanoseconds(0))
				return false;
			/* The system's time may be set meanwhile. */
			m_changed.wait_for(
				state, std::min<std::chrono::nanoseconds>(
					       left, std::chrono::seconds(1)));
		}
		return true;
	}

	/* Runs @steps and, if they fail or throw, @undo with @state locked. */
	template <typename Steps, typename Undo>
	bool attempt(guard &state, Steps steps, Undo undo)
	{
		bool done = false;

		try {
			done = steps();
		} catch (...) {
			relock(state);
			undo();
			m_changed.notify_all();
			throw;
		}
		relock(state);
		if (!done) {
			undo();
			m_changed.notify_all();
		}
		return done;
	}

	static void relock(guard &state)
	{
		if (!state.owns_lock())
			state.lock();
	}

	/* For the only thread here that has or wants anything. */
	bool claim_all(const deadline &limit)
	{
		if (ofd_try_lock(fd(), ofd_lock_type::write, right, 2))
			return true;
		if (!ofd_lock_until(fd(), ofd_lock_type::write, right, 1,
				    limit))
			return false;

		byte_owner owner(fd(), right);

		return owner.keep_if(claim_data(limit));
	}

	/* With the right to write. */
	bool claim_data(const deadline &limit)
	{
		if (ofd_try_lock(fd(), ofd_lock_type::write, data))
			return true;
		if (!ofd_lock_until(fd(), ofd_lock_type::write, gate, 1, limit))
			return false;

		const byte_owner owner(fd(), gate);

		m_gate_used.store(1, std::memory_order_relaxed);

		const bool done = ofd_lock_until(fd(), ofd_lock_type::write,
						 data, 1, limit);

		m_gate_used.store(0, std::memory_order_relaxed);
		return done;
	}

	/*
	 * The word changes only while the gate is locked, by one thread of each
	 * open file at a time, so that nobody drops it for a writer who waits.
	 */
	bool pass_gate(guard &state, const deadline &limit)
	{
		const auto used = [this] {
			return m_gate_used.load(std::memory_order_relaxed);
		};

		while (used()) {
			if (!wait(state, limit,
				  [&] { return !m_at_gate || !used(); }))
				return false;
			if (m_at_gate)
				continue;
			m_at_gate = true;
			state.unlock();

			const bool done = attempt(
				state,
				[&] {
					if (!ofd_lock_until(fd(),
							    ofd_lock_type::read,
							    gate, 1, limit))
						return false;
					m_gate_used.store(
						0, std::memory_order_relaxed);
					ofd_unlock(fd(), gate);
					return true;
				},
				[this] { m_at_gate = false; });

			if (!done)
				return false;
			m_at_gate = false;
			m_changed.notify_all();
		}
		return true;
	}

	/* One asks the kernel for all; who comes meanwhile waits for its answer. */
	bool share_data(guard &state, const deadline &limit)
	{
		if (!wait(state, limit,
			  [this] { return m_sharing || !m_asking; }))
			return false;
		if (!m_sharing &&
		    !ofd_try_lock(fd(), ofd_lock_type::read, data)) {
			m_asking = true;
			state.unlock();

			const bool done = attempt(
				state,
				[&] {
					return ofd_lock_until(
						fd(), ofd_lock_type::read, data,
						1, limit);
				},
				[this] { m_asking = false; });

			if (!done)
				return false;
			m_asking = false;
			m_changed.notify_all();
		}
		++m_sharing;
		return true;
	}

	/* Gives a byte back unless it is kept. */
	class byte_owner final
	{
	public:
		byte_owner(int fd, off_t byte) noexcept : m_fd(fd), m_byte(byte)
		{
		}
		byte_owner(const byte_owner &) = delete;
		byte_owner &operator=(const byte_owner &) = delete;
		~byte_owner()
		{
			if (!m_kept)
				ofd_unlock(m_fd, m_byte);
		}

		bool keep_if(bool value) noexcept { return m_kept = value; }

	private:
		int m_fd;
		off_t m_byte;
		bool m_kept = false;
	};

	/*
	 * Nothing is locked by the child, and those who waited or held a lock
	 * here are threads of its parent.
	 */
	void in_child() noexcept
	{
		ofd_part(m_file, access_mode::read_write, m_memory.data(),
			 m_memory.size());
		::new (static_cast<void *>(&m_mutex)) std::mutex;
		::new (static_cast<void *>(&m_changed)) std::condition_variable;
		m_right = right_of::nobody;
		m_exclusive = m_upgradable = m_asking = m_at_gate = false;
		m_readers = m_sharing = 0;
	}

	region &m_file;
	const mapping &m_memory;
	std::atomic<std::uint32_t> &m_gate_used;

	/* All below is for the threads of this process. */
	std::mutex m_mutex;
	std::condition_variable m_changed;
	/* Somebody writes, or waits for that and keeps others out. */
	bool m_exclusive = false;
	/* Somebody has, or waits for, upgradable ownership. */
	bool m_upgradable = false;
	/* Who has the right of this object. */
	right_of m_right = right_of::nobody;
	/* A reader waits for the kernel; is at the gate. */
	bool m_asking = false;
	bool m_at_gate = false;
	/* Who reads or waits for that, the upgradable owner included. */
	unsigned int m_readers = 0;
	/* Those of them who have it. */
	unsigned int m_sharing = 0;

	fork_notice m_notice;
};

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_UPGRADABLE_REGION_LOCK_HPP */
