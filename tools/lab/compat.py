# SPDX-License-Identifier: GPL-2.0-only
"""What the SDK's headers over Boost are compiled with: each Boost, each language, each compiler, without a warning."""

import concurrent.futures
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import aptsource
import boost
import kernel
import packages
import paths
import proc
import results
from ui import LabError

STANDARDS = ("17", "20", "23")

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]

SDK = paths.CHECKOUT / "sdk"
INCLUDE = SDK / "include"
UAPI = paths.CHECKOUT / "drivers-char-shm" / "include" / "uapi"


@dataclass(frozen=True)
class Toolchain:
    """One way to compile."""

    boost: boost.Boost
    standard: str
    compiler: boost.Compiler

    def __str__(self):
        return f"Boost {self.boost.version}, C++{self.standard}, {self.compiler.name}"


@dataclass
class Choice:
    """What can be compiled with, and why not with the rest: {what is missing: why}."""

    boosts: list = field(default_factory=list)
    compilers: list = field(default_factory=list)
    missing: dict = field(default_factory=dict)

    def all(self):
        return [Toolchain(one, standard, compiler) for one in self.boosts for standard in STANDARDS for compiler in self.compilers]

    def slice(self):
        """One for each Boost, so that all languages and compilers come up."""
        count = len(self.compilers)
        return [Toolchain(one, STANDARDS[number % 3], self.compilers[(number + 1) % count]) for number, one in enumerate(self.boosts)] if count else []

    def skipped(self):
        return [results.skipped(name, why) for name, why in self.missing.items()]


def choose(newest=False):
    """Each Boost and each compiler that is to be had; NEWEST asks the archive for a newer Boost."""
    chosen = Choice()
    for name, get in (("the system's Boost", boost.system), (f"Boost {boost.MIDDLE}", boost.middle), ("the newest Boost", lambda: boost.newest(newest))):
        try:
            one = get()
            if one.version not in [other.version for other in chosen.boosts]:
                chosen.boosts.append(one)
        except LabError as err:
            chosen.missing[name] = str(err)
    for name, get in (("g++", lambda: "g++"), ("a current clang++", packages.clang)):
        try:
            chosen.compilers.append(boost.compiler(get()))
        except LabError as err:
            chosen.missing[name] = str(err)
    return chosen


class Verdicts:
    """Remembers what compiled without a warning, and from which contents of our files."""

    def __init__(self):
        self.directory = paths.make_dir(paths.cache() / "boost" / "verdicts")

    def digest(self, path):
        try:
            return hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError:
            return None

    def file(self, command, said):
        return self.directory / hashlib.sha256("\0".join([said, *map(str, command)]).encode()).hexdigest()[:32]

    def compile(self, command, said):
        """What the compiler, that says SAID of itself, has to complain about; '' when nothing has changed since it had nothing."""
        file = self.file(command, said)
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = {}
        if before and all(self.digest(path) == digest for path, digest in before.items()):
            return ""
        dependencies = file.with_suffix(".d")
        done = proc.attempt([*command, "-MMD", "-MT", "x", "-MF", dependencies], stdin=None)
        if done.returncode or "warning: " in done.stderr:
            file.unlink(missing_ok=True)
            return done.stderr or f"ended with {done.returncode}"
        words = dependencies.read_text(encoding="utf-8").replace("\\\n", " ").split()[1:]
        dependencies.unlink()
        paths.Stamp(file).write(json.dumps({word: self.digest(word) for word in words}))
        return ""


@dataclass
class Job:
    """Files to compile with one toolchain, as one test."""

    name: str
    toolchain: Toolchain
    sources: list
    words: tuple = ()
    mode: tuple = ("-fsyntax-only",)

    def commands(self):
        for source in self.sources:
            yield source, [
                self.toolchain.compiler.program, f"-std=c++{self.toolchain.standard}", *self.mode, *WARNINGS, *self.words,
                "-I", INCLUDE, *self.toolchain.boost.words(), source,
            ]  # fmt: skip


def headers():
    """The names of the headers over Boost, as a program includes them."""
    return sorted(str(path.relative_to(INCLUDE)) for path in (INCLUDE / "shm_kernel" / "interprocess").rglob("*.hpp"))


def test_sources():
    """The tests' sources that include one of them."""
    found = [path for path in sorted((SDK / "tests").rglob("*.cpp")) if "consumer" not in path.parts]
    return [path for path in found if re.search(r"#include <(shm_kernel|boost)/interprocess/", path.read_text(encoding="utf-8"))]


def tests_for(toolchain, tests):
    """Those of TESTS that TOOLCHAIN can compile: clang from 16 on takes for errors what Boost.MPL, and with it Boost.Chrono, did before 1.81."""
    if aptsource.number(toolchain.boost.version) >= (1, 81) or not toolchain.compiler.name.startswith("clang"):
        return tests
    return [path for path in tests if "#include <boost/chrono/" not in path.read_text(encoding="utf-8")]


def sources_for(names):
    """A source for each of the headers NAMES that includes it twice, and one that includes them all."""
    directory = paths.make_dir(paths.cache() / "boost" / "sources")
    found = []
    for name in names:
        # The second time finds a guard that does not.
        found.append(written(directory / f"{re.sub(r'[^a-z0-9]', '_', name)}.cpp", f"#include <{name}>\n" * 2))
    return found, written(directory / "all.cpp", "".join(f"#include <{name}>\n" for name in names))


def written(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path


def jobs(choice, thorough):
    """What is compiled: all headers together with everything; each alone and the tests with a slice of it, or THOROUGHLY with everything."""
    names = headers()
    alone, together = sources_for(names)
    tests = test_sources()
    found = [Job(f"{len(names)} headers together: {one}", one, [together]) for one in choice.all()]
    for one in choice.all() if thorough else choice.slice():
        found.append(Job(f"{len(alone)} headers alone: {one}", one, alone))
        possible = tests_for(one, tests)
        found.append(Job(f"{len(possible)} tests: {one}", one, possible, TEST_WORDS))
    if thorough:
        # Some warnings are the optimiser's.
        for one in choice.all():
            if one.standard == STANDARDS[0] and one.compiler == choice.compilers[0]:
                found.append(Job(f"{len(tests)} tests, optimised: {one}", one, tests, TEST_WORDS, OPTIMISED))
    return found


TEST_WORDS = ("-I", str(UAPI), "-I", str(SDK / "tests"))
OPTIMISED = ("-O2", "-DNDEBUG", "-c", "-o", os.devnull)


def run(thorough, progress, newest=False):
    """The Results of compiling with every toolchain that is to be had."""
    choice = choose(newest)
    verdicts = Verdicts()
    todo = jobs(choice, thorough)
    found = []
    with concurrent.futures.ThreadPoolExecutor(kernel.jobs()) as pool:
        waiting = []
        for job in todo:
            waiting.append([(source, pool.submit(verdicts.compile, command, job.toolchain.compiler.said)) for source, command in job.commands()])
        try:
            for number, (job, answers) in enumerate(zip(todo, waiting), 1):
                progress(f"[{number}/{len(todo)}] {job.toolchain}")
                found.append(judge(job, {source: answer.result() for source, answer in answers}))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [*found, *choice.skipped()]


def judge(job, answers):
    bad = {source: said for source, said in answers.items() if said}
    if not bad:
        return results.passed(job.name)
    lines = []
    for source, said in bad.items():
        complaints = [line for line in said.splitlines() if re.search(r"(error|warning): ", line)] or said.splitlines()
        lines += [f"{source.name}: {len(complaints)} complaints", *complaints[:3]]
    return results.failed(job.name, "\n".join(lines))
