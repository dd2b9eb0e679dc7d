# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of a bzImage: boot_params by zero-page.rst, the two entries by boot.rst, what lies where."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import pytest

from pvisor.cpu.entry import Entry
from pvisor.errors import GuestRefused, UsageError
from pvisor.full import firmware, start
from pvisor.full.kernel_file import is_pc_kernel, protocol_of, read_image
from pvisor.full.linux_boot import LinuxImage, identity_tables
from pvisor.machine.memory import GuestMemory
from pvisor.machine.modules import Module
from pvisor.vmm.builder import mode_of
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.full.bzimages import CODE_START, MIB, bzimage, reporter, two_entries
from tests.full.kernels import RSDP, header, pvh_elf, string_at
from tests.full.test_start import MAP_64M

BOTH = two_entries(b"\xf4", b"\xf4")
LOW_PARAMS = 0x1_0000


def placed(folder: Path, content: bytes = bzimage(BOTH), *, memory_bytes: int = 64 * MIB, cmdline: str = "",
           modules: tuple[Module, ...] = (), entry: str = "auto") -> tuple[Entry, GuestMemory]:  # fmt: skip
    path = folder / "vmlinuz"
    path.write_bytes(content)
    memory = GuestMemory(memory_bytes)
    firmware.install(memory, 0, 0)
    found = start.place(read_image(path), memory, cmdline=cmdline, modules=modules, rsdp=RSDP, entry=entry)
    return found, memory


def field(memory: GuestMemory, entry: Entry, at: int, form: str) -> int:
    """A field of boot_params."""
    (value,) = struct.unpack("<" + form, memory.read(entry.rsi + at, struct.calcsize(form)))
    return int(value)


def test_boot_params(tmp_path: Path) -> None:
    content = bzimage(BOTH)
    entry, memory = placed(tmp_path, content, cmdline="a  b", modules=(Module(b"i", b"", b"x" * 5000),))
    params = memory.read(entry.rsi, 4096)
    for at, n_bytes in ((0x1F1, 0x210 - 0x1F1), (0x211, 3), (0x220, 8), (0x22C, 0x26C - 0x22C)):
        assert params[at : at + n_bytes] == content[at : at + n_bytes], hex(at)
    assert params[0x26C:0x2D0] == bytes(0x2D0 - 0x26C)  # the setup code stays out
    assert params[0x40:0x70] == bytes(0x30) and params[0x78:0x1E0] == bytes(0x1E0 - 0x78)
    assert params[0x1E9:0x1F1] == bytes(8)  # the sentinel among them
    assert field(memory, entry, 0x210, "B") == 0xFF
    assert field(memory, entry, 0x214, "I") == 16 * MIB
    assert (field(memory, entry, 0x218, "I"), field(memory, entry, 0x21C, "I")) == (0x3FD_E000, 5000)
    assert memory.read(0x3FD_E000, 5001) == b"x" * 5000 + b"\0"
    assert string_at(memory, field(memory, entry, 0x228, "I")) == b"a  b"
    assert field(memory, entry, 0x70, "Q") == RSDP
    assert field(memory, entry, 0x1E0, "I") == 0x3EE_0000 >> 10
    entries = [
        struct.unpack("<QQI", params[at : at + 20]) for at in range(0x2D0, 0x2D0 + 20 * params[0x1E8], 20)
    ]
    assert entries == MAP_64M
    assert not any(params[0x2D0 + 20 * len(entries) :])


def test_the_screen_is_a_cga_in_text_mode(tmp_path: Path) -> None:
    entry, memory = placed(tmp_path)
    screen = memory.read(entry.rsi, 0x40)
    assert struct.unpack("<BBHHBB", screen[:8]) == (0, 0, 0x3EE_0000 >> 10, 0, 3, 80)
    assert struct.unpack("<HHBBH", screen[10:18]) == (0x10, 0, 25, 0, 16)
    assert screen[18:] == bytes(0x40 - 18)
    entry, memory = placed(tmp_path, memory_bytes=96 * MIB)
    assert field(memory, entry, 2, "H") == 0xFC00  # INT 15h, AH=88h, says no more


def test_where_the_kernel_lies(tmp_path: Path) -> None:
    code = two_entries(b"32", b"64")
    for fields, load in (
        ({}, 16 * MIB),
        ({"pref_address": 0}, 2 * MIB),
        ({"pref_address": 5 * MIB}, 6 * MIB),
        ({"pref_address": 0x1_0000, "kernel_alignment": 0x1000}, MIB),
        ({"relocatable_kernel": 0}, MIB),
        ({"version": 0x206}, 2 * MIB),
        ({"version": 0x204}, MIB),
    ):
        entry, memory = placed(tmp_path, bzimage(code, **fields), entry="linux32")
        assert (entry.rip, entry.eax, entry.ebx) == (load, 0, 0), fields
        assert memory.read(load, len(code)) == code
        assert field(memory, entry, 0x214, "I") == load


def test_a_kernel_that_moves_itself_has_both_places_to_itself(tmp_path: Path) -> None:
    """Not relocatable: loaded at 1 MiB, and it runs at pref_address."""
    content = bzimage(BOTH, relocatable_kernel=0, pref_address=40 * MIB, init_size=8 * MIB)
    for n_bytes, at in ((15 * MIB, 48 * MIB), (16 * MIB, 24 * MIB)):
        entry, memory = placed(tmp_path, content, modules=(Module(b"i", b"", bytes(n_bytes)),))
        assert field(memory, entry, 0x218, "I") & -MIB == at + (0xE_0000 if at > 40 * MIB else 0) & -MIB
    with pytest.raises(GuestRefused, match="at least 98432K"):
        placed(tmp_path, bzimage(BOTH, relocatable_kernel=0, pref_address=90 * MIB, init_size=6 * MIB))


def test_the_64_bit_entry(tmp_path: Path) -> None:
    entry, memory = placed(tmp_path, cmdline="x" * 2047)
    tables = entry.tables
    assert tables is not None and entry.rip == 16 * MIB + 0x200
    assert memory.read(tables.gdt, tables.gdt_limit + 1) == bytes(16) + struct.pack(
        "<QQ", 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF
    )
    assert len(string_at(memory, field(memory, entry, 0x228, "I"))) == 2047
    assert memory.read(tables.root, 6 * 4096) == identity_tables(tables.root)
    low = [
        (entry.rsi, 4096),
        (tables.root, 6 * 4096),
        (tables.gdt, 32),
        (field(memory, entry, 0x228, "I"), 2048),
    ]
    assert all(a + n <= b for (a, n), (b, _) in pairwise(low)) and low[0][0] == LOW_PARAMS


def test_the_page_tables_map_4_gib_one_to_one() -> None:
    tables = identity_tables(0x5000)

    def entry(table: int, index: int) -> int:
        return int.from_bytes(tables[table - 0x5000 + 8 * index :][:8], "little")

    for address in (0, 0x1234_5678, 0xB8000, 0xFEE0_0000, 0xFFFF_FFFF):
        table = 0x5000
        for shift in (39, 30, 21):
            found = entry(table, address >> shift & 511)
            assert found & 3 == 3
            table = found & ~0xFFF
        assert found & 0x80 and found & -(1 << 21) | address & (1 << 21) - 1 == address
    assert sum(1 for i in range(0, len(tables), 8) if any(tables[i : i + 8])) == 1 + 4 + 4 * 512


def test_the_32_bit_entry(tmp_path: Path) -> None:
    entry, memory = placed(tmp_path, entry="linux32")
    tables = entry.tables
    assert tables is not None and entry.rip == 16 * MIB and tables.root == 0
    assert memory.read(tables.gdt + 16, 16) == struct.pack(
        "<QQ", 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF
    )


REPORT_64 = b"6\x10\x18\x18\x18" + struct.pack("<I", LOW_PARAMS) + b"\0\0\0\0\x11\x80\x20\x05H6"
REPORT_32 = b"3\x10\x18\x18\x18" + struct.pack("<I", LOW_PARAMS) + b"\0\0\0\0\x11\x00\x00\x00H3"


@pytest.mark.parametrize(("mode", "tier"), [("full", "native"), ("full", "python"), ("emu", "native")])
def test_how_the_cpu_is_entered(tmp_path: Path, mode: str, tier: str) -> None:
    """Registers, segments, control registers and EFER; the descriptors can be loaded again."""
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage(two_entries(reporter(b"3"), reporter(b"6"))))
    for entry, report in (("auto", REPORT_64), ("linux64", REPORT_64), ("linux32", REPORT_32)):
        result = run_domain(DomainConfig(path, mode=mode, tier=tier, entry=entry))
        assert (result.ending.status, result.output) == (1, report), (entry, result.ending)


def test_an_initrd_lies_as_high_as_it_may(tmp_path: Path) -> None:
    initrd = (Module(b"i", b"", b"data"),)
    for fields, cmdline, at in (
        ({}, "", 0x3FD_F000),
        ({"initrd_addr_max": 0x2FF_FFFF}, "", 0x2FF_F000),
        ({"initrd_addr_max": 0x300_0002}, "", 0x2FF_F000),
        ({"initrd_addr_max": 0x300_0003}, "", 0x300_0000),
        ({}, "quiet mem=40M", 40 * MIB - 4096),
        ({}, "mem=1G mem=0x2000000 x", 32 * MIB - 4096),
        ({}, "mem=0400 mem=nopentium xmem=1M mem=1M,2 mem=09M", 0),
        ({"initrd_addr_max": 24 * MIB - 1}, "mem=30M", 24 * MIB - 4096),
    ):  # fmt: skip
        if at:
            entry, memory = placed(tmp_path, bzimage(BOTH, **fields), cmdline=cmdline, modules=initrd)
            assert field(memory, entry, 0x218, "I") == at, (fields, cmdline)
            assert memory.read(at, 4) == b"data"
    entry, memory = placed(tmp_path, modules=(Module(b"empty", b"", b""),))
    assert (field(memory, entry, 0x218, "I"), field(memory, entry, 0x21C, "I")) == (0, 0)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    def refused(error: type[Exception], words: str, content: bytes = bzimage(BOTH), **more: object) -> None:
        with pytest.raises(error, match=words) as why:
            placed(tmp_path, content, **more)  # type: ignore[arg-type]
        assert "\n" not in str(why.value)

    big, one = (Module(b"big", b"", bytes(50 * MIB)),), Module(b"one", b"", b"1")
    refused(UsageError, r"big: no room for its 52428800 bytes .* 0x3fe0000; give more --memory", modules=big)
    low = bzimage(BOTH, initrd_addr_max=0x17F_FFFF)
    refused(
        UsageError, "between the kernel and 0x1800000; above it the kernel takes no initrd", low, modules=big
    )
    refused(UsageError, "--module two: a Linux bzImage gets one file",
            modules=(one, Module(b"two", b"", b"2")))  # fmt: skip
    refused(UsageError, "--module one: an initrd has no arguments", modules=(Module(b"one", b"a", b"1"),))
    refused(UsageError, "2048 bytes; at most 2047", cmdline="x" * 2048)
    refused(UsageError, "256 bytes; at most 255", bzimage(BOTH, version=0x204), cmdline="x" * 256)
    refused(UsageError, "at most 4095", bzimage(BOTH, cmdline_size=0xFFFF_FFFF), cmdline="x" * 4096)
    refused(GuestRefused, "needs at least 20608K of memory, the domain has 16M", memory_bytes=16 * MIB)
    refused(GuestRefused, "at least 114816K of memory", bzimage(BOTH, init_size=96 * MIB))
    refused(GuestRefused, "a PC has 3072M at most", bzimage(BOTH, init_size=0xFFFF_FFFF))
    refused(GuestRefused, "a PC has 3072M at most", bzimage(BOTH, pref_address=1 << 63))
    hole = bzimage(BOTH, relocatable_kernel=0, pref_address=0xB_8000, init_size=4096)
    refused(GuestRefused, "0xb8000, where a PC has no RAM", hole)
    low = bzimage(BOTH, relocatable_kernel=0, pref_address=0x1000, init_size=0x9_EC00)
    refused(GuestRefused, "leaves no room in memory", low)


def test_which_entry_a_kernel_has(tmp_path: Path) -> None:
    def protocol(content: bytes, entry: str = "auto") -> str:
        path = tmp_path / "file"
        path.write_bytes(content)
        return protocol_of(read_image(path), entry)

    assert protocol(bzimage(BOTH)) == protocol(bzimage(BOTH), "linux64") == "linux64"
    assert protocol(bzimage(BOTH, xloadflags=2)) == protocol(bzimage(BOTH), "linux32") == "linux32"
    with pytest.raises(GuestRefused, match=r"has no 64-bit entry point .* --entry linux32"):
        protocol(bzimage(BOTH, xloadflags=2), "linux64")
    fields = header(0x1_0003, CODE_START, CODE_START, 0, 0, CODE_START + 32)
    assert protocol(bzimage(fields.ljust(0x210, b"\0")), "multiboot") == "multiboot"
    assert protocol(bzimage(fields.ljust(0x210, b"\0"))) == "linux64"
    assert protocol(header(0x1_0003, MIB, MIB, 0, 0, MIB), "multiboot") == "multiboot"
    assert protocol(pvh_elf(), "pvh") == "pvh"
    with pytest.raises(GuestRefused, match="has no Multiboot header; leave --entry out"):
        protocol(pvh_elf(), "multiboot")
    with pytest.raises(GuestRefused, match="--entry linux64 is for a Linux bzImage"):
        protocol(pvh_elf(), "linux64")
    with pytest.raises(UsageError, match="--entry xyz: there is auto, pvh, multiboot, linux32, linux64"):
        protocol(pvh_elf(), "xyz")


def test_a_bzimage_is_a_pc_kernel(tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage(BOTH))
    image = read_image(path)
    assert isinstance(image, LinuxImage) and is_pc_kernel(image) and mode_of(image, "auto") == "full"
    assert (image.bits, image.notes, image.functions) == (64, (), ())
    with pytest.raises(GuestRefused, match="neither a PVH note"):
        start.check_memory(image, 64 * MIB, "pvh")
