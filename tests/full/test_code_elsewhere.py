# SPDX-License-Identifier: GPL-2.0-or-later
"""An address leads to other code than before, on a way on which no page was written to."""

from __future__ import annotations

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, SS, Segment
from pvisor.domain.outcome import EndedBy
from tests.full import hostile_machine as h
from tests.full.hostile_machine import CODE, NX, PS, STACK, TABLES, HostileMachine, P, U, W

PAGE, ONE, OTHER = 0x40_0000, CODE + 0x1000, CODE + 0x2000
"""An address, and the two frames that it leads to in turn."""
FIRST, USER, LAST = CODE, CODE + 0x100, CODE + 0x200
PAGE_ENTRY = TABLES + 0x3000
INVLPG_PAGE = b"\x0f\x01\x3c\x25" + PAGE.to_bytes(4, "little")
CALL_PAGE = b"\xb9" + PAGE.to_bytes(4, "little") + b"\xff\xd1"
READ_PAGE = b"\xa0" + PAGE.to_bytes(8, "little")
HLT, SPIN = b"\xf4", b"\xeb\xfe"


def go_on(machine: HostileMachine, at: int, cpl: int) -> EndedBy:
    """64-bit code of kernel or user, with the address space as it is."""
    dpl = 3 if cpl else 1
    selector = h.USER64 if cpl else h.CODE64
    machine.vcpu.set_segment(CS, Segment(selector, 0, 0xFFFF_FFFF, 0x00A0_9B00 | dpl << 13))
    data = Segment(h.USER_DATA if cpl else h.DATA, 0, 0xFFFF_FFFF, 0x00C0_9300 | dpl << 13)
    for index in (SS, DS, ES, FS, GS):
        machine.vcpu.set_segment(index, data)
    machine.vcpu.regs.rip, machine.vcpu.regs.gpr[4] = at, STACK
    return machine.run(50).ended_by


def test_a_page_that_could_not_be_executed_meanwhile(machine: HostileMachine) -> None:
    """User code reads it then, for which its entry gets more rights, and loses that one."""
    machine.usual_tables()
    machine.words(TABLES, TABLES + 0x1000 | P | W | U)
    machine.words(TABLES + 0x1000, TABLES + 0x2000 | P | W | U)
    machine.words(TABLES + 0x2000, P | W | U | PS, 2 << 20 | P | W | PS, TABLES + 0x3000 | P | W | U)
    machine.words(PAGE_ENTRY, ONE | P)
    machine.write(ONE, b"\x50\x5b\xc3")  # push rax; pop rbx; ret
    machine.write(OTHER, b"\x9c\x5b\xc3")  # pushf; pop rbx; ret
    machine.write(FIRST, CALL_PAGE + HLT)
    machine.write(USER, READ_PAGE + SPIN)
    machine.write(LAST, INVLPG_PAGE + CALL_PAGE + HLT)
    machine.enter(bits=64, cr3=TABLES)
    assert go_on(machine, FIRST, 0) is EndedBy.IDLE
    machine.words(PAGE_ENTRY, ONE | P | U | NX)
    assert go_on(machine, USER, 3) is EndedBy.BUDGET
    machine.words(PAGE_ENTRY, OTHER | P)
    assert go_on(machine, LAST, 0) is EndedBy.IDLE
    assert machine.vcpu.v.counters[ExitReason.PUSHF].count == 1
