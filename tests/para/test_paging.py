# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls about page tables on bare handlers: what is refused, and what is left behind."""

from __future__ import annotations

import pytest

from pvisor.abi import errnos
from pvisor.abi.areas import memory as rows
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.frames import GRANT_WINDOW, L1, L2, L4, NONE, WRITABLE
from pvisor.para.refusal import GuestError
from pvisor.para.tables import EXECUTABLE, HOLE_SLOT, HOLE_START, LARGE, NX, READ_ONLY, READ_WRITE, P, W
from tests.para.paging_world import ARRAY, HOLE_ENTRY, PagingWorld

EINVAL, EBUSY, ENOENT, EEXIST, EFAULT, EPERM = (
    -row.number
    for row in (errnos.EINVAL, errnos.EBUSY, errnos.ENOENT, errnos.EEXIST, errnos.EFAULT, errnos.EPERM)
)
FREE = 0xA_0000
A, B, C = FREE, FREE + PAGE_BYTES, FREE + 2 * PAGE_BYTES
ELSEWHERE = 0x1_5000
"""A page whose mapping the tests change; its own frame does not matter."""


@pytest.fixture
def world() -> PagingWorld:
    return PagingWorld()


def protect(world: PagingWorld, *frames: int) -> None:
    """Make frames read-only in the one-to-one map."""
    for frame in frames:
        assert world.call(rows.ENTRY_SET, frame, frame | READ_ONLY, rows.FLUSH_PAGE.number) == 0


def entry_at(world: PagingWorld, gva: int) -> int:
    return world.memory.read_u64(world.l1 + 8 * (gva >> 12 & 511))


def test_first_tables(world: PagingWorld) -> None:
    world.check()
    types = [world.frames.types[gpa >> 12] for gpa in (world.root, world.l3, world.l2, world.l1, A, 0)]
    assert types == [4, 3, 2, 1, WRITABLE, NONE]


def test_entry_set(world: PagingWorld) -> None:
    assert world.call(rows.ENTRY_SET, ELSEWHERE + 5, A | READ_WRITE, rows.FLUSH_PAGE.number) == 0
    assert entry_at(world, ELSEWHERE) == A | READ_WRITE
    assert world.vcpu.log == [f"flush_page {ELSEWHERE + 5:#x}"]
    assert world.frames.n_typed[A >> 12] == 2
    world.check()
    assert world.call(rows.ENTRY_SET, ELSEWHERE, 0xDEAD_BEE0, rows.FLUSH_ALL.number) == 0
    assert (entry_at(world, ELSEWHERE), world.vcpu.log[-1]) == (0xDEAD_BEE0, "flush_tlb")
    world.check()


REFUSED = [
    ("hole", (HOLE_START, 0, 0), EINVAL),
    ("last of the hole", (0xFFFF_87FF_FFFF_FFFF, 0, 0), EINVAL),
    ("not canonical", (1 << 47, 0, 0), EINVAL),
    ("flags", (ELSEWHERE, 0, 3), EINVAL),
    ("flags upper half", (ELSEWHERE, 0, 1 << 32), EINVAL),
    ("no table", (1 << 39, A | READ_WRITE, 0), ENOENT),
    ("behind the hole", (0xFFFF_8800_0000_0000, A | READ_WRITE, 0), ENOENT),
    ("beyond RAM", (ELSEWHERE, 0x10_0000 | READ_WRITE, 0), EINVAL),
    ("beyond RAM, all bits", (ELSEWHERE, (1 << 64) - 1 & ~LARGE, 0), EINVAL),
    ("the hypervisor's frame", (ELSEWHERE, HOLE_ENTRY, 0), EINVAL),
    ("large", (ELSEWHERE, A | READ_WRITE | LARGE, 0), EINVAL),
    ("table, writable", (ELSEWHERE, 0x8_0000 | READ_WRITE, 0), EBUSY),
    ("table that maps itself", (ELSEWHERE, 0x8_3000 | P | W, 0), EBUSY),
    ("empty slot of the window", (ELSEWHERE, GRANT_WINDOW | READ_WRITE, 0), ENOENT),
    ("behind the window", (ELSEWHERE, GRANT_WINDOW + (1 << 22) | READ_WRITE, 0), EINVAL),
]


@pytest.mark.parametrize(("args", "error"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_entry_set_refused(world: PagingWorld, args: tuple[int, ...], error: int) -> None:
    before = world.image()
    assert world.call(rows.ENTRY_SET, *args) == error
    assert world.image() == before
    world.check()


def test_a_table_can_be_read(world: PagingWorld) -> None:
    assert world.call(rows.ENTRY_SET, ELSEWHERE, world.root | READ_ONLY, 0) == 0
    world.check()


def test_a_frame_becomes_a_table_by_its_first_use(world: PagingWorld) -> None:
    world.memory.write_u64(A + 8, B | READ_WRITE)
    link = [world.l2 + 8, A | P | W]
    assert world.call_with(rows.TABLE_UPDATE, link, 1, 0) == EBUSY, "it is mapped writable"
    protect(world, A)
    world.vcpu.log.clear()
    assert world.call_with(rows.TABLE_UPDATE, link, 1, 0) == 1
    assert "flush_tlb" in world.vcpu.log, "a translation for writing may be remembered"
    assert (world.frames.types[A >> 12], world.frames.n_typed[B >> 12]) == (L1, 2)
    world.check()
    assert world.call(rows.ENTRY_SET, A, A | READ_WRITE, 0) == EBUSY
    assert world.call(rows.ENTRY_SET, 0x20_1000, C | READ_WRITE, 0) == 0
    assert world.memory.read_u64(A + 8) == C | READ_WRITE


def test_an_unused_table_keeps_its_counts_until_its_frame_is_wanted(world: PagingWorld) -> None:
    world.memory.write_u64(A, B | READ_WRITE)
    protect(world, A, B)
    world.call_with(rows.TABLE_UPDATE, [world.l2 + 8, A | P], 1, 0)
    world.call_with(rows.TABLE_UPDATE, [world.l2 + 8, 0], 1, 0)
    assert (world.frames.types[A >> 12], world.frames.n_typed[A >> 12]) == (L1, 0)
    assert world.call(rows.TABLE_PIN, B, 1) == EBUSY
    world.check()
    assert world.call(rows.ENTRY_SET, A, A | READ_WRITE, 0) == 0
    assert world.call(rows.TABLE_PIN, B, 1) == 0
    world.check()


def test_no_recursion_into_new_tables(world: PagingWorld) -> None:
    world.memory.write_u64(A, B | P)
    protect(world, A, B)
    assert world.call(rows.TABLE_PIN, A, 2) == EINVAL
    assert world.call(rows.TABLE_PIN, B, 1) == 0
    assert world.call(rows.TABLE_PIN, A, 2) == 0
    assert world.call(rows.TABLE_UNPIN, B) == 0
    assert world.frames.n_typed[B >> 12] == 1
    world.check()


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_table_that_names_itself(world: PagingWorld, level: int) -> None:
    world.memory.write_u64(A + 16, A | P | W)
    protect(world, A)
    assert world.call(rows.TABLE_PIN, A, level) == (EBUSY if level == 1 else EINVAL)
    world.check()


def test_pins(world: PagingWorld) -> None:
    pin = rows.TABLE_PIN
    assert [world.call(pin, A + 8, 1), world.call(pin, 1 << 20, 1), world.call(pin, A, 0)] == [EINVAL] * 3
    assert [world.call(pin, A, 5), world.call(pin, A, 1 << 32)] == [EINVAL] * 2
    assert world.call(pin, A, 1) == EBUSY
    protect(world, A)
    assert [world.call(pin, A, 1), world.call(pin, A, 1), world.call(pin, A, 2)] == [0, EEXIST, EEXIST]
    assert world.call(pin, world.root, 4) == EEXIST, "the first root is pinned"
    assert world.call(pin, world.l1, 2) == EBUSY
    assert [world.call(rows.TABLE_UNPIN, A), world.call(rows.TABLE_UNPIN, A)] == [0, ENOENT]
    assert [world.call(rows.TABLE_UNPIN, A + 1), world.call(rows.TABLE_UNPIN, 1 << 50)] == [EINVAL] * 2
    world.check()


def test_a_new_root(world: PagingWorld) -> None:
    world.memory.write_u64(A, world.memory.read_u64(world.root))
    assert world.call(rows.ROOT_SET, A, 0) == EBUSY
    protect(world, A, B)
    assert world.call(rows.ROOT_SET, A, 0) == 0
    assert world.memory.read_u64(A + 8 * HOLE_SLOT) == HOLE_ENTRY
    assert world.vcpu.log[-1] == f"set_root {A:#x}"
    assert world.frames.types[A >> 12] == L4
    world.check()
    assert world.call(rows.ROOT_SET, A, B) == 0
    world.paging.enter_user(world.vcpu)
    world.paging.enter_kernel(world.vcpu)
    assert world.vcpu.log[-3:] == [f"set_root {gpa:#x}" for gpa in (A, B, A)]
    assert world.call(rows.ENTRY_SET, B, B | READ_WRITE, 0) == EBUSY
    assert world.call(rows.ROOT_SET, world.root, 0) == 0
    assert [world.call(rows.ENTRY_SET, gpa, gpa | READ_WRITE, 0) for gpa in (A, B)] == [0, 0]
    assert world.memory.read_u64(A + 8 * HOLE_SLOT) == 0, "a frame that is no root keeps nothing of the hole"
    world.check()


def test_roots_refused(world: PagingWorld) -> None:
    protect(world, A)
    for args, error in [((A + 8, 0), EINVAL), ((1 << 20, 0), EINVAL), ((A, B), EBUSY), ((A, B + 1), EINVAL),
                        ((world.l3, 0), EBUSY)]:  # fmt: skip
        before = world.image()
        assert world.call(rows.ROOT_SET, *args) == error
        assert world.image() == before
    assert "set_root" not in "".join(world.vcpu.log)
    world.check()


@pytest.mark.parametrize("slot", [257, 264, 271])
def test_nothing_is_in_the_hole(world: PagingWorld, slot: int) -> None:
    world.memory.write_u64(A + 8 * slot, world.l3 | P)
    protect(world, A)
    assert world.call(rows.TABLE_PIN, A, 4) == EINVAL
    for index in (256, slot):
        change = [world.root + 8 * index, world.l3 | P]
        assert world.call_with(rows.TABLE_UPDATE, change, 1, 0) == EINVAL
        assert world.call_with(rows.TABLE_UPDATE, [change[0], 0], 1, 0) == EINVAL
    for index in (255, 272):
        assert world.call_with(rows.TABLE_UPDATE, [world.root + 8 * index, world.l3 | P], 1, 0) == 1
    world.check()


def test_table_update_errors(world: PagingWorld) -> None:
    update, entry = rows.TABLE_UPDATE, A | READ_WRITE
    assert world.call_with(update, [world.l1 + 4, entry], 1, 0) == EINVAL
    assert world.call_with(update, [1 << 20, entry], 1, 0) == EINVAL
    assert world.call_with(update, [1 << 63, entry], 1, 0) == EINVAL
    assert world.call_with(update, [A, entry], 1, 0) == ENOENT
    assert world.call_with(update, [world.l1, entry], 1, 1) == EINVAL
    assert world.call_with(update, [world.l1, entry], 1 << 32, 0) == EINVAL
    assert world.call(update, 0, 1, 0) == EFAULT
    assert world.call(update, 0, 0, 0) == 0
    assert world.call(update, (1 << 64) - 8, 2, 0) == EFAULT
    assert not any("flush" in line for line in world.vcpu.log)


def test_a_batch_stops_at_the_first_bad_one(world: PagingWorld) -> None:
    at = world.l1 + 8 * (ELSEWHERE >> 12)
    words = [at, A | READ_WRITE, at + 8, world.root | READ_WRITE, at + 16, 0]
    assert world.call_with(rows.TABLE_UPDATE, words, 3, rows.FLUSH_ALL.number) == 1
    assert world.vcpu.log[-1] == "flush_tlb"
    assert entry_at(world, ELSEWHERE + 2 * PAGE_BYTES), "the third was not done"
    assert world.call_with(rows.TABLE_UPDATE, words[2:], 2, 0) == EBUSY
    world.check()


def test_a_batch_is_bounded(world: PagingWorld) -> None:
    at = world.l1 + 8 * (ELSEWHERE >> 12)
    words = [at, 0] * 600
    assert world.call_with(rows.TABLE_UPDATE, words, 600, 0) == 512
    assert world.call_with(rows.TABLE_UPDATE, words, 0xFFFF_FFFF, 0) == 512
    tables = [FREE + i * PAGE_BYTES for i in range(20)]
    protect(world, *tables)
    words = [word for i, gpa in enumerate(tables) for word in (world.l2 + 8 * (i + 1), gpa | P)]
    assert world.call_with(rows.TABLE_UPDATE, words, 20, 0) == 16
    assert world.call_with(rows.TABLE_UPDATE, words[32:], 4, 0) == 4
    world.check()


def test_a_table_changes_under_its_own_entry(world: PagingWorld) -> None:
    """An unused table's entry shall name a frame that, as a table, maps the first one writable."""
    protect(world, A, B)
    assert world.call(rows.TABLE_PIN, A, 2) == 0
    assert world.call(rows.TABLE_UNPIN, A) == 0
    world.memory.write_u64(B, A | READ_WRITE)
    assert world.call_with(rows.TABLE_UPDATE, [A, B | P], 1, 0) == EBUSY
    assert world.frames.types[A >> 12] == L2
    world.check()


def test_flush(world: PagingWorld) -> None:
    assert world.call(rows.TLB_FLUSH, rows.FLUSH_PAGE.number, 0x1234) == 0
    assert world.call(rows.TLB_FLUSH, rows.FLUSH_ALL.number, 0) == 0
    assert world.vcpu.log == ["flush_page 0x1234", "flush_tlb"]
    for what in (0, 3, 1 << 32):
        assert world.call(rows.TLB_FLUSH, what, 0) == EINVAL


def test_holds(world: PagingWorld) -> None:
    frames = world.frames
    frames.hold(A >> 12, writable=True)
    frames.hold(world.root >> 12, writable=False)
    world.holds = [(A >> 12, True), (world.root >> 12, False)]
    world.check()
    protect(world, A)
    assert world.call(rows.TABLE_PIN, A, 1) == EBUSY
    with pytest.raises(GuestError, match="EBUSY"):
        frames.hold(world.root >> 12, writable=True)
    with pytest.raises(GuestError, match="EINVAL"):
        frames.hold(frames.n_ram, writable=False)
    frames.drop(A >> 12, writable=True)
    frames.drop(world.root >> 12, writable=False)
    world.holds = []
    assert world.call(rows.TABLE_PIN, A, 1) == 0
    world.check()


def test_slots_of_the_grant_window(world: PagingWorld) -> None:
    frames = world.frames
    gpa, read_only = frames.open_slot(3, writable=True), frames.open_slot(4, writable=False)
    assert (gpa, read_only) == (GRANT_WINDOW + 3 * PAGE_BYTES, GRANT_WINDOW + 4 * PAGE_BYTES)
    assert world.call(rows.ENTRY_SET, ELSEWHERE, gpa | EXECUTABLE, 0) == EINVAL
    assert world.call(rows.ENTRY_SET, ELSEWHERE, read_only | READ_WRITE, 0) == EPERM
    assert world.call(rows.ENTRY_SET, ELSEWHERE, gpa | READ_WRITE, 0) == 0
    assert world.call_with(rows.TABLE_UPDATE, [world.l2 + 16, gpa | P], 1, 0) == EINVAL
    world.check()
    with pytest.raises(GuestError, match="EBUSY"):
        frames.close_slot(3)
    assert world.call(rows.ENTRY_SET, ELSEWHERE, read_only | READ_ONLY, 0) == 0
    world.vcpu.log.clear()
    frames.close_slot(3)
    assert world.vcpu.log == ["flush_tlb"], "somebody may remember it"
    world.check()


def test_content_that_may_have_changed_has_another_number(world: PagingWorld) -> None:
    code, frame = world.frames.code, A >> 12
    assert code[frame] == 0, "never executable"
    protect(world, A)
    assert world.call(rows.ENTRY_SET, ELSEWHERE, A | EXECUTABLE, 0) == 0
    assert code[frame] == 1
    assert world.call(rows.ENTRY_SET, A, A | READ_WRITE, 0) == 0
    assert code[frame] == 2
    assert world.call(rows.ENTRY_SET, A, A | READ_ONLY, 0) == 0
    assert code[frame] == 3
    assert world.call(rows.ENTRY_SET, ELSEWHERE, A | READ_ONLY | NX, 0) == 0
    assert code[frame] == 3
    world.frames.hold(frame, writable=True)
    assert code[frame] == 4, "the host may write to it"
    world.frames.drop(frame, writable=True)


def test_a_pointer_is_copied_once(world: PagingWorld) -> None:
    world.call_with(rows.TABLE_UPDATE, [world.l1, 0] * 3, 3, 0)
    assert [line for line in world.vcpu.log if line.startswith("copy")] == [f"copy_in {ARRAY:#x} 48"]


def test_a_frame_that_cannot_become_a_table_leaves_no_counts(world: PagingWorld) -> None:
    """Good entries before the bad one were counted already."""
    for index, entry in enumerate((B | READ_WRITE, C | READ_ONLY, 1 << 40 | P)):
        world.memory.write_u64(A + 8 * index, entry)
    protect(world, A)
    before = world.image()
    assert world.call(rows.TABLE_PIN, A, 1) == EINVAL
    assert world.image() == before
    world.check()
