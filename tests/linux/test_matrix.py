# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian in many settings, none of which pvisor was made for in particular: `make check-linux`."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.linux.machine import Booted, boot

pytestmark = pytest.mark.linux_matrix

MODES = ("full", "emu")
SCRIPT = (
    "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done; echo $i",
    "head -c 262144 /dev/urandom | tee /tmp/a | md5sum > /tmp/b; md5sum < /tmp/a | cmp - /tmp/b && echo same",
    "(for i in 1 2 3 4; do (seq 1 500 | sort -rn | tail -n 1) & done; wait) | sort | uniq -c",
    "dmesg | grep -c -E 'BUG:|WARNING:|Oops|rcu.*stall|soft lockup'",
    "sleep 3; echo slept",
)
OFF = "poweroff -f"
CMDLINES = (
    "",
    "nokaslr",
    "mitigations=off",
    "pti=on",
    "pti=off",
    "pti=auto nokaslr",
    "mitigations=off nokaslr pti=off",
    "mitigations=auto,nosmt spectre_v2=on",
    "acpi=off",
    "noapic nolapic",
    "nolapic_timer",
    "clocksource=acpi_pm",
    "nohz=off highres=off",
    "idle=poll",
    "page_poison=1 slub_debug=FZPU init_on_free=1",
    "noxsave nofxsr",
    "no-kvmclock tsc=unstable",
    "ftrace=function",
    "preempt=full",
    "panic=-1 softlockup_panic=1 hung_task_panic=1",
)
MEMORIES = ("96M", "128M", "256M", "512M", "1G", "2G")
"""With 64M the kernel is refused: it says in its setup header that it needs more to unpack itself."""
CPUS = (
    "penryn", "nehalem", "westmere", "westmere,+pcid", "sandybridge", "sandybridge,+xsave",
    "sandybridge,+pcid", "sandybridge,+xsave,+pcid",
)  # fmt: skip
SEEDS = range(1, 11)


def check(booted: Booted) -> None:
    """It has done its work, and the kernel has nothing to complain of."""
    assert (booted.status, booted.said) == (0, ""), booted.console[-3000:] + booted.said
    answers = booted.answers
    for line in ("200", "same", "      4 1", "0", "slept"):
        assert f"\n{line}\n" in answers, booted.console[-3000:]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cmdline", CMDLINES)
def test_command_line(initrd: Path, mode: str, cmdline: str) -> None:
    end = "reboot -f" if "acpi=off" in cmdline else OFF  # without ACPI nothing can switch this PC off
    check(boot(initrd, mode, (*SCRIPT, end), cmdline=f"quiet {cmdline}", timeout_s=600))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("memory", MEMORIES)
def test_memory(initrd: Path, mode: str, memory: str) -> None:
    done = boot(initrd, mode, ("grep MemTotal /proc/meminfo", *SCRIPT, OFF), cmdline="quiet", memory=memory)
    check(done)
    (total,) = re.findall(r"^MemTotal: +(\d+) kB$", done.answers, re.MULTILINE)
    size = {"M": 1, "G": 1024}[memory[-1]] * int(memory[:-1]) << 10
    assert 0.4 * size < int(total) < size, "the rest is the kernel's own"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cpu", CPUS)
def test_cpu(initrd: Path, mode: str, cpu: str) -> None:
    check(boot(initrd, mode, (*SCRIPT, OFF), cmdline="quiet", options=["--cpu", cpu]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", SEEDS)
def test_seed(initrd: Path, mode: str, seed: int) -> None:
    check(boot(initrd, mode, (*SCRIPT, OFF), cmdline="quiet", options=["--seed", str(seed)]))


@pytest.mark.parametrize("mode", MODES)
def test_python_serves_what_c_does(initrd: Path, mode: str) -> None:
    """`--tier python` gives the same boot, to the byte, at the same virtual times."""
    short = ("echo $((6 * 7))", "poweroff -f")
    native = boot(initrd, mode, short, cmdline="quiet")
    python = boot(initrd, mode, short, cmdline="quiet", options=["--tier", "python"], timeout_s=1800)
    assert python.console == native.console and "\n42\n" in python.console
    for key in ("virtual_ns", "instructions", "idle_ns", "deadlines"):
        assert python.facts[key] == native.facts[key], key


@pytest.mark.parametrize("mode", MODES)
def test_a_panic_that_restarts_the_machine(initrd: Path, mode: str) -> None:
    done = boot(initrd, mode, ("echo c > /proc/sysrq-trigger",), cmdline="quiet panic=-1")
    assert done.status == 134, "a reset after a panic is a crash, and has a report"
    assert "Kernel panic - not syncing: sysrq triggered crash" in done.console


@pytest.mark.parametrize("mode", MODES)
def test_the_clock_of_the_host(initrd: Path, mode: str) -> None:
    """With --realtime a guest that sleeps and computes for seconds ends when the host's clock says so."""
    begun_s = time.time()
    done = boot(initrd, mode, ("sleep 5", "date +%s", "poweroff -f"), cmdline="quiet", options=["--realtime"])
    ended_s = time.time()
    assert done.status == 0
    (date_s,) = re.findall(r"^(\d{10})$", done.answers, re.MULTILINE)
    assert begun_s + 4 <= int(date_s) <= ended_s + 1
