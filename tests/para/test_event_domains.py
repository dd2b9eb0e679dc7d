# SPDX-License-Identifier: GPL-2.0-or-later
"""Real guests: the SDK's headers by one domain, and two domains that share a channel and the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy, Ending
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.hypervisor import Hypervisor
from pvisor.vmm.run import run_domain
from tests.guests.elves import FOLDER

pytestmark = pytest.mark.needs_gcc

tiers = pytest.mark.parametrize("tier", ["native", "python"])


@tiers
@pytest.mark.parametrize("name", ["event", "store"])
def test_a_header_is_kept(name: str, tier: str, tmp_path: Path) -> None:
    elf = build_guest([FOLDER / "sdk" / f"{name}.c"], tmp_path / "guest.elf", "para").path
    result = run_domain(DomainConfig(elf, tier=tier, max_insns=10_000_000))
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0), result.ending.reason
    assert result.output.decode() == (FOLDER / "sdk" / f"{name}.txt").read_text()


@tiers
def test_two_domains_play(tier: str, tmp_path: Path) -> None:
    """Each wakes the other a hundred times, and no signal is lost."""
    elf = build_guest([FOLDER / "para" / "pingpong.c"], tmp_path / "guest.elf", "para").path
    with Hypervisor() as hv:
        domains = [
            hv.create(DomainConfig(elf, "para", 4 << 20, cmdline=str(domid), tier=tier, max_insns=10_000_000))
            for domid in (1, 2)
        ]
        hv.run()
        assert [domain.ending for domain in domains] == [Ending(EndedBy.GUEST, 0)] * 2
        assert [domain.console.data for domain in domains] == [b"198\n", b"199\n"]
