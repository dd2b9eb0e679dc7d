# SPDX-License-Identifier: GPL-2.0-or-later
"""The control lane's part in an exit: devices, CPUID, time and waiting. The CPU itself is the engine's.

What `full/cpu.py` emulates, the engine executes here; exceptions, INT n, SYSCALL and SYSENTER go through the
guest's own tables in C (native/events.c). So this file is short, and that is its lesson: an emulator has the
whole CPU, a hypervisor makes one out of a CPU that is not its guest's.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Protocol

from pvisor.cpu.exits import N_REASONS, VECTOR_NAMES, ExitReason, describe_page_fault
from pvisor.cpu.features import CpuidTable, answer_rdtsc
from pvisor.cpu.models import DEFAULT_CPU, VirtualCpu
from pvisor.cpu.shim import ffi
from pvisor.cpu.unicorn_engine import DEVICE_LANE_CLOCK
from pvisor.cpu.vcpu import RAX, RCX, RDX, Exit, Vcpu
from pvisor.domain.domain import Domain, ExitHandler, unexpected
from pvisor.domain.outcome import RESUME, STOP, Outcome
from pvisor.emu.vcpu import EmulatedVcpu
from pvisor.errors import DomainCrash
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.lines import InterruptSource
from pvisor.machine.mmio import MmioBus

PF = 14
U32_MAX, U64_MAX = (1 << 32) - 1, (1 << 64) - 1
TSC, APIC_BASE, TSC_ADJUST = 0x10, 0x1B, 0x3B
"""MSRs that come here; the engine keeps all others (native/sites.c has the same)."""
CPUID_APIC, APIC_ENABLE = 1 << 9, 1 << 11
"""CPUID.1:EDX.APIC follows the enable bit of IA32_APIC_BASE (SDM 3A 10.4.3)."""
REFUSED = 1
"""The `result` by which RDMSR and WRMSR raise #GP(0)."""


class LocalApic(Protocol):
    """The local APIC, as far as registers of the CPU go."""

    cr8: int

    def read_base(self) -> int:
        """IA32_APIC_BASE."""

    def write_base(self, value: int) -> bool:
        """Set it; False for a value that is #GP."""


class EmuWing:
    """The lane of one domain: a PC with one CPU, which the engine emulates."""

    name = "emu"

    def __init__(
        self, vcpu: EmulatedVcpu, ioports: IoPortBus, mmio: MmioBus, cpu: VirtualCpu = DEFAULT_CPU
    ) -> None:
        self.ioports = ioports
        self.mmio = mmio
        self.cpuid = CpuidTable(MappingProxyType({}), is_pc=True, cpu=cpu)
        self.interrupt_source: InterruptSource | None = None
        self.apic: LocalApic | None = None
        self._clock = ffi.new("pv_lane_clock *")
        vcpu.v.device[DEVICE_LANE_CLOCK] = self._clock
        self._vcpu = vcpu
        self.handlers = self._handler_table()

    def _handler_table(self) -> tuple[ExitHandler, ...]:
        table: list[ExitHandler] = [unexpected] * N_REASONS
        table[ExitReason.IO_IN] = self._io_in
        table[ExitReason.IO_OUT] = self._io_out
        table[ExitReason.MMIO] = self._mmio
        table[ExitReason.CPUID] = self._cpuid
        table[ExitReason.RDTSC] = self._rdtsc
        table[ExitReason.RDMSR] = self._rdmsr
        table[ExitReason.WRMSR] = self._wrmsr
        table[ExitReason.MOV_CR] = self._mov_cr8
        table[ExitReason.HLT] = self._hlt
        table[ExitReason.EVENT_WINDOW] = self._event_window
        for reason in (ExitReason.EXCEPTION, ExitReason.PAGE_FAULT, ExitReason.INVALID_OPCODE,
                       ExitReason.GENERAL_PROTECTION):  # fmt: skip
            table[reason] = self._exception
        return tuple(table)

    # --- devices, served inside the engine's hooks

    def _io_in(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        exit.value = self.ioports.read(exit.ioport, exit.size_bytes)
        return STOP if domain.ending is not None else RESUME

    def _io_out(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        self.ioports.write(exit.ioport, exit.size_bytes, exit.value)
        return STOP if domain.ending is not None else RESUME

    def _mmio(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """A load or store at a guest-physical address that is not RAM."""
        if exit.is_write:
            self.mmio.write(exit.address, exit.size_bytes, exit.value)
        else:
            exit.value = self.mmio.read(exit.address, exit.size_bytes)
        return STOP if domain.ending is not None else RESUME

    def _cpuid(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        self.cpuid.answer(vcpu, exit, self._vcpu.cr4)
        if exit.ops[0] == 1 and self.apic is not None and not self.apic.read_base() & APIC_ENABLE:
            vcpu.regs.gpr[RDX] &= ~CPUID_APIC
        return RESUME

    def _rdtsc(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        answer_rdtsc(vcpu, exit, self._tsc(exit))
        if exit.value:
            vcpu.regs.gpr[RCX] = self._vcpu.tsc_aux
        return RESUME

    # --- registers that the engine lacks, served inside its hooks as well

    def _tsc(self, exit: Exit) -> int:
        return exit.virtual_ns + int(self._clock.tsc_offset) & U64_MAX

    def _rdmsr(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        gpr = vcpu.regs.gpr
        index = gpr[RCX] & U32_MAX
        exit.n_ops, exit.ops[0] = 1, index
        if index == APIC_BASE:
            value = self.apic.read_base() if self.apic is not None else 0
        else:
            value = self._tsc(exit) if index == TSC else self._clock.tsc_adjust
        gpr[RAX], gpr[RDX] = value & U32_MAX, value >> 32
        return RESUME

    def _wrmsr(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        gpr = vcpu.regs.gpr
        index, value = gpr[RCX] & U32_MAX, gpr[RAX] & U32_MAX | (gpr[RDX] & U32_MAX) << 32
        exit.n_ops, exit.ops[0], exit.ops[1] = 2, index, value
        if index == APIC_BASE:
            if self.apic is not None and not self.apic.write_base(value):
                exit.result = REFUSED
        else:  # SDM 3B 17.17.3: TSC and TSC_ADJUST move together
            step = value - (self._tsc(exit) if index == TSC else self._clock.tsc_adjust)
            self._clock.tsc_adjust = self._clock.tsc_adjust + step & U64_MAX
            self._clock.tsc_offset = self._clock.tsc_offset + step & U64_MAX
        return RESUME

    def _mov_cr8(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        gpr = vcpu.regs.gpr
        exit.n_ops, exit.ops[0] = 1, 8
        if not exit.is_write:
            gpr[exit.number] = self.apic.cr8 if self.apic is not None else 0
            return RESUME
        exit.n_ops, exit.ops[1] = 2, gpr[exit.number]
        if gpr[exit.number] >> 4:
            exit.result = REFUSED
        elif self.apic is not None:
            self.apic.cr8 = gpr[exit.number]
        return RESUME

    # --- waiting and events

    def _hlt(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """HLT: wait for an interrupt. The engine has executed it."""
        exit.retired = 1
        return RESUME if vcpu.has_event else Outcome.BLOCK

    def _event_window(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """An NMI; or IF is set and something waits: the controller names the vector, the engine delivers."""
        if self._vcpu.nmi_due:
            self._vcpu.inject_nmi()
        elif self.interrupt_source is None:
            self._vcpu.v.event_pending = 0
        else:
            self._vcpu.inject(self.interrupt_source.acknowledge())
        return RESUME

    def _exception(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """Exceptions come here only when the engine can deliver no more of them."""
        chain = [_describe(*fault) for fault in self._vcpu.exception_chain()]
        if exit.n_ops:
            raise DomainCrash(f"exceptions without end: {chain[-1]}, and no instruction between them")
        base, limit = self._vcpu.idtr
        raise DomainCrash(f"triple fault: {', then '.join(chain)}; IDT at {base:#x}, limit {limit:#x}")


def _describe(vector: int, error_code: int, cr2: int) -> str:
    """`#PF (write to 0x10, which is not mapped)`, `#GP(0x28)`, `#UD`."""
    name = VECTOR_NAMES.get(vector, f"vector {vector}")
    if vector == PF:
        return f"{name} ({describe_page_fault(cr2, error_code)})"
    return f"{name}({error_code:#x})" if error_code else name
