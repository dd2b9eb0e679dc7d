# SPDX-License-Identifier: GPL-2.0-or-later
"""INT n and exceptions through random gates: kinds, DPL, presence, selectors, IST, stacks, limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RCX, RSP
from tests.full.differential import image
from tests.full.differential.draws import Draw, examples
from tests.full.differential.image import Mode
from tests.full.differential.pair import Pair
from tests.full.differential.state import AC, ID, IF, IOPL, NT, STATUS, TF, Start, start
from tests.full.differential.targets import (
    CODE_WIDTHS,
    beyond_limit,
    both_widths,
    code_descriptor,
    entry_of,
    put,
    target_offset,
)  # fmt: skip

CAUSES = {
    0: (b"\xf7\xf1",), 1: (b"\xcd\x01",), 3: (b"\xcc", b"\xcd\x03"), 4: (b"\xce", b"\xcd\x04"),
    6: (b"\x0f\x0b", b"\xcd\x06"), 13: (b"\xf4", b"\x0f\x01\x11", b"\xcd\x0d"),
    14: (b"\xa1\x00\x00\x40\x00\x00\x00\x00\x00", b"\xcd\x0e"), 8: (b"\xcd\x08",), 2: (b"\xcd\x02",),
    0x80: (b"\xcd\x80",), 0xFF: (b"\xcd\xff",),
}  # fmt: skip
"""Each raises its vector: DIV by 0, INT3, INTO, UD2, HLT, LGDT, a load, INT n. The engine has no INT1."""
STACKS = (image.TSS_STACK, image.TSS_STACK - 4, image.IST_STACK - 0x123, 0x50_0000, 0x80_0800)
"""Usual ones, one that is not mapped, one that is read-only."""


def random_gate(draw: Draw, made: Start, vector: int) -> None:
    """A gate of the vector, and what it needs."""
    usual = (image.CODE64, image.USER_CODE64) if made.mode.is_long else (image.CODE32, image.USER_CODE32)
    into = draw.of((draw.selector(), 0x60, 0x60, *usual))
    put(made, into, code_descriptor(draw, made))
    target = target_offset(draw, made, entry_of(made, into))
    gate = image.gate(
        made.mode, into, target, draw.rarely(draw.of((14, 15)), range(16)), draw.of((3, 3, 0, 1)),
        present=draw.below(6) > 0, ist=draw.rarely(0, range(8)) if made.mode.is_long else 0,
    )  # fmt: skip
    made.changes[image.IDT + vector * len(gate)] = gate


def known_wrong(made: Start, vector: int) -> bool:
    """Gates at which the engine is known to be wrong, or into segments where `full` cannot follow."""
    n_bytes = 16 if made.mode.is_long else 8
    gate = made.changes.get(image.IDT + vector * n_bytes)
    if gate is None:
        return False
    entry = entry_of(made, int.from_bytes(gate[2:4], "little"))
    target = int.from_bytes(gate[0:2] + gate[6:8], "little")
    stays_in_ring_3 = made.cpl == 3 and (entry[5] >> 5 & 3 == 3 or entry[5] & 0x1C == 0x1C)
    if gate[5] & 0x1F == 5 and not made.mode.is_long:
        return True  # a task switch: tests/guests/pc/tasks.c has those
    if gate[5] & 0x1F in (6, 7) and any(gate[6:8]):
        return True  # reserved in a 16-bit gate (SDM 3A figure 6-2); the engine has an offset of 32 bits
    if made.mode.is_long and gate[4] & 7 and stays_in_ring_3:
        return True  # the frame is a user's access, as the ring is 3 (SDM 3A 4.6.1); the engine differs
    return both_widths(made, entry) or beyond_limit(made, entry, target)


@examples(350)
@given(st.data())
def test_gates(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    mode = draw.of(list(Mode))
    made = start(mode, b"", ring=draw.of((0, 3)), bits=draw.of(CODE_WIDTHS[mode]), gpr=draw.registers())
    made.rflags = draw.flags(TF | STATUS | IF | IOPL | AC | ID | NT)
    vector = draw.of(sorted(CAUSES))
    code = draw.of(CAUSES[vector])
    if code[0] == 0xA1 and (made.bits != 64 or mode is Mode.FLAT):
        return
    if code[0] in (0xF4, 0x0F) and made.cpl == 0 and vector == 13:
        code = b"\xcd\x0d"
    made.code = (b"\x48" if code[0] == 0xF7 and made.bits == 64 else b"") + code
    made.gpr[RCX] = 0
    vectors = (vector, draw.of((vector, 8, 13, 11)))
    for one in dict.fromkeys(vectors):
        random_gate(draw, made, one)
    if any(known_wrong(made, one) for one in vectors):
        return
    top = draw.of(STACKS)
    width = 8 if mode.is_long else 4
    made.changes[image.TSS + 4] = top.to_bytes(width, "little")
    if mode.is_long:
        made.changes[image.TSS + 0x24] = draw.of(STACKS).to_bytes(8, "little")
    if made.cpl == 0:
        made.gpr[RSP] = draw.rarely(made.gpr[RSP], (0x50_0000, made.gpr[RSP] - 5))
    made.tss_limit = draw.rarely(image.TSS_LIMIT, (3, 0xB, 0x2B), 8)
    made.idt_limit = draw.rarely(image.IDT_LIMIT, (vector * 2 * width + 2 * width - 2, 0xFF), 8)
    pair.check(made, nests=True)
