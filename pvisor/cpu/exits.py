# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits: why a vCPU came back to the hypervisor, and how it got there.

An exit is a value: one `pv_exit` struct a vCPU (cpu/shim/types.h), written anew at each exit, so that an
exit costs no Python object. This file names the reasons; the numbers are those of `enum pv_exit_reason`,
which a test compares.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class ExitClass(Enum):
    """By which mechanism the guest was left."""

    TRAP = "trap"
    """The instruction faulted in the CPU: #GP at CPL 1, #PF, #UD, ..."""
    INTERCEPT = "intercept"
    """The engine hands the instruction over without a fault, as VT-x can."""
    STOP = "stop"
    """The hypervisor wanted its CPU back."""


class ExitReason(IntEnum):
    """Why a vCPU came back."""

    NONE = 0
    HYPERCALL = 1
    IO_IN = 2
    IO_OUT = 3
    CPUID = 4
    RDTSC = 5
    SYSCALL = 6
    SYSENTER = 7
    CLI = 8
    STI = 9
    HLT = 10
    MOV_CR = 11
    MOV_DR = 12
    CLTS = 13
    LMSW = 14
    DESCRIPTOR_TABLE = 15
    SEGMENT_LOAD = 16
    FAR_TRANSFER = 17
    IRET = 18
    RDMSR = 19
    WRMSR = 20
    INVLPG = 21
    CACHE = 22
    XSETBV = 23
    SWAPGS = 24
    GENERAL_PROTECTION = 25
    NULL_SS = 26
    SHADOW_FILL = 27
    PAGE_FAULT = 28
    INVALID_OPCODE = 29
    SOFT_INT = 30
    EXCEPTION = 31
    PUSHF = 32
    POPF = 33
    DESCRIPTOR_STORE = 34
    SMSW = 35
    SEGMENT_QUERY = 36
    USER_IO = 37
    USER_RDTSC = 38
    SYSRET = 39
    SYSEXIT = 40
    MMIO = 41
    BUDGET = 48
    KICK = 49
    EVENT_WINDOW = 50
    TRACE_FULL = 51
    DEADLINE = 52
    ENGINE_ERROR = 53
    HOOK_STOP = 54
    VM86 = 55
    ENGINE_ABORT = 56
    SLICE = 57

    @property
    def label(self) -> str:
        """The name in statistics, traces and logs."""
        return self.name.lower()

    @property
    def exit_class(self) -> ExitClass:
        """Trap, intercept or stop. Hypercalls count as intercepts, whatever instruction carries them."""
        if self <= ExitReason.SYSENTER:
            return ExitClass.INTERCEPT
        return ExitClass.TRAP if self < ExitReason.BUDGET else ExitClass.STOP


N_REASONS = 58
"""Length of a table indexed by reason."""

VECTOR_NAMES = {
    0: "#DE", 1: "#DB", 2: "NMI", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM", 8: "#DF", 10: "#TS",
    11: "#NP", 12: "#SS", 13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 18: "#MC", 19: "#XM",
}  # fmt: skip
"""Exceptions by vector (SDM 3A table 6-1)."""


def describe_page_fault(cr2: int, error_code: int) -> str:
    """`write to 0x10, not mapped` from CR2 and the error code (SDM 3A 4.7)."""
    act = "instruction fetch at" if error_code & 16 else "write to" if error_code & 2 else "read of"
    if error_code & 8:
        why = "mapped with a reserved bit set"
    elif not error_code & 1:
        why = "not mapped"
    elif error_code & 16:
        why = "mapped no-execute"
    else:
        why = "mapped read-only" if error_code & 2 else "not allowed"
    return f"{act} {cr2:#x}, which is {why}"
