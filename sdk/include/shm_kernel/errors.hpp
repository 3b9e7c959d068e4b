/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Errors of the core library
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_ERRORS_HPP
#define SHM_KERNEL_ERRORS_HPP

#include <shm_kernel/export.hpp>

#include <system_error>

namespace shm_kernel {

/**
 * What can go wrong with a region.
 *
 * The same errno means different things on the way to a region (a node without
 * a driver, a name that is not there), so the library says which it was. Each
 * value compares equal to the std::errc it comes from: a program that only
 * cares for "exists already" may test for std::errc::file_exists. What has no
 * special meaning here (EMFILE, EIO, ...) is reported in
 * std::system_category().
 */
enum class errc {
	/** A region of that name exists (EEXIST). */
	name_exists = 1,
	/** There is no region of that name (ENOENT). */
	not_found,
	/** The mode of the region or of the handle forbids it (EACCES). */
	permission_denied,
	/** This region, or this user, never may do that (EPERM). */
	not_permitted,
	/** The region's size cannot be changed (EPERM). */
	fixed_size,
	/** A limit of the driver, in all or for one user (ENOSPC). */
	limit_reached,
	/** No memory, or the memory cgroup has used its share (ENOMEM). */
	no_memory,
	/** The region was revoked (ENODEV). */
	revoked,
	/** Mapped by a kernel client, or, to seal it, by a writer (EBUSY). */
	busy,
	/** There is no device node: the driver is not loaded (ENODEV). */
	device_missing,
	/** The device node may not be opened (EACCES). */
	device_denied,
	/** The file is not a region, or not the driver's node (ENOTTY). */
	not_a_region,
	/** The driver is older than what is asked of it (E2BIG). */
	driver_too_old,
	/** No region can have that name (EINVAL). */
	invalid_name,
	/** The name has more than 255 bytes (ENAMETOOLONG). */
	name_too_long,
	/** The region has, or once had, a name (EINVAL). */
	already_named,
	/** The offset or length leads past the end of the region (ENOSPC). */
	past_end,
	/** The object holds no region (EBADF). */
	empty_handle,
	/** A seal of the region forbids it (EPERM). */
	sealed,
	/** The file is not an event file (ENOTTY). */
	not_an_event_file,
	/** There is no ring in that memory (EBADMSG). */
	not_a_ring,
	/** The peer has spoiled the ring (EBADMSG). */
	ring_corrupted,
	/** Another reader or writer has that lane of the ring (EAGAIN). */
	lane_busy,
	/** The kernel reads or writes that lane of the ring (EBUSY). */
	lane_in_kernel,
	/** No record of the ring can be that long (EMSGSIZE). */
	record_too_long,
	/** Others could make the region smaller (EPERM). */
	may_shrink,
	/** Somebody died while he held the lock (EOWNERDEAD). */
	owner_dead,
	/** A peer died; told once to each that would wait (ECONNRESET). */
	peer_died,
	/** The region holds something else, or other types (EBADMSG). */
	layout_mismatch,
};

/** The category of errc; its messages say how to mend the error. */
SHM_KERNEL_API const std::error_category &error_category() noexcept;

SHM_KERNEL_API std::error_code make_error_code(errc value) noexcept;

} // namespace shm_kernel

template <>
struct std::is_error_code_enum<shm_kernel::errc> : std::true_type
{
};

#endif /* SHM_KERNEL_ERRORS_HPP */
