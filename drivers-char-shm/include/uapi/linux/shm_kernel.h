/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Memory that the kernel and user space share, and in which locks work
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef _UAPI_LINUX_SHM_KERNEL_H
#define _UAPI_LINUX_SHM_KERNEL_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: General ioctl format
 *
 * Every ioctl takes a pointer to a structure whose first field, @size, is the
 * size of the structure that the caller was built with. A later kernel may add
 * fields at the end, where zero means what the older kernel did.
 *
 * CREATE, OPEN, REMOVE and LIST act on the control node,
 * /dev/shm_kernel_driver. The others act on a region: a region file, as CREATE
 * and OPEN return, or the node of a boot region, of which the control node is
 * the first (region 0).
 *
 * The errors have one meaning everywhere:
 *
 *  - ENOTTY: this file has no such ioctl.
 *  - EINVAL: a field, flag or pad has a value that means nothing, or @size is
 *    smaller than the first version of the structure.
 *  - E2BIG: the structure is larger than the kernel's and its unknown end is
 *    not zero: the caller asks for something newer than the kernel.
 *  - EFAULT: a pointer leads nowhere.
 *  - ENOENT, EEXIST: there is no region of that name; there is one already.
 *  - ENAMETOOLONG: the name has more than SHM_KERNEL_NAME_MAX bytes.
 *  - EACCES: the file or the region's mode does not let the caller do that.
 *  - EPERM: nobody may: a seal forbids it, the region is a boot region, which
 *    is fixed in size and keeps its name, or the caller needs CAP_SYS_ADMIN.
 *  - EBUSY: not now: the kernel has the region mapped, so it keeps its size.
 *  - ENOSPC: a limit of the driver, in all or for one user, is reached.
 *  - ENOMEM: there is no memory, or the memory cgroup has used its share.
 *  - ENODEV: the region was revoked.
 */
#define SHM_KERNEL_TYPE 0x9B

enum {
	SHM_KERNEL_CMD_CREATE = 0x00,
	SHM_KERNEL_CMD_OPEN,
	SHM_KERNEL_CMD_REMOVE,
	SHM_KERNEL_CMD_LIST,
	SHM_KERNEL_CMD_BIND,
	SHM_KERNEL_CMD_GET_INFO,
	SHM_KERNEL_CMD_CLEAR,
	SHM_KERNEL_CMD_RESET,
	SHM_KERNEL_CMD_REVOKE,
	SHM_KERNEL_CMD_ADD_SEALS,
	SHM_KERNEL_CMD_SUBSCRIBE,
};

/* A name is 1 to SHM_KERNEL_NAME_MAX bytes, without '/' or NUL, not "." or "..". */
#define SHM_KERNEL_NAME_MAX	255
#define SHM_KERNEL_TAG_SIZE	32

/* Once it has a name, the region stays until REMOVE or the module's end. */
#define SHM_KERNEL_CREATE_PERSIST	(1U << 0)
/* Consecutive page frames; the size is fixed, a later ftruncate() is EPERM. */
#define SHM_KERNEL_CREATE_CONTIG	(1U << 1)
/* No folio larger than a page: slower to attach, no memory lost to rounding. */
#define SHM_KERNEL_CREATE_SMALL		(1U << 2)
/* Memory from @numa_node, as far as that node has any. */
#define SHM_KERNEL_CREATE_NODE		(1U << 3)

/**
 * struct shm_kernel_create - ioctl(SHM_KERNEL_IOC_CREATE)
 * @size: sizeof(struct shm_kernel_create)
 * @flags: SHM_KERNEL_CREATE_*
 * @length: size of the region in bytes; 0 is allowed
 * @name: pointer to the name, 0 for an unnamed region
 * @name_len: length of the name in bytes, 0 for an unnamed region
 * @mode: permission bits, 0 to 0777; the umask is not applied
 * @numa_node: with SHM_KERNEL_CREATE_NODE the node, otherwise 0
 * @pad: must be 0
 * @tag: for the creator's use, returned by GET_INFO and LIST
 *
 * Creates a region. Its memory is allocated and zeroed before anybody can see
 * it, and a region that is named here appears complete or not at all.
 *
 * Return: an O_RDWR region file descriptor with O_CLOEXEC set.
 */
struct shm_kernel_create {
	__u32 size;
	__u32 flags;
	__aligned_u64 length;
	__aligned_u64 name;
	__u32 name_len;
	__u32 mode;
	__s32 numa_node;
	__u32 pad;
	__u8 tag[SHM_KERNEL_TAG_SIZE];
};

#define SHM_KERNEL_CREATE_SIZE_VER0	72
#define SHM_KERNEL_IOC_CREATE _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_CREATE)

/**
 * struct shm_kernel_open - ioctl(SHM_KERNEL_IOC_OPEN)
 * @size: sizeof(struct shm_kernel_open)
 * @flags: O_RDONLY or O_RDWR
 * @name: pointer to the name
 * @name_len: length of the name in bytes
 * @pad: must be 0
 *
 * Opens a region by its name, subject to the region's mode.
 *
 * Return: a region file descriptor with O_CLOEXEC set.
 */
struct shm_kernel_open {
	__u32 size;
	__u32 flags;
	__aligned_u64 name;
	__u32 name_len;
	__u32 pad;
};

#define SHM_KERNEL_OPEN_SIZE_VER0	24
#define SHM_KERNEL_IOC_OPEN _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_OPEN)

/**
 * struct shm_kernel_name - ioctl(SHM_KERNEL_IOC_REMOVE), ioctl(SHM_KERNEL_IOC_BIND)
 * @size: sizeof(struct shm_kernel_name)
 * @flags: must be 0
 * @name: pointer to the name
 * @name_len: length of the name in bytes
 * @pad: must be 0
 *
 * REMOVE takes a name away: files and mappings of the region stay valid, and
 * the name is free at once. Only the region's owner or CAP_FOWNER may (EACCES).
 *
 * BIND names the unnamed region of the file it is called on, which must be
 * writable and belong to the caller, or the caller has CAP_FOWNER (EACCES).
 * It is EINVAL on a region that has, or ever had, a name.
 */
struct shm_kernel_name {
	__u32 size;
	__u32 flags;
	__aligned_u64 name;
	__u32 name_len;
	__u32 pad;
};

#define SHM_KERNEL_NAME_SIZE_VER0	24
#define SHM_KERNEL_IOC_REMOVE _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_REMOVE)
#define SHM_KERNEL_IOC_BIND _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_BIND)

/* The first four have the values of SHM_KERNEL_CREATE_*. */
#define SHM_KERNEL_INFO_PERSIST		(1U << 0)
#define SHM_KERNEL_INFO_CONTIG		(1U << 1)
#define SHM_KERNEL_INFO_SMALL		(1U << 2)
#define SHM_KERNEL_INFO_NODE		(1U << 3)
/* Made when the module was loaded: fixed size, fixed name, has a device node. */
#define SHM_KERNEL_INFO_BOOT		(1U << 8)
/* It had a name, which REMOVE or REVOKE took away. */
#define SHM_KERNEL_INFO_REMOVED		(1U << 9)
#define SHM_KERNEL_INFO_REVOKED		(1U << 10)

/* What works on a region's memory. */
#define SHM_KERNEL_CAP_FUTEX		(1ULL << 0)	/* process-shared futexes and locks */
#define SHM_KERNEL_CAP_GUP		(1ULL << 1)	/* O_DIRECT, io_uring, process_vm_readv() */
#define SHM_KERNEL_CAP_PMD		(1ULL << 2)	/* some of it can be mapped by huge pages */
#define SHM_KERNEL_CAP_CONTIG		(1ULL << 3)	/* page frames are consecutive */
#define SHM_KERNEL_CAP_RESIZE		(1ULL << 4)	/* ftruncate() may change the size */
#define SHM_KERNEL_CAP_KERNEL_MAPPED	(1ULL << 5)	/* the kernel has it mapped just now */

/**
 * struct shm_kernel_info - ioctl(SHM_KERNEL_IOC_GET_INFO)
 * @size: sizeof(struct shm_kernel_info)
 * @flags: SHM_KERNEL_INFO_*
 * @id: identifies the region; never used again
 * @length: size of the region in bytes, as st_size
 * @allocated: bytes of memory the region holds, without page tables
 * @capabilities: SHM_KERNEL_CAP_*
 * @mode: permission bits
 * @uid: owner, as seen from the caller's user namespace
 * @gid: group, likewise
 * @files: open files of the region
 * @mappings: memory mappings of the region
 * @numa_node: the node asked for at creation, -1 if none
 * @name_len: length of the name, 0 if the region has none
 * @seals: SHM_KERNEL_SEAL_*
 * @peers: open event files and attached kernel clients
 * @clients: attached kernel clients
 * @rings: how often the doorbell was rung, as the sum of what was written
 * @tag: as given to CREATE
 * @name: the name, NUL-terminated; any bytes but NUL and '/' may be in it
 *
 * Everything but @size is an output.
 */
struct shm_kernel_info {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
	__aligned_u64 length;
	__aligned_u64 allocated;
	__aligned_u64 capabilities;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 files;
	__u32 mappings;
	__s32 numa_node;
	__u32 name_len;
	__u32 seals;
	__u32 peers;
	__u32 clients;
	__aligned_u64 rings;
	__u8 tag[SHM_KERNEL_TAG_SIZE];
	char name[SHM_KERNEL_NAME_MAX + 1];
};

#define SHM_KERNEL_INFO_SIZE_VER0	376
#define SHM_KERNEL_IOC_GET_INFO _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_GET_INFO)

/**
 * struct shm_kernel_list - ioctl(SHM_KERNEL_IOC_LIST)
 * @size: sizeof(struct shm_kernel_list)
 * @flags: must be 0
 * @cursor: in: 0 to start, then what the last call left here
 * @entries: pointer to an array of structures of @entry_size bytes
 * @entry_size: sizeof(struct shm_kernel_info)
 * @count: in: entries of the array, at least 1; out: entries filled, 0 at the
 *	end of the list
 *
 * Lists the regions that the caller may read or owns, or all of them for
 * CAP_SYS_ADMIN, in the order of their creation. One call returns as many as
 * fit but may return fewer; the end is a call that returns none. No region is
 * kept alive by it.
 */
struct shm_kernel_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 cursor;
	__aligned_u64 entries;
	__u32 entry_size;
	__u32 count;
};

#define SHM_KERNEL_LIST_SIZE_VER0	32
#define SHM_KERNEL_IOC_LIST _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_LIST)

/**
 * struct shm_kernel_simple - ioctl(SHM_KERNEL_IOC_CLEAR), _RESET, _REVOKE
 * @size: sizeof(struct shm_kernel_simple)
 * @flags: must be 0
 *
 * CLEAR zeroes the region. RESET brings its initial content back, which is
 * zero unless it is region 0 or a kernel client puts something there. Both need
 * a writable file (EACCES).
 *
 * REVOKE ends the region for user space: the name goes, st_size becomes 0,
 * accesses to mappings raise SIGBUS and calls return ENODEV, but for GET_INFO,
 * which says SHM_KERNEL_INFO_REVOKED. Private copies of its pages stay. It
 * needs CAP_SYS_ADMIN (EPERM), and a boot region cannot be revoked (EPERM).
 */
struct shm_kernel_simple {
	__u32 size;
	__u32 flags;
};

#define SHM_KERNEL_SIMPLE_SIZE_VER0	8
#define SHM_KERNEL_IOC_CLEAR _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_CLEAR)
#define SHM_KERNEL_IOC_RESET _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_RESET)
#define SHM_KERNEL_IOC_REVOKE _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_REVOKE)

/* The values and the meaning are those of F_SEAL_* on a memfd. */
#define SHM_KERNEL_SEAL_SEAL		(1U << 0)	/* no further seals */
#define SHM_KERNEL_SEAL_SHRINK		(1U << 1)	/* the size cannot become smaller */
#define SHM_KERNEL_SEAL_GROW		(1U << 2)	/* the size cannot become larger */
#define SHM_KERNEL_SEAL_WRITE		(1U << 3)	/* the content does not change */
#define SHM_KERNEL_SEAL_FUTURE_WRITE	(1U << 4)	/* only who has it mapped can write */

/**
 * struct shm_kernel_seals - ioctl(SHM_KERNEL_IOC_ADD_SEALS)
 * @size: sizeof(struct shm_kernel_seals)
 * @seals: SHM_KERNEL_SEAL_*, added to those there are
 *
 * Gives up, for everybody and for good, a way to change the region. It needs a
 * writable file (EPERM, as on a memfd) and is EPERM after SHM_KERNEL_SEAL_SEAL.
 * What a seal forbids is EPERM: to resize; to write, CLEAR or RESET, or to map
 * shared and writable, also by mprotect(). SHM_KERNEL_SEAL_WRITE is EBUSY as long
 * as there is a mapping that is writable or could be made so, a pin on the memory
 * or a mapping of the kernel's.
 */
struct shm_kernel_seals {
	__u32 size;
	__u32 seals;
};

#define SHM_KERNEL_SEALS_SIZE_VER0	8
#define SHM_KERNEL_IOC_ADD_SEALS _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_ADD_SEALS)

/**
 * struct shm_kernel_subscribe - ioctl(SHM_KERNEL_IOC_SUBSCRIBE)
 * @size: sizeof(struct shm_kernel_subscribe)
 * @flags: 0 or O_NONBLOCK
 *
 * Makes the caller a peer of the region, until the last descriptor of the event
 * file that it returns is closed. The event file keeps the region alive, and
 * its name, as a region file does.
 *
 *  - write() of a __u64, neither 0 nor ~0 (EINVAL), rings the doorbell that many
 *    times, at most 2^32 - 1, for every other peer, kernel clients included. The
 *    region file must have been writable (EBADF).
 *  - read() blocks until something has happened since the last read, then
 *    returns one struct shm_kernel_events. A buffer smaller than
 *    SHM_KERNEL_EVENTS_SIZE_VER0 is EINVAL; a larger one is filled as far as the
 *    kernel's structure goes. With O_NONBLOCK it is EAGAIN instead.
 *  - poll() says POLLIN when read() would not block, POLLOUT if the file may
 *    ring, and POLLHUP once the region was revoked.
 *
 * Whoever is told of a ring, or of anything else, sees what was stored in the
 * region before it happened.
 *
 * Once the region was revoked, write() is ENODEV, and read() when the last events
 * were read.
 *
 * Return: an event file descriptor with O_CLOEXEC set.
 */
struct shm_kernel_subscribe {
	__u32 size;
	__u32 flags;
};

#define SHM_KERNEL_SUBSCRIBE_SIZE_VER0	8
#define SHM_KERNEL_IOC_SUBSCRIBE _IO(SHM_KERNEL_TYPE, SHM_KERNEL_CMD_SUBSCRIBE)

/**
 * struct shm_kernel_events - what read() of an event file returns
 * @rings: how often others rang
 * @peers_come: other peers that came
 * @peers_gone: other peers that went, by close(), exit or kill -9
 * @resized: changes of the size
 * @sealed: calls that added seals
 * @revoked: 1 if the region was revoked
 * @peers: other peers that there are now
 *
 * All but @peers count since the last read(), or since SUBSCRIBE.
 */
struct shm_kernel_events {
	__aligned_u64 rings;
	__u32 peers_come;
	__u32 peers_gone;
	__u32 resized;
	__u32 sealed;
	__u32 revoked;
	__u32 peers;
};

#define SHM_KERNEL_EVENTS_SIZE_VER0	32

#endif /* _UAPI_LINUX_SHM_KERNEL_H */
