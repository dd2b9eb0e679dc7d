# SPDX-License-Identifier: GPL-2.0-or-later
"""Event channels: signals between domains, virtual CPUs, the hypervisor and its backends.

This has no twin in full: a PC's interrupt controllers are its counterpart (full/pic.py, full/apic.py).

A table of plain arrays holds a domain's ports; what is pending and masked lies in its shared page alone. The
way of a signal is short, because it is what everything else waits for: no allocation, no search.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from pvisor.abi import errnos
from pvisor.abi.areas import cpu as cpu_rows
from pvisor.abi.areas import events as rows
from pvisor.abi.layout import pack
from pvisor.cpu.shim import ffi
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.meeting import Meeting
from pvisor.domain.outcome import RESUME, Outcome
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import GuestError, copy_out, invalid, refused
from pvisor.para.shared import SharedPage

N_PORTS = cpu_rows.EVENT_PORTS.number
MAX_VCPUS = cpu_rows.MAX_VCPUS.number
DOMID_HOST, DOMID_MAX, DOMID_SELF = (
    row.number for row in (rows.DOMID_HOST, rows.DOMID_MAX, rows.DOMID_SELF)
)  # fmt: skip
FREE, UNBOUND, BOUND, VIRQ, IPI = (
    row.number for row in (rows.FREE, rows.UNBOUND, rows.BOUND, rows.VIRQ, rows.IPI)
)
VIRQ_TIMER, N_VIRQS = rows.VIRQ_TIMER.number, rows.N_VIRQS.number


class HostPort:
    """The end of a channel that belongs to a backend in the host. `EventHub.host_port` makes it."""

    __slots__ = ("_guest", "_port", "is_open", "on_signal")

    def __init__(self, guest: EventTable, port: int, on_signal: Callable[[], None]) -> None:
        self._guest = guest
        self._port = port
        self.on_signal = on_signal
        self.is_open = True

    def signal(self, port: int) -> None:
        """The guest has sent; from which of its ports is known."""
        self.on_signal()

    def send(self) -> None:
        """Signal the guest. Without effect when the guest has closed its end."""
        if self.is_open:
            self._guest.signal(self._port)

    def close(self) -> None:
        """Let go. The guest's port is unbound again, and signalled a last time."""
        if self.is_open:
            self.is_open = False
            self._guest.lose_remote(self._port)

    def lose_remote(self, port: int) -> None:
        """The guest has closed its end, or ended: `on_signal` is called a last time, with `is_open` False."""
        self.is_open = False
        self.on_signal()


class AwayEnd:
    """The end of a channel that belongs to a domain of another physical CPU, as its sender sees it."""

    __slots__ = ("_meeting", "_sender", "_table")

    def __init__(self, meeting: Meeting, sender: int, table: EventTable) -> None:
        self._meeting = meeting
        self._sender = sender
        self._table = table

    def signal(self, port: int) -> None:
        """It arrives when all clocks stand at the same time, as one with those before it."""
        to = self._table.domid
        self._meeting.post(self._sender, partial(self._arrive, port), ("signal", self._sender, to, port))

    def lose_remote(self, port: int) -> None:
        """The sender has closed its end, at a meeting."""
        self._table.lose_remote(port)

    def _arrive(self, port: int) -> None:
        """A channel that was closed meanwhile had its last signal then."""
        if self._table.kinds[port] == BOUND and self._table.remote_domids[port] == self._sender:
            self._table.signal(port)


Receiver: TypeAlias = "EventTable | AwayEnd | HostPort"
"""Who gets what is sent on a port."""


class EventHub:
    """The event channels of all domains. `meeting` says who of them runs side by side."""

    def __init__(self, meeting: Meeting | None = None) -> None:
        self.meeting = meeting or Meeting()
        self.tables: dict[int, EventTable] = {}

    def add(self, domain: Domain, shared: SharedPage) -> EventTable:
        """A table for a new domain. Raises ValueError when its number is in use or cannot be one."""
        if domain.domid in self.tables or not 0 < domain.domid <= DOMID_MAX:
            raise ValueError(f"{domain.domid} is the number of another domain, or of none")
        table = self.tables[domain.domid] = EventTable(self, domain, shared)
        return table

    def remove(self, domid: int) -> None:
        """The domain has ended: its ports are closed, and the other ends signalled."""
        table = self.tables.pop(domid)
        for port in range(1, N_PORTS):
            if table.kinds[port] != FREE:
                table.close_port(port)

    def host_port(self, domid: int, port: int, on_signal: Callable[[], None]) -> HostPort | None:
        """Bind a backend to a port that a guest has allocated for PV_DOMID_HOST.

        None when there is no such port: the numbers come from the guest. `on_signal` is called inside the
        guest's EVENT_SEND and EVENT_CLOSE, and may send. The guest's port is signalled once, as EVENT_BIND
        does it.
        """
        table = self.tables.get(domid)
        if table is None or not 0 < port < N_PORTS:
            return None
        if table.kinds[port] != UNBOUND or table.remote_domids[port] != DOMID_HOST:
            return None
        host = HostPort(table, port, on_signal)
        table.host_ports[port] = host
        table.kinds[port] = BOUND
        table.set_receiver(port, host)
        table.signal(port)
        return host


class EventTable:
    """The event ports of one domain, by number."""

    def __init__(self, hub: EventHub, domain: Domain, shared: SharedPage) -> None:
        self._hub = hub
        self._domain = domain
        self.shared = shared
        self.kinds = bytearray(N_PORTS)
        self.vcpu_ids = bytearray(N_PORTS)
        self.virqs = bytearray(N_PORTS)
        self.remote_domids = array("H", bytes(2 * N_PORTS))
        self.remote_ports = array("H", bytes(2 * N_PORTS))
        self.virq_ports = array("H", bytes(2 * N_VIRQS * MAX_VCPUS))
        """The port of a virtual IRQ, by `virq * MAX_VCPUS + vcpu_id`; 0: none. All but TIMER use vCPU 0's."""
        self.receivers: list[Receiver | None] = [None] * N_PORTS
        """Who gets what is sent on a port, as its `remote_ports`; None where nothing can be sent."""
        self.native: Any = ffi.new("pv_event_table *")
        """What EVENT_SEND in C knows of it."""
        self._buffers = ffi.from_buffer("uint16_t[]", self.remote_ports), ffi.from_buffer(self.vcpu_ids)
        self.native.remote_ports = self._buffers[0]
        self.native.vcpu_ids = ffi.cast("uint8_t *", self._buffers[1])
        self.host_ports: dict[int, HostPort] = {}
        self.on_signal: Callable[[int], None] | None = None
        """Called with each port that is signalled, masked or not: who waits for one with POLL."""
        self.on_virq_bound: dict[int, Callable[[], None]] = {}
        """By virtual IRQ: called when the guest has bound it to a port."""
        self.served = Served(
            answers={
                rows.EVENT_ALLOC: self._alloc, rows.EVENT_BIND: self._bind,
                rows.EVENT_BIND_VIRQ: self._bind_virq, rows.EVENT_BIND_IPI: self._bind_ipi,
                rows.EVENT_CLOSE: self._close, rows.EVENT_UNMASK: self._unmask,
                rows.EVENT_STATUS: self._status, rows.EVENT_VCPU: self._set_vcpu,
            },
            decides={rows.EVENT_SEND: self._send},
        )  # fmt: skip

    @property
    def domid(self) -> int:
        """Whose ports they are."""
        return self._domain.domid

    @property
    def n_used(self) -> int:
        """How many ports are in use."""
        return N_PORTS - self.kinds.count(FREE)

    # --- what the hypervisor does

    def let_natives_signal(self, vcpus: Sequence[Any], polls: Any) -> None:
        """Native handlers may signal this domain: its engines (`pv_vcpu`), and a `pv_poll` for each."""
        self.native.n_vcpus, self.native.vcpus, self.native.polls = len(vcpus), list(vcpus), polls
        self._follow_shared_page()
        self.shared.on_move.append(self._follow_shared_page)

    def set_receiver(self, port: int, receiver: Receiver | None) -> None:
        """Who gets what is sent on a port."""
        self.receivers[port] = receiver
        self.native.receivers[port] = receiver.native if isinstance(receiver, EventTable) else ffi.NULL

    def signal(self, port: int) -> None:
        """Signal a port that is in use."""
        vcpu_id = self.vcpu_ids[port]
        if self.shared.signal(port, vcpu_id):
            domain = self._domain
            domain.notify(domain.vcpus[vcpu_id])
        if self.on_signal is not None:
            self.on_signal(port)

    def raise_virq(self, virq: int, vcpu_id: int = 0) -> None:
        """Signal a virtual IRQ; of TIMER, that of one vCPU. Without effect when it is not bound to a port."""
        port = self.virq_ports[virq * MAX_VCPUS + (vcpu_id if virq == VIRQ_TIMER else 0)]
        if port:
            self.signal(port)

    def lose_remote(self, port: int) -> None:
        """The other end of a channel has gone."""
        self.host_ports.pop(port, None)
        self.kinds[port] = UNBOUND
        self.set_receiver(port, None)
        self.remote_ports[port] = 0
        self.signal(port)

    def close_port(self, port: int) -> None:
        """Free a port that is in use, and tell the other end."""
        kind, receiver, remote = self.kinds[port], self.receivers[port], self.remote_ports[port]
        self.host_ports.pop(port, None)
        self._reset(port, FREE)
        if kind == VIRQ:
            self.virq_ports[self.virq_ports.index(port)] = 0
        elif kind == BOUND and receiver is not None:
            receiver.lose_remote(remote)

    # --- what the guest asks

    def _send(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """EVENT_SEND(port)."""
        port = exit.args[0]
        receiver = self.receivers[port] if port < N_PORTS else None
        if receiver is None:
            raise self._why_not(port)
        receiver.signal(self.remote_ports[port])
        exit.result = 0
        return RESUME

    def _why_not(self, port: int) -> GuestError:
        """Why nothing can be sent on a port."""
        is_wrong = not 0 < port < N_PORTS or self.kinds[port] == VIRQ
        return invalid() if is_wrong else refused(errnos.ENOENT)

    def _alloc(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """EVENT_ALLOC(remote_domid): a port."""
        remote_domid = self._domid(exit.args[0])
        port = self._new(UNBOUND)
        self.remote_domids[port] = remote_domid
        return port

    def _bind(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """EVENT_BIND(remote_domid, remote_port): a port."""
        remote_domid, remote_port = self._domid(exit.args[0]), exit.args[1]
        if not 0 < remote_port < N_PORTS:
            raise invalid()
        self._hub.meeting.need_for(domain.domid, remote_domid)
        remote = self._hub.tables.get(remote_domid)
        if remote is None:
            raise refused(errnos.ENOENT)
        if remote.kinds[remote_port] != UNBOUND or remote.remote_domids[remote_port] != domain.domid:
            raise refused(errnos.EPERM)
        port = self._new(BOUND)
        self.remote_domids[port], self.remote_ports[port] = remote_domid, remote_port
        remote.kinds[remote_port], remote.remote_ports[remote_port] = BOUND, port
        self.set_receiver(port, self._end_of(remote))
        remote.set_receiver(remote_port, remote._end_of(self))
        remote.signal(remote_port)
        return port

    def _bind_virq(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """EVENT_BIND_VIRQ(virq, vcpu_id): a port."""
        virq, vcpu_id = exit.args[0], self._vcpu_id(exit.args[1])
        if virq >= N_VIRQS:
            raise invalid()
        slot = virq * MAX_VCPUS + (vcpu_id if virq == VIRQ_TIMER else 0)
        if self.virq_ports[slot]:
            raise refused(errnos.EEXIST)
        port = self._new(VIRQ)
        self.virqs[port], self.vcpu_ids[port], self.virq_ports[slot] = virq, vcpu_id, port
        if virq in self.on_virq_bound:
            self.on_virq_bound[virq]()
        return port

    def _bind_ipi(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """EVENT_BIND_IPI(vcpu_id): a port."""
        vcpu_id = self._vcpu_id(exit.args[0])
        port = self._new(IPI)
        self.vcpu_ids[port], self.remote_ports[port] = vcpu_id, port
        self.set_receiver(port, self)
        return port

    def _close(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """EVENT_CLOSE(port)."""
        port = self._used(exit.args[0])
        if isinstance(self.receivers[port], AwayEnd):
            self._hub.meeting.need()
        self.close_port(port)
        return 0

    def _unmask(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """EVENT_UNMASK(port)."""
        port = self._used(exit.args[0])
        self.shared.set_masked(port, False)
        self._tell_if_pending(port)
        return 0

    def _status(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """EVENT_STATUS(port, status)."""
        port = exit.args[0]
        if not 0 < port < N_PORTS:
            raise invalid()
        kind = self.kinds[port]
        copy_out(domain, vcpu, exit.args[1], pack(
            "pv_event_info", kind=kind, vcpu_id=self.vcpu_ids[port], remote_domid=self.remote_domids[port],
            remote_port=self.remote_ports[port] if kind == BOUND else 0, virq=self.virqs[port],
        ))  # fmt: skip
        return 0

    def _set_vcpu(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """EVENT_VCPU(port, vcpu_id)."""
        vcpu_id = self._vcpu_id(exit.args[1])
        port = self._used(exit.args[0])
        kind = self.kinds[port]
        if kind == IPI or (kind == VIRQ and self.virqs[port] == VIRQ_TIMER):
            raise invalid()
        self.vcpu_ids[port] = vcpu_id
        if not self.shared.is_masked(port):
            self._tell_if_pending(port)
        return 0

    # --- helpers

    def _end_of(self, table: EventTable) -> EventTable | AwayEnd:
        """Another domain's table, or one's own, as what this one sends goes there."""
        meeting = self._hub.meeting
        is_away = meeting.are_apart(self.domid, table.domid)
        return AwayEnd(meeting, self.domid, table) if is_away else table

    def _follow_shared_page(self) -> None:
        self.native.shared = self.shared.gpa

    def _tell_if_pending(self, port: int) -> None:
        if self.shared.is_pending(port):
            vcpu_id = self.vcpu_ids[port]
            self.shared.raise_upcall(vcpu_id, port)
            self._domain.notify(self._domain.vcpus[vcpu_id])

    def _new(self, kind: int) -> int:
        """The lowest free port, now in use. Raises GuestError (ENOSPC)."""
        port = self.kinds.find(FREE, 1)
        if port < 0:
            raise refused(errnos.ENOSPC)
        self._reset(port, kind)
        return port

    def _reset(self, port: int, kind: int) -> None:
        self.kinds[port] = kind
        self.set_receiver(port, None)
        self.vcpu_ids[port] = self.virqs[port] = self.remote_domids[port] = self.remote_ports[port] = 0
        self.shared.set_masked(port, True)
        self.shared.set_pending(port, False)

    def _used(self, port: int) -> int:
        if not 0 < port < N_PORTS:
            raise invalid()
        if self.kinds[port] == FREE:
            raise refused(errnos.ENOENT)
        return port

    def _domid(self, domid: int) -> int:
        if domid == DOMID_SELF:
            return self._domain.domid
        if domid > DOMID_MAX:
            raise invalid()
        return domid

    def _vcpu_id(self, vcpu_id: int) -> int:
        if vcpu_id >= len(self._domain.vcpus):
            raise invalid()
        return vcpu_id
