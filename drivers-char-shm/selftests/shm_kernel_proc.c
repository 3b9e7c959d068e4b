// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of shm_kernel's files in /proc, and of programs in the manner of the
 * tutorials that they are for
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#define _GNU_SOURCE
#include "shm_kernel_util.h"
#include "kselftest_harness.h"

#define LIST		"/proc/shm_kernel"
#define PHYMEM_ADDR	"/proc/memshare/phymem_addr"
#define PHYMEM_SIZE	"/proc/memshare/phymem_size"
#define SHM_INFO	"/proc/shm_dir/shm_info"

#define WORD_0		0x1111
#define WORD_0X100	0x2222

FIXTURE(proc) {
	int ctl;
	size_t size;
	struct stats stats;
};

FIXTURE_SETUP(proc)
{
	struct shm_kernel_info info;

	self->ctl = control_open();
	if (self->ctl < 0)
		SKIP(return, "no " CONTROL_NODE);
	if (access(LIST, F_OK))
		SKIP(return, "no " LIST ": CONFIG_SHM_KERNEL_PROC is not set");
	stats_read(&self->stats);
	ASSERT_EQ(0, region_info(self->ctl, &info));
	self->size = info.length;
	ASSERT_EQ(0, region_reset(self->ctl));
}

FIXTURE_TEARDOWN(proc)
{
	region_reset(self->ctl);
	EXPECT_TRUE(stats_return_to(&self->stats));
	close(self->ctl);
}

static ssize_t read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t total = 0, len;

	if (fd < 0)
		return -1;
	while ((len = read(fd, text + total, size - 1 - total)) > 0)
		total += len;
	close(fd);
	text[total] = '\0';
	return len < 0 ? -1 : total;
}

/* The line of a region, by the end of it; NULL if there is none. */
static char *find_line(char *text, const char *end)
{
	char *line;

	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strlen(line) > strlen(end) &&
		    !strcmp(line + strlen(line) - strlen(end), end))
			return line;
	return NULL;
}

/* A number, and what comes after it. */
static unsigned long long number(char **text, int base)
{
	return strtoull(*text, text, base);
}

TEST_F(proc, list)
{
	static const char name[] = "kst proc\n\\\xff";
	int fd = region_create(self->ctl, name, 12345, 0640, 0);
	struct shm_kernel_info info;
	char text[16384], *line;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, region_add_seals(fd, SHM_KERNEL_SEAL_GROW));
	ASSERT_EQ(0, region_info(fd, &info));
	ASSERT_LT(0, read_file(LIST, text, sizeof(text)));
	EXPECT_EQ(0, strncmp(text, "        id  mode   uid   gid ", 29));
	line = find_line(text, " kst proc\\n\\\\\\377");
	ASSERT_NE(NULL, line);
	EXPECT_EQ(info.id, number(&line, 10));
	EXPECT_EQ(0640, number(&line, 8));
	EXPECT_EQ(0, number(&line, 10));
	EXPECT_EQ(0, number(&line, 10));
	EXPECT_EQ(12345, number(&line, 10));
	EXPECT_EQ(info.allocated, number(&line, 10));
	EXPECT_EQ(1, number(&line, 10));
	EXPECT_EQ(0, number(&line, 10));
	EXPECT_EQ(0, number(&line, 10));
	EXPECT_EQ(info.flags, number(&line, 16));
	EXPECT_EQ(SHM_KERNEL_SEAL_GROW, number(&line, 16));
	/* Not in one piece, so there is no address. */
	EXPECT_EQ(0, number(&line, 16));
	EXPECT_STREQ(" kst proc\\n\\\\\\377", line);
	close(fd);
	ASSERT_LT(0, read_file(LIST, text, sizeof(text)));
	EXPECT_EQ(NULL, find_line(text, " kst proc\\n\\\\\\377"));
}

/* More regions than fit into one read, while others come and go. */
TEST_F(proc, list_beside_changes)
{
	char text[256 * 1024], name[32], *line;
	unsigned int i, found;
	int fds[300];
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		snprintf(name, sizeof(name), "kst-proc-%u", i);
		fds[i] = region_create(self->ctl, name, 1, 0600, 0);
		ASSERT_LE(0, fds[i]);
	}
	pid = spawn();
	if (!pid)
		for (;;)
			close(region_create(self->ctl, "kst-other", 1, 0600, 0));
	for (i = 0; i < 10; i++) {
		ASSERT_LT(0, read_file(LIST, text, sizeof(text)));
		found = 0;
		for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			found += !!strstr(line, " kst-proc-");
		EXPECT_EQ(ARRAY_SIZE(fds), found);
	}
	child_kill(pid);
	for (i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* Whoever is no administrator is shown no address, but may know the size. */
TEST_F(proc, addresses_are_for_the_administrator)
{
	char text[16384], *pos;
	unsigned long addr;
	pid_t pid;

	ASSERT_LT(0, read_file(PHYMEM_ADDR, text, sizeof(text)));
	pos = text;
	addr = number(&pos, 16);
	EXPECT_NE(0, addr);
	EXPECT_EQ(0, addr % page_size());
	EXPECT_LE(9, pos - text + 1);
	EXPECT_STREQ("\n", pos);
	ASSERT_LT(0, read_file(SHM_INFO, text, sizeof(text)));
	pos = text;
	EXPECT_EQ(addr, number(&pos, 16));
	EXPECT_EQ(self->size, number(&pos, 10));
	EXPECT_STREQ("\n", pos);
	ASSERT_LT(0, read_file(PHYMEM_SIZE, text, sizeof(text)));
	pos = text;
	EXPECT_EQ(self->size, number(&pos, 10));
	EXPECT_STREQ("\n", pos);
	ASSERT_LT(0, read_file(LIST, text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, " region0\n"));

	pid = spawn();
	if (!pid) {
		become_user(NOBODY);
		CHILD_CHECK(read_file(PHYMEM_ADDR, text, sizeof(text)) > 0);
		CHILD_CHECK(!strcmp(text, "00000000\n"));
		CHILD_CHECK(read_file(SHM_INFO, text, sizeof(text)) > 0);
		CHILD_CHECK(!strncmp(text, "0 ", 2));
		pos = text + 2;
		CHILD_CHECK(number(&pos, 10) == self->size);
		/* And no regions but its own. */
		CHILD_CHECK(read_file(LIST, text, sizeof(text)) > 0);
		CHILD_CHECK(!strstr(text, "region0"));
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid));
}

/*
 * Reads where the memory is, maps it through /dev/mem, and leaves a message: the
 * driver has it.
 */
TEST_F(proc, tutorial_dev_mem)
{
	static const char message[] = "hello from user space";
	char buf[sizeof(message)] = "";
	unsigned long addr, size;
	char text[64], *map;
	int fd;

	ASSERT_LT(0, read_file(PHYMEM_ADDR, text, sizeof(text)));
	addr = strtoul(text, NULL, 16);
	ASSERT_LT(0, read_file(PHYMEM_SIZE, text, sizeof(text)));
	size = strtoul(text, NULL, 10);

	fd = open("/dev/mem", O_RDWR | O_SYNC);
	if (fd < 0)
		SKIP(return, "no /dev/mem: %m");
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, addr);
	if (map == MAP_FAILED && errno == EPERM) {
		close(fd);
		SKIP(return, "the kernel does not let /dev/mem map memory");
	}
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(WORD_0, *(__u32 *)map);
	memcpy(map, message, sizeof(message));
	EXPECT_EQ(sizeof(buf), pread(self->ctl, buf, sizeof(buf), 0));
	EXPECT_STREQ(message, buf);
	munmap(map, size);
	close(fd);
}

/* Maps the device, reads two words, writes two words. */
TEST_F(proc, tutorial_mmap)
{
	int fd = open(CONTROL_NODE, O_RDWR);
	__u32 words[2] = { 0x3333, 0x4444 }, seen;
	__u32 *map;

	ASSERT_LE(0, fd);
	map = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(WORD_0, map[0]);
	EXPECT_EQ(WORD_0X100, map[0x100 / sizeof(*map)]);
	map[0] = words[0];
	map[0x100 / sizeof(*map)] = words[1];
	munmap(map, page_size());

	EXPECT_EQ(sizeof(seen), read(fd, &seen, sizeof(seen)));
	EXPECT_EQ(words[0], seen);
	ASSERT_EQ(0x100, lseek(fd, 0x100, SEEK_SET));
	EXPECT_EQ(sizeof(seen), read(fd, &seen, sizeof(seen)));
	EXPECT_EQ(words[1], seen);
	close(fd);
}

/* The commands 0 and 1, without an argument or with any. */
TEST_F(proc, tutorial_ioctl)
{
	__u32 words[0x104 / sizeof(__u32)];
	int ro = open(CONTROL_NODE, O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, ro);
	EXPECT_EQ(-1, ioctl(ro, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, ioctl(ro, 1));
	EXPECT_EQ(EACCES, errno);
	close(ro);

	EXPECT_EQ(0, ioctl(self->ctl, 0));
	ASSERT_EQ(sizeof(words), pread(self->ctl, words, sizeof(words), 0));
	EXPECT_EQ(-1, zero_check(words, sizeof(words)));
	EXPECT_EQ(0, ioctl(self->ctl, 1, -1UL));
	ASSERT_EQ(sizeof(words), pread(self->ctl, words, sizeof(words), 0));
	EXPECT_EQ(WORD_0, words[0]);
	EXPECT_EQ(WORD_0X100, words[0x100 / sizeof(*words)]);
}

TEST_HARNESS_MAIN
