# SPDX-License-Identifier: GPL-2.0-or-later
"""The I/O-port bus: who answers at this I/O port? Devices see offsets and never learn where they sit.

An I/O port that nobody claims reads as all ones and swallows what is written, as an ISA bus does; both are
counted.
"""

from __future__ import annotations

from typing import Protocol


class IoDevice(Protocol):
    """Something on the I/O-port bus. Sizes are 1, 2 or 4 bytes.

    `widest_bytes` is the widest access it takes; a wider one is split over the following I/O ports, as the
    ISA bus does.
    """

    widest_bytes: int

    def read(self, offset: int, size_bytes: int) -> int:
        """Value of a read at an offset within the device."""

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Effect of a write at an offset within the device."""


class IoPortBus:
    """Routes accesses by I/O port. Ranges are half-open and must not overlap."""

    def __init__(self) -> None:
        self._devices: dict[int, tuple[IoDevice, int]] = {}
        self.unclaimed: dict[int, int] = {}

    def attach(self, base: int, n_ioports: int, device: IoDevice) -> None:
        """Put a device at [base, base + n_ioports). Raises ValueError on an overlap."""
        for ioport in range(base, base + n_ioports):
            if ioport in self._devices:
                raise ValueError(f"I/O port {ioport:#x} is taken")
        for ioport in range(base, base + n_ioports):
            self._devices[ioport] = (device, ioport - base)

    def read(self, ioport: int, size_bytes: int) -> int:
        """IN."""
        claimed = self._devices.get(ioport)
        if claimed is not None and size_bytes <= claimed[0].widest_bytes:
            return claimed[0].read(claimed[1], size_bytes)
        if size_bytes > 1 and any(ioport + i in self._devices for i in range(size_bytes)):
            half = size_bytes // 2
            return self.read(ioport, half) | self.read(ioport + half, half) << 8 * half
        self._count(ioport)
        return (1 << 8 * size_bytes) - 1

    def write(self, ioport: int, size_bytes: int, value: int) -> None:
        """OUT."""
        claimed = self._devices.get(ioport)
        if claimed is not None and size_bytes <= claimed[0].widest_bytes:
            claimed[0].write(claimed[1], size_bytes, value)
        elif size_bytes > 1 and any(ioport + i in self._devices for i in range(size_bytes)):
            half = size_bytes // 2
            self.write(ioport, half, value & ((1 << 8 * half) - 1))
            self.write(ioport + half, half, value >> 8 * half)
        else:
            self._count(ioport)

    def _count(self, ioport: int) -> None:
        self.unclaimed[ioport] = self.unclaimed.get(ioport, 0) + 1
