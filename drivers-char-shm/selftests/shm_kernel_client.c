// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of shm_kernel with a module as the peer: samples/shm_kernel's
 * shm_kernel_minimal, which is loaded and unloaded again and again
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <poll.h>
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define NAME	"minimal"
#define DRIVER	"shm_kernel_driver"
#define SAMPLE	"shm_kernel_minimal"
#define SIZE	sizeof(struct shm_kernel_events)

static bool sample_loaded(void)
{
	return !access("/sys/module/" SAMPLE, F_OK);
}

/* Gives back what modprobe exits with. */
static int sample_load(void)
{
	pid_t pid = spawn();

	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 2);
		execlp("modprobe", "modprobe", SAMPLE, NULL);
		execl("/sbin/modprobe", "modprobe", SAMPLE, NULL);
		_exit(127);
	}
	return child_result(pid);
}

static int sample_unload(void)
{
	return syscall(SYS_delete_module, SAMPLE, O_NONBLOCK);
}

static int ring(int fd, __u64 times)
{
	return write(fd, &times, sizeof(times));
}

static int read_events(int fd, struct shm_kernel_events *events)
{
	memset(events, 0xcc, sizeof(*events));
	return read(fd, events, sizeof(*events));
}

static bool readable(int fd, int ms)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, ms) == 1;
}

FIXTURE(client) {
	int ctl;
	int fd;
	int events;
	__u32 *words;
	struct stats stats;
};

FIXTURE_SETUP(client)
{
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "no " CONTROL_NODE);
	if (sample_loaded())
		SKIP(return, SAMPLE " is in use");
	stats_read(&self->stats);
	if (sample_load())
		SKIP(return, "cannot load " SAMPLE);
	self->fd = region_open(self->ctl, NAME, O_RDWR);
	ASSERT_LE(0, self->fd);
	self->events = region_subscribe(self->fd, O_NONBLOCK);
	ASSERT_LE(0, self->events);
	self->words = region_map(self->fd, page_size());
	ASSERT_NE(MAP_FAILED, self->words);
}

FIXTURE_TEARDOWN(client)
{
	munmap(self->words, page_size());
	close(self->events);
	close(self->fd);
	if (sample_loaded())
		EXPECT_EQ(0, sample_unload());
	EXPECT_TRUE(stats_return_to(&self->stats));
	close(self->ctl);
}

/* A number goes there, a ring; a ring comes back, and the root of it. */
static void expect_root(struct __test_metadata *_metadata, int fd,
			__u32 *words, __u32 root)
{
	struct shm_kernel_events events;
	int i;

	__atomic_store_n(&words[0], root * root, __ATOMIC_RELAXED);
	ASSERT_EQ(8, ring(fd, 1));
	/* A ring may be one for the question before this one. */
	for (i = 0; i < 10 && __atomic_load_n(&words[1], __ATOMIC_RELAXED) != root; i++) {
		ASSERT_TRUE(readable(fd, 10000));
		ASSERT_EQ(SIZE, read_events(fd, &events));
	}
	EXPECT_EQ(root, words[1]);
}

TEST_F(client, both_directions)
{
	struct shm_kernel_events events;
	struct shm_kernel_info info;
	__u32 i;

	for (i = 2; i < 200; i++)
		expect_root(_metadata, self->events, self->words, i);
	/* What it answers is no ring for itself, so that there is an end. */
	sleep_ms(50);
	while (read_events(self->events, &events) == SIZE)
		EXPECT_EQ(1, events.peers);
	ASSERT_EQ(0, region_info(self->fd, &info));
	sleep_ms(50);
	EXPECT_FALSE(readable(self->events, 0));
	EXPECT_GE(2 * 198, info.rings);
	EXPECT_LT(198, info.rings);
}

/* Whatever user space puts there. */
TEST_F(client, rings_of_all_kinds)
{
	int i;

	for (i = 0; i < 1000; i++)
		ASSERT_EQ(8, ring(self->events, 0xffffffff));
	ASSERT_EQ(0, region_clear(self->fd));
	expect_root(_metadata, self->events, self->words, 65535);
	ASSERT_EQ(0, region_reset(self->fd));
	EXPECT_EQ(0, self->words[0]);
	expect_root(_metadata, self->events, self->words, 77);
}

TEST_F(client, counts)
{
	struct shm_kernel_info info, entries[32];
	struct shm_kernel_list arg = {
		.size = sizeof(arg),
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
		.count = ARRAY_SIZE(entries),
	};
	bool found = false;
	__u32 i;

	ASSERT_EQ(0, region_info(self->fd, &info));
	EXPECT_EQ(2, info.peers);
	EXPECT_EQ(1, info.clients);
	EXPECT_EQ(1, info.files);
	EXPECT_NE(0, info.capabilities & SHM_KERNEL_CAP_KERNEL_MAPPED);
	ASSERT_EQ(0, ioctl(self->ctl, SHM_KERNEL_IOC_LIST, &arg));
	for (i = 0; i < arg.count; i++) {
		if (strcmp(entries[i].name, NAME))
			continue;
		found = true;
		EXPECT_EQ(2, entries[i].peers);
		EXPECT_EQ(1, entries[i].clients);
		EXPECT_EQ(1, entries[i].files);
	}
	EXPECT_TRUE(found);

	ASSERT_EQ(0, sample_unload());
	ASSERT_EQ(0, region_info(self->fd, &info));
	EXPECT_EQ(1, info.peers);
	EXPECT_EQ(0, info.clients);
	EXPECT_EQ(1, info.files);
	EXPECT_EQ(0, info.capabilities & SHM_KERNEL_CAP_KERNEL_MAPPED);
	EXPECT_EQ(SHM_KERNEL_INFO_REMOVED, info.flags);
}

TEST_F(client, size_is_fixed_while_mapped)
{
	off_t size = region_size(self->fd);
	struct shm_kernel_events events;

	while (read_events(self->events, &events) == SIZE)
		;
	EXPECT_EQ(-1, ftruncate(self->fd, size + 1));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, size - 1));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, ftruncate(self->fd, size));
	EXPECT_EQ(size, region_size(self->fd));
	EXPECT_FALSE(readable(self->events, 0));
	/* A seal forbids for good what is busy for now. */
	ASSERT_EQ(0, region_add_seals(self->fd, SHM_KERNEL_SEAL_SHRINK));
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, size + 1));
	EXPECT_EQ(EBUSY, errno);

	ASSERT_EQ(0, sample_unload());
	EXPECT_EQ(0, ftruncate(self->fd, size + 1));
	EXPECT_EQ(-1, ftruncate(self->fd, size));
	EXPECT_EQ(EPERM, errno);
}

/* The module goes: the memory stays, and the name is free. */
TEST_F(client, unload_and_reload)
{
	struct shm_kernel_events events;
	struct shm_kernel_info info;
	int fd, peer, gone = 0;
	__u32 *words;
	__u64 id;

	expect_root(_metadata, self->events, self->words, 12);
	ASSERT_EQ(0, region_info(self->fd, &info));
	id = info.id;
	ASSERT_EQ(0, sample_unload());
	while (read_events(self->events, &events) == SIZE) {
		gone += events.peers_gone;
		EXPECT_EQ(0, events.peers);
		EXPECT_EQ(0, events.revoked);
	}
	EXPECT_EQ(1, gone);
	EXPECT_EQ(144, self->words[0]);
	EXPECT_EQ(12, self->words[1]);
	EXPECT_EQ(-1, region_open(self->ctl, NAME, O_RDWR));
	EXPECT_EQ(ENOENT, errno);
	/* Nobody is there any more, and that is no error. */
	EXPECT_EQ(8, ring(self->events, 1));
	self->words[0] = 25;
	EXPECT_EQ(4, pwrite(self->fd, "abcd", 4, 100));
	EXPECT_EQ(0, memcmp(self->words + 25, "abcd", 4));

	ASSERT_EQ(0, sample_load());
	fd = region_open(self->ctl, NAME, O_RDWR);
	ASSERT_LE(0, fd);
	peer = region_subscribe(fd, O_NONBLOCK);
	ASSERT_LE(0, peer);
	words = region_map(fd, page_size());
	ASSERT_NE(MAP_FAILED, words);
	ASSERT_EQ(0, region_info(fd, &info));
	EXPECT_LT(id, info.id);
	EXPECT_EQ(0, words[0]);
	expect_root(_metadata, peer, words, 9);
	/* The old one has nothing to do with it. */
	EXPECT_EQ(8, ring(self->events, 1));
	EXPECT_EQ(25, self->words[0]);
	EXPECT_EQ(12, self->words[1]);
	EXPECT_FALSE(readable(self->events, 0));
	munmap(words, page_size());
	close(peer);
	close(fd);
}

/* A client keeps the region and its name when all programs have gone. */
TEST_F(client, keeps_the_name)
{
	int fd;

	expect_root(_metadata, self->events, self->words, 33);
	munmap(self->words, page_size());
	close(self->events);
	close(self->fd);
	fd = region_open(self->ctl, NAME, O_RDWR);
	ASSERT_LE(0, fd);
	self->fd = fd;
	self->events = region_subscribe(fd, O_NONBLOCK);
	ASSERT_LE(0, self->events);
	self->words = region_map(fd, page_size());
	ASSERT_NE(MAP_FAILED, self->words);
	EXPECT_EQ(33 * 33, self->words[0]);
	EXPECT_EQ(33, self->words[1]);
}

TEST_F(client, driver_stays)
{
	EXPECT_EQ(-1, syscall(SYS_delete_module, DRIVER, O_NONBLOCK));
	EXPECT_TRUE(errno == EWOULDBLOCK || errno == EBUSY);
}

/* Ended by an administrator: the module does not notice, and can go. */
TEST_F(client, revoked)
{
	struct shm_kernel_events events;

	while (read_events(self->events, &events) == SIZE)
		;
	self->words[0] = 49;
	ASSERT_EQ(8, ring(self->events, 1));
	ASSERT_EQ(0, region_revoke(self->fd));
	EXPECT_EQ(-SIGBUS, probe_load(self->words));
	ASSERT_EQ(SIZE, read_events(self->events, &events));
	EXPECT_EQ(1, events.revoked);
	EXPECT_EQ(-1, ring(self->events, 1));
	EXPECT_EQ(ENODEV, errno);
	ASSERT_EQ(0, sample_unload());
	ASSERT_EQ(0, sample_load());
}

/* Somebody else has the name: loading fails and leaves nothing. */
TEST_F(client, name_is_taken)
{
	struct stats before, after;
	int fd;

	ASSERT_EQ(0, sample_unload());
	fd = region_create(self->ctl, NAME, 1, 0600, 0);
	ASSERT_LE(0, fd);
	stats_read(&before);
	EXPECT_NE(0, sample_load());
	EXPECT_FALSE(sample_loaded());
	EXPECT_TRUE(stats_return_to(&before));
	close(fd);
	EXPECT_EQ(ENOENT, name_gone(self->ctl, NAME));
	EXPECT_EQ(0, sample_load());
	stats_read(&after);
	EXPECT_EQ(before.regions, after.regions);
}

/*
 * The module comes and goes while programs ring, sleep, are killed, and hold on
 * to regions that it left.
 */
TEST_F_TIMEOUT(client, unload_under_fire, 120)
{
	pid_t pids[4];
	int i, round;

	for (i = 0; i < 4; i++) {
		pids[i] = spawn();
		if (!pids[i]) {
			struct shm_kernel_events events;
			unsigned int seed = i;

			for (;;) {
				int fd = region_open(self->ctl, NAME, O_RDWR);
				int peer, n;

				if (fd < 0) {
					CHILD_CHECK(errno == ENOENT);
					sleep_ms(1);
					continue;
				}
				peer = region_subscribe(fd, i % 2 ? O_NONBLOCK : 0);
				CHILD_CHECK(peer >= 0);
				for (n = rand_r(&seed) % 300; n; n--) {
					CHILD_CHECK(ring(peer, 1) == 8);
					if (n % 16 == 0)
						readable(peer, 1);
					if (n % 16 == 0 && readable(peer, 0))
						CHILD_CHECK(read_events(peer, &events) == SIZE ||
							    errno == EAGAIN);
				}
				close(fd);
				close(peer);
			}
		}
	}
	for (round = 0; round < 25; round++) {
		sleep_ms(round % 5 * 10);
		EXPECT_EQ(0, sample_unload()) TH_LOG("errno %d", errno);
		if (round % 5 == 4) {
			child_kill(pids[round / 5 % 4]);
			pids[round / 5 % 4] = spawn();
			if (!pids[round / 5 % 4])
				for (;;)
					pause();
		}
		EXPECT_EQ(0, sample_load());
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(-SIGKILL, child_kill(pids[i]));
}

TEST_HARNESS_MAIN
