# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls on the store as things: what can be made now, or again on another tree, and transactions of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from pvisor.abi import errnos
from pvisor.abi.areas import store as rows
from pvisor.para.refusal import GuestError, refused
from pvisor.para.store_tree import Path, Tree

STEPS_MAX = rows.STEPS_MAX.number

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


def write(domid: int, path: Path, value: bytes) -> Operation:
    """Give a node a value; make it if need be."""

    def step(tree: Tree) -> bytes:
        tree.write(domid, path, value)
        return b""

    return Operation(step, path)


def remove(domid: int, path: Path) -> Operation:
    """Remove a node, with all below it."""

    def step(tree: Tree) -> bytes:
        tree.remove(domid, path)
        return b""

    return Operation(step, path, is_removal=True, is_deep=True)


def permit(domid: int, path: Path, other: int, rights: int) -> Operation:
    """Say what a domain may do with a node, and what is below it."""

    def step(tree: Tree) -> bytes:
        tree.permit(domid, path, other, rights)
        return b""

    return Operation(step, path, is_deep=True)
