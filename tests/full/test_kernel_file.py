# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel's file is: what cannot be a guest is refused in one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.errors import GuestRefused, UsageError
from pvisor.full.kernel_file import is_linux, is_pc_kernel, pvh_entry, read_image
from pvisor.machine.elf import RawImage
from pvisor.vmm.builder import mode_of
from tests.full.bzimages import bzimage
from tests.full.kernels import MIB, elf32, header, pvh_elf
from tests.machine.elf_bytes import PT_NOTE, Elf, Part, note

BOOT_SECTOR = bytes(510) + b"\x55\xaa"
MULTIBOOT2 = b"\xd6\x50\x52\xe8" + bytes(12)
BZIMAGE = BOOT_SECTOR + bytes(2) + b"HdrS\x0f\x02" + bytes(1000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an ELF file"),
        (b"\x7fEL", "not an ELF file"),
        (b"#!/bin/sh\n", "not an ELF file, nor a Linux bzImage or a Multiboot kernel"),
        (BZIMAGE, "a Linux kernel that cannot be loaded: no jump"),
        (BZIMAGE + header(0x1_0003, MIB, MIB, 0, 0, MIB), "a Linux kernel that cannot"),
        (BOOT_SECTOR, "a boot sector .*16-bit real mode"),
        (BOOT_SECTOR + bytes(1 << 16), "a boot sector or disk image"),
        (bytes(0x8001) + b"CD001", "a CD image"),
        (b"\x1f\x8b\x08" + bytes(100), "compressed by gzip"),
        (bytes(64) + MULTIBOOT2, "a Multiboot 2 kernel"),
        (bytes(4) + MULTIBOOT2, "not an ELF file"),
        (header(3) + bytes(100), "not an ELF file, and its Multiboot header has no address"),
    ],
)
def test_what_is_no_kernel(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(GuestRefused, match=rf"^{path}: {words}") as refused:
        read_image(path)
    assert "\n" not in str(refused.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(UsageError, match=str(path)):
            read_image(path)


def test_an_elf_that_is_damaged_stays_refused_for_that(tmp_path: Path) -> None:
    path = tmp_path / "elf"
    path.write_bytes(b"\x7fELF" + bytes(60) + header(3))
    with pytest.raises(GuestRefused, match=r"damaged ELF file"):
        read_image(path)


def test_plain_bytes_have_no_symbols_and_no_source(tmp_path: Path) -> None:
    path = tmp_path / "flat"
    path.write_bytes(header(0x1_0003, MIB, MIB, 0, 0, MIB + 32) + b"\xf4")
    image = read_image(path)
    assert isinstance(image, RawImage) and is_pc_kernel(image)
    assert (image.segments, image.notes, image.functions) == ((), (), ())
    assert (image.symbolize(MIB), image.source_line(MIB), image.is_code(MIB)) == (None, None, False)


def test_the_mode_by_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    flat = header(0x1_0003, MIB, MIB, 0, 0, MIB + 32)
    for content in (flat, elf32(header(3)), pvh_elf(), bytes(Elf([Part(header(3))]))):
        path.write_bytes(content)
        assert mode_of(read_image(path), "auto") == "full"
    path.write_bytes(bytes(Elf([Part(b"\xf4")])))
    with pytest.raises(GuestRefused, match=r"neither a PC kernel .*PVH note.*Multiboot"):
        mode_of(read_image(path), "auto")
    path.write_bytes(bytes(Elf([Part(bytes(8) + MULTIBOOT2)])))
    with pytest.raises(GuestRefused, match="a Multiboot 2 kernel, which is not supported"):
        mode_of(read_image(path), "auto")
    with pytest.raises(GuestRefused, match="a Multiboot 2 kernel, which is not supported"):
        pvh_entry(read_image(path))


def _with_note(name: bytes, note_type: int, desc: bytes) -> bytes:
    return pvh_elf(Part(b"\xf4" * 8), Part(note(name, note_type, desc), kind=PT_NOTE, flags=4))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bzimage(payload_offset=0x100, payload_length=0x100), True),
        (bzimage(), False),  # memtest86+ has no packed kernel in it
        (pvh_elf(), False),
        (_with_note(b"Linux", 0x100, b"6.1.0-56-cloud-amd64\0"), True),
        (_with_note(b"Xen", 6, b"linux\0"), True),
        (_with_note(b"Xen", 6, b"FreeBSD\0"), False),
        (header(0x1_0003, MIB, MIB, 0, 0, MIB + 32) + b"\xf4", False),
    ],
)
def test_what_is_linux(tmp_path: Path, content: bytes, expected: bool) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(content)
    assert is_linux(read_image(path)) is expected
