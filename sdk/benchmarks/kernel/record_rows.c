// SPDX-License-Identifier: BSL-1.0
/*
 * What a record from the kernel to user space costs either of them, beside the
 * BPF ring buffer, relay and a pipe.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ring_consumer.h"
#include "rows.h"
#include "shm_kernel_bench.h"

#define LOOPS		50
#define TIMES		200
#define PAGE		4096UL
#define BPF_RING	(1UL << 20)
#define PIPE_SIZE	(1 << 20)

static int bench = -1;

static const struct {
	unsigned int len;
	const char *produce, *with_doorbell, *copy, *consume;
} sizes[] = {
	{ 64, "record_64", "record_doorbell_64", "record_copy_64", "consume_64" },
	{ SHM_KERNEL_BENCH_MAX, "record_1k", "record_doorbell_1k", "record_copy_1k",
	  "consume_1k" },
};

static bool run(enum shm_kernel_bench_what what, unsigned int len, int fd,
		uint64_t *count)
{
	struct shm_kernel_bench_run args = {
		.what = what,
		.len = len,
		.times = TIMES,
		.fd = fd,
	};

	if (ioctl(bench, SHM_KERNEL_BENCH_RUN, &args) < 0)
		return false;
	*count = args.count;
	return true;
}

static bool drain(void)
{
	return ioctl(bench, SHM_KERNEL_BENCH_DRAIN) == 0;
}

static uint64_t empty_loop(void)
{
	for (int i = -WARM_UP; i < LOOPS; i++) {
		uint64_t count;

		if (!run(SHM_KERNEL_BENCH_EMPTY, 64, -1, &count))
			return 0;
		if (i >= 0)
			row_values[i] = count;
	}
	return median_of(LOOPS);
}

/* Measures @call, which leaves what it counted in count. */
#define MEASURE_LOOPS(row, peer, nothing, call, after)			\
	do {								\
		int done_ = 0;						\
									\
		if (!wanted(row))					\
			break;						\
		for (int i_ = -WARM_UP; i_ < LOOPS; i_++) {		\
			uint64_t count = 0;				\
									\
			if (!(call) || !(after))			\
				break;					\
			if (i_ >= 0)					\
				row_values[done_++] = count;		\
		}							\
		if (done_ == LOOPS)					\
			report_loops(row, peer, LOOPS, TIMES, nothing);	\
		else							\
			none(row, peer, strerror(errno));		\
	} while (0)

static bool measure_ring_consumer(uint64_t *count)
{
	uint64_t sum = 0, start = now();
	bool good = ring_consumer_drain(&sum) == TIMES;

	*count = now() - start;
	if (!good)
		errno = ENODATA;
	return good;
}

static void ring_consumer_rows(void)
{
	uint64_t ignored;

	drain();
	if (!ring_consumer_open()) {
		none("consume_64", "ring", "the SDK cannot read the ring");
		return;
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		MEASURE_LOOPS(sizes[i].consume, "ring", 0,
			      run(SHM_KERNEL_BENCH_RECORD, sizes[i].len, -1, &ignored) &&
			      measure_ring_consumer(&count), true);
}

static bool drain_pipe(int fd)
{
	static char buffer[PIPE_SIZE];

	return read(fd, buffer, sizeof(buffer)) > 0;
}

/* One system call for each record. */
static bool measure_pipe_reader(int fd, unsigned int len, uint64_t *count)
{
	static char buffer[SHM_KERNEL_BENCH_MAX];
	uint64_t start = now();
	unsigned int records = 0;

	while (records < TIMES && read(fd, buffer, len) == (ssize_t)len)
		records++;
	*count = now() - start;
	return records == TIMES;
}

static void module_rows(void)
{
	uint64_t nothing = empty_loop(), ignored;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE) < 0)
		ends[1] = -1;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned int len = sizes[i].len;

		MEASURE_LOOPS(sizes[i].copy, "floor", nothing,
			      run(SHM_KERNEL_BENCH_COPY, len, -1, &count), true);
		MEASURE_LOOPS(sizes[i].produce, "ring", nothing,
			      run(SHM_KERNEL_BENCH_RECORD, len, -1, &count), drain());
		MEASURE_LOOPS(sizes[i].produce, "ring_shared", nothing,
			      run(SHM_KERNEL_BENCH_SHARED, len, -1, &count), drain());
		MEASURE_LOOPS(sizes[i].with_doorbell, "ring", nothing,
			      run(SHM_KERNEL_BENCH_RECORD_NOTIFY, len, -1, &count),
			      drain());
		MEASURE_LOOPS(sizes[i].produce, "relay", nothing,
			      run(SHM_KERNEL_BENCH_RELAY, len, -1, &count), drain());
		MEASURE_LOOPS(sizes[i].produce, "pipe", nothing,
			      run(SHM_KERNEL_BENCH_PIPE, len, ends[1], &count),
			      drain_pipe(ends[0]));
		MEASURE_LOOPS(sizes[i].consume, "pipe", 0,
			      run(SHM_KERNEL_BENCH_PIPE, len, ends[1], &ignored) &&
			      measure_pipe_reader(ends[0], len, &count), true);
	}
	close(ends[0]);
	close(ends[1]);
}

static long bpf(enum bpf_cmd command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int bpf_map(enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries)
{
	union bpf_attr attr = {
		.map_type = type,
		.key_size = key,
		.value_size = value,
		.max_entries = entries,
	};

	return bpf(BPF_MAP_CREATE, &attr);
}

#define INSN(c, d, s, o, i) \
	((struct bpf_insn) { .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define MOV_IMM(d, i)		INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV_REG(d, s)		INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define LOAD(d, s, o)		INSN(BPF_LDX | BPF_MEM | BPF_DW, d, s, o, 0)
#define STORE(d, s, o)		INSN(BPF_STX | BPF_MEM | BPF_DW, d, s, o, 0)
#define CALL(function)		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, function)
#define SKIP_IF_ZERO(r, n)	INSN(BPF_JMP | BPF_JEQ | BPF_K, r, 0, n, 0)
#define EXIT()			INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

static size_t put_map(struct bpf_insn *code, size_t n, int reg, int pseudo, int map)
{
	code[n++] = INSN(BPF_LD | BPF_DW | BPF_IMM, reg, pseudo, 0, map);
	code[n++] = INSN(0, 0, 0, 0, 0);
	return n;
}

static int load_program(const struct bpf_insn *code, size_t n)
{
	static char log[1 << 16];
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = n,
		.license = (uintptr_t)"GPL",
	};
	int fd = bpf(BPF_PROG_LOAD, &attr);

	if (fd < 0) {
		attr.log_level = 1;
		attr.log_buf = (uintptr_t)log;
		attr.log_size = sizeof(log);
		fd = bpf(BPF_PROG_LOAD, &attr);
		printf("# bpf: %s\n", log);
	}
	return fd;
}

/* Copies @len bytes of the array map's value into a record, as clang would. */
static int program_reserve(int ring, int array, unsigned int len)
{
	struct bpf_insn code[300];
	size_t n = 0, jump;

	n = put_map(code, n, BPF_REG_1, BPF_PSEUDO_MAP_FD, ring);
	code[n++] = MOV_IMM(BPF_REG_2, len);
	code[n++] = MOV_IMM(BPF_REG_3, 0);
	code[n++] = CALL(BPF_FUNC_ringbuf_reserve);
	jump = n++;
	n = put_map(code, n, BPF_REG_6, BPF_PSEUDO_MAP_VALUE, array);
	for (unsigned int at = 0; at < len; at += 8) {
		code[n++] = LOAD(BPF_REG_1, BPF_REG_6, at);
		code[n++] = STORE(BPF_REG_0, BPF_REG_1, at);
	}
	code[n++] = MOV_REG(BPF_REG_1, BPF_REG_0);
	code[n++] = MOV_IMM(BPF_REG_2, 0);
	code[n++] = CALL(BPF_FUNC_ringbuf_submit);
	code[jump] = SKIP_IF_ZERO(BPF_REG_0, n - jump - 1);
	code[n++] = MOV_IMM(BPF_REG_0, 0);
	code[n++] = EXIT();
	return load_program(code, n);
}

static int program_output(int ring, int array, unsigned int len)
{
	struct bpf_insn code[16];
	size_t n = 0;

	n = put_map(code, n, BPF_REG_1, BPF_PSEUDO_MAP_FD, ring);
	n = put_map(code, n, BPF_REG_2, BPF_PSEUDO_MAP_VALUE, array);
	code[n++] = MOV_IMM(BPF_REG_3, len);
	code[n++] = MOV_IMM(BPF_REG_4, 0);
	code[n++] = CALL(BPF_FUNC_ringbuf_output);
	code[n++] = MOV_IMM(BPF_REG_0, 0);
	code[n++] = EXIT();
	return load_program(code, n);
}

static int program_empty(void)
{
	struct bpf_insn code[] = { MOV_IMM(BPF_REG_0, 0), EXIT() };

	return load_program(code, 2);
}

/* The ring buffer as its consumer sees it. */
struct bpf_ring {
	volatile unsigned long *consumer_pos;
	volatile unsigned long *producer_pos;
	char *data;
	unsigned long mask;
	int (*callback)(void *context, void *data, size_t size);
	void *context;
};

static bool map_bpf_ring(struct bpf_ring *ring, int fd)
{
	char *consumer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *producer = mmap(NULL, PAGE + 2 * BPF_RING, PROT_READ,
			      MAP_SHARED | MAP_POPULATE, fd, PAGE);

	if (consumer == MAP_FAILED || producer == MAP_FAILED)
		return false;
	ring->consumer_pos = (unsigned long *)consumer;
	ring->producer_pos = (unsigned long *)producer;
	ring->data = producer + PAGE;
	ring->mask = BPF_RING - 1;
	return true;
}

static bool run_program(int program, uint64_t *count)
{
	static char packet[64];
	union bpf_attr attr = {
		.test = {
			.prog_fd = program,
			.data_in = (uintptr_t)packet,
			.data_size_in = sizeof(packet),
			.repeat = TIMES,
		},
	};
	uint64_t start = now();
	bool good = bpf(BPF_PROG_TEST_RUN, &attr) == 0;

	*count = now() - start;
	return good;
}

/* Of a record; the two upper bits are flags. */
static int bpf_record_size(uint32_t len)
{
	len <<= 2;
	len >>= 2;
	len += BPF_RINGBUF_HDR_SZ;
	return (len + 7) / 8 * 8;
}

/*
 * All records but the last: for a consumer that has caught up there would be a
 * wake-up, which is not to be measured. Fails if a record was dropped.
 */
static bool drain_bpf(struct bpf_ring *ring, unsigned int len)
{
	unsigned long end = *ring->producer_pos, one = bpf_record_size(len);
	unsigned long missed = *ring->consumer_pos ? 0 : one;

	if (end - *ring->consumer_pos + missed != (TIMES + 1) * one) {
		errno = ENOSPC;
		return false;
	}
	*ring->consumer_pos = end - one;
	return true;
}

/* Called for each record, through a pointer: so it is with libbpf. */
static int add_first_word(void *context, void *data, size_t size)
{
	(void)size;
	*(uint64_t *)context += *(const uint64_t *)data;
	return 0;
}

/* Does what ring__consume_n() of libbpf does. */
static __attribute__((noinline)) int64_t consume_bpf(struct bpf_ring *ring, size_t most)
{
	unsigned long position = __atomic_load_n(ring->consumer_pos, __ATOMIC_ACQUIRE);
	int64_t records = 0;
	bool any;

	do {
		unsigned long end = __atomic_load_n(ring->producer_pos, __ATOMIC_ACQUIRE);

		any = false;
		while (end - position > 0) {
			int *head = (int *)(ring->data + (position & ring->mask));
			int len = __atomic_load_n(head, __ATOMIC_ACQUIRE), error;

			if (len & BPF_RINGBUF_BUSY_BIT)
				return records;
			any = true;
			position += bpf_record_size(len);
			if ((len & BPF_RINGBUF_DISCARD_BIT) == 0) {
				error = ring->callback(ring->context,
						       (char *)head + BPF_RINGBUF_HDR_SZ, len);
				if (error < 0) {
					__atomic_store_n(ring->consumer_pos, position,
							 __ATOMIC_RELEASE);
					return error;
				}
				records++;
			}
			__atomic_store_n(ring->consumer_pos, position, __ATOMIC_RELEASE);
			if ((size_t)records >= most)
				return records;
		}
	} while (any);
	return records;
}

static bool measure_bpf_consumer(struct bpf_ring *ring, uint64_t *count)
{
	uint64_t sum = 0, start;
	bool good;

	ring->callback = add_first_word;
	ring->context = &sum;
	start = now();
	good = consume_bpf(ring, INT32_MAX) == TIMES;
	*count = now() - start;
	if (!good)
		errno = ENODATA;
	return good;
}

static void bpf_rows(void)
{
	int array = bpf_map(BPF_MAP_TYPE_ARRAY, 4, SHM_KERNEL_BENCH_MAX, 1);
	int empty = program_empty();
	uint64_t nothing;

	if (array < 0 || empty < 0) {
		none("record_64", "bpf", strerror(errno));
		return;
	}
	for (int i = -WARM_UP; i < LOOPS; i++) {
		uint64_t count;

		run_program(empty, &count);
		if (i >= 0)
			row_values[i] = count;
	}
	nothing = median_of(LOOPS);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned int len = sizes[i].len;

		for (int output = 0; output < 2; output++) {
			const char *peer = output ? "bpf_output" : "bpf";
			int map = bpf_map(BPF_MAP_TYPE_RINGBUF, 0, 0, BPF_RING);
			int program = output ? program_output(map, array, len) :
					       program_reserve(map, array, len);
			struct bpf_ring ring;
			uint64_t ignored;

			if (program < 0 || !map_bpf_ring(&ring, map)) {
				none(sizes[i].produce, peer, strerror(errno));
				continue;
			}
			MEASURE_LOOPS(sizes[i].produce, peer, nothing,
				      run_program(program, &count), drain_bpf(&ring, len));
			if (output)
				continue;
			*ring.consumer_pos = *ring.producer_pos;
			MEASURE_LOOPS(sizes[i].consume, peer, 0,
				      run_program(program, &ignored) &&
				      measure_bpf_consumer(&ring, &count), true);
		}
	}
}

void record_rows(void)
{
	bench = open("/dev/shm_kernel_bench", O_RDWR | O_CLOEXEC);
	if (bench < 0) {
		none("record_64", "ring", "the module shm_kernel_bench is not there");
	} else {
		module_rows();
		ring_consumer_rows();
	}
	bpf_rows();
}
