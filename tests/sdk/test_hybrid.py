# SPDX-License-Identifier: GPL-2.0-or-later
"""Hybrid guests: CPU and memory of a PC, I/O by hypercall, events and rings."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.errors import GuestRefused
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DiskConfig, DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full.station import TalkingSwitch
from tests.sdk.test_twins import GUESTS, NAMES, disk, expected, has_been_written, said

pytestmark = pytest.mark.needs_gcc

Built = Callable[[str], Path]
TIERS = pytest.mark.parametrize("tier", ["native", "python"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a guest once."""
    folder = tmp_path_factory.mktemp("hybrid")
    return lru_cache(None)(
        lambda name: build_guest([GUESTS / f"{name}.c"], folder / f"{name}.elf", "hybrid").path
    )


def run(elf: Path, tier: str = "native", **settings: object) -> RunResult:
    config = DomainConfig(elf, mode="hybrid", tier=tier, max_insns=2_000_000_000, **settings)  # type: ignore[arg-type]
    return run_domain(config, switch=TalkingSwitch() if config.net else None)


@TIERS
@pytest.mark.parametrize("name", NAMES)
def test_what_a_pc_prints(built: Built, name: str, tier: str) -> None:
    """CPU, memory, interrupts, timer and user programs are a PC's."""
    assert said(run(built(name), tier)) == expected(name)


@TIERS
def test_block(built: Built, tier: str, tmp_path: Path) -> None:
    image = disk(tmp_path)
    result = run(built("block"), tier, disks=(DiskConfig(image),))
    assert said(result) == expected("block")
    assert has_been_written(image)
    assert result.mode == "hybrid"
    assert result.exits["io_out"].count < 10, "the disk is no ATA drive here"
    assert "io_in" not in result.exits


@TIERS
def test_net(built: Built, tier: str) -> None:
    """Frames come by upcalls: interrupts of the local APIC at the vector that the guest has named."""
    assert said(run(built("net"), tier, net=True)) == expected("net")


@pytest.mark.parametrize("name", ["block", "net"])
def test_without_the_device(built: Built, name: str) -> None:
    result = run(built(name))
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0)
    assert b"-19" in result.output


def test_a_pc_that_hides_the_hypervisor_is_none_for_such_a_guest(built: Built) -> None:
    with pytest.raises(GuestRefused, match="--mode hybrid"):
        run_domain(DomainConfig(built("block"), mode="full"))


def test_a_plain_pc_kernel_does_not_notice(tmp_path: Path) -> None:
    elf = build_guest([GUESTS / "traps.c"], tmp_path / "traps.elf", "full").path
    assert said(run(elf)) == expected("traps")


def test_a_paravirtual_kernel_is_no_pc(tmp_path: Path) -> None:
    elf = build_guest([GUESTS / "traps.c"], tmp_path / "traps.elf", "para").path
    with pytest.raises(GuestRefused):
        run(elf)
