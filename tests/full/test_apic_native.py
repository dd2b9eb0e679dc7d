# SPDX-License-Identifier: GPL-2.0-or-later
"""The local APIC's native tier: what C serves, it serves as Python does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.shim import ffi, lib
from tests.full.apic_board import ENABLED, Board


@pytest.fixture
def board() -> Board:
    return Board()


VECTORS = st.sets(st.integers(16, 255), max_size=4)


def with_state(requested: set[int], in_service: set[int], levels: set[int], tpr: int, extint: bool) -> Board:
    board = Board()
    for vectors, bank in ((in_service, board.apic.registers.isr), (requested, board.apic.registers.irr)):
        for vector in vectors:
            bank[vector >> 5] |= 1 << (vector & 31)
    for vector in levels:
        board.apic.registers.tmr[vector >> 5] |= 1 << (vector & 31)
    if extint:
        board.apic.lint0(True)
    board[0x80] = tpr
    return board


def icr(vector: int, mode: int, logical: int, shorthand: int) -> int:
    return vector | mode << 8 | logical << 11 | shorthand << 18


def snapshot(board: Board) -> bytes:
    return bytes(ffi.buffer(board.apic.registers))


@given(
    VECTORS,
    VECTORS,
    VECTORS,
    st.integers(0, 255),
    st.booleans(),
    st.one_of(
        st.tuples(st.sampled_from((0x80, 0xB0, 0x310, 0x320)), st.integers(0, (1 << 32) - 1)),
        st.tuples(st.just(0x300), st.builds(icr, *map(st.integers, (0, 0, 0, 0), (255, 7, 1, 3)))),
    ),
    st.sampled_from((0, 1, 0x81, 0xFF)),
)
def test_native_writes_do_what_python_does(
    requested: set[int],
    in_service: set[int],
    levels: set[int],
    tpr: int,
    extint: bool,
    written: tuple[int, int],
    destination: int,
) -> None:
    python, native = (with_state(requested, in_service, levels, tpr, extint) for _ in range(2))
    for board in (python, native):
        board[0xD0], board[0x310] = 0x8100_0000, destination << 24
    before = snapshot(native)
    python[written[0]] = written[1]
    if lib.pv_apic_write(native.apic.registers, *written):
        assert snapshot(native) == snapshot(python)
        assert (python.asked, python.ended) == (bool(native.apic.registers.is_asserted), [])
    else:
        assert snapshot(native) == before, "Python does it: nothing has changed yet"
        assert written[0] in (0x300, 0x320) or python.ended


@given(
    st.sampled_from(range(0, 0x400, 8)), st.integers(0, (1 << 32) - 1), VECTORS, st.integers(0, 1 << 36)
)
def test_native_reads_do_what_python_does(
    offset: int, value: int, vectors: set[int], elapsed_ns: int
) -> None:
    board = with_state(vectors, vectors, vectors, 0, False)
    for at in (0x20, 0x80, 0xD0, 0xE0, 0x310, 0x320, 0x350, 0x370, 0x3E0, 0x380):
        board[at] = value
    board.clock.now_ns += elapsed_ns
    out = ffi.new("uint32_t *")
    if lib.pv_apic_read(board.apic.registers, offset, board.clock.now_ns, out):
        assert out[0] == board[offset]


def test_the_native_tier_serves_the_hot_registers_of_an_enabled_apic(board: Board) -> None:
    r, out = board.apic.registers, ffi.new("uint32_t *")
    written = ((0xB0, 0), (0x80, 0x20), (0x310, 0), (0x300, 0x41), (0x300, 0x4_0041))
    read = (0x20, 0x30, 0x80, 0xA0, 0x110, 0x190, 0x270, 0x300, 0x320, 0x380, 0x390, 0x3E0)
    assert all(lib.pv_apic_write(r, *pair) for pair in written)
    assert all(lib.pv_apic_read(r, offset, 0, out) for offset in read)
    assert not lib.pv_apic_write(r, 0x300, 0x0C_0041), "to all others"
    assert not lib.pv_apic_write(r, 0x300, 0x4_0441), "an NMI"
    assert not lib.pv_apic_read(r, 0x0, 0, out) and not lib.pv_apic_read(r, 0x318, 0, out)
    board.asked = bool(r.is_asserted)  # as the vCPU follows it
    board.apic.write_base(ENABLED & ~0x800)
    assert not any(lib.pv_apic_write(r, *pair) for pair in written)
    assert not any(lib.pv_apic_read(r, offset, 0, out) for offset in read)
