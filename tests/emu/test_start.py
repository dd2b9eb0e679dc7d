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
    show("APIC base, of an engine without APIC", rdmsr(0x1b));
    return 0;
}
"""
    result = run_domain(DomainConfig(build_text(text, 32, tmp_path), "emu"))
    assert result.output.splitlines()[:4] == [b"CR0: 0x11", b"CR3: 0x0", b"CR4: 0x0", b"EFER: 0x0"]


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
