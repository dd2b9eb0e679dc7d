# SPDX-License-Identifier: GPL-2.0-or-later
"""Event channels against guests that mean harm: nothing crosses domains, nothing raises, nothing leaks."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.abi.areas import events as rows
from pvisor.abi.errnos import EFAULT, EINVAL, ENOENT, EPERM
from pvisor.abi.model import CType, Hypercall
from pvisor.para.events import N_PORTS
from tests.para.callers import ABSENT, READ_ONLY, SHARED, VALUE, Caller, Hypervisor

HOST, SELF = rows.DOMID_HOST.number, rows.DOMID_SELF.number
EDGES = (0, 1, 2, 3, 15, 16, 63, 64, N_PORTS - 1, N_PORTS, N_PORTS + 1, 0x7FEF, SELF, 0x7FFF, 0xFFFF,
         0x1_0000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 1 << 63,
         (1 << 64) - 1)  # fmt: skip
WILD = (0, 1, READ_ONLY, ABSENT, ABSENT - 8, READ_ONLY - 23, 1 << 20, (1 << 20) - 23, 1 << 47, 1 << 63,
        0xFFFF_8000_0000_0000, (1 << 64) - 1, (1 << 64) - 24)  # fmt: skip


@pytest.fixture
def hypervisor() -> Hypervisor:
    """Two domains with a channel between them, at port 1 of each, and a channel of each to itself."""
    made = Hypervisor()
    one, two = made.add(1, n_vcpus=2), made.add(2)
    assert one.call(rows.EVENT_ALLOC, 2) == 1 == two.call(rows.EVENT_BIND, 1, 1)
    for caller in (one, two):
        assert caller.call(rows.EVENT_BIND, SELF, caller.call(rows.EVENT_ALLOC, SELF)) == 3
    return made


def state(caller: Caller) -> tuple[object, ...]:
    """All that a guest may not change in another one."""
    table = caller.events
    return (
        bytes(table.kinds), bytes(table.vcpu_ids), table.remote_domids.tobytes(),
        table.remote_ports.tobytes(), table.virq_ports.tobytes(), caller.domain.memory.read(SHARED, 4096),
        tuple(caller.told),
    )  # fmt: skip


@pytest.mark.parametrize("call", rows.CALLS, ids=lambda call: call.name)
def test_edges_of_integers(hypervisor: Hypervisor, call: Hypercall) -> None:
    """Whatever the numbers are, the answer is the table's, and the other domain's own ports are as before."""
    one, two = hypervisor.callers[1], hypervisor.callers[2]
    known = {-errno.number for errno in call.errors}
    before = two.info(2), two.info(3)
    for args in product(EDGES, repeat=len(call.args)):
        words = [VALUE if arg.type is CType.GVA else word for arg, word in zip(call.args, args, strict=True)]
        result = one.call(call, *words)
        assert result >= 0 or result in known, words
        if any(arg.type is CType.U32 and word >> 32 for arg, word in zip(call.args, words, strict=True)):
            assert result == -EINVAL.number
    assert (two.info(2), two.info(3)) == before
    assert two.info(1)[0] in (rows.BOUND.number, rows.UNBOUND.number)


@pytest.mark.parametrize("pointer", WILD)
def test_a_wild_pointer_for_the_answer(hypervisor: Hypervisor, pointer: int) -> None:
    one = hypervisor.callers[1]
    before = one.domain.memory.read(0, one.domain.memory.size_bytes)
    assert one.call(rows.EVENT_STATUS, 1, pointer) == -EFAULT.number
    assert one.domain.memory.read(0, one.domain.memory.size_bytes) == before


def test_ports_of_others_are_not_in_reach(hypervisor: Hypervisor) -> None:
    """A third domain tries every port of the other two."""
    three = hypervisor.add(3)
    one, two = hypervisor.callers[1], hypervisor.callers[2]
    one.call(rows.EVENT_ALLOC, HOST)
    one.call(rows.EVENT_ALLOC, 2)
    before = state(one), state(two)
    for domid, port in product((1, 2), range(1, N_PORTS)):
        assert three.call(rows.EVENT_BIND, domid, port) == -EPERM.number
    for port in range(1, N_PORTS):
        for call in (rows.EVENT_SEND, rows.EVENT_CLOSE, rows.EVENT_UNMASK):
            assert three.call(call, port) == -ENOENT.number
    assert (state(one), state(two)) == before
    assert three.events.n_used == 0


def test_nobody_takes_a_port_that_is_kept_for_another(hypervisor: Hypervisor) -> None:
    one, two = hypervisor.callers[1], hypervisor.callers[2]
    three = hypervisor.add(3)
    port = one.call(rows.EVENT_ALLOC, 2)
    for caller in (one, three):
        assert caller.call(rows.EVENT_BIND, 1, port) == -EPERM.number
    assert hypervisor.events.host_port(1, port, lambda: None) is None
    assert two.call(rows.EVENT_BIND, 1, port) > 0


def test_a_shared_page_full_of_ones_misleads_its_own_guest_only(hypervisor: Hypervisor) -> None:
    one, two = hypervisor.callers[1], hypervisor.callers[2]
    before = state(two)
    one.domain.memory.write(SHARED, b"\xff" * 4096)
    assert one.call(rows.EVENT_UNMASK, 1) == 0
    assert one.told == [0], "it asks, and is told of what it pretends"
    assert state(two) == before
    assert one.call(rows.EVENT_SEND, 1) == 0
    assert two.shared.is_pending(1)
    for port in (1, 2, 3):
        assert one.call(rows.EVENT_CLOSE, port) == 0


def test_opening_and_closing_for_ever_leaves_nothing(hypervisor: Hypervisor) -> None:
    one = hypervisor.callers[1]
    before = hypervisor.counts
    for i in range(3000):
        port = one.call(rows.EVENT_ALLOC, i % 4)
        assert port == 4
        host = hypervisor.events.host_port(1, port, lambda: None) if i % 4 == 0 else None
        assert one.call(rows.EVENT_CLOSE, port) == 0
        assert host is None or not host.is_open
    assert hypervisor.counts == before


def test_the_other_end_dies_in_the_middle(hypervisor: Hypervisor) -> None:
    """Each call about a channel whose other end has just gone gives what the table says."""
    one = hypervisor.callers[1]
    hypervisor.remove(2)
    assert one.call(rows.EVENT_SEND, 1) == -ENOENT.number
    assert one.call(rows.EVENT_UNMASK, 1) == 0
    assert one.call(rows.EVENT_VCPU, 1, 1) == 0
    assert one.info(1) == (rows.UNBOUND.number, 1, 2, 0, 0)
    assert one.call(rows.EVENT_BIND, 2, 1) == -ENOENT.number
    assert one.call(rows.EVENT_CLOSE, 1) == 0


def test_a_domain_dies_while_the_host_is_signalled(hypervisor: Hypervisor) -> None:
    """A backend that ends the domain inside its own EVENT_SEND: the call comes to its end all the same."""
    one = hypervisor.callers[1]
    port = one.call(rows.EVENT_ALLOC, HOST)
    host = hypervisor.events.host_port(1, port, lambda: None)
    assert host is not None
    n_calls = 0

    def kill() -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 1:
            hypervisor.remove(1)

    host.on_signal = kill
    assert one.call(rows.EVENT_SEND, port) == 0
    assert n_calls == 2 and not host.is_open
    assert hypervisor.callers[2].info(1)[0] == rows.UNBOUND.number


def test_a_guest_closes_while_the_host_closes(hypervisor: Hypervisor) -> None:
    one = hypervisor.callers[1]
    port = one.call(rows.EVENT_ALLOC, HOST)
    host = hypervisor.events.host_port(1, port, lambda: None)
    assert host is not None
    host.on_signal = host.close
    assert one.call(rows.EVENT_CLOSE, port) == 0
    again = one.call(rows.EVENT_ALLOC, SELF)
    assert again == port
    host.close()
    host.send()
    assert one.info(again)[0] == rows.UNBOUND.number and not one.shared.is_pending(again)


numbers = st.one_of(st.integers(0, 6), st.sampled_from(EDGES), st.sampled_from(WILD))


arguments = st.lists(numbers, min_size=5, max_size=5)


@given(calls=st.lists(st.tuples(st.sampled_from(rows.CALLS), st.integers(1, 3), arguments)))
@settings(max_examples=150, deadline=None)
def test_any_calls_leave_no_trace_after_the_end(calls: list[tuple[Hypercall, int, list[int]]]) -> None:
    hypervisor = Hypervisor()
    before = hypervisor.counts
    for domid in (1, 2, 3):
        hypervisor.add(domid, n_vcpus=domid)
    for call, domid, args in calls:
        result = hypervisor.callers[domid].call(call, *args[: len(call.args)])
        assert result >= 0 or -result in {errno.number for errno in call.errors}
    for domid in (2, 1, 3):
        hypervisor.remove(domid)
    assert hypervisor.counts == before
