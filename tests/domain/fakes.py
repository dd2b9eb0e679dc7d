# SPDX-License-Identifier: GPL-2.0-or-later
"""A vCPU without a CPU: registers, memory and exits by hand, to try handlers on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableSequence
from dataclasses import dataclass, field, fields

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import CS, Exit, Registers, Segment
from pvisor.domain.domain import Domain
from pvisor.machine.console import ConsoleInput, ConsoleOutput, NoInput
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.cpu import ParaWing

MEMORY_BYTES = 1 << 20
U64 = (1 << 64) - 1


@dataclass
class FakeExit:
    """`pv_exit` as a Python object; fields that a test does not give are 0."""

    reason: int = 0
    vector: int = 0
    error_code: int = 0
    in_hook: int = 0
    rip: int = 0x20_0000
    next_rip: int = 0
    cr2: int = 0
    virtual_ns: int = 0
    ioport: int = 0
    size_bytes: int = 0
    value: int = 0
    number: int = 0
    args: MutableSequence[int] = field(default_factory=lambda: [0] * 5)
    address: int = 0
    is_write: int = 0
    result: int = 0x5EED
    is_answered: int = 0
    n_insn: int = 0
    insn: MutableSequence[int] = field(default_factory=lambda: [0] * 16)
    retired: int = 0
    stepping: int = 0
    outcome: int = 0
    n_ops: int = 0
    ops: MutableSequence[int] = field(default_factory=lambda: [0] * 6)

    def at(self, insn: bytes) -> FakeExit:
        """The same, with an instruction's bytes."""
        self.n_insn, self.insn = len(insn), list(insn.ljust(16, b"\0"))
        return self


@dataclass
class FakeRegisters:
    """All zero."""

    gpr: MutableSequence[int] = field(default_factory=lambda: [0] * 16)
    rip: int = 0


class FakeVcpu:
    """A vCPU whose `run` gives a scripted list of exits. Its GVAs are GPAs.

    `read_only` and `absent` hold page addresses. Every copy is written down in `log`, whether it succeeds or
    not; `outcomes` has what was decided about each exit but the last.
    """

    def __init__(self, memory: GuestMemory, script: Iterable[FakeExit] = ()) -> None:
        self.vcpu_id = 0
        self.exit: Exit = FakeExit()
        self.regs: Registers = FakeRegisters()
        self.virtual_if = False
        self.event_pending = False
        self.nmi_pending = self.nmi_blocked = False
        self.idle_ns = 0
        self.deadline_ns: int | None = None
        self.slice_ns: int | None = None
        self.on_hook_exit: Callable[[], bool] = lambda: True
        self.rflags = 2
        self.error = ""
        self.n_instructions = 0
        self.memory = memory
        self.read_only: set[int] = set()
        self.absent: set[int] = {0}
        self.segments = {CS: Segment(0x09, 0, 0xFFFF_FFFF, 0x00A0_BB00)}
        self.log: list[str] = []
        self._script = list(script)
        self.n_runs = 0
        self.outcomes: list[int] = []

    def run(self) -> int:
        """The next exit of the script, in the one struct that a vCPU has; `in_hook` as the engine does it."""
        if self.n_runs:
            self.outcomes.append(self.exit.outcome)
        self.n_runs += 1
        for one in fields(FakeExit):
            setattr(self.exit, one.name, getattr(self._script[0], one.name))
        del self._script[0]
        if self.exit.in_hook:
            if self.on_hook_exit():
                return ExitReason.HOOK_STOP
            return self.run()
        return self.exit.reason

    def complete(self) -> None:
        """Nothing is left open here."""

    def raise_nmi(self) -> None:
        """One is kept."""
        self.nmi_pending = True

    @property
    def has_event(self) -> bool:
        """An interrupt that IF lets in, or an NMI."""
        return (self.virtual_if and self.event_pending) or (self.nmi_pending and not self.nmi_blocked)

    @property
    def virtual_ns(self) -> int:
        """Virtual time now."""
        return self.n_instructions + self.idle_ns

    def set_deadline(self, due_ns: int | None) -> None:
        """A script has its DEADLINE exits where it wants them."""
        self.deadline_ns = due_ns

    def set_slice(self, end_ns: int | None) -> None:
        """A script has its SLICE exits where it wants them."""
        self.slice_ns = end_ns

    def skip_to(self, due_ns: int) -> None:
        """Let virtual time pass."""
        self.idle_ns += max(0, due_ns - self.virtual_ns)

    def shadow_next_block(self) -> None:
        """STI's shadow."""
        self.log.append("shadow_next_block")

    def segment(self, index: int) -> Segment:
        """A segment register."""
        return self.segments.get(index, Segment(0, 0, 0, 0))

    def set_segment(self, index: int, segment: Segment) -> None:
        """Load a segment register."""
        self.segments[index] = segment

    def set_root(self, root: int) -> None:
        """Load the table root."""
        self.log.append(f"set_root {root:#x}")

    def set_cr0(self, guest_bits: int) -> None:
        """Let the guest's bits govern its FPU."""
        self.log.append(f"set_cr0 {guest_bits:#x}")

    def flush_tlb(self) -> None:
        """Nothing is cached here."""
        self.log.append("flush_tlb")

    def flush_page(self, gva: int) -> None:
        """Nothing is cached here."""
        self.log.append(f"flush_page {gva:#x}")

    def new_epoch(self) -> None:
        """Nothing is translated here."""

    def forget_code(self, gva: int) -> None:
        """Nothing is translated here."""

    def translate(self, gva: int) -> tuple[int, int] | None:
        """GVA = GPA, with the rights that the test wants."""
        page = gva & ~(PAGE_BYTES - 1)
        if page in self.absent or not 0 <= gva < self.memory.size_bytes:
            return None
        return gva, 1 if page in self.read_only else 3

    def copy_in(self, gva: int, n_bytes: int) -> bytes | None:
        """Read, if all of it may be read."""
        self.log.append(f"copy_in {gva:#x} {n_bytes}")
        return self.memory.read(gva, n_bytes) if self._allows(gva, n_bytes, write=False) else None

    def copy_out(self, gva: int, data: bytes) -> bool:
        """Write, if all of it may be written."""
        self.log.append(f"copy_out {gva:#x} {len(data)}")
        if not self._allows(gva, len(data), write=True):
            return False
        if data:
            self.memory.write(gva, data)
        return True

    def _allows(self, gva: int, n_bytes: int, *, write: bool) -> bool:
        pages = range(gva & ~(PAGE_BYTES - 1), gva + n_bytes, PAGE_BYTES)
        found = [self.translate(page) for page in pages]
        return all(one is not None and (not write or one[1] & 2) for one in found)


class FakeInput:
    """Input that has arrived, or arrives at a virtual time."""

    def __init__(self, data: bytes, at_ns: int = 0) -> None:
        self.data = data
        self.at_ns = at_ns
        self.is_live = False

    def next_arrival_ns(self, virtual_ns: int) -> int | None:
        """When there is something to take."""
        return self.at_ns if self.data else None

    def wait(self, timeout_s: float) -> bool:
        """Nobody types."""
        return False

    def has_arrived(self, virtual_ns: int) -> bool:
        """Is there a byte to take?"""
        return bool(self.data) and virtual_ns >= self.at_ns

    def take(self, virtual_ns: int, n_bytes: int) -> bytes:
        """Take bytes."""
        if virtual_ns < self.at_ns:
            return b""
        taken, self.data = self.data[:n_bytes], self.data[n_bytes:]
        return taken


def para_domain(offered: int = 2, input: ConsoleInput | None = None) -> tuple[Domain, FakeVcpu]:
    """A paravirtual domain with no CPU. Feature 1, CONSOLE_INPUT, is offered."""
    memory = GuestMemory(MEMORY_BYTES)
    vcpu = FakeVcpu(memory)
    domain = Domain(7, "fake", memory, ParaWing(offered), [vcpu], ConsoleOutput(), input or NoInput())
    return domain, vcpu
