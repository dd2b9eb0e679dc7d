# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run leaves behind: gathered from a machine before it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from pvisor.cpu.engine_start import start_engine
from pvisor.cpu.exits import ExitReason
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.domain.outcome import EndedBy, Ending
from pvisor.errors import UsageError
from pvisor.vmm.builder import Machine
from pvisor.vmm.config import DEFAULT_REMEDY, CrashFacts, DomainConfig, ExitCount, Operation, RunResult
from pvisor.vmm.crash import crash_facts


def watch_operations(machine: Machine, wanted: Sequence[str]) -> dict[int, str]:
    """Ask the engines to count the calls of functions by name; (address -> name). Raises UsageError."""
    names: dict[int, str] = {}
    for symbol in machine.image.functions if wanted else ():
        if symbol.name in wanted and symbol.address not in names:
            if not all(vcpu.watch_operation(symbol.address) for vcpu in machine.vcpus):
                raise UsageError("too many functions to watch; name fewer")
            names[symbol.address] = symbol.name
    return names


def drain_traces(vcpus: Sequence[UnicornVcpu], sink: Callable[[Sequence[Any]], None]) -> None:
    """Hand over the trace records of a domain's vCPUs, in the order of virtual time, and forget them."""
    found = [vcpu.trace_records() for vcpu in vcpus]
    sink(found[0] if len(found) == 1 else sorted(chain(*found), key=lambda record: int(record.virtual_ns)))
    for vcpu in vcpus:
        vcpu.clear_trace()


def crash_of(machine: Machine, ending: Ending) -> CrashFacts | None:
    """The scene of a crash, of the vCPU that crashed; None when it was none. To be taken at once."""
    if ending.ended_by is not EndedBy.CRASH:
        return None
    crashed = next((one for one in machine.vcpus if one.vcpu_id == ending.vcpu_id), machine.vcpu)
    return crash_facts(machine.domain, crashed, machine.image)


def gather(
    machine: Machine, config: DomainConfig, ending: Ending, crash: CrashFacts | None, names: dict[int, str],
    wall_ns: int, begun_ns: int,
) -> RunResult:  # fmt: skip
    """All of it. `begun_ns` is the host's time when the guest was entered first."""
    domain, vcpus = machine.domain, machine.vcpus
    console = domain.console
    return RunResult(
        mode=machine.mode,
        tier=config.tier,
        repair=start_engine().repair,
        ending=ending,
        n_instructions=sum(vcpu.n_instructions for vcpu in vcpus),
        virtual_ns=max(vcpu.virtual_ns for vcpu in vcpus),
        wall_ns=wall_ns,
        output=console.data,
        first_to_last_byte_ns=max(0, console.last_write_host_ns - begun_ns) if console.n_bytes else 0,
        exits=exit_counts(vcpus),
        operations=_operations(machine.vcpu, names),
        crash=crash,
        unclaimed_ioports=dict(machine.ioports.unclaimed) if machine.ioports else {},
        remedy=config.remedy or DEFAULT_REMEDY if domain.wing.name == "full" else None,
        patches=machine.vcpu.patches if domain.wing.name == "full" else None,
        idle_ns=int(machine.vcpu.v.idle_ns),
        steal_ns=domain.scheduling.times(machine.vcpu.vcpu_id).steal_ns,
        n_deadlines=domain.timers.n_acted,
        unclaimed_mmio=dict(machine.mmio.unclaimed) if machine.mmio else {},
        n_unclaimed_mmio_elsewhere=machine.mmio.n_unclaimed_elsewhere if machine.mmio else 0,
        screen=machine.screen.picture(domain.memory).written() if machine.screen else (),
    )


def exit_counts(vcpus: Sequence[UnicornVcpu]) -> dict[str, ExitCount]:
    """Exits by the reason's label, in the order of the reasons, without those that never occurred."""
    counts = {}
    for reason in ExitReason:
        rows = [vcpu.v.counters[reason] for vcpu in vcpus]
        count, native = sum(c.count for c in rows), sum(c.native for c in rows)
        if not count:
            continue
        n_samples = sum(c.native_samples for c in rows)
        sampled = sum(c.native_sample_ns for c in rows) * native // n_samples if n_samples else None
        python_ns = sum(c.python_wall_ns for c in rows)
        wall_ns = python_ns + (sampled or 0) if not native or sampled is not None else None
        counts[reason.label] = ExitCount(count, native, sum(c.python for c in rows), wall_ns)
    return counts


def _operations(vcpu: UnicornVcpu, names: dict[int, str]) -> tuple[Operation, ...]:
    return tuple(
        Operation(names[address], calls, exits, instructions, *vcpu.before_first_call(i))
        for i, (address, calls, exits, instructions) in enumerate(vcpu.operations())
        if calls
    )
