# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel inside a bzImage, unpacked for its PVH entry: each format of boot.rst, and damage."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import lz4.block
import pytest
import zstandard

from pvisor.errors import GuestRefused, UsageError
from pvisor.full.kernel_file import pvh_entry, read_image
from pvisor.full.linux_boot import LinuxImage
from pvisor.full.linux_payload import LZ4_BLOCK_BYTES
from pvisor.machine.elf import ElfImage
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.full.bzimages import MIB, bzimage
from tests.full.kernels import pvh_elf
from tests.machine.elf_bytes import Part

POWER_OFF = bytes.fromhex("00 00 00 00 b0 05 66 ba f4 00 ee f4")
"""`mov al, 5; mov dx, 0xf4; out dx, al`, behind four bytes: the note of pvh_elf() says 1 MiB + 4."""
LARGE = bytes(range(256)) * (LZ4_BLOCK_BYTES // 256 + 100)


def lz4_legacy(elf: bytes) -> bytes:
    """As `lz4 -l` makes it (doc/lz4_Frame_format.md, "Legacy frame")."""
    packed = b"\x02\x21\x4c\x18"
    for at in range(0, len(elf), LZ4_BLOCK_BYTES):
        block = lz4.block.compress(elf[at : at + LZ4_BLOCK_BYTES], store_size=False)
        packed += len(block).to_bytes(4, "little") + block
    return packed


FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda elf: elf,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "LZMA": lambda elf: lzma.compress(elf, lzma.FORMAT_ALONE),
    "XZ": lambda elf: lzma.compress(elf, check=lzma.CHECK_CRC32),
    "LZ4": lz4_legacy,
    "Zstandard": zstandard.ZstdCompressor().compress,
}


def kernel(folder: Path, payload: bytes, n_unpacked: int | None = None, **fields: int) -> Path:
    """A bzImage with a payload, and its unpacked size behind it."""
    size = b"" if n_unpacked is None else n_unpacked.to_bytes(4, "little")
    code = bytes(0x300) + payload + size
    values = {"payload_offset": 0x300, "payload_length": len(payload + size), "init_size": 32 * MIB} | fields
    path = folder / "vmlinuz"
    path.write_bytes(bzimage(code, **values))
    return path


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("more", [b"", LARGE])
def test_each_format(tmp_path: Path, name: str, more: bytes) -> None:
    elf = pvh_elf(Part(POWER_OFF + more))
    path = kernel(tmp_path, FORMATS[name](elf), None if name in ("none", "gzip") else len(elf))
    image = read_image(path, "pvh")
    assert image.content == elf and pvh_entry(image) == MIB + 4 and image.path == path
    assert isinstance(read_image(path), LinuxImage)


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_the_kernel_inside_runs(tmp_path: Path, mode: str) -> None:
    path = kernel(tmp_path, FORMATS["XZ"](pvh_elf(Part(POWER_OFF))), 1)
    assert run_domain(DomainConfig(path, mode=mode, entry="pvh")).ending.status == 11


@pytest.mark.parametrize("name", list(FORMATS)[1:])
def test_damage(tmp_path: Path, name: str) -> None:
    packed = bytearray(FORMATS[name](pvh_elf(Part(POWER_OFF * 1000))))
    packed[len(packed) // 2 :] = bytes(b ^ 0x5A for b in packed[len(packed) // 2 :])
    with pytest.raises(GuestRefused, match=r"vmlinuz: (its payload is|damaged|truncated)") as why:
        read_image(kernel(tmp_path, bytes(packed), 1), "pvh")
    assert "\n" not in str(why.value)


def test_what_is_no_payload(tmp_path: Path) -> None:
    def refused(words: str, path: Path) -> None:
        with pytest.raises(GuestRefused, match=words):
            read_image(path, "pvh")

    refused("says of no payload in it", kernel(tmp_path, b"x", payload_offset=0))
    refused("says of no payload in it", kernel(tmp_path, b"x", payload_length=0))
    refused("its payload ends at byte 4294", kernel(tmp_path, b"x", payload_length=0xFFFF_FFFF))
    refused(r"of an unknown format \(78 79 7a 21\)", kernel(tmp_path, b"xyz!"))
    refused("its payload is no ELF file", kernel(tmp_path, gzip.compress(b"text")))
    greedy = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    refused(r"is damaged \(XZ: .*limit", kernel(tmp_path, lzma.compress(pvh_elf(), filters=greedy), 1))
    bomb = kernel(tmp_path, gzip.compress(bytes(2 * MIB)), init_size=MIB)
    refused("its payload is larger than the 1048576 bytes", bomb)
    no_note = bytes(ElfImage("x", pvh_elf()).content).replace(b"Xen\0", b"Yen\0")
    with pytest.raises(GuestRefused, match="neither a PVH note"):
        run_domain(DomainConfig(kernel(tmp_path, no_note), entry="pvh", mode="full"))


@pytest.mark.parametrize(("name", "library"), [("LZ4", "lz4"), ("Zstandard", "zstandard")])
def test_a_library_that_is_not_installed(
    tmp_path: Path, name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kernel(tmp_path, FORMATS[name](pvh_elf()), 1)
    for module in (library, f"{library}.block"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"packed by {name}, which needs .*{library}.* pvisor\[linux\]"):
        read_image(path, "pvh")
