# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane's CPU at its entry, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, RBX, RCX, SS, Segment
from pvisor.errors import GuestRefused
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.emu.machine import build_text, new_machine
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc


def test_entry_is_flat_32_bit_protected_mode_at_cpl_0(tmp_path: Path) -> None:
    """xen/docs/misc/pvh.pandoc: CR0.PE alone, flat segments, EBX at the start info."""
    machine, _, vcpu = new_machine(pc.build("control", 32, tmp_path))
    assert vcpu.cpl == 0 and not vcpu.virtual_if and vcpu.rflags == 2
    assert vcpu.segment(CS) == Segment(0x08, 0, 0xFFFF_FFFF, 0x00CF_9B00)
    for index in (SS, DS, ES, FS, GS):
        assert vcpu.segment(index) == Segment(0x10, 0, 0xFFFF_FFFF, 0x00CF_9300)
    assert machine.domain.memory.read(vcpu.regs.gpr[RBX], 4) == (0x336E_C578).to_bytes(4, "little")
    assert vcpu.regs.gpr[RCX] == 0
    machine.close()


def test_control_registers_at_entry(tmp_path: Path) -> None:
    text = """
int main(void)
{
    show("CR0", read_cr0());
    show("CR3", read_cr3());
    show("CR4", read_cr4());
    show("EFER", rdmsr(0xc0000080));
    show("an MSR that is not there", rdmsr(0x12345678));
    return 0;
}
"""
    result = run_domain(DomainConfig(build_text(text, 32, tmp_path), "emu"))
    entry = b"CR0: 0x11\nCR3: 0x0\nCR4: 0x0\nEFER: 0x0\n"
    assert result.output == entry + b"an MSR that is not there: 0x0\n"


def test_msrs_are_as_firmware_leaves_them_and_as_full_has_them(tmp_path: Path) -> None:
    """MTRRcap, MISC_ENABLE, MTRRs (SDM 4, table 2-2): Linux turns PAT off where the MTRRs are."""
    text = """
int main(void)
{
    static const unsigned msrs[] = {0xfe, 0x1a0, 0x2ff, 0x250, 0x258, 0x259, 0x268, 0x26f, 0x277, 0x200};
    for (unsigned i = 0; i < sizeof msrs / sizeof msrs[0]; i++) {
        show("MSR", msrs[i]);
        show("  is", rdmsr(msrs[i]));
    }
    return 0;
}
"""
    elf = build_text(text, 64, tmp_path)
    found = run_domain(DomainConfig(elf, "emu")).output
    assert b"MSR: 0x1a0\n  is: 0x1\nMSR: 0x2ff\n  is: 0xc06\nMSR: 0x250\n  is: 0x606060606060606\n" in found
    assert found == run_domain(DomainConfig(elf, "full")).output


def test_a_timeout_ends_an_endless_guest(tmp_path: Path) -> None:
    elf = build_text("int main(void) { for (;;) ; }", 64, tmp_path)
    assert run_domain(DomainConfig(elf, "emu", timeout_s=0.2)).ending.status == 124


def test_cpuid_is_that_of_the_other_wings(tmp_path: Path) -> None:
    text = """
int main(void)
{
    static const uint32_t leaves[] = {0, 1, 0x15, 0x40000000, 0x80000001, 0x80000008};
    for (unsigned i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        uint32_t a = leaves[i], b, c = 0, d;
        __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        show("A", a), show("B", b), show("C", c), show("D", d);
    }
    return 0;
}
"""
    elf = build_text(text, 32, tmp_path)
    assert len({run_domain(DomainConfig(elf, mode)).output for mode in ("full", "emu")}) == 1


def test_without_a_pvh_note_there_is_no_entry(tmp_path: Path) -> None:
    elf = tmp_path / "no_note.elf"
    elf.write_bytes(
        build_text("int main(void) { return 0; }", 32, tmp_path).read_bytes().replace(b"Xen\0", b"Nix\0")
    )
    with pytest.raises(GuestRefused, match="PVH"):
        run_domain(DomainConfig(elf, "emu"))


def test_memory_outside_the_guests_tables_is_not_seen(tmp_path: Path) -> None:
    """`copy_in` and `translate` go through the tables that the guest has now, in its own mode."""
    machine, _, vcpu = new_machine(pc.build("paging", 64, tmp_path))
    assert vcpu.translate(0x1234) == (0x1234, 7)  # no paging yet
    assert vcpu.copy_in(1 << 36, 4) == machine.domain.memory.read(0, 4)  # 32 bits of it
    machine.close()
