/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Named locks whose users are killed
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "kernel_named_support.hpp"

#include <shm_kernel/interprocess/detail/futex.hpp>
#include <shm_kernel/interprocess/kernel_named.hpp>
#include <shm_kernel/interprocess/robust_mutex.hpp>

#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/interprocess/sync/sharable_lock.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using namespace test;
using namespace std::chrono_literals;
using sk::kernel_memory_exception;

constexpr milliseconds moment(30);

/* What processes count together in a region of their own. */
struct numbers
{
	std::atomic<std::uint32_t> inside{0};
	std::atomic<std::uint32_t> mistakes{0};
	/* Not atomic: it is what the lock protects. */
	volatile std::uint64_t sum = 0;
};

using named_numbers = sk::kernel_named<numbers>;

/*
 * Mutexes
 */

template <typename T>
class kernel_named_robust : public device_test
{
protected:
	const std::string m_name = fresh_name();
};

using robust_types = ::testing::Types<sk::kernel_named_mutex,
				      sk::kernel_named_recursive_mutex>;

TYPED_TEST_SUITE(kernel_named_robust, robust_types, );

TYPED_TEST(kernel_named_robust, is_given_back_by_the_dead)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());
	gate ready;
	child owner([&] {
		TypeParam mine(bip::open_only, this->m_name.c_str());

		mine.lock();
		ready.open();
		return until_killed();
	});

	ready.wait();
	EXPECT_FALSE(mutex.try_lock());
	EXPECT_EQ(mutex.recoveries(), 0U);
	EXPECT_TRUE(mutex.consistent());

	auto waiter = std::async(std::launch::async, [&] {
		const bool got = mutex.timed_lock(long_after());

		if (got)
			mutex.unlock();
		return got;
	});

	std::this_thread::sleep_for(moment);
	owner.kill();
	EXPECT_TRUE(waiter.get());
	EXPECT_EQ(mutex.recoveries(), 1U);
	EXPECT_FALSE(mutex.consistent());
	mutex.mark_consistent();
	EXPECT_TRUE(mutex.consistent());
	EXPECT_TRUE(mutex.try_lock());
	mutex.unlock();
}

/* A thread that ends is as dead as a process. */
TYPED_TEST(kernel_named_robust, is_given_back_by_a_thread_that_ends)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());

	std::thread([&] { mutex.lock(); }).join();
	EXPECT_TRUE(mutex.timed_lock(long_after()));
	EXPECT_EQ(mutex.recoveries(), 1U);
	mutex.unlock();
}

/*
 * An owner that destroys the object, and others that it has beside it, must not
 * break the list that the kernel follows when the owner ends.
 */
TYPED_TEST(kernel_named_robust, is_given_back_after_the_object_is_gone)
{
	const std::string other = fresh_name();
	TypeParam first(bip::create_only, this->m_name.c_str());
	TypeParam second(bip::create_only, other.c_str());

	EXPECT_EQ(child([&] {
			  auto one = make<TypeParam>(bip::open_only, other);
			  auto two =
				  make<TypeParam>(bip::open_only, this->m_name);

			  one->lock();
			  two->lock();
			  one.reset();
			  two.reset();
			  return 0;
		  }).wait(),
		  0);
	EXPECT_TRUE(first.timed_lock(ptime_in(2s)));
	EXPECT_TRUE(second.timed_lock(ptime_in(2s)));
	EXPECT_EQ(first.recoveries() + second.recoveries(), 2U);
	first.unlock();
	second.unlock();
}

template <typename T>
class kernel_named_strict : public kernel_named_robust<T>
{
};

using strict_types = ::testing::Types<sk::strict_kernel_named_mutex,
				      sk::strict_kernel_named_recursive_mutex>;

TYPED_TEST_SUITE(kernel_named_strict, strict_types, );

TYPED_TEST(kernel_named_strict, says_that_its_owner_died)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());

	child([&] {
		TypeParam(bip::open_only, this->m_name.c_str()).lock();
		return 0;
	}).wait();
	for (int i = 0; i < 2; ++i)
		try {
			mutex.lock();
			ADD_FAILURE() << "locked";
		} catch (const kernel_memory_exception &error) {
			EXPECT_EQ(error.code(), sk::errc::owner_dead);
		}
	mutex.mark_consistent();
	EXPECT_TRUE(mutex.try_lock());
	mutex.unlock();
}

TEST_F(device_test, kernel_named_recursive_mutex_gives_back_all_of_its_locks)
{
	using type = sk::kernel_named_recursive_mutex;
	const std::string name = fresh_name();
	type mutex(bip::create_only, name.c_str());

	child([&] {
		type mine(bip::open_only, name.c_str());

		for (int i = 0; i < 3; ++i)
			mine.lock();
		::raise(SIGKILL);
		return 0;
	}).wait();
	EXPECT_TRUE(mutex.timed_lock(long_after()));
	mutex.unlock();
	EXPECT_TRUE(elsewhere([&] {
		const bool got = mutex.try_lock();

		if (got)
			mutex.unlock();
		return got;
	}));
}

/*
 * Everything that excludes
 */

template <typename T>
class kernel_named_exclusion : public device_test
{
protected:
	const std::string m_name = fresh_name();
};

/* A semaphore that counts to one, as a mutex. */
class binary_semaphore final
{
public:
	template <typename Tag>
	binary_semaphore(Tag, const char *name)
		: m_semaphore(bip::open_or_create, name, 1)
	{
	}

	void lock() { m_semaphore.wait(); }
	void unlock() { m_semaphore.post(); }

private:
	sk::kernel_named_semaphore m_semaphore;
};

using exclusion_types =
	::testing::Types<sk::kernel_named_mutex,
			 sk::kernel_named_recursive_mutex, binary_semaphore,
			 sk::kernel_named_sharable_mutex,
			 sk::kernel_named_upgradable_mutex>;

TYPED_TEST_SUITE(kernel_named_exclusion, exclusion_types, );

TYPED_TEST(kernel_named_exclusion, lets_one_of_all_threads_of_all_processes_in)
{
	constexpr unsigned int rounds = 60;
	const std::string counted = fresh_name();
	const named_numbers count(bip::create_only, counted.c_str(),
				  bip::permissions());
	TypeParam keeps_the_name(bip::create_only, this->m_name.c_str());
	std::vector<child> processes;

	for (int i = 0; i < 3; ++i)
		processes.emplace_back([&] {
			TypeParam mutex(bip::open_only, this->m_name.c_str());
			const auto work = [&] {
				for (unsigned int n = 0; n < rounds; ++n) {
					const std::lock_guard<TypeParam> guard(
						mutex);
					const std::uint64_t seen = count->sum;

					if (count->inside++)
						++count->mistakes;
					if (n % 4 == 0)
						::sched_yield();
					count->sum = seen + 1;
					--count->inside;
				}
			};
			std::thread second(work);

			work();
			second.join();
			return 0;
		});
	for (child &process : processes)
		EXPECT_EQ(process.wait(), 0);
	EXPECT_EQ(count->mistakes, 0U);
	EXPECT_EQ(count->sum, 3U * 2 * rounds);
}

/*
 * Sharable and upgradable ownership
 */

using upgradable = sk::kernel_named_upgradable_mutex;

template <typename T>
class kernel_named_shared : public device_test
{
protected:
	const std::string m_name = fresh_name();
};

using shared_types =
	::testing::Types<sk::kernel_named_sharable_mutex, upgradable>;

TYPED_TEST_SUITE(kernel_named_shared, shared_types, );

TYPED_TEST(kernel_named_shared, is_given_back_by_a_dead_reader_or_writer)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());

	for (const bool writes : {false, true}) {
		gate ready;
		child owner([&] {
			TypeParam mine(bip::open_only, this->m_name.c_str());

			writes ? mine.lock() : mine.lock_sharable();
			ready.open();
			return until_killed();
		});

		ready.wait();
		EXPECT_FALSE(mutex.try_lock());
		EXPECT_EQ(mutex.try_lock_sharable(), !writes);
		if (!writes)
			mutex.unlock_sharable();

		auto waiter = std::async(std::launch::async, [&] {
			mutex.lock();
			mutex.unlock();
			return true;
		});

		std::this_thread::sleep_for(moment);
		owner.kill();
		EXPECT_TRUE(waiter.get());
	}
}

/*
 * The open file is the parent's and the child's after fork(), as is what was
 * mapped from it: neither may keep the lock of a parent that is killed.
 */
TYPED_TEST(kernel_named_shared, is_given_back_though_a_forked_child_lives)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());

	for (const bool writes : {false, true}) {
		gate ready;
		gate end;
		child owner([&] {
			TypeParam mine(bip::open_only, this->m_name.c_str());

			writes ? mine.lock() : mine.lock_sharable();
			if (!::fork()) {
				::alarm(patience);
				ready.open();
				end.wait();
				::_exit(0);
			}
			return until_killed();
		});

		ready.wait();
		EXPECT_FALSE(mutex.try_lock());
		owner.kill();
		EXPECT_TRUE(mutex.timed_lock(ptime_in(5s)));
		mutex.unlock();
		end.open();
	}
}

TYPED_TEST(kernel_named_shared, excludes_between_parent_and_child)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());

	mutex.lock();
	/* The copy has nothing, and cannot give back what is its parent's. */
	EXPECT_EQ(child([&] {
			  try {
				  mutex.unlock();
				  return 1;
			  } catch (const bip::lock_exception &) {
			  }
			  return mutex.try_lock() || mutex.try_lock_sharable()
					 ? 2
					 : 0;
		  }).wait(),
		  0);
	EXPECT_FALSE(
		TypeParam(bip::open_only, this->m_name.c_str()).try_lock());
	mutex.unlock();
	mutex.lock_sharable();
	EXPECT_EQ(child([&] {
			  if (mutex.try_lock() || !mutex.try_lock_sharable())
				  return 1;
			  mutex.unlock_sharable();
			  return 0;
		  }).wait(),
		  0);
	EXPECT_FALSE(
		TypeParam(bip::open_only, this->m_name.c_str()).try_lock());
	mutex.unlock_sharable();

	gate ready;
	child owner([&] {
		mutex.lock();
		ready.open();
		return until_killed();
	});

	ready.wait();
	EXPECT_FALSE(mutex.try_lock());
	EXPECT_FALSE(mutex.try_lock_sharable());
	owner.kill();
	EXPECT_TRUE(mutex.try_lock());
	mutex.unlock();
}

/* fork() while other threads lock must not leave the copy locked. */
TYPED_TEST(kernel_named_shared, can_be_forked_at_any_time)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());
	std::atomic<bool> end(false);
	std::thread busy([&] {
		while (!end) {
			mutex.lock_sharable();
			mutex.unlock_sharable();
			mutex.lock();
			mutex.unlock();
		}
	});

	for (int i = 0; i < 20; ++i)
		EXPECT_EQ(child([&] {
				  mutex.lock();
				  mutex.unlock();
				  return 0;
			  }).wait(),
			  0);
	end = true;
	busy.join();
}

TYPED_TEST(kernel_named_shared, excludes_nobody_when_reopening_was_refused)
{
	if (!this->root())
		GTEST_SKIP() << "needs root";

	TypeParam mutex(bip::create_only, this->m_name.c_str(),
			bip::permissions(0600));

	EXPECT_EQ(
		child([&] {
			mutex.lock();
			become(65534);

			const int result =
				child([&] {
					try {
						mutex.try_lock_sharable();
					} catch (const kernel_memory_exception
							 &error) {
						return error.code() == sk::errc::
									       empty_handle
							       ? 0
							       : 1;
					}
					return 2;
				}).wait();

			mutex.unlock();
			return result;
		}).wait(),
		0);
	EXPECT_TRUE(mutex.try_lock());
	mutex.unlock();
}

TYPED_TEST(kernel_named_shared, gives_back_what_an_object_held_that_is_gone)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());
	auto other = make<TypeParam>(bip::open_only, this->m_name);
	/* Keeps the open file of the object, which is more than it may. */
	const sk::mapping kept(other->get_region());

	other->lock();
	EXPECT_FALSE(mutex.try_lock());
	other.reset();
	EXPECT_TRUE(mutex.try_lock());
	mutex.unlock();
	other = make<TypeParam>(bip::open_only, this->m_name);
	other->lock_sharable();
	EXPECT_FALSE(mutex.try_lock());
	other.reset();
	EXPECT_TRUE(mutex.try_lock());
	mutex.unlock();
}

TYPED_TEST(kernel_named_shared, refuses_to_unlock_what_is_not_locked)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());

	EXPECT_THROW(mutex.unlock(), bip::lock_exception);
	EXPECT_THROW(mutex.unlock_sharable(), bip::lock_exception);
	mutex.lock();
	EXPECT_THROW(mutex.unlock_sharable(), bip::lock_exception);
	mutex.unlock();
	mutex.lock_sharable();
	EXPECT_THROW(mutex.unlock(), bip::lock_exception);
	mutex.unlock_sharable();
	EXPECT_TRUE(mutex.try_lock());
	mutex.unlock();
}

TYPED_TEST(kernel_named_shared, serves_the_standard_library)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());
	TypeParam other(bip::open_only, this->m_name.c_str());

	{
		const std::shared_lock<TypeParam> one(mutex);
		const std::shared_lock<TypeParam> two(other, moment);

		EXPECT_TRUE(two.owns_lock());
		EXPECT_FALSE(std::unique_lock<TypeParam>(other, moment));
		EXPECT_FALSE(std::unique_lock<TypeParam>(
			other, std::chrono::system_clock::now() + moment));
		EXPECT_FALSE(std::unique_lock<TypeParam>(
			other, std::chrono::steady_clock::now() + moment));
	}
	const std::unique_lock<TypeParam> writer(other, moment);

	EXPECT_TRUE(writer.owns_lock());
	EXPECT_FALSE(std::shared_lock<TypeParam>(mutex, std::try_to_lock));
	EXPECT_FALSE(std::shared_lock<TypeParam>(
		mutex, std::chrono::steady_clock::now() + moment));
}

/* Readers that follow each other closely do not keep a writer out. */
TYPED_TEST(kernel_named_shared, starves_no_writer)
{
	TypeParam mutex(bip::create_only, this->m_name.c_str());
	const std::string counted = fresh_name();
	const named_numbers count(bip::create_only, counted.c_str(),
				  bip::permissions());
	std::vector<child> readers;

	/* Unless a writer keeps others out, there always is one who reads. */
	for (int i = 0; i < 3; ++i)
		readers.emplace_back([&] {
			TypeParam mine(bip::open_only, this->m_name.c_str());

			for (;;) {
				mine.lock_sharable();
				++count->inside;
				for (int n = 0; n < 10 && count->inside < 2;
				     ++n)
					std::this_thread::sleep_for(1ms);
				if (count->inside > 1)
					count->sum = 1;
				--count->inside;
				mine.unlock_sharable();
			}
			return 0;
		});
	/* Patience for a loaded machine, in which they meet more seldom. */
	EXPECT_TRUE(eventually([&] { return count->sum != 0; }) ||
		    eventually([&] { return count->sum != 0; }));
	for (int i = 0; i < 5; ++i) {
		ASSERT_TRUE(mutex.timed_lock(ptime_in(10s)));
		mutex.unlock();
	}
}

/* What one is killed in, and what it needs the parent to hold. */
struct ending
{
	const char *name;
	char parent;
	void (*run)(upgradable &);
	const char *before;
};

std::ostream &operator<<(std::ostream &out, const ending &value)
{
	return out << value.name;
}

class kernel_named_upgradable_endings
	: public device_test,
	  public ::testing::WithParamInterface<ending>
{
};

std::string free_for(upgradable &mutex)
{
	std::string result;

	if (mutex.try_lock()) {
		mutex.unlock();
		result += 'x';
	}
	if (mutex.try_lock_upgradable()) {
		mutex.unlock_upgradable();
		result += 'u';
	}
	if (mutex.try_lock_sharable()) {
		mutex.unlock_sharable();
		result += 's';
	}
	return result;
}

TEST_P(kernel_named_upgradable_endings, leave_all_as_if_it_had_never_been)
{
	const ending &param = GetParam();
	const std::string name = fresh_name();
	upgradable mutex(bip::create_only, name.c_str());
	upgradable third(bip::open_only, name.c_str());
	std::string with;
	gate ready;

	switch (param.parent) {
	case 'x':
		mutex.lock();
		with = "";
		break;
	case 'u':
		mutex.lock_upgradable();
		with = "s";
		break;
	case 's':
		mutex.lock_sharable();
		with = "us";
		break;
	default:
		with = "xus";
		break;
	}

	child victim([&] {
		upgradable mine(bip::open_only, name.c_str());

		ready.open();
		param.run(mine);
		return until_killed();
	});

	ready.wait();
	EXPECT_TRUE(eventually([&] { return free_for(third) == param.before; }))
		<< free_for(third);
	std::this_thread::sleep_for(moment);
	EXPECT_EQ(free_for(third), param.before);
	victim.kill();
	EXPECT_EQ(free_for(third), with);
	switch (param.parent) {
	case 'x':
		mutex.unlock();
		break;
	case 'u':
		mutex.unlock_upgradable();
		break;
	case 's':
		mutex.unlock_sharable();
		break;
	}
	EXPECT_EQ(free_for(third), "xus");
	EXPECT_EQ(free_for(mutex), "xus");
}

const ending endings[] = {
	{"writes", '-', [](upgradable &m) { m.lock(); }, ""},
	{"reads", '-', [](upgradable &m) { m.lock_sharable(); }, "us"},
	{"may_upgrade", '-', [](upgradable &m) { m.lock_upgradable(); }, "s"},
	{"waits_to_write_for_a_reader", 's', [](upgradable &m) { m.lock(); },
	 ""},
	{"waits_to_write_for_an_upgrader", 'u', [](upgradable &m) { m.lock(); },
	 "s"},
	{"waits_to_write_for_a_writer", 'x', [](upgradable &m) { m.lock(); },
	 ""},
	{"waits_with_time_to_write", 's',
	 [](upgradable &m) { m.timed_lock(long_after()); }, ""},
	{"waits_to_read", 'x', [](upgradable &m) { m.lock_sharable(); }, ""},
	{"waits_to_be_upgradable", 'u',
	 [](upgradable &m) { m.lock_upgradable(); }, "s"},
	{"waits_to_be_upgradable_for_a_writer", 'x',
	 [](upgradable &m) { m.lock_upgradable(); }, ""},
	{"waits_to_upgrade", 's',
	 [](upgradable &m) {
		 m.lock_upgradable();
		 m.unlock_upgradable_and_lock();
	 },
	 ""},
	{"upgraded", '-',
	 [](upgradable &m) {
		 m.lock_upgradable();
		 m.unlock_upgradable_and_lock();
	 },
	 ""},
	{"went_back", '-',
	 [](upgradable &m) {
		 m.lock();
		 m.unlock_and_lock_upgradable();
	 },
	 "s"},
	{"went_back_to_read", '-',
	 [](upgradable &m) {
		 m.lock();
		 m.unlock_and_lock_sharable();
	 },
	 "us"},
	{"jumped", '-',
	 [](upgradable &m) {
		 m.lock_sharable();
		 /* The parent tries now and then what it can have. */
		 while (!m.try_unlock_sharable_and_lock())
			 std::this_thread::sleep_for(1ms);
	 },
	 ""},
};

INSTANTIATE_TEST_SUITE_P(all, kernel_named_upgradable_endings,
			 ::testing::ValuesIn(endings), [](const auto &test) {
				 return std::string(test.param.name);
			 });

/* Random ways through all functions, and who is in at the same time. */
class random_user final
{
public:
	random_user(upgradable &mutex, const named_numbers &count,
		    unsigned int seed)
		: m_mutex(mutex), m_count(count), m_random(seed)
	{
	}

	void step()
	{
		switch (pick(7)) {
		case 0:
			m_mutex.lock();
			write();
			from_exclusive();
			break;
		case 1:
			if (!m_mutex.timed_lock(ptime_in(milliseconds(1))))
				break;
			write();
			from_exclusive();
			break;
		case 2:
			if (!m_mutex.try_lock())
				break;
			write();
			m_mutex.unlock();
			break;
		case 3:
			m_mutex.lock_sharable();
			read();
			from_sharable();
			break;
		case 4:
			if (!m_mutex.timed_lock_sharable(
				    ptime_in(milliseconds(1))))
				break;
			read();
			from_sharable();
			break;
		case 5:
			m_mutex.lock_upgradable();
			from_upgradable();
			break;
		default:
			if (m_mutex.try_lock_upgradable())
				from_upgradable();
			break;
		}
	}

private:
	static constexpr std::uint32_t writer = 1 << 20;
	static constexpr std::uint32_t upgrader = 1 << 10;

	unsigned int pick(unsigned int count)
	{
		return static_cast<unsigned int>(m_random() % count);
	}

	void expect(bool good)
	{
		if (!good)
			++m_count->mistakes;
	}

	/* Each counts itself in and out, and looks at who else is in. */
	void stay(std::uint32_t mine, std::uint32_t forbidden)
	{
		expect(!(m_count->inside.fetch_add(mine) & forbidden));
		if (!pick(3))
			::sched_yield();
		expect(!((m_count->inside.fetch_sub(mine) - mine) & forbidden));
	}

	void write()
	{
		m_count->sum = m_count->sum + 1;
		stay(writer, ~0U);
	}

	void read() { stay(1, ~(upgrader - 1) & ~(writer - upgrader)); }
	void upgrade() { stay(upgrader, ~(upgrader - 1)); }

	void from_exclusive()
	{
		switch (pick(3)) {
		case 0:
			m_mutex.unlock();
			break;
		case 1:
			m_mutex.unlock_and_lock_sharable();
			read();
			from_sharable();
			break;
		default:
			m_mutex.unlock_and_lock_upgradable();
			from_upgradable();
			break;
		}
	}

	void from_sharable()
	{
		switch (pick(3)) {
		case 0:
			if (m_mutex.try_unlock_sharable_and_lock()) {
				write();
				from_exclusive();
				return;
			}
			break;
		case 1:
			if (m_mutex.try_unlock_sharable_and_lock_upgradable()) {
				from_upgradable();
				return;
			}
			break;
		}
		read();
		m_mutex.unlock_sharable();
	}

	void from_upgradable()
	{
		upgrade();
		switch (pick(5)) {
		case 0:
			m_mutex.unlock_upgradable_and_lock();
			write();
			from_exclusive();
			return;
		case 1:
			if (m_mutex.try_unlock_upgradable_and_lock()) {
				write();
				from_exclusive();
				return;
			}
			break;
		case 2:
			if (m_mutex.timed_unlock_upgradable_and_lock(
				    ptime_in(milliseconds(1)))) {
				write();
				from_exclusive();
				return;
			}
			break;
		case 3:
			m_mutex.unlock_upgradable_and_lock_sharable();
			read();
			from_sharable();
			return;
		}
		upgrade();
		m_mutex.unlock_upgradable();
	}

	upgradable &m_mutex;
	const named_numbers &m_count;
	std::mt19937 m_random;
};

class kernel_named_random : public device_test
{
protected:
	const std::string m_name = fresh_name();
	const std::string m_counted = fresh_name();
};

TEST_F(kernel_named_random, ways_never_let_in_who_must_not)
{
	upgradable mutex(bip::create_only, m_name.c_str());
	const named_numbers count(bip::create_only, m_counted.c_str(),
				  bip::permissions());
	std::vector<child> processes;

	for (unsigned int i = 0; i < 3; ++i)
		processes.emplace_back([&, i] {
			upgradable mine(bip::open_only, m_name.c_str());
			const auto work = [&](unsigned int seed) {
				random_user user(mine, count, seed);

				for (int n = 0; n < 250; ++n)
					user.step();
			};
			std::thread second(work, 100 + i);

			work(i);
			second.join();
			return 0;
		});
	for (child &process : processes)
		EXPECT_EQ(process.wait(), 0);
	EXPECT_EQ(count->mistakes, 0U);
	EXPECT_EQ(count->inside, 0U);
	EXPECT_GT(count->sum, 100U);
	EXPECT_EQ(free_for(mutex), "xus");
}

TEST_F(kernel_named_random, deaths_never_lock_the_others_out)
{
	upgradable mutex(bip::create_only, m_name.c_str());
	const named_numbers count(bip::create_only, m_counted.c_str(),
				  bip::permissions());
	std::mt19937 random(7);
	std::vector<std::unique_ptr<child>> processes;
	const auto run = [&](unsigned int seed) {
		return std::make_unique<child>([&, seed] {
			upgradable mine(bip::open_only, m_name.c_str());
			random_user user(mine, count, seed);
			std::thread second([&] {
				random_user other(mine, count, seed + 1000);

				for (;;)
					other.step();
			});

			for (;;)
				user.step();
			return 0;
		});
	};

	for (unsigned int i = 0; i < 3; ++i)
		processes.push_back(run(i));
	for (unsigned int i = 0; i < 40; ++i) {
		std::unique_ptr<child> &victim = processes[i % 3];
		const auto before = static_cast<std::uint64_t>(count->sum);

		std::this_thread::sleep_for(
			std::chrono::microseconds(random() % 15000));
		victim->kill();
		/* The others go on. */
		if (i % 10 == 9) {
			EXPECT_TRUE(eventually(
				[&] { return count->sum > before; }));
		}
		victim = run(10 + i);
	}
	processes.clear();
	EXPECT_EQ(free_for(mutex), "xus");
}

/*
 * Semaphores
 */

class kernel_named_semaphore : public device_test
{
protected:
	using type = sk::kernel_named_semaphore;

	const std::string m_name = fresh_name();
};

TEST_F(kernel_named_semaphore, is_not_spoiled_by_dead_waiters)
{
	type semaphore(bip::create_only, m_name.c_str(), 0);

	for (int round = 0; round < 3; ++round) {
		gate ready;
		std::vector<child> waiters;

		for (int i = 0; i < 4; ++i)
			waiters.emplace_back([&] {
				type mine(bip::open_only, m_name.c_str());

				ready.open();
				mine.wait();
				return 1;
			});
		ready.wait(4);
		std::this_thread::sleep_for(moment);
		waiters.clear();
		semaphore.post();
		semaphore.post();
		EXPECT_TRUE(semaphore.try_wait());
		EXPECT_TRUE(semaphore.try_wait());
		EXPECT_FALSE(semaphore.try_wait());
	}
}

/* A wake-up that is meant for another, taken by one that is being killed. */
TEST_F(kernel_named_semaphore, does_not_lose_what_was_posted)
{
	type semaphore(bip::create_only, m_name.c_str(), 0);
	/* The word is the first of the region, and has its bit when they sleep. */
	const sk::mapping view(semaphore.get_region());
	auto &word = *static_cast<sk::detail::futex_word *>(view.data());
	gate ready;

	word = 0x80000000;

	child victim([&] {
		ready.open();
		sk::detail::futex_wait(word, word,
				       std::chrono::nanoseconds::max());
		return 0;
	});

	ready.wait();
	std::this_thread::sleep_for(moment);

	auto waiter = std::async(std::launch::async, [&] {
		return semaphore.timed_wait(long_after());
	});
	const auto start = std::chrono::steady_clock::now();

	std::this_thread::sleep_for(moment);
	semaphore.post();
	EXPECT_TRUE(waiter.get());
	EXPECT_EQ(victim.wait(), 0);
	EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

TEST_F(kernel_named_semaphore, hands_on_between_processes)
{
	constexpr int count = 100;
	const std::string back = fresh_name();
	type there(bip::create_only, m_name.c_str(), 0);
	type here(bip::create_only, back.c_str(), 0);
	child other([&] {
		type wait_for(bip::open_only, m_name.c_str());
		type answer(bip::open_only, back.c_str());

		for (int i = 0; i < count; ++i) {
			wait_for.wait();
			answer.post();
		}
		return 0;
	});

	const auto start = std::chrono::steady_clock::now();

	for (int i = 0; i < count; ++i) {
		there.post();
		ASSERT_TRUE(here.timed_wait(long_after()));
	}
	/* By being woken, not by a look now and then. */
	EXPECT_LT(std::chrono::steady_clock::now() - start, 20s);
	EXPECT_EQ(other.wait(), 0);
}

TEST_F(kernel_named_semaphore, waits_with_every_clock)
{
	type semaphore(bip::create_only, m_name.c_str(), 1);

	EXPECT_TRUE(semaphore.timed_wait(
		boost::posix_time::ptime(boost::posix_time::pos_infin)));
	for (const milliseconds delay : {moment, milliseconds(-1)}) {
		const auto start = std::chrono::steady_clock::now();

		EXPECT_FALSE(semaphore.timed_wait(start + delay));
		EXPECT_FALSE(semaphore.timed_wait(
			std::chrono::system_clock::now() + delay));
		EXPECT_FALSE(semaphore.timed_wait(
			std::chrono::high_resolution_clock::now() + delay));
		EXPECT_FALSE(semaphore.timed_wait(ptime_in(delay)));
		EXPECT_GE(std::chrono::steady_clock::now() - start,
			  4 * delay - milliseconds(4));
	}
	EXPECT_FALSE(semaphore.timed_wait(
		boost::posix_time::ptime(boost::posix_time::neg_infin)));
	EXPECT_FALSE(semaphore.timed_wait(
		std::chrono::steady_clock::time_point::min()));
	semaphore.post();
	EXPECT_TRUE(semaphore.timed_wait(
		std::chrono::system_clock::time_point::max()));
}

TEST_F(kernel_named_semaphore, has_an_end)
{
	constexpr unsigned int most = 0x7fffffff;
	type semaphore(bip::create_only, m_name.c_str(), most);

	try {
		semaphore.post();
		ADD_FAILURE() << "posted";
	} catch (const kernel_memory_exception &error) {
		EXPECT_EQ(error.code(), std::errc::value_too_large);
		EXPECT_EQ(error.get_native_error(), EOVERFLOW);
	}
	EXPECT_TRUE(semaphore.try_wait());
	semaphore.post();
	EXPECT_THROW(type(bip::create_only, fresh_name().c_str(), most + 1),
		     bip::interprocess_exception);
}

/*
 * Conditions
 */

template <typename T>
class kernel_named_waiting : public device_test
{
protected:
	const std::string m_name = fresh_name();
	const std::string m_mutex_name = fresh_name();
	const std::string m_counted = fresh_name();
};

using waiting_types = ::testing::Types<sk::kernel_named_condition,
				       sk::kernel_named_condition_any>;

TYPED_TEST_SUITE(kernel_named_waiting, waiting_types, );

TYPED_TEST(kernel_named_waiting, is_not_spoiled_by_dead_waiters)
{
	using mutex_type = sk::kernel_named_mutex;
	using lock = bip::scoped_lock<mutex_type>;

	mutex_type mutex(bip::create_only, this->m_mutex_name.c_str());
	TypeParam condition(bip::create_only, this->m_name.c_str());
	const named_numbers count(bip::create_only, this->m_counted.c_str(),
				  bip::permissions());
	const auto waiter = [&] {
		return child([&] {
			mutex_type mine(bip::open_only,
					this->m_mutex_name.c_str());
			TypeParam told(bip::open_only, this->m_name.c_str());
			lock held(mine);

			++count->inside;
			told.wait(held, [&] { return count->sum != 0; });
			count->sum = count->sum + 1;
			return 0;
		});
	};
	std::vector<child> victims;

	for (int i = 0; i < 4; ++i)
		victims.push_back(waiter());

	child survivor = waiter();

	EXPECT_TRUE(eventually([&] { return count->inside == 5; }));
	std::this_thread::sleep_for(moment);
	victims.clear();
	condition.notify_one();
	condition.notify_all();
	{
		const lock held(mutex, long_after());

		ASSERT_TRUE(held.owns());
		count->sum = 1;
		condition.notify_one();
	}
	EXPECT_EQ(survivor.wait(), 0);
	EXPECT_EQ(count->sum, 2U);
}

TYPED_TEST(kernel_named_waiting, serves_the_standard_library)
{
	sk::kernel_named_mutex mutex(bip::create_only,
				     this->m_mutex_name.c_str());
	TypeParam condition(bip::create_only, this->m_name.c_str());
	std::unique_lock<sk::kernel_named_mutex> lock(mutex);
	const auto no = [] { return false; };
	bool told = false;
	std::thread teller([&] {
		const std::lock_guard<sk::kernel_named_mutex> guard(mutex);

		told = true;
		condition.notify_all();
	});

	EXPECT_TRUE(condition.wait_for(lock, 30s, [&] { return told; }));
	teller.join();
	EXPECT_FALSE(condition.wait_for(lock, moment, no));
	EXPECT_FALSE(condition.wait_until(
		lock, std::chrono::steady_clock::now() + moment, no));
	EXPECT_EQ(condition.wait_until(lock, std::chrono::system_clock::now()),
		  sk::detail::cv_status::timeout);
	EXPECT_TRUE(lock.owns_lock());
	lock.unlock();
	EXPECT_THROW(condition.wait(lock), bip::lock_exception);
}

} // namespace
