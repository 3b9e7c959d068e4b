# SPDX-License-Identifier: GPL-2.0-only
"""Building a kernel of a patched tree, its module, and the user-space header of the series."""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import packages
import patches
import paths
import proc
import source
from ui import LabError, note, step, warn


@dataclass(frozen=True)
class Variant:
    """A kind of kernel that the lab builds."""

    name: str
    title: str
    arch: str
    configs: tuple  # files of configs/, later ones add to earlier ones
    image: str
    targets: tuple
    objects: int  # compiled in a build from nothing, for the progress until one was counted


UML = Variant("uml", "User-Mode Linux", "um", ("uml.config",), "linux", ("all",), 740)
SAN = Variant("uml-san", "User-Mode Linux with sanitizers", "um", ("uml.config", "uml-san.config"), "linux", ("all",), 740)
X86 = Variant("x86", "QEMU", "x86_64", ("x86.config",), "arch/x86/boot/bzImage", ("bzImage", "modules"), 1400)


@dataclass
class Build:
    """A built kernel."""

    variant: Variant
    source: source.Source
    directory: Path

    @property
    def image(self):
        return self.directory / self.variant.image

    @property
    def module(self):
        return self.directory / "drivers" / "char" / "shm_kernel_driver.ko"

    @property
    def modules(self):
        """The files of all modules, which are ours and no others."""
        listed = (self.directory / "modules.order").read_text(encoding="utf-8").split()
        return [self.directory / Path(name).with_suffix(".ko") for name in listed]

    @property
    def kunit_modules(self):
        return [module for module in self.modules if "kunit" in module.stem]

    @property
    def release(self):
        return (self.directory / "include" / "config" / "kernel.release").read_text(encoding="utf-8").strip()

    @property
    def modprobe_base(self):
        """What modprobe takes with -d."""
        return self.directory / "lab-modules"

    @property
    def installed_modules(self):
        """The directory with a copy of every module."""
        return self.modprobe_base / "usr" / "lib" / "modules" / self.release

    @property
    def headers(self):
        """The directory to give to a compiler with -isystem for <linux/shm_kernel.h>."""
        return self.source.work / "headers"


    @property
    def sample_programs(self):
        """The directory of the user-space halves of the samples."""
        return self.source.work / "samples"


def jobs():
    return len(os.sched_getaffinity(0))


def make_env(work):
    """ccache that does not mind where the cache is, and builds that do not differ by when and where."""
    env = proc.clean_env(
        KBUILD_BUILD_TIMESTAMP="2026-01-01",
        KBUILD_BUILD_USER="shm_kernel",
        KBUILD_BUILD_HOST="lab",
        CCACHE_BASEDIR=work,
        CCACHE_COMPILERCHECK="content",
    )
    for name in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "ARCH", "CROSS_COMPILE", "KCONFIG_CONFIG", "O"):
        env.pop(name, None)
    return env


def config_text(variant):
    """What the configuration of VARIANT asks for."""
    return "".join((paths.LAB / "configs" / name).read_text(encoding="utf-8") for name in variant.configs)


def wanted_symbols(text):
    return re.findall(r"^(CONFIG_\w+)=(.+)$", text, re.M)


def make(tree, output, arch, *words):
    return ["make", "-C", tree, f"O={output}", f"ARCH={arch}", "CC=ccache gcc", f"-j{jobs()}", *words]


def first_error(text):
    """The line that says best why a build failed."""
    for pattern in (r"^.*(?:fatal error|error): .*$", r"^.*Error \d+.*$", r"^.*\*\*\*.*$"):
        found = re.search(pattern, text, re.M)
        if found:
            return found.group(0).strip()
    return proc.tail(text, 1)


def compiler_identity():
    gcc = shutil.which("gcc")
    if not gcc:
        return "none"
    status = os.stat(os.path.realpath(gcc))
    return f"{os.path.realpath(gcc)} {status.st_size} {int(status.st_mtime)}"


def configure(src, variant, directory, env):
    text = config_text(variant)
    config = directory / "all.config"
    config.write_text(text, encoding="utf-8")
    env = dict(env, KCONFIG_ALLCONFIG=str(config))
    done = proc.attempt(make(src.patched, directory, variant.arch, "-s", "allnoconfig"), env=env)
    if done.returncode:
        raise LabError(f"configuring Linux {src.version} for {variant.title} failed: {first_error(done.stderr + done.stdout)}")
    have = dict(wanted_symbols((directory / ".config").read_text(encoding="utf-8")))
    unset = [f"{name}={value}" for name, value in wanted_symbols(text) if value != "n" and have.get(name) != value]
    ours = [symbol for symbol in unset if symbol.startswith("CONFIG_SHM_KERNEL_DRIVER=")]
    if ours:
        raise LabError(f"Linux {src.version} for {variant.title} has no {ours[0]} after configuring: the series does not add it, or something that it depends on is off")
    if unset:
        warn(f"this kernel has no {', '.join(unset)} ({', '.join(variant.configs)})")


def compile_kernel(src, variant, directory, env):
    counter = paths.Stamp(directory / ".lab-objects")
    full = not (directory / variant.image).exists()
    expected = int(counter.read() or variant.objects)
    done = 0
    log = directory / "lab-build.log"
    with step(f"building Linux {src.version} for {variant.title}") as now:

        def progress(line):
            nonlocal done
            if re.match(r"\s+(CC|AS)\s", line):
                done += 1
            show()

        def show():
            if full:
                now.progress(f"[{done:4d}/~{max(expected, done)} objects]")
            elif done:
                now.progress(f"[{done} objects]")
            else:
                now.progress("")

        status, text = proc.follow(make(src.patched, directory, variant.arch, *variant.targets), progress, show, env=env)
        log.write_text(text, encoding="utf-8")
        if status:
            if "No space left on device" in text:
                raise LabError(f"building the kernel: the disk of {directory} is full")
            raise LabError(f"building Linux {src.version} for {variant.title} failed: {first_error(text)} (all of it: {log})")
        now.result = f"[{done} objects]"
    for line in re.findall(r"^.*shm_kernel\S*:\d+:.*warning: .*$", text, re.M):
        warn(line.strip())
    if full:
        counter.write(str(done))


def install_headers(src, variant, directory, env):
    """The series' user-space headers as make headers_install would leave them, without the other thousand."""
    done = proc.attempt(make(src.patched, directory, variant.arch, "-s", "scripts_unifdef"), env=env)
    if done.returncode:
        raise LabError(f"building scripts/unifdef failed: {first_error(done.stderr + done.stdout)}")
    target = src.work / "headers"
    shutil.rmtree(target, ignore_errors=True)
    for path in patches.content(src.applied):
        prefix = "include/uapi/linux/"
        if not path.startswith(prefix):
            continue
        installed = target / "linux" / path[len(prefix) :]
        installed.parent.mkdir(parents=True, exist_ok=True)
        done = proc.attempt(["sh", src.patched / "scripts/headers_install.sh", src.patched / path, installed], cwd=directory, env=dict(env, srctree=str(src.patched)))
        if done.returncode:
            raise LabError(f"installing {path} failed: {proc.tail(done.stderr, 2)}")


def build_samples(build):
    """The samples' programs. kbuild could, but not for User-Mode Linux, and only after a headers_install of everything."""
    directory = build.source.patched / "samples" / "shm_kernel"
    shutil.rmtree(build.sample_programs, ignore_errors=True)
    build.sample_programs.mkdir()
    for code in sorted(directory.glob("*_user.c")):
        done = proc.attempt(["gcc", "-O2", "-Wall", "-Wextra", "-isystem", build.headers, "-o", build.sample_programs / code.stem, code])
        if done.returncode:
            raise LabError(f"building samples/shm_kernel/{code.name} failed: {first_error(done.stderr)}")
        for line in re.findall(r"^\S+:\d+:\d+: warning: .*$", done.stderr, re.M):
            warn(line)


def install_modules(build):
    """All modules in one directory, where both insmod and modprobe find them."""
    shutil.rmtree(build.modprobe_base, ignore_errors=True)
    build.installed_modules.mkdir(parents=True)
    # kmod may have been built to look in either.
    (build.modprobe_base / "lib").symlink_to("usr/lib")
    for module in build.modules:
        shutil.copy(module, build.installed_modules)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if (build.directory / name).exists():
            shutil.copy(build.directory / name, build.installed_modules)
    proc.output(["depmod", "-b", build.modprobe_base, build.release], env=proc.clean_env(PATH=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"))


def external_module(build, code, *headers):
    """The module of the one C file CODE, which may include HEADERS, built outside of the tree for BUILD."""
    directory = build.directory / "lab-external" / code.stem
    text = b"".join(file.read_bytes() for file in (code, *headers))
    with paths.locked(build.source.work):
        stamp = paths.Stamp(directory / "stamp")
        key = hashlib.sha256(text + (paths.Stamp(build.directory / ".lab-stamp").read() or "").encode()).hexdigest()
        module = directory / f"{code.stem}.ko"
        if stamp.read() == key and module.exists():
            return module
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for file in (code, *headers):
            shutil.copy(file, directory)
        (directory / "Makefile").write_text(f"obj-m := {code.stem}.o\n", encoding="utf-8")
        done = proc.attempt(make(build.source.patched, build.directory, build.variant.arch, f"M={directory}", "modules"), env=make_env(build.source.work))
        if done.returncode or not module.exists():
            raise LabError(f"building {code.name} failed: {first_error(done.stderr + done.stdout)}")
        stamp.write(key)
    return module


def build(variant, kernel=None, newest=False):
    """The Build of VARIANT for the source that KERNEL names, made or brought up to date where needed."""
    packages.ensure("source", "kernel")
    src = source.get(kernel, newest)
    series = patches.series_for(src.version, src.describe() if src.own else f"linux-source-{src.version}")
    tree_key = source.update_tree(src, series)
    directory = src.work / variant.name
    result = Build(variant, src, directory)
    key = {
        "tree": json.loads(tree_key),
        "config": hashlib.sha256(config_text(variant).encode()).hexdigest(),
        "compiler": compiler_identity(),
    }
    with paths.locked(src.work):
        stamp = paths.Stamp(directory / ".lab-stamp")
        if stamp.read() == json.dumps(key) and result.image.exists() and result.module.exists() and result.modprobe_base.exists():
            return result
        env = make_env(src.work)
        paths.need_space(paths.make_dir(directory), 200 if result.image.exists() else source.BUILD_MIB, "building a kernel")
        stamp.forget()
        configure(src, variant, directory, env)
        compile_kernel(src, variant, directory, env)
        if not result.module.exists():
            raise LabError(f"the build made no {result.module.name}: does the series add it to drivers/char/Makefile?")
        install_headers(src, variant, directory, env)
        install_modules(result)
        build_samples(result)
        stamp.write(json.dumps(key))
    return result
