# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark: its document is complete, its counts exact, its ratios sane. No time is judged by the clock.

Ratios compare what was measured in turn in one run, and the limits here are wide: they catch an exit that has
become several times dearer, not a busy machine. The figures that the project promises are for `pvisor bench`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pvisor.cli.bench import bench
from pvisor.cpu.floor import LOOP_GVA, PAGE_GVA, BareLoop, floor_ns
from pvisor.cpu.unicorn_binding import BindingLoop
from pvisor.errors import UsageError
from pvisor.observe.bench import (
    QUICK_EFFORT,
    SCHEMA,
    BenchResult,
    Effort,
    measure_floors,
    run_bench,
)
from pvisor.observe.bench_guest import OPERATIONS, BenchGuest, Operation
from pvisor.para import tables
from pvisor.para.start import hypercall_pages

ROW_KEYS = (
    "op", "mode", "tier", "ns_median", "ns_low", "ns_high", "samples", "exits_per_op", "instructions_per_op",
    "floor_ns",
)  # fmt: skip
HOST_KEYS = ("cpu", "cores", "python", "unicorn", "repair")
PROMISED = ("hypercall_noop", "cli", "transport_syscall", "transport_vmcall", "out")


@pytest.fixture(scope="module")
def result() -> BenchResult:
    return run_bench(QUICK_EFFORT)


def operation(name: str) -> Operation:
    return next(op for op in OPERATIONS if op.name == name)


# --- the document


def test_the_command_writes_the_document(tmp_path: Path) -> None:
    written = tmp_path / "bench.json"
    ran = CliRunner().invoke(bench, ["--floor", "--quick", "--json", str(written)])
    assert ran.exit_code == 0, ran.output
    document = json.loads(written.read_text())
    assert list(document) == ["schema", "host", "rows"]
    assert document["schema"] == SCHEMA
    assert set(HOST_KEYS) <= document["host"].keys()
    assert document["host"]["repair"] in ("state", "context")
    for row in document["rows"]:
        assert tuple(row)[: len(ROW_KEYS)] == ROW_KEYS
        assert 0 < row["ns_low"] <= row["ns_median"] <= row["ns_high"]
        assert row["floor_ns"] > 0
        assert row["samples"] == QUICK_EFFORT.n_rounds
    assert all(op in ran.output for op in PROMISED)
    assert "artefact" in ran.output


@pytest.mark.parametrize("path", [".", "missing/bench.json", "nul\0.json"])
def test_a_path_that_cannot_be_written_is_refused_at_once(path: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(bench, ["--json", str(tmp_path / path)])
    assert isinstance(ran.exception, UsageError)
    assert "\n" not in str(ran.exception)
    assert not list(tmp_path.iterdir())


def test_rows_are_complete(result: BenchResult) -> None:
    for op in OPERATIONS:
        for tier in ("native", "python"):
            assert result.row(op.name, tier).mode == op.mode
    assert {row.op for row in result.rows} >= set(PROMISED)
    assert {row.op for row in result.rows if row.tier == "binding"} == {"cli", "transport_vmcall", "out"}
    with pytest.raises(LookupError):
        result.row("cli", "hardware")


# --- counts: exact, whatever the machine does


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_each_operation_is_one_exit(op: Operation, tier: str) -> None:
    guest = BenchGuest(op, tier)
    try:
        guest.sample(1000)
        exits, native, instructions = guest.counts()
    finally:
        guest.close()
    # Each time round: the call, three in the stub, or the instruction alone; then the loop's own two. What
    # ends the guest is an exit as well.
    in_stub = op.mode == "para"
    assert instructions == 1000 * (4 + 2 if in_stub else 1 + 2) + op.frame_instructions
    assert exits == 1000 + 1
    assert native == (1000 if tier == "native" and op.name != "out" else 0)


def test_rows_count_as_the_vcpu_does(result: BenchResult) -> None:
    for row in result.rows:
        assert row.exits_per_op == 1
        assert row.instructions_per_op == {"binding": None}.get(row.tier, 4 if row.mode == "para" else 1)


def test_rows_tell_who_served(result: BenchResult) -> None:
    assert result.row("hypercall_noop", "native").served_by == "native"
    assert result.row("cli", "native").served_by == "native"
    assert result.row("cli", "python").served_by == "python"
    assert result.row("cli", "binding").served_by == "binding"


# --- floors and yardstick


def test_a_floor_runs_the_benchmarks_own_bytes() -> None:
    loop = operation("hypercall_noop").loop
    guest = BenchGuest(operation("hypercall_noop"), "python")
    try:
        assert guest.vcpu.copy_in(LOOP_GVA, len(loop.code)) == loop.code
    finally:
        guest.close()
    assert loop.page == hypercall_pages("syscall")[:4096]
    assert PAGE_GVA == tables.HYPERCALL_PAGE_GVA


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_each_floor_runs_to_its_end(op: Operation) -> None:
    assert floor_ns(op.loop, 1000) > 0


def test_a_floor_that_goes_astray_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="did not run to its end"):
        floor_ns(BareLoop("out", b"\xf4" + operation("out").loop.code), 10)  # HLT: a trap without a hook
    with pytest.raises(RuntimeError, match="did not run to its end"):
        floor_ns(BareLoop("no such instruction", operation("cli").loop.code), 10)


def test_floors_alone() -> None:
    floors = measure_floors(Effort(n_rounds=1, sample_ms=0.5))
    assert floors.keys() == {op.name for op in OPERATIONS}
    assert all(ns > 0 for ns in floors.values())


def test_the_binding_counts_its_exits() -> None:
    loop = BindingLoop(operation("cli").loop)
    before = loop.n_exits
    loop.sample(200)
    assert loop.n_exits - before == 200
    with pytest.raises(ValueError, match="int"):
        BindingLoop(operation("transport_int").loop)


# --- ratios within one run


@pytest.mark.parametrize("op", ["hypercall_noop", "cli", "transport_vmcall", "transport_int"])
def test_native_exits_stay_near_their_floor(result: BenchResult, op: str) -> None:
    if result.host["repair"] == "context":
        pytest.skip("the fall-back copies the CPU state at each block, which the floor does not")
    row = result.row(op, "native")
    assert row.ns_low < 3 * row.floor_ns


@pytest.mark.parametrize(("op", "at_least"), [("transport_vmcall", 4), ("cli", 3)])
def test_python_handlers_beat_the_plain_binding(result: BenchResult, op: str, at_least: float) -> None:
    assert result.row(op, "binding").ns_low > at_least * result.row(op, "python").ns_low
