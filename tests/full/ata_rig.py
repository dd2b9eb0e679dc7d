# SPDX-License-Identifier: GPL-2.0-or-later
"""An ATA channel on the test bench: a PC's I/O ports, a clock moved by hand, a line that takes notes."""

from __future__ import annotations

from pathlib import Path

from pvisor.full.block import AtaChannel
from pvisor.machine.disk import DiskError, DiskImage
from pvisor.machine.ioports import IoPortBus
from tests.machine.hand_clock import HandClock

DATA, ERROR, COUNT, LOW, MID, HIGH, DEVICE, STATUS = range(0x1F0, 0x1F8)
FEATURES, COMMAND, CONTROL = ERROR, STATUS, 0x3F6
BSY, DRDY, DF, DSC, DRQ, ERR = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01
READY, AT_DATA, FAILED = DRDY | DSC, DRDY | DSC | DRQ, DRDY | ERR
LBA, NIEN, SRST, HOB = 0x40, 2, 4, 0x80
N_SECTORS = 3000


def sector(n: int) -> bytes:
    """The content of sector n: its number, 128 times."""
    return n.to_bytes(4, "little") * 128


class BadDisk(DiskImage):
    """A disk whose host fails from a sector on, or does not flush."""

    bad_from = 1 << 60
    cannot_flush = False
    n_flushed = 0

    def read(self, lba: int, n_sectors: int) -> bytes:
        """Fails where the range reaches the bad part."""
        self._fail(lba, n_sectors)
        return super().read(lba, n_sectors)

    def write(self, lba: int, data: bytes) -> None:
        """Fails where the range reaches the bad part."""
        self._fail(lba, len(data) // 512)
        super().write(lba, data)

    def flush(self) -> None:
        """Counted; fails when told to."""
        self.n_flushed += 1
        if self.cannot_flush:
            raise DiskError(0, "no")

    def _fail(self, lba: int, n_sectors: int) -> None:
        if lba + n_sectors > self.bad_from:
            raise DiskError(max(lba, self.bad_from), "no")


class Rig:
    """The channel as a driver finds it."""

    def __init__(self, path: Path, *, read_only: bool = False, n_sectors: int = N_SECTORS) -> None:
        if not path.exists():
            path.write_bytes(b"".join(sector(n) for n in range(n_sectors)))
        self.path = path
        self.disk = BadDisk(path, read_only=read_only)
        self.clock = HandClock()
        self.edges: list[int] = []
        self.level = False
        self.channel = AtaChannel(self.disk, self._line, self.clock.timers)
        self.bus = IoPortBus()
        self.channel.attach_to(self.bus)

    def _line(self, level: bool) -> None:
        if level and not self.level:
            self.edges.append(self.clock.now_ns)
        self.level = level

    def inb(self, ioport: int) -> int:
        """IN of a byte."""
        return self.bus.read(ioport, 1)

    def outb(self, ioport: int, value: int) -> None:
        """OUT of a byte."""
        self.bus.write(ioport, 1, value)

    @property
    def status(self) -> int:
        """The alternate status."""
        return self.inb(CONTROL)

    @property
    def address(self) -> int:
        """Bits 0 to 23 of the address registers."""
        return self.inb(LOW) | self.inb(MID) << 8 | self.inb(HIGH) << 16

    def command(self, opcode: int, lba: int = 0, count: int = 0, features: int = 0) -> int:
        """A command with a 28-bit LBA; the status after it."""
        self.outb(DEVICE, LBA | lba >> 24 & 15)
        self.outb(FEATURES, features)
        for ioport, value in ((COUNT, count), (LOW, lba), (MID, lba >> 8), (HIGH, lba >> 16)):
            self.outb(ioport, value & 0xFF)
        self.outb(COMMAND, opcode)
        return self.status

    def command48(self, opcode: int, lba: int, count: int) -> int:
        """A command with a 48-bit LBA; the status after it."""
        for ioport, value in ((COUNT, count >> 8), (LOW, lba >> 24), (MID, lba >> 32), (HIGH, lba >> 40)):
            self.outb(ioport, value & 0xFF)
        return self.command(opcode, lba & 0xFF_FFFF, count)

    def take(self, n_sectors: int = 1, width: int = 2) -> bytes:
        """Read sectors from the data port."""
        reads = (self.bus.read(DATA, width) for _ in range(512 * n_sectors // width))
        return b"".join(value.to_bytes(width, "little") for value in reads)

    def give(self, data: bytes, width: int = 2) -> None:
        """Write to the data port."""
        for at in range(0, len(data), width):
            self.bus.write(DATA, width, int.from_bytes(data[at : at + width], "little"))

    def identify(self) -> list[int]:
        """The words of IDENTIFY DEVICE."""
        assert self.command(0xEC) == AT_DATA
        data = self.take()
        return [data[i] | data[i + 1] << 8 for i in range(0, 512, 2)]
