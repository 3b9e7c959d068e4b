/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The kernel's side of the ring, compiled as it is, in a program
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "shm_kernel_ring.c"

#include "kernel_ring.h"

#include <stdlib.h>

_Thread_local bool stand_in_nmi;

struct kernel_writer {
	struct shm_kernel_ring_writer writer;
};

struct kernel_reader {
	struct shm_kernel_ring_reader reader;
};

static void to_test(struct kernel_slot *to,
		    const struct shm_kernel_ring_slot *from)
{
	to->data = from->data;
	to->len = from->len;
	to->position = from->position;
}

static struct shm_kernel_ring_slot to_kernel(const struct kernel_slot *from)
{
	return (struct shm_kernel_ring_slot){
		.data = from->data,
		.len = from->len,
		.position = from->position,
	};
}

int kernel_ring_create(void *memory, size_t size, uint32_t lanes,
		       uint32_t cells, bool overwrite, const char *tag)
{
	const struct shm_kernel_ring_options options = {
		.lanes = lanes,
		.cells = cells,
		.flags = overwrite ? SHM_KERNEL_RING_OVERWRITE : 0,
		.tag = tag,
	};

	return shm_kernel_ring_create(memory, size, &options);
}

struct kernel_writer *kernel_writer_new(void *memory, size_t size,
					uint32_t lane, int *error)
{
	struct kernel_writer *writer = calloc(1, sizeof(*writer));

	*error = shm_kernel_ring_writer_init(&writer->writer, memory, size,
					     lane);
	if (!*error)
		return writer;
	free(writer);
	return NULL;
}

void kernel_writer_free(struct kernel_writer *writer)
{
	free(writer);
}

int kernel_writer_reserve(struct kernel_writer *writer, uint32_t len,
			  struct kernel_slot *slot)
{
	struct shm_kernel_ring_slot kernel;
	const int error = shm_kernel_ring_reserve(&writer->writer, len,
						  &kernel);

	if (!error)
		to_test(slot, &kernel);
	return error;
}

int kernel_writer_reserve_shared(struct kernel_writer *writer, uint32_t len,
				 bool nmi, struct kernel_slot *slot)
{
	struct shm_kernel_ring_slot kernel;
	int error;

	stand_in_nmi = nmi;
	error = shm_kernel_ring_reserve_shared(&writer->writer, len, &kernel);
	stand_in_nmi = false;
	if (!error)
		to_test(slot, &kernel);
	return error;
}

bool kernel_writer_commit(struct kernel_writer *writer,
			  const struct kernel_slot *slot)
{
	const struct shm_kernel_ring_slot kernel = to_kernel(slot);

	return shm_kernel_ring_commit(&writer->writer, &kernel);
}

bool kernel_writer_discard(struct kernel_writer *writer,
			   const struct kernel_slot *slot)
{
	const struct shm_kernel_ring_slot kernel = to_kernel(slot);

	return shm_kernel_ring_discard(&writer->writer, &kernel);
}

struct kernel_reader *kernel_reader_new(void *memory, size_t size,
					uint32_t lane, int *error)
{
	struct kernel_reader *reader = calloc(1, sizeof(*reader));

	*error = shm_kernel_ring_reader_init(&reader->reader, memory, size,
					     lane);
	if (!*error)
		return reader;
	free(reader);
	return NULL;
}

void kernel_reader_free(struct kernel_reader *reader)
{
	free(reader);
}

ssize_t kernel_reader_read(struct kernel_reader *reader, void *buffer,
			   size_t size)
{
	return shm_kernel_ring_read(&reader->reader, buffer, size);
}

bool kernel_reader_ask(struct kernel_reader *reader)
{
	return shm_kernel_ring_ask(&reader->reader);
}

bool kernel_reader_take_room_wanted(struct kernel_reader *reader)
{
	const bool wanted = reader->reader.room_wanted;

	reader->reader.room_wanted = false;
	return wanted;
}

uint64_t kernel_reader_lost(const struct kernel_reader *reader)
{
	return reader->reader.lost;
}
