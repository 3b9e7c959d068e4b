// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of locks in shm_kernel's memory, between processes that each open
 * the region and map it for themselves
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <linux/futex.h>
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define NAME	"kst-lock"
#define ROUNDS	150
/* Each is a turn of the kernel's, which hands the lock from one to the next. */
#define PI_ROUNDS	30

/* Lives in the last page of the region. */
struct shared {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	pthread_barrier_t barrier;
	pthread_rwlock_t rwlock;
	sem_t sem;
	__u32 word;
	__u32 ready;
	__u32 turn;
	unsigned long counter;
	unsigned long contended;
};

static long futex(__u32 *word, int op, __u32 value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static void flag_set(__u32 *flag, __u32 value)
{
	__atomic_store_n(flag, value, __ATOMIC_SEQ_CST);
}

static __u32 flag_get(__u32 *flag)
{
	return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static bool flag_wait(__u32 *flag, __u32 value)
{
	int i;

	for (i = 0; i < 5000; i++) {
		if (flag_get(flag) == value)
			return true;
		sleep_ms(1);
	}
	return false;
}

FIXTURE(lock) {
	int ctl;
	int fd;
	size_t size;
	struct shared *shared;
	struct stats stats;
};

FIXTURE_VARIANT(lock) {
	size_t size;
	__u32 flags;
	bool node;
};

FIXTURE_VARIANT_ADD(lock, page) { .size = 4096 };
FIXTURE_VARIANT_ADD(lock, small_1m) {
	.size = MIB, .flags = SHM_KERNEL_CREATE_SMALL,
};

FIXTURE_VARIANT_ADD(lock, default_1m) { .size = MIB };

FIXTURE_VARIANT_ADD(lock, huge_6m) { .size = 6 * MIB };

FIXTURE_VARIANT_ADD(lock, contig_1m) {
	.size = MIB, .flags = SHM_KERNEL_CREATE_CONTIG,
};

FIXTURE_VARIANT_ADD(lock, node) { .node = true };

static struct shared *map_shared(int fd, size_t size)
{
	size_t page = page_size();
	char *map;

	map = region_map(fd, size);
	if (map == MAP_FAILED)
		return NULL;
	return (struct shared *)(map + (size - 1) / page * page);
}

FIXTURE_SETUP(lock)
{
	ASSERT_GE(page_size(), sizeof(struct shared));
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	stats_read(&self->stats);
	if (variant->node) {
		self->fd = control_open();
		ASSERT_LE(0, self->fd);
		self->size = lseek(self->fd, 0, SEEK_END);
		if (self->size % page_size() &&
		    self->size % page_size() < sizeof(struct shared))
			SKIP(return, "region 0 has no room for the locks");
		ASSERT_EQ(0, region_clear(self->fd));
	} else {
		self->size = variant->size < page_size() ? page_size() :
			     variant->size;
		self->fd = region_create(self->ctl, NAME, self->size, 0600,
					 variant->flags);
		ASSERT_LE(0, self->fd) TH_LOG("errno %d", errno);
	}
	self->shared = map_shared(self->fd, self->size);
	ASSERT_NE(NULL, self->shared);
}

FIXTURE_TEARDOWN(lock)
{
	if (variant->node)
		region_reset(self->fd);
	if (self->fd >= 0)
		close(self->fd);
	close(self->ctl);
}

/* What another process does: nothing of the parent's is used but the name. */
static struct shared *attach(bool node, size_t size, bool close_files)
{
	struct shared *shared;
	int ctl, fd;

	ctl = control_open();
	CHILD_CHECK(ctl >= 0);
	fd = node ? dup(ctl) : region_open(ctl, NAME, O_RDWR);
	CHILD_CHECK(fd >= 0);
	shared = map_shared(fd, size);
	CHILD_CHECK(shared);
	if (close_files) {
		close(fd);
		close(ctl);
	}
	return shared;
}

static int mutex_init(pthread_mutex_t *mutex, int protocol, int robust)
{
	pthread_mutexattr_t attr;
	int ret;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setprotocol(&attr, protocol);
	pthread_mutexattr_setrobust(&attr, robust);
	ret = pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	return ret;
}

TEST_F(lock, futex_wait_wake)
{
	struct timespec timeout = { 20, 0 };
	pid_t pid;
	int i;

	pid = spawn();
	if (!pid) {
		struct shared *shared = attach(variant->node, self->size, false);

		CHILD_CHECK(shared != self->shared);
		for (i = 1; i <= 20; i++) {
			flag_set(&shared->ready, i);
			CHILD_CHECK(!futex(&shared->word, FUTEX_WAIT, i - 1, &timeout) ||
				    errno == EAGAIN);
			CHILD_CHECK(flag_wait(&shared->word, i));
		}
		/* What has changed is not waited for. */
		CHILD_CHECK(futex(&shared->word, FUTEX_WAIT, 0, &timeout) == -1);
		CHILD_CHECK(errno == EAGAIN);
		_exit(0);
	}
	for (i = 1; i <= 20; i++) {
		ASSERT_TRUE(flag_wait(&self->shared->ready, i));
		wait_asleep(pid);
		flag_set(&self->shared->word, i);
		EXPECT_EQ(1, futex(&self->shared->word, FUTEX_WAKE, 10, NULL));
	}
	EXPECT_EQ(0, child_result(pid));
	/* Nobody waits in another place of the region. */
	EXPECT_EQ(0, futex(&self->shared->turn, FUTEX_WAKE, 10, NULL));
}

/* Loses counts unless the lock excludes, and yields so that it must. */
static void contend(struct shared *shared, int rounds)
{
	unsigned long counter;
	int i, ret;

	for (i = 0; i < rounds; i++) {
		ret = pthread_mutex_trylock(&shared->mutex);
		if (ret == EBUSY) {
			CHILD_CHECK(!pthread_mutex_lock(&shared->mutex));
			shared->contended++;
		} else {
			CHILD_CHECK(!ret);
		}
		counter = shared->counter;
		sched_yield();
		if (i % 32 == 0)
			sleep_ms(1);
		shared->counter = counter + 1;
		CHILD_CHECK(!pthread_mutex_unlock(&shared->mutex));
	}
}

static void check_contended(struct __test_metadata *_metadata, bool node,
			    size_t size, struct shared *shared, int rounds)
{
	pid_t pids[3];
	int i;

	for (i = 0; i < 3; i++) {
		pids[i] = spawn();
		if (!pids[i]) {
			shared = attach(node, size, i == 1);
			/* All at once, lest the first be done before the last. */
			__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
			CHILD_CHECK(flag_wait(&shared->ready, 3));
			contend(shared, rounds);
			_exit(0);
		}
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, child_result(pids[i]));
	EXPECT_EQ(3 * rounds, shared->counter);
	EXPECT_LT(0, shared->contended);
}

TEST_F(lock, mutex)
{
	ASSERT_EQ(0, mutex_init(&self->shared->mutex, PTHREAD_PRIO_NONE,
				PTHREAD_MUTEX_STALLED));
	check_contended(_metadata, variant->node, self->size, self->shared,
			ROUNDS);
}

TEST_F(lock, pi_mutex)
{
	int ret;

	ret = mutex_init(&self->shared->mutex, PTHREAD_PRIO_INHERIT,
			 PTHREAD_MUTEX_STALLED);
	if (ret == ENOTSUP)
		SKIP(return, "no priority inheritance");
	ASSERT_EQ(0, ret);
	check_contended(_metadata, variant->node, self->size, self->shared,
			PI_ROUNDS);
}

TEST_F(lock, robust_mutex)
{
	ASSERT_EQ(0, mutex_init(&self->shared->mutex, PTHREAD_PRIO_NONE,
				PTHREAD_MUTEX_ROBUST));
	check_contended(_metadata, variant->node, self->size, self->shared,
			ROUNDS);
}

TEST_F(lock, condition)
{
	pthread_condattr_t attr;
	pid_t pid;
	int i;

	ASSERT_EQ(0, mutex_init(&self->shared->mutex, PTHREAD_PRIO_NONE,
				PTHREAD_MUTEX_STALLED));
	pthread_condattr_init(&attr);
	pthread_condattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	ASSERT_EQ(0, pthread_cond_init(&self->shared->cond, &attr));
	pid = spawn();
	if (!pid) {
		struct shared *shared = attach(variant->node, self->size, true);

		CHILD_CHECK(!pthread_mutex_lock(&shared->mutex));
		for (i = 0; i < ROUNDS; i++) {
			while (shared->turn != 1)
				CHILD_CHECK(!pthread_cond_wait(&shared->cond,
							       &shared->mutex));
			shared->turn = 0;
			shared->counter++;
			CHILD_CHECK(!pthread_cond_signal(&shared->cond));
		}
		CHILD_CHECK(!pthread_mutex_unlock(&shared->mutex));
		_exit(0);
	}
	ASSERT_EQ(0, pthread_mutex_lock(&self->shared->mutex));
	for (i = 0; i < ROUNDS; i++) {
		while (self->shared->turn != 0)
			ASSERT_EQ(0, pthread_cond_wait(&self->shared->cond,
						       &self->shared->mutex));
		self->shared->turn = 1;
		ASSERT_EQ(0, pthread_cond_broadcast(&self->shared->cond));
	}
	ASSERT_EQ(0, pthread_mutex_unlock(&self->shared->mutex));
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(ROUNDS, self->shared->counter);
}

TEST_F(lock, semaphore_barrier_rwlock)
{
	pthread_barrierattr_t barrier;
	pthread_rwlockattr_t rwlock;
	struct shared *shared;
	int ret, i, j;
	pid_t pid;

	ASSERT_EQ(0, sem_init(&self->shared->sem, 1, 0));
	pthread_barrierattr_init(&barrier);
	pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
	ASSERT_EQ(0, pthread_barrier_init(&self->shared->barrier, &barrier, 2));
	pthread_rwlockattr_init(&rwlock);
	pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
	ASSERT_EQ(0, pthread_rwlock_init(&self->shared->rwlock, &rwlock));
	pid = spawn();
	shared = pid ? self->shared : attach(variant->node, self->size, true);
	for (i = 0; i < 40; i++) {
		if (pid)
			CHILD_CHECK(!sem_post(&shared->sem));
		else
			CHILD_CHECK(!sem_wait(&shared->sem));
		ret = pthread_barrier_wait(&shared->barrier);
		CHILD_CHECK(!ret || ret == PTHREAD_BARRIER_SERIAL_THREAD);
		CHILD_CHECK(!pthread_rwlock_rdlock(&shared->rwlock));
		CHILD_CHECK(!pthread_rwlock_unlock(&shared->rwlock));
		for (j = 0; j < 5; j++) {
			CHILD_CHECK(!pthread_rwlock_wrlock(&shared->rwlock));
			shared->counter++;
			sched_yield();
			CHILD_CHECK(!pthread_rwlock_unlock(&shared->rwlock));
		}
	}
	if (!pid)
		_exit(0);
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(400, self->shared->counter);
}

/*
 * The owner is killed while another process sleeps on its mutex. With @control
 * nobody has a file open by then, and the name is removed.
 */
static void check_owner_death(struct __test_metadata *_metadata, bool node,
			      size_t size, struct shared *shared, const int *control)
{
	pid_t owner, waiter;

	owner = spawn();
	if (!owner) {
		shared = attach(node, size, !!control);
		CHILD_CHECK(!pthread_mutex_lock(&shared->mutex));
		flag_set(&shared->ready, 1);
		for (;;)
			pause();
	}
	ASSERT_TRUE(flag_wait(&shared->ready, 1));
	waiter = spawn();
	if (!waiter) {
		shared = attach(node, size, !!control);
		flag_set(&shared->ready, 2);
		CHILD_CHECK(pthread_mutex_lock(&shared->mutex) == EOWNERDEAD);
		CHILD_CHECK(!pthread_mutex_consistent(&shared->mutex));
		shared->counter++;
		CHILD_CHECK(!pthread_mutex_unlock(&shared->mutex));
		_exit(0);
	}
	ASSERT_TRUE(flag_wait(&shared->ready, 2));
	if (control)
		EXPECT_EQ(0, region_remove(*control, NAME));
	wait_asleep(waiter);
	EXPECT_EQ(EBUSY, pthread_mutex_trylock(&shared->mutex));
	EXPECT_EQ(0, shared->counter);
	EXPECT_EQ(-SIGKILL, child_kill(owner));
	EXPECT_EQ(0, child_result(waiter));
	ASSERT_EQ(0, pthread_mutex_lock(&shared->mutex));
	EXPECT_EQ(1, shared->counter);
	EXPECT_EQ(0, pthread_mutex_unlock(&shared->mutex));
}

TEST_F(lock, robust_owner_dies)
{
	ASSERT_EQ(0, mutex_init(&self->shared->mutex, PTHREAD_PRIO_NONE,
				PTHREAD_MUTEX_ROBUST));
	check_owner_death(_metadata, variant->node, self->size, self->shared, NULL);
}

TEST_F(lock, robust_pi_owner_dies)
{
	int ret;

	ret = mutex_init(&self->shared->mutex, PTHREAD_PRIO_INHERIT,
			 PTHREAD_MUTEX_ROBUST);
	if (ret == ENOTSUP)
		SKIP(return, "no priority inheritance");
	ASSERT_EQ(0, ret);
	check_owner_death(_metadata, variant->node, self->size, self->shared, NULL);
}

/* Nobody repairs what it guarded: the mutex says so from then on. */
TEST_F(lock, robust_not_recovered)
{
	pid_t pid;

	ASSERT_EQ(0, mutex_init(&self->shared->mutex, PTHREAD_PRIO_NONE,
				PTHREAD_MUTEX_ROBUST));
	pid = spawn();
	if (!pid) {
		struct shared *shared = attach(variant->node, self->size, true);

		CHILD_CHECK(!pthread_mutex_lock(&shared->mutex));
		raise(SIGKILL);
	}
	EXPECT_EQ(-SIGKILL, child_result(pid));
	EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(&self->shared->mutex));
	EXPECT_EQ(0, pthread_mutex_unlock(&self->shared->mutex));
	EXPECT_EQ(ENOTRECOVERABLE, pthread_mutex_lock(&self->shared->mutex));
}

/* A lock needs the memory only: no file is open, and the name is gone. */
TEST_F(lock, without_files_and_name)
{
	int ctl = self->ctl;

	ASSERT_EQ(0, mutex_init(&self->shared->mutex, PTHREAD_PRIO_NONE,
				PTHREAD_MUTEX_ROBUST));
	close(self->fd);
	self->fd = -1;
	check_owner_death(_metadata, variant->node, self->size, self->shared,
			  variant->node ? NULL : &ctl);
	if (variant->node)
		ASSERT_LE(0, self->fd = control_open());
}

TEST_F(lock, pi_without_files_and_name)
{
	int ctl = self->ctl, ret;

	ret = mutex_init(&self->shared->mutex, PTHREAD_PRIO_INHERIT,
			 PTHREAD_MUTEX_ROBUST);
	if (ret == ENOTSUP)
		SKIP(return, "no priority inheritance");
	ASSERT_EQ(0, ret);
	close(self->fd);
	self->fd = -1;
	check_owner_death(_metadata, variant->node, self->size, self->shared,
			  variant->node ? NULL : &ctl);
	if (variant->node)
		ASSERT_LE(0, self->fd = control_open());
}

/* A node and a region file of the same region are the same memory. */
TEST(futex_between_node_and_file)
{
	struct timespec timeout = { 20, 0 };
	__u32 *word;
	pid_t pid;
	int ctl;

	ctl = control_open();
	if (ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	ASSERT_EQ(0, region_reset(ctl));
	word = region_map(ctl, page_size());
	ASSERT_NE(MAP_FAILED, word);
	ASSERT_EQ(0x1111, *word);
	pid = spawn();
	if (!pid) {
		int fd = region_open(ctl, "region0", O_RDWR);

		CHILD_CHECK(fd >= 0);
		word = region_map(fd, page_size());
		CHILD_CHECK(word != MAP_FAILED);
		CHILD_CHECK(*word == 0x1111);
		word[1] = 1;
		CHILD_CHECK(!futex(word, FUTEX_WAIT, 0x1111, &timeout));
		CHILD_CHECK(flag_get(word) == 0x2222);
		_exit(0);
	}
	ASSERT_TRUE(flag_wait(&word[1], 1));
	wait_asleep(pid);
	flag_set(word, 0x2222);
	EXPECT_EQ(1, futex(word, FUTEX_WAKE, 1, NULL));
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(0, region_reset(ctl));
	EXPECT_EQ(0x1111, *word);
	munmap(word, page_size());
	close(ctl);
}

/* The same word of another region is another futex. */
TEST(futexes_of_two_regions)
{
	struct timespec timeout = { 0, 200000000 };
	__u32 *a, *b;
	int ctl, i, fd[2];
	pid_t pid;

	ctl = control_open();
	if (ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	for (i = 0; i < 2; i++) {
		fd[i] = region_create(ctl, NULL, 4096, 0600, 0);
		ASSERT_LE(0, fd[i]);
	}
	a = region_map(fd[0], page_size());
	b = region_map(fd[1], page_size());
	ASSERT_NE(MAP_FAILED, a);
	ASSERT_NE(MAP_FAILED, b);
	pid = spawn();
	if (!pid) {
		CHILD_CHECK(futex(a, FUTEX_WAIT, 0, &timeout) == -1);
		CHILD_CHECK(errno == ETIMEDOUT);
		_exit(0);
	}
	wait_asleep(pid);
	EXPECT_EQ(0, futex(b, FUTEX_WAKE, 10, NULL));
	EXPECT_EQ(0, child_result(pid));
}

TEST_HARNESS_MAIN
