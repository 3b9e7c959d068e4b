// SPDX-License-Identifier: BSL-1.0
/*
 * Errors that say what failed, why, and how to mend it
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "errors.hpp"

#include <algorithm>
#include <cstdio>
#include <system_error>

namespace shmtool {
namespace {

std::string compose(const std::string &what, const std::string &why,
		    const std::string &mend)
{
	std::string text = what + ": " + why;

	if (!mend.empty())
		text += " (" + mend + ")";
	return text;
}

/* The optimal string alignment distance. */
std::size_t edit_distance(std::string_view a, std::string_view b)
{
	std::vector<std::vector<std::size_t>> d(
		a.size() + 1, std::vector<std::size_t>(b.size() + 1));

	for (std::size_t i = 0; i <= a.size(); i++)
		d[i][0] = i;
	for (std::size_t j = 0; j <= b.size(); j++)
		d[0][j] = j;
	for (std::size_t i = 1; i <= a.size(); i++) {
		for (std::size_t j = 1; j <= b.size(); j++) {
			const std::size_t differ = a[i - 1] == b[j - 1] ? 0 : 1;

			d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1,
					    d[i - 1][j - 1] + differ});
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				d[i][j] =
					std::min(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[a.size()][b.size()];
}

} // namespace

failure::failure(const std::string &what, const std::string &why,
		 const std::string &mend)
	: std::runtime_error(compose(what, why, mend))
{
}

std::string error_text(int error)
{
	std::string text = std::generic_category().message(error);

	/* "Permission denied" but not "RPC struct is bad" */
	if (text.size() > 1 && text[1] >= 'a' && text[1] <= 'z' &&
	    text[0] >= 'A' && text[0] <= 'Z')
		text[0] = static_cast<char>(text[0] - 'A' + 'a');
	return text;
}

void fail_errno(const std::string &what, int error, const std::string &mend)
{
	throw failure(what, error_text(error), mend);
}

void report(const std::exception &error)
{
	/* what was printed before must not come after it where both go to one
	 * file */
	std::fflush(stdout);
	std::fprintf(stderr, "shmtool: %s\n", error.what());
}

std::string nearest(std::string_view word,
		    const std::vector<std::string> &candidates)
{
	std::string best;
	std::size_t best_distance =
		std::max<std::size_t>(1, word.size() / 3) + 1;

	for (const std::string &candidate : candidates) {
		const std::size_t longer =
			std::max(word.size(), candidate.size());
		const std::size_t shorter =
			std::min(word.size(), candidate.size());

		if (longer - shorter >= best_distance)
			continue;

		const std::size_t distance = edit_distance(word, candidate);
		if (distance < best_distance && distance < longer) {
			best = candidate;
			best_distance = distance;
		}
	}
	return best;
}

} // namespace shmtool
