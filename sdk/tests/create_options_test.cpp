/* SPDX-License-Identifier: BSL-1.0 */
/*
 * create_options: needs no driver
 */

#include <shm_kernel/create_options.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>

using shm_kernel::create_options;

TEST(create_options, default_is_unnamed_empty_and_private)
{
	const create_options options;

	EXPECT_EQ(options.name(), "");
	EXPECT_EQ(options.size(), 0U);
	EXPECT_EQ(options.mode(), 0600U);
	EXPECT_FALSE(options.persistent());
	EXPECT_FALSE(options.contiguous());
	EXPECT_FALSE(options.small_pages());
	EXPECT_FALSE(options.numa_node().has_value());
	EXPECT_EQ(options.tag(), "");
}

TEST(create_options, setters_chain_and_getters_return)
{
	const auto options = create_options{}
				     .set_name("frames")
				     .set_size(12345)
				     .set_mode(0640)
				     .set_persistent()
				     .set_contiguous()
				     .set_small_pages()
				     .set_numa_node(1)
				     .set_tag("abc");

	EXPECT_EQ(options.name(), "frames");
	EXPECT_EQ(options.size(), 12345U);
	EXPECT_EQ(options.mode(), 0640U);
	EXPECT_TRUE(options.persistent());
	EXPECT_TRUE(options.contiguous());
	EXPECT_TRUE(options.small_pages());
	EXPECT_EQ(options.numa_node(), 1);
	EXPECT_EQ(options.tag(), "abc");
}

TEST(create_options, flags_can_be_taken_back)
{
	auto options = create_options{}
			       .set_persistent()
			       .set_contiguous()
			       .set_small_pages()
			       .set_numa_node(0);

	options.set_persistent(false)
		.set_contiguous(false)
		.set_small_pages(false)
		.set_numa_node(std::nullopt);
	EXPECT_FALSE(options.persistent());
	EXPECT_FALSE(options.contiguous());
	EXPECT_FALSE(options.small_pages());
	EXPECT_FALSE(options.numa_node().has_value());
}

TEST(create_options, copies_are_independent)
{
	auto first = create_options{}.set_name("first");
	auto second = first;

	second.set_name("second");
	EXPECT_EQ(first.name(), "first");
	first = second;
	second.set_name("third");
	EXPECT_EQ(first.name(), "second");

	create_options &self = first;

	first = self;
	EXPECT_EQ(first.name(), "second");
}

TEST(create_options, usable_after_a_move)
{
	auto first = create_options{}.set_size(7);
	const auto second = std::move(first);

	EXPECT_EQ(second.size(), 7U);
	first.set_size(8);
	EXPECT_EQ(first.size(), 8U);
}

TEST(create_options, tag_holds_any_bytes_up_to_its_size)
{
	const std::string bytes("\0\xff\n", 3);
	create_options options;

	options.set_tag(bytes.data(), bytes.size());
	EXPECT_EQ(options.tag(), bytes);
	options.set_tag(std::string(shm_kernel::tag_size, 'x'));
	EXPECT_EQ(options.tag().size(), shm_kernel::tag_size);
	EXPECT_THROW(
		options.set_tag(std::string(shm_kernel::tag_size + 1, 'y')),
		std::length_error);
	EXPECT_EQ(options.tag(), std::string(shm_kernel::tag_size, 'x'));
	options.set_tag("");
	EXPECT_EQ(options.tag(), "");
}
