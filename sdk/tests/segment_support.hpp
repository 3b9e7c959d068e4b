/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the tests of managed segments share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_TESTS_SEGMENT_SUPPORT_HPP
#define SHM_KERNEL_TESTS_SEGMENT_SUPPORT_HPP

#include "support.hpp"

#include <shm_kernel/interprocess/managed_kernel_memory.hpp>

#include <boost/interprocess/shared_memory_object.hpp>

#include <cstdint>
#include <ostream>
#include <random>
#include <string>
#include <type_traits>

namespace test {

namespace bip = boost::interprocess;

/** Native errno and Boost's code of what a call has thrown; 0 for nothing. */
struct failure
{
	int native;
	bip::error_code_t code;

	bool operator==(const failure &other) const
	{
		return native == other.native && code == other.code;
	}
};

inline std::ostream &operator<<(std::ostream &out, const failure &error)
{
	return out << error.native << '/' << error.code;
}

inline const failure size_failure{0, bip::size_error};

template <typename Call>
failure thrown_by(Call call)
{
	try {
		call();
	} catch (const bip::interprocess_exception &error) {
		return {error.get_native_error(), error.get_error_code()};
	}
	return {0, bip::no_error};
}

/** The errc of what a call throws, and the text of it. */
template <typename Call>
std::error_code code_of(Call call, std::string *text = nullptr)
{
	try {
		call();
	} catch (const shm_kernel::kernel_memory_exception &error) {
		if (text)
			*text = error.what();
		return error.code();
	}
	return {};
}

/** A name for a segment of either kind, which goes with this. */
template <typename Segment>
struct segment_name
{
	std::string name = fresh_name();

	segment_name() = default;
	segment_name(const segment_name &) = delete;
	segment_name &operator=(const segment_name &) = delete;
	~segment_name() { Segment::device_type::remove(name.c_str()); }

	const char *get() const { return name.c_str(); }
};

/** Whether a region of that name can be opened for reading. */
inline bool name_there(const std::string &name)
{
	std::error_code error;

	shm_kernel::region::open(name, shm_kernel::access_mode::read_only,
				 error);
	return !error;
}

/** A generator whose seed is printed when a test fails. */
class random_source final
{
public:
	explicit random_source(std::uint32_t seed = std::random_device{}())
		: m_trace(__FILE__, __LINE__, "seed " + std::to_string(seed)),
		  m_engine(seed)
	{
	}

	/** 0 to bound - 1. */
	std::uint32_t below(std::uint32_t bound)
	{
		return std::uniform_int_distribution<std::uint32_t>(
			0, bound - 1)(m_engine);
	}

private:
	::testing::ScopedTrace m_trace;
	std::mt19937 m_engine;
};

} // namespace test

#endif /* SHM_KERNEL_TESTS_SEGMENT_SUPPORT_HPP */
