# SPDX-License-Identifier: GPL-2.0-or-later
"""SGDT, SIDT, SLDT, STR, SMSW, LGDT, LIDT, LLDT, LTR, LMSW: registers and memory, each width, both rings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RBX, RCX
from tests.full.differential import image
from tests.full.differential.draws import Draw, examples
from tests.full.differential.image import Mode
from tests.full.differential.pair import Pair
from tests.full.differential.state import AC, ID, IF, IOPL, STATUS, TF, Start, start

CODE_WIDTHS = {Mode.FLAT: (16, 32), Mode.LEGACY: (32,), Mode.PAE: (32,), Mode.LONG: (32, 64)}
PLACES = (image.DATA, image.DATA + 1, image.DATA + 0xFF9, image.TSS_STACK - 0x100, image.USER_STACK - 16)
BEYOND = (0x40_0000, 0x40_0FFF, 0x8000_0000_0000, 1 << 63)
"""Not mapped, and not canonical."""


def drawn_start(draw: Draw) -> Start:
    """Any mode, ring and width."""
    mode = draw.of(list(Mode))
    made = start(mode, b"", ring=draw.of((0, 3)), bits=draw.of(CODE_WIDTHS[mode]), gpr=draw.registers())
    made.rflags = draw.flags(TF | STATUS | IF | IOPL | AC | ID)
    made.ldt_selector = draw.rarely(image.LDT_SELECTOR, (0, 1))
    return made


def with_sizes(draw: Draw, made: Start, code: bytes) -> bytes:
    """With or without the prefixes that choose the operand's size."""
    return draw.of((b"", b"\x66", b"\x48")[: 3 if made.bits == 64 else 2]) + code


def at_rbx(draw: Draw, made: Start, opcode: bytes, reg: int) -> bytes:
    """An opcode with a memory operand at [EBX] or [RBX + 8]. RBX is set."""
    places = PLACES if made.mode is Mode.FLAT else (*PLACES, *PLACES, *BEYOND[: 4 if made.bits == 64 else 2])
    at, shift = draw.of(places), draw.of((0, 8))
    made.gpr[RBX] = at - shift & (1 << 64) - 1
    code = with_sizes(draw, made, opcode)
    operand = bytes((0x43 | reg << 3, 8)) if shift else bytes((0x03 | reg << 3,))
    return (b"\x67" if made.bits == 16 else b"") + code + operand


@examples(120)
@given(st.data())
def test_stores_of_tables(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    made.code = at_rbx(draw, made, b"\x0f\x01", draw.below(2))
    pair.check(made)


@examples(120)
@given(st.data())
def test_stores_of_selectors_and_of_cr0(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    opcode, reg = draw.of(((b"\x0f\x00", 0), (b"\x0f\x00", 1), (b"\x0f\x01", 4)))
    made.cr0 |= draw.rarely(0, (8, 2, 0x20, 0x4_0000))
    if draw.coin():
        made.code = at_rbx(draw, made, opcode, reg)
        pair.check(made)
        return
    made.code = with_sizes(draw, made, opcode) + bytes((0xC1 | reg << 3,))
    # SDM 2A, SLDT, SMSW; 2B, STR: outside 64-bit code the upper bits are undefined for SMSW.
    pair.check(made, undefined=(RCX, ~0xFFFF) if reg == 4 and made.bits != 64 else None)


@examples(120)
@given(st.data())
def test_loads_of_tables(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    made.code = at_rbx(draw, made, b"\x0f\x01", 2 + draw.below(2))
    if made.bits == 64 and made.code[:1] == b"\x66":
        return  # SDM 2A, LGDT: 10 bytes in 64-bit mode, with any prefix; the engine's base has 24 bits then
    bases = (0, image.GDT, image.IDT, image.DATA, 0x1234_5678, 0x7FFF_FFFF_FFFF, 0xFFFF_8000_0000_0000)
    base = draw.of(bases)
    at = made.gpr[RBX] + 8 * (made.code[-1] == 8)
    if at in PLACES:
        made.changes[at] = draw.noise.getrandbits(16).to_bytes(2, "little") + base.to_bytes(8, "little")
    pair.check(made)


@examples(150)
@given(st.data())
def test_loads_of_selectors(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    made.gdt_limit = draw.rarely(image.GDT_LIMIT, (0x67, 0x6E, 0x6F, 0x77, 0x7F), 6)
    selector, reg = draw.selector(), draw.of((2, 3))
    if reg == 3 and not selector & 0xFFFC and made.cpl == 0:
        return  # SDM 2A, LTR: a null selector is #GP(0); the engine takes it
    entry = bytearray(draw.system_descriptor(wide=made.mode.is_long))
    if draw.coin():
        entry[5] = entry[5] & 0xE0 | draw.of((2, 9, 9, 1, 3, 11))
    if selector & 0xFFF8 in image.SUBJECTS and not selector & 4:
        made.changes[image.GDT + (selector & 0xFFF8)] = bytes(entry)
    if made.mode.is_long and (entry[13] & 0x10 or (reg == 2 and entry[13] & 0x1F)):
        return  # SDM 3A 7.2.3: these bits must be 0; the engine looks at the lower four, and for LTR only
    if reg == 3 and made.mode.is_long and entry[5] & 0x1F == 1:
        return  # SDM 3A, table 3-2: no type in IA-32e mode; the engine takes it as outside it
    made.gpr[RBX] = selector | draw.word() & ~0xFFFF
    made.code = with_sizes(draw, made, b"\x0f\x00" + bytes((0xC3 | reg << 3,)))
    pair.check(made)


@examples(60)
@given(st.data())
def test_lmsw_and_clts(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    made.cr0 |= draw.of((0, 8, 2, 4, 0xE))
    made.code = draw.of((b"\x0f\x06", b"\x0f\x01\xf3"))
    made.gpr[RBX] = draw.word()
    pair.check(made)
