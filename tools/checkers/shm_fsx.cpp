// SPDX-License-Identifier: BSL-1.0
/*
 * shm_fsx: reads, writes, maps, resizes and re-opens one file at random and
 * compares every byte with a model of it.
 *
 * It is a program of the kind of Apple's and LTP's fsx, written for regions
 * because fsx is in no package and does not know their rules: a write never
 * makes a region longer, a node has no st_size, and a byte that was stored
 * past the end of the last page must not come back when the region grows. It
 * is not fsx and finds other bugs than fsx does.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <getopt.h>
#include <limits>
#include <linux/shm_kernel.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

constexpr const char *control_node = "/dev/shm_kernel_driver";

/* A pipe takes this much without blocking, wherever the data starts. */
constexpr std::size_t pipe_room = 15 * 4096;

const std::size_t page_size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

std::size_t page_down(std::size_t value)
{
	return value & ~(page_size - 1);
}

std::size_t page_up(std::size_t value)
{
	return page_down(value + page_size - 1);
}

off_t to_off(std::size_t value)
{
	return static_cast<off_t>(value);
}

__attribute__((format(printf, 1, 2))) std::string format(const char *text, ...)
{
	std::array<char, 512> buffer{};
	va_list args;

	va_start(args, text);
	std::vsnprintf(buffer.data(), buffer.size(), text, args);
	va_end(args);
	return buffer.data();
}

/* What the program was built to find: the file is not what the model says. */
class failure final : public std::runtime_error
{
public:
	using std::runtime_error::runtime_error;
};

/* What keeps the program from looking: no device, no memory, no such file. */
class setup_error final : public std::runtime_error
{
public:
	using std::runtime_error::runtime_error;
};

[[noreturn]] void throw_setup(const std::string &what)
{
	throw setup_error(what + ": " + std::strerror(errno));
}

/*
 * The standard library's engines are the same everywhere but its distributions
 * are not, and a seed has to mean the same run on every machine.
 */
class random_source final
{
public:
	explicit random_source(std::uint64_t seed) noexcept : state_(seed) {}

	std::uint64_t next() noexcept
	{
		std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
		return z ^ (z >> 31);
	}

	/* 0 to limit, limit included. */
	std::size_t upto(std::size_t limit) noexcept
	{
		if (limit == std::numeric_limits<std::size_t>::max())
			return next();
		return next() % (limit + 1);
	}

	bool one_in(std::size_t n) noexcept { return next() % n == 0; }

private:
	std::uint64_t state_;
};

sigjmp_buf *volatile fault_exit;

void on_fault(int signal)
{
	if (fault_exit)
		siglongjmp(*fault_exit, signal);
	std::signal(signal, SIG_DFL);
	std::raise(signal);
}

/*
 * Copies and returns 0, or the signal that ended the copy. No object with a
 * destructor may live here: siglongjmp() does not run any.
 */
int guarded_copy(void *to, const void *from, std::size_t length)
{
	sigjmp_buf here;
	int signal = sigsetjmp(here, 1);

	if (signal == 0) {
		fault_exit = &here;
		std::memcpy(to, from, length);
	}
	fault_exit = nullptr;
	return signal;
}

/* Mistakes that --self-test makes on purpose, one in each run. */
enum class mistake {
	none,
	read_flips_byte,
	read_is_short,
	write_flips_byte,
	write_is_lost,
	write_spills,
	store_loses_byte,
	load_flips_byte,
	private_store_leaks,
	grow_shows_stale_byte,
	shrink_eats_byte,
	size_is_off_by_one,
	reopen_gives_other_file,
	mapping_goes_stale,
};

struct mistake_text
{
	mistake kind;
	const char *text;
};

constexpr std::array<mistake_text, 13> mistakes{{
	{mistake::read_flips_byte, "pread returns a wrong byte"},
	{mistake::read_is_short, "pread stops a byte early"},
	{mistake::write_flips_byte, "pwrite leaves a wrong byte"},
	{mistake::write_is_lost, "pwrite writes nothing"},
	{mistake::write_spills, "pwrite changes the byte behind"},
	{mistake::store_loses_byte, "a store through a mapping is lost"},
	{mistake::load_flips_byte, "a load through a mapping is wrong"},
	{mistake::private_store_leaks, "a private store reaches the file"},
	{mistake::grow_shows_stale_byte, "growing shows a stale byte"},
	{mistake::shrink_eats_byte, "shrinking loses the last byte"},
	{mistake::size_is_off_by_one, "ftruncate sets another size"},
	{mistake::reopen_gives_other_file, "re-opening gives another file"},
	{mistake::mapping_goes_stale, "an old mapping is cut off"},
}};

class planted final
{
public:
	planted(mistake kind, std::uint64_t after) noexcept
		: kind_(kind), after_(after)
	{
	}

	void count() noexcept { count_++; }

	/* True once, at the first chance to make this mistake. */
	bool now(mistake kind) noexcept
	{
		if (kind != kind_ || done_ || count_ < after_)
			return false;
		done_ = true;
		return true;
	}

	/* True from then on, for what the next operation may cover up. */
	bool from_now_on(mistake kind) noexcept
	{
		if (kind != kind_ || count_ < after_)
			return false;
		done_ = true;
		return true;
	}

	bool done() const noexcept { return done_; }

private:
	mistake kind_;
	std::uint64_t after_;
	std::uint64_t count_ = 0;
	bool done_ = false;
};

class mapping final
{
public:
	mapping() = default;

	mapping(int fd, std::size_t offset, std::size_t length, int flags)
		: length_(length)
	{
		void *address = ::mmap(nullptr, length, PROT_READ | PROT_WRITE,
				       flags, fd, to_off(offset));

		if (address == MAP_FAILED)
			error_ = errno;
		else
			address_ = static_cast<std::uint8_t *>(address);
	}

	mapping(mapping &&other) noexcept
		: address_(std::exchange(other.address_, nullptr)),
		  length_(other.length_), error_(other.error_)
	{
	}

	mapping &operator=(mapping &&other) noexcept
	{
		std::swap(address_, other.address_);
		std::swap(length_, other.length_);
		std::swap(error_, other.error_);
		return *this;
	}

	~mapping()
	{
		if (address_)
			::munmap(address_, length_);
	}

	std::uint8_t *address() const noexcept { return address_; }
	std::size_t length() const noexcept { return length_; }
	int error() const noexcept { return error_; }

private:
	std::uint8_t *address_ = nullptr;
	std::size_t length_ = 0;
	int error_ = 0;
};

enum class file_kind {
	/* Grows when it is written past its end. */
	plain,
	/* Changes its size by ftruncate() only. */
	region,
	/* Has no st_size and cannot be mapped past its end. */
	node,
};

struct settings
{
	std::uint64_t seed = 1;
	std::uint64_t ops = 5000;
	std::size_t max_length = 0;
	std::size_t max_io = 65536;
	std::size_t check_every = 64;
	std::size_t log_length = 32;
	std::size_t initial_length = 0;
	std::uint32_t create_flags = 0;
	bool truncate = true;
	bool no_tail = false;
	bool tail = false;
	bool verbose = false;
	bool use_memfd = false;
	bool use_region = false;
	std::string name;
	std::string path;
};

/*
 * All that the exerciser does to the file goes through here, so that a mistake
 * planted here looks like one that the kernel made.
 */
class file final
{
public:
	file(const settings &set, planted &fault) : fault_(fault)
	{
		if (set.use_memfd)
			open_memfd(set);
		else if (set.use_region)
			create_region(set);
		else
			open_path(set);
	}

	file(const file &) = delete;
	file &operator=(const file &) = delete;

	~file()
	{
		if (fd_ >= 0)
			::close(fd_);
		if (control_ >= 0)
			::close(control_);
	}

	file_kind kind() const noexcept { return kind_; }
	bool resizable() const noexcept { return resizable_; }
	const std::string &title() const noexcept { return title_; }
	int fd() const noexcept { return fd_; }

	std::size_t size() const
	{
		struct stat st = {};

		if (kind_ == file_kind::node) {
			off_t end = ::lseek(fd_, 0, SEEK_END);

			if (end < 0)
				throw_setup("lseek(SEEK_END)");
			return static_cast<std::size_t>(end);
		}
		if (::fstat(fd_, &st) < 0)
			throw_setup("fstat");
		return static_cast<std::size_t>(st.st_size);
	}

	ssize_t read(void *buffer, std::size_t length, std::size_t offset)
	{
		ssize_t n = ::pread(fd_, buffer, length, to_off(offset));

		return spoil_read(static_cast<std::uint8_t *>(buffer), n);
	}

	ssize_t readv(const std::vector<iovec> &parts, std::size_t offset)
	{
		return ::preadv(fd_, parts.data(),
				static_cast<int>(parts.size()), to_off(offset));
	}

	ssize_t write(const void *buffer, std::size_t length,
		      std::size_t offset)
	{
		if (length > 0 && fault_.now(mistake::write_is_lost))
			return static_cast<ssize_t>(length);

		ssize_t n = ::pwrite(fd_, buffer, length, to_off(offset));

		if (n > 0) {
			std::size_t end = offset + static_cast<std::size_t>(n);

			if (fault_.now(mistake::write_flips_byte))
				flip(offset + static_cast<std::size_t>(n) / 2);
			if (end < size() && fault_.now(mistake::write_spills))
				flip(end);
		}
		return n;
	}

	ssize_t writev(const std::vector<iovec> &parts, std::size_t offset)
	{
		return ::pwritev(fd_, parts.data(),
				 static_cast<int>(parts.size()),
				 to_off(offset));
	}

	ssize_t seek_read(void *buffer, std::size_t length)
	{
		return ::read(fd_, buffer, length);
	}

	ssize_t seek_write(const void *buffer, std::size_t length)
	{
		return ::write(fd_, buffer, length);
	}

	off_t seek(std::size_t offset, int whence)
	{
		return ::lseek(fd_, to_off(offset), whence);
	}

	ssize_t splice_out(int pipe, std::size_t offset, std::size_t length)
	{
		loff_t at = to_off(offset);

		return ::splice(fd_, &at, pipe, nullptr, length, 0);
	}

	ssize_t splice_in(int pipe, std::size_t offset, std::size_t length)
	{
		loff_t at = to_off(offset);

		return ::splice(pipe, nullptr, fd_, &at, length, 0);
	}

	int truncate(std::size_t length)
	{
		std::size_t old = size();
		std::size_t wanted = length;

		if (fault_.now(mistake::size_is_off_by_one))
			wanted++;
		int rc = ::ftruncate(fd_, to_off(wanted));

		if (rc == 0 && length > old &&
		    fault_.now(mistake::grow_shows_stale_byte))
			flip(old);
		if (rc == 0 && length < old && length > 0 &&
		    fault_.now(mistake::shrink_eats_byte))
			flip(length - 1);
		return rc;
	}

	int sync(bool data_only)
	{
		return data_only ? ::fdatasync(fd_) : ::fsync(fd_);
	}

	int clear()
	{
		shm_kernel_simple args{};

		args.size = sizeof(args);
		return ::ioctl(fd_, SHM_KERNEL_IOC_CLEAR, &args);
	}

	mapping map(std::size_t offset, std::size_t length, int flags)
	{
		return mapping(fd_, offset, length, flags);
	}

	/* The mapping that stays while the file is resized and re-opened. */
	mapping map_resident(std::size_t length)
	{
		if (fault_.from_now_on(mistake::mapping_goes_stale))
			return mapping(copy(length), 0, length, MAP_SHARED);
		return mapping(fd_, 0, length, MAP_SHARED);
	}

	int load(void *to, const std::uint8_t *from, std::size_t length)
	{
		int signal = guarded_copy(to, from, length);

		if (length > 0 && fault_.now(mistake::load_flips_byte))
			static_cast<std::uint8_t *>(to)[length / 2] ^= 0xff;
		return signal;
	}

	int store(std::uint8_t *to, const void *from, std::size_t length)
	{
		const std::uint8_t *bytes =
			static_cast<const std::uint8_t *>(from);

		/* To lose what is there already would be no mistake. */
		if (length > 0 && to[length - 1] != bytes[length - 1] &&
		    fault_.now(mistake::store_loses_byte))
			length--;
		return guarded_copy(to, from, length);
	}

	int private_store(std::uint8_t *to, const void *from,
			  std::size_t length, std::size_t offset)
	{
		if (length > 0 && fault_.now(mistake::private_store_leaks))
			flip(offset);
		return guarded_copy(to, from, length);
	}

	/* By descriptor, path or name, whatever there is. */
	bool reopen(bool by_name)
	{
		int fd;

		if (by_name && !name_.empty())
			fd = open_by_name();
		else if (!path_.empty())
			fd = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
		else
			fd = ::open(format("/proc/self/fd/%d", fd_).c_str(),
				    O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return false;

		if (fault_.now(mistake::reopen_gives_other_file)) {
			::close(fd);
			fd = copy(size());
		}

		struct stat before = {};
		struct stat after = {};

		if (::fstat(fd_, &before) < 0 || ::fstat(fd, &after) < 0)
			throw_setup("fstat");
		if (before.st_dev != after.st_dev ||
		    before.st_ino != after.st_ino)
			throw failure("re-open gave another file");
		::close(fd_);
		fd_ = fd;
		return true;
	}

	bool has_name() const noexcept { return !name_.empty(); }

private:
	void open_memfd(const settings &set)
	{
		fd_ = ::memfd_create("shm_fsx", MFD_CLOEXEC);
		if (fd_ < 0 || ::ftruncate(fd_, to_off(set.initial_length)) < 0)
			throw_setup("memfd_create");
		kind_ = file_kind::plain;
		title_ = "memfd";
		resizable_ = true;
	}

	void create_region(const settings &set)
	{
		shm_kernel_create args{};

		control_ = ::open(control_node, O_RDWR | O_CLOEXEC);
		if (control_ < 0)
			throw_setup(control_node);
		args.size = sizeof(args);
		args.flags = set.create_flags;
		args.length = set.initial_length;
		args.name = reinterpret_cast<std::uintptr_t>(set.name.data());
		args.name_len = static_cast<std::uint32_t>(set.name.size());
		args.mode = 0600;
		if (set.name.empty())
			args.name = 0;
		fd_ = ::ioctl(control_, SHM_KERNEL_IOC_CREATE, &args);
		if (fd_ < 0)
			throw_setup("SHM_KERNEL_IOC_CREATE");
		name_ = set.name;
		kind_ = file_kind::region;
		title_ = "region file";
		if (set.create_flags & SHM_KERNEL_CREATE_SMALL)
			title_ = "region file of small folios";
		if (set.create_flags & SHM_KERNEL_CREATE_CONTIG)
			title_ = "contiguous region file";
		resizable_ = !(set.create_flags & SHM_KERNEL_CREATE_CONTIG);
	}

	void open_path(const settings &set)
	{
		shm_kernel_info info{};
		struct stat st = {};

		fd_ = ::open(set.path.c_str(), O_RDWR | O_CLOEXEC);
		if (fd_ < 0 || ::fstat(fd_, &st) < 0)
			throw_setup(set.path);
		path_ = set.path;
		title_ = set.path;
		info.size = sizeof(info);
		if (::ioctl(fd_, SHM_KERNEL_IOC_GET_INFO, &info) == 0) {
			kind_ = S_ISCHR(st.st_mode) ? file_kind::node
						    : file_kind::region;
			resizable_ =
				kind_ == file_kind::region &&
				(info.capabilities & SHM_KERNEL_CAP_RESIZE);
		} else if (S_ISCHR(st.st_mode)) {
			kind_ = file_kind::node;
			resizable_ = false;
		} else {
			kind_ = file_kind::plain;
			resizable_ = true;
		}
	}

	int open_by_name()
	{
		shm_kernel_open args{};

		args.size = sizeof(args);
		args.flags = O_RDWR;
		args.name = reinterpret_cast<std::uintptr_t>(name_.data());
		args.name_len = static_cast<std::uint32_t>(name_.size());
		return ::ioctl(control_, SHM_KERNEL_IOC_OPEN, &args);
	}

	ssize_t spoil_read(std::uint8_t *buffer, ssize_t n)
	{
		if (n > 0 && fault_.now(mistake::read_flips_byte))
			buffer[n / 2] ^= 0xff;
		if (n > 1 && fault_.now(mistake::read_is_short))
			n--;
		return n;
	}

	/* Another file with the same content; --self-test makes a few of them. */
	int copy(std::size_t length) const
	{
		std::vector<std::uint8_t> content(length);
		int fd = ::memfd_create("copy", MFD_CLOEXEC);

		if (fd < 0 || ::pread(fd_, content.data(), length, 0) < 0 ||
		    ::pwrite(fd, content.data(), length, 0) < 0)
			throw_setup("planting a mistake");
		return fd;
	}

	void flip(std::size_t offset)
	{
		std::uint8_t byte = 0;

		if (::pread(fd_, &byte, 1, to_off(offset)) != 1)
			throw_setup("planting a mistake");
		byte ^= 0xff;
		if (::pwrite(fd_, &byte, 1, to_off(offset)) != 1)
			throw_setup("planting a mistake");
	}

	planted &fault_;
	int fd_ = -1;
	int control_ = -1;
	file_kind kind_ = file_kind::plain;
	bool resizable_ = false;
	std::string path_;
	std::string name_;
	std::string title_;
};

class exerciser final
{
public:
	exerciser(const settings &set, planted &fault)
		: set_(set), fault_(fault), file_(set, fault), random_(set.seed)
	{
		size_ = file_.size();
		resize_ = set.truncate && file_.resizable();
		tail_ = !set.no_tail &&
			(set.tail || file_.kind() != file_kind::plain);
		if (resize_ || file_.kind() == file_kind::plain)
			max_ = std::max(set.max_length, size_);
		else
			max_ = size_;
		if (max_ == 0)
			throw setup_error(file_.title() +
					  " is empty and may not grow");
		model_.resize(max_);
		writer_.resize(max_);
		buffer_.resize(std::max(max_ + page_size, set.max_io));
		if (::pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) < 0)
			throw_setup("pipe");

		/* A node may hold anything; it is the model's first content. */
		ssize_t n = file_.read(model_.data(), size_, 0);

		if (n != static_cast<ssize_t>(size_))
			throw failure(format(
				"the first read of %zu bytes returned %zd",
				size_, n));
		renew_resident();
	}

	exerciser(const exerciser &) = delete;
	exerciser &operator=(const exerciser &) = delete;

	~exerciser()
	{
		::close(pipe_[0]);
		::close(pipe_[1]);
	}

	const std::string &title() const noexcept { return file_.title(); }
	std::size_t max_length() const noexcept { return max_; }
	bool resizes() const noexcept { return resize_; }

	void run()
	{
		check_all();
		for (op_ = 1; op_ <= set_.ops; op_++) {
			fault_.count();
			step();
			if (set_.check_every && op_ % set_.check_every == 0)
				check_all();
		}
		check_all();
	}

	void print_log() const
	{
		std::fprintf(stderr, "the last %zu operations:\n", log_.size());
		for (const std::string &line : log_)
			std::fprintf(stderr, "  %s\n", line.c_str());
	}

private:
	using action = void (exerciser::*)();

	struct choice
	{
		unsigned int weight;
		action run;
	};

	void step()
	{
		static constexpr std::array<choice, 17> choices{{
			{12, &exerciser::read},
			{12, &exerciser::write},
			{6, &exerciser::read_vector},
			{6, &exerciser::write_vector},
			{10, &exerciser::map_read},
			{10, &exerciser::map_write},
			{8, &exerciser::resident_read},
			{8, &exerciser::resident_write},
			{12, &exerciser::truncate},
			{3, &exerciser::reopen},
			{3, &exerciser::sync},
			{4, &exerciser::map_private},
			{5, &exerciser::past_end},
			{4, &exerciser::seek_and_go},
			{3, &exerciser::splice_out},
			{3, &exerciser::splice_in},
			{3, &exerciser::advise},
		}};
		std::size_t total = 0;

		for (const choice &c : choices)
			total += c.weight;

		std::size_t pick = random_.upto(total - 1);

		for (const choice &c : choices) {
			if (pick < c.weight) {
				(this->*c.run)();
				return;
			}
			pick -= c.weight;
		}
	}

	void note(const std::string &what)
	{
		current_ = format("%" PRIu64 ": ", op_) + what;
		if (set_.verbose)
			std::fprintf(stderr, "%s\n", current_.c_str());
		log_.push_back(current_);
		if (log_.size() > set_.log_length)
			log_.pop_front();
	}

	[[noreturn]] void fail(const std::string &what) const
	{
		throw failure(current_ + ": " + what);
	}

	/*
	 * Bugs live at the edges: of pages, of the file, and of the folios that
	 * the file may be made of.
	 */
	std::size_t pick_offset(std::size_t limit)
	{
		std::size_t at;

		switch (random_.upto(5)) {
		case 0:
			at = edge(size_);
			break;
		case 1:
			at = edge(page_down(random_.upto(limit)));
			break;
		case 2:
			at = edge(page_size << random_.upto(10));
			break;
		default:
			at = random_.upto(limit);
			break;
		}
		return std::min(at, limit);
	}

	std::size_t edge(std::size_t at)
	{
		std::size_t away = random_.upto(random_.one_in(3) ? 64 : 2);

		if (random_.one_in(2))
			return at + away;
		return at - std::min(at, away);
	}

	std::size_t pick_length(std::size_t limit)
	{
		if (random_.one_in(4))
			limit = std::min<std::size_t>(limit, 16);
		return random_.upto(limit);
	}

	void fill(std::uint8_t *to, std::size_t length)
	{
		std::uint64_t word = 0;

		for (std::size_t i = 0; i < length; i++) {
			if (i % 8 == 0)
				word = random_.next();
			to[i] = static_cast<std::uint8_t>(word >> (i % 8 * 8));
		}
	}

	void remember(std::size_t offset, std::size_t length)
	{
		std::memcpy(&model_[offset], buffer_.data(), length);
		std::fill_n(&writer_[offset], length, op_);
	}

	void compare(const char *how, std::size_t offset,
		     const std::uint8_t *found, std::size_t length) const
	{
		if (length == 0 ||
		    std::memcmp(&model_[offset], found, length) == 0)
			return;

		std::size_t first = length;
		std::size_t last = 0;
		std::size_t wrong = 0;

		for (std::size_t i = 0; i < length; i++) {
			if (model_[offset + i] == found[i])
				continue;
			first = std::min(first, i);
			last = i;
			wrong++;
		}
		fail(format("%s at %#zx: expected 0x%02x, found 0x%02x; %zu "
			    "wrong of "
			    "%zu bytes from %#zx, the last at %#zx; the byte "
			    "at %#zx "
			    "was set by operation %" PRIu64
			    " (0: at the start); "
			    "size %#zx",
			    how, offset + first, model_[offset + first],
			    found[first], wrong, length, offset, offset + last,
			    offset + first, writer_[offset + first], size_));
	}

	void expect_count(const char *call, ssize_t got,
			  std::size_t expected) const
	{
		int error = errno;

		if (got == static_cast<ssize_t>(expected))
			return;
		if (got < 0)
			fail(format("%s: expected %zu, found error %d (%s); "
				    "size %#zx",
				    call, expected, error, std::strerror(error),
				    size_));
		fail(format("%s: expected %zu, found %zd; size %#zx", call,
			    expected, got, size_));
	}

	/* Checks what a write returned and says how many bytes it changed. */
	std::size_t written(const char *call, ssize_t got, std::size_t offset,
			    std::size_t length)
	{
		if (length == 0) {
			expect_count(call, got, 0);
			return 0;
		}
		if (file_.kind() == file_kind::plain) {
			expect_count(call, got, length);
			if (offset > size_)
				forget(size_, offset);
			if (offset + length > size_)
				set_size(offset + length);
			return length;
		}
		if (offset >= size_) {
			int error = errno;

			if (got >= 0 || error != ENOSPC)
				fail(format("%s past the end: expected ENOSPC, "
					    "found "
					    "%zd (%s); size %#zx",
					    call, got,
					    got < 0 ? std::strerror(error)
						    : "no error",
					    size_));
			return 0;
		}
		length = std::min(length, size_ - offset);
		expect_count(call, got, length);
		return length;
	}

	std::size_t readable(std::size_t offset, std::size_t length) const
	{
		return offset >= size_ ? 0 : std::min(length, size_ - offset);
	}

	void forget(std::size_t from, std::size_t to)
	{
		std::fill(&model_[0] + from, &model_[0] + to, std::uint8_t{0});
		std::fill(&writer_[0] + from, &writer_[0] + to, op_);
	}

	void set_size(std::size_t size)
	{
		if (size < size_) {
			forget(size, size_);
			tail_clean_ = true;
		} else if (page_up(size) != page_up(size_)) {
			tail_clean_ = true;
		}
		/*
		 * Else what was stored behind the old end may be behind the new
		 * one still: only what became content has to be zero.
		 */
		size_ = size;
	}

	void renew_resident()
	{
		resident_ = file_.map_resident(page_up(max_));
		if (!resident_.address())
			fail(format("mmap of all %zu bytes: %s", page_up(max_),
				    std::strerror(resident_.error())));
	}

	void check_size() const
	{
		std::size_t found = file_.size();

		if (found != size_)
			fail(format("the size: expected %zu, found %zu", size_,
				    found));
	}

	void check_all()
	{
		check_size();
		expect_count("pread of everything",
			     file_.read(buffer_.data(), size_ + 1, 0), size_);
		compare("pread of everything", 0, buffer_.data(), size_);
		load("resident mapping", resident_.address(), 0, size_);
	}

	void load(const char *how, const std::uint8_t *from, std::size_t offset,
		  std::size_t length)
	{
		int signal = file_.load(buffer_.data(), from, length);

		if (signal)
			fail(format(
				"%s: signal %d (%s) inside the file, size %#zx",
				how, signal, strsignal(signal), size_));
		compare(how, offset, buffer_.data(), length);
	}

	void store(const char *how, std::uint8_t *to, std::size_t length)
	{
		int signal = file_.store(to, buffer_.data(), length);

		if (signal)
			fail(format(
				"%s: signal %d (%s) inside the file, size %#zx",
				how, signal, strsignal(signal), size_));
	}

	/* What lies behind the end in the last page, which @last_page maps. */
	void look_at_tail(std::uint8_t *last_page)
	{
		std::size_t used = size_ % page_size;

		if (used == 0)
			return;
		if (tail_clean_) {
			if (guarded_copy(buffer_.data(), last_page + used,
					 page_size - used))
				fail("signal behind the end in the last page");
			for (std::size_t i = 0; i < page_size - used; i++) {
				if (buffer_[i])
					fail(format("behind the end at %#zx: "
						    "expected 0, "
						    "found 0x%02x; size %#zx",
						    size_ + i, buffer_[i],
						    size_));
			}
		}
		if (tail_ && random_.one_in(2)) {
			fill(buffer_.data(), page_size - used);
			if (guarded_copy(last_page + used, buffer_.data(),
					 page_size - used))
				fail("signal behind the end in the last page");
			tail_clean_ = false;
			log_.back() += ", stored behind the end";
		}
	}

	void read()
	{
		std::size_t offset = pick_offset(max_);
		std::size_t length = pick_length(set_.max_io);

		note(format("pread %#zx bytes at %#zx", length, offset));
		expect_count("pread",
			     file_.read(buffer_.data(), length, offset),
			     readable(offset, length));
		compare("pread", offset, buffer_.data(),
			readable(offset, length));
	}

	/* A plain file would grow past what the model has room for. */
	std::size_t pick_write(std::size_t offset)
	{
		std::size_t length = pick_length(set_.max_io);

		if (file_.kind() == file_kind::plain)
			length = std::min(length, max_ - offset);
		if (!resize_ && file_.kind() == file_kind::plain)
			length = readable(offset, length);
		return length;
	}

	void write()
	{
		std::size_t offset = pick_offset(max_);
		std::size_t length = pick_write(offset);

		note(format("pwrite %#zx bytes at %#zx", length, offset));
		fill(buffer_.data(), length);
		remember(offset,
			 written("pwrite",
				 file_.write(buffer_.data(), length, offset),
				 offset, length));
		reread(offset, length);
	}

	/* A little on both sides belongs to what a write must not change. */
	void reread(std::size_t offset, std::size_t length)
	{
		std::size_t from = offset - std::min<std::size_t>(offset, 64);

		length = readable(from, offset - from + length + 64);
		expect_count("reading back",
			     file_.read(buffer_.data(), length, from), length);
		compare("reading back", from, buffer_.data(), length);
	}

	std::vector<iovec> split(std::size_t length)
	{
		std::vector<iovec> parts;
		std::size_t done = 0;

		do {
			std::size_t part = length - done;

			if (parts.size() < 7)
				part = pick_length(part);
			parts.push_back({buffer_.data() + done, part});
			done += part;
		} while (done < length);
		return parts;
	}

	void read_vector()
	{
		std::size_t offset = pick_offset(max_);
		std::size_t length = pick_length(set_.max_io);
		std::vector<iovec> parts = split(length);

		note(format("preadv %#zx bytes in %zu parts at %#zx", length,
			    parts.size(), offset));
		expect_count("preadv", file_.readv(parts, offset),
			     readable(offset, length));
		compare("preadv", offset, buffer_.data(),
			readable(offset, length));
	}

	void write_vector()
	{
		std::size_t offset = pick_offset(max_);
		std::size_t length = pick_write(offset);
		std::vector<iovec> parts = split(length);

		note(format("pwritev %#zx bytes in %zu parts at %#zx", length,
			    parts.size(), offset));
		fill(buffer_.data(), length);
		remember(offset, written("pwritev", file_.writev(parts, offset),
					 offset, length));
		reread(offset, length);
	}

	/* A range with at least one byte of content; false if there is none. */
	bool pick_inside(std::size_t &offset, std::size_t &length)
	{
		if (size_ == 0)
			return false;
		offset = pick_offset(size_ - 1);
		length = readable(offset, 1 + pick_length(set_.max_io - 1));
		return true;
	}

	mapping map(std::size_t offset, std::size_t length, int flags)
	{
		std::size_t start = page_down(offset);
		mapping window =
			file_.map(start, offset - start + length, flags);

		if (!window.address())
			fail(format("mmap: %s", std::strerror(window.error())));
		return window;
	}

	bool reaches_end(std::size_t offset, std::size_t length) const
	{
		return offset + length == size_;
	}

	std::uint8_t *last_page(const mapping &window, std::size_t offset) const
	{
		return window.address() +
		       (page_down(size_ - 1) - page_down(offset));
	}

	void map_read()
	{
		std::size_t offset;
		std::size_t length;

		if (!pick_inside(offset, length))
			return;
		note(format("mapped read of %#zx bytes at %#zx", length,
			    offset));

		mapping window = map(offset, length, MAP_SHARED);

		load("mapped read", window.address() + offset % page_size,
		     offset, length);
		if (reaches_end(offset, length))
			look_at_tail(last_page(window, offset));
	}

	void map_write()
	{
		std::size_t offset;
		std::size_t length;

		if (!pick_inside(offset, length))
			return;
		note(format("mapped write of %#zx bytes at %#zx", length,
			    offset));

		mapping window = map(offset, length, MAP_SHARED);

		fill(buffer_.data(), length);
		store("mapped write", window.address() + offset % page_size,
		      length);
		remember(offset, length);
		if (reaches_end(offset, length))
			look_at_tail(last_page(window, offset));
		if (random_.one_in(4) &&
		    ::msync(window.address(), window.length(), MS_SYNC) < 0)
			fail(format("msync: %s", std::strerror(errno)));
		reread(offset, length);
	}

	void resident_read()
	{
		std::size_t offset;
		std::size_t length;

		if (!pick_inside(offset, length))
			return;
		note(format("resident read of %#zx bytes at %#zx", length,
			    offset));
		load("resident read", resident_.address() + offset, offset,
		     length);
		if (reaches_end(offset, length))
			look_at_tail(last_page(resident_, 0));
	}

	void resident_write()
	{
		std::size_t offset;
		std::size_t length;

		if (!pick_inside(offset, length))
			return;
		note(format("resident write of %#zx bytes at %#zx", length,
			    offset));
		fill(buffer_.data(), length);
		store("resident write", resident_.address() + offset, length);
		remember(offset, length);
		if (reaches_end(offset, length))
			look_at_tail(last_page(resident_, 0));
		reread(offset, length);
	}

	void truncate()
	{
		if (!resize_) {
			clear();
			return;
		}

		std::size_t old = size_;
		std::size_t length = random_.one_in(12) ? 0 : pick_offset(max_);

		note(format("ftruncate from %#zx to %#zx", old, length));
		if (file_.truncate(length) < 0)
			fail(format("ftruncate: %s", std::strerror(errno)));
		set_size(length);
		check_size();
		if (length > old)
			reread(old, std::min(length - old, set_.max_io));
		else if (length)
			reread(length - std::min<std::size_t>(length, 4096),
			       4096);
	}

	/* In the place of a resize, for what has a fixed size. */
	void clear()
	{
		if (file_.kind() == file_kind::plain || !random_.one_in(8))
			return;
		note("SHM_KERNEL_IOC_CLEAR");
		if (file_.clear() < 0)
			fail(format("SHM_KERNEL_IOC_CLEAR: %s",
				    std::strerror(errno)));
		forget(0, size_);
		reread(0, std::min(size_, set_.max_io));
	}

	void reopen()
	{
		bool by_name = file_.has_name() && random_.one_in(2);
		bool remap = random_.one_in(2);

		note(format("re-open%s%s", by_name ? " by name" : "",
			    remap ? ", map anew" : ""));
		if (!file_.reopen(by_name))
			fail(format("re-open: %s", std::strerror(errno)));
		if (remap)
			renew_resident();
		check_all();
	}

	void sync()
	{
		bool data_only = random_.one_in(2);

		note(data_only ? "msync, fdatasync" : "msync, fsync");
		if (::msync(resident_.address(), page_up(size_),
			    random_.one_in(2) ? MS_SYNC : MS_ASYNC) < 0)
			fail(format("msync: %s", std::strerror(errno)));
		if (file_.sync(data_only) < 0)
			fail(format("fsync: %s", std::strerror(errno)));
	}

	void map_private()
	{
		std::size_t offset;
		std::size_t length;

		if (!pick_inside(offset, length))
			return;
		note(format("private mapping of %#zx bytes at %#zx", length,
			    offset));

		mapping window = map(offset, length, MAP_PRIVATE);
		std::uint8_t *start = window.address() + offset % page_size;

		load("private read", start, offset, length);
		fill(buffer_.data(), length);

		std::vector<std::uint8_t> own(&buffer_[0],
					      &buffer_[0] + length);

		if (file_.private_store(start, own.data(), length, offset))
			fail("signal in a private store inside the file");
		if (std::memcmp(start, own.data(), length) != 0)
			fail("a private mapping lost what was stored in it");
		reread(offset, length);
	}

	void past_end()
	{
		note(format("past the end, size %#zx", size_));
		for (std::size_t away : {std::size_t{0}, std::size_t{1},
					 random_.upto(page_size * 3)}) {
			expect_count(
				"pread past the end",
				file_.read(buffer_.data(), 16, size_ + away),
				0);
			if (file_.kind() == file_kind::plain)
				continue;
			buffer_[0] = 0xaa;
			written("pwrite",
				file_.write(buffer_.data(), 1, size_ + away),
				size_ + away, 1);
		}
		check_size();
		if (file_.kind() == file_kind::node) {
			mapping window = file_.map(page_up(size_), page_size,
						   MAP_SHARED);

			if (window.address() || window.error() != EINVAL)
				fail(format(
					"mmap past the end of a node: expected "
					"EINVAL, found %s",
					std::strerror(window.error())));
			return;
		}

		mapping window =
			file_.map(page_up(size_), page_size * 2, MAP_SHARED);

		if (!window.address())
			fail(format("mmap past the end: %s",
				    std::strerror(window.error())));
		expect_sigbus(window.address());
		expect_sigbus(window.address() + page_size);
		if (page_up(size_) < resident_.length())
			expect_sigbus(resident_.address() + page_up(size_));
	}

	void expect_sigbus(std::uint8_t *address)
	{
		bool storing = random_.one_in(2);
		std::uint8_t byte = 0x55;
		int signal = storing ? guarded_copy(address, &byte, 1)
				     : guarded_copy(&byte, address, 1);

		if (signal != SIGBUS)
			fail(format(
				"%s past the end: expected SIGBUS, found %s",
				storing ? "store" : "load",
				signal ? strsignal(signal) : "no signal"));
	}

	void seek_and_go()
	{
		std::size_t offset = pick_offset(max_);
		bool writing = random_.one_in(2);
		std::size_t length =
			writing ? pick_write(offset) : pick_length(set_.max_io);

		note(format("lseek and %s %#zx bytes at %#zx",
			    writing ? "write" : "read", length, offset));
		expect_count("lseek(SEEK_END)", file_.seek(0, SEEK_END), size_);
		/* A node has no place behind its end to stand on. */
		if (file_.kind() == file_kind::node)
			offset = std::min(offset, size_);
		expect_count("lseek(SEEK_SET)", file_.seek(offset, SEEK_SET),
			     offset);
		if (writing) {
			fill(buffer_.data(), length);

			std::size_t done = written(
				"write",
				file_.seek_write(buffer_.data(), length),
				offset, length);

			remember(offset, done);
			expect_count("lseek(SEEK_CUR)", file_.seek(0, SEEK_CUR),
				     offset + done);
			reread(offset, length);
		} else {
			std::size_t done = readable(offset, length);

			expect_count("read",
				     file_.seek_read(buffer_.data(), length),
				     done);
			compare("read", offset, buffer_.data(), done);
			expect_count("lseek(SEEK_CUR)", file_.seek(0, SEEK_CUR),
				     offset + done);
		}
	}

	void splice_out()
	{
		std::size_t offset = pick_offset(max_);
		std::size_t length =
			std::min(pick_length(set_.max_io), pipe_room);
		std::size_t expected = readable(offset, length);
		std::size_t done = 0;

		note(format("splice %#zx bytes at %#zx into a pipe", length,
			    offset));
		while (done < expected) {
			ssize_t n = file_.splice_out(pipe_[1], offset + done,
						     length - done);

			if (n <= 0)
				expect_count("splice", n, expected - done);

			std::size_t part = static_cast<std::size_t>(n);

			if (part > expected - done)
				fail(format("splice went past the end: "
					    "expected at most "
					    "%zu, found %zu",
					    expected - done, part));
			expect_count(
				"reading the pipe",
				::read(pipe_[0], buffer_.data() + done, part),
				part);
			done += part;
		}
		compare("splice", offset, buffer_.data(), expected);
	}

	void splice_in()
	{
		std::size_t offset = pick_offset(max_);
		std::size_t length = std::min(pick_write(offset), pipe_room);

		if (length == 0)
			return;
		note(format("splice %#zx bytes at %#zx from a pipe", length,
			    offset));
		fill(buffer_.data(), length);
		expect_count("filling the pipe",
			     ::write(pipe_[1], buffer_.data(), length), length);

		std::size_t done = 0;
		ssize_t n;

		do {
			n = file_.splice_in(pipe_[0], offset + done,
					    length - done);
			if (n > 0)
				done += static_cast<std::size_t>(n);
		} while (n > 0 && done < length);

		int error = errno;

		empty_pipe();
		errno = error;
		remember(offset, written("splice",
					 done ? static_cast<ssize_t>(done) : n,
					 offset, length));
		reread(offset, length);
	}

	/* What a short splice left behind must not turn up in the next one. */
	void empty_pipe()
	{
		std::array<char, 4096> rest{};

		while (::read(pipe_[0], rest.data(), rest.size()) > 0)
			;
	}

	void advise()
	{
		std::size_t offset;
		std::size_t length;

		if (!pick_inside(offset, length))
			return;

		static constexpr std::array<std::pair<int, const char *>, 4>
			kinds{{
				{MADV_DONTNEED, "MADV_DONTNEED"},
				{MADV_WILLNEED, "MADV_WILLNEED"},
				{MADV_HUGEPAGE, "MADV_HUGEPAGE"},
				{MADV_COLD, "MADV_COLD"},
			}};
		const auto &kind = kinds[random_.upto(kinds.size() - 1)];
		std::size_t start = page_down(offset);

		note(format("%s on %#zx bytes at %#zx", kind.second, length,
			    offset));

		int rc = ::madvise(resident_.address() + start,
				   offset - start + length, kind.first);

		/* The others are hints that a kernel may be built without. */
		if (rc < 0 && kind.first == MADV_DONTNEED)
			fail(format("madvise: %s", std::strerror(errno)));
		load("resident read", resident_.address() + offset, offset,
		     length);
	}

	const settings &set_;
	planted &fault_;
	file file_;
	random_source random_;
	std::size_t size_ = 0;
	std::size_t max_ = 0;
	bool resize_ = false;
	bool tail_ = false;
	/* What is behind the end in the last page has to be zero. */
	bool tail_clean_ = false;
	std::vector<std::uint8_t> model_;
	/* The operation that set each byte, for the report. */
	std::vector<std::uint64_t> writer_;
	std::vector<std::uint8_t> buffer_;
	mapping resident_;
	int pipe_[2]{-1, -1};
	std::uint64_t op_ = 0;
	std::string current_ = "0: start";
	std::deque<std::string> log_;
};

std::string replay(const settings &set, const exerciser &run)
{
	std::string text =
		format("shm_fsx --seed %" PRIu64 " --ops %" PRIu64
		       " --max-length %zu --max-io %zu --check-every %zu",
		       set.seed, set.ops, run.max_length(), set.max_io,
		       set.check_every);

	if (!set.truncate)
		text += " --no-truncate";
	if (set.tail)
		text += " --tail";
	if (set.no_tail)
		text += " --no-tail";
	if (set.create_flags & SHM_KERNEL_CREATE_SMALL)
		text += " --small";
	if (set.create_flags & SHM_KERNEL_CREATE_CONTIG)
		text += " --contig";
	if (!set.name.empty())
		text += " --name " + set.name;
	if (set.use_memfd)
		text += format(" --memfd %zu", set.initial_length);
	else if (set.use_region)
		text += format(" --region %zu", set.initial_length);
	else
		text += " " + set.path;
	return text;
}

enum class say {
	nothing,
	differences,
	everything,
};

/* True if the file and the model agreed to the end. */
bool exercise(const settings &set, planted &fault, say what)
{
	std::unique_ptr<exerciser> run;

	try {
		run = std::make_unique<exerciser>(set, fault);
		run->run();
	} catch (const failure &e) {
		if (what == say::nothing)
			return false;
		std::fprintf(stderr, "shm_fsx: operation %s\n", e.what());
		if (run) {
			run->print_log();
			std::fprintf(stderr, "replay: %s\n",
				     replay(set, *run).c_str());
		}
		return false;
	}
	if (what == say::everything)
		std::printf("shm_fsx: %s: %" PRIu64 " operations, seed %" PRIu64
			    ", at most %zu bytes, %s: no difference\n",
			    run->title().c_str(), set.ops, set.seed,
			    run->max_length(),
			    run->resizes() ? "resized" : "fixed size");
	return true;
}

/*
 * A checker that cannot fail proves nothing: every mistake that it is able to
 * make has to be found, and without one nothing may be.
 */
int self_test(settings set)
{
	unsigned int number = 0;
	bool passed = true;

	set.use_memfd = true;
	set.use_region = false;
	if (set.max_length == 0)
		set.max_length = 262144;
	set.initial_length = set.max_length / 2;
	std::printf("TAP version 13\n1..%zu\n", mistakes.size() + 1);

	planted nothing(mistake::none, 0);
	bool clean = exercise(set, nothing, say::differences);

	std::printf("%s %u - no mistake is made, none is found\n",
		    clean ? "ok" : "not ok", ++number);
	passed = passed && clean;
	for (const mistake_text &m : mistakes) {
		planted fault(m.kind, set.ops / 4);
		bool found =
			!exercise(set, fault, say::nothing) && fault.done();

		std::printf("%s %u - found: %s\n", found ? "ok" : "not ok",
			    ++number, m.text);
		passed = passed && found;
	}
	return passed ? 0 : 1;
}

constexpr const char *usage_text =
	"usage: shm_fsx [OPTION...] PATH            a node, or any file\n"
	"       shm_fsx [OPTION...] --region SIZE   a new region file\n"
	"       shm_fsx [OPTION...] --memfd SIZE    a memfd, where there is no "
	"driver\n"
	"       shm_fsx [OPTION...] --self-test     plants mistakes and must "
	"find them\n"
	"\n"
	"Reads, writes, maps, resizes and re-opens one file at random and "
	"compares\n"
	"every byte with a model of it. Exit status: 0 no difference, 1 a "
	"difference,\n"
	"2 the arguments are wrong or the file cannot be had.\n"
	"\n"
	"  -s, --seed N         the run to do; the same seed is the same run "
	"(1)\n"
	"  -n, --ops N          how many operations (5000)\n"
	"  -l, --max-length SIZE  how long the file may become (twice its "
	"size,\n"
	"                       at least 256K)\n"
	"  -o, --max-io SIZE    the longest single read or write (64K)\n"
	"  -c, --check-every N  compare everything after each N operations "
	"(64)\n"
	"  -g, --log N          how many operations to print after a "
	"difference (32)\n"
	"      --no-truncate    leave the size as it is\n"
	"      --tail           store behind the end in the last page, as it "
	"does with\n"
	"                       a region; tmpfs lets such bytes come back\n"
	"      --no-tail        do not, with a region either\n"
	"      --name NAME      with --region: name it, and re-open it by name "
	"too\n"
	"      --small          with --region: no folio larger than a page\n"
	"      --contig         with --region: contiguous, of fixed size\n"
	"  -v, --verbose        print every operation\n"
	"  -h, --help           print this\n";

[[noreturn]] void usage_error(const std::string &what)
{
	std::fprintf(stderr, "shm_fsx: %s\n%s", what.c_str(), usage_text);
	std::exit(2);
}

std::uint64_t parse_number(const char *text, bool suffix)
{
	char *end = nullptr;

	errno = 0;
	std::uint64_t value = std::strtoull(text, &end, 0);
	unsigned int shift = 0;

	if (suffix && *end) {
		switch (*end++) {
		case 'k':
		case 'K':
			shift = 10;
			break;
		case 'm':
		case 'M':
			shift = 20;
			break;
		case 'g':
		case 'G':
			shift = 30;
			break;
		default:
			end--;
			break;
		}
	}
	if (errno || end == text || *end || *text == '-' ||
	    value > std::numeric_limits<std::uint64_t>::max() >> (shift + 1))
		usage_error(std::string("not a number: ") + text);
	return value << shift;
}

enum option_code {
	option_region = 256,
	option_memfd,
	option_self_test,
	option_no_truncate,
	option_tail,
	option_no_tail,
	option_name,
	option_small,
	option_contig,
};

const std::array<option, 18> long_options{{
	{"seed", required_argument, nullptr, 's'},
	{"ops", required_argument, nullptr, 'n'},
	{"max-length", required_argument, nullptr, 'l'},
	{"max-io", required_argument, nullptr, 'o'},
	{"check-every", required_argument, nullptr, 'c'},
	{"log", required_argument, nullptr, 'g'},
	{"verbose", no_argument, nullptr, 'v'},
	{"help", no_argument, nullptr, 'h'},
	{"region", required_argument, nullptr, option_region},
	{"memfd", required_argument, nullptr, option_memfd},
	{"self-test", no_argument, nullptr, option_self_test},
	{"no-truncate", no_argument, nullptr, option_no_truncate},
	{"tail", no_argument, nullptr, option_tail},
	{"no-tail", no_argument, nullptr, option_no_tail},
	{"name", required_argument, nullptr, option_name},
	{"small", no_argument, nullptr, option_small},
	{"contig", no_argument, nullptr, option_contig},
	{nullptr, 0, nullptr, 0},
}};

settings parse(int argc, char **argv, bool &testing_self)
{
	settings set;
	int code;

	while ((code = getopt_long(argc, argv, "s:n:l:o:c:g:vh",
				   long_options.data(), nullptr)) != -1) {
		switch (code) {
		case 's':
			set.seed = parse_number(optarg, false);
			break;
		case 'n':
			set.ops = parse_number(optarg, false);
			break;
		case 'l':
			set.max_length = parse_number(optarg, true);
			break;
		case 'o':
			set.max_io = parse_number(optarg, true);
			break;
		case 'c':
			set.check_every = parse_number(optarg, false);
			break;
		case 'g':
			set.log_length = parse_number(optarg, false);
			break;
		case 'v':
			set.verbose = true;
			break;
		case 'h':
			std::fputs(usage_text, stdout);
			std::exit(0);
		case option_region:
			set.use_region = true;
			set.initial_length = parse_number(optarg, true);
			break;
		case option_memfd:
			set.use_memfd = true;
			set.initial_length = parse_number(optarg, true);
			break;
		case option_self_test:
			testing_self = true;
			break;
		case option_no_truncate:
			set.truncate = false;
			break;
		case option_tail:
			set.tail = true;
			break;
		case option_no_tail:
			set.no_tail = true;
			break;
		case option_name:
			set.name = optarg;
			break;
		case option_small:
			set.create_flags |= SHM_KERNEL_CREATE_SMALL;
			break;
		case option_contig:
			set.create_flags |= SHM_KERNEL_CREATE_CONTIG;
			break;
		default:
			std::fputs(usage_text, stderr);
			std::exit(2);
		}
	}
	if (optind < argc)
		set.path = argv[optind++];
	if (optind < argc)
		usage_error("more than one file");
	if (!testing_self &&
	    set.use_memfd + set.use_region + !set.path.empty() != 1)
		usage_error("name one file: PATH, --region or --memfd");
	if (!set.use_region && (set.create_flags || !set.name.empty()))
		usage_error("--name, --small and --contig need --region");
	if (set.max_io == 0 || set.log_length == 0)
		usage_error("--max-io and --log must not be 0");
	if (set.max_length == 0 && !testing_self)
		set.max_length =
			std::max<std::size_t>(262144, 2 * set.initial_length);
	return set;
}

void catch_faults()
{
	struct sigaction act = {};

	act.sa_handler = on_fault;
	sigaction(SIGBUS, &act, nullptr);
	sigaction(SIGSEGV, &act, nullptr);
}

} // namespace

int main(int argc, char **argv)
{
	bool testing_self = false;
	settings set = parse(argc, argv, testing_self);
	planted nothing(mistake::none, 0);

	catch_faults();
	try {
		if (testing_self)
			return self_test(set);
		return exercise(set, nothing, say::everything) ? 0 : 1;
	} catch (const std::exception &e) {
		std::fprintf(stderr, "shm_fsx: %s\n", e.what());
		return 2;
	}
}
