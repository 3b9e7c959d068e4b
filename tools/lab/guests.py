# SPDX-License-Identifier: GPL-2.0-only
"""Booting a built kernel on this machine's files, and running a command in it."""

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import kernellog
import packages
import paths
import proc
from ui import LabError

BROKEN = 125  # exit status for a guest that broke, as against a command that failed

UML_MIB = 1024
QEMU_MIB = 1536

# Seconds without a sign of life (guest/init.sh gives one every five) after which a guest counts as hung.
HEARTBEAT = {"uml": 90, "qemu": 180}

KERNEL_WORDS = [
    "loglevel=8",
    "printk.devkmsg=on",
    "oops=panic",
    "panic=-1",
    "kunit.enable=1",
    "kunit.autorun=1",
    "sysctl.kernel.hung_task_timeout_secs=60",
    "brd.rd_nr=1",
    "brd.rd_size=65536",
]

# Ends every guest, for a lab that is told to stop while several run.
STOPPING = threading.Event()

# How many guests run at a time, each with memory of its own.
side_by_side = 1

# Of the caller's environment these mean nothing, or the wrong thing, in a guest.
NOT_PASSED = {"PATH", "PWD", "OLDPWD", "SHLVL", "TMPDIR", "TMP", "TEMP", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "_"}


@dataclass
class Outcome:
    """How a guest ended."""

    status: int  # of the command; BROKEN when there is none
    console: str
    broken: str = ""  # why, when the guest broke
    reports: list = field(default_factory=list)  # the kernel's complaints
    seconds: float = 0.0
    no_console: bool = False  # it says nothing about what went wrong

    def exit_status(self):
        return BROKEN if self.broken else self.status

    def explain(self):
        """For people: what broke, with the console's last lines."""
        if self.no_console:
            shown = ""
        elif self.reports and not kernellog.fatal(self.console):
            shown = "\n".join("\n".join(report) for report in self.reports[:2])
        else:
            shown = kernellog.last_lines(self.console, 40 if self.reports else 20)
        return f"{self.broken}\n{shown}".rstrip()


class Sink:
    """Passes on what a growing file of the guest's gets."""

    def __init__(self, path, write):
        self.path, self.write, self.file = path, write, None

    def pump(self):
        if self.file is None:
            if not self.path.exists():
                return
            self.file = open(self.path, "rb")  # pylint: disable=consider-using-with
        while data := self.file.read(1 << 16):
            self.write(data)

    def close(self):
        self.pump()
        if self.file:
            self.file.close()


def poweroff_program():
    """The static program that ends a guest, compiled once."""
    code = paths.LAB / "guest" / "poweroff.c"
    program = paths.make_dir(paths.cache() / "guest") / f"poweroff-{hashlib.sha256(code.read_bytes()).hexdigest()[:12]}"
    if not program.exists():
        packages.ensure("guest")
        new = program.with_name(f"{program.name}.{os.getpid()}")
        done = proc.attempt(["gcc", "-O2", "-static", "-o", new, code])
        if done.returncode:
            raise LabError(f"compiling guest/poweroff.c failed: {proc.tail(done.stderr, 2)}")
        new.replace(program)
    return program


@dataclass
class Guest:
    """A guest to boot: its kernel, and what happens in it before the command."""

    build: object
    params: str = ""  # of the module
    load: bool = True
    tool_dirs: list = field(default_factory=list)  # put in front of PATH
    environment: dict = field(default_factory=dict)  # besides the caller's
    visible: list = field(default_factory=list)  # directories needed even where /tmp hides them
    memory: int = 0  # MiB
    collect: object = None  # called with the guest's directory before that goes away

    @property
    def kind(self):
        return "uml" if self.build.variant.arch == "um" else "qemu"

    def run(self, command, out=None, err=None, timeout=600, terminal=False, cwd=None):
        """Boot, run the shell script text COMMAND, power off. OUT and ERR take bytes as they come."""
        # The command may use whatever is installed, but the guest itself needs these.
        packages.ensure("guest", *(["qemu"] if self.kind == "qemu" else []))
        parent = paths.make_dir(paths.cache() / "run")
        directory = Path(tempfile.mkdtemp(prefix="guest-", dir=parent))
        try:
            self.write_files(directory, command, cwd or current_directory(), terminal)
            outcome = self.boot(directory, out or sys.stdout.buffer.write, err or sys.stderr.buffer.write, timeout, terminal)
            if self.collect:
                self.collect(directory)
            return outcome
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def write_files(self, directory, command, cwd, terminal):
        visible = [paths.CHECKOUT, cwd, paths.cache(), self.build.directory, *self.visible]
        words = shlex.split(self.params)
        tty = {"uml": "/dev/tty1", "qemu": "/dev/hvc0"}[self.kind] if terminal else ""
        config = {
            "GUEST_KIND": self.kind,
            "GUEST_VISIBLE": " ".join(dict.fromkeys(map(str, visible))),
            "GUEST_MODULE": shlex.quote(str(self.build.module)) if self.load else "",
            "GUEST_PARAMS": shlex.join(words),
            "GUEST_CWD": str(cwd),
            "GUEST_TTY": tty,
            "GUEST_POWEROFF": str(poweroff_program()),
        }
        environment = {name: value for name, value in os.environ.items() if name not in NOT_PASSED}
        environment.update(self.environment)
        environment["PATH"] = ":".join([*map(str, self.tool_dirs), str(self.build.sample_programs), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
        environment["HOME"] = "/tmp"
        environment["LAB_GUEST"] = self.kind
        environment["LAB_DIR"] = str(directory)
        environment["SHM_KERNEL_KO"] = str(self.build.module)
        environment["SHM_KERNEL_MODULES"] = str(self.build.installed_modules)
        # So that modprobe finds them, too.
        environment["MODPROBE_OPTIONS"] = f"-d {self.build.modprobe_base}"
        valid = {name: value for name, value in environment.items() if re.fullmatch(r"[A-Za-z_]\w*", name)}
        shutil.copy(paths.LAB / "guest" / "init.sh", directory / "init.sh")
        os.chmod(directory / "init.sh", 0o755)
        (directory / "guest.conf").write_text(assignments(config), encoding="utf-8", errors="surrogateescape")
        (directory / "environment").write_text(assignments(valid, "export "), encoding="utf-8", errors="surrogateescape")
        (directory / "command").write_text(command, encoding="utf-8", errors="surrogateescape")

    def boot(self, directory, out, err, timeout, terminal):
        start = time.monotonic()
        sinks = [Sink(directory / "stdout", out), Sink(directory / "stderr", err)]
        with open(directory / "console", "wb") as console, raw_terminal(terminal):
            command, env, stdio = self.machine(directory, console, terminal)
            process = subprocess.Popen(command, env=env, start_new_session=True, cwd="/", **stdio)
            try:
                broken = self.watch(process, directory, sinks, timeout)
            finally:
                end_group(process)
                for sink in sinks:
                    with contextlib.suppress(BrokenPipeError):
                        sink.close()
        text = (directory / "console").read_text(encoding="utf-8", errors="replace").replace("\r", "")
        return self.judge(directory, text, broken, time.monotonic() - start)

    def machine(self, directory, console, terminal):
        if self.kind == "uml":
            return self.uml_machine(directory, console, terminal)
        return self.qemu_machine(directory, console, terminal)

    def uml_machine(self, directory, console, terminal):
        memory = self.memory or UML_MIB
        command = [
            self.build.image, f"mem={memory}M", "rootfstype=hostfs", "hostfs=/", "ro", f"init={directory}/init.sh",
            "con=null", "con0=null,fd:1", "seccomp=on", "ncpus=2", *KERNEL_WORDS,
        ]  # fmt: skip
        stdio = {"stdin": subprocess.DEVNULL, "stdout": console, "stderr": console}
        if terminal:
            stdio["pass_fds"] = (keep_fd(0), keep_fd(1))
            command.append("con1=fd:{},fd:{}".format(*stdio["pass_fds"]))
        env = dict(os.environ)
        if not holds_memory("/dev/shm", memory * side_by_side):
            env["TMPDIR"] = str(directory)
        return command, env, stdio

    def qemu_machine(self, directory, console, terminal):
        words = [
            "root=host", "rootfstype=9p", "rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=loose,access=any", "ro",
            f"init={directory}/init.sh", "console=ttyS0", *KERNEL_WORDS,
            # A kernel that goes over to the TSC patches ktime_get() while both CPUs run, and TCG, which may
            # still have what stood there before, has been seen to end in "Oops: int3".
            "clocksource=hpet",
        ]  # fmt: skip
        command = [
            *qemu_base(self.build, self.memory or QEMU_MIB),
            "-accel", "tcg,thread=multi", "-smp", "2", "-cpu", "max",
            "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
            "-fsdev", f"local,id=guest,path={directory},security_model=none",
            "-device", "virtio-9p-pci,fsdev=guest,mount_tag=guest",
            "-append", " ".join(words),
        ]  # fmt: skip
        stdio = {"stdin": subprocess.DEVNULL, "stdout": console, "stderr": console}
        if terminal:
            command += ["-serial", f"file:{directory}/console", "-chardev", "stdio,id=tty,signal=off"]
            command += ["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=tty"]
            stdio = {"stdin": None, "stdout": None, "stderr": console}
        else:
            command += ["-serial", "stdio"]
        return command, dict(os.environ), stdio

    def watch(self, process, directory, sinks, timeout):
        """Pass on output until the guest ends. Returns why it had to be ended, or ''."""
        start = time.monotonic()
        looked = start
        while process.poll() is None:
            for sink in sinks:
                sink.pump()
            sys.stdout.flush()
            now = time.monotonic()
            if STOPPING.is_set():
                raise LabError("stopped")
            if timeout and now - start > timeout:
                return f"the guest ran longer than {timeout} seconds"
            if now - looked > 5:
                looked = now
                trouble = self.look(directory, now - start)
                if trouble:
                    return trouble
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        return ""

    def look(self, directory, seconds):
        """A look at a running guest: does the kernel still go on?"""
        with open(directory / "console", "rb") as file:
            if kernellog.fatal(file.read().decode("utf-8", "replace")):
                time.sleep(2)  # the rest of the report
                return "the kernel broke"
        try:
            silent = time.time() - (directory / "alive").stat().st_mtime
        except OSError:
            silent = seconds
        if silent > HEARTBEAT[self.kind]:
            return f"the guest hangs: no sign of life for {int(silent)} seconds"
        return ""

    def judge(self, directory, console, broken, seconds):
        found = kernellog.reports(console)
        try:
            status = (directory / "status").read_text(encoding="ascii").strip()
        except OSError:
            status = ""
        if status == "insmod":
            said = (directory / "insmod").read_text(encoding="utf-8", errors="replace").strip()
            why = [line for line in kernellog.clean(console) if line.startswith("shm_kernel_driver: ")]
            why = "; ".join(why[-2:]) or said.rpartition(": ")[2] or "insmod failed"
            broken = broken or f"the driver did not load{' with ' + self.params if self.params else ''}: {why}"
        elif found:
            broken = broken or f"the kernel complained: {found[0][0]}"
        elif not status.isdigit():
            broken = broken or "the guest ended before the command did"
        (paths.cache() / "console.log").write_text(console, encoding="utf-8")
        return Outcome(int(status) if status.isdigit() else BROKEN, console, broken, found, seconds, status == "insmod" and not found)


def assignments(values, before=""):
    return "".join(f"{before}{name}={shlex.quote(value)}\n" for name, value in values.items())


def current_directory():
    try:
        return os.getcwd()
    except FileNotFoundError as err:
        raise LabError("the current directory is gone") from err


def holds_memory(directory, mebibytes):
    """Whether DIRECTORY can back a guest's memory: large enough, and code may run from it."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return False
    return not status.f_flag & os.ST_NOEXEC and status.f_bavail * status.f_frsize >= mebibytes << 20


def keep_fd(fd):
    """A copy of FD with a number that no redirection takes."""
    return os.dup(fd)


@contextlib.contextmanager
def raw_terminal(terminal):
    """A guest sets the terminal to raw mode: put it back afterwards, whatever happens."""
    if not terminal or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def end_group(process):
    """End PROCESS and all of its children: User-Mode Linux has one for each guest process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def qemu_base(build, memory):
    return [
        "qemu-system-x86_64", "-machine", "q35", "-m", str(memory), "-nographic", "-nodefaults", "-no-reboot",
        "-kernel", str(build.image),
    ]  # fmt: skip


def busybox_initrd(directory, programs, script):
    """An initrd of busybox, PROGRAMS ({name in /bin: file}) and the shell script text SCRIPT as its command."""
    root = Path(directory) / "initrd"
    for name in ("bin", "proc", "sys", "dev", "tmp", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", root / "bin" / "busybox")
    for applet in proc.output(["/bin/busybox", "--list"]).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    for name, file in programs.items():
        target = root / "bin" / name
        target.unlink(missing_ok=True)
        shutil.copy(file, target)
        target.chmod(0o755)
    shutil.copy(paths.LAB / "guest" / "initrd-init.sh", root / "init")
    os.chmod(root / "init", 0o755)
    (root / "command").write_text(script, encoding="utf-8")
    archive = Path(directory) / "initrd.cpio"
    listing = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*"))) + "\n"
    with open(archive, "wb") as file:
        done = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=listing.encode(), stdout=file, check=False)
    if done.returncode:
        raise LabError("packing the initrd failed")
    return archive


def qemu_icount(build, programs, script, smp=1, timeout=600, memory=768):
    """Count instructions: run SCRIPT with the static PROGRAMS on BUILD under QEMU's virtual clock.

    One instruction is one nanosecond of guest time, and everything that could differ from run to run is
    pinned. The module is /shm_kernel_driver.ko in the guest; SCRIPT loads it. Returns the console's text.
    """
    packages.ensure("qemu")
    parent = paths.make_dir(paths.cache() / "run")
    directory = Path(tempfile.mkdtemp(prefix="icount-", dir=parent))
    try:
        archive = busybox_initrd(directory, {**programs, "shm_kernel_driver.ko": build.module}, script)
        command = [
            *qemu_base(build, memory),
            "-accel", "tcg", "-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm", "-seed", "1",
            "-cpu", "max,-erms,-fsrm", "-smp", str(smp), "-serial", "stdio", "-initrd", str(archive),
            "-append", "console=ttyS0 quiet panic=-1 oops=panic nokaslr norandmaps",
        ]  # fmt: skip
        with open(directory / "console", "wb") as console:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired as err:
                raise LabError(f"the counting guest ran longer than {timeout} seconds") from err
            finally:
                end_group(process)
        text = (directory / "console").read_text(encoding="utf-8", errors="replace").replace("\r", "")
        if kernellog.reports(text):
            raise LabError("the counting guest's kernel complained:\n" + "\n".join(kernellog.reports(text)[0]))
        return text
    finally:
        shutil.rmtree(directory, ignore_errors=True)
