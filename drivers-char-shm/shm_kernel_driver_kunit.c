// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit test of the parts of shm_kernel_driver that need no user space
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <kunit/test.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>
#include <uapi/linux/shm_kernel.h>

#include "shm_kernel_driver.h"

static void shm_test_names(struct kunit *test)
{
	static const struct {
		const char *name;
		size_t len;
		int err;
	} cases[] = {
		{ "a", 1, 0 },
		{ "...", 3, 0 },
		{ ".a", 2, 0 },
		{ "\xff\n\x01 ", 4, 0 },
		{ "", 0, -EINVAL },
		{ ".", 1, -EINVAL },
		{ "..", 2, -EINVAL },
		{ "/", 1, -EINVAL },
		{ "a/b", 3, -EINVAL },
		{ "a\0b", 3, -EINVAL },
		{ "a\0", 2, -EINVAL },
	};
	char *longest = kunit_kzalloc(test, SHM_KERNEL_NAME_MAX + 1, GFP_KERNEL);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		KUNIT_EXPECT_EQ_MSG(test, cases[i].err,
				    shm_check_name(cases[i].name, cases[i].len),
				    "case %zu", i);

	KUNIT_ASSERT_NOT_NULL(test, longest);
	memset(longest, 'x', SHM_KERNEL_NAME_MAX + 1);
	KUNIT_EXPECT_EQ(test, 0, shm_check_name(longest, SHM_KERNEL_NAME_MAX));
	KUNIT_EXPECT_EQ(test, -ENAMETOOLONG,
			shm_check_name(longest, SHM_KERNEL_NAME_MAX + 1));
}

/* Folios fill any range without a gap, aligned, none longer than what is left. */
static void shm_test_folio_orders(struct kunit *test)
{
	static const pgoff_t starts[] = { 0, 1, 3, 7, 8, 511, 512, 513, 1000 };
	static const pgoff_t lengths[] = { 1, 2, 3, 16, 511, 512, 513, 1536, 5000 };
	unsigned int limit = 9;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		for (j = 0; j < ARRAY_SIZE(lengths); j++) {
			pgoff_t index = starts[i], end = index + lengths[j];

			while (index < end) {
				unsigned int order = shm_folio_order(index, end, limit);

				KUNIT_ASSERT_LE(test, order, limit);
				KUNIT_ASSERT_EQ(test, index & ((1UL << order) - 1), 0);
				KUNIT_ASSERT_LE(test, 1UL << order, end - index);
				index += 1UL << order;
			}
			KUNIT_EXPECT_EQ(test, index, end);
		}
	}

	KUNIT_EXPECT_EQ(test, 9, shm_folio_order(0, 512, 9));
	KUNIT_EXPECT_EQ(test, 8, shm_folio_order(0, 511, 9));
	KUNIT_EXPECT_EQ(test, 9, shm_folio_order(512, 2048, 9));
	KUNIT_EXPECT_EQ(test, 0, shm_folio_order(0, 512, 0));
	KUNIT_EXPECT_EQ(test, 0, shm_folio_order(513, 1024, 9));
}

static void shm_test_order_fallback(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 6, shm_next_order(9));
	KUNIT_EXPECT_EQ(test, 6, shm_next_order(7));
	KUNIT_EXPECT_EQ(test, 4, shm_next_order(6));
	KUNIT_EXPECT_EQ(test, 4, shm_next_order(5));
	KUNIT_EXPECT_EQ(test, 0, shm_next_order(4));
	KUNIT_EXPECT_EQ(test, 0, shm_next_order(1));
	KUNIT_EXPECT_EQ(test, -1, shm_next_order(0));
}

static void shm_test_node_ranges(struct kunit *test)
{
	loff_t size = 2 * PAGE_SIZE + 1;

	KUNIT_EXPECT_TRUE(test, shm_node_range_ok(0, 3, size));
	KUNIT_EXPECT_TRUE(test, shm_node_range_ok(2, 1, size));
	KUNIT_EXPECT_FALSE(test, shm_node_range_ok(0, 4, size));
	KUNIT_EXPECT_FALSE(test, shm_node_range_ok(2, 2, size));
	KUNIT_EXPECT_FALSE(test, shm_node_range_ok(3, 1, size));
	KUNIT_EXPECT_FALSE(test, shm_node_range_ok(ULONG_MAX, 1, size));
	KUNIT_EXPECT_FALSE(test, shm_node_range_ok(1, ULONG_MAX, size));
	KUNIT_EXPECT_FALSE(test, shm_node_range_ok(ULONG_MAX, 2, size));
	KUNIT_EXPECT_FALSE(test, shm_node_range_ok(0, 1, 0));
}

static void shm_test_sizes(struct kunit *test)
{
	u64 size = 0;

	KUNIT_EXPECT_EQ(test, 0, shm_parse_size("4096", &size));
	KUNIT_EXPECT_EQ(test, 4096, size);
	KUNIT_EXPECT_EQ(test, 0, shm_parse_size("0x1000\n", &size));
	KUNIT_EXPECT_EQ(test, 4096, size);
	KUNIT_EXPECT_EQ(test, 0, shm_parse_size("3M", &size));
	KUNIT_EXPECT_EQ(test, 3 << 20, size);
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_parse_size("", &size));
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_parse_size("-1", &size));
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_parse_size("M", &size));
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_parse_size("4096 B", &size));
	KUNIT_EXPECT_EQ(test, -EINVAL, shm_parse_size("1MM", &size));
}

static void shm_test_boot_specs(struct kunit *test)
{
	static const char * const bad[] = {
		"", ":", "a", "a:", "a:0", "a:4K:", "a:4K:huge", "a:4K:mode=",
		"a:4K:mode=1777", "a:4K:mode=8", ".:4K", "..:4K", "a/b:4K",
		"a b:4K", "a\xff:4K", ":4K", "a:4K4", "a:-1",
		"a:18446744073709551615",
	};
	struct shm_boot_spec spec;
	char text[64];
	size_t i;

	strscpy(text, "fast_1.x-y:2M:contig:small:mode=0640");
	KUNIT_ASSERT_EQ(test, 0, shm_parse_boot_spec(text, &spec));
	KUNIT_EXPECT_STREQ(test, "fast_1.x-y", spec.name);
	KUNIT_EXPECT_EQ(test, 2 << 20, spec.size);
	KUNIT_EXPECT_EQ(test, SHM_KERNEL_CREATE_CONTIG | SHM_KERNEL_CREATE_SMALL,
			spec.flags);
	KUNIT_EXPECT_EQ(test, 0640, spec.mode);

	strscpy(text, "a:1");
	KUNIT_ASSERT_EQ(test, 0, shm_parse_boot_spec(text, &spec));
	KUNIT_EXPECT_EQ(test, 1, spec.size);
	KUNIT_EXPECT_EQ(test, 0, spec.flags);
	KUNIT_EXPECT_EQ(test, 0600, spec.mode);

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		strscpy(text, bad[i]);
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    shm_parse_boot_spec(text, &spec), "%s", bad[i]);
	}
}

static struct kunit_case shm_test_cases[] = {
	KUNIT_CASE(shm_test_names),
	KUNIT_CASE(shm_test_folio_orders),
	KUNIT_CASE(shm_test_order_fallback),
	KUNIT_CASE(shm_test_node_ranges),
	KUNIT_CASE(shm_test_sizes),
	KUNIT_CASE(shm_test_boot_specs),
	{}
};

static struct kunit_suite shm_test_suite = {
	.name = "shm_kernel_driver",
	.test_cases = shm_test_cases,
};

kunit_test_suite(shm_test_suite);

MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_AUTHOR("shm_kernel developers <shm-kernel@example.org>");
MODULE_DESCRIPTION("KUnit test of shm_kernel_driver");
MODULE_LICENSE("GPL");
