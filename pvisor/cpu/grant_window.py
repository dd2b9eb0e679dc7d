# SPDX-License-Identifier: GPL-2.0-or-later
"""The grant window as the engines see it: pages of other domains' memory behind engine-physical addresses.

All vCPUs of a domain see the same. A slot changes in the host's page tables, and not in the engine
(shim/grants.c).
"""

from __future__ import annotations

from collections.abc import Sequence

from pvisor.cpu.shim import ffi, lib
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.machine.memory import PAGE_BYTES, GuestMemory


class GrantWindow:
    """The window of a domain. `vcpus` is looked at each time: all must be in it before the first mapping."""

    def __init__(self, vcpus: Sequence[UnicornVcpu]) -> None:
        self._vcpus = vcpus

    def map(self, slot: int, memory: GuestMemory, gpa: int, *, writable: bool) -> bool:
        """Put the frame at `gpa` of a domain's memory into a free slot. False: the host does not allow it."""
        memory.check(gpa, PAGE_BYTES)
        with ffi.from_buffer("char[]", memory.buffer, require_writable=True) as start:
            for i, vcpu in enumerate(self._vcpus):
                if lib.pv_map_grant(vcpu.v, slot, start + gpa, writable):
                    self._unmap(slot, self._vcpus[:i])
                    return False
        return True

    def unmap(self, slot: int) -> None:
        """Empty a slot, and drop what the TLBs remember of it."""
        self._unmap(slot, self._vcpus)

    @staticmethod
    def _unmap(slot: int, vcpus: Sequence[UnicornVcpu]) -> None:
        for vcpu in vcpus:
            if vcpu.v != ffi.NULL:
                lib.pv_unmap_grant(vcpu.v, slot)
