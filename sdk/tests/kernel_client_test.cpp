/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A kernel module as the peer, as seen from here: the sample shm_kernel_minimal,
 * which answers a ring with the square root of the first word
 */

#include "support.hpp"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <sstream>

using shm_kernel::access_mode;
using shm_kernel::capability;
using shm_kernel::errc;
using shm_kernel::event_counts;
using shm_kernel::events;
using shm_kernel::mapping;
using shm_kernel::region;
using test::error_of;
using namespace std::chrono_literals;

namespace {

constexpr const char *name = "minimal";

using word = std::atomic<std::uint32_t>;

bool is_there()
{
	std::error_code error;

	return static_cast<bool>(
		region::open(name, access_mode::read_only, error));
}

} // namespace

/* Loads the module, unless somebody has; and unloads it then only. */
class kernel_client_test : public test::device_test
{
protected:
	void SetUp() override
	{
		device_test::SetUp();
		if (HasFatalFailure())
			return;
		::alarm(test::patience);
		m_loaded = !is_there() &&
			   !std::system("modprobe -q shm_kernel_minimal "
					">/dev/null 2>&1");
		if (!is_there())
			GTEST_SKIP() << "the sample shm_kernel_minimal cannot "
					"be loaded";
	}

	void TearDown() override
	{
		if (m_loaded) {
			EXPECT_TRUE(unload());
		}
		device_test::TearDown();
		::alarm(0);
	}

	/* Whether it is ours to be unloaded. */
	bool loaded() const { return m_loaded; }

	bool unload()
	{
		m_loaded = false;
		return !std::system("rmmod shm_kernel_minimal");
	}

private:
	bool m_loaded = false;
};

TEST_F(kernel_client_test, is_shown_by_the_information)
{
	const auto info = region::open(name).info();
	std::ostringstream text;

	EXPECT_EQ(info.clients(), 1U);
	EXPECT_EQ(info.peers(), 1U);
	EXPECT_TRUE(info.has(capability::kernel_mapped));
	text << info;
	EXPECT_NE(text.str().find(", mapped by the kernel"), std::string::npos)
		<< text.str();
}

TEST_F(kernel_client_test, keeps_the_size_while_it_has_it_mapped)
{
	auto shared = region::open(name);
	const auto size = shared.size();

	for (const auto other : {std::uint64_t{0}, size - 1, 2 * size}) {
		EXPECT_EQ(error_of([&](auto &e) { shared.resize(other, e); }),
			  errc::busy);
		EXPECT_EQ(error_of([&](auto &e) { shared.resize(other, e); }),
			  std::errc::device_or_resource_busy);
	}
	EXPECT_EQ(shared.size(), size);
}

TEST_F(kernel_client_test, is_rung_and_rings)
{
	const auto shared = region::open(name);
	const mapping view(shared);
	auto *const words = static_cast<word *>(view.data());
	events here(shared);

	for (std::uint32_t i = 0; i < 100; ++i) {
		words[0] = i * i;
		words[1] = ~0U;
		here.ring();
		while (words[1] != i) {
			ASSERT_TRUE(here.wait(30s));
			EXPECT_GE(here.read().rings, 1U);
		}
	}
	EXPECT_GE(shared.info().rings(), 200U);
}

TEST_F(kernel_client_test, goes_and_leaves_its_memory_to_its_users)
{
	if (!loaded())
		GTEST_SKIP() << "somebody else has loaded it";

	auto shared = region::open(name);
	const mapping view(shared);
	auto *const words = static_cast<word *>(view.data());
	events here(shared);

	words[0] = 144;
	here.ring();
	EXPECT_GE(here.read().rings, 1U);
	EXPECT_EQ(words[1], 12U);
	ASSERT_TRUE(unload());

	const event_counts counts = here.read();

	EXPECT_EQ(counts.peers_gone, 1U);
	EXPECT_EQ(counts.peers, 0U);
	EXPECT_FALSE(counts.revoked);
	EXPECT_EQ(words[1], 12U);
	EXPECT_FALSE(is_there()) << "it has left its name";
	EXPECT_EQ(shared.info().clients(), 0U);
	EXPECT_FALSE(shared.info().has(capability::kernel_mapped));
	/* Nobody keeps the size any more, nor answers. */
	shared.resize(2 * shared.size());
	EXPECT_EQ(here.read().resized, 1U);
	here.ring();
	EXPECT_FALSE(here.wait(20ms));
}
