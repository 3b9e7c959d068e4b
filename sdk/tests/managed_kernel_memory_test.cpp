/* SPDX-License-Identifier: BSL-1.0 */
/*
 * managed_kernel_memory, side by side with the class it stands in for: what
 * drop_in_test says holds for both
 */

#include "segment_support.hpp"

#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <new>
#include <set>
#include <stdexcept>
#include <vector>

namespace bip = boost::interprocess;

using shm_kernel::managed_kernel_memory;
using test::child;
using test::failure;
using test::fresh_name;
using test::segment_name;
using test::size_failure;
using test::thrown_by;

/* Our class around what Boost has, with locks whose addresses nobody knows. */
using stock_segment = shm_kernel::basic_managed_kernel_memory<
	char, bip::rbtree_best_fit<bip::mutex_family>, bip::iset_index>;

static_assert(std::is_nothrow_move_constructible_v<managed_kernel_memory>);
static_assert(std::is_nothrow_move_assignable_v<managed_kernel_memory>);
static_assert(std::is_nothrow_swappable_v<managed_kernel_memory>);
static_assert(std::is_nothrow_destructible_v<managed_kernel_memory>);
static_assert(!std::is_copy_constructible_v<managed_kernel_memory>);
static_assert(!std::is_copy_assignable_v<managed_kernel_memory>);
static_assert(std::is_same_v<managed_kernel_memory::char_type, char>);
static_assert(
	std::is_same_v<shm_kernel::wmanaged_kernel_memory::char_type, wchar_t>);
static_assert(std::is_same_v<managed_kernel_memory::device_type,
			     shm_kernel::kernel_shared_memory>);

template <typename Segment>
class drop_in_test : public test::device_test
{
protected:
	segment_name<Segment> name;
};

using all_kinds = ::testing::Types<bip::managed_shared_memory,
				   managed_kernel_memory, stock_segment>;

struct name_of_type
{
	template <typename Segment>
	static std::string GetName(int)
	{
		if (std::is_same_v<Segment, managed_kernel_memory>)
			return "managed_kernel_memory";
		return std::is_same_v<Segment, stock_segment>
			       ? "with_pieces_of_boost"
			       : "managed_shared_memory";
	}
};

TYPED_TEST_SUITE(drop_in_test, all_kinds, name_of_type);

TYPED_TEST(drop_in_test, create_only_wants_a_free_name)
{
	const TypeParam segment(bip::create_only, this->name.get(), 65536);

	EXPECT_EQ(thrown_by([&] {
			  TypeParam(bip::create_only, this->name.get(), 65536);
		  }),
		  (failure{EEXIST, bip::already_exists_error}));
}

TYPED_TEST(drop_in_test, opening_wants_a_taken_name)
{
	const failure absent{ENOENT, bip::not_found_error};
	const char *const given = this->name.get();

	EXPECT_EQ(thrown_by([&] { TypeParam(bip::open_only, given); }), absent);
	EXPECT_EQ(thrown_by([&] { TypeParam(bip::open_read_only, given); }),
		  absent);
	EXPECT_EQ(thrown_by([&] { TypeParam(bip::open_copy_on_write, given); }),
		  absent);
}

TYPED_TEST(drop_in_test, too_small_is_a_size_error)
{
	for (const unsigned int size : {0U, 1U, 16U, 64U, 128U, 200U}) {
		EXPECT_EQ(thrown_by([&] {
				  TypeParam(bip::create_only, this->name.get(),
					    size);
			  }),
			  size_failure)
			<< size;
		EXPECT_EQ(thrown_by([&] {
				  TypeParam(bip::open_or_create,
					    this->name.get(), size);
			  }),
			  size_failure)
			<< size;
	}
	/* And it has left nothing. */
	const TypeParam segment(bip::create_only, this->name.get(), 65536);

	/* Whether the name is taken or not. */
	EXPECT_EQ(thrown_by([&] {
			  TypeParam(bip::open_or_create, this->name.get(), 200);
		  }),
		  size_failure);
	EXPECT_EQ(thrown_by([&] {
			  TypeParam(bip::create_only, this->name.get(), 200);
		  }),
		  size_failure);
}

TYPED_TEST(drop_in_test, from_the_least_size_on_all_work)
{
	std::size_t size = 201;

	for (;; ++size)
		try {
			const TypeParam segment(bip::create_only,
						this->name.get(), size);

			break;
		} catch (const bip::interprocess_exception &error) {
			ASSERT_EQ(error.get_error_code(), bip::size_error);
			ASSERT_LT(size, 10000U);
		}
	for (const std::size_t end = size + 100; size < end; ++size) {
		const segment_name<TypeParam> other;
		TypeParam segment(bip::create_only, other.get(), size);

		EXPECT_LE(segment.get_size(), size);
		EXPECT_TRUE(segment.check_sanity()) << size;
	}
}

TYPED_TEST(drop_in_test, open_or_create_does_either)
{
	TypeParam first(bip::open_or_create, this->name.get(), 65536);
	TypeParam second(bip::open_or_create, this->name.get(), 1000000);

	EXPECT_EQ(first.get_size(), second.get_size());
	first.template construct<int>("answer")(42);
	EXPECT_EQ(*second.template find<int>("answer").first, 42);
}

TYPED_TEST(drop_in_test, permissions_are_those_given)
{
	/* Signed in some versions of Boost and unsigned in others. */
	using bits_type = decltype(bip::permissions().get_permissions());

	for (const bits_type bits :
	     std::initializer_list<bits_type>{0600, 0644, 0660}) {
		const segment_name<TypeParam> other;
		const TypeParam segment(bip::create_only, other.get(), 65536,
					nullptr, bip::permissions(bits));
		const typename TypeParam::device_type device(
			bip::open_only, other.get(), bip::read_only);
		struct stat status = {};

		EXPECT_EQ(::fstat(device.get_mapping_handle().handle, &status),
			  0);
		EXPECT_EQ(status.st_mode & 07777, static_cast<mode_t>(bits));
	}
}

TYPED_TEST(drop_in_test, region_has_exactly_the_size)
{
	for (const int size : {65536, 65537, 12345, 70000}) {
		const segment_name<TypeParam> other;
		const TypeParam segment(bip::create_only, other.get(),
					static_cast<std::size_t>(size));
		const typename TypeParam::device_type device(
			bip::open_only, other.get(), bip::read_only);
		bip::offset_t found = 0;

		EXPECT_TRUE(device.get_size(found));
		EXPECT_EQ(found, size);
		EXPECT_LE(segment.get_size(), static_cast<std::size_t>(size));
		EXPECT_GT(segment.get_size(),
			  static_cast<std::size_t>(size) - 64);
	}
}

TYPED_TEST(drop_in_test, named_objects)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);
	TypeParam peer(bip::open_only, this->name.get());

	EXPECT_EQ(segment.template find<int>("one").first, nullptr);
	EXPECT_EQ(segment.template find<int>("one").second, 0U);

	int *const one = segment.template construct<int>("one")(1);

	EXPECT_EQ(*one, 1);
	EXPECT_EQ(segment.template find<int>("one").first, one);
	EXPECT_EQ(segment.template find<int>("one").second, 1U);
	EXPECT_EQ(*peer.template find<int>("one").first, 1);
	EXPECT_NE(peer.template find<int>("one").first, one);
	*peer.template find<int>("one").first = 7;
	EXPECT_EQ(*one, 7);

	/* Arrays, all from the same argument. */
	const double *const many =
		segment.template construct<double>("many")[10](2.5);

	EXPECT_EQ(segment.template find<double>("many").first, many);
	EXPECT_EQ(segment.template find<double>("many").second, 10U);
	EXPECT_EQ(std::count(many, many + 10, 2.5), 10);

	/* Taken names. */
	EXPECT_EQ(thrown_by([&] { segment.template construct<int>("one")(2); }),
		  (failure{0, bip::already_exists_error}));
	EXPECT_EQ(segment.template construct<int>("one", std::nothrow)(2),
		  nullptr);
	EXPECT_EQ(segment.template find_or_construct<int>("one")(2), one);
	EXPECT_EQ(*one, 7);
	EXPECT_EQ(*segment.template find_or_construct<int>("two")(2), 2);
	EXPECT_EQ(*segment.template find_or_construct<int>("three",
							   std::nothrow)(3),
		  3);
	EXPECT_EQ(segment.get_num_named_objects(), 4U);

	EXPECT_TRUE(peer.template destroy<int>("one"));
	EXPECT_FALSE(peer.template destroy<int>("one"));
	EXPECT_EQ(segment.template find<int>("one").first, nullptr);
	EXPECT_TRUE(segment.template destroy<double>("many"));
	EXPECT_TRUE(segment.template destroy<int>("two"));
	EXPECT_TRUE(segment.template destroy<int>("three"));
	EXPECT_EQ(segment.get_num_named_objects(), 0U);
	EXPECT_TRUE(segment.check_sanity());
}

TYPED_TEST(drop_in_test, odd_names)
{
	TypeParam segment(bip::create_only, this->name.get(), 1 << 20);
	const std::vector<std::string> names = {"",
						" ",
						"a",
						"A",
						"a/b",
						"\xff\x80\x01",
						std::string(1000, 'x'),
						std::string(1000, 'x') + 'y',
						std::string(60000, 'z')};
	int number = 0;

	for (const std::string &each : names)
		segment.template construct<int>(each.c_str())(++number);
	number = 0;
	for (const std::string &each : names)
		EXPECT_EQ(*segment.template find<int>(each.c_str()).first,
			  ++number);
	for (const std::string &each : names)
		EXPECT_TRUE(segment.template destroy<int>(each.c_str()));
	EXPECT_TRUE(segment.check_sanity());
}

TYPED_TEST(drop_in_test, from_iterators)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);
	const std::array<int, 3> numbers{{3, 1, 4}};
	const std::array<char, 3> letters{{'a', 'b', 'c'}};
	using both = std::pair<int, char>;

	const both *const made = segment.template construct_it<both>("made")[3](
		numbers.begin(), letters.begin());

	EXPECT_EQ(made[0], both(3, 'a'));
	EXPECT_EQ(made[2], both(4, 'c'));
	EXPECT_EQ(segment.template find_or_construct_it<both>("made")[3](
			  letters.begin(), letters.begin()),
		  made);
	EXPECT_EQ(segment.template construct_it<both>("made", std::nothrow)[3](
			  numbers.begin(), letters.begin()),
		  nullptr);
	EXPECT_EQ(segment.template find_or_construct_it<both>(
			  "more", std::nothrow)[2](numbers.begin(),
						   letters.begin())[1],
		  both(1, 'b'));
}

namespace {

/* Counts those that live, and can throw while it is made. */
struct counted
{
	static inline int alive;
	static inline int until_throw;

	counted()
	{
		if (until_throw && !--until_throw)
			throw std::runtime_error("enough");
		++alive;
	}
	counted(const counted &) = delete;
	counted &operator=(const counted &) = delete;
	~counted() { --alive; }

	long payload = 1;
};

} // namespace

TYPED_TEST(drop_in_test, constructor_that_throws_leaves_nothing)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);

	counted::alive = 0;
	/* What the index needs it has from now on. */
	segment.template construct<counted>("first")();
	segment.template destroy<counted>("first");
	segment.shrink_to_fit_indexes();
	segment.reserve_named_objects(4);
	segment.reserve_unique_objects(4);

	const auto free = segment.get_free_memory();

	counted::until_throw = 4;
	EXPECT_THROW(segment.template construct<counted>("array")[5](),
		     std::runtime_error);
	counted::until_throw = 1;
	EXPECT_THROW(
		segment.template construct<counted>(bip::unique_instance)(),
		std::runtime_error);
	counted::until_throw = 1;
	EXPECT_THROW(
		segment.template construct<counted>(bip::anonymous_instance)(),
		std::runtime_error);
	EXPECT_EQ(counted::alive, 0);
	EXPECT_EQ(segment.template find<counted>("array").first, nullptr);
	EXPECT_EQ(segment.get_num_named_objects(), 0U);
	EXPECT_EQ(segment.get_num_unique_objects(), 0U);
	EXPECT_EQ(segment.get_free_memory(), free);
	segment.template construct<counted>("array")[5]();
	EXPECT_EQ(counted::alive, 5);
	segment.template destroy<counted>("array");
	EXPECT_EQ(counted::alive, 0);
	EXPECT_TRUE(segment.check_sanity());
}

TYPED_TEST(drop_in_test, unique_and_anonymous_objects)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);

	counted::alive = 0;

	counted *const only =
		segment.template construct<counted>(bip::unique_instance)();

	EXPECT_EQ(segment.template find<counted>(bip::unique_instance).first,
		  only);
	EXPECT_EQ(segment.template find<int>(bip::unique_instance).first,
		  nullptr);
	EXPECT_EQ(segment.template find_or_construct<counted>(
			  bip::unique_instance)(),
		  only);
	EXPECT_EQ(segment.get_num_unique_objects(), 1U);

	counted *const nameless = segment.template construct<counted>(
		bip::anonymous_instance)[3]();

	EXPECT_EQ(counted::alive, 4);
	EXPECT_EQ(segment.get_num_named_objects(), 0U);

	counted *const named = segment.template construct<counted>("name")();

	EXPECT_EQ(TypeParam::get_instance_type(named), bip::named_type);
	EXPECT_EQ(TypeParam::get_instance_type(only), bip::unique_type);
	EXPECT_EQ(TypeParam::get_instance_type(nameless), bip::anonymous_type);
	EXPECT_STREQ(TypeParam::get_instance_name(named), "name");
	EXPECT_STREQ(TypeParam::get_instance_name(only),
		     typeid(counted).name());
	EXPECT_EQ(TypeParam::get_instance_length(named), 1U);
	EXPECT_EQ(TypeParam::get_instance_length(nameless), 3U);

	segment.destroy_ptr(nameless);
	segment.destroy_ptr(named);
	EXPECT_TRUE(segment.template destroy<counted>(bip::unique_instance));
	EXPECT_FALSE(segment.template destroy<counted>(bip::unique_instance));
	EXPECT_EQ(counted::alive, 0);
	EXPECT_TRUE(segment.check_sanity());
}

TYPED_TEST(drop_in_test, iterators_show_all)
{
	TypeParam segment(bip::create_only, this->name.get(), 1 << 20);
	std::set<std::string> expected;
	std::set<std::string> found;

	EXPECT_EQ(segment.named_begin(), segment.named_end());
	EXPECT_EQ(segment.unique_begin(), segment.unique_end());
	segment.reserve_named_objects(100);
	for (int i = 0; i < 500; ++i) {
		const std::string each = "object " + std::to_string(i);

		expected.insert(each);
		segment.template construct<int>(each.c_str())(i);
	}
	for (auto each = segment.named_begin(); each != segment.named_end();
	     ++each) {
		const auto object = *each;

		EXPECT_TRUE(found.insert(object.name()).second);
		EXPECT_EQ(object.name_length(), std::strlen(object.name()));
		EXPECT_EQ(*static_cast<const int *>(object.value()),
			  *segment.template find<int>(object.name()).first);
	}
	EXPECT_EQ(found, expected);
	EXPECT_EQ(segment.get_num_named_objects(), 500U);
	segment.template construct<int>(bip::unique_instance)(1);
	EXPECT_STREQ(segment.unique_begin()->name(), typeid(int).name());
	for (const std::string &each : expected)
		EXPECT_TRUE(segment.template destroy<int>(each.c_str()));
	EXPECT_EQ(segment.named_begin(), segment.named_end());
	segment.shrink_to_fit_indexes();
	EXPECT_TRUE(segment.check_sanity());
}

TYPED_TEST(drop_in_test, atomic_functions)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);
	int *made = nullptr;
	auto make = [&] {
		/* The lock is recursive. */
		made = segment.template construct<int>("inside")(5);
		EXPECT_EQ(segment.template find<int>("inside").first, made);
	};
	auto fail = [] { throw std::runtime_error("out"); };
	auto nothing = [] {};

	segment.atomic_func(make);
	EXPECT_EQ(*made, 5);
	EXPECT_THROW(segment.atomic_func(fail), std::runtime_error);
	EXPECT_THROW(segment.try_atomic_func(fail), std::runtime_error);
	EXPECT_TRUE(segment.try_atomic_func(nothing));

	auto hold = [&] {
		EXPECT_EQ(child([&] {
				  TypeParam peer(bip::open_only,
						 this->name.get());

				  return peer.try_atomic_func(nothing) ? 1 : 0;
			  }).wait(),
			  0);
	};

	segment.atomic_func(hold);
	EXPECT_TRUE(segment.try_atomic_func(nothing));
}

TYPED_TEST(drop_in_test, raw_memory)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);
	const auto free = segment.get_free_memory();

	EXPECT_TRUE(segment.all_memory_deallocated());
	EXPECT_LT(free, segment.get_size());

	void *const block = segment.allocate(1000);

	EXPECT_FALSE(segment.all_memory_deallocated());
	EXPECT_GE(segment.get_segment_manager()->size(block), 1000U);
	EXPECT_LE(segment.get_free_memory(), free - 1000);
	std::memset(block, 0xab, 1000);
	EXPECT_TRUE(segment.belongs_to_segment(block));
	for (std::size_t alignment = 8; alignment <= 4096; alignment *= 2) {
		void *const aligned = segment.allocate_aligned(100, alignment);

		EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned) % alignment,
			  0U);
		segment.deallocate(aligned);
	}
	EXPECT_THROW(segment.allocate(100000), bip::bad_alloc);
	EXPECT_THROW(segment.allocate_aligned(100000, 64), bip::bad_alloc);
	EXPECT_EQ(segment.allocate(100000, std::nothrow), nullptr);
	EXPECT_EQ(segment.allocate_aligned(100000, 64, std::nothrow), nullptr);
	EXPECT_THROW(segment.template construct<char>("too long")[100000](),
		     bip::bad_alloc);
	EXPECT_EQ(segment.template construct<char>("too long",
						   std::nothrow)[100000](),
		  nullptr);
	EXPECT_THROW(segment.template construct<long>(
			     "more")[std::numeric_limits<std::size_t>::max()](),
		     bip::bad_alloc);

	segment.deallocate(block);
	EXPECT_TRUE(segment.check_sanity());
	segment.zero_free_memory();
	segment.shrink_to_fit_indexes();

	const auto *const bytes =
		static_cast<const unsigned char *>(segment.allocate(1000));

	EXPECT_EQ(std::count(bytes + 64, bytes + 900, 0xab), 0);
	segment.deallocate(const_cast<unsigned char *>(bytes));
	EXPECT_TRUE(segment.all_memory_deallocated());
	EXPECT_EQ(segment.get_free_memory(), free);
}

TYPED_TEST(drop_in_test, larger_and_smaller_where_it_is)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);
	void *const block = segment.allocate(1000);
	std::size_t size = 3000;
	char *reuse = static_cast<char *>(block);
	const char *const larger = segment.template allocation_command<char>(
		bip::expand_fwd | bip::nothrow_allocation, 2000, size, reuse);

	EXPECT_EQ(larger, block);
	EXPECT_GE(size, 2000U);
	size = 100;
	reuse = static_cast<char *>(block);
	EXPECT_EQ(segment.template allocation_command<char>(
			  bip::shrink_in_place | bip::nothrow_allocation, 500,
			  size, reuse),
		  block);
	EXPECT_LE(size, 500U);
	segment.deallocate(block);
	EXPECT_TRUE(segment.all_memory_deallocated());
	EXPECT_TRUE(segment.check_sanity());
}

TYPED_TEST(drop_in_test, full_and_empty_again)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);
	const auto free = segment.get_free_memory();
	std::vector<void *> blocks;

	for (int round = 0; round < 3; ++round) {
		while (void *const block = segment.allocate(
			       24 + blocks.size() % 500, std::nothrow))
			blocks.push_back(block);
		EXPECT_GT(blocks.size(), 100U);
		/* Small blocks that wait for one of their size. */
		EXPECT_LT(segment.get_free_memory(), 4096U);
		EXPECT_TRUE(segment.check_sanity());
		for (void *const block : blocks)
			segment.deallocate(block);
		blocks.clear();
		EXPECT_TRUE(segment.check_sanity());
		EXPECT_TRUE(segment.all_memory_deallocated());
		EXPECT_EQ(segment.get_free_memory(), free);
	}
}

TYPED_TEST(drop_in_test, handles_lead_there_in_both)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);
	TypeParam peer(bip::open_only, this->name.get());
	char *const base = static_cast<char *>(segment.get_address());
	int *const object = segment.template construct<int>("object")(9);
	const auto handle = segment.get_handle_from_address(object);

	EXPECT_EQ(segment.get_address_from_handle(handle), object);
	EXPECT_EQ(*static_cast<int *>(peer.get_address_from_handle(handle)), 9);
	EXPECT_EQ(peer.get_address_from_handle(handle),
		  peer.template find<int>("object").first);
	EXPECT_EQ(segment.get_handle_from_address(base), 0);
	EXPECT_TRUE(segment.belongs_to_segment(base));
	EXPECT_TRUE(segment.belongs_to_segment(base + segment.get_size() - 1));
	EXPECT_FALSE(segment.belongs_to_segment(base + segment.get_size()));
	EXPECT_FALSE(segment.belongs_to_segment(base - 1));
	EXPECT_FALSE(segment.belongs_to_segment(&segment));
	EXPECT_FALSE(segment.belongs_to_segment(
		peer.template find<int>("object").first));
}

TYPED_TEST(drop_in_test, mapped_at_an_address)
{
	TypeParam somewhere(bip::create_only, this->name.get(), 65536);
	const segment_name<TypeParam> other;
	void *const taken = somewhere.get_address();

	EXPECT_EQ(thrown_by([&] {
			  TypeParam(bip::create_only, other.get(), 65536,
				    taken);
		  }).code,
		  bip::busy_error);
	EXPECT_EQ(thrown_by([&] {
			  TypeParam(bip::open_only, this->name.get(), taken);
		  }).code,
		  bip::busy_error);
	{
		TypeParam moved(std::move(somewhere));
		const TypeParam gone(std::move(moved));
	}
	TypeParam::device_type::remove(other.get());

	const TypeParam there(bip::create_only, other.get(), 65536, taken);

	EXPECT_EQ(there.get_address(), taken);
}

TYPED_TEST(drop_in_test, moved_and_swapped)
{
	const segment_name<TypeParam> other;
	TypeParam one(bip::create_only, this->name.get(), 65536);
	TypeParam two(bip::create_only, other.get(), 131072);
	void *const address_one = one.get_address();
	void *const address_two = two.get_address();
	const auto size_one = one.get_size();
	const auto size_two = two.get_size();

	one.template construct<int>("number")(1);
	two.template construct<int>("number")(2);
	one.swap(two);
	EXPECT_EQ(*one.template find<int>("number").first, 2);
	EXPECT_EQ(one.get_size(), size_two);
	EXPECT_EQ(one.get_address(), address_two);

	TypeParam three(std::move(one));

	EXPECT_EQ(three.get_address(), address_two);
	EXPECT_EQ(one.get_segment_manager(), nullptr);
	three = std::move(two);
	EXPECT_EQ(three.get_address(), address_one);
	EXPECT_EQ(three.get_size(), size_one);
	EXPECT_EQ(*three.template find<int>("number").first, 1);

	TypeParam empty;

	EXPECT_EQ(empty.get_segment_manager(), nullptr);
	empty.swap(three);
	EXPECT_EQ(three.get_segment_manager(), nullptr);
	EXPECT_EQ(*empty.template find<int>("number").first, 1);
	empty = TypeParam(bip::open_only, this->name.get());
	EXPECT_EQ(*empty.template find<int>("number").first, 1);
}

TYPED_TEST(drop_in_test, read_only_sees_and_does_not_lock)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);

	segment.template construct<int>("answer")(42);
	segment.template construct<int>(bip::unique_instance)(43);
	segment.template construct<long>("many")[7](44);

	/* Held for as long as this takes, by a process that is not asked. */
	auto hold = [&] {
		EXPECT_EQ(
			child([&] {
				TypeParam view(bip::open_read_only,
					       this->name.get());
				const auto many =
					view.template find<long>("many");

				if (*view.template find<int>("answer").first !=
				    42)
					return 1;
				if (*view.template find<int>(
						 bip::unique_instance)
					     .first != 43)
					return 2;
				if (many.second != 7 || many.first[6] != 44)
					return 3;
				if (view.template find<int>("none").first)
					return 4;
				if (view.get_size() != segment.get_size() ||
				    view.get_free_memory() !=
					    segment.get_free_memory())
					return 5;
				return 0;
			}).wait(),
			0);
	};

	segment.atomic_func(hold);
	EXPECT_EQ(child([&] {
			  TypeParam view(bip::open_read_only, this->name.get());

			  *view.template find<int>("answer").first = 1;
			  return 0;
		  }).wait(),
		  -SIGSEGV);
	EXPECT_EQ(*segment.template find<int>("answer").first, 42);
}

TYPED_TEST(drop_in_test, copy_on_write_keeps_its_changes)
{
	TypeParam segment(bip::create_only, this->name.get(), 65536);

	segment.template construct<int>("answer")(42);

	TypeParam copy(bip::open_copy_on_write, this->name.get());

	*copy.template find<int>("answer").first = 1;
	copy.template construct<int>("own")(2);
	EXPECT_TRUE(copy.check_sanity());
	EXPECT_EQ(*segment.template find<int>("answer").first, 42);
	EXPECT_EQ(segment.template find<int>("own").first, nullptr);
	EXPECT_TRUE(copy.template destroy<int>("answer"));
	EXPECT_EQ(*segment.template find<int>("answer").first, 42);
}

TYPED_TEST(drop_in_test, processes_meet)
{
	constexpr int processes = 3;
	constexpr int objects = 200;
	TypeParam segment(bip::create_only, this->name.get(), 1 << 20);
	std::vector<child> many;

	for (int me = 0; me < processes; ++me)
		many.emplace_back([&, me] {
			TypeParam mine(bip::open_only, this->name.get());

			for (int i = 0; i < objects; ++i) {
				const std::string own = std::to_string(me) +
							'-' + std::to_string(i);
				const std::string shared =
					"shared " + std::to_string(i);

				mine.template construct<int>(own.c_str())(i);
				++*mine.template find_or_construct<int>(
					shared.c_str())(0);
				if (i % 3)
					mine.template destroy<int>(own.c_str());
			}
			return 0;
		});
	for (child &each : many)
		EXPECT_EQ(each.wait(), 0);
	EXPECT_EQ(segment.get_num_named_objects(),
		  objects + processes * ((objects + 2) / 3));
	EXPECT_TRUE(segment.check_sanity());
}

/* Names of wide characters, and what has them as well. */
template <typename Segment>
class wide_test : public test::device_test
{
};

using wide_kinds = ::testing::Types<bip::wmanaged_shared_memory,
				    shm_kernel::wmanaged_kernel_memory>;

struct wide_name
{
	template <typename Segment>
	static std::string GetName(int)
	{
		return std::is_same_v<Segment, bip::wmanaged_shared_memory>
			       ? "wmanaged_shared_memory"
			       : "wmanaged_kernel_memory";
	}
};

TYPED_TEST_SUITE(wide_test, wide_kinds, wide_name);

TYPED_TEST(wide_test, wide_names)
{
	const segment_name<TypeParam> name;
	TypeParam segment(bip::create_only, name.get(), 65536);
	TypeParam view(bip::open_read_only, name.get());
	int *const object = segment.template construct<int>(L"\x0436 name")(5);

	EXPECT_EQ(segment.template find<int>(L"\x0436 name").first, object);
	EXPECT_EQ(*view.template find<int>(L"\x0436 name").first, 5);
	EXPECT_EQ(segment.template find<int>(L"\x0437 name").first, nullptr);
	EXPECT_STREQ(TypeParam::get_instance_name(object), L"\x0436 name");
	EXPECT_STREQ(segment.named_begin()->name(), L"\x0436 name");
	segment.template construct<int>(bip::unique_instance)(6);
	EXPECT_EQ(*view.template find<int>(bip::unique_instance).first, 6);
	EXPECT_TRUE(segment.check_sanity());
	EXPECT_TRUE(segment.template destroy<int>(L"\x0436 name"));
}

/* Sizes by name, while nobody has it open. */
template <typename Segment>
class offline_test : public test::device_test
{
};

using offline_kinds =
	::testing::Types<bip::managed_shared_memory,
			 shm_kernel::persistent_managed_kernel_memory>;

struct offline_name
{
	template <typename Segment>
	static std::string GetName(int)
	{
		return std::is_same_v<Segment, bip::managed_shared_memory>
			       ? "managed_shared_memory"
			       : "persistent_managed_kernel_memory";
	}
};

TYPED_TEST_SUITE(offline_test, offline_kinds, offline_name);

TYPED_TEST(offline_test, grow_and_shrink_to_fit)
{
	const segment_name<TypeParam> name;
	std::size_t size = 0;

	{
		TypeParam segment(bip::create_only, name.get(), 65536);

		size = segment.get_size();
		segment.template construct<int>("answer")(42);
		EXPECT_THROW(
			segment.template construct<char>("large")[1 << 20](),
			bip::bad_alloc);
	}
	EXPECT_TRUE(TypeParam::grow(name.get(), 2 << 20));
	{
		TypeParam segment(bip::open_only, name.get());

		EXPECT_EQ(segment.get_size(), size + (2 << 20));
		EXPECT_EQ(*segment.template find<int>("answer").first, 42);
		segment.template construct<char>("large")[1 << 20]('x');
		EXPECT_TRUE(segment.check_sanity());
	}
	EXPECT_TRUE(TypeParam::shrink_to_fit(name.get()));
	{
		TypeParam segment(bip::open_only, name.get());
		const typename TypeParam::device_type device(
			bip::open_only, name.get(), bip::read_only);
		bip::offset_t length = 0;

		EXPECT_TRUE(device.get_size(length));
		EXPECT_GE(static_cast<std::size_t>(length), segment.get_size());
		EXPECT_LT(segment.get_size(), (1U << 20) + 131072);
		EXPECT_LT(length, (1 << 20) + 131072);
		EXPECT_EQ(*segment.template find<int>("answer").first, 42);
		EXPECT_EQ(segment.template find<char>("large")
				  .first[(1 << 20) - 1],
			  'x');
		EXPECT_TRUE(segment.check_sanity());
		segment.template destroy<char>("large");
	}
	EXPECT_TRUE(TypeParam::shrink_to_fit(name.get()));
	EXPECT_TRUE(TypeParam::grow(name.get(), 100));
	EXPECT_TRUE(TypeParam::shrink_to_fit(name.get()));
	EXPECT_TRUE(TypeParam::grow(name.get(), 1 << 16));
	{
		TypeParam segment(bip::open_only, name.get());

		EXPECT_LT(segment.get_size(), 3U << 16);
		EXPECT_EQ(*segment.template find<int>("answer").first, 42);
		EXPECT_TRUE(segment.check_sanity());
		segment.deallocate(segment.allocate(60000));
	}
}

class managed_kernel_memory_test : public test::device_test
{
};

/* That of Boost makes a segment of that name which nobody can open. */
TEST_F(managed_kernel_memory_test, no_segment_to_grow_or_shrink)
{
	const auto name = fresh_name();

	EXPECT_FALSE(managed_kernel_memory::grow(name.c_str(), 1000));
	EXPECT_FALSE(managed_kernel_memory::shrink_to_fit(name.c_str()));
	EXPECT_FALSE(test::name_there(name));
}
