# SPDX-License-Identifier: GPL-2.0-or-later
"""The statistics' form, from a run that is made up."""

from __future__ import annotations

import json
from pathlib import Path

from pvisor.domain.outcome import EndedBy, Ending
from pvisor.errors import GuestRefused
from pvisor.observe.stats import refused_stats, stats_of
from pvisor.vmm.config import DomainConfig, ExitCount, RunResult


def test_a_run() -> None:
    result = RunResult(
        "full", "native", "state", Ending(EndedBy.IDLE, 124, "it waits"), 7, 9, 11, b"", 5,
        exits={"cli": ExitCount(3, 2, 1, None)}, unclaimed_ioports={0x80: 2}, remedy="patch", patches=(3, 5),
        idle_ns=2, steal_ns=1, n_deadlines=4, unclaimed_mmio={0xF000_0000: 1}, n_unclaimed_mmio_elsewhere=6,
    )  # fmt: skip
    assert json.loads(json.dumps(stats_of(result))) == {
        "schema": "pvisor.stats/1", "mode": "full", "tier": "native", "ended_by": "idle", "status": 124,
        "instructions": 7, "virtual_ns": 9, "wall_ns": 11,
        "exits": {"cli": {"count": 3, "native": 2, "python": 1, "wall_ns": None}},
        "reason": "it waits", "repair": "state", "first_to_last_byte_ns": 5, "unclaimed_ioports": {"0x80": 2},
        "unclaimed_mmio": {"0xf0000000": 1, "elsewhere": 6}, "idle_ns": 2, "steal_ns": 1,
        "deadlines": 4,
        "remedy": "patch", "patches": {"now": 3, "ever": 5}, "places": None,
    }  # fmt: skip


def test_a_refusal() -> None:
    facts = refused_stats(DomainConfig(Path("x"), mode="para", tier="python"), GuestRefused("too new"))
    assert (facts["ended_by"], facts["status"], facts["mode"], facts["tier"], facts["reason"]) == (
        "refused", 126, "para", "python", "too new",
    )  # fmt: skip
