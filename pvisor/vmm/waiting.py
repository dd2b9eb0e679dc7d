# SPDX-License-Identifier: GPL-2.0-or-later
"""What a physical CPU does while none of its vCPUs can run: virtual time goes on, or the host waits.

Time moves from deadline to deadline until one of them wakes a vCPU. Where somebody may type to wake one, or
looks at its screen, the time goes by as fast as the host's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pvisor.machine.clock import END_OF_TIME_NS, NS_PER_S
from pvisor.machine.input_watch import InputWatch
from pvisor.machine.timers import NEVER
from pvisor.vmm.member import Member
from pvisor.vmm.physical_cpu import PhysicalCpu

MAX_DEADLINES_ASLEEP = 50_000
"""After so many deadlines that did not wake a guest, none of its will: a timer that it has masked goes on."""

HOST_WAIT_S = 0.1
"""How long the host sleeps at a stretch: so long a signal may go unheard."""


def wait(cpu: PhysicalCpu) -> None:
    """Nobody can run: let time pass until a vCPU can. Domains that nothing can wake are ended."""
    while cpu.members and cpu.now() < cpu.limit_ns:
        watched, due_ns = _what_may_wake(cpu)
        due_ns = min(due_ns, cpu.limit_ns)
        if watched:
            watcher = watched[0][0]
            _pass_time(cpu, due_ns, watcher.domain.input.wait)
        elif due_ns > END_OF_TIME_NS:
            cpu.end_all()
            return
        elif True in [member.is_viewed for member in cpu.members]:
            _pass_time(cpu, due_ns, time.sleep)
        else:
            cpu.advance(due_ns)
        _act(cpu, watched)
        cpu.hear_kicks()
        if somebody_can_run(cpu):
            return


def _act(cpu: PhysicalCpu, watched: list[tuple[Member, InputWatch]]) -> None:
    """Deadlines have come, or something was typed."""
    now_ns = cpu.now()
    for member in [one for one in cpu.members if one.due_ns <= now_ns]:
        member.n_unheard += not watched
        member.run_due()
        if member.domain.ending is not None:
            cpu.remove(member)
    for member, watch in watched:
        if member in cpu.members:
            watch.release()
            member.wake_by_events()


def somebody_can_run(cpu: PhysicalCpu) -> bool:
    """Is there a vCPU whose turn it could be now?"""
    cpu.queue.advance(cpu.now())
    found = False
    for member in cpu.members:
        if member.wake_by_events() and not member.account.is_parked:
            found = True
    return found


def next_due_ns(cpu: PhysicalCpu) -> int:
    """The next deadline that may wake a vCPU; NEVER: there is none. It is now where somebody may type."""
    watched, due_ns = _what_may_wake(cpu)
    for _, watch in watched:
        watch.release()
    return cpu.now() if watched else due_ns


def _what_may_wake(cpu: PhysicalCpu) -> tuple[list[tuple[Member, InputWatch]], int]:
    """Who waits for what is typed; and the next deadline, NEVER where there is none."""
    watched: list[tuple[Member, InputWatch]] = []
    due_ns = cpu.queue.parked_until_ns
    next_ns = NEVER if due_ns is None else due_ns
    for member in cpu.members:
        if member.can_wake:
            watched += [(member, watch) for watch in member.domain.watches if watch.hold()]
            if member.n_unheard < MAX_DEADLINES_ASLEEP:
                next_ns = min(next_ns, member.due_ns)
    return watched, next_ns


def _pass_time(cpu: PhysicalCpu, due_ns: int, wait_s: Callable[[float], object]) -> None:
    """Let the host wait until the deadline, or for something else; a signal is heard in between."""
    now_ns, begun_ns = cpu.now(), time.monotonic_ns()
    wait_s(HOST_WAIT_S if due_ns == NEVER else min(HOST_WAIT_S, max(0, due_ns - now_ns) / NS_PER_S))
    cpu.advance(min(due_ns, now_ns + time.monotonic_ns() - begun_ns))
