# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases of time: what a clock shows, and timers that signal."""

from __future__ import annotations

from pvisor.abi.areas import events, power, time
from pvisor.abi.errnos import EFAULT, EINVAL, ETIME
from pvisor.abi.layout import offsetof
from tests.conformance.case import U32, At, Case, Data, Peek, Poke, Start, Step, Value
from tests.conformance.rows import C, D

MS = 1_000_000
MIN_PERIOD, MAX_PERIOD = time.TIMER_MIN_PERIOD_NS.number, 1 << 62
INVALID, TIME_OVER = -EINVAL.number, -ETIME.number
BIND = Step(events.EVENT_BIND_VIRQ, (events.VIRQ_TIMER.number, 0), 1)
"""The timer signals port 1."""
PORT_1 = Data(U32(1))
PENDING = Start("shared_info", offsetof("pv_shared_info", "pending"))
VCPU = offsetof("pv_shared_info", "vcpu")


def wait(due_ns: int = 0, result: int = 0) -> Step:
    """POLL for the timer's port."""
    return Step(power.POLL, (PORT_1, 1, due_ns), result)


def of_vcpu(member: str) -> Start:
    """A member of virtual CPU 0's part of the shared page."""
    return Start("shared_info", VCPU + offsetof("pv_vcpu_info", member))


def periodic(id: str, period_ns: Value, result: int) -> Case:
    """TIMER_PERIODIC alone."""
    return Case(f"timer-periodic-{id}", (Step(time.TIMER_PERIODIC, (period_ns,), result),))


CASES: tuple[Case, ...] = (
    Case("timer-off", (Step(time.TIMER_ONCE, (0,)), Step(time.TIMER_PERIODIC, (0,)))),
    Case("timer-far", (Step(time.TIMER_ONCE, ((1 << 64) - 1,)), Step(time.TIMER_ONCE, (1 << 63,)))),
    Case("timer-signals", (
        BIND, Step(time.TIMER_ONCE, (MS,)), Peek(PENDING, 8, 0), wait(), Peek(PENDING, 8, 2),
    )),
    Case("timer-of-the-past-signals-at-once", (BIND, Step(time.TIMER_ONCE, (1,)), wait())),
    Case("timer-signals-once", (
        BIND, Step(time.TIMER_ONCE, (MS,)), wait(), Poke(PENDING, 8, 0), wait(3 * MS, TIME_OVER),
    )),
    Case("timer-is-replaced", (
        BIND, Step(time.TIMER_ONCE, (MS,)), Step(time.TIMER_ONCE, (5 * MS,)), wait(2 * MS, TIME_OVER),
        wait(6 * MS),
    )),
    Case("timer-is-cancelled", (
        BIND, Step(time.TIMER_ONCE, (MS,)), Step(time.TIMER_ONCE, (0,)), wait(2 * MS, TIME_OVER),
    )),
    Case("timer-that-nobody-has-bound", (
        Step(time.TIMER_ONCE, (MS,)), Step(power.POLL, (0, 0, 2 * MS), TIME_OVER),
    )),
    Case("timer-wakes", (
        BIND, Step(events.EVENT_UNMASK, (1,)), Step(time.TIMER_ONCE, (MS,)), Step(power.BLOCK),
        Peek(PENDING, 8, 2), Peek(of_vcpu("upcall_pending"), 1, 1), Peek(of_vcpu("upcall_mask"), 1, 0),
    )),
    Case("timer-periodic-again-and-again", (
        BIND, Step(time.TIMER_PERIODIC, (MS,)), wait(), Poke(PENDING, 8, 0), wait(), Poke(PENDING, 8, 0),
        wait(), Step(time.TIMER_PERIODIC, (0,)), Poke(PENDING, 8, 0), wait(20 * MS, TIME_OVER),
    )),
    Case("timer-both-kinds", (
        BIND, Step(time.TIMER_PERIODIC, (10 * MS,)), Step(time.TIMER_ONCE, (MS,)), wait(2 * MS),
        Poke(PENDING, 8, 0), wait(9 * MS, TIME_OVER), wait(11 * MS),
    )),
    periodic("shortest", MIN_PERIOD, 0),
    periodic("too-short", MIN_PERIOD - 1, INVALID),
    periodic("of-one", 1, INVALID),
    periodic("longest", MAX_PERIOD, 0),
    periodic("too-long", MAX_PERIOD + 1, INVALID),
    periodic("all-ones", (1 << 64) - 1, INVALID),
    Case("timer-bad-period-leaves-the-good", (
        BIND, Step(time.TIMER_PERIODIC, (MS,)), Step(time.TIMER_PERIODIC, (1,), INVALID), wait(),
    )),
    Case("time-of-bad-places", (
        Step(time.TIME_GET, (At(D - 8),), -EFAULT.number), Step(time.TIME_GET, (At(C),), -EFAULT.number),
    )),
    Case("time-page", (
        Peek(of_vcpu("tsc_at"), 8, 0), Peek(of_vcpu("system_ns"), 8, 0), Peek(of_vcpu("steal_ns"), 8, 0),
    )),
)  # fmt: skip
