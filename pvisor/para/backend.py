# SPDX-License-Identifier: GPL-2.0-or-later
"""What all backends in the host have in common: how a device and a guest find each other, and part.

A device is a node of the guest's home in the store, `device/block/0` for instance:

    backend           by the toolstack: the backend's domid, `0` for the host
    backend/state     by the backend: `waiting`, `connected`, `error` (backend/error says why), `closed`
    backend/...       by the backend: facts about the device
    ring, port        by the guest: the ring's gref, the event port; a net device has `send-ring` and
                      `receive-ring`
    state             by the guest, last: `ready` to connect, `closed` to part

A guest that breaks a rule of the ring loses the device, not more: the backend says `error` and lets go until
the guest says `closed` and `ready` again. It has no twin: a PC's devices are found at fixed I/O ports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pvisor.abi import errnos
from pvisor.abi.areas import store as store_rows
from pvisor.domain.domain import Domain
from pvisor.para.grants import GrantHub, HostMapping
from pvisor.para.refusal import GuestError
from pvisor.para.ring import BackRing, RingBrokenError, RingKind

READ, WRITE = store_rows.READ.number, store_rows.WRITE.number
_MAX_DIGITS = 10


class Port(Protocol):
    """The host's end of an event channel (events.py)."""

    is_open: bool

    def send(self) -> None:
        """Signal the guest."""

    def close(self) -> None:
        """Let go."""


class Events(Protocol):
    """Who makes such ends."""

    def host_port(self, domid: int, port: int, on_signal: Callable[[], None]) -> Port | None:
        """Bind to a port that a guest has allocated for the host; None when there is none."""


class Store(Protocol):
    """The store, for the host: it may do anything."""

    def read(self, path: str) -> bytes | None:
        """A node's value, or None."""

    def write(self, path: str, value: bytes) -> None:
        """Give a node a value; make it if need be."""

    def watch(self, path: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the path after each change of a node or below it. The result ends that."""


class Registry(Store, Protocol):
    """The store, for who brings domains together."""

    def permit(self, path: str, domid: int, rights: int) -> None:
        """Say what a domain may do with a node and what is below it."""


def introduce(store: Registry, frontend: int, folder: str, backend: int) -> None:
    """Let one domain serve a device of another: `folder` is `block/0` for instance, domains by their numbers.

    The backend may read the device's nodes and write those below `backend`. It is told by a node of its own
    home: `serves/2/block/0` holds the path of domain 2's device.
    """
    path = f"/domain/{frontend}/device/{folder}"
    store.write(f"{path}/backend", str(backend).encode())
    store.permit(path, backend, READ)
    store.permit(f"{path}/backend", backend, READ | WRITE)
    store.write(f"/domain/{backend}/serves/{frontend}/{folder}", path.encode())


@dataclass(frozen=True, slots=True)
class Host:
    """What a backend in the host works with."""

    store: Store
    events: Events
    grants: GrantHub


class Backend:
    """One device of a guest, served by the host. Each kind of device is a subclass.

    `folder` is `block/0` for instance. `start` makes the device's nodes and waits for the guest; `close` ends
    it all.
    """

    ring_names: tuple[str, ...] = ("ring",)
    ring_kind: RingKind

    def __init__(self, host: Host, domain: Domain, folder: str) -> None:
        self.host = host
        self.domain = domain
        self.path = f"/domain/{domain.domid}/device/{folder}"
        self.rings: tuple[BackRing, ...] = ()
        self._mappings: list[HostMapping] = []
        self._port: Port | None = None
        self._unwatch: Callable[[], None] | None = None
        self._is_serving = False

    # --- what a device is

    def facts(self) -> dict[str, str]:
        """What the guest is told under `backend/`."""
        return {}

    def serve(self) -> None:
        """Look at the rings: take requests, put responses. `finish` shows them. May raise RingBrokenError."""
        raise NotImplementedError

    def parted(self) -> None:
        """The rings are gone: forget the requests that were taken."""

    # --- the life of a connection

    def start(self) -> None:
        """The device is there."""
        self._tell("", "0")
        for name, value in self.facts().items():
            self._tell(f"/{name}", value)
        self._tell("/state", "waiting")
        self._unwatch = self.host.store.watch(f"{self.path}/state", self._changed)

    def close(self) -> None:
        """The device, or the guest, is gone. A second time has no effect."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._part()

    @property
    def is_connected(self) -> bool:
        """Are there rings?"""
        return self._port is not None

    def _changed(self, path: str) -> None:
        state = self.host.store.read(f"{self.path}/state")
        if state == b"ready":
            if not self.is_connected:
                self._connect()
        elif self.is_connected:
            self._part()
            self._tell("/state", "closed")

    def _connect(self) -> None:
        try:
            for name in self.ring_names:
                mapping = self.host.grants.host_map(self.domain.domid, self._number(name), writable=True)
                self._mappings.append(mapping)
        except (GuestError, ValueError):
            self._fail("the rings are not granted")
            return
        self.rings = tuple(BackRing(mapping.page, self.ring_kind) for mapping in self._mappings)
        try:
            port = self.host.events.host_port(self.domain.domid, self._number("port"), self._signalled)
        except ValueError:
            port = None
        if port is None:
            self._fail("the port is not allocated for the host")
            return
        self._port = port
        self._tell("/state", "connected")
        self._signalled()

    def _number(self, name: str) -> int:
        """A number that the guest has written. Raises ValueError."""
        text = self.host.store.read(f"{self.path}/{name}")
        if text is None or not text.isdigit() or len(text) > _MAX_DIGITS:
            raise ValueError(name)
        return int(text)

    def _signalled(self) -> None:
        """The guest has sent, or closed its port."""
        if self._port is None or self._is_serving:
            return
        if not self._port.is_open:
            self._part()
            self._tell("/state", "closed")
            return
        self.attempt(self.serve)

    def attempt(self, serve: Callable[[], None]) -> None:
        """Serve; a guest that breaks a rule of the ring loses the device."""
        self._is_serving = True
        try:
            serve()
        except RingBrokenError:
            self._fail("the index of a ring lies")
        finally:
            self._is_serving = False

    def _fail(self, why: str) -> None:
        self._part()
        self._tell("/error", why)
        self._tell("/state", "error")

    def _part(self) -> None:
        if self.rings:
            self.parted()
        for ring in self.rings:
            ring.close()
        for mapping in self._mappings:
            mapping.close()
        self.rings = ()
        self._mappings.clear()
        port, self._port = self._port, None
        if port is not None:
            port.close()

    def _tell(self, name: str, value: str) -> None:
        self.host.store.write(f"{self.path}/backend{name}", value.encode())

    # --- for devices

    def finish(self, ring: BackRing) -> None:
        """Show the responses of a ring, and signal the guest if it asked for that."""
        if ring.push() and self._port is not None:
            self._port.send()

    @contextmanager
    def page(self, gref: int, *, writable: bool) -> Iterator[memoryview]:
        """A page that the guest has granted, for a moment. Raises GuestError."""
        mapping = self.host.grants.host_map(self.domain.domid, gref, writable=writable)
        try:
            yield mapping.page
        finally:
            mapping.close()


EINVAL, EIO, EPERM, E2BIG = (row.number for row in (errnos.EINVAL, errnos.EIO, errnos.EPERM, errnos.E2BIG))
"""Statuses of responses."""
