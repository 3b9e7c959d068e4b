#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compiles and runs the complete C programs of pages, and compares what they print with what the page says.

A program is a C code block with a main() function; what it prints is the literal block that follows "It prints::". Run
where the driver is loaded. CC is the compiler, KHDR_INCLUDES what it needs to find <linux/shm_kernel.h>.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

PAGES = [Path(__file__).resolve().parent / "userspace-api" / "shm_kernel.rst"]


def blocks(text):
    """(line, kind, content) of each indented block; KIND is what introduces it."""
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        if not re.search(r"::( c)?$", lines[i]):
            i += 1
            continue
        kind = lines[i].strip()
        start = i = i + 1
        while i < len(lines) and (not lines[i].strip() or lines[i][0].isspace()):
            i += 1
        yield start, kind, textwrap.dedent("\n".join(lines[start:i])).strip("\n") + "\n"


def programs(page):
    """(name, source, output) of each complete program of PAGE."""
    found = []
    for line, kind, content in blocks(page.read_text(encoding="utf-8")):
        if kind == ".. code-block:: c" and "int main(" in content:
            found.append([f"{page.name}, line {line + 2}", content, None])
        elif kind == "It prints::" and found and found[-1][2] is None:
            found[-1][2] = content
    return found


def run(source, output, directory):
    """What is wrong, or None."""
    program = directory / "example"
    command = [*shlex.split(os.environ.get("CC", "cc")), *shlex.split(os.environ.get("KHDR_INCLUDES", ""))]
    command += ["-Wall", "-Wextra", "-Werror", "-pthread", "-o", program, "-x", "c", "-"]
    env = dict(os.environ, TMPDIR=str(directory))
    done = subprocess.run(command, input=source, env=env, text=True, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        return done.stderr
    try:
        done = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "it does not end"
    if done.returncode:
        return f"exit status {done.returncode}\n{done.stdout}"
    if done.stdout != output:
        return f"it prints\n{done.stdout}and not\n{output}"
    return None


def main(names):
    examples = [example for page in map(Path, names or PAGES) for example in programs(page)]
    print(f"TAP version 13\n1..{len(examples)}")
    failed = not examples
    for number, (name, source, output) in enumerate(examples, 1):
        with tempfile.TemporaryDirectory(dir="/run" if os.access("/run", os.W_OK) else None) as directory:
            wrong = run(source, output, Path(directory))
        print(f"{'not ok' if wrong else 'ok'} {number} - the program of {name}")
        if wrong:
            failed = True
            print(textwrap.indent(wrong, "# "), end="" if wrong.endswith("\n") else "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
