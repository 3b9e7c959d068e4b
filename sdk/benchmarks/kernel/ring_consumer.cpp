// SPDX-License-Identifier: BSL-1.0
/*
 * The consumer of the module's ring: the SDK's class, for programs in C.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/region.hpp>
#include <shm_kernel/ring_reader.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>

#include "ring_consumer.h"
#include "shm_kernel_bench.h"

namespace {

shm_kernel::ring_reader reader;

} // namespace

bool ring_consumer_open()
{
	try {
		reader = shm_kernel::ring_reader(shm_kernel::region::open(
			SHM_KERNEL_BENCH_REGION,
			shm_kernel::access_mode::read_write));
		return true;
	} catch (const std::exception &error) {
		std::printf("# ring_reader: %s\n", error.what());
		return false;
	}
}

unsigned int ring_consumer_drain(uint64_t *sum)
{
	unsigned int records = 0;

	while (const auto record = reader.try_read()) {
		*sum += *static_cast<const uint64_t *>(record.data());
		records++;
	}
	return records;
}
