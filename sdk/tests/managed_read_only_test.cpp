/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Managed segments for those who may only read them
 */

#include "segment_support.hpp"

#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>

#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include <sys/mman.h>

namespace bip = boost::interprocess;
namespace sk = shm_kernel;

using sk::errc;
using sk::managed_kernel_memory;
using sk::segment_options;
using test::child;
using test::code_of;
using test::fresh_name;
using test::gate;

namespace {

/* Lets something happen while somebody looks, and then misses what is there. */
template <typename Config>
class disturbed_index : public sk::hash_index<Config>
{
	using base = sk::hash_index<Config>;

public:
	using base::base;

	static inline std::function<void()> meanwhile;

	typename base::shared_value
	find_shared(const typename Config::char_type *name,
		    std::size_t length) const noexcept
	{
		if (const auto call = std::exchange(meanwhile, nullptr)) {
			call();
			return {nullptr, 0};
		}
		return base::find_shared(name, length);
	}
};

} // namespace

namespace boost {
namespace interprocess {

template <typename Config>
struct is_intrusive_index<disturbed_index<Config>>
{
	static const bool value = true;
};

} // namespace interprocess
} // namespace boost

template <>
struct shm_kernel::detail::readable_without_lock<disturbed_index>
	: std::true_type
{
};

class managed_read_only_test : public test::device_test
{
};

TEST_F(managed_read_only_test, kernel_refuses_to_write)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536);
	managed_kernel_memory view(bip::open_read_only, name.c_str());
	const int fd = view.native_handle();

	EXPECT_EQ(view.get_mapped_region().get_mode(), bip::read_only);
	errno = 0;
	EXPECT_EQ(::mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 0),
		  MAP_FAILED);
	EXPECT_EQ(errno, EACCES);
	errno = 0;
	EXPECT_EQ(::mprotect(view.get_address(), 65536, PROT_READ | PROT_WRITE),
		  -1);
	EXPECT_EQ(errno, EACCES);
	EXPECT_EQ(view.get_region().access(), sk::access_mode::read_only);
	EXPECT_EQ(code_of([&] {
			  managed_kernel_memory(bip::open_only,
						sk::region::adopt(::dup(fd)));
		  }),
		  errc::permission_denied);
	EXPECT_THROW(view.get_region().resize(1), std::system_error);
	EXPECT_THROW(view.get_region().write(0, "x", 1), std::system_error);
}

TEST_F(managed_read_only_test, all_that_only_looks)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536);
	managed_kernel_memory view(bip::open_read_only, name.c_str());
	const long *const array = segment.construct<long>("array")[5](3);
	std::set<std::string> names;

	segment.construct<int>(bip::unique_instance)(8);
	segment.construct<int>("")(9);
	EXPECT_EQ(view.find<long>("array").second, 5U);
	EXPECT_EQ(view.find_shared<long>("array").second, 5U);
	EXPECT_EQ(view.find_shared<long>("array").first[4], 3);
	EXPECT_EQ(view.find_shared<long>("array").first,
		  view.get_address_from_handle(
			  segment.get_handle_from_address(array)));
	EXPECT_EQ(*view.find_shared<int>(bip::unique_instance).first, 8);
	EXPECT_EQ(*view.find_shared<int>("").first, 9);
	EXPECT_EQ(view.find_shared<int>("none").first, nullptr);
	EXPECT_EQ(view.find_shared<int>("none").second, 0U);
	EXPECT_EQ(view.find_shared<short>(bip::unique_instance).first, nullptr);
	EXPECT_EQ(view.get_size(), segment.get_size());
	EXPECT_EQ(view.get_free_memory(), segment.get_free_memory());
	EXPECT_EQ(view.max_size(), segment.max_size());
	EXPECT_FALSE(view.recovered());
	for (auto each = view.named_begin(); each != view.named_end(); ++each)
		names.insert(each->name());
	EXPECT_EQ(names, (std::set<std::string>{"array", ""}));
	EXPECT_EQ(managed_kernel_memory::get_instance_length(
			  view.find<long>("array").first),
		  5U);

	/* Who may write gets the same. */
	EXPECT_EQ(segment.find_shared<long>("array").first, array);
	EXPECT_EQ(*segment.find_shared<int>(bip::unique_instance).first, 8);
	segment.destroy<long>("array");
	EXPECT_EQ(view.find_shared<long>("array").first, nullptr);
}

TEST_F(managed_read_only_test, growth_and_what_comes_later)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(
		bip::create_only,
		segment_options{}.set_name(name).set_size(16384).set_max_size(
			1 << 22));
	managed_kernel_memory view(bip::open_read_only, name.c_str());

	for (int i = 0; i < 20000; ++i) {
		const std::string each = std::to_string(i);

		while (!segment.construct<int>(each.c_str(), std::nothrow)(i))
			segment.grow_online(1 << 16);
	}
	for (int i = 0; i < 20000; i += 7)
		EXPECT_EQ(
			*view.find_shared<int>(std::to_string(i).c_str()).first,
			i);
	EXPECT_EQ(view.get_size(), segment.get_size());
}

namespace {

/* Right if it was made by one constructor, and is not yet destroyed. */
struct checked
{
	explicit checked(std::uint32_t number) : value(number), inverse(~number)
	{
	}
	~checked() { inverse.store(value.load()); }

	std::atomic<std::uint32_t> value;
	std::atomic<std::uint32_t> inverse;
};

/* Makes and destroys, so that tables grow, shrink and move. */
int churn(managed_kernel_memory &segment)
{
	std::mt19937 engine(7);

	for (;;) {
		for (int i = 0; i < 300; ++i) {
			const std::string name =
				"moving " + std::to_string(engine() % 400);

			segment.find_or_construct<checked>(name.c_str())(
				engine());
		}
		for (int i = 0; i < 400; ++i)
			segment.destroy<checked>(
				("moving " + std::to_string(i)).c_str());
		segment.shrink_to_fit_indexes();
	}
}

} // namespace

/* A name that is there all the time is found all the time. */
TEST_F(managed_read_only_test, finds_beside_a_writer)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 1 << 20);

	for (int i = 0; i < 10; ++i)
		segment.construct<checked>(
			("fixed " + std::to_string(i)).c_str())(i);

	child writer([&] {
		managed_kernel_memory mine(bip::open_only, name.c_str());

		return churn(mine);
	});
	std::vector<child> readers;
	/* Long enough to be preempted in the middle of a look. */
	const auto end = std::chrono::steady_clock::now() +
			 std::chrono::milliseconds(1500);

	for (int reader = 0; reader < 3; ++reader)
		readers.emplace_back([&] {
			managed_kernel_memory view(bip::open_read_only,
						   name.c_str());

			for (std::uint32_t i = 0;
			     std::chrono::steady_clock::now() < end; ++i) {
				const std::string fixed =
					"fixed " + std::to_string(i % 10);
				const auto found = view.find_shared<checked>(
					fixed.c_str());

				if (!found.first || found.second != 1)
					return 1;
				if (found.first->value != i % 10 ||
				    found.first->inverse != ~(i % 10))
					return 2;

				/* These come and go: there, or not. */
				const auto other = view.find_shared<checked>(
					("moving " + std::to_string(i % 400))
						.c_str());

				if (other.first &&
				    (other.second != 1 ||
				     !view.belongs_to_segment(other.first)))
					return 3;
				if (view.find_shared<checked>("never").first)
					return 4;
				/* As in Boost: may miss it, must not crash. */
				view.find<checked>(fixed.c_str());
			}
			return 0;
		});
	for (child &each : readers)
		EXPECT_EQ(each.wait(), 0);
	EXPECT_EQ(writer.kill(), child::killed);
	EXPECT_TRUE(segment.check_sanity());
}

TEST_F(managed_read_only_test, looks_again_if_the_index_was_changed)
{
	using disturbed = sk::basic_managed_kernel_memory<
		char, sk::segregated_fit<sk::robust_mutex_family>,
		disturbed_index>;
	auto &meanwhile = disturbed::segment_manager::named_index_t::meanwhile;
	const auto name = fresh_name();
	disturbed segment(bip::create_only, name.c_str(), 65536);
	disturbed view(bip::open_read_only, name.c_str());

	segment.construct<int>("answer")(42);
	meanwhile = [&] { segment.construct<int>("more")(1); };

	const int *const found = view.find_shared<int>("answer").first;

	ASSERT_NE(found, nullptr);
	EXPECT_EQ(*found, 42);
	/* Nobody changed it: that is the answer. */
	meanwhile = [] {};
	EXPECT_EQ(view.find_shared<int>("answer").first, nullptr);
}

/* An object that is found is one whose constructor has returned. */
TEST_F(managed_read_only_test, waits_for_an_object_to_be_made)
{
	struct slow
	{
		slow(gate &making, gate &go)
		{
			making.open();
			go.wait();
			value = 3;
		}
		int value = 0;
	};
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536);
	gate making, go, looking;
	child maker([&] {
		managed_kernel_memory mine(bip::open_only, name.c_str());

		mine.construct<slow>("slow")(std::ref(making), std::ref(go));
		return 0;
	});

	making.wait();

	child reader([&] {
		managed_kernel_memory view(bip::open_read_only, name.c_str());

		looking.open();

		const auto found = view.find_shared<slow>("slow");

		return found.first ? found.first->value : 100;
	});

	looking.wait();
	::usleep(30000);
	/* Still waiting: it sleeps, and does not spin. */
	EXPECT_EQ(::waitpid(reader.pid(), nullptr, WNOHANG), 0);
	go.open();
	EXPECT_EQ(maker.wait(), 0);
	EXPECT_EQ(reader.wait(), 3);
}

TEST_F(managed_read_only_test, does_not_wait_for_a_dead_one)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536);
	managed_kernel_memory view(bip::open_read_only, name.c_str());

	segment.construct<int>("answer")(42);
	EXPECT_EQ(child([&] {
			  auto suicide = [] { ::kill(::getpid(), SIGKILL); };

			  managed_kernel_memory(bip::open_only, name.c_str())
				  .atomic_func(suicide);
			  return 0;
		  }).wait(),
		  child::killed);
	/* Nobody has recovered it, and nobody may be there who could. */
	segment = managed_kernel_memory();
	EXPECT_EQ(*view.find_shared<int>("answer").first, 42);
	EXPECT_EQ(view.find_shared<int>("none").first, nullptr);
	EXPECT_FALSE(view.recovered());

	managed_kernel_memory late(bip::open_only, name.c_str());

	EXPECT_EQ(*late.find<int>("answer").first, 42);
	EXPECT_TRUE(view.recovered());
	EXPECT_EQ(*view.find_shared<int>("answer").first, 42);
}

TEST_F(managed_read_only_test, with_index_of_boost)
{
	using tree = sk::basic_managed_kernel_memory<
		char, bip::rbtree_best_fit<sk::robust_mutex_family>,
		bip::iset_index>;
	using mixed = sk::basic_managed_kernel_memory<
		char, bip::rbtree_best_fit<bip::mutex_family>, sk::hash_index>;
	const auto name = fresh_name();
	const auto other = fresh_name();
	tree one(bip::create_only, name.c_str(), 65536);
	mixed two(bip::create_only, other.c_str(), 65536);

	one.construct<int>("a")(1);
	two.construct<int>("b")(2);
	EXPECT_EQ(*tree(bip::open_read_only, name.c_str()).find<int>("a").first,
		  1);
	EXPECT_EQ(
		*mixed(bip::open_read_only, other.c_str()).find<int>("b").first,
		2);
}

TEST_F(managed_read_only_test, mode_that_only_lets_read)
{
	if (!root())
		GTEST_SKIP() << "only root can become another user";

	const test::open_for_all opened;
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536,
				      nullptr, bip::permissions(0644));

	segment.construct<int>("answer")(42);
	EXPECT_EQ(child([&] {
			  test::become(65534);

			  managed_kernel_memory view(bip::open_read_only,
						     name.c_str());
			  managed_kernel_memory copy(bip::open_copy_on_write,
						     name.c_str());

			  if (*view.find_shared<int>("answer").first != 42)
				  return 1;
			  *copy.find<int>("answer").first = 1;
			  copy.construct<int>("own")(2);
			  if (!copy.check_sanity())
				  return 2;
			  return *view.find_shared<int>("answer").first == 42
					 ? 0
					 : 3;
		  }).wait(),
		  0);
	EXPECT_EQ(segment.find<int>("own").first, nullptr);
}
