# SPDX-License-Identifier: GPL-2.0-or-later
"""`--seed` moves the interrupts of a PC: the same seed is the same run, in both tiers; another is another."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build a guest once: `built(name, bits)`."""
    folder = tmp_path_factory.mktemp("pc")
    return lru_cache(None)(lambda name, bits: pc.build(name, bits, folder))


def trace(elf: Path, seed: int, mode: str, tier: str) -> tuple[bytes, list[tuple[object, ...]]]:
    """The output of a run, and its exits."""
    records: list[tuple[object, ...]] = []

    def keep(batch: Any) -> None:
        for x in batch:
            ops = tuple(x.ops[i] for i in range(x.n_ops))
            records.append((x.virtual_ns, x.rip, x.reason, x.outcome, x.result, ops))

    config = DomainConfig(elf, mode=mode, tier=tier, seed=seed, max_insns=20_000_000, timeout_s=20)
    result = run_domain(config, trace=keep)
    assert result.ending.status == 1, result.ending.reason
    return result.output, records


@pytest.mark.parametrize("mode", ["full", "emu"])
@pytest.mark.parametrize(("name", "bits"), [("scheduler", 64), ("apic", 64), ("pit", 32)])
def test_a_seed_is_one_run(built: Any, mode: str, name: str, bits: int) -> None:
    elf = built(name, bits)
    first = trace(elf, 7, mode, "native")
    assert trace(elf, 7, mode, "native") == first
    assert trace(elf, 7, mode, "python") == first


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_seeds_interrupt_elsewhere(built: Any, mode: str) -> None:
    runs = [trace(built("scheduler", 64), seed, mode, "native") for seed in (0, 1, 2)]
    assert len({output for output, _ in runs}) == 1, "whenever interrupts come, a kernel does the same"
    assert runs[0][1] != runs[1][1] != runs[2][1] != runs[0][1]
