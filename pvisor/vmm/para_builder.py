# SPDX-License-Identifier: GPL-2.0-or-later
"""The builder's right wing: a paravirtual domain, with all its rooms."""

from __future__ import annotations

from pvisor.abi.areas import events as event_rows
from pvisor.cpu.grant_window import GrantWindow
from pvisor.cpu.unicorn_engine import DEVICE_CPU, UnicornVcpu
from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.domain import Domain
from pvisor.errors import UsageError
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.memory import PAGE_BYTES
from pvisor.machine.timers import Timers
from pvisor.para import segments, start
from pvisor.para.balloon import Balloon
from pvisor.para.cpu import ParaWing, VirtualCpus
from pvisor.para.events import EventTable
from pvisor.para.grant_calls import Grants
from pvisor.para.hypercalls import Served
from pvisor.para.multicall import MulticallRoom
from pvisor.para.paging import Paging
from pvisor.para.power import PowerRoom
from pvisor.para.start import Started
from pvisor.para.timer import TimerRoom
from pvisor.para.vcpus import VcpusRoom
from pvisor.vmm.builder import Machine, Parts, domain_of
from pvisor.vmm.para_devices import attach_devices

PARA_FRAMES = 32
VIRQ_TIMER, VIRQ_STORE, VIRQ_BALLOON = (
    row.number for row in (event_rows.VIRQ_TIMER, event_rows.VIRQ_STORE, event_rows.VIRQ_BALLOON)
)


def build_para(parts: Parts) -> Machine:
    """Make the domain. Raises UsageError for what only a PC has."""
    config = parts.config
    _refuse_what_only_a_pc_has(parts)
    frames = HypervisorFrames(PARA_FRAMES)
    parts.owned.callback(frames.close)
    vcpus = [_vcpu(parts, frames, vcpu_id) for vcpu_id in range(config.n_vcpus)]
    offered = start.offered_features(config.transport)
    started = start.load(
        parts.image, parts.memory, frames, vcpus,
        cmdline=config.cmdline, transport=config.transport, offered=offered, domid=parts.domid,
    )  # fmt: skip
    domain = domain_of(parts, ParaWing(offered))
    domain.timers = Timers(lambda: vcpus[0].virtual_ns)
    rooms = _Rooms(parts, domain, vcpus, frames, started)
    rooms.initialise_shared_page()
    wing = ParaWing(offered, rooms.served, rooms.cpus)
    rooms.multicall.table = wing.calls
    domain.wing = wing
    attach_devices(parts, domain)
    return Machine(domain, vcpus, parts.image, on_turn=rooms.on_turn, balloon=rooms.balloon)


def _vcpu(parts: Parts, frames: HypervisorFrames, vcpu_id: int) -> UnicornVcpu:
    vcpu = UnicornVcpu(parts.memory, frames, vcpu_id)
    parts.owned.callback(vcpu.close)
    vcpu.v.vcpu_id = vcpu_id
    vcpu.v.virtual_if = vcpu.v.tsc_runs = 1
    return vcpu


class _Rooms:
    """The rooms of one domain, and who tells whom."""

    def __init__(self, parts: Parts, domain: Domain, vcpus: list[UnicornVcpu], frames: HypervisorFrames,
                 started: Started) -> None:  # fmt: skip
        self._domain, self._vcpus, self._shared = domain, vcpus, started.shared
        self.multicall, self.power = MulticallRoom(), PowerRoom(started.shared)
        self.paging = Paging(parts.memory, vcpus)
        parts.owned.callback(self.paging.frames.close)
        self.paging.start(started.root, started.hole.root_entry, 1)
        for vcpu in vcpus:
            self.paging.attach(vcpu)
        self.paging.frames.hold(started.shared.gpa // PAGE_BYTES, writable=True)
        self.cpus = VirtualCpus(
            frames, started.hole.gdts, started.shared, len(vcpus),
            spaces=self.paging, holds=self.paging.frames, initialise=self.initialise_shared_page,
        )  # fmt: skip
        for vcpu, state in zip(vcpus, self.cpus.states, strict=True):
            vcpu.v.device[DEVICE_CPU] = state
        self.events = self._join(parts, started)
        self.timer = TimerRoom(lambda vcpu_id: self.events.raise_virq(VIRQ_TIMER, vcpu_id))
        self.vcpu_room = VcpusRoom(self.begin_vcpu, self.end_vcpu)

    def _join(self, parts: Parts, started: Started) -> EventTable:
        """Enter the hubs, to be left again when the domain goes."""
        world, domid, at = parts.world, parts.domid, started.placement
        events = world.events.add(self._domain, started.shared)
        parts.owned.callback(world.events.remove, domid)
        events.on_signal = lambda port: self.power.on_pending(self._domain, port)
        window = GrantWindow(self._vcpus)
        grants = world.grants.add(domid, parts.memory, self.paging.frames, window)
        parts.owned.callback(world.grants.remove, domid)
        store = world.store.add(domid, lambda: events.raise_virq(VIRQ_STORE))
        parts.owned.callback(world.store.remove, domid)
        self.balloon = Balloon(
            self.paging.frames, (at.kernel_start, at.kernel_end, at.first_free),
            lambda: events.raise_virq(VIRQ_BALLOON),
        )  # fmt: skip
        self._hub_calls = (events.served, Grants(grants).served, store.served)
        return events

    @property
    def served(self) -> tuple[Served, ...]:
        """What all of them serve, but for the CPU's rooms."""
        return (
            self.power.served, self.multicall.served, self.timer.served, self.vcpu_room.served,
            self.paging.served, self.balloon.served, *self._hub_calls,
        )  # fmt: skip

    def initialise_shared_page(self) -> None:
        """The shared page as at the start."""
        wall_s, wall_ns = self._domain.wall_clock.at(0)
        self._shared.clear()
        self._shared.set_wall_clock(wall_s, wall_ns, len(self._vcpus))
        for vcpu in self._vcpus:
            self._shared.start_time(vcpu.vcpu_id)

    def on_turn(self, vcpu_id: int, steal_ns: int) -> None:
        """A vCPU begins a turn."""
        self.power.forget(vcpu_id)
        self._shared.set_steal(vcpu_id, steal_ns)

    def begin_vcpu(self, vcpu: Vcpu, by: Vcpu) -> None:
        """A further vCPU is put into the start state, on the tables of the one that asks."""
        new = self._vcpus[vcpu.vcpu_id]
        new.reset_registers()
        self.cpus.reset(new.vcpu_id)
        self.paging.begin_vcpu(new, by)
        segments.start_segments(new, segments.gdt_gva(new.vcpu_id))
        self._shared.set_upcall_masked(new.vcpu_id, True)

    def end_vcpu(self, vcpu: Vcpu) -> None:
        """A vCPU goes down."""
        self.timer.stop(vcpu.vcpu_id)
        self.power.forget(vcpu.vcpu_id)
        self.paging.end_vcpu(vcpu)


def _refuse_what_only_a_pc_has(parts: Parts) -> None:
    config = parts.config
    if config.module_files:
        raise UsageError(f"{config.module_files[0].option}: only a PC kernel gets boot modules")
    if config.screen:
        raise UsageError("--screen: a paravirtual guest has no screen and no keyboard, only its console")
