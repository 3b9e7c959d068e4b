/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The SDK's ring_reader, for record_rows.c
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef RING_CONSUMER_H
#define RING_CONSUMER_H

#ifdef __cplusplus
#include <cstdint>
extern "C" {
#else
#include <stdbool.h>
#include <stdint.h>
#endif

bool ring_consumer_open(void);

/*
 * Reads all records that there are, adds the first word of each to @sum, and
 * returns how many they were.
 */
unsigned int ring_consumer_drain(uint64_t *sum);

#ifdef __cplusplus
}
#endif

#endif /* RING_CONSUMER_H */
