# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain on a physical CPU, and its vCPUs as they take turns there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pvisor.abi.areas.power import POLL
from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import Ending
from pvisor.domain.scheduling import VcpuState, VcpuTimes
from pvisor.machine.timers import NEVER
from pvisor.vmm.credit import Account, Entity
from pvisor.vmm.turn import Turn

if TYPE_CHECKING:
    from pvisor.vmm.physical_cpu import PhysicalCpu


@dataclass(slots=True, eq=False)
class Runner(Entity):
    """A vCPU that takes turns."""

    member: Member = field(kw_only=True)
    vcpu: Vcpu = field(kw_only=True)
    turn: Turn = field(kw_only=True)
    native: Any = field(kw_only=True, default=None)
    """Its `pv_runner`, where native handlers may hand the CPU over."""
    state: VcpuState = VcpuState.DOWN
    since_ns: int = 0
    """When it became runnable, or began to run."""
    run_ns: int = 0
    steal_ns: int = 0


@dataclass(slots=True, eq=False)
class Member:
    """A domain on a physical CPU; `Domain.scheduling` of it."""

    domain: Domain
    account: Account
    cpu: PhysicalCpu
    on_kick: Callable[[], Ending | None]
    on_turn: Callable[[int, int], object]
    deliver: Callable[[Vcpu], None]
    """`Domain.notify` of the wing, which is made to wake the vCPU as well."""
    runners: list[Runner] = field(default_factory=list)
    due_ns: int = NEVER
    n_unheard: int = 0
    """Deadlines that came since its last turn and woke nobody, while no vCPU of this CPU could run."""
    is_viewed: bool = False
    """Somebody looks at its screen."""
    on_look: Callable[[], Ending | None] = lambda: None
    """Called while it runs, when virtual time has reached `look_ns`, and then each `look_every_ns`."""
    look_ns: int = NEVER
    look_every_ns: int = NEVER
    on_end: Callable[[], object] = lambda: None
    """Called when it has ended and takes no more turns."""

    def wake(self, vcpu_id: int) -> None:
        """A blocked vCPU goes on, whether it has an event or not."""
        self.cpu.wake(self.runners[vcpu_id])

    def up(self, vcpu_id: int) -> None:
        """A vCPU that is down takes turns from now on."""
        runner = self.runners[vcpu_id]
        if runner.state is VcpuState.DOWN:
            self.cpu.make_runnable(runner)

    def down(self, vcpu_id: int) -> None:
        """It takes no more turns; one that runs does so to the end of its exit."""
        runner = self.runners[vcpu_id]
        self.cpu.queue.dequeue(runner)
        if runner.state is VcpuState.RUNNABLE:
            runner.steal_ns += self.cpu.now() - runner.since_ns
        runner.state = VcpuState.DOWN
        if runner.native is not None:
            runner.native.is_asleep, runner.native.steal_ns = 0, runner.steal_ns

    def times(self, vcpu_id: int) -> VcpuTimes:
        """What a vCPU does, and has done, up to now."""
        runner = self.runners[vcpu_id]
        run_ns, steal_ns, passed_ns = runner.run_ns, runner.steal_ns, self.cpu.now() - runner.since_ns
        if runner.state is VcpuState.RUNNING:
            run_ns += passed_ns
        elif runner.state is VcpuState.RUNNABLE:
            steal_ns += passed_ns
        return VcpuTimes(runner.state, run_ns, steal_ns)

    def look(self) -> bool:
        """Somebody looks at it. True: that ended it."""
        self.look_ns = min(NEVER, self.cpu.now() + self.look_every_ns)
        ending = self.on_look()
        if ending is not None:
            self.domain.end(ending)
        return ending is not None

    def run_due(self) -> None:
        """Act for the deadlines that have come, and wake whom that gave an event. Its clocks are right."""
        self.domain.timers.run_due()
        self.wake_by_events()

    def wake_by_events(self) -> bool:
        """Wake the vCPUs that have an event. Does one of its vCPUs wait for its turn then?"""
        found = False
        for runner in self.runners:
            if runner.state is VcpuState.BLOCKED and runner.vcpu.has_event:
                self.cpu.wake(runner)
            if runner.state is VcpuState.RUNNABLE:
                found = True
        return found

    def catch_up(self) -> None:
        """Set the clocks of its vCPUs that do not run to the CPU's."""
        now_ns, current = self.cpu.now(), self.cpu.current
        for runner in self.runners:
            if runner is not current:
                runner.vcpu.skip_to(now_ns)

    @property
    def can_wake(self) -> bool:
        """Might a device's signal wake one of its vCPUs?"""
        for runner in self.runners:
            if runner.state is VcpuState.BLOCKED:
                vcpu = runner.vcpu
                if vcpu.exit.reason == ExitReason.HYPERCALL and vcpu.exit.number == POLL.nr:
                    return True  # it needs no interrupt: a port or its time ends it
                if vcpu.virtual_if or (not vcpu.nmi_blocked and self.domain.has_nmi_source()):
                    return True
        return False
