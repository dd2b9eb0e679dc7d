# SPDX-License-Identifier: GPL-2.0-or-later
"""Two remedies for sensitive instructions that do not trap: replace them, or keep what they show true."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full.pc_differences import as_full
from tests.full.test_pc import expected, over
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc

SHOWN_IOPL = {
    "pic-32": {"  flags: 0x200\n": "  flags: 0x1200\n"},
    "pic-64": {"  flags: 0x200\n": "  flags: 0x1200\n"},
}
"""The price of `registers`: the kernel's CLI, STI and POPF run because IOPL is 1, and PUSHF shows that."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build a guest once: `built(name, bits)`."""
    folder = tmp_path_factory.mktemp("pc")
    return lru_cache(None)(lambda name, bits: pc.build(name, bits, folder))


def run(built: Any, name: str, bits: int, remedy: str, tier: str = "native") -> RunResult:
    config = DomainConfig(
        built(name, bits), mode="full", max_insns=20_000_000, timeout_s=20, tier=tier, remedy=remedy
    )
    return run_domain(config)


@over((("pic", 32), ("pic", 64), ("apic", 64), ("scheduler", 32), ("scheduler", 64), ("exceptions", 64),
       ("user_exceptions", 32), ("user_paging", 64), ("code_alias", 64), ("uart_irq", 32)))  # fmt: skip
@pytest.mark.parametrize("tier", ["native", "python"])
def test_registers_that_hold_the_virtual_values_do_as_well(
    built: Any, name: str, bits: int, tier: str
) -> None:
    text = as_full(f"{name}-{bits}", expected(name, bits))
    for patched, shown in SHOWN_IOPL.get(f"{name}-{bits}", {}).items():
        assert patched in text
        text = text.replace(patched, shown)
    result = run(built, name, bits, "registers", tier)
    assert (result.ending.status, result.output.decode("latin1")) == (1, text)


def test_a_kernel_that_masks_interrupts_traps_less_with_it(built: Any) -> None:
    patched, registers = (run(built, "scheduler", 64, remedy).exits for remedy in ("patch", "registers"))
    assert {"cli", "sti"} & set(patched)
    assert not {"cli", "sti", "pushf", "popf"} & set(registers)


def test_without_a_remedy_the_real_cpu_shows(built: Any) -> None:
    whole, hole = (run(built, "sensitive", 64, remedy).output for remedy in ("patch", "none"))
    assert b"POPF of IOPL 3: 0x3002" in whole
    assert b"POPF of IOPL 3: 0x3002" not in hole
