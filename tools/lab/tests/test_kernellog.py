# SPDX-License-Identifier: GPL-2.0-only
"""Telling a kernel that complains from one that does not."""

import unittest

import kernellog

QUIET = """\
[    0.000000] Linux version 7.3.4
[    0.100000] Warning: unable to open an initial console.
[    0.560000] kunit: disabled
[    1.000000] prog[60]: segfault at 0 ip 0 sp 0 error 4
[    1.200000] reboot: Power down
"""

WARNING = """\
[    2.000000] ------------[ cut here ]------------
[    2.000000] WARNING: drivers/char/shm_kernel_driver.c:77 at region_free+0x10/0x20, CPU#0: sh/60
[    2.000000] Modules linked in: shm_kernel_driver
[    2.000000] Call Trace:
[    2.000000]  region_free+0x10/0x20
[    2.000000] ---[ end trace 0000000000000000 ]---
[    2.100000] after
"""

UML_FLUSH = """\
[    3.000000] =============================
[    3.000000] WARNING: suspicious RCU usage
[    3.000000] 7.3.4 #1 Not tainted
[    3.000000] -----------------------------
[    3.000000] ../tree/lib/maple_tree.c:801 suspicious rcu_dereference_check() usage!
[    3.000000] Call Trace:
[    3.000000]  lockdep_rcu_suspicious+0x1/0x2
[    3.000000]  mas_find+0x1/0x2
[    3.000000]  flush_tlb_mm+0x1/0x2
[    3.000000]  unmap_mapping_range+0x1/0x2
[    3.000000]  </TASK>
"""

PANIC = "[    4.000000] Kernel panic - not syncing: Fatal exception\r\n"
HUNG = "[  120.000000] INFO: task sh:60 blocked for more than 60 seconds.\n"


class Reports(unittest.TestCase):
    def test_a_quiet_log_has_none(self):
        self.assertEqual(kernellog.reports(QUIET), [])

    def test_a_warning_is_one_report_with_its_trace(self):
        found = kernellog.reports(QUIET + WARNING)
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0][0].startswith("WARNING: drivers/char/shm_kernel_driver.c:77"))
        self.assertIn("end trace", found[0][-1])
        self.assertFalse(kernellog.fatal(WARNING))

    def test_every_kind_is_seen(self):
        for line in (
            "BUG: unable to handle page fault for address: 0",
            "kernel BUG at mm/filemap.c:1!",
            "Oops: 0000 [#1] SMP",
            "BUG: sleeping function called from invalid context at x.c:1",
            "INFO: possible recursive locking detected",
            "WARNING: possible circular locking dependency detected",
            "BUG: Bad page state in process sh  pfn:1",
            "Kernel panic - not syncing: x",
            "rcu: INFO: rcu_sched self-detected stall on CPU",
            "list_add corruption. next->prev should be prev",
            "WARNING: inconsistent lock state",
            "BUG: KASAN: slab-use-after-free in x+0x1/0x2 [lab_control]",
            "UBSAN: shift-out-of-bounds in x.c:1:1",
            "general protection fault, probably for non-canonical address",
        ):
            with self.subTest(line=line):
                self.assertEqual(len(kernellog.reports(f"[    1.000000] {line}\n")), 1)

    def test_carriage_returns_do_not_matter(self):
        self.assertEqual(len(kernellog.reports(PANIC)), 1)

    def test_a_mention_in_the_middle_is_none(self):
        self.assertEqual(kernellog.reports("[    1.0] prog: no WARNING: here, and no BUG: either\n"), [])

    def test_user_mode_linuxs_own_report_is_known(self):
        self.assertEqual(kernellog.reports(UML_FLUSH), [])

    def test_a_report_of_the_same_kind_elsewhere_is_not(self):
        self.assertEqual(len(kernellog.reports(UML_FLUSH.replace("flush_tlb_mm", "region_lookup"))), 1)

    def test_a_report_after_a_known_one_is_seen(self):
        self.assertEqual(len(kernellog.reports(UML_FLUSH + WARNING)), 1)

    def test_fatal_is_what_the_kernel_does_not_survive(self):
        self.assertTrue(kernellog.fatal(PANIC))
        self.assertTrue(kernellog.fatal(HUNG))
        self.assertFalse(kernellog.fatal(QUIET))


if __name__ == "__main__":
    unittest.main()
