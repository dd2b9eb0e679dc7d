# SPDX-License-Identifier: GPL-2.0-or-later
"""A switch between domains whose clocks run side by side, on threads of their own.

What they send is put aside, and passed on when all of them have stopped at one virtual time: in the order of
the times of sending, and of the ports' numbers where those are equal. So it does not matter which thread was
faster. A frame arrives LATENCY_NS after it was sent, but not before that common time.
"""

from __future__ import annotations

from pvisor.machine.switch import OnFrame, Port, Receive, Switch
from pvisor.machine.timers import Timers

MAX_PUT_ASIDE = 1024
"""Frames that one port may send in a step. Those beyond are lost; no port gets more than MAX_IN_FLIGHT."""


class SteppedSwitch(Switch):
    """A switch that passes frames on when it is told to."""

    def __init__(self, on_frame: OnFrame = lambda virtual_ns, frame: None) -> None:
        super().__init__(on_frame)
        self._numbers: dict[Port, int] = {}
        self._waiting: list[tuple[int, int, int, Port, bytes]] = []
        self._n_put_aside: dict[Port, int] = {}

    def attach(self, timers: Timers, receive: Receive) -> Port:
        """Plug a device in, while nobody runs."""
        port = super().attach(timers, receive)
        self._numbers[port] = len(self._numbers)
        return port

    def _take(self, sender: Port, frame: bytes) -> None:
        """Put a frame aside. A port's own frames keep their order; one thread sends by it.

        A guest sends as many as it likes in no time: its exits cost none.
        """
        n_put_aside = self._n_put_aside.get(sender, 0)
        if n_put_aside == MAX_PUT_ASIDE or not self.is_taken(sender, frame):
            sender.n_refused += 1
            return
        self._n_put_aside[sender] = n_put_aside + 1
        self._waiting.append((sender.timers.now(), self._numbers[sender], sender.n_sent, sender, frame))
        sender.n_sent += 1

    @property
    def has_frames(self) -> bool:
        """Is there a frame that was not passed on?"""
        return bool(self._waiting)

    def pass_on(self, step_ns: int) -> None:
        """All clocks stand at `step_ns`: let what was sent arrive."""
        waiting, self._waiting = sorted(self._waiting, key=lambda sent: sent[:3]), []
        self._n_put_aside.clear()
        for now_ns, _, _, sender, frame in waiting:
            sender.n_sent -= 1
            self.forward(sender, frame, now_ns, step_ns)
