# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypercalls about the store (store.py has what they work on)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pvisor.abi import errnos
from pvisor.abi.areas import events
from pvisor.abi.areas import store as rows
from pvisor.abi.layout import sizeof, unpack
from pvisor.abi.model import Hypercall
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.para.hypercalls import Answer, Served
from pvisor.para.refusal import copy_in, copy_out, invalid, refused
from pvisor.para.store_operations import Operation, Transaction, permit, remove, write
from pvisor.para.store_tree import ALL_RIGHTS, INHERIT, PATH_MAX, Path, Tree, format_path, home_of, parse_path
from pvisor.para.store_watches import Watch, Watches

if TYPE_CHECKING:
    from pvisor.para.store import Store

DOMID_MAX = events.DOMID_MAX.number
VALUE_MAX, TOKEN_MAX, TRANSACTIONS_MAX = (
    row.number for row in (rows.VALUE_MAX, rows.TOKEN_MAX, rows.TRANSACTIONS_MAX)
)
TRANSACTION_NUMBERS = 0x7FFF_FFFF
_REQUEST_BYTES = sizeof("pv_store_request")


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
        answers: dict[Hypercall, Answer] = {
            rows.STORE_READ: self._read, rows.STORE_WRITE: self._write, rows.STORE_LIST: self._list,
            rows.STORE_REMOVE: self._remove, rows.STORE_WATCH: self._watch,
            rows.STORE_UNWATCH: self._unwatch, rows.STORE_NEXT: self._next, rows.STORE_BEGIN: self._begin,
            rows.STORE_END: self._end, rows.STORE_PERMIT: self._permit,
        }  # fmt: skip
        self.served = Served({call: partial(self._meet, answer) for call, answer in answers.items()})

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
        self._make(request, write(self._domid, request.path, value))
        return 0

    def _remove(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_REMOVE(request)."""
        request = self._request(domain, vcpu, exit)
        self._make(request, remove(self._domid, request.path))
        return 0

    def _permit(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STORE_PERMIT(request, domid, rights)."""
        other, rights = exit.args[1], exit.args[2]
        if not 0 < other <= DOMID_MAX or other == self._domid or (rights & ~ALL_RIGHTS and rights != INHERIT):
            raise invalid()
        request = self._request(domain, vcpu, exit)
        self._make(request, permit(self._domid, request.path, other, rights))
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

    def _meet(self, answer: Answer, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        self._store.meeting.need()
        return answer(domain, vcpu, exit)

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
