/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the tests of named objects share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_TESTS_KERNEL_NAMED_SUPPORT_HPP
#define SHM_KERNEL_TESTS_KERNEL_NAMED_SUPPORT_HPP

#include <shm_kernel/interprocess/kernel_named_condition.hpp>
#include <shm_kernel/interprocess/kernel_named_condition_any.hpp>
#include <shm_kernel/interprocess/kernel_named_mutex.hpp>
#include <shm_kernel/interprocess/kernel_named_recursive_mutex.hpp>
#include <shm_kernel/interprocess/kernel_named_semaphore.hpp>
#include <shm_kernel/interprocess/kernel_named_sharable_mutex.hpp>
#include <shm_kernel/interprocess/kernel_named_upgradable_mutex.hpp>

#include "support.hpp"

#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/permissions.hpp>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <type_traits>

namespace test {

namespace bip = boost::interprocess;
namespace sk = shm_kernel;

using std::chrono::milliseconds;

template <typename T>
constexpr bool is_semaphore =
	std::is_constructible_v<T, bip::create_only_t, const char *, unsigned,
				const bip::permissions &>;

/* All of the classes have the same constructors but for a semaphore's count. */
template <typename T, typename Tag>
std::unique_ptr<T> make(Tag tag, const std::string &name,
			const bip::permissions &perm = bip::permissions())
{
	if constexpr (std::is_same_v<Tag, bip::open_only_t>)
		return std::make_unique<T>(tag, name.c_str());
	else if constexpr (is_semaphore<T>)
		return std::make_unique<T>(tag, name.c_str(), 1U, perm);
	else
		return std::make_unique<T>(tag, name.c_str(), perm);
}

/* The time of Boost's timed functions. */
inline boost::posix_time::ptime ptime_in(milliseconds delay)
{
	return boost::posix_time::microsec_clock::universal_time() +
	       boost::posix_time::milliseconds(delay.count());
}

/* Until the test is over, for all that it tells. */
inline boost::posix_time::ptime long_after()
{
	return ptime_in(std::chrono::seconds(30));
}

/* What a function says in a thread of its own: locks belong to threads. */
template <typename Function>
auto elsewhere(Function function)
{
	return std::async(std::launch::async, function).get();
}

/* A name that is taken away at the end, whatever kind it is of. */
template <typename T>
class scoped_name final
{
public:
	scoped_name() : m_name(fresh_name()) {}
	scoped_name(const scoped_name &) = delete;
	scoped_name &operator=(const scoped_name &) = delete;
	~scoped_name() { remove(); }

	void remove() const { T::remove(m_name.c_str()); }

	operator const std::string &() const { return m_name; }
	const char *c_str() const { return m_name.c_str(); }

private:
	std::string m_name;
};

} // namespace test

#endif /* SHM_KERNEL_TESTS_KERNEL_NAMED_SUPPORT_HPP */
