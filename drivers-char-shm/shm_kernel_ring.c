// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ring of records in memory that the kernel and user space share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * What is common in the life of a record is inline in <linux/shm_kernel_ring.h>;
 * the layout and the protocol are in <uapi/linux/shm_kernel_ring.h>.
 */

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/hardirq.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/shm_kernel_ring.h>
#include <linux/spinlock.h>

static_assert(sizeof(struct shm_kernel_ring) == 128);
static_assert(sizeof(struct shm_kernel_ring_lane) == 256);
static_assert(sizeof(struct shm_kernel_ring_record) == 8);

/* Records to skip, or laps to catch up with, before a reader gives up for now. */
#define SHM_RING_MAX_TRIES	256

static bool shm_ring_shape_ok(u32 lanes, u32 cells, size_t size)
{
	return lanes && lanes <= SHM_KERNEL_RING_MAX_LANES &&
	       is_power_of_2(cells) && cells >= SHM_KERNEL_RING_MIN_CELLS &&
	       cells <= SHM_KERNEL_RING_MAX_CELLS &&
	       shm_kernel_ring_size(lanes, cells) <= size;
}

/**
 * shm_kernel_ring_create() - make a ring
 * @mem: zeroed memory, at a multiple of SHM_KERNEL_RING_ALIGN
 * @size: how much of it there is
 * @options: what the ring is to be like
 *
 * Context: Any. Nobody else may use the memory yet.
 * Return: 0, or -EINVAL if @options make no sense or the ring does not fit.
 */
int shm_kernel_ring_create(void *mem, size_t size,
			   const struct shm_kernel_ring_options *options)
{
	struct shm_kernel_ring *ring = mem;
	size_t len = options->tag ? strlen(options->tag) : 0;

	if (!IS_ALIGNED((uintptr_t)mem, SHM_KERNEL_RING_ALIGN) ||
	    options->flags & ~SHM_KERNEL_RING_OVERWRITE || len > sizeof(ring->tag) ||
	    !shm_ring_shape_ok(options->lanes, options->cells, size))
		return -EINVAL;

	ring->version = SHM_KERNEL_RING_VERSION;
	ring->flags = options->flags;
	ring->lanes = options->lanes;
	ring->cells = options->cells;
	memcpy(ring->tag, options->tag, len);
	/* Who sees the magic sees the rest. */
	smp_store_release(&ring->magic, SHM_KERNEL_RING_MAGIC);
	return 0;
}
EXPORT_SYMBOL_GPL(shm_kernel_ring_create);

/* Return: the head of a lane, or an error. Reads what user space may write once. */
static struct shm_kernel_ring_lane *
shm_ring_find_lane(void *mem, size_t size, u32 lane, u32 *cells, u32 *flags)
{
	const struct shm_kernel_ring *ring = mem;
	u32 lanes;

	if (!IS_ALIGNED((uintptr_t)mem, SHM_KERNEL_RING_ALIGN) ||
	    size < sizeof(*ring))
		return ERR_PTR(-EINVAL);
	/* What is behind the magic; pairs with shm_kernel_ring_create(). */
	if (smp_load_acquire(&ring->magic) != SHM_KERNEL_RING_MAGIC ||
	    READ_ONCE(ring->version) != SHM_KERNEL_RING_VERSION)
		return ERR_PTR(-EBADMSG);
	lanes = READ_ONCE(ring->lanes);
	*cells = READ_ONCE(ring->cells);
	*flags = READ_ONCE(ring->flags);
	if (!shm_ring_shape_ok(lanes, *cells, size) ||
	    *flags & ~SHM_KERNEL_RING_OVERWRITE)
		return ERR_PTR(-EBADMSG);
	if (lane >= lanes)
		return ERR_PTR(-EINVAL);
	return mem + shm_kernel_ring_size(lane, *cells);
}

static u32 shm_ring_max_len(u32 mask)
{
	return (mask + 1) / 2 * SHM_KERNEL_RING_CELL -
	       sizeof(struct shm_kernel_ring_record);
}

/* Return: the cells of a record, or 0 if there is no sense in its length. */
static u32 shm_ring_record_cells(u32 len, u32 position, u32 mask)
{
	u32 cells;

	len &= ~SHM_KERNEL_RING_SKIP;
	if (len > shm_ring_max_len(mask))
		return 0;
	cells = shm_kernel_ring_cells(len);
	return (position & mask) + cells - 1 <= mask ? cells : 0;
}

/* Where the piece of a lane that @position lies in ends. */
static u32 shm_ring_piece_end(u32 position, u32 mask)
{
	u32 piece = (mask + 1) / SHM_KERNEL_RING_PIECES;

	return (position & ~(piece - 1)) + piece;
}

/* The first position that there is no room for, as far as we know. */
static u32 shm_ring_full(const struct shm_kernel_ring_writer *writer)
{
	return writer->oldest + writer->mask + 1;
}

static void shm_ring_set_limit(struct shm_kernel_ring_writer *writer)
{
	u32 half = (writer->mask + 1) / 2;
	u32 full = shm_ring_full(writer);
	u32 end;

	/*
	 * A record that reaches the end of a piece has to be noted. One that
	 * stays in a half of the lane is not too long and does not wrap around.
	 */
	if (writer->overwrite)
		end = shm_ring_piece_end(writer->head, writer->mask);
	else
		end = (writer->head & ~(half - 1)) + half;
	writer->limit = (s32)(full - end) < 0 ? full : end;
}

/* Of a ring that overwrites: somebody may be waiting, nobody can say so. */
static const u32 shm_ring_always_waiting = 1;

/**
 * shm_kernel_ring_writer_init() - become the producer of a lane
 * @writer: to be filled in
 * @mem: the ring
 * @size: how much memory there is
 * @lane: number of the lane, from 0
 *
 * The writer goes on behind the records that are there, which are lost if the
 * ring is one that overwrites. User space takes the lane to be the kernel's until
 * shm_kernel_ring_writer_exit().
 *
 * Context: Any. The lane has no other producer.
 * Return: 0, -EINVAL if there is no such lane, or -EBADMSG if there is no ring.
 */
int shm_kernel_ring_writer_init(struct shm_kernel_ring_writer *writer,
				void *mem, size_t size, u32 lane)
{
	struct shm_kernel_ring_record *record;
	struct shm_kernel_ring_lane *head;
	u32 cells, flags, n, done;

	head = shm_ring_find_lane(mem, size, lane, &cells, &flags);
	if (IS_ERR(head))
		return PTR_ERR(head);

	*writer = (struct shm_kernel_ring_writer) {
		.lane = head,
		.waiting = flags & SHM_KERNEL_RING_OVERWRITE ?
			   &shm_ring_always_waiting : &head->waiting,
		.cells = head + 1,
		.mask = cells - 1,
		.head = READ_ONCE(head->head),
		.overwrite = flags & SHM_KERNEL_RING_OVERWRITE,
	};
	raw_spin_lock_init(&writer->lock);

	/* A producer may have died between publishing a record and saying so. */
	for (done = 0; done < cells; done += n) {
		record = shm_kernel_ring_at(writer->cells, writer->mask, writer->head);
		/* Before its length; pairs with the producer's release. */
		if (smp_load_acquire(&record->sequence) != writer->head + 1)
			break;
		n = shm_ring_record_cells(READ_ONCE(record->len), writer->head,
					  writer->mask);
		if (!n)
			break;
		writer->head += n;
	}
	WRITE_ONCE(head->head, writer->head);

	if (writer->overwrite) {
		writer->oldest = writer->head;
		WRITE_ONCE(head->oldest, writer->oldest);
		/* As in shm_ring_overwrite(). */
		smp_wmb();
		shm_ring_set_limit(writer);
	} else {
		/* Full, as far as we know: the first record looks at @tail. */
		writer->oldest = writer->head - cells;
		writer->limit = writer->head;
	}
	WRITE_ONCE(head->producer, SHM_KERNEL_RING_FENCES | SHM_KERNEL_RING_IN_KERNEL);
	return 0;
}
EXPORT_SYMBOL_GPL(shm_kernel_ring_writer_init);

/*
 * Sees to it that the cells up to and including @next are free, by giving up the
 * oldest records, a piece of the lane at a time.
 */
static void shm_ring_overwrite(struct shm_kernel_ring_writer *writer, u32 next)
{
	u32 mask = writer->mask;
	u32 piece = (mask + 1) / SHM_KERNEL_RING_PIECES;
	u32 need = next - mask;
	u32 end;

	if ((s32)(need - writer->oldest) > 0) {
		/*
		 * Go on with the first record of the piece that begins at @need
		 * or after it. We know where that is without looking at what
		 * user space may have written there.
		 */
		end = round_up(need, piece);
		writer->oldest =
			writer->pieces[end / piece % SHM_KERNEL_RING_PIECES];
		WRITE_ONCE(writer->lane->oldest, writer->oldest);
		/*
		 * Before anything is written there. Pairs with the consumer's
		 * barrier between reading a record and looking at @oldest.
		 */
		smp_wmb();
	}

	for (end = shm_ring_piece_end(writer->head, mask); (s32)(next - end) >= 0;
	     end += piece)
		writer->pieces[end / piece % SHM_KERNEL_RING_PIECES] = next;
}

static int shm_ring_drop(struct shm_kernel_ring_writer *writer, int err)
{
	/* In place, as it is only told, and several contexts may be dropping. */
	atomic_inc((atomic_t *)&writer->lane->dropped);
	return err;
}

/* Return: 0 if the cells up to and including @next are free. */
static int shm_ring_find_room(struct shm_kernel_ring_writer *writer, u32 next)
{
	u32 tail;

	if ((s32)(shm_ring_full(writer) - next) > 0)
		return 0;
	/* What we write there comes after what the consumer has read. */
	tail = smp_load_acquire(&writer->lane->tail);
	if (writer->head - tail > writer->mask + 1)
		return shm_ring_drop(writer, -EBADMSG);
	writer->oldest = tail;
	if ((s32)(shm_ring_full(writer) - next) > 0)
		return 0;
	return shm_ring_drop(writer, -ENOSPC);
}

/* Begins a record that there is room for, or can be. */
static struct shm_kernel_ring_slot
shm_ring_take(struct shm_kernel_ring_writer *writer, u32 len, u32 cells)
{
	u32 position = writer->head;
	u32 next = position + cells;
	struct shm_kernel_ring_record *record;

	if (writer->overwrite)
		shm_ring_overwrite(writer, next);

	record = shm_kernel_ring_at(writer->cells, writer->mask, next);
	if (READ_ONCE(record->sequence) == next + 1)
		WRITE_ONCE(record->sequence, next);
	record = shm_kernel_ring_at(writer->cells, writer->mask, position);
	writer->head = next;
	WRITE_ONCE(writer->lane->head, next);
	shm_ring_set_limit(writer);
	return (struct shm_kernel_ring_slot) {
		.data = record + 1,
		.len = len,
		.position = position,
	};
}

static struct shm_kernel_ring_slot shm_ring_no_slot(int err)
{
	return (struct shm_kernel_ring_slot) { .data = ERR_PTR(err) };
}

/* What is not common: no room as far as we know, or the end of a piece. */
struct shm_kernel_ring_slot
__shm_kernel_ring_reserve(struct shm_kernel_ring_writer *writer, u32 len)
{
	u32 left = writer->mask + 1 - (writer->head & writer->mask);
	u32 cells = shm_kernel_ring_cells(len);
	struct shm_kernel_ring_slot skip;
	int err;

	if (len > shm_ring_max_len(writer->mask))
		return shm_ring_no_slot(-EMSGSIZE);
	if (cells <= left)
		left = 0;
	if (!writer->overwrite) {
		/* For both or none, or the rest of the lane would be wasted. */
		err = shm_ring_find_room(writer, writer->head + left + cells);
		if (err)
			return shm_ring_no_slot(err);
	}
	if (left) {
		skip = shm_ring_take(writer, left * SHM_KERNEL_RING_CELL -
				     sizeof(struct shm_kernel_ring_record), left);
		/* Who waits is rung for with the record behind it. */
		__shm_kernel_ring_publish(&skip, SHM_KERNEL_RING_SKIP);
	}
	return shm_ring_take(writer, len, cells);
}
EXPORT_SYMBOL_GPL(__shm_kernel_ring_reserve);

struct shm_kernel_ring_slot
__shm_kernel_ring_reserve_nmi(struct shm_kernel_ring_writer *writer, u32 len)
{
	struct shm_kernel_ring_slot slot;
	int err;

	/* Without CONFIG_SMP it says yes whoever has the lock. */
	if (!IS_ENABLED(CONFIG_SMP) || !raw_spin_trylock(&writer->lock))
		return shm_ring_no_slot(shm_ring_drop(writer, -EBUSY));
	err = shm_kernel_ring_reserve(writer, len, &slot);
	raw_spin_unlock(&writer->lock);
	return err ? shm_ring_no_slot(err) : slot;
}
EXPORT_SYMBOL_GPL(__shm_kernel_ring_reserve_nmi);

/**
 * shm_kernel_ring_reader_init() - become the consumer of a lane
 * @reader: to be filled in
 * @mem: the ring
 * @size: how much memory there is
 * @lane: number of the lane, from 0
 *
 * The reader begins with the oldest record that no consumer has given back.
 *
 * Context: Any. The lane has no other consumer and, if it is one that user space
 *	writes, no producer yet: that looks once whether its consumer is the kernel.
 * Return: 0, -EINVAL if there is no such lane, or -EBADMSG if there is no ring.
 */
int shm_kernel_ring_reader_init(struct shm_kernel_ring_reader *reader,
				void *mem, size_t size, u32 lane)
{
	struct shm_kernel_ring_lane *head;
	u32 cells, flags;

	head = shm_ring_find_lane(mem, size, lane, &cells, &flags);
	if (IS_ERR(head))
		return PTR_ERR(head);

	*reader = (struct shm_kernel_ring_reader) {
		.lane = head,
		.cells = head + 1,
		.mask = cells - 1,
		.overwrite = flags & SHM_KERNEL_RING_OVERWRITE,
	};
	if (reader->overwrite) {
		reader->position = READ_ONCE(head->oldest);
	} else {
		reader->position = READ_ONCE(head->tail);
		WRITE_ONCE(head->consumer, SHM_KERNEL_RING_IN_KERNEL);
	}
	reader->tail = reader->position;
	return 0;
}
EXPORT_SYMBOL_GPL(shm_kernel_ring_reader_init);

static struct shm_kernel_ring_record *
shm_ring_next_record(const struct shm_kernel_ring_reader *reader)
{
	struct shm_kernel_ring_record *record;

	record = shm_kernel_ring_at(reader->cells, reader->mask, reader->position);
	/* The sequence before the record; pairs with the producer's release. */
	if (smp_load_acquire(&record->sequence) != reader->position + 1)
		return NULL;
	return record;
}

/* Return: whether the producer has overwritten what we were about to read. */
static bool shm_ring_was_lapped(struct shm_kernel_ring_reader *reader)
{
	u32 oldest;

	if (!reader->overwrite)
		return false;
	/* What was read before @oldest; pairs with shm_ring_overwrite(). */
	smp_rmb();
	oldest = READ_ONCE(reader->lane->oldest);
	if (reader->position - oldest <= reader->mask + 1)
		return false;
	reader->lost += (u64)(oldest - reader->position) * SHM_KERNEL_RING_CELL;
	reader->position = oldest;
	return true;
}

static void shm_ring_give_back(struct shm_kernel_ring_reader *reader, u32 least)
{
	struct shm_kernel_ring_lane *lane = reader->lane;

	if (reader->overwrite || reader->position - reader->tail < least)
		return;
	reader->tail = reader->position;
	/* After what was read there; pairs with shm_ring_find_room(). */
	smp_store_release(&lane->tail, reader->tail);
	/*
	 * @tail before the look at @blocked. Pairs with the barrier between the
	 * producer's setting @blocked and its last look at @tail.
	 */
	smp_mb();
	if (READ_ONCE(lane->blocked)) {
		WRITE_ONCE(lane->blocked, 0);
		reader->room_wanted = true;
	}
}

/**
 * shm_kernel_ring_read() - take a record out of a lane
 * @reader: the lane's consumer
 * @buf: where to copy the payload
 * @size: room there
 *
 * The payload is a copy, which user space cannot change any more. When
 * @reader->room_wanted has become true, the producer waits for room: clear it
 * and ring the doorbell.
 *
 * Context: Any. The caller sees to it that nobody else uses the reader meanwhile.
 * Return: length of the payload, -EAGAIN if there is no record (or too much that
 *	has to be skipped, of which shm_kernel_ring_ask() knows), -EMSGSIZE if it
 *	is longer than @size (it stays), or -EBADMSG if the producer has spoiled
 *	the ring.
 */
ssize_t shm_kernel_ring_read(struct shm_kernel_ring_reader *reader, void *buf,
			     size_t size)
{
	struct shm_kernel_ring_record *record;
	u32 len, cells, tries;

	/* Not as many as a hostile producer can make up: see shm_kernel_ring_ask(). */
	for (tries = 0; tries < SHM_RING_MAX_TRIES; tries++) {
		record = shm_ring_next_record(reader);
		if (!record) {
			if (shm_ring_was_lapped(reader))
				continue;
			break;
		}
		len = READ_ONCE(record->len);
		cells = shm_ring_record_cells(len, reader->position, reader->mask);
		if (cells && !(len & SHM_KERNEL_RING_SKIP) && len <= size)
			memcpy(buf, record + 1, len);
		if (shm_ring_was_lapped(reader))
			continue;
		if (!cells)
			return -EBADMSG;
		if (!(len & SHM_KERNEL_RING_SKIP) && len > size)
			return -EMSGSIZE;
		reader->position += cells;
		shm_ring_give_back(reader, (reader->mask + 1) / 4);
		if (!(len & SHM_KERNEL_RING_SKIP))
			return len;
	}
	shm_ring_give_back(reader, 1);
	return -EAGAIN;
}
EXPORT_SYMBOL_GPL(shm_kernel_ring_read);

/**
 * shm_kernel_ring_ask() - ask for the doorbell when there is a record
 * @reader: the lane's consumer
 *
 * Context: Any.
 * Return: true if there is a record already, false if the producer will ring.
 */
bool shm_kernel_ring_ask(struct shm_kernel_ring_reader *reader)
{
	if (!reader->overwrite) {
		WRITE_ONCE(reader->lane->waiting, 1);
		/*
		 * @waiting before the last look. Pairs with the barrier between
		 * the producer's publishing a record and its look at @waiting.
		 */
		smp_mb();
	}
	return shm_ring_next_record(reader) || shm_ring_was_lapped(reader);
}
EXPORT_SYMBOL_GPL(shm_kernel_ring_ask);

MODULE_AUTHOR("shm_kernel developers <shm-kernel@example.org>");
MODULE_DESCRIPTION("Rings of records in memory shared by the kernel and user space");
MODULE_LICENSE("GPL");
