# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one domain from its configuration to its result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.unicorn_engine import UnicornVcpu, start_engine
from pvisor.domain.outcome import STATUS_INTERRUPTED, EndedBy, Ending
from pvisor.errors import UsageError
from pvisor.full.screen import Picture
from pvisor.machine.console import ConsoleInput, ConsoleOutput, NoInput
from pvisor.machine.switch import Switch
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DEFAULT_REMEDY, DomainConfig, ExitCount, Operation, RunResult
from pvisor.vmm.crash import crash_facts
from pvisor.vmm.loop import INTERRUPTED, TIME_OVER, RunLoop

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
) -> RunResult:
    """Build a domain, run it to its end, and tell what happened.

    `interrupted` is asked when a signal has kicked the vCPU; `viewer` is for a guest that has a screen.
    Raises UsageError and GuestRefused before the guest runs; a crash of the guest is a result, a mistake of
    ours an exception. A console that raises BrokenPipeError has lost its reader, which ends the run as an
    interruption.
    """
    console = console or ConsoleOutput()
    machine = build(config, console, input or NoInput(), switch=switch)
    try:
        return _run(machine, config, console, trace, interrupted, viewer)
    finally:
        machine.close()


def _run(machine: Machine, config: DomainConfig, console: ConsoleOutput, trace: TraceSink | None,
         interrupted: Callable[[], bool], viewer: Viewer | None) -> RunResult:  # fmt: skip
    vcpu, domain = machine.vcpu, machine.domain
    names = _watch(machine, config.watch)
    time_is_over = threading.Event()

    def on_kick() -> Ending | None:
        vcpu.v.kick = 0
        if interrupted():
            return INTERRUPTED
        return TIME_OVER if time_is_over.is_set() else None

    def drain() -> None:
        if trace is not None:
            trace(vcpu.trace_records())
            vcpu.clear_trace()

    if trace is not None:
        vcpu.start_trace()
    is_viewed = viewer is not None and machine.screen is not None
    loop = RunLoop(domain, vcpu, on_kick=on_kick, drain_trace=drain, is_viewed=is_viewed)
    timer = _start_timer(vcpu, config.timeout_s, time_is_over)
    if interrupted():
        vcpu.kick()  # a signal that came before there was a vCPU to kick
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
    crash = crash_facts(domain, vcpu, machine.image) if ending.ended_by is EndedBy.CRASH else None
    vcpu.complete()
    drain()
    return RunResult(
        mode=domain.wing.name,
        tier=config.tier,
        repair=start_engine().repair,
        ending=ending,
        n_instructions=vcpu.n_instructions,
        virtual_ns=vcpu.virtual_ns,
        wall_ns=wall_ns,
        output=console.data,
        first_to_last_byte_ns=max(0, console.last_write_host_ns - begun) if console.n_bytes else 0,
        exits=exit_counts(vcpu),
        operations=_operations(vcpu, names),
        crash=crash,
        unclaimed_ioports=dict(machine.ioports.unclaimed) if machine.ioports else {},
        remedy=config.remedy or DEFAULT_REMEDY if domain.wing.name == "full" else None,
        patches=vcpu.patches if domain.wing.name == "full" else None,
        idle_ns=int(vcpu.v.idle_ns),
        n_deadlines=domain.timers.n_acted,
        unclaimed_mmio=dict(machine.mmio.unclaimed) if machine.mmio else {},
        n_unclaimed_mmio_elsewhere=machine.mmio.n_unclaimed_elsewhere if machine.mmio else 0,
        screen=machine.screen.picture(domain.memory).written() if machine.screen else (),
    )


def _viewing(machine: Machine, viewer: Viewer | None) -> AbstractContextManager[object]:
    screen, memory = machine.screen, machine.domain.memory
    if viewer is None or screen is None:
        return nullcontext()
    return viewer(lambda: screen.picture(memory))


def _start_timer(vcpu: UnicornVcpu, timeout_s: float | None, over: threading.Event) -> threading.Timer | None:
    if timeout_s is None:
        return None

    def expire() -> None:
        over.set()
        vcpu.kick()

    timer = threading.Timer(timeout_s, expire)
    timer.daemon = True
    timer.start()
    return timer


def exit_counts(vcpu: UnicornVcpu) -> dict[str, ExitCount]:
    """Exits by the reason's label, in the order of the reasons, without those that never occurred."""
    counts = {}
    for reason in ExitReason:
        c = vcpu.v.counters[reason]
        if not c.count:
            continue
        sampled = c.native_sample_ns * c.native // c.native_samples if c.native_samples else None
        wall_ns = c.python_wall_ns + (sampled or 0) if not c.native or sampled is not None else None
        counts[reason.label] = ExitCount(c.count, c.native, c.python, wall_ns)
    return counts


def _watch(machine: Machine, wanted: Sequence[str]) -> dict[int, str]:
    """Ask the engine to count the calls of functions by name."""
    names: dict[int, str] = {}
    for symbol in machine.image.functions if wanted else ():
        if symbol.name in wanted and symbol.address not in names:
            if not machine.vcpu.watch_operation(symbol.address):
                raise UsageError("too many functions to watch; name fewer")
            names[symbol.address] = symbol.name
    return names


def _operations(vcpu: UnicornVcpu, names: dict[int, str]) -> tuple[Operation, ...]:
    return tuple(
        Operation(names[address], calls, exits, instructions, *vcpu.before_first_call(i))
        for i, (address, calls, exits, instructions) in enumerate(vcpu.operations())
        if calls
    )
