#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Draws what `interprocess_bench --json` prints: plot.py FILE... >benchmarks-interprocess.svg

A row is taken from the first FILE that has it for shm_kernel and for Boost. Bars are ratios to Boost on a logarithmic
scale, to the left is less time; a mark says what is to be reached.
"""

import json
import math
import sys
from xml.sax.saxutils import escape

LEFT, RIGHT, TOP, ROW = 250, 860, 64, 22
LEAST, MOST = 0.02, 2.0
INK, GREY, BETTER, WORSE, MARK = "#1f2328", "#57606a", "#2da44e", "#bf8700", "#cf222e"
LEFT_OUT = ("allocate_", "deallocate_")


def load(files):
    """(title, ours, Boost's, ratio, goal) of each row, in the order of the program."""
    rows = {}
    for file in files:
        with open(file, encoding="utf-8") as text:
            run = json.load(text)
        figures = {}
        for row in run["rows"]:
            figures.setdefault(row["row"], {"title": row["title"]})[row["peer"]] = row["median"]
        goals = {goal["row"]: goal["at_most"] for goal in run["goals"] if goal["peer"] == "Boost"}
        for name, row in figures.items():
            if name not in rows and {"shm_kernel", "Boost"} <= set(row) and not name.startswith(LEFT_OUT):
                rows[name] = (row["title"], row["shm_kernel"], row["Boost"], goals.get(name))
    return rows.values()


def x(ratio):
    part = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return round(LEFT + part * (RIGHT - LEFT - 150), 1)


def time(ns):
    for unit in ("ns", "us", "ms"):
        if ns < 999.5:
            break
        ns /= 1000
    return f"{ns:.3g} {unit}"


def text(at, y, what, anchor="start", colour=INK, size=12, more=""):
    return f'  <text x="{at}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{more}>{escape(what)}</text>'


def draw(rows):
    height = TOP + ROW * len(rows) + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 {height}" width="880" height="{height}" '
        'font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif" role="img">',
        "  <!-- SPDX-License-Identifier: BSL-1.0 -->",
        "  <title>Time beside Boost.Interprocess</title>",
        "  <desc>For each row the time of shm_kernel divided by that of Boost.Interprocess; less is better.</desc>",
        f'  <rect x="0" y="0" width="880" height="{height}" rx="12" fill="#ffffff"/>',
        text(26, 30, "Time beside Boost.Interprocess = 1 (less is better)", size=15, more=' font-weight="bold"'),
    ]
    bottom = TOP + ROW * len(rows)
    for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2):
        colour = GREY if tick == 1 else "#d0d7de"
        lines.append(f'  <line x1="{x(tick)}" y1="{TOP - 8}" x2="{x(tick)}" y2="{bottom}" stroke="{colour}"/>')
        lines.append(text(x(tick), TOP - 14, f"{tick:g}", "middle", GREY, 11))
    for i, (title, ours, boost, goal) in enumerate(rows):
        y = TOP + ROW * i
        ratio = ours / boost
        colour = BETTER if ratio <= 1 else WORSE
        lines.append(text(LEFT - 8, y + 13, title, "end"))
        # From 1 outwards: what is saved, or what is lost.
        begin, end = sorted((x(ratio), x(1)))
        lines.append(f'  <rect x="{begin}" y="{y + 2}" width="{round(max(end - begin, 1), 1)}" height="{ROW - 7}" fill="{colour}"/>')
        if goal:
            lines.append(f'  <line x1="{x(goal)}" y1="{y}" x2="{x(goal)}" y2="{y + ROW - 3}" stroke="{MARK}" stroke-width="2"/>')
        lines.append(text(RIGHT - 105, y + 13, f"{ratio:.2f}", "end", size=11))
        lines.append(text(RIGHT - 95, y + 13, f"{time(ours)} : {time(boost)}", colour=GREY, size=11))
    lines.append(text(26, bottom + 26, "red marks: what is to be reached; right: the ratio, and the medians of shm_kernel and of Boost", colour=GREY, size=11))
    return "\n".join([*lines, "</svg>"])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print(draw(load(sys.argv[1:])))
