# SPDX-License-Identifier: GPL-2.0-or-later
"""Several domains at once: the Python API.

with Hypervisor() as hv:
    dom = hv.create(DomainConfig("hello.elf"))
    hv.run()
    print(dom.console.text, dom.status, dom.stats.n_instructions)
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pvisor.domain.outcome import Ending
from pvisor.errors import UsageError
from pvisor.machine.console import ConsoleInput, ConsoleOutput, NoInput
from pvisor.machine.memory import PAGE_BYTES
from pvisor.machine.stepped_switch import SteppedSwitch
from pvisor.machine.switch import OnFrame, Switch
from pvisor.para.backend import introduce
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.credit import MAX_WEIGHT, MIN_WEIGHT, Account
from pvisor.vmm.loop import INTERRUPTED, TIME_OVER
from pvisor.vmm.member import Member
from pvisor.vmm.physical_cpu import PhysicalCpu
from pvisor.vmm.result import crash_of, drain_traces, gather, watch_operations
from pvisor.vmm.step import Joined, run_side_by_side
from pvisor.vmm.world import World

Trace = Callable[[Sequence[Any]], None]
"""Takes trace records (`pv_record`) in order."""


class HostedDomain:
    """A domain of a Hypervisor: what it is, what it prints, how it ended, what it did."""

    def __init__(
        self, config: DomainConfig, console: ConsoleOutput, machine: Machine, watched: Mapping[int, str]
    ) -> None:
        self.config = config
        self.console = console
        self.watched = dict(watched)
        """The functions whose calls are counted, by address."""
        self.domid = machine.domain.domid
        self.name = machine.domain.name
        self.machine: Machine | None = machine
        self.timer: threading.Timer | None = None
        """Ends it when its time is over."""
        self._result: RunResult | None = None

    @property
    def ending(self) -> Ending | None:
        """How it ended; None while it has not."""
        return self._result.ending if self._result is not None else None

    @property
    def status(self) -> int | None:
        """Its exit status (hypercalls.md, How a run ends); None while it has not ended."""
        return self._result.ending.status if self._result is not None else None

    @property
    def stats(self) -> RunResult:
        """Instructions, times, exits by reason. Raises ValueError while the domain has not ended."""
        if self._result is None:
            raise ValueError(f"{self.name} has not ended: call Hypervisor.run first")
        return self._result

    def at(self, virtual_ns: int, act: Callable[[], object]) -> None:
        """Do something at a virtual time of this domain, as move its memory target; before the run.

        With threads other domains run at that moment: `act` leaves them alone.
        """
        if self.machine is None:
            raise ValueError(f"{self.name} has ended")
        self.machine.domain.timers.at(virtual_ns, act)

    def set_memory_target(self, memory_bytes: int) -> None:
        """How much memory the domain shall have: it is told by an event, and gives back or takes (balloon).

        Raises UsageError where that cannot be.
        """
        balloon = self.machine.balloon if self.machine is not None else None
        if balloon is None:
            raise UsageError(f"{self.name}: only a running paravirtual domain has a memory target")
        try:
            balloon.set_target(memory_bytes // PAGE_BYTES)
        except ValueError as error:
            raise UsageError(f"{self.name}: {error}") from None

    def finish(self, result: RunResult) -> None:
        """It has ended."""
        self._result = result
        self.let_go()

    def let_go(self) -> Machine | None:
        """Its machine, if it is still there, which the caller closes."""
        if self.timer is not None:
            self.timer.cancel()
        machine, self.machine = self.machine, None
        return machine


class Hypervisor:
    """Runs domains side by side, on one virtual clock, sharing the CPU by credit.

    With `n_threads` greater than 1 each group of domains, and each domain without one, has a physical CPU of
    its own, and that many threads of the host run them (step.py). `interrupted` is asked when a signal has
    come.
    """

    def __init__(self, n_threads: int = 1, interrupted: Callable[[], bool] = lambda: False) -> None:
        if n_threads < 1:
            raise UsageError(f"{n_threads} threads: there must be one at least")
        self._n_threads = n_threads
        self._interrupted = interrupted
        self._switches: dict[str, Switch] = {}
        self._world = World()
        self._cpus: dict[str, PhysicalCpu] = {}
        """By the group that runs there, or the domain."""
        self._reachable: set[PhysicalCpu] = set()
        """Those with a domain that others can reach."""
        self._kicking = threading.Lock()
        """No vCPU is closed while one is kicked."""
        self._is_stopping = False
        """An exception of ours is on its way out: no domain goes on."""
        self._begun_ns = 0
        self.domains: list[HostedDomain] = []

    def __enter__(self) -> Hypervisor:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def add_network(self, name: str, on_frame: OnFrame = lambda virtual_ns, frame: None) -> Switch:
        """A switch, before the first domain is plugged into it. `on_frame` sees each frame."""
        if name in self._switches:
            raise UsageError(f"network {name}: there is one of that name already")
        switch = self._switches[name] = self._new_switch(on_frame)
        return switch

    def create(
        self,
        config: DomainConfig,
        console: ConsoleOutput | None = None,
        input: ConsoleInput | None = None,
        trace: Trace | None = None,
    ) -> HostedDomain:
        """Make a domain. Raises UsageError or GuestRefused; then nothing is left of it."""
        if not MIN_WEIGHT <= config.weight <= MAX_WEIGHT or not 0 <= config.cap_percent <= 100:
            raise UsageError(
                f"weight {config.weight}, cap {config.cap_percent}: a weight is {MIN_WEIGHT} to "
                f"{MAX_WEIGHT}, a cap 0 to 100 percent"
            )
        console = console or ConsoleOutput()
        domid = len(self.domains) + 1
        place = self._place_of(config, domid)
        world = self._world
        cpu = self._cpus.get(place) or PhysicalCpu()
        world.meeting.place(domid, cpu)
        switch = self._switches.get(config.network) or self._new_switch()
        machine = build(config, console, input or NoInput(), domid=domid, switch=switch, world=world)
        try:
            names = watch_operations(machine, config.watch)
        except UsageError:
            machine.close()
            raise
        domain = HostedDomain(config, console, machine, names)
        self.domains.append(domain)
        self._cpus[place] = cpu
        if config.net or machine.mode in ("para", "hybrid"):
            self._reachable.add(cpu)
        if config.net:
            self._switches[config.network] = switch
        self._start(domain, machine, cpu, trace)
        return domain

    def let_serve(self, backend: HostedDomain, frontend: HostedDomain, folder: str) -> None:
        """Let one domain serve a device of another, `block/0` for instance, in place of the host.

        Raises UsageError.
        """
        if not re.fullmatch(r"(block|net)/[0-9]{1,2}", folder):
            raise UsageError(f"{frontend.name}: {folder!r} is no device; give block/0 or net/0, for instance")
        if self._world.store.read(f"/domain/{frontend.domid}/device/{folder}/backend") is not None:
            raise UsageError(f"{frontend.name}: {folder} is served already; take away its disk or network")
        introduce(self._world.store, frontend.domid, folder, backend.domid)

    def run(self) -> None:
        """Run all domains, each to its end. One that crashes leaves the others running.

        An exception of ours passes through when every thread has stopped.
        """
        self._begun_ns = time.monotonic_ns()
        for domain in self.domains:
            if domain.timer is not None and domain.timer.ident is None:
                domain.timer.start()
        joined = [cpu for cpu in self._cpus.values() if cpu in self._reachable]
        switches = [one for one in self._switches.values() if isinstance(one, SteppedSwitch)]
        if len(joined) < 2 and not switches:
            joined = []
        alone = [cpu for cpu in self._cpus.values() if cpu not in joined]
        run_side_by_side(alone, Joined(joined, self._world.meeting, switches), self._n_threads, self._stop)

    def close(self) -> None:
        """Free everything. What domains printed and did stays readable."""
        with self._kicking:
            for domain in self.domains:
                machine = domain.let_go()
                if machine is not None:
                    machine.close()

    # --- parts

    def _place_of(self, config: DomainConfig, domid: int) -> str:
        """Which physical CPU a domain gets: one for all, or, with threads, one for each group and loner."""
        if self._n_threads == 1:
            return ""
        return f"group {config.group}" if config.group else f"domain {domid}"

    def _new_switch(self, on_frame: OnFrame = lambda virtual_ns, frame: None) -> Switch:
        return Switch(on_frame) if self._n_threads == 1 else SteppedSwitch(on_frame)

    def _start(self, hosted: HostedDomain, machine: Machine, cpu: PhysicalCpu, trace: Trace | None) -> None:
        config = hosted.config
        time_is_over = threading.Event()

        def on_kick() -> Ending | None:
            for vcpu in machine.vcpus:
                vcpu.v.kick = 0
            if self._is_stopping or self._interrupted():
                return INTERRUPTED
            return TIME_OVER if time_is_over.is_set() else None

        def drain() -> None:
            if trace is not None:
                drain_traces(machine.vcpus, trace)

        def on_end() -> None:
            ending = machine.domain.ending
            assert ending is not None
            crash = crash_of(machine, ending)
            for vcpu in machine.vcpus:
                vcpu.complete()
            drain()
            wall_ns = time.monotonic_ns() - self._begun_ns
            result = gather(machine, config, ending, crash, hosted.watched, wall_ns, self._begun_ns)
            with self._kicking:
                hosted.finish(result)
                machine.close()

        if trace is not None:
            for vcpu in machine.vcpus:
                vcpu.start_trace()
        member: Member = cpu.add(
            machine.domain, machine.vcpus, Account(config.weight, config.cap_percent),
            on_kick=on_kick, drain_trace=lambda vcpu: drain, on_turn=machine.on_turn,
        )  # fmt: skip
        member.on_end = on_end
        if config.timeout_s is not None:
            hosted.timer = self._timer(config.timeout_s, time_is_over)

    def _timer(self, timeout_s: float, over: threading.Event) -> threading.Timer:
        """Kicks all domains when one's time is over: it need not be the one that runs."""

        def expire() -> None:
            over.set()
            self._kick_all()

        timer = threading.Timer(timeout_s, expire)
        timer.daemon = True
        return timer

    def _kick_all(self) -> None:
        with self._kicking:
            machines = [one.machine for one in self.domains if one.machine is not None]
            for vcpu in [vcpu for machine in machines for vcpu in machine.vcpus]:
                vcpu.kick()

    def _stop(self) -> None:
        """End all domains, whatever they do."""
        self._is_stopping = True
        self._kick_all()
