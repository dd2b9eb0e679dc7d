# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual CPU's state: what the kernel has said by hypercall in place of privileged registers.

Twin of full/state.py, where a guest believes to have written those registers.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any, Protocol, cast

from pvisor.abi import constants
from pvisor.abi.areas import cpu as rows
from pvisor.cpu.shim import ffi
from pvisor.cpu.vcpu import CS, Vcpu

HOLE_START, HOLE_END = constants.HOLE_START.number, constants.HOLE_END.number
USER_INT, MASK = rows.TRAP_USER_INT.number, rows.TRAP_MASK.number
N_TRAPS = rows.N_TRAPS.number

RFLAGS_IF, RFLAGS_IOPL, RFLAGS_NT, RFLAGS_VM = 1 << 9, 3 << 12, 1 << 14, 1 << 17
RFLAGS_AT_ENTRY = 2
RFLAGS_KEPT = 0x24_0DD5
"""CF PF AF ZF SF TF DF OF AC ID: what a trap frame shows of the real RFLAGS, and IRET loads."""

NEVER = (1 << 64) - 1


class Trap(Protocol):
    """A vector's handler (`pv_para_trap`)."""

    handler: int
    flags: int


class CpuState(Protocol):
    """One vCPU's state: `pv_para_cpu` of native/cpu_state.h, which both tiers work on."""

    traps: Sequence[Trap]
    upcall_entry: int
    syscall_entry: int
    kernel_stack: int
    syscall_flags: int
    in_user: int
    other_gs_base: int
    gdt: int
    vcpu_info: int
    n_faults_there: int
    faults_at: int


class AddressSpaces(Protocol):
    """Who knows the page-table roots of a vCPU (para/paging.py)."""

    def enter_user(self, vcpu: Vcpu) -> None:
        """It goes to user code."""

    def enter_kernel(self, vcpu: Vcpu) -> None:
        """It comes back from there."""


class OneSpace:
    """Where kernel and user code always have the same tables."""

    def enter_user(self, vcpu: Vcpu) -> None:
        """Nothing changes."""

    def enter_kernel(self, vcpu: Vcpu) -> None:
        """Nothing changes."""


CpuStates = MutableSequence[CpuState]
"""Those of a domain, by vCPU number."""


def new_cpu_state(gdt: int) -> CpuState:
    """The state at the start: no handler, no stack. `gdt`: engine-physical address of its descriptors."""
    state = cast(CpuState, ffi.new("pv_para_cpu *"))
    state.gdt = gdt
    state.faults_at = NEVER
    return state


def reset_cpu_state(state: CpuState) -> None:
    """The state at the start again."""
    gdt = state.gdt
    raw = cast(Any, state)
    ffi.memmove(raw, ffi.new("pv_para_cpu *"), ffi.sizeof("pv_para_cpu"))
    state.gdt = gdt
    state.faults_at = NEVER


def is_canonical(address: int) -> bool:
    """Are bits 63 to 47 equal? (SDM 1 3.3.7.1)"""
    return address >> 47 in (0, 0x1FFFF)


def may_be_entered(address: int) -> bool:
    """Canonical, and not in the hypervisor's hole: an address at which the guest may want to be."""
    return is_canonical(address) and not HOLE_START <= address < HOLE_END


def in_user_code(vcpu: Vcpu) -> bool:
    """Does the vCPU run the guest's user code? Real selectors tell: the RPL of CS is the CPL."""
    return vcpu.segment(CS).selector & 3 == 3
