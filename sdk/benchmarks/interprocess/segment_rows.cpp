/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Named objects and memory of a managed segment
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "bench.hpp"

#include <shm_kernel/interprocess/hash_index.hpp>
#include <shm_kernel/interprocess/managed_kernel_memory.hpp>
#include <shm_kernel/interprocess/robust_mutex_family.hpp>
#include <shm_kernel/interprocess/segregated_fit.hpp>

#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

namespace bip = boost::interprocess;

namespace bench {

namespace {

constexpr std::size_t segment_size = std::size_t{32} << 20;
constexpr std::size_t sizes[] = {16, 64, 256, 4096};

std::size_t blocks_of(std::size_t bytes)
{
	return bytes < 4096 ? 10000 : 4000;
}

/*
 * The segments that are compared. What the rows use of them has the same name
 * and the same meaning in all.
 */

/* Boost's default. Its name goes at once: a killed run leaves nothing behind. */
class boost_segment final
{
public:
	boost_segment()
		: m_segment(bip::create_only, m_name.c_str(), segment_size)
	{
		bip::shared_memory_object::remove(m_name.c_str());
	}

	bip::managed_shared_memory &get() { return m_segment; }

private:
	std::string m_name = fresh_name();
	bip::managed_shared_memory m_segment;
};

class kernel_segment final
{
public:
	kernel_segment()
		: m_segment(bip::create_only, fresh_name().c_str(),
			    segment_size)
	{
	}

	shm_kernel::managed_kernel_memory &get() { return m_segment; }

private:
	shm_kernel::managed_kernel_memory m_segment;
};

/* The same algorithm, index and mutexes where no driver is loaded. */
class memfd_segment final
{
public:
	using type = bip::basic_managed_external_buffer<
		char,
		shm_kernel::segregated_fit<shm_kernel::robust_mutex_family>,
		shm_kernel::hash_index>;

	memfd_segment()
		: m_memory(segment_size),
		  m_segment(bip::create_only, m_memory.data(), m_memory.size())
	{
	}

	type &get() { return m_segment; }

private:
	shared_memory m_memory;
	type m_segment;
};

/* Each row of a peer's has the same segments, whatever run of it this is. */
template <typename Segment, int Which>
auto &segment()
{
	static Segment only;

	return only.get();
}

/* Names of equal length, as programs number what they have many of. */
const std::vector<std::string> &names()
{
	static const std::vector<std::string> all = [] {
		std::vector<std::string> made;

		for (std::size_t i = 0; i < object_count; ++i) {
			char text[32];

			std::snprintf(text, sizeof(text), "object-%06zu", i);
			made.emplace_back(text);
		}
		return made;
	}();

	return all;
}

/* 0 to @count - 1 in a random order, the same each time. */
std::vector<std::size_t> shuffled(std::size_t count)
{
	std::vector<std::size_t> order(count);
	random_numbers random;

	std::iota(order.begin(), order.end(), std::size_t{0});
	for (std::size_t i = count; i > 1; --i)
		std::swap(order[i - 1], order[random() % i]);
	return order;
}

/* The same in an order that no tree likes. */
const std::vector<std::string> &shuffled_names()
{
	static const std::vector<std::string> all = [] {
		std::vector<std::string> made;

		for (const std::size_t i : shuffled(object_count))
			made.push_back(names()[i]);
		return made;
	}();

	return all;
}

template <typename Memory>
void construct_all(Memory &memory,
		   const std::vector<std::string> &which = names())
{
	int value = 0;

	for (const std::string &name : which)
		memory.template construct<int>(name.c_str())(value++);
}

template <typename Memory>
void destroy_all(Memory &memory)
{
	for (const std::string &name : names())
		memory.template destroy<int>(name.c_str());
}

void set_items(benchmark::State &state, std::size_t of_each)
{
	state.SetItemsProcessed(static_cast<std::int64_t>(
		static_cast<std::size_t>(state.iterations()) * of_each));
}

/* The memory and the table of the index are there after the first pass. */
template <typename Segment>
auto &empty_segment()
{
	static auto &memory = [&]() -> auto &
	{
		auto &fresh = segment<Segment, 0>();

		construct_all(fresh);
		destroy_all(fresh);
		return fresh;
	}
	();

	return memory;
}

template <typename Segment>
void construct(benchmark::State &state, const std::vector<std::string> &which)
{
	auto &memory = empty_segment<Segment>();

	for (auto _ : state) {
		const double begin = now();

		construct_all(memory, which);
		state.SetIterationTime(now() - begin);
		destroy_all(memory);
	}
	set_items(state, object_count);
}

template <typename Segment>
void destroy(benchmark::State &state)
{
	auto &memory = empty_segment<Segment>();

	for (auto _ : state) {
		construct_all(memory);

		const double begin = now();

		destroy_all(memory);
		state.SetIterationTime(now() - begin);
	}
	set_items(state, object_count);
}

/* What is looked for is at hand, where it lies in the segment is not. */
template <typename Segment>
void find(benchmark::State &state)
{
	static auto &memory = [&]() -> auto &
	{
		auto &fresh = segment<Segment, 1>();
		int value = 0;

		construct_all(fresh);
		for (const std::string &name : names())
			if (*fresh.template find<int>(name.c_str()).first !=
			    value++)
				throw std::runtime_error("a wrong object");
		return fresh;
	}
	();
	const std::string *const first = shuffled_names().data();
	const std::string *const last = first + object_count;
	const std::string *next = first;

	for (auto _ : state) {
		const auto found = memory.template find<int>(next->c_str());

		if (!found.first) {
			state.SkipWithError("an object is not there");
			break;
		}
		benchmark::DoNotOptimize(*found.first);
		if (++next == last)
			next = first;
	}
}

/* Given back in another order than it was taken, as programs do. */
template <typename Segment>
void allocate_or_not(benchmark::State &state, std::size_t bytes,
		     bool allocating)
{
	auto &memory = segment<Segment, 2>();
	std::vector<void *> blocks(blocks_of(bytes));
	const std::vector<std::size_t> order = shuffled(blocks.size());

	/* First touches of memory are no part of any row. */
	for (void *&block : blocks)
		block = std::memset(memory.allocate(bytes), 0, bytes);
	for (const std::size_t i : order)
		memory.deallocate(blocks[i]);
	for (auto _ : state) {
		double begin = now();

		for (void *&block : blocks)
			block = memory.allocate(bytes);
		if (allocating)
			state.SetIterationTime(now() - begin);
		begin = now();
		for (const std::size_t i : order)
			memory.deallocate(blocks[i]);
		if (!allocating)
			state.SetIterationTime(now() - begin);
	}
	set_items(state, blocks.size());
}

/* In a segment that has nothing else, so that each run finds the same. */
template <typename Segment>
void pair(benchmark::State &state, std::size_t bytes)
{
	auto &memory = segment<Segment, 4>();

	for (auto _ : state) {
		void *const block = memory.allocate(bytes);

		benchmark::DoNotOptimize(block);
		memory.deallocate(block);
	}
}

/* A program that has been running: one block goes, one of another size comes. */
template <typename Segment>
void replace(benchmark::State &state)
{
	static auto &memory = segment<Segment, 3>();
	static std::array<void *, 16384> blocks = {};
	static random_numbers random;
	const auto next_size = [&] {
		const std::uint32_t number = random();

		/* 16 to 2047, each power of two as often as any other. */
		return (std::size_t{16} << number % 7) +
		       (number >> 8) % (std::size_t{16} << number % 7);
	};

	for (void *&block : blocks)
		if (!block)
			block = memory.allocate(next_size());
	for (auto _ : state) {
		void *&block = blocks[random() % blocks.size()];

		memory.deallocate(block);
		block = memory.allocate(next_size());
	}
}

template <typename Memory>
void open_close(benchmark::State &state, const std::string &name)
{
	for (auto _ : state) {
		Memory memory(bip::open_only, name.c_str());

		if (!memory.template find<int>("value").first)
			state.SkipWithError("the object is not there");
	}
}

void open_close_boost(benchmark::State &state)
{
	struct remover
	{
		std::string name = fresh_name();
		~remover() { bip::shared_memory_object::remove(name.c_str()); }
	} const segment;
	bip::managed_shared_memory kept(bip::create_only, segment.name.c_str(),
					1 << 20);

	kept.construct<int>("value")(1);
	open_close<bip::managed_shared_memory>(state, segment.name);
}

void open_close_kernel(benchmark::State &state)
{
	const std::string name = fresh_name();
	shm_kernel::managed_kernel_memory kept(bip::create_only, name.c_str(),
					       1 << 20);

	kept.construct<int>("value")(1);
	open_close<shm_kernel::managed_kernel_memory>(state, name);
}

template <typename Segment>
void add_peer(const char *who)
{
	add(
		"construct", who,
		[](benchmark::State &state) {
			construct<Segment>(state, names());
		},
		true);
	add(
		"construct_random", who,
		[](benchmark::State &state) {
			construct<Segment>(state, shuffled_names());
		},
		true);
	add("find", who, find<Segment>);
	add("destroy", who, destroy<Segment>, true);
	for (const std::size_t bytes : sizes) {
		const std::string size = std::to_string(bytes);

		add(
			"allocate_" + size, who,
			[=](benchmark::State &state) {
				allocate_or_not<Segment>(state, bytes, true);
			},
			true);
		add(
			"deallocate_" + size, who,
			[=](benchmark::State &state) {
				allocate_or_not<Segment>(state, bytes, false);
			},
			true);
		add("pair_" + size, who, [=](benchmark::State &state) {
			pair<Segment>(state, bytes);
		});
	}
	add("replace", who, replace<Segment>);
}

} // namespace

void add_segment_rows()
{
	if (have_driver())
		add_peer<kernel_segment>(peer::ours);
	else
		add_peer<memfd_segment>(peer::ours);
	add_peer<boost_segment>(peer::boost);
	add_with_driver("segment_open", peer::ours, open_close_kernel);
	add("segment_open", peer::boost, open_close_boost);
}

} // namespace bench
