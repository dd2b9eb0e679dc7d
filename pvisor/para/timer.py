# SPDX-License-Identifier: GPL-2.0-or-later
"""Paravirtual time: asked for by hypercall. Twin of full/timer.py, the 8254."""

from __future__ import annotations

from pvisor.abi.areas import time as rows
from pvisor.abi.layout import pack
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import copy_out


def time_get(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
    """TIME_GET(time): 0, and the time of this call in *time."""
    wall_s, wall_ns = domain.wall_clock.at(exit.virtual_ns)
    now = pack("pv_time", system_ns=exit.virtual_ns, wall_s=wall_s, wall_ns=wall_ns)
    copy_out(domain, vcpu, exit.args[0], now)
    return 0


SERVED = Served(answers={rows.TIME_GET: time_get})
