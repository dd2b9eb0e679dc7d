# SPDX-License-Identifier: GPL-2.0-or-later
"""The paravirtual CPU: hypercall dispatch, and the calls that ask about the ABI itself.

Twin of full/cpu.py, where privileged instructions trap and are emulated. Here nothing is emulated but
CPUID and RDTSC, which hardware lets ring 1 use as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType

from pvisor.abi import constants
from pvisor.abi.areas import itself
from pvisor.cpu.exits import N_REASONS, ExitReason
from pvisor.cpu.features import CpuidLeaf, CpuidTable, answer_rdtsc
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain, ExitHandler, unexpected
from pvisor.domain.outcome import RESUME, Outcome
from pvisor.errors import DomainCrash
from pvisor.machine.frames import HypervisorFrames
from pvisor.para import console, control, interrupts, timer
from pvisor.para.hypercalls import HypercallTable, Served
from pvisor.para.interrupts import Interrupts
from pvisor.para.power import PowerRoom
from pvisor.para.segments import GDT_BYTES, Segmentation
from pvisor.para.shared import FrameHolds, NoHolds, SharedPage, SharedPageMover
from pvisor.para.state import AddressSpaces, CpuStates, OneSpace, new_cpu_state, reset_cpu_state
from pvisor.para.syscall import SystemCalls
from pvisor.para.transfers import Transfers

U32_MAX = 0xFFFF_FFFF
ABI_VERSION, N_PAGES = constants.ABI_VERSION.number, constants.HYPERCALL_PAGES.number


def hypervisor_leaves(offered: int, msrs: tuple[int, int] = (0, 0)) -> dict[int, CpuidLeaf]:
    """The CPUID leaves by which a guest finds pvisor (hypercalls.md, Discovery).

    `msrs`: the numbers of PV_MSR_HYPERCALL_PAGE and PV_MSR_UPCALL_VECTOR, where there are such.
    """
    signature = (constants.CPUID_SIGNATURE_EBX, constants.CPUID_SIGNATURE_ECX, constants.CPUID_SIGNATURE_EDX)
    ebx, ecx, edx = (word.number for word in signature)
    return {
        constants.CPUID_BASE.number: (constants.CPUID_HIGHEST.number, ebx, ecx, edx),
        constants.CPUID_VERSION.number: (ABI_VERSION, N_PAGES, *msrs),
        constants.CPUID_FEATURES.number: (offered & U32_MAX, offered >> 32, 0, 0),
    }


class VirtualCpus:
    """The rooms of CPU state of one domain, put together: what its vCPUs hold, and what happens to them.

    `gdts` is the frame with the vCPUs' descriptor tables. `initialise` fills the shared page as at the start.
    """

    def __init__(
        self, frames: HypervisorFrames, gdts: int, shared: SharedPage, n_vcpus: int, *,
        spaces: AddressSpaces | None = None, holds: FrameHolds | None = None,
        initialise: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.states: CpuStates = [new_cpu_state(gdts + i * GDT_BYTES) for i in range(n_vcpus)]
        self._shared = shared
        segments = self._segments = Segmentation(self.states, frames)
        spaces = spaces or OneSpace()
        self.interrupts = Interrupts(self.states, shared, segments, spaces)
        self.calls = SystemCalls(self.states, self.interrupts)
        transfers = Transfers(self.states, shared, segments, spaces, self.interrupts)
        mover = SharedPageMover(shared, holds or NoHolds(), initialise or shared.clear)
        self.served: Sequence[Served] = (
            self.interrupts.served, segments.served, transfers.served, self.calls.served, control.SERVED,
            mover.served,
        )  # fmt: skip
        shared.on_move.append(self._follow_shared_page)
        self._follow_shared_page()

    def reset(self, vcpu_id: int) -> None:
        """A vCPU begins anew: nothing of what its kernel has told is left."""
        state = self.states[vcpu_id]
        reset_cpu_state(state)
        state.vcpu_info = self._shared.vcpu_info(vcpu_id)
        self._segments.reset(vcpu_id)

    def _follow_shared_page(self) -> None:
        for vcpu_id, state in enumerate(self.states):
            state.vcpu_info = self._shared.vcpu_info(vcpu_id)


def abi_calls(offered: int, console_calls: Served = console.SERVED) -> tuple[Served, ...]:
    """The calls that need no room: about the ABI itself, the console's, the clock's."""

    def features(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """FEATURES(word): the bits of that word."""
        return offered if exit.args[0] == 0 else 0

    itself_served = Served(
        answers={itself.ABI_VERSION: abi_version, itself.FEATURES: features}, decides={itself.NOOP: noop}
    )
    return itself_served, console_calls, timer.SERVED


class ParaWing:
    """The right wing of one domain. `rooms` serve what this file does not.

    Without `cpus`, every exception ends the domain.
    """

    name = "para"

    def __init__(
        self, offered: int, rooms: Iterable[Served] | None = None, cpus: VirtualCpus | None = None,
        console_calls: Served = console.SERVED,
    ) -> None:  # fmt: skip
        self._cpus = cpus
        self.offered_features = offered
        self.cpuid = CpuidTable(MappingProxyType(hypervisor_leaves(offered)))
        self.calls = HypercallTable(
            offered,
            (
                *abi_calls(offered, console_calls), *((PowerRoom().served,) if rooms is None else rooms),
                *(cpus.served if cpus else ()),
            ),
        )  # fmt: skip
        self.handlers = self._handler_table()

    def _handler_table(self) -> tuple[ExitHandler, ...]:
        table: list[ExitHandler] = [unexpected] * N_REASONS
        traps = self._cpus.interrupts.exception if self._cpus else interrupts.exception
        for reason in ExitReason:
            if ExitReason.CLI <= reason < ExitReason.BUDGET:
                table[reason] = traps
        table[ExitReason.SYSCALL] = table[ExitReason.SYSENTER] = traps
        if self._cpus:
            table[ExitReason.SOFT_INT] = self._cpus.interrupts.soft_int
            table[ExitReason.SYSCALL] = self._cpus.calls.syscall
            table[ExitReason.EVENT_WINDOW] = self._cpus.interrupts.event_window
        table[ExitReason.HYPERCALL] = self.calls.serve
        table[ExitReason.IO_IN] = table[ExitReason.IO_OUT] = io_port
        table[ExitReason.CPUID] = self.cpuid_exit
        table[ExitReason.RDTSC] = rdtsc
        return tuple(table)

    def cpuid_exit(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """CPUID, intercepted."""
        self.cpuid.answer(vcpu, exit)
        return RESUME


def noop(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """NOOP. Its native twin is in native/cpu.c."""
    exit.result = 0
    return RESUME


def abi_version(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
    """ABI_VERSION."""
    return constants.ABI_VERSION.number


def rdtsc(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """RDTSC and RDTSCP: virtual nanoseconds, as in the other wing."""
    answer_rdtsc(vcpu, exit, exit.virtual_ns)
    return RESUME


_UART, _POWER = range(0x3F8, 0x400), (0x604, 0x605, 0xF4, 0xF5, 0xF6, 0xF7)


def io_port(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """IN and OUT are privileged, and there is no device on an I/O port."""
    is_in = exit.reason == ExitReason.IO_IN
    instead = "there is no device on I/O ports"
    if exit.ioport in _UART:
        instead = f"call CONSOLE_{'READ' if is_in else 'WRITE'} instead"
    elif exit.ioport in _POWER:
        instead = "call SHUTDOWN instead"
    act = "IN from" if is_in else "OUT to"
    raise DomainCrash(f"#GP: {act} I/O port {exit.ioport:#x} is privileged: {instead}")
