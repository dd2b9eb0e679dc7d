# SPDX-License-Identifier: GPL-2.0-or-later
"""The local APIC's timer by SDM 3A 10.5.4, with no CPU."""

from __future__ import annotations

import pytest

from tests.full.apic_board import MASKED, PERIODIC, Board


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.mark.parametrize(
    ("divide", "divisor"),
    [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (0xA, 128), (0xB, 1), (4, 2), (0xFFFF_FFFF, 1)],
)
def test_divisors(board: Board, divide: int, divisor: int) -> None:
    board[0x3E0] = divide
    board[0x380] = 1000
    board.clock.advance(10 * divisor - 1)
    assert board[0x390] == 991
    board.clock.advance(1)
    assert board[0x390] == 990


def test_one_shot(board: Board) -> None:
    board[0x320], board[0x3E0], board[0x380] = 0x41, 0xB, 1000
    board.clock.advance(999)
    assert not board.asked and board[0x390] == 1
    board.clock.advance(1)
    assert board.apic.acknowledge() == 0x41
    board[0xB0] = 0
    board.clock.advance(10_000)
    assert not board.asked and (board[0x380], board[0x390]) == (1000, 0)


def test_periodic_keeps_its_phase(board: Board) -> None:
    board[0x320], board[0x3E0], board[0x380] = PERIODIC | 0x41, 0xB, 1000
    for _ in range(3):
        board.clock.advance(999)
        assert not board.asked
        board.clock.advance(1)
        assert board.asked and board[0x390] == 1000
        board.apic.acknowledge()
        board[0xB0] = 0


def test_late_periods_are_one_interrupt(board: Board) -> None:
    board[0x320], board[0x3E0], board[0x380] = PERIODIC | 0x41, 0xB, 1000
    board.clock.now_ns += 3500
    board.clock.timers.run_due()
    assert board[0x390] == 500
    board.apic.acknowledge()
    board[0xB0] = 0
    assert not board.asked
    assert board.clock.timers.next_due_ns == 4000


def test_a_count_of_zero_stops(board: Board) -> None:
    board[0x320], board[0x380] = PERIODIC | 0x41, 1000
    board[0x380] = 0
    board.clock.advance(1_000_000)
    assert not board.asked and board[0x390] == 0
    assert board.clock.timers.next_due_ns is None


def test_a_masked_timer_counts_but_wakes_nobody(board: Board) -> None:
    board[0x320], board[0x3E0], board[0x380] = PERIODIC | MASKED | 0x41, 0xB, 1000
    assert board.clock.timers.next_due_ns is None
    board.clock.advance(2300)
    assert board[0x390] == 700
    board[0x320] = PERIODIC | 0x41
    assert not board.asked
    assert board.clock.timers.next_due_ns == 3000


def test_a_one_shot_that_ended_masked_is_over(board: Board) -> None:
    board[0x3E0], board[0x380] = 0xB, 1000
    board.clock.advance(1000)
    board[0x320] = PERIODIC | 0x41
    board.clock.advance(10_000)
    assert not board.asked and board[0x390] == 0


def test_changing_the_divisor_goes_on_from_the_count(board: Board) -> None:
    board[0x320], board[0x3E0], board[0x380] = 0x41, 0xB, 1000
    board.clock.advance(400)
    board[0x3E0] = 0
    assert board[0x390] == 600
    board.clock.advance(1199)
    assert not board.asked
    board.clock.advance(1)
    assert board.asked


def test_masking_by_svr_stops_the_deadline(board: Board) -> None:
    board[0x320], board[0x380] = PERIODIC | 0x41, 1000
    board[0xF0] = 0xFF
    board.clock.advance(100_000)
    assert not board.asked
    assert board.clock.timers.next_due_ns is None
