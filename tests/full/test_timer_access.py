# SPDX-License-Identifier: GPL-2.0-or-later
"""The 8254 as it is read and written, and IRQ 0. From the 82C54 data sheet."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.full.timer_board import BCD, LSB, MSB, NULL_COUNT, OUT, WORD, PitBoard, ns


@pytest.fixture
def board() -> PitBoard:
    return PitBoard()


# --- reading and writing


def test_a_count_of_0_is_the_largest(board: PitBoard) -> None:
    board.program(0, 2, 0)
    board.program(1, 2, 0, WORD | BCD)
    board.to(1)
    assert (board.value(0), board.value(1)) == (0xFFFF, 0x9999)
    board.to(65536 * 2)
    assert board.rises == [ns(65536), ns(131072)]


def test_bcd_counts_in_decimal(board: PitBoard) -> None:
    board.program(0, 2, 0x1000, WORD | BCD)
    assert board.value(0) == 0x1000
    board.to(1)
    assert board.value(0) == 0x0999
    board.to(1000)
    assert board.value(0) == 0x1000 and board.rises == [ns(1000)]
    board.program(0, 0, 0x0001, WORD | BCD)
    board.clock.advance(ns(2))
    assert board.value(0) == 0x9999


@pytest.mark.parametrize(("access", "written", "count"), [(LSB, 0x42, 0x42), (MSB, 0x4200, 0x4200)])
def test_one_byte_access_leaves_the_other_0(board: PitBoard, access: int, written: int, count: int) -> None:
    board.program(0, 2, written, access)
    board.to(count)
    assert board.rises == [ns(count)]
    board.control(0x00)
    assert board.byte(0) == (written >> 8 or written)
    assert board.byte(0) == (written >> 8 or written)


def test_unlatched_bytes_come_low_then_high(board: PitBoard) -> None:
    board.program(0, 2, 0x1234)
    assert [board.byte(0) for _ in range(4)] == [0x34, 0x12, 0x34, 0x12]
    board.byte(0)
    board.program(0, 2, 0x5678)  # a control word begins the pair anew
    assert [board.byte(0), board.byte(0)] == [0x78, 0x56]


def test_a_latched_count_stands_until_it_is_read(board: PitBoard) -> None:
    board.program(0, 2, 0x1234)
    board.control(0x00)
    board.to(0x34)
    board.control(0x00)  # once more: no effect
    assert [board.byte(0), board.byte(0)] == [0x34, 0x12]
    assert [board.byte(0), board.byte(0)] == [0x00, 0x12]


def test_a_control_word_drops_what_is_latched(board: PitBoard) -> None:
    board.control(0xC2 | 0)  # count and status of counter 0
    board.program(0, 2, 0x1234)
    assert [board.byte(0), board.byte(0)] == [0x34, 0x12]


def test_read_back_of_status_and_count_at_once(board: PitBoard) -> None:
    board.program(0, 2, 0x1111)
    board.program(1, 3, 0x2222, WORD | BCD)
    board.program(2, 0, 0x3333)
    board.control(0xCE)
    board.to(3)
    board.control(0xCE)  # once more: no effect
    assert [board.byte(0) for _ in range(3)] == [OUT | 0x34, 0x11, 0x11]
    assert [board.byte(1) for _ in range(3)] == [OUT | 0x37, 0x22, 0x22]
    assert [board.byte(2) for _ in range(3)] == [0x30, 0x33, 0x33]


def test_read_back_takes_only_what_it_names(board: PitBoard) -> None:
    board.program(0, 2, 0x1234)
    board.program(1, 2, 0x1234)
    board.control(0xD2)  # count of counter 0
    board.control(0xF2)  # neither
    board.control(0xC0)  # of no counter
    board.to(4)
    assert board.byte(0) == 0x34 and board.byte(1) == 0x30


def test_null_count_from_the_control_word_to_the_loading(board: PitBoard) -> None:
    board.control(0x34)
    assert board.status(0) == OUT | NULL_COUNT | 0x34
    board.bus.write(0x40, 1, 0x10)
    assert board.status(0) & NULL_COUNT
    board.bus.write(0x40, 1, 0x00)
    assert not board.status(0) & NULL_COUNT


def test_without_a_count_nothing_counts(board: PitBoard) -> None:
    board.program(0, 2, 100)
    board.to(30)
    board.control(0x34)
    board.to(1000)
    assert board.value(0) == 70 and not board.rises


# --- IRQ 0


def test_periods_do_not_drift(board: PitBoard) -> None:
    """100 Hz for 100 s: the last edge is where the arithmetic of the whole puts it."""
    board.program(0, 2, 11932)
    board.to(11932 * 10_000)
    assert board.rises == [ns(11932 * n) for n in range(1, 10_001)]


def test_a_late_deadline_makes_one_edge_and_keeps_the_phase(board: PitBoard) -> None:
    board.program(0, 2, 1000)
    board.clock.now_ns = ns(3500)
    board.clock.timers.run_due()
    assert board.rises == [ns(3500)]
    board.to(4000)
    assert board.rises == [ns(3500), ns(4000)]


def test_a_control_word_of_mode_0_lowers_the_line(board: PitBoard) -> None:
    board.program(0, 2, 100)
    board.to(100)
    assert board.level
    board.control(0x30)
    assert not board.level
    board.control(0x34)  # the output goes high, and that is an edge
    assert board.level


def test_programming_a_periodic_mode_makes_no_edge_by_itself(board: PitBoard) -> None:
    for mode in (2, 3, 2):
        board.program(0, mode, 1000)
    assert board.irq == []


@pytest.mark.parametrize("mode", [2, 3])
@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_counts_are_two_ticks(board: PitBoard, mode: int, count: int) -> None:
    """1 is not allowed by the data sheet; as 2 it cannot make the host spin."""
    board.program(0, mode, count)
    board.to(20)
    assert board.rises == [ns(2 * n) for n in range(1, 11)]
    assert ns(2) > 1000


def test_only_one_deadline_is_alive(board: PitBoard) -> None:
    for count in (5000, 300, 70, 9000):
        board.program(0, 2, count)
    board.to(9000)
    assert board.rises == [ns(9000)]


# --- nonsense

STEPS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 255), st.integers(0, 300_000)),
    max_size=50,
)


@given(STEPS)
def test_whatever_is_written_gives_bytes(steps: Sequence[tuple[int, int, int]]) -> None:
    board = PitBoard()
    for where, value, pause_ns in steps:
        if where == 5:
            board.pit.set_gate(bool(value & 1))
        elif where == 4:
            board.pit.output()
        else:
            board.bus.write(0x40 + where, 1, value)
        board.clock.advance(pause_ns)
        for counter in range(3):
            assert 0 <= board.byte(counter) <= 0xFF
        due = board.clock.timers.next_due_ns
        assert due is None or due > board.clock.now_ns
    gaps = [later - earlier for earlier, later in zip(board.rises, board.rises[1:], strict=False)]
    assert len(gaps) - len(steps) <= board.clock.now_ns / 1000


@given(st.integers(0, 7), st.integers(1, 0xFFFF), st.lists(st.integers(1, 40_000), max_size=12))
def test_rises_of_the_line_are_rises_of_the_output(mode: int, count: int, pauses: Sequence[int]) -> None:
    """What the line was told by deadlines is what the status says, tick by tick."""
    board = PitBoard()
    board.program(0, mode, count)
    tick = 0
    for pause in pauses:
        tick += pause
        board.to(tick)
        rose_now = bool(board.rises) and board.rises[-1] == ns(tick)
        is_high = board.out(0)
        before = PitBoard()
        before.program(0, mode, count)
        before.to(tick - 1)
        assert rose_now == (is_high and not before.out(0))
