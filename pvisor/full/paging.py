# SPDX-License-Identifier: GPL-2.0-or-later
"""Shadow paging: the tables in the real CR3 are ours, filled as the guest touches its address spaces.

The strategy is that of a virtual TLB. An entry is filled on the fault that misses it; INVLPG drops one; what
drops all is a change of what tables mean (CR0, CR4, EFER). A load of CR3 changes to another shadow, and both
are kept: the engine write-protects the guest tables that a shadow was made from, and a store into one makes
what it maps stale, which goes at the next load of that CR3 (cpu/shim/stale.c). Between the store and the load
old entries may be used, as hardware may, and the tables can be written to without a fault.

W^X: a frame is mapped writable or executable, never both, over all its aliases. Stores stay fast in the
engine that way, and a store into code is a fault, after which the frame is data. Its translations are
compared with it when it is executed again (cpu/shim/kept.c).

The policy is here: may this access be, and what may the entry allow? Its native twin is native/paging.c.
Twin of para/paging.py, where the guest's own tables are in CR3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pvisor.cpu.shim import ffi, lib
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.full.state import (
    CR0_PG,
    CR4_PAE,
    CR4_PCIDE,
    EFER_LMA,
    CpuState,
    GuestFault,
)
from pvisor.full.walk import FETCH, READ, USER_FETCH, USER_READ, USER_WRITE, WRITE, Access, GuestTables
from pvisor.machine.frames import HV_BASE, HypervisorFrames
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.machine.mmio import MmioBus

MAP_WRITABLE, MAP_USER, MAP_NO_EXECUTE, MAP_LARGE, MAP_WRITE, MAP_FETCH = 1, 2, 4, 8, 16, 32
MAP_SHIFT = 8
"""enum pv_fill (cpu/shim/types.h)."""
KEY_UNPAGED, KEY_PAGED, KEY_LONG, KEY_PAE, KEY_PCID, KEY_PCID_SHIFT = 1, 2, 4, 8, 16, 48
"""What names an address space (native/paging.c): with PCIDs, CR3's low 12 bits stand above any address."""
KEY_PCID_MASK = 0xFFF << KEY_PCID_SHIFT | KEY_PCID
U64_MAX = (1 << 64) - 1


class DeviceAccess(Exception):  # noqa: N818 - a way out, no error
    """The guest's tables lead to an address that is not RAM: a device's, or nobody's."""

    def __init__(self, gpa: int) -> None:
        super().__init__(gpa)
        self.gpa = gpa


class Ring(Protocol):
    """Who knows the virtual privilege level."""

    @property
    def cpl(self) -> int:
        """0 or 3."""


class ShadowPaging:
    """The shadows of one vCPU, and memory as its guest addresses it.

    `watcher` is told (address, size, is it a write) of operands while there are data breakpoints.
    """

    def __init__(
        self,
        memory: GuestMemory,
        frames: HypervisorFrames,
        vcpu: UnicornVcpu,
        state: CpuState,
        mmio: MmioBus,
    ) -> None:
        self._memory = memory
        self._vcpu = vcpu
        self._state = state
        self._mmio = mmio
        self.watcher: Callable[[int, int, bool], None] | None = None
        self._walked = ffi.new("uint64_t[4]")
        self.tables = GuestTables(state, memory, self._host_write_of_walker, self._walked)
        first, n_frames = frames.reserve_rest()
        vcpu.open_shadow((first - HV_BASE) // PAGE_BYTES, n_frames)
        self.switch()

    # --- address spaces

    def switch(self, *, keeps: bool = False) -> None:
        """CR3 was loaded, or paging began or ended: the shadow of these tables, in this mode, is current.

        Unless `keeps`, whatever is tagged with its PCID is flushed, of other tables, too (SDM 3A 4.10.4.1).
        """
        key = self._key()
        if key & KEY_PCID and not keeps:
            lib.pv_shadow_flush(self._vcpu.v, KEY_PCID_MASK, key & KEY_PCID_MASK)
        lib.pv_shadow_switch(self._vcpu.v, key, keeps)

    def _key(self) -> int:
        state = self._state
        if not state.cr0 & CR0_PG:
            return KEY_UNPAGED
        mode = KEY_PAGED | (KEY_LONG if state.efer & EFER_LMA else 0)
        mode |= KEY_PAE if state.cr4 & CR4_PAE else 0
        if state.cr4 & CR4_PCIDE:
            return state.cr3 & ~0xFFF | (state.cr3 & 0xFFF) << KEY_PCID_SHIFT | KEY_PCID | mode
        return state.cr3 & ~0x1F | mode

    def flush_all(self) -> None:
        """Forget what may be old in all address spaces, global pages, too: a change of CR4 does so."""
        lib.pv_shadow_flush(self._vcpu.v, 0, 0)

    def drop_all(self) -> None:
        """What tables mean has changed: forget every entry of every address space."""
        lib.pv_shadow_drop_all(self._vcpu.v)

    def drop(self, gva: int) -> None:
        """INVLPG: forget one page, or all of the large one splintered there; with PCIDs everywhere."""
        lib.pv_shadow_drop(self._vcpu.v, gva, bool(self._state.cr4 & CR4_PCIDE))

    def read_pdptes(self, gpa: int) -> list[int]:
        """The four entries that PAE paging keeps in the CPU."""
        return [self._memory.read_u64_or_0(gpa + 8 * i) for i in range(4)]

    # --- faults

    def fill(self, gva: int, access: Access, linear_rip: int) -> None:
        """Serve a shadow fault: the guest's tables allow the access, so the shadow shall.

        Raises GuestFault with what the guest must get otherwise, DeviceAccess where there is no RAM.
        """
        mapping = self.tables.walk(gva, access)
        if mapping.gpa >= self._memory.size_bytes:
            raise DeviceAccess(mapping.gpa)
        what = (
            (MAP_WRITABLE if mapping.writable and mapping.dirty else 0)
            | (MAP_USER if mapping.user else 0)
            | (MAP_NO_EXECUTE if mapping.no_execute else 0)
            | (MAP_LARGE | mapping.page_shift << MAP_SHIFT if mapping.page_shift > 12 else 0)
            | (MAP_WRITE if access.write else 0)
            | (MAP_FETCH if access.fetch else 0)
        )
        lib.pv_shadow_fill(self._vcpu.v, gva, mapping.gpa, what, linear_rip, self._walked, mapping.n_tables)

    # --- memory as the guest's own CPU would reach it

    def note(self, gva: int, n_bytes: int, *, is_write: bool) -> None:
        """An emulated instruction has accessed an operand: it may have met a breakpoint."""
        if self.watcher is not None:
            self.watcher(gva, n_bytes, is_write)

    def translate_now(self, ring: Ring) -> Callable[[int, bool], int]:
        """(linear address, is it a write) -> guest-physical address, at the ring's current level."""
        tables = self.tables

        def translate(gva: int, is_write: bool) -> int:
            if ring.cpl == 3:
                return tables.walk(gva, USER_WRITE if is_write else USER_READ).gpa
            return tables.walk(gva, WRITE if is_write else READ).gpa

        return translate

    def is_ram(self, gpa: int) -> bool:
        """Is there RAM at a guest-physical address?"""
        return gpa < self._memory.size_bytes

    def read(self, gpa: int, n_bytes: int) -> bytes:
        """A copy of guest-physical memory."""
        return self._memory.read(gpa, n_bytes)

    def write(self, gpa: int, data: bytes) -> None:
        """`host_write`, by the name that emulated instructions know."""
        self.host_write(gpa, data)

    def host_write(self, gpa: int, data: bytes) -> None:
        """Write guest-physical memory on the guest's behalf; code that lies there is forgotten."""
        self.host_writes(gpa, len(data))
        self._memory.write(gpa, data)

    def host_writes(self, gpa: int, n_bytes: int) -> None:
        """Somebody else than the guest's CPU writes to this memory about now, who does not ask here."""
        for frame in range(gpa & ~0xFFF, gpa + n_bytes, PAGE_BYTES):
            lib.pv_shadow_host_write(self._vcpu.v, frame, 0)

    def show(self, gpa: int, is_shown: bool) -> None:
        """Others read or write this frame from now on, or do so no more, while the guest does not run.

        Meanwhile it holds the guest's own bytes, whatever is replaced in its code, and nothing that the
        guest has run from it outlives the next exit.
        """
        lib.pv_shadow_show(self._vcpu.v, gpa, is_shown)

    def own_bytes(self, gpa: int, n_bytes: int) -> bytes:
        """A copy of guest-physical memory, with replaced instructions as the guest wrote them."""
        return self._vcpu.original_code(gpa, self._memory.read(gpa, n_bytes))

    def _host_write_of_walker(self, gpa: int, data: bytes) -> None:
        lib.pv_shadow_host_write(self._vcpu.v, gpa, 1)
        self._memory.write(gpa, data)

    def read_virtual(self, gva: int, n_bytes: int, access: Access = READ) -> bytes:
        """Read at a linear address as the virtual CPU does. Raises GuestFault."""
        return b"".join(
            self._memory.read(gpa, n) if gpa + n <= self._memory.size_bytes else self._mmio_bytes(gpa, n)
            for gpa, n in self._pieces(gva, n_bytes, access)
        )

    def write_virtual(self, gva: int, data: bytes, access: Access = WRITE) -> None:
        """Write at a linear address as the virtual CPU does, all or nothing. Raises GuestFault."""
        done = 0
        for gpa, n in self._pieces(gva, len(data), access):
            if gpa + n <= self._memory.size_bytes:
                self.host_write(gpa, data[done : done + n])
            else:
                for i in range(n):
                    self._mmio.write(gpa + i, 1, data[done + i])
            done += n

    def check_virtual(self, gva: int, n_bytes: int, access: Access) -> None:
        """Raise the GuestFault that an access would raise."""
        self._pieces(gva, n_bytes, access)

    def push_virtual(self, gva: int, frame: bytes, width: int, access: Access) -> None:
        """Write words as pushes do, from the highest on, or none: CR2 names the highest that faults."""
        try:
            self.write_virtual(gva, frame, access)
        except GuestFault:
            for word_at in reversed(range(gva, gva + len(frame), width)):
                self.tables.walk(word_at & U64_MAX, access)
            raise

    def _mmio_bytes(self, gpa: int, n_bytes: int) -> bytes:
        return bytes(self._mmio.read(gpa + i, 1) for i in range(n_bytes))

    def _pieces(self, gva: int, n_bytes: int, access: Access) -> list[tuple[int, int]]:
        pieces = []
        at, end = gva, gva + n_bytes
        while at < end:
            n = min(PAGE_BYTES - (at & 0xFFF), end - at)
            pieces.append((self.tables.walk(at & U64_MAX, access).gpa, n))
            at += n
        return pieces


def access_of(error_code: int) -> Access:
    """What was attempted, from the real error code: kernel and user are really supervisor and user."""
    if error_code & 4:
        return USER_FETCH if error_code & 16 else USER_WRITE if error_code & 2 else USER_READ
    return FETCH if error_code & 16 else WRITE if error_code & 2 else READ
