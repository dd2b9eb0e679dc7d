# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a guest was left most: exits by function and reason, instructions that were replaced among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pvisor.cpu.exits import ExitReason
from pvisor.observe.linux.symbols import Symbols

PATCHED: Final = (
    ExitReason.PUSHF, ExitReason.POPF, ExitReason.DESCRIPTOR_STORE, ExitReason.SMSW, ExitReason.SEGMENT_QUERY,
    ExitReason.USER_IO, ExitReason.USER_RDTSC,
)  # fmt: skip
"""Exits of instructions that were replaced."""
LOWER_HALF: Final = 1 << 31
USER_CODE: Final = "user code"


@dataclass(frozen=True, slots=True)
class Place:
    """A function, or an address without a name, at which the guest was left."""

    name: str
    reason: ExitReason
    count: int
    n_sites: int
    """Instructions there."""

    def as_json(self) -> dict[str, object]:
        """For `--json` and `--stats`."""
        return {
            "name": self.name, "reason": self.reason.label, "count": self.count, "instructions": self.n_sites,
            "patched": self.reason in PATCHED,
        }  # fmt: skip


def rank_places(found: Mapping[tuple[int, int], int], symbols: Symbols | None) -> tuple[Place, ...]:
    """Exits by (address, reason), as an engine counts them, put together: the hottest first.

    By function where there are names, and then all user code as one.
    """
    counts: Counter[tuple[str, int]] = Counter()
    sites: Counter[tuple[str, int]] = Counter()
    for (address, reason), count in found.items():
        function = symbols.function_at(address) if symbols is not None else None
        name = f"{address:#x}"
        if function is not None:
            name = function[0]
        elif symbols is not None and address < LOWER_HALF:
            name = USER_CODE
        counts[name, reason] += count
        sites[name, reason] += 1
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return tuple(Place(name, ExitReason(reason), n, sites[name, reason]) for (name, reason), n in ranked)
