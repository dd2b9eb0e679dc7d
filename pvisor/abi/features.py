# SPDX-License-Identifier: GPL-2.0-or-later
"""The optional parts of the ABI, one bit each.

What is not advertised does not work: a call gives -ENOSYS, an instruction #UD.
"""

from __future__ import annotations

from pvisor.abi.model import Feature

RAW_VMCALL = Feature(
    "RAW_VMCALL",
    0,
    "VMCALL works outside the hypercall page as well, with the call's number in EAX. Offered with "
    "`--transport vmcall`.",
)
CONSOLE_INPUT = Feature("CONSOLE_INPUT", 1, "CONSOLE_READ works. Today's pvisor always offers it.")

TRAPS = Feature("TRAPS", 2, "the calls of CPU state: traps, upcalls, user mode, descriptors.")
PAGING = Feature("PAGING", 3, "the calls about page tables: the guest changes its own map.")
BALLOON = Feature("BALLOON", 4, "MEMORY_POPULATE, MEMORY_RELEASE, MEMORY_TARGET: frames come and go.")
EVENTS = Feature("EVENTS", 5, "event channels and the shared page.")
GRANTS = Feature("GRANTS", 6, "grants: frames that domains share.")
STORE = Feature("STORE", 7, "the store.")
TIMERS = Feature("TIMERS", 8, "TIMER_ONCE, TIMER_PERIODIC, and the time in the shared page.")
VCPUS = Feature("VCPUS", 9, "VCPU_UP, VCPU_DOWN, VCPU_QUERY.")
MULTICALL = Feature("MULTICALL", 10, "MULTICALL: several calls in one.")

GRANT_MAP = Feature("GRANT_MAP", 11, "GRANT_MAP, GRANT_UNMAP: frames of others can be mapped.")

FEATURES: tuple[Feature, ...] = (
    RAW_VMCALL, CONSOLE_INPUT, TRAPS, PAGING, BALLOON, EVENTS, GRANTS, STORE, TIMERS, VCPUS, MULTICALL,
    GRANT_MAP,
)  # fmt: skip
