/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The index of names, its recovery, and readers without a lock
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "support.hpp"

#include <shm_kernel/interprocess/hash_index.hpp>
#include <shm_kernel/interprocess/robust_mutex_family.hpp>
#include <shm_kernel/interprocess/segregated_fit.hpp>

#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/mem_algo/simple_seq_fit.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <typeinfo>
#include <vector>

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bip = boost::interprocess;

using shm_kernel::hash_index;
using shm_kernel::kernel_memory_exception;
using shm_kernel::robust_mutex_family;
using shm_kernel::segregated_fit;
using shm_kernel::detail::mutex_registry;

namespace {

class memory
{
public:
	explicit memory(std::size_t size, int flags = MAP_SHARED) : m_size(size)
	{
		m_data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
				flags | MAP_ANONYMOUS, -1, 0);
		if (m_data == MAP_FAILED)
			throw std::bad_alloc();
	}
	memory(const memory &) = delete;
	memory &operator=(const memory &) = delete;
	~memory() { ::munmap(m_data, m_size); }

	char *data() const { return static_cast<char *>(m_data); }
	std::size_t size() const { return m_size; }

private:
	void *m_data;
	std::size_t m_size;
};

/* A segment, and where in it the index and its lock are. */
template <typename CharT, typename Algorithm>
struct indexed
{
	using segment = bip::basic_managed_external_buffer<CharT, Algorithm,
							   hash_index>;
	using manager = typename segment::segment_manager;
	using named_index = typename manager::named_index_t;
	using unique_index = typename manager::unique_index_t;
	using mutex_type =
		typename Algorithm::mutex_family::recursive_mutex_type;

	indexed(void *address, std::size_t size)
	{
		mutex_registry found;

		all = segment(bip::create_only, address, size);
		named = static_cast<named_index *>(found.named_index);
		unique = static_cast<unique_index *>(found.unique_index);
		mutex = static_cast<mutex_type *>(found.recursive_mutex);
	}

	segment all;
	named_index *named;
	unique_index *unique;
	mutex_type *mutex;
};

template <typename CharT>
class name_source
{
public:
	explicit name_source(std::mt19937 &random) : m_random(random) {}

	/* Anything but a terminator; some long, one empty. */
	std::basic_string<CharT> next()
	{
		const auto kind = m_random() % 64;
		std::size_t length = 1 + m_random() % 20;
		std::basic_string<CharT> name;

		if (!kind)
			return name;
		if (kind == 1)
			length = 300 + m_random() % 300;
		for (; length; --length) {
			const auto letter = static_cast<CharT>(m_random());

			name += letter ? letter : CharT(1);
		}
		return name;
	}

private:
	std::mt19937 &m_random;
};

template <typename CharT, typename Algorithm>
struct config
{
	using char_type = CharT;
	using algorithm = Algorithm;
};

template <typename Config>
class hash_index_with : public ::testing::Test
{
};

using configs = ::testing::Types<
	config<char, bip::rbtree_best_fit<bip::mutex_family>>,
	config<wchar_t, bip::rbtree_best_fit<bip::mutex_family>>,
	config<char, bip::rbtree_best_fit<bip::null_mutex_family, void *>>,
	config<char, bip::simple_seq_fit<bip::null_mutex_family>>,
	config<char, segregated_fit<robust_mutex_family>>,
	config<wchar_t, segregated_fit<robust_mutex_family, void *>>>;

TYPED_TEST_SUITE(hash_index_with, configs, );

} // namespace

/* Of the authors' own test, with the key and the texts 00 01 02 ... */
TEST(hash_index, hash_is_siphash)
{
	const shm_kernel::detail::siphash_key key{0x0706050403020100u,
						  0x0f0e0d0c0b0a0908u};
	const std::map<std::size_t, std::uint64_t> two_four{
		{0, 0x726fdb47dd0e0e31u},
		{1, 0x74f839c593dc67fdu},
		{8, 0x93f5f5799a932462u},
		{15, 0xa129ca6149be45e5u}};
	const std::map<std::size_t, std::uint32_t> one_three{{0, 0x050fc4dcu},
							     {1, 0x7d57ca93u},
							     {8, 0x8d299a8eu},
							     {12, 0x57b4d9a2u}};
	unsigned char text[16];

	for (unsigned char i = 0; i < 16; ++i)
		text[i] = i;
	for (const auto &[size, hash] : two_four)
		EXPECT_EQ((shm_kernel::detail::siphash<2, 4>(text, size, key)),
			  hash);
	for (const auto &[size, hash] : one_three)
		EXPECT_EQ(static_cast<std::uint32_t>(
				  shm_kernel::detail::siphash<1, 3>(text, size,
								    key)),
			  hash);
}

TEST(hash_index, keys_differ)
{
	const auto a = shm_kernel::detail::make_siphash_key();
	const auto b = shm_kernel::detail::make_siphash_key();

	EXPECT_TRUE(a.low != b.low || a.high != b.high);
}

/* Whatever is done, the index does what a std::map does. */
TYPED_TEST(hash_index_with, does_as_a_map)
{
	using char_type = typename TypeParam::char_type;
	using string = std::basic_string<char_type>;

	struct object
	{
		std::uint64_t value;
		std::size_t count;
	};

	const auto seed = std::random_device{}();
	SCOPED_TRACE(seed);
	std::mt19937 random(seed);
	name_source<char_type> names(random);
	std::vector<string> pool;
	memory space(std::size_t{1} << 21);
	indexed<char_type, typename TypeParam::algorithm> at(space.data(),
							     space.size());
	auto &all = at.all;
	std::map<string, object> model;

	for (int i = 0; i < 600; ++i)
		pool.push_back(names.next());
	for (int i = 0; i < 12000; ++i) {
		/* Sometimes many names, sometimes few. */
		const bool grow = i / 2000 % 2 == 0;
		const string &name = pool[random() % pool.size()];
		const auto known = model.find(name);
		const auto action = random() % 16;
		const std::uint64_t value = random();
		const std::size_t count = 1 + random() % 4;

		if (action < (grow ? 7u : 3u)) {
			auto *made = all.template construct<std::uint64_t>(
				name.c_str(), std::nothrow)[count](value);

			/* Boost 1.74 throws here all the same. */
			ASSERT_EQ(made == nullptr, known != model.end());
			if (made)
				model[name] = {value, count};
		} else if (action < (grow ? 9u : 12u)) {
			ASSERT_EQ(all.template destroy<std::uint64_t>(
					  name.c_str()),
				  known != model.end());
			model.erase(name);
		} else if (action == 12) {
			auto *made =
				all.template find_or_construct<std::uint64_t>(
					name.c_str())(value);

			if (known == model.end())
				model[name] = {value, 1};
			ASSERT_EQ(*made, model[name].value);
		} else if (action == 13 && known != model.end()) {
			all.destroy_ptr(
				all.template find<std::uint64_t>(name.c_str())
					.first);
			model.erase(known);
		} else {
			const auto found =
				all.template find<std::uint64_t>(name.c_str());
			const auto shared =
				at.named->find_shared(name.data(), name.size());

			ASSERT_EQ(found.first != nullptr, known != model.end());
			ASSERT_EQ(shared.address, found.first);
			if (found.first) {
				ASSERT_EQ(*found.first, known->second.value);
				ASSERT_EQ(found.second, known->second.count);
				ASSERT_EQ(shared.size, found.second * 8);
			}
		}
		if (i % 500 == 499) {
			std::size_t seen = 0;

			if (random() % 2)
				all.shrink_to_fit_indexes();
			else
				all.reserve_named_objects(random() % 1000);
			ASSERT_EQ(all.get_num_named_objects(), model.size());
			ASSERT_TRUE(at.named->check_sanity());
			for (auto each = all.named_begin();
			     each != all.named_end(); ++each, ++seen) {
				const auto entry = model.find(string(
					each->name(), each->name_length()));

				ASSERT_NE(entry, model.end());
				ASSERT_EQ(*static_cast<const std::uint64_t *>(
						  each->value()),
					  entry->second.value);
			}
			ASSERT_EQ(seen, model.size());
		}
	}
	for (const auto &entry : model)
		ASSERT_TRUE(all.template destroy<std::uint64_t>(
			entry.first.c_str()));
	all.shrink_to_fit_indexes();
	EXPECT_EQ(all.get_num_named_objects(), 0u);
	EXPECT_TRUE(at.named->check_sanity());
	EXPECT_TRUE(all.check_sanity());
	EXPECT_TRUE(all.all_memory_deallocated());
}

TYPED_TEST(hash_index_with, one_of_each_type)
{
	using char_type = typename TypeParam::char_type;
	using unique = decltype(bip::unique_instance);
	memory space(std::size_t{1} << 16);
	indexed<char_type, typename TypeParam::algorithm> at(space.data(),
							     space.size());
	auto &all = at.all;
	const unique one = bip::unique_instance;
	const std::string name = typeid(double).name();

	all.template construct<int>(one)(1);
	all.template construct<double>(one)(2);
	EXPECT_EQ(all.template construct<double>(one, std::nothrow)(2),
		  nullptr);
	EXPECT_EQ(all.get_num_unique_objects(), 2u);
	EXPECT_EQ(all.get_num_named_objects(), 0u);
	EXPECT_EQ(*all.template find<int>(one).first, 1);
	EXPECT_EQ(*all.template find<double>(one).first, 2);
	EXPECT_EQ(all.template find<float>(one).first, nullptr);
	EXPECT_EQ(at.unique->find_shared(name.data(), name.size()).address,
		  all.template find<double>(one).first);
	EXPECT_EQ(std::distance(all.unique_begin(), all.unique_end()), 2);
	EXPECT_TRUE(all.template destroy<double>(one));
	EXPECT_FALSE(all.template destroy<double>(one));
	EXPECT_TRUE(at.unique->check_sanity());
}

namespace {

using robust = indexed<char, segregated_fit<robust_mutex_family>>;
using plain = indexed<char, bip::rbtree_best_fit<bip::mutex_family>>;

template <typename Array>
std::string number(const char *prefix, Array i)
{
	return prefix + std::to_string(i);
}

} // namespace

/* Odd sizes and alignments put the name behind the value in all ways. */
TEST(hash_index, knows_where_values_end)
{
	struct alignas(16) wide
	{
		char bytes[48];
	};
	memory space(std::size_t{1} << 20);
	plain at(space.data(), space.size());
	indexed<wchar_t, bip::rbtree_best_fit<bip::mutex_family>> wide_names(
		space.data() + space.size() / 2, space.size() / 2);

	for (std::size_t size = 1; size < 40; ++size) {
		const std::string name = number("c", size);
		const std::wstring other(name.begin(), name.end());
		const char *made =
			at.all.construct<char>(name.c_str())[size]('x');
		const char *second = wide_names.all.construct<char>(
			other.c_str())[size]('y');
		const auto found =
			at.named->find_shared(name.data(), name.size());

		EXPECT_EQ(found.address, made);
		EXPECT_EQ(found.size, size);
		const auto third = wide_names.named->find_shared(other.data(),
								 other.size());
		EXPECT_EQ(third.address, second);
		EXPECT_EQ(third.size, size);
	}
	const wide *made = at.all.construct<wide>("wide")[3]();
	const auto found = at.named->find_shared("wide", 4);

	EXPECT_EQ(found.address, made);
	EXPECT_EQ(found.size, 3 * sizeof(wide));
	EXPECT_EQ(reinterpret_cast<std::uintptr_t>(made) % 16, 0u);
}

TEST(hash_index, longest_name)
{
	memory space(std::size_t{1} << 20);
	plain at(space.data(), space.size());
	const std::string longest(65535, 'n');
	const std::string longer(65536, 'n');

	*at.all.construct<int>(longest.c_str())() = 7;
	EXPECT_EQ(*at.all.find<int>(longest.c_str()).first, 7);
	EXPECT_EQ(at.all.find<int>(longer.c_str()).first, nullptr);
	EXPECT_EQ(at.all.find<int>("").first, nullptr);
	EXPECT_FALSE(at.all.destroy<int>(longer.c_str()));
	EXPECT_EQ(at.all.construct<int>(longer.c_str(), std::nothrow)(),
		  nullptr);
	try {
		at.all.construct<int>(longer.c_str())();
		FAIL();
	} catch (const kernel_memory_exception &error) {
		EXPECT_EQ(error.get_native_error(), ENAMETOOLONG);
	}
	EXPECT_EQ(at.all.get_num_named_objects(), 1u);
	EXPECT_TRUE(at.all.destroy<int>(longest.c_str()));
}

TEST(hash_index, reserved_is_there)
{
	memory space(std::size_t{1} << 20);
	plain at(space.data(), space.size());

	at.all.reserve_named_objects(3000);
	const auto free = at.all.get_free_memory();
	for (int i = 0; i < 3000; ++i)
		at.all.construct<char>(number("n", i).c_str())();
	/* 3000 objects, each less than a hundred bytes, and no new table. */
	EXPECT_GT(at.all.get_free_memory() + 3000 * 100, free);
	EXPECT_TRUE(at.named->check_sanity());
	EXPECT_THROW(at.all.reserve_named_objects(1 << 20), bip::bad_alloc);
	EXPECT_THROW(at.all.reserve_named_objects(~std::size_t{0}),
		     bip::bad_alloc);
	EXPECT_EQ(at.all.get_num_named_objects(), 3000u);
	EXPECT_TRUE(at.named->check_sanity());
}

/* Names that come and go need no more memory than those that are there. */
TEST(hash_index, tombstones_go)
{
	memory space(std::size_t{1} << 16);
	robust at(space.data(), space.size());

	for (int i = 0; i < 10; ++i)
		at.all.construct<int>(number("stays", i).c_str())(i);
	const auto free = at.all.get_free_memory();
	for (int i = 0; i < 20000; ++i) {
		at.all.construct<int>(number("goes", i).c_str())(i);
		ASSERT_TRUE(at.all.destroy<int>(number("goes", i).c_str()));
	}
	EXPECT_LE(free, at.all.get_free_memory() + 1024);
	EXPECT_TRUE(at.named->check_sanity());
	for (int i = 0; i < 10; ++i)
		EXPECT_EQ(*at.all.find<int>(number("stays", i).c_str()).first,
			  i);
}

/* No memory: for the object, for a greater table, or for either. */
TEST(hash_index, exhaustion_leaves_all_as_it_was)
{
	memory space(std::size_t{1} << 15);

	for (std::size_t size = 4096; size <= space.size(); size += 1232) {
		plain at(space.data(), size);
		int made = 0;
		int refused = 0;

		for (int i = 0; refused < 20; ++i) {
			const std::string name = number("n", i);

			if (i % 2) {
				if (at.all.construct<char>(name.c_str(),
							   std::nothrow)())
					++made;
				else
					++refused;
				continue;
			}
			try {
				at.all.construct<char>(name.c_str())();
				++made;
			} catch (const bip::bad_alloc &) {
				++refused;
				EXPECT_EQ(at.all.find<char>(name.c_str()).first,
					  nullptr);
			}
		}
		EXPECT_EQ(at.all.get_num_named_objects(),
			  static_cast<std::size_t>(made));
		EXPECT_TRUE(at.named->check_sanity());
		int found = 0;
		for (int i = 0; i < made + refused; ++i)
			found += at.all.find<char>(number("n", i).c_str())
					 .first != nullptr;
		EXPECT_EQ(found, made);
		/* There is room again for what goes. */
		for (int i = 0; i < made + refused; ++i)
			at.all.destroy<char>(number("n", i).c_str());
		EXPECT_EQ(at.all.get_num_named_objects(), 0u);
		EXPECT_TRUE(at.all.construct<char>("again", std::nothrow)());
	}
}

/* A table that cannot grow is filled further, and cleaned. */
TEST(hash_index, works_on_in_a_full_table)
{
	memory space(std::size_t{1} << 16);
	plain at(space.data(), space.size());
	std::vector<void *> blocks;

	for (int i = 0; i < 13; ++i)
		at.all.construct<char>(number("n", i).c_str())();
	for (int i = 0; i < 8; ++i)
		at.all.construct<char>(number("room", i).c_str(),
				       std::nothrow)();
	for (int i = 0; i < 8; ++i)
		at.all.destroy<char>(number("room", i).c_str());
	/* Room for small objects is left, for a table not. */
	for (std::size_t size : {32768, 4096, 1024, 256}) {
		while (void *block = at.all.allocate(size, std::nothrow))
			blocks.push_back(block);
	}
	for (int i = 0; i < 5000; ++i) {
		const std::string name = number("x", i);

		const bool made =
			at.all.construct<char>(name.c_str(), std::nothrow)();

		ASSERT_EQ(at.all.destroy<char>(name.c_str()), made);
		ASSERT_TRUE(at.named->check_sanity());
	}
	for (void *block : blocks)
		at.all.deallocate(block);
	EXPECT_EQ(at.all.get_num_named_objects(), 13u);
}

namespace {

struct fails
{
	fails() { throw std::runtime_error("no"); }
};

/* Makes others by name, so many that the table grows, before it fails. */
struct fails_late
{
	explicit fails_late(robust &at)
	{
		for (int i = 0; i < 200; ++i)
			at.all.construct<int>(number("inner", i).c_str())(i);
		throw std::runtime_error("no");
	}
};

struct nests
{
	nests(robust &at, int depth)
	{
		if (depth)
			inner = at.all.construct<nests>(
				number("depth", depth).c_str())(std::ref(at),
								depth - 1);
	}

	bip::offset_ptr<nests> inner;
};

} // namespace

TEST(hash_index, constructors_may_throw)
{
	memory space(std::size_t{1} << 18);
	robust at(space.data(), space.size());

	EXPECT_THROW(at.all.construct<fails>("f")(), std::runtime_error);
	EXPECT_EQ(at.all.get_num_named_objects(), 0u);
	EXPECT_THROW(at.all.construct<fails_late>("f")(std::ref(at)),
		     std::runtime_error);
	EXPECT_EQ(at.all.find<fails_late>("f").first, nullptr);
	EXPECT_EQ(at.all.get_num_named_objects(), 200u);
	EXPECT_TRUE(at.named->check_sanity());
	for (int i = 0; i < 200; ++i)
		EXPECT_EQ(*at.all.find<int>(number("inner", i).c_str()).first,
			  i);
	/* Deeper than the index keeps book of. */
	at.all.construct<nests>("top")(std::ref(at), 20);
	EXPECT_EQ(at.all.get_num_named_objects(), 221u);
	EXPECT_TRUE(at.named->check_sanity());
}

/* The order does not matter, but each is there once. */
TEST(hash_index, iterates)
{
	memory space(std::size_t{1} << 18);
	plain at(space.data(), space.size());
	const auto &constant = *at.named;
	std::set<std::string> names;

	EXPECT_TRUE(constant.begin() == constant.end());
	for (int i = 0; i < 1000; ++i)
		at.all.construct<int>(number("n", i).c_str())(i);
	for (auto each = at.named->begin(); each != at.named->end(); each++)
		names.insert(std::string(each->name(), each->name_length()));
	EXPECT_EQ(names.size(), 1000u);

	plain::named_index::const_iterator first = at.named->begin();
	EXPECT_TRUE(first == constant.begin());
	EXPECT_TRUE(first != constant.end());
	EXPECT_EQ(std::distance(constant.begin(), constant.end()), 1000);
}

/* More than an entry can point to is refused, all up to that is found. */
TEST(hash_index, large_segment)
{
	constexpr std::size_t tebi = std::size_t{1} << 40;
	std::unique_ptr<memory> space;

	try {
		space = std::make_unique<memory>(2 * tebi,
						 MAP_PRIVATE | MAP_NORESERVE);
	} catch (const std::bad_alloc &) {
		GTEST_SKIP() << "no address space of two tebibytes";
	}
	{
		plain at(space->data(), tebi);

		at.all.construct<int>("low")(1);
		ASSERT_TRUE(at.all.allocate(tebi - (1 << 20), std::nothrow));
		for (int i = 0; i < 100; ++i)
			at.all.construct<int>(number("high", i).c_str())(i);
		for (int i = 0; i < 100; ++i)
			EXPECT_EQ(*at.all.find<int>(number("high", i).c_str())
					   .first,
				  i);
		EXPECT_EQ(*at.all.find<int>("low").first, 1);
		EXPECT_TRUE(at.named->check_sanity());
	}
	plain at(space->data(), tebi + 4096);

	EXPECT_THROW(at.all.construct<int>("x")(1), bip::bad_alloc);
	EXPECT_EQ(at.all.find<int>("x").first, nullptr);
}
