// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of how long shm_kernel's regions, their names and the module live
 *
 * The last test unloads the module and loads it again. It needs to be told
 * the module's file: SHM_KERNEL_KO=/path/to/shm_kernel_driver.ko
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/uio.h>
#include <linux/futex.h>
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define NAME	"kst-life"
#define MODULE	"shm_kernel_driver"

static bool name_exists(int ctl)
{
	int fd = region_open(ctl, NAME, O_RDONLY);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

FIXTURE(life) {
	int ctl;
	int fd;
	size_t size;
	unsigned char *map;
	struct stats stats;
};

FIXTURE_VARIANT(life) {
	size_t size;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(life, small_64k) {
	.size = 64 * KIB, .flags = SHM_KERNEL_CREATE_SMALL,
};

FIXTURE_VARIANT_ADD(life, huge_6m) { .size = 6 * MIB };

FIXTURE_VARIANT_ADD(life, contig_64k) {
	.size = 64 * KIB, .flags = SHM_KERNEL_CREATE_CONTIG,
};

FIXTURE_SETUP(life)
{
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

FIXTURE_TEARDOWN(life)
{
	if (self->map)
		munmap(self->map, self->size);
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_FALSE(name_exists(self->ctl));
	EXPECT_TRUE(stats_return_to(&self->stats));
	close(self->ctl);
}

TEST_F(life, closed_while_mapped)
{
	int other;

	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 1));
	/* The mapping keeps the name, too. */
	other = region_open(self->ctl, NAME, O_RDWR);
	ASSERT_LE(0, other);
	self->map[5] = 0;
	EXPECT_EQ(1, pwrite(other, "z", 1, 5));
	EXPECT_EQ('z', self->map[5]);
	close(other);
	EXPECT_TRUE(name_exists(self->ctl));

	/* A part of it does. */
	ASSERT_EQ(0, munmap(self->map, self->size - page_size()));
	EXPECT_TRUE(name_exists(self->ctl));
	ASSERT_EQ(0, munmap(self->map, self->size));
	self->map = NULL;
	EXPECT_FALSE(name_exists(self->ctl));
	EXPECT_EQ(ENOENT, errno);
}

TEST_F(life, removed_while_mapped)
{
	unsigned char *other;
	pid_t pid;
	int fd;

	pid = spawn();
	if (!pid) {
		int ctl = control_open();

		fd = region_open(ctl, NAME, O_RDWR);
		CHILD_CHECK(fd >= 0);
		other = region_map(fd, self->size);
		CHILD_CHECK(other != MAP_FAILED);
		close(fd);
		close(ctl);
		munmap(self->map, self->size);
		close(self->fd);
		raise(SIGSTOP);
		CHILD_CHECK(pattern_check(other, 0, self->size, 2) == -1);
		pattern_fill(other, 0, self->size, 3);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, NULL, WUNTRACED));
	EXPECT_EQ(0, region_remove(self->ctl, NAME));
	EXPECT_FALSE(name_exists(self->ctl));
	ASSERT_EQ(0, close(self->fd));

	/* The name may be another region's, which has other memory. */
	self->fd = region_create(self->ctl, NAME, self->size, 0600,
				 variant->flags);
	ASSERT_LE(0, self->fd);
	other = region_map(self->fd, self->size);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_EQ(-1, zero_check(other, self->size));
	memset(other, 0xff, self->size);
	munmap(other, self->size);

	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 1));
	pattern_fill(self->map, 0, self->size, 2);
	kill(pid, SIGCONT);
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 3));
}

TEST_F(life, last_close_frees_the_name_at_once)
{
	int i, copy;

	munmap(self->map, self->size);
	self->map = NULL;
	copy = dup(self->fd);
	close(self->fd);
	EXPECT_TRUE(name_exists(self->ctl));
	close(copy);
	for (i = 0; i < 50; i++) {
		self->fd = region_create(self->ctl, NAME, self->size, 0600,
					 variant->flags);
		ASSERT_LE(0, self->fd) TH_LOG("round %d: errno %d", i, errno);
		ASSERT_EQ(0, close(self->fd));
		ASSERT_FALSE(name_exists(self->ctl));
	}
	self->fd = -1;
}

TEST_F(life, child_keeps_the_name)
{
	pid_t pid;

	pid = spawn();
	if (!pid) {
		for (;;)
			pause();
	}
	munmap(self->map, self->size);
	self->map = NULL;
	close(self->fd);
	self->fd = -1;
	EXPECT_TRUE(name_exists(self->ctl));
	EXPECT_EQ(-SIGKILL, child_kill(pid));
	EXPECT_EQ(ENOENT, name_gone(self->ctl, NAME));
}

TEST_F(life, killed_creator)
{
	pid_t pid;
	int i;

	munmap(self->map, self->size);
	self->map = NULL;
	close(self->fd);
	self->fd = -1;
	for (i = 0; i < 10; i++) {
		pid = spawn();
		if (!pid) {
			int fd = region_create(self->ctl, NAME, self->size, 0600,
					       variant->flags);

			CHILD_CHECK(fd >= 0);
			CHILD_CHECK(region_map(fd, self->size) != MAP_FAILED);
			if (i & 1)
				close(fd);
			raise(SIGKILL);
		}
		EXPECT_EQ(-SIGKILL, child_result(pid));
		ASSERT_EQ(ENOENT, name_gone(self->ctl, NAME));
	}
}

static int send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -1;
}

TEST_F(life, socket_keeps_the_name)
{
	int sock[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	ASSERT_EQ(0, send_fd(sock[0], self->fd));
	munmap(self->map, self->size);
	self->map = NULL;
	close(self->fd);
	self->fd = -1;
	EXPECT_TRUE(name_exists(self->ctl));
	close(sock[0]);
	EXPECT_TRUE(name_exists(self->ctl));
	close(sock[1]);
	EXPECT_EQ(ENOENT, name_gone(self->ctl, NAME));
}

/* A socket that is in its own queue is only found by the garbage collector. */
TEST_F(life, socket_in_flight_with_itself)
{
	int sock[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	ASSERT_EQ(0, send_fd(sock[0], self->fd));
	ASSERT_EQ(0, send_fd(sock[0], sock[0]));
	ASSERT_EQ(0, send_fd(sock[0], sock[1]));
	munmap(self->map, self->size);
	self->map = NULL;
	close(self->fd);
	self->fd = -1;
	close(sock[0]);
	close(sock[1]);
	/* The collector runs when any other socket is closed. */
	close(socket(AF_UNIX, SOCK_STREAM, 0));
	EXPECT_EQ(ENOENT, name_gone(self->ctl, NAME));
}

TEST_F(life, io_uring_keeps_the_name)
{
	struct ring ring;

	if (ring_open(&ring))
		SKIP(return, "io_uring: %s", strerror(errno));
	ASSERT_EQ(0, syscall(__NR_io_uring_register, ring.fd,
			     IORING_REGISTER_FILES, &self->fd, 1));
	munmap(self->map, self->size);
	self->map = NULL;
	close(self->fd);
	self->fd = -1;
	EXPECT_TRUE(name_exists(self->ctl));
	ring_close(&ring);
	EXPECT_EQ(ENOENT, name_gone(self->ctl, NAME));
}

TEST_F(life, persist)
{
	struct shm_kernel_info info;
	unsigned char byte = 0;
	int fd;

	/* Not before it has a name. */
	fd = region_create(self->ctl, NULL, self->size, 0600,
			   variant->flags | SHM_KERNEL_CREATE_PERSIST);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, region_remove(self->ctl, NAME));

	fd = region_create(self->ctl, NULL, self->size, 0600,
			   variant->flags | SHM_KERNEL_CREATE_PERSIST);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pwrite(fd, "p", 1, self->size - 1));
	ASSERT_EQ(0, region_bind(fd, NAME));
	close(fd);
	fd = region_open(self->ctl, NAME, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(self->size, region_size(fd));
	EXPECT_EQ(1, pread(fd, &byte, 1, self->size - 1));
	EXPECT_EQ('p', byte);
	/* What keeps it is no open file. */
	ASSERT_EQ(0, region_info(fd, &info));
	EXPECT_EQ(1, info.files);
	EXPECT_NE(0, info.flags & SHM_KERNEL_INFO_PERSIST);
	close(fd);
	EXPECT_TRUE(name_exists(self->ctl));
	EXPECT_EQ(0, region_remove(self->ctl, NAME));
	EXPECT_FALSE(name_exists(self->ctl));

	/* Removed, it is as any other: it goes with its last file. */
	fd = region_create(self->ctl, NAME, self->size, 0600,
			   variant->flags | SHM_KERNEL_CREATE_PERSIST);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, region_remove(self->ctl, NAME));
	EXPECT_EQ(0, pread(fd, &byte, 1, self->size));
	close(fd);
}

TEST_F(life, persist_without_its_creator)
{
	pid_t pid;
	int fd;

	ASSERT_EQ(0, region_remove(self->ctl, NAME));
	pid = spawn();
	if (!pid) {
		CHILD_CHECK(region_create(self->ctl, NAME, self->size, 0600,
					  variant->flags |
					  SHM_KERNEL_CREATE_PERSIST) >= 0);
		raise(SIGKILL);
	}
	EXPECT_EQ(-SIGKILL, child_result(pid));
	fd = region_open(self->ctl, NAME, O_RDWR);
	EXPECT_LE(0, fd);
	close(fd);
	EXPECT_EQ(0, region_remove(self->ctl, NAME));
}

/* What is left of a revoked region, for whoever has it open or mapped. */
TEST_F(life, revoke)
{
	struct shm_kernel_info info;
	unsigned char *copy, byte;
	struct stats stats;
	char path[64];
	int fd, other;
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	copy = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		    self->fd, 0);
	ASSERT_NE(MAP_FAILED, copy);
	copy[0] = 0x71;
	copy[self->size - 1] = 0x72;
	EXPECT_LE(0, probe_load(copy + page_size()));
	other = region_open(self->ctl, NAME, O_RDONLY);
	ASSERT_LE(0, other);
	pid = spawn();
	if (!pid) {
		CHILD_CHECK(probe_load(self->map) >= 0);
		raise(SIGSTOP);
		CHILD_CHECK(probe_load(self->map) == -SIGBUS);
		CHILD_CHECK(probe_store(self->map + self->size - 1, 1) == -SIGBUS);
		CHILD_CHECK(probe_load(copy) == 0x71);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, NULL, WUNTRACED));

	/* Any file of the region will do, one that is read-only, too. */
	EXPECT_EQ(0, region_revoke(other));
	kill(pid, SIGCONT);
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(-SIGBUS, probe_load(self->map));
	EXPECT_EQ(-SIGBUS, probe_store(self->map + self->size / 2, 1));
	EXPECT_EQ(0x71, probe_load(copy));
	EXPECT_EQ(0x72, probe_load(copy + self->size - 1));
	EXPECT_EQ(-SIGBUS, probe_load(copy + page_size()));
	EXPECT_EQ(0, region_size(self->fd));

	EXPECT_EQ(-1, pread(self->fd, &byte, 1, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, pwrite(self->fd, &byte, 1, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, pread(self->fd, &byte, 1, self->size));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, self->size));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, region_clear(self->fd));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, region_reset(self->fd));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, region_bind(self->fd, NAME));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, region_revoke(self->fd));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, open(path, O_RDWR));
	EXPECT_EQ(ENODEV, errno);
	/* GET_INFO is how one may learn of it. */
	ASSERT_EQ(0, region_info(self->fd, &info));
	EXPECT_EQ(variant->flags | SHM_KERNEL_INFO_REVOKED |
		  SHM_KERNEL_INFO_REMOVED, info.flags);
	EXPECT_EQ(0, info.length);
	EXPECT_EQ(0, info.allocated);
	EXPECT_EQ(0, info.capabilities & SHM_KERNEL_CAP_RESIZE);

	/* The memory is free, and so is the name. */
	if (!stats_read(&stats))
		EXPECT_EQ(self->stats.pages, stats.pages);
	EXPECT_FALSE(name_exists(self->ctl));
	fd = region_create(self->ctl, NAME, self->size, 0600, variant->flags);
	EXPECT_LE(0, fd);
	EXPECT_EQ(-SIGBUS, probe_load(self->map));
	close(fd);
	close(other);
	munmap(copy, self->size);
}

TEST_F(life, revoke_unnamed_and_persistent)
{
	struct stats before;
	int fd;

	stats_read(&before);
	fd = region_create(self->ctl, NULL, self->size, 0600, variant->flags);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, region_revoke(fd));
	EXPECT_EQ(-1, region_bind(fd, "kst-life-late"));
	EXPECT_EQ(ENODEV, errno);
	close(fd);
	fd = region_create(self->ctl, "kst-life-persist", self->size, 0600,
			   variant->flags | SHM_KERNEL_CREATE_PERSIST);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, region_revoke(fd));
	EXPECT_EQ(-1, region_remove(self->ctl, "kst-life-persist"));
	EXPECT_EQ(ENOENT, errno);
	close(fd);
	EXPECT_TRUE(stats_return_to(&before));
}

/* Pins and waiters outlast a revoke: they are no way back into the region. */
TEST_F(life, revoke_pinned_and_waited_for)
{
	size_t len = 4 * page_size();
	struct iovec iov = { self->map, len };
	struct timespec timeout = { 0, 300000000 };
	unsigned char buf[4 * 4096];
	int pipefd[2];
	pid_t pid;

	if (len > sizeof(buf))
		SKIP(return, "large pages");
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ(len, vmsplice(pipefd[1], &iov, 1, SPLICE_F_NONBLOCK));
	pid = spawn();
	if (!pid) {
		__u32 *word = (__u32 *)(self->map + 64);

		CHILD_CHECK(syscall(SYS_futex, word, FUTEX_WAIT, *word, &timeout,
				    NULL, 0) == -1);
		CHILD_CHECK(errno == ETIMEDOUT);
		CHILD_CHECK(syscall(SYS_futex, word, FUTEX_WAIT, 0, &timeout,
				    NULL, 0) == -1);
		CHILD_CHECK(errno == EFAULT);
		_exit(0);
	}
	wait_asleep(pid);
	EXPECT_EQ(0, region_revoke(self->fd));
	EXPECT_EQ(len, read(pipefd[0], buf, len));
	EXPECT_EQ(-1, pattern_check(buf, 0, len, 1));
	EXPECT_EQ(0, child_result(pid));
	close(pipefd[1]);
	close(pipefd[0]);
}

static int module_remove(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK);
}

TEST_F(life, module_stays)
{
	char path[64];
	int sock[2];

	/* A built-in driver has no such file. */
	if (access("/sys/module/" MODULE "/initstate", F_OK))
		SKIP(return, "the driver is no module");

	EXPECT_EQ(-1, module_remove());
	EXPECT_EQ(EWOULDBLOCK, errno);
	/* By the mapping alone. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	close(self->ctl);
	close(self->fd);
	EXPECT_EQ(-1, module_remove());
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_EQ(-1, pattern_check(self->map, 0, self->size, 1));

	/* By the control node alone, and by a mapping of it. */
	self->ctl = control_open();
	munmap(self->map, self->size);
	EXPECT_EQ(-1, module_remove());
	EXPECT_EQ(EWOULDBLOCK, errno);
	self->map = region_map(self->ctl, page_size());
	ASSERT_NE(MAP_FAILED, self->map);
	close(self->ctl);
	EXPECT_EQ(-1, module_remove());
	EXPECT_EQ(EWOULDBLOCK, errno);

	/* By a file on its way. */
	self->ctl = control_open();
	self->fd = region_create(self->ctl, NAME, self->size, 0600, variant->flags);
	ASSERT_LE(0, self->fd);
	munmap(self->map, page_size());
	self->map = NULL;
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	ASSERT_EQ(0, send_fd(sock[0], self->fd));
	close(self->fd);
	close(self->ctl);
	EXPECT_EQ(-1, module_remove());
	EXPECT_EQ(EWOULDBLOCK, errno);
	self->ctl = control_open();
	EXPECT_TRUE(name_exists(self->ctl));
	close(sock[1]);
	close(sock[0]);
	self->fd = -1;
	EXPECT_EQ(ENOENT, name_gone(self->ctl, NAME));
}

/*
 * Races for one name. Every region says in its tag how it was made, and who
 * finds it by name finds all of that.
 */
enum { MADE_BY_CREATE, MADE_BY_BIND, MADE_TO_RESIZE };

static const size_t race_sizes[] = { 1, 4097, 70001, 300000 };

struct race {
	unsigned int created;
	unsigned int exists;
	unsigned int opened;
	unsigned int removed;
	unsigned int resized;
};

static void count(unsigned int *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static int race_create(int ctl, const char *name, int kind, int size)
{
	struct shm_kernel_create arg = {
		.size = sizeof(arg),
		.length = race_sizes[size],
		.mode = 0600,
		.name = (uintptr_t)name,
		.name_len = name ? strlen(name) : 0,
		.tag = { kind, size },
	};

	return ioctl(ctl, SHM_KERNEL_IOC_CREATE, &arg);
}

static void race_creator(struct race *race)
{
	unsigned char *buf = malloc(race_sizes[ARRAY_SIZE(race_sizes) - 1]);
	unsigned int state = getpid();
	int ctl = control_open();
	int fd, kind, size, ret;

	CHILD_CHECK(ctl >= 0 && buf);
	for (;;) {
		state = state * 1103515245 + 12345;
		kind = (state >> 16) % 2;
		size = (state >> 20) % ARRAY_SIZE(race_sizes);
		if (kind == MADE_BY_CREATE) {
			fd = race_create(ctl, NAME, kind, size);
			ret = fd < 0 ? -1 : 0;
		} else {
			fd = race_create(ctl, NULL, kind, size);
			CHILD_CHECK(fd >= 0);
			pattern_fill(buf, 0, race_sizes[size], size);
			CHILD_CHECK(pwrite(fd, buf, race_sizes[size], 0) ==
				    (ssize_t)race_sizes[size]);
			ret = region_bind(fd, NAME);
		}
		CHILD_CHECK(!ret || errno == EEXIST);
		count(ret ? &race->exists : &race->created);
		if (!ret && (state >> 24) % 2)
			sleep_ms(1);
		if (fd >= 0)
			close(fd);
	}
}

static void race_opener(struct race *race)
{
	size_t room = race_sizes[ARRAY_SIZE(race_sizes) - 1] + 1, size;
	unsigned char *buf = malloc(room);
	struct shm_kernel_info info;
	int ctl = control_open();
	int fd;

	CHILD_CHECK(ctl >= 0 && buf);
	for (;;) {
		fd = region_open(ctl, NAME, O_RDWR);
		if (fd < 0) {
			CHILD_CHECK(errno == ENOENT);
			continue;
		}
		count(&race->opened);
		CHILD_CHECK(!region_info(fd, &info));
		CHILD_CHECK(info.tag[0] <= MADE_BY_BIND);
		CHILD_CHECK(info.tag[1] < ARRAY_SIZE(race_sizes));
		size = race_sizes[info.tag[1]];
		CHILD_CHECK(info.length == size && region_size(fd) == (off_t)size);
		CHILD_CHECK(pread(fd, buf, room, 0) == (ssize_t)size);
		if (info.tag[0] == MADE_BY_BIND)
			CHILD_CHECK(pattern_check(buf, 0, size, info.tag[1]) == -1);
		else
			CHILD_CHECK(zero_check(buf, size) == -1);
		close(fd);
	}
}

static void race_remover(struct race *race)
{
	int ctl = control_open();

	CHILD_CHECK(ctl >= 0);
	for (;;) {
		if (!region_remove(ctl, NAME))
			count(&race->removed);
		else
			CHILD_CHECK(errno == ENOENT);
		sleep_ms(1);
	}
}

/* The same with sizes that change: what stays is one page of the pattern. */
static void resize_creator(struct race *race)
{
	unsigned char page[4096];
	int ctl = control_open();
	int fd;

	CHILD_CHECK(ctl >= 0);
	pattern_fill(page, 0, sizeof(page), 9);
	for (;;) {
		fd = race_create(ctl, NULL, MADE_TO_RESIZE, 1);
		CHILD_CHECK(fd >= 0);
		CHILD_CHECK(pwrite(fd, page, sizeof(page), 0) == sizeof(page));
		if (!region_bind(fd, NAME)) {
			count(&race->created);
			sleep_ms(2);
		} else {
			CHILD_CHECK(errno == EEXIST);
			count(&race->exists);
		}
		close(fd);
	}
}

static void resize_resizer(struct race *race)
{
	int ctl = control_open(), fd, i;

	CHILD_CHECK(ctl >= 0);
	for (i = 0; ; i++) {
		fd = region_open(ctl, NAME, O_RDWR);
		if (fd < 0) {
			CHILD_CHECK(errno == ENOENT);
			continue;
		}
		CHILD_CHECK(!ftruncate(fd, race_sizes[1 + i % 3]));
		count(&race->resized);
		close(fd);
	}
}

static void resize_opener(struct race *race)
{
	size_t room = race_sizes[3] + 1, i;
	unsigned char *buf = malloc(room);
	int ctl = control_open();
	ssize_t got;
	int fd;

	CHILD_CHECK(ctl >= 0 && buf);
	for (;;) {
		fd = region_open(ctl, NAME, O_RDONLY);
		if (fd < 0) {
			CHILD_CHECK(errno == ENOENT);
			continue;
		}
		count(&race->opened);
		got = region_size(fd);
		for (i = 1; i < 4; i++)
			if (got == (ssize_t)race_sizes[i])
				break;
		CHILD_CHECK(i < 4);
		got = pread(fd, buf, room, 0);
		CHILD_CHECK(got >= (ssize_t)race_sizes[1]);
		CHILD_CHECK(pattern_check(buf, 0, 4096, 9) == -1);
		CHILD_CHECK(zero_check(buf + 4096, got - 4096) == -1);
		close(fd);
	}
}

/* Runs them all for a while, kills some and starts others in their place. */
static void run_race(struct __test_metadata *_metadata, struct race *race,
		     void (* const *racers)(struct race *race), unsigned int nr)
{
	long long end = now_ms() + 1500;
	unsigned int i, victim = 0;
	pid_t pids[8];
	int status;

	for (i = 0; i < nr; i++) {
		pids[i] = spawn();
		if (!pids[i])
			racers[i](race);
	}
	while (now_ms() < end) {
		sleep_ms(37);
		for (i = 0; i < nr; i++)
			ASSERT_EQ(0, waitpid(pids[i], &status, WNOHANG))
				TH_LOG("number %u gave up", i);
		i = victim++ % nr;
		ASSERT_EQ(-SIGKILL, child_kill(pids[i]));
		pids[i] = spawn();
		if (!pids[i])
			racers[i](race);
	}
	for (i = 0; i < nr; i++)
		EXPECT_EQ(-SIGKILL, child_kill(pids[i]));
}

FIXTURE(race) {
	int ctl;
	struct stats stats;
	struct race *race;
};

FIXTURE_SETUP(race)
{
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	stats_read(&self->stats);
	self->race = mmap(NULL, sizeof(*self->race), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->race);
}

FIXTURE_TEARDOWN(race)
{
	EXPECT_EQ(ENOENT, name_gone(self->ctl, NAME));
	EXPECT_TRUE(stats_return_to(&self->stats));
	close(self->ctl);
}

TEST_F(race, create_bind_open_remove)
{
	static void (* const racers[])(struct race *race) = {
		race_creator, race_creator, race_creator, race_opener,
		race_opener, race_remover,
	};

	run_race(_metadata, self->race, racers, ARRAY_SIZE(racers));
	/* They did meet. */
	EXPECT_LT(0, self->race->created);
	EXPECT_LT(0, self->race->exists);
	EXPECT_LT(0, self->race->opened);
	EXPECT_LT(0, self->race->removed);
}

TEST_F(race, create_open_resize_remove)
{
	static void (* const racers[])(struct race *race) = {
		resize_creator, resize_creator, resize_resizer, resize_resizer,
		resize_opener, resize_opener, race_remover,
	};

	run_race(_metadata, self->race, racers, ARRAY_SIZE(racers));
	EXPECT_LT(0, self->race->created);
	EXPECT_LT(0, self->race->opened);
	EXPECT_LT(0, self->race->resized);
	EXPECT_LT(0, self->race->removed);
}

/* The last: it takes the driver away under programs that open and close. */
#define MAX_PARAMS 4096

static bool params_read(char *params)
{
	static const char * const names[] = {
		"size", "max_total", "max_user", "regions",
	};
	char value[MAX_PARAMS / 2];
	unsigned int i;

	params[0] = 0;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (param_read(names[i], value, sizeof(value)))
			return false;
		if (!value[0] || !strcmp(value, "(null)"))
			continue;
		snprintf(params + strlen(params), MAX_PARAMS - strlen(params),
			 "%s=%s ", names[i], value);
	}
	return true;
}

static void hammer(int number)
{
	/*
	 * One of them makes regions that take long to free: by then the last
	 * close has let go of the module already.
	 */
	size_t size = number ? 64 * KIB : 160 * MIB;
	__u32 flags = number ? 0 : SHM_KERNEL_CREATE_SMALL;
	const char *name = number == 1 ? NAME : NULL;
	/* Where all of them together never leave a gap, they give up. */
	long long end = now_ms() + 4000;
	unsigned int state = getpid();
	unsigned char *map;
	int ctl, fd, sock[2];

	if (name)
		flags = SHM_KERNEL_CREATE_PERSIST;

	while (now_ms() < end) {
		state = state * 1103515245 + 12345;
		ctl = control_open();
		if (ctl < 0) {
			CHILD_CHECK(errno == ENOENT || errno == ENODEV ||
				    errno == ENXIO);
			if (errno == ENOENT)
				_exit(0);
			continue;
		}
		fd = region_create(ctl, name, size, 0600, flags);
		if (fd < 0) {
			if (errno == ENOMEM) {
				close(ctl);
				continue;
			}
			CHILD_CHECK(name && errno == EEXIST);
			fd = region_open(ctl, NAME, O_RDWR);
			CHILD_CHECK(fd >= 0);
		}
		map = region_map(fd, size);
		CHILD_CHECK(map != MAP_FAILED);
		map[state >> 17] = 1;
		/* Whichever is the last reference, it goes in a way of its own. */
		switch ((state >> 8) % 4) {
		case 0:
			close(ctl);
			close(fd);
			munmap(map, size);
			break;
		case 1:
			munmap(map, size);
			close(fd);
			close(ctl);
			break;
		case 2:
			CHILD_CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
			CHILD_CHECK(!send_fd(sock[0], fd));
			close(ctl);
			munmap(map, size);
			close(fd);
			close(sock[0]);
			close(sock[1]);
			break;
		case 3:
			close(ctl);
			if (!spawn())
				_exit(0);
			munmap(map, size);
			close(fd);
			wait(NULL);
			break;
		}
		if ((state >> 12) % 3 == 0)
			sleep_ms((state >> 14) % 3);
	}
	_exit(0);
}

static void expect_not_loaded(struct __test_metadata *_metadata, int file)
{
	static const struct {
		const char *params;
		int error;
	} cases[] = {
		{ "size=0", EINVAL },
		{ "size=x", EINVAL },
		{ "size=-1", EINVAL },
		{ "size=4096Q", EINVAL },
		{ "size=4000G", ENOMEM },
		{ "max_total=x", EINVAL },
		{ "max_user=1M1", EINVAL },
		{ "regions=a", EINVAL },
		{ "regions=a:", EINVAL },
		{ "regions=:1M", EINVAL },
		{ "regions=a:0", EINVAL },
		{ "regions=a:x", EINVAL },
		{ "regions=a/b:1M", EINVAL },
		{ "regions=.:1M", EINVAL },
		{ "regions=..:1M", EINVAL },
		{ "regions=a:1M:bogus", EINVAL },
		{ "regions=a:1M:mode=8", EINVAL },
		{ "regions=a:1M:mode=1777", EINVAL },
		{ "regions=a:1M:mode=", EINVAL },
		{ "regions=a:1M,b", EINVAL },
		{ "regions=a:1M,a:1M", EEXIST },
		{ "regions=region0:1M", EEXIST },
		{ "regions=a:1M,b:4000G", ENOMEM },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(-1, syscall(SYS_finit_module, file, cases[i].params, 0))
			TH_LOG("%s", cases[i].params);
		/* Newer kernels keep EEXIST for a module that is loaded. */
		if (errno == EBUSY)
			errno = EEXIST;
		EXPECT_EQ(cases[i].error, errno) TH_LOG("%s", cases[i].params);
		EXPECT_NE(0, access("/sys/module/" MODULE, F_OK))
			module_remove();
		EXPECT_NE(0, access(NODE_DIR "/a", F_OK));
	}
}

/* Region 0 in sizes that its initial words fit, or do not. */
static void check_sizes_of_region0(struct __test_metadata *_metadata, int file)
{
	static const unsigned int sizes[] = { 1, 3, 4, 0x103, 0x104, 4097, 70000 };
	unsigned char buf[70001];
	struct shm_kernel_info info;
	char params[32];
	unsigned int i;
	__u32 word;
	int ctl;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		snprintf(params, sizeof(params), "size=%u", sizes[i]);
		ASSERT_EQ(0, syscall(SYS_finit_module, file, params, 0));
		ctl = control_open();
		ASSERT_LE(0, ctl);
		EXPECT_EQ(sizes[i], lseek(ctl, 0, SEEK_END));
		EXPECT_EQ(sizes[i], pread(ctl, buf, sizeof(buf), 0));
		word = 0x1111;
		if (sizes[i] >= 4) {
			EXPECT_EQ(0, memcmp(buf, &word, 4));
			memset(buf, 0, 4);
		}
		word = 0x2222;
		if (sizes[i] >= 0x104) {
			EXPECT_EQ(0, memcmp(buf + 0x100, &word, 4));
			memset(buf + 0x100, 0, 4);
		}
		EXPECT_EQ(-1, zero_check(buf, sizes[i]));
		ASSERT_EQ(0, region_info(ctl, &info));
		EXPECT_NE(0, info.capabilities & SHM_KERNEL_CAP_CONTIG);
		close(ctl);
		ASSERT_EQ(0, module_remove()) TH_LOG("errno %d", errno);
	}
}

FIXTURE(module) {
	int dummy;
};

FIXTURE_SETUP(module)
{
}

FIXTURE_TEARDOWN(module)
{
}

TEST_F_TIMEOUT(module, unload_and_load_again, 90)
{
	const char *path = getenv("SHM_KERNEL_KO");
	char params[MAX_PARAMS];
	struct stats before, after;
	pid_t pids[3];
	int file, ctl, round, i;
	long long end;

	ctl = control_open();
	if (ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	stats_read(&before);
	close(ctl);
	if (!path)
		SKIP(return, "SHM_KERNEL_KO does not name the module's file");
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		SKIP(return, "%s: %s", path, strerror(errno));
	if (access("/sys/module/" MODULE "/initstate", F_OK) ||
	    !params_read(params))
		SKIP(return, "the driver is no module");

	for (round = 0; round < 5; round++) {
		for (i = 0; i < 3; i++) {
			pids[i] = spawn();
			if (!pids[i])
				hammer(i);
		}
		end = now_ms() + 15000;
		while (module_remove()) {
			ASSERT_TRUE(errno == EWOULDBLOCK || errno == EBUSY)
				TH_LOG("errno %d", errno);
			ASSERT_GT(end, now_ms()) TH_LOG("always in use");
		}
		/* It is gone, whatever anybody had made to persist. */
		EXPECT_NE(0, access("/sys/module/" MODULE, F_OK));
		for (i = 0; i < 3; i++)
			EXPECT_EQ(0, child_result(pids[i]));
		if (!round) {
			expect_not_loaded(_metadata, file);
			check_sizes_of_region0(_metadata, file);
		}
		ASSERT_EQ(0, syscall(SYS_finit_module, file, params, 0))
			TH_LOG("%s: %s", params, strerror(errno));
		ctl = control_open();
		ASSERT_LE(0, ctl);
		EXPECT_FALSE(name_exists(ctl));
		stats_read(&after);
		EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
		close(ctl);
	}
	close(file);
}

TEST_HARNESS_MAIN
