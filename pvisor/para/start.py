# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of a paravirtual guest: the start state that hypercalls.md describes.

Twin of full/start.py, where a guest is entered as a PC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pvisor.abi import constants, features
from pvisor.abi.layout import pack, sizeof, unpack
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import RDI, RSP
from pvisor.errors import GuestRefused
from pvisor.machine.cmdline import cmdline_bytes
from pvisor.machine.elf import ElfImage
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.memory import MIN_BYTES, PAGE_BYTES, GuestMemory, host_memory_bytes, too_little
from pvisor.para import segments
from pvisor.para import tables as page_tables
from pvisor.para.hypercalls import N_CALLS
from pvisor.para.shared import SharedPage
from pvisor.para.tables import HYPERCALL_PAGE_GVA, N_HYPERCALL_PAGES, Hole, PageRange

TRANSPORTS = {"syscall": b"\x0f\x05", "vmcall": b"\x0f\x01\xc1", "int": b"\xcd\x82"}
"""The instruction by which a stub of the hypercall page calls. SYSCALL is the default: the cheapest here."""

STACK_BYTES = constants.STACK_BYTES.number
GIVEN_BYTES = PAGE_BYTES + STACK_BYTES + 3 * PAGE_BYTES
"""Behind the kernel: guard page, stack, shared page, start info, command line."""
CMDLINE_MAX = constants.CMDLINE_MAX.number
ABI_VERSION = constants.ABI_VERSION.number
PARA_NOTE, PC_NOTE = constants.ELF_NOTE_TYPE.number, constants.ELF_NOTE_TYPE_PC.number
"""Types of the pvisor note: of a paravirtual kernel, and of a PC kernel for mode hybrid."""


def hypercall_pages(transport: str) -> bytes:
    """A stub for each number: `mov eax, number`, the transport, `ret`; INT3 fills up."""
    stub_bytes, n_calls = constants.STUB_BYTES.number, N_CALLS
    stubs = (
        b"\xb8" + number.to_bytes(4, "little") + TRANSPORTS[transport] + b"\xc3" for number in range(n_calls)
    )
    return b"".join(stub.ljust(stub_bytes, b"\xcc") for stub in stubs)


def offered_features(transport: str) -> int:
    """The feature bits that a domain gets."""
    offered = sum(row.mask for row in features.FEATURES if row is not features.RAW_VMCALL)
    return offered | features.RAW_VMCALL.mask if transport == "vmcall" else offered


def abi_note(image: ElfImage, note_type: int = PARA_NOTE) -> dict[str, int] | None:
    """The guest's ABI note (struct pv_elf_note), or None. Refuses a note that is too short."""
    note = image.note(str(constants.ELF_NOTE_NAME.value), note_type)
    if note is None:
        return None
    if len(note.desc) < sizeof("pv_elf_note"):
        raise GuestRefused(
            f"{image.path}: its pvisor note has {len(note.desc)} bytes, not {sizeof('pv_elf_note')}"
        )
    return unpack("pv_elf_note", note.desc)


def check_note(image: ElfImage, offered: int) -> None:
    """Refuse a guest that needs another mode, a newer ABI or a feature that is not offered."""
    note = abi_note(image)
    if note is None or image.bits != 64:
        raise GuestRefused(
            f"{image.path}: no paravirtual guest (a 64-bit ELF with a pvisor note); try --mode full"
        )
    check_needs(image, note, offered)


def check_needs(image: ElfImage, note: dict[str, int], offered: int) -> None:
    """Refuse a guest whose note asks for a newer ABI or a feature that is not offered."""
    if note["abi_version"] > ABI_VERSION or note["abi_version"] < 1:
        raise GuestRefused(
            f"{image.path}: needs version {note['abi_version']} of the ABI, this pvisor has {ABI_VERSION}"
        )
    missing = note["needed_features"] & ~offered
    if missing:
        names = ", ".join(
            next((f.name for f in features.FEATURES if f.mask == 1 << bit), f"number {bit}")
            for bit in range(64)
            if missing >> bit & 1
        )
        hint = "; --transport vmcall offers RAW_VMCALL" if "RAW_VMCALL" in names else ""
        raise GuestRefused(f"{image.path}: needs features that are not offered: {names}{hint}")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where things lie after the kernel image; every address is a GPA and a GVA."""

    kernel_start: int
    kernel_end: int
    stack_bottom: int
    stack_top: int
    start_info: int
    cmdline: int
    shared: int
    tables: int
    first_free: int


def place(image: ElfImage, memory_bytes: int) -> tuple[Placement, list[PageRange]]:
    """Lay out memory: guard page, stack, start-info, command line, tables. Refuses what does not fit."""
    check_memory(image, memory_bytes)
    page_tables.check_placement(image.segments, memory_bytes)
    high = _high(image)
    kernel_start = min(s.paddr for s in image.segments)
    kernel_end = _kernel_end(image)
    stack_bottom = kernel_end + PAGE_BYTES
    stack_top = stack_bottom + STACK_BYTES
    tables = kernel_end + GIVEN_BYTES
    first_free = tables + page_tables.n_tables(memory_bytes, high) * PAGE_BYTES
    shared, start_info, cmdline = (stack_top + i * PAGE_BYTES for i in range(3))
    at = Placement(
        kernel_start, kernel_end, stack_bottom, stack_top, start_info, cmdline, shared, tables, first_free
    )
    return at, high


def check_memory(image: ElfImage, memory_bytes: int) -> None:
    """Refuse a domain that has too little memory for the kernel and its start, saying how much it takes."""
    high, given_end, host_bytes = _high(image), _kernel_end(image) + GIVEN_BYTES, host_memory_bytes()
    if memory_bytes > host_bytes:
        return  # which nobody can give
    least_bytes = max(memory_bytes, MIN_BYTES)
    while True:  # more memory takes more tables, but far less than it gives
        n_tables = page_tables.n_tables(least_bytes, high) if given_end <= host_bytes else 0
        end = given_end + n_tables * PAGE_BYTES
        if end <= least_bytes:
            break
        least_bytes = end
    if least_bytes > memory_bytes:
        raise too_little(image.path, least_bytes, memory_bytes)


def _high(image: ElfImage) -> list[PageRange]:
    """The segments that are seen elsewhere than where they lie."""
    return [
        PageRange(
            s.vaddr & ~0xFFF, s.paddr & ~0xFFF, _n_pages(s.paddr, s.memory_bytes), page_tables.flags_of(s)
        )
        for s in image.segments
        if s.vaddr != s.paddr
    ]


def _kernel_end(image: ElfImage) -> int:
    return max(s.paddr + s.memory_bytes for s in image.segments) + PAGE_BYTES - 1 & ~(PAGE_BYTES - 1)


def _n_pages(address: int, n_bytes: int) -> int:
    return (address + n_bytes - 1 >> 12) - (address >> 12) + 1


@dataclass(frozen=True, slots=True)
class Started:
    """What `load` has made, for the rooms: where things lie, the hole, the shared page, the first root."""

    placement: Placement
    hole: Hole
    shared: SharedPage
    root: int


def load(image: ElfImage, memory: GuestMemory, frames: HypervisorFrames, vcpus: Sequence[UnicornVcpu], *,
         cmdline: str, transport: str, offered: int, domid: int) -> Started:  # fmt: skip
    """Put the kernel into memory and the first vCPU into the start state.

    Raises GuestRefused for a kernel that cannot run here, UsageError for a command line that is too long.
    """
    check_note(image, offered)
    words = cmdline_bytes(cmdline, CMDLINE_MAX)
    at, high = place(image, memory.size_bytes)
    for segment in image.segments:
        memory.write(segment.paddr, segment.data)
    hole = page_tables.build_hole(frames, segments.gdt_page(len(vcpus)), hypercall_pages(transport))
    root = _build_tables(image, memory, at, high, hole)
    shared = SharedPage(memory, at.shared)
    shared.clear()
    memory.write(at.cmdline, words)
    memory.write(at.start_info, pack(
        "pv_start_info", magic=constants.START_MAGIC.number, abi_version=ABI_VERSION,
        size_bytes=sizeof("pv_start_info"), features=offered, hypercall_page=HYPERCALL_PAGE_GVA,
        memory_bytes=memory.size_bytes, kernel_start=at.kernel_start, kernel_end=at.kernel_end,
        stack_bottom=at.stack_bottom, stack_top=at.stack_top, root_table=root, first_free=at.first_free,
        cmdline=at.cmdline, cmdline_bytes=len(words), domid=domid,
        shared_info=at.shared, shared_info_gpa=at.shared, n_vcpus=len(vcpus),
        n_hypercall_pages=N_HYPERCALL_PAGES,
    ))  # fmt: skip
    for one in vcpus:
        _enter_ring_1(one, root, offered)
    vcpu = vcpus[0]
    vcpu.regs.gpr[RDI] = at.start_info
    vcpu.regs.gpr[RSP] = at.stack_top
    vcpu.regs.rip = image.entry
    return Started(at, hole, shared, root)


def _enter_ring_1(vcpu: UnicornVcpu, root: int, offered: int) -> None:
    """Segments, tables and the way out, as every vCPU has them."""
    vcpu.set_root(root)
    segments.start_segments(vcpu, segments.gdt_gva(vcpu.vcpu_id))
    vcpu.rflags = 2
    vcpu.virtual_if = True  # the guest holds upcalls off by the mask in its shared page
    vcpu.v.guards_user = 1
    vcpu.v.hypercall_page = HYPERCALL_PAGE_GVA
    vcpu.v.hypercall_page_bytes = PAGE_BYTES * N_HYPERCALL_PAGES
    vcpu.v.raw_vmcall = bool(offered & features.RAW_VMCALL.mask)


def _build_tables(
    image: ElfImage, memory: GuestMemory, at: Placement, high: list[PageRange], hole: Hole
) -> int:
    builder = page_tables.TableBuilder(memory, at.tables)
    n_frames = memory.size_bytes // PAGE_BYTES
    builder.map(PageRange(PAGE_BYTES, PAGE_BYTES, n_frames - 1, page_tables.READ_WRITE))
    for segment in image.segments:
        gpa = segment.paddr & ~0xFFF
        builder.map(
            PageRange(gpa, gpa, _n_pages(segment.paddr, segment.memory_bytes), page_tables.flags_of(segment))
        )
    for pages in high:
        builder.map(pages)
    guard = at.stack_bottom - PAGE_BYTES
    builder.map(PageRange(guard, guard, 1, 0))
    n_read_only = (at.first_free - at.start_info) // PAGE_BYTES
    builder.map(PageRange(at.start_info, at.start_info, n_read_only, page_tables.READ_ONLY))
    builder.set_root_entry(page_tables.HOLE_SLOT, hole.root_entry)
    end = builder.finish()
    if end != at.first_free:
        raise RuntimeError(f"tables end at {end:#x}, not at {at.first_free:#x}")
    return builder.root
