# SPDX-License-Identifier: GPL-2.0-or-later
"""What a paravirtual kernel must not do: it crashes, and the reason says what to use instead."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.para.start import offered_features
from tests.para.kernel import CODE, DATA, HLT, Part, R, W, X, le, machine, mov, run

UD2 = b"\x0f\x0b"
HOLE = 0xFFFF_8000_0000_0000

PRIVILEGED = {
    "hlt": (HLT, "BLOCK"),
    "cli": (b"\xfa", "CLI"),
    "sti": (b"\xfb", "STI"),
    "in": (b"\xba\xf8\x03\0\0\xec", "CONSOLE_READ"),
    "in status": (b"\xba\xfd\x03\0\0\xec", "CONSOLE_READ"),
    "out": (b"\xba\xf8\x03\0\0\xee", "CONSOLE_WRITE"),
    "out to power": (b"\xba\x04\x06\0\0\x66\xef", "SHUTDOWN"),
    "out to debug exit": (b"\xe6\xf4", "SHUTDOWN"),
    "out elsewhere": (b"\xe6\x80", "I/O port 0x80"),
    "mov from cr3": (b"\x0f\x20\xd8", "control registers"),
    "mov to cr3": (b"\x0f\x22\xd8", "control registers"),
    "mov to cr0": (b"\x0f\x22\xc0", "control registers"),
    "mov from dr7": (b"\x0f\x21\xf8", "debug registers"),
    "clts": (b"\x0f\x06", "control registers"),
    "lmsw": (b"\x0f\x01\xf0", "control registers"),
    "lgdt": (b"\x0f\x01\x14\x25" + le(DATA, 4), "descriptor tables"),
    "lidt": (b"\x0f\x01\x1c\x25" + le(DATA, 4), "descriptor tables"),
    "ltr": (b"\x0f\x00\xd8", "descriptor tables"),
    "lldt": (b"\x0f\x00\xd0", "descriptor tables"),
    "rdmsr": (b"\x0f\x32", "RDMSR"),
    "wrmsr": (b"\x0f\x30", "WRMSR"),
    "swapgs": (b"\x0f\x01\xf8", "SWAPGS"),
    "invlpg": (b"\x0f\x01\x3c\x25" + le(DATA, 4), "page tables"),
    "wbinvd": (b"\x0f\x09", "WBINVD"),
    "iret to ring 0": (b"\x6a\0\x54\x6a\2\x6a\x08\x50\x48\xcf", "IRET"),
}

EXCEPTIONS = {
    "ud2": (UD2, "#UD"),
    "divide": (b"\x31\xc9\xf7\xf1", "#DE"),
    "int3": (b"\xcc", "INT 0x03"),
    "int 0x80": (b"\xcd\x80", "INT 0x80"),
    "int 0x82": (b"\xcd\x82", "INT 0x82"),
    "int 14": (b"\xcd\x0e", "INT 0x0e"),
    "syscall": (b"\x0f\x05", "SYSCALL outside the hypercall page"),
    "vmcall": (b"\x0f\x01\xc1", "RAW_VMCALL"),
    "vmmcall": (b"\x0f\x01\xd9", "#UD"),
    "sysenter": (b"\x0f\x34", "#UD|#GP"),
    "sysret": (b"\x48\x0f\x07", "#UD|#GP"),
    "null": (b"\x8a\x04\x25\0\0\0\0", "read of 0x0, which is not mapped"),
    "write to null": (b"\xc6\x04\x25\x10\0\0\0\1", "write to 0x10, which is not mapped"),
    "jump to null": (b"\x31\xc0\xff\xe0", "instruction fetch at 0x0, which is not mapped"),
    "not canonical": (mov(0, 1 << 50) + b"\x8a\x00", "#GP"),
    "data selector": (b"\xb8\x40\0\0\0\x8e\xd8", "segment load"),
    "far jump": (b"\xff\x2c\x25" + le(DATA, 4), "far transfer|#GP"),
}


@pytest.mark.parametrize("name", PRIVILEGED)
@pytest.mark.parametrize("tier", ["native", "python"])
def test_a_privileged_instruction_names_what_to_use_instead(tmp_path: Path, name: str, tier: str) -> None:
    code, words = PRIVILEGED[name]
    with machine(tmp_path, code + UD2, tier=tier) as made:
        ending = run(made)
        assert (ending.ended_by, ending.status) == (EndedBy.CRASH, 134)
        assert ending.reason.startswith("#GP")
        assert words in ending.reason
        assert "\n" not in ending.reason


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_crashes(tmp_path: Path, name: str) -> None:
    code, words = EXCEPTIONS[name]
    with machine(tmp_path, code + UD2) as made:
        ending = run(made)
        assert (ending.ended_by, ending.status) == (EndedBy.CRASH, 134)
        assert any(word in ending.reason for word in words.split("|")), ending.reason


@pytest.mark.parametrize("transport", ["syscall", "vmcall", "int"])
@pytest.mark.parametrize("offset", [5, 32 * 0x33 + 5])
def test_a_jump_into_a_stub_is_a_hypercall_too(tmp_path: Path, transport: str, offset: int) -> None:
    """The number is what EAX holds then; the ABI promises no more than that nothing worse happens."""
    code = mov(0, HOLE + 4096 + offset) + b"\xff\xd0" + UD2
    with machine(tmp_path, code, transport=transport) as made:
        ending = run(made)
        assert ending.ended_by is EndedBy.CRASH
        assert made.vcpu.exit.rip == CODE + 12


NULL_SS = {
    "mov": b"\x31\xc0\x8e\xd0",
    "lss": b"\x48\x0f\xb2\x04\x25" + le(DATA, 4),
    "iret": b"\x48\x89\xe0\x6a\0\x50\x6a\2\x8c\xc9\x51\x48\x8d\x0d\3\0\0\0\x51\x48\xcf",
}


@pytest.mark.parametrize("name", NULL_SS)
def test_a_null_stack_segment_gives_no_ring_0(tmp_path: Path, name: str) -> None:
    parts = [Part(CODE, NULL_SS[name] + b"\x50\x58\x0f\x20\xd8" + UD2, R | X), Part(DATA, bytes(64), R | W)]
    with machine(tmp_path, parts=parts) as made:
        ending = run(made)
        assert "control registers are the hypervisor's" in ending.reason
        assert made.vcpu.cpl == 1


def test_selectors_of_the_start_state_may_be_loaded(tmp_path: Path) -> None:
    """They are not promised, but harmless: no descriptor leads to ring 0."""
    code = b"\x8c\xd0\x8e\xd8\x8e\xc0\x8e\xe0\x8e\xe8" + UD2  # mov %ss, %eax; into DS, ES, FS, GS
    with machine(tmp_path, code) as made:
        assert "#UD" in run(made).reason
        assert made.vcpu.cpl == 1


def test_popf_cannot_raise_iopl_or_set_if(tmp_path: Path) -> None:
    code = b"\x68\x02\x32\0\0\x9d\x9c\x58\xfa"  # push $0x3202; popf; pushf; pop %rax; cli
    with machine(tmp_path, code) as made:
        assert "CLI" in run(made).reason
        assert made.vcpu.regs.gpr[0] & 0x3200 == 0


CPUID = {
    (0x4000_0000, "syscall"): (0x4000_0002, *struct.unpack("<3I", b"pvisorpvisor")),
    (0x4000_0001, "syscall"): (1, 2, 0, 0),
    (0x4000_0002, "syscall"): (offered_features("syscall"), 0, 0, 0),
    (0x4000_0002, "vmcall"): (offered_features("vmcall"), 0, 0, 0),
}  # fmt: skip


@pytest.mark.parametrize(("leaf", "transport"), CPUID)
@pytest.mark.parametrize("tier", ["native", "python"])
def test_cpuid_leaves(tmp_path: Path, leaf: int, transport: str, tier: str) -> None:
    with machine(tmp_path, b"\xb8" + le(leaf, 4) + b"\x0f\xa2" + UD2, transport=transport, tier=tier) as made:
        run(made)
        a, c, d, b = (made.vcpu.regs.gpr[i] for i in range(4))
        assert (a, b, c, d) == CPUID[leaf, transport]


def test_cpuid_says_that_there_is_a_hypervisor(tmp_path: Path) -> None:
    with machine(tmp_path, b"\xb8\1\0\0\0\x0f\xa2" + UD2) as made:
        run(made)
        assert made.vcpu.regs.gpr[1] >> 31 == 1


def test_time_goes_with_instructions(tmp_path: Path) -> None:
    code = b"\x0f\x31\x89\xc3\x90\x90\x90\x0f\x31\x29\xd8"  # rdtsc; mov %eax, %ebx; nop ...; rdtsc; sub
    with machine(tmp_path, code + UD2) as made:
        run(made)
        assert made.vcpu.regs.gpr[0] == 5
