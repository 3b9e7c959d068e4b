/* SPDX-License-Identifier: BSL-1.0 */
/*
 * mapping
 */

#include "support.hpp"

#include <cstring>

#include <sys/mman.h>

using shm_kernel::access_mode;
using shm_kernel::create_options;
using shm_kernel::errc;
using shm_kernel::map_mode;
using shm_kernel::mapping;
using shm_kernel::region;
using test::child;
using test::error_of;

class mapping_test : public test::device_test
{
};

namespace {

char *bytes(const mapping &from)
{
	return static_cast<char *>(from.data());
}

/* The signal that a process dies of when it stores to @where. */
int store_signal(char *where)
{
	return -child([&] {
			*const_cast<volatile char *>(where) = 'x';
			return 0;
		}).wait();
}

int load_signal(const char *where)
{
	return -child([&] {
			static_cast<void>(
				*const_cast<const volatile char *>(where));
			return 0;
		}).wait();
}

} // namespace

TEST_F(mapping_test, shares_the_region)
{
	auto made = region::create(create_options{}.set_size(5000));
	const mapping first(made);
	const mapping second(made);
	char text[3] = {};

	EXPECT_EQ(first.size(), 5000U);
	std::memcpy(bytes(first) + 4998, "ab", 2);
	EXPECT_EQ(std::memcmp(bytes(second) + 4998, "ab", 2), 0);
	made.read(4998, text, 2);
	EXPECT_STREQ(text, "ab");
	made.write(0, "c", 1);
	EXPECT_EQ(bytes(second)[0], 'c');
}

TEST_F(mapping_test, any_offset_and_size)
{
	auto made = region::create(create_options{}.set_size(12345));

	for (int i = 0; i < 12345; ++i)
		made.write(static_cast<std::uint64_t>(i), &i, 1);
	for (const std::uint64_t offset :
	     {0U, 1U, 4095U, 4096U, 5000U, 12344U}) {
		const mapping rest(made, map_mode::read_only, offset);
		const mapping one(made, map_mode::read_only, offset, 1);

		EXPECT_EQ(rest.size(), 12345 - offset);
		EXPECT_EQ(bytes(rest)[0], static_cast<char>(offset));
		EXPECT_EQ(bytes(rest)[rest.size() - 1],
			  static_cast<char>(12344));
		EXPECT_EQ(one.size(), 1U);
		EXPECT_EQ(bytes(one)[0], static_cast<char>(offset));
	}
}

TEST_F(mapping_test, nothing_left_is_past_the_end)
{
	const auto made = region::create(create_options{}.set_size(100));
	const auto empty = region::create(create_options{});
	const std::error_code past = errc::past_end;

	EXPECT_EQ(error_of([&](auto &e) {
			  mapping(made, map_mode::read_only, 100, 0, e);
		  }),
		  past);
	EXPECT_EQ(error_of([&](auto &e) {
			  mapping(made, map_mode::read_only, 1 << 30, 0, e);
		  }),
		  past);
	EXPECT_EQ(error_of([&](auto &e) {
			  mapping(empty, map_mode::read_only, 0, 0, e);
		  }),
		  past);
	EXPECT_TRUE(error_of([&](auto &e) {
		mapping(made, map_mode::read_only, 1,
			~static_cast<std::size_t>(0), e);
	}));
	EXPECT_TRUE(error_of([&](auto &e) {
		mapping(made, map_mode::read_only, ~std::uint64_t{0}, 1, e);
	}));
}

TEST_F(mapping_test, read_only_cannot_be_written)
{
	const auto made = region::create(create_options{}.set_size(100));
	const mapping view(made, map_mode::read_only);

	EXPECT_EQ(store_signal(bytes(view)), SIGSEGV);
	/* The handle may write, so this mapping may be made writable. */
	EXPECT_EQ(::mprotect(view.data(), view.size(), PROT_READ | PROT_WRITE),
		  0);
}

TEST_F(mapping_test, read_only_handle_cannot_be_mapped_for_writing)
{
	const auto made = region::create(create_options{}.set_size(100));
	const auto readable = made.reopen(access_mode::read_only);
	const mapping view(readable, map_mode::read_only);

	EXPECT_EQ(error_of([&](auto &e) {
			  mapping(readable, map_mode::read_write, 0, 0, e);
		  }),
		  errc::permission_denied);
	EXPECT_EQ(::mprotect(view.data(), view.size(), PROT_READ | PROT_WRITE),
		  -1);
	EXPECT_EQ(errno, EACCES);
}

TEST_F(mapping_test, copy_on_write_is_private)
{
	auto made = region::create(create_options{}.set_size(8192));
	const auto readable = made.reopen(access_mode::read_only);
	const mapping own(readable, map_mode::copy_on_write);
	const mapping shared(made);

	bytes(own)[0] = 'x';
	EXPECT_EQ(bytes(shared)[0], 0);
	bytes(shared)[0] = 'y';
	EXPECT_EQ(bytes(own)[0], 'x');
	/* A page that was not stored to still shows the region. */
	bytes(shared)[4096] = 'z';
	EXPECT_EQ(bytes(own)[4096], 'z');
}

TEST_F(mapping_test, outlives_handle_and_name)
{
	const auto name = test::fresh_name();
	mapping view;
	{
		const auto made = region::create(name, 100);

		view = mapping(made);
	}
	bytes(view)[99] = 'x';
	/* It keeps the name, too. */
	EXPECT_EQ(region::open(name).info().mappings(), 1U);
	region::remove(name);
	EXPECT_EQ(bytes(view)[99], 'x');
	view.unmap();
	EXPECT_FALSE(view);
}

TEST_F(mapping_test, moves_and_swaps)
{
	auto made = region::create(create_options{}.set_size(2));
	mapping first(made);
	mapping second(made, map_mode::read_only, 1);

	made.write(0, "ab", 2);
	swap(first, second);
	EXPECT_EQ(bytes(first)[0], 'b');
	EXPECT_EQ(bytes(second)[0], 'a');
	first = std::move(second);
	EXPECT_EQ(bytes(first)[0], 'a');
	EXPECT_FALSE(second);

	mapping &self = first;

	first = std::move(self);
	EXPECT_EQ(bytes(first)[0], 'a');

	const mapping third(std::move(first));

	EXPECT_EQ(bytes(third)[0], 'a');
	EXPECT_EQ(made.info().mappings(), 1U);
}

TEST_F(mapping_test, room_to_grow_into)
{
	auto made = region::create(create_options{}.set_size(4096));
	const mapping view(made, map_mode::read_write, 0, 1 << 20);

	EXPECT_EQ(view.size(), 1U << 20);
	EXPECT_EQ(load_signal(bytes(view) + 4096), SIGBUS);
	made.resize(1 << 20);
	EXPECT_EQ(bytes(view)[(1 << 20) - 1], 0);
	bytes(view)[(1 << 20) - 1] = 'x';
	made.resize(4097);
	EXPECT_EQ(load_signal(bytes(view) + 4096), 0);
	EXPECT_EQ(load_signal(bytes(view) + 8192), SIGBUS);
	made.resize(1 << 20);
	EXPECT_EQ(bytes(view)[(1 << 20) - 1], 0);
}

TEST_F(mapping_test, device_node_is_mapped_inside_its_size)
{
	const auto zero = region::open_node(shm_kernel::control_node);
	const auto file = region::open("region0");
	const mapping from_node(zero);
	const mapping from_file(file);

	EXPECT_EQ(from_node.size(), zero.size());
	bytes(from_node)[8] = 'n';
	EXPECT_EQ(bytes(from_file)[8], 'n');
	bytes(from_file)[8] = 0;
	EXPECT_EQ(error_of([&](auto &e) {
			  mapping(zero, map_mode::read_only, 0,
				  zero.size() + 4096, e);
		  }),
		  std::errc::invalid_argument);
}

TEST_F(mapping_test, revoked_memory_is_sigbus_and_private_copies_stay)
{
	if (!root())
		GTEST_SKIP() << "only root may revoke";

	auto made = region::create(create_options{}.set_size(8192));
	const mapping shared(made);
	const mapping own(made, map_mode::copy_on_write);

	bytes(shared)[0] = 'a';
	bytes(own)[0] = 'b';
	made.revoke();
	EXPECT_EQ(load_signal(bytes(shared)), SIGBUS);
	EXPECT_EQ(store_signal(bytes(shared) + 4096), SIGBUS);
	EXPECT_EQ(load_signal(bytes(own) + 4096), SIGBUS);
	EXPECT_EQ(bytes(own)[0], 'b');
}
