# SPDX-License-Identifier: GPL-2.0-or-later
"""Paravirtual time: asked for by hypercall. Twin of full/timer.py, the 8254."""

from __future__ import annotations

from pvisor.abi.layout import pack
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.para.refusal import fault


def time_get(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
    """TIME_GET(time): 0, and the time of this call in *time."""
    wall_s, wall_ns = domain.wall_clock.at(exit.virtual_ns)
    if not vcpu.copy_out(
        exit.args[0], pack("pv_time", system_ns=exit.virtual_ns, wall_s=wall_s, wall_ns=wall_ns)
    ):
        raise fault()
    return 0
