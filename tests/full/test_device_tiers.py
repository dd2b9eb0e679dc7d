# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices' native handlers against the Python ones, over kernels that do anything to a PC: no difference."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from pvisor.cpu.engine_start import native_names
from pvisor.emu.vcpu import lane_works
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full.device_programs import program

LANE = pytest.mark.skipif(not lane_works(), reason="no control lane here")
N_SEEDS = 40
MODES = ("full", pytest.param("emu", marks=LANE))


def run(elf: Path, mode: str, **settings: Any) -> tuple[tuple[object, ...], RunResult]:
    """All that a run leaves behind but for host facts, and its result."""
    records: list[tuple[object, ...]] = []

    def keep(batch: Any) -> None:
        for x in batch:
            records.append((x.virtual_ns, x.rip, x.reason, x.outcome, x.result, *list(x.ops)[: x.n_ops]))

    config = DomainConfig(elf, mode=mode, memory_bytes=4 << 20, max_insns=200_000, timeout_s=60, **settings)
    result = run_domain(config, trace=keep)
    counts = {reason: count.count for reason, count in result.exits.items()}
    return (records, result.n_instructions, result.virtual_ns, result.output, result.ending, counts), result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run a program once natively: `made(seed, mode)` gives ELF, what the run leaves behind, and result."""
    folder = tmp_path_factory.mktemp("programs")

    def make(seed: int, mode: str) -> tuple[Path, tuple[object, ...], RunResult]:
        elf = folder / str(seed)
        elf.write_bytes(program(seed))
        return elf, *run(elf, mode)

    return lru_cache(None)(make)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(N_SEEDS))
def test_any_accesses(made: Any, seed: int, mode: str) -> None:
    elf, native, _ = made(seed, mode)
    assert run(elf, mode, tier="python")[0] == native


def n_native(result: RunResult) -> int:
    return sum(count.native for count in result.exits.values())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "name", [name for name in native_names("emu") if not name.startswith("ata_") and name != "rdtsc"]
)
def test_each_can_be_left_out(made: Any, name: str, mode: str) -> None:
    """The ATA drive's have their own test, RDTSC is no device's; the local APIC's is a page fault in full."""
    name = "page_fault" if (name, mode) == ("apic", "full") else name
    for seed in range(N_SEEDS):
        elf, whole, result = made(seed, mode)
        without, left = run(elf, mode, without_natives=(name,))
        assert without == whole
        if n_native(left) < n_native(result):
            return
    assert name in ("event_window", "deadline"), "no program has such an exit"  # these are not counted
