/* SPDX-License-Identifier: BSL-1.0 */
/*
 * As much of the kernel as shm_kernel_ring.c needs, for programs
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef STAND_IN_H
#define STAND_IN_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include_next <linux/types.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, value) __atomic_store_n(&(x), value, __ATOMIC_RELAXED)
#define smp_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, value) __atomic_store_n(p, value, __ATOMIC_RELEASE)
#define smp_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)

#define CONFIG_SMP 1
#define IS_ENABLED(option) (option)

#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))
#define IS_ALIGNED(x, a) (!((x) & ((a)-1)))
#define round_up(x, y) ((((x)-1) | ((y)-1)) + 1)
#define is_power_of_2(n) ((n) && !((n) & ((n)-1)))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))

#define ERR_PTR(error) ((void *)(intptr_t)(error))
#define PTR_ERR(p) ((int)(intptr_t)(p))
#define IS_ERR(p) ((uintptr_t)(p) >= (uintptr_t)-4095)
#define PTR_ERR_OR_ZERO(p) (IS_ERR(p) ? PTR_ERR(p) : 0)

typedef struct {
	int counter;
} atomic_t;

static inline void atomic_inc(atomic_t *v)
{
	__atomic_add_fetch(&v->counter, 1, __ATOMIC_RELAXED);
}

typedef struct {
	int locked;
} raw_spinlock_t;

static inline void raw_spin_lock_init(raw_spinlock_t *lock)
{
	lock->locked = 0;
}

static inline bool raw_spin_trylock(raw_spinlock_t *lock)
{
	return !__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE);
}

static inline void raw_spin_lock(raw_spinlock_t *lock)
{
	while (!raw_spin_trylock(lock))
		;
}

static inline void raw_spin_unlock(raw_spinlock_t *lock)
{
	__atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE);
}

#define raw_spin_lock_irqsave(lock, flags)                                     \
	do {                                                                   \
		(flags) = 0;                                                   \
		raw_spin_lock(lock);                                           \
	} while (0)
#define raw_spin_trylock_irqsave(lock, flags)                                  \
	({                                                                     \
		(flags) = 0;                                                   \
		raw_spin_trylock(lock);                                        \
	})
#define raw_spin_unlock_irqrestore(lock, flags)                                \
	do {                                                                   \
		(void)(flags);                                                 \
		raw_spin_unlock(lock);                                         \
	} while (0)

/* Set by a test that is to run as in a non-maskable interrupt. */
extern _Thread_local bool stand_in_nmi;
#define in_nmi() stand_in_nmi

#define EXPORT_SYMBOL_GPL(name) extern int stand_in_nothing
#define MODULE_AUTHOR(text) extern int stand_in_nothing
#define MODULE_DESCRIPTION(text) extern int stand_in_nothing
#define MODULE_LICENSE(text) extern int stand_in_nothing

#endif /* STAND_IN_H */
