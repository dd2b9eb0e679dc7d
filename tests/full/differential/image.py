# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory of the small machine on which one instruction runs twice: tables, stacks, and room for code.

Linear addresses below 2 MiB are physical ones; 4 to 8 MiB are not mapped; all others lead to a page of NOPs,
so that any address that a far transfer may name is one where the machines stop alike.
"""

from __future__ import annotations

from enum import Enum
from functools import cache

from pvisor.machine.memory import PAGE_BYTES

MEMORY_BYTES = 1 << 20

SCRIPTS, PARAMETERS, RESULTS = 0x1000, 0x1800, 0x1C00
"""Code with which the engine's own CPU is set up and read out, and what goes in and comes out."""
PML4, PDPT, PD, PT = 0x3000, 0x4000, 0x5000, 0x6000
PD_LEGACY, PT_LEGACY, PDPT_PAE = 0x7000, 0x8000, 0x9000
PDPT_NOP, PD_NOP, PT_NOP = 0xA000, 0x11000, 0x1E000
GDT, LDT, IDT = 0xB000, 0xC000, 0xD000
TSS = 0xE000
"""Three pages: an I/O permission bitmap of 64 Ki bits fits."""
KERNEL_STACK, TSS_STACK, IST_STACK, USER_STACK = 0x13000, 0x15000, 0x17000, 0x19000
"""Tops; each has a page or two below it."""
DATA = 0x1A000
"""Four pages for operands."""
DATA_BYTES, LOW_DATA = 4 * PAGE_BYTES, 0
"""And a page for addresses of 16 bits."""
SLOTS, SLOTS_END, SLOT_BYTES = 0x20000, 0x30000, 32
"""Each instruction that was ever tried has its own place, so that no translation of it grows stale."""
HANDLERS = 0x30000
"""Vector n is handled at HANDLERS + 16 n. All of it is NOPs, and so is what follows."""
LANDING, LOW_LANDING = 0x32000, 0x2000
"""NOPs as well; the one is the other's address in 16 bits."""
TABLES = 0x40000
"""Free frames, for page tables that a test makes."""
TABLES_END = 0x60000

NOP, JMP_NEXT, JMP_SELF = b"\x90", b"\xeb\x00", b"\xeb\xfe"
JMP_NEXT_16 = b"\x66\xeb\x00"
"""In code of 16 bits: by a 32-bit EIP, as the code lies beyond the first 64 KiB."""
HLT = b"\xf4"

P, W, U, A, D, PS = 1, 2, 4, 0x20, 0x40, 0x80
NX = 1 << 63
USUAL = P | W | A | D
SUPERVISOR_PAGES = frozenset(range(GDT, USER_STACK - 2 * PAGE_BYTES, PAGE_BYTES)) | frozenset(
    range(0, GDT, PAGE_BYTES)
) - {LOW_LANDING, LOW_DATA}


class Mode(Enum):
    """How addresses are translated: not at all, by 32-bit tables, by PAE tables, by 4-level tables."""

    FLAT = "flat"
    LEGACY = "legacy"
    PAE = "pae"
    LONG = "long"

    @property
    def is_long(self) -> bool:
        """IA-32e mode."""
        return self is Mode.LONG

    @property
    def root(self) -> int:
        """CR3."""
        return {Mode.FLAT: 0, Mode.LEGACY: PD_LEGACY, Mode.PAE: PDPT_PAE, Mode.LONG: PML4}[self]

    @property
    def cr0(self) -> int:
        """PE, MP, ET, NE; with paging also PG and WP."""
        return 0x33 | (0 if self is Mode.FLAT else 0x8001_0000)

    @property
    def cr4(self) -> int:
        """PSE, OSFXSR, and PAE where it is."""
        return 0x210 | (0x20 if self in (Mode.PAE, Mode.LONG) else 0)

    @property
    def efer(self) -> int:
        """NXE where the entries are wide; LME and LMA, and SCE."""
        return {Mode.PAE: 0x800, Mode.LONG: 0xD01}.get(self, 0)


def descriptor(base: int, limit: int, flags: int) -> bytes:
    """A segment descriptor; `flags` is its second dword without base and limit (SDM 3A 3.4.5)."""
    low = limit & 0xFFFF | (base & 0xFFFF) << 16
    high = flags & 0x00F0_FF00 | base >> 16 & 0xFF | base & 0xFF00_0000 | limit & 0xF_0000
    return (low | high << 32).to_bytes(8, "little")


def wide_descriptor(base: int, limit: int, flags: int) -> bytes:
    """A system descriptor of 16 bytes, as IA-32e mode has them."""
    return descriptor(base & 0xFFFF_FFFF, limit, flags) + (base >> 32).to_bytes(8, "little")


# Selectors of the default GDT.
CODE32, DATA0, CODE64, USER_CODE32, USER_DATA, USER_CODE64, CODE16, USER_CODE16 = (
    0x08, 0x10, 0x18, 0x23, 0x2B, 0x33, 0x38, 0xA3)  # fmt: skip
TSS_SELECTOR, LDT_SELECTOR = 0x40, 0x50
SUBJECTS = range(0x60, 0xA0, 8)
"""Descriptors that a test fills. The LDT is full of them."""
GDT_LIMIT, LDT_LIMIT, IDT_LIMIT, TSS_LIMIT = 0xFF, 0x3F, 0xFFF, 0x2068
TSS_AVAILABLE_FLAGS, TSS_BUSY_FLAGS, LDT_FLAGS = 0x8900, 0x8B00, 0x8200

FLAGS_OF = {
    CODE32: 0xC0_9B00, DATA0: 0xC0_9300, CODE64: 0xA0_9B00, CODE16: 0x80_9B00,
    USER_CODE32: 0xC0_FB00, USER_DATA: 0xC0_F300, USER_CODE64: 0xA0_FB00, USER_CODE16: 0x80_FB00,
}  # fmt: skip
"""Descriptors' flags by selector: flat, accessed."""


def gate(mode: Mode, selector: int, offset: int, kind: int, dpl: int = 0, *, present: bool = True,
         ist: int = 0, kind_extra: int = 0) -> bytes:  # fmt: skip
    """An interrupt descriptor or a call gate: 8 bytes, or 16 in IA-32e mode (SDM 3A 6.11, 6.14.1)."""
    low = offset & 0xFFFF | selector << 16
    high = offset & 0xFFFF_0000 | present << 15 | dpl << 13 | kind << 8 | ist | kind_extra
    narrow = (low | high << 32).to_bytes(8, "little")
    return narrow + (offset >> 32).to_bytes(8, "little") if mode.is_long else narrow


def _gdt(mode: Mode) -> bytes:
    table = bytearray(GDT_LIMIT + 1)
    for selector, flags in FLAGS_OF.items():
        table[selector & ~7 : (selector & ~7) + 8] = descriptor(0, 0xF_FFFF, flags)
    wide = wide_descriptor if mode.is_long else descriptor
    for selector, entry in (
        (TSS_SELECTOR, wide(TSS, TSS_LIMIT, TSS_BUSY_FLAGS)),
        (LDT_SELECTOR, wide(LDT, LDT_LIMIT, LDT_FLAGS)),
    ):
        table[selector : selector + len(entry)] = entry
    return bytes(table)


def _idt(mode: Mode) -> bytes:
    selector = CODE64 if mode.is_long else CODE32
    return b"".join(gate(mode, selector, HANDLERS + 16 * vector, 14) for vector in range(256))


def _tss(mode: Mode) -> bytes:
    tss = bytearray(0x68)
    if mode.is_long:
        tss[4:12] = TSS_STACK.to_bytes(8, "little")
        for i in range(7):
            tss[0x24 + 8 * i : 0x2C + 8 * i] = (IST_STACK - 0x200 * i).to_bytes(8, "little")
    else:
        tss[4:10] = TSS_STACK.to_bytes(4, "little") + DATA0.to_bytes(2, "little")
    tss[0x66:0x68] = (0x68).to_bytes(2, "little")
    return bytes(tss) + b"\xff" * (TSS_LIMIT + 1 - 0x68)


def index_of(address: int) -> int:
    """Where in the memory that is compared: below the code, then the tables of a test."""
    return address if address < SLOTS else address - TABLES + SLOTS


def address_of(index: int) -> int:
    """And back."""
    return index if index < SLOTS else index - SLOTS + TABLES


def _entries(values: list[int], width: int) -> bytes:
    return b"".join(value.to_bytes(width, "little") for value in values)


def _page_tables() -> dict[int, bytes]:
    identity = [
        page * PAGE_BYTES | USUAL | (0 if page * PAGE_BYTES in SUPERVISOR_PAGES else U) for page in range(512)
    ]
    nop = LANDING | P | U | A | D
    all_of = P | W | U | A
    return {
        PT: _entries(identity, 8),
        PT_NOP: _entries([nop] * 512, 8),
        PD: _entries([PT | all_of, PT_NOP | all_of, 0, 0, *[PT_NOP | all_of] * 508], 8),
        PD_NOP: _entries([PT_NOP | all_of] * 512, 8),
        PDPT: _entries([PD | all_of, *[PD_NOP | all_of] * 511], 8),
        PDPT_NOP: _entries([PD_NOP | all_of] * 512, 8),
        PML4: _entries([PDPT | all_of, *[PDPT_NOP | all_of] * 511], 8),
        PDPT_PAE: _entries([PD | P, *[PD_NOP | P] * 3], 8),
        PT_LEGACY: _entries([*identity, *[nop] * 512], 4),
        PD_LEGACY: _entries([PT_LEGACY | all_of, 0, *[PT_NOP + PAGE_BYTES | all_of] * 1022], 4),
        PT_NOP + PAGE_BYTES: _entries([nop] * 1024, 4),
    }


@cache
def default_memory(mode: Mode) -> bytes:
    """The memory below the code, before a test changes it."""
    memory = bytearray(SLOTS)
    parts = {GDT: _gdt(mode), IDT: _idt(mode), TSS: _tss(mode), **_page_tables()}
    parts[LOW_LANDING] = NOP * PAGE_BYTES
    parts[DATA] = bytes(i * 37 + (i >> 8) & 0xFF for i in range(DATA_BYTES))
    for at, data in parts.items():
        memory[at : at + len(data)] = data
    return bytes(memory)
