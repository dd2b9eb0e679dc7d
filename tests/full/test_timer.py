# SPDX-License-Identifier: GPL-2.0-or-later
"""The 8254, as the 82C54 data sheet has it."""

from __future__ import annotations

import pytest

from tests.full.timer_board import NULL_COUNT, OUT, PitBoard, ns


@pytest.fixture
def board() -> PitBoard:
    return PitBoard()


# --- state at entry


def test_firmware_has_been_here(board: PitBoard) -> None:
    assert board.status(0) == OUT | 0x34  # mode 2, two bytes, binary
    assert board.value(0) == 0  # 65536
    assert board.status(1) == OUT | 0x06
    assert board.status(2) == OUT | 0x06 and not board.irq
    board.to(65536 * 4)
    assert board.rises == [ns(65536 * n) for n in (1, 2, 3, 4)]  # 18.2 Hz


def test_the_control_word_cannot_be_read(board: PitBoard) -> None:
    board.control(0x34)
    assert board.bus.read(0x43, 1) == 0


# --- modes


def test_mode_0_rises_once_at_the_end_and_counts_on(board: PitBoard) -> None:
    board.program(0, 0, 1000)
    assert not board.out(0) and board.value(0) == 1000
    board.to(999)
    assert not board.out(0) and board.value(0) == 1
    board.to(1000)
    assert board.out(0) and board.value(0) == 0
    board.to(1001)
    assert board.out(0) and board.value(0) == 0xFFFF
    board.to(200_000)
    assert board.out(0) and board.rises == [ns(1000)]


def test_a_new_count_in_mode_0_begins_anew(board: PitBoard) -> None:
    board.program(0, 0, 100)
    board.to(150)
    start = board.clock.now_ns
    board.count(0, 100)
    assert not board.out(0) and board.level is False
    board.to(50, start)
    board.count(0, 100)  # before the end
    board.to(1000, start)
    assert board.rises == [ns(100), start + ns(50) + ns(100)]


def test_the_first_byte_stops_mode_0_and_the_second_starts_it(board: PitBoard) -> None:
    board.program(0, 0, 100)
    board.to(40)
    board.bus.write(0x40, 1, 0x10)
    board.to(5000)
    assert board.value(0) == 60 and not board.out(0) and not board.rises
    start = board.clock.now_ns
    board.bus.write(0x40, 1, 0x00)
    board.to(20, start)
    assert board.rises == [start + ns(16)]


def test_mode_1_waits_for_its_gate(board: PitBoard) -> None:
    """Counter 2 has one; those of the others are high for good, so that nothing triggers them."""
    board.program(2, 1, 100)
    board.to(500)
    assert board.out(2)
    start = board.clock.now_ns
    board.pit.set_gate(True)
    assert not board.out(2) and board.value(2) == 100
    board.to(99, start)
    assert not board.out(2)
    board.pit.set_gate(False)  # goes on all the same
    board.to(100, start)
    assert board.out(2) and board.value(2) == 0
    board.to(150, start)
    retrigger = board.clock.now_ns
    board.pit.set_gate(True)
    board.count(2, 30)  # for the next trigger
    board.to(50, retrigger)
    assert not board.out(2) and board.status(2) & NULL_COUNT
    board.to(100, retrigger)
    assert board.out(2)
    board.pit.set_gate(False)
    board.pit.set_gate(True)
    assert board.value(2) == 30 and not board.status(2) & NULL_COUNT


def test_mode_1_of_counter_0_is_never_triggered(board: PitBoard) -> None:
    board.program(0, 1, 5)
    board.to(100_000)
    assert board.out(0) and not board.rises


def test_mode_2_is_low_for_one_tick_of_each_period(board: PitBoard) -> None:
    board.program(0, 2, 10)
    seen = []
    for tick in range(21):
        board.to(tick)
        seen.append((board.value(0), board.out(0)))
    period = [(10 - i, i != 9) for i in range(10)]
    assert seen == [*period, *period, period[0]]
    assert board.rises == [ns(10), ns(20)]


def test_a_new_count_in_mode_2_waits_for_the_end_of_the_period(board: PitBoard) -> None:
    board.program(0, 2, 100)
    board.to(130)
    assert not board.status(0) & NULL_COUNT
    board.count(0, 30)
    assert board.status(0) & NULL_COUNT and board.value(0) == 70
    board.to(199)
    assert board.value(0) == 1
    board.to(200)
    assert board.value(0) == 30 and not board.status(0) & NULL_COUNT
    board.to(265)
    assert board.rises == [ns(n) for n in (100, 200, 230, 260)]


@pytest.mark.parametrize(("count", "high"), [(10, 5), (9, 5), (2, 1), (3, 2)])
def test_mode_3_is_a_square_wave(board: PitBoard, count: int, high: int) -> None:
    """An odd count is high for (N + 1) / 2 ticks. The counter steps by two, from the even number below."""
    board.program(0, 3, count)
    for tick in range(3 * count):
        board.to(tick)
        into = tick % count
        assert board.out(0) == (into < high)
        assert board.value(0) == count // 2 * 2 - 2 * (into if into < high else into - high)
    board.to(3 * count)
    assert board.rises == [ns(count * n) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("written_at", "rises"), [(110, [100, 165, 195, 225]), (170, [100, 200, 230]), (199, [100, 200, 230])]
)
def test_a_new_count_in_mode_3_waits_for_the_end_of_the_half(
    board: PitBoard, written_at: int, rises: list[int]
) -> None:
    board.program(0, 3, 100)
    board.to(written_at)
    board.count(0, 30)
    assert board.status(0) & NULL_COUNT
    board.to(230)
    assert board.rises == [ns(n) for n in rises]
    assert not board.status(0) & NULL_COUNT


def test_mode_4_strobes_once(board: PitBoard) -> None:
    board.program(0, 4, 50)
    for tick, value, out in ((0, 50, True), (49, 1, True), (50, 0, False), (51, 0xFFFF, True)):
        board.to(tick)
        assert (board.value(0), board.out(0)) == (value, out)
    board.to(200_000)
    assert board.rises == [ns(51)]


def test_mode_5_strobes_after_its_trigger(board: PitBoard) -> None:
    board.program(2, 5, 50)
    board.to(100)
    start = board.clock.now_ns
    board.pit.set_gate(True)
    for tick, out in ((0, True), (49, True), (50, False), (51, True), (70_000, True)):
        board.to(tick, start)
        assert board.out(2) is out


@pytest.mark.parametrize(("written", "mode"), [(6, 2), (7, 3)])
def test_the_top_mode_bit_does_not_matter_for_modes_2_and_3(board: PitBoard, written: int, mode: int) -> None:
    board.program(0, written, 10)
    assert board.status(0) & 0x0E == written << 1
    board.to(35)
    assert board.rises == [ns(10), ns(20), ns(30)]
    assert board.value(0) == {2: 5, 3: 10}[mode]


# --- gates of counter 2


def test_the_gate_stops_modes_0_and_4_without_a_reload(board: PitBoard) -> None:
    board.pit.set_gate(True)
    board.program(2, 0, 100)
    board.to(30)
    board.pit.set_gate(False)
    board.to(1000)
    assert board.value(2) == 70 and not board.out(2)
    start = board.clock.now_ns
    board.pit.set_gate(True)
    board.to(69, start)
    assert not board.out(2)
    board.to(71, start)
    assert board.out(2)


def test_a_count_written_while_the_gate_is_low_waits(board: PitBoard) -> None:
    board.program(2, 0, 100)
    board.to(500)
    assert board.value(2) == 100 and not board.status(2) & NULL_COUNT
    board.pit.set_gate(True)
    start = board.clock.now_ns
    board.to(101, start)
    assert board.out(2)


@pytest.mark.parametrize("mode", [2, 3])
def test_the_gate_reloads_modes_2_and_3_and_keeps_the_output_high(board: PitBoard, mode: int) -> None:
    board.pit.set_gate(True)
    board.program(2, mode, 100)
    board.to(99)
    assert not board.out(2)
    board.pit.set_gate(False)
    assert board.out(2)
    held = board.value(2)
    board.to(500)
    assert board.value(2) == held and board.out(2)
    board.pit.set_gate(True)
    assert board.value(2) == 100 and board.out(2)


def test_calibration_by_counter_2_as_kernels_do_it(board: PitBoard) -> None:
    """10 ms in mode 0, gated and polled by I/O port 0x61."""
    board.pit.set_gate(True)
    board.program(2, 0, 11932)
    board.clock.advance(ns(11932) - 1)
    assert not board.pit.output()
    board.clock.advance(1)
    assert board.pit.output() and board.clock.now_ns == 10_000_151
