# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages from suites that this machine does not use, by a private apt state.

The machine's own apt configuration says which mirror to ask and which keyring to trust. Nothing of it
is changed: the sources list, the package lists and the downloads are all the lab's own.
"""

import re
import shutil
import subprocess
import threading
from pathlib import Path

import packages
import paths
import proc
from ui import LabError, step

DEBIAN_SUITES = re.compile(
    r"^(stable|oldstable|oldoldstable|testing|unstable|sid|buster|bullseye|bookworm|trixie|forky|duke)(-updates|-backports)?$"
)

# Options of the one-line format whose deb822 field has another name.
ONE_LINE_NAMES = {"arch": "Architectures", "lang": "Languages", "target": "Targets"}


def field_name(name):
    """signed-by -> Signed-By: deb822 names ignore case, so that one spelling will do."""
    return "-".join(word.capitalize() for word in name.split("-")).replace("Uris", "URIs")


def parse_deb822(text):
    """The stanzas of a .sources file, as dictionaries. A field of several lines keeps them."""
    entries = []
    for stanza in re.split(r"\n[ \t]*\n", "\n".join(line for line in text.splitlines() if not line.startswith("#"))):
        entry, last = {}, None
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t"):
                if last:
                    entry[last] += "\n" + line
            elif ":" in line:
                name, value = line.split(":", 1)
                last = field_name(name.strip())
                entry[last] = value.strip()
        if entry:
            entries.append(entry)
    return entries


def parse_one_line(text):
    """The lines of a .list file, in the form of parse_deb822()."""
    entries = []
    for line in text.splitlines():
        found = re.match(r"\s*(deb|deb-src)\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if not found:
            continue
        kind, options, uri, suite, components = found.groups()
        entry = {"Types": kind, "URIs": uri, "Suites": suite, "Components": components.strip()}
        for option in (options or "").split():
            name, _, value = option.partition("=")
            entry[ONE_LINE_NAMES.get(name) or field_name(name)] = value.replace(",", " ")
        entries.append(entry)
    return entries


def machine_entries():
    """What this machine's apt reads."""
    where = proc.output(["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"])
    names = dict(re.findall(r"(\w+)='(.*)'", where))
    files = [Path(names["LIST"])] if "LIST" in names else []
    if "PARTS" in names and Path(names["PARTS"]).is_dir():
        files += sorted(Path(names["PARTS"]).iterdir())
    entries = []
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".sources":
            entries += parse_deb822(text)
        elif file.suffix == ".list":
            entries += parse_one_line(text)
    return entries


def debian_archives(entries):
    """Those of ENTRIES that are a Debian archive proper, which carries every suite."""
    found = []
    for entry in entries:
        if entry.get("Enabled", "yes").lower() in ("no", "false", "0", "off", "without", "disable"):
            continue
        if "deb" not in entry.get("Types", "").split() or "main" not in entry.get("Components", "").split():
            continue
        if "security" in entry.get("URIs", "") or not any(map(DEBIAN_SUITES.match, entry.get("Suites", "").split())):
            continue
        if entry["URIs"] not in [other["URIs"] for other in found]:
            found.append(entry)
    return found


def stanza_for(entry, suite):
    """A .sources stanza for SUITE from the same archive as ENTRY, with its trust and other options."""
    fields = dict(entry, Types="deb", Suites=suite, Components="main")
    fields.pop("Architectures", None)
    fields.pop("Targets", None)
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


class PrivateApt:
    """apt with a state of its own in DIRECTORY, looking at one suite of one archive."""

    def __init__(self, directory):
        self.directory = paths.make_dir(directory)
        for name in ("state/lists/partial", "cache/archives/partial", "etc/sources", "etc/conf"):
            paths.make_dir(self.directory / name)

    def write_config(self, stanza):
        (self.directory / "etc" / "sources" / "lab.sources").write_text(stanza, encoding="utf-8")
        # The machine's settings (proxy, credentials, timeouts) hold, its hooks after an update do not run.
        conf = self.directory / "etc" / "conf"
        for old in conf.iterdir():
            old.unlink()
        where = proc.output(["apt-config", "shell", "PARTS", "Dir::Etc::parts/d", "MAIN", "Dir::Etc::main/f"])
        names = dict(re.findall(r"(\w+)='(.*)'", where))
        files = sorted(Path(names["PARTS"]).iterdir()) if Path(names.get("PARTS", "/nonexistent")).is_dir() else []
        files += [Path(names["MAIN"])] if Path(names.get("MAIN", "/nonexistent")).is_file() else []
        for number, file in enumerate(files):
            try:
                (conf / f"{number:03d}").write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
            except PermissionError:
                continue
        clear = "".join(f"#clear APT::Update::{hook};\n" for hook in ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success"))
        (conf / "zz-lab").write_text(clear, encoding="utf-8")
        (self.directory / "etc" / "apt.conf").write_text(f'Dir::Etc::parts "{conf}";\nDir::Etc::main "";\n', encoding="utf-8")

    def run(self, tool, *words, **kwargs):
        options = {
            "Dir::State": f"{self.directory}/state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": f"{self.directory}/cache",
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": f"{self.directory}/etc/sources",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Sandbox::User": "root",
            "APT::Update::Error-Mode": "any",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
        }
        command = [tool, "-q"]
        for name, value in options.items():
            command += ["-o", f"{name}={value}"]
        env = proc.clean_env(APT_CONFIG=self.directory / "etc" / "apt.conf")
        return proc.attempt([*command, *words], env=env, **kwargs)

    def update(self, entry, suite):
        """Fetch the lists of SUITE. Returns what went wrong, or None."""
        self.write_config(stanza_for(entry, suite))
        done = self.run("apt-get", "update")
        if done.returncode:
            return packages.explain(done.stderr + done.stdout, f"reading {suite} of the Debian archive")
        return None

    def kernel_sources(self):
        """The linux-source packages that the suite has: {'7.3': '7.3.4-1~bpo13+1', ...}."""
        names = self.run("apt-cache", "search", "--names-only", r"^linux-source-[0-9]+\.[0-9]+$").stdout
        found = {}
        for name in re.findall(r"^linux-source-(\d+\.\d+) ", names, re.M):
            shown = self.run("apt-cache", "show", "--no-all-versions", f"linux-source-{name}").stdout
            version = re.search(r"^Version: (\S+)", shown, re.M)
            if version:
                found[name] = version.group(1)
        return found

    def download(self, package, into):
        """Fetch PACKAGE into the directory INTO; returns the .deb file."""
        shown = self.run("apt-cache", "show", "--no-all-versions", package).stdout
        size = int((re.search(r"^Size: (\d+)", shown, re.M) or [0, 0])[1])
        version = (re.search(r"^Version: (\S+)", shown, re.M) or [0, ""])[1]
        paths.need_space(into, 1 + (size >> 20), f"downloading {package}")
        for old in Path(into).glob("*.deb"):
            old.unlink()
        result = []
        with step(f"downloading {package} {version}") as now:
            worker = threading.Thread(target=lambda: result.append(self.run("apt-get", "download", package, cwd=into)), daemon=True)
            worker.start()
            while worker.is_alive():
                worker.join(0.2)
                have = max([file.stat().st_size for file in Path(into).rglob("*.deb")] or [0])
                now.progress(f"[{have >> 20:4d}/{size >> 20} MiB]")
            debs = list(Path(into).glob("*.deb"))
            if not result or result[0].returncode or len(debs) != 1:
                said = result[0].stderr + result[0].stdout if result else ""
                raise packages.explain(said, f"downloading {package}")
            now.result = f"{debs[0].stat().st_size >> 20} MiB"
        return debs[0]


def unpack_packages(apt, names, suites, wanted, into):
    """Unpack what matches the glob patterns WANTED in the packages NAMES, from the first of SUITES that has them all, into INTO."""
    archives = debian_archives(machine_entries())
    if not archives:
        raise LabError("this machine's apt knows no Debian archive")
    trouble = None
    for archive in archives:
        for suite in suites:
            trouble_here = apt.update(archive, suite)
            trouble = trouble or trouble_here
            if trouble_here or apt.run("apt-cache", "show", "--no-all-versions", *names).returncode:
                continue
            for name in names:
                unpack(apt.download(name, paths.make_dir(into / "download")), wanted, into)
            shutil.rmtree(into / "download")
            return
    raise trouble or LabError(f"no {' '.join(names)} in {' or '.join(suites)} of the Debian archive")


def names_like(apt, pattern, suite):
    """The names of the packages of SUITE that match the regular expression PATTERN."""
    archives = debian_archives(machine_entries())
    if not archives:
        raise LabError("this machine's apt knows no Debian archive")
    trouble = None
    for archive in archives:
        trouble_here = apt.update(archive, suite)
        trouble = trouble or trouble_here
        if not trouble_here:
            return re.findall(r"^(\S+) - ", apt.run("apt-cache", "search", "--names-only", pattern).stdout, re.M)
    raise trouble


def unpack(deb, wanted, into):
    """Those files of the package DEB that match a glob pattern of WANTED; most packages have none for most patterns."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as stream:
        proc.attempt(["tar", "-x", "-C", into, "--wildcards", *wanted], stdin=stream.stdout)


def find_kernel_source(apt, wanted, suites):
    """Point APT at a suite that has linux-source-WANTED, or else at one with the next newer base.

    Returns (base, version). SUITES are asked in turn.
    """
    archives = debian_archives(machine_entries())
    if not archives:
        raise LabError("this machine's apt knows no Debian archive to fetch a kernel source from: give one's own with --kernel DIR")
    trouble, newer = None, {}
    with step("looking for a kernel source in the Debian archive") as now:
        for archive in archives:
            for suite in suites:
                now.progress(suite, force=now.live)
                trouble_here = apt.update(archive, suite)
                trouble = trouble or trouble_here
                if trouble_here:
                    continue
                have = apt.kernel_sources()
                if wanted in have:
                    return wanted, have[wanted]
                for base in have:
                    if number(base) > number(wanted):
                        newer.setdefault(base, (archive, suite, have[base]))
        if newer:
            base = min(newer, key=number)
            archive, suite, version = newer[base]
            apt.update(archive, suite)
            return base, version
        raise trouble or LabError(f"no linux-source-{wanted} or newer in {' or '.join(suites)} of the Debian archive")


def number(base):
    """'7.3' -> (7, 3)."""
    return tuple(int(part) for part in base.split("."))
