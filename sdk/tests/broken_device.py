#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
#
# Do the tests notice a driver that is wrong?
#
# Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
"""Runs test programs with each defect of broken_device.cpp until a test of one fails.

  broken_device.py LIBRARY PROGRAM...

LIBRARY is broken_device.cpp, compiled. Prints TAP: a test for each program that has to pass without a defect, and
one for each defect that has to be noticed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

DEFECTS = {
    "round-size": "st_size is rounded to whole pages",
    "ignore-shrink": "ftruncate() to less does nothing",
    "ignore-grow": "ftruncate() to more does nothing",
    "dirty-growth": "bytes that are added are not zero",
    "lose-create-eexist": "CREATE with a name that is taken succeeds",
    "lose-bind-eexist": "BIND to a name that is taken succeeds",
    "enoent-for-eacces": "OPEN says that there is no region when it may not be opened",
    "writable-map": "a read-only descriptor can be mapped for writing",
    "writable-mprotect": "a read-only mapping can be made writable",
    "always-writable": "OPEN gives a writable descriptor to who asks for a read-only one",
    "keep-names": "names outlive their last user",
    "ignore-remove": "REMOVE does nothing",
    "lose-tag": "the tag is not kept",
    "ignore-seals": "seals do nothing",
    "inherit": "descriptors are not closed by exec",
    "no-fsync": "msync() fails",
}

TIMEOUT = 120

# With a defect a test may wait for what never comes, which is as good as a failure.
PATIENCE = 30


def failed_tests(program, library, defect=None, timeout=TIMEOUT):
    """The tests of PROGRAM that fail; what became of the program if it did not end well without one."""
    environment = dict(os.environ, LD_PRELOAD=str(library))
    if defect:
        environment["SHM_KERNEL_BROKEN"] = defect
    try:
        words = [program, *(["--gtest_fail_fast"] if defect else [])]
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, check=False)
    except subprocess.TimeoutExpired as err:
        running = re.findall(r"^\[ RUN      \] (\S+)", (err.stdout or b"").decode("utf-8", "replace"), re.M)
        return [f"{running[-1] if running else program.name} does not end"]
    failed = list(dict.fromkeys(re.findall(r"^\[  FAILED  \] ([\w/.]+)[, ]", done.stdout, re.M)))
    if failed or not done.returncode:
        return failed
    running = re.findall(r"^\[ RUN      \] (\S+)", done.stdout, re.M)
    return [f"{running[-1] if running else program.name} ends with {done.returncode}"]


def main(words):
    if len(words) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    library, programs = Path(words[0]), [Path(word) for word in words[1:]]
    print(f"1..{len(programs) + len(DEFECTS)}", flush=True)
    number = bad = 0
    usable = []
    for program in programs:
        number += 1
        failed = failed_tests(program, library)
        bad += bool(failed)
        usable += [] if failed else [program]
        print(f"{'not ok' if failed else 'ok'} {number} - {program.name} passes without a defect", flush=True)
        for name in failed:
            print(f"# {name}")
    for defect, meaning in DEFECTS.items():
        number += 1
        noticed = ""
        for program in usable:
            failed = failed_tests(program, library, defect, PATIENCE)
            if failed:
                noticed = f"{program.name} {failed[0]}"
                break
        bad += not noticed
        print(f"{'ok' if noticed else 'not ok'} {number} - {defect}, {meaning}: {f'noticed by {noticed}' if noticed else 'nothing notices'}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
