# SPDX-License-Identifier: GPL-2.0-or-later
"""The MMIO bus: which device answers at a guest-physical address that is not RAM?

Where nobody does, reads give all ones and writes are swallowed, as on a PC's bus. Both are counted, the first
MAX_UNCLAIMED addresses by name: a guest may try more than a host can remember.
"""

from __future__ import annotations

from pvisor.machine.ioports import IoDevice

MAX_UNCLAIMED = 1024


class MmioBus:
    """Routes accesses of 1, 2, 4 or 8 bytes by guest-physical address. Only a moved one may overlap."""

    def __init__(self) -> None:
        self._devices: list[tuple[int, int, IoDevice]] = []
        self.unclaimed: dict[int, int] = {}
        self.n_unclaimed_elsewhere = 0

    def attach(self, base: int, n_bytes: int, device: IoDevice) -> None:
        """Put a device at [base, base + n_bytes). Raises ValueError on an overlap."""
        for start, size, _ in self._devices:
            if base < start + size and start < base + n_bytes:
                raise ValueError(f"guest-physical {base:#x} is taken")
        self._devices.append((base, n_bytes, device))

    def move(self, device: IoDevice, base: int) -> None:
        """Put an attached device elsewhere. It answers first there, whatever else does."""
        found = next(row for row in self._devices if row[2] is device)
        self._devices.remove(found)
        self._devices.insert(0, (base, found[1], device))

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """(base, size in bytes) of each device, in the order in which they were attached."""
        return [(base, n_bytes) for base, n_bytes, _ in self._devices]

    def read(self, gpa: int, size_bytes: int) -> int:
        """A load."""
        found = self._find(gpa, size_bytes)
        if found is None:
            return (1 << 8 * size_bytes) - 1
        base, device = found
        if size_bytes <= device.widest_bytes:
            return device.read(gpa - base, size_bytes)
        half = size_bytes // 2
        return self.read(gpa, half) | self.read(gpa + half, half) << 8 * half

    def write(self, gpa: int, size_bytes: int, value: int) -> None:
        """A store."""
        found = self._find(gpa, size_bytes)
        if found is None:
            return
        base, device = found
        if size_bytes <= device.widest_bytes:
            device.write(gpa - base, size_bytes, value)
        else:
            half = size_bytes // 2
            self.write(gpa, half, value & ((1 << 8 * half) - 1))
            self.write(gpa + half, half, value >> 8 * half)

    def _find(self, gpa: int, size_bytes: int) -> tuple[int, IoDevice] | None:
        for base, n_bytes, device in self._devices:
            if base <= gpa and gpa + size_bytes <= base + n_bytes:
                return base, device
        if gpa in self.unclaimed or len(self.unclaimed) < MAX_UNCLAIMED:
            self.unclaimed[gpa] = self.unclaimed.get(gpa, 0) + 1
        else:
            self.n_unclaimed_elsewhere += 1
        return None
