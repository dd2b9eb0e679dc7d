# SPDX-License-Identifier: GPL-2.0-or-later
"""Grants against a plain model: any order of calls of three domains, of page-table entries and of deaths."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pvisor.abi.errnos import EBUSY, ENOENT, EPERM
from pvisor.para.grants import WINDOW, HostMapping
from pvisor.para.refusal import GuestError
from tests.para.grant_world import PAGE_BYTES, One, World, page_of

DOMAINS = st.sampled_from((1, 2, 3))
PEERS = st.sampled_from((0, 1, 2, 3))
FRAMES = st.sampled_from((0x8000, 0x9000, 0xA000))
_NOENT, _PERM, _BUSY = -ENOENT.number, -EPERM.number, -EBUSY.number


@dataclass
class Given:
    """What the model knows of a grant."""

    granter: int
    grantee: int
    frame: int
    read_only: bool
    mapped: list[tuple[int, bool]] = field(default_factory=list)
    """Mapper (0: the host), and whether it writes."""


@dataclass
class Seen:
    """What it knows of a slot."""

    given: Given
    writable: bool
    n_entries: int = 0


class GrantMachine(RuleBasedStateMachine):
    """The model is a set of facts; each call's result follows from it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.given: dict[tuple[int, int], Given] = {}
        self.slots: dict[tuple[int, int], Seen] = {}
        self.stale: list[tuple[int, int]] = [(1, 1), (2, 4097)]
        self.hosts: list[tuple[HostMapping, Given]] = []
        self.dead: set[int] = set()

    def one(self, domid: int) -> One:
        return self.world.domains[domid - 1]

    def pick(self, data: st.DataObject) -> tuple[int, int]:
        """A gref, of now or of once."""
        known = sorted(set(self.given) | set(self.stale))
        return data.draw(st.sampled_from(known))

    @rule(domid=DOMAINS, peer=PEERS, frame=FRAMES, read_only=st.booleans())
    def create(self, domid: int, peer: int, frame: int, read_only: bool) -> None:
        if domid in self.dead:
            return
        result = self.one(domid).create(peer, frame, int(read_only))
        if peer in self.dead:
            assert result == _NOENT
            return
        assert result > 0 and (domid, result) not in self.given
        self.given[domid, result] = Given(domid, peer, frame, read_only)

    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        domid, gref = self.pick(data)
        if domid in self.dead:
            return
        given = self.given.get((domid, gref))
        result = self.one(domid).revoke(gref)
        if given is None:
            assert result == _NOENT
        elif given.mapped:
            assert result == _BUSY
        else:
            assert result == 0
            del self.given[domid, gref]
            self.stale.append((domid, gref))

    @rule(data=st.data(), mapper=DOMAINS, read_only=st.booleans())
    def map(self, data: st.DataObject, mapper: int, read_only: bool) -> None:
        domid, gref = self.pick(data)
        if mapper in self.dead:
            return
        given = self.given.get((domid, gref))
        result = self.one(mapper).map(domid, gref, int(read_only))
        if given is None:
            assert result == _NOENT
        elif given.grantee != mapper or (given.read_only and not read_only):
            assert result == _PERM
        else:
            assert result >= WINDOW and (mapper, result) not in self.slots
            self.slots[mapper, result] = Seen(given, not read_only)
            given.mapped.append((mapper, not read_only))

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def unmap(self, data: st.DataObject) -> None:
        mapper, gpa = data.draw(st.sampled_from(sorted(self.slots)))
        seen = self.slots[mapper, gpa]
        result = self.one(mapper).unmap(gpa)
        if seen.n_entries:
            assert result == _BUSY
            return
        assert result == 0
        del self.slots[mapper, gpa]
        seen.given.mapped.remove((mapper, seen.writable))
        assert self.one(mapper).unmap(gpa) == _NOENT

    @precondition(lambda self: self.slots)
    @rule(data=st.data(), adds=st.booleans())
    def entry(self, data: st.DataObject, adds: bool) -> None:
        """An entry of a page table names a slot, or no longer."""
        mapper, gpa = data.draw(st.sampled_from(sorted(self.slots)))
        seen = self.slots[mapper, gpa]
        seen.n_entries = max(0, seen.n_entries + (1 if adds else -1))
        self.one(mapper).frames.entries[(gpa - WINDOW) // PAGE_BYTES] = seen.n_entries

    @rule(data=st.data(), writable=st.booleans())
    def host_maps(self, data: st.DataObject, writable: bool) -> None:
        domid, gref = self.pick(data)
        given = self.given.get((domid, gref))
        try:
            mapping = self.world.hub.host_map(domid, gref, writable=writable)
        except GuestError as error:
            assert error.result == (_NOENT if given is None else _PERM)
            assert given is None or given.grantee != 0 or (writable and given.read_only)
        else:
            assert given is not None
            given.mapped.append((0, writable))
            self.hosts.append((mapping, given))

    @precondition(lambda self: self.hosts)
    @rule()
    def host_unmaps(self) -> None:
        mapping, given = self.hosts.pop(0)
        given.mapped.remove((0, mapping._writable))
        mapping.close()

    @rule(domid=DOMAINS, really=st.integers(0, 9))
    def dies(self, domid: int, really: int) -> None:
        if really or domid in self.dead:
            return
        self.dead.add(domid)
        self.world.hub.remove(domid)
        for key in [key for key in self.slots if key[0] == domid]:
            seen = self.slots.pop(key)
            seen.given.mapped.remove((domid, seen.writable))
        for key in [key for key in self.given if key[0] == domid]:
            del self.given[key]
            self.stale.append(key)

    @invariant()
    def counts_agree(self) -> None:
        for one in self.world.domains:
            mine = [given for given in self.given.values() if given.granter == one.domid]
            slots = [seen for (mapper, _), seen in self.slots.items() if mapper == one.domid]
            assert one.table.counts == {
                "grants": len(mine),
                "slots": len(slots),
                "readers": sum(not writes for given in mine for _, writes in given.mapped),
                "writers": sum(writes for given in mine for _, writes in given.mapped),
            }
            assert one.frames.n_held == len(mine)

    @invariant()
    def each_slot_shows_its_frame(self) -> None:
        for (mapper, gpa), seen in self.slots.items():
            page = page_of(self.one(mapper).table, gpa)
            granter = self.one(seen.given.granter)
            mark = bytes((mapper, gpa // PAGE_BYTES & 0xFF, seen.given.granter))
            granter.memory.write(seen.given.frame, mark)
            assert page is not None and bytes(page[:3]) == mark


TestGrantMachine = GrantMachine.TestCase
TestGrantMachine.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
