# SPDX-License-Identifier: GPL-2.0-or-later
"""What a crash report tells of a guest operating system: its version, task, stack and log, read before it
goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pvisor.cpu.vcpu import CS, GPR_NAMES, RSP
from pvisor.observe.linux.kernel import Kernel
from pvisor.observe.linux.printk import last_messages, printable
from pvisor.observe.linux.stack import StackLine, scan_stack
from pvisor.vmm.builder import Machine
from pvisor.vmm.config import MAX_BACKTRACE, CrashFacts
from pvisor.vmm.crash import crash_facts

N_LOG_LINES = 24
PANIC = "Kernel panic - not syncing"
"""With what panic() begins the line that says why; looked for only when the kernel's own state says panic."""
USER_RING = 3


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """The scene, as a Linux that was found in the guest's memory explains it."""

    scene: CrashFacts
    version: str
    symbols_from: str
    task: str | None
    names: Mapping[str, str]
    """Registers that point into functions."""
    stack: tuple[StackLine, ...]
    """Innermost first; empty where user code ran."""
    log: tuple[str, ...]
    log_from: str


def hold_inquest(machine: Machine, kernel: Kernel) -> KernelFacts:
    """All that is to be told of a kernel whose run is over."""
    vcpu = machine.vcpu
    scene = crash_facts(machine.domain, vcpu, machine.image)
    registers = {name: vcpu.regs.gpr[i] for i, name in enumerate(GPR_NAMES)}
    names = {name: text for name, value in registers.items() if (text := kernel.symbols.text_at(value))}
    is_user = vcpu.segment(CS).selector & USER_RING == USER_RING
    stack = () if is_user else stack_of(machine, kernel, MAX_BACKTRACE)
    log = last_messages(kernel.view, kernel.symbols, N_LOG_LINES)
    source = "the kernel's own buffer"
    if not log:
        text = machine.domain.console.tail.decode("utf-8", "replace")
        log, source = tuple(printable(line) for line in text.splitlines()[-N_LOG_LINES:]), "the console"
    return KernelFacts(
        scene, kernel.version, kernel.symbols.source, kernel.task(), names, stack, log, source
    )  # fmt: skip


def stack_of(machine: Machine, kernel: Kernel, n_lines: int) -> tuple[StackLine, ...]:
    """Who called whom, from the instruction at which the guest stands."""
    vcpu = machine.vcpu
    return scan_stack(kernel.view, kernel.symbols, vcpu.exit.rip, vcpu.regs.gpr[RSP], n_lines)


def why_it_panicked(kernel: Kernel) -> str:
    """The line of the log that says so, without its time."""
    log = last_messages(kernel.view, kernel.symbols, 4 * N_LOG_LINES) or ()
    line = next((line for line in reversed(log) if PANIC in line and f"end {PANIC}" not in line), None)
    return line[line.index(PANIC) :] if line is not None else "the kernel has panicked"
