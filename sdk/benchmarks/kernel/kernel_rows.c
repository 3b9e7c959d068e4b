// SPDX-License-Identifier: BSL-1.0
/*
 * kernel_rows: what the system calls and faults of shared memory cost, for
 * regions and for their peers, call by call.
 *
 * It is meant for QEMU with -icount shift=0, where the time stamp counter
 * counts instructions, of the kernel and of this program. Elsewhere it counts
 * something else, but all of it runs.
 *
 * Every line of output is one of
 *
 *	row NAME PEER MIN MEDIAN P90 MAX CALLS
 *	none NAME PEER REASON...
 *
 * in counts for one call, the empty measurement already subtracted. What is
 * measured in loops, because it is too short to be measured alone, has
 * decimals.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/shm_kernel.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rows.h"

#define KIB		1024UL
#define MIB		(1024 * KIB)
#define PAGE		4096UL
#define HUGE		(2 * MIB)
#define REGION_SIZE	(16 * MIB)

#define CONTROL		"/dev/shm_kernel_driver"
#define SHM_NAME	"/kernel_rows"
#define REGION_NAME	"kernel_rows"
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

uint64_t empty_count;
uint64_t row_values[MAX_CALLS];
static const char *only_row;

/* Without rep movsb, which counts one instruction for each byte. */
static char *user_buffer;

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t net(uint64_t value, uint64_t nothing)
{
	return value > nothing ? value - nothing : 0;
}

static void sort_values(int calls)
{
	qsort(row_values, calls, sizeof(row_values[0]), by_value);
}

void report(const char *row, const char *peer, int calls)
{
	sort_values(calls);
	printf("row %s %s %lu %lu %lu %lu %d\n", row, peer,
	       net(row_values[0], empty_count), net(row_values[calls / 2], empty_count),
	       net(row_values[calls * 9 / 10], empty_count),
	       net(row_values[calls - 1], empty_count), calls);
	fflush(stdout);
}

void report_loops(const char *row, const char *peer, int loops, int times,
		  uint64_t nothing)
{
	double one = times;

	sort_values(loops);
	printf("row %s %s %.2f %.2f %.2f %.2f %d\n", row, peer,
	       net(row_values[0], nothing) / one,
	       net(row_values[loops / 2], nothing) / one,
	       net(row_values[loops * 9 / 10], nothing) / one,
	       net(row_values[loops - 1], nothing) / one, loops * times);
	fflush(stdout);
}

uint64_t median_of(int calls)
{
	sort_values(calls);
	return row_values[calls / 2];
}

void none(const char *row, const char *peer, const char *reason)
{
	printf("none %s %s %s\n", row, peer, reason);
	fflush(stdout);
}

bool wanted(const char *row)
{
	return !only_row || strncmp(row, only_row, strlen(only_row)) == 0;
}

static void set_shmem_huge(const char *value)
{
	int fd = open(SHMEM_ENABLED, O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		printf("# %s: %s\n", SHMEM_ENABLED, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int control_fd = -1;

static int create_region(int control, size_t size, uint32_t flags, const char *name)
{
	struct shm_kernel_create args = {
		.size = sizeof(args),
		.flags = flags,
		.length = size,
		.mode = 0600,
		.name = (uintptr_t)name,
		.name_len = name ? strlen(name) : 0,
	};

	return ioctl(control, SHM_KERNEL_IOC_CREATE, &args);
}

/* As a program does that makes one region: it has to open the device first. */
static int region_create_flags(size_t size, uint32_t flags)
{
	int control = open(CONTROL, O_RDWR | O_CLOEXEC);
	int fd;

	if (control < 0)
		return -1;
	fd = create_region(control, size, flags, NULL);
	close(control);
	return fd;
}

static int region_create(size_t size)
{
	return region_create_flags(size, 0);
}

static int region_small_create(size_t size)
{
	return region_create_flags(size, SHM_KERNEL_CREATE_SMALL);
}

static int kept_create(size_t size)
{
	return create_region(control_fd, size, 0, NULL);
}

static int memfd_create_flags(size_t size, unsigned int flags)
{
	int fd = memfd_create("kernel_rows", MFD_CLOEXEC | flags);

	if (fd >= 0 && ftruncate(fd, size) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int memfd_peer_create(size_t size)
{
	return memfd_create_flags(size, 0);
}

static int hugetlb_create(size_t size)
{
	return memfd_create_flags((size + HUGE - 1) & ~(HUGE - 1), MFD_HUGETLB);
}

static int shm_create(size_t size)
{
	int fd = shm_open(SHM_NAME, O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd >= 0 && ftruncate(fd, size) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int dma_heap_create(size_t size)
{
	struct dma_heap_allocation_data args = {
		.len = size,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};
	int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);
	int rc;

	if (heap < 0)
		return -1;
	rc = ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &args);
	close(heap);
	return rc < 0 ? -1 : (int)args.fd;
}

/* The node's memory exists already: it can be opened, not created. */
static int node_open(size_t size)
{
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC);

	if (fd >= 0 && lseek(fd, 0, SEEK_END) < (off_t)size) {
		close(fd);
		errno = ENOSPC;
		return -1;
	}
	return fd;
}

static bool shm_destroy(int fd)
{
	return close(fd) == 0 && shm_unlink(SHM_NAME) == 0;
}

struct peer {
	const char *name;
	int (*create)(size_t size);
	/* If closing is not all. */
	bool (*destroy)(int fd);
	const char *no_read;
	const char *no_write;
	bool huge_shmem;
	/* Touches cost millions: fewer of them. */
	bool slow;
	/* What a mapping is rounded up to, less one. */
	size_t granule;
};

static const struct peer peers[] = {
	{ .name = "region", .create = region_create },
	{ .name = "region_small", .create = region_small_create, .slow = true },
	/* A program that keeps the device open; else the same as the first. */
	{ .name = "region_kept", .create = kept_create },
	{ .name = "node", .create = node_open },
	{ .name = "memfd", .create = memfd_peer_create, .slow = true },
	{ .name = "memfd_thp", .create = memfd_peer_create, .huge_shmem = true },
	{ .name = "hugetlb", .create = hugetlb_create, .granule = HUGE - 1,
	  .no_write = "hugetlbfs has none" },
	{ .name = "shm", .create = shm_create, .destroy = shm_destroy, .slow = true },
	{ .name = "dma_heap", .create = dma_heap_create,
	  .no_read = "a dma-buf has none", .no_write = "a dma-buf has none" },
};

static bool destroy(const struct peer *p, int fd)
{
	return p->destroy ? p->destroy(fd) : close(fd) == 0;
}

static char *map(int fd, size_t size, int flags)
{
	char *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);

	return address == MAP_FAILED ? NULL : address;
}

static bool touch_write(char *address, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		*(volatile char *)(address + at) = 1;
	return true;
}

static bool touch_read(char *address, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		*(volatile char *)(address + at);
	return true;
}

static bool store_all(char *address, size_t size)
{
	for (size_t at = 0; at < size; at += sizeof(uint64_t))
		*(volatile uint64_t *)(address + at) = at;
	return true;
}

static bool load_all(char *address, size_t size)
{
	for (size_t at = 0; at < size; at += sizeof(uint64_t))
		*(volatile uint64_t *)(address + at);
	return true;
}

enum touch { TOUCH_NONE, TOUCH_READ, TOUCH_WRITE, TOUCH_POPULATE };

static bool attach(const struct peer *p, int fd, size_t size, enum touch how)
{
	size_t mapped = (size + p->granule) & ~p->granule;
	char *address = map(fd, mapped, how == TOUCH_POPULATE ? MAP_POPULATE : 0);

	if (!address)
		return false;
	if (how == TOUCH_WRITE)
		touch_write(address, size);
	else if (how == TOUCH_READ)
		touch_read(address, size);
	return munmap(address, mapped) == 0;
}

static bool create_attach_destroy(const struct peer *p, size_t size, enum touch how)
{
	int fd = p->create(size);

	if (fd < 0)
		return false;
	if (how != TOUCH_NONE && !attach(p, fd, size, how))
		return false;
	return destroy(p, fd);
}

static bool open_close(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd >= 0 && close(fd) == 0;
}

static bool shm_open_close(void)
{
	int fd = shm_open(SHM_NAME, O_RDWR, 0);

	return fd >= 0 && close(fd) == 0;
}

static bool region_open_close(int control)
{
	struct shm_kernel_open args = {
		.size = sizeof(args),
		.flags = O_RDWR,
		.name = (uintptr_t)REGION_NAME,
		.name_len = sizeof(REGION_NAME) - 1,
	};
	int fd = ioctl(control, SHM_KERNEL_IOC_OPEN, &args);

	return fd >= 0 && close(fd) == 0;
}

/* As a program does that opens one region. */
static bool region_open_close_all(void)
{
	int control = open(CONTROL, O_RDWR | O_CLOEXEC);
	bool good;

	if (control < 0)
		return false;
	good = region_open_close(control);
	return close(control) == 0 && good;
}

static void read_write_rows(const struct peer *p, int fd)
{
	static const struct {
		size_t size;
		const char *read, *write;
	} sizes[] = {
		{ 8, "pread_8", "pwrite_8" },
		{ 4 * KIB, "pread_4k", "pwrite_4k" },
		{ 64 * KIB, "pread_64k", "pwrite_64k" },
		{ MIB, "pread_1m", "pwrite_1m" },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i].size;
		int calls = size > 64 * KIB ? 50 : MAX_CALLS;

		if (p->no_read)
			none(sizes[i].read, p->name, p->no_read);
		else
			MEASURE(sizes[i].read, p->name, calls,
				pread(fd, user_buffer, size, 0) == (ssize_t)size);
		if (p->no_write)
			none(sizes[i].write, p->name, p->no_write);
		else
			MEASURE(sizes[i].write, p->name, calls,
				pwrite(fd, user_buffer, size, 0) == (ssize_t)size);
	}
}

static void map_rows(const struct peer *p, int fd)
{
	int calls = p->slow ? 11 : 50;
	char *address;

	MEASURE("mmap_munmap_16m", p->name, MAX_CALLS,
		attach(p, fd, REGION_SIZE, TOUCH_NONE));
	MEASURE("attach_write_16m", p->name, calls,
		attach(p, fd, REGION_SIZE, TOUCH_WRITE));
	MEASURE("attach_read_16m", p->name, calls,
		attach(p, fd, REGION_SIZE, TOUCH_READ));
	MEASURE("attach_populate_16m", p->name, calls,
		attach(p, fd, REGION_SIZE, TOUCH_POPULATE));

	address = map(fd, REGION_SIZE, 0);
	if (!address) {
		none("fault_write", p->name, strerror(errno));
		return;
	}
	/* The page table stays, so what is counted is one fault and no more. */
	MEASURE_WITH("fault_write", p->name, 100,
		     madvise(address, HUGE, MADV_DONTNEED),
		     touch_write(address + PAGE, 1), (void)0);
	MEASURE_WITH("fault_read", p->name, 100,
		     madvise(address, HUGE, MADV_DONTNEED),
		     touch_read(address + PAGE, 1), (void)0);
	touch_write(address, MIB);
	MEASURE("store_mapped_1m", p->name, 20, store_all(address, MIB));
	MEASURE("load_mapped_1m", p->name, 20, load_all(address, MIB));
	munmap(address, REGION_SIZE);
}

static void create_rows(const struct peer *p)
{
	int calls = p->slow ? 11 : 50;

	MEASURE("create_touch_destroy_64k", p->name, 100,
		create_attach_destroy(p, 64 * KIB, TOUCH_WRITE));
	MEASURE("create_populate_destroy_64k", p->name, 100,
		create_attach_destroy(p, 64 * KIB, TOUCH_POPULATE));
	MEASURE("create_touch_destroy_1m", p->name, calls,
		create_attach_destroy(p, MIB, TOUCH_WRITE));
	MEASURE("create_populate_destroy_1m", p->name, calls,
		create_attach_destroy(p, MIB, TOUCH_POPULATE));
	calls = p->slow ? 7 : 15;
	MEASURE("create_touch_destroy_16m", p->name, calls,
		create_attach_destroy(p, 16 * MIB, TOUCH_WRITE));
	MEASURE("create_populate_destroy_16m", p->name, calls,
		create_attach_destroy(p, 16 * MIB, TOUCH_POPULATE));
	MEASURE("create_destroy_64k", p->name, 100,
		create_attach_destroy(p, 64 * KIB, TOUCH_NONE));
	MEASURE("create_destroy_1m", p->name, 50,
		create_attach_destroy(p, MIB, TOUCH_NONE));
	MEASURE("create_destroy_16m", p->name, calls,
		create_attach_destroy(p, 16 * MIB, TOUCH_NONE));
}

static void peer_rows(const struct peer *p)
{
	char *address;
	int fd;

	if (p->huge_shmem)
		set_shmem_huge("always");

	/*
	 * Creating comes first: on a machine that has just booted all peers
	 * find the same free memory.
	 */
	if (p->create != node_open)
		create_rows(p);
	if (p->create == kept_create)
		return;

	fd = p->create(REGION_SIZE);
	if (fd < 0) {
		none("all", p->name, strerror(errno));
		return;
	}
	/* An existing region: every page of it has been there for a while. */
	address = map(fd, REGION_SIZE, 0);
	if (!address) {
		none("all", p->name, strerror(errno));
		destroy(p, fd);
		return;
	}
	touch_write(address, REGION_SIZE);
	munmap(address, REGION_SIZE);

	read_write_rows(p, fd);
	map_rows(p, fd);
	destroy(p, fd);
	if (p->huge_shmem)
		set_shmem_huge("never");
}

static void open_rows(void)
{
	int fd;

	fd = shm_create(MIB);
	if (fd >= 0) {
		MEASURE("open_close", "shm", MAX_CALLS, shm_open_close());
		shm_destroy(fd);
	}
	fd = memfd_peer_create(MIB);
	if (fd >= 0) {
		char path[32];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		MEASURE("open_close", "memfd", MAX_CALLS, open_close(path));
		close(fd);
	}
	MEASURE("open_close", "node", MAX_CALLS, open_close(CONTROL));
	fd = create_region(control_fd, MIB, 0, REGION_NAME);
	if (fd < 0) {
		none("open_close", "region", strerror(errno));
		return;
	}
	MEASURE("open_close", "region", MAX_CALLS, region_open_close(control_fd));
	MEASURE("open_close_with_control", "region", MAX_CALLS, region_open_close_all());
	close(fd);
}

/* What the work would cost if it were nothing but the copy or the zeroing. */
static void floor_rows(void)
{
	static const struct {
		size_t size;
		const char *copy, *zero;
	} sizes[] = {
		{ 4 * KIB, "copy_4k", "zero_4k" },
		{ 64 * KIB, "copy_64k", "zero_64k" },
		{ MIB, "copy_1m", "zero_1m" },
		{ 16 * MIB, NULL, "zero_16m" },
	};
	char *memory = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		return;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i].size;

		if (sizes[i].copy)
			MEASURE(sizes[i].copy, "floor", 20, ({
				void *to = memory, *from = user_buffer;
				size_t words = size / 8;

				__asm__ volatile("rep movsq"
						 : "+D"(to), "+S"(from), "+c"(words)
						 : : "memory");
				true;
			}));
		MEASURE(sizes[i].zero, "floor", 20, ({
			void *to = memory;
			size_t words = size / 8;

			__asm__ volatile("rep stosq"
					 : "+D"(to), "+c"(words)
					 : "a"(0UL)
					 : "memory");
			true;
		}));
	}
	munmap(memory, REGION_SIZE);
	MEASURE("getppid", "floor", MAX_CALLS, getppid() >= 0);
}

/*
 * What mmap() costs depends on what else is mapped, so every peer is measured
 * in a process of its own, which has nothing from the others.
 */
static bool in_own_process(const char *part)
{
	char *words[] = {
		"kernel_rows", "--part", (char *)part,
		only_row ? "--row" : NULL, (char *)only_row, NULL,
	};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execv("/proc/self/exe", words);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void measure_empty(void)
{
	for (int i = 0; i < MAX_CALLS; i++) {
		uint64_t start = now();
		bool good = true;
		uint64_t end = now();

		row_values[i] = good ? end - start : 0;
	}
	empty_count = median_of(MAX_CALLS);
}

static bool measure_part(const char *part)
{
	control_fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	user_buffer = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (user_buffer == MAP_FAILED) {
		perror("kernel_rows: mmap");
		return false;
	}
	memset(user_buffer, 0x5a, MIB);
	/*
	 * Where the next mapping goes must depend on nothing else: it goes below
	 * this one, far from any page table in use, and because of the odd page
	 * not to a multiple of 2 MiB by chance, as it hardly ever does.
	 */
	if (mmap(NULL, 64 * MIB + PAGE, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED) {
		perror("kernel_rows: mmap");
		return false;
	}
	measure_empty();

	if (strcmp(part, "floor") == 0) {
		floor_rows();
		return true;
	}
	if (strcmp(part, "open") == 0) {
		open_rows();
		return true;
	}
	if (strcmp(part, "doorbell") == 0) {
		doorbell_rows(control_fd);
		return true;
	}
	if (strcmp(part, "record") == 0) {
		record_rows();
		return true;
	}
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		if (strcmp(part, peers[i].name) != 0)
			continue;
		peer_rows(&peers[i]);
		return true;
	}
	fprintf(stderr, "kernel_rows: there is no part %s\n", part);
	return false;
}

int main(int argc, char **argv)
{
	const char *part = NULL;
	bool good;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--part") == 0 && i + 1 < argc) {
			part = argv[++i];
		} else if (strcmp(argv[i], "--row") == 0 && i + 1 < argc) {
			only_row = argv[++i];
		} else {
			fprintf(stderr,
				"usage: kernel_rows [--part floor|open|doorbell|record|PEER] [--row PREFIX]\n");
			return 2;
		}
	}
	if (part)
		return measure_part(part) ? 0 : 1;

	shm_unlink(SHM_NAME);
	set_shmem_huge("never");
	good = in_own_process("floor");
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
		good = in_own_process(peers[i].name) && good;
	good = in_own_process("open") && good;
	good = in_own_process("doorbell") && good;
	good = in_own_process("record") && good;
	return good ? 0 : 1;
}
