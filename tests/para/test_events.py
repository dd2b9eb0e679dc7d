# SPDX-License-Identifier: GPL-2.0-or-later
"""Event channels on bare handlers: who is told, the hypervisor's own ends, several virtual CPUs, endings."""

from __future__ import annotations

import pytest

from pvisor.abi.areas.events import (
    DOMID_HOST,
    DOMID_SELF,
    EVENT_ALLOC,
    EVENT_BIND,
    EVENT_BIND_IPI,
    EVENT_BIND_VIRQ,
    EVENT_CLOSE,
    EVENT_SEND,
    EVENT_UNMASK,
    EVENT_VCPU,
    VIRQ_BALLOON,
    VIRQ_CONSOLE,
    VIRQ_TIMER,
)
from pvisor.abi.errnos import EEXIST, EINVAL, ENOENT
from pvisor.para.events import BOUND, FREE, N_PORTS, UNBOUND, VIRQ, HostPort
from pvisor.vmm.physical_cpu import PhysicalCpu
from tests.para.callers import Caller, Hypervisor

SELF, HOST = DOMID_SELF.number, DOMID_HOST.number
TIMER, CONSOLE, BALLOON = VIRQ_TIMER.number, VIRQ_CONSOLE.number, VIRQ_BALLOON.number


@pytest.fixture
def hypervisor() -> Hypervisor:
    return Hypervisor()


def unmasked_ipi(caller: Caller, vcpu_id: int) -> int:
    port = caller.call(EVENT_BIND_IPI, vcpu_id)
    caller.call(EVENT_UNMASK, port)
    return port


def test_a_vcpu_is_told_once_until_it_looks(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    one, two = unmasked_ipi(caller, 0), unmasked_ipi(caller, 0)
    for port in (one, two, one):
        assert caller.call(EVENT_SEND, port) == 0
    assert caller.told == [0]
    assert caller.shared.is_pending(one) and caller.shared.is_pending(two)


def test_each_vcpu_has_its_own_ipi_and_timer(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1, n_vcpus=3)
    assert caller.call(EVENT_SEND, unmasked_ipi(caller, 2)) == 0
    timers = [caller.call(EVENT_BIND_VIRQ, TIMER, vcpu_id) for vcpu_id in range(3)]
    assert caller.call(EVENT_BIND_VIRQ, TIMER, 1) == -EEXIST.number
    assert caller.call(EVENT_BIND_VIRQ, TIMER, 3) == -EINVAL.number
    for port in timers:
        caller.call(EVENT_UNMASK, port)
    caller.events.raise_virq(TIMER, 1)
    assert caller.told == [2, 1]
    assert [caller.shared.is_pending(port) for port in timers] == [False, True, False]


def test_a_virq_of_the_domain_is_told_to_the_chosen_vcpu(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1, n_vcpus=2)
    port = caller.call(EVENT_BIND_VIRQ, CONSOLE, 1)
    assert caller.call(EVENT_BIND_VIRQ, CONSOLE, 0) == -EEXIST.number
    caller.call(EVENT_UNMASK, port)
    caller.events.raise_virq(CONSOLE)
    assert caller.told == [1]
    assert caller.info(port) == (VIRQ, 1, 0, 0, CONSOLE)
    assert caller.call(EVENT_VCPU, port, 0) == 0, "it is pending, so the new one is told"
    assert caller.told == [1, 0]
    assert caller.shared.upcall_pending(0)


def test_signals_to_another_cpu_wait_as_one_for_each_port(hypervisor: Hypervisor) -> None:
    """A guest makes millions in a step, by batches: what waits is bounded, and the receiver sees the same."""
    one, other, meeting = hypervisor.add(1), hypervisor.add(2), hypervisor.events.meeting
    for domid in (1, 2):
        meeting.place(domid, PhysicalCpu())
    theirs = [other.call(EVENT_ALLOC, 1) for _ in range(2)]
    for port in theirs:
        other.call(EVENT_UNMASK, port)
    ports = [one.call(EVENT_BIND, 2, port) for port in theirs]
    came: list[int] = []
    other.events.on_signal = came.append
    for port in theirs:
        other.shared.set_pending(port, False)
    for _ in range(2):
        for _ in range(1000):
            assert one.call(EVENT_SEND, ports[1]) == one.call(EVENT_SEND, ports[0]) == 0
        for _ in range(100):  # a channel that comes and goes
            one.call(EVENT_CLOSE, ports[0])
            assert one.call(EVENT_BIND, 2, theirs[0]) == ports[0]
            assert one.call(EVENT_SEND, ports[0]) == 0
        other.shared.set_pending(theirs[0], False)
        came.clear()
        assert not other.shared.is_pending(theirs[1])
        assert len(meeting._posts) == 2
        meeting.deliver()
        assert came == [theirs[1], theirs[0]]
        assert all(other.shared.is_pending(port) for port in theirs)
        other.shared.set_pending(theirs[1], False)


def test_another_vcpu_is_not_told_of_a_masked_port(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1, n_vcpus=2)
    port = caller.call(EVENT_BIND_VIRQ, CONSOLE, 0)
    caller.events.raise_virq(CONSOLE)
    assert caller.call(EVENT_VCPU, port, 1) == 0
    assert not caller.told and not caller.shared.upcall_pending(1)
    caller.call(EVENT_UNMASK, port)
    assert caller.told == [1]


def test_a_virq_without_a_port_is_nothing(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    caller.events.raise_virq(BALLOON)
    port = caller.call(EVENT_BIND_VIRQ, BALLOON, 0)
    caller.call(EVENT_UNMASK, port)
    assert not caller.told
    caller.call(EVENT_CLOSE, port)
    caller.events.raise_virq(BALLOON)
    assert not caller.told and not caller.shared.is_pending(port)


def test_waking_a_masked_port_tells_only_who_polls(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    seen: list[int] = []
    caller.events.on_signal = seen.append
    port = caller.call(EVENT_BIND_IPI, 0)
    caller.call(EVENT_SEND, port)
    assert (seen, caller.told) == ([port], [])


def test_unmask_tells_even_a_vcpu_that_has_been_told(hypervisor: Hypervisor) -> None:
    """A guest that has its flags wrong asks by EVENT_UNMASK, and is heard."""
    caller = hypervisor.add(1)
    port = unmasked_ipi(caller, 0)
    caller.call(EVENT_SEND, port)
    assert caller.call(EVENT_UNMASK, port) == 0
    assert caller.told == [0, 0]


def host_port(hypervisor: Hypervisor, caller: Caller) -> tuple[int, HostPort, list[str]]:
    """A channel to the host, with what the host has heard."""
    port = caller.call(EVENT_ALLOC, HOST)
    heard: list[str] = []
    host = hypervisor.events.host_port(caller.domain.domid, port, lambda: heard.append("signal"))
    assert host is not None
    return port, host, heard


def test_a_channel_to_the_host(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    port, host, heard = host_port(hypervisor, caller)
    assert caller.shared.is_pending(port), "the guest learns that somebody is there"
    assert caller.info(port) == (BOUND, 0, HOST, 0, 0)
    caller.shared.set_pending(port, False)
    assert caller.call(EVENT_SEND, port) == 0
    assert heard == ["signal"]
    host.send()
    assert caller.shared.is_pending(port)


def test_the_guest_closes_first(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    port, host, heard = host_port(hypervisor, caller)
    assert caller.call(EVENT_CLOSE, port) == 0
    assert (heard, host.is_open) == (["signal"], False)
    host.send()
    host.close()
    assert caller.info(port)[0] == FREE and not caller.shared.is_pending(port)


def test_the_host_closes_first_and_comes_again(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    port, host, heard = host_port(hypervisor, caller)
    caller.shared.set_pending(port, False)
    host.close()
    assert caller.info(port) == (UNBOUND, 0, HOST, 0, 0)
    assert caller.shared.is_pending(port)
    assert caller.call(EVENT_SEND, port) == -ENOENT.number
    again = hypervisor.events.host_port(1, port, lambda: None)
    assert again is not None and again.is_open
    host.send()
    host.close()
    assert again.is_open and not heard


def test_the_host_may_answer_and_close_while_it_is_signalled(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    port, host, _ = host_port(hypervisor, caller)
    caller.shared.set_pending(port, False)
    host.on_signal = host.close
    assert caller.call(EVENT_SEND, port) == 0
    assert caller.info(port)[0] == UNBOUND and caller.shared.is_pending(port)


@pytest.mark.parametrize("port", [-1, 0, 2, 3, 5, N_PORTS - 1, N_PORTS, 1 << 70])
def test_a_port_that_does_not_wait_for_the_host_gives_nothing(hypervisor: Hypervisor, port: int) -> None:
    caller = hypervisor.add(1)
    caller.call(EVENT_ALLOC, HOST)
    caller.call(EVENT_ALLOC, SELF)
    caller.call(EVENT_BIND_IPI, 0)
    assert hypervisor.events.host_port(1, port, lambda: None) is None
    assert hypervisor.events.host_port(2, 1, lambda: None) is None
    assert hypervisor.events.host_port(1, 1, lambda: None) is not None
    assert hypervisor.events.host_port(1, 1, lambda: None) is None, "one end, one backend"


def test_a_domain_ends_and_everything_with_it(hypervisor: Hypervisor) -> None:
    caller = hypervisor.add(1)
    before = hypervisor.counts
    dying = hypervisor.add(2)
    ours = caller.call(EVENT_ALLOC, 2)
    theirs = dying.call(EVENT_BIND, 1, ours)
    waiting = caller.call(EVENT_ALLOC, 2)
    _, host, heard = host_port(hypervisor, dying)
    loop = dying.call(EVENT_ALLOC, SELF)
    dying.call(EVENT_BIND, SELF, loop)
    dying.call(EVENT_BIND_VIRQ, TIMER, 0)
    caller.call(EVENT_UNMASK, ours)
    caller.shared.set_pending(ours, False)
    hypervisor.remove(2)
    assert caller.shared.upcall_pending(0)
    assert caller.info(ours) == (UNBOUND, 0, 2, 0, 0) and caller.shared.is_pending(ours)
    assert caller.call(EVENT_SEND, ours) == -ENOENT.number
    assert caller.call(EVENT_BIND, 2, theirs) == -ENOENT.number
    assert (heard, host.is_open) == (["signal"], False)
    assert hypervisor.events.host_port(2, 1, lambda: None) is None
    for port in (ours, waiting):
        assert caller.call(EVENT_CLOSE, port) == 0
    assert hypervisor.counts == before


def test_a_number_is_used_once_at_a_time(hypervisor: Hypervisor) -> None:
    hypervisor.add(1)
    for domid in (0, 1, 0x7FF0, -1):
        with pytest.raises(ValueError, match="number"):
            hypervisor.add(domid)
    hypervisor.remove(1)
    hypervisor.add(1)
