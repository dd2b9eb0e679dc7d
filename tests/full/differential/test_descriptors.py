# SPDX-License-Identifier: GPL-2.0-or-later
"""LAR, LSL, VERR, VERW and loads of segment registers, over random descriptors and selectors."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RBX, RCX, RSP
from tests.full.differential import image
from tests.full.differential.draws import Draw, examples
from tests.full.differential.image import Mode
from tests.full.differential.pair import Pair
from tests.full.differential.state import AC, ID, IF, IOPL, STATUS, TF, Start, start

CODE_WIDTHS = {Mode.FLAT: (16, 32), Mode.LEGACY: (32,), Mode.PAE: (32,), Mode.LONG: (32, 64)}


def drawn_start(draw: Draw) -> Start:
    """Any mode, ring and width; tables full of random descriptors."""
    mode = draw.of(list(Mode))
    bits, ring = draw.of(CODE_WIDTHS[mode]), draw.of((0, 3))
    made = start(mode, b"", ring=ring, bits=bits, gpr=draw.registers())
    made.rflags = draw.flags(TF | STATUS | IF | IOPL | AC | ID)
    made.gdt_limit = draw.rarely(image.GDT_LIMIT, (0x67, 0x6E, 0x7F), 8)
    made.ldt_limit = draw.rarely(image.LDT_LIMIT, (0, 7, 0xE), 8)
    made.ldt_selector = draw.rarely(image.LDT_SELECTOR, (0,), 8)
    return made


def put_subject(draw: Draw, made: Start, selector: int, entry: bytes) -> None:
    """The descriptor that a selector names, if it is not one that the machine needs."""
    offset = selector & 0xFFF8
    if selector & 4 and offset + len(entry) <= 0x80:
        made.changes[image.LDT + offset] = entry
    elif not selector & 4 and offset in image.SUBJECTS:
        made.changes[image.GDT + offset] = entry


def with_operand(draw: Draw, made: Start, opcode: bytes, reg: int, selector: int) -> bytes:
    """An opcode with a 16-bit source: BX, or memory at EBX. RBX is set."""
    above = draw.word() & ~0xFFFF
    if draw.coin():
        made.gpr[RBX] = selector | above
        return opcode + bytes((0xC3 | reg << 3,))
    at = image.DATA + draw.of((0, 1, 0x123, 0xFFF, 0xFFE))
    made.gpr[RBX] = at
    made.changes[at] = selector.to_bytes(2, "little")
    return (b"\x67" if made.bits == 16 else b"") + opcode + bytes((0x03 | reg << 3,))


QUESTIONS = {
    "lar": (b"\x0f\x02", RCX), "lsl": (b"\x0f\x03", RCX), "verr": (b"\x0f\x00", 4), "verw": (b"\x0f\x00", 5),
}  # fmt: skip


@examples(250)
@given(st.data())
def test_questions(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    selector = draw.selector()
    is_system = draw.below(3) == 0
    entry = draw.system_descriptor(wide=made.mode.is_long) if is_system else draw.segment_descriptor()
    put_subject(draw, made, selector, entry)
    opcode, reg = QUESTIONS[draw.of(sorted(QUESTIONS))]
    code = with_operand(draw, made, opcode, reg, selector)
    size = draw.of((b"", b"\x66", b"\x48")[: 3 if made.bits == 64 else 2])
    made.code = code[:1] + size + code[1:] if code[:1] == b"\x67" else size + code
    if is_system and made.mode.is_long and entry[5] & 15 in (1, 3, 4, 5):
        return  # SDM 2A, LAR and LSL: no valid types in IA-32e mode; the engine takes them as outside it
    pair.check(made)


LOADS = {"es": 0, "ss": 2, "ds": 3, "fs": 4, "gs": 5}


def null_ss(made: Start, selector: int) -> bool:
    """SDM 2B, MOV: a null SS needs RPL = CPL; the engine does not look."""
    return not selector & 0xFFFC and made.bits == 64 and selector & 3 != made.cpl


@examples(200)
@given(st.data())
def test_mov_to_a_segment_register(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    selector, name = draw.selector(), draw.of(sorted(LOADS))
    put_subject(draw, made, selector, draw.segment_descriptor())
    made.code = with_operand(draw, made, b"\x8e", LOADS[name], selector)
    if not (name == "ss" and null_ss(made, selector)):
        pair.check(made)


POPS = {"es": b"\x07", "ss": b"\x17", "ds": b"\x1f", "fs": b"\x0f\xa1", "gs": b"\x0f\xa9"}


@examples(150)
@given(st.data())
def test_pop_of_a_segment_register(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    selector = draw.selector()
    name = draw.of(("fs", "gs") if made.bits == 64 else sorted(POPS))
    put_subject(draw, made, selector, draw.segment_descriptor())
    made.changes[made.gpr[RSP]] = selector.to_bytes(2, "little") + draw.word().to_bytes(8, "little")
    made.code = draw.of((b"", b"\x66", b"\x48", b"\x66\x48")[: 4 if made.bits == 64 else 2]) + POPS[name]
    pair.check(made)


FAR_LOADS = {"les": b"\xc4", "lds": b"\xc5", "lss": b"\x0f\xb2", "lfs": b"\x0f\xb4", "lgs": b"\x0f\xb5"}


@examples(150)
@given(st.data())
def test_far_pointers(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    selector = draw.selector()
    name = draw.of(("lfs", "lgs", "lss") if made.bits == 64 else sorted(FAR_LOADS))
    put_subject(draw, made, selector, draw.segment_descriptor())
    prefix = draw.of((b"", b"\x66"))  # not REX.W, which gives 64 bits (SDM 2A, LSS): the engine ignores it
    n_bytes = 4 if bool(prefix) == (made.bits == 16) else 2
    at = made.gpr[RBX] = image.DATA + draw.of((0, 5, 0xFFC))
    made.changes[at] = draw.word().to_bytes(8, "little")[:n_bytes] + selector.to_bytes(2, "little")
    made.code = (b"\x67" if made.bits == 16 else b"") + prefix + FAR_LOADS[name] + b"\x03"
    if not (name == "lss" and null_ss(made, selector)):
        pair.check(made)


@examples(80)
@given(st.data())
def test_segment_registers_are_read_back(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    index = draw.below(6)
    if draw.coin():
        size = draw.of((b"", b"\x66", b"\x48")[: 3 if made.bits == 64 else 2])
        made.code = size + bytes((0x8C, 0xC0 | index << 3))
    elif made.bits == 64 or index >= 4:
        made.code = draw.of((b"\x0f\xa0", b"\x0f\xa8"))
    else:
        made.code = bytes((0x06 | index << 3,))
    pair.check(made)
