# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases of event channels. Domain 2 is there in world "two" only."""

from __future__ import annotations

from pvisor.abi.areas import cpu, events
from pvisor.abi.areas.events import (
    BOUND,
    DOMID_HOST,
    DOMID_MAX,
    DOMID_SELF,
    EVENT_ALLOC,
    EVENT_BIND,
    EVENT_BIND_IPI,
    EVENT_BIND_VIRQ,
    EVENT_CLOSE,
    EVENT_SEND,
    EVENT_STATUS,
    EVENT_UNMASK,
    EVENT_VCPU,
    FREE,
    IPI,
    N_VIRQS,
    UNBOUND,
    VIRQ,
)
from pvisor.abi.errnos import EEXIST, EFAULT, EINVAL, ENOENT, ENOSPC, EPERM
from pvisor.abi.layout import offsetof
from pvisor.abi.model import Constant, Hypercall
from pvisor.para.events import EventHub, EventTable
from pvisor.para.hypercalls import Served
from tests.conformance.case import At, Case, Data, Peek, Poke, Start, Step, Value
from tests.conformance.rows import C, D
from tests.conformance.world import Player, World

N_PORTS = cpu.EVENT_PORTS.number
PENDING, MASK = offsetof("pv_shared_info", "pending"), offsetof("pv_shared_info", "mask")
VCPU = offsetof("pv_shared_info", "vcpu")
SELF, HOST, LAST = DOMID_SELF.number, DOMID_HOST.number, DOMID_MAX.number
CONSOLE, TIMER = events.VIRQ_CONSOLE.number, events.VIRQ_TIMER.number
U32 = (1 << 32) - 1


def room(world: World, player: Player) -> Served:
    """The event channels of a domain."""
    hub = world.hub(EventHub)
    return player.part(EventTable, lambda: hub.add(player.domain, player.shared)).served


def pending(word: int = 0) -> Start:
    """The pending bits of 64 ports."""
    return Start("shared_info", PENDING + 8 * word)


def mask(word: int = 0) -> Start:
    """Their mask bits."""
    return Start("shared_info", MASK + 8 * word)


def of_vcpu(member: str) -> Start:
    """A member of virtual CPU 0's part of the shared page."""
    return Start("shared_info", VCPU + offsetof("pv_vcpu_info", member))


def status(port: int, kind: Constant, remote_domid: int = 0, remote_port: int = 0, virq: int = 0,
           by: int = 1) -> tuple[Step | Peek, ...]:  # fmt: skip
    """EVENT_STATUS, and what it tells."""
    told = (kind.number, 0, remote_domid, remote_port, virq, 0)
    words = (told[i] | told[i + 1] << 32 for i in (0, 2, 4))
    peeks = (Peek(At(0x100 + 8 * i), 8, word, by=by) for i, word in enumerate(words))
    return Step(EVENT_STATUS, (port, At(0x100)), by=by), *peeks


CHANNEL = (Step(EVENT_ALLOC, (SELF,), 1), Step(EVENT_BIND, (SELF, 1), 2), Step(EVENT_UNMASK, (1,)),
           Step(EVENT_UNMASK, (2,)))  # fmt: skip
"""A channel from port 2 to port 1 and back, both unmasked; port 1 is pending, because it was bound."""
BETWEEN = (Step(EVENT_ALLOC, (2,), 1), Step(EVENT_BIND, (1, 1), 1, by=2))
"""A channel between the domains, both ports masked."""
ALL_USED = tuple(Step(EVENT_BIND_IPI, (0,), port) for port in range(1, N_PORTS))


def _wrong_ports() -> tuple[Case, ...]:
    out = Data(bytes(24))
    calls: dict[Hypercall, tuple[Value, ...]] = {
        EVENT_CLOSE: (), EVENT_SEND: (), EVENT_UNMASK: (), EVENT_VCPU: (0,), EVENT_STATUS: (out,),
    }  # fmt: skip
    cases = []
    for call, more in calls.items():
        name = call.name.lower().replace("_", "-")
        for port in (0, N_PORTS, U32, (1 << 64) - 1):
            cases.append(Case(f"{name}-{port:#x}", (Step(call, (port, *more), -EINVAL.number),)))
        if call is not EVENT_STATUS:
            for port in (1, N_PORTS - 1):
                cases.append(Case(f"{name}-free-{port}", (Step(call, (port, *more), -ENOENT.number),)))
    return tuple(cases)


CASES: tuple[Case, ...] = (
    Case("event-alloc", (
        Step(EVENT_ALLOC, (HOST,), 1), Step(EVENT_ALLOC, (SELF,), 2), Step(EVENT_ALLOC, (1,), 3),
        Step(EVENT_ALLOC, (LAST,), 4), Step(EVENT_CLOSE, (2,)), Step(EVENT_ALLOC, (2,), 2),
        *status(2, UNBOUND, 2), Peek(pending(), 8, 0), Peek(mask(), 8, (1 << 64) - 1),
    )),
    Case("event-alloc-no-domain", tuple(
        Step(EVENT_ALLOC, (domid,), -EINVAL.number) for domid in (LAST + 2, U32))),
    Case("event-bind-self", (
        *CHANNEL[:2], Peek(pending(), 8, 1 << 1), Peek(of_vcpu("upcall_pending"), 1, 0),
        *status(1, BOUND, 1, 2), *status(2, BOUND, 1, 1),
    )),
    Case("event-bind-tells-whoever-waits", (
        Step(EVENT_ALLOC, (SELF,), 1), Step(EVENT_UNMASK, (1,)), Peek(of_vcpu("upcall_pending"), 1, 0),
        Step(EVENT_BIND, (SELF, 1), 2), Peek(pending(), 8, 1 << 1), Peek(of_vcpu("upcall_pending"), 1, 1),
        Peek(of_vcpu("pending_words"), 8, 1),
    )),
    Case("event-bind-wrong", (
        Step(EVENT_BIND, (SELF, 0), -EINVAL.number), Step(EVENT_BIND, (SELF, N_PORTS), -EINVAL.number),
        Step(EVENT_BIND, (LAST + 2, 1), -EINVAL.number), Step(EVENT_BIND, (HOST, 1), -ENOENT.number),
        Step(EVENT_BIND, (LAST, 1), -ENOENT.number), Step(EVENT_BIND, (SELF, 1), -EPERM.number),
        Step(EVENT_BIND_IPI, (0,), 1), Step(EVENT_BIND, (SELF, 1), -EPERM.number),
        Step(EVENT_ALLOC, (HOST,), 2), Step(EVENT_BIND, (SELF, 2), -EPERM.number),
        Step(EVENT_ALLOC, (SELF,), 3), Step(EVENT_BIND, (SELF, 3), 4),
        Step(EVENT_BIND, (SELF, 3), -EPERM.number), Step(EVENT_BIND, (SELF, 4), -EPERM.number),
    )),
    Case("event-bind-virq", (
        *(Step(EVENT_BIND_VIRQ, (virq, 0), virq + 1) for virq in range(N_VIRQS.number)),
        *(Step(EVENT_BIND_VIRQ, (virq, 0), -EEXIST.number) for virq in range(N_VIRQS.number)),
        Step(EVENT_CLOSE, (1 + CONSOLE,)), Step(EVENT_BIND_VIRQ, (CONSOLE, 0), 1 + CONSOLE),
        *status(1 + CONSOLE, VIRQ, virq=CONSOLE),
    )),
    Case("event-bind-virq-wrong", (
        Step(EVENT_BIND_VIRQ, (N_VIRQS.number, 0), -EINVAL.number),
        Step(EVENT_BIND_VIRQ, (U32, 0), -EINVAL.number),
        Step(EVENT_BIND_VIRQ, (CONSOLE, 16), -EINVAL.number),
        Step(EVENT_BIND_VIRQ, (CONSOLE, U32), -EINVAL.number),
    )),
    Case("event-bind-ipi", (
        Step(EVENT_BIND_IPI, (0,), 1), Step(EVENT_BIND_IPI, (0,), 2),
        Step(EVENT_BIND_IPI, (16,), -EINVAL.number), Step(EVENT_BIND_IPI, (U32,), -EINVAL.number),
        *status(2, IPI), Step(EVENT_SEND, (2,)), Peek(pending(), 8, 1 << 2),
    )),
    Case("event-send-is-an-edge", (
        *CHANNEL, Poke(pending(), 8, 0), Poke(of_vcpu("upcall_pending"), 1, 0),
        Step(EVENT_SEND, (1,)), Peek(pending(), 8, 1 << 2), Peek(of_vcpu("upcall_pending"), 1, 1),
        Poke(of_vcpu("upcall_pending"), 1, 0), Step(EVENT_SEND, (1,)), Peek(of_vcpu("upcall_pending"), 1, 0),
        Poke(pending(), 8, 0), Step(EVENT_SEND, (1,)), Peek(of_vcpu("upcall_pending"), 1, 1),
    )),
    Case("event-send-masked", (
        *CHANNEL, Poke(pending(), 8, 0), Poke(of_vcpu("upcall_pending"), 1, 0), Poke(mask(), 8, 1 << 1),
        Step(EVENT_SEND, (2,)), Peek(pending(), 8, 1 << 1), Peek(of_vcpu("upcall_pending"), 1, 0),
        Step(EVENT_UNMASK, (1,)), Peek(mask(), 8, 0), Peek(of_vcpu("upcall_pending"), 1, 1),
    )),
    Case("event-send-nobody-there", (
        Step(EVENT_ALLOC, (HOST,), 1), Step(EVENT_SEND, (1,), -ENOENT.number),
        Step(EVENT_BIND_VIRQ, (TIMER, 0), 2), Step(EVENT_SEND, (2,), -EINVAL.number),
        Step(EVENT_ALLOC, (SELF,), 3), Step(EVENT_BIND, (SELF, 3), 4), Step(EVENT_CLOSE, (3,)),
        Step(EVENT_SEND, (4,), -ENOENT.number),
    )),
    Case("event-send-second-word", (
        *ALL_USED[:70], Step(EVENT_UNMASK, (70,)), Step(EVENT_SEND, (70,)), Peek(pending(0), 8, 0),
        Peek(pending(1), 8, 1 << 6), Peek(of_vcpu("pending_words"), 8, 1 << 1),
    )),
    Case("event-unmask-without-a-signal", (
        Step(EVENT_BIND_IPI, (0,), 1), Step(EVENT_UNMASK, (1,)), Peek(of_vcpu("upcall_pending"), 1, 0),
        Peek(mask(), 8, (1 << 64) - 3),
    )),
    Case("event-close-frees", (
        *CHANNEL, Step(EVENT_SEND, (2,)), Step(EVENT_CLOSE, (1,)), Peek(pending(), 8, 1 << 2),
        Peek(mask(), 8, (1 << 64) - 1 - (1 << 2)), *status(1, FREE), *status(2, UNBOUND, 1),
        Step(EVENT_CLOSE, (1,), -ENOENT.number), Step(EVENT_BIND, (SELF, 2), 1),
        *status(2, BOUND, 1, 1),
    )),
    Case("event-status-out", (
        Step(EVENT_STATUS, (1, At(C)), -EFAULT.number), Step(EVENT_STATUS, (1, At(D)), -EFAULT.number),
        Step(EVENT_STATUS, (1, At(C - 23)), -EFAULT.number), Step(EVENT_STATUS, (1, At(C - 24))),
        Step(EVENT_STATUS, (1, Start("root_table")), -EFAULT.number),
        Step(EVENT_STATUS, (1, (1 << 64) - 8), -EFAULT.number), Step(EVENT_STATUS, (1, 0), -EFAULT.number),
    )),
    Case("event-all-ports-used", (
        *ALL_USED, Step(EVENT_ALLOC, (HOST,), -ENOSPC.number), Step(EVENT_BIND_IPI, (0,), -ENOSPC.number),
        Step(EVENT_BIND_VIRQ, (CONSOLE, 0), -ENOSPC.number), Step(EVENT_CLOSE, (9,)),
        Step(EVENT_ALLOC, (SELF,), 9), Step(EVENT_BIND, (SELF, 9), -ENOSPC.number), *status(9, UNBOUND, 1),
    )),
    Case("event-vcpu", (
        Step(EVENT_ALLOC, (HOST,), 1), Step(EVENT_VCPU, (1, 0)),
        Step(EVENT_BIND_VIRQ, (CONSOLE, 0), 2), Step(EVENT_VCPU, (2, 0)),
        Step(EVENT_VCPU, (1, 16), -EINVAL.number), Step(EVENT_VCPU, (2, U32), -EINVAL.number),
        Step(EVENT_VCPU, (9, 16), -EINVAL.number), Step(EVENT_VCPU, (9, 0), -ENOENT.number),
        Step(EVENT_BIND_IPI, (0,), 3), Step(EVENT_VCPU, (3, 0), -EINVAL.number),
        Step(EVENT_BIND_VIRQ, (TIMER, 0), 4), Step(EVENT_VCPU, (4, 0), -EINVAL.number),
    )),
    Case("event-vcpu-tells-again", (
        *CHANNEL, Step(EVENT_SEND, (2,)), Poke(of_vcpu("upcall_pending"), 1, 0), Step(EVENT_VCPU, (1, 0)),
        Peek(of_vcpu("upcall_pending"), 1, 1),
    )),
    *_wrong_ports(),
    Case("event-between-domains", (
        *BETWEEN, *status(1, BOUND, 2, 1), *status(1, BOUND, 1, 1, by=2), Peek(pending(), 8, 1 << 1),
        Peek(pending(), 8, 0, by=2), Step(EVENT_SEND, (1,)), Peek(pending(), 8, 1 << 1, by=2),
        Peek(of_vcpu("upcall_pending"), 1, 0, by=2), Step(EVENT_UNMASK, (1,), by=2),
        Peek(of_vcpu("upcall_pending"), 1, 1, by=2), Peek(of_vcpu("upcall_pending"), 1, 0),
    ), world="two"),
    Case("event-of-others", (
        Step(EVENT_ALLOC, (3,), 1), Step(EVENT_BIND, (1, 1), -EPERM.number, by=2),
        Step(EVENT_ALLOC, (SELF,), 2), Step(EVENT_BIND, (1, 2), -EPERM.number, by=2),
        Step(EVENT_BIND, (1, 1023), -EPERM.number, by=2), Step(EVENT_BIND, (3, 1), -ENOENT.number, by=2),
        Step(EVENT_SEND, (1,), -ENOENT.number, by=2), Step(EVENT_CLOSE, (1,), -ENOENT.number, by=2),
    ), world="two"),
    Case("event-close-tells-the-other-end", (
        *BETWEEN, Step(EVENT_UNMASK, (1,), by=2), Step(EVENT_CLOSE, (1,)), *status(1, UNBOUND, 1, by=2),
        Peek(pending(), 8, 1 << 1, by=2), Peek(of_vcpu("upcall_pending"), 1, 1, by=2),
        Step(EVENT_SEND, (1,), -ENOENT.number, by=2), Step(EVENT_BIND, (2, 1), 1),
        *status(1, BOUND, 1, 1, by=2), Step(EVENT_SEND, (1,), 0, by=2),
    ), world="two"),
    Case("event-bound-once", (
        *BETWEEN, Step(EVENT_BIND, (1, 1), -EPERM.number, by=2), Step(EVENT_BIND, (2, 1), -EPERM.number),
    ), world="two"),
)  # fmt: skip
