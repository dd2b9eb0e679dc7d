# SPDX-License-Identifier: GPL-2.0-or-later
"""The floor: what an operation costs on this engine at least, when its hook does nothing (shim/floor.c)."""

from __future__ import annotations

from dataclasses import dataclass

from pvisor.cpu.engine_start import REPAIRS, start_engine
from pvisor.cpu.shim import ffi, lib

LOOP_GVA = 0x1000
"""Where a bare loop lies."""
PAGE_GVA = 0xFFFF_8000_0000_1000
"""Where its hypercall page lies (para/paging.py has the same)."""
OLD_EXCEPTION = 5
"""Its place among the state's offsets (shim.h, struct state_layout)."""


@dataclass(frozen=True, slots=True)
class BareLoop:
    """An operation in a loop of guest bytes that R15 counts: the same under pvisor, on the floor, anywhere.

    `instruction` names what leaves the guest: syscall, vmcall, int, out or cli.
    """

    instruction: str
    code: bytes
    page: bytes | None = None


def floor_ns(loop: BareLoop, n_operations: int) -> float:
    """Nanoseconds of one operation, its two loop instructions included."""
    facts = start_engine()
    repair = next(number for number, name in REPAIRS.items() if name == facts.repair)
    page = loop.page if loop.page is not None else ffi.NULL
    ns = float(
        lib.pv_floor(
            loop.instruction.encode(), loop.code, len(loop.code), page, n_operations, repair,
            facts.state_offsets[OLD_EXCEPTION],
        )
    )  # fmt: skip
    if ns < 0:
        raise RuntimeError(f"the floor of {loop.instruction} did not run to its end")
    return ns
