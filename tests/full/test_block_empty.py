# SPDX-License-Identifier: GPL-2.0-or-later
"""ATA channels to which no drive is connected."""

from __future__ import annotations

from pvisor.full.block_empty import SECONDARY, EmptyAtaChannel
from pvisor.machine.ioports import IoPortBus


def test_a_channel_without_a_drive_is_never_busy() -> None:
    """A host that polls BSY goes on at once; an empty bus would keep it for ever."""
    ioports = IoPortBus()
    EmptyAtaChannel().attach_to(ioports, SECONDARY)
    for offset in range(8):
        ioports.write(0x170 + offset, 1, 0xA5)
        assert ioports.read(0x170 + offset, 1) == 0
    assert (ioports.read(0x170, 2), ioports.read(0x170, 4), ioports.read(0x376, 1)) == (0, 0, 0)
    ioports.write(0x376, 1, 4)
    assert (ioports.read(0x177, 1), ioports.unclaimed) == (0, {})
