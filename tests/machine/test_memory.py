# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest RAM: every range is checked, and sizes that will not do are refused in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.errors import UsageError
from pvisor.machine.memory import PAGE_BYTES, GuestMemory, MemoryRangeError, host_memory_bytes

SIZE = 1 << 20


@pytest.fixture(scope="module")
def memory() -> GuestMemory:
    return GuestMemory(SIZE)


def test_fresh_memory_is_zero(memory: GuestMemory) -> None:
    assert GuestMemory(SIZE).read(0, SIZE) == bytes(SIZE)
    assert len(memory.buffer) == memory.size_bytes == SIZE


def test_what_is_written_is_read(memory: GuestMemory) -> None:
    memory.write(SIZE - 3, b"end")
    assert memory.read(SIZE - 3, 3) == memory.buffer[SIZE - 3 :] == b"end"
    memory.write(5, memoryview(b"view"))
    memory.write(9, bytearray(b"array"))
    assert memory.read(5, 9) == b"viewarray"


def test_words_are_little_endian(memory: GuestMemory) -> None:
    memory.write_u64(0x100, 0x0123_4567_89AB_CDEF)
    assert memory.read(0x100, 8) == bytes.fromhex("efcdab8967452301")
    assert memory.read_u64(0x100) == 0x0123_4567_89AB_CDEF


@pytest.mark.parametrize(
    ("gpa", "n_bytes"),
    [
        (-1, 1),
        (-1, 0),
        (0, -1),
        (SIZE, 1),
        (SIZE - 1, 2),
        (0, SIZE + 1),
        (1 << 64, 1),
        (SIZE + 1, 0),
        (1 << 63, 1 << 63),
    ],
)
def test_a_range_that_is_not_ram_is_refused(memory: GuestMemory, gpa: int, n_bytes: int) -> None:
    with pytest.raises(MemoryRangeError, match=r"is not in \[0, 0x100000\)"):
        memory.read(gpa, n_bytes)
    with pytest.raises(MemoryRangeError):
        memory.check(gpa, n_bytes)


def test_an_empty_range_at_the_end_is_ram(memory: GuestMemory) -> None:
    assert memory.read(SIZE, 0) == b""
    memory.write(SIZE, b"")


@pytest.mark.parametrize("gpa", [-8, SIZE - 7, SIZE, 1 << 70])
def test_a_word_outside_is_refused_and_nothing_written(memory: GuestMemory, gpa: int) -> None:
    before = memory.read(0, SIZE)
    with pytest.raises(MemoryRangeError):
        memory.write_u64(gpa, (1 << 64) - 1)
    with pytest.raises(MemoryRangeError):
        memory.read_u64(gpa)
    assert memory.read(0, SIZE) == before


@given(gpa=st.integers(-SIZE, 2 * SIZE), n_bytes=st.integers(0, 3 * PAGE_BYTES))
def test_a_range_is_refused_exactly_when_a_byte_of_it_is_no_ram(gpa: int, n_bytes: int) -> None:
    memory = GuestMemory(SIZE)
    is_ram = gpa >= 0 and gpa + n_bytes <= SIZE
    try:
        memory.write(gpa, b"x" * n_bytes)
    except MemoryRangeError:
        assert not is_ram
        assert not any(memory.read(0, SIZE))
    else:
        assert is_ram
        assert memory.read(gpa, n_bytes) == b"x" * n_bytes


@pytest.mark.parametrize("size", [0, -PAGE_BYTES, PAGE_BYTES, SIZE - PAGE_BYTES, SIZE + 1, SIZE + 512])
def test_sizes_that_will_not_do_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match="--memory"):
        GuestMemory(size)


def test_more_than_the_host_has_is_refused_with_the_hosts_size() -> None:
    too_much = host_memory_bytes() * 2
    with pytest.raises(UsageError, match=f"has \\({host_memory_bytes() >> 20}M\\)"):
        GuestMemory(too_much)
    with pytest.raises(UsageError):
        GuestMemory(1 << 63)
