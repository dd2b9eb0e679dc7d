# SPDX-License-Identifier: GPL-2.0-or-later
"""The one bit of the control registers that a paravirtual kernel may ask for: CR0.TS.

Twin of full/control.py, where all of them are the guest's to load.
"""

from __future__ import annotations

from pvisor.abi.areas import cpu as rows
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import invalid

CR0_MP, CR0_TS, CR0_NE = 1 << 1, 1 << 3, 1 << 5


def fpu_ts(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
    """FPU_TS(set): 0. The CPU itself raises #NM then (SDM 3A 2.5)."""
    if exit.args[0] > 1:
        raise invalid()
    set_task_switched(vcpu, bool(exit.args[0]))
    return 0


def set_task_switched(vcpu: Vcpu, value: bool) -> None:
    """CR0 with TS or without it; a CPU begins without."""
    vcpu.set_cr0(CR0_MP | CR0_NE | (CR0_TS if value else 0))


SERVED = Served(answers={rows.FPU_TS: fpu_ts})
