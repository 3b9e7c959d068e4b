#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes what `interprocess_bench --json` prints into the documentation: figures.py HOST.json GUEST.json

The page gets a table for each file. The picture gets each row beside Boost's from the first file that has it. Bars are ratios to Boost on a logarithmic scale, to the left is less time; a mark
says what is to be reached.
"""

import json
import math
import sys
from pathlib import Path
from xml.sax.saxutils import escape

LEFT, RIGHT, TOP, ROW = 250, 860, 64, 22
LEAST, MOST = 0.02, 2.0
INK, GREY, BETTER, WORSE, MARK = "#1f2328", "#57606a", "#2da44e", "#bf8700", "#cf222e"
LEFT_OUT = ("allocate_", "deallocate_")


DOCUMENTATION = Path(__file__).resolve().parents[3] / "Documentation"
PAGE = DOCUMENTATION / "benchmarks-interprocess.rst"
PICTURE = DOCUMENTATION / "benchmarks-interprocess.svg"
BEGIN = ".. The tables from here on are written by figures.py"
END = ".. End of the tables"


def load(files):
    """For each file what it says of the machine, and its rows with a peer: {name: {peer: figures}}."""
    runs = []
    for file in files:
        with open(file, encoding="utf-8") as text:
            run = json.load(text)
        rows = {}
        for row in run["rows"]:
            rows.setdefault(row["row"], {"title": row["title"]})[row["peer"]] = row
        goals = {goal["row"]: goal for goal in run["goals"]}
        compared = {name: dict(row, goal=goals.get(name)) for name, row in rows.items() if "shm_kernel" in row and len(row) > 2}
        runs.append((run, compared))
    return runs


def table(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rule = "  ".join("=" * width for width in widths)
    rows = ["  ".join((cell or "\\").ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([rule, rows[0], rule, *rows[1:], rule])


def range_text(figures):
    if not figures:
        return ""
    return f"{time(figures['median'])} [{number(figures['min'])} .. {number(figures['max'])}]"


def number(ns):
    return f"{ns:.1f}" if ns < 100 else f"{ns:.0f}"


def goal_text(row):
    goal = row["goal"]
    if not goal:
        return ""
    return f"{goal['at_most']:.2f} x {goal['peer']}: {'met' if goal['ratio'] <= goal['at_most'] else 'MISSED'}"


def tables(runs):
    parts = []
    for run, rows in runs:
        where = "In the guest, with the driver" if run["driver"] else "On the machine, without the driver"
        lines = [["", "shm_kernel", "Boost", "robust pthread", "/ Boost", "goal"]]
        for row in rows.values():
            ratio = f"{row['shm_kernel']['median'] / row['Boost']['median']:.2f}" if "Boost" in row else ""
            lines.append([row["title"], *(range_text(row.get(peer)) for peer in ("shm_kernel", "Boost", "pthread")), ratio, goal_text(row)])
        repetitions = min(row["shm_kernel"]["repetitions"] for row in rows.values())
        about = f"Medians of {repetitions} runs [least .. most, ns], Boost {run['boost']}; load average {run['load_before']} before, {run['load_after']} after."
        parts.append(f"{where}\n{'-' * len(where)}\n\n{about}\n\n{table(lines)}")
    return "\n\n".join(parts)


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


def draw(runs):
    all_rows = {}
    for _, run in runs:
        for name, row in run.items():
            if "Boost" in row and not name.startswith(LEFT_OUT):
                all_rows.setdefault(name, row)
    rows = [
        (row["title"], row["shm_kernel"]["median"], row["Boost"]["median"], row["goal"] and row["goal"]["peer"] == "Boost" and row["goal"]["at_most"])
        for row in all_rows.values()
    ]
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


def main(files):
    runs = load(files)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(runs)}\n\n{END}{after}", encoding="utf-8")
    PICTURE.write_text(draw(runs) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
