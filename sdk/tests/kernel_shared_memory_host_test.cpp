/* SPDX-License-Identifier: BSL-1.0 */
/*
 * kernel_shared_memory without the driver
 */

#include "support.hpp"

#include <shm_kernel/interprocess/kernel_shared_memory.hpp>

#include <cerrno>
#include <string>

namespace bip = boost::interprocess;

using shm_kernel::errc;
using shm_kernel::kernel_memory_exception;
using shm_kernel::kernel_shared_memory;

namespace {

template <typename Call>
bool says_missing(Call call)
{
	try {
		call();
	} catch (const kernel_memory_exception &error) {
		return error.get_native_error() == ENODEV &&
		       error.get_error_code() == bip::system_error &&
		       error.code() == errc::device_missing &&
		       std::string(error.what()).find("modprobe") !=
			       std::string::npos;
	}
	return false;
}

} // namespace

/* Also where the driver is: then this test takes its node out of sight. */
TEST(kernel_shared_memory_host, missing_driver_is_not_a_missing_region)
{
	const auto look = [] {
		int number = 0;

		for (const auto mode : {bip::read_only, bip::read_write}) {
			++number;
			if (!says_missing([&] {
				    kernel_shared_memory(bip::open_only, "x",
							 mode);
			    }))
				return number;
			++number;
			if (!says_missing([&] {
				    kernel_shared_memory(bip::create_only, "x",
							 mode);
			    }))
				return number;
			++number;
			if (!says_missing([&] {
				    kernel_shared_memory(bip::open_or_create,
							 "x", mode);
			    }))
				return number;
		}
		return kernel_shared_memory::remove("x") ? 100 : 0;
	};

	if (test::have_device() && ::geteuid())
		GTEST_SKIP() << "only root can take the node out of sight";
	EXPECT_EQ(test::have_device() ? test::with_empty_dev(look) : look(), 0);
}
