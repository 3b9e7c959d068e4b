// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit test of rings of records, the kernel's side
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * What user space does to a ring is done here by storing to it directly. The
 * rings lie between guard bytes, or, where there is KASAN, between its red
 * zones, which notice reading, too.
 */

#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/shm_kernel_ring.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/wait.h>

#define GUARD		(IS_ENABLED(CONFIG_KASAN) ? 0 : 256)
#define GUARD_BYTE	0xa5
#define RECORD_HEAD	sizeof(struct shm_kernel_ring_record)
#define FENCES_IN_KERNEL (SHM_KERNEL_RING_FENCES | SHM_KERNEL_RING_IN_KERNEL)

struct ring {
	void *base;
	void *mem;
	size_t size;
	u32 lanes;
	u32 cells;
	struct shm_kernel_ring_writer writer;
	struct shm_kernel_ring_reader reader;
	u8 *buf;
	u32 max_len;
};

static struct shm_kernel_ring_lane *ring_lane(struct ring *ring, u32 lane)
{
	return ring->mem + shm_kernel_ring_size(lane, ring->cells);
}

/* The cell that @position falls on, as the layout says. */
static struct shm_kernel_ring_record *
ring_cell(struct ring *ring, u32 lane, u32 position)
{
	void *cells = ring_lane(ring, lane) + 1;

	return cells + position % ring->cells * SHM_KERNEL_RING_CELL;
}

static void ring_make(struct kunit *test, struct ring *ring, u32 flags)
{
	struct shm_kernel_ring_options options = {
		.lanes = ring->lanes,
		.cells = ring->cells,
		.flags = flags,
	};

	memset(ring->mem, 0, ring->size);
	KUNIT_ASSERT_EQ(test, 0, shm_kernel_ring_create(ring->mem, ring->size,
							&options));
}

static struct ring *ring_new(struct kunit *test, u32 lanes, u32 cells, u32 flags)
{
	struct ring *ring = kunit_kzalloc(test, sizeof(*ring), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ring);
	ring->lanes = lanes;
	ring->cells = cells;
	ring->size = shm_kernel_ring_size(lanes, cells);
	ring->max_len = cells / 2 * SHM_KERNEL_RING_CELL - RECORD_HEAD;
	ring->base = kunit_kmalloc(test, ring->size + 2 * GUARD, GFP_KERNEL);
	ring->buf = kunit_kmalloc(test, ring->max_len + GUARD, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ring->base);
	KUNIT_ASSERT_NOT_NULL(test, ring->buf);
	memset(ring->base, GUARD_BYTE, ring->size + 2 * GUARD);
	memset(ring->buf, GUARD_BYTE, ring->max_len + GUARD);
	ring->mem = ring->base + GUARD;
	ring_make(test, ring, flags);
	return ring;
}

static bool ring_guards_whole(const struct ring *ring)
{
	return !GUARD ||
	       (!memchr_inv(ring->base, GUARD_BYTE, GUARD) &&
		!memchr_inv(ring->mem + ring->size, GUARD_BYTE, GUARD) &&
		!memchr_inv(ring->buf + ring->max_len, GUARD_BYTE, GUARD));
}

static int ring_init_writer(struct ring *ring, u32 lane)
{
	return shm_kernel_ring_writer_init(&ring->writer, ring->mem, ring->size,
					   lane);
}

static int ring_init_reader(struct ring *ring, u32 lane)
{
	return shm_kernel_ring_reader_init(&ring->reader, ring->mem, ring->size,
					   lane);
}

/* Both ends of a lane, at @position, where nothing is yet. */
static void ring_begin_at(struct kunit *test, struct ring *ring, u32 lane,
			  u32 position)
{
	ring_lane(ring, lane)->head = position;
	ring_lane(ring, lane)->tail = position;
	/* Zero looks published where the position after it is zero. */
	ring_cell(ring, lane, position)->sequence = position;
	KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, lane));
	KUNIT_ASSERT_EQ(test, 0, ring_init_reader(ring, lane));
}

static ssize_t ring_read(struct ring *ring)
{
	return shm_kernel_ring_read(&ring->reader, ring->buf, ring->max_len);
}

/* Content that tells a record from its neighbours, first byte to last. */
static void fill(void *data, u32 len, u32 seed)
{
	u8 *p = data;
	u32 i;

	for (i = 0; i < len; i++)
		p[i] = seed + i * 7 + (i >> 8) * 31;
}

static bool filled(const void *data, u32 len, u32 seed)
{
	const u8 *p = data;
	u32 i;

	for (i = 0; i < len; i++)
		if (p[i] != (u8)(seed + i * 7 + (i >> 8) * 31))
			return false;
	return true;
}

static int ring_write(struct ring *ring, u32 len, u32 seed)
{
	struct shm_kernel_ring_slot slot;
	int err;

	err = shm_kernel_ring_reserve(&ring->writer, len, &slot);
	if (err)
		return err;
	fill(slot.data, len, seed);
	shm_kernel_ring_commit(&ring->writer, &slot);
	return 0;
}

/* The next record has this length and content. */
static void expect_record(struct kunit *test, struct ring *ring, u32 len, u32 seed)
{
	KUNIT_EXPECT_EQ_MSG(test, (ssize_t)len, ring_read(ring), "record %u", seed);
	KUNIT_EXPECT_TRUE_MSG(test, filled(ring->buf, len, seed), "record %u", seed);
}

static void expect_empty(struct kunit *test, struct ring *ring)
{
	KUNIT_EXPECT_EQ(test, (ssize_t)-EAGAIN, ring_read(ring));
}

static void ring_test_create(struct kunit *test)
{
	const u32 lanes[] = { 1, 2, 7, SHM_KERNEL_RING_MAX_LANES };
	struct shm_kernel_ring_options options;
	struct shm_kernel_ring *head;
	u64 size;
	u32 cells, i;

	/* Only the head is written, so there need not be more. */
	head = kunit_kzalloc(test, sizeof(*head), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, head);

	for (cells = SHM_KERNEL_RING_MIN_CELLS; cells <= SHM_KERNEL_RING_MAX_CELLS;
	     cells *= 2) {
		for (i = 0; i < ARRAY_SIZE(lanes); i++) {
			options = (struct shm_kernel_ring_options) {
				.lanes = lanes[i],
				.cells = cells,
				.flags = i % 2 ? SHM_KERNEL_RING_OVERWRITE : 0,
			};
			size = 128 + lanes[i] * (256 + (u64)cells * 64);
			KUNIT_EXPECT_EQ(test, size,
					shm_kernel_ring_size(lanes[i], cells));
			if (size > SIZE_MAX)
				continue;
			memset(head, 0, sizeof(*head));
			KUNIT_EXPECT_EQ(test, -EINVAL,
					shm_kernel_ring_create(head, size - 1, &options));
			KUNIT_EXPECT_NULL(test, memchr_inv(head, 0, sizeof(*head)));
			KUNIT_EXPECT_EQ(test, 0,
					shm_kernel_ring_create(head, size, &options));
			KUNIT_EXPECT_EQ(test, SHM_KERNEL_RING_MAGIC, head->magic);
			KUNIT_EXPECT_EQ(test, 1, head->version);
			KUNIT_EXPECT_EQ(test, options.flags, head->flags);
			KUNIT_EXPECT_EQ(test, lanes[i], head->lanes);
			KUNIT_EXPECT_EQ(test, cells, head->cells);
			KUNIT_EXPECT_NULL(test,
					  memchr_inv(head->pad, 0,
						     sizeof(*head) -
						     offsetof(struct shm_kernel_ring, pad)));
		}
	}
}

static void ring_test_create_refused(struct kunit *test)
{
	static const struct shm_kernel_ring_options bad[] = {
		{ .lanes = 0, .cells = 64 },
		{ .lanes = SHM_KERNEL_RING_MAX_LANES + 1, .cells = 64 },
		{ .lanes = U32_MAX, .cells = 64 },
		{ .lanes = 1, .cells = 0 },
		{ .lanes = 1, .cells = 32 },
		{ .lanes = 1, .cells = 63 },
		{ .lanes = 1, .cells = 65 },
		{ .lanes = 1, .cells = 96 },
		{ .lanes = 1, .cells = SHM_KERNEL_RING_MAX_CELLS * 2 },
		{ .lanes = 1, .cells = 1U << 31 },
		{ .lanes = 1, .cells = 64, .flags = 1U << 1 },
		{ .lanes = 1, .cells = 64, .flags = 1U << 31 },
		{ .lanes = 1, .cells = 64, .tag = "0123456789abcdef0123456789abcdefg" },
	};
	struct shm_kernel_ring_options options = {
		.lanes = 1,
		.cells = 64,
		.tag = "0123456789abcdef0123456789abcdef",
	};
	struct shm_kernel_ring *head;
	u32 i;

	head = kunit_kzalloc(test, 2 * sizeof(*head), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, head);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    shm_kernel_ring_create(head, SIZE_MAX, &bad[i]),
				    "options %u", i);
	for (i = 1; i < SHM_KERNEL_RING_ALIGN; i++)
		KUNIT_EXPECT_EQ(test, -EINVAL,
				shm_kernel_ring_create((void *)head + i, SIZE_MAX,
						       &options));
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_kernel_ring_create(head, 0, &options));
	KUNIT_EXPECT_NULL(test, memchr_inv(head, 0, 2 * sizeof(*head)));

	/* The tag may fill its field. */
	KUNIT_EXPECT_EQ(test, 0, shm_kernel_ring_create(head, SIZE_MAX, &options));
	KUNIT_EXPECT_MEMEQ(test, head->tag, options.tag, sizeof(head->tag));
	KUNIT_EXPECT_EQ(test, 0, head->reserved[0]);
}

static void ring_test_init_refused(struct kunit *test)
{
	static const struct {
		size_t offset;
		u32 value;
	} bad[] = {
		{ offsetof(struct shm_kernel_ring, magic), 0 },
		{ offsetof(struct shm_kernel_ring, magic), SHM_KERNEL_RING_MAGIC ^ 1 },
		{ offsetof(struct shm_kernel_ring, version), 0 },
		{ offsetof(struct shm_kernel_ring, version), 2 },
		{ offsetof(struct shm_kernel_ring, flags), 2 },
		{ offsetof(struct shm_kernel_ring, flags), U32_MAX },
		{ offsetof(struct shm_kernel_ring, lanes), 0 },
		{ offsetof(struct shm_kernel_ring, lanes), 3 },
		{ offsetof(struct shm_kernel_ring, lanes), U32_MAX },
		{ offsetof(struct shm_kernel_ring, cells), 0 },
		{ offsetof(struct shm_kernel_ring, cells), 32 },
		{ offsetof(struct shm_kernel_ring, cells), 65 },
		{ offsetof(struct shm_kernel_ring, cells), 128 },
		{ offsetof(struct shm_kernel_ring, cells), 1U << 25 },
		{ offsetof(struct shm_kernel_ring, cells), 1U << 31 },
	};
	struct ring *ring = ring_new(test, 2, 64, 0);
	void *copy = kunit_kmalloc(test, ring->size, GFP_KERNEL);
	u32 i, *word;

	KUNIT_ASSERT_NOT_NULL(test, copy);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ring_make(test, ring, 0);
		word = ring->mem + bad[i].offset;
		*word = bad[i].value;
		memcpy(copy, ring->mem, ring->size);
		KUNIT_EXPECT_EQ_MSG(test, -EBADMSG, ring_init_writer(ring, 0),
				    "case %u", i);
		KUNIT_EXPECT_EQ_MSG(test, -EBADMSG, ring_init_reader(ring, 0),
				    "case %u", i);
		KUNIT_EXPECT_MEMEQ(test, copy, ring->mem, ring->size);
	}

	ring_make(test, ring, 0);
	KUNIT_EXPECT_EQ(test, -EINVAL, ring_init_writer(ring, 2));
	KUNIT_EXPECT_EQ(test, -EINVAL, ring_init_reader(ring, 2));
	KUNIT_EXPECT_EQ(test, -EINVAL, ring_init_writer(ring, U32_MAX));
	KUNIT_EXPECT_EQ(test, -EINVAL, ring_init_reader(ring, U32_MAX));

	ring->size--;
	KUNIT_EXPECT_EQ(test, -EBADMSG, ring_init_writer(ring, 0));
	KUNIT_EXPECT_EQ(test, -EBADMSG, ring_init_reader(ring, 0));
	ring->size = sizeof(struct shm_kernel_ring) - 1;
	KUNIT_EXPECT_EQ(test, -EINVAL, ring_init_writer(ring, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, ring_init_reader(ring, 0));
	ring->size = shm_kernel_ring_size(2, 64);
	ring->mem += 32;
	KUNIT_EXPECT_EQ(test, -EINVAL, ring_init_writer(ring, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, ring_init_reader(ring, 0));
	ring->mem -= 32;
	KUNIT_EXPECT_EQ(test, 0, ring_init_writer(ring, 1));
	KUNIT_EXPECT_EQ(test, 0, ring_init_reader(ring, 1));
	KUNIT_EXPECT_TRUE(test, ring_guards_whole(ring));
}

/* What the other side relies on, byte by byte. */
static void ring_test_layout(struct kunit *test)
{
	struct ring *ring = ring_new(test, 2, 64, 0);
	struct shm_kernel_ring_lane *lane = ring->mem + 128 + 256 + 64 * 64;
	struct shm_kernel_ring_slot slot;
	u32 *words = (u32 *)lane;

	KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, 1));
	KUNIT_EXPECT_EQ(test, FENCES_IN_KERNEL, words[3]);
	KUNIT_EXPECT_EQ(test, 0, words[33]);
	KUNIT_ASSERT_EQ(test, 0, ring_init_reader(ring, 1));
	KUNIT_EXPECT_EQ(test, SHM_KERNEL_RING_IN_KERNEL, words[33]);

	KUNIT_ASSERT_EQ(test, 0, shm_kernel_ring_reserve(&ring->writer, 57, &slot));
	KUNIT_EXPECT_EQ(test, 0, slot.position);
	KUNIT_EXPECT_EQ(test, 57, slot.len);
	KUNIT_EXPECT_PTR_EQ(test, (void *)lane + 256 + 8, slot.data);
	KUNIT_EXPECT_EQ(test, 0, words[64]);
	expect_empty(test, ring);
	fill(slot.data, 57, 1);
	KUNIT_EXPECT_FALSE(test, shm_kernel_ring_commit(&ring->writer, &slot));
	KUNIT_EXPECT_EQ(test, 1, words[64]);
	KUNIT_EXPECT_EQ(test, 57, words[65]);
	KUNIT_EXPECT_EQ(test, 2, words[0]);

	KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 56, 2));
	KUNIT_EXPECT_EQ(test, 3, words[64 + 2 * 16]);
	KUNIT_EXPECT_EQ(test, 56, words[64 + 2 * 16 + 1]);
	KUNIT_EXPECT_EQ(test, 3, words[0]);

	expect_record(test, ring, 57, 1);
	expect_record(test, ring, 56, 2);
	KUNIT_EXPECT_EQ(test, 0, words[32]);
	expect_empty(test, ring);
	KUNIT_EXPECT_EQ(test, 3, words[32]);
	KUNIT_EXPECT_EQ(test, 0, words[1]);
	KUNIT_EXPECT_EQ(test, 0, words[2]);
}

/* Each length at each place of the lane, the end of the lane included. */
static void ring_test_every_size(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, 0);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	struct shm_kernel_ring_record *record;
	struct shm_kernel_ring_slot slot;
	u32 base = U32_MAX - 300 * 64 + 1;
	u32 len, offset, position, cells;
	u32 step = IS_ENABLED(CONFIG_KASAN) ? 3 : 1;

	for (len = 0; len <= ring->max_len; len += step, base += 64) {
		cells = (len + RECORD_HEAD + 63) / 64;
		for (offset = 0; offset < 64; offset++) {
			position = base + offset;
			ring_begin_at(test, ring, 0, position);
			KUNIT_ASSERT_EQ(test, 0,
					shm_kernel_ring_reserve(&ring->writer, len, &slot));
			if (offset + cells > 64) {
				record = ring_cell(ring, 0, position);
				KUNIT_ASSERT_EQ(test, position + 1, record->sequence);
				KUNIT_ASSERT_EQ(test, SHM_KERNEL_RING_SKIP |
						((64 - offset) * 64 - RECORD_HEAD),
						record->len);
				position = base + 64;
			}
			KUNIT_ASSERT_EQ(test, position, slot.position);
			record = ring_cell(ring, 0, position);
			KUNIT_ASSERT_PTR_EQ(test, (void *)(record + 1), slot.data);
			KUNIT_ASSERT_EQ(test, (ssize_t)-EAGAIN, ring_read(ring));
			fill(slot.data, len, position);
			KUNIT_ASSERT_FALSE(test, shm_kernel_ring_commit(&ring->writer, &slot));
			KUNIT_ASSERT_EQ(test, position + 1, record->sequence);
			KUNIT_ASSERT_EQ(test, len, record->len);
			KUNIT_ASSERT_EQ(test, position + cells, lane->head);
			KUNIT_ASSERT_EQ(test, (ssize_t)len, ring_read(ring));
			KUNIT_ASSERT_TRUE(test, filled(ring->buf, len, position));
			KUNIT_ASSERT_EQ(test, (ssize_t)-EAGAIN, ring_read(ring));
			KUNIT_ASSERT_EQ(test, lane->head, lane->tail);
		}
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, 0, lane->dropped);
	KUNIT_EXPECT_TRUE(test, ring_guards_whole(ring));
}

/* The same over the sizes of lanes: the longest record, again and again. */
static void ring_test_every_lane_size(struct kunit *test)
{
	struct ring *ring;
	u32 cells, i;

	for (cells = 64; cells <= 16384; cells *= 2) {
		ring = ring_new(test, 1, cells, 0);
		ring_begin_at(test, ring, 0, -cells);
		for (i = 0; i < 8; i++) {
			KUNIT_EXPECT_EQ(test, 0, ring_write(ring, ring->max_len, i));
			KUNIT_EXPECT_EQ(test, -ENOSPC, ring_write(ring, ring->max_len, i));
			expect_record(test, ring, ring->max_len, i);
			/* Away from the beginning, so that one has to be skipped to. */
			KUNIT_EXPECT_EQ(test, 0, ring_write(ring, i, i));
			expect_record(test, ring, i, i);
			expect_empty(test, ring);
		}
		KUNIT_EXPECT_EQ(test, 8, ring_lane(ring, 0)->dropped);
		KUNIT_EXPECT_TRUE(test, ring_guards_whole(ring));
	}
}

static void ring_test_too_long(struct kunit *test)
{
	const u32 flags[] = { 0, SHM_KERNEL_RING_OVERWRITE };
	struct ring *ring = ring_new(test, 1, 64, 0);
	void *copy = kunit_kmalloc(test, ring->size, GFP_KERNEL);
	struct shm_kernel_ring_slot slot;
	u32 i, j;
	const u32 lens[] = {
		ring->max_len + 1, ring->max_len + 64, 64 * 64, S32_MAX,
		1U << 31, U32_MAX - 7, U32_MAX - 8, U32_MAX,
	};

	KUNIT_ASSERT_NOT_NULL(test, copy);
	for (j = 0; j < ARRAY_SIZE(flags); j++) {
		ring_make(test, ring, flags[j]);
		KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, 0));
		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 8, 1));
		memcpy(copy, ring->mem, ring->size);
		for (i = 0; i < ARRAY_SIZE(lens); i++) {
			KUNIT_EXPECT_EQ_MSG(test, -EMSGSIZE,
					    shm_kernel_ring_reserve(&ring->writer, lens[i], &slot),
					    "length %u", lens[i]);
			KUNIT_EXPECT_EQ_MSG(test, -EMSGSIZE,
					    shm_kernel_ring_reserve_shared(&ring->writer,
									   lens[i], &slot),
					    "length %u", lens[i]);
		}
		KUNIT_EXPECT_MEMEQ(test, copy, ring->mem, ring->size);
		KUNIT_EXPECT_EQ(test, 0, ring_write(ring, ring->max_len, 1));
	}
}

static void ring_test_lanes(struct kunit *test)
{
	struct ring *ring = ring_new(test, 3, 64, 0);
	size_t lane_size = 256 + 64 * 64;
	u8 *copy = kunit_kmalloc(test, ring->size, GFP_KERNEL);
	struct shm_kernel_ring_writer writers[3];
	struct shm_kernel_ring_reader readers[3];
	u32 i, j, round;

	KUNIT_ASSERT_NOT_NULL(test, copy);
	for (i = 0; i < 3; i++) {
		KUNIT_ASSERT_EQ(test, 0,
				shm_kernel_ring_writer_init(&writers[i], ring->mem,
							    ring->size, i));
		KUNIT_ASSERT_EQ(test, 0,
				shm_kernel_ring_reader_init(&readers[i], ring->mem,
							    ring->size, i));
	}
	for (round = 0; round < 200; round++) {
		i = round % 3;
		memcpy(copy, ring->mem, ring->size);
		ring->writer = writers[i];
		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, round * 3, round));
		writers[i] = ring->writer;
		/* Neither the head of the ring nor another lane. */
		KUNIT_EXPECT_MEMEQ(test, copy, ring->mem, 128);
		for (j = 0; j < 3; j++) {
			size_t at = 128 + j * lane_size;

			if (j != i)
				KUNIT_EXPECT_MEMEQ(test, copy + at, ring->mem + at,
						   lane_size);
		}
		if (round < 2)
			continue;
		i = (round - 2) % 3;
		ring->reader = readers[i];
		expect_record(test, ring, (round - 2) * 3, round - 2);
		readers[i] = ring->reader;
	}
	KUNIT_EXPECT_TRUE(test, ring_guards_whole(ring));
}

static void ring_test_discard(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, 0);
	struct shm_kernel_ring_slot slot;
	u32 i;

	ring_begin_at(test, ring, 0, -200);
	for (i = 0; i < 400; i++) {
		KUNIT_ASSERT_EQ(test, 0, shm_kernel_ring_reserve(&ring->writer, i, &slot));
		fill(slot.data, i, i);
		if (i % 3) {
			shm_kernel_ring_discard(&ring->writer, &slot);
			KUNIT_EXPECT_EQ(test, SHM_KERNEL_RING_SKIP | i,
					ring_cell(ring, 0, slot.position)->len);
		} else {
			shm_kernel_ring_commit(&ring->writer, &slot);
			expect_record(test, ring, i, i);
		}
		expect_empty(test, ring);
		KUNIT_EXPECT_EQ(test, ring_lane(ring, 0)->head, ring_lane(ring, 0)->tail);
	}
	KUNIT_EXPECT_EQ(test, 0, ring_lane(ring, 0)->dropped);

	/* A whole lap of them is stepped over at once. */
	for (i = 0; !shm_kernel_ring_reserve(&ring->writer, 8, &slot); i++)
		shm_kernel_ring_discard(&ring->writer, &slot);
	KUNIT_EXPECT_EQ(test, 63, i);
	expect_empty(test, ring);
	KUNIT_EXPECT_EQ(test, ring_lane(ring, 0)->head, ring_lane(ring, 0)->tail);
}

static void ring_test_out_of_order(struct kunit *test)
{
	/* Places in the order in which they are published. */
	static const u8 orders[][4] = {
		{ 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 0, 3, 2 }, { 2, 3, 0, 1 },
		{ 1, 2, 3, 0 }, { 3, 0, 1, 2 }, { 2, 0, 3, 1 },
	};
	struct ring *ring = ring_new(test, 1, 64, 0);
	struct shm_kernel_ring_slot slots[4];
	u32 i, j, n, round = 0;
	unsigned int done;

	ring_begin_at(test, ring, 0, -300);
	for (i = 0; i < 20 * ARRAY_SIZE(orders); i++) {
		const u8 *order = orders[i % ARRAY_SIZE(orders)];

		for (j = 0; j < 4; j++) {
			KUNIT_ASSERT_EQ(test, 0,
					shm_kernel_ring_reserve(&ring->writer, 100 * j + i,
								&slots[j]));
			fill(slots[j].data, slots[j].len, round + j);
		}
		n = 0;
		done = 0;
		for (j = 0; j < 4; j++) {
			shm_kernel_ring_commit(&ring->writer, &slots[order[j]]);
			done |= 1U << order[j];
			for (; n < 4 && done & 1U << n; n++)
				expect_record(test, ring, 100 * n + i, round + n);
			expect_empty(test, ring);
		}
		KUNIT_EXPECT_EQ(test, 4, n);
		round += 4;
	}
}

/*
 * A payload in which every cell looks like the record that will be expected
 * there in the next lap.
 */
static void write_ghosts(struct kunit *test, struct ring *ring)
{
	u32 len = 31 * SHM_KERNEL_RING_CELL - RECORD_HEAD;
	struct shm_kernel_ring_slot slot;
	u32 cell, *words;

	KUNIT_ASSERT_EQ(test, 0, shm_kernel_ring_reserve(&ring->writer, len, &slot));
	for (cell = 1; cell < 31; cell++) {
		words = slot.data + cell * SHM_KERNEL_RING_CELL - RECORD_HEAD;
		words[0] = slot.position + cell + ring->cells + 1;
		words[1] = 8;
	}
	shm_kernel_ring_commit(&ring->writer, &slot);
	KUNIT_ASSERT_EQ(test, (ssize_t)len, ring_read(ring));
	expect_empty(test, ring);
}

static void write_between_ghosts(struct kunit *test, struct ring *ring, u32 len)
{
	KUNIT_ASSERT_EQ(test, 0, ring_write(ring, len, len));
	expect_record(test, ring, len, len);
	expect_empty(test, ring);
	KUNIT_EXPECT_FALSE(test, shm_kernel_ring_ask(&ring->reader));
}

/* None of them may ever be taken for a record. */
static void ring_test_ghosts(struct kunit *test)
{
	const u32 flags[] = { 0, SHM_KERNEL_RING_OVERWRITE };
	struct ring *ring = ring_new(test, 1, 64, 0);
	u32 len, mode, laps;

	for (mode = 0; mode < ARRAY_SIZE(flags); mode++) {
		for (len = 0; len <= 10 * 64; len += 61) {
			ring_make(test, ring, flags[mode]);
			ring_begin_at(test, ring, 0, -64);
			for (laps = 0; laps < 3; laps++) {
				/* Two of them are a lap, but for two cells. */
				write_ghosts(test, ring);
				write_ghosts(test, ring);
				do {
					write_between_ghosts(test, ring, len);
				} while (ring->writer.head % 64 + len / 64 + 1 < 63);
				while (ring->writer.head % 64)
					write_between_ghosts(test, ring, 1);
			}
		}
	}
}

static void ring_test_full(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, 0);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	struct shm_kernel_ring_slot slot;
	u32 start, i, head;

	for (start = 0; start < 64; start++) {
		ring_make(test, ring, 0);
		ring_begin_at(test, ring, 0, start - 32);
		/* The cell behind the last record is not to be had. */
		for (i = 0; i < 63; i++)
			KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 56, i));
		head = lane->head;
		KUNIT_EXPECT_EQ(test, -ENOSPC, ring_write(ring, 0, 0));
		KUNIT_EXPECT_EQ(test, 1, lane->dropped);
		KUNIT_EXPECT_EQ(test, -ENOSPC,
				shm_kernel_ring_reserve_shared(&ring->writer, 1000, &slot));
		KUNIT_EXPECT_EQ(test, 2, lane->dropped);
		KUNIT_EXPECT_EQ(test, head, lane->head);

		/* A quarter is given back, and not before. */
		for (i = 0; i < 15; i++)
			expect_record(test, ring, 56, i);
		KUNIT_EXPECT_EQ(test, head - 63, lane->tail);
		KUNIT_EXPECT_EQ(test, -ENOSPC, ring_write(ring, 0, 0));
		expect_record(test, ring, 56, 15);
		KUNIT_EXPECT_EQ(test, head - 63 + 16, lane->tail);
		for (i = 0; i < 16; i++)
			KUNIT_EXPECT_EQ(test, 0, ring_write(ring, 56, 63 + i));
		KUNIT_EXPECT_EQ(test, -ENOSPC, ring_write(ring, 0, 0));
		KUNIT_EXPECT_EQ(test, 4, lane->dropped);
		for (i = 0; i < 63; i++)
			expect_record(test, ring, 56, 16 + i);
		expect_empty(test, ring);
		KUNIT_EXPECT_EQ(test, lane->head, lane->tail);

		/* No room for a record behind the end wastes none before it. */
		ring_begin_at(test, ring, 0, (start + 100) * 64 + 20);
		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 28 * 64 - 8, 1));
		head = lane->head;
		KUNIT_EXPECT_EQ(test, -ENOSPC, ring_write(ring, 20 * 64 - 8, 2));
		KUNIT_EXPECT_EQ(test, head, lane->head);
		KUNIT_EXPECT_NE(test, head + 1, ring_cell(ring, 0, head)->sequence);
		KUNIT_EXPECT_EQ(test, 0, ring_write(ring, 19 * 64 - 8, 2));
	}

	/* The counter goes on from what is there, and may wrap around. */
	ring_make(test, ring, 0);
	lane->dropped = U32_MAX;
	ring_begin_at(test, ring, 0, 0);
	for (i = 0; i < 63; i++)
		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 56, i));
	KUNIT_EXPECT_EQ(test, -ENOSPC, ring_write(ring, 0, 0));
	KUNIT_EXPECT_EQ(test, 0, lane->dropped);
	/* It is only told, so whatever user space puts there is counted on. */
	lane->dropped = 12345;
	KUNIT_EXPECT_EQ(test, -ENOSPC, ring_write(ring, 0, 0));
	KUNIT_EXPECT_EQ(test, 12346, lane->dropped);
	KUNIT_EXPECT_TRUE(test, ring_guards_whole(ring));
}

/* A @tail that cannot be is reported, and is no reason to give up for good. */
static void ring_test_bad_tail(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, 0);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	const u32 head = 62;
	const u32 bad[] = {
		head + 1, head + 2, head + 64, head + 65, S32_MAX, 1U << 31, head - 65,
		head - 66, head - 1000,
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ring_make(test, ring, 0);
		ring_begin_at(test, ring, 0, 0);
		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 31 * 64 - 8, 0));
		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 31 * 64 - 8, 0));
		lane->tail = bad[i];
		KUNIT_EXPECT_EQ_MSG(test, -EBADMSG, ring_write(ring, 64, 0), "%u", bad[i]);
		KUNIT_EXPECT_EQ(test, 1, lane->dropped);
		KUNIT_EXPECT_EQ(test, head, lane->head);
		lane->tail = head - 64;
		KUNIT_EXPECT_EQ(test, -ENOSPC, ring_write(ring, 64, 0));
		lane->tail = head;
		KUNIT_EXPECT_EQ(test, 0, ring_write(ring, 64, 0));
		KUNIT_EXPECT_EQ(test, 2, lane->dropped);
	}
}

/* Free-running positions pass zero without anybody noticing. */
static void ring_test_wrap_positions(struct kunit *test)
{
	const u32 flags[] = { 0, SHM_KERNEL_RING_OVERWRITE };
	struct ring *ring = ring_new(test, 1, 64, 0);
	u32 mode, start, i, len;

	for (mode = 0; mode < ARRAY_SIZE(flags); mode++) {
		for (start = 1; start <= 128; start++) {
			ring_make(test, ring, flags[mode]);
			ring_lane(ring, 0)->oldest = -start;
			ring_begin_at(test, ring, 0, -start);
			for (i = 0; i < 100; i++) {
				len = (i * 97 + start) % 700;
				KUNIT_ASSERT_EQ(test, 0, ring_write(ring, len, i));
				expect_record(test, ring, len, i);
				expect_empty(test, ring);
			}
			KUNIT_EXPECT_GT(test, (s32)ring->writer.head, 0);
			KUNIT_EXPECT_EQ(test, 0, ring->reader.lost);
		}
	}
}

/* What an overwriting lane should be, from the description of it. */
struct model {
	u32 begin[128];		/* of the records since the beginning, newest last */
	u32 len[128];
	u32 seed[128];
	u32 count;
	u32 head;
	u32 oldest;
};

static void model_add(struct model *model, u32 begin, u32 end, u32 len, u32 seed)
{
	if (model->count == ARRAY_SIZE(model->begin)) {
		model->count--;
		memmove(model->begin, model->begin + 1, model->count * sizeof(u32));
		memmove(model->len, model->len + 1, model->count * sizeof(u32));
		memmove(model->seed, model->seed + 1, model->count * sizeof(u32));
	}
	model->begin[model->count] = begin;
	model->len[model->count] = len;
	model->seed[model->count] = seed;
	model->count++;
	model->head = end;
}

/* Gives up whole sixteenths of the lane until the cells up to @next are free. */
static void model_make_room(struct model *model, u32 next, u32 cells)
{
	u32 need = next - cells + 1;
	u32 i;

	if ((s32)(need - model->oldest) <= 0)
		return;
	need = (need + cells / 16 - 1) / (cells / 16) * (cells / 16);
	model->oldest = model->head;
	for (i = model->count; i-- && (s32)(model->begin[i] - need) >= 0;)
		model->oldest = model->begin[i];
}

static u32 model_write(struct model *model, u32 cells, u32 len, u32 seed)
{
	u32 need = (len + RECORD_HEAD + 63) / 64;
	u32 left = cells - model->head % cells;
	u32 at;

	if (need > left) {
		model_make_room(model, model->head + left, cells);
		model_add(model, model->head, model->head + left,
			  SHM_KERNEL_RING_SKIP, 0);
	}
	at = model->head;
	model_make_room(model, at + need, cells);
	model_add(model, at, at + need, len, seed);
	return at;
}

/* A reader that begins now gets what is left according to @model, and all of it. */
static void model_compare(struct kunit *test, struct ring *ring,
			  const struct model *model)
{
	u32 i, n = 0;

	KUNIT_ASSERT_EQ(test, model->head, ring_lane(ring, 0)->head);
	KUNIT_ASSERT_EQ(test, model->oldest, ring_lane(ring, 0)->oldest);
	KUNIT_ASSERT_EQ(test, 0, ring_init_reader(ring, 0));
	for (i = 0; i < model->count; i++) {
		if ((s32)(model->begin[i] - model->oldest) < 0 ||
		    model->len[i] == SHM_KERNEL_RING_SKIP)
			continue;
		KUNIT_ASSERT_EQ(test, (ssize_t)model->len[i], ring_read(ring));
		KUNIT_ASSERT_TRUE(test, filled(ring->buf, model->len[i], model->seed[i]));
		n++;
	}
	KUNIT_ASSERT_EQ(test, (ssize_t)-EAGAIN, ring_read(ring));
	KUNIT_ASSERT_EQ(test, 0, ring->reader.lost);
	KUNIT_ASSERT_GT(test, n, 0);
	KUNIT_ASSERT_LT(test, model->head - model->oldest, ring->cells);
}

static void ring_test_overwrite_model(struct kunit *test)
{
	static const u32 lanes[] = { 64, 128, 256, 1024 };
	static const u32 starts[] = { 0, -1, -37, -64 * 3, 0x7fffffc0 };
	struct model *model = kunit_kzalloc(test, sizeof(*model), GFP_KERNEL);
	struct shm_kernel_ring_slot slot;
	struct rnd_state rnd;
	u32 i, j, kind, round, len, at;
	u32 rounds = IS_ENABLED(CONFIG_KASAN) ? 100 : 400;
	struct ring *ring;

	KUNIT_ASSERT_NOT_NULL(test, model);
	for (i = 0; i < ARRAY_SIZE(lanes); i++) {
		ring = ring_new(test, 1, lanes[i], SHM_KERNEL_RING_OVERWRITE);
		for (j = 0; j < ARRAY_SIZE(starts); j++) {
			for (kind = 0; kind < 6; kind++) {
				prandom_seed_state(&rnd, i * 100 + j * 10 + kind);
				ring_make(test, ring, SHM_KERNEL_RING_OVERWRITE);
				ring_begin_at(test, ring, 0, starts[j]);
				*model = (struct model) {
					.head = starts[j],
					.oldest = starts[j],
				};
				for (round = 0; round < rounds; round++) {
					len = prandom_u32_state(&rnd);
					switch (kind) {
					case 0:	/* one cell each */
						len %= 57;
						break;
					case 1:	/* the longest */
						len = ring->max_len - len % 64;
						break;
					case 2:	/* a sixteenth, and a bit more or less */
						len = ring->cells * 4 - 16 + len % 16;
						break;
					case 3:
						len %= ring->cells * 8;
						break;
					default:
						len %= ring->max_len + 1;
						break;
					}
					/* 128 records are all that the model holds. */
					if (ring->cells > 128 && len < ring->cells)
						len += ring->cells;
					at = model_write(model, ring->cells, len, round);
					KUNIT_ASSERT_EQ(test, 0,
							shm_kernel_ring_reserve(&ring->writer,
										len, &slot));
					KUNIT_ASSERT_EQ(test, at, slot.position);
					fill(slot.data, len, round);
					KUNIT_ASSERT_TRUE(test,
							  shm_kernel_ring_commit(&ring->writer,
										 &slot));
					model_compare(test, ring, model);
				}
				KUNIT_EXPECT_EQ(test, 0, ring_lane(ring, 0)->dropped);
				cond_resched();
			}
		}
		KUNIT_EXPECT_TRUE(test, ring_guards_whole(ring));
	}
}

/* A reader falls behind, and goes on with the oldest record that is left. */
static void ring_test_overwrite_lapped(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, SHM_KERNEL_RING_OVERWRITE);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	void *copy = kunit_kmalloc(test, ring->size, GFP_KERNEL);
	struct shm_kernel_ring_reader reader;
	u32 start, i, n, oldest;
	u64 lost;

	KUNIT_ASSERT_NOT_NULL(test, copy);
	for (start = 0; start < 130; start++) {
		ring_make(test, ring, SHM_KERNEL_RING_OVERWRITE);
		lane->oldest = -start;
		ring_begin_at(test, ring, 0, -start);
		reader = ring->reader;
		for (n = 0; n < 200; n++)
			KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 56, n));
		oldest = lane->oldest;

		/* Nothing that a reader does is to be seen in the ring. */
		memcpy(copy, ring->mem, ring->size);
		ring->reader = reader;
		for (i = n - (lane->head - oldest); i < n; i++)
			expect_record(test, ring, 56, i);
		lost = (u64)(oldest + start) * 64;
		KUNIT_EXPECT_EQ(test, lost, ring->reader.lost);
		expect_empty(test, ring);
		KUNIT_EXPECT_FALSE(test, shm_kernel_ring_ask(&ring->reader));
		KUNIT_EXPECT_EQ(test, lost, ring->reader.lost);
		KUNIT_EXPECT_MEMEQ(test, copy, ring->mem, ring->size);

		/* Asking finds records that come after those it has lost, too. */
		ring->reader = reader;
		KUNIT_ASSERT_TRUE(test, shm_kernel_ring_ask(&ring->reader));
		KUNIT_EXPECT_EQ(test, 56, ring_read(ring));
		KUNIT_EXPECT_MEMEQ(test, copy, ring->mem, ring->size);
		KUNIT_EXPECT_FALSE(test, ring->reader.room_wanted);
	}

	/* Its records overwritten while one is half-written: nothing yet. */
	KUNIT_ASSERT_EQ(test, 0, ring_init_reader(ring, 0));
	lane->oldest = lane->head + 5;
	KUNIT_EXPECT_EQ(test, (ssize_t)-EAGAIN, ring_read(ring));
	KUNIT_EXPECT_EQ(test, lane->head + 5, ring->reader.position);
}

static void ring_test_reader_errors(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, 0);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	struct shm_kernel_ring_record *record;
	u8 small[8];
	u32 len, at;

	ring_begin_at(test, ring, 0, 0);
	KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 9, 3));
	memset(small, 0x77, sizeof(small));
	KUNIT_EXPECT_EQ(test, (ssize_t)-EMSGSIZE,
			shm_kernel_ring_read(&ring->reader, small, 8));
	KUNIT_EXPECT_EQ(test, (ssize_t)-EMSGSIZE,
			shm_kernel_ring_read(&ring->reader, NULL, 0));
	KUNIT_EXPECT_NULL(test, memchr_inv(small, 0x77, sizeof(small)));
	KUNIT_EXPECT_EQ(test, 9, shm_kernel_ring_read(&ring->reader, ring->buf, 9));
	KUNIT_EXPECT_TRUE(test, filled(ring->buf, 9, 3));
	KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 0, 0));
	KUNIT_EXPECT_EQ(test, 0, shm_kernel_ring_read(&ring->reader, NULL, 0));
	expect_empty(test, ring);

	/* No record is longer than half of the lane, or leads out of it. */
	for (at = 0; at < 64; at++) {
		u32 fits = min(32U, 64 - at) * 64 - RECORD_HEAD;
		const u32 lens[] = {
			fits + 1, fits + 64, 64 * 64, S32_MAX, U32_MAX, U32_MAX - 7,
			SHM_KERNEL_RING_SKIP | (fits + 1), SHM_KERNEL_RING_SKIP | S32_MAX,
		};
		u32 i;

		ring_begin_at(test, ring, 0, 6400 + at);
		record = ring_cell(ring, 0, at);
		for (i = 0; i < ARRAY_SIZE(lens); i++) {
			record->len = lens[i];
			record->sequence = 6400 + at + 1;
			KUNIT_EXPECT_EQ_MSG(test, (ssize_t)-EBADMSG, ring_read(ring),
					    "length %u at %u", lens[i], at);
			/* It stays so. */
			KUNIT_EXPECT_EQ(test, (ssize_t)-EBADMSG, ring_read(ring));
			KUNIT_EXPECT_EQ(test, 6400 + at, lane->tail);
		}
		record->len = fits;
		KUNIT_EXPECT_EQ(test, (ssize_t)fits, ring_read(ring));
		record->sequence = 0;
	}

	/* Sequences of another lap, before and after. */
	ring_begin_at(test, ring, 0, 12800);
	record = ring_cell(ring, 0, 0);
	record->len = 8;
	for (len = 0; len < 256; len++) {
		record->sequence = 12800 - 128 + len;
		KUNIT_EXPECT_EQ(test, len == 129 ? 8 : (ssize_t)-EAGAIN, ring_read(ring));
		ring->reader.position = 12800;
	}
	KUNIT_EXPECT_TRUE(test, ring_guards_whole(ring));
}

static void ring_test_ask(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, 0);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	struct shm_kernel_ring_slot slot, late;

	ring_begin_at(test, ring, 0, 62);
	KUNIT_EXPECT_FALSE(test, shm_kernel_ring_ask(&ring->reader));
	KUNIT_EXPECT_EQ(test, 1, lane->waiting);
	/* Only what is published counts, and rings once. */
	KUNIT_ASSERT_EQ(test, 0, shm_kernel_ring_reserve(&ring->writer, 1, &slot));
	KUNIT_ASSERT_EQ(test, 0, shm_kernel_ring_reserve(&ring->writer, 1, &late));
	KUNIT_EXPECT_EQ(test, 1, lane->waiting);
	KUNIT_EXPECT_TRUE(test, shm_kernel_ring_commit(&ring->writer, &slot));
	KUNIT_EXPECT_EQ(test, 0, lane->waiting);
	KUNIT_EXPECT_FALSE(test, shm_kernel_ring_commit(&ring->writer, &late));
	KUNIT_EXPECT_TRUE(test, shm_kernel_ring_ask(&ring->reader));
	KUNIT_EXPECT_EQ(test, 1, ring_read(ring));
	KUNIT_EXPECT_EQ(test, 1, ring_read(ring));
	expect_empty(test, ring);

	/* The record that fills the lane up is no answer. */
	ring_begin_at(test, ring, 0, 62);
	KUNIT_EXPECT_FALSE(test, shm_kernel_ring_ask(&ring->reader));
	KUNIT_ASSERT_EQ(test, 0, shm_kernel_ring_reserve(&ring->writer, 200, &slot));
	KUNIT_EXPECT_EQ(test, 64, slot.position);
	expect_empty(test, ring);
	KUNIT_EXPECT_EQ(test, 1, lane->waiting);
	KUNIT_EXPECT_TRUE(test, shm_kernel_ring_commit(&ring->writer, &slot));
	KUNIT_EXPECT_EQ(test, 200, ring_read(ring));

	/* Any value but zero is a request: the other side writes it. */
	lane->waiting = U32_MAX;
	KUNIT_ASSERT_EQ(test, 0, shm_kernel_ring_reserve(&ring->writer, 1, &slot));
	KUNIT_EXPECT_TRUE(test, shm_kernel_ring_discard(&ring->writer, &slot));
	KUNIT_EXPECT_EQ(test, 0, lane->waiting);
	expect_empty(test, ring);
}

static void ring_test_room_wanted(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, 0);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	u32 i;

	ring_begin_at(test, ring, 0, 0);
	for (i = 0; i < 63; i++)
		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 56, i));
	lane->blocked = 1;
	for (i = 0; i < 15; i++)
		expect_record(test, ring, 56, i);
	KUNIT_EXPECT_FALSE(test, ring->reader.room_wanted);
	KUNIT_EXPECT_EQ(test, 1, lane->blocked);
	expect_record(test, ring, 56, 15);
	KUNIT_EXPECT_TRUE(test, ring->reader.room_wanted);
	KUNIT_EXPECT_EQ(test, 0, lane->blocked);
	KUNIT_EXPECT_EQ(test, 16, lane->tail);
	ring->reader.room_wanted = false;

	/* Nobody blocked, nothing to say. */
	for (i = 16; i < 62; i++)
		expect_record(test, ring, 56, i);
	KUNIT_EXPECT_FALSE(test, ring->reader.room_wanted);
	KUNIT_EXPECT_EQ(test, 48, lane->tail);

	/* The last ones are given back when there are no more. */
	lane->blocked = 1;
	expect_record(test, ring, 56, 62);
	KUNIT_EXPECT_FALSE(test, ring->reader.room_wanted);
	expect_empty(test, ring);
	KUNIT_EXPECT_TRUE(test, ring->reader.room_wanted);
	KUNIT_EXPECT_EQ(test, 63, lane->tail);
	ring->reader.room_wanted = false;

	/* And nothing is given back twice. */
	lane->blocked = 1;
	expect_empty(test, ring);
	KUNIT_EXPECT_FALSE(test, ring->reader.room_wanted);
	KUNIT_EXPECT_EQ(test, 1, lane->blocked);
}

static void ring_test_used_ring(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, 0);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	struct shm_kernel_ring_record *record;
	u32 i;

	/* The successor goes on behind what is there. */
	ring_begin_at(test, ring, 0, 60);
	KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 56, 0));
	KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 200, 1));
	for (i = 0; i < 20; i++)
		KUNIT_ASSERT_EQ(test, i < 13 ? 0 : -ENOSPC, ring_write(ring, 200, i));
	lane->producer = 0;
	memset(&ring->writer, 0xcc, sizeof(ring->writer));
	KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, 0));
	KUNIT_EXPECT_EQ(test, FENCES_IN_KERNEL, lane->producer);
	KUNIT_EXPECT_EQ(test, -ENOSPC, ring_write(ring, 200, 1));
	KUNIT_EXPECT_EQ(test, 8, lane->dropped);
	expect_record(test, ring, 56, 0);
	expect_record(test, ring, 200, 1);

	/* So does the consumer's: what was not given back comes again. */
	KUNIT_ASSERT_EQ(test, 0, ring_init_reader(ring, 0));
	expect_record(test, ring, 56, 0);
	expect_record(test, ring, 200, 1);
	for (i = 0; i < 10; i++)
		expect_record(test, ring, 200, i);
	KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 300, 7));
	for (; i < 13; i++)
		expect_record(test, ring, 200, i);
	expect_record(test, ring, 300, 7);
	expect_empty(test, ring);

	/* Published, but the producer died before it could say so. */
	for (i = 0; i < 40; i++) {
		u32 head = lane->head;

		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 8, i));
		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 300, i + 1));
		lane->head = head;
		KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, 0));
		KUNIT_EXPECT_NE(test, head, lane->head);
		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 57, i + 2));
		expect_record(test, ring, 8, i);
		expect_record(test, ring, 300, i + 1);
		expect_record(test, ring, 57, i + 2);
		expect_empty(test, ring);
	}

	/* Not published: it is overwritten. */
	ring_begin_at(test, ring, 0, 6400);
	record = ring_cell(ring, 0, 6400);
	record->len = 500;
	memset(record + 1, 0x55, 500);
	KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, 0));
	KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 8, 3));
	expect_record(test, ring, 8, 3);
	expect_empty(test, ring);

	/* Published for ever, and nonsense: neither is believed for long. */
	ring_make(test, ring, 0);
	for (i = 0; i < 64; i++)
		*ring_cell(ring, 0, i) = (struct shm_kernel_ring_record) {
			.sequence = i + 1,
			.len = 8,
		};
	KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, 0));
	KUNIT_EXPECT_EQ(test, 64, lane->head);
	ring_cell(ring, 0, 20)->len = 64 * 64;
	lane->head = 0;
	KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, 0));
	KUNIT_EXPECT_EQ(test, 20, lane->head);
	/* Where such a record ends leads out of the lane. */
	ring_cell(ring, 0, 60)->len = 5 * 64;
	lane->head = 58;
	KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, 0));
	KUNIT_EXPECT_EQ(test, 60, lane->head);
	KUNIT_EXPECT_TRUE(test, ring_guards_whole(ring));
}

static void ring_test_used_overwriting_ring(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, SHM_KERNEL_RING_OVERWRITE);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	u32 i, j, k, head;

	for (i = 0; i < 200; i++) {
		ring_make(test, ring, SHM_KERNEL_RING_OVERWRITE);
		ring_begin_at(test, ring, 0, i - 100);
		for (j = 0; j < i; j++)
			KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 40 + j, j));
		head = lane->head;
		KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, 0));
		KUNIT_EXPECT_EQ(test, head, lane->head);
		KUNIT_EXPECT_EQ(test, 0, lane->consumer);
		/* Whatever comes after is read, and nothing is torn. */
		for (j = 0; j < 70; j++) {
			KUNIT_ASSERT_EQ(test, 0, ring_write(ring, j * 5, j));
			KUNIT_ASSERT_EQ(test, 0, ring_init_reader(ring, 0));
			KUNIT_ASSERT_GE(test, (s32)(ring->reader.position -
						    (lane->head - 63)), 0);
			for (k = 0; k <= 70; k++) {
				ssize_t len = ring_read(ring);

				if (len == -EAGAIN)
					break;
				KUNIT_ASSERT_GE(test, len, 0);
				KUNIT_ASSERT_TRUE(test, filled(ring->buf, len, len / 5));
			}
			KUNIT_ASSERT_GT(test, k, 0);
			KUNIT_ASSERT_LE(test, k, j + 1);
		}
	}
}

/* A lane that is given back goes to whoever comes next, where it is. */
static void ring_test_exit(struct kunit *test)
{
	struct ring *ring = ring_new(test, 2, 64, 0);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 1);
	u32 i;

	ring_begin_at(test, ring, 1, -10);
	for (i = 0; i < 20; i++)
		KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 50, i));
	for (i = 0; i < 7; i++)
		expect_record(test, ring, 50, i);
	KUNIT_EXPECT_EQ(test, -10, lane->tail);
	shm_kernel_ring_reader_exit(&ring->reader);
	KUNIT_EXPECT_EQ(test, 0, lane->consumer);
	KUNIT_EXPECT_EQ(test, -3, lane->tail);
	KUNIT_EXPECT_EQ(test, FENCES_IN_KERNEL, lane->producer);
	shm_kernel_ring_writer_exit(&ring->writer);
	KUNIT_EXPECT_EQ(test, 0, lane->producer);
	KUNIT_EXPECT_EQ(test, 10, lane->head);

	KUNIT_ASSERT_EQ(test, 0, ring_init_writer(ring, 1));
	KUNIT_ASSERT_EQ(test, 0, ring_init_reader(ring, 1));
	KUNIT_ASSERT_EQ(test, 0, ring_write(ring, 50, 20));
	for (i = 7; i <= 20; i++)
		expect_record(test, ring, 50, i);
	expect_empty(test, ring);

	/* A reader of one that overwrites has nothing to give back. */
	ring_make(test, ring, SHM_KERNEL_RING_OVERWRITE);
	KUNIT_ASSERT_EQ(test, 0, ring_init_reader(ring, 1));
	lane->tail = 5;
	lane->consumer = 6;
	shm_kernel_ring_reader_exit(&ring->reader);
	KUNIT_EXPECT_EQ(test, 5, lane->tail);
	KUNIT_EXPECT_EQ(test, 6, lane->consumer);
}

/* A stand-in for an NMI: preempt_count() says that this is one. */
static void ring_test_nmi(struct kunit *test)
{
	struct ring *ring = ring_new(test, 1, 64, 0);
	struct shm_kernel_ring_slot slot;
	unsigned long flags;
	int locked, unlocked;

	ring_begin_at(test, ring, 0, 0);
	raw_spin_lock_irqsave(&ring->writer.lock, flags);
	preempt_count_add(NMI_OFFSET);
	locked = shm_kernel_ring_reserve_shared(&ring->writer, 8, &slot);
	preempt_count_sub(NMI_OFFSET);
	raw_spin_unlock_irqrestore(&ring->writer.lock, flags);
	KUNIT_EXPECT_EQ(test, -EBUSY, locked);
	KUNIT_EXPECT_EQ(test, 1, ring_lane(ring, 0)->dropped);
	KUNIT_EXPECT_EQ(test, 0, ring_lane(ring, 0)->head);

	local_irq_save(flags);
	preempt_count_add(NMI_OFFSET);
	unlocked = shm_kernel_ring_reserve_shared(&ring->writer, 8, &slot);
	preempt_count_sub(NMI_OFFSET);
	local_irq_restore(flags);
	/* Without SMP nobody can tell whether the lock is taken. */
	KUNIT_ASSERT_EQ(test, IS_ENABLED(CONFIG_SMP) ? 0 : -EBUSY, unlocked);
	if (unlocked)
		return;
	fill(slot.data, 8, 1);
	shm_kernel_ring_commit(&ring->writer, &slot);
	expect_record(test, ring, 8, 1);
	KUNIT_EXPECT_FALSE(test, raw_spin_is_locked(&ring->writer.lock));
}

/* For half a second, or longer on a machine where nothing happens meanwhile. */
static bool goes_on(unsigned long begin, bool enough)
{
	return time_before(jiffies, begin + HZ / 2) ||
	       (!enough && time_before(jiffies, begin + 30 * HZ));
}

/* A record that can be checked by whoever gets it, from whatever context. */
struct numbered {
	u32 source;
	u32 number;
	u8 rest[];
};

#define SOURCES		5

struct crowd {
	struct ring *ring;
	struct hrtimer timers[2];
	u32 number[SOURCES];	/* of records tried, by source */
	u32 refused[SOURCES];
	int errors[SOURCES];
	wait_queue_head_t wait;
	atomic_t rings;
	bool is_short;
	bool stop;
};

struct crowd_thread {
	struct crowd *crowd;
	struct task_struct *task;
	u32 source;
};

static u32 crowd_len(const struct crowd *crowd, u32 source, u32 number)
{
	return sizeof(struct numbered) +
	       (number * 37 + source) % (crowd->is_short ? 5 : 300);
}

static void crowd_write(struct crowd *crowd, u32 source)
{
	struct shm_kernel_ring_slot slot;
	struct numbered *record;
	u32 number = ++crowd->number[source];
	u32 len = crowd_len(crowd, source, number);
	int err;

	err = shm_kernel_ring_reserve_shared(&crowd->ring->writer, len, &slot);
	if (err) {
		crowd->refused[source]++;
		if (err != -ENOSPC)
			crowd->errors[source] = err;
		return;
	}
	record = slot.data;
	record->source = source;
	record->number = number;
	fill(record->rest, len - sizeof(*record), number + source);
	if (shm_kernel_ring_commit(&crowd->ring->writer, &slot))
		atomic_inc(&crowd->rings);
}

static int crowd_thread(void *arg)
{
	struct crowd_thread *thread = arg;
	u32 i, burst = 0;

	while (!kthread_should_stop()) {
		for (i = 0; i < 50; i++)
			crowd_write(thread->crowd, thread->source);
		/* Mostly all run, so that they meet; now and then there is room. */
		if (++burst % 4)
			cond_resched();
		else
			usleep_range(10, 50);
	}
	return 0;
}

static enum hrtimer_restart crowd_timer(struct hrtimer *timer)
{
	struct crowd *crowd = container_of(timer, struct crowd, timers[0]);
	u32 i;

	for (i = 0; i < 5; i++)
		crowd_write(crowd, 3);
	hrtimer_forward_now(timer, us_to_ktime(200));
	return HRTIMER_RESTART;
}

static enum hrtimer_restart crowd_timer_soft(struct hrtimer *timer)
{
	struct crowd *crowd = container_of(timer, struct crowd, timers[1]);

	crowd_write(crowd, 4);
	hrtimer_forward_now(timer, us_to_ktime(300));
	return HRTIMER_RESTART;
}

/*
 * Threads, a timer in hard interrupt context and one in a softirq share a
 * writer. What was not refused arrives, in its order and whole.
 */
static void ring_test_crowd(struct kunit *test)
{
	struct crowd_thread threads[3] = { };
	struct crowd *crowd = kunit_kzalloc(test, sizeof(*crowd), GFP_KERNEL);
	struct ring *ring = ring_new(test, 1, 1024, 0);
	u32 seen[SOURCES] = { }, got[SOURCES] = { };
	u32 i, bad = 0, disorder = 0, refused = 0;
	unsigned long begin = jiffies;
	bool last = false;
	ssize_t len;

	KUNIT_ASSERT_NOT_NULL(test, crowd);
	ring_begin_at(test, ring, 0, -1000);
	crowd->ring = ring;
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		threads[i].crowd = crowd;
		threads[i].source = i;
		threads[i].task = kthread_run(crowd_thread, &threads[i], "ring-%u", i);
	}
	hrtimer_setup(&crowd->timers[0], crowd_timer, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_HARD);
	hrtimer_setup(&crowd->timers[1], crowd_timer_soft, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_SOFT);
	hrtimer_start(&crowd->timers[0], us_to_ktime(200), HRTIMER_MODE_REL_HARD);
	hrtimer_start(&crowd->timers[1], us_to_ktime(300), HRTIMER_MODE_REL_SOFT);

	for (;;) {
		struct numbered *record = (void *)ring->buf;

		len = ring_read(ring);
		if (len == -EAGAIN) {
			if (last)
				break;
			if (!goes_on(begin, got[0] && got[1] && got[2] && got[3] && got[4])) {
				for (i = 0; i < ARRAY_SIZE(threads); i++)
					if (!IS_ERR(threads[i].task))
						kthread_stop(threads[i].task);
				hrtimer_cancel(&crowd->timers[0]);
				hrtimer_cancel(&crowd->timers[1]);
				last = true;
			}
			cond_resched();
			continue;
		}
		if (len < (ssize_t)sizeof(*record) || record->source >= SOURCES ||
		    len != crowd_len(crowd, record->source, record->number) ||
		    !filled(record->rest, len - sizeof(*record),
			    record->number + record->source)) {
			bad++;
			if (len < 0)
				break;
			continue;
		}
		if ((s32)(record->number - seen[record->source]) <= 0)
			disorder++;
		seen[record->source] = record->number;
		got[record->source]++;
	}
	if (!last) {
		for (i = 0; i < ARRAY_SIZE(threads); i++)
			if (!IS_ERR(threads[i].task))
				kthread_stop(threads[i].task);
		hrtimer_cancel(&crowd->timers[0]);
		hrtimer_cancel(&crowd->timers[1]);
	}

	KUNIT_EXPECT_EQ(test, 0, bad);
	KUNIT_EXPECT_EQ(test, 0, disorder);
	for (i = 0; i < SOURCES; i++) {
		KUNIT_EXPECT_EQ_MSG(test, 0, crowd->errors[i], "source %u", i);
		KUNIT_EXPECT_EQ_MSG(test, crowd->number[i], got[i] + crowd->refused[i],
				    "source %u", i);
		KUNIT_EXPECT_GT_MSG(test, got[i], 0, "source %u", i);
		refused += crowd->refused[i];
	}
	KUNIT_EXPECT_EQ(test, refused, ring_lane(ring, 0)->dropped);
	KUNIT_EXPECT_TRUE(test, ring_guards_whole(ring));
}

/* A producer at full speed, which sleeps only to let others run. */
static int spsc_thread(void *arg)
{
	struct crowd *crowd = arg;
	u32 i;

	while (!READ_ONCE(crowd->stop)) {
		for (i = 0; i < 64; i++)
			crowd_write(crowd, 0);
		cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

/* Laps the reader again and again: no record that it gets is torn. */
static void ring_test_overwrite_race(struct kunit *test)
{
	struct crowd *crowd = kunit_kzalloc(test, sizeof(*crowd), GFP_KERNEL);
	struct ring *ring = ring_new(test, 1, 64, SHM_KERNEL_RING_OVERWRITE);
	struct numbered *record = (void *)ring->buf;
	u32 seen = 0, got = 0, bad = 0, disorder = 0;
	unsigned long begin = jiffies;
	struct task_struct *task;
	ssize_t len;

	KUNIT_ASSERT_NOT_NULL(test, crowd);
	ring_begin_at(test, ring, 0, -100000);
	ring_lane(ring, 0)->oldest = -100000;
	KUNIT_ASSERT_EQ(test, 0, ring_init_reader(ring, 0));
	crowd->ring = ring;
	task = kthread_run(spsc_thread, crowd, "ring-writer");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	while (goes_on(begin, got > 100 && ring->reader.lost)) {
		len = ring_read(ring);
		if (len == -EAGAIN) {
			cond_resched();
			continue;
		}
		if (len < (ssize_t)sizeof(*record) || record->source ||
		    len != crowd_len(crowd, 0, record->number) ||
		    !filled(record->rest, len - sizeof(*record), record->number)) {
			bad++;
			continue;
		}
		if ((s32)(record->number - seen) <= 0)
			disorder++;
		seen = record->number;
		if (++got % 64 == 0)
			cond_resched();
	}
	WRITE_ONCE(crowd->stop, true);
	kthread_stop(task);
	KUNIT_EXPECT_EQ(test, 0, bad);
	KUNIT_EXPECT_EQ(test, 0, disorder);
	KUNIT_EXPECT_GT(test, got, 0);
	KUNIT_EXPECT_GT(test, ring->reader.lost, 0);
	KUNIT_EXPECT_EQ(test, 0, crowd->refused[0]);
}

/* One side in hard interrupt context, in the middle of what the other one does. */
struct crossing {
	struct crowd crowd;
	struct hrtimer timer;
	u32 seen;
	u32 got;
	u32 bad;
};

static ssize_t crossing_read(struct crossing *crossing)
{
	struct ring *ring = crossing->crowd.ring;
	struct numbered *record = (void *)ring->buf;
	ssize_t len = ring_read(ring);

	if (len == -EAGAIN)
		return len;
	if (len < (ssize_t)sizeof(*record) || record->source ||
	    len != crowd_len(&crossing->crowd, 0, record->number) ||
	    !filled(record->rest, len - sizeof(*record), record->number) ||
	    (s32)(record->number - crossing->seen) <= 0)
		crossing->bad++;
	crossing->seen = record->number;
	crossing->got++;
	return len;
}

static enum hrtimer_restart crossing_reads(struct hrtimer *timer)
{
	struct crossing *crossing = container_of(timer, struct crossing, timer);
	u32 i;

	for (i = 0; i < crossing->crowd.ring->cells; i++)
		if (crossing_read(crossing) < 0)
			break;
	hrtimer_forward_now(timer, us_to_ktime(50));
	return HRTIMER_RESTART;
}

/* More than a lap of them. */
static enum hrtimer_restart crossing_writes(struct hrtimer *timer)
{
	struct crossing *crossing = container_of(timer, struct crossing, timer);
	u32 i;

	for (i = 0; i < 64; i++)
		crowd_write(&crossing->crowd, 0);
	hrtimer_forward_now(timer, us_to_ktime(100));
	return HRTIMER_RESTART;
}

static struct crossing *crossing_begin(struct kunit *test, u32 cells, u32 flags,
				       enum hrtimer_restart (*function)(struct hrtimer *))
{
	struct crossing *crossing = kunit_kzalloc(test, sizeof(*crossing), GFP_KERNEL);
	struct ring *ring = ring_new(test, 1, cells, flags);

	KUNIT_ASSERT_NOT_NULL(test, crossing);
	crossing->crowd.ring = ring;
	ring_lane(ring, 0)->oldest = -5000;
	ring_begin_at(test, ring, 0, -5000);
	hrtimer_setup(&crossing->timer, function, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_HARD);
	hrtimer_start(&crossing->timer, us_to_ktime(50), HRTIMER_MODE_REL_HARD);
	return crossing;
}

static void crossing_end(struct kunit *test, struct crossing *crossing)
{
	hrtimer_cancel(&crossing->timer);
	KUNIT_EXPECT_EQ(test, 0, crossing->bad);
	KUNIT_EXPECT_GT(test, crossing->got, 10);
	KUNIT_EXPECT_EQ(test, 0, crossing->crowd.errors[0]);
	KUNIT_EXPECT_TRUE(test, ring_guards_whole(crossing->crowd.ring));
}

static void ring_test_read_in_interrupt(struct kunit *test)
{
	/* Short records, and room for many: publishing is what is interrupted. */
	struct crossing *crossing = crossing_begin(test, 16384, 0, crossing_reads);
	unsigned long begin = jiffies;
	u32 i;

	crossing->crowd.is_short = true;
	while (goes_on(begin, READ_ONCE(crossing->got) > 100)) {
		for (i = 0; i < 10; i++)
			crowd_write(&crossing->crowd, 0);
		cond_resched();
	}
	crossing_end(test, crossing);
}

static void ring_test_overwrite_in_interrupt(struct kunit *test)
{
	struct crossing *crossing = crossing_begin(test, 64, SHM_KERNEL_RING_OVERWRITE,
						   crossing_writes);
	unsigned long begin = jiffies;

	while (goes_on(begin, crossing->got > 100)) {
		if (crossing_read(crossing) < 0)
			cond_resched();
	}
	crossing_end(test, crossing);
}

struct handshake {
	struct ring *ring;
	wait_queue_head_t records;
	wait_queue_head_t room;
	atomic_t records_rung;
	atomic_t room_rung;
	u32 number;
	u32 lost_wakeups;
	bool stop;
};

/* Waits for room as user space does: @blocked, a barrier, another look. */
static int handshake_thread(void *arg)
{
	struct handshake *shake = arg;
	struct ring *ring = shake->ring;
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	struct shm_kernel_ring_slot slot;
	u32 len;

	while (!READ_ONCE(shake->stop)) {
		len = 4 + shake->number * 29 % 900;
		if (shm_kernel_ring_reserve(&ring->writer, len, &slot)) {
			WRITE_ONCE(lane->blocked, 1);
			/* Pairs with the one in shm_ring_give_back(). */
			smp_mb();
			if (!shm_kernel_ring_reserve(&ring->writer, len, &slot))
				goto reserved;
			if (!wait_event_timeout(shake->room,
						READ_ONCE(shake->stop) ||
						atomic_xchg(&shake->room_rung, 0), 10 * HZ))
				shake->lost_wakeups++;
			continue;
		}
reserved:
		*(u32 *)slot.data = shake->number++;
		if (shm_kernel_ring_commit(&ring->writer, &slot)) {
			atomic_set(&shake->records_rung, 1);
			wake_up(&shake->records);
		}
		/* Let the reader go to sleep at all places, and now and then none. */
		if (shake->number % 1024 < 512 && shake->number % 7 == 0)
			usleep_range(1, 50);
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

/* Both sides sleep when they have to, and nobody is forgotten. */
static void ring_test_handshake(struct kunit *test)
{
	struct handshake *shake = kunit_kzalloc(test, sizeof(*shake), GFP_KERNEL);
	struct ring *ring = ring_new(test, 1, 64, 0);
	unsigned long begin = jiffies;
	u32 expected = 0, wrong = 0, lost = 0;
	struct task_struct *task;
	ssize_t len;

	KUNIT_ASSERT_NOT_NULL(test, shake);
	ring_begin_at(test, ring, 0, -500);
	shake->ring = ring;
	init_waitqueue_head(&shake->records);
	init_waitqueue_head(&shake->room);
	task = kthread_run(handshake_thread, shake, "ring-writer");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	while (goes_on(begin, expected > 1000) && !lost) {
		len = ring_read(ring);
		if (ring->reader.room_wanted) {
			ring->reader.room_wanted = false;
			atomic_set(&shake->room_rung, 1);
			wake_up(&shake->room);
		}
		if (len == -EAGAIN) {
			if (shm_kernel_ring_ask(&ring->reader))
				continue;
			if (!wait_event_timeout(shake->records,
						atomic_xchg(&shake->records_rung, 0),
						10 * HZ))
				lost++;
			continue;
		}
		if (len != 4 + expected * 29 % 900 || *(u32 *)ring->buf != expected)
			wrong++;
		expected++;
		if (expected % 700 == 0)
			usleep_range(1, 300);
	}
	WRITE_ONCE(shake->stop, true);
	wake_up(&shake->room);
	kthread_stop(task);
	KUNIT_EXPECT_EQ(test, 0, wrong);
	KUNIT_EXPECT_EQ(test, 0, lost);
	KUNIT_EXPECT_EQ(test, 0, shake->lost_wakeups);
	KUNIT_EXPECT_GT(test, expected, 100);
}

/*
 * The other side as an enemy: whatever bytes it puts where, and whenever, both
 * ends stay inside of the ring, come to an end, and say what they are allowed
 * to say.
 */
struct enemy {
	struct ring *ring;
	struct hrtimer timer;
	struct rnd_state rnd;
	struct rnd_state timer_rnd;
	struct task_struct *task;
};

static void scribble(struct ring *ring, struct rnd_state *rnd)
{
	static const u32 words[] = {
		0, 1, 7, 8, 56, 57, 63, 64, 65, 0x7fffffff, 0x80000000, 0x80000008,
		0xffffffff, 0xfffffff8, 0xfffffff7,
	};
	u32 what = prandom_u32_state(rnd);
	u32 at = prandom_u32_state(rnd) % ring->size;
	u32 value = prandom_u32_state(rnd);
	struct shm_kernel_ring_lane *lane = ring_lane(ring, 0);
	u32 *word = ring->mem + round_down(at, sizeof(u32));
	struct shm_kernel_ring_record *record;

	switch (what % 8) {
	case 0:		/* any byte */
	case 1:
		WRITE_ONCE(((u8 *)ring->mem)[at], value);
		break;
	case 2:		/* a word of interest, anywhere */
		WRITE_ONCE(*word, words[value % ARRAY_SIZE(words)]);
		break;
	case 3:		/* the heads */
		word = ring->mem + value % (128 + 256) / 4 * 4;
		WRITE_ONCE(*word, prandom_u32_state(rnd));
		break;
	case 4:		/* a tail that could nearly be */
		WRITE_ONCE(lane->tail, READ_ONCE(lane->head) + value % 140 - 70);
		break;
	case 5:
		WRITE_ONCE(lane->oldest, READ_ONCE(lane->head) + value % 140 - 70);
		break;
	case 6:		/* a record that is none */
		at = READ_ONCE(ring->reader.position) + value % 4;
		record = ring_cell(ring, 0, at);
		WRITE_ONCE(record->len, value & (SHM_KERNEL_RING_SKIP | 0xfff));
		WRITE_ONCE(record->sequence, at + 1);
		break;
	case 7:		/* the length of one that is */
		record = ring_cell(ring, 0, READ_ONCE(ring->reader.position));
		WRITE_ONCE(record->len, value % 3 ? value & 0x80000fff : value);
		break;
	}
}

static int enemy_thread(void *arg)
{
	struct enemy *enemy = arg;
	u32 i;

	while (!kthread_should_stop()) {
		for (i = 0; i < 100; i++)
			scribble(enemy->ring, &enemy->rnd);
		cond_resched();
	}
	return 0;
}

/* Comes in the middle of whatever runs on this processor. */
static enum hrtimer_restart enemy_timer(struct hrtimer *timer)
{
	struct enemy *enemy = container_of(timer, struct enemy, timer);
	u32 i;

	for (i = 0; i < 10; i++)
		scribble(enemy->ring, &enemy->timer_rnd);
	hrtimer_forward_now(timer, us_to_ktime(50));
	return HRTIMER_RESTART;
}

static bool slot_inside(struct ring *ring, const struct shm_kernel_ring_slot *slot,
			u32 len)
{
	void *cells = ring_lane(ring, 0) + 1;

	return slot->len == len && slot->data >= cells &&
	       slot->data + len <= cells + ring->cells * 64 &&
	       IS_ALIGNED((uintptr_t)slot->data, 8);
}

/* Some of everything, whatever the ring looks like. Returns what was wrong. */
static const char *fuzz_round(struct ring *ring, struct rnd_state *rnd)
{
	struct shm_kernel_ring_slot slots[3];
	u32 i, n, len, what;
	ssize_t got;
	int err;

	for (i = 0; i < 8; i++) {
		what = prandom_u32_state(rnd);
		switch (what % 8) {
		case 0:
		case 1:
		case 2:		/* several, the last begun first */
			for (n = 0; n < 1 + (what >> 8) % 3; n++) {
				len = prandom_u32_state(rnd) % (ring->max_len + 2);
				if (what & 1 << 16)
					len %= 100;
				err = shm_kernel_ring_reserve_shared(&ring->writer, len,
								     &slots[n]);
				if (err) {
					if (err != -ENOSPC && err != -EBADMSG &&
					    !(err == -EMSGSIZE && len > ring->max_len))
						return "reserve: error";
					break;
				}
				if (!slot_inside(ring, &slots[n], len))
					return "reserve: a slot outside of the lane";
				memset(slots[n].data, what, len);
			}
			while (n--) {
				if (what & 1 << 17)
					shm_kernel_ring_discard(&ring->writer, &slots[n]);
				else
					shm_kernel_ring_commit(&ring->writer, &slots[n]);
			}
			break;
		case 3:
		case 4:
		case 5:
			len = what & 1 << 16 ? 50 : ring->max_len;
			got = shm_kernel_ring_read(&ring->reader, ring->buf, len);
			if (got > (ssize_t)len || (got < 0 && got != -EAGAIN &&
						   got != -EBADMSG &&
						   !(got == -EMSGSIZE && len == 50)))
				return "read: result";
			break;
		case 6:
			shm_kernel_ring_ask(&ring->reader);
			break;
		case 7:
			if (what >> 8 & 7)
				break;
			/* The heads may be no ring's any more. */
			err = shm_kernel_ring_writer_init(&ring->writer, ring->mem,
							  ring->size, 0);
			if (err && err != -EBADMSG)
				return "writer_init: error";
			err = shm_kernel_ring_reader_init(&ring->reader, ring->mem,
							  ring->size, 0);
			if (err && err != -EBADMSG)
				return "reader_init: error";
			break;
		}
	}
	if (ring->writer.mask != ring->cells - 1 || ring->reader.mask != ring->cells - 1)
		return "the size of the lane has changed";
	if (!ring_guards_whole(ring))
		return "something was written outside of the ring";
	return NULL;
}

/* Brings the head back, so that initialising finds the same ring. */
static void fuzz_mend(struct ring *ring, u32 flags)
{
	struct shm_kernel_ring *head = ring->mem;

	head->version = SHM_KERNEL_RING_VERSION;
	head->flags = flags;
	head->lanes = ring->lanes;
	head->cells = ring->cells;
	head->magic = SHM_KERNEL_RING_MAGIC;
}

static void fuzz_begin(struct kunit *test, struct ring *ring, u32 flags, u32 at)
{
	ring_make(test, ring, flags);
	ring_lane(ring, 0)->oldest = at;
	ring_begin_at(test, ring, 0, at);
}

/* Each byte of a ring in use, by itself. */
static void ring_fuzz_each_byte(struct kunit *test)
{
	static const u8 masks[] = { 0xff, 0x01, 0x80, 0x40 };
	const u32 flags[] = { 0, SHM_KERNEL_RING_OVERWRITE };
	struct ring *ring = ring_new(test, 1, 64, 0);
	const char *wrong;
	struct rnd_state rnd;
	u32 at, i, mode, n;

	for (mode = 0; mode < ARRAY_SIZE(flags); mode++) {
		for (at = 0; at < ring->size; at++) {
			for (i = 0; i < ARRAY_SIZE(masks); i++) {
				prandom_seed_state(&rnd, at * 4 + i);
				fuzz_begin(test, ring, flags[mode], at - 2000);
				for (n = 0; n < 12; n++)
					ring_write(ring, n * 30, n);
				for (n = 0; n < 5; n++)
					ring_read(ring);
				((u8 *)ring->mem)[at] ^= masks[i];
				wrong = fuzz_round(ring, &rnd);
				/* The head is not what keeps the writer inside. */
				fuzz_mend(ring, flags[mode]);
				if (!wrong)
					wrong = fuzz_round(ring, &rnd);
				KUNIT_ASSERT_NULL_MSG(test, wrong, "byte %u ^ %#x: %s", at,
						      masks[i], wrong);
			}
			cond_resched();
		}
	}
}

/* Any bytes, between the operations. */
static void ring_fuzz_between(struct kunit *test)
{
	const u32 flags[] = { 0, SHM_KERNEL_RING_OVERWRITE };
	struct ring *ring = ring_new(test, 1, 64, 0);
	u32 rounds = IS_ENABLED(CONFIG_KASAN) ? 20 : 60;
	const char *wrong;
	struct rnd_state rnd;
	u32 seed, i, n, mode;

	for (seed = 0; seed < 500; seed++) {
		prandom_seed_state(&rnd, seed);
		mode = seed % 2;
		fuzz_begin(test, ring, flags[mode], seed * 7 - 1500);
		for (i = 0; i < rounds; i++) {
			for (n = prandom_u32_state(&rnd) % 5; n; n--)
				scribble(ring, &rnd);
			if (prandom_u32_state(&rnd) % 4)
				fuzz_mend(ring, flags[mode]);
			wrong = fuzz_round(ring, &rnd);
			KUNIT_ASSERT_NULL_MSG(test, wrong, "seed %u, round %u: %s", seed, i,
					      wrong);
		}
		cond_resched();
	}
}

static void fuzz_during(struct kunit *test, u32 flags)
{
	struct enemy *enemy = kunit_kzalloc(test, sizeof(*enemy), GFP_KERNEL);
	struct ring *ring = ring_new(test, 1, 64, flags);
	unsigned long begin = jiffies;
	const char *wrong = NULL;
	struct rnd_state rnd;
	u32 rounds = 0;

	KUNIT_ASSERT_NOT_NULL(test, enemy);
	enemy->ring = ring;
	prandom_seed_state(&enemy->rnd, 1);
	prandom_seed_state(&enemy->timer_rnd, 2);
	prandom_seed_state(&rnd, 3);
	fuzz_begin(test, ring, flags, -3000);
	enemy->task = kthread_run(enemy_thread, enemy, "ring-enemy");
	KUNIT_ASSERT_FALSE(test, IS_ERR(enemy->task));
	hrtimer_setup(&enemy->timer, enemy_timer, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_HARD);
	hrtimer_start(&enemy->timer, us_to_ktime(50), HRTIMER_MODE_REL_HARD);
	while (goes_on(begin, rounds > 100) && !wrong) {
		wrong = fuzz_round(ring, &rnd);
		if (rounds++ % 16 == 0) {
			fuzz_mend(ring, flags);
			cond_resched();
		}
	}
	hrtimer_cancel(&enemy->timer);
	kthread_stop(enemy->task);
	KUNIT_EXPECT_NULL_MSG(test, wrong, "round %u: %s", rounds, wrong);
	KUNIT_EXPECT_GT(test, rounds, 16);
	KUNIT_EXPECT_TRUE(test, ring_guards_whole(ring));
}

/* Any bytes, at any time. */
static void ring_fuzz_during(struct kunit *test)
{
	fuzz_during(test, 0);
}

static void ring_fuzz_during_overwrite(struct kunit *test)
{
	fuzz_during(test, SHM_KERNEL_RING_OVERWRITE);
}

static struct kunit_case ring_test_cases[] = {
	KUNIT_CASE(ring_test_create),
	KUNIT_CASE(ring_test_create_refused),
	KUNIT_CASE(ring_test_init_refused),
	KUNIT_CASE(ring_test_layout),
	KUNIT_CASE_SLOW(ring_test_every_size),
	KUNIT_CASE(ring_test_every_lane_size),
	KUNIT_CASE(ring_test_too_long),
	KUNIT_CASE(ring_test_lanes),
	KUNIT_CASE(ring_test_discard),
	KUNIT_CASE(ring_test_out_of_order),
	KUNIT_CASE(ring_test_ghosts),
	KUNIT_CASE(ring_test_full),
	KUNIT_CASE(ring_test_bad_tail),
	KUNIT_CASE(ring_test_wrap_positions),
	KUNIT_CASE_SLOW(ring_test_overwrite_model),
	KUNIT_CASE(ring_test_overwrite_lapped),
	KUNIT_CASE(ring_test_reader_errors),
	KUNIT_CASE(ring_test_ask),
	KUNIT_CASE(ring_test_room_wanted),
	KUNIT_CASE(ring_test_used_ring),
	KUNIT_CASE(ring_test_used_overwriting_ring),
	KUNIT_CASE(ring_test_exit),
	KUNIT_CASE(ring_test_nmi),
	KUNIT_CASE_SLOW(ring_test_crowd),
	KUNIT_CASE_SLOW(ring_test_overwrite_race),
	KUNIT_CASE_SLOW(ring_test_read_in_interrupt),
	KUNIT_CASE_SLOW(ring_test_overwrite_in_interrupt),
	KUNIT_CASE_SLOW(ring_test_handshake),
	KUNIT_CASE_SLOW(ring_fuzz_each_byte),
	KUNIT_CASE_SLOW(ring_fuzz_between),
	KUNIT_CASE_SLOW(ring_fuzz_during),
	KUNIT_CASE_SLOW(ring_fuzz_during_overwrite),
	{}
};

static struct kunit_suite ring_test_suite = {
	.name = "shm_kernel_ring",
	.test_cases = ring_test_cases,
};

kunit_test_suite(ring_test_suite);

MODULE_AUTHOR("shm_kernel developers <shm-kernel@example.org>");
MODULE_DESCRIPTION("KUnit test of shm_kernel_ring");
MODULE_LICENSE("GPL");
