/* SPDX-License-Identifier: BSL-1.0 */
/*
 * kernel_shared_memory, side by side with the class it stands in for: what
 * drop_in_test says holds for both
 */

#include "support.hpp"

#include <shm_kernel/interprocess/kernel_shared_memory.hpp>

#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/shared_memory_object.hpp>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>

namespace bip = boost::interprocess;

using shm_kernel::errc;
using shm_kernel::kernel_memory_exception;
using shm_kernel::kernel_shared_memory;
using shm_kernel::region;
using test::child;
using test::fresh_name;
using test::gate;

static_assert(std::is_nothrow_move_constructible_v<kernel_shared_memory>);
static_assert(std::is_nothrow_move_assignable_v<kernel_shared_memory>);
static_assert(!std::is_copy_constructible_v<kernel_shared_memory>);
static_assert(std::is_nothrow_swappable_v<kernel_shared_memory>);
static_assert(noexcept(kernel_shared_memory::remove("")));
static_assert(std::is_base_of_v<bip::interprocess_exception,
				kernel_memory_exception>);

template <typename Memory>
class drop_in_test : public test::device_test
{
};

using both = ::testing::Types<bip::shared_memory_object, kernel_shared_memory>;

struct name_of_type
{
	template <typename Memory>
	static std::string GetName(int)
	{
		return std::is_same_v<Memory, kernel_shared_memory>
			       ? "kernel_shared_memory"
			       : "shared_memory_object";
	}
};

TYPED_TEST_SUITE(drop_in_test, both, name_of_type);

namespace {

struct failure
{
	int native;
	bip::error_code_t code;

	bool operator==(const failure &other) const
	{
		return native == other.native && code == other.code;
	}
};

std::ostream &operator<<(std::ostream &out, const failure &error)
{
	return out << error.native << '/' << error.code;
}

/* The error of a call that is expected to throw. */
template <typename Call>
failure thrown_by(Call call)
{
	try {
		call();
	} catch (const bip::interprocess_exception &error) {
		return {error.get_native_error(), error.get_error_code()};
	}
	return {0, bip::no_error};
}

char *bytes(const bip::mapped_region &from)
{
	return static_cast<char *>(from.get_address());
}

template <typename Memory>
bip::offset_t size_of(const Memory &memory)
{
	bip::offset_t size = -1;

	EXPECT_TRUE(memory.get_size(size));
	return size;
}

/* Both kinds go away with this; a POSIX name would stay else. */
template <typename Memory>
struct remover
{
	std::string name = fresh_name();

	~remover() { Memory::remove(name.c_str()); }
	const char *get() const { return name.c_str(); }
};

} // namespace

TYPED_TEST(drop_in_test, default_is_empty)
{
	const TypeParam memory;
	bip::offset_t size = 0;

	EXPECT_FALSE(memory.get_size(size));
	/* Newer versions of Boost return no string at all. */
	EXPECT_TRUE(!memory.get_name() || !*memory.get_name());
	EXPECT_EQ(memory.get_mode(), bip::read_only);
	EXPECT_EQ(memory.get_mapping_handle().handle, -1);
	EXPECT_FALSE(memory.get_mapping_handle().is_xsi);
}

TYPED_TEST(drop_in_test, create_then_truncate)
{
	const remover<TypeParam> name;
	TypeParam memory(bip::create_only, name.get(), bip::read_write);

	EXPECT_STREQ(memory.get_name(), name.get());
	EXPECT_EQ(memory.get_mode(), bip::read_write);
	EXPECT_EQ(size_of(memory), 0);
	for (const bip::offset_t size : {1, 12345, 4096, 70000}) {
		memory.truncate(size);
		EXPECT_EQ(size_of(memory), size);
	}

	const bip::mapped_region view(memory, bip::read_write);

	EXPECT_EQ(view.get_size(), 70000U);
	std::memset(view.get_address(), 1, view.get_size());
}

TYPED_TEST(drop_in_test, create_only_wants_a_free_name)
{
	const remover<TypeParam> name;
	const TypeParam memory(bip::create_only, name.get(), bip::read_write);

	EXPECT_EQ(thrown_by([&] {
			  TypeParam(bip::create_only, name.get(),
				    bip::read_write);
		  }),
		  (failure{EEXIST, bip::already_exists_error}));
	EXPECT_EQ(thrown_by([&] {
			  TypeParam(bip::create_only, name.get(),
				    bip::read_only);
		  }),
		  (failure{EEXIST, bip::already_exists_error}));
}

TYPED_TEST(drop_in_test, open_only_wants_a_taken_name)
{
	const remover<TypeParam> name;

	EXPECT_EQ(thrown_by([&] {
			  TypeParam(bip::open_only, name.get(),
				    bip::read_write);
		  }),
		  (failure{ENOENT, bip::not_found_error}));
}

TYPED_TEST(drop_in_test, open_or_create_does_either)
{
	const remover<TypeParam> name;
	TypeParam first(bip::open_or_create, name.get(), bip::read_write);

	first.truncate(77);

	const TypeParam second(bip::open_or_create, name.get(),
			       bip::read_write);

	EXPECT_EQ(size_of(second), 77);
	EXPECT_STREQ(second.get_name(), name.get());

	const TypeParam third(bip::open_or_create, name.get(), bip::read_only);

	EXPECT_EQ(third.get_mode(), bip::read_only);
	EXPECT_EQ(size_of(third), 77);
}

TYPED_TEST(drop_in_test, other_modes_are_refused)
{
	const remover<TypeParam> name;

	for (const bip::mode_t mode :
	     {bip::copy_on_write, bip::read_private, bip::invalid_mode})
		EXPECT_EQ(thrown_by([&] {
				  TypeParam(bip::open_or_create, name.get(),
					    mode);
			  }),
			  (failure{0, bip::mode_error}));
	EXPECT_EQ(thrown_by([&] {
			  TypeParam(bip::open_only, name.get(), bip::read_only);
		  }),
		  (failure{ENOENT, bip::not_found_error}));
}

TYPED_TEST(drop_in_test, remove_tells_whether_it_did)
{
	const remover<TypeParam> name;

	EXPECT_FALSE(TypeParam::remove(name.get()));

	const TypeParam memory(bip::create_only, name.get(), bip::read_write);

	EXPECT_TRUE(TypeParam::remove(name.get()));
	EXPECT_FALSE(TypeParam::remove(name.get()));
	EXPECT_FALSE(TypeParam::remove(""));
	EXPECT_FALSE(TypeParam::remove("a/b"));
	EXPECT_EQ(size_of(memory), 0);
}

TYPED_TEST(drop_in_test, leading_slash_is_tolerated)
{
	const remover<TypeParam> name;
	const TypeParam memory(bip::create_only, ('/' + name.name).c_str(),
			       bip::read_write);

	EXPECT_STREQ(memory.get_name(), ('/' + name.name).c_str());
	TypeParam(bip::open_only, name.get(), bip::read_only);
}

TYPED_TEST(drop_in_test, bad_names_are_errors)
{
	EXPECT_EQ(thrown_by([] {
			  TypeParam(bip::create_only, "", bip::read_write);
		  }),
		  (failure{EINVAL, bip::invalid_argument}));
	EXPECT_EQ(thrown_by([] {
			  TypeParam(bip::create_only, "", bip::read_only);
		  }),
		  (failure{EINVAL, bip::invalid_argument}));
	EXPECT_EQ(thrown_by([] {
			  TypeParam(bip::open_only, "a/b", bip::read_write);
		  }),
		  (failure{EINVAL, bip::invalid_argument}));
}

TYPED_TEST(drop_in_test, moves_and_swaps)
{
	const remover<TypeParam> one, two;
	TypeParam first(bip::create_only, one.get(), bip::read_write);
	TypeParam second(bip::create_only, two.get(), bip::read_write);

	first.truncate(1);
	second.truncate(2);
	first.swap(second);
	EXPECT_EQ(size_of(first), 2);
	EXPECT_STREQ(first.get_name(), two.get());
	EXPECT_STREQ(second.get_name(), one.get());

	TypeParam third(std::move(first));

	EXPECT_EQ(size_of(third), 2);
	EXPECT_EQ(first.get_mapping_handle().handle, -1);
	third = std::move(second);
	EXPECT_EQ(size_of(third), 1);
	EXPECT_STREQ(third.get_name(), one.get());
	EXPECT_EQ(third.get_mode(), bip::read_write);
}

TYPED_TEST(drop_in_test, permissions_are_those_given)
{
	const auto mode_of = [](const TypeParam &memory) {
		struct stat status = {};

		EXPECT_EQ(::fstat(memory.get_mapping_handle().handle, &status),
			  0);
		return status.st_mode & 07777;
	};
	const mode_t mask = ::umask(077);
	/* Signed in some versions of Boost and unsigned in others. */
	using bits_type = decltype(bip::permissions().get_permissions());

	for (const bits_type bits : std::initializer_list<bits_type>{
		     0600, 0644, 0666, 0400, 0200, 0}) {
		const remover<TypeParam> name;

		EXPECT_EQ(mode_of(TypeParam(bip::create_only, name.get(),
					    bip::read_write,
					    bip::permissions(bits))),
			  static_cast<mode_t>(bits));
		EXPECT_EQ(
			TypeParam::remove(name.get()),
			(std::is_same_v<TypeParam, bip::shared_memory_object>));
		EXPECT_EQ(mode_of(TypeParam(bip::open_or_create, name.get(),
					    bip::read_only,
					    bip::permissions(bits))),
			  static_cast<mode_t>(bits));
	}
	{
		const remover<TypeParam> name;

		EXPECT_EQ(mode_of(TypeParam(bip::create_only, name.get(),
					    bip::read_write)),
			  bip::permissions().get_permissions());
	}
	::umask(mask);
}

TYPED_TEST(drop_in_test, mapped_in_all_four_modes)
{
	const remover<TypeParam> name;
	TypeParam memory(bip::create_only, name.get(), bip::read_write);

	memory.truncate(8192);

	const bip::mapped_region shared(memory, bip::read_write);
	const bip::mapped_region view(memory, bip::read_only);
	const bip::mapped_region own(memory, bip::copy_on_write);
	const bip::mapped_region still(memory, bip::read_private);

	EXPECT_EQ(view.get_mode(), bip::read_only);
	EXPECT_EQ(own.get_mode(), bip::copy_on_write);
	EXPECT_EQ(still.get_mode(), bip::read_private);
	bytes(shared)[0] = 'a';
	EXPECT_EQ(bytes(view)[0], 'a');
	EXPECT_EQ(bytes(own)[0], 'a');
	EXPECT_EQ(bytes(still)[0], 'a');
	bytes(own)[0] = 'b';
	EXPECT_EQ(bytes(shared)[0], 'a');
	bytes(shared)[0] = 'c';
	EXPECT_EQ(bytes(own)[0], 'b');
	EXPECT_EQ(bytes(view)[0], 'c');
}

TYPED_TEST(drop_in_test, read_only_handle_maps_for_reading_only)
{
	const remover<TypeParam> name;
	TypeParam(bip::create_only, name.get(), bip::read_write);

	TypeParam writable(bip::open_or_create, name.get(), bip::read_write);

	writable.truncate(100);

	const TypeParam memory(bip::open_only, name.get(), bip::read_only);

	EXPECT_EQ(
		thrown_by([&] { bip::mapped_region(memory, bip::read_write); }),
		(failure{EACCES, bip::security_error}));

	const bip::mapped_region view(memory, bip::read_only);
	const bip::mapped_region own(memory, bip::copy_on_write);

	bytes(own)[0] = 'x';
	EXPECT_EQ(bytes(view)[0], 0);
}

TYPED_TEST(drop_in_test, created_read_only_maps_for_reading_only)
{
	const remover<TypeParam> name;
	TypeParam memory(bip::create_only, name.get(), bip::read_only);
	TypeParam peer(bip::open_only, name.get(), bip::read_write);

	EXPECT_EQ(memory.get_mode(), bip::read_only);
	peer.truncate(10);
	EXPECT_EQ(size_of(memory), 10);
	EXPECT_EQ(
		thrown_by([&] { bip::mapped_region(memory, bip::read_write); }),
		(failure{EACCES, bip::security_error}));
	EXPECT_THROW(memory.truncate(1), bip::interprocess_exception);
	EXPECT_EQ(size_of(memory), 10);
}

TYPED_TEST(drop_in_test, size_0_is_the_rest_from_any_offset)
{
	const remover<TypeParam> name;
	TypeParam memory(bip::create_only, name.get(), bip::read_write);

	memory.truncate(12345);
	{
		const bip::mapped_region all(memory, bip::read_write);

		EXPECT_EQ(all.get_size(), 12345U);
		for (std::size_t i = 0; i < 12345; ++i)
			bytes(all)[i] = static_cast<char>(i);
	}
	for (const bip::offset_t offset : {0, 1, 4095, 4096, 5000, 12344}) {
		const bip::mapped_region rest(memory, bip::read_only, offset);
		const bip::mapped_region some(memory, bip::read_only, offset,
					      1);

		EXPECT_EQ(rest.get_size(),
			  static_cast<std::size_t>(12345 - offset));
		EXPECT_EQ(bytes(rest)[0], static_cast<char>(offset));
		EXPECT_EQ(some.get_size(), 1U);
		EXPECT_EQ(bytes(some)[0], static_cast<char>(offset));
	}
}

TYPED_TEST(drop_in_test, what_cannot_be_mapped)
{
	const remover<TypeParam> name;
	TypeParam memory(bip::create_only, name.get(), bip::read_write);

	EXPECT_EQ(
		thrown_by([&] { bip::mapped_region(memory, bip::read_write); }),
		(failure{EINVAL, bip::invalid_argument}));
	memory.truncate(100);
	EXPECT_EQ(thrown_by([&] {
			  bip::mapped_region(memory, bip::read_write, 5000);
		  }),
		  (failure{0, bip::size_error}));
}

TYPED_TEST(drop_in_test, mapped_region_functions_work)
{
	const remover<TypeParam> name;
	TypeParam memory(bip::create_only, name.get(), bip::read_write);

	memory.truncate(5 * 4096);

	bip::mapped_region view(memory, bip::read_write);

	EXPECT_TRUE(view.flush());
	EXPECT_TRUE(view.flush(0, 4096, true));
	EXPECT_TRUE(view.flush(4096, 4096, false));
	for (const auto advice : {bip::mapped_region::advice_normal,
				  bip::mapped_region::advice_sequential,
				  bip::mapped_region::advice_random,
				  bip::mapped_region::advice_willneed})
		EXPECT_TRUE(view.advise(advice));
	std::memset(view.get_address(), 'm', view.get_size());
	/* Unmaps whole pages at the back and at the front. */
	EXPECT_TRUE(view.shrink_by(4096, true));
	EXPECT_TRUE(view.shrink_by(4096, false));
	EXPECT_EQ(view.get_size(), 3U * 4096);
	EXPECT_EQ(bytes(view)[0], 'm');
	EXPECT_EQ(bytes(view)[view.get_size() - 1], 'm');
	{
		bip::mapped_region other(std::move(view));

		EXPECT_EQ(other.get_size(), 3U * 4096);
	}
}

TYPED_TEST(drop_in_test, mapping_outlives_object_and_name)
{
	const remover<TypeParam> name;
	bip::mapped_region view;
	{
		TypeParam memory(bip::create_only, name.get(), bip::read_write);

		memory.truncate(10);
		bip::mapped_region(memory, bip::read_write).swap(view);
	}
	bytes(view)[0] = 'x';
	{
		const TypeParam again(bip::open_only, name.get(),
				      bip::read_only);
		const bip::mapped_region other(again, bip::read_only);

		EXPECT_EQ(bytes(other)[0], 'x');
	}
	EXPECT_TRUE(TypeParam::remove(name.get()));
	EXPECT_EQ(bytes(view)[0], 'x');
}

TYPED_TEST(drop_in_test, negative_size_is_refused)
{
	const remover<TypeParam> name;
	TypeParam memory(bip::create_only, name.get(), bip::read_write);

	EXPECT_EQ(thrown_by([&] { memory.truncate(-1); }),
		  (failure{EINVAL, bip::invalid_argument}));
}

TYPED_TEST(drop_in_test, one_of_many_creates_and_all_meet)
{
	constexpr int processes = 6;

	for (int round = 0; round < 10; ++round) {
		const remover<TypeParam> name;
		gate ready, go, done;
		std::vector<child> many;
		int winners = 0;

		for (int i = 0; i < processes; ++i)
			many.emplace_back([&] {
				TypeParam memory;
				bool won = true;

				ready.open();
				go.wait();
				try {
					TypeParam(bip::create_only, name.get(),
						  bip::read_write)
						.swap(memory);
				} catch (const bip::interprocess_exception &e) {
					if (e.get_error_code() !=
					    bip::already_exists_error)
						return 2;
					won = false;
					TypeParam(bip::open_or_create,
						  name.get(), bip::read_write)
						.swap(memory);
				}
				memory.truncate(4096);

				const bip::mapped_region view(memory,
							      bip::read_write);

				reinterpret_cast<std::atomic<int> *>(
					view.get_address())
					->fetch_add(1);
				ready.open();
				done.wait();
				return won ? 1 : 0;
			});
		ready.wait(processes);
		go.open(processes);
		ready.wait(processes);
		{
			const TypeParam memory(bip::open_only, name.get(),
					       bip::read_only);
			const bip::mapped_region view(memory, bip::read_only);
			int met = 0;

			std::memcpy(&met, view.get_address(), sizeof(met));
			EXPECT_EQ(met, processes);
		}
		done.open(processes);
		for (child &each : many) {
			const int result = each.wait();

			EXPECT_LE(result, 1);
			winners += result;
		}
		EXPECT_EQ(winners, 1);
	}
}

namespace {

struct mailbox
{
	bip::interprocess_mutex mutex;
	bip::interprocess_condition changed;
	bip::interprocess_semaphore filled{0};
	long count = 0;
	int turn = 0;
};

} // namespace

TYPED_TEST(drop_in_test, boost_locks_between_two_processes)
{
	constexpr int rounds = 10000;
	constexpr int turns = 300;
	const remover<TypeParam> name;
	TypeParam memory(bip::create_only, name.get(), bip::read_write);

	memory.truncate(sizeof(mailbox));

	const bip::mapped_region view(memory, bip::read_write);
	mailbox &here = *new (view.get_address()) mailbox;
	const auto run = [&](int me) {
		const TypeParam opened(bip::open_only, name.get(),
				       bip::read_write);
		const bip::mapped_region mapped(opened, bip::read_write);
		mailbox &mine = *static_cast<mailbox *>(mapped.get_address());

		for (int i = 0; i < rounds; ++i) {
			const bip::scoped_lock<bip::interprocess_mutex> lock(
				mine.mutex);
			const long before = mine.count;

			if (!(i % 512))
				sched_yield();
			mine.count = before + 1;
		}
		for (int i = 0; i < turns; ++i) {
			bip::scoped_lock<bip::interprocess_mutex> lock(
				mine.mutex);

			while (mine.turn % 2 != me)
				mine.changed.wait(lock);
			++mine.turn;
			mine.changed.notify_one();
		}
		if (me)
			mine.filled.wait();
		else
			mine.filled.post();
		return 0;
	};
	child first([&] { return run(0); }), second([&] { return run(1); });

	EXPECT_EQ(first.wait(), 0);
	EXPECT_EQ(second.wait(), 0);
	EXPECT_EQ(here.count, 2 * rounds);
	EXPECT_EQ(here.turn, 2 * turns);
}

TYPED_TEST(drop_in_test, external_buffer_in_a_mapping)
{
	const remover<TypeParam> name;
	TypeParam memory(bip::create_only, name.get(), bip::read_write);

	memory.truncate(65536);

	const bip::mapped_region view(memory, bip::read_write);
	bip::managed_external_buffer segment(
		bip::create_only, view.get_address(), view.get_size());

	*segment.construct<int>("answer")(0) = 42;
	EXPECT_EQ(child([&] {
			  const TypeParam opened(bip::open_only, name.get(),
						 bip::read_write);
			  const bip::mapped_region mapped(opened,
							  bip::read_write);
			  bip::managed_external_buffer mine(
				  bip::open_only, mapped.get_address(),
				  mapped.get_size());

			  return *mine.find<int>("answer").first;
		  }).wait(),
		  42);
}

/* What is our own. */
class kernel_shared_memory_test : public test::device_test
{
};

TEST_F(kernel_shared_memory_test, name_ends_with_the_last_user)
{
	const auto name = fresh_name();

	EXPECT_EQ(child([&] {
			  const kernel_shared_memory memory(bip::create_only,
							    name.c_str(),
							    bip::read_write);

			  ::kill(::getpid(), SIGKILL);
			  return 0;
		  }).wait(),
		  child::killed);
	EXPECT_TRUE(test::eventually([&] {
		return thrown_by([&] {
			       kernel_shared_memory(bip::open_only,
						    name.c_str(),
						    bip::read_only);
		       }) == failure{ENOENT, bip::not_found_error};
	}));
}

/* Newer versions of Boost cannot do this. */
TEST_F(kernel_shared_memory_test, size_0_can_be_set)
{
	kernel_shared_memory memory(bip::create_only, fresh_name().c_str(),
				    bip::read_write);

	memory.truncate(0);
	memory.truncate(5);
	memory.truncate(0);
	EXPECT_EQ(size_of(memory), 0);
	EXPECT_STREQ(kernel_shared_memory().get_name(), "");
}

TEST_F(kernel_shared_memory_test, too_long_a_name_is_said_to_be)
{
	EXPECT_EQ(thrown_by([] {
			  kernel_shared_memory(bip::create_only,
					       std::string(256, 'x').c_str(),
					       bip::read_write);
		  }),
		  (failure{ENAMETOOLONG, bip::path_error}));
}

TEST_F(kernel_shared_memory_test, exception_says_what_boost_cannot)
{
	try {
		kernel_shared_memory(bip::open_only, fresh_name().c_str(),
				     bip::read_write);
		FAIL() << "opened";
	} catch (const kernel_memory_exception &error) {
		EXPECT_EQ(error.code(), errc::not_found);
		EXPECT_NE(std::string(error.what()).find("no region"),
			  std::string::npos)
			<< error.what();
	}
}

TEST_F(kernel_shared_memory_test, open_or_create_beside_removes)
{
	const auto name = fresh_name();
	std::vector<child> many;

	/* The name comes and goes at any moment: nobody may notice. */
	for (int i = 0; i < 4; ++i)
		many.emplace_back([&, i] {
			for (int round = 0; round < 200; ++round) {
				const kernel_shared_memory memory(
					bip::open_or_create, name.c_str(),
					i % 2 ? bip::read_only
					      : bip::read_write,
					bip::permissions(0600));

				if (memory.get_mapping_handle().handle < 0)
					return 1;
				if (memory.get_region().info().mode() != 0600)
					return 2;
				if (round % 3 == i % 3)
					kernel_shared_memory::remove(
						name.c_str());
			}
			return 0;
		});
	for (child &each : many)
		EXPECT_EQ(each.wait(), 0);
}

TEST_F(kernel_shared_memory_test, takes_regions_over)
{
	const auto name = fresh_name();
	auto source = region::create(name, 100);
	const int fd = source.native_handle();
	kernel_shared_memory memory(std::move(source));

	EXPECT_FALSE(source);
	EXPECT_EQ(memory.get_mapping_handle().handle, fd);
	EXPECT_STREQ(memory.get_name(), name.c_str());
	EXPECT_EQ(memory.get_mode(), bip::read_write);
	EXPECT_EQ(memory.get_region().info().name(), name);
	EXPECT_EQ(kernel_shared_memory(
			  memory.get_region().reopen(
				  shm_kernel::access_mode::read_only))
			  .get_mode(),
		  bip::read_only);
	EXPECT_EQ(thrown_by([] { kernel_shared_memory{region{}}; }),
		  (failure{EBADF, bip::system_error}));
}

TEST_F(kernel_shared_memory_test, region_0_from_its_node)
{
	kernel_shared_memory memory(
		region::open_node(shm_kernel::control_node));
	const bip::offset_t size = size_of(memory);

	EXPECT_STREQ(memory.get_name(), "region0");
	EXPECT_EQ(thrown_by([&] { memory.truncate(1); }),
		  (failure{EPERM, bip::system_error}));

	/* A node has no st_size, so the length has to be said. */
	const bip::mapped_region view(memory, bip::read_write, 0,
				      static_cast<std::size_t>(size));
	const kernel_shared_memory file(bip::open_only, "region0",
					bip::read_write);
	const bip::mapped_region other(file, bip::read_write);

	EXPECT_EQ(other.get_size(), view.get_size());
	bytes(view)[8] = 'x';
	EXPECT_EQ(bytes(other)[8], 'x');
	bytes(view)[8] = 0;
}

TEST_F(kernel_shared_memory_test, memory_is_there_when_truncate_returns)
{
	const auto name = fresh_name();
	kernel_shared_memory memory(bip::create_only, name.c_str(),
				    bip::read_write);

	memory.truncate(1 << 20);
	EXPECT_GE(memory.get_region().info().allocated(), 1U << 20);
	if (root()) {
		EXPECT_EQ(thrown_by([&] { memory.truncate(1LL << 45); }),
			  (failure{ENOMEM, bip::out_of_memory_error}));
	}
	EXPECT_EQ(size_of(memory), 1 << 20);
}

TEST_F(kernel_shared_memory_test, creator_of_a_forbidding_mode_gets_in)
{
	if (!root())
		GTEST_SKIP() << "only root can become another user";

	const test::open_for_all opened;
	const auto name = fresh_name();

	EXPECT_EQ(child([&] {
			  test::become(65534);

			  const kernel_shared_memory memory(
				  bip::create_only, name.c_str(),
				  bip::read_only, bip::permissions(0));

			  return thrown_by([&] {
					 kernel_shared_memory(bip::open_only,
							      name.c_str(),
							      bip::read_only);
				 }) == failure{EACCES, bip::security_error}
					 ? 0
					 : 1;
		  }).wait(),
		  0);
}
