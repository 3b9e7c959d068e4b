/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What the tests of locks share: memory, and deaths
 *
 * With SHM_KERNEL_TEST_ON_REGION the memory is that of a region, and the tests
 * need the driver.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_TESTS_LOCK_SUPPORT_HPP
#define SHM_KERNEL_TESTS_LOCK_SUPPORT_HPP

#include "support.hpp"

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

#include <sys/mman.h>
#include <sys/ptrace.h>

namespace test {

/* Shared memory, once for reading and writing and once for reading only. */
class lock_memory final
{
public:
	static constexpr std::size_t size = 65536;

#ifdef SHM_KERNEL_TEST_ON_REGION
	lock_memory()
		: m_region(shm_kernel::region::create(
			  shm_kernel::create_options().set_size(size))),
		  m_writable(m_region),
		  m_readable(m_region, shm_kernel::map_mode::read_only)
	{
	}

	void *data() const
	{
		return m_writable.data();
	}
	const void *read_only() const
	{
		return m_readable.data();
	}
	int native_handle() const
	{
		return m_region.native_handle();
	}

private:
	shm_kernel::region m_region;
	shm_kernel::mapping m_writable;
	shm_kernel::mapping m_readable;
#else
	lock_memory()
	{
		m_fd = ::memfd_create("locks", MFD_CLOEXEC);
		if (m_fd < 0 || ::ftruncate(m_fd, size))
			throw std::bad_alloc();
		m_writable = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
				    MAP_SHARED, m_fd, 0);
		m_readable =
			::mmap(nullptr, size, PROT_READ, MAP_SHARED, m_fd, 0);
		if (m_writable == MAP_FAILED || m_readable == MAP_FAILED)
			throw std::bad_alloc();
	}
	lock_memory(const lock_memory &) = delete;
	lock_memory &operator=(const lock_memory &) = delete;
	~lock_memory()
	{
		::munmap(m_writable, size);
		::munmap(m_readable, size);
		::close(m_fd);
	}

	void *data() const
	{
		return m_writable;
	}
	const void *read_only() const
	{
		return m_readable;
	}
	int native_handle() const
	{
		return m_fd;
	}

private:
	int m_fd;
	void *m_writable;
	void *m_readable;
#endif
};

#ifdef SHM_KERNEL_TEST_ON_REGION
using lock_test = device_test;
#else
using lock_test = ::testing::Test;
#endif

/* A T in such memory. */
template <class T>
class shared final
{
public:
	template <class... Arguments>
	explicit shared(Arguments &&...arguments)
		: m_object(::new (m_memory.data())
				   T(std::forward<Arguments>(arguments)...))
	{
		static_assert(sizeof(T) <= lock_memory::size);
	}
	shared(const shared &) = delete;
	shared &operator=(const shared &) = delete;
	~shared() { m_object->~T(); }

	T &operator*() const { return *m_object; }
	T *operator->() const { return m_object; }
	const T &read_only() const
	{
		return *static_cast<const T *>(m_memory.read_only());
	}

private:
	lock_memory m_memory;
	T *m_object;
};

/*
 * A process that is killed after @instructions of @run, or ends before if it
 * does not have that many. Returns how many it had, -1 on failure.
 */
inline long die_after(long instructions, const std::function<void()> &run)
{
	const pid_t pid = ::fork();
	long done = 0;
	int status = 0;

	if (pid < 0)
		return -1;
	if (!pid) {
		::prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr))
			::_exit(1);
		::raise(SIGSTOP);
		run();
		/* Not _exit(), which the linker may have to look up yet. */
		::raise(SIGSTOP);
		::_exit(0);
	}
	if (::waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	while (done < instructions) {
		if (::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) ||
		    ::waitpid(pid, &status, 0) != pid)
			return -1;
		if (!WIFSTOPPED(status))
			return -1;
		if (WSTOPSIG(status) != SIGTRAP)
			break;
		++done;
	}
	const bool stopped =
		done == instructions || WSTOPSIG(status) == SIGSTOP;

	::kill(pid, SIGKILL);
	::waitpid(pid, &status, 0);
	return stopped ? done : -1;
}

/*
 * Lets a process die at each instruction of @run, or if there are more than
 * @points at so many of them, others in each run of the test; calls @check after
 * each death. @before makes what @run needs. Both run here. Returns how many
 * deaths there were.
 */
inline long die_everywhere(long points, const std::function<void()> &before,
			   const std::function<void()> &run,
			   const std::function<void()> &check)
{
	/* What takes an exception to its handler is not looked at. */
	constexpr long longest = 500;
	long deaths = 0;

	/* Whatever is looked up at the first call was looked up already. */
	before();
	run();
	check();
	before();

	const long all = die_after(longest, run);

	check();
	EXPECT_GT(all, 0);

	const long stride = std::max((all + points - 1) / points, 1L);

	for (long at = ::getpid() % stride;
	     at < all && !::testing::Test::HasFailure(); at += stride) {
		SCOPED_TRACE("killed after " + std::to_string(at) +
			     " instructions");
		before();
		/* Now and then a way through the library is shorter. */
		EXPECT_GE(die_after(at, run), 0);
		check();
		++deaths;
	}
	return deaths;
}

} // namespace test

#endif /* SHM_KERNEL_TESTS_LOCK_SUPPORT_HPP */
