# SPDX-License-Identifier: GPL-2.0-only
"""Reading a guest's kernel log: did the kernel complain or break?"""

import re

STAMP = re.compile(r"^(?:<\d+>)?\[\s*\d+\.\d+\](?:\[[^\]]*\])?\s?")

# How a report of the kernel about itself starts.
REPORT = re.compile(
    r"^(?:WARNING: |BUG: |kernel BUG at |BUG |Oops|Kernel panic|INFO: possible |INFO: task .* blocked for more than"
    r"|INFO: rcu.*(?:stall|detected)|rcu: INFO: .*(?:stall|detected)|watchdog: BUG|Bad page|Unable to handle kernel|general protection fault"
    r"|Internal error|UBSAN: |KASAN: |kmemleak: \d+ new|list_(?:add|del) corruption|refcount_t: |Modules linked in: .*\bBAD\b"
    r"|Unexpected kernel fault|Kernel mode fault|VFS: Busy inodes|Object already free|unreferenced object|sysfs: cannot create duplicate)"
)

# After one of these the kernel does not go on.
FATAL = re.compile(r"Kernel panic|Oops|kernel BUG at |blocked for more than|watchdog: BUG|rcu.*stall")

# The head that lockdep prints before its WARNING line.
FRAME = re.compile(r"^={8,}$")

REPORT_LINES = 60


def clean(text):
    """The messages of TEXT without carriage returns and time stamps."""
    return [STAMP.sub("", line) for line in text.replace("\r", "").split("\n")]


def is_known(report):
    """User-Mode Linux's own flush_tlb_mm() walks the mappings without their lock, which lockdep reports on truncation.

    That is no doing of the driver's, and no kernel without the mistake exists.
    """
    text = "\n".join(report)
    return "suspicious RCU usage" in report[0] and "flush_tlb_mm" in text and "shm_kernel" not in report[0]


def reports(text):
    """What the kernel had to complain about in the log TEXT: a list of reports, each a list of lines."""
    lines = clean(text)
    found, at = [], 0
    while at < len(lines):
        if not REPORT.match(lines[at]):
            at += 1
            continue
        end = at + 1
        while end < len(lines) and end - at < REPORT_LINES and not report_ends(lines, at, end):
            end += 1
        report = lines[at : end + 1]
        if not is_known(report):
            found.append(report)
        at = end + 1
    return found


def report_ends(lines, start, at):
    """Whether the report that began at line START ends with line AT."""
    line = lines[at]
    if "---[ end " in line or line.strip() == "</TASK>":
        return True
    # The next report begins: this one ended before.
    return at + 1 < len(lines) and at - start > 1 and bool(REPORT.match(lines[at + 1]) or FRAME.match(lines[at + 1]))


def fatal(text):
    """Whether the kernel whose log is TEXT cannot go on."""
    return any(FATAL.search(report[0]) for report in reports(text))


def last_lines(text, count=20):
    lines = [line for line in text.replace("\r", "").split("\n") if line.strip()]
    return "\n".join(lines[-count:])
