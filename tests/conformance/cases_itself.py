# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases that need no room of their own: what one call leaves, another finds; and upper halves everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from pvisor.abi.areas import console, itself, power, time
from pvisor.abi.calls import CALLS
from pvisor.abi.errnos import EFAULT, EINVAL
from pvisor.abi.model import CType
from tests.conformance.case import At, Case, Data, Gpa, Peek, Poke, ResultOf, Start, Step
from tests.conformance.rows import C, D

NOW = Data(bytes(24))
POINTED = Data(b"pointed at")


def _upper_halves() -> Iterator[Case]:
    """Each 32-bit argument of each call with bit 32 set: that is judged before anything else."""
    for call in CALLS:
        for index, arg in enumerate(call.args):
            if arg.type is CType.U32:
                args = tuple(1 << 32 if i == index else 0 for i in range(len(call.args)))
                step = Step(call, args, -EINVAL.number)
                yield Case(f"upper-half-{call.name.lower()}-{arg.name}", (step,))


UPPER_HALVES = tuple(_upper_halves())

CASES: tuple[Case, ...] = (
    Case("time-grows", (
        Step(time.TIME_GET, (NOW,)), Peek(NOW, 4, None), Step(power.YIELD), Step(time.TIME_GET, (NOW,)),
    )),
    Case("a-result-is-an-argument", (
        Step(itself.ABI_VERSION, (), 1),
        Step(console.CONSOLE_WRITE, (At(0), ResultOf(0, 2)), 3),
        Step(itself.FEATURES, (ResultOf(1, 1 << 32),), -EINVAL.number),
        Step(itself.FEATURES, (ResultOf(1),), 0),
    )),
    Case("a-pointer-in-data", (Peek(Data(b"12345678", POINTED), 8, 0x3837363534333231),
                               Peek(POINTED, 4, int.from_bytes(b"poin", "little")))),
    Case("pages-are-mapped-twice", (
        Poke(At(0x10), 4, 0x12345678), Peek(Gpa(0x10), 2, 0x5678), Poke(Gpa(0x12), 1, 0xFF),
        Peek(At(0x10), 8, None), Peek(At(0x10), 4, 0x12FF5678),
    )),
    Case("faults-leave-memory", (
        Step(time.TIME_GET, (At(C - 23),), -EFAULT.number), Peek(At(C - 4), 4, None),
        Step(time.TIME_GET, (At(D),), -EFAULT.number), Step(time.TIME_GET, (Start("root_table"),),
                                                           -EFAULT.number),
    )),
    Case("nobody-wakes", (Step(itself.NOOP), Step(power.BLOCK)), ends=124),
    Case("its-own-crash", (Step(power.SHUTDOWN, (2, 1)),), ends=134),
    *UPPER_HALVES,
)  # fmt: skip
