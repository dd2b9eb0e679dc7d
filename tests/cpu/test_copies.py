# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest-virtual memory, as the hypervisor reads and writes it: through the real tables, all or nothing."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.machine.frames import HV_BASE
from pvisor.machine.memory import PAGE_BYTES
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import (
    ACCESSED_DIRTY,
    AS_CODE,
    AS_CONSTANT,
    AS_DATA,
    CODE,
    DATA,
    HLT,
    MEMORY_BYTES,
    NO_EXECUTE,
    PRESENT,
    USER,
    WRITABLE,
    Rig,
    mov,
)

HOLE = 0xFFFF_8000_0000_0000
TOP = 1 << 64
FAR = 0x7FFF_FFFF_F000
"""The last page of the lower half."""


def two_pages(r: Rig) -> None:
    """DATA and the page after it, mapped to frames that are apart and in the other order."""
    r.map(DATA, 0x30_2000, AS_DATA)
    r.map(DATA + PAGE_BYTES, 0x30_0000, AS_DATA)


def test_a_copy_crosses_pages_that_are_apart(rig: MakeRig) -> None:
    r = rig()
    two_pages(r)
    at = DATA + PAGE_BYTES - 3
    assert r.vcpu.copy_out(at, b"abcdef")
    assert r.memory.read(0x30_2FFD, 3) == b"abc"
    assert r.memory.read(0x30_0000, 3) == b"def"
    assert r.vcpu.copy_in(at, 6) == b"abcdef"
    assert r.vcpu.copy_in(at - 1, 8) == b"\0abcdef\0"


def test_a_copy_of_many_pages(rig: MakeRig) -> None:
    r = rig()
    data = bytes(range(256)) * 160
    assert r.vcpu.copy_out(DATA + 5, data)
    assert r.vcpu.copy_in(DATA + 5, len(data)) == data


@pytest.mark.parametrize("address", [0, DATA, 0x80_0000, 1 << 47, HOLE, TOP - 1])
def test_a_copy_of_nothing_touches_nothing(rig: MakeRig, address: int) -> None:
    r = rig()
    assert r.vcpu.copy_in(address, 0) == b""
    assert r.vcpu.copy_out(address, b"")


@pytest.mark.parametrize(
    ("address", "n_bytes"),
    [
        (0, 1),
        (PAGE_BYTES - 1, 1),
        (PAGE_BYTES - 1, 2),
        (MEMORY_BYTES, 1),
        (MEMORY_BYTES - 1, 2),
        (1 << 47, 1),
        ((1 << 47) - 1, 2),
        (0x1234_0000_0000_0000, 8),
        (HOLE - 1, 1),
        (TOP - 1, 2),
        (TOP - 8, 16),
        (TOP - PAGE_BYTES, 2 * PAGE_BYTES),
        (DATA, TOP - DATA),
        (DATA, MEMORY_BYTES),
    ],
)
def test_what_is_not_wholly_mapped_is_refused(rig: MakeRig, address: int, n_bytes: int) -> None:
    r = rig()
    if n_bytes <= 2 * PAGE_BYTES:
        assert r.vcpu.copy_in(address, n_bytes) is None
        assert not r.vcpu.copy_out(address, b"\xee" * n_bytes)
        assert b"\xee" not in r.memory.read(0, MEMORY_BYTES)
    elif n_bytes < 1 << 32:
        assert r.vcpu.copy_in(address, n_bytes) is None


def test_the_end_of_the_address_space_can_be_copied_but_not_wrapped(rig: MakeRig) -> None:
    r = rig()
    r.map(TOP - PAGE_BYTES, DATA, AS_DATA)
    r.map(0, DATA + PAGE_BYTES, AS_DATA)
    assert r.vcpu.copy_out(TOP - 4, b"last")
    assert r.vcpu.copy_in(TOP - 4, 4) == b"last"
    assert r.vcpu.copy_in(TOP - 4, 5) is None
    assert not r.vcpu.copy_out(TOP - 4, b"wraps")
    assert r.memory.read(DATA + PAGE_BYTES - 4, 4) == b"last"
    assert r.memory.read(DATA + PAGE_BYTES, 1) == b"\0"


def test_the_last_page_of_the_lower_half(rig: MakeRig) -> None:
    r = rig()
    r.map(FAR, DATA, AS_DATA)
    assert r.vcpu.copy_out(FAR + PAGE_BYTES - 4, b"last")
    assert not r.vcpu.copy_out(FAR + PAGE_BYTES - 4, b"beyond")
    assert r.memory.read(DATA + PAGE_BYTES - 4, 4) == b"last"


def test_read_only_memory_can_be_read_but_not_written(rig: MakeRig) -> None:
    r = rig()
    r.map(DATA, DATA, AS_CONSTANT)
    r.memory.write(DATA, b"constant")
    assert r.vcpu.copy_in(DATA, 8) == b"constant"
    assert not r.vcpu.copy_out(DATA, b"C")
    assert not r.vcpu.copy_out(CODE, b"C")
    assert r.memory.read(DATA, 8) == b"constant"


@pytest.mark.parametrize("second", [0, AS_CONSTANT], ids=["unmapped", "read-only"])
def test_a_refused_write_leaves_nothing_half_done(rig: MakeRig, second: int) -> None:
    r = rig()
    r.map(DATA + PAGE_BYTES, DATA + PAGE_BYTES, second)
    assert not r.vcpu.copy_out(DATA, b"\xee" * (PAGE_BYTES + 1))
    assert r.memory.read(DATA, 2 * PAGE_BYTES) == bytes(2 * PAGE_BYTES)


def test_a_read_only_table_entry_makes_all_below_it_read_only(rig: MakeRig) -> None:
    r = rig()
    r.map(1 << 39, DATA, AS_DATA)
    assert r.vcpu.copy_out(1 << 39, b"x")
    r.frames.set_entry(r.root, 1, r.frames.entry(r.root, 1) & ~WRITABLE)
    assert not r.vcpu.copy_out(1 << 39, b"x")
    assert r.vcpu.translate(1 << 39) == (DATA, PRESENT | NO_EXECUTE)


def test_the_hypervisors_frames_are_never_copied(rig: MakeRig) -> None:
    r = rig()
    frame = r.frames.allocate()
    r.map(HOLE, frame, AS_DATA)
    assert r.vcpu.translate(HOLE) == (frame, PRESENT | WRITABLE | NO_EXECUTE)
    assert r.vcpu.copy_in(HOLE, 1) is None
    assert not r.vcpu.copy_out(HOLE, b"x")


@pytest.mark.parametrize("physical", [MEMORY_BYTES, 1 << 30, HV_BASE - PAGE_BYTES, HV_BASE + (1 << 30)])
def test_frames_that_there_are_not_are_never_copied(rig: MakeRig, physical: int) -> None:
    r = rig()
    r.map(DATA, physical, AS_DATA)
    assert r.vcpu.copy_in(DATA, 1) is None
    assert not r.vcpu.copy_out(DATA, b"x")


@pytest.mark.parametrize("physical", [MEMORY_BYTES, HV_BASE + (1 << 30), 0x000F_FFFF_FFFF_F000])
def test_a_table_that_there_is_not_maps_nothing(rig: MakeRig, physical: int) -> None:
    r = rig()
    r.frames.set_entry(r.root, 1, physical | PRESENT | WRITABLE)
    assert r.vcpu.translate(1 << 39) is None
    assert r.vcpu.copy_in(1 << 39, 1) is None


def test_tables_may_lie_in_guest_memory(rig: MakeRig) -> None:
    r = rig()
    tables = [0x30_0000 + i * PAGE_BYTES for i in range(3)]
    for table, below in zip(tables, [*tables[1:], DATA], strict=True):
        r.memory.write_u64(table, below | PRESENT | WRITABLE | ACCESSED_DIRTY)
    r.frames.set_entry(r.root, 1, tables[0] | PRESENT | WRITABLE)
    assert r.vcpu.copy_out(1 << 39, b"found")
    assert r.memory.read(DATA, 5) == b"found"


@pytest.mark.parametrize(
    ("bits", "rights"),
    [
        (AS_DATA, PRESENT | WRITABLE | NO_EXECUTE),
        (AS_CODE, PRESENT),
        (AS_CONSTANT, PRESENT | NO_EXECUTE),
        (AS_DATA | USER, PRESENT | WRITABLE | USER | NO_EXECUTE),
    ],
    ids=["data", "code", "constant", "user data"],
)
def test_translate_tells_the_rights(rig: MakeRig, bits: int, rights: int) -> None:
    r = rig()
    r.map(DATA, DATA, bits)
    assert r.vcpu.translate(DATA + 0x123) == (DATA + 0x123, rights)


@pytest.mark.parametrize("address", [0, MEMORY_BYTES, 1 << 47, HOLE - 1, 0xDEAD_0000_0000_0000, TOP - 1])
def test_translate_finds_nothing_where_nothing_is(rig: MakeRig, address: int) -> None:
    assert rig().vcpu.translate(address) is None


LARGE_PAGES = [(2, 1 << 21, 21), (3, 1 << 30, 30)]


@pytest.mark.parametrize(("level", "gva", "shift"), LARGE_PAGES, ids=["2 MiB", "1 GiB"])
def test_large_pages_are_walked_as_the_cpu_walks_them(rig: MakeRig, level: int, gva: int, shift: int) -> None:
    r = rig()
    gva = 5 << 39 | gva
    physical = 1 << 21 if level == 2 else 0
    r.map(gva, physical, AS_DATA, level=level)
    at = 0x12_3458
    rights = PRESENT | WRITABLE | NO_EXECUTE
    last = (1 << shift) - 1
    assert r.vcpu.translate(gva + at) == (physical + at, rights)
    assert r.vcpu.translate(gva + last) == (physical + last, rights)
    assert r.vcpu.translate(gva + (1 << shift)) is None
    assert r.vcpu.copy_out(gva + at, b"8 bytes!")
    assert r.memory.read(physical + at, 8) == b"8 bytes!"
    # mov rbx, [rax]; inc qword [rax]
    r.memory.write(CODE, mov(0, gva + at) + b"\x48\x8b\x18" + b"\x48\xff\x00" + HLT)
    r.expect(R.HLT)
    assert r.regs.gpr[3].to_bytes(8, "little") == b"8 bytes!"
    assert r.vcpu.copy_in(gva + at, 8) == b"9 bytes!"


def test_a_large_page_larger_than_memory_is_copied_up_to_its_end(rig: MakeRig) -> None:
    r = rig()
    gva = 5 << 39
    r.map(gva, 0, AS_DATA, level=3)
    assert r.vcpu.copy_out(gva + MEMORY_BYTES - 4, b"last")
    assert not r.vcpu.copy_out(gva + MEMORY_BYTES - 4, b"beyond")
    assert r.vcpu.copy_in(gva + MEMORY_BYTES - 4, 5) is None
    assert r.memory.read(MEMORY_BYTES - 4, 4) == b"last"


def test_what_the_host_writes_the_guest_reads(rig: MakeRig) -> None:
    r = rig(mov(0, DATA) + b"\x48\x8b\x18" + b"\xfa" + b"\x48\x8b\x18" + HLT)
    assert r.vcpu.copy_out(DATA, (1).to_bytes(8, "little"))
    r.expect(R.CLI)
    assert r.regs.gpr[3] == 1
    assert r.vcpu.copy_out(DATA, (2).to_bytes(8, "little"))
    r.emulated(1)
    r.expect(R.HLT)
    assert r.regs.gpr[3] == 2
