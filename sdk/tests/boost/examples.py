#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
#
# Boost.Interprocess's own examples, with nothing changed but names of types
#
# Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
"""Takes the example programs out of Boost's documentation, puts the SDK's types in the place of Boost's, and
compares what both do.

  examples.py build EXAMPLES BUILD_DIR -- COMPILER_WORDS...
  examples.py run BUILD_DIR

The first makes two programs of every example that has something to replace: as it is, and with the names below
replaced. The second runs both, with the driver loaded, compares exit status and output, and prints TAP.
COMPILER_WORDS are what the compiler needs to find the SDK and to link its core; $CXX is the compiler.
"""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Boost's name -> (the SDK's, the same where a name shall not end with its last user).
NAMES = {
    "managed_shared_memory": ("managed_kernel_memory", "persistent_managed_kernel_memory"),
    "wmanaged_shared_memory": ("wmanaged_kernel_memory", "wpersistent_managed_kernel_memory"),
    "fixed_managed_shared_memory": ("fixed_managed_kernel_memory", "fixed_persistent_managed_kernel_memory"),
    "basic_managed_shared_memory": ("basic_managed_kernel_memory", None),
    "shared_memory_object": ("kernel_shared_memory", None),
    "message_queue": ("kernel_message_queue", "persistent_kernel_message_queue"),
    "named_mutex": ("kernel_named_mutex", None),
    "named_recursive_mutex": ("kernel_named_recursive_mutex", None),
    "named_semaphore": ("kernel_named_semaphore", None),
    "named_condition": ("kernel_named_condition", None),
    "named_condition_any": ("kernel_named_condition_any", None),
    "named_sharable_mutex": ("kernel_named_sharable_mutex", None),
    "named_upgradable_mutex": ("kernel_named_upgradable_mutex", None),
    "remove_shared_memory_on_destroy": ("remove_kernel_shared_memory_on_destroy", None),
}

# The directory of Boost's headers of those names, where it is not boost/interprocess.
FOLDERS = {"message_queue": "ipc/", "named_": "sync/"}

# They close everything and open it again, which Boost's names outlive. A pair is one that runs one after the other.
OUTLIVING = {"doc_managed_grow", "comp_doc_message_queue"}

# What an example is about that has nothing to do with a region of memory.
OTHER_MEMORY = {
    "xsi_shared_memory": "System V shared memory",
    "windows_shared_memory": "Windows",
    "managed_mapped_file": "a file",
    "file_mapping": "a file",
    "managed_heap_memory": "the heap",
    "managed_external_buffer": "a buffer of the caller's",
    "anonymous_shared_memory": "anonymous memory",
}

# Boost's documentation package leaves this header of its tests out, which examples take their names from.
PROCESS_NAME = """\
#pragma once
#include <string>
#include <unistd.h>
namespace test {
inline const char *get_process_id_name()
{
	static const std::string name = "example-" + std::to_string(::getpid());

	return name.c_str();
}
}
"""

# Strings and comments are passed over; a name may be written with its namespace.
TOKEN = re.compile(
    r'(?P<other>"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/)'
    r"|#\s*include\s*<boost/interprocess/(?P<header>[\w/]+)\.hpp>"
    r"|(?<![\w/.])(?:(?:::)?boost::interprocess::|bip::)?(?P<name>" + "|".join(NAMES) + r")\b(?!\.)",
    re.S,
)

TIMEOUT = 60


def header_of(name):
    folder = next((folder for start, folder in FOLDERS.items() if name.startswith(start)), "")
    return folder + name


HEADERS = {header_of(name): ours for name, (ours, _) in NAMES.items()}


def retarget(text, outliving=False):
    """TEXT with Boost's names replaced, and {Boost's name: ours} of those that were."""
    used = {}

    def replace(found):
        if found["header"]:
            ours = HEADERS.get(found["header"])
            return f"#include <shm_kernel/interprocess/{ours}.hpp>" if ours else found[0]
        if not found["name"]:
            return found[0]
        ours, outlives = NAMES[found["name"]]
        used[found["name"]] = outlives if outliving and outlives else ours
        return f"shm_kernel::{used[found['name']]}"

    return TOKEN.sub(replace, text), used


def reason(text):
    """Why an example has nothing to replace."""
    about = next((what for name, what in OTHER_MEMORY.items() if re.search(rf"\b{name}\b", text)), None)
    return f"is about {about}" if about else "uses no name that the SDK has a counterpart of"


def key_of(name):
    """The example that the source NAME is of: the two halves of a pair have one."""
    return name[:-1] if name.startswith("comp_") else name


def compile_one(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


def build_one(compiler, source, program, words):
    """Make PROGRAM of SOURCE; linked only when its object changed. Returns what the compiler had to say, or ''."""
    # The example's own warnings are no concern of ours; its assertions are.
    flags, libraries = split(words)
    new = program.with_suffix(".o.new")
    kept = program.with_suffix(".o")
    status, said = compile_one([*compiler, *flags, "-w", "-O0", "-UNDEBUG", "-pthread", "-c", source, "-o", new])
    if not status:
        if program.exists() and kept.exists() and kept.read_bytes() == new.read_bytes():
            new.unlink()
            return ""
        new.replace(kept)
        status, said = compile_one([*compiler, kept, "-pthread", *libraries, "-lrt", "-o", program])
    if not status:
        return ""
    program.unlink(missing_ok=True)
    kept.unlink(missing_ok=True)
    return said or f"{compiler[0]} ended with {status}"


def split(words):
    """What of WORDS is for compiling, and what for linking."""
    libraries = [word for word in words if word.startswith(("-l", "-L", "-Wl,")) or word.endswith((".so", ".a"))]
    return [word for word in words if word not in libraries], libraries


def build(examples, directory, words):
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    plan = {"programs": {}, "nothing": {}, "failed": {}}
    jobs = []
    for kind in ("original", "retargeted"):
        for folder in ("example", "test", "bin"):
            (directory / kind / folder).mkdir(parents=True, exist_ok=True)
        write(directory / kind / "test" / "get_process_id_name.hpp", PROCESS_NAME)
    for source in sorted(examples.glob("*.[ch]pp")):
        text = source.read_text(encoding="utf-8", errors="replace")
        changed, used = retarget(text, key_of(source.stem) in OUTLIVING)
        write(directory / "original" / "example" / source.name, text)
        write(directory / "retargeted" / "example" / source.name, changed)
        if source.suffix != ".cpp":
            continue
        if not used:
            plan["nothing"][source.stem] = reason(text)
            continue
        plan["programs"][source.stem] = used
        for kind in ("original", "retargeted"):
            jobs.append((kind, source.stem))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:

        def make(job):
            kind, name = job
            top = directory / kind
            return build_one(compiler, top / "example" / f"{name}.cpp", top / "bin" / name, words)

        for number, (job, said) in enumerate(zip(jobs, pool.map(make, jobs)), 1):
            print(f"[{number}/{len(jobs)}] {'/'.join(job)}", flush=True)
            if said:
                plan["failed"]["/".join(job)] = said
    write(directory / "plan.json", json.dumps(plan, indent=1))


def write(path, text):
    """TEXT to PATH, which keeps its time if nothing changed."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def start(program, where):
    return subprocess.Popen([program], cwd=where, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")


def finish(process):
    try:
        said, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        said += f"killed after {TIMEOUT} seconds"
    return process.returncode, said


def run_alone(directory, name):
    with tempfile.TemporaryDirectory() as where:
        return [finish(start(directory / name, where))]


# How long the first half of a pair is given before the second, which opens what it makes.
HEAD_STARTS = (0.2, 1, 5)


def run_pair(directory, name):
    """Both halves of the pair NAME, the second started when the first has had a moment, or has ended."""
    for head_start in HEAD_STARTS:
        with tempfile.TemporaryDirectory() as where:
            first = start(directory / f"{name}A", where)
            if key_of(f"{name}A") in OUTLIVING:
                found = [finish(first), finish(start(directory / f"{name}B", where))]
            else:
                time.sleep(head_start)
                second = finish(start(directory / f"{name}B", where))
                if second[0]:
                    # The first waits for its partner for ever.
                    first.kill()
                found = [finish(first), second]
        # Too late or too early for the other one: that is the example's, not what is compared.
        if not any(status for status, _ in found):
            break
    return found


def told(found):
    return "; ".join(f"exit status {status}, output {said!r}" for status, said in found)


def run(directory):
    plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    pairs = sorted({key_of(name) for name in plan["programs"] if name.startswith("comp_")})
    alone = sorted(name for name in plan["programs"] if not name.startswith("comp_"))
    print(f"1..{len(pairs) + len(alone) + 1}")
    number = bad = 0
    for name in alone + pairs:
        number += 1
        halves = [f"{name}A", f"{name}B"] if name in pairs else [name]
        used = {boost: ours for half in halves for boost, ours in plan["programs"][half].items()}
        title = f"{name}{' (A and B)' if name in pairs else ''}: {', '.join(f'{boost} -> {ours}' for boost, ours in sorted(used.items()))}"
        failed = {job: said for job, said in plan["failed"].items() if job.partition("/")[2] in halves}
        said = []
        if failed:
            for job, text in failed.items():
                said += [f"{job} does not compile:", *[line for line in text.splitlines() if re.search(r"error|undefined", line)][:6]]
        else:
            run_it = run_pair if name in pairs else run_alone
            boost, ours = run_it(directory / "original" / "bin", name), run_it(directory / "retargeted" / "bin", name)
            if any(status for status, _ in boost):
                said.append(f"Boost's own fails: {told(boost)}")
            if boost != ours:
                said += [f"Boost: {told(boost)}", f"ours:  {told(ours)}"]
        bad += bool(said)
        print(f"{'not ok' if said else 'ok'} {number} - {title}")
        for line in said:
            print(f"# {line}")
        sys.stdout.flush()
    print(f"ok {number + 1} - {len(plan['nothing'])} more are left out: {'; '.join(f'{name} {why}' for name, why in sorted(plan['nothing'].items()))}")
    return 1 if bad else 0


def main(words):
    if words[:1] == ["run"] and len(words) == 2:
        return run(Path(words[1]).absolute())
    if words[:1] == ["build"] and len(words) > 3 and words[3] == "--":
        return build(Path(words[1]), Path(words[2]).absolute(), words[4:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
