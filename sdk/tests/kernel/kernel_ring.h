/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The kernel's side of the ring, for tests in C++
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_TESTS_KERNEL_RING_H
#define SHM_KERNEL_TESTS_KERNEL_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kernel_writer;
struct kernel_reader;

struct kernel_slot {
	void *data;
	uint32_t len;
	uint32_t position;
};

/* Numbers of errors are negative, as in the kernel. */
int kernel_ring_create(void *memory, size_t size, uint32_t lanes,
		       uint32_t cells, bool overwrite, const char *tag);

struct kernel_writer *kernel_writer_new(void *memory, size_t size,
					uint32_t lane, int *error);
void kernel_writer_free(struct kernel_writer *writer);
int kernel_writer_reserve(struct kernel_writer *writer, uint32_t len,
			  struct kernel_slot *slot);
int kernel_writer_reserve_shared(struct kernel_writer *writer, uint32_t len,
				 bool nmi, struct kernel_slot *slot);
bool kernel_writer_commit(struct kernel_writer *writer,
			  const struct kernel_slot *slot);
bool kernel_writer_discard(struct kernel_writer *writer,
			   const struct kernel_slot *slot);

struct kernel_reader *kernel_reader_new(void *memory, size_t size,
					uint32_t lane, int *error);
void kernel_reader_free(struct kernel_reader *reader);
ssize_t kernel_reader_read(struct kernel_reader *reader, void *buffer,
			   size_t size);
bool kernel_reader_ask(struct kernel_reader *reader);
bool kernel_reader_take_room_wanted(struct kernel_reader *reader);
uint64_t kernel_reader_lost(const struct kernel_reader *reader);

#ifdef __cplusplus
}
#endif

#endif /* SHM_KERNEL_TESTS_KERNEL_RING_H */
