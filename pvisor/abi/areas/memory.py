# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about page tables and frames."""

from __future__ import annotations

from pvisor.abi.errnos import EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, EPERM
from pvisor.abi.features import BALLOON, PAGING
from pvisor.abi.model import Constant, CType, Errno, Field, Hypercall, Struct, gva_in, gva_out, u32, u64

_FLUSH = "Flushing translations"
_LIMITS = "Bounds of calls about memory"
_MAP = "Types of memory"

FLUSH_PAGE = Constant("PV_FLUSH_PAGE", 1, "the translation of one page, on all virtual CPUs", _FLUSH)
FLUSH_ALL = Constant("PV_FLUSH_ALL", 2, "all translations, on all virtual CPUs", _FLUSH)

TABLE_UPDATE_MAX = Constant("PV_TABLE_UPDATE_MAX", 512, "most updates that one TABLE_UPDATE does", _LIMITS)
TABLE_WALKS_MAX = Constant(
    "PV_TABLE_WALKS_MAX", 16, "after so many tables made or given up TABLE_UPDATE and MEMORY_RELEASE stop",
    _LIMITS,
)  # fmt: skip
MEMORY_FRAMES_MAX = Constant(
    "PV_MEMORY_FRAMES_MAX", 512, "most frames of one MEMORY_POPULATE or MEMORY_RELEASE", _LIMITS
)

MEMORY_RAM = Constant("PV_MEMORY_RAM", 1, "frames that were unused at the start", _MAP)
MEMORY_KERNEL = Constant("PV_MEMORY_KERNEL", 2, "the kernel image", _MAP)
MEMORY_GIVEN = Constant(
    "PV_MEMORY_GIVEN", 3, "made for the start: guard page, stack, start info and first tables", _MAP
)
MEMORY_GRANTS = Constant("PV_MEMORY_GRANTS", 4, "the grant window: frames of others", _MAP)

CONSTANTS: tuple[Constant, ...] = (
    FLUSH_PAGE, FLUSH_ALL, TABLE_UPDATE_MAX, TABLE_WALKS_MAX, MEMORY_FRAMES_MAX,
    MEMORY_RAM, MEMORY_KERNEL, MEMORY_GIVEN, MEMORY_GRANTS,
)  # fmt: skip

UPDATE = Struct(
    "pv_entry_update",
    "A change of one entry of a page table.",
    (
        Field("gpa", CType.GPA, "where the entry lies: a multiple of 8, in a table"),
        Field("entry", CType.U64, "what it shall be"),
    ),
    grows=False,
)

RANGE = Struct(
    "pv_memory_range",
    "A range of guest-physical addresses.",
    (
        Field("gpa", CType.GPA, "its first address"),
        Field("n_bytes", CType.U64, "its size, a multiple of 4096"),
        Field("type", CType.U32, "PV_MEMORY_RAM, ..."),
        Field("reserved", CType.U32, "0"),
    ),
    grows=False,
)

STRUCTS: tuple[Struct, ...] = (UPDATE, RANGE)

_TABLE_ERRORS: dict[Errno, str] = {
    EBUSY: "it is in use otherwise: mapped writable, lent to another domain for writing, or a table of "
    "another level",
    ENOENT: "it was given back by MEMORY_RELEASE",
}


def _entry_errors(bad: str, missing: str) -> dict[Errno, str]:
    return {
        EINVAL: bad,
        ENOENT: missing,
        EBUSY: "`entry` maps a frame writable that is a table, or names as a table a frame that is mapped "
        "writable or a table of another level",
        EPERM: "`entry` maps a frame of the grant window writable that was granted for reading only",
    }


_ENTRY = (
    "the entry names what is neither RAM nor in the grant window, sets bit 7 (large page, PAT), makes a "
    "frame of the grant window executable or a table, or names as a new table a frame with such an entry"
)

_BAD_FRAME = "`gpa` is no multiple of 4096 or outside RAM"

# In examples: a frame becomes an empty table of level 1; a frame goes.
_PIN_TABLE = (
    "if (pv_entry_set(table, table | 1 | 1ull << 63, PV_FLUSH_PAGE) < 0 || pv_table_pin(table, 1) < 0)\n"
    "    give_up();"
)
_RELEASE_GONE = (
    "uint64_t gone = frame(0);\n"
    "if (pv_entry_set(gone, 0, PV_FLUSH_PAGE) < 0 || pv_memory_release(&gone, 1) != 1)\n"
    "    give_up();"
)

ROOT_SET = Hypercall(
    nr=0x50,
    name="ROOT_SET",
    summary="Use other page tables on this virtual CPU.",
    args=(
        u64("root", "GPA of the top-level table (PML4) for the kernel"),
        u64("user_root", "the same for while user code runs; 0: `root`"),
    ),
    result="0; all translations of this virtual CPU are forgotten",
    errors={
        EINVAL: "an argument is no multiple of 4096 or outside RAM, or an entry of a table that would be new "
        "may not be as it is (see TABLE_PIN)",
        **_TABLE_ERRORS,
    },
    notes=(
        "The code that calls, its stack and the hypercall page's return must be mapped alike in both roots: "
        "the next instruction is fetched by the new one. The hypervisor's hole is in every root.",
        "A root that a virtual CPU uses stays a table until that virtual CPU uses another.",
        "After an error nothing has changed.",
    ),
    feature=PAGING,
    replaces="`MOV` to CR3, which traps",
    example=(
        "if (pv_root_set(start->root_table, 0) < 0) /* nothing but a flush, as this one is used already */\n"
        "    give_up();"
    ),
)

ENTRY_SET = Hypercall(
    nr=0x51,
    name="ENTRY_SET",
    summary="Change the last-level entry that maps an address.",
    args=(
        u64("gva", "an address of the page, in the kernel root of this virtual CPU"),
        u64("entry", "what the entry shall be"),
        u32("flags", "0, `PV_FLUSH_PAGE` or `PV_FLUSH_ALL`: what is to be forgotten after it"),
    ),
    result="0",
    errors=_entry_errors(
        "`gva` is not canonical or in the hypervisor's hole, `flags` is none of those, or " + _ENTRY,
        "there is no last-level table for `gva`, or the frame was given back (MEMORY_RELEASE), or no grant "
        "is mapped there",
    ),
    notes=(
        "Where nothing was mapped before, and where an entry only gets more rights, no flush is needed.",
        "An entry with bit 0 clear may hold anything.",
        "The CPU sets bits 5 (accessed) and 6 (dirty) in entries; the hypervisor's own stores on behalf of "
        "the guest do not.",
        "After an error nothing has changed.",
    ),
    feature=PAGING,
    replaces="a store into the table, which may fault, and `INVLPG`, which traps",
    example=(
        "uint64_t page = frame(0); /* mapped one to one; from now on it can only be read */\n"
        "if (pv_entry_set(page, page | 1 | 1ull << 63, PV_FLUSH_PAGE) < 0)\n"
        "    give_up();"
    ),
)

TABLE_UPDATE = Hypercall(
    nr=0x52,
    name="TABLE_UPDATE",
    summary="Change many entries of page tables, of any level.",
    args=(
        gva_in("updates", "what to change, in this order", struct="pv_entry_update"),
        u32("n", "how many"),
        u32("flags", "0 or `PV_FLUSH_ALL`: whether all is to be forgotten after them"),
    ),
    result="how many were done, from the first on. Fewer than `n`: the next one has an error (call again "
    "with the rest, to learn which), or the call has reached a bound (call again with the rest)",
    errors={
        EFAULT: "`updates` does not point to `n` of them (at most `PV_TABLE_UPDATE_MAX`) that can be read",
        **_entry_errors(
            "`flags` is none of those, or `n` has bits above bit 31; of the first update: `gpa` is no "
            "multiple of 8, outside RAM, or in the entries 256 to 271 of a top-level table, or " + _ENTRY,
            "of the first update: `gpa` is in no table, or its entry names a frame that was given back "
            "(MEMORY_RELEASE), or where no grant is mapped",
        ),
    },
    notes=(
        "A call does at most `PV_TABLE_UPDATE_MAX` updates, and none after `PV_TABLE_WALKS_MAX` frames "
        "have become tables or ceased to be ones in it. With `n` 0 `updates` is not looked at.",
        "An entry of level 2 to 4 may name a frame that is no table yet: it becomes one, if its own 512 "
        "entries may be as they are (see TABLE_PIN).",
        "When an error comes first in a call nothing has changed, and nothing is flushed.",
        "Without `PV_FLUSH_ALL` a translation that was taken away may hold on until the next flush. The "
        "hypervisor itself flushes where isolation needs it.",
    ),
    feature=PAGING,
    replaces="stores into the tables, the faults by which the hypervisor sees them, and the faults that fill "
    "its shadow again",
    example=(
        "uint64_t table = frame(0);\n"
        f"{_PIN_TABLE}\n"
        "struct pv_entry_update maps[2] = {{table, frame(1) | 1ull << 63 | 3},\n"
        "                                  {table + 8, frame(2) | 1ull << 63 | 3}};\n"
        "for (uint32_t n_done = 0; n_done < 2;) {\n"
        "    int64_t n = pv_table_update(maps + n_done, 2 - n_done, 0); /* all new: no flush */\n"
        "    if (n < 0)\n"
        "        give_up();\n"
        "    n_done += (uint32_t)n;\n"
        "}"
    ),
)

TABLE_PIN = Hypercall(
    nr=0x53,
    name="TABLE_PIN",
    summary="Make a frame a page table, and keep it one.",
    args=(
        u64("gpa", "the frame"),
        u32("level", "1: its entries map pages; 2, 3: they name tables of the level below; 4: a root"),
    ),
    result="0",
    errors={
        EINVAL: f"{_BAD_FRAME}, `level` is not 1 to 4, or an entry that is present may not be as it is",
        EEXIST: "it is pinned already",
        EPERM: "an entry maps a frame of the grant window writable that was granted for reading only",
        EBUSY: "the frame is mapped writable, lent to another domain for writing, or used as a table of "
        "another level; or an entry maps a table writable",
        ENOENT: "the frame, or one that an entry maps, was given back by MEMORY_RELEASE; or no grant is "
        "mapped where an entry says",
    },
    notes=(
        "While a frame is a table no entry may map it writable, and it changes by TABLE_UPDATE and "
        "ENTRY_SET alone. It may be mapped for reading.",
        "The frame is looked at as it is: 512 entries, each as TABLE_UPDATE would have it. But an entry of "
        "level 2 to 4 must name a frame that is a table of the level below already: begin at the bottom, "
        "or with an empty table.",
        "Of a root the entries 256 to 271 are the hypervisor's: it writes the first, the others must not be "
        "present.",
        "After an error nothing has changed.",
    ),
    feature=PAGING,
    replaces="nothing: a fully virtualized guest's tables are found when they are used",
    example=(
        f"uint64_t table = frame(0); /* filled with zeros; nobody may write to it any more */\n{_PIN_TABLE}"
    ),
)

TABLE_UNPIN = Hypercall(
    nr=0x54,
    name="TABLE_UNPIN",
    summary="Let a frame be no page table any more, once nothing uses it as one.",
    args=(u64("gpa", "the frame"),),
    result="0",
    errors={
        EINVAL: _BAD_FRAME,
        ENOENT: "it is not pinned",
    },
    notes=(
        "A table that nothing uses (no entry, no pin, no virtual CPU's root) ceases to be one when its frame "
        "gets another use: mapped writable, given back, lent, a table of another level. Until then what its "
        "entries map counts as mapped. So take the frames of an address space back from the root downwards, "
        "and no call is longer than one table.",
        "When a root ceases to be one, its entry 256 is 0.",
    ),
    feature=PAGING,
    replaces="nothing",
    example=(
        "uint64_t table = frame(0);\n"
        f"{_PIN_TABLE}\n"
        "if (pv_table_unpin(table) < 0) /* and it is a plain frame again: */\n"
        "    give_up();\n"
        "if (pv_entry_set(table, table | 3 | 1ull << 63, 0) < 0)\n"
        "    give_up();"
    ),
)

TLB_FLUSH = Hypercall(
    nr=0x55,
    name="TLB_FLUSH",
    summary="Forget translations, on all virtual CPUs of the domain.",
    args=(
        u32("what", "`PV_FLUSH_PAGE` or `PV_FLUSH_ALL`"),
        u64("gva", "PAGE: an address of the page; else not looked at"),
    ),
    result="0",
    errors={EINVAL: "`what` is none of those"},
    notes=("The hypervisor may forget more than it is asked to, at any time.",),
    feature=PAGING,
    replaces="`INVLPG` or `MOV` to CR3, which trap, and an interrupt to each other CPU",
    example=("if (pv_tlb_flush(PV_FLUSH_PAGE, frame(0)) < 0)\n    give_up();"),
)

_FRAMES_DONE = (
    "how many were done, from the first on. Fewer than `n`: the next one has an error (call again with the "
    "rest, to learn which), or the call has reached a bound (call again with the rest)"
)
_GPAS = "`gpas` does not point to `n` of them (at most `PV_MEMORY_FRAMES_MAX`) that can be read"

MEMORY_POPULATE = Hypercall(
    nr=0x56,
    name="MEMORY_POPULATE",
    summary="Take frames again that were given back.",
    args=(gva_in("gpas", "their addresses, 8 bytes each"), u32("n", "how many")),
    result=_FRAMES_DONE,
    errors={
        EFAULT: _GPAS,
        EINVAL: "`n` has bits above bit 31; of the first: no multiple of 4096, or outside RAM",
        EEXIST: "of the first: it is there",
        ENOMEM: "of the first: the domain has as many frames as MEMORY_TARGET allows",
    },
    notes=(
        "The frames are filled with zeros and mapped nowhere.",
        "A call takes at most `PV_MEMORY_FRAMES_MAX`. With `n` 0 `gpas` is not looked at.",
    ),
    feature=BALLOON,
    replaces="a balloon driver's device",
    example=(
        f"{_RELEASE_GONE}\n"
        "if (pv_memory_populate(&gone, 1) != 1 || pv_entry_set(gone, gone | 3 | 1ull << 63, 0) < 0)\n"
        "    give_up();"
    ),
)

MEMORY_RELEASE = Hypercall(
    nr=0x57,
    name="MEMORY_RELEASE",
    summary="Give frames back to the host.",
    args=(gva_in("gpas", "their addresses, 8 bytes each"), u32("n", "how many")),
    result=_FRAMES_DONE,
    errors={
        EFAULT: _GPAS,
        EINVAL: "`n` has bits above bit 31; of the first: no multiple of 4096, or outside RAM",
        ENOENT: "of the first: it was given back already",
        EBUSY: "of the first: an entry of a table maps it, it is a table, or it is lent to another domain or "
        "the shared page",
    },
    notes=(
        "The content is lost. Until MEMORY_POPULATE no entry may name the frame.",
        "A call takes at most `PV_MEMORY_FRAMES_MAX`, and none after `PV_TABLE_WALKS_MAX` of them were "
        "tables until then. With `n` 0 `gpas` is not looked at.",
    ),
    feature=BALLOON,
    replaces="a balloon driver's device",
    example=_RELEASE_GONE,
)

MEMORY_TARGET = Hypercall(
    nr=0x58,
    name="MEMORY_TARGET",
    summary="How many frames shall the domain have?",
    args=(),
    result="the number of frames that the host wants the domain to have, at most",
    notes=(
        "At the start it is the number of frames of RAM. When the host changes it `PV_VIRQ_BALLOON` is "
        "raised. A domain that has more keeps them, but gets no others (MEMORY_POPULATE).",
    ),
    feature=BALLOON,
    replaces="a balloon driver's device",
    example=(
        "if ((uint64_t)pv_memory_target() * PV_PAGE_BYTES < start->memory_bytes)\n"
        "    puts_prompt(); /* the host wants some of it back */"
    ),
)

MEMORY_MAP = Hypercall(
    nr=0x59,
    name="MEMORY_MAP",
    summary="What lies where in guest-physical memory?",
    args=(
        gva_out("ranges", "where the answer goes, in ascending order", struct="pv_memory_range"),
        u32("n", "for how many there is room"),
    ),
    result="how many ranges there are; the first `n` of them have been written",
    errors={
        EFAULT: "`ranges` does not point to room for what would be written; nothing has been",
        EINVAL: "`n` has bits above bit 31",
    },
    notes=(
        "It is the picture of the start: it does not follow what the guest does with its frames. Frames that "
        "were given back are part of it.",
        "With `n` 0 `ranges` is not looked at.",
    ),
    feature=PAGING,
    replaces="the memory map of the PVH start info, or of the firmware",
    example=(
        "struct pv_memory_range map[8];\n"
        "if (pv_memory_map(map, 8) < 1 || map[0].type != PV_MEMORY_RAM)\n"
        "    give_up();"
    ),
)

CALLS: tuple[Hypercall, ...] = (
    ROOT_SET, ENTRY_SET, TABLE_UPDATE, TABLE_PIN, TABLE_UNPIN, TLB_FLUSH,
    MEMORY_POPULATE, MEMORY_RELEASE, MEMORY_TARGET, MEMORY_MAP,
)  # fmt: skip
