# SPDX-License-Identifier: GPL-2.0-only
"""Does what each tracepoint of the driver is about, and looks whether it was told. Prints TAP.

To be run in a guest. With --client the driver has a kernel client to trace, the sample shm_kernel_sched.
"""

import ctypes
import fcntl
import mmap
import os
import re
import subprocess
import sys
from pathlib import Path

TRACING = Path("/sys/kernel/tracing")
EVENTS = TRACING / "events" / "shm_kernel"
CREATE, _, REMOVE, _, BIND, _, _, _, REVOKE, _, SUBSCRIBE = (0x9B00 + number for number in range(11))

# A name that must not reach the log as it is.
NAME = b"tra\nce\x1b[31m"


class Create(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("length", ctypes.c_uint64), ("name", ctypes.c_uint64),
        ("name_len", ctypes.c_uint32), ("mode", ctypes.c_uint32), ("numa_node", ctypes.c_int32), ("pad", ctypes.c_uint32), ("tag", ctypes.c_uint8 * 32),
    ]  # fmt: skip


class Name(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("name", ctypes.c_uint64), ("name_len", ctypes.c_uint32), ("pad", ctypes.c_uint32)]


class Simple(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("flags", ctypes.c_uint32)]


def call(fd, request, structure, **fields):
    return fcntl.ioctl(fd, request, structure(size=ctypes.sizeof(structure), **fields))


def events(work):
    """What the tracepoints said while WORK() ran: [(event, text)]."""
    (TRACING / "trace").write_text("", encoding="ascii")
    work()
    text = (TRACING / "trace").read_bytes().decode("latin-1")
    return re.findall(r"^.*: (shm_kernel_\w+): (.*)$", text, re.M)


class Report:
    def __init__(self):
        self.number = self.failed = 0

    def expect(self, name, found, event, pattern):
        self.number += 1
        good = any(name_found == event and re.fullmatch(pattern, text) for name_found, text in found)
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}")
        if not good:
            self.failed += 1
            for line in found or [("nothing", "was told")]:
                print(f"# {line[0]}: {line[1]}")


def user(report):
    control = os.open("/dev/shm_kernel_driver", os.O_RDWR)
    name = ctypes.create_string_buffer(NAME)
    text = {"name": ctypes.addressof(name), "name_len": len(NAME)}
    region = []
    length = 3 * mmap.PAGESIZE
    found = events(lambda: region.append(call(control, CREATE, Create, length=length, mode=0o600)))
    report.expect("create", found, "shm_kernel_create", rf"id=\d+ size={length} flags=0x0")
    region = region[0]
    found = events(lambda: call(region, BIND, Name, **text))
    report.expect("bind, with the name escaped", found, "shm_kernel_bind", r'id=\d+ name=tra\\nce\\e\[31m')
    found = events(lambda: mmap.mmap(region, mmap.PAGESIZE, offset=2 * mmap.PAGESIZE).close())
    report.expect("map", found, "shm_kernel_map", rf"id=\d+ offset={2 * mmap.PAGESIZE} length={mmap.PAGESIZE}")
    bells = []
    found = events(lambda: bells.append(call(region, SUBSCRIBE, Simple)))
    report.expect("peer comes", found, "shm_kernel_peer", r"id=\d+ come by=user peers=1")
    found = events(lambda: os.write(bells[0], (42).to_bytes(8, sys.byteorder)))
    report.expect("notify", found, "shm_kernel_notify", r"id=\d+ rings=42 by=user")
    found = events(lambda: os.close(bells[0]))
    report.expect("peer goes", found, "shm_kernel_peer", r"id=\d+ gone by=user peers=0")
    found = events(lambda: call(control, REMOVE, Name, **text))
    report.expect("remove, with the name escaped", found, "shm_kernel_remove", r'id=\d+ name=tra\\nce\\e\[31m')
    found = events(lambda: call(region, REVOKE, Simple))
    report.expect("revoke", found, "shm_kernel_revoke", r"id=\d+")
    os.close(region)
    os.close(control)


def client(report):
    found = events(lambda: subprocess.run(["modprobe", "shm_kernel_sched"], check=True))
    report.expect("create by the kernel", found, "shm_kernel_create", r"id=\d+ size=\d+ flags=\S+")
    report.expect("bind by the kernel", found, "shm_kernel_bind", r'id=\d+ name=sched')
    report.expect("a kernel client comes", found, "shm_kernel_peer", r"id=\d+ come by=kernel peers=1")

    def ring_and_unload():
        # It rings for a program that has read everything and waits.
        subprocess.run(["timeout", "2", "shm_kernel_sched_user"], stdout=subprocess.DEVNULL, check=False)
        subprocess.run(["rmmod", "shm_kernel_sched"], check=True)

    found = events(ring_and_unload)
    report.expect("notify by the kernel", found, "shm_kernel_notify", r"id=\d+ rings=1 by=kernel")
    report.expect("a kernel client goes", found, "shm_kernel_peer", r"id=\d+ gone by=kernel peers=\d+")


def main():
    if not EVENTS.is_dir():
        print("1..0 # SKIP this kernel has no tracepoints")
        return 4
    report = Report()
    print("TAP version 13")
    (EVENTS / "enable").write_text("1", encoding="ascii")
    try:
        user(report)
        if "--client" in sys.argv:
            client(report)
    finally:
        (EVENTS / "enable").write_text("0", encoding="ascii")
    print(f"1..{report.number}")
    return 1 if report.failed else 0


sys.exit(main())
