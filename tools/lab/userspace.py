# SPDX-License-Identifier: GPL-2.0-only
"""The SDK, the tools and the selftests: built in the cache, and what tests they have."""

import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import kernel
import packages
import paths
import proc
from ui import LabError, step, warn


def build_dir():
    # Checkouts at different paths do not share a build.
    digest = hashlib.sha256(os.fsencode(paths.CHECKOUT)).hexdigest()[:12]
    return paths.cache() / "userspace" / f"{paths.CHECKOUT.name}-{digest}" / "build"


def ninja(directory, what, *words):
    with step(what) as now:

        def progress(line):
            found = re.match(r"\[(\d+/\d+)\]", line)
            if found:
                now.progress(f"[{found.group(1)}]")

        status, text = proc.follow(["cmake", "--build", directory, *words], progress, lambda: now.progress(now.detail))
    if status:
        found = re.search(r"^.*(?:error|Error): .*$", text, re.M)
        (paths.cache() / "userspace.log").write_text(text, encoding="utf-8")
        raise LabError(f"{what} failed: {found.group(0).strip() if found else proc.tail(text, 1)} (all of it: {paths.cache()}/userspace.log)")
    for line in re.findall(r"^\S+:\d+:\d+: warning: .*$", text, re.M):
        warn(line)


def configure(source, directory, *words):
    done = proc.attempt(["cmake", "-S", source, "-B", directory, "-G", "Ninja", "-Wno-dev", *words])
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise LabError(f"configuring {source} failed: {' '.join(said[:3]) or proc.tail(done.stdout, 1)}")


def newest_input():
    """When the newest file that the build is made from was changed."""
    latest = 0.0
    for top in ("sdk", "tools/shmtool", "tools/checkers", "drivers-char-shm/include", "CMakeLists.txt"):
        root = paths.CHECKOUT / top
        for path in [root, *root.rglob("*")] if root.is_dir() else [root]:
            if path.exists():
                latest = max(latest, path.stat().st_mtime)
    return latest


# What `lab run` and `lab demo` need of the build.
TOOLS = ("shmtool", "shm_fsx", "with_region")
EXAMPLES = ("robust_counter", "managed_segment", "online_grow", "boost_queue", "ring_watch")


def build(*targets):
    """The build directory with TARGETS in it up to date; without any, with everything."""
    directory = build_dir()
    with paths.locked(directory.parent):
        latest = str(newest_input())
        everything = paths.Stamp(directory.parent / "built")
        stamp = paths.Stamp(directory.parent / f"built-{'-'.join(targets)}") if targets else everything
        if latest in (stamp.read(), everything.read()) and (directory / "build.ninja").exists():
            return directory
        packages.ensure("userspace")
        paths.need_space(directory, 500, "building the SDK and the tools")
        configure(paths.CHECKOUT, directory, "-DCMAKE_BUILD_TYPE=RelWithDebInfo", *launcher())
        ninja(directory, "building the SDK and the tools", *(["--target", *targets] if targets else []))
        stamp.write(latest)
    return directory


# What is run with other Boosts. What kills processes at each instruction and what fuzzes runs with the system's
# alone: it takes long, and is about code that Boost has no part in.
OTHER_BOOST = (
    "hash_index_test",
    "kernel_message_queue_test",
    "kernel_named_api_test",
    "kernel_shared_memory_host_test",
    "kernel_shared_memory_test",
    "managed_content_test",
    "managed_grow_test",
    "managed_kernel_memory_test",
    "managed_read_only_test",
    "robust_mutex_family_region_test",
    "robust_mutex_family_test",
    "segregated_fit_test",
)


def build_with(boost):
    """A build directory with what is run with other Boosts, built with BOOST; assertions, Boost's as well, are on there."""
    directory = build_dir().parent / f"boost-{boost.version}"
    with paths.locked(directory.parent):
        latest = f"{newest_input()} {boost.include}"
        stamp = paths.Stamp(directory.parent / f"built-boost-{boost.version}")
        if stamp.read() == latest and (directory / "build.ninja").exists():
            return directory
        packages.ensure("userspace")
        paths.need_space(directory, 1000, f"building with Boost {boost.version}")
        left_out = [f"-DSHM_KERNEL_BUILD_{piece}=OFF" for piece in ("TOOLS", "EXAMPLES", "BENCHMARKS")]
        configure(paths.CHECKOUT, directory, "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1", *left_out, *boost.cmake_words(), *launcher())
        ninja(directory, f"building with Boost {boost.version}", "--target", "cross_version", "cross_version_abi1", *OTHER_BOOST)
        stamp.write(latest)
    return directory


def launcher():
    return ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache", "-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []


def boost_examples(examples):
    """The directory of Boost's EXAMPLES, built as they are and with our types."""
    build_directory = build("shm_kernel_core")
    script = paths.CHECKOUT / "sdk" / "tests" / "boost" / "examples.py"
    directory = paths.make_dir(build_directory.parent / "examples")
    core = build_directory / "sdk"
    with paths.locked(directory):
        latest = f"{newest_input()} {examples}"
        stamp = paths.Stamp(directory / "built")
        if stamp.read() == latest:
            return directory
        compiler = "ccache g++" if shutil.which("ccache") else "g++"
        words = ["-std=c++17", f"-I{paths.CHECKOUT}/sdk/include", f"{core}/libshm_kernel.so", f"-Wl,-rpath,{core}"]
        with step("building Boost's examples") as now:
            command = [sys.executable, "-B", script, "build", examples, directory, "--", *words]
            status, text = proc.follow(command, lambda line: now.progress(line.strip()[:50]), env=proc.clean_env(CXX=compiler))
        if status:
            raise LabError(f"building Boost's examples failed: {proc.tail(text, 2)}")
        stamp.write(latest)
    return directory


def tool_dirs():
    """Directories of the build that a guest has in its PATH."""
    return [build_dir() / "tools" / "shmtool", build_dir() / "tools" / "checkers", build_dir() / "sdk" / "examples"]


@dataclass
class CTest:
    """A test that the CMake build has."""

    name: str
    command: list
    labels: list
    directory: str
    environment: list = field(default_factory=list)
    timeout: float = 0


def tests(directory):
    """Every test of the build in DIRECTORY, as ctest knows it."""
    text = proc.output(["ctest", "--test-dir", directory, "--show-only=json-v1"])
    found = []
    for test in json.loads(text)["tests"]:
        properties = {entry["name"]: entry["value"] for entry in test.get("properties", [])}
        found.append(
            CTest(
                test["name"],
                test.get("command") or ["sh", "-c", "echo the build did not make this program; exit 1"],
                properties.get("LABELS", []),
                properties.get("WORKING_DIRECTORY", str(directory)),
                properties.get("ENVIRONMENT", []),
                properties.get("TIMEOUT", 0),
            )
        )
    return found


def consumer():
    """The programs of an outside project, built against the installed SDK."""
    project = paths.CHECKOUT / "sdk" / "tests" / "consumer"
    directory = build()
    prefix, built = directory.parent / "installed", directory.parent / "consumer"
    with paths.locked(directory.parent):
        shutil.rmtree(prefix, ignore_errors=True)
        proc.output(["cmake", "--install", directory, "--prefix", prefix])
        shutil.rmtree(built, ignore_errors=True)
        configure(project, built, f"-DCMAKE_PREFIX_PATH={prefix}")
        ninja(built, "building a project that uses the installed SDK")
    return sorted(path for path in built.iterdir() if path.is_file() and os.access(path, os.X_OK))


def selftests(build_of_kernel):
    """The kselftest programs of the patched tree: their directory and names."""
    packages.ensure("userspace")
    tree = build_of_kernel.source.patched
    directory = tree / "tools" / "testing" / "selftests" / "drivers" / "shm_kernel"
    if not (directory / "Makefile").exists():
        raise LabError("the series has no selftests")
    output = paths.make_dir(build_of_kernel.source.work / "selftests")
    env = kernel.make_env(build_of_kernel.source.work)
    done = proc.attempt(
        ["make", "-C", directory, f"OUTPUT={output}", f"KHDR_INCLUDES=-isystem {build_of_kernel.headers}", f"-j{kernel.jobs()}"], env=env
    )
    if done.returncode:
        raise LabError(f"building the selftests failed: {kernel.first_error(done.stderr + done.stdout)}")
    for line in re.findall(r"^\S+:\d+:\d+: warning: .*$", done.stderr, re.M):
        warn(line)
    listed = re.search(r"^PROGRAMS=(.*)$", proc.output(["make", "-s", "-C", directory, "--eval=list: ; @echo PROGRAMS=$(TEST_GEN_PROGS) $(TEST_PROGS)", "list"], env=env), re.M)
    names = [Path(name).name for name in listed.group(1).split()] if listed else []
    return output, names
