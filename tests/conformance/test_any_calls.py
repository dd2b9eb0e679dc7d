# SPDX-License-Identifier: GPL-2.0-or-later
"""Any call with any arguments, in any order: the answer is a success or an error that its row promises.

No other exception leaves a handler, and a call that is refused has changed no memory. Two domains on the same
hubs, without a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.abi.calls import CALLS
from pvisor.abi.errnos import ENOSYS
from pvisor.abi.model import CType, Hypercall
from tests.conformance.case import At, Case, Data, Frame, ResultOf, Start, Step, Value
from tests.conformance.plan import Planner, signed
from tests.conformance.rows import HOLE, C, D
from tests.conformance.world import CHANGED, build_world, run

ENDING = ("SHUTDOWN", "BLOCK", "POLL", "VCPU_DOWN", "IRET")
"""Calls that end or leave the guest: not among those tried here."""
TRIED = [call for call in CALLS if call.name not in ENDING]

SMALL = st.integers(0, 8)
EDGES = st.sampled_from((0x7F, 0x80, 0x1FF, 0x200, 1023, 1024, 4095, 4096, 0x7FF0, (1 << 32) - 1))
WORDS = st.sampled_from((1 << 32, 1 << 36, 1 << 40, 1 << 47, (1 << 63) + 3, HOLE, (1 << 64) - 1))
PLACES: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from([At(0), At(8), At(C), At(C - 8), At(D - 8), At(D), Start("root_table"),
                     Start("root_table", 2048), Start("shared_info"), Start("memory_bytes")]),
    st.builds(Frame, st.integers(0, 3), st.sampled_from((0, 1, 3, 8, (1 << 63) | 1, (1 << 63) | 3))),
)  # fmt: skip
NUMBERS: st.SearchStrategy[Value] = st.one_of(SMALL, EDGES, WORDS, PLACES)
PARTS: st.SearchStrategy[list[Value]] = st.lists(st.one_of(SMALL, PLACES, WORDS), max_size=12)
CONTENT = PARTS.map(lambda parts: Data(*parts, bytes(64)))

KINDS: Mapping[CType, Sequence[st.SearchStrategy[Value]]] = {
    CType.GVA: (CONTENT, CONTENT, PLACES),
    CType.U64: (PLACES, NUMBERS),
    CType.U32: (SMALL, SMALL, SMALL, EDGES, WORDS),
}
"""What an argument of a type is made of."""


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """Calls by both domains; an argument may be the result of a call before it."""
    made: list[Step] = []
    for _ in range(draw(st.integers(1, 12))):
        call = draw(st.sampled_from(TRIED))
        args: list[Value] = []
        for arg in call.args:
            results = [st.integers(0, len(made) - 1).map(ResultOf)] if made else []
            args.append(draw(st.one_of(*KINDS[arg.type], *results)))
        made.append(Step(call, tuple(args), None, draw(st.sampled_from((1, 1, 2)))))
    return made


def promised(call: Hypercall, result: int) -> bool:
    """Is it a result that the row knows?"""
    return result >= 0 or any(errno.number == -result for errno in (*call.errors, ENOSYS))


@settings(max_examples=200, deadline=None)
@given(steps())
def test_any_calls(made: list[Step]) -> None:
    world = build_world("two")
    case = Case("any", tuple(made), "two")
    plan = Planner(case, {domid: player.layout for domid, player in world.players.items()})
    plan.plan()
    for domid, at, content in plan.contents:
        world.players[domid].domain.memory.write(at, content)
    results, ending = run(world, plan.operations)
    assert not ending.startswith(CHANGED), ending
    assert not ending, ending
    for operation, result in zip(plan.operations, results, strict=True):
        if operation.step >= 0:
            call = made[operation.step].call
            assert isinstance(call, Hypercall) and result is not None
            assert promised(call, signed(result)), f"{call.name} gave {signed(result)}"
