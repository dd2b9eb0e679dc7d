# SPDX-License-Identifier: GPL-2.0-or-later
"""What handlers may ask of the scheduler, and what they may tell it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class VcpuState(IntEnum):
    """What a vCPU does (PV_VCPU_... of the ABI)."""

    DOWN = 0
    RUNNING = 1
    RUNNABLE = 2
    BLOCKED = 3


@dataclass(frozen=True, slots=True)
class VcpuTimes:
    """What a vCPU does, and where its time went, in virtual nanoseconds."""

    state: VcpuState
    run_ns: int = 0
    steal_ns: int = 0


class Scheduling(Protocol):
    """A domain's vCPUs, by number, as their scheduler sees them."""

    def wake(self, vcpu_id: int) -> None:
        """A blocked vCPU goes on, whether it has an event or not. Without effect on another."""

    def up(self, vcpu_id: int) -> None:
        """A vCPU that is down takes turns from now on."""

    def down(self, vcpu_id: int) -> None:
        """It takes no more turns; one that runs does so to the end of its exit."""

    def times(self, vcpu_id: int) -> VcpuTimes:
        """What it does, and has done."""


class NoScheduling:
    """One vCPU that always runs: for handlers that are tried without a scheduler."""

    def wake(self, vcpu_id: int) -> None:
        """It is awake."""

    def up(self, vcpu_id: int) -> None:
        """It is up."""

    def down(self, vcpu_id: int) -> None:
        """Nobody would notice."""

    def times(self, vcpu_id: int) -> VcpuTimes:
        """It runs."""
        return VcpuTimes(VcpuState.RUNNING)
