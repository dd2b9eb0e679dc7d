# SPDX-License-Identifier: GPL-2.0-or-later
"""What a comparison counts as an operation, and when it calls two runs the same."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from pvisor.domain.outcome import EndedBy, Ending
from pvisor.observe.compare import BOOT, SDK_FUNCTIONS, differences, pairs
from pvisor.vmm.config import Operation, RunResult

RUN = RunResult("para", "native", "state", Ending(EndedBy.GUEST, 0), 10, 10, 1, b"hello\n", 1)


def declared(header: Path) -> set[str]:
    """The functions that a header of the SDK declares."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text("utf-8"), flags=re.DOTALL)
    text = re.sub(r"\btypedef [^;]*;", "", text)
    return set(re.findall(r"\b(pv_\w+)\(", text))


def test_the_table_of_functions_is_that_of_the_headers(repo_root: Path) -> None:
    folder = repo_root / "guest_sdk" / "include" / "pv"
    by_hand = {"abi.h", "hypercall.h", "string.h"}
    of_one_wing = {"event.h", "grant.h", "store.h", "ring.h", "console_ring.h", "entropy.h"}
    assert {path.name for path in folder.glob("*.h")} - by_hand - of_one_wing == set(SDK_FUNCTIONS)
    for header, functions in SDK_FUNCTIONS.items():
        assert declared(folder / header) == set(functions), header


def test_the_same() -> None:
    assert differences(RUN, replace(RUN, mode="full", n_instructions=99)) == []


def test_another_status_and_another_end() -> None:
    other = replace(RUN, ending=Ending(EndedBy.GUEST, 3))
    assert differences(RUN, other) == ["they ended differently: full status 0, para status 3"]
    idle = replace(RUN, ending=Ending(EndedBy.IDLE, 124, "it waits"))
    budget = replace(RUN, ending=Ending(EndedBy.BUDGET, 124, "time over"))
    assert "para status 124 (idle: it waits)" in differences(budget, idle)[0]


def test_other_output() -> None:
    found = differences(RUN, replace(RUN, output=b"hallo\n"))
    assert found[0] == "their output differs:" and "  -hello" in found and "  +hallo" in found
    assert len(differences(replace(RUN, output=b"a\n" * 999), replace(RUN, output=b"b\n" * 999))) < 30
    assert len(differences(RUN, replace(RUN, output=b"hello\r\n"))) > 1, "a line end is a difference, too"
    assert len(differences(RUN, replace(RUN, output=b"\xff\xfe"))) > 1


def test_operations_that_both_made_and_boot() -> None:
    full = replace(RUN, operations=(
        Operation("pv_write", 2, 40, 400, 46, 600), Operation("main", 1, 50, 500, 46, 600),
        Operation("pv_putc", 1, 1, 1, 0, 0),
    ))  # fmt: skip
    para = replace(RUN, operations=(
        Operation("main", 1, 2, 300, 0, 11), Operation("pv_write", 2, 2, 40, 0, 20),
    ))  # fmt: skip
    found = pairs(full, para)
    assert [pair.name for pair in found] == [BOOT, "main", "pv_write"]
    assert (found[0].full.exits, found[0].full.instructions) == (46, 600)
    assert (found[0].para.exits, found[0].para.instructions) == (0, 11)


def test_guests_without_symbols_have_no_operations() -> None:
    assert pairs(RUN, RUN) == []
