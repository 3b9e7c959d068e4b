// SPDX-License-Identifier: GPL-2.0-only
/*
 * The smallest client of shm_kernel that is of use: programs put a number into
 * the first word of the region "minimal" and ring, the square root of it comes
 * back in the second, with a ring. shm_kernel_minimal_user.c does that.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <linux/err.h>
#include <linux/init.h>
#include <linux/math.h>
#include <linux/module.h>
#include <linux/shm_kernel.h>

static struct shm_kernel_region *minimal_region;
static struct shm_kernel_client *minimal_client;

static void minimal_kick(struct shm_kernel_client *client)
{
	u32 *words = shm_kernel_client_data(client);
	/* Once: programs may change it at any time. */
	u32 number = READ_ONCE(words[0]);

	WRITE_ONCE(words[1], int_sqrt(number));
	shm_kernel_notify(client);
}

static const struct shm_kernel_client_ops minimal_ops = {
	.kick = minimal_kick,
};

static int __init minimal_init(void)
{
	u32 *words;
	int err;

	minimal_region = shm_kernel_create(NULL, PAGE_SIZE, 0600, 0);
	if (IS_ERR(minimal_region))
		return PTR_ERR(minimal_region);

	words = shm_kernel_vmap(minimal_region);
	if (IS_ERR(words)) {
		err = PTR_ERR(words);
		goto err_put;
	}
	minimal_client = shm_kernel_attach(minimal_region, &minimal_ops, words);
	if (IS_ERR(minimal_client)) {
		err = PTR_ERR(minimal_client);
		goto err_vunmap;
	}
	/* Everything is in place: let programs find it. */
	err = shm_kernel_bind(minimal_region, "minimal");
	if (err)
		goto err_detach;
	return 0;

err_detach:
	shm_kernel_detach(minimal_client);
err_vunmap:
	shm_kernel_vunmap(minimal_region);
err_put:
	shm_kernel_put(minimal_region);
	return err;
}
module_init(minimal_init);

static void __exit minimal_exit(void)
{
	/* Programs that have the region open keep it, and see us go. */
	shm_kernel_remove(minimal_region);
	shm_kernel_detach(minimal_client);
	shm_kernel_vunmap(minimal_region);
	shm_kernel_put(minimal_region);
}
module_exit(minimal_exit);

MODULE_AUTHOR("shm_kernel developers <shm-kernel@example.org>");
MODULE_DESCRIPTION("Sample client of shm_kernel: square roots");
MODULE_LICENSE("GPL");
