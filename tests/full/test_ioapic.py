# SPDX-License-Identifier: GPL-2.0-or-later
"""The I/O APIC by the 82093AA data sheet, with no CPU; and together with a local APIC."""

from __future__ import annotations

import pytest

from pvisor.full.apic import LocalApic
from pvisor.full.apic_registers import Message
from pvisor.full.ioapic import IoApic
from tests.machine.hand_clock import HandClock

MASKED, LEVEL, REMOTE_IRR = 1 << 16, 1 << 15, 1 << 14


class Bus:
    """An I/O APIC with a bus that accepts messages, or does not."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.accepts = True
        self.wire = False
        self.ioapic = IoApic(self._send, self._extint)

    def _send(self, message: Message) -> bool:
        self.messages.append(message)
        return self.accepts

    def _extint(self, level: bool) -> None:
        self.wire = level

    def __getitem__(self, index: int) -> int:
        self.ioapic.write(0x00, 4, index)
        return self.ioapic.read(0x10, 4)

    def __setitem__(self, index: int, value: int) -> None:
        self.ioapic.write(0x00, 4, index)
        self.ioapic.write(0x10, 4, value)

    def entry(self, pin: int, low: int, high: int = 0) -> None:
        """Write an entry, the upper half first, as one that is unmasked should be."""
        self[0x11 + 2 * pin] = high
        self[0x10 + 2 * pin] = low

    def line(self, pin: int, *levels: bool) -> None:
        """Move a line."""
        for level in levels:
            self.ioapic.lines[pin](level)


@pytest.fixture
def bus() -> Bus:
    return Bus()


def test_reset_state(bus: Bus) -> None:
    assert (bus[0], bus[1], bus[2]) == (0, 0x0017_0011, 0)
    assert all((bus[0x10 + 2 * pin], bus[0x11 + 2 * pin]) == (MASKED, 0) for pin in range(24))
    assert len(bus.ioapic.lines) == 24


def test_identification(bus: Bus) -> None:
    bus[0] = 0xFFFF_FFFF
    assert (bus[0], bus[2]) == (0x0F00_0000, 0x0F00_0000)
    bus[1] = bus[2] = 0
    assert (bus[1], bus[2]) == (0x0017_0011, 0x0F00_0000)


@pytest.mark.parametrize("index", [3, 0x0F, 0x40, 0x41, 0xFF])
def test_registers_that_are_not_there(bus: Bus, index: int) -> None:
    bus[index] = 0xFFFF_FFFF
    assert bus[index] == 0


def test_the_select_register_has_eight_bits(bus: Bus) -> None:
    bus.ioapic.write(0, 4, 0xABCD_EF01)
    assert bus.ioapic.read(0, 4) == 1
    bus.ioapic.write(0, 1, 0x10)
    assert bus.ioapic.read(0, 1) == 0x10


@pytest.mark.parametrize(
    ("offset", "size_bytes"), [(0x10, 1), (0x10, 2), (0x11, 4), (0x04, 4), (0x14, 4), (0x1C, 4)]
)
def test_other_accesses_do_nothing(bus: Bus, offset: int, size_bytes: int) -> None:
    bus.ioapic.write(0, 4, 0)
    bus.ioapic.write(offset, size_bytes, 0xFFFF_FFFF)
    assert bus.ioapic.read(offset, size_bytes) == 0
    assert bus[0] == 0


def test_writable_bits_of_an_entry(bus: Bus) -> None:
    bus.accepts = False
    bus.entry(5, 0xFFFF_FFFF, 0xFFFF_FFFF)
    assert (bus[0x1A], bus[0x1B]) == (0x0001_AFFF, 0xFF00_0000)
    bus.entry(5, 0)
    assert (bus[0x1A], bus[0x1B]) == (0, 0)


def test_an_edge_sends_one_message(bus: Bus) -> None:
    bus.entry(4, 0x0931, 0x0500_0000)
    bus.line(4, True, True, False, False)
    assert bus.messages == [Message(0x31, 1, False, 5, True)]
    bus.line(4, True)
    assert len(bus.messages) == 2


def test_an_edge_at_a_masked_pin_is_ignored(bus: Bus) -> None:
    bus.entry(4, 0x31 | MASKED)
    bus.line(4, True)
    bus.entry(4, 0x31)
    assert bus.messages == []
    bus.line(4, False, True)
    assert len(bus.messages) == 1


def test_a_level_is_sent_once_an_eoi(bus: Bus) -> None:
    bus.entry(9, 0x51 | LEVEL)
    bus.line(9, True)
    assert bus.messages == [Message(0x51, 0, True, 0, False)]
    assert bus[0x22] == 0x51 | LEVEL | REMOTE_IRR
    bus.line(9, False, True)
    assert len(bus.messages) == 1
    bus.ioapic.end_of_interrupt(0x52)
    assert len(bus.messages) == 1
    bus.ioapic.end_of_interrupt(0x51)
    assert len(bus.messages) == 2
    bus.line(9, False)
    bus.ioapic.end_of_interrupt(0x51)
    assert len(bus.messages) == 2
    assert bus[0x22] == 0x51 | LEVEL


def test_a_level_at_a_masked_pin_waits(bus: Bus) -> None:
    bus.entry(9, 0x51 | LEVEL | MASKED)
    bus.line(9, True)
    assert bus.messages == []
    bus.entry(9, 0x51 | LEVEL)
    assert len(bus.messages) == 1


def test_masking_does_not_take_back(bus: Bus) -> None:
    bus.entry(9, 0x51 | LEVEL)
    bus.line(9, True)
    bus.entry(9, 0x51 | LEVEL | MASKED)
    assert bus[0x22] & REMOTE_IRR
    bus.ioapic.end_of_interrupt(0x51)
    assert len(bus.messages) == 1 and not bus[0x22] & REMOTE_IRR


def test_remote_irr_is_not_for_writing(bus: Bus) -> None:
    bus.entry(9, 0x51 | LEVEL | REMOTE_IRR | MASKED)
    assert not bus[0x22] & REMOTE_IRR


def test_an_entry_made_edge_forgets_its_remote_irr(bus: Bus) -> None:
    bus.entry(9, 0x51 | LEVEL)
    bus.line(9, True)
    bus.entry(9, 0x51 | MASKED)
    bus.entry(9, 0x51 | LEVEL)
    assert len(bus.messages) == 2


def test_a_level_that_nobody_accepts_is_tried_again(bus: Bus) -> None:
    bus.accepts = False
    bus.entry(9, 0x51 | LEVEL)
    bus.line(9, True)
    assert len(bus.messages) == 1 and not bus[0x22] & REMOTE_IRR
    bus.accepts = True
    bus.entry(9, 0x51 | LEVEL)
    assert len(bus.messages) == 2 and bus[0x22] & REMOTE_IRR


@pytest.mark.parametrize("polarity", [0, 1 << 13])
def test_polarity_is_kept_and_means_nothing(bus: Bus, polarity: int) -> None:
    bus.entry(9, 0x51 | polarity)
    assert bus[0x22] & 1 << 13 == polarity
    bus.line(9, True)
    assert len(bus.messages) == 1


def test_extint_passes_the_level_on(bus: Bus) -> None:
    bus.entry(0, 0x700)
    bus.line(0, True)
    assert bus.wire and bus.messages == []
    bus.line(0, False)
    assert not bus.wire
    bus.line(0, True)
    bus.entry(0, 0x700 | MASKED)
    assert not bus.wire


class TestWithALocalApic:
    """The two together, wired as a builder does."""

    def setup_method(self) -> None:
        self.asked = False
        self.local = LocalApic(
            HandClock().timers, self.ask, lambda: 0x0D, lambda vector: self.io.end_of_interrupt(vector)
        )
        self.io = IoApic(self.local.receive, self.local.virtual_wire)

    def ask(self, level: bool) -> None:
        self.asked = level

    def entry(self, pin: int, low: int) -> None:
        self.io.write(0, 4, 0x10 + 2 * pin)
        self.io.write(0x10, 4, low)

    def test_a_level_interrupt_repeats_until_its_device_is_content(self) -> None:
        self.entry(11, LEVEL | 0x61)
        self.io.lines[11](True)
        for _ in range(3):
            assert self.asked and self.local.acknowledge() == 0x61
            assert not self.asked
            self.local.write(0xB0, 4, 0)
        self.io.lines[11](False)
        assert self.local.acknowledge() == 0x61
        self.local.write(0xB0, 4, 0)
        assert not self.asked

    def test_nmi_smi_init_and_reserved_modes_are_no_interrupts(self) -> None:
        for mode in (2, 3, 4, 5, 6):
            self.entry(11, LEVEL | mode << 8 | 0x61)
            self.io.lines[11](True)
            self.io.lines[11](False)
        assert not self.asked

    def test_the_8259_through_pin_0(self) -> None:
        self.local.write(0x350, 4, MASKED)
        self.entry(0, 0x700)
        self.io.lines[0](True)
        assert self.asked and self.local.acknowledge() == 0x0D
        self.io.lines[0](False)
        assert not self.asked
