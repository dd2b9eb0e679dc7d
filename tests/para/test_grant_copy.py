# SPDX-License-Identifier: GPL-2.0-or-later
"""GRANT_COPY with no CPU: frames of one's own and granted ones, each end's rights, and every way to fail."""

from __future__ import annotations

import pytest

from pvisor.abi.areas import events, grants
from pvisor.abi.errnos import EBUSY, EFAULT, EINVAL, ENOENT, EPERM
from pvisor.abi.layout import pack, sizeof, unpack
from pvisor.abi.model import Errno
from tests.domain.fakes import MEMORY_BYTES
from tests.para.grant_world import ABSENT_GFN, PAGE_BYTES, SCRATCH, TABLE_GFN, One, World, is_clean

HOST, SELF = events.DOMID_HOST.number, events.DOMID_SELF.number
RO, WINDOW, COPY_MAX = grants.READ_ONLY.number, grants.WINDOW.number, grants.COPY_MAX.number
U32, U64 = (1 << 32) - 1, (1 << 64) - 1
FRAME = 0x8000
_INVAL, _FAULT = -EINVAL.number, -EFAULT.number


@pytest.fixture
def world() -> World:
    return World()


def op(**fields: int) -> bytes:
    """An operation; without further words 16 bytes from one own frame to another."""
    plain = {
        "source": FRAME, "dest": 0x9000, "source_domid": SELF, "source_offset": 0, "dest_domid": SELF,
        "dest_offset": 0, "n_bytes": 16, "status": 77,
    }  # fmt: skip
    return pack("pv_grant_copy_op", **{**plain, **fields})


def copy(one: One, *ops: bytes, at: int = SCRATCH, n_ops: int | None = None) -> tuple[int, list[int]]:
    """GRANT_COPY; result and statuses."""
    data = b"".join(ops)
    one.memory.write(at, data)
    result = one.call(grants.GRANT_COPY, at, len(ops) if n_ops is None else n_ops)
    now = one.memory.read(at, len(data))
    size = sizeof("pv_grant_copy_op")
    return result, [unpack("pv_grant_copy_op", now[i : i + size])["status"] for i in range(0, len(now), size)]


def test_copy_between_all_sorts_of_frames(world: World) -> None:
    one, two = world.one, world.two
    one.memory.write(FRAME, bytes(range(256)) * 16)
    shown, written = one.create(2, FRAME, RO), one.create(2, 0xA000)
    assert copy(
        two,
        op(source=shown, source_domid=1, source_offset=1, dest_offset=4080),
        op(source=0x9000, source_offset=4080, dest=written, dest_domid=1),
        op(source=shown, source_domid=1, dest=written, dest_domid=1, dest_offset=100, n_bytes=3),
        op(n_bytes=0, source_offset=4096, dest_offset=4096),
        op(source=written, source_domid=1, dest=written, dest_domid=1, dest_offset=1, n_bytes=16),
    ) == (5, [0] * 5)
    assert two.memory.read(0x9000 + 4080, 16) == bytes(range(1, 17))
    assert one.memory.read(0xA000, 17) == bytes([1, *range(1, 17)])
    assert one.memory.read(0xA000 + 100, 3) == bytes(range(3))
    assert one.revoke(shown) == one.revoke(written) == 0
    assert is_clean(world)


@pytest.mark.parametrize(
    ("fields", "errno"),
    [
        ({"source_offset": 4081}, EINVAL),
        ({"dest_offset": 4081}, EINVAL),
        ({"dest_offset": U32, "n_bytes": 1}, EINVAL),
        ({"n_bytes": U32, "source_offset": U32, "dest_offset": U32}, EINVAL),
        ({"n_bytes": 4097}, EINVAL),
        ({"source": FRAME + 1}, EINVAL),
        ({"source": MEMORY_BYTES}, EINVAL),
        ({"dest": U64 & ~0xFFF}, EINVAL),
        ({"dest": WINDOW}, EINVAL),
        ({"dest": TABLE_GFN << 12}, EBUSY),
        ({"source": ABSENT_GFN << 12}, ENOENT),
        ({"dest": ABSENT_GFN << 12}, ENOENT),
        ({"source_domid": 1, "source": 1}, ENOENT),
        ({"source_domid": 1, "source": 1 << 32}, EINVAL),
        ({"source_domid": 4, "source": 1}, ENOENT),
        ({"source_domid": HOST, "source": 1}, ENOENT),
        ({"dest_domid": U32, "dest": 1}, ENOENT),
        ({"dest_domid": 2, "dest": 1}, ENOENT),
    ],
)
def test_an_operation_fails(world: World, fields: dict[str, int], errno: Errno) -> None:
    two = world.two
    two.memory.write(FRAME, b"x" * 16)
    result, statuses = copy(two, op(**fields), op())
    assert (result, statuses) == (2, [errno.number, 0])
    assert two.memory.read(0x9000, 16) == b"x" * 16
    assert is_clean(world)


def test_copy_keeps_to_the_rights(world: World) -> None:
    shown, foreign = world.one.create(2, FRAME, RO), world.one.create(3, FRAME)
    for side in ("source", "dest"):
        assert copy(world.two, op(**{side: foreign, f"{side}_domid": 1})) == (1, [EPERM.number])
    assert copy(world.two, op(dest=shown, dest_domid=1)) == (1, [EPERM.number])
    world.one.revoke(shown)
    assert copy(world.two, op(source=shown, source_domid=1)) == (1, [ENOENT.number])


def test_copy_is_bounded(world: World) -> None:
    ops = [op() for _ in range(COPY_MAX + 1)]
    assert copy(world.one, *ops, at=0x2_0000) == (COPY_MAX, [0] * COPY_MAX + [77])
    assert copy(world.one, op(), n_ops=0) == (0, [77])
    assert world.one.call(grants.GRANT_COPY, SCRATCH, 1 << 32) == _INVAL


@pytest.mark.parametrize("hidden", ["read_only", "absent"])
def test_copy_checks_the_operations_first(world: World, hidden: str) -> None:
    one = world.one
    at = SCRATCH + PAGE_BYTES - sizeof("pv_grant_copy_op")
    getattr(one.vcpu, hidden).add(SCRATCH + PAGE_BYTES)
    one.memory.write(FRAME, b"x")
    assert copy(one, op(n_bytes=1), op(), at=at) == (_FAULT, [77, 77])
    assert one.memory.read(0x9000, 1) == b"\0"
    assert one.call(grants.GRANT_COPY, 0, 1) == one.call(grants.GRANT_COPY, U64 - 5, 1) == _FAULT


def test_operations_are_read_once(world: World) -> None:
    """The first operation writes over the second; the second is done as it was."""
    one = world.one
    one.memory.write(FRAME, b"\xff" * 80)
    assert copy(one, op(dest=SCRATCH, n_bytes=80), op()) == (2, [0, 0])
    assert one.memory.read(0x9000, 16) == b"\xff" * 16
    log = [line for line in one.vcpu.log if line.startswith("copy_in")]
    assert len(log) == 1
