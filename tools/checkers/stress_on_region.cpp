// SPDX-License-Identifier: BSL-1.0
/*
 * stress_on_region: a library to preload into stress-ng, whose file stressors
 * take no path and always make a file of their own. With it that file is the
 * one that REGION_PATH names.
 *
 * Only what stress-ng creates in its own temporary directory is replaced.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/types.h>

namespace {

using open_function = int (*)(const char *, int, ...);

int open_region_or(const char *symbol, const char *path, int flags, mode_t mode)
{
	const char *region = std::getenv("REGION_PATH");
	auto next = reinterpret_cast<open_function>(::dlsym(RTLD_NEXT, symbol));

	if (region && (flags & O_CREAT) &&
	    std::strstr(path, "/tmp-stress-ng-")) {
		/* There is one region, and every file has to be it. */
		path = region;
		flags &= ~(O_CREAT | O_EXCL | O_TRUNC);
	}
	return next(path, flags, mode);
}

} // namespace

extern "C" {

__attribute__((visibility("default"))) int open(const char *path, int flags,
						...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = va_arg(args, mode_t);
	va_end(args);
	return open_region_or("open", path, flags, mode);
}

__attribute__((visibility("default"))) int open64(const char *path, int flags,
						  ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = va_arg(args, mode_t);
	va_end(args);
	return open_region_or("open64", path, flags, mode);
}

} /* extern "C" */
