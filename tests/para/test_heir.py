# SPDX-License-Identifier: GPL-2.0-or-later
"""Two real domains whose lives cross: one maps a page of the other, which ends first."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.hypervisor import Hypervisor

pytestmark = pytest.mark.needs_gcc

GUESTS = Path(__file__).parent / "guests"


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("mode", ["para", "hybrid"])
def test_a_page_outlives_its_domain(mode: str, tier: str, tmp_path: Path) -> None:
    giver = build_guest([GUESTS / "giver.c"], tmp_path / "giver.elf", mode).path
    heir = build_guest([GUESTS / "heir.c"], tmp_path / "heir.elf", "para").path
    with Hypervisor() as hv:
        one = hv.create(DomainConfig(giver, mode, tier=tier, max_insns=20_000_000))
        two = hv.create(DomainConfig(heir, "para", tier=tier, max_insns=20_000_000))
        hv.run()
        assert (one.status, one.console.text) == (0, "mapped\n")
        assert two.console.text == "found 1\ngone: -2\nkept 511\ncopy: 1 2\ndetach: 0\n"
        assert two.status == 0
