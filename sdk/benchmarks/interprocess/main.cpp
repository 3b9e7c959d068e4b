/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The Boost.Interprocess layer beside Boost's own
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * Google Benchmark measures, with all repetitions of all rows in random order,
 * so that what disturbs the machine disturbs all of them. What it lacks are
 * ratios: this reporter collects the repetitions and sets the medians of a row's
 * peers beside each other.
 */

#include "bench.hpp"

#include <shm_kernel/shm_kernel.hpp>

#include <boost/version.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace bench {

namespace {

[[noreturn]] void fail(const char *what)
{
	throw std::system_error(errno, std::generic_category(), what);
}

/* What a row is called, and how much better than a peer it shall be. */
struct row
{
	const char *name;
	const char *title;
	const char *goal_peer = nullptr;
	double goal = 0;
};

constexpr row rows[] = {
	{"construct", "construct, 1e5 named ints", peer::boost, 0.25},
	{"construct_random", "construct, in random order", peer::boost, 0.25},
	{"find", "find one of 1e5, at random", peer::boost, 0.25},
	{"destroy", "destroy, 1e5 named ints"},
	{"pair_16", "allocate + free 16 B", peer::boost, 0.6},
	{"pair_64", "allocate + free 64 B", peer::boost, 0.6},
	{"pair_256", "allocate + free 256 B", peer::boost, 0.6},
	{"pair_4096", "allocate + free 4 KiB", peer::boost, 0.6},
	{"replace", "free one of 16384, allocate another", peer::boost, 0.6},
	{"allocate_16", "allocate 10000 x 16 B"},
	{"allocate_64", "allocate 10000 x 64 B"},
	{"allocate_256", "allocate 10000 x 256 B"},
	{"allocate_4096", "allocate 4000 x 4 KiB"},
	{"deallocate_16", "free 10000 x 16 B, at random"},
	{"deallocate_64", "free 10000 x 64 B, at random"},
	{"deallocate_256", "free 10000 x 256 B, at random"},
	{"deallocate_4096", "free 4000 x 4 KiB, at random"},
	{"segment_open", "open a segment, find, close"},
	{"mutex", "mutex: lock + unlock", peer::pthread, 1.05},
	{"mutex_contended", "mutex, two processes"},
	{"recursive_mutex", "recursive mutex: lock + unlock"},
	{"named_mutex", "named mutex: lock + unlock"},
	{"file_lock", "file or region lock + unlock"},
	{"queue_64", "queue, one thread, 64 B"},
	{"queue_1024", "queue, one thread, 1 KiB"},
	{"queue_priorities_64", "four priorities, half full, 64 B"},
	{"queue_priorities_1024", "four priorities, half full, 1 KiB"},
	{"queue_throughput_64", "two processes, one way, 64 B", peer::boost,
	 1.0 / 3},
	{"queue_throughput_1024", "two processes, one way, 1 KiB"},
	{"queue_round_trip_64", "two processes, round trip, 64 B"},
	{"queue_round_trip_1024", "two processes, round trip, 1 KiB"},
};

constexpr const char *peers[] = {peer::ours, peer::boost, peer::pthread};

/* What one peer took for a row, in ns. */
struct result
{
	std::string row;
	std::string peer;
	std::vector<double> times;
	std::string error;

	double at(double part) const
	{
		const auto last = static_cast<double>(times.size() - 1);

		return times[static_cast<std::size_t>(std::ceil(last * part))];
	}
	double median() const
	{
		return (times[(times.size() - 1) / 2] +
			times[times.size() / 2]) /
		       2;
	}
};

class collector final : public benchmark::BenchmarkReporter
{
public:
	bool ReportContext(const Context &) override { return true; }

	void ReportRuns(const std::vector<Run> &runs) override
	{
		for (const Run &run : runs)
			if (run.run_type == Run::RT_Iteration)
				add(run);
	}

	const result *find(const std::string &row_name,
			   const std::string &who) const
	{
		for (const result &each : m_results)
			if (each.row == row_name && each.peer == who)
				return &each;
		return nullptr;
	}

	bool failed() const { return m_failed; }
	bool empty() const { return m_results.empty(); }

	/* Call it once all is there. */
	void sort()
	{
		for (result &each : m_results)
			std::sort(each.times.begin(), each.times.end());
	}

private:
	void add(const Run &run)
	{
		const std::string name = run.run_name.function_name;
		const std::size_t slash = name.find('/');
		result &to = get(name.substr(0, slash), name.substr(slash + 1));
		const auto rate = run.counters.find("items_per_second");

		if (run.error_occurred) {
			to.error = run.error_message;
			m_failed |= to.error != needs_driver;
		} else if (rate != run.counters.end()) {
			to.times.push_back(1e9 / rate->second.value);
		} else {
			to.times.push_back(run.GetAdjustedRealTime() * 1e9 /
					   benchmark::GetTimeUnitMultiplier(
						   run.time_unit));
		}
	}

	result &get(const std::string &row_name, const std::string &who)
	{
		for (result &each : m_results)
			if (each.row == row_name && each.peer == who)
				return each;
		m_results.push_back({row_name, who, {}, {}});
		return m_results.back();
	}

public:
	static constexpr char needs_driver[] = "needs the driver";

private:
	std::vector<result> m_results;
	bool m_failed = false;
};

/* The processors of this process, and of the other one where there are two. */
int processors[] = {0, 1};

std::string load_average()
{
	std::ifstream file("/proc/loadavg");
	std::string one;

	file >> one;
	return one.empty() ? "0" : one;
}

const char *memory_text()
{
	if (have_driver())
		return "regions of the driver";
	return "no driver here: memfds instead of regions, eventfds instead of "
	       "event files, under the same code";
}

std::string boost_version()
{
	return std::to_string(BOOST_VERSION / 100000) + '.' +
	       std::to_string(BOOST_VERSION / 100 % 1000);
}

/* In three digits, more or less. */
std::string number(double value)
{
	char text[32];

	std::snprintf(text, sizeof(text), value < 100 ? "%.1f" : "%.0f", value);
	return text;
}

double ratio(const result &ours, const result &theirs)
{
	return ours.median() / theirs.median();
}

void print_table(const collector &all, const std::string &load)
{
	std::size_t repetitions = 0;
	unsigned int met = 0, goals = 0;

	std::printf("%-36s", "");
	for (const char *who : peers)
		std::printf(" %27s", who);
	std::printf("  / Boost  / pthread  goal\n");
	for (const row &each : rows) {
		const result *const ours = all.find(each.name, peer::ours);
		bool any = false;

		for (const char *who : peers)
			any |= all.find(each.name, who) != nullptr;
		if (!any)
			continue;
		std::printf("%-36s", each.title);
		for (const char *who : peers) {
			const result *const theirs = all.find(each.name, who);

			if (!theirs) {
				std::printf(" %27s", "");
				continue;
			}
			if (theirs->times.empty()) {
				std::printf(" %27s", theirs->error.c_str());
				continue;
			}
			repetitions = theirs->times.size();
			std::printf(" %9s [%s .. %s]%*s",
				    number(theirs->median()).c_str(),
				    number(theirs->at(0)).c_str(),
				    number(theirs->at(1)).c_str(),
				    static_cast<int>(
					    11 - number(theirs->at(0)).size() -
					    number(theirs->at(1)).size()),
				    "");
		}
		for (const char *who : {peer::boost, peer::pthread}) {
			const result *const theirs = all.find(each.name, who);

			if (ours && theirs && !ours->times.empty() &&
			    !theirs->times.empty())
				std::printf("  %*.3f",
					    who == peer::boost ? 7 : 9,
					    ratio(*ours, *theirs));
			else
				std::printf("  %*s", who == peer::boost ? 7 : 9,
					    "");
		}
		if (each.goal_peer) {
			const result *const theirs =
				all.find(each.name, each.goal_peer);

			if (ours && theirs && !ours->times.empty() &&
			    !theirs->times.empty()) {
				const bool good =
					ratio(*ours, *theirs) <= each.goal;

				std::printf("  %.3f %s", each.goal,
					    good ? "met" : "MISSED");
				++goals;
				met += good;
			}
		}
		std::printf("\n");
	}
	std::printf("\nns, median of %zu repetitions in random order [least .. "
		    "most]; Boost %s; load average %s before, %s after\n"
		    "%s\n%u of %u goals met\n",
		    repetitions, boost_version().c_str(), load.c_str(),
		    load_average().c_str(), memory_text(), met, goals);
}

void print_json(const collector &all, const std::string &load)
{
	const char *separator = "";

	std::printf("{\"unit\": \"ns\", \"driver\": %s, \"boost\": \"%s\", "
		    "\"load_before\": %s, \"load_after\": %s, \"rows\": [",
		    have_driver() ? "true" : "false", boost_version().c_str(),
		    load.c_str(), load_average().c_str());
	for (const row &each : rows)
		for (const char *who : peers) {
			const result *const one = all.find(each.name, who);

			if (!one || one->times.empty())
				continue;
			std::printf(
				"%s\n  {\"row\": \"%s\", \"title\": \"%s\", "
				"\"peer\": \"%s\", \"median\": %.2f, "
				"\"min\": %.2f, \"max\": %.2f, "
				"\"repetitions\": %zu}",
				separator, each.name, each.title, who,
				one->median(), one->at(0), one->at(1),
				one->times.size());
			separator = ",";
		}
	std::printf("\n], \"goals\": [");
	separator = "";
	for (const row &each : rows) {
		if (!each.goal_peer)
			continue;
		const result *const ours = all.find(each.name, peer::ours);
		const result *const theirs =
			all.find(each.name, each.goal_peer);

		if (!ours || !theirs || ours->times.empty() ||
		    theirs->times.empty())
			continue;
		std::printf("%s\n  {\"row\": \"%s\", \"peer\": \"%s\", "
			    "\"at_most\": %.4f, \"ratio\": %.4f}",
			    separator, each.name, each.goal_peer, each.goal,
			    ratio(*ours, *theirs));
		separator = ",";
	}
	std::printf("\n]}\n");
}

/* As kernel_rows prints them, for ./lab bench. */
void print_rows(const collector &all)
{
	std::printf("# boost %s\n", boost_version().c_str());
	for (const row &each : rows)
		for (const char *who : peers) {
			const result *const one = all.find(each.name, who);

			if (!one)
				continue;
			if (one->times.empty())
				std::printf("none %s %s %s\n", each.name, who,
					    one->error.c_str());
			else
				std::printf("row %s %s %.2f %.2f %.2f %.2f "
					    "%zu\n",
					    each.name, who, one->at(0),
					    one->median(), one->at(0.9),
					    one->at(1), one->times.size());
		}
}

constexpr char usage[] =
	"usage: interprocess_bench [OPTION]...\n"
	"Times managed segments, locks and queues, and Boost's own beside "
	"them.\n\n"
	"  --cpus=A,B    processors of the first and of the second process "
	"(0,1)\n"
	"  --json        print JSON\n"
	"  --rows        print a line for each row and peer, for programs\n"
	"  --help        print this\n\n"
	"and those of Google Benchmark, for example --benchmark_filter=find, "
	"and with what\nis set unless you say otherwise:\n\n"
	"  --benchmark_repetitions=9 --benchmark_min_time=0.05\n"
	"  --benchmark_enable_random_interleaving=true\n";

int run(int argc, char **argv)
{
	std::vector<std::string> words = {
		argv[0],
		"--benchmark_repetitions=9",
		"--benchmark_min_time=0.05",
		"--benchmark_enable_random_interleaving=true",
	};
	std::vector<char *> pointers;
	bool json = false;
	bool lines = false;

	for (int i = 1; i < argc; ++i) {
		const std::string word = argv[i];

		if (word == "--json")
			json = true;
		else if (word == "--rows")
			lines = true;
		else if (word == "--help" || word == "-h")
			return std::fputs(usage, stdout), 0;
		else if (word.compare(0, 7, "--cpus="))
			words.push_back(word);
		else if (std::sscanf(word.c_str() + 7, "%d,%d", &processors[0],
				     &processors[1]) != 2)
			return std::fputs(usage, stderr), 2;
	}
	for (std::string &word : words)
		pointers.push_back(word.data());

	int count = static_cast<int>(pointers.size());

	benchmark::Initialize(&count, pointers.data());
	if (benchmark::ReportUnrecognizedArguments(count, pointers.data()))
		return 2;
	add_segment_rows();
	add_lock_rows();
	add_queue_rows();

	const std::string load = load_average();
	collector all;

	benchmark::RunSpecifiedBenchmarks(&all);
	if (all.empty())
		return 1;
	all.sort();
	if (lines)
		print_rows(all);
	else if (json)
		print_json(all, load);
	else
		print_table(all, load);
	return all.failed();
}

void pin(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(static_cast<unsigned int>(processor), &set);
	if (::sched_setaffinity(0, sizeof(set), &set))
		fail("sched_setaffinity");
}

} // namespace

bool have_driver()
{
	static const bool is_there = !::access(shm_kernel::control_node, F_OK);

	return is_there;
}

std::string fresh_name()
{
	static int count;

	return "interprocess_bench." + std::to_string(::getpid()) + '.' +
	       std::to_string(++count);
}

void add(const std::string &row_name, const char *peer_name,
	 const std::function<void(benchmark::State &)> &what,
	 bool timed_by_itself)
{
	auto *const made = benchmark::RegisterBenchmark(
		(row_name + '/' + peer_name).c_str(), what);

	if (timed_by_itself)
		made->UseManualTime();
	else
		made->UseRealTime();
}

void add_with_driver(const std::string &row_name, const char *peer_name,
		     const std::function<void(benchmark::State &)> &what)
{
	if (have_driver())
		add(row_name, peer_name, what);
	else
		add(row_name, peer_name, [](benchmark::State &state) {
			state.SkipWithError(collector::needs_driver);
		});
}

double now()
{
	struct timespec time;

	::clock_gettime(CLOCK_MONOTONIC, &time);
	return static_cast<double>(time.tv_sec) +
	       static_cast<double>(time.tv_nsec) * 1e-9;
}

shared_memory::shared_memory(std::size_t size) : m_size(size)
{
	const int fd = ::memfd_create("interprocess_bench", MFD_CLOEXEC);

	if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)))
		fail("memfd");
	m_data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			0);
	::close(fd);
	if (m_data == MAP_FAILED)
		fail("mmap");
}

shared_memory::~shared_memory()
{
	::munmap(m_data, m_size);
}

struct other_process::before
{
	cpu_set_t processors;
};

other_process::other_process(const std::function<void()> &what)
	: m_before(std::make_unique<before>())
{
	const pid_t parent = ::getpid();

	if (::sched_getaffinity(0, sizeof(cpu_set_t), &m_before->processors))
		fail("sched_getaffinity");
	m_pid = ::fork();
	if (m_pid < 0)
		fail("fork");
	if (m_pid) {
		pin(processors[0]);
		return;
	}
	::prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (::getppid() != parent)
		::_exit(1);
	try {
		pin(::sysconf(_SC_NPROCESSORS_ONLN) > 1 ? processors[1]
							: processors[0]);
		what();
	} catch (const std::exception &error) {
		std::fprintf(stderr, "interprocess_bench: %s\n", error.what());
	}
	::_exit(1);
}

other_process::~other_process()
{
	::kill(m_pid, SIGKILL);
	::waitpid(m_pid, nullptr, 0);
	::sched_setaffinity(0, sizeof(cpu_set_t), &m_before->processors);
}

} // namespace bench

int main(int argc, char **argv)
{
	try {
		return bench::run(argc, argv);
	} catch (const std::exception &error) {
		std::fprintf(stderr, "interprocess_bench: %s\n", error.what());
		return 1;
	}
}
