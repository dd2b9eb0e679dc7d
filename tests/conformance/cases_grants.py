# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases about grants. Two need page tables, to see what is in a slot."""

from __future__ import annotations

from pvisor.abi.areas import grants
from pvisor.abi.areas.events import DOMID_HOST, DOMID_SELF
from pvisor.abi.areas.memory import ENTRY_SET
from pvisor.abi.areas.time import TIME_GET
from pvisor.abi.errnos import EBUSY, EFAULT, EINVAL, ENOENT, EPERM
from pvisor.abi.layout import offsetof
from pvisor.para.grant_calls import Grants
from pvisor.para.grants import FixedFrames, GrantHub
from pvisor.para.hypercalls import Served
from pvisor.para.paging import Paging
from tests.conformance.case import At, Case, Data, Frame, Gpa, Peek, Poke, ResultOf, Start, Step, Value
from tests.conformance.rows import C, D
from tests.conformance.world import FIRST_FREE, TABLES, Player, World

HOST, SELF = DOMID_HOST.number, DOMID_SELF.number
RO, WINDOW = grants.READ_ONLY.number, grants.WINDOW.number
N_SLOTS = grants.SLOTS.number
CREATE, REVOKE, MAP, UNMAP, COPY, STATUS = grants.CALLS
_FAULT, _INVAL, _NOENT = -EFAULT.number, -EINVAL.number, -ENOENT.number
_PERM, _BUSY = -EPERM.number, -EBUSY.number
FOREIGN = 4
"""No domain."""


def room(world: World, player: Player) -> Served:
    """Grants of one domain."""
    domain, paging = player.domain, player.parts.get(Paging)
    fixed = FixedFrames(range(TABLES >> 12, FIRST_FREE >> 12))
    frames = paging.frames if isinstance(paging, Paging) else fixed
    return Grants(world.hub(GrantHub).add(domain.domid, domain.memory, frames)).served


def copies(id: str, status: int, *before: Step, world: str = "alone", by: int = 1, **fields: Value) -> Case:
    """GRANT_COPY of one operation, put together at the start of page A, and its status."""
    plain: dict[str, Value] = {
        "source": Frame(0), "dest": Frame(1), "source_domid": SELF, "source_offset": 0, "dest_domid": SELF,
        "dest_offset": 4088, "n_bytes": 8, "status": 99,
    }  # fmt: skip
    pokes = (
        Poke(At(offsetof("pv_grant_copy_op", name)), 8 if name in ("source", "dest") else 4, value, by)
        for name, value in {**plain, **fields}.items()
    )
    done = (Step(COPY, (At(0), 1), 1, by), Peek(At(offsetof("pv_grant_copy_op", "status")), 4, status, by))
    return Case(f"grant-copy-{id}", (*before, *pokes, *done), world)


READS, WRITES, EXECUTES = 1 << 63 | 0x61, 1 << 63 | 0x63, 0x61
"""Bits of entries."""


def maps(slot: int, bits: int, result: int = 0, by: int = 1) -> Step:
    """Let the address of unused frame 1 show the page in a slot, which ResultOf names; flush that page."""
    return Step(ENTRY_SET, (Frame(1), ResultOf(slot, bits), 1), result, by)


INFO = Data(bytes(24))
_CREATE = Step(CREATE, (SELF, Frame(0), 0), None)
_FOR_2 = Step(CREATE, (2, Frame(0), RO), None)
_FOR_HOST = Step(CREATE, (HOST, Frame(0), RO), None)

CASES: tuple[Case, ...] = (
    Case("grant-and-back", (_CREATE, Step(REVOKE, (ResultOf(0),)), Step(REVOKE, (ResultOf(0),), _NOENT))),
    Case("grant-for-the-host", (
        Step(CREATE, (HOST, Gpa(0), 0), None), Step(MAP, (SELF, ResultOf(0), 0), _PERM),
    )),
    Case("grant-a-table", (
        Step(CREATE, (SELF, Start("root_table"), 0), _BUSY),
        Step(CREATE, (SELF, Start("root_table"), RO), None),
    )),
    Case("grant-wrong-in-two-ways", (
        Step(CREATE, (FOREIGN, Gpa(1), 0), _INVAL), Step(CREATE, (FOREIGN, Frame(0), 2), _INVAL),
        Step(MAP, (FOREIGN, 1, 2), _INVAL), Step(MAP, (FOREIGN, 1, 0), _NOENT),
    )),
    Case("grant-mapped", (
        _CREATE, Step(MAP, (SELF, ResultOf(0), 0), WINDOW), Step(REVOKE, (ResultOf(0),), _BUSY),
        Step(MAP, (SELF, ResultOf(0), RO), WINDOW + 0x1000), Step(STATUS, (ResultOf(0), INFO)),
        Peek(INFO, 8, None), Step(UNMAP, (WINDOW,)), Step(UNMAP, (WINDOW,), _NOENT),
        Step(REVOKE, (ResultOf(0),), _BUSY), Step(UNMAP, (WINDOW + 0x1000,)), Step(REVOKE, (ResultOf(0),)),
    )),
    Case("grant-between-two", (
        _FOR_2, Step(MAP, (1, ResultOf(0), 0), _PERM, 2), Step(MAP, (1, ResultOf(0), RO), WINDOW, 2),
        Step(MAP, (1, ResultOf(0), RO), _PERM, 1), Step(REVOKE, (ResultOf(0),), _BUSY),
        Step(UNMAP, (WINDOW,), 0, 2), Step(REVOKE, (ResultOf(0),)),
        Step(MAP, (1, ResultOf(0), RO), _NOENT, 2),
    ), "two"),
    Case("grant-seen", (
        Poke(Frame(0, 8), 8, 0x1234), _CREATE, Step(MAP, (SELF, ResultOf(1), 0), WINDOW), maps(2, WRITES),
        Peek(Frame(1, 8), 8, 0x1234), Poke(Frame(1, 8), 1, 0x77), Peek(Frame(0, 8), 8, 0x1277),
        Step(UNMAP, (WINDOW,), _BUSY), Step(REVOKE, (ResultOf(1),), _BUSY),
        Step(ENTRY_SET, (Frame(1), 0, 1)), Step(UNMAP, (WINDOW,)), maps(2, READS, _NOENT),
        Step(ENTRY_SET, (Frame(1), Frame(1, WRITES), 1)), Step(REVOKE, (ResultOf(1),)),
    ), takes_cpu=True),
    Case("grant-seen-by-another", (
        Poke(Frame(0), 4, 0x1111), _FOR_2, Step(MAP, (1, ResultOf(1), RO), WINDOW, 2),
        maps(2, WRITES, _PERM, 2), maps(2, EXECUTES, _INVAL, 2), maps(2, READS, 0, 2),
        Peek(Frame(1), 4, 0x1111, 2),
        Poke(Frame(0), 4, 0x2222), Peek(Frame(1), 4, 0x2222, 2), Peek(Frame(1), 4, 0),
        Step(TIME_GET, (Frame(1),), _FAULT, 2), Peek(Frame(0), 4, 0x2222),
    ), "two", takes_cpu=True),
    Case("grant-create-refused", (
        Step(CREATE, (SELF, Frame(0, 1), 0), _INVAL), Step(CREATE, (SELF, Start("memory_bytes"), 0), _INVAL),
        Step(CREATE, (SELF, (1 << 64) - 4096, 0), _INVAL), Step(CREATE, (SELF, Frame(0), 2), _INVAL),
        Step(CREATE, (SELF, WINDOW, 0), _INVAL), Step(CREATE, (FOREIGN, Frame(0), 0), _NOENT),
    )),
    Case("grant-revoke-refused", (
        Step(REVOKE, (0,), _NOENT), Step(REVOKE, (0xFFFF_FFFF,), _NOENT), Step(REVOKE, (1 << 32,), _INVAL),
    )),
    Case("grant-map-refused", (
        _CREATE, Step(MAP, (SELF, ResultOf(0), 2), _INVAL), Step(MAP, (SELF, ResultOf(0, 1), 0), _NOENT),
        Step(MAP, (FOREIGN, ResultOf(0), 0), _NOENT), Step(MAP, (HOST, ResultOf(0), 0), _NOENT),
        Step(MAP, (SELF, 0xFFFF_FFFF, 0), _NOENT),
    )),
    Case("grant-unmap-refused", (
        Step(UNMAP, (WINDOW,), _NOENT), Step(UNMAP, (WINDOW + 1,), _INVAL), Step(UNMAP, (0,), _INVAL),
        Step(UNMAP, (WINDOW + N_SLOTS * 4096,), _INVAL), Step(UNMAP, ((1 << 64) - 4096,), _INVAL),
    )),
    Case("grant-status-refused", (
        Step(STATUS, (1, INFO), _NOENT), Step(STATUS, (1 << 63, INFO), _INVAL), _CREATE,
        Step(STATUS, (ResultOf(2), At(C)), _FAULT),
        Step(STATUS, (ResultOf(2), At(C - 23)), _FAULT), Step(STATUS, (ResultOf(2), At(D)), _FAULT),
        Step(STATUS, (ResultOf(2), At(C - 24))), Peek(At(C - 24), 8, None),
    )),
    copies("own", 0),
    copies("granted", 0, _CREATE, source=ResultOf(0), source_domid=1),
    copies("from-another", 0, _FOR_2, world="two", by=2, source=ResultOf(0), source_domid=1),
    copies("to-read-only", EPERM.number, _FOR_2, world="two", by=2, dest=ResultOf(0), dest_domid=1),
    copies("foreign", EPERM.number, _FOR_HOST, source=ResultOf(0), source_domid=1),
    copies("stale", ENOENT.number, source=77, source_domid=1),
    copies("nobody", ENOENT.number, dest=77, dest_domid=FOREIGN),
    copies("over-the-end", EINVAL.number, dest_offset=4089),
    copies("no-frame", EINVAL.number, source=Frame(0, 1)),
    copies("over-a-table", EBUSY.number, dest=Start("root_table")),
    copies("of-a-table", 0, source=Start("root_table")),
    Case("grant-copy-refused", (
        Step(COPY, (Data(bytes(40)), 0), 0), Step(COPY, (At(D), 0), 0), Step(COPY, (At(D), 1), _FAULT),
        Step(COPY, (At(C), 1), _FAULT), Step(COPY, (At(C - 39), 1), _FAULT), Step(COPY, (0, 1), _FAULT),
        Step(COPY, ((1 << 64) - 8, 1), _FAULT), Step(COPY, (At(0), 1 << 32), _INVAL),
    )),
)  # fmt: skip
