/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Locks of two processes in a mapped region, contended, and owners that die
 */

#include "support.hpp"

#include <cerrno>
#include <new>

#include <pthread.h>
#include <semaphore.h>

using shm_kernel::create_options;
using shm_kernel::mapping;
using shm_kernel::region;
using test::child;
using test::fresh_name;
using test::gate;

namespace {

/* What is in the region: locks, and what they protect. */
struct shared
{
	pthread_mutex_t mutex;
	pthread_cond_t condition;
	sem_t semaphore;
	long count;
	long turn;
	std::atomic<int> waiting;
};

void init_mutex(pthread_mutex_t &mutex, int robust, int protocol)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, robust);
	pthread_mutexattr_setprotocol(&attributes, protocol);
	if (const int error = pthread_mutex_init(&mutex, &attributes))
		throw std::system_error(error, std::system_category(),
					"pthread_mutex_init");
	pthread_mutexattr_destroy(&attributes);
}

void init_condition(pthread_cond_t &condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* The kinds of regions that locks have to work in. */
enum class kind { named, small_pages, contiguous, region_0 };

std::string to_string(kind value)
{
	switch (value) {
	case kind::named:
		return "named";
	case kind::small_pages:
		return "small_pages";
	case kind::contiguous:
		return "contiguous";
	case kind::region_0:
		break;
	}
	return "region_0";
}

/* For GoogleTest. */
void PrintTo(kind value, std::ostream *out)
{
	*out << to_string(value);
}

} // namespace

class sharing_test : public test::device_test,
		     public ::testing::WithParamInterface<kind>
{
protected:
	void SetUp() override
	{
		device_test::SetUp();
		if (HasFatalFailure() || IsSkipped())
			return;
		if (GetParam() == kind::region_0) {
			m_region = region::open_node(shm_kernel::control_node);
		} else {
			m_name = fresh_name();
			m_region = region::create(
				create_options{}
					.set_name(m_name)
					.set_size(sizeof(shared))
					.set_small_pages(GetParam() ==
							 kind::small_pages)
					.set_contiguous(GetParam() ==
							kind::contiguous));
		}
		m_view = mapping(m_region);
		m_shared = new (m_view.data()) shared();
		init_condition(m_shared->condition);
		sem_init(&m_shared->semaphore, 1, 0);
	}

	void TearDown() override
	{
		m_view.unmap();
		if (m_region && GetParam() == kind::region_0)
			m_region.reset();
		m_region.close();
		device_test::TearDown();
	}

	/* The same memory at another address, as an unrelated process has it. */
	mapping map_again() const
	{
		return mapping(
			GetParam() == kind::region_0
				? region::open_node(shm_kernel::control_node)
				: region::open(m_name));
	}

	shared &here() const { return *m_shared; }

	static shared &in(const mapping &view)
	{
		return *static_cast<shared *>(view.data());
	}

	void expect_owner_death(int protocol);

private:
	std::string m_name;
	region m_region;
	mapping m_view;
	shared *m_shared = nullptr;
};

TEST_P(sharing_test, contended_mutex)
{
	constexpr int rounds = 20000;

	init_mutex(here().mutex, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);

	const auto run = [&] {
		const mapping view = map_again();
		shared &mine = in(view);

		for (int i = 0; i < rounds; ++i) {
			if (pthread_mutex_lock(&mine.mutex))
				return 1;
			/* Torn apart, so that a lock that does not lock shows. */
			const long before = mine.count;

			if (!(i % 512))
				sched_yield();
			mine.count = before + 1;
			if (pthread_mutex_unlock(&mine.mutex))
				return 2;
		}
		return 0;
	};
	child first(run), second(run);

	EXPECT_EQ(first.wait(), 0);
	EXPECT_EQ(second.wait(), 0);
	EXPECT_EQ(here().count, 2 * rounds);
}

TEST_P(sharing_test, mutex_sleeps_until_the_owner_lets_go)
{
	init_mutex(here().mutex, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
	pthread_mutex_lock(&here().mutex);

	child waiter([&] {
		const mapping view = map_again();
		shared &mine = in(view);

		mine.waiting = 1;
		if (pthread_mutex_lock(&mine.mutex))
			return 1;
		return mine.count == 7 ? 0 : 2;
	});

	EXPECT_TRUE(test::eventually([&] { return here().waiting == 1; }));
	std::this_thread::sleep_for(std::chrono::milliseconds(50));
	here().count = 7;
	pthread_mutex_unlock(&here().mutex);
	EXPECT_EQ(waiter.wait(), 0);
}

TEST_P(sharing_test, condition_hands_turns_over)
{
	constexpr long rounds = 500;

	init_mutex(here().mutex, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);

	const auto run = [&](long me) {
		const mapping view = map_again();
		shared &mine = in(view);

		for (long i = 0; i < rounds; ++i) {
			pthread_mutex_lock(&mine.mutex);
			while (mine.turn % 2 != me)
				if (pthread_cond_wait(&mine.condition,
						      &mine.mutex))
					return 1;
			++mine.turn;
			pthread_cond_broadcast(&mine.condition);
			pthread_mutex_unlock(&mine.mutex);
		}
		return 0;
	};
	child even([&] { return run(0); }), odd([&] { return run(1); });

	EXPECT_EQ(even.wait(), 0);
	EXPECT_EQ(odd.wait(), 0);
	EXPECT_EQ(here().turn, 2 * rounds);
}

TEST_P(sharing_test, semaphore_wakes_a_peer)
{
	child waiter([&] {
		const mapping view = map_again();

		in(view).waiting = 1;
		for (int i = 0; i < 100; ++i)
			while (sem_wait(&in(view).semaphore))
				if (errno != EINTR)
					return 1;
		return 0;
	});

	EXPECT_TRUE(test::eventually([&] { return here().waiting == 1; }));
	for (int i = 0; i < 100; ++i)
		sem_post(&here().semaphore);
	EXPECT_EQ(waiter.wait(), 0);
}

void sharing_test::expect_owner_death(int protocol)
{
	gate locked;

	init_mutex(here().mutex, PTHREAD_MUTEX_ROBUST, protocol);

	child owner([&] {
		const mapping view = map_again();

		pthread_mutex_lock(&in(view).mutex);
		in(view).count = 1;
		locked.open();
		return test::until_killed();
	});

	locked.wait();
	EXPECT_EQ(pthread_mutex_trylock(&here().mutex), EBUSY);

	/* One that sleeps on the lock while its owner dies. */
	child waiter([&] {
		const mapping view = map_again();
		shared &mine = in(view);

		mine.waiting = 1;

		const int result = pthread_mutex_lock(&mine.mutex);

		if (result != EOWNERDEAD)
			return 1;
		if (mine.count != 1)
			return 2;
		mine.count = 2;
		pthread_mutex_consistent(&mine.mutex);
		pthread_mutex_unlock(&mine.mutex);
		return 0;
	});

	EXPECT_TRUE(test::eventually([&] { return here().waiting == 1; }));
	std::this_thread::sleep_for(std::chrono::milliseconds(50));
	EXPECT_EQ(owner.kill(), child::killed);
	EXPECT_EQ(waiter.wait(), 0);
	EXPECT_EQ(pthread_mutex_lock(&here().mutex), 0);
	EXPECT_EQ(here().count, 2);
	pthread_mutex_unlock(&here().mutex);
}

TEST_P(sharing_test, robust_mutex_survives_its_killed_owner)
{
	expect_owner_death(PTHREAD_PRIO_NONE);
}

TEST_P(sharing_test, priority_inheriting_mutex_survives_its_killed_owner)
{
	expect_owner_death(PTHREAD_PRIO_INHERIT);
}

TEST_P(sharing_test, robust_mutex_works_after_the_handle_is_closed)
{
	gate locked;
	mapping view = map_again();

	init_mutex(here().mutex, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);

	child owner([&] {
		pthread_mutex_lock(&in(view).mutex);
		locked.open();
		return test::until_killed();
	});

	locked.wait();
	owner.kill();
	EXPECT_EQ(pthread_mutex_lock(&in(view).mutex), EOWNERDEAD);
	EXPECT_EQ(pthread_mutex_consistent(&in(view).mutex), 0);
	EXPECT_EQ(pthread_mutex_unlock(&in(view).mutex), 0);
	EXPECT_EQ(pthread_mutex_lock(&here().mutex), 0);
	EXPECT_EQ(pthread_mutex_unlock(&here().mutex), 0);
}

INSTANTIATE_TEST_SUITE_P(regions, sharing_test,
			 ::testing::Values(kind::named, kind::small_pages,
					   kind::contiguous, kind::region_0),
			 [](const auto &each) {
				 return to_string(each.param);
			 });
