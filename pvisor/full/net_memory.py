# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies in an NE2000's own address space, and the remote DMA by which a guest reaches it.

The space has 64 KiB: the PROM from 0 on, 16 KiB of RAM from 0x4000 on, and nothing elsewhere, which reads as
ones. Remote DMA: section 9 of the DP8390D's data sheet. It moves a byte or a word for each access to the data
port, whatever the access's width, but four bytes for one of 32 bits, as in QEMU.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

PAGE_BYTES = 256
RAM_START = 0x4000
RAM_BYTES = 0x4000
PROM_SIGNATURE = 0x57
"""At its end: a card on a 16-bit slot."""


class Direction(IntEnum):
    """CR's remote DMA command. NONE is no command: what is under way goes on."""

    NONE = 0
    READ = 1
    WRITE = 2
    SEND_PACKET = 3
    ABORT = 4

    @classmethod
    def of(cls, bits: int) -> Direction:
        """From RD2, RD1 and RD0."""
        return cls(min(bits, cls.ABORT))


class NetMemory:
    """PROM, RAM and remote DMA. `on_done` is told the end of a transfer: BNRY's new value, or None."""

    def __init__(self, mac: bytes, on_done: Callable[[int | None], object]) -> None:
        self._prom = bytes(byte for byte in mac + bytes(8) + bytes((PROM_SIGNATURE,)) * 2 for _ in range(2))
        self._ram = bytearray(RAM_BYTES)
        self._on_done = on_done
        self._direction = Direction.NONE
        self._next_page = 0
        self._ring_start = self._ring_stop = 0
        self.address = 0
        """Where the next access goes: RSAR, counted up; CRDA when read."""
        self.left_bytes = 0
        """RBCR, counted down."""

    def set_ring(self, start_page: int, stop_page: int) -> None:
        """PSTART and PSTOP: where the second is reached, the DMA goes on at the first."""
        self._ring_start, self._ring_stop = start_page * PAGE_BYTES, stop_page * PAGE_BYTES

    def set_address_byte(self, index: int, value: int) -> None:
        """RSAR0 or RSAR1."""
        self.address = self.address & 0xFF << 8 * (1 - index) | value << 8 * index

    def set_count_byte(self, index: int, value: int) -> None:
        """RBCR0 or RBCR1."""
        self.left_bytes = self.left_bytes & 0xFF << 8 * (1 - index) | value << 8 * index

    def command(self, direction: Direction, boundary: int = 0) -> None:
        """Begin, abort or go on. "Send packet" takes place and length of the packet at page `boundary`."""
        if direction is Direction.SEND_PACKET and self._direction is not Direction.SEND_PACKET:
            self.address = boundary * PAGE_BYTES
            _, self._next_page, low, high = (self._byte(self.address + i) for i in range(4))
            self.left_bytes = low | high << 8
        if direction is Direction.ABORT:
            self._direction = Direction.NONE
        elif direction is not Direction.NONE:
            self._direction = direction

    def finish_empty(self) -> None:
        """A transfer of no bytes is done when it is asked for."""
        if self._direction is not Direction.NONE and not self.left_bytes:
            self._finish()

    def read_data(self, size_bytes: int, word_bytes: int) -> int:
        """IN from the data port; all ones when nothing is to be read."""
        if self._direction not in (Direction.READ, Direction.SEND_PACKET) or not self.left_bytes:
            return (1 << 8 * size_bytes) - 1
        n_bytes, address = self._access(size_bytes, word_bytes)
        value = 0
        for i in range(n_bytes):
            value |= self._byte(address + i) << 8 * i
        self._advance(n_bytes)
        return value & (1 << 8 * size_bytes) - 1

    def write_data(self, size_bytes: int, word_bytes: int, value: int) -> None:
        """OUT to the data port; lost when nothing is to be written, or where no RAM is."""
        if self._direction is not Direction.WRITE or not self.left_bytes:
            return
        n_bytes, address = self._access(size_bytes, word_bytes)
        for i in range(n_bytes):
            at = address + i - RAM_START
            if 0 <= at < RAM_BYTES:
                self._ram[at] = value >> 8 * i & 0xFF
        self._advance(n_bytes)

    def local_read(self, address: int, n_bytes: int) -> bytes:
        """What the transmitter fetches: nothing unless all of it lies in RAM."""
        at = address - RAM_START
        return bytes(self._ram[at : at + n_bytes]) if 0 <= at <= RAM_BYTES - n_bytes else b""

    def local_write(self, address: int, data: bytes) -> None:
        """Part of a received packet, within a page; lost where no RAM is."""
        at = address - RAM_START
        if 0 <= at < RAM_BYTES:
            self._ram[at : at + len(data)] = data

    def _access(self, size_bytes: int, word_bytes: int) -> tuple[int, int]:
        """How much an access moves, and where; words are aligned."""
        n_bytes = 4 if size_bytes == 4 else word_bytes
        return n_bytes, self.address & ~1 if n_bytes > 1 else self.address

    def _byte(self, address: int) -> int:
        if RAM_START <= address < RAM_START + RAM_BYTES:
            return self._ram[address - RAM_START]
        return self._prom[address] if address < len(self._prom) else 0xFF

    def _advance(self, n_bytes: int) -> None:
        self.address = self.address + n_bytes & 0xFFFF
        if self.address == self._ring_stop:
            self.address = self._ring_start
        self.left_bytes = max(0, self.left_bytes - n_bytes)
        if not self.left_bytes:
            self._finish()

    def _finish(self) -> None:
        sent_packet = self._direction is Direction.SEND_PACKET
        self._direction = Direction.NONE
        self._on_done(self._next_page if sent_packet else None)
