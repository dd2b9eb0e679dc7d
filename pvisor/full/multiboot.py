# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of a PC guest by Multiboot 1: its header in the kernel's file, and the information it gets.

Source: the Multiboot Specification, version 0.6.96. Where it leaves room, hw/i386/multiboot.c of QEMU is
followed: the command line begins with the kernel's file name, information lies at 0x9000, modules follow
the kernel, and a wish for a video mode is passed over. Unlike QEMU no boot device is claimed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pvisor.errors import GuestRefused
from pvisor.full.firmware import E820_RAM, EBDA_START, MIB, MemoryRange
from pvisor.full.placement import Ram
from pvisor.machine.elf import PF_R, PF_W, PF_X, ElfImage, RawImage, Segment
from pvisor.machine.memory import GuestMemory
from pvisor.machine.modules import Module

HEADER_MAGIC, BOOT_MAGIC = 0x1BAD_B002, 0x2BAD_B002
SEARCHED_BYTES = 8192
WANTS_VIDEO, HAS_ADDRESSES = 1 << 2, 1 << 16
KNOWN_DEMANDS = 0b111
"""Bits 0 to 15 are demands: pages, memory information, video mode are known (spec 3.1.2)."""
DEMANDS = 0xFFFF

HAS_MEMORY, HAS_CMDLINE, HAS_MODULES, HAS_MMAP, HAS_LOADER_NAME = 1 << 0, 1 << 2, 1 << 3, 1 << 6, 1 << 9
INFO_AT = 0x9000
INFO_BYTES, MODULE_BYTES = 88, 16
LOADER_NAME = b"pvisor"
MULTIBOOT2_MAGIC, SEARCHED_BYTES_2 = b"\xd6\x50\x52\xe8", 32768
Addresses = tuple[int, int, int, int, int]
"""header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr (spec 3.1.3)."""


@dataclass(frozen=True, slots=True)
class Header:
    """A Multiboot header: its flags, where it lies in the file, and the address fields if it has them."""

    flags: int
    offset: int
    addresses: Addresses | None


@dataclass(frozen=True, slots=True)
class Kernel:
    """What is loaded, and where it is entered (guest-physical)."""

    segments: tuple[Segment, ...]
    entry: int


def find_header(content: bytes) -> Header | None:
    """The first header wholly inside the first 8192 bytes, at a multiple of 4, whose checksum is right."""
    searched = content[:SEARCHED_BYTES]
    at = searched.find(HEADER_MAGIC.to_bytes(4, "little"))
    while at >= 0:
        if at % 4 == 0 and at + 12 <= len(searched):
            _, flags, checksum = struct.unpack_from("<III", searched, at)
            n_bytes = 32 if flags & HAS_ADDRESSES else 12
            if not HEADER_MAGIC + flags + checksum & 0xFFFF_FFFF and at + n_bytes <= len(searched):
                fields = struct.unpack_from("<5I", searched, at + 12) if flags & HAS_ADDRESSES else None
                return Header(flags, at, fields)
        at = searched.find(HEADER_MAGIC.to_bytes(4, "little"), at + 1)
    return None


def has_multiboot2(content: bytes) -> bool:
    """Is there a header of Multiboot 2 (at a multiple of 8 in the first 32768 bytes)?"""
    return any(
        content.startswith(MULTIBOOT2_MAGIC, at)
        for at in range(0, min(len(content), SEARCHED_BYTES_2) - 15, 8)
    )


def is_entered_by(image: ElfImage, header: Header | None) -> bool:
    """Can this kernel be entered by its Multiboot header? An ELF for x86-64 only with the address fields."""
    return header is not None and (header.addresses is not None or _is_elf32(image))


def kernel_of(image: ElfImage, header: Header) -> Kernel:
    """What to load, by the address fields or else by an ELF32's program headers.

    Raises GuestRefused for fields that contradict each other or the file, and for unknown demands.
    """
    unknown = header.flags & DEMANDS & ~KNOWN_DEMANDS
    if unknown:
        raise GuestRefused(f"{image.path}: its Multiboot header demands what is unknown (flags {unknown:#x})")
    if header.addresses is not None:
        return _by_addresses(image, header.offset, header.addresses)
    if not _is_elf32(image):
        raise GuestRefused(
            f"{image.path}: a Multiboot header without address fields needs a 32-bit ELF file "
            "(entry is in 32-bit mode); give it a PVH note, or link it as elf32-i386"
        )
    return Kernel(image.segments, _physical_entry(image))


def _is_elf32(image: ElfImage) -> bool:
    return not isinstance(image, RawImage) and image.bits == 32


def _physical_entry(image: ElfImage) -> int:
    """The ELF entry point is virtual; the segment that holds it says where that lies in memory."""
    for s in image.segments:
        if s.flags & PF_X and s.vaddr <= image.entry < s.vaddr + s.memory_bytes:
            return image.entry - s.vaddr + s.paddr
    return image.entry


def _by_addresses(image: ElfImage, offset: int, addresses: Addresses) -> Kernel:
    """One segment: the file from load_addr to load_end_addr, zeroes up to bss_end_addr (spec 3.1.3)."""
    header_addr, load_addr, load_end, bss_end, entry = addresses
    before = header_addr - load_addr
    if before < 0:
        raise _contradiction(image, "load_addr is above header_addr")
    start = offset - before
    if start < 0:
        raise _contradiction(image, "load_addr is before the file's first byte")
    n_bytes = len(image.content) - start if load_end == 0 else load_end - load_addr
    if n_bytes < 0:
        raise _contradiction(image, "load_end_addr is below load_addr")
    if start + n_bytes > len(image.content):
        raise _contradiction(image, "load_end_addr is beyond the file's last byte")
    memory_bytes = n_bytes if bss_end == 0 else bss_end - load_addr
    if memory_bytes < n_bytes:
        raise _contradiction(image, "bss_end_addr is below load_end_addr")
    data = image.content[start : start + n_bytes]
    segment = Segment(load_addr, load_addr, data, memory_bytes, PF_R | PF_W | PF_X)
    return Kernel((segment,), entry)


def _contradiction(image: ElfImage, words: str) -> GuestRefused:
    return GuestRefused(f"{image.path}: its Multiboot header is wrong: {words}")


def write_info(
    memory: GuestMemory,
    ram: Ram,
    memory_map: Sequence[MemoryRange],
    cmdline: bytes,
    modules: Sequence[tuple[int, Module]],
) -> int | None:
    """Write the information structure and what it points to; its address for EBX, or None without room.

    `modules` come with the addresses at which they lie.
    """
    strings = [cmdline, LOADER_NAME, *(module_string(module) for _, module in modules)]
    mmap = b"".join(struct.pack("<IQQI", 20, r.start, r.n_bytes, r.type) for r in memory_map)
    fixed_bytes = INFO_BYTES + len(mmap) + MODULE_BYTES * len(modules)
    n_bytes = fixed_bytes + sum(len(string) + 1 for string in strings)
    at = ram.lowest(n_bytes, INFO_AT)
    if at is None:
        return None
    addresses = []
    string_at = at + fixed_bytes
    for string in strings:
        addresses.append(string_at)
        string_at += len(string) + 1
    mmap_at = at + INFO_BYTES
    modules_at = mmap_at + len(mmap)
    list_of_modules = b"".join(
        struct.pack("<IIII", start, start + len(module.data), address, 0)
        for (start, module), address in zip(modules, addresses[2:], strict=True)
    )
    flags = HAS_MEMORY | HAS_CMDLINE | HAS_MODULES | HAS_MMAP | HAS_LOADER_NAME
    info = bytearray(INFO_BYTES)
    struct.pack_into("<III", info, 0, flags, EBDA_START >> 10, upper_kib(memory_map))
    struct.pack_into("<III", info, 16, addresses[0], len(modules), modules_at)
    struct.pack_into("<II", info, 44, len(mmap), mmap_at)
    struct.pack_into("<I", info, 64, addresses[1])
    memory.write(at, bytes(info) + mmap + list_of_modules + b"".join(string + b"\0" for string in strings))
    return at


def module_string(module: Module) -> bytes:
    """`FILE ARGUMENTS`, as the string of a module is by custom."""
    return module.name + b" " + module.arguments if module.arguments else module.name


def kernel_string(image: ElfImage, cmdline: bytes) -> bytes:
    """The command line: the kernel's file name, a blank, what the user gave."""
    return os.fsencode(image.path) + b" " + cmdline


def upper_kib(memory_map: Sequence[MemoryRange]) -> int:
    """KiB of RAM from 1 MiB up to the first hole (mem_upper)."""
    return next((r.n_bytes >> 10 for r in memory_map if r.start == MIB and r.type == E820_RAM), 0)
