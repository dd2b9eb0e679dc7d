# SPDX-License-Identifier: GPL-2.0-or-later
"""States for what changes the code segment: descriptors of code and stack, and where in them to go."""

from __future__ import annotations

from pvisor.cpu.vcpu import SS
from tests.full.differential import image
from tests.full.differential.draws import Draw
from tests.full.differential.image import Mode
from tests.full.differential.state import AC, ID, IF, IOPL, STATUS, TF, Start, flat, start

CODE_WIDTHS = {Mode.FLAT: (32,), Mode.LEGACY: (16, 32), Mode.PAE: (32,), Mode.LONG: (32, 64)}
USUAL_CODE = {0: (image.CODE32, image.CODE64, image.CODE16),
              3: (image.USER_CODE32, image.USER_CODE64, image.USER_CODE16)}  # fmt: skip


def drawn_start(draw: Draw, *, ring: int | None = None) -> Start:
    """Any mode, ring and width."""
    mode = draw.of(list(Mode))
    ring = draw.of((0, 3)) if ring is None else ring
    made = start(mode, b"", ring=ring, bits=draw.of(CODE_WIDTHS[mode]), gpr=draw.registers())
    made.rflags = draw.flags(TF | STATUS | IF | IOPL | AC | ID)
    made.gdt_limit = draw.rarely(image.GDT_LIMIT, (0x67, 0x6E, 0x6F, 0x7F), 8)
    return made


def code_descriptor(draw: Draw, made: Start) -> bytes:
    """Mostly a code segment in which LANDING can be reached."""
    if draw.below(4) == 0:
        return draw.segment_descriptor()
    dpl = draw.of((0, 0, 0, 1, 2, 3, 3, 3))
    flags = 0x1800 | draw.below(8) << 8 | dpl << 13 | draw.rarely(0x8000, (0,), 6)
    width = draw.of((0x20_0000, 0x40_0000, 0, 0x60_0000, 0x40_0000, 0x20_0000))
    size = width | draw.rarely(0x80_0000, (0,), 6)
    return image.descriptor(draw.rarely(0, (0x1000, 0xFFFF_0000)), 0xF_FFFF, flags | size)


def stack_descriptor(draw: Draw) -> bytes:
    """Mostly writable data of ring 3."""
    if draw.below(4) == 0:
        entry = bytearray(draw.segment_descriptor())
        entry[5] |= 0x80  # SDM 2A, IRET; 2B, RET: #SS if the stack is not present; the engine says #NP
        entry[6] &= ~0x20  # the engine takes L for a stack of 64 bits
        return bytes(entry)
    return image.descriptor(draw.rarely(0, (0x1000,)), 0xF_FFFF, 0xC0_F200 | draw.below(2) << 8)


def put(made: Start, selector: int, entry: bytes) -> None:
    """A descriptor at its place in GDT or LDT, where nothing else is needed."""
    offset = selector & 0xFFF8
    if selector & 4 and offset + len(entry) <= 0x80:
        made.changes[image.LDT + offset] = entry
    elif not selector & 4 and offset in image.SUBJECTS:
        made.changes[image.GDT + offset] = entry


def target_offset(draw: Draw, made: Start, entry: bytes) -> int:
    """Where to: LANDING by the segment's base, rarely elsewhere."""
    base = int.from_bytes(entry[2:5], "little") | entry[7] << 24
    landing = image.LANDING + draw.of((0, 0x10, 0x123))
    is_64bit = made.mode.is_long and entry[6] & 0x20
    usual = landing if is_64bit else landing - base & 0xFFFF_FFFF
    if made.mode is Mode.FLAT:
        return usual
    others = (0x90_0000, 0xFFFF_FFFF, 0x7FFF_FFFF_F000, 0xFFFF_8000_0000_0000) if is_64bit else (0x90_0000,)
    return draw.rarely(usual, others, 6)


def limit_of(entry: bytes) -> int:
    """A descriptor's limit in bytes."""
    limit = int.from_bytes(entry[:2], "little") | (entry[6] & 15) << 16
    return limit << 12 | 0xFFF if entry[6] & 0x80 else limit


def beyond_limit(made: Start, entry: bytes, target: int) -> bool:
    """Is the target outside the code segment?"""
    return target > limit_of(entry) and not (made.mode.is_long and entry[6] & 0x20)


def both_widths(made: Start, entry: bytes) -> bool:
    """SDM 2A, JMP: #GP where a code segment has both L and D in IA-32e mode; the engine does not look."""
    return made.mode.is_long and entry[6] & 0x60 == 0x60


def some_selector(draw: Draw, made: Start) -> int:
    """A subject's, or one of a usual code segment."""
    return draw.of((draw.selector(), draw.selector(), draw.of(USUAL_CODE[made.cpl])))


def entry_of(made: Start, selector: int) -> bytes:
    """The descriptor that a selector names, or zeros."""
    offset = selector & 0xFFF8
    place = (image.LDT if selector & 4 else image.GDT) + offset
    if place in made.changes:
        return made.changes[place]
    memory = image.default_memory(made.mode)
    return memory[place : place + 8] if offset < 0x1000 else bytes(8)


def mix_data_segments(draw: Draw, made: Start) -> None:
    """DS, ES, FS and GS of ring 0 or ring 3, as a return to ring 3 may find them."""
    for index in (0, 3, 4, 5):
        in_ring_0 = flat(draw.of((image.DATA0, image.USER_DATA)))
        made.segments[index] = in_ring_0 if made.cpl == 0 else made.segments[SS]


def words_of(words: list[int], n_bytes: int) -> bytes:
    """A stack's words, cut off."""
    mask = (1 << 8 * n_bytes) - 1
    return b"".join((word & mask).to_bytes(n_bytes, "little") for word in words)
