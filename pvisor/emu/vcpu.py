# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane's virtual CPU: the engine's CPU itself, at CPL 0, with events delivered by the engine's own code.

Control registers, segments, tables and the interrupt flag are real here, so nothing of them is kept twice.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pvisor.cpu.engine_start import start_engine
from pvisor.cpu.entry import BootTables
from pvisor.cpu.models import DEFAULT_CPU, VirtualCpu
from pvisor.cpu.shim import ffi, lib
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, SS, Segment
from pvisor.errors import PvisorError
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.machine.mmio import MmioBus

RFLAGS_IF = 1 << 9
FLAT_LIMIT = 0xFFFF_FFFF
PHYSICAL_END = 1 << 40
"""Where the engine's physical addresses end (it has 40 bits of them)."""


@cache
def prove_lane() -> None:
    """Run the lane's self-test, once a process. Raises PvisorError where it does not pass."""
    start_engine()
    error = ffi.new("char[256]")
    if lib.pv_emulation_self_test(error, len(error)):
        why = ffi.string(error).decode()
        raise PvisorError(
            f"--mode emu needs the inside of Unicorn 2.1.4 on Linux, and this one differs: {why}"
        )


def lane_works() -> bool:
    """Can this host run guests in the lane?"""
    try:
        prove_lane()
    except PvisorError:
        return False
    return True


class EmulatedVcpu(UnicornVcpu):
    """A vCPU of the lane: in flat 32-bit protected mode without paging, until it is given tables."""

    is_deprivileged = False

    def __init__(self, memory: GuestMemory, vcpu_id: int = 0, cpu: VirtualCpu = DEFAULT_CPU) -> None:
        prove_lane()
        super().__init__(memory, None, vcpu_id, cpu.model.engine)
        if "pcid" in cpu.features:
            lib.pv_offer_pcids(self.v)

    def _open(self, memory: GuestMemory) -> Any:
        return lib.pv_open_emulated(self._buffers[0], memory.size_bytes, self._model, self._handle)

    def load_tables(self, tables: BootTables) -> None:
        """Begin with a GDT, and in 64-bit mode if there are page tables, as a boot loader leaves the CPU."""
        self.set_gdtr(tables.gdt, tables.gdt_limit)
        if tables.root:
            self.set_root(tables.root)
            if lib.pv_enter_long_mode(self.v):
                raise PvisorError("Unicorn does not take a register")
        self.set_segment(CS, Segment(tables.code, 0, FLAT_LIMIT, tables.code_flags))
        for index in (SS, DS, ES, FS, GS):
            self.set_segment(index, Segment(tables.data, 0, FLAT_LIMIT, tables.data_flags))

    def map_devices(self, mmio: MmioBus, ram_bytes: int) -> None:
        """Let the bus answer at its devices' addresses, and wherever there is no RAM. Once, at first."""
        for base, n_bytes in mmio.ranges:
            start, end = base & -PAGE_BYTES, -(-(base + n_bytes) // PAGE_BYTES) * PAGE_BYTES
            if start < ram_bytes:
                self._map(start, min(end, ram_bytes) - start)
        self._map(ram_bytes, PHYSICAL_END - ram_bytes)

    def _map(self, base: int, n_bytes: int) -> None:
        if lib.pv_map_mmio(self.v, base, n_bytes):
            raise PvisorError(f"the engine cannot give devices the memory at {base:#x}")

    def inject(self, vector: int) -> None:
        """Deliver an external interrupt before the next instruction."""
        lib.pv_inject(self.v, vector)

    def inject_nmi(self) -> None:
        """Deliver the pending NMI before the next instruction."""
        lib.pv_inject_nmi(self.v)

    @property
    def virtual_if(self) -> bool:
        """RFLAGS.IF."""
        return bool(self.rflags & RFLAGS_IF)

    @virtual_if.setter
    def virtual_if(self, value: bool) -> None:
        self.rflags = self.rflags & ~RFLAGS_IF | (RFLAGS_IF if value else 0)

    @property
    def idtr(self) -> tuple[int, int]:
        """Base and limit of the interrupt descriptor table."""
        base, limit = ffi.new("uint64_t *"), ffi.new("uint32_t *")
        lib.pv_get_idtr(self.v, base, limit)
        return int(base[0]), int(limit[0])

    @property
    def tsc_aux(self) -> int:
        """IA32_TSC_AUX, which the engine keeps."""
        return int(lib.pv_tsc_aux(self.v))

    @property
    def control(self) -> tuple[int, int, int, int, int]:
        """CR0, CR2, CR3, CR4 and EFER."""
        values = ffi.new("uint64_t[5]")
        lib.pv_get_control(self.v, values)
        cr0, cr2, cr3, cr4, efer = (int(value) for value in values)
        return cr0, cr2, cr3, cr4, efer

    def exception_chain(self) -> list[tuple[int, int, int]]:
        """(vector, error code, CR2) of the last exception and of those met while it was delivered."""
        vector, error, cr2 = ffi.new("uint32_t *"), ffi.new("uint32_t *"), ffi.new("uint64_t *")
        chain = []
        for i in range(lib.pv_exception_chain(self.v, 0, vector, error, cr2)):
            lib.pv_exception_chain(self.v, i, vector, error, cr2)
            chain.append((int(vector[0]), int(error[0]), int(cr2[0])))
        return chain
