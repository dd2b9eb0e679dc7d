# SPDX-License-Identifier: GPL-2.0-or-later
"""The time-stamp counter, intercepted: virtual nanoseconds (1 GHz), and what the guest adds to them.

This room has no twin: a paravirtual guest asks for the time, or reads the real TSC's intercept as it is.
"""

from __future__ import annotations

from pvisor.cpu.features import answer_rdtsc
from pvisor.cpu.vcpu import RCX, Exit, Vcpu
from pvisor.full.state import CpuState

TSC_MASK = (1 << 64) - 1


def tsc(state: CpuState, virtual_ns: int) -> int:
    """The time-stamp counter at a virtual time."""
    return virtual_ns + state.tsc_offset & TSC_MASK


def rdtsc(state: CpuState, vcpu: Vcpu, exit: Exit) -> None:
    """RDTSC, and RDTSCP, which gives IA32_TSC_AUX in ECX as well."""
    answer_rdtsc(vcpu, exit, tsc(state, exit.virtual_ns))
    if exit.value:
        vcpu.regs.gpr[RCX] = state.tsc_aux
