# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of a PC kernel's crash: its own registers, its own code, names only where they are true."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import pytest

from pvisor.full.kernel_file import read_image
from pvisor.observe.report import crash_report
from pvisor.vmm.config import CrashFacts, DomainConfig
from pvisor.vmm.run import run_domain
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc

NESTED, SENSITIVE, RING_3, PROGRAM = 1, 2, 3, 4


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Crash a guest, each way once: `crash(case, bits, mode)` gives the facts and the report."""
    folder = tmp_path_factory.mktemp("crash")

    @lru_cache(None)
    def run(case: int, bits: int, mode: str = "full", tier: str = "native") -> tuple[CrashFacts, str]:
        elf = pc.build_source(pc.GUESTS / "crash.c", bits, folder, [f"CASE={case}"])
        result = run_domain(DomainConfig(elf, mode=mode, tier=tier, max_insns=1_000_000, timeout_s=20))
        assert result.crash is not None, (result.ending, result.output)
        return result.crash, crash_report(result, read_image(elf))

    return run


def names(report: str) -> list[str]:
    """Of the backtrace."""
    return re.findall(r"^    #\d+ +0x[0-9a-f]{16}  (\w+)\+0x", report, re.MULTILINE)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("mode", ["full", "emu"])
def test_the_backtrace_of_either_width(crash: Any, bits: int, mode: str) -> None:
    facts, report = crash(NESTED, bits, mode)
    assert (facts.bits, facts.ring) == (bits, 0)
    assert names(report)[:4] == ["inner", "middle", "main", "start"]
    assert "     ud2\n" in report and "ring 0\n" in report


@pytest.mark.parametrize("tier", ["native", "python"])
def test_the_guests_own_registers(crash: Any, tier: str) -> None:
    facts, report = crash(NESTED, 64, "full", tier)
    assert facts.registers["RFLAGS"] >> 12 & 3 == 3, "IOPL is the guest's, not the real one"
    assert facts.system["CR0"] == 0x8001_0011, "neither NE nor MP, which the real CR0 may have"
    assert facts.system["CR4"] == 0x20 and facts.system["EFER"] == 0xD00
    assert (facts.tables["GDTR"].limit, facts.tables["IDTR"].limit) == (0x1FF, 0)
    assert facts.tables["TR"].selector == 0xB0
    for words in (r"CR0 80010011  CR2 0{16}  CR3 [0-9a-f]{16}  CR4 00000020  EFER 00000d00\n",
                  r"GDTR base [0-9a-f]{16}, limit 1ff  IDTR base 0{16}, limit 0\n",
                  r"LDTR 0000, base 0{16}, limit 0  TR   00b0, base "):  # fmt: skip
        assert re.search(words, report), words


def test_the_control_lane_shows_no_register_that_it_does_not_keep(crash: Any) -> None:
    facts, report = crash(NESTED, 64, "emu")
    assert not facts.system and "system registers" not in report


@pytest.mark.parametrize("tier", ["native", "python"])
def test_a_patched_instruction_is_shown_as_it_was_written(crash: Any, tier: str) -> None:
    facts, report = crash(SENSITIVE, 64, "full", tier)
    assert facts.code[0] == 0x9C
    assert "  inner+0x" in report and "     pushfq\n" in report


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("mode", ["full", "emu"])
def test_user_code_of_the_kernels_own_file_has_a_name(crash: Any, bits: int, mode: str) -> None:
    facts, report = crash(RING_3, bits, mode)
    assert facts.ring == 3 and "ring 3\n" in report and facts.in_kernel
    assert re.search(r"  at 0x[0-9a-f]{16}  in_ring_3\+0x0", report)


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_a_program_has_none_although_the_kernel_has_one_at_its_address(crash: Any, mode: str) -> None:
    facts, report = crash(PROGRAM, 64, mode)
    assert facts.ring == 3 and not facts.in_kernel
    assert "cover" not in report and names(report) == []
    assert re.search(
        r"no names: the guest ran a program of its own, which is not in .*crash-64.elf\n", report
    )
    assert "     ud2\n" in report
