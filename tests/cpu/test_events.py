# SPDX-License-Identifier: GPL-2.0-or-later
"""The event window: when something waits, the vCPU comes back at the first block that may be interrupted."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason as R
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import CLI, CODE, HLT, NOP, STI, Rig, repeat

JUMP_NEXT = b"\xeb\x00"
NEXT_BLOCK = NOP + JUMP_NEXT


def sti(r: Rig) -> None:
    """STI as a wing's handler does it (SDM 2B, STI): no event before the block after it has run."""
    was_clear = not r.vcpu.virtual_if
    r.vcpu.virtual_if = True
    r.emulated(1)
    if was_clear:
        r.v.sti_insns = r.vcpu.n_instructions + 1


def test_nothing_comes_while_events_are_masked(rig: MakeRig) -> None:
    r = rig(NEXT_BLOCK * 50 + HLT)
    r.v.event_pending = 1
    r.vcpu.virtual_if = False
    assert r.run_to_hlt() == []


def test_nothing_comes_where_nothing_waits(rig: MakeRig) -> None:
    r = rig(NEXT_BLOCK * 50 + HLT)
    r.vcpu.virtual_if = True
    assert r.run_to_hlt() == []


def test_a_waiting_event_comes_before_the_first_block(rig: MakeRig) -> None:
    r = rig(NEXT_BLOCK * 2 + HLT)
    r.v.event_pending = 1
    r.vcpu.virtual_if = True
    r.expect(R.EVENT_WINDOW, 0)
    assert r.regs.rip == CODE
    assert r.vcpu.n_instructions == 0
    r.expect(R.EVENT_WINDOW, 0)
    r.v.event_pending = 0
    r.expect(R.HLT, 6)
    assert r.v.counters[R.EVENT_WINDOW].count == 0, "our own wish, not an exit of the guest"


@pytest.mark.parametrize("is_native", [False, True], ids=["python", "native"])
def test_after_sti_one_instruction_runs_first(rig: MakeRig, is_native: bool) -> None:
    r = rig(NOP + STI + NEXT_BLOCK + NEXT_BLOCK + HLT)
    r.v.event_pending = 1
    if is_native:
        r.vcpu.enable_natives("full")
    else:
        r.expect(R.STI, 1)
        sti(r)
    r.expect(R.EVENT_WINDOW, 3)
    assert r.regs.rip == CODE + 3
    assert r.vcpu.n_instructions == 3
    assert r.vcpu.virtual_if
    assert not r.vcpu.rflags & 1 << 8, "the trap flag is not the guest's"
    r.v.event_pending = 0
    r.expect(R.HLT, 8)


@pytest.mark.parametrize("is_native", [False, True], ids=["python", "native"])
def test_a_second_sti_gives_no_second_grace(rig: MakeRig, is_native: bool) -> None:
    r = rig(STI + STI + NEXT_BLOCK + HLT)
    r.v.event_pending = 1
    if is_native:
        r.vcpu.enable_natives("full")
    else:
        r.expect(R.STI, 0)
        sti(r)
        r.expect(R.STI, 1)
        sti(r)
    r.expect(R.EVENT_WINDOW, 2)


@pytest.mark.parametrize("is_native", [False, True], ids=["python", "native"])
def test_cli_right_after_sti_keeps_the_window_closed(rig: MakeRig, is_native: bool) -> None:
    r = rig(STI + CLI + NEXT_BLOCK * 3 + HLT)
    r.v.event_pending = 1

    def serve(reason: R) -> None:
        if reason is R.STI:
            sti(r)
        else:
            r.vcpu.virtual_if = False
            r.emulated(1)

    if is_native:
        r.vcpu.enable_natives("full")
    seen = r.run_to_hlt(serve)
    assert seen == ([] if is_native else [R.STI, R.CLI])
    assert r.vcpu.n_instructions == 8


def test_an_event_that_a_hook_raises_comes_at_the_next_block(rig: MakeRig) -> None:
    r = rig(b"\xe6\x80" + NEXT_BLOCK + NOP + HLT)
    r.vcpu.virtual_if = True

    def serve() -> None:
        r.v.event_pending = 1

    r.in_hook(serve)
    r.expect(R.EVENT_WINDOW, 5)
    assert r.regs.rip == CODE + 5


def test_an_event_does_not_hide_the_budget(rig: MakeRig) -> None:
    r = rig(repeat(1000, NOP) + HLT)
    r.v.event_pending = 1
    r.v.budget = 100
    r.expect(R.BUDGET)
    assert r.vcpu.n_instructions <= 100


def test_a_full_trace_stops_the_guest_before_records_are_lost(rig: MakeRig) -> None:
    n = 70_000
    r = rig(repeat(n, CLI) + HLT)
    r.vcpu.enable_natives("full")
    r.vcpu.start_trace()
    n_records = 0
    while (reason := r.run()) is R.TRACE_FULL:
        assert r.exit.rip == r.regs.rip
        n_records += len(r.vcpu.trace_records())
        r.vcpu.clear_trace()
    assert reason is R.HLT
    assert n_records + len(r.vcpu.trace_records()) == n
    assert r.vcpu.n_instructions == 1 + 3 * n
