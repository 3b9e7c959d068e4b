/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Robust mutexes in the segments of Boost.Interprocess
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/interprocess/robust_mutex_family.hpp>

#include "lock_support.hpp"

#include <boost/container/string.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/indexes/flat_map_index.hpp>
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/mem_algo/simple_seq_fit.hpp>

#include <type_traits>

namespace {

using namespace std::chrono_literals;

using shm_kernel::errc;
using shm_kernel::kernel_memory_exception;
using shm_kernel::robust_mutex_family;
using shm_kernel::strict_robust_mutex_family;
using shm_kernel::detail::mutex_registry;

namespace bip = boost::interprocess;

template <class Algorithm, template <class> class Index>
using segment = bip::basic_managed_external_buffer<char, Algorithm, Index>;

template <class Segment>
class family : public test::lock_test
{
protected:
	using mutex_family = typename Segment::mutex_family;
	using mutex_type = typename mutex_family::mutex_type;
	using recursive_mutex_type =
		typename mutex_family::recursive_mutex_type;

	static constexpr bool strict =
		std::is_same_v<mutex_family, strict_robust_mutex_family>;

	family()
		: m_segment(bip::create_only, m_memory.data(),
			    test::lock_memory::size)
	{
	}

	mutex_type &allocator_mutex()
	{
		return *static_cast<mutex_type *>(m_registry.mutex);
	}

	recursive_mutex_type &index_mutex()
	{
		return *static_cast<recursive_mutex_type *>(
			m_registry.recursive_mutex);
	}

	bool inside(const void *address) const
	{
		const auto start = static_cast<const char *>(m_memory.data());
		const auto at = static_cast<const char *>(address);

		return at >= start && at < start + test::lock_memory::size;
	}

	test::lock_memory m_memory;
	mutex_registry m_registry;
	Segment m_segment;
};

using segments = ::testing::Types<
	segment<bip::rbtree_best_fit<robust_mutex_family>, bip::iset_index>,
	segment<bip::rbtree_best_fit<robust_mutex_family>, bip::flat_map_index>,
	segment<bip::simple_seq_fit<robust_mutex_family>, bip::iset_index>,
	segment<bip::rbtree_best_fit<strict_robust_mutex_family>,
		bip::iset_index>>;
TYPED_TEST_SUITE(family, segments, );

TYPED_TEST(family, is_found_in_the_segment)
{
	ASSERT_TRUE(this->inside(this->m_registry.mutex));
	ASSERT_TRUE(this->inside(this->m_registry.recursive_mutex));

	/* They are the segment's: it cannot work while they are taken. */
	test::child([this] {
		this->allocator_mutex().lock();
		::raise(SIGKILL);
		return 0;
	}).wait();
	EXPECT_TRUE(this->allocator_mutex().owner_died());
	if (this->strict) {
		EXPECT_THROW(this->m_segment.allocate(100),
			     kernel_memory_exception);
		this->allocator_mutex().mark_consistent();
	}
	EXPECT_NE(this->m_segment.allocate(100), nullptr);
	EXPECT_EQ(this->allocator_mutex().recoveries(), 1u);

	auto function = [this] {
		EXPECT_EQ(this->index_mutex().generation() % 2, 1u);
	};

	this->m_segment.atomic_func(function);
	EXPECT_EQ(this->index_mutex().generation() % 2, 0u);
}

TYPED_TEST(family, serves_two_processes)
{
	using string = boost::container::basic_string<
		char, std::char_traits<char>,
		bip::allocator<char, typename TypeParam::segment_manager>>;

	test::child other([this] {
		for (int i = 0; i < 200; ++i) {
			const std::string name = "b" + std::to_string(i);
			string *const text =
				this->m_segment.template construct<string>(
					name.c_str())(
					"a text that does not fit into a "
					"string by itself",
					this->m_segment.get_segment_manager());

			if (i % 2)
				this->m_segment.destroy_ptr(text);
		}
		return 0;
	});

	for (int i = 0; i < 200; ++i) {
		const std::string name = "a" + std::to_string(i);

		this->m_segment.template construct<int>(name.c_str())(i);
		if (i % 2) {
			EXPECT_TRUE(this->m_segment.template destroy<int>(
				name.c_str()));
		}
	}
	EXPECT_EQ(other.wait(), 0);
	EXPECT_EQ(this->m_segment.get_num_named_objects(), 200u);
	EXPECT_EQ(*this->m_segment.template find<int>("a42").first, 42);
	EXPECT_EQ(*this->m_segment.template find<string>("b42").first,
		  "a text that does not fit into a string by itself");
	EXPECT_TRUE(this->m_segment.check_sanity());
	EXPECT_EQ(this->index_mutex().recoveries(), 0u);
	EXPECT_EQ(this->allocator_mutex().recoveries(), 0u);
}

TYPED_TEST(family, outlives_a_death_in_atomic_func)
{
	this->m_segment.template construct<int>("value")(7);

	test::child([this] {
		auto function = [this] {
			*this->m_segment.template find<int>("value").first = 8;
			::raise(SIGKILL);
		};

		this->m_segment.atomic_func(function);
		return 0;
	}).wait();

	/* A child of its own, so that a lock that stays shut fails. */
	EXPECT_EQ(
		test::child([this] {
			try {
				const auto found =
					this->m_segment.template find<int>(
						"value");

				return found.first && *found.first == 8 &&
						       !this->strict
					       ? 0
					       : 1;
			} catch (const kernel_memory_exception &error) {
				return this->strict && error.code() ==
							       errc::owner_dead
					       ? 0
					       : 2;
			}
		}).wait(),
		0);
	EXPECT_EQ(this->index_mutex().recoveries(), 1u);
	EXPECT_FALSE(this->index_mutex().consistent());
	this->index_mutex().mark_consistent();
	EXPECT_EQ(*this->m_segment.template find<int>("value").first, 8);
	EXPECT_TRUE(this->m_segment.check_sanity());
	EXPECT_TRUE(this->m_segment.template destroy<int>("value"));
}

TYPED_TEST(family, outlives_a_death_in_a_constructor)
{
	struct mortal
	{
		mortal() { ::raise(SIGKILL); }
	};

	for (int i = 0; i < 20; ++i) {
		test::child([this] {
			this->m_segment.template construct<mortal>(
				bip::unique_instance)();
			return 0;
		}).wait();
		if (this->strict) {
			EXPECT_THROW(
				this->m_segment.template construct<int>("n")(),
				kernel_memory_exception);
			this->index_mutex().mark_consistent();
		}
		this->m_segment.template construct<int>("n")();
		EXPECT_TRUE(this->m_segment.template destroy<int>("n"));
		EXPECT_EQ(this->index_mutex().recoveries(),
			  static_cast<std::uint32_t>(i) + 1);
		/* Boost enters it before it is whole: that is what is left. */
		this->m_segment.template destroy<mortal>(bip::unique_instance);
	}
	EXPECT_TRUE(this->m_segment.check_sanity());
}

} // namespace
