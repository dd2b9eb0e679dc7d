# SPDX-License-Identifier: GPL-2.0-or-later
"""Task switches by the CPU: JMP and CALL to a TSS or task gate, events by a task gate, IRET with NT.

Sources: SDM 3A 7.2 to 7.4, table 7-1 for the checks and their order; 2A, CALL, JMP, INT n, IRET. What may
fault in the old task comes first, and has changed nothing then; from the load of the task register on, a
fault belongs to the new task: it is raised at its first instruction. Where the manual leaves room:
  * the upper halves of the general registers are all ones after a switch to a 16-bit TSS, as in QEMU;
  * a page-directory-pointer entry with reserved bits is #GP(0) of the new task.

There are none in IA-32e mode. This room has no twin: a paravirtual guest switches stacks, not tasks.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import NamedTuple

from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, RSP, SS, Segment
from pvisor.errors import DomainCrash
from pvisor.full.control import ControlRegisters
from pvisor.full.interrupts import Interrupts
from pvisor.full.paging import ShadowPaging
from pvisor.full.segments import (
    CODE,
    DEFAULT_BIG,
    DPL_SHIFT,
    LDT,
    NOT_SYSTEM,
    PRESENT,
    REAL_KERNEL_DPL,
    WRITABLE_OR_READABLE,
    Descriptor,
    Segmentation,
)
from pvisor.full.state import (
    CR0_PG,
    CR0_TS,
    DB,
    NP,
    RFLAGS_NT,
    RFLAGS_RF,
    RFLAGS_VM,
    TS,
    CpuState,
    GuestFault,
    general_protection,
)
from pvisor.full.walk import USER_WRITE, WRITE

TASK_GATE = 5
BUSY = 1 << 9
"""Of a TSS descriptor's second dword."""
AVAILABLE_KINDS, BUSY_KINDS = frozenset((1, 9)), frozenset((3, 11))
DR7_LOCAL, DR6_TASK_SWITCH = 0x55, 1 << 15
U32_MAX = 0xFFFF_FFFF


class _Layout(NamedTuple):
    """Where things are in a TSS (SDM 3A figures 7-2, 7-10)."""

    n_bytes: int
    registers: struct.Struct
    """EIP, EFLAGS and the general registers, from `registers_at` on."""
    registers_at: int
    segments_at: int
    segment_step: int
    n_segments: int
    ldt_at: int


TSS_32 = _Layout(0x68, struct.Struct("<10I"), 0x20, 0x48, 4, 6, 0x60)
TSS_16 = _Layout(0x2C, struct.Struct("<10H"), 0x0E, 0x22, 2, 4, 0x2A)
CR3_AT, TRAP_AT = 0x1C, 0x64


class Way(Enum):
    """How a task is left: what becomes of its busy bit, the back link and NT (SDM 3A table 7-2)."""

    JUMP = 0
    CALL = 1
    RETURN = 2


class TaskSwitcher:
    """The task register of one vCPU. Raises GuestFault; `at` is set in one that belongs to the new task."""

    def __init__(
        self,
        vcpu: UnicornVcpu,
        state: CpuState,
        paging: ShadowPaging,
        segments: Segmentation,
        interrupts: Interrupts,
        control: ControlRegisters,
    ) -> None:
        self._vcpu = vcpu
        self._state = state
        self._paging = paging
        self._segments = segments
        self._interrupts = interrupts
        self._control = control
        self._has_trap = False

    # --- the four ways

    def transfer(self, selector: int, target: Descriptor, next_rip: int, is_call: bool) -> None:
        """JMP or CALL to a TSS or task gate whose privilege level allows it."""
        if target.kind == TASK_GATE:
            if not target.flags & PRESENT:
                raise GuestFault(NP, selector & 0xFFFC)
            selector = target.low >> 16
            target = self._named_by_gate(selector)
        elif target.kind not in AVAILABLE_KINDS:
            raise general_protection(selector)
        self._switch(selector, target, next_rip, Way.CALL if is_call else Way.JUMP)
        self._begin()

    def event(self, selector: int, return_rip: int, error_code: int | None, n_retiring: int) -> None:
        """INT n (which retires), interrupt or exception by a task gate with this selector.

        An error code goes on the new task's stack.
        """
        self._switch(selector, self._named_by_gate(selector), return_rip, Way.CALL, n_retiring)
        if error_code is not None:
            try:
                self._push(error_code)
            except GuestFault as fault:
                raise fault.of_task(self._vcpu.regs.rip) from None
        self._begin()

    def task_return(self, next_rip: int) -> None:
        """IRET with NT set: back to the task that the back link names."""
        selector = self._interrupts.tss_word(0, 2)
        found = None if selector & 4 else self._segments.find_descriptor(selector)
        if found is None or not found.is_system or found.kind not in BUSY_KINDS:
            raise GuestFault(TS, selector & 0xFFFC)
        self._switch(selector, found, next_rip, Way.RETURN)
        self._begin()

    def _named_by_gate(self, selector: int) -> Descriptor:
        """The TSS that a task gate names, in the GDT and not busy."""
        found = None if selector & 4 or not selector & 0xFFFC else self._segments.find_descriptor(selector)
        if found is None or not found.is_system or found.kind not in AVAILABLE_KINDS:
            raise general_protection(selector)
        return found

    # --- the switch

    def _switch(self, selector: int, target: Descriptor, rip: int, way: Way, n_retiring: int = 1) -> None:
        """The steps of SDM 3A 7.3 up to the first instruction; the rest is `_begin`."""
        if not target.flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)
        layout = TSS_32 if target.kind & 8 else TSS_16
        if target.limit < layout.n_bytes - 1:
            raise GuestFault(TS, selector & 0xFFFC)
        image = self._paging.read_virtual(target.base, layout.n_bytes)
        tr = self._state.tr
        old = self._segments.find_descriptor(tr.selector) if tr.selector & 0xFFFC else None
        self._reserve(target, old, way)
        flags = self._interrupts.rflags & ~(RFLAGS_RF if n_retiring else 0)
        self._save(rip, flags & ~RFLAGS_NT if way is Way.RETURN else flags)
        if old is not None and way is not Way.CALL:
            self._mark(old, busy=False)
        if way is Way.CALL:
            self._paging.write_virtual(target.base, (tr.selector & 0xFFFF).to_bytes(2, "little"))
        if way is not Way.RETURN:
            self._mark(target, busy=True)
        tr.selector, tr.base, tr.limit, tr.flags = selector, target.base, target.limit, target.flags | BUSY
        self._segments.show_tables()
        self._control.write_cr0(self._state.cr0 | CR0_TS)
        if self._load_registers(image, layout, flags, way) & RFLAGS_RF:
            self._interrupts.resume(n_retiring)
        try:
            if layout is TSS_32 and self._state.cr0 & CR0_PG:
                self._control.write(3, int.from_bytes(image[CR3_AT : CR3_AT + 4], "little"))
            self._load_segments(image, layout)
        except GuestFault as fault:
            raise fault.of_task(self._vcpu.regs.rip) from None
        finally:
            self._control.clear_breakpoints(DR7_LOCAL)
        self._has_trap = layout is TSS_32 and bool(image[TRAP_AT] & 1)

    def _begin(self) -> None:
        """What is looked at when the new task is there: EIP, and the T bit of its TSS (SDM 3B 17.3.1.5)."""
        rip = self._vcpu.regs.rip
        if rip > self._vcpu.segment(CS).limit:
            raise general_protection().of_task(rip)
        if self._has_trap:
            self._state.dr[6] |= DR6_TASK_SWITCH
            raise GuestFault(DB).of_task(rip)

    def _reserve(self, target: Descriptor, old: Descriptor | None, way: Way) -> None:
        """Raise now what a later store would raise, when something has been stored already."""
        tr = self._state.tr
        layout = TSS_32 if tr.flags >> 8 & 8 else TSS_16
        places = [tr.base + layout.registers_at, tr.base + layout.n_bytes - 1]
        if way is Way.CALL:
            places += [target.base, target.base + 1]
        for descriptor in (old, target):
            if descriptor is not None:
                places += [descriptor.address + 4, descriptor.address + 7]
        for at in places:
            self._paging.tables.walk(at, WRITE)

    def _save(self, rip: int, flags: int) -> None:
        """The old task's registers into its TSS, but for CR3 and LDTR."""
        tr, gpr = self._state.tr, self._vcpu.regs.gpr
        layout = TSS_32 if tr.flags >> 8 & 8 else TSS_16
        mask = U32_MAX if layout is TSS_32 else 0xFFFF
        words = [word & mask for word in (rip, flags, *gpr[0:8])]
        self._paging.write_virtual(tr.base + layout.registers_at, layout.registers.pack(*words))
        for i in range(layout.n_segments):
            selector = self._vcpu.segment(i).selector & 0xFFFF
            at = tr.base + layout.segments_at + layout.segment_step * i
            self._paging.write_virtual(at, selector.to_bytes(2, "little"))

    def _mark(self, tss: Descriptor, *, busy: bool) -> None:
        flags = tss.flags | BUSY if busy else tss.flags & ~BUSY
        self._paging.write_virtual(tss.address + 4, flags.to_bytes(4, "little"))

    def _load_registers(self, image: bytes, layout: _Layout, old_flags: int, way: Way) -> int:
        """EIP, EFLAGS and the general registers: nothing of them can fault. Gives EFLAGS."""
        rip, flags, *general = layout.registers.unpack_from(image, layout.registers_at)
        if layout is TSS_16:
            flags |= old_flags & ~0xFFFF
            general = [0xFFFF_0000 | word for word in general]
        if way is Way.CALL:
            flags |= RFLAGS_NT
        if flags & RFLAGS_VM:
            raise DomainCrash("a task in virtual-8086 mode, which is not supported")
        self._interrupts.rflags = flags
        self._vcpu.regs.rip = rip
        for i, value in enumerate(general):
            self._vcpu.regs.gpr[i] = value
        return int(flags)

    # --- segments of the new task

    def _load_segments(self, image: bytes, layout: _Layout) -> None:
        """LDTR, then each segment register (SDM 3A table 7-1). All are unusable until then."""
        selectors = [
            int.from_bytes(image[at : at + 2], "little")
            for at in (layout.segments_at + layout.segment_step * i for i in range(layout.n_segments))
        ]
        selectors += [0] * (6 - len(selectors))
        cpl = selectors[CS] & 3
        if cpl not in (0, 3):
            raise DomainCrash(
                f"a task in ring {cpl} (CS {selectors[CS]:#x}): rings 1 and 2 are not supported"
            )
        dpl = max(cpl, REAL_KERNEL_DPL) << DPL_SHIFT
        for i, selector in enumerate(selectors):
            self._vcpu.set_segment(i, Segment(selector, 0, 0, dpl if i in (CS, SS) else 0))
        self._load_ldtr(int.from_bytes(image[layout.ldt_at : layout.ldt_at + 2], "little"))
        self._load_code(selectors[CS], cpl)
        self._vcpu.set_segment(SS, self._segments.check_stack(selectors[SS], cpl, False, TS))
        for i in (ES, DS, FS, GS):
            self._load_data(i, selectors[i], cpl)

    def _load_ldtr(self, selector: int) -> None:
        ldtr = self._state.ldtr
        ldtr.selector, ldtr.base, ldtr.limit, ldtr.flags = 0, 0, 0, 0
        if selector & 0xFFFC:
            found = None if selector & 4 else self._segments.find_descriptor(selector)
            if found is None or not found.is_system or found.kind != LDT or not found.flags & PRESENT:
                raise GuestFault(TS, selector & 0xFFFC)
            ldtr.base, ldtr.limit, ldtr.flags = found.base, found.limit, found.flags
        ldtr.selector = selector
        self._segments.show_tables()

    def _load_code(self, selector: int, cpl: int) -> None:
        found = self._segments.find_descriptor(selector) if selector & 0xFFFC else None
        if found is None or not found.is_code:
            raise GuestFault(TS, selector & 0xFFFC)
        if found.dpl > cpl if found.is_conforming else found.dpl != cpl:
            raise GuestFault(TS, selector & 0xFFFC)
        if not found.flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)
        self._segments.load_code(selector, found, cpl)

    def _load_data(self, index: int, selector: int, cpl: int) -> None:
        if not selector & 0xFFFC:
            return
        found = self._segments.find_descriptor(selector)
        if (
            found is None
            or not found.flags & NOT_SYSTEM
            or (found.flags & CODE and not found.flags & WRITABLE_OR_READABLE)
            or (not found.is_conforming and max(selector & 3, cpl) > found.dpl)
        ):
            raise GuestFault(TS, selector & 0xFFFC)
        if not found.flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)
        self._segments.set_accessed(found)
        self._vcpu.set_segment(index, self._segments.shadow(selector, found))

    def _push(self, error_code: int) -> None:
        """On the new task's stack, as wide as its TSS."""
        width = 4 if self._state.tr.flags >> 8 & 8 else 2
        stack, gpr = self._vcpu.segment(SS), self._vcpu.regs.gpr
        mask = U32_MAX if stack.flags & DEFAULT_BIG else 0xFFFF
        rsp = gpr[RSP] - width & mask
        access = USER_WRITE if self._segments.cpl == 3 else WRITE
        data = (error_code & (1 << 8 * width) - 1).to_bytes(width, "little")
        self._paging.write_virtual(rsp + stack.base & U32_MAX, data, access)
        gpr[RSP] = gpr[RSP] & ~mask & U32_MAX | rsp
