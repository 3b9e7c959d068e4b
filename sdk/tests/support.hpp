/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the tests that need the driver share
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_TESTS_SUPPORT_HPP
#define SHM_KERNEL_TESTS_SUPPORT_HPP

#include <shm_kernel/shm_kernel.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace test {

/* Longer than anything here takes on a loaded machine, shorter than for ever. */
constexpr unsigned int patience = 60;

inline bool have_device()
{
	return !::access(shm_kernel::control_node, F_OK);
}

/* Names of this run: no other run, and no other test, has them. */
inline std::string fresh_name()
{
	static int count;

	return "test-" + std::to_string(::getpid()) + '-' +
	       std::to_string(++count);
}

/*
 * A process that runs a function and returns what that returns. It dies with
 * this one, and with the object. Failed expectations in it are for nobody, so
 * it has to say by its result what it found.
 */
class child final
{
public:
	static constexpr int killed = -SIGKILL;

	explicit child(const std::function<int()> &run)
	{
		const pid_t parent = ::getpid();

		m_pid = ::fork();
		if (m_pid < 0)
			throw std::system_error(errno, std::system_category(),
						"fork");
		if (m_pid)
			return;
		::prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (::getppid() != parent)
			::_exit(255);
		/* A sanitizer makes a report of what is expected here. */
		std::signal(SIGBUS, SIG_DFL);
		std::signal(SIGSEGV, SIG_DFL);
		::alarm(patience);
		try {
			::_exit(run());
		} catch (const std::exception &error) {
			std::fprintf(stderr, "child: %s\n", error.what());
		}
		::_exit(254);
	}

	child(child &&other) noexcept : m_pid(std::exchange(other.m_pid, 0)) {}
	child(const child &) = delete;
	child &operator=(const child &) = delete;

	~child()
	{
		if (m_pid)
			kill();
	}

	pid_t pid() const { return m_pid; }

	/* Exit status, or the negative number of the signal. */
	int wait()
	{
		int status = 0;

		while (::waitpid(m_pid, &status, 0) < 0 && errno == EINTR)
			;
		m_pid = 0;
		return WIFEXITED(status) ? WEXITSTATUS(status)
					 : -WTERMSIG(status);
	}

	int kill()
	{
		::kill(m_pid, SIGKILL);
		return wait();
	}

private:
	pid_t m_pid;
};

/* What a child does that shall be killed. */
inline int until_killed()
{
	for (;;)
		::pause();
}

/* Lets one process wait until another has come to some point. */
class gate final
{
public:
	gate()
	{
		if (::pipe(m_fd))
			throw std::system_error(errno, std::system_category(),
						"pipe");
	}
	gate(const gate &) = delete;
	gate &operator=(const gate &) = delete;
	~gate()
	{
		::close(m_fd[0]);
		::close(m_fd[1]);
	}

	void open(int count = 1)
	{
		while (count-- > 0)
			if (::write(m_fd[1], "", 1) != 1)
				std::abort();
	}

	void wait(int count = 1)
	{
		char byte;

		while (count-- > 0)
			if (::read(m_fd[0], &byte, 1) != 1)
				std::abort();
	}

private:
	int m_fd[2];
};

/* The result of a call that is expected to fail. */
template <typename Call>
std::error_code error_of(Call call)
{
	std::error_code error;

	call(error);
	return error;
}

/* Whether @true_soon comes true within the time that the kernel may take to clean up. */
template <typename Condition>
bool eventually(Condition true_soon)
{
	for (int i = 0; i < 500; ++i) {
		if (true_soon())
			return true;
		std::this_thread::sleep_for(std::chrono::milliseconds(10));
	}
	return false;
}

/* Live objects of the driver; empty where debugfs is not to be had. */
inline std::map<std::string, long> live_objects()
{
	std::ifstream file("/sys/kernel/debug/shm_kernel/stats");
	std::map<std::string, long> result;
	std::string what;
	long count;

	while (file >> what >> count)
		result[what] = count;
	return result;
}

/* Lets users other than root open the control node, for as long as it lives. */
class open_for_all final
{
public:
	open_for_all()
	{
		struct stat status = {};

		if (::stat(shm_kernel::control_node, &status) ||
		    ::chmod(shm_kernel::control_node, 0666))
			throw std::system_error(errno, std::system_category(),
						shm_kernel::control_node);
		m_mode = status.st_mode & 07777;
	}
	open_for_all(const open_for_all &) = delete;
	open_for_all &operator=(const open_for_all &) = delete;
	~open_for_all() { ::chmod(shm_kernel::control_node, m_mode); }

private:
	mode_t m_mode;
};

/* Runs @run with a /dev of its own that is empty but for what it puts there. */
inline int with_empty_dev(const std::function<int()> &run)
{
	return child([&] {
		       if (::unshare(CLONE_NEWNS) ||
			   ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE,
				   nullptr) ||
			   ::mount("none", "/dev", "tmpfs", 0, nullptr))
			       return 200;
		       return run();
	       })
		.wait();
}

/* Becomes a user without privileges; for children. */
inline void become(uid_t uid)
{
	if (::setgid(uid) || ::setuid(uid))
		throw std::system_error(errno, std::system_category(),
					"setuid");
}

/*
 * A test that needs the driver. Without it the test fails: a green run must
 * mean that something was tested. After each test the driver has to have as
 * many objects as before.
 */
class device_test : public ::testing::Test
{
protected:
	void SetUp() override
	{
		if (!have_device())
			FAIL() << shm_kernel::control_node
			       << " is missing: load the driver";
		m_before = live_objects();
	}

	void TearDown() override
	{
		if (m_before.empty() || IsSkipped())
			return;
		EXPECT_TRUE(eventually([&] {
			return live_objects() == m_before;
		})) << "the driver has other objects than before the test";
	}

	static bool root() { return !::geteuid(); }

private:
	std::map<std::string, long> m_before;
};

} // namespace test

#endif /* SHM_KERNEL_TESTS_SUPPORT_HPP */
