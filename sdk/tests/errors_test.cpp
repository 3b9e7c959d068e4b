/* SPDX-License-Identifier: BSL-1.0 */
/*
 * errc and its category: needs no driver
 */

#include <shm_kernel/errors.hpp>

#include <gtest/gtest.h>

#include <string>
#include <system_error>
#include <vector>

using shm_kernel::errc;

namespace {

struct row
{
	errc value;
	std::errc condition;
	const char *says;
};

const std::vector<row> table = {
	{errc::name_exists, std::errc::file_exists, "exists"},
	{errc::not_found, std::errc::no_such_file_or_directory, "no region"},
	{errc::permission_denied, std::errc::permission_denied, "mode"},
	{errc::not_permitted, std::errc::operation_not_permitted, "boot"},
	{errc::fixed_size, std::errc::operation_not_permitted, "fixed"},
	{errc::limit_reached, std::errc::no_space_on_device, "max_user"},
	{errc::no_memory, std::errc::not_enough_memory, "memory"},
	{errc::revoked, std::errc::no_such_device, "revoked"},
	{errc::busy, std::errc::device_or_resource_busy, "kernel client"},
	{errc::device_missing, std::errc::no_such_device, "modprobe"},
	{errc::device_denied, std::errc::permission_denied, "udev"},
	{errc::not_a_region, std::errc::inappropriate_io_control_operation,
	 "not a region"},
	{errc::driver_too_old, std::errc::argument_list_too_long, "update"},
	{errc::invalid_name, std::errc::invalid_argument, "255"},
	{errc::name_too_long, std::errc::filename_too_long, "255"},
	{errc::already_named, std::errc::invalid_argument, "name"},
	{errc::past_end, std::errc::no_space_on_device, "past the end"},
	{errc::empty_handle, std::errc::bad_file_descriptor, "no region"},
	{errc::sealed, std::errc::operation_not_permitted, "seal"},
	{errc::not_an_event_file, std::errc::inappropriate_io_control_operation,
	 "event file"},
	{errc::not_a_ring, std::errc::bad_message, "no ring"},
	{errc::ring_corrupted, std::errc::bad_message, "spoiled"},
	{errc::lane_busy, std::errc::resource_unavailable_try_again,
	 "another reader or writer"},
	{errc::lane_in_kernel, std::errc::device_or_resource_busy,
	 "the kernel"},
	{errc::record_too_long, std::errc::message_size, "half of a lane"},
	{errc::may_shrink, std::errc::operation_not_permitted, "SIGBUS"},
	{errc::owner_dead, std::errc::owner_dead, "held the lock"},
	{errc::peer_died, std::errc::connection_reset, "the queue died"},
	{errc::layout_mismatch, std::errc::bad_message, "something else"},
};

} // namespace

TEST(errors, category_has_a_name)
{
	EXPECT_STREQ(shm_kernel::error_category().name(), "shm_kernel");
	EXPECT_EQ(&shm_kernel::error_category(), &shm_kernel::error_category());
}

TEST(errors, every_value_has_its_condition_and_a_text_that_helps)
{
	for (const row &each : table) {
		const std::error_code code = each.value;

		EXPECT_EQ(code.category(), shm_kernel::error_category());
		EXPECT_TRUE(code == each.condition) << code;
		EXPECT_NE(code.message().find(each.says), std::string::npos)
			<< code.message();
		EXPECT_NE(code.message().find(" ("), std::string::npos)
			<< "does not say how to mend it: " << code.message();
	}
}

TEST(errors, values_that_share_an_errno_are_told_apart)
{
	const std::error_code missing = errc::device_missing;

	EXPECT_TRUE(missing == errc::device_missing);
	EXPECT_FALSE(missing == errc::revoked);
	EXPECT_FALSE(missing == errc::not_found);
	EXPECT_FALSE(missing == std::errc::no_such_file_or_directory);
	EXPECT_NE(std::error_code(errc::fixed_size),
		  std::error_code(errc::not_permitted));
	EXPECT_NE(std::error_code(errc::fixed_size),
		  std::error_code(errc::sealed));
	EXPECT_NE(std::error_code(errc::not_a_region),
		  std::error_code(errc::not_an_event_file));
}

TEST(errors, no_value_is_success)
{
	for (const row &each : table)
		EXPECT_TRUE(static_cast<bool>(std::error_code(each.value)));
}

TEST(errors, unknown_value_stays_in_the_category)
{
	const std::error_code code(9999, shm_kernel::error_category());

	EXPECT_EQ(code.message(), "unknown error");
	EXPECT_EQ(code.default_error_condition().category(),
		  shm_kernel::error_category());
}
