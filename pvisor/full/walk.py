# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's page tables, walked as its own CPU would: 32-bit, PAE and 4-level paging (SDM 3A 4.3-4.7).

Sets accessed and dirty bits where hardware does, and raises the #PF that hardware would. This room has no
twin: a paravirtual guest's tables are the real ones, and the real CPU walks them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pvisor.cpu.features import PHYSICAL_BITS
from pvisor.full.state import CR0_WP, CR4_PAE, CR4_PSE, EFER_NXE, PF, CpuState, GuestFault

P, W, U, A, D, PS = 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 7
NX = 1 << 63
FRAME = (1 << 52) - 4096
BEYOND_PHYSICAL = FRAME & ~((1 << PHYSICAL_BITS) - 1)

FAULT_P, FAULT_W, FAULT_U, FAULT_RSVD, FAULT_I = 1, 2, 4, 8, 16
"""Bits of a page fault's error code (SDM 3A 4.7)."""


@dataclass(frozen=True, slots=True)
class Access:
    """What is attempted at an address."""

    write: bool = False
    fetch: bool = False
    user: bool = False


READ, WRITE, FETCH = Access(), Access(write=True), Access(fetch=True)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where a page of the guest's address space lies, and what its tables allow there."""

    gpa: int
    writable: bool
    user: bool
    no_execute: bool
    dirty: bool
    page_shift: int
    """12 for a page of 4 KiB, 21, 22 or 30 for a large one."""


class GuestTables:
    """Walks the tables that the virtual CR3 names. `read` and `write` access guest-physical memory."""

    def __init__(
        self, state: CpuState, read: Callable[[int, int], bytes], write: Callable[[int, bytes], None]
    ) -> None:
        self._state = state
        self._read = read
        self._write = write

    def walk(self, gva: int, access: Access) -> Mapping:
        """Translate an address. Raises GuestFault (#PF) with the error code of the manual."""
        state = self._state
        if not state.is_paged:
            return Mapping(gva & 0xFFFF_FFFF, True, True, False, True, 12)
        if state.is_long:
            if gva >> 47 not in (0, 0x1FFFF):
                raise GuestFault(13, 0)
            return self._walk(gva, access, state.cr3 & FRAME, (39, 30, 21, 12), 8)
        if state.cr4 & CR4_PAE:
            return self._walk(gva, access, state.cr3 & 0xFFFF_FFE0, (30, 21, 12), 8)
        return self._walk(gva, access, state.cr3 & 0xFFFF_F000, (22, 12), 4)

    def _walk(self, gva: int, access: Access, table: int, shifts: tuple[int, ...], width: int) -> Mapping:
        state = self._state
        nxe = bool(state.efer & EFER_NXE)
        writable = user = True
        no_execute = False
        trail: list[tuple[int, int]] = []
        for shift in shifts:
            index_mask = 0x3FF if width == 4 else 3 if shifts[0] == 30 and shift == 30 else 511
            at = table + (gva >> shift & index_mask) * width
            entry = int.from_bytes(self._entry_bytes(at, width), "little")
            if not entry & P:
                raise self._fault(gva, access, present=False)
            is_pdpte = width == 8 and shifts[0] == 30 and shift == 30
            is_large = bool(entry & PS) and shift in (30, 21, 22) and not is_pdpte
            if width == 4 and not state.cr4 & CR4_PSE:
                is_large = False
            if self._has_reserved_bits(entry, shift, width, is_large, is_pdpte, nxe):
                raise self._fault(gva, access, present=True, reserved=True)
            if not is_pdpte:
                writable = writable and bool(entry & W)
                user = user and bool(entry & U)
                no_execute = no_execute or bool(nxe and entry & NX)
                trail.append((at, entry))
            if is_large or shift == 12:
                return self._leaf(
                    gva, access, entry, shift, width, trail, (writable, user, no_execute), is_large
                )
            table = entry & (FRAME if width == 8 else 0xFFFF_F000)
        raise AssertionError("a walk ends at a leaf")

    def _entry_bytes(self, at: int, width: int) -> bytes:
        """A table entry; tables outside RAM read as zero, so nothing is present there."""
        try:
            return self._read(at, width)
        except ValueError:
            return bytes(width)

    @staticmethod
    def _has_reserved_bits(
        entry: int, shift: int, width: int, is_large: bool, is_pdpte: bool, nxe: bool
    ) -> bool:
        if width == 4:
            return is_large and bool(entry & 1 << 21)
        if entry & BEYOND_PHYSICAL or (entry & NX and (not nxe or is_pdpte)):
            return True
        if is_pdpte:
            return bool(entry & 0x1E6)
        if shift == 39 and entry & PS:
            return True
        return is_large and bool(entry & ((1 << shift) - 1) & ~0x1FFF)

    def _leaf(
        self,
        gva: int,
        access: Access,
        entry: int,
        shift: int,
        width: int,
        trail: list[tuple[int, int]],
        rights: tuple[bool, bool, bool],
        is_large: bool,
    ) -> Mapping:
        writable, user, no_execute = rights
        protects_kernel = bool(self._state.cr0 & CR0_WP)
        allowed_write = writable or not (access.user or protects_kernel)
        if (
            (access.user and not user)
            or (access.write and not allowed_write)
            or (access.fetch and no_execute)
        ):
            raise self._fault(gva, access, present=True)
        for at, seen in trail[:-1]:
            self._set_bits(at, seen, A, width)
        self._set_bits(trail[-1][0], entry, A | D if access.write else A, width)
        offset_mask = (1 << shift) - 1
        base = entry & (FRAME if width == 8 else 0xFFFF_F000) & ~offset_mask
        if width == 4 and is_large:
            base |= (entry >> 13 & 0xFF) << 32  # PSE-36
        dirty = access.write or bool(entry & D)
        return Mapping(base | (gva & offset_mask), allowed_write, user, no_execute, dirty, shift)

    def _set_bits(self, at: int, entry: int, bits: int, width: int) -> None:
        if entry & bits != bits:
            self._write(at, (entry | bits).to_bytes(width, "little"))

    def _fault(self, gva: int, access: Access, *, present: bool, reserved: bool = False) -> GuestFault:
        """#PF: I/D is reported only where instruction fetches can be refused (SDM 3A 4.7)."""
        state = self._state
        code = (
            (FAULT_P if present else 0) | (FAULT_W if access.write else 0) | (FAULT_U if access.user else 0)
        )
        code |= FAULT_RSVD if reserved else 0
        if access.fetch and state.efer & EFER_NXE and (state.is_long or state.cr4 & CR4_PAE):
            code |= FAULT_I
        return GuestFault(PF, code, gva)
