# SPDX-License-Identifier: GPL-2.0-only
"""`./lab demo`: the main job, told by guest/demo.sh in a guest."""

import os
import shlex
import sys

import guests
import kernel
import paths
import ui
import userspace


def run(variant, kernel_name, newest):
    build = kernel.build(variant, kernel_name, newest)
    userspace.build(*userspace.TOOLS, *userspace.EXAMPLES)
    environment = {"DEMO_COLOUR": "1" if ui.colour_wanted(sys.stdout) else "", "DEMO_KERNEL": build.source.describe()}
    guest = guests.Guest(build, params="size=64K", tool_dirs=userspace.tool_dirs(), environment=environment)

    def show(data):
        os.write(sys.stdout.fileno(), data)

    outcome = guest.run(f"sh {shlex.quote(str(paths.LAB / 'guest' / 'demo.sh'))} 2>&1\n", show, show, 120)
    if outcome.broken:
        ui.note(outcome.explain())
    return outcome.exit_status()
