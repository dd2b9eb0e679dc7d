# SPDX-License-Identifier: GPL-2.0-or-later
"""An ATA channel without a drive: a PC has two channels, whatever is connected to them.

Source: T13/1410D (ATA/ATAPI-6): the host pulls DD7 down, so that with no drive on the cable BSY reads as 0.
A host that looks for drives finds at once that there are none; on a bus that floats high it would wait for
ever. As in QEMU all other bits are 0, too. This room has no twin: a paravirtual guest has no I/O ports.
"""

from __future__ import annotations

from pvisor.machine.ioports import IoPortBus

PRIMARY, SECONDARY = (0x1F0, 0x3F6), (0x170, 0x376)
"""The command block, and device control with the alternate status."""
N_COMMAND_IOPORTS = 8


class EmptyAtaChannel:
    """The I/O ports of a channel, all of which read as 0; what is written has no effect."""

    widest_bytes = 4

    def attach_to(self, ioports: IoPortBus, channel: tuple[int, int]) -> None:
        """Take the I/O ports of a channel."""
        ioports.attach(channel[0], N_COMMAND_IOPORTS, self)
        ioports.attach(channel[1], 1, self)

    def read(self, offset: int, size_bytes: int) -> int:
        """No drive drives the bus."""
        return 0

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Nobody is there."""
