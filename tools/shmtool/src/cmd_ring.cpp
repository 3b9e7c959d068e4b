// SPDX-License-Identifier: BSL-1.0
/*
 * ring: look at a ring of records, make one, read and write it
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "command.hpp"
#include "errors.hpp"
#include "escape.hpp"
#include "output.hpp"
#include "ring_head.hpp"
#include "ring_text.hpp"
#include "show.hpp"
#include "signals.hpp"
#include "sizes.hpp"
#include "target.hpp"

namespace shmtool {
namespace {

using shm_kernel::access_mode;
using shm_kernel::errc;
using shm_kernel::event_mode;
using shm_kernel::events;
using shm_kernel::region;
using shm_kernel::ring_access;
using shm_kernel::ring_info;
using shm_kernel::ring_options;
using shm_kernel::ring_reader;
using shm_kernel::ring_writer;
using shm_kernel::when_full;

/* What the command line says, all of it checked before anything is opened. */
struct request
{
	std::string operand;
	ring_access access;
	std::uint64_t count = UINT64_MAX;
	record_format format = record_format::text;
	ring_options options;
};

std::uint32_t small_number(const arguments &args, const char *option,
			   std::uint32_t least, std::uint32_t most,
			   std::uint32_t otherwise)
{
	return static_cast<std::uint32_t>(
		args.number(option, least, most).value_or(otherwise));
}

request request_of(const arguments &args)
{
	struct rule
	{
		const char *option;
		const char *with;
		const char *or_with;
	};
	static constexpr rule rules[] = {
		{"follow", "read", "read"},
		{"format", "read", "read"},
		{"count", "read", "read"},
		{"lane", "read", "write"},
		{"trust", "read", "write"},
		{"drop", "write", "write"},
		{"lanes", "create", "create"},
		{"overwrite", "create", "create"},
		{"tag", "create", "create"},
	};
	request result;

	if (args.has("read") + args.has("write") + args.has("create") > 1)
		args.reject("ring", "give one of --read, --write and --create");
	for (const rule &r : rules)
		if (args.has(r.option) && !args.has(r.with) &&
		    !args.has(r.or_with))
			args.reject(std::string("--") + r.option,
				    std::string("it goes with --") + r.with +
					    (r.with == r.or_with
						     ? ""
						     : std::string(" or --") +
							       r.or_with));

	result.operand = args.operands()[0];
	result.access.set_offset(args.size("offset").value_or(0));
	result.access.set_trusted(args.has("trust"));
	if (result.access.offset() % shm_kernel::ring_cell_size)
		args.reject("--offset", "a ring begins at a multiple of 64");
	if (args.has("lane"))
		result.access.set_lane(small_number(
			args, "lane", 0, shm_kernel::ring_max_lanes - 1, 0));
	result.count =
		args.number("count", 1, UINT64_MAX).value_or(result.count);
	if (args.has("format")) {
		const auto format = parse_format(args.value("format"));

		if (!format)
			args.reject("--format",
				    "'" + printable(args.value("format")) +
					    "' is no format (the formats are "
					    "text, hex and raw)");
		if (args.has("json"))
			args.reject("--format", "not together with --json");
		result.format = *format;
	}
	if (args.has("json"))
		result.format = record_format::object;

	if (args.has("create")) {
		const std::uint32_t cells =
			small_number(args, "create", shm_kernel::ring_min_cells,
				     shm_kernel::ring_max_cells, 0);

		if (cells & (cells - 1))
			args.reject("--create", "'" + args.value("create") +
							"' is no power of two");
		result.options.set_cells(cells);
	}
	result.options.set_lanes(
		small_number(args, "lanes", 1, shm_kernel::ring_max_lanes, 1));
	result.options.set_overwrite(args.has("overwrite"));
	if (args.has("tag")) {
		const std::string &tag = args.value("tag");

		if (tag.size() > shm_kernel::ring_tag_size)
			args.reject("--tag",
				    std::to_string(tag.size()) +
					    " bytes where " +
					    std::to_string(
						    shm_kernel::ring_tag_size) +
					    " are the most");
		result.options.set_tag(tag);
	}
	return result;
}

std::string subject(const request &what)
{
	return "ring " + shown(what.operand);
}

[[noreturn]] void fail_ring(const request &what, const region &handle,
			    std::error_code error)
{
	const std::uint64_t offset = what.access.offset();
	const auto fault = error == errc::not_a_ring
				   ? find_head_fault(handle, offset)
				   : std::nullopt;

	if (fault)
		throw failure(
			subject(what),
			"the head of the ring is corrupt: " + *fault,
			"if nobody needs what is in it, make another one: "
			"shmtool clear, shmtool ring --create");
	if (error == errc::not_a_ring && offset)
		throw failure(subject(what), "there is no ring at offset " +
						     std::to_string(offset));
	fail_region("ring", what.operand, error);
}

/* The same after an attempt to get a lane of it. */
[[noreturn]] void fail_lane(const request &what, const region &handle,
			    std::error_code error)
{
	if (error == std::errc::invalid_argument && what.access.lane())
		throw failure(subject(what),
			      "it has no lane " +
				      std::to_string(*what.access.lane()),
			      "'shmtool ring " + shell_word(what.operand) +
				      "' shows its lanes");
	fail_ring(what, handle, error);
}

int show_ring(const arguments &args, const request &what)
{
	const std::uint64_t offset = what.access.offset();
	const target opened =
		open_target("ring", what.operand, access_mode::read_only);
	std::error_code error;
	const ring_info ring =
		shm_kernel::get_ring_info(opened.handle, offset, error);

	if (error)
		fail_ring(what, opened.handle, error);
	if (args.has("json"))
		print_json(ring_json(ring, offset));
	else
		print(ring_text(ring, offset, terminal_width(STDOUT_FILENO)));
	return exit_ok;
}

/* A ring takes the place of nothing: whoever wants that clears it first. */
void check_room(const request &what, const region &handle)
{
	const std::uint64_t offset = what.access.offset();
	const std::uint64_t end = offset + what.options.size();
	std::error_code error;
	const std::uint64_t size = handle.size(error);
	std::vector<char> buffer(1 << 20);

	if (error)
		fail_region("ring", what.operand, error);
	if (end > size)
		throw failure(subject(what),
			      "it would end at " + format_size_exact(end) +
				      ", and the region at " +
				      format_size_exact(size),
			      "make it larger: shmtool resize " +
				      shell_word(what.operand) + " " +
				      std::to_string(end));
	for (std::uint64_t at = offset; at < end; at += buffer.size()) {
		const auto length = static_cast<std::size_t>(
			std::min<std::uint64_t>(buffer.size(), end - at));
		const std::size_t n =
			handle.read(at, buffer.data(), length, error);

		if (error)
			fail_region("ring", what.operand, error);
		if (std::any_of(buffer.begin(),
				buffer.begin() + static_cast<std::ptrdiff_t>(n),
				[](char c) { return c != 0; }))
			throw failure(
				subject(what),
				find_head_fault(handle, offset)
					? "there is a ring already"
					: "there is something already: the "
					  "memory is not zero",
				"if nobody needs it: shmtool clear " +
					shell_word(what.operand));
	}
}

int create(const arguments &args, const request &what)
{
	target opened =
		open_target("ring", what.operand, access_mode::read_write);
	std::error_code error;

	check_room(what, opened.handle);
	shm_kernel::create_ring(opened.handle, what.options,
				what.access.offset(), error);
	if (error)
		fail_region("ring", what.operand, error);
	opened.handle.close();
	return show_ring(args, what);
}

events subscribe(const request &what, const region &handle)
{
	std::error_code error;
	events bell(handle, event_mode::blocking, error);

	if (error)
		fail_region("ring", what.operand, error);
	return bell;
}

/* Until the doorbell rings. Throws stopped if nobody wants to go on. */
void wait_for_bell(const request &what, events &bell)
{
	std::vector<struct pollfd> files = {{bell.native_handle(), POLLIN, 0},
					    {STDOUT_FILENO, 0, 0}};
	std::error_code error;

	wait_for(files, std::chrono::milliseconds(-1));
	if (stop_signal())
		throw stopped{stop_signal()};
	/* a pipe or socket that nobody reads any more */
	if (files[1].revents)
		throw stopped{SIGPIPE};
	bell.try_read(error);
	if (error)
		fail_region("ring", what.operand, error);
}

/* Whoever reads or writes a ring has it mapped. */
extern "C" void memory_is_gone(int)
{
	static constexpr char text[] =
		"shmtool: ring: the region was revoked or made smaller "
		"meanwhile (create it anew, and seal it: shmtool seal)\n";
	[[maybe_unused]] const ssize_t n =
		::write(STDERR_FILENO, text, sizeof(text) - 1);

	::_exit(exit_failed);
}

void prepare_signals()
{
	catch_signals();
	::signal(SIGBUS, memory_is_gone);
}

/* The records of a ring, one after the other, whichever kind it is. */
class record_source
{
public:
	record_source(const request &what, const region &handle)
	{
		std::error_code error;

		ring_reader(handle, what.access, error).swap(m_reader);
		if (error)
			fail_lane(what, handle, error);
	}

	/* What was printed is given back, however the printing ends. */
	~record_source()
	{
		std::error_code ignored;

		m_reader.release(ignored);
	}
	record_source(const record_source &) = delete;
	record_source &operator=(const record_source &) = delete;

	bool next(std::error_code &error);

	const std::string &payload() const { return m_payload; }
	std::uint32_t lane() const { return m_reader.last_lane(); }
	ring_reader &reader() { return m_reader; }

private:
	ring_reader m_reader;
	std::string m_payload;
};

bool record_source::next(std::error_code &error)
{
	if (!m_reader.overwrites()) {
		const auto record = m_reader.try_read(error);

		if (error || !record)
			return false;
		m_payload.assign(static_cast<const char *>(record.data()),
				 record.size());
		return true;
	}

	/* few records are as long as the longest that there can be */
	if (m_payload.capacity() < 4096)
		m_payload.reserve(4096);
	for (;;) {
		m_payload.resize(m_payload.capacity());

		const auto size = m_reader.try_copy(m_payload.data(),
						    m_payload.size(), error);
		if (error == std::errc::message_size) {
			m_payload.reserve(2 * m_payload.capacity());
			continue;
		}
		m_payload.resize(size.value_or(0));
		return size.has_value();
	}
}

/* Opened for writing as well if readers of that kind of ring write there. */
target open_to_read(const request &what)
{
	target opened =
		open_target("ring", what.operand, access_mode::read_only);
	std::error_code error;
	const ring_info ring = shm_kernel::get_ring_info(
		opened.handle, what.access.offset(), error);

	if (error)
		fail_ring(what, opened.handle, error);
	if (ring.overwrite())
		return opened;
	return open_target("ring", what.operand, access_mode::read_write);
}

int read_records(const arguments &args, const request &what)
{
	if (what.format == record_format::raw && stdout_is_terminal())
		throw failure(
			subject(what),
			"the records would go to the terminal as they are",
			"use --format text or hex, or send them on with > "
			"FILE or | COMMAND");

	const target opened = open_to_read(what);
	prepare_signals();
	record_source records(what, opened.handle);
	events bell = subscribe(what, opened.handle);
	const bool many = records.reader().lanes() > 1;
	std::uint64_t left = what.count;
	std::uint64_t lost = 0;
	std::uint64_t restarts = 0;

	std::error_code error;
	records.reader().set_doorbell(bell, error);
	if (error)
		fail_region("ring", what.operand, error);
	while (left) {
		const bool found = records.next(error);

		if (error)
			fail_ring(what, opened.handle, error);
		if (records.reader().lost() != lost) {
			report(failure(subject(what),
				       format_size_exact(
					       records.reader().lost() - lost) +
					       " were overwritten before they "
					       "were read"));
			lost = records.reader().lost();
		}
		if (records.reader().restarts() != restarts) {
			report(failure(
				subject(what),
				"it was made anew, and what had not been "
				"read is lost"));
			restarts = records.reader().restarts();
		}
		if (found) {
			const bool say_lane =
				many || what.format == record_format::object;

			print(record_text(
				what.format,
				say_lane ? std::optional(records.lane())
					 : std::nullopt,
				records.payload()));
			left--;
		}
		if (stop_signal())
			throw stopped{stop_signal()};
		/* what cannot be printed is left to others */
		if (std::ferror(stdout))
			finish_output();
		if (found)
			continue;
		finish_output();
		if (!args.has("follow"))
			break;
		if (!records.reader().arm(error) && !error)
			wait_for_bell(what, bell);
		if (error)
			fail_ring(what, opened.handle, error);
	}
	return exit_ok;
}

/* The next line of standard input, without its end. */
std::optional<std::string> next_line()
{
	std::string line;

	for (;;) {
		const int c = std::getc(stdin);

		if (c == EOF && std::ferror(stdin) && errno == EINTR) {
			std::clearerr(stdin);
			if (stop_signal())
				throw stopped{stop_signal()};
			continue;
		}
		if (c == EOF && std::ferror(stdin))
			fail_errno("standard input", errno);
		if (c == EOF && line.empty())
			return std::nullopt;
		if (c == EOF || c == '\n')
			return line;
		line += static_cast<char>(c);
	}
}

int write_records(const arguments &args, const request &what)
{
	const target opened =
		open_target("ring", what.operand, access_mode::read_write);
	const when_full full =
		args.has("drop") ? when_full::drop : when_full::keep;
	std::uint64_t written = 0;
	std::uint64_t dropped = 0;
	std::error_code error;
	ring_writer writer(opened.handle, what.access, error);

	if (error)
		fail_lane(what, opened.handle, error);

	events bell = subscribe(what, opened.handle);
	writer.set_doorbell(bell, error);
	if (error)
		fail_region("ring", what.operand, error);
	prepare_signals();
	while (const auto line = next_line()) {
		/* input that never ends never waits for a signal either */
		if (stop_signal())
			throw stopped{stop_signal()};
		if (line->size() > writer.max_record())
			throw failure(
				subject(what),
				"line " +
					std::to_string(written + dropped + 1) +
					" has " + std::to_string(line->size()) +
					" bytes, and the longest record "
					"has " +
					std::to_string(writer.max_record()));

		bool done = false;
		while (!error && !done) {
			done = writer.try_write(line->data(), line->size(),
						full, error);
			if (error || done || full == when_full::drop)
				break;
			if (!writer.arm(line->size(), error) && !error)
				wait_for_bell(what, bell);
		}
		if (error)
			fail_ring(what, opened.handle, error);
		(done ? written : dropped)++;
	}

	if (args.has("json")) {
		json object;

		put_bytes(object, "region", what.operand);
		object["lane"] = writer.lane();
		object["written"] = written;
		object["dropped"] = dropped;
		print_json(object);
	} else {
		print(label(what.operand) + ": wrote " +
		      std::to_string(written) +
		      (written == 1 ? " record" : " records") + " to lane " +
		      std::to_string(writer.lane()) +
		      (dropped ? ", dropped " + std::to_string(dropped) : "") +
		      "\n");
	}
	return exit_ok;
}

int run_ring(const arguments &args)
{
	const request what = request_of(args);

	if (args.has("create"))
		return create(args, what);
	if (args.has("read"))
		return read_records(args, what);
	if (args.has("write"))
		return write_records(args, what);
	return show_ring(args, what);
}

} // namespace

std::vector<command> ring_commands()
{
	command ring{};
	ring.name = "ring";
	ring.operands = "REGION";
	ring.summary = "show, make, read or write a ring of records";
	ring.details =
		"A ring is memory of a region through which one side sends "
		"records to the other: the kernel to programs, or programs to "
		"each other. It has lanes, each with one producer and one "
		"consumer at a time. Without --create, --read or --write it "
		"shows the ring: how full the lanes are, how many records "
		"there was no room for, and who has them (the kernel, a "
		"program, nobody).\n\n"
		"Where new records are dropped when a lane is full, reading "
		"takes records away, and one program has a lane: it needs "
		"write permission. Where the oldest records are overwritten, "
		"everybody sees them all, and read permission is enough; what "
		"was overwritten before it was read is told on standard "
		"error.\n\n"
		"text is a line for each record, escaped as names are; raw is "
		"the bytes of all of them, one after the other. In JSON data "
		"is the record, and data_hex its bytes if they are no UTF-8. "
		"With several lanes a line begins with the lane's number.\n\n"
		"--write sends each line of standard input as a record, "
		"without its end, and waits for room when the lane is full. "
		"--create seals the region against shrinking, for good, and "
		"needs memory that is zero: 128 bytes, and for each lane 256 "
		"bytes and the cells.";
	ring.options = {
		{"read", 'r', nullptr, "read the records that there are"},
		{"follow", 'f', nullptr, "wait for more of them"},
		{"format", 'F', "FORMAT",
		 "how to print records: text, the default, hex or raw"},
		{"count", 'c', "N", "end after N records"},
		{"write", 'w', nullptr, "write the lines of standard input"},
		{"drop", 'd', nullptr,
		 "drop what there is no room for, instead of waiting"},
		{"lane", 'l', "N",
		 "this lane; otherwise read all and write to a free one"},
		{"trust", 'T', nullptr,
		 "also if others can make the region smaller meanwhile"},
		{"create", 'C', "CELLS",
		 "make a ring with so many cells of 64 bytes in each lane, a "
		 "power of two from 64 on"},
		{"lanes", 'L', "N", "with so many lanes; default 1"},
		{"overwrite", 'O', nullptr,
		 "which overwrites the oldest records when it is full"},
		{"tag", 't', "TEXT", "and a note of up to 32 bytes in it"},
		{"offset", 'o', "OFFSET",
		 "the ring begins there, a multiple of 64; default 0"},
		{"json", 'j', nullptr,
		 "print JSON: the ring, or an object for each record"},
	};
	ring.examples = {
		{"shmtool ring sched --read --follow --format hex",
		 "what a module of the kernel publishes"},
		{"shmtool create log 68K && shmtool ring log --create 1024",
		 "a ring to try out"},
		{"dmesg --follow | shmtool ring log --write", "one side of it"},
		{"shmtool ring log --read --follow", "the other side"},
	};
	ring.least = 1;
	ring.most = 1;
	ring.run = run_ring;
	return {ring};
}

} // namespace shmtool
