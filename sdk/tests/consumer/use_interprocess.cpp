/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Uses the Boost layer: with the driver a region, without it its error
 */

#include <shm_kernel/interprocess/kernel_shared_memory.hpp>

#include <boost/interprocess/mapped_region.hpp>

#include <cerrno>
#include <iostream>

namespace bip = boost::interprocess;

int main()
{
	try {
		shm_kernel::kernel_shared_memory memory(
			bip::open_or_create, "consumer", bip::read_write);

		memory.truncate(100);

		const bip::mapped_region view(memory, bip::read_write);

		std::cout << "interprocess: " << view.get_size() << " bytes\n";
		return view.get_size() == 100 ? 0 : 1;
	} catch (const bip::interprocess_exception &error) {
		std::cout << "interprocess: " << error.what() << '\n';
		return error.get_native_error() == ENODEV ? 0 : 1;
	}
}
