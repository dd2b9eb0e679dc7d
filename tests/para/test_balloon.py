# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames that come and go, on bare handlers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pvisor.abi import errnos
from pvisor.abi.areas import memory as rows
from pvisor.abi.layout import sizeof, unpack
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.tables import READ_ONLY, READ_WRITE
from tests.domain.fakes import MEMORY_BYTES
from tests.para.paging_world import ARRAY, PagingWorld

EINVAL, EBUSY, ENOENT, EEXIST, EFAULT, ENOMEM = (
    -row.number
    for row in (errnos.EINVAL, errnos.EBUSY, errnos.ENOENT, errnos.EEXIST, errnos.EFAULT, errnos.ENOMEM)
)
A, B = 0xA_0000, 0xA_1000


@pytest.fixture
def world() -> PagingWorld:
    return PagingWorld()


def unmap(world: PagingWorld, *frames: int) -> None:
    for frame in frames:
        assert world.call(rows.ENTRY_SET, frame, 0, 0) == 0


def test_release_and_populate(world: PagingWorld) -> None:
    world.memory.write(A, b"secret" * 100)
    unmap(world, A, B)
    world.vcpu.log.clear()
    assert world.call_with(rows.MEMORY_RELEASE, [A, B], 2) == 2
    assert "flush_tlb" in world.vcpu.log
    assert world.memory.read(A, PAGE_BYTES) == bytes(PAGE_BYTES)
    assert world.balloon.n_populated == 254
    world.check()
    assert world.call(rows.ENTRY_SET, A, A | READ_ONLY, 0) == ENOENT
    assert world.call(rows.TABLE_PIN, A, 1) == ENOENT
    assert world.call(rows.ROOT_SET, A, 0) == ENOENT
    assert world.call_with(rows.MEMORY_RELEASE, [A], 1) == ENOENT
    assert world.call_with(rows.MEMORY_POPULATE, [A, B, A], 3) == 2
    assert world.call(rows.ENTRY_SET, A, A | READ_WRITE, 0) == 0
    assert world.balloon.n_populated == 256
    world.check()


def test_release_refused(world: PagingWorld) -> None:
    release = rows.MEMORY_RELEASE
    assert world.call_with(release, [A], 1) == EBUSY, "mapped writable"
    world.call(rows.ENTRY_SET, A, A | READ_ONLY, 0)
    assert world.call_with(release, [A], 1) == EBUSY, "mapped for reading"
    assert world.call(rows.TABLE_PIN, A, 1) == 0
    unmap(world, A)
    assert world.call_with(release, [A], 1) == EBUSY, "pinned"
    assert world.call(rows.TABLE_UNPIN, A) == 0
    assert world.call_with(release, [A], 1) == 1, "a table that nobody uses"
    unmap(world, B)
    world.frames.hold(B >> 12, writable=False)
    assert world.call_with(release, [B], 1) == EBUSY, "held"
    world.frames.drop(B >> 12, writable=False)
    assert world.call_with(release, [B + 8], 1) == EINVAL
    assert world.call_with(release, [MEMORY_BYTES], 1) == EINVAL
    assert world.call_with(release, [(1 << 64) - PAGE_BYTES], 1) == EINVAL
    assert world.call(release, 0, 1) == EFAULT
    assert world.call(release, 0, 0) == 0
    assert world.call(release, ARRAY, 1 << 32) == EINVAL
    world.check()


def test_populate_refused(world: PagingWorld) -> None:
    populate = rows.MEMORY_POPULATE
    assert world.call_with(populate, [A], 1) == EEXIST
    assert world.call_with(populate, [A + 1], 1) == EINVAL
    assert world.call(populate, 0, 1) == EFAULT
    unmap(world, A, B)
    assert world.call_with(rows.MEMORY_RELEASE, [A, B], 2) == 2
    world.balloon.set_target(255)
    assert world.call_with(populate, [A, B], 2) == 1
    assert world.call_with(populate, [B], 1) == ENOMEM
    world.check()


def test_the_target(world: PagingWorld) -> None:
    assert world.call(rows.MEMORY_TARGET) == 256
    world.balloon.set_target(100)
    world.balloon.set_target(100)
    assert world.told == [1], "told of a change, once"
    assert world.call(rows.MEMORY_TARGET) == 100
    for n_frames in (-1, 257):
        with pytest.raises(ValueError, match="256"):
            world.balloon.set_target(n_frames)


def test_at_most_512_at_a_time(world: PagingWorld) -> None:
    assert world.call_with(rows.MEMORY_RELEASE, [A] * 600, 600) == EBUSY
    assert world.vcpu.log[-1] == f"copy_in {ARRAY:#x} 4096"


def test_the_map(world: PagingWorld) -> None:
    n_bytes = sizeof("pv_memory_range")
    assert world.call(rows.MEMORY_MAP, 0, 0) == 5
    assert world.call(rows.MEMORY_MAP, ARRAY, 100) == 5
    found = [unpack("pv_memory_range", world.memory.read(ARRAY + i * n_bytes, n_bytes)) for i in range(5)]
    assert [(one["gpa"], one["type"]) for one in found] == [
        (0, 1), (0x1_0000, 2), (0x2_0000, 3), (0x9_0000, 1), (1 << 36, 4),
    ]  # fmt: skip
    for before, after in pairwise(found[:4]):
        assert before["gpa"] + before["n_bytes"] == after["gpa"]
    world.memory.write(ARRAY, bytes(5 * n_bytes))
    assert world.call(rows.MEMORY_MAP, ARRAY, 1) == 5
    assert world.memory.read(ARRAY + n_bytes, n_bytes) == bytes(n_bytes)
    assert world.call(rows.MEMORY_MAP, 0, 1) == EFAULT
    assert world.call(rows.MEMORY_MAP, ARRAY, 1 << 32) == EINVAL
