# SPDX-License-Identifier: GPL-2.0-or-later
"""Multiboot 1 by its specification, 0.6.96: the header, what is loaded, and the information structure."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.errors import GuestRefused, UsageError
from pvisor.full import multiboot, start
from pvisor.machine.elf import RawImage
from pvisor.machine.memory import GuestMemory
from pvisor.machine.modules import Module, ModuleFile
from tests.full.kernels import MIB, elf32, header, placed, string_at
from tests.full.test_start import MAP_64M, run
from tests.machine.elf_bytes import X86_64, Elf, Part
from tests.qemu import pc

BOOT_MAGIC = 0x2BAD_B002
CODE = b"\xf4" * 4


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (header(0), 0),
        (bytes(8180) + header(3), 8180),
        (bytes(8184) + header(3), None),
        (bytes(2) + header(3), None),
        (header(3, checksum=1) + header(3), 12),
        (header(3, magic=0xE852_50D6), None),
        (header(3)[:11], None),
        (bytes(8160) + header(0x1_0000, *range(5)), 8160),
        (bytes(8164) + header(0x1_0000, *range(5)), None),
        (b"", None),
    ],
)
def test_where_a_header_is_found(content: bytes, offset: int | None) -> None:
    found = multiboot.find_header(content)
    assert (None if found is None else found.offset) == offset


def test_address_fields_count_only_when_flag_16_is_set() -> None:
    fields = (1, 2, 3, 4, 5)
    without, having = (
        multiboot.find_header(header(3, *fields)),
        multiboot.find_header(header(0x1_0003, *fields)),
    )
    assert without is not None and without.addresses is None
    assert having is not None and having.addresses == fields


def info_of(memory: GuestMemory, at: int) -> tuple[int, ...]:
    """The 22 words of the information structure (3.3)."""
    return struct.unpack("<22I", memory.read(at, 88))


def test_the_information_structure(tmp_path: Path) -> None:
    modules = (
        Module(b"dir/one", b"x  y", b"1" * 5000),
        Module(b"two", b"", b""),
        Module(b"three", b"z", b"3"),
    )
    content = elf32(header(3) + CODE, entry=MIB + 12, memory_bytes=0x1234)
    entry, memory = placed(tmp_path, content, cmdline="a  b", modules=modules)
    assert (entry.rip, entry.eax, entry.ebx) == (MIB + 12, BOOT_MAGIC, 0x9000)
    info = info_of(memory, entry.ebx)
    assert info[0] == 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9
    assert info[1:4] == (639, 64384, 0)
    assert string_at(memory, info[4]) == str(tmp_path / "kernel").encode() + b" a  b"
    assert (info[7:11], info[13:16], info[17:]) == ((0,) * 4, (0,) * 3, (0,) * 5)
    assert string_at(memory, info[16]) == b"pvisor"
    listed = [struct.unpack("<IIII", memory.read(info[6] + 16 * i, 16)) for i in range(info[5])]
    assert [(m[0], m[1] - m[0], m[3]) for m in listed] == [
        (0x10_2000, 5000, 0), (0x10_4000, 0, 0), (0x10_5000, 1, 0)]  # fmt: skip
    assert [memory.read(m[0], m[1] - m[0]) for m in listed] == [module.data for module in modules]
    assert [string_at(memory, m[2]) for m in listed] == [b"dir/one x  y", b"two", b"three z"]


def test_the_memory_map(tmp_path: Path) -> None:
    entry, memory = placed(tmp_path, elf32(header(3) + CODE))
    info = info_of(memory, entry.ebx)
    entries = [struct.unpack("<IQQI", memory.read(info[12] + 24 * i, 24)) for i in range(info[11] // 24)]
    assert [e[0] for e in entries] == [20] * len(MAP_64M)
    assert [e[1:] for e in entries] == MAP_64M


def test_the_information_avoids_the_kernel(tmp_path: Path) -> None:
    low = elf32(header(3) + CODE, vaddr=0x1000, memory_bytes=0x9_EC00, entry=0x1000)
    entry, memory = placed(tmp_path, low, modules=(Module(b"m", b"", b"data"),))
    assert entry.ebx > MIB
    module = struct.unpack("<II", memory.read(info_of(memory, entry.ebx)[6], 8))
    assert memory.read(module[0], 4) == b"data" and module[0] >= MIB


def test_the_entry_of_an_elf_is_virtual(tmp_path: Path) -> None:
    content = elf32(header(3) + CODE, vaddr=0xC010_0000, paddr=MIB, entry=0xC010_000C)
    entry, memory = placed(tmp_path, content)
    assert entry.rip == MIB + 12
    assert memory.read(MIB + 12, 4) == CODE


def test_loading_by_the_address_fields(tmp_path: Path) -> None:
    """Of a flat file; what is before load_addr and behind load_end_addr stays out, the bss is zeroes."""
    content = b"#" * 64 + header(0x1_0003, MIB + 16, MIB, MIB + 64, MIB + 100, MIB + 48) + CODE * 100
    entry, memory = placed(tmp_path, content)
    assert (entry.rip, entry.eax) == (MIB + 48, BOOT_MAGIC)
    assert memory.read(MIB, 101) == content[48:112] + bytes(37)


def test_end_fields_of_0_mean_the_whole_file_and_no_bss(tmp_path: Path) -> None:
    content = header(0x1_0003, 0x2_0000, 0x2_0000, 0, 0, 0x2_0020) + CODE * 100
    entry, memory = placed(tmp_path, content)
    assert memory.read(0x2_0000, len(content) + 1) == content + b"\0"
    assert entry.rip == 0x2_0020


def test_address_fields_go_before_an_elfs_program_headers(tmp_path: Path) -> None:
    content = bytes(Elf([Part(header(0x1_0003, 0x30_0000, 0x30_0000, 0, 0, 0x30_0020) + CODE)]))
    entry, memory = placed(tmp_path, content)
    assert entry.rip == 0x30_0020
    assert memory.read(0x30_0020, 4) == CODE and memory.read(MIB, 4) == bytes(4)


def test_an_elf_that_is_none_of_ours_is_loaded_by_its_address_fields(tmp_path: Path) -> None:
    fields = header(0x1_0003, MIB, MIB, 0, 0, MIB + 32)
    assert placed(tmp_path, bytes(Elf([Part(fields + CODE)], kind=3)))[0].rip == MIB + 32


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ((MIB, MIB + 4, 0, 0, 0), "load_addr is above header_addr"),
        ((MIB + 68, MIB, 0, 0, 0), "before the file's first byte"),
        ((MIB, MIB, MIB - 1, 0, 0), "load_end_addr is below load_addr"),
        ((MIB, MIB, MIB + 37, 0, 0), "beyond the file's last byte"),
        ((MIB, MIB, MIB + 8, MIB + 7, 0), "bss_end_addr is below load_end_addr"),
    ],
)
def test_address_fields_that_contradict(tmp_path: Path, fields: tuple[int, ...], words: str) -> None:
    with pytest.raises(GuestRefused, match=rf"kernel: its Multiboot header is wrong: .*{words}"):
        placed(tmp_path, bytes(64) + header(0x1_0003, *fields) + CODE)


def test_demands(tmp_path: Path) -> None:
    """Bits 0 to 15 that are unknown must be refused (3.1.2); a video mode is passed over, as QEMU does."""
    assert placed(tmp_path, elf32(header(0x8000_0007) + bytes(36) + CODE))[0].eax == BOOT_MAGIC
    for flags in (1 << 3, 1 << 15):
        with pytest.raises(GuestRefused, match="demands what is unknown"):
            placed(tmp_path, elf32(header(flags) + CODE))


def test_kernels_and_modules_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(GuestRefused, match="needs memory up to 0xfffff001"):
        placed(tmp_path, header(0x1_0000, MIB, MIB, 0, 0xFFFF_F001, MIB))
    with pytest.raises(GuestRefused, match="no RAM"):
        placed(tmp_path, header(0x1_0000, 0xA_0000, 0xA_0000, 0, 0, 0xA_0000))
    with pytest.raises(UsageError, match="m: no room"):
        placed(tmp_path, elf32(header(3)), memory_bytes=2 * MIB, modules=(Module(b"m", b"", bytes(MIB)),))


def test_an_elf_for_x86_64_needs_address_fields(tmp_path: Path) -> None:
    for content in (bytes(Elf([Part(header(3) + CODE)])), elf32(header(3) + CODE, machine=X86_64)):
        with pytest.raises(GuestRefused, match="without address fields needs a 32-bit ELF file"):
            placed(tmp_path, content)


ADDRESS = st.integers(0, 0xFFFF_FFFF) | st.integers(MIB, MIB + 200) | st.sampled_from([0, 0xFFFF_FFF0])


@given(st.binary(max_size=120), st.lists(ADDRESS, min_size=5, max_size=5))
@settings(max_examples=400)
def test_nothing_in_a_header_is_an_error_of_ours(rest: bytes, fields: list[int]) -> None:
    image = RawImage("kernel", rest[: len(rest) & ~3] + header(0x1_0003, *fields) + rest)
    memory = GuestMemory(2 * MIB)
    try:
        entry = start.place(image, memory, cmdline="", modules=(), rsdp=0)
    except GuestRefused:
        return
    assert entry.rip == fields[4]


def test_a_kernel_of_no_bytes_is_nowhere(tmp_path: Path) -> None:
    nowhere = 0xFFFF_FFF0
    assert placed(tmp_path, header(0x1_0000, nowhere, nowhere, nowhere, 0, MIB))[0].rip == MIB


VARIANTS = {
    "elf32": (32, "MULTIBOOT=3", False),
    "elf32 with a wish for video": (32, "MULTIBOOT=7", False),
    "elf32 by addresses": (32, "MULTIBOOT=0x10003", False),
    "elf64 by addresses": (64, "MULTIBOOT=0x10003", False),
    "flat, 64 bits": (64, "MULTIBOOT=0x10003", True),
}


@pytest.mark.needs_gcc
@pytest.mark.needs_qemu
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_kernel_sees_what_it_sees_under_qemu(tmp_path: Path, variant: str) -> None:
    bits, flags, is_flat = VARIANTS[variant]
    kernel = pc.build_source(pc.GUESTS / "boot.c", bits, tmp_path, [flags])
    if is_flat:
        flat = tmp_path / "kernel.bin"
        subprocess.run(["objcopy", "-O", "binary", str(kernel), str(flat)], check=True)
        kernel = flat
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x" * 5000)
    two.write_bytes(b"the second module")
    initrd = f"{one} first argument,{two},{two} again"
    if "video" in variant:  # QEMU says on stderr that it passes over it
        theirs = subprocess.run(
            [*pc.QEMU.split(), "-append", "a  b", "-initrd", initrd, "-kernel", str(kernel)],
            capture_output=True, timeout=60, check=False,
        ).stdout  # fmt: skip
    else:
        theirs = pc.run(kernel, more=["-append", "a  b", "-initrd", initrd])[1]
    modules = (ModuleFile(one, "first argument"), ModuleFile(two), ModuleFile(two, "again"))
    ours = run(kernel, cmdline="a  b", modules=modules)
    assert (ours.ending.status, ours.output.decode()) == (1, theirs.decode())
    assert "Multiboot\n" in ours.output.decode() and "arguments: [first argument]" in ours.output.decode()
