# SPDX-License-Identifier: GPL-2.0-or-later
"""The store on bare handlers: what backends may do, who is told, and what a domain leaves behind."""

from __future__ import annotations

import pytest

from pvisor.abi.areas import events as event_rows
from pvisor.abi.areas import store as rows
from pvisor.abi.errnos import EAGAIN, ENOENT, ENOSPC, EPERM
from tests.para.callers import Caller, Hypervisor

READ, WRITE, NONE, INHERIT = (row.number for row in (rows.READ, rows.WRITE, rows.NONE, rows.INHERIT))


@pytest.fixture
def hypervisor() -> Hypervisor:
    return Hypervisor()


def take(caller: Caller) -> tuple[str, str] | None:
    """The next watch event."""
    told = caller.answer(rows.STORE_NEXT)
    if isinstance(told, int):
        assert told == -ENOENT.number
        return None
    path, token, rest = told.decode().split("\0")
    assert not rest
    return path, token


def test_the_host_reads_and_writes_everywhere(hypervisor: Hypervisor) -> None:
    caller, store = hypervisor.add(1), hypervisor.store
    store.write("/domain/1/device/block/0/state", b"here")
    assert caller.answer(rows.STORE_READ, "device/block/0/state") == b"here"
    assert caller.ask(rows.STORE_WRITE, "device/block/0/port", b"7") == 0
    assert store.read("/domain/1/device/block/0/port") == b"7"
    assert store.names("/domain/1/device/block/0") == ("port", "state")
    assert (store.read("/none"), store.names("/none"), store.delete("/none")) == (None, (), False)
    store.write("/host/name", b"pvisor")
    assert caller.answer(rows.STORE_READ, "/host/name") == b"pvisor", "outside the homes all may read"
    assert caller.ask(rows.STORE_WRITE, "/host/name", b"x") == -EPERM.number
    assert store.delete("/host")
    with pytest.raises(KeyError):
        store.permit("/host", 1, READ)


@pytest.mark.parametrize("path", ["a//b", "/a b", "/\0", "/" + "n" * 65, "/d" * 17])
def test_a_wrong_path_of_ours_is_our_mistake(hypervisor: Hypervisor, path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        hypervisor.store.write(path, b"")
    with pytest.raises(ValueError, match="1024"):
        hypervisor.store.write("/a", bytes(1025))


def test_what_the_host_permits_above_opens_no_home(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    hypervisor.add(2)
    for path in ("/", "/domain"):
        hypervisor.store.permit(path, 1, READ | WRITE)
    assert caller.answer(rows.STORE_READ, "/domain/2") == -EPERM.number
    assert caller.ask(rows.STORE_WRITE, "/domain/2/a", b"x") == -EPERM.number
    for path in ("/", "/domain", "/domain/2", "/domain/1"):
        assert caller.ask(rows.STORE_REMOVE, path) == -EPERM.number, path
    assert caller.ask(rows.STORE_WRITE, "/mine/a", b"x") == 0
    for i in range(rows.NODES_MAX.number - 2):
        assert caller.ask(rows.STORE_WRITE, f"/mine/n{i}") == 0
    assert caller.ask(rows.STORE_WRITE, "/mine/more") == -ENOSPC.number
    hypervisor.store.permit("/", 1, NONE)
    hypervisor.store.permit("/domain", 1, INHERIT)
    assert caller.answer(rows.STORE_LIST, "/") == -EPERM.number


def test_the_host_is_not_bounded_by_a_home(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    for i in range(rows.NODES_MAX.number + 9):
        hypervisor.store.write(f"/domain/1/n{i}", b"")
    assert caller.ask(rows.STORE_WRITE, "mine") == -ENOSPC.number
    assert caller.ask(rows.STORE_WRITE, "n3", b"changed") == 0


def test_the_host_hears_of_changes_and_may_answer(hypervisor: Hypervisor) -> None:
    caller, store = hypervisor.add(1), hypervisor.store
    heard: list[str] = []

    def backend(path: str) -> None:
        heard.append(path)
        if store.read("/domain/1/state") == b"ready":
            store.write("/domain/1/state", b"connected")

    end = store.watch("/domain/1/state", backend)
    assert heard == ["/domain/1/state"], "once at the start"
    assert caller.ask(rows.STORE_WATCH, "state", b"t") == 0
    assert take(caller) == ("/domain/1/state", "t")
    caller.ask(rows.STORE_WRITE, "state", b"ready")
    assert caller.answer(rows.STORE_READ, "state") == b"connected"
    assert heard == ["/domain/1/state"] * 3
    assert take(caller) == ("/domain/1/state", "t")
    assert take(caller) is None
    end()
    caller.ask(rows.STORE_WRITE, "state", b"ready")
    assert caller.answer(rows.STORE_READ, "state") == b"ready"
    with pytest.raises(ValueError):
        end()


def test_a_backend_that_fails_does_not_stop_the_others(hypervisor: Hypervisor) -> None:
    """Its exception is ours and passes; afterwards the store tells as before."""
    hypervisor.add(1)
    heard: list[str] = []
    is_broken = False

    def broken(path: str) -> None:
        if is_broken:
            raise RuntimeError("backend")

    hypervisor.store.watch("/a", broken)
    hypervisor.store.watch("/a", heard.append)
    is_broken = True
    with pytest.raises(RuntimeError, match="backend"):
        hypervisor.store.write("/a", b"1")
    is_broken = False
    hypervisor.store.write("/a", b"2")
    assert heard == ["/a"] * 3


def test_the_virtual_irq_comes_with_the_first_event_only(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    port = caller.call(event_rows.EVENT_BIND_VIRQ, event_rows.VIRQ_STORE.number, 0)
    caller.call(event_rows.EVENT_UNMASK, port)
    caller.ask(rows.STORE_WATCH, "a", b"t")
    assert caller.told == [0] and caller.shared.is_pending(port)
    caller.shared.set_pending(port, False)
    caller.ask(rows.STORE_WRITE, "a")
    assert not caller.shared.is_pending(port), "the event of the watch waits already"
    assert take(caller) is not None
    caller.ask(rows.STORE_WRITE, "a/b")
    assert caller.shared.is_pending(port)


def test_a_removal_is_told_to_who_could_read_what_is_gone(hypervisor: Hypervisor) -> None:
    owner, other = hypervisor.add(1), hypervisor.add(2)
    owner.ask(rows.STORE_WRITE, "a/b", b"x")
    owner.ask(rows.STORE_WRITE, "c", b"x")
    owner.ask(rows.STORE_PERMIT, "a/b", b"", 2, READ)
    for path in ("/domain/1/a/b", "/domain/1/c"):
        other.ask(rows.STORE_WATCH, path, path.encode())
        assert take(other) == (path, path)
    owner.ask(rows.STORE_REMOVE, "c")
    assert take(other) is None
    owner.ask(rows.STORE_REMOVE, "a")
    assert take(other) == ("/domain/1/a/b", "/domain/1/a/b")


def test_a_domain_ends_and_everything_with_it(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    before = hypervisor.counts
    dying = hypervisor.add(2)
    caller.ask(rows.STORE_WATCH, "/domain/2/a", b"t")
    take(caller)
    caller.ask(rows.STORE_WRITE, "mine")
    caller.ask(rows.STORE_PERMIT, "mine", b"", 2, READ)
    dying.ask(rows.STORE_WRITE, "a/b", b"x")
    dying.ask(rows.STORE_PERMIT, "a", b"", 1, READ)
    dying.ask(rows.STORE_WATCH, "/domain/1/mine", b"t")
    dying.ask(rows.STORE_WRITE, "a/c", b"x", transaction=dying.call(rows.STORE_BEGIN))
    assert take(caller) is not None
    reading = caller.call(rows.STORE_BEGIN)
    assert caller.answer(rows.STORE_READ, "/domain/2/a/b", transaction=reading) == b"x"
    hypervisor.remove(2)
    assert take(caller) == ("/domain/2/a", "t")
    assert caller.answer(rows.STORE_READ, "/domain/2/a/b", transaction=reading) == b"x", "as it was"
    assert caller.call(rows.STORE_END, reading, 1) == -EAGAIN.number
    assert caller.answer(rows.STORE_READ, "/domain/2/a/b") == -EPERM.number
    mine = hypervisor.store.tree.root.find(("domain", "1", "mine"))
    assert mine is not None and not mine.rights, "rights of the dead are forgotten"
    caller.ask(rows.STORE_REMOVE, "mine")
    caller.ask(rows.STORE_UNWATCH, "/domain/2/a", b"t")
    assert hypervisor.counts == before


def test_a_transaction_that_only_reads_happens_beside_others(hypervisor: Hypervisor) -> None:
    one, two = hypervisor.add(1), hypervisor.add(2)
    for _ in range(20):
        transaction = one.call(rows.STORE_BEGIN)
        assert one.answer(rows.STORE_READ, "", transaction=transaction) == b""
        two.ask(rows.STORE_WRITE, "a", b"x")
        assert one.call(rows.STORE_END, transaction, 1) == 0


def test_a_refused_call_of_a_transaction_fires_nothing(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    caller.ask(rows.STORE_WATCH, "a", b"t")
    take(caller)
    transaction = caller.call(rows.STORE_BEGIN)
    assert caller.ask(rows.STORE_REMOVE, "a", transaction=transaction) == -ENOENT.number
    assert caller.call(rows.STORE_END, transaction, 1) == 0
    assert take(caller) is None


def test_a_transactions_number_is_not_used_again_at_once(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    numbers = []
    for _ in range(9):
        numbers.append(caller.call(rows.STORE_BEGIN))
        caller.call(rows.STORE_END, numbers[-1], 0)
    assert len(set(numbers)) == 9


def test_a_number_is_used_once_at_a_time(hypervisor: Hypervisor) -> None:
    hypervisor.add(1)
    for domid in (0, 1, 0x7FF0, -1):
        with pytest.raises(ValueError, match="number"):
            hypervisor.store.add(domid, lambda: None)
