# SPDX-License-Identifier: GPL-2.0-or-later
"""What shall happen at which virtual time: the one list of deadlines that a domain's devices share."""

from __future__ import annotations

import heapq
from collections.abc import Callable


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


class Timers:
    """Deadlines in virtual nanoseconds. `now` gives the time; `on_change` hears of a new `next_due_ns`."""

    def __init__(self, now: Callable[[], int], on_change: Callable[[], object] = lambda: None) -> None:
        self.now = now
        self.on_change = on_change
        self._heap: list[tuple[int, int, Timer]] = []
        self.n_acted = 0
        """Deadlines that came."""
        self._n_made = 0
        self._n_cancelled = 0

    def at(self, due_ns: int, act: Callable[[], object]) -> Timer:
        """Act at a virtual time; one that has passed is due at once, but never inside this call."""
        timer = Timer(due_ns, act, self._cancelled)
        self._n_made += 1
        heapq.heappush(self._heap, (due_ns, self._n_made, timer))
        self.on_change()
        return timer

    @property
    def next_due_ns(self) -> int | None:
        """The earliest deadline, or None."""
        while self._heap and self._heap[0][2].is_over:
            heapq.heappop(self._heap)
            self._n_cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def run_due(self) -> None:
        """Act for every deadline up to now: by time, those of one time in the order of their making."""
        now = self.now()
        while (due := self.next_due_ns) is not None and due <= now:
            timer = heapq.heappop(self._heap)[2]
            timer.is_over = True
            self.n_acted += 1
            timer.act()
        self.on_change()

    def _cancelled(self) -> None:
        """A guest may set and cancel for ever: the list is cleaned when most of it is cancelled."""
        self._n_cancelled += 1
        if self._n_cancelled > 64 and 2 * self._n_cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2].is_over]
            heapq.heapify(self._heap)
            self._n_cancelled = 0
        self.on_change()
