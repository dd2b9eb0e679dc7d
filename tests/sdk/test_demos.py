# SPDX-License-Identifier: GPL-2.0-or-later
"""Each demo prints what its lab sheet promises, in every mode that it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pvisor.emu.vcpu import lane_works
from pvisor.toolchain.build import build_guest
from pvisor.toolchain.demos import Demo, find_demo, list_demos
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain

RUNS = [
    (demo, mode)
    for demo in list_demos()
    for mode in (*demo.modes, *(("emu",) if "full" in demo.modes else ()))
]


def run(demo: Demo, mode: str, folder: Path, **settings: Any) -> RunResult:
    """Build and run a demo."""
    built_for = "full" if mode == "emu" else mode
    elf = build_guest(demo.sources_for(built_for), folder / "demo.elf", built_for).path
    return run_domain(DomainConfig(elf, mode=mode, timeout_s=60, **settings))


@pytest.mark.parametrize(("demo", "mode"), RUNS, ids=[f"{demo.name}-{mode}" for demo, mode in RUNS])
@pytest.mark.parametrize("tier", ["native", "python"])
def test_it_prints_what_it_should(demo: Demo, mode: str, tier: str, tmp_path: Path) -> None:
    if mode == "emu" and not lane_works():
        pytest.skip("the emulation lane does not work here")
    result = run(demo, mode, tmp_path, tier=tier)
    assert demo.expected is not None
    assert result.output == demo.expected.read_bytes()
    assert result.ending.status == 0, result.ending.reason


def test_the_hole_without_the_remedy(tmp_path: Path) -> None:
    """Demo 07: with --no-patch the lines marked with `!` are wrong, all of them and no other."""
    demo = find_demo("sensitive")
    result = run(demo, "full", tmp_path, remedy="none")
    assert result.output == (demo.folder / "expected-no-patch.txt").read_bytes()
    assert result.ending.status == 0 and result.patches == (0, 0)
    assert demo.expected is not None
    right, wrong = demo.expected.read_text("utf-8").splitlines(), result.output.decode().splitlines()
    for one, other in zip(right, wrong, strict=True):
        assert (one != other) is one.startswith("! "), one


def test_the_figures_of_its_lab_sheet(tmp_path: Path) -> None:
    """How many places there are is the compiler's choice; how often they run is not."""
    demo = find_demo("sensitive")
    result = run(demo, "full", tmp_path, remedy="patch")
    patched = ("pushf", "popf", "descriptor_store", "smsw", "segment_query")
    n_exits = sum(result.exits[reason].count for reason in patched)
    assert f": {n_exits} exits" in (demo.folder / "README.md").read_text("utf-8")
    assert result.patches is not None and 11 <= result.patches[0] == result.patches[1] <= n_exits
