// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the context switches that shm_kernel_sched publishes, until it goes, or
 * as many as the first argument says. The second is the name of the region.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/shm_kernel.h>
#include <linux/shm_kernel_ring.h>

#include "shm_kernel_sched.h"

/* What we go by; what is in the region may change at any time. */
struct reader {
	struct shm_kernel_ring_lane *lane;
	unsigned char *cells;
	__u32 mask;
	bool overwrite;
	__u32 position;
	__u32 tail;
	unsigned long long lost;
};

static int open_region(int control, const char *name, int flags)
{
	struct shm_kernel_open args = {
		.size = sizeof(args),
		.flags = flags,
		.name = (unsigned long)name,
		.name_len = strlen(name),
	};

	return ioctl(control, SHM_KERNEL_IOC_OPEN, &args);
}

static void get_info(int region, struct shm_kernel_info *info)
{
	*info = (struct shm_kernel_info) { .size = sizeof(*info) };
	if (ioctl(region, SHM_KERNEL_IOC_GET_INFO, info))
		err(1, "cannot ask for the region's properties");
}

/* Become the consumer of a lane. The kernel undoes it when we are gone. */
static void claim(int region, const unsigned char *mem, struct reader *reader)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_start = (unsigned char *)&reader->lane->tail - mem,
		.l_len = 1,
	};

	if (fcntl(region, F_OFD_SETLK, &lock))
		err(1, "somebody else reads the ring");
}

/* Returns the readers of all lanes and how many they are. */
static struct reader *open_ring(int region, bool writable, __u32 *lanes)
{
	struct shm_kernel_ring *ring;
	struct shm_kernel_info info;
	struct reader *readers;
	unsigned char *mem;
	__u32 i, cells, flags;
	size_t stride;

	get_info(region, &info);
	if (!(info.seals & SHM_KERNEL_SEAL_SHRINK))
		errx(1, "the region might shrink under us");
	if (info.length < sizeof(*ring))
		errx(1, "there is no ring in the region");
	mem = mmap(NULL, info.length, PROT_READ | (writable ? PROT_WRITE : 0),
		   MAP_SHARED, region, 0);
	if (mem == MAP_FAILED)
		err(1, "mmap");

	ring = (struct shm_kernel_ring *)mem;
	if (__atomic_load_n(&ring->magic, __ATOMIC_ACQUIRE) != SHM_KERNEL_RING_MAGIC ||
	    ring->version != SHM_KERNEL_RING_VERSION ||
	    strncmp((char *)ring->tag, SHM_KERNEL_SCHED_TAG, sizeof(ring->tag)))
		errx(1, "there is no ring of context switches in the region");

	*lanes = __atomic_load_n(&ring->lanes, __ATOMIC_RELAXED);
	cells = __atomic_load_n(&ring->cells, __ATOMIC_RELAXED);
	flags = __atomic_load_n(&ring->flags, __ATOMIC_RELAXED);
	stride = sizeof(struct shm_kernel_ring_lane) +
		 (size_t)cells * SHM_KERNEL_RING_CELL;
	if (!*lanes || *lanes > SHM_KERNEL_RING_MAX_LANES ||
	    cells < SHM_KERNEL_RING_MIN_CELLS ||
	    cells > SHM_KERNEL_RING_MAX_CELLS || cells & (cells - 1) ||
	    *lanes > (info.length - sizeof(*ring)) / stride)
		errx(1, "the ring is damaged");
	if (!(flags & SHM_KERNEL_RING_OVERWRITE) && !writable)
		errx(1, "this ring can only be read by those who may write it");

	readers = calloc(*lanes, sizeof(*readers));
	if (!readers)
		err(1, "calloc");
	for (i = 0; i < *lanes; i++) {
		struct reader *reader = &readers[i];

		reader->lane = (void *)(mem + sizeof(*ring) + i * stride);
		reader->cells = (unsigned char *)(reader->lane + 1);
		reader->mask = cells - 1;
		reader->overwrite = flags & SHM_KERNEL_RING_OVERWRITE;
		if (reader->overwrite) {
			reader->position = __atomic_load_n(&reader->lane->oldest,
							   __ATOMIC_RELAXED);
			continue;
		}
		claim(region, mem, reader);
		reader->position = __atomic_load_n(&reader->lane->tail,
						   __ATOMIC_RELAXED);
		reader->tail = reader->position;
	}
	return readers;
}

static struct shm_kernel_ring_record *look(const struct reader *reader)
{
	struct shm_kernel_ring_record *record;

	record = (void *)(reader->cells + (size_t)(reader->position & reader->mask) *
			  SHM_KERNEL_RING_CELL);
	if (__atomic_load_n(&record->sequence, __ATOMIC_ACQUIRE) !=
	    reader->position + 1)
		return NULL;
	return record;
}

/* Whether the kernel has overwritten what we looked at. */
static bool was_lapped(struct reader *reader)
{
	__u32 oldest;

	if (!reader->overwrite)
		return false;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	oldest = __atomic_load_n(&reader->lane->oldest, __ATOMIC_RELAXED);
	if (reader->position - oldest <= reader->mask + 1)
		return false;
	/* It is behind us only after RESET. */
	if ((__s32)(oldest - reader->position) > 0)
		reader->lost += oldest - reader->position;
	reader->position = oldest;
	return true;
}

/*
 * Gives cells back, if there are that many. The kernel never waits for room, so
 * that there is nobody to ring for.
 */
static void give_back(struct reader *reader, __u32 least)
{
	__u32 tail;

	if (reader->overwrite)
		return;
	tail = __atomic_load_n(&reader->lane->tail, __ATOMIC_RELAXED);
	if (tail == reader->tail) {
		if (reader->position - tail < least)
			return;
		if (__atomic_compare_exchange_n(&reader->lane->tail, &tail,
						reader->position, false,
						__ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			tail = reader->position;
	}
	/* Unless it is what we said: RESET, and the kernel has begun anew there. */
	reader->position = tail;
	reader->tail = tail;
}

/* Copies a record, so that nobody can change it any more. */
static bool next(struct reader *reader, struct shm_kernel_sched_switch *copy)
{
	struct shm_kernel_ring_record *record;
	__u32 tries, len, cells;
	bool skip;

	/* Nobody shall keep us here: not more than a lap. */
	for (tries = 0; tries <= reader->mask; tries++) {
		record = look(reader);
		if (!record) {
			if (was_lapped(reader))
				continue;
			break;
		}
		len = __atomic_load_n(&record->len, __ATOMIC_RELAXED);
		skip = len & SHM_KERNEL_RING_SKIP;
		len &= ~SHM_KERNEL_RING_SKIP;
		if (!skip && len == sizeof(*copy))
			memcpy(copy, record + 1, sizeof(*copy));
		if (was_lapped(reader))
			continue;

		cells = (len + sizeof(*record) + SHM_KERNEL_RING_CELL - 1) /
			SHM_KERNEL_RING_CELL;
		if (len > reader->mask * SHM_KERNEL_RING_CELL ||
		    (reader->position & reader->mask) + cells - 1 > reader->mask)
			errx(1, "the ring is damaged");
		reader->position += cells;
		give_back(reader, (reader->mask + 1) / 4);
		if (!skip && len == sizeof(*copy))
			return true;
	}
	give_back(reader, 1);
	return false;
}

/* Asks for the doorbell; returns whether there is a record already. */
static bool ask(struct reader *readers, __u32 lanes)
{
	bool found = false;
	__u32 i;

	for (i = 0; i < lanes; i++)
		if (!readers[i].overwrite)
			__atomic_store_n(&readers[i].lane->waiting, 1,
					 __ATOMIC_RELAXED);
	/* The kernel has a fence of its own after each record. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (i = 0; i < lanes; i++)
		if (look(&readers[i]))
			found = true;
	return found;
}

/* Threads choose their names, which may hold what terminals obey. */
static void print_comm(const char *comm)
{
	int i;

	for (i = 0; i < SHM_KERNEL_SCHED_COMM_SIZE && comm[i]; i++)
		putchar(isprint((unsigned char)comm[i]) ? comm[i] : '?');
}

static void print_switch(const struct shm_kernel_sched_switch *s)
{
	printf("%llu.%06llu [%u] ", (unsigned long long)s->time / 1000000000,
	       (unsigned long long)s->time / 1000 % 1000000, s->cpu);
	print_comm(s->prev_comm);
	printf(":%d %c%s ==> ", s->prev_pid, s->prev_state,
	       s->preempted ? "+" : "");
	print_comm(s->next_comm);
	printf(":%d\n", s->next_pid);
}

int main(int argc, char **argv)
{
	unsigned long long left = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	const char *name = argc > 2 ? argv[2] : "sched";
	struct shm_kernel_subscribe subscribe = { .size = sizeof(subscribe) };
	struct shm_kernel_sched_switch copy;
	unsigned long long lost = 0;
	struct shm_kernel_events events;
	struct shm_kernel_info info;
	struct reader *readers;
	bool writable = true;
	bool forever, gone;
	int control, region, bell;
	__u32 lanes, i;

	forever = !left;
	control = open("/dev/shm_kernel_driver", O_RDONLY);
	if (control < 0)
		err(1, "/dev/shm_kernel_driver");
	region = open_region(control, name, O_RDWR);
	if (region < 0) {
		writable = false;
		region = open_region(control, name, O_RDONLY);
	}
	if (region < 0)
		err(1, "cannot open the region %s", name);
	bell = ioctl(region, SHM_KERNEL_IOC_SUBSCRIBE, &subscribe);
	if (bell < 0)
		err(1, "cannot subscribe");
	readers = open_ring(region, writable, &lanes);
	/* Whoever goes after we have subscribed is reported. */
	get_info(region, &info);
	gone = !info.clients;

	while (forever || left) {
		bool found = false;

		for (i = 0; i < lanes && (forever || left); i++)
			while ((forever || left) && next(&readers[i], &copy)) {
				print_switch(&copy);
				found = true;
				left -= !forever;
			}
		if (found)
			continue;
		if (gone)
			break;
		fflush(stdout);
		if (ask(readers, lanes))
			continue;
		if (read(bell, &events, sizeof(events)) != sizeof(events))
			err(1, "cannot wait");
		if (!events.peers_gone)
			continue;
		/* Somebody is gone; was it the kernel? */
		get_info(region, &info);
		gone = !info.clients;
	}
	for (i = 0; i < lanes; i++) {
		give_back(&readers[i], 1);
		lost += readers[i].lost;
	}
	if (lost)
		fprintf(stderr, "%llu were overwritten before they were read\n", lost);
	return 0;
}
