# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about time."""

from __future__ import annotations

from pvisor.abi.errnos import EFAULT, EINVAL
from pvisor.abi.features import TIMERS
from pvisor.abi.model import Constant, Hypercall, Struct, gva_out, u64

TIMERS_GROUP = "Timers"

TIMER_MIN_PERIOD_NS = Constant(
    "PV_TIMER_MIN_PERIOD_NS", 10_000, "shortest period of TIMER_PERIODIC, in nanoseconds", TIMERS_GROUP
)

CONSTANTS: tuple[Constant, ...] = (TIMER_MIN_PERIOD_NS,)

STRUCTS: tuple[Struct, ...] = ()

TIME_GET = Hypercall(
    nr=0x20,
    name="TIME_GET",
    summary="What time is it?",
    args=(gva_out("time", "where the answer goes", struct="pv_time"),),
    result="0",
    errors={EFAULT: "`time` does not point to 24 writable bytes; nothing has been written"},
    notes=(
        "System time is virtual: one retired instruction is one nanosecond, PAUSE waits 40 more, and exits "
        "cost nothing. Two runs of the same guest see the same times.",
        "The wall clock shows 2026-01-01T00:00:00Z at the start of the domain, unless pvisor is told "
        "another date, and goes at the same pace.",
        "`time` need not be aligned. Several calls in one domain see `system_ns` grow or stay, never shrink.",
    ),
    replaces="`RDTSC` (the TSC counts 1 GHz) for the time since the start; the real-time clock for the date",
    example="struct pv_time now;\nif (pv_time_get(&now) == 0)\n    use(now.system_ns);",
)

TIMER_ONCE = Hypercall(
    nr=0x21,
    name="TIMER_ONCE",
    summary="Let this virtual CPU's timer signal once.",
    args=(u64("due_ns", "when, in nanoseconds of system time; 0: not at all"),),
    result="0",
    feature=TIMERS,
    notes=(
        "At that time, or as soon after it as the virtual CPU can be told, PV_VIRQ_TIMER of the calling "
        "virtual "
        "CPU is signalled. While nothing is bound to it, the signal is lost.",
        "A time that has passed signals at once, when the call returns.",
        "Each virtual CPU has one such timer, and one of TIMER_PERIODIC beside it. Setting it replaces what "
        "was "
        "set. A signal that was already given stays.",
        "VCPU_DOWN stops both.",
    ),
    replaces="channel 0 of the 8254 at I/O ports 0x40 and 0x43, or the local APIC's timer at 0xfee00380",
    example="pv_timer_once(now_ns + 1000000); /* in a millisecond */",
)

TIMER_PERIODIC = Hypercall(
    nr=0x22,
    name="TIMER_PERIODIC",
    summary="Let this virtual CPU's timer signal again and again.",
    args=(u64("period_ns", "each how many nanoseconds, at least `PV_TIMER_MIN_PERIOD_NS`; 0: no more"),),
    result="0",
    errors={EINVAL: "`period_ns` is not 0 and less than `PV_TIMER_MIN_PERIOD_NS`, or beyond 2^62"},
    feature=TIMERS,
    notes=(
        "The first signal comes one period after the call; the others at multiples of it, so that errors do "
        "not "
        "add up.",
        "Signals are not counted: a guest that was away for several periods finds one.",
    ),
    replaces="channel 0 of the 8254 in mode 2, whose interrupt comes 18.2 to 1193182 times a second",
    example="pv_timer_periodic(10000000); /* 100 Hz */",
)

CALLS: tuple[Hypercall, ...] = (TIME_GET, TIMER_ONCE, TIMER_PERIODIC)
