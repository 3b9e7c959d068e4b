/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A name that goes at the end of a scope
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_REMOVE_KERNEL_SHARED_MEMORY_ON_DESTROY_HPP
#define SHM_KERNEL_INTERPROCESS_REMOVE_KERNEL_SHARED_MEMORY_ON_DESTROY_HPP

#include <shm_kernel/interprocess/kernel_shared_memory.hpp>

#include <string>

namespace shm_kernel {

/**
 * Stands in for boost::interprocess::remove_shared_memory_on_destroy: its
 * destructor takes a name away, of whatever kind the region is. The name is
 * copied, so the string it was made from may go first. Only of use for names
 * that stay (name_lifetime::removal), or that shall go before their users do.
 */
class remove_kernel_shared_memory_on_destroy final
{
public:
	/** Copies the name, and touches nothing. Implicit, as Boost's is. */
	remove_kernel_shared_memory_on_destroy(const char *name) : m_name(name)
	{
	}

	remove_kernel_shared_memory_on_destroy(
		const remove_kernel_shared_memory_on_destroy &) = delete;
	remove_kernel_shared_memory_on_destroy &
	operator=(const remove_kernel_shared_memory_on_destroy &) = delete;

	/** Removes the name, if it is there. */
	~remove_kernel_shared_memory_on_destroy()
	{
		kernel_shared_memory::remove(m_name.c_str());
	}

private:
	std::string m_name;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_REMOVE_KERNEL_SHARED_MEMORY_ON_DESTROY_HPP */
