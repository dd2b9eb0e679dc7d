# SPDX-License-Identifier: GPL-2.0-or-later
"""MOV to and from control and debug registers, in each mode, by ring 0 and ring 3."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RCX
from tests.full.differential import image
from tests.full.differential.draws import Draw, examples
from tests.full.differential.image import Mode
from tests.full.differential.pair import Pair
from tests.full.differential.state import AC, IF, IOPL, STATUS, TF, Start, start

CODE_WIDTHS = {Mode.FLAT: (16, 32), Mode.LEGACY: (32,), Mode.PAE: (32,), Mode.LONG: (32, 64, 64)}
TO, OF, TO_DEBUG, OF_DEBUG = 0x22, 0x20, 0x23, 0x21

PE, PG, CD, NW = 1, 1 << 31, 1 << 30, 1 << 29
FREE_IN_CR0 = 0x0005_002E
"""MP, EM, TS, NE, WP, AM."""
PSE, PAE = 1 << 4, 1 << 5
FREE_IN_CR4 = 0x75C
"""TSD, DE, PSE, MCE, PCE, OSFXSR, OSXMMEXCPT; PGE is 1 << 7."""


def drawn_start(draw: Draw) -> Start:
    """Any mode and width; mostly ring 0."""
    mode = draw.of(list(Mode))
    made = start(mode, b"", ring=draw.of((0, 0, 0, 3)), bits=draw.of(CODE_WIDTHS[mode]), gpr=draw.registers())
    made.rflags = draw.flags(TF | STATUS | IF | IOPL | AC)
    made.cr0 = made.cr0 & ~FREE_IN_CR0 | draw.noise.getrandbits(32) & FREE_IN_CR0
    made.cr4 = made.cr4 & ~FREE_IN_CR4 | draw.noise.getrandbits(32) & FREE_IN_CR4 | made.cr4 & PSE
    return made


def with_register(draw: Draw, made: Start, opcode: int, number: int) -> None:
    """The instruction, with RCX or R9; the mode of its ModRM means nothing (SDM 2B, MOV)."""
    rex = draw.of((b"", b"\x48", b"\x41")) if made.bits == 64 else b""
    if rex == b"\x41":
        made.gpr[9] = made.gpr[RCX]
    mod = draw.rarely(0xC0, (0, 0x40, 0x80), 8)
    made.code = rex + bytes((0x0F, opcode, mod | number << 3 | RCX))


@examples(60)
@given(st.data())
def test_reads(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    with_register(draw, made, OF, draw.of((0, 2, 3, 4, 1, 5, 7)))
    pair.check(made)


@examples(120)
@given(st.data())
def test_cr0(pair: Pair, data: st.DataObject) -> None:
    """Paging begins with the mode that CR3, CR4 and EFER say, and ends."""
    draw = Draw(data)
    made = drawn_start(draw)
    value = made.cr0 & ~FREE_IN_CR0 | draw.noise.getrandbits(32) & FREE_IN_CR0
    value |= draw.rarely(0, (CD, CD | NW))
    if draw.coin():
        value ^= PG
    if made.mode is Mode.FLAT and value & PG:
        after = draw.of((Mode.LEGACY, Mode.PAE, Mode.LONG))
        made.cr3, made.efer = after.root, after.efer & ~0x400
        made.cr4 = made.cr4 & ~PAE | after.cr4 & PAE
    made.gpr[RCX] = value | draw.word() & ~made.mask
    with_register(draw, made, TO, 0)
    if made.cpl == 0 and made.bits == 64 and not value & PG:
        return  # SDM 2B, MOV: #GP where 64-bit code ends paging; the engine does it
    pair.check(made)


@examples(40)
@given(st.data())
def test_cr2(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    made.gpr[RCX] = draw.word() & made.mask
    with_register(draw, made, TO, 2)
    pair.check(made)


@examples(60)
@given(st.data())
def test_cr3(pair: Pair, data: st.DataObject) -> None:
    """Other tables, that lead to the same code; and what is read through them."""
    draw = Draw(data)
    made = drawn_start(draw)
    root = made.mode.root
    if made.mode is not Mode.FLAT and draw.coin():
        root = image.TABLES
        memory = image.default_memory(made.mode)
        made.changes[root] = memory[made.mode.root : made.mode.root + 0x1000]
    made.gpr[RCX] = root | draw.of((0, 8, 0x10, 0x18))
    with_register(draw, made, TO, 3)
    pair.check(made)


@examples(80)
@given(st.data())
def test_cr4(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    value = made.cr4 & ~FREE_IN_CR4 | draw.noise.getrandbits(32) & (FREE_IN_CR4 | 1 << 7)
    if made.mode is Mode.FLAT:
        value ^= draw.rarely(0, (PAE,))
    made.gpr[RCX] = value | draw.word() & ~made.mask
    with_register(draw, made, TO, 4)
    pair.check(made)


@examples(120)
@given(st.data())
def test_debug_registers(pair: Pair, data: st.DataObject) -> None:
    """Not DR7 with a breakpoint enabled, which `full` refuses."""
    draw = Draw(data)
    made = drawn_start(draw)
    number = draw.below(8)
    made.gpr[RCX] = draw.word() & made.mask
    if number in (5, 7):
        made.gpr[RCX] &= 0xFFFF_D000
    if number >= 4:
        made.gpr[RCX] &= 0xFFFF_FFFF  # SDM 2B, MOV: else #GP(0); the engine does not look
    with_register(draw, made, TO_DEBUG, number)
    made.code += bytes((0x0F, OF_DEBUG, 0xC0 | draw.rarely(number, (0, 4, 6, 7)) << 3))
    made.n_instructions = 3
    pair.check(made)
