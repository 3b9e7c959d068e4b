// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of mappings of shm_kernel's regions: whatever may be done to a
 * mapping, it shows the region's memory or raises SIGBUS, nothing else
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <sys/uio.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define NAME "kst-map"

FIXTURE(map) {
	int ctl;
	int fd;
	size_t page;
	size_t size;
	unsigned char *map;
	struct stats stats;
};

FIXTURE_VARIANT(map) {
	size_t size;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(map, small_1m) {
	.size = MIB, .flags = SHM_KERNEL_CREATE_SMALL,
};

FIXTURE_VARIANT_ADD(map, default_1m) { .size = MIB };

FIXTURE_VARIANT_ADD(map, huge_6m) { .size = 6 * MIB };

FIXTURE_VARIANT_ADD(map, contig_1m) {
	.size = MIB, .flags = SHM_KERNEL_CREATE_CONTIG,
};

/* The region is filled with the pattern of seed 1 and mapped. */
FIXTURE_SETUP(map)
{
	self->page = page_size();
	self->size = variant->size;
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	stats_read(&self->stats);
	self->fd = region_create(self->ctl, NAME, self->size, 0600,
				 variant->flags);
	ASSERT_LE(0, self->fd) TH_LOG("errno %d", errno);
	self->map = region_map(self->fd, self->size);
	ASSERT_NE(MAP_FAILED, self->map);
	pattern_fill(self->map, 0, self->size, 1);
}

FIXTURE_TEARDOWN(map)
{
	munmap(self->map, self->size);
	close(self->fd);
	/* Whatever was done to it, it must be gone. */
	EXPECT_TRUE(stats_return_to(&self->stats));
	close(self->ctl);
}

/* What the kernel's own path to the memory sees. */
static ssize_t check_by_read(int fd, size_t size, unsigned int seed)
{
	ssize_t bad, got;
	size_t done;
	char *buf;

	buf = malloc(256 * KIB);
	if (!buf)
		return -2;
	for (done = 0; done < size; done += got) {
		got = pread(fd, buf, 256 * KIB, done);
		if (got <= 0) {
			bad = -2;
			goto out;
		}
		bad = pattern_check(buf, done, got, seed);
		if (bad >= 0)
			goto out;
	}
	bad = -1;
out:
	free(buf);
	return bad;
}

/* The mapping and the file still are one memory. */
static void check_coherent(struct __test_metadata *_metadata, int fd,
			   unsigned char *map, size_t size)
{
	size_t at[] = { 0, size / 2 + 123, size - 1 };
	unsigned char byte;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		map[at[i]] ^= 0xff;
		EXPECT_EQ(1, pread(fd, &byte, 1, at[i]));
		EXPECT_EQ(map[at[i]], byte);
		byte ^= 0xff;
		EXPECT_EQ(1, pwrite(fd, &byte, 1, at[i]));
		EXPECT_EQ(byte, map[at[i]]);
	}
	EXPECT_EQ(-1, pattern_check(map, 0, size, 1));
}

TEST_F(map, load_store_between_processes)
{
	pid_t pid;

	pid = spawn();
	if (!pid) {
		unsigned char *map;
		int ctl, fd;

		ctl = control_open();
		fd = region_open(ctl, NAME, O_RDWR);
		CHILD_CHECK(fd >= 0);
		map = region_map(fd, self->size);
		CHILD_CHECK(map != MAP_FAILED && map != self->map);
		CHILD_CHECK(pattern_check(map, 0, self->size, 1) == -1);
		pattern_fill(map, 0, self->size, 2);
		CHILD_CHECK(pattern_check(self->map, 0, self->size, 2) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 2));
	EXPECT_EQ(-1, check_by_read(self->fd, self->size, 2));
}

TEST_F(map, new_region_is_zero)
{
	unsigned char *map;
	int fd, i;

	/* Memory that was just given back is likely to be had again. */
	for (i = 0; i < 8; i++) {
		fd = region_create(self->ctl, NULL, self->size, 0600,
				   variant->flags);
		ASSERT_LE(0, fd);
		map = region_map(fd, self->size);
		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(-1, zero_check(map, self->size));
		memset(map, 0xa5, self->size);
		munmap(map, self->size);
		close(fd);
	}
}

TEST_F(map, offsets)
{
	size_t at[] = { self->page, self->size / 2, self->size - self->page };
	unsigned char *map;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		map = mmap(NULL, self->size - at[i], PROT_READ | PROT_WRITE,
			   MAP_SHARED, self->fd, at[i]);
		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(-1, pattern_check(map, at[i], self->size - at[i], 1));
		map[5] ^= 0xff;
		EXPECT_EQ(map[5], self->map[at[i] + 5]);
		map[5] ^= 0xff;
		munmap(map, self->size - at[i]);
	}
}

TEST_F(map, fork)
{
	pid_t pid;

	pid = spawn();
	if (!pid) {
		CHILD_CHECK(pattern_check(self->map, 0, self->size, 1) == -1);
		pattern_fill(self->map, 0, self->size, 3);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 3));
}

TEST_F(map, private_copy_on_write)
{
	unsigned char *map;
	pid_t pid;

	map = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		   self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, pattern_check(map, 0, self->size, 1));
	map[0] ^= 0xff;
	map[self->size - 1] ^= 0xff;
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 1));
	EXPECT_EQ(-1, check_by_read(self->fd, self->size, 1));
	/* Pages that were not written still are the region's. */
	self->map[self->page] ^= 0xff;
	EXPECT_EQ(self->map[self->page], map[self->page]);
	self->map[self->page] ^= 0xff;

	/* A child has its own copy of the copy. */
	pid = spawn();
	if (!pid) {
		CHILD_CHECK(map[0] == (self->map[0] ^ 0xff));
		map[0] = 0;
		map[self->page] ^= 0xff;
		CHILD_CHECK(pattern_check(self->map, 0, self->size, 1) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(self->map[0] ^ 0xff, map[0]);
	EXPECT_EQ(self->map[self->page], map[self->page]);
	/* Given up, it shows the region again. */
	EXPECT_EQ(0, madvise(map, self->page, MADV_DONTNEED));
	EXPECT_EQ(self->map[0], map[0]);
	munmap(map, self->size);
}

TEST_F(map, mprotect)
{
	unsigned char *at = self->map + self->size / 2;

	EXPECT_EQ(0, mprotect(at, self->page, PROT_READ));
	EXPECT_LE(0, probe_load(at));
	EXPECT_EQ(-SIGSEGV, probe_store(at, 1));
	EXPECT_EQ(0, mprotect(at, self->page, PROT_NONE));
	EXPECT_EQ(-SIGSEGV, probe_load(at));
	EXPECT_EQ(0, mprotect(at, self->page, PROT_READ | PROT_WRITE));
	check_coherent(_metadata, self->fd, self->map, self->size);
}

TEST_F(map, read_only_file)
{
	unsigned char *map, *bigger;
	int fd;

	fd = region_open(self->ctl, NAME, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->size, PROT_READ | PROT_WRITE,
				   MAP_SHARED, fd, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->size, PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_EQ(EACCES, errno);

	map = mmap(NULL, self->size / 2, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, pattern_check(map, 0, self->size / 2, 1));
	EXPECT_EQ(-1, mprotect(map, self->page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	bigger = mremap(map, self->size / 2, self->size, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, bigger);
	EXPECT_EQ(-1, mprotect(bigger, self->size, PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-SIGSEGV, probe_store(bigger, 1));
	munmap(bigger, self->size);

	/* A private copy may be written: that is no access to the region. */
	map = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	map[0] ^= 0xff;
	munmap(map, self->size);
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 1));
	close(fd);
}

TEST_F(map, no_exec)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ | PROT_EXEC,
				   MAP_SHARED, self->fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, mprotect(self->map, self->page, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
}

TEST_F(map, mremap)
{
	unsigned char *map, *moved, *copy;
	size_t half = self->size / 2;

	map = region_map(self->fd, half);
	ASSERT_NE(MAP_FAILED, map);
	map = mremap(map, half, self->size, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, pattern_check(map, 0, self->size, 1));
	map = mremap(map, self->size, half, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, pattern_check(map, 0, half, 1));

	/* Moved to a fixed place, one page, from the middle. */
	copy = mmap(NULL, self->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	ASSERT_NE(MAP_FAILED, copy);
	moved = mremap(map + self->page, self->page, self->page,
		       MREMAP_MAYMOVE | MREMAP_FIXED, copy);
	ASSERT_EQ(copy, moved);
	EXPECT_EQ(-1, pattern_check(moved, self->page, self->page, 1));
	EXPECT_EQ(-SIGSEGV, probe_load(map + self->page));
	munmap(moved, self->page);

	/* An old length of 0 makes a second mapping of the same. */
	copy = mremap(self->map, 0, self->size, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, copy);
	ASSERT_NE(self->map, copy);
	copy[half] ^= 0xff;
	EXPECT_EQ(copy[half], self->map[half]);
	copy[half] ^= 0xff;
	EXPECT_EQ(-1, pattern_check(copy, 0, self->size, 1));
	munmap(copy, self->size);
	munmap(map, half);
	check_coherent(_metadata, self->fd, self->map, self->size);
}

TEST_F(map, past_the_end)
{
	unsigned char *map;
	size_t at;

	map = region_map(self->fd, self->size);
	ASSERT_NE(MAP_FAILED, map);
	map = mremap(map, self->size, 3 * self->size, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, pattern_check(map, 0, self->size, 1));
	for (at = self->size; at < 3 * self->size; at += 37 * self->page) {
		EXPECT_EQ(-SIGBUS, probe_load(map + at));
		EXPECT_EQ(-SIGBUS, probe_store(map + at + 1, 1));
	}
	EXPECT_EQ(-SIGBUS, probe_load(map + 3 * self->size - 1));
	/* The kernel's own access to it is an error, no signal. */
	EXPECT_EQ(-1, pwrite(self->fd, map + self->size, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	munmap(map, 3 * self->size);
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 1));
}

TEST_F(map, partial_unmap)
{
	unsigned char *map;
	size_t at;

	map = region_map(self->fd, self->size);
	ASSERT_NE(MAP_FAILED, map);
	for (at = self->page; at < self->size; at += 5 * self->page)
		ASSERT_EQ(0, munmap(map + at, self->page));
	EXPECT_EQ(-1, pattern_check(map, 0, self->page, 1));
	EXPECT_EQ(-SIGSEGV, probe_load(map + self->page));
	EXPECT_EQ(-1, pattern_check(map + 2 * self->page, 2 * self->page,
				    4 * self->page, 1));
	munmap(map, self->size);
	check_coherent(_metadata, self->fd, self->map, self->size);
}

TEST_F(map, madvise)
{
	/* The pages' last user or not, they are the region's: never lost. */
	static const struct {
		const char *name;
		int advice;
		int error;
	} cases[] = {
		{ "NORMAL", MADV_NORMAL, 0 },
		{ "RANDOM", MADV_RANDOM, 0 },
		{ "SEQUENTIAL", MADV_SEQUENTIAL, 0 },
		{ "WILLNEED", MADV_WILLNEED, 0 },
		{ "DONTNEED", MADV_DONTNEED, 0 },
		{ "COLD", MADV_COLD, 0 },
		{ "PAGEOUT", MADV_PAGEOUT, 0 },
		{ "POPULATE_READ", MADV_POPULATE_READ, 0 },
		{ "POPULATE_WRITE", MADV_POPULATE_WRITE, 0 },
		{ "FREE", MADV_FREE, EINVAL },
		{ "REMOVE", MADV_REMOVE, EOPNOTSUPP },
		/* Kernels without huge pages know no such advice. */
		{ "HUGEPAGE", MADV_HUGEPAGE, -EINVAL },
		{ "COLLAPSE", MADV_COLLAPSE, -EINVAL },
		{ "NOHUGEPAGE", MADV_NOHUGEPAGE, -EINVAL },
	};
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		errno = 0;
		ret = madvise(self->map, self->size, cases[i].advice);
		if (cases[i].error > 0) {
			EXPECT_EQ(-1, ret) TH_LOG("%s", cases[i].name);
			EXPECT_EQ(cases[i].error, errno) TH_LOG("%s", cases[i].name);
		} else if (!cases[i].error) {
			EXPECT_EQ(0, ret)
				TH_LOG("%s: errno %d", cases[i].name, errno);
		} else if (ret) {
			EXPECT_EQ(-cases[i].error, errno)
				TH_LOG("%s", cases[i].name);
		}
		EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 1))
			TH_LOG("%s", cases[i].name);
		/* The same for a part that is no whole folio. */
		madvise(self->map + self->page, 3 * self->page, cases[i].advice);
		check_coherent(_metadata, self->fd, self->map, self->size);
	}
	EXPECT_EQ(-1, check_by_read(self->fd, self->size, 1));
}

TEST_F(map, madvise_dontfork)
{
	pid_t pid;

	ASSERT_EQ(0, madvise(self->map, self->page, MADV_DONTFORK));
	pid = spawn();
	if (!pid) {
		CHILD_CHECK(probe_load(self->map) == -SIGSEGV);
		CHILD_CHECK(probe_load(self->map + self->page) >= 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	ASSERT_EQ(0, madvise(self->map, self->page, MADV_DOFORK));
	pid = spawn();
	if (!pid) {
		CHILD_CHECK(pattern_check(self->map, 0, self->size, 1) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
}

TEST_F(map, populate)
{
	unsigned char *map;

	map = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, pattern_check(map, 0, self->size, 1));
	munmap(map, self->size);

	/* Past the end there is nothing to populate with. */
	map = region_map(self->fd, 2 * self->size);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, madvise(map, self->size, MADV_POPULATE_WRITE));
	EXPECT_EQ(-1, madvise(map + self->size, self->page, MADV_POPULATE_READ));
	EXPECT_EQ(EFAULT, errno);
	munmap(map, 2 * self->size);
	check_coherent(_metadata, self->fd, self->map, self->size);
}

TEST_F(map, mlock_mincore)
{
	unsigned char vec[6 * MIB / 4096], *map;
	size_t i;

	EXPECT_EQ(0, mlock(self->map, self->size));
	EXPECT_EQ(0, mincore(self->map, self->size, vec));
	for (i = 0; i < self->size / self->page; i++)
		EXPECT_EQ(1, vec[i] & 1);
	EXPECT_EQ(0, munlock(self->map, self->size));
	EXPECT_EQ(0, mlock2(self->map, self->size, MLOCK_ONFAULT));
	EXPECT_EQ(0, munlock(self->map + self->page, self->page));
	EXPECT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
	map = region_map(self->fd, self->size);
	EXPECT_NE(MAP_FAILED, map);
	munmap(map, self->size);
	EXPECT_EQ(0, munlockall());
	/* Unlocked and not mapped, the memory still is unevictable. */
	EXPECT_EQ(0, madvise(self->map, self->size, MADV_DONTNEED));
	EXPECT_EQ(0, mincore(self->map, self->size, vec));
	for (i = 0; i < self->size / self->page; i++)
		EXPECT_EQ(1, vec[i] & 1);
	check_coherent(_metadata, self->fd, self->map, self->size);
}

static int write_file(const char *path, const char *text)
{
	int fd, ret;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = write(fd, text, strlen(text));
	close(fd);
	return ret < 0 ? -1 : 0;
}

TEST_F(map, drop_caches)
{
	int i;

	for (i = 0; i < 3; i++) {
		if (write_file("/proc/sys/vm/drop_caches", "3"))
			SKIP(return, "drop_caches: %s", strerror(errno));
		EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 1));
		EXPECT_EQ(-1, check_by_read(self->fd, self->size, 1));
	}
	EXPECT_EQ(0, posix_fadvise(self->fd, 0, self->size, POSIX_FADV_DONTNEED));
	EXPECT_EQ(0, posix_fadvise(self->fd, 0, self->size, POSIX_FADV_WILLNEED));
	EXPECT_GE(0, readahead(self->fd, 0, self->size));
	sync();
	check_coherent(_metadata, self->fd, self->map, self->size);
}

TEST_F(map, compact_memory)
{
	int i;

	for (i = 0; i < 3; i++) {
		if (write_file("/proc/sys/vm/compact_memory", "1"))
			SKIP(return, "compact_memory: %s", strerror(errno));
		check_coherent(_metadata, self->fd, self->map, self->size);
	}
}

TEST_F(map, smaps)
{
	char line[512];
	long rss, pss;

	ASSERT_TRUE(maps_line(self->map, line, sizeof(line)));
	EXPECT_NE(NULL, strstr(line, NAME)) TH_LOG("%s", line);
	EXPECT_NE(NULL, strstr(line, "rw-s")) TH_LOG("%s", line);
	rss = smaps_kib(self->map, "Rss");
	if (rss < 0)
		SKIP(return, "no /proc/self/smaps");
	EXPECT_EQ(self->size / KIB, rss);
	pss = smaps_kib(self->map, "Pss");
	EXPECT_EQ(self->size / KIB, pss);
	EXPECT_EQ(0, madvise(self->map, self->size, MADV_DONTNEED));
	EXPECT_EQ(0, smaps_kib(self->map, "Rss"));
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 1));
	EXPECT_EQ(self->size / KIB, smaps_kib(self->map, "Rss"));
}

/* A name is hostile text: it cannot make up lines of its own. */
TEST_F(map, hostile_name_in_maps)
{
	static const char name[] = "kst\n00400000-00500000 rwxp evil\r\033[2J\\";
	char line[512], *p;
	unsigned char *map;
	FILE *file;
	int fd;

	fd = region_create(self->ctl, name, self->page, 0600, 0);
	ASSERT_LE(0, fd);
	map = region_map(fd, self->page);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_TRUE(maps_line(map, line, sizeof(line)));
	EXPECT_NE(NULL, strstr(line, "kst\\012"));
	file = fopen("/proc/self/maps", "re");
	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file))
		EXPECT_NE(0, strncmp(line, "00400000-00500000", 17));
	fclose(file);

	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", fd);
	file = fopen(line, "re");
	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file)) {
		EXPECT_NE(0, strncmp(line, "00400000-00500000", 17));
		for (p = line; *p && *p != '\n'; p++)
			EXPECT_TRUE(*p == '\t' || (*p >= ' ' && *p <= '~'))
				TH_LOG("byte %#x", *p);
	}
	fclose(file);
	munmap(map, self->page);
	close(fd);
}

TEST_F(map, process_vm)
{
	struct iovec local, remote;
	unsigned char *buf;
	pid_t pid;

	if (process_vm_readv(getpid(), NULL, 0, NULL, 0, 0))
		SKIP(return, "process_vm_readv(): %s", strerror(errno));
	buf = malloc(self->size);
	ASSERT_NE(NULL, buf);
	pid = spawn();
	if (!pid) {
		for (;;)
			pause();
	}
	local = (struct iovec){ buf, self->size };
	remote = (struct iovec){ self->map, self->size };
	EXPECT_EQ(self->size, process_vm_readv(pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(-1, pattern_check(buf, 0, self->size, 1));
	pattern_fill(buf, 0, self->size, 4);
	EXPECT_EQ(self->size, process_vm_writev(pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 4));
	EXPECT_EQ(-1, check_by_read(self->fd, self->size, 4));
	EXPECT_EQ(-SIGKILL, child_kill(pid));
	free(buf);
}

TEST_F(map, proc_mem)
{
	unsigned char *buf;
	int mem;

	buf = malloc(self->size);
	ASSERT_NE(NULL, buf);
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, mem);
	EXPECT_EQ(self->size, pread(mem, buf, self->size, (uintptr_t)self->map));
	EXPECT_EQ(-1, pattern_check(buf, 0, self->size, 1));
	pattern_fill(buf, 0, self->size, 5);
	EXPECT_EQ(self->size, pwrite(mem, buf, self->size, (uintptr_t)self->map));
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 5));
	EXPECT_EQ(-1, check_by_read(self->fd, self->size, 5));
	close(mem);
	free(buf);
}

/* The disk reads and writes the region's pages themselves. */
TEST_F(map, direct_io)
{
	size_t len = self->size < MIB ? self->size : MIB;
	unsigned char *saved, *buf;
	int disk;

	/* O_EXCL: not a disk that somebody uses. */
	disk = open("/dev/ram0", O_RDWR | O_DIRECT | O_EXCL | O_CLOEXEC);
	if (disk < 0)
		SKIP(return, "/dev/ram0: %s", strerror(errno));
	ASSERT_EQ(0, posix_memalign((void **)&saved, self->page, len));
	ASSERT_EQ(0, posix_memalign((void **)&buf, self->page, len));
	ASSERT_EQ(len, pread(disk, saved, len, 0));

	EXPECT_EQ(len, pwrite(disk, self->map, len, 0));
	EXPECT_EQ(len, pread(disk, buf, len, 0));
	EXPECT_EQ(-1, pattern_check(buf, 0, len, 1));
	pattern_fill(buf, 0, len, 6);
	EXPECT_EQ(len, pwrite(disk, buf, len, 0));
	EXPECT_EQ(len, pread(disk, self->map, len, 0));
	EXPECT_EQ(-1, pattern_check(self->map, 0, len, 6));
	EXPECT_EQ(-1, check_by_read(self->fd, len, 6));

	EXPECT_EQ(len, pwrite(disk, saved, len, 0));
	close(disk);
	free(buf);
	free(saved);
}

/* Pages in a pipe stay what they are when the region is no more. */
TEST_F(map, vmsplice_outlives_region)
{
	size_t len = 16 * self->page;
	struct iovec iov = { self->map + self->size - len, len };
	struct stats with, without;
	unsigned char *buf;
	int pipefd[2];

	buf = malloc(len);
	ASSERT_NE(NULL, buf);
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ(len, vmsplice(pipefd[1], &iov, 1, SPLICE_F_NONBLOCK));
	/* The pipe has the pages, not a copy. */
	iov.iov_base = self->map + self->size - len;
	((unsigned char *)iov.iov_base)[0] ^= 0xff;
	stats_read(&with);
	ASSERT_EQ(0, munmap(self->map, self->size));
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_EQ(ENOENT, name_gone(self->ctl, NAME));
	stats_read(&without);
	EXPECT_EQ(self->stats.regions, without.regions);

	/* Others may have the rest of the memory, and not these pages. */
	self->fd = region_create(self->ctl, NAME, self->size, 0600,
				 variant->flags);
	ASSERT_LE(0, self->fd);
	self->map = region_map(self->fd, self->size);
	ASSERT_NE(MAP_FAILED, self->map);
	memset(self->map, 0xee, self->size);

	EXPECT_EQ(len, read(pipefd[0], buf, len));
	buf[0] ^= 0xff;
	EXPECT_EQ(-1, pattern_check(buf, self->size - len, len, 1));
	close(pipefd[1]);
	close(pipefd[0]);
	free(buf);
}

TEST_F(map, msync_of_parts)
{
	EXPECT_EQ(0, msync(self->map, self->size, MS_SYNC));
	EXPECT_EQ(0, msync(self->map, self->size, MS_ASYNC));
	EXPECT_EQ(0, msync(self->map, self->size, MS_SYNC | MS_INVALIDATE));
	EXPECT_EQ(0, msync(self->map + self->page, self->page, MS_SYNC));
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 1));
}

/* Huge pages of the memory and of the mapping do not go together here. */
TEST_F(map, odd_alignment)
{
	unsigned char *area, *map;
	size_t room = self->size + 4 * MIB;

	area = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	map = (unsigned char *)(((uintptr_t)area + 2 * MIB) & ~(2 * MIB - 1)) +
	      3 * self->page;
	ASSERT_EQ(map, mmap(map, self->size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, self->fd, 0));
	EXPECT_EQ(-1, pattern_check(map, 0, self->size, 1));
	ASSERT_EQ(map, mmap(map, self->size - self->page, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, self->fd, self->page));
	EXPECT_EQ(-1, pattern_check(map, self->page, self->size - self->page, 1));
	map[0] ^= 0xff;
	EXPECT_EQ(map[0], self->map[self->page]);
	map[0] ^= 0xff;
	munmap(area, room);
	check_coherent(_metadata, self->fd, self->map, self->size);
}

TEST_HARNESS_MAIN
