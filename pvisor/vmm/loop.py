# SPDX-License-Identifier: GPL-2.0-or-later
"""The run loop for one domain: a physical CPU that it has to itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import (
    STATUS_INTERRUPTED,
    STATUS_TIME_OVER,
    EndedBy,
    Ending,
)
from pvisor.vmm.credit import Account
from pvisor.vmm.pace import Pace
from pvisor.vmm.physical_cpu import IDLE, PhysicalCpu
from pvisor.vmm.turn import BUDGET_USED
from pvisor.vmm.waiting import MAX_DEADLINES_ASLEEP
from pvisor.vmm.watch import Watcher

TIME_OVER = Ending(EndedBy.BUDGET, STATUS_TIME_OVER, "the guest's time is over (--timeout)")
INTERRUPTED = Ending(EndedBy.INTERRUPTED, STATUS_INTERRUPTED, "interrupted")


class RunLoop:
    """Runs one domain to its end.

    `on_kick` says why a kick came: an Ending, or None to go on. `drain_trace` empties a full trace.
    `is_viewed`: somebody looks at the guest's screen, so time that it sleeps passes for him too. `realtime`:
    all its time passes as the host's does. `watcher` looks at the guest from time to time.
    """

    def __init__(
        self,
        domain: Domain,
        vcpus: Vcpu | Sequence[Vcpu],
        *,
        on_kick: Callable[[], Ending | None],
        drain_trace: Callable[[], None],
        is_viewed: bool = False,
        realtime: bool = False,
        on_turn: Callable[[int, int], object] = lambda vcpu_id, steal_ns: None,
        watcher: Watcher | None = None,
    ) -> None:
        self._domain = domain
        self._cpu = PhysicalCpu()
        all_vcpus = vcpus if isinstance(vcpus, Sequence) else [vcpus]
        self._member = self._cpu.add(
            domain, all_vcpus, Account(),
            on_kick=on_kick, drain_trace=lambda vcpu: drain_trace, on_turn=on_turn,
        )  # fmt: skip
        self._member.is_viewed = is_viewed or realtime
        self._realtime = realtime
        if watcher is not None:
            self._member.on_look = watcher.look
            self._member.look_ns = self._member.look_every_ns = watcher.look_every_ns

    def run(self) -> Ending:
        """Run until the domain ends; it may be run again when its ending has been taken back.

        An exception of ours passes through, with where it happened attached.
        """
        if self._member not in self._cpu.members:
            self._cpu.admit(self._member)
        try:
            if self._realtime:
                pace = Pace(self._cpu)
                while self._domain.ending is None:
                    pace.step()
            else:
                self._cpu.run()
        finally:
            self._domain.console.flush()
        assert self._domain.ending is not None
        return self._domain.ending


__all__ = ["BUDGET_USED", "IDLE", "INTERRUPTED", "MAX_DEADLINES_ASLEEP", "TIME_OVER", "RunLoop"]
