# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux that runs in a machine: found by its symbols, and asked by its own variables whether it has
panicked.
"""

from __future__ import annotations

from dataclasses import dataclass

from pvisor.emu.vcpu import EmulatedVcpu
from pvisor.full.cpu import FullWing
from pvisor.observe.linux.kallsyms import find_kallsyms
from pvisor.observe.linux.printk import printable
from pvisor.observe.linux.symbols import Symbols
from pvisor.observe.linux.view import PTI_USER, GuestView, control_of
from pvisor.vmm.builder import Machine

BANNER = "Linux version "
MAX_BANNER_BYTES = 512
KASLR_STEP, KASLR_RANGE = 1 << 21, 1 << 30
"""A kernel that chooses its own place moves by whole 2 MiB, and by less than 1 GiB (arch/x86/Kconfig)."""
NO_CPU = 0xFFFF_FFFF
"""PANIC_CPU_INVALID."""
MAX_CPUS = 8192
PAGE_FAULT_GATE, GATE_BYTES = 14, 16
UPPER_HALF_64, UPPER_HALF_32 = 1 << 63, 1 << 31
COMM_BYTES, TASK_BYTES = 16, 1 << 15
"""TASK_COMM_LEN, and more than a struct task_struct has."""
SWAPPER = (b"swapper/0\0", b"swapper\0")
"""The name of the first task, in which the names of all others are found."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A Linux kernel in a guest's memory."""

    view: GuestView
    symbols: Symbols
    version: str

    def variable(self, name: str, n_bytes: int = 4) -> int | None:
        """A variable's value, without sign; None where there is no such symbol (CONFIG_KALLSYMS_ALL)."""
        address = self.symbols.address(name)
        return self.view.number(address, n_bytes) if address is not None else None

    @property
    def is_panicking(self) -> bool | None:
        """Has panic() begun, from which no kernel returns? None where its variable is not to be had."""
        cpu = self.variable("panic_cpu")
        return None if cpu is None else cpu != NO_CPU and cpu < MAX_CPUS

    @property
    def will_reboot(self) -> bool:
        """Does it reboot by itself some time after a panic (panic=SECONDS)?"""
        timeout_s = self.variable("panic_timeout")
        return timeout_s is not None and 0 < timeout_s < 1 << 31

    def task(self) -> str | None:
        """The name of the task that runs, the first CPU's; None where it cannot be found."""
        word = self.view.word_bytes
        base, first = self.symbols.address("__per_cpu_offset"), self.symbols.address("init_task")
        current = self.symbols.address("current_task")
        if current is None:
            current = self.symbols.address("pcpu_hot")  # Linux 6.2 to 6.14, which has it first
        if base is None or first is None or current is None:
            return None
        offset, init_task = (
            self.view.word(base),
            self.view.read(first, TASK_BYTES) or self.view.read(first, 4096),
        )
        if offset is None or init_task is None:
            return None
        comm_at = next((at for name in SWAPPER if (at := init_task.find(name)) >= 0), -1)
        task = self.view.word(offset + current & (1 << 8 * word) - 1)
        if comm_at < 0 or task is None:
            return None
        name = self.view.text(task + comm_at, COMM_BYTES)
        return printable(name) if name else None


def find_kernel(machine: Machine, given: Symbols | None = None) -> Kernel | None:
    """The Linux that runs in a machine, by `given` symbols or by its own; None where there is none."""
    control = control_of(machine)
    if control is None:
        return None
    view = GuestView(machine.domain.memory, control)
    views = [view]
    if view.is_long and control.cr3 & PTI_USER:
        views.insert(0, view.with_tables(control.cr3 & ~PTI_USER))
    for one in views:
        code = _kernel_code(machine, one)
        own = find_kallsyms(one, code) if code is not None else None
        for symbols in (_placed(given, one) if given is not None else None, own):
            banner = symbols.address("linux_banner") if symbols is not None else None
            version = one.text(banner, MAX_BANNER_BYTES) if banner is not None else None
            if symbols is not None and version is not None and version.startswith(BANNER):
                return Kernel(_kernel_view(one, symbols), symbols, printable(version.strip()))
            if symbols is not None and symbols is own and banner is None:
                return Kernel(_kernel_view(one, symbols), symbols, "Linux")
    return None


def _kernel_view(view: GuestView, symbols: Symbols) -> GuestView:
    """By the kernel's own first tables, which map all of the kernel for good, where they can be found."""
    tables = symbols.address("init_top_pgt") if view.is_long else None
    root = view.translate(tables)[0] if tables is not None else None
    return view.with_tables(root) if root is not None and not root % 4096 else view


def _placed(symbols: Symbols, view: GuestView) -> Symbols | None:
    """Symbols from a file, moved to where the kernel is: its banner says."""
    banner = symbols.address("linux_banner")
    if banner is None:
        return symbols
    for by in range(0, KASLR_RANGE, KASLR_STEP):
        if view.read(banner + by, len(BANNER)) == BANNER.encode():
            return symbols.moved(by) if by else symbols
    return None


def _kernel_code(machine: Machine, view: GuestView) -> int | None:
    """An address in the kernel's text: where it is, or its gate for page faults. None: nothing in the upper
    half.
    """
    vcpu, wing = machine.vcpu, machine.domain.wing
    half = UPPER_HALF_64 if view.is_long else UPPER_HALF_32
    if vcpu.exit.rip >= half:
        return vcpu.exit.rip
    base = wing.state.idtr.base if isinstance(wing, FullWing) else 0
    if isinstance(vcpu, EmulatedVcpu):
        base = vcpu.idtr[0]
    gate_bytes = GATE_BYTES if view.is_long else GATE_BYTES // 2
    gate = view.read(base + PAGE_FAULT_GATE * gate_bytes, gate_bytes)
    if gate is None:
        return None
    handler = int.from_bytes(gate[0:2] + gate[6:8] + (gate[8:12] if view.is_long else b""), "little")
    return handler if handler >= half else None
