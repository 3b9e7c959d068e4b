# SPDX-License-Identifier: GPL-2.0-only
"""What the lab says: steps with their progress, warnings, and its one kind of error."""

import os
import shutil
import sys
import time
from contextlib import contextmanager


class LabError(Exception):
    """Something is missing or wrong that the user can mend: shown as one line, without a traceback."""


# Without a terminal a step in progress says so this often, in seconds.
QUIET_INTERVAL = 15


def colour_wanted(stream):
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text, code, stream=None):
    """TEXT in the SGR colour CODE, where STREAM (standard output by default) shows colours."""
    if colour_wanted(stream or sys.stdout):
        return f"\033[{code}m{text}\033[0m"
    return text


def good(text, stream=None):
    return paint(text, "32", stream)


def bad(text, stream=None):
    return paint(text, "31", stream)


def dim(text, stream=None):
    return paint(text, "2", stream)


def bold(text, stream=None):
    return paint(text, "1", stream)


def duration(seconds):
    """45.3 -> '45s', 80 -> '1m20s'."""
    seconds = int(seconds)
    if seconds < 60:
        return f"{seconds}s"
    return f"{seconds // 60}m{seconds % 60:02d}s"


def note(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def warn(text):
    print(f"lab: {paint('warning:', '33', sys.stderr)} {text}", file=sys.stderr, flush=True)


class Step:
    """A piece of work that may take a while. Its progress is redrawn in place on a terminal."""

    def __init__(self, what, quiet=False):
        """QUIET: not worth a line unless it lasts."""
        self.what = what
        self.start = time.monotonic()
        self.detail = ""
        self.live = sys.stderr.isatty()
        self.drawn = 0.0
        self.result = ""
        if quiet or not self.live:
            if not quiet:
                note(what)
            self.drawn = self.start
        else:
            self.progress("", force=True)

    def elapsed(self):
        return time.monotonic() - self.start

    def progress(self, detail, force=False):
        """Show DETAIL, e.g. '[ 412/~700 objects]'. Cheap enough to be called for every line of output."""
        self.detail = detail
        now = time.monotonic()
        if not force and now - self.drawn < (0.1 if self.live else QUIET_INTERVAL):
            return
        self.drawn = now
        text = " ".join(part for part in (self.what, detail, duration(self.elapsed())) if part)
        if self.live:
            width = shutil.get_terminal_size().columns
            sys.stderr.write("\r\033[K" + f"lab: {text}"[: width - 1])
            sys.stderr.flush()
        else:
            note(text)

    def finish(self):
        text = " ".join(part for part in (self.what, self.result) if part)
        line = f"lab: {text} {dim(duration(self.elapsed()), sys.stderr)}"
        if self.live:
            sys.stderr.write("\r\033[K" + line + "\n")
        elif self.elapsed() >= 1 or self.result:
            sys.stderr.write(f"lab: {self.what}: {self.result or 'done'} {duration(self.elapsed())}\n")
        sys.stderr.flush()

    def abandon(self):
        if self.live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


@contextmanager
def step(what):
    current = Step(what)
    try:
        yield current
    except BaseException:
        current.abandon()
        raise
    current.finish()
