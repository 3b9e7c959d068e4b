// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of ftruncate() on shm_kernel's region files: no byte below the new
 * size is lost, no byte above it is ever seen again
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <limits.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define NAME	"kst-resize"

FIXTURE(resize) {
	int ctl;
	int fd;
	size_t page;
	unsigned char *map;
	unsigned char *model;
	unsigned char *buf;
	size_t room;
	struct stats stats;
};

FIXTURE_SETUP(resize)
{
	self->page = page_size();
	self->room = 8 * MIB;
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	stats_read(&self->stats);
	self->fd = region_create(self->ctl, NAME, 0, 0600, 0);
	ASSERT_LE(0, self->fd) TH_LOG("errno %d", errno);
	self->map = region_map(self->fd, self->room);
	ASSERT_NE(MAP_FAILED, self->map);
	self->model = calloc(1, self->room);
	self->buf = malloc(self->room);
	ASSERT_NE(NULL, self->model);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(resize)
{
	munmap(self->map, self->room);
	close(self->fd);
	EXPECT_TRUE(stats_return_to(&self->stats));
	close(self->ctl);
	free(self->buf);
	free(self->model);
}

static size_t first_difference(const unsigned char *a, const unsigned char *b,
			       size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (a[i] != b[i])
			break;
	return i;
}

/* By read() and by the mapping, the region is @size bytes of @model. */
static bool same_as_model(int fd, const unsigned char *map,
			  const unsigned char *model, unsigned char *buf,
			  size_t size)
{
	if (region_size(fd) != (off_t)size) {
		fprintf(stderr, "# size %jd, not %zu\n",
			(intmax_t)region_size(fd), size);
		return false;
	}
	memset(buf, 0xcc, size + 1);
	if (pread(fd, buf, size + 1, 0) != (ssize_t)size || buf[size] != 0xcc) {
		fprintf(stderr, "# read() does not end at %zu\n", size);
		return false;
	}
	if (memcmp(buf, model, size)) {
		fprintf(stderr, "# size %zu: read() differs at %#zx\n", size,
			first_difference(buf, model, size));
		return false;
	}
	if (memcmp(map, model, size)) {
		fprintf(stderr, "# size %zu: the mapping differs at %#zx\n", size,
			first_difference(map, model, size));
		return false;
	}
	return true;
}

/*
 * From @full bytes down to @small and up again. Before it grows, whatever can
 * be stored behind the end is, as it must not come back.
 */
static bool down_and_up(int fd, unsigned char *map, unsigned char *model,
			unsigned char *buf, size_t full, size_t small,
			unsigned int seed)
{
	size_t page = page_size();
	size_t end = (small + page - 1) / page * page;

	pattern_fill(model, 0, full, seed);
	if (ftruncate(fd, full) || pwrite(fd, model, full, 0) != (ssize_t)full)
		return false;
	if (!same_as_model(fd, map, model, buf, full))
		return false;
	if (ftruncate(fd, small) || !same_as_model(fd, map, model, buf, small))
		return false;
	if (small < full && zero_check(map + small, end - small) >= 0) {
		fprintf(stderr, "# size %zu: the last page's rest is not zero\n",
			small);
		return false;
	}
	if (end <= full && (probe_load(map + end) != -SIGBUS ||
			    probe_store(map + end, 1) != -SIGBUS)) {
		fprintf(stderr, "# size %zu: no SIGBUS behind it\n", small);
		return false;
	}
	memset(map + small, 0xee, end - small);
	memset(model + small, 0, full - small);
	return !ftruncate(fd, full) && same_as_model(fd, map, model, buf, full);
}

FIXTURE(order) {
	int dummy;
};

FIXTURE_VARIANT(order) {
	unsigned int order;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(order, 0) { .order = 0 };

FIXTURE_VARIANT_ADD(order, 1) { .order = 1 };

FIXTURE_VARIANT_ADD(order, 2) { .order = 2 };

FIXTURE_VARIANT_ADD(order, 3) { .order = 3 };

FIXTURE_VARIANT_ADD(order, 4) { .order = 4 };

FIXTURE_VARIANT_ADD(order, 5) { .order = 5 };

FIXTURE_VARIANT_ADD(order, 6) { .order = 6 };

FIXTURE_VARIANT_ADD(order, 7) { .order = 7 };

FIXTURE_VARIANT_ADD(order, 8) { .order = 8 };

FIXTURE_VARIANT_ADD(order, 9) { .order = 9 };

FIXTURE_VARIANT_ADD(order, small_4) {
	.order = 4, .flags = SHM_KERNEL_CREATE_SMALL,
};

FIXTURE_SETUP(order)
{
	int ctl = control_open();

	if (ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	close(ctl);
}

FIXTURE_TEARDOWN(order)
{
}

/*
 * The region begins with a folio of the wanted order, so that its edges, its
 * middle, and the pages around these are all met, each with a byte more and a
 * byte less. Three shapes: one folio, two and a rest, one and a part.
 */
TEST_F(order, every_edge)
{
	size_t page = page_size(), folio = page << variant->order;
	size_t fulls[] = {
		folio, 2 * folio + page + 100, folio + folio / 2 + 1,
	};
	unsigned char *map, *model, *buf;
	size_t edges[16], room = 2 * folio + 4 * page, small;
	unsigned int i, j, n, seed = 1;
	struct stats stats;
	int ctl, fd, delta;

	ctl = control_open();
	ASSERT_LE(0, ctl);
	stats_read(&stats);
	model = malloc(room);
	buf = malloc(room);
	ASSERT_NE(NULL, model);
	ASSERT_NE(NULL, buf);
	for (i = 0; i < ARRAY_SIZE(fulls); i++) {
		fd = region_create(ctl, NULL, fulls[i], 0600, variant->flags);
		ASSERT_LE(0, fd);
		map = region_map(fd, room);
		ASSERT_NE(MAP_FAILED, map);
		n = 0;
		edges[n++] = 0;
		edges[n++] = page;
		edges[n++] = folio / 4 * 3;
		edges[n++] = folio / 2;
		edges[n++] = folio - page;
		edges[n++] = folio;
		edges[n++] = folio + page;
		edges[n++] = folio + folio / 2;
		edges[n++] = 2 * folio;
		edges[n++] = 2 * folio + page;
		edges[n++] = fulls[i] / 3;
		for (j = 0; j < n; j++) {
			for (delta = -1; delta <= 1; delta++) {
				small = edges[j] + delta;
				if ((!edges[j] && delta < 0) || small > fulls[i])
					continue;
				ASSERT_TRUE(down_and_up(fd, map, model, buf,
							fulls[i], small, ++seed))
					TH_LOG("from %zu to %zu", fulls[i], small);
			}
		}
		munmap(map, room);
		close(fd);
	}
	EXPECT_TRUE(stats_return_to(&stats));
	free(buf);
	free(model);
	close(ctl);
}

/* Shrinks in many steps, so that what is kept of a folio gets less and less. */
TEST_F(order, step_by_step)
{
	size_t page = page_size(), size = page << variant->order;
	unsigned char *map, *model, *buf;
	size_t full = size, step;
	int ctl, fd;

	ctl = control_open();
	ASSERT_LE(0, ctl);
	model = malloc(size);
	buf = malloc(size + 1);
	ASSERT_NE(NULL, model);
	ASSERT_NE(NULL, buf);
	pattern_fill(model, 0, size, 1);
	fd = region_create(ctl, NULL, size, 0600, variant->flags);
	ASSERT_LE(0, fd);
	ASSERT_EQ(size, pwrite(fd, model, size, 0));
	map = region_map(fd, size);
	ASSERT_NE(MAP_FAILED, map);
	while (size) {
		step = 1 + size * 2 / 7;
		size -= step < size ? step : size;
		ASSERT_EQ(0, ftruncate(fd, size));
		ASSERT_TRUE(same_as_model(fd, map, model, buf, size));
	}
	memset(model, 0, full);
	while (size < full) {
		size += 1 + full / 9;
		if (size > full)
			size = full;
		ASSERT_EQ(0, ftruncate(fd, size));
		ASSERT_TRUE(same_as_model(fd, map, model, buf, size));
	}
	munmap(map, full);
	close(fd);
	free(buf);
	free(model);
	close(ctl);
}

static unsigned int next_random(unsigned int *state)
{
	*state = *state * 1103515245 + 12345;
	return *state >> 8;
}

/* A long random walk, checked against the model at every step. */
TEST_F(resize, random_walk)
{
	static const size_t limits[] = { 3 * 4096, 70000, 600000, 5 * MIB };
	unsigned int state = 4711, i, step;
	size_t size, limit, from, to, end;
	unsigned char value;

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		limit = limits[i];
		size = 0;
		memset(self->model, 0, self->room);
		ASSERT_EQ(0, ftruncate(self->fd, 0));
		for (step = 0; step < (i == 3 ? 60 : 250); step++) {
			value = 1 + next_random(&state) % 255;
			from = size ? next_random(&state) % size : 0;
			to = size ? from + next_random(&state) % (size - from) + 1 : 0;
			switch (next_random(&state) % 5) {
			case 0:
			case 1:
				/* Page and folio edges as often as any other byte. */
				from = next_random(&state) % (limit + 1);
				if (next_random(&state) % 2)
					from = from / self->page * self->page;
				ASSERT_EQ(0, ftruncate(self->fd, from));
				if (from > size)
					memset(self->model + size, 0, from - size);
				size = from;
				break;
			case 2:
				memset(self->model + from, value, to - from);
				ASSERT_EQ(to - from, pwrite(self->fd, self->model + from,
							    to - from, from));
				break;
			case 3:
				memset(self->model + from, value, to - from);
				memset(self->map + from, value, to - from);
				break;
			case 4:
				/* Behind the end, where it counts for nothing. */
				end = (size + self->page - 1) / self->page * self->page;
				memset(self->map + size, value, end - size);
				break;
			}
			ASSERT_TRUE(same_as_model(self->fd, self->map, self->model,
						  self->buf, size))
				TH_LOG("limit %zu step %u", limit, step);
		}
	}
}

TEST_F(resize, from_and_to_nothing)
{
	struct shm_kernel_info info;
	unsigned char byte = 1;

	EXPECT_EQ(0, region_size(self->fd));
	EXPECT_EQ(0, pread(self->fd, &byte, 1, 0));
	EXPECT_EQ(-1, pwrite(self->fd, &byte, 1, 0));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(-SIGBUS, probe_load(self->map));
	EXPECT_EQ(0, region_clear(self->fd));
	EXPECT_EQ(0, ftruncate(self->fd, 1));
	EXPECT_EQ(1, pwrite(self->fd, &byte, 1, 0));
	EXPECT_EQ(1, probe_load(self->map));
	EXPECT_EQ(0, probe_load(self->map + 1));
	EXPECT_EQ(0, ftruncate(self->fd, 0));
	EXPECT_EQ(-SIGBUS, probe_load(self->map));
	ASSERT_EQ(0, region_info(self->fd, &info));
	EXPECT_EQ(0, info.length);
	EXPECT_EQ(0, info.allocated);
	EXPECT_EQ(0, ftruncate(self->fd, 5 * MIB + 3));
	EXPECT_EQ(-1, zero_check(self->map, 5 * MIB + 3));
	EXPECT_EQ(0, ftruncate(self->fd, 0));
	EXPECT_EQ(0, ftruncate(self->fd, 0));
	EXPECT_EQ(-SIGBUS, probe_store(self->map + MIB, 1));
}

TEST_F(resize, memory_is_given_back)
{
	struct shm_kernel_info info;
	struct stats stats;
	size_t size;

	for (size = 6 * MIB; size; size /= 3) {
		ASSERT_EQ(0, ftruncate(self->fd, size));
		ASSERT_EQ(0, region_info(self->fd, &info));
		EXPECT_EQ(size, info.length);
		EXPECT_LE(size, info.allocated);
		/* A shrink may keep the folio that the end is in. */
		EXPECT_GE(size + 2 * MIB, info.allocated);
		if (!stats_read(&stats))
			EXPECT_EQ(self->stats.pages + info.allocated / self->page,
				  stats.pages);
	}
}

TEST_F(resize, private_mapping)
{
	unsigned char *copy;

	ASSERT_EQ(0, ftruncate(self->fd, 64 * self->page));
	memset(self->map, 0x11, 64 * self->page);
	copy = mmap(NULL, 64 * self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		    self->fd, 0);
	ASSERT_NE(MAP_FAILED, copy);
	copy[0] = 0x22;
	copy[63 * self->page] = 0x22;
	/* As with any file: the end of the file is the end of its copies. */
	ASSERT_EQ(0, ftruncate(self->fd, 10 * self->page));
	EXPECT_EQ(0x22, probe_load(copy));
	EXPECT_EQ(0x11, probe_load(copy + self->page));
	EXPECT_EQ(-SIGBUS, probe_load(copy + 10 * self->page));
	EXPECT_EQ(-SIGBUS, probe_load(copy + 63 * self->page));
	ASSERT_EQ(0, ftruncate(self->fd, 64 * self->page));
	EXPECT_EQ(0, probe_load(copy + 63 * self->page));
	munmap(copy, 64 * self->page);
}

TEST_F(resize, times)
{
	struct stat before, after;

	ASSERT_EQ(0, ftruncate(self->fd, 100));
	ASSERT_EQ(0, fstat(self->fd, &before));
	sleep_ms(30);
	ASSERT_EQ(0, ftruncate(self->fd, 50));
	ASSERT_EQ(0, fstat(self->fd, &after));
	EXPECT_TRUE(before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
		    before.st_mtim.tv_nsec != after.st_mtim.tv_nsec);
	EXPECT_TRUE(before.st_ctim.tv_sec != after.st_ctim.tv_sec ||
		    before.st_ctim.tv_nsec != after.st_ctim.tv_nsec);
}

TEST_F(resize, refused)
{
	static const off_t absurd[] = {
		1LL << 46, 1LL << 62, LLONG_MAX - 4095, LLONG_MAX,
	};
	unsigned int i;
	int fd;

	ASSERT_EQ(0, ftruncate(self->fd, 5000));
	memset(self->map, 0x44, 5000);
	for (i = 0; i < ARRAY_SIZE(absurd); i++) {
		EXPECT_EQ(-1, ftruncate(self->fd, absurd[i]));
		EXPECT_TRUE(errno == ENOMEM || errno == EFBIG || errno == EINVAL)
			TH_LOG("errno %d", errno);
		EXPECT_EQ(5000, region_size(self->fd));
	}
	EXPECT_EQ(-1, ftruncate(self->fd, -1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(5000, region_size(self->fd));

	fd = region_open(self->ctl, NAME, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, ftruncate(fd, 10));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
	for (i = 0; i < 5000; i++)
		ASSERT_EQ(0x44, self->map[i]);

	fd = region_create(self->ctl, NULL, 5000, 0600, SHM_KERNEL_CREATE_CONTIG);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, ftruncate(fd, 5001));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(fd, 4999));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(5000, region_size(fd));
	close(fd);

	fd = region_open(self->ctl, "region0", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, ftruncate(fd, region_size(fd) + 1));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EPERM, errno);
	close(fd);
}

TEST_F(resize, file_size_limit)
{
	struct rlimit limit = { 64 * KIB, 64 * KIB };
	pid_t pid;

	ASSERT_EQ(0, ftruncate(self->fd, 1000));
	pid = spawn();
	if (!pid) {
		CHILD_CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
		signal(SIGXFSZ, SIG_IGN);
		CHILD_CHECK(ftruncate(self->fd, 64 * KIB + 1) == -1);
		CHILD_CHECK(errno == EFBIG);
		CHILD_CHECK(region_size(self->fd) == 1000);
		CHILD_CHECK(!ftruncate(self->fd, 64 * KIB));
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
}

/* What a user may have at most; the size stays when there is no more. */
TEST_F(resize, over_the_limit)
{
	char max_user[64];
	pid_t pid;

	if (param_read("max_user", max_user, sizeof(max_user)) ||
	    param_write("max_user", "2M"))
		SKIP(return, "max_user: %s", strerror(errno));
	pid = spawn();
	if (!pid) {
		unsigned char *map;
		size_t size;
		int fd;

		become_user(NOBODY);
		fd = region_create(self->ctl, NULL, MIB + 5, 0600, 0);
		CHILD_CHECK(fd >= 0);
		map = region_map(fd, 3 * MIB);
		CHILD_CHECK(map != MAP_FAILED);
		pattern_fill(map, 0, MIB + 5, 1);
		for (size = 2 * MIB + 1; size < 64 * MIB; size *= 2) {
			CHILD_CHECK(ftruncate(fd, size) == -1);
			CHILD_CHECK(errno == ENOSPC);
			CHILD_CHECK(region_size(fd) == MIB + 5);
		}
		CHILD_CHECK(pattern_check(map, 0, MIB + 5, 1) == -1);
		CHILD_CHECK(!ftruncate(fd, 2 * MIB));
		CHILD_CHECK(zero_check(map + MIB + 5, MIB - 5) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(0, param_write("max_user", max_user));
}

/*
 * Beside others. The first KEEP bytes always stay and always hold the pattern.
 * Of the rest, every byte is zero or what a writer put there.
 */
#define KEEP	(70 * KIB + 13)
#define MARK	0xa7

static void read_beside(int fd)
{
	unsigned char *buf = malloc(MIB);
	ssize_t got, i;

	CHILD_CHECK(buf);
	for (;;) {
		got = pread(fd, buf, MIB, 0);
		CHILD_CHECK(got >= (ssize_t)KEEP);
		CHILD_CHECK(pattern_check(buf, 0, KEEP, 1) == -1);
		for (i = KEEP; i < got; i++)
			CHILD_CHECK(!buf[i] || buf[i] == MARK);
	}
}

static void write_beside(int fd)
{
	unsigned char *buf = malloc(MIB);
	ssize_t put;

	CHILD_CHECK(buf);
	memset(buf, MARK, MIB);
	pattern_fill(buf, 0, KEEP, 1);
	for (;;) {
		put = pwrite(fd, buf, MIB, 0);
		CHILD_CHECK(put >= (ssize_t)KEEP);
		put = pwrite(fd, buf + KEEP, 3 * page_size(), KEEP);
		CHILD_CHECK(put >= 0 || errno == ENOSPC);
	}
}

/* Touches what may or may not be there, in a mapping. */
static void map_beside(int fd)
{
	size_t page = page_size(), at;
	unsigned int state = getpid();
	unsigned char *map;
	int byte, round;

	for (round = 0; ; round++) {
		map = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE,
			   round % 4 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		CHILD_CHECK(map != MAP_FAILED);
		CHILD_CHECK(pattern_check(map, 0, KEEP, 1) == -1);
		for (at = KEEP; at < 2 * MIB; at += page / 2 +
		     next_random(&state) % (3 * page)) {
			byte = probe_load(map + at);
			CHILD_CHECK(byte == 0 || byte == MARK || byte == -SIGBUS);
			byte = probe_store(map + at, MARK);
			CHILD_CHECK(byte == MARK || byte == -SIGBUS);
		}
		munmap(map, 2 * MIB);
	}
}

/* Pins pages: for as long as a pipe holds them. */
static void pin_beside(int fd)
{
	size_t page = page_size();
	unsigned char *map, *buf = malloc(MIB);
	unsigned int state = getpid();
	struct iovec iov, local;
	ssize_t got, i;
	int pipefd[2];

	CHILD_CHECK(buf && !pipe(pipefd));
	map = region_map(fd, MIB);
	CHILD_CHECK(map != MAP_FAILED);
	for (;;) {
		iov.iov_base = map + next_random(&state) % (MIB / page - 16) * page;
		iov.iov_len = 16 * page;
		got = vmsplice(pipefd[1], &iov, 1, SPLICE_F_NONBLOCK);
		if (got > 0) {
			sleep_ms(next_random(&state) % 3);
			CHILD_CHECK(read(pipefd[0], buf, got) == got);
		}
		/* The kernel's own way to the pages; not every kernel has it. */
		iov.iov_base = map;
		iov.iov_len = MIB;
		local.iov_base = buf;
		local.iov_len = MIB;
		got = process_vm_readv(getpid(), &local, 1, &iov, 1, 0);
		if (got < 0)
			continue;
		CHILD_CHECK(got >= (ssize_t)KEEP);
		CHILD_CHECK(pattern_check(buf, 0, KEEP, 1) == -1);
		for (i = KEEP; i < got; i++)
			CHILD_CHECK(!buf[i] || buf[i] == MARK);
	}
}

/* Lets the disk, here a memfd, write into pages that may have left the region. */
static void dma_beside(int fd)
{
	unsigned char *map, *mark = malloc(MIB);
	struct iovec iov;
	struct ring ring;
	int memfd, i;

	memfd = memfd_create("kst", 0);
	CHILD_CHECK(memfd >= 0 && mark);
	memset(mark, MARK, MIB);
	CHILD_CHECK(write(memfd, mark, MIB) == MIB);
	map = region_map(fd, MIB);
	CHILD_CHECK(map != MAP_FAILED);
	for (;;) {
		if (ring_open(&ring))
			pause();
		iov.iov_base = map + 128 * KIB;
		iov.iov_len = 64 * KIB;
		if (!syscall(__NR_io_uring_register, ring.fd,
			     IORING_REGISTER_BUFFERS, &iov, 1)) {
			for (i = 0; i < 20; i++) {
				ring_do(&ring, IORING_OP_READ_FIXED, 0, memfd,
					iov.iov_base, iov.iov_len, 0);
				sleep_ms(1);
			}
		}
		ring_close(&ring);
	}
}

/* Takes the memory that a shrink has freed, and puts into it what is its own. */
static void reuse_beside(int fd)
{
	int ctl = control_open();
	unsigned char *map;

	CHILD_CHECK(ctl >= 0 && fd >= 0);
	for (;;) {
		fd = region_create(ctl, NULL, 300 * KIB, 0600, 0);
		CHILD_CHECK(fd >= 0);
		map = region_map(fd, 300 * KIB);
		CHILD_CHECK(map != MAP_FAILED);
		CHILD_CHECK(zero_check(map, 300 * KIB) == -1);
		memset(map, 0x33, 300 * KIB);
		munmap(map, 300 * KIB);
		close(fd);
	}
}

TEST_F(resize, beside_others)
{
	static void (* const others[])(int fd) = {
		read_beside, write_beside, map_beside, pin_beside, dma_beside,
		reuse_beside,
	};
	pid_t pids[ARRAY_SIZE(others)];
	unsigned int i, state = 99, rounds = 0;
	size_t size, small, at;
	long long end;
	int status;

	ASSERT_EQ(0, ftruncate(self->fd, KEEP));
	pattern_fill(self->model, 0, KEEP, 1);
	ASSERT_EQ(KEEP, pwrite(self->fd, self->model, KEEP, 0));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		pids[i] = spawn();
		if (!pids[i]) {
			int ctl = control_open();
			int fd = region_open(ctl, NAME, O_RDWR);

			CHILD_CHECK(fd >= 0);
			others[i](fd);
		}
	}
	end = now_ms() + 3000;
	while (now_ms() < end) {
		size = KEEP + next_random(&state) % MIB;
		small = KEEP + next_random(&state) % (size - KEEP + 1);
		if (next_random(&state) % 4 == 0)
			small = KEEP;
		ASSERT_EQ(0, ftruncate(self->fd, size));
		ASSERT_EQ(0, ftruncate(self->fd, small));
		ASSERT_EQ(small, region_size(self->fd));
		ASSERT_EQ(-1, pattern_check(self->map, 0, KEEP, 1));
		rounds++;
	}
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		EXPECT_EQ(0, waitpid(pids[i], &status, WNOHANG))
			TH_LOG("number %u gave up", i);
		child_kill(pids[i]);
	}
	EXPECT_LT(20, rounds);

	/* All alone again: what a grow brings is zero. */
	ASSERT_EQ(0, ftruncate(self->fd, KEEP));
	ASSERT_EQ(0, ftruncate(self->fd, 2 * MIB));
	EXPECT_EQ(-1, pattern_check(self->map, 0, KEEP, 1));
	for (at = KEEP; at < 2 * MIB; at++)
		ASSERT_EQ(0, self->map[at]);
}

/* Where the end is just now makes a difference only between two right answers. */
TEST_F(resize, at_the_moving_end)
{
	size_t low = 3 * self->page + 5, high = low + 20 * self->page;
	long long end = now_ms() + 1500;
	unsigned long reads = 0, writes = 0;
	ssize_t ret;
	pid_t pid;

	ASSERT_EQ(0, ftruncate(self->fd, low));
	pid = spawn();
	if (!pid) {
		int i;

		for (i = 1; ; i++) {
			CHILD_CHECK(!ftruncate(self->fd, high));
			/* Now and then for long enough to be seen. */
			if (i % 16 == 0)
				sleep_ms(1);
			CHILD_CHECK(!ftruncate(self->fd, low));
		}
	}
	memset(self->buf, MARK, high);
	while (now_ms() < end) {
		ret = pwrite(self->fd, self->buf, 2 * self->page, low);
		ASSERT_TRUE(ret > 0 || (ret < 0 && errno == ENOSPC))
			TH_LOG("%zd, errno %d", ret, errno);
		writes += ret > 0;
		ret = pread(self->fd, self->buf, 2 * self->page, low);
		ASSERT_LE(0, ret) TH_LOG("errno %d", errno);
		reads += ret > 0;
		memset(self->buf, MARK, 2 * self->page);
		ret = pread(self->fd, self->buf, high, 0);
		ASSERT_LE((ssize_t)low, ret) TH_LOG("errno %d", errno);
		memset(self->buf, MARK, high);
		ret = pwrite(self->fd, self->buf, 1, low - 1);
		ASSERT_EQ(1, ret) TH_LOG("errno %d", errno);
	}
	EXPECT_LT(0, reads);
	EXPECT_LT(0, writes);
	EXPECT_EQ(-SIGKILL, child_kill(pid));
}

/* Faults that meet a shrink leave no page behind that is past the new end. */
TEST_F(resize, no_page_past_the_end)
{
	size_t low = 3 * self->page, high = 512 * self->page;
	long long end = now_ms() + 1500;
	unsigned int *shared;
	pid_t pids[2];
	int i;

	/* The size is low and stays so while the first word is even. */
	shared = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_EQ(0, ftruncate(self->fd, low));
	for (i = 0; i < 2; i++) {
		pids[i] = spawn();
		if (!pids[i]) {
			unsigned int state = getpid(), phase;
			size_t at;
			int ret;

			for (;;) {
				phase = __atomic_load_n(shared, __ATOMIC_SEQ_CST);
				at = low + next_random(&state) % (high - low);
				if (next_random(&state) % 4 == 0)
					madvise(self->map, high, MADV_DONTNEED);
				ret = probe_load(self->map + at);
				if (phase % 2 ||
				    phase != __atomic_load_n(shared, __ATOMIC_SEQ_CST))
					continue;
				CHILD_CHECK(ret == -SIGBUS);
				__atomic_add_fetch(shared + 1, 1, __ATOMIC_SEQ_CST);
			}
		}
	}
	while (now_ms() < end) {
		__atomic_add_fetch(shared, 1, __ATOMIC_SEQ_CST);
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, ftruncate(self->fd, high));
			ASSERT_EQ(0, ftruncate(self->fd, low));
		}
		__atomic_add_fetch(shared, 1, __ATOMIC_SEQ_CST);
		sleep_ms(1);
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-SIGKILL, child_kill(pids[i]));
	EXPECT_LT(0, shared[1]);
}

/* A pinned page that a shrink has cut off is no way back into the region. */
TEST_F(resize, write_through_stale_pin)
{
	static const size_t cuts[] = { 0, 1, 4096, 65536, 65537, 100000, 131072 };
	size_t len = 64 * KIB, at = 128 * KIB, full = 2 * MIB;
	struct iovec iov = { self->map + at, len };
	struct ring ring;
	unsigned int i;
	int memfd;

	memfd = memfd_create("kst", 0);
	ASSERT_LE(0, memfd);
	memset(self->buf, 0xd1, len);
	ASSERT_EQ(len, pwrite(memfd, self->buf, len, 0));
	for (i = 0; i < ARRAY_SIZE(cuts); i++) {
		ASSERT_EQ(0, ftruncate(self->fd, full));
		pattern_fill(self->map, 0, full, i);
		if (ring_open(&ring))
			SKIP(return, "io_uring: %s", strerror(errno));
		if (syscall(__NR_io_uring_register, ring.fd,
			    IORING_REGISTER_BUFFERS, &iov, 1) < 0)
			SKIP(return, "no fixed buffers: %s", strerror(errno));
		ASSERT_EQ(0, ftruncate(self->fd, cuts[i]));
		/* The pin's memory is still there to be written. */
		EXPECT_EQ(len, ring_do(&ring, IORING_OP_READ_FIXED, 0, memfd,
				       self->map + at, len, 0));
		ASSERT_EQ(0, ftruncate(self->fd, full));
		EXPECT_EQ(-1, pattern_check(self->map, 0, cuts[i], i));
		EXPECT_EQ(-1, zero_check(self->map + cuts[i], full - cuts[i]))
			TH_LOG("cut at %zu", cuts[i]);
		ring_close(&ring);
		ASSERT_EQ(0, ftruncate(self->fd, 0));
	}
	close(memfd);
}

/* The same through a pipe, for what is read: it stays what it was or is zero. */
TEST_F(resize, read_through_stale_pin)
{
	size_t len = 8 * self->page, at = 32 * self->page, i;
	struct iovec iov = { self->map + at, len };
	int pipefd[2];

	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ(0, ftruncate(self->fd, 64 * self->page));
	pattern_fill(self->map, 0, 64 * self->page, 1);
	ASSERT_EQ(len, vmsplice(pipefd[1], &iov, 1, SPLICE_F_NONBLOCK));
	ASSERT_EQ(0, ftruncate(self->fd, 33 * self->page + 7));
	/* The next owner of the memory leaves no trace in it. */
	ASSERT_EQ(0, ftruncate(self->fd, 64 * self->page));
	memset(self->map + 34 * self->page, 0xee, 30 * self->page);
	ASSERT_EQ(len, read(pipefd[0], self->buf, len));
	EXPECT_EQ(-1, pattern_check(self->buf, at, self->page + 7, 1));
	for (i = self->page + 7; i < len; i++)
		EXPECT_TRUE(!self->buf[i] || self->buf[i] == 0xee ||
			    self->buf[i] == pattern_at(at + i, 1));
	close(pipefd[1]);
	close(pipefd[0]);
}

TEST_HARNESS_MAIN
