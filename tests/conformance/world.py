# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains without a CPU for cases to be tried in: handlers, hubs, and memory whose GVAs are its GPAs.

Rooms come from the areas: a module `cases_<area>` may have `room(world, player) -> Served`, which makes the
area's part of one domain. What no area has brought is not in the world, and its cases are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from pvisor.abi import constants, features
from pvisor.cpu.exits import ExitReason
from pvisor.domain.domain import Domain, handle_exit
from pvisor.domain.outcome import EndedBy, Ending, Outcome
from pvisor.errors import DomainCrash
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para import tables as paging
from pvisor.para.cpu import ParaWing
from pvisor.para.hypercalls import Served
from pvisor.para.shared import SharedPage
from pvisor.vmm.loop import IDLE
from tests.conformance.case import Case, area_modules
from tests.conformance.plan import Layout, Op, Operation, Planner, compare
from tests.conformance.rows import C, D, initial
from tests.conformance.verdict import CaseError, Report, Verdict
from tests.domain.fakes import MEMORY_BYTES, FakeExit, FakeVcpu

T = TypeVar("T")

PAGES, DATA, SHARED, TABLES, FIRST_FREE = 0x1_0000, 0x2_0000, 0x3_0000, 0x3_1000, 0x4_0000
U64_MASK = (1 << 64) - 1
CHANGED = "a call that was refused has changed the memory"
HOLE_ENTRY = 0x1_0000_0000_0000 - 0x1000 | paging.P | paging.A
"""Stands for the hypervisor's own table in the fakes' roots: no frame of the domain."""


@dataclass
class Player:
    """A domain of the world. `parts` has what areas made for it, by type, for areas after them."""

    domain: Domain
    vcpu: FakeVcpu
    shared: SharedPage
    root: int
    parts: dict[type, object] = field(default_factory=dict)

    def part(self, kind: type[T], make: Callable[[], T]) -> T:
        """The domain's one object of a type, made by whoever asks first."""
        if kind not in self.parts:
            self.parts[kind] = make()
        return cast(T, self.parts[kind])

    @property
    def layout(self) -> Layout:
        """Where things lie."""
        start = {
            "first_free": FIRST_FREE, "memory_bytes": MEMORY_BYTES, "root_table": self.root,
            "shared_info": SHARED, "shared_info_gpa": SHARED, "domid": self.domain.domid,
            "kernel_start": PAGES, "kernel_end": PAGES + 3 * PAGE_BYTES, "stack_top": TABLES,
            "hypercall_page": constants.HOLE_START.number + PAGE_BYTES,
        }  # fmt: skip
        return Layout(PAGES, PAGES, DATA, start)


@dataclass
class World:
    """Domains 1 and, in world "two", 2, on the same hubs."""

    players: dict[int, Player] = field(default_factory=dict)
    hubs: dict[type, object] = field(default_factory=dict)

    @property
    def offered(self) -> int:
        """The features that domain 1 is offered."""
        wing = self.players[1].domain.wing
        assert isinstance(wing, ParaWing)
        return wing.offered_features

    def hub(self, kind: type[T]) -> T:
        """The world's one hub of a type, made by whoever asks first."""
        if kind not in self.hubs:
            self.hubs[kind] = kind()
        return cast(T, self.hubs[kind])


def build_world(name: str = "alone", offered: int | None = None) -> World:
    """A world; `offered` are the features, or None for all that its rooms have calls for."""
    world = World()
    for domid in (1, 2) if name == "two" else (1,):
        world.players[domid] = player = _player(domid)
        rooms = [module.room(world, player) for module in area_modules() if hasattr(module, "room")]
        player.domain.wing = ParaWing(_offered(rooms) if offered is None else offered, rooms)
    return world


def _player(domid: int) -> Player:
    memory = GuestMemory(MEMORY_BYTES)
    vcpu = FakeVcpu(memory)
    memory.write(PAGES, initial())
    memory.write(PAGES + C, b"c" * PAGE_BYTES)
    vcpu.read_only.add(PAGES + C)
    vcpu.absent.add(PAGES + D)
    domain = Domain(domid, f"fake-{domid}", memory, ParaWing(0), [vcpu], ConsoleOutput(), NoInput())
    shared = SharedPage(memory, SHARED)
    shared.clear()
    return Player(domain, vcpu, shared, _tables(memory, vcpu))


def _tables(memory: GuestMemory, vcpu: FakeVcpu) -> int:
    """First page tables as a domain has them; they are read-only to the guest. The root's GPA."""
    builder = paging.TableBuilder(memory, TABLES)
    builder.map(paging.PageRange(PAGE_BYTES, PAGE_BYTES, MEMORY_BYTES // PAGE_BYTES - 1, paging.READ_WRITE))
    builder.map(paging.PageRange(PAGES + C, PAGES + C, 1, paging.READ_ONLY))
    builder.map(paging.PageRange(PAGES + D, PAGES + D, 1, 0))
    n_pages = paging.n_tables(MEMORY_BYTES, ())
    builder.map(paging.PageRange(TABLES, TABLES, n_pages, paging.READ_ONLY))
    builder.set_root_entry(paging.HOLE_SLOT, HOLE_ENTRY)
    end = builder.finish()
    vcpu.read_only.update(range(TABLES, end, PAGE_BYTES))
    return builder.root


def _offered(rooms: list[Served]) -> int:
    calls = [call for room in rooms for call in (*room.answers, *room.decides)]
    offered = features.CONSOLE_INPUT.mask
    for call in calls:
        offered |= call.feature.mask if call.feature is not None else 0
    return offered


# --- cases


def run_on_handlers(case: Case, world: World | None = None) -> Report:
    """Try a case on the bare handlers; in a given world whatever that offers."""
    try:
        if world is None:
            world = build_world(case.world)
            if case.needs & ~world.offered:
                return Report(Verdict.SKIP, f"features {case.needs & ~world.offered:#x} are not here")
        plan = Planner(case, {domid: player.layout for domid, player in world.players.items()})
        plan.plan()
        for domid, at, content in plan.contents:
            world.players[domid].domain.memory.write(at, content)
        results, ending = _run(world, plan.operations)
        if ending.startswith(CHANGED):
            return Report(Verdict.FAILURE, ending)
        status = next((p.domain.ending.status for p in world.players.values() if p.domain.ending), None)
        if status is not None and status == case.ends:
            ending = ""
        elif case.ends is not None:
            return Report(Verdict.FAILURE, f"ends with {status}, not {case.ends}: {ending}")
        return compare(case, plan.operations, results, ending)
    except CaseError as error:
        return Report(Verdict.ERROR, str(error))


def _run(world: World, operations: list[Operation]) -> tuple[list[int | None], str]:
    """The results of the operations, and how a domain has ended, or ""; then nothing has."""
    results: list[int | None] = [None] * len(operations)
    for index, operation in enumerate(operations):
        player = world.players[operation.by]
        before = player.domain.memory.read(0, MEMORY_BYTES)
        args = [arg if isinstance(arg, int) else (results[arg.index] or 0) + arg.plus & U64_MASK
                for arg in operation.args]  # fmt: skip
        try:
            results[index] = result = _operate(player, operation, args)
            if result is not None and result >> 63 and player.domain.memory.read(0, MEMORY_BYTES) != before:
                return results, f"{CHANGED} of domain {operation.by}, step {operation.step}"
        except DomainCrash as crash:
            player.domain.end(Ending(EndedBy.CRASH, 134, str(crash)))
        if player.domain.ending is not None:
            return results, player.domain.ending.reason or "the domain has ended"
    return results, ""


def _operate(player: Player, operation: Operation, args: list[int]) -> int | None:
    memory, size = player.domain.memory, operation.what
    if operation.op is Op.POKE:
        memory.write(args[0], (args[1] & (1 << 8 * size) - 1).to_bytes(size, "little"))
        return 0
    if operation.op is Op.PEEK:
        return int.from_bytes(memory.read(args[0], size), "little")
    exit = FakeExit(reason=ExitReason.HYPERCALL, number=operation.what, args=args + [0] * (5 - len(args)))
    exit.virtual_ns = player.vcpu.virtual_ns
    player.vcpu.exit = exit
    outcome = handle_exit(player.domain, player.vcpu, exit)
    if outcome is Outcome.BLOCK:
        _wait(player)
    return None if outcome is Outcome.STOP else exit.result & U64_MASK


def _wait(player: Player) -> None:
    """Let virtual time pass until something is pending; a domain that nothing wakes ends."""
    domain, vcpu = player.domain, player.vcpu
    while not vcpu.event_pending:
        due_ns = domain.timers.next_due_ns
        if due_ns is None:
            domain.end(IDLE)
            return
        vcpu.skip_to(due_ns)
        domain.timers.run_due()
