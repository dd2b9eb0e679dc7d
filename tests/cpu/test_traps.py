# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest kernel is deprivileged for real: what traps, as what, where, and what runs silently.

Each row is one instruction of the Intel SDM, volume 2. The guest runs at CPL 1 with a GDT limit of 0, so
every use of a selector that is not null faults, too.
"""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import CS, RAX, RDX, RSP, SS, Segment
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import ACCESSED_DIRTY, CODE, DATA, HLT, NOP, PRESENT, STACK, USER, Rig, le, mov32

GP, UD = 13, 6
SELECTOR = 0x10

PRIVILEGED: dict[str, tuple[str, R, int]] = {
    # name: bytes, reason, error code; RAX = DATA, and a far pointer to SELECTOR lies there
    "cli": ("fa", R.CLI, 0),
    "sti": ("fb", R.STI, 0),
    "hlt": ("f4", R.HLT, 0),
    "mov rax, cr0": ("0f20c0", R.MOV_CR, 0),
    "mov cr0, rax": ("0f22c0", R.MOV_CR, 0),
    "mov rax, cr2": ("0f20d0", R.MOV_CR, 0),
    "mov cr3, rax": ("0f22d8", R.MOV_CR, 0),
    "mov cr4, rax": ("0f22e0", R.MOV_CR, 0),
    "mov rax, cr8": ("440f20c0", R.MOV_CR, 0),
    "mov cr8, rax": ("440f22c0", R.MOV_CR, 0),
    "mov rax, dr0": ("0f21c0", R.MOV_DR, 0),
    "mov dr7, rax": ("0f23f8", R.MOV_DR, 0),
    "rdmsr": ("0f32", R.RDMSR, 0),
    "wrmsr": ("0f30", R.WRMSR, 0),
    "invlpg [rax]": ("0f0138", R.INVLPG, 0),
    "lgdt [rax]": ("0f0110", R.DESCRIPTOR_TABLE, 0),
    "lidt [rax]": ("0f0118", R.DESCRIPTOR_TABLE, 0),
    "lldt ax": ("0f00d0", R.DESCRIPTOR_TABLE, 0),
    "ltr ax": ("0f00d8", R.DESCRIPTOR_TABLE, 0),
    "lmsw ax": ("0f01f0", R.LMSW, 0),
    "lmsw [rax]": ("0f0130", R.LMSW, 0),
    "clts": ("0f06", R.CLTS, 0),
    "swapgs": ("0f01f8", R.SWAPGS, 0),
    "wbinvd": ("0f09", R.CACHE, 0),
    "invd": ("0f08", R.CACHE, 0),
    "xsetbv": ("0f01d1", R.XSETBV, 0),
    "iretq to ring 0": ("48cf", R.IRET, SELECTOR),
    "retfq": ("48cb", R.FAR_TRANSFER, SELECTOR),
    "retf 8": ("48ca0800", R.FAR_TRANSFER, SELECTOR),
    "call far [rax]": ("48ff18", R.FAR_TRANSFER, SELECTOR),
    "jmp far [rax]": ("48ff28", R.FAR_TRANSFER, SELECTOR),
    "mov ds, dx": ("8eda", R.SEGMENT_LOAD, SELECTOR),
    "mov es, dx": ("8ec2", R.SEGMENT_LOAD, SELECTOR),
    "mov ss, dx": ("8ed2", R.SEGMENT_LOAD, SELECTOR),
    "mov fs, dx": ("8ee2", R.SEGMENT_LOAD, SELECTOR),
    "mov gs, [rax+8]": ("8e6808", R.SEGMENT_LOAD, SELECTOR),
    "lss esp, [rax+4]": ("0fb26004", R.SEGMENT_LOAD, SELECTOR),
    "lfs ecx, [rax+4]": ("0fb44804", R.SEGMENT_LOAD, SELECTOR),
    "lgs ecx, [rax+4]": ("0fb54804", R.SEGMENT_LOAD, SELECTOR),
    "sysretq": ("480f07", R.SYSRET, 0),
    "sysexit": ("0f35", R.SYSEXIT, 0),
}

INVALID = {
    "rdpmc": "0f33", "monitor": "0f01c8", "mwait": "0f01c9", "stac": "0f01cb", "clac": "0f01ca",
    "invpcid rax, [rax]": "660f388200", "vmrun": "0f01d8", "rsm": "0faa", "ud2": "0f0b", "vmmcall": "0f01d9",
    "vmcall": "0f01c1", "vmresume": "0f01c3", "mov cs, dx": "8eca", "into": "ce", "push es": "06",
    "rdfsbase rax": "f3480faec0", "wrgsbase rax": "f3480faed8", "xgetbv": "0f01d0",
    "rdrand rax": "480fc7f0", "rdseed rax": "480fc7f8",
}  # fmt: skip

SILENT = {
    "pushfq": "9c", "popfq": "9d", "sgdt [rsi]": "0f0106", "sidt [rsi]": "0f010e", "sldt eax": "0f00c0",
    "str eax": "0f00c8", "smsw eax": "0f01e0", "mov eax, cs": "8cc8", "mov eax, ss": "8cd0",
    "lar eax, edx": "0f02c2", "lsl eax, edx": "0f03c2", "verr dx": "0f00e2", "verw dx": "0f00ea",
}  # fmt: skip


def prepared(r: Rig) -> Rig:
    """A far pointer at [RAX], the same selector in DX, and a frame for IRETQ and RETFQ on the stack."""
    r.memory.write(DATA, le(CODE, 8) + le(SELECTOR, 8))
    frame = [CODE, SELECTOR, 2, STACK, 0x18]
    r.memory.write(STACK, b"".join(le(word, 8) for word in frame))
    r.regs.gpr[RAX], r.regs.gpr[RDX], r.regs.gpr[6] = DATA, SELECTOR, DATA + 64
    return r


@pytest.mark.parametrize("name", PRIVILEGED)
def test_a_privileged_instruction_traps_at_itself(rig: MakeRig, name: str) -> None:
    text, reason, error_code = PRIVILEGED[name]
    code = bytes.fromhex(text)
    r = prepared(rig(NOP * 2 + code + HLT))
    before = list(r.regs.gpr)
    assert r.run().name == reason.name
    assert (r.exit.rip, r.regs.rip) == (CODE + 2, CODE + 2)
    assert (r.exit.vector, r.exit.error_code) == (GP, error_code)
    assert r.vcpu.cpl == 1
    assert list(r.regs.gpr) == before, "a trap changes no register"
    assert r.vcpu.n_instructions == r.exit.virtual_ns == 2
    if r.exit.n_insn:
        assert r.insn().startswith(code)


def test_iretd_takes_a_frame_of_32_bit_words(rig: MakeRig) -> None:
    r = rig(b"\xcf" + HLT)
    r.memory.write(STACK, b"".join(le(word, 4) for word in (CODE, SELECTOR, 2, STACK, 0x18)))
    r.expect(R.IRET, 0)
    assert r.exit.error_code == SELECTOR


@pytest.mark.parametrize("name", INVALID)
def test_what_this_cpu_does_not_have_is_an_invalid_opcode(rig: MakeRig, name: str) -> None:
    """CPUID offers none of these. Random numbers, for one, would end determinism."""
    code = bytes.fromhex(INVALID[name])
    r = prepared(rig(NOP * 3 + code + HLT))
    r.expect(R.INVALID_OPCODE, 3)
    assert (r.exit.vector, r.exit.error_code, r.regs.rip) == (UD, 0, CODE + 3)
    assert r.insn().startswith(code)
    assert r.vcpu.n_instructions == 3
    r.regs.rip = CODE + 3 + len(code)
    r.expect(R.HLT, 3 + len(code))


@pytest.mark.parametrize("code", [b"\x0f\x34", b"\x48\x0f\x34"], ids=["plain", "with a prefix"])
def test_sysenter_is_handed_over(rig: MakeRig, code: bytes) -> None:
    r = rig(NOP * 3 + code + HLT)
    r.expect(R.SYSENTER, 3)
    assert (r.regs.rip, r.exit.next_rip) == (CODE + 3, CODE + 3 + len(code))
    assert r.vcpu.n_instructions == 3
    r.regs.rip = r.exit.next_rip
    r.expect(R.HLT, 3 + len(code))


@pytest.mark.parametrize("name", SILENT)
def test_a_sensitive_unprivileged_instruction_runs_silently(rig: MakeRig, name: str) -> None:
    code = bytes.fromhex(SILENT[name])
    r = prepared(rig(code + HLT))
    r.expect(R.HLT, len(code))
    assert r.vcpu.n_instructions == 1


def test_popf_leaves_the_interrupt_flag_and_the_io_level_alone(rig: MakeRig) -> None:
    # push 0x3202 (IF, IOPL 3); popfq; pushfq; pop rax; cli
    r = rig(b"\x68" + le(0x3202, 4) + b"\x9d\x9c\x58\xfa")
    r.expect(R.CLI, 8)
    assert r.regs.gpr[RAX] == 2


@pytest.mark.parametrize("op", [mov32(RAX, 0) + b"\x8e\xd0", b"\x48\x0f\xb2\x23"], ids=["mov ss", "lss"])
def test_a_null_ss_does_not_lead_to_cpl_0(rig: MakeRig, op: bytes) -> None:
    """In 64-bit mode the engine takes CPL 0 from the null descriptor; the next instruction must trap."""
    r = rig(op + b"\xfa" + NOP + HLT)
    r.regs.gpr[3] = DATA  # where LSS finds RSP and a null selector
    r.memory.write(DATA, le(STACK - 64, 8))
    r.vcpu.start_trace()
    r.expect(R.CLI, len(op))
    n_before = r.vcpu.n_instructions
    assert n_before == (2 if op[0] == 0xB8 else 1)
    assert r.vcpu.cpl == 1
    assert r.v.null_ss_repairs == 1
    assert r.v.counters[R.NULL_SS].count == r.v.counters[R.NULL_SS].native == 1
    assert r.vcpu.segment(SS).selector == 0
    r.emulated(1)
    r.expect(R.HLT, len(op) + 2)
    assert r.vcpu.n_instructions == n_before + 2
    assert [record.reason for record in r.vcpu.trace_records()] == [R.NULL_SS, R.CLI]


def test_each_null_ss_is_repaired_at_once(rig: MakeRig) -> None:
    # xor eax, eax; then 50 times: mov ss, eax; push 1; pop rcx
    r = rig(b"\x31\xc0" + (b"\x8e\xd0" + b"\x6a\x01" + b"\x59") * 50 + b"\xfa" + HLT)
    r.expect(R.CLI, 2 + 5 * 50)
    assert r.v.null_ss_repairs == 50
    assert r.vcpu.n_instructions == 1 + 3 * 50
    assert r.regs.gpr[RSP] == STACK


def test_null_data_segments_are_loaded_silently(rig: MakeRig) -> None:
    r = rig(b"\x31\xc0" + b"\x8e\xd8\x8e\xc0\x8e\xe0\x8e\xe8" + HLT)
    r.expect(R.HLT, 10)
    assert r.vcpu.n_instructions == 5
    assert r.v.null_ss_repairs == 0


def test_no_handler_can_put_the_guest_at_cpl_0(rig: MakeRig) -> None:
    r = rig(HLT)
    with pytest.raises(ValueError, match="never runs at CPL 0"):
        r.vcpu.set_segment(CS, Segment(8, 0, 0xFFFF_FFFF, 0x00AF_9B00))
    r.expect(R.HLT)


def test_user_code_runs_at_cpl_3(rig: MakeRig) -> None:
    r = rig(b"\x8c\xc8" + b"\xfa")
    r.map(CODE, CODE, PRESENT | USER | ACCESSED_DIRTY)
    r.as_user()
    r.expect(R.CLI, 2)
    assert r.vcpu.cpl == 3
    assert r.regs.gpr[RAX] == 0x1B


def test_the_single_step_trap_comes_after_one_instruction(rig: MakeRig) -> None:
    # pushfq; or qword [rsp], 0x100 (TF); popfq; nop; nop
    r = rig(b"\x9c\x48\x81\x0c\x24\x00\x01\x00\x00\x9d" + NOP + NOP + HLT)
    r.expect(R.EXCEPTION, 11)
    assert r.exit.vector == 1
    assert r.vcpu.n_instructions == 4
    r.vcpu.rflags = r.vcpu.rflags & ~0x100
    r.expect(R.HLT, 12)


def test_prefixes_and_page_ends_do_not_hide_what_trapped(rig: MakeRig) -> None:
    r = rig(b"\x66\xfa" + b"\xf2\xfb" + b"\x66\x48\x0f\x22\xc0" + b"\x65\x66\x0f\x01\x10" + HLT)
    r.regs.gpr[RAX] = DATA
    for offset, n_bytes, reason in (
        (0, 2, R.CLI),
        (2, 2, R.STI),
        (4, 5, R.MOV_CR),
        (9, 5, R.DESCRIPTOR_TABLE),
    ):
        r.expect(reason, offset)
        r.emulated(n_bytes)
    r.expect(R.HLT, 14)
    at = CODE + 2 * 4096 - 1
    r.memory.write(at, b"\xfa\x0f")
    r.memory.write(at + 2, b"\x06\xf4")
    r.regs.rip = at
    r.expect(R.CLI, at - CODE)
    r.emulated(1)
    r.expect(R.CLTS, at + 1 - CODE)
    assert r.insn()[:3] == b"\x0f\x06\xf4"
