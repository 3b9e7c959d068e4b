# SPDX-License-Identifier: GPL-2.0-only
"""What a guest left behind, and whether lockdep was awake."""

import tempfile
import types
import unittest
from pathlib import Path

import runner
from results import FAILED, PASSED

UML = types.SimpleNamespace(variant=types.SimpleNamespace(arch="um"))
X86 = types.SimpleNamespace(variant=types.SimpleNamespace(arch="x86_64"))


class Left(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.leave("stats.before", "regions 1\n")
        self.leave("stats.after", "regions 1\n")
        self.leave("rmmod.status", "0\n")
        self.leave("nodes", "")
        self.leave("lockdep", "1\n")

    def leave(self, name, text):
        (self.directory / name).write_text(text, encoding="ascii")

    def results(self, build=UML):
        run = runner.GuestRun(build, [])
        run.collect(self.directory)
        return {result.name: result.status for result in run.found}

    def test_nothing(self):
        self.assertEqual(self.results(), {"live objects": PASSED, "rmmod": PASSED, "lockdep": PASSED})

    def test_a_region(self):
        self.leave("stats.after", "regions 2\n")
        self.assertEqual(self.results()["live objects"], FAILED)

    def test_a_module(self):
        self.leave("nodes", "/sys/module/shm_kernel_sched\n")
        self.assertEqual(self.results()["rmmod"], FAILED)

    def test_lockdep_asleep(self):
        self.leave("lockdep", "0\n")
        self.assertEqual(self.results()["lockdep"], FAILED)

    def test_a_guest_that_ended_early(self):
        (self.directory / "lockdep").unlink()
        self.assertEqual(self.results()["lockdep"], FAILED)

    def test_a_kernel_without_lockdep(self):
        (self.directory / "lockdep").unlink()
        self.assertNotIn("lockdep", self.results(X86))


class OnHost(unittest.TestCase):
    def test_what_a_program_started_ends_with_its_time(self):
        with tempfile.TemporaryDirectory() as directory:
            pid = Path(directory) / "pid"
            program = runner.Program("x", ["sh", "-c", f"sleep 60 & echo $! >{pid}; echo said; wait"], "exit", 1)
            (found,) = runner.on_host([program], lambda _: None)
            self.assertEqual(found.status, FAILED)
            self.assertIn("said", found.detail)
            # A zombie until its new parent has looked.
            state = Path(f"/proc/{pid.read_text(encoding='ascii').strip()}/stat")
            self.assertTrue(not state.exists() or " Z " in state.read_text(encoding="ascii"))

    def test_a_status_is_passed_on(self):
        self.assertEqual(runner.run_on_host(runner.Program("x", ["sh", "-c", "echo a; exit 3"], "exit"))[:2], (3, b"a\n"))


class Controls(unittest.TestCase):
    def test_lockdep_is_on_for_every_plant_that_needs_it(self):
        """What switches it off is the last plant of a guest, but for those that KASAN alone finds."""
        for guests in runner.CONTROLS.values():
            for plants in guests:
                names = [name for name, _ in plants]
                self.assertTrue(all("lock" not in name for name in names[:-1]), names)


if __name__ == "__main__":
    unittest.main()
