# SPDX-License-Identifier: GPL-2.0-or-later
"""What a crashed guest leaves: a reason in words, the place, registers, a backtrace with names and lines."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import Pvisor
from tests.guests.shelf import Shelf

ROWS = [
    # guest, mode, in the reason, in the place, functions of the backtrace, innermost first
    ("jump_null", "para", "instruction fetch at 0x0", "at 0x0000000000000000\n", ["main", "pv_start"]),
    ("jump_null", "full", "triple fault: #PF (instruction fetch at 0x0, which is not mapped)",
     "at 0x0000000000000000\n", ["main", "pv_start"]),
    ("stack_overflow", "para", "page fault: write to 0x", "deeper+", ["deeper", "deeper"]),
    ("stack_overflow", "full", "triple fault: #PF (write to 0x", "deeper+", ["deeper", "deeper"]),
    ("null_read", "para", "page fault: read of 0x0", "null_read.c:", ["inner", "middle", "main"]),
    ("null_read", "full", "#PF (read of 0x0, which is not", "null_read.c:", ["inner", "middle", "main"]),
    ("wild_pointer", "full", "#PF (read of 0x4000000000,", "pv_write+", ["pv_write", "main", "pv_start"]),
    ("write_text", "para", "read-only", "mov byte ptr", ["main", "pv_start"]),
    ("raw_vmcall", "para", "VMCALL outside the hypercall page", "vmcall\n", ["main"]),
    ("raw_vmcall", "full", "triple fault: #UD", "vmcall\n", ["main"]),
    ("privileged", "para", "CLI is privileged", "     cli\n", ["main"]),
    ("triple_fault", "full", "triple fault: #GP", "     int3\n", ["main"]),
    ("crash", "para", "reported its own failure", "hypercall page, SHUTDOWN",
     ["pv_crash", "inner", "middle", "main", "pv_start", "_start"]),
    ("crash", "full", "triple fault: #UD", "     ud2\n", ["pv_crash", "inner", "middle", "main"]),
]  # fmt: skip


def backtrace(report: str) -> list[str]:
    """The names of a report's backtrace."""
    return re.findall(r"^    #\d+ +0x[0-9a-f]{16}  (\w+)\+0x", report, re.MULTILINE)


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize(("guest", "mode", "reason", "place", "functions"), ROWS)
def test_the_report(
    pvisor: Pvisor, guests: Shelf, guest: str, mode: str, tier: str,
    reason: str, place: str, functions: list[str],
) -> None:  # fmt: skip
    said = pvisor("run", guests(guest, mode), "--tier", tier)
    assert said.status == 134
    first, rest = said.err.split("\n", 1)
    assert first.startswith("pvisor: the guest crashed: ") and reason in first
    where, _ = rest.split("  registers\n")
    assert place in where and where.startswith("  on d1/v0\n  at 0x")
    assert backtrace(said.err)[: len(functions)] == functions
    assert "Traceback" not in said.err


def test_all_registers_stand_in_it(pvisor: Pvisor, guests: Shelf) -> None:
    report = pvisor("run", guests("null_read", "para")).err
    for name in ("RAX", "RSP", "R15", "RIP", "RFLAGS", "CR2", "CS", "SS", "GS"):
        assert re.search(rf"\b{name} +[0-9a-f]{{4,16}}\b", report), name


def test_source_lines_are_those_of_the_calls(pvisor: Pvisor, guests: Shelf) -> None:
    source = (Path(__file__).parents[1] / "guests" / "crash.c").read_text("utf-8").splitlines()
    report = pvisor("run", guests("crash", "para")).err
    lines = {name: int(line) for name, line in re.findall(r"  (\w+)\+0x[0-9a-f]+  \(crash.c:(\d+)\)", report)}
    assert "pv_crash(" in source[lines["inner"] - 1]
    assert "inner();" in source[lines["middle"] - 1]
    assert "middle();" in source[lines["main"] - 1]


@pytest.mark.skipif(shutil.which("strip") is None, reason="strip is not installed")
def test_a_file_without_symbols_says_so(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped.elf"
    subprocess.run(["strip", "-o", stripped, guests("null_read", "para")], check=True)
    said = pvisor("run", stripped)
    assert said.status == 134
    assert said.err.endswith(f"{stripped} has no symbols; link it without -s to see names here\n")
