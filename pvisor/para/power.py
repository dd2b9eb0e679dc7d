# SPDX-License-Identifier: GPL-2.0-or-later
"""Ending, yielding, blocking and polling by hypercall. Twin of full/power.py: HLT and two I/O ports."""

from __future__ import annotations

from dataclasses import dataclass, field

from pvisor.abi import constants, errnos
from pvisor.abi.areas import cpu as cpu_rows
from pvisor.abi.areas import power as rows
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import RESUME, EndedBy, Ending, Outcome, guest_exit
from pvisor.errors import DomainCrash
from pvisor.machine.timers import Timer
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import copy_in, invalid
from pvisor.para.shared import SharedPage

POWEROFF = constants.SHUTDOWN_POWEROFF.number
REBOOT = constants.SHUTDOWN_REBOOT.number
CRASH = constants.SHUTDOWN_CRASH.number
POLL_MAX = rows.POLL_MAX.number
N_PORTS = cpu_rows.EVENT_PORTS.number
ETIME = -errnos.ETIME.number


def yield_(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """YIELD: others first."""
    exit.result = 0
    return Outcome.YIELD


def shutdown(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """SHUTDOWN(reason, status): ends the domain."""
    reason, status = exit.args[0], exit.args[1]
    if reason == POWEROFF:
        return domain.end(guest_exit(status))
    if reason == REBOOT:
        return domain.end(Ending(EndedBy.GUEST, 0, "the guest asked for a reboot"))
    if reason == CRASH:
        raise DomainCrash(f"the guest reported its own failure (SHUTDOWN with CRASH, status {status})")
    raise invalid()


@dataclass(slots=True)
class _Poll:
    """A vCPU that sleeps in POLL."""

    ports: frozenset[int]
    exit: Exit
    timer: Timer | None = None


@dataclass(slots=True)
class PowerRoom:
    """Who sleeps, and for what. `shared` is None where a domain has no shared page: nothing can wake it."""

    shared: SharedPage | None = None
    _polls: dict[int, _Poll] = field(default_factory=dict)

    @property
    def served(self) -> Served:
        """The calls of this room."""
        decides = {rows.YIELD: yield_, rows.BLOCK: self.block, rows.SHUTDOWN: shutdown, rows.POLL: self.poll}
        return Served(decides=decides)

    def block(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """BLOCK: unmask upcalls, and wait for one unless there is something already."""
        exit.result = 0
        if self.shared is None:
            return Outcome.BLOCK
        self.shared.set_upcall_masked(vcpu.vcpu_id, False)
        if self.shared.upcall_pending(vcpu.vcpu_id):
            domain.notify(vcpu)
            return RESUME
        return Outcome.BLOCK

    def poll(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """POLL(ports, n_ports, due_ns): wait for a port, an upcall or a time."""
        gva, n_ports, due_ns = exit.args[0], exit.args[1], exit.args[2]
        if n_ports > POLL_MAX:
            raise invalid()
        ports = memoryview(copy_in(domain, vcpu, gva, 4 * n_ports) if n_ports else b"").cast("I")
        if any(not 0 < port < N_PORTS for port in ports):
            raise invalid()
        assert self.shared is not None, "POLL needs the feature EVENTS"
        exit.result = 0
        if any(self.shared.is_pending(port) for port in ports):
            return RESUME
        if self.shared.upcall_pending(vcpu.vcpu_id) and not self.shared.upcall_masked(vcpu.vcpu_id):
            domain.notify(vcpu)
            return RESUME
        if due_ns and due_ns <= exit.virtual_ns:
            exit.result = ETIME
            return RESUME
        poll = self._polls[vcpu.vcpu_id] = _Poll(frozenset(ports), exit)
        if due_ns:
            poll.timer = domain.timers.at(due_ns, lambda: self._time_over(domain, vcpu.vcpu_id, poll))
        return Outcome.BLOCK

    def on_pending(self, domain: Domain, port: int) -> None:
        """A port has become pending: whoever polls it goes on."""
        for vcpu_id in [vcpu_id for vcpu_id, poll in self._polls.items() if port in poll.ports]:
            self.forget(vcpu_id)
            domain.scheduling.wake(vcpu_id)

    def forget(self, vcpu_id: int) -> None:
        """It sleeps no more: what it waited for does not matter."""
        poll = self._polls.pop(vcpu_id, None)
        if poll is not None and poll.timer is not None:
            poll.timer.cancel()

    def _time_over(self, domain: Domain, vcpu_id: int, poll: _Poll) -> None:
        if self._polls.get(vcpu_id) is poll:
            del self._polls[vcpu_id]
            poll.exit.result = ETIME
            domain.scheduling.wake(vcpu_id)
