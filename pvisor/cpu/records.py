# SPDX-License-Identifier: GPL-2.0-or-later
"""What an engine writes down for whoever watches it: trace records, and the calls of chosen functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pvisor.cpu.shim import ffi, lib
from pvisor.errors import PvisorError


class Records:
    """The part of a vCPU of the engine that is about records. `v` is the shim's pv_vcpu."""

    v: Any

    def start_trace(self) -> None:
        """Record every exit from now on."""
        if lib.pv_trace_start(self.v):
            raise PvisorError("no memory for the trace")

    def trace_records(self) -> Sequence[Any]:
        """The records since the last `clear_trace`, `pv_record` structs that are valid until the next one."""
        n = ffi.new("uint32_t *")
        records = lib.pv_trace_records(self.v, n)
        return ffi.unpack(records, n[0]) if n[0] else []

    def clear_trace(self) -> None:
        """Forget the records."""
        lib.pv_trace_clear(self.v)

    def mark(self, low: int, high: int, *, user_only: bool = False) -> int:
        """Be kicked before the first block in [low, high], or the first of user code there; the mark's index.

        Raises PvisorError when too many marks wait. One that is set after code of its range has run may be
        missed.
        """
        index = int(lib.pv_mark(self.v, low, high, user_only))
        if index < 0:
            raise PvisorError("too many marks wait in the guest's code")
        return index

    def marks_met(self) -> int:
        """The marks met since the last call, as bits by their indices."""
        return int(lib.pv_marks_met(self.v))

    def start_places(self) -> None:
        """Count exits by place from now on. All exits are timed then (`time_exits`)."""
        if lib.pv_places_start(self.v):
            raise PvisorError("no memory to count exits by place")

    def places(self) -> tuple[dict[tuple[int, int], int], int]:
        """Exits by (linear address, reason) since `start_places`; and those that found no room."""
        n_elsewhere = ffi.new("uint64_t *")
        rows = lib.pv_places(self.v, n_elsewhere)
        if rows == ffi.NULL:
            return {}, 0
        table = ffi.unpack(rows, lib.PV_PLACES)
        found = {(int(row.address), int(row.reason)): int(row.count) for row in table if row.count}
        return found, int(n_elsewhere[0])

    @property
    def space_switches(self) -> tuple[int, int]:
        """Mode full: loads of CR3 that changed the address space, and those to one that had to be rebuilt."""
        n_stale = ffi.new("uint64_t *")
        return int(lib.pv_shadow_switches(self.v, n_stale)), int(n_stale[0])

    def watch_operation(self, address: int) -> bool:
        """Count the calls of the guest function at this address; False when there are too many."""
        return bool(lib.pv_operation_add(self.v, address) >= 0)

    def before_first_call(self, index: int) -> tuple[int, int]:
        """(exits, instructions) until the first call of the watched function at an index of `operations`."""
        row = lib.pv_operation_get(self.v, index)
        return int(row.exits_before), int(row.instructions_before)

    def operations(self) -> list[tuple[int, int, int, int]]:
        """(address, calls, exits, instructions) of each watched function; open calls end here."""
        lib.pv_operations_finish(self.v)
        found: list[tuple[int, int, int, int]] = []
        while (row := lib.pv_operation_get(self.v, len(found))) != ffi.NULL:
            found.append((row.address, row.calls, row.exits, row.instructions))
        return found
