# SPDX-License-Identifier: GPL-2.0-only
"""`./lab check`: what can be said about the sources without running them."""

import re
import shutil
import time
from pathlib import Path

import aptsource
import compat
import kernel
import packages
import patches
import paths
import proc
import results
import source
from ui import LabError, step

# (name, ARCH, CROSS_COMPILE): big and little endian, 32 and 64 bits.
CROSS = (
    ("arm64", "arm64", "aarch64-linux-gnu-"),
    ("s390x", "s390", "s390x-linux-gnu-"),
    ("arm", "arm", "arm-linux-gnueabihf-"),
    ("riscv64", "riscv", "riscv64-linux-gnu-"),
)

# sparse 0.6.4 takes the strings of these macros for bad constant expressions.
SPARSE_FALSE = re.compile(r"bad constant expression")


class Workshop:
    """The patched tree and a build directory of its own, so that no check disturbs the lab's kernels."""

    def __init__(self):
        packages.ensure("source", "kernel")
        self.source = source.get()
        self.series = patches.series_for(self.source.version, "the kernel")
        source.update_tree(self.source, self.series)
        self.env = kernel.make_env(self.source.work)
        self.tree = self.source.patched
        self.files = patches.content(self.source.applied)

    def ours(self, pattern):
        return sorted(path for path in self.files if re.search(pattern, path))

    def make(self, output, arch, *words, tree=None, compiler="ccache gcc"):
        paths.make_dir(output)
        command = ["make", "-C", tree or self.tree, f"O={output}", f"ARCH={arch}", f"CC={compiler}", f"-j{kernel.jobs()}", *words]
        return proc.attempt(command, env=self.env)

    def configure(self, output, state, tree=None, arch="um", **kwargs):
        """A small kernel with the driver in STATE ('y', 'm' or 'n')."""
        paths.make_dir(output)
        text = (paths.LAB / "configs" / "uml.config").read_text(encoding="utf-8") if arch == "um" else CROSS_CONFIG
        text = re.sub(r"^CONFIG_\w*SHM_KERNEL_\w+=.*$", "", text, flags=re.M)
        text = text.replace("CONFIG_PROVE_LOCKING=y", "")
        if state != "n":
            text += "".join(f"CONFIG_{symbol}={state}\n" for symbol in OURS) + "".join(f"CONFIG_{symbol}=m\n" for symbol in OUR_SAMPLES)
        allconfig = output / "all.config"
        allconfig.write_text(text, encoding="utf-8")
        done = self.make(output, arch, "-s", f"KCONFIG_ALLCONFIG={allconfig}", "allnoconfig", tree=tree, **kwargs)
        if done.returncode:
            raise LabError(kernel.first_error(done.stderr + done.stdout))


OURS = ("SHM_KERNEL_DRIVER", "SHM_KERNEL_DRIVER_KUNIT_TEST", "SHM_KERNEL_RING_KUNIT_TEST", "SHM_KERNEL_API_KUNIT_TEST")
OUR_SAMPLES = ("SAMPLE_SHM_KERNEL_MINIMAL", "SAMPLE_SHM_KERNEL_SCHED")

CROSS_CONFIG = "".join(
    f"CONFIG_{symbol}=y\n"
    for symbol in "MMU MODULES PRINTK DEBUG_FS KUNIT COMPAT TRANSPARENT_HUGEPAGE SMP FTRACE ENABLE_DEFAULT_TRACERS SAMPLES".split()
)


def our_complaints(text, pattern=r"(?:warning|error): "):
    """The lines of a build's output that are about our files."""
    return [line.strip() for line in text.splitlines() if "shm_kernel" in line and re.search(pattern, line)]


def judge(name, done, complaints):
    if done.returncode:
        return results.failed(name, kernel.first_error(done.stderr + done.stdout))
    if complaints:
        return results.failed(name, "\n".join(complaints))
    return results.passed(name)


def checkpatch(workshop):
    trouble = packages.try_ensure("check")
    found = []
    script = workshop.tree / "scripts" / "checkpatch.pl"
    # By their paths in the kernel tree, which decide about some of the rules.
    sources = workshop.ours(r"shm_kernel.*\.[ch]$")
    for words, files in ((["--strict"], workshop.series.files), (["--strict", "-f"], [Path(path) for path in sources])):
        for file in files:
            done = proc.attempt(["perl", script, "--no-color", "--summary-file", *words, file], cwd=workshop.tree)
            total = re.search(r"total: (\d+) errors, (\d+) warnings, (?:(\d+) checks, )?", done.stdout)
            clean = total and not any(int(count or 0) for count in total.groups())
            name = file.name
            found.append(results.passed(name) if clean else results.failed(name, done.stdout + done.stderr))
    if trouble:
        found.append(results.skipped("checkpatch: SPDX tags", trouble))
    return found


def kernel_doc(workshop):
    scripts = [workshop.tree / name for name in ("scripts/kernel-doc", "scripts/kernel-doc.py", "tools/docs/kernel-doc")]
    script = next((script for script in scripts if script.exists()), None)
    if not script:
        return [results.skipped("kernel-doc", "this kernel has no such script")]
    found = []
    for path in workshop.ours(r"^(drivers|include|samples)/.*\.[ch]$"):
        if not re.search("shm_kernel", path):
            continue
        done = proc.attempt([script, "-none", workshop.tree / path], cwd=workshop.tree)
        said = "\n".join(line for line in (done.stderr + done.stdout).splitlines() if re.search("warning|error", line, re.I))
        found.append(results.failed(path, said) if said or done.returncode else results.passed(path))
    return found


def driver_objects(workshop, output, arch, words, **kwargs):
    """Compile our objects anew in OUTPUT; returns what make said."""
    names = [path[:-2] + ".o" for path in workshop.ours(r"^(drivers/char|samples/shm_kernel)/shm_kernel.*\.c$") if not path.endswith("_user.c")]
    for name in names:
        (output / name).unlink(missing_ok=True)
    return workshop.make(output, arch, *words, *names, **kwargs)


def w1(workshop):
    output = workshop.source.work / "check"
    workshop.configure(output, "m")
    done = driver_objects(workshop, output, "um", ["W=1"])
    return [judge("make W=1", done, our_complaints(done.stderr + done.stdout))]


def sparse(workshop):
    if not shutil.which("sparse"):
        return [results.skipped("sparse", packages.try_ensure("check") or "sparse is not installed")]
    output = workshop.source.work / "check"
    workshop.configure(output, "m")
    # sparse 0.6.4 does not know __typeof_unqual__, and the kernel would leave it out for that.
    done = driver_objects(workshop, output, "um", ["C=2", "CHECK=sparse -D__typeof_unqual__=__typeof__"])
    text = done.stderr + done.stdout
    complaints = [line for line in our_complaints(text) if not SPARSE_FALSE.search(line)]
    if "sparse" in text and "is not up-to-date" in text:
        return [results.skipped("sparse", "this sparse is too old for this kernel")]
    return [judge("sparse", done, complaints)]


def each_patch(workshop):
    """Every patch, applied up to and including it, builds built-in, as a module, and left out."""
    work = workshop.source.work
    tree, output = work / "check-tree", work / "check-each"
    # Of its own, because another lab may apply another series meanwhile.
    applied = work / "check-applied"
    for old in (tree, applied):
        shutil.rmtree(old, ignore_errors=True)
    proc.output(["cp", "-al", workshop.source.tree, tree])
    patches.apply(workshop.series, workshop.source.tree, applied)
    commits = patches.must_git(applied, "rev-list", "--reverse", "base..lab").split()
    state_of = work / "check-state"
    found, before = [], []
    with step("building after each patch") as now:
        for number, commit in enumerate(commits, 1):
            shutil.rmtree(state_of, ignore_errors=True)
            patches.must_git(applied, "worktree", "prune")
            patches.must_git(applied, "worktree", "add", "-q", "--detach", "--force", str(state_of), commit)
            before = patches.put_into(state_of, tree, workshop.source.tree, before)
            subject = patches.must_git(applied, "log", "-1", "--format=%s", commit).strip()
            kinds = ("y", "m", "n") if "config SHM_KERNEL_DRIVER" in (tree / "drivers/char/Kconfig").read_text(encoding="utf-8") else ("n",)
            for kind in kinds:
                now.progress(f"[{number}/{len(commits)} ={kind}]", force=now.live)
                workshop.configure(output, kind, tree=tree)
                directories = [name for name in ("drivers/char/", "samples/shm_kernel/") if (tree / name).is_dir()]
                done = workshop.make(output, "um", "W=1", *directories, tree=tree)
                found.append(judge(f"{number:02d} ={kind} {subject}", done, our_complaints(done.stderr + done.stdout)))
    for old in (state_of, tree, applied):
        shutil.rmtree(old, ignore_errors=True)
    return found


def clang(workshop):
    found = [Path(path).name for version in range(25, 16, -1) if (path := shutil.which(f"clang-{version}")) and shutil.which(f"ld.lld-{version}")]
    if not found:
        return [results.skipped("clang", "no clang of version 17 or newer with lld is installed, which this kernel needs")]
    suffix = found[0].rpartition("-")[2]
    output = workshop.source.work / "check-clang"
    words = [f"LLVM=-{suffix}", "W=1"]
    workshop.configure(output, "m", arch="x86_64", compiler=found[0])
    done = driver_objects(workshop, output, "x86_64", words, compiler=found[0])
    return [judge(found[0], done, our_complaints(done.stderr + done.stdout))]


def cross(workshop):
    found = []
    for name, arch, prefix in CROSS:
        if not shutil.which(f"{prefix}gcc"):
            found.append(results.skipped(name, f"{prefix}gcc is not installed"))
            continue
        output = workshop.source.work / f"check-{name}"
        compiler = f"{prefix}gcc"
        workshop.env["CROSS_COMPILE"] = prefix
        try:
            workshop.configure(output, "m", arch=arch, compiler=compiler)
            done = driver_objects(workshop, output, arch, ["W=1"], compiler=compiler)
        finally:
            del workshop.env["CROSS_COMPILE"]
        found.append(judge(name, done, our_complaints(done.stderr + done.stdout)))
    return found


HERD = ("herdtools7", "libc6", "libgmp10")
HERD_FILES = ("./usr/bin/herd7", "./usr/share/herdtools7/herd/*", "*/ld-linux*", "*/libc.so*", "*/libm.so*", "*/libgmp.so*")


def herd():
    """The words that run herd7: the machine's, or one of Debian's in the cache, with the libraries that it wants."""
    if shutil.which("herd7"):
        return ["herd7"]
    root = paths.make_dir(paths.cache() / "herd7")
    program = root / "usr" / "bin" / "herd7"
    with paths.locked(root):
        if not program.exists():
            paths.need_space(root, 400, "fetching herd7")
            # A part of an unfinished download must not look like all of it.
            new = root / "new"
            shutil.rmtree(new, ignore_errors=True)
            aptsource.unpack_packages(aptsource.PrivateApt(root / "apt"), HERD, ("testing", "unstable"), HERD_FILES, paths.make_dir(new))
            shutil.rmtree(root / "usr", ignore_errors=True)
            (new / "usr").rename(root / "usr")
            for leftover in (new, root / "apt"):
                shutil.rmtree(leftover)
    loaders = sorted(root.glob("usr/lib/*/ld-linux*"))
    if not loaders:
        raise LabError("Debian's libc6 has no program loader where it is looked for")
    return [loaders[0], "--library-path", loaders[0].parent, program, "-set-libdir", root / "usr" / "share" / "herdtools7" / "herd"]


def litmus(workshop):
    """The ordering of the ring, argued to the kernel's memory model. A test says in its comment what is to come out."""
    files = sorted((paths.CHECKOUT / "drivers-char-shm" / "litmus").glob("*.litmus"))
    if not files:
        return [results.failed("litmus", "there are no tests in drivers-char-shm/litmus")]
    try:
        command = herd()
    except LabError as err:
        return [results.skipped("litmus", f"no herd7: {err}")]
    found = []
    for file in files:
        done = proc.attempt([*command, "-conf", "linux-kernel.cfg", file], cwd=workshop.tree / "tools" / "memory-model")
        wanted = re.search(r"^ \* Result: (Never|Sometimes|Always)$", file.read_text(encoding="utf-8"), re.M)
        seen = re.search(r"^Observation \S+ (Never|Sometimes|Always) ", done.stdout, re.M)
        # herd7 warns of a data race in "Flag" lines and ends well.
        flags = re.findall(r"^Flag .*$", done.stdout, re.M)
        if not wanted:
            found.append(results.failed(file.name, "it has no line ' * Result: Never', 'Sometimes' or 'Always'"))
        elif not seen or seen[1] != wanted[1] or flags:
            found.append(results.failed(file.name, "\n".join([f"Result: {wanted[1]} was wanted", done.stdout.rstrip(), done.stderr.rstrip()])))
        else:
            found.append(results.passed(f"{file.name}: {seen[1]}"))
    return found


def every_boost(_):
    """The headers and the tests over Boost with every Boost, language and compiler, without a warning."""
    packages.ensure("userspace")
    with step("compiling with every Boost, language and compiler") as now:
        return compat.run(True, now.progress)


def formatting(_):
    if not (paths.CHECKOUT / ".clang-format").exists():
        return [results.skipped("clang-format", "the checkout has no .clang-format")]
    if not shutil.which("clang-format"):
        return [results.skipped("clang-format", packages.try_ensure("check") or "clang-format is not installed")]
    found = []
    for top in ("sdk", "tools"):
        for file in sorted((paths.CHECKOUT / top).rglob("*.[ch]pp")):
            done = proc.attempt(["clang-format", "--dry-run", "-Werror", file], cwd=paths.CHECKOUT)
            name = str(file.relative_to(paths.CHECKOUT))
            found.append(results.failed(name, proc.tail(done.stderr, 4)) if done.returncode else results.passed(name))
    return found


def shell_scripts(_):
    if not shutil.which("shellcheck"):
        return [results.skipped("shellcheck", "shellcheck is not installed")]
    scripts = [paths.CHECKOUT / "lab", paths.CHECKOUT / ".ci" / "run"]
    scripts += sorted(file for top in ("sdk", "tools") for file in (paths.CHECKOUT / top).rglob("*.sh"))
    found = []
    for file in scripts:
        done = proc.attempt(["shellcheck", "-x", "-S", "warning", file], cwd=file.parent)
        name = str(file.relative_to(paths.CHECKOUT))
        found.append(results.failed(name, done.stdout + done.stderr) if done.returncode else results.passed(name))
    return found


CHECKS = (
    ("checkpatch", checkpatch),
    ("kernel-doc", kernel_doc),
    ("W=1", w1),
    ("sparse", sparse),
    ("litmus", litmus),
    ("each-patch", each_patch),
    ("boost", every_boost),
    ("clang", clang),
    ("cross", cross),
    ("clang-format", formatting),
    ("shellcheck", shell_scripts),
)


def run(filters):
    chosen = [(name, call) for name, call in CHECKS if not filters or any(word in name for word in filters)]
    if not chosen:
        raise LabError(f"no check matches {' '.join(filters)}; there are: {' '.join(name for name, _ in CHECKS)}")
    workshop = Workshop()
    report = results.Report(verbose=True)
    with paths.locked(workshop.source.work / "check"):
        for name, call in chosen:
            start = time.monotonic()
            try:
                found = call(workshop)
            except LabError as err:
                found = [results.failed(name, str(err))]
            report.suite(name, found, time.monotonic() - start)
    return report.finish()
