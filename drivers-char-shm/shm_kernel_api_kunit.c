// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit test of what shm_kernel offers to modules
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * Where user space is needed, the test is a user itself: it opens the control
 * node and has memory to pass to ioctls.
 */

#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/fcntl.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/shm_kernel.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#define CONTROL_NODE	"/dev/shm_kernel_driver"
#define STATS_FILE	"/sys/kernel/debug/shm_kernel/stats"
#define NAME		"kunit-api"
#define OTHER		"kunit-other"

/* Opened by who loads the module: a test has no file system. */
static struct file *control_file;
static struct file *stats_file;

/* The user that the test is, and what there was before it. */
struct api_user {
	struct file *ctl;
	void __user *mem;
	char stats[256];
};

#define USER_MEM	(4 * PAGE_SIZE)
#define USER_NAME	PAGE_SIZE	/* where names go in it */

static void user_stats(struct api_user *user, char *text, size_t size)
{
	loff_t pos = 0;
	ssize_t len = 0;

	memset(text, 0, size);
	if (stats_file)
		len = stats_file->f_op->read(stats_file, user->mem, size - 1, &pos);
	if (len > 0 && copy_from_user(text, user->mem, len))
		text[0] = 0;
}

static bool user_get_memory(struct kunit *test, struct api_user *user)
{
	unsigned long mem = kunit_vm_mmap(test, NULL, 0, USER_MEM,
					  PROT_READ | PROT_WRITE,
					  MAP_ANONYMOUS | MAP_PRIVATE, 0);

	user->mem = (void __user *)mem;
	return mem && mem < TASK_SIZE;
}

static int api_init(struct kunit *test)
{
	struct api_user *user = kunit_kzalloc(test, sizeof(*user), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, user);
	user->ctl = control_file;
	if (!user->ctl)
		kunit_skip(test, "no " CONTROL_NODE);
	KUNIT_ASSERT_TRUE(test, user_get_memory(test, user));
	test->priv = user;
	flush_delayed_fput();
	user_stats(user, user->stats, sizeof(user->stats));
	return 0;
}

/* Nothing is left behind, but what goes may take its time. */
static void api_exit(struct kunit *test)
{
	struct api_user *user = test->priv;
	char now[sizeof(user->stats)];
	int tries;

	/* This is another thread, which needs memory of its own. */
	if (!user || !user_get_memory(test, user))
		return;
	for (tries = 0; tries < 200; tries++) {
		flush_delayed_fput();
		user_stats(user, now, sizeof(now));
		if (!strcmp(user->stats, now))
			break;
		msleep(20);
	}
	KUNIT_EXPECT_STREQ(test, user->stats, now);
}

static long user_ioctl(struct api_user *user, struct file *file, unsigned int cmd,
		       void *arg, size_t size)
{
	long ret;

	if (copy_to_user(user->mem, arg, size))
		return -EFAULT;
	ret = file->f_op->unlocked_ioctl(file, cmd, (unsigned long)user->mem);
	if (copy_from_user(arg, user->mem, size))
		return -EFAULT;
	return ret;
}

/* A descriptor would be in the table of all kernel threads: not for long. */
static struct file *user_take_fd(long fd)
{
	struct file *file;

	if (fd < 0)
		return ERR_PTR(fd);
	file = fget(fd);
	close_fd(fd);
	return file ?: ERR_PTR(-EBADF);
}

static struct file *user_open(struct api_user *user, const char *name, int flags)
{
	struct shm_kernel_open arg = {
		.size = sizeof(arg),
		.flags = flags,
		.name = (unsigned long)user->mem + USER_NAME,
		.name_len = strlen(name),
	};

	if (copy_to_user(user->mem + USER_NAME, name, arg.name_len))
		return ERR_PTR(-EFAULT);
	return user_take_fd(user_ioctl(user, user->ctl, SHM_KERNEL_IOC_OPEN, &arg,
				       sizeof(arg)));
}

static struct file *user_subscribe(struct api_user *user, struct file *file)
{
	struct shm_kernel_subscribe arg = {
		.size = sizeof(arg),
		.flags = O_NONBLOCK,
	};

	return user_take_fd(user_ioctl(user, file, SHM_KERNEL_IOC_SUBSCRIBE, &arg,
				       sizeof(arg)));
}

static void user_close(struct file *file)
{
	fput(file);
	flush_delayed_fput();
}

static long user_simple(struct api_user *user, struct file *file, unsigned int cmd)
{
	struct shm_kernel_simple arg = { .size = sizeof(arg) };

	return user_ioctl(user, file, cmd, &arg, sizeof(arg));
}

static ssize_t user_ring(struct api_user *user, struct file *events, u64 times)
{
	loff_t pos = 0;

	if (copy_to_user(user->mem, &times, sizeof(times)))
		return -EFAULT;
	return events->f_op->write(events, user->mem, sizeof(times), &pos);
}

static ssize_t user_read_events(struct file *file, struct shm_kernel_events *events)
{
	memset(events, 0xcc, sizeof(*events));
	return kernel_read(file, events, sizeof(*events), NULL);
}

static long user_info(struct api_user *user, struct file *file,
		      struct shm_kernel_info *info)
{
	memset(info, 0xcc, sizeof(*info));
	info->size = sizeof(*info);
	return user_ioctl(user, file, SHM_KERNEL_IOC_GET_INFO, info, sizeof(*info));
}

/* A client that writes down what it is told. */
struct probe {
	struct shm_kernel_client *client;
	atomic_t kicks;
	atomic_t changes;
	atomic_t revokes;
	atomic_t resets;
	atomic_t running;	/* but reset, which may be beside the others */
	atomic_t wrong;		/* overlapping calls, bad context, bad client */
	atomic_t late;		/* calls while it was not attached */
	bool gone;
	bool rings_back;
	struct shm_kernel_region *visits;	/* where kick is a client for a while */
	u32 *word;		/* what reset puts there */
	struct completion *entered;
	struct completion *leave;
};

static struct probe *probe_of(struct shm_kernel_client *client)
{
	struct probe *probe = shm_kernel_client_data(client);

	might_sleep();
	if (READ_ONCE(probe->gone))
		atomic_inc(&probe->late);
	if (!in_task() || irqs_disabled() ||
	    (READ_ONCE(probe->client) && READ_ONCE(probe->client) != client))
		atomic_inc(&probe->wrong);
	return probe;
}

static struct probe *probe_enter(struct shm_kernel_client *client)
{
	struct probe *probe = probe_of(client);

	if (atomic_inc_return(&probe->running) != 1)
		atomic_inc(&probe->wrong);
	return probe;
}

static void probe_leave(struct probe *probe)
{
	if (READ_ONCE(probe->gone))
		atomic_inc(&probe->late);
	atomic_dec(&probe->running);
}

static const struct shm_kernel_client_ops deaf_ops = { };

static void probe_kick(struct shm_kernel_client *client)
{
	struct probe *probe = probe_enter(client);

	atomic_inc(&probe->kicks);
	if (probe->rings_back)
		shm_kernel_notify(client);
	if (probe->visits) {
		struct shm_kernel_client *visitor =
			shm_kernel_attach(probe->visits, &deaf_ops, NULL);

		if (IS_ERR(visitor)) {
			atomic_inc(&probe->wrong);
		} else {
			shm_kernel_notify(visitor);
			shm_kernel_detach(visitor);
		}
	}
	if (probe->entered)
		complete(probe->entered);
	if (probe->leave)
		wait_for_completion(probe->leave);
	probe_leave(probe);
}

static void probe_peers_changed(struct shm_kernel_client *client)
{
	struct probe *probe = probe_enter(client);

	atomic_inc(&probe->changes);
	probe_leave(probe);
}

static void probe_revoked(struct shm_kernel_client *client)
{
	struct probe *probe = probe_enter(client);

	atomic_inc(&probe->revokes);
	probe_leave(probe);
}

static void probe_reset(struct shm_kernel_client *client)
{
	struct probe *probe = probe_of(client);

	atomic_inc(&probe->resets);
	if (probe->word) {
		if (*probe->word)
			atomic_inc(&probe->wrong);
		*probe->word = 0x600d;
	}
	shm_kernel_notify(client);
}

static const struct shm_kernel_client_ops probe_ops = {
	.kick = probe_kick,
	.peers_changed = probe_peers_changed,
	.revoked = probe_revoked,
	.reset = probe_reset,
};

static void probe_attach(struct kunit *test, struct probe *probe,
			 struct shm_kernel_region *region)
{
	struct shm_kernel_client *client;

	WRITE_ONCE(probe->gone, false);
	client = shm_kernel_attach(region, &probe_ops, probe);
	KUNIT_ASSERT_FALSE(test, IS_ERR(client));
	WRITE_ONCE(probe->client, client);
}

static void probe_detach(struct probe *probe)
{
	shm_kernel_detach(probe->client);
	WRITE_ONCE(probe->gone, true);
	probe->client = NULL;
}

/* Reaches @value in a while, and stays there. */
static bool settles(atomic_t *counter, int value)
{
	unsigned long end = jiffies + 20 * HZ;

	while (atomic_read(counter) != value && time_before(jiffies, end))
		usleep_range(500, 1000);
	usleep_range(10000, 15000);
	return atomic_read(counter) == value;
}

static struct shm_kernel_region *region_new(struct kunit *test, const char *name,
					    loff_t size, u32 flags)
{
	struct shm_kernel_region *region = shm_kernel_create(name, size, 0600, flags);

	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(region), "%s: %ld", name, PTR_ERR(region));
	return region;
}

static long find_error(const char *name)
{
	struct shm_kernel_region *region = shm_kernel_find(name);

	if (IS_ERR(region))
		return PTR_ERR(region);
	shm_kernel_put(region);
	return 0;
}

static long create_error(const char *name, loff_t size, umode_t mode, u32 flags)
{
	struct shm_kernel_region *region = shm_kernel_create(name, size, mode, flags);

	if (IS_ERR(region))
		return PTR_ERR(region);
	shm_kernel_put(region);
	return 0;
}

static void api_test_create_refused(struct kunit *test)
{
	char *longest = kunit_kzalloc(test, SHM_KERNEL_NAME_MAX + 2, GFP_KERNEL);
	struct shm_kernel_region *region;

	KUNIT_ASSERT_NOT_NULL(test, longest);
	memset(longest, 'x', SHM_KERNEL_NAME_MAX + 1);
	KUNIT_EXPECT_EQ(test, -ENAMETOOLONG, create_error(longest, 1, 0600, 0));
	longest[SHM_KERNEL_NAME_MAX] = 0;
	KUNIT_EXPECT_EQ(test, 0, create_error(longest, 1, 0600, 0));
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(longest));

	KUNIT_EXPECT_EQ(test, -EINVAL, create_error("", 1, 0600, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, create_error(".", 1, 0600, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, create_error("..", 1, 0600, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, create_error("a/b", 1, 0600, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, create_error(NAME, -1, 0600, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, create_error(NAME, LLONG_MIN, 0600, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, create_error(NAME, 1, 01000, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, create_error(NAME, 1, S_IFREG | 0600, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			create_error(NAME, 1, 0600, SHM_KERNEL_CREATE_NODE));
	KUNIT_EXPECT_EQ(test, -EINVAL, create_error(NAME, 1, 0600, 1U << 4));
	KUNIT_EXPECT_EQ(test, -EINVAL, create_error(NAME, 1, 0600, 1U << 31));
	KUNIT_EXPECT_LT(test, create_error(NAME, LLONG_MAX, 0600, 0), 0);
	KUNIT_EXPECT_EQ(test, -EEXIST, create_error("region0", 1, 0600, 0));
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(NAME));
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(""));

	region = region_new(test, NAME, 1, 0);
	KUNIT_EXPECT_EQ(test, -EEXIST, create_error(NAME, 1, 0600, 0));
	KUNIT_EXPECT_EQ(test, 0, find_error(NAME));
	shm_kernel_put(region);
	KUNIT_EXPECT_EQ(test, 0, create_error(NAME, 0, 0, 0));
}

static void api_test_names(struct kunit *test)
{
	struct shm_kernel_region *region, *found, *other;

	region = region_new(test, NAME, 100, 0);
	KUNIT_EXPECT_EQ(test, 100, shm_kernel_size(region));
	found = shm_kernel_find(NAME);
	KUNIT_EXPECT_PTR_EQ(test, region, found);
	KUNIT_EXPECT_PTR_EQ(test, region, shm_kernel_get(region));
	/* Any of the three references keeps the name. */
	shm_kernel_put(region);
	KUNIT_EXPECT_EQ(test, 0, find_error(NAME));
	shm_kernel_put(region);
	KUNIT_EXPECT_EQ(test, 0, find_error(NAME));
	shm_kernel_put(region);
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(NAME));

	/* A name that was taken away is free at once. */
	region = region_new(test, NAME, 100, 0);
	KUNIT_EXPECT_EQ(test, 0, shm_kernel_remove(region));
	KUNIT_EXPECT_EQ(test, -ENOENT, shm_kernel_remove(region));
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(NAME));
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_kernel_bind(region, OTHER));
	other = region_new(test, NAME, 200, 0);
	KUNIT_EXPECT_EQ(test, 100, shm_kernel_size(region));
	KUNIT_EXPECT_EQ(test, 200, shm_kernel_size(other));
	shm_kernel_put(region);
	KUNIT_EXPECT_EQ(test, 0, find_error(NAME));
	shm_kernel_put(other);
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(NAME));

	/* With PERSIST it stays until it is removed. */
	region = region_new(test, NAME, 100, SHM_KERNEL_CREATE_PERSIST);
	shm_kernel_put(region);
	found = shm_kernel_find(NAME);
	KUNIT_ASSERT_PTR_EQ(test, region, found);
	KUNIT_EXPECT_EQ(test, 0, shm_kernel_remove(found));
	shm_kernel_put(found);
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(NAME));

	/* Region 0 is one like others, but for its name. */
	found = shm_kernel_find("region0");
	KUNIT_ASSERT_FALSE(test, IS_ERR(found));
	KUNIT_EXPECT_GT(test, shm_kernel_size(found), 0);
	/* But it has a node, and stays. */
	KUNIT_EXPECT_EQ(test, -EPERM, shm_kernel_remove(found));
	KUNIT_EXPECT_EQ(test, -EPERM, shm_kernel_revoke(found));
	KUNIT_EXPECT_GT(test, shm_kernel_size(found), 0);
	shm_kernel_put(found);
	KUNIT_EXPECT_EQ(test, 0, find_error("region0"));
}

static void api_test_bind(struct kunit *test)
{
	struct shm_kernel_region *region = region_new(test, NULL, 1, 0);
	struct shm_kernel_region *other = region_new(test, OTHER, 1, 0);
	char *too_long = kunit_kzalloc(test, SHM_KERNEL_NAME_MAX + 2, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, too_long);
	memset(too_long, 'x', SHM_KERNEL_NAME_MAX + 1);
	KUNIT_EXPECT_EQ(test, -ENOENT, shm_kernel_remove(region));
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_kernel_bind(region, ""));
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_kernel_bind(region, "a/b"));
	KUNIT_EXPECT_EQ(test, -ENAMETOOLONG, shm_kernel_bind(region, too_long));
	KUNIT_EXPECT_EQ(test, -EEXIST, shm_kernel_bind(region, OTHER));
	KUNIT_EXPECT_EQ(test, 0, shm_kernel_bind(region, NAME));
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_kernel_bind(region, "kunit-third"));
	KUNIT_EXPECT_EQ(test, 0, find_error(NAME));
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error("kunit-third"));
	shm_kernel_put(other);
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_kernel_bind(region, OTHER));
	shm_kernel_put(region);
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(NAME));
}

static void fill(u8 *p, size_t len, u32 seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = seed + i * 7 + (i >> 8) * 31 + (i >> 12) * 101;
}

static bool filled(const u8 *p, size_t len, u32 seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != (u8)(seed + i * 7 + (i >> 8) * 31 + (i >> 12) * 101))
			return false;
	return true;
}

/* What one side stores the other one loads, all over the region. */
static void compare_views(struct kunit *test, struct file *file, u8 *addr,
			  size_t size)
{
	size_t step = size > SZ_64K ? SZ_64K : size;
	u8 *buf = kunit_kmalloc(test, step, GFP_KERNEL);
	loff_t pos;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_EXPECT_NULL(test, memchr_inv(addr, 0, size));
	fill(addr, size, 1);
	for (pos = 0; pos < size;) {
		loff_t at = pos;
		ssize_t len = kernel_read(file, buf, min_t(loff_t, step, size - pos), &pos);

		KUNIT_ASSERT_GT(test, len, 0);
		KUNIT_ASSERT_TRUE(test, !memcmp(buf, addr + at, len));
	}
	KUNIT_EXPECT_TRUE(test, filled(addr, size, 1));
	for (pos = 0; pos < size;) {
		size_t len = min_t(loff_t, step, size - pos);

		fill(buf, len, 2);
		KUNIT_ASSERT_EQ(test, (ssize_t)len, kernel_write(file, buf, len, &pos));
		KUNIT_ASSERT_TRUE(test, filled(addr + pos - len, len, 2));
	}
	kunit_kfree(test, buf);
}

static void api_test_vmap(struct kunit *test)
{
	static const loff_t sizes[] = {
		1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 7 * PAGE_SIZE,
		SZ_64K, SZ_1M - 1, SZ_2M, SZ_4M + PAGE_SIZE + 1,
	};
	static const u32 flags[] = {
		0, SHM_KERNEL_CREATE_SMALL, SHM_KERNEL_CREATE_CONTIG,
		SHM_KERNEL_CREATE_CONTIG | SHM_KERNEL_CREATE_SMALL,
	};
	struct api_user *user = test->priv;
	struct shm_kernel_region *region;
	struct shm_kernel_info *info = kunit_kzalloc(test, sizeof(*info), GFP_KERNEL);
	struct file *file;
	u32 i, j;
	u8 *addr;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, info);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(flags); j++) {
			region = shm_kernel_create(NAME, sizes[i], 0600, flags[j]);
			/* There may be no such piece of memory. */
			if (IS_ERR(region) && flags[j] & SHM_KERNEL_CREATE_CONTIG &&
			    PTR_ERR(region) == -ENOMEM)
				continue;
			KUNIT_ASSERT_FALSE(test, IS_ERR(region));
			file = user_open(user, NAME, O_RDWR);
			KUNIT_ASSERT_FALSE(test, IS_ERR(file));
			KUNIT_EXPECT_EQ(test, 0, user_info(user, file, info));
			KUNIT_EXPECT_FALSE(test, info->capabilities &
					   SHM_KERNEL_CAP_KERNEL_MAPPED);

			addr = shm_kernel_vmap(region);
			KUNIT_ASSERT_FALSE(test, IS_ERR(addr));
			KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(addr));
			compare_views(test, file, addr, sizes[i]);

			/* As often as one likes; the last one counts. */
			KUNIT_EXPECT_PTR_EQ(test, (void *)addr, shm_kernel_vmap(region));
			shm_kernel_vunmap(region);
			KUNIT_EXPECT_EQ(test, 0, user_info(user, file, info));
			KUNIT_EXPECT_TRUE(test, info->capabilities &
					  SHM_KERNEL_CAP_KERNEL_MAPPED);
			KUNIT_EXPECT_EQ(test, 1, info->files);
			addr[sizes[i] - 1] = 0x99;
			err = vfs_truncate(&file->f_path, sizes[i] + 1);
			KUNIT_EXPECT_EQ(test, flags[j] & SHM_KERNEL_CREATE_CONTIG ?
					-EPERM : -EBUSY, err);
			err = vfs_truncate(&file->f_path, sizes[i] - 1);
			KUNIT_EXPECT_EQ(test, flags[j] & SHM_KERNEL_CREATE_CONTIG ?
					-EPERM : -EBUSY, err);
			KUNIT_EXPECT_EQ(test, 0, vfs_truncate(&file->f_path, sizes[i]));
			KUNIT_EXPECT_EQ(test, sizes[i], shm_kernel_size(region));
			KUNIT_EXPECT_EQ(test, 0x99, addr[sizes[i] - 1]);
			shm_kernel_vunmap(region);

			KUNIT_EXPECT_EQ(test, 0, user_info(user, file, info));
			KUNIT_EXPECT_FALSE(test, info->capabilities &
					   SHM_KERNEL_CAP_KERNEL_MAPPED);
			err = vfs_truncate(&file->f_path, sizes[i] + PAGE_SIZE);
			KUNIT_EXPECT_EQ(test, flags[j] & SHM_KERNEL_CREATE_CONTIG ?
					-EPERM : 0, err);
			/* Mapped again, it has its new size. */
			addr = shm_kernel_vmap(region);
			KUNIT_ASSERT_FALSE(test, IS_ERR(addr));
			KUNIT_EXPECT_EQ(test, 0x99, addr[sizes[i] - 1]);
			if (!err) {
				KUNIT_EXPECT_EQ(test, sizes[i] + PAGE_SIZE,
						shm_kernel_size(region));
				KUNIT_EXPECT_NULL(test, memchr_inv(addr + sizes[i], 0,
								   PAGE_SIZE));
				addr[sizes[i] + PAGE_SIZE - 1] = 1;
			}
			shm_kernel_vunmap(region);
			user_close(file);
			shm_kernel_put(region);
		}
		cond_resched();
	}
}

/* A mapping has its pages, all of them, and as long as it is there. */
static void api_test_vmap_references(struct kunit *test)
{
	static const u32 flags[] = {
		0, SHM_KERNEL_CREATE_SMALL, SHM_KERNEL_CREATE_CONTIG,
	};
	struct shm_kernel_region *region;
	struct page *pages[21];
	int counts[21];
	u32 i, j, round;
	void *addr;

	for (j = 0; j < ARRAY_SIZE(flags); j++) {
		region = region_new(test, NAME, ARRAY_SIZE(pages) * PAGE_SIZE, flags[j]);
		addr = shm_kernel_vmap(region);
		KUNIT_ASSERT_FALSE(test, IS_ERR(addr));
		for (i = 0; i < ARRAY_SIZE(pages); i++) {
			void *at = addr + i * PAGE_SIZE;

			pages[i] = is_vmalloc_addr(at) ? vmalloc_to_page(at) :
							 virt_to_page(at);
			counts[i] = page_count(pages[i]);
		}
		shm_kernel_vunmap(region);
		for (round = 0; round < 3; round++) {
			for (i = 0; i < ARRAY_SIZE(pages); i++)
				KUNIT_EXPECT_EQ(test, counts[i] - 1, page_count(pages[i]));
			addr = shm_kernel_vmap(region);
			KUNIT_ASSERT_FALSE(test, IS_ERR(addr));
			/* Once, however often it is mapped. */
			shm_kernel_vmap(region);
			for (i = 0; i < ARRAY_SIZE(pages); i++)
				KUNIT_EXPECT_EQ(test, counts[i], page_count(pages[i]));
			shm_kernel_vunmap(region);
			for (i = 0; i < ARRAY_SIZE(pages); i++)
				KUNIT_EXPECT_EQ(test, counts[i], page_count(pages[i]));
			shm_kernel_vunmap(region);
		}
		shm_kernel_put(region);
	}
}

static void api_test_vmap_errors(struct kunit *test)
{
	struct shm_kernel_region *region = region_new(test, NAME, 0, 0);
	struct api_user *user = test->priv;
	struct file *file;

	KUNIT_EXPECT_EQ(test, -EINVAL, PTR_ERR_OR_ZERO(shm_kernel_vmap(region)));
	file = user_open(user, NAME, O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	KUNIT_EXPECT_EQ(test, 0, vfs_truncate(&file->f_path, 1));
	KUNIT_EXPECT_EQ(test, 0, PTR_ERR_OR_ZERO(shm_kernel_vmap(region)));
	shm_kernel_vunmap(region);
	KUNIT_EXPECT_EQ(test, 0, vfs_truncate(&file->f_path, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, PTR_ERR_OR_ZERO(shm_kernel_vmap(region)));
	user_close(file);
	KUNIT_EXPECT_EQ(test, 0, shm_kernel_revoke(region));
	KUNIT_EXPECT_EQ(test, -ENODEV, PTR_ERR_OR_ZERO(shm_kernel_vmap(region)));
	shm_kernel_put(region);
}

/* What the kernel has mapped is there until it lets go of it. */
static void api_test_view_stays(struct kunit *test)
{
	static const loff_t sizes[] = { 100, SZ_64K + 1, SZ_2M, SZ_2M + SZ_1M };
	static const u32 flags[] = { 0, SHM_KERNEL_CREATE_SMALL, SHM_KERNEL_CREATE_CONTIG };
	struct api_user *user = test->priv;
	struct shm_kernel_region *region, *other;
	struct file *file;
	u32 i, j;
	u8 *addr, byte;
	loff_t pos;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(flags); j++) {
			region = shm_kernel_create(NAME, sizes[i], 0600, flags[j]);
			if (PTR_ERR_OR_ZERO(region) == -ENOMEM)
				continue;
			KUNIT_ASSERT_FALSE(test, IS_ERR(region));
			file = user_open(user, NAME, O_RDWR);
			KUNIT_ASSERT_FALSE(test, IS_ERR(file));
			addr = shm_kernel_vmap(region);
			KUNIT_ASSERT_FALSE(test, IS_ERR(addr));
			fill(addr, sizes[i], 3);

			KUNIT_EXPECT_EQ(test, 0, shm_kernel_remove(region));
			KUNIT_EXPECT_TRUE(test, filled(addr, sizes[i], 3));
			pos = sizes[i] - 1;
			KUNIT_EXPECT_EQ(test, 1, kernel_read(file, &byte, 1, &pos));
			KUNIT_EXPECT_EQ(test, addr[sizes[i] - 1], byte);

			KUNIT_EXPECT_EQ(test, 0, shm_kernel_revoke(region));
			KUNIT_EXPECT_EQ(test, 0, shm_kernel_size(region));
			/* What is free now goes to somebody else. */
			other = region_new(test, NAME, sizes[i], flags[j]);
			KUNIT_EXPECT_TRUE(test, filled(addr, sizes[i], 3));
			shm_kernel_put(other);
			fill(addr, sizes[i], 4);
			KUNIT_EXPECT_TRUE(test, filled(addr, sizes[i], 4));
			pos = 0;
			KUNIT_EXPECT_EQ(test, -ENODEV, kernel_read(file, &byte, 1, &pos));
			user_close(file);
			KUNIT_EXPECT_TRUE(test, filled(addr, sizes[i], 4));
			shm_kernel_vunmap(region);
			shm_kernel_put(region);
		}
	}
}

static void api_test_revoked(struct kunit *test)
{
	struct shm_kernel_region *region = region_new(test, NAME, 5000, 0);
	struct shm_kernel_region *unnamed = region_new(test, NULL, 1, 0);
	struct shm_kernel_client *client;
	struct shm_kernel_events events;
	struct api_user *user = test->priv;
	struct file *file, *peer;
	struct probe probe = { };

	probe_attach(test, &probe, region);
	file = user_open(user, NAME, O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	peer = user_subscribe(user, file);
	KUNIT_ASSERT_FALSE(test, IS_ERR(peer));
	client = shm_kernel_attach(region, &deaf_ops, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(client));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&probe.revokes));

	KUNIT_EXPECT_EQ(test, 0, shm_kernel_revoke(region));
	KUNIT_EXPECT_EQ(test, -ENODEV, shm_kernel_revoke(region));
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(NAME));
	KUNIT_EXPECT_EQ(test, -ENOENT, shm_kernel_remove(region));
	KUNIT_EXPECT_EQ(test, 0, shm_kernel_size(region));
	KUNIT_EXPECT_EQ(test, -ENODEV,
			shm_kernel_add_seals(region, SHM_KERNEL_SEAL_GROW));
	KUNIT_EXPECT_EQ(test, -ENODEV,
			PTR_ERR_OR_ZERO(shm_kernel_attach(region, &deaf_ops, NULL)));
	KUNIT_EXPECT_EQ(test, (ssize_t)sizeof(events), user_read_events(peer, &events));
	KUNIT_EXPECT_EQ(test, 1, events.revoked);
	KUNIT_EXPECT_EQ(test, 1, events.peers_come);
	KUNIT_EXPECT_EQ(test, (ssize_t)-ENODEV, user_read_events(peer, &events));
	KUNIT_EXPECT_TRUE(test, settles(&probe.revokes, 1));
	/* Who was attached still is, and may go on as if nothing was. */
	KUNIT_EXPECT_EQ(test, 2, shm_kernel_peers(client));
	atomic_set(&probe.kicks, 0);
	shm_kernel_notify(client);
	KUNIT_EXPECT_TRUE(test, settles(&probe.kicks, 1));
	probe_detach(&probe);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&probe.wrong) + atomic_read(&probe.late));
	shm_kernel_detach(client);
	user_close(peer);
	user_close(file);
	shm_kernel_put(region);

	KUNIT_EXPECT_EQ(test, 0, shm_kernel_revoke(unnamed));
	KUNIT_EXPECT_EQ(test, -ENODEV, shm_kernel_bind(unnamed, NAME));
	shm_kernel_put(unnamed);
}

static void api_test_seals(struct kunit *test)
{
	struct api_user *user = test->priv;
	struct shm_kernel_region *region;
	struct file *file;
	u32 seals;

	for (seals = 0; seals < 8; seals++) {
		region = region_new(test, NAME, 5000, 0);
		file = user_open(user, NAME, O_RDWR);
		KUNIT_ASSERT_FALSE(test, IS_ERR(file));
		KUNIT_EXPECT_EQ(test, -EINVAL,
				shm_kernel_add_seals(region, seals | 1U << 5));
		KUNIT_EXPECT_EQ(test, -EINVAL,
				shm_kernel_add_seals(region, seals | 1U << 31));
		KUNIT_EXPECT_EQ(test, 0, shm_kernel_add_seals(region, seals));
		KUNIT_EXPECT_EQ(test, seals & SHM_KERNEL_SEAL_GROW ? -EPERM : 0,
				vfs_truncate(&file->f_path, 5001));
		KUNIT_EXPECT_EQ(test, seals & SHM_KERNEL_SEAL_SHRINK ? -EPERM : 0,
				vfs_truncate(&file->f_path, 4999));
		KUNIT_EXPECT_EQ(test, seals & SHM_KERNEL_SEAL_SEAL ? -EPERM : 0,
				shm_kernel_add_seals(region, SHM_KERNEL_SEAL_SHRINK |
						     SHM_KERNEL_SEAL_GROW));
		user_close(file);
		shm_kernel_put(region);
	}
}

static void api_test_write_seals(struct kunit *test)
{
	const u32 seals[] = { SHM_KERNEL_SEAL_WRITE, SHM_KERNEL_SEAL_FUTURE_WRITE };
	struct shm_kernel_region *region;
	unsigned int i;
	u8 *words;

	for (i = 0; i < ARRAY_SIZE(seals); i++) {
		bool now = seals[i] == SHM_KERNEL_SEAL_WRITE;

		region = region_new(test, NULL, 3 * PAGE_SIZE, 0);
		words = shm_kernel_vmap(region);
		KUNIT_ASSERT_FALSE(test, IS_ERR(words));
		words[1] = 1;
		KUNIT_EXPECT_EQ(test, now ? -EBUSY : 0,
				shm_kernel_add_seals(region, seals[i]));
		words[1] = 2;
		/* Not even for who gets the address that there is. */
		KUNIT_EXPECT_EQ(test, now ? 0 : -EPERM,
				PTR_ERR_OR_ZERO(shm_kernel_vmap(region)));
		if (now)
			shm_kernel_vunmap(region);
		shm_kernel_vunmap(region);
		KUNIT_EXPECT_EQ(test, 0, shm_kernel_add_seals(region, seals[i]));
		KUNIT_EXPECT_EQ(test, -EPERM, PTR_ERR_OR_ZERO(shm_kernel_vmap(region)));
		shm_kernel_put(region);
	}
}

static void api_test_clients(struct kunit *test)
{
	struct shm_kernel_region *region = region_new(test, NAME, 4096, 0);
	struct shm_kernel_info *info = kunit_kzalloc(test, sizeof(*info), GFP_KERNEL);
	struct api_user *user = test->priv;
	struct probe probes[3] = { };
	struct file *file, *peer;
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, info);
	file = user_open(user, NAME, O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	for (i = 0; i < 3; i++) {
		probe_attach(test, &probes[i], region);
		KUNIT_EXPECT_PTR_EQ(test, (void *)&probes[i],
				    shm_kernel_client_data(probes[i].client));
		KUNIT_EXPECT_EQ(test, i, shm_kernel_peers(probes[0].client));
		KUNIT_EXPECT_EQ(test, i, shm_kernel_peers(probes[i].client));
	}
	/* Not of its own coming, but of that of others. */
	KUNIT_EXPECT_TRUE(test, settles(&probes[1].changes, 1));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&probes[2].changes));
	KUNIT_EXPECT_GE(test, atomic_read(&probes[0].changes), 1);
	KUNIT_EXPECT_LE(test, atomic_read(&probes[0].changes), 2);

	atomic_set(&probes[2].changes, 0);
	peer = user_subscribe(user, file);
	KUNIT_ASSERT_FALSE(test, IS_ERR(peer));
	KUNIT_EXPECT_TRUE(test, settles(&probes[2].changes, 1));
	KUNIT_EXPECT_EQ(test, 3, shm_kernel_peers(probes[2].client));
	KUNIT_EXPECT_EQ(test, 0, user_info(user, file, info));
	KUNIT_EXPECT_EQ(test, 4, info->peers);
	KUNIT_EXPECT_EQ(test, 3, info->clients);
	KUNIT_EXPECT_EQ(test, 0, info->rings);
	user_close(peer);
	KUNIT_EXPECT_TRUE(test, settles(&probes[2].changes, 2));
	KUNIT_EXPECT_EQ(test, 2, shm_kernel_peers(probes[2].client));

	probe_detach(&probes[0]);
	KUNIT_EXPECT_TRUE(test, settles(&probes[2].changes, 3));
	KUNIT_EXPECT_EQ(test, 0, user_info(user, file, info));
	KUNIT_EXPECT_EQ(test, 2, info->peers);
	KUNIT_EXPECT_EQ(test, 2, info->clients);
	probe_detach(&probes[1]);
	/* A client keeps the region, and its name. */
	user_close(file);
	shm_kernel_put(region);
	KUNIT_EXPECT_EQ(test, 0, find_error(NAME));
	KUNIT_EXPECT_EQ(test, 0, shm_kernel_peers(probes[2].client));
	probe_detach(&probes[2]);
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(NAME));
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, 0, atomic_read(&probes[i].wrong));
		KUNIT_EXPECT_EQ(test, 0, atomic_read(&probes[i].late));
		KUNIT_EXPECT_EQ(test, 0, atomic_read(&probes[i].kicks));
	}
}

static void api_test_kick(struct kunit *test)
{
	struct shm_kernel_region *region = region_new(test, NAME, 4096, 0);
	DECLARE_COMPLETION_ONSTACK(entered);
	DECLARE_COMPLETION_ONSTACK(leave);
	struct probe a = { }, b = { };
	struct shm_kernel_client *deaf;
	u32 i;

	deaf = shm_kernel_attach(region, &deaf_ops, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(deaf));
	probe_attach(test, &a, region);
	probe_attach(test, &b, region);

	/* Everybody but who rings. */
	shm_kernel_notify(b.client);
	KUNIT_EXPECT_TRUE(test, settles(&a.kicks, 1));
	KUNIT_EXPECT_TRUE(test, settles(&b.kicks, 0));
	shm_kernel_notify(deaf);
	KUNIT_EXPECT_TRUE(test, settles(&a.kicks, 2));
	KUNIT_EXPECT_TRUE(test, settles(&b.kicks, 1));

	/* Rings during a kick come as one more. */
	a.entered = &entered;
	a.leave = &leave;
	shm_kernel_notify(b.client);
	wait_for_completion(&entered);
	for (i = 0; i < 1000; i++)
		shm_kernel_notify(b.client);
	KUNIT_EXPECT_EQ(test, 3, atomic_read(&a.kicks));
	complete(&leave);
	wait_for_completion(&entered);
	KUNIT_EXPECT_EQ(test, 4, atomic_read(&a.kicks));
	complete(&leave);
	KUNIT_EXPECT_TRUE(test, settles(&a.kicks, 4));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&b.kicks));
	a.entered = NULL;
	a.leave = NULL;

	/* An answer is no ring for who answers. */
	a.rings_back = true;
	shm_kernel_notify(deaf);
	KUNIT_EXPECT_TRUE(test, settles(&a.kicks, 5));

	probe_detach(&a);
	/* It was rung for by both, at once or one after the other. */
	KUNIT_EXPECT_LE(test, 2, atomic_read(&b.kicks));
	KUNIT_EXPECT_GE(test, 3, atomic_read(&b.kicks));
	probe_detach(&b);
	/* Nobody is left to be told. */
	shm_kernel_notify(deaf);
	shm_kernel_detach(deaf);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&a.wrong) + atomic_read(&b.wrong));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&a.late) + atomic_read(&b.late));
	shm_kernel_put(region);
}

/* One that takes its time keeps nobody else from anything. */
static void api_test_slow_client(struct kunit *test)
{
	struct shm_kernel_region *region = region_new(test, NAME, 4096, 0);
	DECLARE_COMPLETION_ONSTACK(entered);
	DECLARE_COMPLETION_ONSTACK(leave);
	struct probe slow = { .entered = &entered, .leave = &leave };
	struct probe quick = { }, other = { };
	struct shm_kernel_client *deaf;

	deaf = shm_kernel_attach(region, &deaf_ops, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(deaf));
	probe_attach(test, &slow, region);
	probe_attach(test, &quick, region);
	shm_kernel_notify(deaf);
	wait_for_completion(&entered);
	KUNIT_EXPECT_TRUE(test, settles(&quick.kicks, 1));
	shm_kernel_notify(deaf);
	KUNIT_EXPECT_TRUE(test, settles(&quick.kicks, 2));
	probe_attach(test, &other, region);
	probe_detach(&quick);
	shm_kernel_notify(deaf);
	KUNIT_EXPECT_TRUE(test, settles(&other.kicks, 1));
	probe_detach(&other);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&slow.kicks));
	complete_all(&leave);
	KUNIT_EXPECT_TRUE(test, settles(&slow.kicks, 2));
	probe_detach(&slow);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&slow.wrong) + atomic_read(&slow.late));
	shm_kernel_detach(deaf);
	shm_kernel_put(region);
}

/* Two clients that each attach to the region of the other when they are rung. */
static void api_test_visitors(struct kunit *test)
{
	struct shm_kernel_region *regions[2] = {
		region_new(test, NAME, 4096, 0), region_new(test, OTHER, 4096, 0),
	};
	struct shm_kernel_client *deaf[2];
	struct probe probes[2] = { };
	u32 i, round;

	for (i = 0; i < 2; i++) {
		deaf[i] = shm_kernel_attach(regions[i], &deaf_ops, NULL);
		KUNIT_ASSERT_FALSE(test, IS_ERR(deaf[i]));
		probe_attach(test, &probes[i], regions[i]);
	}
	for (round = 0; round < 100; round++) {
		/* Each rings the other, and so on, until both have gone. */
		for (i = 0; i < 2; i++) {
			WRITE_ONCE(probes[i].visits, regions[!i]);
			if (round % 10 == i)
				shm_kernel_notify(deaf[i]);
		}
		usleep_range(10, 100);
	}
	for (i = 0; i < 2; i++)
		probe_detach(&probes[i]);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_GT(test, atomic_read(&probes[i].kicks), 0);
		KUNIT_EXPECT_EQ(test, 0, atomic_read(&probes[i].wrong));
		KUNIT_EXPECT_EQ(test, 0, atomic_read(&probes[i].late));
		shm_kernel_detach(deaf[i]);
		shm_kernel_put(regions[i]);
	}
}

/* Both directions between a client and a program. */
static void api_test_user_peer(struct kunit *test)
{
	struct shm_kernel_region *region = region_new(test, NAME, 4096, 0);
	struct shm_kernel_info *info = kunit_kzalloc(test, sizeof(*info), GFP_KERNEL);
	struct shm_kernel_events events;
	struct api_user *user = test->priv;
	struct file *file, *peer;
	struct probe probe = { };
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, info);
	file = user_open(user, NAME, O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	peer = user_subscribe(user, file);
	KUNIT_ASSERT_FALSE(test, IS_ERR(peer));
	KUNIT_EXPECT_EQ(test, EPOLLOUT | EPOLLWRNORM, vfs_poll(peer, NULL));
	KUNIT_EXPECT_EQ(test, (ssize_t)-EAGAIN, user_read_events(peer, &events));

	probe_attach(test, &probe, region);
	KUNIT_EXPECT_EQ(test, EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM,
			vfs_poll(peer, NULL));
	KUNIT_EXPECT_EQ(test, (ssize_t)sizeof(events), user_read_events(peer, &events));
	KUNIT_EXPECT_EQ(test, 1, events.peers_come);
	KUNIT_EXPECT_EQ(test, 0, events.peers_gone);
	KUNIT_EXPECT_EQ(test, 1, events.peers);
	KUNIT_EXPECT_EQ(test, 0, events.rings);

	for (i = 0; i < 7; i++)
		shm_kernel_notify(probe.client);
	KUNIT_EXPECT_EQ(test, (ssize_t)sizeof(events), user_read_events(peer, &events));
	KUNIT_EXPECT_EQ(test, 7, events.rings);
	KUNIT_EXPECT_EQ(test, 0, events.peers_come);
	KUNIT_EXPECT_TRUE(test, settles(&probe.kicks, 0));

	KUNIT_EXPECT_EQ(test, 8, user_ring(user, peer, 5));
	KUNIT_EXPECT_TRUE(test, settles(&probe.kicks, 1));
	KUNIT_EXPECT_EQ(test, (ssize_t)-EAGAIN, user_read_events(peer, &events));
	KUNIT_EXPECT_EQ(test, 0, user_info(user, file, info));
	KUNIT_EXPECT_EQ(test, 12, info->rings);

	/* A seal and a change of the size are told as well. */
	KUNIT_EXPECT_EQ(test, 0, vfs_truncate(&file->f_path, 4097));
	KUNIT_EXPECT_EQ(test, 0, shm_kernel_add_seals(region, SHM_KERNEL_SEAL_GROW));
	KUNIT_EXPECT_EQ(test, (ssize_t)sizeof(events), user_read_events(peer, &events));
	KUNIT_EXPECT_EQ(test, 1, events.resized);
	KUNIT_EXPECT_EQ(test, 1, events.sealed);

	probe_detach(&probe);
	KUNIT_EXPECT_EQ(test, 8, user_ring(user, peer, 1));
	KUNIT_EXPECT_EQ(test, (ssize_t)sizeof(events), user_read_events(peer, &events));
	KUNIT_EXPECT_EQ(test, 1, events.peers_gone);
	KUNIT_EXPECT_EQ(test, 0, events.peers);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&probe.wrong));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&probe.late));
	user_close(peer);
	user_close(file);
	shm_kernel_put(region);
}

static void api_test_reset(struct kunit *test)
{
	struct shm_kernel_region *region = region_new(test, NAME, 2 * PAGE_SIZE, 0);
	struct api_user *user = test->priv;
	struct probe a = { }, b = { };
	struct file *file;
	u32 *words;

	file = user_open(user, NAME, O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	words = shm_kernel_vmap(region);
	KUNIT_ASSERT_FALSE(test, IS_ERR(words));
	a.word = &words[0];
	b.word = &words[PAGE_SIZE / 4 + 1];
	probe_attach(test, &a, region);
	probe_attach(test, &b, region);

	memset(words, 0xee, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, 0, user_simple(user, file, SHM_KERNEL_IOC_RESET));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&a.resets));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&b.resets));
	KUNIT_EXPECT_EQ(test, 0x600d, words[0]);
	KUNIT_EXPECT_EQ(test, 0x600d, words[PAGE_SIZE / 4 + 1]);
	words[0] = 0;
	words[PAGE_SIZE / 4 + 1] = 0;
	KUNIT_EXPECT_NULL(test, memchr_inv(words, 0, 2 * PAGE_SIZE));

	memset(words, 0xee, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, 0, user_simple(user, file, SHM_KERNEL_IOC_CLEAR));
	KUNIT_EXPECT_NULL(test, memchr_inv(words, 0, 2 * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&a.resets));

	probe_detach(&a);
	KUNIT_EXPECT_EQ(test, 0, user_simple(user, file, SHM_KERNEL_IOC_RESET));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&a.resets));
	KUNIT_EXPECT_EQ(test, 2, atomic_read(&b.resets));
	probe_detach(&b);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&a.wrong) + atomic_read(&b.wrong));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&a.late) + atomic_read(&b.late));
	shm_kernel_vunmap(region);
	user_close(file);
	shm_kernel_put(region);
}

struct leaver {
	struct work_struct work;
	struct completion *leave;
	bool let_go;
};

static void leaver_work(struct work_struct *work)
{
	struct leaver *leaver = container_of(work, struct leaver, work);

	msleep(100);
	WRITE_ONCE(leaver->let_go, true);
	complete_all(leaver->leave);
}

/* Detaching returns when the callback that runs has, and no other will. */
static void api_test_detach_waits(struct kunit *test)
{
	struct shm_kernel_region *region = region_new(test, NAME, 4096, 0);
	DECLARE_COMPLETION_ONSTACK(entered);
	DECLARE_COMPLETION_ONSTACK(leave);
	struct leaver leaver = { .leave = &leave };
	struct shm_kernel_client *deaf;
	struct probe *probe;
	u32 round, i;
	int kicks;

	deaf = shm_kernel_attach(region, &deaf_ops, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(deaf));
	probe = kunit_kzalloc(test, sizeof(*probe), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, probe);
	INIT_WORK_ONSTACK(&leaver.work, leaver_work);
	for (round = 0; round < 5; round++) {
		probe->entered = &entered;
		probe->leave = &leave;
		leaver.let_go = false;
		probe_attach(test, probe, region);
		shm_kernel_notify(deaf);
		wait_for_completion(&entered);
		/* One runs, and another one is due. */
		shm_kernel_notify(deaf);
		complete_all(&entered);
		schedule_work(&leaver.work);
		if (round % 2)
			complete_all(&leave);
		shm_kernel_detach(probe->client);
		WRITE_ONCE(probe->gone, true);
		KUNIT_EXPECT_EQ(test, 0, atomic_read(&probe->running));
		KUNIT_EXPECT_TRUE(test, round % 2 || READ_ONCE(leaver.let_go));
		probe->client = NULL;
		probe->entered = NULL;
		probe->leave = NULL;
		kicks = atomic_read(&probe->kicks);
		for (i = 0; i < 100; i++)
			shm_kernel_notify(deaf);
		KUNIT_EXPECT_TRUE(test, settles(&probe->kicks, kicks));
		flush_work(&leaver.work);
		reinit_completion(&entered);
		reinit_completion(&leave);
	}
	destroy_work_on_stack(&leaver.work);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&probe->late));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&probe->wrong));
	shm_kernel_detach(deaf);
	shm_kernel_put(region);
}

/* Where a doorbell can be rung. */
struct bell {
	struct hrtimer hard;
	struct hrtimer soft;
	struct irq_work work;
	struct shm_kernel_client *client;
	atomic_t rings;
	unsigned int in_hard;
	unsigned int in_soft;
	bool again;
};

static enum hrtimer_restart bell_hard(struct hrtimer *timer)
{
	struct bell *bell = container_of(timer, struct bell, hard);

	shm_kernel_notify(bell->client);
	if (in_hardirq())
		bell->in_hard++;
	atomic_inc(&bell->rings);
	if (!bell->again)
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, us_to_ktime(100));
	return HRTIMER_RESTART;
}

static enum hrtimer_restart bell_soft(struct hrtimer *timer)
{
	struct bell *bell = container_of(timer, struct bell, soft);

	shm_kernel_notify(bell->client);
	if (in_serving_softirq())
		bell->in_soft++;
	atomic_inc(&bell->rings);
	if (!bell->again)
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, us_to_ktime(150));
	return HRTIMER_RESTART;
}

static void bell_work(struct irq_work *work)
{
	struct bell *bell = container_of(work, struct bell, work);

	shm_kernel_notify(bell->client);
	atomic_inc(&bell->rings);
}

static void bell_init(struct bell *bell, struct shm_kernel_client *client)
{
	bell->client = client;
	hrtimer_setup(&bell->hard, bell_hard, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	hrtimer_setup(&bell->soft, bell_soft, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	init_irq_work(&bell->work, bell_work);
}

static void api_test_notify_contexts(struct kunit *test)
{
	struct shm_kernel_region *region = region_new(test, NAME, 4096, 0);
	struct bell *bell = kunit_kzalloc(test, sizeof(*bell), GFP_KERNEL);
	struct api_user *user = test->priv;
	struct shm_kernel_events events;
	struct shm_kernel_client *deaf;
	struct file *file, *peer;
	struct probe probe = { };
	static DEFINE_RAW_SPINLOCK(lock);
	unsigned long flags;

	KUNIT_ASSERT_NOT_NULL(test, bell);
	file = user_open(user, NAME, O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	deaf = shm_kernel_attach(region, &deaf_ops, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(deaf));
	probe_attach(test, &probe, region);
	peer = user_subscribe(user, file);
	KUNIT_ASSERT_FALSE(test, IS_ERR(peer));
	bell_init(bell, deaf);

	hrtimer_start(&bell->hard, us_to_ktime(100), HRTIMER_MODE_REL_HARD);
	KUNIT_EXPECT_TRUE(test, settles(&probe.kicks, 1));
	KUNIT_EXPECT_EQ(test, 1, bell->in_hard);
	hrtimer_start(&bell->soft, us_to_ktime(100), HRTIMER_MODE_REL_SOFT);
	KUNIT_EXPECT_TRUE(test, settles(&probe.kicks, 2));
	KUNIT_EXPECT_EQ(test, 1, bell->in_soft);
	irq_work_queue(&bell->work);
	KUNIT_EXPECT_TRUE(test, settles(&probe.kicks, 3));

	local_irq_save(flags);
	shm_kernel_notify(deaf);
	KUNIT_EXPECT_TRUE(test, irqs_disabled());
	local_irq_restore(flags);
	KUNIT_EXPECT_TRUE(test, settles(&probe.kicks, 4));

	raw_spin_lock_irqsave(&lock, flags);
	shm_kernel_notify(deaf);
	raw_spin_unlock_irqrestore(&lock, flags);
	KUNIT_EXPECT_TRUE(test, settles(&probe.kicks, 5));

	local_bh_disable();
	shm_kernel_notify(deaf);
	local_bh_enable();
	KUNIT_EXPECT_TRUE(test, settles(&probe.kicks, 6));

	/* A stand-in for an NMI: preempt_count() says that this is one. */
	local_irq_save(flags);
	preempt_count_add(NMI_OFFSET);
	shm_kernel_notify(deaf);
	preempt_count_sub(NMI_OFFSET);
	local_irq_restore(flags);
	KUNIT_EXPECT_TRUE(test, settles(&probe.kicks, 7));

	KUNIT_EXPECT_EQ(test, (ssize_t)sizeof(events), user_read_events(peer, &events));
	KUNIT_EXPECT_EQ(test, 7, events.rings);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&probe.wrong));

	probe_detach(&probe);
	hrtimer_cancel(&bell->hard);
	hrtimer_cancel(&bell->soft);
	irq_work_sync(&bell->work);
	shm_kernel_detach(deaf);
	user_close(peer);
	user_close(file);
	shm_kernel_put(region);
}

/* Somebody who sleeps on an event file while the kernel rings. */
struct sleeper {
	struct file *peer;
	u64 rings;
	u32 come;
	u32 gone;
	u32 most;
	ssize_t error;
};

static int sleeper_thread(void *arg)
{
	struct sleeper *sleeper = arg;
	struct shm_kernel_events events;
	ssize_t len;

	for (;;) {
		len = user_read_events(sleeper->peer, &events);
		if (len != sizeof(events)) {
			sleeper->error = len;
			break;
		}
		sleeper->rings += events.rings;
		sleeper->come += events.peers_come;
		sleeper->gone += events.peers_gone;
		sleeper->most = max(sleeper->most, events.peers);
		if (events.revoked)
			break;
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

struct storm {
	struct shm_kernel_region *region;
	atomic_t rings;
	atomic_t attached;
	atomic_t wrong;
	bool revoking;
};

/* Comes, rings and goes. */
static int storm_client(void *arg)
{
	struct probe *probe = kzalloc_obj(*probe);
	struct shm_kernel_client *client;
	struct storm *storm = arg;
	u32 i;

	while (probe && !kthread_should_stop()) {
		client = shm_kernel_attach(storm->region, &probe_ops, probe);
		if (IS_ERR(client)) {
			atomic_inc(&storm->wrong);
			break;
		}
		atomic_inc(&storm->attached);
		for (i = 0; i < 20; i++) {
			shm_kernel_notify(client);
			atomic_inc(&storm->rings);
		}
		if (atomic_read(&storm->attached) % 4)
			usleep_range(10, 100);
		shm_kernel_detach(client);
		/* Memory that a late call would find poisoned. */
		atomic_add(atomic_read(&probe->wrong), &storm->wrong);
		kfree(probe);
		probe = kzalloc_obj(*probe);
	}
	kfree(probe);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static int storm_mapper(void *arg)
{
	struct shm_kernel_region *region;
	struct storm *storm = arg;
	u32 *words;

	while (!kthread_should_stop()) {
		region = shm_kernel_find(NAME);
		if (region != storm->region) {
			atomic_inc(&storm->wrong);
			break;
		}
		shm_kernel_get(region);
		words = shm_kernel_vmap(region);
		if (IS_ERR(words)) {
			atomic_inc(&storm->wrong);
		} else {
			WRITE_ONCE(words[1], READ_ONCE(words[0]));
			shm_kernel_vunmap(region);
		}
		shm_kernel_put(region);
		shm_kernel_put(region);
		cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

/* Clients, timers and mappings come and go; every ring and every peer counts. */
static void api_test_storm(struct kunit *test)
{
	static int (* const threads[])(void *) = {
		storm_client, storm_client, storm_client, storm_mapper,
	};
	struct storm *storm = kunit_kzalloc(test, sizeof(*storm), GFP_KERNEL);
	struct bell *bell = kunit_kzalloc(test, sizeof(*bell), GFP_KERNEL);
	struct sleeper *sleeper = kunit_kzalloc(test, sizeof(*sleeper), GFP_KERNEL);
	struct task_struct *tasks[ARRAY_SIZE(threads)], *sleeping;
	struct api_user *user = test->priv;
	struct probe probe = { };
	struct file *file;
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, storm);
	KUNIT_ASSERT_NOT_NULL(test, bell);
	KUNIT_ASSERT_NOT_NULL(test, sleeper);
	storm->region = region_new(test, NAME, SZ_64K, 0);
	file = user_open(user, NAME, O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	probe_attach(test, &probe, storm->region);
	bell_init(bell, probe.client);
	bell->again = true;
	sleeper->peer = user_subscribe(user, file);
	KUNIT_ASSERT_FALSE(test, IS_ERR(sleeper->peer));
	sleeper->peer->f_flags &= ~O_NONBLOCK;

	sleeping = kthread_run(sleeper_thread, sleeper, "shm-sleeper");
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		tasks[i] = kthread_run(threads[i], storm, "shm-storm-%u", i);
	hrtimer_start(&bell->hard, us_to_ktime(100), HRTIMER_MODE_REL_HARD);
	hrtimer_start(&bell->soft, us_to_ktime(100), HRTIMER_MODE_REL_SOFT);
	/* A second, or longer on a machine where nothing happens meanwhile. */
	for (i = 0; i < 10 || (i < 300 && (atomic_read(&storm->attached) <= 10 ||
					   !READ_ONCE(bell->in_hard) ||
					   !atomic_read(&probe.kicks) ||
					   !atomic_read(&probe.changes))); i++)
		msleep(100);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		if (!IS_ERR(tasks[i]))
			kthread_stop(tasks[i]);
	hrtimer_cancel(&bell->hard);
	hrtimer_cancel(&bell->soft);
	probe_detach(&probe);
	KUNIT_EXPECT_EQ(test, 0, shm_kernel_revoke(storm->region));
	if (!IS_ERR(sleeping))
		kthread_stop(sleeping);

	KUNIT_EXPECT_EQ(test, 0, sleeper->error);
	KUNIT_EXPECT_EQ(test, atomic_read(&storm->rings) + atomic_read(&bell->rings),
			sleeper->rings);
	KUNIT_EXPECT_EQ(test, atomic_read(&storm->attached), sleeper->come);
	KUNIT_EXPECT_EQ(test, atomic_read(&storm->attached) + 1, sleeper->gone);
	/* Who comes and goes in between may be counted, but never less than none. */
	KUNIT_EXPECT_LT(test, sleeper->most, 1000);
	KUNIT_EXPECT_GT(test, atomic_read(&storm->attached), 10);
	KUNIT_EXPECT_GT(test, bell->in_hard, 0);
	KUNIT_EXPECT_GT(test, atomic_read(&probe.kicks), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&probe.changes), 0);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&storm->wrong));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&probe.wrong));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&probe.late));
	user_close(sleeper->peer);
	user_close(file);
	shm_kernel_put(storm->region);
}

/* Whole regions, by the same names, with all that can happen to them. */
static int chaos_thread(void *arg)
{
	struct shm_kernel_region *region;
	struct shm_kernel_client *client;
	struct storm *storm = arg;
	struct rnd_state rnd;
	struct probe *probe;
	u32 *words, what;
	int err;

	prandom_seed_state(&rnd, (unsigned long)current->pid);
	while (!kthread_should_stop()) {
		what = prandom_u32_state(&rnd);
		if (what & 1)
			region = shm_kernel_find(what & 2 ? NAME : OTHER);
		else
			region = shm_kernel_create(what & 4 ? NULL : what & 2 ? NAME : OTHER,
						   what >> 8 & 0x1ffff, 0600, 0);
		if (IS_ERR(region)) {
			err = PTR_ERR(region);
			if (err != (what & 1 ? -ENOENT : -EEXIST))
				atomic_inc(&storm->wrong);
			cond_resched();
			continue;
		}
		probe = kzalloc_obj(*probe);
		client = probe ? shm_kernel_attach(region, &probe_ops, probe) :
				 ERR_PTR(-ENOMEM);
		if (IS_ERR(client) && PTR_ERR(client) != -ENODEV)
			atomic_inc(&storm->wrong);
		words = shm_kernel_vmap(region);
		if (!IS_ERR(words))
			WRITE_ONCE(words[0], what);
		if (what & 1 << 25)
			shm_kernel_bind(region, what & 2 ? NAME : OTHER);
		if (!IS_ERR(client)) {
			shm_kernel_notify(client);
			atomic_inc(&storm->attached);
		}
		if (what & 1 << 26)
			shm_kernel_remove(region);
		if (what & 1 << 27)
			shm_kernel_revoke(region);
		if (what & 1 << 28)
			shm_kernel_add_seals(region, what & 7);
		if (what & 1 << 29)
			usleep_range(1, 200);
		if (!IS_ERR(words)) {
			WRITE_ONCE(words[0], 0);
			shm_kernel_vunmap(region);
		}
		if (what & 1 << 30)
			shm_kernel_put(region);
		if (!IS_ERR(client))
			shm_kernel_detach(client);
		if (!(what & 1 << 30))
			shm_kernel_put(region);
		if (probe)
			atomic_add(atomic_read(&probe->wrong), &storm->wrong);
		kfree(probe);
		cond_resched();
	}
	return 0;
}

static void api_test_chaos(struct kunit *test)
{
	struct storm *storm = kunit_kzalloc(test, sizeof(*storm), GFP_KERNEL);
	struct task_struct *tasks[4];
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, storm);
	for (i = 0; i < ARRAY_SIZE(tasks); i++)
		tasks[i] = kthread_run(chaos_thread, storm, "shm-chaos-%u", i);
	for (i = 0; i < 10 || (i < 300 && atomic_read(&storm->attached) <= 10); i++)
		msleep(100);
	for (i = 0; i < ARRAY_SIZE(tasks); i++)
		if (!IS_ERR(tasks[i]))
			kthread_stop(tasks[i]);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&storm->wrong));
	KUNIT_EXPECT_GT(test, atomic_read(&storm->attached), 10);
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(NAME));
	KUNIT_EXPECT_EQ(test, -ENOENT, find_error(OTHER));
}

static struct kunit_case api_test_cases[] = {
	KUNIT_CASE(api_test_create_refused),
	KUNIT_CASE(api_test_names),
	KUNIT_CASE(api_test_bind),
	KUNIT_CASE_SLOW(api_test_vmap),
	KUNIT_CASE(api_test_vmap_references),
	KUNIT_CASE(api_test_vmap_errors),
	KUNIT_CASE_SLOW(api_test_view_stays),
	KUNIT_CASE(api_test_revoked),
	KUNIT_CASE(api_test_seals),
	KUNIT_CASE(api_test_write_seals),
	KUNIT_CASE(api_test_clients),
	KUNIT_CASE(api_test_kick),
	KUNIT_CASE(api_test_slow_client),
	KUNIT_CASE(api_test_visitors),
	KUNIT_CASE(api_test_user_peer),
	KUNIT_CASE(api_test_reset),
	KUNIT_CASE(api_test_detach_waits),
	KUNIT_CASE(api_test_notify_contexts),
	KUNIT_CASE_SLOW(api_test_storm),
	KUNIT_CASE_SLOW(api_test_chaos),
	{}
};

static struct kunit_suite api_test_suite = {
	.name = "shm_kernel_api",
	.init = api_init,
	.exit = api_exit,
	.test_cases = api_test_cases,
};

kunit_test_suite(api_test_suite);

static int __init api_load(void)
{
	control_file = filp_open(CONTROL_NODE, O_RDWR, 0);
	if (IS_ERR(control_file))
		control_file = NULL;
	stats_file = filp_open(STATS_FILE, O_RDONLY, 0);
	if (IS_ERR(stats_file))
		stats_file = NULL;
	return 0;
}
module_init(api_load);

static void __exit api_unload(void)
{
	if (control_file)
		filp_close(control_file, NULL);
	if (stats_file)
		filp_close(stats_file, NULL);
}
module_exit(api_unload);

MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_AUTHOR("shm_kernel developers <shm-kernel@example.org>");
MODULE_DESCRIPTION("KUnit test of the in-kernel interface of shm_kernel");
MODULE_LICENSE("GPL");
