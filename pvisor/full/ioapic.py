# SPDX-License-Identifier: GPL-2.0-or-later
"""The I/O APIC: 24 interrupt pins, each with an entry that says which message it sends (82093AA data sheet).

Two registers at 0xfec00000: IOREGSEL names one of the others, and IOWIN at +0x10 is that one. IOWIN takes
32-bit accesses; others read 0 and change nothing. What the data sheet leaves open:
  * a line says whether its device asks, not which voltage that is: the polarity bit is kept, no more;
  * a message that no local APIC accepts is lost, for an edge; a level is tried again when its entry is
    written, its line changes, or an interrupt of its vector ends;
  * an entry that is set to edge forgets its remote IRR: so software can end a level interrupt without EOI;
  * delivery mode ExtINT passes the pin's level on as a virtual wire; SMI, INIT and reserved modes get lost
    at the local APIC.

Pin 2 is ISA IRQ 0, the other ISA interrupts are on the pins of their numbers, and pin 0 is not connected.
This room has no twin: an event channel goes straight to its domain.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pvisor.cpu.shim import ffi
from pvisor.full.apic_registers import EXTINT, LEVEL, MASKED, NMI, REMOTE_IRR, Message
from pvisor.machine.lines import Line, unconnected

BASE = 0xFEC0_0000
N_BYTES = 0x20
N_PINS = 24

IOREGSEL, IOWIN = 0x00, 0x10
IOAPICID, IOAPICVER, IOAPICARB, IOREDTBL = 0x00, 0x01, 0x02, 0x10
VERSION_VALUE = (N_PINS - 1) << 16 | 0x11
LOGICAL = 1 << 11
ENTRY_WRITABLE = 0xFF << 56 | 0x1_AFFF


class IoApic:
    """One I/O APIC. `send` puts a message on the bus (was it accepted?); `extint` is a virtual wire.

    `state` is for native handlers (PV_DEVICE_IOAPIC).
    """

    widest_bytes = 4

    def __init__(self, send: Callable[[Message], bool], extint: Line = unconnected) -> None:
        self._send = send
        self._extint = extint
        self._select = 0
        self._id = 0
        self.state: Any = ffi.new("pv_ioapic *")
        self._entries: Any = self.state.entries
        for pin in range(N_PINS):
            self._entries[pin] = MASKED
        self.lines: list[Line] = [partial(self._set_line, pin) for pin in range(N_PINS)]

    def is_masked(self, pin: int) -> bool:
        """Is the mask bit of the pin's entry set?"""
        return bool(self._entries[pin] & MASKED)

    @property
    def passes_nmi(self) -> bool:
        """Does some pin send NMIs?"""
        return any(not entry & MASKED and entry >> 8 & 7 == NMI for entry in self._entries)

    def read(self, offset: int, size_bytes: int) -> int:
        """IOREGSEL or IOWIN; the rest reads 0."""
        if offset == IOREGSEL:
            return self._select
        if offset != IOWIN or size_bytes != 4:
            return 0
        pin = self._select - IOREDTBL >> 1
        if 0 <= pin < N_PINS:
            return int(self._entries[pin] >> 32 * (self._select & 1) & 0xFFFF_FFFF)
        return {IOAPICID: self._id, IOAPICVER: VERSION_VALUE, IOAPICARB: self._id}.get(self._select, 0)

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """IOREGSEL, or by IOWIN the identification or half an entry; the other registers are read-only."""
        if offset == IOREGSEL:
            self._select = value & 0xFF
        if offset != IOWIN or size_bytes != 4:
            return
        pin = self._select - IOREDTBL >> 1
        if self._select == IOAPICID:
            self._id = value & 0x0F00_0000
        elif 0 <= pin < N_PINS:
            shift = 32 * (self._select & 1)
            was = self._entries[pin]
            self._set_entry(pin, was & ~(0xFFFF_FFFF << shift) | value << shift)

    def _set_entry(self, pin: int, value: int) -> None:
        """Write an entry: delivery status and remote IRR are not for writing."""
        entry = value & ENTRY_WRITABLE | self._entries[pin] & REMOTE_IRR
        self._entries[pin] = entry if entry & LEVEL else entry & ~REMOTE_IRR
        self._sense(pin)

    # --- pins

    def _is_high(self, pin: int) -> bool:
        return bool(self.state.levels >> pin & 1)

    def _set_line(self, pin: int, level: bool) -> None:
        rises = level and not self._is_high(pin)
        self.state.levels = self.state.levels & ~(1 << pin) | level << pin
        entry = self._entries[pin]
        if rises and not entry & MASKED and not _is_level(entry):
            self._deliver(pin)  # an edge at a masked pin is ignored, not held
        self._sense(pin)

    def _sense(self, pin: int) -> None:
        """Do what a pin's level asks for: virtual wires follow it, a level interrupt is sent once an EOI."""
        entry = self._entries[pin]
        if self.state.wire or self._is_extint(pin):
            self.state.wire = any(self._is_extint(i) and self._is_high(i) for i in range(N_PINS))
            self._extint(bool(self.state.wire))
        asks = self._is_high(pin) and _is_level(entry) and not entry & (MASKED | REMOTE_IRR)
        if asks and self._deliver(pin):
            self._entries[pin] |= REMOTE_IRR

    def _is_extint(self, pin: int) -> bool:
        entry = self._entries[pin]
        return not entry & MASKED and entry >> 8 & 7 == EXTINT

    def _deliver(self, pin: int) -> bool:
        entry = self._entries[pin]
        if self._is_extint(pin):
            return False
        return self._send(
            Message(entry & 0xFF, entry >> 8 & 7, _is_level(entry), entry >> 56, bool(entry & LOGICAL))
        )

    def end_of_interrupt(self, vector: int) -> None:
        """A local APIC's EOI message: a line that still asks for this vector asks again."""
        for pin, entry in enumerate(self._entries):
            if entry & REMOTE_IRR and entry & 0xFF == vector:
                self._entries[pin] = entry & ~REMOTE_IRR
                self._sense(pin)


def _is_level(entry: int) -> bool:
    """Is the pin level-triggered? NMIs are edges, whatever the entry says (82093AA, 3.2.4)."""
    return bool(entry & LEVEL) and entry >> 8 & 7 != NMI
