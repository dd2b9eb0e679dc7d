# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions that straddle two pages: all their bytes are fetched before any of their own faults.

The engine raises #GP for a privileged instruction as soon as its opcode says so, and may not have fetched its
last bytes then. A CPU has (SDM 3A table 6-2: fetch faults come first), so the second page is fetched here.

This room has no twin: a hypercall is two or three bytes in the hypervisor's own page.
"""

from __future__ import annotations

from pvisor.cpu.decode import MAX_INSN_BYTES, decode
from pvisor.cpu.exits import ExitReason
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, Exit
from pvisor.full.interrupts import Interrupts
from pvisor.full.paging import DeviceAccess, Ring, ShadowPaging
from pvisor.full.segments import DEFAULT_BIG, LONG
from pvisor.full.state import GP, GuestFault, is_canonical
from pvisor.full.walk import FETCH, USER_FETCH
from pvisor.machine.memory import PAGE_BYTES

U64_MAX = (1 << 64) - 1


class InstructionFetch:
    """Fetches for one vCPU."""

    def __init__(self, vcpu: UnicornVcpu, paging: ShadowPaging, ring: Ring, interrupts: Interrupts) -> None:
        self._vcpu = vcpu
        self._paging = paging
        self._ring = ring
        self._interrupts = interrupts

    def rest(self, exit: Exit) -> bool:
        """Fetch the rest of an instruction that raised #GP, where the shadow maps only its first page.

        True: there is more to run it again with, or the guest has got its #PF. False: there is no rest.
        """
        if exit.vector != GP or not 0 < exit.n_insn < MAX_INSN_BYTES:
            return False
        segment = self._vcpu.segment(CS)
        mode64 = bool(segment.flags & LONG)
        linear = exit.rip if mode64 else exit.rip + segment.base
        rest = linear + exit.n_insn & U64_MAX  # as the engine fetches, which does not wrap at 4 GiB
        bits = 64 if mode64 else 32 if segment.flags & DEFAULT_BIG else 16
        if rest % PAGE_BYTES or (mode64 and not is_canonical(rest)):
            return False
        if decode(bytes(exit.insn[0 : exit.n_insn]), bits) is not None:
            return False
        try:
            self._paging.fill(rest, USER_FETCH if self._ring.cpl else FETCH, linear)
            if self._vcpu.translate(rest) is None:
                return False  # it would raise the same #GP for ever
            exit.reason = ExitReason.SHADOW_FILL
        except GuestFault as fault:
            self._interrupts.raise_fault(fault, exit.rip)
        except DeviceAccess:
            return False
        return True
