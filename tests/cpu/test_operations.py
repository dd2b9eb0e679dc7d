# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations: what the calls of one guest function cost, counted from outside without changing the guest."""

from __future__ import annotations

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import RCX
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import CALL_PAGE, CLI, CODE, HLT, NOP, SYSCALL, Rig, call, le, mov32

FUNCTION = CODE + 0x800
INC_RAX, RET = b"\x48\xff\xc0", b"\xc3"


def calling(n: int, function: bytes) -> bytes:
    """Call FUNCTION n times in a loop, then HLT."""
    body = b"\x41\xbf" + le(n, 4) + call(CODE + 6, FUNCTION) + b"\x41\xff\xcf\x75" + le(-10, 1) + HLT
    return body.ljust(FUNCTION - CODE, b"\xcc") + function


def watched(r: Rig, *addresses: int) -> Rig:
    for address in addresses:
        assert r.vcpu.watch_operation(address)
    return r


def test_calls_and_instructions_are_counted_exactly(rig: MakeRig) -> None:
    r = watched(rig(calling(5, INC_RAX + NOP + RET)), FUNCTION)
    r.run_to_hlt()
    assert r.vcpu.operations() == [(FUNCTION, 5, 0, 5 * 3)]
    assert r.vcpu.n_instructions == 1 + 5 * (3 + 3)


def test_watching_changes_nothing_for_the_guest(rig: MakeRig) -> None:
    ends = []
    for watch in (False, True):
        r = rig(calling(1000, INC_RAX + RET))
        if watch:
            watched(r, FUNCTION)
        r.run_to_hlt()
        ends.append((tuple(r.regs.gpr), r.vcpu.n_instructions))
    assert ends[0] == ends[1]


def test_exits_inside_the_function_are_its_own(rig: MakeRig) -> None:
    # The function: cli; out; call NOOP's stub; ret. And one CLI of the caller's.
    function = CLI + b"\xe6\x80" + call(FUNCTION + 3, CALL_PAGE + 64) + RET
    r = watched(rig(calling(4, function)), FUNCTION)
    r.memory.write(CODE + 0x700, CLI + b"\xe9" + le(-0x706, 4))
    r.regs.rip = CODE + 0x700
    r.hypercall_page(SYSCALL)
    r.in_hook(lambda: None)

    def serve(reason: R) -> None:
        if reason is R.CLI:
            r.emulated(1)

    r.run_to_hlt(serve)
    assert r.vcpu.operations() == [(FUNCTION, 4, 4 * 3, 4 * (2 + 1 + 3 + 1))]
    assert r.v.exits_total == 1 + 4 * 3


def test_a_function_of_many_blocks(rig: MakeRig) -> None:
    # mov ecx, 10; loop: dec ecx; jnz loop; ret
    r = watched(rig(calling(3, mov32(RCX, 10) + b"\xff\xc9\x75\xfc" + RET)), FUNCTION)
    r.run_to_hlt()
    assert r.vcpu.operations() == [(FUNCTION, 3, 0, 3 * (1 + 20 + 1))]


def test_recursion_counts_each_call_with_all_that_it_called(rig: MakeRig) -> None:
    # dec ecx; jz +5; call FUNCTION; ret: n calls deep, of 4 instructions each but the last of 3
    r = watched(rig(calling(1, b"\xff\xc9\x74\x05" + call(FUNCTION + 4, FUNCTION) + RET)), FUNCTION)
    depth = 10
    r.regs.gpr[RCX] = depth
    r.run_to_hlt()
    inclusive = [3 + 4 * i for i in range(depth)]
    assert r.vcpu.operations() == [(FUNCTION, depth, 0, sum(inclusive))]


def test_a_function_that_calls_another_contains_it(rig: MakeRig) -> None:
    inner = FUNCTION + 0x100
    outer = call(FUNCTION, inner) + call(FUNCTION + 5, inner) + RET
    r = watched(rig(calling(2, outer.ljust(0x100, b"\xcc") + NOP + RET)), FUNCTION, inner)
    r.run_to_hlt()
    assert r.vcpu.operations() == [(FUNCTION, 2, 0, 2 * (3 + 4)), (inner, 4, 0, 4 * 2)]


def test_a_call_that_never_returns_counts_up_to_the_end(rig: MakeRig) -> None:
    r = watched(rig(calling(1, CLI + NOP * 2 + HLT)), FUNCTION)

    def serve(reason: R) -> None:
        r.emulated(1)

    r.run_to_hlt(serve)
    assert r.vcpu.operations() == [(FUNCTION, 1, 1, 3)]
    assert r.vcpu.operations() == [(FUNCTION, 1, 1, 3)], "asking again adds nothing"


def test_frames_that_were_jumped_out_of_end_there(rig: MakeRig) -> None:
    """As longjmp does: the callee drops its own and its caller's return address, and goes back two levels."""
    inner = FUNCTION + 0x100
    outer = call(FUNCTION, inner) + NOP * 5 + RET
    drop = b"\x48\x83\xc4\x08" + RET  # add rsp, 8; ret
    r = watched(rig(calling(3, outer.ljust(0x100, b"\xcc") + drop)), FUNCTION, inner)
    r.run_to_hlt()
    assert r.vcpu.operations() == [(FUNCTION, 3, 0, 3 * 3), (inner, 3, 0, 3 * 2)]


def test_a_return_address_that_ran_before_the_call_is_still_seen(rig: MakeRig) -> None:
    """First the code after the call runs, so that its block is known; then the call."""
    after = CODE + 6 + 5
    r = rig(calling(2, INC_RAX + RET))
    r.memory.write(CODE + 0x700, b"\x41\xbf" + le(3, 4) + b"\xe9" + le(after - (CODE + 0x700 + 11), 4))
    r.regs.rip = CODE + 0x700
    watched(r, FUNCTION)
    r.run_to_hlt()
    assert r.vcpu.operations() == [(FUNCTION, 2, 0, 4)]


def test_a_function_that_is_never_called(rig: MakeRig) -> None:
    r = watched(rig(calling(1, RET)), FUNCTION + 0x100)
    r.run_to_hlt()
    assert r.vcpu.operations() == [(FUNCTION + 0x100, 0, 0, 0)]


def test_there_is_room_for_64_functions(rig: MakeRig) -> None:
    r = rig(HLT)
    assert [r.vcpu.watch_operation(0x5000 + i) for i in range(65)] == [True] * 64 + [False]
