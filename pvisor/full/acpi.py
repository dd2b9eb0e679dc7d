# SPDX-License-Identifier: GPL-2.0-or-later
"""A minimal set of ACPI tables: how to power off, and where the interrupt controllers are.

Source: ACPI specification 6.5, chapter 5 (tables) and 20 (AML). FADT is of revision 3 (ACPI 2.0), the last
that asks for nothing which this machine lacks; I/O ports and interrupts are those of QEMU's pc machine.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pvisor.full.mp_table import (
    IO_APIC,
    IO_APIC_ID,
    LOCAL_APIC,
    PROCESSOR_APIC_ID,
    isa_pin,
    with_checksum,
)
from pvisor.full.power import (
    ACPI_DISABLE,
    ACPI_ENABLE,
    APM_CONTROL,
    PM1A_CNT,
    PM1A_CNT_BYTES,
    PM1A_EVT,
    PM1A_EVT_BYTES,
    PM_TMR,
    PM_TMR_BYTES,
    SCI_IRQ,
)

OEM_ID, OEM_TABLE_ID, CREATOR_ID = b"PVISOR", b"PVISORPC", b"PVIS"
FACS_BYTES = 64
HEADER_BYTES = 36

FADT_FLAGS = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6
"""WBINVD and C1 work; the fixed registers have no power button, no sleep button, no RTC wake (table 5.10)."""
LEGACY_DEVICES, HAS_8042 = 1, 2
CMOS_CENTURY = 0x32
NO_C2, NO_C3 = 101, 1001
"""Latencies above 100 and 1000 microseconds say that there is no such state."""
SYSTEM_IO = 1
ACCESS_SIZES = {1: 1, 2: 2, 4: 3}
NO_REGISTER = bytes(12)

PCAT_COMPAT = 1
ENABLED = 1
LEVEL_HIGH = 0xD
"""MPS INTI flags (table 5.26): polarity in bits 0-1, trigger mode in bits 2-3; 0 conforms to the bus."""
ALL_PROCESSORS = 0xFF

NAME_OP, PACKAGE_OP, ZERO_OP = 0x08, 0x12, 0x00
"""AML (20.2.5.1, 20.2.5.4, 20.2.3)."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables as they lie in memory from `start`; RSDT and XSDT by their addresses."""

    start: int
    content: bytes
    rsdt: int
    xsdt: int


def build(start: int) -> Tables:
    """All tables but the RSDP, for a guest-physical address that is a multiple of 64."""
    content = bytearray(facs())

    def add(made: bytes) -> int:
        content.extend(bytes(-len(content) % 16))
        content.extend(made)
        return start + len(content) - len(made)

    dsdt_at = add(dsdt())
    listed = [add(fadt(start, dsdt_at)), add(madt())]
    rsdt = add(_table(b"RSDT", 1, struct.pack(f"<{len(listed)}I", *listed)))
    xsdt = add(_table(b"XSDT", 1, struct.pack(f"<{len(listed)}Q", *listed)))
    return Tables(start, bytes(content), rsdt, xsdt)


def rsdp(rsdt: int, xsdt: int) -> bytes:
    """The Root System Description Pointer, revision 2 (5.2.5.3): two checksums, of 20 and of all 36 bytes."""
    first = with_checksum(struct.pack("<8sB6sBI", b"RSD PTR ", 0, OEM_ID, 2, rsdt), 8)
    return with_checksum(first + struct.pack("<IQB3x", 36, xsdt, 0), 32)


def facs() -> bytes:
    """The Firmware ACPI Control Structure (5.2.10): nothing to wake, no global lock held."""
    return struct.pack("<4sIIIIIQB31x", b"FACS", FACS_BYTES, 0, 0, 0, 0, 0, 1)


def dsdt() -> bytes:
    r"""The Differentiated System Description Table: `Name(\_S5, Package(4) {0, 0, 0, 0})`, sleep type 0."""
    elements = bytes([ZERO_OP] * 4)
    package = bytes([PACKAGE_OP, len(elements) + 2, 4]) + elements
    return _table(b"DSDT", 1, bytes([NAME_OP]) + b"_S5_" + package)


def fadt(facs_at: int, dsdt_at: int) -> bytes:
    """The Fixed ACPI Description Table (5.2.9)."""
    body = struct.pack(
        "<IIBBHIBBBB", facs_at, dsdt_at, 0, 0, SCI_IRQ, APM_CONTROL, ACPI_ENABLE, ACPI_DISABLE, 0, 0
    )
    body += struct.pack("<IIIIIIII", PM1A_EVT, 0, PM1A_CNT, 0, 0, PM_TMR, 0, 0)
    body += struct.pack("<BBBBBBBB", PM1A_EVT_BYTES, PM1A_CNT_BYTES, 0, PM_TMR_BYTES, 0, 0, 0, 0)
    body += struct.pack("<HHHHBBBBB", NO_C2, NO_C3, 0, 0, 0, 0, 0, 0, CMOS_CENTURY)
    body += struct.pack("<HBI", LEGACY_DEVICES | HAS_8042, 0, FADT_FLAGS)
    body += NO_REGISTER + bytes(4)  # no reset register
    body += struct.pack("<QQ", facs_at, dsdt_at)
    body += _register(PM1A_EVT, PM1A_EVT_BYTES, 2) + NO_REGISTER
    body += _register(PM1A_CNT, PM1A_CNT_BYTES, 2) + NO_REGISTER
    body += NO_REGISTER + _register(PM_TMR, PM_TMR_BYTES, 4) + NO_REGISTER + NO_REGISTER
    return _table(b"FACP", 3, body)


def madt() -> bytes:
    """The Multiple APIC Description Table (5.2.12): one processor, one I/O APIC, what is wired unlike ISA."""
    body = struct.pack("<II", LOCAL_APIC, PCAT_COMPAT)
    body += struct.pack("<BBBBI", 0, 8, 0, PROCESSOR_APIC_ID, ENABLED)
    body += struct.pack("<BBBBII", 1, 12, IO_APIC_ID, 0, IO_APIC, 0)
    body += _override(0, isa_pin(0), 0) + _override(SCI_IRQ, isa_pin(SCI_IRQ), LEVEL_HIGH)
    body += struct.pack("<BBBHB", 4, 6, ALL_PROCESSORS, 0, 1)  # NMI at LINT1
    return _table(b"APIC", 1, body)


def _override(irq: int, pin: int, flags: int) -> bytes:
    """An interrupt source override (5.2.12.5)."""
    return struct.pack("<BBBBIH", 2, 10, 0, irq, pin, flags)


def _register(ioport: int, n_bytes: int, access_bytes: int) -> bytes:
    """A generic address structure (5.2.3.2) for I/O ports."""
    return struct.pack("<BBBBQ", SYSTEM_IO, 8 * n_bytes, 0, ACCESS_SIZES[access_bytes], ioport)


def _table(signature: bytes, revision: int, body: bytes) -> bytes:
    """A System Description Table: the common header (5.2.6), the body, the checksum."""
    header = struct.pack(
        "<4sIBB6s8sI4sI", signature, HEADER_BYTES + len(body), revision, 0, OEM_ID, OEM_TABLE_ID, 1,
        CREATOR_ID, 1,
    )  # fmt: skip
    return with_checksum(header + body, 9)
