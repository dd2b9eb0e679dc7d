# SPDX-License-Identifier: GPL-2.0-or-later
"""Phases of a run are taken down at their borders, and the run is the one that nobody watches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pvisor.cpu.exits import ExitReason
from pvisor.domain.outcome import EndedBy
from pvisor.machine.console import ConsoleOutput
from pvisor.observe.boot_cost import measure_boot, split_of
from pvisor.observe.linux.phases import KERNEL, USER, PhaseWatch
from pvisor.observe.linux.places import rank_places
from pvisor.observe.linux.symbols import Symbols
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.guests import elves
from tests.qemu import pc


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It runs user code."""
    return pc.build("syscall", 64, tmp_path_factory.mktemp("phases"))


def traced(config: DomainConfig, watcher: PhaseWatch | None) -> tuple[list[tuple[Any, ...]], RunResult]:
    """Every record of a run."""
    records: list[tuple[Any, ...]] = []

    def take(found: Sequence[Any]) -> None:
        records.extend((r.virtual_ns, r.rip, r.reason, r.result, r.outcome, tuple(r.ops)) for r in found)

    return records, run_domain(config, ConsoleOutput(), trace=take, watcher=watcher)


@pytest.mark.parametrize("mode", ["full", "emu"])
@pytest.mark.parametrize("tier", ["native", "python"])
def test_the_run_is_the_one_without_a_watch(kernel: Path, mode: str, tier: str) -> None:
    config = DomainConfig(kernel, mode, tier=tier)
    alone, plain = traced(config, None)
    watch = PhaseWatch()
    watched, result = traced(config, watch)
    assert watched == alone and len(alone) > 100
    assert (result.output, result.n_instructions, result.virtual_ns, result.ending) == (
        plain.output, plain.n_instructions, plain.virtual_ns, plain.ending,
    )  # fmt: skip
    assert [phase.name for phase in watch.phases] == [KERNEL, USER]


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_phases_add_up(kernel: Path, mode: str) -> None:
    cost = measure_boot(DomainConfig(kernel, mode))
    before, user = cost.phases
    assert sum(phase.n_instructions for phase in cost.phases) == cost.run.n_instructions
    for reason in ExitReason:
        found = cost.run.exits.get(reason.label)
        assert sum(phase.exits(reason) for phase in cost.phases) == (found.count if found is not None else 0)
    assert before.exits(ExitReason.SYSCALL) == 0 and user.exits(ExitReason.SYSCALL) > 0
    for phase in cost.phases:
        split = split_of(phase)
        assert 0 <= split.guest <= phase.host_ns
    assert sum(place.count for place in cost.places) + cost.n_elsewhere == sum(
        row.count for row in cost.run.exits.values()
    )
    assert bool(cost.patched) is (mode == "full")


def test_places_are_put_together_by_function() -> None:
    high, cli, pushf = 1 << 63, ExitReason.CLI, ExitReason.PUSHF
    symbols = Symbols([(high, "T", "one"), (high + 64, "T", "two")], "a test")
    found: dict[tuple[int, int], int]
    found = {(high, cli): 3, (high + 5, cli): 4, (high + 64, pushf): 9, (0x4000, cli): 1, (0x4001, cli): 1}
    ranked = [(one.name, one.count, one.n_sites) for one in rank_places(found, symbols)]
    assert ranked == [("two", 9, 1), ("one", 7, 2), ("user code", 2, 2)]
    assert [one.name for one in rank_places({(0x4000, cli): 1}, None)] == ["0x4000"]


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_a_run_ends_when_the_console_has_shown_a_text(tmp_path: Path, mode: str) -> None:
    endless = elves.build("endless", "full", tmp_path)
    costs = [measure_boot(DomainConfig(endless, mode, timeout_s=60), until=b"for ever") for _ in range(2)]
    assert {(one.run.ending.ended_by, one.run.ending.status) for one in costs} == {(EndedBy.BUDGET, 0)}
    assert len({one.run.n_instructions for one in costs}) == 1
