# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about time."""

from __future__ import annotations

from pvisor.abi.errnos import EFAULT
from pvisor.abi.model import Constant, Hypercall, Struct, gva_out

CONSTANTS: tuple[Constant, ...] = ()

STRUCTS: tuple[Struct, ...] = ()

TIME_GET = Hypercall(
    nr=0x20,
    name="TIME_GET",
    summary="What time is it?",
    args=(gva_out("time", "where the answer goes", struct="pv_time"),),
    result="0",
    errors={EFAULT: "`time` does not point to 24 writable bytes; nothing has been written"},
    notes=(
        "System time is virtual: one retired instruction is one nanosecond, and exits cost nothing. Two "
        "runs of the same guest see the same times.",
        "The wall clock shows 2026-01-01T00:00:00Z at the start of the domain, unless pvisor is told "
        "another date, and goes at the same pace.",
        "`time` need not be aligned. Several calls in one domain see `system_ns` grow or stay, never shrink.",
    ),
    replaces="`RDTSC` (the TSC counts 1 GHz) for the time since the start; the real-time clock for the date",
    example="struct pv_time now;\nif (pv_time_get(&now) == 0)\n    use(now.system_ns);",
)

CALLS: tuple[Hypercall, ...] = (TIME_GET,)
