# SPDX-License-Identifier: GPL-2.0-or-later
"""A deadline that can be moved: what a device has one of, and a guest may move as often as it likes.

Moving it later costs nothing, so a guest that does so in a loop leaves no heap of cancelled timers behind.
"""

from __future__ import annotations

from collections.abc import Callable

from pvisor.machine.timers import Timer, Timers


class Alarm:
    """Calls `act` once, at or after `due_ns`; None: never. It is set anew for each call."""

    __slots__ = ("_act", "_timer", "_timers", "due_ns")

    def __init__(self, timers: Timers, act: Callable[[], object]) -> None:
        self._timers = timers
        self._act = act
        self._timer: Timer | None = None
        self.due_ns: int | None = None

    def set(self, due_ns: int | None) -> None:
        """Move the deadline. A timer that would come too early stays: when it comes, it is set anew."""
        self.due_ns = due_ns
        if due_ns is None or (self._timer is not None and self._timer.due_ns <= due_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timers.at(due_ns, self._ring)

    def drop(self) -> None:
        """No deadline, and no timer either: for a guest that idles, the next deadline is another's."""
        self.due_ns = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        due_ns = self.due_ns
        if due_ns is None:
            return
        if due_ns > self._timers.now():
            self.set(due_ns)
        else:
            self.due_ns = None
            self._act()
