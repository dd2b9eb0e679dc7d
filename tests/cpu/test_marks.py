# SPDX-License-Identifier: GPL-2.0-or-later
"""Marks and places: who watches is told when code is reached first, and where the guest was left."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.errors import PvisorError
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import CLI, CODE, HLT, NOP, call, le

FUNCTION = CODE + 0x800
INC_RAX, RET = b"\x48\xff\xc0", b"\xc3"


def calling(n: int, function: bytes) -> bytes:
    """Call FUNCTION n times in a loop, then HLT."""
    body = b"\x41\xbf" + le(n, 4) + call(CODE + 6, FUNCTION) + b"\x41\xff\xcf\x75" + le(-10, 1) + HLT
    return body.ljust(FUNCTION - CODE, b"\xcc") + function


def test_the_run_stops_once_before_the_first_block(rig: MakeRig) -> None:
    r = rig(calling(5, INC_RAX + RET))
    index = r.vcpu.mark(FUNCTION, FUNCTION)
    assert r.vcpu.run() == R.KICK
    assert (r.exit.rip, r.vcpu.n_instructions, r.regs.gpr[0]) == (FUNCTION, 2, 0)
    assert (r.vcpu.marks_met(), r.vcpu.marks_met()) == (1 << index, 0)
    r.v.kick = 0
    r.run_to_hlt()
    assert r.vcpu.n_instructions == 1 + 5 * (3 + 2)


def test_a_mark_of_user_code_is_not_met_by_the_kernel(rig: MakeRig) -> None:
    r = rig(NOP * 3 + HLT)
    r.vcpu.mark(0, (1 << 64) - 1, user_only=True)
    r.run_to_hlt()
    assert r.vcpu.marks_met() == 0


def test_a_mark_may_be_set_again_and_there_are_eight(rig: MakeRig) -> None:
    r = rig(calling(2, RET))
    for i in range(8):
        r.vcpu.mark(FUNCTION + i, FUNCTION + i)
    with pytest.raises(PvisorError):
        r.vcpu.mark(0, 0)
    assert r.vcpu.run() == R.KICK
    assert r.vcpu.marks_met() == 1
    assert r.vcpu.mark(0, 0) == 0


def test_exits_are_counted_by_place(rig: MakeRig) -> None:
    r = rig(calling(4, CLI + NOP + CLI + RET))
    assert r.vcpu.places() == ({}, 0)
    r.vcpu.start_places()

    def serve(reason: R) -> None:
        r.emulated(1)

    r.run_to_hlt(serve)
    r.vcpu.complete()
    found, n_elsewhere = r.vcpu.places()
    assert found.pop((CODE + 6 + 5 + 5, R.HLT), 1) == 1
    assert (found, n_elsewhere) == ({(FUNCTION, R.CLI): 4, (FUNCTION + 2, R.CLI): 4}, 0)
