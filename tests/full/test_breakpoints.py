# SPDX-License-Identifier: GPL-2.0-or-later
"""Breakpoints with nonsense in the registers; what they do in earnest is in the guests (test_pc.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.cpu.vcpu import RAX, RCX, RDI, RSI, RSP
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.full.wing_rig import (
    DATA,
    KERNEL,
    KERNEL_STACK,
    UNMAPPED,
    USER_STACK,
    Start,
    WingRig,
)
from tests.qemu import pc

AT = KERNEL + 0x800
WRITE_DATA = b"\x89\x07\x90\xf4"
"""mov [rdi], eax; nop; hlt"""
DB_GATE = {1: (KERNEL + 0x100, 8, 0x8E, 0)}


def machine(insn: bytes, *, dr7: int, dr: tuple[int, ...] = (), **start: object) -> WingRig:
    """A CPU in front of an instruction, its breakpoints set."""
    rig = WingRig(Start(insn, **{"gates": DB_GATE, "gpr": {RDI: DATA, RSI: DATA}, **start}))  # type: ignore[arg-type]
    for i, address in enumerate(dr):
        rig.wing.control.write_debug(i, address)
    rig.wing.control.write_debug(7, dr7)
    return rig


def is_mapped(rig: WingRig, gva: int) -> bool:
    """Does the real MMU find the page?"""
    return rig.vcpu.translate(gva) is not None


@pytest.mark.parametrize("mode", ["long", "legacy", "unpaged"])
def test_a_write_is_trapped_behind_it_and_its_page_is_closed_again(mode: str) -> None:
    rig = machine(WRITE_DATA, mode=mode, dr7=0xD_0002, dr=(DATA,))
    rig.memory.write(DATA, b"\0" * 4)
    rig.vcpu.regs.gpr[RAX] = 0x1234
    assert rig.run() == "HLT" and rig.vcpu.exit.rip == KERNEL + 0x100
    assert rig.wing.state.dr[6] & 0xF == 1 and rig.memory.read_u32_or_0(DATA) == 0x1234
    assert not is_mapped(rig, DATA)
    rig.close()


def test_when_it_is_off_the_page_is_as_any_other() -> None:
    rig = machine(WRITE_DATA, dr7=0xD_0002, dr=(DATA,))
    rig.wing.control.write_debug(7, 0)
    assert rig.run() == "HLT" and rig.vcpu.exit.rip == AT + 3
    assert is_mapped(rig, DATA) and not rig.vcpu.v.debugging
    rig.close()


def test_rf_is_for_one_instruction() -> None:
    rig = machine(b"\x90\x90\xf4", dr7=0x22, dr=(AT, 0))
    rig.wing.interrupts.resume(0)
    assert rig.run() == "HLT" and rig.vcpu.exit.rip == AT + 2
    rig.close()
    rig = machine(b"\xeb\xfe", dr7=0x2, dr=(AT,))
    rig.wing.interrupts.resume(0)
    assert rig.run() == "HLT" and rig.vcpu.exit.rip == KERNEL + 0x100
    rig.close()


def test_a_fault_of_the_instruction_keeps_rf_in_its_frame() -> None:
    """SDM 3B 17.3.1.1: so that it may be tried again without a second stop."""
    gates = {14: (KERNEL + 0x100, 8, 0x8E, 0)}
    rig = machine(b"\x8b\x07\xf4", dr7=0x2, dr=(AT,), gates=gates, gpr={RDI: UNMAPPED})
    rig.wing.interrupts.resume(0)
    assert rig.run() == "HLT" and rig.vcpu.exit.rip == KERNEL + 0x100
    frame = rig.vcpu.regs.gpr[RSP]
    assert rig.memory.read_u64_or_0(frame + 24) & 1 << 16
    rig.close()


def test_a_watched_page_that_the_guest_has_not_mapped_is_its_page_fault() -> None:
    rig = machine(WRITE_DATA, dr7=0xD_0002, dr=(UNMAPPED,), gates={14: (KERNEL + 0x200, 8, 0x8E, 0)},
                  gpr={RDI: UNMAPPED})  # fmt: skip
    assert rig.run() == "HLT" and rig.vcpu.exit.rip == KERNEL + 0x200
    assert not rig.wing.state.dr[6] & 0xF
    rig.close()


def test_general_detect_is_cleared_by_any_debug_exception() -> None:
    rig = machine(b"\xf1\xf4", dr7=0x2400)
    assert rig.run() == "HLT" and rig.wing.state.dr[7] == 0x400
    rig.close()


ADDRESSES = st.one_of(
    st.sampled_from((AT, AT + 2, DATA, DATA + 1, UNMAPPED, KERNEL_STACK, USER_STACK - 0x100, 1 << 47, 0x80)),
    st.integers(0, (1 << 64) - 1),
)
INSNS = st.sampled_from([bytes.fromhex(text) for text in (
    "8907 90 f4", "a4 90 f4", "f3a4 90 f4", "50 58 f4", "f3aa 90 f4", "e680 90 f4", "9c 9d f4", "0f0b",
    "cc f4", "0f0107 f4", "8707 f4", "0faf07 f4", "0fae07 f4", "c8100000 c9 f4", "f36e f4", "0f21c0 f4",
    "fa fb f4",
)])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    insn=INSNS, dr=st.tuples(ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES), dr7=st.integers(0, (1 << 32) - 1),
    de=st.booleans(), mode=st.sampled_from(("long", "pae", "legacy", "unpaged")), user=st.booleans(),
    tf=st.booleans(), index=st.sampled_from((DATA, UNMAPPED - 1, KERNEL_STACK, AT)),
    count=st.sampled_from((0, 1, 5)),
)  # fmt: skip
def test_no_setting_is_too_mad(
    insn: bytes, dr: tuple[int, ...], dr7: int, de: bool, mode: str, user: bool, tf: bool, index: int,
    count: int,
) -> None:  # fmt: skip
    gpr = {RDI: index, RSI: index ^ 0x1000, RCX: count}
    gates = dict.fromkeys((1, 3, 6, 13, 14), (KERNEL + 256, 8, 238, 0))
    rig = machine(insn, mode=mode, user=user, gpr=gpr, gates=gates, cr4=8 if de else 0, dr7=dr7, dr=dr,
                  rflags=0x102 if tf else 2, iopl=3)  # fmt: skip
    assert rig.run()
    if not rig.vcpu.v.watching:
        for i in range(4):
            kind = dr7 >> 16 + 4 * i & 3
            assert not (dr7 >> 2 * i & 3 and kind in (1, 3) and dr[i] < 1 << 20 and is_mapped(rig, dr[i]))
    rig.close()


@pytest.mark.needs_gcc
@pytest.mark.parametrize("remedy", ["none", "registers"])
@pytest.mark.parametrize("bits", [32, 64])
def test_they_work_with_every_remedy(tmp_path: Path, bits: int, remedy: str) -> None:
    elf = pc.build("breakpoints", bits, tmp_path)
    result = run_domain(DomainConfig(elf, "full", remedy=remedy, max_insns=5_000_000))
    assert result.output.decode() == (pc.GUESTS / f"breakpoints-{bits}.txt").read_text()


@pytest.mark.parametrize("natives", [(), ("soft_int", "iret")], ids=["python", "native"])
def test_rf_ends_with_int_n(natives: tuple[str, ...]) -> None:
    """The frame is not to exempt the instruction behind it."""
    gates = {0x31: (KERNEL + 0x100, 8, 0x8E, 0)}
    rig = WingRig(Start(b"\xcd\x31\x90\xf4", gates=gates))
    rig.wing.interrupts.resume(0)
    assert rig.run(natives) == "HLT" and rig.vcpu.exit.rip == KERNEL + 0x100
    assert not rig.memory.read_u64_or_0(rig.vcpu.regs.gpr[RSP] + 16) & 1 << 16
    rig.close()
