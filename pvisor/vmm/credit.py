# SPDX-License-Identifier: GPL-2.0-or-later
"""The credit scheduler: who runs next on a physical CPU, and for how long.

Each domain has an account. At the begin of each period of virtual time the active domains share the period
out as credit, by weight; running burns it, a nanosecond for a nanosecond. Who has credit goes before who has
none; whoever was woken with credit left goes before both, because it will soon sleep again (Xen's credit
scheduler calls the three UNDER, OVER and BOOST: xen/common/sched/credit.c). Within a class turns go round. No
time is wasted while somebody can run, unless it has used up its cap.

It has no clock of its own and knows no vCPU: it is told the time, and deals in entities.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

PERIOD_NS = 10_000_000
SLICE_NS = 1_000_000
RATE_LIMIT_NS = 100_000
"""Who has just begun to run is not preempted by one that wakes: switching would cost more than waiting."""
DEFAULT_WEIGHT = 256
MIN_WEIGHT, MAX_WEIGHT = 1, 65535


@dataclass(slots=True, eq=False)
class Account:
    """A domain's: `weight` is its share; `cap_percent` is the most of the CPU that it gets, 0 for all."""

    weight: int = DEFAULT_WEIGHT
    cap_percent: int = 0
    credit_ns: int = 0
    used_ns: int = 0
    """In this period."""
    n_runnable: int = 0

    @property
    def left_ns(self) -> int | None:
        """How long it may still run in this period, or None without a cap."""
        return max(0, PERIOD_NS * self.cap_percent // 100 - self.used_ns) if self.cap_percent else None

    @property
    def is_parked(self) -> bool:
        """Has it used up its cap?"""
        return self.left_ns == 0


@dataclass(slots=True, eq=False)
class Entity:
    """What takes turns: a vCPU."""

    account: Account
    is_boosted: bool = False
    is_queued: bool = False


@dataclass(slots=True)
class CreditScheduler:
    """The run queue of one physical CPU. The entity that runs is not in it."""

    period_end_ns: int = PERIOD_NS
    _accounts: list[Account] = field(default_factory=list)
    _queue: deque[Entity] = field(default_factory=deque)

    def add(self, account: Account) -> None:
        """A domain comes. It begins with its share, as if it had been there from the period's begin."""
        self._accounts.append(account)
        total = sum(one.weight for one in self._accounts)
        account.credit_ns = PERIOD_NS * account.weight // total

    def remove(self, account: Account) -> None:
        """A domain goes, with its entities."""
        self._accounts.remove(account)
        self._queue = deque(entity for entity in self._queue if entity.account is not account)

    def enqueue(self, entity: Entity, *, woken: bool = False) -> None:
        """It can run: behind all others of its class. `woken`: it has been asleep."""
        if entity.is_queued:
            return
        entity.is_queued = True
        entity.is_boosted = woken and entity.account.credit_ns > 0
        entity.account.n_runnable += 1
        self._queue.append(entity)

    def dequeue(self, entity: Entity) -> None:
        """It cannot run any more."""
        if entity.is_queued:
            self._queue.remove(entity)
            self._leave(entity)

    def pick(self, now_ns: int) -> Entity | None:
        """Take out who runs next; None when nobody can now."""
        self.advance(now_ns)
        best, best_class = None, 3
        for entity in self._queue:
            account = entity.account
            its_class = 0 if entity.is_boosted else 1 if account.credit_ns > 0 else 2
            if its_class < best_class and not (account.cap_percent and account.is_parked):
                best, best_class = entity, its_class
                if its_class == 0:
                    break
        if best is not None:
            self._queue.remove(best)
            self._leave(best)
        return best

    def charge(self, entity: Entity, ran_ns: int) -> None:
        """It has run."""
        entity.is_boosted = False
        entity.account.credit_ns -= ran_ns
        entity.account.used_ns += ran_ns

    def slice_ns(self, entity: Entity) -> int | None:
        """How long it may run at a stretch; None: until it stops by itself."""
        left_ns = entity.account.left_ns
        if self._queue:
            return SLICE_NS if left_ns is None else min(SLICE_NS, left_ns)
        return left_ns

    def preempts(self, woken: Entity, running: Entity, ran_ns: int) -> bool:
        """Should one that was just woken go before the one that runs?"""
        return woken.is_boosted and not running.is_boosted and ran_ns >= RATE_LIMIT_NS

    @property
    def parked_until_ns(self) -> int | None:
        """When somebody who can run, but has used up a cap, may run again; None: nobody has."""
        return self.period_end_ns if self._queue else None

    def advance(self, now_ns: int) -> None:
        """Begin the periods that have come. Those in which nobody ran give nothing."""
        if now_ns < self.period_end_ns:
            return
        active = [one for one in self._accounts if one.used_ns or one.n_runnable]
        total = sum(one.weight for one in active)
        n_periods = 1 + (now_ns - self.period_end_ns) // PERIOD_NS
        for account in active:
            share_ns = PERIOD_NS * account.weight // total
            account.credit_ns = min(account.credit_ns + n_periods * share_ns, share_ns)
            account.used_ns = max(0, account.used_ns - n_periods * PERIOD_NS) if account.cap_percent else 0
        self.period_end_ns += n_periods * PERIOD_NS

    def _leave(self, entity: Entity) -> None:
        entity.is_queued = False
        entity.account.n_runnable -= 1
