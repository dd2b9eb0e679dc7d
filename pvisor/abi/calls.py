# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypercalls. Begin reading pvisor here.

One row a call, and the row is the contract: number, arguments, result, every error with its cause, and what
a fully virtualized guest does in its stead. C headers, wrappers, the reference in hypercalls.md and the
hypervisor's own dispatch come from these rows. To add a call: write its row, put it into CALLS, run `make
gen`, and let the tests tell you what is missing. A number is never used for anything else, even when its
call is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pvisor.abi.errnos import EFAULT, EINVAL, ENOSYS
from pvisor.abi.model import Area, Hypercall, gva_in, gva_out, u32, u64

#: Where a call's arguments and result travel.
ARG_REGISTERS: tuple[str, ...] = ("RDI", "RSI", "RDX", "R10", "R8")
RESULT_REGISTER = "RAX"
CLOBBERED_REGISTERS: tuple[str, ...] = ("RCX", "R11")

AREAS: tuple[Area, ...] = (
    Area(0x00, "The ABI itself", "What is offered here, and what a call costs."),
    Area(0x10, "Console", "Bytes to and from the domain's console."),
    Area(0x20, "Time", "The clock."),
    Area(0x30, "CPU and power", "Giving the CPU away, and ending."),
)

ABI_VERSION = Hypercall(
    nr=0x00,
    name="ABI_VERSION",
    summary="Which version of the ABI is this?",
    args=(),
    result="the ABI version, `PV_ABI_VERSION` or greater",
    replaces="`CPUID` (leaf 0x40000001), which traps or is intercepted",
    example="if (pv_abi_version() < PV_ABI_VERSION)\n    return 1;",
)

FEATURES = Hypercall(
    nr=0x01,
    name="FEATURES",
    summary="Which features are offered?",
    args=(u32("word", "which 64 feature bits: 0 for features 0 to 63, 1 for the next 64, and so on"),),
    result="the 64 bits of that word; 0 for a word that no feature has reached yet",
    errors={EINVAL: "`word` has bits above bit 31"},
    notes=(
        "The result is a bit set and uses all 64 bits, except that bit 63 of every word stays 0: a negative "
        "result is always an error.",
        "Word 0 is the same as CPUID leaf 0x40000002 and `pv_start_info.features`.",
    ),
    replaces="`CPUID` (leaf 0x40000002), which traps or is intercepted",
    example="if (pv_features(0) & PV_FEATURE_CONSOLE_INPUT)\n    puts_prompt();",
)

NOOP = Hypercall(
    nr=0x02,
    name="NOOP",
    summary="Do nothing, and return.",
    args=(),
    result="0",
    notes=("It exists to be measured: it is what entering and leaving the hypervisor costs.",),
    replaces="`CLI` or `STI`: the cheapest instruction that exits",
    example="for (int i = 0; i < 1000; i++)\n    pv_noop();",
)

CONSOLE_WRITE = Hypercall(
    nr=0x10,
    name="CONSOLE_WRITE",
    summary="Write bytes to the console.",
    args=(
        gva_in("buffer", "the bytes"),
        u64("size_bytes", "how many"),
    ),
    result="how many bytes were written: the lesser of `size_bytes` and `PV_CONSOLE_WRITE_MAX`",
    errors={EFAULT: "one of the bytes that would be written is not readable; nothing has been written"},
    notes=(
        "Only the bytes that one call takes are checked: at most `PV_CONSOLE_WRITE_MAX`. A longer text "
        "takes several calls.",
        "With `size_bytes` 0 the result is 0 and `buffer` is not looked at.",
        "Bytes go out as they are: no newline is added, none is translated.",
        "When the call returns the bytes have left the guest; the buffer may be used again.",
    ),
    replaces="the 16550 UART at I/O port 0x3f8: an `IN` for the line status, then an `OUT` a byte",
    example=(
        'static const char text[] = "hello\\n";\n'
        "if (pv_console_write(text, sizeof text - 1) < 0)\n"
        "    give_up();"
    ),
)

CONSOLE_READ = Hypercall(
    nr=0x11,
    name="CONSOLE_READ",
    summary="Read bytes that have arrived on the console.",
    args=(
        gva_out("buffer", "where they go"),
        u64("size_bytes", "how many at most"),
    ),
    result="how many bytes were read, at most `PV_CONSOLE_READ_MAX`; 0 when there are none now",
    errors={
        EFAULT: "the first `size_bytes` bytes of the buffer (at most `PV_CONSOLE_READ_MAX`) are not all "
        "writable; no input has been consumed",
        ENOSYS: "the feature CONSOLE_INPUT is not offered",
    },
    notes=(
        "It never waits. That there is nothing now does not mean that nothing will come: ABI 1 does not "
        "tell a guest when input has ended.",
        "The whole range is checked, whether there is input or not.",
        "With `size_bytes` 0 the result is 0 and `buffer` is not looked at.",
    ),
    replaces="the 16550 UART at I/O port 0x3f8: an `IN` for the line status, then an `IN` a byte",
    example="unsigned char key;\nif (pv_console_read(&key, 1) == 1)\n    handle(key);",
)

TIME_GET = Hypercall(
    nr=0x20,
    name="TIME_GET",
    summary="What time is it?",
    args=(gva_out("time", "where the answer goes", struct="pv_time"),),
    result="0",
    errors={EFAULT: "`time` does not point to 24 writable bytes; nothing has been written"},
    notes=(
        "System time is virtual: one retired instruction is one nanosecond, and exits cost nothing. Two "
        "runs of the same guest see the same times.",
        "The wall clock shows 2026-01-01T00:00:00Z at the start of the domain, unless pvisor is told "
        "another date, and goes at the same pace.",
        "`time` need not be aligned. Several calls in one domain see `system_ns` grow or stay, never shrink.",
    ),
    replaces="`RDTSC` (the TSC counts 1 GHz) for the time since the start; the real-time clock for the date",
    example="struct pv_time now;\nif (pv_time_get(&now) == 0)\n    use(now.system_ns);",
)

YIELD = Hypercall(
    nr=0x30,
    name="YIELD",
    summary="Give the CPU away for a while.",
    args=(),
    result="0",
    notes=("It may return at once. It is a wish, not a wait: never build a lock on it alone.",),
    replaces="`PAUSE`, or nothing: a fully virtualized guest has no way to say it",
    example="while (!done)\n    pv_yield();",
)

BLOCK = Hypercall(
    nr=0x31,
    name="BLOCK",
    summary="Sleep until an event arrives.",
    args=(),
    result="0, after an event",
    may_block=True,
    notes=(
        "ABI 1 has no source of events. A domain that blocks can never be woken: it ends, and `pvisor run` "
        "gives status 124.",
    ),
    replaces="`HLT`, which traps",
    example="pv_block();",
)

SHUTDOWN = Hypercall(
    nr=0x32,
    name="SHUTDOWN",
    summary="End the domain.",
    args=(
        u32("reason", "one of `PV_SHUTDOWN_POWEROFF`, `PV_SHUTDOWN_REBOOT`, `PV_SHUTDOWN_CRASH`"),
        u32("status", "how it went: 0 for well. Only POWEROFF hands it on"),
    ),
    result="none: the call returns only with an error",
    errors={EINVAL: "`reason` is none of those, or an argument has bits above bit 31; the domain goes on"},
    notes=(
        "POWEROFF with status 0 ends `pvisor run` with exit status 0; with another status `s`, with `((s << "
        "1) | 1) & 255`.",
        "REBOOT ends the run of today's pvisor with exit status 0.",
        "CRASH prints a crash report and ends the run with exit status 134.",
    ),
    replaces="`OUT` of 0x2000 to I/O port 0x604 (power off), `OUT` of the status to I/O port 0xf4",
    example="pv_shutdown(PV_SHUTDOWN_POWEROFF, 0);",
)

CALLS: tuple[Hypercall, ...] = (
    ABI_VERSION, FEATURES, NOOP,
    CONSOLE_WRITE, CONSOLE_READ,
    TIME_GET,
    YIELD, BLOCK, SHUTDOWN,
)  # fmt: skip

_BY_NUMBER: Mapping[int, Hypercall] = MappingProxyType({call.nr: call for call in CALLS})
_BY_SPELLING: Mapping[str, Hypercall] = MappingProxyType(
    {spelling: call for call in CALLS for spelling in (call.name, call.handler, call.macro, call.wrapper)}
)


def by_number(nr: int) -> Hypercall | None:
    """The call with this number, or None."""
    return _BY_NUMBER.get(nr)


def by_name(name: str) -> Hypercall | None:
    """The call of this name in any of its four spellings, or None."""
    return _BY_SPELLING.get(name)


def area_of(call: Hypercall) -> Area:
    """The area that a call's number lies in."""
    return max((area for area in AREAS if area.base <= call.nr), key=lambda area: area.base)
