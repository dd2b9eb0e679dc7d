# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains without a CPU for cases to be tried in: handlers, hubs, and memory whose GVAs are its GPAs.

Rooms come from the areas: a module `cases_<area>` may have `room(world, player)`, which makes the area's part
of one domain and gives what it serves, one Served or several. What no area has brought is not in the world,
and its cases are skipped. Power, timers, virtual CPUs and MULTICALL are always there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar, cast

from pvisor.abi import constants, features
from pvisor.abi.areas import power
from pvisor.abi.areas.events import VIRQ_TIMER
from pvisor.abi.model import Hypercall
from pvisor.cpu.exits import ExitReason
from pvisor.domain.domain import Domain, handle_exit
from pvisor.domain.outcome import EndedBy, Ending, Outcome
from pvisor.domain.scheduling import VcpuState, VcpuTimes
from pvisor.errors import DomainCrash
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.machine.timers import Timers
from pvisor.para import tables
from pvisor.para.cpu import ParaWing, VirtualCpus
from pvisor.para.events import EventTable
from pvisor.para.hypercalls import Served
from pvisor.para.multicall import MulticallRoom
from pvisor.para.power import PowerRoom
from pvisor.para.shared import SharedPage
from pvisor.para.timer import TimerRoom
from pvisor.para.vcpus import VcpusRoom
from pvisor.vmm.loop import IDLE, MAX_DEADLINES_ASLEEP
from tests.conformance.case import Case, area_modules
from tests.conformance.plan import Layout, Op, Operation, Planner, compare
from tests.conformance.rows import C, D, initial
from tests.conformance.verdict import CaseError, Report, Verdict
from tests.domain.fakes import MEMORY_BYTES, FakeExit, FakeVcpu

T = TypeVar("T")

PAGES, DATA, SHARED, TABLES, FIRST_FREE = 0x1_0000, 0x2_0000, 0x3_0000, 0x3_1000, 0x4_0000
U64_MASK = (1 << 64) - 1
CHANGED = "a call that was refused has changed the memory"
HOLE_ENTRY = 0x1_0000_0000_0000 - 0x1000 | tables.P | tables.A
"""Stands for the hypervisor's own table in the fakes' roots: no frame of the domain."""


@dataclass
class HandScheduling:
    """A domain's vCPUs without turns: number 0 runs, the others are what they were made."""

    states: list[VcpuState]
    is_woken: bool = False

    def wake(self, vcpu_id: int) -> None:
        """Remember it."""
        self.is_woken |= vcpu_id == 0

    def up(self, vcpu_id: int) -> None:
        """It would take turns."""
        self.states[vcpu_id] = VcpuState.RUNNABLE

    def down(self, vcpu_id: int) -> None:
        """It would take none."""
        self.states[vcpu_id] = VcpuState.DOWN

    def times(self, vcpu_id: int) -> VcpuTimes:
        """What it is."""
        return VcpuTimes(self.states[vcpu_id])


@dataclass
class Player:
    """A domain of the world. `parts` has what areas made for it, by type, for areas after them."""

    domain: Domain
    vcpus: list[FakeVcpu]
    shared: SharedPage
    root: int
    scheduling: HandScheduling
    parts: dict[type, object] = field(default_factory=dict)

    @property
    def vcpu(self) -> FakeVcpu:
        """The one that makes the steps."""
        return self.vcpus[0]

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
            "n_vcpus": len(self.vcpus), "stack_bottom": TABLES - PAGE_BYTES,
            "hypercall_page": constants.HOLE_START.number + PAGE_BYTES,
        }  # fmt: skip
        return Layout(PAGES, PAGES, DATA, PAGES, start)


@dataclass
class World:
    """Domains 1 and, in world "two", 2, on the same hubs."""

    players: dict[int, Player] = field(default_factory=dict)
    hubs: dict[type, object] = field(default_factory=dict)
    served: set[Hypercall] = field(default_factory=set)
    """The calls that domain 1 has a room for."""

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


def build_world(name: str = "alone", offered: int | None = None, n_vcpus: int = 1) -> World:
    """A world; `offered` are the features, or None for all that its rooms have calls for."""
    world = World()
    for domid in (1, 2) if name == "two" else (1,):
        world.players[domid] = player = _player(domid, n_vcpus)
        rooms: list[Served] = []
        for module in area_modules():
            if hasattr(module, "room"):
                served = module.room(world, player)
                rooms.extend([served] if isinstance(served, Served) else served)
        multicall = MulticallRoom()
        rooms.extend((*_rooms_of_time(player), multicall.served))
        world.served = {call for one in rooms for call in (*one.answers, *one.decides)}
        wing = ParaWing(_features_of(world.served) if offered is None else offered, rooms)
        player.domain.wing, multicall.table = wing, wing.calls
        cpus = player.parts.get(VirtualCpus)
        if isinstance(cpus, VirtualCpus):
            player.domain.notify = cpus.interrupts.notify
    return world


def _rooms_of_time(player: Player) -> list[Served]:
    """Who sleeps, until when, and who is up. The timer signals where an area has brought event channels."""

    events = player.parts.get(EventTable)
    power = player.part(PowerRoom, lambda: PowerRoom(player.shared))
    if isinstance(events, EventTable):
        events.on_signal = lambda port: power.on_pending(player.domain, port)

    def signal(vcpu_id: int) -> None:
        if isinstance(events, EventTable):
            events.raise_virq(VIRQ_TIMER.number, vcpu_id)

    vcpus = VcpusRoom(begin=lambda new, caller: None, end=lambda old: None)
    return [power.served, TimerRoom(signal).served, vcpus.served]


def _player(domid: int, n_vcpus: int) -> Player:
    memory = GuestMemory(MEMORY_BYTES)
    vcpus = [FakeVcpu(memory) for _ in range(n_vcpus)]
    memory.write(PAGES, initial())
    memory.write(PAGES + C, b"c" * PAGE_BYTES)
    for vcpu_id, vcpu in enumerate(vcpus):
        vcpu.vcpu_id = vcpu_id
        vcpu.read_only.add(PAGES + C)
        vcpu.absent.add(PAGES + D)
    domain = Domain(domid, f"fake-{domid}", memory, ParaWing(0), [*vcpus], ConsoleOutput(), NoInput())
    domain.timers = Timers(lambda: vcpus[0].virtual_ns)
    scheduling = HandScheduling([VcpuState.RUNNING] + [VcpuState.DOWN] * (n_vcpus - 1))
    domain.scheduling = scheduling
    shared = SharedPage(memory, SHARED)
    shared.clear()
    shared.set_wall_clock(*domain.wall_clock.at(0), n_vcpus)
    for vcpu_id in range(n_vcpus):
        shared.start_time(vcpu_id)
    return Player(domain, vcpus, shared, _tables(memory, vcpus), scheduling)


def _tables(memory: GuestMemory, vcpus: Sequence[FakeVcpu]) -> int:
    """First page tables as a domain has them; they are read-only to the guest. The root's GPA."""
    builder = tables.TableBuilder(memory, TABLES)
    builder.map(tables.PageRange(PAGE_BYTES, PAGE_BYTES, MEMORY_BYTES // PAGE_BYTES - 1, tables.READ_WRITE))
    builder.map(tables.PageRange(PAGES + C, PAGES + C, 1, tables.READ_ONLY))
    builder.map(tables.PageRange(PAGES + D, PAGES + D, 1, 0))
    n_pages = tables.n_tables(MEMORY_BYTES, ())
    builder.map(tables.PageRange(TABLES, TABLES, n_pages, tables.READ_ONLY))
    builder.set_root_entry(tables.HOLE_SLOT, HOLE_ENTRY)
    end = builder.finish()
    for vcpu in vcpus:
        vcpu.read_only.update(range(TABLES, end, PAGE_BYTES))
    return builder.root


def _features_of(calls: Iterable[Hypercall]) -> int:
    offered = features.CONSOLE_INPUT.mask
    for call in calls:
        offered |= call.feature.mask if call.feature is not None else 0
    return offered


# --- cases


def run_on_handlers(case: Case, world: World | None = None) -> Report:
    """Try a case on the bare handlers; in a given world whatever that offers."""
    try:
        if case.by_guests_only:
            return Report(Verdict.SKIP, "it needs a CPU that uses its tables")
        if world is None:
            world = build_world(case.world, n_vcpus=case.n_vcpus)
            missing = {call.name for call in case.calls if call.feature is not None} - {
                call.name for call in world.served
            }
            if missing:
                return Report(Verdict.SKIP, f"nobody serves {', '.join(sorted(missing))} here")
        plan = Planner(case, {domid: player.layout for domid, player in world.players.items()})
        plan.plan()
        for domid, at, content in plan.contents:
            world.players[domid].domain.memory.write(at, content)
        results, ending = run(world, plan.operations)
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


def run(world: World, operations: list[Operation]) -> tuple[list[int | None], str]:
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
    if exit.is_answered:  # an IRET, which leads to code that sleeps (Asleep)
        sleep = FakeExit(reason=ExitReason.HYPERCALL, number=power.BLOCK.nr)
        handle_exit(player.domain, player.vcpu, sleep)
        _wait(player)
        return None
    if outcome is Outcome.BLOCK:
        _wait(player)
    return None if outcome is Outcome.STOP else exit.result & U64_MASK


def _wait(player: Player) -> None:
    """Let virtual time pass until something wakes the vCPU; a domain that nothing wakes ends."""
    domain, vcpu, scheduling = player.domain, player.vcpu, player.scheduling
    scheduling.is_woken = False
    for n_deadlines in count():
        if vcpu.event_pending or scheduling.is_woken:
            return
        due_ns = domain.timers.next_due_ns
        if due_ns is None or n_deadlines == MAX_DEADLINES_ASLEEP:
            domain.end(IDLE)
            return
        vcpu.skip_to(due_ns)
        domain.timers.run_due()
    power = player.parts[PowerRoom]
    assert isinstance(power, PowerRoom)
    power.forget(vcpu.vcpu_id)
