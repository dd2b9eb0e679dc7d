# SPDX-License-Identifier: GPL-2.0-or-later
"""The domain: what owns memory, vCPUs and a console, and what every handler is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.outcome import Ending, Outcome
from pvisor.domain.scheduling import NoScheduling, Scheduling
from pvisor.errors import DomainCrash
from pvisor.machine.clock import WallClock
from pvisor.machine.console import ConsoleInput, ConsoleOutput, NoInput
from pvisor.machine.input_watch import InputWatch
from pvisor.machine.memory import GuestMemory
from pvisor.machine.timers import Timers


class Wing(Protocol):
    """How a domain's guest is virtualized: `full` or `para`."""

    name: str

    @property
    def handlers(self) -> Sequence[ExitHandler]:
        """A handler for every exit reason, indexed by it."""


class ExitHandler(Protocol):
    """Decides about one exit: a plain function of domain, vCPU and exit, so no CPU is needed to try it.

    Raises DomainCrash when the guest broke the contract.
    """

    def __call__(self, domain: Domain, vcpu: Vcpu, exit: Exit, /) -> Outcome:
        """Serve the exit."""


class Pointers(Protocol):
    """Translates a guest kernel's pointers: by its real tables (para), or by its own (full)."""

    def copy_in(self, vcpu: Vcpu, gva: int, n_bytes: int) -> bytes | None:
        """A copy of guest-virtual memory; None unless the kernel may read all of it."""

    def copy_out(self, vcpu: Vcpu, gva: int, data: bytes) -> bool:
        """Write guest-virtual memory; False, and nothing written, unless the kernel may write all of it."""


class RealPointers:
    """By the tables that the CPU uses."""

    def copy_in(self, vcpu: Vcpu, gva: int, n_bytes: int) -> bytes | None:
        """A copy of guest-virtual memory; None unless the kernel may read all of it."""
        return vcpu.copy_in(gva, n_bytes)

    def copy_out(self, vcpu: Vcpu, gva: int, data: bytes) -> bool:
        """Write guest-virtual memory; False, and nothing written, unless the kernel may write all of it."""
        return vcpu.copy_out(gva, data)


def _by_event_pending(vcpu: Vcpu) -> None:
    vcpu.event_pending = True


@dataclass(slots=True)
class Domain:
    """One guest's world."""

    domid: int
    name: str
    memory: GuestMemory
    wing: Wing
    vcpus: list[Vcpu] = field(default_factory=list)
    console: ConsoleOutput = field(default_factory=ConsoleOutput)
    input: ConsoleInput = field(default_factory=NoInput)
    wall_clock: WallClock = field(default_factory=WallClock)
    timers: Timers = field(default_factory=lambda: Timers(lambda: 0))
    watches: list[InputWatch] = field(default_factory=list)
    """Who waits for console input."""
    has_nmi_source: Callable[[], bool] = lambda: False
    """May a device's signal become an NMI, so that a CPU with interrupts off can be woken?"""
    ending: Ending | None = None
    pointers: Pointers = field(default_factory=RealPointers)
    scheduling: Scheduling = field(default_factory=NoScheduling)
    notify: Callable[[Vcpu], None] = _by_event_pending
    """Deliver an upcall to a vCPU: an unmasked event became pending. The wing says how; it is woken, too."""

    def end(self, ending: Ending) -> Outcome:
        """The run is over, by the guest's wish. The first ending counts."""
        if self.ending is None:
            self.ending = ending
        return Outcome.STOP


def handle_exit(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """The hypervisor's answer to an exit: the domain's wing decides. The run loop holds the same table."""
    return domain.wing.handlers[exit.reason](domain, vcpu, exit)


def unexpected(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """The handler of a reason that a wing cannot meet: that is a mistake of ours, so it raises."""
    raise RuntimeError(f"{domain.wing.name} has no handler for exit reason {exit.reason}")


__all__ = ["Domain", "DomainCrash", "ExitHandler", "Wing", "handle_exit", "unexpected"]
