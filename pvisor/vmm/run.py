# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one domain from its configuration to its result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.domain.outcome import STATUS_INTERRUPTED, EndedBy, Ending
from pvisor.full.screen import Picture
from pvisor.machine.console import ConsoleInput, ConsoleOutput, NoInput
from pvisor.machine.switch import Switch
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.loop import INTERRUPTED, TIME_OVER, RunLoop
from pvisor.vmm.result import crash_of, drain_traces, gather, watch_operations
from pvisor.vmm.watch import Watcher

UNHEARD = Ending(EndedBy.INTERRUPTED, STATUS_INTERRUPTED, "nobody reads the guest's output any more")
TraceSink = Callable[[Sequence[Any]], None]
"""Takes trace records (`pv_record`) in order."""
Viewer = Callable[[Callable[[], Picture]], AbstractContextManager[object]]
"""Looks at a PC's screen while it runs. Any thread may call the function that it is given."""


def run_domain(
    config: DomainConfig,
    console: ConsoleOutput | None = None,
    input: ConsoleInput | None = None,
    *,
    trace: TraceSink | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    switch: Switch | None = None,
    viewer: Viewer | None = None,
    watcher: Watcher | None = None,
) -> RunResult:
    """Build a domain, run it to its end, and tell what happened.

    `interrupted` is asked when a signal has kicked the vCPU; `viewer` is for a guest that has a screen;
    `watcher` is told of the run while it goes on.
    Raises UsageError and GuestRefused before the guest runs; a crash of the guest is a result, a mistake of
    ours an exception. A console that raises BrokenPipeError has lost its reader, which ends the run as an
    interruption.
    """
    console = console or ConsoleOutput()
    machine = build(config, console, input or NoInput(), switch=switch)
    try:
        return _run(machine, config, console, trace, interrupted, viewer, watcher)
    finally:
        machine.close()


def _run(machine: Machine, config: DomainConfig, console: ConsoleOutput, trace: TraceSink | None,
         interrupted: Callable[[], bool], viewer: Viewer | None,
         watcher: Watcher | None) -> RunResult:  # fmt: skip
    names = watch_operations(machine, config.watch)
    if watcher is not None:
        watcher.begin(machine)
    time_is_over = threading.Event()

    def on_kick() -> Ending | None:
        for vcpu in machine.vcpus:
            vcpu.v.kick = 0
        if interrupted():
            return INTERRUPTED
        if time_is_over.is_set():
            return TIME_OVER
        return watcher.kicked() if watcher is not None else None

    def drain() -> None:
        if trace is not None:
            drain_traces(machine.vcpus, trace)

    for vcpu in machine.vcpus if trace is not None else ():
        vcpu.start_trace()
    is_viewed = viewer is not None and machine.screen is not None
    loop = RunLoop(machine.domain, machine.vcpus, on_kick=on_kick, drain_trace=drain, is_viewed=is_viewed,
                   realtime=config.realtime, on_turn=machine.on_turn, watcher=watcher)  # fmt: skip
    timer = _start_timer(machine.vcpus, config.timeout_s, time_is_over)
    if interrupted():
        machine.vcpu.kick()  # a signal that came before there was a vCPU to kick
    begun = time.monotonic_ns()
    try:
        with _viewing(machine, viewer):
            ending = loop.run()
    except BrokenPipeError:
        ending = UNHEARD
    finally:
        wall_ns = time.monotonic_ns() - begun
        if timer is not None:
            timer.cancel()
            timer.join()
    if watcher is not None:
        ending = watcher.end(ending)
    crash = crash_of(machine, ending)
    for vcpu in machine.vcpus:
        vcpu.complete()
    drain()
    return gather(machine, config, ending, crash, names, wall_ns, begun)


def _viewing(machine: Machine, viewer: Viewer | None) -> AbstractContextManager[object]:
    screen, memory = machine.screen, machine.domain.memory
    if viewer is None or screen is None:
        return nullcontext()
    return viewer(lambda: screen.picture(memory))


def _start_timer(
    vcpus: Sequence[UnicornVcpu], timeout_s: float | None, over: threading.Event
) -> threading.Timer | None:
    if timeout_s is None:
        return None

    def expire() -> None:
        over.set()
        for vcpu in vcpus:
            vcpu.kick()

    timer = threading.Timer(timeout_s, expire)
    timer.daemon = True
    timer.start()
    return timer
