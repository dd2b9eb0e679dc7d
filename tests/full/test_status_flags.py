# SPDX-License-Identifier: GPL-2.0-or-later
"""Status flags that the engine has not computed yet where a block is left; the prefixes of SYSCALL."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.vmm.builder import build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from tests.full.paging_storm import CODE, IDT, LOG, MEMORY_BYTES, STACK, Storm, le

WAYS = pytest.mark.parametrize(("mode", "tier"), [("full", "native"), ("full", "python"), ("emu", "native")])
STAR, LSTAR, SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP = 0xC000_0081, 0xC000_0082, 0x174, 0x175, 0x176
FIRST = 0x8000_0005
PF, AF, ZF, SF = 4, 16, 64, 128
LOOPS = tuple(
    (set_flags, left, right, count)
    for set_flags in (b"\x00\xd8", b"\x38\xd8", b"\x20\xd8", b"\x10\xd8", b"\xfe\xc8", b"\xd0\xe0")
    for left, right in ((0, 0), (0x10, 0x61), (0, 5), (0x80, 0x80), (0xFF, 1))
    for count in (1, 2)
)
"""(add, cmp, and, adc, dec or shl of AL; AL, BL; ECX)."""


def wrmsr(index: int, value: int) -> bytes:
    """In any ring-0 code: mov ecx, eax, edx; wrmsr."""
    return b"\xb9" + le(index, 4) + b"\xb8" + le(value, 4) + b"\xba" + le(value >> 32, 4) + b"\x0f\x30"


def run(folder: Path, storm: Storm, mode: str, tier: str) -> bytes:
    """Run a 64-bit kernel; what it left at LOG."""
    kernel = folder / "kernel"
    kernel.write_bytes(storm.elf())
    config = DomainConfig(kernel, mode, tier=tier, memory_bytes=MEMORY_BYTES, max_insns=10_000)
    machine = build(config, ConsoleOutput(), NoInput())
    try:
        loop = RunLoop(machine.domain, machine.vcpu, on_kick=lambda: None, drain_trace=lambda: None)
        ending = loop.run()
        assert ending.status == 1, ending.reason
        return machine.domain.memory.read(LOG, 4096)
    finally:
        machine.close()


def at_here(n_ahead: int) -> bytes:
    """lea rax, [n bytes behind this]; mov rdx, rax; shr rdx, 32: for WRMSR."""
    return b"\x48\x8d\x05" + le(n_ahead, 4) + b"\x48\x89\xc2\x48\xc1\xea\x20"


def flags_of_decrement(value: int) -> int:
    """What LAHF shows of value - 1, of 32 bits, where CF was clear."""
    result = value - 1 & 0xFFFF_FFFF
    parity = 0 if (result & 0xFF).bit_count() & 1 else PF
    return (result >> 24 & SF) | (0 if result else ZF) | (0 if value & 0xF else AF) | parity | 2


@WAYS
@pytest.mark.parametrize("n_calls", (1, 2, 3, 10))
def test_sysenter_keeps_the_status_flags(tmp_path: Path, mode: str, tier: str, n_calls: int) -> None:
    """The target counts down twice and calls itself, and looks at the flags at last."""
    storm = Storm(0, n_steps=0)
    look = b"\x9f\x88\x24\x25" + le(LOG, 4) + b"\x31\xc0\xe6\xf4"  # lahf; mov [LOG], ah; xor eax, eax; out
    target = b"\xe2" + le(len(look), 1) + look + b"\xff\xcb\xff\xcb\x0f\x34"  # loop; dec ebx twice; sysenter
    start = b"\xbb" + le(FIRST, 4) + b"\xb9" + le(n_calls + 1, 4) + b"\xf8"  # mov ebx; mov ecx; clc
    storm.code = wrmsr(SYSENTER_CS, 8) + wrmsr(SYSENTER_ESP, STACK)
    storm.code += b"\xb9" + le(SYSENTER_EIP, 4) + at_here(9 + len(start)) + b"\x0f\x30"
    storm.code += start + target
    assert run(tmp_path, storm, mode, tier)[0] == flags_of_decrement(FIRST - 2 * n_calls + 1)


@WAYS
@pytest.mark.parametrize("prefixes", (b"", b"\x48", b"\x66\x2e"))
def test_syscall_returns_behind_its_prefixes(tmp_path: Path, mode: str, tier: str, prefixes: bytes) -> None:
    storm = Storm(0, n_steps=0)
    syscall = prefixes + b"\x0f\x05"
    storm.code = wrmsr(STAR, 8 << 32)
    storm.code += b"\xb9" + le(LSTAR, 4) + at_here(9 + len(syscall) + 2) + b"\x0f\x30"
    storm.code += syscall + b"\x0f\x0b"  # ud2
    storm.code += b"\x48\x8d\x05\xf7\xff\xff\xff"  # lea rax, [where UD2 is]
    storm.code += b"\x48\x29\xc8\x89\x04\x25" + le(LOG, 4)  # sub rax, rcx; mov [LOG], eax
    assert run(tmp_path, storm, mode, tier)[:4] == bytes(4)


@WAYS
@pytest.mark.parametrize("loop", (b"\xe0", b"\xe1", b"\x67\xe0", b"\x67\xe1"), ids=bytes.hex)
@pytest.mark.parametrize("between", (b"", b"\x90"), ids=("at once", "nop"))
def test_loops_that_look_at_zf_keep_the_status_flags(
    tmp_path: Path, mode: str, tier: str, loop: bytes, between: bytes
) -> None:
    """As LOOP does, with which the engine has no trouble."""
    logs = []
    for instruction in (loop, b"\xe2"):
        storm = Storm(0, n_steps=0)
        for i, (set_flags, left, right, count) in enumerate(LOOPS):
            storm.code += b"\xb8" + le(left, 4) + b"\xbb" + le(right, 4) + b"\xb9" + le(count, 4)
            storm.code += set_flags + between + instruction + b"\0\x9f\x88\x24\x25" + le(LOG + i, 4)
        logs.append(run(tmp_path, storm, mode, tier)[: len(LOOPS)])
    assert logs[0] == logs[1]


@WAYS
@pytest.mark.parametrize("count", (1, 2))
def test_a_step_over_such_a_loop_is_a_step(tmp_path: Path, mode: str, tier: str, count: int) -> None:
    """With a prefix it has a hook, though it is alone in its block."""
    storm = Storm(0, n_steps=0)
    handler = b"\x58\x89\x04\x25" + le(LOG, 4) + b"\x31\xc0\xe6\xf4"  # pop rax; mov [LOG], eax; end
    storm.code = b"\xe9" + le(len(handler), 4) + handler
    at = CODE + len(storm.prologue()) + 5
    gate = at & 0xFFFF | 8 << 16 | 0x8E << 40 | at >> 16 << 48
    storm.code += b"\x48\xb8" + le(gate, 8) + b"\x48\x89\x04\x25" + le(IDT + 16, 4)  # the gate of #DB
    storm.code += b"\xb9" + le(count, 4) + b"\x38\xc0\x9c\x81\x0c\x24\0\x01\0\0\x9d"  # cmp; set TF
    storm.code += b"\x67\xe1\0"  # loope
    behind = CODE + len(storm.prologue()) + len(storm.code)
    storm.code += b"\x9f\x90\x90"
    assert run(tmp_path, storm, mode, tier)[:4] == le(behind, 4)


RET_E0, SHL_4 = b"\xc2\xe0\x00", b"\xc1\xe0\x04"
"""ret 0xe0; shl eax, 4: their second byte is the opcode of LOOPNE."""


@WAYS
@pytest.mark.parametrize("n_ahead", (1, 2, 511 - 8))
def test_what_only_has_such_a_byte_in_it_runs(tmp_path: Path, mode: str, tier: str, n_ahead: int) -> None:
    """With a count of 1, at the end of a block."""
    storm = Storm(0, n_steps=0)
    body = b"\xb9\x01\0\0\0\xb8\x05\0\0\0" + SHL_4 + b"\x90" * n_ahead  # mov ecx, 1; mov eax, 5
    back = b"\xb9\x01\0\0\0" + b"\x90" * n_ahead + RET_E0
    store = b"\x89\x04\x25" + le(LOG, 4) + b"\x31\xc0\xe6\xf4"  # mov [LOG], eax; end
    storm.code = b"\xe8" + le(len(store), 4) + store + body + back
    assert run(tmp_path, storm, mode, tier)[:4] == le(0x50, 4)


@WAYS
def test_such_a_byte_at_every_end_of_a_block(tmp_path: Path, mode: str, tier: str) -> None:
    """A block that no jump ends has 512 instructions at most."""
    storm = Storm(0, n_steps=0)
    storm.code = b"\xb9\x01\0\0\0\x31\xdb" + b"\xb8\x01\0\0\0\xc1\xe0\x04\x01\xc3" * 400  # add ebx, eax
    storm.code += b"\x89\x1c\x25" + le(LOG, 4)
    assert run(tmp_path, storm, mode, tier)[:4] == le(0x10 * 400, 4)
