# SPDX-License-Identifier: GPL-2.0-or-later
"""Bare PC kernels: each prints what it saw, and sees under pvisor what a PC shows.

The expected output of a guest is in tests/guests/pc/NAME-BITS.txt. A stock QEMU prints the same, but for the
lines of DIFFERENCES: there the manual (SDM) says otherwise, and it wins.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.qemu import pc

GUESTS = (
    ("exceptions", 32), ("exceptions", 64), ("segments", 32), ("segments", 64), ("transfers", 32),
    ("transfers", 64), ("control", 32), ("control", 64), ("paging", 32), ("paging", 64), ("pae", 32),
    ("paging_large", 32), ("paging_large", 64), ("code", 32), ("code", 64), ("code_alias", 64),
    ("code_straddle", 32), ("code_straddle", 64), ("double_fault", 64), ("ioports", 32), ("ioports", 64),
    ("fpu", 32), ("fpu", 64),
)  # fmt: skip

NOT_IN_QEMU = (("refusals", 64),)
"""QEMU's TCG lets these values pass; the expected output is the manual's."""

DIFFERENCES = {
    # SDM 3A 6.13: the index in the error code is the vector, also where a gate has 16 bytes.
    "exceptions-64": {
        "int through a gate that is not present: vector 11, error 0x10a": "error 0x212",
        "int through a gate of no such type: vector 13, error 0x10a": "error 0x212",
        "int beyond the table: vector 13, error 0x302": "error 0x602",
    },
    # SDM 2A, LTR: a null selector is #GP(0).
    "segments-32": {"LTR of null: vector 13, error 0x0, at +0": "LTR of null: nothing"},
    "segments-64": {"LTR of null: vector 13, error 0x0, at +0": "LTR of null: nothing"},
    # SDM 2A, IRET: #GP(0) when the return address is beyond the limit.
    "transfers-32": {
        "the segment's limit: vector 13, error 0x0, at +9": "the segment's limit: nothing",
    },
    # SDM 2A, IRET: the fault is that of IRET, not of the fetch after it.
    "transfers-64": {
        "IRET to an address that is not canonical: vector 13, error 0x0, at +20": "error 0x0",
    },
    # SDM 3A 4.7: RSVD is set only together with P.
    "paging-32": {"reserved bit: vector 14, error 0x9": "error 0x8"},
    "paging-64": {"vector 14, error 0x9": "error 0x8"},
    "paging_large-64": {"vector 14, error 0x9": "error 0x8"},
    "pae-32": {"reserved bit: vector 14, error 0x9": "error 0x8"},
    # SDM 3A 6.13: EXT is set when a fault comes while an earlier exception is delivered.
    "double_fault-64": {
        "#UD with no gate: vector 11, error 0x33": "error 0x62",
        "#UD into a segment that is not there: vector 13, error 0x209": "error 0x208",
    },
}
"""By guest: part of an expected line, and how QEMU 7 to 9 ends that part instead."""



def over(guests: tuple[tuple[str, int], ...]) -> pytest.MarkDecorator:
    """Run a test for each of these guests."""
    return pytest.mark.parametrize(("name", "bits"), guests, ids=[f"{name}-{bits}" for name, bits in guests])


pytestmark = pytest.mark.needs_gcc


def expected(name: str, bits: int) -> str:
    """What a guest prints."""
    return (pc.GUESTS / f"{name}-{bits}.txt").read_text()


def as_qemu(name: str, bits: int, text: str) -> str:
    """The same, with the lines that differ."""
    for ours, theirs in DIFFERENCES.get(f"{name}-{bits}", {}).items():
        start = ours.rfind(theirs.split(" ")[0]) if theirs.startswith("error") else 0
        text = text.replace(ours, ours[:start] + theirs)
    return text


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build a guest once: `built(name, bits)`."""
    folder = tmp_path_factory.mktemp("pc")
    return lru_cache(None)(lambda name, bits: pc.build(name, bits, folder))


def run(elf: Path, **settings: Any) -> RunResult:
    """Run a bare PC guest, with a limit in case it never ends."""
    return run_domain(DomainConfig(elf, mode="full", max_insns=20_000_000, timeout_s=20, **settings))


@over(GUESTS + NOT_IN_QEMU)
@pytest.mark.parametrize("tier", ["native", "python"])
def test_a_pc_kernel_sees_a_pc(built: Any, name: str, bits: int, tier: str) -> None:
    result = run(built(name, bits), tier=tier)
    assert result.output.decode("latin1") == expected(name, bits)
    assert (result.ending.ended_by.value, result.ending.status) == ("guest", 1), result.ending.reason


@over(GUESTS)
@pytest.mark.needs_qemu
def test_qemu_agrees(built: Any, name: str, bits: int) -> None:
    status, output = pc.run(built(name, bits), options="-cpu qemu64,+pdpe1gb")
    assert output.decode("latin1") == as_qemu(name, bits, expected(name, bits))
    assert status == 1


@pytest.mark.parametrize(("name", "bits"), [("exceptions", 64), ("paging", 64), ("code", 32)])
def test_tiers_and_runs_leave_the_same_trace(built: Any, name: str, bits: int) -> None:
    def facts(tier: str) -> tuple[object, ...]:
        records: list[tuple[object, ...]] = []

        def keep(batch: Any) -> None:
            for x in batch:
                ops = tuple(x.ops[i] for i in range(x.n_ops))
                records.append((x.virtual_ns, x.rip, x.reason, x.outcome, x.result, ops))

        config = DomainConfig(built(name, bits), mode="full", max_insns=20_000_000, tier=tier)
        result = run_domain(config, trace=keep)
        counts = {reason: count.count for reason, count in result.exits.items()}
        return result.n_instructions, result.virtual_ns, result.output, counts, records

    first = facts("native")
    assert facts("native") == first
    assert facts("python") == first
