# SPDX-License-Identifier: GPL-2.0-or-later
"""The rooms that any guest may have, however its CPU and memory are virtualized: those of para and hybrid.

They reach the guest through three protocols of the domain layer alone: an upcall is delivered
(`Domain.notify`), a granted frame is shown (`Window`), a guest pointer is translated (`Domain.pointers`).
"""

from __future__ import annotations

from collections.abc import Sequence

from pvisor.abi.areas import events as event_rows
from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.domain import Domain
from pvisor.para.console import ConsoleInputRoom
from pvisor.para.grant_calls import Grants
from pvisor.para.grants import FrameHolder, Window
from pvisor.para.hypercalls import Served
from pvisor.para.multicall import MulticallRoom
from pvisor.para.power import PowerRoom
from pvisor.para.shared import SharedPage
from pvisor.para.timer import TimerRoom
from pvisor.vmm.builder import Parts

VIRQ_TIMER, VIRQ_CONSOLE, VIRQ_STORE = (
    row.number for row in (event_rows.VIRQ_TIMER, event_rows.VIRQ_CONSOLE, event_rows.VIRQ_STORE)
)


class IoRooms:
    """Events, grants, store, timers, waiting and batches of one domain. It is in the hubs from here on."""

    def __init__(
        self, parts: Parts, domain: Domain, vcpus: Sequence[Vcpu], shared: SharedPage,
        frames: FrameHolder | None, window: Window,
    ) -> None:  # fmt: skip
        self._domain, self._vcpus, self.shared = domain, vcpus, shared
        self.multicall, self.power = MulticallRoom(), PowerRoom(shared)
        world, domid = parts.world, parts.domid
        self.events = events = world.events.add(domain, shared)
        parts.owned.callback(world.events.remove, domid)
        events.on_signal = lambda port: self.power.on_pending(domain, port)
        self.console = ConsoleInputRoom(domain, lambda: events.raise_virq(VIRQ_CONSOLE))
        events.on_virq_bound[VIRQ_CONSOLE] = self.console.watch
        grants = world.grants.add(domid, parts.memory, frames, window)
        parts.owned.callback(world.grants.remove, domid)
        store = world.store.add(domid, lambda: events.raise_virq(VIRQ_STORE))
        parts.owned.callback(world.store.remove, domid)
        self.timer = TimerRoom(lambda vcpu_id: events.raise_virq(VIRQ_TIMER, vcpu_id))
        self.served: tuple[Served, ...] = (
            self.power.served, self.multicall.served, self.timer.served, events.served,
            Grants(grants).served, store.served,
        )  # fmt: skip

    def initialise_shared_page(self) -> None:
        """The shared page as at the start."""
        wall_s, wall_ns = self._domain.wall_clock.at(0)
        self.shared.clear()
        self.shared.set_wall_clock(wall_s, wall_ns, len(self._vcpus))
        for vcpu in self._vcpus:
            self.shared.start_time(vcpu.vcpu_id)

    def on_turn(self, vcpu_id: int, steal_ns: int) -> None:
        """A vCPU begins a turn."""
        self.power.forget(vcpu_id)
        self.shared.set_steal(vcpu_id, steal_ns)

    def end_vcpu(self, vcpu: Vcpu) -> None:
        """A vCPU goes down."""
        self.timer.stop(vcpu.vcpu_id)
        self.power.forget(vcpu.vcpu_id)
