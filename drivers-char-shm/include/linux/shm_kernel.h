/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that the kernel and user space share: the kernel's side
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * See Documentation/driver-api/shm_kernel.rst.
 */

#ifndef _LINUX_SHM_KERNEL_H
#define _LINUX_SHM_KERNEL_H

#include <linux/err.h>
#include <linux/types.h>
#include <uapi/linux/shm_kernel.h>

struct shm_kernel_client;
struct shm_kernel_region;

/**
 * struct shm_kernel_client_ops - what a kernel client wants to be told
 * @kick: somebody rang the doorbell, at least once since the last call
 * @peers_changed: peers came or went since the last call
 * @revoked: the region was revoked; what the client has mapped stays
 * @reset: RESET has zeroed the region; put its initial content back
 *
 * Each may be NULL. They are called in process context and may sleep. The first
 * three run one after another for one client and may do all but detach it. @reset
 * may run beside them; as the content of the region is locked meanwhile, it must
 * not attach to a region or detach from one, nor map, seal or revoke one, and a
 * lock that it takes must not be held elsewhere while doing so.
 */
struct shm_kernel_client_ops {
	void (*kick)(struct shm_kernel_client *client);
	void (*peers_changed)(struct shm_kernel_client *client);
	void (*revoked)(struct shm_kernel_client *client);
	void (*reset)(struct shm_kernel_client *client);
};

struct shm_kernel_region *shm_kernel_create(const char *name, loff_t size,
					    umode_t mode, u32 flags);
int shm_kernel_bind(struct shm_kernel_region *region, const char *name);
struct shm_kernel_region *shm_kernel_find(const char *name);
struct shm_kernel_region *shm_kernel_get(struct shm_kernel_region *region);
void shm_kernel_put(struct shm_kernel_region *region);

loff_t shm_kernel_size(const struct shm_kernel_region *region);
void *shm_kernel_vmap(struct shm_kernel_region *region);
void shm_kernel_vunmap(struct shm_kernel_region *region);
int shm_kernel_add_seals(struct shm_kernel_region *region, u32 seals);
int shm_kernel_remove(struct shm_kernel_region *region);
int shm_kernel_revoke(struct shm_kernel_region *region);

struct shm_kernel_client *
shm_kernel_attach(struct shm_kernel_region *region,
		  const struct shm_kernel_client_ops *ops, void *data);
void shm_kernel_detach(struct shm_kernel_client *client);
void *shm_kernel_client_data(const struct shm_kernel_client *client);
unsigned int shm_kernel_peers(const struct shm_kernel_client *client);
void shm_kernel_notify(struct shm_kernel_client *client);

#endif /* _LINUX_SHM_KERNEL_H */
