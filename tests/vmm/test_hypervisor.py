# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python API with real guests: several domains of every mode, side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.emu.vcpu import lane_works
from pvisor.errors import GuestRefused, UsageError
from pvisor.machine.console import ConsoleOutput
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.hypervisor import HostedDomain, Hypervisor
from pvisor.vmm.run import run_domain

pytestmark = pytest.mark.needs_gcc

GUESTS = Path(__file__).resolve().parent / "guests"
MODES = ("para", "full", "emu")
S, MS = 1_000_000_000, 1_000_000

Worker = Callable[..., DomainConfig]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """A domain whose guest does what its command line says (guests/worker.c)."""
    folder = tmp_path_factory.mktemp("worker")
    built = {
        mode: build_guest([GUESTS / "worker.c"], folder / f"{mode}.elf", mode).path
        for mode in ("full", "para")
    }

    def config(mode: str, cmdline: str, **settings: Any) -> DomainConfig:
        if mode == "emu" and not lane_works():
            pytest.skip("the control lane needs Unicorn 2.1.4 on Linux")
        elf = built["para" if mode == "para" else "full"]
        return DomainConfig(elf, mode, cmdline=cmdline, **{"memory_bytes": 16 << 20, **settings})

    return config


@dataclass
class Done:
    """What a run of several left behind."""

    domains: list[HostedDomain]
    traces: list[list[tuple[Any, ...]]]

    @property
    def statuses(self) -> list[int | None]:
        """One a domain."""
        return [domain.status for domain in self.domains]

    @property
    def texts(self) -> list[str]:
        """What each has printed."""
        return [domain.console.text for domain in self.domains]


def run(*configs: DomainConfig, n_threads: int = 1, traced: bool = False) -> Done:
    """Run domains to the end of all."""
    traces: list[list[tuple[Any, ...]]] = [[] for _ in configs]
    with Hypervisor(n_threads) as hypervisor:
        domains = [
            hypervisor.create(config, trace=_recorder(records) if traced else None)
            for config, records in zip(configs, traces, strict=True)
        ]
        hypervisor.run()
    return Done(domains, traces)


def _recorder(records: list[tuple[Any, ...]]) -> Callable[[Sequence[Any]], None]:
    def record(rows: Sequence[Any]) -> None:
        for row in rows:
            facts = (row.virtual_ns, row.rip, row.reason, row.outcome, row.result, *row.ops[0 : row.n_ops])
            records.append(facts)

    return record


def virtual_facts(result: RunResult) -> tuple[Any, ...]:
    """A result without what the host's clock says."""
    exits = {reason: replace(count, wall_ns=None) for reason, count in result.exits.items()}
    return astuple(replace(result, wall_ns=0, first_to_last_byte_ns=0, exits=exits))


# --- shares


@pytest.mark.parametrize("pair", [("para", "para"), ("full", "para"), ("full", "full"), ("emu", "full")])
def test_two_to_one(worker: Worker, pair: tuple[str, str]) -> None:
    done = run(*(worker(mode, "spin:100000", weight=w) for mode, w in zip(pair, (512, 256), strict=True)))
    ran_ns = [domain.stats.n_instructions for domain in done.domains]
    assert abs(ran_ns[0] - 66_666_667) < MS
    assert abs(ran_ns[1] - 33_333_333) < MS
    assert all(100 * MS <= domain.stats.virtual_ns < 103 * MS for domain in done.domains)


@pytest.mark.parametrize("mode", ["full", "para"])
def test_time_that_others_took_is_told_from_time_asleep(worker: Worker, mode: str) -> None:
    spinner, other = run(worker(mode, "spin:5000"), worker(mode, "spin:5000")).domains
    for domain in (spinner, other):
        assert 2_000_000 < domain.stats.steal_ns == domain.stats.idle_ns
    sleeper, spinner = run(worker(mode, "nap:5000"), worker(mode, "spin:1000")).domains
    assert sleeper.stats.steal_ns < 1_000_000 < 4_000_000 < sleeper.stats.idle_ns - sleeper.stats.steal_ns
    assert spinner.stats.steal_ns == spinner.stats.idle_ns


def test_a_cap_is_kept_whoever_else_runs(worker: Worker) -> None:
    done = run(worker("para", "spin:100000", cap_percent=10), worker("full", "nap:50000 count:1000"))
    assert abs(done.domains[0].stats.n_instructions - 10 * MS) <= MS
    assert done.statuses == [0, 0]


# --- side by side


def test_every_mode_at_once(worker: Worker) -> None:
    words = "tick:1000 say:begin spin:20000 nap:500 spin:40000 say:end exit:5"
    done = run(*(worker(mode, words) for mode in MODES for _ in range(2)))
    assert done.statuses == [11] * 6
    for text in done.texts:
        lines = text.splitlines()
        assert (lines[0], lines[-1]) == ("begin", "end")
    assert {domain.stats.mode for domain in done.domains} == set(MODES)
    assert [domain.domid for domain in done.domains] == [1, 2, 3, 4, 5, 6]


def test_a_crash_leaves_the_others_running(worker: Worker) -> None:
    done = run(
        worker("para", "count:1000 crash"), worker("para", "spin:20000 say:well"),
        worker("full", "spin:20000 exit:1"),
    )  # fmt: skip
    assert done.statuses == [134, 0, 3]
    assert "well" in done.texts[1]
    assert done.domains[0].stats.crash is not None
    assert done.domains[1].stats.crash is None
    ending = done.domains[0].ending
    assert ending is not None
    assert "reported its own failure" in ending.reason


def test_one_that_nothing_wakes_waits_for_the_others(worker: Worker) -> None:
    done = run(*(worker(mode, "idle") for mode in MODES), worker("para", "spin:5000"))
    assert done.statuses == [124, 124, 124, 0]
    assert [domain.ending.ended_by for domain in done.domains[:3] if domain.ending] == [EndedBy.IDLE] * 3
    assert done.domains[0].stats.virtual_ns == done.domains[3].stats.virtual_ns


def test_who_naps_wakes_at_its_time_whoever_spins(worker: Worker) -> None:
    words = "nap:10000 " * 5
    done = run(worker("para", words), worker("full", words), worker("para", "spin:60000"))
    for domain in done.domains[:2]:
        assert 50 * MS <= domain.stats.virtual_ns < 51 * MS, "it was woken with credit, so it went first"


def test_who_gives_the_cpu_away_keeps_nobody_waiting(worker: Worker) -> None:
    done = run(worker("para", "yield:2000"), worker("full", "count:20000"))
    assert done.statuses == [0, 0]
    assert done.domains[1].stats.idle_ns < done.domains[1].stats.n_instructions


def test_budget_and_time_out_end_their_domain_only(worker: Worker) -> None:
    done = run(
        worker("para", "forever", max_insns=1_000_000), worker("full", "forever", timeout_s=0.3),
        worker("para", "idle", timeout_s=0.1), worker("para", "spin:20000"),
    )  # fmt: skip
    assert done.statuses == [124, 124, 124, 0]
    reasons = [domain.ending.reason for domain in done.domains[:3] if domain.ending]
    assert ["--max-insns" in reasons[0], "--timeout" in reasons[1], "--timeout" in reasons[2]] == [True] * 3
    assert done.domains[0].stats.n_instructions <= 1_000_000


def test_a_time_out_that_comes_after_the_end(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    done = run(worker("para", "say:soon", timeout_s=0.05), worker("full", "forever", timeout_s=0.3))
    assert done.statuses == [0, 124]
    assert not failures


def test_a_signal_ends_all(worker: Worker) -> None:
    came = threading.Event()
    with Hypervisor(interrupted=came.is_set) as hypervisor:
        domains = [hypervisor.create(worker(mode, words)) for mode, words in
                   (("para", "forever"), ("full", "forever"), ("para", "idle"))]  # fmt: skip
        machine = domains[0].machine
        assert machine is not None

        def interrupt() -> None:
            came.set()
            machine.vcpu.kick()

        threading.Timer(0.1, interrupt).start()
        hypervisor.run()
    assert [domain.status for domain in domains] == [130, 130, 130]


# --- the same again, and elsewhere

MIXED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("para", "tick:700 spin:30000 nap:300 say:one", {"weight": 300}),
    ("full", "spin:10000 nap:900 spin:40000 exit:2", {"weight": 500}),
    ("emu", "tick:1000 spin:25000", {}),
    ("para", "nap:100 nap:100 yield:50 crash", {"cap_percent": 30}),
)


@pytest.mark.parametrize("tier", ["native", "python"])
def test_two_runs_are_equal(worker: Worker, tier: str) -> None:
    configs = [worker(mode, words, tier=tier, **settings) for mode, words, settings in MIXED]
    first, second = run(*configs, traced=True), run(*configs, traced=True)
    assert first.traces == second.traces
    assert all(first.traces)
    assert first.texts == second.texts
    for one, other in zip(first.domains, second.domains, strict=True):
        assert virtual_facts(one.stats) == virtual_facts(other.stats)


def test_tiers_give_the_same_trace(worker: Worker) -> None:
    traces = [
        run(*(worker(m, words, tier=tier, **settings) for m, words, settings in MIXED), traced=True).traces
        for tier in ("native", "python")
    ]
    assert traces[0] == traces[1]


def test_threads_change_nothing_for_domains_that_share_nothing(worker: Worker) -> None:
    configs = [worker(mode, words, **settings) for mode, words, settings in MIXED]
    together = run(*configs, n_threads=2, traced=True)
    for config, domain, trace in zip(configs, together.domains, together.traces, strict=True):
        alone = run(config, traced=True)
        assert trace == alone.traces[0]
        assert virtual_facts(domain.stats) == virtual_facts(alone.domains[0].stats)


@pytest.mark.parametrize("mode", MODES)
def test_one_domain_is_as_without_a_hypervisor(worker: Worker, mode: str) -> None:
    config = worker(mode, "tick:1000 spin:10000 nap:300 say:x")
    done = run(config)
    assert virtual_facts(done.domains[0].stats) == virtual_facts(run_domain(config))


def test_more_threads_than_domains(worker: Worker) -> None:
    assert run(worker("para", "say:x"), n_threads=8).statuses == [0]


def test_no_domain_at_all() -> None:
    with Hypervisor() as hypervisor:
        hypervisor.run()
    with Hypervisor(3) as hypervisor:
        hypervisor.run()


# --- making domains


def test_what_is_not_there_before_the_end(worker: Worker) -> None:
    with Hypervisor() as hypervisor:
        domain = hypervisor.create(worker("para", "say:x", name="me"))
        assert (domain.name, domain.status, domain.ending) == ("me", None, None)
        with pytest.raises(ValueError, match="me has not ended"):
            _ = domain.stats
        hypervisor.run()
        assert (domain.status, domain.console.text) == (0, "x\n")


def test_domains_may_come_after_a_run(worker: Worker) -> None:
    with Hypervisor() as hypervisor:
        first = hypervisor.create(worker("para", "spin:1000", timeout_s=60))
        hypervisor.run()
        second = hypervisor.create(worker("full", "spin:3000", timeout_s=60))
        hypervisor.run()
    assert (first.status, second.status) == (0, 0)
    assert second.stats.virtual_ns > first.stats.virtual_ns, "time goes on"


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"weight": 0}, UsageError), ({"weight": 65536}, UsageError), ({"cap_percent": 101}, UsageError),
     ({"cap_percent": -1}, UsageError), ({"n_vcpus": 17}, UsageError), ({"n_vcpus": 0}, UsageError),
     ({"tier": "x"}, UsageError), ({"kernel": Path("/nowhere/x.elf")}, Exception),
     ({"memory_bytes": 1 << 20}, GuestRefused)],
)  # fmt: skip
def test_a_domain_that_cannot_be_made_leaves_nothing(
    worker: Worker, settings: dict[str, Any], error: type[Exception]
) -> None:
    good = worker("para", "say:x")
    with Hypervisor(2) as hypervisor:
        with pytest.raises(error):
            hypervisor.create(replace(good, **settings, net=True, network="lan"))
        assert not hypervisor.domains
        hypervisor.add_network("lan")
        domain = hypervisor.create(good)
        assert domain.domid == 1
        hypervisor.run()
        assert domain.status == 0


def test_a_network_has_one_name(worker: Worker) -> None:
    with Hypervisor() as hypervisor:
        hypervisor.add_network("lan")
        with pytest.raises(UsageError, match="lan"):
            hypervisor.add_network("lan")


def test_no_threads() -> None:
    with pytest.raises(UsageError):
        Hypervisor(0)


def test_a_mistake_of_ours_passes_through_and_everything_is_freed(worker: Worker) -> None:
    for n_threads in (1, 2):
        with pytest.raises(ZeroDivisionError, match="ours"), Hypervisor(n_threads) as hypervisor:
            domains = [hypervisor.create(worker("para", "spin:5000 say:x")) for _ in range(3)]

            def broken(data: bytes) -> None:
                raise ZeroDivisionError("ours")

            domains[1].console.write = broken  # type: ignore[method-assign]
            hypervisor.run()
        assert all(domain.machine is None for domain in domains)


def test_a_hypervisor_that_never_ran_is_closed(worker: Worker) -> None:
    with Hypervisor() as hypervisor:
        domain = hypervisor.create(worker("full", "forever", timeout_s=0.01))
    assert domain.machine is None
    hypervisor.close()


def test_functions_are_counted(worker: Worker) -> None:
    done = run(worker("para", "nap:100 nap:100", watch=("pv_timer_set", "nobody")))
    (operation,) = done.domains[0].stats.operations
    assert (operation.name, operation.calls) == ("pv_timer_set", 2)


@pytest.mark.parametrize("mode", ["full", "para"])
def test_a_mistake_on_one_thread_stops_the_others(worker: Worker, mode: str) -> None:
    """Those that nobody reaches are ended, those that run in steps go no further."""

    def lost(data: bytes) -> None:
        raise BrokenPipeError

    with Hypervisor(2) as hypervisor:
        endless = hypervisor.create(worker(mode, "forever", max_insns=300_000_000))
        hypervisor.create(worker(mode, "say:hello"), ConsoleOutput(lost))
        with pytest.raises(BrokenPipeError):
            hypervisor.run()
        assert endless.ending is None or endless.ending.ended_by is EndedBy.INTERRUPTED
