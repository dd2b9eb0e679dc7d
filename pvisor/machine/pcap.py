# SPDX-License-Identifier: GPL-2.0-or-later
"""Captured frames as a pcap file, for Wireshark and its kin.

The classic format with nanoseconds (draft-ietf-opsawg-pcap): a header of 24 bytes, then each frame behind
one of 16. Frames bear the guest's date: the wall clock's at their virtual time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from pvisor.machine.clock import WallClock

MAGIC_NANOSECONDS = 0xA1B23C4D
VERSION = 2, 4
LINKTYPE_ETHERNET = 1
SNAPLEN_BYTES = 65535
"""A longer frame is cut; Ethernet has none."""

_HEADER = struct.Struct("<IHHiIII")
_FRAME = struct.Struct("<IIII")


class PcapWriter:
    """Hands a capture on to `write`, piece by piece, in the order of the frames.

    Nothing is written before the first frame or `finish`. What `write` raises passes through.
    """

    def __init__(self, write: Callable[[bytes], object], clock: WallClock) -> None:
        self._write = write
        self._clock = clock
        self._is_begun = False

    def frame(self, virtual_ns: int, frame: bytes) -> None:
        """Append a frame, with no frame check sequence, that was sent at a virtual time."""
        self.finish()
        seconds, nanoseconds = self._clock.at(virtual_ns)
        kept = frame[:SNAPLEN_BYTES]
        # The format has 32 bits for the seconds, so dates from 2106 on begin again at 1970.
        self._write(_FRAME.pack(seconds & 0xFFFF_FFFF, nanoseconds, len(kept), len(frame)) + kept)

    def finish(self) -> None:
        """Make it a capture, also where no frame came."""
        if not self._is_begun:
            self._is_begun = True
            self._write(_HEADER.pack(MAGIC_NANOSECONDS, *VERSION, 0, 0, SNAPLEN_BYTES, LINKTYPE_ETHERNET))
