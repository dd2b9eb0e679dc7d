# SPDX-License-Identifier: GPL-2.0-or-later
"""From a hypercall's number to what serves it. Rooms say what they serve; a table holds it by number.

This has no twin: a PC's instructions are told apart by their bytes (full/cpu.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pvisor.abi import constants, errnos
from pvisor.abi.model import CType, Hypercall
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.meeting import MustMeetError
from pvisor.domain.outcome import RESUME, Outcome
from pvisor.para.refusal import GuestError, invalid

ENOSYS = -errnos.ENOSYS.number
N_CALLS = constants.CALLS_PER_PAGE.number * constants.HYPERCALL_PAGES.number
U32_MAX = 0xFFFF_FFFF

Answer = Callable[[Domain, Vcpu, Exit], int]
"""Serves a hypercall: its result, or raises GuestError."""
Decide = Callable[[Domain, Vcpu, Exit], Outcome]
"""The same for one that does more than answer: it sets `exit.result` and decides what happens to the vCPU."""


@dataclass(frozen=True, slots=True)
class Served:
    """The calls that a room serves."""

    answers: Mapping[Hypercall, Answer] = field(default_factory=dict)
    decides: Mapping[Hypercall, Decide] = field(default_factory=dict)


class HypercallTable:
    """Serves a domain's hypercalls by number. A call whose feature is not offered is as good as none."""

    def __init__(self, offered: int, rooms: Iterable[Served]) -> None:
        self.offered = offered
        self._table: list[Decide | None] = [None] * N_CALLS
        for room in rooms:
            for call, answer in room.answers.items():
                self._enter(call, _answering(answer))
            for call, decide in room.decides.items():
                self._enter(call, decide)

    def _enter(self, call: Hypercall, decide: Decide) -> None:
        if self._table[call.nr] is not None:
            raise ValueError(f"{call.name} is served twice")
        if call.feature is None or self.offered & call.feature.mask:
            self._table[call.nr] = _checked(call, decide)

    def serve(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """Serve a hypercall by number; -ENOSYS for one that there is not. MEET: serve it again later."""
        number = exit.number
        decide = self._table[number] if number < N_CALLS else None
        if decide is None:
            exit.result = ENOSYS
            return RESUME
        try:
            return decide(domain, vcpu, exit)
        except GuestError as error:
            exit.result = error.result
            return RESUME
        except MustMeetError:
            return Outcome.MEET


def _answering(answer: Answer) -> Decide:
    def decide(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        exit.result = answer(domain, vcpu, exit)
        return RESUME

    return decide


def _checked(call: Hypercall, decide: Decide) -> Decide:
    """`decide`, after the upper halves of 32-bit arguments were found to be zero."""
    narrow = tuple(i for i, arg in enumerate(call.args) if arg.type is CType.U32)
    if not narrow:
        return decide

    def serve(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        for i in narrow:
            if exit.args[i] > U32_MAX:
                raise invalid()
        return decide(domain, vcpu, exit)

    return serve
