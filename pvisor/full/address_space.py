# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory as an emulated instruction reaches it: by linear address, page by page, in RAM and in devices.

An access that straddles pages is translated whole before any byte of it moves, so a fault leaves nothing
half done. What falls on a device is split into naturally aligned parts of 8, 4, 2 and 1 bytes, in ascending
order, as a bus does with an access that it cannot carry at once.

This room has no twin: a paravirtual guest has no device memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from pvisor.machine.memory import PAGE_BYTES
from pvisor.machine.mmio import MmioBus

Translate = Callable[[int, bool], int]
"""(linear address, is it a write) -> guest-physical address. Raises GuestFault."""


class Ram(Protocol):
    """Guest RAM, and whatever must happen when it is written."""

    def is_ram(self, gpa: int) -> bool:
        """Is the page of this guest-physical address RAM? Everything else belongs to the MMIO bus."""

    def read(self, gpa: int, n_bytes: int) -> bytes:
        """A copy of bytes within one page."""

    def write(self, gpa: int, data: bytes) -> None:
        """Store bytes within one page."""


class AddressSpace:
    """The linear addresses of one instruction at a time: `begin` starts the next one."""

    def __init__(self, translate: Translate, ram: Ram, bus: MmioBus) -> None:
        self._translate = translate
        self._ram = ram
        self._bus = bus
        self._mask = (1 << 64) - 1
        self._pages: dict[tuple[int, bool], int] = {}

    def begin(self, mode64: bool) -> None:
        """A new instruction: forget the old one's translations. Addresses wrap by the mode."""
        self._mask = (1 << 64) - 1 if mode64 else (1 << 32) - 1
        self._pages.clear()

    def reserve(self, address: int, n_bytes: int, *, write: bool) -> None:
        """Raise the GuestFault that an access would raise, and do nothing else."""
        self._pieces(address, n_bytes, write)

    def read(self, address: int, n_bytes: int) -> int:
        """A little-endian load. Raises GuestFault."""
        value = shift = 0
        for gpa, n in self._pieces(address, n_bytes, False):
            if self._ram.is_ram(gpa):
                value |= int.from_bytes(self._ram.read(gpa, n), "little") << shift
                shift += 8 * n
                continue
            for at, size in _bus_accesses(gpa, n):
                value |= (self._bus.read(at, size) & (1 << 8 * size) - 1) << shift
                shift += 8 * size
        return value

    def write(self, address: int, n_bytes: int, value: int) -> None:
        """A little-endian store. Raises GuestFault, and has stored nothing then."""
        for gpa, n in self._pieces(address, n_bytes, True):
            if self._ram.is_ram(gpa):
                self._ram.write(gpa, (value & (1 << 8 * n) - 1).to_bytes(n, "little"))
                value >>= 8 * n
                continue
            for at, size in _bus_accesses(gpa, n):
                self._bus.write(at, size, value & (1 << 8 * size) - 1)
                value >>= 8 * size

    def _pieces(self, address: int, n_bytes: int, write: bool) -> list[tuple[int, int]]:
        """(guest-physical address, length) of each page's part."""
        pieces = []
        done = 0
        while done < n_bytes:
            at = address + done & self._mask
            n = min(PAGE_BYTES - at % PAGE_BYTES, n_bytes - done)
            pieces.append((self._page(at, write) + at % PAGE_BYTES, n))
            done += n
        return pieces

    def _page(self, at: int, write: bool) -> int:
        """Where the page lies; asked once an instruction, as the TLB lets a repeated one go on."""
        key = at // PAGE_BYTES, write
        found = self._pages.get(key)
        if found is None:
            found = self._pages[key] = self._translate(at, write) & -PAGE_BYTES
        return found


def _bus_accesses(gpa: int, n_bytes: int) -> Iterator[tuple[int, int]]:
    """Naturally aligned (address, size) parts of a range."""
    end = gpa + n_bytes
    while gpa < end:
        size = 8
        while gpa % size or gpa + size > end:
            size //= 2
        yield gpa, size
        gpa += size
