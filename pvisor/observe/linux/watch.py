# SPDX-License-Identifier: GPL-2.0-or-later
"""Notices that a Linux has panicked, and keeps what a crash report tells of a kernel that came to a bad end.

A kernel whose panic() has nothing more to do turns in a loop for ever, with interrupts on. From outside that
is a guest that computes, never waits, and serves nobody. So only a guest is examined that for a while has had
no HLT, no system call, no page fault and no change of tables; soon where it reads the time all along, as
delay loops do, and later where it does not. And what is examined is the kernel's own variable, panic_cpu
(or, where its symbols are those of functions alone, whether panic() is on the stack), never what it has
printed. A kernel that will reboot by itself (panic=SECONDS) is left to it. One that resets the machine when
it has panicked has crashed, too.
"""

from __future__ import annotations

from pvisor.cpu.exits import ExitReason
from pvisor.domain.outcome import GUEST_RESET, STATUS_CRASH, EndedBy, Ending
from pvisor.observe.linux.inquest import KernelFacts, hold_inquest, stack_of, why_it_panicked
from pvisor.observe.linux.kernel import Kernel, find_kernel
from pvisor.observe.linux.places import Place, rank_places
from pvisor.observe.linux.symbols import Symbols
from pvisor.vmm.builder import Machine

LOOK_EVERY_NS = 50_000_000
WORK = (
    ExitReason.HLT, ExitReason.SYSCALL, ExitReason.SYSENTER, ExitReason.PAGE_FAULT, ExitReason.SHADOW_FILL,
    ExitReason.MOV_CR, ExitReason.INVLPG,
)  # fmt: skip
"""Exits that a kernel without work does not have."""
NS_PER_TIME_READ = 100
"""A guest that reads the time more often waits in a loop (Linux's delay_tsc: each 58 ns, 40 of PAUSE)."""
N_DELAYING, N_IDLE = 2, 40
"""So many looks without work make it worth to examine the guest, if it delays and if it does not."""
MAX_PAUSE = 4096
"""A guest in which no kernel is found is examined again after 1, 2, 4 ... such looks, and at last so many."""
PANIC_STACK_LINES = 24
EXAMINED = (EndedBy.CRASH, EndedBy.BUDGET, EndedBy.IDLE)


class KernelWatch:
    """A Watcher (vmm/watch.py) for one run; `symbols` are those of the kernel, if they are known from a file.

    With `counts_places` it also tells where the guest was left; all exits are timed then.
    """

    look_every_ns = LOOK_EVERY_NS

    def __init__(self, symbols: Symbols | None = None, *, counts_places: bool = False) -> None:
        self._symbols = symbols
        self._counts_places = counts_places
        self.found: Kernel | None = None
        """With `counts_places`: the kernel whose names the places have."""
        self.places: tuple[Place, ...] = ()
        self.n_elsewhere = 0
        """Exits that found no room among the places."""
        self._machine: Machine | None = None
        self._kernel: Kernel | None = None
        self._n_work = self._n_reads = -1
        self._n_idle = self._n_delaying = 0
        self._pause = self._n_left = 1
        self.facts: KernelFacts | None = None
        """After a bad end of a guest in which a kernel was found."""

    def begin(self, machine: Machine) -> None:
        """The machine is ready."""
        self._machine = machine
        if self._counts_places:
            machine.vcpu.start_places()

    def kicked(self) -> Ending | None:
        """Kicks are not for it."""
        return None

    def look(self) -> Ending | None:
        """Has the guest computed without work, and panicked?"""
        machine = self._machine
        assert machine is not None
        if not self._is_suspect(machine):
            return None
        if self._kernel is None:
            self._n_left -= 1
            if self._n_left:
                return None
            self._pause = self._n_left = min(2 * self._pause, MAX_PAUSE)
            self._kernel = find_kernel(machine, self._symbols)
        kernel = self._kernel
        if kernel is None or not self._has_panicked(machine, kernel) or kernel.will_reboot:
            return None
        return self._crash(kernel, machine)

    def end(self, ending: Ending) -> Ending:
        """The run is over: if badly, or by a reset, the kernel is asked."""
        machine = self._machine
        assert machine is not None
        if self._counts_places:
            self._take_places(machine)
        if ending.ended_by not in EXAMINED and ending != GUEST_RESET:
            return ending
        kernel = find_kernel(machine, self._symbols)
        if kernel is None:
            return ending
        if self._has_panicked(machine, kernel):
            ending = self._crash(kernel, machine)
        if ending.ended_by in EXAMINED:
            self.facts = hold_inquest(machine, kernel)
        return ending

    def _take_places(self, machine: Machine) -> None:
        found, self.n_elsewhere = machine.vcpu.places()
        self.found = find_kernel(machine, self._symbols) or self.found
        self.places = rank_places(found, self.found.symbols if self.found is not None else None)

    def _is_suspect(self, machine: Machine) -> bool:
        counters = machine.vcpu.v.counters
        n_work, n_reads = (
            sum(int(counters[reason].count) for reason in WORK),
            int(counters[ExitReason.RDTSC].count),
        )
        is_idle, n_new_reads = n_work == self._n_work, n_reads - self._n_reads
        self._n_work, self._n_reads = n_work, n_reads
        self._n_idle = self._n_idle + 1 if is_idle else 0
        delays = is_idle and n_new_reads * NS_PER_TIME_READ > LOOK_EVERY_NS
        self._n_delaying = self._n_delaying + 1 if delays else 0
        return self._n_delaying >= N_DELAYING or self._n_idle >= N_IDLE

    @staticmethod
    def _crash(kernel: Kernel, machine: Machine) -> Ending:
        return Ending(EndedBy.CRASH, STATUS_CRASH, why_it_panicked(kernel), machine.vcpu.vcpu_id)

    @staticmethod
    def _has_panicked(machine: Machine, kernel: Kernel) -> bool:
        said = kernel.is_panicking
        if said is not None:
            return said
        stack = stack_of(machine, kernel, PANIC_STACK_LINES)
        return any(line.name is not None and line.name.startswith("panic+") for line in stack)
