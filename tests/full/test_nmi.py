# SPDX-License-Identifier: GPL-2.0-or-later
"""NMIs where something is wrong around them; all else is in the guest `nmi` (test_pc.py)."""

from __future__ import annotations

import pytest

from pvisor.cpu.vcpu import RSP
from pvisor.full.apic_registers import Message
from pvisor.full.ioapic import IoApic
from tests.full.apic_board import Board
from tests.full.wing_rig import KERNEL, UNMAPPED, Start, WingRig

NOP_NOP_HLT, IRET = b"\x90\x90\xf4", b"\xcf"


def pending(start: Start, *, blocked: bool = False) -> WingRig:
    """A machine whose CPU has an NMI waiting."""
    rig = WingRig(start)
    rig.vcpu.raise_nmi()
    rig.vcpu.v.nmi_blocked = blocked
    return rig


def test_it_comes_with_interrupts_off_and_blocks_the_next() -> None:
    rig = pending(Start(NOP_NOP_HLT, gates={2: (KERNEL + 0x100, 8, 0x8E, 0)}))
    assert rig.run() == "HLT" and rig.vcpu.exit.rip == KERNEL + 0x100
    assert rig.vcpu.nmi_blocked and not rig.vcpu.nmi_due
    rig.vcpu.raise_nmi()
    assert not rig.vcpu.nmi_due and not rig.vcpu.has_event
    rig.close()


def test_blocked_it_waits() -> None:
    rig = pending(Start(NOP_NOP_HLT), blocked=True)
    assert rig.run() == "HLT" and rig.vcpu.exit.rip == KERNEL + 0x802
    rig.close()


def test_without_a_gate_it_ends_in_a_triple_fault() -> None:
    rig = pending(Start(NOP_NOP_HLT, idt_limit=0))
    assert rig.run().startswith("triple fault: #GP(0x13)")
    rig.close()


@pytest.mark.parametrize("natives", [(), ("page_fault", "iret")], ids=["python", "native"])
def test_an_iret_that_page_faults_lets_it_in(natives: tuple[str, ...]) -> None:
    gates = {14: (KERNEL + 0x100, 8, 0x8E, 0), 2: (KERNEL + 0x200, 8, 0x8E, 0)}
    rig = pending(Start(IRET, mode="long", gpr={RSP: UNMAPPED}, gates=gates), blocked=True)
    assert rig.run(natives) == "HLT" and rig.vcpu.exit.rip == KERNEL + 0x200
    assert rig.wing.state.cr2 >> 12 == UNMAPPED >> 12
    rig.close()


def test_a_pin_that_is_an_nmi_is_an_edge_whatever_it_says() -> None:
    sent: list[Message] = []

    def send(message: Message) -> bool:
        sent.append(message)
        return True

    chip = IoApic(send)
    chip.write(0, 4, 0x10 + 2 * 4)
    chip.write(0x10, 4, 0x8400)
    assert chip.passes_nmi
    for _ in range(2):
        chip.lines[4](True)
        chip.lines[4](False)
    chip.end_of_interrupt(0)
    assert [message.is_level for message in sent] == [False, False]
    assert not chip.read(0x10, 4) & 1 << 14
    chip.write(0x10, 4, 0x1_8400)
    assert not chip.passes_nmi


def test_lint0_passes_nmis_only_with_the_apic_on_and_its_entry_open() -> None:
    board = Board()
    assert not board.apic.passes_nmi
    board[0x350] = 0x400
    assert board.apic.passes_nmi
    board.apic.lint0(True)
    assert board.n_nmis == 1 and not board.asked
    board[0x350] = 0x1_0400
    assert not board.apic.passes_nmi
    board[0x350] = 0x400
    assert board.apic.write_base(0xFEE0_0100)
    assert not board.apic.passes_nmi
