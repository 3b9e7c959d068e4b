// SPDX-License-Identifier: BSL-1.0
/*
 * The command line
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include "command.hpp"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "errors.hpp"
#include "help.hpp"

using namespace shmtool;

namespace {

using words = std::vector<std::string>;

arguments parse_for(const char *name, const words &list)
{
	const command *cmd = find_command(name);

	EXPECT_NE(cmd, nullptr) << name;
	return parse(*cmd, list);
}

std::string error_of(const char *name, const words &list)
{
	try {
		parse_for(name, list);
	} catch (const usage_error &e) {
		return e.what();
	}
	return "no error";
}

} // namespace

TEST(Parse, OptionsAnywhere)
{
	for (const words &list : {words{"buf", "--offset", "1K", "-n", "16"},
				  words{"--offset=1K", "-n16", "buf"},
				  words{"-o", "1K", "buf", "--length=16"}}) {
		const arguments args = parse_for("read", list);

		EXPECT_EQ(args.operands(), words{"buf"});
		EXPECT_EQ(args.size("offset"), 1024u);
		EXPECT_EQ(args.size("length"), 16u);
		EXPECT_FALSE(args.has("json"));
	}
}

TEST(Parse, LettersTogether)
{
	const arguments args = parse_for("list", {"-lbr"});

	EXPECT_TRUE(args.has("long"));
	EXPECT_TRUE(args.has("bytes"));
	EXPECT_TRUE(args.has("reverse"));
}

TEST(Parse, ADashIsAnOperand)
{
	EXPECT_EQ(parse_for("info", {"-"}).operands(), words{"-"});
	EXPECT_EQ(parse_for("chmod", {"0600", "-", "x"}).operands(),
		  (words{"0600", "-", "x"}));
}

TEST(Parse, TwoDashesEndTheOptions)
{
	EXPECT_EQ(parse_for("info", {"--", "-strange"}).operands(),
		  words{"-strange"});
	EXPECT_EQ(parse_for("remove", {"a", "--", "--json", "-b"}).operands(),
		  (words{"a", "--json", "-b"}));
	EXPECT_EQ(parse_for("remove", {"--", "--"}).operands(), words{"--"});
}

TEST(Parse, ACommandFollowsTwoDashes)
{
	arguments args = parse_for(
		"create", {"buf", "1M", "--", "prog", "--flag", "--", "x"});
	EXPECT_EQ(args.operands(), (words{"buf", "1M"}));
	EXPECT_EQ(args.tail(), (words{"prog", "--flag", "--", "x"}));

	args = parse_for("create",
			 {"--mode", "0660", "--", "-buf", "1M", "--", "prog"});
	EXPECT_EQ(args.operands(), (words{"-buf", "1M"}));
	EXPECT_EQ(args.tail(), words{"prog"});

	args = parse_for("create", {"--", "-buf", "1M"});
	EXPECT_EQ(args.operands(), (words{"-buf", "1M"}));
	EXPECT_TRUE(args.tail().empty());
}

TEST(Parse, EmptyArguments)
{
	const arguments args = parse_for("write", {"buf", "--string", ""});

	EXPECT_TRUE(args.has("string"));
	EXPECT_EQ(args.value("string"), "");
	EXPECT_EQ(parse_for("write", {"buf", "--string="}).value("string"), "");
}

TEST(Parse, ArgumentsThatLookLikeOptions)
{
	EXPECT_EQ(
		parse_for("write", {"buf", "--string=--json"}).value("string"),
		"--json");
}

TEST(Parse, UsageErrors)
{
	EXPECT_EQ(error_of("info", {}), "no error");
	EXPECT_EQ(error_of("read", {}),
		  "read: an argument is missing (usage: shmtool read REGION)");
	EXPECT_EQ(error_of("read", {"a", "b"}),
		  "read: unexpected argument 'b' (usage: shmtool read REGION)");
	EXPECT_EQ(error_of("resize", {"a"}),
		  "resize: 1 argument where 2 are needed (usage: shmtool "
		  "resize REGION SIZE)");
	EXPECT_EQ(error_of("read", {"a", "--ofset", "1"}),
		  "read: unknown option '--ofset' (did you mean --offset? see "
		  "'shmtool help read')");
	EXPECT_EQ(error_of("read", {"a", "-q"}),
		  "read: unknown option '-q' (see 'shmtool help read')");
	EXPECT_EQ(error_of("read", {"a", "--offset"}),
		  "read: --offset needs an argument (see 'shmtool help read')");
	EXPECT_EQ(error_of("read", {"a", "--json=yes"}),
		  "read: --json takes no argument (see 'shmtool help read')");
	EXPECT_EQ(error_of("read", {"a", "--offset", "1", "--offset", "2"}),
		  "read: --offset is given twice (see 'shmtool help read')");
	/* what a script writes must mean the same in the next version */
	EXPECT_EQ(error_of("read", {"a", "--off", "1"}).substr(0, 28),
		  "read: unknown option '--off'");
}

TEST(Parse, HostileWordsAreEscaped)
{
	const std::string text = error_of("read", {"a", "b\n\033[31m"});

	EXPECT_NE(text.find("b\\n\\x1b[31m"), std::string::npos) << text;
}

TEST(Tables, AreSound)
{
	std::set<std::string> names;

	for (const command &cmd : commands()) {
		std::set<std::string> options = {"help"};
		std::set<char> letters = {'h'};

		EXPECT_TRUE(names.insert(cmd.name).second) << cmd.name;
		EXPECT_NE(cmd.run, nullptr) << cmd.name;
		EXPECT_LE(cmd.least, cmd.most) << cmd.name;
		for (const option &opt : cmd.options) {
			EXPECT_TRUE(options.insert(opt.name).second)
				<< cmd.name << " " << opt.name;
			if (!opt.letter)
				continue;
			EXPECT_TRUE(letters.insert(opt.letter).second)
				<< cmd.name << " " << opt.name;
		}
	}
}

TEST(Tables, TheHelpFitsItsWidth)
{
	for (const command &cmd : commands()) {
		const std::string text = command_help(cmd, 80);
		std::size_t start = 0;

		while (start < text.size()) {
			const std::size_t end = text.find('\n', start);

			EXPECT_LE(end - start, 80u)
				<< text.substr(start, end - start);
			start = end + 1;
		}
	}
}

TEST(Suggest, Commands)
{
	EXPECT_EQ(suggest_command("lst"), "list");
	EXPECT_EQ(suggest_command("ls"), "list");
	EXPECT_EQ(suggest_command("rm"), "remove");
	EXPECT_EQ(suggest_command("docter"), "doctor");
	EXPECT_EQ(suggest_command("quux"), "");
}

TEST(Parse, Numbers)
{
	const command *notify = find_command("notify");

	ASSERT_NE(notify, nullptr);
	EXPECT_EQ(parse(*notify, {"x"}).number("times", 1, 9), std::nullopt);
	EXPECT_EQ(parse(*notify, {"x", "-t", "9"}).number("times", 1, 9), 9u);
	EXPECT_EQ(parse(*notify, {"x", "-t", "18446744073709551615"})
			  .number("times", 1, UINT64_MAX),
		  UINT64_MAX);
	for (const char *text : {"0", "10", "-1", "+1", "1x", " 1", "", "0x1",
				 "1.0", "18446744073709551616"})
		EXPECT_THROW(parse(*notify, {"x", "--times", text})
				     .number("times", 1, 9),
			     usage_error)
			<< text;
}

TEST(Parse, Durations)
{
	using namespace std::chrono_literals;
	const command *wait = find_command("wait");

	ASSERT_NE(wait, nullptr);
	EXPECT_EQ(parse(*wait, {"x"}).duration("timeout"), std::nullopt);
	EXPECT_EQ(parse(*wait, {"x", "--timeout=1.5"}).duration("timeout"),
		  1500ms);
	EXPECT_THROW(
		parse(*wait, {"x", "--timeout", "soon"}).duration("timeout"),
		usage_error);
}
