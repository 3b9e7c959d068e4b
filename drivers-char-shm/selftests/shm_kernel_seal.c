// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of shm_kernel's seals
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#include <sys/uio.h>

#define NAME	"kst-seal"

#define SHRINK	SHM_KERNEL_SEAL_SHRINK
#define GROW	SHM_KERNEL_SEAL_GROW
#define SEAL	SHM_KERNEL_SEAL_SEAL
#define WRITE	SHM_KERNEL_SEAL_WRITE
#define FUTURE	SHM_KERNEL_SEAL_FUTURE_WRITE
/* Of the size; those of the content have tests of their own. */
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

	for (bit = 5; bit < 32; bit++) {
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

/*
 * The seals of the content, side by side with those of a memfd: what holds for
 * one has to hold for the other.
 */
FIXTURE(content) {
	int ctl;
	int fd;
	int ro;
	size_t size;
	bool memfd;
	struct stats stats;
};

FIXTURE_VARIANT(content) {
	bool memfd;
	__u32 flags;
	size_t pages;
};

FIXTURE_VARIANT_ADD(content, memfd) {
	.memfd = true,
	.pages = 5,
};

FIXTURE_VARIANT_ADD(content, region) {
	.pages = 5,
};

FIXTURE_VARIANT_ADD(content, small_pages) {
	.flags = SHM_KERNEL_CREATE_SMALL,
	.pages = 5,
};

FIXTURE_VARIANT_ADD(content, contiguous) {
	.flags = SHM_KERNEL_CREATE_CONTIG,
	.pages = 5,
};

FIXTURE_VARIANT_ADD(content, large_region) {
	.pages = 1100,
};

FIXTURE_SETUP(content)
{
	char path[64];

	self->memfd = variant->memfd;
	self->size = variant->pages * page_size() + 100;
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "no " CONTROL_NODE);
	stats_read(&self->stats);
	if (variant->memfd) {
		self->fd = memfd_create("content", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		ASSERT_LE(0, self->fd);
		ASSERT_EQ(0, ftruncate(self->fd, self->size));
	} else {
		self->fd = region_create(self->ctl, NULL, self->size, 0600,
					 variant->flags);
		ASSERT_LE(0, self->fd);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	self->ro = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->ro);
}

FIXTURE_TEARDOWN(content)
{
	close(self->ro);
	close(self->fd);
	EXPECT_TRUE(stats_return_to(&self->stats));
	close(self->ctl);
}

static int add_seals(bool memfd, int fd, __u32 seals)
{
	return memfd ? fcntl(fd, F_ADD_SEALS, seals) : region_add_seals(fd, seals);
}

static long get_seals(bool memfd, int fd)
{
	return memfd ? fcntl(fd, F_GET_SEALS) : seals_of(fd);
}

static void *map_it(int fd, size_t size, int prot, int flags)
{
	return mmap(NULL, size, prot, flags, fd, 0);
}

static void expect_no_writing(struct __test_metadata *_metadata, int fd, size_t size)
{
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
	char byte;
	void *map;

	EXPECT_EQ(1, pread(fd, &byte, 1, 7));
	EXPECT_EQ(-1, pwrite(fd, "x", 1, 7));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, pwrite(fd, "x", 1, size - 1));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, pwritev(fd, &iov, 1, 4000));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(0, pwrite(fd, "x", 0, 7));

	map = map_it(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED);
	EXPECT_EQ(MAP_FAILED, map);
	EXPECT_EQ(EPERM, errno);
	map = map_it(fd, size, PROT_WRITE, MAP_SHARED_VALIDATE);
	EXPECT_EQ(MAP_FAILED, map);
	EXPECT_EQ(EPERM, errno);

	map = map_it(fd, size, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(byte, ((char *)map)[7]);
	EXPECT_EQ(-1, mprotect(map, size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	/* Also the copy of a part of it, also in a child. */
	EXPECT_EQ(0, munmap(map, page_size()));
	EXPECT_EQ(-1, mprotect(map + page_size(), page_size(), PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	munmap(map, size);

	map = map_it(fd, size, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, map);
	((char *)map)[7] = byte + 1;
	munmap(map, size);
}

TEST_F(content, no_writing)
{
	__u32 seals[] = { WRITE, FUTURE, WRITE | FUTURE, WRITE | SEAL }, i;
	unsigned char want = 0x5a, byte;

	ASSERT_EQ(1, pwrite(self->fd, &want, 1, 7));
	for (i = 0; i < ARRAY_SIZE(seals); i++) {
		ASSERT_EQ(0, add_seals(self->memfd, self->fd, seals[i]));
		EXPECT_EQ(seals[i], get_seals(self->memfd, self->fd) & seals[i]);
		expect_no_writing(_metadata, self->fd, self->size);
		EXPECT_EQ(1, pread(self->fd, &byte, 1, 7));
		EXPECT_EQ(want, byte);
	}
	EXPECT_EQ(-1, add_seals(self->memfd, self->fd, GROW));
	EXPECT_EQ(EPERM, errno);
}

/* What can be written, or made so, stands in the way; what cannot does not. */
TEST_F(content, write_and_mappings)
{
	struct {
		bool ro;
		int prot;
		int flags;
		bool busy;
	} maps[] = {
		{ false, PROT_READ | PROT_WRITE, MAP_SHARED, true },
		{ false, PROT_READ, MAP_SHARED, true },
		{ false, PROT_NONE, MAP_SHARED, true },
		{ true, PROT_READ, MAP_SHARED, false },
		{ false, PROT_READ | PROT_WRITE, MAP_PRIVATE, false },
		{ true, PROT_READ | PROT_WRITE, MAP_PRIVATE, false },
	};
	unsigned int i;
	size_t pos;
	char *map;

	/* The one that succeeds is for good, hence the order. */
	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		map = map_it(maps[i].ro ? self->ro : self->fd, self->size,
			     maps[i].prot, maps[i].flags);
		ASSERT_NE(MAP_FAILED, map);
		if (maps[i].prot & PROT_READ)
			for (pos = 0; pos < self->size; pos += page_size())
				EXPECT_LE(0, probe_load(map + pos));
		if (maps[i].busy) {
			/* Nothing of what is asked for is done. */
			EXPECT_EQ(-1, add_seals(self->memfd, self->fd, WRITE | GROW));
			EXPECT_EQ(EBUSY, errno);
			EXPECT_EQ(0, get_seals(self->memfd, self->fd) & (WRITE | GROW));
			EXPECT_EQ(1, pwrite(self->fd, "y", 1, 0));
		} else {
			EXPECT_EQ(0, add_seals(self->memfd, self->fd, WRITE)) TH_LOG("map %u", i);
		}
		munmap(map, self->size);
	}
	EXPECT_EQ(WRITE, get_seals(self->memfd, self->fd));
}

TEST_F(content, future_write_and_mappings)
{
	char *rw = map_it(self->fd, self->size, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *later = map_it(self->fd, self->size, PROT_READ, MAP_SHARED);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, rw);
	ASSERT_NE(MAP_FAILED, later);
	ASSERT_EQ(0, add_seals(self->memfd, self->fd, FUTURE));
	expect_no_writing(_metadata, self->fd, self->size);
	/* Who has it mapped can write, and see what is written. */
	rw[0] = 'a';
	EXPECT_EQ('a', later[0]);
	EXPECT_EQ(0, mprotect(later, self->size, PROT_READ | PROT_WRITE));
	later[1] = 'b';
	EXPECT_EQ('b', rw[1]);
	pid = spawn();
	if (!pid) {
		rw[2] = 'c';
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ('c', later[2]);
	munmap(later, self->size);
	EXPECT_EQ(-1, add_seals(self->memfd, self->fd, WRITE));
	EXPECT_EQ(EBUSY, errno);
	munmap(rw, self->size);
	EXPECT_EQ(0, add_seals(self->memfd, self->fd, WRITE));
}

/* A page in a pipe is pinned: who has it could still write. */
TEST_F(content, pinned)
{
	size_t last = self->size / page_size() * page_size();
	struct iovec iov = { .iov_len = 100 };
	char *map, buf[200];
	int pipefd[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(pipefd));
	map = map_it(self->fd, self->size, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	map[last] = 'p';
	iov.iov_base = map + last;
	ASSERT_EQ(100, vmsplice(pipefd[1], &iov, 1, 0));
	munmap(map, self->size);

	EXPECT_EQ(-1, add_seals(self->memfd, self->fd, WRITE));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, get_seals(self->memfd, self->fd));
	EXPECT_EQ(1, pwrite(self->fd, "q", 1, last));

	/* A pin that goes soon is waited for. */
	pid = spawn();
	if (!pid) {
		sleep_ms(40);
		CHILD_CHECK(read(pipefd[0], buf, sizeof(buf)) == 100);
		CHILD_CHECK(buf[0] == 'q');
		_exit(0);
	}
	EXPECT_EQ(0, add_seals(self->memfd, self->fd, WRITE));
	EXPECT_EQ(0, child_result(pid));
	close(pipefd[0]);
	close(pipefd[1]);
}

/* Writing while the seal comes: the last word is there before the seal is. */
TEST_F(content, race)
{
	const size_t len = self->size;
	char *buf = malloc(len), *seen = malloc(len);
	unsigned int i;
	pid_t pids[2];

	ASSERT_NE(NULL, buf);
	ASSERT_NE(NULL, seen);
	for (i = 0; i < 2; i++) {
		pids[i] = spawn();
		if (!pids[i]) {
			unsigned char value = i;

			for (;;) {
				memset(buf, value += 2, len);
				errno = 0;
				if (pwrite(self->fd, buf, len, 0) != (ssize_t)len)
					break;
			}
			/* A write that the seal cut short is told at the next. */
			CHILD_CHECK(pwrite(self->fd, buf, len, 0) == -1);
			CHILD_CHECK(errno == EPERM);
			_exit(0);
		}
	}
	sleep_ms(20);
	while (add_seals(self->memfd, self->fd, WRITE))
		ASSERT_EQ(EBUSY, errno);
	ASSERT_EQ(len, pread(self->fd, buf, len, 0));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(len, pread(self->fd, seen, len, 0));
		EXPECT_EQ(0, memcmp(buf, seen, len));
		sleep_ms(1);
	}
	EXPECT_EQ(0, child_result(pids[0]));
	EXPECT_EQ(0, child_result(pids[1]));
	free(seen);
	free(buf);
}

/* Mapping while the seal comes: one of the two wins. */
TEST_F(content, race_with_mmap)
{
	unsigned int round, sealed = 0;
	char *map;
	pid_t pid;

	pid = spawn();
	if (!pid) {
		for (round = 0; round < 100000; round++) {
			map = map_it(self->fd, self->size, PROT_READ | PROT_WRITE,
				     MAP_SHARED);
			if (map == MAP_FAILED && errno == EPERM &&
			    get_seals(self->memfd, self->fd) & WRITE)
				_exit(0);
			if (map == MAP_FAILED)
				continue;
			CHILD_CHECK(!(get_seals(self->memfd, self->fd) & WRITE));
			munmap(map, self->size);
		}
		_exit(1);
	}
	for (round = 0; round < 100000 && !sealed; round++)
		sealed = !add_seals(self->memfd, self->fd, WRITE);
	EXPECT_TRUE(sealed);
	EXPECT_EQ(0, child_result(pid));
}

TEST_F(content, resizing_is_another_seal)
{
	/* Contiguous ones are never resized. */
	int resizes = variant->flags & SHM_KERNEL_CREATE_CONTIG ? -1 : 0;

	ASSERT_EQ(0, add_seals(self->memfd, self->fd, WRITE));
	EXPECT_EQ(resizes, ftruncate(self->fd, self->size + 10000));
	EXPECT_EQ(resizes, ftruncate(self->fd, 10));
	EXPECT_EQ(resizes ? self->size : 10, region_size(self->fd));
	EXPECT_EQ(-1, pwrite(self->fd, "x", 1, 0));
	EXPECT_EQ(EPERM, errno);
}

/* What a memfd has not: the driver's own ways to write. */
TEST_F(seal, other_ways_to_write)
{
	char path[64];
	int fd;

	ASSERT_EQ(1, pwrite(self->fd, "x", 1, 0));
	ASSERT_EQ(0, region_add_seals(self->fd, FUTURE));
	EXPECT_EQ(-1, region_clear(self->fd));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, region_reset(self->fd));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, pwrite(self->fd, "x", 1, self->size));
	EXPECT_EQ(EPERM, errno);
	/* However it is opened. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, write(fd, "x", 1));
	EXPECT_EQ(EPERM, errno);
	expect_no_writing(_metadata, fd, self->size);
	close(fd);
	fd = region_open(self->ctl, NAME, O_RDWR);
	ASSERT_LE(0, fd);
	expect_no_writing(_metadata, fd, self->size);
	close(fd);
	/* The end of it is no write. */
	EXPECT_EQ(0, region_revoke(self->fd));
	EXPECT_EQ(-1, pwrite(self->fd, "x", 1, 0));
	EXPECT_EQ(ENODEV, errno);
}

TEST_HARNESS_MAIN
