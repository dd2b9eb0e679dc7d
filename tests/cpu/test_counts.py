# SPDX-License-Identifier: GPL-2.0-or-later
"""Retired instructions, and so virtual time, are exact: compared with counts made by hand."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import RAX, RCX
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import (
    AS_BOTH,
    CALL_PAGE,
    CLI,
    CODE,
    DATA,
    HLT,
    INT_82,
    NOP,
    SYSCALL,
    TRANSPORTS,
    VMCALL,
    Rig,
    call,
    le,
    mov,
    mov32,
    offsets,
    repeat,
)

INC_RAX, LOAD = b"\x48\xff\xc0", b"\x48\x8b\x18"  # inc rax; mov rbx, [rax]


@pytest.mark.parametrize("n", [0, 1, 7, 500, 600, 4000])
def test_straight_code(rig: MakeRig, n: int) -> None:
    r = rig(NOP * n + HLT)
    r.expect(R.HLT, n)
    assert r.vcpu.n_instructions == r.vcpu.virtual_ns == r.exit.virtual_ns == n


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_loops(rig: MakeRig, n: int) -> None:
    r = rig(mov(RAX, 0) + repeat(n, INC_RAX + NOP) + HLT)
    r.run_to_hlt()
    assert r.regs.gpr[RAX] == n
    assert r.vcpu.n_instructions == 1 + 1 + 4 * n


def test_taken_and_not_taken_branches(rig: MakeRig) -> None:
    # xor eax, eax; jnz +1; nop; jz +1; nop (jumped over)
    r = rig(b"\x31\xc0" + b"\x75\x01" + NOP + b"\x74\x01" + NOP + HLT)
    r.run_to_hlt()
    assert r.vcpu.n_instructions == 4


@pytest.mark.parametrize("n", [0, 1, 10, 1000])
@pytest.mark.parametrize(
    "op", [b"\xf3\xaa", b"\xf3\x48\xab", b"\xf3\xa4"], ids=["rep stosb", "rep stosq", "rep movsb"]
)
def test_rep_counts_its_iterations_and_the_look_that_ends_it(rig: MakeRig, op: bytes, n: int) -> None:
    r = rig(NOP + op + NOP + HLT)
    r.regs.gpr[RCX], r.regs.gpr[6], r.regs.gpr[7] = n, DATA, DATA + 0x8000
    r.run_to_hlt()
    assert r.regs.gpr[RCX] == 0
    assert r.vcpu.n_instructions == 1 + (n + 1) + 1


@pytest.mark.parametrize("at", range(7))
def test_a_fault_in_mid_block_counts_only_what_ran(rig: MakeRig, at: int) -> None:
    r = rig(NOP * at + LOAD + NOP * (6 - at) + HLT)
    r.expect(R.PAGE_FAULT, at)
    assert r.vcpu.n_instructions == r.exit.virtual_ns == at
    r.regs.gpr[RAX] = DATA
    r.expect(R.HLT, 9)
    assert r.vcpu.n_instructions == 7, "the repeated instruction counts once"


def test_instructions_of_all_lengths_are_told_apart(rig: MakeRig) -> None:
    before = [NOP, b"\x66\x90", b"\x0f\x1f\x00", b"\x0f\x1f\x84\x00\x00\x00\x00\x00", mov(RCX, 1), INC_RAX,
              b"\x66\x66\x66\x66\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00"]  # fmt: skip
    r = rig(b"".join(before) + LOAD + HLT)
    r.regs.gpr[RAX] = (1 << 47) - 1
    r.expect(R.GENERAL_PROTECTION, offsets([*before, LOAD])[-1])
    assert r.vcpu.n_instructions == len(before)


def test_many_faults_in_one_long_block(rig: MakeRig) -> None:
    r = rig((NOP * 9 + LOAD) * 40 + HLT)
    for i in range(40):
        r.expect(R.PAGE_FAULT, 12 * i + 9)
        assert r.vcpu.n_instructions == 9 * (i + 1)
        r.regs.rip += 3
    r.expect(R.HLT)
    assert r.vcpu.n_instructions == 9 * 40


def test_the_same_place_in_blocks_that_begin_elsewhere(rig: MakeRig) -> None:
    r = rig(NOP * 6 + LOAD + HLT)
    total = 0
    for begin in (0, 3, 5, 6, 1, 0):
        r.regs.rip = CODE + begin
        r.expect(R.PAGE_FAULT, 6)
        total += 6 - begin
        assert r.vcpu.n_instructions == total


@pytest.mark.parametrize(
    ("op", "reason"),
    [(b"\xe4\x60", R.IO_IN), (b"\xe6\x60", R.IO_OUT), (b"\x0f\xa2", R.CPUID), (b"\x0f\x31", R.RDTSC),
     (b"\x0f\x01\xf9", R.RDTSC)],
    ids=["in", "out", "cpuid", "rdtsc", "rdtscp"],
)  # fmt: skip
def test_an_exit_inside_its_block_has_its_own_time(rig: MakeRig, op: bytes, reason: R) -> None:
    r = rig(NOP * 3 + op + NOP * 2 + op + NOP + HLT)
    seen: list[tuple[int, int, int, int]] = []
    r.in_hook(lambda: seen.append((r.exit.reason, r.exit.rip - CODE, r.exit.virtual_ns, r.vcpu.virtual_ns)))
    r.run_to_hlt()
    assert seen == [(reason, 3, 3, 3), (reason, 5 + len(op), 6, 6)]
    assert r.vcpu.n_instructions == 8


@pytest.mark.parametrize("transport", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_hypercall_counts_its_five_instructions(rig: MakeRig, transport: bytes) -> None:
    """call, mov, the transport, ret: and the exit's time is after the transport."""
    r = rig(NOP + call(CODE + 1, CALL_PAGE + 32) + NOP + HLT)
    r.hypercall_page(transport)
    r.expect(R.HYPERCALL)
    assert r.exit.virtual_ns == r.vcpu.n_instructions == 4
    r.exit.result = 0
    r.expect(R.HLT, 7)
    assert r.vcpu.n_instructions == 6


@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_raw_vmcall_in_mid_block(rig: MakeRig, before: int) -> None:
    r = rig(NOP * before + VMCALL + NOP * 3 + HLT)
    r.v.raw_vmcall = 1
    r.expect(R.HYPERCALL, before)
    assert r.vcpu.n_instructions == before + 1
    r.expect(R.HLT)
    assert r.vcpu.n_instructions == before + 4


@pytest.mark.parametrize("op", [SYSCALL, INT_82, b"\xcd\x80"], ids=["syscall", "int 0x82", "int 0x80"])
def test_what_is_no_hypercall_has_not_retired_yet(rig: MakeRig, op: bytes) -> None:
    r = rig(NOP * 2 + op + NOP + HLT)
    r.run()
    assert (r.exit.rip, r.exit.next_rip, r.regs.rip) == (CODE + 2, CODE + 4, CODE + 4)
    assert r.vcpu.n_instructions == 2
    r.exit.retired = 1
    r.expect(R.HLT, 5)
    assert r.vcpu.n_instructions == 4


def test_an_emulated_instruction_counts_when_the_handler_says_so(rig: MakeRig) -> None:
    r = rig(CLI + CLI + HLT)
    r.expect(R.CLI, 0)
    r.emulated(1)
    r.expect(R.CLI, 1)
    assert r.vcpu.n_instructions == 1
    r.regs.rip += 1  # refused: gone on, not executed
    r.expect(R.HLT, 2)
    assert r.vcpu.n_instructions == 1


@pytest.mark.parametrize("budget", [0, 1, 4, 5, 9, 10, 99, 1001, 4000])
def test_the_budget_is_never_exceeded_and_ends_at_a_block(rig: MakeRig, budget: int) -> None:
    body = INC_RAX + NOP
    r = rig(repeat(1 << 20, body))
    r.v.budget = budget
    r.expect(R.BUDGET)
    first, each = 1 + 4, 4
    n_whole = 0 if budget < first else 1 + (budget - first) // each
    assert r.vcpu.n_instructions == (0 if not n_whole else first + each * (n_whole - 1)) <= budget
    assert r.exit.rip == r.regs.rip == CODE + (6 if n_whole else 0)
    assert r.regs.gpr[RAX] == n_whole


def test_a_larger_budget_goes_on_where_the_last_ended(rig: MakeRig) -> None:
    r = rig(repeat(1000, INC_RAX) + HLT)
    n_stops = 0
    while r.run() is R.BUDGET or n_stops == 0:
        n_stops += 1
        r.v.budget = r.vcpu.n_instructions + 100
        assert n_stops < 100
    assert r.exit.reason == R.HLT
    assert (r.regs.gpr[RAX], r.vcpu.n_instructions) == (1000, 3001)


def test_a_budget_that_is_not_reached_stops_nothing(rig: MakeRig) -> None:
    r = rig(NOP * 5 + HLT)
    r.v.budget = 6
    r.expect(R.HLT)
    assert r.vcpu.n_instructions == 5


def test_skipped_time_counts_as_time_but_not_as_instructions(rig: MakeRig) -> None:
    r = rig(NOP + CLI + NOP + HLT)
    r.expect(R.CLI, 1)
    r.v.idle_ns = 1000
    r.emulated(1)
    r.expect(R.HLT)
    assert (r.vcpu.n_instructions, r.vcpu.virtual_ns, r.exit.virtual_ns) == (3, 1003, 1003)


def test_other_code_at_the_same_address_is_counted_anew(rig: MakeRig) -> None:
    """As long as before, but two instructions instead of one; the hypervisor knows of the change."""
    r = rig(b"\x66\x90" * 4 + HLT)
    r.expect(R.HLT, 8)
    assert r.vcpu.n_instructions == 4
    r.memory.write(CODE, NOP * 8)
    r.vcpu.forget_code(CODE)
    r.regs.rip = CODE
    r.expect(R.HLT, 8)
    assert r.vcpu.n_instructions == 4 + 8
    r.map(CODE, CODE + 4096, 0x61)
    r.memory.write(CODE + 4096, b"\x66\x90" * 3 + NOP * 2 + HLT)
    r.vcpu.set_root(r.root)
    r.regs.rip = CODE
    r.expect(R.HLT, 8)
    assert r.vcpu.n_instructions == 4 + 8 + 5


def test_code_that_the_guest_changes_itself_is_counted_anew(rig: MakeRig) -> None:
    patched = DATA
    # call patched; mov word [patched], 0x9090 (two NOPs instead of one of two bytes); call patched
    change = b"\x66\xc7\x04\x25" + le(patched, 4) + b"\x90\x90"
    first = call(CODE, patched)
    code = first + change + call(CODE + len(first) + len(change), patched) + HLT
    r = rig(code)
    r.map(patched, patched, AS_BOTH)
    r.memory.write(patched, b"\x66\x90\xc3")
    r.v.code_writable = 1
    r.run_to_hlt()
    assert r.vcpu.n_instructions == (1 + 2) + 1 + (1 + 3)


def test_counts_of_long_ago_are_not_taken_for_new_ones(rig: MakeRig) -> None:
    """Other code of the same length at the same address, 65,536 epochs later."""
    r = rig(b"\x66\x90" * 4 + HLT)
    r.expect(R.HLT, 8)
    r.memory.write(CODE, NOP * 8)
    r.vcpu.forget_code(CODE)
    for _ in range((1 << 16) - 1):
        r.vcpu.new_epoch()
    r.regs.rip = CODE
    r.expect(R.HLT, 8)
    assert r.vcpu.n_instructions == 4 + 8


def transcript(r: Rig) -> list[tuple[int, ...]]:
    """A run with exits of many kinds: each exit's facts, and the end's registers."""
    r.hypercall_page(VMCALL)
    facts: list[tuple[int, ...]] = []

    def note() -> None:
        x = r.exit
        facts.append((x.reason, x.rip, x.next_rip, x.vector, x.virtual_ns, r.vcpu.n_instructions))

    def serve(reason: R) -> None:
        note()
        if reason is R.CLI:
            r.emulated(1)
        elif reason is R.PAGE_FAULT:
            r.emulated(3)
        elif reason is R.BUDGET:
            r.v.budget += 97

    r.in_hook(note)
    r.v.budget = 97
    r.run_to_hlt(serve)
    return [*facts, tuple(r.regs.gpr), (r.regs.rip, r.vcpu.rflags, r.vcpu.n_instructions)]


def test_two_runs_are_identical(rig: MakeRig) -> None:
    prologue = mov32(RAX, 0)
    body = CLI + b"\xe6\x80" + LOAD + b"\x0f\x31"
    code = prologue + b"\x41\xbf" + le(30, 4) + body
    code += call(CODE + len(code), CALL_PAGE + 32)
    code += b"\x41\xff\xcf\x0f\x85" + le(-(len(code) - 11 + 9), 4) + b"\x31\xc0" + HLT
    runs = [transcript(rig(code)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(runs[0]) > 30 * 5
