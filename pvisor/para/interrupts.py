# SPDX-License-Identifier: GPL-2.0-or-later
"""Exceptions in a paravirtual kernel. ABI 1 has no trap table, so each one ends the domain, and says why.

Twin of full/interrupts.py, which delivers through the guest's IDT.
"""

from __future__ import annotations

from pvisor.cpu.exits import VECTOR_NAMES, ExitReason, describe_page_fault
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import Outcome
from pvisor.errors import DomainCrash

_INSTEAD = {
    ExitReason.HLT: "HLT is privileged: call BLOCK instead",
    ExitReason.CLI: "CLI is privileged, and ABI 1 has no events to mask: leave it out",
    ExitReason.STI: "STI is privileged, and ABI 1 has no events to mask: leave it out",
    ExitReason.MOV_CR: "control registers are the hypervisor's: the start state has them set",
    ExitReason.MOV_DR: "debug registers are the hypervisor's",
    ExitReason.CLTS: "control registers are the hypervisor's: the FPU is ready from the start",
    ExitReason.LMSW: "control registers are the hypervisor's: the start state has them set",
    ExitReason.DESCRIPTOR_TABLE: "descriptor tables are the hypervisor's: the start state has flat segments",
    ExitReason.RDMSR: "RDMSR is privileged: ABI 1 has no call for MSRs",
    ExitReason.WRMSR: "WRMSR is privileged: ABI 1 has no call for MSRs",
    ExitReason.INVLPG: "page tables are fixed in ABI 1: there is nothing to flush",
    ExitReason.CACHE: "WBINVD and INVD are privileged: leave them out",
    ExitReason.XSETBV: "XSETBV is privileged: the start state has XCR0 set",
    ExitReason.SWAPGS: "SWAPGS is privileged: ABI 1 has no user mode",
    ExitReason.SEGMENT_LOAD: "a segment load of a selector that the start state's GDT does not have",
    ExitReason.FAR_TRANSFER: "a far transfer to a selector that the start state's GDT does not have",
    ExitReason.IRET: "IRET to a selector or flags that the start state does not allow",
}

_NO_SYSTEM_CALLS = frozenset((ExitReason.SYSENTER, ExitReason.SYSRET, ExitReason.SYSEXIT))


def exception(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """Any exception: the domain crashes, with a reason in words."""
    raise DomainCrash(describe(exit))


def describe(exit: Exit) -> str:
    """What happened, and what to do instead, in one line."""
    reason = ExitReason(exit.reason)
    if reason is ExitReason.PAGE_FAULT:
        return f"page fault: {describe_page_fault(exit.cr2, exit.error_code)}"
    if reason is ExitReason.SYSCALL:
        return "#UD: SYSCALL outside the hypercall page is no hypercall; `call hypercall_page + 32 * number`"
    if reason in _NO_SYSTEM_CALLS:
        return f"#UD: {reason.name} is not there in ABI 1, which has no user mode"
    if reason is ExitReason.SOFT_INT:
        return f"#GP: INT {exit.vector:#04x} has no gate in ABI 1"
    if reason is ExitReason.INVALID_OPCODE:
        if bytes(exit.insn[0:3]) == b"\x0f\x01\xc1":
            return "#UD: VMCALL outside the hypercall page, and the feature RAW_VMCALL is not offered"
        return f"#UD: invalid opcode {bytes(exit.insn[0 : min(exit.n_insn, 8)]).hex(' ')}"
    if reason in _INSTEAD:
        return f"#GP: {_INSTEAD[reason]}"
    name = VECTOR_NAMES.get(exit.vector, f"exception {exit.vector}")
    return f"{name} (error code {exit.error_code:#x}): ABI 1 has no trap table"
