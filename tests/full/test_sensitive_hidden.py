# SPDX-License-Identifier: GPL-2.0-or-later
"""No sensitive instruction hides: LOCK makes it #UD, and what stands in front of it does not cover it.

The expected output is the manual's. QEMU's TCG, like the engine, runs them with LOCK as if it were not there,
so it is asked about the neighbours only.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc
NAME = "sensitive_hidden"


def expected(bits: int) -> str:
    """What the manual says."""
    return (pc.GUESTS / f"{NAME}-{bits}.txt").read_text("utf-8")


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("tier", ["native", "python"])
def test_each_is_found(tmp_path: Path, bits: int, tier: str) -> None:
    elf = pc.build(NAME, bits, tmp_path)
    result = run_domain(DomainConfig(elf, mode="full", tier=tier, max_insns=20_000_000, timeout_s=20))
    assert result.output.decode() == expected(bits)
    assert (result.ending.ended_by.value, result.ending.status) == ("guest", 1), result.ending.reason


@pytest.mark.parametrize("bits", [32, 64])
def test_unpatched_they_show_the_hole(tmp_path: Path, bits: int) -> None:
    elf = pc.build(NAME, bits, tmp_path)
    result = run_domain(DomainConfig(elf, mode="full", remedy="none", max_insns=20_000_000, timeout_s=20))
    assert "LOCK IN in ring 3: nothing" in result.output.decode()
    assert result.patches == (0, 0)


@pytest.mark.needs_qemu
@pytest.mark.parametrize("bits", [32, 64])
def test_qemu_agrees_about_the_neighbours(tmp_path: Path, bits: int) -> None:
    elf = pc.build_source(pc.GUESTS / f"{NAME}.c", bits, tmp_path, ["NO_LOCK"])
    begin = "a reserved NOP"
    assert pc.run(elf)[1].decode() == begin + expected(bits).partition(begin)[2]
