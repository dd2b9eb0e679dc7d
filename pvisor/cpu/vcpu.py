# SPDX-License-Identifier: GPL-2.0-or-later
"""What any engine offers: run a guest until an exit, show and change its registers.

The one engine of today is Unicorn (unicorn_engine.py). Handlers see only this protocol, so that they can be
tested with hand-made exits and no CPU, and so that another engine can serve the same wings.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from dataclasses import dataclass
from typing import Protocol

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)
"""Indices into `Registers.gpr`: the x86 numbers."""
ES, CS, SS, DS, FS, GS = range(6)
"""Indices of segment registers: the x86 numbers."""

GPR_NAMES = ("RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
             "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15")  # fmt: skip
SEGMENT_NAMES = ("ES", "CS", "SS", "DS", "FS", "GS")


class Registers(Protocol):
    """General registers and RIP, live: writing changes the guest's."""

    gpr: MutableSequence[int]
    rip: int


class Exit(Protocol):
    """The exit, as cpu/shim/types.h has it field by field (`pv_exit`)."""

    reason: int
    vector: int
    error_code: int
    in_hook: int
    rip: int
    next_rip: int
    cr2: int
    virtual_ns: int
    ioport: int
    size_bytes: int
    value: int
    address: int
    is_write: int
    number: int
    args: MutableSequence[int]
    result: int
    is_answered: int
    n_insn: int
    insn: MutableSequence[int]
    retired: int
    stepping: int
    outcome: int
    n_ops: int
    ops: MutableSequence[int]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment register with its hidden part; `flags` is a descriptor's second dword (SDM 3A 3.4.5)."""

    selector: int
    base: int
    limit: int
    flags: int


class Vcpu(Protocol):
    """One virtual processor."""

    vcpu_id: int
    exit: Exit
    regs: Registers
    virtual_if: bool
    on_hook_exit: Callable[[], bool]

    def run(self) -> int:
        """Enter the guest; the reason of the next exit. Completes the exit before: see `exit.result`."""

    def complete(self) -> None:
        """Complete the last exit when the guest will not be entered again."""

    event_pending: bool
    """Something waits for `virtual_if`: the guest is left for it (EVENT_WINDOW)."""

    def raise_nmi(self) -> None:
        """A non-maskable interrupt: kept until it can be delivered (EVENT_WINDOW); a second one is lost."""

    @property
    def nmi_blocked(self) -> bool:
        """Was an NMI delivered, and no IRET since?"""

    @property
    def has_event(self) -> bool:
        """Is there an interrupt with `virtual_if` set, or an NMI that is not blocked?"""

    def set_deadline(self, due_ns: int | None) -> None:
        """Come back (DEADLINE) when virtual time has reached this."""

    def set_slice(self, end_ns: int | None) -> None:
        """Come back (SLICE) when virtual time has reached this; None: never."""

    def skip_to(self, due_ns: int) -> None:
        """Let virtual time pass without a guest instruction, up to due_ns."""

    def shadow_next_block(self) -> None:
        """STI's shadow: no event before the instruction after the exiting one has run."""

    @property
    def rflags(self) -> int:
        """RFLAGS as the real CPU holds it."""

    @rflags.setter
    def rflags(self, value: int) -> None: ...

    @property
    def error(self) -> str:
        """What an ENGINE_ERROR means."""

    @property
    def n_instructions(self) -> int:
        """Retired instructions."""

    @property
    def virtual_ns(self) -> int:
        """Virtual time now."""

    def segment(self, index: int) -> Segment:
        """A segment register."""

    def set_segment(self, index: int, segment: Segment) -> None:
        """Load a segment register with its hidden part; CS sets the privilege level and the mode."""

    def set_root(self, root: int) -> None:
        """Engine-physical address of the page tables; drops the TLB."""

    def set_cr0(self, guest_bits: int) -> None:
        """Let the guest's MP, EM, TS, NE and AM govern its FPU; the other bits are ours."""

    def flush_tlb(self) -> None:
        """Drop every translation that the engine remembers."""

    def flush_page(self, gva: int) -> None:
        """Drop one page's translation, and perhaps others."""

    def new_epoch(self) -> None:
        """An address may hold other code from now on, without its frame having changed."""

    def forget_code(self, gva: int) -> None:
        """Drop what was translated from the frame that gva maps, executable, in the current tables."""

    def translate(self, gva: int) -> tuple[int, int] | None:
        """(engine-physical address, rights) through the real tables, or None where nothing is mapped."""

    def copy_in(self, gva: int, n_bytes: int) -> bytes | None:
        """A copy of guest-virtual memory through the current root; None unless all of it is readable RAM."""

    def copy_out(self, gva: int, data: bytes) -> bool:
        """Write guest-virtual memory; False, and nothing written, unless all of it is writable RAM."""
