# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain that serves another's disk: grants, event channels, rings and the store between two guests."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.hypervisor import HostedDomain, Hypervisor
from pvisor.vmm.world import World
from tests.guests.elves import FOLDER
from tests.sdk.test_twins import expected

pytestmark = pytest.mark.needs_gcc


@pytest.fixture(scope="module")
def elves(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The guest with the disk's driver, and the one that uses the disk."""
    folder = tmp_path_factory.mktemp("driver")
    sources = FOLDER / "para" / "disk_driver.c", FOLDER / "sdk" / "block.c"
    built = [build_guest([source], folder / f"{source.stem}.elf", "para") for source in sources]
    assert [one.warnings for one in built] == ["", ""]
    return built[0].path, built[1].path


def world_of(hv: Hypervisor) -> World:
    """The one that its domains share."""
    return hv._world


def create(hv: Hypervisor, elf: Path, tier: str, max_insns: int = 500_000_000) -> HostedDomain:
    return hv.create(DomainConfig(elf, "para", tier=tier, max_insns=max_insns, timeout_s=60))


def nothing_is_left(world: World) -> bool:
    """Have both domains left all hubs, and what they held there?"""
    return not world.grants._tables and not world.events.tables and world.store.read("/domain/1") is None


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("driver_first", [True, False])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_disk_in_another_domain(
    elves: tuple[Path, Path], tier: str, driver_first: bool, n_threads: int
) -> None:
    order = elves if driver_first else elves[::-1]
    with Hypervisor(n_threads) as hv:
        domains = [create(hv, elf, tier) for elf in order]
        driver, user = domains if driver_first else domains[::-1]
        world = world_of(hv)
        hv.let_serve(driver, user, "block/0")
        hv.run()
        assert (user.console.text, user.status) == (expected("block"), 0)
        assert driver.status == 0
        assert driver.console.text.startswith("served 34 requests"), driver.console.text
        assert nothing_is_left(world)


@pytest.mark.parametrize("max_insns", [495_000, 500_000, 512_000, 514_000, 518_000])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_driver_ends_in_the_middle(elves: tuple[Path, Path], max_insns: int, n_threads: int) -> None:
    """Wherever that is, what the user asks of its disk fails from there on, and it goes on itself."""
    with Hypervisor(n_threads) as hv:
        driver, user = create(hv, elves[0], "native", max_insns), create(hv, elves[1], "native")
        world = world_of(hv)
        hv.let_serve(driver, user, "block/0")
        hv.run()
        assert driver.status == 124
        assert user.status == 0
        assert user.console.text.endswith("the next is untouched: 0\n")
        assert nothing_is_left(world)


def test_a_driver_that_is_gone_when_it_is_looked_for(elves: tuple[Path, Path]) -> None:
    with Hypervisor() as hv:
        driver, user = create(hv, elves[0], "native", 100_000), create(hv, elves[1], "native")
        world = world_of(hv)
        hv.let_serve(driver, user, "block/0")
        hv.run()
        assert (driver.status, user.status) == (124, 0)
        assert user.console.text == "sectors: 0\nwithout a disk: -19 -19 -19\n"
        assert nothing_is_left(world)


@pytest.mark.parametrize("max_insns", [3_000, 8_000, 20_000, 200_000, 900_000])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_user_ends_in_the_middle(elves: tuple[Path, Path], max_insns: int, n_threads: int) -> None:
    """The driver is told, lets go of what it has mapped, and ends; or nobody will ever need it."""
    with Hypervisor(n_threads) as hv:
        driver, user = create(hv, elves[0], "native"), create(hv, elves[1], "native", max_insns)
        world = world_of(hv)
        hv.let_serve(driver, user, "block/0")
        hv.run()
        assert user.status == 124
        assert driver.status in (0, 124, 134), driver.console.text
        assert nothing_is_left(world)
