# SPDX-License-Identifier: GPL-2.0-or-later
"""The store: small texts by which domains and backends find each other, and the calls about it.

This has no twin: a PC's devices are found by configuration registers (full/pci.py).

    store_tree.py     nodes, paths, rights: what a call does
    store_watches.py  who is told of it
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from pvisor.abi import errnos
from pvisor.abi.areas import events
from pvisor.abi.areas import store as rows
from pvisor.abi.layout import sizeof, unpack
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import GuestError, copy_in, copy_out, invalid, refused
from pvisor.para.store_tree import (
    ALL_RIGHTS,
    HOMES,
    HOST,
    INHERIT,
    PATH_MAX,
    Node,
    Path,
    Tree,
    format_path,
    home_of,
    parse_path,
)
from pvisor.para.store_watches import Change, HostWatches, Watch, Watches

DOMID_MAX = events.DOMID_MAX.number
VALUE_MAX, TOKEN_MAX, TRANSACTIONS_MAX, STEPS_MAX = (
    row.number for row in (rows.VALUE_MAX, rows.TOKEN_MAX, rows.TRANSACTIONS_MAX, rows.STEPS_MAX)
)
TRANSACTION_NUMBERS = 0x7FFF_FFFF
_REQUEST_BYTES = sizeof("pv_store_request")

Step = Callable[[Tree], bytes]
"""A call on a tree: its answer, or GuestError."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A call as it can be made again on another tree. `changed`: the path that it changes, if it does.

    `is_deep`: what is below has changed as well.
    """

    step: Step
    changed: Path | None = None
    is_removal: bool = False
    is_deep: bool = False


@dataclass(slots=True)
class Transaction:
    """Calls made on a tree of their own, each with a digest of what it gave."""

    tree: Tree
    log: list[tuple[Operation, bytes]] = field(default_factory=list)

    def make(self, operation: Operation) -> bytes:
        """Make a call, and remember it with its result."""
        if len(self.log) >= STEPS_MAX:
            raise refused(errnos.ENOSPC)
        answer, digest = attempt(operation, self.tree)
        self.log.append((operation, digest))
        if isinstance(answer, GuestError):
            raise answer
        return answer


def attempt(operation: Operation, tree: Tree) -> tuple[bytes | GuestError, bytes]:
    """What a call gives on a tree, and a digest of that, to compare it by."""
    try:
        answer = operation.step(tree)
    except GuestError as error:
        return error, b"error %d" % error.result
    return answer, hashlib.blake2b(answer, digest_size=16).digest()


class Store:
    """The store of a hypervisor, with what its backends may do. Their paths are absolute texts."""

    def __init__(self) -> None:
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
        self.make(_write(HOST, home_of(domid), b""))
        return client

    def remove(self, domid: int) -> None:
        """The domain has ended: its home goes, with its watches, transactions and rights."""
        del self.clients[domid]
        self.make(_remove(HOST, home_of(domid)))
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
        self.make(_write(HOST, _host_path(path), value))

    def delete(self, path: str) -> bool:
        """Remove a node with all below it. False where there is none."""
        place = _host_path(path)
        if self.tree.root.find(place) is None:
            return False
        self.make(_remove(HOST, place))
        return True

    def permit(self, path: str, domid: int, rights: int) -> None:
        """Give a domain rights from a node on down. Raises KeyError where there is no such node."""
        place = _host_path(path)
        if self.tree.root.find(place) is None:
            raise KeyError(path)
        self.make(_permit(HOST, place, domid, rights))

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
        before = self.tree.root
        answer = operation.step(self.tree)
        self._tell(operation, before)
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
            self._tell(operation, before)
        return True

    def _tell(self, operation: Operation, before: Node) -> None:
        if operation.changed is None:
            return
        before_it, after_it = Tree(before), Tree(self.tree.root)
        change = Change(operation.changed, operation.is_removal, operation.is_deep, before_it, after_it)
        for client in tuple(self.clients.values()):
            client.watches.tell(change)
        self._host_watches.tell(change)


def _host_path(path: str) -> Path:
    return parse_path(path.encode("ascii"), ())


def _write(domid: int, path: Path, value: bytes) -> Operation:
    def step(tree: Tree) -> bytes:
        tree.write(domid, path, value)
        return b""

    return Operation(step, path)


def _remove(domid: int, path: Path) -> Operation:
    def step(tree: Tree) -> bytes:
        tree.remove(domid, path)
        return b""

    return Operation(step, path, is_removal=True, is_deep=True)


def _permit(domid: int, path: Path, other: int, rights: int) -> Operation:
    def step(tree: Tree) -> bytes:
        tree.permit(domid, path, other, rights)
        return b""

    return Operation(step, path, is_deep=True)


@dataclass(frozen=True, slots=True)
class Request:
    """struct pv_store_request, copied and checked; `path` is parsed."""

    path: Path
    value: int
    value_bytes: int
    transaction: int


class StoreClient:
    """The store as one domain sees it."""

    def __init__(self, store: Store, domid: int, raise_event: Callable[[], None]) -> None:
        self._store = store
        self._domid = domid
        self._home = home_of(domid)
        self.watches = Watches(domid, raise_event)
        self.transactions: dict[int, Transaction] = {}
        self._last_transaction = 0
        self.served = Served(answers={
            rows.STORE_READ: self._read, rows.STORE_WRITE: self._write, rows.STORE_LIST: self._list,
            rows.STORE_REMOVE: self._remove, rows.STORE_WATCH: self._watch,
            rows.STORE_UNWATCH: self._unwatch, rows.STORE_NEXT: self._next, rows.STORE_BEGIN: self._begin,
            rows.STORE_END: self._end, rows.STORE_PERMIT: self._permit,
        })  # fmt: skip

    # --- the calls

    def _read(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_READ(request): the value's length."""
        request = self._request(domain, vcpu, exit)
        operation = Operation(lambda tree: tree.read(self._domid, request.path))
        return _give(domain, vcpu, request, self._make(request, operation))

    def _list(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_LIST(request): bytes of the names."""
        request = self._request(domain, vcpu, exit)
        operation = Operation(lambda tree: tree.names(self._domid, request.path))
        return _give(domain, vcpu, request, self._make(request, operation))

    def _write(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_WRITE(request)."""
        request = self._request(domain, vcpu, exit)
        value = _take(domain, vcpu, request, VALUE_MAX)
        self._make(request, _write(self._domid, request.path, value))
        return 0

    def _remove(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_REMOVE(request)."""
        request = self._request(domain, vcpu, exit)
        self._make(request, _remove(self._domid, request.path))
        return 0

    def _permit(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_PERMIT(request, domid, rights)."""
        other, rights = exit.args[1], exit.args[2]
        request = self._request(domain, vcpu, exit)
        if not 0 < other <= DOMID_MAX or other == self._domid or (rights & ~ALL_RIGHTS and rights != INHERIT):
            raise invalid()
        self._make(request, _permit(self._domid, request.path, other, rights))
        return 0

    def _watch(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_WATCH(request)."""
        self.watches.add(self._watch_of(domain, vcpu, exit))
        return 0

    def _unwatch(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_UNWATCH(request)."""
        self.watches.remove(self._watch_of(domain, vcpu, exit))
        return 0

    def _next(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_NEXT(request): bytes of the event."""
        request = self._request(domain, vcpu, exit, has_path=False)
        if request.transaction:
            raise invalid()
        event = self.watches.first()
        if event is None:
            raise refused(errnos.ENOENT)
        watch, path = event
        n_bytes = _give(domain, vcpu, request, format_path(path) + b"\0" + watch[1] + b"\0")
        self.watches.take(watch)
        return n_bytes

    def _begin(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_BEGIN(): a transaction."""
        if len(self.transactions) >= TRANSACTIONS_MAX:
            raise refused(errnos.ENOSPC)
        number = self._last_transaction % TRANSACTION_NUMBERS + 1
        while number in self.transactions:
            number = number % TRANSACTION_NUMBERS + 1
        self._last_transaction = number
        self.transactions[number] = Transaction(Tree(self._store.tree.root))
        return number

    def _end(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_END(transaction, commit)."""
        number, commit = exit.args[0], exit.args[1]
        if commit > 1:
            raise invalid()
        transaction = self.transactions.pop(number, None)
        if transaction is None:
            raise refused(errnos.ENOENT)
        if commit and not self._store.commit(transaction):
            raise refused(errnos.EAGAIN)
        return 0

    # --- helpers

    def _request(self, domain: Domain, vcpu: Vcpu, exit: Exit, *, has_path: bool = True) -> Request:
        """The request, copied once. Raises GuestError (EFAULT, EINVAL)."""
        asked = unpack("pv_store_request", copy_in(domain, vcpu, exit.args[0], _REQUEST_BYTES))
        n_bytes = asked["path_bytes"] if has_path else 0
        if asked["reserved"] or n_bytes > PATH_MAX:
            raise invalid()
        if asked["transaction"] and asked["transaction"] not in self.transactions:
            raise invalid()
        try:
            path = parse_path(copy_in(domain, vcpu, asked["path"], n_bytes) if n_bytes else b"", self._home)
        except ValueError:
            raise invalid() from None
        return Request(path, asked["value"], asked["value_bytes"], asked["transaction"])

    def _make(self, request: Request, operation: Operation) -> bytes:
        if request.transaction:
            return self.transactions[request.transaction].make(operation)
        return self._store.make(operation)

    def _watch_of(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Watch:
        request = self._request(domain, vcpu, exit)
        token = _take(domain, vcpu, request, TOKEN_MAX)
        if request.transaction or b"\0" in token:
            raise invalid()
        return request.path, token


def _take(domain: Domain, vcpu: Vcpu, request: Request, max_bytes: int) -> bytes:
    """What the guest's value holds. Raises GuestError (EFAULT, EINVAL)."""
    if request.value_bytes > max_bytes:
        raise invalid()
    return copy_in(domain, vcpu, request.value, request.value_bytes) if request.value_bytes else b""


def _give(domain: Domain, vcpu: Vcpu, request: Request, answer: bytes) -> int:
    """Write an answer to the guest's room. Raises GuestError (E2BIG, EFAULT), and then nothing is written."""
    if len(answer) > request.value_bytes:
        raise refused(errnos.E2BIG)
    if answer:
        copy_out(domain, vcpu, request.value, answer)
    return len(answer)
