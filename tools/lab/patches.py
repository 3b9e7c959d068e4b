# SPDX-License-Identifier: GPL-2.0-only
"""The series in patches/<base>, and what they make of a kernel's files."""

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import paths
import proc
from ui import LabError, warn

GIT_ENV = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "lab",
    "GIT_AUTHOR_EMAIL": "lab@localhost",
    "GIT_COMMITTER_NAME": "lab",
    "GIT_COMMITTER_EMAIL": "lab@localhost",
}


@dataclass
class Series:
    base: str
    files: list

    def digest(self):
        total = hashlib.sha256()
        for file in self.files:
            total.update(file.name.encode() + b"\0" + file.read_bytes())
        return total.hexdigest()

    def touched(self):
        """The paths that the series changes or creates, in a kernel tree."""
        found = {}
        for file in self.files:
            text = file.read_text(encoding="utf-8", errors="replace")
            for old, new in re.findall(r"^diff --git a/(\S+) b/(\S+)$", text, re.M):
                found[old] = found[new] = True
        return list(found)


def number(base):
    return tuple(int(part) for part in base.split("."))


def bases():
    """The kernels that there is a series for, oldest first."""
    if not paths.PATCHES.is_dir():
        return []
    names = [entry.name for entry in paths.PATCHES.iterdir() if re.fullmatch(r"\d+\.\d+", entry.name) and list(entry.glob("*.patch"))]
    return sorted(names, key=number)


def series_for(version, what):
    """The series for the kernel VERSION ('7.3'): its own, or for a newer kernel the newest there is."""
    have = bases()
    if not have:
        raise LabError("patches/ holds no series yet: make one with ./lab series")
    if version in have:
        base = version
    elif number(version) > number(have[-1]):
        base = have[-1]
        warn(f"{what} is newer than every series: trying patches/{base} on Linux {version}")
    else:
        raise LabError(f"{what} is Linux {version}, which is not supported: patches/ has a series for {', '.join(have)}")
    # 0000 is the cover letter, which no tree needs.
    files = sorted(file for file in (paths.PATCHES / base).glob("*.patch") if not file.name.startswith("0000"))
    return Series(base, files)


def git(repository, *words):
    env = proc.clean_env(**GIT_ENV)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"):
        env.pop(name, None)
    return proc.attempt(["git", "-c", "gc.auto=0", "-c", "core.autocrlf=false", *words], cwd=repository, env=env)


def must_git(repository, *words):
    done = git(repository, *words)
    if done.returncode:
        raise LabError(f"git {' '.join(words[:2])} failed: {proc.tail(done.stderr or done.stdout, 3)}")
    return done.stdout


def failure(series, repository, text):
    """What git am said when it stopped, as one line that names the patch and the file."""
    try:
        failed = int((repository / ".git" / "rebase-apply" / "next").read_text(encoding="ascii"))
        name = series.files[failed - 1].name
    except (OSError, ValueError, IndexError):
        name = "a patch"
    found = re.search(
        r"^error: (?:patch failed: (\S+?):\d+|(\S+): (?:No such file or directory|does not (?:match|exist) in index|already exists in (?:index|working directory))"
        r"|corrupt patch at (.*))",
        text,
        re.M,
    )
    where = next((part for part in found.groups() if part), None) if found else None
    detail = f"does not apply to {where}" if where else f"does not apply: {proc.tail(text, 1)}"
    return f"patches/{series.base}/{name} {detail}"


def apply(series, source, repository):
    """git am SERIES, in the new git REPOSITORY, to the files of the kernel tree SOURCE that it touches."""
    repository = Path(repository)
    shutil.rmtree(repository, ignore_errors=True)
    repository.mkdir(parents=True)
    must_git(repository, "init", "-q", "-b", "lab")
    for path in series.touched():
        original = Path(source) / path
        if original.is_file():
            (repository / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(original, repository / path)
    must_git(repository, "add", "-f", "-A", ".")
    must_git(repository, "commit", "-q", "--allow-empty", "-m", "base")
    must_git(repository, "tag", "base")
    done = git(repository, "am", "-q", *map(str, series.files))
    if done.returncode:
        raise LabError(failure(series, repository, done.stdout + done.stderr))


def content(repository):
    """The files of the applied REPOSITORY: {path in a kernel tree: file}."""
    listed = must_git(repository, "ls-files", "-z")
    return {path: Path(repository) / path for path in listed.split("\0") if path}


def same(one, other):
    try:
        return one.read_bytes() == other.read_bytes() and os.access(one, os.X_OK) == os.access(other, os.X_OK)
    except OSError:
        return False


def replace(source, target):
    """Put a copy of SOURCE at TARGET, which may share its inode with a pristine tree: never write into it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy(source, target)


def put_into(repository, tree, source, before):
    """Bring the TREE up to date with the applied REPOSITORY; files that are right already stay untouched.

    BEFORE are the paths of the series applied last: one that the series has no more is again what SOURCE has.
    """
    files = content(repository)
    for path in before:
        if path not in files:
            (tree / path).unlink(missing_ok=True)
            if (Path(source) / path).is_file():
                shutil.copy2(Path(source) / path, tree / path)
    for path, file in files.items():
        if not same(file, tree / path):
            replace(file, tree / path)
    return sorted(files)
