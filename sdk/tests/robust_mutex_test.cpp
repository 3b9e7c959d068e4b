/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Robust mutexes
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/robust_mutex.hpp>
#include <shm_kernel/interprocess/robust_mutex_family.hpp>
#include <shm_kernel/interprocess/robust_recursive_mutex.hpp>

#include "lock_support.hpp"

#include <boost/interprocess/sync/scoped_lock.hpp>

#include <condition_variable>
#include <cstring>
#include <iterator>
#include <list>
#include <mutex>
#include <random>
#include <type_traits>
#include <vector>

namespace {

using namespace std::chrono_literals;

using shm_kernel::errc;
using shm_kernel::kernel_memory_exception;
using shm_kernel::owner_death;
using shm_kernel::robust_mutex;
using shm_kernel::robust_recursive_mutex;
using shm_kernel::strict_robust_mutex;
using shm_kernel::strict_robust_recursive_mutex;
using std::chrono::steady_clock;
using std::chrono::system_clock;

namespace bip = boost::interprocess;
namespace pt = boost::posix_time;

template <class Mutex>
constexpr bool recursive = std::is_same_v<Mutex, robust_recursive_mutex> ||
			   std::is_same_v<Mutex, strict_robust_recursive_mutex>;

template <class Call>
std::error_code thrown_by(Call call)
{
	try {
		call();
	} catch (const kernel_memory_exception &error) {
		EXPECT_NE(error.get_native_error(), 0);
		return error.code();
	}
	return {};
}

template <class Mutex>
struct guarded
{
	Mutex mutex;
	volatile int a = 0;
	volatile int b = 0;
	std::atomic<int> found{0};
	std::atomic<int> wrong{0};

	void change(int value)
	{
		a = value;
		b = value;
	}
};

template <class Mutex>
class robust : public test::lock_test
{
protected:
	/* Whether somebody else could have the lock now. */
	bool is_free()
	{
		return test::child([this] {
			       if (!m_all->mutex.try_lock())
				       return 1;
			       m_all->mutex.unlock();
			       return 0;
		       }).wait() == 0;
	}

	/* One dies with the lock, @depth times his. */
	void die_holding(int depth = 1)
	{
		test::child([this, depth] {
			for (int i = 0; i < depth; ++i)
				m_all->mutex.lock();
			::raise(SIGKILL);
			return 0;
		}).wait();
	}

	/* Takes and leaves the lock, whatever the policy; false if it hangs. */
	bool passes()
	{
		Mutex &mutex = m_all->mutex;

		for (;;) {
			try {
				if (!mutex.try_lock_for(20s))
					return false;
				mutex.unlock();
				return true;
			} catch (const kernel_memory_exception &error) {
				if (error.code() != errc::owner_dead)
					throw;
				EXPECT_FALSE(mutex.consistent());
				mutex.mark_consistent();
			}
		}
	}

	test::shared<guarded<Mutex>> m_all;
};

using all_mutexes =
	::testing::Types<robust_mutex, strict_robust_mutex,
			 robust_recursive_mutex, strict_robust_recursive_mutex>;
TYPED_TEST_SUITE(robust, all_mutexes, );

template <class Mutex>
class recovering : public robust<Mutex>
{
};
using recovering_mutexes =
	::testing::Types<robust_mutex, robust_recursive_mutex>;
TYPED_TEST_SUITE(recovering, recovering_mutexes, );

template <class Mutex>
class reporting : public robust<Mutex>
{
};
using reporting_mutexes =
	::testing::Types<strict_robust_mutex, strict_robust_recursive_mutex>;
TYPED_TEST_SUITE(reporting, reporting_mutexes, );

template <class Mutex>
class recursing : public robust<Mutex>
{
};
using recursing_mutexes =
	::testing::Types<robust_recursive_mutex, strict_robust_recursive_mutex>;
TYPED_TEST_SUITE(recursing, recursing_mutexes, );

TYPED_TEST(robust, excludes_others)
{
	TypeParam &mutex = this->m_all->mutex;

	EXPECT_TRUE(this->is_free());
	mutex.lock();
	EXPECT_FALSE(this->is_free());
	mutex.unlock();
	EXPECT_TRUE(this->is_free());
	ASSERT_TRUE(mutex.try_lock());
	EXPECT_FALSE(this->is_free());
	mutex.unlock();
	EXPECT_TRUE(this->is_free());
	EXPECT_EQ(mutex.recoveries(), 0u);
	EXPECT_TRUE(mutex.consistent());
	EXPECT_FALSE(mutex.owner_died());
}

TYPED_TEST(robust, works_with_the_guards_of_std_and_boost)
{
	TypeParam &mutex = this->m_all->mutex;
	std::mutex other;

	{
		const std::lock_guard<TypeParam> guard(mutex);
		EXPECT_FALSE(this->is_free());
	}
	{
		const std::scoped_lock guard(other, mutex);
		EXPECT_FALSE(this->is_free());
	}
	{
		const std::unique_lock<TypeParam> guard(mutex, 10ms);
		EXPECT_TRUE(guard.owns_lock());
	}
	{
		const std::unique_lock<TypeParam> guard(
			mutex, steady_clock::now() + 10ms);
		EXPECT_TRUE(guard.owns_lock());
	}
	{
		const bip::scoped_lock<TypeParam> guard(mutex);
		EXPECT_FALSE(this->is_free());
	}
	{
		const bip::scoped_lock<TypeParam> guard(mutex,
							bip::try_to_lock);
		EXPECT_TRUE(guard.owns());
	}
	{
		const bip::scoped_lock<TypeParam> guard(
			mutex, pt::microsec_clock::universal_time());
		EXPECT_TRUE(guard.owns());
	}
	EXPECT_TRUE(this->is_free());

	std::condition_variable_any condition;
	std::unique_lock<TypeParam> lock(mutex);

	EXPECT_EQ(condition.wait_for(lock, 1ms), std::cv_status::timeout);
	EXPECT_FALSE(this->is_free());
}

TYPED_TEST(robust, keeps_threads_apart)
{
	auto &all = *this->m_all;
	std::vector<std::thread> threads;
	int count = 0;

	for (int i = 0; i < 4; ++i)
		threads.emplace_back([&] {
			for (int j = 0; j < 5000; ++j) {
				const std::lock_guard<TypeParam> guard(
					all.mutex);

				++count;
			}
		});
	for (std::thread &thread : threads)
		thread.join();
	EXPECT_EQ(count, 4 * 5000);
}

/* A clock of somebody else's. */
struct strange_clock
{
	using duration = std::chrono::duration<double, std::milli>;
	using rep = duration::rep;
	using period = duration::period;
	using time_point = std::chrono::time_point<strange_clock>;
	[[maybe_unused]] static constexpr bool is_steady = true;

	static time_point now()
	{
		return time_point(steady_clock::now().time_since_epoch() * 1.0 +
				  1234567ms);
	}
};

TYPED_TEST(robust, waits_until_a_moment_of_any_clock)
{
	TypeParam &mutex = this->m_all->mutex;
	test::gate locked;
	test::child owner([&] {
		mutex.lock();
		locked.open();
		return test::until_killed();
	});

	locked.wait();

	const auto in_time = [](auto call) {
		const auto start = steady_clock::now();

		EXPECT_FALSE(call());

		const auto time = steady_clock::now() - start;

		EXPECT_GE(time, 29ms);
		EXPECT_LT(time, 10s);
	};

	in_time([&] {
		return mutex.timed_lock(pt::microsec_clock::universal_time() +
					pt::milliseconds(30));
	});
	in_time([&] { return mutex.timed_lock(system_clock::now() + 30ms); });
	in_time([&] { return mutex.timed_lock(steady_clock::now() + 30ms); });
	in_time([&] {
		return mutex.try_lock_until(steady_clock::now() + 30ms);
	});
	in_time([&] {
		return mutex.try_lock_until(strange_clock::now() + 30ms);
	});
	in_time([&] { return mutex.try_lock_for(30ms); });
	in_time([&] { return mutex.try_lock_for(pt::milliseconds(30)); });

	/* What has passed is a try. */
	EXPECT_FALSE(mutex.timed_lock(pt::ptime(pt::neg_infin)));
	EXPECT_FALSE(mutex.timed_lock(
		pt::ptime(boost::gregorian::date(1969, 7, 20))));
	EXPECT_FALSE(mutex.try_lock_for(-1h));
	EXPECT_FALSE(mutex.try_lock_until(system_clock::time_point::min()));
	EXPECT_FALSE(mutex.try_lock_until(steady_clock::time_point::min()));
}

TYPED_TEST(robust, gets_the_lock_within_the_time)
{
	TypeParam &mutex = this->m_all->mutex;
	const auto beside_an_owner = [&](auto call) {
		test::gate locked;
		test::child owner([&] {
			mutex.lock();
			locked.open();
			std::this_thread::sleep_for(20ms);
			mutex.unlock();
			return 0;
		});

		locked.wait();
		ASSERT_TRUE(call());
		mutex.unlock();
		EXPECT_EQ(owner.wait(), 0);
	};

	beside_an_owner(
		[&] { return mutex.timed_lock(system_clock::now() + 20s); });
	beside_an_owner([&] { return mutex.try_lock_for(20s); });
	/* Never ends, and does not overflow. */
	beside_an_owner(
		[&] { return mutex.timed_lock(pt::ptime(pt::pos_infin)); });
	beside_an_owner([&] {
		return mutex.try_lock_until(system_clock::time_point::max());
	});
	beside_an_owner(
		[&] { return mutex.try_lock_for(std::chrono::hours::max()); });
	EXPECT_EQ(mutex.recoveries(), 0u);
}

TYPED_TEST(robust, is_not_owned_by_a_child_of_the_owner)
{
	TypeParam &mutex = this->m_all->mutex;

	mutex.lock();
	/* It ends without having touched what is its parent's. */
	EXPECT_EQ(test::child([&] { return mutex.try_lock() ? 1 : 0; }).wait(),
		  0);
	EXPECT_FALSE(this->is_free());
	EXPECT_FALSE(mutex.owner_died());
	mutex.unlock();
	EXPECT_TRUE(this->is_free());
	EXPECT_EQ(mutex.recoveries(), 0u);
}

TYPED_TEST(recovering, goes_on_after_a_death)
{
	TypeParam &mutex = this->m_all->mutex;

	for (std::uint32_t deaths = 1; deaths < 4; ++deaths) {
		this->die_holding();
		EXPECT_TRUE(mutex.owner_died());
		EXPECT_FALSE(mutex.consistent());
		EXPECT_EQ(mutex.recoveries(), deaths - 1);

		mutex.lock();
		EXPECT_FALSE(mutex.owner_died());
		EXPECT_EQ(mutex.recoveries(), deaths);
		EXPECT_FALSE(mutex.consistent());
		EXPECT_FALSE(this->is_free());
		mutex.mark_consistent();
		EXPECT_TRUE(mutex.consistent());
		EXPECT_FALSE(this->is_free());
		mutex.unlock();
		EXPECT_TRUE(this->is_free());
		EXPECT_TRUE(mutex.consistent());
		EXPECT_EQ(mutex.recoveries(), deaths);
	}
}

TYPED_TEST(recovering, recovers_however_the_lock_is_taken)
{
	TypeParam &mutex = this->m_all->mutex;
	const auto recovers = [&](auto call) {
		const std::uint32_t before = mutex.recoveries();

		this->die_holding();
		ASSERT_TRUE(call());
		EXPECT_EQ(mutex.recoveries(), before + 1);
		mutex.unlock();
		EXPECT_TRUE(this->is_free());
	};

	recovers([&] { return mutex.try_lock(); });
	recovers([&] { return mutex.try_lock_for(20s); });
	recovers([&] { return mutex.timed_lock(pt::ptime(pt::pos_infin)); });
	recovers([&] {
		mutex.lock_for_repair();
		return true;
	});

	/* The owner dies while others wait. */
	recovers([&] {
		test::gate locked;
		test::child owner([&] {
			mutex.lock();
			mutex.mark_consistent();
			locked.open();
			std::this_thread::sleep_for(20ms);
			mutex.unlock();
			return 0;
		});

		locked.wait();
		mutex.lock();
		EXPECT_EQ(owner.wait(), 0);
		return true;
	});

	const std::uint32_t before = mutex.recoveries();
	test::gate locked;
	test::child owner([&] {
		mutex.lock();
		locked.open();
		std::this_thread::sleep_for(20ms);
		::raise(SIGKILL);
		return 0;
	});

	locked.wait();
	ASSERT_TRUE(mutex.try_lock_for(20s));
	EXPECT_EQ(mutex.recoveries(), before + 1);
	mutex.unlock();
}

TYPED_TEST(recovering, marking_takes_note_of_a_death)
{
	TypeParam &mutex = this->m_all->mutex;

	this->die_holding();
	mutex.mark_consistent();
	EXPECT_TRUE(mutex.consistent());
	EXPECT_FALSE(mutex.owner_died());
	EXPECT_EQ(mutex.recoveries(), 1u);
	EXPECT_TRUE(this->is_free());
}

TYPED_TEST(reporting, throws_until_it_is_marked)
{
	TypeParam &mutex = this->m_all->mutex;

	this->die_holding();
	EXPECT_TRUE(mutex.owner_died());
	EXPECT_FALSE(mutex.consistent());
	for (int i = 0; i < 3; ++i) {
		EXPECT_EQ(thrown_by([&] { mutex.lock(); }), errc::owner_dead);
		EXPECT_EQ(thrown_by([&] { mutex.try_lock(); }),
			  errc::owner_dead);
		EXPECT_EQ(thrown_by([&] { mutex.try_lock_for(20s); }),
			  errc::owner_dead);
		EXPECT_EQ(mutex.recoveries(), 1u);
		EXPECT_FALSE(mutex.consistent());
		EXPECT_TRUE(mutex.owner_died());
	}
	/* Without the lock: others get as far as the same exception. */
	EXPECT_EQ(test::child([&] {
			  return thrown_by([&] { mutex.lock(); }) ==
						 errc::owner_dead
					 ? 0
					 : 1;
		  }).wait(),
		  0);
	mutex.mark_consistent();
	EXPECT_TRUE(mutex.consistent());
	EXPECT_FALSE(mutex.owner_died());
	EXPECT_TRUE(this->is_free());
	EXPECT_TRUE(this->passes());
	EXPECT_EQ(mutex.recoveries(), 1u);
}

TYPED_TEST(reporting, can_be_locked_for_repair)
{
	TypeParam &mutex = this->m_all->mutex;

	this->die_holding(recursive<TypeParam> ? 2 : 1);
	for (int i = 0; i < 2; ++i) {
		mutex.lock_for_repair();
		EXPECT_EQ(mutex.recoveries(), 1u);
		EXPECT_FALSE(mutex.consistent());
		EXPECT_FALSE(this->is_free());
		if (recursive<TypeParam>) {
			/* What the owner calls may lock as always. */
			mutex.lock();
			mutex.unlock();
		}
		if (i)
			mutex.mark_consistent();
		mutex.unlock();
		EXPECT_EQ(thrown_by([&] {
				  mutex.lock();
				  mutex.unlock();
			  }),
			  i ? std::error_code()
			    : make_error_code(errc::owner_dead));
	}
	EXPECT_TRUE(this->is_free());
}

TYPED_TEST(reporting, throws_for_those_who_wait)
{
	TypeParam &mutex = this->m_all->mutex;
	test::gate locked;
	test::child owner([&] {
		mutex.lock();
		locked.open();
		std::this_thread::sleep_for(20ms);
		::raise(SIGKILL);
		return 0;
	});

	locked.wait();
	EXPECT_EQ(thrown_by([&] { mutex.lock(); }), errc::owner_dead);
}

TYPED_TEST(robust, notices_the_end_of_a_thread_and_of_a_program)
{
	TypeParam &mutex = this->m_all->mutex;

	std::thread([&] { mutex.lock(); }).join();
	EXPECT_TRUE(mutex.owner_died());
	EXPECT_TRUE(this->passes());
	EXPECT_EQ(mutex.recoveries(), 1u);

	test::child([&] {
		mutex.lock();
		return 0;
	}).wait();
	EXPECT_TRUE(this->passes());
	EXPECT_EQ(mutex.recoveries(), 2u);

	EXPECT_EQ(test::child([&] {
			  mutex.lock();
			  ::execl("/bin/true", "true", nullptr);
			  return 1;
		  }).wait(),
		  0);
	EXPECT_TRUE(this->passes());
	EXPECT_EQ(mutex.recoveries(), 3u);
	EXPECT_TRUE(this->is_free());
}

TYPED_TEST(robust, sees_a_death_without_write_access)
{
	const TypeParam &seen = this->m_all.read_only().mutex;

	EXPECT_FALSE(seen.owner_died());
	this->m_all->mutex.lock();
	EXPECT_FALSE(seen.owner_died());
	EXPECT_TRUE(seen.consistent());
	this->m_all->mutex.unlock();
	this->die_holding();
	EXPECT_TRUE(seen.owner_died());
	EXPECT_FALSE(seen.consistent());
	this->m_all->mutex.mark_consistent();
	EXPECT_FALSE(seen.owner_died());
	EXPECT_TRUE(seen.consistent());
	EXPECT_EQ(seen.recoveries(), 1u);
}

TEST(robust_mutex, waits_longer_than_a_second)
{
	test::shared<robust_mutex> mutex;
	const auto start = steady_clock::now();

	mutex->lock();
	std::thread([&] {
		EXPECT_FALSE(mutex->try_lock_for(1050ms));
		EXPECT_GE(steady_clock::now() - start, 1050ms);
	}).join();
	mutex->unlock();
}

TEST(robust_mutex, says_that_the_thread_has_it)
{
	test::shared<robust_mutex> mutex;

	mutex->lock();
	EXPECT_EQ(thrown_by([&] { mutex->lock(); }),
		  std::errc::resource_deadlock_would_occur);
	EXPECT_FALSE(mutex->try_lock());
	EXPECT_EQ(thrown_by([&] { mutex->try_lock_for(1s); }),
		  std::errc::resource_deadlock_would_occur);
	mutex->unlock();
	EXPECT_TRUE(mutex->try_lock());
	mutex->unlock();
}

TYPED_TEST(recursing, counts_its_locks)
{
	TypeParam &mutex = this->m_all->mutex;

	mutex.lock();
	EXPECT_TRUE(mutex.try_lock());
	EXPECT_TRUE(mutex.try_lock_for(1ms));
	for (int i = 0; i < 3; ++i) {
		EXPECT_FALSE(this->is_free());
		mutex.unlock();
	}
	EXPECT_TRUE(this->is_free());
}

TYPED_TEST(recursing, does_not_inherit_the_depth_of_the_dead)
{
	TypeParam &mutex = this->m_all->mutex;

	for (int depth = 1; depth < 5; ++depth) {
		this->die_holding(depth);
		mutex.lock_for_repair();
		mutex.mark_consistent();
		EXPECT_FALSE(this->is_free());
		mutex.unlock();
		ASSERT_TRUE(this->is_free());
		mutex.lock();
		mutex.lock();
		mutex.unlock();
		EXPECT_FALSE(this->is_free());
		mutex.unlock();
		ASSERT_TRUE(this->is_free());
	}
}

TYPED_TEST(recursing, numbers_its_holds)
{
	TypeParam &mutex = this->m_all->mutex;
	const TypeParam &seen = this->m_all.read_only().mutex;
	const std::uint32_t first = seen.generation();

	EXPECT_EQ(first % 2, 0u);
	mutex.lock();
	EXPECT_EQ(seen.generation(), first + 1);
	mutex.lock();
	EXPECT_EQ(seen.generation(), first + 1);
	mutex.unlock();
	EXPECT_EQ(seen.generation(), first + 1);
	mutex.unlock();
	EXPECT_EQ(seen.generation(), first + 2);

	for (int depth = 1; depth < 3; ++depth) {
		const std::uint32_t before = seen.generation();

		this->die_holding(depth);
		EXPECT_EQ(seen.generation(), before + 1);
		/* Nobody may take what is left for something whole. */
		mutex.lock_for_repair();
		EXPECT_EQ(seen.generation(), before + 3);
		mutex.mark_consistent();
		EXPECT_EQ(seen.generation(), before + 3);
		mutex.unlock();
		EXPECT_EQ(seen.generation(), before + 4);
	}

	this->die_holding();
	mutex.mark_consistent();
	EXPECT_EQ(seen.generation() % 2, 0u);
	EXPECT_TRUE(this->is_free());
	EXPECT_EQ(seen.generation() % 2, 0u);
}

TEST(strict_robust_recursive_mutex, is_odd_until_it_is_marked)
{
	test::shared<strict_robust_recursive_mutex> mutex;

	test::child([&] {
		mutex->lock();
		::raise(SIGKILL);
		return 0;
	}).wait();
	EXPECT_EQ(thrown_by([&] { mutex->lock(); }), errc::owner_dead);
	EXPECT_EQ(mutex->generation() % 2, 1u);
	EXPECT_TRUE(mutex->owner_died());
	mutex->mark_consistent();
	EXPECT_EQ(mutex->generation() % 2, 0u);
}

/* Readers that may not write, beside owners that die in the middle. */
TEST(robust_recursive_mutex, lets_readers_know_what_they_saw)
{
	constexpr int readings = 20000;
	test::shared<guarded<robust_recursive_mutex>> all;
	const auto &seen = all.read_only();
	const auto write = [&] {
		std::minstd_rand random(static_cast<unsigned>(::getpid()));

		for (int i = 1;; ++i) {
			const std::lock_guard<robust_recursive_mutex> guard(
				all->mutex);

			all->a = i;
			if (!(random() % 64))
				::raise(SIGKILL);
			all->b = i;
		}
		return 0;
	};
	test::child reader([&] {
		int good = 0;

		while (good < readings) {
			const std::uint32_t before = seen.mutex.generation();

			if (before % 2) {
				std::this_thread::yield();
				continue;
			}

			const int a = seen.a;
			const int b = seen.b;

			std::atomic_thread_fence(std::memory_order_acquire);
			if (seen.mutex.generation() != before)
				continue;
			if (a != b)
				return 1;
			++good;
		}
		return 0;
	});
	std::atomic<bool> done{false};
	std::thread writers([&] {
		while (!done) {
			test::child(write).wait();
			/* What the dead left is put in order with the lock. */
			const std::lock_guard<robust_recursive_mutex> guard(
				all->mutex);

			all->a = all->b;
		}
	});

	EXPECT_EQ(reader.wait(), 0);
	done = true;
	writers.join();
	EXPECT_GT(all->mutex.recoveries(), 0u);
}

/* In a guest each step takes a millisecond; the storm has to do there. */
#ifndef SHM_KERNEL_TEST_ON_REGION

TYPED_TEST(robust, survives_a_death_at_each_instruction)
{
	auto &all = *this->m_all;
	std::uint32_t before = 0;
	long recovered = 0;
	const long deaths = test::die_everywhere(
		60, [&] { before = all.mutex.recoveries(); },
		[&] {
			all.mutex.lock();
			if (recursive<TypeParam>)
				all.mutex.lock();
			all.change(all.a + 1);
			if (recursive<TypeParam>)
				all.mutex.unlock();
			all.mutex.unlock();
		},
		[&] {
			ASSERT_TRUE(this->passes());
			ASSERT_TRUE(this->passes());

			const std::uint32_t now = all.mutex.recoveries();

			/* What is half done, somebody was told of. */
			EXPECT_TRUE(now == before || now == before + 1);
			EXPECT_TRUE(all.a == all.b || now != before);
			recovered += now != before;
			all.change(0);
			ASSERT_TRUE(this->is_free());
		});

	EXPECT_GT(deaths, 5);
	EXPECT_GT(recovered, 0);
	EXPECT_LT(recovered, deaths);
}

TYPED_TEST(robust, survives_a_death_in_each_instruction_of_recovery)
{
	auto &all = *this->m_all;
	std::uint32_t before = 0;
	long again = 0;
	const long deaths = test::die_everywhere(
		60,
		[&] {
			before = all.mutex.recoveries();
			this->die_holding(recursive<TypeParam> ? 3 : 1);
		},
		[&] {
			all.mutex.lock_for_repair();
			all.change(7);
			all.mutex.mark_consistent();
			all.mutex.unlock();
		},
		[&] {
			ASSERT_TRUE(this->passes());

			const std::uint32_t now = all.mutex.recoveries();

			EXPECT_GE(now, before + 1);
			EXPECT_LE(now, before + 2);
			again += now == before + 2;
			ASSERT_TRUE(this->passes());
			EXPECT_EQ(all.mutex.recoveries(), now);
			ASSERT_TRUE(this->is_free());
		});

	EXPECT_GT(deaths, 5);
	EXPECT_GT(again, 0);
}

TYPED_TEST(reporting, survives_a_death_while_it_throws)
{
	auto &all = *this->m_all;

	test::die_everywhere(
		60, [&] { this->die_holding(); },
		[&] { thrown_by([&] { all.mutex.lock(); }); },
		[&] {
			/* Forgetting would be to go on with what is broken. */
			EXPECT_FALSE(all.mutex.consistent());
			EXPECT_EQ(thrown_by([&] { all.mutex.lock(); }),
				  errc::owner_dead);
			ASSERT_TRUE(this->passes());
			ASSERT_TRUE(this->is_free());
		});
}

#endif

TYPED_TEST(robust, survives_a_storm)
{
	constexpr int workers = 4;
	auto &all = *this->m_all;
	const auto work = [&] {
		for (;;) {
			all.mutex.lock_for_repair();
			if (!all.mutex.consistent()) {
				++all.found;
				all.b = all.a;
				all.mutex.mark_consistent();
			} else if (all.a != all.b) {
				++all.wrong;
			}

			const std::uint32_t before = all.mutex.recoveries();

			all.change(all.a + 1);
			if (before != all.mutex.recoveries())
				++all.wrong;
			all.mutex.unlock();
		}
		return 0;
	};
	std::minstd_rand random(1);
	std::list<test::child> children;

	for (int i = 0; i < workers; ++i)
		children.emplace_back(work);

	const auto end = steady_clock::now() + 500ms;

	while (steady_clock::now() < end) {
		std::this_thread::sleep_for(
			std::chrono::microseconds(random() % 2000));

		const auto victim =
			std::next(children.begin(), random() % workers);

		EXPECT_EQ(victim->kill(), test::child::killed);
		children.erase(victim);
		children.emplace_back(work);
	}
	children.clear();
	ASSERT_TRUE(this->passes());
	EXPECT_GT(all.a, 1000);
	EXPECT_GT(all.found, 0);
	EXPECT_EQ(all.wrong, 0);
	EXPECT_GE(all.mutex.recoveries(),
		  static_cast<std::uint32_t>(all.found));
	ASSERT_TRUE(this->is_free());
}

TYPED_TEST(robust, can_be_made_anew_in_a_copy)
{
	struct place
	{
		alignas(TypeParam) unsigned char bytes[sizeof(TypeParam)];
	};
	TypeParam &original = this->m_all->mutex;
	place copy;

	this->die_holding();
	this->passes();
	original.lock();
	std::memcpy(copy.bytes, static_cast<void *>(&original),
		    sizeof(TypeParam));
	original.unlock();

	auto *const mutex = reinterpret_cast<TypeParam *>(copy.bytes);

	mutex->renew();
	EXPECT_EQ(mutex->recoveries(), 2u);
	EXPECT_TRUE(mutex->consistent());
	EXPECT_TRUE(mutex->try_lock());
	mutex->unlock();
	if constexpr (recursive<TypeParam>) {
		EXPECT_EQ(mutex->generation() % 2, 0u);
		EXPECT_GT(mutex->generation(), original.generation());
	}
}

TEST(mutex_registry, notes_the_first_of_each_kind)
{
	using shm_kernel::detail::mutex_registry;

	EXPECT_EQ(mutex_registry::current(), nullptr);
	{
		mutex_registry outer;
		robust_mutex first;
		{
			mutex_registry inner;
			robust_recursive_mutex other;

			EXPECT_EQ(inner.recursive_mutex, &other);
			EXPECT_EQ(inner.mutex, nullptr);
			EXPECT_EQ(mutex_registry::current(), &inner);
		}
		robust_recursive_mutex second;
		robust_mutex third;
		robust_recursive_mutex fourth;

		std::thread([] { robust_mutex elsewhere; }).join();
		EXPECT_EQ(outer.mutex, &first);
		EXPECT_EQ(outer.recursive_mutex, &second);
		EXPECT_EQ(mutex_registry::current(), &outer);
	}
	EXPECT_EQ(mutex_registry::current(), nullptr);
}

} // namespace
