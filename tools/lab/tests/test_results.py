# SPDX-License-Identifier: GPL-2.0-only
"""Reading the output of test programs."""

import contextlib
import io
import unittest

import results
from results import FAILED, PASSED, SKIPPED

HARNESS = """\
TAP version 13
1..4
# Starting 4 tests from 1 test cases.
#  RUN           global.good ...
#            OK  global.good
ok 1 global.good
#  RUN           global.bad ...
# x.c:7:bad:Expected 1 (1) == 2 (2)
# bad: Test failed
#          FAIL  global.bad
not ok 2 global.bad
#  RUN           global.none ...
#      SKIP      no hugetlb here
ok 3 global.none # SKIP no hugetlb here
#  RUN           global.last ...
#            OK  global.last
ok 4 - global.last
# FAILED: 3 / 4 tests passed.
"""

KTAP = """\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: shm_kernel
    # module: shm_kernel_driver_kunit
    1..3
    ok 1 name_ok
        KTAP version 1
        # Subtest: sizes
        ok 1 zero
        # sizes: EXPECTATION FAILED at drivers/char/x.c:12
        not ok 2 huge
    # sizes: pass:1 fail:1 skip:0 total:2
    not ok 2 sizes
    ok 3 ranges # SKIP later
# shm_kernel: pass:1 fail:1 skip:1 total:3
not ok 1 shm_kernel
"""

SHELL = """\
TAP version 13
ok 1 - first
not ok 2 - second
# exit status 3
# said this
ok 3 - third
1..3
"""

GTEST = """\
[==========] Running 4 tests from 1 test suite.
[ RUN      ] region.opens
[       OK ] region.opens (3 ms)
[ RUN      ] region.fails
x.cpp:12: Failure
Value of: a
[  FAILED  ] region.fails (0 ms)
[ RUN      ] region.skips
x.cpp:20: Skipped
no device

[  SKIPPED ] region.skips (0 ms)
[ RUN      ] sizes/region.param/0
noise without a newline[       OK ] sizes/region.param/0 (0 ms)
[==========] 4 tests from 1 test suite ran.
[  PASSED  ] 2 tests.
[  FAILED  ] 1 test, listed below:
[  FAILED  ] region.fails
"""


def summary(found):
    return [(result.name, result.status) for result in found]


class Tap(unittest.TestCase):
    def test_reads_the_kselftest_harness(self):
        found = results.parse_tap(HARNESS)
        self.assertEqual(summary(found), [("global.good", PASSED), ("global.bad", FAILED), ("global.none", SKIPPED), ("global.last", PASSED)])
        self.assertIn("Expected 1", found[1].detail)
        self.assertNotIn("RUN", found[1].detail)
        self.assertEqual(found[2].detail, "no hugetlb here")

    def test_reads_nested_ktap(self):
        found = results.parse_tap(KTAP)
        self.assertEqual(
            summary(found),
            [
                ("shm_kernel/name_ok", PASSED),
                ("shm_kernel/sizes/zero", PASSED),
                ("shm_kernel/sizes/huge", FAILED),
                ("shm_kernel/ranges", SKIPPED),
            ],
        )
        self.assertIn("EXPECTATION FAILED", found[2].detail)

    def test_reads_shell_scripts_that_explain_afterwards(self):
        found = results.parse_tap(SHELL)
        self.assertEqual(summary(found), [("first", PASSED), ("second", FAILED), ("third", PASSED)])
        self.assertIn("said this", found[1].detail)

    def test_a_parent_that_fails_by_itself_counts(self):
        found = results.parse_tap("    ok 1 child\nnot ok 1 parent\n")
        self.assertEqual(summary(found), [("parent/child", PASSED), ("parent", FAILED)])

    def test_missing_tests_are_a_failure(self):
        found = results.parse_tap("TAP version 13\n1..3\nok 1 a\n", "prog")
        self.assertEqual(summary(found), [("a", PASSED), ("prog: plan", FAILED)])

    def test_missing_nested_tests_are_a_failure(self):
        found = results.parse_tap("1..1\n    1..2\n    ok 1 a\nok 1 suite\n", "prog")
        self.assertEqual(summary(found), [("suite/a", PASSED), ("suite/suite: plan", FAILED)])

    def test_bail_out_is_a_failure(self):
        self.assertIn(("prog", FAILED), summary(results.parse_tap("1..2\nok 1 a\nok 2 b\nBail out! no device\n", "prog")))

    def test_a_skipped_program_is_one_skip_with_its_reason(self):
        found = results.parse_tap("TAP version 13\n1..0 # SKIP fio is not installed\n", "fio")
        self.assertEqual(summary(found), [("fio", SKIPPED)])
        self.assertEqual(found[0].detail, "fio is not installed")

    def test_an_expected_failure_passes(self):
        self.assertEqual(summary(results.parse_tap("not ok 1 a # XFAIL known\n1..1\n")), [("a", PASSED)])


class GoogleTest(unittest.TestCase):
    def test_reads_each_test(self):
        found = results.parse_gtest(GTEST)
        self.assertEqual(
            summary(found),
            [("region.opens", PASSED), ("region.fails", FAILED), ("region.skips", SKIPPED), ("sizes/region.param/0", PASSED)],
        )
        self.assertIn("Value of: a", found[1].detail)
        self.assertEqual(found[2].detail, "no device")

    def test_a_crash_fails_the_test_that_ran(self):
        found = results.parse_gtest("[ RUN      ] a.b\nhello\n")
        self.assertEqual(summary(found), [("a.b", FAILED)])
        self.assertIn("hello", found[0].detail)


class Programs(unittest.TestCase):
    def test_exit_status_says_all(self):
        for status, expected in ((0, PASSED), (1, FAILED), (4, SKIPPED), (77, SKIPPED), (139, FAILED)):
            with self.subTest(status=status):
                self.assertEqual(summary(results.read_program("exit", "p", status, "text\n")), [("p", expected)])

    def test_a_signal_is_named(self):
        self.assertIn("signal 11", results.read_program("exit", "p", 139, "")[0].detail)

    def test_recognises_googletest(self):
        self.assertEqual(len(results.read_program("exit", "p", 1, GTEST)), 4)

    def test_recognises_tap(self):
        self.assertEqual(len(results.read_program("exit", "p", 1, SHELL)), 3)

    def test_a_tap_program_without_tests_fails(self):
        self.assertEqual(summary(results.read_program("tap", "p", 0, "")), [("p", FAILED)])

    def test_a_bad_status_after_good_tests_fails(self):
        self.assertEqual(summary(results.read_program("tap", "p", 139, "1..1\nok 1 a\n")), [("a", PASSED), ("p: exit status", FAILED)])


class Report(unittest.TestCase):
    def report(self, found):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            report = results.Report(verbose=False)
            report.suite("host/x", found, 1.0)
            status = report.finish()
        return status, said.getvalue().splitlines()

    def test_the_last_line_counts(self):
        status, lines = self.report([results.passed("a"), results.failed("b", "why"), results.skipped("c", "reason")])
        self.assertEqual(lines[-1], "1 passed, 1 failed, 1 skipped")
        self.assertEqual(status, 1)
        self.assertTrue(any("reason" in line for line in lines))
        self.assertTrue(any("why" in line for line in lines))

    def test_all_passed_is_success(self):
        status, lines = self.report([results.passed("a")])
        self.assertEqual((status, lines[-1]), (0, "1 passed, 0 failed, 0 skipped"))


class Headlines(unittest.TestCase):
    def test_are_shown_where_results_are_not(self):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            results.Report(verbose=False).suite("uml/x", [results.passed("a"), results.passed("lockdep", "lockdep awake")], 1)
        self.assertRegex(said.getvalue(), r"uml/x: 2 passed, lockdep awake")


if __name__ == "__main__":
    unittest.main()
