/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Handles without a region, names that cannot be, files that are no regions:
 * needs no driver
 */

#include "support.hpp"

#include <sstream>
#include <type_traits>

#include <fcntl.h>

using shm_kernel::access_mode;
using shm_kernel::errc;
using shm_kernel::event_counts;
using shm_kernel::event_mode;
using shm_kernel::events;
using shm_kernel::map_mode;
using shm_kernel::mapping;
using shm_kernel::region;
using shm_kernel::region_info;
using shm_kernel::seal;
using test::error_of;

static_assert(!std::is_copy_constructible_v<region>);
static_assert(!std::is_copy_assignable_v<region>);
static_assert(std::is_nothrow_move_constructible_v<region>);
static_assert(std::is_nothrow_move_assignable_v<region>);
static_assert(std::is_nothrow_swappable_v<region>);
static_assert(!std::is_copy_constructible_v<mapping>);
static_assert(std::is_nothrow_move_constructible_v<mapping>);
static_assert(std::is_nothrow_move_assignable_v<mapping>);
static_assert(std::is_nothrow_swappable_v<mapping>);
static_assert(std::is_nothrow_copy_constructible_v<region_info>);
static_assert(!std::is_copy_constructible_v<events>);
static_assert(!std::is_copy_assignable_v<events>);
static_assert(std::is_nothrow_move_constructible_v<events>);
static_assert(std::is_nothrow_move_assignable_v<events>);
static_assert(std::is_nothrow_swappable_v<events>);
static_assert(std::is_trivially_copyable_v<event_counts>);

TEST(handle, empty_region_says_so)
{
	region none;
	char byte = 0;

	EXPECT_FALSE(none);
	EXPECT_EQ(none.native_handle(), -1);
	EXPECT_EQ(none.release(), -1);
	none.close();

	const std::error_code empty = errc::empty_handle;

	EXPECT_EQ(error_of([&](auto &e) { none.size(e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.resize(1, e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.info(e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.clear(e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.reset(e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.revoke(e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.add_seals(seal::grow, e); }),
		  empty);
	EXPECT_EQ(error_of([&](auto &e) {
			  events(none, event_mode::blocking, e);
		  }),
		  empty);
	EXPECT_EQ(error_of([&](auto &e) { none.bind("x", e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.read(0, &byte, 1, e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.write(0, &byte, 1, e); }),
		  empty);
	EXPECT_EQ(error_of([&](auto &e) { none.chmod(0600, e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.chown(0, 0, e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.access(e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) {
			  none.reopen(access_mode::read_only, e);
		  }),
		  empty);
	EXPECT_EQ(error_of([&](auto &e) { region::adopt(-1, e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) {
			  mapping(none, map_mode::read_only, 0, 0, e);
		  }),
		  empty);
	EXPECT_EQ(error_of([&](auto &e) {
			  mapping(none, map_mode::read_only, 0, 1, e);
		  }),
		  empty);
	EXPECT_THROW(none.size(), std::system_error);
	EXPECT_THROW(mapping{none}, std::system_error);
}

TEST(handle, empty_events_say_so)
{
	const std::error_code empty = errc::empty_handle;
	events none;

	EXPECT_FALSE(none);
	EXPECT_EQ(none.native_handle(), -1);
	EXPECT_EQ(none.release(), -1);
	none.close();
	EXPECT_EQ(error_of([&](auto &e) { none.ring(1, e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.read(e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.try_read(e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) {
			  none.wait(std::chrono::nanoseconds(-1), e);
		  }),
		  empty);
	EXPECT_EQ(error_of([&](auto &e) { none.wait_until({}, e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.access(e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) { none.mode(e); }), empty);
	EXPECT_EQ(error_of([&](auto &e) {
			  none.set_mode(event_mode::blocking, e);
		  }),
		  empty);
	EXPECT_EQ(error_of([&](auto &e) { events::adopt(-1, e); }), empty);
	EXPECT_THROW(none.read(), std::system_error);
	EXPECT_THROW(none.wait(), std::system_error);
	EXPECT_THROW(events{region()}, std::system_error);
}

TEST(handle, event_counts_are_values)
{
	event_counts counts;
	std::ostringstream text;

	EXPECT_EQ(counts, event_counts());
	counts.rings = 10;
	counts.peers = 2;
	EXPECT_NE(counts, event_counts());
	text << std::hex << counts << '\n';
	counts.peers_come = 3;
	counts.peers_gone = 1;
	counts.resized = 4;
	counts.sealed = 5;
	counts.revoked = true;
	text << counts;
	EXPECT_EQ(text.str(), "10 rings, 2 peers\n"
			      "10 rings, 2 peers, 3 came, 1 gone, 4 resized, "
			      "5 sealed, revoked");
}

TEST(handle, seals_are_a_set)
{
	seal set = seal::none;

	set |= seal::shrink;
	set |= seal::grow;
	EXPECT_EQ(set, seal::shrink | seal::grow);
	EXPECT_EQ(set & seal::seal, seal::none);
	set &= seal::grow;
	EXPECT_EQ(set, seal::grow);
	EXPECT_EQ(region_info().seals(), seal::none);
	EXPECT_TRUE(region_info().has(seal::none));
	EXPECT_FALSE(region_info().has(seal::shrink));
}

TEST(handle, empty_mapping)
{
	mapping none;

	EXPECT_FALSE(none);
	EXPECT_EQ(none.data(), nullptr);
	EXPECT_EQ(none.size(), 0U);
	none.unmap();
}

TEST(handle, names_are_checked_before_the_driver_is_asked)
{
	const std::error_code invalid = errc::invalid_name;
	const std::string bad[] = {
		"",
		"/",
		"//",
		"//x",
		"a/b",
		"a/",
		".",
		"..",
		"/.",
		"/..",
		std::string("a\0b", 3),
	};

	for (const std::string &name : bad) {
		EXPECT_EQ(
			error_of([&](auto &e) { region::create(name, 1, e); }),
			invalid)
			<< name;
		EXPECT_EQ(error_of([&](auto &e) {
				  region::open(name, access_mode::read_only, e);
			  }),
			  invalid)
			<< name;
		EXPECT_EQ(error_of([&](auto &e) { region::remove(name, e); }),
			  invalid)
			<< name;
	}

	const std::string longest(255, 'n');

	EXPECT_EQ(error_of([&](auto &e) {
			  region::open(longest + 'n', access_mode::read_only,
				       e);
		  }),
		  std::error_code(errc::name_too_long));
	EXPECT_NE(error_of([&](auto &e) {
			  region::open('/' + longest, access_mode::read_only,
				       e);
		  }),
		  std::error_code(errc::name_too_long));
}

TEST(handle, messages_escape_hostile_names)
{
	try {
		region::open("a/\x1b[2J\n\"");
		FAIL() << "opened";
	} catch (const std::system_error &error) {
		EXPECT_EQ(error.code(), errc::invalid_name);
		EXPECT_EQ(std::string(error.what()).find('\x1b'),
			  std::string::npos);
		EXPECT_NE(std::string(error.what()).find("a/\\x1b[2J\\x0a"),
			  std::string::npos)
			<< error.what();
	}
}

TEST(handle, other_files_are_not_regions)
{
	const std::error_code wrong = errc::not_a_region;
	const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(error_of([&](auto &e) { region::adopt(fd, e); }), wrong);
	EXPECT_GE(::fcntl(fd, F_GETFD), 0) << "the descriptor was closed";
	::close(fd);
	EXPECT_EQ(error_of([&](auto &e) {
			  region::open_node("/dev/null", access_mode::read_only,
					    e);
		  }),
		  wrong);
	EXPECT_EQ(error_of([&](auto &e) { region::adopt(fd, e); }),
		  std::error_code(EBADF, std::system_category()));
}

TEST(handle, other_files_are_not_event_files)
{
	const std::error_code wrong = errc::not_an_event_file;
	const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
	int pipe[2];

	ASSERT_GE(null, 0);
	ASSERT_EQ(::pipe(pipe), 0);
	for (const int fd : {null, pipe[0], pipe[1]}) {
		EXPECT_EQ(error_of([&](auto &e) { events::adopt(fd, e); }),
			  wrong);
		EXPECT_GE(::fcntl(fd, F_GETFD), 0)
			<< "the descriptor was closed";
		::close(fd);
	}
	EXPECT_EQ(error_of([&](auto &e) { events::adopt(null, e); }),
		  std::error_code(EBADF, std::system_category()));
}

TEST(handle, a_node_that_is_not_there_is_a_missing_device)
{
	const auto error = error_of([](auto &e) {
		region::open_node("/dev/shm_kernel/no such node",
				  access_mode::read_only, e);
	});

	EXPECT_EQ(error, errc::device_missing);
	EXPECT_NE(error, std::errc::no_such_file_or_directory);
	EXPECT_EQ(error, std::errc::no_such_device);
}

TEST(handle, default_information_is_of_nothing)
{
	const region_info info;
	std::ostringstream text;

	EXPECT_EQ(info.id(), 0U);
	EXPECT_EQ(info.size(), 0U);
	EXPECT_EQ(info.name(), "");
	EXPECT_FALSE(info.named());
	EXPECT_FALSE(info.revoked());
	EXPECT_FALSE(info.numa_node().has_value());
	EXPECT_FALSE(info.has(shm_kernel::capability::futex));
	text << std::hex << info;
	EXPECT_EQ(text.str(), "region 0: 0 bytes, 0 files, 0 mappings");
}

/* Also where the driver is: then this test takes its node out of sight. */
TEST(handle, a_missing_driver_is_its_own_error)
{
	const auto look = [] {
		const std::error_code missing = errc::device_missing;

		if (error_of([](auto &e) { region::create("x", 1, e); }) !=
		    missing)
			return 1;
		if (error_of([](auto &e) {
			    region::open("x", access_mode::read_only, e);
		    }) != missing)
			return 2;
		if (error_of([](auto &e) { region::remove("x", e); }) !=
		    missing)
			return 3;
		if (error_of([](auto &e) { region::list(e); }) != missing)
			return 4;
		try {
			region::open("x");
			return 5;
		} catch (const std::system_error &error) {
			if (error.code() != missing)
				return 6;
			if (std::string(error.what()).find("modprobe") ==
			    std::string::npos)
				return 7;
		}
		return 0;
	};

	if (test::have_device() && ::geteuid())
		GTEST_SKIP() << "only root can take the node out of sight";
	EXPECT_EQ(test::have_device() ? test::with_empty_dev(look) : look(), 0);
}
