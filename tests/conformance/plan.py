# SPDX-License-Identifier: GPL-2.0-or-later
"""A case becomes a plan: plain operations with addresses, the same for handlers and guests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from pvisor.abi.errnos import ERRNOS
from pvisor.abi.model import Hypercall
from pvisor.machine.memory import PAGE_BYTES
from tests.conformance.case import (
    U32,
    WORLDS,
    Asleep,
    At,
    Case,
    Data,
    Frame,
    Gpa,
    Inside,
    Part,
    Peek,
    Poke,
    ResultOf,
    Start,
    Step,
    Value,
)  # fmt: skip
from tests.conformance.verdict import CaseError, Report, Verdict

U64_MASK = (1 << 64) - 1
DATA_BYTES = 32 << 10


class Op(IntEnum):
    """Operations, by the numbers that tests/para/guests/steps.S knows."""

    END = 0
    CALL = 1
    POKE = 2
    PEEK = 3


@dataclass(frozen=True, slots=True)
class Ref:
    """The result of an operation, by its index, plus a number."""

    index: int
    plus: int


Number = int | Ref


@dataclass(frozen=True, slots=True)
class Operation:
    """A CALL of number `what`, or a POKE or PEEK of `what` bytes. `step`: that of the case, or -1."""

    op: Op
    by: int
    what: int
    args: tuple[Number, ...]
    step: int = -1


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in a domain: GVA and GPA of page A, the room for Data, code, the start info."""

    pages: int
    pages_gpa: int
    data: int
    asleep: int
    start: Mapping[str, int]


@dataclass
class Planner:
    """Makes one case's plan."""

    case: Case
    layouts: Mapping[int, Layout]
    operations: list[Operation] = field(default_factory=list)
    contents: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(domid, GPA = GVA, bytes) that are in memory before the first step."""
    _placed: dict[Data, int] = field(default_factory=dict)
    _used: dict[int, int] = field(default_factory=dict)
    _op_of_step: list[int] = field(default_factory=list)

    def plan(self) -> None:
        """Fill `operations` and `contents`. Raises CaseError."""
        if self.case.world not in WORLDS:
            raise CaseError(f"there is no world {self.case.world!r}")
        for index, step in enumerate(self.case.steps):
            if step.by not in self.layouts:
                raise CaseError(f"step {index}: there is no domain {step.by}")
            self._step(index, step)

    def _step(self, index: int, step: Step | Peek | Poke) -> None:
        match step:
            case Step():
                number = step.call.nr if isinstance(step.call, Hypercall) else step.call
                if len(step.args) > 5:
                    raise CaseError(f"step {index}: {len(step.args)} arguments")
                args = tuple(self._number(arg, step.by) for arg in step.args)
                op, what = Op.CALL, number
            case Peek():
                args, op, what = (self._number(step.at, step.by),), Op.PEEK, step.size_bytes
            case Poke():
                args = self._number(step.at, step.by), self._number(step.value, step.by)
                op, what = Op.POKE, step.size_bytes
        if op is not Op.CALL and what not in (1, 2, 4, 8):
            raise CaseError(f"step {index}: {what} bytes")
        self._op_of_step.append(len(self.operations))
        self.operations.append(Operation(op, step.by, what, args, index))

    def _number(self, value: Value, by: int) -> Number:
        layout = self.layouts[by]
        match value:
            case int():
                return value & U64_MASK
            case At(offset):
                return layout.pages + offset
            case Gpa(offset, plus):
                return layout.pages_gpa + offset + plus
            case Frame(index, plus):
                return layout.start["first_free"] + index * PAGE_BYTES + plus
            case Start(member, plus):
                if member not in layout.start:
                    raise CaseError(f"struct pv_start_info has no member {member}")
                return layout.start[member] + plus
            case Asleep():
                return layout.asleep
            case ResultOf(index, plus):
                if not 0 <= index < len(self._op_of_step):
                    raise CaseError(f"step {len(self._op_of_step)} uses the result of step {index}")
                return Ref(self._op_of_step[index], plus)
            case Data():
                return self._place(value, by)
            case Inside(data, offset):
                return self._place(data, by) + offset

    def _place(self, data: Data, by: int) -> int:
        if data in self._placed:
            return self._placed[data]
        at = self.layouts[by].data + self._used.get(by, 0)
        self._placed[data] = at
        self._used[by] = self._used.get(by, 0) + (data.n_bytes + 15 & ~15)
        if self._used[by] > DATA_BYTES:
            raise CaseError(f"more than {DATA_BYTES} bytes of data")
        offset, content = 0, b""
        for part in data.parts:
            number, size = self._part(part, by)
            if isinstance(number, Ref):
                self.operations.append(Operation(Op.POKE, by, size, (at + offset, number)))
                content += bytes(size)
            else:
                content += number
            offset += size
        self.contents.append((by, at, content))
        return at

    def _part(self, part: Part, by: int) -> tuple[bytes | Ref, int]:
        if isinstance(part, bytes):
            return part, len(part)
        size = 4 if isinstance(part, U32) else 8
        number = self._number(part.value if isinstance(part, U32) else part, by)
        return (number if isinstance(number, Ref) else number.to_bytes(size, "little")), size


def compare(case: Case, operations: list[Operation], results: list[int | None], ending: str = "") -> Report:
    """Hold the results (by operation; None: it was not reached) against the case's steps.

    `ending` says how a domain has ended that should not have, or not in this way.
    """
    for operation, result in zip(operations, results, strict=True):
        if operation.step < 0 or operation.op is Op.POKE:
            continue
        is_last = operation.step == len(case.steps) - 1
        if case.ends is not None and is_last:
            continue
        step = case.steps[operation.step]
        wanted = None if isinstance(step, Poke) else step.result
        if result is None:
            return Report(Verdict.CRASH, f"{_name(case, operation)} was not reached or not left: {ending}")
        if operation.op is Op.CALL:
            result = signed(result)
        if result < 0 if wanted is None and operation.op is Op.CALL else wanted not in (None, result):
            return Report(
                Verdict.FAILURE,
                f"{_name(case, operation)} gave {_result(result)}, not "
                f"{'a result' if wanted is None else _result(wanted)}",
            )
    return Report(Verdict.CRASH, ending) if ending else Report(Verdict.SUCCESS)


def signed(result: int) -> int:
    """RAX as the signed number that it is."""
    return result - (1 << 64) if result >> 63 else result


def _name(case: Case, operation: Operation) -> str:
    step = case.steps[operation.step]
    what = type(step).__name__.lower()
    if isinstance(step, Step):
        what = step.call.name if isinstance(step.call, Hypercall) else f"{step.call:#x}"
    return f"step {operation.step}, {what} of domain {operation.by},"


def _result(result: int) -> str:
    return next((f"-{errno.name}" for errno in ERRNOS if errno.number == -result), f"{result:#x}")
