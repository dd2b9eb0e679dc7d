# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual time by hand, for tests of devices."""

from __future__ import annotations

from pvisor.machine.timers import Timers


class HandClock:
    """A clock that a test moves; deadlines act on the way, each at its own time."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.timers = Timers(lambda: self.now_ns)

    def advance(self, ns: int) -> None:
        """Let time pass."""
        end = self.now_ns + ns
        while (due := self.timers.next_due_ns) is not None and due <= end:
            self.now_ns = max(self.now_ns, due)
            self.timers.run_due()
        self.now_ns = end
