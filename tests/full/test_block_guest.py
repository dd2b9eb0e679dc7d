# SPDX-License-Identifier: GPL-2.0-or-later
"""A bare PC kernel drives the disk by polling: the same output, the same disk in both tiers and under QEMU.

What it does not print, because QEMU differs from the standard or the standard leaves it open: the number of
an address error (QEMU says ABRT, here it is IDNF), registers after READ VERIFY (QEMU leaves them), and words
of IDENTIFY DEVICE that a setting has changed (QEMU answers as it did the first time).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pvisor.cpu.engine_start import native_names
from pvisor.errors import UsageError
from pvisor.machine.disk import DiskImage
from pvisor.vmm.config import DiskConfig, DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.qemu import pc

N_SECTORS = 4000
EXPECTED = (pc.GUESTS / "ata.txt").read_text()

pytestmark = pytest.mark.needs_gcc


def sector(n: int) -> bytes:
    """Sector n begins with n; each further word is 31 times the last plus 7."""
    words = [n & 0xFFFF, n >> 16]
    while len(words) < 256:
        words.append(words[-1] * 31 + 7 & 0xFFFF)
    return b"".join(word.to_bytes(2, "little") for word in words)


def words(n_sectors: int, seed: int) -> bytes:
    """What the guest writes."""
    values = [seed := seed * 31 + 7 & 0xFFFF for _ in range(256 * n_sectors)]
    return b"".join(value.to_bytes(2, "little") for value in values)


CONTENT = b"".join(sector(n) for n in range(N_SECTORS))
WRITTEN = bytearray(CONTENT)
WRITTEN[100 * 512 : 103 * 512] = words(3, 1)
WRITTEN[200 * 512 : 209 * 512] = words(9, 2)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build the guest once: `built(bits)`."""
    folder = tmp_path_factory.mktemp("ata")
    return lru_cache(None)(lambda bits: pc.build("ata", bits, folder))


def run(elf: Path, image: Path, *, read_only: bool = False, trace: Any = None, **settings: Any) -> RunResult:
    """Run the guest with its disk, and a limit in case it never ends."""
    disks = (DiskConfig(image, read_only),)
    config = DomainConfig(elf, mode="full", max_insns=20_000_000, disks=disks, **settings)
    return run_domain(config, trace=trace)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("tier", ["native", "python"])
def test_a_driver_sees_a_disk(built: Any, image: Path, bits: int, tier: str) -> None:
    result = run(built(bits), image, tier=tier)
    assert result.output.decode() == EXPECTED
    assert (result.ending.ended_by.value, result.ending.status) == ("guest", 1), result.ending.reason
    assert image.read_bytes() == WRITTEN
    n_native = result.exits["io_in"].native
    assert n_native > 50_000 if tier == "native" else n_native == 0


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.needs_qemu
def test_qemu_agrees(built: Any, image: Path, bits: int) -> None:
    status, output = pc.run(built(bits), options=f"-drive file={image},format=raw,if=ide")
    assert output.decode() == EXPECTED
    assert status == 1
    assert image.read_bytes() == WRITTEN


def test_tiers_leave_the_same_trace(built: Any, image: Path) -> None:
    """To the byte: each word of data, and the virtual time at which it went."""

    def facts(tier: str, *without: str) -> tuple[tuple[object, ...], int]:
        image.write_bytes(CONTENT)
        digest = sha256()

        def keep(batch: Any) -> None:
            for x in batch:
                digest.update(repr((x.reason, x.virtual_ns, x.rip, x.outcome, *x.ops[0 : x.n_ops])).encode())

        result = run(built(64), image, trace=keep, tier=tier, without_natives=without)
        counts = {name: count.count for name, count in result.exits.items()}
        n_native = sum(count.native for count in result.exits.values())
        return (result.output, result.n_instructions, result.virtual_ns, counts, digest.digest()), n_native

    expected, n_none = facts("python")
    found, n_all = facts("native")
    assert (found, n_none) == (expected, 0)
    for name in native_names("full"):
        if name.startswith("ata_"):
            found, n_rest = facts("native", name)
            assert found == expected, name
            assert n_rest < n_all, f"{name} was in use"


def test_a_disk_that_is_only_read(built: Any, image: Path) -> None:
    output = run(built(64), image, read_only=True).output.decode()
    assert "WRITE of three: status: 0x41\n  an error is named: 0x1\n  sectors left: 0x3" in output
    assert image.read_bytes() == CONTENT


def test_a_run_leaves_the_disk_unlocked(built: Any, image: Path) -> None:
    run(built(64), image)
    disk = DiskImage(image)
    with pytest.raises(UsageError, match="in use"):
        run(built(64), image)
    disk.close()
    run(built(64), image)
