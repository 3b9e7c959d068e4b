# SPDX-License-Identifier: GPL-2.0-only
"""Suites side by side: each runs once, what is shared is made once, and an interruption ends all."""

import contextlib
import io
import threading
import unittest
from unittest import mock

import guests
import results
import suites
from ui import LabError


class SideBySide(unittest.TestCase):
    def setUp(self):
        guests.STOPPING.clear()
        self.addCleanup(guests.STOPPING.clear)
        for patch in (
            mock.patch.object(guests, "poweroff_program", lambda: None),
            mock.patch.object(guests, "side_by_side", 1),
            mock.patch.object(suites.packages, "try_ensure", lambda *_: None),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def run_all(self, runs, jobs=2):
        """(exit status, what was printed) of suites {name: its run} in guests."""
        fake = [suites.Suite(name, run) for name, run in runs.items()]
        said = io.StringIO()
        with mock.patch.object(suites, "SUITES", fake), contextlib.redirect_stdout(said):
            status = suites.run_all(suites.Context(None, False, True), [], False, False, jobs)
        return status, said.getvalue()

    def test_two_run_at_a_time(self):
        both = threading.Barrier(2, timeout=10)

        def meet(*_):
            both.wait()
            return [results.passed("met")]

        status, said = self.run_all({"one": meet, "two": meet})
        self.assertEqual(status, 0, said)
        self.assertIn("2 passed, 0 failed", said)
        self.assertEqual(guests.side_by_side, 2)

    def test_one_at_a_time_when_told(self):
        running = []

        def alone(*_):
            running.append(1)
            self.assertEqual(len(running), 1)
            running.pop()
            return [results.passed("alone")]

        status, said = self.run_all({"one": alone, "two": alone, "three": alone}, 1)
        self.assertEqual(status, 0, said)

    def test_one_that_cannot_run_fails_and_the_others_go_on(self):
        def broken(*_):
            raise LabError("no kernel")

        status, said = self.run_all({"one": broken, "two": lambda *_: [results.passed("x")], "three": lambda *_: []})
        self.assertEqual(status, 1)
        self.assertIn("no kernel", said)
        self.assertIn("it has no tests", said)
        self.assertIn("1 passed, 2 failed, 0 skipped", said)

    def test_what_two_need_is_made_once(self):
        made = []

        def need(context, *_):
            context.once("thing", lambda: made.append(1) or "made")
            return [results.passed("has it")]

        self.run_all({"one": need, "two": need})
        self.assertEqual(made, [1])

    def test_a_failure_to_make_it_is_told_to_both(self):
        def need(context, *_):
            context.once("thing", mock.Mock(side_effect=LabError("no compiler")))

        status, said = self.run_all({"one": need, "two": need})
        self.assertEqual(said.count("no compiler"), 2)
        self.assertEqual(status, 1)

    def test_an_interruption_ends_the_others(self):
        started = threading.Event()

        def guest(*_):
            started.set()
            if not guests.STOPPING.wait(10):
                self.fail("it was not told to stop")
            raise LabError("stopped")

        def interrupted(*_):
            started.wait(10)
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.run_all({"one": guest, "two": interrupted})
        self.assertTrue(guests.STOPPING.is_set())


class OtherBoosts(unittest.TestCase):
    def test_one_that_cannot_be_had_is_skipped(self):
        run = suites.with_boost(mock.Mock(side_effect=LabError("no network")), "boost-newest")
        (found,) = run(None, None, None)
        self.assertEqual((found.status, found.detail), (results.SKIPPED, "no network"))

    def test_some_programs_run_without_their_longest_tests(self):
        chosen, left_out = (suites.runner.Program(f"sdk.{name}", [name], "exit") for name in ("managed_content_test", "segregated_fit_fuzz"))
        (found,) = suites.other_boost_programs([chosen, left_out])
        self.assertEqual(found.name, "sdk.managed_content_test")
        self.assertIn("env 'GTEST_FILTER=-*instruction*' managed_content_test", found.shell())

    def test_each_program_named_is_one_of_the_tests(self):
        for name in (*suites.userspace.OTHER_BOOST, *suites.CRITICS):
            source = suites.paths.CHECKOUT / "sdk" / "tests" / f"{name.replace('_region', '')}.cpp"
            self.assertTrue(source.exists(), source)

    def test_one_that_does_not_build_fails(self):
        """As LabError, which run_one() makes a failure of."""
        context = mock.Mock(**{"tests_with.side_effect": LabError("no build")})
        with mock.patch.object(suites.boost, "system", lambda: suites.boost.Boost("1.74", None)), self.assertRaises(LabError):
            suites.with_boost(lambda _: suites.boost.Boost("1.83", None), "boost-1.83")(context, None, None)


if __name__ == "__main__":
    unittest.main()
