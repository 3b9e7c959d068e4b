// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts what kernel code pays for a record or a doorbell that goes to user
 * space, through shm_kernel and through its peers. For sdk/benchmarks/kernel,
 * which builds it for the kernel that it measures.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <linux/debugfs.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/relay.h>
#include <linux/shm_kernel.h>
#include <linux/shm_kernel_ring.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <asm/msr.h>

#include "shm_kernel_bench.h"

#define RELAY_SUBBUF	(1 << 20)
#define RELAY_SUBBUFS	4

static struct shm_kernel_region *region;
static struct shm_kernel_client *client;
static void *ring;
static struct shm_kernel_ring_writer writer;
static struct rchan *relay;
static struct dentry *relay_dir;
static u8 source[SHM_KERNEL_BENCH_MAX];
static u8 target[SHM_KERNEL_BENCH_MAX];

static u64 count_now(void)
{
	return rdtsc();
}

/*
 * Repeats STATEMENT. The barrier is between two events that have nothing to do
 * with each other: what one left in registers, the next has to load again.
 */
#define COUNT(statement)						\
	do {								\
		u64 start_ = count_now();				\
									\
		for (u32 i_ = 0; i_ < run->times; i_++) {		\
			statement;					\
			barrier();					\
		}							\
		run->count = count_now() - start_;			\
	} while (0)

static __always_inline int put_record(struct shm_kernel_ring_writer *to, u32 len,
				      bool shared, bool notify)
{
	struct shm_kernel_ring_slot slot;
	int err;

	if (shared)
		err = shm_kernel_ring_reserve_shared(to, len, &slot);
	else
		err = shm_kernel_ring_reserve(to, len, &slot);
	if (unlikely(err))
		return err;
	memcpy(slot.data, source, len);
	if (shm_kernel_ring_commit(to, &slot) || notify)
		shm_kernel_notify(client);
	return 0;
}

/* LEN is a constant here, as it is where records are structures. */
static __always_inline int run_loop(struct shm_kernel_bench_run *run, u32 len,
				    struct eventfd_ctx *eventfd, struct file *file)
{
	struct shm_kernel_ring_writer *to = &writer;
	loff_t pos = 0;
	int err = 0;

	OPTIMIZER_HIDE_VAR(to);
	switch (run->what) {
	case SHM_KERNEL_BENCH_EMPTY:
		COUNT((void)0);
		break;
	case SHM_KERNEL_BENCH_COPY:
		COUNT(memcpy(target, source, len));
		break;
	case SHM_KERNEL_BENCH_RECORD:
		COUNT(err |= put_record(to, len, false, false));
		break;
	case SHM_KERNEL_BENCH_SHARED:
		COUNT(err |= put_record(to, len, true, false));
		break;
	case SHM_KERNEL_BENCH_RECORD_NOTIFY:
		COUNT(err |= put_record(to, len, false, true));
		break;
	case SHM_KERNEL_BENCH_NOTIFY:
		COUNT(shm_kernel_notify(client));
		break;
	case SHM_KERNEL_BENCH_EVENTFD:
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
		COUNT(eventfd_signal(eventfd));
#else
		COUNT(eventfd_signal(eventfd, 1));
#endif
		break;
	case SHM_KERNEL_BENCH_PIPE:
		COUNT(err |= kernel_write(file, source, len, &pos) != len);
		break;
	case SHM_KERNEL_BENCH_RELAY:
		COUNT(relay_write(relay, source, len));
		break;
	default:
		return -EINVAL;
	}
	return err ? -ENOSPC : 0;
}

static noinline int run_64(struct shm_kernel_bench_run *run,
			   struct eventfd_ctx *eventfd, struct file *file)
{
	return run_loop(run, 64, eventfd, file);
}

static noinline int run_max(struct shm_kernel_bench_run *run,
			    struct eventfd_ctx *eventfd, struct file *file)
{
	return run_loop(run, SHM_KERNEL_BENCH_MAX, eventfd, file);
}

static long bench_run(struct shm_kernel_bench_run __user *arg)
{
	struct eventfd_ctx *eventfd = NULL;
	struct shm_kernel_bench_run run;
	struct file *file = NULL;
	int err;

	if (copy_from_user(&run, arg, sizeof(run)))
		return -EFAULT;
	if (run.what == SHM_KERNEL_BENCH_EVENTFD) {
		eventfd = eventfd_ctx_fdget(run.fd);
		if (IS_ERR(eventfd))
			return PTR_ERR(eventfd);
	}
	if (run.what == SHM_KERNEL_BENCH_PIPE) {
		file = fget(run.fd);
		if (!file)
			return -EBADF;
	}
	err = run.len == 64 ? run_64(&run, eventfd, file) :
			      run_max(&run, eventfd, file);
	if (file)
		fput(file);
	if (eventfd)
		eventfd_ctx_put(eventfd);
	if (!err && copy_to_user(arg, &run, sizeof(run)))
		return -EFAULT;
	return err;
}

static long bench_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case SHM_KERNEL_BENCH_RUN:
		return bench_run((void __user *)arg);
	case SHM_KERNEL_BENCH_DRAIN:
		smp_store_release(&writer.lane->tail, writer.head);
		relay_reset(relay);
		return 0;
	}
	return -ENOTTY;
}

static const struct file_operations bench_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= bench_ioctl,
};

static struct miscdevice bench_device = {
	.minor		= MISC_DYNAMIC_MINOR,
	.name		= "shm_kernel_bench",
	.fops		= &bench_fops,
	.mode		= 0600,
};

static struct dentry *relay_create_file(const char *name, struct dentry *parent,
					umode_t mode, struct rchan_buf *buf,
					int *is_global)
{
	return debugfs_create_file(name, mode, parent, buf, &relay_file_operations);
}

static int relay_remove_file(struct dentry *dentry)
{
	debugfs_remove(dentry);
	return 0;
}

static const struct rchan_callbacks relay_callbacks = {
	.create_buf_file	= relay_create_file,
	.remove_buf_file	= relay_remove_file,
};

static const struct shm_kernel_client_ops client_ops;

static int __init bench_init(void)
{
	struct shm_kernel_ring_options options = {
		.lanes = 1,
		.cells = SHM_KERNEL_BENCH_CELLS,
		.tag = "shm_kernel_bench",
	};
	size_t size = shm_kernel_ring_size(options.lanes, options.cells);
	int err;

	region = shm_kernel_create(SHM_KERNEL_BENCH_REGION, size, 0600, 0);
	if (IS_ERR(region))
		return PTR_ERR(region);
	err = shm_kernel_add_seals(region, SHM_KERNEL_SEAL_SHRINK);
	if (err)
		goto put;
	ring = shm_kernel_vmap(region);
	if (IS_ERR(ring)) {
		err = PTR_ERR(ring);
		goto put;
	}
	err = shm_kernel_ring_create(ring, size, &options);
	if (!err)
		err = shm_kernel_ring_writer_init(&writer, ring, size, 0);
	if (err)
		goto unmap;
	client = shm_kernel_attach(region, &client_ops, NULL);
	if (IS_ERR(client)) {
		err = PTR_ERR(client);
		goto unmap;
	}
	relay_dir = debugfs_create_dir("shm_kernel_bench", NULL);
	relay = relay_open("relay", relay_dir, RELAY_SUBBUF, RELAY_SUBBUFS,
			   &relay_callbacks, NULL);
	err = -ENOMEM;
	if (!relay)
		goto detach;
	err = misc_register(&bench_device);
	if (err)
		goto close;
	return 0;

close:
	relay_close(relay);
detach:
	debugfs_remove(relay_dir);
	shm_kernel_detach(client);
unmap:
	shm_kernel_vunmap(region);
put:
	shm_kernel_remove(region);
	shm_kernel_put(region);
	return err;
}

static void __exit bench_exit(void)
{
	misc_deregister(&bench_device);
	relay_close(relay);
	debugfs_remove(relay_dir);
	shm_kernel_detach(client);
	shm_kernel_vunmap(region);
	shm_kernel_remove(region);
	shm_kernel_put(region);
}

module_init(bench_init);
module_exit(bench_exit);

MODULE_AUTHOR("shm_kernel developers <shm-kernel@example.org>");
MODULE_DESCRIPTION("Counts what records and doorbells to user space cost the kernel");
MODULE_LICENSE("GPL");
