# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices in the para wing: disk and network say the words that they say in full; two others are new."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.machine.console import HostInput
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DiskConfig, DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full.station import TalkingSwitch
from tests.guests.elves import FOLDER
from tests.sdk.test_twins import GUESTS, disk, expected, has_been_written, said, symbols

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


# --- what full does not have


LINES = "".join(chr(ord("A") + i % 26) * 63 + "\n" for i in range(1024))
SAID = """on input: 0
<h><e><l><l><o><,>< ><y><o><u><.>
11 bytes, several interrupts
nobody again: 0
entropy: 0
"""


def typed(text: bytes) -> HostInput:
    """A pipe with input."""
    reader, writer = os.pipe()
    os.write(writer, text)
    os.close(writer)
    return HostInput(reader)


@pytest.fixture(scope="module")
def ring_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ring")
    return build_guest([FOLDER / "para" / "console_ring.c"], folder / "ring.elf", "para").path


@pytest.mark.parametrize("tier", TIERS)
def test_console_ring(ring_guest: Path, tier: str) -> None:
    result = run_domain(config(ring_guest, tier, seed=3), input=typed(b"hello, you."))
    before, after = said(result).split(LINES)
    assert before == "connect: 0\nagain: 0\n"
    assert after.startswith(SAID)
    assert result.exits["hypercall"].count < 120


def test_random_bytes_follow_the_seed(ring_guest: Path) -> None:
    one, same, other = (
        said(run_domain(config(ring_guest, "native", seed=seed), input=typed(b"."))) for seed in (1, 1, 2)
    )
    assert one == same != other


def test_a_guest_without_input_waits(ring_guest: Path) -> None:
    result = run_domain(config(ring_guest, "native"), input=typed(b"no end"))
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.IDLE, 124)


def test_devices_build_without_a_warning(tmp_path: Path) -> None:
    for source in (GUESTS / "block.c", GUESTS / "net.c", *(FOLDER / "para").glob("*.c")):
        assert build_guest([source], tmp_path / "guest.elf", "para").warnings == "", source.name


def test_who_does_not_use_a_ring_does_not_pay_for_it(tmp_path: Path) -> None:
    echo = build_guest([FOLDER / "echo.c"], tmp_path / "echo.elf", "para").path
    rings = {"pv_ring_init", "pv_console_connect", "pv_device_connect", "pv_event_dispatch"}
    assert not symbols(echo) & rings


def test_output_lets_in_no_input_that_is_masked(tmp_path: Path) -> None:
    elf = build_guest([FOLDER / "para" / "console_masked.c"], tmp_path / "masked.elf", "para").path
    said_by = said(run_domain(config(elf, "native"), input=typed(b"x")))
    assert said_by == "busy\n" * 20 + "masked: 0\nunmasked\n"
