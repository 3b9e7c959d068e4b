// SPDX-License-Identifier: BSL-1.0
/*
 * What ringing costs: an event file beside an eventfd, from user space and from
 * the kernel.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/shm_kernel.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rows.h"
#include "shm_kernel_bench.h"

/* Two peers of one thing that can be rung; an eventfd has no sides. */
struct doorbell {
	const char *name;
	int ringer;
	int rung;
	enum shm_kernel_bench_what from_kernel;
};

static bool ring(int fd)
{
	uint64_t once = 1;

	return write(fd, &once, sizeof(once)) == sizeof(once);
}

/* An eventfd fills 8 bytes of it. */
static bool answer(int fd)
{
	struct shm_kernel_events events;

	return read(fd, &events, sizeof(events)) > 0;
}

static bool is_ready(int fd)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };

	return poll(&one, 1, 0) == 1;
}

static bool epoll_is_ready(int fd)
{
	struct epoll_event event;

	return epoll_wait(fd, &event, 1, 0) == 1;
}

static void user_rows(const struct doorbell *bell)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll;

	while (is_ready(bell->rung))
		answer(bell->rung);

	MEASURE_WITH("doorbell_write", bell->name, MAX_CALLS, (void)0,
		     ring(bell->ringer), answer(bell->rung));
	MEASURE_WITH("doorbell_read", bell->name, MAX_CALLS, ring(bell->ringer),
		     answer(bell->rung), (void)0);
	MEASURE("doorbell_write_read", bell->name, MAX_CALLS,
		ring(bell->ringer) && answer(bell->rung));

	ring(bell->ringer);
	MEASURE("doorbell_poll", bell->name, MAX_CALLS, is_ready(bell->rung));
	answer(bell->rung);
	MEASURE("doorbell_poll_idle", bell->name, MAX_CALLS, !is_ready(bell->rung));

	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, bell->rung, &event) < 0) {
		none("doorbell_epoll", bell->name, strerror(errno));
		return;
	}
	ring(bell->ringer);
	MEASURE("doorbell_epoll", bell->name, MAX_CALLS, epoll_is_ready(epoll));
	answer(bell->rung);
	/* Ringing calls epoll back, but nobody sleeps there. */
	MEASURE_WITH("doorbell_write_epoll", bell->name, MAX_CALLS, (void)0,
		     ring(bell->ringer), answer(bell->rung));
	close(epoll);
}

static bool ring_from_kernel(int bench, const struct doorbell *bell,
			     unsigned int times, uint64_t *count)
{
	struct shm_kernel_bench_run run = {
		.what = bell->from_kernel,
		.len = 64,
		.times = times,
		.fd = bell->rung,
	};

	if (ioctl(bench, SHM_KERNEL_BENCH_RUN, &run) < 0)
		return false;
	*count = run.count;
	return true;
}

static uint64_t empty_kernel_loop(int bench, unsigned int times)
{
	struct doorbell nothing = { .from_kernel = SHM_KERNEL_BENCH_EMPTY };

	for (int i = 0; i < MAX_CALLS; i++)
		if (!ring_from_kernel(bench, &nothing, times, &row_values[i]))
			return 0;
	return median_of(MAX_CALLS);
}

/* A process that sleeps until it is rung for, and again. */
static pid_t start_sleeper(int fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		while (answer(fd))
			;
		_exit(1);
	}
	return pid;
}

static void rows_from_kernel(int bench, const struct doorbell *bell)
{
	const int loops = 50, times = 100;
	uint64_t nothing = empty_kernel_loop(bench, times);
	pid_t sleeper;

	if (wanted("doorbell_kernel")) {
		for (int i = -WARM_UP; i < loops; i++) {
			uint64_t count;

			if (!ring_from_kernel(bench, bell, times, &count)) {
				none("doorbell_kernel", bell->name, strerror(errno));
				return;
			}
			answer(bell->rung);
			if (i >= 0)
				row_values[i] = count;
		}
		report_loops("doorbell_kernel", bell->name, loops, times, nothing);
	}

	if (!wanted("doorbell_kernel_sleeper"))
		return;
	nothing = empty_kernel_loop(bench, 1);
	sleeper = start_sleeper(bell->rung);
	if (sleeper < 0)
		return;
	for (int i = -WARM_UP; i < loops; i++) {
		uint64_t count = 0;

		/* Time enough to fall asleep. */
		usleep(2000);
		ring_from_kernel(bench, bell, 1, &count);
		if (i >= 0)
			row_values[i] = count;
	}
	report_loops("doorbell_kernel_sleeper", bell->name, loops, 1, nothing);
	kill(sleeper, SIGKILL);
	waitpid(sleeper, NULL, 0);
}

static int subscribe(int region)
{
	struct shm_kernel_subscribe args = { .size = sizeof(args) };

	return ioctl(region, SHM_KERNEL_IOC_SUBSCRIBE, &args);
}

/* The region that the module shares; without the module, one of our own. */
static int find_region(int control, bool with_module)
{
	struct shm_kernel_open open = {
		.size = sizeof(open),
		.flags = O_RDWR,
		.name = (uintptr_t)SHM_KERNEL_BENCH_REGION,
		.name_len = sizeof(SHM_KERNEL_BENCH_REGION) - 1,
	};
	struct shm_kernel_create create = {
		.size = sizeof(create),
		.length = 4096,
		.mode = 0600,
	};

	if (with_module)
		return ioctl(control, SHM_KERNEL_IOC_OPEN, &open);
	return ioctl(control, SHM_KERNEL_IOC_CREATE, &create);
}

static void bell_rows(int control, const char *name)
{
	int bench = open("/dev/shm_kernel_bench", O_RDWR | O_CLOEXEC);
	bool is_eventfd = strcmp(name, "eventfd") == 0;
	struct doorbell bell = { .name = name };
	int region;

	/* From user to user, on a region that no module is attached to. */
	if (is_eventfd) {
		bell.from_kernel = SHM_KERNEL_BENCH_EVENTFD;
		bell.ringer = eventfd(0, EFD_CLOEXEC);
		bell.rung = bell.ringer;
	} else {
		bell.from_kernel = SHM_KERNEL_BENCH_NOTIFY;
		region = find_region(control, false);
		bell.ringer = subscribe(region);
		bell.rung = subscribe(region);
	}
	if (bell.ringer < 0 || bell.rung < 0) {
		none("doorbell_write", name, strerror(errno));
		return;
	}
	user_rows(&bell);

	if (bench < 0) {
		none("doorbell_kernel", name, "the module shm_kernel_bench is not there");
		return;
	}
	if (!is_eventfd) {
		close(bell.ringer);
		close(bell.rung);
		region = find_region(control, true);
		bell.rung = subscribe(region);
	}
	rows_from_kernel(bench, &bell);
}

/* What write(2) costs when the file does nothing. */
static void floor_row(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	MEASURE("doorbell_write", "floor", MAX_CALLS, ring(null));
	close(null);
}

void doorbell_rows(int control)
{
	floor_row();
	bell_rows(control, "events");
	bell_rows(control, "eventfd");
}
