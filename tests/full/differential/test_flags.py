# SPDX-License-Identifier: GPL-2.0-or-later
"""PUSHF, POPF, CLI and STI: all flags, both rings, each width of code and operand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RSP
from tests.full.differential.draws import Draw, examples
from tests.full.differential.image import Mode
from tests.full.differential.pair import Pair
from tests.full.differential.state import Start, start

CODE_WIDTHS = {Mode.FLAT: (16, 32), Mode.LEGACY: (16, 32), Mode.PAE: (32,), Mode.LONG: (16, 32, 64)}
PREFIXES = {16: (b"", b"\x66"), 32: (b"", b"\x66"), 64: (b"", b"\x66", b"\x48", b"\x66\x48")}
SETTABLE = 0x27_FED7
"""All flags that there are but VM, VIF and VIP, and NT, TF, RF as tests want them."""
STATUS, TF, IF, IOPL, NT, AC_ID = 0xCD5, 1 << 8, 1 << 9, 3 << 12, 1 << 14, 0x24_0000


def drawn_start(draw: Draw, code: bytes) -> Start:
    """Any mode, ring and width; the code with or without prefix."""
    mode = draw.of(list(Mode))
    bits, ring = draw.of(CODE_WIDTHS[mode]), draw.of((0, 3))
    made = start(mode, draw.of(PREFIXES[bits]) + code, ring=ring, bits=bits, gpr=draw.registers())
    made.rflags = draw.flags(TF | STATUS | IF | IOPL | NT | AC_ID)
    return made


@examples(80)
@given(st.data())
def test_pushf(pair: Pair, data: st.DataObject) -> None:
    pair.check(drawn_start(Draw(data), b"\x9c"))


@examples(150)
@given(st.data())
def test_popf(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw, b"\x9d")
    popped = draw.flags((1 << 22) - 1)
    made.changes[made.gpr[RSP]] = popped.to_bytes(4, "little") + draw.word().to_bytes(8, "little")[4:]
    pair.check(made)


@examples(40)
@given(st.data())
def test_cli_and_sti(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw, draw.of((b"\xfa", b"\xfb")))
    made.rflags &= ~TF  # behind STI the engine's blocks are of one instruction, so that it would end later
    pair.check(made)
