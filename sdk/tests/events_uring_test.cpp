/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Event files under io_uring
 */

#include "support.hpp"

#include <linux/shm_kernel.h>

#include <cstdint>

#include <poll.h>

#if SHM_KERNEL_TEST_URING
#include <liburing.h>
#endif

using shm_kernel::create_options;
using shm_kernel::event_mode;
using shm_kernel::events;
using shm_kernel::region;
using test::child;
using test::gate;
using namespace std::chrono_literals;

class events_uring_test : public test::device_test
{
#if SHM_KERNEL_TEST_URING
protected:
	void SetUp() override
	{
		device_test::SetUp();
		if (HasFatalFailure())
			return;

		const int error = ::io_uring_queue_init(8, &m_ring, 0);

		if (error == -ENOSYS || error == -EPERM)
			GTEST_SKIP() << "this kernel has no io_uring";
		ASSERT_EQ(error, 0);
		m_alive = true;
		m_region = region::create(create_options{}.set_size(4096));
		::alarm(test::patience);
	}

	void TearDown() override
	{
		::alarm(0);
		if (m_alive)
			::io_uring_queue_exit(&m_ring);
		m_region.close();
		device_test::TearDown();
	}

	void read(const events &peer, struct shm_kernel_events &counts,
		  std::uint64_t id = 1)
	{
		struct io_uring_sqe *const entry = ::io_uring_get_sqe(&m_ring);

		::io_uring_prep_read(entry, peer.native_handle(), &counts,
				     sizeof(counts), static_cast<__u64>(-1));
		entry->user_data = id;
		ASSERT_EQ(::io_uring_submit(&m_ring), 1);
	}

	/* The result of the next one that is complete, whatever it is. */
	int result(std::uint64_t &id)
	{
		struct io_uring_cqe *done = nullptr;
		const int error = ::io_uring_wait_cqe(&m_ring, &done);

		if (error)
			return error;

		const int value = done->res;

		id = done->user_data;
		::io_uring_cqe_seen(&m_ring, done);
		return value;
	}

	int result()
	{
		std::uint64_t ignored;

		return result(ignored);
	}

	bool idle()
	{
		struct io_uring_cqe *done;

		return ::io_uring_peek_cqe(&m_ring, &done) == -EAGAIN;
	}

	struct io_uring m_ring;
	bool m_alive = false;
	region m_region;
#endif
};

#if SHM_KERNEL_TEST_URING

/* In both modes: who asks io_uring does not wait in any. */
TEST_F(events_uring_test, read_completes_when_somebody_rings)
{
	for (const event_mode mode :
	     {event_mode::blocking, event_mode::non_blocking}) {
		events here(m_region, mode), other(m_region);
		struct shm_kernel_events counts = {};

		here.read();
		read(here, counts);
		std::this_thread::sleep_for(20ms);
		EXPECT_TRUE(idle());
		other.ring(7);
		EXPECT_EQ(result(), static_cast<int>(sizeof(counts)));
		EXPECT_EQ(counts.rings, 7U);
		EXPECT_EQ(counts.peers, 1U);
		/* And at once when it is there already. */
		other.ring(2);
		read(here, counts);
		EXPECT_EQ(result(), static_cast<int>(sizeof(counts)));
		EXPECT_EQ(counts.rings, 2U);
		EXPECT_TRUE(idle());
	}
}

TEST_F(events_uring_test, write_rings)
{
	events here(m_region), other(m_region);
	const __u64 times = 5;

	other.try_read();
	::io_uring_prep_write(::io_uring_get_sqe(&m_ring), here.native_handle(),
			      &times, sizeof(times), static_cast<__u64>(-1));
	ASSERT_EQ(::io_uring_submit(&m_ring), 1);
	EXPECT_EQ(result(), static_cast<int>(sizeof(times)));
	EXPECT_EQ(other.read().rings, 5U);
}

TEST_F(events_uring_test, poll_and_poll_again)
{
	events here(m_region), other(m_region);
	struct io_uring_sqe *entry;

	here.read();
	::io_uring_prep_poll_add(::io_uring_get_sqe(&m_ring),
				 here.native_handle(), POLLIN);
	ASSERT_EQ(::io_uring_submit(&m_ring), 1);
	EXPECT_TRUE(idle());
	other.ring();
	EXPECT_EQ(result(), POLLIN);
	EXPECT_EQ(here.read().rings, 1U);

	/* One request, a completion for each ring. */
	entry = ::io_uring_get_sqe(&m_ring);
	::io_uring_prep_poll_multishot(entry, here.native_handle(), POLLIN);
	ASSERT_EQ(::io_uring_submit(&m_ring), 1);
	for (unsigned int i = 0; i < 10; ++i) {
		other.ring();
		EXPECT_EQ(result(), POLLIN);
		EXPECT_EQ(here.read().rings, 1U);
	}
}

TEST_F(events_uring_test, waiting_read_can_be_cancelled)
{
	events here(m_region), other(m_region);
	struct shm_kernel_events counts = {};
	struct io_uring_sqe *entry;
	std::uint64_t first = 0, second = 0;

	here.read();
	read(here, counts, 1);
	std::this_thread::sleep_for(20ms);
	entry = ::io_uring_get_sqe(&m_ring);
	::io_uring_prep_cancel64(entry, 1, 0);
	entry->user_data = 2;
	ASSERT_EQ(::io_uring_submit(&m_ring), 1);

	const int a = result(first), b = result(second);

	EXPECT_EQ(first + second, 3U);
	EXPECT_EQ(first == 1 ? a : b, -ECANCELED);
	EXPECT_EQ(first == 2 ? a : b, 0);
	other.ring(3);
	EXPECT_EQ(here.read().rings, 3U) << "the cancelled read took it";
}

/* What waits in the kernel keeps the file, but not longer than the ring. */
TEST_F(events_uring_test, peer_that_waits_goes_with_its_ring)
{
	events here(m_region);
	struct shm_kernel_events counts = {};

	{
		events other(m_region);

		here.read();
		read(other, counts);
	}
	EXPECT_EQ(m_region.info().peers(), 2U);
	EXPECT_FALSE(here.wait(20ms));
	::io_uring_queue_exit(&m_ring);
	m_alive = false;
	EXPECT_TRUE(here.wait(30s));
	EXPECT_EQ(here.read().peers_gone, 1U);
}

TEST_F(events_uring_test, storm_loses_nothing)
{
	constexpr std::uint64_t rounds = 5000;
	events here(m_region);
	struct shm_kernel_events counts = {};
	std::uint64_t heard = 0;
	gate ready;
	child ringer([&] {
		here.close();

		events own(m_region);

		ready.open();
		for (std::uint64_t i = 1; i <= rounds; ++i)
			own.ring(i);
		return 0;
	});

	ready.wait();
	for (bool gone = false; !gone; gone = counts.peers_gone != 0) {
		read(here, counts);
		ASSERT_EQ(result(), static_cast<int>(sizeof(counts)));
		heard += counts.rings;
	}
	EXPECT_EQ(ringer.wait(), 0);
	EXPECT_EQ(heard, rounds * (rounds + 1) / 2);
}

#else

TEST_F(events_uring_test, all_of_it)
{
	GTEST_SKIP() << "built without liburing (install liburing-dev)";
}

#endif
