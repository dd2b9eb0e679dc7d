# SPDX-License-Identifier: GPL-2.0-or-later
"""What a PC's firmware leaves in memory: the memory map, the BIOS data area, the MP table, ACPI's tables.

No firmware runs here: a guest is entered as if one had. Where things lie follows SeaBIOS on QEMU's pc
machine: the 1 KiB below 640 KiB is the extended BIOS data area, pointers that are found by scanning are in
the BIOS's own 64 KiB below 1 MiB, and the last 128 KiB of RAM are reserved for ACPI's tables.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pvisor.errors import UsageError
from pvisor.full import acpi, mp_table
from pvisor.machine.memory import GuestMemory

KIB, MIB = 1 << 10, 1 << 20
E820_RAM, E820_RESERVED = 1, 2
"""Types of ranges (ACPI specification 6.5, table 15.3)."""

EBDA_START, EBDA_BYTES = 0x9_FC00, KIB
LOW_RAM_END = 0xA_0000
BIOS_START = 0xF_0000
RSDP_AT, MP_POINTER_AT = 0xF_5000, 0xF_5040
MP_TABLE_AT = MP_POINTER_AT + mp_table.POINTER_BYTES
SMALL_TABLES_AT = 0xF_8000
"""ACPI's tables of a domain whose RAM is too small to give some away."""
TABLES_BYTES = 0x2_0000
SMALL_RAM_BYTES = 2 * MIB
ROM_START, ROM_BYTES = 0xFFFC_0000, 0x4_0000
"""The BIOS ROM below 4 GiB, on QEMU's pc."""
MAX_RAM_BYTES = 3 << 30
"""Above it, a PC's RAM makes room for devices below 4 GiB."""


class MemoryRange(NamedTuple):
    """An entry of the memory map: guest-physical address, size in bytes, type."""

    start: int
    n_bytes: int
    type: int


def memory_map(memory_bytes: int) -> list[MemoryRange]:
    """The memory map (INT 15h, E820) of a PC with this much RAM.

    The same as QEMU's pc machine with SeaBIOS has it. Raises UsageError for more than 3 GiB.
    """
    if memory_bytes > MAX_RAM_BYTES:
        raise UsageError(
            f"--memory: {memory_bytes >> 20}M is more than a PC has below its devices; "
            f"give at most {MAX_RAM_BYTES >> 20}M"
        )
    ranges = [
        MemoryRange(0, EBDA_START, E820_RAM),
        MemoryRange(EBDA_START, EBDA_BYTES, E820_RESERVED),
        MemoryRange(BIOS_START, MIB - BIOS_START, E820_RESERVED),
    ]
    end = ram_end(memory_bytes)
    if end > MIB:
        ranges.append(MemoryRange(MIB, end - MIB, E820_RAM))
    if end < memory_bytes:
        ranges.append(MemoryRange(end, memory_bytes - end, E820_RESERVED))
    return [*ranges, MemoryRange(ROM_START, ROM_BYTES, E820_RESERVED)]


def ram_end(memory_bytes: int) -> int:
    """Where the RAM ends that the guest may use, of a PC with so much of it."""
    return tables_at(memory_bytes) if memory_bytes >= SMALL_RAM_BYTES else memory_bytes


def tables_at(memory_bytes: int) -> int:
    """Where ACPI's tables lie: in the last 128 KiB of RAM, or where there is little RAM beside the BIOS."""
    return memory_bytes - TABLES_BYTES if memory_bytes >= SMALL_RAM_BYTES else SMALL_TABLES_AT


def install(memory: GuestMemory, cpu_signature: int, cpu_features: int) -> int:
    """Write what firmware leaves, for a processor with this CPUID leaf 1 (EAX, EDX); the RSDP's address."""
    _write_bios_data(memory)
    table = mp_table.configuration(cpu_signature, cpu_features)
    memory.write(MP_POINTER_AT, mp_table.floating_pointer(MP_TABLE_AT))
    memory.write(MP_TABLE_AT, table)
    tables = acpi.build(tables_at(memory.size_bytes))
    memory.write(tables.start, tables.content)
    memory.write(RSDP_AT, acpi.rsdp(tables.rsdt, tables.xsdt))
    return RSDP_AT


def _write_bios_data(memory: GuestMemory) -> None:
    """The BIOS data area at 0x400 (IBM PC/AT Technical Reference, BIOS data area; EGA's additions)."""

    def put(address: int, form: str, *values: int) -> None:
        memory.write(address, struct.pack("<" + form, *values))

    put(0x400, "H", 0x3F8)  # COM1
    put(0x40E, "H", EBDA_START >> 4)
    put(0x410, "H", 0x0222)  # equipment: a coprocessor, 80x25 colour text, one serial port
    put(0x413, "H", EBDA_START // KIB)
    put(0x41A, "HH", 0x1E, 0x1E)  # the keyboard buffer's head and tail: empty
    put(0x449, "BHH", 3, 80, 0x1000)  # text mode 3, 80 columns, the page's bytes
    put(0x460, "HBH", 0x0607, 0, 0x3D4)  # the cursor's lines, page 0, the CRTC's I/O port
    put(0x480, "HH", 0x1E, 0x3E)  # where the keyboard buffer lies
    put(0x484, "BH", 24, 16)  # the last row, lines of a character
    put(EBDA_START, "B", EBDA_BYTES // KIB)
