# SPDX-License-Identifier: GPL-2.0-only
"""Where things are: the checkout, and the cache outside of it that every build lives in."""

import contextlib
import errno
import fcntl
import os
import shutil
from pathlib import Path

from ui import LabError, note

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = CHECKOUT / "tools" / "lab"
# The variable lets a developer of the driver try a series that is not in the checkout yet.
PATCHES = Path(os.environ.get("LAB_PATCHES") or CHECKOUT / "patches").absolute()


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base).absolute() / "shm_kernel"


def make_dir(path):
    """PATH, created if need be."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise LabError(f"cannot create {path}: {err.strerror} (set XDG_CACHE_HOME to a writable place)") from err
    return path


def need_space(where, mebibytes, what):
    """Refuse early, rather than in the middle of WHAT, when the disk of WHERE is too small."""
    free = shutil.disk_usage(make_dir(where)).free >> 20
    if free < mebibytes:
        raise LabError(
            f"{what} needs {mebibytes} MiB on the disk of {where}, which has {free} MiB free "
            "(make room, or set XDG_CACHE_HOME to a larger disk)"
        )


@contextlib.contextmanager
def locked(directory):
    """One lab at a time changes DIRECTORY."""
    make_dir(directory)
    with open(Path(directory) / ".lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            if err.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            note(f"another lab works in {directory}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Stamp:
    """Remembers what a directory was made from, so that an unchanged one is not made again."""

    def __init__(self, path):
        self.path = Path(path)

    def read(self):
        try:
            return self.path.read_text(encoding="utf-8")
        except OSError:
            return None

    def write(self, text):
        temporary = self.path.with_name(self.path.name + ".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.path)

    def forget(self):
        self.path.unlink(missing_ok=True)
