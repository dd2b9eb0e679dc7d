# SPDX-License-Identifier: GPL-2.0-or-later
"""The builder's right wing: a paravirtual domain, with all its rooms."""

from __future__ import annotations

from collections.abc import Callable

from pvisor.cpu.grant_window import GrantWindow
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.errors import UsageError
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.timers import Timers
from pvisor.para import start
from pvisor.para.cpu import ParaWing
from pvisor.para.grant_calls import Grants
from pvisor.para.multicall import MulticallRoom
from pvisor.para.power import PowerRoom
from pvisor.para.shared import SharedPage
from pvisor.vmm.builder import Machine, Parts, domain_of

PARA_FRAMES = 32


def build_para(parts: Parts) -> Machine:
    """Make the domain. Raises UsageError for what only a PC has."""
    config = parts.config
    _refuse_what_only_a_pc_has(parts)
    frames = HypervisorFrames(PARA_FRAMES)
    parts.owned.callback(frames.close)
    vcpus = []
    for vcpu_id in range(config.n_vcpus):
        vcpus.append(UnicornVcpu(parts.memory, frames, vcpu_id))
        parts.owned.callback(vcpus[-1].close)
        vcpus[-1].v.vcpu_id = vcpu_id
        vcpus[-1].v.virtual_if = vcpus[-1].v.tsc_runs = 1
    offered = start.offered_features(config.transport)
    started = start.load(
        parts.image, parts.memory, frames, vcpus,
        cmdline=config.cmdline, transport=config.transport, offered=offered, domid=parts.domid,
    )  # fmt: skip
    multicall = MulticallRoom()
    world = parts.world
    table = world.grants.add(parts.domid, parts.memory, None, GrantWindow(vcpus))
    parts.owned.callback(world.grants.remove, parts.domid)
    power = PowerRoom(started.shared)
    rooms = (power.served, multicall.served, Grants(table).served)
    wing = ParaWing(offered, rooms)
    multicall.table = wing.calls
    domain = domain_of(parts, wing)
    domain.timers = Timers(lambda: vcpus[0].virtual_ns)
    wall_s, wall_ns = domain.wall_clock.at(0)
    started.shared.set_wall_clock(wall_s, wall_ns, len(vcpus))
    started.shared.start_time(0)
    return Machine(domain, vcpus, parts.image, on_turn=_on_turn(started.shared, power))


def _on_turn(shared: SharedPage, power: PowerRoom) -> Callable[[int, int], None]:
    def on_turn(vcpu_id: int, steal_ns: int) -> None:
        power.forget(vcpu_id)
        shared.set_steal(vcpu_id, steal_ns)

    return on_turn


def _refuse_what_only_a_pc_has(parts: Parts) -> None:
    config = parts.config
    if config.module_files:
        raise UsageError(f"{config.module_files[0].option}: only a PC kernel gets boot modules")
    if config.disks:
        raise UsageError("--disk: only a PC kernel has a disk")
    if config.net:
        raise UsageError("--net: a paravirtual guest has no network card")
    if config.screen:
        raise UsageError("--screen: a paravirtual guest has no screen and no keyboard, only its console")
