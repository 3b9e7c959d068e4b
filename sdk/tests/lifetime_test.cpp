/* SPDX-License-Identifier: BSL-1.0 */
/*
 * How long names and regions live, and who wins when many want one name
 */

#include "support.hpp"

#include <atomic>
#include <cstring>
#include <new>
#include <vector>

#include <sched.h>

using shm_kernel::access_mode;
using shm_kernel::create_options;
using shm_kernel::errc;
using shm_kernel::map_mode;
using shm_kernel::mapping;
using shm_kernel::region;
using test::child;
using test::error_of;
using test::eventually;
using test::fresh_name;
using test::gate;

class lifetime_test : public test::device_test
{
};

namespace {

bool exists(const std::string &name)
{
	std::error_code error;

	return static_cast<bool>(
		region::open(name, access_mode::read_only, error));
}

} // namespace

TEST_F(lifetime_test, name_ends_with_the_last_handle)
{
	const auto name = fresh_name();
	auto first = region::create(name, 1);
	auto second = region::open(name);

	first.close();
	EXPECT_TRUE(exists(name));
	second.close();
	EXPECT_TRUE(eventually([&] { return !exists(name); }));
	EXPECT_TRUE(region::create(name, 1));
}

TEST_F(lifetime_test, name_ends_with_the_last_mapping)
{
	const auto name = fresh_name();
	mapping view(region::create(name, 1));

	EXPECT_TRUE(exists(name));
	view.unmap();
	EXPECT_TRUE(eventually([&] { return !exists(name); }));
}

TEST_F(lifetime_test, killed_owner_leaves_nothing)
{
	const auto name = fresh_name();
	gate made;
	child owner([&] {
		const auto held = region::create(name, 1 << 20);
		const mapping view(held);

		std::memset(view.data(), 1, view.size());
		made.open();
		return test::until_killed();
	});

	made.wait();
	EXPECT_TRUE(exists(name));
	EXPECT_EQ(owner.kill(), child::killed);
	EXPECT_TRUE(eventually([&] { return !exists(name); }));
}

TEST_F(lifetime_test, peer_keeps_what_a_killed_owner_made)
{
	const auto name = fresh_name();
	gate made;
	child owner([&] {
		auto held = region::create(name, 5);

		held.write(0, "hello", 5);
		made.open();
		return test::until_killed();
	});

	made.wait();

	const auto peer = region::open(name);
	char text[6] = {};

	EXPECT_EQ(owner.kill(), child::killed);
	EXPECT_TRUE(exists(name));
	peer.read(0, text, 5);
	EXPECT_STREQ(text, "hello");
}

TEST_F(lifetime_test, removed_region_lives_on_without_its_name)
{
	const auto name = fresh_name();
	auto old = region::create(name, 3);
	const mapping view(old);

	region::remove(name);
	EXPECT_FALSE(exists(name));

	const auto other = region::create(name, 7);

	EXPECT_NE(other.info().id(), old.info().id());
	old.write(0, "old", 3);
	EXPECT_EQ(std::memcmp(view.data(), "old", 3), 0);
	old.resize(100);
	EXPECT_EQ(other.size(), 7U);
	EXPECT_EQ(error_of([&](auto &e) { old.bind(name, e); }),
		  errc::already_named);
}

TEST_F(lifetime_test, removed_while_mapped_by_a_peer)
{
	const auto name = fresh_name();
	gate mapped, removed;
	auto made = region::create(name, 4096);
	child peer([&] {
		const mapping view(region::open(name));
		char *const bytes = static_cast<char *>(view.data());

		mapped.open();
		removed.wait();
		bytes[1] = bytes[0];
		return bytes[0] == 'x' ? 0 : 1;
	});

	mapped.wait();
	made.write(0, "x", 1);
	region::remove(name);
	removed.open();
	EXPECT_EQ(peer.wait(), 0);

	char byte = 0;

	made.read(1, &byte, 1);
	EXPECT_EQ(byte, 'x');
}

TEST_F(lifetime_test, persistent_name_stays_until_removed)
{
	const auto name = fresh_name();

	EXPECT_EQ(child([&] {
			  auto made = region::create(create_options{}
							     .set_name(name)
							     .set_size(5)
							     .set_persistent());

			  made.write(0, "hello", 5);
			  return 0;
		  }).wait(),
		  0);
	{
		const auto found = region::open(name);
		char text[6] = {};

		found.read(0, text, 5);
		EXPECT_STREQ(text, "hello");
		EXPECT_TRUE(found.info().persistent());
	}
	region::remove(name);
	EXPECT_FALSE(exists(name));
}

TEST_F(lifetime_test, persistence_acts_from_the_naming_on)
{
	const auto name = fresh_name();
	const auto options = create_options{}.set_size(1).set_persistent();
	{
		/* Never named: gone, as the count of objects will show. */
		const auto unnamed = region::create(options);
	}
	region::create(options).bind(name);
	EXPECT_TRUE(exists(name));
	region::remove(name);
}

TEST_F(lifetime_test, forked_process_shares_the_handle)
{
	const auto name = fresh_name();
	auto made = region::create(name, 1);
	gate go;
	child heir([&] {
		go.wait();
		return made.size() == 1 ? 0 : 1;
	});

	made.close();
	EXPECT_TRUE(exists(name));
	go.open();
	EXPECT_EQ(heir.wait(), 0);
	EXPECT_TRUE(eventually([&] { return !exists(name); }));
}

TEST_F(lifetime_test, one_of_many_creates_a_name)
{
	constexpr int processes = 8;

	for (int round = 0; round < 10; ++round) {
		const auto name = fresh_name();
		gate ready, go, done;
		std::vector<child> many;
		int winners = 0;

		for (int i = 0; i < processes; ++i)
			many.emplace_back([&] {
				std::error_code error;

				ready.open();
				go.wait();

				const auto mine =
					region::create(name, 1 << 16, error);

				if (error && error != errc::name_exists)
					return 2;
				ready.open();
				done.wait();
				return mine ? 1 : 0;
			});
		ready.wait(processes);
		go.open(processes);
		ready.wait(processes);
		EXPECT_EQ(region::open(name).size(), 1U << 16);
		done.open(processes);
		for (child &each : many) {
			const int result = each.wait();

			EXPECT_LE(result, 1);
			winners += result;
		}
		EXPECT_EQ(winners, 1);
	}
}

TEST_F(lifetime_test, one_of_many_binds_a_name)
{
	constexpr int processes = 8;

	for (int round = 0; round < 10; ++round) {
		const auto name = fresh_name();
		gate ready, go, done;
		std::vector<child> many;
		int winners = 0;

		for (int i = 0; i < processes; ++i)
			many.emplace_back([&, i] {
				auto mine = region::create(
					create_options{}.set_size(1));
				const auto mark = static_cast<char>('a' + i);
				std::error_code error;
				char seen = 0;

				mine.write(0, &mark, 1);
				ready.open();
				go.wait();
				mine.bind(name, error);
				if (error && error != errc::name_exists)
					return 2;
				/* Found complete, whoever has won. */
				region::open(name).read(0, &seen, 1);
				if (seen < 'a' || seen >= 'a' + processes)
					return 3;
				if (!error && seen != mark)
					return 4;
				ready.open();
				done.wait();
				return error ? 0 : 1;
			});
		ready.wait(processes);
		go.open(processes);
		ready.wait(processes);
		done.open(processes);
		for (child &each : many) {
			const int result = each.wait();

			EXPECT_LE(result, 1);
			winners += result;
		}
		EXPECT_EQ(winners, 1);
	}
}

TEST_F(lifetime_test, nobody_sees_a_half_made_region)
{
	constexpr std::uint64_t size = 300000;
	const auto name = fresh_name();
	const mapping flag(region::create(
		create_options{}.set_size(sizeof(std::atomic<bool>))));
	auto &stop = *new (flag.data()) std::atomic<bool>(false);
	child maker([&] {
		while (!stop) {
			std::error_code error;
			const auto made = region::create(name, size, error);

			/* The reader may still hold the one before. */
			if (error && error != errc::name_exists)
				return 1;
		}
		return 0;
	});
	int met = 0;

	for (int tries = 0; met < 200 && tries < 200000; ++tries) {
		std::error_code error;
		const auto found =
			region::open(name, access_mode::read_write, error);

		if (!found) {
			ASSERT_EQ(error, errc::not_found);
			continue;
		}
		++met;
		ASSERT_EQ(found.size(), size);
		ASSERT_GE(found.info().allocated(), size);
	}
	stop = true;
	EXPECT_EQ(maker.wait(), 0);
	EXPECT_GT(met, 0);
}

TEST_F(lifetime_test, create_open_remove_and_list_beside_each_other)
{
	const auto name = fresh_name();
	std::vector<child> many;

	for (int i = 0; i < 4; ++i)
		many.emplace_back([&, i] {
			for (int round = 0; round < 200; ++round) {
				std::error_code error;
				region found;

				switch ((round + i) % 4) {
				case 0:
					found = region::create(name, 70000,
							       error);
					break;
				case 1:
					found = region::open(
						name, access_mode::read_write,
						error);
					break;
				case 2:
					region::remove(name, error);
					break;
				default:
					for (const auto &each :
					     region::list(error))
						if (each.name() == name &&
						    each.size() != 70000)
							return 1;
				}
				if (error && error != errc::name_exists &&
				    error != errc::not_found)
					return 2;
				if (found && found.size() != 70000)
					return 3;
			}
			return 0;
		});
	for (child &each : many)
		EXPECT_EQ(each.wait(), 0);
	EXPECT_TRUE(eventually([&] { return !exists(name); }));
}

TEST_F(lifetime_test, peers_see_a_resize)
{
	const auto name = fresh_name();
	auto made = region::create(name, 4096);
	gate grown, seen, shrunk;
	child peer([&] {
		const auto mine = region::open(name);
		const mapping view(mine, map_mode::read_write, 0, 1 << 20);
		char *const bytes = static_cast<char *>(view.data());

		seen.open();
		grown.wait();
		if (mine.size() != 1 << 20 || bytes[(1 << 20) - 1] != 'e')
			return 1;
		bytes[4095] = 'p';
		seen.open();
		shrunk.wait();
		if (mine.size() != 4096 || bytes[4095] != 'p')
			return 2;
		/* Past the new end: the process dies of that. */
		bytes[4096] = 'x';
		return 3;
	});

	seen.wait();
	made.resize(1 << 20);
	made.write((1 << 20) - 1, "e", 1);
	grown.open();
	seen.wait();
	made.resize(4096);
	shrunk.open();
	EXPECT_EQ(peer.wait(), -SIGBUS);
}

TEST_F(lifetime_test, resizes_beside_readers_lose_nothing_below)
{
	const auto name = fresh_name();
	constexpr std::size_t kept = 10000;
	auto made = region::create(name, kept);
	std::vector<char> pattern(kept, 'k');
	std::vector<child> many;

	made.write(0, pattern.data(), kept);
	for (int i = 0; i < 2; ++i)
		many.emplace_back([&] {
			auto mine = region::open(name);

			for (int round = 0; round < 200; ++round)
				mine.resize(kept +
					    static_cast<std::uint64_t>(round) *
						    997 % 150000);
			return 0;
		});
	many.emplace_back([&] {
		const auto mine = region::open(name);
		std::vector<char> found(200000);

		for (int round = 0; round < 300; ++round) {
			const std::size_t count =
				mine.read(0, found.data(), found.size());

			if (count < kept)
				return 1;
			for (std::size_t i = 0; i < count; ++i)
				if (found[i] != (i < kept ? 'k' : 0))
					return 2;
		}
		return 0;
	});
	for (child &each : many)
		EXPECT_EQ(each.wait(), 0);
}

TEST_F(lifetime_test, limits_are_told_and_leave_nothing)
{
	if (!root())
		GTEST_SKIP() << "only root can become another user";

	const test::open_for_all opened;
	const std::uint64_t memory =
		static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
		static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
	const auto name = fresh_name();

	EXPECT_EQ(child([&] {
			  test::become(65534);

			  auto small = region::create(
				  create_options{}.set_size(4096));

			  /* Not even all of memory is within the limits. */
			  if (error_of([&](auto &e) {
				      region::create(name, memory, e);
			      }) != errc::limit_reached)
				  return 1;
			  if (error_of([&](auto &e) {
				      region::open(name, access_mode::read_only,
						   e);
			      }) != errc::not_found)
				  return 2;
			  if (error_of([&](auto &e) {
				      small.resize(memory, e);
			      }) != errc::limit_reached)
				  return 3;
			  if (small.size() != 4096 ||
			      small.info().allocated() != 4096)
				  return 4;
			  /* What was refused does not count. */
			  small.resize(1 << 20);
			  return 0;
		  }).wait(),
		  0);
}

TEST_F(lifetime_test, no_memory_is_told_and_leaves_nothing)
{
	const std::uint64_t memory =
		static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
		static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
	const auto name = fresh_name();

	if (!root())
		GTEST_SKIP() << "the limit comes first for others";

	/* Root has no limits, but no more memory than there is, either. */
	EXPECT_EQ(error_of([&](auto &e) { region::create(name, memory, e); }),
		  errc::no_memory);
	EXPECT_EQ(error_of([&](auto &e) {
			  region::open(name, access_mode::read_only, e);
		  }),
		  errc::not_found);
}
