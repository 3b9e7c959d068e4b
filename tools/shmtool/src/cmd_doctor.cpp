// SPDX-License-Identifier: BSL-1.0
/*
 * doctor: is everything as it must be, and if not, what mends it
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <shm_kernel/shm_kernel.hpp>

#include "access.hpp"
#include "command.hpp"
#include "errors.hpp"
#include "escape.hpp"
#include "output.hpp"
#include "sizes.hpp"
#include "target.hpp"

namespace shmtool {
namespace {

using shm_kernel::access_mode;
using shm_kernel::region;
using shm_kernel::region_info;

constexpr const char *module_directory = "/sys/module/shm_kernel_driver";
constexpr const char *device_file = "/sys/class/misc/shm_kernel_driver/dev";
constexpr const char *stats_file = "/sys/kernel/debug/shm_kernel/stats";

enum class level { ok, note, warn, fail };

struct check
{
	std::string name;
	level how;
	std::string detail;
	std::string mend;
};

using report_list = std::vector<check>;

const char *level_word(level l)
{
	switch (l) {
	case level::ok:
		return "ok";
	case level::note:
		return "note";
	case level::warn:
		return "warn";
	case level::fail:
		break;
	}
	return "fail";
}

std::optional<std::string> first_line(const std::string &path)
{
	std::ifstream file(path);
	std::string line;

	if (!file || !std::getline(file, line))
		return std::nullopt;
	return line;
}

std::string kernel_release()
{
	struct utsname name
	{
	};

	return ::uname(&name) == 0 ? name.release : "";
}

/* The lines CONFIG_X=y of the running kernel; empty if nobody tells. */
std::map<std::string, std::string> kernel_config()
{
	const std::string release = kernel_release();
	std::map<std::string, std::string> config;
	std::string text;

	for (const std::string &path :
	     {"/boot/config-" + release, "/lib/modules/" + release + "/config",
	      "/lib/modules/" + release + "/build/.config"}) {
		std::ifstream file(path);

		if (file) {
			std::ostringstream all;
			all << file.rdbuf();
			text = all.str();
			break;
		}
	}
	if (text.empty() && ::access("/proc/config.gz", R_OK) == 0) {
		FILE *pipe =
			::popen("gzip -dc /proc/config.gz 2>/dev/null", "re");
		char buffer[4096];
		std::size_t n;

		while (pipe &&
		       (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0)
			text.append(buffer, n);
		if (pipe)
			::pclose(pipe);
	}

	std::istringstream lines(text);
	for (std::string line; std::getline(lines, line);) {
		const std::size_t equals = line.find('=');

		if (line.compare(0, 7, "CONFIG_") == 0 &&
		    equals != std::string::npos)
			config[line.substr(0, equals)] =
				line.substr(equals + 1);
	}
	return config;
}

/* Whether modprobe would find it, or it is built in. */
bool module_installed(const std::string &name)
{
	for (const char *list : {"/modules.dep", "/modules.builtin"}) {
		std::ifstream file("/lib/modules/" + kernel_release() + list);

		for (std::string line; std::getline(file, line);)
			if (line.substr(0, line.find(':'))
				    .find("/" + name + ".ko") !=
			    std::string::npos)
				return true;
	}
	return false;
}

bool check_driver(report_list &list,
		  const std::map<std::string, std::string> &config)
{
	const std::string release = kernel_release();

	/* built in, it has a directory as well: it has parameters */
	if (::access(module_directory, F_OK) == 0) {
		const bool module =
			::access((std::string(module_directory) + "/initstate")
					 .c_str(),
				 F_OK) == 0;
		const auto taint =
			first_line(std::string(module_directory) + "/taint");
		const bool outside =
			taint && taint->find('O') != std::string::npos;

		list.push_back(
			{"driver", level::ok,
			 (module ? "loaded as a module"
				 : "built into the kernel") +
				 std::string(outside ? ", from outside the "
						       "kernel's tree"
						     : "") +
				 ", Linux " + release,
			 ""});
		return true;
	}

	/* as in a container whose /sys is not the kernel's */
	std::error_code error;
	region::list(error);
	if (!error) {
		list.push_back(
			{"driver", level::note,
			 "it answers, but /sys does not show it, Linux " +
				 release,
			 ""});
		return true;
	}

	const auto option = config.find("CONFIG_SHM_KERNEL_DRIVER");
	if (module_installed("shm_kernel_driver"))
		list.push_back({"driver", level::fail, "not loaded",
				"modprobe shm_kernel_driver"});
	else if (!config.empty() && option == config.end())
		list.push_back({"driver", level::fail,
				"not loaded, and Linux " + release +
					" was built without it",
				"build the kernel with "
				"CONFIG_SHM_KERNEL_DRIVER=m (Device Drivers, "
				"Character devices)"});
	else
		list.push_back(
			{"driver", level::fail,
			 "not loaded, and there is no module of it for Linux " +
				 release,
			 "install the module and run depmod, or insmod "
			 "shm_kernel_driver.ko"});
	return false;
}

bool check_device(report_list &list)
{
	const std::string node = shm_kernel::control_node;
	const auto numbers = first_line(device_file);
	struct stat status
	{
	};

	if (::stat(node.c_str(), &status) != 0) {
		std::string mend = "load the driver first";

		if (numbers) {
			std::string pair = *numbers;
			std::replace(pair.begin(), pair.end(), ':', ' ');
			mend = "mknod -m 600 " + node + " c " + pair +
			       "; in a container, give it the device: "
			       "--device " +
			       node;
		}
		list.push_back({"device", level::fail,
				node + ": " + error_text(errno), mend});
		return false;
	}
	if (!S_ISCHR(status.st_mode)) {
		list.push_back({"device", level::fail,
				node + " is no character device",
				"remove it and load the driver again"});
		return false;
	}

	const std::string own = std::to_string(major(status.st_rdev)) + ":" +
				std::to_string(minor(status.st_rdev));
	if (numbers && own != *numbers) {
		list.push_back({"device", level::fail,
				node + " is device " + own +
					", the driver is " + *numbers,
				"rm " + node + " and load the driver again"});
		return false;
	}

	const std::string detail = node + ", " + show_user(status.st_uid) +
				   ":" + show_group(status.st_gid) + " " +
				   format_mode_octal(status.st_mode);
	if (status.st_mode & 0006)
		list.push_back({"device", level::warn,
				detail + ": everybody may make regions and use "
					 "region 0",
				"chmod o= " + node +
					", and look for the udev rule that "
					"opened it"});
	else
		list.push_back({"device", level::ok, detail, ""});
	return true;
}

bool check_access(report_list &list)
{
	const int fd = ::open(shm_kernel::control_node, O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		::close(fd);
		list.push_back({"access", level::ok, "you may open it", ""});
		return true;
	}

	const int error = errno;
	std::string mend;
	if (error == EACCES || error == EPERM)
		mend = "use sudo, or open it to a group of yours by a file "
		       "/etc/udev/rules.d/60-shm_kernel.rules with the line "
		       "KERNEL==\"shm_kernel_driver\", GROUP=\"NAME\", "
		       "MODE=\"0660\" (whoever may open it may use region 0, "
		       "too)";
	else
		mend = "load the driver again";
	list.push_back({"access", level::fail,
			"opening it: " + error_text(error), mend});
	return false;
}

std::optional<std::vector<region_info>> check_interface(report_list &list)
{
	std::error_code error;
	std::vector<region_info> regions = region::list(error);

	if (error) {
		list.push_back(
			{"interface", level::fail, "LIST: " + error.message(),
			 "install the driver and the tool of one version"});
		return std::nullopt;
	}

	std::uint64_t unused = 0;
	std::uint64_t unused_bytes = 0;
	for (const region_info &info : regions) {
		if (in_use(info))
			continue;
		unused++;
		unused_bytes += info.allocated();
	}

	std::string detail = std::to_string(regions.size()) +
			     (regions.size() == 1 ? " region" : " regions") +
			     " to see";
	if (unused)
		list.push_back({"regions", level::note,
				detail + "; nobody uses " +
					std::to_string(unused) +
					" of them, which hold " +
					format_size(unused_bytes),
				"if they are leftovers: shmtool list --unused, "
				"shmtool remove NAME"});
	else
		list.push_back({"regions", level::ok, detail, ""});
	return regions;
}

void check_nodes(report_list &list, const std::vector<region_info> &regions)
{
	std::string missing;
	unsigned int present = 0;

	for (const region_info &info : regions) {
		if (!info.boot() || info.name() == "region0")
			continue;

		const std::string node = node_directory + info.name();
		if (::access(node.c_str(), F_OK) == 0)
			present++;
		else
			missing +=
				(missing.empty() ? "" : ", ") + printable(node);
	}
	if (!missing.empty())
		list.push_back({"nodes", level::warn, "missing: " + missing,
				"udevadm trigger, or look how /dev is made; "
				"the regions open by name all the same"});
	else if (present)
		list.push_back({"nodes", level::ok,
				std::to_string(present) +
					" of boot regions in " + node_directory,
				""});
}

std::optional<std::uint64_t> number_of(const std::string &text)
{
	return parse_size(text);
}

/* The smallest memory.max on the way up from our own cgroup. */
std::optional<std::uint64_t> cgroup_limit()
{
	std::ifstream file("/proc/self/cgroup");
	std::optional<std::uint64_t> smallest;

	for (std::string line; std::getline(file, line);) {
		if (line.compare(0, 3, "0::") != 0)
			continue;
		for (std::string path = line.substr(3); path.size() > 1;
		     path.erase(std::max<std::size_t>(path.rfind('/'), 1))) {
			const auto text = first_line("/sys/fs/cgroup" + path +
						     "/memory.max");
			const auto limit =
				text ? number_of(*text) : std::nullopt;

			if (limit && (!smallest || *limit < *smallest))
				smallest = limit;
			if (path.rfind('/') == 0)
				break;
		}
	}
	return smallest;
}

std::map<std::string, std::uint64_t> read_stats()
{
	std::ifstream file(stats_file);
	std::map<std::string, std::uint64_t> stats;
	std::string key;
	std::uint64_t value;

	while (file >> key >> value)
		stats[key] = value;
	return stats;
}

void check_parameters(report_list &list)
{
	static constexpr const char *names[] = {"size", "regions", "max_total",
						"max_user"};
	std::string detail;

	if (::access(module_directory, F_OK) != 0)
		return;
	for (const char *name : names) {
		const auto value = first_line(std::string(module_directory) +
					      "/parameters/" + name);
		std::string text = "?";

		if (value) {
			const auto number = number_of(*value);

			text = *value == "(null)" || value->empty() ? "none"
			       : number && *number == 0             ? "default"
			       : number ? format_size(*number)
					: printable(*value);
		}
		detail += (detail.empty() ? "" : ", ") + std::string(name) +
			  " " + text;
	}
	list.push_back({"parameters", level::ok, detail, ""});
}

void check_limits(report_list &list, const std::vector<region_info> &regions,
		  const std::map<std::string, std::uint64_t> &stats)
{
	const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
	const std::uint64_t memory =
		static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * page;
	const auto text = first_line(std::string(module_directory) +
				     "/parameters/max_total");
	std::uint64_t limit = text ? number_of(*text).value_or(0) : 0;
	std::uint64_t used = 0;

	if (!limit)
		limit = memory / 2;
	if (stats.count("pages")) {
		used = stats.at("pages") * page;
	} else {
		for (const region_info &info : regions)
			used += info.allocated();
	}

	const std::string detail =
		std::string(stats.count("pages") ? "regions hold "
						 : "the regions that you see "
						   "hold ") +
		format_size(used) + " of " + format_size(limit) +
		" (max_total, which does not bind root)";
	if (used > limit / 10 * 9)
		list.push_back(
			{"memory", level::warn, detail,
			 "remove regions, or raise the limit: echo BYTES > " +
				 std::string(module_directory) +
				 "/parameters/max_total"});
	else
		list.push_back({"memory", level::ok, detail, ""});

	const auto allowed = cgroup_limit();
	if (allowed)
		list.push_back(
			{"cgroup",
			 *allowed < 16 << 20 ? level::warn : level::ok,
			 "programs here may have " + format_size(*allowed) +
				 ", regions included",
			 *allowed < 16 << 20 ? "raise memory.max of the cgroup"
					     : ""});

	struct rlimit files
	{
	};
	if (::getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	    files.rlim_cur != RLIM_INFINITY)
		list.push_back(
			{"files", files.rlim_cur < 64 ? level::warn : level::ok,
			 "a process may have " +
				 std::to_string(files.rlim_cur) +
				 " files open, regions included",
			 files.rlim_cur < 64 ? "raise it: ulimit -n" : ""});
}

void check_stats(report_list &list,
		 const std::map<std::string, std::uint64_t> &stats)
{
	if (!stats.empty()) {
		std::string detail;

		for (const char *key : {"regions", "files", "pages", "users"})
			if (stats.count(key))
				detail += (detail.empty() ? "" : ", ") +
					  std::to_string(stats.at(key)) + " " +
					  key;
		list.push_back({"counters", level::ok, detail + " alive", ""});
	} else if (::geteuid() != 0) {
		list.push_back({"counters", level::note,
				"not read, only root may", ""});
	} else {
		list.push_back({"counters", level::note,
				std::string("no ") + stats_file,
				"mount -t debugfs none /sys/kernel/debug"});
	}
}

constexpr const char *broken = "this is an error of the driver: please "
			       "report it with the kernel's log";

/* Two peers, of whom one rings. */
void try_doorbell(report_list &list, const region &made)
{
	std::error_code error;
	const char *step = "subscribing to it";
	std::optional<shm_kernel::event_counts> counts;
	shm_kernel::events ringing(made, shm_kernel::event_mode::blocking,
				   error);
	shm_kernel::events waiting;

	if (!error)
		waiting = shm_kernel::events(
			made, shm_kernel::event_mode::blocking, error);
	if (!error) {
		step = "ringing its doorbell";
		ringing.ring(1, error);
	}
	if (!error && waiting.wait(std::chrono::seconds(5), error))
		counts = waiting.try_read(error);

	if (error == shm_kernel::errc::driver_too_old)
		list.push_back({"doorbell", level::fail,
				"the driver has none: it is older than this "
				"shmtool",
				"install the driver and the tool of one "
				"version"});
	else if (error)
		list.push_back({"doorbell", level::fail,
				std::string(step) + ": " + error.message(),
				broken});
	else if (!counts || counts->rings != 1)
		list.push_back({"doorbell", level::fail,
				"nobody heard it within 5 s", broken});
	else
		list.push_back({"doorbell", level::ok,
				"one peer rang, another heard it", ""});
}

/* A region with a ring, through which a record goes. */
void try_ring(report_list &list)
{
	static constexpr char record[] = "shmtool doctor";
	const auto options = shm_kernel::ring_options().set_cells(
		shm_kernel::ring_min_cells);
	std::error_code error;
	const char *step = "making one";
	bool came = false;

	region made = region::create(
		shm_kernel::create_options().set_size(options.size()), error);
	if (!error)
		shm_kernel::create_ring(made, options, 0, error);
	if (!error) {
		step = "writing to it";
		shm_kernel::ring_writer writer(made, shm_kernel::ring_access(),
					       error);
		if (!error)
			writer.try_write(record, sizeof(record),
					 shm_kernel::when_full::drop, error);
	}
	if (!error) {
		step = "reading from it";
		shm_kernel::ring_reader reader(made, shm_kernel::ring_access(),
					       error);
		const auto found = error ? shm_kernel::ring_view()
					 : reader.try_read(error);

		came = found.size() == sizeof(record) &&
		       std::memcmp(found.data(), record, sizeof(record)) == 0;
	}

	if (error)
		list.push_back({"ring", level::fail,
				std::string(step) + ": " + error.message(),
				"see what failed before"});
	else if (!came)
		list.push_back({"ring", level::fail,
				"what was written did not come out of it",
				broken});
	else
		list.push_back(
			{"ring", level::ok, "a record went through one", ""});
}

/*
 * A region of our own, unnamed and gone with its last file: what a user's
 * program does first, tried.
 */
void try_region(report_list &list)
{
	const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
	const auto fail = [&](const std::string &what, const std::string &why,
			      const std::string &mend) {
		list.push_back({"trial", level::fail, what + ": " + why, mend});
	};
	static constexpr char word[] = "shmtool doctor";
	char back[sizeof(word)] = {};
	std::error_code error;

	region made = region::create(
		shm_kernel::create_options{}.set_size(page), error);
	if (error) {
		fail("creating a region of " + format_size(page),
		     error.message(), "remove regions or raise the limits");
		return;
	}
	made.resize(2 * page, error);
	if (error) {
		fail("resizing it", error.message(), broken);
		return;
	}
	made.write(page - 4, word, sizeof(word), error);
	if (!error)
		made.read(page - 4, back, sizeof(back), error);
	if (error || std::memcmp(word, back, sizeof(word)) != 0) {
		fail("writing and reading it",
		     error ? error.message() : "other bytes came back", broken);
		return;
	}

	const shm_kernel::mapping map(made, shm_kernel::map_mode::read_write, 0,
				      2 * page, error);
	if (error) {
		fail("mapping it", error.message(), broken);
		return;
	}
	if (std::memcmp(static_cast<const char *>(map.data()) + page - 4, word,
			sizeof(word)) != 0) {
		fail("mapping it", "other bytes are there", broken);
		return;
	}
	/* the value differs, so that this returns at once: EAGAIN if locks work
	 * here */
	if (::syscall(SYS_futex, map.data(), FUTEX_WAIT, 1U, nullptr, nullptr,
		      0) != -1 ||
	    errno != EAGAIN) {
		fail("a lock in it", error_text(errno), broken);
		return;
	}
	list.push_back({"trial", level::ok,
			"made, resized, wrote, read and mapped a region; locks "
			"work in it",
			""});
	try_doorbell(list, made);
	try_ring(list);
}

/* Whether the kernel's own modules can have rings, and what these cost. */
void check_rings(report_list &list,
		 const std::map<std::string, std::string> &config)
{
	const auto option = config.find("CONFIG_SHM_KERNEL_RING");
	const long known =
		::syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	if (::access("/sys/module/shm_kernel_ring", F_OK) == 0)
		list.push_back({"kernel-ring", level::ok,
				"loaded: a module of the kernel uses rings",
				""});
	else if (option != config.end() && option->second == "y")
		list.push_back({"kernel-ring", level::ok,
				"built into the kernel", ""});
	else if (module_installed("shm_kernel_ring"))
		list.push_back({"kernel-ring", level::ok,
				"not loaded: it comes with the first module "
				"of the kernel that uses rings",
				""});
	else
		list.push_back({"kernel-ring", level::note,
				"not installed: programs can use rings, "
				"modules of the kernel cannot",
				""});

	if (known >= 0 && known & MEMBARRIER_CMD_GLOBAL_EXPEDITED)
		list.push_back({"membarrier", level::ok,
				"writers of rings need no barrier of their own",
				""});
	else
		list.push_back({"membarrier", level::note,
				"the kernel has none (CONFIG_MEMBARRIER): "
				"writers of rings are slower, readers that "
				"sleep need them all to be so (set_fences)",
				""});
}

void check_kernel(report_list &list,
		  const std::map<std::string, std::string> &config)
{
	struct hint
	{
		const char *option;
		const char *without;
	};
	static constexpr hint hints[] = {
		{"CONFIG_TRANSPARENT_HUGEPAGE", "no huge pages in mappings"},
		{"CONFIG_MEMCG",
		 "no memory cgroups: only the driver's own limits hold"},
		{"CONFIG_NUMA", "one memory node: --node places nothing"},
		{"CONFIG_DEBUG_FS", "no counters of live objects"},
	};
	std::string detail;

	if (config.empty()) {
		list.push_back({"kernel", level::note,
				"its configuration is nowhere to read", ""});
		return;
	}
	for (const hint &h : hints)
		if (!config.count(h.option))
			detail += (detail.empty() ? "" : "; ") +
				  std::string(h.option) +
				  " is off: " + h.without;
	if (detail.empty())
		list.push_back({"kernel", level::ok,
				"huge pages, memory cgroups, NUMA and debugfs "
				"are built in",
				""});
	else
		list.push_back({"kernel", level::note, detail, ""});
}

report_list examine()
{
	const auto config = kernel_config();
	report_list list;

	const bool driver = check_driver(list, config);
	const bool usable = driver && check_device(list) && check_access(list);
	if (driver)
		check_parameters(list);
	if (usable) {
		const auto stats = read_stats();
		const auto regions = check_interface(list);

		if (regions) {
			check_nodes(list, *regions);
			check_limits(list, *regions, stats);
			try_region(list);
		}
		check_stats(list, stats);
	}
	if (driver)
		check_rings(list, config);
	check_kernel(list, config);
	return list;
}

void print_checks(const report_list &list, level worst)
{
	/* what goes to a file or to grep has a line for each check */
	const std::size_t width =
		stdout_is_terminal()
			? std::clamp<std::size_t>(terminal_width(STDOUT_FILENO),
						  60, 120)
			: SIZE_MAX;
	constexpr std::size_t indent = 18;

	for (const check &c : list) {
		std::string word = level_word(c.how);
		std::string name = c.name;
		const colour ink = c.how == level::ok     ? colour::green
				   : c.how == level::warn ? colour::yellow
				   : c.how == level::fail ? colour::red
							  : colour::cyan;

		for (char &letter : word)
			letter = static_cast<char>(letter - 'a' + 'A');
		word.resize(6, ' ');
		name.resize(indent - 6, ' ');
		print(paint(ink, word) + name +
		      wrap(c.detail, width, indent).substr(indent) + "\n");
		if (!c.mend.empty())
			print(wrap("-> " + c.mend, width, indent) + "\n");
	}

	const auto number = [&](level l) {
		return std::count_if(
			list.begin(), list.end(),
			[&](const check &c) { return c.how == l; });
	};
	if (worst == level::fail)
		print("\nThis must be mended before regions can be used.\n");
	else if (worst == level::warn)
		print("\nIt works; " + std::to_string(number(level::warn)) +
		      (number(level::warn) == 1 ? " thing deserves"
						: " things deserve") +
		      " a look.\n");
	else
		print("\nAll is well.\n");
}

int run_doctor(const arguments &args)
{
	const report_list list = examine();
	level worst = level::ok;

	for (const check &c : list)
		worst = std::max(worst, c.how);

	if (args.has("json")) {
		json object;

		object["status"] =
			level_word(worst == level::note ? level::ok : worst);
		object["checks"] = json::array();
		for (const check &c : list) {
			json entry;

			entry["name"] = c.name;
			entry["status"] = level_word(c.how);
			entry["detail"] = c.detail;
			entry["mend"] =
				c.mend.empty() ? json(nullptr) : json(c.mend);
			object["checks"].push_back(std::move(entry));
		}
		print_json(object);
	} else {
		print_checks(list, worst);
	}
	return worst == level::fail ? exit_failed : exit_ok;
}

} // namespace

std::vector<command> doctor_commands()
{
	command doctor{};
	doctor.name = "doctor";
	doctor.operands = "";
	doctor.summary = "check the driver and its surroundings";
	doctor.details = "Looks whether the driver is loaded, its node is "
			 "there and may be opened, at module parameters, "
			 "limits, boot regions' nodes, live-object counters, "
			 "what rings need and the kernel's configuration, and "
			 "tries a region, a doorbell and a ring of its own, "
			 "which are gone afterwards. Each line is "
			 "OK, NOTE (worth knowing), WARN (works, but look at "
			 "it) or FAIL, with the way to mend it. The exit "
			 "status is 1 if anything fails.";
	doctor.options = {
		{"json", 'j', nullptr,
		 "print JSON: status, and the checks with name, status, "
		 "detail, mend"},
	};
	doctor.run = run_doctor;
	return {doctor};
}

} // namespace shmtool
