# SPDX-License-Identifier: GPL-2.0-or-later
"""How domains reach one another when their physical CPUs run side by side, each with a clock of its own.

While they run, nobody touches what belongs to a domain of another CPU. What one has to do there waits:

- a call that needs the other's answer (`need`) is made when all CPUs have stopped, one such call after the
  other, in the order of their virtual times. For its caller no time goes by.
- what needs no answer, as a signal, is put aside (`post`) and done when all clocks stand at the same time.

CPUs whose domains have memory in common are tied: they take turns within a step. So a run repeats, whichever
thread of the host was faster. The usual case is one CPU for all, and then nothing here ever waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Protocol


class MustMeetError(Exception):
    """A call cannot be made now, and has had no effect: it is to be made again at the meeting."""


class Clock(Protocol):
    """A physical CPU, as far as it matters here."""

    def now(self) -> int:
        """Its virtual time, in nanoseconds."""


@dataclass(slots=True)
class Meeting:
    """Who runs where, and what waits. A domain that was not placed is on the same CPU as any other."""

    is_open: bool = True
    """Nobody runs, or all share one CPU: everybody may be touched."""
    ties: Counter[frozenset[Clock]] = field(default_factory=Counter)
    """CPUs that have memory in common, and how many frames."""
    _cpus: dict[int, Clock] = field(default_factory=dict)
    _posts: list[tuple[int, int, int, Callable[[], object]]] = field(default_factory=list)
    _n_posted: Counter[int] = field(default_factory=Counter)
    _waiting: set[Hashable] = field(default_factory=set)
    """What was posted with a name, and was not done yet."""

    def place(self, domid: int, cpu: Clock) -> None:
        """A domain will run on a CPU."""
        self._cpus[domid] = cpu

    def are_apart(self, domid: int, other: int) -> bool:
        """Do two domains run on different CPUs?"""
        return self._cpus.get(domid) is not self._cpus.get(other)

    # --- while the CPUs run

    def need(self) -> None:
        """What follows concerns everybody. Raises MustMeetError while others run."""
        if not self.is_open:
            raise MustMeetError

    def need_for(self, domid: int, other: int) -> None:
        """What follows concerns two domains. Raises MustMeetError while the other may be running."""
        if not self.is_open and self.are_apart(domid, other):
            raise MustMeetError

    def post(self, domid: int, act: Callable[[], object], once: Hashable = None) -> None:
        """Do something for a domain when all clocks stand at the same time.

        Of what has one name (`once`) only the first is done: a guest may ask for it a million times.
        """
        if once is not None:
            if once in self._waiting:
                return
            self._waiting.add(once)
        number = self._n_posted[domid] = self._n_posted[domid] + 1
        self._posts.append((self._cpus[domid].now(), domid, number, act))

    # --- while they stand

    def tie(self, domid: int, other: int) -> None:
        """Two domains have one frame more in common."""
        if self.are_apart(domid, other):
            self.ties[frozenset((self._cpus[domid], self._cpus[other]))] += 1

    def untie(self, domid: int, other: int) -> None:
        """One frame less."""
        if self.are_apart(domid, other):
            self.ties[frozenset((self._cpus[domid], self._cpus[other]))] -= 1

    def deliver(self) -> None:
        """All clocks stand at the same time: do what was put aside, in the order of virtual time."""
        while self._posts:
            posts, self._posts = sorted(self._posts, key=lambda post: post[:3]), []
            self._waiting.clear()
            for _, _, _, act in posts:
                act()
