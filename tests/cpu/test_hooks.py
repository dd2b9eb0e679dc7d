# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits that the engine holds open: IN, OUT, CPUID, RDTSC are answered inside their hook."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import RAX, RBX, RCX, RDX
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import CLI, CODE, DATA, HLT, NOP, SYSCALL, le, mov, mov32, repeat

INC_DATA = b"\x48\xff\x04\x25" + le(DATA, 4)
OUT_80, OUT_81, IN_81 = b"\xe6\x80", b"\xe6\x81", b"\xe4\x81"


@pytest.mark.parametrize(
    ("op", "ioport", "size_bytes", "answer", "rax"),
    [
        (b"\xe4\x60", 0x60, 1, 0xAB, 0x1122_3344_5566_77AB),
        (b"\x66\xe5\x60", 0x60, 2, 0xABCD, 0x1122_3344_5566_ABCD),
        (b"\xe5\x60", 0x60, 4, 0x89AB_CDEF, 0x89AB_CDEF),
        (b"\xec", 0x3F8, 1, 0xAB, 0x1122_3344_5566_77AB),
        (b"\x66\xed", 0x3F8, 2, 0xABCD, 0x1122_3344_5566_ABCD),
        (b"\xed", 0x3F8, 4, 0x89AB_CDEF, 0x89AB_CDEF),
    ],
)
def test_in_gets_its_value(
    rig: MakeRig, op: bytes, ioport: int, size_bytes: int, answer: int, rax: int
) -> None:
    r = rig(op + HLT)
    r.regs.gpr[RAX], r.regs.gpr[RDX] = 0x1122_3344_5566_7788, 0xDEAD_0000_03F8
    seen: list[tuple[int, int, int, int, int]] = []

    def serve() -> None:
        x = r.exit
        seen.append((x.reason, x.ioport, x.size_bytes, x.in_hook, x.rip))
        x.value = answer

    r.in_hook(serve)
    r.run_to_hlt()
    assert seen == [(R.IO_IN, ioport, size_bytes, 1, CODE)]
    assert r.regs.gpr[RAX] == rax


@pytest.mark.parametrize(
    ("op", "ioport", "size_bytes"),
    [(b"\xe6\x60", 0x60, 1), (b"\x66\xe7\x60", 0x60, 2), (b"\xe7\x60", 0x60, 4),
     (b"\xee", 0xFFFF, 1), (b"\x66\xef", 0xFFFF, 2), (b"\xef", 0xFFFF, 4)],
)  # fmt: skip
def test_out_hands_over_its_value(rig: MakeRig, op: bytes, ioport: int, size_bytes: int) -> None:
    r = rig(op + HLT)
    r.regs.gpr[RAX], r.regs.gpr[RDX] = 0x1122_3344_F5F6_F7F8, 0xFFFF
    seen: list[tuple[int, int, int, int]] = []
    r.in_hook(lambda: seen.append((r.exit.reason, r.exit.ioport, r.exit.size_bytes, r.exit.value)))
    r.run_to_hlt()
    assert seen == [(R.IO_OUT, ioport, size_bytes, 0xF5F6_F7F8 & ((1 << 8 * size_bytes) - 1))]
    assert r.regs.gpr[RAX] == 0x1122_3344_F5F6_F7F8


def test_string_output_hands_over_each_byte(rig: MakeRig) -> None:
    r = rig(b"\xf3\x6e" + HLT)  # rep outsb
    r.memory.write(DATA, b"hello")
    r.regs.gpr[RCX], r.regs.gpr[RDX], r.regs.gpr[6] = 5, 0x3F8, DATA
    text = bytearray()
    r.in_hook(lambda: text.append(r.exit.value))
    r.run_to_hlt()
    assert text == b"hello"


def test_string_input_stores_each_byte(rig: MakeRig) -> None:
    r = rig(b"\xf3\x6c" + HLT)  # rep insb
    r.regs.gpr[RCX], r.regs.gpr[RDX], r.regs.gpr[7] = 5, 0x3F8, DATA
    text = iter(b"hello")

    def serve() -> None:
        r.exit.value = next(text)

    r.in_hook(serve)
    r.run_to_hlt()
    assert r.memory.read(DATA, 6) == b"hello\0"


def test_cpuid_is_answered_by_the_handler_alone(rig: MakeRig) -> None:
    r = rig(mov32(RAX, 0x4000_0000) + mov32(RCX, 7) + b"\x0f\xa2" + HLT)
    seen: list[tuple[int, int]] = []

    def serve() -> None:
        gpr = r.regs.gpr
        seen.append((gpr[RAX], gpr[RCX]))
        gpr[RAX], gpr[RBX], gpr[RCX], gpr[RDX] = 1, 2, 3, 4

    r.in_hook(serve)
    r.run_to_hlt()
    assert seen == [(0x4000_0000, 7)]
    assert [r.regs.gpr[i] for i in (RAX, RBX, RCX, RDX)] == [1, 2, 3, 4]


def test_rdtsc_is_answered_by_the_handler_alone(rig: MakeRig) -> None:
    # nop; rdtsc; mov esi, eax; mov edi, edx; rdtscp
    r = rig(NOP + b"\x0f\x31" + b"\x89\xc6\x89\xd7" + b"\x0f\x01\xf9" + HLT)
    r.v.idle_ns = 5 << 32

    def serve() -> None:
        now = r.exit.virtual_ns
        r.regs.gpr[RAX], r.regs.gpr[RDX] = now & 0xFFFF_FFFF, now >> 32

    r.in_hook(serve)
    r.run_to_hlt()
    assert (r.regs.gpr[6], r.regs.gpr[7]) == (1, 5)
    assert (r.regs.gpr[RAX], r.regs.gpr[RDX]) == (4, 5)


def test_registers_are_those_at_the_instruction_though_its_block_goes_on(rig: MakeRig) -> None:
    r = rig(b"".join(mov32(RBX, i) + OUT_80 for i in range(5)) + HLT)
    seen: list[int] = []
    r.in_hook(lambda: seen.append(r.regs.gpr[RBX]))
    r.run_to_hlt()
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("prefix", (b"", b"\x48", b"\x66", b"\x2e"), ids=bytes.hex)
def test_rdtscp_is_told_from_rdtsc_behind_a_prefix(rig: MakeRig, prefix: bytes) -> None:
    r = rig(prefix + b"\x0f\x01\xf9" + prefix + b"\x0f\x31" + HLT)
    seen: list[int] = []
    r.in_hook(lambda: seen.append(r.exit.value))
    r.run_to_hlt()
    assert seen == [1, 0]


def test_a_handler_may_write_guest_memory(rig: MakeRig) -> None:
    r = rig(OUT_80 + b"\x48\x8b\x1c\x25" + le(DATA, 4) + HLT)  # mov rbx, [DATA]
    r.in_hook(lambda: r.memory.write_u64(DATA, 99))
    r.run_to_hlt()
    assert r.regs.gpr[RBX] == 99


AFTER_STOP = {
    "out": OUT_81 + HLT,
    "in": IN_81 + HLT,
    "cpuid": b"\x0f\xa2" + HLT,
    "rdtsc": b"\x0f\x31" + HLT,
    "cli": CLI,
    "hlt": HLT,
    "ud2": b"\x0f\x0b",
    "a page fault": b"\x48\x89\x04\x25\0\0\0\0",
    "int 0x80": b"\xcd\x80",
    "syscall": SYSCALL,
    "a jump": b"\xeb\x00" + OUT_81 + HLT,
    "many blocks": repeat(100, INC_DATA + OUT_81) + HLT,
}


@pytest.mark.parametrize("is_native", [False, True], ids=["python", "native"])
@pytest.mark.parametrize("after", AFTER_STOP)
def test_a_stop_inside_a_hook_is_the_last_thing_that_happens(
    rig: MakeRig, after: str, is_native: bool
) -> None:
    """A guest that powers off by OUT often has CLI or HLT right behind it: they must not become the exit."""
    r = rig(NOP + OUT_80 + NOP + AFTER_STOP[after])
    if is_native:
        r.vcpu.enable_natives("full")
        r.vcpu.enable_natives("para")
    seen: list[int] = []

    def serve() -> bool:
        seen.append(r.exit.ioport)
        return True

    r.in_hook(serve)
    assert r.run().name == R.HOOK_STOP.name
    assert seen == [0x80]
    assert (r.exit.reason, r.exit.rip) == (R.IO_OUT, CODE + 1)
    assert r.vcpu.n_instructions == 2
    assert r.v.exits_total == r.v.counters[R.IO_OUT].count == 1
    assert r.word(DATA) == 0


def test_a_stopped_vcpu_can_serve_hooks_again(rig: MakeRig) -> None:
    r = rig(OUT_80 + b"\xeb\x00" + OUT_81 + HLT)
    seen: list[int] = []

    def serve() -> bool:
        seen.append(r.exit.ioport)
        return r.exit.ioport == 0x80

    r.in_hook(serve)
    r.expect(R.HOOK_STOP)
    r.expect(R.HLT)
    assert seen == [0x80, 0x81]


class OwnError(Exception):
    """Raised by a handler."""


@pytest.mark.parametrize(
    "error", [OwnError("mine"), KeyboardInterrupt(), SystemExit(3)], ids=["own", "ctrl-c", "exit"]
)
@pytest.mark.parametrize("op", [OUT_80, IN_81, b"\x0f\xa2", b"\x0f\x31"], ids=["out", "in", "cpuid", "rdtsc"])
def test_an_exception_in_a_handler_comes_out_of_run_as_itself(
    rig: MakeRig, op: bytes, error: BaseException
) -> None:
    r = rig(NOP + op + OUT_81 + HLT)
    n_calls = 0

    def serve() -> None:
        nonlocal n_calls
        n_calls += 1
        raise error

    r.in_hook(serve)
    with pytest.raises(type(error)) as caught:
        r.run()
    assert caught.value is error
    assert n_calls == 1


def test_after_an_exception_the_next_run_is_free_of_it(rig: MakeRig) -> None:
    r = rig(OUT_80 + b"\xeb\x00" + OUT_81 + HLT)
    errors = [OwnError()]

    def serve() -> None:
        if errors:
            raise errors.pop()

    r.in_hook(serve)
    with pytest.raises(OwnError):
        r.run()
    r.expect(R.HLT)


def test_an_exception_between_runs_leaves_the_vcpu_usable(rig: MakeRig) -> None:
    r = rig(mov(RAX, 1) + CLI + HLT)

    def serve(reason: R) -> None:
        raise OwnError

    with pytest.raises(OwnError):
        r.run_to_hlt(serve)
    assert r.exit.reason == R.CLI
    r.emulated(1)
    r.expect(R.HLT, 11)
    assert r.v.counters[R.CLI].python == 1
