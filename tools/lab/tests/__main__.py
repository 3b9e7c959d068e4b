# SPDX-License-Identifier: GPL-2.0-only
"""The lab's own tests, which need neither kernel nor network: `python3 tools/lab/tests` prints TAP."""

import sys
import traceback
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.number = 0

    def line(self, ok, test, rest=""):
        self.number += 1
        name = test.id().removeprefix("test_")
        print(f"{'ok' if ok else 'not ok'} {self.number} - {name}{rest}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line(True, test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line(True, test, f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.explain(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self.explain(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.explain(subtest, err)

    def explain(self, test, err):
        self.line(False, test)
        for text in traceback.format_exception(*err):
            for line in text.rstrip().splitlines():
                print(f"# {line}")


def main():
    pattern = "*"
    if len(sys.argv) > 1:
        pattern = f"*{sys.argv[1]}*"
    loader = unittest.TestLoader()
    loader.testNamePatterns = [pattern]
    suite = loader.discover(str(HERE), "test_*.py")
    print("TAP version 13")
    result = TapResult()
    suite.run(result)
    print(f"1..{result.number}")
    return 0 if result.wasSuccessful() else 1


sys.exit(main())
