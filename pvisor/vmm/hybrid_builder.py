# SPDX-License-Identifier: GPL-2.0-or-later
"""The builder's hybrid: CPU and memory of the left wing, I/O of the right one.

The guest is entered as a PC. It finds the hypervisor by CPUID, has hypercall stubs put into a page of its own
by WRMSR, gives a page for SHARED_SET, and names the vector at which it wants its upcalls. Nothing in either
wing knows of this: a full wing gets a few registers and CPUID leaves more, and the rooms of io_rooms.py reach
the guest by the three protocols of the domain layer.
"""

from __future__ import annotations

from types import MappingProxyType

from pvisor.abi import features
from pvisor.abi.areas import itself
from pvisor.cpu.exits import ExitReason
from pvisor.cpu.features import CpuidTable
from pvisor.cpu.vcpu import Vcpu
from pvisor.full.apic import LocalApic
from pvisor.full.apic_registers import FIXED, Message
from pvisor.full.paging import ShadowPaging
from pvisor.full.state import GuestFault
from pvisor.full.walk import READ, WRITE, Access
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.cpu import abi_calls, hypervisor_leaves
from pvisor.para.grants import FixedFrames, NoWindow
from pvisor.para.hypercalls import HypercallTable
from pvisor.para.shared import SharedPage, SharedPageMover
from pvisor.para.start import PC_NOTE, abi_note, check_needs, hypercall_pages
from pvisor.vmm.builder import Machine, Parts, build_pc
from pvisor.vmm.io_rooms import IoRooms
from pvisor.vmm.para_devices import attach_devices

FEATURES = (
    features.RAW_VMCALL, features.CONSOLE_INPUT, features.EVENTS, features.GRANTS, features.STORE,
    features.TIMERS, features.MULTICALL,
)  # fmt: skip
OFFERED = sum(row.mask for row in FEATURES)
MSR_HYPERCALL_PAGE, MSR_UPCALL_VECTOR = itself.MSR_HYPERCALL_PAGE.number, itself.MSR_UPCALL_VECTOR.number
FIRST_VECTOR = 0x10
"""The local APIC takes no interrupt below (SDM 3A 10.5.2)."""


def build_hybrid(parts: Parts) -> Machine:
    """Make the domain. Raises UsageError or GuestRefused."""
    note = abi_note(parts.image, PC_NOTE)
    if note is not None:
        check_needs(parts.image, note, OFFERED)
    machine, wing, apic = build_pc(parts, has_pc_io=False)
    domain, vcpu = machine.domain, machine.vcpu
    shared = SharedPage(parts.memory, None)
    frames = PcFrames(wing.paging)
    io = IoRooms(parts, domain, [vcpu], shared, frames, NoWindow())
    io.initialise_shared_page()
    mover = SharedPageMover(shared, frames, io.initialise_shared_page)
    calls = HypercallTable(OFFERED, (*abi_calls(OFFERED, io.console.served), *io.served, mover.served))
    io.multicall.table = calls
    domain.pointers = GuestPointers(wing.paging, parts.memory.size_bytes)
    upcalls = UpcallVector(apic, shared, vcpu)
    domain.notify = upcalls.notify
    leaves = hypervisor_leaves(OFFERED, (MSR_HYPERCALL_PAGE, MSR_UPCALL_VECTOR))
    wing.cpuid = CpuidTable(MappingProxyType(leaves), is_pc=True, cpu=wing.cpuid.cpu)
    wing.msrs.added[MSR_HYPERCALL_PAGE] = HypercallPageMsr(wing.paging)
    wing.msrs.added[MSR_UPCALL_VECTOR] = upcalls
    handlers = list(wing.handlers)
    handlers[ExitReason.HYPERCALL] = calls.serve
    wing.handlers = tuple(handlers)
    vcpu.v.raw_vmcall = 1
    attach_devices(parts, domain)
    machine.on_turn = io.on_turn
    return machine


class PcFrames(FixedFrames):
    """A PC gives any of its frames, also code and page tables, to who reads and writes as a device would."""

    def __init__(self, paging: ShadowPaging) -> None:
        super().__init__()
        self._paging = paging
        self._n_users: dict[int, int] = {}

    def hold(self, frame: int, *, writable: bool) -> None:
        """Nothing can happen to it, but what is written there. Who only reads has the guest's own bytes."""
        if writable:
            self.show(frame)
        else:
            self._paging.host_writes(frame * PAGE_BYTES, PAGE_BYTES)

    def drop(self, frame: int, *, writable: bool) -> None:
        """Nobody writes there any more."""
        if writable:
            self.hide(frame)

    def show(self, frame: int) -> None:
        """Code there is forgotten at each exit; shadows of a table are stale until CR3 is loaded."""
        n_users = self._n_users[frame] = self._n_users.get(frame, 0) + 1
        if n_users == 1:
            self._paging.show(frame * PAGE_BYTES, True)

    def hide(self, frame: int) -> None:
        """One `show` less."""
        self._n_users[frame] -= 1
        if not self._n_users[frame]:
            del self._n_users[frame]
            self._paging.show(frame * PAGE_BYTES, False)


class HypercallPageMsr:
    """PV_MSR_HYPERCALL_PAGE: a write puts a page of stubs to a GPA; the low 12 bits say which page."""

    def __init__(self, paging: ShadowPaging) -> None:
        self._paging = paging
        self._pages = hypercall_pages("vmcall")
        self._value = 0

    def read(self) -> int:
        """What was written last."""
        return self._value

    def write(self, value: int) -> bool:
        """Put the stubs there; False where there is no RAM, or no such page."""
        gpa, index = value & ~(PAGE_BYTES - 1), value % PAGE_BYTES
        stubs = self._pages[index * PAGE_BYTES : (index + 1) * PAGE_BYTES]
        if not stubs or not self._paging.is_ram(gpa):
            return False
        self._paging.host_write(gpa, stubs)
        self._value = value
        return True


class UpcallVector:
    """PV_MSR_UPCALL_VECTOR: upcalls are interrupts of the local APIC, at this vector; 0: none."""

    def __init__(self, apic: LocalApic, shared: SharedPage, vcpu: Vcpu) -> None:
        self._apic = apic
        self._shared = shared
        self._vcpu = vcpu
        self._vector = 0

    def read(self) -> int:
        """The vector."""
        return self._vector

    def write(self, value: int) -> bool:
        """Set the vector, and look whether an upcall is due; False for one that the APIC does not take."""
        if value and not FIRST_VECTOR <= value <= 0xFF:
            return False
        self._vector = value
        if self._shared.upcall_pending(self._vcpu.vcpu_id):
            self.notify(self._vcpu)
        return True

    def notify(self, vcpu: Vcpu) -> None:
        """Deliver an upcall. While the guest masks them it finds the event when it looks."""
        if self._vector and not self._shared.upcall_masked(vcpu.vcpu_id):
            destination = self._apic.registers.id >> 24
            self._apic.receive(Message(self._vector, FIXED, destination=destination))


class GuestPointers:
    """A guest kernel's pointers, by its own page tables."""

    def __init__(self, paging: ShadowPaging, ram_bytes: int) -> None:
        self._paging = paging
        self._ram_bytes = ram_bytes

    def copy_in(self, vcpu: Vcpu, gva: int, n_bytes: int) -> bytes | None:
        """A copy of guest-virtual memory; None unless the kernel may read all of it, and it is RAM."""
        pieces = self._pieces(gva, n_bytes, READ)
        if pieces is None:
            return None
        return b"".join(self._paging.own_bytes(gpa, n) for gpa, n in pieces)

    def copy_out(self, vcpu: Vcpu, gva: int, data: bytes) -> bool:
        """Write guest-virtual memory; False, and nothing written, unless the kernel may write all of it."""
        pieces = self._pieces(gva, len(data), WRITE)
        if pieces is None:
            return False
        done = 0
        for gpa, n in pieces:
            self._paging.host_write(gpa, data[done : done + n])
            done += n
        return True

    def _pieces(self, gva: int, n_bytes: int, access: Access) -> list[tuple[int, int]] | None:
        pieces, at, end = [], gva, gva + n_bytes
        if end > 1 << 64:
            return None
        while at < end:
            n = min(PAGE_BYTES - at % PAGE_BYTES, end - at)
            try:
                gpa = self._paging.tables.walk(at, access).gpa
            except GuestFault:
                return None
            if gpa + n > self._ram_bytes:
                return None
            pieces.append((gpa, n))
            at += n
        return pieces
