# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's own tables, walked to the entry that it wants to change.

All tables below a root are in the domain's RAM (frames.py sees to that), but for the hypervisor's hole.
Twin of full/walk.py, where the guest's tables are read for the CPU, which does not use them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pvisor.machine.frames import ENTRIES_PER_TABLE
from pvisor.para.tables import FRAME, HOLE_END, HOLE_START, P


def is_own_address(gva: int) -> bool:
    """Is an address the guest's to map: canonical, and outside the hole?"""
    return gva >> 47 in (0, 0x1FFFF) and not HOLE_START <= gva < HOLE_END


def find_entry(words: Sequence[int], root: int, gva: int) -> int | None:
    """Where the last-level entry of an own address lies, as GPA / 8, or None where a table is missing.

    `words` is the domain's RAM, `root` the GPA of a top-level table.
    """
    table = root >> 3
    for shift in (39, 30, 21):
        entry = words[table + (gva >> shift) % ENTRIES_PER_TABLE]
        if not entry & P:
            return None
        table = (entry & FRAME) >> 3
    return table + (gva >> 12) % ENTRIES_PER_TABLE
