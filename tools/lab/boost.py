# SPDX-License-Identifier: GPL-2.0-only
"""The versions of Boost that the SDK is for: this machine's, and two of Debian's, unpacked in the cache."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import aptsource
import paths
import proc
from ui import LabError

SYSTEM_INCLUDE = Path("/usr/include")

# The one in the middle: in Debian 13, and the last but few before the layout of segments changed (1.87).
MIDDLE = "1.83"

# The suite that has the newest.
NEWEST_IN = "unstable"


@dataclass(frozen=True)
class Boost:
    """One set of headers."""

    version: str  # '1.74'
    include: Path  # the directory that has boost/

    def words(self):
        """The words that make a compiler use it. Its warnings are not ours."""
        return [] if self.include == SYSTEM_INCLUDE else ["-isystem", str(self.include)]

    def cmake_words(self):
        # CMake's own FindBoost, because that of a package in /usr finds nothing else.
        return [] if self.include == SYSTEM_INCLUDE else ["-DBoost_NO_BOOST_CMAKE=ON", f"-DBoost_INCLUDE_DIR={self.include}"]


def version_in(include):
    """'1.74' for the headers in the directory INCLUDE, or None."""
    try:
        text = (include / "boost" / "version.hpp").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r'^#define BOOST_LIB_VERSION "(\d+)_(\d+)', text, re.M)
    return f"{found[1]}.{found[2]}" if found else None


def system():
    version = version_in(SYSTEM_INCLUDE)
    if not version:
        raise LabError(f"no Boost in {SYSTEM_INCLUDE}")
    return Boost(version, SYSTEM_INCLUDE)


def store():
    return paths.cache() / "boost"


def fetched(version, suites):
    """Boost VERSION of the first of SUITES that has it; what is in the cache is used without asking."""
    root = paths.make_dir(store() / version)
    include = root / "usr" / "include"
    with paths.locked(root):
        if version_in(include) != version:
            paths.need_space(root, 500, f"fetching Boost {version}")
            unpack(root, [f"libboost{version}-dev"], suites, ["./usr/include/boost/*"])
        if version_in(include) != version:
            raise LabError(f"Debian's libboost{version}-dev does not have the headers of Boost {version}")
    return Boost(version, include)


def unpack(root, names, suites, wanted):
    """Put the files WANTED of the packages NAMES into ROOT, all of them or none."""
    new = root / "new"
    shutil.rmtree(new, ignore_errors=True)
    apt = root / "apt"
    try:
        aptsource.unpack_packages(aptsource.PrivateApt(apt), names, suites, wanted, paths.make_dir(new))
        shutil.rmtree(root / "usr", ignore_errors=True)
        (new / "usr").rename(root / "usr")
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(apt, ignore_errors=True)


def middle():
    return fetched(MIDDLE, ("stable", "testing", "oldstable", "unstable"))


def newest(again=False):
    """The newest of Debian: asked for once, and AGAIN on demand."""
    stamp = paths.Stamp(paths.make_dir(store()) / "newest")
    version = stamp.read()
    if again or not version:
        root = store() / "apt"
        with paths.locked(store()):
            try:
                names = aptsource.names_like(aptsource.PrivateApt(root), r"^libboost1\.[0-9]+-dev$", NEWEST_IN)
            finally:
                shutil.rmtree(root, ignore_errors=True)
        version = max((name[len("libboost") : -len("-dev")] for name in names), key=aptsource.number, default=None)
        if not version:
            raise LabError(f"no libboost1.*-dev in {NEWEST_IN} of the Debian archive")
    found = fetched(version, (NEWEST_IN, "testing"))
    stamp.write(version)
    return found


def examples():
    """The directory of the examples of this machine's Boost, out of its documentation package."""
    version = system().version
    root = paths.make_dir(store() / f"doc-{version}")
    pattern = "usr/share/doc/*/examples/libs/interprocess/example"
    with paths.locked(root):
        if not list(root.glob(f"{pattern}/*.cpp")):
            unpack(root, [f"libboost{version}-doc"], suites_here(), [f"./{pattern}/*"])
    found = list(root.glob(pattern))
    if not found:
        raise LabError(f"Debian's libboost{version}-doc has no examples of Boost.Interprocess where they are looked for")
    return found[0]


def suites_here():
    """The suites of Debian to look for a package of this machine's release in, likely ones first."""
    name = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(encoding="utf-8"), re.M)
    suites = ("stable", "oldstable", "oldoldstable", "testing", "unstable")
    return (name[1], *suites) if name and aptsource.DEBIAN_SUITES.match(name[1]) else suites


@dataclass(frozen=True)
class Compiler:
    program: str
    said: str  # the first line of --version

    @property
    def name(self):
        return Path(self.program).name


def compiler(program):
    return Compiler(program, proc.output([program, "--version"]).partition("\n")[0])
