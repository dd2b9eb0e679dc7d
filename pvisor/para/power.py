# SPDX-License-Identifier: GPL-2.0-or-later
"""Ending, yielding, blocking and polling by hypercall. Twin of full/power.py: HLT and two I/O ports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pvisor.abi import constants, errnos
from pvisor.abi.areas import cpu as cpu_rows
from pvisor.abi.areas import power as rows
from pvisor.cpu.shim import ffi
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
N_PORTS, MAX_VCPUS = cpu_rows.EVENT_PORTS.number, cpu_rows.MAX_VCPUS.number
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
class PowerRoom:
    """Who sleeps, and for what. `shared` is None where a domain has no shared page: nothing can wake it."""

    shared: SharedPage | None = None
    native: Any = field(default_factory=lambda: ffi.new("pv_poll[]", MAX_VCPUS))
    """Which ports each vCPU polls, which native handlers know as well."""
    _polls: list[Any] = field(init=False)
    """The same, one by one (`pv_poll`)."""
    _timers: dict[int, Timer] = field(default_factory=dict)
    """What else ends a POLL, by vCPU."""

    def __post_init__(self) -> None:
        self._polls = [self.native[i] for i in range(MAX_VCPUS)]

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
        data = copy_in(domain, vcpu, gva, 4 * n_ports) if n_ports else b""
        ports = memoryview(data).cast("I")
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
        poll = self._polls[vcpu.vcpu_id]
        poll.is_polling, poll.has_timer, poll.n_ports = 1, due_ns != 0, n_ports
        ffi.memmove(poll.ports, data, 4 * n_ports)
        if due_ns:
            self._timers[vcpu.vcpu_id] = domain.timers.at(
                due_ns, lambda: self._time_over(domain, vcpu.vcpu_id, exit)
            )
        return Outcome.BLOCK

    def on_pending(self, domain: Domain, port: int) -> None:
        """A port has become pending: whoever polls it goes on."""
        for vcpu_id in range(len(domain.vcpus)):
            poll = self._polls[vcpu_id]
            if poll.is_polling and port in ffi.unpack(poll.ports, poll.n_ports):
                self.forget(vcpu_id)
                domain.scheduling.wake(vcpu_id)

    def forget(self, vcpu_id: int) -> None:
        """It sleeps no more: what it waited for does not matter."""
        self._polls[vcpu_id].is_polling = 0
        if self._timers:
            timer = self._timers.pop(vcpu_id, None)
            if timer is not None:
                timer.cancel()

    def _time_over(self, domain: Domain, vcpu_id: int, exit: Exit) -> None:
        del self._timers[vcpu_id]
        self._polls[vcpu_id].is_polling = 0
        if not domain.vcpus[vcpu_id].has_event:  # else an upcall came first, and it waits for its turn since
            exit.result = ETIME
        domain.scheduling.wake(vcpu_id)
