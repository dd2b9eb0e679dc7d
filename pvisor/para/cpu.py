# SPDX-License-Identifier: GPL-2.0-or-later
"""The paravirtual CPU: hypercall dispatch, and the calls that ask about the ABI itself.

Twin of full/cpu.py, where privileged instructions trap and are emulated. Here nothing is emulated but
CPUID and RDTSC, which hardware lets ring 1 use as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pvisor.abi import calls, constants, errnos, features
from pvisor.abi.model import CType, Hypercall
from pvisor.cpu.exits import N_REASONS, ExitReason
from pvisor.cpu.features import CpuidLeaf, CpuidTable, answer_rdtsc
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain, ExitHandler, unexpected
from pvisor.domain.outcome import RESUME, Outcome
from pvisor.errors import DomainCrash
from pvisor.para import console, interrupts, power, timer
from pvisor.para.refusal import GuestError, invalid

ENOSYS = -errnos.ENOSYS.number
U32_MAX = 0xFFFF_FFFF

CallHandler = Callable[[Domain, Vcpu, Exit], int]
"""Serves a hypercall: its result, or raises GuestError."""


def hypervisor_leaves(offered: int) -> dict[int, CpuidLeaf]:
    """The CPUID leaves by which a guest finds pvisor (hypercalls.md, Discovery)."""
    signature = (constants.CPUID_SIGNATURE_EBX, constants.CPUID_SIGNATURE_ECX, constants.CPUID_SIGNATURE_EDX)
    ebx, ecx, edx = (word.number for word in signature)
    return {
        constants.CPUID_BASE.number: (constants.CPUID_HIGHEST.number, ebx, ecx, edx),
        constants.CPUID_VERSION.number: (constants.ABI_VERSION.number, 1, 0, 0),
        constants.CPUID_FEATURES.number: (offered & U32_MAX, offered >> 32, 0, 0),
    }


class ParaWing:
    """The right wing of one domain."""

    name = "para"

    def __init__(self, offered: int) -> None:
        self.offered_features = offered
        self.cpuid = CpuidTable(MappingProxyType(hypervisor_leaves(offered)))
        self.calls = self._call_table()
        self.handlers = self._handler_table()

    def _call_table(self) -> tuple[Callable[[Domain, Vcpu, Exit], Outcome] | None, ...]:
        """By number: what serves it. Calls that answer with a number are wrapped."""
        answering: Mapping[Hypercall, CallHandler] = {
            calls.ABI_VERSION: abi_version,
            calls.FEATURES: self.features,
            calls.CONSOLE_WRITE: console.console_write,
            calls.CONSOLE_READ: console.console_read,
            calls.TIME_GET: timer.time_get,
        }
        table: list[Callable[[Domain, Vcpu, Exit], Outcome] | None] = [None] * constants.CALLS_PER_PAGE.number
        for call, handler in answering.items():
            table[call.nr] = _answer(call, handler)
        for call, decide in ((calls.NOOP, noop), (calls.YIELD, power.yield_), (calls.BLOCK, power.block),
                             (calls.SHUTDOWN, _checked(calls.SHUTDOWN, power.shutdown))):  # fmt: skip
            table[call.nr] = decide
        if not self.offered_features & features.CONSOLE_INPUT.mask:
            table[calls.CONSOLE_READ.nr] = None
        return tuple(table)

    def _handler_table(self) -> tuple[ExitHandler, ...]:
        table: list[ExitHandler] = [unexpected] * N_REASONS
        for reason in ExitReason:
            if ExitReason.CLI <= reason < ExitReason.BUDGET:
                table[reason] = interrupts.exception
        table[ExitReason.SYSCALL] = table[ExitReason.SYSENTER] = interrupts.exception
        table[ExitReason.HYPERCALL] = self.hypercall
        table[ExitReason.IO_IN] = table[ExitReason.IO_OUT] = io_port
        table[ExitReason.CPUID] = self.cpuid_exit
        table[ExitReason.RDTSC] = rdtsc
        return tuple(table)

    def hypercall(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """Serve a hypercall by number; -ENOSYS for one that there is not."""
        number = exit.number
        serve = self.calls[number] if number < len(self.calls) else None
        if serve is None:
            exit.result = ENOSYS
            return RESUME
        try:
            return serve(domain, vcpu, exit)
        except GuestError as error:
            exit.result = error.result
            return RESUME

    def features(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """FEATURES(word): the bits of that word."""
        return self.offered_features if exit.args[0] == 0 else 0

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


def _checked(
    call: Hypercall, decide: Callable[[Domain, Vcpu, Exit], Outcome]
) -> Callable[[Domain, Vcpu, Exit], Outcome]:
    """`decide`, after the upper halves of 32-bit arguments were found to be zero."""
    narrow = tuple(i for i, arg in enumerate(call.args) if arg.type is CType.U32)
    if not narrow:
        return decide

    def serve(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        for i in narrow:
            if exit.args[i] > U32_MAX:
                raise invalid()
        return decide(domain, vcpu, exit)

    return serve


def _answer(call: Hypercall, handler: CallHandler) -> Callable[[Domain, Vcpu, Exit], Outcome]:
    def serve(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        exit.result = handler(domain, vcpu, exit)
        return RESUME

    return _checked(call, serve)
