# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns that end and begin in C: what native handlers know of a physical CPU, and what they tell it later.

A vCPU that wakes another and blocks hands the CPU over to it without Python (para/native/turns.c), as long
as the scheduler would have no choice: nobody else waits for a turn, nothing is due, no period of credit ends.
When Python gets the CPU back, it first does the accounts of what has happened, and is where it would be had
it seen each turn itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from pvisor.cpu.shim import ffi, lib
from pvisor.vmm.credit import RATE_LIMIT_NS

if TYPE_CHECKING:
    from pvisor.vmm.member import Runner

TURNED: int = lib.PV_TURNED
"""Added to an exit's reason: turns have ended in C, or a vCPU was woken there."""


class Handovers:
    """One physical CPU's part of it (`pv_turns`), with those of its vCPUs that have a `pv_runner`."""

    def __init__(self) -> None:
        self._turns: Any = ffi.new("pv_turns *", {"rate_limit_ns": RATE_LIMIT_NS})
        self._runners: dict[int, Runner] = {}
        self._n_joined = 0
        self._n_waiting, self._stop_ns = 0, 0
        """As they were written to C, which costs more than a look at them."""

    def join(self, runner: Runner) -> None:
        """A vCPU comes. What it returns when it is entered may have TURNED added from now on."""
        native, turns = runner.native, self._turns
        native.cpu, native.index, native.has_cap = turns, self._n_joined, runner.account.cap_percent != 0
        self._runners[self._n_joined] = runner
        self._n_joined += 1
        runner.turn.enter = partial(runner.vcpu.run_turns, turns)  # type: ignore[attr-defined]

    def leave(self, runner: Runner) -> None:
        """It goes: nothing wakes it any more."""
        del self._runners[runner.native.index]
        runner.native.is_asleep, runner.native.cpu = 0, ffi.NULL
        runner.turn.enter = runner.vcpu.run

    def bound(self, n_waiting: int, stop_ns: int) -> None:
        """How many wait for their turn, and until when nothing is due."""
        if n_waiting != self._n_waiting:
            self._n_waiting = self._turns.n_waiting = n_waiting
        if stop_ns != self._stop_ns:
            self._stop_ns = self._turns.stop_ns = stop_ns

    def is_due_at(self, due_ns: int) -> None:
        """Something is due, and earlier perhaps than all else."""
        if due_ns < self._stop_ns:
            self._stop_ns = self._turns.stop_ns = due_ns

    # --- what has happened

    def current(self) -> Runner:
        """Who runs."""
        return self._runners[self._turns.current.index]

    def take_ended(self) -> Iterator[tuple[Runner, int]]:
        """Whose turns have ended by blocking, and how long they were together."""
        native, self._turns.ended = self._turns.ended, ffi.NULL
        while native != ffi.NULL:
            ran_ns, native.ran_ns, native.has_ended_turns = int(native.ran_ns), 0, 0
            yield self._runners[native.index], ran_ns
            native = native.next

    def last_turn(self) -> tuple[Runner, int]:
        """Whose turn has ended last, and how long it was."""
        return self._runners[self._turns.last.index], int(self._turns.last_ran_ns)

    def take_woken(self) -> Runner | None:
        """Who was woken, and waits for its turn."""
        native, self._turns.woken = self._turns.woken, ffi.NULL
        return None if native == ffi.NULL else self._runners[native.index]
