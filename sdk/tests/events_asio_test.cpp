/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Event files under Boost.Asio
 */

#include "support.hpp"

#include <linux/shm_kernel.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <cstdint>

using shm_kernel::create_options;
using shm_kernel::errc;
using shm_kernel::event_counts;
using shm_kernel::event_mode;
using shm_kernel::events;
using shm_kernel::region;
using test::child;
using test::error_of;
using test::gate;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using descriptor = asio::posix::stream_descriptor;

class events_asio_test : public test::device_test
{
protected:
	void SetUp() override
	{
		device_test::SetUp();
		if (HasFatalFailure())
			return;
		m_region = region::create(create_options{}.set_size(4096));
	}

	void TearDown() override
	{
		m_region.close();
		device_test::TearDown();
	}

	/* The end of whatever does not end by itself. */
	void run()
	{
		EXPECT_GT(
			m_context.run_for(std::chrono::seconds(test::patience)),
			0U);
		EXPECT_TRUE(m_context.stopped()) << "something still waits";
		m_context.restart();
	}

	region m_region;
	asio::io_context m_context;
};

/* The way that the documentation shows: asio waits, events reads. */
TEST_F(events_asio_test, wait_and_read)
{
	events here(m_region);
	descriptor waiter(m_context, here.native_handle());
	std::uint64_t heard = 0;
	unsigned int woken = 0;
	gate ready;
	child ringer([&] {
		events own(m_region);

		ready.open();
		for (unsigned int i = 1; i <= 100; ++i)
			own.ring(i);
		return 0;
	});
	std::function<void(const boost::system::error_code &)> on_event =
		[&](const boost::system::error_code &error) {
			ASSERT_FALSE(error);
			++woken;
			if (const auto counts = here.try_read()) {
				heard += counts->rings;
				if (counts->peers_gone)
					return;
			}
			waiter.async_wait(descriptor::wait_read, on_event);
		};

	waiter.async_wait(descriptor::wait_read, on_event);
	ready.wait();
	run();
	EXPECT_EQ(ringer.wait(), 0);
	EXPECT_EQ(heard, 5050U);
	EXPECT_GE(woken, 1U);
	/* The descriptor stays that of its object. */
	waiter.release();
	EXPECT_TRUE(here);
	EXPECT_FALSE(here.wait(0ns));
}

/* And asio's own reads and writes, which make it non-blocking. */
TEST_F(events_asio_test, read_and_write)
{
	events here(m_region), other(m_region);
	struct shm_kernel_events counts = {};
	const __u64 times = 6;
	std::size_t done = 0;

	here.read();

	descriptor peer(m_context, here.release());

	asio::async_read(peer, asio::buffer(&counts, sizeof(counts)),
			 [&](const auto &error, std::size_t size) {
				 EXPECT_FALSE(error);
				 done = size;
			 });
	EXPECT_EQ(m_context.poll(), 0U);

	asio::steady_timer timer(m_context, 20ms);

	timer.async_wait([&](const auto &) { other.ring(4); });
	run();
	EXPECT_EQ(done, sizeof(counts));
	EXPECT_EQ(counts.rings, 4U);

	asio::async_write(peer, asio::buffer(&times, sizeof(times)),
			  [&](const auto &error, std::size_t size) {
				  EXPECT_FALSE(error);
				  EXPECT_EQ(size, sizeof(times));
			  });
	run();
	EXPECT_EQ(other.read().rings, 6U);
}

TEST_F(events_asio_test, waiting_can_be_cancelled)
{
	events here(m_region), other(m_region);
	descriptor waiter(m_context, here.native_handle());
	boost::system::error_code result;

	here.read();
	waiter.async_wait(descriptor::wait_read,
			  [&](const auto &error) { result = error; });

	asio::steady_timer timer(m_context, 20ms);

	timer.async_wait([&](const auto &) { waiter.cancel(); });
	run();
	EXPECT_EQ(result, asio::error::operation_aborted);
	other.ring();
	EXPECT_EQ(here.read().rings, 1U);
	waiter.release();
}

TEST_F(events_asio_test, revoke_ends_it)
{
	if (!root())
		GTEST_SKIP() << "needs CAP_SYS_ADMIN";

	events here(m_region);
	descriptor waiter(m_context, here.native_handle());
	bool told = false;

	waiter.async_wait(descriptor::wait_read, [&](const auto &error) {
		EXPECT_FALSE(error);
		told = here.read().revoked;
	});

	asio::steady_timer timer(m_context, 20ms);

	timer.async_wait([&](const auto &) { m_region.revoke(); });
	run();
	EXPECT_TRUE(told);
	EXPECT_EQ(error_of([&](auto &e) { here.read(e); }), errc::revoked);
	waiter.release();
}
