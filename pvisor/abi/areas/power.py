# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls that give the CPU away, or end."""

from __future__ import annotations

from pvisor.abi.errnos import EINVAL
from pvisor.abi.model import Constant, Hypercall, Struct, u32

CONSTANTS: tuple[Constant, ...] = ()

STRUCTS: tuple[Struct, ...] = ()

YIELD = Hypercall(
    nr=0x30,
    name="YIELD",
    summary="Give the CPU away for a while.",
    args=(),
    result="0",
    notes=("It may return at once. It is a wish, not a wait: never build a lock on it alone.",),
    replaces="`PAUSE`, or nothing: a fully virtualized guest has no way to say it",
    example="while (!done)\n    pv_yield();",
)

BLOCK = Hypercall(
    nr=0x31,
    name="BLOCK",
    summary="Sleep until an event arrives.",
    args=(),
    result="0, after an event",
    blocks="until an event is pending for this virtual CPU",
    notes=(
        "ABI 1 has no source of events. A domain that blocks can never be woken: it ends, and `pvisor run` "
        "gives status 124.",
    ),
    replaces="`HLT`, which traps",
    example="pv_block();",
)

SHUTDOWN = Hypercall(
    nr=0x32,
    name="SHUTDOWN",
    summary="End the domain.",
    args=(
        u32("reason", "one of `PV_SHUTDOWN_POWEROFF`, `PV_SHUTDOWN_REBOOT`, `PV_SHUTDOWN_CRASH`"),
        u32("status", "how it went: 0 for well. Only POWEROFF hands it on"),
    ),
    result="none: the call returns only with an error",
    errors={EINVAL: "`reason` is none of those, or an argument has bits above bit 31; the domain goes on"},
    notes=(
        "POWEROFF with status 0 ends `pvisor run` with exit status 0; with another status `s`, with `((s << "
        "1) | 1) & 255`.",
        "REBOOT ends the run of today's pvisor with exit status 0.",
        "CRASH prints a crash report and ends the run with exit status 134.",
    ),
    replaces="`OUT` of 0x2000 to I/O port 0x604 (power off), `OUT` of the status to I/O port 0xf4",
    example="pv_shutdown(PV_SHUTDOWN_POWEROFF, 0);",
)

CALLS: tuple[Hypercall, ...] = (YIELD, BLOCK, SHUTDOWN)
