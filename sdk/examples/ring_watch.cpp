/* SPDX-License-Identifier: BSL-1.0 */
/*
 * Prints the records of a ring, where they lie
 *
 * For any ring in a region that has a name: records are dumped as bytes, unless
 * their tag says that they are of a kind that this program knows, such as the
 * context switches of the kernel's sample shm_kernel_sched. The records are not
 * copied (but for those of a ring that overwrites, where they would change while
 * one looks), and no system call is made as long as there are some.
 *
 *	modprobe shm_kernel_sched; ring_watch sched
 *	ring_watch sched 100	only so many records
 *	ring_watch		a ring of this program's own, with a child that
 *				writes
 *
 * Ends when the last writer has gone and exits with 0; 1 if something failed.
 * Build:
 *	c++ -std=c++17 ring_watch.cpp $(pkg-config --cflags --libs shm_kernel)
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/shm_kernel.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace {

/* A word of the region, read once: the writer may change it in between. */
template <typename T>
T once(const T &word)
{
	return *static_cast<const volatile T *>(&word);
}

/* One kind of record. */
struct record_kind
{
	/* The tag of its ring, empty for all others. */
	std::string_view tag;
	void (*print)(std::uint32_t lane, const void *data, std::size_t size);
};

/* What shm_kernel_sched publishes: see shm_kernel_sched.h of the sample. */
struct sched_switch
{
	std::uint64_t time;
	std::uint32_t cpu;
	std::int32_t prev_pid;
	std::int32_t next_pid;
	unsigned char prev_state;
	unsigned char preempted;
	unsigned char pad[2];
	char prev_comm[16];
	char next_comm[16];
};

static_assert(sizeof(sched_switch) == 56);

/* The name of a thread, which chooses it: not for terminals as it is. */
std::array<char, 17> comm_of(const char (&comm)[16])
{
	std::array<char, 17> text = {};

	for (std::size_t i = 0; i < sizeof(comm); ++i) {
		const char letter = once(comm[i]);

		if (!letter)
			break;
		text[i] = letter >= ' ' && letter <= '~' ? letter : '?';
	}
	return text;
}

void print_switch(std::uint32_t, const void *data, std::size_t size)
{
	const auto &record = *static_cast<const sched_switch *>(data);

	if (size < sizeof(record)) {
		std::printf("a record of %zu bytes\n", size);
		return;
	}

	const std::uint64_t time = once(record.time);
	const unsigned char state = once(record.prev_state);

	std::printf("%" PRIu64 ".%06" PRIu64 " [%03" PRIu32 "] %s:%" PRId32
		    " %c%s ==> %s:%" PRId32 "\n",
		    time / 1000000000, time / 1000 % 1000000, once(record.cpu),
		    comm_of(record.prev_comm).data(), once(record.prev_pid),
		    state >= 'A' && state <= 'z' ? state : '?',
		    once(record.preempted) ? "+" : "",
		    comm_of(record.next_comm).data(), once(record.next_pid));
}

void print_bytes(std::uint32_t lane, const void *data, std::size_t size)
{
	const auto *const bytes = static_cast<const unsigned char *>(data);

	std::printf("lane %" PRIu32 ", %zu bytes:", lane, size);
	for (std::size_t i = 0; i < std::min<std::size_t>(size, 16); ++i)
		std::printf(" %02x", once(bytes[i]));
	std::puts(size > 16 ? " ..." : "");
}

constexpr record_kind kinds[] = {
	{"sched_switch", print_switch},
	{"", print_bytes},
};

const record_kind &kind_of(std::string_view tag)
{
	const record_kind *kind = kinds;

	while (!kind->tag.empty() && kind->tag != tag)
		++kind;
	return *kind;
}

/* A ring, and whether there still is anybody who writes into it. */
class watcher final
{
public:
	explicit watcher(const shm_kernel::region &region)
		: m_region(region), m_bell(region), m_reader(region)
	{
		const auto info = shm_kernel::get_ring_info(region);

		m_kind = &kind_of(info.tag());
		for (const auto &lane : info.lanes())
			m_in_kernel |= lane.producer_in_kernel;
		m_reader.set_doorbell(m_bell);
		if (m_reader.overwrites())
			m_copy.resize(m_reader.max_record());
		/* Whoever goes from now on is told by the event file. */
		look_for_writers(false, 0);
	}

	/* At most @count records. Returns how many there were. */
	std::uint64_t run(std::uint64_t count)
	{
		std::uint64_t done = 0;

		while (done < count) {
			/* In this order: what is written last is not missed. */
			const bool last = m_gone;

			while (done < count && print_next())
				++done;
			if (done == count || last)
				break;
			if (m_gone || m_reader.arm())
				continue;
			std::fflush(stdout);

			const auto counts = m_bell.read();

			m_gone |= counts.revoked;
			look_for_writers(counts.peers_gone != 0, counts.peers);
		}
		m_reader.release();
		return done;
	}

private:
	bool print_next()
	{
		if (m_reader.overwrites()) {
			const auto size =
				m_reader.try_copy(m_copy.data(), m_copy.size());

			if (size)
				m_kind->print(0, m_copy.data(), *size);
			return size.has_value();
		}

		const auto record = m_reader.try_read();

		if (record)
			m_kind->print(record.lane(), record.data(),
				      record.size());
		return static_cast<bool>(record);
	}

	void look_for_writers(bool gone, std::uint32_t peers)
	{
		/* Programs that read are peers, too, the kernel is not. */
		if (m_in_kernel)
			m_gone |= !m_region.info().clients();
		else
			m_gone |= gone && !peers;
	}

	const shm_kernel::region &m_region;
	shm_kernel::events m_bell;
	shm_kernel::ring_reader m_reader;
	const record_kind *m_kind;
	std::vector<unsigned char> m_copy;
	bool m_in_kernel = false;
	bool m_gone = false;
};

/* To look at a ring that overwrites, one need not be able to write. */
shm_kernel::region open(const char *name)
{
	std::error_code error;
	auto region = shm_kernel::region::open(
		name, shm_kernel::access_mode::read_write, error);

	if (error)
		region = shm_kernel::region::open(
			name, shm_kernel::access_mode::read_only);
	return region;
}

/* The writer of the ring that is this program's own. */
void write_some(const shm_kernel::region &region, std::uint32_t count)
{
	shm_kernel::events bell(region);
	shm_kernel::ring_writer writer(region);

	writer.set_doorbell(bell);
	for (std::uint32_t i = 0; i < count; ++i) {
		const auto slot = writer.reserve(sizeof(i));

		std::memcpy(slot.data(), &i, sizeof(i));
		writer.commit();
	}
}

int demonstrate()
{
	constexpr std::uint32_t count = 200;
	auto region = shm_kernel::region::create(
		shm_kernel::create_options{}.set_size(64 << 10));

	/* Fewer cells than records: the writer has to wait for the reader. */
	shm_kernel::create_ring(region,
				shm_kernel::ring_options{}.set_cells(64));

	watcher own(region);
	const pid_t child = ::fork();

	if (child < 0)
		throw std::system_error(errno, std::system_category(), "fork");
	if (!child) {
		try {
			write_some(region, count);
			::_exit(0);
		} catch (const std::exception &error) {
			std::cerr << "ring_watch: " << error.what() << '\n';
		}
		::_exit(1);
	}

	const std::uint64_t done = own.run(count);
	int status = 1;

	::waitpid(child, &status, 0);
	std::printf("%" PRIu64 " of %" PRIu32 " records\n", done, count);
	return done == count && !status ? 0 : 1;
}

} // namespace

int main(int argc, char **argv)
{
	try {
		if (argc == 1)
			return demonstrate();
		if (argc > 3 || argv[1][0] == '-') {
			std::cerr << "usage: ring_watch [NAME [COUNT]]\n";
			return 2;
		}

		const auto region = open(argv[1]);

		watcher(region).run(
			argc == 3 ? std::strtoull(argv[2], nullptr, 10)
				  : UINT64_MAX);
		std::cerr << shm_kernel::get_ring_info(region) << '\n';
		return 0;
	} catch (const std::exception &error) {
		std::cerr << "ring_watch: " << error.what() << '\n';
		return 1;
	}
}
