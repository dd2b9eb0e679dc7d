# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold of shadow tables, whatever the guest has done: the proof that it is isolated.

`Shadows` walks every table that the hypervisor keeps, those of address spaces that are not in use as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.full.state import CpuState, GuestFault
from pvisor.full.walk import READ, USER_READ, USER_WRITE, WRITE, GuestTables
from pvisor.machine.frames import HV_BASE, HypervisorFrames
from pvisor.machine.memory import PAGE_BYTES, GuestMemory

P, W, U, PS, NX = 1, 2, 4, 0x80, 1 << 63
FRAME = 0x000F_FFFF_FFFF_F000
N_ROOTS, N_MIXED = 16, 8
"""As in cpu/shim/shadow.h."""


class Page(NamedTuple):
    """A present entry of the last level."""

    root: int
    gva: int
    gpa: int
    writable: bool
    user: bool
    executable: bool


class Shadows:
    """All shadow tables of one vCPU."""

    def __init__(self, frames: HypervisorFrames, memory: GuestMemory, vcpu: UnicornVcpu) -> None:
        self._frames = frames
        self._memory = memory
        self._vcpu = vcpu

    def pages(self) -> Iterator[Page]:
        """Every page of every address space."""
        seen: set[int] = set()
        for root in range(N_ROOTS):
            yield from self._pages(root, HV_BASE + root * PAGE_BYTES, 39, 0, W | U, seen)

    def _pages(self, root: int, table: int, shift: int, gva: int, rights: int,
               seen: set[int]) -> Iterator[Page]:  # fmt: skip
        frames = self._frames
        assert HV_BASE <= table < HV_BASE + frames.size_bytes, f"a table at {table:#x}"
        assert table not in seen, f"table {table:#x} has two parents"
        seen.add(table)
        at = table - HV_BASE
        if not any(frames.buffer[at : at + PAGE_BYTES]):
            return
        for index in range(512):
            entry = frames.entry(table, index)
            if not entry & P:
                continue
            below = gva | index << shift
            if shift == 39 and index >= 256:
                below |= 0xFFFF << 48
            below_rights = rights & entry
            if shift == 12:
                yield Page(root, below, entry & FRAME, bool(below_rights & W), bool(below_rights & U),
                           not entry & NX)  # fmt: skip
            else:
                assert not entry & PS
                yield from self._pages(root, entry & FRAME, shift - 9, below, below_rights, seen)

    def check(self) -> None:
        """Only RAM is mapped, no frame of the hypervisor; W^X; no patch where a store would not be seen."""
        writable: dict[int, list[Page]] = {}
        executable: set[int] = set()
        for page in self.pages():
            assert page.gpa < self._memory.size_bytes, f"{page}: beyond RAM"
            if page.writable:
                writable.setdefault(page.gpa, []).append(page)
            if page.executable:
                executable.add(page.gpa)
        mixed = [page for gpa in writable.keys() & executable for page in writable[gpa]]
        assert all(page.executable for page in mixed), f"writable elsewhere: {mixed}"
        assert len(mixed) <= N_MIXED
        if self._vcpu.patches[0]:
            self._check_patches(set(writable), {page.gpa for page in mixed})

    def _check_patches(self, writable: set[int], mixed: set[int]) -> None:
        """Each is a HLT over another byte, in a frame that cannot be written to, or in a mixed one."""
        n_patches = 0
        for gpa in range(0, self._memory.size_bytes, PAGE_BYTES):
            now = self._memory.read(gpa, PAGE_BYTES)
            own = self._vcpu.original_code(gpa, now)
            if now == own:
                continue
            patched = [i for i in range(PAGE_BYTES) if now[i] != own[i]]
            n_patches += len(patched)
            assert all(now[i] == 0xF4 for i in patched)
            assert gpa not in writable or gpa in mixed, f"patches in {gpa:#x}, which is writable"
        assert n_patches == self._vcpu.patches[0] or mixed, "a patch is not over its byte"

    def check_tables(self, state: CpuState) -> None:
        """The current shadow allows what the guest's tables do, if what they were has been invalidated."""
        tables = GuestTables(state, self._memory, lambda gpa, data: None, [0] * 4)
        for page in self.pages():
            if HV_BASE + page.root * PAGE_BYTES != self._vcpu.v.cr3:
                continue
            write, read = (USER_WRITE, USER_READ) if page.user else (WRITE, READ)
            try:
                mapping = tables.walk(page.gva, write if page.writable else read)
                is_dirty = tables.walk(page.gva, read).dirty
            except GuestFault as fault:
                raise AssertionError(f"{page}: the guest has {fault}") from fault
            assert mapping.gpa == page.gpa and mapping.user >= page.user, (page, mapping)
            assert is_dirty or not page.writable, f"{page}: a first store would set no dirty bit"
            is_mixed = page.writable and page.executable  # stores into code are seen there only
            assert is_mixed or not (page.executable and mapping.no_execute), page
