# SPDX-License-Identifier: GPL-2.0-or-later
"""IN, OUT, INS, OUTS: by IOPL and by the TSS's map, repeated, up and down, with each width of address."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RCX, RDI, RDX, RSI
from tests.full.differential import image
from tests.full.differential.draws import Draw, examples
from tests.full.differential.image import Mode
from tests.full.differential.pair import Pair
from tests.full.differential.state import AC, ID, IF, IOPL, STATUS, TF, Start, start

CODE_WIDTHS = {Mode.FLAT: (16, 32), Mode.LEGACY: (32,), Mode.PAE: (32,), Mode.LONG: (32, 64)}
IOPORTS = (0, 1, 7, 8, 0x3F8, 0x3FF, 0x1F0, 0xFFFC, 0xFFFF)
DF = 1 << 10


def drawn_start(draw: Draw) -> Start:
    """Any mode, ring and width; a map with some bits clear."""
    mode = draw.of(list(Mode))
    made = start(mode, b"", ring=draw.of((3, 3, 0)), bits=draw.of(CODE_WIDTHS[mode]), gpr=draw.registers())
    made.rflags = draw.flags(TF | STATUS | IF | IOPL | AC | ID)
    ioport = draw.of(IOPORTS)
    made.gpr[RDX] = ioport | draw.word() & ~0xFFFF
    base = draw.rarely(0x68, (0x70, 0x1068, 0xFFFF))
    made.changes[image.TSS + 0x66] = base.to_bytes(2, "little")
    at = base + ioport // 8
    if at < 0x2F00:
        allowed = draw.of((0, 0, 0xFE, 0xF0, 0x81, 0xFF)), draw.of((0, 0xFF, 0xFE))
        made.changes[image.TSS + at] = bytes(allowed)
    made.tss_limit = draw.rarely(image.TSS_LIMIT, (0x66, 0x67, 0x68, at & 0xFFFF, at + 1 & 0xFFFF), 6)
    return made


@examples(200)
@given(st.data())
def test_in_and_out(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    op = draw.of((0xE4, 0xE5, 0xE6, 0xE7, 0xEC, 0xED, 0xEE, 0xEF))
    code = bytes((op, draw.of((0, 7, 0xFF)))) if op < 0xE8 else bytes((op,))
    made.code = draw.of((b"", b"\x66", b"\x48")[: 3 if made.bits == 64 else 2]) + code
    pair.check(made)


def is_allowed(made: Start, size: int) -> bool:
    """By the ring or the map (SDM 1 19.5.2)."""
    if made.cpl <= made.rflags >> 12 & 3:
        return True
    base, ioport = int.from_bytes(made.changes[image.TSS + 0x66], "little"), made.gpr[RDX] & 0xFFFF
    at = base + ioport // 8
    if made.tss_limit < 0x67 or at + 1 > made.tss_limit or at >= 0x2F00:
        return False
    return not int.from_bytes(made.changes[image.TSS + at], "little") >> ioport % 8 & (1 << size) - 1


@examples(250)
@given(st.data())
def test_strings(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    op = draw.of((0x6C, 0x6D, 0x6E, 0x6F))
    repeat = draw.of((b"", b"\xf3", b"\xf3", b"\xf2"))
    prefix = draw.of((b"", b"\x66"))
    size = 1 if not op & 1 else 4 if bool(prefix) == (made.bits == 16) else 2
    address_bits = made.bits if not draw.coin() else {16: 32, 32: 16, 64: 32}[made.bits]
    made.code = repeat + (b"\x67" if address_bits != made.bits else b"") + prefix + bytes((op,))
    count = draw.of((0, 1, 2, 3, 7)) if repeat else draw.below(3)
    above = draw.of((0, 0x5555 << address_bits)) if address_bits < 64 else 0
    made.gpr[RCX] = count | above
    index = RSI if op >= 0x6E else RDI
    place = draw.of((0x800, 3, 0xFFE)) + (image.DATA if address_bits > 16 else image.LOW_DATA)
    if made.mode is not Mode.FLAT and address_bits > 16:
        place = draw.rarely(place, (0x40_0000, 0x3F_FFFC, 0x80_0000), 6)
    made.gpr[index] = place | above
    if not count and repeat:
        made.rflags |= IOPL  # the manual does not say whether no access needs a permission
    made.n_instructions = 2 + count
    # SDM 2A, INS; 2B, OUTS: the permission comes first. The engine's code reads, or writes 0, before it.
    if is_allowed(made, size):
        pair.check(made)
