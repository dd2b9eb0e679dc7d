# SPDX-License-Identifier: GPL-2.0-or-later
"""Grants by their calls, with no CPU: what is allowed, what is refused, who may die when."""

from __future__ import annotations

import pytest

from pvisor.abi.areas import events, grants
from pvisor.abi.errnos import EBUSY, EFAULT, EINVAL, ENOENT, ENOSPC, EPERM
from pvisor.abi.layout import sizeof, unpack
from pvisor.domain.meeting import MustMeetError
from pvisor.machine.memory import GuestMemory
from pvisor.para.grants import GrantHub
from pvisor.para.refusal import GuestError
from tests.domain.fakes import MEMORY_BYTES
from tests.para.grant_world import ABSENT_GFN, PAGE_BYTES, SCRATCH, TABLE_GFN, One, World, is_clean, page_of

HOST, SELF = events.DOMID_HOST.number, events.DOMID_SELF.number
RO = grants.READ_ONLY.number
WINDOW, SLOTS = grants.WINDOW.number, grants.SLOTS.number
U32, U64 = (1 << 32) - 1, (1 << 64) - 1
FRAME = 0x8000
_INVAL, _NOENT, _PERM = -EINVAL.number, -ENOENT.number, -EPERM.number
_BUSY, _NOSPC, _FAULT = -EBUSY.number, -ENOSPC.number, -EFAULT.number


@pytest.fixture
def world() -> World:
    return World()


def test_grant_map_unmap_revoke(world: World) -> None:
    one, two = world.one, world.two
    gref = one.create(2, FRAME)
    assert gref > 0 and one.frames.held[FRAME >> 12, True] == 1
    gpa = two.map(1, gref)
    assert gpa == WINDOW
    page = page_of(two.table, gpa)
    assert page is not None
    page[:4] = b"seen"
    assert one.memory.read(FRAME, 4) == b"seen"
    assert one.revoke(gref) == _BUSY
    assert two.unmap(gpa) == 0
    assert one.revoke(gref) == 0
    assert is_clean(world)


@pytest.mark.parametrize(
    ("args", "result"),
    [
        ((2, FRAME + 1, 0), _INVAL),
        ((2, MEMORY_BYTES, 0), _INVAL),
        ((2, U64 & ~0xFFF, 0), _INVAL),
        ((2, U64, 0), _INVAL),
        ((2, WINDOW, 0), _INVAL),
        ((2, FRAME, 2), _INVAL),
        ((2, FRAME, 1 << 32), _INVAL),
        ((1 << 32, FRAME, 0), _INVAL),
        ((4, FRAME, 0), _NOENT),
        ((U32, FRAME, 0), _NOENT),
        ((2, TABLE_GFN << 12, 0), _BUSY),
        ((2, ABSENT_GFN << 12, RO), _NOENT),
    ],
)
def test_create_is_refused(world: World, args: tuple[int, int, int], result: int) -> None:
    assert world.one.create(*args) == result
    assert is_clean(world)


def test_a_table_may_be_shown(world: World) -> None:
    assert world.one.create(2, TABLE_GFN << 12, RO) > 0


@pytest.mark.parametrize("domid", [1, SELF, HOST, 2])
def test_for_whom(world: World, domid: int) -> None:
    gref = world.one.create(domid, FRAME, RO)
    assert gref > 0
    assert world.one.status(gref) == 0
    info = unpack("pv_grant_info", world.one.memory.read(SCRATCH, sizeof("pv_grant_info")))
    assert info == {
        "gpa": FRAME, "domid": 1 if domid == SELF else domid, "flags": RO, "n_readers": 0, "n_writers": 0,
    }  # fmt: skip


def test_status_counts_mappings(world: World) -> None:
    gref = world.one.create(2, FRAME)
    for flags in (0, 0, RO):
        assert world.two.map(1, gref, flags) >= WINDOW
    assert world.one.status(gref) == 0
    info = unpack("pv_grant_info", world.one.memory.read(SCRATCH, sizeof("pv_grant_info")))
    assert (info["n_readers"], info["n_writers"]) == (1, 2)


def test_status_is_refused(world: World) -> None:
    gref = world.one.create(2, FRAME)
    assert world.one.status(gref + 1) == _NOENT
    assert world.one.status(1 << 32) == _INVAL
    world.one.vcpu.read_only.add(SCRATCH)
    assert world.one.status(gref) == _FAULT
    assert world.two.status(gref) == _NOENT


@pytest.mark.parametrize(
    ("domid", "gref", "flags", "result"),
    [
        (1, 0, 0, _NOENT),
        (1, U32, 0, _NOENT),
        (4, None, 0, _NOENT),
        (HOST, None, 0, _NOENT),
        (SELF, None, 0, _NOENT),
        (1 << 32, None, 0, _INVAL),
        (1, 1 << 32, 0, _INVAL),
        (1, None, 2, _INVAL),
        (1, None, 1 << 32, _INVAL),
        (1, None, 0, _PERM),
        (1, None, RO, WINDOW),
    ],
)
def test_map(world: World, domid: int, gref: int | None, flags: int, result: int) -> None:
    granted = world.one.create(2, FRAME, RO)
    assert world.two.map(domid, granted if gref is None else gref, flags) == result


def test_a_foreign_gref_is_refused(world: World) -> None:
    gref = world.one.create(2, FRAME)
    assert world.three.map(1, gref, RO) == _PERM
    assert world.one.map(1, gref, RO) == _PERM
    for_host = world.one.create(HOST, FRAME)
    assert world.two.map(1, for_host) == _PERM


def test_a_stale_gref_is_refused_though_its_place_is_used_again(world: World) -> None:
    one, two = world.one, world.two
    seen = set()
    for _ in range(3 * grants.MAX_GRANTS.number):
        gref = one.create(2, FRAME)
        assert gref not in seen and 0 < gref <= U32
        seen.add(gref)
        assert one.revoke(gref) == 0
        assert two.map(1, gref) == one.revoke(gref) == _NOENT


def test_tables_are_bounded(world: World) -> None:
    one, two = world.one, world.two
    grefs = [one.create(2, FRAME) for _ in range(grants.MAX_GRANTS.number)]
    assert one.create(2, FRAME) == _NOSPC
    assert one.frames.n_held == len(grefs)
    assert one.revoke(grefs[7]) == 0
    assert one.create(2, FRAME) > 0
    slots = [two.map(1, grefs[0]) for _ in range(SLOTS)]
    assert sorted(slots) == [WINDOW + i * PAGE_BYTES for i in range(SLOTS)]
    assert two.map(1, grefs[0]) == _NOSPC
    assert two.unmap(slots[5]) == 0
    assert two.map(1, grefs[0]) == slots[5]
    assert two.table.counts["slots"] == SLOTS == one.table.counts["writers"]


def test_all_windows_together_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pvisor.para.grants.MAX_MAPPED", 3)
    gref = world.one.create(2, FRAME)
    other = world.one.create(3, FRAME)
    slots = [world.two.map(1, gref), world.two.map(1, gref), world.three.map(1, other)]
    assert world.two.map(1, gref) == world.three.map(1, other) == _NOSPC
    assert world.three.unmap(slots[2]) == 0
    assert world.two.map(1, gref) == WINDOW + 2 * PAGE_BYTES
    world.hub.remove(2)
    assert world.three.map(1, other) == WINDOW + PAGE_BYTES


def test_who_maps_the_last_slots_of_all_is_told_at_a_meeting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others map as well meanwhile: which of them finds no room must not depend on threads of the host."""
    own = world.two.create(2, FRAME)
    world.hub.meeting.is_open = False
    assert world.two.map(2, own) == WINDOW
    monkeypatch.setattr("pvisor.para.grants.MAX_MAPPED", 3 * SLOTS - 1)
    with pytest.raises(MustMeetError):
        world.two.table.map(2, own, writable=True)
    assert world.two.table.n_mapped == 1
    world.hub.meeting.is_open = True
    assert world.two.map(2, own) == WINDOW + PAGE_BYTES


def test_a_host_that_gives_no_room_is_a_full_window(world: World) -> None:
    class Full:
        def map(self, slot: int, memory: GuestMemory, gpa: int, *, writable: bool) -> bool:
            return False

        def unmap(self, slot: int) -> None:
            raise AssertionError

    world.two.table._window = Full()
    gref = world.one.create(2, FRAME)
    for _ in range(SLOTS + 1):
        assert world.two.map(1, gref) == _NOSPC
    assert world.one.revoke(gref) == 0
    assert is_clean(world)


@pytest.mark.parametrize(
    ("gpa", "result"),
    [
        (0, _INVAL),
        (FRAME, _INVAL),
        (WINDOW - PAGE_BYTES, _INVAL),
        (WINDOW + 1, _INVAL),
        (WINDOW + SLOTS * PAGE_BYTES, _INVAL),
        (U64 & ~0xFFF, _INVAL),
        (WINDOW + PAGE_BYTES, _NOENT),
        (WINDOW, 0),
    ],
)
def test_unmap(world: World, gpa: int, result: int) -> None:
    world.two.map(1, world.one.create(2, FRAME))
    assert world.two.unmap(gpa) == result


def test_entries_hold_a_slot(world: World) -> None:
    one, two = world.one, world.two
    gref = one.create(2, FRAME)
    gpa, read_only = two.map(1, gref), two.map(1, gref, RO)
    assert two.frames.slots == {0: True, 1: False}
    two.frames.entries[0] = 1
    assert two.unmap(gpa) == _BUSY
    assert page_of(two.table, gpa) is not None
    two.frames.entries[0] = 0
    assert two.unmap(gpa) == two.unmap(read_only) == one.revoke(gref) == 0
    assert not two.frames.slots
    assert is_clean(world)


# --- who dies


def test_a_mapper_dies(world: World) -> None:
    gref = world.one.create(2, FRAME)
    gpa = world.two.map(1, gref)
    world.two.frames.entries[(gpa - WINDOW) >> 12] = 1
    world.hub.remove(2)
    world.hub.remove(2)
    assert world.one.table.counts["writers"] == 0
    assert world.one.create(2, FRAME) == _NOENT
    assert world.one.revoke(gref) == 0
    assert is_clean(world)


def test_a_granter_dies(world: World) -> None:
    one, two = world.one, world.two
    gref, other = one.create(2, FRAME), one.create(2, FRAME)
    gpa = two.map(1, gref)
    one.memory.write(FRAME, b"last words")
    world.hub.remove(1)
    assert not one.frames.n_held
    assert two.map(1, gref) == two.map(1, other) == _NOENT
    page = page_of(two.table, gpa)
    assert page is not None and bytes(page[:10]) == b"last words"
    assert two.unmap(gpa) == 0
    assert page_of(two.table, gpa) is None
    assert is_clean(world)


def test_a_number_that_comes_again_is_another_domain(world: World) -> None:
    gref = world.one.create(2, FRAME)
    world.hub.remove(2)
    again = One(world.hub, 2)
    assert again.map(1, gref) == _PERM


def test_the_host_maps_and_outlives(world: World) -> None:
    one, hub = world.one, world.hub
    gref, shown = one.create(HOST, FRAME), one.create(HOST, FRAME, RO)
    mapping = hub.host_map(1, gref, writable=True)
    reading = hub.host_map(1, shown, writable=False)
    mapping.page[:5] = b"hello"
    assert one.memory.read(FRAME, 5) == b"hello" == bytes(reading.page[:5])
    with pytest.raises(TypeError):
        reading.page[0] = 1
    assert one.revoke(gref) == one.revoke(shown) == _BUSY
    reading.close()
    reading.close()
    assert one.revoke(shown) == 0
    hub.remove(1)
    mapping.page[:5] = b"there"
    mapping.close()
    for domid, number in ((1, gref), (2, 1)):
        with pytest.raises(GuestError, match="ENOENT"):
            hub.host_map(domid, number, writable=False)
    assert is_clean(world)


def test_the_host_is_refused(world: World) -> None:
    for gref, writable in ((world.one.create(2, FRAME), False), (world.one.create(HOST, FRAME, RO), True)):
        with pytest.raises(GuestError, match="EPERM"):
            world.hub.host_map(1, gref, writable=writable)


def test_a_domain_is_added_once(world: World) -> None:
    for domid in (1, HOST, SELF):
        with pytest.raises(ValueError, match="taken"):
            world.hub.add(domid, world.one.memory)
    huge = GuestMemory(1 << 20)
    huge.size_bytes = WINDOW + PAGE_BYTES
    with pytest.raises(ValueError, match="window"):
        GrantHub().add(1, huge)
