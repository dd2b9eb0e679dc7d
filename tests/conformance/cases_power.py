# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases of waiting, ending, and further virtual CPUs."""

from __future__ import annotations

from pvisor.abi import constants
from pvisor.abi.areas import cpu, events, power
from pvisor.abi.errnos import EBUSY, EFAULT, EINVAL, ENOENT, ETIME
from pvisor.abi.layout import offsetof
from tests.conformance.case import U32, Asleep, At, Case, Data, Peek, Start, Step, Value
from tests.conformance.rows import B, C, D

MS = 1_000_000
N_PORTS, POLL_MAX = cpu.EVENT_PORTS.number, power.POLL_MAX.number
FAULT, INVALID, NONE, BUSY, TIME_OVER = (
    -errno.number for errno in (EFAULT, EINVAL, ENOENT, EBUSY, ETIME)
)  # fmt: skip
HOLE = constants.HOLE_START.number
PENDING = Start("shared_info", offsetof("pv_shared_info", "pending"))
STATE = offsetof("pv_vcpu_status", "state")
DOWN, RUNNING, RUNNABLE = (
    row.number for row in (power.VCPU_DOWN_STATE, power.VCPU_RUNNING, power.VCPU_RUNNABLE)
)  # fmt: skip
TO_SELF = (Step(events.EVENT_BIND_IPI, (0,), 1), Step(events.EVENT_BIND_IPI, (0,), 2))
"""Ports 1 and 2, masked, to be signalled by the one that waits."""


def ports(*numbers: int) -> Data:
    """An array of ports."""
    return Data(*(U32(number) for number in numbers))


def poll(id: str, at: Value, n_ports: int, due_ns: int, result: int, *before: Step) -> Case:
    """POLL, behind other steps."""
    return Case(f"poll-{id}", (*before, Step(power.POLL, (at, n_ports, due_ns), result)))


def context(rip: Value = Asleep(), rsp: Value = At(B), reserved: int = 0) -> Data:  # noqa: B008
    """A struct pv_vcpu_context whose code sleeps."""
    return Data(rip, rsp, Start("hypercall_page"), reserved)


def up(id: str, result: int, vcpu_id: int = 1, at: Value | None = None, **fields: Value) -> Case:
    """VCPU_UP of a domain of two."""
    where = context(**fields) if at is None else at  # type: ignore[arg-type]
    return Case(f"vcpu-up-{id}", (Step(power.VCPU_UP, (vcpu_id, where), result),), n_vcpus=2)


def query(vcpu_id: int, state: int) -> tuple[Step, Peek]:
    """VCPU_QUERY, and the state that it tells."""
    return Step(power.VCPU_QUERY, (vcpu_id, At(0x20))), Peek(At(0x20 + STATE), 4, state)


SEND_1 = Step(events.EVENT_SEND, (1,))

CASES: tuple[Case, ...] = (
    poll("pending", ports(1), 1, 0, 0, *TO_SELF, SEND_1),
    poll("one-of-two-pending", ports(2, 1), 2, 0, 0, *TO_SELF, SEND_1),
    poll("pending-and-too-late", ports(1), 1, 1, 0, *TO_SELF, SEND_1),
    poll("another-pending", ports(2), 1, MS, TIME_OVER, *TO_SELF, SEND_1),
    poll("an-unused-port", ports(77), 1, MS, TIME_OVER),
    poll("time-comes", ports(1), 1, MS, TIME_OVER, *TO_SELF),
    poll("time-has-passed", ports(1), 1, 1, TIME_OVER, *TO_SELF),
    poll("no-ports", 0, 0, MS, TIME_OVER),
    poll("no-ports-from-nowhere", At(D), 0, 1, TIME_OVER),
    poll("same-port-twice", ports(1, 1), 2, MS, TIME_OVER, *TO_SELF),
    poll("read-only-ports", At(C), 0, 1, TIME_OVER),
    poll("most-ports", ports(*range(1, POLL_MAX + 1)), POLL_MAX, MS, TIME_OVER),
    poll("too-many", ports(*range(1, POLL_MAX + 2)), POLL_MAX + 1, MS, INVALID),
    poll("all-ones", ports(1), (1 << 32) - 1, MS, INVALID),
    poll("port-0", ports(1, 0), 2, MS, INVALID, *TO_SELF, SEND_1),
    poll("last-port", ports(N_PORTS - 1), 1, MS, TIME_OVER),
    poll("port-beyond", ports(N_PORTS), 1, MS, INVALID),
    poll("ports-of-nothing", At(D), 1, MS, FAULT),
    poll("ports-run-into-nothing", At(D - 4), 2, MS, FAULT),
    poll("ports-in-the-hole", HOLE, 1, MS, FAULT),
    Case("poll-nothing-for-ever", (Step(power.POLL, (0, 0, 0)),), ends=124),
    Case("poll-leaves-what-is-pending", (
        *TO_SELF, SEND_1, Step(power.POLL, (ports(1), 1, 0)), Peek(PENDING, 8, 2),
    )),
    Case("poll-for-an-upcall", (
        *TO_SELF, Step(events.EVENT_UNMASK, (1,)), SEND_1, Step(power.BLOCK), Step(power.POLL, (0, 0, MS)),
    )),
    Case("poll-of-who-masks-upcalls", (
        *TO_SELF, Step(events.EVENT_UNMASK, (1,)), SEND_1, Step(power.POLL, (ports(2), 1, MS), TIME_OVER),
    )),
    Case("block-with-something-pending", (
        *TO_SELF, Step(events.EVENT_UNMASK, (1,)), SEND_1, Step(power.BLOCK), Peek(PENDING, 8, 2),
    )),
    Case("block-for-a-masked-port", (*TO_SELF, SEND_1, Step(power.BLOCK)), ends=124),

    up("goes", 0),
    up("of-itself", BUSY, vcpu_id=0),
    up("of-none", NONE, vcpu_id=2),
    up("of-all-ones", NONE, vcpu_id=(1 << 32) - 1),
    up("to-no-address", INVALID, rip=1 << 47),
    up("to-the-hole", INVALID, rip=HOLE),
    up("with-a-stack-in-the-hole", INVALID, rsp=HOLE + 0x1000),
    up("with-no-stack", INVALID, rsp=1 << 63),
    up("with-reserved", INVALID, reserved=1),
    up("from-nowhere", FAULT, at=At(D)),
    up("of-none-from-nowhere", NONE, vcpu_id=2, at=At(D)),
    up("of-itself-from-nowhere", BUSY, vcpu_id=0, at=At(D)),
    up("from-the-end", FAULT, at=At(D - 8)),
    up("from-what-is-read-only", INVALID, at=At(C)),
    Case("vcpu-up-and-down", (
        *query(1, DOWN), Step(power.VCPU_UP, (1, context())), *query(1, RUNNABLE),
        Step(power.VCPU_UP, (1, context()), BUSY), Step(power.VCPU_DOWN, (1,)), *query(1, DOWN),
        Step(power.VCPU_DOWN, (1,)), Step(power.VCPU_UP, (1, context())), *query(0, RUNNING),
    ), n_vcpus=2),
    Case("vcpu-down-of-the-last", (
        Step(power.VCPU_DOWN, (0,), BUSY), Step(power.VCPU_UP, (1, context())), Step(power.VCPU_DOWN, (1,)),
        Step(power.VCPU_DOWN, (0,), BUSY),
    ), n_vcpus=2),
    Case("vcpu-down-of-none", (Step(power.VCPU_DOWN, (1,), NONE), Step(power.VCPU_DOWN, (99,), NONE))),
    Case("vcpu-down-of-one-that-is-down", (Step(power.VCPU_DOWN, (1,)),), n_vcpus=2),
    Case("vcpu-query", (
        *query(0, RUNNING), Step(power.VCPU_QUERY, (1, At(0)), NONE),
        Step(power.VCPU_QUERY, (0, At(D)), FAULT), Step(power.VCPU_QUERY, (0, At(C - 23)), FAULT),
        Step(power.VCPU_QUERY, (0, HOLE), FAULT),
    )),
)  # fmt: skip
