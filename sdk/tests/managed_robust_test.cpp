/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Managed segments whose users are killed in the middle of things
 */

#include "segment_support.hpp"

#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace bip = boost::interprocess;
namespace sk = shm_kernel;

using sk::errc;
using sk::managed_kernel_memory;
using sk::segment_options;
using test::child;
using test::code_of;
using test::fresh_name;
using test::gate;

using strict_segment = sk::basic_managed_kernel_memory<
	char, sk::segregated_fit<sk::strict_robust_mutex_family>,
	sk::hash_index>;

class managed_robust_test : public test::device_test
{
};

namespace {

/* Kills the process that makes, copies or destroys it. */
struct deadly
{
	explicit deadly(bool now) : kill_me(!now)
	{
		if (now)
			::kill(::getpid(), SIGKILL);
	}
	deadly(const deadly &) = delete;
	deadly &operator=(const deadly &) = delete;
	~deadly()
	{
		if (kill_me)
			::kill(::getpid(), SIGKILL);
	}

	bool kill_me;
	long payload = 7;
};

template <typename Segment>
int die(const std::string &name, const std::function<void(Segment &)> &how)
{
	return child([&] {
		       Segment mine(bip::open_only, name.c_str());

		       how(mine);
		       return 0;
	       })
		.wait();
}

} // namespace

TEST_F(managed_robust_test, owner_killed_in_atomic_func)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536);

	segment.construct<int>("answer")(42);
	EXPECT_FALSE(segment.recovered());
	EXPECT_EQ(die<managed_kernel_memory>(
			  name,
			  [](managed_kernel_memory &mine) {
				  auto suicide = [&] {
					  *mine.find<int>("answer").first = 43;
					  ::kill(::getpid(), SIGKILL);
				  };

				  mine.atomic_func(suicide);
			  }),
		  child::killed);
	/* Nobody hangs; all works; and it says so. */
	EXPECT_EQ(*segment.find<int>("answer").first, 43);
	EXPECT_TRUE(segment.recovered());
	EXPECT_EQ(segment.recoveries(), 1U);
	EXPECT_TRUE(segment.check_sanity());
	segment.construct<int>("more")(1);
	EXPECT_TRUE(managed_kernel_memory(bip::open_only, name.c_str())
			    .recovered());
	EXPECT_TRUE(managed_kernel_memory(bip::open_read_only, name.c_str())
			    .recovered());
	segment.mark_consistent();
	EXPECT_FALSE(segment.recovered());
	EXPECT_EQ(segment.recoveries(), 1U);
	EXPECT_FALSE(managed_kernel_memory(bip::open_only, name.c_str())
			     .recovered());
}

TEST_F(managed_robust_test, owner_killed_in_a_constructor)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536);
	managed_kernel_memory view(bip::open_read_only, name.c_str());

	segment.construct<int>("first")(1);
	for (int round = 1; round <= 3; ++round) {
		EXPECT_EQ(die<managed_kernel_memory>(
				  name,
				  [](managed_kernel_memory &mine) {
					  mine.construct<deadly>("half")(true);
				  }),
			  child::killed);
		/* Before anybody has repaired it, and after. */
		EXPECT_EQ(view.find<deadly>("half").first, nullptr);
		EXPECT_EQ(view.find_shared<deadly>("half").first, nullptr);
		EXPECT_EQ(*view.find_shared<int>("first").first, 1);
		EXPECT_EQ(segment.find<deadly>("half").first, nullptr);
		EXPECT_EQ(segment.get_num_named_objects(), 1U);
		EXPECT_EQ(segment.recoveries(), static_cast<unsigned>(round));
		EXPECT_TRUE(segment.check_sanity());
	}
	EXPECT_EQ(segment.construct<deadly>("half")(false)->payload, 7);
	EXPECT_EQ(view.find_shared<deadly>("half").first->payload, 7);

	/* The unique index is treated as well. */
	EXPECT_EQ(die<managed_kernel_memory>(
			  name,
			  [](managed_kernel_memory &mine) {
				  mine.construct<deadly>(bip::unique_instance)(
					  true);
			  }),
		  child::killed);
	EXPECT_EQ(view.find_shared<deadly>(bip::unique_instance).first,
		  nullptr);
	EXPECT_EQ(segment.find<deadly>(bip::unique_instance).first, nullptr);
	EXPECT_TRUE(segment.check_sanity());
}

TEST_F(managed_robust_test, owner_killed_in_a_destructor)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536);

	segment.construct<deadly>("bomb")(false);
	EXPECT_EQ(die<managed_kernel_memory>(name,
					     [](managed_kernel_memory &mine) {
						     mine.destroy<deadly>(
							     "bomb");
					     }),
		  child::killed);
	EXPECT_EQ(segment.find<deadly>("bomb").first, nullptr);
	EXPECT_TRUE(segment.recovered());
	EXPECT_TRUE(segment.check_sanity());
}

namespace {

/* Fills the block with what its address says it must hold. */
void mark(managed_kernel_memory &segment, void *block, std::size_t size)
{
	const auto handle = segment.get_handle_from_address(block);

	std::memset(block, static_cast<int>(handle >> 4 & 0xff), size);
}

bool marked(managed_kernel_memory &segment, const void *block, std::size_t size)
{
	const auto handle = segment.get_handle_from_address(block);
	const auto *const bytes = static_cast<const unsigned char *>(block);

	for (std::size_t i = 0; i < size; ++i)
		if (bytes[i] != (handle >> 4 & 0xff))
			return false;
	return true;
}

struct named_value
{
	explicit named_value(std::uint32_t number)
		: value(number), inverse(~number)
	{
	}

	bool good() const { return value == ~inverse; }

	std::uint32_t value;
	std::uint32_t inverse;
};

/* What a victim does until it is killed. */
int work(managed_kernel_memory &segment, std::uint32_t seed)
{
	std::mt19937 engine(seed);
	std::vector<std::pair<void *, std::size_t>> blocks;

	for (;;) {
		const std::uint32_t what = engine() % 16;
		const std::string name = "n" + std::to_string(engine() % 40);

		if (what < 4) {
			const std::size_t size = 1 + engine() % 600;
			void *const block =
				segment.allocate(size, std::nothrow);

			if (block) {
				mark(segment, block, size);
				blocks.emplace_back(block, size);
			}
		} else if (what < 9) {
			if (blocks.empty())
				continue;
			std::swap(blocks[engine() % blocks.size()],
				  blocks.back());

			const auto last = blocks.back();

			blocks.pop_back();
			/* Somebody else in my memory: the worst of all. */
			if (!marked(segment, last.first, last.second))
				return 1;
			segment.deallocate(last.first);
		} else if (what < 12) {
			segment.find_or_construct<named_value>(
				name.c_str(), std::nothrow)(engine());
		} else if (what < 14) {
			segment.destroy<named_value>(name.c_str());
		} else if (what < 15) {
			const auto found =
				segment.find<named_value>(name.c_str());

			if (found.first && found.second != 1)
				return 2;
		} else {
			auto nothing = [] {};

			segment.atomic_func(nothing);
		}
	}
}

} // namespace

/*
 * A thousand random kills, at whatever the victims do; beside them one that
 * lives, which must never wait for a dead one or find what is not right.
 */
TEST_F(managed_robust_test, a_thousand_random_kills)
{
	constexpr int batches = 20;
	constexpr int kills = 50;
	test::random_source random;
	std::uint32_t recoveries = 0;

	for (int batch = 0; batch < batches; ++batch) {
		/* What the dead had is lost; so each batch has its own. */
		managed_kernel_memory segment(
			bip::create_only, segment_options{}.set_size(1 << 20));
		managed_kernel_memory view(bip::open_read_only,
					   segment.get_region().reopen(
						   sk::access_mode::read_only));
		int *const kept = segment.construct<int>("kept")[100](5);
		std::uint32_t seen = 0;

		for (int round = 0; round < kills; ++round) {
			const std::uint32_t seed = random.below(~0U);
			gate working;
			child victim([&] {
				working.open();
				return work(segment, seed);
			});

			working.wait();
			::usleep(random.below(300));
			/* While things change. */
			EXPECT_EQ(view.find_shared<int>("kept").second, 100U);
			ASSERT_EQ(victim.kill(), child::killed);

			const std::string name =
				"n" + std::to_string(round % 40);
			const auto found =
				view.find_shared<named_value>(name.c_str());

			if (found.first) {
				EXPECT_EQ(found.second, 1U);
				EXPECT_TRUE(found.first->good());
			}
			ASSERT_EQ(segment.find<int>("kept").first, kept);
			EXPECT_TRUE(segment.check_sanity());
			if (segment.recoveries() != seen) {
				EXPECT_TRUE(segment.recovered());
				seen = segment.recoveries();
				segment.mark_consistent();
			}
			EXPECT_FALSE(segment.recovered());
		}
		EXPECT_EQ(std::count(kept, kept + 100, 5), 100);
		recoveries += seen;
	}
	/* Else the kills were all beside the point. */
	EXPECT_GT(recoveries, 50U);
	RecordProperty("recoveries", static_cast<int>(recoveries));
}

/* Two that are killed again and again, one that works on. */
TEST_F(managed_robust_test, kills_beside_a_worker)
{
	test::random_source random;
	managed_kernel_memory segment(bip::create_only,
				      segment_options{}.set_size(1 << 21));
	std::atomic<int> *const beats =
		segment.construct<std::atomic<int>>("beats")(0);
	child survivor([&] {
		std::mt19937 engine(1);

		/* Waits for a dead one at no lock, for as long as this runs. */
		for (;;) {
			const std::string name =
				"own " + std::to_string(engine() % 100);

			segment.find_or_construct<named_value>(name.c_str())(
				engine());
			if (!segment.find<named_value>(name.c_str())
				     .first->good())
				return 1;
			segment.deallocate(segment.allocate(engine() % 1000));
			if (engine() % 3 == 0)
				segment.destroy<named_value>(name.c_str());
			++*beats;
		}
	});

	for (int round = 0; round < 60; ++round) {
		const std::uint32_t seed = random.below(~0U);
		gate working;
		child one([&] {
			working.open();
			return work(segment, seed);
		});
		child two([&] {
			working.open();
			return work(segment, seed + 1);
		});

		working.wait(2);
		::usleep(random.below(3000));
		EXPECT_EQ(one.kill(), child::killed);
		EXPECT_EQ(two.kill(), child::killed);

		const int before = *beats;

		EXPECT_TRUE(test::eventually([&] { return *beats > before; }));
	}
	EXPECT_EQ(survivor.kill(), child::killed);
	EXPECT_TRUE(segment.check_sanity());
	EXPECT_TRUE(segment.recovered());
}

/* With the allocator and index of Boost: no promise of sanity, but no hang. */
TEST_F(managed_robust_test, pieces_of_boost_do_not_hang)
{
	using tree = sk::basic_managed_kernel_memory<
		char, bip::rbtree_best_fit<sk::robust_mutex_family>,
		bip::iset_index>;
	const auto name = fresh_name();
	tree segment(bip::create_only, name.c_str(), 65536);

	segment.construct<int>("answer")(42);
	for (unsigned int round = 1; round <= 5; ++round) {
		EXPECT_EQ(die<tree>(name,
				    [](tree &mine) {
					    auto suicide = [] {
						    ::kill(::getpid(), SIGKILL);
					    };

					    mine.atomic_func(suicide);
				    }),
			  child::killed);
		EXPECT_EQ(*segment.find<int>("answer").first, 42);
		EXPECT_EQ(segment.recoveries(), round);
		EXPECT_TRUE(segment.recovered());
		EXPECT_TRUE(segment.check_sanity());
	}
}

TEST_F(managed_robust_test, strict_family_reports)
{
	const auto name = fresh_name();
	strict_segment segment(bip::create_only, name.c_str(), 65536);
	strict_segment view(bip::open_read_only, name.c_str());

	segment.construct<int>("answer")(42);
	EXPECT_EQ(*view.find_shared<int>("answer").first, 42);
	EXPECT_EQ(die<strict_segment>(name,
				      [](strict_segment &mine) {
					      auto suicide = [] {
						      ::kill(::getpid(),
							     SIGKILL);
					      };

					      mine.atomic_func(suicide);
				      }),
		  child::killed);
	EXPECT_EQ(code_of([&] { view.find_shared<int>("answer"); }),
		  errc::owner_dead);
	for (int i = 0; i < 3; ++i)
		EXPECT_EQ(code_of([&] { segment.find<int>("answer"); }),
			  errc::owner_dead);
	EXPECT_EQ(code_of([&] { segment.construct<int>("more")(1); }),
		  errc::owner_dead);
	EXPECT_EQ(code_of([&] { view.find_shared<int>("answer"); }),
		  errc::owner_dead);
	EXPECT_TRUE(segment.recovered());

	/* A peer may say that all is well. */
	EXPECT_EQ(child([&] {
			  strict_segment mine(bip::open_only, name.c_str());

			  if (code_of([&] { mine.find<int>("answer"); }) !=
			      errc::owner_dead)
				  return 1;
			  mine.mark_consistent();
			  return *mine.find<int>("answer").first == 42 ? 0 : 2;
		  }).wait(),
		  0);
	EXPECT_FALSE(segment.recovered());
	EXPECT_EQ(*segment.find<int>("answer").first, 42);
	EXPECT_EQ(*view.find_shared<int>("answer").first, 42);
	EXPECT_TRUE(segment.check_sanity());
	segment.construct<int>("more")(1);
}

TEST_F(managed_robust_test, strict_family_reports_half_made_objects)
{
	const auto name = fresh_name();
	strict_segment segment(bip::create_only, name.c_str(), 65536);

	EXPECT_EQ(die<strict_segment>(name,
				      [](strict_segment &mine) {
					      mine.construct<deadly>("half")(
						      true);
				      }),
		  child::killed);
	EXPECT_EQ(code_of([&] { segment.find<deadly>("half"); }),
		  errc::owner_dead);
	segment.mark_consistent();
	EXPECT_EQ(segment.find<deadly>("half").first, nullptr);
	EXPECT_TRUE(segment.check_sanity());
}

TEST_F(managed_robust_test, mark_consistent_needs_the_right_to_write)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536);
	managed_kernel_memory view(bip::open_read_only, name.c_str());
	managed_kernel_memory copy(bip::open_copy_on_write, name.c_str());

	EXPECT_EQ(code_of([&] { view.mark_consistent(); }),
		  errc::permission_denied);
	EXPECT_EQ(code_of([&] { copy.mark_consistent(); }),
		  errc::permission_denied);
	EXPECT_EQ(code_of([&] { view.check_sanity(); }),
		  errc::permission_denied);
	segment.mark_consistent();
}

/* Waits for nobody, whoever holds what when it is opened. */
TEST_F(managed_robust_test, copy_on_write_of_a_held_segment)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536);

	segment.construct<int>("answer")(42);

	gate held, go;
	child holder([&] {
		managed_kernel_memory mine(bip::open_only, name.c_str());
		auto hold = [&] {
			held.open();
			test::until_killed();
		};

		mine.atomic_func(hold);
		return 0;
	});

	held.wait();

	managed_kernel_memory copy(bip::open_copy_on_write, name.c_str());

	EXPECT_EQ(*copy.find<int>("answer").first, 42);
	copy.construct<int>("own")(1);
	EXPECT_TRUE(copy.check_sanity());

	auto nothing = [] {};

	EXPECT_TRUE(copy.try_atomic_func(nothing));
	EXPECT_FALSE(segment.try_atomic_func(nothing));
	EXPECT_EQ(holder.kill(), child::killed);
	EXPECT_TRUE(segment.try_atomic_func(nothing));
	EXPECT_EQ(segment.find<int>("own").first, nullptr);
}

/* An object that its maker has not completed is in no copy, either. */
TEST_F(managed_robust_test, copy_on_write_of_a_half_made_object)
{
	struct slow
	{
		slow(gate &making, gate &go)
		{
			making.open();
			go.wait();
		}
		int value = 3;
	};
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536);
	gate making, go;
	child maker([&] {
		managed_kernel_memory mine(bip::open_only, name.c_str());

		mine.construct<slow>("slow")(std::ref(making), std::ref(go));
		return 0;
	});

	making.wait();

	managed_kernel_memory copy(bip::open_copy_on_write, name.c_str());

	EXPECT_EQ(copy.find<slow>("slow").first, nullptr);
	EXPECT_TRUE(copy.check_sanity());
	go.open();
	EXPECT_EQ(maker.wait(), 0);
	EXPECT_EQ(segment.find<slow>("slow").first->value, 3);
	EXPECT_EQ(copy.find<slow>("slow").first, nullptr);
}
