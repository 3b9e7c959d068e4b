/* SPDX-License-Identifier: GPL-2.0-only OR BSL-1.0 */
/*
 * What kernel_rows asks the module shm_kernel_bench to do
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_BENCH_H
#define SHM_KERNEL_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SHM_KERNEL_BENCH_REGION	"shm_kernel_bench"
#define SHM_KERNEL_BENCH_CELLS	16384
#define SHM_KERNEL_BENCH_MAX	1024	/* longest record */

enum shm_kernel_bench_what {
	/* Nothing, or only the copying of a record: to be subtracted, to compare. */
	SHM_KERNEL_BENCH_EMPTY,
	SHM_KERNEL_BENCH_COPY,
	/* A record into the ring, the doorbell when the consumer asks for it. */
	SHM_KERNEL_BENCH_RECORD,
	/* The same, beside other contexts. */
	SHM_KERNEL_BENCH_SHARED,
	/* A record into the ring, and the doorbell each time. */
	SHM_KERNEL_BENCH_RECORD_NOTIFY,
	SHM_KERNEL_BENCH_NOTIFY,
	/* @fd is an eventfd. */
	SHM_KERNEL_BENCH_EVENTFD,
	/* @fd is a pipe. */
	SHM_KERNEL_BENCH_PIPE,
	SHM_KERNEL_BENCH_RELAY,
};

/**
 * struct shm_kernel_bench_run - ioctl(SHM_KERNEL_BENCH_RUN)
 * @what: enum shm_kernel_bench_what
 * @len: length of a record, 64 or SHM_KERNEL_BENCH_MAX
 * @times: how often
 * @fd: what it goes to, or is ignored
 * @count: out: what the time stamp counter counted meanwhile
 *
 * Stops with ENOSPC when a record was dropped.
 */
struct shm_kernel_bench_run {
	__u32 what;
	__u32 len;
	__u32 times;
	__s32 fd;
	__aligned_u64 count;
};

#define SHM_KERNEL_BENCH_RUN	_IOWR('b', 0, struct shm_kernel_bench_run)

/* Takes back all records, as if a consumer had read them. */
#define SHM_KERNEL_BENCH_DRAIN	_IO('b', 1)

#endif /* SHM_KERNEL_BENCH_H */
