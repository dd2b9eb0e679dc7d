# SPDX-License-Identifier: GPL-2.0-or-later
"""The store: small texts by which domains and backends find each other.

This has no twin: a PC's devices are found by configuration registers (full/pci.py).

    store_tree.py        nodes, paths, rights: what a call does
    store_operations.py  the calls as things: a transaction makes them again
    store_watches.py     who is told of a change
    store_calls.py       the hypercalls
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from pvisor.abi.areas import events
from pvisor.abi.areas import store as rows
from pvisor.domain.meeting import Meeting
from pvisor.para.store_calls import StoreClient
from pvisor.para.store_operations import Operation, Transaction, attempt, permit, remove, write
from pvisor.para.store_tree import HOMES, HOST, Node, Path, Tree, format_path, home_of, owner_of, parse_path
from pvisor.para.store_watches import Change, HostWatches

DOMID_MAX, VALUE_MAX = events.DOMID_MAX.number, rows.VALUE_MAX.number


class Store:
    """The store of a hypervisor, with what its backends may do. Their paths are absolute texts.

    Domains make their calls at the `meeting`. A backend that serves a domain, in that domain's thread, may
    change what lies in the domain's home at any time: that is seen by nobody else before the meeting.
    """

    def __init__(self, meeting: Meeting | None = None) -> None:
        self.meeting = meeting or Meeting()
        self._changing = threading.Lock()
        self.tree = Tree(Node().with_node(HOMES, Node()))
        self.clients: dict[int, StoreClient] = {}
        self._host_watches = HostWatches()

    @property
    def n_nodes(self) -> int:
        """How many nodes there are."""
        return self.tree.root.n_nodes

    def add(self, domid: int, raise_event: Callable[[], None]) -> StoreClient:
        """A new domain, with an empty home. `raise_event`: a watch of it has fired.

        Raises ValueError when the number is in use or cannot be one.
        """
        if domid in self.clients or not 0 < domid <= DOMID_MAX:
            raise ValueError(f"{domid} is the number of another domain, or of none")
        client = self.clients[domid] = StoreClient(self, domid, raise_event)
        self.make(write(HOST, home_of(domid), b""))
        return client

    def remove(self, domid: int) -> None:
        """The domain has ended: its home goes, with its watches, transactions and rights."""
        del self.clients[domid]
        self.make(remove(HOST, home_of(domid)))
        self.tree.root = self.tree.root.without_rights_of(domid)

    def read(self, path: str) -> bytes | None:
        """A value, or None where there is no such node."""
        node = self.tree.root.find(_host_path(path))
        return None if node is None else node.value

    def names(self, path: str) -> tuple[str, ...]:
        """The names below a node, in order; none where there is no such node."""
        node = self.tree.root.find(_host_path(path))
        return () if node is None else tuple(sorted(node.children))

    def write(self, path: str, value: bytes) -> None:
        """Write a value, and make the node if need be. Raises ValueError for what is no path, or too long."""
        if len(value) > VALUE_MAX:
            raise ValueError(f"a value has at most {VALUE_MAX} bytes, not {len(value)}")
        self.make(write(HOST, _host_path(path), value))

    def delete(self, path: str) -> bool:
        """Remove a node with all below it. False where there is none."""
        place = _host_path(path)
        if self.tree.root.find(place) is None:
            return False
        self.make(remove(HOST, place))
        return True

    def permit(self, path: str, domid: int, rights: int) -> None:
        """Give a domain rights from a node on down. Raises KeyError where there is no such node."""
        place = _host_path(path)
        if self.tree.root.find(place) is None:
            raise KeyError(path)
        self.make(permit(HOST, place, domid, rights))

    def watch(self, path: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back at each change of a node or below it, with what has changed, and once now.

        The result ends it. A callback runs after the change, and may change the store in turn.
        """

        def call(changed: Path) -> None:
            callback(format_path(changed).decode("ascii"))

        place = _host_path(path)
        self._host_watches.add(place, call)
        return lambda: self._host_watches.remove(place, call)

    @property
    def n_host_watches(self) -> int:
        """How many watches the backends have."""
        return len(self._host_watches)

    def make(self, operation: Operation) -> bytes:
        """Make one call on the present tree, and tell of the change."""
        with self._changing:
            before = self.tree.root
            answer = operation.step(self.tree)
            change = self._change(operation, before)
        self._tell(change)
        return answer

    def commit(self, transaction: Transaction) -> bool:
        """Make a transaction's calls on the present tree; False, with nothing changed, if one differs."""
        trial = Tree(self.tree.root)
        changes: list[tuple[Operation, Node]] = []
        for operation, digest in transaction.log:
            before = trial.root
            if attempt(operation, trial)[1] != digest:
                return False
            if trial.root is not before:
                changes.append((operation, before))
        self.tree.root = trial.root
        for operation, before in changes:
            self._tell(self._change(operation, before))
        return True

    def _change(self, operation: Operation, before: Node) -> Change | None:
        if operation.changed is None:
            return None
        before_it, after_it = Tree(before), Tree(self.tree.root)
        return Change(operation.changed, operation.is_removal, operation.is_deep, before_it, after_it)

    def _tell(self, change: Change | None) -> None:
        """Tell everybody; while domains run side by side, only whose home it is, and the others later."""
        if change is None:
            return
        if self.meeting.is_open:
            self._tell_all_but(None, change)
            return
        domid = owner_of(change.path)
        assert domid is not None, "a backend writes to its guest's home"
        self.clients[domid].watches.tell(change)
        self.meeting.post(domid, partial(self._tell_all_but, domid, change))

    def _tell_all_but(self, told: int | None, change: Change) -> None:
        for domid, client in tuple(self.clients.items()):
            if domid != told:
                client.watches.tell(change)
        self._host_watches.tell(change)


def _host_path(path: str) -> Path:
    return parse_path(path.encode("ascii"), ())
