# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of a Linux bzImage by its 32-bit or its 64-bit boot protocol: the kernel unpacks itself.

Source: Linux, Documentation/arch/x86/boot.rst and zero-page.rst; struct screen_info is that of
include/uapi/linux/screen_info.h. Its 16-bit setup code is not run: what it would have asked the BIOS for
(memory map, text mode, size of memory) is written into struct boot_params here.

What a boot loader chooses lies below 640 KiB, from 64 KiB on: boot_params, page tables, GDT, command line.
An initrd lies as high as it may. A kernel that can be loaded anywhere gets the address it prefers, and no
lower one: Linux moves itself up to there anyway (arch/x86/boot/compressed/head_64.S, LOAD_PHYSICAL_ADDR).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path

from pvisor.cpu.entry import BootTables, Entry
from pvisor.errors import GuestRefused, UsageError
from pvisor.full.firmware import LOW_RAM_END, MIB, MemoryRange
from pvisor.full.linux_header import HEADER_START, read_header
from pvisor.full.placement import Ram
from pvisor.machine.elf import PF_R, PF_W, PF_X, RawImage, Segment
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.machine.modules import Module

BOOT_CS, BOOT_DS = 0x10, 0x18
"""__BOOT_CS and __BOOT_DS."""
CODE_32, CODE_64, DATA = 0x00CF_9B00, 0x00AF_9B00, 0x00CF_9300
ENTRY_64 = 0x200
UNDEFINED_LOADER = 0xFF
LOWEST_PARAMS = 0x1_0000
BOOT_PARAMS_BYTES = PAGE_BYTES

EXT_MEM_K, ACPI_RSDP_ADDR, ALT_MEM_K, E820_ENTRIES, E820_TABLE = 0x02, 0x70, 0x1E0, 0x1E8, 0x2D0
TYPE_OF_LOADER, CODE32_START, RAMDISK_IMAGE, CMD_LINE_PTR = 0x210, 0x214, 0x218, 0x228
"""Offsets in struct boot_params."""
MAX_EXT_MEM_K = 0xFC00
"""INT 15h, AH=88h, tells of 63 MiB above the first at most."""
CGA_EGA_BX = 0x10
"""What INT 10h, AH=12h, BL=10h leaves in BX where there is neither an EGA nor a VGA: its argument."""

PRESENT_WRITABLE, LARGE = 0b11, 1 << 7
LARGE_PAGE_BYTES, ENTRIES = 2 * MIB, 512
MAPPED_GIB = 4
"""All that a PC has, RAM and devices, is mapped: more than the protocol demands, and what loaders do."""
TABLES_BYTES = (2 + MAPPED_GIB) * PAGE_BYTES


class LinuxImage(RawImage):
    """A bzImage: plain bytes with a setup header. Raises GuestRefused for a header that is wrong."""

    def __init__(self, path: str | Path, content: bytes) -> None:
        super().__init__(path, content)
        self.header = read_header(self.path, content)
        self.bits = 64 if self.header.has_64bit_entry else 32

    @property
    def load_address(self) -> int:
        """Where its protected-mode code is put (guest-physical)."""
        header = self.header
        if not header.is_relocatable:
            return MIB
        return _align(max(header.pref_address, MIB), header.kernel_alignment)

    @property
    def runtime_start(self) -> int:
        """Where it will run: there it needs init_size bytes (boot.rst, init_size)."""
        return self.load_address if self.header.is_relocatable else self.header.pref_address or MIB

    @property
    def loaded(self) -> tuple[Segment, ...]:
        """What is loaded, and the memory that it needs besides before it knows its memory map."""
        header, load, runtime = self.header, self.load_address, self.runtime_start
        code = self.content[header.code_start : header.code_end]
        rights = PF_R | PF_W | PF_X
        if runtime == load:
            return (Segment(load, load, code, max(len(code), header.init_size), rights),)
        there = Segment(runtime, runtime, b"", max(len(code), header.init_size), rights)
        return (Segment(load, load, code, len(code), rights), there)


def place(
    image: LinuxImage, memory: GuestMemory, ram: Ram, memory_map: Sequence[MemoryRange], *,
    cmdline: bytes, modules: Sequence[Module], rsdp: int, is_64bit: bool,
) -> Entry | None:  # fmt: skip
    """Write all but the kernel itself, which is there; its entry, or None without room below 640 KiB.

    Raises UsageError for modules that are no initrd of this kernel.
    """
    tables_bytes = TABLES_BYTES if is_64bit else 0
    gdt_at = BOOT_PARAMS_BYTES + tables_bytes
    tables = BootTables(0, BOOT_CS, BOOT_DS, CODE_64 if is_64bit else CODE_32, DATA)
    n_bytes = gdt_at + len(tables.gdt_bytes) + len(cmdline) + 1
    at = ram.lowest(n_bytes, LOWEST_PARAMS)
    if at is None or at + n_bytes > LOW_RAM_END:
        return None
    root = at + BOOT_PARAMS_BYTES if is_64bit else 0
    tables = BootTables(at + gdt_at, BOOT_CS, BOOT_DS, tables.code_flags, DATA, root)
    cmdline_at = tables.gdt + len(tables.gdt_bytes)
    initrd_at, initrd = _put_initrd(image, memory, ram, cmdline, modules)
    params = _boot_params(image, memory, memory_map, rsdp)
    struct.pack_into("<I", params, CMD_LINE_PTR, cmdline_at)
    struct.pack_into("<II", params, RAMDISK_IMAGE, initrd_at, len(initrd))
    paging = identity_tables(root) if is_64bit else b""
    memory.write(at, bytes(params) + paging + tables.gdt_bytes + cmdline + b"\0")
    return Entry(image.load_address + (ENTRY_64 if is_64bit else 0), 0, 0, rsi=at, tables=tables)


def identity_tables(root: int) -> bytes:
    """Page tables that lie at `root` and map the first 4 GiB one to one, in pages of 2 MiB (SDM 3A 4.5)."""
    directories = root + 2 * PAGE_BYTES
    top = struct.pack("<Q", root + PAGE_BYTES | PRESENT_WRITABLE).ljust(PAGE_BYTES, b"\0")
    pointers = b"".join(
        struct.pack("<Q", directories + i * PAGE_BYTES | PRESENT_WRITABLE) for i in range(MAPPED_GIB)
    )
    pages = b"".join(
        struct.pack("<Q", i * LARGE_PAGE_BYTES | LARGE | PRESENT_WRITABLE)
        for i in range(MAPPED_GIB * ENTRIES)
    )
    return top + pointers.ljust(PAGE_BYTES, b"\0") + pages


def _boot_params(
    image: LinuxImage, memory: GuestMemory, memory_map: Sequence[MemoryRange], rsdp: int
) -> bytearray:
    """struct boot_params, but for what depends on where things lie."""
    header = image.header
    params = bytearray(BOOT_PARAMS_BYTES)
    params[HEADER_START : header.end] = image.content[HEADER_START : header.end]
    _write_screen_info(params, memory)
    above_kib = sum(r.n_bytes for r in memory_map if r.start == MIB and r.type == 1) >> 10
    struct.pack_into("<H", params, EXT_MEM_K, min(above_kib, MAX_EXT_MEM_K))
    struct.pack_into("<I", params, ALT_MEM_K, above_kib)
    struct.pack_into("<Q", params, ACPI_RSDP_ADDR, rsdp)
    params[E820_ENTRIES] = len(memory_map)
    for i, r in enumerate(memory_map):
        struct.pack_into("<QQI", params, E820_TABLE + 20 * i, r.start, r.n_bytes, r.type)
    params[TYPE_OF_LOADER] = UNDEFINED_LOADER
    struct.pack_into("<I", params, CODE32_START, image.load_address)
    return params


def _write_screen_info(params: bytearray, memory: GuestMemory) -> None:
    """The text mode, from where the setup code would take it: the BIOS data area (full/firmware.py)."""
    mode, columns = struct.unpack("<BH", memory.read(0x449, 3))
    column, row = memory.read(0x450, 2)
    page, character_lines = memory.read(0x462, 1)[0], int.from_bytes(memory.read(0x485, 2), "little")
    struct.pack_into("<BB", params, 0, column, row)
    struct.pack_into("<HBB", params, 4, page, mode, columns & 0xFF)
    struct.pack_into("<H", params, 0x0A, CGA_EGA_BX)
    struct.pack_into("<BBH", params, 0x0E, memory.read(0x484, 1)[0] + 1, 0, character_lines)


def _put_initrd(
    image: LinuxImage, memory: GuestMemory, ram: Ram, cmdline: bytes, modules: Sequence[Module]
) -> tuple[int, bytes]:
    """The initrd in memory, as high as the kernel and `mem=` allow; address 0 where there is none."""
    if len(modules) > 1:
        names = modules[1].name.decode("utf-8", "replace")
        raise UsageError(f"--module {names}: a Linux bzImage gets one file besides itself, its --initrd")
    if not modules or not modules[0].data:
        return 0, b""
    initrd = modules[0].data
    name = modules[0].name.decode("utf-8", "replace")
    if modules[0].arguments:
        raise UsageError(f"--module {name}: an initrd has no arguments; give the kernel a --cmdline")
    end = min(image.header.initrd_addr_max + 1, _memory_limit(cmdline))
    at = ram.highest(len(initrd), MIB, end)
    if at is None:
        top = min(end, ram.end)
        raise UsageError(
            f"{name}: no room for its {len(initrd)} bytes between the kernel and {top:#x}; "
            + ("give more --memory" if top == ram.end else "above it the kernel takes no initrd")
        )
    memory.write(at, initrd)
    return at, initrd


def _memory_limit(cmdline: bytes) -> int:
    """What `mem=` on the command line leaves of memory, which is for boot loaders, too (boot.rst)."""
    found = re.findall(rb"(?:^| )mem=(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})([KMGTPE]?)(?= |$)", cmdline, re.I)
    if not found:
        return 1 << 64
    number, unit = found[-1]
    base = 16 if number[1:2] in b"xX" and len(number) > 1 else 8 if number[:1] == b"0" else 10
    try:
        return int(number, base) << 10 * (b" KMGTPE".index(unit.upper()) if unit else 0)
    except ValueError:  # an 8 in an octal number
        return 1 << 64


def _align(address: int, alignment: int) -> int:
    return address + alignment - 1 & -alignment


def check_entry_64(image: LinuxImage) -> None:
    """Raise GuestRefused for a kernel that has no 64-bit entry point."""
    if not image.header.has_64bit_entry:
        raise GuestRefused(
            f"{image.path}: has no 64-bit entry point (XLF_KERNEL_64 in its setup header); "
            "give --entry linux32, or no --entry"
        )
