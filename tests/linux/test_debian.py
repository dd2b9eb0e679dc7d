# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel boots in full and emu to a shell, answers as under QEMU, and does the same twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest

from pvisor.machine.clock import DEFAULT_EPOCH_S
from tests.linux.machine import PROMPT, Booted, boot, boot_in_qemu
from tests.linux.transcript import normalised

pytestmark = pytest.mark.slow

MODES = ("full", "emu")
SCRIPT = (
    "cat /proc/uptime; sleep 2; cat /proc/uptime",
    "date +%s",
    "uname -sm",
    "ls /",
    "ls /proc | grep -v '[0-9]' | head -5",
    "grep -c processor /proc/cpuinfo",
    "for i in 1 2 3; do echo $i; done",
    "echo a b c | tr a-z A-Z | wc -c",
    "sleep 1000 & sleep 1",
    "jobs",
    "kill %1; wait",
    "(exit 3); echo $?",
    "mount",
    "cat /proc/filesystems",
    "wc -l < /proc/kallsyms",
    "dd if=/dev/zero bs=1k count=64 2>/dev/null | md5sum",
    "dmesg",
    "poweroff -f",
)
CMDLINE = "pci=off tsc=reliable"
"""QEMU's board has PCI; without it the two have nearly the same devices. Its TSC is the host's, which stands
still from time to time on a busy machine; of that the kernel is not to talk.
"""
N_LEFT = 200
"""So many lines of the transcript are left to compare, at least: most of it."""


@pytest.fixture(scope="module")
def first(initrd: Path) -> Callable[[str], Booted]:
    """The first boot in a mode."""
    return cache(partial(boot, initrd, lines=SCRIPT, cmdline=CMDLINE))


@pytest.mark.needs_qemu
def test_the_transcript_is_that_of_qemu(initrd: Path, first: Callable[[str], Booted]) -> None:
    wanted = boot_in_qemu(initrd, SCRIPT, cmdline=CMDLINE)
    assert wanted.status == 0, wanted
    for mode in MODES:
        booted = first(mode)
        assert (booted.status, booted.said) == (0, ""), mode
        lines = normalised(booted.answers)
        assert len(lines) >= N_LEFT
        assert lines == normalised(wanted.answers), mode


@pytest.mark.parametrize("mode", MODES)
def test_two_runs_are_one(initrd: Path, first: Callable[[str], Booted], mode: str) -> None:
    assert boot(initrd, mode, SCRIPT, cmdline=CMDLINE).fingerprint == first(mode).fingerprint


@pytest.mark.parametrize("mode", MODES)
def test_time_goes_by_instructions(first: Callable[[str], Booted], mode: str) -> None:
    """The guest's clocks agree with the virtual time of the run, which is its instructions and its sleep."""
    booted = first(mode)
    up_s = [float(found) for found in re.findall(r"^(\d+\.\d\d) \d+\.\d\d$", booted.answers, re.MULTILINE)]
    assert 2.0 <= up_s[1] - up_s[0] <= 2.03
    virtual_ns, idle_ns, n_instructions = (
        int(str(booted.facts[key])) for key in ("virtual_ns", "idle_ns", "instructions")
    )
    assert idle_ns >= 3_000_000_000 and virtual_ns >= n_instructions
    (off_s,) = re.findall(r"^\[ *(\d+\.\d+)\] reboot: Power down", booted.console, re.MULTILINE)
    assert float(off_s) == pytest.approx(virtual_ns / 1e9, abs=0.2), "the kernel counts from its first look"
    (date_s,) = re.findall(r"^(\d{10})$", booted.answers, re.MULTILINE)
    assert DEFAULT_EPOCH_S + up_s[1] - 1 <= int(date_s) <= DEFAULT_EPOCH_S + virtual_ns / 1e9


def test_a_program_instead_of_the_shell(initrd: Path) -> None:
    """`run=` runs it, says its status and powers off."""
    done = boot(initrd, "full", (), cmdline="quiet run=/bin/false")
    assert done.status == 0
    assert PROMPT not in done.console
    assert "\ninit: /bin/false ended with status 1\n" in done.console
