// SPDX-License-Identifier: BSL-1.0
/*
 * Commands that move bytes: read, write, dump
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "command.hpp"
#include "errors.hpp"
#include "escape.hpp"
#include "fill.hpp"
#include "hexdump.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "show.hpp"
#include "signals.hpp"
#include "sizes.hpp"
#include "target.hpp"

namespace shmtool {
namespace {

using shm_kernel::access_mode;
using shm_kernel::region;

/* A multiple of 3 for base64 and of 16 for the dump, so that neither waits. */
constexpr std::size_t chunk = 3 << 18;

struct range
{
	std::uint64_t offset = 0;
	std::uint64_t length = UINT64_MAX;
};

std::uint64_t size_of(const char *verb, const std::string &operand,
		      const region &r)
{
	std::error_code error;
	const std::uint64_t size = r.size(error);

	if (error)
		fail_region(verb, operand, error);
	return size;
}

/* --offset and --length, before anything is opened. */
range wanted_range(const arguments &args)
{
	range wanted;

	wanted.offset = args.size("offset").value_or(wanted.offset);
	wanted.length = args.size("length").value_or(wanted.length);
	return wanted;
}

/*
 * What the region has of it: the length ends with the region, as for any file,
 * but an offset past the end is a mistake.
 */
range clip(const char *verb, const std::string &operand, const region &r,
	   range wanted)
{
	const std::uint64_t size = size_of(verb, operand, r);

	if (wanted.offset > size)
		throw failure(std::string(verb) + " " + shown(operand),
			      "the offset " + std::to_string(wanted.offset) +
				      " is past the end, which is at " +
				      std::to_string(size));
	wanted.length = std::min(wanted.length, size - wanted.offset);
	return wanted;
}

/* Reads the range and hands it on in pieces. Returns how much there was. */
std::uint64_t copy_out(const char *verb, const std::string &operand,
		       const region &r, range what,
		       const std::function<void(std::string_view)> &sink)
{
	/* a line that moves on the terminal that gets the data serves nobody */
	progress bar(std::string(verb) + " " + shown(operand), what.length,
		     stdout_is_terminal());
	std::vector<char> buffer(chunk);
	std::uint64_t done = 0;

	while (done < what.length) {
		const auto want =
			static_cast<std::size_t>(std::min<std::uint64_t>(
				buffer.size(), what.length - done));
		std::error_code error;
		const std::size_t n =
			r.read(what.offset + done, buffer.data(), want, error);

		if (error)
			fail_region(verb, operand, error);
		if (n)
			sink(std::string_view(buffer.data(), n));
		done += n;
		bar.update(done);
		if (n < want)
			throw failure(std::string(verb) + " " + shown(operand),
				      "it became smaller meanwhile: " +
					      format_size_exact(done) +
					      " were read");
	}
	bar.finish();
	return done;
}

/* Directly to the descriptor, in the size in which it was read. */
void write_all(std::string_view bytes, std::uint64_t done,
	       const std::string &subject)
{
	while (!bytes.empty()) {
		const ssize_t n =
			::write(STDOUT_FILENO, bytes.data(), bytes.size());

		if (n < 0 && errno == EINTR) {
			if (stop_signal())
				throw interrupted(subject,
						  "interrupted after " +
							  format_size(done),
						  stop_signal());
			continue;
		}
		if (n < 0)
			fail_errno("standard output", errno);
		bytes.remove_prefix(static_cast<std::size_t>(n));
		done += static_cast<std::uint64_t>(n);
	}
}

/* The region, or its node, for the reader of the JSON. */
void put_region(json &object, const std::string &operand)
{
	put_bytes(object, "region", operand);
}

/* The data goes out while it is read: it may be larger than this process. */
int print_data_json(const arguments &args, const region &r, range what)
{
	const std::string &operand = args.operands()[0];
	json head;

	put_region(head, operand);
	head["offset"] = what.offset;

	std::string text = head.dump(-1, ' ', true);
	text.pop_back();
	print(text + ",\"data_base64\":\"");
	const std::uint64_t length = copy_out(
		args.of().name, operand, r, what,
		[](std::string_view bytes) { print(to_base64(bytes)); });
	print("\",\"length\":" + std::to_string(length) + "}\n");
	return exit_ok;
}

int run_read(const arguments &args)
{
	const std::string &operand = args.operands()[0];
	const range wanted = wanted_range(args);

	if (stdout_is_terminal() && !args.has("json"))
		throw failure("read " + shown(operand),
			      "the data would go to the terminal as it is",
			      "use 'shmtool dump', or send it on with > FILE "
			      "or | COMMAND");

	const target opened =
		open_target("read", operand, access_mode::read_only);
	const range what = clip("read", operand, opened.handle, wanted);

	if (args.has("json"))
		return print_data_json(args, opened.handle, what);

	std::uint64_t done = 0;
	copy_out("read", operand, opened.handle, what,
		 [&](std::string_view bytes) {
			 write_all(bytes, done, "read " + shown(operand));
			 done += bytes.size();
		 });
	return exit_ok;
}

int run_dump(const arguments &args)
{
	const std::string &operand = args.operands()[0];
	const range wanted = wanted_range(args);
	const target opened =
		open_target("dump", operand, access_mode::read_only);
	const range what = clip("dump", operand, opened.handle, wanted);

	if (args.has("json"))
		return print_data_json(args, opened.handle, what);

	hexdump lines(what.offset, !args.has("no-squeezing"));
	copy_out("dump", operand, opened.handle, what,
		 [&](std::string_view bytes) { print(lines.feed(bytes)); });
	print(lines.finish());
	return exit_ok;
}

std::string parse_hex(const arguments &args, const std::string &text)
{
	std::string bytes;
	int high = -1;

	for (const char c : text) {
		int digit;

		if (c == ' ' || c == '\t' || c == '\n' || c == ':' || c == ',')
			continue;
		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			digit = c - 'A' + 10;
		else
			args.reject("--hex",
				    "'" + printable(std::string_view(&c, 1)) +
					    "' is no hexadecimal digit (write "
					    "it as 'de ad be ef')");
		if (high < 0) {
			high = digit;
		} else {
			bytes += static_cast<char>(high << 4 | digit);
			high = -1;
		}
	}
	if (high >= 0)
		args.reject("--hex",
			    "an odd number of digits: each byte has two");
	return bytes;
}

source source_of(const arguments &args)
{
	if (args.has("string") + args.has("hex") + args.has("file") > 1)
		args.reject("write", "give one of --file, --string and --hex");
	if (args.has("string"))
		return source::of_bytes(args.value("string"));
	if (args.has("hex"))
		return source::of_bytes(parse_hex(args, args.value("hex")));
	return source::of_file(args.has("file") ? args.value("file") : "-");
}

int run_write(const arguments &args)
{
	const std::string &operand = args.operands()[0];
	range wanted;
	wanted.offset = args.size("offset").value_or(0);
	source from = source_of(args);
	target opened = open_target("write", operand, access_mode::read_write);
	const range room = clip("write", operand, opened.handle, wanted);
	const std::uint64_t written = fill("write", operand, opened.handle,
					   room.offset, room.length, from);

	if (args.has("json")) {
		json object;

		put_region(object, operand);
		object["offset"] = room.offset;
		object["written"] = written;
		print_json(object);
	}
	return exit_ok;
}

constexpr option offset_option = {"offset", 'o', "OFFSET",
				  "start there, default 0"};
constexpr option length_option = {
	"length", 'n', "LENGTH",
	"at most so many bytes, default up to the end"};

} // namespace

std::vector<command> data_commands()
{
	command read{};
	read.name = "read";
	read.operands = "REGION";
	read.summary = "copy a region to standard output";
	read.details = "When standard error is a terminal and it takes longer, "
		       "it shows how far the copy has come.";
	read.options = {
		offset_option,
		length_option,
		{"json", 'j', nullptr, "print JSON, the data in base64"},
	};
	read.examples = {
		{"shmtool read frames > frames.bin", "save a region"},
		{"shmtool read - --offset 0x100 --length 4 | od -An -tx4",
		 "one word of region 0"},
	};
	read.least = 1;
	read.most = 1;
	read.run = run_read;

	command write{};
	write.name = "write";
	write.operands = "REGION";
	write.summary = "copy standard input, a file or a string into a region";
	write.details = "A region has a size, and a write does not change it: "
			"what does not fit is an error. If the length is known "
			"beforehand (a file, a string) nothing is written "
			"then; from a pipe the part that fits is. The rest of "
			"the region stays as it was.";
	write.options = {
		offset_option,
		{"file", 'f', "FILE",
		 "copy FILE; '-' is standard input, the default"},
		{"string", 's', "TEXT", "write these bytes, without a newline"},
		{"hex", 'x', "DIGITS",
		 "write these bytes, two digits each, as in 'de ad be ef'"},
		{"json", 'j', nullptr,
		 "print JSON: how many bytes were written"},
	};
	write.examples = {
		{"shmtool write frames < frames.bin", "restore a region"},
		{"shmtool write - --offset 8 --string ready",
		 "a flag in region 0"},
		{"shmtool write frames --offset 1K --hex '00 00 80 3f'",
		 "a float"},
	};
	write.least = 1;
	write.most = 1;
	write.run = run_write;

	command dump{};
	dump.name = "dump";
	dump.operands = "REGION";
	dump.summary = "show the bytes of a region in hexadecimal";
	dump.details = "The form is that of hexdump -C: lines that repeat the "
		       "one before become one '*', and the last line is the "
		       "offset of the end.";
	dump.options = {
		offset_option,
		length_option,
		{"no-squeezing", 'v', nullptr, "print every line"},
		{"json", 'j', nullptr, "print JSON, the data in base64"},
	};
	dump.examples = {{"shmtool dump frames --offset 4K --length 256",
			  "a part of a region"}};
	dump.least = 1;
	dump.most = 1;
	dump.run = run_dump;

	return {read, write, dump};
}

} // namespace shmtool
