# SPDX-License-Identifier: GPL-2.0-or-later
"""Physical CPUs side by side, on threads of the host.

Those whose domains nobody can reach run to their end by themselves. The others run in steps of virtual time,
each up to the end of the step. One that must meet others before stops there, and goes on with the step when
it has met them (domain/meeting.py). When all have come to the end, what they sent one another is passed on by
one thread, in an order that depends on virtual times alone. So a run on threads repeats as any other does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from pvisor.domain.meeting import Meeting
from pvisor.machine.clock import END_OF_TIME_NS
from pvisor.machine.stepped_switch import SteppedSwitch
from pvisor.vmm.physical_cpu import PhysicalCpu

STEP_NS = 100_000

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Joined:
    """CPUs whose domains may reach one another, and by what."""

    cpus: Sequence[PhysicalCpu]
    meeting: Meeting
    switches: Sequence[SteppedSwitch]


class HostThreads:
    """This thread, and so many that help it. After an exception on one of them all is stopped."""

    def __init__(self, n_helpers: int, stop: Callable[[], object]) -> None:
        self._pool = ThreadPoolExecutor(n_helpers) if n_helpers > 0 else None
        self._stop = stop
        self._begun: list[Future[object]] = []

    def __enter__(self) -> HostThreads:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:
            self._stop()  # what was raised here, at a meeting for instance: the others are still running
        for future in self._begun:
            future.cancel()
        if self._pool is not None:
            self._pool.shutdown()

    def begin(self, works: Sequence[Work]) -> list[tuple[Future[object], Work]]:
        """Let others begin with these; `finish` takes what they have not come to."""
        begun = [(self._pool.submit(self._do, work) if self._pool else Future(), work) for work in works]
        self._begun = [future for future in self._begun if not future.done()] + [one for one, _ in begun]
        return begun

    def finish(self, begun: Sequence[tuple[Future[object], Work]]) -> None:
        """Do what others have not begun, from the last on, and wait for the rest. Raises what one raised."""
        errors: list[BaseException | None] = []
        for future, work in reversed(begun):
            if future.cancel():
                try:
                    self._do(work)
                except Exception as error:
                    errors.append(error)
        errors += [future.exception() for future, _ in begun if not future.cancelled()]
        for found in errors:
            if found is not None:
                raise found

    def _do(self, work: Work) -> object:
        try:
            return work()
        except BaseException:
            self._stop()
            raise


def run_side_by_side(
    alone: Sequence[PhysicalCpu], joined: Joined, n_threads: int, stop: Callable[[], object] = lambda: None
) -> None:  # fmt: skip
    """Run all CPUs, with at most so many threads, this one among them. `alone`: those that nobody reaches.

    An exception of ours passes through when every thread has stopped, to which `stop` moves their domains.
    """
    with HostThreads(n_threads - 1, stop) as threads:
        loners = threads.begin([cpu.run for cpu in alone])
        _run_in_steps(joined, threads)
        threads.finish(loners)


def _run_in_steps(joined: Joined, threads: HostThreads) -> None:
    """Step after step to the end. A step that nobody has anything to do in is left out."""
    for cpu in joined.cpus:
        cpu.meeting = joined.meeting
    step_ns = 0
    while left := [cpu for cpu in joined.cpus if cpu.members]:
        due_ns = min(cpu.busy_at_ns for cpu in left)
        if due_ns > END_OF_TIME_NS:
            for cpu in left:
                cpu.end_all()
            return
        step_ns = max(step_ns, due_ns // STEP_NS * STEP_NS) + STEP_NS
        _step(joined.meeting, left, step_ns, threads)
        joined.meeting.deliver()
        for switch in joined.switches:
            switch.pass_on(step_ns)


def _step(meeting: Meeting, cpus: Sequence[PhysicalCpu], step_ns: int, threads: HostThreads) -> None:
    """Let all come to the same virtual time, through the meetings on the way."""
    while len(cpus) > 1:
        meeting.is_open = False
        try:
            parties = [partial(_run_party, party, step_ns) for party in parties_of(cpus, meeting)]
            threads.finish(threads.begin(parties))
        finally:
            meeting.is_open = True
        callers = [cpu for cpu in cpus if cpu.must_meet]
        for cpu in sorted(callers, key=PhysicalCpu.now):
            cpu.meet()
        cpus = [cpu for cpu in callers if cpu.members]
    for cpu in cpus:
        cpu.run(step_ns)  # all others stand, so it has nobody to wait for


def _run_party(party: Sequence[PhysicalCpu], step_ns: int) -> None:
    for cpu in party:
        cpu.run(step_ns)


def parties_of(cpus: Sequence[PhysicalCpu], meeting: Meeting) -> list[list[PhysicalCpu]]:
    """CPUs that have memory in common, together: they take turns. The order is that of `cpus`.

    Two may have it through a third one that does not run now, or whose domains have ended.
    """
    groups: list[set[object]] = [{cpu} for cpu in cpus]
    for tie in [tie for tie, n_frames in meeting.ties.items() if n_frames]:
        tied = [group for group in groups if not tie.isdisjoint(group)]
        groups = [group for group in groups if tie.isdisjoint(group)] + [set(tie).union(*tied)]
    parties = [[cpu for cpu in cpus if cpu in group] for group in groups]
    return sorted((party for party in parties if party), key=lambda party: cpus.index(party[0]))
