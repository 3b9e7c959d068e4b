# SPDX-License-Identifier: GPL-2.0-only
"""The command line of ./lab."""

import argparse
import os
import shlex
import signal
import subprocess
import sys

import bench
import check
import demo
import guests
import kernel
import paths
import source
import suites
import ui
import userspace
from ui import LabError


def add_kernel_options(parser, qemu="boot x86-64 under QEMU instead of User-Mode Linux"):
    parser.add_argument("--kernel", metavar="7.3|6.12|6.1|DIR", help="kernel source: a base fetched from Debian, or a tree of one's own (default: 7.3)")
    parser.add_argument("--newest", action="store_true", help="ask the Debian archive for a newer point release, instead of using the one in the cache")
    parser.add_argument("--qemu", action="store_true", help=qemu)


def parser():
    top = argparse.ArgumentParser(prog="lab", description="Takes a kernel source, applies the series, builds, boots and tests it.")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    one = commands.add_parser("test", help="run every test; ends with 'N passed, N failed, N skipped'")
    add_kernel_options(one, "run the suites for QEMU too where --quick would leave them out")
    one.add_argument("--quick", action="store_true", help="User-Mode Linux only, shorter runs of the file checkers")
    one.add_argument("--jobs", type=int, default=0, metavar="N", help="guests that run at a time (default: 2, or 1 on a small machine)")
    one.add_argument("-v", "--verbose", action="store_true", help="a line for every test (the default on a terminal)")
    one.add_argument("filters", nargs="*", metavar="FILTER", help="only suites with this in their name, e.g. kselftest, uml/, qemu/fio")
    one.set_defaults(call=test)

    one = commands.add_parser("run", help="run a command in a guest with the driver loaded")
    add_kernel_options(one)
    one.add_argument("--params", default="", metavar="'NAME=VALUE ...'", help="module parameters")
    one.add_argument("--no-load", action="store_true", help="leave it to the command to load the module, $SHM_KERNEL_KO")
    one.add_argument("--timeout", type=int, default=600, metavar="SECONDS", help="end a guest that runs longer (default: 600; 0: never)")
    one.add_argument("words", nargs="+", metavar="COMMAND", help="the command and its arguments, after --")
    one.set_defaults(call=run)

    one = commands.add_parser("demo", help="the main job, told step by step")
    add_kernel_options(one)
    one.set_defaults(call=demo_command)

    one = commands.add_parser("check", help="static checks of the series and the sources")
    one.add_argument("filters", nargs="*", metavar="FILTER", help="only checks with this in their name")
    one.set_defaults(call=check_command)

    one = commands.add_parser("series", help="make patches/ from drivers-char-shm/, or say what has drifted")
    one.add_argument("--check", action="store_true", help="change nothing; exit with 1 when something has drifted")
    one.add_argument("--base", default=source.DEFAULT, help="the kernel that the series is for (default: %(default)s)")
    one.set_defaults(call=series)

    one = commands.add_parser("bench", help="count instructions beside the peers")
    one.add_argument("--kernel", metavar="7.3|DIR", help="kernel source (default: 7.3)")
    bench.add_arguments(one)
    one.set_defaults(call=bench.run)

    one = commands.add_parser("shell", help="the same with an interactive shell")
    add_kernel_options(one)
    one.add_argument("--params", default="", metavar="'NAME=VALUE ...'", help="module parameters")
    one.set_defaults(call=shell)
    return top


def test(args):
    context = suites.Context(args.kernel, args.newest, args.quick)
    return suites.run_all(context, args.filters, args.qemu, args.verbose or sys.stdout.isatty(), args.jobs)


def variant(args):
    return kernel.X86 if args.qemu else kernel.UML


def write_to(stream):
    def write(data):
        stream.buffer.write(data)
        stream.buffer.flush()

    return write


def guest_of(args, **kwargs):
    """The guest that `run` and `shell` boot: a kernel, and our tools in its PATH."""
    build = kernel.build(variant(args), args.kernel, args.newest)
    try:
        userspace.build(*userspace.TOOLS)
    except LabError as err:
        ui.warn(f"the guest has no shmtool: {err}")
    return guests.Guest(build, params=args.params, tool_dirs=userspace.tool_dirs(), **kwargs)


def run(args):
    guest = guest_of(args, load=not args.no_load)
    outcome = guest.run(shlex.join(args.words) + "\n", write_to(sys.stdout), write_to(sys.stderr), args.timeout)
    if outcome.broken:
        ui.note(outcome.explain())
    return outcome.exit_status()


def shell(args):
    if not sys.stdin.isatty():
        raise LabError("a shell needs a terminal; for a single command there is: lab run -- COMMAND")
    guest = guest_of(args)
    ui.note("the guest's files are this machine's, read-only; /tmp is writable; leave with exit")
    size = os.get_terminal_size(sys.stdin.fileno())
    outcome = guest.run(f"stty rows {size.lines} cols {size.columns}\nexec bash -i\n", timeout=0, terminal=True)
    if outcome.broken:
        ui.note(outcome.explain())
    return outcome.exit_status()


def demo_command(args):
    return demo.run(variant(args), args.kernel, args.newest)


def check_command(args):
    return check.run(args.filters)


def series(args):
    """tools/series makes and compares the series; it needs a pristine tree of the base."""
    words = [sys.executable, "-B", paths.CHECKOUT / "tools" / "series" / "series.py", "--tree", source.get_pristine(args.base).tree, "--base", args.base]
    return subprocess.run([*map(str, words), *(["--check"] if args.check else [])], check=False).returncode


def terminated(*_):
    # Unwinds the stack, so that guests end and files are removed.
    sys.exit(143)


def main(argv=None):
    signal.signal(signal.SIGTERM, terminated)
    args = parser().parse_args(argv)
    # Whatever stops `lab run` short of the command's own status counts as a guest that broke.
    failed = guests.BROKEN if args.command == "run" else 1
    try:
        return args.call(args)
    except LabError as err:
        ui.note(str(err))
        return failed
    except KeyboardInterrupt:
        ui.note("interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our output is gone: nothing more can be said, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as err:
        if err.errno == 28:
            ui.note(f"the disk is full: {err.filename or err}")
        else:
            ui.note(f"{err.filename or ''}: {err.strerror or err}")
        return failed
