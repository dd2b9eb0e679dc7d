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
from pvisor.cpu.vcpu import Exit
from pvisor.full.interrupts import Interrupts
from pvisor.full.paging import DeviceAccess, ShadowPaging
from pvisor.full.segments import Segmentation
from pvisor.full.state import GP, GuestFault, is_canonical
from pvisor.full.walk import FETCH, USER_FETCH
from pvisor.machine.memory import PAGE_BYTES

U64_MAX = (1 << 64) - 1


class InstructionFetch:
    """Fetches for one vCPU."""

    def __init__(
        self, vcpu: UnicornVcpu, paging: ShadowPaging, segments: Segmentation, interrupts: Interrupts
    ) -> None:
        self._vcpu = vcpu
        self._paging = paging
        self._segments = segments
        self._interrupts = interrupts

    def rest(self, exit: Exit) -> bool:
        """Fetch the rest of an instruction that raised #GP, where the shadow maps only its first page.

        True: there is more to run it again with, or the guest has got its #PF. False: there is no rest.
        """
        if exit.vector != GP or not 0 < exit.n_insn < MAX_INSN_BYTES:
            return False
        linear, bits = self._vcpu.linear(exit.rip), self._segments.code_bits
        rest = linear + exit.n_insn & U64_MAX  # as the engine fetches, which does not wrap at 4 GiB
        if rest % PAGE_BYTES or (bits == 64 and not is_canonical(rest)):
            return False
        if decode(bytes(exit.insn[0 : exit.n_insn]), bits) is not None:
            return False
        try:
            self._paging.fill(rest, USER_FETCH if self._segments.cpl else FETCH, linear)
            if self._vcpu.translate(rest) is None:
                return False  # it would raise the same #GP for ever
            exit.reason = ExitReason.SHADOW_FILL
        except GuestFault as fault:
            self._interrupts.raise_fault(fault, exit.rip)
        except DeviceAccess:
            return False
        return True
