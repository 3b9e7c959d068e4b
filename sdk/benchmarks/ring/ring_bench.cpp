/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The ring beside other ways from one process to another
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * A benchmark of its own kind: two processes on two processors, and what counts
 * is when the one has received what the other has sent. Neither is part of what
 * Google Benchmark measures. The ways take turns, one run of each at a time, so
 * that what disturbs the machine disturbs all of them.
 */

#include <shm_kernel/ring.hpp>
#include <shm_kernel/ring_reader.hpp>
#include <shm_kernel/ring_writer.hpp>

#ifdef HAVE_BOOST
#include <boost/interprocess/ipc/message_queue.hpp>
#endif

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <getopt.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace {

[[noreturn]] void fail(const char *what)
{
	throw std::system_error(errno, std::generic_category(), what);
}

std::int64_t now()
{
	struct timespec time;

	::clock_gettime(CLOCK_MONOTONIC, &time);
	return std::int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

void pin(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(static_cast<unsigned int>(processor), &set);
	if (::sched_setaffinity(0, sizeof(set), &set))
		fail("sched_setaffinity");
}

/* Between two looks at something that another processor will change. */
class spin final
{
public:
	void operator()()
	{
		/* The other one may not be running at all just now. */
		if (++m_count % 4096 == 0)
			::sched_yield();
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#endif
	}

private:
	unsigned int m_count = 0;
};

/* Memory that children share, as programs do it that have no driver: a memfd. */
class shared_memory final
{
public:
	explicit shared_memory(std::size_t size) : m_size(size)
	{
		const int fd = ::memfd_create("ring_bench", MFD_CLOEXEC);

		if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)))
			fail("memfd");
		m_data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_POPULATE, fd, 0);
		::close(fd);
		if (m_data == MAP_FAILED)
			fail("mmap");
	}
	shared_memory(const shared_memory &) = delete;
	shared_memory &operator=(const shared_memory &) = delete;
	~shared_memory() { ::munmap(m_data, m_size); }

	void *data() const { return m_data; }
	std::size_t size() const { return m_size; }

private:
	void *m_data;
	std::size_t m_size;
};

/* What is sent: as many words as the message has, the first is its number. */
struct message
{
	std::uint64_t words[128];
};

void fill(void *to, std::size_t size, std::uint64_t number)
{
	auto *const words = static_cast<std::uint64_t *>(to);

	words[0] = number;
	for (std::size_t i = 1; i < size / 8; ++i)
		words[i] = i;
}

/* Looks at all of it, as a user would. */
std::uint64_t look(const void *from, std::size_t size)
{
	const auto *const words = static_cast<const std::uint64_t *>(from);
	std::uint64_t sum = 0;

	for (std::size_t i = 0; i < size / 8; ++i)
		sum += words[i];
	return sum;
}

/* One way from producers to a consumer. */
class channel
{
public:
	virtual ~channel() = default;

	virtual void produce(unsigned int producer, std::uint64_t count) = 0;
	/* Returns the sum of what it has looked at. */
	virtual std::uint64_t consume(std::uint64_t count) = 0;
};

class ring_channel final : public channel
{
public:
	ring_channel(std::size_t size, unsigned int lanes, std::uint32_t cells,
		     bool fences)
		: m_size(size), m_memory(options(lanes, cells).size()),
		  m_fences(fences)
	{
		shm_kernel::create_ring(m_memory.data(), m_memory.size(),
					options(lanes, cells));
	}

	void produce(unsigned int producer, std::uint64_t count) override
	{
		shm_kernel::ring_writer writer(
			m_memory.data(), m_memory.size(),
			shm_kernel::ring_access().set_lane(producer).set_fences(
				m_fences));
		const std::size_t size = m_size;

		for (std::uint64_t i = 0; i < count; ++i) {
			shm_kernel::ring_slot slot = writer.try_reserve(
				size, shm_kernel::when_full::keep);

			for (spin wait; !slot;) {
				wait();
				slot = writer.try_reserve(
					size, shm_kernel::when_full::keep);
			}
			fill(slot.data(), size, i);
			writer.commit(size);
		}
	}

	std::uint64_t consume(std::uint64_t count) override
	{
		shm_kernel::ring_reader reader(m_memory.data(),
					       m_memory.size());
		std::uint64_t sum = 0;

		for (std::uint64_t i = 0; i < count; ++i) {
			shm_kernel::ring_view view = reader.try_read();

			for (spin wait; !view; view = reader.try_read())
				wait();
			sum += look(view.data(), view.size());
		}
		reader.release();
		return sum;
	}

private:
	static shm_kernel::ring_options options(unsigned int lanes,
						std::uint32_t cells)
	{
		return shm_kernel::ring_options().set_lanes(lanes).set_cells(
			cells);
	}

	std::size_t m_size;
	shared_memory m_memory;
	bool m_fences;
};

/* The textbook: two indices, each kept for a while by the other side. */
class index_channel final : public channel
{
public:
	index_channel(std::size_t size, std::uint32_t slots)
		: m_size(size), m_slot((size + 63) & ~std::size_t{63}),
		  m_mask(slots - 1), m_memory(sizeof(indices) + m_slot * slots)
	{
		new (m_memory.data()) indices;
	}

	void produce(unsigned int, std::uint64_t count) override
	{
		indices &shared = *static_cast<indices *>(m_memory.data());
		char *const slots = reinterpret_cast<char *>(&shared + 1);
		std::uint64_t tail = 0;

		for (std::uint64_t i = 0; i < count; ++i) {
			for (spin wait; i - tail > m_mask; wait())
				if ((tail = shared.tail.load(
					     std::memory_order_acquire)) +
					    m_mask >=
				    i)
					break;
			fill(slots + (i & m_mask) * m_slot, m_size, i);
			shared.head.store(i + 1, std::memory_order_release);
		}
	}

	std::uint64_t consume(std::uint64_t count) override
	{
		indices &shared = *static_cast<indices *>(m_memory.data());
		const char *const slots =
			reinterpret_cast<const char *>(&shared + 1);
		std::uint64_t head = 0;
		std::uint64_t sum = 0;

		for (std::uint64_t i = 0; i < count; ++i) {
			for (spin wait; i >= head; wait())
				if ((head = shared.head.load(
					     std::memory_order_acquire)) > i)
					break;
			sum += look(slots + (i & m_mask) * m_slot, m_size);
			shared.tail.store(i + 1, std::memory_order_release);
		}
		return sum;
	}

private:
	struct indices
	{
		alignas(128) std::atomic<std::uint64_t> head{0};
		alignas(128) std::atomic<std::uint64_t> tail{0};
	};

	std::size_t m_size;
	std::size_t m_slot;
	std::uint64_t m_mask;
	shared_memory m_memory;
};

#ifdef HAVE_BOOST
class boost_channel final : public channel
{
public:
	explicit boost_channel(std::size_t size)
		: m_size(size),
		  m_name("ring_bench." + std::to_string(::getpid())),
		  m_queue(std::make_unique<queue>(
			  boost::interprocess::create_only, m_name.c_str(),
			  1024, size))
	{
	}
	~boost_channel() override { queue::remove(m_name.c_str()); }

	void produce(unsigned int, std::uint64_t count) override
	{
		message each;

		for (std::uint64_t i = 0; i < count; ++i) {
			fill(&each, m_size, i);
			m_queue->send(&each, m_size, 0);
		}
	}

	std::uint64_t consume(std::uint64_t count) override
	{
		message each;
		std::size_t size;
		unsigned int priority;
		std::uint64_t sum = 0;

		for (std::uint64_t i = 0; i < count; ++i) {
			m_queue->receive(&each, m_size, size, priority);
			sum += look(&each, size);
		}
		return sum;
	}

private:
	using queue = boost::interprocess::message_queue;

	std::size_t m_size;
	std::string m_name;
	std::unique_ptr<queue> m_queue;
};
#endif

/* What is sent by write() and received by read(). */
class descriptor_channel : public channel
{
public:
	explicit descriptor_channel(std::size_t size) : m_size(size) {}
	~descriptor_channel() override
	{
		::close(m_to);
		::close(m_from);
	}

	void produce(unsigned int, std::uint64_t count) override
	{
		message each;

		for (std::uint64_t i = 0; i < count; ++i) {
			fill(&each, m_size, i);
			if (::write(m_to, &each, m_size) !=
			    static_cast<ssize_t>(m_size))
				fail("write");
		}
	}

	std::uint64_t consume(std::uint64_t count) override
	{
		message each;
		std::uint64_t sum = 0;

		for (std::uint64_t i = 0; i < count; ++i) {
			std::size_t done = 0;

			while (done < m_size) {
				const ssize_t got = ::read(
					m_from,
					reinterpret_cast<char *>(&each) + done,
					m_size - done);

				if (got <= 0)
					fail("read");
				done += static_cast<std::size_t>(got);
			}
			sum += look(&each, m_size);
		}
		return sum;
	}

protected:
	int m_to = -1;
	int m_from = -1;

private:
	std::size_t m_size;
};

class pipe_channel final : public descriptor_channel
{
public:
	explicit pipe_channel(std::size_t size) : descriptor_channel(size)
	{
		int ends[2];

		if (::pipe(ends))
			fail("pipe");
		m_from = ends[0];
		m_to = ends[1];
	}
};

class unix_channel final : public descriptor_channel
{
public:
	explicit unix_channel(std::size_t size) : descriptor_channel(size)
	{
		int ends[2];

		if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
			fail("socketpair");
		m_from = ends[0];
		m_to = ends[1];
	}
};

class mq_channel final : public channel
{
public:
	explicit mq_channel(std::size_t size) : m_size(size)
	{
		const std::string name =
			"/ring_bench." + std::to_string(::getpid());
		struct mq_attr attributes = {};

		attributes.mq_maxmsg = 10;
		attributes.mq_msgsize = static_cast<long>(size);
		m_queue = ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL,
				    0600, &attributes);
		if (m_queue == static_cast<mqd_t>(-1))
			fail("mq_open");
		::mq_unlink(name.c_str());
	}
	~mq_channel() override { ::mq_close(m_queue); }

	void produce(unsigned int, std::uint64_t count) override
	{
		message each;

		for (std::uint64_t i = 0; i < count; ++i) {
			fill(&each, m_size, i);
			if (::mq_send(m_queue,
				      reinterpret_cast<const char *>(&each),
				      m_size, 0))
				fail("mq_send");
		}
	}

	std::uint64_t consume(std::uint64_t count) override
	{
		message each;
		std::uint64_t sum = 0;

		for (std::uint64_t i = 0; i < count; ++i) {
			if (::mq_receive(m_queue,
					 reinterpret_cast<char *>(&each),
					 m_size, nullptr) < 0)
				fail("mq_receive");
			sum += look(&each, m_size);
		}
		return sum;
	}

private:
	std::size_t m_size;
	mqd_t m_queue;
};

/* A word each way: what the processors themselves need for a round trip. */
class bare_line final
{
public:
	bare_line() : m_memory(4096) { new (m_memory.data()) words; }

	void ask(std::uint64_t count)
	{
		words &shared = *static_cast<words *>(m_memory.data());

		for (std::uint64_t i = 1; i <= count; ++i) {
			shared.there.store(i, std::memory_order_release);
			while (shared.back.load(std::memory_order_acquire) != i)
				;
		}
	}

	void answer(std::uint64_t count)
	{
		words &shared = *static_cast<words *>(m_memory.data());

		for (std::uint64_t i = 1; i <= count; ++i) {
			while (shared.there.load(std::memory_order_acquire) !=
			       i)
				;
			shared.back.store(i, std::memory_order_release);
		}
	}

private:
	struct words
	{
		alignas(128) std::atomic<std::uint64_t> there{0};
		alignas(128) std::atomic<std::uint64_t> back{0};
	};

	shared_memory m_memory;
};

/* A ring each way. */
class ring_both_ways final
{
public:
	ring_both_ways() : m_memory(options().size())
	{
		shm_kernel::create_ring(m_memory.data(), m_memory.size(),
					options());
	}

	void ask(std::uint64_t count) { talk(0, 1, count, true); }
	void answer(std::uint64_t count) { talk(1, 0, count, false); }

private:
	static shm_kernel::ring_options options()
	{
		return shm_kernel::ring_options().set_lanes(2);
	}

	void talk(std::uint32_t out, std::uint32_t in, std::uint64_t count,
		  bool first)
	{
		using shm_kernel::ring_access;

		shm_kernel::ring_writer writer(m_memory.data(), m_memory.size(),
					       ring_access().set_lane(out));
		shm_kernel::ring_reader reader(m_memory.data(), m_memory.size(),
					       ring_access().set_lane(in));

		for (std::uint64_t i = 0; i < count; ++i) {
			if (first)
				send(writer, i);
			while (!reader.try_read())
				;
			if (!first)
				send(writer, i);
		}
	}

	static void send(shm_kernel::ring_writer &writer, std::uint64_t number)
	{
		const shm_kernel::ring_slot slot = writer.try_reserve(8);

		fill(slot.data(), 8, number);
		writer.commit();
	}

	shared_memory m_memory;
};

/* A child that runs @run on @processor after all are ready. */
class process final
{
public:
	process(int processor, std::atomic<unsigned int> &ready,
		unsigned int all, const std::function<void()> &run)
	{
		const pid_t parent = ::getpid();

		m_pid = ::fork();
		if (m_pid < 0)
			fail("fork");
		if (m_pid)
			return;
		::prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (::getppid() != parent)
			::_exit(1);
		try {
			pin(processor);
			++ready;
			for (spin wait; ready < all;)
				wait();
			run();
		} catch (const std::exception &error) {
			std::fprintf(stderr, "ring_bench: %s\n", error.what());
			::_exit(1);
		}
		::_exit(0);
	}
	process(process &&other) noexcept : m_pid(std::exchange(other.m_pid, 0))
	{
	}
	process(const process &) = delete;
	process &operator=(const process &) = delete;
	~process()
	{
		if (!m_pid)
			return;
		::kill(m_pid, SIGKILL);
		::waitpid(m_pid, nullptr, 0);
	}

	void wait()
	{
		int status;

		if (::waitpid(std::exchange(m_pid, 0), &status, 0) < 0 ||
		    status)
			throw std::runtime_error("a child failed");
	}

private:
	pid_t m_pid;
};

struct clock_page
{
	std::atomic<unsigned int> ready{0};
	std::int64_t begin = 0;
	std::int64_t end = 0;
	std::uint64_t sum = 0;
};

struct row
{
	std::string group;
	std::string name;
	std::uint64_t count;
	/* Returns ns for each message. */
	std::function<double(std::uint64_t)> run;
	std::vector<double> results;

	double median() const
	{
		std::vector<double> sorted = results;

		std::sort(sorted.begin(), sorted.end());
		return sorted[sorted.size() / 2];
	}
	double least() const
	{
		return *std::min_element(results.begin(), results.end());
	}
	double most() const
	{
		return *std::max_element(results.begin(), results.end());
	}
};

struct processors
{
	int producer = 0;
	int consumer = 1;
};

std::function<double(std::uint64_t)>
one_way(const processors &where, std::size_t size, unsigned int producers,
	const std::function<std::unique_ptr<channel>()> &make)
{
	return [=](std::uint64_t count) {
		const std::unique_ptr<channel> way = make();
		const shared_memory page(4096);
		auto &times = *new (page.data()) clock_page;
		const std::uint64_t each = count / producers;
		std::vector<process> running;
		std::uint64_t expected = 0;
		message last;

		for (unsigned int i = 0; i < producers; ++i)
			running.emplace_back(where.producer, times.ready,
					     producers + 1, [&, i] {
						     if (!i)
							     times.begin =
								     now();
						     way->produce(i, each);
					     });
		running.emplace_back(
			where.consumer, times.ready, producers + 1, [&] {
				times.sum = way->consume(each * producers);
				times.end = now();
			});
		for (process &child : running)
			child.wait();
		fill(&last, size, 0);
		expected = (look(&last, size) * each + each * (each - 1) / 2) *
			   producers;
		if (times.sum != expected)
			throw std::runtime_error("messages were lost");
		return static_cast<double>(times.end - times.begin) /
		       static_cast<double>(each * producers);
	};
}

template <typename Way>
std::function<double(std::uint64_t)> round_trip(const processors &where)
{
	return [=](std::uint64_t count) {
		Way way;
		const shared_memory page(4096);
		auto &times = *new (page.data()) clock_page;
		process asks(where.producer, times.ready, 2, [&] {
			times.begin = now();
			way.ask(count);
			times.end = now();
		});
		process answers(where.consumer, times.ready, 2,
				[&] { way.answer(count); });

		asks.wait();
		answers.wait();
		return static_cast<double>(times.end - times.begin) /
		       static_cast<double>(count);
	};
}

std::vector<row> all_rows(const processors &where, unsigned int scale)
{
	std::vector<row> rows;
	const auto add = [&](const char *group, const char *name,
			     std::uint64_t count, std::size_t size,
			     unsigned int producers, auto make) {
		rows.push_back({group,
				name,
				count * scale,
				one_way(where, size, producers, make),
				{}});
	};
	const auto ring = [](std::size_t size, std::uint32_t cells,
			     unsigned int lanes = 1, bool fences = false) {
		return [=]() -> std::unique_ptr<channel> {
			return std::make_unique<ring_channel>(size, lanes,
							      cells, fences);
		};
	};
	const auto index = [](std::size_t size, std::uint32_t slots) {
		return [=]() -> std::unique_ptr<channel> {
			return std::make_unique<index_channel>(size, slots);
		};
	};
	const auto peers = [&](const char *group, std::size_t size,
			       unsigned int producers) {
#ifdef HAVE_BOOST
		add(group, "Boost message_queue", 4000, size, producers,
		    [=]() -> std::unique_ptr<channel> {
			    return std::make_unique<boost_channel>(size);
		    });
#endif
		add(group, "pipe", 2000, size, producers,
		    [=]() -> std::unique_ptr<channel> {
			    return std::make_unique<pipe_channel>(size);
		    });
		add(group, "Unix seqpacket socket", 1000, size, producers,
		    [=]() -> std::unique_ptr<channel> {
			    return std::make_unique<unix_channel>(size);
		    });
		add(group, "POSIX mq, 10 deep", 200, size, producers,
		    [=]() -> std::unique_ptr<channel> {
			    return std::make_unique<mq_channel>(size);
		    });
	};

	add("56 B", "ring, 1024 cells", 100000, 56, 1, ring(56, 1024));
	add("56 B", "ring, 1024 cells, fences", 100000, 56, 1,
	    ring(56, 1024, 1, true));
	add("56 B", "ring, 16384 cells", 100000, 56, 1, ring(56, 16384));
	add("56 B", "ring, 16384 cells, fences", 50000, 56, 1,
	    ring(56, 16384, 1, true));
	add("56 B", "bare index ring, 1024 slots", 20000, 56, 1,
	    index(56, 1024));
	add("56 B", "bare index ring, 16384 slots", 50000, 56, 1,
	    index(56, 16384));
	peers("56 B", 56, 1);

	add("64 B", "ring, 2048 cells", 50000, 64, 1, ring(64, 2048));
	add("64 B", "ring, 16384 cells", 50000, 64, 1, ring(64, 16384));
	add("64 B", "bare index ring, 1024 slots", 20000, 64, 1,
	    index(64, 1024));
	peers("64 B", 64, 1);

	add("1 KiB", "ring, 4096 cells", 10000, 1024, 1, ring(1024, 4096));
	add("1 KiB", "bare index ring, 256 slots", 10000, 1024, 1,
	    index(1024, 256));
	peers("1 KiB", 1024, 1);

	add("56 B, 4 producers", "ring, 4 lanes of 1024 cells", 50000, 56, 4,
	    ring(56, 1024, 4));
	peers("56 B, 4 producers", 56, 4);

	rows.push_back({"round trip",
			"bare cache line",
			5000 * scale,
			round_trip<bare_line>(where),
			{}});
	rows.push_back({"round trip",
			"ring each way",
			5000 * scale,
			round_trip<ring_both_ways>(where),
			{}});
	return rows;
}

/* What is to be reached: a time, or so many times as fast as another row. */
struct goal
{
	const char *group;
	const char *name;
	const char *peer;
	double value;
};

constexpr goal goals[] = {
	{"56 B", "ring, 1024 cells", nullptr, 10},
	{"56 B", "ring, 1024 cells", "Boost message_queue", 25},
	{"64 B", "ring, 2048 cells", "Boost message_queue", 5},
	{"1 KiB", "ring, 4096 cells", "Boost message_queue", 3},
	{"1 KiB", "ring, 4096 cells", "pipe", 4},
	{"56 B, 4 producers", "ring, 4 lanes of 1024 cells",
	 "Boost message_queue", 3},
};

const row *find(const std::vector<row> &rows, const char *group,
		const char *name)
{
	for (const row &each : rows)
		if (each.group == group && each.name == name &&
		    !each.results.empty())
			return &each;
	return nullptr;
}

std::string load_average()
{
	std::ifstream file("/proc/loadavg");
	std::string one;

	file >> one;
	return one;
}

void print_table(const std::vector<row> &rows, const std::string &before,
		 unsigned int runs)
{
	std::string group;

	std::printf("ns per message, median of %u runs [least .. most]; load "
		    "average %s before, %s after\n",
		    runs, before.c_str(), load_average().c_str());
	for (const row &each : rows) {
		if (each.group != group) {
			std::printf("\n%s\n", each.group.c_str());
			group = each.group;
		}
		std::printf("  %-30s %10.1f  [%.1f .. %.1f]\n",
			    each.name.c_str(), each.median(), each.least(),
			    each.most());
	}
	std::printf("\n");
	for (const goal &each : goals) {
		const row *const ours = find(rows, each.group, each.name);
		const row *const peer =
			each.peer ? find(rows, each.group, each.peer) : ours;

		if (!ours || !peer)
			continue;
		if (!each.peer)
			std::printf("%s, %s: %.1f ns, goal at most %.0f ns: "
				    "%s\n",
				    each.group, each.name, ours->median(),
				    each.value,
				    ours->median() <= each.value ? "reached"
								 : "missed");
		else
			std::printf("%s, %s: %.1f x %s, goal at least %.0f x: "
				    "%s\n",
				    each.group, each.name,
				    peer->median() / ours->median(), each.peer,
				    each.value,
				    peer->median() / ours->median() >=
						    each.value
					    ? "reached"
					    : "missed");
	}
}

void print_json(const std::vector<row> &rows, const std::string &before)
{
	const char *separator = "";

	std::printf("{\"unit\": \"ns\", \"load_before\": %s, \"load_after\": "
		    "%s, \"rows\": [",
		    before.c_str(), load_average().c_str());
	for (const row &each : rows) {
		std::printf("%s\n  {\"group\": \"%s\", \"name\": \"%s\", "
			    "\"median\": %.2f, \"min\": %.2f, \"max\": %.2f, "
			    "\"runs\": %zu}",
			    separator, each.group.c_str(), each.name.c_str(),
			    each.median(), each.least(), each.most(),
			    each.results.size());
		separator = ",";
	}
	std::printf("\n], \"goals\": [");
	separator = "";
	for (const goal &each : goals) {
		const row *const ours = find(rows, each.group, each.name);
		const row *const peer =
			each.peer ? find(rows, each.group, each.peer) : ours;

		if (!ours || !peer)
			continue;
		std::printf("%s\n  {\"group\": \"%s\", \"name\": \"%s\", "
			    "\"peer\": \"%s\", \"goal\": %g, \"value\": %.2f}",
			    separator, each.group, each.name,
			    each.peer ? each.peer : "", each.value,
			    each.peer ? peer->median() / ours->median()
				      : ours->median());
		separator = ",";
	}
	std::printf("\n]}\n");
}

constexpr char usage[] =
	"usage: ring_bench [OPTION]... [TEXT]...\n"
	"Times messages between two processes; with TEXT only the rows that "
	"have it in\ntheir group or name.\n\n"
	"  -r, --runs N        runs of each row (9)\n"
	"  -s, --scale N       messages of a run, relative to about 10 ms "
	"(10)\n"
	"  -c, --cpus A,B      processors of the producer and the consumer "
	"(0,1)\n"
	"  -j, --json          print JSON\n"
	"  -h, --help          print this\n";

bool wanted(const row &each, int count, char **texts)
{
	for (int i = 0; i < count; ++i)
		if ((each.group + ": " + each.name).find(texts[i]) !=
		    std::string::npos)
			return true;
	return !count;
}

int run(int argc, char **argv)
{
	static const struct option options[] = {
		{"runs", required_argument, nullptr, 'r'},
		{"scale", required_argument, nullptr, 's'},
		{"cpus", required_argument, nullptr, 'c'},
		{"json", no_argument, nullptr, 'j'},
		{"help", no_argument, nullptr, 'h'},
		{nullptr, 0, nullptr, 0},
	};
	processors where;
	unsigned int runs = 9;
	unsigned int scale = 10;
	bool json = false;
	int option;

	while ((option = ::getopt_long(argc, argv, "r:s:c:jh", options,
				       nullptr)) >= 0) {
		switch (option) {
		case 'r':
			runs = static_cast<unsigned int>(std::stoul(optarg));
			break;
		case 's':
			scale = static_cast<unsigned int>(std::stoul(optarg));
			break;
		case 'c':
			if (std::sscanf(optarg, "%d,%d", &where.producer,
					&where.consumer) != 2)
				return std::fputs(usage, stderr), 2;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			return std::fputs(usage, stdout), 0;
		default:
			return std::fputs(usage, stderr), 2;
		}
	}
	if (!runs || !scale)
		return std::fputs(usage, stderr), 2;

	const std::string before = load_average();
	std::vector<row> rows = all_rows(where, scale);

	rows.erase(std::remove_if(rows.begin(), rows.end(),
				  [&](const row &each) {
					  return !wanted(each, argc - optind,
							 argv + optind);
				  }),
		   rows.end());
	for (unsigned int i = 0; i < runs; ++i)
		for (row &each : rows)
			each.results.push_back(each.run(each.count));
	if (json)
		print_json(rows, before);
	else
		print_table(rows, before, runs);
	return 0;
}

} // namespace

int main(int argc, char **argv)
{
	try {
		return run(argc, argv);
	} catch (const std::exception &error) {
		std::fprintf(stderr, "ring_bench: %s\n", error.what());
		return 1;
	}
}
