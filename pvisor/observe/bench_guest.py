# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of the benchmark: one operation in a loop, as bare bytes, under either wing's real handlers.

A guest has no kernel, so nothing but the operation can cost. Its tables are the hypervisor's, its CPU is at
ring 1 as every guest kernel's, and what serves its exits is the wing, by the run loop: only the builder is
left out.

    prologue    para: R14 at the stub of the call       LOOP_GVA
    loop        the operation; dec r15d; jnz loop
    end         para: the hypercall BLOCK; full: HLT     (the bare loop of floor.py ends before it)
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from pvisor.abi import constants
from pvisor.abi.areas import itself, power
from pvisor.cpu.floor import LOOP_GVA, PAGE_GVA, BareLoop
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import R15, RSP
from pvisor.domain.domain import Domain, Wing
from pvisor.domain.outcome import EndedBy
from pvisor.full.cpu import FullWing
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.machine.mmio import MmioBus
from pvisor.para import segments, tables
from pvisor.para.cpu import ParaWing
from pvisor.para.start import hypercall_pages, offered_features
from pvisor.vmm.loop import RunLoop

LOOP_INSTRUCTIONS = 2
"""What the loop itself adds to each operation."""
UNCLAIMED_IOPORT = 0x80
"""Written by OUT: nothing listens there, so the bus has the least to do."""

_MEMORY_BYTES = 1 << 20
_N_FRAMES = 64
_STACK_TOP = 0x1_0000
_TABLE, _CODE, _DATA = 3, 0x61, 0x63 | 1 << 63
_STUB_BYTES = constants.STUB_BYTES.number

_CLI, _HLT = b"\xfa", b"\xf4"
_OUT = bytes((0xE6, UNCLAIMED_IOPORT))
_CALL_R14 = b"\x41\xff\xd6"
_DEC_R15D, _JNZ = b"\x41\xff\xcf", b"\x75"


@dataclass(frozen=True, slots=True)
class Operation:
    """What is measured: its name in the results, its wing, and the instruction that leaves the guest."""

    name: str
    mode: str
    instruction: str

    @property
    def transport(self) -> str | None:
        """How the hypercall page leaves the guest; None in the full wing."""
        return self.instruction if self.mode == "para" else None

    @property
    def loop(self) -> BareLoop:
        """The guest's bytes, without what ends it."""
        if self.transport is None:
            return BareLoop(self.instruction, _looped(b"", _CLI if self.instruction == "cli" else _OUT))
        load_r14 = b"\x49\xbe" + (PAGE_GVA + itself.NOOP.nr * _STUB_BYTES).to_bytes(8, "little")
        page = hypercall_pages(self.transport)[:PAGE_BYTES]
        return BareLoop(self.instruction, _looped(load_r14, _CALL_R14), page)

    @property
    def end(self) -> bytes:
        """What follows the loop: the guest waits, and since nothing can wake it, the run is over."""
        if self.transport is None:
            return _HLT
        to_block = (power.BLOCK.nr - itself.NOOP.nr) * _STUB_BYTES
        return b"\x49\x81\xc6" + to_block.to_bytes(4, "little") + _CALL_R14

    @property
    def frame_instructions(self) -> int:
        """What runs before and after the loop, once a sample; its last is the exit that ends the guest."""
        return 1 if self.transport is None else 1 + 4


OPERATIONS = (
    Operation("hypercall_noop", "para", "syscall"),
    Operation("cli", "full", "cli"),
    Operation("transport_syscall", "para", "syscall"),
    Operation("transport_vmcall", "para", "vmcall"),
    Operation("transport_int", "para", "int"),
    Operation("out", "full", "out"),
)
"""All that is measured. `hypercall_noop` uses the default transport."""


def _looped(prologue: bytes, body: bytes) -> bytes:
    back = -(len(body) + len(_DEC_R15D) + 2)
    return prologue + body + _DEC_R15D + _JNZ + back.to_bytes(1, "little", signed=True)


class BenchGuest:
    """A domain that does nothing but one operation, n times a run."""

    def __init__(self, operation: Operation, tier: str) -> None:
        self._memory = GuestMemory(_MEMORY_BYTES)
        self._frames = HypervisorFrames(_N_FRAMES)
        self.vcpu = UnicornVcpu(self._memory, self._frames)
        wing = self._full_wing() if operation.transport is None else self._para_wing(operation.transport)
        self._domain = Domain(1, operation.name, self._memory, wing, [self.vcpu])
        self._loop = RunLoop(self._domain, self.vcpu, on_kick=lambda: None, drain_trace=lambda: None)
        self._memory.write(LOOP_GVA, operation.loop.code + operation.end)
        if tier == "native":
            self.vcpu.enable_natives(operation.mode)

    def _full_wing(self) -> Wing:
        root = self._tables()
        wing = FullWing(self._memory, self._frames, self.vcpu, IoPortBus(), MmioBus())
        self.vcpu.set_root(root)
        self.vcpu.v.mirror_if = 1
        return wing

    def _para_wing(self, transport: str) -> Wing:
        root = self._tables()
        hole = tables.build_hole(self._frames, segments.gdt_page(1), hypercall_pages(transport))
        self._frames.set_entry(root, tables.HOLE_SLOT, hole.root_entry)
        self.vcpu.set_root(root)
        segments.start_segments(self.vcpu, segments.gdt_gva(0))
        self.vcpu.v.hypercall_page = tables.HYPERCALL_PAGE_GVA
        self.vcpu.v.hypercall_page_bytes = PAGE_BYTES * tables.N_HYPERCALL_PAGES
        return ParaWing(offered_features(transport))

    def _tables(self) -> int:
        """GVA = GPA: the loop's page executable, the others data."""
        root, level3, level2, level1 = (self._frames.allocate() for _ in range(4))
        for upper, lower in ((root, level3), (level3, level2), (level2, level1)):
            self._frames.set_entry(upper, 0, lower | _TABLE)
        for page in range(1, _MEMORY_BYTES // PAGE_BYTES):
            self._frames.set_entry(level1, page, page * PAGE_BYTES | _DATA)
        self._frames.set_entry(level1, LOOP_GVA // PAGE_BYTES, LOOP_GVA | _CODE)
        return root

    def sample(self, n_operations: int) -> float:
        """Host nanoseconds of one operation."""
        self._domain.ending = None
        self.vcpu.regs.rip = LOOP_GVA
        self.vcpu.regs.gpr[R15], self.vcpu.regs.gpr[RSP] = n_operations, _STACK_TOP
        begin = time.perf_counter_ns()
        ending = self._loop.run()
        spent = time.perf_counter_ns() - begin
        if ending.ended_by is not EndedBy.IDLE:
            raise RuntimeError(f"the guest of {self._domain.name} ended otherwise: {ending.reason}")
        self.vcpu.complete()
        return spent / n_operations

    def counts(self) -> tuple[int, int, int]:
        """So far: exits, those of them served in C, instructions."""
        v = self.vcpu.v
        n_native = sum(int(counter.native) for counter in v.counters)
        return int(v.exits_total), n_native, self.vcpu.n_instructions

    def close(self) -> None:
        """Free the engine."""
        self.vcpu.close()
        self._frames.close()
