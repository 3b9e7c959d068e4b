# SPDX-License-Identifier: GPL-2.0-only
"""The suites of `./lab test`: every test there is, and where it runs."""

import concurrent.futures
import os
import re
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import aptsource
import boost
import compat
import guests
import kernel
import packages
import paths
import proc
import results
import runner
import userspace
from ui import LabError, Step

# Those of what lives and dies beside its users; the others would take minutes.
SAN_SELFTESTS = ("shm_kernel_event", "shm_kernel_client", "shm_kernel_seal", "shm_kernel_life")

# Region 0 and a boot region, both large enough for the file checkers.
CHECKER_PARAMS = "size=4M regions=checked:4M"

# One boot region of each kind.
SELFTEST_PARAMS = "regions=plain:3M,pages:64K:small,line:64K:contig:mode=0640"

# Room for a ring in region 0.
SDK_PARAMS = "size=64K"

# Boot regions with a mode and a flag to show.
SHMTOOL_PARAMS = "regions=cam:1M:mode=0640,left:64K:contig"


# Examples of the SDK that read the sample's ring.
SDK_READERS = ("ring_watch sched", "ring_watch sched 100")


class Context:
    """What the suites share: the builds, each made when the first suite asks for it."""

    def __init__(self, kernel_name, newest, quick):
        self.kernel_name, self.newest, self.quick = kernel_name, newest, quick
        self.made = {}
        # Suites run side by side, but each build has all processors.
        self.making = threading.RLock()

    def once(self, name, make):
        """MAKE() the first time; the same again, the same failure included, later."""
        if name not in self.made:
            with self.making:
                if name not in self.made:
                    try:
                        made = make()
                    except LabError as err:
                        made = err
                    self.made[name] = made
        if isinstance(self.made[name], LabError):
            raise self.made[name]
        return self.made[name]

    def kernel(self, variant):
        return self.once(variant.name, lambda: kernel.build(variant, self.kernel_name, self.newest and variant is kernel.UML))

    def userspace(self):
        return self.once("userspace", userspace.build)

    def tests(self, where, under):
        """The tests of the CMake build that run on WHERE ('host' or 'guest'), from the directory UNDER of the checkout."""
        directory = self.userspace()
        everything = self.once("tests", lambda: userspace.tests(directory))
        labels = {where, f"{where}-tap"}
        return programs_of([test for test in everything if labels & set(test.labels) and f"/{under}" in test.directory + "/"])

    def consumer(self):
        return self.once("consumer", userspace.consumer)

    def middle_boost(self):
        return self.once("middle boost", boost.middle)

    def newest_boost(self):
        return self.once("newest boost", lambda: boost.newest(self.newest))

    def build_with(self, one):
        """All that uses Boost, with the Boost ONE."""
        return self.once(f"boost {one.version}", lambda: userspace.build_with(one))

    def tests_with(self, one, where):
        """The tests of what uses Boost that run on WHERE, built with the Boost ONE."""
        directory = self.build_with(one)
        chosen = [test for test in userspace.tests(directory) if {where, "boost"} <= set(test.labels)]
        return other_boost_programs(programs_of(chosen))


def programs_of(tests):
    """Programs for the CTest entries TESTS: the entries of one GoogleTest program become one run of it."""
    found = {}
    for test in tests:
        words = [word for word in test.command if not word.startswith("--gtest_filter=") and word != "--gtest_also_run_disabled_tests"]
        filtered = len(words) < len(test.command)
        name = words[0].rpartition("/")[2] if filtered else test.name
        kind = "tap" if any(label.endswith("-tap") for label in test.labels) else "exit"
        found.setdefault(name, runner.Program(name, words, kind, int(test.timeout) or 180, test.directory, test.environment))
    return list(found.values())


@dataclass
class Suite:
    name: str
    run: object  # called with (context, variant of the kernel or None, progress); returns Results
    where: tuple = ("uml",)  # of VARIANTS
    needs: tuple = ()  # groups of packages


def in_guest(programs, params=""):
    """A suite's run: PROGRAMS(context, build) in one guest whose driver is loaded with PARAMS."""

    def run(context, variant, progress):
        build = context.kernel(variant)
        return runner.in_guest(build, programs(context, build), progress, params, userspace.tool_dirs())

    return run


def on_host(programs):
    return lambda context, variant, progress: runner.on_host(programs(context), progress)


def lab_programs(_):
    return [runner.Program("lab", [sys.executable, "-B", str(paths.LAB / "tests")], "tap", 300)]


def series_programs(_):
    return [runner.Program("patches/ and drivers-char-shm/ agree", [str(paths.CHECKOUT / "lab"), "series", "--check"], "exit", 300)]


def host_programs(context):
    return context.tests("host", "")


def selftest_programs(context, build):
    directory, names = context.once(f"selftests {build.variant.name}", lambda: userspace.selftests(build))
    if build.variant is kernel.SAN:
        names = [name for name in names if name in SAN_SELFTESTS]
    return [runner.Program(name, [directory / name], "tap", 180, directory) for name in names]


def sdk_programs(context, _):
    return context.tests("guest", "sdk")


def shmtool_programs(context, _):
    return context.tests("guest", "tools/shmtool")


def consumer_programs(context, _):
    return [runner.Program(program.name, [program], "exit", 60) for program in context.consumer()]


def guest_file(name):
    return paths.LAB / "guest" / name


def sample_programs(*_):
    return [runner.Program("samples", ["sh", guest_file("samples.sh")], "tap", 300)]


def tracepoint_programs(*_):
    return [runner.Program("tracepoints", [sys.executable, "-B", guest_file("tracepoints.py"), "--client"], "tap", 120)]


def documentation_programs(context, build):
    """The complete programs of the pages: compiled, run, and compared with what the pages say that they print."""
    script = paths.CHECKOUT / "Documentation" / "run_examples.py"
    library = context.userspace() / "sdk"
    flags = f"-I{paths.CHECKOUT}/sdk/include -L{library} -lshm_kernel -Wl,-rpath,{library}"
    return [runner.Program("examples", [sys.executable, "-B", script], "tap", 300, "", [f"KHDR_INCLUDES=-isystem {build.headers}", f"SDK_FLAGS={flags}"])]


def soak_programs(context, build):
    """The soak of the samples, with every reader that there is: without the program, with shmtool, with the SDK."""
    readers = ["shm_kernel_sched_user", "shm_kernel_sched_user 100", "shmtool ring sched", "shmtool watch sched", "shmtool wait sched", *SDK_READERS]
    seconds = 20 if context.quick else 40 if build.variant is kernel.SAN else 60
    script = build.source.patched / "samples" / "shm_kernel" / "soak.sh"
    return [runner.Program("soak", ["sh", script, str(seconds)], "tap", 600, "", [f"READERS={';'.join(readers)}"])]


def checker(script, *words):
    def programs(context, _):
        arguments = words[:1] if context.quick else words[1:]
        directory = context.userspace() / "tools" / "checkers"
        return [
            runner.Program(
                script, ["sh", paths.CHECKOUT / "tools" / "checkers" / f"{script}.sh", *arguments], "tap", 900, "", [f"CHECKERS_BIN={directory}"]
            )
        ]

    return programs


def other_boost_programs(programs):
    """Those of PROGRAMS that run with other Boosts, without what steps through each instruction."""
    found = [program for program in programs if program.name.rpartition(".")[2] in userspace.OTHER_BOOST]
    for program in found:
        program.environment = [*program.environment, "GTEST_FILTER=-*instruction*"]
    return found


def compile_matrix(context, _, progress):
    return compat.run(False, progress, context.newest)


def with_boost(get, name):
    """A suite's run: the tests of what uses Boost, with GET(context) in the place of the system's."""

    def run(context, variant, progress):
        try:
            one = get(context)
        except LabError as err:
            return [results.skipped(name, str(err))]
        if one.version == boost.system().version:
            return [results.skipped(name, f"Boost {one.version} is the one of this system")]
        if not variant:
            return runner.on_host(context.tests_with(one, "host"), progress)
        programs = context.tests_with(one, "guest")
        return runner.in_guest(context.kernel(variant), programs, progress, SDK_PARAMS, userspace.tool_dirs())

    return run


def cross_version(context, variant, progress):
    """Programs of every Boost that is to be had, each attached to what each makes."""
    have, missing = [boost.system()], []
    for name, get in ((f"Boost {boost.MIDDLE}", context.middle_boost), ("the newest Boost", context.newest_boost)):
        try:
            one = get()
            if one.version not in [other.version for other in have]:
                have.append(one)
        except LabError as err:
            missing.append(results.skipped(name, str(err)))
    programs = []
    for one in have:
        directory = context.userspace() if one == have[0] else context.build_with(one)
        programs.append(directory / "sdk" / "tests" / "cross_version")
        # Where there is one layout, it is the same program.
        if aptsource.number(one.version) >= TWO_LAYOUTS:
            programs.append(directory / "sdk" / "tests" / "cross_version_abi1")
    script = paths.CHECKOUT / "sdk" / "tests" / "boost" / "cross_version.py"
    program = runner.Program("cross-version", [sys.executable, "-B", script, *programs], "tap", 300)
    return [*runner.in_guest(context.kernel(variant), [program], progress), *missing]


# The first Boost with another layout of segments, which has a macro that brings the older one back.
TWO_LAYOUTS = (1, 87)


def boost_examples(context, variant, progress):
    try:
        examples = context.once("examples of Boost", boost.examples)
    except LabError as err:
        return [results.skipped("boost-examples", str(err))]
    directory = context.once("built examples of Boost", lambda: userspace.boost_examples(examples))
    script = paths.CHECKOUT / "sdk" / "tests" / "boost" / "examples.py"
    program = runner.Program("examples", [sys.executable, "-B", script, "run", directory], "tap", 600)
    return runner.in_guest(context.kernel(variant), [program], progress)


# Tests that have to notice a driver with defects, the quickest first.
CRITICS = ("kernel_shared_memory_test", "region_test", "mapping_test")


def broken_device_programs(context, _):
    directory = context.userspace() / "sdk" / "tests"
    script = paths.CHECKOUT / "sdk" / "tests" / "broken_device.py"
    words = [sys.executable, "-B", script, directory / "libbroken_device.so", *(directory / name for name in CRITICS)]
    return [runner.Program("broken-device", words, "tap", 900)]


SUITES = [
    Suite("lab", on_host(lab_programs), ("host",)),
    Suite("series", on_host(series_programs), ("host",)),
    Suite("programs", on_host(host_programs), ("host",), ("userspace",)),
    Suite("boost", compile_matrix, ("host",), ("userspace",)),
    Suite("controls", lambda context, variant, progress: runner.controls(context.kernel(variant), progress), ("uml", "uml-san")),
    Suite("kunit", lambda context, variant, progress: runner.kunit(context.kernel(variant), progress), ("uml", "uml-san", "qemu")),
    Suite("kselftest", in_guest(selftest_programs, SELFTEST_PARAMS), ("uml", "uml-san", "qemu")),
    Suite("sdk", in_guest(sdk_programs, SDK_PARAMS), ("uml", "qemu"), ("userspace",)),
    Suite(f"boost-{boost.MIDDLE}", with_boost(Context.middle_boost, f"boost-{boost.MIDDLE}"), ("host", "uml"), ("userspace",)),
    Suite("boost-newest", with_boost(Context.newest_boost, "boost-newest"), ("host", "uml"), ("userspace",)),
    Suite("boost-versions", cross_version, ("uml",), ("userspace",)),
    Suite("boost-examples", boost_examples, ("uml",), ("userspace",)),
    Suite("broken-device", in_guest(broken_device_programs, SDK_PARAMS), ("uml",), ("userspace",)),
    Suite("consumer", in_guest(consumer_programs), ("uml",), ("userspace",)),
    Suite("shmtool", in_guest(shmtool_programs, SHMTOOL_PARAMS), ("uml",), ("userspace",)),
    Suite("documentation", in_guest(documentation_programs), ("uml",)),
    Suite("samples", in_guest(sample_programs), ("uml", "uml-san", "qemu")),
    Suite("tracepoints", in_guest(tracepoint_programs), ("uml", "qemu")),
    Suite("soak", in_guest(soak_programs), ("uml", "uml-san", "qemu"), ("userspace",)),
    Suite("fsx", in_guest(checker("fsx", "1000", "5000"), CHECKER_PARAMS), ("uml", "qemu"), ("userspace",)),
    Suite("fio", in_guest(checker("fio"), CHECKER_PARAMS), ("uml", "qemu"), ("userspace", "checkers")),
    Suite("stress-ng", in_guest(checker("stress", "1", "2"), CHECKER_PARAMS), ("uml",), ("userspace", "checkers")),
]

VARIANTS = {"host": None, "uml": kernel.UML, "uml-san": kernel.SAN, "qemu": kernel.X86}

# What --quick leaves out: their kernels take minutes to build and their guests seconds to boot.
SLOW = ("uml-san", "qemu")


def selected(filters, quick, qemu):
    """(place, suite) of what is to run, in order: this machine first, the slow guests last."""
    chosen = []
    for place in VARIANTS:
        if place in SLOW and quick and not (qemu and place == "qemu"):
            continue
        for suite in SUITES:
            if place in suite.where and (not filters or any(word in f"{place}/{suite.name}" for word in filters)):
                chosen.append((place, suite))
    return chosen


def run_all(context, filters, qemu, verbose, jobs=0):
    """JOBS: how many suites of guests run at a time; 0: as many as this machine bears."""
    chosen = selected(filters, context.quick, qemu)
    if not chosen:
        raise LabError(f"no suite matches {' '.join(filters)}; there are: {' '.join(f'{place}/{suite.name}' for suite in SUITES for place in suite.where)}")
    report = results.Report(verbose)
    display = threading.Lock()
    for place, suite in chosen:
        if place == "host":
            run_one(context, place, suite, report, display)
    in_guests = [(place, suite) for place, suite in chosen if place != "host"]
    if in_guests:
        # The first needs it anyway; and what two need at once is there.
        guests.poweroff_program()
        guests.side_by_side = min(jobs or bearable_jobs(), len(in_guests))
        with concurrent.futures.ThreadPoolExecutor(guests.side_by_side) as pool:
            try:
                waiting = [pool.submit(run_one, context, place, suite, report, display) for place, suite in in_guests]
                for one in concurrent.futures.as_completed(waiting):
                    one.result()
            except BaseException:
                guests.STOPPING.set()
                pool.shutdown(wait=False, cancel_futures=True)
                proc.stop_all()
                raise
    return report.finish()


# Memory in MiB that a guest of the largest kind and what it runs on this side take.
GUEST_MIB = guests.QEMU_MIB + 512


def bearable_jobs():
    """Two where there are processors and memory for that."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    available = int(re.search(r"^MemAvailable:\s+(\d+) kB", text, re.M)[1]) >> 10
    return 2 if len(os.sched_getaffinity(0)) > 1 and available > 2 * GUEST_MIB else 1


def run_one(context, place, suite, report, display):
    """Run SUITE at PLACE; DISPLAY is held by whoever writes to the terminal."""
    name = f"{place}/{suite.name}"
    trouble = packages.try_ensure(*suite.needs) if suite.needs else None
    if trouble:
        with display:
            report.suite(name, [results.skipped(suite.name, trouble)], 0)
        return
    start = time.monotonic()
    current = Step(name, quiet=True)

    def progress(detail):
        with display:
            current.progress(detail)

    try:
        found = suite.run(context, VARIANTS[place], progress)
    except LabError as err:
        # One suite that cannot be built is a failure; the others still run.
        found = [results.failed(suite.name, str(err))]
    except BaseException:
        with display:
            current.abandon()
        raise
    with display:
        current.abandon()
        if not guests.STOPPING.is_set():
            report.suite(name, found or [results.failed(suite.name, "it has no tests")], time.monotonic() - start)
