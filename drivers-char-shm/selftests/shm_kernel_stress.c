// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once: regions are made, named, resized, revoked and removed
 * under processes that use them in every way there is
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <sys/uio.h>
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define NAMES		4
#define MAX_SIZE	(3 * MIB)
#define SECONDS		8

static unsigned int next_random(unsigned int *state)
{
	*state = *state * 1103515245 + 12345;
	return *state >> 8;
}

static const char *name_of(unsigned int number)
{
	static const char * const names[NAMES] = {
		"kst-stress-0", "kst-stress-1", "kst-stress-2", "kst-stress-3",
	};

	return names[number % NAMES];
}

/* How often what was done, so that it is seen to have been done at all. */
struct work {
	unsigned int created;
	unsigned int revoked;
	unsigned int resized;
	unsigned int removed;
	unsigned int opened;
	unsigned int stored;
	unsigned int faulted;
	unsigned int copied;
};

static void count(unsigned int *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/* Makes regions of every kind, and ends them in every way. */
static void manage(struct work *work)
{
	static const __u32 flags[] = {
		0, 0, SHM_KERNEL_CREATE_SMALL, SHM_KERNEL_CREATE_CONTIG,
		SHM_KERNEL_CREATE_PERSIST,
	};
	unsigned int state = getpid(), what;
	int ctl = control_open(), fd, i;
	const char *name;

	CHILD_CHECK(ctl >= 0);
	for (;;) {
		name = name_of(next_random(&state));
		what = next_random(&state);
		fd = region_create(ctl, what & 1 ? name : NULL,
				   1 + next_random(&state) % MAX_SIZE, 0600,
				   flags[next_random(&state) % ARRAY_SIZE(flags)]);
		if (fd < 0) {
			CHILD_CHECK(errno == EEXIST || errno == ENOMEM);
			fd = region_open(ctl, name, O_RDWR);
			if (fd < 0) {
				CHILD_CHECK(errno == ENOENT || errno == ENODEV);
				continue;
			}
		} else {
			count(&work->created);
			if (!(what & 1) && region_bind(fd, name))
				CHILD_CHECK(errno == EEXIST || errno == ENODEV);
		}
		for (i = 0; i < 4; i++) {
			if (ftruncate(fd, next_random(&state) % MAX_SIZE))
				CHILD_CHECK(errno == EPERM || errno == ENOMEM ||
					    errno == ENODEV);
			else
				count(&work->resized);
			sleep_ms(next_random(&state) % 3);
		}
		if (!region_clear(fd))
			region_reset(fd);
		switch (what / 2 % 4) {
		case 0:
			if (!region_revoke(fd))
				count(&work->revoked);
			break;
		case 1:
		case 2:
			if (!region_remove(ctl, name))
				count(&work->removed);
			break;
		}
		close(fd);
	}
}

/* Uses whatever is there; all errors that a vanishing region brings are fine. */
static void use(struct work *work)
{
	size_t page = page_size(), at, len;
	unsigned int state = getpid();
	unsigned char *map, *buf = malloc(64 * KIB);
	struct iovec iov, local;
	int ctl = control_open();
	int fd, i, pipefd[2];
	struct ring ring;
	pid_t pid;

	CHILD_CHECK(ctl >= 0 && buf && !pipe(pipefd));
	memset(buf, 0x5c, 64 * KIB);
	for (;;) {
		fd = region_open(ctl, name_of(next_random(&state)), O_RDWR);
		if (fd < 0) {
			CHILD_CHECK(errno == ENOENT || errno == ENODEV);
			continue;
		}
		count(&work->opened);
		len = MAX_SIZE;
		map = mmap(NULL, len, PROT_READ | PROT_WRITE,
			   next_random(&state) % 4 ? MAP_SHARED : MAP_PRIVATE,
			   fd, 0);
		if (map == MAP_FAILED) {
			CHILD_CHECK(errno == ENODEV);
			close(fd);
			continue;
		}
		for (i = 0; i < 12; i++) {
			at = next_random(&state) % (len / page - 16) * page;
			iov.iov_base = map + at;
			iov.iov_len = 16 * page;
			switch (next_random(&state) % 12) {
			case 0:
			case 1:
				count(probe_store(map + at, i) < 0 ?
				      &work->faulted : &work->stored);
				break;
			case 2:
				count(probe_load(map + at + page / 2) < 0 ?
				      &work->faulted : &work->stored);
				break;
			case 3:
				madvise(map + at, 16 * page, MADV_DONTNEED);
				break;
			case 4:
				if (pwrite(fd, buf, 64 * KIB, at) > 0)
					count(&work->copied);
				break;
			case 5:
				if (pread(fd, buf, 64 * KIB, at) > 0)
					count(&work->copied);
				break;
			case 6:
				if (!mlock(map + at, 16 * page))
					munlock(map + at, 16 * page);
				break;
			case 7:
				if (vmsplice(pipefd[1], &iov, 1,
					     SPLICE_F_NONBLOCK) > 0)
					CHILD_CHECK(read(pipefd[0], buf, 64 * KIB) > 0);
				break;
			case 8:
				local.iov_base = buf;
				local.iov_len = 64 * KIB;
				process_vm_readv(getpid(), &local, 1, &iov, 1, 0);
				break;
			case 9:
				mprotect(map + at, page, PROT_READ);
				break;
			case 10:
				if (next_random(&state) % 4)
					break;
				pid = spawn();
				if (!pid) {
					probe_store(map + at, 1);
					_exit(0);
				}
				CHILD_CHECK(!child_result(pid));
				break;
			case 11:
				if (next_random(&state) % 4 || ring_open(&ring))
					break;
				if (!syscall(__NR_io_uring_register, ring.fd,
					     IORING_REGISTER_BUFFERS, &iov, 1) &&
				    ring_do(&ring, IORING_OP_WRITE_FIXED, 0,
					    pipefd[1], map + at, page, 0) > 0)
					CHILD_CHECK(read(pipefd[0], buf, page) > 0);
				ring_close(&ring);
				break;
			}
			/* The mapping may well be the last that is left. */
			if (i == 6 && fd >= 0 && next_random(&state) % 2) {
				close(fd);
				fd = -1;
			}
		}
		munmap(map, len);
		if (fd >= 0)
			close(fd);
	}
}

/* Only looks, at all that there is. */
static void look(struct work *work)
{
	struct shm_kernel_info entries[8];
	struct shm_kernel_list arg;
	int ctl = control_open();
	unsigned int i;

	CHILD_CHECK(ctl >= 0);
	for (;;) {
		memset(&arg, 0, sizeof(arg));
		arg.size = sizeof(arg);
		arg.entries = (uintptr_t)entries;
		arg.entry_size = sizeof(entries[0]);
		do {
			arg.count = ARRAY_SIZE(entries);
			CHILD_CHECK(!ioctl(ctl, SHM_KERNEL_IOC_LIST, &arg));
			for (i = 0; i < arg.count; i++)
				CHILD_CHECK(strlen(entries[i].name) ==
					    entries[i].name_len);
		} while (arg.count);
		count(&work->copied);
		sleep_ms(5);
	}
}

TEST(all_at_once)
{
	static void (* const workers[])(struct work *work) = {
		manage, manage, use, use, use, use, look,
	};
	pid_t pids[ARRAY_SIZE(workers)];
	struct stats before;
	unsigned int i, round;
	struct work *work;
	long long end;
	int ctl;

	ctl = control_open();
	if (ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	stats_read(&before);
	work = mmap(NULL, sizeof(*work), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, work);
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		pids[i] = spawn();
		if (!pids[i])
			workers[i](work);
	}
	end = now_ms() + SECONDS * 1000;
	for (round = 0; now_ms() < end; round++) {
		sleep_ms(50);
		for (i = 0; i < ARRAY_SIZE(workers); i++)
			ASSERT_EQ(0, waitpid(pids[i], NULL, WNOHANG))
				TH_LOG("number %u gave up", i);
		/* One dies in the middle of what it does. */
		i = round % ARRAY_SIZE(workers);
		ASSERT_EQ(-SIGKILL, child_kill(pids[i]));
		pids[i] = spawn();
		if (!pids[i])
			workers[i](work);
	}
	for (i = 0; i < ARRAY_SIZE(workers); i++)
		EXPECT_EQ(-SIGKILL, child_kill(pids[i]));
	TH_LOG("created %u, revoked %u, resized %u, removed %u",
	       work->created, work->revoked, work->resized, work->removed);
	TH_LOG("opened %u, stored %u, SIGBUS %u, copied %u", work->opened,
	       work->stored, work->faulted, work->copied);
	EXPECT_LT(0, work->created);
	EXPECT_LT(0, work->revoked);
	EXPECT_LT(0, work->resized);
	EXPECT_LT(0, work->removed);
	EXPECT_LT(0, work->stored);
	EXPECT_LT(0, work->faulted);
	EXPECT_LT(0, work->copied);

	/* Only what was meant to persist is left, and that goes now. */
	for (i = 0; i < NAMES; i++)
		if (region_remove(ctl, name_of(i)))
			EXPECT_EQ(ENOENT, errno);
	EXPECT_TRUE(stats_return_to(&before));
	close(ctl);
}

TEST_HARNESS_MAIN
