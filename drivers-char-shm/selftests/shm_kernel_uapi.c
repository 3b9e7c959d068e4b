// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of shm_kernel's ioctls: what they do, and that what they refuse
 * gets its documented error and changes nothing
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <limits.h>
#include <stddef.h>
#include <linux/capability.h>
#include <linux/shm_kernel_ring.h>
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define MAX_ENTRIES	64

/* Everything that a refused call must leave as it was. */
struct snapshot {
	struct stats stats;
	int count;
	int free_fd;
	struct shm_kernel_info entries[MAX_ENTRIES];
};

static int list_page(int ctl, __u64 *cursor, struct shm_kernel_info *entries,
		     unsigned int count)
{
	struct shm_kernel_list arg = {
		.size = sizeof(arg),
		.cursor = *cursor,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(*entries),
		.count = count,
	};

	if (ioctl(ctl, SHM_KERNEL_IOC_LIST, &arg))
		return -1;
	*cursor = arg.cursor;
	return arg.count;
}

/* Lists everything by pages of @page entries; -1 if anything goes wrong. */
static int list_all(int ctl, struct shm_kernel_info *entries, unsigned int max,
		    unsigned int page)
{
	unsigned int total = 0;
	__u64 cursor = 0;
	int got;

	while (total < max) {
		if (page > max - total)
			page = max - total;
		got = list_page(ctl, &cursor, entries + total, page);
		if (got < 0 || (unsigned int)got > page)
			return -1;
		if (!got)
			break;
		total += got;
	}
	return total;
}

static const struct shm_kernel_info *
list_find(const struct shm_kernel_info *entries, int count, const char *name)
{
	int i;

	for (i = 0; i < count; i++)
		if (!strcmp(entries[i].name, name))
			return &entries[i];
	return NULL;
}

static void snapshot_take(int ctl, struct snapshot *snap)
{
	memset(snap, 0, sizeof(*snap));
	stats_read(&snap->stats);
	snap->count = list_all(ctl, snap->entries, MAX_ENTRIES, MAX_ENTRIES);
	snap->free_fd = dup(ctl);
	close(snap->free_fd);
}

static bool snapshot_same(int ctl, const struct snapshot *snap)
{
	struct snapshot now;

	snapshot_take(ctl, &now);
	return !memcmp(&now, snap, sizeof(now));
}

static int drop_capability(int cap)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -1;
	data[cap / 32].effective &= ~(1U << cap % 32);
	data[cap / 32].permitted &= ~(1U << cap % 32);
	return syscall(SYS_capset, &head, data);
}

union args {
	__u32 size;
	struct shm_kernel_create create;
	struct shm_kernel_open open;
	struct shm_kernel_name name;
	struct shm_kernel_info info;
	struct shm_kernel_list list;
	struct shm_kernel_simple simple;
	struct shm_kernel_seals seals;
	struct shm_kernel_subscribe subscribe;
	unsigned char bytes[2048];
};

struct call {
	const char *name;
	unsigned long cmd;
	__u32 size;
	bool control;
};

static const struct call calls[] = {
	{ "CREATE", SHM_KERNEL_IOC_CREATE, SHM_KERNEL_CREATE_SIZE_VER0, true },
	{ "OPEN", SHM_KERNEL_IOC_OPEN, SHM_KERNEL_OPEN_SIZE_VER0, true },
	{ "REMOVE", SHM_KERNEL_IOC_REMOVE, SHM_KERNEL_NAME_SIZE_VER0, true },
	{ "LIST", SHM_KERNEL_IOC_LIST, SHM_KERNEL_LIST_SIZE_VER0, true },
	{ "BIND", SHM_KERNEL_IOC_BIND, SHM_KERNEL_NAME_SIZE_VER0, false },
	{ "GET_INFO", SHM_KERNEL_IOC_GET_INFO, SHM_KERNEL_INFO_SIZE_VER0, false },
	{ "CLEAR", SHM_KERNEL_IOC_CLEAR, SHM_KERNEL_SIMPLE_SIZE_VER0, false },
	{ "RESET", SHM_KERNEL_IOC_RESET, SHM_KERNEL_SIMPLE_SIZE_VER0, false },
	{ "REVOKE", SHM_KERNEL_IOC_REVOKE, SHM_KERNEL_SIMPLE_SIZE_VER0, false },
	{ "ADD_SEALS", SHM_KERNEL_IOC_ADD_SEALS, SHM_KERNEL_SEALS_SIZE_VER0, false },
	{ "SUBSCRIBE", SHM_KERNEL_IOC_SUBSCRIBE, SHM_KERNEL_SUBSCRIBE_SIZE_VER0, false },
};

#define NAMED	"kst-named"
#define FRESH	"kst-fresh"

static struct shm_kernel_info list_target[4];

/* Arguments with which @call would succeed. */
static void args_fill(union args *args, const struct call *call)
{
	memset(args, 0, sizeof(*args));
	args->size = call->size;
	switch (call->cmd) {
	case SHM_KERNEL_IOC_CREATE:
		args->create.length = 100;
		args->create.mode = 0600;
		break;
	case SHM_KERNEL_IOC_OPEN:
		args->open.flags = O_RDONLY;
		args->open.name = (uintptr_t)NAMED;
		args->open.name_len = strlen(NAMED);
		break;
	case SHM_KERNEL_IOC_REMOVE:
		args->name.name = (uintptr_t)NAMED;
		args->name.name_len = strlen(NAMED);
		break;
	case SHM_KERNEL_IOC_BIND:
		args->name.name = (uintptr_t)FRESH;
		args->name.name_len = strlen(FRESH);
		break;
	case SHM_KERNEL_IOC_LIST:
		args->list.entries = (uintptr_t)list_target;
		args->list.entry_size = sizeof(list_target[0]);
		args->list.count = ARRAY_SIZE(list_target);
		break;
	}
}

TEST(layout)
{
	EXPECT_EQ(SHM_KERNEL_CREATE_SIZE_VER0, sizeof(struct shm_kernel_create));
	EXPECT_EQ(SHM_KERNEL_OPEN_SIZE_VER0, sizeof(struct shm_kernel_open));
	EXPECT_EQ(SHM_KERNEL_NAME_SIZE_VER0, sizeof(struct shm_kernel_name));
	EXPECT_EQ(SHM_KERNEL_INFO_SIZE_VER0, sizeof(struct shm_kernel_info));
	EXPECT_EQ(SHM_KERNEL_LIST_SIZE_VER0, sizeof(struct shm_kernel_list));
	EXPECT_EQ(SHM_KERNEL_SIMPLE_SIZE_VER0, sizeof(struct shm_kernel_simple));
	EXPECT_EQ(SHM_KERNEL_SEALS_SIZE_VER0, sizeof(struct shm_kernel_seals));
	EXPECT_EQ(SHM_KERNEL_SUBSCRIBE_SIZE_VER0, sizeof(struct shm_kernel_subscribe));
	EXPECT_EQ(SHM_KERNEL_EVENTS_SIZE_VER0, sizeof(struct shm_kernel_events));

	/* The same for 32-bit users: nothing may depend on their alignment. */
	EXPECT_EQ(8, offsetof(struct shm_kernel_create, length));
	EXPECT_EQ(40, offsetof(struct shm_kernel_create, tag));
	EXPECT_EQ(8, offsetof(struct shm_kernel_name, name));
	EXPECT_EQ(8, offsetof(struct shm_kernel_info, id));
	EXPECT_EQ(40, offsetof(struct shm_kernel_info, mode));
	EXPECT_EQ(64, offsetof(struct shm_kernel_info, name_len));
	EXPECT_EQ(68, offsetof(struct shm_kernel_info, seals));
	EXPECT_EQ(72, offsetof(struct shm_kernel_info, peers));
	EXPECT_EQ(76, offsetof(struct shm_kernel_info, clients));
	EXPECT_EQ(80, offsetof(struct shm_kernel_info, rings));
	EXPECT_EQ(88, offsetof(struct shm_kernel_info, tag));
	EXPECT_EQ(120, offsetof(struct shm_kernel_info, name));
	EXPECT_EQ(24, offsetof(struct shm_kernel_list, entry_size));

	EXPECT_EQ(0x9b00, SHM_KERNEL_IOC_CREATE);
	EXPECT_EQ(0x9b08, SHM_KERNEL_IOC_REVOKE);
	EXPECT_EQ(0x9b09, SHM_KERNEL_IOC_ADD_SEALS);
	EXPECT_EQ(0x9b0a, SHM_KERNEL_IOC_SUBSCRIBE);

	/* As on a memfd. */
	EXPECT_EQ(F_SEAL_SEAL, SHM_KERNEL_SEAL_SEAL);
	EXPECT_EQ(F_SEAL_SHRINK, SHM_KERNEL_SEAL_SHRINK);
	EXPECT_EQ(F_SEAL_GROW, SHM_KERNEL_SEAL_GROW);
}

/* What lies in memory between programs that were built at different times. */
TEST(layout_of_events_and_rings)
{
	EXPECT_EQ(32, SHM_KERNEL_EVENTS_SIZE_VER0);
	EXPECT_EQ(0, offsetof(struct shm_kernel_events, rings));
	EXPECT_EQ(8, offsetof(struct shm_kernel_events, peers_come));
	EXPECT_EQ(12, offsetof(struct shm_kernel_events, peers_gone));
	EXPECT_EQ(16, offsetof(struct shm_kernel_events, resized));
	EXPECT_EQ(20, offsetof(struct shm_kernel_events, sealed));
	EXPECT_EQ(24, offsetof(struct shm_kernel_events, revoked));
	EXPECT_EQ(28, offsetof(struct shm_kernel_events, peers));

	EXPECT_EQ(128, sizeof(struct shm_kernel_ring));
	EXPECT_EQ(16, offsetof(struct shm_kernel_ring, cells));
	EXPECT_EQ(32, offsetof(struct shm_kernel_ring, tag));
	EXPECT_EQ(256, sizeof(struct shm_kernel_ring_lane));
	EXPECT_EQ(0, offsetof(struct shm_kernel_ring_lane, head));
	EXPECT_EQ(4, offsetof(struct shm_kernel_ring_lane, oldest));
	EXPECT_EQ(8, offsetof(struct shm_kernel_ring_lane, dropped));
	EXPECT_EQ(12, offsetof(struct shm_kernel_ring_lane, producer));
	EXPECT_EQ(16, offsetof(struct shm_kernel_ring_lane, waiting));
	EXPECT_EQ(128, offsetof(struct shm_kernel_ring_lane, tail));
	EXPECT_EQ(132, offsetof(struct shm_kernel_ring_lane, consumer));
	EXPECT_EQ(136, offsetof(struct shm_kernel_ring_lane, blocked));
	EXPECT_EQ(8, sizeof(struct shm_kernel_ring_record));
}

/* One region with a name, one without, and the state before the test. */
FIXTURE(uapi) {
	int ctl;
	int named;
	int unnamed;
	struct snapshot snap;
};

FIXTURE_SETUP(uapi)
{
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	self->named = region_create(self->ctl, NAMED, 5000, 0600, 0);
	ASSERT_LE(0, self->named) TH_LOG("errno %d", errno);
	self->unnamed = region_create(self->ctl, NULL, 5000, 0600, 0);
	ASSERT_LE(0, self->unnamed);
	snapshot_take(self->ctl, &self->snap);
	ASSERT_LT(2, self->snap.count);
}

FIXTURE_TEARDOWN(uapi)
{
	close(self->unnamed);
	close(self->named);
	close(self->ctl);
}

TEST_F(uapi, struct_too_small)
{
	static const __u32 sizes[] = { 0, 1, 4, 7, ~0U };
	const struct call *call;
	union args args;
	unsigned int i, j;
	__u32 size;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		call = &calls[i];
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			size = sizes[j] == ~0U ? call->size - 1 : sizes[j];
			args_fill(&args, call);
			args.size = size;
			EXPECT_EQ(-1, ioctl(call->control ? self->ctl :
					    self->unnamed, call->cmd, &args))
				TH_LOG("%s size %u", call->name, size);
			EXPECT_EQ(EINVAL, errno)
				TH_LOG("%s size %u", call->name, size);
		}
	}
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

TEST_F(uapi, struct_of_newer_caller)
{
	const struct call *call;
	union args args;
	unsigned int i, j;
	int fd, ret;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		call = &calls[i];
		/* One byte of the tail, first and last, and of a long one. */
		for (j = 0; j < 3; j++) {
			__u32 size = j < 2 ? call->size + 8 : sizeof(args);

			args_fill(&args, call);
			args.size = size;
			args.bytes[j ? size - 1 : call->size] = 1;
			EXPECT_EQ(-1, ioctl(call->control ? self->ctl :
					    self->unnamed, call->cmd, &args))
				TH_LOG("%s", call->name);
			EXPECT_EQ(E2BIG, errno) TH_LOG("%s", call->name);
		}
	}
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));

	/* With zeroes there, the caller asks for nothing new. */
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		call = &calls[i];
		fd = region_create(self->ctl, NULL, 100, 0600, 0);
		ASSERT_LE(0, fd);
		args_fill(&args, call);
		args.size = call->size + 40;
		ret = ioctl(call->control ? self->ctl : fd, call->cmd, &args);
		EXPECT_LE(0, ret) TH_LOG("%s: errno %d", call->name, errno);
		for (j = call->size; j < sizeof(args.bytes); j++)
			EXPECT_EQ(0, args.bytes[j])
				TH_LOG("%s: byte %u", call->name, j);
		if (ret > 0)
			close(ret);
		close(fd);
	}
}

/* A size of many pages is read as far as it is mapped, and no further. */
TEST_F(uapi, struct_of_absurd_size)
{
	size_t page = page_size();
	const struct call *call;
	unsigned int i;
	char *map;

	map = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + 2 * page, page));
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		call = &calls[i];
		memset(map, 0, 2 * page);
		args_fill((union args *)map, call);
		*(__u32 *)map = UINT_MAX;
		EXPECT_EQ(-1, ioctl(call->control ? self->ctl : self->unnamed,
				    call->cmd, map))
			TH_LOG("%s", call->name);
		EXPECT_TRUE(errno == EFAULT || errno == E2BIG)
			TH_LOG("%s: errno %d", call->name, errno);
	}
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
	munmap(map, 2 * page);
}

TEST_F(uapi, bad_pointers)
{
	size_t page = page_size();
	const struct call *call;
	union args args;
	unsigned int i;
	char *map, *edge;
	int fd;

	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mprotect(map + page, page, PROT_NONE));

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		call = &calls[i];
		fd = call->control ? self->ctl : self->unnamed;
		EXPECT_EQ(-1, ioctl(fd, call->cmd, NULL));
		EXPECT_EQ(EFAULT, errno) TH_LOG("%s", call->name);
		EXPECT_EQ(-1, ioctl(fd, call->cmd, -1L));
		EXPECT_EQ(EFAULT, errno) TH_LOG("%s", call->name);
		/* The size can be read, the rest cannot. */
		edge = map + page - 4;
		args_fill(&args, call);
		memcpy(edge, &args, 4);
		EXPECT_EQ(-1, ioctl(fd, call->cmd, edge));
		EXPECT_EQ(EFAULT, errno) TH_LOG("%s", call->name);
	}

	/* A name of which the end is missing, and one that is nowhere. */
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		call = &calls[i];
		fd = call->control ? self->ctl : self->unnamed;
		args_fill(&args, call);
		switch (call->cmd) {
		case SHM_KERNEL_IOC_CREATE:
			args.create.name = (uintptr_t)map + page - 1;
			args.create.name_len = 2;
			break;
		case SHM_KERNEL_IOC_OPEN:
			args.open.name = (uintptr_t)map + page - 1;
			args.open.name_len = 2;
			break;
		case SHM_KERNEL_IOC_REMOVE:
		case SHM_KERNEL_IOC_BIND:
			args.name.name = (uintptr_t)map + page - 1;
			args.name.name_len = 2;
			break;
		case SHM_KERNEL_IOC_LIST:
			args.list.entries = (uintptr_t)map + page - 8;
			break;
		default:
			continue;
		}
		map[page - 1] = 'x';
		EXPECT_EQ(-1, ioctl(fd, call->cmd, &args));
		EXPECT_EQ(EFAULT, errno) TH_LOG("%s", call->name);
	}
	args_fill(&args, &calls[1]);
	args.open.name = ~0ULL - 3;
	EXPECT_EQ(-1, ioctl(self->ctl, SHM_KERNEL_IOC_OPEN, &args));
	EXPECT_EQ(EFAULT, errno);

	/* What is written to must be writable. */
	args_fill(&args, &calls[5]);
	memcpy(map, &args, sizeof(args));
	ASSERT_EQ(0, mprotect(map, page, PROT_READ));
	EXPECT_EQ(-1, ioctl(self->named, SHM_KERNEL_IOC_GET_INFO, map));
	EXPECT_EQ(EFAULT, errno);
	args_fill(&args, &calls[3]);
	args.list.entries = (uintptr_t)map;
	EXPECT_EQ(-1, ioctl(self->ctl, SHM_KERNEL_IOC_LIST, &args));
	EXPECT_EQ(EFAULT, errno);

	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
	munmap(map, 2 * page);
}

TEST_F(uapi, wrong_file)
{
	int pipefd[2], path, null;
	const struct call *call;
	union args args;
	unsigned int i;

	ASSERT_EQ(0, pipe(pipefd));
	null = open("/dev/null", O_RDWR);
	ASSERT_LE(0, null);
	path = open(CONTROL_NODE, O_PATH);
	ASSERT_LE(0, path);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		call = &calls[i];
		args_fill(&args, call);
		if (call->control) {
			EXPECT_EQ(-1, ioctl(self->named, call->cmd, &args));
			EXPECT_EQ(ENOTTY, errno) TH_LOG("%s", call->name);
		}
		EXPECT_EQ(-1, ioctl(pipefd[0], call->cmd, &args));
		EXPECT_EQ(ENOTTY, errno) TH_LOG("%s", call->name);
		EXPECT_EQ(-1, ioctl(null, call->cmd, &args));
		EXPECT_EQ(ENOTTY, errno) TH_LOG("%s", call->name);
		EXPECT_EQ(-1, ioctl(path, call->cmd, &args));
		EXPECT_EQ(EBADF, errno) TH_LOG("%s", call->name);
	}
	close(path);
	close(null);
	close(pipefd[1]);
	close(pipefd[0]);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

/* The nodes of boot regions other than region 0 are no control nodes. */
TEST_F(uapi, wrong_node)
{
	unsigned int nodes = 0, i;
	struct dirent *entry;
	union args args;
	char path[512];
	DIR *dir;
	int fd;

	dir = opendir(NODE_DIR);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), NODE_DIR "/%s", entry->d_name);
		fd = open(path, O_RDWR);
		ASSERT_LE(0, fd);
		for (i = 0; i < ARRAY_SIZE(calls); i++) {
			args_fill(&args, &calls[i]);
			if (!calls[i].control)
				continue;
			EXPECT_EQ(-1, ioctl(fd, calls[i].cmd, &args));
			EXPECT_EQ(ENOTTY, errno) TH_LOG("%s", calls[i].name);
		}
		close(fd);
		nodes++;
	}
	if (dir)
		closedir(dir);
	if (!nodes)
		SKIP(return, "the module was loaded without regions=");
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

TEST_F(uapi, unknown_command)
{
	union args args;
	unsigned int nr;

	memset(&args, 0, sizeof(args));
	args.size = sizeof(args);
	for (nr = SHM_KERNEL_CMD_SUBSCRIBE + 1; nr < 256; nr++) {
		EXPECT_EQ(-1, ioctl(self->ctl, _IO(SHM_KERNEL_TYPE, nr), &args));
		EXPECT_EQ(ENOTTY, errno) TH_LOG("control %u", nr);
		EXPECT_EQ(-1, ioctl(self->named, _IO(SHM_KERNEL_TYPE, nr), &args));
		EXPECT_EQ(ENOTTY, errno) TH_LOG("region %u", nr);
	}
	/* The same numbers with another type, or with a direction. */
	for (nr = 0; nr <= SHM_KERNEL_CMD_SUBSCRIBE; nr++) {
		EXPECT_EQ(-1, ioctl(self->ctl, _IO(SHM_KERNEL_TYPE + 1, nr), &args));
		EXPECT_EQ(ENOTTY, errno);
		EXPECT_EQ(-1, ioctl(self->named, _IOWR(SHM_KERNEL_TYPE, nr, int), &args));
		EXPECT_EQ(ENOTTY, errno);
	}
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

/* Calls with one word of the structure changed must be EINVAL. */
static void expect_invalid(struct __test_metadata *_metadata, int fd,
			   const struct call *call, size_t offset, __u32 value)
{
	union args args;

	args_fill(&args, call);
	*(__u32 *)(args.bytes + offset) = value;
	EXPECT_EQ(-1, ioctl(fd, call->cmd, &args))
		TH_LOG("%s offset %zu value %#x", call->name, offset, value);
	EXPECT_EQ(EINVAL, errno)
		TH_LOG("%s offset %zu value %#x", call->name, offset, value);
}

TEST_F(uapi, unknown_flags)
{
	const struct call *call;
	unsigned int i, bit;
	int fd;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		call = &calls[i];
		/* Flags are GET_INFO's to set. */
		if (call->cmd == SHM_KERNEL_IOC_GET_INFO)
			continue;
		fd = call->control ? self->ctl : self->unnamed;
		for (bit = 0; bit < 32; bit++) {
			if (call->cmd == SHM_KERNEL_IOC_CREATE && bit < 4)
				continue;
			if (call->cmd == SHM_KERNEL_IOC_OPEN && 1U << bit == O_RDWR)
				continue;
			if (call->cmd == SHM_KERNEL_IOC_ADD_SEALS && bit < 5)
				continue;
			if (call->cmd == SHM_KERNEL_IOC_SUBSCRIBE &&
			    1U << bit == O_NONBLOCK)
				continue;
			expect_invalid(_metadata, fd, call, 4, 1U << bit);
		}
		expect_invalid(_metadata, fd, call, 4, ~0U);
	}
	expect_invalid(_metadata, self->ctl, &calls[1], 4, O_ACCMODE);
	expect_invalid(_metadata, self->ctl, &calls[1], 4, O_RDWR | O_CLOEXEC);
	expect_invalid(_metadata, self->ctl, &calls[1], 4, O_RDWR | O_TRUNC);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

TEST_F(uapi, pads)
{
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		expect_invalid(_metadata, self->ctl, &calls[0],
			       offsetof(struct shm_kernel_create, pad), 1U << bit);
		expect_invalid(_metadata, self->ctl, &calls[1],
			       offsetof(struct shm_kernel_open, pad), 1U << bit);
		expect_invalid(_metadata, self->ctl, &calls[2],
			       offsetof(struct shm_kernel_name, pad), 1U << bit);
		expect_invalid(_metadata, self->unnamed, &calls[4],
			       offsetof(struct shm_kernel_name, pad), 1U << bit);
	}
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

TEST_F(uapi, create_fields)
{
	struct shm_kernel_create arg;
	unsigned int bit;
	int fd;

	for (bit = 9; bit < 32; bit++)
		expect_invalid(_metadata, self->ctl, &calls[0],
			       offsetof(struct shm_kernel_create, mode),
			       0600 | 1U << bit);
	for (bit = 0; bit < 32; bit++)
		expect_invalid(_metadata, self->ctl, &calls[0],
			       offsetof(struct shm_kernel_create, numa_node),
			       1U << bit);

	/* With the flag a node that cannot be is as bad. */
	memset(&arg, 0, sizeof(arg));
	arg.size = sizeof(arg);
	arg.length = 100;
	arg.mode = 0600;
	arg.flags = SHM_KERNEL_CREATE_NODE;
	arg.numa_node = -1;
	EXPECT_EQ(-1, ioctl(self->ctl, SHM_KERNEL_IOC_CREATE, &arg));
	EXPECT_EQ(EINVAL, errno);
	arg.numa_node = INT_MAX;
	EXPECT_EQ(-1, ioctl(self->ctl, SHM_KERNEL_IOC_CREATE, &arg));
	EXPECT_EQ(EINVAL, errno);
	arg.numa_node = INT_MIN;
	EXPECT_EQ(-1, ioctl(self->ctl, SHM_KERNEL_IOC_CREATE, &arg));
	EXPECT_EQ(EINVAL, errno);

	/* A name is both or neither of pointer and length. */
	arg.flags = 0;
	arg.numa_node = 0;
	arg.name = (uintptr_t)FRESH;
	EXPECT_EQ(-1, ioctl(self->ctl, SHM_KERNEL_IOC_CREATE, &arg));
	EXPECT_EQ(EINVAL, errno);
	arg.name = 0;
	arg.name_len = 1;
	EXPECT_EQ(-1, ioctl(self->ctl, SHM_KERNEL_IOC_CREATE, &arg));
	EXPECT_TRUE(errno == EINVAL || errno == EFAULT);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));

	arg.name_len = 0;
	arg.flags = SHM_KERNEL_CREATE_NODE;
	fd = ioctl(self->ctl, SHM_KERNEL_IOC_CREATE, &arg);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST_F(uapi, absurd_lengths)
{
	static const __u64 lengths[] = {
		1ULL << 46, 1ULL << 62, (1ULL << 63) - 1, 1ULL << 63,
		(1ULL << 63) + 1, ~0ULL - 4096, ~0ULL - 4095, ~0ULL,
	};
	static const __u32 flags[] = {
		0, SHM_KERNEL_CREATE_CONTIG, SHM_KERNEL_CREATE_SMALL,
	};
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (j = 0; j < ARRAY_SIZE(flags); j++) {
			EXPECT_EQ(-1, region_create(self->ctl, FRESH, lengths[i],
						    0600, flags[j]))
				TH_LOG("%#llx", lengths[i]);
			EXPECT_TRUE(errno == ENOMEM || errno == EINVAL)
				TH_LOG("%#llx: errno %d", lengths[i], errno);
		}
	}
	EXPECT_EQ(-1, region_open(self->ctl, FRESH, O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

/* Gives the same name to all four calls that take one. */
static void expect_bad_name(struct __test_metadata *_metadata, int ctl, int fd,
			    const void *name, __u32 len, int error)
{
	struct shm_kernel_create create = {
		.size = sizeof(create), .length = 10, .mode = 0600,
		.name = (uintptr_t)name, .name_len = len,
	};
	struct shm_kernel_open open_arg = {
		.size = sizeof(open_arg),
		.name = (uintptr_t)name, .name_len = len,
	};
	struct shm_kernel_name arg = {
		.size = sizeof(arg),
		.name = (uintptr_t)name, .name_len = len,
	};

	EXPECT_EQ(-1, ioctl(ctl, SHM_KERNEL_IOC_CREATE, &create));
	EXPECT_EQ(error, errno) TH_LOG("len %u", len);
	EXPECT_EQ(-1, ioctl(ctl, SHM_KERNEL_IOC_OPEN, &open_arg));
	EXPECT_EQ(error, errno) TH_LOG("len %u", len);
	EXPECT_EQ(-1, ioctl(ctl, SHM_KERNEL_IOC_REMOVE, &arg));
	EXPECT_EQ(error, errno) TH_LOG("len %u", len);
	EXPECT_EQ(-1, ioctl(fd, SHM_KERNEL_IOC_BIND, &arg));
	EXPECT_EQ(error, errno) TH_LOG("len %u", len);
}

TEST_F(uapi, bad_names)
{
	char name[SHM_KERNEL_NAME_MAX + 2];

	memset(name, 'x', sizeof(name));
	expect_bad_name(_metadata, self->ctl, self->unnamed, name, 0, EINVAL);
	expect_bad_name(_metadata, self->ctl, self->unnamed, name, 256, ENAMETOOLONG);
	expect_bad_name(_metadata, self->ctl, self->unnamed, name, 257, ENAMETOOLONG);
	expect_bad_name(_metadata, self->ctl, self->unnamed, name, 1U << 31, ENAMETOOLONG);
	expect_bad_name(_metadata, self->ctl, self->unnamed, name, ~0U, ENAMETOOLONG);
	expect_bad_name(_metadata, self->ctl, self->unnamed, "/", 1, EINVAL);
	expect_bad_name(_metadata, self->ctl, self->unnamed, "/x", 2, EINVAL);
	expect_bad_name(_metadata, self->ctl, self->unnamed, "x/", 2, EINVAL);
	expect_bad_name(_metadata, self->ctl, self->unnamed, "x/y", 3, EINVAL);
	expect_bad_name(_metadata, self->ctl, self->unnamed, ".", 1, EINVAL);
	expect_bad_name(_metadata, self->ctl, self->unnamed, "..", 2, EINVAL);
	expect_bad_name(_metadata, self->ctl, self->unnamed, "\0", 1, EINVAL);
	expect_bad_name(_metadata, self->ctl, self->unnamed, "x\0", 2, EINVAL);
	expect_bad_name(_metadata, self->ctl, self->unnamed, "x\0y", 3, EINVAL);
	name[254] = 0;
	expect_bad_name(_metadata, self->ctl, self->unnamed, name, 255, EINVAL);
	name[254] = '/';
	expect_bad_name(_metadata, self->ctl, self->unnamed, name, 255, EINVAL);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

TEST_F(uapi, good_names)
{
	char name[SHM_KERNEL_NAME_MAX + 1] = "";
	struct shm_kernel_info info;
	unsigned int byte;
	int fd, other;

	/* Each byte that a name may have, alone. */
	for (byte = 1; byte < 256; byte++) {
		if (byte == '/' || byte == '.')
			continue;
		name[0] = byte;
		fd = region_create(self->ctl, name, 10, 0600, 0);
		ASSERT_LE(0, fd) TH_LOG("byte %#x: errno %d", byte, errno);
		other = region_open(self->ctl, name, O_RDWR);
		EXPECT_LE(0, other) TH_LOG("byte %#x: errno %d", byte, errno);
		EXPECT_EQ(0, region_info(other, &info));
		EXPECT_EQ(1, info.name_len);
		EXPECT_STREQ(name, info.name);
		close(other);
		close(fd);
		EXPECT_EQ(-1, region_open(self->ctl, name, O_RDWR));
		EXPECT_EQ(ENOENT, errno);
	}

	/* All of them at once, in a name of the greatest length. */
	for (byte = 1; byte < 256; byte++)
		name[byte - 1] = byte == '/' ? '!' : byte;
	fd = region_create(self->ctl, name, 10, 0600, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, region_info(fd, &info));
	EXPECT_EQ(SHM_KERNEL_NAME_MAX, info.name_len);
	EXPECT_STREQ(name, info.name);
	/* A name is not found by its beginning. */
	name[254] = 0;
	EXPECT_EQ(-1, region_open(self->ctl, name, O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	close(fd);

	fd = region_create(self->ctl, "...", 10, 0600, 0);
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, region_remove(self->ctl, "..."));
	close(fd);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

TEST_F(uapi, taken_and_missing_names)
{
	EXPECT_EQ(-1, region_create(self->ctl, NAMED, 10, 0600, 0));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(-1, region_create(self->ctl, "region0", 10, 0600, 0));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(-1, region_bind(self->unnamed, NAMED));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(-1, region_open(self->ctl, "kst-nowhere", O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, region_remove(self->ctl, "kst-nowhere"));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

TEST_F(uapi, bind_once)
{
	struct shm_kernel_info info;
	int fd;

	EXPECT_EQ(-1, region_bind(self->named, FRESH));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, region_bind(self->named, NAMED));
	EXPECT_NE(0, errno);
	EXPECT_EQ(-1, region_bind(self->ctl, FRESH));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));

	EXPECT_EQ(0, region_bind(self->unnamed, FRESH));
	fd = region_open(self->ctl, FRESH, O_RDWR);
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, region_info(fd, &info));
	EXPECT_EQ(0, info.flags & SHM_KERNEL_INFO_REMOVED);
	EXPECT_EQ(5000, info.length);
	close(fd);

	/* It had a name, and gets no other, also when that is gone. */
	EXPECT_EQ(-1, region_bind(self->unnamed, "kst-other"));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, region_remove(self->ctl, FRESH));
	EXPECT_EQ(-1, region_bind(self->unnamed, FRESH));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, region_info(self->unnamed, &info));
	EXPECT_EQ(SHM_KERNEL_INFO_REMOVED, info.flags & SHM_KERNEL_INFO_REMOVED);
	EXPECT_EQ(0, info.name_len);
}

TEST_F(uapi, removed_name_is_free)
{
	struct shm_kernel_info info;
	int fd;

	EXPECT_EQ(0, region_remove(self->ctl, NAMED));
	EXPECT_EQ(-1, region_open(self->ctl, NAMED, O_RDWR));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, region_remove(self->ctl, NAMED));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(SHM_KERNEL_INFO_REMOVED, info.flags & SHM_KERNEL_INFO_REMOVED);
	EXPECT_EQ(0, info.name_len);
	EXPECT_EQ(0, info.name[0]);

	/* A new region of that name has nothing to do with the old one. */
	fd = region_create(self->ctl, NAMED, 77, 0600, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(77, region_size(fd));
	EXPECT_EQ(5000, region_size(self->named));
	close(self->named);
	self->named = region_open(self->ctl, NAMED, O_RDWR);
	EXPECT_EQ(77, region_size(self->named));
	close(fd);
}

TEST_F(uapi, boot_region_keeps_its_name)
{
	int fd;

	fd = region_open(self->ctl, "region0", O_RDWR);
	ASSERT_LE(0, fd);
	snapshot_take(self->ctl, &self->snap);
	EXPECT_EQ(-1, region_remove(self->ctl, "region0"));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, region_revoke(self->ctl));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, region_revoke(fd));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, region_bind(fd, FRESH));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
	close(fd);
}

TEST_F(uapi, read_only_files)
{
	struct shm_kernel_info info;
	unsigned char byte = 0x5a;
	char path[64];
	int fd, node;

	ASSERT_EQ(1, pwrite(self->unnamed, &byte, 1, 0));
	/* An unnamed region has no other way to a read-only file. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->unnamed);
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	node = open(CONTROL_NODE, O_RDONLY);
	ASSERT_LE(0, node);
	snapshot_take(self->ctl, &self->snap);

	EXPECT_EQ(-1, region_clear(fd));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, region_reset(fd));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, region_bind(fd, FRESH));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, region_clear(node));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, region_reset(node));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(0, region_info(fd, &info));
	EXPECT_EQ(0, region_info(node, &info));
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
	byte = 0;
	EXPECT_EQ(1, pread(fd, &byte, 1, 0));
	EXPECT_EQ(0x5a, byte);

	/* To use the control node it is enough to have it open. */
	EXPECT_EQ(0, region_open(node, NAMED, O_RDONLY) < 0);
	close(node);
	close(fd);
}

TEST_F(uapi, new_files_close_on_exec)
{
	int fd = region_open(self->ctl, NAMED, O_RDONLY);
	pid_t pid;

	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->named, F_GETFD));
	EXPECT_EQ(O_RDONLY, fcntl(fd, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(O_RDWR, fcntl(self->named, F_GETFL) & O_ACCMODE);
	close(fd);
	/* Without a free descriptor there is no region left either. */
	pid = spawn();
	if (!pid) {
		while (dup(self->ctl) >= 0)
			;
		CHILD_CHECK(region_create(self->ctl, FRESH, 10, 0600,
					  SHM_KERNEL_CREATE_PERSIST) == -1);
		CHILD_CHECK(errno == EMFILE);
		CHILD_CHECK(region_open(self->ctl, NAMED, O_RDONLY) == -1);
		CHILD_CHECK(errno == EMFILE);
		CHILD_CHECK(region_open(self->ctl, FRESH, O_RDONLY) == -1);
		CHILD_CHECK(errno == EMFILE || errno == ENOENT);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

TEST_F(uapi, modes)
{
	static const struct {
		uid_t owner;
		__u32 mode;
		int rdonly;
		int rdwr;
	} cases[] = {
		{ 0, 0600, EACCES, EACCES },
		{ 0, 0660, EACCES, EACCES },
		{ 0, 0604, 0, EACCES },
		{ 0, 0602, EACCES, EACCES },
		{ 0, 0606, 0, 0 },
		{ 0, 0666, 0, 0 },
		{ 0, 0444, 0, EACCES },
		{ NOBODY, 0600, 0, 0 },
		{ NOBODY, 0400, 0, EACCES },
		{ NOBODY, 0200, EACCES, EACCES },
		{ NOBODY, 0066, EACCES, EACCES },
		{ NOBODY, 0000, EACCES, EACCES },
	};
	struct shm_kernel_info info;
	unsigned int i;
	pid_t pid;
	int fd;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		fd = region_create(self->ctl, FRESH, 10, cases[i].mode, 0);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, fchown(fd, cases[i].owner, -1));
		EXPECT_EQ(0, region_info(fd, &info));
		EXPECT_EQ(cases[i].mode, info.mode);
		EXPECT_EQ(cases[i].owner, info.uid);
		pid = spawn();
		if (!pid) {
			int ret;

			become_user(NOBODY);
			ret = region_open(self->ctl, FRESH, O_RDONLY);
			CHILD_CHECK((ret < 0 ? errno : 0) == cases[i].rdonly);
			ret = region_open(self->ctl, FRESH, O_RDWR);
			CHILD_CHECK((ret < 0 ? errno : 0) == cases[i].rdwr);
			_exit(0);
		}
		EXPECT_EQ(0, child_result(pid))
			TH_LOG("owner %u mode %o", cases[i].owner, cases[i].mode);
		close(fd);
	}
}

/* The group's bits count for members, and for them alone. */
TEST_F(uapi, group)
{
	gid_t group = 4242;
	pid_t pid;
	int fd;

	fd = region_create(self->ctl, FRESH, 10, 0640, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fchown(fd, -1, group));
	pid = spawn();
	if (!pid) {
		CHILD_CHECK(!setgroups(1, &group));
		CHILD_CHECK(!setresgid(NOBODY, NOBODY, NOBODY));
		CHILD_CHECK(!setresuid(NOBODY, NOBODY, NOBODY));
		CHILD_CHECK(region_open(self->ctl, FRESH, O_RDONLY) >= 0);
		CHILD_CHECK(region_open(self->ctl, FRESH, O_RDWR) == -1);
		CHILD_CHECK(errno == EACCES);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	close(fd);
}

/* REMOVE and BIND are for the owner, or CAP_FOWNER; REVOKE for root. */
TEST_F(uapi, owner)
{
	pid_t pid;
	int fd;

	fd = region_create(self->ctl, FRESH, 10, 0666, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fchmod(self->unnamed, 0666));
	snapshot_take(self->ctl, &self->snap);
	pid = spawn();
	if (!pid) {
		become_user(NOBODY);
		CHILD_CHECK(region_remove(self->ctl, FRESH) == -1);
		CHILD_CHECK(errno == EACCES);
		CHILD_CHECK(region_bind(self->unnamed, "kst-other") == -1);
		CHILD_CHECK(errno == EACCES);
		CHILD_CHECK(region_revoke(fd) == -1);
		CHILD_CHECK(errno == EPERM);
		CHILD_CHECK(fchmod(fd, 0600) == -1);
		CHILD_CHECK(errno == EPERM);
		CHILD_CHECK(fchown(fd, NOBODY, -1) == -1);
		CHILD_CHECK(errno == EPERM);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));

	/* The owner may, whatever the mode; root by capability only. */
	ASSERT_EQ(0, fchmod(fd, 0));
	ASSERT_EQ(0, fchown(fd, NOBODY, NOBODY));
	ASSERT_EQ(0, fchown(self->unnamed, NOBODY, NOBODY));
	snapshot_take(self->ctl, &self->snap);
	pid = spawn();
	if (!pid) {
		CHILD_CHECK(!drop_capability(CAP_FOWNER));
		CHILD_CHECK(region_remove(self->ctl, FRESH) == -1);
		CHILD_CHECK(errno == EACCES);
		CHILD_CHECK(region_bind(self->unnamed, "kst-other") == -1);
		CHILD_CHECK(errno == EACCES);
		CHILD_CHECK(!drop_capability(CAP_SYS_ADMIN));
		CHILD_CHECK(region_revoke(self->unnamed) == -1);
		CHILD_CHECK(errno == EPERM);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
	pid = spawn();
	if (!pid) {
		become_user(NOBODY);
		CHILD_CHECK(region_revoke(fd) == -1);
		CHILD_CHECK(errno == EPERM);
		CHILD_CHECK(!fchmod(fd, 0600));
		CHILD_CHECK(!region_remove(self->ctl, FRESH));
		CHILD_CHECK(!region_bind(self->unnamed, "kst-other"));
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(-1, region_open(self->ctl, FRESH, O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(0, region_remove(self->ctl, "kst-other"));
	close(fd);
}

TEST_F(uapi, creator_is_owner)
{
	struct shm_kernel_info info;
	pid_t pid;

	pid = spawn();
	if (!pid) {
		int fd;

		become_user(NOBODY);
		fd = region_create(self->ctl, FRESH, 10, 0000, 0);
		CHILD_CHECK(fd >= 0);
		CHILD_CHECK(!region_info(fd, &info));
		CHILD_CHECK(info.uid == NOBODY && info.gid == NOBODY);
		CHILD_CHECK(info.mode == 0);
		/* The umask is for files that are made by path. */
		umask(0777);
		close(fd);
		fd = region_create(self->ctl, FRESH, 10, 0777, 0);
		CHILD_CHECK(!region_info(fd, &info));
		CHILD_CHECK(info.mode == 0777);
		CHILD_CHECK(!region_remove(self->ctl, FRESH));
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
}

TEST_F(uapi, list_who_sees_what)
{
	static const char * const names[] = {
		"kst-l-private", "kst-l-read", "kst-l-write", "kst-l-own", "kst-l-group",
	};
	static const __u32 modes[] = { 0600, 0604, 0602, 0000, 0640 };
	struct shm_kernel_info entries[MAX_ENTRIES];
	int fds[ARRAY_SIZE(names)];
	unsigned int i;
	pid_t pid;
	int count;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		fds[i] = region_create(self->ctl, names[i], 10, modes[i], 0);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, fchown(fds[3], NOBODY, -1));

	count = list_all(self->ctl, entries, MAX_ENTRIES, MAX_ENTRIES);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		EXPECT_NE(NULL, list_find(entries, count, names[i]));

	pid = spawn();
	if (!pid) {
		become_user(NOBODY);
		count = list_all(self->ctl, entries, MAX_ENTRIES, 2);
		CHILD_CHECK(count >= 2);
		CHILD_CHECK(!list_find(entries, count, "region0"));
		CHILD_CHECK(!list_find(entries, count, NAMED));
		CHILD_CHECK(!list_find(entries, count, names[0]));
		CHILD_CHECK(list_find(entries, count, names[1]));
		CHILD_CHECK(!list_find(entries, count, names[2]));
		CHILD_CHECK(list_find(entries, count, names[3]));
		CHILD_CHECK(!list_find(entries, count, names[4]));
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));

	/* Root is nobody special without its capabilities. */
	ASSERT_EQ(0, fchmod(fds[3], 0600));
	pid = spawn();
	if (!pid) {
		CHILD_CHECK(!drop_capability(CAP_DAC_OVERRIDE));
		CHILD_CHECK(!drop_capability(CAP_DAC_READ_SEARCH));
		count = list_all(self->ctl, entries, MAX_ENTRIES, MAX_ENTRIES);
		CHILD_CHECK(list_find(entries, count, names[3]));
		CHILD_CHECK(!drop_capability(CAP_SYS_ADMIN));
		CHILD_CHECK(!drop_capability(CAP_FOWNER));
		count = list_all(self->ctl, entries, MAX_ENTRIES, MAX_ENTRIES);
		CHILD_CHECK(list_find(entries, count, names[0]));
		CHILD_CHECK(!list_find(entries, count, names[3]));
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	for (i = 0; i < ARRAY_SIZE(names); i++)
		close(fds[i]);
}

TEST_F(uapi, list_fields)
{
	struct shm_kernel_list arg, good = {
		.size = sizeof(good),
		.entry_size = sizeof(struct shm_kernel_info),
		.count = 4,
	};
	unsigned char big[2 * (sizeof(struct shm_kernel_info) + 8)];
	struct shm_kernel_info entries[4];
	__u32 stride = sizeof(struct shm_kernel_info) + 8;

	good.entries = (uintptr_t)entries;
	arg = good;
	arg.count = 0;
	EXPECT_EQ(-1, ioctl(self->ctl, SHM_KERNEL_IOC_LIST, &arg));
	EXPECT_EQ(EINVAL, errno);
	arg = good;
	arg.entry_size = sizeof(struct shm_kernel_info) - 1;
	EXPECT_EQ(-1, ioctl(self->ctl, SHM_KERNEL_IOC_LIST, &arg));
	EXPECT_EQ(EINVAL, errno);
	arg.entry_size = 0;
	EXPECT_EQ(-1, ioctl(self->ctl, SHM_KERNEL_IOC_LIST, &arg));
	EXPECT_EQ(EINVAL, errno);

	/* Nothing is after the end, and that is no error. */
	arg = good;
	arg.cursor = ~0ULL;
	EXPECT_EQ(0, ioctl(self->ctl, SHM_KERNEL_IOC_LIST, &arg));
	EXPECT_EQ(0, arg.count);
	arg.cursor = 1ULL << 63;
	arg.count = 4;
	EXPECT_EQ(0, ioctl(self->ctl, SHM_KERNEL_IOC_LIST, &arg));
	EXPECT_EQ(0, arg.count);

	/* Sizes whose product overflows must not write where it ends. */
	arg = good;
	arg.count = ~0U;
	arg.entry_size = ~0U;
	memset(entries, 0xcc, sizeof(entries));
	if (ioctl(self->ctl, SHM_KERNEL_IOC_LIST, &arg))
		EXPECT_TRUE(errno == EFAULT || errno == EINVAL || errno == E2BIG);
	EXPECT_EQ(0xcc, ((unsigned char *)&entries[1])[0]);

	/* A newer caller's entries are larger; the kernel's own are at the stride. */
	memset(big, 0xcc, sizeof(big));
	arg = good;
	arg.entries = (uintptr_t)big;
	arg.entry_size = stride;
	arg.count = 2;
	ASSERT_EQ(0, ioctl(self->ctl, SHM_KERNEL_IOC_LIST, &arg));
	ASSERT_EQ(2, arg.count);
	EXPECT_EQ(self->snap.entries[0].id, ((struct shm_kernel_info *)big)->id);
	EXPECT_EQ(-1, zero_check(big + sizeof(struct shm_kernel_info), 8));
	EXPECT_EQ(self->snap.entries[1].id,
		  ((struct shm_kernel_info *)(big + stride))->id);
}

TEST_F(uapi, list_pages)
{
	struct shm_kernel_info entries[MAX_ENTRIES], again[MAX_ENTRIES];
	const struct shm_kernel_info *entry;
	struct shm_kernel_info info;
	unsigned int page;
	int fds[9], count, i;

	for (i = 0; i < 9; i++) {
		fds[i] = region_create(self->ctl, NULL, i * 1000, 0600, 0);
		ASSERT_LE(0, fds[i]);
	}
	memset(entries, 0xcc, sizeof(entries));
	count = list_all(self->ctl, entries, MAX_ENTRIES, MAX_ENTRIES);
	ASSERT_LE(12, count);
	for (i = 1; i < count; i++)
		EXPECT_LT(entries[i - 1].id, entries[i].id);
	for (i = 0; i < count; i++)
		EXPECT_EQ(strlen(entries[i].name), entries[i].name_len);

	/* The pages' size makes no difference to what is in them. */
	for (page = 1; page < 14; page++) {
		memset(again, 0xcc, sizeof(again));
		ASSERT_EQ(count, list_all(self->ctl, again, MAX_ENTRIES, page));
		EXPECT_EQ(0, memcmp(entries, again, count * sizeof(entries[0])))
			TH_LOG("pages of %u", page);
	}

	/* LIST and GET_INFO say the same. */
	entry = list_find(entries, count, NAMED);
	ASSERT_NE(NULL, entry);
	ASSERT_EQ(0, region_info(self->named, &info));
	info.size = entry->size;
	EXPECT_EQ(0, memcmp(&info, entry, sizeof(info)));
	for (i = 0; i < 9; i++) {
		EXPECT_EQ(i * 1000, entries[count - 9 + i].length);
		close(fds[i]);
	}
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

/* Regions that stay are seen once, whatever comes and goes beside them. */
TEST_F_TIMEOUT(uapi, list_beside_changes, 120)
{
	struct shm_kernel_info entry;
	unsigned int round, seen[5];
	__u64 ids[5], cursor, last;
	int fds[5], ret, i, j;
	pid_t pids[2];

	for (j = 0; j < 2; j++) {
		pids[j] = spawn();
		if (!pids[j]) {
			for (;;) {
				int fd = region_create(self->ctl, NULL, 1, 0600, 0);

				CHILD_CHECK(fd >= 0);
				close(fd);
			}
		}
	}
	for (i = 0; i < 5; i++) {
		sleep_ms(2);
		fds[i] = region_create(self->ctl, NULL, 1, 0600, 0);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, region_info(fds[i], &entry));
		ids[i] = entry.id;
	}
	for (round = 0; round < 300; round++) {
		memset(seen, 0, sizeof(seen));
		cursor = 0;
		last = 0;
		while ((ret = list_page(self->ctl, &cursor, &entry, 1)) == 1) {
			EXPECT_LT(last, entry.id);
			last = entry.id;
			for (i = 0; i < 5; i++)
				seen[i] += entry.id == ids[i];
			/* New regions may come faster than they are listed. */
			if (last > ids[4])
				break;
		}
		EXPECT_LE(0, ret);
		for (i = 0; i < 5; i++)
			ASSERT_EQ(1, seen[i]);
	}
	for (j = 0; j < 2; j++)
		EXPECT_EQ(-SIGKILL, child_kill(pids[j]));
	for (i = 0; i < 5; i++)
		close(fds[i]);
	EXPECT_TRUE(stats_return_to(&self->snap.stats));
}

TEST_F(uapi, ids_are_not_reused)
{
	struct shm_kernel_info info;
	__u64 last = 0;
	int i, fd;

	for (i = 0; i < 200; i++) {
		fd = region_create(self->ctl, i & 1 ? FRESH : NULL, 1, 0600, 0);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, region_info(fd, &info));
		ASSERT_LT(last, info.id);
		last = info.id;
		close(fd);
	}
}

TEST_F(uapi, info)
{
	struct shm_kernel_create arg = {
		.size = sizeof(arg),
		.length = 3 * page_size() + 1,
		.name = (uintptr_t)FRESH,
		.name_len = strlen(FRESH),
		.mode = 0640,
	};
	static const __u32 flags[] = {
		0, SHM_KERNEL_CREATE_PERSIST, SHM_KERNEL_CREATE_CONTIG,
		SHM_KERNEL_CREATE_SMALL, SHM_KERNEL_CREATE_NODE,
		SHM_KERNEL_CREATE_SMALL | SHM_KERNEL_CREATE_PERSIST |
		SHM_KERNEL_CREATE_NODE,
	};
	struct shm_kernel_info info;
	unsigned int i;
	int fd;

	for (i = 0; i < SHM_KERNEL_TAG_SIZE; i++)
		arg.tag[i] = 0xff - i;
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		arg.flags = flags[i];
		fd = ioctl(self->ctl, SHM_KERNEL_IOC_CREATE, &arg);
		ASSERT_LE(0, fd) TH_LOG("flags %#x: errno %d", flags[i], errno);
		ASSERT_EQ(0, region_info(fd, &info));
		EXPECT_EQ(flags[i], info.flags);
		EXPECT_EQ(arg.length, info.length);
		EXPECT_LE(arg.length, info.allocated);
		EXPECT_EQ(0, info.allocated % page_size());
		if (flags[i] & SHM_KERNEL_CREATE_SMALL)
			EXPECT_EQ(4 * page_size(), info.allocated);
		EXPECT_EQ(0640, info.mode);
		EXPECT_EQ(0, info.uid);
		EXPECT_EQ(0, info.gid);
		EXPECT_EQ(1, info.files);
		EXPECT_EQ(0, info.mappings);
		EXPECT_EQ(flags[i] & SHM_KERNEL_CREATE_NODE ? 0 : -1,
			  info.numa_node);
		EXPECT_EQ(strlen(FRESH), info.name_len);
		EXPECT_STREQ(FRESH, info.name);
		EXPECT_EQ(0, info.seals);
		EXPECT_EQ(0, info.peers);
		EXPECT_EQ(0, info.clients);
		EXPECT_EQ(0, info.rings);
		EXPECT_EQ(0, memcmp(arg.tag, info.tag, SHM_KERNEL_TAG_SIZE));
		EXPECT_NE(0, info.capabilities & SHM_KERNEL_CAP_FUTEX);
		EXPECT_NE(0, info.capabilities & SHM_KERNEL_CAP_GUP);
		EXPECT_EQ(!(flags[i] & SHM_KERNEL_CREATE_CONTIG),
			  !!(info.capabilities & SHM_KERNEL_CAP_RESIZE));
		if (flags[i] & SHM_KERNEL_CREATE_CONTIG)
			EXPECT_NE(0, info.capabilities & SHM_KERNEL_CAP_CONTIG);
		if (flags[i] & SHM_KERNEL_CREATE_SMALL)
			EXPECT_EQ(0, info.capabilities & SHM_KERNEL_CAP_PMD);
		EXPECT_EQ(0, region_remove(self->ctl, FRESH));
		ASSERT_EQ(0, region_info(fd, &info));
		EXPECT_EQ(flags[i] | SHM_KERNEL_INFO_REMOVED, info.flags);
		close(fd);
	}
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

TEST_F(uapi, info_of_region0)
{
	struct shm_kernel_info info, other;
	int fd;

	ASSERT_EQ(0, region_info(self->ctl, &info));
	EXPECT_STREQ("region0", info.name);
	EXPECT_NE(0, info.flags & SHM_KERNEL_INFO_BOOT);
	EXPECT_EQ(0, info.flags & SHM_KERNEL_INFO_REMOVED);
	EXPECT_EQ(0, info.capabilities & SHM_KERNEL_CAP_RESIZE);
	EXPECT_LT(0, info.length);
	EXPECT_EQ(0600, info.mode);
	EXPECT_EQ((off_t)info.length, lseek(self->ctl, 0, SEEK_END));
	fd = region_open(self->ctl, "region0", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, region_info(fd, &other));
	EXPECT_EQ(info.id, other.id);
	EXPECT_EQ((off_t)info.length, region_size(fd));
	close(fd);
}

TEST_F(uapi, info_counts)
{
	size_t page = page_size();
	struct shm_kernel_info info;
	int other, copy;
	char *a, *b;
	pid_t pid;

	other = region_open(self->ctl, NAMED, O_RDWR);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(2, info.files);
	/* A duplicate is the same open file. */
	copy = dup(other);
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(2, info.files);
	close(other);
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(2, info.files);

	a = region_map(self->named, 2 * page);
	ASSERT_NE(MAP_FAILED, a);
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(1, info.mappings);
	b = mmap(NULL, page, PROT_READ, MAP_PRIVATE, copy, page);
	ASSERT_NE(MAP_FAILED, b);
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(2, info.mappings);

	pid = spawn();
	if (!pid) {
		CHILD_CHECK(!region_info(self->named, &info));
		CHILD_CHECK(info.mappings == 4);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(2, info.mappings);

	munmap(b, page);
	/* A mapping keeps its file. */
	close(copy);
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(1, info.mappings);
	EXPECT_EQ(1, info.files);
	munmap(a, page);
	munmap(a + page, page);
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(0, info.mappings);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

/* Peers are no files, and what they do is counted, in LIST as well. */
TEST_F(uapi, info_peers)
{
	struct shm_kernel_info info, entries[MAX_ENTRIES];
	const struct shm_kernel_info *entry;
	__u64 ring = 7;
	int a, b, count;

	a = region_subscribe(self->named, 0);
	ASSERT_LE(0, a);
	b = region_subscribe(self->named, O_NONBLOCK);
	ASSERT_LE(0, b);
	EXPECT_EQ(sizeof(ring), write(a, &ring, sizeof(ring)));
	ring = 0xffffffff;
	EXPECT_EQ(sizeof(ring), write(b, &ring, sizeof(ring)));
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(1, info.files);
	EXPECT_EQ(2, info.peers);
	EXPECT_EQ(0, info.clients);
	EXPECT_EQ(7 + 0xffffffffULL, info.rings);
	EXPECT_EQ(0, info.seals);
	ASSERT_EQ(0, region_add_seals(self->named, SHM_KERNEL_SEAL_GROW));

	count = list_all(self->ctl, entries, MAX_ENTRIES, MAX_ENTRIES);
	ASSERT_LT(0, count);
	entry = list_find(entries, count, NAMED);
	ASSERT_NE(NULL, entry);
	EXPECT_EQ(1, entry->files);
	EXPECT_EQ(2, entry->peers);
	EXPECT_EQ(0, entry->clients);
	EXPECT_EQ(7 + 0xffffffffULL, entry->rings);
	EXPECT_EQ(SHM_KERNEL_SEAL_GROW, entry->seals);

	close(a);
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(1, info.peers);
	close(b);
	ASSERT_EQ(0, region_info(self->named, &info));
	EXPECT_EQ(0, info.peers);
	EXPECT_EQ(7 + 0xffffffffULL, info.rings);
}

/* Counts of split, grown and moved mappings come down to nothing as well. */
TEST_F(uapi, info_counts_of_changed_mappings)
{
	size_t page = page_size();
	struct shm_kernel_info info;
	char *map, *moved;
	int fd;

	fd = region_create(self->ctl, NULL, 8 * page, 0600, 0);
	ASSERT_LE(0, fd);
	map = region_map(fd, 8 * page);
	ASSERT_NE(MAP_FAILED, map);
	/* Split in three, and made one again. */
	ASSERT_EQ(0, mprotect(map + 3 * page, page, PROT_READ));
	ASSERT_EQ(0, region_info(fd, &info));
	EXPECT_LE(1, info.mappings);
	ASSERT_EQ(0, mprotect(map + 3 * page, page, PROT_READ | PROT_WRITE));
	moved = mremap(map, 8 * page, 16 * page, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, moved);
	ASSERT_EQ(0, munmap(moved + 2 * page, 2 * page));
	ASSERT_EQ(0, region_info(fd, &info));
	EXPECT_LE(1, info.mappings);
	ASSERT_EQ(0, munmap(moved, 16 * page));
	ASSERT_EQ(0, region_info(fd, &info));
	EXPECT_EQ(0, info.mappings);

	/* Two neighbours that could be one. */
	map = mmap(NULL, 8 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(MAP_FAILED, mmap(map, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0));
	ASSERT_NE(MAP_FAILED, mmap(map + page, page, PROT_READ,
				   MAP_SHARED | MAP_FIXED, fd, page));
	ASSERT_EQ(0, region_info(fd, &info));
	EXPECT_LE(1, info.mappings);
	ASSERT_EQ(0, munmap(map, 8 * page));
	ASSERT_EQ(0, region_info(fd, &info));
	EXPECT_EQ(0, info.mappings);
	close(fd);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

static void expect_no_map(struct __test_metadata *_metadata, int fd,
			  size_t length, off_t offset, bool overflow)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, length, PROT_READ, MAP_SHARED, fd, offset))
		TH_LOG("%#zx at %#jx", length, (intmax_t)offset);
	/* Where the sum overflows, the kernel's core may be first to see it. */
	EXPECT_TRUE(errno == EINVAL ||
		    (overflow && (errno == EOVERFLOW || errno == ENOMEM)))
		TH_LOG("%#zx at %#jx: errno %d", length, (intmax_t)offset, errno);
}

static void check_node_ranges(struct __test_metadata *_metadata,
			      const char *path)
{
	off_t page = page_size(), size, rounded;
	void *map;
	int fd;

	fd = open(path, O_RDWR);
	ASSERT_LE(0, fd);
	size = lseek(fd, 0, SEEK_END);
	rounded = (size + page - 1) / page * page;
	map = region_map(fd, rounded);
	EXPECT_NE(MAP_FAILED, map);
	munmap(map, rounded);
	map = region_map(fd, size);
	EXPECT_NE(MAP_FAILED, map);
	munmap(map, rounded);
	map = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, rounded - page);
	EXPECT_NE(MAP_FAILED, map);
	munmap(map, page);

	expect_no_map(_metadata, fd, 0, 0, false);
	expect_no_map(_metadata, fd, rounded + 1, 0, false);
	expect_no_map(_metadata, fd, rounded + page, 0, false);
	expect_no_map(_metadata, fd, page, rounded, false);
	expect_no_map(_metadata, fd, 2 * page, rounded - page, false);
	expect_no_map(_metadata, fd, page, 1, false);
	expect_no_map(_metadata, fd, page, 1LL << 40, false);
	expect_no_map(_metadata, fd, page, LLONG_MAX - page + 1, true);
	expect_no_map(_metadata, fd, 2 * page, -page, true);
	expect_no_map(_metadata, fd, page, -page, true);
	expect_no_map(_metadata, fd, SIZE_MAX - page + 1, page, true);
	close(fd);
}

TEST_F(uapi, mmap_ranges_of_nodes)
{
	struct dirent *entry;
	char path[512];
	DIR *dir;

	check_node_ranges(_metadata, CONTROL_NODE);
	dir = opendir(NODE_DIR);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), NODE_DIR "/%s", entry->d_name);
		check_node_ranges(_metadata, path);
	}
	if (dir)
		closedir(dir);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

TEST_F(uapi, mmap_ranges_of_files)
{
	size_t page = page_size();
	unsigned char *map;

	/* 5000 bytes are two pages; what comes after is room to grow into. */
	map = region_map(self->named, 8 * page);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, probe_load(map));
	EXPECT_EQ(0, probe_load(map + 5000));
	EXPECT_EQ(0, probe_load(map + 2 * page - 1));
	EXPECT_EQ(-SIGBUS, probe_load(map + 2 * page));
	EXPECT_EQ(-SIGBUS, probe_store(map + 8 * page - 1, 1));
	munmap(map, 8 * page);
	map = mmap(NULL, page, PROT_READ, MAP_SHARED, self->named, 1LL << 40);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-SIGBUS, probe_load(map));
	munmap(map, page);

	expect_no_map(_metadata, self->named, 0, 0, false);
	expect_no_map(_metadata, self->named, page, 1, false);
	/* 32-bit programs have no way to ask for an offset that large. */
	if (sizeof(long) == 8) {
		expect_no_map(_metadata, self->named, page, -page, true);
		expect_no_map(_metadata, self->named, 2 * page, -page, true);
	}
	expect_no_map(_metadata, self->named, SIZE_MAX - page + 1, page, true);
	EXPECT_TRUE(snapshot_same(self->ctl, &self->snap));
}

/* Limits as an ordinary user meets them; root is exempt. */
FIXTURE(limits) {
	int ctl;
	struct stats stats;
	char max_user[64];
	char max_total[64];
};

FIXTURE_SETUP(limits)
{
	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "%s: %s", CONTROL_NODE, strerror(errno));
	if (param_read("max_user", self->max_user, sizeof(self->max_user)) ||
	    param_read("max_total", self->max_total, sizeof(self->max_total)))
		SKIP(return, "no module parameters to read");
	if (stats_read(&self->stats))
		SKIP(return, "no " STATS_FILE);
	if (param_write("max_user", "1M"))
		SKIP(return, "max_user cannot be set: %s", strerror(errno));
}

FIXTURE_TEARDOWN(limits)
{
	if (self->max_total[0]) {
		param_write("max_user", self->max_user);
		param_write("max_total", self->max_total);
	}
	close(self->ctl);
}

TEST_F(limits, user)
{
	struct stats before, now;
	pid_t pid;
	int fd;

	pid = spawn();
	if (!pid) {
		become_user(NOBODY);
		/* Of single pages: a large folio is given back as a whole. */
		fd = region_create(self->ctl, FRESH, MIB, 0600,
				   SHM_KERNEL_CREATE_SMALL);
		CHILD_CHECK(fd >= 0);
		CHILD_CHECK(region_create(self->ctl, NULL, 1, 0600, 0) == -1);
		CHILD_CHECK(errno == ENOSPC);
		CHILD_CHECK(ftruncate(fd, MIB + 1) == -1);
		CHILD_CHECK(errno == ENOSPC);
		CHILD_CHECK(region_size(fd) == MIB);
		/* Nothing needs no room. */
		CHILD_CHECK(close(region_create(self->ctl, NULL, 0, 0600, 0)) == 0);
		/* What is given back can be had again. */
		CHILD_CHECK(!ftruncate(fd, MIB / 2));
		CHILD_CHECK(close(region_create(self->ctl, NULL, MIB / 2, 0600, 0)) == 0);
		CHILD_CHECK(!ftruncate(fd, MIB));
		close(fd);
		CHILD_CHECK(region_create(self->ctl, NULL, MIB + 1, 0600, 0) == -1);
		CHILD_CHECK(errno == ENOSPC);
		CHILD_CHECK(region_create(self->ctl, NULL, 1ULL << 46, 0600, 0) == -1);
		CHILD_CHECK(errno == ENOSPC || errno == ENOMEM);
		CHILD_CHECK(region_create(self->ctl, NULL, MIB + 1, 0600,
					  SHM_KERNEL_CREATE_CONTIG) == -1);
		CHILD_CHECK(errno == ENOSPC);
		fd = region_create(self->ctl, NULL, MIB, 0600,
				   SHM_KERNEL_CREATE_SMALL);
		CHILD_CHECK(fd >= 0);
		CHILD_CHECK(ftruncate(fd, LLONG_MAX) == -1);
		CHILD_CHECK(region_size(fd) == MIB);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_TRUE(stats_return_to(&self->stats));

	/* Another user has a share of its own, root has no limit. */
	pid = spawn();
	if (!pid) {
		become_user(NOBODY);
		CHILD_CHECK(region_create(self->ctl, FRESH, MIB, 0600,
					  SHM_KERNEL_CREATE_PERSIST) >= 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	stats_read(&before);
	EXPECT_EQ(self->stats.users + 1, before.users);
	pid = spawn();
	if (!pid) {
		become_user(SOMEBODY);
		CHILD_CHECK(region_create(self->ctl, "kst-other", MIB, 0600,
					  SHM_KERNEL_CREATE_PERSIST) >= 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	stats_read(&now);
	EXPECT_EQ(before.users + 1, now.users);
	EXPECT_EQ(0, region_remove(self->ctl, "kst-other"));
	fd = region_create(self->ctl, NULL, 2 * MIB, 0600, 0);
	EXPECT_LE(0, fd);
	close(fd);

	/* The share is the creator's, whoever owns the region now. */
	fd = region_open(self->ctl, FRESH, O_RDWR);
	EXPECT_EQ(0, fchown(fd, 0, 0));
	close(fd);
	pid = spawn();
	if (!pid) {
		become_user(NOBODY);
		CHILD_CHECK(region_create(self->ctl, NULL, 1, 0600, 0) == -1);
		CHILD_CHECK(errno == ENOSPC);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_EQ(0, region_remove(self->ctl, FRESH));
	EXPECT_TRUE(stats_return_to(&self->stats));
}

TEST_F(limits, total)
{
	char value[32];
	pid_t pid;
	int fd;

	snprintf(value, sizeof(value), "%lu",
		 self->stats.pages * page_size() + MIB);
	ASSERT_EQ(0, param_write("max_total", value));
	ASSERT_EQ(0, param_write("max_user", "16M"));
	pid = spawn();
	if (!pid) {
		become_user(NOBODY);
		CHILD_CHECK(region_create(self->ctl, NULL, 2 * MIB, 0600, 0) == -1);
		CHILD_CHECK(errno == ENOSPC);
		fd = region_create(self->ctl, FRESH, MIB, 0600, 0);
		CHILD_CHECK(fd >= 0);
		CHILD_CHECK(ftruncate(fd, MIB + 1) == -1);
		CHILD_CHECK(errno == ENOSPC);
		CHILD_CHECK(region_size(fd) == MIB);
		CHILD_CHECK(region_create(self->ctl, NULL, 1, 0600, 0) == -1);
		CHILD_CHECK(errno == ENOSPC);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
	EXPECT_TRUE(stats_return_to(&self->stats));
	fd = region_create(self->ctl, NULL, 2 * MIB, 0600, 0);
	EXPECT_LE(0, fd);
	close(fd);
	EXPECT_TRUE(stats_return_to(&self->stats));
}

TEST_F(limits, refused_values)
{
	static const char * const bad[] = { "", "x", "-1", "1Q", "1 1" };
	char now[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* An empty write does not reach the driver. */
		if (!bad[i][0])
			continue;
		EXPECT_EQ(-1, param_write("max_user", bad[i])) TH_LOG("'%s'", bad[i]);
		EXPECT_EQ(EINVAL, errno);
	}
	ASSERT_EQ(0, param_read("max_user", now, sizeof(now)));
	EXPECT_EQ(MIB, strtoul(now, NULL, 0) * (strchr(now, 'M') ? MIB : 1));
}

TEST_HARNESS_MAIN
