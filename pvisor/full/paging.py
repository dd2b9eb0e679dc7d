# SPDX-License-Identifier: GPL-2.0-or-later
"""Shadow paging: the tables in the real CR3 are ours, filled as the guest touches its address space.

The strategy is that of a virtual TLB: an entry is filled on the fault that misses it, and dropped when the
guest's own CPU might drop it: INVLPG drops one, a write of CR3, and of the paging bits of CR0, CR4 and EFER,
drops all. The guest's tables need not be watched: until it flushes, hardware may serve it old entries too.

W^X: a frame is mapped writable or executable, never both, over all its aliases. Stores stay fast in the
engine that way, and a store into code is a fault, at which the frame's translations are forgotten. Only an
instruction that stores into the very frame it lies in gets both at once.

Twin of para/paging.py, where the guest's own tables are in CR3.
"""

from __future__ import annotations

from pvisor.cpu.decode import MAX_INSN_BYTES
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import Vcpu
from pvisor.errors import DomainCrash
from pvisor.full.state import CpuState, GuestFault
from pvisor.full.walk import FETCH, READ, WRITE, Access, GuestTables, Mapping
from pvisor.machine.frames import FramesExhaustedError, HypervisorFrames
from pvisor.machine.memory import PAGE_BYTES, GuestMemory

P, W, U, A, D = 1, 2, 4, 1 << 5, 1 << 6
NX = 1 << 63
FRAME = (1 << 52) - PAGE_BYTES
TABLE = P | W | U | A

HOLE_START = 0xFFFF_8000_0000_0000
HOLE_SLOT = HOLE_START >> 39 & 511
WINDOW = HOLE_START
"""A page of the hole, through which a frame's translations are found when they must be forgotten."""


class ShadowPaging:
    """One address space's shadow: that of the current virtual CR3."""

    def __init__(
        self, memory: GuestMemory, frames: HypervisorFrames, vcpu: UnicornVcpu, state: CpuState
    ) -> None:
        self._memory = memory
        self._frames = frames
        self._vcpu = vcpu
        self._state = state
        self.tables = GuestTables(state, memory.read, self.host_write)
        self._root = frames.allocate()
        self._window_table = self._build_hole()
        self._leaf_tables: dict[int, int] = {}
        self._inner: list[int] = []
        self._root_slots: set[int] = set()
        self._aliases: dict[int, set[int]] = {}
        self._executable: set[int] = set()
        self._translated: set[int] = set()  # frames whose code the engine may remember, mapped or not
        self._writable: set[int] = set()
        self._mixed: set[int] = set()
        self._large: set[tuple[int, int]] = set()  # large guest pages that were splintered: (shift, number)
        vcpu.set_root(self._root)

    def _build_hole(self) -> int:
        level3, level2, level1 = (self._frames.allocate() for _ in range(3))
        self._frames.set_entry(self._root, HOLE_SLOT, level3 | P | A)
        self._frames.set_entry(level3, 0, level2 | P | A)
        self._frames.set_entry(level2, 0, level1 | P | A)
        return level1

    # --- faults

    def fill(self, gva: int, access: Access, rip: int) -> None:
        """Serve a shadow fault: the guest's tables allow the access, so the shadow shall.

        Raises GuestFault with what the guest must get otherwise, DomainCrash where there is no memory.
        """
        if HOLE_START <= gva < HOLE_START + (1 << 43):
            raise DomainCrash(
                f"access to {gva:#x}, in the address range that the hypervisor keeps for itself"
            )
        mapping = self.tables.walk(gva, access)
        frame = mapping.gpa & ~0xFFF
        if frame >= self._memory.size_bytes:
            raise DomainCrash(
                f"access to guest-physical {mapping.gpa:#x} (address {gva:#x}): no RAM and no device is there"
            )
        table = self._table_with_room(gva)
        if access.fetch:
            self._make_executable(frame)
        elif access.write:
            self._make_writable(frame, rip)
        self._set_leaf(table, gva & ~0xFFF, frame, mapping)

    def _set_leaf(self, table: int, page: int, frame: int, mapping: Mapping) -> None:
        """The entry that W^X and dirty tracking allow right now."""
        mixed = frame in self._mixed
        executable = (frame in self._executable) and not mapping.no_execute
        writable = mapping.writable and mapping.dirty and (mixed or frame not in self._translated)
        entry = (
            frame
            | P
            | A
            | D
            | (U if mapping.user else 0)
            | (0 if executable else NX)
            | (W if writable else 0)
        )
        if writable:
            self._writable.add(frame)
        if mapping.page_shift > 12:
            self._large.add((mapping.page_shift, page >> mapping.page_shift))
        index = page >> 12 & 511
        was = self._frames.entry(table, index)
        self._frames.set_entry(table, index, entry)
        if was & P:
            self._vcpu.flush_tlb()
        self._aliases.setdefault(frame, set()).add(page)

    def _make_executable(self, frame: int) -> None:
        if frame in self._executable:
            return
        self._executable.add(frame)
        self._translated.add(frame)
        if frame in self._writable:
            self._writable.discard(frame)
            self._change_aliases(frame, clear=W, set_=0)

    def _make_writable(self, frame: int, rip: int) -> None:
        if frame not in self._translated or frame in self._mixed:
            return
        if frame in self._frames_of_instruction(rip):
            self._mixed.add(frame)
            self._vcpu.v.code_writable = 1
            self._forget(frame)
            return
        self.protect_from_host_write(frame)

    def protect_from_host_write(self, frame: int) -> None:
        """The frame's bytes are about to change: what was translated from it goes, and it is code no more."""
        if frame in self._translated:
            self._translated.discard(frame)
            self._executable.discard(frame)
            self._mixed.discard(frame)
            self._change_aliases(frame, clear=0, set_=NX)
            self._forget(frame)

    def _forget(self, frame: int) -> None:
        self._frames.set_entry(self._window_table, 0, frame | P | A)
        self._vcpu.forget_code(WINDOW)
        self._frames.set_entry(self._window_table, 0, 0)
        self._vcpu.flush_tlb()

    def _change_aliases(self, frame: int, *, clear: int, set_: int) -> None:
        for page in self._aliases.get(frame, ()):
            table = self._leaf_tables.get(page >> 21)
            if table is None:
                continue
            entry = self._frames.entry(table, page >> 12 & 511)
            if entry & P and entry & FRAME == frame:
                self._frames.set_entry(table, page >> 12 & 511, entry & ~clear | set_)
        self._vcpu.flush_tlb()

    def _frames_of_instruction(self, rip: int) -> set[int]:
        """The frames in which the instruction at rip may lie: one, or two where it may cross a page."""
        frames = set()
        for at in {rip & ~0xFFF, rip + MAX_INSN_BYTES - 1 & ~0xFFF}:
            try:
                frames.add(self.tables.walk(at, FETCH).gpa & ~0xFFF)
            except GuestFault:
                continue
        return frames

    # --- tables

    def _table_with_room(self, gva: int) -> int:
        """The last-level table of an address; when the pool is empty, everything else is dropped for it."""
        try:
            return self._leaf_table(gva & ~0xFFF)
        except FramesExhaustedError:
            self.drop_all()
            return self._leaf_table(gva & ~0xFFF)

    def _leaf_table(self, page: int) -> int:
        found = self._leaf_tables.get(page >> 21)
        if found is not None:
            return found
        table = self._root
        for shift in (39, 30, 21):
            index = page >> shift & 511
            entry = self._frames.entry(table, index)
            if not entry & P:
                entry = self._frames.allocate() | TABLE
                self._inner.append(entry & FRAME)
                if shift == 39:
                    self._root_slots.add(index)
                self._frames.set_entry(table, index, entry)
            table = entry & FRAME
        self._leaf_tables[page >> 21] = table
        return table

    def drop_all(self) -> None:
        """Forget every entry: CR3 was written, or what the tables mean has changed."""
        for slot in self._root_slots:
            self._frames.set_entry(self._root, slot, 0)
        for table in self._inner:
            self._frames.release(table)
        self._inner.clear()
        for known in (
            self._root_slots,
            self._leaf_tables,
            self._aliases,
            self._executable,
            self._writable,
            self._mixed,
            self._large,
        ):
            known.clear()
        self._vcpu.v.code_writable = 0
        self._vcpu.set_root(self._root)

    def drop(self, gva: int) -> None:
        """INVLPG: forget one page, or everything where a large guest page was splintered."""
        page = gva & ~0xFFF
        if any((shift, page >> shift) in self._large for shift in (21, 22, 30)):
            self.drop_all()
            return
        table = self._leaf_tables.get(page >> 21)
        if table is not None and self._frames.entry(table, page >> 12 & 511) & P:
            self._frames.set_entry(table, page >> 12 & 511, 0)
            self._vcpu.new_epoch()
            self._vcpu.flush_tlb()

    # --- memory as the guest's own CPU would reach it

    def host_write(self, gpa: int, data: bytes) -> None:
        """Write guest-physical memory on the guest's behalf; code that lies there is forgotten."""
        for frame in range(gpa & ~0xFFF, gpa + len(data), PAGE_BYTES):
            self.protect_from_host_write(frame)
        self._memory.write(gpa, data)

    def read_virtual(self, gva: int, n_bytes: int) -> bytes:
        """Read at an address as the virtual CPU does. Raises GuestFault."""
        return b"".join(self._memory.read(gpa, n) for gpa, n in self._pieces(gva, n_bytes, READ))

    def write_virtual(self, gva: int, data: bytes) -> None:
        """Write at an address as the virtual CPU does, all or nothing. Raises GuestFault."""
        done = 0
        for gpa, n in list(self._pieces(gva, len(data), WRITE)):
            self.host_write(gpa, data[done : done + n])
            done += n

    def _pieces(self, gva: int, n_bytes: int, access: Access) -> list[tuple[int, int]]:
        pieces = []
        at = gva
        while at < gva + n_bytes:
            n = min(PAGE_BYTES - (at & 0xFFF), gva + n_bytes - at)
            gpa = self.tables.walk(at, access).gpa
            if gpa + n > self._memory.size_bytes:
                raise DomainCrash(
                    f"the CPU accesses guest-physical {gpa:#x}, where there is no RAM and no device"
                )
            pieces.append((gpa, n))
            at += n
        return pieces


def access_of(error_code: int, vcpu: Vcpu) -> Access:
    """What was attempted, from the real error code. The guest kernel is a supervisor, really as well."""
    return FETCH if error_code & 16 else WRITE if error_code & 2 else READ
