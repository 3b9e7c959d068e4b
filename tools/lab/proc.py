# SPDX-License-Identifier: GPL-2.0-only
"""Running other programs."""

import os
import shlex
import subprocess
import threading

from ui import LabError

# A failed program's output can be long; its end says what went wrong.
TAIL = 15


def tail(text, lines=TAIL):
    return "\n".join(text.rstrip("\n").splitlines()[-lines:])


def clean_env(**changes):
    """The caller's environment with an untranslated locale, so that output can be read by programs."""
    env = dict(os.environ, LC_ALL="C")
    env.update({key: str(value) for key, value in changes.items()})
    return env


def output(command, **kwargs):
    """Standard output of COMMAND, which must succeed."""
    done = attempt(command, **kwargs)
    if done.returncode:
        raise LabError(f"{shlex.join(map(str, command))} failed:\n{tail(done.stderr or done.stdout)}")
    return done.stdout


def attempt(command, **kwargs):
    """Run COMMAND and capture what it says; the caller looks at returncode."""
    kwargs.setdefault("env", clean_env())
    try:
        return subprocess.run(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=kwargs.pop("stderr", subprocess.PIPE),
            stdin=kwargs.pop("stdin", subprocess.DEVNULL),
            text=True,
            errors="replace",
            check=False,
            **kwargs,
        )
    except FileNotFoundError as err:
        raise LabError(f"{command[0]} is not installed") from err


# What follow() runs at the moment, in whichever thread.
FOLLOWED = set()


def stop_all():
    """End what other threads follow()."""
    for process in list(FOLLOWED):
        stop(process)


def stop(process, patience=2):
    """End PROCESS, kindly first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def follow(command, on_line, idle=None, **kwargs):
    """Run COMMAND, hand each line of its output to ON_LINE, and return (exit status, all of the output).

    IDLE is called twice a second meanwhile, so that a step's clock goes on through a long silence.
    """
    kwargs.setdefault("env", clean_env())
    try:
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            **kwargs,
        )
    except FileNotFoundError as err:
        raise LabError(f"{command[0]} is not installed") from err
    FOLLOWED.add(process)
    lines = []
    finished = threading.Event()

    def tick():
        while not finished.wait(0.5):
            idle()

    ticker = threading.Thread(target=tick, daemon=True) if idle else None
    try:
        if ticker:
            ticker.start()
        for line in process.stdout:
            lines.append(line)
            on_line(line.rstrip("\n"))
        return process.wait(), "".join(lines)
    finally:
        finished.set()
        if ticker:
            ticker.join()
        stop(process)
        FOLLOWED.discard(process)
