// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asks shm_kernel_minimal for a square root: of the argument, or of 1764.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/shm_kernel.h>

int main(int argc, char **argv)
{
	static const char name[] = "minimal";
	struct shm_kernel_open open_args = {
		.size = sizeof(open_args),
		.flags = O_RDWR,
		.name = (unsigned long)name,
		.name_len = strlen(name),
	};
	struct shm_kernel_subscribe subscribe_args = {
		.size = sizeof(subscribe_args),
	};
	struct shm_kernel_events events;
	const __u64 ring = 1;
	__u32 *words;
	int control, region, bell;

	control = open("/dev/shm_kernel_driver", O_RDONLY);
	if (control < 0)
		err(1, "/dev/shm_kernel_driver");
	region = ioctl(control, SHM_KERNEL_IOC_OPEN, &open_args);
	if (region < 0)
		err(1, "cannot open the region %s", name);
	words = mmap(NULL, 2 * sizeof(*words), PROT_READ | PROT_WRITE,
		     MAP_SHARED, region, 0);
	if (words == MAP_FAILED)
		err(1, "mmap");
	bell = ioctl(region, SHM_KERNEL_IOC_SUBSCRIBE, &subscribe_args);
	if (bell < 0)
		err(1, "cannot subscribe");

	words[0] = argc > 1 ? strtoul(argv[1], NULL, 0) : 1764;
	if (write(bell, &ring, sizeof(ring)) != sizeof(ring))
		err(1, "cannot ring");
	do {
		if (read(bell, &events, sizeof(events)) != sizeof(events))
			err(1, "cannot wait");
		if (!events.peers)
			errx(1, "the kernel is gone");
	} while (!events.rings);
	printf("the square root of %u is %u\n", words[0], words[1]);
	return 0;
}
