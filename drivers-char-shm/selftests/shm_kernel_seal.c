// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of shm_kernel's seals
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define NAME	"kst-seal"

#define SHRINK	SHM_KERNEL_SEAL_SHRINK
#define GROW	SHM_KERNEL_SEAL_GROW
#define SEAL	SHM_KERNEL_SEAL_SEAL
#define ALL	(SHRINK | GROW | SEAL)

FIXTURE(seal) {
	int ctl;
	int fd;
	size_t size;
	struct stats stats;
};

FIXTURE_SETUP(seal)
{
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "no " CONTROL_NODE);
	stats_read(&self->stats);
	self->size = 3 * page_size() + 100;
	self->fd = region_create(self->ctl, NAME, self->size, 0600, 0);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(seal)
{
	close(self->fd);
	EXPECT_TRUE(stats_return_to(&self->stats));
	close(self->ctl);
}

static long seals_of(int fd)
{
	struct shm_kernel_info info;

	return region_info(fd, &info) ? -1 : info.seals;
}

/* A resize must succeed, or fail with EPERM and change nothing. */
static void expect_resize(struct __test_metadata *_metadata, int fd, off_t size,
			  bool allowed)
{
	off_t before = region_size(fd);

	if (allowed) {
		EXPECT_EQ(0, ftruncate(fd, size)) TH_LOG("to %ld", (long)size);
		EXPECT_EQ(size, region_size(fd));
		return;
	}
	errno = 0;
	EXPECT_EQ(-1, ftruncate(fd, size)) TH_LOG("to %ld", (long)size);
	EXPECT_EQ(EPERM, errno) TH_LOG("to %ld", (long)size);
	EXPECT_EQ(before, region_size(fd));
}

TEST_F(seal, matrix)
{
	struct shm_kernel_info info;
	unsigned char *map;
	off_t size = self->size;
	__u32 seals;
	int fd;

	for (seals = 0; seals <= ALL; seals++) {
		fd = region_create(self->ctl, NULL, size, 0600, 0);
		ASSERT_LE(0, fd);
		map = region_map(fd, size);
		ASSERT_NE(MAP_FAILED, map);
		pattern_fill(map, 0, size, seals);
		EXPECT_EQ(0, seals_of(fd));
		ASSERT_EQ(0, region_add_seals(fd, seals));
		EXPECT_EQ(seals, seals_of(fd));

		/* The size that it has is no change. */
		expect_resize(_metadata, fd, size, true);
		expect_resize(_metadata, fd, size + 1, !(seals & GROW));
		if (!(seals & GROW))
			expect_resize(_metadata, fd, size, !(seals & SHRINK));
		size = region_size(fd);
		expect_resize(_metadata, fd, size + 100 * page_size(), !(seals & GROW));
		size = region_size(fd);
		expect_resize(_metadata, fd, size - 1, !(seals & SHRINK));
		expect_resize(_metadata, fd, page_size(), !(seals & SHRINK));
		EXPECT_EQ(-1, pattern_check(map, 0, page_size(), seals));
		expect_resize(_metadata, fd, 0, !(seals & SHRINK));
		if (seals & SHRINK) {
			EXPECT_EQ(-1, pattern_check(map, 0, self->size, seals));
			/* Content is not sealed. */
			EXPECT_EQ(1, pwrite(fd, "x", 1, 0));
			EXPECT_EQ('x', map[0]);
			EXPECT_EQ(0, region_clear(fd));
			EXPECT_EQ(0, map[0]);
		}

		ASSERT_EQ(0, region_info(fd, &info));
		EXPECT_EQ((seals & (GROW | SHRINK)) != (GROW | SHRINK),
			  !!(info.capabilities & SHM_KERNEL_CAP_RESIZE));
		munmap(map, self->size);
		close(fd);
		size = self->size;
	}
}

/* Seals add up, in any order, and SEAL ends that. */
TEST_F(seal, add_up)
{
	__u32 first, second;
	int fd, ret;

	for (first = 0; first <= ALL; first++) {
		for (second = 0; second <= ALL; second++) {
			fd = region_create(self->ctl, NULL, 1, 0600, 0);
			ASSERT_LE(0, fd);
			ASSERT_EQ(0, region_add_seals(fd, first));
			errno = 0;
			ret = region_add_seals(fd, second);
			if (first & SEAL) {
				EXPECT_EQ(-1, ret);
				EXPECT_EQ(EPERM, errno);
				EXPECT_EQ(first, seals_of(fd));
			} else {
				EXPECT_EQ(0, ret);
				EXPECT_EQ(first | second, seals_of(fd));
			}
			close(fd);
		}
	}
}

TEST_F(seal, unknown)
{
	unsigned int bit;

	for (bit = 3; bit < 32; bit++) {
		EXPECT_EQ(-1, region_add_seals(self->fd, 1U << bit));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, region_add_seals(self->fd, 1U << bit | GROW));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(0, seals_of(self->fd));
	/* Also after SEAL: what means nothing is not a question of rights. */
	ASSERT_EQ(0, region_add_seals(self->fd, SEAL));
	EXPECT_EQ(-1, region_add_seals(self->fd, 1U << 5));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(seal, needs_a_writable_file)
{
	int ro = region_open(self->ctl, NAME, O_RDONLY);
	__u32 seals;

	ASSERT_LE(0, ro);
	for (seals = 0; seals <= ALL; seals++) {
		EXPECT_EQ(-1, region_add_seals(ro, seals));
		EXPECT_EQ(EPERM, errno);
	}
	EXPECT_EQ(0, seals_of(ro));
	/* They are the region's, not the file's. */
	ASSERT_EQ(0, region_add_seals(self->fd, GROW));
	EXPECT_EQ(GROW, seals_of(ro));
	close(ro);
}

/* They stay with the region, whoever opens it, under whatever name or none. */
TEST_F(seal, stay)
{
	int other;

	ASSERT_EQ(0, region_add_seals(self->fd, SHRINK));
	other = region_open(self->ctl, NAME, O_RDWR);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, region_remove(self->ctl, NAME));
	close(self->fd);
	self->fd = other;
	EXPECT_EQ(SHRINK, seals_of(other));
	expect_resize(_metadata, other, self->size - 1, false);
	expect_resize(_metadata, other, self->size + 1, true);
	/* Another region of the name has seals of its own. */
	other = region_create(self->ctl, NAME, self->size, 0600, 0);
	ASSERT_LE(0, other);
	EXPECT_EQ(0, seals_of(other));
	expect_resize(_metadata, other, 0, true);
	close(other);
}

TEST_F(seal, fixed_regions)
{
	int fd = region_create(self->ctl, NULL, 5000, 0600, SHM_KERNEL_CREATE_CONTIG);

	ASSERT_LE(0, fd);
	/* Its size is fixed anyway, and may be sealed all the same. */
	EXPECT_EQ(0, region_add_seals(fd, SHRINK | SEAL));
	EXPECT_EQ(SHRINK | SEAL, seals_of(fd));
	expect_resize(_metadata, fd, 4999, false);
	expect_resize(_metadata, fd, 5001, false);
	close(fd);
}

TEST_F(seal, other_ways_to_resize)
{
	char path[64];
	int fd;

	ASSERT_EQ(0, region_add_seals(self->fd, SHRINK | GROW));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	EXPECT_EQ(-1, truncate(path, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, truncate(path, self->size * 2));
	EXPECT_EQ(EPERM, errno);
	fd = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);
	EXPECT_GT(0, fd);
	if (fd >= 0)
		close(fd);
	EXPECT_EQ(self->size, region_size(self->fd));
	/* Writing past the end never was one. */
	EXPECT_EQ(-1, pwrite(self->fd, "x", 1, self->size));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(self->size, region_size(self->fd));
}

/* A revoke is no shrinking: no seal keeps a region alive. */
TEST_F(seal, revoked)
{
	ASSERT_EQ(0, region_add_seals(self->fd, SHRINK));
	ASSERT_EQ(0, region_revoke(self->fd));
	EXPECT_EQ(0, region_size(self->fd));
	EXPECT_EQ(-1, region_add_seals(self->fd, GROW));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(SHRINK, seals_of(self->fd));
}

TEST_F(seal, shown)
{
	char path[64], line[256];
	bool found = false;
	FILE *file;

	ASSERT_EQ(0, region_add_seals(self->fd, SHRINK | GROW));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->fd);
	file = fopen(path, "re");
	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file))
		found |= !strcmp(line, "shm_kernel-seals:\t0x6\n");
	fclose(file);
	EXPECT_TRUE(found);
}

/* Sealing and resizing at once: after the seal, the size never changes again. */
TEST_F(seal, race)
{
	off_t size, last;
	unsigned int round;
	pid_t pid;
	int fd, i;

	for (round = 0; round < 30; round++) {
		fd = region_create(self->ctl, NULL, 4096, 0600, 0);
		ASSERT_LE(0, fd);
		pid = spawn();
		if (!pid) {
			for (i = 0; i < 100000; i++)
				if (ftruncate(fd, 4096 + i % 3 * 10000) && errno == EPERM)
					_exit(0);
			_exit(1);
		}
		sleep_ms(round % 5);
		ASSERT_EQ(0, region_add_seals(fd, SHRINK | GROW));
		size = region_size(fd);
		for (i = 0; i < 100; i++) {
			last = region_size(fd);
			EXPECT_EQ(size, last);
		}
		EXPECT_EQ(0, child_result(pid));
		EXPECT_EQ(size, region_size(fd));
		close(fd);
	}
}

TEST_HARNESS_MAIN
