# SPDX-License-Identifier: GPL-2.0-or-later
"""The grant window of a domain that has direct paging: entries of its tables may map what is in a slot."""

from __future__ import annotations

from pvisor.machine.memory import GuestMemory
from pvisor.para.frames import FrameTable
from pvisor.para.grants import Window


class PagedWindow:
    """Slots are frames of the frame table, too: it counts the entries that map them."""

    def __init__(self, window: Window, frames: FrameTable) -> None:
        self._window = window
        self._frames = frames

    def map(self, slot: int, memory: GuestMemory, gpa: int, *, writable: bool) -> bool:
        """Put a frame into a free slot. False: the host does not allow it."""
        if not self._window.map(slot, memory, gpa, writable=writable):
            return False
        self._frames.open_slot(slot, writable=writable)
        return True

    def unmap(self, slot: int) -> None:
        """Empty a slot. Raises GuestError (EBUSY) while an entry maps it."""
        self._frames.close_slot(slot)
        self._window.unmap(slot)
