# SPDX-License-Identifier: GPL-2.0-or-later
"""The MP table: which processors, buses and interrupts there are.

Source: Intel's MultiProcessor Specification, version 1.4, chapter 4. One processor, an ISA bus, one I/O APIC;
ISA interrupt n reaches pin n, but for interrupt 0, which is wired to pin 2.
"""

from __future__ import annotations

import struct

POINTER_BYTES = 16
LOCAL_APIC, IO_APIC = 0xFEE0_0000, 0xFEC0_0000
LOCAL_APIC_VERSION, IO_APIC_VERSION = 0x14, 0x11
PROCESSOR_APIC_ID, IO_APIC_ID = 0, 0
"""The I/O APIC's identifier register is 0 after reset, and firmware leaves it so (SeaBIOS does)."""
ALL_APICS = 0xFF

PROCESSOR, BUS, IO_APIC_ENTRY, IO_INTERRUPT, LOCAL_INTERRUPT = range(5)
ENABLED, BOOTSTRAP = 1, 2
ISA = 0
"""Our one bus."""
INT, NMI, EXT_INT = 0, 1, 3
"""Interrupt types (table 4-11)."""
ISA_INTERRUPTS = tuple(irq for irq in range(16) if irq != 2)
"""IRQ 2 is the cascade of the 8259 pair."""


def isa_pin(irq: int) -> int:
    """The I/O APIC's pin of an ISA interrupt."""
    return 2 if irq == 0 else irq


def with_checksum(table: bytes, at: int) -> bytes:
    """The table with its byte at `at` set so that all bytes add up to 0, modulo 256."""
    zeroed = table[:at] + b"\0" + table[at + 1 :]
    return zeroed[:at] + bytes([-sum(zeroed) & 0xFF]) + zeroed[at + 1 :]


def floating_pointer(table_at: int) -> bytes:
    """The MP floating pointer structure (4.1): there is a table, and the 8259 pair is connected (no IMCR)."""
    pointer = struct.pack("<4sIBBBBBBBB", b"_MP_", table_at, 1, 4, 0, 0, 0, 0, 0, 0)
    return with_checksum(pointer, 10)


def configuration(cpu_signature: int, cpu_features: int) -> bytes:
    """The MP configuration table (4.2, 4.3) for a processor with this CPUID leaf 1 (EAX, EDX)."""
    entries = [
        struct.pack(
            "<BBBBIIII", PROCESSOR, PROCESSOR_APIC_ID, LOCAL_APIC_VERSION, ENABLED | BOOTSTRAP,
            cpu_signature, cpu_features, 0, 0,
        ),
        struct.pack("<BB6s", BUS, ISA, b"ISA   "),
        struct.pack("<BBBBI", IO_APIC_ENTRY, IO_APIC_ID, IO_APIC_VERSION, ENABLED, IO_APIC),
        *(_interrupt(IO_INTERRUPT, INT, irq, IO_APIC_ID, isa_pin(irq)) for irq in ISA_INTERRUPTS),
        _interrupt(LOCAL_INTERRUPT, EXT_INT, 0, PROCESSOR_APIC_ID, 0),
        _interrupt(LOCAL_INTERRUPT, NMI, 0, ALL_APICS, 1),
    ]  # fmt: skip
    body = b"".join(entries)
    header = struct.pack(
        "<4sHBB8s12sIHHIHBB", b"PCMP", 44 + len(body), 4, 0, b"PVISOR  ", b"PC          ", 0, 0,
        len(entries), LOCAL_APIC, 0, 0, 0,
    )  # fmt: skip
    return with_checksum(header + body, 7)


def _interrupt(kind: int, interrupt: int, irq: int, apic: int, pin: int) -> bytes:
    """An I/O or local interrupt entry (4.3.4, 4.3.5); polarity and trigger mode are the bus's own."""
    return struct.pack("<BBHBBBB", kind, interrupt, 0, ISA, irq, apic, pin)
