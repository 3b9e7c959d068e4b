#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
#
# Attaching to what a program with another version of Boost has made
#
# Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
"""Runs every pair of the programs given, one that makes and one that attaches.

  cross_version.py PROGRAM...

Each is cross_version.cpp, built with a version of Boost. A segment must work between two that have its layout in
common, and be refused with errc::layout_mismatch between others; a queue and a mutex must do one or the other.
Prints TAP, and as comments a table.
"""

import subprocess
import sys

TIMEOUT = 60
THINGS = ("segment", "queue", "mutex")


class Side:
    """One of the two programs, talked to line by line."""

    def __init__(self, program, *words):
        self.process = subprocess.Popen(
            ["timeout", str(TIMEOUT), program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace", bufsize=1
        )

    def ask(self, word):
        try:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self.line()

    def line(self):
        return self.process.stdout.readline().strip()

    def finish(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdout.read()
        return self.process.wait()


def answer(line, thing, status=0):
    """'works', 'layout_mismatch', or what else the LINE about THING says."""
    if line.startswith(f"{thing} "):
        return line[len(thing) + 1 :]
    return f"fails: the program ended with {status}" if not line else f"fails: it says {line!r}"


def attach(maker_program, guest_program, name):
    """{thing: what came of attaching to it}."""
    maker = Side(maker_program, "make", name)
    found = {}
    if maker.line() != "ready":
        status = maker.finish()
        return {thing: f"fails: the maker ended with {status}" for thing in THINGS}
    guest = Side(guest_program, "attach", name)
    for thing in THINGS:
        # A program that dies in the middle says nothing more.
        if thing == "mutex":
            said = read_mutex(maker, guest)
        else:
            said = guest.line()
        found[thing] = answer(said, thing)
    status = guest.finish()
    if status:
        found = {thing: said if said in ("works", "layout_mismatch") else f"fails: it ended with {status}" for thing, said in found.items()}
    for thing, said in found.items():
        if said == "works":
            found[thing] = answer(maker.ask(thing), thing)
    status = maker.finish()
    if status:
        found[THINGS[0]] = f"fails: the maker ended with {status}"
    return found


def read_mutex(maker, guest):
    """The line about the mutex, which the guest has to find locked first, and free when the maker unlocks it."""
    said = ""
    while not said.endswith(" locked ") and "\n" not in said:
        got = guest.process.stdout.read(1)
        if not got:
            return said.strip()
        said += got
    if "\n" in said:
        return said.strip()
    unlocked = maker.ask("unlock")
    if unlocked != "unlock works":
        return f"mutex fails: the maker says {unlocked!r}"
    return f"mutex {guest.ask('go on')}"


def main(programs):
    if not programs:
        print(__doc__, file=sys.stderr)
        return 2
    layouts = []
    for program in programs:
        version, layout = subprocess.run([program, "layout"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        layouts.append((f"Boost {version}, layout {layout}", layout, program))
    print(f"1..{len(layouts) ** 2 * len(THINGS)}")
    number = bad = 0
    table = [f"# {'made with':24}{'attached with':24}" + "".join(f"{thing:18}" for thing in THINGS)]
    for maker, maker_layout, maker_program in layouts:
        for guest, guest_layout, guest_program in layouts:
            found = attach(maker_program, guest_program, f"cross-{number}")
            table.append(f"# {maker:24}{guest:24}" + "".join(f"{said.partition(':')[0]:18}" for said in found.values()))
            for thing, said in found.items():
                number += 1
                allowed = ["works", "layout_mismatch"]
                if thing == "segment" or maker == guest:
                    allowed = ["works" if maker_layout == guest_layout else "layout_mismatch"]
                good = said in allowed
                bad += not good
                print(f"{'ok' if good else 'not ok'} {number} - {thing}, made with {maker}, attached with {guest}: {said.partition(':')[0]}")
                if not good:
                    print(f"# {said}; allowed: {' or '.join(allowed)}")
            sys.stdout.flush()
    print("\n".join(line.rstrip() for line in table))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
