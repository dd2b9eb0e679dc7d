# SPDX-License-Identifier: GPL-2.0-or-later
"""Further virtual CPUs: up, down, and what they do. A PC here has one CPU, so this has no twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pvisor.abi import errnos
from pvisor.abi.areas import power as rows
from pvisor.abi.layout import pack, sizeof, unpack
from pvisor.cpu.vcpu import RDI, RSP, Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import RESUME, Outcome
from pvisor.domain.scheduling import VcpuState
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import copy_in, copy_out, invalid, refused
from pvisor.para.state import may_be_entered


@dataclass(frozen=True, slots=True)
class VcpusRoom:
    """`begin` puts a vCPU into the start state, on the tables of the one that asks; `end` undoes it."""

    begin: Callable[[Vcpu, Vcpu], object]
    end: Callable[[Vcpu], object]

    @property
    def served(self) -> Served:
        """The calls of this room."""
        return Served(
            answers={rows.VCPU_UP: self.vcpu_up, rows.VCPU_QUERY: vcpu_query},
            decides={rows.VCPU_DOWN: self.vcpu_down},
        )

    def vcpu_up(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """VCPU_UP(vcpu_id, context): 0."""
        vcpu_id = exit.args[0]
        new = _vcpu_of(domain, vcpu_id)
        if domain.scheduling.times(vcpu_id).state is not VcpuState.DOWN:
            raise refused(errnos.EBUSY)
        context = unpack("pv_vcpu_context", copy_in(domain, vcpu, exit.args[1], sizeof("pv_vcpu_context")))
        if not (may_be_entered(context["rip"]) and may_be_entered(context["rsp"])):
            raise invalid()
        if context["reserved"]:
            raise invalid()
        self.begin(new, vcpu)
        new.regs.rip = context["rip"]
        new.regs.gpr[RSP], new.regs.gpr[RDI] = context["rsp"], context["argument"]
        domain.scheduling.up(vcpu_id)
        return 0

    def vcpu_down(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """VCPU_DOWN(vcpu_id): 0. Who stops itself does not go on."""
        vcpu_id = exit.args[0]
        old = _vcpu_of(domain, vcpu_id)
        exit.result = 0
        states = [domain.scheduling.times(one.vcpu_id).state for one in domain.vcpus]
        if states[vcpu_id] is VcpuState.DOWN:
            return RESUME
        if sum(state is not VcpuState.DOWN for state in states) == 1:
            raise refused(errnos.EBUSY)
        domain.scheduling.down(vcpu_id)
        self.end(old)
        return Outcome.BLOCK if old is vcpu else RESUME


def vcpu_query(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
    """VCPU_QUERY(vcpu_id, status): 0."""
    _vcpu_of(domain, exit.args[0])
    times = domain.scheduling.times(exit.args[0])
    status = pack("pv_vcpu_status", state=times.state, run_ns=times.run_ns, steal_ns=times.steal_ns)
    copy_out(domain, vcpu, exit.args[1], status)
    return 0


def _vcpu_of(domain: Domain, vcpu_id: int) -> Vcpu:
    if vcpu_id >= len(domain.vcpus):
        raise refused(errnos.ENOENT)
    return domain.vcpus[vcpu_id]
