# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends, waits and handovers in C do just what Python does: the same traces, times and results, to the byte.

Domains signal one another, wait and compute at random, with timers, a spinner beside them, caps and weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy, Ending
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.hypervisor import HostedDomain, Hypervisor
from pvisor.vmm.member import Runner
from pvisor.vmm.physical_cpu import PhysicalCpu

pytestmark = pytest.mark.needs_gcc

GUESTS = Path(__file__).resolve().parent / "guests"
NATIVES = ("event_send", "poll", "block")


@dataclass(frozen=True)
class Case:
    """Domains of players: how many, with how many vCPUs, how many rounds, caps and weights by domain."""

    n_domains: int = 2
    n_vcpus: int = 1
    n_rounds: int = 300
    caps: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    has_spinner: bool = False
    seed: int = 1
    max_insns: int = 40_000_000


CASES = (
    Case(seed=1), Case(seed=2), Case(seed=3, n_rounds=1500), Case(n_domains=1, n_vcpus=2, n_rounds=800),
    Case(n_vcpus=2, seed=4), Case(n_domains=3, seed=5), Case(n_domains=3, n_vcpus=2, seed=6),
    Case(caps=(0, 20), seed=7), Case(caps=(30, 30), n_vcpus=2, seed=8), Case(weights=(1024, 64), seed=9),
    Case(has_spinner=True, n_rounds=150, seed=10), Case(n_domains=5, n_rounds=150, seed=11),
)  # fmt: skip


@dataclass
class Seen:
    """What a run shows of each domain."""

    outputs: list[bytes] = field(default_factory=list)
    endings: list[Ending | None] = field(default_factory=list)
    records: list[list[tuple[object, ...]]] = field(default_factory=list)
    facts: list[tuple[object, ...]] = field(default_factory=list)
    n_native: int = 0
    """Sends and waits that were served in C."""


@pytest.fixture(scope="module")
def players(tmp_path_factory: pytest.TempPathFactory) -> Path:
    elf = tmp_path_factory.mktemp("players") / "players.elf"
    return build_guest([GUESTS / "players.c"], elf, "para").path


def run(elf: Path, case: Case, tier: str, without: Sequence[str] = ()) -> Seen:
    seen = Seen()

    def create(hv: Hypervisor, index: int, cmdline: str) -> HostedDomain:
        records: list[tuple[object, ...]] = []
        seen.records.append(records)
        config = DomainConfig(
            elf, "para", 4 << 20, cmdline=cmdline, tier=tier, n_vcpus=case.n_vcpus,
            without_natives=tuple(without), max_insns=case.max_insns,
            cap_percent=dict(enumerate(case.caps)).get(index, 0),
            weight=dict(enumerate(case.weights)).get(index, 256),
        )  # fmt: skip
        return hv.create(config, trace=lambda batch: records.extend(map(fields_of, batch)))

    with Hypervisor() as hv:
        for i in range(case.n_domains):
            line = f"{i + 1} {case.n_domains} {case.n_vcpus} {case.n_rounds} {case.seed}"
            create(hv, i, line)
        if case.has_spinner:  # a domain of its own: it knows nobody
            create(hv, case.n_domains, f"1 1 1 {case.n_rounds * 4} {case.seed}")
        hv.run()
        for domain in hv.domains:
            seen.outputs.append(domain.console.data)
            seen.endings.append(domain.ending)
            stats = domain.stats
            counts = ((label, row.count) for label, row in stats.exits.items())
            seen.facts.append((stats.n_instructions, stats.virtual_ns, *counts))
            seen.n_native += stats.exits["hypercall"].native
    return seen


def fields_of(record: object) -> tuple[object, ...]:
    """The virtual facts of a trace record."""
    r: object = record
    names = ("virtual_ns", "rip", "result", "n_ops", "reason", "outcome", "vcpu_id")
    values = [getattr(r, name) for name in names]
    return (*values, *list(r.ops)[: values[3]])  # type: ignore[attr-defined]


def check_same(one: Seen, other: Seen) -> None:
    assert one.outputs == other.outputs
    assert one.endings == other.endings
    assert one.facts == other.facts
    for mine, its in zip(one.records, other.records, strict=True):
        for i, (a, b) in enumerate(zip(mine, its, strict=False)):
            assert a == b, f"record {i}"
        assert len(mine) == len(its)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_tiers_do_the_same(players: Path, case: Case) -> None:
    python, native = run(players, case, "python"), run(players, case, "native")
    check_same(python, native)
    assert native.n_native > python.n_native == 0
    assert native.endings[0] == Ending(EndedBy.GUEST, 0)


@pytest.mark.parametrize("without", [*((name,) for name in NATIVES), NATIVES], ids=str)
@pytest.mark.parametrize("case", [CASES[0], CASES[4]], ids=str)
def test_any_of_them_may_be_missing(players: Path, case: Case, without: tuple[str, ...]) -> None:
    check_same(run(players, case, "native"), run(players, case, "native", without))


def test_turns_are_handed_over_in_c(players: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would show nothing."""
    n_turns = {"python": 0, "native": 0}
    begin = PhysicalCpu._begin

    for tier in n_turns:

        def counted(cpu: PhysicalCpu, runner: Runner, tier: str = tier) -> None:
            n_turns[tier] += 1
            begin(cpu, runner)

        monkeypatch.setattr(PhysicalCpu, "_begin", counted)
        run(players, CASES[2], tier)
    assert n_turns["native"] < n_turns["python"] * 0.9, n_turns


@pytest.mark.parametrize("max_insns", [123_456, 200_001, 300_000])
@pytest.mark.parametrize(("n_domains", "n_vcpus"), [(1, 2), (2, 2), (2, 3)])
def test_the_vcpus_of_a_domain_have_one_budget(
    players: Path, n_domains: int, n_vcpus: int, max_insns: int
) -> None:
    """It ends with the domain's last instruction, whoever retires it and whoever hands the CPU over."""
    case = Case(n_domains, n_vcpus, n_rounds=100_000, max_insns=max_insns)
    python, native = run(players, case, "python"), run(players, case, "native")
    check_same(python, native)
    assert native.n_native > 0
    for ending, facts in zip(native.endings, native.facts, strict=True):
        assert ending is not None and ending.ended_by is EndedBy.BUDGET
        n_instructions = facts[0]
        assert isinstance(n_instructions, int) and max_insns - 100 < n_instructions <= max_insns
