#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""What shmtool does without the driver: usage, help, manual page, completion.

Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
"""

import json
import os
import re
import shutil
import subprocess
import sys

from tap import Skip, run_all, test, tool_from_arguments

HERE = os.path.dirname(os.path.abspath(__file__))
DEVICE = "/dev/shm_kernel_driver"

tool = tool_from_arguments()


def commands():
    return [w for w in tool.ok("help", "--words").text.split() if not w.startswith("-")]


@test
def the_version():
    """--version and -V print the version"""
    for option in ("--version", "-V"):
        assert re.fullmatch(r"shmtool \d+\.\d+\.\d+\n", tool.ok(option).text)


@test
def the_help():
    """help, --help and -h show every command"""
    text = tool.ok("help").text
    assert tool.ok("--help").text == text == tool.ok("-h").text
    for command in commands():
        assert re.search(r"^  %s +\w" % command, text, re.M), command


@test
def the_help_of_commands():
    """help COMMAND and COMMAND --help say the same and name every option"""
    for command in commands():
        text = tool.ok("help", command).text
        assert tool.ok(command, "--help").text == text == tool.ok(command, "-h").text
        for option in tool.ok("help", "--words", command).text.split():
            assert option == "--help" or option.rstrip("=") in text, (command, option)
        assert max(map(len, text.splitlines())) <= 80, command


@test
def contract_commands():
    """every command of the contract is there"""
    assert set(commands()) >= {
        "list", "info", "create", "remove", "read", "write", "dump", "clear", "reset", "resize",
        "chmod", "chown", "seal", "revoke", "notify", "wait", "watch", "ring", "top",
        "doctor", "help"}


@test
def usage_errors():
    """what means nothing ends with status 2 and a hint"""
    for pattern, words in (
            (r"'shmtool help' shows", []),
            (r"unknown command 'lst': .*did you mean 'list'", ["lst"]),
            (r"did you mean 'list'", ["ls"]),
            (r"did you mean 'remove'", ["rm"]),
            (r"did you mean 'watch'", ["monitor"]),
            (r"did you mean 'notify'", ["notfy"]),
            (r"unknown command 'xyzzy': .*shmtool help", ["xyzzy"]),
            (r"unknown option '--json'", ["--json"]),
            (r"unknown option '--jsn' \(did you mean --json\?", ["list", "--jsn"]),
            (r"did you mean 'create'", ["help", "crate"]),
            (r"an argument is missing", ["read"]),
            (r"unexpected argument 'b'", ["read", "a", "b"]),
            (r"--offset needs an argument", ["read", "a", "--offset"]),
            (r"--offset: 'x': not a size", ["read", "-", "--offset", "x"]),
            (r"--offset: '-1': negative", ["read", "-", "--offset=-1"]),
            (r"--length: '9E': too large", ["dump", "-", "--length", "9E"]),
            (r"'1Q': not a size .*1\.5M", ["create", "a", "1Q"]),
            (r"'99999999999999999999': too large", ["create", "a", "99999999999999999999"]),
            (r"SIZE: it is missing", ["create", "a"]),
            (r"--mode: '9': not a mode", ["create", "a", "1", "--mode", "9"]),
            (r"--mode: '7777': .*0 to 0777", ["create", "a", "1", "--mode", "7777"]),
            (r"--node: '-1' is not", ["create", "a", "1", "--node=-1"]),
            (r"--tag: 33 bytes", ["create", "a", "1", "--tag", "x" * 33]),
            (r"--json: not together", ["create", "a", "1", "--json", "--", "true"]),
            (r"no '/'", ["create", "a/b", "1"]),
            (r"is empty", ["create", "", "1"]),
            (r"256 bytes", ["create", "x" * 256, "1"]),
            (r"no region can have", ["create", "..", "1"]),
            (r"stands for region 0", ["create", "-", "1"]),
            (r"'1x': not a size", ["resize", "a", "1x"]),
            (r"'u\+s': not a mode", ["chmod", "u+s", "a"]),
            (r"no user 'nosuchuser'", ["chown", "nosuchuser", "a"]),
            (r"no group 'nosuchgroup'", ["chown", ":nosuchgroup", "a"]),
            (r"give one of", ["write", "a", "--string", "x", "--hex", "00"]),
            (r"--hex: 'g' is no hex", ["write", "a", "--hex", "0g"]),
            (r"--hex: an odd number", ["write", "a", "--hex", "000"]),
            (r"'x': there is no such seal \(the seals are shrink, grow, write, future-write and seal\)",
             ["seal", "a", "shrink", "x"]),
            (r"'\\x1b': there is no such seal", ["seal", "a", "\033"]),
            (r"unexpected argument", ["seal", "a", "shrink", "grow", "write", "future-write", "seal", "seal"]),
            (r"--times: '0' is not a number from 1 to", ["notify", "a", "--times", "0"]),
            (r"--times: '4294967296' is not", ["notify", "a", "-t", str(2**32)]),
            (r"--times: 'x' is not", ["notify", "a", "-t", "x"]),
            (r"--timeout: 'soon': not a time .*250ms", ["wait", "a", "--timeout", "soon"]),
            (r"--timeout: '-1': negative", ["wait", "a", "--timeout=-1"]),
            (r"--timeout: '1000000h': too long", ["wait", "a", "--timeout", "1000000h"]),
            (r"--for: 'bell' is no kind of event \(write rings", ["wait", "a", "--for", "bell"]),
            (r"--for: '' is no kind", ["wait", "a", "--for", "rings,"]),
            (r"unexpected argument 'b'", ["wait", "a", "b"]),
            (r"--for: 'bell' is no kind", ["watch", "a", "--for", "bell"]),
            (r"--count: '0' is not a number", ["watch", "a", "--count", "0"]),
            (r"an argument is missing", ["watch"]),
            (r"give one of --read, --write and --create", ["ring", "a", "--read", "--write"]),
            (r"give one of", ["ring", "a", "--create", "64", "--read"]),
            (r"--follow: it goes with --read", ["ring", "a", "--follow"]),
            (r"--count: it goes with --read", ["ring", "a", "--write", "--count", "1"]),
            (r"--lane: it goes with --read or --write", ["ring", "a", "--lane", "1"]),
            (r"--drop: it goes with --write", ["ring", "a", "--read", "--drop"]),
            (r"--tag: it goes with --create", ["ring", "a", "--tag", "x"]),
            (r"--lanes: it goes with --create", ["ring", "a", "--read", "--lanes", "2"]),
            (r"--overwrite: it goes with --create", ["ring", "a", "--write", "--overwrite"]),
            (r"--format: 'x' is no format \(the formats are text, hex and raw\)",
             ["ring", "a", "--read", "--format", "x"]),
            (r"--format: not together with --json",
             ["ring", "a", "--read", "--format", "hex", "--json"]),
            (r"--lane: '1024' is not a number from 0 to 1023", ["ring", "a", "-r", "-l", "1024"]),
            (r"--create: '65' is no power of two", ["ring", "a", "--create", "65"]),
            (r"--create: '32' is not a number from 64 to 16777216", ["ring", "a", "--create", "32"]),
            (r"--create: '1M' is not a number", ["ring", "a", "--create", "1M"]),
            (r"--lanes: '0' is not", ["ring", "a", "--create", "64", "--lanes", "0"]),
            (r"--tag: 33 bytes where 32", ["ring", "a", "--create", "64", "--tag", "x" * 33]),
            (r"--offset: a ring begins at a multiple of 64", ["ring", "a", "--offset", "63"]),
            (r"--offset: 'x': not a size", ["ring", "a", "--offset", "x"]),
            (r"--interval: '0': |--interval: 10ms is the least", ["top", "--interval", "0"]),
            (r"--interval: 10ms is the least", ["top", "-i", "9ms"]),
            (r"--count: '-1' is not", ["top", "--count=-1"]),
            (r"unexpected argument 'a'", ["top", "a"]),
            (r"an argument is missing", ["notify", "--times", "3"]),
            (r"either a region or --id", ["info"]),
            (r"either a region or --id", ["info", "a", "--id", "1"])):
        tool.fails(2, pattern, *words)


@test
def hostile_arguments():
    """control characters of an argument do not reach the terminal"""
    for words in (["x\n\033[31my"], ["list", "--x\033"], ["help", "a\033"],
                  ["create", "a", "1\033K"], ["read", "a", "b\033"]):
        result = tool.fails(2, r"\\x1b", *words)
        assert b"\033" not in result.err, result
    tool.fails(2, r"\\xff", b"\xff")


@test
def lost_output():
    """output that cannot be written is an error"""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([tool.path, "help"], stdout=full, stderr=subprocess.PIPE,
                              check=False)
    assert done.returncode == 1 and b"standard output: no space left" in done.stderr, done


@test
def missing_device():
    """without the driver every command says what is missing and how to mend it"""
    if os.path.exists(DEVICE):
        raise Skip("the driver is loaded here")
    for words in (["list"], ["list", "--json"], ["info", "a"], ["info", "-"], ["info", DEVICE],
                  ["create", "a", "1"], ["remove", "a"], ["read", "a"], ["write", "a"],
                  ["dump", "-"], ["clear", "a"], ["reset", "-"], ["resize", "a", "1"],
                  ["chmod", "0600", "a"], ["chown", "root", "a"], ["revoke", "a"],
                  ["seal", "a"], ["seal", "-", "shrink"], ["notify", "a"], ["wait", "a"],
                  ["wait", "-", "--timeout", "1"], ["watch", "a", "b"], ["top"], ["top", "--json"],
                  ["ring", "a"], ["ring", "a", "--read"], ["ring", "a", "--write"],
                  ["ring", "-", "--create", "64"]):
        tool.fails(1, r"^shmtool: /dev/shm_kernel_driver: there is no such device "
                      r"\(load the driver: modprobe shm_kernel_driver; 'shmtool doctor'", *words)


@test
def doctor_without_driver():
    """doctor fails without the driver and says how to mend it"""
    if os.path.exists(DEVICE):
        raise Skip("the driver is loaded here")
    result = tool("doctor")
    assert result.status == 1 and result.err == b"", result
    assert re.search(r"^FAIL  driver .*not loaded", result.text, re.M), result
    assert "->" in result.text, result

    result = tool("doctor", "--json")
    report = json.loads(result.out)
    assert result.status == 1 and report["status"] == "fail", result
    assert report["checks"][0]["name"] == "driver" and report["checks"][0]["mend"], result


@test
def wrong_paths():
    """files that are no regions are refused, and pipes not waited for"""
    tool.fails(1, r"no such node", "info", "/dev/shm_kernel/nosuchnode")
    tool.fails(1, r"it is no region of shm_kernel", "info", "/dev/null")
    tool.fails(1, r"it is no region of shm_kernel", "info", "/")
    tool.fails(1, r"it is no region of shm_kernel", "info", os.path.abspath(__file__))
    tool.fails(1, r"a boot region goes with the driver", "remove", "-")


@test
def the_manual_page():
    """the manual page is what the tool says"""
    with open(os.path.join(HERE, "..", "shmtool.1"), encoding="utf-8") as page:
        assert page.read() == tool.ok("help", "--man").text, "build the target shmtool_man"


@test
def the_manual_page_is_sound():
    """the manual page formats without complaint"""
    if not shutil.which("groff"):
        raise Skip("no groff")
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"],
                          input=tool.ok("help", "--man").out, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0 and done.stderr == b"", done


def complete(*words):
    """What bash would offer for the last of the words."""
    script = (
        'PATH="$1:$PATH"; source "$2"; shift 2; compopt() { :; }\n'
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shmtool; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(
        ["bash", "-c", script, "bash", os.path.dirname(tool.path),
         os.path.join(HERE, "..", "completion", "shmtool"), "shmtool", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=tool.environment, check=True)
    assert done.stderr == b"", done
    return done.stdout.decode().split("\n")[:-1]


@test
def the_completion():
    """the completion offers commands, options, keys and files"""
    assert complete("re") == ["remove", "resize", "reset", "revoke", "read"]
    assert set(commands()) < set(complete(""))
    assert complete("help", "doc") == ["doctor"]
    assert complete("read", "--o") == ["--offset="]
    assert complete("list", "--sort", "s") == ["size"]
    assert complete("wait", "x", "--for", "re") == ["resized", "revoked"]
    assert complete("ring", "x", "--format", "") == ["text", "hex", "raw"]
    assert complete("top", "--i") == ["--interval="]
    assert complete("seal", "x", "s") == ["shrink", "seal"]
    assert set(complete("dump", "--")) == {"--offset=", "--length=", "--no-squeezing", "--json",
                                           "--help"}
    assert "/etc/passwd" in complete("create", "x", "--from", "/etc/pass")
    assert complete("chmod", "06") == [""]


sys.exit(run_all())
