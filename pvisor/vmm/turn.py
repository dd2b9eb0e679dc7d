# SPDX-License-Identifier: GPL-2.0-or-later
"""A vCPU's turn: enter the guest, ask the handler what the exit means, do what it decides.

One loop serves every engine and both wings. Exits that the engine must serve inside its hook come to the
same handlers by `on_hook_exit`.
"""

from __future__ import annotations

from collections.abc import Callable

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import STATUS_CRASH, STATUS_TIME_OVER, EndedBy, Ending, Outcome
from pvisor.errors import DomainCrash
from pvisor.vmm.handover import TURNED

HOOK_STOP, TRACE_FULL, BUDGET, KICK, DEADLINE, EVENT_WINDOW, SLICE = (
    ExitReason.HOOK_STOP, ExitReason.TRACE_FULL, ExitReason.BUDGET, ExitReason.KICK,
    ExitReason.DEADLINE, ExitReason.EVENT_WINDOW, ExitReason.SLICE)  # fmt: skip

MEET = Outcome.MEET
BUDGET_USED = Ending(EndedBy.BUDGET, STATUS_TIME_OVER, "the guest used up its instructions (--max-insns)")


class Turn:
    """Runs one vCPU of a domain, a turn at a time.

    `on_kick` says why a kick came: an Ending, or None to go on. `drain_trace` empties a full trace.
    """

    def __init__(
        self,
        domain: Domain,
        vcpu: Vcpu,
        on_kick: Callable[[], Ending | None],
        drain_trace: Callable[[], None],
    ) -> None:
        self._domain = domain
        self._vcpu = vcpu
        self._on_kick = on_kick
        self._drain_trace = drain_trace
        self._hook_outcome: Outcome | DomainCrash = Outcome.RESUME
        self.enter: Callable[[], int] = vcpu.run
        """How the guest is entered: gives the reason of the next exit."""
        self.left_over = 0
        """The reason that `run` has not looked at."""
        vcpu.on_hook_exit = self._hook_server()

    def run(self, seen: int | None = None) -> Outcome | None:
        """Run until the vCPU gives the CPU away, or has had its slice or a kick (RESUME), or the domain ends.

        None: turns have ended and begun without Python (handover.py). Then `left_over` is for the vCPU that
        runs now, whose `run` is given it as the reason that was `seen`. A crash of the guest is an ending. An
        exception of ours passes through, its place attached.
        """
        domain, vcpu, handlers = self._domain, self._vcpu, self._domain.wing.handlers
        exit, enter = vcpu.exit, self.enter
        resume = Outcome.RESUME
        try:
            reason = enter() if seen is None else seen
            while True:
                if reason < BUDGET or reason == EVENT_WINDOW:
                    outcome = handlers[reason](domain, vcpu, exit)
                    if outcome is resume:
                        reason = enter()
                        continue
                    if outcome is not MEET:
                        exit.outcome = outcome
                    return outcome
                if reason == SLICE:
                    return resume
                if reason >= TURNED:
                    self.left_over = reason - TURNED
                    return None
                outcome = self._stopped(reason)
                if outcome is not resume or reason == KICK:
                    return outcome
                reason = enter()
        except DomainCrash as crash:
            return self._crashed(crash)
        except Exception as error:
            _attach_place(error, domain, vcpu)
            raise

    def answer(self) -> Outcome:
        """Make the call again that had to wait for a meeting (MEET), and do not enter the guest."""
        vcpu = self._vcpu
        try:
            outcome = self._domain.wing.handlers[vcpu.exit.reason](self._domain, vcpu, vcpu.exit)
        except DomainCrash as crash:
            return self._crashed(crash)
        except Exception as error:
            _attach_place(error, self._domain, vcpu)
            raise
        if outcome is not Outcome.RESUME:
            vcpu.exit.outcome = outcome
        return outcome

    def _crashed(self, crash: DomainCrash) -> Outcome:
        self._vcpu.exit.outcome = Outcome.STOP
        self._domain.ending = Ending(EndedBy.CRASH, STATUS_CRASH, str(crash), self._vcpu.vcpu_id)
        return Outcome.STOP

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
