# SPDX-License-Identifier: GPL-2.0-or-later
"""What each header of the SDK promises, by guests that use it: in each mode, in both tiers, under QEMU."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from pvisor.domain.outcome import EndedBy
from pvisor.emu.vcpu import lane_works
from pvisor.paths import sdk_dir
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DiskConfig, DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full.station import TalkingSwitch, run_in_qemu
from tests.guests.elves import FOLDER
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc

GUESTS = FOLDER / "sdk"
INCLUDE = sdk_dir() / "include"
NAMES = ("traps", "interrupts", "timer", "memory", "spaces", "user")
"""Guests that need nothing but a PC."""
PARA_ONLY = ("event", "store")
"""Guests that use what a PC does not have."""
LANES = [("full", "native"), ("full", "python"), ("emu", "native"), ("emu", "python")]
PARA_LANES = [("para", "native"), ("para", "python")]
N_SECTORS = 2048

Built = Callable[[str], Path]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a guest once."""
    folder = tmp_path_factory.mktemp("twins")
    return lru_cache(None)(
        lambda name: build_guest([GUESTS / f"{name}.c"], folder / f"{name}.elf", "full").path
    )


@pytest.fixture(scope="module")
def built_para(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The same for a guest of the other wing."""
    folder = tmp_path_factory.mktemp("para-twins")
    return lru_cache(None)(
        lambda name: build_guest([GUESTS / f"{name}.c"], folder / f"{name}.elf", "para").path
    )


def expected(name: str) -> str:
    """What a guest prints."""
    return (GUESTS / f"{name}.txt").read_text()


@pytest.fixture(params=LANES, ids=lambda lane: "-".join(lane))
def lane(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A mode and a tier that work on this host."""
    if request.param[0] == "emu" and not lane_works():
        pytest.skip("the control lane needs Unicorn 2.1.4 on Linux")
    return request.param  # type: ignore[no-any-return]


def config(elf: Path, lane: tuple[str, str]) -> DomainConfig:
    """A domain for such a guest, with limits."""
    mode, tier = lane
    return DomainConfig(elf, mode=mode, tier=tier, max_insns=2_000_000_000, timeout_s=120)


def said(result: RunResult) -> str:
    """What a guest printed that has come to its end."""
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0), result.ending.reason
    return result.output.decode()


def disk(folder: Path) -> Path:
    """A disk whose sectors can be told apart."""
    image = folder / "disk.img"
    words = (sector * 1000 + word for sector in range(N_SECTORS) for word in range(128))
    image.write_bytes(b"".join(word.to_bytes(4, "little") for word in words))
    return image


def has_been_written(image: Path) -> bool:
    """Is the disk as the guest `block` leaves it?"""
    sectors = [image.read_bytes()[i * 512 : (i + 1) * 512] for i in range(N_SECTORS)]
    numbers = [int.from_bytes(sector[:4], "little") // 1000 for sector in sectors]
    return numbers == [*range(100), *range(3, 603), *range(700, N_SECTORS)]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_guest_prints(built: Built, name: str, lane: tuple[str, str]) -> None:
    assert said(run_domain(config(built(name), lane))) == expected(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lane", PARA_LANES, ids=lambda lane: "-".join(lane))
def test_what_its_twin_prints(built_para: Built, name: str, lane: tuple[str, str]) -> None:
    assert said(run_domain(config(built_para(name), lane))) == expected(name)


@pytest.mark.needs_qemu
@pytest.mark.parametrize("name", NAMES)
def test_qemu_agrees(built: Built, name: str) -> None:
    assert pc.run(built(name)) == (0, expected(name).encode())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["full", "para"])
def test_tiers_do_the_same(built: Built, built_para: Built, mode: str, name: str) -> None:
    elf = (built if mode == "full" else built_para)(name)
    one, other = (run_domain(config(elf, (mode, tier))) for tier in ("native", "python"))
    assert (one.n_instructions, one.virtual_ns) == (other.n_instructions, other.virtual_ns)
    assert {reason: row.count for reason, row in one.exits.items()} == {
        reason: row.count for reason, row in other.exits.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_its_twin_builds_without_a_warning(tmp_path: Path, name: str) -> None:
    assert build_guest([GUESTS / f"{name}.c"], tmp_path / "guest.elf", "para").warnings == ""


def test_every_guest_builds_without_a_warning(tmp_path: Path) -> None:
    for source in sorted(GUESTS.glob("*.c")):
        mode = "para" if source.stem in PARA_ONLY else "full"
        assert build_guest([source], tmp_path / "guest.elf", mode).warnings == "", source.name


@pytest.mark.parametrize("header", sorted(path.name for path in (INCLUDE / "pv").glob("*.h")))
def test_each_header_compiles_alone(header: str, tmp_path: Path) -> None:
    source = tmp_path / "alone.c"
    source.write_text(f"#include <pv/{header}>\n#include <pv/{header}>\nint something;\n")
    flags = "-std=c11 -ffreestanding -mno-red-zone -Wall -Wextra -Wconversion -Wshadow -pedantic -Werror"
    command = ["gcc", *flags.split(), "-I", str(INCLUDE), "-c", str(source), "-o", str(tmp_path / "alone.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- an exception that nobody handles


def test_an_unhandled_exception_is_a_crash_where_it_happened(built: Built, lane: tuple[str, str]) -> None:
    result = run_domain(config(built("unhandled"), lane))
    assert (result.output, result.ending.ended_by) == (b"now\n", EndedBy.CRASH)
    assert "triple fault: #UD" in result.ending.reason
    assert result.crash is not None and result.crash.code.startswith(b"\x0f\x0b")


@pytest.mark.parametrize("tier", ["native", "python"])
def test_an_unhandled_exception_of_its_twin(built_para: Built, tier: str) -> None:
    result = run_domain(config(built_para("unhandled"), ("para", tier)))
    assert (result.output, result.ending.ended_by) == (b"now\n", EndedBy.CRASH)
    assert result.ending.reason.startswith("#UD: invalid opcode 0f 0b")
    assert result.crash is not None and result.crash.code.startswith(b"\x0f\x0b")


@pytest.mark.needs_qemu
def test_an_unhandled_exception_ends_qemu(built: Built) -> None:
    assert pc.run(built("unhandled"))[1] == b"now\n"


# --- disk and network


def test_block(built: Built, lane: tuple[str, str], tmp_path: Path) -> None:
    image = disk(tmp_path)
    mode, tier = lane
    domain = DomainConfig(built("block"), mode=mode, tier=tier, disks=(DiskConfig(image),), timeout_s=60)
    assert said(run_domain(domain)) == expected("block")
    assert has_been_written(image)


@pytest.mark.needs_qemu
def test_block_under_qemu(built: Built, tmp_path: Path) -> None:
    image = disk(tmp_path)
    status, output = pc.run(built("block"), options=f"-drive file={image},format=raw,if=ide")
    assert (status, output.decode()) == (0, expected("block"))
    assert has_been_written(image)


def test_a_disk_that_must_not_be_written(built: Built, lane: tuple[str, str], tmp_path: Path) -> None:
    mode, tier = lane
    disks = (DiskConfig(disk(tmp_path), read_only=True),)
    output = said(run_domain(DomainConfig(built("block"), mode=mode, tier=tier, disks=disks, timeout_s=60)))
    assert "\nwrite: -5\n" in output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("block", "sectors: 0\nwithout a disk: -19 -19 -19\n"),
        ("net", "without a card: -19 -19 -19 -19\n"),
    ],
)
def test_without_the_device(built: Built, name: str, words: str, lane: tuple[str, str]) -> None:
    assert said(run_domain(config(built(name), lane))) == words


@pytest.mark.needs_qemu
def test_without_the_device_under_qemu(built: Built) -> None:
    assert pc.run(built("block"))[1] == b"sectors: 0\nwithout a disk: -19 -19 -19\n"
    assert pc.run(built("net"))[1] == b"without a card: -19 -19 -19 -19\n"


def test_net(built: Built, lane: tuple[str, str]) -> None:
    mode, tier = lane
    domain = DomainConfig(built("net"), mode=mode, tier=tier, net=True, max_insns=500_000_000, timeout_s=60)
    assert said(run_domain(domain, switch=TalkingSwitch())) == expected("net")


@pytest.mark.needs_qemu
def test_net_under_qemu(built: Built, tmp_path: Path) -> None:
    status, output = run_in_qemu(built("net"), tmp_path / "capture")
    assert (status, output.decode()) == (0, expected("net"))


# --- who does not use a header does not pay for it


def symbols(elf: Path) -> set[str]:
    """The names in a guest's file."""
    with elf.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {symbol.name for symbol in table.iter_symbols()}  # type: ignore[union-attr]


def test_a_guest_holds_what_it_uses(built: Built, tmp_path: Path) -> None:
    interrupts, timer, memory, user, disk_, net = (
        {"pv_interrupted", "pv_interrupt_stubs"}, {"pv_timer_set"}, {"pv_page_alloc"}, {"pv_user_enter"},
        {"pv_block_read"}, {"pv_net_send"},
    )  # fmt: skip
    everything = interrupts | timer | memory | user | disk_ | net
    echo = build_guest([FOLDER / "echo.c"], tmp_path / "echo.elf", "full").path
    for elf, wanted in [
        (echo, set()),
        (built("traps"), interrupts),
        (built("timer"), interrupts | timer),
        (built("block"), disk_),
        (built("net"), interrupts | net),
    ]:
        assert symbols(elf) & everything == wanted, elf.name

