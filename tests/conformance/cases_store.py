# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases of the store. Domain 2 is there in world "two" only."""

from __future__ import annotations

from pvisor.abi.areas import events, store
from pvisor.abi.areas.store import (
    STORE_BEGIN,
    STORE_END,
    STORE_LIST,
    STORE_NEXT,
    STORE_PERMIT,
    STORE_READ,
    STORE_REMOVE,
    STORE_UNWATCH,
    STORE_WATCH,
    STORE_WRITE,
)
from pvisor.abi.errnos import E2BIG, EAGAIN, EEXIST, EFAULT, EINVAL, ENOENT, ENOSPC, EPERM
from pvisor.abi.model import Hypercall
from pvisor.para.events import EventTable
from pvisor.para.hypercalls import Served
from pvisor.para.store import Store
from pvisor.para.store_calls import StoreClient
from tests.conformance.case import U32, At, Case, Data, Peek, ResultOf, Start, Step, Value
from tests.conformance.cases_events import of_vcpu
from tests.conformance.rows import C, D
from tests.conformance.world import Player, World

READ, WRITE, INHERIT, NONE = (
    row.number for row in (store.READ, store.WRITE, store.INHERIT, store.NONE)
)  # fmt: skip
LIMIT = {row.name.removeprefix("PV_STORE_").removesuffix("_MAX"): row.number for row in store.CONSTANTS}
NAME = "n" * LIMIT["NAME"]
PATH_CALLS = (STORE_READ, STORE_WRITE, STORE_LIST, STORE_REMOVE, STORE_WATCH, STORE_UNWATCH, STORE_PERMIT)
ANSWERING = (STORE_READ, STORE_LIST, STORE_NEXT)


def room(world: World, player: Player) -> Served:
    """The store as a domain sees it."""
    hub = world.hub(Store)

    def raise_event() -> None:
        table = player.parts.get(EventTable)
        if isinstance(table, EventTable):
            table.raise_virq(events.VIRQ_STORE.number)

    return player.part(StoreClient, lambda: hub.add(player.domain.domid, raise_event)).served


def request(path: str | Value, value: bytes | Value | None = None, n_bytes: int | None = None, *,
            transaction: int | ResultOf = 0, reserved: int = 0,
            path_bytes: int | None = None) -> Data:  # fmt: skip
    """A struct pv_store_request with what it points to. `n_bytes` goes with a value that is an address."""
    path_at = Data(path.encode()) if isinstance(path, str) else path
    value_at: Value = Data(value) if isinstance(value, bytes) else 0 if value is None else value
    if n_bytes is None:
        n_bytes = len(value) if isinstance(value, bytes) else 0
    if path_bytes is None:
        path_bytes = len(path) if isinstance(path, str) else 0
    return Data(path_at, value_at, U32(path_bytes), U32(n_bytes), U32(transaction), U32(reserved))


def put(path: str, value: bytes = b"", result: int = 0, transaction: int | ResultOf = 0, by: int = 1) -> Step:
    """STORE_WRITE."""
    return Step(STORE_WRITE, (request(path, value, transaction=transaction),), result, by)


def get(path: str, value: bytes, transaction: int | ResultOf = 0, by: int = 1) -> tuple[Step | Peek, ...]:
    """STORE_READ of a value of at most eight bytes."""
    return _answer(STORE_READ, path, value, transaction, by)


def _answer(call: Hypercall, path: str, value: bytes, transaction: int | ResultOf = 0, by: int = 1
            ) -> tuple[Step | Peek, ...]:  # fmt: skip
    room = Data(bytes(64))
    step = Step(call, (request(path, room, 64, transaction=transaction),), len(value), by)
    return step, Peek(room, 8, int.from_bytes(value[:8], "little"), by)


def fails(call: Hypercall, path: str, error: int, transaction: int | ResultOf = 0, by: int = 1) -> Step:
    """A call that is refused. What it would need of a value is there."""
    more = (2, READ) if call is STORE_PERMIT else ()
    asked = request(path, At(0x200), 8, transaction=transaction)
    return Step(call, (asked, *more), -error, by)


def event(path: str, token: str, by: int = 1) -> tuple[Step | Peek, ...]:
    """STORE_NEXT, whose answer this is; its last eight bytes are looked at."""
    text = path.encode() + b"\0" + token.encode() + b"\0"
    at = At(0x300 - len(text) % 8)
    tail = At(at.offset + len(text) - 8)
    step = Step(STORE_NEXT, (request(0, at, 256),), len(text), by)
    return step, Peek(tail, 8, int.from_bytes(text[-8:], "little"), by)


NO_EVENT = Step(STORE_NEXT, (request(0, At(0x300), 256),), -ENOENT.number)
BEGIN = Step(STORE_BEGIN, (), 1)


def _bad_requests() -> tuple[Case, ...]:
    cases = []
    for call in (*PATH_CALLS, STORE_NEXT):
        name = call.name.lower().replace("_", "-")
        more = (2, READ) if call is STORE_PERMIT else ()
        wild = (At(D), At(D - 31), 0, (1 << 64) - 1, 1 << 47, 0xFFFF_8000_0000_0000)
        cases.append(Case(f"{name}-wild", tuple(Step(call, (at, *more), -EFAULT.number) for at in wild)))
        cases.append(Case(f"{name}-reserved", tuple(
            Step(call, (request("a", At(0), 8, reserved=reserved), *more), -EINVAL.number)
            for reserved in (1, 1 << 31))))  # fmt: skip
        cases.append(Case(f"{name}-no-transaction", (
            Step(call, (request("a", At(0), 8, transaction=1), *more), -EINVAL.number), BEGIN,
            Step(call, (request("a", At(0), 8, transaction=2), *more), -EINVAL.number),
        )))  # fmt: skip
    for call in PATH_CALLS:
        name = call.name.lower().replace("_", "-")
        more = (2, READ) if call is STORE_PERMIT else ()
        wild_paths = (At(D), At(D - 3), 0, (1 << 64) - 2)
        cases.append(Case(f"{name}-wild-path", tuple(
            Step(call, (request(at, At(0), 8, path_bytes=4), *more), -EFAULT.number) for at in wild_paths)))
        deep = "/".join("d" * (LIMIT["DEPTH"] - 1))
        wrong = ("a//b", "a/", "//", "/a/", "a b", "a\0", "a\n", "\xc3\xa9", NAME + "n", deep,
                 "/".join([NAME] * 8), "/" + "/".join([NAME] * 7 + ["n" * 57]))  # fmt: skip
        cases.append(Case(f"{name}-wrong-path", tuple(
            Step(call, (request(path, At(0x200), 8), *more), -EINVAL.number) for path in wrong)))
        cases.append(Case(f"{name}-long-path", tuple(
            Step(call, (request(At(0), At(0), 8, path_bytes=n), *more), -EINVAL.number)
            for n in (LIMIT["PATH"] + 1, (1 << 32) - 1))))  # fmt: skip
    return tuple(cases)


def _steps_of_a_transaction() -> tuple[Case, ...]:
    full = (BEGIN, put("a", b"x"), *(put(f"t{i}", transaction=1) for i in range(LIMIT["STEPS"])))
    calls = (STORE_READ, STORE_WRITE, STORE_LIST, STORE_REMOVE, STORE_PERMIT)
    return (
        Case("store-long-transaction", (*full, *(fails(call, "a", ENOSPC.number, 1) for call in calls),
                                        Step(STORE_END, (1, 1)), *get("t127", b""))),
    )  # fmt: skip


CASES: tuple[Case, ...] = (
    Case("store-values", (
        put("a/b", b"hello"), *get("a/b", b"hello"), *get("/domain/1/a/b", b"hello"), *get("a", b""),
        *get("", b""), put("a/b", b""), *get("a/b", b""), put("a", b"\0\xff"), *get("a", b"\0\xff"),
    )),
    Case("store-names", (
        put("b"), put("a/x", b"1"), put("C.d-e_f@9"), *_answer(STORE_LIST, "", b"C.d-e_f@9\0a\0b\0"),
        *_answer(STORE_LIST, "/", b"domain\0"), *_answer(STORE_LIST, "/domain", b"1\0"),
        *_answer(STORE_LIST, "b", b""), fails(STORE_LIST, "c", ENOENT.number),
    )),
    Case("store-longest", (
        put("/".join([NAME] * 7 + ["n" * (LIMIT["PATH"] - len("/domain/1/") - 7 * 65)])),
        put("/".join("d" * (LIMIT["DEPTH"] - 2))),
        Step(STORE_WRITE, (request("v", At(0), LIMIT["VALUE"]),)),
        Step(STORE_READ, (request("v", At(0x800), LIMIT["VALUE"]),), LIMIT["VALUE"]),
        Step(STORE_WRITE, (request("v", At(0), LIMIT["VALUE"] + 1),), -EINVAL.number),
        Step(STORE_WRITE, (request("v", At(0), (1 << 32) - 1),), -EINVAL.number),
    )),
    Case("store-read-room", (
        put("a", b"hello"), Step(STORE_READ, (request("a", At(0), 4),), -E2BIG.number),
        Step(STORE_READ, (request("a", At(C), 5),), -EFAULT.number),
        Step(STORE_READ, (request("a", At(D), 5),), -EFAULT.number),
        Step(STORE_READ, (request("a", At(C - 4), 5),), -EFAULT.number),
        Step(STORE_READ, (request("a", At(C - 5), 5),), 5),
        Step(STORE_READ, (request("a", At(C - 5), (1 << 32) - 1),), 5),
        Step(STORE_READ, (request("", 0, 0),), 0), fails(STORE_READ, "b", ENOENT.number),
        Step(STORE_READ, (request("a", Start("root_table"), 5),), -EFAULT.number),
    )),
    Case("store-list-room", (
        put("abc"), Step(STORE_LIST, (request("", At(0), 3),), -E2BIG.number),
        Step(STORE_LIST, (request("", At(C), 4),), -EFAULT.number), *_answer(STORE_LIST, "", b"abc\0"),
        Step(STORE_LIST, (request("abc", 0, 0),), 0),
    )),
    Case("store-write-wild-value", (
        Step(STORE_WRITE, (request("a", At(D), 1),), -EFAULT.number),
        Step(STORE_WRITE, (request("a", At(D - 3), 4),), -EFAULT.number),
        Step(STORE_WRITE, (request("a", (1 << 64) - 2, 4),), -EFAULT.number),
        fails(STORE_READ, "a", ENOENT.number), Step(STORE_WRITE, (request("a", At(D - 3), 3),)),
        *get("a", b"ccc"), Step(STORE_WRITE, (request("a", At(D), 0),)), *get("a", b""),
    )),
    Case("store-remove", (
        put("a/b/c"), put("a/d"), Step(STORE_REMOVE, (request("a/b"),)),
        fails(STORE_READ, "a/b/c", ENOENT.number), *get("a/d", b""),
        fails(STORE_REMOVE, "a/b", ENOENT.number), Step(STORE_REMOVE, (request("a"),)),
        *_answer(STORE_LIST, "", b""), fails(STORE_REMOVE, "", EPERM.number),
        fails(STORE_REMOVE, "/", EPERM.number), fails(STORE_REMOVE, "/domain", EPERM.number),
    )),
    Case("store-not-ours", (
        put("/a", b"", -EPERM.number), put("/domain/3", b"", -EPERM.number), put("/", b"", -EPERM.number),
        put("/domain/3/a", b"", -EPERM.number), put("/domain/01/a", b"", -EPERM.number),
        *(fails(call, "/domain/2", EPERM.number)
          for call in (STORE_READ, STORE_WRITE, STORE_LIST, STORE_REMOVE, STORE_PERMIT)),
        *(fails(call, "/domain/3/x", EPERM.number)
          for call in (STORE_READ, STORE_WRITE, STORE_LIST, STORE_REMOVE, STORE_PERMIT)),
        fails(STORE_PERMIT, "/", EPERM.number),
        *(Step(STORE_PERMIT, (At(D), *more), -EINVAL.number) for more in ((0, READ), (1, READ), (2, 8))),
        fails(STORE_READ, "/nothing", ENOENT.number), fails(STORE_READ, "/domain/x", ENOENT.number),
    )),
    Case("store-home-is-full", (
        *(put(f"n{i}") for i in range(LIMIT["NODES"] - 2)), put("a/b", b"", -ENOSPC.number), put("a"),
        put("b", b"", -ENOSPC.number), put("a", b"more"), Step(STORE_REMOVE, (request("n7"),)), put("b"),
    )),
    Case("store-watch", (
        NO_EVENT, Step(STORE_WATCH, (request("a", b"token"),)), *event("/domain/1/a", "token"), NO_EVENT,
        put("a", b"1"), *event("/domain/1/a", "token"), put("a/b/c"), put("b"),
        *event("/domain/1/a/b/c", "token"),
        put("a/b/c"), put("a/b/d"), *event("/domain/1/a/b", "token"), put("a/b/c"), put("a/e"), put("a/b/c"),
        *event("/domain/1/a", "token"), Step(STORE_REMOVE, (request("a/b/c"),)),
        *event("/domain/1/a/b/c", "token"), Step(STORE_PERMIT, (request("a/b"), 2, READ)),
        *event("/domain/1/a/b", "token"), Step(STORE_REMOVE, (request("a"),)), *event("/domain/1/a", "token"),
        NO_EVENT,
    )),
    Case("store-watch-below-a-removal", (
        put("a/b/c"), Step(STORE_WATCH, (request("a/b/c", b"one"),)), *event("/domain/1/a/b/c", "one"),
        Step(STORE_WATCH, (request("a/b/x", b"two"),)), *event("/domain/1/a/b/x", "two"),
        Step(STORE_REMOVE, (request("a"),)), *event("/domain/1/a/b/c", "one"), NO_EVENT,
    )),
    Case("store-watch-below-other-rights", (
        put("a/b/c"), Step(STORE_WATCH, (request("a/b/c", b"one"),)), *event("/domain/1/a/b/c", "one"),
        Step(STORE_WATCH, (request("a/b/x", b"two"),)), *event("/domain/1/a/b/x", "two"),
        Step(STORE_PERMIT, (request("a"), 2, READ)), *event("/domain/1/a/b/c", "one"), NO_EVENT,
    )),
    Case("store-watches-in-order", (
        Step(STORE_WATCH, (request("a", b"1"),)), Step(STORE_WATCH, (request("a", b"2"),)),
        Step(STORE_WATCH, (request("", b""),)), *event("/domain/1/a", "1"), put("a"),
        *event("/domain/1/a", "2"), *event("/domain/1", ""), *event("/domain/1/a", "1"), NO_EVENT,
    )),
    Case("store-watch-wrong", (
        Step(STORE_WATCH, (request("a", b"t"),)), Step(STORE_WATCH, (request("a", b"t"),), -EEXIST.number),
        Step(STORE_WATCH, (request("/domain/1/a", b"t"),), -EEXIST.number),
        Step(STORE_WATCH, (request("a", b"a\0b"),), -EINVAL.number),
        Step(STORE_WATCH, (request("a", b"\0"),), -EINVAL.number),
        Step(STORE_WATCH, (request("a", At(0), LIMIT["TOKEN"] + 1),), -EINVAL.number),
        Step(STORE_WATCH, (request("a", At(0), (1 << 32) - 1),), -EINVAL.number),
        Step(STORE_WATCH, (request("a", At(0), LIMIT["TOKEN"]),)),
        Step(STORE_WATCH, (request("a", At(D), 1),), -EFAULT.number),
        BEGIN, Step(STORE_WATCH, (request("b", b"t", transaction=1),), -EINVAL.number),
        Step(STORE_UNWATCH, (request("a", b"t", transaction=1),), -EINVAL.number),
        Step(STORE_NEXT, (request("", At(0), 99, transaction=1),), -EINVAL.number),
    )),
    Case("store-watches-are-bounded", (
        *(Step(STORE_WATCH, (request(f"w{i}", b"t"),)) for i in range(LIMIT["WATCHES"])),
        Step(STORE_WATCH, (request("more", b"t"),), -ENOSPC.number),
        Step(STORE_UNWATCH, (request("w3", b"t"),)), Step(STORE_WATCH, (request("more", b"t"),)),
    )),
    Case("store-unwatch", (
        Step(STORE_WATCH, (request("a", b"t"),)), Step(STORE_UNWATCH, (request("a", b"t"),)), NO_EVENT,
        Step(STORE_UNWATCH, (request("a", b"t"),), -ENOENT.number), put("a"), NO_EVENT,
        Step(STORE_UNWATCH, (request("a", At(0), LIMIT["TOKEN"] + 1),), -EINVAL.number),
        Step(STORE_UNWATCH, (request("a", b"\0"),), -EINVAL.number),
        Step(STORE_UNWATCH, (request("a", At(D), 1),), -EFAULT.number),
    )),
    Case("store-next-room", (
        Step(STORE_WATCH, (request("a", b"t"),)), Step(STORE_NEXT, (request(0, At(0), 13),), -E2BIG.number),
        Step(STORE_NEXT, (request(0, At(C), 99),), -EFAULT.number),
        Step(STORE_NEXT, (request(0, At(C - 13), 99),), -EFAULT.number),
        Step(STORE_NEXT, (request(At(D), At(C - 14), 14, path_bytes=4),), 14), NO_EVENT,
    )),
    Case("store-event-is-told", (
        Step(events.EVENT_BIND_VIRQ, (events.VIRQ_STORE.number, 0), 1), Step(events.EVENT_UNMASK, (1,)),
        Peek(of_vcpu("upcall_pending"), 1, 0), Step(STORE_WATCH, (request("a", b"t"),)),
        Peek(of_vcpu("upcall_pending"), 1, 1),
    )),
    Case("store-transaction", (
        put("a", b"1"), Step(STORE_BEGIN, (), 1), put("a", b"2", transaction=1),
        put("b/c", b"3", transaction=1), *get("a", b"1"), *get("a", b"2", 1),
        *_answer(STORE_LIST, "", b"a\0b\0", 1), fails(STORE_READ, "b", ENOENT.number),
        Step(STORE_END, (1, 1)), *get("a", b"2"), *get("b/c", b"3"),
        Step(STORE_END, (1, 1), -ENOENT.number), fails(STORE_READ, "a", EINVAL.number, 1),
    )),
    Case("store-transaction-is-dropped", (
        BEGIN, put("a", b"1", transaction=1), Step(STORE_REMOVE, (request("a", transaction=1),)),
        put("b", transaction=1), Step(STORE_END, (1, 0)), fails(STORE_READ, "b", ENOENT.number),
        Step(STORE_BEGIN, (), 2), Step(STORE_END, (2, 2), -EINVAL.number),
        Step(STORE_END, (2, (1 << 32) - 1), -EINVAL.number), Step(STORE_END, (2, 0)),
        Step(STORE_END, (0, 0), -ENOENT.number), Step(STORE_END, ((1 << 32) - 1, 1), -ENOENT.number),
    )),
    Case("store-transaction-conflict", (
        put("a", b"1"), BEGIN, *get("a", b"1", 1), put("b", b"2", transaction=1), put("a", b"3"),
        Step(STORE_END, (1, 1), -EAGAIN.number), fails(STORE_READ, "b", ENOENT.number),
        Step(STORE_END, (1, 1), -ENOENT.number),
    )),
    Case("store-transaction-conflict-of-names", (
        BEGIN, *_answer(STORE_LIST, "", b"", 1), put("b"), Step(STORE_END, (1, 1), -EAGAIN.number),
        Step(STORE_BEGIN, (), 2), fails(STORE_READ, "c", ENOENT.number, 2), put("c"),
        Step(STORE_END, (2, 1), -EAGAIN.number), Step(STORE_BEGIN, (), 3),
        Step(STORE_REMOVE, (request("c", transaction=3),)), Step(STORE_REMOVE, (request("c"),)),
        Step(STORE_END, (3, 1), -EAGAIN.number),
    )),
    Case("store-transaction-beside-others", (
        put("a", b"1"), BEGIN, *get("a", b"1", 1), put("b", b"2", transaction=1), put("c", b"3"),
        put("a", b"1"), Step(STORE_END, (1, 1)), *get("b", b"2"), *get("c", b"3"),
    )),
    Case("store-transactions-are-bounded", (
        *(Step(STORE_BEGIN, (), i + 1) for i in range(LIMIT["TRANSACTIONS"])),
        Step(STORE_BEGIN, (), -ENOSPC.number), Step(STORE_END, (2, 0)), Step(STORE_BEGIN, (), 5),
    )),
    Case("store-watch-fires-at-the-end", (
        Step(STORE_WATCH, (request("a", b"tok"),)), *event("/domain/1/a", "tok"), BEGIN,
        put("a/b", transaction=1), NO_EVENT, put("a/c", transaction=1), Step(STORE_END, (1, 1)),
        *event("/domain/1/a", "tok"), NO_EVENT,
    )),
    *_steps_of_a_transaction(),
    *_bad_requests(),
    Case("store-permit-wrong", (
        put("a"), *(Step(STORE_PERMIT, (request("a"), domid, READ), -EINVAL.number)
                    for domid in (0, 1, 0x7FF0, (1 << 32) - 1)),
        *(Step(STORE_PERMIT, (request("a"), 2, rights), -EINVAL.number) for rights in (5, 7, 8, 1 << 31)),
        fails(STORE_PERMIT, "b", ENOENT.number), Step(STORE_PERMIT, (request("a"), 0x7FEF, INHERIT)),
    )),
    Case("store-rights-are-bounded", (
        put("a"), *(Step(STORE_PERMIT, (request("a"), 10 + i, READ)) for i in range(LIMIT["RIGHTS"])),
        Step(STORE_PERMIT, (request("a"), 9, NONE), -ENOSPC.number),
        Step(STORE_PERMIT, (request("a"), 10, WRITE)),
        Step(STORE_PERMIT, (request("a"), 12, INHERIT)), Step(STORE_PERMIT, (request("a"), 9, NONE)),
    )),
    Case("store-permit", (
        put("a/b", b"secret"), fails(STORE_READ, "/domain/1/a/b", EPERM.number, by=2),
        Step(STORE_PERMIT, (request("a"), 2, READ)), *get("/domain/1/a/b", b"secret", by=2),
        *_answer(STORE_LIST, "/domain/1/a", b"b\0", by=2), put("/domain/1/a/b", b"", -EPERM.number, by=2),
        fails(STORE_REMOVE, "/domain/1/a", EPERM.number, by=2),
        fails(STORE_READ, "/domain/1", EPERM.number, by=2),
        Step(STORE_PERMIT, (request("/domain/1/a"), 3, READ), -EPERM.number, by=2),
        Step(STORE_PERMIT, (request("a/b"), 2, WRITE)), put("/domain/1/a/b", b"theirs", by=2),
        fails(STORE_READ, "/domain/1/a/b", EPERM.number, by=2), *get("a/b", b"theirs"),
        put("/domain/1/a/b/c", b"", by=2), Step(STORE_REMOVE, (request("/domain/1/a/b"),), by=2),
        Step(STORE_PERMIT, (request("a"), 2, INHERIT)), fails(STORE_READ, "/domain/1/a", EPERM.number, by=2),
    ), world="two"),
    Case("store-watch-needs-a-right", (
        Step(STORE_WATCH, (request("/domain/1/a", b"t"),), 0, by=2), *event("/domain/1/a", "t", by=2),
        put("a", b"1"), Step(STORE_NEXT, (request(0, At(0), 99),), -ENOENT.number, by=2),
        Step(STORE_PERMIT, (request("a"), 2, READ)), *event("/domain/1/a", "t", by=2),
        put("a/b", b"1"), *event("/domain/1/a/b", "t", by=2),
        Step(STORE_PERMIT, (request("a"), 2, NONE)), put("a/b", b"2"),
        Step(STORE_NEXT, (request(0, At(0), 99),), -ENOENT.number, by=2),
    ), world="two"),
    Case("store-transactions-are-ones-own", (
        Step(STORE_BEGIN, (), 1), Step(STORE_END, (1, 1), -ENOENT.number, by=2),
        put("a", b"", -EINVAL.number, 1, by=2), Step(STORE_BEGIN, (), 1, by=2), put("a", b"2", 0, 1, by=2),
        Step(STORE_END, (1, 1)), Step(STORE_END, (1, 1), by=2), *get("a", b"2", by=2),
    ), world="two"),
)  # fmt: skip
