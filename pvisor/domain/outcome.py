# SPDX-License-Identifier: GPL-2.0-or-later
"""What handling an exit decides, and how a domain's run ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Outcome(IntEnum):
    """What happens to the vCPU after an exit."""

    RESUME = 0
    """It goes on."""
    YIELD = 1
    """It goes on, after others had their turn."""
    BLOCK = 2
    """It waits for an event."""
    STOP = 3
    """Its domain has ended (`Domain.ending` says how)."""
    MEET = 4
    """Its call waits until other physical CPUs have stopped (meeting.py), and is then made again."""


RESUME, STOP = Outcome.RESUME, Outcome.STOP
"""The two that hot handlers return, looked up once: a member of an enum costs 40 ns each time."""


class EndedBy(Enum):
    """Who ended a run, so that no exit status is ambiguous."""

    GUEST = "guest"
    BUDGET = "budget"
    IDLE = "idle"
    CRASH = "crash"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"


STATUS_TIME_OVER = 124
STATUS_INTERRUPTED = 130
STATUS_CRASH = 134


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: `status` is the exit status, `reason` a line for people."""

    ended_by: EndedBy
    status: int
    reason: str = ""
    vcpu_id: int = 0
    """Whose doing it was."""


GUEST_RESET = Ending(EndedBy.GUEST, 0, "the guest reset its machine")
"""As under QEMU with -no-reboot."""


def guest_exit(status: int) -> Ending:
    """The guest ended itself: status 0 is 0, s is ((s << 1) | 1) & 255 as QEMU's isa-debug-exit has it."""
    return Ending(EndedBy.GUEST, debug_exit_status(status) if status else 0)


def debug_exit_status(value: int) -> int:
    """The process status that a value written to isa-debug-exit gives (qemu/hw/misc/debugexit.c)."""
    return (value << 1 | 1) & 0xFF
