/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Errors of the core library
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "internal.hpp"

#include <cerrno>
#include <string>

namespace shm_kernel {

namespace {

struct description
{
	std::errc condition;
	const char *text;
};

description describe(int value) noexcept
{
	switch (static_cast<errc>(value)) {
	case errc::name_exists:
		return {std::errc::file_exists,
			"a region of that name exists (open it, remove it or "
			"take another name)"};
	case errc::not_found:
		return {std::errc::no_such_file_or_directory,
			"there is no region of that name (a name ends with its "
			"last user unless it is persistent)"};
	case errc::permission_denied:
		return {std::errc::permission_denied,
			"the mode of the region or of its handle does not "
			"allow that (see its owner and mode)"};
	case errc::not_permitted:
		return {std::errc::operation_not_permitted,
			"not on this region or not for this user (boot regions "
			"keep name and life, REVOKE needs CAP_SYS_ADMIN)"};
	case errc::fixed_size:
		return {std::errc::operation_not_permitted,
			"the size is fixed, as for all boot regions and "
			"contiguous ones (create another region)"};
	case errc::limit_reached:
		return {std::errc::no_space_on_device,
			"a limit of the driver is reached (free regions, or "
			"raise its parameters max_total and max_user)"};
	case errc::no_memory:
		return {std::errc::not_enough_memory,
			"not enough memory (free some, or raise the limit of "
			"the memory cgroup)"};
	case errc::revoked:
		return {std::errc::no_such_device,
			"the region was revoked (create or open it anew)"};
	case errc::busy:
		return {std::errc::device_or_resource_busy,
			"a kernel client, or for a seal somebody who can "
			"write, has the region mapped (try again when it has "
			"let go)"};
	case errc::device_missing:
		return {std::errc::no_such_device,
			"the device node is missing (load the driver: "
			"modprobe shm_kernel_driver)"};
	case errc::device_denied:
		return {std::errc::permission_denied,
			"the device node may not be opened (run as root, or "
			"let a udev rule open it to your group)"};
	case errc::not_a_region:
		return {std::errc::inappropriate_io_control_operation,
			"the file is not a region of shm_kernel (check the "
			"path or the descriptor)"};
	case errc::driver_too_old:
		return {std::errc::argument_list_too_long,
			"the driver does not know that request (update the "
			"driver)"};
	case errc::invalid_name:
		return {std::errc::invalid_argument,
			"not a name (1 to 255 bytes without '/' and NUL, not "
			"\".\" or \"..\")"};
	case errc::name_too_long:
		return {std::errc::filename_too_long,
			"the name is too long (255 bytes at most)"};
	case errc::already_named:
		return {std::errc::invalid_argument,
			"the region has, or once had, a name (create another "
			"region for another name)"};
	case errc::past_end:
		return {std::errc::no_space_on_device,
			"past the end of the region (resize it, or stay "
			"inside)"};
	case errc::empty_handle:
		return {std::errc::bad_file_descriptor,
			"the object holds no region (create or open one "
			"first)"};
	case errc::sealed:
		return {std::errc::operation_not_permitted,
			"a seal of the region forbids that, for good (create "
			"another region)"};
	case errc::not_an_event_file:
		return {std::errc::inappropriate_io_control_operation,
			"the file is not an event file of shm_kernel (check "
			"the descriptor)"};
	case errc::not_a_ring:
		return {std::errc::bad_message,
			"there is no ring in that memory (check the offset, or "
			"make one)"};
	case errc::ring_corrupted:
		return {std::errc::bad_message,
			"the peer has spoiled the ring (make another one with "
			"peers that keep to the protocol)"};
	case errc::lane_busy:
		return {std::errc::resource_unavailable_try_again,
			"another reader or writer has that lane (take another "
			"lane, or wait for it to go)"};
	case errc::lane_in_kernel:
		return {std::errc::device_or_resource_busy,
			"the kernel is the reader or writer of that lane (take "
			"another lane)"};
	case errc::record_too_long:
		return {std::errc::message_size,
			"no record of the ring can be that long (half of a "
			"lane at most; make one with more cells)"};
	case errc::may_shrink:
		return {std::errc::operation_not_permitted,
			"others could make the region smaller and raise SIGBUS "
			"here (seal it with seal::shrink, or trust them)"};
	case errc::owner_dead:
		return {std::errc::owner_dead,
			"a process died while it held the lock (look at what "
			"it protects, then call mark_consistent())"};
	case errc::peer_died:
		return {std::errc::connection_reset,
			"a process that used the queue died (call again to go "
			"on waiting)"};
	case errc::layout_mismatch:
		return {std::errc::bad_message,
			"the region holds something else than expected (use "
			"the types and the Boost that it was made with)"};
	}
	return {std::errc(), "unknown error"};
}

class category final : public std::error_category
{
public:
	const char *name() const noexcept override { return "shm_kernel"; }

	std::string message(int value) const override
	{
		return describe(value).text;
	}

	std::error_condition
	default_error_condition(int value) const noexcept override
	{
		const std::errc condition = describe(value).condition;

		if (condition == std::errc())
			return {value, *this};
		return std::make_error_condition(condition);
	}
};

} // namespace

const std::error_category &error_category() noexcept
{
	static const category instance;

	return instance;
}

std::error_code make_error_code(errc value) noexcept
{
	return {static_cast<int>(value), error_category()};
}

namespace detail {

std::error_code region_error(int number) noexcept
{
	switch (number) {
	case EEXIST:
		return errc::name_exists;
	case ENOENT:
		return errc::not_found;
	case EACCES:
		return errc::permission_denied;
	case EPERM:
		return errc::not_permitted;
	case ENOSPC:
		return errc::limit_reached;
	case ENOMEM:
		return errc::no_memory;
	case ENODEV:
		return errc::revoked;
	case EBUSY:
		return errc::busy;
	case ENOTTY:
		return errc::not_a_region;
	case E2BIG:
		return errc::driver_too_old;
	case ENAMETOOLONG:
		return errc::name_too_long;
	default:
		return {number, std::system_category()};
	}
}

std::error_code request_error(int number) noexcept
{
	return number == ENOTTY ? make_error_code(errc::driver_too_old)
				: region_error(number);
}

std::string about(const char *what, std::string_view name)
{
	std::string text = what;

	if (!name.empty()) {
		text += " \"";
		text += printable(name);
		text += '"';
	}
	return text;
}

void throw_if(const std::error_code &error, const char *what)
{
	if (error)
		throw std::system_error(error, what);
}

void throw_if(const std::error_code &error, const char *what,
	      std::string_view name)
{
	if (error)
		throw std::system_error(error, about(what, name));
}

} // namespace detail
} // namespace shm_kernel
