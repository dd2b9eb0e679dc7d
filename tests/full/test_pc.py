# SPDX-License-Identifier: GPL-2.0-or-later
"""Bare PC kernels: each prints what it saw, and sees under pvisor what a PC shows.

The expected output of a guest is in tests/guests/pc/NAME-BITS.txt. A stock QEMU prints the same, but for the
lines of tests/full/pc_differences.py: there the manual (SDM) says otherwise, and it wins.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full.pc_differences import as_full, as_qemu, options_of
from tests.qemu import pc

GUESTS = (
    ("exceptions", 32), ("exceptions", 64), ("segments", 32), ("segments", 64), ("transfers", 32),
    ("transfers", 64), ("control", 32), ("control", 64), ("paging", 32), ("paging", 64), ("pae", 32),
    ("paging_large", 32), ("paging_large", 64), ("paging_top", 64), ("code", 32), ("code", 64),
    ("code_alias", 64), ("code_upper", 64),
    ("code_straddle", 32), ("code_straddle", 64), ("code_seasons", 32), ("code_seasons", 64),
    ("string_rounds", 32), ("string_rounds", 64), ("double_fault", 64), ("ioports", 32), ("ioports", 64),
    ("uart", 32), ("uart", 64), ("keyboard", 32), ("keyboard", 64), ("fpu", 32), ("fpu", 64),
)  # fmt: skip

HABITS = tuple(
    (f"habits_{what}", bits) for what in ("cpu", "memory", "devices", "time") for bits in (32, 64)
)
"""What kernels do to find out where they are."""

RING_3_AND_DEVICES = (
    *((name, bits) for name in (
        "user_exceptions", "user_privilege", "sensitive", "sensitive_code", "copied_code", "access_rights",
        "user_paging",
        "smc_user", "sysenter", "limits", "gates", "single_step", "pic", "pit", "rtc", "uart_irq", "apic",
        "scheduler", "nmi", "breakpoints",
    ) for bits in (32, 64)),
    ("user_pae", 32), ("syscall", 64), ("compat", 64), ("tasks", 32), ("gates_286", 32), *HABITS,
)  # fmt: skip

NOT_IN_EMU = (("task_286", 32), ("watchpoints", 32), ("watchpoints", 64))
"""The lane's engine, of QEMU 5.0, reads a 16-bit TSS's segments elsewhere, and has no data breakpoints."""

NOT_IN_QEMU = (("refusals", 64),)
"""QEMU's TCG lets these values pass; the expected output is the manual's."""


def over(guests: tuple[tuple[str, int], ...]) -> pytest.MarkDecorator:
    """Run a test for each of these guests."""
    return pytest.mark.parametrize(("name", "bits"), guests, ids=[f"{name}-{bits}" for name, bits in guests])


pytestmark = pytest.mark.needs_gcc


def expected(name: str, bits: int) -> str:
    """What a guest prints."""
    return (pc.GUESTS / f"{name}-{bits}.txt").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build a guest once: `built(name, bits)`."""
    folder = tmp_path_factory.mktemp("pc")
    return lru_cache(None)(lambda name, bits: pc.build(name, bits, folder))


def run(elf: Path, **settings: Any) -> RunResult:
    """Run a bare PC guest, with a limit in case it never ends."""
    return run_domain(DomainConfig(elf, mode="full", max_insns=20_000_000, timeout_s=20, **settings))


@over(GUESTS + RING_3_AND_DEVICES + NOT_IN_EMU + NOT_IN_QEMU)
@pytest.mark.parametrize("tier", ["native", "python"])
def test_a_pc_kernel_sees_a_pc(built: Any, name: str, bits: int, tier: str) -> None:
    result = run(built(name, bits), tier=tier)
    assert result.output.decode("latin1") == as_full(f"{name}-{bits}", expected(name, bits))
    assert (result.ending.ended_by.value, result.ending.status) == ("guest", 1), result.ending.reason


@over(GUESTS + RING_3_AND_DEVICES + NOT_IN_EMU)
@pytest.mark.needs_qemu
def test_qemu_agrees(built: Any, name: str, bits: int) -> None:
    status, output = pc.run(built(name, bits), options=options_of(name))
    assert output.decode("latin1") == as_qemu(f"{name}-{bits}", expected(name, bits))
    assert status == 1


@pytest.mark.parametrize(
    ("name", "bits"),
    [("exceptions", 64), ("paging", 64), ("code", 32), ("user_exceptions", 64), ("scheduler", 32)],
)
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
