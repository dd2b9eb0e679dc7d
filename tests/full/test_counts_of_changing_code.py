# SPDX-License-Identifier: GPL-2.0-or-later
"""Code that is written and run in turns is counted as it is now, also where it is left by a trap half-way."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pvisor.cpu.vcpu import RCX, RDI
from tests.full.kernels import MIB
from tests.full.test_string_counts import EXIT, mov, run

PAGE, STACK = MIB + 0x8000, MIB + 0xA000
ESP, N_ROUNDS = 4, 60
"""More rounds than a page changes sides before it is writable and executable at once."""
FOUR_NOPS, ONE_NOP = b"\x90" * 4, b"\x0f\x1f\x40\x00"
READ_CR0, RET = b"\x0f\x20\xc0", b"\xc3"


def write_and_call(four_bytes: bytes) -> bytes:
    """Those bytes, MOV from CR0 and RET at PAGE, called: mov dword [edi]; mov dword [edi + 4]; call edi."""
    return b"\xc7\x07" + four_bytes + b"\xc7\x47\x04" + READ_CR0 + RET + b"\xff\xd7"


@pytest.mark.parametrize(
    ("mode", "tier"), [("full", "native"), ("full", "python"), ("emu", "native"), ("emu", "python")]
)
def test_blocks_of_one_length_with_other_instructions(tmp_path: Path, mode: str, tier: str) -> None:
    both = write_and_call(FOUR_NOPS) + write_and_call(ONE_NOP)
    back = -(len(both) + 3)
    loop = both + b"\x49\x75" + struct.pack("<b", back)  # dec ecx; jnz
    code = mov(ESP, STACK) + mov(RDI, PAGE) + mov(RCX, N_ROUNDS) + loop + EXIT
    ended_by, n_insns, gpr, _ = run(tmp_path, code, mode, tier)
    per_round = (3 + 4 + 2) + (3 + 1 + 2) + 2
    assert (ended_by, n_insns, gpr[RCX]) == ("guest", 3 + N_ROUNDS * per_round + 3, 0)
