# SPDX-License-Identifier: GPL-2.0-or-later
"""Two whole kernels, written for bare hardware (tests/guests/kernels): they find the PC that QEMU shows."""

from __future__ import annotations

import re
import subprocess
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from pvisor.machine.console import ConsoleOutput, HostInput
from pvisor.vmm.config import DiskConfig, DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full import teaching
from tests.full.station import TalkingSwitch, run_in_qemu
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc
TYPED = b"\n\nserial line\nand another\n"
DISK_64 = bytes(i * 7 + (i >> 9) & 255 for i in range(256 * 512))
WAYS = tuple(product(("full", "emu"), ("native", "python")))
LOG = b"".join(bytes([ord("a") + i % 26]) * 79 + b"\n" for i in range(30))


class Teach32(NamedTuple):
    """What the tests of the 32-bit kernel need."""

    kernel: Path
    disk: bytes
    folder: Path

    def run(self, mode: str, tier: str, disk: bytes | None = None) -> tuple[RunResult, bytes]:
        """The result, and the disk after it."""
        image, typed = self.folder / f"{mode}-{tier}.img", self.folder / "typed"
        image.write_bytes(disk or self.disk)
        typed.write_bytes(TYPED)
        config = DomainConfig(
            self.kernel, mode, memory_bytes=16 << 20, tier=tier, max_insns=400_000_000, timeout_s=60,
            disks=(DiskConfig(image),),
        )  # fmt: skip
        with typed.open("rb") as file:
            result = run_domain(config, ConsoleOutput(), HostInput(file.fileno()))
        return result, image.read_bytes()


class Teach64(NamedTuple):
    """What the tests of the 64-bit kernel need."""

    kernel: Path
    multiboot: Path
    program: Path
    disk: Path

    def run(self, mode: str, tier: str, kernel: Path | None = None) -> RunResult:
        """The result of a run with the station at the other end of the cable."""
        config = DomainConfig(
            kernel or self.kernel, mode, memory_bytes=32 << 20, tier=tier, max_insns=400_000_000,
            timeout_s=60, initrd=self.program, net=True, disks=(DiskConfig(self.disk, True),),
        )  # fmt: skip
        return run_domain(config, switch=TalkingSwitch(lambda virtual_ns, frame: None))


@pytest.fixture(scope="module")
def teach32(tmp_path_factory: pytest.TempPathFactory) -> Teach32:
    folder = tmp_path_factory.mktemp("teach32")
    return Teach32(*teaching.teach32(folder), folder)


@pytest.fixture(scope="module")
def teach64(tmp_path_factory: pytest.TempPathFactory) -> Teach64:
    folder = tmp_path_factory.mktemp("teach64")
    (folder / "disk.img").write_bytes(DISK_64)
    return Teach64(*teaching.teach64(folder), folder / "disk.img")


def expected(name: str) -> str:
    return (teaching.KERNELS / name / "expected.txt").read_text()


def facts(result: RunResult) -> tuple[object, ...]:
    """What must be the same in both tiers."""
    counts = {reason: count.count for reason, count in result.exits.items()}
    return result.output, result.n_instructions, result.virtual_ns, counts


def test_the_32_bit_kernel_finds_a_pc(teach32: Teach32) -> None:
    runs = {way: teach32.run(*way) for way in WAYS}
    for way, (result, disk) in runs.items():
        assert result.output.decode() == expected("teach32"), way
        assert (result.ending.ended_by.value, result.ending.status) == ("guest", 0), result.ending.reason
        assert teaching.file_on(disk, "log") == LOG, way
    assert facts(runs["full", "native"][0]) == facts(runs["full", "python"][0])
    assert facts(runs["emu", "native"][0]) == facts(runs["emu", "python"][0])
    assert len({result.n_instructions for result, _ in runs.values()}) == 1


def test_the_64_bit_kernel_finds_a_pc(teach64: Teach64) -> None:
    runs = {way: teach64.run(*way) for way in WAYS}
    for way, result in runs.items():
        assert result.output.decode() == expected("teach64"), way
        assert (result.ending.ended_by.value, result.ending.status) == ("guest", 33), result.ending.reason
    assert facts(runs["full", "native"]) == facts(runs["full", "python"])
    assert facts(runs["emu", "native"]) == facts(runs["emu", "python"])
    assert len({result.n_instructions for result in runs.values()}) == 1


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_long_mode_from_multiboot(teach64: Teach64, mode: str) -> None:
    """An ELF32 with 64-bit code in it, as GRUB starts such kernels."""
    result = teach64.run(mode, "native", teach64.multiboot)
    assert result.output.decode() == expected("teach64")
    assert result.ending.status == 33


def test_a_kernel_that_panics_shows_its_frames(teach32: Teach32) -> None:
    """It ends its init when it finds a file of that name; the return addresses are those of its functions."""
    programs = {name: teaching.file_on(teach32.disk, name) for name in ("init", "hello", "count")}
    result, _ = teach32.run("full", "native", teaching.disk(programs, more=["panic"]))
    last = result.output.decode().split("panic: ")[1]
    addresses = [int(found, 16) for found in re.findall("by 0x([0-9a-f]{8})", last)]
    assert last.startswith("asked for\n")
    assert [name_at(teach32.kernel, address) for address in addresses][-1] == "all_traps"
    assert len(addresses) > 2


def name_at(kernel: Path, address: int) -> str:
    """In which function an address lies."""
    done = subprocess.run(["nm", str(kernel)], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    names = [(int(row[0], 16), row[2]) for row in rows if row[1] in "tT"]
    return max((at, name) for at, name in names if at <= address)[1]


@pytest.mark.needs_qemu
def test_qemu_agrees_on_the_32_bit_kernel(teach32: Teach32) -> None:
    image = teach32.folder / "qemu.img"
    image.write_bytes(teach32.disk)
    options = f"-m 16 -vga std -drive file={image},format=raw,if=ide"
    status, output = pc.run(teach32.kernel, options=options, stdin=TYPED)
    assert output.decode() == expected("teach32")
    assert status == 0
    assert image.read_bytes() == teach32.run("full", "native")[1]


@pytest.mark.parametrize("kernel", ["kernel", "multiboot"])
@pytest.mark.needs_qemu
def test_qemu_agrees_on_the_64_bit_kernel(teach64: Teach64, tmp_path: Path, kernel: str) -> None:
    more = f"-m 32 -cpu qemu64,+pdpe1gb -rtc base=2026-01-01 -initrd {teach64.program}"
    drive = f"-drive file={teach64.disk},format=raw,if=ide"
    status, output = run_in_qemu(getattr(teach64, kernel), tmp_path / "pcap", options=f"{more} {drive}")
    assert output.decode() == expected("teach64")
    assert status == 33
