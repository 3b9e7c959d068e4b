/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the core library exports: everything else in it is hidden.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_EXPORT_HPP
#define SHM_KERNEL_EXPORT_HPP

#define SHM_KERNEL_API __attribute__((visibility("default")))

#endif /* SHM_KERNEL_EXPORT_HPP */
