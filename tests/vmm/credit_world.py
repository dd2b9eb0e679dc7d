# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks that only take time, on a credit scheduler, by a clock of their own: the policy with nothing else."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from pvisor.vmm.credit import Account, CreditScheduler, Entity

NEVER = 1 << 62


@dataclass(eq=False)
class Task(Entity):
    """Runs for `burst_ns`, then sleeps for `sleep_ns`, and so on; without a sleep it is a hog."""

    burst_ns: int = NEVER
    sleep_ns: int = 0
    ran_ns: int = 0
    left_ns: int = 0
    woken_at: int = 0
    latencies: list[int] = field(default_factory=list)
    """How long after each wake-up it came to run."""
    turns: list[int] = field(default_factory=list)
    """How long each of its turns was."""


@dataclass
class Run:
    """One CPU. It does what PhysicalCpu does with a scheduler, in as few lines as it can."""

    queue: CreditScheduler = field(default_factory=CreditScheduler)
    now_ns: int = 0
    idle_ns: int = 0
    _asleep: list[tuple[int, int, Task]] = field(default_factory=list)
    _n: int = 0

    def account(self, weight: int = 256, cap_percent: int = 0) -> Account:
        """A domain comes."""
        account = Account(weight, cap_percent)
        self.queue.add(account)
        return account

    def task(self, account: Account, burst_ns: int = NEVER, sleep_ns: int = 0) -> Task:
        """A task of a domain, ready to run."""
        task = Task(account, burst_ns=burst_ns, sleep_ns=sleep_ns, left_ns=burst_ns, woken_at=self.now_ns)
        self.queue.enqueue(task)
        return task

    def hog(self, weight: int = 256, cap_percent: int = 0) -> Task:
        """A domain of one task that always wants to run."""
        return self.task(self.account(weight, cap_percent))

    def sleeper(self, burst_ns: int, sleep_ns: int, weight: int = 256) -> Task:
        """A domain of one task that runs and sleeps by turns."""
        return self.task(self.account(weight), burst_ns, sleep_ns)

    def run(self, ns: int) -> None:
        """Let time pass."""
        end_ns = self.now_ns + ns
        while self.now_ns < end_ns:
            self._wake(None)
            picked = self.queue.pick(self.now_ns)
            if picked is None:
                self._idle(end_ns)
            else:
                assert isinstance(picked, Task)
                self._turn(picked, end_ns)

    def _turn(self, task: Task, end_ns: int) -> None:
        since_ns, preempted_at_ns = self.now_ns, NEVER
        task.latencies.append(self.now_ns - task.woken_at)
        while True:
            slice_ns = self.queue.slice_ns(task)
            may_ns = task.left_ns if slice_ns is None else min(task.left_ns, slice_ns)
            stop_ns = min(end_ns, since_ns + may_ns)
            if self.now_ns >= min(stop_ns, preempted_at_ns):
                break
            self.now_ns = max(self.now_ns, min(stop_ns, preempted_at_ns, self._next_wake_ns()))
            after_ns = self._wake(task)
            preempted_at_ns = min(preempted_at_ns, since_ns + after_ns)
        ran_ns = self.now_ns - since_ns
        task.ran_ns += ran_ns
        task.left_ns -= ran_ns
        task.turns.append(ran_ns)
        self.queue.charge(task, ran_ns)
        if task.left_ns > 0:
            task.woken_at = self.now_ns
            self.queue.enqueue(task)
        else:
            task.left_ns = task.burst_ns
            heapq.heappush(self._asleep, (self.now_ns + task.sleep_ns, self._n, task))
            self._n += 1

    def _wake(self, running: Task | None) -> int:
        """Wake those whose time has come. How long the one that runs may run, because of them."""
        after_ns = NEVER
        while self._asleep and self._asleep[0][0] <= self.now_ns:
            task = heapq.heappop(self._asleep)[2]
            task.woken_at = self.now_ns
            self.queue.enqueue(task, woken=True)
            if running is not None:
                may_ns = self.queue.preempts_after_ns(task, running)
                after_ns = after_ns if may_ns is None else may_ns
        return after_ns

    def _next_wake_ns(self) -> int:
        return self._asleep[0][0] if self._asleep else NEVER

    def _idle(self, end_ns: int) -> None:
        parked_ns = self.queue.parked_until_ns
        until_ns = min(end_ns, self._next_wake_ns(), NEVER if parked_ns is None else parked_ns)
        assert until_ns > self.now_ns, "nobody runs, and nothing will come"
        self.idle_ns += until_ns - self.now_ns
        self.now_ns = until_ns
