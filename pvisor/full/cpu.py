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
from pvisor.cpu.features import CR4_OSXSAVE, CpuidTable
from pvisor.cpu.models import DEFAULT_CPU, VirtualCpu
from pvisor.cpu.shim import lib
from pvisor.cpu.unicorn_engine import DEVICE_CPU, UnicornVcpu
from pvisor.cpu.vcpu import RAX, RCX, RDX, Exit, Vcpu
from pvisor.domain.domain import Domain, ExitHandler, unexpected
from pvisor.domain.outcome import RESUME, STOP, Outcome
from pvisor.errors import DomainCrash
from pvisor.full.address_space import AddressSpace
from pvisor.full.breakpoints import DR6_SINGLE_STEP, Breakpoints
from pvisor.full.control import ControlRegisters
from pvisor.full.fetch import InstructionFetch
from pvisor.full.interrupts import WITH_ERROR_CODE, Interrupts
from pvisor.full.mmio import MmioEmulation
from pvisor.full.msrs import Msrs
from pvisor.full.paging import DeviceAccess, ShadowPaging, access_of
from pvisor.full.segments import Segmentation
from pvisor.full.sensitive import SensitiveInstructions
from pvisor.full.state import (
    CR0_TS,
    CR4_TSD,
    DB,
    GP,
    PF,
    RFLAGS_TF,
    SS_FAULT,
    UD,
    GuestFault,
    general_protection,
    new_cpu_state,
)
from pvisor.full.syscall import SystemCalls
from pvisor.full.system import SystemInstructions, loads_stack_segment
from pvisor.full.system_operands import SystemOperands, bad_stack_address
from pvisor.full.tasks import TaskSwitcher
from pvisor.full.transfers import Transfers
from pvisor.full.tsc import rdtsc
from pvisor.full.user_io import UserIo
from pvisor.full.walk import FAULT_I
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.lines import InterruptSource
from pvisor.machine.memory import GuestMemory
from pvisor.machine.mmio import MmioBus

U32_MAX = 0xFFFF_FFFF
U64_MAX = (1 << 64) - 1
CPUID_APIC, APIC_ENABLE = 1 << 9, 1 << 11
"""CPUID.1:EDX.APIC follows the enable bit of IA32_APIC_BASE (SDM 3A 10.4.3)."""
Emulation = Callable[[Exit, Instruction, int], int | None]
"""Emulates an instruction: (exit, instruction, next RIP) -> RIP to go on at, or None when it has set RIP."""


class FullWing:
    """The left wing of one domain: a PC with one CPU.

    `interrupt_source` is set by the builder; a machine without an interrupt controller has none.
    """

    name = "full"

    def __init__(
        self,
        memory: GuestMemory,
        frames: HypervisorFrames,
        vcpu: UnicornVcpu,
        ioports: IoPortBus,
        mmio: MmioBus,
        cpu: VirtualCpu = DEFAULT_CPU,
    ) -> None:
        self.state = new_cpu_state(cpu)
        self.ioports = ioports
        self.cpuid = CpuidTable(MappingProxyType({}), is_pc=True, cpu=cpu)
        self.paging = ShadowPaging(memory, frames, vcpu, self.state, mmio)
        self.segments = Segmentation(vcpu, self.state, self.paging)
        operands = SystemOperands(vcpu, self.paging, self.segments)
        self.interrupts = Interrupts(vcpu, self.state, self.paging, self.segments)
        self._fetch = InstructionFetch(vcpu, self.paging, self.segments, self.interrupts)
        self.control = ControlRegisters(vcpu, self.state, self.paging)
        self._debug = Breakpoints(vcpu, self.state, self.paging, self.segments)
        self.control.breakpoints = self._debug
        self.msrs = Msrs(vcpu, self.state, self.segments)
        self.interrupt_source: InterruptSource | None = None
        self._operands = operands
        self._system = SystemInstructions(
            vcpu, self.state, self.segments, operands, self.control, self._debug
        )
        tasks = TaskSwitcher(vcpu, self.state, self.paging, self.segments, self.interrupts, self.control)
        self.interrupts.tasks = tasks
        self._transfers = Transfers(
            vcpu, self.state, self.paging, self.segments, self.interrupts, operands, tasks
        )
        self._calls = SystemCalls(vcpu, self.state, self.segments, self.interrupts)
        self._sensitive = SensitiveInstructions(vcpu, self.state, self.segments, self.interrupts, operands)
        self._user_io = UserIo(vcpu, self.state, self.paging, self.segments, operands, ioports, self._debug)
        space = AddressSpace(self.paging.translate_now(self.segments), self.paging, mmio)
        self._emulate_mmio = self._emulating(MmioEmulation(vcpu, space, vcpu).emulate)
        self._emulate_while_ts = self._emulating(self._system.xsave_while_ts)
        self._vcpu = vcpu
        vcpu.v.device[DEVICE_CPU] = self.state
        self.handlers = self._handler_table()

    def _handler_table(self) -> tuple[ExitHandler, ...]:
        table: list[ExitHandler] = [unexpected] * N_REASONS
        table[ExitReason.CLI] = self._cli
        table[ExitReason.STI] = self._sti
        table[ExitReason.HLT] = self._hlt
        emulations: dict[ExitReason, Emulation] = {
            ExitReason.MOV_CR: self._system.mov_cr,
            ExitReason.MOV_DR: self._system.mov_dr,
            ExitReason.CLTS: self._system.clts,
            ExitReason.LMSW: self._system.lmsw,
            ExitReason.DESCRIPTOR_TABLE: self._descriptor_table,
            ExitReason.SEGMENT_LOAD: self._system.segment_load,
            ExitReason.FAR_TRANSFER: self._transfers.far_transfer,
            ExitReason.IRET: self._transfers.interrupt_return,
            ExitReason.RDMSR: self._rdmsr,
            ExitReason.WRMSR: self._wrmsr,
            ExitReason.INVLPG: self._invlpg,
            ExitReason.CACHE: _nothing,
            ExitReason.XSETBV: self._system.xsetbv,
            ExitReason.SWAPGS: self._system.swapgs,
            ExitReason.PUSHF: self._sensitive.pushf,
            ExitReason.POPF: self._sensitive.popf,
            ExitReason.DESCRIPTOR_STORE: self._sensitive.descriptor_store,
            ExitReason.SMSW: self._sensitive.smsw,
            ExitReason.SEGMENT_QUERY: self._sensitive.segment_query,
            ExitReason.USER_IO: self._user_io.access,
            ExitReason.USER_RDTSC: self._user_rdtsc,
            ExitReason.SYSRET: self._sysret,
            ExitReason.SYSEXIT: self._calls.sysexit,
        }
        for reason, emulation in emulations.items():
            table[reason] = self._emulating(emulation)
        table[ExitReason.INVALID_OPCODE] = self._invalid_opcode
        table[ExitReason.SYSCALL] = self._entering(self._calls.syscall)
        table[ExitReason.SYSENTER] = self._entering(self._calls.sysenter)
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
            bits = self.segments.code_bits
            insn = decode(bytes(exit.insn[0 : exit.n_insn]), bits)
            if insn is None and exit.reason == ExitReason.MMIO:
                raise DomainCrash(f"access to device memory at {exit.cr2:#x} by an unknown instruction")
            if insn is None:
                return self._reflect(domain, vcpu, exit)
            next_rip = exit.rip + insn.n_bytes & (U64_MAX if bits == 64 else U32_MAX)
            try:
                after = emulation(exit, insn, next_rip)
            except GuestFault as fault:
                self._debug.take_hits()
                lib.pv_show_code(self._vcpu.v, exit.rip)  # a kernel may emulate what its user code may not do
                self.interrupts.raise_fault(fault, exit.rip)
                return RESUME
            if after is not None:
                vcpu.regs.rip = after
            exit.retired = 1
            trap = self._debug.take_hits()
            if exit.stepping and not loads_stack_segment(insn):
                trap |= DR6_SINGLE_STEP
            if trap:
                self._debug_trap(trap)
            return STOP if domain.ending is not None else RESUME

        return handler

    def _entering(self, entry: Callable[[Exit], None]) -> ExitHandler:
        """SYSCALL and SYSENTER: the engine has stepped over them already."""

        def handler(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
            try:
                entry(exit)
                exit.retired = 1
                if exit.stepping and vcpu.rflags & RFLAGS_TF:
                    self._debug_trap(DR6_SINGLE_STEP)
            except GuestFault as fault:
                vcpu.regs.rip = exit.rip
                self.interrupts.raise_fault(fault, exit.rip)
            return RESUME

        return handler

    # --- exceptions

    def _debug_trap(self, dr6: int) -> None:
        """#DB after an instruction (SDM 3B 18.3.1.4)."""
        self._debug.enter(dr6)
        self.interrupts.end_resume()
        self.interrupts.raise_fault(GuestFault(DB), self._vcpu.regs.rip)

    def _reflect(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """The exception is the guest's own: it gets it, with the real error code."""
        if self._fetch.rest(exit):
            return RESUME
        vector = exit.vector
        error = exit.error_code if vector in WITH_ERROR_CODE else None
        if vector == DB:
            reasons = self._debug.trap_reasons(exit)
            if not reasons:
                return RESUME
            self._debug.enter(reasons)
        elif vector == GP and not error and self._is_stack_fault(exit):
            vector = SS_FAULT
        self.interrupts.raise_fault(GuestFault(vector, error), exit.rip)
        return RESUME

    def _is_stack_fault(self, exit: Exit) -> bool:
        """Was it an address on the stack that was not canonical? The engine says #GP then, the manual #SS."""
        if not self.segments.in_64bit_code:
            return False
        insn = decode(bytes(exit.insn[0 : exit.n_insn]), 64)
        return insn is not None and bad_stack_address(self._vcpu, insn, exit.rip)

    def _invalid_opcode(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """#UD; but for INT1, and for RDPMC of a counter that there is not, which the engine does not know."""
        code = bytes(exit.insn[0 : exit.n_insn])
        if code[:1] == b"\xf1":
            vcpu.regs.rip = exit.rip + 1
            exit.retired = 1
            self._debug_trap(0)
        elif code[:2] == b"\x0f\x33":
            self.interrupts.raise_fault(general_protection(), exit.rip)
        elif self.state.cr4 & CR4_OSXSAVE and self.state.cr0 & CR0_TS:
            return self._emulate_while_ts(domain, vcpu, exit)
        else:
            self.interrupts.raise_fault(GuestFault(UD), exit.rip)
        return RESUME

    def _page_fault(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """The shadow lacks an entry, and gets it; or a device lies there; or the fault is the guest's."""
        try:
            self.paging.fill(exit.cr2, access_of(exit.error_code), self._vcpu.linear(exit.rip))
            if self._debug.is_watched(exit.cr2):
                self._debug.open_page(exit, access_of(exit.error_code))
        except GuestFault as fault:
            if fault.vector == PF:
                exit.ops[1] = fault.error_code or 0
                self._transfers.unblock_nmi(exit)
            self.interrupts.raise_fault(fault, exit.rip)
            return RESUME
        except DeviceAccess as access:
            return self._device_access(domain, vcpu, exit, access.gpa)
        exit.reason = ExitReason.SHADOW_FILL
        return RESUME

    def _device_access(self, domain: Domain, vcpu: Vcpu, exit: Exit, gpa: int) -> Outcome:
        """A load or store where there is no RAM: the instruction is done on the MMIO bus."""
        if exit.error_code & FAULT_I:
            raise DomainCrash(f"the guest runs code at guest-physical {gpa:#x}, where there is no RAM")
        exit.reason = ExitReason.MMIO
        exit.n_ops, exit.ops[0] = 1, gpa
        return self._emulate_mmio(domain, vcpu, exit)

    def _soft_int(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        exit.retired = self.interrupts.software_interrupt(exit.vector, exit.rip, exit.next_rip)
        return RESUME

    def _event_window(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """An NMI; or IF is set and the controller asserts its line: it names the vector."""
        if self._vcpu.nmi_due:
            self.interrupts.nmi(exit.rip)
        elif self.interrupt_source is not None:
            self.interrupts.external_interrupt(self.interrupt_source.acknowledge(), exit.rip)
        return RESUME

    # --- instructions

    def _cli(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """CLI. Its native twin is in native/cpu.c."""
        if self.segments.cpl > self.state.iopl:
            self.interrupts.raise_fault(general_protection(), exit.rip)
            return RESUME
        vcpu.virtual_if = False
        return self._stepped(vcpu, exit)

    def _sti(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """STI: no event before the instruction after it, if IF was clear (SDM 2B)."""
        if self.segments.cpl > self.state.iopl:
            self.interrupts.raise_fault(general_protection(), exit.rip)
            return RESUME
        if not vcpu.virtual_if:
            vcpu.shadow_next_block()
        vcpu.virtual_if = True
        return self._stepped(vcpu, exit)

    def _stepped(self, vcpu: Vcpu, exit: Exit) -> Outcome:
        vcpu.regs.rip = exit.next_rip
        exit.retired = 1
        if exit.stepping:
            self._debug_trap(DR6_SINGLE_STEP)
        return RESUME

    def _hlt(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """HLT: wait for an interrupt."""
        vcpu.regs.rip = exit.next_rip
        exit.retired = 1
        return RESUME if vcpu.has_event else Outcome.BLOCK

    def _descriptor_table(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        after = self._system.descriptor_table(exit, insn, next_rip)
        self.segments.show_tables()
        return after

    def _sysret(self, exit: Exit, insn: Instruction, next_rip: int) -> None:
        """SYSRET: TF is looked at behind it, as if SYSCALL had just ended; so do CPUs and the engine."""
        self._calls.sysret(exit, insn, next_rip)
        exit.stepping = self._vcpu.rflags & RFLAGS_TF != 0

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
        address = self._operands.address_of(insn, insn.operands[0], next_rip)
        exit.n_ops, exit.ops[0] = 1, address
        self.paging.drop(address)
        return next_rip

    def _user_rdtsc(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """RDTSC and RDTSCP where user code runs: #GP while CR4.TSD is set (SDM 2B)."""
        if self.state.cr4 & CR4_TSD and self.segments.cpl:
            raise general_protection()
        exit.value = insn.mnemonic == "rdtscp"
        if exit.value and not self.state.has_tsc_aux:
            raise GuestFault(UD)
        rdtsc(self.state, self._vcpu, exit)
        return next_rip

    # --- served inside the engine's hook

    def _io_in(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        exit.value = self.ioports.read(exit.ioport, exit.size_bytes)
        return STOP if domain.ending is not None else RESUME

    def _io_out(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        self.ioports.write(exit.ioport, exit.size_bytes, exit.value)
        return STOP if domain.ending is not None else RESUME

    def _cpuid(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        self.cpuid.answer(vcpu, exit, self.state.cr4)
        if exit.ops[0] == 1 and self.msrs.apic is not None and not self.msrs.apic.read_base() & APIC_ENABLE:
            vcpu.regs.gpr[RDX] &= ~CPUID_APIC
        return RESUME

    def _rdtsc(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        rdtsc(self.state, vcpu, exit)
        return RESUME


def _nothing(exit: Exit, insn: Instruction, next_rip: int) -> int:
    """WBINVD and INVD: there is no cache to write back."""
    return next_rip
