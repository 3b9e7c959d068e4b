/* SPDX-License-Identifier: BSL-1.0 */
/*
 * A handle of a region
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_REGION_HPP
#define SHM_KERNEL_REGION_HPP

#include <shm_kernel/create_options.hpp>
#include <shm_kernel/errors.hpp>
#include <shm_kernel/export.hpp>
#include <shm_kernel/region_info.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sys/types.h>

namespace shm_kernel {

/** What a handle may do with the memory of its region. */
enum class access_mode {
	read_only,
	read_write,
};

/** Node of the driver, and of region 0. */
inline constexpr const char *control_node = "/dev/shm_kernel_driver";

/**
 * A region that this process has open: a file descriptor and nothing else.
 *
 * Move-only; the destructor closes the descriptor, and the region and its name
 * live on as long as anybody else has it open or mapped. Names are as in
 * create_options::set_name(); sizes and offsets are bytes.
 *
 * Functions throw std::system_error, or with a std::error_code as the last
 * argument set that instead; see errc for what it can say. Those that need no
 * memory are noexcept then. Distinct objects may be used by distinct threads;
 * one object by several as long as none of them moves, closes or assigns it.
 */
class SHM_KERNEL_API region final
{
public:
	/** Holds no region. */
	region() noexcept = default;
	region(region &&other) noexcept;
	region &operator=(region &&other) noexcept;
	region(const region &) = delete;
	region &operator=(const region &) = delete;
	~region();

	/** @name Making and finding regions */
	/** @{ */

	/**
	 * Creates a region, all of its memory allocated and zero. It appears
	 * under its name complete or not at all, and never replaces another.
	 */
	static region create(const create_options &options);
	static region create(const create_options &options,
			     std::error_code &error) noexcept;
	static region create(std::string_view name, std::uint64_t size);
	static region create(std::string_view name, std::uint64_t size,
			     std::error_code &error);

	/** Opens a region by its name, subject to the region's mode. */
	static region open(std::string_view name,
			   access_mode mode = access_mode::read_write);
	static region open(std::string_view name, access_mode mode,
			   std::error_code &error) noexcept;

	/**
	 * Opens a region by its device node: control_node for region 0,
	 * /dev/shm_kernel/NAME for another boot region.
	 */
	static region open_node(const std::string &path,
				access_mode mode = access_mode::read_write);
	static region open_node(const std::string &path, access_mode mode,
				std::error_code &error) noexcept;

	/**
	 * Takes over a descriptor, for instance one that came over a socket,
	 * after a check that it is a region. On failure it stays the caller's.
	 */
	static region adopt(int descriptor);
	static region adopt(int descriptor, std::error_code &error) noexcept;

	/** Takes a name away; who has the region open or mapped keeps it. */
	static void remove(std::string_view name);
	static void remove(std::string_view name,
			   std::error_code &error) noexcept;

	/** All regions that the caller may read or owns, oldest first. */
	static std::vector<region_info> list();
	static std::vector<region_info> list(std::error_code &error);

	/** @} */
	/** @name The region */
	/** @{ */

	/**
	 * Names an unnamed region, once: create it, fill it, then publish it.
	 * errc::name_exists tells that another was faster.
	 */
	void bind(std::string_view name);
	void bind(std::string_view name, std::error_code &error) noexcept;

	/**
	 * Size in bytes. A change allocates or frees the memory at once; new
	 * bytes are zero. Where a peer has mapped more than what remains, its
	 * access to that raises SIGBUS. errc::busy while the kernel has it
	 * mapped, errc::sealed where a seal forbids it.
	 */
	std::uint64_t size() const;
	std::uint64_t size(std::error_code &error) const noexcept;
	void resize(std::uint64_t size);
	void resize(std::uint64_t size, std::error_code &error) noexcept;

	region_info info() const;
	region_info info(std::error_code &error) const;

	/** Zeroes the region. */
	void clear();
	void clear(std::error_code &error) noexcept;

	/** Brings the initial content back: zero, but for region 0. */
	void reset();
	void reset(std::error_code &error) noexcept;

	/**
	 * Gives up, for everybody and for good, ways to change the region:
	 * a peer may rely on what cannot shrink. errc::sealed after
	 * seal::seal; errc::busy for seal::write while anybody can write: has
	 * a writable mapping, or one that could be made so, or a pin.
	 */
	void add_seals(seal seals);
	void add_seals(seal seals, std::error_code &error) noexcept;

	/** Ends the region for all of user space; needs CAP_SYS_ADMIN. */
	void revoke();
	void revoke(std::error_code &error) noexcept;

	/**
	 * Reads up to @a size bytes. Returns how many: fewer only at the end of
	 * the region.
	 */
	std::size_t read(std::uint64_t offset, void *buffer,
			 std::size_t size) const;
	std::size_t read(std::uint64_t offset, void *buffer, std::size_t size,
			 std::error_code &error) const noexcept;

	/**
	 * Writes all of @a size bytes. What does not fit is errc::past_end
	 * after the part that does; that part is the result.
	 */
	std::size_t write(std::uint64_t offset, const void *buffer,
			  std::size_t size);
	std::size_t write(std::uint64_t offset, const void *buffer,
			  std::size_t size, std::error_code &error) noexcept;

	/** Permission bits, 0 to 0777; for what is opened from now on. */
	void chmod(mode_t mode);
	void chmod(mode_t mode, std::error_code &error) noexcept;

	/** Owner and group; -1 leaves one as it is. */
	void chown(uid_t uid, gid_t gid);
	void chown(uid_t uid, gid_t gid, std::error_code &error) noexcept;

	/** @} */
	/** @name The handle */
	/** @{ */

	/** What this handle may do, whatever the region's mode says now. */
	access_mode access() const;
	access_mode access(std::error_code &error) const noexcept;

	/**
	 * Another handle of the same region with its own access mode, checked
	 * against the region's mode: read_only makes the one to hand to a peer
	 * that shall not write. Needs /proc.
	 */
	region reopen(access_mode mode) const;
	region reopen(access_mode mode, std::error_code &error) const noexcept;

	/** The descriptor, which stays the object's; -1 when it has none. */
	int native_handle() const noexcept { return m_fd; }

	/** Gives the descriptor away. */
	[[nodiscard]] int release() noexcept;

	/** Closes the handle; mappings of the region stay. */
	void close() noexcept;

	explicit operator bool() const noexcept { return m_fd >= 0; }

	void swap(region &other) noexcept;
	friend void swap(region &a, region &b) noexcept { a.swap(b); }

	/** @} */

private:
	explicit region(int descriptor) noexcept : m_fd(descriptor) {}

	int m_fd = -1;
};

} // namespace shm_kernel

#endif /* SHM_KERNEL_REGION_HPP */
