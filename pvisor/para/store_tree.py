# SPDX-License-Identifier: GPL-2.0-or-later
"""The store's tree: nodes with names, values and rights. What the calls of store.py work on.

A node is never changed: a change makes new nodes from the changed one up to the root and shares the others.
So a transaction keeps the tree as it was by keeping its root, and to give up a change is to forget a root.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from pvisor.abi import errnos
from pvisor.abi.areas import events
from pvisor.abi.areas import store as rows
from pvisor.para.refusal import refused

Path = tuple[str, ...]
"""The names from the root down."""

HOST = events.DOMID_HOST.number
READ, WRITE, INHERIT = rows.READ.number, rows.WRITE.number, rows.INHERIT.number
ALL_RIGHTS = READ | WRITE
PATH_MAX, DEPTH_MAX, NODES_MAX, RIGHTS_MAX = (
    row.number for row in (rows.PATH_MAX, rows.DEPTH_MAX, rows.NODES_MAX, rows.RIGHTS_MAX)
)
HOMES: Path = ("domain",)

_NAME = re.compile(rb"[A-Za-z0-9_@.-]{1,%d}" % rows.NAME_MAX.number)
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


def home_of(domid: int) -> Path:
    """A domain's home."""
    return (*HOMES, str(domid))


def owner_of(path: Path) -> int | None:
    """The domain in whose home a path lies, or None."""
    if path[:1] != HOMES or len(path) < 2 or not _NUMBER.fullmatch(path[1]):
        return None
    return int(path[1])


def parse_path(text: bytes, home: Path) -> Path:
    """A path as it is written: absolute, or from `home`. Raises ValueError when it is none."""
    is_absolute = text[:1] == b"/"
    body = text[1:] if is_absolute else text
    names = body.split(b"/") if body else []
    if not all(_NAME.fullmatch(name) for name in names):
        raise ValueError("a path is names of letters, digits and -_@. with slashes between them")
    path = (*(() if is_absolute else home), *(name.decode("ascii") for name in names))
    if len(path) > DEPTH_MAX or len(format_path(path)) > PATH_MAX:
        raise ValueError("the path is too deep or too long")
    return path


def format_path(path: Path) -> bytes:
    """The absolute path as text."""
    return b"/" + "/".join(path).encode("ascii")


def common(a: Path, b: Path) -> Path:
    """The nearest node that is above both, or one of them."""
    n_same = 0
    while n_same < min(len(a), len(b)) and a[n_same] == b[n_same]:
        n_same += 1
    return a[:n_same]


_NO_CHILDREN: Mapping[str, Node] = MappingProxyType({})
_NO_RIGHTS: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Node:
    """A node, with all that is below it."""

    value: bytes = b""
    children: Mapping[str, Node] = field(default_factory=lambda: _NO_CHILDREN)
    rights: Mapping[int, int] = field(default_factory=lambda: _NO_RIGHTS)
    """By domid, where they are not those of the node above."""
    n_nodes: int = 1

    def find(self, path: Path) -> Node | None:
        """The node at a path from here."""
        node: Node | None = self
        for name in path:
            if node is None:
                return None
            node = node.children.get(name)
        return node

    def with_node(self, path: Path, node: Node | None) -> Node:
        """The same with another node at a path, or none. What lies on the way is made."""
        if not path:
            return node or Node()
        children = dict(self.children)
        old = children.pop(path[0], None)
        if len(path) > 1:
            node = (old or Node()).with_node(path[1:], node)
        n_nodes = self.n_nodes - (old.n_nodes if old else 0)
        if node is not None:
            children[path[0]] = node
            n_nodes += node.n_nodes
        return replace(self, children=children, n_nodes=n_nodes)

    def without_rights_of(self, domid: int) -> Node:
        """The same, with nothing said about a domain; this node itself where nothing was."""
        children = {name: child.without_rights_of(domid) for name, child in self.children.items()}
        is_same = all(children[name] is child for name, child in self.children.items())
        if is_same and domid not in self.rights:
            return self
        rights = {other: right for other, right in self.rights.items() if other != domid}
        return replace(self, children=children, rights=rights)


class Tree:
    """A tree, and what domains may do with it. A method that raises GuestError has changed nothing."""

    def __init__(self, root: Node) -> None:
        self.root = root

    def rights(self, path: Path, domid: int) -> int:
        """What a domain may do with a node; where there is none, with the one that would be made."""
        owner = owner_of(path)
        if domid in (HOST, owner):
            return ALL_RIGHTS
        rights = READ if owner is None else 0
        node: Node | None = self.root
        for depth in range(len(path) + 1):
            if node is None:
                break
            if owner is None or depth >= len(HOMES) + 1:
                rights = node.rights.get(domid, rights)
            node = node.children.get(path[depth]) if depth < len(path) else None
        return rights

    def read(self, domid: int, path: Path) -> bytes:
        """A node's value."""
        return self._readable(domid, path).value

    def names(self, domid: int, path: Path) -> bytes:
        """The names below a node, each with a NUL behind it."""
        names = sorted(self._readable(domid, path).children)
        return b"".join(name.encode("ascii") + b"\0" for name in names)

    def write(self, domid: int, path: Path, value: bytes) -> None:
        """Give a node a value; make it if need be."""
        self._need(domid, path, WRITE)
        node = self.root.find(path)
        if node is None and domid != HOST:
            self._check_room(path)
        self.root = self.root.with_node(path, replace(node or Node(), value=value))

    def remove(self, domid: int, path: Path) -> None:
        """Remove a node with all below it; never the way to a home, or a home."""
        self._need(domid, path, WRITE)
        if len(path) <= len(HOMES) + 1 and domid != HOST and (path == HOMES[: len(path)] or owner_of(path)):
            raise refused(errnos.EPERM)
        if self.root.find(path) is None:
            raise refused(errnos.ENOENT)
        self.root = self.root.with_node(path, None)

    def permit(self, domid: int, path: Path, other: int, rights: int) -> None:
        """Say what another domain may do from a node on down."""
        if domid not in (HOST, owner_of(path)):
            raise refused(errnos.EPERM)
        node = self.root.find(path)
        if node is None:
            raise refused(errnos.ENOENT)
        changed = dict(node.rights)
        changed.pop(other, None)
        if rights != INHERIT:
            if len(changed) >= RIGHTS_MAX:
                raise refused(errnos.ENOSPC)
            changed[other] = rights
        self.root = self.root.with_node(path, replace(node, rights=changed))

    def _need(self, domid: int, path: Path, rights: int) -> None:
        if not self.rights(path, domid) & rights:
            raise refused(errnos.EPERM)

    def _readable(self, domid: int, path: Path) -> Node:
        self._need(domid, path, READ)
        node = self.root.find(path)
        if node is None:
            raise refused(errnos.ENOENT)
        return node

    def _check_room(self, path: Path) -> None:
        """May the missing nodes of a path be made? A home, or what lies beside the homes, is bounded."""
        n_above = len(HOMES) + 1 if owner_of(path) is not None else 1
        top = self.root.find(path[:n_above])
        n_there = len(path)
        while self.root.find(path[:n_there]) is None:
            n_there -= 1
        if (top.n_nodes if top else 0) + len(path) - n_there > NODES_MAX:
            raise refused(errnos.ENOSPC)
