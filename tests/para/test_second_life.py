# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual CPU goes down and comes up again, by a real guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain

pytestmark = pytest.mark.needs_gcc

GUEST = Path(__file__).parent / "guests" / "second_life.c"


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("debug_abi", [False, True])
def test_nothing_of_the_first_life_is_left(tier: str, debug_abi: bool, tmp_path: Path) -> None:
    elf = build_guest([GUEST], tmp_path / "guest.elf", "para").path
    config = DomainConfig(elf, "para", tier=tier, n_vcpus=2, debug_abi=debug_abi, max_insns=10_000_000)
    result = run_domain(config)
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0), result.ending
    assert result.output == b"up: 0\ndown: 0\nup: 0\n0 0 0\n"
