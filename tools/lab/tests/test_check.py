# SPDX-License-Identifier: GPL-2.0-only
"""What the litmus check makes of herd7's answers."""

import os
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

import check
import paths
from results import FAILED, PASSED, SKIPPED
from ui import LabError

TEST = "C x\n\n(*\n * Result: {}\n *)\n"


class Litmus(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)
        (self.top / "drivers-char-shm" / "litmus").mkdir(parents=True)
        (self.top / "tools" / "memory-model").mkdir(parents=True)
        patch = mock.patch.object(paths, "CHECKOUT", self.top)
        patch.start()
        self.addCleanup(patch.stop)

    def judge(self, text, says, status=0):
        """The one Result for a litmus test with TEXT of which herd7 SAYS something."""
        (self.top / "drivers-char-shm" / "litmus" / "x.litmus").write_text(text, encoding="utf-8")
        herd = self.top / "herd7"
        herd.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {status}\n", encoding="utf-8")
        herd.chmod(0o755)
        with mock.patch.dict(os.environ, PATH=f"{self.top}:{os.environ['PATH']}"):
            (found,) = check.litmus(types.SimpleNamespace(tree=self.top))
        return found

    def test_what_was_wanted_passes(self):
        for result in ("Never", "Sometimes", "Always"):
            with self.subTest(result):
                self.assertEqual(self.judge(TEST.format(result), f"Observation x {result} 0 3").status, PASSED)

    def test_anything_else_fails(self):
        found = self.judge(TEST.format("Never"), "Observation x Sometimes 1 3")
        self.assertEqual(found.status, FAILED)
        self.assertIn("Observation x Sometimes 1 3", found.detail)

    def test_no_answer_fails(self):
        self.assertEqual(self.judge(TEST.format("Never"), "", status=2).status, FAILED)

    def test_a_data_race_fails(self):
        self.assertEqual(self.judge(TEST.format("Never"), "Flag data-race\nObservation x Never 0 3").status, FAILED)

    def test_a_test_that_wants_nothing_fails(self):
        self.assertEqual(self.judge("C x\n", "Observation x Never 0 3").status, FAILED)

    def test_no_tests_fail(self):
        (found,) = check.litmus(types.SimpleNamespace(tree=self.top))
        self.assertEqual(found.status, FAILED)

    def test_no_herd_is_a_skip_with_the_reason(self):
        (self.top / "drivers-char-shm" / "litmus" / "x.litmus").write_text(TEST.format("Never"), encoding="utf-8")
        with mock.patch.object(check, "herd", side_effect=LabError("no network")):
            (found,) = check.litmus(types.SimpleNamespace(tree=self.top))
        self.assertEqual(found.status, SKIPPED)
        self.assertIn("no network", found.detail)


if __name__ == "__main__":
    unittest.main()
