# SPDX-License-Identifier: GPL-2.0-or-later
"""Rooms of the two wings bear the same names; what has no twin stands in docs/rooms.md with its reason."""

from __future__ import annotations

import re

import pytest

from tests.arch.tree import files, text

ROOMS = "docs/rooms.md"

# The wings, as pairs of folders whose files mirror each other (sub-folders such as native/ included).
PAIRS = (("pvisor/full/", "pvisor/para/"), ("guest_sdk/src/full/", "guest_sdk/src/para/"))


def without_twin(names: list[str]) -> set[str]:
    """The files of NAMES that stand in one wing only."""
    alone: set[str] = set()
    for left, right in PAIRS:
        lefts = {name.removeprefix(left) for name in names if name.startswith(left)}
        rights = {name.removeprefix(right) for name in names if name.startswith(right)}
        alone |= {left + room for room in lefts - rights} | {right + room for room in rights - lefts}
    return alone


def listed(markdown: str) -> dict[str, str]:
    """The table's rows: file -> reason."""
    return dict(re.findall(r"^\|\s*`([^`]+)`\s*\|\s*(.*?)\s*\|\s*$", markdown, re.MULTILINE))


def test_each_room_has_a_twin_or_a_reason() -> None:
    rows = listed(text(ROOMS))
    alone = without_twin(files())
    assert alone - rows.keys() == set(), f"no twin in the other wing and no row in {ROOMS}"
    assert rows.keys() - alone == set(), f"rows in {ROOMS} for files that have a twin or are gone"
    assert all(len(reason.split()) >= 8 for reason in rows.values()), "a reason is a sentence"


def test_each_reason_is_its_files_own_and_speaks_of_the_other_wing() -> None:
    rows = listed(text(ROOMS))
    assert len(set(rows.values())) == len(rows), "a reason that stands twice is nobody's"
    generic = [file for file, reason in rows.items() if not re.search(r"[:;,] ", reason)]
    assert generic == [], "what the file is, and why the other wing has none"


def test_what_the_hybrid_guest_has_of_its_own_is_told() -> None:
    """Its files that have no namesake in either wing."""
    folder = "guest_sdk/src/hybrid/"
    named = {name.removeprefix(side) for side in PAIRS[1] for name in files() if name.startswith(side)}
    own = {name for name in files() if name.startswith(folder) and name.removeprefix(folder) not in named}
    told = dict(re.findall(r"^- `([^`]+)`: (.+)$", text(ROOMS), re.MULTILINE))
    assert told.keys() == own


@pytest.mark.parametrize(
    ("names", "alone"),
    [
        (["pvisor/full/timer.py", "pvisor/para/timer.py"], set()),
        (["pvisor/full/native/x.c", "pvisor/para/x.py"], {"pvisor/full/native/x.c", "pvisor/para/x.py"}),
        (["guest_sdk/src/para/x.c"], {"guest_sdk/src/para/x.c"}),
        (["guest_sdk/src/common/x.c"], set()),
    ],
)
def test_the_room_rule_itself(names: list[str], alone: set[str]) -> None:
    assert without_twin(names) == alone
