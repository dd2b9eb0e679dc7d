# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux that panics or hangs leaves a report with its names, stack and log, and a status that says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.linux.machine import boot

pytestmark = pytest.mark.slow

PANIC = "echo c > /proc/sysrq-trigger"
WHY = "pvisor: the guest crashed: Kernel panic - not syncing: sysrq triggered crash\n"


def functions(report: str) -> list[str]:
    """The names of a call trace."""
    return re.findall(r"^    #\d+ +0x[0-9a-f]{16} [? ] (\S+)\+0x", report, re.MULTILINE)


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_a_panic_ends_the_run_with_a_report(initrd: Path, mode: str) -> None:
    booted = boot(initrd, mode, [PANIC], cmdline="quiet pti=on")
    assert booted.status == 134, booted.said
    assert booted.said.startswith(WHY)
    found = functions(booted.said)
    assert {"panic", "sysrq_handle_crash", "vfs_write"} < set(found)
    assert "    Linux version 6." in booted.said and "    task: sh\n" in booted.said
    log = booted.said[booted.said.index("the end of the log, from the kernel's own buffer") :]
    assert "end Kernel panic - not syncing: sysrq triggered crash" in log


def test_a_kernel_that_reboots_by_itself_has_crashed_too(initrd: Path) -> None:
    booted = boot(initrd, "full", [PANIC], cmdline="panic=-1 nokaslr")
    assert (booted.status, booted.said.startswith(WHY)) == (134, True)
    rebooted = boot(initrd, "full", ["reboot -f"])
    assert (rebooted.status, rebooted.said) == (0, "")


def test_a_hang_is_explained_when_its_time_is_over(initrd: Path) -> None:
    booted = boot(initrd, "full", ["poweroff -f"], options=["--max-insns", "900000000"])
    assert booted.status == 124
    assert booted.said.startswith("pvisor: the guest used up its instructions (--max-insns)\n")
    assert functions(booted.said)[-1:] and "the end of the log" in booted.said
