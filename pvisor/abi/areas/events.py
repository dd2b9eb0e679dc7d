# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about event channels."""

from __future__ import annotations

from pvisor.abi.errnos import EEXIST, EFAULT, EINVAL, ENOENT, ENOSPC, EPERM
from pvisor.abi.features import EVENTS
from pvisor.abi.model import Constant, CType, Field, Hypercall, Struct, gva_out, u32

DOMAINS = "Domain numbers"
KINDS = "Kinds of event port"
VIRQS = "Virtual IRQs"

DOMID_HOST = Constant("PV_DOMID_HOST", 0, "the hypervisor and its backends", DOMAINS)
DOMID_MAX = Constant(
    "PV_DOMID_MAX", 0x7FEF, "the greatest number that a domain can have", DOMAINS, is_hex=True
)
DOMID_SELF = Constant("PV_DOMID_SELF", 0x7FF0, "the domain that calls", DOMAINS, is_hex=True)

FREE = Constant("PV_EVENT_FREE", 0, "not in use", KINDS)
UNBOUND = Constant("PV_EVENT_UNBOUND", 1, "waits for `remote_domid` to bind to it", KINDS)
BOUND = Constant("PV_EVENT_BOUND", 2, "one of the two ends of a channel", KINDS)
VIRQ = Constant("PV_EVENT_VIRQ", 3, "signalled by the hypervisor, for `virq`", KINDS)
IPI = Constant("PV_EVENT_IPI", 4, "signalled by the domain itself, for `vcpu_id`", KINDS)

VIRQ_TIMER = Constant("PV_VIRQ_TIMER", 0, "the timer of a virtual CPU is due; one for each of them", VIRQS)
VIRQ_CONSOLE = Constant("PV_VIRQ_CONSOLE", 1, "there is input for CONSOLE_READ", VIRQS)
VIRQ_STORE = Constant("PV_VIRQ_STORE", 2, "there is a watch event for STORE_NEXT", VIRQS)
VIRQ_BALLOON = Constant("PV_VIRQ_BALLOON", 3, "MEMORY_TARGET has another answer", VIRQS)
N_VIRQS = Constant("PV_N_VIRQS", 4, "virtual IRQs of this version", VIRQS, is_frozen=False)

CONSTANTS: tuple[Constant, ...] = (
    DOMID_HOST, DOMID_MAX, DOMID_SELF,
    FREE, UNBOUND, BOUND, VIRQ, IPI,
    VIRQ_TIMER, VIRQ_CONSOLE, VIRQ_STORE, VIRQ_BALLOON, N_VIRQS,
)  # fmt: skip

EVENT_INFO = Struct(
    "pv_event_info",
    "What EVENT_STATUS tells of a port. Members that its kind has no use for are 0.",
    (
        Field("kind", CType.U32, "one of `PV_EVENT_FREE` and so on"),
        Field("vcpu_id", CType.U32, "the virtual CPU that is told"),
        Field("remote_domid", CType.U32, "UNBOUND, BOUND: the domain at the other end, or awaited there"),
        Field("remote_port", CType.U32, "BOUND: the other end's port; 0 where that is the hypervisor"),
        Field("virq", CType.U32, "VIRQ: which"),
        Field("reserved", CType.U32, "0"),
    ),
    grows=False,
)

STRUCTS: tuple[Struct, ...] = (EVENT_INFO,)

_LOWEST = "A new port is the lowest free one; it is masked and not pending"
_NEW_PORT = f"{_LOWEST}, and virtual CPU 0 is told of it."
_PORT_RESULT = "the new port, 1 to 1023"
_ALL_IN_USE = "all 1023 ports are in use"
_PORT_RANGE = "`port` is 0 or above 1023"
_FREE = "`port` is not in use"
_PORT_ERRORS = {EINVAL: f"{_PORT_RANGE}, or has bits above bit 31", ENOENT: _FREE}

EVENT_ALLOC = Hypercall(
    nr=0x60,
    name="EVENT_ALLOC",
    summary="Make a port that another domain may bind to.",
    args=(u32("remote_domid", "who may: a domain's number, `PV_DOMID_SELF` or `PV_DOMID_HOST`"),),
    result=_PORT_RESULT,
    errors={
        EINVAL: "`remote_domid` is no domain number, or has bits above bit 31",
        ENOSPC: _ALL_IN_USE,
    },
    notes=(
        "That domain need not be there yet. The number of a domain that has ended is not used again.",
        _NEW_PORT,
        "When the other side binds, the port is signalled: an allocator that has waited for it goes on then.",
    ),
    feature=EVENTS,
    replaces="the line of a device to an interrupt controller, which is soldered",
    example=(
        "int64_t port = pv_event_alloc(PV_DOMID_HOST);\n"
        "if (port < 0)\n"
        "    give_up();"
    ),
)  # fmt: skip

EVENT_BIND = Hypercall(
    nr=0x61,
    name="EVENT_BIND",
    summary="Make the other end of a channel, to a port that a domain has allocated for this one.",
    args=(
        u32("remote_domid", "the domain that allocated, or `PV_DOMID_SELF`"),
        u32("remote_port", "its port"),
    ),
    result="the new port, 1 to 1023: the caller's end",
    errors={
        EINVAL: "`remote_domid` is no domain number, `remote_port` is 0 or above 1023, or one has bits above "
        "bit 31",
        ENOENT: "there is no such domain; `PV_DOMID_HOST` allocates no ports",
        EPERM: "the remote port does not wait for the caller: it is not in use, or of another kind, or "
        "allocated for another domain, or bound already",
        ENOSPC: "all 1023 ports of the caller are in use",
    },
    notes=(
        _NEW_PORT,
        "The remote port is signalled once: whoever allocated it learns that it may send. What the remote "
        "side did before is to be looked for now: there was no channel to signal it by.",
    ),
    feature=EVENTS,
    replaces="the other end of a device's line, which is soldered as well",
    example=(
        "int64_t theirs = pv_event_alloc(PV_DOMID_SELF); /* another domain's, usually */\n"
        "int64_t ours = pv_event_bind(PV_DOMID_SELF, (uint32_t)theirs);\n"
        "if (ours < 0)\n"
        "    give_up();"
    ),
)

EVENT_BIND_VIRQ = Hypercall(
    nr=0x62,
    name="EVENT_BIND_VIRQ",
    summary="Make a port that the hypervisor signals.",
    args=(
        u32("virq", "for what: one of `PV_VIRQ_TIMER` and so on"),
        u32("vcpu_id", "the virtual CPU that is told; with TIMER, the one whose timer it is"),
    ),
    result=_PORT_RESULT,
    errors={
        EINVAL: "there is no such virtual IRQ or virtual CPU, or an argument has bits above bit 31",
        EEXIST: "it has a port already (TIMER: for that virtual CPU)",
        ENOSPC: _ALL_IN_USE,
    },
    notes=(
        "What happened before the port was bound signals nothing: bind first, then look whether there is "
        "something to do.",
        "CONSOLE signals once when there is input, also input that came before, and again after each "
        "CONSOLE_READ: of what that has left, and of what comes.",
        f"{_LOWEST}.",
    ),
    feature=EVENTS,
    replaces="an IRQ: its line at the 8259 pair or the I/O APIC, and its gate in the IDT",
    example=(
        "int64_t port = pv_event_bind_virq(PV_VIRQ_TIMER, 0);\n"
        "if (port < 0)\n"
        "    give_up();"
    ),
)  # fmt: skip

EVENT_BIND_IPI = Hypercall(
    nr=0x63,
    name="EVENT_BIND_IPI",
    summary="Make a port by which the domain signals one of its own virtual CPUs.",
    args=(u32("vcpu_id", "the virtual CPU that is told"),),
    result=_PORT_RESULT,
    errors={
        EINVAL: "there is no such virtual CPU, or the argument has bits above bit 31",
        ENOSPC: _ALL_IN_USE,
    },
    notes=(
        "A virtual CPU may have several such ports, and may send to its own.",
        f"{_LOWEST}.",
    ),
    feature=EVENTS,
    replaces="the interrupt command register of the local APIC",
    example=(
        "int64_t port = pv_event_bind_ipi(0);\n"
        "if (port > 0)\n"
        "    pv_event_send((uint32_t)port);"
    ),
)  # fmt: skip

EVENT_CLOSE = Hypercall(
    nr=0x64,
    name="EVENT_CLOSE",
    summary="Give a port back.",
    args=(u32("port", "a port of the caller's"),),
    result="0",
    errors=_PORT_ERRORS,
    notes=(
        "The port is free at once: masked, and no longer pending. A signal that was not taken is gone.",
        "The other end of a channel is UNBOUND again, for this domain, and is signalled a last time; so it "
        "is when this domain ends. EVENT_STATUS tells what has happened.",
        "Where the other end is one of the hypervisor's backends, the backend is told, and lets go.",
    ),
    feature=EVENTS,
    replaces="masking an IRQ for good",
    example=(
        "int64_t port = pv_event_alloc(PV_DOMID_HOST);\n"
        "if (port > 0)\n"
        "    pv_event_close((uint32_t)port);"
    ),
)  # fmt: skip

EVENT_SEND = Hypercall(
    nr=0x65,
    name="EVENT_SEND",
    summary="Signal the other end of a channel.",
    args=(u32("port", "the caller's end: a port that is BOUND or IPI"),),
    result="0: the other end is pending",
    errors={
        EINVAL: f"{_PORT_RANGE}, belongs to a virtual IRQ, or has bits above bit 31",
        ENOENT: "nobody is at the other end: `port` is not in use, or not bound yet, or no longer",
    },
    notes=(
        "A signal is an edge, and not counted: signals that arrive before the receiver has cleared the "
        "pending bit become one.",
        "The pending bit of the other end is set in its shared page. If it was clear and the port is not "
        "masked there, the virtual CPU that the port tells gets `upcall_pending`, and an upcall when it "
        "lets one in; it wakes from BLOCK.",
        "All that the caller wrote to memory before the call is seen by a receiver that has seen the bit.",
        "It never waits for the receiver.",
        "Where domains run side by side (`pvisor up --threads`), a signal to one of another physical CPU "
        "arrives when their clocks meet: at most 100 microseconds of virtual time after the call.",
    ),
    feature=EVENTS,
    replaces="a write to a device's register, which is a trap each time; between machines, a network",
    example=(
        "int64_t port = pv_event_bind_ipi(0);\n"
        "if (port > 0 && pv_event_send((uint32_t)port) < 0)\n"
        "    give_up();"
    ),
)

EVENT_UNMASK = Hypercall(
    nr=0x66,
    name="EVENT_UNMASK",
    summary="Let a port's signals through again, and the one that has come meanwhile.",
    args=(u32("port", "a port of the caller's"),),
    result="0",
    errors=_PORT_ERRORS,
    notes=(
        "It clears the port's mask bit; when its pending bit is set, it does what an arriving signal would "
        "do then.",
        "A guest that clears the mask bit by itself must look at the pending bit afterwards, and make this "
        "call when it is set: a signal that came while the port was masked told nobody.",
        "To mask, set the bit in the shared page: that takes no call.",
    ),
    feature=EVENTS,
    replaces="`OUT` to the mask register of an 8259",
    example=(
        "int64_t port = pv_event_bind_virq(PV_VIRQ_CONSOLE, 0);\n"
        "if (port > 0)\n"
        "    pv_event_unmask((uint32_t)port);"
    ),
)  # fmt: skip

EVENT_STATUS = Hypercall(
    nr=0x67,
    name="EVENT_STATUS",
    summary="What is this port?",
    args=(
        u32("port", "a port of the caller's, in use or not"),
        gva_out("status", "where the answer goes", struct="pv_event_info"),
    ),
    result="0",
    errors={
        EINVAL: f"{_PORT_RANGE}, or has bits above bit 31",
        EFAULT: "`status` does not point to 24 writable bytes; nothing has been written",
    },
    notes=("Whether it is pending or masked stands in the shared page.",),
    feature=EVENTS,
    replaces="`IN` from the registers of the interrupt controllers",
    example=(
        "struct pv_event_info status;\n"
        "if (pv_event_status(1, &status) == 0)\n"
        "    use(status.kind);"
    ),
)  # fmt: skip

EVENT_VCPU = Hypercall(
    nr=0x68,
    name="EVENT_VCPU",
    summary="Choose which virtual CPU a port tells.",
    args=(
        u32("port", "a port of the caller's that is UNBOUND, BOUND, or a virtual IRQ other than TIMER"),
        u32("vcpu_id", "the virtual CPU"),
    ),
    result="0",
    errors={
        EINVAL: f"{_PORT_RANGE}, belongs to a virtual CPU (IPI, TIMER), there is no such virtual CPU, or an "
        "argument has bits above bit 31",
        ENOENT: _FREE,
    },
    notes=("A signal that is pending and not masked is told to the new one as well.",),
    feature=EVENTS,
    replaces="the destination in an entry of the I/O APIC",
    example=(
        "int64_t port = pv_event_alloc(PV_DOMID_HOST);\n"
        "if (port > 0)\n"
        "    pv_event_vcpu((uint32_t)port, 0);"
    ),
)  # fmt: skip

CALLS: tuple[Hypercall, ...] = (
    EVENT_ALLOC, EVENT_BIND, EVENT_BIND_VIRQ, EVENT_BIND_IPI, EVENT_CLOSE,
    EVENT_SEND, EVENT_UNMASK, EVENT_STATUS, EVENT_VCPU,
)  # fmt: skip
