/* SPDX-License-Identifier: BSL-1.0 */
/*
 * boost::interprocess::message_queue in a region of the kernel
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_KERNEL_MESSAGE_QUEUE_HPP
#define SHM_KERNEL_INTERPROCESS_KERNEL_MESSAGE_QUEUE_HPP

#include <shm_kernel/events.hpp>
#include <shm_kernel/interprocess/detail/deadline.hpp>
#include <shm_kernel/interprocess/detail/layout_stamp.hpp>
#include <shm_kernel/interprocess/detail/queue_core.hpp>
#include <shm_kernel/interprocess/detail/queue_object.hpp>
#include <shm_kernel/interprocess/exceptions.hpp>
#include <shm_kernel/interprocess/name_lifetime.hpp>
#include <shm_kernel/mapping.hpp>
#include <shm_kernel/region.hpp>

#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/errors.hpp>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/permissions.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/types.h>

namespace shm_kernel {

namespace detail {

/* A queue's region, for queue_object. */
class queue_region final
{
public:
	explicit queue_region(region &&source)
		: m_region(std::move(source)), m_memory(map(m_region))
	{
	}

	void *data() const noexcept { return m_memory.data(); }
	int lock_fd() const noexcept { return m_locks.native_handle(); }
	int wait_fd() const noexcept { return m_waits.native_handle(); }
	const region &get_region() const noexcept { return m_region; }

	void chmod(mode_t mode, std::error_code &error) noexcept
	{
		m_region.chmod(mode, error);
	}

	void bind(const char *name, std::error_code &error) noexcept
	{
		m_region.bind(name, error);
	}

	void open()
	{
		std::error_code error;
		region locks;

		/* Two, for none hears itself, and threads share an object. */
		m_rings = events(m_region, event_mode::non_blocking, error);
		if (!error)
			m_waits = events(m_region, event_mode::non_blocking,
					 error);
		if (!error)
			locks = m_region.reopen(access_mode::read_write, error);
		if (!error)
			m_locks = above(locks,
					std::max(m_rings.native_handle(),
						 m_waits.native_handle()),
					error);
		if (error) {
			close();
			throw kernel_memory_exception(error);
		}
	}

	void close() noexcept
	{
		m_locks.close();
		m_polls.close();
		m_waits.close();
		m_rings.close();
	}

	void open_poll()
	{
		std::error_code error;

		m_polls = events(m_region, event_mode::non_blocking, error);
		if (error)
			throw kernel_memory_exception(error);
	}

	int poll_fd() const noexcept { return m_polls.native_handle(); }

	queue_news read() { return read(m_waits); }
	queue_news read_poll() { return read(m_polls); }

	void ring() noexcept
	{
		std::error_code ignored;

		m_rings.ring(1, ignored);
	}

private:
	static queue_news read(events &from)
	{
		std::error_code error;
		const auto counts = from.try_read(error);

		if (error)
			throw kernel_memory_exception(error);
		if (!counts)
			return queue_news::nothing;
		if (counts->revoked)
			throw kernel_memory_exception(errc::revoked);
		return counts->peers_gone ? queue_news::gone : queue_news::rang;
	}

	static mapping map(const region &source)
	{
		std::error_code error;
		mapping result(source, map_mode::read_write, 0, 0, error);

		if (error)
			throw kernel_memory_exception(error);
		return result;
	}

	/* The same open file under a number above @a lowest. */
	static region above(const region &file, int lowest,
			    std::error_code &error) noexcept
	{
		const int fd = ::fcntl(file.native_handle(), F_DUPFD_CLOEXEC,
				       lowest + 1);

		if (fd < 0) {
			error = {errno, std::system_category()};
			return region();
		}
		return region::adopt(fd, error);
	}

	region m_region;
	mapping m_memory;
	events m_rings;
	events m_waits;
	events m_polls;
	region m_locks;
};

} // namespace detail

/**
 * Drop-in for boost::interprocess::message_queue: the same functions, the same
 * order (the highest priority first, and first in, first out within one), the
 * same errors. What differs:
 *
 * - Nothing is left behind, and nothing stays locked, when a process is killed
 *   at whatever point: what it was sending was not sent, what it was receiving
 *   is received by another, and the others go on.
 * - A call that would wait throws errc::peer_died once another process that had
 *   the queue open has died instead of destroying its object: the message that
 *   it waits for may never come. Each death is told once to each object, after
 *   what the dead had was given back; see report_deaths().
 * - native_handle() is a descriptor for poll(), epoll and asio.
 * - Senders and receivers have no lock in common. Messages are received outside
 *   of it, and sent so if they are long or there are several senders.
 *
 * Threads may share an object. After fork() parent and child may go on with
 * it: the child becomes a peer of its own when it first uses it, which needs
 * /proc and, unless it did so before it changed its user, the permission to
 * open the queue. What native_handle() was in the parent is closed in the
 * child. clone() and vfork() without exec are not for processes with queues.
 *
 * At most 1024 objects may have a queue open, in all processes. A queue can
 * hold 2^30 messages, a message 4 GiB - 256 bytes.
 *
 * Functions throw kernel_memory_exception, and interprocess_exception with
 * size_error for a message that is too long or a buffer that is too small.
 * errc::empty_handle is thrown by an object that has no queue.
 *
 * @tparam Lifetime When the name goes: with its last user, or when removed.
 */
template <name_lifetime Lifetime>
class basic_kernel_message_queue final
{
public:
	using size_type = std::size_t;
	using difference_type = std::ptrdiff_t;

	/** Has no queue. */
	basic_kernel_message_queue() noexcept = default;

	/**
	 * Creates a queue for @a max_num_msg messages of up to @a max_msg_size
	 * bytes. It appears under its name complete or not at all;
	 * errc::name_exists if there is one of that name.
	 */
	basic_kernel_message_queue(
		boost::interprocess::create_only_t, const char *name,
		size_type max_num_msg, size_type max_msg_size,
		const boost::interprocess::permissions &perm =
			boost::interprocess::permissions())
	{
		std::error_code error;

		if (!create(name, max_num_msg, max_msg_size, perm, error))
			throw kernel_memory_exception(error);
	}

	/** The same, or opens the one that there is, of whatever sizes. */
	basic_kernel_message_queue(
		boost::interprocess::open_or_create_t, const char *name,
		size_type max_num_msg, size_type max_msg_size,
		const boost::interprocess::permissions &perm =
			boost::interprocess::permissions())
	{
		std::error_code error;

		/* Over again if it came or went between the two. */
		do {
			if (open(name, error))
				return;
			if (error == errc::not_found &&
			    create(name, max_num_msg, max_msg_size, perm,
				   error))
				return;
		} while (error == errc::name_exists);
		throw kernel_memory_exception(error);
	}

	/**
	 * Opens a queue: errc::not_found, errc::permission_denied,
	 * errc::layout_mismatch if that is another kind of region, and
	 * errc::may_shrink if it is one that could be cut off.
	 */
	basic_kernel_message_queue(boost::interprocess::open_only_t,
				   const char *name)
	{
		std::error_code error;

		if (!open(name, error))
			throw kernel_memory_exception(error);
	}

	/** A queue without a name, for this process and its children. */
	basic_kernel_message_queue(size_type max_num_msg,
				   size_type max_msg_size)
	{
		m_queue = make(max_num_msg, max_msg_size,
			       boost::interprocess::permissions());
	}

	basic_kernel_message_queue(
		basic_kernel_message_queue &&other) noexcept = default;
	basic_kernel_message_queue &
	operator=(basic_kernel_message_queue &&other) noexcept = default;
	basic_kernel_message_queue(const basic_kernel_message_queue &) = delete;
	basic_kernel_message_queue &
	operator=(const basic_kernel_message_queue &) = delete;

	/**
	 * Leaves the queue in order; messages stay for those who have it open.
	 * A process that ends without this is as good as killed.
	 */
	~basic_kernel_message_queue() = default;

	void swap(basic_kernel_message_queue &other) noexcept
	{
		m_queue.swap(other.m_queue);
	}

	friend void swap(basic_kernel_message_queue &a,
			 basic_kernel_message_queue &b) noexcept
	{
		a.swap(b);
	}

	explicit operator bool() const noexcept { return m_queue != nullptr; }

	/** @name Sending */
	/** @{ */

	/** Sends a message, after waiting for room. */
	void send(const void *buffer, size_type buffer_size,
		  unsigned int priority)
	{
		send_until(buffer, buffer_size, priority,
			   detail::deadline::never());
	}

	/** The same without waiting; false if the queue is full. */
	bool try_send(const void *buffer, size_type buffer_size,
		      unsigned int priority)
	{
		return send_until(buffer, buffer_size, priority,
				  detail::deadline::now());
	}

	/**
	 * The same, waiting until @a abs_time: a boost::posix_time::ptime (UTC),
	 * or a time point of a clock of std::chrono or boost::chrono.
	 */
	template <class TimePoint>
	bool timed_send(const void *buffer, size_type buffer_size,
			unsigned int priority, const TimePoint &abs_time)
	{
		return send_until(buffer, buffer_size, priority,
				  detail::deadline::at(abs_time));
	}

	/** @} */
	/** @name Receiving, into a buffer of at least get_max_msg_size() */
	/** @{ */

	/** Receives the next message, after waiting for one. */
	void receive(void *buffer, size_type buffer_size, size_type &recvd_size,
		     unsigned int &priority)
	{
		receive_until(buffer, buffer_size, recvd_size, priority,
			      detail::deadline::never());
	}

	/** The same without waiting; false if the queue is empty. */
	bool try_receive(void *buffer, size_type buffer_size,
			 size_type &recvd_size, unsigned int &priority)
	{
		return receive_until(buffer, buffer_size, recvd_size, priority,
				     detail::deadline::now());
	}

	/** The same, waiting until @a abs_time. */
	template <class TimePoint>
	bool timed_receive(void *buffer, size_type buffer_size,
			   size_type &recvd_size, unsigned int &priority,
			   const TimePoint &abs_time)
	{
		return receive_until(buffer, buffer_size, recvd_size, priority,
				     detail::deadline::at(abs_time));
	}

	/** @} */
	/** @name The queue */
	/** @{ */

	/** How many messages it can hold; 0 without a queue. */
	size_type get_max_msg() const noexcept
	{
		return m_queue ? m_queue->core().shape().num : 0;
	}

	/** Bytes of the longest message; 0 without a queue. */
	size_type get_max_msg_size() const noexcept
	{
		return m_queue ? m_queue->core().shape().max_size : 0;
	}

	/** How many messages there are now. */
	size_type get_num_msg() const noexcept
	{
		return m_queue ? m_queue->core().messages() : 0;
	}

	/** Takes the name away. False if that failed. */
	static bool remove(const char *name) noexcept
	{
		std::error_code error;

		region::remove(name, error);
		return !error;
	}

	/**
	 * A descriptor to wait on, for reading: by level, by edge, or once. It
	 * is readable whenever try_receive(), or try_send() after it has found
	 * the queue full, may do something, or a peer has gone; then call what
	 * you want to do until it returns false, which also makes it unreadable.
	 * It stays the object's, and is for nothing but waiting.
	 */
	int native_handle() const { return get().poll_fd(); }

	/**
	 * Whether calls that would wait throw errc::peer_died; they do unless
	 * told otherwise. For a server whose clients come and go as they like.
	 */
	void report_deaths(bool on = true) { get().report_deaths(on); }

	/** Peers that are known to have died since this object was made. */
	std::uint32_t deaths() const { return get().deaths(); }

	/** The region behind it: its information. */
	const region &get_region() const { return get().files().get_region(); }

	/** @} */

private:
	using object = detail::queue_object<detail::queue_region>;

	object &get() const
	{
		if (!m_queue)
			throw kernel_memory_exception(errc::empty_handle);
		return *m_queue;
	}

	[[noreturn]] static void throw_size_error()
	{
		throw boost::interprocess::interprocess_exception(
			boost::interprocess::error_info(
				boost::interprocess::size_error));
	}

	bool send_until(const void *buffer, size_type size,
			unsigned int priority, const detail::deadline &limit)
	{
		object &queue = get();

		if (size > queue.core().shape().max_size)
			throw_size_error();
		return queue.send(buffer, size, priority, limit);
	}

	bool receive_until(void *buffer, size_type buffer_size,
			   size_type &recvd_size, unsigned int &priority,
			   const detail::deadline &limit)
	{
		object &queue = get();

		if (buffer_size < queue.core().shape().max_size)
			throw_size_error();
		return queue.receive(buffer, recvd_size, priority, limit);
	}

	static detail::layout_stamp stamp() noexcept
	{
		detail::layout_stamp result(detail::content::message_queue);

		result.types = detail::hash_of_types<detail::queue_header,
						     detail::queue_slot>();
		return result;
	}

	/* A queue without a name. */
	static std::unique_ptr<object>
	make(size_type max_num_msg, size_type max_msg_size,
	     const boost::interprocess::permissions &perm)
	{
		const detail::queue_shape shape(max_num_msg, max_msg_size);
		const detail::layout_stamp tag = stamp();
		const auto check = [](const std::error_code &error) {
			if (error)
				throw kernel_memory_exception(error);
		};
		std::error_code error;

		if (!shape.valid)
			throw kernel_memory_exception(
				std::make_error_code(
					std::errc::not_enough_memory),
				"a message queue of that size");

		region memory = region::create(
			create_options{}
				.set_size(shape.size)
				.set_persistent(Lifetime ==
						name_lifetime::removal)
				.set_tag(&tag, sizeof(tag)),
			error);

		check(error);
		memory.add_seals(seal::shrink | seal::grow, error);
		check(error);

		detail::queue_region files(std::move(memory));

		detail::queue_core(files.data(), shape).construct();

		auto result = std::make_unique<object>(std::move(files), shape);

		/* Not before: it need not let its creator open it once more. */
		result->files().chmod(
			static_cast<::mode_t>(perm.get_permissions()), error);
		check(error);
		return result;
	}

	bool create(const char *name, size_type max_num_msg,
		    size_type max_msg_size,
		    const boost::interprocess::permissions &perm,
		    std::error_code &error)
	{
		auto queue = make(max_num_msg, max_msg_size, perm);

		queue->files().bind(name, error);
		if (error)
			return false;
		m_queue = std::move(queue);
		return true;
	}

	bool open(const char *name, std::error_code &error)
	{
		region memory =
			region::open(name, access_mode::read_write, error);

		if (error)
			return false;

		const region_info info = memory.info(error);

		if (error)
			return false;
		detail::require_layout(info, stamp());
		if (!info.has(seal::shrink)) {
			error = errc::may_shrink;
			return false;
		}

		const auto damaged = [&] {
			return kernel_memory_exception(
				errc::layout_mismatch,
				"region \"" + info.printable_name() +
					"\" does not begin like a queue");
		};

		if (info.size() < sizeof(detail::queue_header))
			throw damaged();

		detail::queue_region files(std::move(memory));
		const auto &header = *static_cast<const detail::queue_header *>(
			files.data());
		const detail::queue_shape shape(header.max_num,
						header.max_size);

		if (header.magic != detail::queue_header::expected_magic ||
		    !shape.valid || shape.size != info.size())
			throw damaged();
		m_queue = std::make_unique<object>(std::move(files), shape);
		return true;
	}

	std::unique_ptr<object> m_queue;
};

/** The name goes with the last process that has the queue open. */
using kernel_message_queue = basic_kernel_message_queue<name_lifetime::users>;

/** The name stays until it is removed, and the messages with it. */
using persistent_kernel_message_queue =
	basic_kernel_message_queue<name_lifetime::removal>;

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_KERNEL_MESSAGE_QUEUE_HPP */
