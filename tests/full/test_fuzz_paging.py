# SPDX-License-Identifier: GPL-2.0-or-later
"""Storms over page tables and code: what each step gives, and that the guest stays isolated.

By hand, for long: PVISOR_FUZZ=1000 runs a thousand storms for each that runs here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pvisor.domain.outcome import EndedBy, Ending
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.machine.memory import GuestMemory
from pvisor.vmm.builder import FULL_FRAMES, build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from tests.full.hostile_machine import HostileMachine
from tests.full.paging_storm import FRAMES, LARGE, LOG, MEMORY_BYTES, N_FRAMES, Storm

N_SPACES = (1, 2, 4, 20)  # more than there are shadow roots
N_RUNS = int(os.environ.get("PVISOR_FUZZ", "1"))
FEW_FRAMES = 64
"""Room for the tables of two or three address spaces: the shadows are dropped again and again."""
BUDGET = 1_000_000
FOUND = (438,)
"""Seeds that found something: a page that stayed executable when it was not mixed any more."""
LEFT_BEHIND = ((FRAMES, 4096 * N_FRAMES), (LARGE[0], LARGE[1] + (2 << 20) - LARGE[0]))


def storms() -> list[tuple[int, int, bool]]:
    """(seed, address spaces, user mode) of each."""
    return [(seed, N_SPACES[seed % 4], bool(seed >> 2 & 1)) for seed in (*range(8 * N_RUNS), *FOUND)]


def check_result(storm: Storm, ending: Ending, memory: GuestMemory) -> None:
    """The storm came to its end, and each step gave what the model says."""
    assert (ending.ended_by, ending.status) == (EndedBy.GUEST, 1), ending.reason
    assert [memory.read_u32_or_0(LOG + 4 * i) for i in range(len(storm.expected))] == storm.expected


def run_full(storm: Storm, folder: Path, **settings: Any) -> tuple[int, list[bytes]]:
    """Run it deprivileged, and check all that must hold; (instructions, code and data at the end)."""
    machine = HostileMachine(folder, storm.elf(), memory_bytes=MEMORY_BYTES, **settings)
    try:
        ending = machine.run(BUDGET)
        machine.check()
        machine.shadows.check_tables(machine.state)
        check_result(storm, ending, machine.memory)
        memory = [machine.vcpu.original_code(gpa, machine.memory.read(gpa, n)) for gpa, n in LEFT_BEHIND]
        return machine.vcpu.n_instructions, memory
    finally:
        machine.close()


def run_lane(storm: Storm, folder: Path) -> tuple[int, list[bytes]]:
    """The same at CPL 0, where the engine walks the guest's own tables."""
    kernel = folder / "kernel"
    kernel.write_bytes(storm.elf())
    config = DomainConfig(kernel, "emu", memory_bytes=MEMORY_BYTES, max_insns=BUDGET)
    machine = build(config, ConsoleOutput(), NoInput())
    try:
        loop = RunLoop(machine.domain, machine.vcpu, on_kick=lambda: None, drain_trace=lambda: None)
        ending, memory = loop.run(), machine.domain.memory
        check_result(storm, ending, memory)
        return machine.vcpu.n_instructions, [memory.read(gpa, n) for gpa, n in LEFT_BEHIND]
    finally:
        machine.close()


@pytest.mark.parametrize(("seed", "n_spaces", "user"), storms())
def test_a_storm_ends_as_the_model_and_the_lane_do(
    tmp_path: Path, seed: int, n_spaces: int, user: bool
) -> None:
    storm = Storm(seed, n_spaces=n_spaces, user=user, no_execute=False)
    lane = run_lane(storm, tmp_path)
    for n_frames, tier in ((FULL_FRAMES, "native"), (FULL_FRAMES, "python"), (FEW_FRAMES, "native")):
        assert run_full(storm, tmp_path, tier=tier, n_frames=n_frames) == lane


@pytest.mark.parametrize(("seed", "n_spaces", "user"), storms())
def test_one_with_data_pages_ends_alike_in_all_ways(
    tmp_path: Path, seed: int, n_spaces: int, user: bool
) -> None:
    storm = Storm(seed, n_spaces=n_spaces, user=user)
    first = run_full(storm, tmp_path)
    for n_frames, tier in ((FULL_FRAMES, "python"), (FEW_FRAMES, "native"), (FEW_FRAMES, "python")):
        assert run_full(storm, tmp_path, tier=tier, n_frames=n_frames) == first
