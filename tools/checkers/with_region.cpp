// SPDX-License-Identifier: BSL-1.0
/*
 * with_region: makes a region and runs a command that is to work on it.
 *
 * A program that wants a path gets one in REGION_PATH: the region's descriptor,
 * which the command inherits, re-opened through /proc/self/fd. The region goes
 * with the command, whichever way it ends.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/shm_kernel.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {

constexpr const char *control_node = "/dev/shm_kernel_driver";

/* High enough not to be taken by what a shell or a test opens for itself. */
constexpr int region_fd = 100;

constexpr const char *usage_text =
	"usage: with_region [--name NAME] [--small] [--contig] SIZE COMMAND "
	"ARG...\n"
	"       with_region --memfd SIZE COMMAND ARG...\n"
	"\n"
	"Makes a region of SIZE bytes (suffix K, M or G) and runs COMMAND with "
	"the\n"
	"region open as descriptor 100 and REGION_PATH=/proc/self/fd/100 in "
	"its\n"
	"environment. Exit status: the command's, or 125 if it could not be "
	"run.\n"
	"--memfd gives a memfd instead, to see what the command makes of "
	"that.\n";

[[noreturn]] void usage_error()
{
	std::fputs(usage_text, stderr);
	std::exit(2);
}

[[noreturn]] void die(const char *what)
{
	std::fprintf(stderr, "with_region: %s: %s\n", what,
		     std::strerror(errno));
	std::exit(125);
}

std::uint64_t parse_size(const char *text)
{
	char *end = nullptr;

	errno = 0;
	std::uint64_t value = std::strtoull(text, &end, 0);

	if (errno || end == text || *text == '-')
		usage_error();
	switch (*end) {
	case 'k':
	case 'K':
		value <<= 10;
		end++;
		break;
	case 'm':
	case 'M':
		value <<= 20;
		end++;
		break;
	case 'g':
	case 'G':
		value <<= 30;
		end++;
		break;
	default:
		break;
	}
	if (*end)
		usage_error();
	return value;
}

int make_memfd(std::uint64_t length)
{
	int fd = ::memfd_create("with_region", MFD_CLOEXEC);

	if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(length)) < 0)
		die("memfd_create");
	return fd;
}

int make_region(shm_kernel_create &args)
{
	int control = ::open(control_node, O_RDWR | O_CLOEXEC);

	if (control < 0)
		die(control_node);

	int fd = ::ioctl(control, SHM_KERNEL_IOC_CREATE, &args);

	if (fd < 0)
		die("SHM_KERNEL_IOC_CREATE");
	return fd;
}

} // namespace

int main(int argc, char **argv)
{
	shm_kernel_create args{};
	std::string name;
	bool memfd = false;
	int i = 1;

	for (; i < argc && std::strncmp(argv[i], "--", 2) == 0; i++) {
		if (std::strcmp(argv[i], "--small") == 0) {
			args.flags |= SHM_KERNEL_CREATE_SMALL;
		} else if (std::strcmp(argv[i], "--contig") == 0) {
			args.flags |= SHM_KERNEL_CREATE_CONTIG;
		} else if (std::strcmp(argv[i], "--name") == 0 &&
			   i + 1 < argc) {
			name = argv[++i];
		} else if (std::strcmp(argv[i], "--memfd") == 0) {
			memfd = true;
		} else if (std::strcmp(argv[i], "--help") == 0) {
			std::fputs(usage_text, stdout);
			return 0;
		} else {
			usage_error();
		}
	}
	if (argc - i < 2)
		usage_error();

	args.size = sizeof(args);
	args.length = parse_size(argv[i]);
	args.mode = 0600;
	if (!name.empty()) {
		args.name = reinterpret_cast<std::uintptr_t>(name.data());
		args.name_len = static_cast<std::uint32_t>(name.size());
	}

	int fd = memfd ? make_memfd(args.length) : make_region(args);

	/* dup2() gives a descriptor that stays open over exec. */
	if (::dup2(fd, region_fd) < 0)
		die("dup2");
	::setenv("REGION_PATH", "/proc/self/fd/100", 1);
	::execvp(argv[i + 1], &argv[i + 1]);
	die(argv[i + 1]);
}
