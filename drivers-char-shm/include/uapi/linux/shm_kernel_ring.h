/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * A ring of records in memory that the kernel and user space share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef _UAPI_LINUX_SHM_KERNEL_RING_H
#define _UAPI_LINUX_SHM_KERNEL_RING_H

#include <linux/types.h>

/**
 * DOC: Layout
 *
 * A ring lies anywhere in a region, at a multiple of SHM_KERNEL_RING_ALIGN::
 *
 *	struct shm_kernel_ring
 *	struct shm_kernel_ring_lane	lane 0
 *	cells of 64 bytes, a power of two of them
 *	struct shm_kernel_ring_lane	lane 1
 *	cells, as many
 *	...
 *
 * One producer at a time writes a lane and, unless the ring is one that
 * overwrites, one consumer at a time reads it. Several producers have a lane
 * each: they never wait for each other, and one that dies leaves the lanes of
 * the others alone. The order of records is that of their lane.
 *
 * A position is a free-running 32-bit count of cells; the cell at position P is
 * number P modulo the number of cells. A record begins on a cell with struct
 * shm_kernel_ring_record, lies in consecutive cells that do not wrap around,
 * and is no longer than half of the lane.
 */

/**
 * DOC: Protocol
 *
 * To publish the record at position P the producer writes @len and the payload
 * and then, with release semantics, @sequence = P + 1. The consumer waits for
 * that value in the cell it expects the next record in, with acquire semantics,
 * and finds the one after it by @len. So it looks at no shared position, which
 * would have to travel between the processors with each record.
 *
 * Nothing else must look like a published record. The consumer may look at the
 * cell behind the last record while it still holds the payload of an earlier
 * lap. So before the producer publishes a record, it makes sure that the cell
 * behind it, which has to be free as well, does not hold the sequence of its
 * position, and overwrites it if by chance it does.
 *
 * A record that does not fit before the end of the lane is preceded by one with
 * SHM_KERNEL_RING_SKIP that fills the lane up. A discarded record has that flag,
 * too.
 *
 * Without SHM_KERNEL_RING_OVERWRITE the consumer gives cells back by storing
 * its position to @tail with release semantics, after a quarter of the lane or
 * when it finds no more. The producer drops records that there is no room for
 * and counts them in @dropped.
 *
 * With SHM_KERNEL_RING_OVERWRITE the producer takes the oldest cells back by
 * storing the position of the oldest record that it spares to @oldest and
 * ordering that before what it writes next. A consumer copies a record and then
 * looks at @oldest: if its position is not in [@oldest, @oldest + cells], what
 * it copied may be torn, and it goes on at @oldest. There may be any number of
 * consumers, and a read-only mapping is enough.
 *
 * Before a consumer sleeps it stores 1 to @waiting, has a full barrier, and
 * looks once more. A producer that has published looks at @waiting, and if it is
 * set, stores 0 and rings the region's doorbell. If it has
 * SHM_KERNEL_RING_FENCES set in @producer, it has a full barrier in between;
 * otherwise it has registered for MEMBARRIER_CMD_GLOBAL_EXPEDITED, and the
 * barrier of the consumer has to be that system call. With
 * SHM_KERNEL_RING_OVERWRITE nobody may write @waiting, and the producer rings
 * for each record; rings that nobody waits for cost next to nothing.
 *
 * A producer that waits for room does the same with @blocked and @tail: it
 * stores 1, has a full barrier, and looks once more; the consumer, having stored
 * @tail, has a full barrier, and if @blocked is set, stores 0 and rings.
 *
 * Neither side believes the other: it has positions and the number of cells in
 * memory of its own, masks every index, and treats a length that leads out of
 * the lane, or a @tail that is no position in it, as corruption.
 */

#define SHM_KERNEL_RING_MAGIC		0x6b6d6873	/* "shmk" */
#define SHM_KERNEL_RING_VERSION		1
#define SHM_KERNEL_RING_ALIGN		64
#define SHM_KERNEL_RING_CELL		64
#define SHM_KERNEL_RING_MIN_CELLS	64
#define SHM_KERNEL_RING_MAX_CELLS	(1U << 24)	/* 1 GiB */
#define SHM_KERNEL_RING_MAX_LANES	1024
#define SHM_KERNEL_RING_TAG_SIZE	32

/* Flags of a ring. */
#define SHM_KERNEL_RING_OVERWRITE	(1U << 0)	/* the newest records stay */

/* Flags of a lane, in @producer and @consumer. */
#define SHM_KERNEL_RING_FENCES		(1U << 0)	/* no membarrier() is needed */
#define SHM_KERNEL_RING_IN_KERNEL	(1U << 1)	/* this side is the kernel's */

/* In @len of a record: there is nothing in it. */
#define SHM_KERNEL_RING_SKIP		(1U << 31)

/**
 * struct shm_kernel_ring - the head of a ring
 * @magic: SHM_KERNEL_RING_MAGIC, written last
 * @version: SHM_KERNEL_RING_VERSION
 * @flags: SHM_KERNEL_RING_OVERWRITE
 * @lanes: number of lanes, 1 to SHM_KERNEL_RING_MAX_LANES
 * @cells: cells of each lane, a power of two, SHM_KERNEL_RING_MIN_CELLS to
 *	SHM_KERNEL_RING_MAX_CELLS
 * @pad: 0
 * @tag: what the records are, for the use of those who read them
 * @reserved: 0
 *
 * Whoever makes a ring writes it once, into zeroed memory.
 */
struct shm_kernel_ring {
	__u32 magic;
	__u32 version;
	__u32 flags;
	__u32 lanes;
	__u32 cells;
	__u32 pad[3];
	__u8 tag[SHM_KERNEL_RING_TAG_SIZE];
	__u32 reserved[16];
};

/**
 * struct shm_kernel_ring_lane - the head of a lane, before its cells
 * @head: position of the next record. Consumers do not need it; a new producer
 *	begins there and steps over records that are already published.
 * @oldest: position of the oldest record, if the ring is one that overwrites
 * @dropped: records that there was no room for
 * @producer: SHM_KERNEL_RING_FENCES, SHM_KERNEL_RING_IN_KERNEL
 * @waiting: the consumer waits for a record
 * @producer_pad: 0
 * @tail: position of the first cell that the consumer still needs
 * @consumer: SHM_KERNEL_RING_IN_KERNEL
 * @blocked: the producer waits for room
 * @consumer_pad: 0
 *
 * The producer writes the first half and the consumer the second. Only the two
 * requests lie with the side that has to look at them often: the consumer sets
 * @waiting and the producer clears it, and the other way round for @blocked.
 */
struct shm_kernel_ring_lane {
	__u32 head;
	__u32 oldest;
	__u32 dropped;
	__u32 producer;
	__u32 waiting;
	__u32 producer_pad[27];
	__u32 tail;
	__u32 consumer;
	__u32 blocked;
	__u32 consumer_pad[29];
};

/**
 * struct shm_kernel_ring_record - the head of a record, before its payload
 * @sequence: its position + 1 once it is published
 * @len: length of the payload in bytes, and maybe SHM_KERNEL_RING_SKIP
 */
struct shm_kernel_ring_record {
	__u32 sequence;
	__u32 len;
};

#endif /* _UAPI_LINUX_SHM_KERNEL_RING_H */
