# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual time at the pace of the host's clock (`--realtime`).

A guest runs fewer instructions in a second than there are nanoseconds, so while it computes its time falls
behind; after each step it is set forward to the host's. Where it sleeps, or an engine is faster than a
nanosecond an instruction, the host waits. Runs do not repeat then.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pvisor.machine.clock import NS_PER_S
from pvisor.vmm.physical_cpu import PhysicalCpu

STEP_NS = 1_000_000
"""Virtual time between two looks at the host's clock: so long the two may differ by what a step takes."""
MAX_SLEEP_S = 0.1
"""How long the host sleeps at a stretch: so long a signal may go unheard."""


class Pace:
    """Keeps a physical CPU with the host's clock, from its making on."""

    def __init__(
        self,
        cpu: PhysicalCpu,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep_s: Callable[[float], object] = time.sleep,
    ) -> None:
        self._cpu = cpu
        self._clock_ns = clock_ns
        self._sleep_s = sleep_s
        self._begun_ns = clock_ns() - cpu.now()

    def step(self) -> None:
        """Run a step of virtual time, then make it as late as on the host."""
        cpu = self._cpu
        cpu.run(cpu.now() + STEP_NS)
        ahead_ns = cpu.now() - (self._clock_ns() - self._begun_ns)
        if ahead_ns < 0:
            cpu.set_forward(-ahead_ns)
        elif ahead_ns and cpu.members:
            self._sleep_s(min(MAX_SLEEP_S, ahead_ns / NS_PER_S))
