# SPDX-License-Identifier: GPL-2.0-or-later
"""The store against a plain model: a dictionary of paths, copied whole for each transaction."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pvisor.abi.areas import store as rows
from pvisor.abi.errnos import EAGAIN, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM
from pvisor.para.store_tree import Path, format_path
from tests.para.callers import Hypervisor

READ, WRITE, INHERIT = rows.READ.number, rows.WRITE.number, rows.INHERIT.number
DOMIDS = (1, 2)
_HOST = 0

relative = st.sampled_from([(), ("a",), ("a",), ("b",), ("a", "a"), ("a", "b")])
domids = st.sampled_from(DOMIDS)
others = st.sampled_from([1, 2, 3])
slots = st.sampled_from([0, 0, 1, 1, 2])
"""0: no transaction; else the first or second that the domain has open, which is begun if need be."""
values = st.sampled_from([b"", b"x", b"yy"])


@dataclass
class Plain:
    """Paths with values, and rights by path and domain."""

    values: dict[Path, bytes] = field(default_factory=lambda: {(): b"", ("domain",): b""})
    allowed: dict[tuple[Path, int], int] = field(default_factory=dict)

    def rights(self, path: Path, domid: int) -> int:
        if path[:1] != ("domain",) or len(path) < 2:
            return READ
        if path[1] == str(domid):
            return READ | WRITE
        for n_names in range(len(path), 1, -1):
            if (path[:n_names], domid) in self.allowed:
                return self.allowed[path[:n_names], domid]
        return 0

    def read(self, domid: int, path: Path) -> bytes | int:
        if not self.rights(path, domid) & READ:
            return -EPERM.number
        return self.values.get(path, -ENOENT.number)

    def names(self, domid: int, path: Path) -> bytes | int:
        if not self.rights(path, domid) & READ:
            return -EPERM.number
        if path not in self.values:
            return -ENOENT.number
        below = sorted(other[-1] for other in self.values if other[:-1] == path and other)
        return b"".join(name.encode() + b"\0" for name in below)

    def write(self, domid: int, path: Path, value: bytes) -> int:
        if domid != _HOST and not self.rights(path, domid) & WRITE:
            return -EPERM.number
        for n_names in range(len(path)):
            self.values.setdefault(path[:n_names], b"")
        self.values[path] = value
        return 0

    def remove(self, domid: int, path: Path) -> int:
        if domid != _HOST and (not self.rights(path, domid) & WRITE or len(path) == 2):
            return -EPERM.number
        if path not in self.values:
            return -ENOENT.number
        for other in list(self.values):
            if other[: len(path)] == path:
                del self.values[other]
        for where, who in list(self.allowed):
            if where[: len(path)] == path:
                del self.allowed[where, who]
        return 0

    def permit(self, domid: int, path: Path, other: int, rights: int) -> int:
        if path[:2] != ("domain", str(domid)):
            return -EPERM.number
        if path not in self.values:
            return -ENOENT.number
        self.allowed.pop((path, other), None)
        if rights != INHERIT:
            self.allowed[path, other] = rights
        return 0


Act = Callable[[Plain], bytes | int]
Change = tuple[Path, str]
"""Where, and what: "write", "remove" or "permit"."""


@dataclass
class PlainTransaction:
    """What was done, and what came of it."""

    number: int
    view: Plain
    log: list[tuple[Act, bytes | int, Change | None]] = field(default_factory=list)


@dataclass
class PlainWatch:
    """What has changed since its event was taken."""

    domid: int
    path: Path
    token: bytes
    changes: list[Path] = field(default_factory=list)
    order: int = 0


class StoreMachine(RuleBasedStateMachine):
    """Two domains and the host."""

    def __init__(self) -> None:
        super().__init__()
        self.hypervisor = Hypervisor()
        self.empty = self.hypervisor.counts
        self.plain = Plain()
        self.open: dict[int, list[PlainTransaction]] = {}
        self.watches: list[PlainWatch] = []
        self.n_fired = 0
        self.heard: list[str] = []
        self.expected: list[str] = []

    @initialize()
    def start(self) -> None:
        for domid in DOMIDS:
            self.hypervisor.add(domid)
            self.open[domid] = []
            self.plain.write(_HOST, ("domain", str(domid)), b"")
        self.end_host_watch = self.hypervisor.store.watch("/domain/1/a", self.heard.append)
        self.expected.append("/domain/1/a")

    # --- the model

    def fire(self, watch: PlainWatch, path: Path) -> None:
        if not watch.changes:
            self.n_fired += 1
            watch.order = self.n_fired
        watch.changes.append(path)

    def tell(self, change: Change, before: Plain) -> None:
        path, what = change
        is_removal = what == "remove"
        for watch in self.watches:
            seen = seen_from(watch.path, path, what, before)
            judge = before if is_removal else self.plain
            if seen is not None and judge.rights(seen, watch.domid) & READ:
                self.fire(watch, seen)
        seen = seen_from(("domain", "1", "a"), path, what, before)
        if seen is not None:
            self.expected.append(format_path(seen).decode())

    def act(self, domid: int, slot: int, act: Act, change: Change | None) -> tuple[bytes | int, int]:
        """Do it in the model; the transaction's number goes along."""
        if slot > len(self.open[domid]):
            self.begin(domid)
            slot = len(self.open[domid])
        if slot == 0:
            before = copy.deepcopy(self.plain)
            result = act(self.plain)
            if change is not None and result == 0:
                self.tell(change, before)
            return result, 0
        transaction = self.open[domid][slot - 1]
        result = act(transaction.view)
        transaction.log.append((act, result, change))
        return result, transaction.number

    # --- calls

    @rule(domid=domids, slot=slots, owner=domids, path=relative)
    def read(self, domid: int, slot: int, owner: int, path: Path) -> None:
        full = ("domain", str(owner), *path)
        wanted, number = self.act(domid, slot, lambda plain: plain.read(domid, full), None)
        caller = self.hypervisor.callers[domid]
        assert caller.answer(rows.STORE_READ, text(full), transaction=number) == wanted

    @rule(domid=domids, slot=slots, owner=domids, path=relative)
    def list_names(self, domid: int, slot: int, owner: int, path: Path) -> None:
        full = ("domain", str(owner), *path)
        wanted, number = self.act(domid, slot, lambda plain: plain.names(domid, full), None)
        caller = self.hypervisor.callers[domid]
        assert caller.answer(rows.STORE_LIST, text(full), transaction=number) == wanted

    @rule(domid=domids, slot=slots, owner=domids, path=relative, value=values)
    def write(self, domid: int, slot: int, owner: int, path: Path, value: bytes) -> None:
        full = ("domain", str(owner), *path)
        wanted, number = self.act(
            domid, slot, lambda plain: plain.write(domid, full, value), (full, "write")
        )  # fmt: skip
        caller = self.hypervisor.callers[domid]
        assert caller.ask(rows.STORE_WRITE, text(full), value, transaction=number) == wanted

    @rule(domid=domids, slot=slots, owner=domids, path=relative)
    def remove(self, domid: int, slot: int, owner: int, path: Path) -> None:
        full = ("domain", str(owner), *path)
        wanted, number = self.act(domid, slot, lambda plain: plain.remove(domid, full), (full, "remove"))
        caller = self.hypervisor.callers[domid]
        assert caller.ask(rows.STORE_REMOVE, text(full), transaction=number) == wanted

    @rule(domid=domids, slot=slots, owner=domids, path=relative, other=others,
          rights=st.sampled_from([0, READ, WRITE, READ | WRITE, INHERIT]))  # fmt: skip
    def permit(self, domid: int, slot: int, owner: int, path: Path, other: int, rights: int) -> None:
        caller = self.hypervisor.callers[domid]
        full = ("domain", str(owner), *path)
        if other == domid:
            assert caller.ask(rows.STORE_PERMIT, text(full), b"", other, rights) == -EINVAL.number
            return
        wanted, number = self.act(
            domid, slot, lambda plain: plain.permit(domid, full, other, rights), (full, "permit")
        )  # fmt: skip
        assert caller.ask(rows.STORE_PERMIT, text(full), b"", other, rights, transaction=number) == wanted

    @rule(domid=domids)
    def begin(self, domid: int) -> None:
        number = self.hypervisor.callers[domid].call(rows.STORE_BEGIN)
        if len(self.open[domid]) == rows.TRANSACTIONS_MAX.number:
            assert number == -ENOSPC.number
        else:
            assert number > 0
            self.open[domid].append(PlainTransaction(number, copy.deepcopy(self.plain)))

    @rule(domid=domids, slot=st.integers(1, 2), commit=st.sampled_from([0, 1, 1, 1]))
    def end(self, domid: int, slot: int, commit: int) -> None:
        if slot > len(self.open[domid]):
            return
        transaction = self.open[domid].pop(slot - 1)
        result = self.hypervisor.callers[domid].call(rows.STORE_END, transaction.number, commit)
        trial = copy.deepcopy(self.plain)
        changes = []
        for act, wanted, change in transaction.log if commit else ():
            before = copy.deepcopy(trial)
            if act(trial) != wanted:
                assert result == -EAGAIN.number
                return
            if change is not None and wanted == 0:
                changes.append((change, before))
        assert result == 0
        if commit:
            self.plain = trial
            for change, before in changes:
                self.tell(change, before)

    @rule(domid=domids, owner=domids, path=relative, token=st.sampled_from([b"", b"t"]))
    def watch(self, domid: int, owner: int, path: Path, token: bytes) -> None:
        full = ("domain", str(owner), *path)
        result = self.hypervisor.callers[domid].ask(rows.STORE_WATCH, text(full), token)
        if self.watch_of(domid, full, token) is not None:
            assert result == -EEXIST.number
            return
        assert result == 0
        watch = PlainWatch(domid, full, token)
        self.watches.append(watch)
        self.fire(watch, full)

    @rule(domid=domids, owner=domids, path=relative, token=st.sampled_from([b"", b"t"]))
    def unwatch(self, domid: int, owner: int, path: Path, token: bytes) -> None:
        full = ("domain", str(owner), *path)
        result = self.hypervisor.callers[domid].ask(rows.STORE_UNWATCH, text(full), token)
        watch = self.watch_of(domid, full, token)
        if watch is None:
            assert result == -ENOENT.number
        else:
            assert result == 0
            self.watches.remove(watch)

    def watch_of(self, domid: int, path: Path, token: bytes) -> PlainWatch | None:
        wanted = (domid, path, token)
        return next((w for w in self.watches if (w.domid, w.path, w.token) == wanted), None)

    @rule(domid=domids)
    def take_event(self, domid: int) -> None:
        told = self.hypervisor.callers[domid].answer(rows.STORE_NEXT)
        waiting = [watch for watch in self.watches if watch.domid == domid and watch.changes]
        if not waiting:
            assert told == -ENOENT.number
            return
        first = min(waiting, key=lambda watch: watch.order)
        path = nearest_above(first.changes)
        first.changes.clear()
        assert told == format_path(path) + b"\0" + first.token + b"\0"

    @rule(path=relative, value=values, removes=st.booleans())
    def host_changes(self, path: Path, value: bytes, removes: bool) -> None:
        full = ("domain", "1", "a", *path)
        store = self.hypervisor.store
        if removes:
            result, _ = self.act(1, 0, lambda plain: plain.remove(_HOST, full), (full, "remove"))
            assert store.delete(text(full)) is (result == 0)
        else:
            self.act(1, 0, lambda plain: plain.write(_HOST, full, value), (full, "write"))
            store.write(text(full), value)

    @rule(domid=domids)
    def a_domain_ends_and_starts(self, domid: int) -> None:
        home = ("domain", str(domid))
        self.watches = [watch for watch in self.watches if watch.domid != domid]
        self.act(domid, 0, lambda plain: plain.remove(_HOST, home), (home, "remove"))
        self.plain.allowed = {key: r for key, r in self.plain.allowed.items() if key[1] != domid}
        self.act(domid, 0, lambda plain: plain.write(_HOST, home, b""), (home, "write"))
        self.open[domid] = []
        self.hypervisor.remove(domid)
        self.hypervisor.add(domid)

    # --- what must hold

    @invariant()
    def nodes_and_counts_are_the_models(self) -> None:
        store = self.hypervisor.store
        assert store.n_nodes == len(self.plain.values)
        for path, value in self.plain.values.items():
            assert store.read(text(path)) == value
        assert self.hypervisor.counts["watches"] == len(self.watches)
        assert self.hypervisor.counts["waiting"] == sum(bool(watch.changes) for watch in self.watches)
        assert self.hypervisor.counts["transactions"] == sum(len(some) for some in self.open.values())

    @invariant()
    def the_host_hears_each_change(self) -> None:
        assert self.heard == self.expected

    def teardown(self) -> None:
        if self.open:
            self.end_host_watch()
        for domid in self.open:
            self.hypervisor.remove(domid)
        assert self.hypervisor.counts == self.empty


def seen_from(watched: Path, path: Path, what: str, before: Plain) -> Path | None:
    """What a watch says of a change, or None."""
    if path[: len(watched)] == watched:
        return path
    if what != "write" and watched[: len(path)] == path and watched in before.values:
        return watched
    return None


def nearest_above(paths: list[Path]) -> Path:
    """The longest path that all of them begin with."""
    shortest = min(paths, key=len)
    n_names = len(shortest)
    while any(path[:n_names] != shortest[:n_names] for path in paths):
        n_names -= 1
    return shortest[:n_names]


def text(path: Path) -> str:
    """The absolute path."""
    return format_path(path).decode()


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
