/* SPDX-License-Identifier: BSL-1.0 */
/*
 * events: rings, peers that come and go, and ways to wait for them
 */

#include "support.hpp"

#include <linux/shm_kernel.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>

using shm_kernel::access_mode;
using shm_kernel::create_options;
using shm_kernel::errc;
using shm_kernel::event_counts;
using shm_kernel::event_mode;
using shm_kernel::events;
using shm_kernel::region;
using shm_kernel::seal;
using test::child;
using test::error_of;
using test::eventually;
using test::fresh_name;
using test::gate;
using namespace std::chrono_literals;

namespace {

region unnamed()
{
	return region::create(create_options{}.set_size(4096));
}

/* What poll() says of a peer just now. */
short state_of(const events &peer)
{
	struct pollfd look = {};

	look.fd = peer.native_handle();
	look.events = POLLIN | POLLOUT | POLLPRI;
	if (::poll(&look, 1, 0) < 0)
		return -1;
	return look.revents;
}

bool is_quiet(events &peer)
{
	return !peer.try_read();
}

/* All that comes until there are as many of @what as expected, as one. */
template <typename What>
event_counts read_until(events &peer, What event_counts::*what, What expected)
{
	event_counts sum;

	while (sum.*what < expected) {
		const event_counts some = peer.read();

		sum.rings += some.rings;
		sum.peers_come += some.peers_come;
		sum.peers_gone += some.peers_gone;
		sum.resized += some.resized;
		sum.sealed += some.sealed;
		sum.peers = some.peers;
	}
	return sum;
}

/* Sends a descriptor over a socket, and takes one from there. */
void send_descriptor(int socket, int fd)
{
	char byte = 0;
	struct iovec data = {&byte, 1};
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
	struct msghdr message = {};

	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = control;
	message.msg_controllen = sizeof(control);

	struct cmsghdr *const header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (::sendmsg(socket, &message, 0) != 1)
		throw std::system_error(errno, std::system_category(),
					"sendmsg");
}

int receive_descriptor(int socket)
{
	char byte;
	struct iovec data = {&byte, 1};
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
	struct msghdr message = {};
	int fd;

	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = control;
	message.msg_controllen = sizeof(control);
	if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 ||
	    !CMSG_FIRSTHDR(&message))
		throw std::system_error(errno, std::system_category(),
					"recvmsg");
	std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* Interrupts this thread every few milliseconds, without SA_RESTART. */
class interruptions final
{
public:
	interruptions()
	{
		struct sigaction action = {};
		const struct itimerval often = {{0, 5000}, {0, 5000}};

		count() = 0;
		action.sa_handler = [](int) { ++count(); };
		::sigaction(SIGALRM, &action, &m_before);
		::setitimer(ITIMER_REAL, &often, nullptr);
	}
	interruptions(const interruptions &) = delete;
	interruptions &operator=(const interruptions &) = delete;
	~interruptions()
	{
		const struct itimerval never = {};

		::setitimer(ITIMER_REAL, &never, nullptr);
		::sigaction(SIGALRM, &m_before, nullptr);
	}

	static std::atomic<int> &count()
	{
		static std::atomic<int> instance;

		return instance;
	}

private:
	struct sigaction m_before;
};

} // namespace

/* A test that waits for what does not come is ended, not waited for. */
class events_test : public test::device_test
{
protected:
	void SetUp() override
	{
		::alarm(test::patience);
		device_test::SetUp();
	}

	void TearDown() override
	{
		device_test::TearDown();
		::alarm(0);
	}
};

TEST_F(events_test, rings_add_up_until_they_are_read)
{
	const region made = unnamed();
	events a(made), b(made);

	EXPECT_TRUE(a);
	a.read();
	b.ring();
	b.ring(3);
	b.ring(5);

	const event_counts counts = a.read();

	EXPECT_EQ(counts.rings, 9U);
	EXPECT_EQ(counts.peers, 1U);
	EXPECT_EQ(counts.peers_come, 0U);
	EXPECT_EQ(counts.peers_gone, 0U);
	EXPECT_TRUE(is_quiet(a));
	EXPECT_TRUE(is_quiet(b)) << "heard its own rings";
}

TEST_F(events_test, ring_reaches_every_other_peer)
{
	const region made = unnamed();
	std::array<events, 5> peers;

	for (events &each : peers)
		each = events(made);
	for (events &each : peers)
		each.try_read();
	for (events &each : peers)
		each.ring(10);
	peers[2].ring(7);
	for (std::size_t i = 0; i < peers.size(); ++i)
		EXPECT_EQ(peers[i].read().rings, i == 2 ? 40U : 47U) << i;
	for (events &each : peers)
		EXPECT_TRUE(is_quiet(each));
}

TEST_F(events_test, large_and_impossible_counts)
{
	const region made = unnamed();
	const std::uint64_t most = ~std::uint64_t{0}, bound = 0xffffffff;
	events a(made), b(made);

	a.read();
	EXPECT_EQ(error_of([&](auto &e) { b.ring(0, e); }),
		  std::errc::invalid_argument);
	EXPECT_EQ(error_of([&](auto &e) { b.ring(most, e); }),
		  std::errc::invalid_argument);
	EXPECT_THROW(b.ring(0), std::system_error);
	EXPECT_TRUE(is_quiet(a));
	/* At most so many at once, but no end to how many there are. */
	for (const std::uint64_t times :
	     {bound - 1, bound, bound + 1, most / 2, most - 1}) {
		b.ring(times);
		EXPECT_EQ(a.read().rings, std::min(times, bound));
	}
	for (int i = 0; i < 10; ++i)
		b.ring(bound);
	EXPECT_EQ(a.read().rings, 10 * bound);
}

TEST_F(events_test, newcomer_hears_only_what_comes_after)
{
	region made = unnamed();
	events early(made), ringer(made);

	ringer.ring(100);
	made.resize(8192);
	made.add_seals(seal::shrink);

	events late(made);

	EXPECT_TRUE(is_quiet(late));
	EXPECT_EQ(state_of(late), POLLOUT);
	ringer.ring();

	const event_counts counts = late.read();
	event_counts expected;

	expected.rings = 1;
	expected.peers = 2;
	EXPECT_EQ(counts, expected) << counts;
}

TEST_F(events_test, regions_do_not_hear_each_other)
{
	const region one = unnamed(), other = unnamed();
	events a(one), b(other);

	a.ring();
	EXPECT_TRUE(is_quiet(b));
	EXPECT_EQ(other.info().rings(), 0U);
	EXPECT_EQ(one.info().rings(), 1U);
}

TEST_F(events_test, peers_come_and_go)
{
	const region made = unnamed();
	events here(made);
	event_counts counts;

	EXPECT_TRUE(is_quiet(here)) << "it is not another peer of itself";
	{
		const events first(made), second(made);

		counts = here.read();
		EXPECT_EQ(counts.peers_come, 2U);
		EXPECT_EQ(counts.peers_gone, 0U);
		EXPECT_EQ(counts.peers, 2U);
	}
	counts = read_until(here, &event_counts::peers_gone, 2U);
	EXPECT_EQ(counts.peers_gone, 2U);
	EXPECT_EQ(counts.peers_come, 0U);
	EXPECT_EQ(counts.peers, 0U);
	/* Nothing of it is lost on one who does not look. */
	for (int i = 0; i < 100; ++i)
		events(made).ring();
	EXPECT_TRUE(eventually([&] { return made.info().peers() == 1; }));
	counts = here.read();
	EXPECT_EQ(counts.peers_come, 100U);
	EXPECT_EQ(counts.peers_gone, 100U);
	EXPECT_EQ(counts.rings, 100U);
	EXPECT_EQ(counts.peers, 0U);
}

TEST_F(events_test, killed_peer_is_gone)
{
	const std::string name = fresh_name();
	const region made = region::create(name, 4096);
	events here(made);
	gate ready;
	child peer([&] {
		events there(region::open(name));

		there.ring(2);
		ready.open();
		return test::until_killed();
	});

	ready.wait();

	event_counts counts = here.read();

	EXPECT_EQ(counts.peers_come, 1U);
	EXPECT_EQ(counts.rings, 2U);
	EXPECT_EQ(counts.peers, 1U);
	EXPECT_TRUE(is_quiet(here));
	EXPECT_EQ(peer.kill(), child::killed);
	/* It waits for just that, and for nothing else. */
	counts = here.read();
	EXPECT_EQ(counts.peers_gone, 1U);
	EXPECT_EQ(counts.rings, 0U);
	EXPECT_EQ(counts.peers, 0U);
}

TEST_F(events_test, peer_killed_while_it_waits_is_gone)
{
	const std::string name = fresh_name();
	const region made = region::create(name, 4096);
	events here(made);
	gate ready;
	child peer([&] {
		events there(region::open(name));

		ready.open();
		there.read();
		return 1;
	});

	ready.wait();
	EXPECT_EQ(here.read().peers_come, 1U);
	std::this_thread::sleep_for(30ms);
	EXPECT_EQ(peer.kill(), child::killed);
	EXPECT_EQ(here.read().peers_gone, 1U);
}

TEST_F(events_test, dup_is_the_same_peer)
{
	const region made = unnamed();
	events a(made), b(made);
	events again = events::adopt(::dup(b.native_handle()));

	EXPECT_EQ(made.info().peers(), 2U);
	EXPECT_EQ(a.read().peers_come, 1U);
	again.ring();
	EXPECT_EQ(a.read().rings, 1U);
	EXPECT_TRUE(is_quiet(b)) << "a peer does not hear itself";
	a.ring(3);
	EXPECT_TRUE(again.wait(0ns));
	EXPECT_TRUE(b.wait(0ns));
	EXPECT_EQ(again.read().rings, 3U);
	EXPECT_TRUE(is_quiet(b)) << "each event goes to one of those who read";
	b.close();
	EXPECT_TRUE(is_quiet(a)) << "gone while a descriptor is open";
	again.close();
	EXPECT_EQ(a.read().peers_gone, 1U);
}

TEST_F(events_test, fork_shares_the_peer)
{
	const region made = unnamed();
	events a(made), b(made);
	gate ready, go;
	child sharer([&] {
		if (b.read().rings != 4)
			return 1;
		/* Not for the parent's end of the same peer. */
		b.ring(6);
		ready.open();
		go.wait();
		return 0;
	});

	EXPECT_EQ(made.info().peers(), 2U);
	EXPECT_EQ(a.read().peers_come, 1U);
	a.ring(4);
	ready.wait();
	EXPECT_TRUE(is_quiet(b));
	EXPECT_EQ(a.read().rings, 6U);
	b.close();
	EXPECT_TRUE(is_quiet(a)) << "the child still is that peer";
	/* But the child has a, too: only of itself may it be the last. */
	go.open();
	EXPECT_EQ(sharer.wait(), 0);
	EXPECT_EQ(a.read().peers_gone, 1U);
}

TEST_F(events_test, child_that_wants_its_own_subscribes)
{
	const region made = unnamed();
	events here(made);
	gate ready, done;
	child other([&] {
		here.close();

		events own(made);

		ready.open();
		if (own.read().rings != 1)
			return 1;
		own.ring(2);
		done.wait();
		return 0;
	});

	ready.wait();

	const event_counts came = here.read();

	EXPECT_EQ(came.peers_come, 1U);
	EXPECT_EQ(came.peers_gone, 0U);
	here.ring();
	EXPECT_EQ(here.read().rings, 2U);
	done.open();
	EXPECT_EQ(other.wait(), 0);
	EXPECT_EQ(here.read().peers_gone, 1U);
}

TEST_F(events_test, event_file_travels_over_a_socket)
{
	const region made = unnamed();
	events here(made);
	int ends[2];

	ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
		  0);

	gate closed;
	child receiver([&] {
		here.close();
		closed.open();
		::close(ends[0]);

		events got = events::adopt(receive_descriptor(ends[1]));
		const event_counts counts = got.read();

		if (counts.rings != 5 || counts.peers != 1)
			return 1;
		if (!(::fcntl(got.native_handle(), F_GETFD) & FD_CLOEXEC))
			return 2;
		got.ring(8);
		return 0;
	});

	closed.wait();
	::close(ends[1]);
	{
		events sent(made);

		EXPECT_EQ(here.read().peers_come, 1U);
		here.ring(5);
		send_descriptor(ends[0], sent.native_handle());
	}
	EXPECT_EQ(receiver.wait(), 0);

	const event_counts counts =
		read_until(here, &event_counts::peers_gone, 1U);

	EXPECT_EQ(counts.rings, 8U);
	EXPECT_EQ(counts.peers_come, 0U);
	::close(ends[0]);
}

TEST_F(events_test, peer_in_a_socket_goes_with_the_socket)
{
	const region made = unnamed();
	events here(made);
	int ends[2];

	ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
		  0);
	send_descriptor(ends[0], events(made).native_handle());
	EXPECT_EQ(here.read().peers, 1U);
	EXPECT_TRUE(is_quiet(here));
	::close(ends[0]);
	::close(ends[1]);
	/* The kernel may take its time to free what was under way. */
	EXPECT_TRUE(here.wait(30s));
	EXPECT_EQ(here.read().peers_gone, 1U);
}

TEST_F(events_test, peer_of_a_read_only_handle_waits_but_does_not_ring)
{
	const region made = unnamed();
	const region reader = made.reopen(access_mode::read_only);
	events ringer(made), listener(reader);
	const __u64 one = 1;

	EXPECT_EQ(listener.access(), access_mode::read_only);
	EXPECT_EQ(ringer.access(), access_mode::read_write);
	EXPECT_EQ(error_of([&](auto &e) { listener.ring(1, e); }),
		  errc::permission_denied);
	EXPECT_EQ(::write(listener.native_handle(), &one, sizeof(one)), -1);
	EXPECT_EQ(errno, EBADF);
	EXPECT_EQ(state_of(listener), 0);
	EXPECT_EQ(ringer.read().rings, 0U);
	ringer.ring();
	EXPECT_EQ(state_of(listener), POLLIN);
	EXPECT_EQ(listener.read().rings, 1U);
	EXPECT_EQ(made.info().rings(), 1U);

	/* Nor is there a way to another descriptor of it. */
	const std::string path =
		"/proc/self/fd/" + std::to_string(listener.native_handle());

	EXPECT_EQ(::open(path.c_str(), O_RDWR | O_CLOEXEC), -1);
}

TEST_F(events_test, blocking_read_waits)
{
	const region made = unnamed();
	events here(made);
	gate go, done;
	child ringer([&] {
		here.close();

		events own(made);

		go.wait();
		std::this_thread::sleep_for(100ms);
		own.ring();
		done.wait();
		return 0;
	});

	EXPECT_EQ(here.mode(), event_mode::blocking);
	EXPECT_EQ(here.read().peers_come, 1U);

	const auto before = std::chrono::steady_clock::now();

	go.open();
	EXPECT_EQ(here.read().rings, 1U);
	EXPECT_GE(std::chrono::steady_clock::now() - before, 100ms);
	done.open();
	EXPECT_EQ(ringer.wait(), 0);
}

TEST_F(events_test, non_blocking_mode_says_so)
{
	const region made = unnamed();
	events here(made, event_mode::non_blocking), other(made);
	const auto again = std::errc::resource_unavailable_try_again;

	EXPECT_EQ(here.mode(), event_mode::non_blocking);
	EXPECT_EQ(other.mode(), event_mode::blocking);
	here.read();
	EXPECT_EQ(error_of([&](auto &e) { here.read(e); }), again);
	EXPECT_THROW(here.read(), std::system_error);
	EXPECT_FALSE(here.try_read());
	other.ring();
	EXPECT_EQ(here.read().rings, 1U);
	/* And the other way round, at any time. */
	other.set_mode(event_mode::non_blocking);
	EXPECT_EQ(error_of([&](auto &e) { other.read(e); }), again);
	here.set_mode(event_mode::blocking);
	EXPECT_EQ(here.mode(), event_mode::blocking);
	EXPECT_EQ(here.access(), access_mode::read_write);
}

TEST_F(events_test, try_read_never_waits)
{
	const region made = unnamed();
	events here(made), other(made);

	here.read();
	EXPECT_FALSE(here.try_read());
	other.ring(2);

	const std::optional<event_counts> counts = here.try_read();

	ASSERT_TRUE(counts);
	EXPECT_EQ(counts->rings, 2U);
	EXPECT_FALSE(here.try_read());
}

/*
 * Two who share a peer, and one ring at a time: who loses the race for it must
 * not sleep until the next, which only comes when both are there again.
 */
TEST_F(events_test, try_read_never_waits_for_what_another_has_taken)
{
	constexpr int rounds = 500;
	const region made = unnamed();
	events ringer(made), shared(made);
	gate go, done;
	child taker([&] {
		ringer.close();
		for (int i = 0; i < rounds; ++i) {
			go.wait();
			shared.try_read();
			done.open();
		}
		return 0;
	});

	shared.try_read();
	for (int i = 0; i < rounds; ++i) {
		ringer.ring();
		go.open();
		shared.try_read();
		done.wait();
	}
	EXPECT_EQ(taker.wait(), 0);
}

TEST_F(events_test, signals_do_not_end_a_wait)
{
	const region made = unnamed();
	events here(made);
	gate ready;
	child ringer([&] {
		here.close();

		events own(made);

		ready.open();
		for (;;) {
			std::this_thread::sleep_for(100ms);
			own.ring();
		}
		return 1;
	});

	ready.wait();
	EXPECT_EQ(here.read().peers_come, 1U);

	const interruptions often;

	EXPECT_GE(here.read().rings, 1U);
	EXPECT_GT(often.count(), 0);
	EXPECT_TRUE(here.wait());
	EXPECT_GE(here.read().rings, 1U);
	EXPECT_TRUE(here.wait(30s));

	/* What is raw is interrupted: the program may want to know. */
	EXPECT_TRUE(eventually([&] {
		struct shm_kernel_events raw;

		return ::read(here.native_handle(), &raw, sizeof(raw)) < 0 &&
		       errno == EINTR;
	}));
}

TEST_F(events_test, waits_end_in_time)
{
	using clock = std::chrono::steady_clock;
	const region made = unnamed();
	events here(made);
	const interruptions often;

	for (const auto timeout : {0ms, 1ms, 60ms}) {
		const auto before = clock::now();

		EXPECT_FALSE(here.wait(timeout));
		EXPECT_GE(clock::now() - before, timeout);
	}

	const auto deadline = clock::now() + 40ms;

	EXPECT_FALSE(here.wait_until(deadline));
	EXPECT_GE(clock::now(), deadline);
	EXPECT_FALSE(here.wait_until(clock::now() - 1h));
	EXPECT_FALSE(here.wait_until({}));

	events other(made);

	EXPECT_TRUE(here.wait(0ns));
	EXPECT_TRUE(here.wait_until(clock::now() - 1h));
	EXPECT_TRUE(here.wait());
	EXPECT_TRUE(here.wait(std::chrono::nanoseconds::max()));
	EXPECT_TRUE(here.wait_until(clock::time_point::max()));
	EXPECT_EQ(here.read().peers_come, 1U) << "a wait took it";
	EXPECT_FALSE(here.wait(0ns));
	EXPECT_FALSE(other.wait(1ms));
}

TEST_F(events_test, wait_is_woken_in_either_mode)
{
	for (const event_mode mode :
	     {event_mode::blocking, event_mode::non_blocking}) {
		const region made = unnamed();
		events here(made, mode), other(made);
		gate ready;

		here.read();

		child waiter([&] {
			other.close();
			ready.open();
			return here.wait(30s) && here.read().rings == 1 ? 0 : 1;
		});

		ready.wait();
		std::this_thread::sleep_for(50ms);
		other.ring();
		EXPECT_EQ(waiter.wait(), 0);
	}
}

TEST_F(events_test, every_waiter_is_woken)
{
	constexpr int waiters = 8;
	const std::string name = fresh_name();
	const region made = region::create(name, 4096);
	events here(made);
	std::vector<child> children;
	gate ready;

	for (int i = 0; i < waiters; ++i)
		children.emplace_back([&, i] {
			events own(region::open(name));

			here.close();
			ready.open();
			/* Others come: only a ring counts. */
			if (i % 2)
				return read_until(own, &event_counts::rings,
						  std::uint64_t{1})
							       .rings == 1
					       ? 0
					       : 1;
			for (;;) {
				if (!own.wait(30s))
					return 2;
				if (own.read().rings)
					return 0;
			}
		});
	ready.wait(waiters);
	std::this_thread::sleep_for(50ms);
	here.ring();
	for (child &each : children)
		EXPECT_EQ(each.wait(), 0);
}

TEST_F(events_test, raw_reads_and_writes_of_odd_sizes)
{
	const region made = unnamed();
	events here(made), other(made);
	const int fd = here.native_handle();
	struct
	{
		struct shm_kernel_events counts;
		char beyond[64];
	} raw;

	here.read();
	/* Refused before anything else: also when there is nothing to read. */
	for (std::size_t size = 0; size < SHM_KERNEL_EVENTS_SIZE_VER0; ++size) {
		EXPECT_EQ(::read(fd, &raw, size), -1) << size;
		EXPECT_EQ(errno, EINVAL) << size;
	}
	other.ring(3);
	for (std::size_t size = 0; size < SHM_KERNEL_EVENTS_SIZE_VER0; ++size) {
		EXPECT_EQ(::read(fd, &raw, size), -1) << size;
		EXPECT_EQ(errno, EINVAL) << size;
	}
	std::memset(&raw, 0xcc, sizeof(raw));
	EXPECT_EQ(::read(fd, &raw, sizeof(raw)),
		  static_cast<ssize_t>(sizeof(raw.counts)));
	EXPECT_EQ(raw.counts.rings, 3U);
	EXPECT_EQ(raw.counts.revoked, 0U);
	for (const char each : raw.beyond)
		EXPECT_EQ(static_cast<unsigned char>(each), 0xcc);
	EXPECT_TRUE(is_quiet(here));

	void *const nowhere = ::mmap(nullptr, 4096, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* A bad address takes nothing. */
	other.ring(2);
	EXPECT_EQ(::read(fd, nowhere, sizeof(raw.counts)), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(here.read().rings, 2U);

	const std::uint64_t two[2] = {1, 1};

	for (std::size_t size = 0; size < sizeof(two[0]); ++size) {
		EXPECT_EQ(::write(fd, two, size), -1) << size;
		EXPECT_EQ(errno, EINVAL) << size;
	}
	EXPECT_EQ(::write(fd, nowhere, sizeof(two[0])), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_TRUE(is_quiet(other));
	::munmap(nowhere, 4096);
	EXPECT_EQ(::lseek(fd, 0, SEEK_SET), -1);
	EXPECT_EQ(errno, ESPIPE);
	EXPECT_EQ(::ioctl(fd, SHM_KERNEL_IOC_CLEAR, &raw), -1);
	EXPECT_EQ(errno, ENOTTY);
}

TEST_F(events_test, subscribe_checks_its_fields)
{
	const region made = unnamed();
	const int fd = made.native_handle();
	struct
	{
		struct shm_kernel_subscribe known;
		std::uint64_t unknown;
	} raw = {{sizeof(raw), 0}, 0};
	int peer;

	peer = ::ioctl(fd, SHM_KERNEL_IOC_SUBSCRIBE, &raw);
	EXPECT_GE(peer, 0);
	::close(peer);
	raw.unknown = 1;
	EXPECT_EQ(::ioctl(fd, SHM_KERNEL_IOC_SUBSCRIBE, &raw), -1);
	EXPECT_EQ(errno, E2BIG);
	raw.known.size = SHM_KERNEL_SUBSCRIBE_SIZE_VER0 - 1;
	EXPECT_EQ(::ioctl(fd, SHM_KERNEL_IOC_SUBSCRIBE, &raw), -1);
	EXPECT_EQ(errno, EINVAL);
	raw.known.size = SHM_KERNEL_SUBSCRIBE_SIZE_VER0;
	for (const __u32 flags : {1U, unsigned{O_CLOEXEC}, ~0U}) {
		raw.known.flags = flags;
		EXPECT_EQ(::ioctl(fd, SHM_KERNEL_IOC_SUBSCRIBE, &raw), -1);
		EXPECT_EQ(errno, EINVAL);
	}
	EXPECT_EQ(::ioctl(fd, SHM_KERNEL_IOC_SUBSCRIBE, nullptr), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(made.info().peers(), 0U) << "a failed call left a peer";
}

TEST_F(events_test, descriptor_is_close_on_exec)
{
	const region made = unnamed();
	const events here(made);

	EXPECT_TRUE(::fcntl(here.native_handle(), F_GETFD) & FD_CLOEXEC);
	EXPECT_EQ(here.access(), access_mode::read_write);
}

TEST_F(events_test, poll_tells_what_can_be_done)
{
	const region made = unnamed();
	events here(made);

	EXPECT_EQ(state_of(here), POLLOUT);

	events other(made);

	EXPECT_EQ(state_of(here), POLLIN | POLLOUT);
	EXPECT_EQ(state_of(other), POLLOUT);
	here.read();
	EXPECT_EQ(state_of(here), POLLOUT);
	other.ring();
	EXPECT_EQ(state_of(here), POLLIN | POLLOUT);
	EXPECT_EQ(state_of(other), POLLOUT);
	here.read();
	other.close();
	EXPECT_TRUE(here.wait(30s));
	EXPECT_EQ(state_of(here), POLLIN | POLLOUT);
}

namespace {

/* An epoll instance that watches one peer. */
class epoll final
{
public:
	epoll(const events &peer, std::uint32_t what)
		: m_fd(::epoll_create1(EPOLL_CLOEXEC))
	{
		struct epoll_event event = {};

		event.events = what;
		if (m_fd < 0 || ::epoll_ctl(m_fd, EPOLL_CTL_ADD,
					    peer.native_handle(), &event))
			throw std::system_error(errno, std::system_category(),
						"epoll");
	}
	epoll(const epoll &) = delete;
	epoll &operator=(const epoll &) = delete;
	~epoll() { ::close(m_fd); }

	/* What has happened, 0 if nothing has. */
	std::uint32_t wait(int milliseconds)
	{
		struct epoll_event event = {};

		return ::epoll_wait(m_fd, &event, 1, milliseconds) == 1
			       ? event.events
			       : 0U;
	}

private:
	int m_fd;
};

} // namespace

TEST_F(events_test, epoll_by_level)
{
	const region made = unnamed();
	events here(made);
	epoll level(here, EPOLLIN);

	EXPECT_EQ(level.wait(0), 0U);

	events other(made);

	EXPECT_EQ(level.wait(0), unsigned{EPOLLIN});
	EXPECT_EQ(level.wait(0), unsigned{EPOLLIN}) << "not read yet";
	here.read();
	EXPECT_EQ(level.wait(0), 0U);
	other.ring();
	EXPECT_EQ(level.wait(1000), unsigned{EPOLLIN});
}

TEST_F(events_test, epoll_by_edge)
{
	const region made = unnamed();
	events here(made), other(made);

	here.read();

	epoll edge(here, EPOLLIN | EPOLLET);

	EXPECT_EQ(edge.wait(0), 0U);
	other.ring();
	EXPECT_EQ(edge.wait(1000), unsigned{EPOLLIN});
	EXPECT_EQ(edge.wait(0), 0U) << "an edge is told once";
	/* As with an eventfd, more of the same is another edge. */
	other.ring();
	EXPECT_EQ(edge.wait(1000), unsigned{EPOLLIN});
	EXPECT_EQ(here.read().rings, 2U);
	EXPECT_EQ(edge.wait(0), 0U);
	other.ring();
	EXPECT_EQ(edge.wait(1000), unsigned{EPOLLIN});
	here.read();
	other.close();
	EXPECT_EQ(edge.wait(10000), unsigned{EPOLLIN});
	EXPECT_EQ(here.read().peers_gone, 1U);
}

/* Exclusive is who waits on one peer, not who waits on one region. */
TEST_F(events_test, exclusive_waiters_of_two_peers_both_wake)
{
	const region made = unnamed();
	events here(made);
	gate ready, heard, go;
	const auto wait = [&] {
		events own(made);
		epoll exclusive(own, EPOLLIN | EPOLLEXCLUSIVE);

		here.close();
		bool rung = false, woken = true;

		ready.open();
		while (!rung && woken) {
			woken = exclusive.wait(10000) != 0;
			rung = own.try_read().value_or(event_counts()).rings;
		}
		/* To go would wake the other. */
		heard.open();
		go.wait();
		return woken ? 0 : 1;
	};
	child first(wait), second(wait);

	ready.wait(2);
	std::this_thread::sleep_for(50ms);
	here.ring();
	heard.wait(2);
	go.open(2);
	EXPECT_EQ(first.wait(), 0);
	EXPECT_EQ(second.wait(), 0);
}

/* The loop of a program: many peers, rung by another process. */
TEST_F(events_test, epoll_of_many_loses_nothing)
{
	constexpr unsigned int regions = 8, rounds = 500;
	std::vector<region> made;
	std::vector<events> peers;
	std::vector<std::uint64_t> heard(regions);
	const int loop = ::epoll_create1(EPOLL_CLOEXEC);
	unsigned int gone = 0;

	ASSERT_GE(loop, 0);
	for (unsigned int i = 0; i < regions; ++i) {
		struct epoll_event event = {};

		made.push_back(unnamed());
		peers.emplace_back(made.back(), event_mode::non_blocking);
		event.events = i % 2 ? EPOLLIN | EPOLLET : EPOLLIN;
		event.data.u32 = i;
		ASSERT_EQ(::epoll_ctl(loop, EPOLL_CTL_ADD,
				      peers.back().native_handle(), &event),
			  0);
	}

	child ringer([&] {
		std::vector<events> own;

		for (unsigned int i = 0; i < regions; ++i)
			own.emplace_back(made[i]);
		peers.clear();
		::close(loop);
		for (unsigned int i = 0; i < rounds; ++i)
			own[i % regions].ring(i + 1);
		return 0;
	});

	while (gone < regions) {
		std::array<struct epoll_event, 4> ready;
		const int count = ::epoll_wait(
			loop, ready.data(), static_cast<int>(ready.size()), -1);

		ASSERT_GT(count, 0);
		for (int i = 0; i < count; ++i) {
			const auto at =
				ready[static_cast<std::size_t>(i)].data.u32;

			while (const auto counts = peers[at].try_read()) {
				heard[at] += counts->rings;
				gone += counts->peers_gone;
			}
		}
	}
	EXPECT_EQ(ringer.wait(), 0);
	::close(loop);
	for (unsigned int i = 0; i < rounds; ++i)
		heard[i % regions] -= i + 1;
	EXPECT_EQ(heard, std::vector<std::uint64_t>(regions));
}

TEST_F(events_test, resizes_and_seals_are_told)
{
	region made = unnamed();
	events here(made);
	event_counts counts;

	made.resize(10000);
	made.resize(20000);
	made.resize(5000);
	made.add_seals(seal::shrink);
	made.add_seals(seal::grow);

	counts = here.read();
	EXPECT_EQ(counts.resized, 3U);
	EXPECT_EQ(counts.sealed, 2U);
	EXPECT_EQ(counts.rings, 0U);
	EXPECT_FALSE(counts.revoked);
	EXPECT_EQ(error_of([&](auto &e) { made.resize(1, e); }), errc::sealed);
	EXPECT_TRUE(is_quiet(here)) << "what failed has not happened";
}

TEST_F(events_test, revoke_is_told_and_ends_it)
{
	if (!root())
		GTEST_SKIP() << "needs CAP_SYS_ADMIN";

	region made = unnamed();
	events here(made), other(made);
	epoll edge(here, EPOLLIN | EPOLLET);
	const std::error_code revoked = errc::revoked;

	here.read();
	other.ring(3);
	edge.wait(0);
	made.revoke();
	EXPECT_TRUE(edge.wait(1000) & EPOLLHUP);
	EXPECT_TRUE(state_of(here) & POLLHUP);
	EXPECT_TRUE(state_of(here) & POLLIN);

	const event_counts counts = here.read();

	EXPECT_TRUE(counts.revoked);
	EXPECT_EQ(counts.rings, 3U) << "what was before is not lost";
	EXPECT_EQ(error_of([&](auto &e) { here.read(e); }), revoked);
	EXPECT_EQ(error_of([&](auto &e) { here.try_read(e); }), revoked);
	EXPECT_EQ(error_of([&](auto &e) { here.ring(1, e); }), revoked);
	EXPECT_TRUE(here.wait());
	EXPECT_TRUE(state_of(here) & POLLHUP);
	EXPECT_EQ(error_of([&](auto &e) {
			  events(made, event_mode::blocking, e);
		  }),
		  revoked);

	/* One who had not read yet has it all to come. */
	EXPECT_TRUE(other.read().revoked);
}

TEST_F(events_test, revoke_wakes_who_waits)
{
	if (!root())
		GTEST_SKIP() << "needs CAP_SYS_ADMIN";

	region made = unnamed();
	events here(made), other(made);
	gate ready;

	here.read();

	child reader([&] {
		other.close();
		ready.open();
		return here.read().revoked ? 0 : 1;
	});
	child waiter([&] {
		here.close();
		ready.open();
		return other.wait(30s) && other.read().revoked ? 0 : 1;
	});

	ready.wait(2);
	std::this_thread::sleep_for(50ms);
	made.revoke();
	EXPECT_EQ(reader.wait(), 0);
	EXPECT_EQ(waiter.wait(), 0);
}

/* Not to be told anything else is a way to wait for the end. */
TEST_F(events_test, revoke_wakes_who_waits_for_a_hang_up)
{
	if (!root())
		GTEST_SKIP() << "needs CAP_SYS_ADMIN";

	region made = unnamed();
	events here(made);
	gate ready;
	child poller([&] {
		using clock = std::chrono::steady_clock;
		const auto deadline = clock::now() + 10s;
		struct pollfd look = {};

		look.fd = here.native_handle();
		ready.open();
		/* At the end poll() looks once more, woken or not. */
		return ::poll(&look, 1, 20000) == 1 &&
				       look.revents == POLLHUP &&
				       clock::now() < deadline
			       ? 0
			       : 1;
	});
	child edge([&] {
		epoll own(here, EPOLLET);

		ready.open();
		return own.wait(10000) == EPOLLHUP ? 0 : 1;
	});

	ready.wait(2);
	std::this_thread::sleep_for(50ms);
	made.revoke();
	EXPECT_EQ(poller.wait(), 0);
	EXPECT_EQ(edge.wait(), 0);
}

TEST_F(events_test, peer_keeps_the_region_and_its_name)
{
	const std::string name = fresh_name();
	region made = region::create(name, 4096);
	std::error_code error;

	made.write(0, "kept", 4);

	events peer(made);

	made.close();

	region again = region::open(name);
	char text[5] = {};

	again.read(0, text, 4);
	EXPECT_STREQ(text, "kept");
	again.close();
	peer.close();
	EXPECT_TRUE(eventually([&] {
		region::open(name, access_mode::read_only, error);
		return error == errc::not_found;
	}));
}

TEST_F(events_test, information_counts_peers_and_rings)
{
	const std::string name = fresh_name();
	const region made = region::create(name, 4096);
	std::ostringstream text;

	EXPECT_EQ(made.info().peers(), 0U);
	EXPECT_EQ(made.info().clients(), 0U);
	EXPECT_EQ(made.info().rings(), 0U);

	events a(made), b(made);

	a.ring(3);
	b.ring();
	EXPECT_EQ(made.info().peers(), 2U);
	EXPECT_EQ(made.info().clients(), 0U);
	EXPECT_EQ(made.info().rings(), 4U);
	EXPECT_EQ(made.info().files(), 1U) << "an event file is no region file";
	text << made.info();
	EXPECT_NE(text.str().find(", 2 peers"), std::string::npos)
		<< text.str();
	for (const auto &each : region::list())
		if (each.name() == name) {
			EXPECT_EQ(each.peers(), 2U);
			EXPECT_EQ(each.rings(), 4U);
		}
	a.close();
	EXPECT_TRUE(eventually([&] { return made.info().peers() == 1; }));
	EXPECT_EQ(made.info().rings(), 4U);
}

TEST_F(events_test, nodes_have_peers_too)
{
	const region node = region::open_node(shm_kernel::control_node);
	const region file = region::open("region0");
	events a(node), b(file);

	EXPECT_EQ(a.read().peers, 1U);
	b.ring();
	EXPECT_EQ(a.read().rings, 1U);
}

TEST_F(events_test, other_files_are_not_event_files)
{
	const region made = unnamed();

	EXPECT_EQ(error_of([&](auto &e) {
			  events::adopt(made.native_handle(), e);
		  }),
		  errc::not_an_event_file);

	const events here(made);

	EXPECT_EQ(error_of([&](auto &e) {
			  region::adopt(here.native_handle(), e);
		  }),
		  errc::not_a_region);
}

TEST_F(events_test, moves_and_swaps)
{
	const region made = unnamed();
	events a(made);
	const int fd = a.native_handle();
	events b(std::move(a));

	EXPECT_FALSE(a);
	EXPECT_EQ(b.native_handle(), fd);
	a = std::move(b);
	EXPECT_EQ(a.native_handle(), fd);
	swap(a, b);
	EXPECT_FALSE(a);

	events &same = b;

	b = std::move(same);
	EXPECT_EQ(b.native_handle(), fd);
	a = events::adopt(b.release());
	EXPECT_EQ(a.native_handle(), fd);
	EXPECT_FALSE(b);
	EXPECT_EQ(made.info().peers(), 1U);
	a = events();
	EXPECT_TRUE(eventually([&] { return made.info().peers() == 0; }));
}

/* Many processes that ring as fast as they can: every ring is counted. */
TEST_F(events_test, storm_of_rings_is_counted)
{
	constexpr unsigned int ringers = 6, rounds = 3000;
	const std::string name = fresh_name();
	const region made = region::create(name, 4096);
	events here(made);
	std::vector<child> children;
	std::uint64_t expected = 0;
	gate ready, go;

	for (unsigned int i = 0; i < ringers; ++i) {
		children.emplace_back([&, i] {
			events own(region::open(name));

			here.close();
			ready.open();
			go.wait();
			for (unsigned int j = 0; j < rounds; ++j)
				own.ring(1 + (i + j) % 3);

			/* Each hears all the others, however late it looks. */
			std::uint64_t others = 0, mine = 0;

			for (unsigned int k = 0; k < ringers; ++k)
				for (unsigned int j = 0; j < rounds; ++j)
					(k == i ? mine : others) +=
						1 + (k + j) % 3;
			return read_until(own, &event_counts::rings, others)
						       .rings == others
				       ? 0
				       : 1;
		});
		for (unsigned int j = 0; j < rounds; ++j)
			expected += 1 + (i + j) % 3;
	}
	ready.wait(ringers);
	EXPECT_EQ(
		read_until(here, &event_counts::peers_come, ringers).peers_come,
		ringers);
	go.open(ringers);

	event_counts sum = read_until(here, &event_counts::rings, expected);

	for (child &each : children)
		EXPECT_EQ(each.wait(), 0);
	if (sum.peers_gone < ringers) {
		const event_counts rest = read_until(
			here, &event_counts::peers_gone,
			static_cast<std::uint32_t>(ringers - sum.peers_gone));

		sum.rings += rest.rings;
		sum.peers_gone += rest.peers_gone;
		sum.peers = rest.peers;
	}
	EXPECT_EQ(sum.rings, expected);
	EXPECT_EQ(sum.peers_gone, ringers);
	EXPECT_EQ(sum.peers, 0U);
	EXPECT_EQ(made.info().rings(), expected);
	EXPECT_TRUE(is_quiet(here));
}

/* Readers that share one peer: each ring goes to exactly one of them. */
TEST_F(events_test, storm_on_a_shared_peer_is_divided)
{
	constexpr unsigned int readers = 3, rounds = 5000;
	const region made = unnamed();
	events ringer(made), shared(made);
	std::vector<child> children;
	gate heard;
	int results[2];

	ASSERT_EQ(::pipe(results), 0);
	for (unsigned int i = 0; i < readers; ++i)
		children.emplace_back([&, i] {
			std::uint64_t sum = 0;

			ringer.close();
			for (;;) {
				const auto counts =
					i ? shared.read()
					  : shared.try_read().value_or(
						    event_counts());

				sum += counts.rings;
				/* The word to stop, which one of them gets. */
				if (counts.peers_gone || counts.resized) {
					heard.open();
					return ::write(results[1], &sum,
						       sizeof(sum)) ==
							       sizeof(sum)
						       ? 0
						       : 1;
				}
				if (!i)
					::sched_yield();
			}
		});
	shared.close();
	for (unsigned int i = 0; i < rounds; ++i)
		ringer.ring();

	region handle = made.reopen(access_mode::read_write);

	for (unsigned int i = 0; i < readers; ++i) {
		handle.resize(4096 + i + 1);
		heard.wait();
	}

	std::uint64_t sum = 0;

	for (child &each : children) {
		std::uint64_t part = 0;

		EXPECT_EQ(each.wait(), 0);
		EXPECT_EQ(::read(results[0], &part, sizeof(part)),
			  static_cast<ssize_t>(sizeof(part)));
		sum += part;
	}
	EXPECT_EQ(sum, rounds);
	::close(results[0]);
	::close(results[1]);
}

/* Peers that come, ring and are killed, as fast as they can. */
TEST_F(events_test, storm_of_peers_is_counted)
{
	constexpr unsigned int rounds = 60;
	const std::string name = fresh_name();
	const region made = region::create(name, 4096);
	events here(made);
	event_counts sum;

	for (unsigned int i = 0; i < rounds; ++i) {
		child victim([&] {
			here.close();
			for (;;) {
				events own(region::open(name));

				own.ring();
			}
			return 1;
		});

		here.wait();
		std::this_thread::sleep_for(std::chrono::milliseconds(i % 5));
		victim.kill();
		while (const auto counts = here.try_read()) {
			EXPECT_LE(counts->peers, 1U);
			sum.rings += counts->rings;
			sum.peers_come += counts->peers_come;
			sum.peers_gone += counts->peers_gone;
			sum.peers = counts->peers;
		}
	}
	EXPECT_TRUE(eventually([&] { return made.info().peers() == 1; }));
	if (const auto counts = here.try_read()) {
		sum.rings += counts->rings;
		sum.peers_come += counts->peers_come;
		sum.peers_gone += counts->peers_gone;
		sum.peers = counts->peers;
	}
	EXPECT_GE(sum.peers_come, rounds);
	EXPECT_EQ(sum.peers_come, sum.peers_gone);
	EXPECT_EQ(sum.peers, 0U);
	/* Each rang once at most: who was killed maybe had not yet. */
	EXPECT_LE(sum.rings, sum.peers_come);
	EXPECT_GE(sum.rings + rounds, sum.peers_come);
	EXPECT_EQ(made.info().rings(), sum.rings);
}
