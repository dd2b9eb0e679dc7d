# SPDX-License-Identifier: GPL-2.0-or-later
"""The grant window as the engines see it: pages of other domains' memory behind engine-physical addresses.

All vCPUs of a domain see the same, and share one range of host memory for it. A slot changes in the host's
page tables, and not in the engines (shim/grants.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pvisor.cpu.shim import ffi, lib
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.machine.memory import PAGE_BYTES, GuestMemory


class GrantWindow:
    """The window of a domain. `vcpus` is looked at each time: all must be in it before the first mapping."""

    def __init__(self, vcpus: Sequence[UnicornVcpu]) -> None:
        self._vcpus = vcpus
        self._window: Any = None
        self._is_shown = False

    def map(self, slot: int, memory: GuestMemory, gpa: int, *, writable: bool) -> bool:
        """Put the frame at `gpa` of a domain's memory into a free slot. False: the host does not allow it."""
        memory.check(gpa, PAGE_BYTES)
        if not self._is_shown and not self._show():
            return False
        with ffi.from_buffer("char[]", memory.buffer, require_writable=True) as start:
            return not lib.pv_map_grant(self._window, slot, start + gpa, writable)

    def unmap(self, slot: int) -> None:
        """Empty a slot, and drop what the TLBs remember of it."""
        if self._window is not None and lib.pv_unmap_grant(self._window, slot):
            for vcpu in self._vcpus:
                if vcpu.v != ffi.NULL:
                    vcpu.flush_tlb()

    def _show(self) -> bool:
        """Make the window, and show it to all vCPUs. False: the host, or an engine, does not allow it."""
        if self._window is None:
            window = lib.pv_open_grants()
            if window == ffi.NULL:
                return False
            self._window = ffi.gc(window, lib.pv_close_grants)
        self._is_shown = not any(lib.pv_show_grants(vcpu.v, self._window) for vcpu in self._vcpus)
        return self._is_shown
