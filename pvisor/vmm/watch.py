# SPDX-License-Identifier: GPL-2.0-or-later
"""Who watches a domain run: told at its beginning and end, when it is kicked, and from time to time."""

from __future__ import annotations

from typing import Protocol

from pvisor.domain.outcome import Ending
from pvisor.vmm.builder import Machine


class Watcher(Protocol):
    """Looks at a machine while it stands, and changes nothing in it: the run is the one without a watcher."""

    look_every_ns: int
    """How much virtual time goes by between two calls of `look`, or somewhat more while the guest sleeps."""

    def begin(self, machine: Machine) -> None:
        """The machine is ready to run. Marks may be set."""

    def kicked(self) -> Ending | None:
        """A kick came, which may be for a mark that was met. An ending ends the run."""

    def look(self) -> Ending | None:
        """The guest stands between two blocks. An ending ends the run."""

    def end(self, ending: Ending) -> Ending:
        """The run is over, and the machine still there; the ending may be told better."""
