// SPDX-License-Identifier: GPL-2.0-only
/*
 * Context switches in a ring that programs read without a system call
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * The region "sched" has a ring with a lane for each processor. A probe of the
 * tracepoint sched_switch writes there, on a processor of its own with
 * interrupts disabled and the run queue locked. shm_kernel_sched.h has the
 * layout of the records, shm_kernel_sched_user.c a program that reads them.
 */

#include <linux/bitops.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/shm_kernel.h>
#include <linux/shm_kernel_ring.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/timer.h>
#include <linux/tracepoint.h>
#include <trace/events/sched.h>

#include "shm_kernel_sched.h"

static char *name = "sched";
module_param(name, charp, 0444);
MODULE_PARM_DESC(name, "Name of the region (default: sched)");

static uint cells = 4096;
module_param(cells, uint, 0444);
MODULE_PARM_DESC(cells, "Switches that the ring holds for each processor, a power of two (default: 4096)");

static bool overwrite;
module_param(overwrite, bool, 0444);
MODULE_PARM_DESC(overwrite, "Whether new switches replace old ones when the ring is full (default: N)");

static ushort mode = 0600;
module_param(mode, ushort, 0444);
MODULE_PARM_DESC(mode, "Permission bits of the region (default: 0600)");

static uint delay = 10;
module_param(delay, uint, 0444);
MODULE_PARM_DESC(delay, "Milliseconds from a switch that a program waits for to the ringing of its doorbell (default: 10)");

static struct shm_kernel_region *sched_region;
static struct shm_kernel_client *sched_client;
static struct tracepoint *sched_tracepoint;
static void *sched_ring;
static size_t sched_ring_size;

static DEFINE_PER_CPU(struct shm_kernel_ring_writer, sched_writer);

/* Set while the probe may use the writers. */
static bool sched_open;

/*
 * A program that waits for a record causes one by going to sleep. If that woke
 * it at once, it would never sleep. So it is rung for after a while, from a
 * timer, which the probe, with the run queue locked, cannot start by itself.
 * Bit 0 of sched_due is set from then until the timer rings.
 */
static unsigned long sched_due;

static void sched_ring_bell(struct timer_list *unused)
{
	clear_bit(0, &sched_due);
	/*
	 * Whose record is published after this starts the timer again. Pairs with
	 * the barrier in test_and_set_bit().
	 */
	smp_mb__after_atomic();
	shm_kernel_notify(sched_client);
}

static DEFINE_TIMER(sched_timer, sched_ring_bell);

static void sched_start_timer(struct irq_work *unused)
{
	mod_timer(&sched_timer, jiffies + msecs_to_jiffies(delay));
}

static DEFINE_IRQ_WORK(sched_work, sched_start_timer);

static void sched_probe(void *unused, bool preempt, struct task_struct *prev,
			struct task_struct *next, unsigned int prev_state)
{
	struct shm_kernel_ring_writer *writer = this_cpu_ptr(&sched_writer);
	struct shm_kernel_sched_switch *record;
	struct shm_kernel_ring_slot slot;
	unsigned int state;

	/* The writers after the look at sched_open; pairs with sched_start(). */
	if (!smp_load_acquire(&sched_open))
		return;
	/* If there is no room, the ring counts what was lost. */
	if (shm_kernel_ring_reserve(writer, sizeof(*record), &slot))
		return;

	state = preempt ? 0 : __task_state_index(prev_state, prev->exit_state);
	record = slot.data;
	record->time = ktime_get_mono_fast_ns();
	record->cpu = smp_processor_id();
	record->prev_pid = prev->pid;
	record->next_pid = next->pid;
	record->prev_state = task_index_to_char(state);
	record->preempted = preempt;
	memset(record->pad, 0, sizeof(record->pad));
	memcpy(record->prev_comm, prev->comm, sizeof(record->prev_comm));
	memcpy(record->next_comm, next->comm, sizeof(record->next_comm));

	if (!shm_kernel_ring_commit(writer, &slot))
		return;
	if (!delay)
		shm_kernel_notify(sched_client);
	else if (!test_and_set_bit(0, &sched_due))
		irq_work_queue(&sched_work);
}

/* Makes the ring, or mends it. Nobody else does so at the same time. */
static int sched_start(void)
{
	struct shm_kernel_ring_options options = {
		.lanes = nr_cpu_ids,
		.cells = cells,
		.flags = overwrite ? SHM_KERNEL_RING_OVERWRITE : 0,
		.tag = SHM_KERNEL_SCHED_TAG,
	};
	struct shm_kernel_ring_writer *writer;
	int cpu, err;

	/* Probes that run come to their end, the next ones do nothing. */
	WRITE_ONCE(sched_open, false);
	tracepoint_synchronize_unregister();

	err = shm_kernel_ring_create(sched_ring, sched_ring_size, &options);
	if (err)
		return err;
	for_each_possible_cpu(cpu) {
		writer = per_cpu_ptr(&sched_writer, cpu);
		if (writer->lane) {
			/* Go on where we were: there the readers look for us. */
			WRITE_ONCE(writer->lane->head, writer->head);
			WRITE_ONCE(writer->lane->tail, writer->head);
		}
		err = shm_kernel_ring_writer_init(writer, sched_ring,
						  sched_ring_size, cpu);
		if (err)
			return err;
	}
	/* The writers before sched_open; pairs with sched_probe(). */
	smp_store_release(&sched_open, true);
	return 0;
}

/* Somebody has zeroed the region, ring and all. */
static void sched_reset(struct shm_kernel_client *client)
{
	sched_start();
	/* What was zeroed may have said that somebody waits. */
	shm_kernel_notify(client);
}

static const struct shm_kernel_client_ops sched_ops = {
	.reset = sched_reset,
};

static void sched_find_tracepoint(struct tracepoint *tp, void *unused)
{
	if (!strcmp(tp->name, "sched_switch"))
		sched_tracepoint = tp;
}

static int __init sched_init(void)
{
	int err;

	/* sched_switch is not exported, so nobody else compares the types. */
	check_trace_callback_type_sched_switch(sched_probe);
	for_each_kernel_tracepoint(sched_find_tracepoint, NULL);
	if (!sched_tracepoint)
		return -ENOENT;

	if (!is_power_of_2(cells) || cells > SHM_KERNEL_RING_MAX_CELLS)
		return -EINVAL;

	/* Without a name, nobody can open it yet. */
	sched_ring_size = shm_kernel_ring_size(nr_cpu_ids, cells);
	sched_region = shm_kernel_create(NULL, sched_ring_size, mode, 0);
	if (IS_ERR(sched_region))
		return PTR_ERR(sched_region);
	/* Programs can rely on the size after we are gone, too. */
	err = shm_kernel_add_seals(sched_region, SHM_KERNEL_SEAL_SHRINK |
				   SHM_KERNEL_SEAL_GROW | SHM_KERNEL_SEAL_SEAL);
	if (err)
		goto err_put;
	sched_ring = shm_kernel_vmap(sched_region);
	if (IS_ERR(sched_ring)) {
		err = PTR_ERR(sched_ring);
		goto err_put;
	}
	err = sched_start();
	if (err)
		goto err_vunmap;
	sched_client = shm_kernel_attach(sched_region, &sched_ops, NULL);
	if (IS_ERR(sched_client)) {
		err = PTR_ERR(sched_client);
		goto err_vunmap;
	}
	err = shm_kernel_bind(sched_region, name);
	if (err)
		goto err_detach;
	err = tracepoint_probe_register(sched_tracepoint, sched_probe, NULL);
	if (err)
		goto err_remove;
	return 0;

err_remove:
	shm_kernel_remove(sched_region);
err_detach:
	shm_kernel_detach(sched_client);
err_vunmap:
	shm_kernel_vunmap(sched_region);
err_put:
	shm_kernel_put(sched_region);
	return err;
}
module_init(sched_init);

static void __exit sched_exit(void)
{
	int cpu;

	/* First whoever may ring, in the order in which one starts the other. */
	tracepoint_probe_unregister(sched_tracepoint, sched_probe, NULL);
	tracepoint_synchronize_unregister();
	irq_work_sync(&sched_work);
	timer_delete_sync(&sched_timer);
	for_each_possible_cpu(cpu)
		shm_kernel_ring_writer_exit(per_cpu_ptr(&sched_writer, cpu));

	/* Programs that have the region keep it, and see us go. */
	shm_kernel_remove(sched_region);
	shm_kernel_detach(sched_client);
	shm_kernel_vunmap(sched_region);
	shm_kernel_put(sched_region);
}
module_exit(sched_exit);

static_assert(sizeof(struct shm_kernel_sched_switch) +
	      sizeof(struct shm_kernel_ring_record) == SHM_KERNEL_RING_CELL);
static_assert(SHM_KERNEL_SCHED_COMM_SIZE == TASK_COMM_LEN);

MODULE_AUTHOR("shm_kernel developers <shm-kernel@example.org>");
MODULE_DESCRIPTION("Sample client of shm_kernel: context switches in a ring");
MODULE_LICENSE("GPL");
