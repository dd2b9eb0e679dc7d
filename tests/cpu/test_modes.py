# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments with their hidden parts: 32-bit code under 64-bit paging, bases, the registers of the FPU."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, RAX, RBX, RSP, SS, Segment
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import CLI, CODE, CODE32, CODE64, DATA, HLT, NOP, STACK, STACK32, Rig, le, mov

INC_EAX = b"\x40"
"""In 64-bit code this byte is a REX prefix."""


def in_32_bit(r: Rig) -> Rig:
    r.vcpu.set_segment(CS, CODE32)
    for index in (SS, DS, ES):
        r.vcpu.set_segment(index, STACK32)
    return r


def based(segment: Segment, base: int) -> Segment:
    return Segment(segment.selector, base, segment.limit, segment.flags)


def test_32_bit_code_runs_at_cpl_1(rig: MakeRig) -> None:
    r = in_32_bit(rig(INC_EAX * 3 + CLI + INC_EAX + HLT))
    r.expect(R.CLI, 3)
    assert (r.regs.gpr[RAX], r.vcpu.n_instructions, r.vcpu.cpl) == (3, 3, 1)
    r.emulated(1)
    r.expect(R.HLT, 5)
    assert (r.regs.gpr[RAX], r.vcpu.n_instructions) == (4, 5)


def test_32_bit_pushes_take_four_bytes(rig: MakeRig) -> None:
    r = in_32_bit(rig(b"\x68" + le(0x1234_5678, 4) + HLT))
    r.expect(R.HLT)
    assert r.regs.gpr[RSP] == STACK - 4
    assert r.memory.read(STACK - 4, 4) == le(0x1234_5678, 4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("07", R.SEGMENT_LOAD), ("1f", R.SEGMENT_LOAD), ("c500", R.SEGMENT_LOAD), ("8ed8", R.SEGMENT_LOAD),
     ("ea001000001000", R.FAR_TRANSFER), ("9a001000001000", R.FAR_TRANSFER), ("cb", R.FAR_TRANSFER),
     ("cf", R.IRET), ("0f22c0", R.MOV_CR)],
    ids=["pop es", "pop ds", "lds", "mov ds", "ljmp", "lcall", "retf", "iretd", "mov cr0"],
)  # fmt: skip
def test_what_only_32_bit_code_has_traps_as_itself(rig: MakeRig, text: str, reason: R) -> None:
    r = in_32_bit(rig(NOP + bytes.fromhex(text) + HLT))
    r.memory.write(STACK, le(0x10, 4) + le(0x10, 4) + le(2, 4))
    r.memory.write(DATA, le(CODE, 4) + le(0x10, 4))
    r.regs.gpr[RAX] = 0x10 if text == "8ed8" else DATA
    assert r.run().name == reason.name
    assert (r.exit.rip, r.exit.vector) == (CODE + 1, 13)
    assert r.vcpu.n_instructions == 1


def test_a_fault_in_mid_block_of_32_bit_code(rig: MakeRig) -> None:
    r = in_32_bit(rig(INC_EAX * 4 + b"\xa1" + le(0, 4) + INC_EAX * 2 + HLT))
    r.expect(R.PAGE_FAULT, 4)
    assert r.vcpu.n_instructions == 4


def test_there_and_back_between_the_modes(rig: MakeRig) -> None:
    """The same bytes at the same address: three instructions in one mode, one in the other."""
    code = INC_EAX * 2 + NOP + HLT
    r = in_32_bit(rig(code))
    total = 0
    for segment, n in ((CODE32, 3), (CODE64, 1), (CODE32, 3), (CODE64, 1)):
        r.vcpu.set_segment(CS, segment)
        r.regs.rip = CODE
        r.expect(R.HLT, 3)
        total += n
        assert r.vcpu.n_instructions == total


def test_the_code_segments_base_applies(rig: MakeRig) -> None:
    """Code at linear CODE + 0x1000 whose EIP is CODE; other code stands at linear CODE."""
    r = in_32_bit(rig(CLI * 16))
    r.memory.write(CODE + 0x1000, INC_EAX * 3 + b"\xa1" + le(0, 4) + INC_EAX + HLT)
    r.vcpu.set_segment(CS, based(CODE32, 0x1000))
    r.expect(R.PAGE_FAULT, 3)
    assert r.vcpu.n_instructions == 3
    assert r.insn()[:5] == b"\xa1" + le(0, 4)
    r.regs.rip += 5
    r.expect(R.HLT, 9)
    assert (r.regs.gpr[RAX], r.vcpu.n_instructions) == (4, 4)


def test_exits_in_a_based_code_segment_have_its_rip(rig: MakeRig) -> None:
    r = in_32_bit(rig())
    r.memory.write(CODE + 0x1000, NOP + b"\xe6\x80" + NOP + b"\xcd\x80" + NOP + b"\x0f\x0b" + HLT)
    r.vcpu.set_segment(CS, based(CODE32, 0x1000))
    seen: list[tuple[int, int]] = []
    r.in_hook(lambda: seen.append((r.exit.rip - CODE, r.exit.virtual_ns)))
    r.expect(R.SOFT_INT, 4)
    assert seen == [(1, 1)]
    assert (r.exit.next_rip, r.vcpu.n_instructions) == (CODE + 6, 3)
    r.expect(R.INVALID_OPCODE, 7)
    assert r.vcpu.n_instructions == 4


def test_data_and_stack_segment_bases_apply_in_32_bit_code(rig: MakeRig) -> None:
    r = in_32_bit(rig(b"\xa1" + le(8, 4) + b"\x50" + HLT))  # mov eax, [8]; push eax
    r.memory.write_u64(DATA + 8, 0x5555)
    r.vcpu.set_segment(DS, based(STACK32, DATA))
    r.vcpu.set_segment(SS, based(STACK32, 0x100))
    r.expect(R.HLT)
    assert r.regs.gpr[RAX] == 0x5555
    assert r.memory.read(STACK + 0x100 - 4, 4) == le(0x5555, 4)


@pytest.mark.parametrize(("index", "prefix"), [(FS, b"\x64"), (GS, b"\x65")], ids=["fs", "gs"])
def test_fs_and_gs_bases_apply_in_64_bit_code(rig: MakeRig, index: int, prefix: bytes) -> None:
    r = rig(prefix + b"\x48\x8b\x04\x25" + le(8, 4) + HLT)  # mov rax, fs:[8]
    r.memory.write_u64(DATA + 8, 0x6666)
    r.vcpu.set_segment(index, Segment(0, DATA, 0xFFFF_FFFF, 0x00C0_B300))
    r.expect(R.HLT)
    assert r.regs.gpr[RAX] == 0x6666


def test_data_segment_bases_do_not_apply_in_64_bit_code(rig: MakeRig) -> None:
    r = rig(b"\x48\x8b\x04\x25" + le(DATA, 4) + b"\x50" + HLT)
    r.memory.write_u64(DATA, 0x7777)
    for index in (DS, ES, SS):
        r.vcpu.set_segment(index, based(STACK32, 0x5000))
    r.expect(R.HLT)
    assert r.regs.gpr[RAX] == r.word(STACK - 8) == 0x7777


def test_a_segment_reads_back_as_it_was_written(rig: MakeRig) -> None:
    r = rig(HLT)
    assert r.vcpu.segment(CS).selector & 3 == 1
    assert r.vcpu.segment(CS).flags >> 13 & 3 == 1
    for index, segment in (
        (CS, CODE32),
        (SS, STACK32),
        (FS, Segment(0x2B, 0x1234_5678_9ABC, 0xFFF, 0x00C0_F300)),
    ):
        r.vcpu.set_segment(index, segment)
        assert r.vcpu.segment(index) == segment


def test_the_start_state_is_bare(rig: MakeRig) -> None:
    r = rig(HLT)
    assert r.vcpu.rflags == 2
    assert [r.vcpu.segment(i).selector for i in (DS, ES, FS, GS)] == [0, 0, 0, 0]
    assert [r.regs.gpr[i] for i in range(16) if i != RSP] == [0] * 15
    assert (r.vcpu.cpl, r.vcpu.n_instructions, r.vcpu.virtual_ns) == (1, 0, 0)


def test_registers_are_live_both_ways(rig: MakeRig) -> None:
    # xchg each pair, so that each register is read and written: push all, then pop them in the same order
    pushes = b"".join((b"\x41" if i > 7 else b"") + bytes([0x50 | i & 7]) for i in range(16) if i != RSP)
    pops = b"".join((b"\x41" if i > 7 else b"") + bytes([0x58 | i & 7]) for i in range(16) if i != RSP)
    r = rig(pushes + pops + HLT)
    others = [i for i in range(16) if i != RSP]
    for i in others:
        r.regs.gpr[i] = 0x1111_1111_1111_1111 * i
    r.expect(R.HLT)
    assert [r.regs.gpr[i] for i in others] == [0x1111_1111_1111_1111 * i for i in reversed(others)]


def test_rflags_can_be_written(rig: MakeRig) -> None:
    r = rig(b"\x72\x01" + HLT + NOP + HLT)  # jc +1
    r.vcpu.rflags = 0x203
    r.expect(R.HLT, 4)
    assert r.vcpu.rflags & 0x201 == 0x201


def test_sse_and_the_fpu_belong_to_the_guest(rig: MakeRig) -> None:
    # cvtsi2sd xmm0, rax; addsd xmm0, xmm0; cvttsd2si rbx, xmm0; fld1; fstp qword [DATA]
    sse = b"\xf2\x48\x0f\x2a\xc0" + b"\xf2\x0f\x58\xc0" + b"\xf2\x48\x0f\x2c\xd8"
    x87 = b"\xd9\xe8" + b"\xdd\x1c\x25" + le(DATA, 4)
    r = rig(mov(RAX, 21) + sse + x87 + HLT)
    r.expect(R.HLT)
    assert r.regs.gpr[RBX] == 42
    assert r.word(DATA) == 0x3FF0_0000_0000_0000


def test_the_guests_ts_and_em_govern_its_fpu(rig: MakeRig) -> None:
    r = rig(b"\xd9\xe8" + b"\x0f\x57\xc0" + HLT)  # fld1; xorps xmm0, xmm0
    r.vcpu.set_cr0(1 << 3)  # TS: device not available
    r.expect(R.EXCEPTION, 0)
    assert r.exit.vector == 7
    r.vcpu.set_cr0(0)
    r.vcpu.set_cr4(0)  # OSFXSR clear: no SSE
    r.expect(R.INVALID_OPCODE, 2)
    r.vcpu.set_cr4(1 << 9)
    r.expect(R.HLT, 5)


def test_no_guest_bit_of_cr0_and_cr4_turns_paging_off(rig: MakeRig) -> None:
    r = rig(b"\x48\x89\x18" + HLT)
    r.vcpu.set_cr0(0)
    r.vcpu.set_cr4(0)
    r.regs.gpr[RAX] = CODE
    r.expect(R.PAGE_FAULT, 0)
    assert r.exit.error_code == 3, "write protection stays on for the kernel"


def test_into_in_mid_block_counts_what_ran(rig: MakeRig) -> None:
    # mov al, 0x7f; add al, 1; into; ten NOPs that do not run
    r = rig(b"\xb0\x7f\x04\x01\xce" + NOP * 10 + HLT)
    r.vcpu.set_segment(CS, CODE32)
    r.vcpu.set_segment(SS, STACK32)
    r.expect(R.SOFT_INT, 4)
    assert (r.exit.vector, r.vcpu.n_instructions) == (4, 2)


def test_code_of_16_bits_is_counted_as_such(rig: MakeRig) -> None:
    r = rig(b"\xb8\x01\x00" * 3 + HLT)  # mov ax, 1, three times: as 32-bit code it would be two instructions
    r.vcpu.set_segment(CS, Segment(0x09, 0, 0xFFFF, 0x0000_BB00))
    r.vcpu.set_segment(SS, STACK32)
    r.expect(R.HLT, 9)
    assert r.vcpu.n_instructions == 3


def test_a_stop_at_a_block_names_rip_and_not_the_linear_address(rig: MakeRig) -> None:
    r = rig(NOP * 4 + b"\xeb\xfe")
    r.vcpu.set_segment(CS, Segment(0x09, 0x800, 0xFFFF_FFFF, 0x00CF_BB00))
    r.vcpu.set_segment(SS, STACK32)
    r.regs.rip = CODE - 0x800
    r.v.budget = 50
    assert r.run() is R.BUDGET
    assert r.exit.rip == CODE - 0x800 + 4


def test_virtual_8086_mode_never_runs(rig: MakeRig) -> None:
    """Unicorn's IRETD checks neither ring nor long mode before it takes VM from the frame."""
    r = rig(b"\xcf")
    frame = (0x10, 0x200, 0x2_3202, 0x100, 0x300, 0, 0, 0, 0)
    r.memory.write(STACK, b"".join(le(word, 4) for word in frame))
    assert r.run() in (R.VM86, R.PAGE_FAULT)
