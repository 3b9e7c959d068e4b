/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Locks of the kernel on the bytes of a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/region_lock.hpp>
#include <shm_kernel/interprocess/robust_condition.hpp>

#include "support.hpp"

#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/interprocess/sync/sharable_lock.hpp>

#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <random>
#include <shared_mutex>
#include <vector>

#include <sys/socket.h>

namespace {

using namespace std::chrono_literals;

using shm_kernel::access_mode;
using shm_kernel::create_options;
using shm_kernel::errc;
using shm_kernel::kernel_memory_exception;
using shm_kernel::mapping;
using shm_kernel::region;
using shm_kernel::region_lock;
using std::chrono::steady_clock;
using std::chrono::system_clock;

namespace bip = boost::interprocess;
namespace pt = boost::posix_time;

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

class region_lock_test : public test::device_test
{
protected:
	/* What somebody else could have: 2 the lock, 1 a share, 0 nothing. */
	static int left(region_lock &other)
	{
		if (other.try_lock()) {
			other.unlock();
			return 2;
		}
		if (other.try_lock_sharable()) {
			other.unlock_sharable();
			return 1;
		}
		return 0;
	}

	region m_region = region::create(create_options().set_size(4096));
};

TEST_F(region_lock_test, excludes_or_shares)
{
	region_lock lock(m_region);
	region_lock other(m_region);
	region_lock third(m_region);

	EXPECT_EQ(left(other), 2);
	lock.lock();
	EXPECT_EQ(left(other), 0);
	lock.unlock();
	EXPECT_EQ(left(other), 2);

	lock.lock_sharable();
	EXPECT_EQ(left(other), 1);
	ASSERT_TRUE(third.try_lock_sharable());
	EXPECT_EQ(left(other), 1);
	lock.unlock_sharable();
	EXPECT_EQ(left(other), 1);
	third.unlock_sharable();
	EXPECT_EQ(left(other), 2);

	/* One object shares as often as it is asked to. */
	lock.lock_sharable();
	lock.lock_sharable();
	lock.unlock_sharable();
	EXPECT_EQ(left(other), 1);
	lock.unlock_sharable();
	EXPECT_EQ(left(other), 2);

	lock.lock();
	lock.unlock_and_lock_sharable();
	EXPECT_EQ(left(other), 1);
	EXPECT_EQ(left(lock), 1);
	lock.unlock_sharable();
	EXPECT_EQ(left(other), 2);
}

TEST_F(region_lock_test, works_with_the_guards_of_std_and_boost)
{
	region_lock lock(m_region);
	region_lock other(m_region);
	std::mutex mutex;

	{
		const std::lock_guard<region_lock> guard(lock);
		EXPECT_EQ(left(other), 0);
	}
	{
		const std::scoped_lock guard(mutex, lock);
		EXPECT_EQ(left(other), 0);
	}
	{
		const std::unique_lock<region_lock> guard(lock, 1s);
		EXPECT_TRUE(guard.owns_lock());
	}
	{
		const std::shared_lock<region_lock> guard(lock);
		EXPECT_EQ(left(other), 1);
	}
	{
		const std::shared_lock<region_lock> guard(lock, 1s);
		EXPECT_TRUE(guard.owns_lock());
	}
	{
		const std::shared_lock<region_lock> guard(
			lock, steady_clock::now() + 1s);
		EXPECT_TRUE(guard.owns_lock());
	}
	{
		const bip::scoped_lock<region_lock> guard(
			lock, pt::microsec_clock::universal_time());
		EXPECT_TRUE(guard.owns());
		EXPECT_EQ(left(other), 0);
	}
	{
		const bip::sharable_lock<region_lock> guard(
			lock, pt::microsec_clock::universal_time());
		EXPECT_TRUE(guard.owns());
		EXPECT_EQ(left(other), 1);
	}
	{
		bip::scoped_lock<region_lock> exclusive(lock);
		const bip::sharable_lock<region_lock> guard(
			boost::move(exclusive));
		EXPECT_TRUE(guard.owns());
		EXPECT_EQ(left(other), 1);
	}
	EXPECT_EQ(left(other), 2);

	/* Between processes, with what any lock can wait for. */
	shm_kernel::robust_condition condition;
	std::unique_lock<region_lock> guard(lock);

	EXPECT_EQ(condition.wait_for(guard, 1ms), std::cv_status::timeout);
	EXPECT_EQ(left(other), 0);
}

TEST_F(region_lock_test, is_shared_by_those_who_may_only_read)
{
	const std::string name = test::fresh_name();
	region named = region::create(
		create_options().set_name(name).set_size(100).set_mode(0644));
	region_lock writer(named);
	region_lock reader(name, access_mode::read_only);
	region_lock same(named.reopen(access_mode::read_only));

	for (region_lock *each : {&reader, &same}) {
		EXPECT_EQ(thrown_by([&] { each->lock(); }),
			  errc::permission_denied);
		EXPECT_EQ(thrown_by([&] { each->try_lock(); }),
			  errc::permission_denied);
		EXPECT_EQ(thrown_by([&] { each->try_lock_for(1s); }),
			  errc::permission_denied);
		each->lock_sharable();
		EXPECT_EQ(left(writer), 1);
		each->unlock_sharable();
		EXPECT_EQ(left(writer), 2);
		writer.lock();
		EXPECT_FALSE(each->try_lock_sharable());
		writer.unlock();
	}

	/* By a process that could not write if it wanted to. */
	test::open_for_all open;

	EXPECT_EQ(test::child([&] {
			  test::become(65534);
			  try {
				  region_lock denied(name);
				  return 1;
			  } catch (const kernel_memory_exception &error) {
				  if (error.code() != errc::permission_denied)
					  return 2;
			  }

			  region_lock mine(name, access_mode::read_only);

			  mine.lock_sharable();
			  if (left(writer) != 1)
				  return 3;
			  mine.unlock_sharable();
			  return left(writer) == 2 ? 0 : 4;
		  }).wait(),
		  0);
}

TEST_F(region_lock_test, says_what_is_wrong)
{
	EXPECT_EQ(thrown_by([] { region_lock lock{region()}; }),
		  errc::empty_handle);
	EXPECT_EQ(thrown_by([] { region_lock lock(test::fresh_name()); }),
		  errc::not_found);
	EXPECT_EQ(thrown_by([&] {
			  region_lock lock(m_region, std::uint64_t{1} << 63);
		  }),
		  std::errc::invalid_argument);
	EXPECT_EQ(thrown_by([&] {
			  region_lock lock(m_region, 2,
					   (std::uint64_t{1} << 63) - 2);
		  }),
		  std::errc::invalid_argument);

	region_lock last(m_region, (std::uint64_t{1} << 63) - 2, 1);

	last.lock();
	last.unlock();

	/* A handle that came from somebody whose region is not for all. */
	test::open_for_all open;

	m_region.chmod(0600);
	EXPECT_EQ(test::child([&] {
			  test::become(65534);
			  return thrown_by([&] { region_lock l(m_region); }) ==
						 errc::permission_denied
					 ? 0
					 : 1;
		  }).wait(),
		  0);
}

TEST_F(region_lock_test, is_on_the_bytes_that_are_asked_for)
{
	region_lock all(m_region);
	region_lock first(m_region, 0, 100);
	region_lock second(m_region, 100, 100);
	region_lock both(m_region, 99, 2);
	region_lock beyond(m_region, 1 << 20);

	first.lock();
	EXPECT_EQ(left(second), 2);
	EXPECT_EQ(left(beyond), 2);
	EXPECT_EQ(left(both), 0);
	EXPECT_EQ(left(all), 0);
	second.lock_sharable();
	first.unlock();
	EXPECT_EQ(left(both), 1);
	EXPECT_EQ(left(all), 1);
	second.unlock_sharable();
	beyond.lock();
	EXPECT_EQ(left(all), 0);
	EXPECT_EQ(left(both), 2);
	beyond.unlock();
	EXPECT_EQ(left(all), 2);
}

TEST_F(region_lock_test, waits_until_a_moment)
{
	region_lock lock(m_region);
	region_lock other(m_region);
	const auto in_time = [](auto call) {
		const auto start = steady_clock::now();

		EXPECT_FALSE(call());

		const auto time = steady_clock::now() - start;

		EXPECT_GE(time, 19ms);
		EXPECT_LT(time, 10s);
	};

	/* Both where another object has it and where a thread of this one does. */
	lock.lock();
	for (region_lock *each : {&lock, &other}) {
		in_time([&] {
			return each->timed_lock(
				pt::microsec_clock::universal_time() +
				pt::milliseconds(20));
		});
		in_time([&] {
			return each->timed_lock(system_clock::now() + 20ms);
		});
		in_time([&] {
			return each->try_lock_until(steady_clock::now() + 20ms);
		});
		in_time([&] { return each->try_lock_for(20ms); });
		in_time([&] {
			return each->timed_lock_sharable(
				pt::microsec_clock::universal_time() +
				pt::milliseconds(20));
		});
		in_time([&] {
			return each->try_lock_shared_until(steady_clock::now() +
							   20ms);
		});
		in_time([&] { return each->try_lock_shared_for(20ms); });
		EXPECT_FALSE(each->try_lock_for(-1s));
	}
	lock.unlock();

	lock.lock_sharable();
	in_time([&] { return other.try_lock_for(20ms); });
	EXPECT_TRUE(other.try_lock_shared_for(20s));
	other.unlock_shared();

	std::thread later([&] {
		std::this_thread::sleep_for(20ms);
		lock.unlock_sharable();
	});

	EXPECT_TRUE(other.timed_lock(pt::ptime(pt::pos_infin)));
	later.join();
	other.unlock();
	EXPECT_TRUE(other.try_lock_for(std::chrono::hours::max()));
	other.unlock();
}

TEST_F(region_lock_test, is_taken_back_from_the_dead)
{
	region_lock lock(m_region);

	for (const bool exclusive : {true, false}) {
		test::gate locked;
		test::child owner([&] {
			region_lock mine(m_region);

			if (exclusive)
				mine.lock();
			else
				mine.lock_sharable();
			locked.open();
			return test::until_killed();
		});

		locked.wait();
		EXPECT_EQ(left(lock), exclusive ? 0 : 1);

		std::thread waits([&] {
			lock.lock();
			lock.unlock();
		});

		EXPECT_EQ(owner.kill(), test::child::killed);
		waits.join();
		EXPECT_EQ(left(lock), 2);
	}
}

TEST_F(region_lock_test, ends_with_the_object_and_with_exec)
{
	region_lock lock(m_region);
	{
		region_lock mine(m_region);

		mine.lock();
		EXPECT_EQ(left(lock), 0);
	}
	EXPECT_EQ(left(lock), 2);

	test::gate locked;
	test::child owner([&] {
		region_lock mine(m_region);

		mine.lock();
		locked.open();
		::execl("/bin/sleep", "sleep", "60", nullptr);
		return 1;
	});

	locked.wait();
	EXPECT_TRUE(lock.try_lock_for(20s));
	lock.unlock();
}

TEST_F(region_lock_test, stays_with_the_parent_after_fork)
{
	region_lock lock(m_region, 0, 1);
	region_lock other(m_region, 0, 1);
	region_lock exclusive(m_region, 1, 1);
	region_lock shared(m_region, 2, 1);
	test::gate done;
	test::gate go;

	lock.lock();
	exclusive.lock();
	shared.lock_shared();

	test::child child([&] {
		int wrong = 0;

		/* Not the child's, who cannot give it back either. */
		wrong |= lock.try_lock() ? 1 : 0;
		lock.unlock();
		wrong |= left(other) ? 2 : 0;
		done.open();
		go.wait();
		/* The parent has given it back; now it is a lock of its own. */
		wrong |= lock.try_lock() ? 0 : 4;
		wrong |= exclusive.try_lock() ? 0 : 8;
		wrong |= shared.try_lock() ? 0 : 16;
		done.open();
		go.wait();
		return wrong;
	});

	done.wait();
	EXPECT_EQ(left(other), 0);
	lock.unlock();
	exclusive.unlock();
	shared.unlock_shared();
	EXPECT_EQ(left(other), 2);
	go.open();
	done.wait();
	EXPECT_EQ(left(other), 0);
	EXPECT_EQ(left(lock), 0);
	go.open();
	EXPECT_EQ(child.wait(), 0);
	EXPECT_EQ(left(lock), 2);
}

TEST_F(region_lock_test, a_child_does_not_keep_what_its_dead_parent_had)
{
	region_lock lock(m_region);
	test::gate forked;
	test::gate end;
	test::child parent([&] {
		region_lock mine(m_region);

		mine.lock();
		if (!::fork()) {
			forked.open();
			end.wait();
			::_exit(0);
		}
		return test::until_killed();
	});

	forked.wait();
	EXPECT_EQ(left(lock), 0);
	parent.kill();
	EXPECT_TRUE(lock.try_lock_for(20s));
	lock.unlock();
	end.open();
}

TEST_F(region_lock_test, works_on_what_came_over_a_socket)
{
	int sockets[2];
	region_lock lock(m_region);

	ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets),
		  0);

	test::gate locked;
	test::child other([&] {
		alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
		char byte;
		iovec piece = {&byte, 1};
		msghdr message = {};
		int descriptor = -1;

		message.msg_iov = &piece;
		message.msg_iovlen = 1;
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		if (::recvmsg(sockets[1], &message, MSG_CMSG_CLOEXEC) != 1 ||
		    !CMSG_FIRSTHDR(&message))
			return 1;
		std::memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)),
			    sizeof(descriptor));

		/* The same open file as the sender's: no owner of its own. */
		const region passed = region::adopt(descriptor);
		region_lock mine(passed);

		mine.lock();
		locked.open();
		return test::until_killed();
	});
	alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
	char byte = 0;
	iovec piece = {&byte, 1};
	msghdr message = {};
	const int descriptor = m_region.native_handle();

	message.msg_iov = &piece;
	message.msg_iovlen = 1;
	message.msg_control = control;
	message.msg_controllen = sizeof(control);
	CMSG_FIRSTHDR(&message)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&message)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(sizeof(int));
	std::memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &descriptor,
		    sizeof(descriptor));
	ASSERT_EQ(::sendmsg(sockets[0], &message, 0), 1);
	locked.wait();
	EXPECT_EQ(left(lock), 0);
	other.kill();
	EXPECT_EQ(left(lock), 2);
	::close(sockets[0]);
	::close(sockets[1]);
}

TEST_F(region_lock_test, keeps_the_name_as_long_as_it_lives)
{
	const std::string name = test::fresh_name();
	std::optional<region_lock> lock;

	{
		const region named = region::create(name, 100);

		lock.emplace(named);
	}
	EXPECT_TRUE(region::open(name));
	lock->lock();
	EXPECT_EQ(lock->get_region().info().name(), name);
	lock.reset();
	EXPECT_TRUE(test::eventually([&] {
		return test::error_of([&](std::error_code &error) {
			       region::open(name, access_mode::read_only,
					    error);
		       }) == errc::not_found;
	}));
}

TEST_F(region_lock_test, keeps_the_threads_that_share_it_apart)
{
	region_lock lock(m_region);
	region_lock other(m_region);
	std::vector<std::thread> threads;
	std::atomic<int> wrong{0};
	int a = 0;
	int b = 0;

	for (int i = 0; i < 4; ++i)
		threads.emplace_back([&, i] {
			region_lock &mine = i == 3 ? other : lock;

			for (int j = 0; j < 300; ++j) {
				if (j % 3 == i % 3) {
					const std::lock_guard<region_lock> own(
						mine);

					++a;
					++b;
				} else {
					const std::shared_lock<region_lock> own(
						mine);

					wrong += a != b;
				}
			}
		});
	for (std::thread &thread : threads)
		thread.join();
	EXPECT_EQ(wrong, 0);
	EXPECT_EQ(a, 400);
	EXPECT_EQ(left(lock), 2);
	EXPECT_EQ(left(other), 2);
}

TEST_F(region_lock_test, lets_a_writer_in_though_readers_keep_coming)
{
	region_lock lock(m_region);
	std::atomic<bool> done{false};
	std::vector<std::thread> readers;

	for (int i = 0; i < 3; ++i)
		readers.emplace_back([&] {
			while (!done) {
				const std::shared_lock<region_lock> own(lock);

				std::this_thread::sleep_for(2ms);
			}
		});
	std::this_thread::sleep_for(10ms);
	for (int i = 0; i < 5; ++i) {
		EXPECT_TRUE(lock.try_lock_for(20s));
		lock.unlock();
	}
	done = true;
	for (std::thread &reader : readers)
		reader.join();
	EXPECT_EQ(left(lock), 2);
}

TEST_F(region_lock_test, readers_come_in_after_a_writer_gave_up)
{
	region_lock lock(m_region);

	lock.lock_shared();
	std::thread writer([&] { EXPECT_FALSE(lock.try_lock_for(50ms)); });
	std::this_thread::sleep_for(10ms);

	const auto start = steady_clock::now();

	EXPECT_TRUE(lock.try_lock_shared_for(20s));
	EXPECT_LT(steady_clock::now() - start, 10s);
	writer.join();
	lock.unlock_shared();
	lock.unlock_shared();
	EXPECT_EQ(left(lock), 2);
}

/* What readers see under the lock is whole, whoever dies meanwhile. */
TEST_F(region_lock_test, survives_a_storm)
{
	struct content
	{
		volatile int a;
		volatile int b;
		volatile int writer;
		std::atomic<int> wrong;
		std::atomic<int> reads;
		std::atomic<int> writes;
	};
	const mapping memory(m_region);
	auto *const all = static_cast<content *>(memory.data());
	const auto write = [&] {
		region_lock lock(m_region);

		for (;;) {
			const std::lock_guard<region_lock> guard(lock);

			/* The one before died in the middle. */
			if (all->writer)
				all->b = all->a;
			else if (all->a != all->b)
				++all->wrong;
			all->writer = 1;
			all->a = all->a + 1;
			all->b = all->a;
			all->writer = 0;
			++all->writes;
		}
		return 0;
	};
	const auto read = [&] {
		region_lock lock(m_region.reopen(access_mode::read_only));

		for (;;) {
			const std::shared_lock<region_lock> guard(lock);

			if (!all->writer && all->a != all->b)
				++all->wrong;
			++all->reads;
		}
		return 0;
	};
	std::list<test::child> children;
	std::minstd_rand random(1);

	for (int i = 0; i < 2; ++i) {
		children.emplace_back(write);
		children.emplace_back(read);
	}

	const auto end = steady_clock::now() + 1s;

	for (unsigned int i = 0; steady_clock::now() < end; ++i) {
		std::this_thread::sleep_for(
			std::chrono::microseconds(random() % 20000));
		children.front().kill();
		children.pop_front();
		if (i % 2)
			children.emplace_back(read);
		else
			children.emplace_back(write);
	}
	children.clear();
	EXPECT_EQ(all->wrong, 0);
	EXPECT_GT(all->reads, 10);
	EXPECT_GT(all->writes, 10);

	region_lock lock(m_region);

	EXPECT_EQ(left(lock), 2);
}

} // namespace
