# SPDX-License-Identifier: GPL-2.0-or-later
"""The ATA channel's interrupt, its reset, and the drive that is not there (T13/1410D)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pvisor.full.block import INTERRUPT_NS
from tests.full.ata_rig import (
    AT_DATA,
    BSY,
    COMMAND,
    CONTROL,
    COUNT,
    DATA,
    DEVICE,
    ERROR,
    FAILED,
    HIGH,
    HOB,
    LOW,
    MID,
    NIEN,
    READY,
    SRST,
    STATUS,
    Rig,
    sector,
)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "disk.img", n_sectors=64)


def test_at_entry_the_drive_is_ready_and_quiet(rig: Rig) -> None:
    rig.clock.advance(1_000_000)
    assert (rig.status, rig.inb(ERROR), rig.inb(DEVICE) & 0x5F, rig.edges) == (READY, 1, 0, [])


def test_an_interrupt_follows_the_command(rig: Rig) -> None:
    rig.command(0xE7)
    assert (rig.status, rig.edges) == (READY, [])
    rig.clock.advance(INTERRUPT_NS - 1)
    assert not rig.level
    rig.clock.advance(1)
    assert rig.level
    rig.clock.advance(10 * INTERRUPT_NS)
    assert rig.level, "it stays until it is acknowledged"
    assert rig.status == READY
    assert rig.level, "the alternate status does not acknowledge"
    assert rig.inb(STATUS) == READY
    assert (rig.level, rig.edges) == (False, [INTERRUPT_NS])


def test_each_block_read_has_its_interrupt(rig: Rig) -> None:
    rig.command(0x20, 0, 3)
    for i in range(3):
        rig.clock.advance(INTERRUPT_NS)
        assert rig.level
        assert rig.inb(STATUS) == AT_DATA
        assert rig.take() == sector(i)
    rig.clock.advance(INTERRUPT_NS)
    assert not rig.level, "none after the last"
    assert len(rig.edges) == 3


def test_each_block_written_has_its_interrupt_but_the_first(rig: Rig) -> None:
    rig.command(0x30, 0, 2)
    rig.clock.advance(INTERRUPT_NS)
    assert not rig.level
    for status in (AT_DATA, READY):
        rig.give(sector(0))
        rig.clock.advance(INTERRUPT_NS)
        assert rig.level
        assert rig.inb(STATUS) == status
    assert len(rig.edges) == 2


def test_an_error_interrupts_too(rig: Rig) -> None:
    rig.command(0x20, 64, 1)
    rig.clock.advance(INTERRUPT_NS)
    assert rig.level
    assert rig.inb(STATUS) == FAILED


def test_who_polls_first_gets_the_edge_as_well(rig: Rig) -> None:
    rig.command(0x20, 0, 1)
    rig.clock.advance(10)
    assert rig.inb(STATUS) == AT_DATA
    assert (rig.level, rig.edges) == (False, [10])
    rig.clock.advance(2 * INTERRUPT_NS)
    assert rig.edges == [10], "once"


def test_unacknowledged_interrupts_are_one(rig: Rig) -> None:
    rig.command(0x20, 0, 3)
    rig.clock.advance(INTERRUPT_NS)
    rig.take(3)
    rig.clock.advance(INTERRUPT_NS)
    assert (rig.level, len(rig.edges)) == (True, 1)


def test_a_command_withdraws_the_interrupt(rig: Rig) -> None:
    rig.command(0xE7)
    rig.clock.advance(INTERRUPT_NS)
    rig.command(0x30, 0, 1)
    assert not rig.level
    rig.clock.advance(INTERRUPT_NS)
    assert not rig.level


def test_a_deadline_that_was_overtaken_is_not_acted_on(rig: Rig) -> None:
    rig.command(0xE7)
    rig.clock.advance(INTERRUPT_NS // 2)
    rig.command(0xE7)
    rig.clock.advance(INTERRUPT_NS // 2)
    assert rig.edges == []
    rig.clock.advance(INTERRUPT_NS // 2)
    assert rig.edges == [INTERRUPT_NS * 3 // 2]


def test_at_most_one_deadline_is_out(rig: Rig) -> None:
    for _ in range(1000):
        rig.command(0xE7)
        rig.inb(STATUS)
        rig.clock.advance(1)
    assert len(rig.clock.timers._heap) == 1
    assert len(rig.edges) == 1000


def test_nien(rig: Rig) -> None:
    rig.outb(CONTROL, NIEN)
    rig.command(0x20, 0, 1)
    rig.clock.advance(INTERRUPT_NS)
    assert (rig.status, rig.edges) == (AT_DATA, [])
    rig.outb(CONTROL, 0)
    assert rig.level, "it was pending"
    rig.outb(CONTROL, NIEN)
    assert not rig.level
    assert rig.inb(STATUS) == AT_DATA
    rig.outb(CONTROL, 0)
    assert not rig.level, "acknowledged meanwhile"


def test_nien_set_before_the_line_rose(rig: Rig) -> None:
    rig.command(0xE7)
    rig.outb(CONTROL, NIEN)
    rig.clock.advance(INTERRUPT_NS)
    assert rig.edges == []
    rig.outb(CONTROL, 0)
    assert rig.level


def test_software_reset(rig: Rig) -> None:
    rig.command(0x20, 7, 3)
    rig.take()
    rig.outb(CONTROL, SRST)
    assert rig.status == BSY
    rig.outb(DEVICE, 0x10)
    rig.outb(COMMAND, 0xEC)
    assert rig.status == BSY, "it takes nothing meanwhile"
    rig.outb(CONTROL, SRST | NIEN)
    assert rig.status == BSY
    rig.outb(CONTROL, 0)
    assert (rig.status, rig.inb(ERROR)) == (READY, 1)
    assert [rig.inb(ioport) for ioport in (COUNT, LOW, MID, HIGH)] == [1, 1, 0, 0], "the signature"
    assert rig.inb(DEVICE) & 0x5F == 0
    rig.clock.advance(INTERRUPT_NS)
    assert rig.edges == []
    assert rig.bus.read(0x1F0, 2) == 0, "the transfer is gone"


def test_execute_device_diagnostic(rig: Rig) -> None:
    assert rig.command(0x90, 5, 5) == READY
    assert [rig.inb(ioport) for ioport in (ERROR, COUNT, LOW, MID, HIGH)] == [1, 1, 1, 0, 0]
    rig.clock.advance(INTERRUPT_NS)
    assert rig.level


def test_the_drive_that_is_not_there(rig: Rig) -> None:
    rig.outb(DEVICE, 0x10)
    assert (rig.inb(STATUS), rig.status) == (0, 0)
    for opcode in (0xEC, 0x20, 0xE7, 0xA1):
        rig.outb(COMMAND, opcode)
        assert (rig.inb(STATUS), rig.status) == (0, 0)
    rig.outb(COUNT, 0x55)
    assert rig.inb(COUNT) == 0x55, "registers are those of drive 0"
    rig.clock.advance(INTERRUPT_NS)
    assert rig.edges == []
    rig.outb(DEVICE, 0)
    assert rig.status == READY


def test_reading_its_status_acknowledges_nothing(rig: Rig) -> None:
    rig.command(0xE7)
    rig.outb(DEVICE, 0x10)
    rig.inb(STATUS)
    rig.clock.advance(INTERRUPT_NS)
    assert rig.level


def test_the_diagnostic_is_for_both_drives(rig: Rig) -> None:
    rig.outb(DEVICE, 0x10)
    rig.outb(COMMAND, 0x90)
    assert (rig.inb(DEVICE) & 0x10, rig.status, rig.inb(ERROR)) == (0, READY, 1)


def test_hob_shows_what_was_written_before(rig: Rig) -> None:
    two_deep = (COUNT, LOW, MID, HIGH)
    for value in (0x11, 0x51):
        for i, ioport in enumerate(two_deep):
            rig.outb(ioport, value + i)
    rig.outb(CONTROL, HOB)
    assert [rig.inb(ioport) for ioport in two_deep] == [0x11, 0x12, 0x13, 0x14]
    rig.outb(CONTROL, 0)
    assert [rig.inb(ioport) for ioport in two_deep] == [0x51, 0x52, 0x53, 0x54]
    rig.outb(CONTROL, HOB)
    rig.outb(LOW, 0)
    assert rig.inb(COUNT) == 0x51, "any write to the command block clears HOB"


def test_in_a_transfer_the_registers_take_nothing(rig: Rig) -> None:
    rig.command(0x20, 3, 1)
    rig.outb(COUNT, 9)
    rig.outb(DEVICE, 0x10)
    rig.outb(COMMAND, 0xEC)
    assert (rig.status, rig.inb(COUNT)) == (AT_DATA, 0)
    assert rig.take() == sector(3)


def test_nothing_a_guest_does_is_an_exception(rig: Rig) -> None:
    """Nonsense at every I/O port, and the disk stays as long as it was."""
    chance = random.Random(4)
    ioports = [*range(DATA, STATUS + 1), CONTROL]
    for _ in range(60_000):
        ioport = chance.choice(ioports)
        width = chance.choice((1, 2, 4)) if ioport == DATA else 1
        if chance.random() < 0.4:
            assert 0 <= rig.bus.read(ioport, width) < 1 << 8 * width
        else:
            value = chance.choice((0, 1, 0xFF, 0xE0, 0x20, 0x30, 0xC4, chance.getrandbits(8 * width)))
            rig.bus.write(ioport, width, value)
        if chance.random() < 0.01:
            rig.clock.advance(1000)
    assert rig.path.stat().st_size == 64 * 512
