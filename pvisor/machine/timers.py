# SPDX-License-Identifier: GPL-2.0-or-later
"""What shall happen at which virtual time: the one list of deadlines that a domain's devices share."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

NEVER = (1 << 64) - 1
N_OWN = 8


MAX_LATE_NS = 10_000
"""Where a seed varies it, a deadline is heard of less than this late."""
_U64_MAX = NEVER


def vary(seed: int, at_ns: int, span_ns: int) -> int:
    """A number below `span_ns` by seed and time, 0 for the seed 0: SplitMix64 (Steele, Lea, Flood, 2014)."""
    if not seed:
        return 0
    z = (seed ^ at_ns) + 0x9E37_79B9_7F4A_7C15 & _U64_MAX
    z = (z ^ z >> 30) * 0xBF58_476D_1CE4_E5B9 & _U64_MAX
    z = (z ^ z >> 27) * 0x94D0_49BB_1331_11EB & _U64_MAX
    return (z ^ z >> 31) % span_ns


class Cell(Protocol):
    """Where an OwnTimer's deadline stands; due_ns is NEVER when there is none."""

    due_ns: int
    order: int


class Shared(Protocol):
    """What native handlers know of the list: how many deadlines were made, the earliest, and the own ones."""

    n_made: int
    listed_ns: int
    n_acted: int
    seed: int

    @property
    def own(self) -> Sequence[Cell]:
        """The cells of N_OWN own timers."""


@dataclass(slots=True)
class _PlainCell:
    due_ns: int = NEVER
    order: int = 0


@dataclass(slots=True)
class _Plain:
    """The same for a list that no native handler knows."""

    n_made: int = 0
    listed_ns: int = NEVER
    n_acted: int = 0
    seed: int = 0
    own: list[_PlainCell] = field(default_factory=lambda: [_PlainCell() for _ in range(N_OWN)])


class Timer:
    """One deadline. It acts once, at or after `due_ns`, unless it is cancelled before."""

    __slots__ = ("_on_cancel", "act", "due_ns", "is_over")

    def __init__(
        self, due_ns: int, act: Callable[[], object], on_cancel: Callable[[], object] = lambda: None
    ) -> None:
        self.due_ns = due_ns
        self.act = act
        self.is_over = False
        self._on_cancel = on_cancel

    def cancel(self) -> None:
        """Do not act after all. A timer that has acted may be cancelled, too."""
        if not self.is_over:
            self.is_over = True
            self._on_cancel()


class OwnTimer:
    """The one deadline of a device, which its native handlers set as well: in a cell of their memory.

    `index` is the number of the cell.
    """

    def __init__(self, timers: Timers, index: int, cell: Cell, act: Callable[[], object]) -> None:
        self.index = index
        self.act = act
        self.cell = cell
        self._timers = timers

    @property
    def due_ns(self) -> int | None:
        """When it acts, or None."""
        due_ns = self.cell.due_ns
        return None if due_ns == NEVER else due_ns

    def set(self, due_ns: int | None) -> None:
        """Act at this time and at no other; None: not at all."""
        self.cell.due_ns = NEVER if due_ns is None else min(due_ns, NEVER)
        if due_ns is not None:
            self.cell.order = self._timers.next_order()
        self._timers.on_change()


class Timers:
    """Deadlines in virtual nanoseconds. `now` gives the time; `on_change` hears of a new `next_due_ns`.

    `shared` is the memory that native handlers see, pv_deadlines of full/native/deadlines_state.h.

    With a seed the vCPU hears of each deadline up to MAX_LATE_NS late, by the same measure in each run: no
    data sheet says how soon a device's event becomes an interrupt that the CPU takes. Another seed makes the
    guest and its interrupts meet elsewhere.
    """

    def __init__(
        self,
        now: Callable[[], int],
        on_change: Callable[[], object] = lambda: None,
        shared: Shared | None = None,
    ) -> None:
        self.now = now
        self.on_change = on_change
        self.run_natively: Callable[[], object] = lambda: None
        """Called when something may be due: native handlers act for their deadlines that come first."""
        self._shared: Shared = _Plain() if shared is None else shared
        self._own: list[OwnTimer] = []
        self._heap: list[tuple[int, int, Timer]] = []
        self._n_cancelled = 0

    @property
    def seed(self) -> int:
        """Of how late deadlines are heard of; 0: at once."""
        return int(self._shared.seed)

    @seed.setter
    def seed(self, seed: int) -> None:
        self._shared.seed = seed

    def own(self, act: Callable[[], object]) -> OwnTimer:
        """A deadline for a device with native handlers; it has none at first. There are N_OWN at most."""
        index = len(self._own)
        timer = OwnTimer(self, index, self._shared.own[index], act)
        self._own.append(timer)
        return timer

    def at(self, due_ns: int, act: Callable[[], object]) -> Timer:
        """Act at a virtual time; one that has passed is due at once, but never inside this call."""
        timer = Timer(due_ns, act, self._cancelled)
        heapq.heappush(self._heap, (due_ns, self.next_order(), timer))
        self._changed()
        return timer

    def next_order(self) -> int:
        """For one more deadline: of those of one time, the first that was made acts first."""
        self._shared.n_made += 1
        return self._shared.n_made

    @property
    def n_acted(self) -> int:
        """Deadlines that came."""
        return int(self._shared.n_acted)

    def _next_listed(self) -> Timer | None:
        while self._heap and self._heap[0][2].is_over:
            heapq.heappop(self._heap)
            self._n_cancelled -= 1
        return self._heap[0][2] if self._heap else None

    def _next(self) -> tuple[int, int, OwnTimer | None]:
        """The earliest deadline: its time and order, and whose it is if it is an own one."""
        listed = self._next_listed()
        found: tuple[int, int, OwnTimer | None] = (NEVER, 0, None)
        if listed is not None:
            found = (self._heap[0][0], self._heap[0][1], None)
        for timer in self._own:
            cell = timer.cell
            due_ns = cell.due_ns
            if due_ns < found[0] or (due_ns == found[0] != NEVER and cell.order < found[1]):
                found = (due_ns, cell.order, timer)
        return found

    @property
    def next_due_ns(self) -> int | None:
        """When the earliest deadline is heard of, or None."""
        due_ns = self._next()[0]
        if due_ns == NEVER:
            return None
        return due_ns + vary(self.seed, due_ns, MAX_LATE_NS) if due_ns <= NEVER - MAX_LATE_NS else due_ns

    def run_due(self) -> None:
        """Act for every deadline up to now: by time, those of one time in the order of their making."""
        self.run_natively()
        now = self.now()
        while True:
            due_ns, _, own = self._next()
            if due_ns > now or due_ns == NEVER:
                break
            self._shared.n_acted += 1
            if own is not None:
                own.cell.due_ns = NEVER
                own.act()
            else:
                timer = heapq.heappop(self._heap)[2]
                timer.is_over = True
                timer.act()
        self._changed()

    def _cancelled(self) -> None:
        """A guest may set and cancel for ever: the list is cleaned when most of it is cancelled."""
        self._n_cancelled += 1
        if self._n_cancelled > 64 and 2 * self._n_cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2].is_over]
            heapq.heapify(self._heap)
            self._n_cancelled = 0
        self._changed()

    def _changed(self) -> None:
        listed = self._next_listed()
        self._shared.listed_ns = NEVER if listed is None else min(listed.due_ns, NEVER)
        self.on_change()
