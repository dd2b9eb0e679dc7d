# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts of the real-time clock, from the MC146818A data sheet."""

from __future__ import annotations

import pytest

from pvisor.machine.clock import NS_PER_S
from tests.full.rtc_board import AF, AIE, HOURS_24, IRQF, PF, PIE, SET, UF, UIE, A, B, C, D, RtcBoard


@pytest.fixture
def board() -> RtcBoard:
    return RtcBoard()


# --- interrupts


def test_the_update_ended_interrupt_waits_for_register_c(board: RtcBoard) -> None:
    board.put(B, UIE | HOURS_24)
    board.get(C)
    board.advance_s(1)
    assert board.rises == [NS_PER_S] and board.level
    board.advance_s(2.5)
    assert board.rises == [NS_PER_S]  # one, until it is noticed
    assert board.clock.timers.next_due_ns is None
    assert board.get(C) & (IRQF | UF) == IRQF | UF
    assert not board.level and board.get(C) == 0
    board.advance_s(1)
    assert board.rises == [NS_PER_S, 4 * NS_PER_S]


@pytest.mark.parametrize(
    ("rate", "hz"),
    [(1, 256), (2, 128), (3, 8192), (4, 4096), (6, 1024), (8, 256), (9, 128), (13, 8), (14, 4), (15, 2)],
)
def test_periodic_rates(board: RtcBoard, rate: int, hz: int) -> None:
    board.put(A, 0x20 | rate)
    board.put(B, PIE | HOURS_24)
    n = 0
    while n < 5:
        board.clock.advance(-(-(n + 1) * NS_PER_S // hz) - board.clock.now_ns - 1)
        assert not board.level
        board.clock.advance(1)
        n += 1
        assert board.level and board.get(C) & (IRQF | PF) == IRQF | PF
    assert board.rises == [-(-i * NS_PER_S // hz) for i in range(1, 6)]


def test_rate_0_is_none(board: RtcBoard) -> None:
    board.put(A, 0x20)
    board.put(B, PIE | HOURS_24)
    board.get(C)
    board.advance_s(2)
    assert not board.rises and not board.get(C) & PF


def test_periodic_interrupts_do_not_drift(board: RtcBoard) -> None:
    board.put(B, PIE | HOURS_24)
    for _ in range(1024):
        board.clock.advance(board.clock.timers.next_due_ns - board.clock.now_ns)  # type: ignore[operator]
        board.get(C)
    assert board.rises[-1] == NS_PER_S


def test_flags_are_set_without_their_interrupts_and_enabling_raises_it(board: RtcBoard) -> None:
    board.advance_s(1.5)
    board.put(1, 0x30)
    assert not board.level
    board.put(B, UIE | HOURS_24)
    assert board.level
    board.put(B, HOURS_24)
    assert not board.level
    assert board.get(C) == PF | UF


@pytest.mark.parametrize(
    ("alarm", "first", "second"),
    [
        ((0x12, 0x30, 0x15), 45015, 45015 + 86400),
        ((0xFF, 0x30, 0x15), 1815, 1815 + 3600),
        ((0xC0, 0xC0, 0x15), 15, 75),
        ((0xFF, 0xFF, 0xFF), 1, 2),
        ((0x02, 0xFF, 0xFF), 7200, 7201),
        ((0x02, 0xFF, 0x59), 7259, 7319),
        ((0xFF, 0x59, 0xFF), 3540, 3541),
        ((0x00, 0x00, 0x00), 86400, 2 * 86400),
    ],
)
def test_alarms_with_dont_care(board: RtcBoard, alarm: tuple[int, ...], first: int, second: int) -> None:
    for index, byte in zip((5, 3, 1), alarm, strict=True):
        board.put(index, byte)
    board.put(B, AIE | HOURS_24)
    board.advance_s(first)
    assert board.rises == [first * NS_PER_S] and board.get(C) & (IRQF | AF) == IRQF | AF
    board.advance_s(second - first)
    assert board.rises == [first * NS_PER_S, second * NS_PER_S]


def test_an_alarm_in_the_afternoon_of_12_hours(board: RtcBoard) -> None:
    board.put(B, AIE)
    for index, byte in ((5, 0x81), (3, 0), (1, 0)):
        board.put(index, byte)
    board.advance_s(86400)
    assert board.rises == [13 * 3600 * NS_PER_S]


@pytest.mark.parametrize(
    "alarm", [(0x24, 0, 0), (0, 0x60, 0), (0, 0, 0x7F), (0x0A, 0, 0), (0xBF, 0xFF, 0xFF)]
)
def test_an_alarm_that_no_time_shows_never_comes(board: RtcBoard, alarm: tuple[int, ...]) -> None:
    for index, byte in zip((5, 3, 1), alarm, strict=True):
        board.put(index, byte)
    board.put(B, AIE | HOURS_24)
    board.advance_s(3 * 86400)
    assert not board.rises and not board.get(C) & AF


def test_set_clears_uie_and_holds_updates_and_alarms_but_not_the_period(board: RtcBoard) -> None:
    for index in (5, 3, 1):
        board.put(index, 0xFF)
    board.put(B, SET | UIE | AIE | HOURS_24)
    assert board.get(B) == SET | AIE | HOURS_24
    board.advance_s(5)
    assert not board.rises and board.get(C) == PF
    board.put(B, SET | PIE | HOURS_24)
    board.advance_s(0.01)
    assert board.level


def test_a_divider_in_reset_holds_all_interrupts(board: RtcBoard) -> None:
    board.put(A, 0x66)
    board.get(C)
    board.put(B, PIE | UIE | AIE | HOURS_24)
    board.advance_s(10)
    assert not board.rises and board.get(C) == 0


def test_registers_c_and_d_are_not_for_writing(board: RtcBoard) -> None:
    board.put(C, 0xFF)
    board.put(D, 0x00)
    assert board.get(C) == 0 and board.get(D) == 0x80 and not board.level


def test_only_one_deadline_is_alive(board: RtcBoard) -> None:
    board.put(B, UIE | HOURS_24)
    for rate in (3, 9, 15, 6):
        board.put(A, 0x20 | rate)
    board.put(B, HOURS_24)
    board.get(C)
    assert board.clock.timers.next_due_ns is None
