#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compiles and runs the programs of pages, and compares what they print with what the page says.

A program is a C or C++ code block with a main() function; what it prints is the literal block that follows "It prints::".
C++ code blocks without main() are compiled together, each as the body of a function; what they include is for all of them.

Run where the driver is loaded. CC and CXX are the compilers, KHDR_INCLUDES what C needs to find <linux/shm_kernel.h>, and
SDK_FLAGS what C++ needs for the SDK, if it is not installed.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGES = [HERE / "userspace-api" / "shm_kernel.rst", HERE / "sdk" / "migration.rst"]
LANGUAGES = {".. code-block:: c": "c", ".. code-block:: c++": "c++"}


@dataclass
class Example:
    """Something that is compiled and, if it has an output, run."""

    name: str
    language: str
    source: str
    output: str | None = None
    runs: bool = True


def blocks(text):
    """(line, kind, content) of each block; KIND is what introduces it. It may stand in a table."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        found = re.match(r"([ *-]*)(.*::(?: c(?:\+\+)?)?)$", line)
        if not found:
            continue
        end = i + 1
        while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > len(found[1])):
            end += 1
        yield i + 1, found[2], textwrap.dedent("\n".join(lines[i + 1 : end])).strip("\n") + "\n"


def examples(page):
    """The programs of PAGE, and its fragments as one more."""
    programs = []
    fragments = []
    for line, kind, content in blocks(page.read_text(encoding="utf-8")):
        language = LANGUAGES.get(kind)
        if language and "int main(" in content:
            programs.append(Example(f"the program of {page.name}, line {line + 2}", language, content))
        elif language == "c++":
            fragments.append((line + 2, content))
        elif kind == "It prints::":
            # Of programs side by side all print the same.
            for program in programs:
                if program.output is None:
                    program.output = content
    if fragments:
        programs.append(Example(f"the fragments of {page.name}", "c++", together(fragments), runs=False))
    return programs


def together(fragments):
    includes = {}
    functions = []
    for line, content in fragments:
        body = []
        for text in content.splitlines():
            if text.startswith("#include"):
                includes[text] = None
            else:
                body.append(text)
        functions += [f"void line_{line}();", f"void line_{line}()", "{", f"#line {line}", *body, "}"]
    return "\n".join([*includes, "namespace bip = boost::interprocess;", *functions, "int main() {}"]) + "\n"


def sdk_flags():
    flags = os.environ.get("SDK_FLAGS")
    if flags is None:
        done = subprocess.run(["pkg-config", "--cflags", "--libs", "shm_kernel-interprocess"], text=True, stdout=subprocess.PIPE, check=True)
        flags = done.stdout
    return shlex.split(flags)


def compiler(language):
    """The words before, and those after the source."""
    if language == "c":
        return [*shlex.split(os.environ.get("CC", "cc")), *shlex.split(os.environ.get("KHDR_INCLUDES", ""))], []
    return [*shlex.split(os.environ.get("CXX", "c++")), "-std=c++17"], sdk_flags()


def run(example, directory):
    """What is wrong, or None."""
    program = directory / "example"
    before, after = compiler(example.language)
    unused = [] if example.runs else ["-fsyntax-only", "-Wno-unused"]
    command = [*before, "-Wall", "-Wextra", "-Werror", *unused, "-pthread", "-o", program, "-x", example.language, "-", "-x", "none", *after]
    env = dict(os.environ, TMPDIR=str(directory))
    done = subprocess.run(command, input=example.source, env=env, text=True, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        return done.stderr
    if not example.runs:
        return None
    try:
        done = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "it does not end"
    if done.returncode:
        return f"exit status {done.returncode}\n{done.stdout}"
    if done.stdout != example.output:
        return f"it prints\n{done.stdout}and not\n{example.output}"
    return None


def main(names):
    found = [example for page in map(Path, names or PAGES) for example in examples(page)]
    print(f"TAP version 13\n1..{len(found)}")
    failed = not found
    for number, example in enumerate(found, 1):
        with tempfile.TemporaryDirectory(dir="/run" if os.access("/run", os.W_OK) else None) as directory:
            wrong = run(example, Path(directory))
        print(f"{'not ok' if wrong else 'ok'} {number} - {example.name}", flush=True)
        if wrong:
            failed = True
            print(textwrap.indent(wrong, "# "), end="" if wrong.endswith("\n") else "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
