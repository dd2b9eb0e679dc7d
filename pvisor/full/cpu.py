# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual CPU of a PC: what traps is decoded and emulated, with the effect that the manual gives it.

Each handler does one family of instructions. A GuestFault raised on the way is delivered through the
guest's IDT. Twin of para/cpu.py, where the guest calls instead.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from pvisor.cpu.decode import Instruction, decode
from pvisor.cpu.exits import N_REASONS, ExitReason
from pvisor.cpu.features import CpuidTable
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, RAX, RCX, RDX, Exit, Vcpu
from pvisor.domain.domain import Domain, ExitHandler, unexpected
from pvisor.domain.outcome import RESUME, STOP, Outcome
from pvisor.full import timer
from pvisor.full.control import ControlRegisters
from pvisor.full.interrupts import WITH_ERROR_CODE, Interrupts
from pvisor.full.msrs import Msrs
from pvisor.full.paging import ShadowPaging, access_of
from pvisor.full.segments import DEFAULT_BIG, LONG, Segmentation
from pvisor.full.state import CR0_TS, PF, UD, CpuState, GuestFault
from pvisor.full.system import SystemInstructions
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.memory import GuestMemory

U32_MAX = 0xFFFF_FFFF
U64_MAX = (1 << 64) - 1
DB, DR6_SINGLE_STEP = 1, 1 << 14
Emulation = Callable[[Exit, Instruction, int], int | None]
"""Emulates an instruction: (exit, instruction, next RIP) -> RIP to go on at, or None when it has set RIP."""


class FullWing:
    """The left wing of one domain: a PC with one CPU."""

    name = "full"

    def __init__(
        self, memory: GuestMemory, frames: HypervisorFrames, vcpu: UnicornVcpu, ioports: IoPortBus
    ) -> None:
        self.state = CpuState()
        self.ioports = ioports
        self.cpuid = CpuidTable(MappingProxyType({}))
        self.paging = ShadowPaging(memory, frames, vcpu, self.state)
        self.segments = Segmentation(vcpu, self.state, self.paging)
        self.interrupts = Interrupts(vcpu, self.state, self.paging, self.segments)
        self.control = ControlRegisters(vcpu, self.state, self.paging)
        self.msrs = Msrs(vcpu, self.state, self.segments)
        self.system = SystemInstructions(vcpu, self.state, self.paging, self.segments, self.interrupts)
        self.pending_vector: Callable[[], int | None] = lambda: None
        self._vcpu = vcpu
        self.handlers = self._handler_table()

    def _handler_table(self) -> tuple[ExitHandler, ...]:
        table: list[ExitHandler] = [unexpected] * N_REASONS
        table[ExitReason.CLI] = cli
        table[ExitReason.STI] = sti
        table[ExitReason.HLT] = self._hlt
        emulations: dict[ExitReason, Emulation] = {
            ExitReason.MOV_CR: self._mov_cr,
            ExitReason.MOV_DR: self._mov_dr,
            ExitReason.CLTS: self._clts,
            ExitReason.LMSW: self._lmsw,
            ExitReason.DESCRIPTOR_TABLE: self.system.descriptor_table,
            ExitReason.SEGMENT_LOAD: self.system.segment_load,
            ExitReason.FAR_TRANSFER: self.system.far_transfer,
            ExitReason.IRET: self.system.interrupt_return,
            ExitReason.RDMSR: self._rdmsr,
            ExitReason.WRMSR: self._wrmsr,
            ExitReason.INVLPG: self._invlpg,
            ExitReason.CACHE: _nothing,
            ExitReason.SWAPGS: self.system.swapgs,
        }
        for reason, emulation in emulations.items():
            table[reason] = self._emulating(emulation)
        for reason in (ExitReason.INVALID_OPCODE, ExitReason.SYSCALL, ExitReason.XSETBV):
            table[reason] = self._invalid_opcode  # neither SYSCALL nor XSAVE is offered by CPUID
        table[ExitReason.GENERAL_PROTECTION] = table[ExitReason.EXCEPTION] = self._reflect
        table[ExitReason.PAGE_FAULT] = self._page_fault
        table[ExitReason.SOFT_INT] = self._soft_int
        table[ExitReason.EVENT_WINDOW] = self._event_window
        table[ExitReason.IO_IN] = self._io_in
        table[ExitReason.IO_OUT] = self._io_out
        table[ExitReason.CPUID] = self._cpuid
        table[ExitReason.RDTSC] = self._rdtsc
        return tuple(table)

    # --- the frame around an emulation

    def _emulating(self, emulation: Emulation) -> ExitHandler:
        """Decode, emulate, step over the instruction; or deliver the fault that came of it."""

        def handler(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
            flags = vcpu.segment(CS).flags
            mode64 = bool(flags & LONG)
            bits = 64 if mode64 else 32 if flags & DEFAULT_BIG else 16
            insn = decode(bytes(exit.insn[0 : exit.n_insn]), bits)
            if insn is None:
                return self._reflect(domain, vcpu, exit)
            next_rip = exit.rip + insn.n_bytes
            try:
                after = emulation(exit, insn, next_rip & (U64_MAX if mode64 else U32_MAX))
            except GuestFault as fault:
                self.interrupts.raise_fault(fault, exit.rip)
                return RESUME
            if after is not None:
                vcpu.regs.rip = after
            exit.retired = 1
            return RESUME

        return handler

    # --- exceptions

    def _reflect(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """The exception is the guest's own: it gets it, with the real error code."""
        error = exit.error_code if exit.vector in WITH_ERROR_CODE else None
        if exit.vector == DB:
            self.state.dr[6] |= DR6_SINGLE_STEP
        self.interrupts.raise_fault(GuestFault(exit.vector, error), exit.rip)
        return RESUME

    def _invalid_opcode(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        self.interrupts.raise_fault(GuestFault(UD), exit.rip)
        return RESUME

    def _page_fault(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """Either the shadow lacks an entry, and gets it, or the fault is the guest's."""
        try:
            self.paging.fill(exit.cr2, access_of(exit.error_code, vcpu), exit.rip)
        except GuestFault as fault:
            if fault.vector == PF:
                exit.ops[1] = fault.error_code or 0
            self.interrupts.raise_fault(fault, exit.rip)
            return RESUME
        exit.reason = ExitReason.SHADOW_FILL
        return RESUME

    def _soft_int(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        self.interrupts.software_interrupt(exit.vector, exit.rip, exit.next_rip)
        exit.retired = 1
        return RESUME

    def _event_window(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """IF is set and something waits: the interrupt controller names the vector."""
        vector = self.pending_vector()
        self._vcpu.v.event_pending = 0
        if vector is not None:
            self.interrupts.external_interrupt(vector, exit.rip)
        return RESUME

    # --- instructions

    def _hlt(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """HLT: wait for an interrupt."""
        vcpu.regs.rip = exit.next_rip
        exit.retired = 1
        wakes = vcpu.virtual_if and self._vcpu.v.event_pending
        return RESUME if wakes else Outcome.BLOCK

    def _mov_cr(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        number, register = self.system.control_operands(insn, "cr")
        exit.n_ops, exit.ops[0] = 1, number
        if insn.opcode[1] == 0x20:
            self.system.write_register(register, self.control.read(number))
        else:
            value = self.system.read_register(register)
            exit.n_ops, exit.ops[1] = 2, value
            self.control.write(number, value)
        return next_rip

    def _mov_dr(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        number, register = self.system.control_operands(insn, "dr")
        exit.n_ops, exit.ops[0] = 1, number
        if insn.opcode[1] == 0x21:
            self.system.write_register(register, self.control.read_debug(number))
        else:
            value = self.system.read_register(register)
            exit.n_ops, exit.ops[1] = 2, value
            self.control.write_debug(number, value)
        return next_rip

    def _clts(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        self.control.write_cr0(self.state.cr0 & ~CR0_TS)
        return next_rip

    def _lmsw(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """LMSW sets PE, MP, EM and TS; it cannot clear PE (SDM 2A)."""
        value = self.system.read_operand(insn, insn.operands[0], 2, next_rip) & 0xF
        self.control.write_cr0(self.state.cr0 & ~0xE | value)
        return next_rip

    def _rdmsr(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        gpr = self._vcpu.regs.gpr
        value = self.msrs.read(gpr[RCX] & U32_MAX, exit.virtual_ns)
        gpr[RAX], gpr[RDX] = value & U32_MAX, value >> 32
        return next_rip

    def _wrmsr(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        gpr = self._vcpu.regs.gpr
        value = gpr[RAX] & U32_MAX | (gpr[RDX] & U32_MAX) << 32
        if self.msrs.write(gpr[RCX] & U32_MAX, value, exit.virtual_ns):
            self.paging.drop_all()
        return next_rip

    def _invlpg(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        address = self.system.address_of(insn, insn.operands[0], next_rip)
        exit.n_ops, exit.ops[0] = 1, address
        self.paging.drop(address)
        return next_rip

    # --- served inside the engine's hook

    def _io_in(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        exit.value = self.ioports.read(exit.ioport, exit.size_bytes)
        return STOP if domain.ending is not None else RESUME

    def _io_out(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        self.ioports.write(exit.ioport, exit.size_bytes, exit.value)
        return STOP if domain.ending is not None else RESUME

    def _cpuid(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        self.cpuid.answer(vcpu, exit)
        return RESUME

    def _rdtsc(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        timer.rdtsc(self.state, vcpu, exit)
        return RESUME


def cli(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """CLI. Its native twin is in native/cpu.c."""
    vcpu.virtual_if = False
    vcpu.regs.rip = exit.next_rip
    exit.retired = 1
    return RESUME


def sti(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """STI: no event before the instruction after it, if IF was clear (SDM 2B)."""
    if not vcpu.virtual_if:
        vcpu.shadow_next_block()
    vcpu.virtual_if = True
    vcpu.regs.rip = exit.next_rip
    exit.retired = 1
    return RESUME


def _nothing(exit: Exit, insn: Instruction, next_rip: int) -> int:
    """WBINVD and INVD: there is no cache to write back."""
    return next_rip
