// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of shm_kernel's regions in a memory cgroup: the task that sets a
 * region's size pays for it, and over the limit of its cgroup it gets ENOMEM,
 * as the OOM killer could free nothing in a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <sched.h>
#include <sys/mount.h>
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define GROUP_LIMIT	(16 * MIB)

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t ret;

	if (fd < 0)
		return -1;
	ret = write(fd, text, strlen(text));
	close(fd);
	return ret < 0 ? -1 : 0;
}

/* The number behind @key in a file of "key number" lines, -1 if it has none. */
static long long read_key(const char *path, const char *key)
{
	long long value, found = -1;
	char name[64];
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	while (fscanf(f, "%63s %lld", name, &value) == 2)
		if (!strcmp(name, key))
			found = value;
	fclose(f);
	return found;
}

static long long read_number(const char *path)
{
	long long value = -1;
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	if (fscanf(f, "%lld", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

FIXTURE(memcg) {
	int ctl;
	char group[64];
	char stat[96];
	char current[96];
	char events[96];
	struct stats before;
};

FIXTURE_SETUP(memcg)
{
	char root[] = "/sys/fs/cgroup", path[96], limit[32];

	self->group[0] = '\0';
	/* A mount of our own, where nobody has made one. */
	if (access("/sys/fs/cgroup/cgroup.controllers", R_OK) &&
	    (unshare(CLONE_NEWNS) ||
	     mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	     mount("none", root, "cgroup2", 0, NULL)))
		SKIP(return, "there is no cgroup v2 at %s: %s", root,
		     strerror(errno));
	if (write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory"))
		SKIP(return, "the memory controller cannot be had: %s",
		     strerror(errno));
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	stats_read(&self->before);

	snprintf(self->group, sizeof(self->group), "%s/shm_kernel_%d", root,
		 getpid());
	ASSERT_EQ(0, mkdir(self->group, 0755));
	snprintf(path, sizeof(path), "%s/memory.max", self->group);
	snprintf(limit, sizeof(limit), "%lu", GROUP_LIMIT);
	ASSERT_EQ(0, write_file(path, limit));
	snprintf(self->stat, sizeof(self->stat), "%s/memory.stat", self->group);
	snprintf(self->current, sizeof(self->current), "%s/memory.current",
		 self->group);
	snprintf(self->events, sizeof(self->events), "%s/memory.events",
		 self->group);
}

FIXTURE_TEARDOWN(memcg)
{
	if (self->group[0]) {
		rmdir(self->group);
		close(self->ctl);
	}
}

/* A child in the group, or 0 in the child. */
static pid_t spawn_in(const char *group)
{
	char path[96];
	pid_t pid = spawn();

	if (pid)
		return pid;
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	CHILD_CHECK(!write_file(path, "0"));
	return 0;
}

TEST_F(memcg, creator_pays)
{
	int ready[2], fd;
	long long charged;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(ready));
	pid = spawn_in(self->group);
	if (!pid) {
		fd = region_create(self->ctl, NULL, 8 * MIB, 0600, 0);
		CHILD_CHECK(fd >= 0);
		CHILD_CHECK(write(ready[1], "x", 1) == 1);
		pause();
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	charged = read_number(self->current);
	EXPECT_LE(8LL << 20, charged);
	/* The last few pages of each CPU get to their list later. */
	EXPECT_LE(7LL << 20, read_key(self->stat, "unevictable"));

	/* What goes with its last user is no longer charged. */
	child_kill(pid);
	ASSERT_TRUE(stats_return_to(&self->before));
	for (int i = 0; i < 100 && read_number(self->current) > 4LL << 20; i++)
		sleep_ms(20);
	EXPECT_GE(4LL << 20, read_number(self->current));
	close(ready[0]);
	close(ready[1]);
}

TEST_F(memcg, full_is_enomem)
{
	pid_t pid = spawn_in(self->group);

	if (!pid) {
		struct shm_kernel_info info;
		unsigned char *p;
		int fd;

		CHILD_CHECK(region_create(self->ctl, "memcg", 2 * GROUP_LIMIT,
					  0600, 0) < 0);
		CHILD_CHECK(errno == ENOMEM);
		CHILD_CHECK(region_open(self->ctl, "memcg", O_RDWR) < 0);
		CHILD_CHECK(errno == ENOENT);

		/* A resize over the limit leaves size and content alone. */
		fd = region_create(self->ctl, NULL, 4 * MIB, 0600, 0);
		CHILD_CHECK(fd >= 0);
		p = region_map(fd, 4 * MIB);
		CHILD_CHECK(p != MAP_FAILED);
		pattern_fill(p, 0, 4 * MIB, 7);
		CHILD_CHECK(ftruncate(fd, 2 * GROUP_LIMIT) < 0);
		CHILD_CHECK(errno == ENOMEM);
		CHILD_CHECK(region_size(fd) == 4 * MIB);
		CHILD_CHECK(!region_info(fd, &info));
		CHILD_CHECK(info.allocated == 4 * MIB);
		CHILD_CHECK(pattern_check(p, 0, 4 * MIB, 7) < 0);

		/* And there is still room for what fits. */
		CHILD_CHECK(!ftruncate(fd, 6 * MIB));
		CHILD_CHECK(pattern_check(p, 0, 4 * MIB, 7) < 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(0, read_key(self->events, "oom_kill"));
	EXPECT_TRUE(stats_return_to(&self->before));
}

/* What is cut off is paid for no longer. */
TEST_F(memcg, shrink)
{
	pid_t pid = spawn_in(self->group);

	if (!pid) {
		long long full;
		int fd;

		fd = region_create(self->ctl, NULL, 12 * MIB, 0600, 0);
		CHILD_CHECK(fd >= 0);
		full = read_number(self->current);
		CHILD_CHECK(full >= 12LL << 20);
		CHILD_CHECK(!ftruncate(fd, 0));
		CHILD_CHECK(read_number(self->current) < full - (8LL << 20));
		CHILD_CHECK(!ftruncate(fd, 12 * MIB));
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_TRUE(stats_return_to(&self->before));
}

TEST_F(memcg, small_and_contiguous)
{
	pid_t pid = spawn_in(self->group);

	if (!pid) {
		CHILD_CHECK(region_create(self->ctl, NULL, 2 * GROUP_LIMIT,
					  0600, SHM_KERNEL_CREATE_SMALL) < 0);
		CHILD_CHECK(errno == ENOMEM);
		CHILD_CHECK(region_create(self->ctl, NULL, 2 * GROUP_LIMIT,
					  0600, SHM_KERNEL_CREATE_CONTIG) < 0);
		CHILD_CHECK(errno == ENOMEM);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(0, read_key(self->events, "oom_kill"));
	EXPECT_TRUE(stats_return_to(&self->before));
}

TEST_HARNESS_MAIN
