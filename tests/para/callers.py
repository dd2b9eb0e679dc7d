# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains without a CPU that make hypercalls: what events and the store are tried with."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from pvisor.abi.areas import events as event_rows
from pvisor.abi.model import Hypercall
from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.domain import Domain, handle_exit
from pvisor.domain.outcome import Outcome
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.cpu import ParaWing
from pvisor.para.events import EventHub, EventTable
from pvisor.para.shared import SharedPage
from pvisor.para.store import Store
from pvisor.para.store_calls import StoreClient
from tests.domain.fakes import MEMORY_BYTES, FakeExit, FakeVcpu

SHARED, REQUEST, PATH, VALUE = 0x1000, 0x2000, 0x3000, 0x4000
READ_ONLY, ABSENT = 0x6000, 0x7000
ALL_FEATURES = (1 << 63) - 1


@dataclass
class Caller:
    """A domain, with its event ports and its view of the store."""

    domain: Domain
    shared: SharedPage
    events: EventTable
    store: StoreClient
    told: list[int] = field(default_factory=list)
    """The vCPUs that were told of an event, in order."""

    def call(self, call: Hypercall, *args: int) -> int:
        """Make a hypercall on vCPU 0. Its result, signed; it never does more than resume."""
        vcpu = self.domain.vcpus[0]
        words = [arg & (1 << 64) - 1 for arg in args] + [0] * (5 - len(args))
        exit = FakeExit(reason=ExitReason.HYPERCALL, number=call.nr, args=words)
        assert handle_exit(self.domain, vcpu, exit) is Outcome.RESUME
        return exit.result

    def ask(self, call: Hypercall, path: str | bytes = "", value: bytes = b"", *more: int,
            room: int | None = None, transaction: int = 0) -> int:  # fmt: skip
        """A call about the store. `room`: the size of the room for an answer, at VALUE."""
        memory = self.domain.memory
        text = path.encode() if isinstance(path, str) else path
        memory.write(PATH, text)
        memory.write(VALUE, value)
        n_bytes = len(value) if room is None else room
        memory.write(REQUEST, struct.pack("<QQIIII", PATH, VALUE, len(text), n_bytes, transaction, 0))
        return self.call(call, REQUEST, *more)

    def answer(self, call: Hypercall, path: str = "", *, transaction: int = 0) -> bytes | int:
        """A call about the store that gives bytes: these, or its error."""
        result = self.ask(call, path, room=PAGE_BYTES, transaction=transaction)
        return result if result < 0 else self.domain.memory.read(VALUE, result)

    def info(self, port: int) -> tuple[int, ...]:
        """What EVENT_STATUS tells of a port, without the reserved member."""
        assert self.call(event_rows.EVENT_STATUS, port, VALUE) == 0
        return struct.unpack("<6I", self.domain.memory.read(VALUE, 24))[:5]


class Hypervisor:
    """Hubs, and domains that share them."""

    def __init__(self) -> None:
        self.events = EventHub()
        self.store = Store()
        self.callers: dict[int, Caller] = {}

    def add(self, domid: int, n_vcpus: int = 1) -> Caller:
        """A new domain."""
        memory = GuestMemory(MEMORY_BYTES)
        vcpus: list[Vcpu] = []
        for vcpu_id in range(n_vcpus):
            vcpu = FakeVcpu(memory)
            vcpu.vcpu_id = vcpu_id
            vcpu.read_only.add(READ_ONLY)
            vcpu.absent.add(ABSENT)
            vcpus.append(vcpu)
        domain = Domain(domid, f"d{domid}", memory, ParaWing(0), vcpus, ConsoleOutput(), NoInput())
        shared = SharedPage(memory, SHARED)
        shared.clear()
        table = self.events.add(domain, shared)
        client = self.store.add(domid, lambda: table.raise_virq(event_rows.VIRQ_STORE.number))
        domain.wing = ParaWing(ALL_FEATURES, (table.served, client.served))
        caller = self.callers[domid] = Caller(domain, shared, table, client)
        domain.notify = lambda vcpu: caller.told.append(vcpu.vcpu_id)
        return caller

    def remove(self, domid: int) -> None:
        """The domain ends."""
        del self.callers[domid]
        self.events.remove(domid)
        self.store.remove(domid)

    @property
    def counts(self) -> dict[str, int]:
        """Everything of which there can be too much."""
        tables = self.events.tables.values()
        clients = self.store.clients.values()
        return {
            "tables": len(tables), "ports": sum(table.n_used for table in tables),
            "host ports": sum(len(table.host_ports) for table in tables),
            "virqs": sum(port != 0 for table in tables for port in table.virq_ports),
            "clients": len(clients), "nodes": self.store.n_nodes,
            "watches": sum(len(client.watches) for client in clients),
            "waiting": sum(client.watches.n_fired for client in clients),
            "transactions": sum(len(client.transactions) for client in clients),
            "host watches": self.store.n_host_watches,
        }  # fmt: skip
