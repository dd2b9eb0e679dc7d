# SPDX-License-Identifier: GPL-2.0-or-later
"""What is left of a guest that crashed: registers, code and stack, read before its vCPU goes.

In mode full they are shown as the guest knows them: its own ring, flags, control and table registers, memory
by its own page tables, code without the engine's patches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, GPR_NAMES, RBP, RSP, SEGMENT_NAMES, SS
from pvisor.domain.domain import Domain
from pvisor.machine.elf import PF_X, ElfImage
from pvisor.machine.memory import PAGE_BYTES
from pvisor.vmm.config import MAX_BACKTRACE, CrashFacts, TableFacts

if TYPE_CHECKING:
    from pvisor.full.cpu import FullWing

CALL_REL32 = 0xE8
LONG, DEFAULT_BIG = 1 << 21, 1 << 22
"""Bits of a code segment's descriptor (SDM 3A 3.4.5)."""
U32_MAX = 0xFFFF_FFFF
Translate = Callable[[int], "int | None"]
"""Linear address -> guest-physical address of RAM, or None."""


def crash_facts(domain: Domain, vcpu: UnicornVcpu, image: ElfImage) -> CrashFacts:
    """All that the report needs. RIP is that of the exit."""
    return _Scene(domain, vcpu, image).facts()


class _Scene:
    def __init__(self, domain: Domain, vcpu: UnicornVcpu, image: ElfImage) -> None:
        self._vcpu = vcpu
        self._memory = domain.memory
        self._image = image
        self._full = _full_wing(domain)
        self._translate: Translate = self._by_guest_tables if self._full is not None else self._by_real_tables
        self._ring = vcpu.cpl if self._full is None else self._full.segments.cpl
        cs = vcpu.segment(CS)
        self._bits = 64 if cs.flags & LONG else 32 if cs.flags & DEFAULT_BIG else 16
        self._code_base = 0 if self._bits == 64 else cs.base
        self._stack_base = 0 if self._bits == 64 else vcpu.segment(SS).base
        self._in_kernel = self._ring < 3 or self._is_kernels(vcpu.exit.rip)

    def facts(self) -> CrashFacts:
        vcpu, exit = self._vcpu, self._vcpu.exit
        registers = {name: vcpu.regs.gpr[i] for i, name in enumerate(GPR_NAMES)}
        registers["RIP"] = exit.rip
        registers["RFLAGS"] = vcpu.rflags if self._full is None else self._full.interrupts.rflags
        if self._full is None and exit.reason in (ExitReason.PAGE_FAULT, ExitReason.SHADOW_FILL):
            registers["CR2"] = exit.cr2
        registers.update((name, vcpu.segment(i).selector) for i, name in enumerate(SEGMENT_NAMES))
        return CrashFacts(
            exit.rip, registers, self._frames() if self._bits > 16 else (), self._code_at(exit.rip),
            self._bits, self._ring, self._system(), self._tables(), self._in_kernel,
        )  # fmt: skip

    def _system(self) -> dict[str, int]:
        if self._full is None:
            return {}
        state = self._full.state
        return {
            "CR0": state.cr0, "CR2": state.cr2, "CR3": state.cr3, "CR4": state.cr4, "EFER": state.efer,
        }  # fmt: skip

    def _tables(self) -> dict[str, TableFacts]:
        if self._full is None:
            return {}
        state = self._full.state
        return {
            "GDTR": TableFacts(state.gdtr.base, state.gdtr.limit),
            "IDTR": TableFacts(state.idtr.base, state.idtr.limit),
            "LDTR": TableFacts(state.ldtr.base, state.ldtr.limit, state.ldtr.selector),
            "TR": TableFacts(state.tr.base, state.tr.limit, state.tr.selector),
        }

    # --- memory

    def _by_real_tables(self, gva: int) -> int | None:
        found = self._vcpu.translate(gva)
        return found[0] if found is not None else None

    def _by_guest_tables(self, gva: int) -> int | None:
        """The shadow may lack what the guest has mapped."""
        from pvisor.full.state import GuestFault
        from pvisor.full.walk import READ

        assert self._full is not None
        try:
            return self._full.paging.tables.walk(gva, READ).gpa
        except GuestFault:
            return None

    def _read(self, linear: int, n_bytes: int) -> bytes:
        """Guest memory as far as there is RAM, patched instructions as they were written."""
        data = b""
        while len(data) < n_bytes:
            at = linear + len(data) & ((1 << 64) - 1 if self._bits == 64 else U32_MAX)
            n = min(PAGE_BYTES - at % PAGE_BYTES, n_bytes - len(data))
            gpa = self._translate(at)
            if gpa is None or gpa + n > self._memory.size_bytes:
                break
            data += self._vcpu.original_code(gpa, self._memory.read(gpa, n))
        return data

    def _code_at(self, rip: int) -> bytes:
        """The instruction's bytes and some more, as far as they are mapped; none in the hypervisor's hole."""
        return self._read(rip + self._code_base, 16)

    def _is_kernels(self, rip: int) -> bool:
        """Does this address hold what the kernel's file was loaded to, and not another program?"""
        gpa = self._translate(rip + self._code_base)
        return any(
            s.flags & PF_X and s.vaddr <= rip < s.vaddr + s.memory_bytes and s.paddr + rip - s.vaddr == gpa
            for s in self._image.segments
        )

    # --- the stack

    def _word(self, offset: int) -> int | None:
        """A word of the stack."""
        raw = self._read(offset + self._stack_base, self._bits // 8)
        return int.from_bytes(raw, "little") if len(raw) == self._bits // 8 else None

    def _register(self, index: int) -> int:
        return self._vcpu.regs.gpr[index] & (1 << self._bits) - 1

    def _frames(self) -> tuple[int, ...]:
        """Return addresses by the frame pointers, as far as they are mapped and go upwards."""
        caller = self._unframed_caller()
        frames = [] if caller is None else [caller]
        frame, n_bytes = self._register(RBP), self._bits // 8
        while len(frames) < MAX_BACKTRACE and frame and frame % n_bytes == 0:
            above, return_address = self._word(frame), self._word(frame + n_bytes)
            if above is None or return_address is None:
                break
            if return_address:
                frames.append(return_address)
            if above <= frame:
                break
            frame = above
        return tuple(frames)

    def _unframed_caller(self) -> int | None:
        """The return address on top of the stack, where the code at RIP has made no frame (yet).

        Outside the kernel's code (in the hypercall page, after a wild call) there is none. In a function
        there is none before its prologue, which compilers like to delay: then a direct call of it stands
        before the address.
        """
        image, rip = self._image, self._vcpu.exit.rip
        caller = self._word(self._register(RSP)) if self._in_kernel else None
        if caller is None or not image.is_code(caller):
            return None
        function = image.function_at(rip)
        if function is None:
            return None if image.is_code(rip) else caller
        call = self._read(caller - 5 + self._code_base, 5)
        if len(call) < 5 or call[0] != CALL_REL32:
            return None
        target = caller + int.from_bytes(call[1:], "little", signed=True) & (1 << self._bits) - 1
        return caller if target == function.address else None


def _full_wing(domain: Domain) -> FullWing | None:
    """The left wing, whose guest has a CPU state of its own."""
    if domain.wing.name != "full":
        return None
    from pvisor.full.cpu import FullWing

    assert isinstance(domain.wing, FullWing)
    return domain.wing
