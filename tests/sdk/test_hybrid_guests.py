# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a PC's CPU and paravirtual I/O meet: what one does to memory and interrupts, the other knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain

pytestmark = pytest.mark.needs_gcc

GUESTS = Path(__file__).parents[1] / "guests" / "hybrid"
TIERS = pytest.mark.parametrize("tier", ["native", "python"])


def run(name: str, tier: str, folder: Path) -> RunResult:
    elf = build_guest([GUESTS / f"{name}.c"], folder / f"{name}.elf", "hybrid").path
    result = run_domain(DomainConfig(elf, mode="hybrid", tier=tier, max_insns=20_000_000))
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0), result.ending
    return result


@TIERS
def test_code_that_the_host_has_written_over(tier: str, tmp_path: Path) -> None:
    said = run("written_code", tier, tmp_path).output.split(b"\n")
    assert said == [b"1", b"1", b"copied: 1 0", b"2", b"copied: 1 0", b"3", b""]


@TIERS
def test_an_upcall_that_nobody_wants_is_no_interrupt(tier: str, tmp_path: Path) -> None:
    assert run("waiting", tier, tmp_path).output == b"block: 0\npoll: 0\n" * 3
