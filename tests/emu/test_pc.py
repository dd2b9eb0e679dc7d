# SPDX-License-Identifier: GPL-2.0-or-later
"""The bare PC kernels of the left wing, in the lane: what they see is what QEMU's engine makes of a PC."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.full import test_pc as full
from tests.full.pc_differences import DIFFERENCES as QEMU_7
from tests.full.pc_differences import instead
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc

AS_THE_MANUAL = {
    # The engine is QEMU 5.0, which sets RSVD together with P.
    "paging-32", "paging-64", "paging_large-64", "pae-32", "user_paging-64", "user_pae-32",
    # SYSENTER is ours to complete.
    "sysenter-32",
}  # fmt: skip
"""Guests that see the manual's lines, where QEMU 7 differs."""
ROWS_AS_THE_MANUAL = ("SYSENTER with CS of 3", "flags inside: ")
"""Parts of such lines of other guests: SYSENTER and SYSCALL are ours to complete."""
# SDM 2A, INT1: the engine knows no F1.
_NO_INT1 = {
    "INT1: vector 1, error 0x0, at +1": "INT1: vector 6, error 0x0, at +0",
    "INT1 in ring 3: vector 1, error 0x0, at +1": "INT1 in ring 3: vector 6, error 0x0, at +0",
}
# SDM 3B 17.2.4: data breakpoints. Unicorn has no watchpoints.
_NO_DATA_BREAKPOINTS = {
    "a write: how often: 0x1\n  behind it: 0x1": "a write: how often: 0x0\n  behind it: 0x0",
    "in ring 3: how often: 0x1\na read": "in ring 3: how often: 0x0\na read",
    "a read and a write: how often: 0x2": "a read and a write: how often: 0x0",
    "a byte of it: 0x1": "a byte of it: 0x0",
}
# SDM 2B, RDPMC: #GP(0) in ring 3 while CR4.PCE is clear. QEMU 5.0 has no such instruction.
_NO_RDPMC = {"RDPMC without PCE: vector 13": "RDPMC without PCE: vector 6"}
DIFFERENCES = {
    "single_step-32": _NO_INT1,
    "single_step-64": _NO_INT1,
    "breakpoints-32": _NO_DATA_BREAKPOINTS,
    "breakpoints-64": _NO_DATA_BREAKPOINTS,
    # SDM 2A, INT n: the gate's DPL counts for a task gate, too.
    "tasks-32": {"  INT: vector 0xd, error 0x18a, in 0xb0": "  INT: ran in 0x1c0"},
    "user_privilege-32": _NO_RDPMC,
    "user_privilege-64": _NO_RDPMC,
    # SDM 2B, SYSRET: VM and RF are cleared. QEMU 5.0 loads them.
    "syscall-64": {"none: nothing\n  flags behind: 0x7cc7": "none: nothing\n  flags behind: 0x37cc7"},
}
"""Lines that differ from the manual and from QEMU 7, and what the lane prints."""


def as_emu(name: str, text: str) -> str:
    """The expected output of a guest (`name-bits`), with the lines that differ in the lane."""
    rows = {} if name in AS_THE_MANUAL else QEMU_7.get(name, {})
    rows = {ours: instead(ours, theirs) for ours, theirs in rows.items()}
    for part in ROWS_AS_THE_MANUAL:
        rows = {ours: theirs for ours, theirs in rows.items() if part not in ours}
    for ours, theirs in {**rows, **DIFFERENCES.get(name, {})}.items():
        assert ours in text, f"no such line any more: {ours}"
        text = text.replace(ours, theirs)
    return text


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build a guest once: `built(name, bits)`."""
    folder = tmp_path_factory.mktemp("pc")
    return lru_cache(None)(lambda name, bits: pc.build(name, bits, folder))


@full.over(full.GUESTS + full.RING_3_AND_DEVICES)
@pytest.mark.parametrize("tier", ["native", "python"])
def test_a_pc_kernel_sees_a_pc(built: Any, name: str, bits: int, tier: str) -> None:
    elf = built(name, bits)
    result = run_domain(DomainConfig(elf, "emu", tier=tier, max_insns=20_000_000, timeout_s=20))
    assert result.output.decode("latin1") == as_emu(f"{name}-{bits}", full.expected(name, bits))
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 1), result.ending.reason


def test_the_engine_lets_values_pass_that_the_manual_refuses(built: Any) -> None:
    """The guest `refusals` writes them one by one; the fourth, paging off in 64-bit code, is its end."""
    result = run_domain(DomainConfig(built("refusals", 64), "emu", max_insns=6_000))
    assert result.output.startswith(b"CR0: PG without PE: nothing\nCR0: NW without CD: nothing\n")
    assert result.ending.ended_by is not EndedBy.GUEST


@pytest.mark.parametrize(("name", "bits"), [("exceptions", 64), ("paging", 32), ("code", 64), ("fpu", 64)])
def test_tiers_and_runs_leave_the_same_trace(built: Any, name: str, bits: int) -> None:
    def facts(tier: str) -> tuple[object, ...]:
        records: list[tuple[object, ...]] = []

        def keep(batch: Any) -> None:
            for x in batch:
                ops = tuple(x.ops[i] for i in range(x.n_ops))
                records.append((x.virtual_ns, x.rip, x.reason, x.outcome, x.result, ops))

        config = DomainConfig(built(name, bits), "emu", max_insns=20_000_000, tier=tier)
        result = run_domain(config, trace=keep)
        counts = {reason: count.count for reason, count in result.exits.items()}
        return result.n_instructions, result.virtual_ns, result.output, counts, records

    first = facts("native")
    assert facts("native") == first
    assert facts("python") == first


@full.over((("paging_large", 32), ("code", 64), ("control", 32), ("fpu", 64)))
def test_the_wings_count_the_same_instructions(built: Any, name: str, bits: int) -> None:
    """Where a guest does the same in both, it does so at the same virtual times."""
    n = [run_domain(DomainConfig(built(name, bits), mode)).n_instructions for mode in ("full", "emu")]
    assert n[0] == n[1]


@pytest.mark.parametrize("bits", [32, 64])
def test_rounds_that_are_done_at_once_take_their_time(built: Any, bits: int) -> None:
    """Full mode runs REP MOVS and REP STOS ahead (cpu/shim/strings.c), the lane does not: time is equal."""
    runs = [run_domain(DomainConfig(built("string_rounds", bits), mode)) for mode in ("full", "emu")]
    assert runs[0].n_instructions == runs[1].n_instructions
