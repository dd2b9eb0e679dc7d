# SPDX-License-Identifier: GPL-2.0-or-later
"""What user code can do to a CPU, under Debian's kernel: a program checks it, in full, emu and QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linux.load_program import KNOWN, build, verdict
from tests.linux.machine import Booted, boot, boot_in_qemu
from tests.linux.packages import make_initramfs

pytestmark = [pytest.mark.needs_gcc, pytest.mark.slow]

SHORT = "restarts faults signals segments modes returns steps strings i386"
"""A few seconds' work, of what differs most between a CPU and a deprivileged guest's view of it."""
N_CHECKS_SHORT, N_CHECKS = 150, 430
CMDLINES = ("", "pti=on", "mitigations=off", "nokaslr", "mitigations=off nokaslr vsyscall=xonly")
PARTS = 7
"""Of the measured work: processes, forks, system calls, page faults, pipes, computing, mappings."""


@pytest.fixture(scope="module")
def load_initrd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's initramfs with the two programs in its root."""
    folder = tmp_path_factory.mktemp("load")
    return make_initramfs(folder, **build(folder))


def lines_for(words: str) -> tuple[str, ...]:
    """What is typed; only real lines of the program begin as its lines do."""
    return (f"/load {words}".strip(), "poweroff -f")


def check(booted: Booted, mode: str, n_checks: int) -> None:
    """No check has failed, and no limit was met that is not stated."""
    said = verdict(booted.console)
    assert (said.failed, said.known - KNOWN[mode]) == ((), frozenset()), mode
    assert said.ended and said.n_checks >= n_checks, booted.console[-2000:] + booted.said


def test_a_short_part_in_full(load_initrd: Path) -> None:
    check(boot(load_initrd, "full", lines_for(SHORT), cmdline="quiet"), "full", N_CHECKS_SHORT)


@pytest.mark.linux_matrix
@pytest.mark.parametrize("cmdline", CMDLINES)
@pytest.mark.parametrize("mode", ("full", "emu"))
def test_all_of_it(load_initrd: Path, mode: str, cmdline: str) -> None:
    booted = boot(
        load_initrd, mode, lines_for(""), cmdline=f"quiet {cmdline}", memory="256M", timeout_s=900
    )
    check(booted, mode, N_CHECKS)


@pytest.mark.linux_matrix
@pytest.mark.needs_qemu
def test_all_of_it_in_qemu(load_initrd: Path) -> None:
    booted = boot_in_qemu(load_initrd, lines_for(""), cmdline="quiet", memory="256M", timeout_s=900)
    check(booted, "qemu", N_CHECKS)


@pytest.mark.linux_matrix
def test_the_measured_work_is_the_same(load_initrd: Path) -> None:
    """Its checksums are the same in both modes, part by part."""
    sums = []
    for mode in ("full", "emu"):
        booted = boot(load_initrd, mode, lines_for("bench"), cmdline="quiet", memory="256M", timeout_s=900)
        sums.append([line for line in booted.console.split("\n") if line.startswith("bench: ")])
    assert sums[0] == sums[1] and len(sums[0]) == 1 + PARTS + 1
