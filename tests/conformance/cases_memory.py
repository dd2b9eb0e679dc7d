# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases of page tables and frames. What a mapping then lets the CPU do is tried in tests/para."""

from __future__ import annotations

from pvisor.abi import constants
from pvisor.abi.areas import cpu, grants, memory
from pvisor.abi.areas.events import DOMID_SELF
from pvisor.abi.errnos import EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, EPERM
from pvisor.abi.model import Hypercall
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.balloon import Balloon
from pvisor.para.hypercalls import Served
from pvisor.para.paging import Paging
from tests.conformance.case import At, Case, Data, Frame, Peek, Poke, ResultOf, Start, Step, Value
from tests.conformance.rows import C, D
from tests.conformance.world import FIRST_FREE, HOLE_ENTRY, PAGES, Player, World

ROOT_SET, ENTRY_SET, UPDATE, PIN, UNPIN, FLUSH, POPULATE, RELEASE, TARGET, MAP = memory.CALLS
PAGE, ALL = memory.FLUSH_PAGE.number, memory.FLUSH_ALL.number
P, W, LARGE, NX = 1, 2, 1 << 7, 1 << 63
READ, WRITE = P | NX, P | W | NX
SELF, RO = DOMID_SELF.number, grants.READ_ONLY.number
HOLE, NOWHERE, ABOVE = constants.HOLE_START.number, 1 << 40, 1 << 37
"""Addresses in the hole, without a last-level table, and of no frame."""
_FAULT, _INVAL, _NOENT = -EFAULT.number, -EINVAL.number, -ENOENT.number
_BUSY, _PERM, _EXIST = -EBUSY.number, -EPERM.number, -EEXIST.number
ROOT = Start("root_table")


def room(world: World, player: Player) -> tuple[Served, Served]:
    """Page tables and frames of one domain."""

    def make() -> Paging:
        paging = Paging(player.domain.memory, player.vcpus)
        paging.start(player.root, HOLE_ENTRY, len(player.vcpus))
        paging.frames.hold(player.shared.gpa // PAGE_BYTES, writable=True)
        return paging

    paging = player.part(Paging, make)
    given = (PAGES, PAGES + 3 * PAGE_BYTES, FIRST_FREE)
    return paging.served, player.part(Balloon, lambda: Balloon(paging.frames, given)).served


# --- steps that cases begin with


def shown(index: int, rights: int) -> Step:
    """Frame `index` is mapped where it is, with other rights (0: not at all)."""
    return Step(ENTRY_SET, (Frame(index), Frame(index, rights) if rights else 0, PAGE))


def gone(index: int) -> tuple[Step, Step]:
    """Frame `index` is given back."""
    return shown(index, 0), Step(RELEASE, (Data(Frame(index)), 1), 1)


def table(index: int, level: int = 1) -> tuple[Step, Step]:
    """Frame `index` is an empty table."""
    return shown(index, READ), Step(PIN, (Frame(index), level))


def update(where: Value, entry: Value, result: int = 1, flags: int = 0) -> Step:
    """One entry by TABLE_UPDATE."""
    return Step(UPDATE, (Data(where, entry), 1, flags), result)


GRANTED = Step(grants.GRANT_CREATE, (SELF, Frame(9), RO), None)
"""Frame 9, to be read; as step 0."""
MAPPED = Step(grants.GRANT_MAP, (SELF, ResultOf(0), RO), None)
"""That grant in a slot of the window; as step 1."""


def refused(id: str, call: Hypercall, args: tuple[Value, ...], result: int, *before: Step | Poke) -> Case:
    """A call that gives an error, after steps that succeed."""
    return Case(f"{call.name.lower().replace('_', '-')}-{id}", (*before, Step(call, args, result)))


_ROOTS = (
    Case("root-set", (
        Step(ROOT_SET, (ROOT, 0)), Step(ROOT_SET, (ROOT, ROOT)), *table(0, 4),
        Step(ROOT_SET, (ROOT, Frame(0))), Step(UNPIN, (Frame(0),)),
        Step(ENTRY_SET, (Frame(0), Frame(0, WRITE), PAGE), _BUSY),
        Step(ROOT_SET, (ROOT, 0)), shown(0, WRITE),
    )),
    refused("unaligned", ROOT_SET, (Start("root_table", 8), 0), _INVAL),
    refused("user-unaligned", ROOT_SET, (ROOT, Start("root_table", 8)), _INVAL),
    refused("no-ram", ROOT_SET, (Start("memory_bytes"), 0), _INVAL),
    refused("writable", ROOT_SET, (Frame(0), 0), _BUSY),
    refused("user-writable", ROOT_SET, (ROOT, Frame(0)), _BUSY),
    refused("another-level", ROOT_SET, (Frame(0), 0), _BUSY, *table(0, 3)),
    refused("gone", ROOT_SET, (Frame(0), 0), _NOENT, *gone(0)),
)  # fmt: skip

_ENTRIES = (
    Case("entry-set", (
        shown(0, READ), shown(0, 0), shown(0, WRITE), Step(ENTRY_SET, (Frame(0), 0xF00 << 12, ALL)),
        Step(ENTRY_SET, (Frame(0, 0xFFF), Frame(0, WRITE | 1 << 9 | 1 << 52), 0)), Poke(Frame(0), 8, 7),
        Step(ENTRY_SET, (Frame(1), Frame(0, READ), PAGE)), Peek(Frame(0), 8, 7),
    )),
    refused("hole", ENTRY_SET, (HOLE, 0, 0), _INVAL),
    refused("hypercall-page", ENTRY_SET, (Start("hypercall_page"), 0, 0), _INVAL),
    refused("not-canonical", ENTRY_SET, (1 << 47, 0, 0), _INVAL),
    refused("flags", ENTRY_SET, (Frame(0), 0, 3), _INVAL),
    refused("no-ram", ENTRY_SET, (Frame(0), ABOVE | READ, 0), _INVAL),
    refused("hypervisors-frame", ENTRY_SET, (Frame(0), 1 << 38 | READ, 0), _INVAL),
    refused("large", ENTRY_SET, (Frame(0), Frame(0, READ | LARGE), 0), _INVAL),
    refused("nowhere", ENTRY_SET, (NOWHERE, Frame(0, READ), 0), _NOENT),
    refused("gone", ENTRY_SET, (Frame(1), Frame(0, READ), 0), _NOENT, *gone(0)),
    refused("empty-slot", ENTRY_SET, (Frame(1), grants.WINDOW.number | READ, 0), _NOENT),
    refused("table-writable", ENTRY_SET, (Frame(1), Start("root_table", WRITE), 0), _BUSY),
    refused("grant-writable", ENTRY_SET, (Frame(1), ResultOf(1, WRITE), 0), _PERM, GRANTED, MAPPED),
    refused("grant-executable", ENTRY_SET, (Frame(1), ResultOf(1, P), 0), _INVAL, GRANTED, MAPPED),
    Case("grant-mapped-is-busy", (
        GRANTED, MAPPED, Step(ENTRY_SET, (Frame(1), ResultOf(1, READ), PAGE)),
        Step(grants.GRANT_UNMAP, (ResultOf(1),), _BUSY), shown(1, 0),
        Step(grants.GRANT_UNMAP, (ResultOf(1),)), Step(grants.GRANT_REVOKE, (ResultOf(0),)),
    )),
)  # fmt: skip

_UPDATES = (
    Case("table-update", (
        *table(0), update(Frame(0), Frame(2, WRITE)), update(Frame(0, 8), Frame(3, READ), flags=ALL),
        Peek(Frame(0), 8, None), update(Frame(0), 0), Step(UPDATE, (0, 0, 0), 0),
        Step(UPDATE, (Data(Frame(0), Frame(2, READ), Frame(0, 8), ROOT, Frame(0, 1), 0), 3, 0), 2),
    )),
    Case("a-new-table", (
        *table(0, 2), shown(1, READ), update(Frame(0), Frame(1, P | W)), Step(UNPIN, (Frame(1),), _NOENT),
        Step(ENTRY_SET, (Frame(1), Frame(1, WRITE), PAGE), _BUSY), update(Frame(0), 0), shown(1, WRITE),
    )),
    refused("absent", UPDATE, (At(D), 1, 0), _FAULT),
    refused("last-byte-absent", UPDATE, (At(D - 15), 1, 0), _FAULT),
    refused("too-many-to-read", UPDATE, (At(C), 512, 0), _FAULT),
    refused("flags", UPDATE, (At(0), 1, PAGE), _INVAL),
    refused("unaligned", UPDATE, (Data(Frame(0, 4), 0), 1, 0), _INVAL, *table(0)),
    refused("no-ram", UPDATE, (Data(Start("memory_bytes"), 0), 1, 0), _INVAL),
    refused("hole", UPDATE, (Data(Start("root_table", 256 * 8), 0), 1, 0), _INVAL),
    refused("hole-end", UPDATE, (Data(Start("root_table", 271 * 8), 0), 1, 0), _INVAL),
    refused("no-table", UPDATE, (Data(Frame(0), 0), 1, 0), _NOENT),
    refused("gone", UPDATE, (Data(Frame(0), Frame(1, READ)), 1, 0), _NOENT, *table(0), *gone(1)),
    refused("itself-writable", UPDATE, (Data(Frame(0), Frame(0, WRITE)), 1, 0), _BUSY, *table(0)),
    refused("another-level", UPDATE, (Data(Frame(0), Frame(1, P | W)), 1, 0), _BUSY, *table(0, 3), *table(1)),
    refused("writable-table", UPDATE, (Data(Frame(0), Frame(1, P | W)), 1, 0), _BUSY, *table(0, 2)),
    refused("grant", UPDATE, (Data(Frame(0), ResultOf(1, WRITE)), 1, 0), _PERM, GRANTED, MAPPED, *table(0)),
)  # fmt: skip

_PINS = (
    Case("table-pin", (
        *table(0), Step(UNPIN, (Frame(0),)), Step(UNPIN, (Frame(0),), _NOENT), Step(PIN, (Frame(0), 1)),
        Step(PIN, (Frame(0), 1), _EXIST), Step(UNPIN, (Frame(0),)), shown(0, WRITE), Poke(Frame(0), 8, 1),
    )),
    refused("level-0", PIN, (Frame(0), 0), _INVAL),
    refused("level-5", PIN, (Frame(0), 5), _INVAL),
    refused("unaligned", PIN, (Frame(0, 8), 1), _INVAL),
    refused("no-ram", PIN, (ABOVE, 1), _INVAL),
    refused("content", PIN, (Frame(0), 1), _INVAL, Poke(Frame(0), 8, ABOVE | READ), shown(0, READ)),
    refused("pinned", PIN, (ROOT, 1), _EXIST),
    refused("another-level", PIN, (Frame(1), 2), _BUSY, *table(0, 2), shown(1, READ),
            update(Frame(0), Frame(1, P | W))),
    refused("writable", PIN, (Frame(0), 1), _BUSY),
    refused("maps-a-table", PIN, (Frame(0), 1), _BUSY, Poke(Frame(0, 8), 8, Start("root_table", WRITE)),
            shown(0, READ)),
    refused("gone", PIN, (Frame(0), 1), _NOENT, *gone(0)),
    refused("maps-what-is-gone", PIN, (Frame(0), 1), _NOENT, *gone(1), Poke(Frame(0), 8, Frame(1, READ)),
            shown(0, READ)),
    refused("grant", PIN, (Frame(0), 1), _PERM, GRANTED, MAPPED, Poke(Frame(0), 8, ResultOf(1, WRITE)),
            shown(0, READ)),
    refused("unaligned", UNPIN, (Frame(0, 8),), _INVAL),
    refused("no-ram", UNPIN, (ABOVE,), _INVAL),
    refused("not-pinned", UNPIN, (Frame(0),), _NOENT),
    Case("tlb-flush", (Step(FLUSH, (ALL, U := (1 << 64) - 1)), Step(FLUSH, (PAGE, Frame(0))),
                       Step(FLUSH, (PAGE, HOLE)), Step(FLUSH, (PAGE, U)))),
    refused("what", FLUSH, (0, 0), _INVAL),
    refused("both", FLUSH, (3, 0), _INVAL),
)  # fmt: skip

_FRAMES = (
    Case("release-and-populate", (
        Poke(Frame(0), 8, 0x1234), *gone(0), Step(RELEASE, (Data(Frame(0)), 1), _NOENT),
        Step(POPULATE, (Data(Frame(0)), 1), 1), Step(POPULATE, (Data(Frame(0)), 1), _EXIST), shown(0, WRITE),
        Peek(Frame(0), 8, 0), Step(TARGET, (), None), Step(RELEASE, (0, 0), 0), Step(POPULATE, (0, 0), 0),
    )),
    Case("release-some", (
        shown(0, 0), shown(1, 0), Step(RELEASE, (Data(Frame(0), Frame(1), Frame(2), Frame(3)), 4), 2),
        Step(POPULATE, (Data(Frame(1), Frame(0), Frame(2)), 3), 2),
    )),
    *(refused("absent", call, (At(D - 7), 1), _FAULT) for call in (RELEASE, POPULATE)),
    *(refused("unaligned", call, (Data(Frame(0, 8)), 1), _INVAL) for call in (RELEASE, POPULATE)),
    *(refused("no-ram", call, (Data(ABOVE), 1), _INVAL) for call in (RELEASE, POPULATE)),
    refused("mapped", RELEASE, (Data(Frame(0)), 1), _BUSY),
    refused("table", RELEASE, (Data(ROOT), 1), _BUSY),
    refused("given-back", cpu.SHARED_SET, (Frame(0),), _NOENT, *gone(0)),
    refused("shared-page", RELEASE, (Data(Start("shared_info_gpa")), 1), _BUSY),
    refused("granted", RELEASE, (Data(Frame(9)), 1), _BUSY, GRANTED, shown(9, 0)),
    Case("memory-map", (
        Step(MAP, (0, 0), None), Step(MAP, (ranges := Data(bytes(24 * 8)), 8), None), Peek(ranges, 8, 0),
        Peek(ranges, 8, 0), Step(MAP, (At(D), 0), None),
    )),
    refused("absent", MAP, (At(D), 1), _FAULT),
    refused("read-only", MAP, (At(C - 8), 8), _FAULT),
)  # fmt: skip

CASES: tuple[Case, ...] = (*_ROOTS, *_ENTRIES, *_UPDATES, *_PINS, *_FRAMES)
