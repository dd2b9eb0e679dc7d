# SPDX-License-Identifier: GPL-2.0-or-later
"""The builder's right wing: a paravirtual domain, with all its rooms."""

from __future__ import annotations

from pvisor.abi.areas import events as event_rows
from pvisor.cpu.grant_window import GrantWindow
from pvisor.cpu.shim import ffi
from pvisor.cpu.unicorn_engine import DEVICE_CPU, DEVICE_EVENTS, DEVICE_RUNNER, UnicornVcpu
from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.domain import Domain
from pvisor.errors import UsageError
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.memory import PAGE_BYTES
from pvisor.machine.timers import Timers
from pvisor.para import segments, start
from pvisor.para.balloon import Balloon
from pvisor.para.control import set_task_switched
from pvisor.para.cpu import ParaWing, VirtualCpus
from pvisor.para.paging import Paging
from pvisor.para.start import Started
from pvisor.para.vcpus import VcpusRoom
from pvisor.vmm.builder import Machine, Parts, domain_of
from pvisor.vmm.io_rooms import IoRooms
from pvisor.vmm.para_devices import attach_devices

PARA_FRAMES = 32
VIRQ_BALLOON = event_rows.VIRQ_BALLOON.number


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
    domain.timers.seed = parts.config.seed
    rooms = _Rooms(parts, domain, vcpus, frames, started)
    wing = ParaWing(offered, rooms.served, rooms.cpus, rooms.io.console.served)
    rooms.io.multicall.table = wing.calls
    domain.wing = wing
    attach_devices(parts, domain)
    return Machine(domain, vcpus, parts.image, on_turn=rooms.io.on_turn, balloon=rooms.balloon)


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
        self._vcpus, self._shared, at = vcpus, started.shared, started.placement
        self.paging = paging = Paging(parts.memory, vcpus)
        parts.owned.callback(paging.frames.close)
        paging.start(started.root, started.hole.root_entry, 1)
        for vcpu in vcpus:
            paging.attach(vcpu)
        paging.frames.hold(started.shared.gpa // PAGE_BYTES, writable=True)
        self.io = IoRooms(parts, domain, vcpus, started.shared, paging.frames, GrantWindow(vcpus))
        self.cpus = VirtualCpus(
            frames, started.hole.gdts, started.shared, len(vcpus),
            spaces=paging, holds=paging.frames, initialise=self.io.initialise_shared_page,
        )  # fmt: skip
        for vcpu, state in zip(vcpus, self.cpus.states, strict=True):
            vcpu.v.device[DEVICE_CPU] = state
        domain.notify = self.cpus.interrupts.notify
        self.balloon = Balloon(
            paging.frames, (at.kernel_start, at.kernel_end, at.first_free),
            lambda: self.io.events.raise_virq(VIRQ_BALLOON),
        )  # fmt: skip
        vcpu_room = VcpusRoom(self.begin_vcpu, self.end_vcpu)
        self.served = (*self.io.served, vcpu_room.served, paging.served, self.balloon.served)
        self.io.initialise_shared_page()
        if parts.config.tier == "native":
            self._let_natives_signal(parts.config.max_insns or 0)

    def _let_natives_signal(self, max_insns: int) -> None:
        events = self.io.events
        events.let_natives_signal([vcpu.v for vcpu in self._vcpus], self.io.power.native)
        for vcpu in self._vcpus:
            vcpu.runner = ffi.new("pv_runner *", {"vcpu": vcpu.v, "max_insns": max_insns})
            vcpu.v.device[DEVICE_EVENTS], vcpu.v.device[DEVICE_RUNNER] = events.native, vcpu.runner

    def begin_vcpu(self, vcpu: Vcpu, by: Vcpu) -> None:
        """A further vCPU is put into the start state, on the tables of the one that asks."""
        new = self._vcpus[vcpu.vcpu_id]
        new.complete()  # its last call has a result still, and that is not the new life's
        new.reset_registers()
        set_task_switched(new, False)
        self.cpus.reset(new.vcpu_id)
        self.paging.begin_vcpu(new, by)
        segments.start_segments(new, segments.gdt_gva(new.vcpu_id))
        self._shared.set_upcall_masked(new.vcpu_id, True)

    def end_vcpu(self, vcpu: Vcpu) -> None:
        """A vCPU goes down."""
        self.io.end_vcpu(vcpu)
        self.paging.end_vcpu(vcpu)


def _refuse_what_only_a_pc_has(parts: Parts) -> None:
    config = parts.config
    if config.module_files:
        raise UsageError(f"{config.module_files[0].option}: only a PC kernel gets boot modules")
    if config.screen:
        raise UsageError("--screen: a paravirtual guest has no screen and no keyboard, only its console")
