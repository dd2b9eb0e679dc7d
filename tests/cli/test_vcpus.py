# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain with several virtual CPUs on the command line: which one it was, in traces and crash reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pvisor.toolchain.build import build_guest
from tests.cli.support import Pvisor, Said

pytestmark = pytest.mark.needs_gcc

GUESTS = Path(__file__).resolve().parents[1] / "para" / "guests"
TIERS = ("native", "python")


@pytest.fixture(scope="module")
def crasher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second of its two vCPUs crashes."""
    folder = tmp_path_factory.mktemp("crasher")
    return build_guest([GUESTS / "second_crash.c"], folder / "crasher.elf", "para").path


def traced(pvisor: Pvisor, crasher: Path, trace: Path, tier: str) -> Said:
    return pvisor("run", crasher, "--vcpus", "2", "--tier", tier, "--trace", trace)


@pytest.mark.parametrize("tier", TIERS)
def test_the_report_names_the_vcpu_that_crashed(
    pvisor: Pvisor, crasher: Path, tmp_path: Path, tier: str
) -> None:
    said = traced(pvisor, crasher, tmp_path / "trace", tier)
    assert said.status == 134
    first, on, at, *_ = said.err.split("\n")
    assert first.startswith("pvisor: the guest crashed: ") and on == "  on d1/v1" and "  second" in at


@pytest.mark.parametrize("tier", TIERS)
def test_each_record_names_its_vcpu(pvisor: Pvisor, crasher: Path, tmp_path: Path, tier: str) -> None:
    traced(pvisor, crasher, tmp_path / "trace", tier)
    shown = pvisor("trace", "show", "--json", tmp_path / "trace").out
    rows = [json.loads(line) for line in shown.splitlines()]
    for call, vcpus in {"noop": {1}, "abi_version": {0}, "yield": {0, 1}}.items():
        assert {row["vcpu"] for row in rows if row["call"] == call} == vcpus, call
    assert (rows[-1]["vcpu"], rows[-1]["outcome"]) == (1, "stop")
    assert [row["virtual_ns"] for row in rows] == sorted(row["virtual_ns"] for row in rows)
    lines = pvisor("trace", "show", tmp_path / "trace").out.splitlines()
    assert all(f" d1/v{row['vcpu']} " in line for row, line in zip(rows, lines, strict=True))


def test_the_tiers_leave_the_same_bytes(pvisor: Pvisor, crasher: Path, tmp_path: Path) -> None:
    for tier in TIERS:
        traced(pvisor, crasher, tmp_path / tier, tier)
    assert (tmp_path / "native").read_bytes() == (tmp_path / "python").read_bytes()
