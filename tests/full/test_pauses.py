# SPDX-License-Identifier: GPL-2.0-or-later
"""PAUSE in a PC's guests: the TSC and the instructions go alike in both modes and tiers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.cpu.vcpu import RDI, RSI
from tests.full.test_string_counts import EXIT, run

RDTSC, PAUSE, NOP = b"\x0f\x31", b"\xf3\x90", b"\x66\x90"
KEEP, SUBTRACT, JMP = b"\x89\xc3", b"\x29\xd8", b"\xeb\0"  # mov ebx, eax; sub eax, ebx
TO_ESI, TO_EDI = b"\x89\xc6", b"\x89\xc7"
N_ROUNDS, PAUSE_NS = 50, 40
WAYS = (("full", "native"), ("full", "python"), ("emu", "native"), ("emu", "python"))


def spin(waiting: bytes) -> bytes:
    """How far the TSC gets to the second RDTSC, whose block `waiting` ends, and over a loop of it."""
    before = RDTSC + KEEP + JMP + RDTSC + SUBTRACT + TO_ESI + waiting
    loop = RDTSC + KEEP + b"\xb9" + N_ROUNDS.to_bytes(4, "little") + waiting + b"\x49\x75" + bytes([0xFB])
    return before + loop + RDTSC + SUBTRACT + TO_EDI + EXIT


@pytest.mark.parametrize(("mode", "tier"), WAYS)
def test_the_time_it_takes(tmp_path: Path, mode: str, tier: str) -> None:
    """The loop is MOV, MOV, and then the instruction, DEC and JNZ each time."""
    for waiting, more_ns in ((NOP, 0), (PAUSE, PAUSE_NS)):
        ended_by, n_insns, gpr, _ = run(tmp_path, spin(waiting), mode, tier)
        assert (ended_by, n_insns) == ("guest", 7 + 3 + 3 * N_ROUNDS + 3 + 3)
        assert gpr[RSI] == 3
        assert gpr[RDI] == 3 + 3 * N_ROUNDS + more_ns * N_ROUNDS
