/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Named objects of Boost and of ours under the same tests
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "kernel_named_support.hpp"

#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/sync/lock_options.hpp>
#include <boost/interprocess/sync/named_condition.hpp>
#include <boost/interprocess/sync/named_condition_any.hpp>
#include <boost/interprocess/sync/named_mutex.hpp>
#include <boost/interprocess/sync/named_recursive_mutex.hpp>
#include <boost/interprocess/sync/named_semaphore.hpp>
#include <boost/interprocess/sync/named_sharable_mutex.hpp>
#include <boost/interprocess/sync/named_upgradable_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/interprocess/sync/sharable_lock.hpp>
#include <boost/interprocess/sync/upgradable_lock.hpp>
#include <boost/move/utility_core.hpp>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace test;

constexpr milliseconds moment(30);

template <typename T>
class named_api : public device_test
{
protected:
	std::unique_ptr<T> open() { return make<T>(bip::open_only, m_name); }

	scoped_name<T> m_name;
	std::unique_ptr<T> m_one;
	std::unique_ptr<T> m_two;

	/* Two objects, as two processes have them. */
	void make_two()
	{
		m_one = make<T>(bip::create_only, m_name);
		m_two = open();
	}

	void TearDown() override
	{
		m_one.reset();
		m_two.reset();
		/* Boost's, and persistent ones. */
		m_name.remove();
		device_test::TearDown();
	}
};

/*
 * All
 */

template <typename T>
class named_api_all : public named_api<T>
{
};

using all_types = ::testing::Types<
	bip::named_mutex, sk::kernel_named_mutex,
	sk::persistent_kernel_named_mutex, bip::named_recursive_mutex,
	sk::kernel_named_recursive_mutex,
	sk::persistent_kernel_named_recursive_mutex, bip::named_semaphore,
	sk::kernel_named_semaphore, sk::persistent_kernel_named_semaphore,
	bip::named_condition, sk::kernel_named_condition,
	sk::persistent_kernel_named_condition, bip::named_condition_any,
	sk::kernel_named_condition_any,
	sk::persistent_kernel_named_condition_any, bip::named_sharable_mutex,
	sk::kernel_named_sharable_mutex,
	sk::persistent_kernel_named_sharable_mutex, bip::named_upgradable_mutex,
	sk::kernel_named_upgradable_mutex,
	sk::persistent_kernel_named_upgradable_mutex>;

TYPED_TEST_SUITE(named_api_all, all_types, );

TYPED_TEST(named_api_all, is_created_opened_and_removed)
{
	const auto &name = this->m_name;

	EXPECT_FALSE(TypeParam::remove(name.c_str()));
	try {
		make<TypeParam>(bip::open_only, name);
		ADD_FAILURE() << "opened what is not there";
	} catch (const bip::interprocess_exception &error) {
		EXPECT_EQ(error.get_error_code(), bip::not_found_error);
	}

	const auto created = make<TypeParam>(bip::create_only, name);

	try {
		make<TypeParam>(bip::create_only, name);
		ADD_FAILURE() << "created twice";
	} catch (const bip::interprocess_exception &error) {
		EXPECT_EQ(error.get_error_code(), bip::already_exists_error);
	}
	EXPECT_TRUE(make<TypeParam>(bip::open_only, name));
	EXPECT_TRUE(make<TypeParam>(bip::open_or_create, name));
	EXPECT_TRUE(TypeParam::remove(name.c_str()));
	EXPECT_FALSE(TypeParam::remove(name.c_str()));
	EXPECT_TRUE(make<TypeParam>(bip::open_or_create, name));
}

TYPED_TEST(named_api_all, cannot_be_copied_moved_or_empty)
{
	EXPECT_FALSE(std::is_default_constructible_v<TypeParam>);
	EXPECT_FALSE(std::is_copy_constructible_v<TypeParam>);
	EXPECT_FALSE(std::is_move_constructible_v<TypeParam>);
	EXPECT_FALSE(std::is_copy_assignable_v<TypeParam>);
	EXPECT_FALSE(std::is_move_assignable_v<TypeParam>);
}

/*
 * Exclusive ownership
 */

template <typename T>
class named_api_exclusive : public named_api<T>
{
};

using exclusive_types = ::testing::Types<
	bip::named_mutex, sk::kernel_named_mutex, bip::named_recursive_mutex,
	sk::kernel_named_recursive_mutex, bip::named_sharable_mutex,
	sk::kernel_named_sharable_mutex, bip::named_upgradable_mutex,
	sk::kernel_named_upgradable_mutex>;

TYPED_TEST_SUITE(named_api_exclusive, exclusive_types, );

TYPED_TEST(named_api_exclusive, one_has_it)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;

	one.lock();
	EXPECT_FALSE(elsewhere([&] { return two.try_lock(); }));
	EXPECT_FALSE(elsewhere([&] { return one.try_lock(); }));
	one.unlock();
	EXPECT_TRUE(two.try_lock());
	EXPECT_FALSE(elsewhere([&] { return one.try_lock(); }));
	two.unlock();
}

TYPED_TEST(named_api_exclusive, waits_as_long_as_told)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;

	EXPECT_TRUE(two.timed_lock(ptime_in(moment)));
	EXPECT_FALSE(elsewhere([&] {
		const auto start = std::chrono::steady_clock::now();
		const bool got = one.timed_lock(ptime_in(moment));

		EXPECT_GE(std::chrono::steady_clock::now() - start,
			  moment - milliseconds(2));
		return got;
	}));
	EXPECT_FALSE(
		elsewhere([&] { return one.timed_lock(ptime_in(-moment)); }));

	auto waiter = std::async(std::launch::async, [&] {
		const bool got = one.timed_lock(long_after());

		if (got)
			one.unlock();
		return got;
	});

	std::this_thread::sleep_for(moment);
	two.unlock();
	EXPECT_TRUE(waiter.get());
	EXPECT_TRUE(two.timed_lock(
		boost::posix_time::ptime(boost::posix_time::pos_infin)));
	two.unlock();
}

TYPED_TEST(named_api_exclusive, wakes_who_waits)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;
	std::atomic<bool> has(false);

	one.lock();

	std::thread waiter([&] {
		two.lock();
		has = true;
		two.unlock();
	});

	std::this_thread::sleep_for(moment);
	EXPECT_FALSE(has);
	one.unlock();
	waiter.join();
	EXPECT_TRUE(has);
}

TYPED_TEST(named_api_exclusive, serves_scoped_lock)
{
	using lock = bip::scoped_lock<TypeParam>;

	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;
	const auto taken = [&] {
		return elsewhere(
			[&] { return !lock(two, bip::try_to_lock).owns(); });
	};

	{
		lock held(one);

		EXPECT_TRUE(held.owns());
		EXPECT_TRUE(taken());
		held.unlock();
		EXPECT_FALSE(taken());
		EXPECT_TRUE(held.try_lock());
		lock moved(boost::move(held));

		EXPECT_FALSE(held.owns());
		EXPECT_TRUE(taken());
	}
	EXPECT_FALSE(taken());
	{
		const lock timed(one, ptime_in(moment));

		EXPECT_TRUE(timed.owns());
		EXPECT_FALSE(elsewhere(
			[&] { return lock(two, ptime_in(moment)).owns(); }));
	}
	{
		lock later(one, bip::defer_lock);

		EXPECT_FALSE(taken());
		EXPECT_TRUE(later.timed_lock(ptime_in(moment)));
		EXPECT_TRUE(taken());
	}
	one.lock();
	{
		const lock accepted(one, bip::accept_ownership);

		EXPECT_TRUE(taken());
	}
	EXPECT_FALSE(taken());
}

TYPED_TEST(named_api_exclusive, serves_many_threads_of_one_object)
{
	this->make_two();
	std::vector<std::thread> threads;
	int count = 0;

	for (int i = 0; i < 4; ++i)
		threads.emplace_back([&, i] {
			for (int n = 0; n < 50; ++n) {
				const bip::scoped_lock<TypeParam> lock(
					i % 2 ? *this->m_one : *this->m_two);
				const int seen = count;

				if (n % 10 == 0)
					std::this_thread::yield();
				count = seen + 1;
			}
		});
	for (auto &thread : threads)
		thread.join();
	EXPECT_EQ(count, 200);
}

template <typename T>
class named_api_recursive : public named_api<T>
{
};

using recursive_types = ::testing::Types<bip::named_recursive_mutex,
					 sk::kernel_named_recursive_mutex>;

TYPED_TEST_SUITE(named_api_recursive, recursive_types, );

TYPED_TEST(named_api_recursive, is_locked_as_often_as_unlocked)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;
	const auto taken = [&] {
		return elsewhere([&] {
			const bool got = two.try_lock();

			if (got)
				two.unlock();
			return !got;
		});
	};

	one.lock();
	EXPECT_TRUE(one.try_lock());
	EXPECT_TRUE(two.timed_lock(ptime_in(moment)));
	two.unlock();
	one.unlock();
	EXPECT_TRUE(taken());
	one.unlock();
	EXPECT_FALSE(taken());
}

/*
 * Sharable ownership
 */

template <typename T>
class named_api_sharable : public named_api<T>
{
};

using sharable_types = ::testing::Types<
	bip::named_sharable_mutex, sk::kernel_named_sharable_mutex,
	bip::named_upgradable_mutex, sk::kernel_named_upgradable_mutex>;

TYPED_TEST_SUITE(named_api_sharable, sharable_types, );

TYPED_TEST(named_api_sharable, many_read_or_one_writes)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;

	one.lock_sharable();
	EXPECT_TRUE(one.try_lock_sharable());
	EXPECT_TRUE(two.try_lock_sharable());
	EXPECT_TRUE(two.timed_lock_sharable(ptime_in(moment)));
	EXPECT_FALSE(one.try_lock());
	EXPECT_FALSE(two.try_lock());
	EXPECT_FALSE(two.timed_lock(ptime_in(moment)));
	two.unlock_sharable();
	two.unlock_sharable();
	EXPECT_FALSE(two.try_lock());
	one.unlock_sharable();
	EXPECT_FALSE(two.try_lock());
	one.unlock_sharable();
	EXPECT_TRUE(two.try_lock());
	EXPECT_FALSE(one.try_lock_sharable());
	EXPECT_FALSE(two.try_lock_sharable());
	EXPECT_FALSE(one.timed_lock_sharable(ptime_in(moment)));
	two.unlock();
	EXPECT_TRUE(one.try_lock_sharable());
	one.unlock_sharable();
}

TYPED_TEST(named_api_sharable, wakes_who_waits_to_read)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;
	std::atomic<int> readers(0);
	std::vector<std::thread> threads;

	one.lock();
	for (int i = 0; i < 4; ++i)
		threads.emplace_back([&, i] {
			auto &mine = i % 2 ? one : two;

			mine.lock_sharable();
			++readers;
			/* They have it together. */
			while (readers < 4)
				std::this_thread::yield();
			mine.unlock_sharable();
		});
	std::this_thread::sleep_for(moment);
	EXPECT_EQ(readers, 0);
	one.unlock();
	for (auto &thread : threads)
		thread.join();
	EXPECT_TRUE(one.try_lock());
	one.unlock();
}

TYPED_TEST(named_api_sharable, lets_a_waiting_writer_go_first)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;
	auto third = this->open();
	std::atomic<bool> has(false);

	one.lock_sharable();

	std::thread writer([&] {
		two.lock();
		has = true;
		two.unlock();
	});

	/* From then on, new readers wait. */
	EXPECT_TRUE(eventually([&] {
		const bool got = third->try_lock_sharable();

		if (got)
			third->unlock_sharable();
		return !got;
	}));
	EXPECT_FALSE(one.try_lock_sharable());
	EXPECT_FALSE(third->timed_lock_sharable(ptime_in(moment)));
	EXPECT_FALSE(has);
	one.unlock_sharable();
	third->lock_sharable();
	EXPECT_TRUE(has);
	third->unlock_sharable();
	writer.join();
}

TYPED_TEST(named_api_sharable, lets_readers_in_when_a_writer_gives_up)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;

	one.lock_sharable();
	EXPECT_FALSE(two.timed_lock(ptime_in(moment)));
	EXPECT_TRUE(two.try_lock_sharable());
	EXPECT_TRUE(one.try_lock_sharable());
	two.unlock_sharable();
	one.unlock_sharable();
	one.unlock_sharable();
	EXPECT_TRUE(one.try_lock());
	one.unlock();
}

TYPED_TEST(named_api_sharable, serves_sharable_lock)
{
	using lock = bip::sharable_lock<TypeParam>;

	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;

	{
		lock a(one);
		lock b(two, bip::try_to_lock);
		lock c(two, ptime_in(moment));
		lock d(boost::move(c));

		EXPECT_TRUE(a.owns() && b.owns() && d.owns());
		EXPECT_FALSE(c.owns());
		EXPECT_FALSE(two.try_lock());
	}
	EXPECT_TRUE(two.try_lock());
	EXPECT_FALSE(lock(one, bip::try_to_lock).owns());
	two.unlock();
}

/*
 * Upgradable ownership
 */

template <typename T>
class named_api_upgradable : public named_api<T>
{
};

using upgradable_types = ::testing::Types<bip::named_upgradable_mutex,
					  sk::kernel_named_upgradable_mutex>;

TYPED_TEST_SUITE(named_api_upgradable, upgradable_types, );

/* What another object may have; it keeps nothing of it. */
template <typename T>
std::string free_for(T &mutex)
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

TYPED_TEST(named_api_upgradable, excludes_as_it_should)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;

	EXPECT_EQ(free_for(two), "xus");
	one.lock_upgradable();
	EXPECT_EQ(free_for(one), "s");
	EXPECT_EQ(free_for(two), "s");
	EXPECT_FALSE(two.timed_lock_upgradable(ptime_in(moment)));
	EXPECT_FALSE(two.timed_lock(ptime_in(moment)));
	one.unlock_upgradable();
	one.lock_sharable();
	EXPECT_EQ(free_for(one), "us");
	EXPECT_EQ(free_for(two), "us");
	EXPECT_TRUE(two.timed_lock_upgradable(ptime_in(moment)));
	two.unlock_upgradable();
	one.unlock_sharable();
	one.lock();
	EXPECT_EQ(free_for(one), "");
	EXPECT_EQ(free_for(two), "");
	one.unlock();
	EXPECT_EQ(free_for(one), "xus");
	EXPECT_EQ(free_for(two), "xus");
}

TYPED_TEST(named_api_upgradable, goes_to_less)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;

	one.lock();
	one.unlock_and_lock_upgradable();
	EXPECT_EQ(free_for(two), "s");
	EXPECT_EQ(free_for(one), "s");
	one.unlock_upgradable_and_lock_sharable();
	EXPECT_EQ(free_for(two), "us");
	EXPECT_EQ(free_for(one), "us");
	one.unlock_sharable();
	EXPECT_EQ(free_for(two), "xus");
	one.lock();
	one.unlock_and_lock_sharable();
	EXPECT_EQ(free_for(two), "us");
	one.unlock_sharable();
	EXPECT_EQ(free_for(two), "xus");
	EXPECT_EQ(free_for(one), "xus");
}

TYPED_TEST(named_api_upgradable, goes_to_more)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;

	one.lock_upgradable();
	one.unlock_upgradable_and_lock();
	EXPECT_EQ(free_for(two), "");
	one.unlock_and_lock_upgradable();

	/* A reader of either object stands in the way. */
	for (auto *reader : {&one, &two}) {
		reader->lock_sharable();
		EXPECT_FALSE(one.try_unlock_upgradable_and_lock());
		EXPECT_FALSE(
			one.timed_unlock_upgradable_and_lock(ptime_in(moment)));
		EXPECT_EQ(free_for(two), "s");
		EXPECT_FALSE(reader->try_unlock_sharable_and_lock());
		EXPECT_FALSE(reader->try_unlock_sharable_and_lock_upgradable());
		reader->unlock_sharable();
	}
	EXPECT_TRUE(one.try_unlock_upgradable_and_lock());
	one.unlock_and_lock_upgradable();
	EXPECT_TRUE(one.timed_unlock_upgradable_and_lock(ptime_in(moment)));
	EXPECT_EQ(free_for(two), "");
	one.unlock();

	one.lock_sharable();
	EXPECT_TRUE(one.try_unlock_sharable_and_lock_upgradable());
	EXPECT_EQ(free_for(two), "s");
	one.unlock_upgradable_and_lock_sharable();
	EXPECT_TRUE(one.try_unlock_sharable_and_lock());
	EXPECT_EQ(free_for(two), "");
	one.unlock();
	one.lock_sharable();
	one.lock_sharable();
	EXPECT_FALSE(one.try_unlock_sharable_and_lock());
	one.unlock_sharable();
	two.lock_sharable();
	EXPECT_FALSE(one.try_unlock_sharable_and_lock());
	EXPECT_TRUE(two.try_unlock_sharable_and_lock_upgradable());
	EXPECT_FALSE(two.try_unlock_upgradable_and_lock());
	one.unlock_sharable();
	EXPECT_TRUE(two.try_unlock_upgradable_and_lock());
	two.unlock();
	EXPECT_EQ(free_for(two), "xus");
	EXPECT_EQ(free_for(one), "xus");
}

TYPED_TEST(named_api_upgradable, waits_for_readers_on_the_way_up)
{
	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;
	std::atomic<bool> has(false);

	two.lock_sharable();

	std::thread writer([&] {
		one.lock_upgradable();
		one.unlock_upgradable_and_lock();
		has = true;
		one.unlock();
	});

	EXPECT_TRUE(eventually([&] {
		const bool got = two.try_lock_sharable();

		if (got)
			two.unlock_sharable();
		return !got;
	}));
	EXPECT_FALSE(has);
	two.unlock_sharable();
	writer.join();
	EXPECT_TRUE(has);
	EXPECT_EQ(free_for(two), "xus");
}

TYPED_TEST(named_api_upgradable, serves_the_transfers_of_boost)
{
	using scoped = bip::scoped_lock<TypeParam>;
	using sharable = bip::sharable_lock<TypeParam>;
	using upgradable = bip::upgradable_lock<TypeParam>;

	this->make_two();
	auto &one = *this->m_one;
	auto &two = *this->m_two;

	{
		upgradable read(one);
		scoped write(boost::move(read));

		EXPECT_EQ(free_for(two), "");
		upgradable again(boost::move(write));

		EXPECT_EQ(free_for(two), "s");
		sharable last(boost::move(again));

		EXPECT_EQ(free_for(two), "us");
		scoped tried(boost::move(last), bip::try_to_lock);

		EXPECT_TRUE(tried.owns());
		EXPECT_EQ(free_for(two), "");
		sharable down(boost::move(tried));

		EXPECT_EQ(free_for(two), "us");
		upgradable up(boost::move(down), bip::try_to_lock);

		EXPECT_TRUE(up.owns());
		EXPECT_EQ(free_for(two), "s");
		auto when = ptime_in(moment);
		scoped timed(boost::move(up), when);

		EXPECT_TRUE(timed.owns());
		EXPECT_EQ(free_for(two), "");
	}
	EXPECT_EQ(free_for(two), "xus");
	EXPECT_TRUE(upgradable(one, bip::try_to_lock).owns());
	EXPECT_TRUE(upgradable(one, ptime_in(moment)).owns());
}

/*
 * Semaphores
 */

template <typename T>
class named_api_semaphore : public named_api<T>
{
};

using semaphore_types =
	::testing::Types<bip::named_semaphore, sk::kernel_named_semaphore>;

TYPED_TEST_SUITE(named_api_semaphore, semaphore_types, );

TYPED_TEST(named_api_semaphore, counts)
{
	TypeParam one(bip::create_only, this->m_name.c_str(), 2);
	TypeParam two(bip::open_or_create, this->m_name.c_str(), 100);

	EXPECT_TRUE(two.try_wait());
	one.wait();
	EXPECT_FALSE(one.try_wait());
	EXPECT_FALSE(two.timed_wait(ptime_in(moment)));
	EXPECT_FALSE(two.timed_wait(ptime_in(-moment)));
	two.post();
	two.post();
	EXPECT_TRUE(one.timed_wait(long_after()));
	EXPECT_TRUE(one.try_wait());
	EXPECT_FALSE(one.try_wait());
}

TYPED_TEST(named_api_semaphore, wakes_as_many_as_it_is_posted)
{
	TypeParam one(bip::create_only, this->m_name.c_str(), 0);
	std::vector<std::thread> threads;
	std::atomic<int> through(0);

	for (int i = 0; i < 4; ++i)
		threads.emplace_back([&] {
			one.wait();
			++through;
		});
	std::this_thread::sleep_for(moment);
	EXPECT_EQ(through, 0);
	one.post();
	EXPECT_TRUE(eventually([&] { return through == 1; }));
	std::this_thread::sleep_for(moment);
	EXPECT_EQ(through, 1);
	for (int i = 0; i < 3; ++i)
		one.post();
	for (auto &thread : threads)
		thread.join();
	EXPECT_FALSE(one.try_wait());
}

/*
 * Conditions
 */

template <typename Condition, typename Mutex>
struct condition_with
{
	using condition = Condition;
	using mutex = Mutex;
};

template <typename T>
class named_api_condition : public device_test
{
protected:
	using condition_type = typename T::condition;
	using mutex_type = typename T::mutex;
	using held_type = bip::scoped_lock<mutex_type>;

	void SetUp() override
	{
		device_test::SetUp();
		m_mutex = make<mutex_type>(bip::create_only, m_mutex_name);
		m_condition = make<condition_type>(bip::create_only, m_name);
		m_other = make<condition_type>(bip::open_only, m_name);
	}

	void TearDown() override
	{
		m_mutex.reset();
		m_condition.reset();
		m_other.reset();
		m_mutex_name.remove();
		m_name.remove();
		device_test::TearDown();
	}

	scoped_name<mutex_type> m_mutex_name;
	scoped_name<condition_type> m_name;
	std::unique_ptr<mutex_type> m_mutex;
	std::unique_ptr<condition_type> m_condition;
	std::unique_ptr<condition_type> m_other;
};

using condition_types = ::testing::Types<
	condition_with<bip::named_condition, bip::named_mutex>,
	condition_with<sk::kernel_named_condition, sk::kernel_named_mutex>,
	condition_with<sk::kernel_named_condition,
		       sk::persistent_kernel_named_mutex>,
	condition_with<bip::named_condition_any, bip::named_mutex>,
	condition_with<sk::kernel_named_condition_any, sk::kernel_named_mutex>,
	condition_with<bip::named_condition_any, bip::named_recursive_mutex>,
	condition_with<sk::kernel_named_condition_any,
		       sk::kernel_named_recursive_mutex>,
	condition_with<bip::named_condition_any, bip::named_upgradable_mutex>,
	condition_with<sk::kernel_named_condition_any,
		       sk::kernel_named_upgradable_mutex>>;

TYPED_TEST_SUITE(named_api_condition, condition_types, );

TYPED_TEST(named_api_condition, wakes_who_waits)
{
	typename TestFixture::held_type lock(*this->m_mutex);
	bool told = false;
	std::thread teller([&] {
		const typename TestFixture::held_type mine(*this->m_mutex);

		told = true;
		this->m_other->notify_one();
	});

	while (!told)
		this->m_condition->wait(lock);
	EXPECT_TRUE(lock.owns());
	EXPECT_FALSE(elsewhere([&] { return this->m_mutex->try_lock(); }));
	lock.unlock();
	teller.join();
}

TYPED_TEST(named_api_condition, wakes_all_for_a_predicate)
{
	using lock_type = typename TestFixture::held_type;
	std::vector<std::thread> threads;
	int turn = 0;

	/* In order, so that each one has to be woken for the next. */
	for (int i = 3; i >= 0; --i)
		threads.emplace_back([&, i] {
			lock_type lock(*this->m_mutex);

			this->m_condition->wait(lock,
						[&] { return turn == i; });
			++turn;
			this->m_other->notify_all();
		});
	for (auto &thread : threads)
		thread.join();
	EXPECT_EQ(turn, 4);
}

TYPED_TEST(named_api_condition, waits_as_long_as_told)
{
	using lock_type = typename TestFixture::held_type;

	{
		lock_type lock(*this->m_mutex);
		const auto start = std::chrono::steady_clock::now();
		bool more = true;

		/* May wake up for no reason. */
		while (more &&
		       std::chrono::steady_clock::now() - start < 10 * moment)
			more = this->m_condition->timed_wait(lock,
							     ptime_in(moment));
		EXPECT_FALSE(more);
		EXPECT_TRUE(lock.owns());
		EXPECT_FALSE(this->m_condition->timed_wait(
			lock, ptime_in(moment), [] { return false; }));
		EXPECT_TRUE(this->m_condition->timed_wait(
			lock, ptime_in(-moment), [] { return true; }));
		EXPECT_GE(std::chrono::steady_clock::now() - start,
			  2 * moment - milliseconds(4));
	}

	lock_type lock(*this->m_mutex);
	bool told = false;
	std::thread teller([&] {
		const lock_type mine(*this->m_mutex);

		told = true;
		this->m_other->notify_all();
	});

	EXPECT_TRUE(this->m_condition->timed_wait(lock, long_after(),
						  [&] { return told; }));
	lock.unlock();
	teller.join();
}

TYPED_TEST(named_api_condition, refuses_a_lock_that_is_not_held)
{
	typename TestFixture::held_type lock(*this->m_mutex, bip::defer_lock);

	EXPECT_THROW(this->m_condition->wait(lock), bip::lock_exception);
	EXPECT_THROW(this->m_condition->timed_wait(lock, ptime_in(moment)),
		     bip::lock_exception);
	EXPECT_THROW(this->m_condition->wait(lock, [] { return true; }),
		     bip::lock_exception);
}

} // namespace
