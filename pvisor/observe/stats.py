# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of a run as one JSON object, schema `pvisor.stats/1`. Written by `pvisor run --stats`.

The first keys are the schema's and stay; more may follow in later versions. `exits` has a row for each
reason that occurred; `wall_ns` is the host's time in the handlers of that reason, or null where handlers in
C served it and were not timed (`--time-exits` samples them).

Behind them: `unclaimed_ioports` and `unclaimed_mmio` count accesses by address where nobody answers (of
memory, those beyond the first 1024 addresses as "elsewhere"); `idle_ns` is the part of `virtual_ns` in
which the first virtual CPU did not run: it waited, also in PAUSE, or, for `steal_ns` of it, others ran in
its stead; `deadlines` counts those of devices that came. `remedy` is what was done about sensitive
instructions, and `patches` how many of them are replaced `now`, at the end, and how many `ever` were; both
are null except in mode full. `places` are the functions, or addresses without a name, at which the first
virtual CPU was left most often, with the reason, how often, at how many instructions, and whether those
were replaced; null without `--time-exits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pvisor.domain.outcome import EndedBy
from pvisor.errors import GuestRefused
from pvisor.observe.linux.places import Place
from pvisor.vmm.config import DomainConfig, RunResult

SCHEMA: Final = "pvisor.stats/1"
N_PLACES: Final = 50

Json = dict[str, object]
"""A JSON object."""


def stats_of(result: RunResult, places: Sequence[Place] = ()) -> Json:
    """A run that took place, and where its guest was left, if that was counted."""
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
        "unclaimed_ioports": _by_address(result.unclaimed_ioports),
        "unclaimed_mmio": {**_by_address(result.unclaimed_mmio), **_elsewhere(result)},
        "idle_ns": result.idle_ns,
        "steal_ns": result.steal_ns,
        "deadlines": result.n_deadlines,
        "remedy": result.remedy,
        "patches": dict(zip(("now", "ever"), result.patches, strict=True)) if result.patches else None,
        "places": [place.as_json() for place in places[:N_PLACES]] or None,
    }


def _by_address(counts: Mapping[int, int]) -> dict[str, int]:
    return {f"{address:#x}": n for address, n in sorted(counts.items())}


def _elsewhere(result: RunResult) -> dict[str, int]:
    n_more = result.n_unclaimed_mmio_elsewhere
    return {"elsewhere": n_more} if n_more else {}


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
