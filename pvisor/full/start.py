# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of a PC guest: which boot protocol its kernel speaks, what lies in memory, how it is entered.

Multiboot is in multiboot.py, Linux in linux_boot.py; PVH is here, by docs/misc/pvh.pandoc and
xen/include/public/arch-x86/hvm/start_info.h (start info version 1). Twin of para/start.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pvisor.cpu.entry import BootTables, Entry
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import DS, ES, FS, GS, RAX, RBX, RSI, SS
from pvisor.errors import GuestRefused, UsageError
from pvisor.full import firmware, linux_boot, multiboot
from pvisor.full.firmware import E820_RAM, LOW_RAM_END, MIB, MemoryRange
from pvisor.full.kernel_file import loaded_segments, multiboot_header, protocol_of, pvh_entry
from pvisor.full.linux_boot import LinuxImage
from pvisor.full.placement import Ram
from pvisor.full.state import CR0_ET, CR0_PE, CR0_PG, CR4_PAE, EFER_LME
from pvisor.machine.cmdline import cmdline_bytes
from pvisor.machine.elf import ElfImage, Segment
from pvisor.machine.memory import MIN_BYTES, PAGE_BYTES, GuestMemory, too_little
from pvisor.machine.modules import Module

if TYPE_CHECKING:
    from pvisor.full.cpu import FullWing

START_MAGIC = 0x336E_C578
START_INFO_BYTES, MAP_ENTRY_BYTES, MODULE_ENTRY_BYTES = 56, 24, 32
CMDLINE_MAX = 4095
LOWEST_INFO = 0x1000
"""Below are the interrupt table and the BIOS data area."""


def load(
    image: ElfImage,
    memory: GuestMemory,
    vcpu: UnicornVcpu,
    wing: FullWing,
    *,
    cmdline: str,
    modules: Sequence[Module] = (),
    entry: str = "auto",
) -> None:
    """Put kernel and modules into memory, and the vCPU at its entry by a boot protocol (kernel_file.ENTRIES).

    Raises GuestRefused for a kernel that cannot run here, UsageError for a command line that is too long,
    modules that do not fit and memory that is no PC's.
    """
    signature, _, _, features = wing.cpuid.leaf(1)
    tables = enter(image, memory, vcpu, signature, features, cmdline=cmdline, modules=modules, entry=entry)
    wing.segments.start()
    vcpu.set_cr0(wing.state.cr0)
    vcpu.set_cr4(wing.state.cr4)
    vcpu.rflags = 2
    vcpu.v.mirror_if = 1
    if tables is not None:
        _load_tables(wing, tables)


def enter(
    image: ElfImage,
    memory: GuestMemory,
    vcpu: UnicornVcpu,
    cpu_signature: int,
    cpu_features: int,
    *,
    cmdline: str,
    modules: Sequence[Module],
    entry: str = "auto",
) -> BootTables | None:
    """Fill the memory and set the registers of the entry; segments and control registers are the mode's work.

    What it gives back is what they must be, where that is not flat 32-bit mode without tables.
    `cpu_signature`, `cpu_features`: EAX and EDX of CPUID.1, for the firmware's tables. Raises as `load`.
    """
    rsdp = firmware.install(memory, cpu_signature, cpu_features)
    start = place(image, memory, cmdline=cmdline, modules=modules, rsdp=rsdp, entry=entry)
    gpr = vcpu.regs.gpr
    gpr[RAX], gpr[RBX], gpr[RSI] = start.eax, start.ebx, start.rsi
    vcpu.regs.rip = start.rip
    return start.tables


def _load_tables(wing: FullWing, tables: BootTables) -> None:
    """The steps of a boot loader: GDT, 64-bit mode if there are page tables, then the segments."""
    state, segments, control = wing.state, wing.segments, wing.control
    state.gdtr.base, state.gdtr.limit = tables.gdt, tables.gdt_limit
    if tables.root:
        control.write(4, CR4_PAE)
        control.write(3, tables.root)
        state.efer = EFER_LME
        control.write_cr0(CR0_PE | CR0_ET | CR0_PG)
    segments.load_code(tables.code, segments.descriptor(tables.code), 0)
    for index in (SS, DS, ES, FS, GS):
        segments.load(index, tables.data)


def place(
    image: ElfImage, memory: GuestMemory, *,
    cmdline: str, modules: Sequence[Module], rsdp: int, entry: str = "auto",
) -> Entry:  # fmt: skip
    """Put the kernel, its modules and what it is told into memory. Raises as `load` does."""
    check_memory(image, memory.size_bytes, entry)
    protocol = protocol_of(image, entry)
    memory_map = firmware.memory_map(memory.size_bytes)
    ram = Ram((r.start, r.start + r.n_bytes) for r in memory_map if r.type == E820_RAM)
    if isinstance(image, LinuxImage) and protocol != "multiboot":
        words = cmdline_bytes(cmdline, min(CMDLINE_MAX, image.header.cmdline_size))
        _put_kernel(image, image.loaded, memory, ram)
        linux = linux_boot.place(
            image, memory, ram, memory_map,
            cmdline=words, modules=modules, rsdp=rsdp, is_64bit=protocol == "linux64",
        )  # fmt: skip
        return _with_room(image, linux)
    words = cmdline_bytes(cmdline, CMDLINE_MAX)
    header = multiboot_header(image, entry)
    if header is not None:
        kernel = multiboot.kernel_of(image, header)
        end = _put_kernel(image, kernel.segments, memory, ram)
        placed = [
            (_put_module(module, memory, ram.lowest(len(module.data), end)), module) for module in modules
        ]
        string = multiboot.kernel_string(image, words)
        info = multiboot.write_info(memory, ram, memory_map, string, placed)
        rip, eax = kernel.entry, multiboot.BOOT_MAGIC
    else:
        rip, eax = pvh_entry(image), 0
        _put_kernel(image, image.segments, memory, ram)
        placed = [
            (_put_module(module, memory, ram.highest(len(module.data), MIB)), module) for module in modules
        ]
        info = _write_start_info(memory, ram, memory_map, words, placed, rsdp)
    return _with_room(image, None if info is None else Entry(rip, eax, info))


def _with_room(image: ElfImage, entry: Entry | None) -> Entry:
    if entry is None:
        raise GuestRefused(f"{image.path}: leaves no room in memory for what it is told at its start")
    return entry


def check_memory(image: ElfImage, memory_bytes: int, entry: str = "auto") -> None:
    """Refuse a domain that has too little memory for the kernel, saying how much it takes.

    Raises GuestRefused for what is no PC kernel, too.
    """
    segments = loaded_segments(image, entry)
    last = max((s.paddr + s.memory_bytes for s in segments if s.memory_bytes), default=0)
    end = last + PAGE_BYTES - 1 & -PAGE_BYTES
    if end <= firmware.ram_end(memory_bytes) and memory_bytes >= MIN_BYTES:
        return
    least_bytes = max(end, MIN_BYTES)
    if firmware.ram_end(least_bytes) < end or least_bytes > firmware.SMALL_RAM_BYTES - firmware.TABLES_BYTES:
        least_bytes += firmware.TABLES_BYTES
    if least_bytes > firmware.MAX_RAM_BYTES:
        raise GuestRefused(
            f"{image.path}: needs memory up to {last:#x}, "
            f"and a PC has {firmware.MAX_RAM_BYTES >> 20}M at most"
        )
    raise too_little(image.path, least_bytes, memory_bytes)


def _put_kernel(image: ElfImage, segments: Sequence[Segment], memory: GuestMemory, ram: Ram) -> int:
    """Load a kernel's segments; the address behind the last."""
    for segment in segments:
        start, n_bytes = segment.paddr, segment.memory_bytes
        if not n_bytes:
            continue
        hole = ram.hole_in(start, n_bytes)
        if hole is not None:
            raise GuestRefused(
                f"{image.path}: wants to be loaded at {hole[0]:#x}, where a PC has no RAM "
                f"(it has none from {hole[0]:#x} to {hole[1]:#x})"
            )
        ram.take(start, n_bytes)
        memory.write(start, segment.data)
        bss, end = start + len(segment.data), min(start + n_bytes, LOW_RAM_END)
        if bss < end:  # low memory is not empty: firmware has been there
            memory.write(bss, bytes(end - bss))
    return max((s.paddr + s.memory_bytes for s in segments), default=0)


def _put_module(module: Module, memory: GuestMemory, at: int | None) -> int:
    if at is None:
        raise UsageError(
            f"{module.name.decode('utf-8', 'replace')}: no room for its {len(module.data)} bytes "
            "in the guest's memory; give more --memory"
        )
    memory.write(at, module.data)
    return at


def _write_start_info(
    memory: GuestMemory,
    ram: Ram,
    memory_map: Sequence[MemoryRange],
    cmdline: bytes,
    modules: Sequence[tuple[int, Module]],
    rsdp: int,
) -> int | None:
    """struct hvm_start_info, the memory map, the modules, the strings; its address, or None without room."""
    strings = [cmdline, *(module.arguments for _, module in modules)]
    fixed_bytes = START_INFO_BYTES + MAP_ENTRY_BYTES * len(memory_map) + MODULE_ENTRY_BYTES * len(modules)
    n_bytes = fixed_bytes + sum(len(string) + 1 for string in strings)
    at = ram.highest(n_bytes, LOWEST_INFO, LOW_RAM_END)
    at = ram.highest(n_bytes, MIB) if at is None else at
    if at is None:
        return None
    addresses = []
    string_at = at + fixed_bytes
    for string in strings:
        addresses.append(string_at)
        string_at += len(string) + 1
    map_at = at + START_INFO_BYTES
    modules_at = map_at + MAP_ENTRY_BYTES * len(memory_map)
    info = struct.pack(
        "<IIIIQQQQII", START_MAGIC, 1, 0, len(modules), modules_at if modules else 0, addresses[0], rsdp,
        map_at, len(memory_map), 0,
    )  # fmt: skip
    info += b"".join(struct.pack("<QQII", r.start, r.n_bytes, r.type, 0) for r in memory_map)
    for (start, module), address in zip(modules, addresses[1:], strict=True):
        info += struct.pack("<QQQQ", start, len(module.data), address if module.arguments else 0, 0)
    memory.write(at, info + b"".join(string + b"\0" for string in strings))
    return at
