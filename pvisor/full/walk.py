# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's page tables, walked as its own CPU would: 32-bit, PAE and 4-level paging (SDM 3A 4.3-4.7).

Sets accessed and dirty bits where hardware does, and raises the #PF that hardware would. The native twin is
in native/walk.c. This room has no twin in para: a paravirtual guest's tables are the real ones, and the real
CPU walks them.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from dataclasses import dataclass
from typing import NamedTuple

from pvisor.cpu.features import PHYSICAL_BITS
from pvisor.full.state import CR0_PG, CR0_WP, CR4_PAE, CR4_PSE, EFER_LMA, EFER_NXE, PF, CpuState, GuestFault
from pvisor.machine.memory import GuestMemory

P, W, U, A, D, PS = 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 7
NX = 1 << 63
FRAME = (1 << 52) - 4096
BEYOND_PHYSICAL = FRAME & ~((1 << PHYSICAL_BITS) - 1)
BEYOND_FRAME = NX - (1 << 52)
"""Bits 52 to 62: 4-level paging ignores them, PAE paging reserves them (SDM 3A tables 4-8 to 4-11)."""
PDPTE_RESERVED = BEYOND_PHYSICAL | BEYOND_FRAME | NX | 0x1E6
LONG_SHIFTS, PAE_SHIFTS, LEGACY_SHIFTS = (39, 30, 21, 12), (21, 12), (22, 12)

FAULT_P, FAULT_W, FAULT_U, FAULT_RSVD, FAULT_I = 1, 2, 4, 8, 16
"""Bits of a page fault's error code (SDM 3A 4.7)."""


@dataclass(frozen=True, slots=True)
class Access:
    """What is attempted at an address, and in which mode."""

    write: bool = False
    fetch: bool = False
    user: bool = False


READ, WRITE, FETCH = Access(), Access(write=True), Access(fetch=True)
USER_READ, USER_WRITE = Access(user=True), Access(write=True, user=True)
USER_FETCH = Access(fetch=True, user=True)


class Mapping(NamedTuple):
    """Where a page of the guest's address space lies, and what its tables allow there now."""

    gpa: int
    writable: bool
    """A store may go on: also a kernel's into a read-only page while CR0.WP is clear."""
    user: bool
    """User code may use the entry. Not so where a kernel may write and the page is read-only to users."""
    no_execute: bool
    dirty: bool
    page_shift: int
    """12 for a page of 4 KiB, 21, 22 or 30 for a large one."""
    n_tables: int
    """How many tables were read on the way; their addresses are in the walker's `walked`."""


class GuestTables:
    """Walks the tables that the virtual CR3 names. `write` stores accessed and dirty bits into them.

    `walked` is filled with the guest-physical addresses of the tables that a walk has read.
    """

    def __init__(
        self,
        state: CpuState,
        memory: GuestMemory,
        write: Callable[[int, bytes], None],
        walked: MutableSequence[int],
    ) -> None:
        self._state = state
        self._memory = memory
        self._write = write
        self._walked = walked

    def walk(self, gva: int, access: Access) -> Mapping:
        """Translate an address. Raises GuestFault: #PF with the manual's error code, #GP if not canonical."""
        state = self._state
        if not state.cr0 & CR0_PG:
            return Mapping(gva & 0xFFFF_FFFF, True, True, False, True, 12, 0)
        if state.efer & EFER_LMA:
            if gva >> 47 not in (0, 0x1FFFF):
                raise GuestFault(13, 0)
            return self._walk(gva, access, state.cr3 & FRAME, LONG_SHIFTS, 8, 0)
        gva &= 0xFFFF_FFFF
        if state.cr4 & CR4_PAE:
            entry = state.pdpte[gva >> 30]
            if not entry & P:
                raise self._fault(gva, access, 0)
            self._walked[0] = state.cr3 & 0xFFFF_FFE0
            return self._walk(gva, access, entry & FRAME, PAE_SHIFTS, 8, 1)
        return self._walk(gva, access, state.cr3 & 0xFFFF_F000, LEGACY_SHIFTS, 4, 0)

    def _walk(
        self, gva: int, access: Access, table: int, shifts: tuple[int, ...], width: int, level: int
    ) -> Mapping:
        state = self._state
        reserved = BEYOND_PHYSICAL if state.efer & EFER_NXE else BEYOND_PHYSICAL | NX
        if level:
            reserved |= BEYOND_FRAME
        read = self._memory.read_u64_or_0 if width == 8 else self._memory.read_u32_or_0
        index_mask = 0x1FF if width == 8 else 0x3FF
        rights, no_execute = W | U, 0
        trail: list[tuple[int, int]] = []
        for shift in shifts:
            at = table + (gva >> shift & index_mask) * width
            self._walked[level] = table
            level += 1
            entry = read(at)
            if not entry & P:
                raise self._fault(gva, access, 0)
            is_large = False
            if width == 8:
                if entry & PS and shift > 12:
                    is_large = shift < 39
                    if not is_large or entry & ((1 << shift) - 1) & ~0x1FFF:
                        raise self._fault(gva, access, FAULT_P | FAULT_RSVD)
                if entry & reserved:
                    raise self._fault(gva, access, FAULT_P | FAULT_RSVD)
                no_execute |= entry & NX
            elif entry & PS and shift == 22:
                is_large = bool(state.cr4 & CR4_PSE)
                if is_large and entry & 1 << 21:
                    raise self._fault(gva, access, FAULT_P | FAULT_RSVD)
            rights &= entry
            trail.append((at, entry))
            if is_large or shift == 12:
                return self._leaf(gva, access, trail, rights, no_execute, shift, width, level)
            table = entry & (FRAME if width == 8 else 0xFFFF_F000)
        raise AssertionError("a walk ends at a leaf")

    def _leaf(
        self,
        gva: int,
        access: Access,
        trail: list[tuple[int, int]],
        rights: int,
        no_execute: int,
        shift: int,
        width: int,
        n_tables: int,
    ) -> Mapping:
        writable, user = bool(rights & W), bool(rights & U)
        if access.write and not writable:
            if access.user or self._state.cr0 & CR0_WP:
                raise self._fault(gva, access, FAULT_P)
            writable, user_after = True, False
        else:
            user_after = user
        if (access.user and not user) or (access.fetch and no_execute):
            raise self._fault(gva, access, FAULT_P)
        for at, seen in trail[:-1]:
            if not seen & A:
                self._write(at, (seen | A).to_bytes(width, "little"))
        at, entry = trail[-1]
        bits = A | D if access.write else A
        if entry & bits != bits:
            self._write(at, (entry | bits).to_bytes(width, "little"))
        offset_mask = (1 << shift) - 1
        base = entry & (FRAME if width == 8 else 0xFFFF_F000) & ~offset_mask
        if width == 4 and shift == 22:
            base |= (entry >> 13 & 0xFF) << 32  # PSE-36
        dirty = access.write or bool(entry & D)
        return Mapping(
            base | (gva & offset_mask), writable, user_after, bool(no_execute), dirty, shift, n_tables
        )

    def _fault(self, gva: int, access: Access, code: int) -> GuestFault:
        """#PF: I/D is reported only where instruction fetches can be refused (SDM 3A 4.7)."""
        state = self._state
        code |= (FAULT_W if access.write else 0) | (FAULT_U if access.user else 0)
        if access.fetch and state.efer & EFER_NXE and (state.efer & EFER_LMA or state.cr4 & CR4_PAE):
            code |= FAULT_I
        return GuestFault(PF, code, gva)
