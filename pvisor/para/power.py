# SPDX-License-Identifier: GPL-2.0-or-later
"""Ending, yielding and blocking by hypercall. Twin of full/power.py: HLT and two I/O ports."""

from __future__ import annotations

from pvisor.abi import constants
from pvisor.abi.areas import power as rows
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import EndedBy, Ending, Outcome, guest_exit
from pvisor.errors import DomainCrash
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import invalid

POWEROFF = constants.SHUTDOWN_POWEROFF.number
REBOOT = constants.SHUTDOWN_REBOOT.number
CRASH = constants.SHUTDOWN_CRASH.number


def yield_(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """YIELD: others first."""
    exit.result = 0
    return Outcome.YIELD


def block(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """BLOCK: wait for an event."""
    exit.result = 0
    return Outcome.BLOCK


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


SERVED = Served(decides={rows.YIELD: yield_, rows.BLOCK: block, rows.SHUTDOWN: shutdown})
