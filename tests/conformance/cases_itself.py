# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases that need no room of their own: what one call leaves, another finds; and upper halves everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from pvisor.abi import constants
from pvisor.abi.areas import console, cpu, itself, power, time
from pvisor.abi.calls import CALLS
from pvisor.abi.errnos import EFAULT, EINVAL, ENOSYS
from pvisor.abi.model import CType, Hypercall
from tests.conformance.case import At, Case, Data, Gpa, Inside, Peek, Poke, ResultOf, Start, Step, Value
from tests.conformance.rows import C, D

HOLE = constants.HOLE_START.number
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

N_BATCH = itself.MULTICALL_MAX.number
U64 = (1 << 64) - 1


def entry(call: Hypercall | int, *args: Value) -> tuple[Value, ...]:
    """A struct pv_multicall_entry, its result all ones."""
    number = call.nr if isinstance(call, Hypercall) else call
    return (number, *args, *(0 for _ in range(5 - len(args))), U64)


def batch(id: str, *calls: tuple[Value, ...], results: tuple[int | None, ...], n_done: int | None = None,
          ends: int | None = None) -> Case:  # fmt: skip
    """MULTICALL, and each entry's result; None: untouched."""
    calls_at = Data(*(part for call in calls for part in call))
    step = Step(itself.MULTICALL, (calls_at, len(calls)), len(calls) if n_done is None else n_done)
    if ends is not None:
        return Case(f"batch-{id}", (step,), ends=ends)
    peeks = (
        Peek(Inside(calls_at, 56 * i + 48), 8, U64 if result is None else result & U64)
        for i, result in enumerate(results)
    )
    return Case(f"batch-{id}", (step, *peeks))


CASES: tuple[Case, ...] = (
    batch("of-none", results=()),
    batch("of-two", entry(itself.ABI_VERSION), entry(itself.NOOP), results=(1, 0)),
    batch("of-most", *(entry(itself.NOOP) for _ in range(N_BATCH)), results=(0,) * N_BATCH),
    batch("goes-on-behind-an-error", entry(time.TIME_GET, 0), entry(0x7F), entry(itself.FEATURES, 1 << 32),
          entry(itself.NOOP), results=(-EFAULT.number, -ENOSYS.number, -EINVAL.number, 0)),
    batch("number-of-64-bits", entry(1 << 32), results=(-ENOSYS.number,)),
    batch("ends-with-a-yield", entry(itself.NOOP), entry(power.YIELD), entry(itself.NOOP), n_done=2,
          results=(0, 0, None)),
    batch("ends-with-a-shutdown", entry(itself.NOOP), entry(power.SHUTDOWN, 0, 4), entry(itself.NOOP),
          results=(), ends=9),
    batch("ends-with-a-block", entry(power.BLOCK), entry(power.SHUTDOWN), results=(), ends=124),
    batch("ends-with-a-crash", entry(power.SHUTDOWN, 2, 4), results=(), ends=134),
    batch("of-what-cannot-be-in-it", entry(itself.MULTICALL, 0, 0), entry(power.POLL, 0, 0, 1),
          entry(cpu.IRET, 0), entry(power.VCPU_DOWN, 0), entry(power.SHUTDOWN, 3, 0), entry(itself.NOOP),
          results=(-EINVAL.number,) * 5 + (0,)),
    Case("batch-too-large", (
        Step(itself.MULTICALL, (At(0), N_BATCH + 1), -EINVAL.number),
        Step(itself.MULTICALL, (At(0), (1 << 32) - 1), -EINVAL.number),
    )),
    Case("batch-of-nothing", tuple(
        Step(itself.MULTICALL, (at, 1), -EFAULT.number)
        for at in (At(D), At(C), At(C - 55), At(D - 55), 0, HOLE)
    )),
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
