# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold of a paravirtual domain's tables, whatever the guest has done: it is isolated.

`check` walks every table, those that nobody uses any more as well, and counts anew what para/frames.py has
counted as it went.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.frames import GRANT_WINDOW, L1, L4, NONE, PINNED, POPULATED, READ_ONLY, WRITABLE, FrameTable
from pvisor.para.tables import FRAME, HOLE_SLOT, HOLE_SLOTS, LARGE, NX, P, W

Hold = tuple[int, bool]
"""A frame that somebody beside the tables holds, and whether for writing."""


def entries_of(frames: FrameTable, frame: int) -> list[int]:
    """A table's entries as they lie in memory."""
    return list(frames.words[frame * 512 : frame * 512 + 512])


def frame_named(frames: FrameTable, entry: int) -> int:
    """The number of the frame that an entry names; it must be one of the domain's."""
    gpa = entry & FRAME
    if gpa < frames.n_ram * PAGE_BYTES:
        return gpa // PAGE_BYTES
    slot = gpa - GRANT_WINDOW
    assert 0 <= slot < 1024 * PAGE_BYTES, f"{entry:#x} names no frame of the domain"
    return frames.n_ram + slot // PAGE_BYTES


def check(frames: FrameTable, holds: Iterable[Hold], roots: Iterable[int]) -> None:
    """Only frames that are there, no table writable, nothing but the hole in the hole; counts agree.

    `roots` are the GPAs that vCPUs use, each as often as it is used.
    """
    typed: Counter[int] = Counter()
    other: Counter[int] = Counter()
    for frame, writable in holds:
        (typed if writable else other)[frame] += 1
    for root in roots:
        assert frames.types[root // PAGE_BYTES] == L4
        typed[root // PAGE_BYTES] += 1
    for frame in range(frames.n_ram):
        if frames.flags[frame] & PINNED:
            typed[frame] += 1
        if L1 <= frames.types[frame] <= L4:
            _check_table(frames, frame, typed, other)
    for frame in range(len(frames.types)):
        counted = (typed[frame], other[frame])
        assert counted == (frames.n_typed[frame], frames.n_other[frame]), f"frame {frame:#x}: {counted}"
        if not frames.flags[frame] & POPULATED:
            assert counted == (0, 0) and frames.types[frame] == NONE, f"frame {frame:#x} is not there"
        if frames.types[frame] in (NONE, WRITABLE):
            assert (typed[frame] > 0) == (frames.types[frame] == WRITABLE), f"frame {frame:#x}"
    assert not frames.state.pending, "something was not told to the engines"


def _check_table(frames: FrameTable, frame: int, typed: Counter[int], other: Counter[int]) -> None:
    level = frames.types[frame]
    assert frames.flags[frame] & POPULATED, f"table {frame:#x} is not there"
    for index, entry in enumerate(entries_of(frames, frame)):
        if level == L4 and index in HOLE_SLOTS:
            is_hole = index == HOLE_SLOT and entry == frames.state.hole_entry
            assert is_hole or (index != HOLE_SLOT and not entry & P), hex(entry)
            continue
        if not entry & P:
            continue
        assert not entry & LARGE
        named = frame_named(frames, entry)
        assert frames.flags[named] & POPULATED, f"{entry:#x} names a frame that is not there"
        if level > L1:
            assert frames.types[named] == level - 1, f"{entry:#x} at level {level}: {frames.types[named]}"
            typed[named] += 1
        elif entry & W:
            assert frames.types[named] == WRITABLE, f"{entry:#x}: a table that can be written to"
            assert not frames.flags[named] & READ_ONLY, f"{entry:#x}: a grant for reading"
            typed[named] += 1
        else:
            other[named] += 1
        if level == L1 and named >= frames.n_ram:
            assert entry & NX, f"{entry:#x}: code of another domain"
