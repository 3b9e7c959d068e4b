# SPDX-License-Identifier: GPL-2.0-only
"""The Debian packages that each kind of work needs, and their installation."""

import os
import re
import shutil
import sys

import proc
from ui import LabError, step, warn

GROUPS = {
    "source": ["xz-utils", "git", "rsync"],
    "kernel": ["gcc", "make", "libc6-dev", "flex", "bison", "bc", "libelf-dev", "libssl-dev", "kmod", "ccache", "python3"],
    "guest": ["kmod", "gcc", "libc6-dev", "util-linux"],
    "userspace": [
        "g++",
        "cmake",
        "ninja-build",
        "pkg-config",
        "libboost-dev",
        "libboost-program-options-dev",
        "libbenchmark-dev",
        "libgtest-dev",
        "libgmock-dev",
        "nlohmann-json3-dev",
        "liburing-dev",
        "groff-base",
        "ccache",
    ],
    "checkers": ["fio", "stress-ng"],
    "qemu": ["qemu-system-x86", "busybox-static", "cpio"],
    "bench": ["python3", "libc6-dev"],
    "check": ["sparse", "python3-ply", "python3-git", "clang-format"],
}


def wanted(groups):
    return list(dict.fromkeys(name for group in groups for name in GROUPS[group]))


def missing(names):
    """Those of NAMES that are not installed, or none where there is no dpkg to ask."""
    if not shutil.which("dpkg-query"):
        return []
    listed = proc.attempt(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *names]).stdout
    installed = {line.split()[1] for line in listed.splitlines() if line.startswith("installed ")}
    return [name for name in names if name not in installed]


def as_root():
    """The words to put before a command so that it runs as root, or None when there is no way."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        if sys.stdin.isatty() and sys.stderr.isatty():
            return ["sudo"]
        if proc.attempt(["sudo", "-n", "true"]).returncode == 0:
            return ["sudo", "-n"]
    return None


def network_trouble(text):
    """The line of apt's output that says the archive is out of reach, or None."""
    found = re.search(
        r".*(Could not resolve|Temporary failure resolving|Unable to connect|Could not connect|"
        r"Connection (?:failed|refused|timed out)|Cannot initiate the connection|Network is unreachable).*",
        text,
    )
    return found.group(0).strip() if found else None


def explain(text, doing):
    """A LabError out of apt's output TEXT."""
    trouble = network_trouble(text)
    if trouble:
        return LabError(f"{doing}: no network, or no way to the package archive: {trouble}")
    if re.search(r"No space left|enough free space", text):
        return LabError(f"{doing}: the disk is full")
    said = [line for line in text.splitlines() if line.startswith("E:")] or text.splitlines()[-1:]
    return LabError(f"{doing}: {' '.join(said[:2]) or 'apt-get failed'}")


def install(names):
    root = as_root()
    if root is None:
        raise LabError(f"missing packages, and neither root nor sudo to install them; as root: apt-get install {' '.join(names)}")
    if not shutil.which("apt-get"):
        raise LabError(f"missing packages and no apt-get to install them: {' '.join(names)}")
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-y", "-o", "DPkg::Lock::Timeout=120"]
    install_them = [*apt, "install", "--no-install-recommends", *names]
    with step(f"installing {' '.join(names)}") as now:
        status, text = proc.follow(install_them, lambda line: now.progress(line[:50]))
        if status:
            # The machine's package lists may be empty or old: bring them up to date and try again.
            _, update_text = proc.follow([*apt, "update"], lambda line: now.progress(line[:50]))
            status, text = proc.follow(install_them, lambda line: now.progress(line[:50]))
            if status:
                raise explain(update_text + text, "installing packages")


def ensure(*groups):
    """Install what GROUPS need and this machine lacks."""
    names = missing(wanted(groups))
    if names:
        install(names)


# The oldest clang that counts as a current one, and the newest that is looked for.
CLANG = range(17, 41)


def clang():
    """The program name of the newest clang++ that is installed, else of the newest that can be."""
    found = [f"clang++-{version}" for version in CLANG if shutil.which(f"clang++-{version}")]
    if not found:
        names = proc.attempt(["apt-cache", "search", "--names-only", r"^clang-[0-9]+$"]).stdout
        versions = [int(version) for version in re.findall(r"^clang-(\d+) ", names, re.M) if int(version) in CLANG]
        if not versions:
            raise LabError(f"no clang of version {CLANG[0]} or newer is installed or in this machine's package lists")
        install([f"clang-{max(versions)}"])
        found = [f"clang++-{max(versions)}"]
    return found[-1]


def try_ensure(*groups):
    """As ensure(), where the work can go on without: returns why not, or None."""
    try:
        ensure(*groups)
    except LabError as err:
        warn(str(err))
        return str(err)
    return None
