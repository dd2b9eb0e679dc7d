# SPDX-License-Identifier: GPL-2.0-or-later
"""pv_cpu_idle has one contract in every mode: interrupts end it, and nothing does while they are disabled."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.emu.vcpu import lane_works
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.guests.elves import FOLDER

pytestmark = pytest.mark.needs_gcc

GUEST = FOLDER / "sdk" / "idle.c"


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("mode", ["full", "emu", "para", "hybrid"])
def test_idle(mode: str, tier: str, tmp_path: Path) -> None:
    if mode == "emu" and not lane_works():
        pytest.skip("the control lane needs Unicorn 2.1.4 on Linux")
    built = build_guest([GUEST], tmp_path / "idle.elf", "full" if mode == "emu" else mode)
    assert built.warnings == ""
    result = run_domain(DomainConfig(built.path, mode=mode, tier=tier, max_insns=10_000_000))
    assert result.output.decode() == GUEST.with_suffix(".txt").read_text()
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.IDLE, 124), result.ending.reason
