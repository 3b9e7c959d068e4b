/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the rows of interprocess_bench share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef INTERPROCESS_BENCH_HPP
#define INTERPROCESS_BENCH_HPP

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <sys/types.h>

namespace bench {

/* Who does the work of a row. */
namespace peer {
constexpr char ours[] = "shm_kernel";
constexpr char boost[] = "Boost";
constexpr char pthread[] = "pthread";
} // namespace peer

/* Whether regions can be made here. */
bool have_driver();

/* How many named objects a segment has. */
constexpr std::size_t object_count = 100000;

/* A name that no other run has. */
std::string fresh_name();

/*
 * Registers what @peer_name does in @row; rows are printed in the order in which
 * their first peer comes. A row that is @timed_by_itself says with
 * SetIterationTime() how long it took.
 */
void add(const std::string &row, const char *peer_name,
	 const std::function<void(benchmark::State &)> &run,
	 bool timed_by_itself = false);

/* The same, of what needs the driver: without it the row says so. */
void add_with_driver(const std::string &row, const char *peer_name,
		     const std::function<void(benchmark::State &)> &run);

/* Seconds on a clock that only goes forward. */
double now();

/* A number that only grows, and looks random enough; the same in each run. */
class random_numbers final
{
public:
	std::uint32_t operator()()
	{
		m_state = m_state * 6364136223846793005U + 1442695040888963407U;
		return static_cast<std::uint32_t>(m_state >> 33);
	}

private:
	std::uint64_t m_state = 1;
};

/* Memory that children share, as programs do it that have no driver: a memfd. */
class shared_memory final
{
public:
	explicit shared_memory(std::size_t size);
	shared_memory(const shared_memory &) = delete;
	shared_memory &operator=(const shared_memory &) = delete;
	~shared_memory();

	void *data() const { return m_data; }
	std::size_t size() const { return m_size; }

private:
	void *m_data;
	std::size_t m_size;
};

/*
 * A child that runs a function on the second processor while this process runs
 * on the first. It is killed, and this process may run anywhere again, when the
 * object goes.
 */
class other_process final
{
public:
	explicit other_process(const std::function<void()> &run);
	other_process(const other_process &) = delete;
	other_process &operator=(const other_process &) = delete;
	~other_process();

private:
	struct before;

	std::unique_ptr<before> m_before;
	pid_t m_pid;
};

void add_segment_rows();
void add_lock_rows();
void add_queue_rows();

} // namespace bench

#endif /* INTERPROCESS_BENCH_HPP */
