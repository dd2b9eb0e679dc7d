# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine: Unicorn's CPU behind the Vcpu protocol, by way of the C shim.

Unicorn plays the hardware. The guest kernel runs at CPL 1 and never at CPL 0; the shim's hooks turn what
happens into exits, serve the hottest in C, and come back for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from pvisor.cpu.engine_start import native_names, start_engine, text_of
from pvisor.cpu.records import Records
from pvisor.cpu.shim import ffi, lib
from pvisor.cpu.vcpu import Exit, Registers, Segment
from pvisor.errors import PvisorError
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.memory import GuestMemory

UNLIMITED = (1 << 64) - 1
DEVICE_CPU, DEVICE_CONSOLE, DEVICE_BLOCK, DEVICE_APIC = range(4)
DEVICE_PIC, DEVICE_IOAPIC, DEVICE_PIT, DEVICE_RTC, DEVICE_I8042, DEVICE_PLATFORM = range(4, 10)
DEVICE_DEADLINES, DEVICE_PAGING, DEVICE_EVENTS, DEVICE_RUNNER, DEVICE_LANE_CLOCK = range(10, 15)
"""Indices of pv_vcpu.device (enum pv_device)."""


def new_deadlines() -> Any:
    """A domain's deadlines as native handlers share them (full/native/deadlines_state.h): none yet."""
    return ffi.new("pv_deadlines *", {"listed_ns": UNLIMITED, "own": [{"due_ns": UNLIMITED}] * 8})


class UnicornVcpu(Records):
    """One engine on a domain's memory; `model` is Unicorn's number of its CPU. Close it at its end."""

    is_deprivileged = True
    """Does its guest's kernel run at CPL 1? In the lane it has the CPU itself."""

    def __init__(
        self, memory: GuestMemory, frames: HypervisorFrames | None, vcpu_id: int = 0, model: int = 0
    ) -> None:
        start_engine()
        self.vcpu_id = vcpu_id
        self._model = model
        self.on_hook_exit: Callable[[], bool] = lambda: True
        self.runner: Any = None
        """Its `pv_runner`, where native handlers may hand the CPU over."""
        self._error: BaseException | None = None
        self._handle = ffi.new_handle(self)
        self._buffers = [
            ffi.from_buffer("char[]", owner.buffer, require_writable=True)
            for owner in (memory, frames)
            if owner is not None
        ]
        self.v: Any = self._open(memory)
        if self.v == ffi.NULL:
            raise PvisorError("Unicorn gives no engine (too many at once, or too little memory)")
        self.exit = cast(Exit, self.v.exit)
        self.regs = cast(Registers, self.v.regs)

    def _open(self, memory: GuestMemory) -> Any:
        ram, frames = self._buffers
        return lib.pv_open(ram, memory.size_bytes, frames, len(frames), self._model, self._handle)

    # --- running

    def run(self) -> int:
        """Enter the guest; the reason of the next exit (ExitReason)."""
        reason: int = lib.pv_run(self.v)
        if self._error is not None:
            self.raise_error()
        return reason

    def run_turns(self, turns: Any) -> int:
        """The same on a physical CPU (`pv_turns`) whose vCPUs may hand it over to one another."""
        reason: int = lib.pv_run_turns(turns, self.v)
        if self._error is not None:
            self.raise_error()
        return reason

    def raise_error(self) -> None:
        """Raise what was kept of a handler inside a hook, if there is something."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def complete(self) -> None:
        """Complete the last exit when the guest will not be entered again."""
        lib.pv_complete(self.v)

    def serve_in_hook(self) -> None:
        """An exit that the engine holds open: handled now, and an exception kept until `run` can raise it."""
        try:
            if self.on_hook_exit():
                self.v.stop_in_hook = 1
        except BaseException as error:
            self._error = error
            self.v.stop_in_hook = 1

    def kick(self) -> None:
        """From any thread: come back at the next block."""
        self.v.kick = 1
        self.v.limit = 0

    def close(self) -> None:
        """Free the engine."""
        if self.v != ffi.NULL:
            lib.pv_close(self.v)
            self.v = ffi.NULL
            for buffer in self._buffers:
                ffi.release(buffer)

    # --- state

    @property
    def virtual_if(self) -> bool:
        """The guest's own interrupt flag."""
        return bool(self.v.virtual_if)

    @virtual_if.setter
    def virtual_if(self, value: bool) -> None:
        self.v.virtual_if = value

    @property
    def event_pending(self) -> bool:
        """Something waits for `virtual_if`."""
        return bool(self.v.event_pending)

    @event_pending.setter
    def event_pending(self, value: bool) -> None:
        self.v.event_pending = value

    def raise_nmi(self) -> None:
        """A non-maskable interrupt is pending; a second one is lost."""
        self.v.nmi_pending = 1

    @property
    def nmi_blocked(self) -> bool:
        """Was an NMI delivered, and no IRET since?"""
        return bool(lib.pv_nmi_blocked(self.v))

    @property
    def nmi_due(self) -> bool:
        """Is there an NMI that is not blocked?"""
        return bool(lib.pv_nmi_due(self.v))

    @property
    def has_event(self) -> bool:
        """Is there an interrupt with `virtual_if` set, or an NMI that is not blocked?"""
        v = self.v
        return bool(v.event_pending and self.virtual_if) or bool(v.nmi_pending and lib.pv_nmi_due(v))

    def set_deadline(self, due_ns: int | None) -> None:
        """Come back (DEADLINE) when virtual time has reached this."""
        self.v.deadline_ns = UNLIMITED if due_ns is None else min(due_ns, UNLIMITED)

    def set_slice(self, end_ns: int | None) -> None:
        """Come back (SLICE) when virtual time has reached this: it is another's turn."""
        self.v.slice_ns = UNLIMITED if end_ns is None else end_ns

    def run_deadlines(self) -> None:
        """Act for what is due and native handlers can do (full/native/deadlines.c)."""
        lib.pv_run_deadlines(self.v)

    def skip_to(self, due_ns: int) -> None:
        """Let virtual time pass without a guest instruction, up to due_ns."""
        self.v.idle_ns += max(0, due_ns - self.virtual_ns)

    def shadow_next_block(self) -> None:
        """STI's shadow: no event before the instruction after the exiting one has run."""
        self.v.sti_insns = self.v.insns + 1

    @property
    def rflags(self) -> int:
        """RFLAGS as the real CPU holds it."""
        return int(lib.pv_get_rflags(self.v))

    @rflags.setter
    def rflags(self, value: int) -> None:
        lib.pv_set_rflags(self.v, value)

    @property
    def error(self) -> str:
        """What an ENGINE_ERROR means."""
        return text_of(self.v.error)

    @property
    def n_instructions(self) -> int:
        """Retired instructions."""
        return int(self.v.insns)

    @property
    def virtual_ns(self) -> int:
        """Virtual time now."""
        return int(self.v.insns + self.v.idle_ns)

    @property
    def cpl(self) -> int:
        """The real privilege level; never 0 when guest code runs."""
        return int(lib.pv_cpl(self.v))

    def linear(self, rip: int) -> int:
        """The linear address of code: outside 64-bit code RIP counts from the base of CS."""
        return int(lib.pv_linear(self.v, rip))

    def segment(self, index: int) -> Segment:
        """A segment register with its hidden part."""
        s = ffi.new("pv_segment *")
        lib.pv_get_segment(self.v, index, s)
        return Segment(s.selector, s.base, s.limit, s.flags)

    def set_segment(self, index: int, segment: Segment) -> None:
        """Load a segment register; CS sets privilege level and mode. Refuses CPL 0 where it is ours alone."""
        if self.is_deprivileged and index == 1 and not segment.flags >> 13 & 3:
            raise ValueError("a guest never runs at CPL 0")
        s = segment
        fields = {"selector": s.selector, "base": s.base, "limit": s.limit, "flags": s.flags}
        lib.pv_set_segment(self.v, index, ffi.new("pv_segment *", fields))

    def reset_registers(self) -> None:
        """General registers 0; RFLAGS, CR0.TS, x87 and SSE as a CPU begins; nothing pending."""
        if lib.pv_reset_registers(self.v):
            raise PvisorError("Unicorn does not take a register")

    def vector(self, index: int) -> int:
        """XMM0 to XMM15, as a number of 128 bits."""
        halves = ffi.new("uint64_t[2]")
        lib.pv_get_vector(self.v, index, halves)
        return int(halves[0]) | int(halves[1]) << 64

    def set_vector(self, index: int, value: int) -> None:
        """Set XMM0 to XMM15."""
        lib.pv_set_vector(self.v, index, ffi.new("uint64_t[2]", [value & (1 << 64) - 1, value >> 64]))

    def set_root(self, root: int) -> None:
        """Engine-physical address of the page tables; drops the TLB."""
        lib.pv_set_root(self.v, root)

    def set_gdtr(self, base: int, limit: int) -> None:
        """The real GDTR."""
        lib.pv_set_gdtr(self.v, base, limit)

    def show_tables(self, idt_base: int, idt_limit: int, tr: int, ldtr: int) -> None:
        """What SIDT, STR and SLDT show when they are not replaced: the guest's own."""
        lib.pv_show_tables(self.v, idt_base, idt_limit, tr, ldtr)

    def set_cr0(self, guest_bits: int) -> None:
        """Let the guest's MP, EM, TS, NE and AM govern its FPU; the other bits are ours."""
        lib.pv_set_cr0(self.v, guest_bits)

    def set_cr4(self, guest_bits: int) -> None:
        """Let the guest's OSFXSR, OSXMMEXCPT and OSXSAVE govern its FPU; the other bits are ours."""
        lib.pv_set_cr4(self.v, guest_bits)

    @property
    def cr4(self) -> int:
        """CR4 as the real CPU has it."""
        return int(lib.pv_get_cr4(self.v))

    def set_xcr0(self, value: int) -> None:
        """What XSAVE and its kin concern: x87 (1), or x87 and SSE (3). Raises PvisorError if it cannot be."""
        if lib.pv_set_xcr0(self.v, value):
            raise PvisorError("this engine gives no way to its XCR0")

    def new_epoch(self) -> None:
        """An address may hold other code from now on, without its frame having changed."""
        lib.pv_new_epoch(self.v)

    def flush_tlb(self) -> None:
        """Drop every translation."""
        lib.pv_flush_tlb(self.v)

    def flush_page(self, gva: int) -> None:
        """Drop one page's translation, and perhaps others: Unicorn has no public call for it (shim/tlb.c)."""
        lib.pv_flush_page(self.v, gva)

    def open_shadow(self, first_table: int, n_tables: int) -> None:
        """Let the engine keep shadow tables in these of the hypervisor's frames (indices)."""
        if lib.pv_shadow_open(self.v, first_table, n_tables):
            raise PvisorError("no memory for shadow tables")

    @property
    def patches(self) -> tuple[int, int]:
        """(instructions that are replaced now, replaced ever)."""
        n_ever = ffi.new("uint64_t *")
        return int(lib.pv_patches(self.v, n_ever)), int(n_ever[0])

    def original_code(self, gpa: int, code: bytes) -> bytes:
        """A copy of guest-physical memory, with replaced instructions as the guest wrote them."""
        copy = ffi.new("uint8_t[]", code)
        lib.pv_original_code(self.v, gpa, copy, len(code))
        return bytes(ffi.buffer(copy, len(code)))

    def forget_code(self, gva: int) -> None:
        """Drop what was translated from the frame that gva maps, executable, in the current tables."""
        lib.pv_forget_code(self.v, gva)

    # --- guest-virtual memory

    def translate(self, gva: int) -> tuple[int, int] | None:
        """(engine-physical address, rights: 1 present, 2 writable, 4 user, bit 63 no-execute), or None."""
        found = ffi.new("uint64_t[2]")
        if lib.pv_translate(self.v, gva, found, found + 1):
            return None
        return int(found[0]), int(found[1])

    def copy_in(self, gva: int, n_bytes: int) -> bytes | None:
        """A copy of guest-virtual memory; None unless all of it is readable RAM."""
        into = ffi.new("char[]", n_bytes)
        if lib.pv_copy_in(self.v, gva, into, n_bytes):
            return None
        return bytes(ffi.buffer(into, n_bytes))

    def copy_out(self, gva: int, data: bytes) -> bool:
        """Write guest-virtual memory; False, and nothing written, unless all of it is writable RAM."""
        return not lib.pv_copy_out(self.v, gva, data, len(data))

    # --- tiers, counters, trace, operations

    def enable_natives(self, wing: str, but: Sequence[str] = ()) -> None:
        """Let the shim serve what it can of a wing in C, except the handlers named in `but`."""
        for i, name in enumerate(native_names(wing)):
            if name not in but:
                lib.pv_native_enable(self.v, wing.encode(), i)


@contextmanager
def signals_kick() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C and SIGTERM kick every vCPU and do nothing else. Gives a function: did one come?"""
    if lib.pv_signals_install():
        raise PvisorError("the handlers of SIGINT and SIGTERM cannot be installed")
    try:
        yield lambda: bool(lib.pv_signal_seen())
    finally:
        lib.pv_signals_restore()


@ffi.def_extern()  # type: ignore[untyped-decorator]
def pv_on_hook_exit(owner: Any) -> None:
    """From C: an exit inside a hook."""
    ffi.from_handle(owner).serve_in_hook()
