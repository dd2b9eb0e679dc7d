# SPDX-License-Identifier: GPL-2.0-or-later
"""Promises about several calls in a row: cases, as data. `rows.py` has those about a single call.

A case is a few steps, made in order by one guest; each has its result. A file `cases_<area>.py` has them in
`CASES`, and is found by itself. Every case is tried on the bare handlers (`world.py`, by `room` of the same
file) and again by a real guest that reads the steps from its memory: every transport, both tiers.

Arguments are numbers, or one of the values below, which become numbers where the case is run:

    Step(events.EVENT_ALLOC, (2,), None)                 any result that is no error
    Step(events.EVENT_CLOSE, (ResultOf(0),), 0)          the result of step 0
    Step(time.TIME_GET, (At(C),), -EFAULT.number)        an address in the four test pages of rows.py
    out = Data(bytes(24))
    Step(time.TIME_GET, (out,), 0)                       the address of 24 bytes of the guest's memory
    Peek(out, 8, None)                                   eight bytes of them, as the guest then sees them
    Step(store.STORE_READ, (Data(Data(b"name"), Data(bytes(9)), U32(4), U32(9), bytes(8)),), ...)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from pvisor.abi.errnos import ERRNOS
from pvisor.abi.model import Errno, Hypercall

WORLDS = ("alone", "two")


@dataclass(frozen=True, slots=True)
class At:
    """The GVA of an offset in the four test pages: A and B may be written, C only read, D is not there."""

    offset: int


@dataclass(frozen=True, slots=True)
class Gpa:
    """The GPA of an offset in pages A, B and C. Their frames are mapped once more, where GVA = GPA."""

    offset: int
    plus: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """The GPA, and GVA, of the guest's unused frame number `index`, plus a number: bits of an entry, say."""

    index: int
    plus: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """A member of struct pv_start_info, plus a number: `Start("shared_info", 0x80)`."""

    member: str
    plus: int = 0


@dataclass(frozen=True, slots=True)
class Asleep:
    """The GVA of code of the kernel that calls BLOCK for ever; RDI holds the hypercall page's address."""


@dataclass(frozen=True, slots=True)
class ResultOf:
    """The result of the step with this index in the case's steps, plus a number."""

    index: int
    plus: int = 0


@dataclass(frozen=True, slots=True)
class U32:
    """Four bytes in Data."""

    value: int | ResultOf


class Data:
    """Bytes of the guest's memory; as an argument their address. A part that is a value takes eight bytes.

    They are put there, at a multiple of 16, before the first step that names this object. A later step that
    names the same object finds them as they are then.
    """

    def __init__(self, *parts: Part) -> None:
        self.parts = parts

    @property
    def n_bytes(self) -> int:
        """How many."""
        return sum(len(p) if isinstance(p, bytes) else 4 if isinstance(p, U32) else 8 for p in self.parts)


@dataclass(frozen=True, slots=True)
class Inside:
    """The address of an offset in Data."""

    data: Data
    offset: int


Value = int | At | Gpa | Frame | Start | Asleep | ResultOf | Data | Inside
Part = bytes | U32 | Value


@dataclass(frozen=True, slots=True)
class Step:
    """A call with its result; None stands for any that is no error. `by` is the domain that makes it."""

    call: Hypercall | int
    args: tuple[Value, ...] = ()
    result: int | None = 0
    by: int = 1


@dataclass(frozen=True, slots=True)
class Peek:
    """The guest reads a number of 1, 2, 4 or 8 bytes of its memory. A result of None: any."""

    at: Value
    size_bytes: int
    result: int | None
    by: int = 1


@dataclass(frozen=True, slots=True)
class Poke:
    """The guest writes a number of 1, 2, 4 or 8 bytes to its memory."""

    at: Value
    size_bytes: int
    value: Value
    by: int = 1


@dataclass(frozen=True, slots=True)
class Case:
    """Steps in order. In world "two" there is a second domain, number 2, which does nothing by itself.

    `ends` is the exit status that the last step ends domain 1 with; 134 where it crashes it.
    """

    id: str
    steps: tuple[Step | Peek | Poke, ...]
    world: str = "alone"
    ends: int | None = None
    n_vcpus: int = 1
    """Virtual CPUs of each domain; all steps are number 0's."""
    by_guests_only: bool = False
    """Does it look at memory through tables that it has changed? The bare handlers have a fixed map."""
    takes_cpu: bool = False
    """It is about what a mapping shows, or the CPU does: without one it says nothing."""

    @property
    def calls(self) -> list[Hypercall]:
        """The calls of its steps."""
        steps = [step for step in self.steps if isinstance(step, Step)]
        return [step.call for step in steps if isinstance(step.call, Hypercall)]

    @property
    def needs(self) -> int:
        """The features without which the case says nothing."""
        mask = 0
        for call in self.calls:
            mask |= call.feature.mask if call.feature is not None else 0
        return mask

    def tried(self) -> Iterator[tuple[Hypercall, Errno | None]]:
        """Each call with the error that a step of it wants, None for a success."""
        by_result = {-errno.number: errno for errno in ERRNOS}
        for step in self.steps:
            if isinstance(step, Step) and isinstance(step.call, Hypercall):
                yield step.call, None if step.result is None else by_result.get(step.result)


AREAS = ("itself", "console", "time", "power", "memory", "events", "grants", "store", "cpu")
"""The order in which areas bring their rooms: a later one may use an earlier one's parts."""


def area_modules() -> list[ModuleType]:
    """The modules `cases_<area>`, as far as there are any: those of AREAS first, then others by name."""
    found = {path.stem.removeprefix("cases_") for path in Path(__file__).parent.glob("cases_*.py")}
    names = [area for area in AREAS if area in found] + sorted(found - set(AREAS))
    return [import_module(f"tests.conformance.cases_{name}") for name in names]


def all_cases() -> tuple[Case, ...]:
    """Every case of every area."""
    return tuple(case for module in area_modules() for case in module.CASES)

