# SPDX-License-Identifier: GPL-2.0-or-later
"""Physical CPUs side by side, each on a thread of the host, in steps of virtual time.

Each runs to the end of the step by itself. Then all have stopped, and what they sent one another is passed on
by one thread, in an order that depends on virtual times alone. So a run on threads repeats as any other does.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pvisor.machine.clock import END_OF_TIME_NS
from pvisor.machine.stepped_switch import SteppedSwitch
from pvisor.vmm.physical_cpu import PhysicalCpu

STEP_NS = 100_000


def run_apart(cpus: Sequence[PhysicalCpu], n_threads: int) -> None:
    """CPUs whose domains share nothing: each to its end."""
    with ThreadPoolExecutor(n_threads) as pool:
        for done in [pool.submit(cpu.run) for cpu in cpus]:
            done.result()


def run_in_steps(cpus: Sequence[PhysicalCpu], switches: Sequence[SteppedSwitch], n_threads: int) -> None:
    """CPUs whose domains send one another frames. A step that nobody has anything to do in is left out."""
    step_ns = 0
    with ThreadPoolExecutor(n_threads) as pool:
        while left := [cpu for cpu in cpus if cpu.members]:
            due_ns = min(cpu.busy_at_ns for cpu in left)
            if due_ns > END_OF_TIME_NS:
                for cpu in left:
                    cpu.end_all()
                break
            step_ns = max(step_ns, due_ns // STEP_NS * STEP_NS) + STEP_NS
            for done in [pool.submit(cpu.run, step_ns) for cpu in left]:
                done.result()
            for switch in switches:
                switch.pass_on(step_ns)
