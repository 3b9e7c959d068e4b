/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of shm_kernel share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef __SHM_KERNEL_UTIL_H
#define __SHM_KERNEL_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/io_uring.h>
#include <linux/shm_kernel.h>

#define CONTROL_NODE	"/dev/shm_kernel_driver"
#define NODE_DIR	"/dev/shm_kernel"
#define STATS_FILE	"/sys/kernel/debug/shm_kernel/stats"
#define PARAM_DIR	"/sys/module/shm_kernel_driver/parameters/"

#define KIB		1024UL
#define MIB		(1024UL * KIB)

/* The unprivileged user, and another one. */
#define NOBODY		65534
#define SOMEBODY	65533

static inline size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static inline int control_open(void)
{
	return open(CONTROL_NODE, O_RDWR | O_CLOEXEC);
}

static inline int region_create(int ctl, const char *name, __u64 length,
				__u32 mode, __u32 flags)
{
	struct shm_kernel_create arg = {
		.size = sizeof(arg),
		.flags = flags,
		.length = length,
		.name = (uintptr_t)name,
		.name_len = name ? strlen(name) : 0,
		.mode = mode,
	};

	return ioctl(ctl, SHM_KERNEL_IOC_CREATE, &arg);
}

static inline int region_open(int ctl, const char *name, int flags)
{
	struct shm_kernel_open arg = {
		.size = sizeof(arg),
		.flags = flags,
		.name = (uintptr_t)name,
		.name_len = strlen(name),
	};

	return ioctl(ctl, SHM_KERNEL_IOC_OPEN, &arg);
}

static inline int region_name(int fd, unsigned long cmd, const char *name)
{
	struct shm_kernel_name arg = {
		.size = sizeof(arg),
		.name = (uintptr_t)name,
		.name_len = strlen(name),
	};

	return ioctl(fd, cmd, &arg);
}

static inline int region_remove(int ctl, const char *name)
{
	return region_name(ctl, SHM_KERNEL_IOC_REMOVE, name);
}

static inline int region_bind(int fd, const char *name)
{
	return region_name(fd, SHM_KERNEL_IOC_BIND, name);
}

static inline int region_simple(int fd, unsigned long cmd)
{
	struct shm_kernel_simple arg = { .size = sizeof(arg) };

	return ioctl(fd, cmd, &arg);
}

static inline int region_clear(int fd)
{
	return region_simple(fd, SHM_KERNEL_IOC_CLEAR);
}

static inline int region_reset(int fd)
{
	return region_simple(fd, SHM_KERNEL_IOC_RESET);
}

static inline int region_revoke(int fd)
{
	return region_simple(fd, SHM_KERNEL_IOC_REVOKE);
}

static inline int region_add_seals(int fd, __u32 seals)
{
	struct shm_kernel_seals arg = { .size = sizeof(arg), .seals = seals };

	return ioctl(fd, SHM_KERNEL_IOC_ADD_SEALS, &arg);
}

/* Gives back an event file. */
static inline int region_subscribe(int fd, __u32 flags)
{
	struct shm_kernel_subscribe arg = { .size = sizeof(arg), .flags = flags };

	return ioctl(fd, SHM_KERNEL_IOC_SUBSCRIBE, &arg);
}

static inline int region_info(int fd, struct shm_kernel_info *info)
{
	memset(info, 0xcc, sizeof(*info));
	info->size = sizeof(*info);
	return ioctl(fd, SHM_KERNEL_IOC_GET_INFO, info);
}

static inline off_t region_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

static inline void *region_map(int fd, size_t length)
{
	return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

/* The driver's live objects; all ones where debugfs is not to be had. */
struct stats {
	long regions;
	long files;
	long pages;
	long users;
	long peers;
	long maps;
};

static inline int stats_read(struct stats *stats)
{
	char line[128];
	FILE *file;

	memset(stats, 0xff, sizeof(*stats));
	file = fopen(STATS_FILE, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "regions %ld", &stats->regions) == 1 ||
		    sscanf(line, "files %ld", &stats->files) == 1 ||
		    sscanf(line, "pages %ld", &stats->pages) == 1 ||
		    sscanf(line, "users %ld", &stats->users) == 1 ||
		    sscanf(line, "peers %ld", &stats->peers) == 1 ||
		    sscanf(line, "maps %ld", &stats->maps) == 1)
			continue;
	}
	fclose(file);
	return 0;
}

static inline void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static inline long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* The last reference may be dropped by a task that is just exiting. */
static inline bool stats_return_to(const struct stats *want)
{
	struct stats now;
	int i;

	for (i = 0; i < 200; i++) {
		stats_read(&now);
		if (!memcmp(&now, want, sizeof(now)))
			return true;
		sleep_ms(10);
	}
	fprintf(stderr,
		"# left behind: regions %ld files %ld pages %ld users %ld peers %ld maps %ld\n",
		now.regions - want->regions, now.files - want->files,
		now.pages - want->pages, now.users - want->users,
		now.peers - want->peers, now.maps - want->maps);
	return false;
}

/* Waits for the last user of @name to have gone; gives back the last errno. */
static inline int name_gone(int ctl, const char *name)
{
	int i, fd;

	for (i = 0; i < 200; i++) {
		fd = region_open(ctl, name, O_RDONLY);
		if (fd < 0)
			return errno;
		close(fd);
		sleep_ms(10);
	}
	return 0;
}

static inline int param_read(const char *name, char *value, size_t size)
{
	char path[128];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), PARAM_DIR "%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	len = read(fd, value, size - 1);
	close(fd);
	if (len < 0)
		return -1;
	while (len && value[len - 1] == '\n')
		len--;
	value[len] = 0;
	return 0;
}

static inline int param_write(const char *name, const char *value)
{
	char path[128];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), PARAM_DIR "%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	len = write(fd, value, strlen(value));
	close(fd);
	return len < 0 ? -1 : 0;
}

/* Content that tells a byte's offset, and is zero nowhere. */
static inline unsigned char pattern_at(size_t offset, unsigned int seed)
{
	return 1 + (offset * 7 + (offset >> 8) * 31 + (offset >> 12) * 101 +
		    seed * 53) % 255;
}

static inline void pattern_fill(void *buf, size_t offset, size_t len,
				unsigned int seed)
{
	unsigned char *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = pattern_at(offset + i, seed);
}

/* Gives back the first offset that differs, or -1. */
static inline ssize_t pattern_check(const void *buf, size_t offset, size_t len,
				    unsigned int seed)
{
	const unsigned char *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != pattern_at(offset + i, seed))
			return offset + i;
	return -1;
}

static inline ssize_t zero_check(const void *buf, size_t len)
{
	const unsigned char *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i])
			return i;
	return -1;
}

/*
 * A child of a test does not outlive it, whatever happens. It reports by its
 * exit status: CHILD_CHECK() where it is wrong, _exit(0) where all is well.
 */
static inline pid_t spawn(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static inline void child_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "# %s:%d: in a child: %s (errno %d, %s)\n", file, line,
		what, errno, strerror(errno));
	_exit(1);
}

#define CHILD_CHECK(cond) do {						\
	if (!(cond))							\
		child_failed(__FILE__, __LINE__, #cond);		\
} while (0)

/* Gives back the exit status, or minus the number of the signal it died of. */
static inline int child_result(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1000;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int child_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	return child_result(pid);
}

/* Becomes an ordinary user for good: no capabilities, no groups. */
static inline void become_user(uid_t uid)
{
	CHILD_CHECK(!setgroups(0, NULL));
	CHILD_CHECK(!setresgid(uid, uid, uid));
	CHILD_CHECK(!setresuid(uid, uid, uid));
	/* A change of credentials takes both away. */
	CHILD_CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL));
	CHILD_CHECK(!prctl(PR_SET_DUMPABLE, 1));
}

/* Waits for the task to sleep, so that what wakes it is really needed. */
static inline void wait_asleep(pid_t pid)
{
	char path[64], buf[256], *state;
	ssize_t len;
	int i, fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (i = 0; i < 500; i++) {
		sleep_ms(5);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		len = read(fd, buf, sizeof(buf) - 1);
		close(fd);
		if (len <= 0)
			return;
		buf[len] = 0;
		state = strrchr(buf, ')');
		if (state && state[1] == ' ' && state[2] == 'S')
			return;
	}
}

static sigjmp_buf probe_env;

static inline void probe_handler(int sig)
{
	siglongjmp(probe_env, sig);
}

/*
 * Touches one byte: loads it for @value -1, otherwise stores @value. Gives
 * back the byte, or minus the signal that came instead.
 */
static inline int probe(unsigned char *addr, int value)
{
	struct sigaction sa = { .sa_handler = probe_handler };
	struct sigaction old_bus, old_segv;
	int sig;

	sigaction(SIGBUS, &sa, &old_bus);
	sigaction(SIGSEGV, &sa, &old_segv);
	sig = sigsetjmp(probe_env, 1);
	if (!sig) {
		if (value < 0)
			value = __atomic_load_n(addr, __ATOMIC_SEQ_CST);
		else
			__atomic_store_n(addr, value, __ATOMIC_SEQ_CST);
	}
	sigaction(SIGBUS, &old_bus, NULL);
	sigaction(SIGSEGV, &old_segv, NULL);
	return sig ? -sig : value;
}

static inline int probe_load(const void *addr)
{
	return probe((unsigned char *)addr, -1);
}

static inline int probe_store(void *addr, unsigned char value)
{
	return probe(addr, value);
}

/* A region's line of /proc/self/maps or a field of its smaps, by address. */
static inline bool maps_line(const void *addr, char *line, int size)
{
	unsigned long start, end;
	bool found = false;
	FILE *file;

	file = fopen("/proc/self/maps", "re");
	if (!file)
		return false;
	while (!found && fgets(line, size, file))
		found = sscanf(line, "%lx-%lx ", &start, &end) == 2 &&
			start <= (uintptr_t)addr && (uintptr_t)addr < end;
	fclose(file);
	return found;
}

static inline long smaps_kib(const void *addr, const char *field)
{
	unsigned long start, end;
	bool inside = false;
	char line[512];
	long value = -1;
	FILE *file;

	file = fopen("/proc/self/smaps", "re");
	if (!file)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start <= (uintptr_t)addr &&
				 (uintptr_t)addr < end;
		else if (inside && !strncmp(line, field, strlen(field)))
			value = strtol(line + strlen(field) + 1, NULL, 10);
	}
	fclose(file);
	return value;
}

/* An io_uring of one entry, by hand: no library is needed for that. */
struct ring {
	int fd;
	size_t size;
	struct io_uring_params params;
	char *rings;
	struct io_uring_sqe *sqes;
};

static inline int ring_open(struct ring *ring)
{
	memset(ring, 0, sizeof(*ring));
	ring->fd = syscall(__NR_io_uring_setup, 1, &ring->params);
	if (ring->fd < 0)
		return -1;
	ring->size = ring->params.cq_off.cqes +
		     ring->params.cq_entries * sizeof(struct io_uring_cqe);
	if (ring->size < ring->params.sq_off.array + sizeof(__u32))
		ring->size = ring->params.sq_off.array + sizeof(__u32);
	ring->rings = mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			   ring->fd, IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, sizeof(*ring->sqes), PROT_READ | PROT_WRITE,
			  MAP_SHARED, ring->fd, IORING_OFF_SQES);
	return ring->rings == MAP_FAILED || ring->sqes == MAP_FAILED ? -1 : 0;
}

static inline void ring_close(struct ring *ring)
{
	munmap(ring->sqes, sizeof(*ring->sqes));
	munmap(ring->rings, ring->size);
	close(ring->fd);
}

static inline __u32 *ring_word(struct ring *ring, __u32 offset)
{
	return (__u32 *)(ring->rings + offset);
}

/* Gives back the result of the operation: bytes, or minus an error. */
static inline int ring_do(struct ring *ring, int op, int flags, int fd,
			  void *buf, unsigned int len, __u64 offset)
{
	__u32 *tail = ring_word(ring, ring->params.sq_off.tail);
	__u32 mask = *ring_word(ring, ring->params.sq_off.ring_mask);
	__u32 *head = ring_word(ring, ring->params.cq_off.head);
	struct io_uring_cqe *cqe;
	int res;

	memset(ring->sqes, 0, sizeof(*ring->sqes));
	ring->sqes->opcode = op;
	ring->sqes->flags = flags;
	ring->sqes->fd = fd;
	ring->sqes->addr = (uintptr_t)buf;
	ring->sqes->len = len;
	ring->sqes->off = offset;
	ring_word(ring, ring->params.sq_off.array)[*tail & mask] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS,
		    NULL, 0) != 1)
		return -errno;
	mask = *ring_word(ring, ring->params.cq_off.ring_mask);
	cqe = (struct io_uring_cqe *)(ring->rings + ring->params.cq_off.cqes) +
	      (*head & mask);
	res = cqe->res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

#endif /* __SHM_KERNEL_UTIL_H */
