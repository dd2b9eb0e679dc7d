# SPDX-License-Identifier: GPL-2.0-or-later
"""The store against guests that mean harm: wild requests, foreign homes, hoarding, deaths in the middle."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.abi.areas import store as rows
from pvisor.abi.errnos import E2BIG, EAGAIN, EFAULT, EINVAL, ENOENT, ENOSPC, EPERM
from pvisor.abi.model import Hypercall
from pvisor.para.store_tree import Path
from pvisor.para.store_watches import Change
from tests.domain.fakes import MEMORY_BYTES, FakeVcpu
from tests.para.callers import ABSENT, PATH, READ_ONLY, REQUEST, SHARED, VALUE, Caller, Hypervisor

LIMIT = {row.name.removeprefix("PV_STORE_").removesuffix("_MAX"): row.number for row in rows.CONSTANTS}
BY_REQUEST = tuple(call for call in rows.CALLS if call.args and call.args[0].name == "request")
each_call = pytest.mark.parametrize("call", BY_REQUEST, ids=lambda call: call.name)
RIGHTS = rows.READ.number | rows.WRITE.number


@pytest.fixture
def hypervisor() -> Hypervisor:
    """Two domains; the second has a secret."""
    made = Hypervisor()
    made.add(1)
    made.add(2).ask(rows.STORE_WRITE, "secret/a", b"password")
    return made


def raw(caller: Caller, call: Hypercall, at: int, *fields: int) -> int:
    """A call with a request of any bytes at any place where memory is."""
    if fields:
        caller.domain.memory.write(at, struct.pack("<QQIIII", *fields))
    return caller.call(call, at, 2, 1)


@each_call
def test_wild_requests(hypervisor: Hypervisor, call: Hypercall) -> None:
    caller = hypervisor.callers[1]
    before = caller.domain.memory.read(0, MEMORY_BYTES)
    for at in (0, 1, ABSENT, ABSENT - 31, MEMORY_BYTES - 31, 1 << 47, 0xFFFF_8000_0000_0000, (1 << 64) - 1):
        assert raw(caller, call, at) == -EFAULT.number
    assert caller.domain.memory.read(0, MEMORY_BYTES) == before


@each_call
def test_a_request_is_read_once(hypervisor: Hypervisor, call: Hypercall) -> None:
    """What the guest changes in it while the call is served makes no difference: nobody looks again."""
    caller = hypervisor.callers[1]
    vcpu = caller.domain.vcpus[0]
    assert isinstance(vcpu, FakeVcpu)
    caller.ask(rows.STORE_WRITE, "a", b"x")
    vcpu.log.clear()
    caller.ask(call, "a", b"v", 2, 1)
    for what in (f"copy_in {REQUEST:#x} 32", f"copy_in {PATH:#x} 1", f"copy_in {VALUE:#x} 1"):
        assert vcpu.log.count(what) <= 1
    assert all(line.split()[0] == "copy_in" or f"{VALUE:#x}" in line for line in vcpu.log)


@each_call
@pytest.mark.parametrize("n_bytes", [LIMIT["PATH"] + 1, 1 << 16, 1 << 31, (1 << 32) - 1])
def test_a_huge_path_is_refused_unread(hypervisor: Hypervisor, call: Hypercall, n_bytes: int) -> None:
    caller = hypervisor.callers[1]
    vcpu = caller.domain.vcpus[0]
    assert isinstance(vcpu, FakeVcpu)
    result = raw(caller, call, REQUEST, PATH, VALUE, n_bytes, 0, 0, 0)
    assert result in (-EINVAL.number, -ENOENT.number if call is rows.STORE_NEXT else -EINVAL.number)
    assert len(vcpu.log) == 1


@pytest.mark.parametrize("n_bytes", [LIMIT["VALUE"] + 1, 1 << 31, (1 << 32) - 1])
def test_a_huge_value_is_refused_unread(hypervisor: Hypervisor, n_bytes: int) -> None:
    caller = hypervisor.callers[1]
    caller.domain.memory.write(PATH, b"a")
    assert raw(caller, rows.STORE_WRITE, REQUEST, PATH, VALUE, 1, n_bytes, 0, 0) == -EINVAL.number
    assert raw(caller, rows.STORE_WATCH, REQUEST, PATH, VALUE, 1, n_bytes, 0, 0) == -EINVAL.number


def test_a_huge_room_costs_nothing(hypervisor: Hypervisor) -> None:
    caller = hypervisor.callers[1]
    caller.ask(rows.STORE_WRITE, "a", b"xyz")
    caller.domain.memory.write(PATH, b"a")
    before = caller.domain.memory.read(0, MEMORY_BYTES)
    for at in (READ_ONLY, ABSENT, ABSENT - 2, MEMORY_BYTES - 2, (1 << 64) - 2):
        asked = (PATH, at, 1, (1 << 32) - 1, 0, 0)
        caller.domain.memory.write(REQUEST, struct.pack("<QQIIII", *asked))
        now = caller.domain.memory.read(0, MEMORY_BYTES)
        assert caller.call(rows.STORE_READ, REQUEST) == -EFAULT.number
        assert caller.domain.memory.read(0, MEMORY_BYTES) == now
    assert before != now
    assert raw(caller, rows.STORE_READ, REQUEST, PATH, READ_ONLY - 3, 1, (1 << 32) - 1, 0, 0) == 3


def test_an_answer_over_the_request_and_over_the_shared_page(hypervisor: Hypervisor) -> None:
    """Its own memory, and its own loss."""
    caller = hypervisor.callers[1]
    caller.ask(rows.STORE_WRITE, "a", b"\xff" * 64)
    caller.domain.memory.write(PATH, b"a")
    for at in (REQUEST, SHARED):
        assert raw(caller, rows.STORE_READ, REQUEST, PATH, at, 1, 64, 0, 0) == 64
        assert caller.domain.memory.read(at, 64) == b"\xff" * 64


OTHERS = ("/domain/2", "/domain/2/secret", "/domain/2/secret/a", "/domain/2/nothing", "/domain/3/x")


@pytest.mark.parametrize("path", OTHERS)
def test_homes_of_others_are_closed(hypervisor: Hypervisor, path: str) -> None:
    """What is there and what is not look the same."""
    caller = hypervisor.callers[1]
    before = hypervisor.store.tree.root
    transaction = caller.call(rows.STORE_BEGIN)
    for number in (0, transaction):
        for call in (rows.STORE_READ, rows.STORE_LIST, rows.STORE_WRITE, rows.STORE_REMOVE):
            assert caller.ask(call, path, b"x", transaction=number) == -EPERM.number
        assert caller.ask(rows.STORE_PERMIT, path, b"", 3, RIGHTS, transaction=number) == -EPERM.number
    assert caller.call(rows.STORE_END, transaction, 1) == 0
    assert hypervisor.store.tree.root is before


def test_a_watch_on_anothers_home_tells_nothing(hypervisor: Hypervisor) -> None:
    one, two = hypervisor.callers[1], hypervisor.callers[2]
    for path in (*OTHERS, "/", "/domain"):
        one.ask(rows.STORE_WATCH, path, b"t")
        assert one.answer(rows.STORE_NEXT) == path.encode() + b"\0t\0", "what it asked for, whatever there is"
    two.ask(rows.STORE_WRITE, "secret/a", b"new")
    two.ask(rows.STORE_REMOVE, "secret")
    two.ask(rows.STORE_WRITE, "nothing", b"")
    assert one.answer(rows.STORE_NEXT) == -ENOENT.number


def test_rights_lent_are_no_rights_to_lend(hypervisor: Hypervisor) -> None:
    one, two = hypervisor.callers[1], hypervisor.callers[2]
    two.ask(rows.STORE_PERMIT, "secret", b"", 1, RIGHTS)
    assert one.answer(rows.STORE_READ, "/domain/2/secret/a") == b"password"
    assert one.ask(rows.STORE_PERMIT, "/domain/2/secret", b"", 3, RIGHTS) == -EPERM.number
    assert one.ask(rows.STORE_WRITE, "/domain/2/other", b"") == -EPERM.number
    for i in range(300):
        result = one.ask(rows.STORE_WRITE, f"/domain/2/secret/n{i}", b"x")
        assert result in (0, -ENOSPC.number)
    assert result == -ENOSPC.number, "what is made there counts there"
    two.ask(rows.STORE_PERMIT, "secret", b"", 1, rows.INHERIT.number)
    assert one.answer(rows.STORE_READ, "/domain/2/secret/a") == -EPERM.number
    assert two.ask(rows.STORE_REMOVE, "secret") == 0


def test_rights_taken_back_before_the_end_of_a_transaction(hypervisor: Hypervisor) -> None:
    one, two = hypervisor.callers[1], hypervisor.callers[2]
    two.ask(rows.STORE_PERMIT, "secret", b"", 1, RIGHTS)
    transaction = one.call(rows.STORE_BEGIN)
    assert one.ask(rows.STORE_WRITE, "/domain/2/secret/a", b"mine", transaction=transaction) == 0
    two.ask(rows.STORE_PERMIT, "secret", b"", 1, rows.NONE.number)
    assert one.call(rows.STORE_END, transaction, 1) == -EAGAIN.number
    assert two.answer(rows.STORE_READ, "secret/a") == b"password"


def test_hoarding_has_an_end(hypervisor: Hypervisor) -> None:
    """Everything a guest can pile up is bounded, and its own."""
    one, two = hypervisor.callers[1], hypervisor.callers[2]
    value = b"v" * LIMIT["VALUE"]
    while one.ask(rows.STORE_WRITE, f"n{hypervisor.store.n_nodes}", value) == 0:
        pass
    while one.ask(rows.STORE_WATCH, "", b"%d" % len(one.store.watches)) == 0:
        pass
    numbers = []
    while (number := one.call(rows.STORE_BEGIN)) > 0:
        numbers.append(number)
        while one.ask(rows.STORE_WRITE, "n6", value, transaction=number) == 0:
            pass
    for _ in range(100):
        one.ask(rows.STORE_WRITE, "n6", value)
    home = hypervisor.store.tree.root.find(("domain", "1"))
    assert home is not None and home.n_nodes == LIMIT["NODES"]
    assert len(one.store.watches) == one.store.watches.n_fired == LIMIT["WATCHES"]
    assert [len(t.log) for t in one.store.transactions.values()] == [LIMIT["STEPS"]] * LIMIT["TRANSACTIONS"]
    assert two.ask(rows.STORE_WRITE, "mine", b"as ever") == 0
    assert two.call(rows.STORE_BEGIN) > 0


def test_watches_that_have_fired_cost_a_commit_nothing(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many changes at once as there can be, and watches on them: who may know is not asked each time."""
    asked = 0

    def count(change: Change, domid: int, path: Path) -> bool:
        nonlocal asked
        asked += 1
        return is_told_to(change, domid, path)

    is_told_to = Change.is_told_to
    monkeypatch.setattr(Change, "is_told_to", count)
    caller, other = hypervisor.callers[1], hypervisor.callers[2]
    caller.ask(rows.STORE_WRITE, "a/b", b"v")
    caller.ask(rows.STORE_PERMIT, "a", b"", 2, RIGHTS)
    for one in (caller, other):
        for i in range(LIMIT["WATCHES"]):
            assert one.ask(rows.STORE_WATCH, "/domain/1" if i % 2 else "/domain/1/a", b"%d" % i) == 0
        while one.ask(rows.STORE_NEXT, room=LIMIT["EVENT"]) > 0:
            pass
    transaction = caller.call(rows.STORE_BEGIN)
    for i in range(LIMIT["STEPS"]):
        assert caller.ask(rows.STORE_WRITE, f"a/b/{i}", b"", transaction=transaction) == 0
    asked = 0
    assert caller.call(rows.STORE_END, transaction, 1) == 0
    assert 0 < asked <= 2 * 2  # for the first change, and for the second, which widens what is told
    assert other.answer(rows.STORE_NEXT) == b"/domain/1/a/b\x000\x00"


def test_another_cannot_starve_a_transaction_of_ones_own(hypervisor: Hypervisor) -> None:
    one, two = hypervisor.callers[1], hypervisor.callers[2]
    transaction = one.call(rows.STORE_BEGIN)
    assert one.ask(rows.STORE_WRITE, "a", b"1", transaction=transaction) == 0
    for _ in range(50):
        two.ask(rows.STORE_WRITE, "secret/a", b"noise")
        two.ask(rows.STORE_REMOVE, "secret")
    assert one.call(rows.STORE_END, transaction, 1) == 0


@pytest.mark.parametrize("victim", [1, 2])
@pytest.mark.parametrize("call", [rows.STORE_WRITE, rows.STORE_REMOVE, rows.STORE_PERMIT],
                         ids=lambda call: call.name)  # fmt: skip
def test_a_domain_dies_in_the_middle(hypervisor: Hypervisor, victim: int, call: Hypercall) -> None:
    """A backend that hears of the change ends a domain, perhaps the caller; the call comes to its end."""
    one = hypervisor.callers[1]
    one.ask(rows.STORE_WRITE, "a", b"x")
    one.ask(rows.STORE_WATCH, "a", b"t")
    hypervisor.callers[2].ask(rows.STORE_WATCH, "/domain/1/a", b"t")
    is_armed = False

    def kill(path: str) -> None:
        nonlocal is_armed
        if is_armed:
            is_armed = False
            hypervisor.remove(victim)

    hypervisor.store.watch("/domain/1/a", kill)
    is_armed = True
    assert one.ask(call, "a", b"y", 3, RIGHTS) == 0
    assert not is_armed and set(hypervisor.callers) == {1, 2} - {victim}
    assert hypervisor.store.names("/domain") == (str(3 - victim),)
    hypervisor.remove(3 - victim)
    assert hypervisor.counts["nodes"] == 2 and hypervisor.counts["watches"] == 0


def test_a_domain_dies_with_a_transaction_on_anothers_home(hypervisor: Hypervisor) -> None:
    one, two = hypervisor.callers[1], hypervisor.callers[2]
    one.ask(rows.STORE_PERMIT, "", b"", 2, RIGHTS)
    transaction = two.call(rows.STORE_BEGIN)
    assert two.ask(rows.STORE_WRITE, "/domain/1/a", b"x", transaction=transaction) == 0
    hypervisor.remove(1)
    assert two.call(rows.STORE_END, transaction, 1) == -EAGAIN.number
    assert hypervisor.store.names("/domain") == ("2",)


words = st.one_of(
    st.sampled_from((0, 1, REQUEST, PATH, VALUE, READ_ONLY, ABSENT, ABSENT - 3, SHARED, (1 << 64) - 2)),
    st.integers(0, (1 << 64) - 1),
)
small = st.one_of(st.integers(0, 5), st.sampled_from((64, 512, 513, 1024, 1025, (1 << 32) - 1)))
texts = st.sampled_from(
    [b"", b"a", b"a/b", b"/", b"/domain", b"/domain/2/secret", b"//", b"a\0", b"\xff", b"a" * 65]
)
requests = st.tuples(words, words, small, small, st.integers(0, 3), st.sampled_from([0, 0, 0, 1]))


some_call = st.sampled_from(rows.CALLS)


@given(calls=st.lists(st.tuples(some_call, st.integers(1, 2), requests, texts, small, small)))
@settings(max_examples=150, deadline=None)
def test_any_calls_give_an_answer_of_the_table(
    calls: list[tuple[Hypercall, int, tuple[int, ...], bytes, int, int]],
) -> None:
    hypervisor = Hypervisor()
    before = hypervisor.counts
    for domid in (1, 2):
        hypervisor.add(domid)
    for call, domid, fields, text, first, second in calls:
        caller = hypervisor.callers[domid]
        caller.domain.memory.write(PATH, text)
        caller.domain.memory.write(REQUEST, struct.pack("<QQIIII", *fields))
        args = (REQUEST, first, second) if call in BY_REQUEST else (first, second)
        result = caller.call(call, *args[: len(call.args)])
        assert result >= 0 or -result in {errno.number for errno in call.errors}
    for domid in (1, 2):
        hypervisor.remove(domid)
    assert hypervisor.counts == before


def test_too_little_room_takes_nothing(hypervisor: Hypervisor) -> None:
    caller = hypervisor.callers[1]
    caller.ask(rows.STORE_WATCH, "a", b"t")
    for room in range(14):
        assert caller.ask(rows.STORE_NEXT, room=room) == -E2BIG.number
    assert caller.answer(rows.STORE_NEXT) == b"/domain/1/a\0t\0"
