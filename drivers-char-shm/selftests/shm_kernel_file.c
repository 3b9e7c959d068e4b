// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of shm_kernel's region files and nodes as files
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <linux/aio_abi.h>
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define NAME	"kst-file"
/* Neither a multiple of a page nor of a word. */
#define SIZE	70003

FIXTURE(file) {
	int ctl;
	int fd;
	struct stats stats;
	unsigned char buf[SIZE + 4096];
};

FIXTURE_VARIANT(file) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(file, folios) { .flags = 0 };

FIXTURE_VARIANT_ADD(file, small) { .flags = SHM_KERNEL_CREATE_SMALL };

FIXTURE_VARIANT_ADD(file, contig) { .flags = SHM_KERNEL_CREATE_CONTIG };

FIXTURE_SETUP(file)
{
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	stats_read(&self->stats);
	self->fd = region_create(self->ctl, NAME, SIZE, 0600, variant->flags);
	ASSERT_LE(0, self->fd) TH_LOG("errno %d", errno);
}

FIXTURE_TEARDOWN(file)
{
	close(self->fd);
	EXPECT_TRUE(stats_return_to(&self->stats));
	close(self->ctl);
}

TEST_F(file, fstat)
{
	struct stat st;

	memset(&st, 0xcc, sizeof(st));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(SIZE, st.st_size);
	EXPECT_EQ(S_IFREG | 0600, st.st_mode);
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(0, st.st_gid);
	EXPECT_LE(SIZE / 512, st.st_blocks);
	EXPECT_NE(0, st.st_ino);

	/* A node has no size of its own. */
	ASSERT_EQ(0, fstat(self->ctl, &st));
	EXPECT_EQ(0, st.st_size);
	EXPECT_EQ(S_IFCHR | 0600, st.st_mode);
}

TEST_F(file, every_size)
{
	static const unsigned int sizes[] = {
		0, 1, 2, 7, 4095, 4096, 4097, 8191, 65535, 65536, 65537,
		2097151, 2097152, 2097153,
	};
	unsigned char byte = 0x77;
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (!sizes[i] && variant->flags & SHM_KERNEL_CREATE_CONTIG)
			continue;
		fd = region_create(self->ctl, NULL, sizes[i], 0600, variant->flags);
		ASSERT_LE(0, fd) TH_LOG("size %u: errno %d", sizes[i], errno);
		EXPECT_EQ(sizes[i], region_size(fd));
		EXPECT_EQ(sizes[i], lseek(fd, 0, SEEK_END));
		EXPECT_EQ(0, pread(fd, &byte, 1, sizes[i]));
		EXPECT_EQ(-1, pwrite(fd, &byte, 1, sizes[i]));
		EXPECT_EQ(ENOSPC, errno);
		if (sizes[i]) {
			EXPECT_EQ(1, pwrite(fd, &byte, 1, sizes[i] - 1));
			EXPECT_EQ(1, pread(fd, &byte, 1, sizes[i] - 1));
			EXPECT_EQ(0x77, byte);
		}
		close(fd);
	}
}

TEST_F(file, read_write)
{
	unsigned char *buf = self->buf;
	ssize_t done;

	/* New memory is zero. */
	ASSERT_EQ(SIZE, pread(self->fd, buf, sizeof(self->buf), 0));
	EXPECT_EQ(-1, zero_check(buf, SIZE));

	pattern_fill(buf, 0, sizeof(self->buf), 1);
	EXPECT_EQ(SIZE, pwrite(self->fd, buf, sizeof(self->buf), 0));
	memset(buf, 0xcc, sizeof(self->buf));
	EXPECT_EQ(SIZE, pread(self->fd, buf, sizeof(self->buf), 0));
	EXPECT_EQ(-1, pattern_check(buf, 0, SIZE, 1));
	EXPECT_EQ(0xcc, buf[SIZE]);

	/* The position moves as on any file. */
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_CUR));
	for (done = 0; done < SIZE; ) {
		ssize_t got = read(self->fd, buf, 997);

		ASSERT_LT(0, got);
		EXPECT_EQ(-1, pattern_check(buf, done, got, 1));
		done += got;
		EXPECT_EQ(done, lseek(self->fd, 0, SEEK_CUR));
	}
	EXPECT_EQ(0, read(self->fd, buf, 1));
	EXPECT_EQ(-1, write(self->fd, buf, 1));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(SIZE, lseek(self->fd, 0, SEEK_CUR));

	/* At, around and far behind the end. */
	EXPECT_EQ(1, pread(self->fd, buf, 10, SIZE - 1));
	EXPECT_EQ(0, pread(self->fd, buf, 10, SIZE));
	EXPECT_EQ(0, pread(self->fd, buf, 10, SIZE + 1));
	EXPECT_EQ(0, pread(self->fd, buf, 10, 1LL << 40));
	EXPECT_EQ(0, pread(self->fd, buf, 10, LLONG_MAX - 10));
	EXPECT_EQ(1, pwrite(self->fd, buf, 10, SIZE - 1));
	EXPECT_EQ(-1, pwrite(self->fd, buf, 10, SIZE));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(-1, pwrite(self->fd, buf, 10, SIZE + 1));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(-1, pwrite(self->fd, buf, 10, 1LL << 40));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(-1, pread(self->fd, buf, 10, -1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(self->fd, buf, 10, LLONG_MAX - 5));
	EXPECT_EQ(EINVAL, errno);

	/* Nothing is nothing, wherever it is. */
	EXPECT_EQ(0, pread(self->fd, buf, 0, 5));
	EXPECT_EQ(0, pwrite(self->fd, buf, 0, 5));
}

TEST_F(file, every_offset_and_length)
{
	static const size_t edges[] = {
		0, 1, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537,
		SIZE - 1, SIZE,
	};
	unsigned char model[SIZE], *buf = self->buf;
	size_t from, len, want;
	unsigned int i, j, n = 0;

	memset(model, 0, sizeof(model));
	for (i = 0; i < ARRAY_SIZE(edges) - 1; i++) {
		for (j = i + 1; j < ARRAY_SIZE(edges); j++) {
			from = edges[i];
			len = edges[j] - from;
			pattern_fill(buf, from, len, ++n);
			memcpy(model + from, buf, len);
			ASSERT_EQ(len, pwrite(self->fd, buf, len, from));
			/* The rest is as it was. */
			ASSERT_EQ(SIZE, pread(self->fd, buf, SIZE, 0));
			ASSERT_EQ(0, memcmp(buf, model, SIZE));
			want = SIZE - from < len + 1 ? SIZE - from : len + 1;
			ASSERT_EQ(want, pread(self->fd, buf, len + 1, from));
			ASSERT_EQ(0, memcmp(buf, model + from, want));
		}
	}
}

TEST_F(file, vectors)
{
	unsigned char a[100], b[5000], c[65536];
	struct iovec iov[4] = {
		{ a, sizeof(a) }, { NULL, 0 }, { b, sizeof(b) }, { c, sizeof(c) },
	};
	ssize_t ret;

	pattern_fill(a, 0, sizeof(a), 2);
	pattern_fill(b, sizeof(a), sizeof(b), 2);
	pattern_fill(c, sizeof(a) + sizeof(b), sizeof(c), 2);
	EXPECT_EQ(SIZE - 50, pwritev(self->fd, iov, 4, 50));
	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	memset(c, 0, sizeof(c));
	EXPECT_EQ(SIZE - 50, preadv(self->fd, iov, 4, 50));
	EXPECT_EQ(-1, pattern_check(a, 0, sizeof(a), 2));
	EXPECT_EQ(-1, pattern_check(b, sizeof(a), sizeof(b), 2));
	EXPECT_EQ(-1, pattern_check(c, sizeof(a) + sizeof(b),
				    SIZE - 50 - sizeof(a) - sizeof(b), 2));
	EXPECT_EQ(50, lseek(self->fd, 50, SEEK_SET));
	EXPECT_EQ(SIZE - 50, readv(self->fd, iov, 4));
	EXPECT_EQ(SIZE, lseek(self->fd, 0, SEEK_CUR));
	EXPECT_EQ(-1, writev(self->fd, iov, 4));
	EXPECT_EQ(ENOSPC, errno);

	/* The memory is there: no call that must not wait has to. */
	ret = preadv2(self->fd, iov, 4, 50, RWF_NOWAIT);
	EXPECT_EQ(SIZE - 50, ret) TH_LOG("errno %d", errno);
	ret = pwritev2(self->fd, iov, 4, 50, RWF_NOWAIT);
	EXPECT_EQ(SIZE - 50, ret) TH_LOG("errno %d", errno);
	EXPECT_EQ(SIZE - 50, pwritev2(self->fd, iov, 4, 50, RWF_DSYNC));
	EXPECT_EQ(-1, preadv2(self->fd, iov, 4, 50, 1 << 30));
	EXPECT_EQ(EOPNOTSUPP, errno);
}

TEST_F(file, append)
{
	int flags = fcntl(self->fd, F_GETFL);
	char byte = 1;

	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, flags | O_APPEND));
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(SIZE, region_size(self->fd));
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, flags));
	EXPECT_EQ(1, pwrite(self->fd, &byte, 1, 0));
}

TEST_F(file, bad_buffers)
{
	size_t page = page_size();
	unsigned char *map;

	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + page, page));
	memset(map, 0x33, page);

	EXPECT_EQ(-1, pread(self->fd, map + page, 10, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pwrite(self->fd, map + page, 10, 0));
	EXPECT_EQ(EFAULT, errno);
	/* As far as the buffer goes, and no byte more. */
	EXPECT_EQ(100, pwrite(self->fd, map + page - 100, 200, 0));
	EXPECT_EQ(100, pread(self->fd, map + page - 100, 200, 0));
	ASSERT_EQ(200, pread(self->fd, self->buf, 200, 0));
	EXPECT_EQ(0x33, self->buf[99]);
	EXPECT_EQ(-1, zero_check(self->buf + 100, 100));
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_CUR));
	munmap(map, page);
}

/* The buffer is the region itself. */
TEST_F(file, own_memory_as_buffer)
{
	unsigned char *map;

	map = region_map(self->fd, SIZE);
	ASSERT_NE(MAP_FAILED, map);
	pattern_fill(map, 0, 8192, 3);
	/* Not touched yet, so that the copy has to fault it in. */
	ASSERT_EQ(0, madvise(map, SIZE, MADV_DONTNEED));
	EXPECT_EQ(8192, pwrite(self->fd, map, 8192, 16384));
	EXPECT_EQ(-1, pattern_check(map, 0, 8192, 3));
	EXPECT_EQ(0, memcmp(map, map + 16384, 8192));
	ASSERT_EQ(0, madvise(map, SIZE, MADV_DONTNEED));
	EXPECT_EQ(8192, pread(self->fd, map + 32768, 8192, 0));
	EXPECT_EQ(0, memcmp(map, map + 32768, 8192));
	munmap(map, SIZE);
}

TEST_F(file, wrong_access_mode)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	fd = region_open(self->ctl, NAME, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, pwrite(fd, self->buf, 1, 0));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(-1, ftruncate(fd, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(1, pread(fd, self->buf, 1, 0));
	close(fd);
	fd = open(path, O_WRONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, pread(fd, self->buf, 1, 0));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(1, pwrite(fd, self->buf, 1, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(EACCES, errno);
	close(fd);
	EXPECT_EQ(SIZE, region_size(self->fd));
}

TEST_F(file, lseek)
{
	EXPECT_EQ(SIZE, lseek(self->fd, 0, SEEK_END));
	EXPECT_EQ(SIZE - 3, lseek(self->fd, -3, SEEK_END));
	EXPECT_EQ(SIZE - 1, lseek(self->fd, 2, SEEK_CUR));
	EXPECT_EQ(SIZE + 100, lseek(self->fd, SIZE + 100, SEEK_SET));
	EXPECT_EQ(-1, lseek(self->fd, -1, SEEK_SET));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, lseek(self->fd, -SIZE - 1, SEEK_END));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, lseek(self->fd, 0, 77));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(SIZE + 100, lseek(self->fd, 0, SEEK_CUR));

	/* It is data from end to end. */
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_DATA));
	EXPECT_EQ(SIZE - 1, lseek(self->fd, SIZE - 1, SEEK_DATA));
	EXPECT_EQ(-1, lseek(self->fd, SIZE, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(SIZE, lseek(self->fd, 0, SEEK_HOLE));
	EXPECT_EQ(SIZE, lseek(self->fd, SIZE - 1, SEEK_HOLE));
	EXPECT_EQ(-1, lseek(self->fd, SIZE, SEEK_HOLE));
	EXPECT_EQ(ENXIO, errno);
}

TEST_F(file, splice)
{
	unsigned char *buf = self->buf;
	int pipefd[2], other;
	loff_t pos;
	ssize_t ret;

	pattern_fill(buf, 0, SIZE, 4);
	ASSERT_EQ(SIZE, pwrite(self->fd, buf, SIZE, 0));
	ASSERT_EQ(0, pipe(pipefd));

	/* Out of the region, across the end of a page. */
	pos = 4000;
	ret = splice(self->fd, &pos, pipefd[1], NULL, 5000, 0);
	ASSERT_LT(0, ret) TH_LOG("errno %d", errno);
	EXPECT_EQ(4000 + ret, pos);
	ASSERT_EQ(ret, read(pipefd[0], buf, sizeof(self->buf)));
	EXPECT_EQ(-1, pattern_check(buf, 4000, ret, 4));
	pos = SIZE;
	EXPECT_EQ(0, splice(self->fd, &pos, pipefd[1], NULL, 5000, 0));
	pos = SIZE - 10;
	EXPECT_EQ(10, splice(self->fd, &pos, pipefd[1], NULL, 5000, 0));
	ASSERT_EQ(10, read(pipefd[0], buf, sizeof(self->buf)));
	EXPECT_EQ(-1, pattern_check(buf, SIZE - 10, 10, 4));

	/* And into it. */
	pattern_fill(buf, 100, 6000, 5);
	ASSERT_EQ(6000, write(pipefd[1], buf, 6000));
	pos = 100;
	EXPECT_EQ(6000, splice(pipefd[0], NULL, self->fd, &pos, 6000, 0));
	memset(buf, 0, SIZE);
	ASSERT_EQ(SIZE, pread(self->fd, buf, SIZE, 0));
	EXPECT_EQ(-1, pattern_check(buf, 0, 100, 4));
	EXPECT_EQ(-1, pattern_check(buf + 100, 100, 6000, 5));
	EXPECT_EQ(-1, pattern_check(buf + 6100, 6100, SIZE - 6100, 4));
	ASSERT_EQ(10, write(pipefd[1], buf, 10));
	pos = SIZE;
	EXPECT_EQ(-1, splice(pipefd[0], NULL, self->fd, &pos, 10, 0));
	EXPECT_EQ(ENOSPC, errno);
	ASSERT_EQ(10, read(pipefd[0], buf, 10));

	/* From region to region. */
	other = region_create(self->ctl, NULL, SIZE, 0600, 0);
	ASSERT_LE(0, other);
	for (pos = 0; pos < SIZE; ) {
		ret = sendfile(other, self->fd, &pos, SIZE);
		ASSERT_LT(0, ret) TH_LOG("errno %d", errno);
	}
	EXPECT_EQ(0, sendfile(other, self->fd, &pos, SIZE));
	ASSERT_EQ(SIZE, pread(other, buf, SIZE, 0));
	EXPECT_EQ(-1, pattern_check(buf, 0, 100, 4));
	EXPECT_EQ(-1, pattern_check(buf + 100, 100, 6000, 5));
	EXPECT_EQ(-1, pattern_check(buf + 6100, 6100, SIZE - 6100, 4));
	close(other);
	close(pipefd[1]);
	close(pipefd[0]);
}

TEST_F(file, sync)
{
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_EQ(0, fdatasync(self->fd));
	EXPECT_EQ(0, fsync(self->ctl));
	EXPECT_EQ(0, sync_file_range(self->fd, 0, 4096, SYNC_FILE_RANGE_WRITE));
}

TEST_F(file, msync)
{
	unsigned char *map;

	map = region_map(self->fd, SIZE);
	ASSERT_NE(MAP_FAILED, map);
	map[0] = 1;
	EXPECT_EQ(0, msync(map, SIZE, MS_SYNC));
	EXPECT_EQ(0, msync(map, SIZE, MS_ASYNC));
	munmap(map, SIZE);
	map = region_map(self->ctl, 1);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, msync(map, 1, MS_SYNC));
	munmap(map, 1);
}

TEST_F(file, chmod_chown)
{
	struct shm_kernel_info info;
	struct stat st;

	EXPECT_EQ(0, fchmod(self->fd, 0431));
	EXPECT_EQ(0, fchown(self->fd, NOBODY, SOMEBODY));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(S_IFREG | 0431, st.st_mode);
	EXPECT_EQ(NOBODY, st.st_uid);
	EXPECT_EQ(SOMEBODY, st.st_gid);
	ASSERT_EQ(0, region_info(self->fd, &info));
	EXPECT_EQ(0431, info.mode);
	EXPECT_EQ(NOBODY, info.uid);
	EXPECT_EQ(SOMEBODY, info.gid);
	EXPECT_EQ(SIZE, st.st_size);
}

TEST_F(file, no_such_operation)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct pollfd pollfd = { self->fd, POLLIN | POLLOUT, 0 };
	int ep;

	EXPECT_EQ(-1, fallocate(self->fd, 0, 0, 4096));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(-1, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				0, 4096));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(-1, fallocate(self->fd, 0, SIZE, 4096));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(SIZE, region_size(self->fd));
	/* These are the memfd's own. */
	EXPECT_EQ(-1, fcntl(self->fd, F_ADD_SEALS, F_SEAL_GROW));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, fcntl(self->fd, F_GET_SEALS));
	EXPECT_EQ(EINVAL, errno);

	/* A regular file is always ready, and cannot be waited for. */
	EXPECT_EQ(1, poll(&pollfd, 1, 0));
	EXPECT_EQ(POLLIN | POLLOUT, pollfd.revents);
	ep = epoll_create1(0);
	ASSERT_LE(0, ep);
	EXPECT_EQ(-1, epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &event));
	EXPECT_EQ(EPERM, errno);
	close(ep);
}

TEST_F(file, clear_reset)
{
	unsigned char *map;

	map = region_map(self->fd, SIZE);
	ASSERT_NE(MAP_FAILED, map);
	memset(map, 0x99, SIZE);
	EXPECT_EQ(0, region_clear(self->fd));
	EXPECT_EQ(-1, zero_check(map, SIZE));
	memset(map, 0x99, SIZE);
	EXPECT_EQ(0, region_reset(self->fd));
	EXPECT_EQ(-1, zero_check(map, SIZE));
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, zero_check(self->buf, SIZE));
	EXPECT_EQ(SIZE, region_size(self->fd));
	munmap(map, SIZE);
}

TEST_F(file, flock)
{
	int other, unrelated;
	pid_t pid;

	other = region_open(self->ctl, NAME, O_RDWR);
	ASSERT_LE(0, other);
	unrelated = region_create(self->ctl, NULL, 10, 0600, 0);
	ASSERT_LE(0, unrelated);
	EXPECT_EQ(0, flock(self->fd, LOCK_EX));
	EXPECT_EQ(-1, flock(other, LOCK_EX | LOCK_NB));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_EQ(0, flock(unrelated, LOCK_EX | LOCK_NB));
	pid = spawn();
	if (!pid) {
		int ctl = control_open();
		int fd = region_open(ctl, NAME, O_RDONLY);

		CHILD_CHECK(fd >= 0);
		CHILD_CHECK(flock(fd, LOCK_SH | LOCK_NB) == -1);
		CHILD_CHECK(errno == EWOULDBLOCK);
		CHILD_CHECK(!flock(fd, LOCK_SH));
		_exit(0);
	}
	wait_asleep(pid);
	EXPECT_EQ(0, flock(self->fd, LOCK_UN));
	EXPECT_EQ(0, child_result(pid));
	/* The child's lock went with it. */
	EXPECT_EQ(0, flock(other, LOCK_EX | LOCK_NB));
	close(unrelated);
	close(other);
}

static int set_lock(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET,
		.l_start = start, .l_len = len,
	};

	return fcntl(fd, cmd, &lock);
}

TEST_F(file, range_locks)
{
	int other;
	pid_t pid;

	other = region_open(self->ctl, NAME, O_RDWR);
	ASSERT_LE(0, other);
	EXPECT_EQ(0, set_lock(self->fd, F_OFD_SETLK, F_WRLCK, 100, 100));
	EXPECT_EQ(-1, set_lock(other, F_OFD_SETLK, F_WRLCK, 199, 1));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(0, set_lock(other, F_OFD_SETLK, F_WRLCK, 200, 0));
	EXPECT_EQ(0, set_lock(other, F_OFD_SETLK, F_WRLCK, 0, 100));
	pid = spawn();
	if (!pid) {
		int ctl = control_open();
		int fd = region_open(ctl, NAME, O_RDWR);

		CHILD_CHECK(fd >= 0);
		CHILD_CHECK(set_lock(fd, F_OFD_SETLK, F_RDLCK, 150, 1) == -1);
		CHILD_CHECK(errno == EAGAIN);
		CHILD_CHECK(set_lock(fd, F_SETLK, F_RDLCK, 300, 1) == -1);
		CHILD_CHECK(errno == EAGAIN || errno == EACCES);
		CHILD_CHECK(!set_lock(fd, F_OFD_SETLKW, F_WRLCK, 150, 10));
		_exit(0);
	}
	wait_asleep(pid);
	EXPECT_EQ(0, set_lock(self->fd, F_OFD_SETLK, F_UNLCK, 100, 100));
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(0, set_lock(other, F_OFD_SETLK, F_WRLCK, 0, 0));
	close(other);
	EXPECT_EQ(0, set_lock(self->fd, F_OFD_SETLK, F_WRLCK, 0, 0));
}

static bool fdinfo_has(int fd, const char *want)
{
	char path[64], line[512];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file))
		found |= !strncmp(line, want, strlen(want));
	fclose(file);
	return found;
}

TEST_F(file, fdinfo)
{
	ASSERT_EQ(1234, lseek(self->fd, 1234, SEEK_SET));
	EXPECT_TRUE(fdinfo_has(self->fd, "pos:\t1234\n"));
	EXPECT_TRUE(fdinfo_has(self->fd, "shm_kernel-name:\t" NAME "\n"));
	EXPECT_TRUE(fdinfo_has(self->fd, "shm_kernel-size:\t70003\n"));
	EXPECT_TRUE(fdinfo_has(self->fd, "shm_kernel-files:\t1\n"));
	EXPECT_TRUE(fdinfo_has(self->fd, "shm_kernel-mappings:\t0\n"));
	EXPECT_TRUE(fdinfo_has(self->ctl, "shm_kernel-name:\tregion0\n"));
}

TEST_F(file, reopen)
{
	char path[64];
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	ASSERT_EQ(4, pwrite(self->fd, "same", 4, 0));
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(4, read(fd, self->buf, 4));
	EXPECT_EQ(0, memcmp(self->buf, "same", 4));
	EXPECT_EQ(SIZE, region_size(fd));
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_CUR));
	close(fd);

	/* An open file is a right; another one has to be had anew. */
	pid = spawn();
	if (!pid) {
		become_user(NOBODY);
		CHILD_CHECK(pread(self->fd, self->buf, 1, 0) == 1);
		CHILD_CHECK(open(path, O_RDONLY) == -1);
		CHILD_CHECK(errno == EACCES);
		CHILD_CHECK(open(path, O_RDWR) == -1);
		CHILD_CHECK(errno == EACCES);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	ASSERT_EQ(0, fchmod(self->fd, 0604));
	pid = spawn();
	if (!pid) {
		become_user(NOBODY);
		CHILD_CHECK(open(path, O_RDONLY) >= 0);
		CHILD_CHECK(open(path, O_RDWR) == -1);
		CHILD_CHECK(errno == EACCES);
		CHILD_CHECK(open(path, O_WRONLY) == -1);
		CHILD_CHECK(errno == EACCES);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	if (variant->flags & SHM_KERNEL_CREATE_CONTIG)
		return;
	fd = open(path, O_RDWR | O_TRUNC);
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, region_size(self->fd));
	close(fd);
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

static int receive_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	int fd = -1;

	if (recvmsg(sock, &msg, 0) != 1)
		return -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg)
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

TEST_F(file, passed_by_socket)
{
	int sock[2], fd;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	pid = spawn();
	if (!pid) {
		unsigned char *map;

		close(self->fd);
		become_user(NOBODY);
		fd = receive_fd(sock[1]);
		CHILD_CHECK(fd >= 0);
		CHILD_CHECK(region_size(fd) == SIZE);
		map = region_map(fd, SIZE);
		CHILD_CHECK(map != MAP_FAILED);
		pattern_fill(map, 0, SIZE, 6);
		_exit(0);
	}
	EXPECT_EQ(0, send_fd(sock[0], self->fd));
	EXPECT_EQ(0, child_result(pid));
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, pattern_check(self->buf, 0, SIZE, 6));
	close(sock[1]);
	close(sock[0]);
}

TEST_F(file, io_uring)
{
	unsigned char *buf = self->buf;
	struct ring ring;

	if (ring_open(&ring))
		SKIP(return, "io_uring: %s", strerror(errno));
	pattern_fill(buf, 0, SIZE, 7);
	EXPECT_EQ(SIZE, ring_do(&ring, IORING_OP_WRITE, 0, self->fd, buf,
				sizeof(self->buf), 0));
	memset(buf, 0, SIZE);
	EXPECT_EQ(SIZE, ring_do(&ring, IORING_OP_READ, 0, self->fd, buf,
				sizeof(self->buf), 0));
	EXPECT_EQ(-1, pattern_check(buf, 0, SIZE, 7));
	/* By a worker as well as at once. */
	memset(buf, 0, SIZE);
	EXPECT_EQ(SIZE, ring_do(&ring, IORING_OP_READ, IOSQE_ASYNC, self->fd,
				buf, SIZE, 0));
	EXPECT_EQ(-1, pattern_check(buf, 0, SIZE, 7));
	EXPECT_EQ(0, ring_do(&ring, IORING_OP_READ, 0, self->fd, buf, 1, SIZE));
	EXPECT_EQ(-ENOSPC, ring_do(&ring, IORING_OP_WRITE, 0, self->fd, buf, 1,
				   SIZE));
	EXPECT_EQ(-ENOSPC, ring_do(&ring, IORING_OP_WRITE, IOSQE_ASYNC, self->fd,
				   buf, 1, SIZE));
	EXPECT_EQ(0, ring_do(&ring, IORING_OP_FSYNC, 0, self->fd, NULL, 0, 0));
	EXPECT_EQ(4, ring_do(&ring, IORING_OP_READ, 0, self->ctl, buf, 4, 0));
	ring_close(&ring);
}

/* The region's own pages, pinned for good, as the buffer of other files. */
TEST_F(file, io_uring_fixed_buffer)
{
	unsigned char *map;
	struct iovec iov;
	struct ring ring;
	int memfd;

	if (ring_open(&ring))
		SKIP(return, "io_uring: %s", strerror(errno));
	map = region_map(self->fd, SIZE);
	ASSERT_NE(MAP_FAILED, map);
	memfd = memfd_create("kst", 0);
	ASSERT_LE(0, memfd);
	iov = (struct iovec){ map, 65536 };
	if (syscall(__NR_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS,
		    &iov, 1) < 0) {
		/* Linux 6.1 takes files of tmpfs and hugetlbfs only. */
		ASSERT_EQ(EOPNOTSUPP, errno);
		SKIP(return, "no fixed buffers in a mapped file");
	}
	pattern_fill(map, 0, 65536, 8);
	EXPECT_EQ(65536, ring_do(&ring, IORING_OP_WRITE_FIXED, 0, memfd, map,
				 65536, 0));
	ASSERT_EQ(65536, pread(memfd, self->buf, 65536, 0));
	EXPECT_EQ(-1, pattern_check(self->buf, 0, 65536, 8));
	pattern_fill(self->buf, 0, 65536, 9);
	ASSERT_EQ(65536, pwrite(memfd, self->buf, 65536, 0));
	EXPECT_EQ(65536, ring_do(&ring, IORING_OP_READ_FIXED, 0, memfd, map,
				 65536, 0));
	EXPECT_EQ(-1, pattern_check(map, 0, 65536, 9));
	/* The pin outlives the mapping; the memory is the region's still. */
	munmap(map, SIZE);
	pattern_fill(self->buf, 0, 65536, 10);
	ASSERT_EQ(65536, pwrite(memfd, self->buf, 65536, 0));
	EXPECT_EQ(65536, ring_do(&ring, IORING_OP_READ_FIXED, 0, memfd, map,
				 65536, 0));
	memset(self->buf, 0, SIZE);
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, pattern_check(self->buf, 0, 65536, 10));
	close(memfd);
	ring_close(&ring);
}

TEST_F(file, aio)
{
	struct iocb iocb, *list[1] = { &iocb };
	aio_context_t context = 0;
	struct io_event event;

	if (syscall(__NR_io_setup, 1, &context))
		SKIP(return, "io_setup: %s", strerror(errno));
	memset(&iocb, 0, sizeof(iocb));
	iocb.aio_fildes = self->fd;
	iocb.aio_lio_opcode = IOCB_CMD_PWRITE;
	iocb.aio_buf = (uintptr_t)self->buf;
	iocb.aio_nbytes = SIZE;
	pattern_fill(self->buf, 0, SIZE, 11);
	ASSERT_EQ(1, syscall(__NR_io_submit, context, 1, list));
	ASSERT_EQ(1, syscall(__NR_io_getevents, context, 1, 1, &event, NULL));
	EXPECT_EQ(SIZE, event.res);
	memset(self->buf, 0, SIZE);
	iocb.aio_lio_opcode = IOCB_CMD_PREAD;
	ASSERT_EQ(1, syscall(__NR_io_submit, context, 1, list));
	ASSERT_EQ(1, syscall(__NR_io_getevents, context, 1, 1, &event, NULL));
	EXPECT_EQ(SIZE, event.res);
	EXPECT_EQ(-1, pattern_check(self->buf, 0, SIZE, 11));
	iocb.aio_lio_opcode = IOCB_CMD_PWRITE;
	iocb.aio_offset = SIZE;
	ASSERT_EQ(1, syscall(__NR_io_submit, context, 1, list));
	ASSERT_EQ(1, syscall(__NR_io_getevents, context, 1, 1, &event, NULL));
	EXPECT_EQ(-ENOSPC, event.res);
	EXPECT_EQ(0, syscall(__NR_io_destroy, context));
}

/* Region 0, which is behind the control node. */
FIXTURE(region0) {
	int fd;
	off_t size;
	unsigned char *buf;
};

FIXTURE_SETUP(region0)
{
	self->fd = control_open();
	if (self->fd < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	self->size = lseek(self->fd, 0, SEEK_END);
	ASSERT_LT(0, self->size);
	self->buf = calloc(1, self->size + 1);
	ASSERT_NE(NULL, self->buf);
	ASSERT_EQ(0, lseek(self->fd, 0, SEEK_SET));
}

FIXTURE_TEARDOWN(region0)
{
	region_reset(self->fd);
	free(self->buf);
	close(self->fd);
}

static void check_initial(struct __test_metadata *_metadata, int fd,
			  unsigned char *buf, off_t size)
{
	__u32 word;

	ASSERT_EQ(size, pread(fd, buf, size + 1, 0));
	if (size >= 4) {
		memcpy(&word, buf, 4);
		EXPECT_EQ(0x1111, word);
		memset(buf, 0, 4);
	}
	if (size >= 0x104) {
		memcpy(&word, buf + 0x100, 4);
		EXPECT_EQ(0x2222, word);
		memset(buf + 0x100, 0, 4);
	}
	EXPECT_EQ(-1, zero_check(buf, size));
}

TEST_F(region0, initial_words)
{
	ASSERT_EQ(0, region_reset(self->fd));
	check_initial(_metadata, self->fd, self->buf, self->size);
}

TEST_F(region0, clear_reset)
{
	unsigned char *map;

	map = region_map(self->fd, self->size);
	ASSERT_NE(MAP_FAILED, map);
	memset(map, 0x42, self->size);
	EXPECT_EQ(0, region_clear(self->fd));
	EXPECT_EQ(-1, zero_check(map, self->size));
	memset(map, 0x42, self->size);
	EXPECT_EQ(0, region_reset(self->fd));
	check_initial(_metadata, self->fd, self->buf, self->size);
	if (self->size >= 4)
		EXPECT_EQ(0x1111, *(__u32 *)map);
	munmap(map, self->size);
}

TEST_F(region0, read_write)
{
	unsigned char tail[10] = { 0 };

	pattern_fill(self->buf, 0, self->size, 1);
	EXPECT_EQ(self->size, write(self->fd, self->buf, self->size + 1));
	EXPECT_EQ(self->size, lseek(self->fd, 0, SEEK_CUR));
	EXPECT_EQ(0, read(self->fd, self->buf, 1));
	EXPECT_EQ(-1, write(self->fd, self->buf, 1));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(-1, pwrite(self->fd, self->buf, 1, self->size + 1));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_SET));
	memset(self->buf, 0, self->size);
	EXPECT_EQ(self->size, read(self->fd, self->buf, self->size + 1));
	EXPECT_EQ(-1, pattern_check(self->buf, 0, self->size, 1));
	EXPECT_EQ(1, pread(self->fd, tail, 10, self->size - 1));
	EXPECT_EQ(pattern_at(self->size - 1, 1), tail[0]);
	EXPECT_EQ(0, tail[1]);
	EXPECT_EQ(self->size - 1, lseek(self->fd, -1, SEEK_END));
	EXPECT_EQ(-1, lseek(self->fd, -self->size - 1, SEEK_END));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(region0, file_and_node)
{
	int fd = region_open(self->fd, "region0", O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(self->size, region_size(fd));
	pattern_fill(self->buf, 0, self->size, 2);
	EXPECT_EQ(self->size, pwrite(fd, self->buf, self->size, 0));
	memset(self->buf, 0, self->size);
	EXPECT_EQ(self->size, pread(self->fd, self->buf, self->size, 0));
	EXPECT_EQ(-1, pattern_check(self->buf, 0, self->size, 2));
	EXPECT_EQ(0, region_reset(fd));
	check_initial(_metadata, self->fd, self->buf, self->size);

	/* Fixed in size, by either way. */
	EXPECT_EQ(-1, ftruncate(fd, self->size + 1));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, fallocate(self->fd, 0, 0, 1));
	EXPECT_NE(0, errno);
	EXPECT_EQ(self->size, region_size(fd));
	close(fd);
}

TEST_F(region0, splice)
{
	int pipefd[2];
	loff_t pos = 0;
	ssize_t ret;

	ASSERT_EQ(0, region_reset(self->fd));
	ASSERT_EQ(0, pipe(pipefd));
	ret = splice(self->fd, &pos, pipefd[1], NULL, self->size, 0);
	ASSERT_LT(0, ret);
	ASSERT_EQ(ret, read(pipefd[0], self->buf, ret));
	EXPECT_EQ(0x11, self->buf[0] | self->buf[3]);
	ASSERT_EQ(1, write(pipefd[1], "y", 1));
	pos = self->size - 1;
	EXPECT_EQ(1, splice(pipefd[0], NULL, self->fd, &pos, 1, 0));
	ASSERT_EQ(1, pread(self->fd, self->buf, 1, self->size - 1));
	EXPECT_EQ('y', self->buf[0]);
	close(pipefd[1]);
	close(pipefd[0]);
}

TEST_F(region0, flock)
{
	int other = control_open();

	ASSERT_LE(0, other);
	EXPECT_EQ(0, flock(self->fd, LOCK_EX));
	EXPECT_EQ(-1, flock(other, LOCK_EX | LOCK_NB));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_EQ(0, flock(self->fd, LOCK_UN));
	EXPECT_EQ(0, set_lock(self->fd, F_OFD_SETLK, F_WRLCK, 0, 0));
	EXPECT_EQ(-1, set_lock(other, F_OFD_SETLK, F_WRLCK, 7, 1));
	EXPECT_EQ(EAGAIN, errno);
	close(other);
}

/* The other boot regions, if the module was loaded with regions=. */
static void check_boot_node(struct __test_metadata *_metadata, int ctl,
			    const char *name)
{
	unsigned char *saved, *buf, *map;
	struct shm_kernel_info info;
	char path[512];
	struct stat st;
	int node, fd;
	off_t size;

	snprintf(path, sizeof(path), NODE_DIR "/%s", name);
	node = open(path, O_RDWR);
	ASSERT_LE(0, node);
	fd = region_open(ctl, name, O_RDWR);
	ASSERT_LE(0, fd) TH_LOG("%s: errno %d", name, errno);
	ASSERT_EQ(0, region_info(node, &info));
	EXPECT_STREQ(name, info.name);
	EXPECT_NE(0, info.flags & SHM_KERNEL_INFO_BOOT);
	ASSERT_EQ(0, fstat(node, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(info.mode, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_size);
	size = lseek(node, 0, SEEK_END);
	EXPECT_EQ(info.length, size);
	EXPECT_EQ(size, region_size(fd));

	saved = malloc(size);
	buf = malloc(size + 1);
	ASSERT_NE(NULL, saved);
	ASSERT_NE(NULL, buf);
	ASSERT_EQ(size, pread(node, saved, size, 0));
	pattern_fill(buf, 0, size, 1);
	EXPECT_EQ(size, pwrite(node, buf, size + 1, 0));
	EXPECT_EQ(-1, pwrite(node, buf, 1, size));
	EXPECT_EQ(ENOSPC, errno);
	map = region_map(node, size);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, pattern_check(map, 0, size, 1));
	pattern_fill(map, 0, size, 2);
	EXPECT_EQ(size, pread(fd, buf, size + 1, 0));
	EXPECT_EQ(-1, pattern_check(buf, 0, size, 2));
	EXPECT_EQ(0, region_reset(node));
	EXPECT_EQ(-1, zero_check(map, size));
	munmap(map, size);

	EXPECT_EQ(-1, ftruncate(fd, size + 1));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, region_remove(ctl, name));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, region_revoke(node));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, region_bind(node, "kst-other"));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(size, pwrite(fd, saved, size, 0));
	free(buf);
	free(saved);
	close(fd);
	close(node);
}

TEST_F(region0, other_boot_regions)
{
	unsigned int nodes = 0;
	struct dirent *entry;
	DIR *dir;

	dir = opendir(NODE_DIR);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		check_boot_node(_metadata, self->fd, entry->d_name);
		nodes++;
	}
	if (dir)
		closedir(dir);
	if (!nodes)
		SKIP(return, "the module was loaded without regions=");
}

TEST_HARNESS_MAIN
