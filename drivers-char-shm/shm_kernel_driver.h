/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pure logic of the shm_kernel driver, as its KUnit test sees it
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef __SHM_KERNEL_DRIVER_H
#define __SHM_KERNEL_DRIVER_H

#include <linux/types.h>

/**
 * struct shm_boot_spec - one entry of the module parameter regions=
 * @name: name of the region, points into the parsed string
 * @size: size in bytes
 * @flags: SHM_KERNEL_CREATE_*
 * @mode: permission bits of the region and of its node
 */
struct shm_boot_spec {
	const char *name;
	u64 size;
	u32 flags;
	umode_t mode;
};

#if IS_ENABLED(CONFIG_KUNIT)
int shm_check_name(const char *name, size_t len);
unsigned int shm_folio_order(pgoff_t index, pgoff_t end, unsigned int limit);
int shm_next_order(unsigned int order);
bool shm_node_range_ok(pgoff_t pgoff, unsigned long pages, loff_t size);
int shm_parse_size(const char *text, u64 *size);
int shm_parse_boot_spec(char *text, struct shm_boot_spec *spec);
#endif

#endif /* __SHM_KERNEL_DRIVER_H */
