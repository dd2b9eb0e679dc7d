# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of a crash report that tells of a guest operating system."""

from __future__ import annotations

from collections.abc import Sequence

from pvisor.observe.linux.inquest import KernelFacts

WIDTH = 4
"""Names of registers in a line."""


def kernel_report(kernel: KernelFacts, machine: Sequence[str]) -> list[str]:
    """Where the guest was, `machine` (code, registers, screen), then kernel, task, stack and log."""
    scene = kernel.scene
    rip = kernel.stack[0].name if kernel.stack else "user code"
    lines = [f"  at {scene.rip:#018x}" + (f"  {rip}" if rip else ""), *machine]
    names = [f"{register} {name}" for register, name in kernel.names.items()]
    if names:
        lines.append("  registers that point into functions")
        lines += [f"    {'  '.join(names[i : i + WIDTH])}" for i in range(0, len(names), WIDTH)]
    lines += ["  the guest's kernel", f"    {kernel.version}"]
    if kernel.task is not None:
        lines.append(f"    task: {kernel.task}")
    if kernel.stack:
        lines.append(
            "  call trace by a scan of the stack, innermost first; ? may be left over from an earlier call"
        )
        for i, line in enumerate(kernel.stack):
            lines.append(
                f"    #{i:<2} {line.address:#018x} {' ' if line.is_sure else '?'} {line.name or ''}".rstrip()
            )
        lines.append(f"    names are those of {kernel.symbols_from}")
    else:
        lines.append("  no call trace: user code ran")
    if kernel.log:
        lines.append(f"  the end of the log, from {kernel.log_from}")
        lines += [f"    |{line}" for line in kernel.log]
    return lines
