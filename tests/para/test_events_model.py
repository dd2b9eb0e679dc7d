# SPDX-License-Identifier: GPL-2.0-or-later
"""Event channels against a plain model: ends that know each other, with a flag for everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pvisor.abi.areas import events as rows
from pvisor.abi.errnos import EEXIST, EINVAL, ENOENT, EPERM
from pvisor.abi.layout import offsetof, sizeof
from pvisor.para.events import BOUND, FREE, IPI, N_PORTS, N_VIRQS, UNBOUND, VIRQ, VIRQ_TIMER, HostPort
from tests.para.callers import SHARED, Hypervisor

DOMIDS, N_VCPUS, SELF = (1, 2, 3), 2, rows.DOMID_SELF.number
VCPU, VCPU_BYTES = offsetof("pv_shared_info", "vcpu"), sizeof("pv_vcpu_info")
UPCALL_PENDING = offsetof("pv_vcpu_info", "upcall_pending")
LOW_PORTS = 8
"""Ports that the rules choose from: the lowest free one is taken, so these are the ones in use."""

WRONG_PORTS = (0, LOW_PORTS, N_PORTS - 1, N_PORTS, (1 << 32) - 1)

domids = st.integers(0, len(DOMIDS) - 1)
"""One of the domains that are there, by its place among them."""
ports = st.integers(0, LOW_PORTS + len(WRONG_PORTS) - 1)
"""One of the ports in use, by its place among them, or a port that will not do."""
vcpu_ids = st.integers(0, N_VCPUS)
virqs = st.integers(0, N_VIRQS)


class Host:
    """The host's end of a channel."""

    def __init__(self) -> None:
        self.n_heard = self.n_expected = 0
        self.real: HostPort | None = None

    def hear(self) -> None:
        """It is signalled."""
        self.n_heard += 1


@dataclass(eq=False)
class End:
    """A port in use."""

    domid: int
    port: int
    kind: int
    remote_domid: int = 0
    vcpu_id: int = 0
    virq: int = 0
    peer: End | Host | None = None
    is_pending: bool = False
    is_masked: bool = True


class EventMachine(RuleBasedStateMachine):
    """Up to three domains with two virtual CPUs each, and the host."""

    def __init__(self) -> None:
        super().__init__()
        self.hypervisor = Hypervisor()
        self.empty = self.hypervisor.counts
        self.ends: dict[int, dict[int, End]] = {}
        self.upcalls: dict[int, list[bool]] = {}
        self.hosts: list[Host] = []

    # --- the model

    def end(self, domid: int, port: int) -> End | None:
        return self.ends[domid].get(port)

    def new(self, domid: int, kind: int) -> End:
        port = next(port for port in range(1, N_PORTS) if port not in self.ends[domid])
        end = self.ends[domid][port] = End(domid, port, kind)
        return end

    def signal(self, end: End | Host | None) -> None:
        if isinstance(end, Host):
            end.n_expected += 1
        elif end is not None and not end.is_pending:
            end.is_pending = True
            if not end.is_masked:
                self.upcalls[end.domid][end.vcpu_id] = True

    def close(self, end: End) -> None:
        del self.ends[end.domid][end.port]
        peer = end.peer
        if isinstance(peer, End):
            peer.kind, peer.peer = UNBOUND, None
        self.signal(peer)

    def domid_at(self, place: int) -> int:
        return sorted(self.ends)[place % len(self.ends)]

    def port_at(self, domid: int, place: int) -> int:
        used = sorted(self.ends.get(domid, ()))
        if place >= LOW_PORTS:
            return WRONG_PORTS[place - LOW_PORTS]
        return used[place % len(used)] if used else place

    # --- calls

    @initialize()
    def two_domains(self) -> None:
        self.add_domain(1)
        self.add_domain(2)

    @rule(domid=st.sampled_from(DOMIDS))
    def add_domain(self, domid: int) -> None:
        if domid not in self.ends:
            self.hypervisor.add(domid, N_VCPUS)
            self.ends[domid], self.upcalls[domid] = {}, [False] * N_VCPUS

    @precondition(lambda self: len(self.ends) == len(DOMIDS))
    @rule(domid=st.sampled_from(DOMIDS))
    def remove_domain(self, domid: int) -> None:
        if domid in self.ends:
            self.hypervisor.remove(domid)
            for end in list(self.ends[domid].values()):
                self.close(end)
            del self.ends[domid], self.upcalls[domid]

    @rule(domid=domids, remote=st.sampled_from([0, *DOMIDS, SELF]))
    def alloc(self, domid: int, remote: int) -> None:
        domid = self.domid_at(domid)
        end = self.new(domid, UNBOUND)
        end.remote_domid = domid if remote == SELF else remote
        assert self.hypervisor.callers[domid].call(rows.EVENT_ALLOC, remote) == end.port

    @rule(domid=domids, remote=st.sampled_from([0, *DOMIDS, SELF]), remote_port=ports)
    def bind(self, domid: int, remote: int, remote_port: int) -> None:
        domid = self.domid_at(domid)
        peer_domid = domid if remote == SELF else remote
        remote_port = self.port_at(peer_domid, remote_port)
        result = self.hypervisor.callers[domid].call(rows.EVENT_BIND, remote, remote_port)
        remote = peer_domid
        if not 0 < remote_port < N_PORTS:
            assert result == -EINVAL.number
        elif remote not in self.ends:
            assert result == -ENOENT.number
        else:
            peer = self.end(remote, remote_port)
            if peer is None or peer.kind != UNBOUND or peer.remote_domid != domid:
                assert result == -EPERM.number
                return
            end = self.new(domid, BOUND)
            end.remote_domid, end.peer = remote, peer
            peer.kind, peer.peer = BOUND, end
            self.signal(peer)
            assert result == end.port

    @rule(domid=domids, virq=virqs, vcpu_id=vcpu_ids)
    def bind_virq(self, domid: int, virq: int, vcpu_id: int) -> None:
        domid = self.domid_at(domid)
        result = self.hypervisor.callers[domid].call(rows.EVENT_BIND_VIRQ, virq, vcpu_id)
        if virq == N_VIRQS or vcpu_id == N_VCPUS:
            assert result == -EINVAL.number
        elif self.virq_end(domid, virq, vcpu_id) is not None:
            assert result == -EEXIST.number
        else:
            end = self.new(domid, VIRQ)
            end.virq, end.vcpu_id = virq, vcpu_id
            assert result == end.port

    def virq_end(self, domid: int, virq: int, vcpu_id: int) -> End | None:
        for end in self.ends[domid].values():
            if end.kind == VIRQ and end.virq == virq and (virq != VIRQ_TIMER or end.vcpu_id == vcpu_id):
                return end
        return None

    @rule(domid=domids, vcpu_id=vcpu_ids)
    def bind_ipi(self, domid: int, vcpu_id: int) -> None:
        domid = self.domid_at(domid)
        result = self.hypervisor.callers[domid].call(rows.EVENT_BIND_IPI, vcpu_id)
        if vcpu_id == N_VCPUS:
            assert result == -EINVAL.number
        else:
            end = self.new(domid, IPI)
            end.vcpu_id = vcpu_id
            assert result == end.port

    def found(self, domid: int, port: int, result: int) -> End | None:
        """The end that a call on a port is about; None when there is none, and the result was so."""
        end = self.end(domid, port)
        if not 0 < port < N_PORTS:
            assert result == -EINVAL.number
        elif end is None:
            assert result == -ENOENT.number
        return end

    @rule(domid=domids, port=ports)
    def close_port(self, domid: int, port: int) -> None:
        domid = self.domid_at(domid)
        port = self.port_at(domid, port)
        result = self.hypervisor.callers[domid].call(rows.EVENT_CLOSE, port)
        end = self.found(domid, port, result)
        if end is not None:
            assert result == 0
            self.close(end)

    @rule(domid=domids, port=ports)
    def send(self, domid: int, port: int) -> None:
        domid = self.domid_at(domid)
        port = self.port_at(domid, port)
        result = self.hypervisor.callers[domid].call(rows.EVENT_SEND, port)
        end = self.found(domid, port, result)
        if end is None:
            return
        wanted = {BOUND: 0, IPI: 0, VIRQ: -EINVAL.number, UNBOUND: -ENOENT.number}[end.kind]
        assert result == wanted
        if wanted == 0:
            self.signal(end if end.kind == IPI else end.peer)

    @rule(domid=domids, port=ports)
    def unmask(self, domid: int, port: int) -> None:
        domid = self.domid_at(domid)
        port = self.port_at(domid, port)
        result = self.hypervisor.callers[domid].call(rows.EVENT_UNMASK, port)
        end = self.found(domid, port, result)
        if end is not None:
            assert result == 0
            end.is_masked = False
            self.upcalls[domid][end.vcpu_id] |= end.is_pending

    @rule(domid=domids, port=ports, vcpu_id=vcpu_ids)
    def choose_vcpu(self, domid: int, port: int, vcpu_id: int) -> None:
        domid = self.domid_at(domid)
        port = self.port_at(domid, port)
        result = self.hypervisor.callers[domid].call(rows.EVENT_VCPU, port, vcpu_id)
        if vcpu_id == N_VCPUS:
            assert result == -EINVAL.number
            return
        end = self.found(domid, port, result)
        if end is None:
            return
        if end.kind == IPI or (end.kind == VIRQ and end.virq == VIRQ_TIMER):
            assert result == -EINVAL.number
            return
        assert result == 0
        end.vcpu_id = vcpu_id
        if end.is_pending and not end.is_masked:
            self.upcalls[domid][vcpu_id] = True

    # --- what guests do by themselves

    @rule(domid=domids, port=ports)
    def mask(self, domid: int, port: int) -> None:
        domid = self.domid_at(domid)
        if (end := self.end(domid, port)) is not None:
            self.hypervisor.callers[domid].shared.set_masked(port, True)
            end.is_masked = True

    @rule(domid=domids, port=ports)
    def take(self, domid: int, port: int) -> None:
        domid = self.domid_at(domid)
        if (end := self.end(domid, port)) is not None:
            self.hypervisor.callers[domid].shared.set_pending(port, False)
            end.is_pending = False

    @rule(domid=domids, vcpu_id=st.integers(0, N_VCPUS - 1))
    def look(self, domid: int, vcpu_id: int) -> None:
        """The first step of a dispatcher: upcall_pending is cleared."""
        domid = self.domid_at(domid)
        caller = self.hypervisor.callers[domid]
        caller.domain.memory.write(SHARED + VCPU + vcpu_id * VCPU_BYTES + UPCALL_PENDING, b"\0")
        caller.told = [told for told in caller.told if told != vcpu_id]
        self.upcalls[domid][vcpu_id] = False

    # --- the hypervisor and its backends

    @rule(domid=domids, virq=st.integers(0, N_VIRQS - 1), vcpu_id=st.integers(0, N_VCPUS - 1))
    def raise_virq(self, domid: int, virq: int, vcpu_id: int) -> None:
        domid = self.domid_at(domid)
        self.hypervisor.events.tables[domid].raise_virq(virq, vcpu_id)
        self.signal(self.virq_end(domid, virq, vcpu_id))

    @rule(domid=domids, port=ports)
    def host_binds(self, domid: int, port: int) -> None:
        domid = self.domid_at(domid)
        port = self.port_at(domid, port)
        host = Host()
        host.real = self.hypervisor.events.host_port(domid, port, host.hear)
        end = self.end(domid, port)
        may = end is not None and end.kind == UNBOUND and end.remote_domid == 0
        assert (host.real is not None) is may
        if end is not None and may:
            self.hosts.append(host)
            end.kind, end.peer = BOUND, host
            self.signal(end)

    def guest_of(self, host: Host) -> End | None:
        return next((end for end in self.all_ends() if end.peer is host), None)

    @precondition(lambda self: self.hosts)
    @rule(data=st.data(), closes=st.booleans())
    def host_acts(self, data: st.DataObject, closes: bool) -> None:
        host = data.draw(st.sampled_from(self.hosts))
        guest = self.guest_of(host)
        assert host.real is not None and host.real.is_open is (guest is not None)
        if closes:
            host.real.close()
            if guest is not None:
                guest.kind, guest.peer = UNBOUND, None
        else:
            host.real.send()
        self.signal(guest)

    # --- what must hold

    def all_ends(self) -> Iterator[End]:
        for ends in self.ends.values():
            yield from ends.values()

    @invariant()
    def ports_are_as_the_model_has_them(self) -> None:
        for domid, ends in self.ends.items():
            caller = self.hypervisor.callers[domid]
            assert caller.events.n_used == len(ends)
            for port in (*range(1, LOW_PORTS + 2), *ends):
                end = ends.get(port)
                if end is None:
                    assert caller.info(port) == (FREE, 0, 0, 0, 0)
                    assert caller.shared.is_masked(port) and not caller.shared.is_pending(port)
                    continue
                remote = end.peer.port if isinstance(end.peer, End) else 0
                assert caller.info(port) == (end.kind, end.vcpu_id, end.remote_domid, remote, end.virq)
                assert caller.shared.is_pending(port) is end.is_pending
                assert caller.shared.is_masked(port) is end.is_masked

    @invariant()
    def whoever_should_be_told_is_told(self) -> None:
        for domid, upcalls in self.upcalls.items():
            caller = self.hypervisor.callers[domid]
            assert [caller.shared.upcall_pending(i) for i in range(N_VCPUS)] == upcalls
            assert {i for i in range(N_VCPUS) if upcalls[i]} == set(caller.told)
        assert all(host.n_heard == host.n_expected for host in self.hosts)

    def teardown(self) -> None:
        for domid in list(self.ends):
            self.remove_domain(domid)
        assert self.hypervisor.counts == self.empty
        assert all(host.real is not None and not host.real.is_open for host in self.hosts)


TestEvents = EventMachine.TestCase
TestEvents.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
