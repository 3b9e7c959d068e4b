/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Uses the core library: with the driver a region, without it its error
 */

#include <shm_kernel/shm_kernel.hpp>
#include <shm_kernel/uapi/linux/shm_kernel.h>

#include <iostream>

static_assert(sizeof(struct shm_kernel_info) >= SHM_KERNEL_INFO_SIZE_VER0);

int main()
{
	std::error_code error;
	const auto region = shm_kernel::region::create(
		shm_kernel::create_options{}.set_size(4096), error);

	if (error == shm_kernel::errc::device_missing) {
		std::cout << "core: " << error.message() << '\n';
		return 0;
	}
	if (error) {
		std::cerr << "core: " << error.message() << '\n';
		return 1;
	}

	const shm_kernel::mapping mapping(region);

	*static_cast<char *>(mapping.data()) = 'x';
	std::cout << "core: " << region.info() << '\n';
	return 0;
}
