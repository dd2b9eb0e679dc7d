# SPDX-License-Identifier: GPL-2.0-or-later
"""The local APIC's pins, its wire to the 8259, and how it is disabled: SDM 3A 10.4.3, 10.4.7, 10.5.1."""

from __future__ import annotations

import pytest

from pvisor.full.apic import BASE
from pvisor.full.apic_registers import Message
from tests.full.apic_board import ENABLED, MASKED, Board


@pytest.fixture
def board() -> Board:
    return Board()


def test_lint0_passes_the_8259_on(board: Board) -> None:
    board.apic.lint0(True)
    assert board.asked
    assert board.apic.acknowledge() == 0x08
    assert not board.asked and not board.requested(0x100)


def test_extint_knows_no_priority_but_comes_after_fixed_ones(board: Board) -> None:
    board[0x80] = 0xFF
    board.apic.lint0(True)
    assert board.asked
    board[0x80] = 0
    board.apic.receive(Message(0x20))
    assert [board.apic.acknowledge(), board.apic.acknowledge()] == [0x20, 0x08]


def test_masked_lint0_holds_the_8259_back(board: Board) -> None:
    board[0x350] = 0x700 | MASKED
    board.apic.lint0(True)
    assert not board.asked
    board[0x350] = 0x700
    assert board.asked
    board[0x350] = 0x700 | MASKED
    assert not board.asked
    assert board.apic.acknowledge() == 0xFF, "spurious"


def test_lint0_as_a_fixed_edge(board: Board) -> None:
    board[0x350] = 0x41
    for level in (True, True, False):
        board.apic.lint0(level)
    assert board.apic.acknowledge() == 0x41
    board[0xB0] = 0
    assert not board.asked
    board.apic.lint0(True)
    assert board.asked


def test_lint0_as_a_fixed_level_asks_again_after_eoi(board: Board) -> None:
    board[0x350] = 0x8041
    board.apic.lint0(True)
    assert board[0x350] == 0xC041, "remote IRR"
    assert board.apic.acknowledge() == 0x41
    assert not board.asked
    board[0xB0] = 0
    assert board.asked
    board.apic.acknowledge()
    board.apic.lint0(False)
    board[0xB0] = 0
    assert not board.asked and board[0x350] == 0x8041


def test_lint1_is_nmi_by_edges(board: Board) -> None:
    for level in (True, True, False, True):
        board.apic.lint1(level)
    assert board.n_nmis == 2
    board[0x360] = 0x400 | MASKED
    board.apic.lint1(False)
    board.apic.lint1(True)
    assert board.n_nmis == 2


def test_the_virtual_wire_of_an_io_apic(board: Board) -> None:
    board[0x350] = MASKED
    board.apic.virtual_wire(True)
    assert board.asked
    assert board.apic.acknowledge() == 0x08
    board.apic.virtual_wire(False)
    assert not board.asked


def test_disabled_by_software(board: Board) -> None:
    board.apic.receive(Message(0x41))
    board[0x320] = 0x50
    board[0xF0] = 0xFF
    assert all(board[0x320 + 16 * i] & MASKED for i in range(6))
    board[0x350] = 0x700
    assert board[0x350] == 0x700 | MASKED
    assert not board.apic.receive(Message(0x51))
    assert board.apic.receive(Message(2, 4)) and board.n_nmis == 1
    board.apic.lint0(True)
    assert board.apic.acknowledge() == 0x41, "what was requested before is still delivered"
    board[0xB0] = 0
    assert not board.asked
    board[0xF0] = 0x1FF
    assert board[0x350] == 0x700 | MASKED, "the masks stay"


def test_disabled_by_its_base_register(board: Board) -> None:
    board.apic.receive(Message(0x41))
    board[0x80] = 0x20
    assert board.apic.write_base(ENABLED & ~0x800)
    assert board.apic.read_base() == ENABLED & ~0x800
    assert not board.asked
    assert (board[0x80], board.apic.read(0x20, 1)) == (0xFFFF_FFFF, 0xFF)
    board[0x80] = 0x10
    assert not board.apic.receive(Message(0x41))
    board.apic.lint0(True)
    assert board.asked and board.apic.acknowledge() == 0x08
    assert not board.asked
    assert board.apic.write_base(ENABLED)
    assert (board[0x80], board[0xF0], board.requested()) == (0, 0xFF, set())


@pytest.mark.parametrize("bit", [*range(8), 9, 10, 40, 52, 63])
def test_reserved_bits_of_the_base_register(board: Board, bit: int) -> None:
    assert not board.apic.write_base(ENABLED | 1 << bit)
    assert board.apic.read_base() == ENABLED


def test_the_bsp_flag_stays(board: Board) -> None:
    assert board.apic.write_base(BASE | 0x800)
    assert board.apic.read_base() == ENABLED
