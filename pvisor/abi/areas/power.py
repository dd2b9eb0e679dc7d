# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls that give the CPU away, or end."""

from __future__ import annotations

from pvisor.abi.errnos import EBUSY, EFAULT, EINVAL, ENOENT, ETIME
from pvisor.abi.features import EVENTS, VCPUS
from pvisor.abi.model import Constant, CType, Field, Hypercall, Struct, gva_in, gva_out, u32, u64

VCPUS_GROUP = "Virtual CPUs"
POLL_GROUP = "Polling"

POLL_MAX = Constant("PV_POLL_MAX", 64, "most ports of one POLL", POLL_GROUP)
VCPU_DOWN_STATE = Constant("PV_VCPU_STATE_DOWN", 0, "it has not been started, or was stopped", VCPUS_GROUP)
VCPU_RUNNING = Constant("PV_VCPU_STATE_RUNNING", 1, "it makes this very call", VCPUS_GROUP)
VCPU_RUNNABLE = Constant("PV_VCPU_STATE_RUNNABLE", 2, "it waits for its turn", VCPUS_GROUP)
VCPU_BLOCKED = Constant("PV_VCPU_STATE_BLOCKED", 3, "it waits for an event", VCPUS_GROUP)

CONSTANTS: tuple[Constant, ...] = (
    POLL_MAX, VCPU_DOWN_STATE, VCPU_RUNNING, VCPU_RUNNABLE, VCPU_BLOCKED,
)  # fmt: skip

VCPU_CONTEXT = Struct(
    "pv_vcpu_context",
    "Where a virtual CPU begins.",
    (
        Field("rip", CType.GVA, "its first instruction"),
        Field("rsp", CType.GVA, "RSP there; 8 below a multiple of 16 for a C function"),
        Field("argument", CType.U64, "RDI there"),
        Field("reserved", CType.U64, "0"),
    ),
    grows=False,
)

VCPU_STATUS = Struct(
    "pv_vcpu_status",
    "What a virtual CPU does, as VCPU_QUERY gives it.",
    (
        Field("state", CType.U32, "PV_VCPU_STATE_..."),
        Field("reserved", CType.U32, "0"),
        Field("run_ns", CType.U64, "for how long it has run, in nanoseconds"),
        Field("steal_ns", CType.U64, "for how long it could have run while others did"),
    ),
    grows=False,
)

STRUCTS: tuple[Struct, ...] = (VCPU_CONTEXT, VCPU_STATUS)

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
    blocks="until an event is pending for this virtual CPU; for ever, if none comes",
    notes=(
        "It sets `upcall_mask` to 0 and looks whether an event is pending in one step, so an event between a "
        "guest's last look and this call is not lost.",
        "When it returns the upcall has been made. Where no entry is set (UPCALL_SET) it returns at once "
        "while "
        "an event is pending: clear `upcall_pending`, and look.",
        "A domain none of whose virtual CPUs can be woken by anything ends: `pvisor run` gives status 124. A "
        "hypervisor without the feature EVENTS has nothing that could wake it.",
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

POLL = Hypercall(
    nr=0x33,
    name="POLL",
    summary="Sleep until one of some ports is pending, or a time has come.",
    args=(
        gva_in("ports", "the ports: `n_ports` numbers of 32 bits"),
        u32("n_ports", "how many, at most `PV_POLL_MAX`; 0: wait for the time or an upcall only"),
        u64("due_ns", "until when at most, in nanoseconds of system time; 0: without a limit"),
    ),
    result="0 when a port is pending or an upcall was made",
    errors={
        EFAULT: "the ports are not all readable",
        EINVAL: "`n_ports` is greater than `PV_POLL_MAX` or has bits above bit 31; or a port is 0 or not "
        "below "
        "`PV_EVENT_PORTS`",
        ETIME: "the time came first",
    },
    blocks="until one of the ports is pending, an upcall can be made, or `due_ns`",
    feature=EVENTS,
    notes=(
        "Ports may be masked, and upcalls as well: this is the way to wait for a port without its handler.",
        "The pending bits are left as they are.",
        "A port that is pending at the time of the call makes it return at once.",
        "Masks are left as they are: unlike BLOCK it does not unmask upcalls.",
    ),
    replaces="reading a device's status register in a loop",
    example="uint32_t port = reply_port;\nif (pv_poll(&port, 1, now_ns + 1000000) == -PV_ETIME)\n    "
    "give_up();",
)

VCPU_UP = Hypercall(
    nr=0x34,
    name="VCPU_UP",
    summary="Start a virtual CPU.",
    args=(
        u32("vcpu_id", "which: 0 to `pv_start_info.n_vcpus` - 1"),
        gva_in("context", "where it begins", struct="pv_vcpu_context"),
    ),
    result="0",
    errors={
        EINVAL: "`rip` or `rsp` is not canonical or in the hole, `reserved` is not 0, or `vcpu_id` has bits "
        "above bit 31",
        ENOENT: "there is no such virtual CPU",
        EBUSY: "it is up",
        EFAULT: "`context` is not readable",
    },
    feature=VCPUS,
    notes=(
        "It begins in ring 1 with the start state's segments, flags and FPU, the caller's page tables, and "
        "all "
        "general registers 0 but for RIP, RSP and RDI. Its upcalls are masked.",
        "RSP is `rsp` itself: nothing is pushed, for nobody has called. The C ABI (System V, AMD64) wants "
        "RSP + 8 to be a multiple of 16 where a function begins. So for a C function, which must not return, "
        "`rsp` is the end of a stack, a multiple of 16, less 8; code in assembly may take any.",
        "Trap handlers, upcall entry, kernel stack and segment bases are each virtual CPU's own, and not "
        "set yet.",
        "The virtual CPUs of a domain run in turn, never at the same instant; still each may be interrupted "
        "by "
        "another between any two instructions.",
    ),
    replaces="INIT and STARTUP interrupts by the local APIC (a PC here has one CPU)",
    example=(
        "uint64_t top = (uintptr_t)second_stack + sizeof second_stack; /* a multiple of 16 */\n"
        "struct pv_vcpu_context context = {(uintptr_t)second_cpu, top - 8, 0, 0}; /* as after a CALL */\n"
        "pv_vcpu_up(1, &context);"
    ),
)

VCPU_DOWN = Hypercall(
    nr=0x35,
    name="VCPU_DOWN",
    summary="Stop a virtual CPU.",
    args=(u32("vcpu_id", "which; the caller's own is allowed"),),
    result="0; nothing for the caller's own, which does not go on",
    errors={
        EINVAL: "`vcpu_id` has bits above bit 31",
        ENOENT: "there is no such virtual CPU",
        EBUSY: "it is the last one that is up",
    },
    feature=VCPUS,
    notes=(
        "Its registers are lost. VCPU_UP starts it anew.",
        "Without effect on one that is down.",
        "Events that it was to be told of stay pending.",
    ),
    replaces="an INIT interrupt by the local APIC",
    example="pv_vcpu_down(1);",
)

VCPU_QUERY = Hypercall(
    nr=0x36,
    name="VCPU_QUERY",
    summary="What does a virtual CPU do, and where did its time go?",
    args=(
        u32("vcpu_id", "which"),
        gva_out("status", "where the answer goes", struct="pv_vcpu_status"),
    ),
    result="0",
    errors={
        EINVAL: "`vcpu_id` has bits above bit 31",
        ENOENT: "there is no such virtual CPU",
        EFAULT: "`status` is not writable",
    },
    feature=VCPUS,
    replaces="nothing: a fully virtualized guest cannot know",
    example="struct pv_vcpu_status status;\nif (pv_vcpu_query(0, &status) == 0)\n    use(status.steal_ns);",
)

CALLS: tuple[Hypercall, ...] = (YIELD, BLOCK, SHUTDOWN, POLL, VCPU_UP, VCPU_DOWN, VCPU_QUERY)
