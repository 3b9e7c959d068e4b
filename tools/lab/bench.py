# SPDX-License-Identifier: GPL-2.0-only
"""`lab bench`: counts instructions of what regions, doorbells, rings and the Boost layer do, and of what their peers do, and compares."""

import argparse
import json
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import guests
import kernel
import packages
import paths
import proc
import ui
import userspace
from ui import LabError

SDK = paths.CHECKOUT / "sdk"
SOURCE = SDK / "benchmarks" / "kernel"
UAPI = paths.CHECKOUT / "drivers-char-shm" / "include" / "uapi"
INTERPROCESS = SDK / "benchmarks" / "interprocess"
BEGIN = ".. The figures from here on are written by ./lab bench --write-page"
END = ".. End of the figures"

TOLERANCE = 0.01
# Where the scheduler has a part: which of its ways a run takes depends on when the timer ticks.
UNGATED = (
    "doorbell_kernel_sleeper",
    "queue_throughput_64",
    "queue_throughput_1024",
    "queue_round_trip_64",
    "queue_round_trip_1024",
)
FLAGS = ["-O2", "-Wall"]

PEERS = {
    "region": "region",
    "region_small": "region, 4K folios",
    "region_kept": "region, device kept open",
    "node": "node",
    "memfd": "memfd",
    "memfd_thp": "memfd huge",
    "hugetlb": "hugetlb",
    "shm": "POSIX shm",
    "dma_heap": "dma-buf heap",
    "floor": "floor",
    "events": "event file",
    "eventfd": "eventfd",
    "ring": "ring",
    "ring_shared": "ring, any context",
    "bpf": "BPF ring buffer",
    "bpf_output": "bpf_ringbuf_output",
    "relay": "relay",
    "pipe": "pipe",
    "shm_kernel": "shm_kernel",
    "Boost": "Boost",
    "pthread": "robust pthread",
}
OURS = ("region", "region_small", "region_kept", "node", "events", "ring", "ring_shared", "shm_kernel")
# What interprocess_bench measures is a part, too; the others are of kernel_rows.
PARTS = ("interprocess", "region", "region_small", "region_kept", "node", "memfd", "memfd_thp", "hugetlb", "shm", "dma_heap", "floor", "open", "doorbell", "record")

# In the order of the page, a table for each group. Rows of one name are measured for several peers.
MEMORY_ROWS = {
    "pread_8": "pread 8 B",
    "pread_4k": "pread 4 KiB",
    "pread_64k": "pread 64 KiB",
    "pread_1m": "pread 1 MiB",
    "pwrite_8": "pwrite 8 B",
    "pwrite_4k": "pwrite 4 KiB",
    "pwrite_64k": "pwrite 64 KiB",
    "pwrite_1m": "pwrite 1 MiB",
    "load_mapped_1m": "load 1 MiB through a mapping",
    "store_mapped_1m": "store 1 MiB through a mapping",
    "fault_write": "write fault, page exists",
    "fault_read": "read fault, page exists",
    "mmap_munmap_16m": "mmap + munmap 16 MiB",
    "attach_write_16m": "attach 16 MiB, write each page",
    "attach_read_16m": "attach 16 MiB, read each page",
    "attach_populate_16m": "attach 16 MiB, MAP_POPULATE",
    "create_touch_destroy_64k": "create, touch, destroy 64 KiB",
    "create_touch_destroy_1m": "create, touch, destroy 1 MiB",
    "create_touch_destroy_16m": "create, touch, destroy 16 MiB",
    "create_populate_destroy_64k": "create, populate, destroy 64 KiB",
    "create_populate_destroy_1m": "create, populate, destroy 1 MiB",
    "create_populate_destroy_16m": "create, populate, destroy 16 MiB",
    "create_destroy_64k": "create, destroy 64 KiB, not mapped",
    "create_destroy_1m": "create, destroy 1 MiB, not mapped",
    "create_destroy_16m": "create, destroy 16 MiB, not mapped",
    "open_close": "open by name + close",
    "open_close_with_control": "open the device, a region by name, close both",
    "getppid": "getppid",
    "copy_4k": "copy 4 KiB",
    "copy_64k": "copy 64 KiB",
    "copy_1m": "copy 1 MiB",
    "zero_4k": "zero 4 KiB",
    "zero_64k": "zero 64 KiB",
    "zero_1m": "zero 1 MiB",
    "zero_16m": "zero 16 MiB",
}
DOORBELL_ROWS = {
    "doorbell_write": "ring",
    "doorbell_write_epoll": "ring, epoll watches",
    "doorbell_read": "read what was rung",
    "doorbell_write_read": "ring + read",
    "doorbell_poll": "poll, ready",
    "doorbell_poll_idle": "poll, not ready",
    "doorbell_epoll": "epoll_wait, ready",
    "doorbell_kernel": "ring from the kernel",
    "doorbell_kernel_sleeper": "ring from the kernel, a reader sleeps",
}
RECORD_ROWS = {
    "record_64": "write 64 B",
    "record_doorbell_64": "write 64 B + ring",
    "record_1k": "write 1 KiB",
    "record_doorbell_1k": "write 1 KiB + ring",
    "record_copy_64": "copy 64 B",
    "record_copy_1k": "copy 1 KiB",
    "consume_64": "read 64 B",
    "consume_1k": "read 1 KiB",
}
SEGMENT_ROWS = {
    "construct": "construct, 1e5 named ints",
    "construct_random": "construct, 1e5 named ints, in random order",
    "find": "find one of 1e5, at random",
    "destroy": "destroy, 1e5 named ints",
    "pair_16": "allocate + free 16 B",
    "pair_64": "allocate + free 64 B",
    "pair_256": "allocate + free 256 B",
    "pair_4096": "allocate + free 4 KiB",
    "replace": "free one of 16384 blocks, allocate another",
    "allocate_16": "allocate 10000 x 16 B",
    "allocate_64": "allocate 10000 x 64 B",
    "allocate_256": "allocate 10000 x 256 B",
    "allocate_4096": "allocate 4000 x 4 KiB",
    "deallocate_16": "free 10000 x 16 B, at random",
    "deallocate_64": "free 10000 x 64 B, at random",
    "deallocate_256": "free 10000 x 256 B, at random",
    "deallocate_4096": "free 4000 x 4 KiB, at random",
    "segment_open": "open a segment, find, close",
}
LOCK_ROWS = {
    "mutex": "mutex: lock + unlock",
    "recursive_mutex": "recursive mutex: lock + unlock",
    "named_mutex": "named mutex: lock + unlock",
    "file_lock": "file or region lock + unlock",
}
QUEUE_ROWS = {
    "queue_64": "one thread, send + receive 64 B",
    "queue_1024": "one thread, send + receive 1 KiB",
    "queue_priorities_64": "four priorities, half full, 64 B",
    "queue_priorities_1024": "four priorities, half full, 1 KiB",
    "queue_throughput_64": "two processes, one way, 64 B",
    "queue_throughput_1024": "two processes, one way, 1 KiB",
    "queue_round_trip_64": "two processes, round trip, 64 B",
    "queue_round_trip_1024": "two processes, round trip, 1 KiB",
}
KERNEL_GROUPS = {
    "Memory": MEMORY_ROWS,
    "Doorbells": DOORBELL_ROWS,
    "Records from the kernel to user space": RECORD_ROWS,
}
INTERPROCESS_GROUPS = {
    "Managed segments": SEGMENT_ROWS,
    "Locks": LOCK_ROWS,
    "Message queues": QUEUE_ROWS,
}
GROUPS = {**KERNEL_GROUPS, **INTERPROCESS_GROUPS}
ROWS = {row: title for group in GROUPS.values() for row, title in group.items()}


@dataclass(frozen=True)
class Place:
    """Where the figures of some groups go."""

    groups: dict
    page: Path
    baseline: Path
    boost: bool = False  # the figures depend on the version of Boost

    def part_of(self, result):
        """RESULT with the rows of these groups only."""
        rows = {row: peers for row, peers in result["rows"].items() if any(row in group for group in self.groups.values())}
        return {**result, "rows": rows}

    def key(self, result):
        words = [result["kernel"], result["config"], result["compiler"]]
        return " ".join([*words, "Boost", result["boost"]] if self.boost else words)


PLACES = [
    Place(KERNEL_GROUPS, paths.CHECKOUT / "Documentation" / "benchmarks.rst", SOURCE / "baseline.json"),
    Place(INTERPROCESS_GROUPS, paths.CHECKOUT / "Documentation" / "benchmarks-interprocess.rst", INTERPROCESS / "baseline.json", True),
]
# What a goal is called; where it is not here, as its row.
GOAL_TITLES = {
    "doorbell_write": "ring from user space",
    "record_64": "record of 64 B, kernel to user, write",
    "record_doorbell_64": "record of 64 B + ring",
    "consume_64": "record of 64 B, read",
}

BEST_PEER = "the best peer"


@dataclass(frozen=True)
class Goal:
    """A row of ours is to cost at most FACTOR times a row of a peer's."""

    row: str
    ours: str
    factor: float
    peer: str
    peer_row: str = ""  # the same row

    @property
    def title(self):
        title = GOAL_TITLES.get(self.row, ROWS[self.row])
        return title + ("" if self.ours in ("region", "events", "ring", "shm_kernel") else f" ({PEERS[self.ours]})")

    @property
    def against(self):
        if self.peer == "floor":
            return ROWS[self.peer_row]
        return PEERS.get(self.peer, self.peer)

    @property
    def key(self):
        return f"{self.row}/{self.ours}/{self.peer_row or self.peer}"


GOALS = [
    Goal("store_mapped_1m", "region", 1.00, "memfd"),
    Goal("load_mapped_1m", "region", 1.00, "memfd"),
    Goal("pread_4k", "region", 0.70, "memfd"),
    Goal("pread_1m", "region", 0.57, "memfd"),
    Goal("pread_1m", "region", 1.005, "floor", "copy_1m"),
    Goal("pwrite_4k", "region", 0.60, "memfd"),
    Goal("pwrite_1m", "region", 0.51, "memfd"),
    Goal("attach_write_16m", "region", 0.006, "memfd"),
    Goal("attach_write_16m", "region", 0.80, "memfd_thp"),
    Goal("attach_write_16m", "region", 0.10, "dma_heap"),
    Goal("attach_write_16m", "region", 1.10, "hugetlb"),
    Goal("attach_write_16m", "region_small", 0.42, "memfd"),
    Goal("mmap_munmap_16m", "region", 0.93, BEST_PEER),
    Goal("create_populate_destroy_16m", "region", 0.98, "memfd_thp"),
    Goal("create_populate_destroy_16m", "region", 0.85, "dma_heap"),
    Goal("create_populate_destroy_16m", "region", 1.12, "floor", "zero_16m"),
    Goal("create_touch_destroy_64k", "region", 0.32, "memfd"),
    Goal("create_touch_destroy_1m", "region", 0.12, "memfd"),
    Goal("open_close", "region", 0.70, "shm"),
    Goal("doorbell_write", "events", 0.70, "eventfd"),
    Goal("record_64", "ring", 0.30, "bpf"),
    Goal("record_64", "ring_shared", 0.50, "bpf"),
    Goal("record_doorbell_64", "ring", 0.75, "bpf", "record_64"),
    Goal("consume_64", "ring", 0.75, "bpf"),
    Goal("construct", "shm_kernel", 0.25, "Boost"),
    Goal("find", "shm_kernel", 0.25, "Boost"),
    Goal("pair_16", "shm_kernel", 0.60, "Boost"),
    Goal("pair_64", "shm_kernel", 0.60, "Boost"),
    Goal("pair_256", "shm_kernel", 0.60, "Boost"),
    Goal("pair_4096", "shm_kernel", 0.60, "Boost"),
    Goal("replace", "shm_kernel", 0.60, "Boost"),
    Goal("mutex", "shm_kernel", 1.05, "pthread"),
]

# Why a goal is missed, where somebody has found out; shown only while it is.
WHY = {
    "pwrite_4k/region/memfd": (
        "a region file is a regular file, whose writes pass the superblock's freeze protection: 19 instructions, which a "
        "node's writes do not need. A write also holds a reference to the folio that it copies into, so that it keeps nobody "
        "waiting. Copying from the caller's buffer past the iov_iter would save 23 and reach the goal; it was left out "
        "because it relies on what only the iov_iter should know."
    ),
    "doorbell_write/events/eventfd": (
        "nearly all of either is the system call and what write(2) does for any file: what writing to /dev/null costs is the "
        "floor of that row, and no doorbell that is rung by write(2) can cost less. A ring whose consumer is awake needs no "
        "doorbell at all."
    ),
}

LIMITS = """\
Instructions are not time. Cache and TLB misses, page walks and contention cost nothing here, an atomic
operation costs 1, and rep movs and rep stos count one for each 8 bytes. Figures compare only within one
kernel, configuration and compiler."""


def add_arguments(parser):
    parser.add_argument("--json", action="store_true", help="print all figures and goals as JSON")
    parser.add_argument("--gate", action="store_true", help=f"fail when a median of ours is more than {TOLERANCE:.0%} above the stored one")
    parser.add_argument("--store", action="store_true", help="store the medians as the ones to compare with")
    parser.add_argument("--write-page", action="store_true", help="write the figures to their pages in Documentation/")
    parser.add_argument("--row", help="only rows whose name begins so, for example pread")
    parser.add_argument("--part", choices=PARTS, help="only this peer's rows, or those of opening by name, of doorbells, of records, of the Boost layer")
    parser.add_argument("--image", type=Path, help="a kernel image of one's own, instead of the lab's")
    parser.add_argument("--module", type=Path, nargs="+", help="the driver's module that belongs to it; for all rows also shm_kernel_ring.ko and shm_kernel_bench.ko")


@dataclass
class OwnBuild:
    """A kernel that somebody else has built."""

    image: Path
    module: Path
    others: list


def find_build(args):
    if args.image or args.module:
        if not (args.image and args.module):
            raise LabError("--image and --module belong together")
        for file in (args.image, *args.module):
            if not file.exists():
                raise LabError(f"{file}: no such file")
        return OwnBuild(args.image, args.module[0], args.module[1:])
    return kernel.build(kernel.X86, getattr(args, "kernel", None), getattr(args, "newest", False))


def compiler():
    return proc.output(["gcc", "--version"]).splitlines()[0]


def other_modules(build):
    """The modules to load after the driver: the ring's, and the one that counts in the kernel."""
    if isinstance(build, OwnBuild):
        return build.others
    ring = [module for module in build.modules if module.stem == "shm_kernel_ring"]
    return [*ring, kernel.external_module(build, SOURCE / "shm_kernel_bench.c", SOURCE / "shm_kernel_bench.h")]


def compile_program():
    """kernel_rows: C, but for what reads a ring with the SDK."""
    packages.ensure("guest", "userspace", "bench")
    directory = paths.make_dir(paths.cache() / "bench")
    program = directory / "kernel_rows"
    objects = []
    for code in sorted(SOURCE.glob("*_rows.c")):
        objects.append(directory / f"{code.stem}.o")
        compile_with(["gcc", *FLAGS, "-isystem", UAPI, "-c", "-o", objects[-1], code])
    codes = [SOURCE / "ring_consumer.cpp", *sorted((SDK / "src").glob("*.cpp"))]
    compile_with(["g++", "-std=c++17", *FLAGS, "-isystem", UAPI, "-I", SDK / "include", "-static", "-o", program, *objects, *codes])
    return program


def compile_with(command):
    done = proc.attempt(command)
    if done.returncode:
        raise LabError(f"compiling kernel_rows failed: {kernel.first_error(done.stderr)}")


# The firmware leaves a line open.
GUEST_HEAD = """
echo
echo "# kernel $(uname -r)"
echo "# config $(zcat /proc/config.gz | sha256sum | cut -c1-12)"
"""


def interprocess_files():
    """interprocess_bench and all that it is linked to; Google Benchmark has no static library."""
    packages.ensure("guest", "userspace", "bench")
    program = userspace.build("interprocess_bench") / "sdk" / "benchmarks" / "interprocess" / "interprocess_bench"
    needed = re.findall(r"^\s*(?:\S+ => )?(/\S+) \(0x", proc.output(["ldd", program]), re.M)
    return {program.name: program, **{Path(file).name: Path(file) for file in needed}}


def interprocess_script(args, files):
    loader = next(name for name in files if name.startswith("ld-linux"))
    # Nothing disturbs anything here, so three runs in order will do, and short ones. Who fights for a lock
    # on a single processor only ever meets a preempted owner.
    chosen = f"^{args.row}" if args.row else "-contended"
    options = ["--rows", "--benchmark_repetitions=3", "--benchmark_min_time=0.001", "--benchmark_enable_random_interleaving=false", f"--benchmark_filter={chosen}"]
    return f"""
{GUEST_HEAD}
insmod /shm_kernel_driver.ko || echo "# insmod failed"
LD_LIBRARY_PATH=/bin /bin/{loader} /bin/interprocess_bench {" ".join(options)} && echo "# done"
"""


def kernel_script(args, modules):
    words = ["kernel_rows"]
    if args.row:
        words += ["--row", args.row]
    if args.part:
        words += ["--part", args.part]
    load = "\n".join(f"insmod /bin/{module.name} || echo '# insmod failed'" for module in modules)
    # Huge pages for hugetlb are taken first; region 0 is as large as the regions.
    return f"""
{GUEST_HEAD}
echo 16 >/proc/sys/vm/nr_hugepages
insmod /shm_kernel_driver.ko size=16M || echo "# insmod failed"
{load}
{" ".join(words)} && echo "# done"
"""


def measure(build, args):
    """Boot BUILD once for each program, and return what they printed as a dictionary."""
    results = []
    if args.part != "interprocess" and begins_a_row(args.row, KERNEL_GROUPS):
        modules = other_modules(build)
        files = {"kernel_rows": compile_program(), **{module.name: module for module in modules}}
        with ui.step("counting instructions"):
            results.append(parse(guests.qemu_icount(build, files, kernel_script(args, modules))))
    if args.part in (None, "interprocess") and begins_a_row(args.row, INTERPROCESS_GROUPS):
        files = interprocess_files()
        with ui.step("counting instructions of the Boost layer"):
            results.append(parse(guests.qemu_icount(build, files, interprocess_script(args, files))))
    if not results:
        raise LabError(f"no row begins with {args.row}")
    whole = results[0]
    for other in results[1:]:
        whole["boost"] = whole["boost"] or other["boost"]
        whole["rows"].update(other["rows"])
        whole["none"].update(other["none"])
    return whole


def begins_a_row(text, groups):
    return not text or any(row.startswith(text) for group in groups.values() for row in group)


def parse(text):
    result = {"kernel": "", "config": "", "compiler": compiler(), "boost": "", "rows": {}, "none": {}}
    for line in text.splitlines():
        words = line.split()
        if line.startswith("# kernel ") or line.startswith("# config ") or line.startswith("# boost "):
            result[words[1]] = words[2]
        elif line.startswith("# insmod failed"):
            raise LabError("a module did not load in the counting guest:\n" + proc.tail(text))
        elif re.fullmatch(r"row \w+ \w+( [\d.]+){4} \d+", line):
            values = dict(zip(("min", "median", "p90", "max", "calls"), map(number, words[3:])))
            result["rows"].setdefault(words[1], {})[words[2]] = values
        elif line.startswith("none ") and len(words) > 3:
            result["none"].setdefault(words[1], {})[words[2]] = " ".join(words[3:])
    if "# done" not in text.splitlines():
        raise LabError("the counting guest did not get to its end:\n" + proc.tail(text))
    return result


def number(text):
    return float(text) if "." in text else int(text)


def median(result, row, peer):
    return result["rows"].get(row, {}).get(peer, {}).get("median")


def best_peer(result, row):
    values = [v["median"] for peer, v in result["rows"].get(row, {}).items() if peer not in OURS]
    return min(values, default=None)


def judge(result):
    """The goals with their figures; those of rows that were not measured are left out."""
    judged = []
    for goal in GOALS:
        ours = median(result, goal.row, goal.ours)
        theirs = best_peer(result, goal.row) if goal.peer == BEST_PEER else median(result, goal.peer_row or goal.row, goal.peer)
        if not ours or not theirs:
            continue
        ratio = ours / theirs
        judged.append(
            {
                "goal": goal.title,
                "key": goal.key,
                "against": goal.against,
                "ours": ours,
                "theirs": theirs,
                "ratio": round(ratio, 4),
                "limit": goal.factor,
                # A call that was interrupted by the timer one more time is no difference.
                "met": ratio <= goal.factor * 1.0005,
            }
        )
    return judged


def short(value):
    if value is None:
        return "-"
    if isinstance(value, float) and value < 1000:
        return f"{value:.1f}"
    value = round(value)
    if value < 10_000:
        return str(value)
    if value < 1_000_000:
        return f"{value / 1000:.4g}k"
    return f"{value / 1_000_000:.4g}M"


def ratio_text(value):
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}"


def figure_tables(result):
    """For each group that was measured its title, and header and lines of cells."""
    tables = []
    for title, rows in GROUPS.items():
        measured = {row: result["rows"][row] for row in rows if row in result["rows"]}
        have = {peer for row in measured.values() for peer in row}
        peers = [peer for peer in PEERS if peer in have]
        if measured:
            lines = [["", *(PEERS[peer] for peer in peers)]]
            lines += [[rows[row], *(short(median(result, row, peer)) for peer in peers)] for row in measured]
            tables.append((title, lines))
    return tables


def goal_table(judged):
    lines = [["work", "against", "ours", "theirs", "ratio", "at most", ""]]
    for g in judged:
        verdict = "met" if g["met"] else "MISSED"
        lines.append([g["goal"], g["against"], short(g["ours"]), short(g["theirs"]), ratio_text(g["ratio"]), str(g["limit"]), verdict])
    return lines


def as_text(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    shown = []
    for line in lines:
        cells = [line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def as_rst(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rule = "  ".join("=" * width for width in widths)
    # A blank first cell would continue the row above.
    rows = ["  ".join((cell or "\\").ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([rule, rows[0], rule, *rows[1:], rule])


def reasons(judged):
    """Sentences for the goals that are missed and explained."""
    return [f"{g['goal']} against {g['against']}: {WHY[g['key']]}" for g in judged if not g["met"] and g["key"] in WHY]


def show(result, judged):
    print(f"Instructions for each call, median; Linux {result['kernel']}, configuration {result['config']}, {result['compiler']}\n")
    for title, lines in figure_tables(result):
        print(f"{title}\n{as_text(lines)}\n")
    for row, peers in result["none"].items():
        for peer, reason in peers.items():
            print(f"not measured: {ROWS.get(row, row)}, {PEERS.get(peer, peer)}: {reason}")
    if judged:
        met = sum(g["met"] for g in judged)
        print(f"\n{as_text(goal_table(judged))}\n")
        for text in reasons(judged):
            print(textwrap.fill(text, 100) + "\n")
        print(f"{met} of {len(judged)} goals met\n")
    print(LIMITS)


def write_pages(result, judged):
    for place in PLACES:
        part = place.part_of(result)
        if part["rows"]:
            write_page(place, part, [g for g in judged if g["key"].partition("/")[0] in part["rows"]])


def write_page(place, result, judged):
    text = place.page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise LabError(f"{place.page} has lost the marks between which the figures stand")
    boost = f", Boost {result['boost']}" if place.boost else ""
    figures = [
        f"Linux {result['kernel']}, configuration ``{result['config']}``, {result['compiler']}{boost}.",
        "Goals\n-----",
        as_rst(goal_table(judged)),
        *(textwrap.fill(text, 80) for text in reasons(judged)),
        "All figures\n-----------",
        "Instructions for one call, medians. A dash: there is no such call, or it was not measured.",
        *(part for title, lines in figure_tables(result) for part in (title + "\n" + "~" * len(title), as_rst(lines))),
    ]
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    place.page.write_text(before + BEGIN + "\n\n" + "\n\n".join(figures) + "\n\n" + END + after, encoding="utf-8")


def medians(result):
    return {f"{row}/{peer}": values["median"] for row, peers in result["rows"].items() for peer, values in peers.items()}


def load_baseline(place):
    try:
        return json.loads(place.baseline.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def store(result):
    for place in PLACES:
        part = place.part_of(result)
        if part["rows"]:
            baseline = load_baseline(place)
            baseline[place.key(result)] = medians(part)
            place.baseline.write_text(json.dumps(baseline, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def gate(result):
    """Compare with the stored medians. Returns how many of ours got worse."""
    worse = 0
    for place in PLACES:
        part = place.part_of(result)
        stored = load_baseline(place).get(place.key(result))
        if part["rows"] and stored is None:
            ui.warn(f"nothing is stored for {place.key(result)}: store it with --store")
        elif part["rows"]:
            worse += compare(medians(part), stored)
    return worse


def compare(measured, stored):
    worse = 0
    for name, value in measured.items():
        before = stored.get(name)
        if not before or abs(value - before) <= before * TOLERANCE or name.partition("/")[0] in UNGATED:
            continue
        change = f"{name}: {before} -> {value} ({(value - before) / before:+.1%})"
        if name.rpartition("/")[2] not in OURS:
            ui.warn(f"a peer has changed, so this is not the same measurement: {change}")
        elif value > before:
            worse += 1
            ui.warn(f"worse than stored: {change}")
        else:
            ui.note(f"better than stored: {change}")
    return worse


def run(args):
    build = find_build(args)
    result = measure(build, args)
    judged = judge(result)
    if args.json:
        print(json.dumps({**result, "goals": judged}, indent=1))
    else:
        show(result, judged)
    if args.store:
        store(result)
    if args.write_page:
        write_pages(result, judged)
    if args.gate and gate(result):
        return 1
    return 0


def main():
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except LabError as err:
        ui.note(str(err))
        return 1


if __name__ == "__main__":
    sys.exit(main())
