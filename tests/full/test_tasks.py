# SPDX-License-Identifier: GPL-2.0-or-later
"""Task switches where something is out of the ordinary; the others are the guest `tasks` (test_pc.py)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.cpu.vcpu import CS, RAX
from pvisor.full.state import CR0_TS
from tests.full.wing_rig import (
    CODE0,
    DATA,
    DATA0,
    IDT,
    KERNEL,
    KERNEL_STACK,
    LDT,
    TSS,
    UNMAPPED,
    Start,
    WingRig,
    descriptor,
)

TASK = 0xB0
"""The first selector behind the usual ones."""
CALL, JMP, IRET = b"\x9a" + struct.pack("<IH", 0, TASK), b"\xea" + struct.pack("<IH", 0, TASK), b"\xcf"
NT, VM, IOPL_3 = 1 << 14, 1 << 17, 3 << 12


def tss(*, eip: int = KERNEL + 0x400, eflags: int = 2, cr3: int = 0x1000, cs: int = CODE0, data: int = DATA0,
        ldt: int = 0, trap: int = 0) -> bytes:  # fmt: skip
    """A 32-bit TSS (SDM 3A figure 7-2)."""
    general = (0x1111, 0, 0, 0, KERNEL_STACK, 0, 0, 0)
    segments = (data, cs, DATA0, data, data, data)
    head = (0, KERNEL_STACK, DATA0, 0, 0, 0, 0)
    return struct.pack("<26I", *head, cr3, eip, eflags, *general, *segments, ldt, trap)


def machine(insn: bytes, image: bytes, *, at: int = DATA, limit: int = 0x67, mode: str = "legacy",
            rflags: int = 2, access: int = 0x89, gates: dict[int, tuple[int, int, int, int]] | None = None,
            gdt: Sequence[int] = ()) -> WingRig:  # fmt: skip
    """A CPU in front of a far transfer to the task whose TSS this is."""
    entries = [descriptor(access, 0, at, limit), *gdt]
    rig = WingRig(Start(insn, mode=mode, gdt=entries, rflags=rflags, gates=gates or {}, word_bytes=4))
    rig.memory.write(at & 0xF_FFFF, image)
    return rig


@pytest.mark.parametrize("mode", ["legacy", "pae", "unpaged"])
@pytest.mark.parametrize("insn", [CALL, JMP])
def test_a_task_runs(insn: bytes, mode: str) -> None:
    rig = machine(insn, tss(), mode=mode)
    assert rig.run() == "HLT" and rig.vcpu.exit.rip == KERNEL + 0x400
    assert rig.vcpu.regs.gpr[RAX] == 0x1111
    assert rig.wing.state.tr.selector == TASK and rig.wing.state.cr0 & CR0_TS
    assert bool(rig.wing.interrupts.rflags & NT) is (insn == CALL)
    rig.close()


def test_no_task_in_long_mode() -> None:
    rig = WingRig(Start(b"\x48\xff\x2e", gpr={6: DATA}, gdt=[descriptor(0x89, 0, DATA, 0x67), 0]))
    rig.memory.write(DATA, struct.pack("<QH", 0, TASK))
    assert rig.run() == "HLT" and rig.wing.state.tr.selector != TASK
    rig.close()


@pytest.mark.parametrize(("at", "limit"), [(UNMAPPED, 0x67), (UNMAPPED - 0x20, 0x67)])
def test_a_tss_that_is_not_mapped_is_a_page_fault_of_the_old_task(at: int, limit: int) -> None:
    rig = machine(CALL, tss(), at=at, limit=limit)
    tr, saved = rig.wing.state.tr.selector, rig.memory.read(TSS, 0x68)
    assert rig.run() == "HLT"
    assert rig.wing.state.tr.selector == tr and rig.wing.state.cr2 >> 12 == UNMAPPED >> 12
    assert rig.memory.read(TSS, 0x68) == saved, "nothing was saved"
    rig.close()


def test_an_old_tss_that_is_read_only_changes_nothing() -> None:
    entries = [descriptor(0x89, 0, DATA, 0x67)]
    rig = WingRig(Start(CALL, mode="legacy", gdt=entries, pages={TSS: 2}))
    rig.wing.state.cr0 |= 1 << 16
    rig.memory.write(DATA, tss())
    assert rig.run() == "HLT"
    assert rig.wing.state.tr.selector != TASK and rig.wing.state.cr2 >> 12 == TSS >> 12
    rig.close()


def test_rings_1_and_2_and_virtual_8086_tasks_are_refused_by_name() -> None:
    rig = machine(CALL, tss(cs=CODE0 | 1))
    assert "rings 1 and 2" in rig.run()
    rig.close()
    rig = machine(CALL, tss(eflags=2 | VM))
    assert "virtual-8086" in rig.run()
    rig.close()


def test_a_task_whose_tables_map_nothing_ends_in_a_triple_fault() -> None:
    rig = machine(JMP, tss(cr3=UNMAPPED))
    rig.memory.write(UNMAPPED, bytes(4096))
    assert rig.run().startswith("triple fault")
    rig.close()


def test_pointers_to_page_directories_with_reserved_bits_are_a_fault_of_the_new_task() -> None:
    rig = machine(JMP, tss(cr3=0x6000), mode="pae")
    rig.memory.write(0x6000, struct.pack("<Q", 1 | 1 << 62) * 4)
    rig.run()
    assert rig.wing.state.tr.selector == TASK
    rig.close()


def test_without_a_task_register_there_is_nothing_to_come_back_to() -> None:
    rig = machine(JMP, tss())
    rig.wing.state.tr.selector = 0
    assert rig.run() == "HLT" and rig.vcpu.exit.rip == KERNEL + 0x400
    assert rig.memory.read(0x8000, 8) == bytes(8), "the null descriptor is no TSS"
    rig.close()


def test_the_local_enables_of_dr7_are_cleared() -> None:
    rig = machine(JMP, tss())
    rig.wing.state.dr[7] = 0x4FF
    assert rig.run() == "HLT" and rig.wing.state.dr[7] == 0x4AA
    rig.close()


def test_a_back_link_beyond_the_limit_of_the_tss_is_ts() -> None:
    rig = machine(IRET, tss(), rflags=2 | NT)
    rig.wing.state.tr.limit = 0
    assert rig.run() == "HLT"
    rig.close()


SELECTORS = (0, 8, 0x10, 0x18, 0x23, 0x2B, 0xB0, 0xB8)
WORDS = st.one_of(st.integers(0, 0xFFFF_FFFF), st.sampled_from((*SELECTORS, KERNEL)))


@settings(max_examples=150, deadline=None)
@given(
    insn=st.sampled_from((CALL, JMP, IRET, b"\xcd\x31", b"\x0f\x0b")),
    image=st.lists(WORDS, min_size=26, max_size=26),
    access=st.sampled_from((0x81, 0x83, 0x89, 0x8B, 0x85, 0xE5, 0x09)),
    limit=st.sampled_from((0, 0x2B, 0x66, 0x67, 0xF_FFFF)),
    at=st.sampled_from((DATA, UNMAPPED, LDT, IDT, 0xF_FFFF0, 0xFFFF_FF80)),
    rflags=st.sampled_from((2, 2 | NT)),
    mode=st.sampled_from(("legacy", "pae", "unpaged")),
)  # fmt: skip
def test_no_task_state_is_too_mad(
    insn: bytes, image: list[int], access: int, limit: int, at: int, rflags: int, mode: str
) -> None:
    gates = dict.fromkeys((6, 8, 10, 13, 0x31), (0, TASK, 0xE5, 0))
    rig = machine(insn, b"", at=at, limit=limit, mode=mode, rflags=rflags, access=access, gates=gates)
    start = at & 0xF_FFFF
    rig.memory.write(start, struct.pack("<26I", *image)[: 0x10_0000 - start])
    rig.memory.write(TSS, struct.pack("<I", TASK))
    assert rig.run()
    assert rig.vcpu.cpl in (1, 3) and rig.vcpu.segment(CS).flags >> 13 & 3
    rig.close()
