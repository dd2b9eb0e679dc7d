# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI configuration I/O ports 0xcf8 to 0xcff on a board without PCI devices, and reset control at 0xcf9.

CONFIG_ADDRESS is a register for 32-bit accesses at 0xcf8 only; narrower ones go past it (PCI 2.1,
3.2.2.3.2), so that the chip set's reset control register, one byte at 0xcf9, lies within. CONFIG_DATA
answers all ones: nobody is at any address. This room has no twin: a paravirtual domain has no buses.
"""

from __future__ import annotations

from collections.abc import Callable

CONFIG = 0xCF8
N_IOPORTS = 8

CONFIG_WRITABLE = 0x80FF_FFFC
AFTER_SCAN = 0x8000_005C
"""What SeaBIOS's last look at the bus leaves in CONFIG_ADDRESS, seen in QEMU."""
RESET_CONTROL = 1
RESET_CPU, SYSTEM_RESET = 1 << 2, 1 << 1


class PciConfig:
    """CONFIG_ADDRESS, CONFIG_DATA, and reset control as in the 82371SB. `on_reset` resets the machine."""

    widest_bytes = 4

    def __init__(self, on_reset: Callable[[], object]) -> None:
        self._on_reset = on_reset
        self._address = AFTER_SCAN
        self._reset_type = 0

    def read(self, offset: int, size_bytes: int) -> int:
        """The address register by 32 bits, reset control by its byte; all else is all ones."""
        if offset == 0 and size_bytes == 4:
            return self._address
        nothing = (1 << 8 * size_bytes) - 1
        if offset == RESET_CONTROL:
            return nothing & ~0xFF | self._reset_type
        return nothing

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """As for reads. Bit 2 of reset control resets; which kind of reset bit 1 asks for is all one here."""
        if offset == 0 and size_bytes == 4:
            self._address = value & CONFIG_WRITABLE
        elif offset == RESET_CONTROL:
            if value & RESET_CPU:
                self._on_reset()
            else:
                self._reset_type = value & SYSTEM_RESET
