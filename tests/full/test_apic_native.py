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


def snapshot(board: Board) -> bytes:
    return bytes(ffi.buffer(board.apic.registers))


@given(
    VECTORS,
    VECTORS,
    VECTORS,
    st.integers(0, 255),
    st.booleans(),
    st.sampled_from((0x80, 0xB0)),
    st.integers(0, 1023),
)
def test_native_writes_do_what_python_does(
    requested: set[int],
    in_service: set[int],
    levels: set[int],
    tpr: int,
    extint: bool,
    offset: int,
    value: int,
) -> None:
    python, native = (with_state(requested, in_service, levels, tpr, extint) for _ in range(2))
    before, asked = snapshot(native), python.asked
    python[offset] = value
    if lib.pv_apic_write(native.apic.registers, offset, value):
        assert snapshot(native) == snapshot(python)
        assert (python.asked, python.ended) == (asked, []), "nobody else was concerned"
    else:
        assert snapshot(native) == before, "Python does it: nothing has changed yet"
        assert python.asked != asked or python.ended


@given(st.sampled_from(range(0, 0x400, 8)), st.integers(0, (1 << 32) - 1))
def test_native_reads_do_what_python_does(offset: int, value: int) -> None:
    board = Board()
    for at in (0x20, 0x80, 0xD0, 0xE0, 0x310, 0x320, 0x350, 0x370, 0x380):
        board[at] = value
    out = ffi.new("uint32_t *")
    if lib.pv_apic_read(board.apic.registers, offset, out):
        assert out[0] == board[offset]


def test_the_native_tier_serves_the_hot_registers_of_an_enabled_apic(board: Board) -> None:
    r, out = board.apic.registers, ffi.new("uint32_t *")
    assert (
        lib.pv_apic_write(r, 0xB0, 0) and lib.pv_apic_write(r, 0x80, 0x20) and lib.pv_apic_read(r, 0x20, out)
    )
    assert not lib.pv_apic_write(r, 0x300, 0x41) and not lib.pv_apic_read(r, 0x390, out)
    board.apic.write_base(ENABLED & ~0x800)
    assert not (
        lib.pv_apic_write(r, 0xB0, 0) or lib.pv_apic_write(r, 0x80, 0) or lib.pv_apic_read(r, 0x20, out)
    )
