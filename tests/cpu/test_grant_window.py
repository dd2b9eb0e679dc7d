# SPDX-License-Identifier: GPL-2.0-or-later
"""Another domain's frames behind engine-physical addresses: a guest sees them, and no longer than it may."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvisor.abi.areas import grants
from pvisor.cpu.exits import ExitReason
from pvisor.cpu.grant_window import GrantWindow
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from tests.cpu.rig import AS_CONSTANT, AS_DATA, CLI, CODE, Rig, mov

WINDOW, N_SLOTS = grants.WINDOW.number, grants.SLOTS.number
GVA = 0x80_0000
THERE = 0x5000

READ_BYTE = mov(6, GVA) + b"\x8a\x06" + CLI  # mov al, [rsi]
WRITE_BYTE = mov(6, GVA) + b"\xc6\x06\x77" + CLI  # mov byte [rsi], 0x77


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.vcpu.close()


@pytest.fixture
def other() -> GuestMemory:
    memory = GuestMemory(1 << 20)
    memory.write(THERE, b"other" + bytes(PAGE_BYTES - 10) + b"ended")
    return memory


def n_host_mappings() -> int:
    return len(Path("/proc/self/maps").read_text().splitlines())


def code(rig: Rig, *parts: bytes) -> None:
    """Code that stops at each CLI."""
    rig.memory.write(CODE, b"".join(parts))
    rig.regs.rip = CODE


def go_on(rig: Rig) -> int:
    """To the next CLI; AL."""
    assert rig.vcpu.run() == ExitReason.CLI
    rig.regs.rip += 1
    return rig.regs.gpr[0] & 0xFF


@pytest.mark.parametrize("slot", [0, 1, N_SLOTS - 1])
def test_the_guest_sees_the_other_domains_page(rig: Rig, other: GuestMemory, slot: int) -> None:
    window = GrantWindow([rig.vcpu])
    assert window.map(slot, other, THERE, writable=True)
    rig.map(GVA, WINDOW + slot * PAGE_BYTES, AS_DATA)
    code(rig, READ_BYTE, WRITE_BYTE, READ_BYTE)
    assert go_on(rig) == ord("o")
    go_on(rig)
    assert other.read(THERE, 5) == b"wther"
    other.write(THERE, b"back")
    assert go_on(rig) == ord("b")


def test_all_vcpus_see_it(rig: Rig, other: GuestMemory) -> None:
    second = UnicornVcpu(rig.memory, rig.frames, 1)
    second.set_root(rig.root)
    window = GrantWindow([rig.vcpu, second])
    assert window.map(3, other, THERE, writable=True)
    rig.map(GVA, WINDOW + 3 * PAGE_BYTES, AS_DATA)
    for vcpu in (rig.vcpu, second):
        assert vcpu.copy_in(GVA, 5) == b"other"
    window.unmap(3)
    for vcpu in (rig.vcpu, second):
        assert vcpu.copy_in(GVA, 5) is None
    second.close()


def test_stale_translations_of_a_slot_are_gone(rig: Rig, other: GuestMemory) -> None:
    """The guest touches the page, so its TLB holds it; the entry changes, and the guest flushes nothing."""
    window = GrantWindow([rig.vcpu])
    third = GuestMemory(1 << 20)
    third.write(0, b"third")
    window.map(0, other, THERE, writable=True)
    rig.map(GVA, WINDOW, AS_DATA)
    code(rig, WRITE_BYTE, READ_BYTE, WRITE_BYTE, READ_BYTE)
    go_on(rig), go_on(rig)
    rig.map(GVA, WINDOW, AS_CONSTANT)
    window.unmap(0)
    window.map(0, third, 0, writable=False)
    assert rig.vcpu.run() == ExitReason.PAGE_FAULT
    assert third.read(0, 5) == b"third"
    rig.regs.rip += 3 + 1
    assert go_on(rig) == ord("t")
    assert other.read(THERE, 5) == b"wther"


def test_pointers_lead_into_a_page_with_its_rights(rig: Rig, other: GuestMemory) -> None:
    window = GrantWindow([rig.vcpu])
    window.map(0, other, THERE, writable=False)
    window.map(1, other, THERE, writable=True)
    rig.map(GVA, WINDOW, AS_DATA)  # no such entry is let through; the copy looks at the mapping as well
    rig.map(GVA + PAGE_BYTES, WINDOW + PAGE_BYTES, AS_CONSTANT)
    rig.map(GVA + 2 * PAGE_BYTES, WINDOW + PAGE_BYTES, AS_DATA)
    vcpu = rig.vcpu
    assert vcpu.copy_in(GVA + PAGE_BYTES - 5, 10) == b"endedother"
    assert not vcpu.copy_out(GVA, b"x")
    assert not vcpu.copy_out(GVA + PAGE_BYTES, b"x")
    assert vcpu.copy_out(GVA + 2 * PAGE_BYTES, b"x")
    assert other.read(THERE, 5) == b"xther"
    assert vcpu.translate(GVA) is not None


def test_an_empty_slot_is_no_memory_for_pointers(rig: Rig) -> None:
    window = GrantWindow([rig.vcpu])
    rig.map(GVA, WINDOW, AS_DATA)
    assert rig.vcpu.copy_in(GVA, 1) is None
    window.unmap(0)  # nothing is there: no effect
    for beyond in (WINDOW + N_SLOTS * PAGE_BYTES, WINDOW - PAGE_BYTES):
        rig.map(GVA, beyond, AS_DATA)
        assert rig.vcpu.copy_in(GVA, 1) is None


def test_all_slots_at_once(rig: Rig, other: GuestMemory) -> None:
    window = GrantWindow([rig.vcpu])
    for slot in range(N_SLOTS):
        other.write(slot % 256 * PAGE_BYTES, slot.to_bytes(2, "little"))
        assert window.map(slot, other, slot % 256 * PAGE_BYTES, writable=True)
    rig.map(GVA, WINDOW + (N_SLOTS - 1) * PAGE_BYTES, AS_DATA)
    assert rig.vcpu.copy_in(GVA, 2) == (N_SLOTS - 1).to_bytes(2, "little")
    for slot in range(N_SLOTS):
        window.unmap(slot)


def test_the_page_outlives_its_owner(rig: Rig) -> None:
    window = GrantWindow([rig.vcpu])
    memory = GuestMemory(1 << 20)
    memory.write(0, b"testament")
    window.map(0, memory, 0, writable=True)
    memory._words.release()
    memory._halves.release()
    memory.buffer.close()
    rig.map(GVA, WINDOW, AS_DATA)
    assert rig.vcpu.copy_in(GVA, 9) == b"testament"


def test_a_closed_vcpu_is_passed_over(rig: Rig, other: GuestMemory) -> None:
    gone = UnicornVcpu(rig.memory, rig.frames, 1)
    window = GrantWindow([rig.vcpu, gone])
    window.map(0, other, 0, writable=True)
    gone.close()
    window.unmap(0)
    assert rig.vcpu.copy_in(GVA, 1) is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_slot_costs_the_host_one_mapping_however_many_vcpus_there_are(rig: Rig, other: GuestMemory) -> None:
    more = [UnicornVcpu(rig.memory, rig.frames, vcpu_id) for vcpu_id in range(1, 16)]
    window = GrantWindow([rig.vcpu, *more])
    window.map(0, other, 0, writable=True)
    before = n_host_mappings()
    for slot in range(1, 128):
        window.map(slot, other, slot * 2 % 256 * PAGE_BYTES, writable=True)
    assert n_host_mappings() - before < 2 * 128
    for slot in range(128):
        window.unmap(slot)
    assert n_host_mappings() <= before + 1
    for vcpu in more:
        vcpu.close()


def test_the_window_lives_as_long_as_one_who_sees_it(rig: Rig, other: GuestMemory) -> None:
    second = UnicornVcpu(rig.memory, rig.frames, 1)
    second.set_root(rig.root)
    window = GrantWindow([rig.vcpu, second])
    assert window.map(0, other, THERE, writable=True)
    rig.map(GVA, WINDOW, AS_DATA)
    second.close()
    del window
    gc.collect()
    assert rig.vcpu.copy_in(GVA, 5) == b"other"
