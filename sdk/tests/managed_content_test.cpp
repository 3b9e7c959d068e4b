/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What people put into managed segments: containers, strings, pools, smart
 * pointers; and the segments with pieces of Boost in place of ours
 */

#include "segment_support.hpp"

#include <boost/container/deque.hpp>
#include <boost/container/flat_map.hpp>
#include <boost/container/list.hpp>
#include <boost/container/map.hpp>
#include <boost/container/scoped_allocator.hpp>
#include <boost/container/set.hpp>
#include <boost/container/slist.hpp>
#include <boost/container/stable_vector.hpp>
#include <boost/container/string.hpp>
#include <boost/container/vector.hpp>
#include <boost/interprocess/allocators/adaptive_pool.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/allocators/cached_adaptive_pool.hpp>
#include <boost/interprocess/allocators/cached_node_allocator.hpp>
#include <boost/interprocess/allocators/node_allocator.hpp>
#include <boost/interprocess/allocators/private_adaptive_pool.hpp>
#include <boost/interprocess/allocators/private_node_allocator.hpp>
#include <boost/interprocess/containers/list.hpp>
#include <boost/interprocess/containers/map.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/containers/vector.hpp>
#include <boost/interprocess/indexes/flat_map_index.hpp>
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/indexes/iunordered_set_index.hpp>
#include <boost/interprocess/indexes/map_index.hpp>
#include <boost/interprocess/indexes/null_index.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/mem_algo/simple_seq_fit.hpp>
#include <boost/interprocess/offset_ptr.hpp>
#include <boost/interprocess/smart_ptr/deleter.hpp>
#include <boost/interprocess/smart_ptr/intrusive_ptr.hpp>
#include <boost/interprocess/smart_ptr/shared_ptr.hpp>
#include <boost/interprocess/smart_ptr/unique_ptr.hpp>
#include <boost/interprocess/smart_ptr/weak_ptr.hpp>
#include <boost/interprocess/streams/bufferstream.hpp>
#include <boost/interprocess/streams/vectorstream.hpp>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <boost/multi_index/hashed_index.hpp>
#include <boost/multi_index/member.hpp>
#include <boost/multi_index/ordered_index.hpp>
#include <boost/multi_index_container.hpp>
#include <boost/unordered_map.hpp>

#include <functional>
#include <numeric>
#include <string>
#include <vector>

namespace bip = boost::interprocess;
namespace bc = boost::container;
namespace bmi = boost::multi_index;

using shm_kernel::managed_kernel_memory;
using shm_kernel::robust_mutex_family;
using shm_kernel::segregated_fit;
using test::child;
using test::segment_name;

using manager = managed_kernel_memory::segment_manager;

template <typename T>
using plain = bip::allocator<T, manager>;

using text = bc::basic_string<char, std::char_traits<char>, plain<char>>;

class managed_content_test : public test::device_test
{
protected:
	/* Runs @look in another process on the same segment; 0 is good. */
	int elsewhere(const std::function<int(managed_kernel_memory &)> &look)
	{
		return child([&] {
			       managed_kernel_memory peer(bip::open_only,
							  name.get());

			       return look(peer);
		       })
			.wait();
	}

	void TearDown() override
	{
		EXPECT_TRUE(segment.check_sanity());
		EXPECT_FALSE(segment.recovered());
		segment = managed_kernel_memory();
		device_test::TearDown();
	}

	void SetUp() override
	{
		device_test::SetUp();
		if (HasFatalFailure())
			return;
		segment = managed_kernel_memory(bip::create_only, name.get(),
						1 << 20);
	}

	segment_name<managed_kernel_memory> name;
	managed_kernel_memory segment;
};

/* Each allocator of Boost.Interprocess, through one list and one map. */
template <typename Allocator>
class pool_test : public managed_content_test
{
};

template <template <class> class Allocator>
struct pool
{
	template <typename T>
	using of = Allocator<T>;
};

template <typename T>
using node_pool = bip::node_allocator<T, manager>;
template <typename T>
using private_node_pool = bip::private_node_allocator<T, manager>;
template <typename T>
using cached_node_pool = bip::cached_node_allocator<T, manager>;
template <typename T>
using adaptive = bip::adaptive_pool<T, manager>;
template <typename T>
using private_adaptive = bip::private_adaptive_pool<T, manager>;
template <typename T>
using cached_adaptive = bip::cached_adaptive_pool<T, manager>;

using pools =
	::testing::Types<pool<plain>, pool<node_pool>, pool<private_node_pool>,
			 pool<cached_node_pool>, pool<adaptive>,
			 pool<private_adaptive>, pool<cached_adaptive>>;

TYPED_TEST_SUITE(pool_test, pools, );

TYPED_TEST(pool_test, list_and_map)
{
	using list = bc::list<int, typename TypeParam::template of<int>>;
	using pair = std::pair<const int, long>;
	using map = bc::map<int, long, std::less<int>,
			    typename TypeParam::template of<pair>>;
	managed_kernel_memory &mine = this->segment;
	list *const numbers = mine.construct<list>("list")(
		typename TypeParam::template of<int>(
			mine.get_segment_manager()));
	map *const squares = mine.construct<map>("map")(
		std::less<int>(), typename TypeParam::template of<pair>(
					  mine.get_segment_manager()));

	for (int i = 0; i < 1000; ++i) {
		numbers->push_back(i);
		squares->emplace(i, static_cast<long>(i) * i);
	}
	for (int i = 0; i < 1000; i += 3)
		squares->erase(i);
	EXPECT_TRUE(mine.check_sanity());
	EXPECT_EQ(this->elsewhere([](managed_kernel_memory &peer) {
		list *const seen = peer.find<list>("list").first;
		map *const pairs = peer.find<map>("map").first;

		if (std::accumulate(seen->begin(), seen->end(), 0) != 499500)
			return 1;
		if (pairs->size() != 666 || pairs->at(7) != 49)
			return 2;
		seen->remove_if([](int each) { return each % 2; });
		return 0;
	}),
		  0);
	EXPECT_EQ(numbers->size(), 500U);
	mine.template destroy<list>("list");
	mine.template destroy<map>("map");
}

TEST_F(managed_content_test, containers_of_boost)
{
	using vector = bc::vector<int, plain<int>>;
	using deque = bc::deque<int, plain<int>>;
	using stable = bc::stable_vector<int, plain<int>>;
	using slist = bc::slist<int, plain<int>>;
	using set = bc::set<int, std::less<int>, plain<int>>;
	using flat = bc::flat_map<int, int, std::less<int>,
				  plain<std::pair<int, int>>>;
	const plain<int> memory(segment.get_segment_manager());

	segment.construct<vector>("vector")(memory)->assign(100, 1);
	segment.construct<deque>("deque")(memory)->assign(100, 2);
	segment.construct<stable>("stable")(memory)->assign(100, 3);
	segment.construct<slist>("slist")(memory)->assign(100, 4);
	segment.construct<set>("set")(std::less<int>(), memory)->insert(5);
	segment.construct<flat>("flat")(std::less<int>(), memory)
		->emplace(6, 7);
	EXPECT_EQ(
		elsewhere([](managed_kernel_memory &peer) {
			const auto sum = [](const auto &all) {
				return std::accumulate(all.begin(), all.end(),
						       0);
			};

			peer.find<vector>("vector").first->resize(10000, 1);
			return sum(*peer.find<vector>("vector").first) ==
						       10000 &&
					       sum(*peer.find<deque>("deque")
							    .first) == 200 &&
					       sum(*peer.find<stable>("stable")
							    .first) == 300 &&
					       sum(*peer.find<slist>("slist")
							    .first) == 400 &&
					       peer.find<set>("set")
						       .first->count(5) &&
					       peer.find<flat>("flat")
							       .first->at(6) ==
						       7
				       ? 0
				       : 1;
		}),
		0);
	EXPECT_EQ(segment.find<vector>("vector").first->size(), 10000U);
	EXPECT_TRUE(segment.destroy<vector>("vector"));
	EXPECT_TRUE(segment.destroy<deque>("deque"));
	EXPECT_TRUE(segment.destroy<stable>("stable"));
	EXPECT_TRUE(segment.destroy<slist>("slist"));
	EXPECT_TRUE(segment.destroy<set>("set"));
	EXPECT_TRUE(segment.destroy<flat>("flat"));
	segment.shrink_to_fit_indexes();
	EXPECT_TRUE(segment.all_memory_deallocated());
}

TEST_F(managed_content_test, containers_of_interprocess)
{
	using vector = bip::vector<long, plain<long>>;
	using string =
		bip::basic_string<char, std::char_traits<char>, plain<char>>;
	using map = bip::map<string, long, std::less<string>,
			     plain<std::pair<const string, long>>>;
	const plain<char> memory(segment.get_segment_manager());

	segment.construct<vector>("vector")(memory)->push_back(3);

	map *const all =
		segment.construct<map>("map")(std::less<string>(), memory);

	for (long i = 0; i < 300; ++i)
		all->emplace(
			string(("a name that is not short " + std::to_string(i))
				       .c_str(),
			       memory),
			i);
	EXPECT_EQ(elsewhere([&](managed_kernel_memory &peer) {
			  const map &seen = *peer.find<map>("map").first;
			  const string key(
				  "a name that is not short 250",
				  plain<char>(peer.get_segment_manager()));

			  return seen.at(key) == 250 &&
						 peer.find<vector>("vector")
								 .first->at(
									 0) == 3
					 ? 0
					 : 1;
		  }),
		  0);
	segment.destroy<map>("map");
}

TEST_F(managed_content_test, strings_in_maps_of_vectors)
{
	using scoped =
		bc::scoped_allocator_adaptor<plain<std::pair<const text, int>>>;
	using words =
		bc::vector<text, bc::scoped_allocator_adaptor<plain<text>>>;
	using counts = bc::map<text, int, std::less<>, scoped>;

	words *const list = segment.construct<words>("words")(
		plain<text>(segment.get_segment_manager()));
	counts *const number = segment.construct<counts>("counts")(
		std::less<>(), scoped(plain<std::pair<const text, int>>(
				       segment.get_segment_manager())));

	for (int i = 0; i < 400; ++i) {
		list->emplace_back("word that does not fit into the object");
		list->back().append(std::to_string(i % 50).c_str());
		++(*number)[list->back()];
	}
	EXPECT_EQ(number->size(), 50U);
	EXPECT_EQ(elsewhere([](managed_kernel_memory &peer) {
			  for (const auto &each :
			       *peer.find<counts>("counts").first)
				  if (each.second != 8)
					  return 1;
			  peer.destroy<counts>("counts");
			  return 0;
		  }),
		  0);
	EXPECT_EQ(list->size(), 400U);
	segment.destroy<words>("words");
	segment.shrink_to_fit_indexes();
	EXPECT_TRUE(segment.all_memory_deallocated());
}

TEST_F(managed_content_test, unordered_map)
{
	using table = boost::unordered_map<int, int, boost::hash<int>,
					   std::equal_to<int>,
					   plain<std::pair<const int, int>>>;
	table *const all = segment.construct<table>("table")(
		3U, boost::hash<int>(), std::equal_to<int>(),
		plain<std::pair<const int, int>>(
			segment.get_segment_manager()));

	for (int i = 0; i < 1000; ++i)
		(*all)[i * 7919] = i;
	EXPECT_EQ(elsewhere([](managed_kernel_memory &peer) {
			  table &seen = *peer.find<table>("table").first;

			  for (int i = 0; i < 1000; ++i)
				  if (seen.at(i * 7919) != i)
					  return 1;
			  seen.erase(7919);
			  return 0;
		  }),
		  0);
	EXPECT_EQ(all->size(), 999U);
	segment.destroy<table>("table");
}

namespace {

struct employee
{
	int id;
	int age;
	text name;

	employee(int number, int years, const char *called,
		 const plain<char> &memory)
		: id(number), age(years), name(called, memory)
	{
	}
};

using by_all = bmi::indexed_by<
	bmi::hashed_unique<bmi::member<employee, int, &employee::id>>,
	bmi::ordered_non_unique<bmi::member<employee, int, &employee::age>>>;
using staff = bmi::multi_index_container<employee, by_all, plain<employee>>;

} // namespace

TEST_F(managed_content_test, multi_index)
{
	const plain<employee> memory(segment.get_segment_manager());
	staff *const all = segment.construct<staff>("staff")(
		staff::ctor_args_list(), memory);

	for (int i = 0; i < 200; ++i)
		all->emplace(i, 60 - i % 40, "somebody of a long name", memory);
	EXPECT_FALSE(all->emplace(7, 1, "twice", memory).second);
	EXPECT_EQ(elsewhere([](managed_kernel_memory &peer) {
			  staff &seen = *peer.find<staff>("staff").first;

			  return seen.get<1>().count(60) == 5 &&
						 seen.find(39)->age == 21 &&
						 seen.erase(39) == 1
					 ? 0
					 : 1;
		  }),
		  0);
	EXPECT_EQ(all->size(), 199U);
	segment.destroy<staff>("staff");
}

namespace {

struct node
{
	bip::offset_ptr<node> next;
	int value;
};

struct referenced
{
	explicit referenced(manager *from) : owner(from) {}

	bip::offset_ptr<manager> owner;
	int references = 0;
	int value = 11;
};

using shared_reference = bip::intrusive_ptr<referenced, bip::offset_ptr<void>>;

void intrusive_ptr_add_ref(const bip::offset_ptr<referenced> &object)
{
	++object->references;
}

void intrusive_ptr_release(const bip::offset_ptr<referenced> &object)
{
	if (!--object->references)
		object->owner->destroy_ptr(object.get());
}

} // namespace

TEST_F(managed_content_test, offset_ptr)
{
	bip::offset_ptr<node> *const head =
		segment.construct<bip::offset_ptr<node>>("head")();

	for (int i = 0; i < 100; ++i) {
		node *const each =
			segment.construct<node>(bip::anonymous_instance)();

		each->value = i;
		each->next = *head;
		*head = each;
	}
	EXPECT_EQ(elsewhere([](managed_kernel_memory &peer) {
			  int expected = 100;

			  for (bip::offset_ptr<node> each =
				       *peer.find<bip::offset_ptr<node>>("head")
						.first;
			       each; each = each->next)
				  if (each->value != --expected)
					  return 1;
			  return expected;
		  }),
		  0);
}

TEST_F(managed_content_test, smart_pointers)
{
	using shared = bip::managed_shared_ptr<text, managed_kernel_memory>;
	using weak = bip::managed_weak_ptr<text, managed_kernel_memory>;
	using unique = bip::managed_unique_ptr<text, managed_kernel_memory>;
	const plain<char> memory(segment.get_segment_manager());
	const char *const long_text = "text that needs memory of its own, yes";

	shared::type *const first = segment.construct<shared::type>(
		"shared")(bip::make_managed_shared_ptr(
		segment.construct<text>(bip::anonymous_instance)(long_text,
								 memory),
		segment));
	weak::type *const watcher =
		segment.construct<weak::type>("weak")(*first);
	unique::type *const only = segment.construct<unique::type>(
		"unique")(bip::make_managed_unique_ptr(
		segment.construct<text>(bip::anonymous_instance)(long_text,
								 memory),
		segment));
	segment.construct<shared_reference>("intrusive")(
		segment.construct<referenced>(bip::anonymous_instance)(
			segment.get_segment_manager()));

	EXPECT_EQ(first->use_count(), 1);
	EXPECT_EQ(elsewhere([&](managed_kernel_memory &peer) {
			  const shared::type mine(
				  *peer.find<shared::type>("shared").first);
			  const shared_reference other(
				  *peer.find<shared_reference>("intrusive")
					   .first);

			  if (mine.use_count() != 2 || *mine != long_text)
				  return 1;
			  if (other->references != 2 || other->value != 11)
				  return 2;
			  if (**peer.find<unique::type>("unique").first !=
			      long_text)
				  return 3;
			  return 0;
		  }),
		  0);
	EXPECT_EQ(first->use_count(), 1);
	EXPECT_TRUE(watcher->lock());
	first->reset();
	EXPECT_FALSE(watcher->lock());
	only->reset();
	segment.destroy<shared::type>("shared");
	segment.destroy<weak::type>("weak");
	segment.destroy<unique::type>("unique");
	segment.destroy<shared_reference>("intrusive");
	segment.shrink_to_fit_indexes();
	EXPECT_TRUE(segment.all_memory_deallocated());
}

TEST_F(managed_content_test, allocators_and_deleters)
{
	auto memory = segment.get_allocator<int>();
	auto deleter = segment.get_deleter<int>();
	const auto block = memory.allocate(10);

	EXPECT_TRUE(segment.belongs_to_segment(block.get()));
	memory.deallocate(block, 10);
	deleter(segment.construct<int>(bip::anonymous_instance)(1));
	EXPECT_EQ(memory.get_segment_manager(), segment.get_segment_manager());
	EXPECT_TRUE(segment.all_memory_deallocated());
}

TEST_F(managed_content_test, streams)
{
	using bytes = bc::vector<char, plain<char>>;
	bip::basic_vectorstream<bytes> out(
		(plain<char>(segment.get_segment_manager())));
	int number = 0;

	for (int i = 0; i < 100; ++i)
		out << i << ' ';
	for (int i = 0; i < 100; ++i) {
		out >> number;
		EXPECT_EQ(number, i);
	}

	char *const buffer =
		segment.construct<char>(bip::anonymous_instance)[64](0);
	bip::bufferstream fixed(buffer, 64);

	fixed << "value " << 5;
	EXPECT_STREQ(buffer, "value 5");
	segment.destroy_ptr(buffer);
}

TEST_F(managed_content_test, locks_of_boost_in_the_segment)
{
	struct mailbox
	{
		bip::interprocess_mutex mutex;
		bip::interprocess_condition changed;
		bip::interprocess_semaphore filled{0};
		int turn = 0;
	};
	constexpr int turns = 200;
	const auto run = [](managed_kernel_memory &mine, int me) {
		mailbox &box = *mine.find<mailbox>(bip::unique_instance).first;

		for (int i = 0; i < turns; ++i) {
			bip::scoped_lock<bip::interprocess_mutex> lock(
				box.mutex);

			while (box.turn % 2 != me)
				box.changed.wait(lock);
			++box.turn;
			box.changed.notify_one();
		}
		box.filled.post();
		return 0;
	};
	mailbox &box = *segment.construct<mailbox>(bip::unique_instance)();
	child peer([&] {
		managed_kernel_memory mine(bip::open_only, name.get());

		return run(mine, 1);
	});

	run(segment, 0);
	box.filled.wait();
	box.filled.wait();
	EXPECT_EQ(peer.wait(), 0);
	EXPECT_EQ(box.turn, 2 * turns);
}

TEST_F(managed_content_test, aligned_objects)
{
	struct alignas(8) eight
	{
		char byte = 1;
	};
	const plain<int> memory(segment.get_segment_manager());

	for (int i = 0; i < 50; ++i) {
		const eight *const each =
			segment.construct<eight>(bip::anonymous_instance)();

		EXPECT_EQ(reinterpret_cast<std::uintptr_t>(each) % 8, 0U);
	}
}

/* Ours with pieces of Boost, and Boost's with pieces of ours. */
template <typename Segment>
class combination_test : public test::device_test
{
};

template <typename Algorithm, template <class> class Index>
using combined =
	shm_kernel::basic_managed_kernel_memory<char, Algorithm, Index>;

using robust_tree = bip::rbtree_best_fit<robust_mutex_family>;
using robust_fit = segregated_fit<robust_mutex_family>;

using combinations = ::testing::Types<
	combined<robust_fit, shm_kernel::hash_index>,
	combined<robust_fit, bip::iset_index>,
	combined<robust_fit, bip::flat_map_index>,
	combined<robust_fit, bip::map_index>,
	combined<robust_fit, bip::iunordered_set_index>,
	combined<robust_tree, bip::iset_index>,
	combined<robust_tree, shm_kernel::hash_index>,
	combined<bip::simple_seq_fit<robust_mutex_family>,
		 shm_kernel::hash_index>,
	combined<segregated_fit<bip::mutex_family>, shm_kernel::hash_index>,
	combined<segregated_fit<bip::null_mutex_family>,
		 shm_kernel::hash_index>,
	combined<bip::rbtree_best_fit<bip::null_mutex_family>,
		 bip::flat_map_index>,
	combined<segregated_fit<shm_kernel::strict_robust_mutex_family>,
		 shm_kernel::hash_index>>;

TYPED_TEST_SUITE(combination_test, combinations, );

TYPED_TEST(combination_test, works)
{
	const segment_name<TypeParam> name;
	TypeParam segment(bip::create_only, name.get(), 1 << 20);

	for (int i = 0; i < 300; ++i) {
		const std::string each = std::to_string(i);

		segment.template construct<int>(each.c_str())(i);
	}
	EXPECT_EQ(child([&] {
			  TypeParam peer(bip::open_only, name.get());

			  for (int i = 0; i < 300; ++i) {
				  const std::string each = std::to_string(i);

				  if (*peer.template find<int>(each.c_str())
					       .first != i)
					  return 1;
				  if (i % 2 &&
				      !peer.template destroy<int>(each.c_str()))
					  return 2;
			  }
			  return 0;
		  }).wait(),
		  0);
	EXPECT_EQ(segment.get_num_named_objects(), 150U);
	EXPECT_TRUE(segment.check_sanity());
	EXPECT_EQ(segment.recoveries(), 0U);
	EXPECT_FALSE(segment.recovered());
	EXPECT_EQ(segment.template find<int>("1").first, nullptr);
	EXPECT_EQ(*segment.template find<int>("2").first, 2);
}

TEST_F(managed_content_test, null_index_is_for_raw_memory)
{
	using nameless = combined<robust_fit, bip::null_index>;
	const segment_name<nameless> own;
	nameless memory(bip::create_only, own.get(), 65536);
	int *const object = static_cast<int *>(memory.allocate(sizeof(int)));
	const auto handle = memory.get_handle_from_address(object);
	nameless peer(bip::open_only, own.get());

	*object = 8;
	EXPECT_EQ(*static_cast<int *>(peer.get_address_from_handle(handle)), 8);
	memory.deallocate(object);
	EXPECT_TRUE(memory.all_memory_deallocated());
}
