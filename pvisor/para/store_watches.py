# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is told of changes in the store: the watches of a domain, and those of the host.

A watch that has fired keeps one path, the nearest node above all that has changed since, until it is taken.
So nothing is lost and nothing grows, however slowly a domain takes its events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pvisor.abi import errnos
from pvisor.abi.areas import store as rows
from pvisor.para.refusal import refused
from pvisor.para.store_tree import READ, Path, Tree, common

WATCHES_MAX = rows.WATCHES_MAX.number

Watch = tuple[Path, bytes]
"""What is watched, and the token."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something has changed at a path; `before` and `after` are the trees around it.

    `is_deep`: it concerns all that is below as well.
    """

    path: Path
    is_removal: bool
    is_deep: bool
    before: Tree
    after: Tree

    def seen_from(self, watched: Path) -> Path | None:
        """What a watch on a path says of it; None when it is no concern of that watch."""
        if self.path[: len(watched)] == watched:
            return self.path
        is_meant = self.is_deep and watched[: len(self.path)] == self.path
        return watched if is_meant and self.before.root.find(watched) is not None else None

    def is_told_to(self, domid: int, path: Path) -> bool:
        """May a domain know of it?"""
        return bool((self.before if self.is_removal else self.after).rights(path, domid) & READ)


class Watches:
    """The watches of one domain. `raise_event` is called when one fires that had not."""

    def __init__(self, domid: int, raise_event: Callable[[], None]) -> None:
        self._domid = domid
        self._raise_event = raise_event
        self._set: dict[Watch, None] = {}
        self._fired: dict[Watch, Path] = {}

    def __len__(self) -> int:
        return len(self._set)

    @property
    def n_fired(self) -> int:
        """How many events wait."""
        return len(self._fired)

    def add(self, watch: Watch) -> None:
        """A new watch, which fires at once. Raises GuestError (EEXIST, ENOSPC)."""
        if watch in self._set:
            raise refused(errnos.EEXIST)
        if len(self._set) >= WATCHES_MAX:
            raise refused(errnos.ENOSPC)
        self._set[watch] = None
        self._fire(watch, watch[0])

    def remove(self, watch: Watch) -> None:
        """Forget a watch and its event. Raises GuestError (ENOENT)."""
        if watch not in self._set:
            raise refused(errnos.ENOENT)
        del self._set[watch]
        self._fired.pop(watch, None)

    def tell(self, change: Change) -> None:
        """Something has changed: fire the watches that it concerns, in the order in which they were set.

        One that has fired for something above it has nothing to add: a commit tells of up to STEPS_MAX
        changes at once, to all domains, so this is passed over fast.
        """
        told: dict[Path, bool] = {}
        for watch in self._set:
            waiting = self._fired.get(watch)
            if waiting == watch[0]:
                continue
            path = change.seen_from(watch[0])
            if path is None or (waiting is not None and path[: len(waiting)] == waiting):
                continue
            if path not in told:
                told[path] = change.is_told_to(self._domid, path)
            if told[path]:
                self._fire(watch, path)

    def first(self) -> tuple[Watch, Path] | None:
        """The event that has waited longest."""
        return next(iter(self._fired.items()), None)

    def take(self, watch: Watch) -> None:
        """The event of this watch has been delivered."""
        del self._fired[watch]

    def _fire(self, watch: Watch, path: Path) -> None:
        waiting = self._fired.get(watch)
        self._fired[watch] = path if waiting is None else common(waiting, path)
        if waiting is None:
            self._raise_event()


class HostWatches:
    """Backends that want to know. They may change the store in turn: calls are made one after the other."""

    def __init__(self) -> None:
        self._set: list[tuple[Path, Callable[[Path], None]]] = []
        self._calls: deque[tuple[Callable[[Path], None], Path]] = deque()
        self._is_calling = False

    def __len__(self) -> int:
        return len(self._set)

    def add(self, path: Path, callback: Callable[[Path], None]) -> None:
        """Call back at each change of a path or below it, and once now."""
        self._set.append((path, callback))
        self._calls.append((callback, path))
        self._call()

    def remove(self, path: Path, callback: Callable[[Path], None]) -> None:
        """No more, not even for what has changed already. Raises ValueError when there is no such watch."""
        self._set.remove((path, callback))
        self._calls = deque(call for call in self._calls if call[0] != callback)

    def tell(self, change: Change) -> None:
        """Something has changed."""
        self._calls.extend(self._concerned(change))
        self._call()

    def _concerned(self, change: Change) -> Iterator[tuple[Callable[[Path], None], Path]]:
        for watched, callback in self._set:
            path = change.seen_from(watched)
            if path is not None:
                yield callback, path

    def _call(self) -> None:
        if self._is_calling:
            return
        self._is_calling = True
        try:
            while self._calls:
                callback, path = self._calls.popleft()
                callback(path)
        finally:
            self._is_calling = False
