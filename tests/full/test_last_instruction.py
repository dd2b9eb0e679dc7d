# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands behind the IN, OUT or CPUID that ends a run shows nothing of the host, nor of the engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import RAX, RBX, RCX, RDX
from tests.cpu.rig import CODE, DATA, Rig, le
from tests.full.test_string_counts import run

OUT, IN, INSB, REP_OUTSB = b"\xe6\xf4", b"\xe4\xf4", b"\x6c", b"\xf3\x6e"
CPUID, RDTSC, RDTSCP = b"\x0f\xa2", b"\x0f\x31", b"\x0f\x01\xf9"
LAST = (OUT, IN, INSB, REP_OUTSB, CPUID, RDTSC, RDTSCP)
BEHIND = RDTSC + b"\x89\xc6\x89\xd7" + RDTSCP + b"\x89\xc5\xeb\xfe"
"""rdtsc; mov esi, eax; mov edi, edx; rdtscp; mov ebp, eax; jmp to itself"""


def ends(mode: str, tier: str, folder: Path) -> tuple[str, int, list[int]]:
    """A guest that powers itself off: how it ended, its instructions and its registers."""
    ended_by, n_insns, gpr, _ = run(folder, b"\x31\xdb\xb0\x00" + OUT + BEHIND, mode, tier)
    return ended_by, n_insns, gpr


@pytest.mark.parametrize(("mode", "tier"), [("full", "native"), ("full", "python"), ("emu", "native")])
def test_power_off(tmp_path: Path, mode: str, tier: str) -> None:
    assert ends(mode, tier, tmp_path) == ("guest", 3, [0] * 16)


def crash(last: bytes) -> tuple[int, int, list[int], int]:
    """A run that `last` ends: the exit's RIP, instructions, registers but RDI and RSI, what was stored."""
    code = b"\x90" + last + BEHIND + b"\x89\x04\x25" + le(DATA + 64, 4) + b"\xeb\xfe"
    rig = Rig(code)
    try:
        rig.in_hook(lambda: True)
        rig.regs.gpr[RAX] = rig.regs.gpr[RBX] = rig.regs.gpr[RDX] = 0x11
        rig.regs.gpr[RCX], rig.regs.gpr[6], rig.regs.gpr[7] = 3, DATA, DATA
        rig.v.budget = 1000
        assert rig.run() is R.HOOK_STOP
        gpr = list(rig.regs.gpr)
        return rig.exit.rip - CODE, rig.vcpu.n_instructions, gpr[:6] + gpr[8:], rig.word(DATA + 64)
    finally:
        rig.close()


@pytest.mark.parametrize("last", LAST, ids=bytes.hex)
def test_a_crash(last: bytes) -> None:
    at, n_insns, gpr, stored = crash(last)
    assert (at, n_insns) == (1, 2)
    assert gpr[1:] == [3, 0x11, 0x11, 0x4_0000, 0] + [0] * 8 and gpr[0] == 0x11
    assert stored == 0, "the block was left"


def in_this_way() -> None:
    """For another process: the same, in all modes."""
    folder = Path(sys.argv[1])
    for mode in ("full", "emu"):
        assert ends(mode, "native", folder) == ("guest", 3, [0] * 16)
    for last in LAST:
        at, n_insns, gpr, _ = crash(last)
        assert (at, n_insns) == (1, 2)
        assert gpr[2:4] == [0x11, 0x11], "RDX and RBX"


def test_where_no_exception_can_be_raised(tmp_path: Path) -> None:
    """By the other way to the CPU's state the block runs on to its end, and learns nothing."""
    code = "from tests.full.test_last_instruction import in_this_way; in_this_way()"
    environment = {**os.environ, "PVISOR_REPAIR": "context"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
