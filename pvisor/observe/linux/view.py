# SPDX-License-Identifier: GPL-2.0-or-later
"""A PC guest's memory by its own page tables, to look and not to touch: no accessed bit is set, nothing
traps.

So it may be used in the middle of a run, which goes on as if nobody had looked. (`full/walk.py` is the walk
that a CPU makes, with accessed and dirty bits.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pvisor.emu.vcpu import EmulatedVcpu
from pvisor.full.cpu import FullWing
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.vmm.builder import Machine

CR0_PG, CR4_PSE, CR4_PAE, EFER_LMA = 1 << 31, 1 << 4, 1 << 5, 1 << 10
P, PS = 1 << 0, 1 << 7
FRAME = (1 << 52) - PAGE_BYTES
PTI_USER = 1 << 12
"""Linux with page-table isolation: this bit of CR3 tells the user's tables from the kernel's, just below
them.
"""
MAX_READ_BYTES = 1 << 24
MAX_STEPS = 1 << 16
"""Table entries that one list of extents looks at."""


class Control(NamedTuple):
    """The registers that say how addresses are translated."""

    cr0: int
    cr3: int
    cr4: int
    efer: int


@dataclass(frozen=True, slots=True)
class Extent:
    """Guest-virtual memory that lies in one piece of RAM."""

    gva: int
    gpa: int
    n_bytes: int


class GuestView:
    """Guest-virtual memory as `control` has it: 4-level, PAE and 32-bit paging, or none (SDM 3A 4.3-4.5)."""

    def __init__(self, memory: GuestMemory, control: Control) -> None:
        self.memory = memory
        self.control = control
        self.is_long = bool(control.efer & EFER_LMA)
        self.word_bytes = 8 if self.is_long else 4

    def with_tables(self, cr3: int) -> GuestView:
        """The same through other tables."""
        return GuestView(self.memory, self.control._replace(cr3=cr3))

    def translate(self, gva: int) -> tuple[int | None, int]:
        """(guest-physical address, or None, and the bytes from it on that one table entry speaks of)."""
        cr0, cr3, cr4, _ = self.control
        if not cr0 & CR0_PG:
            gva &= 0xFFFF_FFFF
            return (gva if gva < self.memory.size_bytes else None), PAGE_BYTES - gva % PAGE_BYTES
        if self.is_long:
            return self._walk(gva, cr3 & FRAME, (39, 30, 21, 12), 8)
        gva &= 0xFFFF_FFFF
        if cr4 & CR4_PAE:
            entry = self.memory.read_u64_or_0((cr3 & ~0x1F) + 8 * (gva >> 30))
            if not entry & P:
                return None, (1 << 30) - gva % (1 << 30)
            return self._walk(gva, entry & FRAME, (21, 12), 8)
        return self._walk(gva, cr3 & 0xFFFF_F000, (22, 12), 4)

    def _walk(self, gva: int, table: int, shifts: tuple[int, ...], width: int) -> tuple[int | None, int]:
        read = self.memory.read_u64_or_0 if width == 8 else self.memory.read_u32_or_0
        mask = 0x1FF if width == 8 else 0x3FF
        has_large = width == 8 or bool(self.control.cr4 & CR4_PSE)  # SDM 3A 4.3
        for shift in shifts:
            entry, left = read(table + (gva >> shift & mask) * width), (1 << shift) - gva % (1 << shift)
            is_large = has_large and bool(entry & PS) and shift in (21, 22, 30)
            if not entry & P:
                return None, left
            if shift == 12 or is_large:
                gpa = (entry & FRAME & -(1 << shift)) + gva % (1 << shift)
                return (gpa if gpa < self.memory.size_bytes else None), left
            table = entry & FRAME
        return None, PAGE_BYTES

    def read(self, gva: int, n_bytes: int) -> bytes | None:
        """A copy; None unless all of it is mapped RAM, and no more than MAX_READ_BYTES."""
        if not 0 <= n_bytes <= MAX_READ_BYTES:
            return None
        parts, mask = [], (1 << 64) - 1 if self.is_long else 0xFFFF_FFFF
        while n_bytes:
            gpa, left = self.translate(gva & mask)
            n = min(left, n_bytes)
            if gpa is None or gpa + n > self.memory.size_bytes:
                return None
            parts.append(self.memory.read(gpa, n))
            gva, n_bytes = gva + n, n_bytes - n
        return b"".join(parts)

    def number(self, gva: int, n_bytes: int) -> int | None:
        """An unsigned number of the guest's; None where there is no RAM."""
        data = self.read(gva, n_bytes)
        return int.from_bytes(data, "little") if data is not None else None

    def word(self, gva: int) -> int | None:
        """A `long` of the guest's, without sign."""
        return self.number(gva, self.word_bytes)

    def text(self, gva: int, max_bytes: int) -> str | None:
        """A string that ends with a zero, or is cut off."""
        data = b""
        while len(data) < max_bytes and b"\0" not in data:
            part = self.read(gva + len(data), min(64, max_bytes - len(data)))
            if part is None:
                break
            data += part
        return data.partition(b"\0")[0].decode("utf-8", "replace") if data else None

    def extents(self, low: int, high: int) -> Iterator[Extent]:
        """The mapped memory of [low, high), pages that follow one another in RAM put together."""
        begin = start = at = low
        n_steps, gpa_end = 0, -1
        while at < high and n_steps < MAX_STEPS:
            gpa, left = self.translate(at)
            n = min(left, high - at)
            if gpa is not None:
                n = min(n, self.memory.size_bytes - gpa)
            if gpa is None or gpa != gpa_end:
                if gpa_end >= 0:
                    yield Extent(begin, start, at - begin)
                begin, start, gpa_end = at, gpa or 0, -1
            if gpa is not None:
                gpa_end = gpa + n
            at, n_steps = at + left, n_steps + 1
        if gpa_end >= 0:
            yield Extent(begin, start, min(at, high) - begin)


def control_of(machine: Machine) -> Control | None:
    """The guest's own registers; None for a guest that is no PC."""
    wing, vcpu = machine.domain.wing, machine.vcpu
    if isinstance(wing, FullWing):
        state = wing.state
        return Control(state.cr0, state.cr3, state.cr4, state.efer)
    if isinstance(vcpu, EmulatedVcpu):
        cr0, _, cr3, cr4, efer = vcpu.control
        return Control(cr0, cr3, cr4, efer)
    return None
