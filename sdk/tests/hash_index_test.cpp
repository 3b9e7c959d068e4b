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

#include <sched.h>
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

/* The author's own test. */
TEST(hash_index, hash_is_wyhash)
{
	using shm_kernel::detail::wyhash_key;
	const std::pair<std::string, std::uint64_t> known[] = {
		{"", 0x93228a4de0eec5a2u},
		{"a", 0xc5bac3db178713c4u},
		{"abc", 0xa97f2f7b1d9b3314u},
		{"message digest", 0x786d1f1df3801df4u},
		{"abcdefghijklmnopqrstuvwxyz", 0xdca5a8138ad37c87u},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		 "0123456789",
		 0xb9e734f117cfaf70u},
		{"1234567890123456789012345678901234567890"
		 "1234567890123456789012345678901234567890",
		 0x6cc5eab49a92d617u}};
	std::uint64_t seed = 0;

	for (const auto &[text, hash] : known)
		EXPECT_EQ(shm_kernel::detail::wyhash(text.data(), text.size(),
						     wyhash_key::known(seed++)),
			  hash)
			<< text;
}

TEST(hash_index, keys_differ)
{
	const auto a = shm_kernel::detail::wyhash_key::random();
	const auto b = shm_kernel::detail::wyhash_key::random();

	EXPECT_NE(a.start, b.start);
	for (int i = 0; i < 4; ++i)
		EXPECT_NE(a.secret[i], b.secret[i]);
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

/* A table that cannot grow is filled further, all but to its end. */
TEST(hash_index, works_on_in_a_full_table)
{
	memory space(std::size_t{1} << 16);
	plain at(space.data(), space.size());
	std::vector<void *> blocks;
	std::vector<void *> holes;
	int made = 0;

	at.all.reserve_named_objects(13);
	for (int i = 0; i < 13; ++i)
		at.all.construct<char>(number("n", i).c_str())();
	/* Then there is room for small objects, and for a table not. */
	for (int i = 0; i < 40; ++i) {
		holes.push_back(at.all.allocate(100));
		blocks.push_back(at.all.allocate(16));
	}
	for (std::size_t size = 32768; size >= 16; size /= 2) {
		while (void *block = at.all.allocate(size, std::nothrow))
			blocks.push_back(block);
	}
	for (void *hole : holes)
		at.all.deallocate(hole);

	for (int i = 0; i < 40; ++i)
		made += at.all.construct<char>(number("x", i).c_str(),
					       std::nothrow)() != nullptr;
	EXPECT_EQ(made, 2);
	EXPECT_TRUE(at.named->check_sanity());
	for (int i = 0; i < 1000; ++i) {
		ASSERT_TRUE(at.all.destroy<char>(number("x", i).c_str()));
		ASSERT_TRUE(at.all.construct<char>(number("x", i + 2).c_str(),
						   std::nothrow)());
		ASSERT_TRUE(at.named->check_sanity());
	}
	for (int i = 0; i < 13; ++i)
		EXPECT_TRUE(at.all.find<char>(number("n", i).c_str()).first);
	for (void *block : blocks)
		at.all.deallocate(block);
	EXPECT_EQ(at.all.get_num_named_objects(), 15u);
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

namespace {

/*
 * A lock for one process at a time, whose owner dies when the test says so: the
 * memory is copied while it is held, and in the copy there is no owner any more.
 */
template <bool Recursive>
class mortal_mutex
{
public:
	mortal_mutex()
	{
		mutex_registry::note(Recursive
					     ? &mutex_registry::recursive_mutex
					     : &mutex_registry::mutex,
				     this);
	}

	void lock()
	{
		if (m_died)
			std::abort();
		m_depth = m_depth + 1;
	}
	bool try_lock()
	{
		lock();
		return true;
	}
	void unlock() { m_depth = m_depth - 1; }

	std::uint32_t recoveries() const { return m_recoveries; }
	bool owner_died() const { return m_died; }

	/* The owner is gone, ... */
	void die()
	{
		if (m_depth)
			m_died = true;
	}
	/* ... and the next one finds out. */
	void recover()
	{
		if (m_died) {
			m_recoveries = m_recoveries + 1;
			m_depth = 0;
			m_died = false;
		}
	}

private:
	std::atomic<std::uint32_t> m_depth{0};
	std::atomic<std::uint32_t> m_recoveries{0};
	std::atomic<bool> m_died{false};
};

struct mortal_family
{
	using mutex_type = mortal_mutex<false>;
	using recursive_mutex_type = mortal_mutex<true>;
};

constexpr std::uint64_t whole = 0x57601e57601e57u;

using mortal = indexed<char, segregated_fit<mortal_family>>;
using mortal_segment = mortal::segment;

/* Made in several steps, and possibly with another one inside. */
struct object
{
	explicit object(const char *inner = nullptr,
			mortal_segment *all = nullptr, bool fail = false)
	{
		parts[0] = 1;
		if (inner)
			all->construct<object>(inner)();
		parts[1] = 2;
		if (fail)
			throw std::runtime_error("no");
		state = whole;
	}

	~object()
	{
		state = 3;
		parts[0] = 4;
	}

	object(const object &) = delete;
	object &operator=(const object &) = delete;

	volatile std::uint64_t parts[2] = {};
	volatile std::uint64_t state = 0;
};

using names = std::set<std::string>;

names operator+(names a, const names &b)
{
	a.insert(b.begin(), b.end());
	return a;
}

/* An operation in which a process is killed. */
struct crash
{
	const char *what;
	/* Names that there are, a to c among them. */
	int filled;
	/* Room for that many. */
	int reserved;
	std::function<void(mortal_segment &)> operation;
	/* What it adds, in this order, and takes away. */
	std::vector<names> added;
	const char *removed;
};

class on_one_cpu
{
public:
	on_one_cpu()
	{
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET(::sched_getcpu(), &one);
		::sched_getaffinity(0, sizeof(m_before), &m_before);
		::sched_setaffinity(0, sizeof(one), &one);
	}
	on_one_cpu(const on_one_cpu &) = delete;
	on_one_cpu &operator=(const on_one_cpu &) = delete;
	~on_one_cpu() { ::sched_setaffinity(0, sizeof(m_before), &m_before); }

private:
	cpu_set_t m_before;
};

/* Shared memory with a segment, and a copy of it to look at. */
class crash_lab
{
public:
	static constexpr std::size_t size = 24 << 10;

	crash_lab()
		: m_shared(size), m_copy(size), m_last(size),
		  m_at(m_shared.data(), size)
	{
		mutex_registry found;
		mortal_segment other(bip::create_only, m_last.data(), size);

		/* Where the parts are does not depend on where the segment is. */
		m_mutex = static_cast<char *>(found.mutex) - m_last.data();
		m_recursive = static_cast<char *>(found.recursive_mutex) -
			      m_last.data();
		m_named =
			static_cast<char *>(found.named_index) - m_last.data();
	}

	/* Does what was done before; returns what is there. */
	names prepare(const crash &each)
	{
		names made;

		for (int i = 0; i < each.filled; ++i)
			made.insert(std::string(1, static_cast<char>('a' + i)));
		for (const std::string &name : made)
			m_at.all.construct<object>(name.c_str())();
		/* The first exception takes much longer than others. */
		EXPECT_THROW(throw std::runtime_error("no"),
			     std::runtime_error);
		if (each.reserved)
			m_at.all.reserve_named_objects(
				static_cast<std::size_t>(each.reserved));
		return made;
	}

	/* Goes on from a state whose owner died; returns what is there. */
	names bury(const std::vector<char> &state, const names &candidates)
	{
		std::memcpy(m_copy.data(), state.data(), size);
		mutex().die();
		recursive().die();

		const names seen = shared_names(candidates);

		mutex().recover();
		recursive().recover();
		std::memcpy(m_shared.data(), m_copy.data(), size);
		return seen;
	}

	/* What of the copy can be seen without a lock. */
	names shared_names(const names &candidates)
	{
		names seen;

		for (const std::string &name : candidates) {
			const auto found =
				named().find_shared(name.data(), name.size());

			if (!found.address)
				continue;
			if (static_cast<const object *>(found.address)->state !=
			    whole)
				fails("half-made without a lock", name);
			seen.insert(name);
		}
		return seen;
	}

	/*
	 * Runs an operation in a child, one instruction after the other, and
	 * calls @look with the copy for each new state of the memory. Returns
	 * the number of states, -1 if this is not permitted here.
	 */
	int step(const std::function<void(mortal_segment &)> &operation,
		 const std::function<bool()> &look)
	{
		/* A step is much cheaper when nobody else has to wake up. */
		const on_one_cpu here;
		int states = 0;
		int status = 0;
		const pid_t pid = ::fork();

		if (pid < 0)
			return -1;
		if (!pid) {
			if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr))
				::_exit(2);
			::raise(SIGSTOP);
			try {
				operation(m_at.all);
			} catch (const std::exception &) {
			}
			::_exit(0);
		}
		std::memcpy(m_last.data(), m_shared.data(), size);
		::waitpid(pid, &status, 0);
		while (WIFSTOPPED(status)) {
			if (WSTOPSIG(status) != SIGTRAP &&
			    WSTOPSIG(status) != SIGSTOP)
				break;
			if (std::memcmp(m_last.data(), m_shared.data(), size)) {
				std::memcpy(m_last.data(), m_shared.data(),
					    size);
				std::memcpy(m_copy.data(), m_shared.data(),
					    size);
				++states;
				if (!look())
					break;
			}
			if (::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr))
				break;
			::waitpid(pid, &status, 0);
		}
		if (!WIFEXITED(status)) {
			::kill(pid, SIGKILL);
			::waitpid(pid, &status, 0);
			if (!::testing::Test::HasFailure())
				return -1;
		}
		return WIFEXITED(status) && WEXITSTATUS(status) ? -1 : states;
	}

	/* All that can be known of the copy, after the death of its owner. */
	bool verify(const std::vector<names> &expected, const names &candidates)
	{
		mutex().die();
		recursive().die();

		const names seen = shared_names(candidates);

		if (std::find(expected.begin(), expected.end(), seen) ==
		    expected.end())
			return fails("neither before nor after", list(seen));
		return recovered(seen, candidates);
	}

	/* The copy as the one who takes the lock next finds it. */
	bool recovered(const names &seen, const names &candidates)
	{
		mortal_segment copy(bip::open_only, m_copy.data(), size);
		names iterated;

		mutex().recover();
		recursive().recover();
		for (const std::string &name : candidates) {
			const auto found = copy.find<object>(name.c_str());

			if ((found.first != nullptr) != seen.count(name))
				return fails("found after recovery only", name);
			if (found.first && found.first->state != whole)
				return fails("half-made", name);
		}
		for (auto each = copy.named_begin(); each != copy.named_end();
		     ++each)
			iterated.insert(
				std::string(each->name(), each->name_length()));
		if (iterated != seen)
			return fails("iterates over", list(iterated));

		/* What was free is somebody's before anything is repaired. */
		std::vector<void *> blocks;
		for (std::size_t bytes : {128u, 128u, 256u, 512u})
			if (void *block = copy.allocate_aligned(bytes, 64,
								std::nothrow))
				blocks.push_back(std::memset(block, 0x5a, 128));
		if (copy.get_num_named_objects() != seen.size())
			return fails(
				"counts",
				std::to_string(copy.get_num_named_objects()));
		if (!copy.check_sanity())
			return fails("insane", "allocator");

		/* It goes on, and in the end all memory is there again. */
		for (const std::string &name : candidates)
			copy.find_or_construct<object>(name.c_str())();
		if (!named().check_sanity())
			return fails("insane", "index");
		for (const std::string &name : candidates)
			if (!copy.destroy<object>(name.c_str()))
				return fails("cannot destroy", name);
		copy.shrink_to_fit_indexes();
		for (void *block : blocks) {
			const char *bytes = static_cast<const char *>(block);

			if (std::count(bytes, bytes + 128, 0x5a) != 128)
				return fails("somebody else's", "block");
			copy.deallocate(block);
		}
		if (copy.get_num_named_objects() || !named().check_sanity() ||
		    !copy.check_sanity())
			return fails("insane", "when empty");
		if (lost() > m_may_lose)
			return fails("bytes lost", std::to_string(lost()));
		m_tables_lost += lost() > 2 * 128;
		return true;
	}

	/* What an empty segment has less than a new one. */
	std::size_t lost()
	{
		memory fresh(size);
		mortal other(fresh.data(), size);
		mortal_segment copy(bip::open_only, m_copy.data(), size);

		return other.all.get_free_memory() - copy.get_free_memory();
	}

	void may_lose(std::size_t bytes) { m_may_lose = bytes; }

	/* States in which more is lost than two objects. */
	int tables_lost() const { return m_tables_lost; }

	mortal::named_index &named()
	{
		return *reinterpret_cast<mortal::named_index *>(m_copy.data() +
								m_named);
	}
	mortal_mutex<false> &mutex()
	{
		return *reinterpret_cast<mortal_mutex<false> *>(m_copy.data() +
								m_mutex);
	}
	mortal_mutex<true> &recursive()
	{
		return *reinterpret_cast<mortal_mutex<true> *>(m_copy.data() +
							       m_recursive);
	}

	char *copy() { return m_copy.data(); }
	char *shared() { return m_shared.data(); }

private:
	static std::string list(const names &of)
	{
		std::string text;

		for (const std::string &name : of)
			text += name + " ";
		return text;
	}

	static bool fails(const char *what, const std::string &which)
	{
		ADD_FAILURE() << what << ": " << which;
		return false;
	}

	memory m_shared;
	memory m_copy;
	memory m_last;
	mortal m_at;
	std::ptrdiff_t m_mutex = 0;
	std::ptrdiff_t m_recursive = 0;
	std::ptrdiff_t m_named = 0;
	std::size_t m_may_lose = 512;
	int m_tables_lost = 0;
};

const std::vector<crash> crashes{
	{"construct",
	 3,
	 0,
	 [](mortal_segment &all) { all.construct<object>("x")(); },
	 {{"x"}},
	 nullptr},
	{"construct with a new table",
	 13,
	 0,
	 [](mortal_segment &all) { all.construct<object>("x")(); },
	 {{"x"}},
	 nullptr},
	{"construct the first",
	 0,
	 0,
	 [](mortal_segment &all) { all.construct<object>("x")(); },
	 {{"x"}},
	 nullptr},
	{"destroy",
	 7,
	 0,
	 [](mortal_segment &all) { all.destroy<object>("a"); },
	 {},
	 "a"},
	{"construct one in the other",
	 3,
	 0,
	 [](mortal_segment &all) { all.construct<object>("x")("y", &all); },
	 {{"y"}, {"x", "y"}},
	 nullptr},
	{"construct one in the other with a new table",
	 12,
	 0,
	 [](mortal_segment &all) { all.construct<object>("x")("y", &all); },
	 {{"y"}, {"x", "y"}},
	 nullptr},
	{"construct one after the other",
	 5,
	 0,
	 [](mortal_segment &all) {
		 auto both = [&] {
			 all.construct<object>("x")();
			 all.construct<object>("y")();
		 };
		 all.atomic_func(both);
	 },
	 {{"x"}, {"x", "y"}},
	 nullptr},
	{"reserve",
	 8,
	 0,
	 [](mortal_segment &all) { all.reserve_named_objects(40); },
	 {},
	 nullptr},
	{"shrink",
	 8,
	 40,
	 [](mortal_segment &all) { all.shrink_to_fit_indexes(); },
	 {},
	 nullptr},
	/* The last: an exception takes more steps than all the others. */
	{"construct throws",
	 4,
	 0,
	 [](mortal_segment &all) {
		 all.construct<object>("x")("y", &all, true);
	 },
	 {{"y"}},
	 nullptr},
};

} // namespace

/*
 * Whatever the instruction is after which a process is killed, the next one
 * finds what was there before the operation, or what is there after it.
 */
TEST(hash_index_crash, at_every_instruction)
{
	for (const crash &each : crashes) {
		SCOPED_TRACE(each.what);
		crash_lab lab;
		const names before = lab.prepare(each);
		const names candidates = before + names{"x", "y", "z", ""};
		std::vector<names> expected{before};

		for (const names &change : each.added)
			expected.push_back(before + change);
		if (each.removed) {
			expected.push_back(before);
			expected.back().erase(each.removed);
		}

		/* A table may be lost, and two objects, but no more. */
		lab.may_lose(1024);
		const int states = lab.step(each.operation, [&] {
			return lab.verify(expected, candidates);
		});

		if (HasFailure())
			return;
		if (states < 0)
			GTEST_SKIP() << "no single steps here";
		EXPECT_GT(states, 10);
		/* While the allocator has it, and nobody else knows of it. */
		EXPECT_LT(lab.tables_lost(), 20);

		/* Nobody died: as it should be when all is done. */
		std::memcpy(lab.copy(), lab.shared(), crash_lab::size);
		lab.may_lose(0);
		EXPECT_TRUE(lab.verify({expected.back()}, candidates));
	}
}

/* Who recovers may die, too, and the next one after that finds the same. */
TEST(hash_index_crash, at_every_instruction_of_the_recovery)
{
	const auto seed = std::random_device{}();
	SCOPED_TRACE(seed);
	std::mt19937 random(seed);

	for (const crash &each : crashes) {
		if (&each == &crashes.back())
			continue;
		SCOPED_TRACE(each.what);
		crash_lab lab;
		const names before = lab.prepare(each);
		const names candidates = before + names{"x", "y", "later"};
		std::vector<std::vector<char>> states;

		if (lab.step(each.operation, [&] {
			    states.emplace_back(lab.copy(),
						lab.copy() + crash_lab::size);
			    return true;
		    }) < 0)
			GTEST_SKIP() << "no single steps here";
		lab.may_lose(2048);
		for (int i = 0; i < 2; ++i) {
			const names seen = lab.bury(
				states[random() % states.size()], candidates);

			lab.step(
				[](mortal_segment &all) {
					all.construct<object>("later")();
				},
				[&] {
					return lab.verify(
						{seen, seen + names{"later"}},
						candidates);
				});
			if (HasFailure())
				return;
		}
	}
}

namespace {

/* What the n-th operation of a writer does, for who looks at it later. */
struct chore
{
	enum kind { construct, nest, destroy, shrink, reserve };

	chore(std::uint32_t seed, std::uint32_t n)
	{
		std::mt19937 random(seed + n * 7919);

		name = number("n", random() % 40);
		inner = number("i", random() % 40);
		what = static_cast<kind>(
			std::array<int, 16>{0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2,
					    2, 2, 3, 4}[random() % 16]);
	}

	/* The names that there may be, if it is not finished or it is. */
	std::vector<names> from(const names &before) const
	{
		const names with_inner = before + names{inner};
		names without = before;

		without.erase(name);
		switch (what) {
		case construct:
			return {before, before + names{name}};
		case nest:
			/* An inner one that is there lets the outer one fail. */
			if (before.count(name))
				return {before, before};
			if (before.count(inner))
				return {before, before};
			return {before, with_inner, with_inner + names{name}};
		case destroy:
			return {before, without};
		default:
			return {before, before};
		}
	}

	std::string name;
	std::string inner;
	kind what;
};

/* Has a name for itself while it is made. */
struct slow
{
	explicit slow(robust::segment *all = nullptr,
		      const char *inner = nullptr)
	{
		if (inner)
			all->construct<slow>(inner)();
		for (int i = 0; i < 100; ++i)
			state = 2;
		state = whole;
	}
	~slow() { state = 3; }

	volatile std::uint64_t state = 1;
};

/* As with any index, the one who makes an object finds it. */
struct looks_around
{
	explicit looks_around(robust::segment &all)
		: found_itself(all.find<looks_around>("self").first == this)
	{
	}

	bool found_itself;
};

void carry_out(robust::segment &all, const chore &job)
{
	switch (job.what) {
	case chore::construct:
		all.find_or_construct<slow>(job.name.c_str())();
		break;
	case chore::nest:
		try {
			all.construct<slow>(job.name.c_str())(
				&all, job.inner.c_str());
		} catch (const bip::interprocess_exception &) {
		}
		break;
	case chore::destroy:
		all.destroy<slow>(job.name.c_str());
		break;
	case chore::shrink:
		all.shrink_to_fit_indexes();
		break;
	case chore::reserve:
		all.reserve_named_objects(100);
		break;
	}
}

} // namespace

/* The real thing: robust mutexes, processes, SIGKILL. */
TEST(hash_index_crash, killed_at_any_time)
{
	struct progress
	{
		std::atomic<std::uint32_t> started;
		std::atomic<std::uint32_t> finished;
	};

	const auto seed = static_cast<std::uint32_t>(std::random_device{}());
	SCOPED_TRACE(seed);
	std::mt19937 random(seed);
	memory space(std::size_t{1} << 20);
	memory board(4096);
	robust at(space.data(), space.size());
	auto *log = new (board.data()) progress{};
	names model;
	std::uint32_t begun = 0;
	int unfinished = 0;

	const auto end =
		std::chrono::steady_clock::now() + std::chrono::seconds(2);
	int round = 0;

	for (; round < 150 && std::chrono::steady_clock::now() < end; ++round) {
		test::child writer([&] {
			for (std::uint32_t n = begun;; ++n) {
				const chore job(seed, n);

				log->started = n + 1;
				carry_out(at.all, job);
				log->finished = n + 1;
			}
			return 0;
		});

		do
			std::this_thread::sleep_for(
				std::chrono::microseconds(random() % 500));
		while (log->finished < begun + 3);
		writer.kill();

		std::vector<names> expected;
		names seen;

		for (; begun < log->finished; ++begun)
			model = chore(seed, begun).from(model).back();
		expected.push_back(model);
		if (log->started > begun)
			expected = chore(seed, begun).from(model);
		unfinished += at.mutex->owner_died();

		for (const char *prefix : {"n", "i"}) {
			for (int i = 0; i < 40; ++i) {
				const std::string name = number(prefix, i);
				const auto early = at.named->find_shared(
					name.data(), name.size());
				const auto found =
					at.all.find<slow>(name.c_str());

				ASSERT_EQ(early.address, found.first) << name;
				if (!found.first)
					continue;
				ASSERT_EQ(found.first->state, whole) << name;
				seen.insert(name);
			}
		}
		ASSERT_TRUE(std::find(expected.begin(), expected.end(), seen) !=
			    expected.end());
		ASSERT_EQ(at.all.get_num_named_objects(), seen.size());
		at.all.find_or_construct<slow>("n0")();
		seen.insert("n0");
		ASSERT_EQ(at.all.get_num_named_objects(), seen.size());
		ASSERT_TRUE(
			at.all.construct<looks_around>("self")(std::ref(at.all))
				->found_itself);
		ASSERT_TRUE(at.all.destroy<looks_around>("self"));
		ASSERT_TRUE(at.named->check_sanity());
		model = seen;
		begun = log->started;
		log->finished = begun;
	}
	EXPECT_GT(unfinished, round / 20);
	EXPECT_GE(at.mutex->recoveries(), static_cast<unsigned>(unfinished));
	EXPECT_TRUE(at.all.check_sanity());
}

namespace {

/* A file in memory, mapped here as often as is wanted. */
class file
{
public:
	explicit file(std::size_t size) : m_size(size)
	{
		m_fd = ::memfd_create("hash_index_test", MFD_CLOEXEC);
		if (m_fd < 0 || ::ftruncate(m_fd, static_cast<off_t>(size)))
			throw std::system_error(errno, std::system_category());
	}
	file(const file &) = delete;
	file &operator=(const file &) = delete;
	~file() { ::close(m_fd); }

	/* With pages before and behind it that nobody may touch. */
	char *map(int protection) const
	{
		constexpr std::size_t guard = 1 << 16;
		char *area = static_cast<char *>(::mmap(
			nullptr, m_size + 2 * guard, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

		if (::mmap(area + guard, m_size, protection,
			   MAP_SHARED | MAP_FIXED, m_fd, 0) == MAP_FAILED)
			throw std::system_error(errno, std::system_category());
		return area + guard;
	}

	std::size_t size() const { return m_size; }

private:
	int m_fd;
	std::size_t m_size;
};

std::uint64_t content(const std::string &name)
{
	return std::hash<std::string>()(name) | 1;
}

/* Looks names up in memory that it may only read; 0 is a good result. */
int read_beside(const char *base, std::size_t size, std::ptrdiff_t index_at,
		std::ptrdiff_t mutex_at, std::atomic<bool> &stop)
{
	const auto &index =
		*reinterpret_cast<const robust::named_index *>(base + index_at);
	const auto &mutex =
		*reinterpret_cast<const robust::mutex_type *>(base + mutex_at);
	std::mt19937 random(1);
	std::vector<std::string> wanted;
	int valid[3] = {};

	for (const char *prefix : {"stay", "go", "never"})
		for (int i = 0; i < 64; ++i)
			wanted.push_back(number(prefix, i));
	while (!stop.load()) {
		const auto which = random() % wanted.size();
		const auto before = mutex.generation();
		const auto found = index.find_shared(wanted[which].data(),
						     wanted[which].size());
		const char *value = static_cast<const char *>(found.address);
		std::uint64_t word = 0;

		if (value) {
			if (value < base || value > base + size ||
			    found.size > static_cast<std::size_t>(base + size -
								  value))
				return 1;
			if (found.size >= sizeof(word))
				std::memcpy(&word, value, sizeof(word));
		}
		std::atomic_thread_fence(std::memory_order_acquire);
		if (before == mutex.generation() && !(before & 1)) {
			++valid[which / 64];
			if ((which < 64 && !value) || (which >= 128 && value))
				return 2;
			if (value && (found.size != sizeof(word) ||
				      word != content(wanted[which])))
				return 3;
		}
		if (random() % 1024 == 0) {
			long steps = 0;

			for (auto each = index.begin(); each != index.end();
			     ++each)
				++steps;
			if (steps > 1 << 20)
				return 4;
			index.check_sanity();
		}
	}
	return valid[0] > 100 && valid[1] > 100 && valid[2] > 100 ? 0 : 5;
}

} // namespace

/* All that may happen to a table happens to it while others read. */
TEST(hash_index, readers_without_a_lock)
{
	const file segment(std::size_t{1} << 20);
	memory board(4096);
	auto &stop = *new (board.data()) std::atomic<bool>(false);
	char *base = segment.map(PROT_READ | PROT_WRITE);
	const char *view = segment.map(PROT_READ);
	robust at(base, segment.size());
	std::mt19937 random(std::random_device{}());
	std::vector<void *> blocks;
	const auto index_at = reinterpret_cast<char *>(at.named) - base;
	const auto mutex_at = reinterpret_cast<char *>(at.mutex) - base;

	for (int i = 0; i < 64; ++i) {
		const std::string name = number("stay", i);

		at.all.construct<std::uint64_t>(name.c_str())(content(name));
	}
	test::child process([&] {
		return read_beside(view, segment.size(), index_at, mutex_at,
				   stop);
	});
	const auto end = std::chrono::steady_clock::now() +
			 std::chrono::milliseconds(800);

	for (int i = 0; std::chrono::steady_clock::now() < end; ++i) {
		const std::string name = number("go", random() % 64);

		switch (random() % 8) {
		case 0:
		case 1:
		case 2:
			at.all.find_or_construct<std::uint64_t>(name.c_str())(
				content(name));
			break;
		case 3:
		case 4:
			at.all.destroy<std::uint64_t>(name.c_str());
			break;
		case 5: {
			/* Where tables were comes something else. */
			const std::size_t size = std::size_t{64}
						 << random() % 8;
			void *block = at.all.allocate(size, std::nothrow);

			if (block) {
				std::memset(block, static_cast<int>(random()),
					    size);
				blocks.push_back(block);
			}
			break;
		}
		case 6:
			while (blocks.size() > 20) {
				at.all.deallocate(blocks.back());
				blocks.pop_back();
			}
			break;
		default:
			if (random() % 2)
				at.all.shrink_to_fit_indexes();
			else
				at.all.reserve_named_objects(random() % 2000);
		}
		if (i % 16 == 0)
			std::this_thread::yield();
	}
	stop = true;
	EXPECT_EQ(process.wait(), 0);
	EXPECT_TRUE(at.named->check_sanity());
}

/* Nothing in a table or a node leads a reader out of the segment. */
TEST(hash_index, garbage_stays_inside)
{
	const file segment(std::size_t{1} << 16);
	char *base = segment.map(PROT_READ | PROT_WRITE);
	plain at(base, segment.size());
	const auto seed = std::random_device{}();
	SCOPED_TRACE(seed);
	std::mt19937_64 random(seed);
	std::vector<std::string> known;

	for (int i = 0; i < 200; ++i) {
		known.push_back(number("name", i));
		at.all.construct<int>(known.back().c_str())(i);
	}

	const std::vector<char> good(base, base + segment.size());
	/* Behind where it is and its key; what is before is never written. */
	const std::ptrdiff_t table =
		reinterpret_cast<char *>(at.named) - base + 48;
	const auto blocks = static_cast<std::ptrdiff_t>(
		sizeof(plain::segment::segment_manager));
	const auto words = [](std::ptrdiff_t bytes) {
		return static_cast<std::uint64_t>(bytes) / 8;
	};
	const std::uint64_t head = words(
		static_cast<std::ptrdiff_t>(sizeof(plain::named_index)) - 48);
	const std::uint64_t rest =
		words(static_cast<std::ptrdiff_t>(segment.size()) - blocks);
	int found = 0;

	for (int round = 0; round < 400; ++round) {
		std::memcpy(base, good.data(), good.size());
		for (auto n = random() % (1u << round % 14); n; --n) {
			std::uint64_t word;
			char *where = base + blocks + random() % rest * 8;

			if (random() % 64 == 0)
				where = base + table + random() % head * 8;
			std::memcpy(&word, where, sizeof(word));
			if (round % 2)
				word ^= std::uint64_t{1} << random() % 64;
			else
				word = random() >> random() % 64;
			std::memcpy(where, &word, sizeof(word));
		}
		for (const std::string &name : known) {
			const auto value =
				at.named->find_shared(name.data(), name.size());
			const char *from =
				static_cast<const char *>(value.address);

			if (!from)
				continue;
			++found;
			ASSERT_GE(from, base);
			ASSERT_LE(from, base + segment.size());
			ASSERT_LE(value.size,
				  static_cast<std::size_t>(
					  base + segment.size() - from));
		}
		for (auto each = at.named->begin(); each != at.named->end();
		     ++each) {
			const char *node =
				reinterpret_cast<const char *>(&*each);

			ASSERT_GE(node, base);
			ASSERT_LT(node, base + segment.size());
		}
		at.named->check_sanity();
	}
	EXPECT_GT(found, 1000);
	std::memcpy(base, good.data(), good.size());
	EXPECT_TRUE(at.named->check_sanity());
}
