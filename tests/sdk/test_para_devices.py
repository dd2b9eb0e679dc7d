# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk and network by pv/block.h and pv/net.h in the para wing: the same guests and words, in both tiers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DiskConfig, DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full.station import TalkingSwitch
from tests.sdk.test_twins import GUESTS, disk, expected, has_been_written, said

pytestmark = pytest.mark.needs_gcc

TIERS = ("native", "python")
Built = Callable[[str], Path]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a guest once."""
    folder = tmp_path_factory.mktemp("para")
    return lru_cache(None)(
        lambda name: build_guest([GUESTS / f"{name}.c"], folder / f"{name}.elf", "para").path
    )


def config(elf: Path, tier: str, **settings: object) -> DomainConfig:
    """A domain for such a guest, with limits."""
    return DomainConfig(elf, mode="para", tier=tier, max_insns=500_000_000, timeout_s=60, **settings)  # type: ignore[arg-type]


def facts(result: RunResult) -> object:
    """What must be the same in both tiers."""
    counts = {reason: row.count for reason, row in result.exits.items()}
    return result.n_instructions, result.virtual_ns, counts, result.output


@pytest.mark.parametrize("tier", TIERS)
def test_block(built: Built, tier: str, tmp_path: Path) -> None:
    image = disk(tmp_path)
    result = run_domain(config(built("block"), tier, disks=(DiskConfig(image),)))
    assert said(result) == expected("block")
    assert has_been_written(image)


def test_block_takes_few_exits(built: Built, tmp_path: Path) -> None:
    """1809 sectors are 226 pages: less than an exit for each, setting up included."""
    result = run_domain(config(built("block"), "native", disks=(DiskConfig(disk(tmp_path)),)))
    assert sum(row.count for row in result.exits.values()) < 100


@pytest.mark.parametrize("tier", TIERS)
def test_a_disk_that_must_not_be_written(built: Built, tier: str, tmp_path: Path) -> None:
    disks = (DiskConfig(disk(tmp_path), read_only=True),)
    assert "\nwrite: -5\n" in said(run_domain(config(built("block"), tier, disks=disks)))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("block", "sectors: 0\nwithout a disk: -19 -19 -19\n"),
        ("net", "without a card: -19 -19 -19 -19\n"),
    ],
)
def test_without_the_device(built: Built, name: str, words: str, tier: str) -> None:
    assert said(run_domain(config(built(name), tier))) == words


@pytest.mark.parametrize("tier", TIERS)
def test_net(built: Built, tier: str) -> None:
    result = run_domain(config(built("net"), tier, net=True), switch=TalkingSwitch())
    assert said(result) == expected("net")


def test_tiers_do_the_same(built: Built, tmp_path: Path) -> None:
    for name in ("block", "net"):
        seen = []
        for tier in TIERS:
            disks = (DiskConfig(disk(tmp_path)),) if name == "block" else ()
            switch = TalkingSwitch() if name == "net" else None
            made = config(built(name), tier, disks=disks, net=name == "net")
            seen.append(facts(run_domain(made, switch=switch)))
        assert seen[0] == seen[1], name


def test_devices_build_without_a_warning(tmp_path: Path) -> None:
    for name in ("block", "net"):
        assert build_guest([GUESTS / f"{name}.c"], tmp_path / "guest.elf", "para").warnings == ""
