/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Names and lives of named objects
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "kernel_named_support.hpp"

#include <shm_kernel/interprocess/detail/layout_stamp.hpp>
#include <shm_kernel/interprocess/kernel_named.hpp>
#include <shm_kernel/interprocess/remove_kernel_shared_memory_on_destroy.hpp>

#include <boost/interprocess/exceptions.hpp>

#include <array>
#include <atomic>
#include <cstring>
#include <new>
#include <tuple>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

namespace {

using namespace test;
using sk::kernel_memory_exception;

/* The error that a call throws; none if it does not. */
template <typename Call>
std::error_code thrown_by(Call call)
{
	try {
		call();
	} catch (const kernel_memory_exception &error) {
		return error.code();
	}
	return {};
}

template <typename Tag, typename T>
std::error_code error_of_making(Tag tag, const std::string &name)
{
	return thrown_by([&] { make<T>(tag, name); });
}

/* Whether there is an object of that name, and a good one. */
template <typename T>
bool there_is(const std::string &name)
{
	const std::error_code error =
		error_of_making<bip::open_only_t, T>(bip::open_only, name);

	if (error && error != sk::errc::not_found)
		ADD_FAILURE() << name << ": " << error.message();
	return !error;
}

/* Memory of all processes that are forked from here on. */
template <typename T>
class shared final
{
public:
	shared()
		: m_object(::new (
			  ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0)) T())
	{
	}
	shared(const shared &) = delete;
	shared &operator=(const shared &) = delete;
	~shared() { ::munmap(m_object, sizeof(T)); }

	T &operator*() const { return *m_object; }
	T *operator->() const { return m_object; }

private:
	T *m_object;
};

template <typename T>
class kernel_named_life : public device_test
{
};

using users_types = ::testing::Types<
	sk::kernel_named_mutex, sk::kernel_named_recursive_mutex,
	sk::kernel_named_semaphore, sk::kernel_named_condition,
	sk::kernel_named_condition_any, sk::kernel_named_sharable_mutex,
	sk::kernel_named_upgradable_mutex>;

TYPED_TEST_SUITE(kernel_named_life, users_types, );

TYPED_TEST(kernel_named_life, ends_with_the_last_user)
{
	const std::string name = fresh_name();
	auto one = make<TypeParam>(bip::create_only, name);
	auto two = make<TypeParam>(bip::open_only, name);

	one.reset();
	EXPECT_TRUE(there_is<TypeParam>(name));
	two.reset();
	EXPECT_FALSE(there_is<TypeParam>(name));
}

TYPED_TEST(kernel_named_life, ends_when_the_last_user_is_killed)
{
	const std::string name = fresh_name();
	gate ready;
	child user([&] {
		const auto object = make<TypeParam>(bip::create_only, name);

		ready.open();
		return until_killed();
	});

	ready.wait();
	EXPECT_TRUE(there_is<TypeParam>(name));
	user.kill();
	EXPECT_FALSE(there_is<TypeParam>(name));
}

TYPED_TEST(kernel_named_life, goes_on_with_another_when_its_creator_is_killed)
{
	const std::string name = fresh_name();
	gate ready;
	child user([&] {
		const auto object = make<TypeParam>(bip::create_only, name);

		ready.open();
		return until_killed();
	});

	ready.wait();
	auto mine = make<TypeParam>(bip::open_or_create, name);

	user.kill();
	EXPECT_TRUE(there_is<TypeParam>(name));
	mine.reset();
	EXPECT_FALSE(there_is<TypeParam>(name));
}

/* Ends at exec(), for a child of fork() as well: no descriptor goes on. */
TYPED_TEST(kernel_named_life, ends_at_exec)
{
	const std::string name = fresh_name();
	gate ready;
	child user([&] {
		auto object = make<TypeParam>(bip::create_only, name);
		const child heir([&] {
			ready.open();
			return ::execl("/bin/sleep", "sleep", "60", nullptr);
		});

		ready.open();
		return ::execl("/bin/sleep", "sleep", "60", nullptr);
	});

	ready.wait(2);
	EXPECT_TRUE(eventually([&] { return !there_is<TypeParam>(name); }));
	EXPECT_EQ(::kill(user.pid(), 0), 0);
}

TYPED_TEST(kernel_named_life, leaks_no_descriptor)
{
	const auto descriptors = [] {
		DIR *const dir = ::opendir("/proc/self/fd");
		int count = 0;

		while (::readdir(dir))
			++count;
		::closedir(dir);
		return count;
	};
	const std::string name = fresh_name();
	const int before = descriptors();

	{
		const auto object = make<TypeParam>(bip::create_only, name);

		EXPECT_EQ(descriptors(), before + 1);
		EXPECT_EQ((error_of_making<bip::create_only_t, TypeParam>(
				  bip::create_only, name)),
			  sk::errc::name_exists);
		EXPECT_EQ(descriptors(), before + 1);
		EXPECT_EQ(child([&] {
				  return descriptors() == before + 1 ? 0 : 1;
			  }).wait(),
			  0);
	}
	EXPECT_EQ(descriptors(), before);
}

TYPED_TEST(kernel_named_life, may_lose_its_name_and_stay)
{
	const std::string name = fresh_name();
	const auto old = make<TypeParam>(bip::create_only, name);

	EXPECT_TRUE(TypeParam::remove(name.c_str()));
	EXPECT_FALSE(there_is<TypeParam>(name));

	const auto fresh = make<TypeParam>(bip::open_or_create, name);

	EXPECT_NE(old->get_region().info().id(),
		  fresh->get_region().info().id());
}

TYPED_TEST(kernel_named_life, takes_the_names_of_regions)
{
	const std::string name = fresh_name();
	const auto object = make<TypeParam>(bip::create_only, '/' + name);

	EXPECT_TRUE(there_is<TypeParam>(name));
	for (const char *bad : {"", "/", ".", "..", "a/b"}) {
		EXPECT_EQ((error_of_making<bip::create_only_t, TypeParam>(
				  bip::create_only, bad)),
			  sk::errc::invalid_name)
			<< bad;
		EXPECT_EQ((error_of_making<bip::open_or_create_t, TypeParam>(
				  bip::open_or_create, bad)),
			  sk::errc::invalid_name)
			<< bad;
		EXPECT_FALSE(TypeParam::remove(bad));
	}
	EXPECT_EQ((error_of_making<bip::create_only_t, TypeParam>(
			  bip::create_only, std::string(256, 'n'))),
		  sk::errc::name_too_long);
}

TYPED_TEST(kernel_named_life, has_the_mode_it_was_given)
{
	const std::string name = fresh_name();

	for (const bip::permissions &perm :
	     {bip::permissions(0600), bip::permissions(0644),
	      bip::permissions(0666), bip::permissions(0)}) {
		const auto object =
			make<TypeParam>(bip::create_only, name, perm);

		EXPECT_EQ(object->get_region().info().mode(),
			  static_cast<mode_t>(perm.get_permissions()));
	}
}

TYPED_TEST(kernel_named_life, cannot_be_made_smaller)
{
	const auto object = make<TypeParam>(bip::create_only, fresh_name());
	std::error_code error;

	object->get_region().resize(0, error);
	EXPECT_EQ(error, sk::errc::sealed);
}

TYPED_TEST(kernel_named_life, is_for_who_may_read_and_write)
{
	if (!this->root())
		GTEST_SKIP() << "needs root";

	const open_for_all node;
	const std::string name = fresh_name();
	const auto others = [&] {
		return child([&] {
			       become(65534);

			       const std::error_code error =
				       error_of_making<bip::open_only_t,
						       TypeParam>(
					       bip::open_only, name);

			       if (error == sk::errc::permission_denied)
				       return 1;
			       return error ? 2 : 0;
		       })
			.wait();
	};

	for (const bip::permissions &perm :
	     {bip::permissions(0600), bip::permissions(0644),
	      bip::permissions(0622)}) {
		const auto object =
			make<TypeParam>(bip::create_only, name, perm);

		EXPECT_EQ(others(), 1) << perm.get_permissions();
	}

	bip::permissions all;

	all.set_unrestricted();
	const auto object = make<TypeParam>(bip::create_only, name, all);

	EXPECT_EQ(others(), 0);
	EXPECT_EQ(
		child([&] {
			become(65534);
			try {
				make<TypeParam>(bip::create_only, name);
			} catch (const bip::interprocess_exception &error) {
				return error.get_error_code() ==
							       bip::already_exists_error &&
						       !TypeParam::remove(
							       name.c_str())
					       ? 0
					       : 1;
			}
			return 2;
		}).wait(),
		0);
	EXPECT_TRUE(there_is<TypeParam>(name));
}

TYPED_TEST(kernel_named_life, tells_that_there_is_no_driver)
{
	if (!this->root())
		GTEST_SKIP() << "needs root";
	EXPECT_EQ(
		with_empty_dev([] {
			const std::string name = "test";
			const sk::errc missing = sk::errc::device_missing;

			return error_of_making<bip::create_only_t, TypeParam>(
				       bip::create_only, name) == missing &&
					       error_of_making<bip::open_only_t,
							       TypeParam>(
						       bip::open_only, name) ==
						       missing &&
					       error_of_making<
						       bip::open_or_create_t,
						       TypeParam>(
						       bip::open_or_create,
						       name) == missing &&
					       !TypeParam::remove(name.c_str())
				       ? 0
				       : 1;
		}),
		0);
}

/* Of many that create at the same time, one does. */
TYPED_TEST(kernel_named_life, has_one_creator_in_a_storm)
{
	constexpr int count = 5;
	struct result
	{
		std::atomic<std::uint64_t> creators;
		std::atomic<std::uint64_t> regions[count];
	};
	const std::string name = fresh_name();
	const std::string other = fresh_name();

	for (int round = 0; round < 2; ++round) {
		const shared<result> seen;
		gate start;
		gate done;
		gate end;
		std::vector<child> processes;

		for (int i = 0; i < count; ++i)
			processes.emplace_back([&, i] {
				std::unique_ptr<TypeParam> object;
				std::unique_ptr<TypeParam> created;

				start.wait();
				thrown_by([&] {
					object = make<TypeParam>(
						bip::open_or_create, name);
					seen->regions[i] = object->get_region()
								   .info()
								   .id();
				});
				if (!thrown_by([&] {
					    created = make<TypeParam>(
						    bip::create_only, other);
				    }))
					++seen->creators;
				done.open();
				end.wait();
				return object ? 0 : 1;
			});
		start.open(count);
		done.wait(count);
		EXPECT_EQ(seen->creators, 1U);
		for (int i = 0; i < count; ++i)
			EXPECT_EQ(seen->regions[i], seen->regions[0]);
		end.open(count);
		for (child &process : processes)
			EXPECT_EQ(process.wait(), 0);
		EXPECT_FALSE(there_is<TypeParam>(name));
	}
}

/*
 * Runs @run in a process that is killed after its system call number @calls.
 * False if it had ended before.
 */
bool killed_after(int calls, const std::function<void()> &run)
{
	const pid_t pid = ::fork();
	int status = 0;

	if (!pid) {
		::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
		::raise(SIGSTOP);
		run();
		::_exit(0);
	}
	::waitpid(pid, &status, 0);
	/* Each stops it twice, and what it does between is not seen by others. */
	for (int i = 0; i < 2 * calls; ++i) {
		::ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr);
		::waitpid(pid, &status, 0);
		if (!WIFSTOPPED(status))
			return false;
		if (WSTOPSIG(status) != SIGTRAP)
			break;
	}
	::kill(pid, SIGKILL);
	::waitpid(pid, nullptr, 0);
	if (WSTOPSIG(status) == SIGABRT) {
		ADD_FAILURE() << "threw after " << calls << " calls";
		return false;
	}
	return true;
}

/* What differs between the types is done in memory that nobody else has. */
TEST_F(device_test, kernel_named_leaves_nothing_of_a_creator_killed_anywhere)
{
	using type = sk::kernel_named_mutex;
	const std::string name = fresh_name();
	int calls = 0;

	while (killed_after(calls,
			    [&] { make<type>(bip::open_or_create, name); })) {
		EXPECT_FALSE(there_is<type>(name)) << calls;
		++calls;
	}
	EXPECT_GT(calls, 5);
}

/*
 * The ones that stay
 */

template <typename T>
class kernel_named_persistent : public device_test
{
};

using removal_types =
	::testing::Types<sk::persistent_kernel_named_mutex,
			 sk::persistent_kernel_named_recursive_mutex,
			 sk::persistent_kernel_named_semaphore,
			 sk::persistent_kernel_named_condition,
			 sk::persistent_kernel_named_condition_any,
			 sk::persistent_kernel_named_sharable_mutex,
			 sk::persistent_kernel_named_upgradable_mutex>;

TYPED_TEST_SUITE(kernel_named_persistent, removal_types, );

TYPED_TEST(kernel_named_persistent, stays_until_it_is_removed)
{
	const std::string name = fresh_name();

	{
		const sk::remove_kernel_shared_memory_on_destroy end(
			std::string(name).c_str());

		EXPECT_EQ(child([&] {
				  make<TypeParam>(bip::create_only, name);
				  return 0;
			  }).wait(),
			  0);
		EXPECT_TRUE(there_is<TypeParam>(name));
		EXPECT_EQ((error_of_making<bip::create_only_t, TypeParam>(
				  bip::create_only, name)),
			  sk::errc::name_exists);
	}
	EXPECT_FALSE(there_is<TypeParam>(name));
}

TEST_F(device_test, kernel_named_is_complete_wherever_its_creator_is_killed)
{
	using type = sk::persistent_kernel_named_upgradable_mutex;
	const std::string name = fresh_name();
	int without = 0;
	int with = 0;

	while (killed_after(without + with,
			    [&] { make<type>(bip::open_or_create, name); })) {
		/* A bad one would be another error than not_found. */
		if (there_is<type>(name)) {
			++with;
			EXPECT_TRUE(type::remove(name.c_str()));
		} else {
			++without;
			EXPECT_EQ(with, 0);
		}
	}
	type::remove(name.c_str());
	EXPECT_GT(without, 5);
	EXPECT_GT(with, 0);
}

/*
 * What is not such an object
 */

class kernel_named_layout : public device_test
{
};

using every_type = std::tuple<
	sk::kernel_named_mutex, sk::kernel_named_recursive_mutex,
	sk::kernel_named_semaphore, sk::kernel_named_condition,
	sk::kernel_named_condition_any, sk::kernel_named_sharable_mutex,
	sk::kernel_named_upgradable_mutex, sk::strict_kernel_named_mutex,
	sk::strict_kernel_named_recursive_mutex>;

template <typename Function, typename... T>
void for_each_of(const std::tuple<T...> *, Function function)
{
	(function(static_cast<T *>(nullptr)), ...);
}

template <typename Function>
void for_every_type(Function function)
{
	for_each_of(static_cast<const every_type *>(nullptr), function);
}

TEST_F(kernel_named_layout, is_refused_by_all_others)
{
	for_every_type([](auto *mine) {
		using type = std::remove_pointer_t<decltype(mine)>;
		const std::string name = fresh_name();
		const auto object = make<type>(bip::create_only, name);

		for_every_type([&](auto *theirs) {
			using other = std::remove_pointer_t<decltype(theirs)>;
			constexpr bool same = std::is_same_v<type, other>;
			const std::error_code expected =
				same ? std::error_code()
				     : sk::errc::layout_mismatch;

			EXPECT_EQ((error_of_making<bip::open_only_t, other>(
					  bip::open_only, name)),
				  expected);
			EXPECT_EQ(
				(error_of_making<bip::open_or_create_t, other>(
					bip::open_or_create, name)),
				expected);
			EXPECT_EQ((error_of_making<bip::create_only_t, other>(
					  bip::create_only, name)),
				  sk::errc::name_exists);
		});
	});
}

TEST_F(kernel_named_layout, says_what_it_is)
{
	const std::string name = fresh_name();
	const auto object =
		make<sk::kernel_named_upgradable_mutex>(bip::create_only, name);

	try {
		make<sk::kernel_named_semaphore>(bip::open_only, name);
		ADD_FAILURE() << "opened";
	} catch (const kernel_memory_exception &error) {
		EXPECT_NE(std::strstr(error.what(), name.c_str()), nullptr);
		EXPECT_NE(std::strstr(error.what(),
				      "is a named upgradable mutex, not a "
				      "named semaphore"),
			  nullptr)
			<< error.what();
	}
}

struct point
{
	explicit point(int first = 0) : x(first) {}

	std::atomic<int> x;
	std::atomic<int> y{2};
};

using named_point = sk::kernel_named<point>;

/* What is in a tag and a region, changed in one place each time. */
TEST_F(kernel_named_layout, is_looked_at_closely)
{
	using stamp = sk::detail::layout_stamp;
	const std::string name = fresh_name();
	stamp good(sk::detail::content::named_object);

	good.types = sk::detail::hash_of_types<point>();

	const auto opening = [&](const stamp &tag, std::uint64_t size,
				 bool sealed) {
		auto region = sk::region::create(
			sk::create_options().set_size(size).set_tag(
				&tag, sizeof(tag)));

		if (sealed)
			region.add_seals(sk::seal::shrink);
		region.bind(name);
		return thrown_by(
			[&] { named_point(bip::open_only, name.c_str()); });
	};
	const auto changed = [&](auto change) {
		stamp tag = good;

		change(tag);
		return opening(tag, sizeof(point), true);
	};
	const sk::errc mismatch = sk::errc::layout_mismatch;

	EXPECT_EQ(opening(good, sizeof(point), true), std::error_code());
	EXPECT_EQ(opening(good, 4096, true), std::error_code());
	EXPECT_EQ(opening(good, sizeof(point), false), sk::errc::may_shrink);
	EXPECT_EQ(opening(good, sizeof(point) - 1, true), mismatch);
	EXPECT_EQ(opening(good, 0, true), mismatch);
	EXPECT_EQ(changed([](stamp &tag) { tag.magic[0] = 'x'; }), mismatch);
	EXPECT_EQ(changed([](stamp &tag) { ++tag.revision; }), mismatch);
	EXPECT_EQ(changed([](stamp &tag) {
			  tag.kind = sk::detail::content::message_queue;
		  }),
		  mismatch);
	EXPECT_EQ(changed([](stamp &tag) { tag.pointer_size ^= 12; }),
		  mismatch);
	EXPECT_EQ(changed([](stamp &tag) { ++tag.types; }), mismatch);
	EXPECT_EQ(changed([](stamp &tag) { ++tag.extra; }), mismatch);
	EXPECT_EQ(changed([](stamp &tag) { ++tag.boost_version; }),
		  std::error_code());

	const auto plain = sk::region::create(name, 4096);

	EXPECT_EQ(thrown_by([&] { named_point(bip::open_only, name.c_str()); }),
		  mismatch);
}

/*
 * Objects of one's own
 */

class kernel_named_own : public device_test
{
};

TEST_F(kernel_named_own, is_constructed_once)
{
	const std::string name = fresh_name();
	const named_point one(bip::create_only, name.c_str(),
			      bip::permissions(), 1);
	const named_point two(bip::open_or_create, name.c_str(),
			      bip::permissions(), 5);
	const named_point three(bip::open_only, name.c_str());

	EXPECT_EQ(two->x, 1);
	EXPECT_EQ((*three).y, 2);
	one->x = 7;
	EXPECT_EQ(three.get().x, 7);
	EXPECT_EQ(one.get_mapping().size(), sizeof(point));
	EXPECT_EQ(child([&] {
			  const named_point mine(bip::open_only, name.c_str());

			  mine->y = mine->x * 6;
			  return 0;
		  }).wait(),
		  0);
	EXPECT_EQ(one->y, 42);
}

/* Looks for itself. */
struct curious
{
	curious(const std::string &name, bool &found)
	{
		try {
			sk::kernel_named<curious>(bip::open_only, name.c_str());
			found = true;
		} catch (const kernel_memory_exception &) {
		}
	}

	int nothing = 0;
};

TEST_F(kernel_named_own, is_constructed_before_it_has_its_name)
{
	const std::string name = fresh_name();
	bool found = false;
	const sk::kernel_named<curious> one(bip::create_only, name.c_str(),
					    bip::permissions(), name, found);

	EXPECT_FALSE(found);

	const sk::kernel_named<curious> two(bip::open_or_create, name.c_str(),
					    bip::permissions(), name, found);

	EXPECT_FALSE(found);
}

struct refuses
{
	refuses() { throw std::bad_alloc(); }
};

TEST_F(kernel_named_own, leaves_nothing_when_its_constructor_throws)
{
	const std::string name = fresh_name();

	EXPECT_THROW(sk::kernel_named<refuses>(bip::create_only, name.c_str(),
					       bip::permissions()),
		     std::bad_alloc);
	EXPECT_EQ(thrown_by([&] { named_point(bip::open_only, name.c_str()); }),
		  sk::errc::not_found);
}

TEST_F(kernel_named_own, removes_by_a_copied_name)
{
	const std::string name = fresh_name();
	const named_point object(bip::create_only, name.c_str(),
				 bip::permissions());

	{
		std::string changing = name;
		const sk::remove_kernel_shared_memory_on_destroy end =
			changing.c_str();

		changing.assign(changing.size(), '#');
		EXPECT_EQ(thrown_by([&] {
				  named_point(bip::open_only, name.c_str());
			  }),
			  std::error_code());
	}
	EXPECT_EQ(thrown_by([&] { named_point(bip::open_only, name.c_str()); }),
		  sk::errc::not_found);
	const sk::remove_kernel_shared_memory_on_destroy nothing(name.c_str());
}

} // namespace
