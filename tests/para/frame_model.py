# SPDX-License-Identifier: GPL-2.0-or-later
"""Frame types as a plain model has them: nothing is counted as it goes, each question looks at everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pvisor.abi import errnos
from pvisor.machine.memory import PAGE_BYTES, GuestMemory

P, W, LARGE, NX, FRAME = 1, 2, 0x80, 1 << 63, 0x000F_FFFF_FFFF_F000
WINDOW, N_SLOTS, HOLE = 1 << 36, 1024, range(256, 272)
INVAL, BUSY, NOENT, EXIST, PERM = (
    -row.number for row in (errnos.EINVAL, errnos.EBUSY, errnos.ENOENT, errnos.EEXIST, errnos.EPERM)
)


class Refused(Exception):  # noqa: N818 - the model's answer, no error of ours
    """A call's negative result."""

    def __init__(self, result: int) -> None:
        super().__init__(result)
        self.result = result


@dataclass
class Model:
    """A domain's frames. `levels` has those that were looked at as tables and have no other use since."""

    memory: GuestMemory
    hole_entry: int
    levels: dict[int, int] = field(default_factory=dict)
    pins: set[int] = field(default_factory=set)
    roots: list[int] = field(default_factory=list)
    holds: list[tuple[int, bool]] = field(default_factory=list)
    released: set[int] = field(default_factory=set)
    slots: dict[int, bool] = field(default_factory=dict)
    """Open slots of the grant window: may they be written to?"""
    trying: list[int] = field(default_factory=list)
    """Tables in the making, or whose entry is being changed: they stay what they are."""

    @property
    def n_ram(self) -> int:
        """Frames of RAM."""
        return self.memory.size_bytes // PAGE_BYTES

    def entries(self, table: int) -> Iterator[int]:
        """Present entries of a table that are the guest's."""
        words = memoryview(self.memory.read(table * PAGE_BYTES, PAGE_BYTES)).cast("Q")
        for index, entry in enumerate(words):
            if entry & P and not (self.levels[table] == 4 and index in HOLE):
                yield entry

    def named(self, entry: int) -> int:
        """The frame that an entry names."""
        frame = (entry & FRAME) // PAGE_BYTES
        if frame < self.n_ram:
            return frame
        slot = frame - WINDOW // PAGE_BYTES
        if 0 <= slot < N_SLOTS:
            return self.n_ram + slot
        raise Refused(INVAL)

    def uses(self, frame: int) -> tuple[int, int, int]:
        """(as a table, for writing, for reading only)."""
        tables = (frame in self.pins) + self.roots.count(frame) + self.trying.count(frame)
        writers, readers = self.holds.count((frame, True)), self.holds.count((frame, False))
        for table, level in self.levels.items():
            for entry in self.entries(table):
                if self.named(entry) != frame:
                    continue
                tables += level > 1
                writers += level == 1 and bool(entry & W)
                readers += level == 1 and not entry & W
        return tables, writers, readers

    def is_there(self, frame: int) -> bool:
        """Is it populated, or a slot that is open?"""
        if frame >= self.n_ram:
            return frame - self.n_ram in self.slots
        return frame not in self.released

    # --- what is allowed

    def make_plain(self, frame: int) -> None:
        """It is wanted for something else than what it is."""
        tables, writers, _ = self.uses(frame)
        if tables or writers:
            raise Refused(BUSY)
        self.forget_table(frame)

    def forget_table(self, frame: int) -> None:
        """It is no table any more."""
        if self.levels.pop(frame, 0) == 4:
            self.memory.write_u64(frame * PAGE_BYTES + 8 * HOLE.start, 0)

    def may_write(self, frame: int) -> None:
        """Somebody shall be allowed to write to it."""
        if not self.uses(frame)[1]:
            self.make_plain(frame)

    def need_table(self, frame: int, level: int) -> None:
        """It shall be a table of this level."""
        if frame >= self.n_ram:
            raise Refused(INVAL)
        if self.levels.get(frame) == level:
            return
        if not self.is_there(frame):
            raise Refused(NOENT)
        self.make_plain(frame)
        self.levels[frame] = level
        self.trying.append(frame)
        try:
            self._look_at(frame, level)
        except Refused:
            del self.levels[frame]
            raise
        finally:
            self.trying.remove(frame)
        if level == 4:
            self.memory.write_u64(frame * PAGE_BYTES + 8 * HOLE.start, self.hole_entry)

    def _look_at(self, frame: int, level: int) -> None:
        entries = list(self.entries(frame))
        if level > 1 and any(self.levels.get(self.named(entry)) != level - 1 for entry in entries):
            raise Refused(INVAL)
        at = frame * PAGE_BYTES
        if level == 4 and any(self.memory.read_u64(at + 8 * index) & P for index in HOLE[1:]):
            raise Refused(INVAL)
        for entry in entries:
            self.check(level, entry, is_there=True)

    def check(self, level: int, entry: int, *, is_there: bool = False) -> None:
        """May an entry be in a table of this level? `is_there`: it lies in one that counts already."""
        if not entry & P:
            return
        frame = self.named(entry)
        if entry & LARGE:
            raise Refused(INVAL)
        if level > 1:
            self.need_table(frame, level - 1)
            return
        if not self.is_there(frame):
            raise Refused(NOENT)
        if frame >= self.n_ram:
            if not entry & NX:
                raise Refused(INVAL)
            if entry & W and not self.slots[frame - self.n_ram]:
                raise Refused(PERM)
        elif entry & W:
            if frame in self.levels:
                if self.uses(frame)[0]:
                    raise Refused(BUSY)
                self.forget_table(frame)
            elif not is_there:
                self.may_write(frame)

    # --- the calls

    def store(self, gpa: int, entry: int) -> None:
        """Change an entry of a table."""
        table = gpa // PAGE_BYTES
        self.trying.append(table)
        try:
            self.check(self.levels[table], entry)
        finally:
            self.trying.remove(table)
        self.memory.write_u64(gpa, entry)

    def update(self, gpa: int, entry: int) -> None:
        """TABLE_UPDATE of one entry."""
        if gpa % 8 or gpa >= self.memory.size_bytes:
            raise Refused(INVAL)
        level = self.levels.get(gpa // PAGE_BYTES)
        if level is None:
            raise Refused(NOENT)
        if level == 4 and gpa // 8 % 512 in HOLE:
            raise Refused(INVAL)
        self.store(gpa, entry)

    def last_entry(self, root: int, gva: int) -> int | None:
        """Where the last-level entry of an address lies."""
        table = root
        for shift in (39, 30, 21):
            entry = self.memory.read_u64(table + 8 * (gva >> shift & 511))
            if not entry & P:
                return None
            table = entry & FRAME
        return table + 8 * (gva >> 12 & 511)
