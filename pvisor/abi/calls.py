# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypercalls. Begin reading pvisor here, and go on with the areas.

One row a call (`areas/*.py`), and the row is the contract: number, arguments, result, every error with its
cause, and what a fully virtualized guest does in its stead. C headers, wrappers, the reference in
hypercalls.md and the hypervisor's own dispatch come from these rows. To add a call: write its row, put it
into its area's CALLS, run `make gen`, and let the tests tell you what is missing. A number is never used for
anything else, even when its call is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pvisor.abi.areas import console, cpu, events, grants, itself, memory, power, store, time
from pvisor.abi.model import Area, Hypercall

#: Where a call's arguments and result travel.
ARG_REGISTERS: tuple[str, ...] = ("RDI", "RSI", "RDX", "R10", "R8")
RESULT_REGISTER = "RAX"
CLOBBERED_REGISTERS: tuple[str, ...] = ("RCX", "R11")

AREAS: tuple[Area, ...] = (
    Area(0x00, "The ABI itself", "What is offered here, what a call costs, and several calls in one."),
    Area(0x10, "Console", "Bytes to and from the domain's console."),
    Area(0x20, "Time", "The clock and the timers."),
    Area(0x30, "CPU and power", "Giving the CPU away, further virtual CPUs, and ending."),
    Area(0x40, "CPU state", "What a kernel keeps in privileged registers: traps, stacks, segments, upcalls."),
    Area(0x50, "Memory", "Page tables, and the frames themselves."),
    Area(0x60, "Event channels", "Signals between domains, virtual CPUs and the hypervisor."),
    Area(0x70, "Grants", "Frames that one domain lets another use."),
    Area(0x80, "Store", "Small texts that domains leave for one another."),
)

CALLS: tuple[Hypercall, ...] = (
    *itself.CALLS, *console.CALLS, *time.CALLS, *power.CALLS, *cpu.CALLS,
    *memory.CALLS, *events.CALLS, *grants.CALLS, *store.CALLS,
)  # fmt: skip

_BY_NUMBER: Mapping[int, Hypercall] = MappingProxyType({call.nr: call for call in CALLS})
_BY_SPELLING: Mapping[str, Hypercall] = MappingProxyType(
    {spelling: call for call in CALLS for spelling in (call.name, call.handler, call.macro, call.wrapper)}
)


def by_number(nr: int) -> Hypercall | None:
    """The call with this number, or None."""
    return _BY_NUMBER.get(nr)


def by_name(name: str) -> Hypercall | None:
    """The call of this name in any of its four spellings, or None."""
    return _BY_SPELLING.get(name)


def area_of(call: Hypercall) -> Area:
    """The area that a call's number lies in."""
    return max((area for area in AREAS if area.base <= call.nr), key=lambda area: area.base)
