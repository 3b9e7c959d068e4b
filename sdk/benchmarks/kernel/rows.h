/* SPDX-License-Identifier: BSL-1.0 */
/*
 * How kernel_rows measures, and its parts
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef ROWS_H
#define ROWS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MAX_CALLS	200
/* Calls before those that count: they fill caches of the kernel's. */
#define WARM_UP		3

/* What a measurement of nothing counts. */
extern uint64_t empty_count;
extern uint64_t row_values[MAX_CALLS];

static inline uint64_t now(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

bool wanted(const char *row);
void none(const char *row, const char *peer, const char *reason);
/* Prints what the first @calls of row_values are. */
void report(const char *row, const char *peer, int calls);
/* The same, of loops that did it @times and count @nothing when they do nothing. */
void report_loops(const char *row, const char *peer, int loops, int times,
		  uint64_t nothing);
uint64_t median_of(int calls);

/*
 * Measures @call, an expression that is true when it did what it should.
 * @before and @after are not measured.
 */
#define MEASURE_WITH(row, peer, calls, before, call, after)		\
	do {								\
		int done_ = 0;						\
									\
		if (!wanted(row))					\
			break;						\
		for (int i_ = -WARM_UP; i_ < (calls); i_++) {		\
			uint64_t start_, end_;				\
			bool good_;					\
									\
			before;						\
			start_ = now();					\
			good_ = (call);					\
			end_ = now();					\
			if (!good_)					\
				break;					\
			after;						\
			if (i_ >= 0)					\
				row_values[done_++] = end_ - start_;	\
		}							\
		if (done_ == (calls))					\
			report(row, peer, done_);			\
		else							\
			none(row, peer, strerror(errno));		\
	} while (0)

#define MEASURE(row, peer, calls, call) \
	MEASURE_WITH(row, peer, calls, (void)0, call, (void)0)

void doorbell_rows(int control);
void record_rows(void);

#endif /* ROWS_H */
