# SPDX-License-Identifier: GPL-2.0-or-later
"""Registers that the engine lacks: the local APIC's and those of virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.emu.machine import build_text

pytestmark = pytest.mark.needs_gcc


def run(body: str, bits: int, folder: Path) -> RunResult:
    text = f"int main(void)\n{{\nword a;\n(void)a;\n{body}\nreturn 0;\n}}\n"
    return run_domain(DomainConfig(build_text(text, bits, folder), "emu", max_insns=1_000_000))


def said(body: str, bits: int, folder: Path) -> list[str]:
    return run(body, bits, folder).output.decode().splitlines()


@pytest.mark.parametrize("bits", [32, 64])
def test_the_apics_base(tmp_path: Path, bits: int) -> None:
    body = """
    show("base", rdmsr(0x1b));
    wrmsr(0x1b, rdmsr(0x1b) & ~0x800ull);
    show("off", rdmsr(0x1b));
    TRY("reserved bit", "xor %%edx, %%edx; mov $1, %%eax; wrmsr", "c"(0x1b));
    """
    assert said(body, bits, tmp_path) == [
        "base: 0xfee00900", "off: 0xfee00100", "reserved bit: vector 13, error 0x0, at +7",
    ]  # fmt: skip


def test_an_apic_that_is_moved_over_ram_is_named(tmp_path: Path) -> None:
    ending = run("wrmsr(0x1b, 0x00300900);", 32, tmp_path).ending
    assert ending.ended_by is EndedBy.CRASH and "0x300000" in ending.reason


def test_time_by_msr(tmp_path: Path) -> None:
    assert said(TIME, 32, tmp_path) == TIME_SAID


def test_the_time_stamp_counter_in_both_tiers(tmp_path: Path) -> None:
    """RDTSC and RDTSCP natively and in Python: the same words, exits and times."""
    body = TIME + """
    uint32_t number = 77;
    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(number));
    show("RDTSCP", high), show("of processor", number);
    __asm__ volatile("rdtsc; mov %%eax, %0; rdtsc; sub %0, %%eax; mov %%eax, %0"
                     : "=&r"(low) : : "eax", "edx");
    show("one after another", low);
    """
    text = f"int main(void)\n{{\nword a;\n(void)a;\n{body}\nreturn 0;\n}}\n"
    elf = build_text(text, 64, tmp_path)

    def facts(**settings: Any) -> tuple[object, ...]:
        records: list[tuple[object, ...]] = []

        def keep(batch: Any) -> None:
            records.extend((x.virtual_ns, x.rip, x.reason, x.result, *list(x.ops)[: x.n_ops]) for x in batch)

        result = run_domain(DomainConfig(elf, "emu", max_insns=1_000_000, **settings), trace=keep)
        count = result.exits["rdtsc"]
        assert (count.count, count.native) == (4, 0 if settings else 4)
        return records, result.output, result.n_instructions, result.ending

    native = facts()
    assert native[1] == "\n".join(
        [*TIME_SAID, "RDTSCP: 0x40000", "of processor: 0x0", "one after another: 0x2", ""]
    ).encode()
    assert facts(tier="python") == facts(without_natives=("rdtsc",)) == native


TIME = """
    uint32_t low, high;
    wrmsr(0x3b, 1ull << 40);
    show("TSC_ADJUST", rdmsr(0x3b));
    show("TSC", rdmsr(0x10) >> 20);
    wrmsr(0x10, 1ull << 50);
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    show("RDTSC", high);
    show("TSC_ADJUST moved with it", rdmsr(0x3b) >> 20);
"""
TIME_SAID = [
    "TSC_ADJUST: 0x10000000000", "TSC: 0x100000", "RDTSC: 0x40000", "TSC_ADJUST moved with it: 0x3fffffff",
]  # fmt: skip


def test_the_task_priority(tmp_path: Path) -> None:
    body = """
    __asm__ volatile("mov $9, %%eax; mov %%rax, %%cr8; xor %%eax, %%eax; mov %%cr8, %0" : "=r"(a) : : "eax");
    show("CR8", a);
    TRY("16", "mov $16, %%eax; mov %%rax, %%cr8", "c"(0));
    __asm__ volatile("mov $3, %%r9d; mov %%r9, %%cr8; mov %%cr8, %%r10; mov %%r10, %0"
                     : "=r"(a) : : "r9", "r10");
    show("by other registers", a);
    """
    assert said(body, 64, tmp_path) == [
        "CR8: 0x9", "16: vector 13, error 0x0, at +5", "by other registers: 0x3",
    ]  # fmt: skip


def test_flags_instructions_and_rewritten_code(tmp_path: Path) -> None:
    """The hook stands in mid-block; what is computed around it is as without."""
    body = """
    __asm__ volatile("mov $0x1b, %%ecx; xor %%eax, %%eax; sub $1, %%eax; rdmsr; pushf; pop %0"
                     : "=r"(a) : : "eax", "ecx", "edx");
    show("flags", a & 0x8d5);
    __asm__ volatile("rdtsc; mov %%eax, %%esi; nop; mov $0x1b, %%ecx; rdmsr; nop; rdtsc; sub %%esi, %%eax"
                     : "=a"(a) : : "esi", "ecx", "edx");
    show("instructions", a);
    volatile uint8_t *code = (uint8_t *)0x5000;
    for (int i = 0; i < 3; i++) {
        code[0] = i == 1 ? 0x66 : 0x0f, code[1] = i == 1 ? 0x90 : 0x32, code[2] = 0xc3;
        __asm__ volatile("xor %%eax, %%eax; call *%%edi" : "=a"(a) : "D"(0x5000), "c"(0x1b) : "edx");
        show("rewritten", a);
    }
    """
    assert said(body, 32, tmp_path) == [
        "flags: 0x95", "instructions: 0x6", "rewritten: 0xfee00900", "rewritten: 0x0",
        "rewritten: 0xfee00900",
    ]  # fmt: skip


def test_user_code_gets_nothing_of_it(tmp_path: Path) -> None:
    text = """
#include "user.h"
int main(void)
{
    user_set_up();
    USER("RDMSR", "mov $0x1b, %%ecx; rdmsr");
    return 0;
}
"""
    output = run_domain(DomainConfig(build_text(text, 32, tmp_path), "emu", max_insns=1_000_000)).output
    assert output == b"RDMSR: vector 13, error 0x0, at +5, in ring 3\n"


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("mode", ["emu", "full"])
def test_rdtscp_tells_the_number_that_the_kernel_has_set(tmp_path: Path, mode: str, tier: str) -> None:
    body = """
    uint32_t before, after, high, number;
    wrmsr(0xc0000103, 0x1234);
    __asm__ volatile("rdtsc" : "=a"(before), "=d"(high));
    __asm__ volatile("rdtscp" : "=a"(after), "=d"(high), "=c"(number));
    show("number", number);
    show("later", after > before);
    """
    text = f"int main(void)\n{{\n{body}\nreturn 0;\n}}\n"
    config = DomainConfig(build_text(text, 64, tmp_path), mode, max_insns=1_000_000, tier=tier)
    assert run_domain(config).output == b"number: 0x1234\nlater: 0x1\n"
