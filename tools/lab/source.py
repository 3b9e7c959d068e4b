# SPDX-License-Identifier: GPL-2.0-only
"""Kernel source trees: fetched from Debian, or one's own; and the working tree with the series applied."""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import aptsource
import packages
import patches
import paths
import proc
from ui import LabError, note, step, warn

DEFAULT = "7.3"

# The Debian suites that carry linux-source-<base>; those of DEFAULT are also asked for a newer one.
SUITES = {
    "7.3": ("trixie-backports", "unstable"),
    "6.12": ("bookworm-backports", "trixie"),
    "6.1": ("bookworm",),
}

# Register descriptions of one graphics driver: a sixth of the unpacked size, used by nothing else.
NOT_UNPACKED = "*/drivers/gpu/drm/amd/include/asic_reg/*"

UNPACKED_MIB = 1600
BUILD_MIB = 900

# What a build leaves in a tree of one's own; a build with O= needs a source tree without it.
BUILD_PRODUCTS = (
    "/.git", "/.config", "/.config.old", "/.version", "/.tmp_*", "/include/config", "/include/generated", "/arch/*/include/generated",
    "/vmlinux*", "/linux", "/Module.symvers", "/modules.*", "*.o", "*.a", "*.ko", "*.mod", "*.mod.c", ".*.cmd", ".*.d",
)  # fmt: skip


@dataclass
class Source:
    """A pristine kernel tree, and the directory of the cache that everything made from it lives in."""

    version: str  # "7.3"
    identity: str  # changes when the tree does
    tree: Path
    work: Path
    own: bool = False

    @property
    def patched(self):
        return self.work / "tree"

    @property
    def applied(self):
        return self.work / "applied"

    def describe(self):
        return str(self.tree) if self.own else f"linux-source-{self.version} {self.identity}"


def kernels():
    return paths.cache() / "kernels"


def tree_version(tree):
    """'7.3' of the kernel tree TREE, or None when it is none."""
    try:
        text = (Path(tree) / "Makefile").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    major = re.search(r"^VERSION = (\d+)$", text, re.M)
    minor = re.search(r"^PATCHLEVEL = (\d+)$", text, re.M)
    if not major or not minor or not (Path(tree) / "Kconfig").is_file():
        return None
    return f"{major.group(1)}.{minor.group(1)}"


def cached(base):
    """The Debian source BASE if it is in the cache already, or None."""
    work = kernels() / base
    identity = paths.Stamp(work / "source.stamp").read()
    if identity and (work / "source" / "Makefile").is_file():
        return Source(base, identity, work / "source", work)
    return None


def fetch(base, newest):
    """The newest Debian linux-source-BASE, or the next newer base when that is gone."""
    packages.ensure("source")
    suites = SUITES[base]
    paths.need_space(kernels(), UNPACKED_MIB + 200 + BUILD_MIB, "fetching and building a kernel")
    apt = aptsource.PrivateApt(paths.cache() / "apt")
    found, version = aptsource.find_kernel_source(apt, base, suites)
    if found != base:
        warn(f"Debian has no linux-source-{base} any more: taking linux-source-{found}")
        paths.make_dir(kernels() / base)
        paths.Stamp(kernels() / base / "instead").write(found)
    have = cached(found)
    if have and have.identity == version:
        if newest:
            note(f"linux-source-{found} {version} is the newest")
        return have
    work = paths.make_dir(kernels() / found)
    deb = apt.download(f"linux-source-{found}", paths.make_dir(work / "download"))
    unpack(deb, found, work)
    shutil.rmtree(work / "download")
    paths.Stamp(work / "source.stamp").write(version)
    return cached(found)


def unpack(deb, base, work):
    """Put the tree of the package DEB into WORK/source, in place of an older one."""
    new = work / "source.new"
    for old in (new, work / "source", work / "tree", work / "applied"):
        shutil.rmtree(old, ignore_errors=True)
    paths.Stamp(work / "source.stamp").forget()
    for build in work.glob("*/.config"):
        # Objects of another point release may be newer than its sources: make would not see the change.
        shutil.rmtree(build.parent)
    new.mkdir()
    with step(f"unpacking linux-source-{base}") as now:
        stream = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        tar = subprocess.Popen(
            ["tar", "-x", "-I", "xz -T0", "-C", new, "--strip-components=1", "--exclude", NOT_UNPACKED],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            copy_member(stream.stdout, f"usr/src/linux-source-{base}.tar", tar.stdin, now)
            tar.stdin.close()
            said = tar.stderr.read().decode(errors="replace")
            if tar.wait():
                raise OSError(said.strip().splitlines()[-1] if said.strip() else "tar failed")
        except (OSError, EOFError, tarfile.TarError) as err:
            shutil.rmtree(new, ignore_errors=True)
            reason = tar_reason(tar) or str(err)
            raise LabError(f"unpacking {Path(deb).name}: {reason}") from err
        finally:
            proc.stop(stream)
            proc.stop(tar)
    new.rename(work / "source")


def tar_reason(tar):
    """Why the process TAR gave up, if it said so."""
    try:
        said = tar.stderr.read().decode(errors="replace").strip()
    except ValueError:
        return None
    return said.splitlines()[0] if said else None


def copy_member(package, prefix, target, now):
    """Copy the member whose name starts with PREFIX from the tar stream PACKAGE, with progress."""
    with tarfile.open(fileobj=package, mode="r|") as members:
        for member in members:
            if member.name.lstrip("./").startswith(prefix):
                data, done = members.extractfile(member), 0
                while chunk := data.read(1 << 20):
                    target.write(chunk)
                    done += len(chunk)
                    now.progress(f"[{100 * done // member.size:3d} %]")
                return
    raise EOFError(f"there is no {prefix} in it")


def own_tree(directory):
    """A Source for the user's own tree, which stays as it is."""
    tree = Path(directory).absolute()
    if not tree.is_dir():
        raise LabError(f"--kernel {directory}: neither a kernel the lab knows ({', '.join(SUITES)}) nor a directory")
    version = tree_version(tree)
    if version is None:
        raise LabError(f"--kernel {directory}: not a kernel source tree (no Kconfig, or no VERSION in its Makefile)")
    tree = tree.resolve()
    key = hashlib.sha256(str(tree).encode()).hexdigest()[:8]
    return Source(version, str(tree), tree, kernels() / f"{tree.name}-{key}", own=True)


def get(kernel=None, newest=False):
    """The pristine source that KERNEL (a base, a directory, or None for the default) names."""
    name = kernel or DEFAULT
    if name not in SUITES:
        return own_tree(name)
    if name not in patches.bases():
        # Before any download: nothing could be done with it.
        if kernel or not patches.bases():
            raise LabError(f"Linux {name}: there is no series in patches/{name}" + (f" (there is one for {', '.join(patches.bases())})" if patches.bases() else " yet"))
    return get_pristine(name, newest)


def get_pristine(name=DEFAULT, newest=False):
    """The pristine Debian source NAME, from the cache or from the archive."""
    with paths.locked(kernels()):
        have = cached(name)
        if not have:
            instead = paths.Stamp(kernels() / name / "instead").read()
            have = cached(instead) if instead else None
            if have and not newest:
                warn(f"Debian had no linux-source-{name} any more: using linux-source-{instead}")
        if have and not newest:
            return have
        return fetch(name, newest)


def update_tree(source, series):
    """Make SOURCE.patched SOURCE with SERIES applied. Returns a key that changes when the result does."""
    with paths.locked(source.work):
        stamp = paths.Stamp(source.work / "tree.stamp")
        try:
            before = json.loads(stamp.read() or "{}")
        except ValueError:
            before = {}
        touched = series.touched()
        originals = hashlib.sha256()
        for path in touched:
            file = source.tree / path
            originals.update(path.encode() + b"\0" + (file.read_bytes() if file.is_file() else b"-"))
        key = {"source": source.identity, "series": series.digest(), "originals": originals.hexdigest()}
        same = all(before.get(name) == value for name, value in key.items()) and (source.patched / "Makefile").is_file()
        if same and not source.own:
            return json.dumps({**key, "edition": before.get("edition", 0)})
        if not same:
            with step(f"applying patches/{series.base} ({len(series.files)} patches) to {source.describe()}"):
                patches.apply(series, source.tree, source.applied)
                stamp.forget()
        changes = copy_tree(source, before.get("files", []))
        files = patches.put_into(source.applied, source.patched, source.tree, before.get("files", []))
        # Of one's own tree any file may have changed since.
        key["edition"] = before.get("edition", 0) + (1 if changes else 0)
        stamp.write(json.dumps({**key, "files": files}))
        return json.dumps(key)


def copy_tree(source, patched_files):
    """Bring the working copy up to date with the pristine tree; True when something changed.

    PATCHED_FILES are left alone: put_into() looks after them.
    """
    if not source.own:
        if not (source.patched / "Makefile").is_file():
            shutil.rmtree(source.patched, ignore_errors=True)
            # Links, not copies: no file of the working tree is ever written in place.
            proc.output(["cp", "-al", source.tree, source.patched])
            return True
        return False
    packages.ensure("source")
    if not (source.patched / "Makefile").is_file():
        paths.need_space(source.work, UNPACKED_MIB + BUILD_MIB, "a copy of the kernel tree and its build")
    paths.make_dir(source.patched)
    excludes = [f"--exclude={pattern}" for pattern in BUILD_PRODUCTS] + [f"--exclude=/{path}" for path in patched_files]
    with step(f"looking for changes in {source.tree}"):
        listed = proc.output(["rsync", "-a", "--delete", "--out-format=%n", *excludes, f"{source.tree}/", f"{source.patched}/"])
    return bool(listed.strip())
