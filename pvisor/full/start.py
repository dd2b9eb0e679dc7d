# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of a PC guest: PVH entry, 32-bit, flat, no paging, EBX at hvm_start_info.

Source: xen/include/public/arch-x86/hvm/start_info.h and docs/misc/pvh.pandoc (start info version 1). Twin of
para/start.py.
"""

from __future__ import annotations

import struct

from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import RBX
from pvisor.errors import GuestRefused
from pvisor.full.cpu import FullWing
from pvisor.machine.cmdline import cmdline_bytes
from pvisor.machine.elf import ElfImage
from pvisor.machine.memory import GuestMemory

PVH_NOTE = ("Xen", 18)
"""XEN_ELFNOTE_PHYS32_ENTRY."""
START_MAGIC = 0x336E_C578
E820_RAM, E820_RESERVED = 1, 2
LOW_RAM_END, EBDA_END, ROM_START, MIB = 0x9_FC00, 0xA_0000, 0xF_0000, 0x10_0000
CMDLINE_MAX = 4095
AREA_BYTES = 0x2000
"""Room for start info, memory map and command line."""
AREAS = (0x9_C000, 0x1000, 0x7_0000, 0x4_0000)
"""Where they may lie in low memory; the first that the kernel leaves free is taken."""


def pvh_entry(image: ElfImage) -> int:
    """The 32-bit entry point that the PVH note names. Refuses an ELF without one."""
    note = image.note(*PVH_NOTE)
    if note is None or len(note.desc) not in (4, 8):
        raise GuestRefused(
            f"{image.path}: no PC kernel that can be entered (no PVH note, XEN_ELFNOTE_PHYS32_ENTRY); "
            "try --mode para"
        )
    entry = int.from_bytes(note.desc, "little")
    if entry >> 32:
        raise GuestRefused(f"{image.path}: its PVH entry point {entry:#x} is above 4 GiB")
    return entry


def memory_map(memory_bytes: int) -> list[tuple[int, int, int]]:
    """(address, size in bytes, type) of each range, as a PC with this much RAM has them."""
    entries = [(0, LOW_RAM_END, E820_RAM), (LOW_RAM_END, EBDA_END - LOW_RAM_END, E820_RESERVED),
               (ROM_START, MIB - ROM_START, E820_RESERVED)]  # fmt: skip
    if memory_bytes > MIB:
        entries.append((MIB, memory_bytes - MIB, E820_RAM))
    return entries


def load(image: ElfImage, memory: GuestMemory, vcpu: UnicornVcpu, wing: FullWing, *, cmdline: str) -> None:
    """Put the kernel into memory and the vCPU at its PVH entry.

    Raises GuestRefused for a kernel that cannot run here, UsageError for a command line that is too long.
    """
    entry = pvh_entry(image)
    words = cmdline_bytes(cmdline, CMDLINE_MAX)
    for segment in image.segments:
        end = segment.paddr + segment.memory_bytes
        if end > memory.size_bytes:
            raise GuestRefused(
                f"the kernel needs memory up to {end:#x}, the domain has {memory.size_bytes:#x}; "
                "give more --memory"
            )
        memory.write(segment.paddr, segment.data)
    area = next((a for a in AREAS if not _occupied(image, a)), None)
    if area is None:
        raise GuestRefused(f"{image.path}: leaves no room below 640 KiB for the PVH start info")
    _write_start_info(memory, area, words)
    wing.segments.start()
    vcpu.set_cr0(wing.state.cr0)
    vcpu.set_cr4(wing.state.cr4)
    vcpu.rflags = 2
    vcpu.v.mirror_if = 1
    vcpu.regs.gpr[RBX] = area
    vcpu.regs.rip = entry


def _occupied(image: ElfImage, area: int) -> bool:
    return any(s.paddr < area + AREA_BYTES and area < s.paddr + s.memory_bytes for s in image.segments)


def _write_start_info(memory: GuestMemory, area: int, cmdline: bytes) -> None:
    """struct hvm_start_info, then hvm_memmap_table_entry's, then the command line."""
    entries = memory_map(memory.size_bytes)
    map_at = area + 64
    cmdline_at = area + 0x1000
    memory.write(
        area, struct.pack("<IIIIQQQQII", START_MAGIC, 1, 0, 0, 0, cmdline_at, 0, map_at, len(entries), 0)
    )
    memory.write(map_at, b"".join(struct.pack("<QQII", *entry, 0) for entry in entries))
    memory.write(cmdline_at, cmdline + b"\0")
