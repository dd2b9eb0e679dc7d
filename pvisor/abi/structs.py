# SPDX-License-Identifier: GPL-2.0-or-later
"""The structs that guest and hypervisor both see in memory.

Fixed-width members, natural alignment, no padding that has no name. `layout.py` computes the offsets; the
tests compare them with those of gcc and of cffi.
"""

from __future__ import annotations

from pvisor.abi.areas import console, cpu, events, grants, itself, memory, power, rings, store, time
from pvisor.abi.model import CType, Field, Struct

ELF_NOTE = Struct(
    "pv_elf_note",
    "The body of the ELF note, by which a guest says what it needs.",
    (
        Field("abi_version", CType.U32, "the ABI version the guest was written for"),
        Field("reserved", CType.U32, "0"),
        Field("needed_features", CType.U64, "the features without which it cannot run, one bit each"),
    ),
    grows=True,
    end="the note's body size says where it ends",
)

START_INFO = Struct(
    "pv_start_info",
    "What a guest is told at its start; RDI holds the address. Written once, before the guest runs.",
    (
        Field("magic", CType.U64, "PV_START_MAGIC"),
        Field("abi_version", CType.U32, "the ABI version of the hypervisor"),
        Field("size_bytes", CType.U32, "size of this struct; a later version may be longer"),
        Field("features", CType.U64, "the features offered, one bit each"),
        Field("hypercall_page", CType.GVA, "the first hypercall page"),
        Field("memory_bytes", CType.U64, "size of the domain's memory, which begins at GPA 0"),
        Field("kernel_start", CType.GPA, "first byte of the kernel image"),
        Field("kernel_end", CType.GPA, "first byte after the kernel image, rounded up to a page"),
        Field("stack_bottom", CType.GVA, "lowest byte of the stack; the page below is not mapped"),
        Field("stack_top", CType.GVA, "first byte after the stack; RSP at the start"),
        Field("root_table", CType.GPA, "the top-level page table (PML4)"),
        Field("first_free", CType.GPA, "frames from here to memory_bytes are unused"),
        Field("cmdline", CType.GVA, "the command line, ended by NUL"),
        Field("cmdline_bytes", CType.U32, "its length without the NUL"),
        Field("domid", CType.U32, "the domain's number"),
        Field("shared_info", CType.GVA, "the shared page, struct pv_shared_info"),
        Field("shared_info_gpa", CType.GPA, "its frame"),
        Field("n_vcpus", CType.U32, "virtual CPUs of this domain; this is number 0"),
        Field("n_hypercall_pages", CType.U32, "hypercall pages, one after the other"),
    ),
    grows=True,
    end="`size_bytes` says where it ends",
)

TIME = Struct(
    "pv_time",
    "A moment, as TIME_GET gives it.",
    (
        Field("system_ns", CType.U64, "virtual nanoseconds since the domain started; never goes back"),
        Field("wall_s", CType.U64, "UTC: whole seconds since 1970-01-01T00:00:00Z"),
        Field("wall_ns", CType.U32, "UTC: nanoseconds within the second, 0 to 999999999"),
        Field("reserved", CType.U32, "0"),
    ),
    grows=False,
)

_AREAS = (itself, console, time, power, cpu, memory, events, grants, store, rings)

STRUCTS: tuple[Struct, ...] = (
    ELF_NOTE, START_INFO, TIME,
    *(row for area in _AREAS for row in area.STRUCTS),
)  # fmt: skip
