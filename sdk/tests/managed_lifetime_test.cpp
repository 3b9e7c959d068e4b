/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Managed segments come and go: names, races of creators, killed creators,
 * descriptors that are handed on, and all that can be refused
 */

#include "segment_support.hpp"

#include <boost/interprocess/indexes/iset_index.hpp>

#include <array>
#include <atomic>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <vector>

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace bip = boost::interprocess;

using shm_kernel::errc;
using shm_kernel::fixed_managed_kernel_memory;
using shm_kernel::managed_kernel_memory;
using shm_kernel::persistent_managed_kernel_memory;
using shm_kernel::region;
using shm_kernel::segment_options;
using test::child;
using test::code_of;
using test::eventually;
using test::failure;
using test::fresh_name;
using test::gate;
using test::name_there;
using test::segment_name;
using test::size_failure;
using test::thrown_by;

class managed_lifetime_test : public test::device_test
{
};

TEST_F(managed_lifetime_test, name_goes_with_the_last_user)
{
	const auto name = fresh_name();
	managed_kernel_memory first(bip::create_only, name.c_str(), 65536);

	EXPECT_FALSE(first.opened_existing());
	{
		managed_kernel_memory second(bip::open_only, name.c_str());

		EXPECT_TRUE(second.opened_existing());
		first = managed_kernel_memory();
		EXPECT_TRUE(name_there(name));
	}
	EXPECT_TRUE(eventually([&] { return !name_there(name); }));
	EXPECT_EQ(child([&] {
			  managed_kernel_memory segment(bip::create_only,
							name.c_str(), 65536);

			  ::kill(::getpid(), SIGKILL);
			  return 0;
		  }).wait(),
		  child::killed);
	EXPECT_TRUE(eventually([&] { return !name_there(name); }));
}

TEST_F(managed_lifetime_test, persistent_name_stays_until_removed)
{
	const segment_name<persistent_managed_kernel_memory> name;

	persistent_managed_kernel_memory(bip::create_only, name.get(), 65536)
		.construct<int>("answer")(42);
	EXPECT_TRUE(name_there(name.name));
	/* The lifetime is no part of the layout. */
	EXPECT_EQ(*managed_kernel_memory(bip::open_only, name.get())
			   .find<int>("answer")
			   .first,
		  42);
	EXPECT_TRUE(shm_kernel::kernel_shared_memory::remove(name.get()));
	EXPECT_FALSE(name_there(name.name));
}

TEST_F(managed_lifetime_test, options_decide_over_the_class)
{
	const segment_name<managed_kernel_memory> name;
	const auto options =
		segment_options{}.set_name(name.name).set_size(65536);

	EXPECT_TRUE(
		managed_kernel_memory(bip::create_only,
				      segment_options(options).set_persistent())
			.get_region()
			.info()
			.persistent());
	EXPECT_TRUE(name_there(name.name));
	region::remove(name.name);
	{
		const persistent_managed_kernel_memory segment(
			bip::open_or_create,
			segment_options(options).set_persistent(false));

		EXPECT_FALSE(segment.get_region().info().persistent());
	}
	EXPECT_TRUE(eventually([&] { return !name_there(name.name); }));
}

TEST_F(managed_lifetime_test, removed_name_is_free_at_once)
{
	const segment_name<managed_kernel_memory> name;
	managed_kernel_memory old(bip::create_only, name.get(), 65536);

	old.construct<int>("answer")(1);
	EXPECT_TRUE(shm_kernel::kernel_shared_memory::remove(name.get()));

	managed_kernel_memory fresh(bip::create_only, name.get(), 65536);

	EXPECT_EQ(fresh.find<int>("answer").first, nullptr);
	EXPECT_EQ(*old.find<int>("answer").first, 1);
}

TEST_F(managed_lifetime_test, all_options_reach_the_region)
{
	const segment_name<managed_kernel_memory> name;
	const auto options = segment_options{}
				     .set_name(name.name)
				     .set_size(100000)
				     .set_max_size(1 << 20)
				     .set_mode(0640)
				     .set_small_pages()
				     .set_numa_node(0)
				     .set_populate();
	const managed_kernel_memory segment(bip::create_only, options);
	const auto info = segment.get_region().info();

	EXPECT_EQ(info.name(), name.name);
	EXPECT_EQ(info.size(), 100000U);
	EXPECT_EQ(info.mode(), 0640U);
	EXPECT_TRUE(info.small_pages());
	EXPECT_EQ(info.numa_node(), 0);
	EXPECT_EQ(segment.max_size(), 1U << 20);
	EXPECT_EQ(segment.get_mapped_region().get_size(), 1U << 20);
	EXPECT_LE(segment.get_size(), 100000U);
	EXPECT_EQ(segment.native_handle(),
		  segment.get_region().native_handle());
	EXPECT_EQ(options.size(), 100000U);
	EXPECT_EQ(options.max_size(), 1U << 20);
	EXPECT_EQ(options.mode(), 0640U);
	EXPECT_TRUE(options.small_pages());
	EXPECT_TRUE(options.populate());
	EXPECT_FALSE(options.contiguous());
	EXPECT_FALSE(options.persistent());
	EXPECT_EQ(options.address(), nullptr);
	EXPECT_EQ(segment_options{}.set_size(5).max_size(), 5U);
	EXPECT_EQ(segment_options{}.mode(), 0600U);
}

TEST_F(managed_lifetime_test, contiguous_segment_keeps_its_size)
{
	const segment_name<managed_kernel_memory> name;
	const auto options = segment_options{}
				     .set_name(name.name)
				     .set_size(65536)
				     .set_contiguous();
	managed_kernel_memory segment(bip::create_only, options);

	EXPECT_TRUE(segment.get_region().info().contiguous());
	EXPECT_EQ(thrown_by([&] { segment.grow_online(1); }), size_failure);
	EXPECT_FALSE(managed_kernel_memory::grow(name.get(), 4096));
	EXPECT_TRUE(segment.check_sanity());
	EXPECT_EQ(
		thrown_by([&] {
			managed_kernel_memory(
				bip::create_only,
				segment_options(options).set_max_size(1 << 20));
		}),
		(failure{EINVAL, bip::invalid_argument}));
}

TEST_F(managed_lifetime_test, no_segment_at_all)
{
	managed_kernel_memory none;

	EXPECT_EQ(none.get_size(), 0U);
	EXPECT_EQ(none.max_size(), 0U);
	EXPECT_EQ(none.get_address(), nullptr);
	EXPECT_EQ(none.native_handle(), -1);
	EXPECT_FALSE(none.belongs_to_segment(&none));
	EXPECT_FALSE(none.recovered());
	EXPECT_EQ(none.recoveries(), 0U);
	EXPECT_FALSE(none.opened_existing());
	EXPECT_TRUE(none.check_sanity());
	EXPECT_EQ(code_of([&] { none.grow_online(1); }), errc::empty_handle);
	EXPECT_EQ(code_of([&] { none.mark_consistent(); }), errc::empty_handle);
}

TEST_F(managed_lifetime_test, move_and_swap_keep_region_and_mapping)
{
	const segment_name<managed_kernel_memory> name, other;
	managed_kernel_memory one(bip::create_only, name.get(), 65536);
	managed_kernel_memory two(bip::create_only, other.get(), 131072);
	const int fd_one = one.native_handle();
	const int fd_two = two.native_handle();
	managed_kernel_memory again(bip::open_only, name.get());

	swap(one, two);
	EXPECT_EQ(one.native_handle(), fd_two);
	EXPECT_EQ(one.get_region().info().name(), other.name);
	EXPECT_EQ(two.native_handle(), fd_one);
	one = std::move(two);
	EXPECT_EQ(one.native_handle(), fd_one);
	EXPECT_EQ(two.native_handle(), -1);
	EXPECT_EQ(two.get_mapped_region().get_address(), nullptr);
	EXPECT_FALSE(one.opened_existing());
	one = std::move(again);
	EXPECT_TRUE(one.opened_existing());
	EXPECT_FALSE(name_there(other.name));
	EXPECT_TRUE(one.flush());
}

/* ---- races ---- */

TEST_F(managed_lifetime_test, one_of_many_creates_and_all_see_it_whole)
{
	constexpr int processes = 8;
	constexpr int rounds = 40;
	gate ready, go, seen, done;
	std::array<std::string, rounds> names;
	std::vector<child> many;

	for (std::string &name : names)
		name = fresh_name();
	for (int i = 0; i < processes; ++i)
		many.emplace_back([&, i] {
			int created = 0;

			for (const std::string &name : names) {
				ready.open();
				go.wait();

				managed_kernel_memory segment(
					bip::open_or_create, name.c_str(),
					16384 + static_cast<unsigned>(i));

				if (!segment.check_sanity())
					return 100;
				created += !segment.opened_existing();
				++*segment.find_or_construct<std::atomic<int>>(
					"met")(0);
				/* Nobody goes before all have come. */
				seen.open();
				done.wait();
				if (*segment.find<std::atomic<int>>("met")
					     .first != processes)
					return 101;
			}
			return created;
		});
	for (int round = 0; round < rounds; ++round) {
		ready.wait(processes);
		go.open(processes);
		seen.wait(processes);
		done.open(processes);
	}

	int created = 0;

	for (child &each : many) {
		const int result = each.wait();

		EXPECT_GE(result, 0);
		EXPECT_LT(result, 100);
		created += result;
	}
	EXPECT_EQ(created, rounds);
}

TEST_F(managed_lifetime_test, create_only_has_one_winner)
{
	constexpr int processes = 6;

	for (int round = 0; round < 15; ++round) {
		const auto name = fresh_name();
		gate ready, go, tried, done;
		std::vector<child> many;
		int winners = 0;

		for (int i = 0; i < processes; ++i)
			many.emplace_back([&] {
				managed_kernel_memory segment;
				int result = 1;

				ready.open();
				go.wait();
				try {
					segment = managed_kernel_memory(
						bip::create_only, name.c_str(),
						65536);
				} catch (const bip::interprocess_exception &e) {
					result =
						e.get_error_code() ==
								bip::already_exists_error
							? 0
							: 2;
				}
				tried.open();
				done.wait();
				return result;
			});
		ready.wait(processes);
		go.open(processes);
		tried.wait(processes);
		done.open(processes);
		for (child &each : many) {
			const int result = each.wait();

			EXPECT_LE(result, 1);
			winners += result;
		}
		EXPECT_EQ(winners, 1);
	}
}

/* Segments that come, go, and are removed beside those who open them. */
TEST_F(managed_lifetime_test, storm_of_all_there_is)
{
	const auto name = fresh_name();
	std::vector<child> many;

	for (unsigned int i = 0; i < 6; ++i)
		many.emplace_back([&, i] {
			for (unsigned int round = 0; round < 150; ++round) {
				managed_kernel_memory segment(
					bip::open_or_create, name.c_str(),
					8192 + 512 * i);
				const int value =
					*segment.find_or_construct<int>(
						"value")(77);

				if (value != 77)
					return 1;
				if (round % 5 == i % 5)
					shm_kernel::kernel_shared_memory::
						remove(name.c_str());
				try {
					managed_kernel_memory view(
						bip::open_read_only,
						name.c_str());
					const auto found =
						view.find_shared<int>("value");

					if (found.first && *found.first != 77)
						return 2;
				} catch (const bip::interprocess_exception &e) {
					if (e.get_error_code() !=
					    bip::not_found_error)
						return 3;
				} catch (const std::system_error &) {
					return 4;
				}
			}
			return 0;
		});
	for (child &each : many)
		EXPECT_EQ(each.wait(), 0);
	EXPECT_TRUE(eventually([&] { return !name_there(name); }));
}

/* ---- creators that are killed ---- */

namespace {

/* One that can be traced; what it does begins at the second stop. */
pid_t traced(const std::function<void()> &run)
{
	const pid_t pid = ::fork();

	if (!pid) {
		::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
		::raise(SIGSTOP);
		run();
		::_exit(0);
	}

	int status = 0;

	::waitpid(pid, &status, 0);
	return pid;
}

/* False when it has ended. */
bool step(pid_t pid, int request)
{
	int status = 0;

	if (::ptrace(static_cast<__ptrace_request>(request), pid, nullptr,
		     nullptr) ||
	    ::waitpid(pid, &status, 0) != pid)
		return false;
	return WIFSTOPPED(status);
}

void end(pid_t pid)
{
	int status = 0;

	::kill(pid, SIGKILL);
	::waitpid(pid, &status, 0);
}

} // namespace

/* After it, the driver's counters have to be as before; see device_test. */
class killed_creator_test : public test::device_test
{
protected:
	void SetUp() override
	{
		device_test::SetUp();
		/* What is bound at first use is no part of what is looked at. */
		managed_kernel_memory(bip::create_only, fresh_name().c_str(),
				      16384);
	}

	static std::function<void()> creator(const std::string &name)
	{
		return [name] {
			managed_kernel_memory(bip::create_only, name.c_str(),
					      16384);
		};
	}

	/* Whoever opens it now has it whole, or not at all. */
	static void whole_or_nothing(const std::string &name)
	{
		try {
			managed_kernel_memory peer(bip::open_only,
						   name.c_str());

			EXPECT_TRUE(peer.check_sanity());
			EXPECT_FALSE(peer.recovered());
		} catch (const bip::interprocess_exception &error) {
			EXPECT_EQ(error.get_error_code(), bip::not_found_error);
		}
	}

	static void nothing_left(const std::string &name)
	{
		EXPECT_TRUE(eventually([&] { return !name_there(name); }));
	}
};

TEST_F(killed_creator_test, at_every_system_call)
{
	bool ended = false;
	int stops = 0;

	for (; !ended && stops < 200; ++stops) {
		const auto name = fresh_name();
		const pid_t pid = traced(creator(name));

		for (int i = 0; i <= stops && !ended; ++i)
			ended = !step(pid, PTRACE_SYSCALL);
		if (!ended) {
			whole_or_nothing(name);
			end(pid);
		}
		nothing_left(name);
	}
	EXPECT_TRUE(ended);
	EXPECT_GT(stops, 10);
}

/* Some way behind some system call: a stop is slow, and there are thousands. */
TEST_F(killed_creator_test, at_sampled_instructions)
{
	test::random_source random;
	std::uint32_t calls = 0;

	for (int sample = 0; sample < 13; ++sample) {
		const auto name = fresh_name();
		const pid_t pid = traced(creator(name));
		bool there = true;

		if (!sample) {
			while (step(pid, PTRACE_SYSCALL))
				++calls;
			nothing_left(name);
			continue;
		}
		for (std::uint32_t i = random.below(calls); there && i; --i)
			there = step(pid, PTRACE_SYSCALL);
		for (std::uint32_t i = random.below(300); there && i; --i)
			there = step(pid, PTRACE_SINGLESTEP);
		if (there) {
			whole_or_nothing(name);
			end(pid);
		}
		nothing_left(name);
	}
	EXPECT_GT(calls, 10U);
}

TEST_F(managed_lifetime_test, killed_creators_beside_openers)
{
	test::random_source random;
	const auto name = fresh_name();

	for (int round = 0; round < 100; ++round) {
		child creator([&] {
			for (;;)
				managed_kernel_memory(bip::open_or_create,
						      name.c_str(), 16384)
					.find_or_construct<int>("value")(5);
			return 0;
		});

		::usleep(random.below(3000));
		creator.kill();

		/* There at once: no time-out, no half a segment. */
		managed_kernel_memory segment(bip::open_or_create, name.c_str(),
					      16384);

		EXPECT_EQ(*segment.find_or_construct<int>("value")(5), 5);
		EXPECT_TRUE(segment.check_sanity());
	}
}

/* ---- descriptors ---- */

namespace {

void send_descriptor(int socket, int descriptor)
{
	alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
	char byte = 0;
	iovec data = {&byte, 1};
	msghdr message = {};

	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = control;
	message.msg_controllen = sizeof(control);

	cmsghdr *const header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
	if (::sendmsg(socket, &message, 0) != 1)
		std::abort();
}

int receive_descriptor(int socket)
{
	alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
	char byte = 0;
	iovec data = {&byte, 1};
	msghdr message = {};
	int descriptor = -1;

	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = control;
	message.msg_controllen = sizeof(control);
	if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		std::abort();
	std::memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)),
		    sizeof(int));
	return descriptor;
}

} // namespace

TEST_F(managed_lifetime_test, unnamed_segment_over_a_socket)
{
	int sockets[2];

	ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);

	child peer([&] {
		managed_kernel_memory mine(
			bip::open_only,
			region::adopt(receive_descriptor(sockets[1])));
		managed_kernel_memory view(
			bip::open_read_only,
			region::adopt(receive_descriptor(sockets[1])));

		if (!mine.opened_existing() || *mine.find<int>("a").first != 1)
			return 1;
		mine.construct<int>("b")(2);
		if (*view.find_shared<int>("b").first != 2)
			return 2;
		/* What was sent for reading stays for reading. */
		if (code_of([&] {
			    managed_kernel_memory(
				    bip::open_only,
				    region::adopt(::dup(view.native_handle())));
		    }) != errc::permission_denied)
			return 3;
		return 0;
	});
	{
		/* Made here, so that the peer has it from the socket alone. */
		managed_kernel_memory segment(
			bip::create_only, segment_options{}.set_size(65536));

		EXPECT_FALSE(segment.get_region().info().named());
		segment.construct<int>("a")(1);
		send_descriptor(sockets[0], segment.native_handle());
		send_descriptor(
			sockets[0],
			segment.get_region()
				.reopen(shm_kernel::access_mode::read_only)
				.native_handle());
		EXPECT_EQ(peer.wait(), 0);
		EXPECT_EQ(*segment.find<int>("b").first, 2);
	}
	::close(sockets[0]);
	::close(sockets[1]);
}

TEST_F(managed_lifetime_test, unnamed_segment_is_named_later)
{
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only,
				      segment_options{}.set_size(65536));

	segment.construct<int>("ready")(1);
	segment.get_region().bind(name);
	EXPECT_EQ(*managed_kernel_memory(bip::open_only, name.c_str())
			   .find<int>("ready")
			   .first,
		  1);
}

TEST_F(managed_lifetime_test, descriptor_is_not_for_exec)
{
	const managed_kernel_memory segment(bip::create_only,
					    segment_options{}.set_size(65536));

	EXPECT_TRUE(::fcntl(segment.native_handle(), F_GETFD) & FD_CLOEXEC);
}

/* The program runs itself, for after_exec. */
TEST_F(managed_lifetime_test, across_exec)
{
	managed_kernel_memory segment(bip::create_only,
				      segment_options{}.set_size(65536));

	segment.construct<int>("number")(41);
	EXPECT_EQ(child([&] {
			  const std::string fd = std::to_string(
				  ::dup(segment.native_handle()));

			  ::setenv("SHM_KERNEL_TEST_SEGMENT", fd.c_str(), 1);
			  ::execl("/proc/self/exe", "managed_lifetime_test",
				  "--gtest_filter=after_exec.*",
				  "--gtest_also_run_disabled_tests",
				  "--gtest_brief=1", nullptr);
			  return 1;
		  }).wait(),
		  0);
	EXPECT_EQ(*segment.find<int>("number").first, 42);
}

/* Run by the test above alone. */
TEST(after_exec, DISABLED_increments)
{
	const char *const fd = std::getenv("SHM_KERNEL_TEST_SEGMENT");

	ASSERT_TRUE(fd);

	managed_kernel_memory segment(bip::open_only,
				      region::adopt(std::atoi(fd)));

	EXPECT_EQ((*segment.find<int>("number").first)++, 41);
}

TEST_F(managed_lifetime_test, fork_shares_the_mapping)
{
	const auto name = fresh_name();
	auto segment = std::make_unique<managed_kernel_memory>(
		bip::create_only, name.c_str(), 65536);
	gate ready, go;
	child heir([&] {
		ready.open();
		go.wait();
		*segment->construct<int>("made by the child")(3) += 1;
		return *segment->find<int>("made by the child").first == 4 &&
				       name_there(name)
			       ? 0
			       : 1;
	});

	ready.wait();
	segment.reset();
	go.open();
	EXPECT_EQ(heir.wait(), 0);
	EXPECT_TRUE(eventually([&] { return !name_there(name); }));
}

/* ---- what is refused ---- */

TEST_F(managed_lifetime_test, region_that_is_no_segment)
{
	const auto name = fresh_name();
	auto source = region::create(name, 65536);
	std::string text;

	EXPECT_EQ(code_of(
			  [&] {
				  managed_kernel_memory(bip::open_only,
							name.c_str());
			  },
			  &text),
		  errc::layout_mismatch);
	EXPECT_NE(text.find("not made by this library"), std::string::npos)
		<< text;
	EXPECT_EQ(code_of([&] {
			  managed_kernel_memory(bip::open_or_create,
						name.c_str(), 65536);
		  }),
		  errc::layout_mismatch);
	EXPECT_EQ(code_of([&] {
			  managed_kernel_memory(bip::open_only,
						std::move(source));
		  }),
		  errc::layout_mismatch);
	/* What failed has not taken it. */
	EXPECT_TRUE(source);
	EXPECT_EQ(code_of([&] {
			  managed_kernel_memory(
				  bip::open_only,
				  region::open_node(shm_kernel::control_node));
		  }),
		  errc::layout_mismatch);
	EXPECT_EQ(code_of([&] {
			  managed_kernel_memory(bip::open_only, region());
		  }),
		  errc::empty_handle);
	EXPECT_FALSE(managed_kernel_memory::grow(name.c_str(), 4096));
	EXPECT_FALSE(managed_kernel_memory::shrink_to_fit(name.c_str()));
	EXPECT_EQ(source.size(), 65536U);
}

TEST_F(managed_lifetime_test, segment_of_other_types)
{
	namespace sk = shm_kernel;
	using stock = sk::basic_managed_kernel_memory<
		char, bip::rbtree_best_fit<bip::mutex_family>, bip::iset_index>;
	using strict = sk::basic_managed_kernel_memory<
		char, sk::segregated_fit<sk::strict_robust_mutex_family>,
		sk::hash_index>;
	const auto name = fresh_name();
	const managed_kernel_memory segment(bip::create_only, name.c_str(),
					    65536);
	std::string text;

	const auto refused = [&](auto *type) {
		using other = std::remove_pointer_t<decltype(type)>;

		text.clear();
		return code_of([&] { other(bip::open_only, name.c_str()); },
			       &text);
	};

	EXPECT_EQ(refused(static_cast<stock *>(nullptr)),
		  errc::layout_mismatch);
	EXPECT_NE(text.find("other C++ types"), std::string::npos) << text;
	EXPECT_EQ(refused(static_cast<strict *>(nullptr)),
		  errc::layout_mismatch);
	EXPECT_EQ(refused(static_cast<fixed_managed_kernel_memory *>(nullptr)),
		  errc::layout_mismatch);
	EXPECT_EQ(refused(static_cast<sk::wmanaged_kernel_memory *>(nullptr)),
		  errc::layout_mismatch);
	EXPECT_NE(text.find("4-byte"), std::string::npos) << text;
	EXPECT_NE(text.find("1-byte"), std::string::npos) << text;
	EXPECT_NE(text.find(name), std::string::npos) << text;
}

namespace {

/* A region that says of itself what @change makes of a segment's tag. */
template <typename Change>
std::string refused_with(Change change)
{
	auto stamp = shm_kernel::detail::segment_stamp<
		managed_kernel_memory::segment_manager>(65536);

	change(stamp);

	auto source = region::create(
		shm_kernel::create_options{}.set_size(65536).set_tag(
			&stamp, sizeof(stamp)));
	std::string text;

	EXPECT_EQ(code_of(
			  [&] {
				  managed_kernel_memory(bip::open_only,
							std::move(source));
			  },
			  &text),
		  errc::layout_mismatch);
	return text;
}

} // namespace

TEST_F(managed_lifetime_test, segment_of_another_layout)
{
	using stamp = shm_kernel::detail::layout_stamp;
	std::string text = refused_with([](stamp &each) {
		each.segment_abi = 7;
		each.boost_version = 109900;
	});

	EXPECT_NE(text.find("layout 7 of Boost"), std::string::npos) << text;
	EXPECT_NE(text.find("Boost 1.99"), std::string::npos) << text;
	text = refused_with([](stamp &each) { each.pointer_size = 4; });
	EXPECT_NE(text.find("32-bit"), std::string::npos) << text;
	EXPECT_NE(text.find("64-bit"), std::string::npos) << text;
	text = refused_with([](stamp &each) { ++each.revision; });
	EXPECT_NE(text.find("revision 2"), std::string::npos) << text;
	text = refused_with([](stamp &each) { ++each.types; });
	EXPECT_NE(text.find("other C++ types"), std::string::npos) << text;
	text = refused_with([](stamp &each) {
		each.kind = shm_kernel::detail::content::message_queue;
	});
	EXPECT_NE(text.find("message queue"), std::string::npos) << text;
	/* The right tag, but nothing there. */
	text = refused_with([](stamp &) {});
	EXPECT_NE(text.find("cleared"), std::string::npos) << text;
}

TEST_F(managed_lifetime_test, segment_that_was_cleared_or_cut_off)
{
	managed_kernel_memory segment(bip::create_only,
				      segment_options{}.set_size(65536));
	const auto reopened = [&] {
		return code_of([&] {
			managed_kernel_memory(
				bip::open_only,
				segment.get_region().reopen(
					shm_kernel::access_mode::read_write));
		});
	};

	EXPECT_EQ(reopened(), std::error_code());
	segment.get_region().resize(200);
	EXPECT_EQ(reopened(), errc::layout_mismatch);
	segment.get_region().resize(0);
	EXPECT_EQ(reopened(), errc::layout_mismatch);
	segment.get_region().resize(65536);
	EXPECT_EQ(reopened(), errc::layout_mismatch);
}

/* Without robust mutexes there is less in the header to tell it by. */
TEST_F(managed_lifetime_test, cleared_segment_with_pieces_of_boost)
{
	using stock = shm_kernel::basic_managed_kernel_memory<
		char, bip::rbtree_best_fit<bip::mutex_family>, bip::iset_index>;
	stock segment(bip::create_only, segment_options{}.set_size(65536));

	segment.get_region().clear();
	EXPECT_EQ(code_of([&] {
			  stock(bip::open_only,
				segment.get_region().reopen(
					shm_kernel::access_mode::read_write));
		  }),
		  errc::layout_mismatch);
}

TEST_F(managed_lifetime_test, header_that_lies)
{
	managed_kernel_memory segment(bip::create_only,
				      segment_options{}.set_size(65536));
	region source = segment.get_region().reopen(
		shm_kernel::access_mode::read_write);
	shm_kernel::detail::segment_facts good, bad;

	source.read(0, &good, sizeof(good));
	for (const auto field :
	     {&decltype(good)::allocator_mutex, &decltype(good)::index_mutex,
	      &decltype(good)::named_index, &decltype(good)::unique_index})
		for (const std::uint32_t value :
		     {0U, 1U, 56U, good.index_mutex + 1, 65536U, 0xfffffff8U}) {
			bad = good;
			bad.*field = value;
			source.write(0, &bad, sizeof(bad));
			EXPECT_EQ(code_of([&] {
					  managed_kernel_memory(
						  bip::open_only,
						  std::move(source));
				  }),
				  errc::layout_mismatch)
				<< value;
		}
	source.write(0, &good, sizeof(good));
	EXPECT_NO_THROW(
		managed_kernel_memory(bip::open_only, std::move(source)));
	EXPECT_FALSE(source);
}

TEST_F(managed_lifetime_test, names_that_cannot_be)
{
	EXPECT_EQ(thrown_by([] {
			  managed_kernel_memory(bip::create_only,
						std::string(256, 'x').c_str(),
						65536);
		  }),
		  (failure{ENAMETOOLONG, bip::path_error}));
	for (const char *const name : {"", "/", ".", "..", "a/b"}) {
		EXPECT_EQ(code_of([&] {
				  managed_kernel_memory(bip::create_only, name,
							65536);
			  }),
			  errc::invalid_name)
			<< name;
		EXPECT_EQ(code_of([&] {
				  managed_kernel_memory(bip::open_or_create,
							name, 65536);
			  }),
			  errc::invalid_name)
			<< name;
		EXPECT_EQ(code_of([&] {
				  managed_kernel_memory(bip::open_only, name);
			  }),
			  errc::invalid_name)
			<< name;
	}
	EXPECT_EQ(code_of([] {
			  managed_kernel_memory(
				  bip::open_or_create,
				  segment_options{}.set_size(65536));
		  }),
		  errc::invalid_name);
}

TEST_F(managed_lifetime_test, mode_of_the_region)
{
	if (!root())
		GTEST_SKIP() << "only root can become another user";

	const test::open_for_all opened;
	const auto name = fresh_name();
	managed_kernel_memory segment(bip::create_only, name.c_str(), 65536,
				      nullptr, bip::permissions(0644));

	segment.construct<int>("answer")(42);
	EXPECT_EQ(
		child([&] {
			const failure denied{EACCES, bip::security_error};

			test::become(65534);
			if (!(thrown_by([&] {
				      managed_kernel_memory(bip::open_only,
							    name.c_str());
			      }) == denied))
				return 1;
			if (!(thrown_by([&] {
				      managed_kernel_memory(bip::open_or_create,
							    name.c_str(),
							    65536);
			      }) == denied))
				return 2;
			if (!(thrown_by([&] {
				      managed_kernel_memory(bip::create_only,
							    name.c_str(),
							    65536);
			      }) == failure{EEXIST, bip::already_exists_error}))
				return 3;
			if (managed_kernel_memory::grow(name.c_str(), 1))
				return 4;

			managed_kernel_memory view(bip::open_read_only,
						   name.c_str());

			return *view.find_shared<int>("answer").first == 42 ? 0
									    : 5;
		}).wait(),
		0);
	segment.get_region().chmod(0);
	EXPECT_EQ(child([&] {
			  test::become(65534);
			  return thrown_by([&] {
					 managed_kernel_memory(bip::create_only,
							       name.c_str(),
							       65536);
				 }) == failure{EEXIST,
					       bip::already_exists_error}
					 ? 0
					 : 1;
		  }).wait(),
		  0);
}

TEST_F(managed_lifetime_test, limit_of_a_user)
{
	constexpr const char *limit =
		"/sys/module/shm_kernel_driver/parameters/max_user";
	std::string before;

	std::ifstream(limit) >> before;
	if (!root() || before.empty())
		GTEST_SKIP() << "cannot set " << limit;
	std::ofstream(limit) << "1M" << std::flush;

	const test::open_for_all opened;
	const auto name = fresh_name();
	const int result =
		child([&] {
			test::become(65534);

			managed_kernel_memory segment(
				bip::create_only,
				segment_options{}
					.set_name(name)
					.set_size(600000)
					.set_max_size(1 << 24));

			if (code_of([&] { segment.grow_online(600000); }) !=
			    errc::limit_reached)
				return 1;
			if (!segment.check_sanity() ||
			    segment.get_size() > 600000)
				return 2;
			if (!(thrown_by([&] {
				      managed_kernel_memory(
					      bip::create_only,
					      fresh_name().c_str(), 600000);
			      }) == failure{ENOSPC, bip::out_of_space_error}))
				return 3;
			/* Nothing is made to find out that a name is taken. */
			if (!(thrown_by([&] {
				      managed_kernel_memory(bip::create_only,
							    name.c_str(),
							    600000);
			      }) == failure{EEXIST, bip::already_exists_error}))
				return 6;
			/* The one that is there is found, not made again. */
			if (!managed_kernel_memory(bip::open_or_create,
						   name.c_str(), 600000)
				     .opened_existing())
				return 4;
			segment.grow_online(100000);
			return managed_kernel_memory::grow(name.c_str(), 600000)
				       ? 5
				       : 0;
		}).wait();

	std::ofstream(limit) << before << std::flush;
	EXPECT_EQ(result, 0);
}

TEST_F(managed_lifetime_test, memory_that_is_not_there)
{
	const auto name = fresh_name();

	if (!root())
		GTEST_SKIP() << "others are stopped by their limit";
	EXPECT_EQ(thrown_by([&] {
			  managed_kernel_memory(bip::create_only, name.c_str(),
						std::size_t(1) << 45);
		  }),
		  (failure{ENOMEM, bip::out_of_memory_error}));
	EXPECT_EQ(thrown_by([&] {
			  managed_kernel_memory(bip::create_only, name.c_str(),
						~std::size_t(0));
		  }),
		  size_failure);
	/* Address space for it there is not, either. */
	EXPECT_EQ(
		thrown_by([&] {
			managed_kernel_memory(
				bip::create_only,
				segment_options{}
					.set_name(name)
					.set_size(65536)
					.set_max_size(std::uint64_t(1) << 60));
		}),
		(failure{ENOMEM, bip::out_of_memory_error}));
	EXPECT_FALSE(name_there(name));
}

TEST_F(managed_lifetime_test, without_the_device)
{
	if (!root())
		GTEST_SKIP() << "only root can have another /dev";
	EXPECT_EQ(
		test::with_empty_dev([] {
			const auto missing = [](auto call) {
				return code_of(call) == errc::device_missing;
			};

			if (!missing([] {
				    managed_kernel_memory(bip::create_only, "x",
							  65536);
			    }))
				return 1;
			if (!missing([] {
				    managed_kernel_memory(bip::open_or_create,
							  "x", 65536);
			    }))
				return 2;
			if (!missing([] {
				    managed_kernel_memory(bip::open_only, "x");
			    }))
				return 3;
			if (!missing([] {
				    managed_kernel_memory(
					    bip::create_only,
					    segment_options{}.set_size(65536));
			    }))
				return 4;
			return managed_kernel_memory::grow("x", 1) ? 5 : 0;
		}),
		0);
}

TEST_F(managed_lifetime_test, reservation_costs_address_space_only)
{
	const auto name = fresh_name();
	const managed_kernel_memory segment(
		bip::create_only,
		segment_options{}.set_name(name).set_size(65536).set_max_size(
			std::uint64_t(1) << 38));
	const managed_kernel_memory peer(bip::open_only, name.c_str());
	const managed_kernel_memory view(bip::open_read_only, name.c_str());
	managed_kernel_memory copy(bip::open_copy_on_write, name.c_str());

	EXPECT_EQ(view.max_size(), std::size_t(1) << 38);
	copy.construct<int>("own")(1);
	EXPECT_EQ(segment.get_region().info().allocated(), 65536U);
}

/* ---- fixed addresses ---- */

namespace {

struct linked
{
	linked *next;
	int value;
};

} // namespace

TEST_F(managed_lifetime_test, raw_pointers_hold_in_all_processes)
{
	const auto name = fresh_name();
	gate go;
	/* Forked before the segment is there, so that nobody inherits it. */
	child peer([&] {
		go.wait();

		fixed_managed_kernel_memory mine(bip::open_only, name.c_str());
		int sum = 0;

		for (const linked *each = *mine.find<linked *>("head").first;
		     each; each = each->next)
			sum += each->value;
		mine.construct<void *>("address")(mine.get_address());
		return sum;
	});

	fixed_managed_kernel_memory segment(bip::create_only, name.c_str(),
					    65536);
	linked **const head = segment.construct<linked *>("head")(nullptr);

	for (int i = 1; i <= 10; ++i)
		*head = segment.construct<linked>(bip::anonymous_instance)(
			linked{*head, i});
	go.open();
	EXPECT_EQ(peer.wait(), 55);
	EXPECT_EQ(*segment.find<void *>("address").first,
		  segment.get_address());

	/* Here it is mapped already. */
	EXPECT_EQ(thrown_by([&] {
			  fixed_managed_kernel_memory(bip::open_only,
						      name.c_str());
		  }),
		  (failure{EBUSY, bip::busy_error}));
	EXPECT_EQ(thrown_by([&] {
			  fixed_managed_kernel_memory(
				  bip::open_only, name.c_str(),
				  static_cast<char *>(segment.get_address()) +
					  (1 << 24));
		  }),
		  (failure{EINVAL, bip::invalid_argument}));
	EXPECT_EQ(thrown_by([&] {
			  fixed_managed_kernel_memory(
				  bip::create_only, fresh_name().c_str(), 65536,
				  segment.get_address());
		  }),
		  (failure{EBUSY, bip::busy_error}));
}

TEST_F(managed_lifetime_test, fixed_segment_comes_back_to_its_place)
{
	using fixed = shm_kernel::fixed_persistent_managed_kernel_memory;
	const segment_name<fixed> name;
	/* Where there is room to grow into. */
	void *const place = ::mmap(nullptr, 1 << 26, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(place, MAP_FAILED);
	::munmap(place, 1 << 26);
	{
		fixed segment(bip::create_only, segment_options{}
							.set_name(name.name)
							.set_size(65536)
							.set_max_size(1 << 22)
							.set_address(place));

		EXPECT_EQ(segment.get_address(), place);
		segment.construct<int *>("pointer")(
			segment.construct<int>(bip::anonymous_instance)(8));
	}
	{
		fixed segment(bip::open_only, name.get(), place);

		EXPECT_EQ(segment.get_address(), place);
		EXPECT_EQ(**segment.find<int *>("pointer").first, 8);
		segment.grow_online(1 << 20);
		segment.construct<char>("large")[1 << 19]();
	}
	/* Where there is none it stays as it was. */
	void *const behind = ::mmap(
		static_cast<char *>(place) + (1 << 22), 4096, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	ASSERT_NE(behind, MAP_FAILED);
	EXPECT_FALSE(fixed::grow(name.get(), 1 << 23));
	EXPECT_EQ(fixed(bip::open_only, name.get()).get_size(),
		  65536U + (1 << 20));
	::munmap(behind, 4096);
	EXPECT_TRUE(fixed::grow(name.get(), 1 << 23));
	{
		fixed segment(bip::open_or_create, name.get(), 65536);

		EXPECT_EQ(segment.get_address(), place);
		EXPECT_EQ(**segment.find<int *>("pointer").first, 8);
		EXPECT_TRUE(segment.check_sanity());
		segment.destroy<char>("large");
	}
	EXPECT_TRUE(fixed::shrink_to_fit(name.get()));
	EXPECT_EQ(**fixed(bip::open_copy_on_write, name.get())
			    .find<int *>("pointer")
			    .first,
		  8);
	EXPECT_EQ(**fixed(bip::open_read_only, name.get())
			    .find_shared<int *>("pointer")
			    .first,
		  8);
}
