# SPDX-License-Identifier: GPL-2.0-or-later
"""Breakpoints by the debug registers: before an instruction, at data, at I/O ports (SDM 3B 17.2).

Before an instruction the engine stops by itself (cpu/shim/debug.c). A page with watched data is not mapped:
an instruction that faults there, or lies there, runs alone with the page open to it, and its operands tell
whether it has met a breakpoint. While one is on, every exit is Python's. What is left open, or not seen:
  * a breakpoint on I/O ports while CR4.DE is clear is none;
  * what the CPU reads and writes for itself meets no data breakpoint: tables, tasks, frames of events; nor
    do accesses to devices, and the far side of BT and its kin, whose bit lies beyond the operand;
  * with `--no-patch` I/O ports have none.

This room has no twin: a paravirtual guest has no debug registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pvisor.cpu.decode import Instruction, decode
from pvisor.cpu.shim import lib
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import RCX, RSP, SS, Exit
from pvisor.full.operands import effective_address, linear_address, read_register
from pvisor.full.paging import ShadowPaging
from pvisor.full.segments import DEFAULT_BIG, Segmentation
from pvisor.full.state import CR4_DE, DB, CpuState, GuestFault
from pvisor.full.walk import Access
from pvisor.machine.memory import PAGE_BYTES

DR6_ACCESS, DR6_SINGLE_STEP = 1 << 13, 1 << 14
DR7_ENABLES, DR7_GENERAL_DETECT = 0xFF, 1 << 13
EXECUTED, WRITTEN, IO, ACCESSED = range(4)
"""The R/W field of DR7."""
LENGTHS = (1, 2, 8, 4)
WATCHED = 16
"""enum pv_debug (cpu/shim/types.h)."""
NO_ACCESS = frozenset(("lea", "nop", "invlpg", "clflush", "prefetchw", "prefetcht0", "prefetcht1",
                       "prefetcht2", "prefetchnta"))  # fmt: skip
PUSHES = frozenset(("push", "call", "pushf", "pushfd", "pushfq", "enter"))
POPS = frozenset(("pop", "ret", "popf", "popfd", "popfq"))
N_ALL_REGISTERS = 8
"""PUSHA, POPA."""


@dataclass(frozen=True, slots=True)
class Watch:
    """An enabled breakpoint on data or I/O ports: [start, end), its number in DR6, and if reads count."""

    number: int
    start: int
    end: int
    on_reads: bool


class Breakpoints:
    """Debug registers of one vCPU at work."""

    def __init__(
        self, vcpu: UnicornVcpu, state: CpuState, paging: ShadowPaging, segments: Segmentation
    ) -> None:
        self._vcpu = vcpu
        self._state = state
        self._paging = paging
        self._segments = segments
        self._code: tuple[int, ...] = ()
        self._data: list[Watch] = []
        self._ioports: list[Watch] = []
        self._pages: frozenset[int] = frozenset()
        self._hits = 0
        self._open: list[tuple[int, Access]] = []
        self._open_for = (0, 0)

    # --- registers

    def update(self) -> None:
        """DR0 to DR3, DR7 or CR4.DE have changed."""
        dr, v = self._state.dr, self._vcpu.v
        if not dr[7] & DR7_ENABLES and not v.debugging:
            return
        kinds = [dr[7] >> 16 + 4 * i & 3 if dr[7] >> 2 * i & 3 else None for i in range(4)]
        code = tuple(dr[i] if kinds[i] == EXECUTED else -1 for i in range(4))
        if code != self._code:
            self._code = code
            which = sum(1 << i for i in range(4) if code[i] >= 0)
            lib.pv_set_breakpoints(v, [max(address, 0) for address in code], which)
        self._data = [self._watch(i) for i in range(4) if kinds[i] in (WRITTEN, ACCESSED)]
        has_io = self._state.cr4 & CR4_DE
        self._ioports = [self._watch(i) for i in range(4) if kinds[i] == IO and has_io]
        pages = {at // PAGE_BYTES for watch in self._data for at in (watch.start, watch.end - 1)}
        if pages - self._pages:
            self._paging.drop_all()
        self._pages = frozenset(pages)
        self._paging.watcher = self.note if self._data else None
        v.debugging = bool(dr[7] & DR7_ENABLES)
        if bool(v.io_traps) is not bool(self._ioports):
            v.io_traps = bool(self._ioports)
            self._vcpu.new_epoch()  # blocks are looked through again for what is to be replaced now

    def _watch(self, i: int) -> Watch:
        dr = self._state.dr
        length = LENGTHS[dr[7] >> 18 + 4 * i & 3]
        start = dr[i] & -length
        return Watch(i, start, start + length, dr[7] >> 16 + 4 * i & 3 != WRITTEN)

    def check_access(self) -> None:
        """A MOV of a debug register. Raises GuestFault (#DB) while DR7.GD guards them."""
        if self._state.dr[7] & DR7_GENERAL_DETECT:
            self.enter(DR6_ACCESS)
            raise GuestFault(DB)

    def enter(self, dr6: int) -> None:
        """A debug exception comes: why, in DR6; its handler may use the registers."""
        self._state.dr[6] |= dr6
        self._state.dr[7] &= ~DR7_GENERAL_DETECT

    # --- what an instruction has met

    def note(self, linear: int, n_bytes: int, is_write: bool) -> None:
        """An emulated instruction accesses memory."""
        self._hits |= _hits(self._data, linear, n_bytes, is_write)

    def note_ioport(self, ioport: int, n_bytes: int) -> None:
        """An I/O instruction was emulated."""
        self._hits |= _hits(self._ioports, ioport, n_bytes, True)

    def take_hits(self) -> int:
        """Bits of DR6 for what has been met since the last call."""
        hits, self._hits = self._hits, 0
        return hits

    def trap_reasons(self, exit: Exit) -> int:
        """A #DB that the engine raised: bits of DR6, or 0 where it was none of the guest's."""
        if exit.number & 15:
            return exit.number
        if exit.number == WATCHED:
            self._open.clear()
            return self.take_hits() | (DR6_SINGLE_STEP if exit.stepping else 0)
        return DR6_SINGLE_STEP

    # --- watched pages

    def is_watched(self, linear: int) -> bool:
        """Does this address lie in a page with watched data?"""
        return linear // PAGE_BYTES in self._pages

    def open_page(self, exit: Exit, access: Access) -> None:
        """The page of a fault has been mapped: for one instruction, with those that it has met before."""
        linear_rip = self._vcpu.linear(exit.rip)
        key = (linear_rip, self._vcpu.n_instructions)
        if key != self._open_for:
            self._open.clear()
        self._open_for = key
        for page, how in self._open:
            self._paging.fill(page, how, linear_rip)
        if (exit.cr2 & -PAGE_BYTES, access) not in self._open:
            self._open.append((exit.cr2 & -PAGE_BYTES, access))
        self._hits = 0
        code = self._code_at(linear_rip)
        insn = decode(code, self._segments.code_bits)
        if not access.fetch:
            self.note(exit.cr2, 1, access.write)
        for address, n_bytes, is_read, is_write in self._accesses(insn, exit.rip) if insn else ():
            if is_read:
                self.note(address, n_bytes, False)
            if is_write:
                self.note(address, n_bytes, True)
        pages = sorted({page for page, _ in self._open})
        lib.pv_watch(self._vcpu.v, pages, len(pages))

    def _code_at(self, linear: int) -> bytes:
        """An instruction's bytes, as far as they are mapped."""
        code = b""
        for at in range(linear, linear + 15):
            try:
                code += self._paging.read_virtual(at, 1)
            except GuestFault:
                break
        return code

    def _accesses(self, insn: Instruction, rip: int) -> Iterator[tuple[int, int, bool, bool]]:
        """(linear address, size, is it read, is it written) of each operand in memory."""
        vcpu, name, bits = self._vcpu, insn.name, self._segments.code_bits
        mask = (1 << 8 * insn.address_bytes) - 1
        if name in NO_ACCESS or (
            insn.repeat and insn.name != insn.mnemonic and not vcpu.regs.gpr[RCX] & mask
        ):
            return
        for operand in insn.operands:
            if operand.memory is not None:
                address = effective_address(vcpu, insn, operand.memory, rip + insn.n_bytes, bits == 64)
                is_write = bool(operand.access & 2) or name.startswith("cmpxchg")
                yield address, operand.size_bytes, bool(operand.access & 1), is_write
        word = bits // 8 if not insn.has_operand_size_prefix else {64: 2, 32: 2, 16: 4}[bits]
        n = word * N_ALL_REGISTERS if name[:5] == "pusha" or name[:4] == "popa" else word
        mask = (
            (1 << 64) - 1 if bits == 64 else 0xFFFF_FFFF if vcpu.segment(SS).flags & DEFAULT_BIG else 0xFFFF
        )
        rsp = vcpu.regs.gpr[RSP]
        if name in PUSHES or name[:5] == "pusha":
            yield linear_address(vcpu, SS, rsp - n & mask, bits == 64), n, False, True
        elif name in POPS or name[:4] == "popa":
            yield linear_address(vcpu, SS, rsp & mask, bits == 64), n, True, False
        elif name == "leave":
            yield linear_address(vcpu, SS, read_register(vcpu, "rbp") & mask, bits == 64), n, True, False


def _hits(watches: list[Watch], start: int, n_bytes: int, is_write: bool) -> int:
    hits = 0
    for watch in watches:
        if start < watch.end and watch.start < start + n_bytes and (is_write or watch.on_reads):
            hits |= 1 << watch.number
    return hits
