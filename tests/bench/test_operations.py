# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor bench`: every operation in each mode, with exact counts. No time is judged by the clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pvisor.cli.bench import bench
from pvisor.emu.vcpu import lane_works
from pvisor.observe.bench import SCHEMA, BenchResult, Effort
from pvisor.observe.bench_operations import KERNEL_OPERATIONS, run_operations
from pvisor.paths import sdk_dir
from pvisor.toolchain.build import build_guest
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc

SHORTEST = Effort(n_rounds=1, sample_ms=0)


@pytest.fixture(scope="module", params=["native", "python"])
def result(request: pytest.FixtureRequest) -> BenchResult:
    return run_operations(SHORTEST, request.param)


def test_every_operation_is_there_in_each_mode(result: BenchResult) -> None:
    found = [(row.op, row.mode) for row in result.rows]
    assert found == [
        (operation.name, mode)
        for operation in KERNEL_OPERATIONS
        for mode in operation.modes
        if mode != "emu" or lane_works()
    ]
    assert len({row.tier for row in result.rows}) == 1


def test_the_same_program_runs_in_full_and_in_the_lane(result: BenchResult) -> None:
    for operation in KERNEL_OPERATIONS:
        rows = [row for row in result.rows if row.op == operation.name]
        assert all(row.instructions_per_op is not None and row.instructions_per_op > 0 for row in rows)
        counts = [row.instructions_per_op for row in rows if row.mode != "para"]
        assert all(count == pytest.approx(counts[0], rel=0.1) for count in counts), operation.name


def test_exits_are_those_of_the_operation(result: BenchResult) -> None:
    exits = {(row.op, row.mode): row.exits_per_op for row in result.rows}
    # PUSHF, CLI, STI; a trap and a return; an interrupt's two stores to the APIC; the loads of CR3 and so on.
    assert exits["interrupt_mask", "full"] == 3
    assert exits["root_switch", "full"] == exits["msr_write", "full"] == exits["time_read", "full"] == 1
    assert exits["page_fault", "full"] == exits["system_call", "full"] == 3
    assert exits["map_unmap", "full"] == 2
    assert exits["disk_read_4k", "full"] > 2048, "a word at a time"
    assert 64 < exits["console_line", "full"] < 75
    assert 65536 < exits["console_64k", "full"] < 75000
    assert exits["entry_set_512", "full"] == 512, "an INVLPG each"
    assert exits["remap_512", "full"] > 512, "a fill each"
    assert exits["remap_later_512", "full"] == pytest.approx(exits["remap_512", "full"], abs=5)
    if lane_works():
        free = ("interrupt_mask", "root_switch", "map_unmap", "msr_write", "remap_512", "remap_later_512")
        assert [exits[name, "emu"] for name in free] == [0] * len(free)
        assert exits["disk_read_4k", "emu"] == exits["disk_read_4k", "full"]
        assert exits["console_line", "emu"] == exits["console_line", "full"]


def test_para_asks_where_full_is_caught(result: BenchResult) -> None:
    exits = {row.op: row.exits_per_op for row in result.rows if row.mode == "para"}
    assert [exits[name] for name in ("interrupt_mask", "time_read")] == [0, 0], "by the shared page"
    assert exits["entry_set_512"] == 512
    once = ("root_switch", "entry_batch_512", "remap_512", "remap_later_512", "disk_read_4k", "disk_read_64k",
            "console_line")  # fmt: skip
    assert [exits[name] for name in once] == [1] * len(once)
    assert 1 <= exits["console_64k"] <= 1.5
    assert exits["interrupt"] == exits["page_fault"] == exits["system_call"] == 2, "there and back"
    assert exits["event_trip"] == 2, "a send, and the wait for the answer"


def test_floors_follow_the_exits(result: BenchResult) -> None:
    for row in result.rows:
        assert (row.floor_ns > 0) == (row.exits_per_op > 0), row


@pytest.mark.parametrize("tier", ["native", "python"])
def test_the_command(tier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("pvisor.cli.bench.SHORT_EFFORT", SHORTEST)
    written = tmp_path / "bench.json"
    ran = CliRunner().invoke(bench, ["--quick", "--tier", tier, "--json", str(written)])
    assert ran.exit_code == 0, ran.output
    document = json.loads(written.read_text())
    assert (list(document), document["schema"]) == (["schema", "host", "rows"], SCHEMA)
    assert {row["tier"] for row in document["rows"]} == {tier}
    assert all(operation.name in ran.output for operation in KERNEL_OPERATIONS)
    assert "artefact" in ran.output and f"({tier} tier)" in ran.output
    assert max(map(len, ran.output.splitlines())) <= 80 and "…" not in ran.output


@pytest.mark.needs_qemu
def test_its_guest_is_a_pc_kernel_like_others(tmp_path: Path) -> None:
    elf = build_guest([sdk_dir() / "bench" / "operations.c"], tmp_path / "operations.elf", "full").path
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 16))
    for operation in KERNEL_OPERATIONS:
        if "full" not in operation.modes:
            continue
        more = ["-append", f"{operation.name} 10", "-drive", f"file={disk},format=raw,if=ide"]
        status, output = pc.run(elf, more=more)
        assert status == 0, (operation.name, output[-200:])
    assert pc.run(elf, more=["-append", "sleep 10"]) == (3, b"no such operation\n")
