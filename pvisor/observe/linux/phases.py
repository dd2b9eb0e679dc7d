# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of an operating system's boot, and what each cost: counters taken down at each border.

    decompress   of a bzImage: from its entry to the first instruction in the upper half of the address space,
                 where a kernel's own text is; what is before it in other kernels belongs to `early`
    early        until do_basic_setup() begins, or, where a compiler has inlined it, driver_init(), the first
                 of its calls that every kernel has: the initcalls follow at once
    initcalls    until the first instruction in ring 3
    user space   the rest: to the guest's end, to what the console shall show, or until it rests, that is, has
                 no more input, shows nothing, and waits nearly all of REST_NS

The borders are marks in the guest's code (shim/marks.c): the run is the one without them. Without symbols
there is no border between `early` and `initcalls`, and the two are one phase, `kernel`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from pvisor.cpu.exits import ExitReason
from pvisor.domain.outcome import EndedBy, Ending
from pvisor.full.linux_boot import LinuxImage
from pvisor.observe.linux.kernel import find_kernel
from pvisor.observe.linux.symbols import Symbols
from pvisor.observe.linux.watch import KernelWatch
from pvisor.vmm.builder import Machine

DECOMPRESS, EARLY, INITCALLS, USER, KERNEL = "decompress", "early", "initcalls", "user space", "kernel"
UPPER_HALF_64, UPPER_HALF_32 = (1 << 63, (1 << 64) - 1), (1 << 31, (1 << 32) - 1)
EVERYWHERE = (0, (1 << 64) - 1)
REST_NS = 60_000_000_000
"""Virtual time, most of which costs the host nothing: a program may sleep for less before it goes on."""
FIRST_INITCALLS = ("do_basic_setup", "driver_init")


@dataclass(frozen=True, slots=True)
class Counts:
    """What had happened up to a moment."""

    host_ns: int = 0
    virtual_ns: int = 0
    n_instructions: int = 0
    exits: Mapping[ExitReason, tuple[int, int, int, int, int]] = field(default_factory=dict)
    """(count, native, ns in Python, native ones that were timed, their ns) by reason."""
    switches: tuple[int, int] = (0, 0)
    patches: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase, and the counters at its beginning and end."""

    name: str
    begin: Counts
    end: Counts

    def exits(self, reason: ExitReason) -> int:
        """How many of a reason."""
        return self._of(self.end, reason)[0] - self._of(self.begin, reason)[0]

    def handler_ns(self, reason: ExitReason) -> tuple[int, int]:
        """The host's time in handlers of a reason: (in C, by samples; in Python)."""
        new = [b - a for a, b in zip(self._of(self.begin, reason), self._of(self.end, reason), strict=True)]
        _, native, python_ns, samples, sample_ns = new
        if not samples:  # none fell into this phase: the whole run's
            _, _, _, samples, sample_ns = self._of(self.end, reason)
        return (sample_ns * native // samples if samples else 0), python_ns

    @staticmethod
    def _of(counts: Counts, reason: ExitReason) -> tuple[int, int, int, int, int]:
        return counts.exits.get(reason, (0, 0, 0, 0, 0))

    @property
    def host_ns(self) -> int:
        """The host's time."""
        return self.end.host_ns - self.begin.host_ns

    @property
    def n_instructions(self) -> int:
        """Retired instructions."""
        return self.end.n_instructions - self.begin.n_instructions


class PhaseWatch(KernelWatch):
    """A Watcher that takes the counters down at each border, and notices a panic as KernelWatch does."""

    def __init__(self, symbols: Symbols | None = None, *, until: bytes = b"") -> None:
        super().__init__(symbols, counts_places=True)
        self._until = until
        self._seen = b""
        self._is_seen = False
        self._is_shown = self._rests = False
        self._since = (0, 0)
        """Virtual time, and how much of it was waited, when the guest last had something to do."""
        self._names: dict[int, str] = {}
        """What begins at each mark, by its index."""
        self._current = ""
        self._begin = Counts()
        self._paused_ns = self._begun_ns = 0
        self.phases: list[Phase] = []
        self.border: str | None = None
        """The function at which `initcalls` begins; None: no symbols were found."""

    def begin(self, machine: Machine) -> None:
        """Set the marks that need no symbols, and begin to count."""
        super().begin(machine)
        vcpu = machine.vcpu
        is_packed = isinstance(machine.image, LinuxImage)
        self._current = DECOMPRESS if is_packed else EARLY
        for half in (UPPER_HALF_64, UPPER_HALF_32):
            self._names[vcpu.mark(*half)] = EARLY
        self._names[vcpu.mark(*EVERYWHERE, user_only=True)] = USER
        self._begun_ns = time.monotonic_ns()
        self._begin = self._count()

    def shown(self, data: bytes) -> None:
        """The guest has written to its console."""
        self._is_shown = True
        if self._until and not self._is_seen and self._machine is not None:
            self._seen = self._seen[-len(self._until) :] + data
            if self._until in self._seen:
                self._is_seen = True
                self._machine.vcpu.kick()

    def kicked(self) -> Ending | None:
        """Was it for a mark, or for what the console has shown?"""
        machine, began_ns = self._machine, time.monotonic_ns()
        assert machine is not None
        met = machine.vcpu.marks_met()
        for index in [index for index in self._names if met >> index & 1]:
            name = self._names.pop(index)
            if name == EARLY:
                self._enter_kernel(machine)
            else:
                self._next(name)
        self._paused_ns += time.monotonic_ns() - began_ns
        return self._shown_ending()

    def look(self) -> Ending | None:
        """Has it shown what is waited for, also what a device gathers? Has it panicked? Does it rest?"""
        machine = self._machine
        assert machine is not None
        machine.domain.console.flush()
        return self._shown_ending() or super().look() or self._rest(machine)

    def _rest(self, machine: Machine) -> Ending | None:
        """An operating system has timers, so it never waits for nothing; but there is nothing more to see."""
        now_ns, idle_ns = machine.vcpu.virtual_ns, int(machine.vcpu.v.idle_ns)
        source = machine.domain.input
        has_input = source.is_live or source.next_arrival_ns(now_ns) is not None
        if self._current != USER or self._is_shown or has_input:
            self._is_shown, self._since = False, (now_ns, idle_ns)
            return None
        rested_ns, waited_ns = now_ns - self._since[0], idle_ns - self._since[1]
        if rested_ns < REST_NS:
            return None
        if waited_ns * 10 < rested_ns * 9:
            self._since = (now_ns, idle_ns)
            return None
        self._rests = True
        return Ending(EndedBy.BUDGET, 0, f"it has nothing to do for {REST_NS // 10**9} s, and no input")

    def _shown_ending(self) -> Ending | None:
        if not self._is_seen:
            return None
        text = self._until.decode("utf-8", "replace")
        return Ending(EndedBy.BUDGET, 0, f"the console has shown {text!r}")

    def end(self, ending: Ending) -> Ending:
        """The last phase ends."""
        machine = self._machine
        assert machine is not None
        self._next("")
        if self._is_seen or self._rests:
            self._take_places(machine)
            return ending
        return super().end(ending)

    def _enter_kernel(self, machine: Machine) -> None:
        """The kernel's own text runs: its tables lie in memory now."""
        if self._current == DECOMPRESS:
            self._next(EARLY)
        if self.border is not None or self._current != EARLY:
            return
        self.found = find_kernel(machine, self._symbols)
        for name in FIRST_INITCALLS if self.found is not None else ():
            assert self.found is not None
            address = self.found.symbols.address(name)
            if address is not None:
                self.border = name
                self._names[machine.vcpu.mark(address, address)] = INITCALLS
                return

    def _next(self, name: str) -> None:
        """A phase ends, and another begins."""
        now = self._count()
        if self._current == USER and name:
            return
        current = KERNEL if self._current == EARLY and self.border is None else self._current
        self.phases.append(Phase(current, self._begin, now))
        self._begin, self._current = now, name

    def _count(self) -> Counts:
        machine = self._machine
        assert machine is not None
        vcpu = machine.vcpu
        rows = vcpu.v.counters
        exits = {
            reason: (int(row.count), int(row.native), int(row.python_wall_ns), int(row.native_samples),
                     int(row.native_sample_ns))
            for reason in ExitReason
            if (row := rows[reason]).count
        }  # fmt: skip
        is_full = machine.mode == "full"
        return Counts(
            time.monotonic_ns() - self._begun_ns - self._paused_ns, vcpu.virtual_ns, vcpu.n_instructions,
            exits, vcpu.space_switches if is_full else (0, 0), vcpu.patches if is_full else (0, 0),
        )  # fmt: skip
