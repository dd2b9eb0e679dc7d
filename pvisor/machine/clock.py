# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual time: one retired instruction is one nanosecond, exits cost nothing, waiting is skipped.

PAUSE waits, for 40 ns (cpu/shim/pauses.c). So the same guest with the same input sees the same times in
every run. The TSC counts these nanoseconds (1 GHz); the wall clock begins at a fixed date.
"""

from __future__ import annotations

from dataclasses import dataclass

NS_PER_S = 1_000_000_000
DEFAULT_EPOCH_S = 1_767_225_600
"""2026-01-01T00:00:00Z, in seconds since 1970."""
END_OF_TIME_NS = 1 << 63
"""Nobody sleeps longer: 292 years. So virtual time, with the instructions on top, stays within 64 bits."""


@dataclass(frozen=True, slots=True)
class WallClock:
    """The date that a guest sees, from its virtual time."""

    epoch_s: int = DEFAULT_EPOCH_S

    def at(self, virtual_ns: int) -> tuple[int, int]:
        """(seconds since 1970, nanoseconds within the second) at a virtual time."""
        seconds, nanoseconds = divmod(virtual_ns, NS_PER_S)
        return self.epoch_s + seconds, nanoseconds
