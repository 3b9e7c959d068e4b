#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Every command of shmtool on real regions. Needs root and the driver.

Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
"""

import base64
import ctypes
import fcntl
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import time

from tap import Skip, run_all, test, tool_from_arguments

DEVICE = "/dev/shm_kernel_driver"
STATS = "/sys/kernel/debug/shm_kernel/stats"
NOBODY = 65534
LARGE = 12 << 20

tool = tool_from_arguments()


def writable_directory():
    for parent in (None, "/run", "/dev/shm"):
        try:
            return tempfile.mkdtemp(prefix="shmtool-test.", dir=parent)
        except OSError:
            continue
    sys.exit("no directory to write to")


SCRATCH = writable_directory()


def scratch_file(name, content):
    path = os.path.join(SCRATCH, name)
    with open(path, "wb") as file:
        file.write(content)
    return path


def regions():
    """The list as JSON, by name; unnamed ones by id."""
    entries = json.loads(tool.ok("list", "--json").out)
    return {entry["name"] if entry["name"] is not None else entry["id"]: entry
            for entry in entries}


def info(region):
    return json.loads(tool.ok("info", "--json", "--", region).out)


def read(region, *options):
    return tool.ok("read", *options, "--", region).out


class Region:
    """A region for one test, gone afterwards."""

    def __init__(self, name, size, *options):
        self.name = name
        tool.ok("create", *options, "--", name, str(size))

    def __enter__(self):
        return self.name

    def __exit__(self, *exception):
        tool("remove", "--", self.name)


class OpenedToAll:
    """The node open to everybody, so that the region's own mode counts."""

    def __enter__(self):
        self.mode = stat.S_IMODE(os.stat(DEVICE).st_mode)
        os.chmod(DEVICE, 0o666)

    def __exit__(self, *exception):
        os.chmod(DEVICE, self.mode)


def boot_region():
    """A boot region other than region 0."""
    for name, entry in regions().items():
        if "boot" in entry["flags"] and name != "region0":
            return name
    raise Skip("no boot region: load the driver with regions=")


@test
def list_and_info_of_region_0():
    """list and info show region 0"""
    entry = regions()["region0"]
    assert "boot" in entry["flags"] and entry["node"] == DEVICE, entry
    assert {"futex", "gup"} <= set(entry["capabilities"]), entry
    for operand in ("-", DEVICE, "region0"):
        assert info(operand)["id"] == entry["id"], operand
    text = tool.ok("list").text
    assert re.match(r"NAME +SIZE +ALLOCATED +OWNER +MODE +FILES +MAPS +PEERS +FLAGS\n", text), text
    assert re.search(r"^region0 .* root +rw-------", text, re.M), text
    text = tool.ok("info", "-").text
    for title in ("Name: +region0", "Size: ", "Allocated: ", "Owner: +root \\(0\\)",
                  "Mode: +0600 \\(rw-------\\)", "Open files: ", "Flags: +boot",
                  "Works: +futex", "Node: +" + DEVICE):
        assert re.search("^" + title, text, re.M), (title, text)


@test
def region_0_content():
    """reset brings the words of region 0 back, clear zeroes them"""
    size = regions()["region0"]["size"]
    tool.ok("clear", "-")
    assert read("-") == bytes(size)
    tool.ok("write", "-", "--offset", "8", "--string", "ready")
    assert read(DEVICE, "--offset=8", "--length=5") == b"ready"
    tool.ok("reset", "-")
    expected = bytearray(size)
    expected[0:4] = (0x1111).to_bytes(4, sys.byteorder)
    if size >= 0x104:
        expected[0x100:0x104] = (0x2222).to_bytes(4, sys.byteorder)
    assert read("-") == bytes(expected)
    assert read("region0") == bytes(expected)


@test
def create_and_remove():
    """create makes a persistent zeroed region and says so; remove ends it"""
    result = tool.ok("create", "t1", "100K")
    assert re.fullmatch(r"t1: 100 KiB \(102400 bytes\), stays until it is removed "
                        r"\(shmtool remove t1\) or the driver is unloaded\n", result.text), result
    entry = info("t1")
    assert entry["size"] == 102400 and entry["flags"] == ["persist"], entry
    assert entry["mode"] == "0600" and entry["owner"] == "root", entry
    assert entry["files"] == 0 and entry["mappings"] == 0 and entry["tag"] == "", entry
    assert read("t1") == bytes(102400)
    assert tool.ok("remove", "t1").out == b""
    assert "t1" not in regions()


@test
def create_options():
    """create takes mode, small, tag, sizes with suffixes, and prints JSON"""
    result = tool.ok("create", "t2", "0x1001", "--mode", "u=rw,g=r", "--small", "--tag", "v1",
                     "--json")
    entry = json.loads(result.out)
    try:
        assert entry == info("t2"), entry
        assert entry["size"] == 4097 and entry["allocated"] == 8192, entry
        assert entry["mode"] == "0640" and entry["tag"] == "v1", entry
        assert set(entry["flags"]) == {"persist", "small"}, entry
    finally:
        tool.ok("remove", "t2")
    with Region("t2", 0) as name:
        assert info(name)["size"] == 0 and read(name) == b""
        assert tool.ok("dump", name).out == b""


@test
def create_contiguous():
    """a contiguous region has a fixed size, and the error says why"""
    with Region("t3", 8192, "--contig") as name:
        assert "contig" in info(name)["capabilities"]
        tool.fails(1, r"resize 't3': its size is fixed, as it is contiguous \(", "resize", name,
                   "4096")


@test
def create_twice():
    """a name that is taken is an error that shows the way"""
    with Region("t4", 1) as name:
        for words in (["4K"], ["--from", "/etc/passwd"], ["1", "--", "true"]):
            tool.fails(1, r"create 't4': there is a region of that name already "
                          r"\(look at it: shmtool info t4; or free the name: shmtool remove t4\)",
                       "create", name, *words)
        assert info(name)["size"] == 1


@test
def create_with_command():
    """create -- COMMAND holds the region while the command runs, and then no more"""
    result = tool("create", "t5", "64K", "--", tool.path, "info", "t5", "--json")
    entry = json.loads(result.out)
    assert result.status == 0 and entry["flags"] == [] and entry["files"] == 1, result
    assert "t5" not in regions()
    for status in (0, 1, 42):
        assert tool("create", "t5", "1", "--", "sh", "-c", "exit %d" % status).status == status
    assert tool("create", "t5", "1", "--", "sh", "-c", "kill -9 $$").status == 128 + 9
    tool.fails(1, r"run '/nosuch': no such file or directory", "create", "t5", "1", "--", "/nosuch")
    assert "t5" not in regions()


@test
def create_with_command_persist():
    """create --persist -- COMMAND leaves the region"""
    assert tool("create", "t6", "1", "--persist", "--", "true").status == 0
    try:
        assert info("t6")["flags"] == ["persist"]
    finally:
        tool.ok("remove", "t6")


@test
def create_with_command_killed():
    """a region held for a command is gone after kill -9, and SIGTERM reaches the command"""
    def start(*command):
        process = subprocess.Popen([tool.path, "create", "t7", "1", "--", *command],
                                   stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"up\n"
        assert "t7" in regions()
        return process

    process = start("sh", "-c", "echo up; exec sleep 2")
    process.kill()
    process.wait()
    assert "t7" not in regions()
    process = start("sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")
    process.terminate()
    assert process.wait(timeout=20) == 7
    assert "t7" not in regions()


@test
def create_from_file():
    """create --from publishes a file, complete or not at all"""
    content = random.Random(1).randbytes(123457)
    path = scratch_file("content", content)
    tool.ok("create", "t8", "--from", path)
    assert read("t8") == content
    tool.ok("remove", "t8")
    tool.ok("create", "t8", "200000", "--from", path)
    assert read("t8") == content + bytes(200000 - len(content))
    tool.ok("remove", "t8")
    tool.fails(1, r"create 't8': 120\.6 KiB|create 't8': 121 KiB", "create", "t8", "100K",
               "--from", path)
    tool.fails(1, r"'/nosuch': no such file", "create", "t8", "--from", "/nosuch")
    tool.fails(1, r"is a directory", "create", "t8", "4K", "--from", "/")
    tool.fails(2, r"SIZE: the size of '-' is not known", "create", "t8", "--from", "-",
               stdin=b"abc")
    assert "t8" not in regions()
    tool.ok("create", "t8", "4", "--from", "-", stdin=b"abc")
    assert read("t8") == b"abc\0"
    tool.ok("remove", "t8")
    tool.fails(1, r"it is full after 2 bytes", "create", "t8", "2", "--from", "-", stdin=b"abc")
    assert "t8" not in regions()


@test
def create_too_large():
    """what cannot be had fails, says why, and leaves nothing"""
    before = set(regions())
    tool.fails(1, r"create 't9': there is not enough memory \(", "create", "t9", "1P")
    with OpenedToAll():
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
        tool.fails(1, r"create 't9': a limit of the driver is reached \(.*max_user",
                   "create", "t9", str(total), user=NOBODY)
    assert set(regions()) == before


@test
def remove_several():
    """remove takes all of its names away even if one fails"""
    tool.ok("create", "t10a", "1")
    tool.ok("create", "t10b", "1")
    tool.fails(1, r"remove 't10x': there is no region of that name \(did you mean 't10b'\?\)",
               "remove", "t10a", "t10x", "t10b")
    assert not {"t10a", "t10b"} & set(regions())
    tool.fails(1, r"remove 'quite-other': .*'shmtool list' shows", "remove", "quite-other")


@test
def boot_regions_stay():
    """boot regions are neither removed, revoked nor resized, and the errors say why"""
    size = str(info("-")["size"] * 2)
    tool.fails(1, r"remove 'region0': a boot region keeps its name", "remove", "region0")
    tool.fails(1, r"remove region 0: a boot region goes with", "remove", "-")
    tool.fails(1, r"revoke region 0: a boot region cannot be revoked", "revoke", "-")
    tool.fails(1, r"resize 'region0': the size of a boot region is fixed \(module parameters",
               "resize", "region0", size)
    tool.fails(1, r"resize region 0: the size of a boot region is fixed", "resize", "-", size)


@test
def boot_region_nodes():
    """a boot region works by its name and by the path of its node"""
    name = boot_region()
    node = "/dev/shm_kernel/" + name
    assert info(node)["id"] == info(name)["id"] and info(name)["node"] == node
    tool.ok("write", node, "--string", "by node")
    assert read(name, "--length", "7") == b"by node"
    tool.ok("write", name, "--string", "by name")
    assert read(node, "--length", "7") == b"by name"
    tool.ok("reset", name)
    assert read(node) == bytes(info(name)["size"])
    tool.fails(1, r"remove 'by", "remove", "by")
    tool.fails(1, r"a boot region goes with", "remove", node)
    tool.fails(1, r"size of a boot region is fixed", "resize", node, "1")


@test
def write_and_read():
    """write takes standard input, files, strings and hexadecimal, at any offset"""
    with Region("t11", 10000) as name:
        model = bytearray(10000)

        def put(offset, data):
            model[offset:offset + len(data)] = data
            assert read(name) == bytes(model)

        tool.ok("write", name, stdin=b"input")
        put(0, b"input")
        tool.ok("write", name, "--offset", "4095", "--string", "edge")
        put(4095, b"edge")
        tool.ok("write", name, "-o", "1KiB", "--hex", "DE ad:be,ef")
        put(1024, b"\xde\xad\xbe\xef")
        path = scratch_file("piece", b"x" * 5000)
        tool.ok("write", name, "--offset=5000", "--file", path)
        put(5000, b"x" * 5000)
        tool.ok("write", name, "--file", "-", stdin=b"dash")
        put(0, b"dash")
        with open(path, "rb") as file:
            file.seek(4990)
            tool.ok("write", name, stdin=file)
        put(0, b"x" * 10)
        tool.ok("write", name, "--string", "")
        tool.ok("write", name, "--offset", "10000", "--string", "")
        with open("/proc/self/stat", "rb") as file:
            assert tool("write", name, stdin=file).status == 0
        assert read(name, "--length", "4") != b"xxxx"


@test
def write_too_much():
    """what does not fit is an error; if its size is known nothing is written"""
    with Region("t12", 100) as name:
        tool.fails(1, r"write 't12': 101 bytes do not fit into the 100 bytes that it has "
                      r"\(make it larger: shmtool resize t12 101\)",
                   "write", name, "--string", "x" * 101)
        tool.fails(1, r"6 bytes do not fit into the 5 bytes from there to its end .*resize t12 101",
                   "write", name, "-o", "95", "--hex", "000000000000")
        tool.fails(1, r"101 bytes do not fit", "write", name, "--file",
                   scratch_file("long", b"y" * 101))
        assert read(name) == bytes(100)
        tool.fails(1, r"it is full after 100 bytes, and there is more", "write", name,
                   stdin=b"z" * 101)
        assert read(name) == b"z" * 100
        tool.ok("write", name, stdin=b"w" * 100)
        tool.fails(1, r"the offset 101 is past the end, which is at 100", "write", name,
                   "--offset", "101", "--string", "")
        assert read(name) == b"w" * 100


@test
def write_json():
    """write --json says how much was written"""
    with Region("t13", 100) as name:
        report = json.loads(tool.ok("write", name, "-o", "10", "--json", stdin=b"abc").out)
        assert report == {"region": name, "offset": 10, "written": 3}, report


@test
def read_ranges():
    """read honours offset and length and ends with the region"""
    content = random.Random(2).randbytes(70001)
    with Region("t14", len(content)) as name:
        tool.ok("write", name, stdin=content)
        assert read(name) == content
        assert read(name, "--offset", "70000") == content[70000:]
        assert read(name, "--offset", "70001") == b""
        assert read(name, "--offset=4095", "--length=2") == content[4095:4097]
        assert read(name, "--length", "0") == b""
        assert read(name, "-o", "70000", "-n", "1G") == content[70000:]
        tool.fails(1, r"read 't14': the offset 70002 is past the end, which is at 70001",
                   "read", name, "--offset", "70002")
        report = json.loads(tool.ok("read", name, "-o", "5", "-n", "60000", "--json").out)
        assert base64.b64decode(report["data_base64"], validate=True) == content[5:60005]
        assert (report["region"], report["offset"], report["length"]) == (name, 5, 60000)


@test
def read_to_closed_pipe():
    """read ends silently by SIGPIPE when nobody reads"""
    with Region("t15", 4 << 20) as name:
        process = subprocess.Popen([tool.path, "read", name], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE,
                                   preexec_fn=lambda: signal.signal(signal.SIGPIPE,
                                                                    signal.SIG_DFL))
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == -signal.SIGPIPE
        with open("/dev/full", "wb") as full:
            done = subprocess.run([tool.path, "read", name], stdout=full, stderr=subprocess.PIPE,
                                  check=False)
        assert done.returncode == 1 and b"standard output: no space left" in done.stderr, done


@test
def dump_as_hexdump():
    """dump prints what hexdump -C prints"""
    content = bytearray(random.Random(3).randbytes(5000))
    content[100:3000] = bytes(2900)
    with Region("t16", len(content)) as name:
        tool.ok("write", name, stdin=bytes(content))
        text = tool.ok("dump", name).text
        assert text.startswith("00000000  ") and text.endswith("\n00001388\n"), text
        assert text.count("\n*\n") == 1
        everything = tool.ok("dump", name, "--no-squeezing").text
        assert "*\n" not in re.sub(r"\|.*\|", "", everything)
        assert len(everything.splitlines()) == (5000 + 15) // 16 + 1
        path = scratch_file("dump", bytes(content))
        if shutil.which("hexdump"):
            for options, words in ((["-C"], []), (["-Cv"], ["-v"]),
                                   (["-C", "-s", "37", "-n", "4000"], ["-o", "37", "-n", "4000"])):
                expected = subprocess.run(["hexdump", *options, path], stdout=subprocess.PIPE,
                                          check=True).stdout
                assert tool.ok("dump", name, *words).out == expected, options
        report = json.loads(tool.ok("dump", name, "--json").out)
        assert base64.b64decode(report["data_base64"]) == bytes(content)
        tool.fails(1, r"dump 't16': the offset", "dump", name, "-o", "1M")


@test
def clear_and_reset():
    """clear and reset zero a region; several at once"""
    with Region("t17a", 5000) as one, Region("t17b", 10) as two:
        for command in ("clear", "reset"):
            tool.ok("write", one, stdin=b"x" * 5000)
            tool.ok("write", two, stdin=b"y" * 10)
            tool.ok(command, one, two)
            assert read(one) == bytes(5000) and read(two) == bytes(10)
        tool.fails(1, r"clear 'nosuch': there is no region", "clear", "nosuch", one)


@test
def resize():
    """resize grows with zeros and shrinks to the byte"""
    with Region("t18", 10) as name:
        tool.ok("write", name, stdin=b"0123456789")
        tool.ok("resize", name, "4")
        assert read(name) == b"0123"
        tool.ok("resize", name, "1M")
        assert read(name) == b"0123" + bytes((1 << 20) - 4)
        tool.ok("resize", name, "0")
        assert info(name)["size"] == 0
        tool.ok("resize", name, "3")
        assert read(name) == bytes(3)
        tool.fails(1, r"resize 't18': there is not enough memory", "resize", name, "1P")
        assert info(name)["size"] == 3


@test
def chmod_and_chown():
    """chmod and chown take numbers, names and symbols"""
    with Region("t19", 10) as name:
        tool.ok("chmod", "0640", name)
        assert info(name)["mode"] == "0640"
        tool.ok("chmod", "g+w,o=r", name)
        assert info(name)["mode"] == "0664"
        tool.ok("chmod", "0", name)
        assert info(name)["mode"] == "0000"
        tool.ok("chown", "12345:54321", name)
        entry = info(name)
        assert (entry["uid"], entry["gid"]) == (12345, 54321), entry
        assert entry["owner"] is None and entry["group"] is None, entry
        assert re.search(r"^t19 .* 12345 ", tool.ok("list").text, re.M)
        tool.ok("chown", ":0", name)
        entry = info(name)
        assert (entry["uid"], entry["gid"]) == (12345, 0), entry
        tool.ok("chown", "root:", name)
        assert info(name)["owner"] == "root"


@test
def access_of_others():
    """without permission each command fails, says why, and changes nothing"""
    def as_nobody(pattern, *words):
        tool.fails(1, pattern, *words, user=NOBODY)

    with Region("t20", 10) as name:
        as_nobody(r"^shmtool: /dev/shm_kernel_driver: you may not open it \(use sudo", "list")
        as_nobody(r"^shmtool: /dev/shm_kernel_driver: you may not open it \(use sudo", "info", "-")
        with OpenedToAll():
            listed = json.loads(tool.ok("list", "--json", user=NOBODY).out)
            assert name not in [entry["name"] for entry in listed]
            as_nobody(r"read 't20': permission denied \(.*chmod\)", "read", name)
            tool.ok("chmod", "0644", name)
            listed = json.loads(tool.ok("list", "--json", user=NOBODY).out)
            assert name in [entry["name"] for entry in listed]
            assert tool.ok("read", name, user=NOBODY).out == bytes(10)
            for words in (["write", name, "--string", "x"], ["clear", name], ["reset", name],
                          ["resize", name, "1"]):
                as_nobody(r"'t20': its mode 0644 does not let you: it belongs to root:root \(",
                          *words)
            as_nobody(r"remove 't20': you do not own it", "remove", name)
            as_nobody(r"chmod 't20': you may not change", "chmod", "0666", name)
            as_nobody(r"chown 't20': you may not change", "chown", str(NOBODY), name)
            as_nobody(r"revoke 't20': only root may", "revoke", name)
            tool.ok("chown", str(NOBODY), name)
            tool.ok("chmod", "0600", name, user=NOBODY)
            tool.ok("write", name, "--string", "mine", user=NOBODY)
            tool.ok("remove", name, user=NOBODY)


@test
def revoke():
    """revoke ends a region that somebody has open, and says so afterwards"""
    process = subprocess.Popen([tool.path, "create", "t21", "4K", "--", "sh", "-c",
                                "echo up; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    number = info("t21")["id"]
    holder = None
    for descriptor in os.listdir("/proc/%d/fd" % process.pid):
        path = "/proc/%d/fdinfo/%s" % (process.pid, descriptor)
        with open(path, encoding="utf-8") as file:
            if re.search(r"^shm_kernel-id:\t%d$" % number, file.read(), re.M):
                holder = "/proc/%d/fd/%s" % (process.pid, descriptor)
    assert holder
    assert info(holder)["id"] == number
    tool.ok("write", holder, "--string", "by fd")
    assert read("t21", "--length", "5") == b"by fd"
    tool.ok("revoke", "t21")
    tool.fails(1, r"'t21': there is no region of that name", "read", "t21")
    entry = json.loads(tool.ok("info", "--id", str(number), "--json").out)
    assert entry["name"] is None and "revoked" in entry["flags"] and entry["size"] == 0, entry
    assert number in regions()
    assert re.search(r"^\(none\) .*revoked", tool.ok("list").text, re.M)
    process.communicate(b"\n")
    tool.fails(1, r"no region that you may see has the id", "info", "--id", str(number))


@test
def removed_but_open():
    """a removed region that is still open is listed without a name"""
    process = subprocess.Popen([tool.path, "create", "t22", "4K", "--", "sh", "-c",
                                "echo up; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    number = info("t22")["id"]
    tool.ok("remove", "t22")
    entry = regions()[number]
    assert "removed" in entry["flags"] and entry["name"] is None, entry
    assert re.search(r"^Name: +\(none\)$", tool.ok("info", "--id", str(number)).text, re.M)
    process.communicate(b"\n")
    assert number not in regions()


MAPPER = """
import fcntl, mmap, os, sys
kept = open(sys.argv[1], "r+b", buffering=0)
closed = os.open(sys.argv[1], os.O_RDWR)
first = mmap.mmap(closed, 4096)
os.close(closed)
print("up", flush=True)
sys.stdin.read()
"""


@test
def info_users():
    """info --users shows who has a region open or mapped, by node, name and /proc"""
    def users(*words):
        report = json.loads(tool.ok("info", "--users", "--json", *words).out)
        assert report["users_complete"] is True, report
        return {user["pid"]: user for user in report["users"]}

    with Region("t34", 8192) as name:
        assert users(name) == {}
        assert re.search(r"^Used by: +no process$", tool.ok("info", "-u", name).text, re.M)
    process = subprocess.Popen([tool.path, "create", "t34", "8K", "--", "sh", "-c",
                                "echo up; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    number = str(info("t34")["id"])
    found = users("t34")
    assert list(found) == [process.pid], found
    assert found[process.pid]["command"] == "shmtool" and found[process.pid]["mapped"] == 0, found
    path = "/proc/%d/fd/%d" % (process.pid, found[process.pid]["descriptors"][0])
    tool.ok("remove", "t34")
    assert list(users("--id", number)) == [process.pid]
    mapper = subprocess.Popen([sys.executable, "-c", MAPPER, path], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    assert mapper.stdout.readline() == b"up\n"
    for words in ([path], ["--id", number]):
        found = users(*words)
        assert set(found) == {process.pid, mapper.pid}, found
        assert found[mapper.pid]["mapped"] == 4096, found
    mapper.communicate()
    process.communicate(b"\n")

    mapper = subprocess.Popen([sys.executable, "-c", MAPPER, DEVICE], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    assert mapper.stdout.readline() == b"up\n"
    for operand in ("-", "region0"):
        found = users(operand)
        assert list(found) == [mapper.pid] and found[mapper.pid]["mapped"] == 4096, found
    text = tool.ok("info", "-", "--users").text
    assert re.search(r"^Used by: +%d \S+ \(root\): fd [0-9, ]+; 4 KiB mapped$" % mapper.pid, text,
                     re.M), text
    mapper.communicate()
    with OpenedToAll():
        report = json.loads(tool.ok("info", "-", "--users", "--json", user=NOBODY).out)
        assert report["users_complete"] is False, report
        assert "may not look at" in tool.ok("info", "-", "--users", user=NOBODY).text


@test
def info_by_id():
    """info --id finds a region and refuses what is no id"""
    entry = regions()["region0"]
    by_id = json.loads(tool.ok("info", "--id", str(entry["id"]), "--json").out)
    assert by_id["name"] == "region0"
    tool.fails(1, r"no region that you may see has the id 999999999", "info", "--id", "999999999")
    tool.fails(2, r"--id: 'x' is not a number", "info", "--id", "x")


@test
def hostile_names():
    """hostile names are escaped on printing, exact in JSON, and usable"""
    names = [b"a b", b" lead", b"-dash", b"--json", b"new\nline", b"\033[31mred\033[0m", b"\\n",
             b"it's", b'quo"te', b"*", b"$(reboot)", b"\xff\xfe", "größe".encode(),
             "a\u202eb".encode(), b"\xc3", b"x" * 255, b"id:1", b"\x7f", b"...", b"~"]
    before = regions()
    tool.ok("create", "--", names[0], "1")
    for name in names[1:]:
        create_directly(name)
    try:
        listed = tool.ok("list")
        assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xe2\x80\xae", listed.out), listed
        assert len(listed.text.splitlines()) == len(before) + len(names) + 1, listed
        assert "größe" in listed.text

        entries = json.loads(tool.ok("list", "--json").out)[len(before):]
        for name, entry in zip(names, entries, strict=True):
            try:
                assert entry["name"] == name.decode() and "name_hex" not in entry, entry
            except UnicodeDecodeError:
                assert bytes.fromhex(entry["name_hex"]) == name, entry
        assert tool.ok("list", "--null").out.split(b"\0")[len(before):-1] == names

        # the escaped form is what a shell reads back
        for locale in ("C", "C.UTF-8"):
            escaped = tool.ok("list", "--names", env={"LC_ALL": locale}).out.split(b"\n")
            script = b"printf '%s\\0' " + b" ".join(
                b"$'" + word + b"'" for word in escaped[len(before):-1])
            back = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE,
                                  env={"LC_ALL": "C"}, check=True).stdout
            assert back.split(b"\0")[:-1] == names, (escaped, back)

        for name, entry in zip(names, entries):
            assert json.loads(tool.ok("info", "--json", "--", name).out)["id"] == entry["id"]
            again = tool("create", "--", name, "10")
            assert again.status == 1, again
            assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", again.err), again
            tool.ok("write", "--hex", name.hex()[:2], "--", name)
        for name in names[:6]:
            assert tool.ok("read", "--", name).out == name[:1]
    finally:
        tool("remove", "--", *names)


@test
def hostile_tags():
    """a tag is shown escaped, and exact in JSON"""
    with Region("t23", 1, "--tag", b"\033[2J\xff") as name:
        assert "\\x1b[2J\\xff" in tool.ok("info", name).text
        assert "\\x1b[2J\\xff" in tool.ok("list", "--long").text
        assert bytes.fromhex(info(name)["tag_hex"]) == b"\033[2J\xff"
    with Region("t23", 1, "--tag", "x" * 32) as name:
        assert info(name)["tag"] == "x" * 32


class Background:
    """shmtool in the background; its lines are read one by one."""

    def __init__(self, *words, stdin=None):
        self.process = subprocess.Popen([tool.path, *words], stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=tool.environment)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def line(self, timeout=20):
        """The next line, which must come soon."""
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        assert ready, "no line of %r" % self.process.args
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self.process.stdout.fileno(), 1)
            if not piece:
                break
            line += piece
        return line.decode()

    def quiet(self, timeout=0.2):
        """Whether nothing comes."""
        return not select.select([self.process.stdout], [], [], timeout)[0]

    def end(self, timeout=20):
        """Its status and what was left to read."""
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out.decode(), err.decode()


def until(condition, timeout=20):
    """Waits for what another process brings about."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}  "


@test
def notify_and_wait():
    """notify wakes a wait in another process, which says what happened"""
    with Region("t40", 4096) as name:
        assert tool.ok("notify", name).text == "t40: rang once, no other peer\n"
        with Background("wait", name) as waiter:
            until(lambda: info(name)["peers"] == 1)
            report = json.loads(tool.ok("notify", name, "--times", "3", "--json").out)
            assert report == {"region": name, "times": 3, "peers": 1}, report
            status, out, err = waiter.end()
            # the peer that rings comes first, so it may be that which ended the wait
            assert status == 0 and err == "", (status, err)
            assert re.match("t40: (rang 3 times|1 peer came)", out), out
        with Background("wait", name, "--for", "rings", "--json") as waiter:
            until(lambda: info(name)["peers"] == 1)
            tool.ok("notify", name, "-t", str(2**32 - 1))
            report = json.loads(waiter.end()[1])
            assert report["region"] == name and report["rings"] == 2**32 - 1, report
            assert report["peers_come"] == 1 and report["size"] == 4096, report
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", report["time"]), report
        entry = info(name)
        assert entry["peers"] == 0 and entry["clients"] == 0, entry


@test
def wait_for_kinds():
    """wait --for goes on until the kind of event has come"""
    def ends(kinds, pattern, act):
        with Background("wait", name, "--for", kinds) as waiter:
            until(lambda: info(name)["peers"] == 1)
            if "rings" not in kinds:
                tool.ok("notify", name)
                if "peers" not in kinds:
                    assert waiter.quiet() and waiter.process.poll() is None
            act()
            status, out, err = waiter.end()
            assert status == 0 and err == "" and re.search(pattern, out), (status, out, err)

    with Region("t41", 4096) as name:
        ends("rings", r"^t41: rang, ", lambda: tool.ok("notify", name))
        ends("peers", r"1 peer came", lambda: None)
        ends("resized", r", resized to 100 bytes$", lambda: tool.ok("resize", name, "100"))
        ends("rings,sealed", r"^t41: rang", lambda: tool.ok("notify", name))
        ends("sealed", r", sealed: shrink grow$", lambda: tool.ok("seal", name, "shrink", "grow"))
        ends("revoked", r", revoked$", lambda: tool.ok("revoke", name))


@test
def wait_ends():
    """wait ends with status 1 when the time is over or nothing can come"""
    with Region("t42", 1) as name:
        start = time.monotonic()
        tool.fails(1, r"^shmtool: wait 't42': nothing happened within 300 ms$", "wait", name,
                   "--timeout", "300ms")
        assert time.monotonic() - start >= 0.3
        tool.fails(1, r"nothing happened within 0 ms", "wait", name, "--timeout=0", "--json")
        with Background("wait", name, "--for", "rings") as waiter:
            until(lambda: info(name)["peers"] == 1)
            tool.ok("revoke", name)
            status, out, err = waiter.end()
            assert (status, out) == (1, ""), (status, out)
            assert err == "shmtool: wait 't42': the region was revoked\n", err
        for command in ("wait", "watch", "notify", "seal"):
            tool.fails(1, r"'t42': there is no region of that name", command, name)


@test
def watch_line_by_line():
    """watch shows each event at once, a peer that is killed with kill -9 included"""
    with Region("t43", 4096) as name, Background("watch", name) as watch:
        def next_line(pattern):
            line = watch.line()
            assert re.fullmatch(STAMP + "t43: " + pattern + "\n", line), line

        next_line("watching, no other peer")
        with Background("wait", name, "--for", "revoked") as waiter:
            next_line(r"1 peer came \(1 other now\)")
            waiter.process.kill()
            waiter.process.wait()
            next_line(r"1 peer went \(no others now\)")
        tool.ok("resize", name, "8K")
        next_line(r"resized to 8 KiB \(8192 bytes\)")
        tool.ok("seal", name, "shrink")
        next_line("sealed: shrink")
        tool.ok("notify", name, "-t", "7")
        rest = watch.line()
        while "went" not in rest:
            rest += watch.line()
        assert "rang 7 times" in rest and "1 peer came" in rest, rest
        assert watch.quiet()
        watch.process.send_signal(signal.SIGINT)
        assert watch.end() == (-signal.SIGINT, "", "")


@test
def watch_json():
    """watch --json prints an object a line, --count ends it, revoking as well"""
    with Region("t44", 10) as one, Region("t44-2", 20, "--tag", "x") as two:
        with Background("watch", "--json", "--count", "1", one, two) as watch:
            first, second = json.loads(watch.line()), json.loads(watch.line())
            assert (first["region"], second["region"]) == (one, two), (first, second)
            assert set(first) == {"time", "region", "rings", "peers_come", "peers_gone", "resized",
                                  "sealed", "revoked", "peers", "size", "seals"}, first
            assert first["rings"] == 0 and first["peers"] == 0 and first["size"] == 10, first
            tool.ok("resize", two, "30")
            status, out, err = watch.end()
            event = json.loads(out)
            assert (status, err) == (0, ""), (status, err)
            assert (event["region"], event["resized"], event["size"]) == (two, 1, 30), event
        with Background("watch", "--json", one, two) as watch:
            watch.line(), watch.line()
            tool.ok("revoke", one)
            event = json.loads(watch.line())
            assert event["region"] == one and event["revoked"] is True, event
            tool.ok("revoke", two)
            assert json.loads(watch.line())["region"] == two
            assert watch.end() == (0, "", "")


@test
def watch_for_kinds():
    """watch --for shows only these kinds of events"""
    with Region("t44", 10) as name, Background("watch", name, "-f", "resized", "-c", "1") as watch:
        watch.line()
        for _ in range(3):
            tool.ok("notify", name)
        assert watch.quiet()
        tool.ok("resize", name, "20")
        assert re.fullmatch(STAMP + "t44: resized to 20 bytes\n", watch.line())
        assert watch.end() == (0, "", "")


@test
def watch_into_a_closed_pipe():
    """watch ends when nobody reads its output any more, even if nothing happens"""
    with Region("t45", 10) as name, Background("watch", name) as watch:
        watch.line()
        watch.process.stdout.close()
        assert watch.process.wait(timeout=20) == -signal.SIGPIPE


@test
def no_rush_without_a_reader():
    """watch and ring --follow end when the other end of a socket was closed"""
    with Ring("t45b", 64) as name:
        for words in (["watch", name], ["ring", name, "--read", "--follow"]):
            ours, theirs = socket.socketpair()
            process = subprocess.Popen([tool.path, *words], stdout=theirs)
            theirs.close()
            if words[0] == "watch":
                # nothing is left unread: that would be an error of the socket
                assert ours.recv(4096).endswith(b"\n")
            else:
                until(lambda: ring(name)["lanes"][0]["consumer_waits"])
            ours.close()
            try:
                assert process.wait(timeout=20) == -signal.SIGPIPE
            finally:
                process.kill()
                process.wait()


@test
def events_of_region_0_and_strange_names():
    """the commands for events take region 0 and any name, and escape it"""
    name = b"\033[31m\xff"
    create_directly(name)
    try:
        with Background("watch", "--", name) as watch, Background("watch", "--json", "--", name) as j:
            assert re.fullmatch(STAMP + r"\\x1b\[31m\\xff: watching.*\n", watch.line())
            assert bytes.fromhex(json.loads(j.line())["region_hex"]) == name
            assert b"\\x1b[31m\\xff: rang once" in tool.ok("notify", "--", name).out
        tool.ok("seal", name, "grow")
        assert bytes.fromhex(json.loads(tool.ok("seal", "--json", name).out)["region_hex"]) == name
        assert b"\033" not in tool("resize", name, "10K").err
    finally:
        tool("remove", "--", name)
    with Background("watch", "-") as watch:
        assert "  region 0: watching" in watch.line()
        assert tool.ok("notify", DEVICE).text.startswith(DEVICE + ": rang once, 1 other peer")
        assert "region 0: " in watch.line()


@test
def seals():
    """seal shows and adds seals; what they forbid fails and says why"""
    with Region("t46", 100) as name:
        assert tool.ok("seal", name).text == "no seals\n"
        assert tool.ok("seal", name, "shrink").text == "shrink   the size cannot become smaller\n"
        tool.fails(1, r"resize 't46': a seal forbids it \('shmtool seal t46' shows", "resize", name,
                   "99")
        tool.ok("resize", name, "200")
        report = json.loads(tool.ok("seal", name, "seal", "grow", "--json").out)
        assert report == {"region": name, "seals": ["shrink", "grow", "seal"]}, report
        other = name + "w"
        tool.ok("create", other, "4K")
        tool.ok("write", other, stdin=b"kept")
        text = tool.ok("seal", other, "future-write", "write").text
        assert re.search(r"^write +nobody .*\nfuture-write +only ", text), text
        tool.fails(1, r"write '.*': a seal forbids it \(", "write", other, stdin=b"lost")
        tool.fails(1, r"clear '.*': a seal forbids it \(", "clear", other)
        assert tool.ok("read", other, "--length", "4").out == b"kept"
        tool.ok("remove", other)
        assert info(name)["seals"] == ["shrink", "grow", "seal"]
        assert re.search(r"^Seals: +shrink +the size .*\n +grow .*\n +seal ",
                         tool.ok("info", name).text, re.M)
        assert "shrink grow seal" in tool.ok("list", "--long", name).text
        tool.fails(1, r"resize 't46': a seal forbids it", "resize", name, "201")
        tool.fails(1, r"seal 't46': no seal can be added: it is sealed", "seal", name, "grow")
        assert tool.ok("seal", "/dev/shm_kernel_driver").out


@test
def events_need_permission():
    """whoever may only read may wait and watch, not ring or seal"""
    with Region("t47", 10, "--mode", "0644") as name, OpenedToAll():
        tool.fails(1, r"nothing happened", "wait", name, "--timeout", "10ms", user=NOBODY)
        tool.fails(1, r"notify 't47': its mode 0644 does not let you", "notify", name, user=NOBODY)
        tool.fails(1, r"seal 't47': its mode 0644 does not let you", "seal", name, "grow",
                   user=NOBODY)
        assert tool.ok("seal", name, user=NOBODY).text == "no seals\n"
        assert info(name)["seals"] == []
        tool.ok("chmod", "0600", name)
        for command in ("wait", "watch", "notify"):
            tool.fails(1, command + r" 't47': permission denied", command, name, user=NOBODY)


@test
def peers_in_list_and_info():
    """list and info show peers, rings and who has an event file open"""
    with Region("t48", 10) as name, Background("watch", name) as watch:
        watch.line()
        tool.ok("notify", name, "-t", "5")
        entry = info(name)
        assert (entry["peers"], entry["clients"], entry["rings"]) == (1, 0, 5), entry
        assert re.search(r"^Peers: +1\nRings: +5$", tool.ok("info", name).text, re.M)
        assert re.search(r"^t48 .* 1 +persist$", tool.ok("list").text, re.M)
        assert name not in tool.ok("list", "--names", "--unused").text.split()
        assert tool.ok("list", "--names", "--sort", "peers").text.split()[0] == name
        assert tool.ok("list", "--names", "--sort", "rings").text.split()[0] == name
        user, = json.loads(tool.ok("info", name, "--users", "--json").out)["users"]
        assert user["pid"] == watch.process.pid and len(user["descriptors"]) == 1, user
        assert len(user["event_descriptors"]) == 1 and user["mapped"] == 0, user
        assert re.search(r"^Used by: +%d shmtool \(root\): fd \d+; events fd \d+$" % watch.process.pid,
                         tool.ok("info", name, "-u").text, re.M)


class Ring(Region):
    """A region with a ring for one test."""

    def __init__(self, name, cells, *options):
        super().__init__(name, 256 << 10)
        tool.ok("ring", name, "--create", str(cells), *options)


def ring(name, *options):
    return json.loads(tool.ok("ring", name, "--json", *options).out)


def records(name, *options):
    return tool.ok("ring", name, "--read", *options).text.splitlines()


@test
def ring_create():
    """ring --create makes a ring and shows it, in memory that is zero only"""
    with Region("t50", 100) as name:
        tool.fails(1, r"ring 't50': there is no ring \(make one: shmtool ring t50 --create",
                   "ring", name)
        tool.fails(1, r"it would end at 4480 bytes, and the region at 100 bytes "
                      r"\(make it larger: shmtool resize t50 4480\)", "ring", name, "-C", "64")
        assert info(name)["seals"] == []
        tool.ok("resize", name, "4480")
        text = tool.ok("ring", name, "--create", "64", "--tag", "a\nb").text
        assert text == tool.ok("ring", name).text
        assert re.match(r"Tag: +a\\nb\nSize: +4480 bytes from offset 0 on\n"
                        r"Lanes: +1 of 64 cells, 4 KiB\nWhen full: +new records are dropped\n"
                        r"Longest: +records of 2040 bytes\n\nLANE +FILL +USED ", text), text
        assert info(name)["seals"] == ["shrink"]
        tool.fails(1, r"there is a ring already \(if nobody needs it: shmtool clear t50\)",
                   "ring", name, "--create", "64")
        tool.ok("clear", name)
        tool.ok("write", name, "--offset", "4479", "--string", "x")
        tool.fails(1, r"there is something already: the memory is not zero", "ring", name,
                   "--create", "64")
    with Region("t50", 64 << 10) as name:
        tool.ok("ring", name, "--create", "64", "--offset", "4K", "--lanes", "3", "--overwrite")
        entry = ring(name, "--offset", "4096")
        assert entry["overwrite"] and entry["offset"] == 4096 and len(entry["lanes"]) == 3, entry
        tool.fails(1, r"there is no ring at offset 64", "ring", name, "--offset", "64")
        tool.fails(1, r"there is no ring at offset 1048576", "ring", name, "--offset", "1M")


@test
def ring_between_two():
    """what one shmtool writes into a ring another reads, as it comes"""
    with Ring("t51", 64) as name:
        with Background("ring", name, "--read", "--follow") as reader:
            until(lambda: ring(name)["lanes"][0]["consumer_waits"])
            assert ring(name)["lanes"][0]["consumer"] == "program"
            tool.fails(1, r"ring 't51': another program has that lane", "ring", name, "--read")
            assert tool.ok("ring", name, "--write", stdin=b"one\ntwo").text == (
                "t51: wrote 2 records to lane 0\n")
            assert (reader.line(), reader.line()) == ("one\n", "two\n")
            # more than fits: the writer waits for the reader
            text = "".join("%d\n" % i for i in range(1000))
            tool.ok("ring", name, "--write", stdin=text.encode())
            assert [reader.line() for _ in range(1000)] == text.splitlines(keepends=True)
            reader.process.terminate()
            assert reader.end() == (-signal.SIGTERM, "", "")
        entry = ring(name)
        assert entry["dropped"] == 0 and entry["lanes"][0]["used"] == 0, entry
        assert entry["lanes"][0]["consumer"] == "none", entry


@test
def ring_reader_killed():
    """a reader that is killed with kill -9 leaves its lane to the next"""
    with Ring("t52", 64) as name:
        with Background("ring", name, "-r", "-f") as reader:
            until(lambda: ring(name)["lanes"][0]["consumer_waits"])
            reader.process.kill()
            reader.process.wait()
        tool.ok("ring", name, "--write", stdin=b"x\n")
        assert ring(name)["lanes"][0]["consumer"] == "none"
        assert records(name) == ["x"]


@test
def ring_writer_killed():
    """a writer that is killed with kill -9 anywhere spoils nothing, and the next goes on"""
    with Ring("t52", 256) as name, Background("ring", name, "-r", "-f") as reader:
        seen = []
        for attempt in range(8):
            with Background("ring", name, "--write", stdin=subprocess.PIPE) as writer:
                lines = b"".join(b"%d %d\n" % (attempt, i) for i in range(3000))
                feeder = os.fork()
                if feeder == 0:
                    try:
                        os.write(writer.process.stdin.fileno(), lines)
                    finally:
                        os._exit(0)
                while not seen or not seen[-1].startswith("%d " % attempt):
                    seen.append(reader.line())
                time.sleep(0.002 * attempt)
                writer.process.kill()
                writer.process.wait()
                os.kill(feeder, signal.SIGKILL)
                os.waitpid(feeder, 0)
        tool.ok("ring", name, "--write", stdin=b"end\n")
        while seen[-1] != "end\n":
            seen.append(reader.line())
        reader.process.terminate()
        assert reader.end() == (-signal.SIGTERM, "", "")
        numbers = [tuple(map(int, line.split())) for line in seen[:-1]]
        assert numbers == sorted(set(numbers)), "records are lost, twice or mixed"
        for attempt in range(8):
            own = [i for a, i in numbers if a == attempt]
            assert own == list(range(len(own))) and own, (attempt, own)


@test
def ring_of_long_records():
    """records of every length go through a ring, in both kinds of it"""
    lengths = [0, 1, 55, 56, 57, 119, 120, 121, 4095, 4096, 4097, 9999, 16376]
    lines = [bytes([65 + i]) * length for i, length in enumerate(lengths)]
    for options in ([], ["--overwrite"]):
        with Ring("t53", 512, *options) as name:
            assert ring(name)["max_record"] == 16376
            for line in lines:
                tool.ok("ring", name, "--write", stdin=line + b"\n")
                got = tool.ok("ring", name, "--read", "--format", "raw").out
                assert got.endswith(line), (options, len(line), len(got))
                assert options or got == line, (len(line), len(got))


@test
def ring_reading():
    """ring --read takes records away, as many as it prints"""
    with Ring("t53", 64) as name:
        tool.ok("ring", name, "-w", stdin=b"1\n2\n\n4\n5\n")
        assert records(name, "--count", "2") == ["1", "2"]
        assert records(name, "--format", "hex", "-c", "2") == [
            "0 bytes", "1 byte", "00000000  34" + 48 * " " + "|4|", "00000001"]
        assert tool.ok("ring", name, "-r", "--format", "raw").out == b"5"
        assert records(name) == []
        hostile = b"\033[2J\xff\r\0"
        for _ in range(3):
            tool.ok("ring", name, "-w", stdin=hostile)
        assert records(name, "-c", "1") == ["\\x1b[2J\\xff\\r\\x00"]
        assert tool.ok("ring", name, "-r", "-c", "1", "-F", "raw").out == hostile
        entry = json.loads(tool.ok("ring", name, "--read", "--json").out)
        assert (entry["lane"], entry["size"]) == (0, len(hostile)), entry
        assert bytes.fromhex(entry["data_hex"]) == hostile, entry
        tool.ok("ring", name, "-w", stdin=b"x\ny\n")
        status, shown = tool.on_terminal("ring", name, "--read", "--format", "raw")
        assert status == 1 and "would go to the terminal" in shown, shown
        status, shown = tool.on_terminal("ring", name, "--read", "--follow", interrupt_at=rb"y\r\n")
        assert (status, shown) == (-signal.SIGINT, "x\r\ny\r\n"), (status, shown)
        tool.fails(1, r"line 2 has 2041 bytes, and the longest record has 2040", "ring", name,
                   "--write", stdin=b"short\n" + b"x" * 2041)
        assert records(name) == ["short"]


@test
def ring_drops_and_overwrites():
    """a full ring drops and counts, or overwrites and tells who comes late"""
    lines = b"".join(b"%d\n" % i for i in range(100))
    with Ring("t54", 64) as name:
        report = json.loads(tool.ok("ring", name, "--write", "--drop", "--json", stdin=lines).out)
        assert report == {"region": name, "lane": 0, "written": 63, "dropped": 37}, report
        assert ring(name)["dropped"] == 37
        assert re.search(r"^   0   98%    63 ", tool.ok("ring", name).text, re.M)
        with Background("ring", name, "--write", stdin=subprocess.PIPE) as writer:
            writer.process.stdin.write(b"more\n")
            writer.process.stdin.close()
            until(lambda: ring(name)["lanes"][0]["producer_waits"])
            assert ring(name)["lanes"][0]["producer"] == "program"
            assert len(records(name, "-c", "40")) == 40
            assert writer.line() == "t54: wrote 1 record to lane 0\n"
        assert records(name)[-1] == "more"
    with Ring("t54", 64, "--overwrite", "--lanes", "2") as name:
        tool.ok("ring", name, "-w", stdin=b"first\n")
        with Background("ring", name, "-r", "-f", "--json") as reader:
            assert json.loads(reader.line())["data"] == "first"
            os.kill(reader.process.pid, signal.SIGSTOP)
            tool.ok("ring", name, "-w", stdin=lines)
            tool.ok("ring", name, "--write", "--lane", "1", stdin=b"other lane\n")
            os.kill(reader.process.pid, signal.SIGCONT)
            seen = [json.loads(reader.line())]
            while seen[-1]["data"] != "99":
                seen.append(json.loads(reader.line()))
            reader.process.terminate()
            _, out, err = reader.end()
            assert re.fullmatch(r"(shmtool: ring 't54': .* were overwritten before they were read\n)+",
                                err), err
            seen += [json.loads(line) for line in out.splitlines()]
            assert {"lane": 1, "size": 10, "data": "other lane"} in seen, seen
        # who has come later sees it all again, and a reader needs no more than read permission
        tool.ok("chmod", "0644", name)
        with OpenedToAll():
            again = tool.ok("ring", name, "--read", user=NOBODY).text.splitlines()
            assert again[-1] == "1: other lane" and "0: 99" in again, again
            tool.fails(1, r"ring 't54': its mode 0644 does not let you", "ring", name, "--write",
                       user=NOBODY)


@test
def ring_lanes():
    """each writer has a lane, a reader all of them or one"""
    with Ring("t55", 64, "--lanes", "2") as name:
        writers = [Background("ring", name, "--write", stdin=subprocess.PIPE) for _ in range(2)]
        try:
            until(lambda: [lane["producer"] for lane in ring(name)["lanes"]] == ["program"] * 2)
            tool.fails(1, r"another program has that lane", "ring", name, "--write")
            tool.fails(1, r"it has no lane 2 \('shmtool ring t55' shows its lanes\)", "ring", name,
                       "-r", "--lane", "2")
            tool.fails(1, r"it has no lane 2", "ring", name, "-w", "--lane", "2")
            outs = [writer.process.communicate(b"from %d\n" % i)[0]
                    for i, writer in enumerate(writers)]
            assert sorted(re.search(rb"lane (\d)", out)[1] for out in outs) == [b"0", b"1"], outs
        finally:
            for writer in writers:
                writer.__exit__()
        assert {line[0] for line in records(name)} == {"0", "1"}
        tool.ok("ring", name, "-w", "--lane", "1", stdin=b"b\n")
        assert records(name, "--lane", "0") == [] and records(name, "--lane", "1") == ["b"]


@test
def ring_spoiled():
    """a ring that somebody spoiled is an error that says what is wrong with it"""
    def spoil(offset, digits, pattern, *words, stdin=b""):
        with Ring("t56", 64) as name:
            tool.ok("ring", name, "--write", stdin=b"one\ntwo\n")
            tool.ok("write", name, "--offset", str(offset), "--hex", digits)
            tool.fails(1, r"^shmtool: ring 't56': " + pattern, "ring", name, *words, stdin=stdin)

    for words in ([], ["--read"], ["--write"], ["--json"]):
        spoil(4, "07", r"the head of the ring is corrupt: it is of version 7, .*\(if nobody", *words)
        spoil(12, "00", r"the head of the ring is corrupt: it says that it has 0 lanes", *words)
        spoil(16, "41", r"the head of the ring is corrupt: it says that a lane has 65 cells", *words)
        spoil(19, "01", r".*corrupt: 1 lanes of 16777280|.*a lane has 16777280 cells", *words)
        spoil(17, "4000", r".*a lane has 16448 cells", *words)
        spoil(16, "00400000", r".*1 lanes of 16384 cells take 1\.0 MiB .* and there are 256 KiB",
              *words)
        spoil(0, "00", r"there is no ring", *words)
    # a record's length, the writer's view of the reader
    spoil(128 + 256 + 4, "ffff0000", r"the ring is corrupt: another program wrote", "--read")
    spoil(128 + 128, "ff00ff00", r"the ring is corrupt: another program wrote", "--write",
          stdin=b"x\n" * 100)


@test
def ring_in_strange_places():
    """a ring works in region 0, in a node, in a region that can shrink, under any name"""
    size = info("-")["size"]
    if size >= 4480:
        tool.fails(1, r"ring region 0: there is something already", "ring", "-", "--create", "64")
    node = "/dev/shm_kernel/" + boot_region()
    tool.ok("ring", node, "--create", "64")
    tool.ok("ring", node, "--write", stdin=b"by node\n")
    assert records(boot_region()) == ["by node"]
    tool.ok("reset", node)
    create_directly(b"\xff\033")
    try:
        tool.fails(1, r"make it larger: shmtool resize \$'\\xff\\x1b' 4480", "ring",
                   b"\xff\033", "--create", "64")
        tool.ok("resize", b"\xff\033", "4480")
        tool.ok("ring", b"\xff\033", "--create", "64")
        result = tool.ok("ring", b"\xff\033", "--write", stdin=b"x\n")
        assert result.text == "\\xff\\x1b: wrote 1 record to lane 0\n", result
    finally:
        tool("remove", b"\xff\033")
    with Ring("t57", 64) as name:
        head = read(name)
        tool.ok("create", "t57b", "256K")
        try:
            tool.ok("write", "t57b", stdin=head)
            tool.fails(1, r"others could make the region smaller under the ring \(seal it: shmtool "
                          r"seal t57b shrink; or trust them: --trust\)", "ring", "t57b", "--read")
            assert records("t57b", "--trust") == []
        finally:
            tool.ok("remove", "t57b")


@test
def ring_whose_memory_goes():
    """a region that is revoked or made smaller under a reader or a writer is a clear error"""
    gone = (r"shmtool: ring: the region was revoked or made smaller meanwhile \(create it anew, "
            r"and seal it: shmtool seal\)\n")
    for words in (["--read", "--follow"], ["--write"]):
        with Ring("t57", 64) as name:
            tool.ok("ring", name, "--write", "--drop", stdin=b"x\n" * 70)
            with Background("ring", name, *words, stdin=subprocess.PIPE) as user:
                if words == ["--write"]:
                    user.process.stdin.write(b"more\n")
                    user.process.stdin.flush()
                until(lambda: any(lane[key] for lane in ring(name)["lanes"]
                                  for key in ("consumer_waits", "producer_waits")))
                tool.ok("revoke", name)
                assert user.process.wait(timeout=20) == 1
                assert re.fullmatch(gone, user.process.stderr.read().decode())
    with Ring("t57", 64) as name:
        head = read(name)
    with Region("t57", 256 << 10) as name:
        tool.ok("write", name, stdin=head)
        with Background("ring", name, "--read", "--follow", "--trust") as reader:
            until(lambda: ring(name)["lanes"][0]["consumer_waits"])
            tool.ok("resize", name, "0")
            status, out, err = reader.end()
            assert (status, out) == (1, "") and re.fullmatch(gone, err), (status, out, err)


@test
def ring_into_a_closed_pipe():
    """ring --follow ends when nobody reads its output any more"""
    with Ring("t58", 64) as name, Background("ring", name, "-r", "-f") as reader:
        until(lambda: ring(name)["lanes"][0]["consumer_waits"])
        reader.process.stdout.close()
        assert reader.process.wait(timeout=20) == -signal.SIGPIPE


@test
def ring_to_where_there_is_no_room():
    """ring --read leaves in the ring what it cannot print"""
    with Ring("t58c", 2048) as name:
        tool.ok("ring", name, "--write", stdin=(b"x" * 50 + b"\n") * 2000)
        with open("/dev/full", "wb") as full:
            process = subprocess.run([tool.path, "ring", name, "--read"], stdout=full,
                                     stderr=subprocess.PIPE, check=False)
        assert process.returncode == 1 and b"no space left" in process.stderr, process
        assert ring(name)["lanes"][0]["used"] > 1500


@test
def closed_standard_files():
    """a region does not take the place of a standard file that is closed"""
    with Ring("t58d", 64) as name:
        head = read(name, "--length", "128")
        for words, closed in (("--write", 1), ("--read", 1), ("--write", 2), ("--write", 0)):
            line = 'exec "$0" ring %s %s %d>&-' % (name, words, closed)
            process = subprocess.run(["sh", "-c", line, tool.path], input=b"x\n",
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            assert process.returncode == (0 if closed == 2 else 1), process
            if closed == 0:
                assert b"standard input: bad file descriptor" in process.stderr, process
            assert read(name, "--length", "128") == head, line


@test
def ring_write_of_endless_input():
    """SIGTERM ends ring --write although its input never makes it wait"""
    with Ring("t58b", 64) as name, \
            subprocess.Popen(["yes"], stdout=subprocess.PIPE) as source:
        try:
            with Background("ring", name, "--write", "--drop", stdin=source.stdout) as writer:
                until(lambda: ring(name)["dropped"])
                writer.process.terminate()
                assert writer.process.wait(timeout=20) == -signal.SIGTERM
        finally:
            source.kill()


def top(*options):
    return [json.loads(line) for line in tool.ok("top", "--json", *options).text.splitlines()]


@test
def top_of_a_moving_ring():
    """top shows rates, fill and loss of a ring that somebody writes"""
    with Ring("t59", 64) as name:
        with Background("ring", name, "--write", "--drop", stdin=subprocess.PIPE) as writer, \
                Background("watch", name) as watch:
            watch.line()
            source = subprocess.Popen(
                ["sh", "-c", "while :; do echo record; sleep 0.01; done"],
                stdout=writer.process.stdin)
            try:
                # the writer rings for a reader that waits, so have one
                with Background("ring", name, "-r", "-f"):
                    until(lambda: info(name)["peers"] == 3)
                    look, = top("-n", "1", "-i", "2s")
            finally:
                source.kill()
                source.wait()
            entry, = [e for e in look["regions"] if e["name"] == name]
            assert entry == look["regions"][0], look
            assert entry["peers"] == 3 and entry["rings_per_second"] > 0, entry
            assert entry["ring"]["cells"] == 64 and entry["ring"]["bytes_per_second"] > 64, entry
            # without a reader it fills up
            writer.process.stdin.write(b"x\n" * 200)
            writer.process.stdin.close()
            writer.process.wait()
        looks = top("-n", "2", "-i", "0.1")
        assert len(looks) == 2
        for look in looks:
            entry, = [e for e in look["regions"] if e["name"] == name]
            assert entry["ring"]["used"] == [63] and entry["ring"]["dropped"] > 100, entry
            assert entry["ring"]["bytes_per_second"] == 0 and entry["peers"] == 0, entry
        text = tool.ok("top", "-n", "1", "-i", "50ms").text
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \d+ regions, .*, 0 peers, 0 rings/s\n\n"
                        r"NAME +SIZE +FILES +MAPS +PEERS +CLIENTS +RINGS/S +RING +FILL +FLOW +DROPPED\n",
                        text), text
        assert re.search(r"^t59 +256 KiB .* 4 KiB +98% +0 +\d+$", text, re.M), text
        tool.ok("write", name, "--offset", "4", "--hex", "99")
        assert re.search(r"^t59 .* corrupt$", tool.ok("top", "-n", "1", "-i", "50ms").text, re.M)


@test
def top_with_a_slow_reader():
    """top goes on if what it prints, or what it looks at, takes longer than its interval"""
    with Ring("t59b", 64):
        ours, theirs = os.pipe()
        process = subprocess.Popen([tool.path, "top", "--json", "-i", "10ms", "-n", "100"],
                                   stdout=theirs)
        os.close(theirs)
        lines = 0
        try:
            fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, 4096)
            time.sleep(0.5)  # it has to wait for us
            while True:
                assert select.select([ours], [], [], 20)[0], "it hangs after %d lines" % lines
                piece = os.read(ours, 4096)
                if not piece:
                    break
                lines += piece.count(b"\n")
            assert lines == 100 and process.wait(timeout=20) == 0, lines
        finally:
            process.kill()
            process.wait()
            os.close(ours)


@test
def top_only_looks():
    """top is no peer and keeps no region open"""
    with Ring("t60", 64) as name, Background("top", "-i", "20ms") as looker:
        looker.line()
        seen = [info(name) for _ in range(20)]
        assert all(entry["peers"] == 0 and entry["mappings"] == 0 for entry in seen), seen
        assert any(entry["files"] == 0 for entry in seen), seen
        looker.process.stdout.close()
        assert looker.process.wait(timeout=20) == -signal.SIGPIPE
    with Background("create", "t60", "256K", "--", "sleep", "0.5") as holder, \
            Background("top", "-i", "20ms") as looker:
        looker.line()
        holder.end()
        until(lambda: "t60" not in regions())


class TopOnTerminal:
    """shmtool top on a pseudo-terminal, which must be as before when it has ended."""

    def __init__(self, *words, columns=80, lines=10):
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        self.shown = b""
        self.process = subprocess.Popen(
            [tool.path, "top", *words], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            env={**tool.environment, "TERM": "xterm"}, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)

    def resize(self, columns, lines):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def show(self, pattern, timeout=20):
        """Waits until it has shown that, and returns what it has shown since the last time."""
        new = b""
        while not re.search(pattern, new):
            assert select.select([self.master], [], [], timeout)[0], (pattern, new)
            new += os.read(self.master, 65536)
        self.shown += new
        return new

    def press(self, keys):
        os.write(self.master, keys)

    def end(self):
        """Its status, and the last picture without colours."""
        status = self.process.wait(timeout=20)
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 65536)
        assert self.is_restored()
        assert self.shown.startswith(b"\033[?1049h\033[?25l"), self.shown
        assert self.shown.count(b"\033[?1049h") == self.shown.count(b"\033[?1049l"), self.shown
        last = self.shown.decode().split("\033[?25h\033[?1049l")[-1]
        return status, re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", last)


PICTURE = rb"\033\[H(.|\n)*region0(.|\n)*\033\[J"


@test
def top_on_a_terminal():
    """on a terminal top draws a screen, takes keys, and gives the terminal back"""
    with Region("t61-" + "x" * 80, 1):
        for keys in (b"q", b"Q", b" q", b"xyq"):
            with TopOnTerminal("-i", "1h") as top_there:
                top_there.show(PICTURE)
                assert not top_there.is_restored()
                top_there.press(keys)
                status, picture = top_there.end()
                assert status == 0, (keys, status)
                assert picture.splitlines()[2].startswith("NAME "), picture
                assert max(map(len, picture.splitlines())) <= 80 and "\u2026" in picture, picture
        with TopOnTerminal("-n", "2", "-i", "50ms", columns=50) as top_there:
            top_there.show(rb"1049l")
            assert top_there.end()[0] == 0
        for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with TopOnTerminal("-i", "1h") as top_there:
                top_there.show(PICTURE)
                top_there.process.send_signal(stop)
                assert top_there.end() == (-stop, ""), stop


@test
def top_stops_and_goes_on():
    """^Z gives the terminal back until top goes on, and a new size is used at once"""
    with TopOnTerminal("-i", "1h") as top_there:
        top_there.show(PICTURE)
        top_there.process.send_signal(signal.SIGTSTP)
        top_there.show(rb"\033\[\?25h\033\[\?1049l$")
        with open("/proc/%d/stat" % top_there.process.pid, "rb") as state:
            until(lambda: state.seek(0) == 0 and state.read().split()[2] == b"T")
        assert top_there.is_restored()
        top_there.process.send_signal(signal.SIGCONT)
        top_there.show(rb"\033\[\?1049h\033\[\?25l(.|\n)*region0(.|\n)*\033\[J")
        assert not top_there.is_restored()
        top_there.resize(40, 24)
        top_there.process.send_signal(signal.SIGWINCH)
        # What it had begun to show when the size changed may come first; without a new picture, show() fails.
        width = 41
        while width > 40:
            shown = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", top_there.show(PICTURE).decode())
            width = max(map(len, shown.splitlines()))
        top_there.press(b"q")
        assert top_there.end()[0] == 0


@test
def top_is_cut_to_the_height():
    """top shows as many regions as there are lines, and how many more there are"""
    names = ["t61-%d" % i for i in range(20)]
    try:
        for name in names:
            create_directly(name.encode())
        with TopOnTerminal("-i", "1h") as top_there:
            shown = top_there.show(rb"\.\.\. \d+ more lines")
            assert shown.count(b"\n") == 9, shown
            top_there.press(b"q")
            assert top_there.end()[0] == 0
    finally:
        tool.ok("remove", *names)


@test
def list_filters_and_order():
    """list filters by pattern and use, and sorts"""
    with Region("t24-b", 3000) as b, Region("t24-a", 9000) as a, Region("t24-c", 1) as c:
        def names(*words):
            return tool.ok("list", "--names", *words).text.split()

        assert names("t24-*") == [b, a, c]
        assert names("t24-[ab]", c) == [b, a, c]
        assert names("--sort", "name", "t24-*") == [a, b, c]
        assert names("--sort", "size", "t24-*") == [a, b, c]
        assert names("-rs", "size", "t24-*") == [c, b, a]
        assert names("nothing") == []
        assert set(names("--unused")) >= {a, b, c} and "region0" not in names("--unused")
        assert "region0" in names("--mine")
        assert "9000" in tool.ok("list", "--bytes", a).text
        tool.fails(2, r"--sort: 'x' is no key", "list", "--sort", "x")
        tool.ok("chown", "12345", a)
        assert names("--mine", "t24-*") == [b, c]


def create_directly(name):
    """A persistent region of one byte by the ioctl: many processes take long in a guest."""
    text = ctypes.create_string_buffer(name)
    argument = struct.pack("=IIQQIIiI32s", 72, 1, 1, ctypes.addressof(text), len(name), 0o600, 0, 0,
                           b"")
    control = os.open(DEVICE, os.O_RDONLY)
    try:
        os.close(fcntl.ioctl(control, 0x9B00, bytearray(argument)))
    finally:
        os.close(control)


@test
def many_regions():
    """list shows more regions than one call of LIST returns"""
    names = ["t25-%03d" % i for i in range(200)]
    try:
        for name in names:
            create_directly(name.encode())
        assert tool.ok("list", "--names", "t25-*").text.split() == names
    finally:
        tool.ok("remove", *names)


@test
def looking_keeps_nothing_alive():
    """list and info open no region"""
    with Region("t26", 1) as name:
        assert info(name)["files"] == 0
        assert regions()[name]["files"] == 0
    assert name not in regions()


@test
def width_and_colours():
    """on a terminal the table fits it and has colours; NO_COLOR and pipes have none"""
    with Region("t27-" + "long" * 40, 1) as name:
        for columns in (40, 60, 80, 120):
            status, shown = tool.on_terminal("list", "--long", columns=columns)
            assert status == 0 and "\033[1m" in shown, shown
            plain = re.sub(r"\033\[[0-9;]*m", "", shown)
            assert max(map(len, plain.split("\r\n"))) <= columns, (columns, plain)
            assert "t27-" in plain and "\u2026" in plain
        status, shown = tool.on_terminal("list", env={"NO_COLOR": "1"})
        assert "\033" not in shown
        status, shown = tool.on_terminal("list", env={"TERM": "dumb"})
        assert "\033" not in shown
        text = tool.ok("list").text
        assert name in text and "\033" not in text
        status, shown = tool.on_terminal("read", name)
        assert status == 1 and "the data would go to the terminal" in shown, shown
        status, shown = tool.on_terminal("info", name, "--json")
        assert status == 0 and "\033" not in shown and '\n  "id"' in shown, shown
        assert json.loads(shown)["name"] == name


@test
def completion_of_names():
    """the completion offers the names of regions, quoted for the shell"""
    completion = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "completion",
                              "shmtool")
    script = ('PATH="$1:$PATH"; source "$2"; shift 2; compopt() { :; }\n'
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shmtool\n'
              'printf "%s\\n" "${COMPREPLY[@]}"')
    if not os.path.exists("/dev/fd"):
        os.symlink("/proc/self/fd", "/dev/fd")

    def complete(*words):
        done = subprocess.run(
            ["bash", "-c", script, "bash", os.path.dirname(tool.path), completion, "shmtool",
             *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=tool.environment,
            check=True)
        assert done.stderr == b"", done
        return done.stdout.decode().splitlines()

    with Region("t33 a;b", 1) as name, Region("t33x", 1) as other:
        assert complete("info", "t33") == ["t33\\ a\\;b", "t33x"]
        assert complete("remove", name, "t33x") == [other]
        assert complete("chmod", "0600", "t33x") == [other]
        assert complete("read", "t33x", "t33") == [""]
        assert "region0" in complete("dump", "re")


def slowly(pieces, delay):
    def feed(descriptor):
        for _ in range(pieces):
            os.write(descriptor, bytes(LARGE // pieces))
            time.sleep(delay)
    return feed


@test
def progress_of_a_long_write():
    """a long write shows rate and amount on a terminal and ends with a whole line"""
    with Region("t28", LARGE) as name:
        status, shown = tool.on_terminal("write", name, feed=slowly(12, 0.1))
        assert status == 0, shown
        assert re.search(r"\rwrite 't28'  [0-9.]+ MiB  [0-9.]+ [KMG]iB/s", shown), shown
        assert re.search(r"100%  12\.0 MiB of 12 MiB  .*\033\[K\r\n$", shown), shown


@test
def no_progress_where_nobody_looks():
    """a long write without a terminal shows nothing, nor does a short one with it"""
    with Region("t29", LARGE) as name:
        reader, writer = os.pipe()
        feeder = os.fork()
        if feeder == 0:
            os.close(reader)
            slowly(12, 0.1)(writer)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as source:
            tool.ok("write", name, stdin=source)
        os.waitpid(feeder, 0)
        status, shown = tool.on_terminal("write", name, "--string", "short")
        assert (status, shown) == (0, ""), shown


@test
def progress_of_a_long_read():
    """a long read shows percent and time left on a terminal"""
    with Region("t30", LARGE) as name:
        reader, writer = os.pipe()
        drain = os.fork()
        if drain == 0:
            os.close(writer)
            while os.read(reader, 1 << 16):
                time.sleep(0.006)
            os._exit(0)
        os.close(reader)
        status, shown = tool.on_terminal("read", name, stdout_to_file=writer)
        os.close(writer)
        os.waitpid(drain, 0)
        assert status == 0, shown
        assert re.search(r"\rread 't30' +\d+%  [0-9.]+ MiB of 12 MiB  .*/s  0:0\d left", shown), shown
        assert re.search(r" 100%  .*\033\[K\r\n$", shown), shown


@test
def interrupted_write():
    """SIGINT during a long write leaves a clean line and ends by the signal"""
    with Region("t31", LARGE) as name:
        status, shown = tool.on_terminal("write", name, feed=slowly(200, 0.1),
                                         interrupt_at=rb"MiB/s|KiB/s")
        assert status == -signal.SIGINT, (status, shown)
        last = shown.split("\r\033[K")[-1]
        assert re.fullmatch(r"shmtool: write 't31': interrupted after [0-9.]+ [KM]iB\r\n", last), shown


@test
def terminated_while_waiting():
    """SIGTERM ends a write that waits for its input"""
    with Region("t32", 100) as name:
        process = subprocess.Popen([tool.path, "write", name], stdin=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdin.write(b"part")
        process.stdin.flush()
        deadline = time.monotonic() + 20
        while read(name, "-n", "4") != b"part" and time.monotonic() < deadline:
            time.sleep(0.02)
        process.terminate()
        assert process.wait(timeout=20) == -signal.SIGTERM
        assert re.search(rb"interrupted after 4 B", process.stderr.read())
        assert read(name, "--length", "4") == b"part"


@test
def doctor():
    """doctor finds all well, and its JSON says the same"""
    before = set(regions())
    result = tool("doctor")
    assert result.status == 0 and result.err == b"", result
    lines = result.text.splitlines()
    report = json.loads(tool.ok("doctor", "--json").out)
    assert report["status"] in ("ok", "warn"), report
    assert [c["name"] for c in report["checks"]] == [
        line.split()[1] for line in lines if re.match("(OK|NOTE|WARN|FAIL) ", line)]
    checks = {c["name"]: c for c in report["checks"]}
    for name in ("driver", "device", "access", "parameters", "regions", "memory", "trial",
                 "doorbell", "ring", "kernel-ring", "membarrier"):
        assert checks[name]["status"] in ("ok", "note"), checks[name]
    if os.path.exists(STATS):
        assert checks["counters"]["status"] == "ok", checks
    assert set(regions()) == before


@test
def doctor_finds_faults():
    """doctor finds a node that is missing, stale, closed or open to all"""
    aside = DEVICE + ".aside"
    os.rename(DEVICE, aside)
    try:
        result = tool("doctor", "--json")
        checks = {c["name"]: c for c in json.loads(result.out)["checks"]}
        assert result.status == 1 and checks["device"]["status"] == "fail", result
        assert checks["device"]["mend"].startswith("mknod"), result
        tool.fails(1, r"^shmtool: /dev/shm_kernel_driver: there is no such device \(load", "list")
        os.mknod(DEVICE, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        result = tool("doctor")
        assert result.status == 1 and re.search(r"^FAIL  device .*is device 1:3", result.text,
                                                re.M), result
        tool.fails(1, r"no region|not|driver", "list")
        os.unlink(DEVICE)
        with open(DEVICE, "wb"):
            pass
        result = tool("doctor")
        assert result.status == 1 and "no character device" in result.text, result
        os.unlink(DEVICE)
    finally:
        os.rename(aside, DEVICE)
    with OpenedToAll():
        result = tool("doctor")
        assert result.status == 0 and re.search(r"^WARN  device .*everybody", result.text,
                                                re.M), result
    result = tool("doctor", user=NOBODY)
    assert result.status == 1 and re.search(r"^FAIL  access .*permission denied", result.text,
                                            re.M), result
    assert "udev" in result.text


@test
def nothing_is_left():
    """the tests leave no region and no open file behind"""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    assert all("boot" in entry["flags"] for entry in regions().values()), regions()
    if os.path.exists(STATS):
        with open(STATS, encoding="utf-8") as stats:
            counters = dict(line.split() for line in stats)
        assert counters["files"] == "0", counters
        assert int(counters["regions"]) == len(regions()), counters


if not os.path.exists(DEVICE):
    print("1..0 # SKIP the driver is not loaded")
    sys.exit(77)
if os.geteuid() != 0:
    print("1..0 # SKIP needs root")
    sys.exit(77)
tool.copy_for_others(SCRATCH)
LEFT_OVER = [name for name, entry in regions().items() if "boot" not in entry["flags"]]
if LEFT_OVER:
    sys.exit("there are regions already: %s" % LEFT_OVER)
sys.exit(run_all())
