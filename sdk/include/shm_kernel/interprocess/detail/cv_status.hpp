/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What a timed wait for a condition says in the end
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_CV_STATUS_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_CV_STATUS_HPP

#if __has_include(<boost/interprocess/sync/cv_status.hpp>)
#include <boost/interprocess/sync/cv_status.hpp>
#else
#include <condition_variable>
#endif

namespace shm_kernel {
namespace detail {

/* Boost's own, which programs compare with, where it has wait_until(). */
#if __has_include(<boost/interprocess/sync/cv_status.hpp>)
using boost::interprocess::cv_status;
#else
using std::cv_status;
#endif

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_CV_STATUS_HPP */
