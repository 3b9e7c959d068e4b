/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Uses the Boost layer: with the driver a segment, without it its error
 */

#include <shm_kernel/interprocess/interprocess.hpp>

#include <cerrno>
#include <iostream>

namespace bip = boost::interprocess;

int main()
{
	try {
		shm_kernel::managed_kernel_memory segment(bip::open_or_create,
							  "consumer", 65536);
		const int *const count =
			segment.find_or_construct<int>("count")(42);

		std::cout << "interprocess: count is " << *count << '\n';
		return *count == 42 ? 0 : 1;
	} catch (const bip::interprocess_exception &error) {
		std::cout << "interprocess: " << error.what() << '\n';
		return error.get_native_error() == ENODEV ? 0 : 1;
	}
}
