# SPDX-License-Identifier: GPL-2.0-only
"""What the lab says, in one line, and how it exits when something is missing or breaks."""

import contextlib
import io
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import cli
import guests
import kernel
import packages
import patches
import paths
import source
from ui import LabError

QUIET_CONSOLE = "[    0.000000] Linux version 7.3.4\n"
OOPS_CONSOLE = QUIET_CONSOLE + "[    1.000000] Oops: 0000 [#1] SMP\n[    1.000000] Kernel panic - not syncing: Fatal exception\n"


def lab(*words):
    """(exit status, what it said on standard error) of the command line WORDS."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), mock.patch("signal.signal"):
        try:
            status = cli.main(list(words))
        except SystemExit as leave:
            status = leave.code
    return status, said.getvalue()


class Scratch(unittest.TestCase):
    """A cache and a patches/ of the test's own."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        for patch in (
            mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(self.directory / "cache")}),
            mock.patch.object(paths, "PATCHES", self.directory / "patches"),
            mock.patch.object(packages, "ensure", lambda *groups: None),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def write(self, name, text=""):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def tree(self, version="7.3", **files):
        major, minor = version.split(".")
        self.write("tree/Makefile", f"VERSION = {major}\nPATCHLEVEL = {minor}\n")
        self.write("tree/Kconfig")
        self.write("tree/drivers/char/Makefile", "obj-y += mem.o\n")
        return self.directory / "tree"

    def series(self, context="obj-y += mem.o"):
        self.write(
            "patches/7.3/0001-add.patch",
            f"From 0 Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\nDate: Sat, 21 Nov 2026 00:00:00 +0000\nSubject: [PATCH] add\n\nbody\n---\n"
            f"diff --git a/drivers/char/Makefile b/drivers/char/Makefile\n--- a/drivers/char/Makefile\n+++ b/drivers/char/Makefile\n"
            f"@@ -1 +1,2 @@\n {context}\n+obj-m += shm_kernel_driver.o\n-- \n2.39\n",
        )


class OneLine(Scratch):
    def one_line(self, words, pattern, status):
        got, said = lab(*words)
        self.assertEqual(got, status, said)
        self.assertEqual(len(said.splitlines()), 1, said)
        self.assertRegex(said, pattern)
        self.assertNotIn("Traceback", said)

    def test_no_directory(self):
        self.one_line(["run", "--kernel", "/nonexistent", "--", "true"], "neither a kernel the lab knows .* nor a directory", guests.BROKEN)

    def test_no_kernel_tree(self):
        self.one_line(["run", "--kernel", str(self.directory), "--", "true"], "not a kernel source tree", guests.BROKEN)

    def test_unsupported_tree(self):
        self.series()
        tree = self.tree("5.10")
        self.one_line(["run", "--kernel", str(tree), "--", "true"], "is Linux 5.10, which is not supported: patches/ has a series for 7.3", guests.BROKEN)

    def test_a_known_base_without_a_series(self):
        self.series()
        self.one_line(["demo", "--kernel", "6.12"], r"Linux 6\.12: there is no series in patches/6\.12 \(there is one for 7\.3\)", 1)

    def test_no_series_at_all(self):
        self.one_line(["demo"], "no series in patches/7.3 yet", 1)

    def test_no_disk(self):
        self.series()
        with mock.patch("shutil.disk_usage", return_value=mock.Mock(free=5 << 20)):
            self.one_line(["demo"], "needs 2700 MiB .* has 5 MiB free", 1)

    def test_full_disk_in_the_middle(self):
        self.series()
        with mock.patch.object(source, "get", side_effect=OSError(28, "No space left on device", "/cache/x")):
            self.one_line(["demo"], "the disk is full: /cache/x", 1)

    def test_interrupted(self):
        with mock.patch.object(kernel, "build", side_effect=KeyboardInterrupt):
            self.one_line(["demo"], "interrupted", 130)

    def test_no_network(self):
        text = "Err:1 http://mirror.example.org trixie-backports InRelease\n  Could not resolve 'mirror.example.org'\nE: Failed to fetch http://mirror.example.org"
        self.assertIn("no network", str(packages.explain(text, "reading")))

    def test_no_root_and_no_sudo(self):
        with mock.patch("os.geteuid", return_value=1000), mock.patch("shutil.which", return_value=None):
            with self.assertRaisesRegex(LabError, "neither root nor sudo to install them; as root: apt-get install flex bison"):
                packages.install(["flex", "bison"])

    def test_usage(self):
        self.assertEqual(lab("nosuch")[0], 2)


class Packages(unittest.TestCase):
    def test_missing_is_what_dpkg_does_not_have(self):
        listed = mock.Mock(stdout="installed gcc\nnot-installed flex\nconfig-files bison\n")
        with mock.patch("shutil.which", return_value="/usr/bin/dpkg-query"), mock.patch("proc.attempt", return_value=listed):
            self.assertEqual(packages.missing(["gcc", "flex", "bison", "bc"]), ["flex", "bison", "bc"])

    def test_groups_do_not_repeat_a_package(self):
        names = packages.wanted(packages.GROUPS)
        self.assertEqual(len(names), len(set(names)))


class Apply(Scratch):
    def apply(self):
        series = patches.series_for("7.3", "the tree")
        patches.apply(series, self.directory / "tree", self.directory / "applied")
        return series

    def test_applies_and_leaves_the_tree_alone(self):
        self.tree()
        self.series()
        self.apply()
        self.assertEqual((self.directory / "tree/drivers/char/Makefile").read_text(), "obj-y += mem.o\n")
        self.assertIn("shm_kernel_driver.o", (self.directory / "applied/drivers/char/Makefile").read_text())

    def test_names_the_patch_and_the_file_that_do_not_fit(self):
        self.tree()
        self.series(context="obj-y += something_else.o")
        with self.assertRaisesRegex(LabError, r"^patches/7\.3/0001-add\.patch does not apply to drivers/char/Makefile$"):
            self.apply()

    def test_a_changed_series_has_another_digest(self):
        self.series()
        before = patches.series_for("7.3", "the tree").digest()
        self.series(context="other")
        self.assertNotEqual(before, patches.series_for("7.3", "the tree").digest())

    def test_a_newer_kernel_gets_the_newest_series(self):
        self.series()
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(patches.series_for("7.5", "the tree").base, "7.3")
        self.assertIn("warning", said.getvalue())

    def test_files_of_a_hard_linked_tree_are_replaced_not_written(self):
        self.tree()
        self.series()
        self.apply()
        tree, linked = self.directory / "tree", self.directory / "linked"
        (linked / "drivers/char").mkdir(parents=True)
        os.link(tree / "drivers/char/Makefile", linked / "drivers/char/Makefile")
        patches.put_into(self.directory / "applied", linked, tree, [])
        self.assertIn("shm_kernel_driver.o", (linked / "drivers/char/Makefile").read_text())
        self.assertNotIn("shm_kernel_driver.o", (tree / "drivers/char/Makefile").read_text())

    def test_what_a_series_has_no_more_goes_back(self):
        self.tree()
        self.series()
        self.apply()
        self.write("linked/drivers/char/gone.c", "x")
        self.write("linked/drivers/char/Makefile", "x")
        files = patches.put_into(self.directory / "applied", self.directory / "linked", self.directory / "tree", ["drivers/char/gone.c"])
        self.assertEqual(files, ["drivers/char/Makefile"])
        self.assertFalse((self.directory / "linked/drivers/char/gone.c").exists())


class GuestStatus(Scratch):
    """How a guest's end becomes an exit status."""

    def judge(self, status=None, console=QUIET_CONSOLE, broken="", **files):
        directory = self.directory / "guest"
        directory.mkdir(exist_ok=True)
        paths.make_dir(paths.cache())
        if status is not None:
            self.write("guest/status", f"{status}\n")
        for name, text in files.items():
            self.write(f"guest/{name}", text)
        return guests.Guest(build=None).judge(directory, console, broken, 1.0)

    def test_passes_the_commands_status_on(self):
        for status in (0, 1, 7, 124, 137, 255):
            with self.subTest(status=status):
                self.assertEqual(self.judge(status).exit_status(), status)

    def test_an_oops_is_125_with_the_console(self):
        outcome = self.judge(None, OOPS_CONSOLE)
        self.assertEqual(outcome.exit_status(), 125)
        self.assertIn("Oops", outcome.explain())

    def test_a_complaint_is_125_even_if_the_command_succeeded(self):
        self.assertEqual(self.judge(0, QUIET_CONSOLE + "[    1.0] WARNING: x at y\n").exit_status(), 125)

    def test_a_guest_that_just_ends_is_125(self):
        outcome = self.judge(None)
        self.assertEqual(outcome.exit_status(), 125)
        self.assertIn("Linux version", outcome.explain())

    def test_a_hang_is_125(self):
        self.assertEqual(self.judge(None, broken="the guest hangs").exit_status(), 125)

    def test_a_driver_that_does_not_load_says_why(self):
        console = QUIET_CONSOLE + "[    1.0] shm_kernel_driver: cannot make region 0\n"
        outcome = self.judge("insmod", console, insmod="insmod: ERROR: could not insert module x.ko: Invalid parameters\n")
        self.assertEqual(outcome.exit_status(), 125)
        self.assertRegex(outcome.explain(), r"^the driver did not load: shm_kernel_driver: cannot make region 0$")


class Words(unittest.TestCase):
    def test_assignments_survive_any_text(self):
        text = guests.assignments({"A": "it's $HOME `x` \"q\"\nnext"})
        done = os.popen(f"{text}\nprintf %s \"$A\"").read()
        self.assertEqual(done, "it's $HOME `x` \"q\"\nnext")

    def test_first_error_is_the_compilers(self):
        text = "  CC x.o\nx.c:5:1: error: no such thing\nmake[2]: *** [x.o] Error 1\n"
        self.assertEqual(kernel.first_error(text), "x.c:5:1: error: no such thing")


if __name__ == "__main__":
    sys.exit(unittest.main())
