# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of a run as one JSON object, schema `pvisor.stats/1`. Written by `pvisor run --stats`.

The first keys are the schema's and stay; more may follow in later versions. `exits` has a row for each
reason that occurred; `wall_ns` is the host's time in the handlers of that reason, or null where handlers in
C served it and were not timed (`--time-exits` samples them).
"""

from __future__ import annotations

from typing import Final

from pvisor.domain.outcome import EndedBy
from pvisor.errors import GuestRefused
from pvisor.vmm.config import DomainConfig, RunResult

SCHEMA: Final = "pvisor.stats/1"

Json = dict[str, object]
"""A JSON object."""


def stats_of(result: RunResult) -> Json:
    """A run that took place."""
    return {
        "schema": SCHEMA,
        "mode": result.mode,
        "tier": result.tier,
        "ended_by": result.ending.ended_by.value,
        "status": result.ending.status,
        "instructions": result.n_instructions,
        "virtual_ns": result.virtual_ns,
        "wall_ns": result.wall_ns,
        "exits": exits_of(result),
        "reason": result.ending.reason,
        "repair": result.repair,
        "first_to_last_byte_ns": result.first_to_last_byte_ns,
        "unclaimed_ioports": {f"{ioport:#x}": n for ioport, n in sorted(result.unclaimed_ioports.items())},
    }


def refused_stats(config: DomainConfig, refusal: GuestRefused) -> Json:
    """A run that did not take place, because the guest was refused. The mode is the one asked for."""
    return {
        "schema": SCHEMA,
        "mode": config.mode,
        "tier": config.tier,
        "ended_by": EndedBy.REFUSED.value,
        "status": refusal.status,
        "instructions": 0,
        "virtual_ns": 0,
        "wall_ns": 0,
        "exits": {},
        "reason": str(refusal),
    }


def exits_of(result: RunResult) -> Json:
    """The rows of `exits`, by the reason's label."""
    return {
        label: {"count": row.count, "native": row.native, "python": row.python, "wall_ns": row.wall_ns}
        for label, row in result.exits.items()
    }
