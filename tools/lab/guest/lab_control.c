// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mistakes made on purpose, one for each load, so that the lab sees its kernels
 * find them: silence means something only from a kernel that would have spoken.
 */

#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

static char *plant = "";
module_param(plant, charp, 0444);
MODULE_PARM_DESC(plant, "lock-order, irq-lock, atomic-sleep, use-after-free or work-freed");

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);
static DEFINE_SPINLOCK(spin);

static void lock_order(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);

	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static void take_spin(struct irq_work *work)
{
	spin_lock(&spin);
	spin_unlock(&spin);
}

static void irq_lock(void)
{
	static struct irq_work work;

	take_spin(&work);
	init_irq_work(&work, take_spin);
	irq_work_queue(&work);
	irq_work_sync(&work);
}

static void atomic_sleep(void)
{
	spin_lock(&spin);
	might_sleep();
	spin_unlock(&spin);
}

static void use_after_free(void)
{
	char *memory = kmalloc(64, GFP_KERNEL);

	kfree(memory);
	OPTIMIZER_HIDE_VAR(memory);
	if (memory)
		READ_ONCE(memory[8]);
}

static void never_runs(struct work_struct *work)
{
}

static void work_freed(void)
{
	struct delayed_work *work = kmalloc(sizeof(*work), GFP_KERNEL);

	if (!work)
		return;
	INIT_DELAYED_WORK(work, never_runs);
	schedule_delayed_work(work, HZ * 1000);
	/* The kernel that finds this also takes the timer away. */
	kfree(work);
}

static const struct {
	const char *name;
	void (*make)(void);
} plants[] = {
	{ "lock-order", lock_order },
	{ "irq-lock", irq_lock },
	{ "atomic-sleep", atomic_sleep },
	{ "use-after-free", use_after_free },
	{ "work-freed", work_freed },
};

static int __init lab_control_init(void)
{
	for (int i = 0; i < ARRAY_SIZE(plants); i++) {
		if (!strcmp(plant, plants[i].name)) {
			plants[i].make();
			return 0;
		}
	}
	return -EINVAL;
}
module_init(lab_control_init);

static void __exit lab_control_exit(void)
{
}
module_exit(lab_control_exit);

MODULE_DESCRIPTION("Mistakes made on purpose");
MODULE_LICENSE("GPL");
