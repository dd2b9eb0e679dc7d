# SPDX-License-Identifier: GPL-2.0-or-later
"""A physical CPU: one clock of virtual time, and the vCPUs that take turns on it.

While a vCPU runs, the clock goes with its instructions; while none can, it jumps to the next deadline. A vCPU
that comes to its turn has its own clock set to this one: what went by was sleep, or was stolen from it by
others. So all domains of one physical CPU see one time, and a run repeats to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.meeting import Meeting
from pvisor.domain.outcome import STATUS_TIME_OVER, EndedBy, Ending, Outcome
from pvisor.domain.scheduling import VcpuState
from pvisor.machine.timers import NEVER, vary
from pvisor.vmm.credit import Account, CreditScheduler
from pvisor.vmm.handover import Handovers
from pvisor.vmm.member import Member, Runner
from pvisor.vmm.turn import Turn

IDLE = Ending(EndedBy.IDLE, STATUS_TIME_OVER, "the guest waits, and nothing can wake it")


def _due_ns(domain: Domain) -> int:
    due_ns = domain.timers.next_due_ns
    return NEVER if due_ns is None else due_ns


class PhysicalCpu:
    """Runs domains by turns, to the end of each."""

    def __init__(self) -> None:
        self.meeting = Meeting()
        """With CPUs whose domains can reach those of this one."""
        self._is_calling = False
        """Whose turn it is waits for a meeting."""
        self._ended: list[Member] = []
        """Domains that have ended, which others must hear of."""
        self.queue = CreditScheduler()
        self.members: list[Member] = []
        self.current: Runner | None = None
        self._now_ns = 0
        self._preempt_at_ns = self._turn_end_ns = NEVER
        self.limit_ns = NEVER
        """Where the clock stops for now."""
        self._handovers = Handovers()

    def now(self) -> int:
        """Virtual time, in nanoseconds."""
        return self._now_ns if self.current is None else self.current.vcpu.virtual_ns

    def add(
        self, domain: Domain, vcpus: Sequence[Vcpu], account: Account, *,
        on_kick: Callable[[], Ending | None], drain_trace: Callable[[Vcpu], Callable[[], None]],
        on_turn: Callable[[int, int], object] = lambda vcpu_id, steal_ns: None,
    ) -> Member:  # fmt: skip
        """A domain comes: its first vCPU runs, the others are down.

        `on_turn` is told which vCPU begins a turn, and how much time has been stolen from it so far.
        """
        member = Member(domain, account, self, on_kick, on_turn, domain.notify)
        for vcpu in vcpus:
            turn, native = Turn(domain, vcpu, on_kick, drain_trace(vcpu)), getattr(vcpu, "runner", None)
            member.runners.append(Runner(account, member=member, vcpu=vcpu, turn=turn, native=native))
        domain.scheduling = member
        self.admit(member)
        return member

    def admit(self, member: Member) -> None:
        """A domain's first vCPU begins to take turns."""
        self._connect(member)
        for runner in member.runners:
            if runner.native is not None:
                self._handovers.join(runner)
        self.members.append(member)
        self.queue.add(member.account)
        self.make_runnable(member.runners[0])

    def _connect(self, member: Member) -> None:
        """Hear of new deadlines, and of events."""
        domain, vcpus = member.domain, [runner.vcpu for runner in member.runners]
        deliver = member.deliver

        def on_change() -> None:
            due_ns = domain.timers.next_due_ns
            member.due_ns = NEVER if due_ns is None else due_ns
            for vcpu in vcpus:
                vcpu.set_deadline(due_ns)
            self._handovers.is_due_at(member.due_ns)
            if self.current is not None and self.current.member is not member:
                self._set_slice(self.current)

        def notify(vcpu: Vcpu) -> None:
            deliver(vcpu)
            if vcpu.has_event:
                self.wake(member.runners[vcpu.vcpu_id])

        domain.timers.now = self.now
        domain.timers.on_change = on_change
        domain.notify = notify
        member.catch_up()
        on_change()

    def _disconnect(self, member: Member) -> None:
        """It is told of nothing more: others may still send it frames, and its vCPUs may be gone."""
        member.domain.timers.on_change = lambda: None
        member.domain.notify = lambda vcpu: None

    def run(self, limit_ns: int = NEVER) -> None:
        """Run until every domain has ended, or to a virtual time, or until it `must_meet`.

        Then it is to be called again. A turn goes on where it was: the stop changes nothing.
        """
        from pvisor.vmm.waiting import wait

        self.limit_ns = limit_ns
        if self.current is not None:
            self._go_on()
        while self.members and self.current is None and not self._ended and self._now_ns < limit_ns:
            runner = self.queue.pick(self._now_ns)
            if runner is not None:
                assert isinstance(runner, Runner)
                self._begin(runner)
                self._go_on()
            else:
                wait(self)

    @property
    def must_meet(self) -> bool:
        """Does something wait that concerns domains of other physical CPUs?"""
        return self._is_calling or bool(self._ended)

    def meet(self) -> None:
        """All CPUs have stopped, and the meeting is open: do what waits for that."""
        if self._is_calling:
            self._is_calling = False
            assert self.current is not None
            outcome = self.current.turn.answer()
            if outcome is not Outcome.RESUME and not (outcome is Outcome.YIELD and self.queue.is_empty):
                self._end_turn(outcome, is_kicked=False)
        ended, self._ended = self._ended, []
        for member in ended:
            member.on_end()

    def _begin(self, runner: Runner) -> None:
        """A turn begins."""
        begin_ns = self._now_ns
        runner.vcpu.skip_to(begin_ns)
        stolen_ns = begin_ns - runner.since_ns
        runner.steal_ns += stolen_ns
        runner.member.on_turn(runner.vcpu.vcpu_id, runner.steal_ns)
        runner.state, runner.since_ns = VcpuState.RUNNING, begin_ns
        if runner.native is not None:
            runner.native.since_ns = begin_ns
            if stolen_ns:
                runner.native.steal_ns = runner.steal_ns
        self.current, self._preempt_at_ns = runner, NEVER

    def _go_on(self) -> None:
        """A turn, and those that follow it by handovers, to the end or as far as may be."""
        try:
            outcome, is_kicked = self._turn()
        except BaseException:
            self._leave()
            raise
        if outcome is not None:
            self._end_turn(outcome, is_kicked)

    def _leave(self) -> Runner:
        """Nobody runs now, but who did."""
        runner, self.current = self.current, None
        assert runner is not None
        self._now_ns = runner.vcpu.virtual_ns
        return runner

    def _end_turn(self, outcome: Outcome, is_kicked: bool) -> None:
        runner = self._leave()
        self._charge(runner, self._now_ns - runner.since_ns)
        self._decided(runner, outcome)
        if is_kicked:
            self.hear_kicks()
        self._run_others_due()

    def _charge(self, runner: Runner, ran_ns: int) -> None:
        """It has run."""
        self.queue.charge(runner, ran_ns)
        runner.run_ns += ran_ns
        runner.member.n_unheard = 0

    def _turn(self) -> tuple[Outcome | None, bool]:
        """A turn to its end, through the deadlines of others; and whether a kick has ended it.

        The outcome is None where the turn has only stopped, and will go on.
        """
        runner = self.current
        assert runner is not None
        while True:
            self._set_slice(runner)
            outcome = runner.turn.run()
            while outcome is None or (outcome is Outcome.YIELD and self.queue.is_empty):
                seen = None
                if outcome is None:
                    seen = runner.turn.left_over
                    runner = self._catch_up_with_handovers()
                outcome = runner.turn.run(seen)
            if outcome is Outcome.MEET:
                self._is_calling = True
                return None, False
            vcpu = runner.vcpu
            is_kicked = vcpu.exit.reason == ExitReason.KICK
            if outcome is not Outcome.RESUME or is_kicked or vcpu.virtual_ns >= self._turn_end_ns:
                return outcome, is_kicked
            if vcpu.virtual_ns >= runner.member.look_ns and runner.member.look():
                return Outcome.STOP, False
            self._run_others_due()
            if self._ended or vcpu.virtual_ns >= self.limit_ns:
                return None, False

    def _catch_up_with_handovers(self) -> Runner:
        """Turns have ended and begun, or a vCPU was woken, without Python: who runs now."""
        handovers = self._handovers
        current, has_turned = handovers.current(), False
        for runner, ran_ns in handovers.take_ended():
            self._charge(runner, ran_ns)
            runner.state, runner.steal_ns, has_turned = VcpuState.BLOCKED, int(runner.native.steal_ns), True
        if has_turned:
            current.vcpu.raise_error()  # type: ignore[attr-defined]
            last, last_ns = handovers.last_turn()
            credit_ns = current.account.credit_ns + (last_ns if last.account is current.account else 0)
            current.state, current.is_boosted = VcpuState.RUNNING, credit_ns > 0
            current.since_ns, current.steal_ns = int(current.native.since_ns), int(current.native.steal_ns)
            self.current, self._preempt_at_ns = current, NEVER
        woken = handovers.take_woken()
        if woken is not None:
            self.wake(woken)
            woken.since_ns = int(woken.native.since_ns)
        self._set_slice(current)
        return current

    def _decided(self, runner: Runner, outcome: Outcome) -> None:
        member = runner.member
        if outcome is Outcome.STOP or member.domain.ending is not None:
            self.remove(member)
            return
        member.due_ns = _due_ns(member.domain)
        if runner.state is VcpuState.DOWN:
            return
        if outcome is Outcome.BLOCK and not runner.vcpu.has_event:
            runner.state = VcpuState.BLOCKED
            if runner.native is not None:
                runner.native.is_asleep = 1
            member.domain.console.flush()
        else:
            self.make_runnable(runner, yielded=outcome is Outcome.YIELD)

    def _run_others_due(self) -> None:
        """Deadlines of domains whose turn it is not."""
        now_ns, mine = self.now(), self.current and self.current.member
        for member in [one for one in self.members if one.due_ns <= now_ns and one is not mine]:
            member.catch_up()
            member.run_due()
            if member.domain.ending is not None:
                self.remove(member)

    def hear_kicks(self) -> None:
        """A kick may be meant for a domain that does not run."""
        for member in list(self.members):
            ending = member.on_kick()
            if ending is not None:
                member.domain.end(ending)
                self.remove(member)

    def remove(self, member: Member) -> None:
        """A domain has ended: it goes."""
        member.domain.console.flush()
        if member in self.members:
            member.catch_up()
            self.members.remove(member)
            self.queue.remove(member.account)
            self._disconnect(member)
            for runner in member.runners:
                runner.state = VcpuState.DOWN
                if runner.native is not None:
                    self._handovers.leave(runner)
            if self.meeting.is_open:
                member.on_end()
            else:
                self._ended.append(member)

    @property
    def busy_at_ns(self) -> int:
        """When there is something to do here; beyond END_OF_TIME_NS: never, unless somebody outside acts."""
        from pvisor.vmm.waiting import next_due_ns, somebody_can_run

        if self.current is not None:
            return self.now()
        return self._now_ns if somebody_can_run(self) else max(self._now_ns, next_due_ns(self))

    def end_all(self) -> None:
        """Nothing can wake any of the domains."""
        for member in list(self.members):
            member.domain.end(IDLE)
            self.remove(member)

    def advance(self, now_ns: int) -> None:
        """While nobody can run: it is later now."""
        self._now_ns = max(self._now_ns, now_ns)
        for member in self.members:
            member.catch_up()

    def set_forward(self, by_ns: int) -> None:
        """Between two calls of `run`: it is later by so much, for a vCPU in the midst of its turn as well."""
        if self.current is None:
            self.advance(self._now_ns + by_ns)
        else:
            self.current.vcpu.skip_to(self.now() + by_ns)

    def wake(self, runner: Runner) -> None:
        """A blocked vCPU goes on."""
        if runner.state is not VcpuState.BLOCKED:
            return
        if runner.native is not None:
            runner.native.is_asleep = 0
        self.make_runnable(runner, woken=True)
        current = self.current
        after_ns = None if current is None else self.queue.preempts_after_ns(runner, current)
        if current is not None and after_ns is not None:
            self._preempt_at_ns = current.since_ns + after_ns
            self._set_slice(current)

    def make_runnable(self, runner: Runner, *, woken: bool = False, yielded: bool = False) -> None:
        """It waits for its turn from now on."""
        runner.state, runner.since_ns = VcpuState.RUNNABLE, self.now()
        self.queue.enqueue(runner, woken=woken, yielded=yielded)
        if self.current is not None:
            self._set_slice(self.current)

    def _set_slice(self, runner: Runner) -> None:
        """When the turn of who runs ends: by its slice, for one that was woken, for others' deadlines."""
        slice_ns, mine = self.queue.slice_ns(runner), runner.member
        if slice_ns is not None:
            slice_ns -= vary(mine.domain.timers.seed, runner.since_ns, slice_ns // 2 + 1)
        end_ns = NEVER if slice_ns is None else runner.since_ns + slice_ns
        end_ns = self._turn_end_ns = min(end_ns, self._preempt_at_ns)
        end_ns = min(end_ns, self.limit_ns, mine.look_ns)
        stop_ns = self.queue.period_end_ns
        for member in self.members:
            due_ns = member.due_ns
            if due_ns < stop_ns:
                stop_ns = due_ns
            if due_ns < end_ns and member is not mine:
                end_ns = due_ns
        runner.vcpu.set_slice(None if end_ns == NEVER else end_ns)
        if runner.native is not None:
            self._handovers.bound(self.queue.n_waiting, stop_ns if stop_ns < end_ns else end_ns)
