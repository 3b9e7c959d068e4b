/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Conditions whose waiters and notifiers may die
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/robust_condition.hpp>
#include <shm_kernel/interprocess/robust_mutex.hpp>
#include <shm_kernel/interprocess/robust_recursive_mutex.hpp>

#include "lock_support.hpp"

#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

#include <list>
#include <mutex>
#include <random>

namespace {

using namespace std::chrono_literals;

using shm_kernel::errc;
using shm_kernel::kernel_memory_exception;
using shm_kernel::robust_condition;
using shm_kernel::robust_mutex;
using shm_kernel::strict_robust_mutex;
using std::chrono::steady_clock;
using std::chrono::system_clock;

namespace bip = boost::interprocess;
namespace pt = boost::posix_time;

template <class Mutex>
struct place
{
	Mutex mutex;
	robust_condition condition;
	int count = 0;
	int waiting = 0;
	std::atomic<int> woken{0};
};

template <class Lock>
class condition : public test::lock_test
{
protected:
	using mutex_type = typename Lock::mutex_type;

	/* Until @count wait; each has given the lock back then. */
	void until_they_wait(int count)
	{
		EXPECT_TRUE(test::eventually([&] {
			const Lock lock(m_all->mutex);

			return m_all->waiting == count;
		}));
	}

	test::shared<place<mutex_type>> m_all;
};

using locks =
	::testing::Types<std::unique_lock<robust_mutex>,
			 bip::scoped_lock<robust_mutex>,
			 bip::scoped_lock<strict_robust_mutex>,
			 std::unique_lock<shm_kernel::robust_recursive_mutex>,
			 bip::scoped_lock<bip::interprocess_mutex>>;
TYPED_TEST_SUITE(condition, locks, );

TYPED_TEST(condition, hands_over_between_processes)
{
	constexpr int rounds = 2000;
	auto &all = *this->m_all;
	const auto play = [&](int mine) {
		for (int i = 0; i < rounds; ++i) {
			TypeParam lock(all.mutex);

			all.condition.wait(
				lock, [&] { return all.count % 2 == mine; });
			++all.count;
			if (i % 3)
				all.condition.notify_one();
			else
				all.condition.notify_all();
		}
		return 0;
	};
	test::child other([&] { return play(1); });

	play(0);
	EXPECT_EQ(other.wait(), 0);
	EXPECT_EQ(all.count, 2 * rounds);
}

TYPED_TEST(condition, wakes_one_or_all)
{
	constexpr int waiters = 4;
	auto &all = *this->m_all;
	bool soon = false;

	/*
	 * Those who wait look by themselves after a second, so only what
	 * happens before that tells something, on a machine that lets it.
	 */
	for (int i = 0; i < 10 && !soon; ++i) {
		const auto start = steady_clock::now();
		std::list<test::child> children;

		all.waiting = 0;
		all.woken = 0;
		for (int j = 0; j < waiters; ++j)
			children.emplace_back([&] {
				TypeParam lock(all.mutex);

				++all.waiting;
				all.condition.wait(lock);
				++all.woken;
				return 0;
			});
		this->until_they_wait(waiters);
		all.condition.notify_one();
		EXPECT_TRUE(test::eventually([&] { return all.woken > 0; }));
		std::this_thread::sleep_for(30ms);

		const int first = all.woken;

		soon = steady_clock::now() - start < 900ms;
		if (soon) {
			EXPECT_EQ(first, 1);
		}
		all.condition.notify_all();
		EXPECT_TRUE(
			test::eventually([&] { return all.woken == waiters; }));
		soon = soon && steady_clock::now() - start < 900ms;
	}
	EXPECT_TRUE(soon);
}

TYPED_TEST(condition, waits_no_longer_than_it_is_told)
{
	auto &all = *this->m_all;
	TypeParam lock(all.mutex);
	const auto in_time = [](auto call) {
		const auto start = steady_clock::now();

		EXPECT_FALSE(call());

		const auto time = steady_clock::now() - start;

		EXPECT_GE(time, 29ms);
		EXPECT_LT(time, 10s);
	};
	const auto never = [] { return false; };

	in_time([&] {
		return all.condition.timed_wait(
			lock, pt::microsec_clock::universal_time() +
				      pt::milliseconds(30));
	});
	in_time([&] {
		return all.condition.timed_wait(lock,
						system_clock::now() + 30ms);
	});
	in_time([&] {
		return all.condition.timed_wait(
			lock, steady_clock::now() + 30ms, never);
	});
	in_time([&] {
		return all.condition.wait_until(lock,
						steady_clock::now() + 30ms) ==
		       std::cv_status::no_timeout;
	});
	in_time([&] {
		return all.condition.wait_until(
			lock, steady_clock::now() + 30ms, never);
	});
	in_time([&] {
		return all.condition.wait_for(lock, 30ms) ==
		       std::cv_status::no_timeout;
	});
	in_time([&] {
		return all.condition.wait_for(lock, pt::milliseconds(30),
					      never);
	});
	EXPECT_TRUE(all.condition.wait_for(lock, 0s, [] { return true; }));
	EXPECT_EQ(all.condition.wait_for(lock, -1s), std::cv_status::timeout);
	EXPECT_FALSE(all.condition.timed_wait(
		lock, pt::ptime(boost::gregorian::date(1969, 7, 20))));

	/* The lock is held again. */
	EXPECT_EQ(test::child([&] {
			  return all.mutex.try_lock() ? 1 : 0;
		  }).wait(),
		  0);
}

TYPED_TEST(condition, is_notified_within_the_time)
{
	auto &all = *this->m_all;
	const auto beside_a_notifier = [&](auto call) {
		TypeParam lock(all.mutex);

		all.count = 0;

		test::child notifier([&] {
			{
				const TypeParam mine(all.mutex);

				all.count = 1;
			}
			all.condition.notify_one();
			return 0;
		});
		const auto start = steady_clock::now();

		EXPECT_TRUE(call(lock, [&] { return all.count == 1; }));
		EXPECT_LT(steady_clock::now() - start, 20s);
		EXPECT_EQ(notifier.wait(), 0);
	};

	beside_a_notifier([&](auto &lock, auto predicate) {
		return all.condition.timed_wait(lock, pt::ptime(pt::pos_infin),
						predicate);
	});
	beside_a_notifier([&](auto &lock, auto predicate) {
		return all.condition.wait_for(lock, 1min, predicate);
	});
	beside_a_notifier([&](auto &lock, auto) {
		return all.condition.wait_until(
			       lock, system_clock::time_point::max()) ==
		       std::cv_status::no_timeout;
	});
	beside_a_notifier([&](auto &lock, auto predicate) {
		return all.condition.wait_for(lock, std::chrono::hours::max(),
					      predicate);
	});
}

/* glibc bug 21422: there a few dead waiters block the next notifier. */
TYPED_TEST(condition, is_not_blocked_by_dead_waiters)
{
	constexpr int waiters = 20;
	auto &all = *this->m_all;
	{
		std::list<test::child> children;

		for (int i = 0; i < waiters; ++i)
			children.emplace_back([&] {
				TypeParam lock(all.mutex);

				++all.waiting;
				all.condition.wait(lock, [] { return false; });
				return 0;
			});
		this->until_they_wait(waiters);
		all.condition.notify_one();

		/* They die as waiters, and not with the lock. */
		const TypeParam lock(all.mutex);

		children.clear();
	}

	/* By its alarm this one fails if it hangs. */
	EXPECT_EQ(test::child([&] {
			  for (int i = 0; i < 100; ++i) {
				  all.condition.notify_one();
				  all.condition.notify_all();
			  }
			  return 0;
		  }).wait(),
		  0);

	test::child waiter([&] {
		TypeParam lock(all.mutex);

		++all.waiting;
		all.condition.wait(lock, [&] { return all.count == 1; });
		return 0;
	});

	this->until_they_wait(waiters + 1);
	{
		const TypeParam lock(all.mutex);

		all.count = 1;
	}
	all.condition.notify_one();
	EXPECT_EQ(waiter.wait(), 0);
}

/*
 * Consumers are killed at random: what a dead one was notified of must reach
 * another.
 */
TEST(robust_condition, loses_nothing_in_a_storm)
{
	constexpr int consumers = 3;
	constexpr int items = 3000;
	test::shared<place<robust_mutex>> all;
	const auto consume = [&] {
		for (;;) {
			std::unique_lock<robust_mutex> lock(all->mutex);

			all->condition.wait(lock, [&] { return all->count; });
			--all->count;
			++all->woken;
		}
		return 0;
	};
	std::list<test::child> children;
	std::minstd_rand random(1);

	for (int i = 0; i < consumers; ++i)
		children.emplace_back(consume);
	for (int i = 0; i < items; ++i) {
		{
			const std::lock_guard<robust_mutex> guard(all->mutex);

			++all->count;
		}
		all->condition.notify_one();
		if (random() % 16)
			continue;

		const auto victim =
			std::next(children.begin(), random() % consumers);

		victim->kill();
		children.erase(victim);
		children.emplace_back(consume);
	}
	EXPECT_TRUE(test::eventually([&] {
		const std::lock_guard<robust_mutex> guard(all->mutex);

		return !all->count;
	}));
	/* One that died between its two counts. */
	EXPECT_LE(all->woken, items);
	EXPECT_GE(all->woken + static_cast<int>(all->mutex.recoveries()),
		  items);
}

/* The notifier dies between the change of the word and the wake-up. */
TEST(robust_condition, outlives_a_notifier)
{
	test::shared<place<robust_mutex>> all;
	test::gate waits;
	test::child waiter([&] {
		std::unique_lock<robust_mutex> lock(all->mutex);

		waits.open();
		all->condition.wait(lock, [&] { return all->count > 0; });
		return 0;
	});

	waits.wait();
	{
		const std::lock_guard<robust_mutex> guard(all->mutex);

		all->count = 1;
	}
	/* It sleeps. This is what notify_one() does first. */
	std::this_thread::sleep_for(50ms);
	reinterpret_cast<std::atomic<std::uint32_t> &>(all->condition) += 2;

	const auto start = steady_clock::now();

	EXPECT_EQ(waiter.wait(), 0);
	EXPECT_LT(steady_clock::now() - start, 10s);
}

/* Those who are gone cost a notifier one call, and no more. */
TEST(robust_condition, forgets_those_who_gave_up)
{
	test::shared<place<robust_mutex>> all;
	const auto &word = reinterpret_cast<const std::atomic<std::uint32_t> &>(
		all->condition);
	{
		std::unique_lock<robust_mutex> lock(all->mutex);

		all->condition.wait_for(lock, 1ms);
	}
	EXPECT_EQ(word % 2, 1u);
	all->condition.notify_one();
	EXPECT_EQ(word % 2, 0u);

	const std::uint32_t before = word;

	all->condition.notify_one();
	all->condition.notify_all();
	EXPECT_EQ(word, before);
}

TEST(robust_condition, reports_a_death_without_the_lock)
{
	test::shared<place<strict_robust_mutex>> all;
	std::unique_lock<strict_robust_mutex> lock(all->mutex);
	test::child killer([&] {
		all->mutex.lock();
		all->condition.notify_all();
		::raise(SIGKILL);
		return 0;
	});
	std::error_code found;

	try {
		all->condition.wait(lock);
	} catch (const kernel_memory_exception &error) {
		found = error.code();
	}
	EXPECT_EQ(found, errc::owner_dead);
	EXPECT_FALSE(lock.owns_lock());
	all->mutex.mark_consistent();
	lock.lock();
}

/* What happens once the lock is given back is not missed. */
TEST(robust_condition, is_ready_before_it_unlocks)
{
	struct notifying
	{
		void lock() { all.mutex.lock(); }
		void unlock()
		{
			all.mutex.unlock();
			all.condition.notify_one();
		}

		place<robust_mutex> &all;
	};
	test::shared<place<robust_mutex>> all;
	notifying lock{*all};

	lock.lock();
	EXPECT_EQ(all->condition.wait_for(lock, 500ms),
		  std::cv_status::no_timeout);
	all->mutex.unlock();
}

TEST(robust_condition, takes_what_only_locks_and_unlocks)
{
	struct basic
	{
		void lock() { mutex.lock(); }
		void unlock() { mutex.unlock(); }

		robust_mutex &mutex;
	};
	test::shared<place<robust_mutex>> all;
	basic lock{all->mutex};

	lock.lock();
	EXPECT_EQ(all->condition.wait_for(lock, 1ms), std::cv_status::timeout);
	lock.unlock();
	all->mutex.lock();
	EXPECT_EQ(all->condition.wait_for(all->mutex, 1ms),
		  std::cv_status::timeout);
	all->mutex.unlock();
}

} // namespace
