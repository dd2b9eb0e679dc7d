# SPDX-License-Identifier: GPL-2.0-or-later
"""The run loop: enter the guest, ask the handler what the exit means, do what it decides.

One loop serves every engine and both wings. Exits that the engine must serve inside its hook come to the
same handlers by `on_hook_exit`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import (
    STATUS_CRASH,
    STATUS_INTERRUPTED,
    STATUS_TIME_OVER,
    EndedBy,
    Ending,
    Outcome,
)
from pvisor.errors import DomainCrash
from pvisor.machine.clock import END_OF_TIME_NS, NS_PER_S

HOOK_STOP, TRACE_FULL, BUDGET, KICK, DEADLINE, EVENT_WINDOW = (
    ExitReason.HOOK_STOP, ExitReason.TRACE_FULL, ExitReason.BUDGET, ExitReason.KICK,
    ExitReason.DEADLINE, ExitReason.EVENT_WINDOW)  # fmt: skip
MAX_DEADLINES_ASLEEP = 50_000
"""After so many deadlines, none of which woke the guest, nothing will: a timer that it has masked goes on."""

HOST_WAIT_S = 0.1
"""How long the host sleeps at a stretch: so long a signal may go unheard."""

IDLE = Ending(EndedBy.IDLE, STATUS_TIME_OVER, "the guest waits, and nothing can wake it")
BUDGET_USED = Ending(EndedBy.BUDGET, STATUS_TIME_OVER, "the guest used up its instructions (--max-insns)")
TIME_OVER = Ending(EndedBy.BUDGET, STATUS_TIME_OVER, "the guest's time is over (--timeout)")
INTERRUPTED = Ending(EndedBy.INTERRUPTED, STATUS_INTERRUPTED, "interrupted")


class RunLoop:
    """Runs one domain's vCPU to the domain's end.

    `on_kick` says why a kick came: an Ending, or None to go on. `drain_trace` empties a full trace.
    `is_viewed`: somebody looks at the guest's screen, so time that it sleeps passes for him too.
    """

    def __init__(
        self,
        domain: Domain,
        vcpu: Vcpu,
        *,
        on_kick: Callable[[], Ending | None],
        drain_trace: Callable[[], None],
        is_viewed: bool = False,
    ) -> None:
        self._domain = domain
        self._vcpu = vcpu
        self._on_kick = on_kick
        self._drain_trace = drain_trace
        self._is_viewed = is_viewed
        self._hook_outcome: Outcome | DomainCrash = Outcome.RESUME
        vcpu.on_hook_exit = self._hook_server()

    def run(self) -> Ending:
        """Run until the domain ends. An exception of ours passes through, with where it happened attached."""
        domain, vcpu, handlers = self._domain, self._vcpu, self._domain.wing.handlers
        exit, enter = vcpu.exit, vcpu.run
        resume = Outcome.RESUME
        try:
            while True:
                reason = enter()
                if reason < BUDGET or reason == EVENT_WINDOW:
                    outcome = handlers[reason](domain, vcpu, exit)
                    if outcome is resume:
                        continue
                    exit.outcome = outcome
                else:
                    outcome = self._stopped(reason)
                ending = self._decided(outcome)
                if ending is not None:
                    return ending
        except DomainCrash as crash:
            exit.outcome = Outcome.STOP
            domain.ending = Ending(EndedBy.CRASH, STATUS_CRASH, str(crash))
            return domain.ending
        except Exception as error:
            _attach_place(error, domain, vcpu)
            raise
        finally:
            domain.console.flush()

    def _decided(self, outcome: Outcome) -> Ending | None:
        """What an outcome means for one domain with one vCPU: the end, or going on."""
        if outcome is Outcome.STOP:
            return self._domain.ending
        if outcome is Outcome.BLOCK:
            self._domain.console.flush()
            return self._wait()
        return None

    def _wait(self) -> Ending | None:
        """The vCPU waits: virtual time moves on, from deadline to deadline, until one of them wakes it.

        Where somebody may type to wake it, or looks at its screen, the time goes by as fast as the host's.
        """
        domain, vcpu, timers = self._domain, self._vcpu, self._domain.timers
        n_asleep = 0
        while n_asleep < MAX_DEADLINES_ASLEEP:
            if domain.ending is not None or vcpu.has_event:
                return domain.ending
            wakes = vcpu.virtual_if or (not vcpu.nmi_blocked and domain.has_nmi_source())
            watched = [watch for watch in domain.watches if watch.hold()] if wakes else []
            due_ns = timers.next_due_ns if wakes else None
            if watched:
                self._pass_time(due_ns, domain.input.wait)
            elif due_ns is None or due_ns > END_OF_TIME_NS:
                break
            elif self._is_viewed:
                self._pass_time(due_ns, time.sleep)
            else:
                vcpu.skip_to(due_ns)
            n_asleep += not watched
            ending = self._on_kick()
            if ending is not None:
                domain.end(ending)
            timers.run_due()
            for watch in watched:
                watch.release()
        domain.end(IDLE)
        return domain.ending

    def _pass_time(self, due_ns: int | None, wait: Callable[[float], object]) -> None:
        """Let the host wait until the deadline, or for something else; a signal is heard in between."""
        now_ns, begun_ns = self._domain.timers.now(), time.monotonic_ns()
        wait(HOST_WAIT_S if due_ns is None else min(HOST_WAIT_S, max(0, due_ns - now_ns) / NS_PER_S))
        passed_ns = now_ns + time.monotonic_ns() - begun_ns
        self._vcpu.skip_to(passed_ns if due_ns is None else min(due_ns, passed_ns))

    def _stopped(self, reason: int) -> Outcome:
        """The hypervisor wanted its CPU back."""
        domain, vcpu = self._domain, self._vcpu
        if reason == DEADLINE:
            domain.timers.run_due()
            return Outcome.STOP if domain.ending is not None else Outcome.RESUME
        domain.console.flush()
        if reason == HOOK_STOP:
            decided, self._hook_outcome = self._hook_outcome, Outcome.RESUME
            if isinstance(decided, DomainCrash):
                raise decided
            return decided
        if reason == TRACE_FULL:
            self._drain_trace()
            return Outcome.RESUME
        if reason == BUDGET:
            return domain.end(BUDGET_USED)
        if reason == KICK:
            ending = self._on_kick()
            return domain.end(ending) if ending is not None else Outcome.RESUME
        if reason == ExitReason.VM86:
            raise DomainCrash("IRET to virtual-8086 mode, which is not supported")
        if reason == ExitReason.ENGINE_ABORT:
            raise DomainCrash(f"the engine cannot translate the guest's code near {vcpu.exit.rip:#x}")
        if reason == ExitReason.ENGINE_ERROR:
            raise RuntimeError(f"the engine cannot go on: {vcpu.error}")
        raise RuntimeError(f"the engine stopped for reason {reason}, which nobody knows")

    def _hook_server(self) -> Callable[[], bool]:
        """Serves an exit that the engine holds open. True: end the run after its instruction."""
        domain, vcpu = self._domain, self._vcpu
        exit, handlers, resume = vcpu.exit, domain.wing.handlers, Outcome.RESUME

        def serve() -> bool:
            outcome: Outcome | DomainCrash
            try:
                outcome = handlers[exit.reason](domain, vcpu, exit)
                if outcome is resume:
                    return False
                exit.outcome = outcome
            except DomainCrash as crash:
                outcome = crash
                exit.outcome = Outcome.STOP
            self._hook_outcome = outcome
            return True

        return serve


def _attach_place(error: Exception, domain: Domain, vcpu: Vcpu) -> None:
    """Say where a mistake of ours happened: a note on the exception, an attribute before Python 3.11."""
    reason = vcpu.exit.reason
    label = ExitReason(reason).label if reason in ExitReason._value2member_map_ else str(reason)
    place = f"d{domain.domid}/v{vcpu.vcpu_id} at exit {label}, RIP {vcpu.exit.rip:#x}"
    if hasattr(error, "add_note"):
        error.add_note(place)
    else:
        error.__dict__["pvisor_place"] = place
