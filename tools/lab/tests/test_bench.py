# SPDX-License-Identifier: GPL-2.0-only
"""Tests of lab bench without a guest: what it reads, judges, gates and writes."""

import contextlib
import dataclasses
import io
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bench  # noqa: E402
from ui import LabError  # noqa: E402

OUTPUT = """\
SeaBIOS (version 1)
# kernel 7.3.4
# config 0123456789ab
# empty 3
row copy_1m floor 131072 131078 131080 131090 20
row pread_1m region 131500 131600 131700 140000 50
row pread_1m memfd 236000 236600 236700 237000 50
row mmap_munmap_16m region 9000 9100 9200 9300 200
row mmap_munmap_16m memfd 11000 11700 11800 11900 200
row mmap_munmap_16m memfd_thp 10000 10300 10400 10500 200
none pread_1m dma_heap a dma-buf has none
# done
GUEST-RC=0
"""

INTERPROCESS = """\
# kernel 7.3.4
# config 0123456789ab
# boost 1.74
row find shm_kernel 460.00 461.50 462.00 462.00 3
row find Boost 1900.00 1909.00 1910.00 1910.00 3
none segment_open shm_kernel needs the driver
# done
"""


def parsed(text=OUTPUT):
    with mock.patch.object(bench, "compiler", return_value="gcc 1"):
        return bench.parse(text)


class Parsing(unittest.TestCase):
    def test_rows(self):
        result = parsed()
        self.assertEqual((result["kernel"], result["config"]), ("7.3.4", "0123456789ab"))
        self.assertEqual(bench.median(result, "pread_1m", "region"), 131600)
        self.assertEqual(result["rows"]["pread_1m"]["memfd"]["p90"], 236700)
        self.assertEqual(result["none"], {"pread_1m": {"dma_heap": "a dma-buf has none"}})

    def test_interprocess(self):
        result = parsed(INTERPROCESS)
        self.assertEqual((bench.median(result, "find", "shm_kernel"), result["boost"]), (461.5, "1.74"))
        self.assertEqual(result["none"], {"segment_open": {"shm_kernel": "needs the driver"}})

    def test_which_program(self):
        self.assertTrue(bench.begins_a_row("queue", bench.INTERPROCESS_GROUPS))
        self.assertFalse(bench.begins_a_row("queue", bench.KERNEL_GROUPS))
        self.assertTrue(bench.begins_a_row(None, bench.KERNEL_GROUPS))

    def test_unfinished_run(self):
        with self.assertRaisesRegex(LabError, "did not get to its end"):
            parsed(OUTPUT.replace("# done\n", ""))

    def test_driver_not_loaded(self):
        with self.assertRaisesRegex(LabError, "did not load"):
            parsed("# insmod failed\n" + OUTPUT)


class Goals(unittest.TestCase):
    def verdicts(self, text=OUTPUT):
        return {goal["key"]: goal for goal in bench.judge(parsed(text))}

    def test_only_what_was_measured(self):
        self.assertEqual(set(self.verdicts()), {"pread_1m/region/memfd", "pread_1m/region/copy_1m", "mmap_munmap_16m/region/the best peer"})

    def test_best_peer_is_not_ours(self):
        goal = self.verdicts()["mmap_munmap_16m/region/the best peer"]
        self.assertEqual(goal["theirs"], 10300)
        self.assertTrue(goal["met"])

    def test_missed(self):
        worse = self.verdicts(OUTPUT.replace("131500 131600", "131500 135000"))
        self.assertFalse(worse["pread_1m/region/memfd"]["met"])
        self.assertFalse(worse["pread_1m/region/copy_1m"]["met"])

    def test_every_goal_names_rows_and_peers(self):
        for goal in bench.GOALS:
            self.assertIn(goal.row, bench.ROWS)
            self.assertIn(goal.ours, bench.OURS)
            self.assertTrue(goal.peer == bench.BEST_PEER or goal.peer in bench.PEERS)
            self.assertTrue(not goal.peer_row or goal.peer_row in bench.ROWS)
        for key in bench.WHY:
            self.assertIn(key, {goal.key for goal in bench.GOALS})


class Files(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.kernel, self.interprocess = [
            dataclasses.replace(place, page=self.directory / f"page{i}", baseline=self.directory / f"baseline{i}") for i, place in enumerate(bench.PLACES)
        ]
        patch = mock.patch.object(bench, "PLACES", [self.kernel, self.interprocess])
        patch.start()
        self.addCleanup(patch.stop)

    def gate(self, text):
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            worse = bench.gate(parsed(text))
        return worse, said.getvalue()

    def test_gate(self):
        bench.store(parsed())
        self.assertEqual(self.gate(OUTPUT), (0, ""))
        # One percent is allowed, more is not.
        self.assertEqual(self.gate(OUTPUT.replace(" 9100 ", " 9191 "))[0], 0)
        worse, said = self.gate(OUTPUT.replace(" 9100 ", " 9192 "))
        self.assertEqual(worse, 1)
        self.assertIn("mmap_munmap_16m/region: 9100 -> 9192", said)

    def test_gate_better(self):
        bench.store(parsed())
        worse, said = self.gate(OUTPUT.replace(" 9100 ", " 8000 "))
        self.assertEqual(worse, 0)
        self.assertIn("better than stored", said)

    def test_gate_peer_changed(self):
        bench.store(parsed())
        worse, said = self.gate(OUTPUT.replace(" 11700 ", " 12700 "))
        self.assertEqual(worse, 0)
        self.assertIn("a peer has changed", said)

    def test_gate_other_kernel(self):
        bench.store(parsed())
        worse, said = self.gate(OUTPUT.replace("# kernel 7.3.4", "# kernel 7.3.5"))
        self.assertEqual(worse, 0)
        self.assertIn("nothing is stored", said)

    def test_each_baseline_has_its_rows(self):
        bench.store(parsed())
        self.assertFalse(self.interprocess.baseline.exists())
        bench.store(parsed(INTERPROCESS))
        self.assertEqual(self.gate(INTERPROCESS), (0, ""))
        self.assertEqual(self.gate(INTERPROCESS.replace(" 461.50 ", " 500.00 "))[0], 1)
        self.assertIn("nothing is stored", self.gate(INTERPROCESS.replace("boost 1.74", "boost 1.83"))[1])
        self.assertEqual(self.gate(OUTPUT), (0, ""))

    def test_page(self):
        for place in bench.PLACES:
            place.page.write_text(f"before\n\n{bench.BEGIN}\nold\n{bench.END}\n\nafter\n", encoding="utf-8")
        result = parsed()
        result["rows"].update(parsed(INTERPROCESS)["rows"])
        for _ in range(2):
            bench.write_pages(result, bench.judge(result))
        text = self.kernel.page.read_text(encoding="utf-8")
        self.assertTrue(text.startswith("before\n") and text.endswith("after\n"))
        self.assertNotIn("old", text)
        self.assertEqual(text.count("pread 1 MiB"), 3)
        self.assertNotIn("find", text)
        other = self.interprocess.page.read_text(encoding="utf-8")
        self.assertEqual(other.count("find one of 1e5"), 2)
        self.assertNotIn("pread", other)

    def test_page_without_marks(self):
        self.kernel.page.write_text("nothing\n", encoding="utf-8")
        with self.assertRaisesRegex(LabError, "marks"):
            bench.write_pages(parsed(), [])


class Text(unittest.TestCase):
    def test_short(self):
        self.assertEqual([bench.short(v) for v in (None, 526, 9999, 39860, 2_324_000)], ["-", "526", "9999", "39.86k", "2.324M"])

    def test_rst_is_a_table(self):
        text = bench.as_rst([["", "a"], ["row", "1"]])
        self.assertEqual(text.splitlines(), ["===  =", "\\    a", "===  =", "row  1", "===  ="])


if __name__ == "__main__":
    unittest.main()
