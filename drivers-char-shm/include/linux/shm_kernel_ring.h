/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A ring of records in memory that the kernel and user space share: the
 * kernel's side
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * The layout and the protocol are in <uapi/linux/shm_kernel_ring.h>. The memory
 * is whatever shm_kernel_vmap() returned. User space may write all of it at any
 * time, so positions and sizes are kept here, out of its reach: what it does to
 * the ring can spoil records, never what is outside of the ring.
 */

#ifndef _LINUX_SHM_KERNEL_RING_H
#define _LINUX_SHM_KERNEL_RING_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/barrier.h>
#include <uapi/linux/shm_kernel_ring.h>

/* Pieces of a lane that an overwriting writer takes back at a time. */
#define SHM_KERNEL_RING_PIECES	16

/**
 * struct shm_kernel_ring_options - what a ring is to be like
 * @lanes: number of producers that can write at the same time, at least 1
 * @cells: size of each lane in cells of 64 bytes, a power of two
 * @flags: SHM_KERNEL_RING_OVERWRITE
 * @tag: what the records are, at most SHM_KERNEL_RING_TAG_SIZE bytes
 */
struct shm_kernel_ring_options {
	u32 lanes;
	u32 cells;
	u32 flags;
	const char *tag;
};

/**
 * struct shm_kernel_ring_writer - the producer of one lane
 * @lane: the head of the lane
 * @waiting: where the consumer says that it waits
 * @cells: its cells
 * @mask: number of cells - 1
 * @head: position of the next record
 * @limit: a record that ends before it needs no second thought: there is room,
 *	it is not too long, and it and the cell behind it do not wrap around
 * @overwrite: whether old records make room for new ones
 * @oldest: position of the oldest record, as far as we know
 * @pieces: where in each of the last pieces of the lane the first record begins
 * @lock: protects @head to @pieces if several contexts share the writer
 */
struct shm_kernel_ring_writer {
	struct shm_kernel_ring_lane *lane;
	const u32 *waiting;
	void *cells;
	u32 mask;
	u32 head;
	u32 limit;
	bool overwrite;
	u32 oldest;
	u32 pieces[SHM_KERNEL_RING_PIECES];
	raw_spinlock_t lock;
};

/**
 * struct shm_kernel_ring_slot - a record that is being written
 * @data: where the payload goes, at a multiple of 8; user space can see and
 *	change it
 * @len: length of the payload
 * @position: where in the lane the record is
 */
struct shm_kernel_ring_slot {
	void *data;
	u32 len;
	u32 position;
};

/**
 * struct shm_kernel_ring_reader - the consumer of one lane
 * @lane: the head of the lane
 * @cells: its cells
 * @mask: number of cells - 1
 * @overwrite: whether records may be overwritten before they were read
 * @position: where the next record is expected
 * @tail: what the producer was told last
 * @lost: bytes that were overwritten before they were read
 * @room_wanted: the producer waits for room and is to be rung for
 */
struct shm_kernel_ring_reader {
	struct shm_kernel_ring_lane *lane;
	void *cells;
	u32 mask;
	bool overwrite;
	u32 position;
	u32 tail;
	u64 lost;
	bool room_wanted;
};

/**
 * shm_kernel_ring_size() - how much memory a ring takes
 * @lanes: number of lanes
 * @cells: cells of each lane
 *
 * Return: the size in bytes.
 */
static inline u64 shm_kernel_ring_size(u32 lanes, u32 cells)
{
	return sizeof(struct shm_kernel_ring) +
	       lanes * (sizeof(struct shm_kernel_ring_lane) +
			(u64)cells * SHM_KERNEL_RING_CELL);
}

int shm_kernel_ring_create(void *mem, size_t size,
			   const struct shm_kernel_ring_options *options);

int shm_kernel_ring_writer_init(struct shm_kernel_ring_writer *writer,
				void *mem, size_t size, u32 lane);
struct shm_kernel_ring_slot
__shm_kernel_ring_reserve(struct shm_kernel_ring_writer *writer, u32 len);
struct shm_kernel_ring_slot
__shm_kernel_ring_reserve_nmi(struct shm_kernel_ring_writer *writer, u32 len);

int shm_kernel_ring_reader_init(struct shm_kernel_ring_reader *reader,
				void *mem, size_t size, u32 lane);
ssize_t shm_kernel_ring_read(struct shm_kernel_ring_reader *reader, void *buf,
			     size_t size);
bool shm_kernel_ring_ask(struct shm_kernel_ring_reader *reader);

/* Cells of a record with a payload of @len bytes. */
static __always_inline u32 shm_kernel_ring_cells(u32 len)
{
	/* In 64 bits, or the longest lengths would make short records. */
	return ((u64)len + sizeof(struct shm_kernel_ring_record) +
		SHM_KERNEL_RING_CELL - 1) / SHM_KERNEL_RING_CELL;
}

static __always_inline struct shm_kernel_ring_record *
shm_kernel_ring_at(void *cells, u32 mask, u32 position)
{
	return cells + (size_t)(position & mask) * SHM_KERNEL_RING_CELL;
}

/**
 * shm_kernel_ring_reserve() - begin a record
 * @writer: the lane's producer
 * @len: length of the payload
 * @slot: filled in with where the payload goes
 *
 * Several records may be begun before the first is committed. Those behind one
 * that is not committed wait for it, so it should not take long.
 * In a ring that overwrites, the others must not write a whole lap meanwhile,
 * or two records end up in one place: do not be preempted.
 *
 * Context: Any. The caller sees to it that nobody else reserves with the same
 *	writer meanwhile; shm_kernel_ring_reserve_shared() does so by itself.
 * Return: 0, -EMSGSIZE if no record can be that long, -ENOSPC if the ring is
 *	full (the record is counted as dropped), or -EBADMSG if the consumer has
 *	spoiled the ring (likewise).
 */
static __always_inline int
shm_kernel_ring_reserve(struct shm_kernel_ring_writer *writer, u32 len,
			struct shm_kernel_ring_slot *slot)
{
	u32 position = writer->head;
	u32 cells = shm_kernel_ring_cells(len);
	u32 next = position + cells;
	struct shm_kernel_ring_record *record, *behind;

	if (unlikely((s32)(writer->limit - next) <= 0)) {
		*slot = __shm_kernel_ring_reserve(writer, len);
		return PTR_ERR_OR_ZERO(slot->data);
	}

	record = shm_kernel_ring_at(writer->cells, writer->mask, position);
	/* What is behind the record must not look like the next one. */
	behind = (void *)record + (size_t)cells * SHM_KERNEL_RING_CELL;
	if (unlikely(READ_ONCE(behind->sequence) == next + 1))
		WRITE_ONCE(behind->sequence, next);
	writer->head = next;
	WRITE_ONCE(writer->lane->head, next);

	slot->data = record + 1;
	slot->len = len;
	slot->position = position;
	return 0;
}

/**
 * shm_kernel_ring_reserve_shared() - begin a record beside other contexts
 * @writer: the lane's producer
 * @len: length of the payload
 * @slot: filled in with where the payload goes
 *
 * As shm_kernel_ring_reserve(), but any number of contexts may use the writer
 * at the same time. Records are in the order in which they were begun.
 *
 * Context: Any. Takes a raw spinlock with interrupts disabled; in NMI context it
 *	only tries to.
 * Return: as for shm_kernel_ring_reserve(), or -EBUSY if an NMI came while the
 *	lock was taken (the record is counted as dropped).
 */
static __always_inline int
shm_kernel_ring_reserve_shared(struct shm_kernel_ring_writer *writer, u32 len,
			       struct shm_kernel_ring_slot *slot)
{
	unsigned long flags;
	int err;

	if (unlikely(in_nmi())) {
		*slot = __shm_kernel_ring_reserve_nmi(writer, len);
		return PTR_ERR_OR_ZERO(slot->data);
	}
	raw_spin_lock_irqsave(&writer->lock, flags);
	err = shm_kernel_ring_reserve(writer, len, slot);
	raw_spin_unlock_irqrestore(&writer->lock, flags);
	return err;
}

static __always_inline void
__shm_kernel_ring_publish(const struct shm_kernel_ring_slot *slot, u32 flag)
{
	struct shm_kernel_ring_record *record = slot->data - sizeof(*record);

	WRITE_ONCE(record->len, slot->len | flag);
	/* The record before its sequence; pairs with the consumer's acquire. */
	smp_store_release(&record->sequence, slot->position + 1);
}

static __always_inline bool
__shm_kernel_ring_is_awaited(struct shm_kernel_ring_writer *writer)
{
	/*
	 * The sequence before the look at @waiting. Pairs with the barrier
	 * between the consumer's setting @waiting and its last look at the
	 * sequence: one of us sees what the other has done.
	 */
	smp_mb();
	if (likely(!READ_ONCE(*writer->waiting)))
		return false;
	if (!writer->overwrite)
		WRITE_ONCE(writer->lane->waiting, 0);
	return true;
}

/**
 * shm_kernel_ring_commit() - publish a record
 * @writer: the lane's producer
 * @slot: what shm_kernel_ring_reserve() filled in
 *
 * Context: Any.
 * Return: true if the doorbell is to be rung: a consumer waits, or the ring is
 *	one that overwrites, of which the producer cannot know that.
 */
static __always_inline bool
shm_kernel_ring_commit(struct shm_kernel_ring_writer *writer,
		       const struct shm_kernel_ring_slot *slot)
{
	__shm_kernel_ring_publish(slot, 0);
	return __shm_kernel_ring_is_awaited(writer);
}

/**
 * shm_kernel_ring_discard() - give a record up that was begun
 * @writer: the lane's producer
 * @slot: what shm_kernel_ring_reserve() filled in
 *
 * Consumers step over it. It takes room until they do.
 *
 * Context: Any.
 * Return: as for shm_kernel_ring_commit().
 */
static __always_inline bool
shm_kernel_ring_discard(struct shm_kernel_ring_writer *writer,
			const struct shm_kernel_ring_slot *slot)
{
	__shm_kernel_ring_publish(slot, SHM_KERNEL_RING_SKIP);
	return __shm_kernel_ring_is_awaited(writer);
}

/**
 * shm_kernel_ring_writer_exit() - stop being the producer of a lane
 * @writer: the lane's producer
 *
 * Programs may take the lane from here on.
 *
 * Context: Any. All records that were begun are committed or discarded.
 */
static inline void
shm_kernel_ring_writer_exit(struct shm_kernel_ring_writer *writer)
{
	/* Who sees the lane free sees what was written there. */
	smp_store_release(&writer->lane->producer, 0);
}

/**
 * shm_kernel_ring_reader_exit() - stop being the consumer of a lane
 * @reader: the lane's consumer
 *
 * Programs may take the lane from here on, and begin where the reader is.
 *
 * Context: Any.
 */
static inline void
shm_kernel_ring_reader_exit(struct shm_kernel_ring_reader *reader)
{
	if (reader->overwrite)
		return;
	/* After what was read there; pairs with the producer's acquire. */
	smp_store_release(&reader->lane->tail, reader->position);
	/* Who sees the lane free sees where to begin. */
	smp_store_release(&reader->lane->consumer, 0);
}

#endif /* _LINUX_SHM_KERNEL_RING_H */
