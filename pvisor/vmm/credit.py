# SPDX-License-Identifier: GPL-2.0-or-later
"""The credit scheduler: who runs next on a physical CPU, and for how long.

Each domain has an account. At the begin of each period of virtual time the active domains share the period
out as credit, by weight; running burns it, a nanosecond for a nanosecond. Who has most credit goes first, and
among equals turns go round. Whoever was woken with credit left goes before all, because it will soon sleep
again (Xen's schedulers have the same parts: BOOST in xen/common/sched/credit.c, the order in credit2.c). No
time is wasted while somebody can run, unless it has used up its cap.

Credit is bounded: what an account cannot take any more, because its domain sleeps much or has a cap, goes to
the others by weight. And all credit together is one period: who ran while nobody else wanted to owes nothing
for it.

It has no clock of its own and knows no vCPU: it is told the time, and deals in entities.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

PERIOD_NS = 10_000_000
SLICE_NS = 1_000_000
RATE_LIMIT_NS = 100_000
"""Who has just begun to run is not preempted by one that wakes: switching would cost more than waiting."""
SAVED_NS = 3 * SLICE_NS
"""What an account may have beside its share of a period: so it gets later what turns of others cost it."""
DEFAULT_WEIGHT = 256
MIN_WEIGHT, MAX_WEIGHT = 1, 65535
_FIRST, _LAST = -(1 << 62), 1 << 62


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
    def allowance_ns(self) -> int:
        """How long it may run in a period."""
        return PERIOD_NS * self.cap_percent // 100 if self.cap_percent else PERIOD_NS

    @property
    def left_ns(self) -> int | None:
        """How long it may still run in this period, or None without a cap."""
        return max(0, self.allowance_ns - self.used_ns) if self.cap_percent else None

    @property
    def is_parked(self) -> bool:
        """Has it used up its cap?"""
        return self.left_ns == 0


@dataclass(slots=True, eq=False)
class Entity:
    """What takes turns: a vCPU."""

    account: Account
    is_boosted: bool = False
    has_yielded: bool = False
    is_queued: bool = False


@dataclass(slots=True)
class CreditScheduler:
    """The run queue of one physical CPU. The entity that runs is not in it."""

    period_end_ns: int = PERIOD_NS
    _accounts: list[Account] = field(default_factory=list)
    _queue: deque[Entity] = field(default_factory=deque)

    @property
    def is_empty(self) -> bool:
        """Does nobody wait for a turn?"""
        return not self._queue

    def add(self, account: Account) -> None:
        """A domain comes. It begins with its share of a period, and no other has more than its own then."""
        account.credit_ns = PERIOD_NS
        self._accounts.append(account)
        total = sum(one.weight for one in self._accounts)
        for one in self._accounts:
            one.credit_ns = min(one.credit_ns, PERIOD_NS * one.weight // total)

    def remove(self, account: Account) -> None:
        """A domain goes, with its entities."""
        self._accounts.remove(account)
        for entity in [one for one in self._queue if one.account is account]:
            self.dequeue(entity)

    def enqueue(self, entity: Entity, *, woken: bool = False, yielded: bool = False) -> None:
        """It can run: behind all others with as much credit. `woken`: it has been asleep.

        `yielded`: one of the others, if there is one that can, runs before it.
        """
        if entity.is_queued:
            return
        entity.is_queued = True
        entity.is_boosted = woken and entity.account.credit_ns > 0
        entity.has_yielded = yielded
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
        if not self._queue:
            return None
        best, best_rank = None, _LAST
        for entity in self._queue:
            account = entity.account
            if account.cap_percent and account.is_parked:
                continue
            rank = _FIRST if entity.is_boosted else _LAST if entity.has_yielded else -account.credit_ns
            if best is None or rank < best_rank:
                best, best_rank = entity, rank
        if best is not None:
            self._queue.remove(best)
            self._leave(best)
            for entity in self._queue:
                entity.has_yielded = False
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

    def preempts_after_ns(self, woken: Entity, running: Entity) -> int | None:
        """How long the one that runs may run, now that another was woken; None: as long as before."""
        return RATE_LIMIT_NS if woken.is_boosted and not running.is_boosted else None

    @property
    def n_waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    @property
    def parked_until_ns(self) -> int | None:
        """When somebody who can run, but has used up a cap, may run again; None: nobody has."""
        return self.period_end_ns if self._queue else None

    def advance(self, now_ns: int) -> None:
        """Begin the periods that have come. Those in which nobody ran give nothing."""
        if now_ns < self.period_end_ns:
            return
        n_periods = 1 + (now_ns - self.period_end_ns) // PERIOD_NS
        self.period_end_ns += n_periods * PERIOD_NS
        _share_out([one for one in self._accounts if one.used_ns or one.n_runnable])
        for account in self._accounts:
            left_over_ns = account.used_ns - n_periods * account.allowance_ns
            account.used_ns = max(0, left_over_ns) if account.cap_percent else 0

    def _leave(self, entity: Entity) -> None:
        entity.is_queued = False
        entity.account.n_runnable -= 1


def _share_out(active: list[Account]) -> None:
    """Give out credit by weight, until all of them have a period together or each has its most."""
    pool_ns = PERIOD_NS - sum(one.credit_ns for one in active)
    total = sum(one.weight for one in active)
    most_ns = {id(one): PERIOD_NS * one.weight // total + SAVED_NS for one in active}
    while active and pool_ns > 0:
        total = sum(one.weight for one in active)
        full = [one for one in active if one.credit_ns + pool_ns * one.weight // total >= most_ns[id(one)]]
        for one in full:
            pool_ns -= most_ns[id(one)] - one.credit_ns
            one.credit_ns = most_ns[id(one)]
        if not full:
            for one in active:
                one.credit_ns += pool_ns * one.weight // total
            return
        active = [one for one in active if one not in full]
