# SPDX-License-Identifier: BSL-1.0
"""Checks of a program's behaviour, reported as TAP.

Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
"""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import traceback

TESTS = []


class Skip(Exception):
    """The test cannot be run here."""


def test(function):
    """Registers a test; its docstring is its name."""
    TESTS.append(function)
    return function


def run_all():
    """Runs the tests in the order of the file. Returns the exit status."""
    failed = 0
    print("1..%d" % len(TESTS), flush=True)
    for number, function in enumerate(TESTS, 1):
        name = " ".join(function.__doc__.split())
        try:
            function()
        except Skip as reason:
            print("ok %d - %s # SKIP %s" % (number, name, reason), flush=True)
        except Exception:
            failed += 1
            print("not ok %d - %s" % (number, name))
            for line in traceback.format_exc().splitlines():
                print("# " + line, flush=True)
        else:
            print("ok %d - %s" % (number, name), flush=True)
    print("# %d passed or skipped, %d failed" % (len(TESTS) - failed, failed))
    return 1 if failed else 0


class Result:
    """What a program left: status, out and err (bytes), and err as text."""

    def __init__(self, words, status, out, err):
        self.words, self.status, self.out, self.err = words, status, out, err

    @property
    def text(self):
        return self.out.decode()

    @property
    def message(self):
        return self.err.decode()

    def __repr__(self):
        return "%r: status %d\n  out %r\n  err %r" % (
            self.words, self.status, self.out[:2000], self.err[:2000])


class Tool:
    """The program under test."""

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.public_path = self.path
        self.environment = dict(os.environ, LC_ALL="C.UTF-8")
        for name in ("NO_COLOR", "COLUMNS"):
            self.environment.pop(name, None)

    def copy_for_others(self, directory):
        """Other users may not reach a build directory: they get a copy."""
        os.chmod(directory, 0o755)
        self.public_path = shutil.copy(self.path, directory)
        libraries = subprocess.run(["ldd", self.path], stdout=subprocess.PIPE, check=True).stdout
        for library in re.findall(r"=> (\S*shm_kernel\S*)", libraries.decode()):
            shutil.copy(library, directory)
        self.environment["LD_LIBRARY_PATH"] = directory

    def __call__(self, *words, stdin=b"", user=None, env=None, timeout=60):
        extra = {}
        path = self.path
        if user is not None:
            extra = {"user": user, "group": user, "extra_groups": []}
            path = self.public_path
        if isinstance(stdin, bytes):
            extra["input"] = stdin
        else:
            extra["stdin"] = stdin
        done = subprocess.run([path, *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout,
                              env=dict(self.environment, **(env or {})), check=False, **extra)
        return Result(words, done.returncode, done.stdout, done.stderr)

    def ok(self, *words, **options):
        """It must work and say nothing on standard error."""
        result = self(*words, **options)
        assert result.status == 0, result
        assert result.err == b"", result
        return result

    def fails(self, status, pattern, *words, **options):
        """It must fail with one line "shmtool: ..." that matches, and print nothing."""
        result = self(*words, **options)
        assert result.status == status, result
        assert re.fullmatch(rb"shmtool: [^\n]+: [^\n]+\n", result.err), result
        assert re.search(pattern, result.message), (pattern, result)
        assert result.out == b"", result
        return result

    def on_terminal(self, *words, columns=80, env=None, interrupt_at=None, feed=None,
                    stdout_to_file=None, timeout=60):
        """Runs it on a pseudo-terminal. Returns (status, what it showed).

        interrupt_at: send SIGINT, as ^C does, once this pattern was shown.
        feed: a function called with the write end of its standard input.
        """
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        read_end, write_end = os.pipe() if feed else (None, None)
        environment = {**self.environment, "TERM": "xterm", **(env or {})}
        process = subprocess.Popen(
            [self.path, *words], stdin=read_end if feed else slave,
            stdout=stdout_to_file if stdout_to_file is not None else slave, stderr=slave,
            env=environment, close_fds=True, start_new_session=True)
        os.close(slave)
        feeder = None
        if feed:
            os.close(read_end)
            feeder = os.fork()
            if feeder == 0:
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                try:
                    feed(write_end)
                finally:
                    os._exit(0)
            os.close(write_end)

        shown = b""
        end = time.monotonic() + timeout
        try:
            while time.monotonic() < end:
                ready, _, _ = select.select([master], [], [], 0.1)
                if ready:
                    try:
                        piece = os.read(master, 65536)
                    except OSError:
                        break
                    if not piece:
                        break
                    shown += piece
                if interrupt_at and re.search(interrupt_at, shown):
                    process.send_signal(signal.SIGINT)
                    interrupt_at = None
            status = process.wait(timeout=max(1, end - time.monotonic()))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if feeder:
                try:
                    os.kill(feeder, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                os.waitpid(feeder, 0)
            os.close(master)
        return status, shown.decode(errors="replace")


def tool_from_arguments():
    if len(sys.argv) != 2:
        sys.exit("usage: %s SHMTOOL" % sys.argv[0])
    return Tool(sys.argv[1])
