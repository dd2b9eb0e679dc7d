# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains on one grant hub, with no CPU, and a frame holder that keeps count."""

from __future__ import annotations

from collections import Counter

from pvisor.abi import errnos
from pvisor.abi.areas import grants as rows
from pvisor.abi.areas.grants import WINDOW
from pvisor.abi.features import GRANT_MAP, GRANTS
from pvisor.abi.model import Hypercall
from pvisor.cpu.exits import ExitReason
from pvisor.domain.domain import Domain, handle_exit
from pvisor.domain.outcome import Outcome
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.cpu import ParaWing
from pvisor.para.grant_calls import Grants
from pvisor.para.grants import GrantHub, GrantTable
from pvisor.para.refusal import GuestError
from tests.domain.fakes import MEMORY_BYTES, FakeExit, FakeVcpu

TABLE_GFN, ABSENT_GFN = 0x10, 0x11
"""A page table, and a frame that was given back, in each domain."""
SCRATCH = 0x2_0000
"""Where arguments are put."""


class CountingFrames:
    """Knows one table and one released frame."""

    def __init__(self) -> None:
        self.held: Counter[tuple[int, bool]] = Counter()
        self.shown: Counter[int] = Counter()
        self.slots: dict[int, bool] = {}
        self.entries: Counter[int] = Counter()

    def hold(self, frame: int, *, writable: bool) -> None:
        if frame == ABSENT_GFN:
            raise GuestError(errnos.ENOENT)
        if frame == TABLE_GFN and writable:
            raise GuestError(errnos.EBUSY)
        self.held[frame, writable] += 1

    def drop(self, frame: int, *, writable: bool) -> None:
        assert self.held[frame, writable] > 0
        self.held[frame, writable] -= 1

    def show(self, frame: int) -> None:
        assert self.held[frame, True] + self.held[frame, False] > 0
        self.shown[frame] += 1

    def hide(self, frame: int) -> None:
        assert self.shown[frame] > 0
        self.shown[frame] -= 1

    def open_slot(self, slot: int, *, writable: bool) -> int:
        assert slot not in self.slots
        self.slots[slot] = writable
        self.entries[slot] = 0
        return WINDOW.number + slot * PAGE_BYTES

    def close_slot(self, slot: int) -> None:
        if self.entries[slot]:
            raise GuestError(errnos.EBUSY)
        del self.slots[slot]

    @property
    def n_held(self) -> int:
        return sum(self.held.values())


class One:
    """A domain, and its calls by name."""

    def __init__(self, hub: GrantHub, domid: int) -> None:
        self.domid = domid
        self.memory = GuestMemory(MEMORY_BYTES)
        self.frames = CountingFrames()
        self.table: GrantTable = hub.add(domid, self.memory, self.frames)
        self.vcpu = FakeVcpu(self.memory)
        wing = ParaWing(GRANTS.mask | GRANT_MAP.mask, (Grants(self.table).served,))
        self.domain = Domain(domid, f"d{domid}", self.memory, wing, [self.vcpu])

    def call(self, call: Hypercall, *args: int) -> int:
        """Make a hypercall; its result."""
        filled = [*args, *(0x5EED for _ in range(5 - len(args)))]
        exit = FakeExit(reason=ExitReason.HYPERCALL, number=call.nr, args=filled)
        assert handle_exit(self.domain, self.vcpu, exit) is Outcome.RESUME
        return exit.result

    def create(self, domid: int, gpa: int, flags: int = 0) -> int:
        return self.call(rows.GRANT_CREATE, domid, gpa, flags)

    def revoke(self, gref: int) -> int:
        return self.call(rows.GRANT_REVOKE, gref)

    def map(self, domid: int, gref: int, flags: int = 0) -> int:
        return self.call(rows.GRANT_MAP, domid, gref, flags)

    def unmap(self, gpa: int) -> int:
        return self.call(rows.GRANT_UNMAP, gpa)

    def status(self, gref: int, info: int = SCRATCH) -> int:
        return self.call(rows.GRANT_STATUS, gref, info)


class World:
    """Domains 1, 2 and 3."""

    def __init__(self) -> None:
        self.hub = GrantHub()
        self.one, self.two, self.three = (One(self.hub, domid) for domid in (1, 2, 3))

    @property
    def domains(self) -> tuple[One, One, One]:
        return self.one, self.two, self.three


def is_clean(world: World) -> bool:
    """Are all counts where they began?"""
    counts = [count for one in world.domains for count in one.table.counts.values()]
    return not any(counts) and not any(one.frames.n_held for one in world.domains)


__all__ = ["ABSENT_GFN", "PAGE_BYTES", "SCRATCH", "TABLE_GFN", "CountingFrames", "One", "World", "is_clean"]


def page_of(table: GrantTable, gpa: int) -> memoryview | None:
    """The page behind a mapped slot; None where there is none."""
    slot = table._slots.get(gpa - WINDOW.number >> 12)
    return None if slot is None else slot.grant.memory.view(slot.grant.gpa, PAGE_BYTES)
