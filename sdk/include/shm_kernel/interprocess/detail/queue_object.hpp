/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A message queue that is open: who has it, who waits, and who has died
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_QUEUE_OBJECT_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_QUEUE_OBJECT_HPP

#include <shm_kernel/interprocess/detail/deadline.hpp>
#include <shm_kernel/interprocess/detail/fork_notice.hpp>
#include <shm_kernel/interprocess/detail/ofd_lock.hpp>
#include <shm_kernel/interprocess/detail/queue_core.hpp>
#include <shm_kernel/interprocess/exceptions.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

namespace shm_kernel {
namespace detail {

/** What a doorbell tells. */
enum class queue_news {
	nothing,
	/** To look at the queue. */
	rang,
	/** And that somebody who had it open has it open no longer. */
	gone,
};

/**
 * One peer of a queue. @a Files is what it needs of the system:
 *
 *	void *data();		the memory
 *	void open();		opens what follows, anew in a child; throws
 *	void close() noexcept;	closes that, also in a child before fork()
 *				returns there
 *	int lock_fd();		an open file of the memory of its own, that
 *				nothing maps, with a number above the others
 *	int wait_fd();		readable when there is news
 *	queue_news read();	takes the news without waiting; throws
 *	void open_poll();	opens what follows, with news of its own, for
 *	int poll_fd();		a program that waits by itself
 *	queue_news read_poll();
 *	void ring() noexcept;	news for all, this one included
 *
 * The kernel closes the files of a process that dies from the highest down to
 * the lowest in effect (what is closed last is released first), so that the
 * lock is open when the others hear of it.
 */
template <class Files>
class queue_object final
{
public:
	enum side {
		sending,
		receiving,
	};

	queue_object(Files &&files, const queue_shape &shape)
		: m_files(std::move(files)), m_core(m_files.data(), shape)
	{
		attach();
	}

	~queue_object()
	{
		if (m_forked.load(std::memory_order_relaxed))
			return;
		/* Only now may the lock go, or it would be a death. */
		me().state.store(queue_peer::absent, std::memory_order_release);
		m_files.close();
	}

	const queue_core &core() const noexcept { return m_core; }
	const Files &files() const noexcept { return m_files; }
	Files &files() noexcept { return m_files; }

	bool send(const void *data, std::size_t size, std::uint32_t priority,
		  const deadline &limit)
	{
		const auto attempt = [&] { return put(data, size, priority); };

		use();
		return attempt() || wait(sending, limit, attempt);
	}

	bool receive(void *data, std::size_t &size, std::uint32_t &priority,
		     const deadline &limit)
	{
		const auto attempt = [&] { return take(data, size, priority); };

		use();
		return attempt() || wait(receiving, limit, attempt);
	}

	void report_deaths(bool on) noexcept
	{
		m_reports.store(on, std::memory_order_relaxed);
	}

	/** Peers that have died since this one came. */
	std::uint32_t deaths() const noexcept
	{
		return all().deaths.load(std::memory_order_relaxed) -
		       m_deaths_before.load(std::memory_order_relaxed);
	}

	/** From now on this is kept readable while there may be something to do. */
	int poll_fd()
	{
		use();

		const lock_guard guard(m_mutex);

		open_poll(!m_polled.load(std::memory_order_relaxed));
		return m_files.poll_fd();
	}

private:
	using lock_guard = std::lock_guard<std::mutex>;
	using nanoseconds = std::chrono::nanoseconds;

	/* Nanoseconds of looking before one goes to sleep: what pays is kept. */
	static constexpr std::uint32_t shortest_spin = 1000;
	static constexpr std::uint32_t longest_spin = 50000;
	/*
	 * Between two looks. Who looks seldom lets the other side get ahead, and
	 * cache lines move once for many messages instead of for each.
	 */
	static constexpr int pauses = 40;
	/* Looks for the dead after a peer went for no reason that was found. */
	static constexpr unsigned int second_looks = 4;

	auto &all() const noexcept { return m_core.header().common; }
	queue_peer &peer(std::uint32_t i) const noexcept
	{
		return m_core.header().peer[i];
	}
	queue_peer &me() const noexcept { return peer(m_core.peer()); }
	std::uint32_t peer_end() const noexcept
	{
		return std::min(all().peer_end.load(), queue_peers);
	}

	std::atomic<std::uint32_t> &sleeps(side which) const noexcept
	{
		return which == sending ? all().sender_sleeps
					: all().receiver_sleeps;
	}

	off_t offset(const void *of) const noexcept
	{
		return static_cast<const unsigned char *>(of) -
		       reinterpret_cast<const unsigned char *>(
			       &m_core.header());
	}

	off_t repair_byte() const noexcept
	{
		return offset(&m_core.header().repair);
	}

	/* Messages */

	bool put(const void *data, std::size_t size,
		 std::uint32_t priority) noexcept
	{
		if (m_core.try_send(data, size, priority, contended()) ==
		    queue_core::result::nothing)
			return false;
		wake(all().receiver_sleeps);
		return true;
	}

	bool take(void *data, std::size_t &size,
		  std::uint32_t &priority) noexcept
	{
		if (m_core.try_receive(data, size, priority, contended()) ==
		    queue_core::result::nothing)
			return false;
		wake(all().sender_sleeps);
		return true;
	}

	/*
	 * Nobody sleeps for ever: who is about to stores 1 here, has a barrier,
	 * and looks at the queue once more; who changes the queue has a barrier
	 * before this look. One of the two sees what the other did. Who finds
	 * the 1 rings for all, and each who wakes up stores it anew before it
	 * looks. Who dies in between is heard of by all that sleep.
	 */
	void wake(std::atomic<std::uint32_t> &sleeps) noexcept
	{
		if (__builtin_expect(sleeps.load(std::memory_order_relaxed),
				     0) &&
		    sleeps.exchange(0))
			m_files.ring();
	}

	/* Locks */

	auto contended() noexcept
	{
		return [this](queue_lock &lock) { lock_slowly(lock); };
	}

	/*
	 * What is done under a lock takes far less than a microsecond. It takes
	 * longer if its owner is not running, or will not run any more.
	 */
	void lock_slowly(queue_lock &lock) noexcept
	{
		const unsigned int spins = m_processors > 1 ? 200 : 0;
		nanoseconds pause = std::chrono::microseconds(50);

		for (unsigned int i = 0;; ++i) {
			const std::uint32_t owner =
				lock.load(std::memory_order_relaxed);

			if (!owner) {
				if (m_core.try_lock(lock))
					return;
			} else if (i < spins) {
				queue_pause();
			} else if (i < spins + 100) {
				::sched_yield();
			} else {
				if (seems_dead(owner))
					repair();
				else
					std::this_thread::sleep_for(pause);
				pause = std::min<nanoseconds>(
					pause * 2,
					std::chrono::milliseconds(1));
			}
		}
	}

	/* Nobody has locked the byte; not to be asked about one's own. */
	bool is_unlocked(off_t byte) const noexcept
	{
		struct ::flock lock = {};

		lock.l_type = F_WRLCK;
		lock.l_whence = SEEK_SET;
		lock.l_start = byte;
		lock.l_len = 1;
		return !::fcntl(m_files.lock_fd(), F_OFD_GETLK, &lock) &&
		       lock.l_type == F_UNLCK;
	}

	/* A hint: repair() makes sure. */
	bool seems_dead(std::uint32_t owner) const noexcept
	{
		if (owner == queue_repairer)
			return is_unlocked(repair_byte());
		if (owner > queue_peers)
			return true;
		return is_dead_peer(owner - 1);
	}

	bool is_dead_peer(std::uint32_t i) const noexcept
	{
		/* This one has not told that it left, and yet has no lock. */
		return i != m_core.peer() && is_unlocked(offset(&peer(i))) &&
		       peer(i).state.load(std::memory_order_acquire) ==
			       queue_peer::here;
	}

	/* Peers */

	int try_lock_byte(off_t byte) const noexcept
	{
		return ofd_call(m_files.lock_fd(), F_OFD_SETLK,
				ofd_lock_type::write, byte, 1);
	}

	void unlock_byte(off_t byte) const noexcept
	{
		ofd_unlock(m_files.lock_fd(), byte);
	}

	/*
	 * Takes a place in the table. A place belongs to who has the lock on its
	 * byte; it says so only while it has it, and takes that back before it
	 * lets go. So a place that says so without a lock is of a dead one.
	 */
	void attach()
	{
		m_files.open();
		m_core.set_peer(queue_peers);
		repair();
		for (std::uint32_t i = 0; i < queue_peers; ++i) {
			if (peer(i).state.load(std::memory_order_relaxed) !=
			    queue_peer::absent)
				continue;

			const off_t byte = offset(&peer(i));
			const int error = try_lock_byte(byte);

			if (error == EAGAIN || error == EACCES)
				continue;
			if (error) {
				m_files.close();
				throw kernel_memory_exception(
					{error, std::system_category()});
			}
			if (peer(i).state.load(std::memory_order_acquire) !=
			    queue_peer::absent) {
				unlock_byte(byte);
				continue;
			}
			for (std::uint32_t end = all().peer_end.load();
			     end <= i &&
			     !all().peer_end.compare_exchange_weak(end, i + 1);)
				;
			m_core.set_peer(i);
			peer(i).pid.store(
				static_cast<std::uint32_t>(::getpid()),
				std::memory_order_relaxed);
			peer(i).state.store(queue_peer::here,
					    std::memory_order_release);
			m_deaths_before.store(
				all().deaths.load(std::memory_order_relaxed),
				std::memory_order_relaxed);
			m_told.store(
				m_deaths_before.load(std::memory_order_relaxed),
				std::memory_order_relaxed);
			return;
		}
		m_files.close();
		throw kernel_memory_exception(errc::limit_reached,
					      "peers of a message queue");
	}

	void use()
	{
		if (__builtin_expect(m_forked.load(std::memory_order_acquire),
				     0))
			attach_in_child();
	}

	void attach_in_child()
	{
		const lock_guard guard(m_mutex);

		if (!m_forked.load(std::memory_order_relaxed))
			return;
		attach();
		open_poll(m_polled.load(std::memory_order_relaxed));
		m_forked.store(false, std::memory_order_release);
	}

	void open_poll(bool closed)
	{
		if (!closed)
			return;
		m_files.open_poll();
		m_polled.store(true, std::memory_order_relaxed);
		/* What was there before has rung for nobody. */
		m_files.ring();
	}

	/*
	 * The parent's place, its locks and its doorbell are not the child's:
	 * were they shared, nobody would hear of the parent's death. The child
	 * becomes a peer of its own when it uses the queue.
	 */
	void in_child() noexcept
	{
		m_files.close();
		m_forked.store(true, std::memory_order_relaxed);
		/* Other threads of the parent may have had them. */
		new (&m_mutex) std::mutex;
		new (&m_repair_mutex) std::mutex;
		new (&m_wakes) std::condition_variable;
		m_polling = false;
	}

	/* The dead */

	bool look_for_dead() noexcept
	{
		for (std::uint32_t i = 0; i < peer_end(); ++i)
			if (peer(i).state.load(std::memory_order_relaxed) ==
				    queue_peer::here &&
			    is_dead_peer(i))
				return repair();
		return false;
	}

	/*
	 * Takes back what the dead have. One at a time does that, by the lock on
	 * a byte, which goes with its owner like all others; a repair that ended
	 * in the middle begins anew.
	 */
	bool repair() noexcept
	{
		queue_header &header = m_core.header();
		const lock_guard guard(m_repair_mutex);
		std::bitset<queue_peers> dead;

		if (ofd_call(m_files.lock_fd(), F_OFD_SETLKW,
			     ofd_lock_type::write, repair_byte(), 1))
			return false;
		for (std::uint32_t i = 0; i < peer_end(); ++i)
			if (has_died(i))
				dead.set(i);

		const bool unfinished =
			header.send.lock.load() == queue_repairer ||
			header.receive.lock.load() == queue_repairer;

		if (dead.any() || unfinished) {
			seize(header.send.lock, dead);
			seize(header.receive.lock, dead);
			m_core.rebuild([&](std::uint32_t i) {
				return i >= queue_peers || dead.test(i);
			});
			for (std::uint32_t i = 0; i < peer_end(); ++i)
				if (dead.test(i)) {
					all().deaths.fetch_add(1);
					peer(i).state.store(queue_peer::absent);
					unlock_byte(offset(&peer(i)));
				}
			queue_core::unlock(header.receive.lock);
			queue_core::unlock(header.send.lock);
		}
		unlock_byte(repair_byte());
		if (dead.none() && !unfinished)
			return false;
		m_files.ring();
		return true;
	}

	/* If so, its byte is locked, so that nobody takes the place. */
	bool has_died(std::uint32_t i) const noexcept
	{
		const off_t byte = offset(&peer(i));

		if (i == m_core.peer() ||
		    peer(i).state.load(std::memory_order_acquire) !=
			    queue_peer::here ||
		    try_lock_byte(byte))
			return false;
		if (peer(i).state.load(std::memory_order_acquire) ==
		    queue_peer::here)
			return true;
		unlock_byte(byte);
		return false;
	}

	/* Waits for the living, and does not ask the dead. */
	void seize(queue_lock &lock, std::bitset<queue_peers> &dead) noexcept
	{
		for (unsigned int i = 0;; ++i) {
			std::uint32_t owner = lock.load();
			const std::uint32_t index = owner - 1;

			if (owner && index < queue_peers) {
				/* It may have died after the others. */
				if (i > 100 && !dead.test(index) &&
				    has_died(index))
					dead.set(index);
				if (!dead.test(index)) {
					if (i < 100)
						::sched_yield();
					else
						std::this_thread::sleep_for(
							std::chrono::
								microseconds(
									50));
					continue;
				}
			}
			if (lock.compare_exchange_strong(owner, queue_repairer))
				return;
		}
	}

	void tell_deaths()
	{
		const std::uint32_t deaths =
			all().deaths.load(std::memory_order_acquire);

		if (m_told.exchange(deaths) != deaths &&
		    m_reports.load(std::memory_order_relaxed))
			throw kernel_memory_exception(errc::peer_died);
	}

	/* Waiting */

	template <class Attempt>
	bool wait(side which, const deadline &limit, Attempt attempt)
	{
		if (limit.passed())
			return try_again(which, attempt);
		for (int i = 0; i < 4 && spin(which); ++i)
			if (attempt())
				return true;
		return sleep(which, limit, attempt);
	}

	bool may_go_on(side which) const noexcept
	{
		return which == sending ? m_core.may_have_room()
					: m_core.may_have_message();
	}

	/* Looks for a while whether it is worth while to sleep. */
	bool spin(side which) noexcept
	{
		using clock = std::chrono::steady_clock;

		if (m_processors < 2)
			return false;

		const std::uint32_t longest =
			m_spin[which].load(std::memory_order_relaxed);
		const clock::time_point end =
			clock::now() + nanoseconds(longest);

		do {
			for (int i = 0; i < 4; ++i) {
				for (int j = 0; j < pauses; ++j)
					queue_pause();
				if (!may_go_on(which))
					continue;
				m_spin[which].store(
					std::min(longest * 2, longest_spin),
					std::memory_order_relaxed);
				return true;
			}
		} while (clock::now() < end);
		m_spin[which].store(std::max(longest / 2, shortest_spin),
				    std::memory_order_relaxed);
		return false;
	}

	/*
	 * Of the threads that wait on this object one polls, and wakes all when
	 * it has taken the news: news that one takes is news for each.
	 */
	template <class Attempt>
	bool sleep(side which, const deadline &limit, Attempt attempt)
	{
		for (;;) {
			std::unique_lock<std::mutex> lock(m_mutex);
			const std::uint64_t seen = m_news;

			lock.unlock();
			sleeps(which).store(1);
			queue_barrier();
			if (attempt())
				return true;
			tell_deaths();

			const nanoseconds left = limit.left();

			if (left == nanoseconds(0))
				return false;
			lock.lock();
			if (m_news != seen)
				continue;
			if (!m_polling) {
				poll_for_all(lock, left);
				continue;
			}

			const auto changed = [&] {
				return m_news != seen || !m_polling;
			};

			if (left == nanoseconds::max())
				m_wakes.wait(lock, changed);
			else
				m_wakes.wait_for(lock, left, changed);
		}
	}

	/* Polls without the lock, at most @a left, and takes what there is. */
	void poll_for_all(std::unique_lock<std::mutex> &lock, nanoseconds left)
	{
		/* Ends the poll, whatever ends it. */
		struct polling
		{
			explicit polling(queue_object &object)
				: m_object(object)
			{
				m_object.m_polling = true;
			}
			polling(const polling &) = delete;
			~polling()
			{
				const lock_guard guard(m_object.m_mutex);

				m_object.m_polling = false;
				++m_object.m_news;
				m_object.m_wakes.notify_all();
			}

			queue_object &m_object;
		};

		const polling guard(*this);
		const unsigned int looks = m_second_looks;

		lock.unlock();
		if (looks)
			left = std::min<nanoseconds>(
				left, std::chrono::milliseconds(
					      1 << 2 * (second_looks - looks)));
		poll_once(left);

		const queue_news news = m_files.read();

		if (news == queue_news::gone)
			m_second_looks = look_for_dead() ? 0 : second_looks;
		else if (news == queue_news::nothing && looks)
			m_second_looks = look_for_dead() ? 0 : looks - 1;
	}

	void poll_once(nanoseconds left) const noexcept
	{
		struct ::pollfd waiting = {};
		struct ::timespec time = {};
		const auto seconds =
			std::chrono::duration_cast<std::chrono::seconds>(left);

		waiting.fd = m_files.wait_fd();
		waiting.events = POLLIN;
		time.tv_sec = static_cast<std::time_t>(seconds.count());
		time.tv_nsec = static_cast<long>((left - seconds).count());
		/* A signal is as good a reason to look as any. */
		::ppoll(&waiting, 1,
			left == nanoseconds::max() ? nullptr : &time, nullptr);
	}

	/*
	 * The last try of a call that does not wait. The dead are looked for:
	 * what they have may be all that is missing. A program that does nothing
	 * but try is spared the system call most of the time.
	 */
	template <class Attempt>
	bool try_again(side which, Attempt attempt)
	{
		if (m_polled.load(std::memory_order_relaxed))
			return try_and_arm(which, attempt);
		if (!tick())
			return false;

		queue_news news = queue_news::nothing;
		{
			const lock_guard guard(m_mutex);

			/* Who polls would sleep on if its news were taken. */
			if (m_polling)
				return false;
			news = m_files.read();
			++m_news;
		}
		if (news != queue_news::gone)
			return false;
		look_for_dead();
		return attempt();
	}

	/* The same for a program that goes and polls if it returns false. */
	template <class Attempt>
	bool try_and_arm(side which, Attempt attempt)
	{
		const side other = which == sending ? receiving : sending;
		const queue_news news = m_files.read_poll();

		if (news == queue_news::gone)
			look_for_dead();
		m_wants[which].store(true, std::memory_order_relaxed);
		sleeps(which).store(1);
		queue_barrier();

		const bool done = attempt();

		/*
		 * What was taken may have been news of more than that; of the
		 * other side it is told once.
		 */
		if (done ||
		    (may_go_on(other) &&
		     m_wants[other].exchange(false, std::memory_order_relaxed)))
			m_files.ring();
		return done;
	}

	/* Whether the kernel's coarse clock has gone on since the last time. */
	bool tick() noexcept
	{
		struct ::timespec now = {};

		::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
		return m_tick.exchange(now.tv_nsec,
				       std::memory_order_relaxed) !=
		       now.tv_nsec;
	}

	Files m_files;
	queue_core m_core;
	std::atomic<bool> m_forked{false};
	std::atomic<bool> m_reports{true};
	/** Somebody has the descriptor. */
	std::atomic<bool> m_polled{false};
	/** What was tried in vain since. */
	std::array<std::atomic<bool>, 2> m_wants{};
	std::array<std::atomic<std::uint32_t>, 2> m_spin{longest_spin,
							 longest_spin};
	/** Of the machine: it is the other side that has to run meanwhile. */
	const long m_processors = ::sysconf(_SC_NPROCESSORS_ONLN);
	std::atomic<std::uint32_t> m_deaths_before{0};
	std::atomic<std::uint32_t> m_told{0};
	std::atomic<long> m_tick{-1};
	std::mutex m_repair_mutex;
	/** For what follows. */
	std::mutex m_mutex;
	std::condition_variable m_wakes;
	/** How often news was taken. */
	std::uint64_t m_news = 0;
	/** A thread polls. */
	bool m_polling = false;
	/** Belongs to who polls. */
	unsigned int m_second_looks = 0;
	/** Last: what it calls needs the others. */
	const fork_notice m_notice{
		[](void *object) noexcept {
			static_cast<queue_object *>(object)->in_child();
		},
		this};
};

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_QUEUE_OBJECT_HPP */
