# SPDX-License-Identifier: GPL-2.0-only
"""Running a suite: its programs on this machine or in a guest, and what must hold after them."""

import re
import shlex
import subprocess
from dataclasses import dataclass, field

import guests
import kernel
import kernellog
import paths
import proc
import results

STATS = "/sys/kernel/debug/shm_kernel/stats"


@dataclass
class Program:
    """One program of a suite, and how to read what it prints."""

    name: str
    command: list
    kind: str  # "tap", or "exit": judged by its exit status
    timeout: int = 120
    directory: str = ""
    environment: list = field(default_factory=list)  # NAME=VALUE

    def shell(self):
        words = shlex.join(map(str, self.command))
        if self.environment:
            words = f"env {shlex.join(self.environment)} {words}"
        if self.directory:
            return f"cd {shlex.quote(str(self.directory))} && {words}"
        return words


def on_host(programs, progress):
    """The Results of PROGRAMS, run on this machine one after the other."""
    found = []
    for program in programs:
        progress(program.name)
        status, said = run_on_host(program)
        found += results.read_program(program.kind, program.name, status, said.decode("utf-8", "replace"))
    return found


def run_on_host(program):
    """(exit status, output) of PROGRAM, 124 if its time was over. Nothing that it started is left then."""
    process = subprocess.Popen(
        ["sh", "-c", program.shell()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        cwd=paths.CHECKOUT,
        env=proc.clean_env(),
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=program.timeout)
        return process.returncode, said
    except subprocess.TimeoutExpired:
        guests.end_group(process)
        said, _ = process.communicate()
        return 124, said
    except BaseException:
        guests.end_group(process)
        raise


# A report about locks switches lockdep off for good.
LOOK_AT_LOCKDEP = 'sed -n "s/^ *debug_locks: *//p" /proc/lockdep_stats >"$LAB_DIR/lockdep" 2>/dev/null || :'


def guest_script(programs):
    """The shell script that runs PROGRAMS in a guest, then looks whether they left anything behind."""
    lines = [
        "program() {",
        '\techo "$1"',
        '\ttimeout -k 5 "$2" sh -c "$3" >"$LAB_DIR/$1.out" 2>&1 </dev/null',
        '\techo $? >"$LAB_DIR/$1.status"',
        "}",
        f"stats={STATS}",
        'cat "$stats" >"$LAB_DIR/stats.before"',
    ]
    lines += [f"program {number} {program.timeout} {shlex.quote(program.shell())}" for number, program in enumerate(programs)]
    lines += [
        # What a killed program held may go a moment after it.
        "for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do",
        '\tcat "$stats" >"$LAB_DIR/stats.after"',
        '\tcmp -s "$LAB_DIR/stats.before" "$LAB_DIR/stats.after" && break',
        "\tsleep 0.1",
        "done",
        # modprobe loads this one for others, and rmmod leaves it.
        "[ ! -e /sys/module/shm_kernel_ring ] || rmmod shm_kernel_ring",
        'rmmod shm_kernel_driver 2>"$LAB_DIR/rmmod.out"',
        'echo $? >"$LAB_DIR/rmmod.status"',
        'ls -d /dev/shm_kernel* /sys/module/shm_kernel* >"$LAB_DIR/nodes" 2>/dev/null',
        LOOK_AT_LOCKDEP,
        "exit 0",
    ]
    return "\n".join(lines) + "\n"


def read(path):
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def lockdep(build, directory):
    """Whether lockdep, where BUILD has it, was awake to the end: a list of at most one Result."""
    if build.variant.arch != "um":
        return []
    found = (read(directory / "lockdep") or "").strip()
    if found == "1":
        return [results.passed("lockdep", "lockdep awake")]
    return [results.failed("lockdep", "it had switched itself off before the end" if found == "0" else "not looked at: the guest had ended")]


class GuestRun:
    """What a guest that ran guest_script() left in its directory."""

    def __init__(self, build, programs):
        self.build, self.programs = build, programs
        self.found = []

    def collect(self, directory):
        """Called before the directory goes away."""
        for number, program in enumerate(self.programs):
            text, status = read(directory / f"{number}.out"), read(directory / f"{number}.status")
            if text is None:
                self.found.append(results.failed(program.name, "not run: the guest had ended"))
            elif status is None or not status.strip():
                self.found += results.read_program(program.kind, program.name, 1, text)
                self.found.append(results.failed(f"{program.name}: end", "the guest ended before the program did"))
            else:
                self.found += results.read_program(program.kind, program.name, int(status), text)
        self.leftovers(directory)
        self.found += lockdep(self.build, directory)

    def leftovers(self, directory):
        before, after = read(directory / "stats.before"), read(directory / "stats.after")
        if not before:
            self.found.append(results.failed("live objects", f"the driver shows no {STATS}"))
        elif after is None:
            self.found.append(results.failed("live objects", "not looked at: the guest had ended"))
        elif before != after:
            self.found.append(results.failed("live objects", f"after loading:\n{before}after the suite:\n{after}"))
        else:
            self.found.append(results.passed("live objects"))
        status, nodes = read(directory / "rmmod.status"), read(directory / "nodes")
        if status is None or status.strip() != "0":
            self.found.append(results.failed("rmmod", read(directory / "rmmod.out") or "the guest had ended"))
        elif nodes and nodes.strip():
            self.found.append(results.failed("rmmod", f"left behind: {nodes}"))
        else:
            self.found.append(results.passed("rmmod"))


def kernel_log(outcome):
    """Whether the guest's kernel complained, as a Result."""
    if outcome.broken:
        return results.failed("kernel log", outcome.explain())
    return results.passed("kernel log")


def in_guest(build, programs, progress, params="", tool_dirs=(), timeout=1800):
    """The Results of PROGRAMS, run one after the other in one guest with the driver loaded."""
    run = GuestRun(build, programs)
    guest = guests.Guest(build, params=params, tool_dirs=list(tool_dirs), collect=run.collect)

    def said(data):
        # The script prints the number of each program that it starts.
        numbers = re.findall(rb"^\d+$", data, re.M)
        if numbers:
            progress(programs[int(numbers[-1])].name)

    outcome = guest.run(guest_script(programs), said, lambda _: None, timeout)
    return [*run.found, kernel_log(outcome)]


def kunit(build, progress):
    """The Results of the KUnit modules, which print them to the kernel log.

    They have a guest of their own, so that nothing of User-Mode Linux's has put lockdep to sleep before.
    """
    modules = [module.stem for module in build.kunit_modules]
    if not modules:
        return [results.failed("kunit", "the series builds no KUnit test module")]
    progress(" ".join(modules))
    script = "".join(f"modprobe {name} || exit 1\n" for name in modules)
    script += "".join(f"rmmod {name} || exit 1\n" for name in modules)
    script += f"{unload_all(build)}\n{LOOK_AT_LOCKDEP}\n"
    said, awake = [], []
    guest = guests.Guest(build, collect=lambda directory: awake.extend(lockdep(build, directory)))
    outcome = guest.run(script, said.append, said.append, 600)
    log = kernellog.clean(outcome.console)
    starts = [at for at, line in enumerate(log) if re.match(r"KTAP version|# Subtest|TAP version", line.strip())]
    found = results.parse_tap("\n".join(log[starts[0] :]), "kunit") if starts else []
    if not found or outcome.status:
        found.append(results.failed("kunit modules", b"".join(said).decode("utf-8", "replace") or f"{results.exit_words(outcome.status)}: no test ran"))
    return [*found, *awake, kernel_log(outcome)]


# What the kernel has to say to each plant of guest/lab_control.c. Those of one line share a guest; nothing that
# switches lockdep off comes before what needs it.
CONTROLS = {
    "um": (
        (("atomic-sleep", r"BUG: sleeping function called from invalid context"), ("lock-order", r"WARNING: possible circular locking dependency")),
        (("irq-lock", r"WARNING: inconsistent lock state"),),
    ),
    "sanitizers": ((("work-freed", r"WARNING: .*debugobjects|ODEBUG: free active"), ("use-after-free", r"BUG: KASAN: \S*use-after-free")),),
}


def controls(build, progress):
    """Whether BUILD finds mistakes that were made on purpose, as Results."""
    module = kernel.external_module(build, paths.LAB / "guest" / "lab_control.c")
    found = []
    for plants in [*CONTROLS["um"], *(CONTROLS["sanitizers"] if build.variant is kernel.SAN else ())]:
        progress(" ".join(plant for plant, _ in plants))
        script = "".join(f"insmod {shlex.quote(str(module))} plant={plant} && rmmod lab_control\n" for plant, _ in plants)
        asleep = []
        guest = guests.Guest(build, load=False, collect=lambda directory, to=asleep: to.append((read(directory / "lockdep") or "").strip() == "0"))
        outcome = guest.run(f"{script}{LOOK_AT_LOCKDEP}\n", lambda _: None, lambda _: None, 300)
        heads = [report[0] for report in kernellog.reports(outcome.console)]
        for plant, pattern in plants:
            seen = any(re.match(pattern, head) for head in heads)
            found.append(results.passed(f"{plant} is found") if seen else results.failed(f"{plant} is found", outcome.explain() or "the kernel said nothing"))
        if any("lock" in plant for plant, _ in plants):
            name = f"lockdep is off after {plants[-1][0]}"
            found.append(results.passed(name) if asleep == [True] else results.failed(name, "it says that it is awake"))
    return found


def unload_all(build):
    """The shell words that unload every module of ours that is loaded."""
    names = " ".join(module.stem for module in build.modules)
    # What uses another one goes before it: as many rounds as there can be in a row.
    return f"for _ in 1 2 3 4; do for module in {names}; do [ ! -e /sys/module/$module ] || rmmod $module 2>/dev/null; done; done; ! ls -d /sys/module/shm_kernel* 2>/dev/null || exit 1"
