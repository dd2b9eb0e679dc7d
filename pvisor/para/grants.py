# SPDX-License-Identifier: GPL-2.0-or-later
"""Grants: frames that a domain lets others use. The rules; the calls are in grant_calls.py.

A domain is granter of its grants and mapper of its window's slots. A mapping holds the grant, and through it
the granter's memory, so a frame lives for as long as anybody has it mapped, whoever dies meanwhile. There is
no twin: PCs share no memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pvisor.abi import errnos
from pvisor.abi.areas import events, grants
from pvisor.domain.meeting import Meeting
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.refusal import invalid, refused

WINDOW, N_SLOTS = grants.WINDOW.number, grants.SLOTS.number
MAX_GRANTS = grants.MAX_GRANTS.number
MAX_MAPPED = 1 << 14
"""Most slots of all domains together. Each may cost the host two mappings, of which Linux gives 65,530."""
READ_ONLY = grants.READ_ONLY.number
HOST, SELF = events.DOMID_HOST.number, events.DOMID_SELF.number

_INDEX_BITS = 12
_GENERATIONS = 1 << 19
"""A gref is an index below a generation, so a number comes again only after so many grants in its place."""


class FrameHolder(Protocol):
    """Who knows what a domain's frames, and the slots of its window, are used for (frames.py)."""

    def hold(self, frame: int, *, writable: bool) -> None:
        """Keep a frame from being given back; with `writable` also from being a table.

        Raises GuestError: EINVAL where there is no RAM, ENOENT for a frame that was given back, EBUSY for
        a table.
        """

    def drop(self, frame: int, *, writable: bool) -> None:
        """One `hold` less."""

    def show(self, frame: int) -> None:
        """Who is not the domain's own CPU begins to read or write a held frame."""

    def hide(self, frame: int) -> None:
        """One `show` less."""

    def open_slot(self, slot: int, *, writable: bool) -> int:
        """Entries may name this slot of the window from now on, with these rights. Its GPA."""

    def close_slot(self, slot: int) -> None:
        """No longer. Raises GuestError (EBUSY), and nothing has changed, while one does."""


class FixedFrames:
    """For a domain that cannot change its tables: these frames may be shown, and not written."""

    def __init__(self, *tables: range) -> None:
        self._tables = tables

    def hold(self, frame: int, *, writable: bool) -> None:
        """Nothing can happen to it. Raises GuestError (EBUSY)."""
        if writable and any(frame in tables for tables in self._tables):
            raise refused(errnos.EBUSY)

    def drop(self, frame: int, *, writable: bool) -> None:
        """Nothing could."""

    def show(self, frame: int) -> None:
        """Nobody is to be told."""

    def hide(self, frame: int) -> None:
        """Nobody was."""

    def open_slot(self, slot: int, *, writable: bool) -> int:
        """No entry will."""
        return WINDOW + slot * PAGE_BYTES

    def close_slot(self, slot: int) -> None:
        """No entry did."""


class Window(Protocol):
    """How a domain's vCPUs see the grant window (cpu/grant_window.py)."""

    def map(self, slot: int, memory: GuestMemory, gpa: int, *, writable: bool) -> bool:
        """Put a frame into a free slot. False: the host does not allow it."""

    def unmap(self, slot: int) -> None:
        """Empty a slot."""


class NoWindow:
    """For a domain without a CPU."""

    def map(self, slot: int, memory: GuestMemory, gpa: int, *, writable: bool) -> bool:
        """Nobody looks."""
        return True

    def unmap(self, slot: int) -> None:
        """Nobody looked."""


@dataclass(slots=True, eq=False)
class Grant:
    """One grant. `grantee` None: it is for the host. Two counts say how often it is mapped now."""

    gref: int
    granter: GrantTable
    grantee: GrantTable | None
    gpa: int
    read_only: bool
    n_readers: int = 0
    n_writers: int = 0

    @property
    def memory(self) -> GuestMemory:
        """The memory that the frame is in."""
        return self.granter.memory

    def acquire(self, *, writable: bool) -> None:
        """One mapping more."""
        if writable:
            self.n_writers += 1
        else:
            self.n_readers += 1
        self.granter.frames.show(self.gpa // PAGE_BYTES)

    def let_go(self, *, writable: bool) -> None:
        """One mapping less."""
        if writable:
            self.n_writers -= 1
        else:
            self.n_readers -= 1
        self.granter.frames.hide(self.gpa // PAGE_BYTES)


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A mapped slot."""

    grant: Grant
    writable: bool


class Numbers:
    """Free numbers below `n`, those that were used longest ago last."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._next = 0
        self._freed: deque[int] = deque()

    def take(self) -> int | None:
        """One of them, or None."""
        if self._next < self._n:
            self._next += 1
            return self._next - 1
        return self._freed.popleft() if self._freed else None

    def give_back(self, number: int) -> None:
        """It is free again."""
        self._freed.append(number)


class GrantTable:
    """The grants of one domain, and the slots of its window. Made by `GrantHub.add`."""

    def __init__(self, hub: GrantHub, domid: int, memory: GuestMemory, frames: FrameHolder,
                 window: Window) -> None:  # fmt: skip
        self.hub = hub
        self.meeting = hub.meeting
        self.domid = domid
        self.memory = memory
        self.frames = frames
        """Who is told what its frames are used for."""
        self._window = window
        self._grants: dict[int, Grant] = {}
        self._indices = Numbers(MAX_GRANTS)
        self._generations: dict[int, int] = {}
        self._slots: dict[int, Slot] = {}
        self._free_slots = Numbers(N_SLOTS)

    # --- as granter

    def create(self, domid: int, gpa: int, *, read_only: bool) -> Grant:
        """Grant a frame to a domain. Raises GuestError: EINVAL, ENOENT, EBUSY, ENOSPC."""
        gfn = self.own_frame(gpa)
        grantee = None if domid == HOST else self.hub.table_of(self._real(domid))
        if len(self._grants) == MAX_GRANTS:
            raise refused(errnos.ENOSPC)
        self.frames.hold(gfn, writable=not read_only)
        index = self._indices.take()
        assert index is not None
        generation = self._generations[index] = self._generations.get(index, 0) % _GENERATIONS + 1
        grant = Grant(generation << _INDEX_BITS | index, self, grantee, gpa, read_only)
        self._grants[grant.gref] = grant
        return grant

    def own_frame(self, gpa: int) -> int:
        """The frame number of an address that is a frame of this domain's RAM. Raises GuestError (EINVAL)."""
        if gpa % PAGE_BYTES or gpa + PAGE_BYTES > self.memory.size_bytes:
            raise invalid()
        return gpa // PAGE_BYTES

    def find(self, gref: int) -> Grant:
        """A grant of this domain. Raises GuestError (ENOENT)."""
        grant = self._grants.get(gref)
        if grant is None:
            raise refused(errnos.ENOENT)
        return grant

    def revoke(self, gref: int) -> None:
        """Take a grant back. Raises GuestError: ENOENT, EBUSY while it is mapped."""
        grant = self.find(gref)
        if grant.n_readers or grant.n_writers:
            raise refused(errnos.EBUSY)
        self._forget(grant)

    def _forget(self, grant: Grant) -> None:
        del self._grants[grant.gref]
        self._indices.give_back(grant.gref & (1 << _INDEX_BITS) - 1)
        self.frames.drop(grant.gpa // PAGE_BYTES, writable=not grant.read_only)

    # --- as mapper

    def granted(self, domid: int, gref: int, *, writable: bool) -> Grant:
        """A grant for this domain, of any domain. Raises GuestError: ENOENT, EPERM."""
        self.meeting.need_for(self.domid, self._real(domid))
        grant = self.hub.table_of(self._real(domid)).find(gref)
        if grant.grantee is not self or (writable and grant.read_only):
            raise refused(errnos.EPERM)
        return grant

    def map(self, domid: int, gref: int, *, writable: bool) -> int:
        """Map a grant; the GPA of its slot. Raises GuestError: ENOENT, EPERM, ENOSPC."""
        grant = self.granted(domid, gref, writable=writable)
        if self.hub.may_be_full:
            self.meeting.need()  # others map meanwhile, and who is refused must not depend on who was faster
        if self.hub.n_mapped >= MAX_MAPPED:
            raise refused(errnos.ENOSPC)
        number = self._free_slots.take()
        if number is None:
            raise refused(errnos.ENOSPC)
        if not self._window.map(number, grant.memory, grant.gpa, writable=writable):
            self._free_slots.give_back(number)
            raise refused(errnos.ENOSPC)
        grant.acquire(writable=writable)
        self.meeting.tie(self.domid, grant.granter.domid)
        self._slots[number] = Slot(grant, writable)
        return self.frames.open_slot(number, writable=writable)

    def unmap(self, gpa: int) -> None:
        """Empty a slot. Raises GuestError: EINVAL, ENOENT, EBUSY while an entry names it."""
        number, offset = divmod(gpa - WINDOW, PAGE_BYTES)
        if offset or not 0 <= number < N_SLOTS:
            raise invalid()
        slot = self._slots.get(number)
        if slot is None:
            raise refused(errnos.ENOENT)
        self.meeting.need_for(self.domid, slot.grant.granter.domid)
        self.frames.close_slot(number)
        self._window.unmap(number)
        del self._slots[number]
        self._free_slots.give_back(number)
        self._let_go(slot)

    def _let_go(self, slot: Slot) -> None:
        slot.grant.let_go(writable=slot.writable)
        self.meeting.untie(self.domid, slot.grant.granter.domid)

    @property
    def n_mapped(self) -> int:
        """How many slots are used."""
        return len(self._slots)

    # --- both

    def hold_frame(self, gfn: int, *, writable: bool) -> None:
        """Keep a frame of this domain as it is. Raises GuestError: EINVAL, ENOENT, EBUSY."""
        self.frames.hold(gfn, writable=writable)

    def drop_frame(self, gfn: int, *, writable: bool) -> None:
        """One `hold_frame` less."""
        self.frames.drop(gfn, writable=writable)

    def _real(self, domid: int) -> int:
        return self.domid if domid == SELF else domid

    @property
    def counts(self) -> Mapping[str, int]:
        """How much there is of what can leak."""
        return {
            "grants": len(self._grants),
            "slots": len(self._slots),
            "readers": sum(grant.n_readers for grant in self._grants.values()),
            "writers": sum(grant.n_writers for grant in self._grants.values()),
        }

    def close(self) -> None:
        """The domain dies: its mappings go, its grants can be mapped no more. Its engines never run again."""
        for slot in self._slots.values():
            self._let_go(slot)
        self._slots.clear()
        for grant in list(self._grants.values()):
            self._forget(grant)
        self.frames = FixedFrames()  # who has a frame mapped may write on, and no engine is left to be told


class HostMapping:
    """A granted page in use by a backend of the host. `page` can be written if it was asked for."""

    def __init__(self, grant: Grant, *, writable: bool) -> None:
        self._grant: Grant | None = grant
        self._writable = writable
        view = grant.memory.view(grant.gpa, PAGE_BYTES)
        self.page = view if writable else view.toreadonly()

    def close(self) -> None:
        """Let go of the page. A second time has no effect."""
        if self._grant is not None:
            self.page.release()
            self._grant.let_go(writable=self._writable)
            self._grant = None


class GrantHub:
    """All domains' grants. `meeting` says who of them runs side by side."""

    def __init__(self, meeting: Meeting | None = None) -> None:
        self.meeting = meeting or Meeting()
        self._tables: dict[int, GrantTable] = {}

    def add(self, domid: int, memory: GuestMemory, frames: FrameHolder | None = None,
            window: Window | None = None) -> GrantTable:  # fmt: skip
        """A domain begins. Raises ValueError when its number is taken or its RAM reaches into the window."""
        if domid in self._tables or domid in (HOST, SELF):
            raise ValueError(f"domain number {domid} is taken")
        if memory.size_bytes > WINDOW:
            raise ValueError(f"{memory.size_bytes} bytes of RAM reach into the grant window")
        table = GrantTable(self, domid, memory, frames or FixedFrames(), window or NoWindow())
        self._tables[domid] = table
        return table

    def remove(self, domid: int) -> None:
        """A domain has died. A second time has no effect."""
        table = self._tables.pop(domid, None)
        if table is not None:
            table.close()

    @property
    def may_be_full(self) -> bool:
        """Are there so many domains that their slots together can come to the bound?"""
        return len(self._tables) * N_SLOTS > MAX_MAPPED

    @property
    def n_mapped(self) -> int:
        """How many slots are used, of all domains."""
        return sum(table.n_mapped for table in tuple(self._tables.values()))

    def table_of(self, domid: int) -> GrantTable:
        """A living domain's. Raises GuestError (ENOENT)."""
        table = self._tables.get(domid)
        if table is None:
            raise refused(errnos.ENOENT)
        return table

    def host_grant(self, domid: int, gref: int, *, writable: bool) -> Grant:
        """A grant for the host. Raises GuestError: ENOENT, EPERM."""
        grant = self.table_of(domid).find(gref)
        if grant.grantee is not None or (writable and grant.read_only):
            raise refused(errnos.EPERM)
        return grant

    def host_map(self, domid: int, gref: int, *, writable: bool) -> HostMapping:
        """Use a granted page in the host. Raises GuestError: ENOENT, EPERM. Close it, whoever dies."""
        grant = self.host_grant(domid, gref, writable=writable)
        grant.acquire(writable=writable)
        return HostMapping(grant, writable=writable)
