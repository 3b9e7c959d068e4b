# SPDX-License-Identifier: GPL-2.0-only
"""Which Boost the lab uses, what it remembers of compiling, and what it makes of Boost's examples."""

import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import aptsource
import boost
import compat
import paths
from results import FAILED, PASSED, SKIPPED
from ui import LabError

VERSION = '#define BOOST_VERSION 1{0:03d}00\n#define BOOST_LIB_VERSION "1_{0}"\n'


class Scratch(unittest.TestCase):
    """A cache and a system of the test's own."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)
        self.fetched = []
        for patch in (
            mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(self.top / "cache")}),
            mock.patch.object(boost, "SYSTEM_INCLUDE", self.top / "include"),
            mock.patch.object(aptsource, "unpack_packages", self.unpack),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def headers(self, top, minor):
        (top / "boost").mkdir(parents=True)
        (top / "boost" / "version.hpp").write_text(VERSION.format(minor), encoding="ascii")

    def unpack(self, _apt, names, suites, _wanted, into):
        self.fetched.append((*names, *suites))
        self.headers(into / "usr" / "include", int(names[0].partition(".")[2].partition("-")[0]))

    def archive_has(self, *minors):
        return mock.patch.object(aptsource, "names_like", lambda *_: [f"libboost1.{minor}-dev" for minor in minors])


class Versions(Scratch):
    def test_the_system_has_its_own(self):
        self.headers(self.top / "include", 74)
        self.assertEqual(boost.system().version, "1.74")
        self.assertEqual(boost.system().words(), [])

    def test_a_system_without_is_told(self):
        with self.assertRaises(LabError):
            boost.system()

    def test_one_is_fetched_once(self):
        for _ in range(2):
            found = boost.middle()
            self.assertEqual(found.version, boost.MIDDLE)
            self.assertEqual(found.words(), ["-isystem", str(found.include)])
        self.assertEqual(len(self.fetched), 1)

    def test_the_newest_is_newer_by_number(self):
        with self.archive_has(74, 100, 92):
            self.assertEqual(boost.newest().version, "1.100")

    def test_the_newest_is_asked_for_once_and_on_demand(self):
        with self.archive_has(92):
            boost.newest()
        with self.archive_has(93):
            self.assertEqual(boost.newest().version, "1.92")
            self.assertEqual(boost.newest(again=True).version, "1.93")
            self.assertEqual(boost.newest().version, "1.93")

    def test_a_download_that_breaks_off_leaves_nothing(self):
        def broken(_apt, _names, _suites, _wanted, into):
            self.headers(into / "usr" / "include", 83)
            raise LabError("no network")

        with mock.patch.object(aptsource, "unpack_packages", broken), self.assertRaises(LabError):
            boost.middle()
        self.assertEqual([path.name for path in (boost.store() / boost.MIDDLE).iterdir()], [".lock"])
        boost.middle()

    def test_an_archive_without_is_told(self):
        with self.archive_has(), self.assertRaisesRegex(LabError, "libboost"):
            boost.newest()


class Matrix(Scratch):
    def choice(self):
        return compat.Choice([boost.Boost(version, Path("/x")) for version in ("1.74", "1.83", "1.92")], [boost.Compiler(name, name) for name in ("g++", "clang++-19")])

    def test_everything_with_everything(self):
        self.assertEqual(len({str(one) for one in self.choice().all()}), 18)

    def test_a_slice_has_each_of_each(self):
        chosen = self.choice().slice()
        self.assertEqual({one.boost.version for one in chosen}, {"1.74", "1.83", "1.92"})
        self.assertEqual({one.standard for one in chosen}, set(compat.STANDARDS))
        self.assertEqual(len({one.compiler.name for one in chosen}), 2)

    def test_what_is_missing_is_skipped_with_the_reason(self):
        self.headers(self.top / "include", 74)
        with mock.patch.object(boost, "newest", side_effect=LabError("no network")), mock.patch.object(compat.packages, "clang", lambda: sys.executable):
            chosen = compat.choose()
        self.assertEqual([one.version for one in chosen.boosts], ["1.74", "1.83"])
        (skip,) = chosen.skipped()
        self.assertEqual((skip.status, skip.detail), (SKIPPED, "no network"))

    def test_what_boost_itself_keeps_from_compiling_is_left_out(self):
        chrono, other = self.top / "chrono.cpp", self.top / "other.cpp"
        chrono.write_text("#include <boost/chrono/duration.hpp>\n", encoding="ascii")
        other.touch()
        for one in self.choice().all():
            left_out = one.boost.version == "1.74" and one.compiler.name == "clang++-19"
            self.assertEqual(compat.tests_for(one, [chrono, other]), [other] if left_out else [chrono, other], one)

    def test_the_same_version_counts_once(self):
        self.headers(self.top / "include", 83)
        with self.archive_has(83):
            self.assertEqual(len(compat.choose().boosts), 1)

    def test_sources_of_headers_are_written_when_they_change(self):
        alone, together = compat.sources_for(["a/b.hpp", "a/c.hpp"])
        self.assertEqual(len(alone), 2)
        self.assertEqual(together.read_text(encoding="utf-8"), "#include <a/b.hpp>\n#include <a/c.hpp>\n")
        before = together.stat().st_mtime_ns
        compat.sources_for(["a/b.hpp", "a/c.hpp"])
        self.assertEqual(together.stat().st_mtime_ns, before)


class Remembered(Scratch):
    def setUp(self):
        super().setUp()
        self.header = self.top / "x.hpp"
        self.header.write_text("int x;\n", encoding="ascii")
        self.source = self.top / "x.cpp"
        self.source.write_text(f'#include "{self.header}"\n', encoding="ascii")
        self.runs = self.top / "runs"
        self.compiler = self.top / "compiler"
        self.warns = self.top / "warns"
        # Writes what make wants, and warns when it is told to.
        self.compiler.write_text(
            f'#!/bin/sh\necho >>{self.runs}\nfor word; do last=$word; done\necho "x: {self.source} {self.header}" >"$last"\n'
            f'[ ! -e {self.warns} ] || echo "x.hpp:1: warning: x is unused" >&2\n',
            encoding="ascii",
        )
        self.compiler.chmod(0o755)

    def compile(self, said="compiler 1", *words):
        return compat.Verdicts().compile([self.compiler, *words, self.source], said)

    def count(self):
        return len(self.runs.read_text(encoding="ascii"))

    def test_what_compiled_is_not_compiled_again(self):
        self.assertEqual((self.compile(), self.compile()), ("", ""))
        self.assertEqual(self.count(), 1)

    def test_a_changed_header_is(self):
        self.compile()
        self.header.write_text("long x;\n", encoding="ascii")
        self.compile()
        self.assertEqual(self.count(), 2)

    def test_another_compiler_or_word_is(self):
        self.compile()
        self.compile("compiler 2")
        self.compile("compiler 1", "-std=c++20")
        self.assertEqual(self.count(), 3)

    def test_a_warning_is_never_remembered(self):
        self.warns.touch()
        self.assertIn("x is unused", self.compile())
        self.assertIn("x is unused", self.compile())
        self.warns.unlink()
        self.assertEqual(self.compile(), "")

    def test_a_complaint_fails_the_job(self):
        job = compat.Job("headers", None, [self.source])
        self.assertEqual(compat.judge(job, {self.source: ""}).status, PASSED)
        found = compat.judge(job, {self.source: "x.hpp:1: warning: x is unused\n"})
        self.assertEqual(found.status, FAILED)
        self.assertIn("x is unused", found.detail)


sys.path.insert(0, str(paths.CHECKOUT / "sdk" / "tests" / "boost"))
import examples  # noqa: E402  pylint: disable=wrong-import-position


class Examples(unittest.TestCase):
    def test_names_and_includes_are_replaced(self):
        text, used = examples.retarget("#include <boost/interprocess/managed_shared_memory.hpp>\nboost::interprocess::managed_shared_memory m;\nmessage_queue::remove(\"q\");\n")
        self.assertEqual(
            text, "#include <shm_kernel/interprocess/managed_kernel_memory.hpp>\nshm_kernel::managed_kernel_memory m;\nshm_kernel::kernel_message_queue::remove(\"q\");\n"
        )
        self.assertEqual(used, {"managed_shared_memory": "managed_kernel_memory", "message_queue": "kernel_message_queue"})

    def test_nothing_else_is(self):
        for text in ('f("message_queue");', "// named_mutex", "#include <boost/interprocess/mapped_region.hpp>", "int my_named_mutex;", "xsi_shared_memory x;"):
            with self.subTest(text):
                self.assertEqual(examples.retarget(text), (text, {}))

    def test_a_program_that_closes_everything_gets_a_name_that_stays(self):
        self.assertEqual(examples.retarget("message_queue q;", outliving=True)[0], "shm_kernel::persistent_kernel_message_queue q;")

    def test_what_has_nothing_to_replace_says_why(self):
        self.assertIn("System V", examples.reason("xsi_shared_memory shm;"))


if __name__ == "__main__":
    unittest.main()
