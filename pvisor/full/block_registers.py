# SPDX-License-Identifier: GPL-2.0-or-later
"""The registers that describe an ATA command: how many sectors, from where (T13/1410D, ATA-6).

Each register but DEVICE is two deep: a write moves what stood there into the "previous content", which 48-bit
commands take as their upper bytes, and which the host reads with HOB set ("48-bit Address feature set").
"""

from __future__ import annotations

ERROR, COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, STATUS = range(1, 8)
"""Offsets from the first I/O port. ERROR is FEATURES, and STATUS is COMMAND, when written."""
FEATURES, COMMAND = ERROR, STATUS

DEVICE_LBA, DEVICE_1 = 0x40, 0x10
DEVICE_OBSOLETE = 0xA0
"""Bits of DEVICE that mean nothing any more and read as ones, as old drives and QEMU have it."""
_ADDRESS = (LBA_LOW, LBA_MID, LBA_HIGH)


class Geometry:
    """Logical cylinders, heads and sectors, for addresses that are no LBA. Sectors count from 1."""

    def __init__(self, n_heads: int, sectors_per_track: int) -> None:
        self.n_heads = n_heads
        self.sectors_per_track = sectors_per_track

    @property
    def sectors_per_cylinder(self) -> int:
        """Sectors under all heads of one cylinder."""
        return self.n_heads * self.sectors_per_track

    def lba_of(self, cylinder: int, head: int, sector: int) -> int | None:
        """The LBA, or None where the geometry has no such head or sector."""
        if head >= self.n_heads or not 1 <= sector <= self.sectors_per_track:
            return None
        return (cylinder * self.n_heads + head) * self.sectors_per_track + sector - 1


class CommandRegisters:
    """What the host has written, and what commands left in its place. Values are bytes."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.error = 0
        self._current = bytearray(8)
        self._previous = bytearray(8)
        self.set_signature()

    def set_signature(self) -> None:
        """What a reset leaves: device 0 selected, and the signature of a drive that is no packet device."""
        self._current[:] = self._previous[:] = bytes(8)
        self._current[COUNT] = self._current[LBA_LOW] = 1

    def write(self, register: int, value: int) -> None:
        """The host writes any of them but COMMAND."""
        if register != DEVICE:
            self._previous[register] = self._current[register]
        self._current[register] = value

    def read(self, register: int, previous: bool) -> int:
        """The host reads any of them but STATUS; `previous`: HOB is set."""
        if register == ERROR:
            return self.error
        if register == DEVICE:
            return self._current[DEVICE] | DEVICE_OBSOLETE
        return (self._previous if previous else self._current)[register]

    @property
    def features(self) -> int:
        """The subcommand of SET FEATURES."""
        return self._current[FEATURES]

    @property
    def count(self) -> int:
        """The count register as it stands."""
        return self._current[COUNT]

    @count.setter
    def count(self, value: int) -> None:
        self._current[COUNT] = value & 0xFF

    @property
    def head(self) -> int:
        """The lower bits of DEVICE: a head, or bits 24 to 27 of an LBA."""
        return self._current[DEVICE] & 0xF

    @property
    def is_device_1(self) -> bool:
        """Does the host speak to device 1?"""
        return bool(self._current[DEVICE] & DEVICE_1)

    def n_sectors(self, ext: bool) -> int:
        """How many sectors a command is for; 0 stands for 256, or for 65536 with 48-bit commands."""
        if ext:
            return self._previous[COUNT] << 8 | self._current[COUNT] or 0x1_0000
        return self._current[COUNT] or 0x100

    def address(self, ext: bool) -> int | None:
        """The LBA that a command begins at; None where cylinder, head and sector give none."""
        low, mid, high = (self._current[register] for register in _ADDRESS)
        if not self._current[DEVICE] & DEVICE_LBA:
            return self.geometry.lba_of(high << 8 | mid, self.head, low)
        lower = high << 16 | mid << 8 | low
        if not ext:
            return self.head << 24 | lower
        low, mid, high = (self._previous[register] for register in _ADDRESS)
        return (high << 16 | mid << 8 | low) << 24 | lower

    def show(self, lba: int, n_left: int, ext: bool) -> None:
        """How far a command has come: the next (or failing) sector, and how many are left with it."""
        self._current[COUNT] = n_left & 0xFF
        if ext:
            self._previous[COUNT] = n_left >> 8 & 0xFF
        self.show_address(lba, ext)

    def show_address(self, lba: int, ext: bool) -> None:
        """An LBA, in the form of address that the host has chosen."""
        if not self._current[DEVICE] & DEVICE_LBA:
            cylinder, rest = divmod(lba, self.geometry.sectors_per_cylinder)
            head, sector = divmod(rest, self.geometry.sectors_per_track)
            self._set(self._current, (cylinder & 0xFFFF) << 8 | sector + 1)
            self._set_head(head)
            return
        self._set(self._current, lba)
        if ext:
            self._set(self._previous, lba >> 24)
        else:
            self._set_head(lba >> 24)

    def _set(self, registers: bytearray, address: int) -> None:
        for i, register in enumerate(_ADDRESS):
            registers[register] = address >> 8 * i & 0xFF

    def _set_head(self, head: int) -> None:
        self._current[DEVICE] = self._current[DEVICE] & 0xF0 | head & 0xF
