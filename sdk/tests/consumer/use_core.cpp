/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Uses the core library: a ring in memory; with the driver a region and its
 * events, without it its error
 */

#include <shm_kernel/shm_kernel.hpp>
#include <shm_kernel/uapi/linux/shm_kernel.h>
#include <shm_kernel/uapi/linux/shm_kernel_ring.h>

#include <iostream>

static_assert(sizeof(struct shm_kernel_info) >= SHM_KERNEL_INFO_SIZE_VER0);
static_assert(sizeof(struct shm_kernel_ring_record) == 8);

namespace {

/* From one end of a ring to the other: needs no driver. */
bool pass_a_record()
{
	alignas(shm_kernel::ring_cell_size) static char memory[16384];
	const auto options = shm_kernel::ring_options{}.set_cells(64);

	shm_kernel::create_ring(memory, sizeof(memory), options);

	shm_kernel::ring_writer writer(memory, sizeof(memory));
	shm_kernel::ring_reader reader(memory, sizeof(memory));
	const auto slot = writer.try_reserve(1);

	*static_cast<char *>(slot.data()) = 'x';
	writer.commit();

	const auto record = reader.try_read();

	return record.size() == 1 &&
	       *static_cast<const char *>(record.data()) == 'x';
}

} // namespace

int main()
{
	if (!pass_a_record()) {
		std::cerr << "core: the record is not the same\n";
		return 1;
	}

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

	shm_kernel::events peer(region), other(region);

	other.ring(2);
	std::cout << "core: " << region.info() << "; " << peer.read() << '\n';
	return 0;
}
