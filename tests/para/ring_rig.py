# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest without a CPU that drives rings by hand, and a host with a plain store and plain ports."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from pvisor.abi.areas import events, rings
from pvisor.abi.layout import offsetof
from pvisor.domain.domain import Domain
from pvisor.machine.console import ConsoleInput, ConsoleOutput, NoInput
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.machine.timers import Timers
from pvisor.para.backend import Host
from pvisor.para.cpu import ParaWing
from pvisor.para.grants import GrantHub
from pvisor.para.ring import RESPONSE_BYTES, RingKind
from tests.domain.fakes import MEMORY_BYTES, FakeVcpu

HOST = events.DOMID_HOST.number
PORT = 9
U32 = (1 << 32) - 1
RING, DATA = 0x1_0000, 0x2_0000
"""Where the guest keeps its rings, a page each, and pages of data."""


class PlainStore:
    """Paths and values; a watch is called at once."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.watches: list[tuple[str, Callable[[str], None]]] = []

    def read(self, path: str) -> bytes | None:
        return self.values.get(path)

    def write(self, path: str, value: bytes) -> None:
        self.values[path] = value
        for watched, on_change in list(self.watches):
            if path == watched or path.startswith(watched + "/"):
                on_change(path)

    def watch(self, path: str, callback: Callable[[str], None]) -> Callable[[], None]:
        entry = (path, callback)
        self.watches.append(entry)
        return lambda: self.watches.remove(entry)


@dataclass
class PlainPort:
    """The host's end of the one port."""

    on_signal: Callable[[], None]
    is_open: bool = True
    n_sent: int = 0

    def send(self) -> None:
        self.n_sent += self.is_open

    def close(self) -> None:
        self.is_open = False


@dataclass
class PlainEvents:
    """Port 9 is allocated for the host, once."""

    ports: list[PlainPort] = field(default_factory=list)

    def host_port(self, domid: int, port: int, on_signal: Callable[[], None]) -> PlainPort | None:
        if port != PORT or (self.ports and self.ports[-1].is_open):
            return None
        self.ports.append(PlainPort(on_signal))
        return self.ports[-1]


class FrontRing:
    """The guest's end of a ring at a GPA, with indices that begin where a test wants."""

    def __init__(self, memory: GuestMemory, gpa: int, kind: RingKind) -> None:
        self.memory, self.gpa, self.kind = memory, gpa, kind
        memory.write(gpa, bytes(PAGE_BYTES))
        self.produced = self.consumed = 0
        self.set("request_event", 1)
        self.set("response_event", 1)

    def get(self, name: str) -> int:
        """A member of the header."""
        at = self.gpa + offsetof("pv_ring_header", name)
        return int.from_bytes(self.memory.read(at, 4), "little")

    def set(self, name: str, value: int) -> None:
        """Write a member of the header."""
        at = self.gpa + offsetof("pv_ring_header", name)
        self.memory.write(at, (value & U32).to_bytes(4, "little"))

    def request(self, data: bytes) -> None:
        """Put a request and show it."""
        assert len(data) == self.kind.request_bytes
        at = rings.HEADER_BYTES.number + self.produced % self.kind.n_slots * len(data)
        self.memory.write(self.gpa + at, data)
        self.produced += 1
        self.set("request_producer", self.produced)

    def responses(self) -> list[tuple[int, int, int]]:
        """(id, status, n_bytes) of new responses; asks for a signal at the next."""
        found = []
        base = rings.HEADER_BYTES.number + self.kind.n_slots * self.kind.request_bytes
        while self.consumed & U32 != self.get("response_producer"):
            at = base + self.consumed % self.kind.n_slots * RESPONSE_BYTES
            found.append(struct.unpack("<III", self.memory.read(self.gpa + at, 12)))
            self.consumed += 1
        self.set("response_event", self.consumed + 1)
        return found


class Station:
    """A domain, its host, and what its guest does."""

    def __init__(self, input: ConsoleInput | None = None) -> None:
        self.memory = GuestMemory(MEMORY_BYTES)
        self.now_ns = 0
        vcpu = FakeVcpu(self.memory)
        output, wing = ConsoleOutput(), ParaWing(0)
        self.domain = Domain(1, "guest", self.memory, wing, [vcpu], output, input or NoInput())
        self.domain.timers = Timers(lambda: self.now_ns)
        self.store, self.events, self.grants = PlainStore(), PlainEvents(), GrantHub()
        self.table = self.grants.add(1, self.memory)
        self.host = Host(self.store, self.events, self.grants)
        self.rings: list[FrontRing] = []

    def grant(self, gpa: int, *, read_only: bool = False, domid: int = HOST) -> int:
        """Grant a page; the gref."""
        return self.table.create(domid, gpa, read_only=read_only).gref

    def connect(self, folder: str, kind: RingKind, names: tuple[str, ...] = ("ring",)) -> None:
        """Do what a guest does to connect."""
        home = f"/domain/1/device/{folder}"
        self.rings = []
        for i, name in enumerate(names):
            gpa = RING + i * PAGE_BYTES
            self.rings.append(FrontRing(self.memory, gpa, kind))
            self.store.write(f"{home}/{name}", str(self.grant(gpa)).encode())
        self.store.write(f"{home}/port", str(PORT).encode())
        self.store.write(f"{home}/state", b"ready")

    def state(self, folder: str) -> str:
        """What the backend says."""
        return (self.store.read(f"/domain/1/device/{folder}/backend/state") or b"").decode()

    def part(self, folder: str) -> None:
        """The guest lets go."""
        self.store.write(f"/domain/1/device/{folder}/state", b"closed")

    @property
    def port(self) -> PlainPort:
        """The latest port's other end."""
        return self.events.ports[-1]

    def signal(self) -> None:
        """The guest sends."""
        self.port.on_signal()

    def pass_time(self, until_ns: int) -> None:
        """Virtual time goes by."""
        while (due_ns := self.domain.timers.next_due_ns) is not None and due_ns <= until_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.domain.timers.run_due()
        self.now_ns = until_ns

    def revoke_all(self) -> None:
        """Every grant can be revoked: nobody has it mapped."""
        for gref in list(self.table._grants):
            self.table.revoke(gref)


def buffer_request(id: int, op: int, gref: int, offset: int, n_bytes: int) -> bytes:
    """A request of a net, console or entropy ring."""
    return struct.pack("<IIIHH", id, op, gref, offset, n_bytes)
