// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of shm_kernel's event files: doorbells, and peers that come and go
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define NAME	"kst-event"
#define MODULE	"shm_kernel_driver"
#define SIZE	sizeof(struct shm_kernel_events)

FIXTURE(event) {
	int ctl;
	int fd;
	int a;		/* two peers that do not block */
	int b;
	struct stats stats;
};

static int read_events(int fd, struct shm_kernel_events *events)
{
	memset(events, 0xcc, sizeof(*events));
	return read(fd, events, sizeof(*events));
}

static int ring(int fd, __u64 times)
{
	return write(fd, &times, sizeof(times));
}

/* Reads what is there by now, so that only what comes after is left. */
static void drain(int fd)
{
	struct shm_kernel_events events;
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	while (read_events(fd, &events) > 0)
		;
	fcntl(fd, F_SETFL, flags);
}

FIXTURE_SETUP(event)
{
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "no " CONTROL_NODE);
	stats_read(&self->stats);
	self->fd = region_create(self->ctl, NAME, 4096, 0644, 0);
	ASSERT_LE(0, self->fd);
	self->a = region_subscribe(self->fd, O_NONBLOCK);
	ASSERT_LE(0, self->a);
	self->b = region_subscribe(self->fd, O_NONBLOCK);
	ASSERT_LE(0, self->b);
	drain(self->a);
}

FIXTURE_TEARDOWN(event)
{
	close(self->b);
	close(self->a);
	close(self->fd);
	EXPECT_TRUE(stats_return_to(&self->stats));
	close(self->ctl);
}

/* The next read gives exactly this. */
static void expect_events(struct __test_metadata *_metadata, int fd,
			  const struct shm_kernel_events *want)
{
	struct shm_kernel_events got;

	ASSERT_EQ(SIZE, read_events(fd, &got)) TH_LOG("errno %d", errno);
	EXPECT_EQ(want->rings, got.rings);
	EXPECT_EQ(want->peers_come, got.peers_come);
	EXPECT_EQ(want->peers_gone, got.peers_gone);
	EXPECT_EQ(want->resized, got.resized);
	EXPECT_EQ(want->sealed, got.sealed);
	EXPECT_EQ(want->revoked, got.revoked);
	EXPECT_EQ(want->peers, got.peers);
}

#define EXPECT_EVENTS(fd, ...) \
	expect_events(_metadata, fd, &(struct shm_kernel_events){ __VA_ARGS__ })

static void expect_nothing(struct __test_metadata *_metadata, int fd)
{
	struct shm_kernel_events got;

	errno = 0;
	EXPECT_EQ(-1, read_events(fd, &got));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(0xcccccccc, got.peers);
}

#define EXPECT_NOTHING(fd)	expect_nothing(_metadata, fd)

/* What an event file is, and what it is not. */
TEST_F(event, file)
{
	struct shm_kernel_info info;
	struct stat st;
	char byte;
	int fd, ro;

	fd = region_subscribe(self->fd, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(O_RDWR, fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	EXPECT_EQ(O_RDWR | O_NONBLOCK,
		  fcntl(self->a, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	ro = region_open(self->ctl, NAME, O_RDONLY);
	ASSERT_LE(0, ro);
	close(fd);
	fd = region_subscribe(ro, O_NONBLOCK);
	ASSERT_LE(0, fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(O_RDONLY | O_NONBLOCK,
		  fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	close(fd);
	close(ro);

	EXPECT_EQ(-1, lseek(self->a, 0, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, pread(self->a, &byte, 1, 0));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->a, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ftruncate(self->a, 0));
	EXPECT_EQ(EINVAL, errno);
	/* It has none of a region's ioctls. */
	EXPECT_EQ(-1, region_info(self->a, &info));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, region_subscribe(self->a, 0));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, region_revoke(self->a));
	EXPECT_EQ(ENOTTY, errno);
	ASSERT_EQ(0, fstat(self->a, &st));
	EXPECT_EQ(0, st.st_size);
}

TEST_F(event, rings_everyone_else)
{
	int c = region_subscribe(self->fd, O_NONBLOCK);
	struct shm_kernel_info info;

	ASSERT_LE(0, c);
	EXPECT_EVENTS(self->a, .peers_come = 1, .peers = 2);
	EXPECT_EVENTS(self->b, .peers_come = 1, .peers = 2);
	EXPECT_NOTHING(c);

	EXPECT_EQ(8, ring(self->a, 5));
	EXPECT_NOTHING(self->a);
	EXPECT_EVENTS(self->b, .rings = 5, .peers = 2);
	EXPECT_NOTHING(self->b);
	/* What is not read adds up. */
	EXPECT_EQ(8, ring(self->b, 1));
	EXPECT_EQ(8, ring(self->a, 2));
	EXPECT_EVENTS(c, .rings = 8, .peers = 2);
	EXPECT_NOTHING(c);
	EXPECT_EVENTS(self->a, .rings = 1, .peers = 2);
	EXPECT_EVENTS(self->b, .rings = 2, .peers = 2);
	EXPECT_EQ(8, ring(c, 1));
	EXPECT_EQ(8, ring(c, 1));
	EXPECT_EVENTS(self->a, .rings = 2, .peers = 2);
	ASSERT_EQ(0, region_info(self->fd, &info));
	EXPECT_EQ(10, info.rings);
	EXPECT_EQ(3, info.peers);
	close(c);
}

TEST_F(event, write_values)
{
	static const __u64 bad[] = { 0, ~0ULL };
	static const __u64 most[] = {
		0xffffffff, 0x100000000, 1ULL << 63, ~0ULL - 1,
	};
	size_t page = page_size();
	unsigned int i;
	char buf[32] = { 1 };
	struct iovec iov[2] = { { buf, 3 }, { buf + 3, 5 } };
	char *map;

	for (i = 0; i <= sizeof(buf); i++) {
		if (i == 8)
			continue;
		EXPECT_EQ(-1, write(self->a, buf, i)) TH_LOG("%u bytes", i);
		EXPECT_EQ(EINVAL, errno) TH_LOG("%u bytes", i);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-1, ring(self->a, bad[i]));
		EXPECT_EQ(EINVAL, errno);
	}
	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	memset(map, 1, page);
	ASSERT_EQ(0, mprotect(map + page, page, PROT_NONE));
	EXPECT_EQ(-1, write(self->a, (void *)-1L, 8));
	EXPECT_EQ(EFAULT, errno);
	for (i = 1; i < 8; i++) {
		EXPECT_EQ(-1, write(self->a, map + page - i, 8));
		EXPECT_EQ(EFAULT, errno);
	}
	iov[1].iov_base = map + page - 3;
	EXPECT_EQ(-1, writev(self->a, iov, 2));
	EXPECT_EQ(EFAULT, errno);
	iov[1].iov_len = 3;
	EXPECT_EQ(-1, writev(self->a, iov, 2));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_NOTHING(self->b);
	/* The number may come in pieces. */
	iov[1] = (struct iovec){ buf + 3, 5 };
	EXPECT_EQ(8, writev(self->a, iov, 2));
	EXPECT_EVENTS(self->b, .rings = 1, .peers = 1);
	munmap(map, 2 * page);

	/* At most 2^32 - 1 at once. */
	for (i = 0; i < ARRAY_SIZE(most); i++) {
		EXPECT_EQ(8, ring(self->a, most[i]));
		EXPECT_EVENTS(self->b, .rings = 0xffffffff, .peers = 1);
	}
	/* No sum of them looks like nothing. */
	for (i = 0; i < 1000; i++)
		EXPECT_EQ(8, ring(self->a, 0xffffffff));
	EXPECT_EVENTS(self->b, .rings = 0xffffffffULL * 1000, .peers = 1);
	EXPECT_NOTHING(self->a);
}

TEST_F(event, read_sizes)
{
	unsigned char buf[256];
	struct shm_kernel_events events;
	struct iovec iov[3] = { { buf, 8 }, { buf + 8, 1 }, { buf + 9, 100 } };
	unsigned int i;

	/* Too short is an error whether there is something or not. */
	for (i = 0; i < SIZE; i++) {
		EXPECT_EQ(-1, read(self->b, buf, i)) TH_LOG("%u bytes", i);
		EXPECT_EQ(EINVAL, errno) TH_LOG("%u bytes", i);
	}
	EXPECT_EQ(8, ring(self->a, 3));
	for (i = 0; i < SIZE; i++) {
		EXPECT_EQ(-1, read(self->b, buf, i)) TH_LOG("%u bytes", i);
		EXPECT_EQ(EINVAL, errno) TH_LOG("%u bytes", i);
	}
	EXPECT_EVENTS(self->b, .rings = 3, .peers = 1);

	/* A longer one is filled as far as it goes. */
	for (i = SIZE; i < sizeof(buf); i++) {
		EXPECT_EQ(8, ring(self->a, i));
		memset(buf, 0xcc, sizeof(buf));
		EXPECT_EQ(SIZE, read(self->b, buf, i));
		memcpy(&events, buf, SIZE);
		EXPECT_EQ(i, events.rings);
		EXPECT_EQ(1, events.peers);
		EXPECT_EQ(0xcc, buf[SIZE]);
		EXPECT_EQ(0, memcmp(buf + SIZE, buf + SIZE + 1,
				    sizeof(buf) - SIZE - 1));
	}
	EXPECT_EQ(8, ring(self->a, 9));
	memset(buf, 0xcc, sizeof(buf));
	EXPECT_EQ(SIZE, readv(self->b, iov, 3));
	memcpy(&events, buf, SIZE);
	EXPECT_EQ(9, events.rings);
	EXPECT_EQ(0, events.sealed);
	EXPECT_EQ(1, events.peers);
}

/* What could not be handed over is still there. */
TEST_F(event, fault_loses_nothing)
{
	size_t page = page_size(), i;
	struct shm_kernel_events events;
	struct iovec iov[2];
	char *map;
	int c;

	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + page, page));

	c = region_subscribe(self->fd, 0);
	ASSERT_LE(0, c);
	close(c);
	EXPECT_EQ(8, ring(self->a, 4));
	ASSERT_EQ(0, ftruncate(self->fd, 5000));
	ASSERT_EQ(0, region_add_seals(self->fd, SHM_KERNEL_SEAL_SHRINK));
	EXPECT_EQ(-1, read(self->b, (void *)-1L, SIZE));
	EXPECT_EQ(EFAULT, errno);
	for (i = 0; i < SIZE; i++) {
		EXPECT_EQ(-1, read(self->b, map + page - i, SIZE));
		EXPECT_EQ(EFAULT, errno);
	}
	iov[0].iov_base = &events;
	iov[0].iov_len = 16;
	iov[1].iov_base = map + page;
	iov[1].iov_len = 16;
	EXPECT_EQ(-1, readv(self->b, iov, 2));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(0, mprotect(map, page, PROT_READ));
	EXPECT_EQ(-1, read(self->b, map, SIZE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(8, ring(self->a, 1));
	EXPECT_EVENTS(self->b, .rings = 5, .peers_come = 1, .peers_gone = 1,
		      .resized = 1, .sealed = 1, .peers = 1);
	EXPECT_NOTHING(self->b);
	munmap(map, page);
}

TEST_F(event, read_only_cannot_ring)
{
	int ro = region_open(self->ctl, NAME, O_RDONLY);
	struct pollfd poller;
	char path[64];
	int fd, again;

	ASSERT_LE(0, ro);
	fd = region_subscribe(ro, O_NONBLOCK);
	ASSERT_LE(0, fd);
	drain(self->a);
	EXPECT_EQ(-1, ring(fd, 1));
	EXPECT_EQ(EBADF, errno);
	/* Not by any other way either. */
	EXPECT_EQ(0, fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK));
	EXPECT_EQ(-1, ring(fd, 1));
	EXPECT_EQ(EBADF, errno);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR);
	EXPECT_EQ(-1, again);
	EXPECT_NOTHING(self->a);
	poller = (struct pollfd){ .fd = fd, .events = POLLIN | POLLOUT };
	EXPECT_EQ(0, poll(&poller, 1, 0));

	/* It hears as well as any other. */
	EXPECT_EQ(8, ring(self->a, 2));
	EXPECT_EQ(1, poll(&poller, 1, 0));
	EXPECT_EQ(POLLIN, poller.revents);
	EXPECT_EVENTS(fd, .rings = 2, .peers = 2);
	close(fd);
	close(ro);
}

/* Somebody who may only read the region may be a peer. */
TEST_F(event, other_user)
{
	pid_t pid;
	int ro, ctl = self->ctl;

	pid = spawn();
	if (!pid) {
		int fd;

		become_user(NOBODY);
		ro = region_open(ctl, NAME, O_RDONLY);
		CHILD_CHECK(ro >= 0);
		CHILD_CHECK(region_open(ctl, NAME, O_RDWR) < 0 && errno == EACCES);
		fd = region_subscribe(ro, O_NONBLOCK);
		CHILD_CHECK(fd >= 0);
		CHILD_CHECK(ring(fd, 1) < 0 && errno == EBADF);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EVENTS(self->a, .peers_come = 1, .peers_gone = 1, .peers = 1);
}

TEST_F(event, peers_come_and_go)
{
	int c, d;

	c = region_subscribe(self->fd, O_NONBLOCK);
	ASSERT_LE(0, c);
	EXPECT_EVENTS(self->a, .peers_come = 1, .peers = 2);
	d = region_subscribe(self->fd, O_NONBLOCK);
	ASSERT_LE(0, d);
	EXPECT_EVENTS(c, .peers_come = 1, .peers = 3);
	/* Who comes later is not told of what was before. */
	EXPECT_NOTHING(d);
	close(c);
	EXPECT_EVENTS(self->a, .peers_come = 1, .peers_gone = 1, .peers = 2);
	EXPECT_EVENTS(d, .peers_gone = 1, .peers = 2);
	EXPECT_EVENTS(self->b, .peers_come = 2, .peers_gone = 1, .peers = 2);
	close(d);
	EXPECT_EVENTS(self->a, .peers_gone = 1, .peers = 1);
	EXPECT_EVENTS(self->b, .peers_gone = 1, .peers = 1);
}

/* Duplicates and children share a peer, until the last of them is closed. */
TEST_F(event, shared_peer)
{
	int c, copy, status[2];
	pid_t pid;
	char byte;

	ASSERT_EQ(0, pipe(status));
	c = region_subscribe(self->fd, O_NONBLOCK);
	ASSERT_LE(0, c);
	drain(self->a);
	copy = dup(c);
	ASSERT_LE(0, copy);
	EXPECT_EQ(8, ring(self->a, 1));
	EXPECT_EVENTS(copy, .rings = 1, .peers = 2);
	EXPECT_NOTHING(c);
	EXPECT_EQ(8, ring(copy, 1));
	EXPECT_NOTHING(c);
	EXPECT_EVENTS(self->a, .rings = 1, .peers = 2);
	close(c);
	EXPECT_NOTHING(self->a);

	pid = spawn();
	if (!pid) {
		close(status[1]);
		CHILD_CHECK(ring(copy, 3) == 8);
		CHILD_CHECK(read(status[0], &byte, 1) == 0);
		_exit(0);
	}
	close(copy);
	while (poll(&(struct pollfd){ .fd = self->a, .events = POLLIN }, 1, 5000) != 1)
		;
	EXPECT_EVENTS(self->a, .rings = 3, .peers = 2);
	close(status[1]);
	EXPECT_EQ(0, child_result(pid));
	close(status[0]);
	EXPECT_EVENTS(self->a, .peers_gone = 1, .peers = 1);
}

/* However a program ends, the others see its peers go. */
TEST_F_TIMEOUT(event, killed_peer, 120)
{
	struct shm_kernel_events events;
	int blocking, ready[2], i;
	char byte;
	pid_t pid;

	blocking = region_subscribe(self->fd, 0);
	ASSERT_LE(0, blocking);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, pipe(ready));
		drain(blocking);
		pid = spawn();
		if (!pid) {
			int one = region_subscribe(self->fd, 0);
			int two = region_subscribe(self->fd, 0);

			CHILD_CHECK(one >= 0 && two >= 0);
			drain(one);
			CHILD_CHECK(write(ready[1], "x", 1) == 1);
			/* Killed while it sleeps in read(), or while it does not. */
			if (i % 2)
				read_events(one, &events);
			for (;;)
				pause();
		}
		ASSERT_EQ(1, read(ready[0], &byte, 1));
		close(ready[0]);
		close(ready[1]);
		EXPECT_EVENTS(blocking, .peers_come = 2, .peers = 4);
		if (i % 2)
			wait_asleep(pid);
		kill(pid, SIGKILL);
		/* Both go, one after the other. */
		ASSERT_EQ(SIZE, read_events(blocking, &events));
		if (events.peers_gone == 1) {
			EXPECT_EQ(3, events.peers);
			EXPECT_EVENTS(blocking, .peers_gone = 1, .peers = 2);
		} else {
			EXPECT_EQ(2, events.peers_gone);
			EXPECT_EQ(2, events.peers);
		}
		EXPECT_EQ(-SIGKILL, child_result(pid));
	}
	close(blocking);
}

/* Everything that read() returns wakes who waits for it. */
TEST_F(event, wakes_a_reader)
{
	struct shm_kernel_events events;
	int kind, status;
	pid_t pid;
	int fd, c;

	for (kind = 0; kind < 6; kind++) {
		c = kind == 2 ? region_subscribe(self->fd, 0) : -1;
		fd = region_subscribe(self->fd, 0);
		ASSERT_LE(0, fd);
		pid = spawn();
		if (!pid) {
			if (c >= 0)
				close(c);
			alarm(20);
			CHILD_CHECK(read_events(fd, &events) == SIZE);
			CHILD_CHECK(events.rings == (kind == 0 ? 6 : 0));
			CHILD_CHECK(events.peers_come == (kind == 1));
			CHILD_CHECK(events.peers_gone == (kind == 2));
			CHILD_CHECK(events.resized == (kind == 3));
			CHILD_CHECK(events.sealed == (kind == 4));
			CHILD_CHECK(events.revoked == (kind == 5));
			_exit(0);
		}
		wait_asleep(pid);
		switch (kind) {
		case 0:
			EXPECT_EQ(8, ring(self->a, 6));
			break;
		case 1:
			c = region_subscribe(self->fd, 0);
			break;
		case 2:
			close(c);
			c = -1;
			break;
		case 3:
			EXPECT_EQ(0, ftruncate(self->fd, 9999));
			break;
		case 4:
			EXPECT_EQ(0, region_add_seals(self->fd, SHM_KERNEL_SEAL_GROW));
			break;
		case 5:
			EXPECT_EQ(0, region_revoke(self->fd));
			break;
		}
		status = child_result(pid);
		EXPECT_EQ(0, status) TH_LOG("kind %d", kind);
		if (c >= 0)
			close(c);
		close(fd);
	}
}

static sig_atomic_t handled;

static void handler(int sig)
{
	(void)sig;
	handled++;
}

/* A signal interrupts a read, or does not, as its handler was set up. */
TEST_F(event, signals)
{
	struct shm_kernel_events events;
	int restart, fd;
	pid_t pid;

	for (restart = 0; restart < 2; restart++) {
		fd = region_subscribe(self->fd, 0);
		ASSERT_LE(0, fd);
		pid = spawn();
		if (!pid) {
			struct sigaction sa = {
				.sa_handler = handler,
				.sa_flags = restart ? SA_RESTART : 0,
			};

			alarm(20);
			handled = 0;
			CHILD_CHECK(!sigaction(SIGUSR1, &sa, NULL));
			if (!restart) {
				CHILD_CHECK(read_events(fd, &events) == -1);
				CHILD_CHECK(errno == EINTR);
				CHILD_CHECK(handled == 1);
			}
			CHILD_CHECK(read_events(fd, &events) == SIZE);
			CHILD_CHECK(events.rings == 7);
			CHILD_CHECK(handled == 1);
			_exit(0);
		}
		wait_asleep(pid);
		kill(pid, SIGUSR1);
		sleep_ms(20);
		wait_asleep(pid);
		EXPECT_EQ(8, ring(self->a, 7));
		EXPECT_EQ(0, child_result(pid)) TH_LOG("restart %d", restart);
		close(fd);
	}
}

TEST_F(event, nonblocking)
{
	struct shm_kernel_events events;
	struct iovec iov = { &events, SIZE };
	int fd = region_subscribe(self->fd, 0);
	pid_t pid;

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, fcntl(fd, F_SETFL, O_NONBLOCK));
	EXPECT_NOTHING(fd);
	EXPECT_EQ(0, fcntl(fd, F_SETFL, 0));
	/* For one call only. */
	EXPECT_EQ(-1, preadv2(fd, &iov, 1, -1, RWF_NOWAIT));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(8, ring(self->a, 1));
	EXPECT_EQ(SIZE, preadv2(fd, &iov, 1, -1, RWF_NOWAIT));
	EXPECT_EQ(1, events.rings);

	pid = spawn();
	if (!pid) {
		alarm(20);
		CHILD_CHECK(read_events(fd, &events) == SIZE);
		CHILD_CHECK(events.rings == 2);
		_exit(0);
	}
	wait_asleep(pid);
	EXPECT_EQ(8, ring(self->a, 2));
	EXPECT_EQ(0, child_result(pid));
	close(fd);
}

static int poll_now(int fd, short events)
{
	struct pollfd poller = { .fd = fd, .events = events };

	return poll(&poller, 1, 0) < 0 ? -1 : poller.revents;
}

TEST_F(event, poll)
{
	const short all = POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM;
	const short in = POLLIN | POLLRDNORM;
	const short out = POLLOUT | POLLWRNORM;
	struct shm_kernel_events events;

	drain(self->b);
	EXPECT_EQ(out, poll_now(self->b, all));
	EXPECT_EQ(8, ring(self->a, 1));
	EXPECT_EQ(out, poll_now(self->a, all));
	EXPECT_EQ(in | out, poll_now(self->b, all));
	/* Looking takes nothing away. */
	EXPECT_EQ(in | out, poll_now(self->b, all));
	EXPECT_EQ(0, poll_now(self->b, 0));
	EXPECT_EQ(SIZE, read_events(self->b, &events));
	EXPECT_EQ(out, poll_now(self->b, all));

	ASSERT_EQ(0, region_revoke(self->fd));
	EXPECT_EQ(POLLHUP, poll_now(self->b, 0));
	EXPECT_EQ(POLLHUP | POLLIN, poll_now(self->b, POLLIN));
	EXPECT_EQ(SIZE, read_events(self->b, &events));
	/* It stays readable: read() does not block any more. */
	EXPECT_EQ(POLLHUP | POLLIN, poll_now(self->b, POLLIN));
	EXPECT_EQ(-1, read_events(self->b, &events));
	EXPECT_EQ(ENODEV, errno);
}

/* Who waits for the end only is told of it. */
TEST_F(event, poll_for_hangup)
{
	int kind, fd, ep, region;
	pid_t pid;

	for (kind = 0; kind < 2; kind++) {
		region = region_create(self->ctl, NULL, 1, 0600, 0);
		ASSERT_LE(0, region);
		fd = region_subscribe(region, 0);
		ASSERT_LE(0, fd);
		pid = spawn();
		if (!pid) {
			struct pollfd poller = { .fd = fd };
			struct epoll_event event = { .events = EPOLLET };

			if (kind) {
				CHILD_CHECK(poll(&poller, 1, 10000) == 1);
				CHILD_CHECK(poller.revents == POLLHUP);
				_exit(0);
			}
			ep = epoll_create1(0);
			CHILD_CHECK(ep >= 0);
			CHILD_CHECK(!epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
			CHILD_CHECK(epoll_wait(ep, &event, 1, 10000) == 1);
			CHILD_CHECK(event.events == EPOLLHUP);
			_exit(0);
		}
		wait_asleep(pid);
		ASSERT_EQ(0, region_revoke(region));
		EXPECT_EQ(0, child_result(pid)) TH_LOG("kind %d", kind);
		close(fd);
		close(region);
	}
}

TEST_F(event, epoll)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = 1 };
	struct shm_kernel_events events;
	int level, edge;

	drain(self->b);
	level = epoll_create1(EPOLL_CLOEXEC);
	edge = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, level);
	ASSERT_LE(0, edge);
	ASSERT_EQ(0, epoll_ctl(level, EPOLL_CTL_ADD, self->b, &event));
	event.events = EPOLLIN | EPOLLET;
	ASSERT_EQ(0, epoll_ctl(edge, EPOLL_CTL_ADD, self->b, &event));
	EXPECT_EQ(0, epoll_wait(level, &event, 1, 0));
	EXPECT_EQ(0, epoll_wait(edge, &event, 1, 0));

	/* Level: as long as there is something. Edge: for each ring. */
	EXPECT_EQ(8, ring(self->a, 1));
	EXPECT_EQ(1, epoll_wait(level, &event, 1, 0));
	EXPECT_EQ(EPOLLIN, event.events);
	EXPECT_EQ(1, epoll_wait(level, &event, 1, 0));
	EXPECT_EQ(1, epoll_wait(edge, &event, 1, 0));
	EXPECT_EQ(EPOLLIN, event.events);
	EXPECT_EQ(0, epoll_wait(edge, &event, 1, 0));
	EXPECT_EQ(8, ring(self->a, 1));
	EXPECT_EQ(1, epoll_wait(edge, &event, 1, 0));
	EXPECT_EQ(0, epoll_wait(edge, &event, 1, 0));
	EXPECT_EQ(SIZE, read_events(self->b, &events));
	EXPECT_EQ(2, events.rings);
	EXPECT_EQ(0, epoll_wait(level, &event, 1, 0));
	EXPECT_EQ(0, epoll_wait(edge, &event, 1, 0));
	EXPECT_EQ(8, ring(self->a, 1));
	EXPECT_EQ(1, epoll_wait(level, &event, 1, 0));
	EXPECT_EQ(1, epoll_wait(edge, &event, 1, 0));

	/* Own rings are no event. */
	drain(self->b);
	EXPECT_EQ(0, epoll_wait(edge, &event, 1, 0));
	EXPECT_EQ(8, ring(self->b, 1));
	EXPECT_EQ(0, epoll_wait(level, &event, 1, 0));
	close(edge);
	close(level);
}

/* Each peer wakes, even if each of them asks to be woken alone. */
TEST_F(event, epoll_exclusive)
{
	pid_t pids[3];
	int fds[3], i;

	for (i = 0; i < 3; i++) {
		fds[i] = region_subscribe(self->fd, O_NONBLOCK);
		ASSERT_LE(0, fds[i]);
	}
	for (i = 0; i < 3; i++)
		drain(fds[i]);
	for (i = 0; i < 3; i++) {
		pids[i] = spawn();
		if (!pids[i]) {
			struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE };
			int ep = epoll_create1(0);

			CHILD_CHECK(ep >= 0);
			CHILD_CHECK(!epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &event));
			CHILD_CHECK(epoll_wait(ep, &event, 1, 10000) == 1);
			_exit(0);
		}
	}
	for (i = 0; i < 3; i++)
		wait_asleep(pids[i]);
	EXPECT_EQ(8, ring(self->a, 1));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, child_result(pids[i])) TH_LOG("peer %d", i);
		close(fds[i]);
	}
}

TEST_F(event, io_uring)
{
	struct shm_kernel_events events;
	int fd = region_subscribe(self->fd, 0);
	struct ring uring;
	__u64 times = 4;
	pid_t pid;

	ASSERT_LE(0, fd);
	if (ring_open(&uring))
		SKIP(return, "no io_uring: %s", strerror(errno));
	drain(self->a);
	EXPECT_EQ(8, ring_do(&uring, IORING_OP_WRITE, 0, fd, &times, 8, -1));
	EXPECT_EVENTS(self->a, .rings = 4, .peers = 2);
	EXPECT_EQ(8, ring(self->a, 3));
	memset(&events, 0xcc, SIZE);
	EXPECT_EQ(SIZE, ring_do(&uring, IORING_OP_READ, 0, fd, &events, SIZE, -1));
	EXPECT_EQ(3, events.rings);
	EXPECT_EQ(0, events.peers_come);
	EXPECT_EQ(-EINVAL, ring_do(&uring, IORING_OP_READ, 0, fd, &events, SIZE - 1, -1));
	times = 0;
	EXPECT_EQ(-EINVAL, ring_do(&uring, IORING_OP_WRITE, 0, fd, &times, 8, -1));

	/* It waits, by whatever means. */
	pid = spawn();
	if (!pid) {
		sleep_ms(50);
		CHILD_CHECK(ring(self->a, 5) == 8);
		_exit(0);
	}
	EXPECT_EQ(SIZE, ring_do(&uring, IORING_OP_READ, 0, fd, &events, SIZE, -1));
	EXPECT_EQ(5, events.rings);
	EXPECT_EQ(0, child_result(pid));
	pid = spawn();
	if (!pid) {
		sleep_ms(50);
		CHILD_CHECK(ring(self->a, 6) == 8);
		_exit(0);
	}
	EXPECT_EQ(SIZE, ring_do(&uring, IORING_OP_READ, IOSQE_ASYNC, fd, &events,
				SIZE, -1));
	EXPECT_EQ(6, events.rings);
	EXPECT_EQ(0, child_result(pid));
	ring_close(&uring);
	close(fd);
}

TEST_F(event, changes_of_the_region)
{
	struct shm_kernel_events events;
	int fd;

	/* Only what changes something. */
	ASSERT_EQ(0, ftruncate(self->fd, 5000));
	ASSERT_EQ(0, ftruncate(self->fd, 5000));
	ASSERT_EQ(0, ftruncate(self->fd, 4000));
	EXPECT_EVENTS(self->a, .resized = 2, .peers = 1);
	ASSERT_EQ(0, region_add_seals(self->fd, SHM_KERNEL_SEAL_GROW));
	EXPECT_EQ(-1, ftruncate(self->fd, 5000));
	EXPECT_EVENTS(self->a, .sealed = 1, .peers = 1);
	ASSERT_EQ(0, region_add_seals(self->fd, SHM_KERNEL_SEAL_SHRINK |
				      SHM_KERNEL_SEAL_SEAL));
	EXPECT_EQ(-1, region_add_seals(self->fd, SHM_KERNEL_SEAL_GROW));
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EVENTS(self->a, .sealed = 1, .peers = 1);
	ASSERT_EQ(0, region_clear(self->fd));
	ASSERT_EQ(0, region_remove(self->ctl, NAME));
	EXPECT_NOTHING(self->a);

	/* With what was not read before, at once and once. */
	EXPECT_EQ(8, ring(self->b, 9));
	ASSERT_EQ(0, region_revoke(self->fd));
	EXPECT_EVENTS(self->a, .rings = 9, .revoked = 1, .peers = 1);
	EXPECT_EQ(-1, read_events(self->a, &events));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ring(self->a, 1));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EVENTS(self->b, .resized = 2, .sealed = 2, .revoked = 1, .peers = 1);
	EXPECT_EQ(-1, ring(self->b, 1));
	EXPECT_EQ(ENODEV, errno);
	fcntl(self->b, F_SETFL, 0);
	EXPECT_EQ(-1, read_events(self->b, &events));
	EXPECT_EQ(ENODEV, errno);
	fd = region_subscribe(self->fd, 0);
	EXPECT_EQ(-1, fd);
	EXPECT_EQ(ENODEV, errno);
}

/* An event file keeps the region and its name, as a region file does. */
TEST_F(event, keeps_the_name)
{
	char text[4];
	int fd;

	EXPECT_EQ(4, pwrite(self->fd, "abcd", 4, 0));
	close(self->fd);
	close(self->a);
	fd = region_open(self->ctl, NAME, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(4, pread(fd, text, 4, 0));
	EXPECT_EQ(0, memcmp(text, "abcd", 4));
	close(fd);
	EXPECT_EVENTS(self->b, .peers_gone = 1, .peers = 0);
	close(self->b);
	EXPECT_EQ(ENOENT, name_gone(self->ctl, NAME));
	/* For the teardown. */
	self->fd = -1;
	self->a = -1;
	self->b = -1;
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
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		found |= !strcmp(line, want);
	}
	fclose(file);
	return found;
}

TEST_F(event, fdinfo)
{
	struct shm_kernel_info info;
	char line[128];
	int i, fds[] = { self->fd, self->a, self->b };

	EXPECT_EQ(8, ring(self->a, 11));
	EXPECT_EQ(8, ring(self->b, 5));
	ASSERT_EQ(0, region_info(self->fd, &info));
	snprintf(line, sizeof(line), "shm_kernel-id:\t%llu", info.id);
	for (i = 0; i < 3; i++) {
		EXPECT_TRUE(fdinfo_has(fds[i], line));
		EXPECT_TRUE(fdinfo_has(fds[i], "shm_kernel-name:\t" NAME));
		EXPECT_TRUE(fdinfo_has(fds[i], "shm_kernel-peers:\t2"));
		EXPECT_TRUE(fdinfo_has(fds[i], "shm_kernel-clients:\t0"));
		EXPECT_TRUE(fdinfo_has(fds[i], "shm_kernel-rings:\t16"));
	}
	EXPECT_TRUE(fdinfo_has(self->a, "shm_kernel-unread-rings:\t5"));
	EXPECT_TRUE(fdinfo_has(self->b, "shm_kernel-unread-rings:\t11"));
	drain(self->a);
	EXPECT_TRUE(fdinfo_has(self->a, "shm_kernel-unread-rings:\t0"));
	EXPECT_TRUE(fdinfo_has(self->b, "shm_kernel-unread-rings:\t11"));
}

/* Boot regions have doorbells, too, on their nodes. */
TEST_F(event, node)
{
	int ro = open(CONTROL_NODE, O_RDONLY | O_CLOEXEC);
	int fd, listener;

	ASSERT_LE(0, ro);
	listener = region_subscribe(ro, O_NONBLOCK);
	ASSERT_LE(0, listener);
	fd = region_subscribe(self->ctl, O_NONBLOCK);
	ASSERT_LE(0, fd);
	drain(listener);
	EXPECT_EQ(8, ring(fd, 3));
	EXPECT_EVENTS(listener, .rings = 3, .peers = 1);
	EXPECT_EQ(-1, ring(listener, 3));
	EXPECT_EQ(EBADF, errno);
	close(fd);
	EXPECT_EVENTS(listener, .peers_gone = 1, .peers = 0);
	close(listener);
	close(ro);
}

/* Whoever is told of a ring sees what was stored before it. */
TEST_F_TIMEOUT(event, store_before_ring, 120)
{
	unsigned int *words = region_map(self->fd, 4096);
	struct shm_kernel_events events;
	unsigned int i, seen = 0;
	__u64 rings = 0;
	int fd, writer;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, words);
	fd = region_subscribe(self->fd, 0);
	ASSERT_LE(0, fd);
	writer = region_subscribe(self->fd, 0);
	ASSERT_LE(0, writer);
	drain(fd);
	pid = spawn();
	if (!pid) {
		for (i = 1; i <= 5000; i++) {
			__atomic_store_n(&words[0], i, __ATOMIC_RELAXED);
			CHILD_CHECK(ring(writer, 1) == 8);
		}
		_exit(0);
	}
	while (rings < 5000) {
		ASSERT_EQ(SIZE, read_events(fd, &events));
		rings += events.rings;
		if (__atomic_load_n(&words[0], __ATOMIC_RELAXED) < rings)
			seen++;
	}
	EXPECT_EQ(0, seen);
	EXPECT_EQ(5000, rings);
	EXPECT_EQ(0, child_result(pid));
	close(writer);
	close(fd);
	munmap(words, 4096);
}

#define STORM_PROCESSES	4
#define STORM_RINGS	2000

struct counter {
	int fd;
	__u64 rings;
	__u64 come;
	__u64 gone;
	__u32 most;
	int error;
};

static void *count_events(void *arg)
{
	struct counter *counter = arg;
	struct shm_kernel_events events;

	for (;;) {
		if (read_events(counter->fd, &events) != SIZE) {
			counter->error = errno;
			break;
		}
		__atomic_fetch_add(&counter->rings, events.rings, __ATOMIC_RELAXED);
		__atomic_fetch_add(&counter->come, events.peers_come, __ATOMIC_RELAXED);
		__atomic_fetch_add(&counter->gone, events.peers_gone, __ATOMIC_RELAXED);
		if (events.peers > counter->most)
			counter->most = events.peers;
		if (events.revoked)
			break;
	}
	return NULL;
}

static void *storm_rings(void *arg)
{
	int i;

	for (i = 1; i <= STORM_RINGS; i++)
		CHILD_CHECK(ring(*(int *)arg, i % 5 + 1) == 8);
	return NULL;
}

/*
 * Processes, each of them with threads, ring at the same time, come and go.
 * Readers that have a peer of their own, and two that share one, miss nothing.
 */
TEST_F_TIMEOUT(event, storm, 120)
{
	struct counter own = { 0 }, shared = { 0 };
	pthread_t threads[3], two[2];
	pid_t pids[STORM_PROCESSES];
	__u64 want = 0, come = 0;
	int i, status = 0;

	own.fd = region_subscribe(self->fd, 0);
	ASSERT_LE(0, own.fd);
	shared.fd = region_subscribe(self->fd, 0);
	ASSERT_LE(0, shared.fd);
	drain(own.fd);
	drain(shared.fd);
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, count_events, &own));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, count_events, &shared));
	ASSERT_EQ(0, pthread_create(&threads[2], NULL, count_events, &shared));
	for (i = 0; i < STORM_PROCESSES; i++) {
		pids[i] = spawn();
		if (!pids[i]) {
			int fd = region_subscribe(self->fd, 0), j, other;

			CHILD_CHECK(fd >= 0);
			CHILD_CHECK(!pthread_create(&two[0], NULL, storm_rings, &fd));
			CHILD_CHECK(!pthread_create(&two[1], NULL, storm_rings, &fd));
			for (j = 0; j < 300; j++) {
				other = region_subscribe(self->fd, 0);
				CHILD_CHECK(other >= 0);
				CHILD_CHECK(ring(other, 1) == 8);
				close(other);
			}
			CHILD_CHECK(!pthread_join(two[0], NULL));
			CHILD_CHECK(!pthread_join(two[1], NULL));
			_exit(0);
		}
		come += 301;
		want += 300 + 2 * STORM_RINGS / 5 * (1 + 2 + 3 + 4 + 5);
	}
	for (i = 0; i < STORM_PROCESSES; i++)
		status |= child_result(pids[i]);
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, region_revoke(self->fd));
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	pthread_join(threads[2], NULL);
	EXPECT_EQ(0, own.error);
	EXPECT_EQ(want, own.rings);
	EXPECT_EQ(come, own.come);
	EXPECT_EQ(come, own.gone);
	EXPECT_EQ(want, shared.rings);
	EXPECT_EQ(come, shared.come);
	EXPECT_EQ(come, shared.gone);
	/* One of the two was told of the end, the other one finds that it is. */
	EXPECT_TRUE(!shared.error || shared.error == ENODEV);
	/* Who comes and goes meanwhile may be counted, but never less than none. */
	EXPECT_GT(10000, own.most);
	EXPECT_GT(10000, shared.most);
	close(shared.fd);
	close(own.fd);
}

/* Event files come and go while others ring, read and revoke: nothing is left. */
TEST_F_TIMEOUT(event, chaos, 120)
{
	struct shm_kernel_events events;
	long long end = now_ms() + 1500;
	pid_t pids[4];
	int i;

	for (i = 0; i < 4; i++) {
		pids[i] = spawn();
		if (!pids[i]) {
			unsigned int seed = i;

			while (now_ms() < end) {
				int fd = region_create(self->ctl, NAME "-chaos", 4096, 0600, 0);
				int ev;

				if (fd < 0)
					fd = region_open(self->ctl, NAME "-chaos", O_RDWR);
				if (fd < 0)
					continue;
				ev = region_subscribe(fd, O_NONBLOCK);
				if (ev >= 0) {
					ring(ev, 1);
					if (rand_r(&seed) % 8 == 0)
						region_revoke(fd);
					if (rand_r(&seed) % 4 == 0)
						CHILD_CHECK(ftruncate(fd, 5000) == 0 ||
							    errno == ENODEV);
					read_events(ev, &events);
					if (rand_r(&seed) % 2) {
						close(fd);
						fd = -1;
					}
					ring(ev, 2);
					close(ev);
				} else {
					CHILD_CHECK(errno == ENODEV);
				}
				if (fd >= 0)
					close(fd);
			}
			_exit(0);
		}
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, child_result(pids[i]));
}

TEST_F(event, many)
{
	struct shm_kernel_info info;
	int fds[500], i;

	for (i = 0; i < 500; i++) {
		fds[i] = region_subscribe(self->fd, O_NONBLOCK);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, region_info(self->fd, &info));
	EXPECT_EQ(502, info.peers);
	EXPECT_EQ(1, info.files);
	EXPECT_EQ(8, ring(self->a, 1));
	EXPECT_EVENTS(fds[499], .rings = 1, .peers = 501);
	EXPECT_EVENTS(fds[0], .rings = 1, .peers_come = 499, .peers = 501);
	for (i = 0; i < 500; i++)
		close(fds[i]);
	EXPECT_EVENTS(self->a, .peers_come = 500, .peers_gone = 500, .peers = 1);
}

/* Nothing but an event file keeps the module. */
TEST(module_stays)
{
	struct shm_kernel_events events;
	int ctl = control_open();
	int fd, ev;

	if (ctl < 0)
		SKIP(return, "no " CONTROL_NODE);
	if (access("/sys/module/" MODULE "/initstate", F_OK)) {
		close(ctl);
		SKIP(return, "the driver is no module");
	}
	fd = region_create(ctl, NULL, 100, 0600, 0);
	ASSERT_LE(0, fd);
	ev = region_subscribe(fd, O_NONBLOCK);
	ASSERT_LE(0, ev);
	close(fd);
	close(ctl);
	EXPECT_EQ(-1, syscall(SYS_delete_module, MODULE, O_NONBLOCK));
	EXPECT_TRUE(errno == EWOULDBLOCK || errno == EBUSY);
	EXPECT_EQ(8, ring(ev, 1));
	EXPECT_EQ(-1, read_events(ev, &events));
	EXPECT_EQ(EAGAIN, errno);
	close(ev);
}

TEST_HARNESS_MAIN
