/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Managed segments that grow while others use them
 */

#include "segment_support.hpp"

#include <boost/container/vector.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <sys/ptrace.h>

namespace bip = boost::interprocess;
namespace sk = shm_kernel;

using sk::errc;
using sk::managed_kernel_memory;
using sk::persistent_managed_kernel_memory;
using sk::segment_options;
using test::child;
using test::code_of;
using test::fresh_name;
using test::gate;
using test::segment_name;
using test::size_failure;
using test::thrown_by;

namespace {

constexpr std::size_t small = 65536;
constexpr std::size_t large = 16 << 20;

segment_options growing(const std::string &name)
{
	return segment_options{}.set_name(name).set_size(small).set_max_size(
		large);
}

} // namespace

class managed_grow_test : public test::device_test
{
};

TEST_F(managed_grow_test, attached_peers_have_it_at_once)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, growing(name));
	gate attached, grown, used;
	child peer([&] {
		managed_kernel_memory mine(bip::open_only, name.c_str());
		managed_kernel_memory view(bip::open_read_only, name.c_str());

		if (mine.max_size() != large || mine.get_size() > small)
			return 1;
		attached.open();
		grown.wait();

		const auto found = mine.find<char>("large");

		if (found.second != 8 << 20)
			return 2;
		for (std::size_t i = 0; i < found.second; i += 4096)
			if (found.first[i] != 'x')
				return 3;
		if (view.find_shared<char>("large").first[(8 << 20) - 1] != 'x')
			return 4;
		/* And the other way round. */
		mine.construct<char>("mine")[2 << 20]('y');
		mine.grow_online(2 << 20);
		mine.construct<char>("more")[2 << 20]('z');
		return 0;
	});

	attached.wait();
	EXPECT_THROW(segment.construct<char>("large")[8 << 20]('x'),
		     bip::bad_alloc);

	const auto before = segment.get_size();

	segment.grow_online(12 << 20);
	EXPECT_EQ(segment.get_size(), before + (12 << 20));
	EXPECT_EQ(segment.get_region().size(), segment.get_size());
	segment.construct<char>("large")[8 << 20]('x');
	grown.open();
	EXPECT_EQ(peer.wait(), 0);
	EXPECT_EQ(segment.get_size(), before + (14 << 20));
	EXPECT_EQ(segment.find<char>("more").first[(2 << 20) - 1], 'z');
	EXPECT_EQ(segment.find<char>("mine").first[0], 'y');
	EXPECT_TRUE(segment.check_sanity());
	EXPECT_FALSE(segment.recovered());
}

TEST_F(managed_grow_test, in_any_steps_up_to_the_end)
{
	managed_kernel_memory segment(bip::create_only, growing({}));
	test::random_source random;
	std::vector<void *> blocks;

	while (segment.get_size() < segment.max_size()) {
		const auto before = segment.get_size();
		const std::size_t left = segment.max_size() - before;
		const std::size_t extra =
			std::min<std::size_t>(left, random.below(1 << 21));

		while (void *const block =
			       segment.allocate(30000, std::nothrow)) {
			std::memset(block, 0x11, 30000);
			blocks.push_back(block);
		}
		segment.grow_online(extra);
		EXPECT_EQ(segment.get_size(), before + extra);
	}
	EXPECT_TRUE(segment.check_sanity());
	EXPECT_EQ(segment.get_region().size(), large);
	EXPECT_EQ(thrown_by([&] { segment.grow_online(1); }), size_failure);
	segment.grow_online(0);
	for (void *const block : blocks)
		segment.deallocate(block);
	EXPECT_TRUE(segment.all_memory_deallocated());
	EXPECT_GT(segment.get_free_memory(), large - small);
}

TEST_F(managed_grow_test, beyond_the_limit_is_a_size_error)
{
	managed_kernel_memory fixed(bip::create_only,
				    segment_options{}.set_size(small));
	managed_kernel_memory segment(bip::create_only, growing({}));
	const auto before = segment.get_size();

	EXPECT_EQ(thrown_by([&] { fixed.grow_online(1); }), size_failure);
	EXPECT_EQ(thrown_by([&] { segment.grow_online(large); }), size_failure);
	EXPECT_EQ(thrown_by([&] {
			  segment.grow_online(
				  std::numeric_limits<std::size_t>::max());
		  }),
		  size_failure);
	EXPECT_EQ(segment.get_size(), before);
	EXPECT_EQ(segment.get_region().size(), small);
	EXPECT_TRUE(segment.check_sanity());
}

TEST_F(managed_grow_test, what_cannot_grow_says_why)
{
	using stock = sk::basic_managed_kernel_memory<
		char, bip::rbtree_best_fit<bip::mutex_family>, bip::iset_index>;
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, growing(name));
	managed_kernel_memory view(bip::open_read_only, name.c_str());
	managed_kernel_memory copy(bip::open_copy_on_write, name.c_str());
	stock other(bip::create_only, growing({}));
	std::string text;

	EXPECT_EQ(code_of([&] { view.grow_online(1); }),
		  errc::permission_denied);
	EXPECT_EQ(code_of([&] { copy.grow_online(1); }),
		  errc::permission_denied);
	EXPECT_EQ(code_of([&] { other.grow_online(1); }, &text),
		  std::errc::operation_not_supported);
	EXPECT_NE(text.find("robust mutex family"), std::string::npos) << text;
}

TEST_F(managed_grow_test, all_algorithms_with_robust_locks)
{
	using tree = sk::basic_managed_kernel_memory<
		char, bip::rbtree_best_fit<sk::robust_mutex_family>,
		bip::iset_index>;
	using strict = sk::basic_managed_kernel_memory<
		char, sk::segregated_fit<sk::strict_robust_mutex_family>,
		sk::hash_index>;
	const auto grow = [](auto &&segment) {
		segment.grow_online(1 << 20);
		segment.deallocate(segment.allocate(1 << 20));
		EXPECT_TRUE(segment.check_sanity());
	};

	grow(tree(bip::create_only, growing({})));
	grow(strict(bip::create_only, growing({})));
	grow(sk::wmanaged_kernel_memory(bip::create_only, growing({})));
	grow(sk::fixed_managed_kernel_memory(bip::create_only, growing({})));
}

TEST_F(managed_grow_test, region_that_is_larger_already)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, growing(name));
	const auto before = segment.get_size();

	/* As one leaves it who dies between the two steps. */
	segment.get_region().resize(1 << 20);

	managed_kernel_memory peer(bip::open_only, name.c_str());

	EXPECT_EQ(peer.get_size(), before);
	EXPECT_EQ(peer.max_size(), large);
	EXPECT_TRUE(peer.check_sanity());
	peer.grow_online(500000);
	EXPECT_EQ(segment.get_size(), before + 500000);
	EXPECT_EQ(segment.get_region().size(), 1U << 20);
	peer.grow_online(1 << 20);
	EXPECT_EQ(segment.get_region().size(), segment.get_size());
	EXPECT_TRUE(segment.check_sanity());
}

TEST_F(managed_grow_test, growers_beside_each_other)
{
	constexpr int processes = 3;
	constexpr int times = 60;
	constexpr std::size_t step = 5000;
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, growing(name));
	const auto before = segment.get_size();
	std::vector<child> many;

	for (int i = 0; i < processes; ++i)
		many.emplace_back([&] {
			managed_kernel_memory mine(bip::open_only,
						   name.c_str());

			for (int j = 0; j < times; ++j) {
				mine.grow_online(step);
				if (void *const block = mine.allocate(
					    step / 2, std::nothrow))
					std::memset(block, j, step / 2);
			}
			return 0;
		});
	for (child &each : many)
		EXPECT_EQ(each.wait(), 0);
	EXPECT_EQ(segment.get_size(), before + processes * times * step);
	EXPECT_TRUE(segment.check_sanity());
}

namespace {

/* Kills one that runs @run at its @stop-th stop; false if it has ended. */
bool killed_at(int stop, const std::function<void()> &run)
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
	for (; stop > 0 && WIFSTOPPED(status); --stop) {
		::ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr);
		::waitpid(pid, &status, 0);
	}
	if (!WIFSTOPPED(status))
		return false;
	::kill(pid, SIGKILL);
	::waitpid(pid, &status, 0);
	return true;
}

} // namespace

TEST_F(managed_grow_test, killed_at_every_system_call)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, growing(name));
	bool more = true;
	int stop = 0;

	segment.construct<int>("answer")(42);
	segment.grow_online(1);
	for (; more && stop < 100; ++stop) {
		const auto before = segment.get_size();

		more = killed_at(stop, [&] { segment.grow_online(10000); });
		ASSERT_EQ(*segment.find<int>("answer").first, 42);
		EXPECT_TRUE(segment.check_sanity()) << stop;

		const auto after = segment.get_size();

		EXPECT_TRUE(after == before || after >= before + 10000) << stop;
		EXPECT_GE(segment.get_region().size(), after);
		segment.grow_online(20000);
		EXPECT_GE(segment.get_size(), after + 20000);
		segment.deallocate(segment.allocate(18000));
	}
	EXPECT_FALSE(more);
	EXPECT_GT(stop, 4);
	EXPECT_TRUE(segment.check_sanity());
}

TEST_F(managed_grow_test, killed_at_any_time)
{
	test::random_source random;
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only,
				      growing(name).set_max_size(1 << 28));
	std::vector<void *> blocks;

	for (int round = 0; round < 60; ++round) {
		const std::uint32_t seed = random.below(~0U);
		gate working;
		child victim([&] {
			std::mt19937 engine(seed);

			working.open();
			for (;;) {
				segment.grow_online(engine() % 5000);
				segment.deallocate(
					segment.allocate(engine() % 2000));
			}
			return 0;
		});

		working.wait();
		::usleep(random.below(2000));
		/* One lives and does the same. */
		segment.grow_online(100);
		EXPECT_EQ(victim.kill(), child::killed);
		EXPECT_TRUE(segment.check_sanity());
		EXPECT_LE(segment.get_size(), segment.get_region().size());
		blocks.push_back(segment.allocate(3000));
		segment.grow_online(10000);
		EXPECT_TRUE(segment.check_sanity());
	}
	for (void *const block : blocks)
		segment.deallocate(block);
}

TEST_F(managed_grow_test, offline_beyond_what_was_reserved)
{
	const segment_name<persistent_managed_kernel_memory> name;
	std::size_t size = 0;

	size = persistent_managed_kernel_memory(bip::create_only,
						growing(name.name))
		       .get_size();
	EXPECT_TRUE(
		persistent_managed_kernel_memory::grow(name.get(), 20 << 20));
	{
		persistent_managed_kernel_memory segment(bip::open_only,
							 name.get());

		EXPECT_EQ(segment.get_size(), size + (20 << 20));
		EXPECT_GE(segment.max_size(), segment.get_size());
		std::memset(segment.construct<char>("all")[20 << 20](), 1,
			    20 << 20);
		EXPECT_TRUE(segment.check_sanity());
		EXPECT_EQ(thrown_by([&] { segment.grow_online(1 << 20); }),
			  size_failure);
		segment.destroy<char>("all");
	}
	EXPECT_TRUE(
		persistent_managed_kernel_memory::shrink_to_fit(name.get()));
	{
		persistent_managed_kernel_memory segment(bip::open_only,
							 name.get());

		/* The reservation is as it was. */
		EXPECT_EQ(segment.max_size(), large);
		segment.grow_online(8 << 20);
		EXPECT_TRUE(segment.check_sanity());
	}
	EXPECT_FALSE(persistent_managed_kernel_memory::grow(
		name.get(), std::numeric_limits<std::size_t>::max()));
	EXPECT_FALSE(persistent_managed_kernel_memory::grow(
		name.get(), std::size_t(1) << 45));
	EXPECT_TRUE(persistent_managed_kernel_memory(bip::open_only, name.get())
			    .check_sanity());
}

/* Within the reservation it is as safe as grow_online(). */
TEST_F(managed_grow_test, by_name_while_it_is_open)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, growing(name));
	const auto before = segment.get_size();

	EXPECT_TRUE(managed_kernel_memory::grow(name.c_str(), 1 << 20));
	EXPECT_EQ(segment.get_size(), before + (1 << 20));
	segment.construct<char>("large")[1 << 19]();
	EXPECT_TRUE(segment.check_sanity());
}

TEST_F(managed_grow_test, containers_grow_along)
{
	using vector = boost::container::vector<
		int,
		bip::allocator<int, managed_kernel_memory::segment_manager>>;
	managed_kernel_memory segment(bip::create_only, growing({}));
	vector &numbers = *segment.construct<vector>("numbers")(
		segment.get_allocator<int>());

	for (int i = 0; i < 1000000;)
		try {
			numbers.push_back(i);
			++i;
		} catch (const bip::bad_alloc &) {
			segment.grow_online(1 << 20);
		}
	for (std::size_t i = 0; i < numbers.size(); i += 1000)
		EXPECT_EQ(numbers[i], static_cast<int>(i));
	EXPECT_TRUE(segment.check_sanity());
}
