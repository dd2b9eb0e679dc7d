# SPDX-License-Identifier: GPL-2.0-or-later
"""The control lane's part in an exit: devices, CPUID, time and waiting. The CPU itself is the engine's.

What `full/cpu.py` emulates, the engine executes here; exceptions, INT n, SYSCALL and SYSENTER go through the
guest's own tables in C (native/events.c). So this file is short, and that is its lesson: an emulator has the
whole CPU, a hypervisor makes one out of a CPU that is not its guest's.
"""

from __future__ import annotations

from types import MappingProxyType

from pvisor.cpu.exits import N_REASONS, VECTOR_NAMES, ExitReason, describe_page_fault
from pvisor.cpu.features import CpuidTable, answer_rdtsc
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain, ExitHandler, unexpected
from pvisor.domain.outcome import RESUME, STOP, Outcome
from pvisor.emu.vcpu import EmulatedVcpu
from pvisor.errors import DomainCrash
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.lines import InterruptSource
from pvisor.machine.mmio import MmioBus

PF = 14


class EmuWing:
    """The lane of one domain: a PC with one CPU, which the engine emulates."""

    name = "emu"

    def __init__(self, vcpu: EmulatedVcpu, ioports: IoPortBus, mmio: MmioBus) -> None:
        self.ioports = ioports
        self.mmio = mmio
        self.cpuid = CpuidTable(MappingProxyType({}), is_pc=True)
        self.interrupt_source: InterruptSource | None = None
        self._vcpu = vcpu
        self.handlers = self._handler_table()

    def _handler_table(self) -> tuple[ExitHandler, ...]:
        table: list[ExitHandler] = [unexpected] * N_REASONS
        table[ExitReason.IO_IN] = self._io_in
        table[ExitReason.IO_OUT] = self._io_out
        table[ExitReason.MMIO] = self._mmio
        table[ExitReason.CPUID] = self._cpuid
        table[ExitReason.RDTSC] = self._rdtsc
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
        self.cpuid.answer(vcpu, exit)
        return RESUME

    def _rdtsc(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        answer_rdtsc(vcpu, exit, exit.virtual_ns)
        return RESUME

    # --- waiting and events

    def _hlt(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """HLT: wait for an interrupt. The engine has executed it."""
        exit.retired = 1
        wakes = vcpu.virtual_if and self._vcpu.v.event_pending
        return RESUME if wakes else Outcome.BLOCK

    def _event_window(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """IF is set and something waits: the interrupt controller names the vector, the engine delivers."""
        if self.interrupt_source is None:
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
