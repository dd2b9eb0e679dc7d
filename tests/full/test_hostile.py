# SPDX-License-Identifier: GPL-2.0-or-later
"""Bare PC kernels that try to break out or to run for ever, and how each of them ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc
WAYS = (("full", "native"), ("full", "python"), ("emu", "native"))
BUDGET = 60_000_000  # more than a tick at 18.2 Hz

LAST_BYTES_OF_THE_ADDRESS_SPACE = (64, r"""
static uint64_t d3[512] __attribute__((aligned(4096))), d2[512] __attribute__((aligned(4096)));
static uint64_t d1[512] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));
int main(void)
{
    uint64_t *root = (uint64_t *)(read_cr3() & ~0xffful);
    root[511] = (word)d3 | 3, d3[511] = (word)d2 | 3, d2[511] = (word)d1 | 3, d1[511] = (word)page | 3;
    page[4093] = 0x0f, page[4094] = 0x20, page[4095] = 0xd8; /* mov rax, cr3 */
    print("go\n");
    __asm__ volatile("jmp *%0" ::"r"(0xfffffffffffffffdul));
    return 0;
}
""")
VM_IS_IGNORED_IN_LONG_MODE = (64, r"""
int main(void)
{
    word flags;
    __asm__ volatile("mov %%ss, %%ax; mov %%rsp, %%rdx; push %%rax; push %%rdx; push $0x20002; push $8\n"
                     "push $1f; iretq\n1:" ::: "rax", "rdx", "memory", "cc");
    __asm__ volatile("pushfq; pop %0" : "=r"(flags));
    show("VM", flags >> 17 & 1);
    return 0;
}
""")
VIRTUAL_8086 = (32, r"""
int main(void)
{
    volatile uint8_t *code = (uint8_t *)0x5000; /* cli; mov al, 7; out 0xf4, al */
    code[0] = 0xfa, code[1] = 0xb0, code[2] = 7, code[3] = 0xe6, code[4] = 0xf4;
    print("go\n");
    __asm__ volatile("push $0; push $0; push $0; push $0; push $0x300; push $0x100; push $0x23002\n"
                     "push $0x500; push $0; iret");
    return 0;
}
""")
A_HANDLER_THAT_FAULTS_AT_ONCE = (64, r"""
static uint8_t tss[104] __attribute__((aligned(16))), stack[4096] __attribute__((aligned(16)));
int main(void)
{
    word base = (word)tss, handler;
    *(uint64_t *)(tss + 0x24) = (word)stack + 4096;
    gdt[6] = 103 | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[7] = base >> 32;
    __asm__ volatile("ltr %%ax" ::"a"(0x30));
    __asm__ volatile("lea 7f(%%rip), %0" : "=r"(handler));
    set_gate(6, handler, CODE, 0x8e, 1);
    __asm__ volatile("7: ud2");
    return 0;
}
""")
CODE_OF_16_BITS = (32, r"""
int main(void)
{
    /* lmsw [0x400]; ljmp 8:back */
    static const uint8_t code[] = {0x0f, 0x01, 0x36, 0x00, 0x04, 0x66, 0xea, 0, 0, 0, 0, 0x08, 0};
    volatile uint8_t *at = (uint8_t *)0x5000;
    word back;
    for (unsigned i = 0; i < sizeof code; i++)
        at[i] = code[i];
    *(volatile uint16_t *)0x5400 = *(volatile uint16_t *)0x400 = 1;
    __asm__ volatile("mov $7f, %0" : "=r"(back));
    *(volatile uint32_t *)(at + 7) = back;
    set_segment(FREE, 0x5000, 0xffff, 0x9b, 0x0);
    __asm__ volatile("ljmp $0x20, $0\n7:" ::: "memory");
    print("back\n");
    return 0;
}
""")

CODE_WHOSE_ADDRESSES_WRAP = (32, r"""
/* As GNU Mach runs before it pages: linked 3 GiB too high, in a segment with a base of 1 GiB. */
__asm__(".section .apart, \"ax\"; .balign 4096; apart: nop; pushf; pop %eax; nop; cli; sti; cli\n"
        "str %dx; ljmp $8, $back; .balign 4096; .text");
int main(void)
{
    word flags, task;
    gdt[6] = 0x40cf9a000000ffffull;
    print("go\n");
    __asm__ volatile("ljmp $0x30, $apart + 0xc0000000; back:" : "=a"(flags), "=d"(task) : : "memory", "cc");
    show("IF", flags & 0x200);
    show("TR", task & 0xffff);
    return 0;
}
""")


def run(guest: tuple[int, str], folder: Path, mode: str = "full", tier: str = "native") -> RunResult:
    """Build a guest from its text, and run it with a budget."""
    bits, text = guest
    source = folder / "guest.c"
    source.write_text(f'#include "pc.h"\n{text}')
    elf = pc.build_source(source, bits, folder)
    return run_domain(DomainConfig(elf, mode=mode, tier=tier, max_insns=BUDGET))


def test_an_instruction_that_ends_the_address_space(tmp_path: Path) -> None:
    result = run(LAST_BYTES_OF_THE_ADDRESS_SPACE, tmp_path)
    assert result.output.startswith(b"go\n")
    assert result.exits["mov_cr"].count >= 3  # it was emulated; then RIP wraps to 0, and what lies there runs


def test_iretq_ignores_vm(tmp_path: Path) -> None:
    assert run(VM_IS_IGNORED_IN_LONG_MODE, tmp_path).output == b"VM: 0x0\n"


def test_virtual_8086_mode_is_refused(tmp_path: Path) -> None:
    result = run(VIRTUAL_8086, tmp_path)
    assert (result.output, result.ending.ended_by) == (b"go\n", EndedBy.CRASH)
    assert "virtual-8086" in result.ending.reason


def test_exceptions_without_end_are_ended(tmp_path: Path) -> None:
    result = run(A_HANDLER_THAT_FAULTS_AT_ONCE, tmp_path)
    assert result.ending.ended_by is EndedBy.CRASH
    assert "without end" in result.ending.reason


def test_code_of_16_bits_is_decoded_as_such(tmp_path: Path) -> None:
    assert run(CODE_OF_16_BITS, tmp_path).output == b"back\n"


CODE_THAT_ENDS_THE_TRANSLATOR = (64, r"""
int main(void)
{
    print("go\n");
    __asm__ volatile(".byte 0xf0, 0x0f, 0xab, 0xc8"); /* lock bts eax, ecx: #UD by the manual */
    return 0;
}
""")


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_code_over_which_the_engine_aborts_ends_its_domain_only(tmp_path: Path, mode: str) -> None:
    for _ in range(2):
        result = run(CODE_THAT_ENDS_THE_TRANSLATOR, tmp_path, mode)
        assert (result.output, result.ending.ended_by) == (b"go\n", EndedBy.CRASH)
        assert "cannot translate" in result.ending.reason


def test_code_whose_addresses_wrap_at_4_gib(tmp_path: Path) -> None:
    """Base and offset make 32 bits (SDM 3A 3.4), and the page was never used by its own address."""
    results = [run(CODE_WHOSE_ADDRESSES_WRAP, tmp_path, mode, tier) for mode, tier in WAYS]
    assert {result.output for result in results} == {b"go\nIF: 0x0\nTR: 0x0\n"}
    assert len({result.n_instructions for result in results}) == 1
