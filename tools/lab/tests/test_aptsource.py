# SPDX-License-Identifier: GPL-2.0-only
"""Which mirror and keyring the lab takes from a machine's apt configuration."""

import contextlib
import io
import unittest

import aptsource

DEB822 = """\
# The machine's own archive
Types: deb deb-src
URIs: http://mirror.example.org/debian
Suites: bookworm bookworm-updates
# comment inside a stanza
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://old.example.org/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://commented.example.org/debian bookworm main
deb [arch=amd64 signed-by=/etc/keys/a.gpg,/etc/keys/b.gpg] http://mirror.example.org/debian bookworm main contrib # why
deb-src http://mirror.example.org/debian bookworm main
deb https://packages.example.com/apt stable-tool main
  deb http://security.example.org/debian-security bookworm-security main
"""

EMBEDDED = """\
Types: deb
URIs: mirror+file:/etc/apt/mirrors/debian.list
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----
"""


class Deb822(unittest.TestCase):
    def test_reads_the_fields_of_each_stanza(self):
        entries = aptsource.parse_deb822(DEB822)
        self.assertEqual(len(entries), 3)
        self.assertEqual(entries[0]["URIs"], "http://mirror.example.org/debian")
        self.assertEqual(entries[0]["Components"], "main contrib")

    def test_field_names_ignore_case(self):
        entries = aptsource.parse_deb822("types: deb\nuris: http://a/debian\nsuites: sid\ncomponents: main\nsigned-by: /k\n")
        self.assertEqual(entries, [{"Types": "deb", "URIs": "http://a/debian", "Suites": "sid", "Components": "main", "Signed-By": "/k"}])

    def test_keeps_an_embedded_key(self):
        stanza = aptsource.stanza_for(aptsource.parse_deb822(EMBEDDED)[0], "trixie-backports")
        self.assertIn("Suites: trixie-backports\n", stanza)
        self.assertIn("Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n", stanza)


class OneLine(unittest.TestCase):
    def test_reads_options_and_components(self):
        entry = aptsource.parse_one_line(ONE_LINE)[0]
        self.assertEqual(entry["URIs"], "http://mirror.example.org/debian")
        self.assertEqual(entry["Suites"], "bookworm")
        self.assertEqual(entry["Components"], "main contrib")
        self.assertEqual(entry["Signed-By"], "/etc/keys/a.gpg /etc/keys/b.gpg")
        self.assertEqual(entry["Architectures"], "amd64")

    def test_leaves_comments_out(self):
        self.assertFalse([entry for entry in aptsource.parse_one_line(ONE_LINE) if "commented" in entry["URIs"]])


class Archives(unittest.TestCase):
    def test_takes_the_archive_and_not_security_or_disabled_ones(self):
        found = aptsource.debian_archives(aptsource.parse_deb822(DEB822))
        self.assertEqual([entry["URIs"] for entry in found], ["http://mirror.example.org/debian"])

    def test_takes_no_foreign_or_source_entry(self):
        found = aptsource.debian_archives(aptsource.parse_one_line(ONE_LINE))
        self.assertEqual([entry["URIs"] for entry in found], ["http://mirror.example.org/debian"])

    def test_names_each_archive_once(self):
        self.assertEqual(len(aptsource.debian_archives(aptsource.parse_deb822(DEB822) * 2)), 1)

    def test_asks_for_another_suite_with_the_same_trust(self):
        entry = aptsource.debian_archives(aptsource.parse_one_line(ONE_LINE))[0]
        stanza = aptsource.stanza_for(entry, "trixie-backports")
        self.assertEqual(
            stanza,
            "Types: deb\nURIs: http://mirror.example.org/debian\nSuites: trixie-backports\nComponents: main\n"
            "Signed-By: /etc/keys/a.gpg /etc/keys/b.gpg\n",
        )


class Choice(unittest.TestCase):
    """find_kernel_source() with an archive that has what HAVE says."""

    def choose(self, have, suites=("one", "two"), trouble=None):
        class Apt:
            def update(self, archive, suite):
                self.suite = suite
                return (trouble or {}).get(suite)

            def kernel_sources(self):
                return have.get(self.suite, {})

        entries, aptsource.machine_entries = aptsource.machine_entries, lambda: aptsource.parse_deb822(DEB822)
        try:
            apt = Apt()
            with contextlib.redirect_stderr(io.StringIO()):
                chosen = aptsource.find_kernel_source(apt, "7.3", suites)
            return (*chosen, apt.suite)
        finally:
            aptsource.machine_entries = entries

    def test_takes_any_point_release(self):
        self.assertEqual(self.choose({"one": {"7.3": "7.3.99-1"}}), ("7.3", "7.3.99-1", "one"))

    def test_asks_the_next_suite(self):
        self.assertEqual(self.choose({"two": {"7.3": "7.3.4-1"}}), ("7.3", "7.3.4-1", "two"))

    def test_takes_the_next_newer_base_when_its_own_is_gone(self):
        have = {"one": {"7.10": "7.10.1-1", "6.12": "6.12.9-1"}, "two": {"7.4": "7.4.2-1"}}
        self.assertEqual(self.choose(have), ("7.4", "7.4.2-1", "two"))

    def test_says_what_is_wrong_when_no_suite_answers(self):
        with self.assertRaisesRegex(aptsource.LabError, "no network"):
            self.choose({}, trouble={"one": aptsource.LabError("no network"), "two": aptsource.LabError("no network")})

    def test_says_when_there_is_only_older(self):
        with self.assertRaisesRegex(aptsource.LabError, "no linux-source-7.3 or newer in one or two"):
            self.choose({"one": {"6.12": "6.12.9-1"}})


if __name__ == "__main__":
    unittest.main()
