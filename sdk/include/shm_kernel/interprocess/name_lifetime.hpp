/* SPDX-License-Identifier: BSL-1.0 */
/*
 * How long the names of segments and queues live
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_NAME_LIFETIME_HPP
#define SHM_KERNEL_INTERPROCESS_NAME_LIFETIME_HPP

namespace shm_kernel {

/** When a name goes, and the memory with it. */
enum class name_lifetime {
	/** With the last that has it open or mapped, crashes included. */
	users,
	/** When it is removed, as the names of POSIX shared memory. */
	removal,
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_NAME_LIFETIME_HPP */
