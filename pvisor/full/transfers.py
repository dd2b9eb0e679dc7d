# SPDX-License-Identifier: GPL-2.0-or-later
"""Far JMP, CALL and RET, call gates, and IRET: changes of the code segment, within a ring and between rings.

Sources: SDM 2A (CALL, IRET, JMP, RET), 3A 5.8. Where a task gate or a TSS is the target, tasks.py
goes on. Twin of para/transfers.py.
"""

from __future__ import annotations

from pvisor.cpu.decode import Instruction, decode
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, RSP, SS, Exit, Segment
from pvisor.errors import DomainCrash
from pvisor.full.interrupts import Interrupts
from pvisor.full.paging import ShadowPaging
from pvisor.full.segments import CALL_GATE, DEFAULT_BIG, LONG, PRESENT, UPPER_TYPE, Descriptor, Segmentation
from pvisor.full.state import (
    NP,
    RFLAGS_IF,
    RFLAGS_IOPL,
    RFLAGS_NT,
    RFLAGS_RF,
    RFLAGS_VM,
    SS_FAULT,
    CpuState,
    GuestFault,
    general_protection,
    is_canonical,
    is_long,
)
from pvisor.full.system_operands import SystemOperands
from pvisor.full.tasks import TaskSwitcher
from pvisor.full.walk import READ, USER_READ, USER_WRITE, WRITE

U64_MAX = (1 << 64) - 1
TASKS = frozenset((1, 3, 5, 9, 11))
CALL_GATE_16 = 4
"""Types of system descriptors (SDM 3A table 3-2): TSS of both widths, available and busy, and task gate."""


class Transfers:
    """Far transfers of one vCPU. Each sets RIP itself. Raises GuestFault."""

    def __init__(
        self,
        vcpu: UnicornVcpu,
        state: CpuState,
        paging: ShadowPaging,
        segments: Segmentation,
        interrupts: Interrupts,
        operands: SystemOperands,
        tasks: TaskSwitcher,
    ) -> None:
        self._vcpu = vcpu
        self._state = state
        self._paging = paging
        self._segments = segments
        self._interrupts = interrupts
        self._operands = operands
        self._tasks = tasks

    # --- JMP and CALL

    def far_transfer(self, exit: Exit, insn: Instruction, next_rip: int) -> None:
        """Far JMP, CALL and RET."""
        n_bytes = self._operands.operand_bytes(insn)
        if insn.opcode[0] in (0xCA, 0xCB):
            extra = insn.operands[0].immediate or 0 if insn.opcode[0] == 0xCA else 0
            self._far_return(exit, n_bytes, extra)
            return
        if insn.opcode[0] in (0xEA, 0x9A):
            parts = [operand.immediate or 0 for operand in insn.operands]
            selector, target = parts[0] & 0xFFFF, parts[1] & (1 << 8 * n_bytes) - 1
        else:
            at = self._operands.address_of(insn, insn.operands[0], next_rip)
            raw = self._read(at, n_bytes + 2)
            target, selector = _number(raw[:n_bytes]), _number(raw[n_bytes:])
        exit.n_ops, exit.ops[0], exit.ops[1] = 2, selector, target
        is_call = insn.opcode[0] == 0x9A or (insn.opcode[0] == 0xFF and insn.opcode_extension == 3)
        if not selector & 0xFFFC:
            raise general_protection(0)
        descriptor = self._segments.descriptor(selector)
        if descriptor.is_system:
            self._through_gate(selector, descriptor, next_rip, is_call)
            return
        cpl = self._segments.cpl
        self._check_direct(selector, descriptor, cpl)
        self._segments.check_target(descriptor, target)
        self._segments.set_accessed(descriptor)
        if is_call:
            self._push([next_rip, self._vcpu.segment(CS).selector], n_bytes, cpl)
        self._segments.load_code(selector, descriptor, cpl)
        self._vcpu.regs.rip = target

    def _check_direct(self, selector: int, descriptor: Descriptor, cpl: int) -> None:
        """May CPL jump or call there without a gate? (SDM 3A 5.8.1)"""
        if descriptor.is_code:
            if descriptor.is_conforming:
                allowed = descriptor.dpl <= cpl
            else:
                allowed = selector & 3 <= cpl and descriptor.dpl == cpl
            if not allowed:
                raise general_protection(selector)
        self._segments.check_code(selector, descriptor)

    def _through_gate(self, selector: int, gate: Descriptor, next_rip: int, is_call: bool) -> None:
        """A call gate (SDM 3A 5.8.3 to 5.8.5), or another task."""
        long, cpl = is_long(self._state), self._segments.cpl
        if not long and gate.kind in TASKS:
            if gate.dpl < max(cpl, selector & 3):
                raise general_protection(selector)
            self._tasks.transfer(selector, gate, next_rip, is_call)
            return
        if gate.kind != CALL_GATE and (long or gate.kind != CALL_GATE_16):
            raise general_protection(selector)
        width = 8 if long else 4 if gate.kind == CALL_GATE else 2
        high = 0
        if long:
            wide = self._segments.descriptor(selector, system_bytes=16)
            if wide.last & UPPER_TYPE:
                raise general_protection(selector)
            high = wide.base_high
        if gate.dpl < max(cpl, selector & 3):
            raise general_protection(selector)
        if not gate.flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)
        target_selector = gate.low >> 16
        target = gate.low & 0xFFFF | high << 32
        if width > 2:
            target |= gate.flags & 0xFFFF_0000
        if not target_selector & 0xFFFC:
            raise general_protection(0)
        descriptor = self._segments.descriptor(target_selector)
        if not descriptor.is_code or descriptor.dpl > cpl:
            raise general_protection(target_selector)
        if long and not (descriptor.flags & LONG and not descriptor.flags & DEFAULT_BIG):
            raise general_protection(target_selector)
        if not is_call and not descriptor.is_conforming and descriptor.dpl != cpl:
            raise general_protection(target_selector)
        self._segments.check_code(target_selector, descriptor)
        self._segments.check_target(descriptor, target)
        inner = is_call and not descriptor.is_conforming and descriptor.dpl < cpl
        new_cpl = descriptor.dpl if inner else cpl
        stack = self._inner_stack(new_cpl) if inner else None
        self._segments.set_accessed(descriptor)
        if stack is not None:
            self._call_inner(gate, *stack, next_rip, width)
        elif is_call:
            self._push([next_rip, self._vcpu.segment(CS).selector], width, cpl)
        self._segments.load_code(target_selector, descriptor, new_cpl)
        self._vcpu.regs.rip = target

    def _inner_stack(self, cpl: int) -> tuple[Segment, int]:
        """(SS, stack pointer) that the TSS names for a more privileged ring."""
        if is_long(self._state):
            rsp = self._interrupts.tss_word(4 + 8 * cpl, 8)
            if not is_canonical(rsp):
                raise GuestFault(SS_FAULT, 0)
            return self._segments.check_stack(cpl, cpl, True), rsp
        stack, esp = self._interrupts.protected_stack(cpl)
        assert stack is not None
        return stack, esp

    def _call_inner(self, gate: Descriptor, stack: Segment, rsp: int, next_rip: int, width: int) -> None:
        """To a more privileged ring: the parameters copied, the old stack pushed, on the new one."""
        long = is_long(self._state)
        old_ss, old_rsp = self._vcpu.segment(SS), self._vcpu.regs.gpr[RSP]
        old_cs = self._vcpu.segment(CS).selector
        if long:
            base, parameters = 0, b""
        else:
            base = stack.base
            n_parameters = gate.flags & 0x1F
            mask = 0xFFFF_FFFF if old_ss.flags & DEFAULT_BIG else 0xFFFF
            at = (old_rsp & mask) + old_ss.base & 0xFFFF_FFFF
            parameters = self._read(at, width * n_parameters) if n_parameters else b""
        words = [next_rip, old_cs]
        frame = _frame(words, width) + parameters + _frame([old_rsp, old_ss.selector], width)
        wrap = U64_MAX if long else 0xFFFF_FFFF
        mask = wrap if long or stack.flags & DEFAULT_BIG else 0xFFFF
        bottom = rsp - len(frame) & mask
        self._paging.push_virtual(bottom + base & wrap, frame, width, WRITE)
        self._vcpu.set_segment(SS, stack)
        self._vcpu.regs.gpr[RSP] = bottom | old_rsp & ~mask & wrap

    # --- RET and IRET

    def _far_return(self, exit: Exit, n_bytes: int, extra: int) -> None:
        raw = self._pop_bytes(2 * n_bytes, 0)
        target, selector = _number(raw[:n_bytes]), _number(raw[n_bytes : n_bytes + 2])
        exit.n_ops, exit.ops[0], exit.ops[1] = 2, selector, target
        descriptor, outer = self._return_target(selector, target)
        if outer:
            raw = self._pop_bytes(2 * n_bytes, 2 * n_bytes + extra)
            rsp, stack_selector = _number(raw[:n_bytes]), _number(raw[n_bytes : n_bytes + 2])
            self._leave_to(selector, descriptor, target, rsp, stack_selector, n_bytes, extra)
        else:
            self._move_stack(2 * n_bytes + extra)
            self._segments.load_code(selector, descriptor, self._segments.cpl)
            self._vcpu.regs.rip = target

    def _return_target(self, selector: int, target: int) -> tuple[Descriptor, bool]:
        """(code segment returned to, is its ring an outer one?). Raises GuestFault."""
        if not selector & 0xFFFC:
            raise general_protection(0)
        descriptor = self._segments.descriptor(selector)
        rpl, cpl = selector & 3, self._segments.cpl
        if descriptor.is_code:
            if rpl < cpl or (descriptor.dpl > rpl if descriptor.is_conforming else descriptor.dpl != rpl):
                raise general_protection(selector)
            if rpl not in (cpl, 3):
                raise DomainCrash(f"return to ring {rpl} (CS {selector:#x}): rings 1 and 2 are not supported")
        self._segments.check_code(selector, descriptor)
        self._segments.check_target(descriptor, target)
        return descriptor, rpl > cpl

    def _leave_to(
        self,
        selector: int,
        descriptor: Descriptor,
        target: int,
        rsp: int,
        stack_selector: int,
        n_bytes: int,
        extra: int = 0,
    ) -> None:
        """To an outer ring, with its own stack; data segments of the inner one are taken away."""
        rpl = selector & 3
        to_64bit = bool(descriptor.flags & LONG and is_long(self._state))
        stack = self._segments.check_stack(stack_selector, rpl, to_64bit)
        self._segments.load_code(selector, descriptor, rpl)
        self._vcpu.set_segment(SS, stack)
        rsp += extra
        if to_64bit or stack.flags & DEFAULT_BIG:
            self._vcpu.regs.gpr[RSP] = rsp & (U64_MAX if to_64bit else 0xFFFF_FFFF)
        else:
            self._vcpu.regs.gpr[RSP] = self._vcpu.regs.gpr[RSP] & ~0xFFFF & U64_MAX | rsp & 0xFFFF
        self._segments.clear_kernel_data()
        self._vcpu.regs.rip = target

    def interrupt_return(self, exit: Exit, insn: Instruction, next_rip: int) -> None:
        """IRET, IRETD, IRETQ: within a ring or to ring 3."""
        self._vcpu.v.nmi_blocked = 0  # also if it faults (SDM 3A 6.7.1)
        n_bytes, long, cpl = self._operands.operand_bytes(insn), is_long(self._state), self._segments.cpl
        old = self._interrupts.rflags
        if old & RFLAGS_NT:
            if long:
                raise general_protection(0)
            self._tasks.task_return(next_rip)
            return
        mode64 = self._segments.in_64bit_code
        raw = self._pop_bytes((5 if mode64 else 3) * n_bytes, 0)
        words = [_number(raw[i : i + n_bytes]) for i in range(0, len(raw), n_bytes)]
        target, selector, rflags = words[0], words[1] & 0xFFFF, words[2]
        exit.n_ops, exit.ops[0], exit.ops[1] = 2, selector, target
        if not long and rflags & RFLAGS_VM and cpl == 0:
            raise DomainCrash("IRET to virtual-8086 mode, which is not supported")
        descriptor, outer = self._return_target(selector, target)
        if not mode64 and outer:
            raw = self._pop_bytes(2 * n_bytes, 3 * n_bytes)
            words += [_number(raw[:n_bytes]), _number(raw[n_bytes : n_bytes + 2])]
        if outer:
            self._leave_to(selector, descriptor, target, words[3], words[4] & 0xFFFF, n_bytes)
        else:
            self._return_within(selector, descriptor, target, words, n_bytes)
        self._interrupts.rflags = self._returned_flags(old, rflags, n_bytes, cpl)
        if rflags & RFLAGS_RF:
            self._interrupts.resume(1)

    def unblock_nmi(self, exit: Exit) -> None:
        """A page fault of the real CPU's: if it was an IRET's, NMIs are let in again."""
        if self._vcpu.v.nmi_blocked:
            insn = decode(bytes(exit.insn[0 : exit.n_insn]), self._segments.code_bits)
            if insn is not None and insn.opcode[0] == 0xCF:
                self._vcpu.v.nmi_blocked = 0

    def _return_within(
        self, selector: int, descriptor: Descriptor, target: int, words: list[int], n_bytes: int
    ) -> None:
        cpl = self._segments.cpl
        if len(words) == 5:
            to_64bit = bool(descriptor.flags & LONG)
            stack = self._segments.check_stack(words[4] & 0xFFFF, cpl, to_64bit)
            self._segments.load_code(selector, descriptor, cpl)
            self._vcpu.set_segment(SS, stack)
            self._vcpu.regs.gpr[RSP] = words[3]
        else:
            self._move_stack(3 * n_bytes)
            self._segments.load_code(selector, descriptor, cpl)
        self._vcpu.regs.rip = target

    @staticmethod
    def _returned_flags(old: int, popped: int, n_bytes: int, cpl: int) -> int:
        """What IRET may change: ring 3 not IOPL, and IF only where IOPL lets it (SDM 2A, IRET)."""
        kept = old & ~0xFFFF if n_bytes == 2 else 0
        if cpl:
            kept |= old & RFLAGS_IOPL
            popped &= ~RFLAGS_IOPL
            if cpl > old >> 12 & 3:
                kept |= old & RFLAGS_IF
                popped &= ~RFLAGS_IF
        return (popped | kept) & ~RFLAGS_VM

    # --- the stack

    def _read(self, at: int, n_bytes: int) -> bytes:
        data = self._paging.read_virtual(at, n_bytes, USER_READ if self._segments.cpl == 3 else READ)
        self._paging.note(at, n_bytes, is_write=False)
        return data

    def _pop_bytes(self, n_bytes: int, offset: int) -> bytes:
        """Bytes of the stack from `offset` on; the pointer stays."""
        address = self._operands.stack_address(self._vcpu.regs.gpr[RSP] + offset)
        return self._read(address, n_bytes)

    def _move_stack(self, n_bytes: int) -> None:
        self._vcpu.regs.gpr[RSP] = self._operands.moved_stack(n_bytes)

    def _push(self, words: list[int], n_bytes: int, cpl: int) -> None:
        """Push the last word first, as a far CALL does."""
        frame = _frame(words, n_bytes)
        rsp = self._operands.moved_stack(-len(frame))
        access = USER_WRITE if cpl == 3 else WRITE
        address = self._operands.stack_address(rsp)
        self._paging.push_virtual(address, frame, n_bytes, access)
        self._paging.note(address, len(frame), is_write=True)
        self._vcpu.regs.gpr[RSP] = rsp


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def _frame(words: list[int], n_bytes: int) -> bytes:
    mask = (1 << 8 * n_bytes) - 1
    return b"".join((word & mask).to_bytes(n_bytes, "little") for word in words)
