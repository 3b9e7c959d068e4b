/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The doorbell of a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/events.hpp>

#include "internal.hpp"

#include <ostream>
#include <string>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

namespace shm_kernel {

namespace {

using detail::check;
using detail::retry;

/* What read() gave: less than a structure comes from another kind of file. */
event_counts counts_of(const struct shm_kernel_events &raw, ssize_t size,
		       std::error_code &error) noexcept
{
	event_counts counts;

	if (size < SHM_KERNEL_EVENTS_SIZE_VER0) {
		error = errc::not_an_event_file;
		return counts;
	}
	counts.rings = raw.rings;
	counts.peers_come = raw.peers_come;
	counts.peers_gone = raw.peers_gone;
	counts.resized = raw.resized;
	counts.sealed = raw.sealed;
	counts.revoked = raw.revoked != 0;
	counts.peers = raw.peers;
	return counts;
}

struct timespec to_timespec(std::chrono::nanoseconds time) noexcept
{
	const auto seconds =
		std::chrono::duration_cast<std::chrono::seconds>(time);
	struct timespec result = {};

	result.tv_sec = static_cast<time_t>(seconds.count());
	result.tv_nsec = static_cast<long>((time - seconds).count());
	return result;
}

/* One wait, until there is something to read; EINTR is for the caller. */
bool poll_in(int fd, const struct timespec *timeout,
	     std::error_code &error) noexcept
{
	struct pollfd waiting = {};

	waiting.fd = fd;
	waiting.events = POLLIN;

	const int result = ::ppoll(&waiting, 1, timeout, nullptr);

	if (result < 0)
		error = {errno, std::system_category()};
	else if (waiting.revents & POLLNVAL)
		error = {EBADF, std::system_category()};
	return result > 0;
}

} // namespace

std::ostream &operator<<(std::ostream &out, const event_counts &counts)
{
	/* One piece: what the stream is set to (hex, width) is for others. */
	std::string text = std::to_string(counts.rings) + " rings, " +
			   std::to_string(counts.peers) + " peers";

	if (counts.peers_come)
		text += ", " + std::to_string(counts.peers_come) + " came";
	if (counts.peers_gone)
		text += ", " + std::to_string(counts.peers_gone) + " gone";
	if (counts.resized)
		text += ", " + std::to_string(counts.resized) + " resized";
	if (counts.sealed)
		text += ", " + std::to_string(counts.sealed) + " sealed";
	if (counts.revoked)
		text += ", revoked";
	return out << text;
}

events::events(const region &source, event_mode mode,
	       std::error_code &error) noexcept
{
	struct shm_kernel_subscribe argument = {};

	error = check(source.native_handle());
	if (error)
		return;
	argument.size = sizeof(argument);
	if (mode == event_mode::non_blocking)
		argument.flags = O_NONBLOCK;
	m_fd = retry([&] {
		return ::ioctl(source.native_handle(), SHM_KERNEL_IOC_SUBSCRIBE,
			       &argument);
	});
	if (m_fd < 0)
		error = detail::request_error(errno);
}

events::events(const region &source, event_mode mode)
{
	std::error_code error;

	events(source, mode, error).swap(*this);
	detail::throw_if(error, "subscribe to region");
}

events::events(events &&other) noexcept : m_fd(other.release())
{
}

events &events::operator=(events &&other) noexcept
{
	events(std::move(other)).swap(*this);
	return *this;
}

events::~events()
{
	close();
}

events events::adopt(int descriptor, std::error_code &error) noexcept
{
	char nothing;

	error = check(descriptor);
	if (error)
		return events();
	/*
	 * Nothing may be taken, nor rung: what asks for less than a structure
	 * is refused by an event file, and gets nothing from most others.
	 */
	if (retry([&] { return ::read(descriptor, &nothing, 0); }) >= 0)
		error = errc::not_an_event_file;
	else if (errno == EBADF && ::fcntl(descriptor, F_GETFD) < 0)
		error = {EBADF, std::system_category()};
	else if (errno != EINVAL)
		error = errc::not_an_event_file;
	return events(error ? -1 : descriptor);
}

events events::adopt(int descriptor)
{
	std::error_code error;
	events result = adopt(descriptor, error);

	detail::throw_if(error, "adopt descriptor");
	return result;
}

void events::ring(std::uint64_t times, std::error_code &error) noexcept
{
	const __u64 count = times;

	error = check(m_fd);
	if (error)
		return;
	if (retry([&] { return ::write(m_fd, &count, sizeof(count)); }) >= 0)
		return;
	/* EBADF on a descriptor that is open: it is not open for that. */
	if (errno == EBADF && ::fcntl(m_fd, F_GETFD) >= 0)
		error = errc::permission_denied;
	else
		error = detail::region_error(errno);
}

void events::ring(std::uint64_t times)
{
	std::error_code error;

	ring(times, error);
	detail::throw_if(error, "ring the doorbell");
}

event_counts events::read(std::error_code &error) noexcept
{
	struct shm_kernel_events raw = {};

	error = check(m_fd);
	if (error)
		return {};

	const ssize_t size =
		retry([&] { return ::read(m_fd, &raw, sizeof(raw)); });

	if (size < 0) {
		error = detail::region_error(errno);
		return {};
	}
	return counts_of(raw, size, error);
}

event_counts events::read()
{
	std::error_code error;
	const event_counts result = read(error);

	detail::throw_if(error, "read events");
	return result;
}

std::optional<event_counts> events::try_read(std::error_code &error) noexcept
{
	struct shm_kernel_events raw = {};
	const struct iovec buffer = {&raw, sizeof(raw)};

	error = check(m_fd);
	if (error)
		return std::nullopt;
	/*
	 * Not a look by poll() and then a read(): another thread, or a process
	 * that shares the peer, could take in between what the read() then
	 * waits for.
	 */
	const ssize_t size = retry(
		[&] { return ::preadv2(m_fd, &buffer, 1, -1, RWF_NOWAIT); });

	if (size < 0 && errno == EAGAIN)
		return std::nullopt;
	if (size < 0) {
		error = detail::region_error(errno);
		return std::nullopt;
	}

	const event_counts counts = counts_of(raw, size, error);

	if (error)
		return std::nullopt;
	return counts;
}

std::optional<event_counts> events::try_read()
{
	std::error_code error;
	std::optional<event_counts> result = try_read(error);

	detail::throw_if(error, "read events");
	return result;
}

bool events::wait_until(std::chrono::steady_clock::time_point deadline,
			std::error_code &error) const noexcept
{
	using clock = std::chrono::steady_clock;

	error = check(m_fd);
	while (!error) {
		const auto now = clock::now();
		/* A first look also when it is too late already. */
		const struct timespec left =
			to_timespec(deadline > now ? deadline - now
						   : clock::duration::zero());

		if (poll_in(m_fd, &left, error))
			return !error;
		if (error == std::errc::interrupted)
			error.clear();
		else if (!error && clock::now() >= deadline)
			break;
	}
	return false;
}

bool events::wait_until(std::chrono::steady_clock::time_point deadline) const
{
	std::error_code error;
	const bool result = wait_until(deadline, error);

	detail::throw_if(error, "wait for events");
	return result;
}

bool events::wait(std::chrono::nanoseconds timeout,
		  std::error_code &error) const noexcept
{
	using clock = std::chrono::steady_clock;

	if (timeout >= timeout.zero()) {
		const auto now = clock::now();

		/* What no clock can say is for ever. */
		if (timeout < clock::time_point::max() - now)
			return wait_until(now + timeout, error);
	}
	error = check(m_fd);
	while (!error) {
		if (poll_in(m_fd, nullptr, error))
			return !error;
		if (error == std::errc::interrupted)
			error.clear();
	}
	return false;
}

bool events::wait(std::chrono::nanoseconds timeout) const
{
	std::error_code error;
	const bool result = wait(timeout, error);

	detail::throw_if(error, "wait for events");
	return result;
}

access_mode events::access(std::error_code &error) const noexcept
{
	return detail::access_of(m_fd, error);
}

access_mode events::access() const
{
	std::error_code error;
	const access_mode result = access(error);

	detail::throw_if(error, "get access of event file");
	return result;
}

event_mode events::mode(std::error_code &error) const noexcept
{
	error = check(m_fd);
	if (error)
		return event_mode::blocking;

	const int flags = ::fcntl(m_fd, F_GETFL);

	if (flags < 0)
		error = detail::region_error(errno);
	return flags >= 0 && flags & O_NONBLOCK ? event_mode::non_blocking
						: event_mode::blocking;
}

event_mode events::mode() const
{
	std::error_code error;
	const event_mode result = mode(error);

	detail::throw_if(error, "get mode of event file");
	return result;
}

void events::set_mode(event_mode mode, std::error_code &error) noexcept
{
	error = check(m_fd);
	if (error)
		return;

	const int flags = ::fcntl(m_fd, F_GETFL);

	if (flags < 0 ||
	    ::fcntl(m_fd, F_SETFL,
		    mode == event_mode::non_blocking ? flags | O_NONBLOCK
						     : flags & ~O_NONBLOCK) < 0)
		error = detail::region_error(errno);
}

void events::set_mode(event_mode mode)
{
	std::error_code error;

	set_mode(mode, error);
	detail::throw_if(error, "set mode of event file");
}

int events::release() noexcept
{
	return std::exchange(m_fd, -1);
}

void events::close() noexcept
{
	const int fd = release();

	/* Closed in any case on Linux, EINTR included: never twice. */
	if (fd >= 0)
		::close(fd);
}

void events::swap(events &other) noexcept
{
	std::swap(m_fd, other.m_fd);
}

} // namespace shm_kernel
