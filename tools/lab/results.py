# SPDX-License-Identifier: GPL-2.0-only
"""Test results: reading them out of what test programs print, counting and showing them."""

import re
import sys
import time
from dataclasses import dataclass, field

from ui import bad, bold, dim, duration, good, paint

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass
class Result:
    name: str
    status: str
    detail: str = ""  # why it failed or was skipped
    headline: str = ""  # shown with the suite even where its results are not


def passed(name, headline=""):
    return Result(name, PASSED, headline=headline)


def failed(name, detail):
    return Result(name, FAILED, detail)


def skipped(name, detail):
    return Result(name, SKIPPED, detail)


TAP_LINE = re.compile(r"^(?P<indent>\s*)(?P<ok>ok|not ok)\b\s*(?P<number>\d+)?\s*(?:- )?(?P<name>.*?)\s*(?:#\s*(?P<directive>SKIP|XFAIL|TODO|XPASS)\b:?\s*(?P<reason>.*))?$", re.I)
TAP_PLAN = re.compile(r"^(?P<indent>\s*)1\.\.(?P<count>\d+)\s*(?:#\s*SKIP\S*\s*(?P<reason>.*))?$", re.I)


@dataclass
class TapLevel:
    """The tests of one indentation that have no parent yet."""

    plan: int = None
    seen: int = 0
    found: list = field(default_factory=list)

    def close(self, name):
        """The results, with one more when tests are missing."""
        if self.plan and self.seen < self.plan:
            self.found.append(failed(f"{name}: plan", f"{self.seen} of {self.plan} tests ran"))
        return self.found


def parse_tap(text, name="tap"):
    """The Results in TAP or KTAP TEXT. Of nested tests the innermost count, named parent/child."""
    levels = {}
    previous = None  # the last result, which may be explained by what follows it
    between = []
    skip_all = ""
    for line in text.splitlines():
        plan = TAP_PLAN.match(line)
        mark = None if plan else TAP_LINE.match(line)
        if plan:
            levels.setdefault(len(plan["indent"]), TapLevel()).plan = int(plan["count"])
            if plan["count"] == "0":
                skip_all = plan["reason"] or "no reason given"
        elif mark:
            before, after = split_diagnostics(between)
            if previous and previous.status == FAILED:
                previous.detail = join(previous.detail, before)
            previous = tap_result(mark)
            if previous.status == FAILED:
                previous.detail = join("", after)
            between = []
            depth = len(mark["indent"])
            children = [child for deeper in sorted(levels) if deeper > depth for child in levels.pop(deeper).close(previous.name)]
            level = levels.setdefault(depth, TapLevel())
            level.seen += 1
            for child in children:
                child.name = f"{previous.name}/{child.name}"
            level.found += children
            # A parent says nothing that its children did not, unless it failed by itself.
            if not children or previous.status == FAILED and not any(child.status == FAILED for child in children):
                level.found.append(previous)
        else:
            if line.lstrip("# ").startswith("Bail out!"):
                levels.setdefault(0, TapLevel()).found.append(failed(name, line.strip()))
            between.append(line)
    if previous and previous.status == FAILED:
        previous.detail = join(previous.detail, split_diagnostics(between)[0])
    found = [result for depth in sorted(levels) for result in levels[depth].close(name)]
    if not found and skip_all:
        return [skipped(name, skip_all)]
    return found


def tap_result(found):
    name = found["name"].strip() or f"test {found['number']}"
    directive = (found["directive"] or "").upper()
    if directive == "SKIP":
        return skipped(name, found["reason"] or "no reason given")
    if found["ok"] == "ok" or directive in ("XFAIL", "TODO"):
        return passed(name)
    return failed(name, "")


def split_diagnostics(lines):
    """What stands between two results: that which belongs to the one before, and to the one after.

    kselftest's harness explains before the result, with a RUN line first; shell scripts explain after it.
    """
    for at, line in enumerate(lines):
        if re.match(r"#\s+RUN\b", line):
            return lines[:at], lines[at + 1 :]
    return lines, lines


def join(detail, lines):
    return "\n".join(part for part in (detail, *lines) if part.strip())


GTEST_LINE = re.compile(r"\[\s*(?P<kind>RUN|OK|FAILED|SKIPPED)\s*\] (?P<name>[\w/.]+)")


def parse_gtest(text):
    """The Results in what a GoogleTest program printed; one that ended inside a test failed it."""
    found, running, said = [], None, []
    for line in text.splitlines():
        mark = GTEST_LINE.search(line)
        kind = mark["kind"] if mark else None
        if kind == "RUN":
            running, said = mark["name"], []
        elif kind and running == mark["name"]:
            if line[: mark.start()].strip():
                said.append(line[: mark.start()])
            detail = "\n".join(said)
            if kind == "OK":
                found.append(passed(running))
            elif kind == "SKIPPED":
                found.append(skipped(running, skip_reason(said)))
            else:
                found.append(failed(running, detail))
            running = None
        elif running is not None:
            said.append(line)
    if running is not None:
        found.append(failed(running, "\n".join([*said, "the program ended inside this test"])))
    return found


def skip_reason(said):
    lines = [line.strip() for line in said if line.strip() and not re.match(r"^\S+:\d+: Skipped$", line.strip())]
    return lines[-1] if lines else "no reason given"


def parse_exit(status, text, name):
    if status == 0:
        return [passed(name)]
    if status in (4, 77):
        return [skipped(name, text.strip().splitlines()[-1] if text.strip() else "no reason given")]
    return [failed(name, f"{text.rstrip()}\n{exit_words(status)}".strip())]


def exit_words(status):
    if status in (124, 137):
        return f"exit status {status}: killed, most likely because its time was over"
    if status > 128:
        return f"exit status {status}: killed by signal {status - 128}"
    return f"exit status {status}"


def read_program(kind, name, status, text):
    """The Results of a program of KIND 'tap' or 'exit' that ended with STATUS and printed TEXT.

    A program that says so in GoogleTest's way or in TAP has a result for each of its tests, whatever its KIND.
    """
    if "[==========] Running" in text:
        found = parse_gtest(text)
    elif kind == "tap" or re.search(r"^(TAP version \d+|1\.\.\d+)", text, re.M):
        found = parse_tap(text, name)
    else:
        return parse_exit(status, text, name)
    if not found:
        if status in (4, 77):
            return parse_exit(status, text, name)
        return [failed(name, f"it reported no test\n{text.rstrip()}\n{exit_words(status)}")]
    if status not in (0, 4, 77) and not any(result.status == FAILED for result in found):
        found.append(failed(f"{name}: exit status", f"all tests passed, but: {exit_words(status)}\n{text[-2000:].rstrip()}"))
    return found


DETAIL_LINES = 40


class Report:
    """Shows results as they come, and counts them."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.start = time.monotonic()
        self.counts = {PASSED: 0, FAILED: 0, SKIPPED: 0}
        self.failures = []

    def suite(self, name, found, seconds):
        counts = {status: sum(result.status == status for result in found) for status in self.counts}
        for status, count in counts.items():
            self.counts[status] += count
        colour = bad if counts[FAILED] else good
        line = f"{name}: {counts[PASSED]} passed"
        if counts[FAILED]:
            line += f", {counts[FAILED]} failed"
        if counts[SKIPPED]:
            line += f", {counts[SKIPPED]} skipped"
        line += "".join(f", {result.headline}" for result in found if result.headline)
        print(f"{colour(bold('##'))} {line} {dim('(' + duration(seconds) + ')')}")
        for result in found:
            self.show(name, result)
        sys.stdout.flush()

    def show(self, suite, result):
        if result.status == FAILED:
            self.failures.append(f"{suite}: {result.name}")
            print(f"  {bad('FAIL')} {result.name}")
            lines = result.detail.splitlines()
            if len(lines) > DETAIL_LINES:
                lines = [*lines[: DETAIL_LINES // 2], f"... {len(lines) - DETAIL_LINES} lines ...", *lines[-DETAIL_LINES // 2 :]]
            for line in lines:
                print(f"       {line}")
        elif result.status == SKIPPED:
            print(f"  {paint('skip', '33')} {result.name}: {result.detail}")
        elif self.verbose:
            print(f"  {good('ok')}   {result.name}")

    def finish(self):
        """The last line, and the exit status."""
        if self.failures:
            print("failed:")
            for name in self.failures:
                print(f"  {name}")
        print(f"took {duration(time.monotonic() - self.start)}")
        print(f"{self.counts[PASSED]} passed, {self.counts[FAILED]} failed, {self.counts[SKIPPED]} skipped")
        sys.stdout.flush()
        return 1 if self.counts[FAILED] else 0
