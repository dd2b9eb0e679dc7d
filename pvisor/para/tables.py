# SPDX-License-Identifier: GPL-2.0-or-later
"""The first page tables of a paravirtual guest, in its own frames and W^X, and the hole in each.

The guest's frames are mapped where they are (GVA = GPA), 4 KiB a page: writable and no-execute, but for the
kernel image by its ELF flags, and read-only what the hypervisor relies on. What becomes of them later is in
paging.py. Without a twin: a PC starts with paging off, and makes its first tables itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pvisor.abi import constants
from pvisor.errors import GuestRefused
from pvisor.machine.elf import PF_W, PF_X, Segment
from pvisor.machine.frames import ENTRIES_PER_TABLE, HypervisorFrames
from pvisor.machine.memory import PAGE_BYTES, GuestMemory

P, W, U, A, D, LARGE = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7
NX = 1 << 63
"""Bits of a table entry (SDM 3A 4.5.4)."""
FRAME = 0x000F_FFFF_FFFF_F000
"""Where a table entry holds the frame."""

TABLE = P | W | A
READ_ONLY = P | A | D | NX
READ_WRITE = P | W | A | D | NX
EXECUTABLE = P | A | D

HOLE_START = constants.HOLE_START.number
HOLE_END = constants.HOLE_END.number
HOLE_SLOT = HOLE_START >> 39 & 511
HOLE_SLOTS = range(HOLE_SLOT, HOLE_END >> 39 & 511)
"""The entries of a root that are the hypervisor's: the first is used."""
HYPERCALL_PAGE_GVA = HOLE_START + PAGE_BYTES
N_HYPERCALL_PAGES = constants.HYPERCALL_PAGES.number


@dataclass(frozen=True, slots=True)
class PageRange:
    """Pages [gva, gva + n_pages * 4096), seen from frame `gpa` on, with `flags`; flags 0: not mapped."""

    gva: int
    gpa: int
    n_pages: int
    flags: int


@dataclass(frozen=True, slots=True)
class Hole:
    """The hypervisor's hole: the entry for it that each root has, and the frame with the vCPUs' GDTs."""

    root_entry: int
    gdts: int


def flags_of(segment: Segment) -> int:
    """Rights of a kernel segment; one that is writable and executable is refused."""
    if segment.flags & PF_W and segment.flags & PF_X:
        raise GuestRefused(
            f"the segment at {segment.vaddr:#x} is writable and executable (flags {segment.flag_text}); "
            "a paravirtual kernel is W^X: keep code and data in separate segments"
        )
    if segment.flags & PF_W:
        return READ_WRITE
    return EXECUTABLE if segment.flags & PF_X else READ_ONLY


def n_tables(memory_bytes: int, high: Iterable[PageRange]) -> int:
    """How many tables all this takes: PML4, and below it what RAM and the high ranges touch."""
    touched: set[tuple[int, int]] = set()
    for page_range in (PageRange(0, 0, memory_bytes // PAGE_BYTES, 0), *high):
        last = page_range.gva + page_range.n_pages * PAGE_BYTES - 1
        for shift in (39, 30, 21):
            touched.update((shift, slot) for slot in range(page_range.gva >> shift, (last >> shift) + 1))
    return 1 + len(touched)


class TableBuilder:
    """Writes page tables into consecutive guest frames from `first_table` on."""

    def __init__(self, memory: GuestMemory, first_table: int) -> None:
        self._memory = memory
        self._next = first_table
        self._tables: dict[int, array[int]] = {}
        self.root = self._new_table()

    def _new_table(self) -> int:
        gpa = self._next
        self._next += PAGE_BYTES
        self._tables[gpa] = array("Q", bytes(PAGE_BYTES))
        return gpa

    def _table_for(self, gva: int) -> array[int]:
        """The last-level table of an address, made where it is missing."""
        table = self.root
        for shift in (39, 30, 21):
            entries = self._tables[table]
            index = gva >> shift & 511
            if not entries[index]:
                entries[index] = self._new_table() | TABLE
            table = entries[index] & ~(PAGE_BYTES - 1)
        return self._tables[table]

    def map(self, pages: PageRange) -> None:
        """Set the entries of a range, one table at a time."""
        gva, gpa, left = pages.gva, pages.gpa, pages.n_pages
        while left:
            index = gva >> 12 & 511
            n = min(left, ENTRIES_PER_TABLE - index)
            if pages.flags:
                first = gpa | pages.flags
                entries = array("Q", range(first, first + n * PAGE_BYTES, PAGE_BYTES))
            else:
                entries = array("Q", bytes(8 * n))
            self._table_for(gva)[index : index + n] = entries
            gva, gpa, left = gva + n * PAGE_BYTES, gpa + n * PAGE_BYTES, left - n

    def set_root_entry(self, slot: int, entry: int) -> None:
        """An entry of the root that leads out of the guest's frames: the hole."""
        self._tables[self.root][slot] = entry

    def finish(self) -> int:
        """Write all tables to guest memory; the GPA after the last."""
        for gpa, entries in self._tables.items():
            self._memory.write(gpa, entries.tobytes())
        return self._next


def build_hole(frames: HypervisorFrames, gdts: bytes, hypercall_pages: bytes) -> Hole:
    """The hole's tables and pages, all read-only to the guest: a page of GDTs, then the hypercall pages."""
    level3, level2, level1 = (frames.allocate() for _ in range(3))
    frames.set_entry(level3, 0, level2 | P | A)
    frames.set_entry(level2, 0, level1 | P | A)
    pages = [(gdts, READ_ONLY)]
    for i in range(0, len(hypercall_pages), PAGE_BYTES):
        pages.append((hypercall_pages[i : i + PAGE_BYTES], EXECUTABLE))
    placed = []
    for index, (content, flags) in enumerate(pages):
        frame = frames.allocate()
        frames.write(frame, content)
        frames.set_entry(level1, index, frame | flags)
        placed.append(frame)
    return Hole(level3 | P | A, placed[0])


def check_placement(segments: Sequence[Segment], memory_bytes: int) -> None:
    """Refuse a kernel that does not fit into RAM as it is: at page 0, in the hole, or overlapping itself."""
    for segment in segments:
        if segment.paddr < PAGE_BYTES:
            raise GuestRefused(
                f"the segment at {segment.paddr:#x} covers page 0, which is never mapped; link higher"
            )
        last = segment.vaddr + segment.memory_bytes - 1
        if last >> 47 not in (0, 0x1FFFF) or (segment.vaddr < HOLE_END and last >= HOLE_START):
            raise GuestRefused(
                f"the segment at {segment.vaddr:#x} is not canonical or in the hypervisor's hole"
            )
        if segment.vaddr != segment.paddr and segment.vaddr < memory_bytes:
            raise GuestRefused(
                f"the segment at {segment.vaddr:#x} (frame {segment.paddr:#x}) lies over the identity map of "
                "RAM; link it where it is loaded, or above RAM"
            )
        if (segment.vaddr - segment.paddr) % PAGE_BYTES:
            raise GuestRefused(f"the segment at {segment.vaddr:#x} has another page offset than its frame")
    _check_neighbours(sorted(segments, key=lambda s: s.paddr), "paddr")
    _check_neighbours(sorted(segments, key=lambda s: s.vaddr), "vaddr")


def _check_neighbours(segments: Sequence[Segment], address: str) -> None:
    """Refuse segments that overlap, and neighbours with different rights on one page."""
    for lower, upper in pairwise(segments):
        end, start = getattr(lower, address) + lower.memory_bytes, getattr(upper, address)
        if end > start:
            raise GuestRefused(f"the segments at {getattr(lower, address):#x} and {start:#x} overlap")
        if end - 1 >> 12 == start >> 12 and flags_of(lower) != flags_of(upper):
            raise GuestRefused(
                f"segments {lower.flag_text} and {upper.flag_text} share the page at {start & ~0xFFF:#x}; "
                "align them to 4096"
            )
