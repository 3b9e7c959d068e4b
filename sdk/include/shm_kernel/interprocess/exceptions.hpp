/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Errors of the Boost.Interprocess layer
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_EXCEPTIONS_HPP
#define SHM_KERNEL_INTERPROCESS_EXCEPTIONS_HPP

#include <shm_kernel/errors.hpp>
#include <shm_kernel/export.hpp>

#include <boost/interprocess/errors.hpp>
#include <boost/interprocess/exceptions.hpp>

#include <string>
#include <system_error>

namespace shm_kernel {

/**
 * What the Boost layer throws: an interprocess_exception with the native errno
 * and Boost's own error code for it, so that handlers written for Boost work.
 * Beyond that, code() tells apart what shares an errno, and what() says how to
 * mend it. A missing driver is ENODEV, never "not found".
 */
class SHM_KERNEL_API kernel_memory_exception
	: public boost::interprocess::interprocess_exception
{
public:
	explicit kernel_memory_exception(const std::error_code &code)
		: interprocess_exception(boost::interprocess::error_info(
			  code.default_error_condition().value())),
		  m_code(code), m_text("shm_kernel: " + code.message())
	{
	}

	/** With what was found, for instance the two that do not match. */
	kernel_memory_exception(const std::error_code &code,
				const std::string &detail)
		: kernel_memory_exception(code)
	{
		m_text = "shm_kernel: " + detail + ": " + code.message();
	}

	const char *what() const noexcept override { return m_text.c_str(); }

	const std::error_code &code() const noexcept { return m_code; }

private:
	std::error_code m_code;
	std::string m_text;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_EXCEPTIONS_HPP */
