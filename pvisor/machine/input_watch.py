# SPDX-License-Identifier: GPL-2.0-or-later
"""Who tells a device that a byte has come? A deadline: at the byte's virtual time, or at the next poll.

While the guest runs, a terminal is polled. While it idles, polling would only make virtual time run, so the
run loop takes the poll off the list of deadlines (`hold`), waits for the host until the next deadline that is
left, and has the device look (`release`).
"""

from __future__ import annotations

from collections.abc import Callable

from pvisor.machine.alarm import Alarm
from pvisor.machine.console import ConsoleInput
from pvisor.machine.timers import Timers


class InputWatch:
    """Calls `look` when something may have come, as long as a device asks for that by `set`."""

    def __init__(self, input: ConsoleInput, timers: Timers, look: Callable[[], object]) -> None:
        self._input = input
        self._timers = timers
        self._look = look
        self._alarm = Alarm(timers, look)
        self._is_held = False

    def set(self, due_ns: int | None) -> None:
        """Look at this virtual time, but not inside this call nor at this same moment again; None: do not."""
        if due_ns is not None:
            due_ns = max(due_ns, self._timers.now() + 1)
        self._alarm.set(due_ns)

    def hold(self) -> bool:
        """The guest idles: put the poll aside. False when there is none, because bytes have virtual times."""
        if self._alarm.due_ns is None:
            self._alarm.drop()
            return False
        if not self._input.is_live or self._input.has_arrived(self._timers.now()):
            return False
        self._alarm.drop()
        self._is_held = True
        return True

    def release(self) -> None:
        """The guest goes on, or the host has something: look, and go on watching."""
        if self._is_held:
            self._is_held = False
            self._look()
