/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What shm_kernel_sched publishes; for the kernel, C and C++
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef _SHM_KERNEL_SCHED_H
#define _SHM_KERNEL_SCHED_H

#include <linux/types.h>

/* The tag of the ring. */
#define SHM_KERNEL_SCHED_TAG		"sched_switch"
#define SHM_KERNEL_SCHED_COMM_SIZE	16

/**
 * struct shm_kernel_sched_switch - a context switch
 * @time: when, in ns of CLOCK_MONOTONIC
 * @cpu: where; also the number of the lane
 * @prev_pid: thread that ran so far, 0 if none did
 * @next_pid: thread that runs from now on, 0 if none does
 * @prev_state: what became of @prev_pid, with the letters of ps(1): R can go on,
 *	S and D sleep, T and t are stopped, Z and X are dead, I is idle
 * @preempted: 1 if it was made to leave
 * @pad: 0
 * @prev_comm: name of that thread, which it can choose: any bytes, to be escaped
 *	when printed
 * @next_comm: name of the other, likewise
 *
 * With the head of the record it fills a cell.
 */
struct shm_kernel_sched_switch {
	__u64 time;
	__u32 cpu;
	__s32 prev_pid;
	__s32 next_pid;
	__u8 prev_state;
	__u8 preempted;
	__u8 pad[2];
	char prev_comm[SHM_KERNEL_SCHED_COMM_SIZE];
	char next_comm[SHM_KERNEL_SCHED_COMM_SIZE];
};

#endif /* _SHM_KERNEL_SCHED_H */
