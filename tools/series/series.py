#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Makes patches/<base>/ from the canonical sources, or says what has drifted.

The driver is kept as one file, in its final state. A series tells it as a
story: the plan, <base>/plan.toml, says in which patch each top-level block of
that file (a function, a structure, a table) and each exceptional line appears,
and which piece of a block read differently until a patch. Applied in order the patches give the canonical file back, byte for byte.
"""

import argparse
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AUTHOR = "shm_kernel developers"
EMAIL = "shm-kernel@example.org"
SIGNED_OFF = f"Signed-off-by: {AUTHOR} <{EMAIL}>"


class SeriesError(Exception):
    """Something the user has to mend; the message says what."""


# --- The plan ---------------------------------------------------------------


def load_plan(base):
    path = Path(__file__).parent / base / "plan.toml"
    if not path.exists():
        raise SeriesError(f"there is no plan for {base}: {path} is missing")
    with path.open("rb") as f:
        return tomllib.load(f)


# --- Splitting a C file into blocks -----------------------------------------


def split_blocks(text):
    """The file as a list of blocks; joined they are the file again.

    A block ends at a blank line behind which something starts in the first
    column while no brace or comment is open.
    """
    blocks, current = [], []
    depth, in_comment = 0, False
    lines = text.splitlines(keepends=True)
    for i, line in enumerate(lines):
        current.append(line)
        code = line
        if in_comment:
            if "*/" not in code:
                continue
            code, in_comment = code.split("*/", 1)[1], False
        code = re.sub(r"/\*.*?\*/", "", code)
        if "/*" in code:
            code, in_comment = code.split("/*", 1)[0], True
        code = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', "", code)
        depth += code.count("{") - code.count("}")
        if line.strip() == "" and depth == 0 and i + 1 < len(lines) and lines[i + 1][0] not in " \t\n":
            blocks.append("".join(current))
            current = []
    blocks.append("".join(current))
    return blocks


def block_names(block):
    """What a block defines: functions, structures, variables, macros."""
    code = re.sub(r"/\*.*?\*/", "", block, flags=re.S)
    if not code.strip():
        # A heading: known by its first word.
        return {f"heading {re.search(r'[A-Za-z0-9]+', block)[0]}"}
    names = set(re.findall(r"^#define (\w+)", code, re.M))
    names |= set(re.findall(r"^(?:struct|union|enum) (\w+) \{", code, re.M))
    names |= set(re.findall(r"^module_param\w*\((\w+)", code, re.M))
    names |= set(re.findall(r"^(?:DEFINE_SHOW_ATTRIBUTE|module_init|module_exit)\((\w+)\)", code, re.M))
    names |= set(re.findall(r"^(?:static )?(?:DEFINE_\w+|LIST_HEAD)\((\w+)\)", code, re.M))
    # A function or an initialised or uninitialised variable at file level.
    names |= set(re.findall(r"^(?:\w[\w \t\*]*?[ \*]\n?)(\w+)\([^;{]*?\)\s*\{", code, re.M | re.S))
    names |= set(re.findall(r"^static [\w \*]*?[ \*](\w+)(?:\[\])?(?: = |;)", code, re.M))
    return names


class StagedFile:
    """A canonical file whose parts appear in different patches."""

    def __init__(self, path, patches, first):
        self.blocks = split_blocks(path.read_text())
        self.stages = []
        owner, self.lines, self.pieces = {}, [], []
        for number, patch in enumerate(patches):
            for name in patch.get("blocks", []):
                if name in owner:
                    raise SeriesError(f"the plan names the block {name} twice")
                owner[name] = number
            for rule in patch.get("lines", []):
                where, _, pattern = rule.partition(": ")
                self.lines.append([number, where, re.compile(pattern), 0])
            for rule in patch.get("was", []):
                self.pieces.append([number, rule["block"], rule["now"], rule["then"], 0])
        used = set()
        for block in self.blocks:
            found = [n for n in block_names(block) if n in owner]
            used.update(found)
            stages = {owner[n] for n in found}
            if len(stages) > 1:
                raise SeriesError(f"one block, two patches: {sorted(found)}")
            self.stages.append(stages.pop() if stages else first)
        for name in sorted(set(owner) - used):
            raise SeriesError(f"the plan names {name}, which {path.name} does not define")

    def at(self, number):
        """The file as it is after patch @number."""
        out = []
        for block, stage in zip(self.blocks, self.stages):
            if stage > number:
                continue
            names = block_names(block)
            for piece in self.pieces:
                if piece[1] in names and piece[2] in block:
                    piece[4] += 1
                    if piece[0] > number:
                        block = block.replace(piece[2], piece[3])
            rules = [r for r in self.lines if r[1] in names or (r[1] == "include" and "#include" in block)]
            for line in block.splitlines(keepends=True):
                later = False
                for rule in rules:
                    if rule[2].search(line):
                        rule[3] += 1
                        later |= rule[0] > number
                if not later:
                    out.append(line)
        for rule in self.lines:
            if not rule[3] and number >= rule[0]:
                raise SeriesError(f"the plan's line {rule[1]}: {rule[2].pattern} matches nothing")
        for piece in self.pieces:
            if not piece[4] and number >= piece[0]:
                raise SeriesError(f"the plan's piece of {piece[1]} is not there: {piece[2]}")
        text = "".join(out)
        return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"


# --- Insertions into files of the kernel ------------------------------------


def insert(text, rule, what):
    """@text with rule["text"] put before or after the line that matches."""
    lines = text.splitlines(keepends=True)
    added = rule["text"]
    if rule.get("at") == "end":
        return text + added
    key = "before" if "before" in rule else "after"
    pattern = re.compile(rule[key])
    hits = [i for i, line in enumerate(lines) if pattern.search(line)]
    if not hits:
        raise SeriesError(f"{what}: no line matches '{rule[key]}'")
    i = hits[-1] + (key == "after")
    return "".join(lines[:i]) + added + "".join(lines[i:])


def insert_section(text, section):
    """@text, a MAINTAINERS file, with @section at its place in the alphabet."""
    title = section.splitlines()[0]
    lines = text.splitlines(keepends=True)
    starts = [i for i in range(1, len(lines) - 1) if lines[i - 1] == "\n" and re.match(r"[A-Z0-9]", lines[i])
              and re.match(r"[A-Z]:\t", lines[i + 1])]
    # The file is sorted but for a few sections, so look for our neighbour, not for the first that is behind us.
    before = max((i for i in starts if lines[i].rstrip("\n") < title), key=lambda i: lines[i], default=None)
    behind = [i for i in starts if before is not None and i > before]
    if not behind:
        raise SeriesError(f"MAINTAINERS: no place for '{title}'")
    return "".join(lines[:behind[0]]) + section + "\n" + "".join(lines[behind[0]:])


def maintainers_section(paths):
    """Our section with the F: lines of @paths only, those that exist so far."""
    kept = [line for line in (ROOT / "MAINTAINERS").read_text().splitlines(keepends=True)
            if not line.startswith("F:") or line[3:].strip() in paths]
    missing = set(paths) - {line[3:].strip() for line in kept if line.startswith("F:")}
    if missing:
        raise SeriesError(f"MAINTAINERS does not list {sorted(missing)}")
    return "".join(kept)


# --- Making the series ------------------------------------------------------


def git(repo, *args, **kwargs):
    env = dict(os.environ, GIT_AUTHOR_NAME=AUTHOR, GIT_AUTHOR_EMAIL=EMAIL, GIT_COMMITTER_NAME=AUTHOR,
               GIT_COMMITTER_EMAIL=EMAIL, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null",
               GIT_AUTHOR_DATE=kwargs.pop("date", "2026-11-21T00:00:00Z"),
               GIT_COMMITTER_DATE="2026-11-21T00:00:00Z")
    return subprocess.run(["git", "-C", str(repo), *args], check=True, env=env, capture_output=True, text=True,
                          **kwargs).stdout


def kernel_files(plan):
    """Files of the kernel that the series changes but does not add."""
    return sorted({rule["file"] for patch in plan["patch"] for rule in patch.get("insert", [])} | {"MAINTAINERS"})


def write(repo, name, text):
    path = repo / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def read_rule_text(rule):
    if "source" not in rule:
        return rule
    text = (ROOT / rule["source"]).read_text()
    if "part" in rule:
        # The paragraphs of a Kconfig file, or the lines of a Makefile, that the patch is about.
        parts = re.split(r"^(?=config )" if "config " in text else r"^", text, flags=re.M)
        text = "".join(p for p in parts if re.search(rule["part"], p, re.M))
        if not text:
            raise SeriesError(f"{rule['source']} has no part {rule['part']}")
        if "without" in rule:
            # Lines that a later patch inserts.
            text = "".join(line for line in text.splitlines(keepends=True) if not re.search(rule["without"], line))
    return dict(rule, text=text)


def build_series(plan, tree, repo):
    """Commits the series to the new git repository @repo, one commit a patch."""
    git(repo.parent, "init", "-q", "-b", "base", str(repo))
    for name in kernel_files(plan):
        if not (tree / name).exists():
            raise SeriesError(f"{tree} has no {name}: not a tree of this base")
        write(repo, name, (tree / name).read_text())
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "base")
    git(repo, "tag", "base")

    patches = plan["patch"]
    staged_source = ROOT / plan["staged"]["source"]
    first = next(i for i, p in enumerate(patches) if p.get("staged"))
    staged = StagedFile(staged_source, patches, first)

    maintainers = (tree / "MAINTAINERS").read_text()
    maintained = []
    for number, patch in enumerate(patches):
        maintained += patch.get("maintains", [])
        write(repo, "MAINTAINERS", insert_section(maintainers, maintainers_section(maintained)))
        for target, source in patch.get("files", {}).items():
            path = ROOT / source
            if path.is_dir():
                for entry in sorted(git(ROOT, "ls-files", "--", source).split()):
                    name = f"{target}/{Path(entry).relative_to(source)}"
                    write(repo, name, (ROOT / entry).read_text())
                    shutil.copymode(ROOT / entry, repo / name)
            else:
                write(repo, target, path.read_text())
        if number >= first:
            write(repo, plan["staged"]["target"], staged.at(number))
        for rule in patch.get("insert", []):
            rule = read_rule_text(rule)
            write(repo, rule["file"], insert((repo / rule["file"]).read_text(), rule, rule["file"]))
        git(repo, "add", "-A")
        if not git(repo, "status", "--porcelain").strip():
            raise SeriesError(f"patch {number + 1} changes nothing: {patch['subject']}")
        message = f"{patch['subject']}\n\n{patch['body'].strip()}\n\n{SIGNED_OFF}\n"
        git(repo, "commit", "-q", "-F", "-", input=message, date=f"2026-11-21T00:{number:02}:00Z")

    if maintainers_section(maintained) != (ROOT / "MAINTAINERS").read_text():
        raise SeriesError("MAINTAINERS lists a file that no patch maintains")
    final = (repo / plan["staged"]["target"]).read_text()
    if final != staged_source.read_text():
        diff = "".join(list(difflib.unified_diff(staged_source.read_text().splitlines(True),
                                                 final.splitlines(True), "canonical", "series"))[:20])
        raise SeriesError(f"the last patch does not give {plan['staged']['source']} back:\n{diff}")


def format_series(base, repo, out):
    git(repo, "format-patch", "-q", "--zero-commit", "--no-signature", "--full-index", "--cover-letter", "-n",
        "--subject-prefix", f"PATCH {base}", "-o", str(out), "base")
    cover = out / "0000-cover-letter.patch"
    text = cover.read_text()
    subject, _, blurb = (Path(__file__).parent / base / "cover-letter.txt").read_text().partition("\n")
    text = text.replace("*** SUBJECT HERE ***", subject).replace("*** BLURB HERE ***", blurb.strip())
    # Not *.patch: `git am patches/<base>/*.patch` is to work as it stands.
    (out / "0000-cover-letter.txt").write_text(text.rstrip() + "\n")
    cover.unlink()


def normalised(path):
    """What must agree: not the hashes and line numbers of the kernel's own files, which differ by point release."""
    text = path.read_text()
    text = re.sub(r"^index [0-9a-f]+\.\.[0-9a-f]+.*\n", "", text, flags=re.M)
    text = re.sub(r"^@@ -\d+(,\d+)? \+\d+(,\d+)? @@.*$", "@@", text, flags=re.M)
    return text


def compare(made, kept):
    """The names of files that differ between two folders."""
    names = sorted({p.name for d in (made, kept) if d.is_dir() for p in d.iterdir()})
    return [n for n in names if not (made / n).exists() or not (kept / n).exists()
            or normalised(made / n) != normalised(kept / n)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", required=True, type=Path, help="an unpacked kernel source of the base")
    parser.add_argument("--base", default="7.3")
    parser.add_argument("--check", action="store_true", help="only say whether patches/ is up to date")
    args = parser.parse_args()

    kept = ROOT / "patches" / args.base
    try:
        plan = load_plan(args.base)
        with tempfile.TemporaryDirectory(prefix="shm-series-") as scratch:
            repo, made = Path(scratch) / "repo", Path(scratch) / "patches"
            build_series(plan, args.tree, repo)
            format_series(args.base, repo, made)
            differing = compare(made, kept)
            if not differing:
                print(f"patches/{args.base} is up to date: {len(plan['patch'])} patches")
                return 0
            if args.check:
                print(f"patches/{args.base} differs from the canonical sources; run ./lab series:", file=sys.stderr)
                for name in differing:
                    print(f"  {name}", file=sys.stderr)
                return 1
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(made, kept)
            print(f"patches/{args.base}: {len(plan['patch'])} patches, {len(differing)} files changed")
            return 0
    except SeriesError as error:
        print(f"series: {error}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"series: {' '.join(error.cmd)}: {error.stderr.strip()}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
