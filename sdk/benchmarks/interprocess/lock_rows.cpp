/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Locks, taken and given back by one process, and fought for by two
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "bench.hpp"

#include <shm_kernel/interprocess/kernel_named_mutex.hpp>
#include <shm_kernel/interprocess/region_lock.hpp>
#include <shm_kernel/interprocess/robust_mutex.hpp>
#include <shm_kernel/interprocess/robust_recursive_mutex.hpp>

#include <boost/interprocess/sync/file_lock.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_recursive_mutex.hpp>
#include <boost/interprocess/sync/named_mutex.hpp>

#include <cstdlib>
#include <new>
#include <stdexcept>

#include <pthread.h>
#include <unistd.h>

namespace bip = boost::interprocess;

namespace bench {

namespace {

/* What the goal is measured by: the C library's, robust and between processes. */
template <int Type>
class pthread_robust final
{
public:
	pthread_robust()
	{
		pthread_mutexattr_t attributes;

		if (::pthread_mutexattr_init(&attributes) ||
		    ::pthread_mutexattr_settype(&attributes, Type) ||
		    ::pthread_mutexattr_setpshared(&attributes,
						   PTHREAD_PROCESS_SHARED) ||
		    ::pthread_mutexattr_setrobust(&attributes,
						  PTHREAD_MUTEX_ROBUST) ||
		    ::pthread_mutex_init(&m_mutex, &attributes))
			throw std::runtime_error("pthread_mutex_init");
		::pthread_mutexattr_destroy(&attributes);
	}
	pthread_robust(const pthread_robust &) = delete;
	pthread_robust &operator=(const pthread_robust &) = delete;
	~pthread_robust() { ::pthread_mutex_destroy(&m_mutex); }

	void lock()
	{
		if (::pthread_mutex_lock(&m_mutex))
			std::abort();
	}
	void unlock()
	{
		if (::pthread_mutex_unlock(&m_mutex))
			std::abort();
	}

private:
	pthread_mutex_t m_mutex;
};

template <typename Lock>
void take(benchmark::State &state, Lock &lock)
{
	for (auto _ : state) {
		lock.lock();
		lock.unlock();
	}
}

template <typename Lock>
void lock_unlock(benchmark::State &state)
{
	const shared_memory memory(4096);
	Lock &lock = *new (memory.data()) Lock;

	take(state, lock);
	lock.~Lock();
}

/* Another process on another processor does the same all the time. */
template <typename Lock>
void contended(benchmark::State &state)
{
	const shared_memory memory(4096);
	Lock &lock = *new (memory.data()) Lock;
	const other_process rival([&] {
		for (;;) {
			lock.lock();
			lock.unlock();
		}
	});

	take(state, lock);
}

void named_boost(benchmark::State &state)
{
	const std::string name = fresh_name();
	bip::named_mutex lock(bip::create_only, name.c_str());

	bip::named_mutex::remove(name.c_str());
	take(state, lock);
}

void named_ours(benchmark::State &state)
{
	const std::string name = fresh_name();
	shm_kernel::kernel_named_mutex lock(bip::create_only, name.c_str());

	take(state, lock);
}

void file_boost(benchmark::State &state)
{
	char path[] = "/dev/shm/interprocess_bench.XXXXXX";
	const int fd = ::mkstemp(path);

	if (fd < 0)
		return state.SkipWithError("mkstemp");
	::close(fd);

	bip::file_lock lock(path);

	::unlink(path);
	take(state, lock);
}

void file_ours(benchmark::State &state)
{
	const shm_kernel::region memory = shm_kernel::region::create(
		shm_kernel::create_options().set_size(4096));
	shm_kernel::region_lock lock(memory);

	take(state, lock);
}

template <typename Lock>
void add_kind(const std::string &row, const char *who)
{
	add(row, who, lock_unlock<Lock>);
	add(row + "_contended", who, contended<Lock>);
}

} // namespace

void add_lock_rows()
{
	add_kind<shm_kernel::robust_mutex>("mutex", peer::ours);
	add_kind<pthread_robust<PTHREAD_MUTEX_NORMAL>>("mutex", peer::pthread);
	add_kind<bip::interprocess_mutex>("mutex", peer::boost);
	add("recursive_mutex", peer::ours,
	    lock_unlock<shm_kernel::robust_recursive_mutex>);
	add("recursive_mutex", peer::pthread,
	    lock_unlock<pthread_robust<PTHREAD_MUTEX_RECURSIVE>>);
	add("recursive_mutex", peer::boost,
	    lock_unlock<bip::interprocess_recursive_mutex>);
	add_with_driver("named_mutex", peer::ours, named_ours);
	add("named_mutex", peer::boost, named_boost);
	add_with_driver("file_lock", peer::ours, file_ours);
	add("file_lock", peer::boost, file_boost);
}

} // namespace bench
