/* SPDX-License-Identifier: BSL-1.0 */
/*
 * region and region_info
 */

#include "support.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

using shm_kernel::access_mode;
using shm_kernel::capability;
using shm_kernel::create_options;
using shm_kernel::errc;
using shm_kernel::map_mode;
using shm_kernel::mapping;
using shm_kernel::region;
using shm_kernel::region_info;
using shm_kernel::seal;
using test::child;
using test::error_of;
using test::fresh_name;

class region_test : public test::device_test
{
};

namespace {

std::uint32_t word_at(const region &from, std::uint64_t offset)
{
	std::uint32_t word = 0;

	EXPECT_EQ(from.read(offset, &word, sizeof(word)), sizeof(word));
	return word;
}

bool all_zero(const region &from)
{
	std::vector<char> bytes(from.size(), 'x');

	return from.read(0, bytes.data(), bytes.size()) == bytes.size() &&
	       std::all_of(bytes.begin(), bytes.end(),
			   [](char byte) { return !byte; });
}

} // namespace

TEST_F(region_test, created_region_has_exact_size_and_is_zero)
{
	for (const std::uint64_t size :
	     {0U, 1U, 4095U, 4096U, 4097U, 1234567U}) {
		const auto made =
			region::create(create_options{}.set_size(size));

		EXPECT_EQ(made.size(), size);
		EXPECT_TRUE(all_zero(made));
		EXPECT_EQ(made.info().size(), size);
		EXPECT_GE(made.info().allocated(), size);
	}
}

TEST_F(region_test, descriptor_is_close_on_exec_and_read_write)
{
	const auto name = fresh_name();
	const auto made = region::create(name, 1);
	const auto opened = region::open(name, access_mode::read_only);
	const auto node = region::open_node(shm_kernel::control_node,
					    access_mode::read_only);

	for (const region *each : {&made, &opened, &node})
		EXPECT_TRUE(::fcntl(each->native_handle(), F_GETFD) &
			    FD_CLOEXEC);
	EXPECT_EQ(made.access(), access_mode::read_write);
	EXPECT_EQ(opened.access(), access_mode::read_only);
	EXPECT_EQ(node.access(), access_mode::read_only);
}

TEST_F(region_test, opened_region_is_the_same_memory)
{
	const auto name = fresh_name();
	auto made = region::create(name, 100);
	const auto opened = region::open(name);
	char text[6] = {};

	EXPECT_EQ(made.write(95, "hello", 5), 5U);
	EXPECT_EQ(opened.read(95, text, 5), 5U);
	EXPECT_STREQ(text, "hello");
	EXPECT_EQ(made.info().id(), opened.info().id());
}

TEST_F(region_test, leading_slash_is_dropped)
{
	const auto name = fresh_name();
	const auto made = region::create('/' + name, 1);

	EXPECT_EQ(made.info().name(), name);
	EXPECT_TRUE(region::open(name));
	EXPECT_TRUE(region::open('/' + name));
	region::remove('/' + name);
}

TEST_F(region_test, names_of_any_bytes_come_back_exactly)
{
	std::string all;

	for (int byte = 1; byte < 256; ++byte)
		if (byte != '/')
			all += static_cast<char>(byte);
	/* 254 bytes; and these are names as any other. */
	for (const std::string &name :
	     {all, std::string(255, 'x'), std::string("..."), std::string(" "),
	      std::string("\xff\xfe"), std::string("-rf"), std::string("\n"),
	      std::string("region \x1b[31m")}) {
		const auto made = region::create(name, 10);
		const auto listed = region::list();

		EXPECT_EQ(made.info().name(), name);
		EXPECT_EQ(std::count_if(listed.begin(), listed.end(),
					[&](const region_info &each) {
						return each.name() == name;
					}),
			  1);
		EXPECT_EQ(region::open(name).info().id(), made.info().id());
		for (const char byte : made.info().printable_name())
			EXPECT_TRUE(byte >= ' ' && byte <= '~');
		EXPECT_EQ(
			error_of([&](auto &e) { region::create(name, 1, e); }),
			std::error_code(errc::name_exists));
	}
}

TEST_F(region_test, taken_and_missing_names)
{
	const auto name = fresh_name();
	const auto made = region::create(name, 1);
	auto other = region::create(create_options{});

	EXPECT_EQ(error_of([&](auto &e) { region::create(name, 1, e); }),
		  errc::name_exists);
	EXPECT_EQ(error_of([&](auto &e) { other.bind(name, e); }),
		  errc::name_exists);
	EXPECT_EQ(error_of([&](auto &e) {
			  region::open("no " + name, access_mode::read_only, e);
		  }),
		  errc::not_found);
	EXPECT_EQ(error_of([&](auto &e) { region::remove("no " + name, e); }),
		  errc::not_found);
	try {
		region::open("no " + name);
		FAIL() << "opened";
	} catch (const std::system_error &error) {
		EXPECT_EQ(error.code(), errc::not_found);
		EXPECT_NE(std::string(error.what()).find(name),
			  std::string::npos)
			<< error.what();
	}
}

TEST_F(region_test, bind_publishes_once)
{
	const auto name = fresh_name();
	auto made = region::create(create_options{}.set_size(4));

	EXPECT_FALSE(made.info().named());
	made.write(0, "full", 4);
	made.bind('/' + name);
	EXPECT_EQ(made.info().name(), name);
	EXPECT_EQ(error_of([&](auto &e) { made.bind(fresh_name(), e); }),
		  errc::already_named);
	region::remove(name);
	EXPECT_TRUE(made.info().removed());
	EXPECT_EQ(error_of([&](auto &e) { made.bind(name, e); }),
		  errc::already_named);
	EXPECT_EQ(error_of([&](auto &e) { made.bind("a/b", e); }),
		  errc::invalid_name);
}

TEST_F(region_test, bind_needs_a_writable_handle)
{
	const auto made = region::create(create_options{});
	auto readable = made.reopen(access_mode::read_only);

	EXPECT_EQ(error_of([&](auto &e) { readable.bind(fresh_name(), e); }),
		  errc::permission_denied);
	EXPECT_FALSE(made.info().named());
}

TEST_F(region_test, information_is_what_was_asked_for)
{
	const auto name = fresh_name();
	const std::string tag("tag\0\xff", 5);
	const auto made = region::create(create_options{}
						 .set_name(name)
						 .set_size(5000)
						 .set_mode(0640)
						 .set_small_pages()
						 .set_tag(tag));
	const region_info info = made.info();
	std::array<std::byte, shm_kernel::tag_size> expected = {};

	std::memcpy(expected.data(), tag.data(), tag.size());
	EXPECT_GT(info.id(), 0U);
	EXPECT_EQ(info.size(), 5000U);
	EXPECT_EQ(info.allocated(), 8192U);
	EXPECT_EQ(info.mode(), 0640U);
	EXPECT_EQ(info.uid(), ::geteuid());
	EXPECT_EQ(info.gid(), ::getegid());
	EXPECT_EQ(info.files(), 1U);
	EXPECT_EQ(info.mappings(), 0U);
	EXPECT_EQ(info.name(), name);
	EXPECT_EQ(info.tag(), expected);
	EXPECT_FALSE(info.persistent());
	EXPECT_FALSE(info.contiguous());
	EXPECT_TRUE(info.small_pages());
	EXPECT_FALSE(info.boot());
	EXPECT_FALSE(info.removed());
	EXPECT_FALSE(info.revoked());
	EXPECT_FALSE(info.numa_node().has_value());
	EXPECT_TRUE(info.has(capability::futex));
	EXPECT_TRUE(info.has(capability::pin));
	EXPECT_TRUE(info.has(capability::resize));
	EXPECT_FALSE(info.has(capability::contiguous));
	EXPECT_FALSE(info.has(capability::huge_map));

	std::ostringstream text;

	text << info;
	EXPECT_NE(text.str().find(name), std::string::npos) << text.str();
}

TEST_F(region_test, information_counts_files_and_mappings)
{
	const auto name = fresh_name();
	const auto made = region::create(name, 10000);
	{
		const auto second = region::open(name);
		const mapping first_view(made);
		const mapping second_view(second, map_mode::read_only, 4096);

		EXPECT_EQ(made.info().files(), 2U);
		EXPECT_EQ(made.info().mappings(), 2U);
	}
	EXPECT_TRUE(test::eventually([&] {
		return made.info().files() == 1 && made.info().mappings() == 0;
	}));
}

TEST_F(region_test, information_is_a_snapshot_that_can_be_copied)
{
	auto made = region::create(create_options{}.set_size(1));
	const region_info before = made.info();
	region_info copy = before;

	made.resize(2);
	EXPECT_EQ(copy.size(), 1U);
	copy = made.info();
	EXPECT_EQ(copy.size(), 2U);
	EXPECT_EQ(before.size(), 1U);
}

TEST_F(region_test, list_has_named_and_unnamed_regions)
{
	std::vector<region> many;
	std::vector<std::uint64_t> ids;

	/* More than one page of the kernel's answer. */
	for (int i = 0; i < 150; ++i) {
		many.push_back(region::create(
			i % 2 ? create_options{}.set_name(fresh_name())
			      : create_options{}));
		ids.push_back(many.back().info().id());
	}

	const auto listed = region::list();
	std::vector<std::uint64_t> all;

	for (const region_info &each : listed)
		all.push_back(each.id());
	EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
	EXPECT_TRUE(
		std::includes(all.begin(), all.end(), ids.begin(), ids.end()));
	EXPECT_EQ(listed.front().name(), "region0");
	EXPECT_TRUE(listed.front().boot());

	many.clear();
	EXPECT_TRUE(test::eventually([&] {
		return region::list().size() + ids.size() <= listed.size();
	})) << "a list keeps nothing alive";
}

TEST_F(region_test, read_stops_at_the_end)
{
	const auto made = region::create(create_options{}.set_size(10));
	char bytes[20];

	EXPECT_EQ(made.read(0, bytes, sizeof(bytes)), 10U);
	EXPECT_EQ(made.read(7, bytes, sizeof(bytes)), 3U);
	EXPECT_EQ(made.read(10, bytes, sizeof(bytes)), 0U);
	EXPECT_EQ(made.read(1U << 30, bytes, sizeof(bytes)), 0U);
	EXPECT_EQ(made.read(0, nullptr, 0), 0U);
	EXPECT_EQ(error_of([&](auto &e) {
			  made.read(~std::uint64_t{0}, bytes, 1, e);
		  }),
		  std::errc::invalid_argument);
	EXPECT_EQ(error_of([&](auto &e) {
			  made.read(0, reinterpret_cast<void *>(8), 1, e);
		  }),
		  std::errc::bad_address);
}

TEST_F(region_test, write_past_the_end_tells_how_much_fitted)
{
	auto made = region::create(create_options{}.set_size(10));
	std::error_code error;
	char text[11] = {};

	EXPECT_EQ(made.write(7, "abcdef", 6, error), 3U);
	EXPECT_EQ(error, errc::past_end);
	EXPECT_EQ(made.write(10, "x", 1, error), 0U);
	EXPECT_EQ(error, errc::past_end);
	EXPECT_EQ(made.write(10, "", 0, error), 0U);
	EXPECT_FALSE(error);
	EXPECT_EQ(made.size(), 10U);
	made.read(0, text, 10);
	EXPECT_EQ(std::string(text + 7, 3), "abc");
	EXPECT_THROW(made.write(9, "xy", 2), std::system_error);
}

TEST_F(region_test, large_transfer_is_whole)
{
	constexpr std::size_t size = 3 << 20;
	auto made = region::create(create_options{}.set_size(size + 1));
	std::vector<unsigned char> out(size), in(size);

	for (std::size_t i = 0; i < size; ++i)
		out[i] = static_cast<unsigned char>(i * 7 + i / 4096);
	EXPECT_EQ(made.write(1, out.data(), size), size);
	EXPECT_EQ(made.read(1, in.data(), size), size);
	EXPECT_TRUE(in == out);
}

TEST_F(region_test, resize_keeps_what_remains_and_adds_zeroes)
{
	auto made = region::create(create_options{}.set_size(3));
	char bytes[9000];

	made.write(0, "abc", 3);
	made.resize(2);
	made.resize(9000);
	EXPECT_EQ(made.size(), 9000U);
	made.read(0, bytes, sizeof(bytes));
	EXPECT_EQ(bytes[0], 'a');
	EXPECT_EQ(bytes[1], 'b');
	EXPECT_TRUE(std::all_of(bytes + 2, bytes + sizeof(bytes),
				[](char byte) { return !byte; }));
	made.resize(0);
	EXPECT_EQ(made.size(), 0U);
	made.resize(1);
	EXPECT_TRUE(all_zero(made));
}

TEST_F(region_test, impossible_sizes_change_nothing)
{
	auto made = region::create(create_options{}.set_size(5));
	const std::uint64_t huge = ~std::uint64_t{0};

	EXPECT_EQ(error_of([&](auto &e) { made.resize(huge, e); }),
		  std::errc::file_too_large);
	EXPECT_TRUE(error_of([&](auto &e) { made.resize(huge / 2, e); }));
	EXPECT_TRUE(error_of([&](auto &e) {
		region::create(create_options{}.set_size(huge), e);
	}));
	EXPECT_TRUE(error_of([&](auto &e) {
		region::create(create_options{}.set_size(huge / 2), e);
	}));
	EXPECT_EQ(made.size(), 5U);
}

TEST_F(region_test, impossible_options_are_refused)
{
	const auto name = fresh_name();

	EXPECT_EQ(
		error_of([&](auto &e) {
			region::create(
				create_options{}.set_name(name).set_mode(01777),
				e);
		}),
		std::errc::invalid_argument);
	EXPECT_EQ(error_of([&](auto &e) {
			  region::create(
				  create_options{}.set_name(name).set_numa_node(
					  -2),
				  e);
		  }),
		  std::errc::invalid_argument);
	EXPECT_EQ(error_of([&](auto &e) {
			  region::create(
				  create_options{}.set_name(name).set_numa_node(
					  1 << 20),
				  e);
		  }),
		  std::errc::invalid_argument);
	EXPECT_EQ(error_of([&](auto &e) {
			  region::create(create_options{}.set_name("a/b"), e);
		  }),
		  errc::invalid_name);
	EXPECT_EQ(error_of([&](auto &e) {
			  region::open(name, access_mode::read_only, e);
		  }),
		  errc::not_found);
}

TEST_F(region_test, numa_node_is_kept)
{
	const auto made =
		region::create(create_options{}.set_size(1).set_numa_node(0));

	EXPECT_EQ(made.info().numa_node(), 0);
}

TEST_F(region_test, contiguous_region_is_fixed_in_size)
{
	auto made = region::create(
		create_options{}.set_size(100000).set_contiguous());

	EXPECT_TRUE(made.info().contiguous());
	EXPECT_TRUE(made.info().has(capability::contiguous));
	EXPECT_FALSE(made.info().has(capability::resize));
	EXPECT_EQ(error_of([&](auto &e) { made.resize(1, e); }),
		  errc::fixed_size);
	EXPECT_EQ(error_of([&](auto &e) { made.resize(200000, e); }),
		  errc::fixed_size);
	EXPECT_EQ(made.size(), 100000U);
	EXPECT_TRUE(all_zero(made));
}

TEST_F(region_test, seals_forbid_what_they_say)
{
	auto made = region::create(create_options{}.set_size(5000));
	const auto info = made.info();

	EXPECT_EQ(info.seals(), seal::none);
	EXPECT_FALSE(info.has(seal::shrink));
	EXPECT_TRUE(info.has(capability::resize));
	EXPECT_FALSE(info.has(capability::kernel_mapped));

	made.add_seals(seal::shrink);
	EXPECT_EQ(made.info().seals(), seal::shrink);
	EXPECT_EQ(error_of([&](auto &e) { made.resize(4999, e); }),
		  errc::sealed);
	EXPECT_EQ(error_of([&](auto &e) { made.resize(0, e); }), errc::sealed);
	EXPECT_EQ(made.size(), 5000U);
	made.resize(5000);
	made.resize(9000);
	EXPECT_EQ(error_of([&](auto &e) { made.resize(5000, e); }),
		  errc::sealed);
	EXPECT_TRUE(made.info().has(capability::resize));
	/* What is in it may change. */
	made.write(0, "x", 1);
	made.clear();
	made.reset();
	made.chmod(0640);

	/* Once more is nothing new, and they add up. */
	made.add_seals(seal::shrink);
	made.add_seals(seal::none);
	EXPECT_EQ(made.info().seals(), seal::shrink);
	made.add_seals(seal::grow);
	EXPECT_EQ(made.info().seals(), seal::shrink | seal::grow);
	EXPECT_TRUE(made.info().has(seal::shrink | seal::grow));
	EXPECT_FALSE(made.info().has(seal::shrink | seal::seal));
	EXPECT_EQ(error_of([&](auto &e) { made.resize(9001, e); }),
		  errc::sealed);
	made.resize(9000);
	EXPECT_FALSE(made.info().has(capability::resize));

	std::ostringstream text;

	text << made.info();
	EXPECT_NE(text.str().find(", shrink sealed, grow sealed"),
		  std::string::npos)
		<< text.str();
	EXPECT_EQ(info.seals(), seal::none) << "a snapshot changed";
}

TEST_F(region_test, grow_seal_alone_lets_it_shrink)
{
	auto made = region::create(create_options{}.set_size(5000));

	made.add_seals(seal::grow);
	EXPECT_EQ(error_of([&](auto &e) { made.resize(5001, e); }),
		  errc::sealed);
	made.resize(100);
	EXPECT_EQ(made.size(), 100U);
	EXPECT_EQ(error_of([&](auto &e) { made.resize(5000, e); }),
		  errc::sealed);
	/* No way around: a write behind the end does not make it larger. */
	EXPECT_EQ(error_of([&](auto &e) { made.write(100, "x", 1, e); }),
		  errc::past_end);
}

TEST_F(region_test, seals_are_of_the_region_and_for_good)
{
	const auto name = fresh_name();
	auto made = region::create(name, 4096);
	auto other = region::open(name);

	made.add_seals(seal::shrink | seal::seal);
	EXPECT_EQ(other.info().seals(), seal::shrink | seal::seal);
	EXPECT_EQ(error_of([&](auto &e) { other.resize(1, e); }), errc::sealed);
	EXPECT_EQ(error_of([&](auto &e) { other.add_seals(seal::grow, e); }),
		  errc::sealed);
	EXPECT_EQ(error_of([&](auto &e) { other.add_seals(seal::grow, e); }),
		  std::errc::operation_not_permitted);
	EXPECT_THROW(made.add_seals(seal::shrink), std::system_error);
	EXPECT_EQ(other.info().seals(), seal::shrink | seal::seal);
	other.resize(8192);

	/* Nor is truncation by open() a way. */
	const std::string path =
		"/proc/self/fd/" + std::to_string(made.native_handle());
	const int fd = ::open(path.c_str(), O_RDWR | O_TRUNC | O_CLOEXEC);

	EXPECT_EQ(fd, -1);
	EXPECT_EQ(errno, EPERM);
	EXPECT_EQ(made.size(), 8192U);

	/* A later region of that name is another one. */
	region::remove(name);
	EXPECT_EQ(region::create(name, 1).info().seals(), seal::none);
}

TEST_F(region_test, write_seals)
{
	for (const seal which : {seal::write, seal::future_write}) {
		const bool now = which == seal::write;
		auto made = region::create(create_options{}.set_size(5000));
		shm_kernel::mapping before(made);
		char byte = 0;

		made.write(4999, "x", 1);
		EXPECT_EQ(error_of([&](auto &e) { made.add_seals(which, e); }),
			  now ? errc::busy : std::error_code());
		static_cast<char *>(before.data())[0] = 'y';
		before = shm_kernel::mapping();
		made.add_seals(which);
		EXPECT_TRUE(made.info().has(which));

		EXPECT_EQ(error_of([&](auto &e) { made.write(0, "z", 1, e); }),
			  errc::sealed);
		EXPECT_EQ(error_of([&](auto &e) { made.clear(e); }),
			  errc::sealed);
		EXPECT_EQ(error_of([&](auto &e) { made.reset(e); }),
			  errc::sealed);
		EXPECT_EQ(error_of([&](auto &e) {
				  shm_kernel::mapping(
					  made, map_mode::read_write, 0, 0, e);
			  }),
			  errc::sealed);
		shm_kernel::mapping after(made, map_mode::read_only);
		shm_kernel::mapping own(made, map_mode::copy_on_write);

		static_cast<char *>(own.data())[0] = 'o';
		EXPECT_EQ(static_cast<char *>(after.data())[0], 'y');
		EXPECT_EQ(static_cast<char *>(after.data())[4999], 'x');
		EXPECT_EQ(::mprotect(after.data(), after.size(),
				     PROT_READ | PROT_WRITE),
			  -1);
		EXPECT_EQ(errno, EACCES);
		made.read(0, &byte, 1);
		EXPECT_EQ(byte, 'y');

		std::ostringstream text;

		text << made.info();
		EXPECT_NE(text.str().find(now ? ", write sealed"
					      : ", future_write sealed"),
			  std::string::npos)
			<< text.str();
	}
}

TEST_F(region_test, seals_need_a_writable_handle_and_a_meaning)
{
	const auto made = region::create(create_options{}.set_size(4096));
	auto reader = made.reopen(access_mode::read_only);
	auto writer = made.reopen(access_mode::read_write);

	EXPECT_EQ(error_of([&](auto &e) { reader.add_seals(seal::grow, e); }),
		  errc::permission_denied);
	EXPECT_EQ(error_of([&](auto &e) {
			  writer.add_seals(static_cast<seal>(1U << 31), e);
		  }),
		  std::errc::invalid_argument);
	EXPECT_EQ(made.info().seals(), seal::none);
}

TEST_F(region_test, resize_tells_seals_from_sizes_fixed_from_birth)
{
	auto contiguous = region::create(
		create_options{}.set_size(8192).set_contiguous());

	contiguous.add_seals(seal::shrink);
	EXPECT_EQ(error_of([&](auto &e) { contiguous.resize(1, e); }),
		  errc::fixed_size);
	EXPECT_EQ(contiguous.info().seals(), seal::shrink);
}

TEST_F(region_test, clear_and_reset_zero_it)
{
	auto made = region::create(create_options{}.set_size(5000));

	made.write(4990, "0123456789", 10);
	made.clear();
	EXPECT_TRUE(all_zero(made));
	made.write(0, "x", 1);
	made.reset();
	EXPECT_TRUE(all_zero(made));
	EXPECT_EQ(made.size(), 5000U);
}

TEST_F(region_test, read_only_handle_changes_nothing)
{
	const auto made = region::create(create_options{}.set_size(5));
	auto readable = made.reopen(access_mode::read_only);
	const std::error_code denied = errc::permission_denied;

	EXPECT_EQ(error_of([&](auto &e) { readable.write(0, "x", 1, e); }),
		  denied);
	EXPECT_EQ(error_of([&](auto &e) { readable.clear(e); }), denied);
	EXPECT_EQ(error_of([&](auto &e) { readable.reset(e); }), denied);
	EXPECT_EQ(error_of([&](auto &e) { readable.resize(1, e); }), denied);
	EXPECT_TRUE(all_zero(made));
	EXPECT_EQ(made.size(), 5U);
	EXPECT_EQ(readable.info().id(), made.info().id());
}

TEST_F(region_test, adopt_takes_regions_over)
{
	auto made = region::create(create_options{}.set_size(5));
	const int fd = made.release();

	EXPECT_FALSE(made);

	auto adopted = region::adopt(fd);

	EXPECT_EQ(adopted.native_handle(), fd);
	EXPECT_EQ(adopted.size(), 5U);
	adopted.close();
	EXPECT_FALSE(adopted);
	EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST_F(region_test, moves_and_swaps)
{
	auto first = region::create(create_options{}.set_size(1));
	auto second = region::create(create_options{}.set_size(2));

	swap(first, second);
	EXPECT_EQ(first.size(), 2U);
	EXPECT_EQ(second.size(), 1U);

	const int replaced = first.native_handle();

	first = std::move(second);
	EXPECT_EQ(first.size(), 1U);
	EXPECT_FALSE(second);
	EXPECT_EQ(::fcntl(replaced, F_GETFD), -1);

	region &self = first;

	first = std::move(self);
	EXPECT_EQ(first.size(), 1U);

	const region third(std::move(first));

	EXPECT_FALSE(first);
	EXPECT_EQ(third.size(), 1U);
}

TEST_F(region_test, descriptor_travels_over_a_socket)
{
	int pair[2];

	ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
		  0);

	/* Nobody else can find this region, and the peer may only read. */
	child peer([&] {
		alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
		char byte;
		struct iovec data = {&byte, 1};
		struct msghdr message = {};
		int fd = -1;

		message.msg_iov = &data;
		message.msg_iovlen = 1;
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		if (::recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC) != 1)
			return 1;

		const struct cmsghdr *header = CMSG_FIRSTHDR(&message);

		if (!header || header->cmsg_type != SCM_RIGHTS)
			return 2;
		std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));

		auto received = region::adopt(fd);
		char text[6] = {};

		received.read(0, text, 5);
		if (std::string(text) != "hello")
			return 3;
		if (error_of([&](auto &e) { received.write(0, "x", 1, e); }) !=
		    errc::permission_denied)
			return 4;
		if (error_of([&](auto &e) {
			    mapping(received, map_mode::read_write, 0, 0, e);
		    }) != errc::permission_denied)
			return 5;
		return 0;
	});

	auto made = region::create(create_options{}.set_size(100));
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
	char byte = 0;
	struct iovec data = {&byte, 1};
	struct msghdr message = {};

	made.write(0, "hello", 5);
	{
		const auto readable = made.reopen(access_mode::read_only);
		const int fd = readable.native_handle();

		message.msg_iov = &data;
		message.msg_iovlen = 1;
		message.msg_control = control;
		message.msg_controllen = sizeof(control);

		struct cmsghdr *header = CMSG_FIRSTHDR(&message);

		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(fd));
		std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
		ASSERT_EQ(::sendmsg(pair[0], &message, 0), 1);
	}
	made.close();
	EXPECT_EQ(peer.wait(), 0);
	::close(pair[0]);
	::close(pair[1]);
}

TEST_F(region_test, region_0_has_its_words)
{
	auto zero = region::open_node(shm_kernel::control_node);

	EXPECT_TRUE(zero.info().boot());
	EXPECT_EQ(zero.info().name(), "region0");
	EXPECT_EQ(zero.size(), zero.info().size());
	ASSERT_GE(zero.size(), 0x104U);
	zero.write(0, "overwritten", 11);
	zero.clear();
	EXPECT_TRUE(all_zero(zero));
	zero.reset();
	EXPECT_EQ(word_at(zero, 0), 0x1111U);
	EXPECT_EQ(word_at(zero, 0x100), 0x2222U);
	EXPECT_EQ(word_at(zero, 4), 0U);
	/* And it is a region file as well, of the same memory. */
	EXPECT_EQ(word_at(region::open("region0"), 0x100), 0x2222U);
	EXPECT_EQ(region::open("region0").info().id(), zero.info().id());
}

TEST_F(region_test, boot_regions_keep_name_size_and_life)
{
	auto file = region::open("region0");
	auto node = region::open_node(shm_kernel::control_node);

	EXPECT_EQ(error_of([&](auto &e) { file.resize(1, e); }),
		  errc::fixed_size);
	EXPECT_EQ(error_of([&](auto &e) { node.resize(1, e); }),
		  errc::fixed_size);
	EXPECT_EQ(error_of([&](auto &e) { node.bind(fresh_name(), e); }),
		  errc::already_named);
	EXPECT_EQ(error_of([&](auto &e) { region::remove("region0", e); }),
		  errc::not_permitted);
	EXPECT_EQ(error_of([&](auto &e) { node.revoke(e); }),
		  errc::not_permitted);
	EXPECT_EQ(error_of([&](auto &e) { node.write(node.size(), "", 1, e); }),
		  errc::past_end);
	EXPECT_TRUE(region::open("region0"));
}

TEST_F(region_test, revoked_region_is_gone_for_everybody)
{
	if (!root())
		GTEST_SKIP() << "only root may revoke";

	const auto name = fresh_name();
	auto made = region::create(name, 5000);
	auto peer = region::open(name);
	const std::error_code revoked = errc::revoked;
	char byte = 0;

	made.revoke();
	EXPECT_EQ(error_of([&](auto &e) { made.add_seals(seal::shrink, e); }),
		  errc::revoked);
	EXPECT_EQ(error_of([&](auto &e) {
			  region::open(name, access_mode::read_only, e);
		  }),
		  errc::not_found);
	EXPECT_EQ(peer.size(), 0U);
	EXPECT_EQ(error_of([&](auto &e) { peer.read(0, &byte, 1, e); }),
		  revoked);
	EXPECT_EQ(error_of([&](auto &e) { peer.write(0, &byte, 1, e); }),
		  revoked);
	EXPECT_EQ(error_of([&](auto &e) { peer.resize(1, e); }), revoked);
	EXPECT_EQ(error_of([&](auto &e) { peer.clear(e); }), revoked);
	EXPECT_EQ(error_of([&](auto &e) { peer.revoke(e); }), revoked);
	EXPECT_EQ(error_of([&](auto &e) {
			  mapping(peer, map_mode::read_write, 0, 1, e);
		  }),
		  revoked);
	EXPECT_TRUE(peer.info().revoked());
	/* The name is free for another. */
	EXPECT_TRUE(region::create(name, 1));
}

TEST_F(region_test, mode_and_owner_decide_who_opens)
{
	if (!root())
		GTEST_SKIP() << "only root can become another user";

	const test::open_for_all opened;
	const auto name = fresh_name();
	auto made = region::create(name, 10);
	const auto as_user = [&](const std::function<int()> &run) {
		return child([&] {
			       test::become(65534);
			       return run();
		       })
			.wait();
	};
	const auto try_open = [&](access_mode mode) {
		return as_user([&] {
			const auto error = error_of(
				[&](auto &e) { region::open(name, mode, e); });

			return !error                             ? 0
			       : error == errc::permission_denied ? 1
								  : 2;
		});
	};

	EXPECT_EQ(try_open(access_mode::read_only), 1);
	made.chmod(0604);
	EXPECT_EQ(made.info().mode(), 0604U);
	EXPECT_EQ(try_open(access_mode::read_only), 0);
	EXPECT_EQ(try_open(access_mode::read_write), 1);
	made.chmod(0606);
	EXPECT_EQ(try_open(access_mode::read_write), 0);

	/* Writing is not owning. */
	EXPECT_EQ(as_user([&] {
			  auto mine = region::open(name);

			  if (error_of([&](auto &e) {
				      region::remove(name, e);
			      }) != errc::permission_denied)
				  return 1;
			  if (error_of([&](auto &e) { mine.chmod(0666, e); }) !=
			      errc::not_permitted)
				  return 2;
			  if (error_of([&](auto &e) { mine.chown(0, 0, e); }) !=
			      errc::not_permitted)
				  return 3;
			  if (error_of([&](auto &e) { mine.revoke(e); }) !=
			      errc::not_permitted)
				  return 4;
			  return 0;
		  }),
		  0);

	made.chmod(0600);
	made.chown(65534, 65534);
	EXPECT_EQ(made.info().uid(), 65534U);
	EXPECT_EQ(try_open(access_mode::read_write), 0);
	made.chown(static_cast<uid_t>(-1), 0);
	EXPECT_EQ(made.info().uid(), 65534U);
	EXPECT_EQ(made.info().gid(), 0U);
	EXPECT_EQ(as_user([&] {
			  region::remove(name);
			  return 0;
		  }),
		  0);
	EXPECT_TRUE(made.info().removed());
}

TEST_F(region_test, list_shows_what_one_may_read_or_owns)
{
	if (!root())
		GTEST_SKIP() << "only root can become another user";

	const test::open_for_all opened;
	const auto secret = fresh_name(), shown = fresh_name();
	const auto first = region::create(secret, 1);
	const auto second =
		region::create(create_options{}.set_name(shown).set_mode(0604));

	EXPECT_EQ(child([&] {
			  test::become(65534);

			  const auto mine =
				  region::create(create_options{}.set_mode(0));
			  const auto id = mine.info().id();
			  int seen = 0;

			  for (const region_info &each : region::list())
				  if (each.name() == secret)
					  return 100;
				  else if (each.name() == shown ||
					   each.id() == id)
					  ++seen;
			  return seen;
		  }).wait(),
		  2);
}

TEST_F(region_test, reopen_checks_the_mode_again)
{
	if (!root())
		GTEST_SKIP() << "only root can become another user";

	auto made = region::create(create_options{}.set_mode(0604));
	const auto readable = made.reopen(access_mode::read_only);

	EXPECT_EQ(child([&] {
			  test::become(65534);
			  return error_of([&](auto &e) {
					 readable.reopen(
						 access_mode::read_write, e);
				 }) == errc::permission_denied &&
						 readable.reopen(
							 access_mode::read_only)
					 ? 0
					 : 1;
		  }).wait(),
		  0);
}

namespace {

int opens_as(const std::error_code &expected)
{
	const std::error_code found[] = {
		error_of([](auto &e) { region::create("x", 1, e); }),
		error_of([](auto &e) {
			region::open("x", access_mode::read_only, e);
		}),
		error_of([](auto &e) { region::remove("x", e); }),
		error_of([](auto &e) { region::list(e); }),
		error_of([](auto &e) {
			region::open_node(shm_kernel::control_node,
					  access_mode::read_only, e);
		}),
	};
	int number = 0;

	for (const std::error_code &each : found) {
		++number;
		if (each != expected)
			return number;
	}
	return 0;
}

} // namespace

TEST_F(region_test, missing_and_wrong_nodes_are_told_apart)
{
	if (!root())
		GTEST_SKIP() << "only root can have another /dev";

	const auto node = [](unsigned int major, unsigned int minor) {
		return ::mknod(shm_kernel::control_node, S_IFCHR | 0600,
			       makedev(major, minor));
	};

	EXPECT_EQ(test::with_empty_dev(
			  [] { return opens_as(errc::device_missing); }),
		  0);
	/* A node that was left behind, with nothing behind it. */
	EXPECT_EQ(test::with_empty_dev([&] {
			  return node(10, 4095)
					 ? 201
					 : opens_as(errc::device_missing);
		  }),
		  0);
	/* What is there instead is /dev/null. */
	EXPECT_EQ(test::with_empty_dev([&] {
			  return node(1, 3) ? 201
					    : opens_as(errc::not_a_region);
		  }),
		  0);
	EXPECT_EQ(test::with_empty_dev([&] {
			  if (node(1, 3))
				  return 201;
			  test::become(65534);
			  return opens_as(errc::device_denied);
		  }),
		  0);
}
