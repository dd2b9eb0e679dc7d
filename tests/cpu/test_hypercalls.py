# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypercall page: `call page + 32 * number` by each transport; elsewhere the instruction is none."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import R8, R10, RAX, RCX, RDI, RDX, RSI, RSP
from pvisor.machine.memory import PAGE_BYTES
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import (
    CALL_PAGE,
    CODE,
    HLT,
    INT_82,
    NOP,
    STACK,
    SYSCALL,
    TRANSPORTS,
    VMCALL,
    call,
    le,
    mov,
    mov32,
)

transports = pytest.mark.parametrize("transport", TRANSPORTS.values(), ids=TRANSPORTS)


@transports
@pytest.mark.parametrize("number", [0, 1, 0x32, 127])
def test_a_call_arrives_with_its_number_and_arguments(rig: MakeRig, transport: bytes, number: int) -> None:
    r = rig(call(CODE, CALL_PAGE + 32 * number) + HLT)
    r.hypercall_page(transport)
    wanted = [(1 << 64) - 1, 2, 1 << 63, 4, 5]
    for register, value in zip((RDI, RSI, RDX, R10, R8), wanted, strict=True):
        r.regs.gpr[register] = value
    r.expect(R.HYPERCALL)
    assert (r.exit.number, list(r.exit.args)) == (number, wanted)
    assert r.exit.rip == CALL_PAGE + 32 * number + 5
    assert r.exit.next_rip == r.exit.rip + len(transport)
    assert r.vcpu.cpl == 1


@transports
@pytest.mark.parametrize("result", [0, 1, -14, -(1 << 63), (1 << 63) - 1])
def test_the_result_goes_to_rax_and_nothing_else_changes(rig: MakeRig, transport: bytes, result: int) -> None:
    r = rig(call(CODE, CALL_PAGE) + HLT)
    r.hypercall_page(transport)
    for i in range(16):
        if i != RSP:
            r.regs.gpr[i] = 0x0101_0101_0101_0101 * i
    r.vcpu.rflags = 0x8D7 | 0x400  # CF PF AF ZF SF OF and DF
    r.expect(R.HYPERCALL)
    r.exit.result = result
    r.expect(R.HLT, 5)
    expected = [0x0101_0101_0101_0101 * i for i in range(16)]
    expected[RAX], expected[RSP] = result & (1 << 64) - 1, STACK
    assert list(r.regs.gpr) == expected
    assert r.vcpu.rflags == 0x8D7 | 0x400


@transports
def test_many_calls_in_a_row(rig: MakeRig, transport: bytes) -> None:
    body = call(CODE + 16, CALL_PAGE + 32 * 3)
    body += b"\x48\x89\xc7" + b"\x41\xff\xcf\x75" + le(-13, 1)  # mov rdi, rax; dec r15d; jnz
    r = rig(mov(RDI, 0) + b"\x41\xbf" + le(500, 4) + body + HLT)
    r.hypercall_page(transport)

    def serve(reason: R) -> None:
        assert reason is R.HYPERCALL
        r.exit.result = r.exit.args[0] + 2

    assert len(r.run_to_hlt(serve)) == 500
    assert r.regs.gpr[RDI] == 1000
    assert r.v.counters[R.HYPERCALL].count == r.v.counters[R.HYPERCALL].python == r.v.exits_total == 500
    assert r.vcpu.n_instructions == 2 + 500 * (4 + 3)


@pytest.mark.parametrize(
    ("transport", "reason"),
    [(SYSCALL, R.SYSCALL), (VMCALL, R.INVALID_OPCODE), (INT_82, R.SOFT_INT)],
    ids=TRANSPORTS,
)
@pytest.mark.parametrize("is_native", [False, True], ids=["python", "native"])
def test_outside_the_page_it_is_no_hypercall(
    rig: MakeRig, transport: bytes, reason: R, is_native: bool
) -> None:
    r = rig(mov32(RAX, 2) + transport + HLT)
    r.hypercall_page(transport)
    if is_native:
        r.vcpu.enable_natives("para")
    r.expect(reason, 5)
    assert r.regs.gpr[RAX] == 2
    assert r.v.counters[R.HYPERCALL].count == 0


@transports
@pytest.mark.parametrize("address", [CALL_PAGE - 1, CALL_PAGE + PAGE_BYTES])
def test_the_page_has_ends(rig: MakeRig, transport: bytes, address: int) -> None:
    r = rig()
    for page in (CALL_PAGE - PAGE_BYTES, CALL_PAGE + PAGE_BYTES):
        r.map(page, page, 0x61)
    r.hypercall_page(transport)
    r.memory.write(address, transport)
    r.regs.rip = address
    assert r.run() is not R.HYPERCALL


@transports
def test_without_a_page_there_are_no_hypercalls(rig: MakeRig, transport: bytes) -> None:
    r = rig(transport + HLT)
    assert r.run() is not R.HYPERCALL
    assert r.exit.rip == CODE


def test_a_raw_vmcall_works_where_it_is_offered(rig: MakeRig) -> None:
    r = rig(mov(RAX, 0xFFFF_FFFF_0000_0011) + NOP + VMCALL + HLT)
    r.v.raw_vmcall = 1
    r.regs.gpr[RDI] = 9
    r.expect(R.HYPERCALL, 11)
    assert (r.exit.number, r.exit.args[0], r.exit.next_rip) == (0x11, 9, CODE + 14), "the number is EAX"
    r.exit.result = -38
    r.expect(R.HLT, 14)
    assert r.regs.gpr[RAX] == (1 << 64) - 38


@pytest.mark.parametrize("number", [128, 0xFFFF_FFFF])
def test_a_number_beyond_the_page_reaches_python(rig: MakeRig, number: int) -> None:
    r = rig(mov(RAX, number) + VMCALL + HLT)
    r.v.raw_vmcall = 1
    r.vcpu.enable_natives("para")
    r.expect(R.HYPERCALL, 10)
    assert r.exit.number == number


@transports
def test_a_jump_into_a_stub_calls_with_any_number(rig: MakeRig, transport: bytes) -> None:
    r = rig(mov(RAX, 0x77) + b"\xe9" + le(CALL_PAGE + 5 - (CODE + 15), 4))
    r.hypercall_page(transport)
    r.expect(R.HYPERCALL)
    assert r.exit.number == 0x77


def test_completing_the_last_exit_counts_it(rig: MakeRig) -> None:
    r = rig(call(CODE, CALL_PAGE) + HLT)
    r.hypercall_page(SYSCALL)
    r.vcpu.start_trace()
    r.expect(R.HYPERCALL)
    assert r.v.exits_total == 0
    r.exit.result = 7
    r.vcpu.complete()
    r.vcpu.complete()
    assert r.v.exits_total == r.v.counters[R.HYPERCALL].python == 1
    (record,) = r.vcpu.trace_records()
    assert (record.reason, record.result, record.virtual_ns) == (R.HYPERCALL, 7, 3)
    assert list(record.ops)[: record.n_ops] == [0, *list(r.exit.args)]


def test_syscall_clobbers_nothing_by_itself(rig: MakeRig) -> None:
    """The engine leaves RCX and R11 alone; the hypervisor decides what a guest sees there."""
    r = rig(SYSCALL + HLT)
    r.regs.gpr[RCX], r.regs.gpr[11] = 1, 2
    r.expect(R.SYSCALL, 0)
    assert (r.exit.next_rip, r.regs.gpr[RCX], r.regs.gpr[11], r.vcpu.cpl) == (CODE + 2, 1, 2, 1)
