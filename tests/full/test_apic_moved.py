# SPDX-License-Identifier: GPL-2.0-or-later
"""The local APIC's page is where IA32_APIC_BASE says, and nowhere when it is disabled (SDM 3A 10.4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.machine.mmio import MmioBus
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.full.apic_board import Board
from tests.qemu import pc

MOVED = r"""
static volatile word n_taken;
static void handler(struct frame *frame)
{
    n_taken += frame->vector == 0x50;
}
static uint32_t at(word base, unsigned offset)
{
    return *(volatile uint32_t *)(base + offset);
}
static void put(word base, unsigned offset, uint32_t value)
{
    *(volatile uint32_t *)(base + offset) = value;
}
static word has_apic(void)
{
    uint32_t a = 1, b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return d >> 9 & 1;
}
int main(void)
{
    use_all_gates();
    on_interrupt = handler;
    show("version", at(0xfee00000, 0x30) & 0xff);
    wrmsr(0x1b, 0xf0000900);
    show("IA32_APIC_BASE", rdmsr(0x1b));
    show("moved: version", at(0xf0000000, 0x30) & 0xff);
    show("nobody at the old place", at(0xfee00000, 0x30));
    put(0xf0000000, 0xf0, 0x1ff);
    put(0xf0000000, 0x300, 0x40050);
    __asm__ volatile("sti; nop; nop; cli");
    put(0xf0000000, 0xb0, 0);
    show("it interrupts", n_taken);
    wrmsr(0x1b, 0xfec00900);
    show("over the I/O APIC: version", at(0xfec00000, 0x30) & 0xff);
    wrmsr(0x1b, 0xfee00100);
    show("disabled: nobody there", at(0xfee00000, 0x30));
    show("  CPUID", has_apic());
    wrmsr(0x1b, 0xfee00900);
    show("enabled: version", at(0xfee00000, 0x30) & 0xff);
    show("  CPUID", has_apic());
    show("  the I/O APIC is itself", (put(0xfec00000, 0, 1), at(0xfec00000, 0x10)));
    print("over RAM\n");
    wrmsr(0x1b, 0x200900);
    print("not reached\n");
    return 0;
}
"""
EXPECTED = """version: 0x14
IA32_APIC_BASE: 0xf0000900
moved: version: 0x14
nobody at the old place: 0xffffffff
it interrupts: 0x1
over the I/O APIC: version: 0x14
disabled: nobody there: 0xffffffff
  CPUID: 0x0
enabled: version: 0x14
  CPUID: 0x1
  the I/O APIC is itself: 0x170011
over RAM
"""


def run(folder: Path, **settings: str) -> RunResult:
    """Build the guest and run it."""
    source = folder / "guest.c"
    source.write_text(f'#include "pc.h"\n{MOVED}')
    return run_domain(DomainConfig(pc.build_source(source, 32, folder), max_insns=1_000_000, **settings))  # type: ignore[arg-type]


@pytest.mark.needs_gcc
@pytest.mark.parametrize(("mode", "tier"), [("full", "native"), ("full", "python"), ("emu", "native")])
def test_a_guest_moves_it(tmp_path: Path, mode: str, tier: str) -> None:
    result = run(tmp_path, mode=mode, tier=tier)
    assert result.output.decode() == EXPECTED
    assert result.ending.ended_by is EndedBy.CRASH and "over RAM, to 0x200000" in result.ending.reason


def test_the_register() -> None:
    board = Board()
    assert board.apic.write_base(0xFED0_0900) and board.apic.read_base() == 0xFED0_0900
    assert not board.apic.write_base(0xFED0_0D00), "x2APIC is reserved"
    assert not board.apic.write_base(1 << 38 | 0x900), "beyond the physical addresses"
    assert board.apic.read_base() == 0xFED0_0900


def test_a_moved_device_answers_first() -> None:
    class Register:
        widest_bytes = 4

        def __init__(self, value: int) -> None:
            self.value = value

        def read(self, offset: int, size_bytes: int) -> int:
            return self.value

        def write(self, offset: int, size_bytes: int, value: int) -> None:
            self.value = value

    bus, one, other = MmioBus(), Register(1), Register(2)
    bus.attach(0x1000, 16, one)
    bus.attach(0x2000, 16, other)
    bus.move(other, 0x1008)
    assert [bus.read(at, 4) for at in (0x1000, 0x1004, 0x1008, 0x1014, 0x2000)] == [1, 1, 2, 2, 0xFFFF_FFFF]
