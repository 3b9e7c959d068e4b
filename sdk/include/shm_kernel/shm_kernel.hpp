/* SPDX-License-Identifier: BSL-1.0 */
/*
 * All of the core library
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_SHM_KERNEL_HPP
#define SHM_KERNEL_SHM_KERNEL_HPP

#include <shm_kernel/create_options.hpp>
#include <shm_kernel/errors.hpp>
#include <shm_kernel/events.hpp>
#include <shm_kernel/mapping.hpp>
#include <shm_kernel/region.hpp>
#include <shm_kernel/region_info.hpp>
#include <shm_kernel/ring.hpp>
#include <shm_kernel/ring_reader.hpp>
#include <shm_kernel/ring_writer.hpp>

#endif /* SHM_KERNEL_SHM_KERNEL_HPP */
