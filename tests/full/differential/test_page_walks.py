# SPDX-License-Identifier: GPL-2.0-or-later
"""Page tables of random entries, of 32-bit, PAE and 4-level paging: accesses of both rings.

A chain of tables hangs below an entry of the usual ones. An address has its indices, and in its lower 21
bits the place itself, so that it leads there wherever the chain ends in a large page.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RBX, RCX, RDX, RSP
from pvisor.machine.memory import PAGE_BYTES
from tests.full.differential import image
from tests.full.differential.draws import Draw, examples
from tests.full.differential.image import Mode
from tests.full.differential.pair import Pair
from tests.full.differential.state import AC, IF, STATUS, TF, Start, start

WP, NXE, PSE = 1 << 16, 1 << 11, 1 << 4
LEAF_SHIFT = 12
NOPS = (image.LANDING + 0x3000,)
RESERVED_WIDE = (1 << 40, 1 << 51, image.NX)
"""Beyond the physical addresses of both CPUs; the last where NXE is clear."""
OTHERS, NOT_TABLES = (image.TABLES, image.DATA), (image.DATA,)
"""Frames to which a page may lead by mistake: tables, too, if nothing goes through a TLB after the store."""
IGNORED = 0x18 | 0xE00
"""PWT, PCD, and what is software's."""


@dataclass(frozen=True)
class Chain:
    """Where tables hang: the address of the first entry, and each level's shift and index."""

    entry_at: int
    shifts: tuple[int, ...]
    indices: tuple[int, ...]
    width: int

    @property
    def base(self) -> int:
        """The lowest address that goes through it, in 64 bits."""
        base = sum(index << shift for index, shift in zip(self.indices, self.shifts, strict=True))
        return base | -(base >> 47) << 48 & (1 << 64) - 1


def some_chain(draw: Draw, made: Start) -> Chain:
    """Below the root, or the table below that; never where the machine itself is."""
    if made.mode is Mode.LEGACY:
        index = draw.of((2, 0x200, 0x3FF))
        return Chain(image.PD_LEGACY + 4 * index, (22,), (index,), 4)
    index = draw.of((1, 2, 3))
    if made.mode is Mode.PAE:
        directory = draw.of((0, 1, 0x1FF))
        return Chain(image.PDPT_PAE + 8 * index, (30, 21), (index, directory), 8)
    if made.bits == 32 or draw.coin():
        return Chain(image.PDPT + 8 * index, (30, 21), (index, draw.of((0, 0x1FF))), 8)
    top = draw.of((1, 0xFF, 0x100, 0x1FF))
    return Chain(image.PML4 + 8 * top, (39, 30, 21), (top, draw.of((0, 3)), draw.of((0, 0x1FF))), 8)


def some_bits(draw: Draw, chain: Chain, *, is_pdpte: bool = False) -> int:
    """Flags of an entry: mostly present, rarely reserved ones."""
    if is_pdpte:
        return draw.rarely(image.P, (0,), 12) | draw.noise.getrandbits(12) & IGNORED
    bits = draw.rarely(image.P, (0,), 12) | draw.noise.getrandbits(12) & (IGNORED | 0x100)
    for bit in (image.W, image.U, image.A, image.D):
        bits |= draw.rarely(bit, (0,), 3)
    if chain.width == 8:
        bits |= draw.rarely(0, RESERVED_WIDE, 8) | draw.noise.getrandbits(7) << 52
    return bits


def put_entry(made: Start, at: int, value: int, width: int) -> None:
    """One entry of a table."""
    made.changes[at] = value.to_bytes(width, "little")


def hang_tables(
    draw: Draw, made: Start, target: int, others: tuple[int, ...] = OTHERS
) -> tuple[int, list[int]]:
    """Make a chain that leads to `target`, and perhaps elsewhere.

    Gives the linear address of `target`, and where the entries above the last ones are.
    """
    chain = some_chain(draw, made)
    at, table, upper = chain.entry_at, image.TABLES, []
    for level, shift in enumerate(chain.shifts):
        is_pdpte = made.mode is Mode.PAE and level == 0
        bits = some_bits(draw, chain, is_pdpte=is_pdpte)
        upper.append(at)
        is_large = not is_pdpte and draw.below(5) == 0
        if is_large:
            reserved = (1 << 13, 1 << 20) if chain.width == 8 else (1 << 21,) if made.cr4 & PSE else (0,)
            put_entry(made, at, bits | image.PS | draw.rarely(0, reserved, 8), chain.width)
        else:
            put_entry(made, at, bits | table, chain.width)
        after = chain.shifts[level + 1] if level + 1 < len(chain.shifts) else LEAF_SHIFT
        entries = 0x1FF if chain.width == 8 else 0x3FF
        index = (chain.base | target) >> after & entries
        at, table = table + index * chain.width, table + PAGE_BYTES
        if after == LEAF_SHIFT and shift > LEAF_SHIFT:
            for page in range(2):
                frame = draw.rarely((target & ~0xFFF) + page * PAGE_BYTES, others, 8)
                leaf = some_bits(draw, chain) | draw.rarely(0, (image.PS,), 8)
                put_entry(made, at + page * chain.width, frame | leaf, chain.width)
    return chain.base + target, upper


def drawn_start(draw: Draw) -> Start:
    """A mode with paging, any ring and width."""
    mode = draw.of((Mode.LEGACY, Mode.PAE, Mode.LONG, Mode.LONG))
    bits = draw.of((32, 64, 64)) if mode.is_long else 32
    made = start(mode, b"", ring=draw.of((0, 3)), bits=bits, gpr=draw.registers())
    made.rflags = draw.flags(TF | STATUS | IF | AC)
    made.cr0 &= ~draw.rarely(0, (WP,), 2)
    if mode is not Mode.LEGACY:
        made.efer = made.efer & ~NXE | draw.rarely(NXE, (0,))
    if mode is Mode.LEGACY:
        made.cr4 &= ~draw.rarely(0, (PSE,))
    return made


ACCESSES = ("8a03", "8b03", "8803", "8903", "0003", "8703", "f3a4", "f3aa", "ff33", "8f03", "f613", "0f0003")
"""Loads, stores, and both at once, of 1 to 8 bytes; PUSH, POP, MOVS, STOS; SLDT, which `full` emulates."""


@examples(250)
@given(st.data())
def test_data(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    target = image.DATA + draw.of((0x800, 0, 0xFFC, 0xFFE, 0xFFF))
    code = bytes.fromhex(draw.of(ACCESSES))
    is_repeated = code[0] == 0xF3
    made.gpr[RBX], upper = hang_tables(draw, made, target, NOT_TABLES if is_repeated else OTHERS)
    if not is_repeated:
        code = draw.of((b"", b"\x48", b"\x66")[: 3 if made.bits == 64 else 1]) + code
    made.gpr[7] = made.gpr[6] = made.gpr[RBX]
    made.gpr[7 if draw.coin() else 6] = image.DATA + 0x3000
    made.code = code
    if is_repeated:
        made.gpr[RCX], made.n_instructions = 2, 4
    pair.check(made, tables=upper)


@examples(100)
@given(st.data())
def test_stacks(pair: Pair, data: st.DataObject) -> None:
    """PUSH, PUSHF, POPF, CALL, INT3 onto a stack behind such tables."""
    draw = Draw(data)
    made = drawn_start(draw)
    target = image.DATA + draw.of((0x800, 0x1000, 0x1004, 0xFFE))
    made.gpr[RSP], upper = hang_tables(draw, made, target, NOT_TABLES)
    made.code = draw.of((b"\x50", b"\x9c", b"\x9d", b"\xe8\x00\x00\x00\x00", b"\xcc", b"\x0f\xa0"))
    made.changes[image.DATA + 0x800] = bytes(16)  # what POPF takes: no flag
    made.changes[image.DATA + 0xFF0] = bytes(48)
    pair.check(made, nests=True, tables=upper)


@examples(80)
@given(st.data())
def test_fetches(pair: Pair, data: st.DataObject) -> None:
    draw = Draw(data)
    made = drawn_start(draw)
    made.gpr[RBX], upper = hang_tables(draw, made, image.LANDING + draw.of((0, 0x800, 0xFF0)), NOPS)
    made.code = b"\xff\xe3"
    pair.check(made, tables=upper)


@examples(100)
@given(st.data())
def test_an_entry_changes(pair: Pair, data: st.DataObject) -> None:
    """An access, another entry, INVLPG, and an access again: in ring 0, by code that may write tables."""
    draw = Draw(data)
    made = drawn_start(draw)
    made = start(made.mode, b"", bits=made.bits, gpr=made.gpr)
    target = image.DATA + 0x800
    made.gpr[RBX], upper = hang_tables(draw, made, target)
    places = [at for at in made.changes if at >= image.TABLES]
    made.gpr[RDX] = draw.of(places or [image.DATA])
    made.gpr[RCX] = target & ~0xFFF | draw.of((0x67, 0x61, 0x63, 1, 3, 7, 0))
    first, last = draw.of(("8a03", "8803", "9090")), draw.of(("8a03", "8803", "0003"))
    made.code = bytes.fromhex(first + "890a" + "0f013b" + last)
    made.n_instructions = 5 if first != "9090" else 6
    pair.check(made, tables=upper)
