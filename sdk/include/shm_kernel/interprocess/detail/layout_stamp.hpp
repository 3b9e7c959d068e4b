/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What lies in a region, told by its tag
 *
 * Whoever opens a region of another program has to know that both mean the same
 * by its bytes before the first of them is read. The kernel keeps a tag for each
 * region, given at its creation and unchangeable; this is what the SDK puts
 * there.
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_INTERPROCESS_DETAIL_LAYOUT_STAMP_HPP
#define SHM_KERNEL_INTERPROCESS_DETAIL_LAYOUT_STAMP_HPP

#include <shm_kernel/create_options.hpp>
#include <shm_kernel/interprocess/exceptions.hpp>
#include <shm_kernel/region_info.hpp>

#include <boost/version.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <typeinfo>

namespace shm_kernel {
namespace detail {

enum class content : std::uint8_t {
	managed_segment = 1,
	message_queue = 2,
	named_object = 3,
};

/** The 32 bytes, in the machine's byte order. */
struct layout_stamp
{
	char magic[4] = {'s', 'h', 'm', 'k'};
	/** Of the SDK's own layout of that kind of content. */
	std::uint8_t revision = 1;
	content kind;
	std::uint8_t pointer_size = sizeof(void *);
	/** Segments: bytes of a character of a name; else 0. */
	std::uint8_t char_size = 0;
	/** Segments: Boost's layout, 1 before 1.87, 2 since; else 0. */
	std::uint8_t segment_abi = 0;
	std::uint8_t reserved[3] = {};
	/** The Boost of the creator, for messages: not compared. */
	std::uint32_t boost_version = BOOST_VERSION;
	/** hash_of_types() of what the content is made of. */
	std::uint64_t types = 0;
	/** Not compared: what the kind of content wants to be known. */
	std::uint64_t extra = 0;

	explicit layout_stamp(content what = content::managed_segment) noexcept
		: kind(what)
	{
	}
};

static_assert(sizeof(layout_stamp) == tag_size);
static_assert(std::is_trivially_copyable_v<layout_stamp>);

/**
 * FNV-1a (Fowler, Noll, Vo) over the mangled names and sizes of types. The
 * names are the same for all compilers that keep to the Itanium C++ ABI.
 */
template <class... Types>
std::uint64_t hash_of_types() noexcept
{
	std::uint64_t hash = 0xcbf29ce484222325;
	const auto add = [&hash](unsigned char byte) {
		hash = (hash ^ byte) * 0x100000001b3;
	};
	const auto add_type = [&add](const char *name, std::uint64_t size) {
		/* A leading star only says how names may be compared. */
		for (name += *name == '*'; *name; ++name)
			add(static_cast<unsigned char>(*name));
		for (; size; size >>= 8)
			add(static_cast<unsigned char>(size));
		add(0);
	};

	(add_type(typeid(Types).name(), sizeof(Types)), ...);
	return hash;
}

inline std::string describe(const layout_stamp &stamp)
{
	const auto text = [](std::uint32_t number) {
		return std::to_string(number);
	};
	std::string result;

	switch (stamp.kind) {
	case content::managed_segment:
		result = "a managed segment";
		break;
	case content::message_queue:
		result = "a message queue";
		break;
	case content::named_object:
		result = "a named object";
		break;
	default:
		result = "something unknown";
		break;
	}
	result += " (revision " + text(stamp.revision) + ", " +
		  text(stamp.pointer_size * 8u) + "-bit";
	if (stamp.kind == content::managed_segment)
		result += ", names of " + text(stamp.char_size) +
			  "-byte characters, layout " +
			  text(stamp.segment_abi) + " of Boost";
	return result + ", made with Boost " +
	       text(stamp.boost_version / 100000) + '.' +
	       text(stamp.boost_version / 100 % 1000) + ')';
}

/**
 * The stamp of a region. Throws errc::layout_mismatch if that is not @a mine;
 * what is in its fields otherwise is what the region's creator put there.
 */
inline layout_stamp require_layout(const region_info &info,
				   const layout_stamp &mine)
{
	layout_stamp theirs;
	std::string why;

	std::memcpy(static_cast<void *>(&theirs), info.tag().data(),
		    sizeof(theirs));
	if (std::memcmp(theirs.magic, mine.magic, sizeof(mine.magic)))
		why = "was not made by this library";
	else if (theirs.kind != mine.kind || theirs.revision != mine.revision ||
		 theirs.pointer_size != mine.pointer_size ||
		 theirs.char_size != mine.char_size ||
		 theirs.segment_abi != mine.segment_abi)
		why = "is " + describe(theirs);
	else if (theirs.types != mine.types)
		why = "is " + describe(theirs) + " of other C++ types";
	else
		return theirs;
	throw kernel_memory_exception(errc::layout_mismatch,
				      "region \"" + info.printable_name() +
					      "\" " + why + ", not " +
					      describe(mine));
}

} // namespace detail
} // namespace shm_kernel

#endif /* SHM_KERNEL_INTERPROCESS_DETAIL_LAYOUT_STAMP_HPP */
