# SPDX-License-Identifier: GPL-2.0-or-later
"""How a PC kernel is entered: what its boot protocol demands of registers, descriptor and page tables.

PVH and Multiboot leave the CPU in flat 32-bit protected mode without tables of the guest's own. Linux wants
a GDT in its memory, and its 64-bit protocol page tables as well: BootTables.
"""

from __future__ import annotations

from dataclasses import dataclass

GDT_ENTRY_BYTES = 8
LIMIT_HIGH = 0xF << 16


@dataclass(frozen=True, slots=True)
class BootTables:
    """A GDT with one code and one data segment, both flat, and page tables, as a boot loader leaves them.

    Addresses are guest-physical, and linear as well: what is mapped there is mapped one to one.
    """

    gdt: int
    code: int
    data: int
    """Selectors."""
    code_flags: int
    data_flags: int
    """Second dwords of the descriptors (SDM 3A 3.4.5), accessed."""
    root: int = 0
    """Page tables for CR3: the kernel is entered in 64-bit mode. 0: in 32-bit mode, without paging."""

    @property
    def gdt_bytes(self) -> bytes:
        """The table itself, its null descriptor first."""
        table = bytearray(max(self.code, self.data) + GDT_ENTRY_BYTES)
        for selector, flags in ((self.code, self.code_flags), (self.data, self.data_flags)):
            descriptor = 0xFFFF | (flags | LIMIT_HIGH) << 32
            table[selector : selector + GDT_ENTRY_BYTES] = descriptor.to_bytes(GDT_ENTRY_BYTES, "little")
        return bytes(table)

    @property
    def gdt_limit(self) -> int:
        """What GDTR gets besides the address."""
        return len(self.gdt_bytes) - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a kernel is entered, and with what in EAX, EBX and RSI; the other general registers are 0."""

    rip: int
    eax: int
    ebx: int
    rsi: int = 0
    tables: BootTables | None = None
