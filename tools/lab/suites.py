# SPDX-License-Identifier: GPL-2.0-only
"""The suites of `./lab test`: every test there is, and where it runs."""

import sys
import time
from dataclasses import dataclass

import kernel
import packages
import paths
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

    def once(self, name, make):
        """MAKE() the first time; the same again, the same failure included, later."""
        if name not in self.made:
            try:
                self.made[name] = make()
            except LabError as err:
                self.made[name] = err
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


def documentation_programs(_, build):
    """The complete programs of the pages: compiled, run, and compared with what the pages say that they print."""
    script = paths.CHECKOUT / "Documentation" / "run_examples.py"
    return [runner.Program("examples", [sys.executable, "-B", script], "tap", 120, "", [f"KHDR_INCLUDES=-isystem {build.headers}"])]


def soak_programs(context, build):
    """The soak of the samples, with every reader that there is: without the program, with shmtool, with the SDK."""
    readers = ["shm_kernel_sched_user", "shm_kernel_sched_user 100", "shmtool ring sched", "shmtool watch sched", "shmtool wait sched", *SDK_READERS]
    seconds = 20 if context.quick or build.variant is kernel.SAN else 60
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


SUITES = [
    Suite("lab", on_host(lab_programs), ("host",)),
    Suite("series", on_host(series_programs), ("host",)),
    Suite("programs", on_host(host_programs), ("host",), ("userspace",)),
    Suite("controls", lambda context, variant, progress: runner.controls(context.kernel(variant), progress), ("uml", "uml-san")),
    Suite("kunit", lambda context, variant, progress: runner.kunit(context.kernel(variant), progress), ("uml", "uml-san", "qemu")),
    Suite("kselftest", in_guest(selftest_programs, SELFTEST_PARAMS), ("uml", "uml-san", "qemu")),
    Suite("sdk", in_guest(sdk_programs, SDK_PARAMS), ("uml", "qemu"), ("userspace",)),
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


def run_all(context, filters, qemu, verbose):
    chosen = selected(filters, context.quick, qemu)
    if not chosen:
        raise LabError(f"no suite matches {' '.join(filters)}; there are: {' '.join(f'{place}/{suite.name}' for suite in SUITES for place in suite.where)}")
    report = results.Report(verbose)
    for place, suite in chosen:
        run_one(context, place, suite, report)
    return report.finish()


def run_one(context, place, suite, report):
    name = f"{place}/{suite.name}"
    trouble = packages.try_ensure(*suite.needs) if suite.needs else None
    if trouble:
        report.suite(name, [results.skipped(suite.name, trouble)], 0)
        return
    start = time.monotonic()
    current = Step(name, quiet=True)
    try:
        found = suite.run(context, VARIANTS[place], current.progress)
    except LabError as err:
        # One suite that cannot be built is a failure; the others still run.
        found = [results.failed(suite.name, str(err))]
    finally:
        current.abandon()
    if not found:
        found = [results.failed(suite.name, "it has no tests")]
    report.suite(name, found, time.monotonic() - start)
