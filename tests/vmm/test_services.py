# SPDX-License-Identifier: GPL-2.0-or-later
"""What the operator may do with running domains: let one serve another, and move a memory target."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.errors import UsageError
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DiskConfig, DomainConfig
from pvisor.vmm.hypervisor import Hypervisor
from tests.guests.elves import FOLDER

pytestmark = pytest.mark.needs_gcc

MIB = 1 << 20


@pytest.fixture(scope="module")
def balloon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest that follows its memory target."""
    elf = tmp_path_factory.mktemp("services") / "balloon.elf"
    return build_guest([FOLDER / "para" / "balloon.c"], elf, "para").path


@pytest.mark.parametrize("tier", ["native", "python"])
def test_a_domain_gives_memory_back_and_takes_it_again(balloon: Path, tier: str) -> None:
    with Hypervisor() as hv:
        config = DomainConfig(balloon, "para", 16 * MIB, tier=tier, max_insns=20_000_000)
        domain = hv.create(config)
        domain.at(1_000_000, lambda: domain.set_memory_target(16 * MIB - 64 * 4096))
        domain.at(2_000_000, lambda: domain.set_memory_target(16 * MIB))
        hv.run()
        assert domain.console.text.splitlines() == [
            "target: 64 frames less", "given back: 64", "mapped again: -2",
            "target: 0 frames less", "taken: 64", "mapped again: 0", "zeroed: 1",
        ]  # fmt: skip
        assert domain.status == 0
        assert 2_000_000 <= domain.stats.virtual_ns < 3_000_000
        with pytest.raises(ValueError, match="has ended"):
            domain.at(0, lambda: None)


def test_what_has_no_target(balloon: Path, tmp_path: Path) -> None:
    pc = build_guest([FOLDER / "echo.c"], tmp_path / "echo.elf", "full").path
    with Hypervisor() as hv:
        full, para = hv.create(DomainConfig(pc)), hv.create(DomainConfig(balloon, memory_bytes=16 * MIB))
        with pytest.raises(UsageError, match="paravirtual"):
            full.set_memory_target(MIB)
        with pytest.raises(UsageError, match="4096"):
            para.set_memory_target(17 * MIB)


@pytest.mark.parametrize("folder", ["", "disk/0", "block/", "block/123", "block/0/..", "../block/0"])
def test_devices_that_are_none(balloon: Path, folder: str) -> None:
    with Hypervisor() as hv:
        one, other = hv.create(DomainConfig(balloon)), hv.create(DomainConfig(balloon))
        with pytest.raises(UsageError, match="is no device"):
            hv.let_serve(one, other, folder)


def test_a_device_that_somebody_serves_already(balloon: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(4096))
    with Hypervisor() as hv:
        front = hv.create(DomainConfig(balloon, disks=(DiskConfig(disk),)))
        back = hv.create(DomainConfig(balloon))
        with pytest.raises(UsageError, match="block/0 is served already"):
            hv.let_serve(back, front, "block/0")
        hv.let_serve(back, front, "block/1")
        with pytest.raises(UsageError, match="block/1 is served already"):
            hv.let_serve(back, front, "block/1")
