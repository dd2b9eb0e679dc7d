# SPDX-License-Identifier: GPL-2.0-or-later
"""Types and counts of a domain's frames: the proof that no guest writes to a page table.

A frame is a table of one level, or it may be written to, or neither; never both at once. Uses that need the
type are counted, and it can only become another when there is none. The other uses, which only read, are
counted as well, so that no frame is given away that something still maps.

A table whose last use goes stays one, with all that its entries hold, until its frame is wanted for
something else: so no call walks more than the table that it names. This room has no twin: shadow tables are
the hypervisor's own, and of the guest's nothing is believed (full/paging.py).

All state is in one struct that native handlers work on, too (native/paging_state.h, native/frames.c).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from pvisor.abi import errnos
from pvisor.cpu.shim import ffi
from pvisor.cpu.vcpu import Vcpu
from pvisor.machine.frames import ENTRIES_PER_TABLE
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.refusal import GuestError, invalid
from pvisor.para.tables import FRAME, HOLE_SLOT, HOLE_SLOTS, LARGE, NX, P, W

NONE, L1, L2, L3, L4, WRITABLE = range(6)
"""Types of frames; a table's is the level of its entries (enum pv_frame_type)."""
POPULATED, PINNED, READ_ONLY = 1, 2, 4
"""enum pv_frame_flag."""
FLUSH, EPOCH = 1, 2
"""enum pv_paging_pending."""
GRANT_WINDOW, N_SLOTS = 1 << 36, 1024
U32_MAX = 0xFFFF_FFFF

_PLAIN = LARGE | NX


class FrameTable:
    """The frames of one domain: RAM, and behind it the slots of its grant window.

    `vcpus` is the domain's own list. Where a method raises GuestError nothing has changed.
    """

    def __init__(self, memory: GuestMemory, vcpus: Sequence[Vcpu]) -> None:
        self.n_ram = memory.size_bytes // PAGE_BYTES
        n_frames = self.n_ram + N_SLOTS
        self.vcpus = vcpus
        self._memory = memory
        self.words = memory.view(0, memory.size_bytes).cast("Q")
        """The domain's RAM: an entry of a table is at its GPA / 8."""
        self._owned: list[Any] = [ffi.from_buffer("uint64_t[]", memory.buffer, require_writable=True)]
        self.state: Any = ffi.new("pv_paging *")
        self.state.ram = self._owned[0]
        self.state.window, self.state.n_ram_frames, self.state.n_frames = GRANT_WINDOW, self.n_ram, n_frames
        self.state.n_flushes = 1
        self.types = self._bytes("type", n_frames)
        self.flags = self._bytes("flags", n_frames)
        self.flags[: self.n_ram] = bytes([POPULATED]) * self.n_ram
        self.n_typed = self._numbers("n_typed", n_frames)
        self.n_other = self._numbers("n_other", n_frames)
        self.stale = self._numbers("stale", n_frames)
        self.code = self._numbers("code", n_frames)

    def _bytes(self, name: str, n: int) -> bytearray:
        """An array of the struct, which Python sees as well."""
        owner = bytearray(n)
        self._lend(name, "uint8_t[]", owner)
        return owner

    def _numbers(self, name: str, n: int) -> array[int]:
        owner = array("I", bytes(4 * n))
        self._lend(name, "uint32_t[]", owner)
        return owner

    def _lend(self, name: str, c_type: str, owner: bytearray | array[int]) -> None:
        self._owned.append(ffi.from_buffer(c_type, owner, require_writable=True))
        setattr(self.state, name, self._owned[-1])

    def close(self) -> None:
        """Let go of the domain's RAM."""
        self.words.release()
        ffi.release(self._owned[0])

    # --- for other rooms

    def hold(self, frame: int, *, writable: bool) -> None:
        """Somebody beside the domain's tables uses a frame: the host, or another domain by a grant.

        It is not given back meanwhile, and with `writable` it is no table. Raises GuestError: EINVAL where
        there is no RAM, ENOENT for a frame that was given back, EBUSY for a table.
        """
        if not 0 <= frame < self.n_ram:
            raise invalid()
        if not self.flags[frame] & POPULATED:
            raise GuestError(errnos.ENOENT)
        if writable:
            self._take_writable(frame)
        else:
            self.n_other[frame] += 1
        self.settle()

    def drop(self, frame: int, *, writable: bool) -> None:
        """The opposite of `hold`."""
        if writable:
            self._drop_writable(frame)
        else:
            self.n_other[frame] -= 1
        self.settle()

    def show(self, frame: int) -> None:
        """Others use a held frame: who writes to it is told to the engines by its type (shim/code.c)."""

    def hide(self, frame: int) -> None:
        """They do so no more."""

    def open_slot(self, slot: int, *, writable: bool) -> int:
        """A grant is in a slot of the window now: entries may map it. Its GPA."""
        self.flags[self.n_ram + slot] = POPULATED if writable else POPULATED | READ_ONLY
        return GRANT_WINDOW + slot * PAGE_BYTES

    def close_slot(self, slot: int) -> None:
        """The slot is empty, and no engine remembers it. Raises GuestError (EBUSY) while it is mapped."""
        frame = self.n_ram + slot
        if self.n_uses(frame):
            raise GuestError(errnos.EBUSY)
        self.flags[frame] = 0
        self.forget(frame)
        self.settle()

    def n_uses(self, frame: int) -> int:
        """How many uses there are of a frame, of any kind."""
        return self.n_typed[frame] + self.n_other[frame]

    # --- frames come and go

    def is_there(self, frame: int) -> bool:
        """Has it not been given back?"""
        return bool(self.flags[frame] & POPULATED)

    def release(self, frame: int) -> None:
        """Give a frame back. Raises GuestError: ENOENT when it is not there, EBUSY while anything uses it."""
        if not self.flags[frame] & POPULATED:
            raise GuestError(errnos.ENOENT)
        if self.n_uses(frame):
            raise GuestError(errnos.EBUSY)
        self._clear_type(frame)
        self.flags[frame] = 0
        self._content_changes(frame)
        self.forget(frame)
        self._memory.give_back(frame * PAGE_BYTES, PAGE_BYTES)

    def populate(self, frame: int) -> None:
        """Take a frame again, zeroed. Raises GuestError (EEXIST) when it is there."""
        if self.flags[frame] & POPULATED:
            raise GuestError(errnos.EEXIST)
        self.flags[frame] = POPULATED

    # --- what the engines are told

    def _content_changes(self, frame: int) -> None:
        """The frame's content may be another from now on, with no engine told of the store (shim/code.c)."""
        if self.code[frame]:
            self.code[frame] = self.code[frame] % U32_MAX + 1
            self.state.pending |= EPOCH

    def forget(self, frame: int) -> None:
        """Some engine may know a translation of this frame that is gone: it must not."""
        if self.stale[frame] == self.state.n_flushes:
            self.state.pending |= FLUSH

    def flush_all(self) -> None:
        """Drop all translations of all vCPUs."""
        self.state.n_flushes = (self.state.n_flushes + 1) & U32_MAX
        self.state.pending &= ~FLUSH
        for vcpu in self.vcpus:
            vcpu.flush_tlb()

    def settle(self) -> None:
        """Tell the engines what is pending; before the guest runs on."""
        pending = self.state.pending
        if not pending:
            return
        if pending & EPOCH:
            for vcpu in self.vcpus:
                vcpu.new_epoch()
        if pending & FLUSH:
            self.flush_all()
        self.state.pending = 0

    # --- uses by entries

    def frame_of(self, entry: int) -> int:
        """The frame that an entry names. Raises GuestError (EINVAL) where there is neither RAM nor slot."""
        frame: int = (entry & FRAME) >> 12
        if frame < self.n_ram:
            return frame
        slot = frame - (GRANT_WINDOW >> 12)
        if 0 <= slot < N_SLOTS:
            return self.n_ram + slot
        raise invalid()

    def _take(self, level: int, entry: int) -> None:
        """An entry of a table of this level is about to be there."""
        if not entry & P:
            return
        frame = self.frame_of(entry)
        if entry & LARGE:
            raise invalid()
        if level > L1:
            self.take_table(frame, level - 1)
            return
        if not self.flags[frame] & POPULATED:
            raise GuestError(errnos.ENOENT)
        if frame >= self.n_ram and not entry & NX:
            raise invalid()
        if not entry & W:
            self.n_other[frame] += 1
        elif self.flags[frame] & READ_ONLY:
            raise GuestError(errnos.EPERM)
        else:
            self._take_writable(frame)
        if not entry & NX and not self.code[frame]:
            self.code[frame] = 1

    def _drop(self, level: int, entry: int) -> None:
        """An entry has gone."""
        if not entry & P:
            return
        frame = self.frame_of(entry)
        if level > L1:
            self.drop_table(frame)
            return
        self.stale[frame] = self.state.n_flushes
        if entry & W:
            self._drop_writable(frame)
        else:
            self.n_other[frame] -= 1

    def _take_writable(self, frame: int) -> None:
        if self.types[frame] != WRITABLE:
            self._clear_type(frame)
            self.types[frame] = WRITABLE
            self._content_changes(frame)
        self.n_typed[frame] += 1

    def _drop_writable(self, frame: int) -> None:
        self.n_typed[frame] -= 1
        if not self.n_typed[frame]:
            self.types[frame] = NONE
            self._content_changes(frame)

    def replace(self, at: int, entry: int) -> None:
        """Store an entry of a table; `at` is its GPA / 8. Raises GuestError."""
        table = at // ENTRIES_PER_TABLE
        level, old = self.types[table], self.words[at]
        self.n_typed[table] += 1  # it is not to be given up for the sake of its own entry
        try:
            self._take(level, entry)
        finally:
            self.n_typed[table] -= 1
        self.words[at] = entry
        self._drop(level, old)
        if old & P and (level > L1 or not old & NX):
            self.state.pending |= EPOCH

    def replace_plain(self, updates: Iterable[tuple[int, int]]) -> int:
        """The same for (GPA, entry) one after the other, as long as they are of the usual kind; how many.

        That is: an entry of a last-level table goes or comes that maps RAM no-execute, and no frame's type
        changes by it. It is what `replace` does, and exists because batches are made of it.
        """
        types, flags, words, stale = self.types, self.flags, self.words, self.stale
        n_typed, n_other, n_ram, n_flushes = self.n_typed, self.n_other, self.n_ram, self.state.n_flushes
        table, n_done = -1, 0
        for gpa, entry in updates:
            if gpa >> 12 != table or gpa & 7:
                table = gpa >> 12
                if gpa & 7 or table >= n_ram or types[table] != L1:
                    break
            old = words[gpa >> 3]
            if old & P:
                before = (old & FRAME) >> 12
                counts = n_typed if old & W else n_other
                if before >= n_ram or not old & NX or (old & W and counts[before] == 1):
                    break
            if entry & P:
                frame = (entry & FRAME) >> 12
                if entry & _PLAIN != NX or frame >= n_ram:
                    break
                if entry & W:
                    if types[frame] != WRITABLE:
                        break
                    n_typed[frame] += 1
                elif flags[frame] & POPULATED:
                    n_other[frame] += 1
                else:
                    break
            words[gpa >> 3] = entry
            if old & P:
                counts[before] -= 1
                stale[before] = n_flushes
            n_done += 1
        return n_done

    # --- tables

    def take_table(self, frame: int, level: int) -> None:
        """Another use of a frame as a table of this level. It becomes one, if it can: else GuestError."""
        if frame >= self.n_ram:
            raise invalid()
        if self.types[frame] != level:
            if not self.flags[frame] & POPULATED:
                raise GuestError(errnos.ENOENT)
            self._clear_type(frame)
            self._become_table(frame, level)
        else:
            self.n_typed[frame] += 1

    def take_table_at(self, gpa: int, level: int) -> None:
        """The same by GPA."""
        self.take_table(self.frame_at(gpa), level)

    def frame_at(self, gpa: int) -> int:
        """The frame that begins at a GPA. Raises GuestError (EINVAL) where none of RAM does."""
        if gpa % PAGE_BYTES or gpa >= self._memory.size_bytes:
            raise invalid()
        return gpa // PAGE_BYTES

    def drop_table(self, frame: int) -> None:
        """A use as a table is gone."""
        self.n_typed[frame] -= 1

    def untake_table(self, frame: int) -> None:
        """As if it had not been taken: without another use it is none."""
        self.n_typed[frame] -= 1
        if not self.n_typed[frame]:
            self._give_up_table(frame)

    def _clear_type(self, frame: int) -> None:
        if self.n_typed[frame]:
            raise GuestError(errnos.EBUSY)
        if self.types[frame]:
            self._give_up_table(frame)

    def _entries(self, frame: int, level: int) -> list[int]:
        """The entries that are the guest's, others as 0."""
        at = frame * ENTRIES_PER_TABLE
        entries: list[int] = self.words[at : at + ENTRIES_PER_TABLE].tolist()
        if level == L4:
            entries[HOLE_SLOTS.start : HOLE_SLOTS.stop] = [0] * len(HOLE_SLOTS)
        return entries

    def _give_up_table(self, frame: int) -> None:
        level = self.types[frame]
        self.state.n_walked = (self.state.n_walked + 1) & U32_MAX
        self.types[frame] = NONE
        self._content_changes(frame)
        for entry in self._entries(frame, level):
            if entry & P:
                self._drop(level, entry)
        if level == L4:
            self.words[frame * ENTRIES_PER_TABLE + HOLE_SLOT] = 0
        self.state.pending |= EPOCH

    def _become_table(self, frame: int, level: int) -> None:
        self.state.n_walked = (self.state.n_walked + 1) & U32_MAX
        self.types[frame] = level  # before its entries are looked at: they may name it
        self.n_typed[frame] = 1
        entries = self._entries(frame, level)
        n_taken = 0
        try:
            self._check_entries(frame, level, entries)
            for entry in entries:
                if entry & P:
                    self._take(level, entry)
                n_taken += 1
        except GuestError:
            for entry in entries[:n_taken][::-1]:
                self._drop(level, entry)
            self.types[frame], self.n_typed[frame] = NONE, 0
            raise
        if level == L4:
            self.words[frame * ENTRIES_PER_TABLE + HOLE_SLOT] = self.state.hole_entry
        self._content_changes(frame)
        self.forget(frame)

    def _check_entries(self, frame: int, level: int, entries: Sequence[int]) -> None:
        """A new table names tables that are tables already; a new root leaves the hole free."""
        if level == L1:
            return
        for entry in entries:
            if entry & P and self.types[self.frame_of(entry)] != level - 1:
                raise invalid()
        if level == L4:
            at = frame * ENTRIES_PER_TABLE
            if any(entry & P for entry in self.words[at + HOLE_SLOT + 1 : at + HOLE_SLOTS.stop]):
                raise invalid()
